/* test_given_move: movement, subscripts and indices (move.h) against NumPy's and torch's (tests/given/move.py). */
#include "given.h"

/* A case's numbers are lists: how many, then these. */
static const double *list_at(const Given *g, int i, int *count)
{
    int at = 0;
    for (; i > 0; i--) at += 1 + (g->n[at] > 0 ? (int)g->n[at] : 0);
    *count = at < g->nn ? (int)g->n[at] : 0;
    return g->n + at + 1;
}

static kiln_shape shape_number(const Given *g, int i)
{
    kiln_shape s = {0};
    int count;
    const double *v = list_at(g, i, &count);
    for (int a = 0; a < count; a++) s.size[++s.rank] = (int64_t)v[a];
    return s;
}

static kiln_axes axes_number(const Given *g, int i)
{
    kiln_axes s = {0};
    const double *v = list_at(g, i, &s.count);
    for (int a = 0; a < s.count; a++) s.axis[a + 1] = (int)v[a];
    return s;
}

static int64_t value_number(const Given *g, int i)
{
    int count;
    return (int64_t)list_at(g, i, &count)[0];
}

#define L(i) shape_number(g, i)
#define A(i) axes_number(g, i)
#define V(i) value_number(g, i)
#define J(i) ((int)value_number(g, i))

GIVEN(expand_dims, kiln_expand_dims(X(0), A(0)))
GIVEN(squeeze_dims, kiln_squeeze_dims(X(0), A(0)))
GIVEN(moveaxis, kiln_moveaxis(X(0), A(0), A(1)))
GIVEN(swapaxes, kiln_swapaxes(X(0), J(0), J(1)))
GIVEN(flip, kiln_flip(X(0), A(0)))
GIVEN(rot90, kiln_rot90(X(0), J(0), J(1), J(2)))
GIVEN(roll, kiln_roll(X(0), L(0), A(1)))
GIVEN(broadcast_like, kiln_broadcast_like(X(0), X(1)))
GIVEN(pad, kiln_pad(X(0), L(0), L(1), 0))
GIVEN(pad_with, kiln_pad_with(X(0), L(0), L(1), (kiln_padding)V(2)))
GIVEN(pad_by_index, kiln_pad_with(X(0), L(0), L(1), (kiln_padding)V(2)))
GIVEN(tile, kiln_tile(X(0), L(0)))
GIVEN(repeat, kiln_repeat(X(0), V(0), J(1)))
GIVEN(repeat_each, kiln_repeat(X(0), kiln_dtype_of(X(1)) == KILN_I32 ? kiln_i32(k, KILN_SHAPE(1), 2) : kiln_i64(k, KILN_SHAPE(3), 2, 0, 3), J(0)))
GIVEN(concat_flat, kiln_concat(KILN_IN(X(0), X(1)), KILN_FLAT))
GIVEN(windows, kiln_sliding_windows(X(0), A(0), L(1), L(2)))
GIVEN(depth_to_space, kiln_depth_to_space(X(0), V(0), J(1), (kiln_depth_order)V(2)))
GIVEN(space_to_depth, kiln_space_to_depth(X(0), V(0), J(1), (kiln_depth_order)V(2)))
GIVEN(triu, kiln_triu(X(0), V(0)))
GIVEN(tril, kiln_tril(X(0), V(0)))
GIVEN(diag, kiln_diag(X(0), V(0)))
GIVEN(diagonal, kiln_diagonal(X(0), V(0), J(1), J(2)))
GIVEN(trace, kiln_trace(X(0), V(0), J(1), J(2)))
GIVEN(index_from, kiln_index(X(0), KILN_REST, KILN_FROM(X(1), V(0))))
GIVEN(index_from_number, kiln_index(X(0), KILN_ALL_OF, KILN_FROM(V(0), V(1))))
GIVEN(gather_nd, kiln_gather_nd(X(0), X(1), J(0)))
GIVEN(scatter_nd, kiln_scatter_nd(X(0), X(1), X(2), (kiln_scatter_how)V(0)))
GIVEN(scatter_along, kiln_scatter_along(X(0), X(1), X(2), J(0), (kiln_scatter_how)V(1)))
GIVEN(put, kiln_put(X(0), X(1), X(2)))

