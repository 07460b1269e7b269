/* sort: sorts lines of elements along an axis for eager and compiled code. Elements become keys, which are all that counts, so it
 * does not matter who compares what, nor how many threads there are. Many lines, and short ones, are sorted side by side by the
 * same comparisons; others about pivots or by the bytes of the keys, a line per task, or if there are few lines by all threads
 * together. Kernels for those who have no such routine: codegen/lower/lower_sort.c. Relies on kernels.h, contract_parts.h. */
#include "../contract/contract_parts.h"
#include "../eager.h"
#include "kernels.h"

#define NETWORK_SHORT 64                 /* lines so short always go through the network */
#define NETWORK_BYTES ((int64_t)1 << 17) /* and while so many bytes hold as many lines as fit side by side */
#define LONG_LINE 65536                  /* elements that several threads share */
#define CACHE_BYTES 32768                /* of keys, which are moved within a core's cache */
#define WORTH_THREADS 8192
#define INSERTED 24 /* keys for which counting is more work */
#define DIGITS 256

typedef struct Sorting {
    const HostSort *s;
    const SortFns *fns;
    KeyOrder order;
    int64_t width, lanes, columns; /* width: bytes of an element; lanes: how many lie side by side; columns: of lines, in all */
    ThreadPool *threads;
    bool network, places; /* places: what lies side by side are pairs of a key and a place */
    int64_t tasks, slots; /* tasks, which slots with memory of their own share */
    size_t room;          /* bytes of a slot */
    char *memory;
} Sorting;

static KeyOrder key_order(DType t, bool descending)
{
    const DTypeInfo *d = &dtype_info[t];
    const uint64_t all = UINT64_MAX >> (64 - d->bits), sign = all / 2 + 1;
    KeyOrder o = {.is_float = dtype_is_float(t)};
    o.flip = o.is_float || d->kind == DK_INT ? sign : 0;
    o.turned = all;
    if (o.is_float)
        o.largest = ((((uint64_t)1 << d->exponent) - 1) << d->mantissa) + (d->infinite ? 0 : ((uint64_t)1 << d->mantissa) - 2);
    if (descending) o.flip ^= all, o.turned ^= all;
    return o;
}

static const char *element(const Sorting *g, const void *base, int64_t i) { return (const char *)base + i * g->width; }

/* Where line number `column` begins. */
static int64_t first_of(const Sorting *g, int64_t column)
{
    return column / g->s->after * g->s->size * g->s->after + column % g->s->after;
}

/* ---- side by side ----------------------------------------------------------------------------------- */

/* Lines that are neighbours in memory are rows of lanes there already. */
static void move_rows(const Sorting *g, char *to, int64_t to_step, const char *from, int64_t from_step, int64_t lanes)
{
    for (int64_t i = 0; i < g->s->size; i++)
        memcpy(to + i * to_step * g->width, from + i * from_step * g->width, (size_t)(lanes * g->width));
}

static void place_some(const Sorting *g, uint64_t *pairs, const int64_t *at, int lanes)
{
    const HostSort *s = g->s;
    int64_t *to = s->buf[0];
    g->fns->pairs(pairs, s->buf[1], s->size, at, lanes, s->after, &g->order);
    eager_kernels()->sort[3]->lanes(pairs, s->size);
    for (int l = 0; l < lanes; l++)
        for (int64_t i = 0; i < s->size; i++) to[at[l] + i * s->after] = (int64_t)(pairs[i * g->lanes + l] & UINT32_MAX);
}

static void sort_some(const Sorting *g, char *keys, int64_t first)
{
    const HostSort *s = g->s;
    const int64_t lanes = MIN_OF(g->lanes, g->columns - first), n = s->size, step = s->after;
    const bool rows = lanes > 1 && first % step + lanes <= step;
    int64_t at[SORT_LANES_BYTES];
    for (int64_t l = 0; l < lanes; l++) at[l] = first_of(g, first + l);
    if (g->places) {
        place_some(g, (uint64_t *)(void *)keys, at, (int)lanes);
        return;
    }
    if (rows)
        move_rows(g, keys, g->lanes, element(g, s->buf[1], at[0]), step, lanes);
    else
        g->fns->gather(keys, s->buf[1], n, at, (int)lanes, step);
    g->fns->keys(keys, keys, n * g->lanes, &g->order);
    g->fns->lanes(keys, n);
    g->fns->elements(keys, keys, n * g->lanes, &g->order);
    if (rows)
        move_rows(g, (char *)s->buf[0] + at[0] * g->width, step, keys, g->lanes, lanes);
    else
        g->fns->scatter(s->buf[0], keys, n, at, (int)lanes, step);
}

