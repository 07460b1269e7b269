/* op_flex: FlexAttention of ONNX's preview domain: attention whose scores and probabilities graphs of its own change. Relies on
 * import.h. */
#include <math.h>

#include "import.h"

enum { DTYPE_FLOAT = 1, DTYPE_DOUBLE = 11 }; /* of onnx.proto */

/* Each head of keys, or of values, as often as there are heads of queries for it. */
static kiln_tensor *head_for_each(Call *c, kiln_tensor *x, int64_t group)
{
    return group == 1 ? x : kiln_repeat_at(c->at, of(x), KILN_OPERAND(group), 1);
}

static bool has_graph(const Call *c, const char *name)
{
    const OnnxAttribute *a = attribute(c, name);
    return a && a->g;
}

/* What the graph of that name makes of x, which must stay what it is in dtype and sizes. Poison: recorded. */
static kiln_tensor *modified(Call *c, const char *name, kiln_tensor *x)
{
    if (!tensor_ok(x) || !has_graph(c, name)) return x;
    const Plan *p = inner_plan(c, name);
    const Held in = {.t = x};
    if (!p) return &c->t->k->poison;
    Held *out = ARENA_ARRAY(c->arena, Held, p->outputs + 1);
    Run r = inner_here(c);
    if (!inner_run(c, &r, p, &in, 1, out)) return &c->t->k->poison;
    if (p->outputs != 1 || out[0].many || out[0].nothing)
        return unsupported(c, "a graph that gives other than one tensor"), &c->t->k->poison;
    kiln_tensor *y = held_tensor(c, &out[0]);
    if (!tensor_ok(y) || type_equal(&y->type, &x->type)) return y;
    return fail(c->t, c->at, KILN_ESHAPE, "onnx: its graph %s changes the dtype or the sizes", name);
}

static bool group_of(Call *c, const kiln_tensor *q, const kiln_tensor *k, const kiln_tensor *v, int64_t *group)
{
    if (q->type.rank != 4 || k->type.rank != 4 || v->type.rank != 4) return unsupported(c, "other than four axes");
    const Dim heads = q->type.dim[1], shared = k->type.dim[1];
    *group = 1;
    if (heads == shared) return true;
    if (!dim_is_const(heads) || !dim_is_const(shared)) return unsupported(c, "groups of heads whose number is a symbol");
    if (shared == 0 || heads % shared != 0) return unsupported(c, "a number of heads that is no multiple of that of the keys");
    *group = heads / shared;
    return true;
}

bool op_flex_attention(Call *c)
{
    kiln_tensor *q = tensor(c, 0), *k = tensor(c, 1), *v = tensor(c, 2);
    int64_t group;
    if (!tensor_ok(q) || !tensor_ok(k) || !tensor_ok(v) || !group_of(c, q, k, v, &group)) return false;
    const DType own = (DType)q->type.dtype;
    const OnnxDType *within = attr_float_dtype(c, "softmax_precision", own == DT_f64 ? DTYPE_DOUBLE : DTYPE_FLOAT);
    if (!within) return false;
    const Dim width = q->type.dim[3];
    if (!dim_is_const(width)) return unsupported(c, "heads of a size that is a symbol");
    const double scale = attr_float(c, "scale", 1 / sqrt((double)MAX_OF(width, 1)));
    const kiln_dtype wide = (kiln_dtype)within->dtype;
    k = kiln_transpose_at(c->at, of(head_for_each(c, k, group)), KILN_AXES(0, 1, 3, 2));
    v = kiln_cast_at(c->at, of(head_for_each(c, v, group)), wide);
    kiln_tensor *scores = kiln_matmul_at(c->at, of(kiln_mul_at(c->at, of(q), KILN_OPERAND(scale))), of(k));
    scores = modified(c, "score_mod", kiln_cast_at(c->at, of(scores), wide));
    kiln_tensor *chances = modified(c, "prob_mod", kiln_softmax_at(c->at, of(scores), 3));
    return give(c, 0, kiln_cast_at(c->at, of(kiln_matmul_at(c->at, of(chances), of(v))), (kiln_dtype)own));
}
