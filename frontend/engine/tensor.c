/* tensor: headers (pooled per thread), and making tensors from memory. Never runs an op but constants. */
#include "engine.h"

#include <stdio.h>

#define SLAB 64

typedef struct Slab {
    struct Slab *next;
    kiln_tensor at[SLAB];
} Slab;

static bool slab_add(Thread *t)
{
    Slab *s = mem_zeros(1, sizeof *s);
    if (!s) return false;
    s->next = (Slab *)t->slabs;
    t->slabs = (struct Slab *)s;
    for (int i = SLAB; i-- > 0;) {
        s->at[i].next = t->free;
        t->free = &s->at[i];
    }
    return true;
}

void tensor_slabs_free(Thread *t)
{
    for (Slab *s = (Slab *)t->slabs, *next; s; s = next) {
        next = s->next;
        for (int i = 0; i < SLAB; i++)
            if (s->at[i].state == TENSOR_EAGER) buffer_release(s->at[i].buffer); /* owned by the user and never released */
        mem_free(s, sizeof *s);
    }
    t->slabs = NULL;
    t->free = NULL;
}

static kiln_tensor *header(Thread *t)
{
    if (UNLIKELY(!t->free)) {
        t->free = __atomic_exchange_n((kiln_tensor **)&t->foreign, NULL, __ATOMIC_ACQUIRE);
        if (!t->free && !slab_add(t)) return NULL;
    }
    kiln_tensor *x = t->free;
    t->free = x->next;
    return x;
}

kiln_tensor *tensor_new(Thread *t, kiln_site at)
{
    kiln_tensor *x = header(t);
    if (UNLIKELY(!x)) {
        fail(t, at, KILN_EMEMORY, "tensor: no memory for headers (%zu bytes)", sizeof(Slab));
        return NULL;
    }
    x->state = TENSOR_TRACED; /* until the caller says what it is */
    x->contiguous = true;
    x->number = false, x->beside = 0;
    x->device = HOST;
    x->in_scope = false;
    x->owners = 0;
    x->k = t->k;
    x->home = t;
    x->uid = ++t->next_uid;
    x->buffer = NULL;
    x->data = NULL;
    x->signature = 0;
    x->frame = NULL;
    x->trace_id = 0;
    x->value = 0;
    x->made = loc_of(at);
    scope_link(t, x, t->scopes - 1);
    return x;
}

