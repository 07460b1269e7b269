/* The shared convolution against the loop that defines it, bit for bit, on every instruction set of this CPU and any number of
 * threads: random geometries with 1 to 3 axes, groups, strides, dilations, spread, padding and cut-off borders, outputs beyond the
 * image, narrow floats, empty extents; chains longer than a run; gradients of filters. */
#include "codegen/contract/contract_parts.h"
#include "model.h"
#include "pool.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

static uint64_t seed = 1;

static int64_t draw(int64_t lo, int64_t hi)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return lo + (int64_t)((seed >> 33) % (uint64_t)(hi - lo + 1));
}

static double load(int type, const void *data, int64_t at)
{
    return dtype_load_f64((DType)type, (const char *)data + at * (int64_t)dtype_bytes((DType)type));
}

static void *filled(int type, int64_t n)
{
    char *data = malloc((size_t)(n + 1) * dtype_bytes((DType)type));
    for (int64_t i = 0; i < n; i++)
        dtype_store_f64((DType)type, data + i * (int64_t)dtype_bytes((DType)type), (double)draw(-(1 << 24), 1 << 24) * 0x1p-24);
    return data;
}

static int64_t product3(const int64_t *v) { return v[0] * v[1] * v[2]; }
static int64_t count_x(const HostConv *c) { return c->n * product3(c->in) * c->groups * c->c; }
static int64_t count_y(const HostConv *c) { return c->n * product3(c->out) * c->groups * c->o; }
static int64_t count_w(const HostConv *c) { return product3(c->taps) * c->c * c->groups * c->o; }

static void split(const int64_t *extent, int64_t at, int64_t *to)
{
    for (int i = 3; i-- > 0; at /= extent[i]) to[i] = at % extent[i];
}

/* Where tap t of the window at position p lies in the image: false if the tap meets a gap; -1: padding. */
static bool meets(const HostConv *c, const int64_t *p, const int64_t *t, int64_t *place)
{
    int64_t at[3];
    bool inside = true;
    for (int i = 0; i < 3; i++) {
        at[i] = p[i] * c->stride[i] + t[i] * c->dilation[i] - c->low[i];
        if (at[i] % c->spread[i] != 0) return false;
        at[i] /= c->spread[i];
        inside = inside && at[i] >= 0 && at[i] < c->in[i];
    }
    *place = inside ? (at[0] * c->in[1] + at[1]) * c->in[2] + at[2] : -1;
    return true;
}

static Scalar of(double v) { return (Scalar){.f = v}; }

/* Element `at` of y. */
static double of_y(const HostConv *c, int64_t at, Scalar *a, Scalar *b)
{
    int64_t o = at % c->o, g = at / c->o % c->groups, p[3], t[3], place, n = 0, position = at / c->o / c->groups;
    int64_t image = position / product3(c->out);
    split(c->out, position % product3(c->out), p);
    for (int64_t tap = 0; tap < product3(c->taps); tap++) {
        split(c->taps, tap, t);
        if (!meets(c, p, t, &place)) continue;
        for (int64_t i = 0; i < c->c; i++, n++) {
            a[n] = of(place < 0 ? 0 : load(c->type, c->x, ((image * product3(c->in) + place) * c->groups + g) * c->c + i));
            b[n] = of(load(c->type, c->with, ((tap * c->c + i) * c->groups + g) * c->o + o));
        }
    }
    return model_product((DType)dtype_info[c->type].compute, a, b, n).f;
}

static double of_filters(const HostConv *c, int64_t at, Scalar *a, Scalar *b)
{
    int64_t o = at % c->o, g = at / c->o % c->groups, i = at / c->o / c->groups % c->c, tap = at / c->o / c->groups / c->c;
    int64_t p[3], t[3], place = -1, n = 0, out = product3(c->out);
    split(c->taps, tap, t);
    for (int64_t position = 0; position < c->n * out; position++, n++) {
        split(c->out, position % out, p);
        meets(c, p, t, &place);
        int64_t x = ((position / out * product3(c->in) + place) * c->groups + g) * c->c + i;
        a[n] = of(place < 0 ? 0 : load(c->type, c->x, x));
        b[n] = of(load(c->type, c->with, (position * c->groups + g) * c->o + o));
    }
    return model_product((DType)dtype_info[c->type].compute, a, b, n).f;
}

