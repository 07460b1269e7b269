/* Rows that are products of matrices. */
#include "row.h"

static void matrices(Bench *b, const int64_t *n) /* m, n, k, batch */
{
    add_normal(b, n[3] ? KILN_SHAPE(n[3], n[0], n[2]) : KILN_SHAPE(n[0], n[2]));
    add_normal(b, n[3] ? KILN_SHAPE(n[3], n[2], n[1]) : KILN_SHAPE(n[2], n[1]));
}

static void vectors(Bench *b, const int64_t *n)
{
    for (int i = 0; i < 2; i++) add_normal(b, KILN_SHAPE(n[0]));
}

static void narrow(Bench *b, const int64_t *n)
{
    for (int i = 0; i < 2; i++) add_input(b, kiln_cast(draw_normal(b, KILN_SHAPE(n[0], n[0]), 1, 0), KILN_BF16));
}

static void whole(Bench *b, const int64_t *n)
{
    for (int i = 0; i < 2; i++) add_input(b, draw_whole(b, KILN_SHAPE(n[0], n[0])));
}

static void stochastic(Bench *b, const int64_t *n) { add_input(b, draw_stochastic(b, n[0])); }

BODY(product) { out[0] = kiln_matmul(in[0], in[1]); }
BODY(product_i32) { out[0] = kiln_matmul_to(in[0], in[1], KILN_I32); }

BODY(squares)
{
    const Bench *b = user;
    kiln_tensor *x = in[0];
    for (int i = 0; i < b->row->n[1]; i++) x = kiln_matmul(x, x);
    out[0] = x;
}

const Row product_rows[] = {
    {"mm64", matrices, product, {64, 64, 64}, 0},
    {"mm128", matrices, product, {128, 128, 128}, 0},
    {"mm256", matrices, product, {256, 256, 256}, 0},
    {"mm512", matrices, product, {512, 512, 512}, 0},
    {"mm1024", matrices, product, {1024, 1024, 1024}, 0},
    {"mmchain", stochastic, squares, {1000, 20}, 0},
    {"bmm", matrices, product, {32, 32, 32, 512}, 0},
    {"skinny", matrices, product, {64, 128, 784}, 0},
    {"gemv", matrices, product, {1, 4096, 4096}, 0},
    {"tall", matrices, product, {4096, 4096, 64}, 0},
    {"dot4m", vectors, product, {4 * MI}, 0},
    {"mm512_f64", matrices, product, {512, 512, 512}, F64},
    {"mm512_bf16", narrow, product, {512}, 0},
    {"mm512_i8", whole, product_i32, {512}, 0},
    {0},
};
