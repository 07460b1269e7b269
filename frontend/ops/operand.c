/* operand: turns operands into tensors: variables are read, numbers take the other operand's dtype, dtypes promote within a kind,
 * shapes broadcast. It also does arithmetic on sizes that may be symbols. Relies on ops.h. Runs ops only through apply and its
 * short forms. */
#include "ops.h"

#include <math.h>
#include <stdio.h>

#define NAMED(op) (op) ? (op) : "", (op) ? ": " : ""

bool operand_is_number(kiln_operand o) { return o.kind >= 3 && o.kind <= 6; }

Thread *operands_thread(const kiln_operand *o, int n)
{
    for (int i = 0; i < n; i++) {
        if (o[i].kind == 1 && o[i].as.tensor) return thread_of(o[i].as.tensor->k);
        if (o[i].kind == 2 && o[i].as.variable) return thread_of(o[i].as.variable->k);
    }
    return NULL;
}

/* ---- tensors and variables ------------------------------------------------------------------ */

static const char *made_text(const kiln_tensor *x, char *buf, size_t cap)
{
    const Loc *l = &x->made;
    if (l->file)
        snprintf(buf, cap, " made at %s:%d", l->file, l->line);
    else
        buf[0] = '\0';
    return buf;
}

/* A body's list of inputs also ends with NULL. */
static kiln_tensor *absent(Thread *t, kiln_site at, const char *op)
{
    const BodyRun *b = t->body;
    if (!b) return fail(t, at, KILN_EVALUE, "%s%sa tensor is NULL", NAMED(op));
    return fail(t, at, KILN_EVALUE, "%s%sa tensor is NULL; so is input %d of %s, which was called with %d", NAMED(op), b->nin,
        b->name, b->nin);
}

static kiln_tensor *unusable(Thread *t, kiln_site at, const char *op, const kiln_tensor *x)
{
    char made[240], end[240];
    if (!x) return absent(t, at, op);
    if (x->state == TENSOR_MISSING && x->k == t->k)
        return fail(t, at, KILN_EVALUE, "%s%sinput %d was not given: %s was called with %d", NAMED(op), missing_input(x),
            t->body ? t->body->name : "the body", t->body ? t->body->nin : 0);
    if (x->k != t->k) return fail(t, at, KILN_ESTATE, "%s%soperands belong to different engines", NAMED(op));
    made_text(x, made, sizeof made);
    if (x->state == TENSOR_FREE)
        return fail(t, at, KILN_ESTATE, "%s%sa tensor%s is used after %s%s", NAMED(op), made, tensor_end_text(x, end, sizeof end),
            x->released ? ""
            : x->region ? " (assign it there to a kiln_local made before, and read that)"
                        : " (kiln_keep or kiln_own it there)");
    if (x->state == TENSOR_STATIC)
        return fail(
            t, at, KILN_EVALUE, "%s%sa static argument is a C value: read it with kiln_static_i64, _f64 or _text", NAMED(op));
    return fail(
        t, at, KILN_ESTATE, "%s%sa traced value%s is used outside its function's body (make it an output)", NAMED(op), made);
}

static bool usable(const Thread *t, const kiln_tensor *x)
{
    if (!x || x->k != t->k) return false;
    if (x->state == TENSOR_TRACED) return t->trace && t->k->hooks->is_current(t, x);
    return x->state == TENSOR_EAGER;
}

static kiln_tensor *tensor_operand(Thread *t, kiln_site at, const char *op, kiln_tensor *x)
{
    if (LIKELY(usable(t, x))) return x;
    if (x && x->k == t->k && x->state == TENSOR_POISON) return x;
    return unusable(t, at, op, x);
}

static kiln_tensor *variable_operand(Thread *t, kiln_site at, const char *op, kiln_variable *v)
{
    if (!v) return fail(t, at, KILN_EVALUE, "%s%sa variable is NULL", NAMED(op));
    if (v->k != t->k) return fail(t, at, KILN_ESTATE, "%s%soperands belong to different engines", NAMED(op));
    kiln_tensor *x = kiln_value_at(at, kiln_of_variable(v));
    return x ? x : &t->k->poison;
}

kiln_tensor *operand_named(Thread *t, kiln_site at, const char *op, kiln_operand o, const Type *like)
{
    switch (o.kind) {
    case 1: return tensor_operand(t, at, op, o.as.tensor);
    case 2: return variable_operand(t, at, op, o.as.variable);
    case 3:
    case 4:
    case 5:
    case 6:
        if (!like) return fail(t, at, KILN_EVALUE, "%s%san operand is a number; it must be a tensor or a variable", NAMED(op));
        return number_like(t, at, op, like, o);
    case 7:
    case 8:
    case 9: return fail(t, at, KILN_EVALUE, "%s%sKILN_STATIC goes to traced functions, not to operations", NAMED(op));
    default: return fail(t, at, KILN_EVALUE, "%s%san operand is not a tensor, variable or number (kind %u)", NAMED(op), o.kind);
    }
}

