/* contract_conv: the door of convolutions. Those that are a plain product go to contract_run. With spread, elements of y that meet
 * the same taps, one out of so many, are a convolution without spread, of these taps alone: a phase. Relies on conv.h, contract.h.
 */
#include "conv.h"

/* Where there is no element, the other extents may be anything. */
static int64_t count(const int64_t space[3], int64_t a, int64_t groups, int64_t b)
{
    const bool none = space[0] == 0 || space[1] == 0 || space[2] == 0 || a == 0 || b == 0;
    return none ? 0 : space[0] * space[1] * space[2] * a * groups * b;
}
static int64_t count_y(const HostConv *c) { return count(c->out, c->n, c->groups, c->o); }
static int64_t count_filters(const HostConv *c) { return count(c->taps, c->c, c->groups, c->o); }

/* Rows of x as they lie times the filters: axes without windows, then axes that one window covers. */
static bool is_product(const HostConv *c)
{
    bool covered = false;
    if (c->groups != 1) return false;
    for (int i = 0; i < 3; i++) {
        bool point = c->taps[i] == 1 && c->stride[i] == 1 && c->out[i] == c->in[i];
        bool whole = c->out[i] == 1 && c->taps[i] == c->in[i] && (c->dilation[i] == 1 || c->taps[i] == 1);
        if (c->low[i] != 0 || c->spread[i] != 1 || !(whole || (point && !covered))) return false;
        covered = covered || !point;
    }
    return true;
}

static bool product(ThreadPool *threads, const HostConv *c, Status *st)
{
    int64_t rows = c->n * c->out[0] * c->out[1] * c->out[2], depth = c->taps[0] * c->taps[1] * c->taps[2] * c->c;
    HostContract p = {.type = c->type,
        .to = c->type,
        .m = rows,
        .n = c->o,
        .k = depth,
        .a = c->x,
        .b = c->with,
        .c = c->to,
        .rows = c->rows,
        .keep = c->keep};
    p.a_row = depth;
    p.a_col = 1;
    if (c->filters) {
        p.m = p.a_row;
        p.k = rows;
        p.a_row = 1;
        p.a_col = depth;
    }
    p.b_row = c->o;
    p.b_col = 1;
    return contract_run(threads, &p, false, st);
}

/* ---- phases ------------------------------------------------------------------------------------- */

typedef struct Phase {
    Axis axis;
    int64_t first, step; /* of the taps */
} Phase;

static int64_t divisor(int64_t a, int64_t b) { return b == 0 ? a : divisor(b, a % b); }

/* Elements r, r + spread, ... along axis i: those taps t for which r + t * dilation - low is a multiple of the spread. */
static Phase phase_of(const HostConv *c, int i, int64_t r)
{
    int64_t s = c->spread[i], d = c->dilation[i], common = divisor(s, d), first = 0;
    Phase p = {.axis = {.in = c->in[i],
                   .taps = c->taps[i],
                   .stride = c->stride[i],
                   .dilation = d,
                   .low = c->low[i],
                   .to_first = r,
                   .to_step = s}};
    p.axis.out = c->out[i] > r ? tree_blocks(c->out[i] - r, s) : 0;
    p.step = 1;
    if (p.axis.out <= 1) p.axis.stride = 1;
    if (p.axis.taps == 1 && s == 1) p.axis.dilation = 1;
    if (s == 1) return p;
    p.step = s / common;
    const int64_t end = MIN_OF(p.step, c->taps[i]);
    while (first < end && (r + first * d - c->low[i]) % s != 0) first++;
    p.first = first;
    p.axis.taps = first < end ? (c->taps[i] - 1 - first) / p.step + 1 : 0;
    p.axis.dilation = p.axis.taps > 1 ? d / common : 1;
    p.axis.low = p.axis.taps > 0 ? (c->low[i] - r - first * d) / s : 0;
    return p;
}

/* to = the filters of the phase's taps. */
static void gather(const Conv *v, const Phase *p, const char *filters, char *to)
{
    const HostConv *c = v->c;
    int64_t bytes = c->c * c->groups * c->o * v->size;
    for (int64_t d = 0; d < p[0].axis.taps; d++)
        for (int64_t h = 0; h < p[1].axis.taps; h++)
            for (int64_t w = 0; w < p[2].axis.taps; w++, to += bytes) {
                int64_t tap = (p[0].first + d * p[0].step) * c->taps[1] + p[1].first + h * p[1].step;
                tap = tap * c->taps[2] + p[2].first + w * p[2].step;
                memcpy(to, filters + tap * bytes, (size_t)bytes);
            }
}

/* Whether what the windows cover is not all in x. */
static bool is_padded(const Axis *x)
{
    return x->low > 0 || (x->out - 1) * x->stride + (x->taps - 1) * x->dilation - x->low >= x->in;
}

static bool run_phase(Conv *all, const Phase *p, char *room, Status *st)
{
    Conv v = *all;
    const void *filters = v.with;
    bool some = true;
    for (int i = 0; i < 3; i++) {
        v.axis[i] = p[i].axis;
        v.copies = v.copies || is_padded(&v.axis[i]);
        some = some && v.axis[i].out > 0;
    }
    if (!some) return true;
    if (room) {
        gather(&v, p, filters, room);
        v.with = room;
    }
    bool ok = conv_run(&v, st);
    all->along = v.along;
    return ok;
}

