/* random: generators, and uniform and normal numbers drawn from them. A generator is a u64[2] variable (seed, counter). A draw uses
 * its value as the key of random_bits and adds 1 to the counter, so that generators are captured, compiled and saved like any
 * state. Relies on ops.h and variables. Draws bits only through random_bits. */
#include "random.h"

#include <math.h>

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

kiln_variable *kiln_generator_at(kiln_site at, kiln *k, uint64_t seed)
{
    uint64_t state[2] = {seed, 0};
    kiln_scope s = kiln_scope_open(k);
    kiln_tensor *first = kiln_from_at(at, k, KILN_U64, KILN_SHAPE(2), state, 2);
    kiln_variable *v = tensor_ok(first) ? kiln_variable_new_at(at, k, "generator", of(first)) : NULL;
    kiln_scope_close(&s);
    return v;
}

kiln_tensor *kiln_random_bits_at(kiln_site at, kiln_operand key, kiln_shape s)
{
    Thread *t = op_thread(&key, 1);
    Type type;
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, "random_bits", key, NULL);
    if (!tensor_ok(x) || !type_from_shape(t, at, "random_bits", KILN_U32, &s, &type)) return &t->k->poison;
    return apply1(t, at, OP_random_bits, x, type.dim, type.rank);
}

/* It belongs to no engine, so that everything except a layer refuses it. */
static kiln_variable zero_start = {.name = "zeros"};

kiln_variable *kiln_zero_start(void) { return &zero_start; }

Thread *generator_thread(const kiln_variable *g) { return g && g->k ? thread_of(g->k) : thread_last(); }

bool is_generator(Thread *t, kiln_site at, const char *op, const kiln_variable *g)
{
    if (g && g->type.dtype == DT_u64 && g->type.rank == 1 && g->type.dim[0] == 2) return true;
    fail(t, at, KILN_EVALUE, "%s: the generator %s", op,
        !g                 ? "is NULL"
        : g == &zero_start ? "is KILN_ZEROS, which only layers take"
                           : "must be a u64[2] variable (kiln_generator)");
    return false;
}

Draw draw_begin(Thread *t, kiln_site at, const char *op, kiln_operand source)
{
    Draw d = {.source = source, .c = composite_begin(t, op)};
    d.key = operand_named(t, at, "random", source, NULL);
    return d;
}

kiln_tensor *draw_bits(Thread *t, kiln_site at, const Draw *d, const Dim *dim, int rank)
{
    return tensor_ok(d->key) ? apply1(t, at, OP_random_bits, d->key, dim, (uint32_t)rank) : d->key;
}

kiln_tensor *draw_end(Thread *t, kiln_site at, Draw *d, kiln_tensor *r)
{
    if (d->source.kind == 2 && tensor_ok(r)) {
        kiln_tensor *step = iota_of(t, at, &(Type){.dtype = DT_u64, .rank = 1, .dim = {2}}, 0, d->key); /* (0, 1) */
        kiln_operand moved = d->moves > 1 ? OP2(mul, of(step), kiln_of_u(d->moves)) : of(step);
        kiln_operand next = OP2(add, of(d->key), moved);
        if (composite_well(t, &d->c)) kiln_assign_at(at, d->source.as.variable, next);
    }
    return composite_end(t, &d->c, composite_well(t, &d->c) ? r : &t->k->poison);
}

kiln_operand unit_f32(kiln_site at, kiln_tensor *bits)
{
    return OP2(mul, OP2(cast, OP2(shr, of(bits), kiln_of_i(8)), KILN_F32), kiln_of_f(0x1p-24));
}

static kiln_operand top_bits(kiln_site at, kiln_operand words, int shift)
{
    return OP2(cast, OP2(shr, words, kiln_of_i(shift)), KILN_F64);
}

