/* late: see late.h. Each device has one lock. A queue is a list of tasks; a wait is a task that can be run once the other queue has
 * come so far. Relies on codegen/device.h. */
#define _GNU_SOURCE
#include "late.h"

#include "codegen/devices.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define SPACE ((size_t)1 << 37) /* of addresses per device; pages are taken as they are written */
#define SIZES 256               /* block sizes that are told apart */
#define PENDING 400             /* tasks that may wait before some are run */

typedef struct Spare { /* free */
    struct Spare *next;
    char *real;
} Spare;

typedef struct Late {
    Device row;
    BufferMemory memory;
    char name[8];
    pthread_mutex_t lock; /* recursive */
    char *handle, *real;  /* the same memory: forbidden, and for queues */
    size_t used;
    struct {
        size_t bytes;
        Spare *free;
    } size[SIZES];
    Queue *queues;
    uint64_t seed, ran;
    int pending;
    Status fault;
} Late;

typedef struct Task {
    struct Task *next;
    void (*run)(Late *l, struct Task *task); /* NULL: a wait */
    Event after;
    void *to;
    const void *from;
    size_t bytes;
    Kept **kept;
    ThreadPool *threads;
    bool blas;
    Op op;
    uint32_t nin, nout, nattr, nbuf;
    EntryFn *entry;
    const KilnHost *host;
    uint64_t more[]; /* views, attributes, pointers */
} Task;

struct Queue {
    Late *late;
    Queue *next;
    Task *first, **last;
    uint64_t asked, done;
    bool taken;
    Kept *kept;
};

static Late late[2];

static uint64_t draw(Late *l, uint64_t n)
{
    l->seed ^= l->seed << 13;
    l->seed ^= l->seed >> 7;
    l->seed ^= l->seed << 17;
    return (l->seed >> 11) % n;
}

/* Anything but memory of its own is a mistake. */
static void *real_of(const Late *l, const void *p)
{
    const size_t at = (size_t)((const char *)p - l->handle);
    if (p && at >= SPACE) {
        fprintf(stderr, "%s: %p is no address of its own\n", l->name, p);
        abort();
    }
    return p ? l->real + at : NULL;
}

/* ---- queues ------------------------------------------------------------------------------------------------------ */
static Queue *ready(Late *l, uint64_t skip, uint64_t *n)
{
    *n = 0;
    for (Queue *q = l->queues; q; q = q->next)
        if (q->first && (q->first->run || q->first->after.queue->done >= q->first->after.at) && (*n)++ == skip) return q;
    return NULL;
}

/* Some queue's next task. */
static void step(Late *l)
{
    uint64_t n;
    ready(l, UINT64_MAX, &n);
    if (n == 0) abort(); /* queues that wait for each other */
    Queue *q = ready(l, draw(l, n), &n);
    Task *t = q->first;
    if (t->run) t->run(l, t);
    q->first = t->next;
    if (!q->first) q->last = &q->first;
    q->done++;
    l->ran++;
    l->pending--;
    free(t);
}

static void drain(Late *l, Queue *q)
{
    for (const uint64_t until = q->asked; q->done < until;) step(l);
}

static Task *task_new(size_t words)
{
    Task *t = calloc(1, sizeof *t + words * sizeof(uint64_t));
    if (!t) abort();
    return t;
}

/* It comes later; now and then something that was asked for before happens meanwhile. */
static void ask(Queue *q, Task *t)
{
    Late *l = q->late;
    *q->last = t;
    q->last = &t->next;
    q->asked++;
    l->pending++;
    uint64_t some = draw(l, 8) == 0 ? draw(l, 12) : 0;
    for (; l->pending > 0 && (some > 0 || l->pending > PENDING); some -= some > 0) step(l);
}

