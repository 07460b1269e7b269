/* device: what memory lies on and code runs on, as a table. A row says which backend's code runs there and offers memory,
 * copies, single ops, programs, queues of such work, the order between them, and what went wrong. Number 0 is the CPU: its
 * memory is the host's, and what is asked of it is done when the call returns. Work for any other device is only noted when its
 * call returns; reading waits for it. Relies on backend, eager, runtime. Never knows tensors. */
#ifndef KILN_CODEGEN_DEVICE_H
#define KILN_CODEGEN_DEVICE_H

#include "../runtime/buffer.h"
#include "backend.h"
#include "eager.h"

#define DEVICES 16 /* at most; numbers fit a byte */
#define HOST 0

/* Work of one device, done in the order in which it was asked for. Between two queues there is no order but by events. Valid
 * until the process ends. */
typedef struct Queue Queue;
typedef struct Event { /* all that was asked of the queue before it was recorded */
    Queue *queue;
    uint64_t at;
} Event;

typedef struct OpCall { /* as eager_run takes it; all of it but the elements is copied */
    const EagerCtx *c;
    Op op;
    const View *in;
    uint32_t nin;
    const int64_t *attr;
    uint32_t nattr;
    View *out;
    uint32_t nout;
    Loc at;                  /* who asked for it; for reports */
    struct CodeStore *store; /* where its code is kept on disk (store.h); NULL: nowhere that the caller knows */
} OpCall;

typedef struct Launch { /* a program, as its entry takes it; buf and dim are copied */
    const Compiled *compiled;
    EntryFn *entry; /* NULL: the device's backend has none, and it is `compiled` that is launched */
    void *const *buf;
    const int64_t *dim;
    uint32_t nbuf, nin, ndim; /* nin: of buf, what the program reads alone */
    void *work;
    const KilnHost *host;
    LaunchCounts *counts; /* NULL: nobody counts */
    Loc at;               /* who called; for reports */
    bool now;             /* it may fail, or calls the host: wait for it, and call on this thread */
} Launch;

typedef enum CopyWay { COPY_IN, COPY_OUT } CopyWay; /* from the host; to it. What goes between devices goes through the host */

typedef struct Device {
    const BufferMemory *memory; /* alloc and free: of any thread */
    const char *name, *backend; /* as messages say it; whose code runs there */
    const void *there;          /* of this device, for its backend (CompileOptions.there); NULL: the host */
    /* The CPU's row has nothing below: work there is a plain call. Failures that show at once are st; a later one is the
     * device's fault. */
    Queue *(*queue)(const struct Device *d); /* one that nobody has. NULL: no memory */
    void (*queue_done)(Queue *q);            /* given back; waits for it */
    /* COPY_IN has read `from` when it returns; COPY_OUT has written `to` once the queue was waited for. */
    bool (*copy)(Queue *q, CopyWay way, void *to, const void *from, size_t bytes, Status *st);
    /* What takes long and does not depend on the order of work, such as code, made before an op is asked for; op takes it. NULL:
     * st. No function: there is no such thing, and op gets NULL. */
    void *(*ready)(const struct Device *d, const OpCall *c, Status *st);
    bool (*op)(Queue *q, const OpCall *c, void *ready, Status *st);
    void (*unready)(const struct Device *d, const OpCall *c, void *ready); /* op does not come */
    int32_t (*launch)(Queue *q, const Launch *l, Status *st); /* 0 or, of one that is waited for, what the entry returned; -1: st */
    Event (*record)(Queue *q);
    bool (*wait)(Queue *q, Event e, Status *st);    /* what is asked of q from now on comes after the event; false: st */
    void (*sync)(const struct Device *d, Queue *q); /* the host waits for all that was asked of q; NULL: of any */
    /* How many bytes a second it reads and writes when it copies so many within its memory, measured now. NULL: nobody can tell. */
    bool (*moves)(const struct Device *d, size_t bytes, double *rate, Status *st);
    bool (*fault)(const struct Device *d, Status *st); /* takes the last failure that showed late; false: there was none */
    /* What was asked of q last, as a number that is not 0, and whether that is known to have failed: then st tells each time. Both
     * NULL: nobody can tell what has failed, and a fault is the next reader's. */
    uint64_t (*mark)(Queue *q);
    bool (*lost)(const struct Device *d, uint64_t mark, Status *st);
} Device;

const Device *device_at(uint32_t number);                   /* NULL beyond the last */
const Backend *device_backend(uint32_t number, Status *st); /* NULL: st */
MemoryUse *device_use(uint32_t number);                     /* of the device's memory; nobody counts the host's here */
/* One more row, which stays; memory->device must be the number that device_next says. What threads that first use an engine from
 * now on take for their own. For tests. */
uint32_t device_next(void);
void device_add(const Device *d);
void device_prefer(uint32_t number);
uint32_t device_preferred(void);

/* The device's work on buffers of its own: each first waits for the queue that used the buffer last. False: st. What work that
 * failed has written is lost until it is written anew: who reads it, or computes with it, gets that failure. The host's own work is
 * below. */
bool device_op(const Device *d, Queue *q, const OpCall *c, Buffer *const *use, uint32_t n, Status *st);
int32_t device_launch(const Device *d, Queue *q, const Launch *l, Buffer *const *use, uint32_t n, Status *st);
bool device_write(const Device *d, Queue *q, Buffer *b, void *to, const void *from, size_t bytes, Status *st);
/* Waits. A fault that is found now is st. */
bool device_read(const Device *d, Queue *q, Buffer *b, void *to, const void *from, size_t bytes, Status *st);

#endif
