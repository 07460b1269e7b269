/* Convolutions as users call them, over one to three axes: every element against the loops that define it, bit for bit, in eager code, in
 * compiled code that calls the shared kernels and in code that has products instead; so are their transposed twins and first and second
 * gradients. Sizes that only a call knows; channels first; what is refused. (Gradients against differences: test_gradients.) */
#include "conv_model.h"
#include "front.h"
#include "ir/scalar.h"
#include "values.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#define S KILN_SHAPE

static uint64_t seed = 1;

static int64_t draw(int64_t lo, int64_t hi)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return lo + (int64_t)((seed >> 33) % (uint64_t)(hi - lo + 1));
}

static bool compiles(void)
{
    static int known;
    if (!known) known = 1 + front_has_llvm();
    return known == 2;
}

typedef struct Case {
    kiln_convolution o;
    kiln_dtype t;
    int space;
    bool transposed, special;
    int64_t n, in[3], taps[3], groups, c, o_each; /* channels that go into a group, and that come out */
} Case;

static Case drawn(void)
{
    static const kiln_dtype types[] = {KILN_F32, KILN_F32, KILN_F32, KILN_F64, KILN_BF16, KILN_F16};
    Case x = {.t = types[draw(0, 5)], .space = (int)draw(1, 3), .transposed = draw(0, 1), .special = draw(0, 5) == 0, .n = draw(0, 12) ? draw(1, 3) : 0,
        .groups = draw(0, 2) ? 1 : draw(2, 3), .c = draw(0, 9) ? draw(1, 4) : draw(30, 70), .o_each = draw(1, 5)};
    x.o.groups = x.groups;
    x.o.same = draw(0, 4) == 0;
    if (draw(0, 5) == 0) x.groups = x.o.groups = draw(2, 9), x.c = x.o_each = 1; /* depthwise */
    for (int i = 0; i < x.space; i++) {
        x.in[i] = draw(1, 7);
        x.taps[i] = draw(1, 4);
        x.o.stride[i] = draw(0, 3);
        x.o.dilation[i] = draw(0, 3);
        const int64_t s = x.o.stride[i] ? x.o.stride[i] : 1, covered = (x.taps[i] - 1) * (x.o.dilation[i] ? x.o.dilation[i] : 1) + 1;
        for (int side = 0; side < 2; side++) x.o.pad[i][side] = draw(0, 3);
        if (x.transposed) { /* the result has at least one element */
            x.o.output_pad[i] = draw(0, s - 1);
            while ((x.in[i] - 1) * s + covered + x.o.output_pad[i] - x.o.pad[i][0] - x.o.pad[i][1] < 1) x.o.pad[i][draw(0, 1)] /= 2;
        } else {
            x.in[i] = x.o.same ? x.in[i] : x.in[i] + (covered > x.in[i] ? covered - x.in[i] : 0);
        }
    }
    return x;
}

/* The question that the model is asked; w: how the filters lie for it. */
static HostConv question(const Case *x)
{
    HostConv q = {.type = (int32_t)x->t, .n = x->n, .groups = x->groups, .c = x->c, .o = x->o_each};
    for (int j = 0; j < 3; j++) {
        const int i = j - (3 - x->space);
        q.in[j] = q.taps[j] = q.out[j] = q.stride[j] = q.dilation[j] = q.spread[j] = 1;
        if (i < 0) continue;
        const int64_t s = x->o.stride[i] ? x->o.stride[i] : 1, d = x->o.dilation[i] ? x->o.dilation[i] : 1, covered = (x->taps[i] - 1) * d + 1;
        int64_t low = x->o.pad[i][0], high = x->o.pad[i][1], out = (x->in[i] + low + high - covered) / s + 1;
        if (x->o.same) {
            out = (x->in[i] + s - 1) / s;
            low = (out - 1) * s + covered > x->in[i] ? ((out - 1) * s + covered - x->in[i]) / 2 : 0;
        }
        if (x->transposed) {
            out = x->o.same ? x->in[i] * s : (x->in[i] - 1) * s - low - high + covered + x->o.output_pad[i];
            low = covered - 1 - (x->o.same ? (covered > s ? (covered - s) / 2 : 0) : low);
        }
        q.in[j] = x->in[i], q.taps[j] = x->taps[i], q.out[j] = out, q.dilation[j] = d, q.low[j] = low;
        *(x->transposed ? &q.spread[j] : &q.stride[j]) = s;
    }
    return q;
}