/* Draws count numbers in [0, 1), of f32 (24 bits each) or f64 (53 bits: 27 of one word, 26 of another). */
static kiln_operand unit(Thread *t, kiln_site at, const Draw *from, DType d, Dim count)
{
    kiln_tensor *bits = draw_bits(t, at, from, (Dim[]){d == DT_f64 ? 2 * count : count}, 1);
    if (!tensor_ok(bits)) return of(bits);
    if (d != DT_f64) return unit_f32(at, bits);
    kiln_operand high = top_bits(at, of(slice_axis(t, at, bits, 0, 0, count)), 5);
    kiln_operand low = top_bits(at, of(slice_axis(t, at, bits, 0, count, count)), 6);
    return OP2(mul, OP2(add, OP2(mul, high, kiln_of_f(0x1p26)), low), kiln_of_f(0x1p-53));
}

bool draw_floats(Thread *t, kiln_site at, const char *op, kiln_dtype d, const kiln_shape *s, Type *type)
{
    if (!type_from_shape(t, at, op, d, s, type)) return false;
    if (dtype_is_float((DType)d)) return true;
    fail(t, at, KILN_EDTYPE, "%s: needs a float dtype, not %s", op, dtype_info[d].name);
    return false;
}

/* v, rounded to the dtype. */
static double nearest(DType d, double v)
{
    uint64_t bits = 0;
    dtype_store_f64(d, &bits, v);
    return dtype_load_f64(d, &bits);
}

double draw_below(DType d, double v)
{
    uint64_t bits = 0;
    dtype_store_f64(d, &bits, v);
    double r = dtype_load_f64(d, &bits);
    if (r < v) return r;
    if (r == 0)
        bits = (uint64_t)1 << (8 * dtype_bytes(d) - 1) | 1; /* the smallest negative number */
    else
        bits = r > 0 ? bits - 1 : bits + 1;
    return dtype_load_f64(d, &bits);
}

double draw_least(DType d, double v) { return nearest(d, v) < v ? -draw_below(d, -v) : nearest(d, v); }

bool draw_within(Thread *t, kiln_site at, const char *op, const char *what, kiln_dtype d, double v)
{
    if (isfinite(nearest((DType)d, v))) return true;
    fail(t, at, KILN_EVALUE, "%s: %s is %g, %s", op, what, v,
        isfinite(v) ? "beyond the largest number of the dtype" : "which is not a finite number");
    return false;
}

static bool interval_fits(Thread *t, kiln_site at, kiln_dtype d, double lo, double hi)
{
    if (!draw_within(t, at, "uniform", "the lower bound", d, lo) || !draw_within(t, at, "uniform", "the upper bound", d, hi))
        return false;
    if (!(lo < hi) || isinf(hi - lo))
        return fail(t, at, KILN_EVALUE, "uniform: the bounds are %g and %g; the lower must be smaller, and their difference finite",
                   lo, hi),
               false;
    if (draw_below((DType)d, hi) >= draw_least((DType)d, lo)) return true;
    fail(t, at, KILN_EVALUE, "uniform: there is no %s from %.17g to below %.17g", dtype_info[d].name, lo, hi);
    return false;
}

kiln_tensor *draw_shaped(Thread *t, kiln_site at, kiln_operand flat, const Type *type)
{
    kiln_tensor *r = cast_to(t, at, flat.as.tensor, (DType)type->dtype);
    return reshape_to(t, at, r, type->dim, type->rank);
}

