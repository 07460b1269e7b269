/* cache: the instances of a function, and when they may be freed. Looking one up takes no lock: instances hang in lists that only
 * grow at their heads or lose a member, and an instance or function is freed only when no thread's `running` names it (hazard
 * pointers). A thread announces what it is about to use before it searches (call_enter); whoever evicts something unlinks it first
 * and then reads all announcements, so that one side always sees the other. Bytes are bounded; a second-chance clock picks what
 * goes. Never traces, never compiles. */
#include "rest.h"

/* ---- calls in progress ---------------------------------------------------------------------------------------- */
bool call_enter(Thread *t, kiln_site at, kiln_function *f)
{
    if (UNLIKELY(t->calls == CALLS_MAX)) {
        fail(t, at, KILN_ESTATE, "%s: calls nested %d deep: does it call itself without end?", f->name, CALLS_MAX);
        return false;
    }
    atomic_store(&t->running[t->calls++].f, f);
    return true;
}

void call_leave(Thread *t)
{
    Running *r = &t->running[--t->calls];
    atomic_store_explicit(&r->inst, NULL, memory_order_release);
    atomic_store_explicit(&r->f, NULL, memory_order_release);
    if (UNLIKELY(atomic_load_explicit(&t->k->pending, memory_order_relaxed))) cache_sweep(t->k);
}

/* Whether some call uses the instance or is about to; with instance NULL, whether one uses the function at all. Under the engine's
 * lock. */
static bool in_use(const kiln *k, const kiln_function *f, const Instance *inst)
{
    for (Thread *t = k->thread_list; t; t = t->next)
        for (uint32_t i = 0; i < CALLS_MAX; i++) {
            if (atomic_load(&t->running[i].f) != f) continue;
            const Instance *r = atomic_load(&t->running[i].inst);
            if (!inst || !r || r == inst) return true;
        }
    return false;
}

/* ---- lookup -------------------------------------------------------------------------------------------------------- */
static Instance *scan(Instance *_Atomic *list, uint64_t key, kiln_tensor *const *in, int nin)
{
    Instance *r = atomic_load(list);
    while (r && !instance_fits(r, key, in, nin)) r = atomic_load(&r->next);
    return r;
}

/* The memo is written under the lock alone: otherwise an instance that was evicted meanwhile could come back. */
static void learn(kiln_function *f, uint64_t key, Instance *inst)
{
    if (pthread_mutex_trylock(&f->compiling)) return;
    if (!inst->retired) atomic_store(&f->memo[key % INSTANCE_MEMO], inst);
    pthread_mutex_unlock(&f->compiling);
}

Instance *cache_find(kiln_function *f, uint64_t key, kiln_tensor *const *in, int nin)
{
    Instance *inst = atomic_load(&f->memo[key % INSTANCE_MEMO]);
    if (UNLIKELY(!inst || !instance_fits(inst, key, in, nin))) {
        inst = scan(&f->bucket[key % INSTANCE_BUCKETS], key, in, nin);
        if (!inst) inst = scan(&f->general, key, in, nin);
        if (!inst) return NULL;
        learn(f, key, inst);
    }
    if (UNLIKELY(!atomic_load_explicit(&inst->recent, memory_order_relaxed)))
        atomic_store_explicit(&inst->recent, true, memory_order_relaxed);
    return inst;
}

/* ---- the lists; under `compiling` ------------------------------------------------------------------------------ */
static void link_newest(kiln_function *f, Instance *inst)
{
    inst->newer = NULL;
    inst->older = f->newest;
    if (f->newest) f->newest->newer = inst;
    f->newest = inst;
    if (!f->oldest) f->oldest = inst;
}

static void unlink_instance(kiln_function *f, Instance *inst)
{
    if (inst->newer)
        inst->newer->older = inst->older;
    else
        f->newest = inst->older;
    if (inst->older)
        inst->older->newer = inst->newer;
    else
        f->oldest = inst->newer;
}

static Instance *_Atomic *list_of(kiln_function *f, const Instance *inst)
{
    return inst->traced.bounded ? &f->general : &f->bucket[inst->key % INSTANCE_BUCKETS];
}

/* Takes the instance out of every list. A thread that is looking at it still finds its way on, because its own links stay. It is
 * freed when nobody uses it. */
static void retire(kiln_function *f, Instance *inst)
{
    Instance *_Atomic *link = list_of(f, inst);
    while (atomic_load(link) != inst) link = &atomic_load(link)->next;
    atomic_store(link, atomic_load(&inst->next));
    for (int i = 0; i < INSTANCE_MEMO; i++)
        if (atomic_load(&f->memo[i]) == inst) atomic_store(&f->memo[i], NULL);
    unlink_instance(f, inst);
    f->cached -= inst->bytes;
    f->ninstances--;
    pthread_mutex_lock(&f->k->lock);
    inst->retired = true;
    inst->older = f->limbo;
    f->limbo = inst;
    pthread_mutex_unlock(&f->k->lock);
}

static bool held(const kiln_function *f, const Instance *inst)
{
    pthread_mutex_lock(&f->k->lock);
    bool yes = inst->held != 0;
    pthread_mutex_unlock(&f->k->lock);
    return yes;
}

