/* sizes: the arithmetic that models do on sizes, of what Shape gives: done on the sizes themselves while a function is traced, so
 * that symbols stay symbols and nothing of it is left to run. Relies on import.h. */
#include "import.h"

static bool is(const Call *c, const char *op) { return strcmp(c->node->op->name, op) == 0; }

static bool known(const Held *h) { return h->size; }

static bool put(Call *c, const Known *v, int n, int rank)
{
    c->out[0] = (Held){.size = arena_copy(c->arena, v, (size_t)n * sizeof *v), .sizes = n, .rank = rank};
    return true;
}

/* Plain numbers, which may be below 0, but not so far that they would be taken for symbols. */
static bool plain(ExtentOp op, Known x, Known y, Known *to)
{
    bool far = false;
    switch (op) {
    case EXTENT_ADD: far = __builtin_add_overflow(x, y, to); break;
    case EXTENT_SUB: far = __builtin_sub_overflow(x, y, to); break;
    case EXTENT_MUL: far = __builtin_mul_overflow(x, y, to); break;
    default:
        far = y == 0 || y == -1;
        *to = far ? 0 : x / y;
        break;
    }
    return !far && *to >= -((int64_t)1 << 40);
}

/* Element i of what is a row of n, or one number for all of them. */
static Known element(const Held *h, int i) { return h->size[h->sizes == 1 ? 0 : i]; }

static bool arithmetic(Call *c, ExtentOp op)
{
    const Held *a = &c->in[0], *b = &c->in[1];
    const int n = MAX_OF(a->sizes, b->sizes);
    Known to[65];
    if (n > 64 || (a->sizes != n && a->sizes != 1) || (b->sizes != n && b->sizes != 1)) return false;
    for (int i = 0; i < n; i++) {
        const Known x = element(a, i), y = element(b, i);
        if (!known_symbol(x) && !known_symbol(y)) {
            if (!plain(op, x, y, &to[i])) return false;
            continue;
        }
        if (x == -1 || y == -1 || (!known_symbol(x) && x < 0) || (!known_symbol(y) && y < 0)) return false;
        const Dim d = extent(c->t, c->at, op, known_dim(x), known_dim(y));
        if (d == DIM_BAD) return false;
        to[i] = known_of(d);
    }
    return put(c, to, n, MAX_OF(a->rank, b->rank));
}

/* Whether they are the same: 1, 0, or -1, where other values of the symbols give another answer. */
static int same(const Call *c, Known x, Known y)
{
    if (x == y) return 1;
    if (!known_symbol(x) && !known_symbol(y)) return 0;
    if (known_symbol(x) && known_symbol(y)) return -1;
    const Dim d = known_dim(known_symbol(x) ? x : y), v = known_symbol(x) ? y : x;
    return v < extent_lo(c->t, d) || v > extent_hi(c->t, d) ? 0 : -1;
}

/* bool, which sizes are not: a tensor beside the numbers. */
static bool equal(Call *c)
{
    const Held *a = &c->in[0], *b = &c->in[1];
    const int n = MAX_OF(a->sizes, b->sizes), rank = MAX_OF(a->rank, b->rank);
    Known to[65];
    bool is[65];
    if (n > 64 || (a->sizes != n && a->sizes != 1) || (b->sizes != n && b->sizes != 1)) return false;
    for (int i = 0; i < n; i++) {
        const int so = same(c, element(a, i), element(b, i));
        if (so < 0) return false;
        to[i] = is[i] = so;
    }
    kiln_eagerly now = kiln_eagerly_open(c->t->k);
    kiln_tensor *x = kiln_from_at(c->at, c->t->k, KILN_BOOL, rank == 0 ? KILN_SHAPE() : KILN_SHAPE(n), is, n);
    kiln_keep(x);
    kiln_eagerly_close(&now);
    put(c, to, n, rank);
    c->out[0].t = x;
    c->out[0].constant = true;
    return tensor_ok(x);
}

