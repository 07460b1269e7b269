/* Rows in which the call itself, or a loop's turn, is the work; and first calls. */
#include "row.h"

static void normals(Bench *b, const int64_t *n) /* count, sizes of two axes */
{
    for (int i = 0; i < n[0]; i++) add_normal(b, KILN_SHAPE(n[1], n[2]));
}

static void scalars(Bench *b, const int64_t *n) /* count: of 1.5, 2.25, ... */
{
    for (int i = 0; i < n[0]; i++) add_input(b, kiln_scalar(b->k, KILN_F32, 1.5 + 0.75 * i));
}

static void powers(Bench *b, const int64_t *n) { add_input(b, draw_stochastic(b, n[0])); }

static void parabola(Bench *b, const int64_t *n) /* (x - 1)^2 */
{
    (void)n;
    const double coefficient[3] = {1, -2, 1};
    for (int i = 0; i < 3; i++) add_input(b, kiln_scalar(b->k, KILN_F32, coefficient[i]));
}

BODY(add_one) { out[0] = kiln_add(in[0], 1.0); }
BODY(add_two) { out[0] = kiln_add(in[0], in[1]); }
BODY(add_four) { out[0] = kiln_add(kiln_add(kiln_add(in[0], in[1]), in[2]), in[3]); }

BODY(power)
{
    const Bench *b = user;
    const int64_t n = b->row->n[0];
    kiln_tensor *row = kiln_iota(k, KILN_I32, KILN_SHAPE(n, n), 0), *column = kiln_iota(k, KILN_I32, KILN_SHAPE(n, n), 1);
    kiln_tensor *y = kiln_cast(kiln_eq(row, column), KILN_F32);
    for (int i = 0; i < b->row->n[1]; i++) y = kiln_matmul(in[0], y);
    out[0] = y;
}

BODY(descent)
{
    const Bench *b = user;
    kiln_variable *x = kiln_local(k, kiln_scalar(k, KILN_F32, 0));
    KILN_FOR(k, i, b->row->n[0]) {
        KILN_TAPE(k, tape);
        kiln_tensor *at = kiln_watch(tape, kiln_value(x));
        kiln_tensor *y = kiln_add(kiln_add(kiln_mul(kiln_mul(in[0], at), at), kiln_mul(in[1], at)), in[2]);
        kiln_assign_sub(x, kiln_mul(0.01, kiln_gradient(tape, y, at)));
    }
    out[0] = kiln_value(x);
}

BODY(long_loop)
{
    const Bench *b = user;
    kiln_variable *x = kiln_local(k, in[0]);
    KILN_FOR(k, i, b->row->n[3]) kiln_assign(x, kiln_add(kiln_mul(x, 0.5), kiln_sin(kiln_cast(i, KILN_F32))));
    out[0] = kiln_value(x);
}

const Row small_rows[] = {
    {"call1", normals, add_one, {1, 2, 2}, 0},
    {"call4", normals, add_four, {4, 2, 2}, 0},
    {"add2x2", normals, add_two, {2, 2, 2}, EAGER},
    {"addscalar", scalars, add_two, {2}, EAGER},
    {"power100", powers, power, {10, 100}, 0},
    {"sgdloop", parabola, descent, {1000}, 0},
    {"first_add", normals, add_one, {1, 2, 2}, ANSWERED},
    {"first_add_compiled", normals, add_one, {1, 2, 2}, COMPILED},
    {"first_add_disk", normals, add_one, {1, 2, 2}, KEPT},
    {"first_loop", normals, long_loop, {1, 2, 4, 100000}, ANSWERED},
    {"first_loop_compiled", normals, long_loop, {1, 2, 4, 100000}, COMPILED},
    {0},
};