static bool phases(Conv *v, Status *st)
{
    const int64_t *s = v->c->spread, *out = v->c->out;
    bool spread = s[0] > 1 || s[1] > 1 || s[2] > 1, ok = true;
    size_t bytes = (size_t)(count_filters(v->c) * v->size);
    v->along = v->c->rows.fn && !v->c->filters && !spread && v->read == v->size;
    Buffer *room = spread ? contract_memory(v->threads, bytes, st) : NULL;
    if (spread && !room) return false;
    for (int64_t d = 0; d < MIN_OF(s[0], out[0]) && ok; d++)
        for (int64_t h = 0; h < MIN_OF(s[1], out[1]) && ok; h++)
            for (int64_t w = 0; w < MIN_OF(s[2], out[2]) && ok; w++) {
                const Phase p[3] = {phase_of(v->c, 0, d), phase_of(v->c, 1, h), phase_of(v->c, 2, w)};
                ok = run_phase(v, p, room ? room->data : NULL, st);
            }
    buffer_release(room);
    return ok;
}

/* ---- the door ----------------------------------------------------------------------------------- */

/* Extents multiply without overflow once this holds, some 2^10 lines as well: elements are counted where they were made, and what
 * windows reach here. The ops reach 2^48 at most. */
static bool reaches(const HostConv *c, Status *st)
{
    const int64_t most = (int64_t)1 << 50;
    for (int i = 0; i < 3; i++) {
        int64_t far, taps;
        if (__builtin_mul_overflow(c->out[i], c->stride[i], &far) || __builtin_mul_overflow(c->taps[i], c->dilation[i], &taps) ||
            far > most || taps > most || c->spread[i] > most || c->low[i] > most || c->low[i] < -most)
            return status_fail(st, ST_UNSUPPORTED, "conv: the windows reach too far along axis %d of space", i);
    }
    return true;
}

static bool in_f32(Conv *v, Status *st)
{
    const HostConv *c = v->c;
    int64_t filters = count_filters(c), ys = count_y(c), n = c->filters ? ys : filters, made = c->filters ? filters : ys;
    Buffer *with = contract_memory(v->threads, (size_t)n * sizeof(float), st);
    Buffer *to = with ? contract_memory(v->threads, (size_t)made * sizeof(float), st) : NULL;
    bool ok = to;
    if (ok) {
        contract_tier()->widen(c->type, with->data, c->with, 1, n);
        v->with = with->data;
        v->to = to->data;
        ok = phases(v, st);
    }
    if (ok) contract_narrow(v->threads, c->type, c->to, to->data, made);
    buffer_release(to);
    buffer_release(with);
    return ok;
}

/* Filters as they lie are the right operand of products, one for each group, and are kept packed as that. */
static void keep_filters(Conv *v)
{
    const HostConv *c = v->c;
    if (c->filters || c->spread[0] > 1 || c->spread[1] > 1 || c->spread[2] > 1 || c->o == 1) return;
    v->product = (HostContract){.type = c->type,
        .to = c->type,
        .nbatch = 1,
        .batch = {c->groups},
        .m = c->n * c->out[0] * c->out[1] * c->out[2],
        .n = c->o,
        .k = c->taps[0] * c->taps[1] * c->taps[2] * c->c,
        .b = c->with,
        .b_batch = {c->o},
        .b_row = c->groups * c->o,
        .b_col = 1,
        .keep = c->keep};
    v->panels = panels_of(v->threads, &v->product);
}

/* Whether rows were seen to goes to *along. */
static bool convolve(ThreadPool *threads, const HostConv *c, bool *along, Status *st)
{
    DType type = (DType)c->type, compute = (DType)dtype_info[type].compute;
    int64_t ys = count_y(c), filters = count_filters(c), made = c->filters ? filters : ys;
    if (made == 0) return true;
    if (!dtype_is_float(type)) return status_fail(st, ST_DTYPE, "conv: not defined for %s", dtype_info[type].name);
    if (!reaches(c, st)) return false;
    if (ys == 0 || filters == 0) {
        memset(c->to, 0, (size_t)made * dtype_bytes(type));
        return true;
    }
    *along = is_product(c);
    if (*along) return product(threads, c, st);
    Conv v = {.threads = threads,
        .c = c,
        .with = c->with,
        .to = c->to,
        .kernels = contract_tier()->type[compute == DT_f64 ? IN_F64 : IN_F32],
        .copies = type != compute};
    v.read = (int64_t)dtype_bytes(type);
    v.size = (int64_t)dtype_bytes(compute);
    if (type == compute) keep_filters(&v);
    bool ok = type == compute ? phases(&v, st) : in_f32(&v, st);
    *along = v.along;
    return ok;
}

bool contract_convolve(ThreadPool *threads, const HostConv *c, Status *st)
{
    bool along = false, ok = convolve(threads, c, &along, st);
    if (ok && !along) contract_all_rows(threads, &c->rows, c->n * c->out[0] * c->out[1] * c->out[2]);
    return ok;
}
