/* make: tensors filled with one number, with indices, or with numbers that are equally far apart. engine/tensor.c makes those of
 * the user's memory. */
#include "ops.h"

#include <math.h>

kiln_tensor *kiln_full_at(kiln_site at, kiln *k, kiln_dtype d, kiln_shape s, kiln_operand number)
{
    Thread *t = thread_of(k);
    Type type;
    if (!t || !type_from_shape(t, at, "full", d, &s, &type)) return t ? &k->poison : NULL;
    if (!operand_is_number(number))
        return fail(t, at, KILN_EVALUE, "full: the value must be a number; kiln_broadcast repeats a tensor");
    return number_like(t, at, "full", &type, number);
}

kiln_tensor *kiln_iota_at(kiln_site at, kiln *k, kiln_dtype d, kiln_shape s, int axis)
{
    Thread *t = thread_of(k);
    Type type;
    if (!t || !type_from_shape(t, at, "iota", d, &s, &type)) return t ? &k->poison : NULL;
    if (!axis_of(t, at, "iota", axis, type.rank, &axis)) return &k->poison;
    return iota_of(t, at, &type, axis, NULL);
}

kiln_tensor *kiln_full_like_at(kiln_site at, kiln_operand o, kiln_operand number)
{
    Thread *t;
    kiln_tensor *x = first_operand(at, "full_like", o, &t);
    if (!tensor_ok(x)) return x;
    if (!operand_is_number(number))
        return fail(t, at, KILN_EVALUE, "full_like: the value must be a number; kiln_broadcast_like repeats a tensor");
    return number_beside(t, at, "full_like", x, number);
}

kiln_tensor *kiln_iota_along_at(kiln_site at, kiln_operand o, int axis, kiln_dtype d)
{
    Thread *t;
    kiln_tensor *x = first_operand(at, "iota_along", o, &t);
    if (!tensor_ok(x)) return x;
    if (!axis_of(t, at, "iota_along", axis, x->type.rank, &axis)) return &t->k->poison;
    if (!dtype_known((int)d)) return fail(t, at, KILN_EDTYPE, "iota_along: %d is not a dtype", (int)d);
    Composite s = composite_begin(t, "iota_along");
    return composite_end(t, &s, iota_of(t, at, &(Type){.dtype = (uint8_t)d, .rank = 1, .dim = {x->type.dim[axis]}}, 0, x));
}

/* ---- ranges ------------------------------------------------------------------------------------ */

/* The number as an i64. False: recorded. */
static bool whole(Thread *t, kiln_site at, kiln_operand o, int64_t *v)
{
    const bool fits =
        o.kind == 4 || (o.kind == 5 && o.as.u <= INT64_MAX) || (o.kind == 3 && o.as.f == floor(o.as.f) && fabs(o.as.f) < 0x1p63);
    if (!fits) fail(t, at, KILN_EVALUE, "arange: of integers, but a number is a fraction or beyond 64 bits");
    *v = o.kind == 3 && fits ? (int64_t)o.as.f : o.as.i;
    return fits;
}

static kiln_tensor *whole_range(Thread *t, kiln_site at, DType d, const kiln_operand number[3])
{
    int64_t v[3], last;
    for (int i = 0; i < 3; i++)
        if (!whole(t, at, number[i], &v[i])) return &t->k->poison;
    if (v[2] == 0) return fail(t, at, KILN_EVALUE, "arange: the step must not be 0");
    const bool up = v[2] > 0, empty = up ? v[0] >= v[1] : v[0] <= v[1];
    const uint64_t span = up ? (uint64_t)v[1] - (uint64_t)v[0] : (uint64_t)v[0] - (uint64_t)v[1];
    const uint64_t step = up ? (uint64_t)v[2] : 0 - (uint64_t)v[2], count = empty ? 0 : (span - 1) / step + 1;
    if (count > (uint64_t)DIM_MAX / 8)
        return fail(t, at, KILN_ESHAPE, "arange: %llu numbers are more than a tensor can have", (unsigned long long)count);
    last = empty ? v[0] : (int64_t)((uint64_t)v[0] + (count - 1) * (uint64_t)v[2]);
    int64_t bits;
    if (count &&
        !(number_bits(t, at, "arange", d, kiln_of_i(v[0]), &bits) && number_bits(t, at, "arange", d, kiln_of_i(last), &bits)))
        return &t->k->poison;
    const Type type = {.dtype = DT_i64, .rank = 1, .dim = {(Dim)count}};
    kiln_operand i = of(iota_of(t, at, &type, 0, NULL));
    if (v[2] != 1) i = of(kiln_mul_at(at, i, kiln_of_i(v[2])));
    if (v[0] != 0) i = of(kiln_add_at(at, i, kiln_of_i(v[0])));
    return tensor_ok(i.as.tensor) ? cast_to(t, at, i.as.tensor, d) : &t->k->poison;
}