static uint32_t evict(kiln_function *f, const Instance *keep)
{
    size_t bound = f->options.cache_bytes ? f->options.cache_bytes : (size_t)64 << 20;
    uint32_t gone = 0;
    for (uint32_t turns = 2 * f->ninstances; f->cached > bound && turns; turns--) {
        Instance *inst = f->oldest;
        if (inst != keep && !atomic_exchange(&inst->recent, false) && !held(f, inst)) {
            retire(f, inst);
            gone++;
            continue;
        }
        unlink_instance(f, inst);
        link_newest(f, inst);
    }
    return gone;
}

/* The bytes that a form's code adds, once. */
static size_t newly_counted(Instance *inst)
{
    const Code *code = atomic_load(&inst->code);
    size_t bytes = rests_bytes(inst);
    if (!code || inst->counted) return bytes;
    inst->counted = true;
    return bytes + code->bytes;
}

static void count_code(kiln_function *f)
{
    for (Instance *inst = f->newest; inst; inst = inst->older) {
        Instance *saving = inst->saving;
        const size_t more = newly_counted(inst) + (saving && saving != inst ? newly_counted(saving) : 0);
        inst->bytes += more;
        f->cached += more;
    }
}

void cache_settle(kiln_function *f)
{
    count_code(f);
    uint32_t gone = evict(f, f->newest);
    stats_evicted(f, f->cached, f->ninstances, gone);
    if (gone) cache_sweep(f->k);
}

bool cache_remove(kiln_function *f, Instance *inst)
{
    if (inst->retired) return false; /* which is written under `compiling`, too */
    retire(f, inst);
    stats_evicted(f, f->cached, f->ninstances, 0);
    return true;
}

void cache_add(kiln_function *f, Instance *inst, Instance *replaced)
{
    Instance *_Atomic *list = list_of(f, inst);
    atomic_store(&inst->next, atomic_load(list));
    atomic_store(list, inst);
    atomic_store(&f->memo[inst->key % INSTANCE_MEMO], inst);
    link_newest(f, inst);
    f->cached += inst->bytes;
    f->ninstances++;
    if (replaced) retire(f, replaced);
    count_code(f);
    uint32_t gone = evict(f, inst);
    stats_evicted(f, f->cached, f->ninstances, gone);
    if (gone || replaced) cache_sweep(f->k);
}

void cache_grow(kiln_function *f, Instance *inst, size_t bytes)
{
    pthread_mutex_lock(&f->k->lock);
    const bool cached = !inst->retired;
    pthread_mutex_unlock(&f->k->lock);
    inst->bytes += bytes;
    if (!cached) return;
    f->cached += bytes;
    uint32_t gone = evict(f, inst);
    stats_evicted(f, f->cached, f->ninstances, gone);
    if (gone) cache_sweep(f->k);
}

/* ---- letting go ---------------------------------------------------------------------------------------------------- */
void instance_hold(Instance *inst, kiln *k)
{
    pthread_mutex_lock(&k->lock);
    inst->held++;
    pthread_mutex_unlock(&k->lock);
}

void instance_drop(Instance *inst, kiln *k)
{
    pthread_mutex_lock(&k->lock);
    bool last = --inst->held == 0 && inst->retired;
    pthread_mutex_unlock(&k->lock);
    if (last) cache_sweep(k);
}

/* The instance, or its saving form, if that is what has a derived function. */
static const Instance *derived_form(const Instance *inst)
{
    const Instance *saving = inst->saving;
    return inst->derived ? inst : saving && saving->derived ? saving : NULL;
}

/* Puts the instances that can be freed on *dead, and returns a derived function that must be freed first, if there is one. Under
 * the engine's lock. */
static kiln_function *take_instances(kiln *k, kiln_function *f, Instance **dead)
{
    for (Instance **link = &f->limbo, *inst; (inst = *link);) {
        if (inst->held || in_use(k, f, inst) || background_compiles(k, f)) {
            if (!inst->held) atomic_store(&k->pending, true);
            link = &inst->older;
        } else if (derived_form(inst)) {
            kiln_function *vjp = derived_form(inst)->vjp;
            if (vjp) {
                vjp->held++; /* until it is freed, by whomever */
                return vjp;
            }
            link = &inst->older;
        } else {
            *link = inst->older;
            inst->older = *dead;
            *dead = inst;
        }
    }
    return NULL;
}

static void take_function(kiln *k, kiln_function *f, kiln_function **gone)
{
    if (!f->freed || f->held) return;
    if (in_use(k, f, NULL) || background_compiles(k, f)) {
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
        Instance *dead = NULL;
        kiln_function *gone = NULL;
        pthread_mutex_lock(&k->lock);
        atomic_store(&k->pending, false);
        for (kiln_function *f = k->functions, *next; f; f = next) {
            next = f->next;
            if (!first) first = take_instances(k, f, &dead);
            take_function(k, f, &gone);
        }
        pthread_mutex_unlock(&k->lock);
        for (Instance *inst = dead, *next; inst; inst = next) {
            next = inst->older;
            instance_free(inst);
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

void cache_free_instances(kiln_function *f)
{
    for (Instance *r = f->newest, *next; r; r = next) {
        next = r->older;
        instance_free(r);
    }
    for (Instance *r = f->limbo, *next; r; r = next) {
        next = r->older;
        instance_free(r);
    }
    f->newest = f->oldest = f->limbo = NULL;
}