static int64_t product3(const int64_t *v) { return v[0] * v[1] * v[2]; }

static kiln_tensor *filled(kiln_dtype t, int rank, const int64_t *dim, bool special)
{
    kiln_shape s = {.rank = rank};
    int64_t count = 1;
    for (int i = 0; i < rank; i++) count *= s.size[i + 1] = dim[i];
    char *at = malloc((size_t)(count + 1) * 8);
    for (int64_t i = 0; i < count; i++)
        dtype_store_f64((DType)t, at + i * (int64_t)dtype_bytes((DType)t), special && draw(0, 40) == 0 ? (draw(0, 1) ? INFINITY : NAN) : (double)draw(-99, 99) / 32);
    kiln_tensor *x = kiln_from(k, t, s, at, count);
    free(at);
    return x;
}

/* Filters as the model of the transposed convolution takes them: the taps backwards, and of each group its two channels exchanged. */
static void turn(const Case *x, const char *from, char *to)
{
    const int64_t size = (int64_t)dtype_bytes((DType)x->t), taps = x->space == 1 ? x->taps[0] : x->space == 2 ? x->taps[0] * x->taps[1] : product3(x->taps);
    for (int64_t t = 0; t < taps; t++)
        for (int64_t g = 0; g < x->groups; g++)
            for (int64_t c = 0; c < x->c; c++)
                for (int64_t o = 0; o < x->o_each; o++)
                    memcpy(to + (((taps - 1 - t) * x->c + c) * x->groups * x->o_each + g * x->o_each + o) * size,
                        from + ((t * x->o_each + o) * x->groups * x->c + g * x->c + c) * size, (size_t)size);
}

static kiln_tensor *called(const Case *x, kiln_tensor *image, kiln_tensor *w)
{
    return x->transposed ? kiln_convolve_transposed(image, w, &x->o) : kiln_convolve(image, w, &x->o);
}

static void forward(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e;
    out[0] = called(user, in[0], in[1]);
}

/* The result, first gradients, and gradients of these: all that the ops are closed under. */
static void twice(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    KILN_TAPE(e, outer);
    kiln_watch(outer, in[0]);
    kiln_watch(outer, in[1]);
    kiln_tensor *y, *d[2];
    {
        KILN_TAPE(e, tape);
        kiln_watch(tape, in[0]);
        kiln_watch(tape, in[1]);
        y = called(user, in[0], in[1]);
        kiln_gradients(tape, kiln_sum(kiln_mul(y, y), KILN_ALL), KILN_IN(in[0], in[1]), d);
    }
    kiln_gradients(outer, kiln_add(kiln_sum(kiln_mul(d[0], d[0]), KILN_ALL), kiln_sum(kiln_mul(d[1], d[1]), KILN_ALL)), KILN_IN(in[0], in[1]), out + 3);
    out[0] = y, out[1] = d[0], out[2] = d[1];
}

static void same_bits(const Case *x, const char *what, kiln_tensor *got, const void *want)
{
    const kiln_dtype t = kiln_dtype_of(got);
    if (kiln_failed(k)) fail_msg("%s: %s", what, kiln_error(k)->text);
    const char *have = kiln_data(got), *other = want;
    const int64_t size = (int64_t)dtype_bytes((DType)t);
    for (int64_t i = 0; i < kiln_elements(got); i++) {
        const double a = dtype_load_f64((DType)t, have + i * size), b = dtype_load_f64((DType)t, other + i * size);
        if (memcmp(have + i * size, other + i * size, (size_t)size) != 0 && !(isnan(a) && isnan(b)))
            fail_msg("%s: %s, %d axes, element %lld is %a, not %a", what, kiln_dtype_name(x->t), x->space, (long long)i, a, b);
    }
}

