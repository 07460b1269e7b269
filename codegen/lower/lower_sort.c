/* lower_sort: argsort and sort in kernels. Elements become keys: unsigned numbers that have the wanted order. In a short line each
 * key's place is the number of keys that go before it. A long line is sorted by one byte of the keys after another, the lowest
 * first: a kernel counts the bytes, running sums of the counts say where each byte's elements begin, and each element, in order,
 * goes to the next place of its byte. Very long lines are cut into pieces, which threads count and move side by side: of elements
 * with the same byte those of the first piece come first. All of it is stable. Where elements are wanted, not their places, the
 * keys become elements again; programs that have a host leave that to its routine (codegen/eager/sort.c). Relies on lower.h. */
#include "lower.h"

#define SHORT_LINE 64 /* counting all pairs is quadratic */
#define DIGITS 256
#define LONG_LINE 65536 /* from so many elements on a line is cut into */
#define PIECES 8

typedef struct Sort {
    const Node *n;
    bool values, descending; /* values: the elements are wanted */
    DType key, index;        /* the types of keys, and of indices between passes */
    uint32_t pass, passes;
    Dim lines, size, after;
    int64_t pieces;
    Dim length;                                                       /* elements of a piece; in the last one some may be missing */
    uint32_t hist, next_hist, key_from, key_to, index_from, index_to; /* kernel buffers, as far as the pass has them */
} Sort;

/* ---- keys ---------------------------------------------------------------------------------------- */

static int32_t build_key_const(Build *b, DType t, uint64_t v) { return build_const(b, t, (Scalar){.u = v}); }

static uint64_t all_bits(DType key) { return key == DT_u64 ? UINT64_MAX : UINT32_MAX; }

/* Bits of a float as a key: all of them are turned where it has a sign, else that alone. Or a key as bits, which has a sign where
 * the float had none. */
static int32_t turned(Build *b, DType key, int32_t bits, bool to_key)
{
    const uint64_t all = all_bits(key), sign = all / 2 + 1;
    int32_t is_low = build_prim(b, P_lt, DT_bool, bits, build_key_const(b, key, sign), -1);
    int32_t every = build_prim(b, P_xor, key, bits, build_key_const(b, key, all), -1);
    int32_t one = build_prim(b, P_xor, key, bits, build_key_const(b, key, sign), -1);
    return build_prim(b, P_select, key, is_low, to_key ? one : every, to_key ? every : one);
}

/* A float's key is its bits, in reverse order where it has a sign; NaN has the last one. The order of indices has one key for both
 * zeros. */
static int32_t float_key(Build *b, const Sort *s, int32_t x)
{
    const DType t = build_type(b, x), key = s->key;
    const int32_t zero = build_const(b, t, (Scalar){0}), nan = build_prim(b, P_ne, DT_bool, x, x, -1);
    if (s->descending) x = build_prim(b, P_neg, t, x, -1, -1);
    if (!s->values) x = build_prim(b, P_add, t, x, zero, -1);
    const int32_t of_number = turned(b, key, build_prim(b, P_bits, key, x, -1, -1), true);
    return build_prim(b, P_select, key, nan, build_key_const(b, key, all_bits(key)), of_number);
}

static int32_t key_float(Build *b, const Sort *s, DType t, int32_t key)
{
    const int32_t x = build_prim(b, P_floatbits, t, turned(b, s->key, key, false), -1, -1);
    return s->descending ? build_prim(b, P_neg, t, x, -1, -1) : x;
}

static uint64_t integer_bits(DType t)
{
    const uint32_t bits = t == DT_bool ? 1 : dtype_info[t].bits;
    return UINT64_MAX >> (64 - bits);
}

/* An integer's key is its distance from the smallest integer, or if descending from the largest. */
static int32_t integer_key(Build *b, DType from, DType key, int32_t x, bool descending)
{
    const uint64_t all = integer_bits(from);
    const bool is_signed = from != DT_bool && dtype_info[from].lo < 0;
    if (from == DT_bool)
        x = build_prim(b, P_select, key, x, build_key_const(b, key, 1), build_key_const(b, key, 0));
    else
        x = build_prim(b, P_cvt, key, x, -1, -1);
    if (is_signed)
        x = build_prim(b, P_and, key, build_prim(b, P_add, key, x, build_key_const(b, key, all / 2 + 1), -1),
            build_key_const(b, key, all), -1);
    return descending ? build_prim(b, P_sub, key, build_key_const(b, key, all), x, -1) : x;
}

