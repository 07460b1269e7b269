/* call: what an operator's function asks of the node that it runs: operands, known numbers, attributes. Relies on import.h. */
#include "import.h"

#include <math.h>
#include <stdarg.h>

/* ---- operands and results ----------------------------------------------------------------------------- */

static bool held_there(const Held *h) { return h->t || h->size || h->many || h->nothing; }

bool has(const Call *c, uint32_t i) { return i < c->nin && c->node->in[i] != UINT32_MAX && held_there(&c->in[i]); }

/* Errors get the node's name in front, which is what is called while it runs (run_node). */
bool unsupported(Call *c, const char *what, ...)
{
    char text[320];
    va_list args;
    va_start(args, what);
    plain_vsnprintf(text, sizeof text, what, args);
    va_end(args);
    fail(c->t, c->at, KILN_EUNSUPPORTED, "onnx: %s is not supported", text);
    return false;
}

/* A size, or what was computed of sizes, which may be below 0. */
static kiln_tensor *number_tensor(Call *c, Known v)
{
    if (!known_symbol(v)) return kiln_full_at(c->at, c->t->k, KILN_I64, KILN_SHAPE(), KILN_OPERAND(v));
    if (known_hi(c, v) >= 0) return dim_tensor(c->t, c->at, known_dim(v), DT_i64);
    const Known minus = known_sub(c, 0, v);
    return kiln_neg_at(c->at, of(dim_tensor(c->t, c->at, known_dim(minus), DT_i64)));
}

kiln_tensor *held_tensor(Call *c, Held *h)
{
    if (h->t || !h->size) return h->t ? h->t : &c->t->k->poison;
    kiln_tensor *one[64], *all;
    if (h->sizes > 64) return unsupported(c, "a row of more than 64 sizes"), &c->t->k->poison;
    for (int j = 0; j < h->sizes; j++) one[j] = number_tensor(c, h->size[j]);
    if (h->rank == 0)
        all = one[0];
    else
        all = h->sizes ? kiln_stack_at(c->at, one, h->sizes, 0)
                       : kiln_full_at(c->at, c->t->k, KILN_I64, KILN_SHAPE(0), KILN_OPERAND(0));
    if (h->rank == 2 && tensor_ok(all))
        all = reshape_to(c->t, c->at, all, (const Dim[]){h->columns ? h->sizes / h->columns : 0, h->columns}, 2);
    if (h->sort && tensor_ok(all)) all = cast_to(c->t, c->at, all, (DType)h->sort);
    if (h->over > 1) all = kiln_div_at(c->at, of(all), KILN_OPERAND((double)h->over));
    return h->t = h->times != 0 ? kiln_mul_at(c->at, of(all), KILN_OPERAND(h->times)) : all;
}

kiln_tensor *tensor(Call *c, uint32_t i)
{
    if (!has(c, i)) return unsupported(c, "a missing input %u", i), &c->t->k->poison;
    Held *h = &c->in[i];
    if (h->many || h->nothing)
        return fail(
            c->t, c->at, KILN_EVALUE, "onnx: input %u is %s, not a tensor", i, h->many ? "a sequence" : "an empty optional");
    return held_tensor(c, h);
}

kiln_operand operand(Call *c, uint32_t i) { return of(has(c, i) ? tensor(c, i) : NULL); }

kiln_tensor *scalar_of(Call *c, uint32_t i)
{
    kiln_tensor *x = tensor(c, i);
    return tensor_ok(x) && x->type.rank == 1 && x->type.dim[0] == 1 ? reshape_to(c->t, c->at, x, NULL, 0) : x;
}

bool give(Call *c, uint32_t i, kiln_tensor *t)
{
    if (!tensor_ok(t)) return false;
    c->out[i].t = t;
    return true;
}

bool give_as(Call *c, uint32_t i, kiln_tensor *t, const kiln_tensor *like)
{
    return tensor_ok(t) && tensor_ok(like) && give(c, i, cast_to(c->t, c->at, t, (DType)like->type.dtype));
}

/* Numbers in no or one axis; those of floats where all are whole. Of others nothing. False: recorded. */
bool read_sizes(Call *c, Held *h)
{
    const DType d = (DType)h->t->type.dtype;
    if (h->t->type.rank > 1) return true;
    const int64_t count = kiln_elements(h->t);
    int64_t *v = ARENA_ARRAY(c->arena, int64_t, count + 1);
    double *exact = ARENA_ARRAY(c->arena, double, count + 1);
    kiln_eagerly now = kiln_eagerly_open(c->t->k);
    bool ok = !dtype_is_float(d) || kiln_read_doubles_at(c->at, of(h->t), exact, count), whole = true;
    for (int64_t i = 0; ok && i < count; i++) whole &= exact[i] == (double)(int32_t)fmax(fmin(exact[i], 1e9), -1e9);
    ok = ok && (!whole || kiln_read_at(c->at, of(cast_to(c->t, c->at, h->t, DT_i64)), v, (size_t)count * sizeof *v));
    kiln_eagerly_close(&now);
    for (int64_t i = 0; i < count; i++) v[i] = MAX_OF(v[i], -KNOWN_FAR); /* symbols lie below */
    if (whole) h->size = v, h->sizes = (int)count, h->rank = h->t->type.rank;
    return ok;
}