kiln_tensor *operand_float(Thread *t, kiln_site at, const char *op, kiln_operand o)
{
    char text[160];
    kiln_tensor *x = operand_named(t, at, op, o, NULL);
    if (!tensor_ok(x) || dtype_is_float(x->type.dtype)) return x;
    return fail(t, at, KILN_EDTYPE, "%s: needs floats, use kiln_cast: %s", op, tensor_text(x, text, sizeof text));
}

kiln_tensor *result_of(Thread *t, kiln_site at, kiln_tensor *r, kiln_tensor *x)
{
    if (r != x || !tensor_ok(x)) return r;
    return t->trace ? t->k->hooks->alias(t, at, x) : tensor_alias(t, at, x);
}

/* ---- numbers -------------------------------------------------------------------------------- */

static const char *number_text(kiln_operand o, char *buf, size_t cap)
{
    if (o.kind == 3) plain_snprintf(buf, cap, "%.9g", o.as.f);
    if (o.kind == 4) snprintf(buf, cap, "%lld", (long long)o.as.i);
    if (o.kind == 5) snprintf(buf, cap, "%llu", (unsigned long long)o.as.u);
    if (o.kind == 6) snprintf(buf, cap, "%s", o.as.i ? "true" : "false");
    return buf;
}

static bool out_of_range(Thread *t, kiln_site at, const char *op, DType d, kiln_operand o)
{
    char text[40];
    const DTypeInfo *info = &dtype_info[d];
    number_text(o, text, sizeof text);
    if (dtype_is_float(d))
        fail(t, at, KILN_EVALUE, "%s%s%s is beyond the largest %s", NAMED(op), text, info->name);
    else
        fail(t, at, KILN_EVALUE, "%s%s%s is out of the range of %s (%lld to %llu)", NAMED(op), text, info->name,
            (long long)info->lo, d == DT_u64 ? (unsigned long long)UINT64_MAX : (unsigned long long)info->hi);
    return false;
}

static bool bool_bits(Thread *t, kiln_site at, const char *op, kiln_operand o, int64_t *bits)
{
    char text[40];
    *bits = o.as.i;
    /* C's `true` is the int 1. */
    if (o.kind == 6 || ((o.kind == 4 || o.kind == 5) && (o.as.u <= 1))) return true;
    fail(t, at, KILN_EDTYPE, "%s%sa bool tensor takes only true and false, not %s", NAMED(op), number_text(o, text, sizeof text));
    return false;
}

static bool float_bits(Thread *t, kiln_site at, const char *op, DType d, kiln_operand o, int64_t *bits)
{
    char stored[8];
    if (o.kind == 3)
        dtype_store_f64(d, stored, o.as.f);
    else if (o.kind == 5)
        dtype_store_u64(d, stored, o.as.u);
    else
        dtype_store_i64(d, stored, o.as.i);
    const double v = dtype_load_f64(d, stored);
    if (!isfinite(v) && !(o.kind == 3 && (isinf(v) ? isinf(o.as.f) : isnan(o.as.f)))) return out_of_range(t, at, op, d, o);
    *bits = attr_of_f64(v); /* a constant holds a value of its dtype */
    return true;
}

static bool integer_bits(Thread *t, kiln_site at, const char *op, DType d, kiln_operand o, int64_t *bits)
{
    const DTypeInfo *info = &dtype_info[d];
    char text[40];
    if (o.kind == 3) {
        double f = o.as.f;
        if (!(f == floor(f)) || isinf(f)) {
            fail(t, at, KILN_EDTYPE,
                "%s%s%s is not an integer, but the dtype here is %s (kiln_cast a tensor to a float dtype first)", NAMED(op),
                number_text(o, text, sizeof text), info->name);
            return false;
        }
        if (d == DT_u64 ? f < 0 || f >= 0x1p64 : f < (double)info->lo || f >= 0x1p63 || (double)info->hi < f)
            return out_of_range(t, at, op, d, o);
        *bits = d == DT_u64 ? (int64_t)(uint64_t)f : (int64_t)f;
        return true;
    }
    bool fits = o.kind == 5 ? d == DT_u64 || o.as.u <= (uint64_t)info->hi : o.as.i >= info->lo && o.as.i <= info->hi;
    *bits = o.as.i;
    return fits || out_of_range(t, at, op, d, o);
}