static double as_double(kiln_operand o) { return o.kind == 3 ? o.as.f : o.kind == 5 ? (double)o.as.u : (double)o.as.i; }

/* start + i * step, in f64 */
static kiln_operand spaced(Thread *t, kiln_site at, int64_t count, double start, double step)
{
    const Type type = {.dtype = DT_f64, .rank = 1, .dim = {count}};
    kiln_operand i = of(iota_of(t, at, &type, 0, NULL));
    if (!tensor_ok(i.as.tensor)) return i;
    return of(kiln_add_at(at, of(kiln_mul_at(at, i, kiln_of_f(step))), kiln_of_f(start)));
}

kiln_tensor *kiln_arange_at(kiln_site at, kiln *k, kiln_dtype d, kiln_operand start, kiln_operand stop, kiln_operand step)
{
    Thread *t = thread_of(k);
    const kiln_operand number[3] = {start, stop, step};
    if (!t) return NULL;
    if (!dtype_known((int)d) || d == KILN_BOOL)
        return fail(
            t, at, KILN_EDTYPE, "arange: needs a dtype of numbers, not %s", dtype_known((int)d) ? "bool" : "an unknown one");
    for (int i = 0; i < 3; i++)
        if (!operand_is_number(number[i]) || number[i].kind > 5)
            return fail(t, at, KILN_EVALUE, "arange: start, stop and step must be C numbers");
    Composite s = composite_begin(t, "arange");
    if (!dtype_is_float((DType)d)) return composite_end(t, &s, whole_range(t, at, (DType)d, number));
    const double a = as_double(start), b = as_double(stop), c = as_double(step), count = ceil((b - a) / c);
    kiln_tensor *r;
    if (c == 0 || !isfinite(a) || !isfinite(b) || isnan(c))
        r = fail(t, at, KILN_EVALUE, "arange: from %g to %g by %g: the step must not be 0, and the ends must be finite", a, b, c);
    else if (count > (double)(DIM_MAX / 8))
        r = fail(t, at, KILN_ESHAPE, "arange: %g numbers are more than a tensor can have", count);
    else
        r = cast_to(t, at, spaced(t, at, count > 0 ? (int64_t)count : 0, a, c).as.tensor, (DType)d);
    return composite_end(t, &s, r);
}

/* `count` numbers from start to stop, or short of it, in f64 (NumPy's formula), `stop` itself being left to the caller. */
static kiln_operand line(Thread *t, kiln_site at, double start, double stop, int64_t count, double parts)
{
    const double step = (stop - start) / parts;
    if (step != 0 || count < 2) return spaced(t, at, count, start, count < 2 ? 0 : step);
    const Type type = {.dtype = DT_f64, .rank = 1, .dim = {count}}; /* the step is 0, or so small that it is lost */
    kiln_operand part = of(kiln_div_at(at, of(iota_of(t, at, &type, 0, NULL)), kiln_of_f(parts)));
    return of(kiln_add_at(at, of(kiln_mul_at(at, part, kiln_of_f(stop - start))), kiln_of_f(start)));
}

