/* cache: the rows of a function, and when they may go. Lookups take no lock: rows hang in lists that only grow at their heads or lose a
 * member, and a row or function is freed only when no thread's `running` names it. A thread says what it is about to use before it looks
 * (call_enter), whoever takes something away looks at what threads said afterwards: one of the two always sees the other. Bytes are
 * bounded; a clock (second chance) picks what goes. Never traces, never compiles. */
#include "function.h"

/* ---- calls in progress ---------------------------------------------------------------------------------------- */
bool call_enter(Thread *t, kiln_site at, kiln_function *f)
{
    if (UNLIKELY(t->calls == CALLS_MAX)) {
        fail(t, at, KILN_ESTATE, "%s: calls nested %d deep: does it call itself without end?",
            f->name, CALLS_MAX);
        return false;
    }
    atomic_store(&t->running[t->calls++].f, f);
    return true;
}

void call_leave(Thread *t)
{
    Running *r = &t->running[--t->calls];
    atomic_store_explicit(&r->row, NULL, memory_order_release);
    atomic_store_explicit(&r->f, NULL, memory_order_release);
    if (UNLIKELY(atomic_load_explicit(&t->k->pending, memory_order_relaxed))) cache_sweep(t->k);
}

/* Whether a call uses the row, or may be about to; row NULL: uses the function at all. Under the engine's lock. */
static bool in_use(const kiln *k, const kiln_function *f, const Row *row)
{
    for (Thread *t = k->thread_list; t; t = t->next)
        for (uint32_t i = 0; i < CALLS_MAX; i++) {
            if (atomic_load(&t->running[i].f) != f) continue;
            const Row *r = atomic_load(&t->running[i].row);
            if (!row || !r || r == row) return true;
        }
    return false;
}

/* ---- lookup -------------------------------------------------------------------------------------------------------- */
static Row *scan(Row *_Atomic *list, uint64_t key, kiln_tensor *const *in, int nin)
{
    Row *r = atomic_load(list);
    while (r && !row_fits(r, key, in, nin)) r = atomic_load(&r->next);
    return r;
}

/* Only under the lock: a row that was taken out meanwhile must not come back. */
static void learn(kiln_function *f, uint64_t key, Row *row)
{
    if (pthread_mutex_trylock(&f->compiling)) return;
    if (!row->retired) atomic_store(&f->memo[key % ROW_MEMO], row);
    pthread_mutex_unlock(&f->compiling);
}

Row *cache_find(kiln_function *f, uint64_t key, kiln_tensor *const *in, int nin)
{
    Row *row = atomic_load(&f->memo[key % ROW_MEMO]);
    if (UNLIKELY(!row || !row_fits(row, key, in, nin))) {
        row = scan(&f->bucket[key % ROW_BUCKETS], key, in, nin);
        if (!row) row = scan(&f->general, key, in, nin);
        if (!row) return NULL;
        learn(f, key, row);
    }
    if (UNLIKELY(!atomic_load_explicit(&row->recent, memory_order_relaxed)))
        atomic_store_explicit(&row->recent, true, memory_order_relaxed);
    return row;
}

/* ---- the lists; under `compiling` ------------------------------------------------------------------------------ */
static void link_newest(kiln_function *f, Row *row)
{
    row->newer = NULL;
    row->older = f->newest;
    if (f->newest) f->newest->newer = row;
    f->newest = row;
    if (!f->oldest) f->oldest = row;
}

static void unlink_row(kiln_function *f, Row *row)
{
    if (row->newer)
        row->newer->older = row->older;
    else
        f->newest = row->older;
    if (row->older)
        row->older->newer = row->newer;
    else
        f->oldest = row->newer;
}

static Row *_Atomic *list_of(kiln_function *f, const Row *row)
{
    return row->bounded ? &f->general : &f->bucket[row->key % ROW_BUCKETS];
}

/* Out of every list; who is on it still finds its way on. Freed when nobody uses it. */
static void retire(kiln_function *f, Row *row)
{
    Row *_Atomic *link = list_of(f, row);
    while (atomic_load(link) != row) link = &atomic_load(link)->next;
    atomic_store(link, atomic_load(&row->next));
    for (int i = 0; i < ROW_MEMO; i++)
        if (atomic_load(&f->memo[i]) == row) atomic_store(&f->memo[i], NULL);
    unlink_row(f, row);
    f->cached -= row->bytes;
    f->nrows--;
    pthread_mutex_lock(&f->k->lock);
    row->retired = true;
    row->older = f->limbo;
    f->limbo = row;
    pthread_mutex_unlock(&f->k->lock);
}