/* The integer whose key it is. */
static int32_t key_integer(Build *b, const Sort *s, DType to, int32_t x)
{
    const DType key = s->key;
    const DTypeInfo *d = &dtype_info[to];
    const uint64_t all = integer_bits(to);
    if (s->descending) x = build_prim(b, P_sub, key, build_key_const(b, key, all), x, -1);
    if (to == DT_bool) return build_prim(b, P_ne, DT_bool, x, build_key_const(b, key, 0), -1);
    if (d->lo < 0)
        x = build_prim(b, P_and, key, build_prim(b, P_add, key, x, build_key_const(b, key, all / 2 + 1), -1),
            build_key_const(b, key, all), -1);
    return build_prim(b, P_cvt, to, x, -1, -1);
}

/* The key of the operand's element number i of line (axis 0) and column (axis 1). */
static int32_t element_key(Build *b, const Sort *s, IndexExpr i)
{
    const Type *t = graph_type(b->g, s->n->in[0]);
    IndexMap at = {.rank = 3, .dim = {s->lines, s->size, s->after}, .at = {index_axis(0, 1), i, index_axis(1, 1)}};
    index_normalise(&b->env, &at);
    int32_t x = build_value(b, s->n->in[0], &at);
    if (x < 0) return -1;
    return dtype_is_float((DType)t->dtype) ? float_key(b, s, x) : integer_key(b, (DType)t->dtype, s->key, x, s->descending);
}

/* The element whose key it is. */
static int32_t key_element(Build *b, const Sort *s, int32_t key)
{
    const DType t = (DType)graph_type(b->g, s->n->out)->dtype;
    return dtype_is_float(t) ? key_float(b, s, (DType)dtype_info[t].compute, key) : key_integer(b, s, t, key);
}

/* Where the result's element number i of that line lies: [lines, size, after]. */
static uint32_t result_stream(Build *b, const Sort *s, uint32_t buf, IndexExpr i)
{
    IndexMap to = {.rank = 3, .dim = {s->lines, s->size, s->after}, .at = {index_axis(0, 1), i, index_axis(1, 1)}};
    return build_stream(b, buf, (DType)graph_type(b->g, s->n->out)->dtype, &to);
}

/* Where element number i of a buffer [lines, after, size] lies. */
static uint32_t line_stream(Build *b, const Sort *s, uint32_t buf, DType t, Dim size, IndexExpr i)
{
    IndexMap to = {.rank = 3, .dim = {s->lines, s->after, size}, .at = {index_axis(0, 1), index_axis(1, 1), i}};
    return build_stream(b, buf, t, &to);
}

static IndexExpr at_value(int32_t i)
{
    IndexExpr e = index_const(0);
    e.dyn = i;
    return e;
}

/* ---- short lines: axes (line, column, element, others) --------------------------------------------- */

static bool count_before(Build *b, const void *with)
{
    const Sort *s = with;
    int32_t mine = element_key(b, s, index_axis(2, 1)), other = element_key(b, s, index_axis(3, 1));
    if (mine < 0 || other < 0) return false;
    int32_t earlier = build_prim(b, P_lt, DT_bool, build_axis(b, 3), build_axis(b, 2), -1);
    int32_t ties = build_prim(b, P_and, DT_bool, build_prim(b, P_eq, DT_bool, other, mine, -1), earlier, -1);
    int32_t goes_before = build_prim(b, P_or, DT_bool, build_prim(b, P_lt, DT_bool, other, mine, -1), ties, -1);
    int32_t one = build_const(b, DT_i32, (Scalar){.i = 1}), none = build_const(b, DT_i32, (Scalar){0});
    int32_t place = build_sum(b, build_prim(b, P_select, DT_i32, goes_before, one, none));
    place = build_prim(b, P_cvt, DT_i64, place, -1, -1);
    return build_store_after(
        b, result_stream(b, s, b->group->nin, at_value(place)), s->values ? key_element(b, s, mine) : build_axis(b, 2));
}