/* ---- by bytes --------------------------------------------------------------------------------------- */

/* Keys are parted by their highest byte, those of each value by the next one, until they fit into a core's cache, where the lowest
 * byte comes first. They lie in one of two rooms, and go to the other each time. */
typedef struct Line {
    const Sorting *g;
    int64_t at;         /* where it begins */
    int64_t first, n;   /* the keys in question */
    char *keys, *other; /* the room in which they lie, and the other one */
    int byte;           /* up to this one they may differ */
} Line;

/* Counts become places. */
static void places(int64_t *count, int64_t pieces)
{
    int64_t sum = 0;
    for (int64_t d = 0; d < DIGITS; d++)
        for (int64_t p = 0; p < pieces; p++) {
            const int64_t here = count[p * DIGITS + d];
            count[p * DIGITS + d] = sum;
            sum += here;
        }
}

static char *keys_of(const Line *x) { return x->keys + x->first * x->g->width; }
static char *other_of(const Line *x) { return x->other + x->first * x->g->width; }

/* Whether all keys have the first one's byte, of which there are so many. */
static bool is_one(const Line *x, int byte, const int64_t *count, int64_t pieces)
{
    int64_t sum = 0;
    const int digit = x->g->fns->byte(keys_of(x), byte);
    for (int64_t p = 0; p < pieces; p++) sum += count[p * DIGITS + digit];
    return sum == x->n;
}

static void take(const Line *x, int64_t first, int64_t n)
{
    const Sorting *g = x->g;
    const int64_t w = g->width, step = g->s->after;
    const char *from = (const char *)g->s->buf[1] + (x->at + first * step) * w;
    char *keys = x->keys + first * w, *other = x->other + first * w;
    for (int64_t i = 0; i < n && step != 1; i++) memcpy(other + i * w, from + i * step * w, (size_t)w);
    g->fns->keys(keys, step == 1 ? from : other, n, &g->order);
}

static void put(const Line *x)
{
    const Sorting *g = x->g;
    const int64_t w = g->width, step = g->s->after;
    char *to = (char *)g->s->buf[0] + (x->at + x->first * step) * w, *keys = keys_of(x);
    g->fns->elements(step == 1 ? to : keys, keys, x->n, &g->order);
    for (int64_t i = 0; i < x->n && step != 1; i++) memcpy(to + i * step * w, keys + i * w, (size_t)w);
}

static void turn(Line *x)
{
    char *was = x->keys;
    x->keys = x->other, x->other = was;
}

static void sort_few(Line x)
{
    int64_t count[8][DIGITS];
    if (x.n <= INSERTED) {
        x.g->fns->insert(keys_of(&x), x.n);
        put(&x);
        return;
    }
    memset(count, 0, (size_t)(x.byte + 1) * sizeof *count);
    for (int byte = 0; byte < x.byte; byte += 2) x.g->fns->count_two(keys_of(&x), x.n, byte, count[byte]);
    if (x.byte % 2 == 0) x.g->fns->count(keys_of(&x), x.n, x.byte, count[x.byte]);
    for (int byte = 0; byte <= x.byte; byte++) {
        if (is_one(&x, byte, count[byte], 1)) continue;
        places(count[byte], 1);
        x.g->fns->place(other_of(&x), keys_of(&x), x.n, byte, count[byte]);
        turn(&x);
    }
    put(&x);
}

