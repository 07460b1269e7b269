/* panels: see panels.h. */
#include "panels.h"

#define MOST_LAYOUTS 8                   /* kept of one buffer */
#define WORTH_KEEPING ((int64_t)1 << 17) /* multiplications */

/* All that decides on what packed elements are and where they lie; no padding. */
typedef struct Layout {
    const void *b;
    const ContractType *type;
    int64_t b_type, n, k, b_row, b_col, axes, batch[8], b_batch[8];
} Layout;

typedef struct Packed {
    Panels panels; /* first */
    Layout layout;
    Kind kind;
} Packed;

#define HEAD ((sizeof(Packed) + BUFFER_ALIGN - 1) / BUFFER_ALIGN * BUFFER_ALIGN)

/* ---- where they lie --------------------------------------------------------------------------- */

static bool is_one(const HostContract *c, int axis) { return c->b_batch[axis] == 0 || c->batch[axis] == 1; }

static Layout layout_of(const HostContract *c)
{
    Layout l = {c->b, contract_type(c), contract_b(c), c->n, c->k, c->b_row, c->b_col, 0, {0}, {0}};
    for (int i = 0; i < c->nbatch; i++) {
        if (is_one(c, i)) continue;
        l.batch[l.axes] = c->batch[i];
        l.b_batch[l.axes++] = c->b_batch[i];
    }
    return l;
}

static int64_t matrices(const Layout *l)
{
    int64_t n = 1;
    for (int i = 0; i < l->axes; i++) n *= l->batch[i];
    return n;
}

const char *panels_at(const Panels *p, const HostContract *c, int64_t batch, int64_t column, int64_t k)
{
    const ContractType *type = contract_type(c);
    int64_t matrix = 0, each = 1, size = p->panel / (p->groups * type->wide);
    for (int i = c->nbatch; i-- > 0; batch /= c->batch[i]) {
        if (is_one(c, i)) continue;
        matrix += batch % c->batch[i] * each;
        each *= c->batch[i];
    }
    return p->at + matrix * p->matrix + column / type->wide * p->panel + k / type->group * type->wide * size;
}

/* ---- packing ---------------------------------------------------------------------------------- */

/* One of them: a panel of a matrix. */
static void pack_some(void *arg, int64_t lo, int64_t hi)
{
    const Packed *p = arg;
    const Layout *l = &p->layout;
    const ContractType *type = l->type;
    const int64_t panels = tree_blocks(l->n, type->wide), bytes = (int64_t)dtype_bytes((DType)l->b_type), slab = SLAB * type->group;
    for (; lo < hi; lo++) {
        int64_t matrix = lo / panels, column = lo % panels * type->wide, at = column * l->b_col;
        char *to = (char *)(uintptr_t)p->panels.at + matrix * p->panels.matrix + lo % panels * p->panels.panel;
        for (int64_t i = l->axes; i-- > 0; matrix /= l->batch[i]) at += matrix % l->batch[i] * l->b_batch[i];
        for (int64_t k = 0; k < l->k; k += slab, to += p->panels.panel / p->panels.groups * SLAB) {
            const char *from = (const char *)l->b + (at + k * l->b_row) * bytes;
            type->pack_b(to, (Part){from, l->b_col, l->b_row, p->kind}, MIN_OF(l->k - k, slab), MIN_OF(l->n - column, type->wide));
        }
    }
}

static void free_panels(Attachment *d)
{
    Panels *p = (Panels *)(void *)d;
    atomic_fetch_sub_explicit(&p->cache->bytes, p->bytes, memory_order_relaxed);
    buffer_release(p->memory);
}

/* Takes the bytes of one more from what the cache may have. False: they are too many. */
static bool take(PanelCache *cache, size_t bytes)
{
    size_t before = atomic_fetch_add_explicit(&cache->bytes, bytes, memory_order_relaxed);
    if (before <= cache->most && bytes <= cache->most - before) return true;
    atomic_fetch_sub_explicit(&cache->bytes, bytes, memory_order_relaxed);
    return false;
}

