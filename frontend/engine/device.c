/* device: the one door between tensors and the memory that they lie in: which device a call runs on, memory there, and elements on
 * their way to the host and back. Work for a device other than the host is only noted; reading here waits for it. Relies on
 * codegen/device.h. */
#include "engine.h"

#include <stdio.h>

struct Place { /* one thread's part of a device; not of the host */
    const Device *device;
    BufferPool *pool;
    Queue *work, *copies; /* each in its own order; a buffer that both use orders them. Little is copied in the order of work */
};

static void place_free(Place *p)
{
    if (!p) return;
    if (p->work) p->device->queue_done(p->work);
    if (p->copies) p->device->queue_done(p->copies);
    pool_free(p->pool);
    mem_free(p, sizeof *p);
}

void places_free(Thread *t)
{
    for (int i = 0; i < DEVICES; i++) place_free(t->place[i]);
}

void device_wait(uint32_t device)
{
    if (device != HOST) device_at(device)->sync(device_at(device), NULL);
}

/* Made at the first use. NULL: no memory. */
static Place *place_of(Thread *t, uint32_t device)
{
    if (LIKELY(t->place[device])) return t->place[device];
    Place *p = mem_zeros(1, sizeof *p);
    if (!p) return NULL;
    p->device = device_at(device);
    p->pool = pool_new_of(t->k->options.cache_bytes, p->device->memory, device_use(device));
    p->work = p->pool ? p->device->queue(p->device) : NULL;
    p->copies = p->work ? p->device->queue(p->device) : NULL;
    if (p->copies) return t->place[device] = p;
    place_free(p);
    return NULL;
}

/* Little is on its way for less time than two events take that put one queue behind the other. */
static Queue *way_in(const Place *p, size_t bytes)
{
    enum { LITTLE = 4096 };
    return bytes <= LITTLE ? p->work : p->copies;
}

Buffer *buffer_there(Thread *t, uint32_t device, size_t bytes)
{
    Place *p = place_of(t, device);
    return p ? buffer_new(p->pool, bytes) : NULL;
}

const char *device_name(uint32_t device) { return device_at(device)->name; }

const char *room_text(uint32_t device, char *buf, size_t cap)
{
    const MemoryUse *u = device_use(device);
    const size_t used = u->used, taken = u->taken, most = u->most;
    *buf = 0;
    if (device == HOST) return buf;
    const int n = snprintf(
        buf, cap, " on %s: %zu bytes are in use, %zu kept for reuse", device_name(device), used, taken > used ? taken - used : 0);
    if (most && n > 0 && (size_t)n < cap) snprintf(buf + n, cap - (size_t)n, ", and the limit is %zu", most);
    return buf;
}

bool device_failed(Thread *t, kiln_site at, uint32_t device)
{
    Status st = {0};
    if (device == HOST || !device_at(device)->fault(device_at(device), &st)) return false;
    fail_status(t, at, &st);
    return true;
}

/* ---- which device a call runs on ---------------------------------------------------------------------------------- */
/* One element of the host's, whatever the shape: it goes along to any device. */
bool tensor_joins(const kiln_tensor *x)
{
    if (x->device != HOST) return false;
    for (int i = 0; i < x->type.rank; i++)
        if (x->type.dim[i] != 1 && x->stride[i] != 0) return false;
    return true;
}

bool one_device(Thread *t, kiln_site at, const char *what, kiln_tensor *const *in, uint32_t nin, uint32_t *device)
{
    const kiln_tensor *first = NULL;
    uint32_t beside = 0;
    bool numbers = true;
    for (uint32_t i = 0; i < nin; i++) {
        if (in[i]->state != TENSOR_EAGER) continue;
        numbers = numbers && in[i]->number;
        if (beside == 0) beside = in[i]->beside;
        if (tensor_joins(in[i])) continue;
        if (first && in[i]->device != first->device) {
            char a[96], b[96];
            fail(t, at, KILN_EDEVICE, "%s: the operands are on different devices: %s on %s, %s on %s", what,
                tensor_text(first, a, sizeof a), device_name(first->device), tensor_text(in[i], b, sizeof b),
                device_name(in[i]->device));
            return false;
        }
        if (!first) first = in[i];
    }
    *device = first ? first->device : !numbers ? HOST : beside ? beside - 1 : t->device;
    return true;
}

uint8_t device_beside(Thread *t, const kiln_tensor *x)
{
    const uint8_t own = t->device;
    if (tensor_ok(x) && x->state == TENSOR_EAGER && x->device != own && !tensor_joins(x)) t->device = x->device;
    return own;
}

/* ---- work there --------------------------------------------------------------------------------------------------- */
static bool no_room(Status *st, uint32_t device, size_t bytes)
{
    char text[160];
    if (device_at(device)->fault(device_at(device), st)) return false; /* which is why */
    return status_fail(st, ST_MEMORY, "no memory for %zu bytes%s", bytes, room_text(device, text, sizeof text));
}