bool number_bits(Thread *t, kiln_site at, const char *op, DType d, kiln_operand o, int64_t *bits)
{
    if (d == DT_bool) return bool_bits(t, at, op, o, bits);
    if (o.kind == 6) {
        fail(t, at, KILN_EDTYPE, "%s%s%s goes with bool tensors only, not with %s", NAMED(op), o.as.i ? "true" : "false",
            dtype_info[d].name);
        return false;
    }
    return dtype_is_float(d) ? float_bits(t, at, op, d, o, bits) : integer_bits(t, at, op, d, o, bits);
}

kiln_tensor *number_like(Thread *t, kiln_site at, const char *op, const Type *shape, kiln_operand number)
{
    int64_t bits = 0;
    if (!number_bits(t, at, op, shape->dtype, number, &bits)) return &t->k->poison;
    const struct constant_attrs *c = constant_typed(shape, bits, ATTRS_ROOM(constant, MAX_RANK));
    return apply(t, at, OP_constant, NULL, 0, ATTRS_TO(c, c->shape + shape->rank), NULL, 0);
}

kiln_tensor *number_beside(Thread *t, kiln_site at, const char *op, const kiln_tensor *x, kiln_operand number)
{
    kiln_tensor *r = number_like(t, at, op, &x->type, number);
    if (r->state == TENSOR_EAGER && x->state == TENSOR_EAGER)
        r->beside = x->number ? x->beside : tensor_joins(x) ? 0 : (uint8_t)(x->device + 1);
    return r;
}

kiln_tensor *constant_of(Thread *t, kiln_site at, const Type *type, kiln_operand number)
{
    if (operand_is_number(number)) return number_like(t, at, NULL, type, number);
    return fail(t, at, KILN_EVALUE, "a number is needed here, not a tensor or a variable");
}

/* ---- pairs ---------------------------------------------------------------------------------- */

static bool same_dims(const Type *a, const Type *b)
{
    return a->rank == b->rank && memcmp(a->dim, b->dim, a->rank * sizeof a->dim[0]) == 0;
}

static bool pair_of_tensors(Thread *t, kiln_site at, const char *op, kiln_tensor *out[2])
{
    char a[160], b[160];
    Type shape;
    DType d = dtype_promote(out[0]->type.dtype, out[1]->type.dtype);
    if (d == DT_NONE) {
        fail(t, at, KILN_EDTYPE, "%s%sdtypes of different kinds, use kiln_cast: %s x %s", NAMED(op),
            tensor_text(out[0], a, sizeof a), tensor_text(out[1], b, sizeof b));
        return false;
    }
    if (!same_dims(&out[0]->type, &out[1]->type)) {
        if (!shapes_broadcast(t, at, op, out[0], out[1], &shape)) return false;
        for (int i = 0; i < 2; i++) out[i] = broadcast_to(t, at, out[i], &shape);
    }
    for (int i = 0; i < 2; i++)
        if (tensor_ok(out[i])) out[i] = cast_to(t, at, out[i], d);
    return true;
}

static bool pair(Thread *t, kiln_site at, const char *op, kiln_operand a, kiln_operand b, kiln_tensor *out[2])
{
    bool na = operand_is_number(a), nb = operand_is_number(b);
    out[0] = out[1] = &t->k->poison;
    if (na && nb) {
        fail(t, at, KILN_EVALUE, "%s%sat least one operand must be a tensor or a variable", NAMED(op));
        return true;
    }
    if (!na) out[0] = operand_named(t, at, op, a, NULL);
    if (!nb) out[1] = operand_named(t, at, op, b, NULL);
    if (na && tensor_ok(out[1])) out[0] = number_like(t, at, op, &out[1]->type, a);
    if (nb && tensor_ok(out[0])) out[1] = number_like(t, at, op, &out[0]->type, b);
    if (!tensor_ok(out[0]) || !tensor_ok(out[1])) return true; /* poison: apply passes it on */
    return na || nb || pair_of_tensors(t, at, op, out);
}

bool operand_pair(Thread *t, kiln_site at, const char *op, kiln_operand a, kiln_operand b, kiln_tensor *out[2])
{
    if (LIKELY(a.kind == 1 && b.kind == 1 && usable(t, a.as.tensor) && usable(t, b.as.tensor))) {
        out[0] = a.as.tensor;
        out[1] = b.as.tensor;
        if (out[0]->type.dtype == out[1]->type.dtype && same_dims(&out[0]->type, &out[1]->type)) return true;
        return pair_of_tensors(t, at, op, out);
    }
    return pair(t, at, op, a, b, out);
}