static void broadcast_arrays(const Given *g, kiln_tensor **out) { kiln_broadcast_arrays(kiln_tensors(g->in, g->nin), out); }

static void split3(const Given *g, kiln_tensor **out)
{
    const kiln_shape sizes = L(0);
    kiln_split(X(0), J(1), sizes.rank ? sizes.size + 1 : NULL, 3, out);
}

static void unstack3(const Given *g, kiln_tensor **out) { kiln_unstack(X(0), J(0), 3, out); }

/* The lists from number `from` on as subscripts. */
static kiln_subscripts subscripts(const Given *g, int from, kiln_subscript *to)
{
    int n = 0, count;
    const double *v;
    for (; v = list_at(g, from, &count), v - g->n <= g->nn && count > 0; from++) {
        const int64_t stop = count > 2 && v[2] == 0x1p62 ? KILN_END : count > 2 ? (int64_t)v[2] : 0;
        switch ((int)v[0]) {
        case 0: to[n++] = KILN_AT((int64_t)v[1]); break;
        case 1: to[n++] = KILN_RANGE((int64_t)v[1], stop, (int64_t)v[3]); break;
        case 3: to[n++] = KILN_ALL_OF; break;
        case 4: to[n++] = KILN_NEW; break;
        case 5: to[n++] = KILN_REST; break;
        default: to[n++] = KILN_AT(g->in[(int)v[1]]); break;
        }
    }
    return kiln_subscript_list(to, n);
}

static void index_(const Given *g, kiln_tensor **out)
{
    kiln_subscript s[10];
    out[0] = kiln_index_at(KILN_HERE, KILN_OPERAND(X(0)), subscripts(g, 0, s));
}

static void update(const Given *g, kiln_tensor **out)
{
    kiln_subscript s[10];
    out[0] = kiln_index_update_at(KILN_HERE, KILN_OPERAND(X(0)), KILN_OPERAND(X(1)), (kiln_scatter_how)V(0), subscripts(g, 1, s));
}

static const GivenRow rows[] = {ROW(expand_dims, 0, GIVEN_GRAD), ROW(squeeze_dims, 0, GIVEN_GRAD), ROW(moveaxis, 0, GIVEN_GRAD),
    ROW(swapaxes, 0, GIVEN_GRAD), ROW(flip, 0, GIVEN_GRAD), ROW(rot90, 0, GIVEN_GRAD), ROW(roll, 0, GIVEN_GRAD),
    ROW(broadcast_like, 0, GIVEN_SIZED | GIVEN_GRAD), ROW(broadcast_arrays, 0, GIVEN_SIZED | GIVEN_GRAD), ROW(pad, 0, GIVEN_GRAD), ROW(pad_with, 0, GIVEN_GRAD),
    ROW(pad_by_index, 0, GIVEN_GRAD), ROW(tile, 0, GIVEN_GRAD), ROW(repeat, 0, GIVEN_GRAD), ROW(repeat_each, 0, GIVEN_GRAD),
    ROW(split3, 0, GIVEN_GRAD), ROW(unstack3, 0, GIVEN_GRAD), ROW(concat_flat, 0, GIVEN_GRAD), ROW(windows, 0, GIVEN_GRAD),
    ROW(depth_to_space, 0, GIVEN_GRAD), ROW(space_to_depth, 0, GIVEN_GRAD), ROW(triu, 0, GIVEN_GRAD), ROW(tril, 0, GIVEN_GRAD),
    ROW(diag, 0, GIVEN_GRAD), ROW(diagonal, 0, GIVEN_GRAD | GIVEN_SIZED), ROW(trace, 0, GIVEN_GRAD), {"index", index_, 0, GIVEN_GRAD},
    ROW(index_from, 0, GIVEN_GRAD), ROW(index_from_number, 0, GIVEN_GRAD), ROW(update, 0, GIVEN_GRAD | GIVEN_SIZED),
    {"update_at", update, 0, GIVEN_GRAD | GIVEN_SIZED}, ROW(gather_nd, 0, GIVEN_GRAD | GIVEN_SIZED), ROW(scatter_nd, 0, GIVEN_GRAD | GIVEN_SIZED),
    ROW(scatter_along, 0, GIVEN_GRAD | GIVEN_SIZED), ROW(put, 0, GIVEN_GRAD | GIVEN_SIZED)};

GIVEN_MAIN("move", rows)
