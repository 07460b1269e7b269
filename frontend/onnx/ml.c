/* ml: see ml.h. */
#include "ml.h"

/* ---- lists -------------------------------------------------------------------------------------------- */

bool ml_reals(Call *c, const char *name, Reals *to)
{
    const OnnxAttribute *a = attribute(c, name);
    *to = (Reals){.dtype = DT_f32};
    if (!a) return true;
    to->n = (int64_t)(a->floats.n / 4);
    to->at = ARENA_ARRAY(c->arena, double, to->n + 1);
    for (int64_t i = 0; i < to->n; i++) {
        float f;
        memcpy(&f, a->floats.at + 4 * i, sizeof f);
        to->at[i] = (double)f;
    }
    return true;
}

static bool reals_of_tensor(Call *c, const OnnxTensor *x, Reals *to)
{
    kiln_eagerly now = kiln_eagerly_open(c->t->k);
    kiln_tensor *t = tensor_value(c->t, c->at, c->m, x);
    bool ok = tensor_ok(t);
    if (ok) {
        *to = (Reals){.n = kiln_elements(t), .dtype = (DType)t->type.dtype};
        to->at = ARENA_ARRAY(c->arena, double, to->n + 1);
        ok = kiln_read_doubles_at(c->at, of(cast_to(c->t, c->at, t, DT_f64)), to->at, to->n);
    }
    kiln_eagerly_close(&now);
    return ok;
}

bool ml_reals_or(Call *c, const char *name, const char *tensor, Reals *to)
{
    const OnnxAttribute *a = attribute(c, tensor);
    return a && a->t ? reals_of_tensor(c, a->t, to) : ml_reals(c, name, to);
}

bool ml_wholes(Call *c, const char *name, Wholes *to)
{
    const OnnxAttribute *a = attribute(c, name);
    *to = (Wholes){.n = 0};
    if (!a) return true;
    Wire w = wire_of(a->ints);
    uint64_t v;
    to->at = ARENA_ARRAY(c->arena, int64_t, numbers_count(a->ints) + 1);
    while (wire_varint(&w, &v)) to->at[to->n++] = (int64_t)v;
    return true;
}

bool ml_length(Call *c, const char *name, int64_t have, int64_t want)
{
    if (have == want) return true;
    fail(c->t, c->at, KILN_EFORMAT, "onnx: %s lists %lld numbers, not %lld", name, (long long)have, (long long)want);
    return false;
}

/* ---- operands and constants --------------------------------------------------------------------------- */

kiln_tensor *ml_rows(Call *c, uint32_t i, int64_t *features)
{
    kiln_tensor *x = tensor(c, i);
    if (!tensor_ok(x)) return x;
    if (x->type.rank < 1 || x->type.rank > 2)
        return fail(c->t, c->at, KILN_ESHAPE, "onnx: its operand has %d axes, not rows of features", x->type.rank);
    const Dim n = x->type.dim[x->type.rank - 1];
    if (!dim_is_const(n)) return unsupported(c, "a number of features that is open"), &c->t->k->poison;
    *features = n;
    if (x->type.rank == 1) x = kiln_expand_at(c->at, of(x), 0);
    return tensor_ok(x) ? cast_to(c->t, c->at, x, at_least_f32(x)) : x;
}

kiln_tensor *ml_table(Call *c, DType d, int64_t rows, int64_t columns, const double *v)
{
    return kiln_from_doubles_at(c->at, c->t->k, (kiln_dtype)d, KILN_SHAPE(rows, columns), v, rows * columns);
}

kiln_tensor *ml_indices(Call *c, const int64_t *v, int64_t n)
{
    return kiln_from_at(c->at, c->t->k, KILN_I64, KILN_SHAPE(n), v, n);
}

/* ---- scores ------------------------------------------------------------------------------------------- */

bool ml_transform_of(Call *c, Transform *how)
{
    static const char *const known[TRANSFORMS] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
    *how = TO_NONE;
    if (!attribute(c, "post_transform")) return true;
    for (int i = 0; i < TRANSFORMS; i++) {
        *how = (Transform)i;
        if (attr_is(c, "post_transform", known[i])) return true;
    }
    return unsupported_word(c, "post_transform", "NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO and PROBIT");
}

