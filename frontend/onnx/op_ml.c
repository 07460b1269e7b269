/* op_ml: what prepares features in ONNX's domain ai.onnx.ml, and encodes them. Models of them: op_ml_linear.c, op_ml_tree.c.
 * Relies on ml.h. */
#include <math.h>
#include <stdlib.h>

#include "ml.h"

/* The elements of the last axis at the places that the second operand lists; one row of them where x is a row. */
bool op_array_features(Call *c)
{
    kiln_tensor *x = tensor(c, 0), *i = kiln_reshape_at(c->at, operand(c, 1), KILN_SHAPE(-1));
    if (!tensor_ok(x) || !tensor_ok(i)) return false;
    if (x->type.rank == 0) return unsupported(c, "no axis");
    if (!indices_within(c, 1, &x->type.dim[x->type.rank - 1], 1)) return false;
    kiln_tensor *y = kiln_gather_at(c->at, of(x), of(i), x->type.rank - 1);
    return give(c, 0, x->type.rank == 1 ? kiln_expand_dims_at(c->at, of(y), KILN_AXES(0)) : y);
}

/* 1 above the threshold, else 0. A whole number is above a threshold if it is above the whole number below that. */
bool op_binarizer(Call *c)
{
    const kiln_tensor *x = tensor(c, 0);
    const double threshold = attr_float(c, "threshold", 0);
    if (!tensor_ok(x)) return false;
    const kiln_operand limit = KILN_OPERAND(dtype_is_float((DType)x->type.dtype) ? threshold : floor(threshold));
    return give(c, 0, kiln_cast_at(c->at, of(kiln_gt_at(c->at, operand(c, 0), limit)), (kiln_dtype)x->type.dtype));
}

/* ---- numbers that are one for each feature, or one for all -------------------------------------------- */

/* NULL: recorded. */
static kiln_tensor *per_feature(Call *c, const char *name, const Reals *v, DType d, const kiln_tensor *x)
{
    const Dim n = x->type.rank ? x->type.dim[x->type.rank - 1] : 1;
    if (v->n != 1 && (!dim_is_const(n) || v->n != n)) {
        fail(c->t, c->at, KILN_EFORMAT, "onnx: %s lists %lld numbers, where one or as many as there are features are allowed", name,
            (long long)v->n);
        return NULL;
    }
    return kiln_from_doubles_at(c->at, c->t->k, (kiln_dtype)d, v->n == 1 ? KILN_SHAPE() : KILN_SHAPE(v->n), v->at, v->n);
}

bool op_scaler(Call *c)
{
    Reals offset, scale;
    kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x) || !ml_reals(c, "offset", &offset) || !ml_reals(c, "scale", &scale)) return false;
    const DType d = at_least_f32(x);
    kiln_tensor *from = per_feature(c, "offset", &offset, d, x), *by = from ? per_feature(c, "scale", &scale, d, x) : NULL;
    if (!by) return false;
    x = kiln_mul_at(c->at, of(kiln_sub_at(c->at, of(cast_to(c->t, c->at, x, d)), of(from))), of(by));
    return tensor_ok(x) && give(c, 0, cast_to(c->t, c->at, x, DT_f32));
}

/* Rows whose norm is 0 stay as they are. */
bool op_normalizer(Call *c)
{
    kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x)) return false;
    if (x->type.rank < 1) return unsupported(c, "no axis");
    x = cast_to(c->t, c->at, x, at_least_f32(x));
    const kiln_axes last = KILN_AXES(-1);
    kiln_tensor *norm;
    if (!attribute(c, "norm") || attr_is(c, "norm", "MAX"))
        norm = kiln_reduce_max_at(c->at, of(x), last);
    else if (attr_is(c, "norm", "L1"))
        norm = kiln_reduce_l1_at(c->at, of(x), last);
    else if (attr_is(c, "norm", "L2"))
        norm = kiln_reduce_l2_at(c->at, of(x), last);
    else
        return unsupported_word(c, "norm", "MAX, L1 and L2");
    norm = kiln_where_at(c->at, of(kiln_eq_at(c->at, of(norm), KILN_OPERAND(0))), KILN_OPERAND(1), of(norm));
    x = kiln_div_at(c->at, of(x), of(kiln_expand_at(c->at, of(norm), -1)));
    return tensor_ok(x) && give(c, 0, cast_to(c->t, c->at, x, DT_f32));
}