/* To the bit, but for sums of 16-bit floats on a device's tensor cores, for which docs/numerics.md has a bound. */
static void as_the_model(const Case *x, kiln_tensor *got, const void *want)
{
    if (!late_keeps() || (x->t != KILN_F16 && x->t != KILN_BF16)) {
        same_bits(x, "eager", got, want);
        return;
    }
    if (kiln_failed(k)) fail_msg("eager: %s", kiln_error(k)->text);
    double links = (double)(x->transposed ? x->o_each : x->c), largest = 99.0 / 32, unit = x->t == KILN_F16 ? 0x1p-10 : 0x1p-7;
    if (links < (double)x->c) links = (double)x->c;
    for (int i = 0; i < x->space; i++) links *= (double)x->taps[i];
    const double bound = (400 + log2(links)) * 0x1p-24 * links * largest * largest;
    const char *have = kiln_data(got), *other = want;
    for (int64_t i = 0; i < kiln_elements(got); i++) {
        const double a = dtype_load_f64((DType)x->t, have + 2 * i), b = dtype_load_f64((DType)x->t, other + 2 * i);
        if (!(fabs(a - b) <= bound + unit * fabs(b)) && a != b && !(isnan(a) && isnan(b)))
            fail_msg("eager: %s, %d axes, element %lld is %a, not %a", kiln_dtype_name(x->t), x->space, (long long)i, a, b);
    }
}

static void operands(const Case *x, kiln_tensor *in[2])
{
    int64_t image[5] = {x->n}, w[5];
    for (int i = 0; i < x->space; i++) image[1 + i] = x->in[i], w[i] = x->taps[i];
    image[x->space + 1] = x->groups * x->c;
    w[x->space] = x->transposed ? x->o_each : x->c;
    w[x->space + 1] = x->groups * (x->transposed ? x->c : x->o_each);
    in[0] = filled(x->t, x->space + 2, image, x->special);
    in[1] = filled(x->t, x->space + 2, w, x->special);
}

/* In compiled code, with the host's kernels and without. */
static void same_compiled(Case *x, kiln_body *body, kiln_tensor *const *in, kiln_tensor *const *want, int outputs)
{
    for (int no_blas = late_is_emulated(); no_blas < (compiles() ? 2 : 0); no_blas++) { /* which knows no BLAS */
        kiln_function *f = kiln_function_new(k, body, x, &(kiln_function_options){.no_blas = no_blas, .outputs = outputs});
        kiln_tensor *got[5];
        kiln_call_all(f, KILN_IN(in[0], in[1]), got, outputs);
        for (int i = 0; i < outputs; i++) same_bits(x, no_blas ? "as products" : "compiled", got[i], kiln_data(want[i]));
        kiln_function_free(f);
    }
}

/* Each case is a start of the compiler there, and more. */
static int cases_of(int n) { return late_is_emulated() ? n / 4 : n; }

static void random_convolutions(void **state)
{
    (void)state;
    for (int i = 0; i < cases_of(200); i++) {
        KILN_SCOPE(k);
        Case x = drawn();
        HostConv q = question(&x);
        kiln_tensor *in[2], *y[1];
        operands(&x, in);
        forward(k, in, y, &x);
        if (kiln_failed(k)) fail_msg("%s", kiln_error(k)->text);
        assert_int_equal(kiln_elements(y[0]), x.n * product3(q.out) * x.groups * x.o_each);
        char *w = malloc(kiln_bytes(in[1]) + 1), *want = malloc(kiln_bytes(y[0]) + 1);
        memcpy(w, kiln_data(in[1]), kiln_bytes(in[1]));
        if (x.transposed) turn(&x, kiln_data(in[1]), w);
        q.x = kiln_data(in[0]), q.with = w, q.to = want;
        conv_model(&q);
        as_the_model(&x, y[0], want);
        free(w);
        free(want);
        same_compiled(&x, forward, in, y, 1);
        assert_false(kiln_failed(k));
    }
}

