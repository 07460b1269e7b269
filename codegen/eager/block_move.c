/* block_move: finds where the elements of a block's stream lie, loads and stores them. Relies on block.h. Never allocates. */
#include "block.h"

/* The offsets, in elements, of the points in the span's part, from its coefficients per axis. */
void span_offsets(const BlockRun *run, const Span *s, const int64_t *coef, int64_t *to)
{
    int64_t at[KERNEL_AXES], here = 0, point = s->first;
    int last = (int)s->naxis - 1;
    if (last < 0) {
        to[0] = 0;
        return;
    }
    for (int i = last; i >= 0; i--) {
        int64_t extent = run->extent[s->axis[i]];
        at[i] = i == 0 ? point : point % extent;
        point = i == 0 ? 0 : point / extent;
        here += at[i] * coef[s->axis[i]];
    }
    const int64_t step = coef[s->axis[last]], line = run->extent[s->axis[last]];
    for (int64_t j = 0, some; j < s->n; j += some) {
        some = MIN_OF(s->n - j, line - at[last]);
        for (int64_t q = 0; q < some; q++) to[j + q] = here + q * step;
        here -= at[last] * step;
        at[last] = 0;
        for (int i = last - 1; i >= 0; i--) {
            int64_t c = coef[s->axis[i]];
            here += c;
            if (++at[i] < run->extent[s->axis[i]] || i == 0) break;
            here -= at[i] * c;
            at[i] = 0;
        }
    }
}

/* The offset of one point of the span, in elements. */
static int64_t offset_of(const Task *t, const BlockStream *b, uint32_t s, int64_t point)
{
    const Span *span = &t->span[s];
    if (b->linear[s]) return point * b->step[s];
    int64_t at = 0;
    for (int i = (int)span->naxis - 1; i >= 0; i--) {
        int64_t extent = t->run->extent[span->axis[i]];
        at += (i == 0 ? point : point % extent) * b->coef[span->axis[i]];
        point /= extent;
    }
    return at;
}

/* A block of a stream lies at every `step` elements from `at` on, or at `offset` elements behind it. */
typedef struct Place {
    char *at;
    int64_t step, n;
    const int64_t *offset; /* NULL: at every step */
    const uint8_t *guard;  /* per lane: whether it is accessed; NULL: all are */
    bool none;             /* no lane is accessed */
} Place;

/* Adds to a place what a guard, run-time offsets or a span of several steps change. */
static void place_apart(Task *t, const Stream *s, const BlockStream *b, uint32_t class, int64_t r, int64_t *room, Place *p)
{
    const BlockRun *run = t->run;
    const uint32_t lanes = class != 1;
    const bool linear = class == 0 || b->linear[lanes];
    if (s->guard >= 0) {
        uint32_t c = class_of_operand(run, s->guard);
        const uint8_t *g = (const uint8_t *)t->at[s->guard];
        if (c == 0 || (c == 1 && class == 3))
            p->none = !g[c == 0 ? 0 : r];
        else
            p->guard = memchr(g, 0, (size_t)p->n) ? g : NULL; /* mostly it holds for a whole block */
    }
    const int64_t *dyn = NULL;
    if (s->dyn >= 0) {
        uint32_t c = class_of_operand(run, s->dyn);
        const int64_t *d = (const int64_t *)(const void *)t->at[s->dyn];
        if (c == 0 || (c == 1 && class == 3))
            p->at += d[c == 0 ? 0 : r] * (int64_t)dtype_bytes((DType)s->type);
        else
            dyn = d;
    }
    if (class == 0 || (linear && !dyn)) return;
    p->offset = room;
    if (linear && p->step == 0) {
        p->offset = dyn;
        return;
    }
    if (!linear)
        span_offsets(run, &t->span[lanes], b->coef, room);
    else
        for (int64_t i = 0; i < p->n; i++) room[i] = i * p->step;
    if (dyn)
        for (int64_t i = 0; i < p->n; i++) room[i] += dyn[i];
}

static inline void place(Task *t, uint32_t stream, uint32_t class, int64_t r, int64_t *room, Place *p)
{
    const BlockRun *run = t->run;
    const Stream *s = &run->k->stream[stream];
    const BlockStream *b = &run->stream[stream];
    const uint32_t lanes = class != 1; /* the span that the block lies along */
    const bool linear = class == 0 || b->linear[lanes];
    int64_t at = 0;
    *p = (Place){.n = class_points(t, class)};
    for (uint32_t i = 0; i < run->outer.naxis; i++) at += t->index[run->outer.axis[i]] * b->coef[run->outer.axis[i]];
    if (class == 3) at += offset_of(t, b, 0, t->span[0].first + r);
    if (class != 0 && linear) {
        at += t->span[lanes].first * b->step[lanes];
        p->step = b->step[lanes];
    }
    p->at = b->base + at * (int64_t)dtype_bytes((DType)s->type);
    if (s->guard >= 0 || s->dyn >= 0 || !linear) place_apart(t, s, b, class, r, room, p);
}

