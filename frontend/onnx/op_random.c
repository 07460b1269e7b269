/* op_random: ONNX's operators that draw. Each node has a generator of its own, a variable of the model, so that a model that is
 * called again draws anew; it starts with the node's seed, or with the number of the generator where it has none. Relies on
 * import.h. */
#include <kiln/random.h>

#include "import.h"

struct NodeGenerator {
    const OnnxNode *node;
    kiln_variable *generator;
    NodeGenerator *next;
};

/* Seeds are floats, of Dropout integers. */
static uint64_t seed_of(Call *c, uint64_t number)
{
    const OnnxAttribute *a = attribute(c, "seed");
    if (!a) return number;
    uint32_t bits;
    memcpy(&bits, &a->f, sizeof bits);
    return a->type == 2 ? (uint64_t)a->i : bits;
}

static kiln_variable *generator_of(Call *c)
{
    kiln_onnx *m = (kiln_onnx *)(uintptr_t)c->m;
    uint64_t number = 1;
    pthread_mutex_lock(&m->lock);
    NodeGenerator *g = m->generators;
    for (; g && g->node != c->node->node; g = g->next) number++;
    if (!g) {
        kiln_eagerly now = kiln_eagerly_open(c->t->k);
        kiln_variable *v = kiln_generator_at(c->at, c->t->k, seed_of(c, number));
        kiln_eagerly_close(&now);
        g = v ? mem_zeros(1, sizeof *g) : NULL;
        if (v && !g) {
            fail(c->t, c->at, KILN_EMEMORY, "onnx: no memory for a generator");
            kiln_variable_free(v);
        }
        if (g) *g = (NodeGenerator){c->node->node, v, m->generators};
        if (g) m->generators = g;
    }
    pthread_mutex_unlock(&m->lock);
    return g ? g->generator : NULL;
}

void generators_free(kiln_onnx *m)
{
    while (m->generators) {
        NodeGenerator *g = m->generators;
        m->generators = g->next;
        kiln_variable_free(g->generator);
        mem_free(g, sizeof *g);
    }
}

/* The dtype that the attribute names, else `absent`. KILN_NONE: recorded. */
static kiln_dtype drawn_dtype(Call *c, DType absent)
{
    if (attr_int(c, "dtype", 0) == 0) return (kiln_dtype)absent;
    const OnnxDType *d = attr_dtype(c, "dtype", 0);
    return d ? (kiln_dtype)d->dtype : KILN_NONE;
}

/* From the attribute, or like the operand. */
static bool drawn_shape(Call *c, kiln_shape *s)
{
    int64_t size[MAX_RANK];
    int n = 0;
    *s = (kiln_shape){.rank = 0};
    if (c->nin == 0) {
        if (!attr_ints(c, "shape", size, MAX_RANK, &n)) return false;
        if (n < 0) return unsupported(c, "no shape");
    } else {
        const kiln_tensor *x = tensor(c, 0);
        if (!tensor_ok(x)) return false;
        for (n = 0; n < x->type.rank; n++) {
            if (!dim_is_const(x->type.dim[n])) return unsupported(c, "a size that is a symbol");
            size[n] = x->type.dim[n];
        }
    }
    s->rank = n;
    for (int i = 0; i < n; i++) s->size[1 + i] = size[i];
    return true;
}

static DType like(Call *c)
{
    const kiln_tensor *x = c->nin ? tensor(c, 0) : NULL;
    return x && tensor_ok(x) && dtype_is_float((DType)x->type.dtype) ? (DType)x->type.dtype : DT_f32;
}

bool op_uniform(Call *c)
{
    kiln_shape s;
    const kiln_dtype d = drawn_dtype(c, like(c));
    kiln_variable *g = d != KILN_NONE && drawn_shape(c, &s) ? generator_of(c) : NULL;
    return g && give(c, 0, kiln_uniform_at(c->at, g, d, s, attr_float(c, "low", 0), attr_float(c, "high", 1)));
}

