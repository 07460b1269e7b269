/* device: the table of devices, and the order of their work: whoever uses a buffer waits for who used it last. Relies on device.h.
 * Never includes a backend. */
#include "device.h"

#include <pthread.h>
#include <stdatomic.h>

static const Device cpu = {.memory = &host_memory, .name = "cpu", .backend = "cpu"};

/* A row is written once, before its number is counted. */
static const Device *table[DEVICES] = {&cpu};
static MemoryUse memory_use[DEVICES];
static atomic_uint count = 1, preferred = HOST;
static pthread_mutex_t lock[DEVICES] = {[0 ... DEVICES - 1] = PTHREAD_MUTEX_INITIALIZER};

const Device *device_at(uint32_t number) { return number < atomic_load(&count) ? table[number] : NULL; }
const Backend *device_backend(uint32_t number, Status *st) { return backend_get(table[number]->backend, st); }
MemoryUse *device_use(uint32_t number) { return &memory_use[number]; }
uint32_t device_next(void) { return atomic_load(&count); }

void device_add(const Device *d)
{
    table[device_next()] = d;
    atomic_fetch_add(&count, 1);
}

void device_prefer(uint32_t number) { atomic_store(&preferred, number); }
uint32_t device_preferred(void) { return atomic_load(&preferred); }

/* Under the device's lock, as is the work that follows. Chained, so that whoever waits for the last user of a buffer waits for all
 * of them. */
static bool order(const Device *d, Queue *q, Buffer *const *use, uint32_t n, Status *st)
{
    for (uint32_t i = 0; i < n; i++) {
        if (use[i]->queue && use[i]->queue != q && !d->wait(q, d->record(use[i]->queue), st)) return false;
        use[i]->queue = q;
    }
    return true;
}

/* Whether what wrote them is not known to have failed. */
static bool whole(const Device *d, Buffer *const *use, uint32_t n, Status *st)
{
    for (uint32_t i = 0; i < n && d->lost; i++)
        if (use[i]->mark != 0 && d->lost(d, use[i]->mark, st)) return false;
    return true;
}

static void end(const Device *d) { pthread_mutex_unlock(&lock[d->memory->device]); }

/* Of n buffers, of which the first nin are read. False: st, and it has ended. */
static bool begin(const Device *d, Queue *q, Buffer *const *use, uint32_t nin, uint32_t n, Status *st)
{
    pthread_mutex_lock(&lock[d->memory->device]);
    if (whole(d, use, nin, st) && order(d, q, use, n, st)) return true;
    end(d);
    return false;
}

/* They are as good as what was asked of q last; without a queue, whole. */
static void written(const Device *d, Queue *q, Buffer *const *use, uint32_t n)
{
    for (uint32_t i = 0; i < n && d->mark; i++) use[i]->mark = q ? d->mark(q) : 0;
}

bool device_op(const Device *d, Queue *q, const OpCall *c, Buffer *const *use, uint32_t n, Status *st)
{
    void *ready = d->ready ? d->ready(d, c, st) : NULL;
    if (d->ready && !ready) return false;
    if (!begin(d, q, use, c->nin, n, st)) {
        if (ready) d->unready(d, c, ready);
        return false;
    }
    const bool ok = d->op(q, c, ready, st);
    if (ok) written(d, q, use + c->nin, n - c->nin);
    end(d);
    return ok;
}

int32_t device_launch(const Device *d, Queue *q, const Launch *l, Buffer *const *use, uint32_t n, Status *st)
{
    if (!begin(d, q, use, l->nin, n, st)) return -1;
    if (l->now) { /* what it calls may ask for more work */
        end(d);
        d->sync(d, q);
        const int32_t rc = d->launch(q, l, st);
        if (rc == 0) written(d, NULL, use + l->nin, n - l->nin);
        return rc;
    }
    const int32_t rc = d->launch(q, l, st);
    if (rc == 0) written(d, q, use + l->nin, n - l->nin);
    end(d);
    return rc;
}

bool device_write(const Device *d, Queue *q, Buffer *b, void *to, const void *from, size_t bytes, Status *st)
{
    if (!begin(d, q, &b, 0, 1, st)) return false;
    const bool ok = d->copy(q, COPY_IN, to, from, bytes, st);
    if (ok) written(d, q, &b, 1);
    end(d);
    return ok;
}

bool device_read(const Device *d, Queue *q, Buffer *b, void *to, const void *from, size_t bytes, Status *st)
{
    if (!begin(d, q, &b, 1, 1, st)) return false;
    end(d); /* a copy may make its caller wait, and nobody writes what somebody reads */
    if (!d->copy(q, COPY_OUT, to, from, bytes, st)) return false;
    const uint64_t mark = d->mark ? d->mark(q) : 0;
    d->sync(d, q);
    return d->lost ? !d->lost(d, mark, st) && whole(d, &b, 1, st) : !d->fault(d, st);
}