static void gradients(void **state)
{
    (void)state;
    for (int i = 0; i < cases_of(40); i++) {
        KILN_SCOPE(k);
        Case x = drawn();
        x.special = false;
        kiln_tensor *in[2], *eager[5];
        operands(&x, in);
        twice(k, in, eager, &x);
        same_compiled(&x, twice, in, eager, 5);
        assert_false(kiln_failed(k));
    }
}

/* The reference agrees with every node, those of gradients too. */
static void reference(void **state)
{
    (void)state;
    if (!compiles()) skip();
    for (int i = 0; i < cases_of(24); i++) {
        KILN_SCOPE(k);
        Case x = drawn();
        kiln_tensor *in[2];
        x.special = false;
        operands(&x, in);
        kiln_function *f = kiln_function_new(k, twice, &x, &(kiln_function_options){.no_blas = i % 2, .outputs = 5});
        if (kiln_check(stderr, f, KILN_IN(in[0], in[1])) == KILN_DISAGREE) fail_msg("case %d: the reference disagrees", i);
        kiln_function_free(f);
        assert_false(kiln_failed(k));
    }
}

/* The tape keeps what a compiled call's convolutions made. */
static void calls_under_tapes(void **state)
{
    (void)state;
    if (!compiles()) skip();
    for (int i = 0; i < cases_of(12); i++) {
        KILN_SCOPE(k);
        Case x = drawn();
        kiln_tensor *in[2], *want[2], *got[2], *y[1];
        x.special = false;
        operands(&x, in);
        kiln_function *f = kiln_function_new(k, forward, &x, &(kiln_function_options){.no_blas = i % 2});
        for (int traced = 0; traced < 2; traced++) {
            KILN_TAPE(k, tape);
            kiln_watch(tape, in[0]);
            kiln_watch(tape, in[1]);
            if (traced)
                y[0] = kiln_call(f, in[0], in[1]);
            else
                forward(k, in, y, &x);
            kiln_gradients(tape, kiln_sum(kiln_mul(y[0], y[0]), KILN_ALL), KILN_IN(in[0], in[1]), traced ? got : want);
        }
        for (int r = 0; r < 2; r++) same_bits(&x, "under a tape", got[r], kiln_data(want[r]));
        kiln_function_free(f);
    }
}

/* ---- what programs without the host's kernels are made of ------------------------------------------------------------------- */

static void filters_gradient(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    KILN_TAPE(e, tape);
    kiln_watch(tape, in[1]);
    kiln_tensor *y = called(user, in[0], in[1]);
    kiln_gradients(tape, kiln_sum(kiln_mul(y, y), KILN_ALL), KILN_IN(in[1]), out);
}

/* The bytes of work that the function's program names, after a look at its kernels. */
static long long work_of(const Case *x, kiln_body *body, int wanted)
{
    char folder[] = "/tmp/kiln-conv-XXXXXX", path[64], line[4096];
    long long work = -1;
    int windows = 0, products = 0;
    kiln_tensor *in[2], *out[1];
    operands(x, in);
    assert_non_null(mkdtemp(folder));
    setenv("KILN_DUMP", "program", 1);
    setenv("KILN_DUMP_DIR", folder, 1);
    kiln_function *f = kiln_function_new(k, body, (Case *)(uintptr_t)x, &(kiln_function_options){.no_blas = true, .name = "f", .compile = KILN_WAIT});
    kiln_call_all(f, KILN_IN(in[0], in[1]), out, 1);
    assert_ok(k);
    kiln_function_free(f);
    unsetenv("KILN_DUMP");
    unsetenv("KILN_DUMP_DIR");
    DIR *d = opendir(folder);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        snprintf(path, sizeof path, "%s/%.32s", folder, e->d_name);
        FILE *text = e->d_name[0] == '.' ? NULL : fopen(path, "r");
        while (text && fgets(line, sizeof line, text)) {
            const char *bytes = strstr(line, " launches, ");
            if (bytes) assert_int_equal(sscanf(bytes, " launches, %lld bytes of work", &work), 1);
            windows += strncmp(line, "kernel window", 13) == 0;
            products += strstr(line, "contract ") != NULL;
        }
        if (text) fclose(text), remove(path);
    }
    closedir(d);
    rmdir(folder);
    assert_int_equal(windows, 0);
    assert_int_equal(products, wanted);
    return work;
}

