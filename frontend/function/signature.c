/* signature: which instance serves a call. The key of the concrete sizes, the comparison that decides, how a call missed, and when
 * sizes that keep changing become symbols. Relies on tensor headers' cached hashes. Never compiles, never changes the cache. */
#include "function.h"

#include <stdio.h>

bool declared_symbol(const kiln_function *f, int arg, int axis)
{
    if ((uint32_t)arg >= f->nspec) return false;
    const kiln_size *s = &f->spec[arg].size[axis];
    return f->spec[arg].rank >= 0 && s->name && s->lo != s->hi;
}

static uint32_t group_of(const Instance *r, int arg, int axis)
{
    return r->traced.plan.groups ? r->traced.plan.group[arg * MAX_RANK + axis] : 0;
}

/* Whether a size that became a symbol by itself lies within its bounds and is the same wherever the symbol stands. Declared symbols
 * were checked before, with an error that names them. */
static bool symbol_fits(const Instance *r, int arg, int axis, int64_t have, int64_t *seen)
{
    uint32_t g = group_of(r, arg, axis);
    if (!g) return true;
    if (have < 1 || have > r->traced.plan.hi[g - 1] || (seen[g - 1] >= 0 && seen[g - 1] != have)) return false;
    seen[g - 1] = have;
    return true;
}

bool instance_fits(const Instance *r, uint64_t key, kiln_tensor *const *in, int nin)
{
    if (r->traced.narg != (uint32_t)nin) return false;
    if (r->key != key && (!r->traced.bounded || (r->key ^ key) >> KEY_DEVICE != 0)) return false;
    int64_t seen[PLAN_GROUPS] = {-1, -1, -1, -1};
    _Static_assert(PLAN_GROUPS == 4, "as many as there are initial values");
    for (int i = 0; i < nin; i++) {
        const Type *a = &r->traced.arg[i], *b = &in[i]->type;
        if (a->dtype != b->dtype || a->rank != b->rank) return false;
        if (UNLIKELY(a->dtype == DT_NONE)) {
            Fixed v = static_value(in[i]);
            if (!fixed_equal(&r->traced.fixed[i], &v)) return false;
        }
        for (int d = 0; d < a->rank; d++)
            if (a->dim[d] >= 0 ? a->dim[d] != b->dim[d] : !symbol_fits(r, i, d, b->dim[d], seen)) return false;
    }
    return true;
}

/* ---- how a call differs from an instance --------------------------------------------------------------------------- */
typedef struct Difference {
    uint32_t count;
    bool sizes_only; /* the two differ in sizes alone, always by the same pair of sizes */
    bool bound;      /* a size exceeds the bound of a symbol */
    MissKind kind;   /* the kind of the first difference */
    int argument, dim;
    int64_t from, to;
    Fixed was, now;
} Difference;

static void note(Difference *d, MissKind kind, int arg, int dim, int64_t from, int64_t to)
{
    bool size = kind == MISS_SIZE;
    if (!d->count)
        *d = (Difference){.sizes_only = size, .kind = kind, .argument = arg, .dim = dim, .from = from, .to = to, .bound = d->bound};
    d->count++;
    d->bound = d->bound || kind == MISS_BOUND;
    d->sizes_only = d->sizes_only && size && d->from == from && d->to == to;
}

static void compare_sizes(const Instance *r, int i, const Type *b, Difference *d, int64_t *seen, uint8_t *mask)
{
    const Type *a = &r->traced.arg[i];
    for (int j = 0; j < a->rank; j++) {
        uint32_t g = group_of(r, i, j);
        if (a->dim[j] >= 0 && a->dim[j] != b->dim[j]) {
            note(d, MISS_SIZE, i, j, a->dim[j], b->dim[j]);
            mask[i * MAX_RANK + j] = 1;
        } else if (g && seen[g - 1] >= 0 && seen[g - 1] != b->dim[j]) {
            note(d, MISS_OTHER, i, j, seen[g - 1], b->dim[j]); /* what was one size is two */
        } else if (g && b->dim[j] > r->traced.plan.hi[g - 1]) {
            note(d, MISS_BOUND, i, j, r->traced.plan.hi[g - 1], b->dim[j]);
        } else if (g && b->dim[j] < 1) {
            note(d, MISS_OTHER, i, j, r->traced.made[i].dim[j], b->dim[j]);
        }
        if (g) seen[g - 1] = b->dim[j];
    }
}