static bool held(const kiln_function *f, const Row *row)
{
    pthread_mutex_lock(&f->k->lock);
    bool yes = row->held != 0;
    pthread_mutex_unlock(&f->k->lock);
    return yes;
}

static uint32_t evict(kiln_function *f, const Row *keep)
{
    size_t bound = f->options.cache_bytes ? f->options.cache_bytes : (size_t)64 << 20;
    uint32_t gone = 0;
    for (uint32_t turns = 2 * f->nrows; f->cached > bound && turns; turns--) {
        Row *row = f->oldest;
        if (row != keep && !atomic_exchange(&row->recent, false) && !held(f, row)) {
            retire(f, row);
            gone++;
            continue;
        }
        unlink_row(f, row);
        link_newest(f, row);
    }
    return gone;
}

void cache_add(kiln_function *f, Row *row, Row *replaced)
{
    Row *_Atomic *list = list_of(f, row);
    atomic_store(&row->next, atomic_load(list));
    atomic_store(list, row);
    atomic_store(&f->memo[row->key % ROW_MEMO], row);
    link_newest(f, row);
    f->cached += row->bytes;
    f->nrows++;
    if (replaced) retire(f, replaced);
    uint32_t gone = evict(f, row);
    stats_evicted(f, f->cached, f->nrows, gone);
    if (gone || replaced) cache_sweep(f->k);
}

/* ---- letting go ---------------------------------------------------------------------------------------------------- */
void row_hold(Row *row, kiln *k)
{
    pthread_mutex_lock(&k->lock);
    row->held++;
    pthread_mutex_unlock(&k->lock);
}

void row_drop(Row *row, kiln *k)
{
    pthread_mutex_lock(&k->lock);
    bool last = --row->held == 0 && row->retired;
    pthread_mutex_unlock(&k->lock);
    if (last) cache_sweep(k);
}

/* Rows that can go, put on *dead; a derived function that must go first, if there is one. Under the engine's lock. */
static kiln_function *take_rows(kiln *k, kiln_function *f, Row **dead)
{
    for (Row **link = &f->limbo, *row; (row = *link);) {
        if (row->held || in_use(k, f, row)) {
            if (!row->held) atomic_store(&k->pending, true);
            link = &row->older;
        } else if (row->derived) {
            if (row->vjp) {
                row->vjp->held++; /* until it is freed, by whomever */
                return row->vjp;
            }
            link = &row->older;
        } else {
            *link = row->older;
            row->older = *dead;
            *dead = row;
        }
    }
    return NULL;
}

static void take_function(kiln *k, kiln_function *f, kiln_function **gone)
{
    if (!f->freed || f->held) return;
    if (in_use(k, f, NULL)) {
        atomic_store(&k->pending, true);
        return;
    }
    if (f->prev)
        f->prev->next = f->next;
    else
        k->functions = f->next;
    if (f->next) f->next->prev = f->prev;
    f->next = *gone;
    *gone = f;
}

void cache_sweep(kiln *k)
{
    for (kiln_function *first = NULL;;) {
        Row *dead = NULL;
        kiln_function *gone = NULL;
        pthread_mutex_lock(&k->lock);
        atomic_store(&k->pending, false);
        for (kiln_function *f = k->functions, *next; f; f = next) {
            next = f->next;
            if (!first) first = take_rows(k, f, &dead);
            take_function(k, f, &gone);
        }
        pthread_mutex_unlock(&k->lock);
        for (Row *row = dead, *next; row; row = next) {
            next = row->older;
            row_free(row);
        }
        for (kiln_function *f = gone, *next; f; f = next) {
            next = f->next;
            function_destroy(f);
        }
        if (!first) return;
        kiln_function_free(first);
        function_drop(first);
        first = NULL;
    }
}

void cache_free_rows(kiln_function *f)
{
    for (Row *r = f->newest, *next; r; r = next) {
        next = r->older;
        row_free(r);
    }
    for (Row *r = f->limbo, *next; r; r = next) {
        next = r->older;
        row_free(r);
    }
    f->newest = f->oldest = f->limbo = NULL;
}
