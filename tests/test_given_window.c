/* test_given_window: pooling and windows (window.h) against torch's and ONNX Runtime's (tests/given/window.py). */
#include "given.h"

/* The options that stand in a case's numbers from i on (windows in window.py). */
static kiln_pooling options(const Given *g, int i)
{
    kiln_pooling w = {0};
    const int n = I(i++);
    for (int a = 0; a < n; a++) {
        w.size[a] = I(i + a), w.stride[a] = I(i + n + a), w.dilation[a] = I(i + 2 * n + a);
        w.pad[a][0] = I(i + 3 * n + a), w.pad[a][1] = I(i + 4 * n + a);
    }
    i += 5 * n;
    w.same = I(i) == 1, w.same_lower = I(i) == 2, w.ceil = I(i + 1), w.count_pad = I(i + 2), w.channels_first = I(i + 3);
    w.divisor = I(i + 4), w.p = N(i + 5);
    return w;
}
#define WITH(i) &(kiln_pooling[]){options(g, i)}[0]

static kiln_shape sizes(const Given *g, int i)
{
    kiln_shape s = KILN_SHAPE();
    for (s.rank = I(i); s.rank > 0 && i < GIVEN_NUMBERS - 4; s.rank--) s.size[s.rank] = I(i + (int)s.rank);
    s.rank = I(i);
    return s;
}

GIVEN(pool, kiln_pool(X(0), I(0), WITH(1)))
GIVEN(pool_smooth, kiln_pool(X(0), I(0), WITH(1)))
GIVEN(pool_lp, kiln_pool(X(0), I(0), WITH(1)))
static void pool_indices(const Given *g, kiln_tensor **out) { out[0] = kiln_pool_indices(X(0), &out[1], I(0), WITH(1)); }
GIVEN(unpool, kiln_unpool(X(0), X(1), I(0), sizes(g, 2), I(1)))
GIVEN(pool_adaptive, kiln_pool_adaptive(X(0), I(0), sizes(g, 3), N(1), I(2)))
GIVEN(pool_adaptive_smooth, kiln_pool_adaptive(X(0), I(0), sizes(g, 3), N(1), I(2)))
static void pool_adaptive_indices(const Given *g, kiln_tensor **out)
{
    out[0] = kiln_pool_adaptive_indices(X(0), &out[1], I(0), sizes(g, 2), I(1));
}
GIVEN(unfold, kiln_unfold(X(0), WITH(0)))

static void fold(const Given *g, kiln_tensor **out)
{
    kiln_shape s = {.rank = I(3), .size = {0, I(0), I(1), I(2)}};
    out[0] = kiln_fold(X(0), s, WITH(3));
}

/* a height that is the first axis' size */
#define TALL kiln_reshape(X(0), KILN_SHAPE(1, 1, -1, 5))
GIVEN(tall, kiln_pool(TALL, I(0), WITH(1)))
GIVEN(tall_smooth, kiln_pool(TALL, I(0), WITH(1)))
GIVEN(tall_unfold, kiln_unfold(TALL, WITH(0)))
GIVEN(tall_global, kiln_pool_adaptive(TALL, KILN_POOL_AVERAGE, KILN_SHAPE(1, 1), 0, true))
static void tall_indices(const Given *g, kiln_tensor **out) { out[0] = kiln_pool_indices(TALL, &out[1], I(0), WITH(1)); }

#define LOWER &(kiln_convolution){.stride = {I(0), I(1)}, .dilation = {I(2), I(3)}, .same_lower = true, .channels_first = true}
GIVEN(same_lower, kiln_convolve(X(0), X(1), LOWER))
GIVEN(same_lower_transposed, kiln_convolve_transposed(X(0), X(1), LOWER))

static const GivenRow rows[] = {ROW(pool, 0, GIVEN_GRAD), ROW(pool_smooth, 2, GIVEN_GRAD), ROW(pool_lp, 4, GIVEN_GRAD), ROW(pool_indices, 0, GIVEN_GRAD),
    ROW(unpool, 0, GIVEN_GRAD | GIVEN_BATCH), ROW(pool_adaptive, 0, GIVEN_GRAD), ROW(pool_adaptive_smooth, 4, GIVEN_GRAD),
    ROW(pool_adaptive_indices, 0, GIVEN_GRAD), ROW(unfold, 0, GIVEN_GRAD), ROW(fold, 0, GIVEN_GRAD), ROW(tall, 0, GIVEN_GRAD),
    ROW(tall_smooth, 2, GIVEN_GRAD), ROW(tall_unfold, 0, GIVEN_GRAD), ROW(tall_global, 2, GIVEN_GRAD), ROW(tall_indices, 0, 0),
    ROW(same_lower, 0, GIVEN_GRAD), ROW(same_lower_transposed, 0, GIVEN_GRAD)};

GIVEN_MAIN("window", rows)