/* ---- loads ----------------------------------------------------------------------------------- */

#define LOAD_LANES(T)                                                                                                    \
    do {                                                                                                                 \
        T *o = (T *)to;                                                                                                  \
        const T *from = (const T *)(const void *)p->at;                                                                  \
        if (p->guard) {                                                                                                  \
            for (int64_t i = 0; i < p->n; i++) o[i] = p->guard[i] ? from[p->offset ? p->offset[i] : i * p->step] : (T)0; \
        } else if (p->offset) {                                                                                          \
            for (int64_t i = 0; i < p->n; i++) o[i] = from[p->offset[i]];                                                \
        } else if (p->step == 0) {                                                                                       \
            for (int64_t i = 0; i < p->n; i++) o[i] = from[0];                                                           \
        } else {                                                                                                         \
            for (int64_t i = 0; i < p->n; i++) o[i] = from[i * p->step];                                                 \
        }                                                                                                                \
    } while (0)

static void load_lanes(const Place *p, size_t size, void *to)
{
    switch (size) {
    case 1: LOAD_LANES(uint8_t); break;
    case 2: LOAD_LANES(uint16_t); break;
    case 4: LOAD_LANES(uint32_t); break;
    default: LOAD_LANES(uint64_t); break;
    }
}

void block_load(Task *t, uint32_t instr, uint32_t class, int64_t r)
{
    const Instr *in = &t->run->k->instr[instr];
    DType type = (DType)t->run->k->stream[in->ref].type;
    size_t size = dtype_bytes(type);
    int64_t offset[LANES_MAX];
    uint16_t narrow[LANES_MAX];
    Place p;
    place(t, in->ref, class, r, offset, &p);
    char *room = task_room(t, instr);
    bool convert = dtype_info[type].compute != type, whole = !p.offset && !p.guard && (p.step == 1 || p.n == 1);
    t->at[instr] = room;
    if (p.none) {
        memset(room, 0, (size_t)p.n * dtype_bytes((DType)in->type));
        return;
    }
    if (whole && !convert && !t->run->k->writes[t->run->k->stream[in->ref].buf]) { /* else a store may come before its last use */
        t->at[instr] = p.at;
        return;
    }
    const void *from = p.at;
    if (!whole || !convert) {
        load_lanes(&p, size, convert ? (void *)narrow : room);
        from = narrow;
    }
    if (convert) t->run->kernels->widen[type]((float *)(void *)room, from, p.n);
}

/* ---- stores ---------------------------------------------------------------------------------- */

#define STORE_LANES(T)                                                                       \
    do {                                                                                     \
        const T *x = (const T *)from;                                                        \
        T *to = (T *)(void *)p->at;                                                          \
        for (int64_t i = 0; i < p->n; i++)                                                   \
            if (!p->guard || p->guard[i]) to[p->offset ? p->offset[i] : i * p->step] = x[i]; \
    } while (0)

static void store_lanes(const Place *p, size_t size, const void *from)
{
    if (!p->offset && !p->guard && p->step == 1) {
        memcpy(p->at, from, (size_t)p->n * size);
        return;
    }
    switch (size) {
    case 1: STORE_LANES(uint8_t); break;
    case 2: STORE_LANES(uint16_t); break;
    case 4: STORE_LANES(uint32_t); break;
    default: STORE_LANES(uint64_t); break;
    }
}

/* Folds from[0..n) into to[0..n), rounding each to type t; fold is Store.fold. */
static void fold_into(const Kernels *k, uint8_t fold, DType t, char *to, const char *from, int64_t n)
{
    static const Op op[] = {[1 + R_SUM] = OP_add, [1 + R_PROD] = OP_mul, [1 + R_MAX] = OP_max, [1 + R_MIN] = OP_min};
    MapFn *add = k->type[dtype_info[t].compute]->map[op[fold]];
    if (dtype_info[t].compute == t) {
        add(to, (const void *const[]){to, from}, n);
        return;
    }
    float wide[LANES_MAX];
    k->widen[t](wide, to, n);
    add(wide, (const void *const[]){wide, from}, n);
    k->narrow[t](to, wide, n);
}

/* The largest or smallest of two: NaN if one is, of equals the second. */
#define MEET_MAX(T) (!(a <= b) ? (a > b ? a : (T)(a + b)) : b)
#define MEET_MIN(T) (!(a >= b) ? (a < b ? a : (T)(a + b)) : b)

#define MEET_EACH(T, expr)                                         \
    for (int64_t i = 0; i < p->n; i++)                             \
        if (!p->guard || p->guard[i]) {                            \
            T *at = to + (p->offset ? p->offset[i] : i * p->step); \
            const T a = *at, b = x[i];                             \
            *at = (T)(expr);                                       \
        }                                                          \
    return true