static void text_of(const HostConv *c, char *to, size_t n)
{
    snprintf(to, n, "%s %s n%d g%d c%d o%d in %d,%d,%d taps %d,%d,%d out %d,%d,%d stride %d,%d,%d dilation %d,%d,%d spread %d,%d,%d low %d,%d,%d",
        dtype_info[c->type].name, c->filters ? "filters" : "y", (int)c->n, (int)c->groups, (int)c->c, (int)c->o, (int)c->in[0],
        (int)c->in[1], (int)c->in[2], (int)c->taps[0], (int)c->taps[1], (int)c->taps[2], (int)c->out[0], (int)c->out[1], (int)c->out[2],
        (int)c->stride[0], (int)c->stride[1], (int)c->stride[2], (int)c->dilation[0], (int)c->dilation[1], (int)c->dilation[2],
        (int)c->spread[0], (int)c->spread[1], (int)c->spread[2], (int)c->low[0], (int)c->low[1], (int)c->low[2]);
}

static void run(ThreadPool *pool, HostConv *c, void *to)
{
    Status st = {0};
    c->to = to;
    if (!contract_convolve(pool, c, &st)) fail_msg("%s", st.text);
}

/* Fills in operands, and holds all tiers and threads against the definition. */
static void check(HostConv c)
{
    char text[400];
    size_t bytes = dtype_bytes((DType)c.type);
    int64_t made = c.filters ? count_w(&c) : count_y(&c), links = c.filters ? c.n * product3(c.out) : product3(c.taps) * c.c;
    int tiers;
    const ContractTier *const *tier = contract_tiers(&tiers);
    void *x = filled(c.type, count_x(&c)), *with = filled(c.type, c.filters ? count_y(&c) : count_w(&c));
    char *got = malloc((size_t)made * bytes + 8);
    Scalar *a = malloc((size_t)(links + 1) * sizeof *a), *b = malloc((size_t)(links + 1) * sizeof *b);
    char *want = malloc((size_t)made * bytes + 8);
    c.x = x;
    c.with = with;
    text_of(&c, text, sizeof text);
    int64_t step = made * links > 1 << 22 ? 37 : 1;
    for (int64_t at = 0; at < made; at += step) {
        uint64_t rounded = 0;
        dtype_store_f64((DType)c.type, &rounded, c.filters ? of_filters(&c, at, a, b) : of_y(&c, at, a, b));
        memcpy(want + (size_t)at * bytes, &rounded, bytes);
    }
    for (int i = 0; i < tiers * 2; i++) {
        contract_use_tier(tier[i / 2]);
        memset(got, 0x55, (size_t)made * bytes);
        run(i % 2 ? threads : NULL, &c, got);
        for (int64_t at = 0; at < made; at += step)
            if (memcmp(got + (size_t)at * bytes, want + (size_t)at * bytes, bytes) != 0)
                fail_msg("%s: tier %d, %s: element %d is %a, not %a", text, i / 2, i % 2 ? "threads" : "alone", (int)at,
                    load(c.type, got, at), load(c.type, want, at));
    }
    contract_use_tier(NULL);
    free(x);
    free(with);
    free(got);
    free(want);
    free(a);
    free(b);
}

static HostConv plane(int64_t n, int64_t h, int64_t w, int64_t c, int64_t taps, int64_t o)
{
    HostConv v = {.type = DT_f32, .n = n, .groups = 1, .c = c, .o = o, .in = {1, h, w}, .taps = {1, taps, taps}};
    for (int i = 0; i < 3; i++) {
        v.stride[i] = v.dilation[i] = v.spread[i] = 1;
        v.out[i] = v.in[i];
        v.low[i] = v.taps[i] / 2;
    }
    return v;
}

