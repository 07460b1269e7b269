/* lists: numbers of a node that are no integers: attributes that list floats, operands of floats that must be known while a
 * function is traced. Relies on import.h. */
#include "import.h"

bool attr_floats(Call *c, const char *name, double *at, int most, int *n)
{
    const OnnxAttribute *a = attribute(c, name);
    *n = -1;
    if (!a) return true;
    if (a->floats.n / 4 > (size_t)most) return unsupported(c, "so long a list");
    *n = (int)(a->floats.n / 4);
    for (int i = 0; i < *n; i++) {
        float f;
        memcpy(&f, a->floats.at + 4 * i, sizeof f);
        at[i] = (double)f;
    }
    return true;
}

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
    if (count > most) return unsupported(c, "so long a list");
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
    return n == 1 || unsupported(c, "other than one number");
}

bool number(Call *c, uint32_t i, int64_t *to)
{
    int n;
    if (!has(c, i)) return true;
    if (!numbers(c, i, to, 1, &n)) return false;
    return n == 1 || unsupported(c, "other than one number");
}
