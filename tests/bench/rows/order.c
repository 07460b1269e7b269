/* Rows of the operations that numerical programs are made of: sorts, running sums, indices, transforms, matrices, f64 functions. */
#include <kiln/fft.h>
#include <kiln/linalg.h>

#include "row.h"

static void distinct(Bench *b, const int64_t *n) /* one size, or rows and columns, no two elements of which are equal */
{
    add_input(b, draw_distinct(b, n[1] ? KILN_SHAPE(n[0], n[1]) : KILN_SHAPE(n[0])));
}

static void largest(Bench *b, const int64_t *n) /* rows, columns, count */
{
    distinct(b, n);
    b->outputs = 2;
}

static void numbers(Bench *b, const int64_t *n) /* up to three sizes, the last of which may be 2: of complex numbers */
{
    add_normal(b, n[2] ? KILN_SHAPE(n[0], n[1], n[2]) : n[1] ? KILN_SHAPE(n[0], n[1]) : KILN_SHAPE(n[0]));
}

static void indexed(Bench *b, const int64_t *n) /* rows of a table, its columns or 0, indices */
{
    add_normal(b, n[1] ? KILN_SHAPE(n[0], n[1]) : KILN_SHAPE(n[0]));
    add_input(b, draw_labels(b, n[2], (uint32_t)n[0]));
}

static void scattered(Bench *b, const int64_t *n)
{
    indexed(b, n);
    add_normal(b, KILN_SHAPE(n[2]));
}

static void classes(Bench *b, const int64_t *n) /* how many, of so many */
{
    add_input(b, draw_labels(b, n[0], (uint32_t)n[1]));
}

static void matrices(Bench *b, const int64_t *n) /* how many, rows, columns of a right-hand side or 0 */
{
    add_input(b, draw_definite(b, n[0], n[1]));
    if (n[2]) add_normal(b, n[0] > 1 ? KILN_SHAPE(n[0], n[1], n[2]) : KILN_SHAPE(n[1], n[2]));
}

BODY(sort) { out[0] = kiln_sort(in[0], -1, 0); }
BODY(argsort) { out[0] = kiln_argsort(in[0], -1, 0); }
BODY(top_k) { out[0] = kiln_top_k(in[0], ((const Bench *)user)->row->n[2], -1, &out[1]); }
BODY(cumsum_columns) { out[0] = kiln_cumsum(in[0], 0, 0); }
BODY(cumsum_rows) { out[0] = kiln_cumsum(in[0], 1, 0); }
BODY(cummax_rows) { out[0] = kiln_cummax(in[0], 1, 0, NULL); }
BODY(median_rows) { out[0] = kiln_median(in[0], KILN_AXES(1)); }
BODY(bincount) { out[0] = kiln_bincount(in[0], ((const Bench *)user)->row->n[1], NULL); }
BODY(scatter_add) { out[0] = kiln_scatter(in[0], in[1], in[2], 0, KILN_SCATTER_ADD); }
BODY(gather_rows) { out[0] = kiln_gather(in[0], in[1], 0); }
BODY(fft) { out[0] = kiln_fft(in[0], 0, -1, KILN_FFT_BACKWARD); }
BODY(fft_plane) { out[0] = kiln_fftn(in[0], KILN_SHAPE(), KILN_ALL, KILN_FFT_BACKWARD); }
BODY(cholesky) { out[0] = kiln_cholesky(in[0]); }
BODY(solve) { out[0] = kiln_solve(in[0], in[1]); }
BODY(exponential) { out[0] = kiln_exp(in[0]); }
BODY(sine) { out[0] = kiln_sin(in[0]); }

const Row order_rows[] = {
    {"sort1m", distinct, sort, {MI}, 0},
    {"argsort1m", distinct, argsort, {MI}, 0},
    {"sort_rows", distinct, sort, {4096, 256}, 0},
    {"argsort_rows", distinct, argsort, {4096, 256}, 0},
    {"top_k", largest, top_k, {4096, 1024, 10}, 0},
    {"cumsum0", numbers, cumsum_columns, {4096, 1024}, 0},
    {"cumsum1", numbers, cumsum_rows, {4096, 1024}, 0},
    {"cummax1", numbers, cummax_rows, {1024, 1024}, 0},
    {"cummax1_eager", numbers, cummax_rows, {1024, 1024}, EAGER},
    {"median1", numbers, median_rows, {1024, 1024}, 0},
    {"bincount", classes, bincount, {MI, 1024}, 0},
    {"bincount_eager", classes, bincount, {MI, 1024}, EAGER},
    {"scatter_add", scattered, scatter_add, {10000, 0, MI}, 0},
    {"gather_rows", indexed, gather_rows, {50257, 256, 16384}, 0},
    {"fft64k", numbers, fft, {65536, 2}, 0},
    {"fft_plane", numbers, fft_plane, {1024, 1024, 2}, 0},
    {"cholesky512", matrices, cholesky, {1, 512}, 0},
    {"cholesky8", matrices, cholesky, {10000, 8}, 0},
    {"solve512", matrices, solve, {1, 512, 64}, 0},
    {"solve8", matrices, solve, {10000, 8, 1}, 0},
    {"exp1m_f64", numbers, exponential, {MI}, F64},
    {"sin1m_f64", numbers, sine, {MI}, F64},
    {0},
};