/* As softmax, but scores near 0 count as they are, times what the largest score's exponential divides by. */
static kiln_tensor *softmax_zero(Call *c, kiln_tensor *s)
{
    const kiln_operand most = of(kiln_expand_at(c->at, of(kiln_reduce_max_at(c->at, of(s), KILN_AXES(1))), 1));
    kiln_tensor *far = kiln_gt_at(c->at, of(kiln_abs_at(c->at, of(s))), KILN_OPERAND(1e-7));
    kiln_tensor *e = kiln_exp_at(c->at, of(kiln_sub_at(c->at, of(s), most)));
    kiln_tensor *near = kiln_mul_at(c->at, of(s), of(kiln_exp_at(c->at, of(kiln_neg_at(c->at, most)))));
    e = kiln_where_at(c->at, of(far), of(e), of(near));
    return kiln_div_at(c->at, of(e), of(kiln_expand_at(c->at, of(kiln_sum_at(c->at, of(e), KILN_AXES(1))), 1)));
}

kiln_tensor *ml_transform(Call *c, kiln_tensor *s, Transform how)
{
    if (how == TO_NONE) return s;
    if (how == TO_SOFTMAX) return kiln_softmax_at(c->at, of(s), 1);
    if (how == TO_LOGISTIC) return kiln_sigmoid_at(c->at, of(s));
    if (how == TO_SOFTMAX_ZERO) return softmax_zero(c, s);
    kiln_tensor *u = kiln_sub_at(c->at, of(kiln_mul_at(c->at, of(s), KILN_OPERAND(2.0))), KILN_OPERAND(1.0));
    return kiln_mul_at(c->at, of(kiln_erfinv_at(c->at, of(u))), KILN_OPERAND(1.41421356237309504880));
}

/* ---- classes ------------------------------------------------------------------------------------------ */

bool ml_labels(Call *c, const char *ints, Wholes *to)
{
    const OnnxAttribute *text = attribute(c, "classlabels_strings");
    if (!ml_wholes(c, ints, to)) return false;
    if (text && text->strings.n != 0)
        return unsupported(c, "classlabels_strings: Kiln has no dtype string, and a class that is one");
    if (to->n > 0) return true;
    fail(c->t, c->at, KILN_EFORMAT, "onnx: %s lists no classes", ints);
    return false;
}

bool ml_give_classes(Call *c, const Wholes *labels, kiln_tensor *which, kiln_tensor *scores)
{
    kiln_tensor *label = kiln_gather_at(c->at, of(ml_indices(c, labels->at, labels->n)), of(which), 0);
    return give(c, 0, label) && (c->nout < 2 || (tensor_ok(scores) && give(c, 1, cast_to(c->t, c->at, scores, DT_f32))));
}

bool ml_give_binary(Call *c, const Wholes *labels, kiln_tensor *s, Transform how, double middle, bool shares)
{
    if (!tensor_ok(s)) return false;
    kiln_tensor *above = kiln_gt_at(c->at, of(kiln_squeeze_at(c->at, of(s), 1)), KILN_OPERAND(middle)), *pair[2];
    if (how == TO_LOGISTIC) {
        pair[0] = kiln_sigmoid_at(c->at, of(kiln_neg_at(c->at, of(s))));
        pair[1] = kiln_sigmoid_at(c->at, of(s));
    } else if (how == TO_PROBIT) {
        pair[0] = pair[1] = ml_transform(c, s, how);
    } else {
        pair[0] = shares ? kiln_sub_at(c->at, KILN_OPERAND(1.0), of(s)) : kiln_neg_at(c->at, of(s));
        pair[1] = s;
    }
    const int first = how == TO_PROBIT; /* of which there is one score */
    kiln_tensor *scores = kiln_concat_at(c->at, pair + first, 2 - first, 1);
    return ml_give_classes(c, labels, tensor_ok(above) ? cast_to(c->t, c->at, above, DT_i64) : above, scores);
}