/* W: a type in which sums and products of T wrap. */
#define MEET(T, W)                                  \
    do {                                            \
        const T *x = (const T *)(const void *)from; \
        T *to = (T *)(void *)p->at;                 \
        switch (fold) {                             \
        case 1 + R_SUM: MEET_EACH(T, (W)a + (W)b);  \
        case 1 + R_PROD: MEET_EACH(T, (W)a *(W)b);  \
        case 1 + R_MAX: MEET_EACH(T, MEET_MAX(T));  \
        default: MEET_EACH(T, MEET_MIN(T));         \
        }                                           \
    } while (0)

/* Folds in one lane after the other, for the types of most sums and counts; false: not this one. */
static bool fold_each(uint8_t fold, const Place *p, DType t, const char *from)
{
    switch (t) {
    case DT_f32: MEET(float, float);
    case DT_f64: MEET(double, double);
    case DT_i32: MEET(int32_t, uint32_t);
    case DT_i64: MEET(int64_t, uint64_t);
    default: return false;
    }
}

/* Lanes that may address the same element are folded in one at a time. */
static void fold_lanes_into(const Kernels *k, uint8_t fold, bool meet, const Place *p, DType t, const char *from)
{
    int64_t size = (int64_t)dtype_bytes(t), wide = (int64_t)dtype_bytes((DType)dtype_info[t].compute);
    if (!p->offset && !p->guard && p->step == 1) {
        fold_into(k, fold, t, p->at, from, p->n);
        return;
    }
    if (meet && fold_each(fold, p, t, from)) return;
    uint64_t there[LANES_MAX];
    if (!meet) {
        load_lanes(p, (size_t)size, there);
        fold_into(k, fold, t, (char *)there, from, p->n);
        store_lanes(p, (size_t)size, there);
    }
    for (int64_t i = 0; i < p->n && meet; i++)
        if (!p->guard || p->guard[i])
            fold_into(k, fold, t, p->at + (p->offset ? p->offset[i] : i * p->step) * size, from + i * wide, 1);
}

void block_store(Task *t, const Store *s, uint32_t class, int64_t r)
{
    DType type = (DType)t->run->k->stream[s->stream].type;
    int64_t offset[LANES_MAX];
    uint16_t narrow[LANES_MAX];
    Place p;
    place(t, s->stream, class, r, offset, &p);
    if (p.none) return;
    const void *from = task_operand(t, s->value, class, r);
    if (s->fold && s->fold != STORE_SETS) { /* lanes are stored in their order */
        fold_lanes_into(t->run->kernels, s->fold, t->run->k->sweep >= 0, &p, type, from);
        return;
    }
    if (dtype_info[type].compute != type) {
        t->run->kernels->narrow[type](narrow, from, p.n);
        from = narrow;
    }
    store_lanes(&p, dtype_bytes(type), from);
}

/* Lanes that lie side by side meet nowhere. */
#define FETCH_APART(T)                                                                                                \
    static void fetch_##T(T *restrict o, T *restrict one, const T *restrict plus, const T *restrict times, int64_t n) \
    {                                                                                                                 \
        if (times)                                                                                                    \
            for (int64_t i = 0; i < n; i++) {                                                                         \
                o[i] = one[i];                                                                                        \
                const T v = o[i] * times[i];                                                                          \
                one[i] = v + plus[i];                                                                                 \
            }                                                                                                         \
        else                                                                                                          \
            for (int64_t i = 0; i < n; i++) {                                                                         \
                o[i] = one[i];                                                                                        \
                one[i] = o[i] + plus[i];                                                                              \
            }                                                                                                         \
    }
FETCH_APART(float)
FETCH_APART(double)
FETCH_APART(uint8_t)
FETCH_APART(uint16_t)
FETCH_APART(uint32_t)
FETCH_APART(uint64_t)

/* Goes lane by lane, since several may address the same element; if all do, it is kept in a local. */
#define FETCH_LANES(T)                                                                   \
    do {                                                                                 \
        const T *plus = (const T *)(const void *)a, *times = (const T *)(const void *)b; \
        T *o = (T *)(void *)room, *one = (T *)(void *)p.at, v;                           \
        if (!p.offset && !p.guard && p.step == 0) {                                      \
            v = *one;                                                                    \
            for (int64_t i = 0; i < p.n; i++) {                                          \
                o[i] = v;                                                                \
                if (times) v *= times[i];                                                \
                if (plus) v += plus[i];                                                  \
            }                                                                            \
            *one = v;                                                                    \
            break;                                                                       \
        }                                                                                \
        if (!p.offset && !p.guard && p.step == 1 && plus) {                              \
            fetch_##T(o, one, plus, times, p.n);                                         \
            break;                                                                       \
        }                                                                                \
        for (int64_t i = 0; i < p.n; i++) {                                              \
            T *at = one + (p.offset ? p.offset[i] : i * p.step);                         \
            if (p.guard && !p.guard[i]) {                                                \
                o[i] = 0;                                                                \
                continue;                                                                \
            }                                                                            \
            v = o[i] = *at;                                                              \
            if (times) v *= times[i];                                                    \
            *at = plus ? v + plus[i] : v;                                                \
        }                                                                                \
    } while (0)