static void random_geometries(void **state)
{
    (void)state;
    for (int round = 0; round < 1500; round++) {
        int axes = (int)draw(1, 3), kind = (int)draw(0, 3), grouped = (int)draw(0, 3);
        HostConv c = {.type = (int32_t)draw(DT_f16, DT_f64), .filters = draw(0, 2) == 0, .n = draw(1, 3)};
        c.groups = grouped == 0 ? draw(2, 40) : 1;
        c.c = grouped == 0 && draw(0, 1) ? 1 : draw(1, 9);
        c.o = grouped == 0 && c.c == 1 ? draw(1, 2) : draw(1, 40);
        for (int i = 0; i < 3; i++) {
            bool there = i >= 3 - axes;
            c.in[i] = there ? draw(1, 11) : 1;
            c.taps[i] = there ? draw(1, 4) : 1;
            c.stride[i] = there && kind == 0 ? draw(1, 3) : 1;
            c.spread[i] = there && kind == 1 && !c.filters ? draw(1, 4) : 1;
            c.dilation[i] = there && draw(0, 2) == 0 ? draw(1, 4) : 1;
            c.low[i] = there ? draw(-3, 4) : 0;
            c.out[i] = there ? draw(1, 12) : 1;
            if (kind == 3) c.low[i] = 0, c.out[i] = MAX_OF(c.in[i] - (c.taps[i] - 1) * c.dilation[i], 1);
        }
        check(c);
    }
}

static void usual_shapes(void **state)
{
    (void)state;
    for (int filters = 0; filters < 2; filters++)
        for (int type = DT_f32; type <= DT_f64; type++) {
            HostConv c[] = {plane(2, 28, 28, 1, 3, 32), plane(3, 12, 14, 40, 3, 70), plane(2, 7, 7, 130, 3, 140), plane(1, 30, 33, 3, 7, 64),
                plane(2, 9, 9, 24, 1, 48), plane(1, 1, 3000, 4, 1, 20), plane(1, 20, 1500, 2, 3, 5), plane(2, 3, 3, 1000, 3, 6)};
            c[3].stride[1] = c[3].stride[2] = 2;
            c[3].out[1] = 15, c[3].out[2] = 17;
            c[4].stride[1] = c[4].stride[2] = 2;
            c[4].out[1] = c[4].out[2] = 5;
            c[5].taps[2] = 9, c[5].low[2] = 8;
            for (size_t i = 0; i < COUNT_OF(c); i++) {
                c[i].type = type;
                c[i].filters = filters;
                check(c[i]);
            }
            HostConv grouped = plane(1, 13, 13, 240, 3, 240); /* filters much larger than images: pieces go strip by strip */
            grouped.type = type;
            grouped.filters = filters;
            grouped.groups = 2;
            check(grouped);
            HostConv apart = plane(2, 14, 15, 1, 3, 1);
            apart.type = type;
            apart.filters = filters;
            apart.groups = 150;
            check(apart);
        }
}

/* Channels apart: lines of a few tiles and what is left of one, of whole vectors and columns that fill none; windows inside of the
 * image and across its borders, side by side, with gaps and far from each other; more taps than a chain has links. */
static void channels_apart(void **state)
{
    (void)state;
    for (int round = 0; round < 320; round++) {
        HostConv c = plane(draw(1, 2), draw(1, 9), round % 40 + 1, 1, 1, 1);
        c.type = (int32_t)draw(DT_f32, DT_f64);
        c.filters = draw(0, 4) == 0;
        c.groups = draw(2, 50);
        for (int i = 1; i < 3; i++) {
            c.taps[i] = draw(1, i == 2 ? 7 : 4);
            c.stride[i] = draw(0, 1) ? 1 : draw(1, 3);
            c.dilation[i] = draw(0, 1) ? 1 : draw(1, 3);
            c.low[i] = draw(-3, 6);
            c.out[i] = MAX_OF((c.in[i] + c.low[i] - (c.taps[i] - 1) * c.dilation[i]) / c.stride[i] + draw(0, 4), 1);
        }
        check(c);
    }
    HostConv many = plane(1, 14, 30, 1, 13, 1);
    many.groups = 37;
    check(many);
}