static Queue *take_queue(const Device *d)
{
    Late *l = (Late *)(uintptr_t)d;
    pthread_mutex_lock(&l->lock);
    Queue *q = l->queues;
    while (q && q->taken) q = q->next;
    if (!q) {
        q = calloc(1, sizeof *q);
        if (!q) abort();
        *q = (Queue){.late = l, .next = l->queues, .last = &q->first};
        l->queues = q;
    }
    q->taken = true;
    q->kept = kept_new();
    pthread_mutex_unlock(&l->lock);
    return q;
}

static void queue_done(Queue *q)
{
    pthread_mutex_lock(&q->late->lock);
    drain(q->late, q);
    kept_free(q->kept);
    q->kept = NULL;
    q->taken = false;
    pthread_mutex_unlock(&q->late->lock);
}

static Event record(Queue *q)
{
    pthread_mutex_lock(&q->late->lock);
    const Event e = {q, q->asked};
    pthread_mutex_unlock(&q->late->lock);
    return e;
}

static bool wait_for(Queue *q, Event e, Status *st)
{
    (void)st;
    pthread_mutex_lock(&q->late->lock);
    Task *t = task_new(0);
    t->after = e;
    ask(q, t);
    pthread_mutex_unlock(&q->late->lock);
    return true;
}

static void sync_with(const Device *d, Queue *q)
{
    Late *l = (Late *)(uintptr_t)d;
    pthread_mutex_lock(&l->lock);
    if (q) drain(l, q);
    while (!q && l->pending > 0) step(l);
    pthread_mutex_unlock(&l->lock);
}