/* ---- sizes ---------------------------------------------------------------------------------- */

typedef struct ExtentJob {
    DimTable *dims;
    ExtentOp op;
    Dim a, b, result;
    const Type *x, *y; /* broadcast these instead */
    Type *shape;
    bool fits;
} ExtentJob;

static Dim extent_now(DimTable *dims, ExtentOp op, Dim a, Dim b)
{
    Dim q;
    switch (op) {
    case EXTENT_ADD: return dim_add(dims, a, b);
    case EXTENT_SUB: return dim_sub(dims, a, b);
    case EXTENT_MUL: return dim_mul(dims, a, b);
    case EXTENT_FLOORDIV: return dim_floordiv(dims, a, b);
    case EXTENT_MAX: return dim_max(dims, a, b);
    case EXTENT_ANY_ADD: return dim_any_add(dims, a, b);
    case EXTENT_ANY_SUB: return dim_any_sub(dims, a, b);
    case EXTENT_ANY_MUL: return dim_any_mul(dims, a, b);
    case EXTENT_ANY_FLOORDIV: return dim_any_floordiv(dims, a, b);
    default: return dim_divides(dims, a, b, &q) ? q : DIM_BAD;
    }
}

static void extent_job(void *arg)
{
    ExtentJob *j = arg;
    if (j->shape)
        j->fits = shape_broadcast(j->dims, j->x, j->y, j->shape);
    else
        j->result = extent_now(j->dims, j->op, j->a, j->b);
}

/* New expressions take memory of the trace's arena, so the work needs a border around it. */
static bool run_extent(Thread *t, kiln_site at, ExtentJob *j)
{
    Module *m = module_of(t);
    if (!m) {
        extent_job(j);
        return true;
    }
    j->dims = &m->dims;
    return bordered(t, at, m->arena, extent_job, j);
}

Dim extent(Thread *t, kiln_site at, ExtentOp op, Dim a, Dim b)
{
    if (a == DIM_BAD || b == DIM_BAD) return DIM_BAD;
    Module *m = module_of(t);
    if (op >= EXTENT_ANY_ADD && !m) return DIM_BAD;
    if (op < EXTENT_ANY_ADD && dim_is_const(a) && dim_is_const(b)) return extent_now(m ? &m->dims : NULL, op, a, b);
    ExtentJob j = {.op = op, .a = a, .b = b, .result = DIM_BAD};
    return run_extent(t, at, &j) ? j.result : DIM_BAD;
}

bool extent_reaches(Thread *t, kiln_site at, Dim n, Dim least)
{
    if (dim_is_const(least) || n == least) return n == least || extent_lo(t, n) >= least;
    const Dim more = extent(t, at, EXTENT_ANY_SUB, n, least);
    return more != DIM_BAD && extent_lo(t, more) >= 0;
}

const char *extent_trouble(Thread *t, char *buf, size_t cap)
{
    Module *m = module_of(t);
    return dim_trouble(m ? &m->dims : NULL, buf, cap);
}

Dim extent_product(Thread *t, kiln_site at, const Dim *d, int n)
{
    Dim p = 1;
    for (int i = 0; i < n; i++) p = extent(t, at, EXTENT_MUL, p, d[i]);
    return p;
}

bool shapes_broadcast(Thread *t, kiln_site at, const char *op, const kiln_tensor *a, const kiln_tensor *b, Type *out)
{
    char ta[160], tb[160];
    ExtentJob j = {.x = &a->type, .y = &b->type, .shape = out};
    if (!run_extent(t, at, &j)) return false;
    if (j.fits) return true;
    fail(t, at, KILN_ESHAPE, "%s%sshapes do not broadcast: %s x %s", NAMED(op), tensor_text(a, ta, sizeof ta),
        tensor_text(b, tb, sizeof tb));
    return false;
}

bool operands_alike(Thread *t, kiln_site at, const char *op, kiln_tensor *x[2])
{
    char a[160], b[160];
    if (!tensor_ok(x[0]) || !tensor_ok(x[1])) return false;
    const DType d = dtype_promote((DType)x[0]->type.dtype, (DType)x[1]->type.dtype);
    if (d == DT_NONE) {
        fail(t, at, KILN_EDTYPE, "%s: dtypes of different kinds, use kiln_cast: %s x %s", op, tensor_text(x[0], a, sizeof a),
            tensor_text(x[1], b, sizeof b));
        return false;
    }
    for (int i = 0; i < 2; i++) x[i] = cast_to(t, at, x[i], d);
    return tensor_ok(x[0]) && tensor_ok(x[1]);
}