/* NULL: there is no memory for it, or it may not take so much. */
static Packed *pack(ThreadPool *threads, const HostContract *c, const Layout *l)
{
    PanelCache *cache = c->keep->cache;
    const int64_t groups = tree_blocks(l->k, l->type->group), panels = tree_blocks(l->n, l->type->wide), count = matrices(l);
    int64_t panel = groups * l->type->wide * (int64_t)dtype_bytes(contract_compute(c)), bytes, matrix = panels * panel;
    if (__builtin_mul_overflow(matrix, count, &bytes) || !take(cache, (size_t)bytes)) return NULL;
    Status none;
    Buffer *memory = contract_memory(threads, HEAD + (size_t)bytes, &none);
    if (!memory) {
        atomic_fetch_sub_explicit(&cache->bytes, (size_t)bytes, memory_order_relaxed);
        return NULL;
    }
    Packed *p = memory->data;
    *p = (Packed){.panels = {.attached = {.free = free_panels}, .memory = memory, .cache = cache, .bytes = (size_t)bytes}};
    p->panels.at = (char *)memory->data + HEAD;
    p->panels.groups = groups;
    p->panels.panel = panel;
    p->panels.matrix = matrix;
    p->layout = *l;
    p->kind = contract_kind(c, contract_b(c));
    contract_each(threads, pack_some, p, count * panels);
    atomic_fetch_add_explicit(&cache->packed, 1, memory_order_relaxed);
    return p;
}

/* ---- keeping ---------------------------------------------------------------------------------- */

/* *count: how many there are. */
static Packed *find(Attachment *first, const Layout *l, int *count)
{
    *count = 0;
    for (Attachment *d = first; d; d = d->next, ++*count) {
        Packed *p = (Packed *)(void *)d;
        if (memcmp(&p->layout, l, sizeof *l) == 0) return p;
    }
    return NULL;
}

/* The first of those who pack the same at once is the one whose panels stay. */
static Packed *add(Buffer *of, Attachment *first, Packed *p)
{
    int count;
    for (p->panels.attached.next = first; !atomic_compare_exchange_weak_explicit(
             &of->attached, &first, &p->panels.attached, memory_order_acq_rel, memory_order_acquire);
         p->panels.attached.next = first) {
        Packed *other = find(first, &p->layout, &count);
        if (!other) continue;
        free_panels(&p->panels.attached);
        return other;
    }
    return p;
}

/* Whether the layout was looked for before. Of many layouts some are believed to have been that were not: they are packed early. */
static bool wanted_again(Buffer *of, const Layout *l)
{
    const uint64_t bit = (uint64_t)1 << (hash_bytes(0, l, sizeof *l) >> 58);
    return atomic_fetch_or_explicit(&of->wanted, bit, memory_order_relaxed) & bit;
}

size_t panels_bytes(const Buffer *of)
{
    size_t bytes = 0;
    if (!of->pool) return 0; /* borrowed memory has none */
    for (const Attachment *d = atomic_load_explicit(&of->attached, memory_order_acquire); d; d = d->next)
        bytes += ((const Panels *)(const void *)d)->bytes;
    return bytes;
}

const Panels *panels_of(ThreadPool *threads, const HostContract *c)
{
    Buffer *of = c->keep ? c->keep->of : NULL;
    int count;
    if (!of || !of->pool || !contract_type(c)->cell || c->k * c->n < WORTH_KEEPING / c->m || is_few(c)) return NULL;
    const Layout l = layout_of(c);
    Attachment *first = atomic_load_explicit(&of->attached, memory_order_acquire);
    Packed *p = find(first, &l, &count);
    if (!p) {
        if (count == MOST_LAYOUTS || !wanted_again(of, &l) || !(p = pack(threads, c, &l))) return NULL;
        p = add(of, first, p);
    }
    atomic_fetch_add_explicit(&c->keep->cache->used, 1, memory_order_relaxed);
    return &p->panels;
}