/* mask: nin * MAX_RANK zeros, set where constant sizes differ. */
static void compare(const Instance *r, kiln_tensor *const *in, int nin, Difference *d, uint8_t *mask)
{
    int64_t seen[PLAN_GROUPS] = {-1, -1, -1, -1};
    *d = (Difference){.argument = -1, .dim = -1};
    if (r->traced.narg != (uint32_t)nin) {
        note(d, MISS_COUNT, -1, -1, r->traced.narg, nin);
        d->count = UINT32_MAX;
        return;
    }
    for (int i = 0; i < nin; i++) {
        const Type *a = &r->traced.arg[i], *b = &in[i]->type;
        Fixed v = static_value(in[i]);
        if (in[i]->device != r->traced.device && !v.kind && !tensor_joins(in[i]))
            note(d, MISS_DEVICE, i, -1, r->traced.device, in[i]->device);
        if (a->dtype != b->dtype) note(d, MISS_DTYPE, i, -1, a->dtype, b->dtype);
        if (a->rank != b->rank) note(d, MISS_RANK, i, -1, a->rank, b->rank);
        if (v.kind && r->traced.fixed[i].kind && !fixed_equal(&r->traced.fixed[i], &v)) {
            note(d, MISS_STATIC, i, -1, 0, 0);
            if (d->argument == i) d->was = r->traced.fixed[i], d->now = v;
        }
        if (a->rank == b->rank) compare_sizes(r, i, b, d, seen, mask);
    }
}

static const char *dtype_text(int64_t d) { return d == DT_NONE ? "static" : dtype_info[d].name; }

static void describe(const Difference *d, Miss *m)
{
    char *to = m->text, was[48], now[48];
    size_t cap = sizeof m->text;
    long long from = d->from, size = d->to;
    switch (d->kind) {
    case MISS_COUNT: snprintf(to, cap, "%lld arguments -> %lld", from, size); return;
    case MISS_DTYPE: snprintf(to, cap, "arg %d dtype: %s -> %s", d->argument, dtype_text(d->from), dtype_text(d->to)); return;
    case MISS_DEVICE:
        snprintf(to, cap, "arg %d device: %s -> %s", d->argument, device_name((uint32_t)d->from), device_name((uint32_t)d->to));
        return;
    case MISS_RANK: snprintf(to, cap, "arg %d rank: %lld -> %lld", d->argument, from, size); return;
    case MISS_SIZE:
    case MISS_OTHER: snprintf(to, cap, "arg %d dim %d: %lld -> %lld", d->argument, d->dim, from, size); return;
    case MISS_BOUND: snprintf(to, cap, "arg %d dim %d: %lld is beyond the bound %lld", d->argument, d->dim, size, from); return;
    case MISS_STATIC:
        snprintf(to, cap, "arg %d static: %s -> %s", d->argument, fixed_text(&d->was, was, sizeof was),
            fixed_text(&d->now, now, sizeof now));
        return;
    case MISS_FIRST: snprintf(to, cap, "first call"); return;
    }
}

#define LOOK_BACK 64 /* instances that a miss is compared with */

void signature_miss(const kiln_function *f, kiln_tensor *const *in, int nin, Miss *out)
{
    size_t bytes = (size_t)nin * MAX_RANK + 1;
    uint8_t *mask = mem_zeros(bytes, 1);
    Difference best = {.kind = MISS_FIRST, .argument = -1, .dim = -1};
    bool any = false;
    uint32_t looked = 0;
    for (const Instance *r = f->newest; r && mask && looked < LOOK_BACK; r = r->older, looked++) {
        Difference d;
        compare(r, in, nin, &d, mask);
        if (!any || d.count < best.count) best = d;
        any = true;
    }
    mem_free(mask, bytes);
    *out = (Miss){
        .kind = best.kind, .argument = best.argument, .dim = best.dim, .from = best.from, .to = best.to, .differences = best.count};
    describe(&best, out);
    if (!any && f->stats.traces) snprintf(out->text, sizeof out->text, "nothing is cached");
}

