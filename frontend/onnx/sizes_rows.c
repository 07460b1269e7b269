/* sizes_rows: rows of sizes that are put together, taken apart, repeated and added up, while a function is traced: no element
 * changes, but for sums and extremes of a whole row. Rows of rows are as far as it goes. Relies on import.h. */
#include "import.h"

enum { MOST = 64 };

static bool is(const Call *c, const char *op) { return strcmp(c->node->op->name, op) == 0; }

/* How many along an axis of a rank of 1 or 2. */
static int along(const Held *h, int axis)
{
    if (h->rank < 2) return h->sizes;
    return axis == 1 ? h->columns : h->columns ? h->sizes / h->columns : 0;
}

/* With other numbers, as many as n. */
static Held like(const Held *h, int n, int rank, int columns)
{
    const uint8_t sort = h->t ? h->t->type.dtype : h->sort;
    return (Held){.sizes = n, .rank = rank, .columns = columns, .over = h->over, .times = h->times, .sort = sort};
}

static bool as(Call *c, const Held *x, int rank, int columns) { return sizes_put(c, 0, x->size, like(x, x->sizes, rank, columns)); }

/* Plain numbers of operand i. False: some are not. */
static bool plain(const Call *c, uint32_t i, int64_t *at, int most, int *n)
{
    const Held *h = &c->in[i];
    if (h->sizes > most || h->over > 1 || h->times != 0) return false;
    for (int j = 0; j < h->sizes; j++) {
        if (known_symbol(h->size[j])) return false;
        at[j] = h->size[j];
    }
    *n = h->sizes;
    return true;
}

/* An attribute, later operand `in`; *n is -1 where there is neither. Counted from the front. */
static bool axes_of(Call *c, uint32_t in, int rank, int64_t *at, int *n)
{
    *n = -1;
    if (has(c, in) ? !plain(c, in, at, 2, n) : !attr_ints(c, "axes", at, 2, n)) return false;
    for (int i = 0; i < *n; i++) {
        if (at[i] < 0) at[i] += rank;
        if (at[i] < 0 || at[i] >= rank) return false;
    }
    return true;
}

/* Those at these places of the axis, which goes away, or stays. */
static bool picked(const Held *x, int axis, const int *at, int n, bool stays, Known *v, Held *to)
{
    const int rows = x->rank == 2 ? along(x, 0) : 1, columns = x->rank == 2 ? x->columns : x->sizes,
              wide = axis == 1 || x->rank == 1;
    const int all = wide ? rows * n : n * columns;
    if (all > MOST || (x->rank == 2 && !wide && !stays && n != 1)) return false;
    for (int i = 0, k = 0; i < (wide ? rows : n); i++)
        for (int j = 0; j < (wide ? n : columns); j++) v[k++] = x->size[(wide ? i : at[i]) * columns + (wide ? at[j] : j)];
    const int rank = x->rank - !stays;
    *to = like(x, all, rank, rank == 2 ? (wide ? n : columns) : 0);
    return true;
}

/* ---- put together -------------------------------------------------------------------------------------------- */

static bool concat(Call *c)
{
    Known to[MOST];
    int n = 0;
    for (uint32_t i = 0; i < c->nin; i++) {
        if (c->in[i].rank != 1 || c->in[i].over != c->in[0].over || c->in[i].times != 0) return false;
        for (int j = 0; j < c->in[i].sizes; j++) {
            if (n == MOST) return false;
            to[n++] = c->in[i].size[j];
        }
    }
    return sizes_put(c, 0, to, like(&c->in[0], n, 1, 0));
}

static bool reshape(Call *c)
{
    const Held *x = &c->in[0];
    int64_t to[2];
    int n, rest = -1, known = 1;
    if (c->node->version < 5 || c->nin != 2 || !plain(c, 1, to, 2, &n)) return false;
    for (int i = 0; i < n; i++) {
        if (to[i] == 0 && !attr_int(c, "allowzero", 0) && i < x->rank) to[i] = along(x, i);
        if (to[i] < -1 || to[i] > MOST || (to[i] == -1 && rest >= 0)) return false;
        if (to[i] == -1)
            rest = i;
        else
            known *= (int)to[i];
    }
    if (rest >= 0) {
        if (known == 0 || x->sizes % known != 0) return false;
        to[rest] = x->sizes / known, known = x->sizes;
    }
    return known == x->sizes && as(c, x, n, n == 2 ? (int)to[1] : 0);
}

static bool unsqueeze(Call *c)
{
    const Held *x = &c->in[0];
    int64_t at[2];
    int n;
    if (x->rank > 1 || !axes_of(c, 1, x->rank + 1, at, &n) || n != 1) return false;
    return as(c, x, x->rank + 1, x->rank == 0 ? 0 : at[0] == 0 ? x->sizes : 1);
}