bool op_imputer(Call *c)
{
    Reals put = {.n = 0};
    Wholes whole = {.n = 0};
    kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x)) return false;
    const DType d = (DType)x->type.dtype;
    const bool real = dtype_is_float(d);
    const char *name = real ? "imputed_value_floats" : "imputed_value_int64s";
    if (!ml_reals(c, "imputed_value_floats", &put) || !ml_wholes(c, "imputed_value_int64s", &whole)) return false;
    if (!real) {
        put = (Reals){.at = ARENA_ARRAY(c->arena, double, whole.n + 1), .n = whole.n};
        for (int64_t i = 0; i < whole.n; i++) {
            put.at[i] = (double)whole.at[i];
            if (put.at[i] != 0 && (fabs(put.at[i]) > 0x1p53)) return unsupported(c, "%s=%lld", name, (long long)whole.at[i]);
        }
    }
    kiln_tensor *with = per_feature(c, name, &put, d, x);
    if (!with) return false;
    const double old = attr_float(c, "replaced_value_float", 0);
    kiln_tensor *at = !real        ? kiln_eq_at(c->at, of(x), KILN_OPERAND(attr_int(c, "replaced_value_int64", 0)))
                      : isnan(old) ? kiln_isnan_at(c->at, of(x))
                                   : kiln_eq_at(c->at, of(x), KILN_OPERAND(old));
    return give(c, 0, kiln_where_at(c->at, of(at), of(with), of(x)));
}

/* Each input has as many features as are listed: those that it lacks are 0, those beyond are left out. */
bool op_feature_vectorizer(Call *c)
{
    Wholes size;
    if (!ml_wholes(c, "inputdimensions", &size) || !ml_length(c, "inputdimensions", size.n, c->nin)) return false;
    kiln_tensor **part = ARENA_ARRAY(c->arena, kiln_tensor *, c->nin + 1);
    for (uint32_t i = 0; i < c->nin; i++) {
        int64_t have;
        kiln_tensor *x = ml_rows(c, i, &have);
        if (!tensor_ok(x)) return false;
        if (size.at[i] < 0 || size.at[i] > (1 << 24)) return unsupported(c, "inputdimensions of %lld", (long long)size.at[i]);
        x = cast_to(c->t, c->at, x, DT_f32);
        if (have > size.at[i]) x = slice_axis(c->t, c->at, x, 1, 0, size.at[i]);
        if (have < size.at[i]) x = pad_axis(c->t, c->at, x, 1, 0, size.at[i] - have, KILN_OPERAND(0));
        part[i] = x;
    }
    return give(c, 0, kiln_concat_at(c->at, part, (int)c->nin, 1));
}

/* ---- encoders ----------------------------------------------------------------------------------------- */

/* Whether each element is each of the numbers: a last axis of as many. */
bool op_one_hot_encoder(Call *c)
{
    Wholes cats;
    kiln_tensor *x = tensor(c, 0);
    const OnnxAttribute *text = attribute(c, "cats_strings");
    if (!tensor_ok(x) || !ml_wholes(c, "cats_int64s", &cats)) return false;
    if (cats.n == 0)
        return text ? unsupported(c, "cats_strings: Kiln has no dtype string, and a category that is one")
                    : ml_length(c, "cats_int64s", 0, 1);
    x = kiln_expand_at(c->at, of(cast_to(c->t, c->at, x, DT_i64)), -1);
    kiln_tensor *is = kiln_eq_at(c->at, of(x), of(ml_indices(c, cats.at, cats.n)));
    if (!tensor_ok(is)) return false;
    if (!attr_int(c, "zeros", 1) &&
        !kiln_assert_at(c->at, of(kiln_all_at(c->at, of(kiln_any_at(c->at, of(is), KILN_AXES(-1))), KILN_ALL)),
            "onnx: OneHotEncoder: an element is none of the categories, and zeros is 0"))
        return false;
    return give(c, 0, cast_to(c->t, c->at, is, DT_f32));
}