bool op_normal(Call *c)
{
    kiln_shape s;
    const kiln_dtype d = drawn_dtype(c, like(c));
    kiln_variable *g = d != KILN_NONE && drawn_shape(c, &s) ? generator_of(c) : NULL;
    return g && give(c, 0, kiln_normal_at(c->at, g, d, s, attr_float(c, "mean", 0), attr_float(c, "scale", 1)));
}

/* Whether each element of p, a probability, is hit. */
static kiln_tensor *hits(Call *c, kiln_operand p, const kiln_tensor *like_this)
{
    kiln_shape s = {.rank = like_this->type.rank};
    for (int i = 0; i < s.rank; i++) s.size[1 + i] = -1;
    kiln_variable *g = generator_of(c);
    return g ? kiln_bernoulli_at(c->at, g, p, s) : &c->t->k->poison;
}

bool op_bernoulli(Call *c)
{
    kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x)) return false;
    const kiln_dtype d = drawn_dtype(c, (DType)x->type.dtype);
    return d != KILN_NONE && give(c, 0, kiln_cast_at(c->at, of(hits(c, of(x), x)), d));
}

/* Of logarithms of probabilities, or what is in proportion to these. */
bool op_multinomial(Call *c)
{
    const kiln_dtype d = drawn_dtype(c, DT_i32);
    kiln_variable *g = d != KILN_NONE ? generator_of(c) : NULL;
    if (!g) return false;
    kiln_tensor *y = kiln_categorical_at(c->at, g, operand(c, 0), attr_int(c, "sample_size", 1), 0);
    return give(c, 0, kiln_cast_at(c->at, of(y), d));
}

/* ---- what is dropped while something is trained --------------------------------------------------------- */

/* Up to version 6 models are trained unless is_test says else; from version 12 on if an operand says so; between them never. */
static bool trains(Call *c, bool *yes)
{
    int64_t operand_says = 0;
    *yes = c->node->version < 7 && !attr_int(c, "is_test", 0);
    if (c->node->version < 12) return true;
    if (!number(c, 2, &operand_says)) return false;
    *yes = operand_says != 0;
    return true;
}

/* The mask has the dtype of x up to version 9. */
static bool give_mask(Call *c, kiln_tensor *mask, const kiln_tensor *x)
{
    if (c->nout < 2 || c->node->out[1] == UINT32_MAX) return true;
    return give(c, 1, c->node->version >= 10 || !tensor_ok(mask) ? mask : cast_to(c->t, c->at, mask, (DType)x->type.dtype));
}

bool op_dropout(Call *c)
{
    kiln_tensor *x = tensor(c, 0);
    bool training;
    if (!tensor_ok(x) || !trains(c, &training)) return false;
    kiln_tensor *all = kiln_cast_at(c->at, of(kiln_ones_like_at(c->at, of(x))), KILN_BOOL);
    if (!training) return give(c, 0, x) && give_mask(c, all, x);
    kiln_tensor *rate =
        has(c, 1) ? tensor(c, 1) : kiln_full_at(c->at, c->t->k, KILN_F32, KILN_SHAPE(), KILN_OPERAND(attr_float(c, "ratio", 0.5)));
    if (!tensor_ok(rate)) return false;
    kiln_tensor *keep = kiln_sub_at(c->at, KILN_OPERAND(1), of(cast_to(c->t, c->at, rate, wide_dtype(x))));
    kiln_tensor *every = tensor_ok(keep) ? broadcast_to(c->t, c->at, keep, &x->type) : keep;
    kiln_tensor *mask = tensor_ok(every) ? hits(c, of(every), x) : every;
    kiln_tensor *y = kiln_div_at(c->at, of(cast_to(c->t, c->at, x, wide_dtype(x))), of(keep));
    y = kiln_where_at(c->at, of(mask), of(y), KILN_OPERAND(0));
    return give(c, 0, tensor_ok(y) ? cast_to(c->t, c->at, y, (DType)x->type.dtype) : y) && give_mask(c, mask, x);
}
