/* lists: what a node names by numbers that are no plain integers: attributes that list floats or name a dtype, axes from the end,
 * operands of floats that must be known while a function is traced. Relies on import.h. */
#include "import.h"

bool attr_floats(Call *c, const char *name, double *at, int most, int *n)
{
    const OnnxAttribute *a = attribute(c, name);
    *n = -1;
    if (!a) return true;
    if (a->floats.n / 4 > (size_t)most)
        return unsupported(c, "%s of %zu numbers, where %d are allowed,", name, a->floats.n / 4, most);
    *n = (int)(a->floats.n / 4);
    for (int i = 0; i < *n; i++) {
        float f;
        memcpy(&f, a->floats.at + 4 * i, sizeof f);
        at[i] = (double)f;
    }
    return true;
}

/* ---- dtypes, words and axes ---- */

static const OnnxDType *no_dtype(Call *c, const char *name, int64_t type, const char *kind)
{
    const OnnxDType *d = onnx_dtype(type);
    if (d)
        unsupported(c, "%s=%lld, which is %s%s,", name, (long long)type, d->name, kind);
    else
        unsupported(c, "%s=%lld, which is no dtype,", name, (long long)type);
    return NULL;
}

const OnnxDType *attr_dtype(Call *c, const char *name, int64_t absent)
{
    const int64_t type = attr_int(c, name, absent);
    const OnnxDType *d = onnx_dtype(type);
    return d && d->dtype != DT_NONE ? d : no_dtype(c, name, type, "");
}

const OnnxDType *attr_float_dtype(Call *c, const char *name, int64_t absent)
{
    const OnnxDType *d = attr_dtype(c, name, absent);
    return !d || dtype_is_float((DType)d->dtype) ? d : no_dtype(c, name, attr_int(c, name, absent), " and no float");
}

bool unsupported_word(Call *c, const char *name, const char *allowed)
{
    const OnnxAttribute *a = attribute(c, name);
    return unsupported(c, "%s='%s', where %s are allowed,", name, a ? shown(a->s).text : "", allowed);
}

bool axis_within(Call *c, int64_t *axis, int rank)
{
    const int64_t given = *axis;
    if (*axis < 0) *axis += rank;
    return (*axis >= 0 && *axis < rank) || unsupported(c, "axis %lld of %d", (long long)given, rank);
}

/* ---- operands of floats ---- */

bool reals(Call *c, uint32_t i, double *at, int most, int *n)
{
    const Held *h = &c->in[i];
    const kiln_tensor *x = tensor(c, i);
    if (!tensor_ok(x)) return false;
    if (c->t->trace && !h->constant) {
        fail(c->t, c->at, KILN_EUNSUPPORTED, "onnx: input %u, '%s', must be known while the function is traced, but it is computed",
            i, shown(c->node->node->input.at[i]).text);
        return false;
    }
    const int64_t count = kiln_elements(x);
    if (count > most) return unsupported(c, "input %u of %lld numbers, where %d are allowed,", i, (long long)count, most);
    kiln_eagerly now = kiln_eagerly_open(c->t->k);
    const bool ok = kiln_read_doubles_at(c->at, of(cast_to(c->t, c->at, h->t, DT_f64)), at, count);
    kiln_eagerly_close(&now);
    *n = (int)count;
    return ok;
}

bool real(Call *c, uint32_t i, double *to)
{
    int n;
    if (!has(c, i)) return true;
    if (!reals(c, i, to, 1, &n)) return false;
    return n == 1 || unsupported(c, "input %u of %d numbers, where one is allowed,", i, n);
}

bool number(Call *c, uint32_t i, int64_t *to)
{
    int n;
    if (!has(c, i)) return true;
    if (!numbers(c, i, to, 1, &n)) return false;
    return n == 1 || unsupported(c, "input %u of %d numbers, where one is allowed,", i, n);
}