/* Chains of several runs, of taps and of positions, which threads share. */
static void long_chains(void **state)
{
    (void)state;
    HostConv c = plane(1, 4, 5, 1100, 3, 3), f = plane(3, 90, 100, 2, 3, 5), one = plane(2, 1, 20000, 3, 1, 2);
    check(c);
    f.filters = 1;
    check(f);
    one.filters = 1;
    one.taps[2] = 5, one.low[2] = 2;
    check(one);
}

static void nothing_there(void **state)
{
    (void)state;
    HostConv c = plane(2, 4, 5, 3, 3, 4);
    float *to = malloc((size_t)count_y(&c) * sizeof *to), *w = filled(DT_f32, count_w(&c));
    memset(to, 0x55, (size_t)count_y(&c) * sizeof *to);
    c.c = 0;
    c.x = c.with = w;
    run(NULL, &c, to);
    for (int64_t i = 0; i < count_y(&c); i++) assert_true(to[i] == 0);
    c.c = 3;
    c.filters = 1;
    c.n = 0;
    memset(w, 0x55, (size_t)count_w(&c) * sizeof *w);
    run(NULL, &c, w);
    for (int64_t i = 0; i < count_w(&c); i++) assert_true(w[i] == 0);
    Status st = {0};
    c = plane(1, 4, 4, 1, 3, 1);
    c.x = c.with = c.to = to;
    c.dilation[2] = (int64_t)1 << 61;
    assert_false(contract_convolve(NULL, &c, &st));
    assert_int_equal(st.code, ST_UNSUPPORTED);
    free(to);
    free(w);
}

/* Attributes as large as the ops take them. */
static void far_out(void **state)
{
    (void)state;
    const int64_t far = (int64_t)1 << 48;
    float x[64] = {0};
    Status st = {0};
    HostConv c = plane(1, 2, 1, 3, 2, 4); /* phases are as many as elements, not as the spread says */
    c.spread[1] = c.in[1] = 1;
    c.spread[2] = far, c.out[2] = 7, c.low[2] = 2;
    check(c);
    c.spread[2] = (int64_t)1 << 40, c.dilation[2] = (int64_t)1 << 30, c.low[2] = 5;
    check(c);
    c.spread[2] = 6 << 20, c.dilation[2] = 4, c.in[2] = 3, c.out[2] = 20, c.low[2] = 8;
    check(c);
    c = plane(2, 1, 4, 3, 1, 5); /* one tap, however far the next would be */
    c.dilation[1] = c.dilation[2] = far;
    c.low[2] = -far;
    check(c);
    c.low[2] = far;
    check(c);
    c.low[2] = 1, c.stride[1] = far, c.stride[2] = 1 << 20;
    check(c);
    c = plane(1, 4, 4, 1, 1, 1); /* bytes between two places of a copy are counted with care */
    c.x = c.with = c.to = x;
    c.out[1] = c.out[2] = 2;
    c.stride[1] = c.stride[2] = (int64_t)1 << 31;
    assert_false(contract_convolve(NULL, &c, &st));
    assert_int_equal(st.code, ST_UNSUPPORTED);
    c = plane(1, 2, 2, 0, 3, 4); /* taps without channels */
    c.x = c.with = x;
    c.taps[0] = c.taps[1] = c.taps[2] = far;
    float y[16];
    memset(y, 0x55, sizeof y);
    run(NULL, &c, y);
    for (int i = 0; i < 16; i++) assert_true(y[i] == 0);
    c.filters = 1;
    run(NULL, &c, y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_geometries),
        cmocka_unit_test(usual_shapes),
        cmocka_unit_test(channels_apart),
        cmocka_unit_test(long_chains),
        cmocka_unit_test(nothing_there),
        cmocka_unit_test(far_out),
    };
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
