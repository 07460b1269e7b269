/* op_shape: the ops that move all elements at once: leaf saved reshape transpose broadcast. Relies on family. */
#include "family.h"

/* ---- leaf, saved ------------------------------------------------------------------------------------- */

bool infer_leaf(Infer *inf)
{
    const int64_t stops = ATTRS(leaf, inf->attr)->stops;
    if (stops != 0 && stops != 1) return infer_fail(inf, ST_VALUE, "the attribute must be 0 or 1");
    return rule_result(inf, inf->in[0]);
}

void vjp_leaf(Vjp *v)
{
    if (ATTRS(leaf, v->node->attr->at)->stops == 0) v->dx[0] = v->g[0];
}

Value fold_leaf(const Folding *f) { return f->in[0]; }

bool infer_saved(Infer *inf)
{
    return type_equal(inf->in[0], inf->in[1]) ? rule_result(inf, inf->in[1])
                                              : infer_fail(inf, ST_SHAPE, "the saved value has another dtype or shape");
}

void vjp_saved(Vjp *v) { v->dx[0] = v->g[0]; }

Value fold_saved(const Folding *f) { return f->in[1]; }

/* ---- reshape ----------------------------------------------------------------------------------------- */

static bool fail_to(Infer *inf, const char *why, const Type *to)
{
    char text[160];
    type_print(rule_dims(inf), to, text, sizeof text);
    return infer_fail(inf, ST_SHAPE, "%s %s", why, strchr(text, '['));
}

bool infer_reshape(Infer *inf)
{
    Type to;
    if (!rule_shape(inf, 0, inf->in[0]->dtype, &to)) return false;
    Dim have = type_elements(rule_dims(inf), inf->in[0]), want = type_elements(rule_dims(inf), &to);
    if (have != want || want == DIM_BAD) return fail_to(inf, "sizes differ, wanted", &to);
    return rule_result(inf, &to);
}

void vjp_reshape(Vjp *v) { v->dx[0] = emit_reshape(v->e, v->g[0], v->e->type(v->e, v->in[0])); }

Value fold_reshape(const Folding *f)
{
    const Value x = f->in[0];
    const Type *t = folded_type(f, x);
    if (t->rank == f->nattr && memcmp(t->dim, f->attr, f->nattr * sizeof *f->attr) == 0) return x;
    const Node *inner = folded_maker(f, x, OP_reshape);
    return inner ? rebuild_op(f->rb, OP_reshape, inner->in, 1, f->attr, f->nattr, f->loc) : 0;
}

/* ---- transpose --------------------------------------------------------------------------------------- */

bool infer_transpose(Infer *inf)
{
    const Type *x = inf->in[0];
    if (inf->nattr != x->rank) return infer_fail(inf, ST_VALUE, "%u axes named for rank %u", inf->nattr, x->rank);
    Type out = *x;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < x->rank; i++) {
        int64_t from = ATTRS(transpose, inf->attr)->from[i];
        if (!rule_axis(inf, from, x->rank)) return false;
        if (seen >> from & 1) return infer_fail(inf, ST_VALUE, "axis %lld is named twice", (long long)from);
        seen |= 1u << from;
        out.dim[i] = x->dim[from];
    }
    return rule_result(inf, &out);
}

void vjp_transpose(Vjp *v)
{
    int64_t inverse[MAX_RANK] = {0};
    uint32_t n = v->node->attr->len;
    for (uint32_t i = 0; i < n; i++) inverse[ATTRS(transpose, v->node->attr->at)->from[i]] = i;
    v->dx[0] = emit_transpose(v->e, v->g[0], inverse, n);
}

Value fold_transpose(const Folding *f)
{
    const Value x = f->in[0];
    const int64_t *perm = ATTRS(transpose, f->attr)->from;
    const uint32_t n = f->nattr;
    bool moves = false;
    for (uint32_t i = 0; i < n; i++) moves |= perm[i] != i;
    if (!moves) return x;
    const Node *inner = folded_maker(f, x, OP_transpose);
    if (!inner) return 0;
    int64_t both[MAX_RANK];
    for (uint32_t i = 0; i < n; i++) both[i] = ATTRS(transpose, inner->attr->at)->from[perm[i]];
    return rebuild_op(f->rb, OP_transpose, inner->in, 1, both, n, f->loc);
}

