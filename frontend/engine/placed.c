/* placed: devices by name, for users: what there is, the blocks that choose one for the thread, and waiting. Relies on
 * codegen/devices.h. Never touches elements. */
#include "../../codegen/devices.h"
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>

_Static_assert(sizeof((DeviceOffer *)0)->name == sizeof((kiln_device_info *)0)->name &&
                   sizeof((DeviceOffer *)0)->text == sizeof((kiln_device_info *)0)->text,
    "an offer fits");

int kiln_devices(kiln_device_info *to, int cap)
{
    DeviceOffer o;
    int n = 0;
    for (; device_offered((uint32_t)n, &o); n++) {
        if (!to || n >= cap) continue;
        memcpy(to[n].name, o.name, sizeof o.name);
        memcpy(to[n].text, o.text, sizeof o.text);
    }
    return n;
}

bool kiln_devices_visible_at(kiln_site at, kiln *k, const char *const *names, int n)
{
    Thread *t = thread_of(k);
    Status st = {0};
    if (!t) return false;
    if (n < 0 || (n > 0 && !names)) {
        fail(t, at, KILN_EVALUE, "devices_visible: the count is %d, or the list is NULL", n);
        return false;
    }
    if (devices_show(names, n, &st)) return true;
    fail(t, at, KILN_EDEVICE, "devices_visible: %s", st.text);
    return false;
}

bool device_find(Thread *t, kiln_site at, const char *what, const char *name, uint32_t *number)
{
    Status st = {0};
    if (name && device_named(name, number, &st)) return true;
    if (name)
        fail(t, at, (kiln_code)st.code, "%s: %s", what, st.text);
    else
        fail(t, at, KILN_EVALUE, "%s: the device's name is NULL", what);
    return false;
}

void engine_device(Thread *t)
{
    kiln *k = t->k;
    const kiln_site none = {NULL, 0};
    const char *own = k->options.device, *name = own ? own : getenv("KILN_DEVICE");
    uint32_t number;
    if (!name || !*name) return;
    if (!own && getauxval(AT_SECURE)) {
        log_line(k, "KILN_DEVICE: not for a program that runs with others' rights");
        return;
    }
    if (!device_find(t, none, own ? "kiln_open: .device" : "KILN_DEVICE", name, &number)) return;
    k->device = t->device = t->chosen = (uint8_t)number;
}

const char *kiln_device_of(const kiln_tensor *x)
{
    if (!tensor_ok(x)) return "";
    const Thread *t = x->state == TENSOR_TRACED ? thread_of(x->k) : NULL;
    return device_name(t && t->body && t->body->placed ? t->body->device : x->device);
}

/* ---- bodies, which stay where they are -------------------------------------------------------------------------------- */
bool inside_body(const Thread *t)
{
    const BodyRun *b = t->body;
    return b && b->placed && !(t->eagerly && t->scope[t->eagerly - 1].id > b->since);
}

bool may_use(Thread *t, kiln_site at, const char *what, uint32_t device)
{
    if (!inside_body(t) || t->body->device == device) return true;
    fail(t, at, KILN_EDEVICE,
        "%s: the body of %s runs on %s, where its arguments lie, and cannot use %s; call it with tensors there, or copy outside of "
        "it",
        what, t->body->name, device_name(t->body->device), device_name(device));
    return false;
}

/* ---- blocks ----------------------------------------------------------------------------------------------------------- */
kiln_device_block kiln_device_open_at(kiln_site at, kiln *k, const char *name)
{
    kiln_device_block b = {.k = k};
    Thread *t = thread_of(k);
    uint32_t number;
    if (!t || !device_find(t, at, "device", name, &number) || !may_use(t, at, "device", number)) return b;
    b.before = t->device;
    b.chosen = t->chosen;
    b.depth = ++t->blocks;
    t->device = t->chosen = (uint8_t)number;
    return b;
}

void kiln_device_close(kiln_device_block *b)
{
    Thread *t = b && b->depth ? thread_of(b->k) : NULL;
    if (!t) return;
    if (t->blocks != b->depth)
        fail(t, (kiln_site){NULL, 0}, KILN_ESTATE, "device: a block is closed %s",
            t->blocks > b->depth ? "before one that was opened inside it" : "twice, or on another thread than it was opened on");
    if (t->blocks >= b->depth) {
        t->blocks = b->depth - 1;
        t->device = b->before;
        t->chosen = b->chosen;
    }
    b->depth = 0;
}

/* ---- waiting ---------------------------------------------------------------------------------------------------------- */
static bool settled(Thread *t, kiln_site at, uint32_t number)
{
    Status st = {0};
    const Device *d = device_at(number);
    device_wait(number);
    if (number == HOST || !d->fault(d, &st)) return true;
    fail_status(t, at, &st);
    return false;
}

bool kiln_sync_at(kiln_site at, kiln *k, const char *name)
{
    Thread *t = thread_of(k);
    uint32_t number;
    bool ok = t;
    if (t && name) return device_find(t, at, "sync", name, &number) && settled(t, at, number);
    for (number = 0; t && device_at(number); number++) ok = settled(t, at, number) && ok;
    return ok;
}

/* ---- memory ----------------------------------------------------------------------------------------------------------- */
kiln_device_memory kiln_device_memory_count_at(kiln_site at, kiln *k, const char *name)
{
    Thread *t = thread_of(k);
    uint32_t number;
    if (!t || !device_find(t, at, "device_memory", name, &number)) return (kiln_device_memory){0};
    if (number == HOST) {
        const MemoryCount c = memory_count();
        return (kiln_device_memory){.used = (size_t)c.live_bytes, .peak = (size_t)c.peak_bytes};
    }
    const MemoryUse *u = device_use(number);
    const size_t used = u->used, taken = u->taken;
    return (kiln_device_memory){.used = used, .kept = taken > used ? taken - used : 0, .peak = u->peak, .limit = u->most};
}

bool kiln_device_limit_at(kiln_site at, kiln *k, const char *name, size_t bytes)
{
    Thread *t = thread_of(k);
    uint32_t number;
    if (!t || !device_find(t, at, "device_limit", name, &number)) return false;
    if (number == HOST) {
        fail(t, at, KILN_EUNSUPPORTED, "device_limit: the CPU's memory has no limit here (kiln_set_allocator can set one)");
        return false;
    }
    atomic_store(&device_use(number)->most, bytes);
    return true;
}

bool kiln_device_split_at(kiln_site at, kiln *k, const char *name, const size_t *bytes, int n)
{
    Thread *t = thread_of(k);
    Status st = {0};
    if (!t) return false;
    if (!name || n < 1 || !bytes) {
        fail(t, at, KILN_EVALUE, "device_split: the name or the list of sizes is NULL, or their count, %d, is not above 0", n);
        return false;
    }
    for (int i = 0; i < n; i++)
        if (bytes[i] == 0) {
            fail(t, at, KILN_EVALUE, "device_split: part %d has 0 bytes; it must have more", i);
            return false;
        }
    if (device_split(name, bytes, (uint32_t)n, &st)) return true;
    fail(t, at, (kiln_code)st.code, "device_split: %s", st.text);
    return false;
}