static void sort_keys(Line x)
{
    int64_t end[DIGITS];
    if (x.n * x.g->width <= CACHE_BYTES) {
        sort_few(x);
        return;
    }
    for (;; x.byte--) {
        memset(end, 0, sizeof end);
        x.g->fns->count(keys_of(&x), x.n, x.byte, end);
        if (!is_one(&x, x.byte, end, 1)) break;
        if (x.byte == 0) {
            put(&x);
            return;
        }
    }
    places(end, 1);
    x.g->fns->place(other_of(&x), keys_of(&x), x.n, x.byte, end); /* which makes places ends */
    turn(&x);
    if (x.byte == 0) {
        put(&x);
        return;
    }
    for (int64_t d = 0; d < DIGITS; d++) {
        const int64_t first = d == 0 ? 0 : end[d - 1];
        if (end[d] != first) sort_keys((Line){x.g, x.at, x.first + first, end[d] - first, x.keys, x.other, x.byte - 1});
    }
}

/* ---- about pivots ----------------------------------------------------------------------------------- */

static Line within(const Line *x, int64_t first, int64_t n)
{
    Line part = *x;
    part.first += first;
    part.n = n;
    return part;
}

/* So often keys are parted; then bytes decide, so that no order of keys takes long. */
static int turns_of(int64_t n)
{
    int turns = 8;
    for (; n > 0; n /= 4) turns += 3;
    return turns;
}

static void sort_about(Line x, int turns)
{
    const SortFns *f = x.g->fns;
    if (x.n <= f->few_most) {
        f->few(keys_of(&x), x.n);
        put(&x);
        return;
    }
    if (turns == 0) {
        sort_keys(x);
        return;
    }
    char *low = other_of(&x), *high = low + x.n * x.g->width;
    const uint64_t pivot = f->pivot(keys_of(&x), x.n);
    int64_t below = f->part(low, high, keys_of(&x), x.n, pivot);
    const bool largest = below == x.n; /* what is not less then equals it */
    if (largest) below = pivot == 0 ? 0 : f->part(low, high, keys_of(&x), x.n, pivot - 1);
    turn(&x);
    const Line above = within(&x, below, x.n - below);
    if (below > 0) sort_about(within(&x, 0, below), turns - 1);
    if (largest)
        put(&above);
    else
        sort_about(above, turns - 1);
}

static void sort_line(Line x)
{
    if (x.g->fns->few_most)
        sort_about(x, turns_of(x.n));
    else
        sort_keys(x);
}

static Line line_in(const Sorting *g, char *memory, int64_t column)
{
    return (Line){g, first_of(g, column), 0, g->s->size, memory, memory + g->s->size * g->width, (int)g->width - 1};
}

static void run_slots(void *arg, int64_t lo, int64_t hi)
{
    const Sorting *g = arg;
    for (; lo < hi; lo++) {
        char *memory = g->memory + (size_t)lo * g->room;
        for (int64_t i = lo * g->tasks / g->slots; i < (lo + 1) * g->tasks / g->slots; i++) {
            const Line x = line_in(g, memory, i);
            if (g->network) {
                sort_some(g, memory, i * g->lanes);
                continue;
            }
            take(&x, 0, x.n);
            sort_line(x);
        }
    }
}

/* ---- one line by all threads ------------------------------------------------------------------------ */

typedef struct Shared {
    Line x;
    int64_t pieces;
    int64_t *count; /* [pieces][DIGITS]; there is one such for each byte */
} Shared;

static int64_t piece_start(const Shared *w, int64_t p) { return p * w->x.n / w->pieces; }
static int64_t *own_count(const Shared *w, int64_t p) { return w->count + ((w->x.byte + 1) * w->pieces + p) * DIGITS; }

/* And counts bytes, if they are to decide, while they are in the cache. */
static void take_pieces(void *arg, int64_t lo, int64_t hi)
{
    const Shared *w = arg;
    for (; lo < hi; lo++) {
        const int64_t end = piece_start(w, lo + 1);
        memset(own_count(w, lo), 0, DIGITS * sizeof *w->count);
        for (int64_t first = piece_start(w, lo), n; first < end; first += n) {
            n = MIN_OF(end - first, CACHE_BYTES / 2 / w->x.g->width);
            take(&w->x, first, n);
            if (w->x.g->fns->few_most) continue;
            w->x.g->fns->count(w->x.keys + first * w->x.g->width, n, w->x.byte, own_count(w, lo));
        }
    }
}