/* Products read windows where they lie: a copy of them would be nine images or more, of all that is copied there are a few. */
static void windows_are_not_copied(void **state)
{
    (void)state;
    if (!compiles()) skip();
    static const Case cases[] = {
        {.space = 1, .in = {50}, .taps = {9}, .groups = 1, .c = 4, .o = {.pad = {{4, 4}}}},
        {.space = 2, .in = {16, 17}, .taps = {3, 3}, .groups = 1, .c = 1, .o = {.same = true}},
        {.space = 2, .in = {16, 17}, .taps = {4, 5}, .groups = 1, .c = 4, .o = {.pad = {{1, 2}, {0, 3}}, .dilation = {2, 1}}},
        {.space = 2, .in = {30, 31}, .taps = {6, 6}, .groups = 1, .c = 3, .o = {.stride = {2, 2}}},
        {.space = 2, .in = {16, 17}, .taps = {4, 4}, .groups = 3, .c = 2, .o = {.groups = 3, .pad = {{1, 1}, {1, 1}}}},
        {.space = 3, .in = {9, 8, 10}, .taps = {3, 3, 3}, .groups = 1, .c = 2, .o = {.same = true}},
        {.space = 3, .in = {9, 8, 10}, .taps = {3, 2, 3}, .groups = 2, .c = 3, .o = {.groups = 2, .dilation = {2, 2, 2}, .pad = {{1, 1}, {1, 0}, {1, 2}}}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        KILN_SCOPE(k);
        Case x = cases[i];
        x.t = KILN_F32, x.n = 2, x.o_each = x.c;
        long long image = 4 * x.n * x.groups * x.c;
        for (int j = 0; j < x.space; j++) image *= x.in[j];
        const long long forwards = work_of(&x, forward, 1), filters = work_of(&x, filters_gradient, 2);
        if (forwards < 0 || forwards > 5 * image || filters < 0 || filters > 7 * image)
            fail_msg("case %zu: %lld and %lld bytes of work for an image of %lld", i, forwards, filters, image);
    }
}

/* ---- sizes that only a call knows ------------------------------------------------------------------------------------------ */

static void strided(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const kiln_convolution *o = user;
    KILN_TAPE(e, tape);
    kiln_watch(tape, in[0]);
    kiln_watch(tape, in[1]);
    out[0] = kiln_convolve(in[0], in[1], o);
    kiln_gradients(tape, kiln_sum(kiln_mul(out[0], out[0]), KILN_ALL), KILN_IN(in[0], in[1]), out + 1);
    out[3] = kiln_convolve_transposed(in[0], kiln_reshape(in[1], S(3, 2, 2, 3)), o);
}

static void symbols(void **state)
{
    (void)state;
    if (!compiles()) skip();
    kiln_convolution options[] = {{.groups = 1}, {.pad = {{1, 2}, {0, 1}}}, {.stride = {2, 3}, .pad = {{1, 1}, {2, 0}}}, {.same = true},
        {.stride = {2, 2}, .same = true}, {.stride = {3, 1}, .dilation = {2, 3}, .pad = {{4, 4}, {3, 3}}}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        for (int no_blas = 0; no_blas < 2; no_blas++) {
            KILN_SCOPE(k);
            kiln_function *f = kiln_function_new(k, strided, &options[i], &(kiln_function_options){.outputs = 4, .no_blas = no_blas,
                .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 9), KILN_DIM("H", 5, 40), KILN_DIM("W", 6, 30), 3), KILN_SPEC(KILN_F32, 3, 2, 3, 2)}});
            for (int turn = 0; turn < 6; turn++) {
                KILN_SCOPE(k);
                kiln_tensor *in[2] = {filled(KILN_F32, 4, (int64_t[]){1 + turn % 4, 5 + 5 * turn, 6 + turn * turn % 20, 3}, false),
                    filled(KILN_F32, 4, (int64_t[]){3, 2, 3, 2}, false)}, *want[4], *got[4];
                Case x = {.t = KILN_F32, .space = 2};
                strided(k, in, want, &options[i]);
                kiln_call_all(f, KILN_IN(in[0], in[1]), got, 4);
                for (int r = 0; r < 4; r++) same_bits(&x, "symbolic", got[r], kiln_data(want[r]));
            }
            kiln_function_free(f);
        }
}