static bool fault(const Device *d, Status *st)
{
    Late *l = (Late *)(uintptr_t)d;
    pthread_mutex_lock(&l->lock);
    const bool was = l->fault.code != ST_OK;
    if (was) *st = l->fault;
    l->fault = (Status){0};
    pthread_mutex_unlock(&l->lock);
    return was;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */
static Late *of_memory(const BufferMemory *m) { return (Late *)(uintptr_t)((const char *)m - offsetof(Late, memory)); }

static bool map(Late *l)
{
    if (l->handle) return true;
    void *real = mmap(NULL, SPACE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (real == MAP_FAILED) return false;
    void *handle = mremap(real, 0, SPACE, MREMAP_MAYMOVE); /* the same pages at a second place */
    if (handle == MAP_FAILED || mprotect(handle, SPACE, PROT_NONE) != 0) return false;
    l->real = real;
    l->handle = handle;
    return true;
}

static int size_number(Late *l, size_t bytes)
{
    int i = 0;
    while (l->size[i].bytes != bytes && l->size[i].bytes != 0) i++;
    if (i + 1 == SIZES) abort();
    l->size[i].bytes = bytes;
    return i;
}

static void *alloc(const BufferMemory *m, size_t bytes, size_t align)
{
    Late *l = of_memory(m);
    char *real = NULL;
    pthread_mutex_lock(&l->lock);
    Spare *b = map(l) ? l->size[size_number(l, bytes)].free : NULL;
    if (b) {
        l->size[size_number(l, bytes)].free = b->next;
        real = b->real;
        free(b);
    } else if (l->handle) {
        const size_t at = (l->used + align - 1) / align * align;
        if (bytes <= SPACE && at <= SPACE - bytes) real = l->real + at, l->used = at + bytes;
    }
    if (real) memset(real, 0xa5, bytes < 4096 ? bytes : 4096);
    pthread_mutex_unlock(&l->lock);
    return real ? l->handle + (real - l->real) : NULL;
}

static void free_now(Late *l, Task *t)
{
    Spare *b = malloc(sizeof *b);
    if (!b) abort();
    const int i = size_number(l, t->bytes);
    *b = (Spare){l->size[i].free, real_of(l, t->to)};
    l->size[i].free = b;
    if (t->bytes < 1 << 16)
        memset(b->real, 0xff, t->bytes); /* NaN */
    else
        madvise(b->real, t->bytes, MADV_REMOVE);
}

static void release(const BufferMemory *m, void *data, size_t bytes, size_t align, Queue *last)
{
    Late *l = of_memory(m);
    (void)align;
    pthread_mutex_lock(&l->lock);
    Task *t = task_new(0);
    *t = (Task){.run = free_now, .to = data, .bytes = bytes};
    if (last)
        ask(last, t);
    else
        free_now(l, t), free(t);
    pthread_mutex_unlock(&l->lock);
}

/* ---- work -------------------------------------------------------------------------------------------------------- */
static void copy_in(Late *l, Task *t) { memcpy(real_of(l, t->to), t->more, t->bytes); }
static void copy_out(Late *l, Task *t) { memcpy(t->to, real_of(l, t->from), t->bytes); }

static bool copy(Queue *q, CopyWay way, void *to, const void *from, size_t bytes, Status *st)
{
    (void)st;
    pthread_mutex_lock(&q->late->lock);
    Task *t = task_new(way == COPY_IN ? (bytes + 7) / 8 : 0);
    if (way == COPY_IN) memcpy(t->more, from, bytes);
    t->run = way == COPY_IN ? copy_in : copy_out;
    t->to = to;
    t->from = from;
    t->bytes = bytes;
    ask(q, t);
    pthread_mutex_unlock(&q->late->lock);
    return true;
}

static void op_now(Late *l, Task *t)
{
    View *v = (View *)t->more;
    const int64_t *attr = (const int64_t *)(v + t->nin + t->nout);
    for (uint32_t i = 0; i < t->nin + t->nout; i++) v[i].data = real_of(l, v[i].data);
    const EagerCtx c = {.threads = t->threads, .kept = *t->kept, .blas = t->blas};
    eager_run(&c, t->op, v, t->nin, attr, t->nattr, v + t->nin, t->nout, &l->fault);
}

static bool op(Queue *q, const OpCall *c, void *ready, Status *st)
{
    (void)ready, (void)st;
    _Static_assert(sizeof(View) % sizeof(uint64_t) == 0, "views are words");
    Task *t = task_new((c->nin + c->nout) * sizeof(View) / 8 + c->nattr);
    pthread_mutex_lock(&q->late->lock);
    View *v = (View *)t->more;
    if (c->nin) memcpy(v, c->in, c->nin * sizeof *v);
    memcpy(v + c->nin, c->out, c->nout * sizeof *v);
    if (c->nattr) memcpy(v + c->nin + c->nout, c->attr, c->nattr * sizeof *c->attr);
    t->run = op_now;
    t->op = c->op;
    t->nin = c->nin;
    t->nout = c->nout;
    t->nattr = c->nattr;
    t->kept = &q->kept;
    t->threads = c->c->threads;
    t->blas = c->c->blas;
    ask(q, t);
    pthread_mutex_unlock(&q->late->lock);
    return true;
}

static int32_t enter(Late *l, Task *t)
{
    void **buf = (void **)t->more;
    for (uint32_t i = 0; i < t->nbuf; i++) buf[i] = real_of(l, buf[i]);
    return t->entry(buf, (const int64_t *)(buf + t->nbuf), real_of(l, t->to), t->host);
}

static void launch_now(Late *l, Task *t)
{
    const int32_t rc = enter(l, t);
    if (rc != 0) status_fail(&l->fault, (StatusCode)(rc % ENTRY_LOOP), "%s: a program that ran late failed", l->name);
}

static int32_t launch(Queue *q, const Launch *c, Status *st)
{
    (void)st;
    int32_t rc = 0;
    Task *t = task_new(c->nbuf + c->ndim);
    if (c->nbuf) memcpy(t->more, c->buf, c->nbuf * sizeof *c->buf);
    if (c->ndim) memcpy(t->more + c->nbuf, c->dim, c->ndim * sizeof *c->dim);
    t->run = launch_now;
    t->nbuf = c->nbuf;
    t->to = c->work;
    t->entry = c->entry;
    t->host = c->host;
    if (c->now) {
        rc = enter(q->late, t);
        free(t);
        return rc;
    }
    pthread_mutex_lock(&q->late->lock);
    ask(q, t);
    pthread_mutex_unlock(&q->late->lock);
    return 0;
}

/* ---- for tests --------------------------------------------------------------------------------------------------- */
bool late_is_own(void) { return device_preferred() != HOST; }
static char kept_name[2][32]; /* of the devices in their place */
const char *late_name(int i) { return late_keeps() ? kept_name[i] : late[i].name; }
bool late_is_emulated(void) { return strncmp(late_name(0), "emu:", 4) == 0; }
bool late_keeps(void) { return late_is_own() && device_preferred() != late[0].memory.device; }
uint32_t late_number(int i) { return late[i].memory.device; }
uint64_t late_ran(void) { return late[0].ran + late[1].ran; }
void late_fail(int i, const char *why) { status_fail(&late[i].fault, ST_DEVICE, "%s: %s", late[i].name, why); }

static Spare *given; /* by late_data, to any thread */
static pthread_mutex_t giving = PTHREAD_MUTEX_INITIALIZER;

static void give_back(void)
{
    for (Spare *b = given, *next; b; b = next) {
        next = b->next;
        free(b->real);
        free(b);
    }
}

const void *late_data_at(kiln_site at, kiln_tensor *x)
{
    const size_t bytes = kiln_bytes(x);
    if (!late_is_own() || !x) return kiln_data_at(at, x);
    Spare *b = malloc(sizeof *b);
    if (!b) abort();
    pthread_mutex_lock(&giving);
    *b = (Spare){given, calloc(1, bytes + 1)};
    given = b;
    pthread_mutex_unlock(&giving);
    return kiln_read_at(at, kiln_of_tensor(x), b->real, bytes) ? b->real : NULL;
}

static void prefer_emulated(void)
{
    Status st = {0};
    uint32_t number;
    for (int i = 0; i < 2; i++) snprintf(kept_name[i], sizeof kept_name[i], "emu:%d", i);
    if (!device_named(kept_name[0], &number, &st)) {
        fprintf(stderr, "KILN_TEST_DEVICE=emu: %s\n", st.text);
        exit(1);
    }
    device_prefer(number);
}

/* One card is two devices, each with a part of its memory. Without a card the program is skipped. */
static void prefer_card(void)
{
    Status st = {0};
    uint32_t number;
    const char *card = getenv("KILN_TEST_CARD");
    if (!card || !*card) card = "gpu:0";
    for (int i = 0; i < 2; i++) snprintf(kept_name[i], sizeof kept_name[i], "%.16s/%d", card, i);
    if (!device_split(card, (const size_t[]){(size_t)8 << 30, (size_t)8 << 30}, 2, &st) || !device_named(kept_name[0], &number, &st)) {
        printf("skip: %s\n", st.text);
        exit(77);
    }
    device_prefer(number);
}

__attribute__((constructor)) static void add_devices(void)
{
    const char *seed = getenv("KILN_LATE_SEED"), *own = getenv("KILN_TEST_DEVICE");
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    for (int i = 0; i < 2; i++) {
        Late *l = &late[i];
        snprintf(l->name, sizeof l->name, "late:%d", i);
        l->memory = (BufferMemory){.device = (uint8_t)device_next(), .alloc = alloc, .free = release};
        l->row = (Device){.memory = &l->memory,
            .name = l->name,
            .backend = "cpu",
            .queue = take_queue,
            .queue_done = queue_done,
            .copy = copy,
            .op = op,
            .launch = launch,
            .record = record,
            .wait = wait_for,
            .sync = sync_with,
            .fault = fault};
        l->seed = (seed ? strtoull(seed, NULL, 10) : 1) * 0x9e3779b97f4a7c15u + (uint64_t)i + 1;
        pthread_mutex_init(&l->lock, &recursive);
        device_add(&l->row);
    }
    if (own && strcmp(own, "late") == 0) device_prefer(late[0].memory.device);
    if (own && strcmp(own, "emu") == 0) prefer_emulated();
    if (own && strcmp(own, "gpu") == 0) prefer_card();
    atexit(give_back);
}