static void count_pieces(void *arg, int64_t lo, int64_t hi)
{
    const Shared *w = arg;
    for (; lo < hi; lo++) {
        const int64_t first = piece_start(w, lo), n = piece_start(w, lo + 1) - first;
        memset(own_count(w, lo), 0, DIGITS * sizeof *w->count);
        w->x.g->fns->count(keys_of(&w->x) + first * w->x.g->width, n, w->x.byte, own_count(w, lo));
    }
}

static void place_pieces(void *arg, int64_t lo, int64_t hi)
{
    const Shared *w = arg;
    for (; lo < hi; lo++) {
        const int64_t first = piece_start(w, lo), n = piece_start(w, lo + 1) - first;
        w->x.g->fns->place(other_of(&w->x), keys_of(&w->x) + first * w->x.g->width, n, w->x.byte, own_count(w, lo));
    }
}

/* The keys that have value d of the byte, after they were parted by it; turned as they are now. */
static Line parted(const Shared *w, int64_t d)
{
    const int64_t *end = own_count(w, w->pieces - 1), first = d == 0 ? 0 : end[d - 1];
    return (Line){w->x.g, w->x.at, w->x.first + first, end[d] - first, w->x.other, w->x.keys, w->x.byte - 1};
}

static bool is_heavy(const Shared *w, const Line *x) { return x->n * 2 * w->pieces > x->g->s->size; }

static void sort_parted(void *arg, int64_t lo, int64_t hi)
{
    const Shared *w = arg;
    for (; lo < hi; lo++) {
        const Line x = parted(w, lo);
        if (x.n == 0 || is_heavy(w, &x)) continue;
        if (x.byte < 0)
            put(&x);
        else
            sort_keys(x);
    }
}

/* Parts with many of the keys are parted by all threads again, others are one thread's. */
static void sort_shared(Shared w, bool counted)
{
    ThreadPool *threads = w.x.g->threads;
    for (; w.x.byte >= 0; w.x.byte--, counted = false) {
        if (!counted) contract_each(threads, count_pieces, &w, w.pieces);
        if (!is_one(&w.x, w.x.byte, own_count(&w, 0), w.pieces)) break;
    }
    if (w.x.byte < 0) {
        put(&w.x);
        return;
    }
    places(own_count(&w, 0), w.pieces);
    contract_each(threads, place_pieces, &w, w.pieces);
    contract_each(threads, sort_parted, &w, DIGITS);
    for (int64_t d = 0; d < DIGITS; d++) {
        const Line x = parted(&w, d);
        if (is_heavy(&w, &x)) sort_shared((Shared){x, w.pieces, w.count}, false);
    }
}

/* The same about pivots. Parts are listed, and sorted when none is heavy. */
#define SHARED_TURNS 8
#define SHARED_PARTS 256
typedef struct Parts {
    Shared w;
    uint64_t pivot;
    int n;
    Line line[SHARED_PARTS]; /* with byte < 0: keys that are equal */
} Parts;

static void below_pieces(void *arg, int64_t lo, int64_t hi)
{
    const Parts *p = arg;
    const Shared *w = &p->w;
    for (; lo < hi; lo++) {
        const int64_t first = piece_start(w, lo), n = piece_start(w, lo + 1) - first;
        w->count[lo] = w->x.g->fns->below(keys_of(&w->x) + first * w->x.g->width, n, p->pivot);
    }
}

/* count[p]: how many of the keys before piece p go below. */
static void part_pieces(void *arg, int64_t lo, int64_t hi)
{
    const Parts *p = arg;
    const Shared *w = &p->w;
    const int64_t width = w->x.g->width, total = w->count[w->pieces];
    for (; lo < hi; lo++) {
        const int64_t first = piece_start(w, lo), end = piece_start(w, lo + 1);
        char *to = other_of(&w->x), *high = to + (total + end - w->count[lo + 1]) * width;
        w->x.g->fns->part(to + w->count[lo] * width, high, keys_of(&w->x) + first * width, end - first, p->pivot);
    }
}