static bool squeeze(Call *c)
{
    const Held *x = &c->in[0];
    int64_t at[2];
    int n;
    bool gone[2] = {false, false};
    if (!axes_of(c, 1, x->rank, at, &n)) return false;
    for (int i = 0; i < x->rank; i++) gone[i] = n < 0 && along(x, i) == 1;
    for (int i = 0; i < n; i++) gone[at[i]] = true;
    for (int i = 0; i < x->rank; i++)
        if (gone[i] && along(x, i) != 1) return false;
    const int rank = x->rank - gone[0] - gone[1];
    return as(c, x, rank, rank == 2 ? x->columns : 0);
}

static bool transpose(Call *c)
{
    const Held *x = &c->in[0];
    Known to[MOST];
    int64_t perm[2] = {1, 0};
    int n;
    if (!attr_ints(c, "perm", perm, 2, &n) || x->sizes > MOST) return false;
    if (x->rank < 2 || perm[0] == 0) return as(c, x, x->rank, x->columns);
    const int rows = along(x, 0);
    for (int i = 0; i < x->sizes; i++) to[i] = x->size[i % rows * x->columns + i / rows];
    return sizes_put(c, 0, to, like(x, x->sizes, 2, rows));
}

/* One number, or a row, as often as is asked for: Expand to a size, or Tile. */
static bool repeated(Call *c, bool tiles)
{
    const Held *x = &c->in[0];
    Known to[MOST];
    int64_t size[1] = {0};
    int n;
    if (x->rank > 1 || c->nin != 2 || !plain(c, 1, size, 1, &n)) return false;
    if (n == 0) return as(c, x, x->rank, 0);
    const int64_t all = tiles || x->sizes == 1 ? size[0] * x->sizes : size[0] == 1 ? x->sizes : size[0];
    if (size[0] < 0 || size[0] > MOST || all > MOST || (!tiles && x->sizes != 1 && all != x->sizes)) return false;
    for (int i = 0; i < all; i++) to[i] = x->size[i % x->sizes];
    return sizes_put(c, 0, to, like(x, (int)all, 1, 0));
}

/* The first of two numbers all along but for one place, or one in each row. */
static bool one_hot(Call *c)
{
    const Held *i = &c->in[0], *pair = &c->in[2];
    Known to[MOST];
    int64_t at[MOST], depth[1] = {0};
    int n, one, all = 0;
    if (c->nin != 3 || i->rank > 1 || attr_int(c, "axis", -1) != -1 || !plain(c, 0, at, MOST, &n) || !plain(c, 1, depth, 1, &one) ||
        one != 1 || depth[0] < 1 || depth[0] * n > MOST || pair->sizes != 2)
        return false;
    for (int j = 0; j < n; j++)
        for (int64_t k = 0; k < depth[0]; k++) to[all++] = pair->size[at[j] == k || at[j] + depth[0] == k];
    return sizes_put(c, 0, to, like(pair, all, i->rank + 1, i->rank == 1 ? (int)depth[0] : 0));
}

/* ---- taken apart ----------------------------------------------------------------------------------------------- */

static bool gather(Call *c)
{
    const Held *x = &c->in[0], *at = &c->in[1];
    Known to[MOST];
    int64_t i[MOST], axis = attr_int(c, "axis", 0);
    int n, place[MOST];
    if (axis < 0) axis += x->rank;
    if (x->rank < 1 || axis < 0 || axis >= x->rank || at->rank > 1 || !plain(c, 1, i, MOST, &n)) return false;
    for (int j = 0; j < n; j++) {
        place[j] = (int)(i[j] < 0 ? i[j] + along(x, (int)axis) : i[j]);
        if (i[j] >= MOST || place[j] < 0 || place[j] >= along(x, (int)axis)) return false;
    }
    Held h;
    return picked(x, (int)axis, place, n, at->rank == 1, to, &h) && sizes_put(c, 0, to, h);
}

/* At plain places. */
static bool gather_each(Call *c)
{
    const Held *x = &c->in[0], *at = &c->in[1];
    Known to[MOST];
    int64_t i[MOST];
    int n;
    if (c->nin != 2 || x->rank != 1 || at->rank != 1 || !plain(c, 1, i, MOST, &n)) return false;
    for (int j = 0; j < n; j++) {
        if (i[j] < -x->sizes || i[j] >= x->sizes) return false;
        to[j] = x->size[i[j] < 0 ? i[j] + x->sizes : i[j]];
    }
    return sizes_put(c, 0, to, like(x, n, 1, 0));
}

static bool scatter_each(Call *c)
{
    const Held *x = &c->in[0], *from = &c->in[2];
    Known to[MOST];
    int64_t i[MOST];
    int n;
    if (c->nin != 3 || x->rank != 1 || x->sizes > MOST || from->rank != 1 || from->over != x->over || from->times != x->times ||
        attribute(c, "reduction") || !plain(c, 1, i, MOST, &n) || n != from->sizes)
        return false;
    memcpy(to, x->size, (size_t)x->sizes * sizeof *to);
    for (int j = 0; j < n; j++) {
        if (i[j] < -x->sizes || i[j] >= x->sizes) return false;
        to[i[j] < 0 ? i[j] + x->sizes : i[j]] = from->size[j];
    }
    return sizes_put(c, 0, to, like(x, x->sizes, 1, 0));
}