static const char *const kinds[] = {"int64s", "floats", "tensor", "strings"};

/* The list of this beginning and any kind, as a tensor; NULL: none, or recorded. */
static kiln_tensor *list_of(Call *c, const char *begin)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        char name[32];
        snprintf(name, sizeof name, "%s_%s", begin, kinds[i]);
        const OnnxAttribute *a = attribute(c, name);
        Wholes w;
        Reals r;
        if (!a) continue;
        if (i == 3) return unsupported(c, "%s: Kiln has no dtype string, and a label that is one", name), NULL;
        if (i == 2) return a->t ? tensor_value(c->t, c->at, c->m, a->t) : NULL;
        if (i == 0) return ml_wholes(c, name, &w) ? ml_indices(c, w.at, w.n) : NULL;
        return ml_reals(c, name, &r) ? kiln_from_doubles_at(c->at, c->t->k, KILN_F32, KILN_SHAPE(r.n), r.at, r.n) : NULL;
    }
    fail(c->t, c->at, KILN_EFORMAT, "onnx: it has no %s_int64s, %s_floats or %s_tensor", begin, begin, begin);
    return NULL;
}

static kiln_tensor *default_of(Call *c, DType d)
{
    const OnnxAttribute *a = attribute(c, "default_tensor");
    kiln_tensor *x = a && a->t ? tensor_value(c->t, c->at, c->m, a->t) : NULL;
    if (x) return tensor_ok(x) ? cast_to(c->t, c->at, kiln_reshape_at(c->at, of(x), KILN_SHAPE()), d) : x;
    const kiln_operand v =
        dtype_is_float(d) ? KILN_OPERAND(attr_float(c, "default_float", -0.0)) : KILN_OPERAND(attr_int(c, "default_int64", -1));
    return kiln_full_at(c->at, c->t->k, (kiln_dtype)d, KILN_SHAPE(), v);
}

/* The first of equal keys counts, NaN is equal to itself. */
bool op_label_encoder(Call *c)
{
    kiln_tensor *x = tensor(c, 0), *key = tensor_ok(x) ? list_of(c, "keys") : NULL,
                *value = tensor_ok(key) ? list_of(c, "values") : NULL;
    if (!tensor_ok(key) || !tensor_ok(value)) return false;
    if (key->type.rank != 1 || value->type.rank != 1 || key->type.dim[0] == 0)
        return unsupported(c, "keys or values that are no list of at least one");
    if (!ml_length(c, "values", kiln_elements(value), kiln_elements(key))) return false;
    if (x->type.dtype != key->type.dtype) return unsupported(c, "keys of another dtype than its operand");
    kiln_tensor *none = default_of(c, (DType)value->type.dtype), *order = kiln_argsort_at(c->at, of(key), 0, 0);
    key = kiln_gather_at(c->at, of(key), of(order), 0);
    value = kiln_gather_at(c->at, of(value), of(order), 0);
    kiln_tensor *at = kiln_searchsorted_at(c->at, of(key), of(x), 0); /* beyond the last: gathers clamp */
    kiln_tensor *found = kiln_gather_at(c->at, of(key), of(kiln_min_at(c->at, of(at), KILN_OPERAND(kiln_elements(key) - 1))), 0);
    kiln_tensor *is = kiln_eq_at(c->at, of(found), of(x));
    if (dtype_is_float((DType)x->type.dtype))
        is =
            kiln_or_at(c->at, of(is), of(kiln_and_at(c->at, of(kiln_isnan_at(c->at, of(found))), of(kiln_isnan_at(c->at, of(x))))));
    kiln_tensor *y = kiln_gather_at(c->at, of(value), of(kiln_min_at(c->at, of(at), KILN_OPERAND(kiln_elements(key) - 1))), 0);
    return give(c, 0, kiln_where_at(c->at, of(is), of(y), of(none)));
}
