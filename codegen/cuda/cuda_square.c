/* cuda_square: kernels whose results go along one axis and some of whose operands lie along another. A block takes 32 x 32 points
 * of both axes: its warps load what lies the other way row by row, and read it from shared memory column by column. Relies on
 * print.h. */
#include "print.h"

static bool is_empty(const Print *c)
{
    int64_t n;
    for (uint32_t a = 0; a < c->k->naxis; a++)
        if (cuda_dim_const(c->p, c->k->extent[a], &n) && n == 0) return true;
    return false;
}

static bool is_other(const Kernel *k, uint32_t axis) { return (int)axis != k->vector && (int)axis != k->turn; }

/* How many squares there are, and which this one is. */
static void open_squares(Print *c, const char *t)
{
    const Kernel *k = c->k;
    const char *n = "across * down";
    cuda_line(c, "const u32 x = threadIdx.x %% %du, y = threadIdx.x / %du;", CUDA_SQUARE, CUDA_SQUARE);
    cuda_line(c, "const %s across = %s((%s + %d) / %d);", t, t, cuda_dim(c, k->extent[k->vector]), CUDA_SQUARE - 1, CUDA_SQUARE);
    cuda_line(c, "const %s down = %s((%s + %d) / %d);", t, t, cuda_dim(c, k->extent[k->turn]), CUDA_SQUARE - 1, CUDA_SQUARE);
    for (uint32_t a = 0; a < k->naxis; a++)
        if (is_other(k, a)) n = arena_printf(c->arena, "%s * %s(%s)", n, t, cuda_dim(c, k->extent[a]));
    cuda_line(c, "const %s squares = %s;", t, n);
    cuda_open(c, "for (%s number = blockIdx.x; number < squares; number += gridDim.x)", t);
    cuda_line(
        c, "const i64 column = i64(number %% across) * %d, top = i64(number / across %% down) * %d;", CUDA_SQUARE, CUDA_SQUARE);
    if (k->naxis > 2) cuda_line(c, "%s rest = number / (across * down);", t);
    for (uint32_t a = k->naxis; a-- > 0;) {
        if (!is_other(k, a)) continue;
        const char *extent = cuda_dim(c, k->extent[a]);
        if (cuda_uses_axis(k, a)) cuda_line(c, "const i64 i%u = rest %% %s(%s);", a, t, extent);
        cuda_line(c, "rest /= %s(%s);", t, extent);
    }
}

/* Goes through the square's points: lanes lie along one axis, warps along the other. */
static void open_points(Print *c, int lanes, const char *lanes_from, int warps, const char *warps_from)
{
    const Kernel *k = c->k;
    cuda_open(c, "for (u32 row = y; row < %uu; row += %uu)", CUDA_SQUARE, CUDA_BLOCK / CUDA_SQUARE);
    cuda_line(c, "const i64 i%d = %s + x, i%d = %s + row;", lanes, lanes_from, warps, warps_from);
    cuda_open(c, "if (i%d < %s && i%d < %s)", lanes, cuda_dim(c, k->extent[lanes]), warps, cuda_dim(c, k->extent[warps]));
}

static void close_points(Print *c)
{
    cuda_close(c);
    cuda_close(c);
}

void cuda_square_body(Print *c)
{
    const Kernel *k = c->k;
    if (is_empty(c)) return;
    for (uint32_t i = 0; i < k->nstream; i++)
        if (cuda_is_turned(k, &k->stream[i], &c->shape))
            cuda_line(
                c, "__shared__ %s square%u[%d][%d];", cuda_memory_type((DType)k->stream[i].type), i, CUDA_SQUARE, CUDA_SQUARE + 1);
    open_squares(c, cuda_fits_32(c) ? "u32" : "i64");
    open_points(c, k->turn, "top", k->vector, "column");
    for (uint32_t i = 0; i < k->nstream; i++) {
        const Stream *s = &k->stream[i];
        if (cuda_is_turned(k, s, &c->shape)) cuda_line(c, "square%u[row][x] = %s[%s];", i, cuda_buffer(c, s), cuda_offset(c, s));
    }
    close_points(c);
    cuda_line(c, "__syncthreads();");
    open_points(c, k->vector, "column", k->turn, "top");
    for (uint32_t i = 0; i < k->nstage; i++) {
        cuda_instrs(c, &k->stage[i], false);
        cuda_stores(c, &k->stage[i]);
    }
    close_points(c);
    cuda_line(c, "__syncthreads();"); /* the next square comes where this one is */
    cuda_close(c);
}