bool map_transpose(const Mapping *p)
{
    const Type *t = mapped_result(p);
    const int64_t *perm = ATTRS(transpose, p->n->attr->at)->from;
    Dim size[MAX_RANK + 1];
    uint32_t n = 0;
    uint32_t at_operand[MAX_RANK] = {0}; /* run of axes -> its first operand axis */
    for (uint32_t j = 0; j < t->rank; j++) {
        if (j == 0 || perm[j] != perm[j - 1] + 1) {
            at_operand[n] = (uint32_t)perm[j];
            size[n++] = 1;
        }
        size[n - 1] = dim_mul(p->env->dims, size[n - 1], t->dim[j]);
    }
    IndexMap seen;
    if (!index_regroup(p->env, p->m, size, n, &seen)) return false;
    for (uint32_t axis = 0; axis < t->rank; axis++)
        for (uint32_t i = 0; i < n; i++)
            if (at_operand[i] == axis) map_push(&p->out->map, seen.dim[i], &seen.at[i]);
    return true;
}

/* ---- broadcast --------------------------------------------------------------------------------------- */

bool infer_broadcast(Infer *inf)
{
    const Type *x = inf->in[0];
    Type to;
    if (!rule_shape(inf, 0, x->dtype, &to)) return false;
    if (to.rank < x->rank) return fail_to(inf, "cannot become", &to);
    for (uint32_t i = 0; i < x->rank; i++)
        if (x->dim[i] != 1 && x->dim[i] != to.dim[to.rank - x->rank + i]) return fail_to(inf, "cannot become", &to);
    return rule_result(inf, &to);
}

void vjp_broadcast(Vjp *v)
{
    const Type x = *v->e->type(v->e, v->in[0]);
    v->dx[0] = emit_sum_to(v->e, v->g[0], &x);
}

Value fold_broadcast(const Folding *f)
{
    const Value x = f->in[0];
    const Type *t = folded_type(f, x);
    if (t->rank == f->nattr && memcmp(t->dim, f->attr, f->nattr * sizeof *f->attr) == 0) return x;
    const Node *inner = folded_maker(f, x, OP_broadcast);
    return inner ? rebuild_op(f->rb, OP_broadcast, inner->in, 1, f->attr, f->nattr, f->loc) : 0;
}

bool map_broadcast(const Mapping *p)
{
    const Type *t = mapped_result(p), *x = mapped_operand(p, 0);
    uint32_t lead = t->rank - x->rank, kept = 0;
    Dim size[MAX_RANK + 1];
    uint32_t n = 0;
    bool keeps[MAX_RANK + 1] = {0};
    for (uint32_t j = 0; j < t->rank; j++) {
        if (t->dim[j] == 1) continue;
        bool keep = j >= lead && x->dim[j - lead] == t->dim[j];
        if (n == 0 || keeps[n - 1] != keep) {
            keeps[n] = keep;
            size[n++] = 1;
        }
        size[n - 1] = dim_mul(p->env->dims, size[n - 1], t->dim[j]);
        kept += keep;
    }
    IndexMap seen;
    if (kept == 0) return true; /* one element: the empty view */
    if (!index_regroup(p->env, p->m, size, n, &seen)) return false;
    for (uint32_t i = 0; i < n; i++)
        if (keeps[i]) map_push(&p->out->map, seen.dim[i], &seen.at[i]);
    return true;
}

/* ---- many examples --------------------------------------------------------------------------------- */

/* The op with a shape for its attributes, which gets the examples' axis. */
static void shaped(Vmap *v, Value x)
{
    Type t = {.rank = (uint8_t)v->node->attr->len};
    memcpy(t.dim, v->node->attr->at, t.rank * sizeof *t.dim);
    t = vmap_with_axis(v, &t);
    vmap_as(v, &x, t.dim, t.rank);
}

void vmap_reshape(Vmap *v) { shaped(v, v->in[0]); }

/* Axes that the broadcast puts in front come behind that of the examples. */
void vmap_broadcast(Vmap *v)
{
    const Type t = vmap_type(v, 0);
    Type wide = t;
    const uint32_t more = v->node->attr->len - t.rank;
    wide.rank = (uint8_t)v->node->attr->len;
    for (uint32_t i = 0; i < wide.rank; i++) wide.dim[i] = i < more ? 1 : t.dim[i - more];
    wide = vmap_with_axis(v, &wide);
    shaped(v, emit_reshape(v->e, v->in[0], &wide));
}

void vmap_transpose(Vmap *v)
{
    int64_t from[MAX_RANK + 1] = {0};
    const uint32_t n = v->node->attr->len;
    for (uint32_t i = 0; i < n; i++) from[1 + i] = v->node->attr->at[i] + 1;
    vmap_as(v, v->in, from, n + 1);
}