/* ---- long lines: axes (line, column, element), or (line, column, piece, element); sums: (line, column, count) -------------------
 */

/* Which element of its line; from here on only where there is one. */
static IndexExpr own_element(Build *b, const Sort *s)
{
    if (s->pieces == 1) return index_axis(2, 1);
    IndexExpr i = index_axis(2, s->length);
    i.coef[3] = 1;
    if (!dim_is_const(s->size) || s->size % s->pieces != 0)
        *VEC_PUSH(b->lw->scratch, &b->guard) = build_prim(b, P_lt, DT_bool, index_value(&b->env, &i), build_dim(b, s->size), -1);
    return i;
}

static Dim counts(const Sort *s) { return DIGITS * s->pieces; }

static int32_t digit(Build *b, const Sort *s, int32_t key, uint32_t pass)
{
    int32_t low = build_prim(b, P_shr, s->key, key, build_key_const(b, s->key, 8 * pass), -1);
    return build_prim(b, P_cvt, DT_i64, build_prim(b, P_and, s->key, low, build_key_const(b, s->key, DIGITS - 1), -1), -1, -1);
}

/* Adds 1 to the number of the digit, of this piece, and returns what it was: a count, or the place of the element that comes next
 * with this digit. */
static int32_t count(Build *b, const Sort *s, uint32_t hist, int32_t digit)
{
    IndexExpr i = at_value(digit);
    if (s->pieces > 1) i.coef[2] = DIGITS; /* far from the counts of other pieces, which other threads change */
    return build_fetch(b, line_stream(b, s, hist, s->index, counts(s), i), build_const(b, s->index, (Scalar){.i = 1}), -1);
}

static bool make_keys(Build *b, const void *with)
{
    const Sort *s = with;
    const IndexExpr own = own_element(b, s);
    int32_t key = element_key(b, s, own);
    if (key < 0) return false;
    return count(b, s, s->hist, digit(b, s, key, 0)) >= 0 &&
           build_store(b, line_stream(b, s, s->key_to, s->key, s->size, own), key, 0);
}

static bool count_digits(Build *b, const void *with)
{
    const Sort *s = with;
    int32_t key = build_load(b, line_stream(b, s, s->key_from, s->key, s->size, own_element(b, s)));
    return key >= 0 && count(b, s, s->hist, digit(b, s, key, s->pass)) >= 0;
}

/* The counts of digits one after the other, and of each digit those of the pieces. */
static IndexExpr own_count(Build *b, const Sort *s)
{
    if (s->pieces == 1) return index_axis(2, 1);
    const int32_t i = build_axis(b, 2), pieces = build_const(b, DT_i64, (Scalar){.i = s->pieces});
    int32_t piece = build_prim(b, P_irem, DT_i64, i, pieces, -1), digit = build_prim(b, P_idiv, DT_i64, i, pieces, -1);
    piece = build_prim(b, P_mul, DT_i64, piece, build_const(b, DT_i64, (Scalar){.i = DIGITS}), -1);
    return at_value(build_prim(b, P_add, DT_i64, piece, digit, -1));
}

/* Kernel buffer 0 has the sums, which start as 0, buffer 1 the counts. */
static bool sum_counts(Build *b, const void *with)
{
    const Sort *s = with;
    uint32_t number = line_stream(b, s, 1, s->index, counts(s), own_count(b, s));
    int32_t before = build_fetch(b, line_stream(b, s, 0, s->index, 1, index_const(0)), build_load(b, number), -1);
    return before >= 0 && build_store(b, number, before, 0);
}