bool sizes(Call *c, uint32_t i, const Known **at, int *n)
{
    Held *h = &c->in[i];
    if (!has(c, i)) return unsupported(c, "a missing input %u", i);
    if (h->many || h->nothing) return tensor(c, i), false;
    if (!h->size && tensor_ok(h->t) && (!c->t->trace || h->constant) && !read_sizes(c, h)) return false;
    *at = h->size;
    *n = h->sizes;
    if (h->size && h->over <= 1 && h->times == 0 && h->rank < 2) return true;
    fail(c->t, c->at, KILN_EUNSUPPORTED, "onnx: input %u, '%s', must be known while the function is traced, but it is computed", i,
        shown(c->node->node->input.at[i]).text);
    return false;
}

bool known_size(Call *c, Known v, Dim *size)
{
    *size = known_dim(v);
    if (known_hi(c, v) >= 0) return true;
    fail(c->t, c->at, KILN_EVALUE, known_symbol(v) ? "onnx: a size is %lld at most" : "onnx: a size is %lld",
        (long long)known_hi(c, v));
    return false;
}

bool numbers(Call *c, uint32_t i, int64_t *at, int most, int *n)
{
    const Known *v;
    if (!sizes(c, i, &v, n)) return false;
    if (*n > most) return unsupported(c, "input %u of %d numbers, where %d are allowed,", i, *n, most);
    for (int j = 0; j < *n; j++) {
        if (known_symbol(v[j]))
            return unsupported(
                c, "input %u, '%s', that depends on a size that is a symbol,", i, shown(c->node->node->input.at[i]).text);
        at[j] = v[j];
    }
    return true;
}

/* ---- attributes --------------------------------------------------------------------------------------- */

static bool named(Bytes b, const char *name) { return bytes_equal(b, (Bytes){(const uint8_t *)name, strlen(name)}); }

static const OnnxAttribute *of_name(const OnnxAttribute *at, uint32_t n, Bytes name)
{
    for (uint32_t i = 0; i < n; i++)
        if (bytes_equal(at[i].name, name)) return &at[i];
    return NULL;
}

/* In a function's body an attribute may stand for one of the node that called it, or of its own where that has none. */
const OnnxAttribute *attribute(const Call *c, const char *name)
{
    const OnnxNode *n = c->node->node;
    const OnnxAttribute *a = of_name(n->attribute.at, n->attribute.n, (Bytes){(const uint8_t *)name, strlen(name)});
    for (const Env *e = c->env; a && a->reference.n != 0; e = e->caller) {
        if (!e || !e->call) return NULL;
        const OnnxFunction *f = e->call->function->function;
        const OnnxAttribute *given = of_name(e->call->node->attribute.at, e->call->node->attribute.n, a->reference);
        if (!given) return of_name(f->attribute.at, f->attribute.n, a->reference);
        a = given;
    }
    return a;
}

/* An attribute that is there must be of its type; old files do not say which type that is. Whoever gets it wrong reads what is
 * absent. */
static const OnnxAttribute *typed(const Call *c, const char *name, int64_t type)
{
    const OnnxAttribute *a = attribute(c, name);
    if (!a || a->type == type || a->type == 0) return a;
    fail(c->t, c->at, KILN_EFORMAT, "onnx: attribute %s has the type %lld, not %lld", name, (long long)a->type, (long long)type);
    return NULL;
}

enum { TYPE_FLOAT = 1, TYPE_INT = 2, TYPE_STRING = 3, TYPE_INTS = 7 };

int64_t attr_int(const Call *c, const char *name, int64_t absent)
{
    const OnnxAttribute *a = typed(c, name, TYPE_INT);
    return a ? a->i : absent;
}

double attr_float(const Call *c, const char *name, double absent)
{
    const OnnxAttribute *a = typed(c, name, TYPE_FLOAT);
    return a ? (double)a->f : absent;
}

bool attr_is(const Call *c, const char *name, const char *text)
{
    const OnnxAttribute *a = typed(c, name, TYPE_STRING);
    return a && named(a->s, text);
}

bool attr_ints(Call *c, const char *name, int64_t *at, int most, int *n)
{
    const OnnxAttribute *a = typed(c, name, TYPE_INTS);
    *n = -1;
    if (!a) return !attribute(c, name);
    Wire w = wire_of(a->ints);
    uint64_t v;
    for (*n = 0; wire_varint(&w, &v); ++*n) {
        if (*n == most) return unsupported(c, "%s of more than %d numbers", name, most);
        at[*n] = (int64_t)v;
    }
    return true;
}