/* base NULL: the numbers themselves, else it to the power of each. */
static kiln_tensor *line_space(
    Thread *t, kiln_site at, const char *op, kiln_dtype d, double start, double stop, int64_t count, bool end, const double *base)
{
    if (!dtype_known((int)d) || !dtype_is_float((DType)d))
        return fail(t, at, KILN_EDTYPE, "%s: needs a dtype of floats, not %s", op,
            dtype_known((int)d) ? dtype_info[d].name : "an unknown one");
    if (count < 0 || count > DIM_MAX / 8)
        return fail(t, at, KILN_EVALUE, "%s: the count is %lld (allowed: 0 to 2^45)", op, (long long)count);
    const bool closes = end && count > 1;
    kiln_operand y = line(t, at, start, stop, count - closes, (double)(end ? count - 1 : count));
    kiln_tensor *part[2] = {y.as.tensor, closes ? spaced(t, at, 1, stop, 0).as.tensor : NULL};
    for (int i = 0; i <= closes; i++) {
        if (!tensor_ok(part[i])) return &t->k->poison;
        part[i] = cast_to(t, at, base ? kiln_pow_at(at, kiln_of_f(*base), of(part[i])) : part[i], (DType)d);
    }
    return closes ? kiln_concat_at(at, part, 2, 0) : part[0];
}

kiln_tensor *kiln_linspace_at(kiln_site at, kiln *k, kiln_dtype d, double start, double stop, int64_t count, bool end)
{
    Thread *t = thread_of(k);
    if (!t) return NULL;
    Composite s = composite_begin(t, "linspace");
    return composite_end(t, &s, line_space(t, at, "linspace", d, start, stop, count, end, NULL));
}

kiln_tensor *kiln_logspace_at(kiln_site at, kiln *k, kiln_dtype d, double start, double stop, int64_t count, double base)
{
    Thread *t = thread_of(k);
    if (!t) return NULL;
    Composite s = composite_begin(t, "logspace");
    return composite_end(t, &s, line_space(t, at, "logspace", d, start, stop, count, true, &base));
}

/* ---- grids -------------------------------------------------------------------------------------- */

static bool grid(Thread *t, kiln_site at, kiln_tensor *const *x, int count, bool xy, kiln_tensor **out)
{
    char text[160];
    Dim dim[MAX_RANK];
    for (int i = 0; i < count; i++) {
        if (count <= MAX_RANK && x[i]->type.rank <= 1) continue;
        fail(t, at, KILN_ESHAPE, "meshgrid: takes up to %d operands of rank 1; operand %d of %d is %s", MAX_RANK, i, count,
            tensor_text(x[i], text, sizeof text));
        return results_poison(t, out, count);
    }
    const bool turn = xy && count > 1;
    Type all = {.rank = (uint8_t)count};
    for (int i = 0; i < count; i++) all.dim[turn && i < 2 ? 1 - i : i] = x[i]->type.rank ? x[i]->type.dim[0] : 1;
    if (extent_product(t, at, all.dim, count) == DIM_BAD) {
        fail(t, at, KILN_ESHAPE,
            "meshgrid: the grid would have more than 2^48 elements, or too long an expression for their number");
        return results_poison(t, out, count);
    }
    bool ok = true;
    for (int i = 0; i < count; i++) {
        const int axis = turn && i < 2 ? 1 - i : i;
        for (int j = 0; j < count; j++) dim[j] = j == axis ? all.dim[j] : 1;
        out[i] = result_of(t, at, broadcast_to(t, at, reshape_to(t, at, x[i], dim, count), &all), x[i]);
        ok = ok && tensor_ok(out[i]);
    }
    return ok || results_poison(t, out, count);
}

bool kiln_meshgrid_at(kiln_site at, kiln_operands l, bool xy, kiln_tensor **out)
{
    Thread *t = operands_of_thread(l);
    if (t && !list_there(t, at, "meshgrid", out, l.count)) return false;
    WITH_TENSORS(t, "meshgrid", l, out, l.count, grid(t, at, x, l.count, xy, out));
}