/* The one element of x, on the device. NULL: st. */
static Buffer *element_there(Thread *t, const kiln_tensor *x, uint32_t device, Status *st)
{
    const size_t bytes = type_count(&x->type) ? dtype_bytes((DType)x->type.dtype) : 0;
    Buffer *b = buffer_there(t, device, 8);
    if (!b) return no_room(st, device, 8), NULL;
    const Place *p = t->place[device];
    if (device_write(p->device, way_in(p, bytes), b, b->data, x->data, bytes, st)) return b;
    buffer_release(b);
    return NULL;
}

bool run_there(Thread *t, uint32_t device, const OpCall *c, View *v, kiln_tensor *const *in, kiln_tensor *const *out, Status *st)
{
    ScratchMark mark = scratch_mark(&t->scratch);
    const uint32_t n = c->nin + c->nout;
    Buffer **use = scratch_take(&t->scratch, n, sizeof *use);
    uint32_t have = 0;
    if (!use || !place_of(t, device)) {
        scratch_reset(&t->scratch, mark);
        return no_room(st, device, 0);
    }
    for (; have < c->nin; have++)
        if (in[have]->device == device)
            use[have] = buffer_retain(in[have]->buffer);
        else if ((use[have] = element_there(t, in[have], device, st)))
            v[have].data = use[have]->data;
        else
            break;
    bool ok = have == c->nin;
    for (uint32_t i = 0; i < c->nout; i++) use[c->nin + i] = out[i]->buffer;
    const Place *p = t->place[device];
    ok = ok && device_op(p->device, p->work, c, use, n, st);
    while (have) buffer_release(use[--have]);
    scratch_reset(&t->scratch, mark);
    return ok;
}

int32_t launch_there(Thread *t, uint32_t device, const Launch *l, Buffer *const *use, uint32_t n, Status *st)
{
    const Place *p = place_of(t, device);
    return p ? device_launch(p->device, p->work, l, use, n, st) : (no_room(st, device, 0), -1);
}

void tensor_pack(Thread *t, const kiln_tensor *x, kiln_tensor *out, Status *st)
{
    View v, o;
    const EagerCtx c = {.threads = t->k->threads};
    tensor_view(x, &v);
    if (x->device == HOST) {
        eager_copy(&c, &v, out->data);
        return;
    }
    tensor_view(out, &o);
    kiln_tensor *from = (kiln_tensor *)(uintptr_t)x;
    run_there(t, x->device, &(OpCall){.c = &c, .op = OP_leaf, .in = &v, .nin = 1, .out = &o, .nout = 1, .store = t->k->store}, &v,
        &from, &out, st);
}

/* ---- elements on their way ---------------------------------------------------------------------------------------- */
static void drop_temporary(kiln_tensor *x)
{
    scope_unlink(x);
    tensor_drop(x);
}

bool tensor_read(Thread *t, kiln_site at, kiln_tensor *x, void *to)
{
    const size_t bytes = (size_t)type_count(&x->type) * dtype_bytes((DType)x->type.dtype);
    Status st = {0};
    if (!bytes) return true;
    if (x->device == HOST) {
        View v;
        tensor_view(x, &v);
        if (x->contiguous)
            memcpy(to, x->data, bytes);
        else
            eager_copy(&(EagerCtx){.threads = t->k->threads}, &v, to);
        return true;
    }
    kiln_tensor *packed = tensor_contiguous(t, at, x);
    if (!tensor_ok(packed)) return false;
    const Place *p = place_of(t, x->device);
    bool ok = p ? device_read(p->device, p->copies, packed->buffer, to, packed->data, bytes, &st) : no_room(&st, x->device, 0);
    if (packed != x) drop_temporary(packed);
    if (!ok) fail_status(t, at, &st);
    return ok;
}

kiln_tensor *tensor_host(Thread *t, kiln_site at, kiln_tensor *x)
{
    x = tensor_ok(x) ? tensor_contiguous(t, at, x) : x;
    return tensor_ok(x) ? tensor_to(t, at, x, HOST) : x;
}

kiln_tensor *tensor_to(Thread *t, kiln_site at, kiln_tensor *x, uint32_t device)
{
    if (LIKELY(x->device == device)) return x;
    kiln_tensor *here = x, *out = tensor_result(t, at, &x->type, NULL, device);
    if (!out) return &t->k->poison;
    if (device == HOST) return tensor_read(t, at, x, out->data) ? out : &t->k->poison;
    if (x->device != HOST) here = tensor_to(t, at, x, HOST);
    if (tensor_ok(here)) here = tensor_contiguous(t, at, here);
    if (!tensor_ok(here)) return here;
    Status st = {0};
    const Place *p = t->place[device];
    const size_t bytes = (size_t)type_count(&x->type) * dtype_bytes((DType)x->type.dtype);
    bool ok = device_write(p->device, way_in(p, bytes), out->buffer, out->data, here->data, bytes, &st);
    return ok ? out : fail_status(t, at, &st);
}

kiln_tensor *tensor_place_on(Thread *t, kiln_site at, kiln_tensor *x, uint32_t device)
{
    if (!tensor_ok(x) || LIKELY(x->device == device)) return x;
    kiln_tensor *there = tensor_to(t, at, x, device);
    drop_temporary(x);
    return there;
}

kiln_tensor *tensor_place(Thread *t, kiln_site at, kiln_tensor *x) { return tensor_place_on(t, at, x, t->device); }
