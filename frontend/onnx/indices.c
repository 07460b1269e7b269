/* indices: whether those that an operator is given lie within an axis, as ONNX demands, where they are known: eagerly on the host,
 * and in a trace if they are constants. Elsewhere Kiln's gathers and scatters say what becomes of them (move.h). Relies on
 * import.h. */
#include "../../ir/element.h"
#include "import.h"

static bool fits(Call *c, uint32_t input, int64_t v, Dim size)
{
    if (!dim_is_const(size) || (v >= -size && v < size)) return true;
    fail(c->t, c->at, KILN_EVALUE, "onnx: index %lld, of input %u, is not in [%lld, %lld)", (long long)v, input, (long long)-size,
        (long long)size);
    return false;
}

static bool read_all(Call *c, uint32_t input, kiln_tensor *i, const Dim *size, int64_t n)
{
    const DType d = (DType)i->type.dtype;
    const int64_t count = kiln_elements(i);
    kiln_eagerly now = kiln_eagerly_open(c->t->k);
    const kiln_tensor *x = tensor_host(c->t, c->at, i->contiguous ? i : tensor_contiguous(c->t, c->at, i));
    bool ok = tensor_ok(x);
    const char *at = ok ? x->data : NULL;
    for (int64_t j = 0, a = 0; ok && j < count; j++, at += dtype_bytes(d), a = a + 1 == n ? 0 : a + 1)
        ok = fits(c, input, dtype_load_i64(d, at), size[a]);
    kiln_eagerly_close(&now);
    return ok;
}

bool indices_within(Call *c, uint32_t input, const Dim *size, int64_t n)
{
    const Held *h = &c->in[input];
    for (int j = 0; h->size && j < h->sizes; j++)
        if (!known_symbol(h->size[j]) && !fits(c, input, h->size[j], size[j % n])) return false;
    const bool known = !h->size && h->t && h->t->state == TENSOR_EAGER && (!c->t->trace || h->constant);
    return !known || (!c->t->trace && h->t->device != HOST) || !dtype_is_int((DType)h->t->type.dtype) ||
           read_all(c, input, h->t, size, n);
}