static kiln_tensor *uniform(Thread *t, kiln_site at, kiln_operand source, kiln_dtype d, kiln_shape shape, double lo, double hi)
{
    Type type;
    if (!draw_floats(t, at, "uniform", d, &shape, &type)) return &t->k->poison;
    if (!interval_fits(t, at, d, lo, hi)) return &t->k->poison;
    Draw from = draw_begin(t, at, "uniform", source);
    const DType own = (DType)d, wide = (DType)dtype_info[d].compute;
    const double last = wide == DT_f64 ? 1 - 0x1p-53 : 1 - 0x1p-24; /* the largest number that unit draws */
    kiln_operand u = unit(t, at, &from, wide, type_count(&type));
    if (lo != 0 || hi != 1) u = OP2(add, OP2(mul, u, kiln_of_f(hi - lo)), kiln_of_f(lo));
    kiln_tensor *r = draw_shaped(t, at, u, &type);
    /* Rounding may give hi itself, or a number below lo. */
    if (lo != 0 || nearest(own, nearest(wide, nearest(wide, hi) * last)) >= hi)
        r = kiln_min_at(at, of(r), kiln_of_f(draw_below(own, hi)));
    if (nearest(own, nearest(wide, lo)) < lo) r = kiln_max_at(at, of(r), kiln_of_f(draw_least(own, lo)));
    return draw_end(t, at, &from, r);
}

kiln_tensor *kiln_uniform_at(kiln_site at, kiln_variable *g, kiln_dtype d, kiln_shape shape, double lo, double hi)
{
    Thread *t = generator_thread(g);
    if (!t) return NULL;
    if (!is_generator(t, at, "uniform", g)) return &t->k->poison;
    return uniform(t, at, kiln_of_variable(g), d, shape, lo, hi);
}

kiln_tensor *uniform_own(Thread *t, kiln_site at, kiln_dtype d, kiln_shape shape, double lo, double hi)
{
    /* A different stream from that of a user's kiln_generator with the same seed. */
    uint64_t key[2] = {t->k->options.seed + UINT64_C(0x9e3779b97f4a7c15), t->k->own_draws++};
    kiln_tensor *source = kiln_from_at(at, t->k, KILN_U64, KILN_SHAPE(2), key, 2);
    return tensor_ok(source) ? uniform(t, at, of(source), d, shape, lo, hi) : source;
}

kiln_tensor *kiln_normal_at(kiln_site at, kiln_variable *g, kiln_dtype d, kiln_shape shape, double mean, double deviation)
{
    Thread *t = generator_thread(g);
    Type type;
    if (!t) return NULL;
    if (!is_generator(t, at, "normal", g) || !draw_floats(t, at, "normal", d, &shape, &type)) return &t->k->poison;
    if (!draw_within(t, at, "normal", "the mean", d, mean) || !draw_within(t, at, "normal", "the deviation", d, deviation))
        return &t->k->poison;
    if (deviation < 0) return fail(t, at, KILN_EVALUE, "normal: the deviation is %g; it must be 0 or more", deviation);
    Draw from = draw_begin(t, at, "normal", kiln_of_variable(g));
    Dim n = type_count(&type), half = (n + 1) / 2;
    kiln_operand u = unit(t, at, &from, (DType)dtype_info[d].compute, 2 * half);
    if (!tensor_ok(u.as.tensor)) return draw_end(t, at, &from, u.as.tensor);
    kiln_operand first = of(slice_axis(t, at, u.as.tensor, 0, 0, half)), second = of(slice_axis(t, at, u.as.tensor, 0, half, half));
    /* 1 - u is in (0, 1], where the logarithm is finite. */
    kiln_operand radius = OP1(sqrt, OP2(mul, OP1(log, OP2(sub, kiln_of_f(1), first)), kiln_of_f(-2)));
    kiln_operand angle = OP2(mul, second, kiln_of_f(6.28318530717958647693));
    kiln_tensor *both[2] = {kiln_mul_at(at, radius, OP1(cos, angle)), kiln_mul_at(at, radius, OP1(sin, angle))};
    kiln_tensor *z = kiln_concat_at(at, both, 2, 0);
    if (tensor_ok(z) && n != 2 * half) z = slice_axis(t, at, z, 0, 0, n);
    if (mean != 0 || deviation != 1) z = kiln_add_at(at, OP2(mul, of(z), kiln_of_f(deviation)), kiln_of_f(mean));
    return draw_end(t, at, &from, tensor_ok(z) ? draw_shaped(t, at, of(z), &type) : z);
}