static int places_of(int64_t from, int64_t to, int64_t step, int n, int *place)
{
    int many = 0;
    from = from < 0 ? MAX_OF(from + n, step < 0 ? -1 : 0) : MIN_OF(from, step < 0 ? n - 1 : n);
    to = to < 0 ? MAX_OF(to + n, step < 0 ? -1 : 0) : MIN_OF(to, n);
    for (int64_t i = from; (step < 0 ? i > to : i < to) && many < MOST; i += step) place[many++] = (int)i;
    return many;
}

static bool slice(Call *c)
{
    Held x = c->in[0];
    Known v[2][MOST];
    int64_t from[2], to[2], axis[2] = {0, 1}, step[2] = {1, 1};
    int n, m, place[MOST];
    if (c->node->version < 10 || c->nin < 3 || x.rank < 1 || x.sizes > MOST || !plain(c, 1, from, 2, &n) ||
        !plain(c, 2, to, 2, &m) || n != m)
        return false;
    if (has(c, 3) && (!axes_of(c, 3, x.rank, axis, &m) || m != n)) return false;
    if (has(c, 4) && (!plain(c, 4, step, 2, &m) || m != n)) return false;
    for (int i = 0; i < n; i++) {
        if (axis[i] >= x.rank || step[i] == 0 || step[i] > MOST || step[i] < -MOST) return false;
        const int many = places_of(from[i], to[i], step[i], along(&x, (int)axis[i]), place);
        Held h;
        if (!picked(&x, (int)axis[i], place, many, true, v[i], &h)) return false;
        h.size = v[i];
        x = h;
    }
    return sizes_put(c, 0, x.size, like(&x, x.sizes, x.rank, x.columns));
}

static bool split(Call *c)
{
    const Held *x = &c->in[0];
    int64_t size[MOST];
    int n = -1, first = 0;
    if (x->rank != 1 || c->nout > MOST || (has(c, 1) ? !plain(c, 1, size, MOST, &n) : !attr_ints(c, "split", size, MOST, &n)))
        return false;
    if (n >= 0 && n != (int)c->nout) return false;
    const int each = (x->sizes + (int)c->nout - 1) / (int)c->nout;
    for (uint32_t i = 0; i < c->nout; i++) {
        const int64_t many = n >= 0 ? size[i] : MIN_OF(each, x->sizes - first);
        if (many < 0 || many > x->sizes - first || !sizes_put(c, i, x->size + first, like(x, (int)many, 1, 0))) return false;
        first += (int)many;
    }
    return first == x->sizes;
}

/* ---- added up ----------------------------------------------------------------------------------------------- */

static bool reduced(Call *c, Known (*fn)(const Call *c, Known x, Known y), Known none)
{
    const Held *x = &c->in[0];
    int64_t at[2];
    int n;
    if (x->rank > 1 || x->over > 1 || x->times != 0 || !axes_of(c, 1, x->rank, at, &n)) return false;
    if (n <= 0 && attr_int(c, "noop_with_empty_axes", 0)) return as(c, x, x->rank, 0);
    if (x->sizes == 0 && none == KNOWN_BAD) return false;
    Known all = x->sizes ? x->size[0] : none;
    for (int i = 1; i < x->sizes; i++) all = fn(c, all, x->size[i]);
    return sizes_put(c, 0, &all, like(x, 1, x->rank && attr_int(c, "keepdims", 1) != 0, 0));
}

bool sizes_move(Call *c)
{
    if (is(c, "Split")) return split(c);
    if (c->nout != 1) return false;
    if (is(c, "Concat")) return concat(c);
    if (is(c, "Reshape")) return reshape(c);
    if (is(c, "Unsqueeze")) return unsqueeze(c);
    if (is(c, "Squeeze")) return squeeze(c);
    if (is(c, "Transpose")) return transpose(c);
    if (is(c, "Expand")) return repeated(c, false);
    if (is(c, "Tile")) return c->node->version >= 6 && repeated(c, true);
    if (is(c, "Gather")) return gather(c);
    if (is(c, "GatherElements")) return gather_each(c);
    if (is(c, "ScatterElements")) return scatter_each(c);
    if (is(c, "OneHot")) return one_hot(c);
    if (is(c, "Slice")) return slice(c);
    if (is(c, "ReduceSum")) return reduced(c, known_add, 0);
    if (is(c, "ReduceProd")) return reduced(c, known_mul, 1);
    if (is(c, "ReduceMax")) return reduced(c, known_max, KNOWN_BAD);
    return is(c, "ReduceMin") && reduced(c, known_min, KNOWN_BAD);
}