/* ---- layouts, values by hand, refusals -------------------------------------------------------------------------------------- */

static void channels_first(void **state)
{
    (void)state;
    kiln_tensor *x = filled(KILN_F32, 4, (int64_t[]){2, 4, 6, 5}, false), *w = filled(KILN_F32, 4, (int64_t[]){3, 3, 2, 6}, false);
    kiln_tensor *last = kiln_transpose(x, KILN_AXES(0, 2, 3, 1));
    kiln_convolution o = {.groups = 2, .stride = {1, 2}, .pad = {{1, 1}, {0, 1}}}, first = o;
    first.channels_first = true;
    kiln_tensor *y = kiln_convolve(x, w, &first), *z = kiln_convolve(last, w, &o);
    has_shape(y, KILN_F32, S(2, 6, 6, 2));
    Case none = {.t = KILN_F32, .space = 2};
    same_bits(&none, "channels first", kiln_transpose(y, KILN_AXES(0, 2, 3, 1)), kiln_data(z));
    same_bits(&none, "conv2d", kiln_conv2d(last, w, (&(kiln_window){.groups = 2, .stride = {1, 2}, .pad = {{1, 1}, {0, 1}}})), kiln_data(z));
    has_shape(kiln_convolve_transposed(x, kiln_ones(k, KILN_F32, S(3, 3, 5, 4)), (&(kiln_convolution){.channels_first = true, .stride = {2, 2}, .same = true})),
        KILN_F32, S(2, 5, 12, 10));
    EXACTLY(kiln_convolve(kiln_f32(k, S(1, 4, 1), 1, 2, 3, 4), kiln_f32(k, S(2, 1, 1), 10, 1), NULL), KILN_F32, S(1, 3, 1), 12, 23, 34);
    EXACTLY(kiln_convolve_transposed(kiln_f32(k, S(1, 3, 1), 1, 2, 3), kiln_f32(k, S(2, 1, 1), 10, 1), (&(kiln_convolution){.stride = {3}, .output_pad = {1}})),
        KILN_F32, S(1, 9, 1), 10, 1, 0, 20, 2, 0, 30, 3, 0);
}