static bool place_elements(Build *b, const void *with)
{
    const Sort *s = with;
    const IndexExpr own = own_element(b, s);
    int32_t key = build_load(b, line_stream(b, s, s->key_from, s->key, s->size, own));
    int32_t place = count(b, s, s->hist, digit(b, s, key, s->pass)), index = index_value(&b->env, &own);
    if (key < 0 || place < 0) return false;
    place = build_prim(b, P_cvt, DT_i64, place, -1, -1);
    if (s->pass != 0 && !s->values) index = build_load(b, line_stream(b, s, s->index_from, s->index, s->size, own));
    if (s->pass + 1 == s->passes) {
        const int32_t x = s->values ? key_element(b, s, key) : build_prim(b, P_cvt, DT_i64, index, -1, -1);
        return build_store(b, result_stream(b, s, s->index_to, at_value(place)), x, 0);
    }
    index = build_prim(b, P_cvt, s->index, index, -1, -1);
    if (s->pieces == 1 && count(b, s, s->next_hist, digit(b, s, key, s->pass + 1)) < 0) return false;
    return build_store(b, line_stream(b, s, s->key_to, s->key, s->size, at_value(place)), key, 0) &&
           (s->values || build_store(b, line_stream(b, s, s->index_to, s->index, s->size, at_value(place)), index, 0));
}

/* ---- steps --------------------------------------------------------------------------------------- */

typedef struct Sorting { /* program buffers */
    Sort s;
    Type count_type, sum_type;
    uint32_t hist[2], sums, key[2], index[2], out;
} Sorting;

static uint32_t room(Scope *s, const Sort *o, DType t, Dim size, Type *type)
{
    *type = (Type){.dtype = (uint8_t)t, .rank = 3, .dim = {o->lines, o->after, size}};
    return lower_buf(s->lw, BUF_TEMP, type);
}

static bool add_kernel(
    Scope *s, Group group, bool (*draft)(Build *, const void *), const Sort *with, Dim sweep, const uint32_t *buf, uint32_t nbuf)
{
    const bool cut = with->pieces > 1 && draft != sum_counts;
    group.draft = draft, group.with = with;
    group.naxis = cut ? 4 : 3, group.sweep = cut ? 3 : 2;
    group.extent[0] = with->lines, group.extent[1] = with->after, group.extent[2] = with->pieces;
    group.extent[group.sweep] = cut ? with->length : sweep;
    group.nout = nbuf - group.nin;
    return scope_kernel(s, &group, buf);
}

static bool clear(Scope *s, const Sorting *o, uint32_t hist) { return scope_fill(s, &o->count_type, 0, o->s.n->loc, hist); }

/* Where a piece's elements are after a pass is not known while they move. */
static bool count_again(Scope *s, Sorting *o, Group group, uint32_t odd)
{
    Sort *w = &o->s;
    uint32_t buf[2] = {o->key[odd], o->hist[odd]};
    w->key_from = 0, w->hist = 1;
    group.nin = 1;
    return clear(s, o, o->hist[odd]) && add_kernel(s, group, count_digits, w, w->size, buf, 2);
}

static bool passes(Scope *s, Sorting *o)
{
    Sort *w = &o->s;
    const Group own = {.g = s->g, .input = s->input, .node = w->n};
    for (w->pass = 0; w->pass < w->passes; w->pass++) {
        const uint32_t p = w->pass, odd = p & 1;
        const bool last = p + 1 == w->passes;
        uint32_t sums[2] = {o->sums, o->hist[odd]}, buf[6] = {o->key[odd]}, n = 1;
        if (p != 0 && w->pieces > 1 && !count_again(s, o, own, odd)) return false;
        if (!scope_fill(s, &o->sum_type, 0, w->n->loc, o->sums) || !add_kernel(s, own, sum_counts, w, counts(w), sums, 2))
            return false;
        Group group = own;
        w->key_from = 0;
        if (p != 0 && !w->values) buf[w->index_from = n++] = o->index[!odd];
        group.nin = n;
        buf[w->hist = n++] = o->hist[odd];
        if (last || !w->values) buf[w->index_to = n++] = last ? o->out : o->index[odd];
        if (!last) {
            if (w->pieces == 1) {
                if (!clear(s, o, o->hist[!odd])) return false;
                buf[w->next_hist = n++] = o->hist[!odd];
            }
            buf[w->key_to = n++] = o->key[!odd];
        }
        if (!add_kernel(s, group, place_elements, w, w->size, buf, n)) return false;
    }
    return true;
}