/* ---- sizes become symbols --------------------------------------------------------------------------------------- */
#define REPEATS 3 /* misses by the same sizes alone, this one included */

typedef struct Rigid {
    struct Rigid *next;
    size_t bytes;
    uint8_t group[];
} Rigid;

static bool is_rigid(const kiln_function *f, const uint8_t *group, size_t bytes)
{
    for (const Rigid *r = f->rigid; r; r = r->next)
        if (r->bytes == bytes && !memcmp(r->group, group, bytes)) return true;
    return false;
}

void signature_rigid(kiln_function *f, const Plan *plan, int nin)
{
    size_t bytes = (size_t)nin * MAX_RANK;
    Rigid *r = mem_zeros(1, sizeof *r + bytes);
    if (!r) return; /* it will be tried again */
    r->bytes = bytes;
    memcpy(r->group, plan->group, bytes);
    r->next = f->rigid;
    f->rigid = r;
}

void rigid_free(kiln_function *f)
{
    for (Rigid *r = f->rigid, *next; r; r = next) {
        next = r->next;
        mem_free(r, sizeof *r + r->bytes);
    }
    f->rigid = NULL;
}

/* The new bound is at least twice the largest size seen, so that growing sizes do not compile at every step. */
static int64_t bound_for(int64_t seen)
{
    int64_t hi = 2;
    while (hi < 2 * seen && hi < DIM_MAX) hi *= 2;
    return hi;
}

/* The instance would fit if its own symbols had larger bounds: makes the same plan with larger ones. */
static bool grow(const Instance *r, kiln_tensor *const *in, int nin, Plan *plan)
{
    for (uint32_t g = 0; g < r->traced.plan.groups; g++) plan->hi[g] = r->traced.plan.hi[g];
    plan->groups = r->traced.plan.groups;
    memcpy((uint8_t *)plan->group, r->traced.plan.group, (size_t)nin * MAX_RANK);
    for (int i = 0; i < nin; i++)
        for (int d = 0; d < r->traced.arg[i].rank; d++) {
            uint32_t g = group_of(r, i, d);
            if (g && in[i]->type.dim[d] > plan->hi[g - 1]) plan->hi[g - 1] = bound_for(in[i]->type.dim[d]);
        }
    return true;
}

static bool same_groups(const Instance *a, const Instance *b)
{
    const Plan *p = &a->traced.plan, *q = &b->traced.plan;
    return p->groups == q->groups && (!p->groups || !memcmp(p->group, q->group, (size_t)a->traced.narg * MAX_RANK));
}

/* How many cached instances the call differs from by exactly these sizes, and the largest of them. */
static uint32_t repeats(const kiln_function *f, const Instance *like, kiln_tensor *const *in, int nin, const uint8_t *mask,
    uint8_t *other, int64_t *largest)
{
    uint32_t n = 0, looked = 0;
    size_t bytes = (size_t)nin * MAX_RANK;
    for (const Instance *r = f->newest; r && looked < LOOK_BACK; r = r->older, looked++) {
        Difference d;
        memset(other, 0, bytes);
        compare(r, in, nin, &d, other);
        if (!d.count || !d.sizes_only || d.from < 1 || !same_groups(r, like) || memcmp(mask, other, bytes)) continue;
        *largest = MAX_OF(*largest, MAX_OF(d.from, d.to));
        n++;
    }
    return n;
}