static int64_t count_below(Parts *p)
{
    int64_t sum = 0;
    contract_each(p->w.x.g->threads, below_pieces, p, p->w.pieces);
    for (int64_t i = 0; i < p->w.pieces; i++) {
        const int64_t here = p->w.count[i];
        p->w.count[i] = sum;
        sum += here;
    }
    return p->w.count[p->w.pieces] = sum;
}

static void part_about(Parts *p, Line x, int turns)
{
    p->w.x = x;
    if (!is_heavy(&p->w, &x) || turns == 0 || p->n >= SHARED_PARTS - 2 * SHARED_TURNS) {
        p->line[p->n++] = x;
        return;
    }
    p->pivot = x.g->fns->pivot(keys_of(&x), x.n);
    int64_t below = count_below(p);
    const bool largest = below == x.n;
    if (largest && p->pivot > 0) p->pivot--, below = count_below(p);
    if (below == x.n) below = 0; /* zeros alone */
    contract_each(x.g->threads, part_pieces, p, p->w.pieces);
    turn(&x);
    Line above = within(&x, below, x.n - below);
    if (largest) above.byte = -1;
    if (below > 0) part_about(p, within(&x, 0, below), turns - 1);
    if (largest)
        p->line[p->n++] = above;
    else
        part_about(p, above, turns - 1);
}

static void sort_parts(void *arg, int64_t lo, int64_t hi)
{
    const Parts *p = arg;
    for (; lo < hi; lo++)
        if (p->line[lo].byte < 0)
            put(&p->line[lo]);
        else
            sort_line(p->line[lo]);
}

static void share_line(const Sorting *g, int64_t column)
{
    const Shared w = {line_in(g, g->memory, column), threads_count(g->threads), (int64_t *)(void *)(g->memory + g->room)};
    contract_each(g->threads, take_pieces, (void *)(uintptr_t)&w, w.pieces);
    if (g->fns->few_most == 0) {
        sort_shared(w, true);
        return;
    }
    Parts p = {.w = w, .n = 0};
    part_about(&p, w.x, SHARED_TURNS);
    contract_each(g->threads, sort_parts, &p, p.n);
}

/* ---- the door --------------------------------------------------------------------------------------- */

static size_t rounded(size_t bytes) { return (bytes + BUFFER_ALIGN - 1) / BUFFER_ALIGN * BUFFER_ALIGN; }

bool sort_run(ThreadPool *threads, const HostSort *s, Status *st)
{
    Sorting g = {.s = s, .width = (int64_t)dtype_bytes((DType)s->type), .columns = s->lines * s->after};
    if (s->size == 0 || g.columns == 0) return true;
    g.places = s->op == OP_argsort;
    g.lanes = SORT_LANES_BYTES / (g.places ? (int64_t)sizeof(uint64_t) : g.width);
    g.order = key_order((DType)s->type, s->descending != 0);
    g.fns = eager_kernels()->sort[g.width == 8 ? 3 : g.width / 2];
    g.threads = s->size >= WORTH_THREADS / g.columns ? threads : NULL;
    const int count = g.threads ? threads_count(g.threads) : 1;
    g.network = g.places || s->size <= NETWORK_SHORT || (4 * g.columns >= g.lanes && s->size <= NETWORK_BYTES / SORT_LANES_BYTES);
    g.tasks = g.network ? (g.columns - 1) / g.lanes + 1 : g.columns;
    const bool shared = !g.network && count > 1 && s->size >= LONG_LINE && g.columns < 2 * count;
    g.slots = shared ? 1 : MIN_OF(g.tasks, count > 1 ? 4 * count : 1);
    g.room = rounded((size_t)s->size * (g.network ? SORT_LANES_BYTES : 2 * (size_t)g.width));
    const size_t bytes = (size_t)g.slots * g.room + (shared ? (size_t)((g.width + 1) * count * DIGITS) * sizeof(int64_t) : 0);
    Buffer *memory = contract_memory(threads, bytes, &(Status){0});
    if (!memory) return status_fail(st, ST_MEMORY, "sort: no memory for %zu bytes of keys", bytes);
    g.memory = memory->data;
    if (shared)
        for (int64_t i = 0; i < g.columns; i++) share_line(&g, i);
    else
        contract_each(g.threads, run_slots, &g, g.slots);
    buffer_release(memory);
    return true;
}