static bool where(Call *c)
{
    const Held *on = &c->in[0], *a = &c->in[1], *b = &c->in[2];
    const int n = MAX_OF(on->sizes, MAX_OF(a->sizes, b->sizes));
    Known to[65];
    if (n > 64) return false;
    for (int i = 0; i < 3; i++)
        if (c->in[i].sizes != n && c->in[i].sizes != 1) return false;
    for (int i = 0; i < n; i++) {
        if (known_symbol(element(on, i))) return false;
        to[i] = element(on, i) != 0 ? element(a, i) : element(b, i);
    }
    return put(c, to, n, MAX_OF(on->rank, MAX_OF(a->rank, b->rank)));
}

static bool concat(Call *c)
{
    Known to[65];
    int n = 0;
    for (uint32_t i = 0; i < c->nin; i++)
        for (int j = 0; j < c->in[i].sizes; j++) {
            if (n == 64) return false;
            to[n++] = c->in[i].size[j];
        }
    return put(c, to, n, 1);
}

/* To a row, or of one number to none. */
static bool reshape(Call *c)
{
    const Held *x = &c->in[0], *to = &c->in[1];
    const bool row = to->sizes == 1 && (to->size[0] == -1 || to->size[0] == x->sizes);
    return (row || (to->sizes == 0 && x->sizes == 1)) && put(c, x->size, x->sizes, row);
}

static bool gather(Call *c)
{
    const Held *x = &c->in[0], *at = &c->in[1];
    Known to[65];
    if (x->rank != 1 || at->sizes > 64) return false;
    for (int i = 0; i < at->sizes; i++) {
        const Known j = at->size[i] < 0 ? at->size[i] + x->sizes : at->size[i];
        if (known_symbol(at->size[i]) || j < 0 || j >= x->sizes) return false;
        to[i] = x->size[j];
    }
    return put(c, to, at->sizes, at->rank);
}

static bool slice(Call *c)
{
    const Held *x = &c->in[0];
    if (c->nin < 3 || x->rank != 1 || c->in[1].sizes != 1 || c->in[2].sizes != 1 ||
        (c->nin > 4 && c->in[4].sizes == 1 && c->in[4].size[0] != 1))
        return false;
    int64_t from = c->in[1].size[0], to = c->in[2].size[0];
    if (known_symbol(from) || known_symbol(to)) return false;
    from = from < 0 ? MAX_OF(from + x->sizes, 0) : MIN_OF(from, x->sizes);
    to = to < 0 ? MAX_OF(to + x->sizes, 0) : MIN_OF(to, x->sizes);
    return put(c, x->size + from, (int)MAX_OF(to - from, 0), 1);
}

/* Of what is no size at all, but a constant, nothing is gained. */
static bool worth(const Call *c)
{
    bool some = false;
    for (uint32_t i = 0; i < c->nin; i++) {
        if (!has(c, i)) continue;
        if (!known(&c->in[i])) return false;
        some |= !c->in[i].constant;
    }
    return some;
}

bool sizes_run(Call *c)
{
    static const struct {
        const char *op;
        ExtentOp as;
    } row[] = {{"Add", EXTENT_ADD}, {"Sub", EXTENT_SUB}, {"Mul", EXTENT_MUL}, {"Div", EXTENT_FLOORDIV}};
    if (c->nout != 1 || !worth(c)) return false;
    for (size_t i = 0; i < COUNT_OF(row); i++)
        if (is(c, row[i].op)) return arithmetic(c, row[i].as);
    if (is(c, "Equal")) return c->node->version >= 7 && equal(c);
    if (is(c, "Where")) return where(c);
    if (is(c, "Concat")) return concat(c);
    if (is(c, "Reshape")) return c->node->version >= 5 && reshape(c);
    if (is(c, "Gather")) return attr_int(c, "axis", 0) == 0 && gather(c);
    if (is(c, "Slice")) return c->node->version >= 10 && slice(c);
    if (is(c, "Identity") || (is(c, "Cast") && attr_int(c, "to", 0) == 7))
        return put(c, c->in[0].size, c->in[0].sizes, c->in[0].rank);
    if (is(c, "Unsqueeze")) return c->in[0].rank == 0 && put(c, c->in[0].size, 1, 1);
    if (is(c, "Squeeze")) return c->in[0].sizes == 1 && put(c, c->in[0].size, 1, 0);
    return false;
}