static bool sort_long(Scope *s, Sorting *o, Group group, uint32_t *buf)
{
    Type t;
    Sort *w = &o->s;
    for (uint32_t i = 0; i < MIN_OF(w->passes, 2u); i++) {
        o->hist[i] = room(s, w, w->index, counts(w), &o->count_type);
        o->key[i] = room(s, w, w->key, w->size, &t);
        if (i + 1 < w->passes && !w->values) o->index[i] = room(s, w, w->index, w->size, &t);
        if (o->hist[i] == NO_BUF || o->key[i] == NO_BUF || o->index[i] == NO_BUF) return false;
    }
    o->sums = room(s, w, w->index, 1, &o->sum_type);
    if (o->sums == NO_BUF || !clear(s, o, o->hist[0])) return false;
    buf[w->hist = group.nin] = o->hist[0];
    buf[w->key_to = group.nin + 1] = o->key[0];
    return add_kernel(s, group, make_keys, w, w->size, buf, group.nin + 2) && passes(s, o);
}

static bool in_kernels(Scope *s, const Node *n, bool values)
{
    DimTable *dims = s->lw->dims;
    const Type *t = graph_type(s->g, n->in[0]);
    const struct argsort_attrs *a = ATTRS(argsort, n->attr->at); /* sort has the same */
    const uint32_t axis = (uint32_t)a->axis, bits = dtype_info[dtype_info[t->dtype].compute].bits;
    Group group;
    uint32_t *buf = scope_operands(s, n, &group, 2);
    Sorting o = {.s = {.n = n, .lines = 1, .size = t->dim[axis], .after = 1}, .out = scope_result(s, n->out)};
    o.s.values = values, o.s.descending = a->descending != 0;
    o.s.key = bits > 32 ? DT_u64 : DT_u32;
    const int64_t most = dim_hi(dims, o.s.size);
    o.s.index = most <= INT16_MAX ? DT_i16 : most <= INT32_MAX ? DT_i32 : DT_i64;
    o.s.passes = MAX_OF(bits / 8, 1);
    o.s.pieces = most >= LONG_LINE ? PIECES : 1;
    o.s.length = dim_floordiv(dims, dim_add(dims, o.s.size, PIECES - 1), PIECES);
    for (uint32_t i = 0; i < t->rank; i++) {
        Dim *part = i < axis ? &o.s.lines : &o.s.after;
        if (i != axis) *part = dim_mul(dims, *part, t->dim[i]);
    }
    bool ok = o.out != NO_BUF;
    if (ok && most <= SHORT_LINE) {
        group.draft = count_before, group.with = &o.s, group.nout = 1;
        group.naxis = 4, group.sweep = 3;
        group.extent[0] = o.s.lines, group.extent[1] = o.s.after, group.extent[2] = group.extent[3] = o.s.size;
        buf[group.nin] = o.out;
        ok = scope_kernel(s, &group, buf);
    } else {
        ok = ok && sort_long(s, &o, group, buf);
    }
    scope_operands_end(s, n);
    return ok;
}

#define FEW 16 /* a line so short is less work than asking the host */

static bool on_host(Scope *s, const Node *n)
{
    DimTable *dims = s->lw->dims;
    const Type *t = graph_type(s->g, n->in[0]);
    const int64_t axis = ATTRS(sort, n->attr->at)->axis, most = dim_hi(dims, t->dim[axis]);
    int64_t lines = 1;
    if (op_is_source((Op)graph_maker(s->g, n->in[0])->op)) return false; /* it lies nowhere */
    for (uint32_t i = 0; i < t->rank && lines < 4; i++)
        if (i != axis) lines *= MIN_OF(dim_lo(dims, t->dim[i]), 4);
    return s->lw->o->host_products && most > FEW && sort_on_host((Op)n->op, (DType)t->dtype, most, lines);
}

bool lower_sort(Scope *s, const Node *n)
{
    if (!on_host(s, n)) return in_kernels(s, n, n->op == OP_sort);
    const Type *t = graph_type(s->g, n->in[0]);
    Dim *dim = ARENA_ARRAY(s->lw->arena, Dim, host_routine((Op)n->op)->dims);
    if (!sort_numbers(s->lw->dims, n->attr->at, t->rank, t->dim, dim))
        return status_fail(s->lw->st, ST_SHAPE, "lowering %s: too many lines", op_def[n->op].name);
    return lower_routine(s, n, dim, NULL);
}