void tensor_drop(kiln_tensor *x)
{
    if (x->in_scope || x->owners || x->state == TENSOR_POISON || x->state == TENSOR_FREE) return;
    Buffer *b = x->state == TENSOR_EAGER ? x->buffer : NULL;
    x->state = TENSOR_FREE;
    x->buffer = NULL;
    if (b) {
        if (b->pool && buffer_unshared(b)) x->home->live_bytes -= (int64_t)b->bytes;
        buffer_release(b);
    }
#ifndef KILN_DEBUG /* debug builds never use a header again, so a stale handle is always caught */
    Thread *home = x->home;
    if (home == thread_last()) {
        x->next = home->free;
        home->free = x;
        return;
    }
    kiln_tensor *head = __atomic_load_n((kiln_tensor **)&home->foreign, __ATOMIC_RELAXED);
    do x->next = head;
    while (!__atomic_compare_exchange_n((kiln_tensor **)&home->foreign, &head, x, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
#endif
}

int64_t type_count(const Type *type)
{
    int64_t n = 1;
    for (int i = 0; i < type->rank; i++) n *= type->dim[i];
    return n;
}

static void set_type(kiln_tensor *x, const Type *type)
{
    x->type.dtype = type->dtype;
    x->type.rank = type->rank;
    int64_t stride = 1;
    for (int i = type->rank; i-- > 0;) {
        x->type.dim[i] = type->dim[i];
        x->stride[i] = stride;
        stride *= type->dim[i];
    }
}

kiln_tensor *tensor_of_buffer(Thread *t, kiln_site at, const Type *type, Buffer *b)
{
    kiln_tensor *x = tensor_new(t, at);
    if (!x) {
        buffer_release(b);
        return NULL;
    }
    x->state = TENSOR_EAGER;
    x->device = b->device;
    x->buffer = b;
    x->data = b->data;
    set_type(x, type);
    return x;
}

__attribute__((noinline, cold)) static void no_memory(
    Thread *t, kiln_site at, const char *what, const Type *type, size_t bytes, uint32_t device)
{
    char text[96], room[160];
    if (device_failed(t, at, device)) return;
    type_print(NULL, type, text, sizeof text);
    room_text(device, room, sizeof room);
    if (what)
        fail(t, at, KILN_EMEMORY, "%s: no memory for a result, %s (%zu bytes)%s", what, text, bytes, room);
    else
        fail(t, at, KILN_EMEMORY, "tensor: no memory for %s (%zu bytes)%s", text, bytes, room);
}

kiln_tensor *tensor_result(Thread *t, kiln_site at, const Type *type, const char *of, uint32_t device)
{
    size_t bytes = (size_t)type_count(type) * dtype_bytes(type->dtype); /* checked where the type was made: DIM_MAX */
    Buffer *b = LIKELY(device == HOST) ? buffer_new(t->pool, bytes) : buffer_there(t, device, bytes);
    if (UNLIKELY(!b)) return no_memory(t, at, of, type, bytes, device), NULL;
    t->live_bytes += (int64_t)b->bytes;
    t->peak_bytes = MAX_OF(t->peak_bytes, t->live_bytes);
    return tensor_of_buffer(t, at, type, b);
}

kiln_tensor *tensor_empty(Thread *t, kiln_site at, const Type *type) { return tensor_result(t, at, type, NULL, HOST); }

kiln_tensor *tensor_alias(Thread *t, kiln_site at, const kiln_tensor *from)
{
    kiln_tensor *x = tensor_new(t, at);
    if (!x) return &t->k->poison;
    x->state = from->state;
    x->device = from->device;
    x->contiguous = from->contiguous;
    x->number = from->number, x->beside = from->beside;
    x->uid = from->uid;
    x->type = from->type;
    x->signature = __atomic_load_n(&from->signature, __ATOMIC_RELAXED);
    x->frame = from->frame;
    x->trace_id = from->trace_id;
    x->value = from->value;
    if (from->state == TENSOR_EAGER) {
        x->buffer = buffer_retain(from->buffer);
        x->data = from->data;
        memcpy(x->stride, from->stride, from->type.rank * sizeof *x->stride);
    }
    return x;
}

void tensor_view(const kiln_tensor *x, View *v)
{
    v->dtype = x->type.dtype;
    v->rank = x->type.rank;
    /* All of them, for a length that is known costs less than a call; beyond the rank they mean nothing. */
    memcpy(v->dim, x->type.dim, sizeof v->dim);
    memcpy(v->stride, x->stride, sizeof v->stride);
    v->data = x->data;
    v->buffer = x->buffer;
}

kiln_tensor *tensor_contiguous(Thread *t, kiln_site at, kiln_tensor *x)
{
    if (x->contiguous) return x;
    kiln_tensor *out = tensor_result(t, at, &x->type, NULL, x->device);
    if (!out) return &t->k->poison;
    Status st;
    status_clear(&st);
    tensor_pack(t, x, out, &st);
    if (UNLIKELY(st.code)) return fail_status(t, at, &st);
    return out;
}

uint64_t tensor_signature(kiln_tensor *x)
{
    uint64_t h = __atomic_load_n(&x->signature, __ATOMIC_RELAXED);
    if (h) return h;
    h = hash_mix(x->type.dtype, x->type.rank);
    for (int i = 0; i < x->type.rank; i++) h = hash_mix(h, (uint64_t)x->type.dim[i]);
    h |= 1;
    __atomic_store_n(&x->signature, h, __ATOMIC_RELAXED);
    return h;
}

const char *tensor_text(const kiln_tensor *x, char *buf, size_t cap)
{
    if (!x)
        snprintf(buf, cap, "NULL");
    else if (x->state == TENSOR_FREE)
        snprintf(buf, cap, "a closed tensor");
    else if (x->state == TENSOR_POISON)
        snprintf(buf, cap, "a failed tensor");
    else if (x->state == TENSOR_STATIC)
        snprintf(buf, cap, "a static value");
    else if (x->state == TENSOR_MISSING)
        snprintf(buf, cap, "input %d, which was not given", missing_input(x));
    else
        type_print(x->state == TENSOR_TRACED ? &x->k->hooks->module_of(x)->dims : NULL, &x->type, buf, cap);
    return buf;
}

const char *tensor_end_text(const kiln_tensor *x, char *buf, size_t cap)
{
    const Loc *opened = &x->scope_opened;
    if (x->released)
        snprintf(buf, cap, "it was released");
    else if (opened->file)
        snprintf(buf, cap, x->region ? "the iteration or branch of %s:%d ended" : "its scope, opened at %s:%d, closed",
            opened->file, opened->line);
    else
        snprintf(buf, cap, "its scope closed");
    return buf;
}

/* ---- making ------------------------------------------------------------------------------------------- */
bool type_from_shape(Thread *t, kiln_site at, const char *op, kiln_dtype d, const kiln_shape *s, Type *out)
{
    if (!dtype_known((int)d)) {
        fail(t, at, KILN_EDTYPE, "%s: %d is not a dtype", op, (int)d);
        return false;
    }
    if (s->rank < 0 || s->rank > MAX_RANK) {
        fail(t, at, KILN_ESHAPE, "%s: the shape has %lld axes (allowed: 0 to %d)", op, (long long)s->rank, MAX_RANK);
        return false;
    }
    *out = (Type){.dtype = (uint8_t)d, .rank = (uint8_t)s->rank};
    Dim count = (Dim)dtype_bytes((DType)d);
    for (int i = 0; i < out->rank; i++) {
        if (s->size[i + 1] < 0 || s->size[i + 1] > DIM_MAX) {
            fail(t, at, KILN_ESHAPE, "%s: axis %d has size %lld (allowed: 0 to 2^48)", op, i, (long long)s->size[i + 1]);
            return false;
        }
        out->dim[i] = s->size[i + 1];
        count = dim_mul(NULL, count, out->dim[i]);
    }
    if (count == DIM_BAD) {
        fail(t, at, KILN_ESHAPE, "%s: a tensor of this shape would have more than 2^48 bytes", op);
        return false;
    }
    return true;
}

kiln_tensor *kiln_from_at(kiln_site at, kiln *k, kiln_dtype d, kiln_shape s, const void *data, int64_t count)
{
    Thread *t = thread_of(k);
    Type type;
    if (!t || !type_from_shape(t, at, "from", d, &s, &type)) return t ? &k->poison : NULL;
    int64_t want = type_count(&type);
    if (count != want)
        return fail(t, at, KILN_ESHAPE, "from: %lld elements given, but the shape has %lld", (long long)count, (long long)want);
    if (!data && want) return fail(t, at, KILN_EVALUE, "from: the data pointer is NULL");
    kiln_tensor *x = tensor_empty(t, at, &type);
    if (!x) return &k->poison;
    if (want) memcpy(x->data, data, (size_t)want * dtype_bytes(type.dtype));
    return tensor_place(t, at, x);
}

kiln_tensor *kiln_borrow_at(
    kiln_site at, kiln *k, kiln_dtype d, kiln_shape s, const void *data, void (*release)(void *, void *), void *user)
{
    Thread *t = thread_of(k);
    Type type;
    if (!t || !type_from_shape(t, at, "borrow", d, &s, &type)) return t ? &k->poison : NULL;
    size_t bytes = (size_t)type_count(&type) * dtype_bytes(type.dtype);
    if (!data && bytes) return fail(t, at, KILN_EVALUE, "borrow: the data pointer is NULL");
    if ((uintptr_t)data % dtype_bytes(type.dtype))
        return fail(t, at, KILN_EVALUE, "borrow: the data's address is not a multiple of the element size (%zu bytes)",
            dtype_bytes(type.dtype));
    Buffer *b = buffer_borrow((void *)(uintptr_t)data, bytes, release, user);
    if (!b) return fail(t, at, KILN_EMEMORY, "borrow: no memory for a header");
    kiln_tensor *x = tensor_of_buffer(t, at, &type, b);
    return x ? tensor_place(t, at, x) : &k->poison;
}

const char *axis_trouble(int axis, int rank, char *buf, size_t cap)
{
    if (rank == 0)
        snprintf(buf, cap, "axis %d is out of range: a scalar has no axes", axis);
    else
        snprintf(buf, cap, "axis %d is out of range for rank %d (allowed: %d to %d)", axis, rank, -rank, rank - 1);
    return buf;
}

bool axis_of(Thread *t, kiln_site at, const char *op, int axis, int rank, int *out)
{
    *out = axis < 0 ? axis + rank : axis;
    if (*out >= 0 && *out < rank) return true;
    char text[96];
    fail(t, at, KILN_ESHAPE, "%s: %s", op, axis_trouble(axis, rank, text, sizeof text));
    return false;
}