static void refusals(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_ones(k, KILN_F32, S(1, 9, 2)), *w = kiln_ones(k, KILN_F32, S(3, 2, 4));
    FAILS(kiln_convolve(kiln_ones(k, KILN_F32, S(9, 2)), w, NULL), KILN_ESHAPE,
        "convolve: needs images, channels last: [n, space..., channels], of one to three axes of space: f32[9,2]");
    FAILS(kiln_convolve(x, kiln_ones(k, KILN_F32, S(3, 3, 2, 4)), NULL), KILN_ESHAPE,
        "convolve: needs filters [taps..., channels / groups, out]: f32[3,3,2,4]");
    FAILS(kiln_convolve(x, kiln_ones(k, KILN_F32, S(3, 3, 4)), NULL), KILN_ESHAPE,
        "convolve: channels do not fit: images are channels last, [n, space..., channels], of one to three axes of space, filters [taps..., channels / groups, out], with 1 group: f32[1,9,2] x f32[3,3,4]");
    FAILS(kiln_convolve(kiln_ones(k, KILN_I32, S(1, 9, 2)), kiln_ones(k, KILN_I32, S(3, 2, 4)), NULL), KILN_EDTYPE, "convolve: needs floats, use kiln_cast: i32[1,9,2] x i32[3,2,4]");
    FAILS(kiln_convolve(x, w, (&(kiln_convolution){.stride = {-1}})), KILN_EVALUE, "convolve: the stride is -1 (allowed: 1 to 2^48)");
    FAILS(kiln_convolve(x, w, (&(kiln_convolution){.pad = {{-1, 0}}})), KILN_EVALUE, "convolve: the padding is -1 (allowed: 0 to 2^48)");
    FAILS(kiln_convolve(x, w, (&(kiln_convolution){.dilation = {9}})), KILN_ESHAPE,
        "convolve: a window of 19 elements (size 3, dilation 9) is larger than axis 1 with its padding: f32[1,9,2]");
    FAILS(kiln_convolve_transposed(x, w, NULL), KILN_ESHAPE,
        "convolve_transposed: channels do not fit: images are channels last, [n, space..., channels], of one to three axes of space, filters [taps..., out / groups, channels], with 1 group: f32[1,9,2] x f32[3,2,4]");
    kiln_tensor *back = kiln_ones(k, KILN_F32, S(3, 4, 2));
    FAILS(kiln_convolve_transposed(x, back, (&(kiln_convolution){.stride = {2}, .output_pad = {2}})), KILN_EVALUE,
        "convolve_transposed: the output padding is 2 (allowed: 0 to stride - 1)");
    FAILS(kiln_convolve_transposed(x, back, (&(kiln_convolution){.pad = {{9, 9}}})), KILN_ESHAPE,
        "convolve_transposed: the result's axis 1 has no size that is certain to lie in 0 to 2^48: f32[1,9,2]");
    FAILS(kiln_convolve_transposed(x, back, (&(kiln_convolution){.pad = {{-9, 9}}})), KILN_EVALUE,
        "convolve_transposed: the padding is -9 (allowed: 0 to 2^48)");
}

static void far_apart(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e;
    out[0] = kiln_convolve_transposed(in[0], in[1], user);
}

/* Steps as large as they may be, of which few are taken; without the host's kernels, too. */
static void far_steps(void **state)
{
    (void)state;
    const int64_t far = (int64_t)1 << 47;
    kiln_convolution options[] = {{.stride = {far, 1}}, {.stride = {1, far}}, {.stride = {far, far}, .dilation = {1, 3}}, {.stride = {far / 2, 4}, .dilation = {2, 5}}};
    kiln_tensor *in[2] = {filled(KILN_F32, 4, (int64_t[]){2, 1, 1, 3}, false), filled(KILN_F32, 4, (int64_t[]){3, 2, 2, 3}, false)}, *y[1];
    Case x = {.t = KILN_F32, .space = 2};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        far_apart(k, in, y, &options[i]);
        for (int no_blas = 0; no_blas < (compiles() ? 2 : 0); no_blas++) {
            kiln_function *f = kiln_function_new(k, far_apart, &options[i], &(kiln_function_options){.no_blas = no_blas});
            same_bits(&x, no_blas ? "far, as products" : "far", kiln_call(f, in[0], in[1]), kiln_data(y[0]));
            kiln_function_free(f);
        }
    }
    if (!compiles()) return;
    Case wide = {.o = {.stride = {far / 2}, .dilation = {far}, .pad = {{far, far - 1}}}};
    kiln_function *f = kiln_function_new(k, forward, &wide, &(kiln_function_options){.name = "wide", .no_blas = true, .compile = KILN_WAIT});
    FAILS(kiln_call(f, kiln_ones(k, KILN_F32, S(1, 1, 2)), kiln_ones(k, KILN_F32, S(2, 2, 1))), KILN_EUNSUPPORTED,
        "conv: without the host's kernels, its windows would reach beyond 2^48");
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(random_convolutions), ENGINE_TEST(gradients), ENGINE_TEST(reference), ENGINE_TEST(calls_under_tapes), ENGINE_TEST(windows_are_not_copied), ENGINE_TEST(symbols), ENGINE_TEST(channels_first),
        ENGINE_TEST(far_steps), ENGINE_TEST(refusals)};
    return cmocka_run_group_tests_name("conv", tests, NULL, NULL);
}