/* One more symbol than `r` has, where the mask says. */
static bool widen(const Instance *r, int nin, const uint8_t *mask, int64_t largest, Plan *plan)
{
    uint8_t *group = (uint8_t *)plan->group;
    plan->groups = r->traced.plan.groups + 1;
    memcpy(plan->hi, r->traced.plan.hi, sizeof plan->hi);
    plan->hi[plan->groups - 1] = bound_for(largest);
    for (int i = 0; i < nin * MAX_RANK; i++)
        group[i] = mask[i] ? (uint8_t)plan->groups : r->traced.plan.groups ? r->traced.plan.group[i] : 0;
    return true;
}

static bool choose(kiln_function *f, kiln_tensor *const *in, int nin, uint8_t *mask, uint8_t *other, Plan *plan, Instance **grown)
{
    size_t bytes = (size_t)nin * MAX_RANK;
    uint32_t looked = 0;
    for (Instance *r = f->newest; r && looked < LOOK_BACK; r = r->older, looked++) {
        Difference d;
        memset(mask, 0, bytes);
        compare(r, in, nin, &d, mask);
        if (d.bound && !memchr(mask, 1, bytes)) {
            Difference again;
            grow(r, in, nin, plan);
            Instance wider = *r;
            wider.traced.plan = *plan;
            compare(&wider, in, nin, &again, mask);
            if (!again.count && !is_rigid(f, plan->group, bytes)) return *grown = r, true;
            continue;
        }
        if (!d.count || !d.sizes_only || d.from < 1 || d.to < 1 || r->traced.plan.groups == PLAN_GROUPS) continue;
        int64_t largest = 0;
        if (repeats(f, r, in, nin, mask, other, &largest) < REPEATS) continue;
        widen(r, nin, mask, largest, plan);
        if (!is_rigid(f, plan->group, bytes)) return true;
    }
    return false;
}

/* Whether the sizes lie within a plan that is known beforehand. */
static bool preset_fits(const kiln_function *f, kiln_tensor *const *in, int nin, const uint8_t *group)
{
    int64_t seen[PLAN_GROUPS] = {-1, -1, -1, -1};
    for (int i = 0; i < nin; i++)
        for (int d = 0; d < in[i]->type.rank; d++) {
            uint32_t g = group[i * MAX_RANK + d];
            int64_t have = in[i]->type.dim[d];
            if (!g) continue;
            if (have < 1 || have > f->preset.hi[g - 1]) return false;
            if (seen[g - 1] >= 0 && seen[g - 1] != have) return false;
            seen[g - 1] = have;
        }
    return !is_rigid(f, group, (size_t)nin * MAX_RANK);
}

bool signature_generalise(kiln_function *f, kiln_tensor *const *in, int nin, Plan *plan, Instance **grown)
{
    *grown = NULL;
    *plan = (Plan){0};
    if (f->options.fixed_sizes || f->nspec || !nin) return false;
    bool preset = f->preset.groups && f->preset_args == (uint32_t)nin;
    if (!preset && !f->newest) return false;
    size_t bytes = (size_t)nin * MAX_RANK;
    uint8_t *all = mem_zeros(2, bytes);
    uint8_t *group = mem_zeros(1, bytes);
    plan->group = group;
    bool yes = false;
    if (all && group && preset && preset_fits(f, in, nin, f->preset.group)) {
        memcpy(group, f->preset.group, bytes);
        *plan = f->preset;
        plan->group = group;
        yes = true;
    } else if (all && group) {
        yes = choose(f, in, nin, all, all + bytes, plan, grown);
    }
    mem_free(all, 2 * bytes);
    if (!yes) {
        mem_free(group, bytes);
        plan->group = NULL;
        plan->groups = 0;
    }
    return yes;
}

void plan_text(const Plan *plan, int nin, uint32_t which, char *buf, size_t cap)
{
    size_t len = 0;
    buf[0] = 0;
    for (int i = 0; i < nin * MAX_RANK && len < cap; i++)
        if (plan->group[i] == which)
            len += (size_t)snprintf(buf + len, cap - len, "%sarg %d dim %d", len ? ", " : "", i / MAX_RANK, i % MAX_RANK);
}