void block_fetch(Task *t, uint32_t instr, uint32_t class, int64_t r)
{
    const Instr *in = &t->run->k->instr[instr];
    int64_t offset[LANES_MAX];
    char *room = task_room(t, instr);
    Place p;
    place(t, in->ref, class, r, offset, &p);
    if (p.none) {
        memset(room, 0, (size_t)p.n * dtype_bytes((DType)in->type));
        return;
    }
    const char *a = in->a >= 0 ? task_operand(t, in->a, class, r) : NULL, *b = in->b >= 0 ? task_operand(t, in->b, class, r) : NULL;
    switch (in->type) {
    case DT_f32: FETCH_LANES(float); break;
    case DT_f64: FETCH_LANES(double); break;
    case DT_u8:
    case DT_i8: FETCH_LANES(uint8_t); break;
    case DT_u16:
    case DT_i16: FETCH_LANES(uint16_t); break;
    case DT_u32:
    case DT_i32: FETCH_LANES(uint32_t); break;
    default: FETCH_LANES(uint64_t); break;
    }
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* The offsets at which the stream's rows begin, in elements from its base. */
static void row_offsets(const Task *t, uint32_t stream, int64_t *to)
{
    const BlockRun *run = t->run;
    const Stream *s = &run->k->stream[stream];
    const BlockStream *b = &run->stream[stream];
    const Span *rows = &t->span[0];
    int64_t at = t->span[1].first;
    for (uint32_t i = 0; i < run->outer.naxis; i++) at += t->index[run->outer.axis[i]] * b->coef[run->outer.axis[i]];
    const int64_t *dyn = s->dyn >= 0 ? (const int64_t *)(const void *)t->at[s->dyn] : NULL;
    if (dyn && class_of_operand(run, s->dyn) == 0) {
        at += dyn[0];
        dyn = NULL;
    }
    const int64_t step = b->step[0], n = rows->n;
    if (!b->linear[0]) {
        span_offsets(run, rows, b->coef, to);
        for (int64_t r = 0; r < n; r++) to[r] += at;
    } else {
        at += rows->first * step;
        for (int64_t r = 0; r < n; r++) to[r] = at + r * step;
    }
    for (int64_t r = 0; r < n && dyn; r++) to[r] += dyn[r];
}

/* Copies rows: row r of from[x] to to[at], in elements of `size` bytes. Short rows are many, and calling a function for each would
 * take longer than copying them. */
static void copy_rows(char *to, const int64_t *at, const char *from, const int64_t *x, int64_t rows, int64_t bytes, int64_t size)
{
#define COPY_ROWS(B)                                                                         \
    case B:                                                                                  \
        for (int64_t r = 0; r < rows; r++) memcpy(to + at[r] * size, from + x[r] * size, B); \
        return;
    switch (bytes) {
        COPY_ROWS(4)
        COPY_ROWS(8)
        COPY_ROWS(12)
        COPY_ROWS(16)
        COPY_ROWS(32)
        COPY_ROWS(64)
    default:
        for (int64_t r = 0; r < rows; r++) memcpy(to + at[r] * size, from + x[r] * size, (size_t)bytes);
    }
#undef COPY_ROWS
}

void block_rows(Task *t)
{
    const BlockRun *run = t->run;
    const Store *s = &run->k->store[run->b->copy_store];
    uint32_t load = run->k->instr[run->b->copy_load].ref;
    DType type = (DType)run->k->stream[load].type;
    int64_t from[LANES_MAX], to[LANES_MAX], size = (int64_t)dtype_bytes(type), n = t->span[1].n;
    char *base = run->stream[s->stream].base;
    row_offsets(t, load, from);
    row_offsets(t, s->stream, to);
    const bool folds = s->fold && s->fold != STORE_SETS;
    if (!folds) copy_rows(base, to, run->stream[load].base, from, t->span[0].n, n * size, size);
    for (int64_t r = 0; r < t->span[0].n && folds; r++) {
        const char *x = run->stream[load].base + from[r] * size;
        float wide[LANES_MAX];
        if (dtype_info[type].compute != type) {
            run->kernels->widen[type](wide, x, n);
            x = (const char *)wide;
        }
        fold_into(run->kernels, s->fold, type, base + to[r] * size, x, n);
    }
}
