/* test_blas_device: engines that were opened with .blas on an emulated CUDA device, with a stand-in for cuBLASLt (tests/standin) that
 * notes what it is asked for and multiplies by a kernel in the stream that it is given: which products go there, as what, and that
 * they come back right; that it is absent, or refuses, is said. */
#define _GNU_SOURCE
#include "emu_use.h"
#include "remove_all.h"

#include <kiln/kiln.h>

#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

#include "standin/cublaslt.h"

enum { F32 = 68, F64 = 70, TF32 = 77 }; /* cublasComputeType_t */

static Standin *standin;
static StandinProduct asked[16];
static int calls;

/* ---- the kernel that multiplies ------------------------------------------------------------------------------- */
static const char source[] =
    "typedef unsigned short u16; typedef long long i64;\n"
    "__device__ double in(const double *x) { return *x; }\n"
    "__device__ double in(const float *x) { return *x; }\n"
    "struct Half { u16 x; }; struct Brain { u16 x; };\n"
    "__device__ double in(const Brain *x) { return __int_as_float(int(x->x) << 16); }\n"
    "__device__ double in(const Half *h)\n"
    "{\n"
    "    const int x = h->x, e = x >> 10 & 31;\n"
    "    return e == 0 ? 0 : __int_as_float((x & 0x8000) << 16 | (e + 112) << 23 | (x & 1023) << 13);\n"
    "}\n"
    "__device__ void out(double *to, double x) { *to = x; }\n"
    "__device__ void out(float *to, double x) { *to = x; }\n"
    "__device__ void out(Brain *to, double x) { to->x = __float_as_int(float(x)) >> 16; }\n"
    "__device__ void out(Half *to, double x)\n"
    "{\n"
    "    const int b = __float_as_int(float(x));\n"
    "    to->x = x == 0 ? 0 : (b >> 16 & 0x8000) | ((b >> 23 & 255) - 112) << 10 | (b >> 13 & 1023);\n"
    "}\n"
    "struct P { i64 m, n, k, batch, a_row, a_col, a_batch, b_row, b_col, b_batch, d_col, d_batch; };\n"
    "template <typename T> __device__ void product(const T *a, const T *b, T *d, int *work, const P &p)\n"
    "{\n"
    "    if (work && blockIdx.x == 0 && threadIdx.x == 0) *work = 1;\n"
    "    for (i64 i = blockIdx.x * 256 + threadIdx.x; i < p.m * p.n * p.batch; i += gridDim.x * 256) {\n"
    "        const i64 r = i % p.m, c = i / p.m % p.n, e = i / p.m / p.n;\n"
    "        double sum = 0;\n"
    "        for (i64 l = 0; l < p.k; l++)\n"
    "            sum += in(a + e * p.a_batch + r * p.a_row + l * p.a_col) * in(b + e * p.b_batch + l * p.b_row + c * p.b_col);\n"
    "        out(d + e * p.d_batch + c * p.d_col + r, sum);\n"
    "    }\n"
    "}\n"
    "extern \"C\" __global__ void p0(const float *a, const float *b, float *d, int *work, const P p) { product(a, b, d, work, p); }\n"
    "extern \"C\" __global__ void p1(const double *a, const double *b, double *d, int *work, const P p) { product(a, b, d, work, p); }\n"
    "extern \"C\" __global__ void p2(const Half *a, const Half *b, Half *d, int *work, const P p) { product(a, b, d, work, p); }\n"
    "extern \"C\" __global__ void p14(const Brain *a, const Brain *b, Brain *d, int *work, const P p) { product(a, b, d, work, p); }\n";

static CUmodule module;

static void run(const StandinProduct *x)
{
    const CudaDriver *d = emu_driver(0, &(Status){0});
    char name[8];
    CUfunction f;
    asked[calls++ % 16] = *x;
    snprintf(name, sizeof name, "p%d", x->type);
    assert_int_equal(d->ModuleGetFunction(&f, module, name), 0);
    int64_t p[] = {x->m, x->n, x->k, x->batch, x->a_row, x->a_col, x->a_batch, x->b_row, x->b_col, x->b_batch, x->d_col, x->d_batch};
    CUdeviceptr a = (uintptr_t)x->a, b = (uintptr_t)x->b, to = (uintptr_t)x->d, work = (uintptr_t)x->workspace;
    assert_int_equal(d->LaunchKernel(f, 8, 1, 1, 256, 1, 1, 0, x->stream, (void *[]){&a, &b, &to, &work, p}, NULL), 0);
}

/* ---- operands --------------------------------------------------------------------------------------------------- */
static kiln *k;     /* with .blas */
static kiln *plain; /* without */

/* Small whole numbers, whose sums every type holds: the same bits whatever the order. */
static kiln_tensor *whole(kiln *e, kiln_dtype t, kiln_shape s)
{
    kiln_tensor *i = kiln_iota(e, KILN_I64, s, 0);
    for (int a = 1; a < s.rank; a++) i = kiln_add(kiln_mul(i, 7), kiln_iota(e, KILN_I64, s, a));
    return kiln_cast(kiln_sub(kiln_mod(i, 3), 1), t);
}

static void settle(void)
{
    memset(asked, 0, sizeof asked);
    calls = 0;
}

/* What both engines give has the same bits. */
static void same(kiln_tensor *x, kiln_tensor *y)
{
    if (!x || !y) fail_msg("%s%s", kiln_error(k)->text, kiln_error(plain)->text);
    const int64_t n = kiln_elements(x);
    double *a = malloc((size_t)n * sizeof *a), *b = malloc((size_t)n * sizeof *b);
    assert_int_equal(kiln_elements(y), n);
    if (!kiln_read_doubles(x, a, n) || !kiln_read_doubles(y, b, n)) fail_msg("%s%s", kiln_error(k)->text, kiln_error(plain)->text);
    for (int64_t i = 0; i < n; i++)
        if (a[i] != b[i]) fail_msg("element %lld: %g, not %g", (long long)i, a[i], b[i]);
    free(a);
    free(b);
}

typedef kiln_tensor *Make(kiln *e, kiln_dtype t);
static kiln_tensor *as_is(kiln *e, kiln_dtype t) { return kiln_matmul(whole(e, t, KILN_SHAPE(130, 140)), whole(e, t, KILN_SHAPE(140, 120))); }
static kiln_tensor *left_turned(kiln *e, kiln_dtype t)
{
    return kiln_matmul(kiln_transpose(whole(e, t, KILN_SHAPE(140, 130)), KILN_AXES(1, 0)), whole(e, t, KILN_SHAPE(140, 120)));
}
static kiln_tensor *right_turned(kiln *e, kiln_dtype t)
{
    return kiln_matmul(whole(e, t, KILN_SHAPE(130, 140)), kiln_transpose(whole(e, t, KILN_SHAPE(120, 140)), KILN_AXES(1, 0)));
}
static kiln_tensor *part(kiln *e, kiln_dtype t) /* of wider rows */
{
    return kiln_matmul(kiln_slice(whole(e, t, KILN_SHAPE(130, 150)), 1, 3, 143, 1), whole(e, t, KILN_SHAPE(140, 120)));
}

static void products_go_there(void **state)
{
    (void)state;
    static const struct { kiln_dtype t; int type, compute, scale; } types[] = {
        {KILN_F32, 0, F32, 0}, {KILN_F64, 1, F64, 1}, {KILN_F16, 2, F32, 0}, {KILN_BF16, 14, F32, 0}};
    static const struct { Make *make; int left, right; } ways[] = {{as_is, 0, 0}, {left_turned, 1, 0}, {right_turned, 0, 1}, {part, 0, 0}};
    for (size_t i = 0; i < COUNT_OF(types); i++)
        for (size_t w = 0; w < (i == 0 ? COUNT_OF(ways) : 1); w++) {
            KILN_SCOPE(k);
            KILN_SCOPE(plain);
            settle();
            kiln_tensor *got;
            {
                KILN_DEVICE(k, "emu:0");
                got = ways[w].make(k, types[i].t);
            }
            same(got, ways[w].make(plain, types[i].t));
            assert_int_equal(calls, 1);
            const StandinProduct *x = asked;
            assert_int_equal(x->type, types[i].type);
            assert_int_equal(x->compute, types[i].compute);
            assert_int_equal(x->scale, types[i].scale);
            assert_true(x->m == 120 && x->n == 130 && x->k == 140 && x->batch == 1); /* of transposes, the right one first */
            assert_int_equal(x->a_turned, ways[w].right);
            assert_int_equal(x->b_turned, ways[w].left);
            assert_non_null(x->stream);
            assert_int_equal(x->most, 32 << 20);
            if (ways[w].make == part) assert_int_equal(x->alignment[1], 4);
            if (ways[w].make == as_is) assert_int_equal(x->alignment[1], 256);
        }
    assert_int_equal(standin->handles, 1);
    assert_int_equal(standin->descriptors, 0);
}

static void batches_are_one_call_where_a_stride_counts_them(void **state)
{
    (void)state;
    static const struct { kiln_shape a, b; int calls, batch; } cases[] = {{KILN_SHAPE(2, 2, 130, 140), KILN_SHAPE(2, 2, 140, 120), 1, 4},
        {KILN_SHAPE(2, 130, 140), KILN_SHAPE(1, 140, 120), 1, 2}, {KILN_SHAPE(2, 2, 130, 140), KILN_SHAPE(2, 1, 140, 120), 2, 2}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        KILN_SCOPE(k);
        KILN_SCOPE(plain);
        settle();
        kiln_tensor *got;
        {
            KILN_DEVICE(k, "emu:0");
            got = kiln_matmul(whole(k, KILN_F32, cases[i].a), whole(k, KILN_F32, cases[i].b));
        }
        same(got, kiln_matmul(whole(plain, KILN_F32, cases[i].a), whole(plain, KILN_F32, cases[i].b)));
        assert_int_equal(calls, cases[i].calls);
        assert_int_equal(asked[0].batch, cases[i].batch);
    }
}

/* Small ones, integers, operands whose elements lie side by side in no direction. */
static void others_are_own(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    KILN_SCOPE(plain);
    settle();
    kiln_tensor *got[3], *want[3];
    for (int i = 0; i < 2; i++) {
        kiln *e = i ? plain : k;
        KILN_DEVICE(e, i ? "cpu" : "emu:0");
        kiln_tensor **to = i ? want : got;
        to[0] = kiln_matmul(whole(e, KILN_F32, KILN_SHAPE(95, 160)), whole(e, KILN_F32, KILN_SHAPE(160, 150)));
        to[1] = kiln_matmul_to(whole(e, KILN_I8, KILN_SHAPE(130, 140)), whole(e, KILN_I8, KILN_SHAPE(140, 120)), KILN_I32);
        to[2] = kiln_matmul(kiln_slice(whole(e, KILN_F32, KILN_SHAPE(130, 280)), 1, 0, 280, 2), whole(e, KILN_F32, KILN_SHAPE(140, 120)));
    }
    for (int i = 0; i < 3; i++) same(got[i], want[i]);
    assert_int_equal(calls, 0);
}

/* ---- functions --------------------------------------------------------------------------------------------------- */
static void layer(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    kiln_tensor *h = kiln_relu(kiln_add(kiln_matmul(in[0], in[1]), in[2]));
    out[0] = kiln_relu(kiln_sub(kiln_softmax(h, 1), kiln_mean(h, KILN_KEEP(1))));
}

static kiln_tensor *call(kiln *e, const char *device, const kiln_function_options *o, int64_t rows, kiln_function_statistics *s)
{
    KILN_DEVICE(e, device);
    kiln_function *f = kiln_function_new(e, layer, NULL, o);
    kiln_tensor *y = kiln_call(f, whole(e, KILN_F32, KILN_SHAPE(rows, 140)), whole(e, KILN_F32, KILN_SHAPE(140, 120)),
        whole(e, KILN_F32, KILN_SHAPE(120)));
    if (s) kiln_function_stats(f, s);
    return y;
}

static void functions_ask_for_it(void **state)
{
    (void)state;
    static const struct { kiln_function_options o; int calls, compute; } cases[] = {{{.name = "usual"}, 1, F32},
        {{.name = "rounded", .tf32 = true}, 1, TF32}, {{.name = "exact", .exact = true}, 0, 0}, {{.name = "own", .no_blas = true}, 0, 0}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        KILN_SCOPE(k);
        KILN_SCOPE(plain);
        settle();
        kiln_function_statistics s = {0};
        kiln_tensor *got = call(k, "emu:0", &cases[i].o, 130, &s), *want = call(plain, "emu:0", &cases[i].o, 130, NULL);
        same(got, want);
        assert_int_equal(calls, cases[i].calls);
        assert_int_equal(s.compiles, 1);
        assert_int_equal(s.recordings, 0); /* it takes addresses of its own */
        if (calls) assert_int_equal(asked[0].compute, cases[i].compute);
        settle();
        kiln_eager(k, true);
        same(call(k, "emu:0", &cases[i].o, 130, NULL), want);
        kiln_eager(k, false);
        assert_int_equal(calls, cases[i].calls);
    }
}

/* One code for all sizes, of which some go there. */
static void sizes_decide(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    KILN_SCOPE(plain);
    KILN_DEVICE(k, "emu:0");
    settle();
    const kiln_function_options o = {.name = "bounded",
        .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 256), 140), KILN_SPEC(KILN_F32, 140, 120), KILN_SPEC(KILN_F32, 120)}};
    kiln_function *f = kiln_function_new(k, layer, NULL, &o);
    for (int i = 0; i < 3; i++) {
        const int64_t rows = (const int64_t[]){9, 130, 60}[i];
        kiln_tensor *y = kiln_call(f, whole(k, KILN_F32, KILN_SHAPE(rows, 140)), whole(k, KILN_F32, KILN_SHAPE(140, 120)), whole(k, KILN_F32, KILN_SHAPE(120)));
        same(y, call(plain, "emu:0", &(kiln_function_options){.name = "n"}, rows, NULL));
        assert_int_equal(calls, i > 0);
    }
    kiln_function_statistics s;
    kiln_function_stats(f, &s);
    assert_int_equal(s.compiles, 1);
}

/* ---- what goes wrong ------------------------------------------------------------------------------------------------- */
static void its_memory_and_refusals(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    KILN_DEVICE(k, "emu:0");
    kiln_tensor *a = whole(k, KILN_F32, KILN_SHAPE(130, 140)), *b = whole(k, KILN_F32, KILN_SHAPE(140, 120));
    settle();
    standin->workspace = 1 << 20;
    assert_true(kiln_sync(k, "emu:0"));
    kiln_matmul(a, b);
    assert_true(kiln_sync(k, "emu:0"));
    assert_non_null(asked[0].workspace);
    assert_int_equal(asked[0].bytes, 1 << 20);
    standin->workspace = 0;
    for (standin->no_way = 1; standin->no_way <= 2; standin->no_way++) { /* says so by the number of ways, or by its status */
        settle();
        kiln_tensor *own = kiln_matmul(a, b);
        KILN_SCOPE(plain);
        same(own, as_is(plain, KILN_F32));
        assert_int_equal(calls, 0);
    }
    standin->no_way = 0;
    standin->refuses = 13;
    kiln_matmul(a, b);
    assert_true(kiln_failed(k));
    assert_non_null(strstr(kiln_error(k)->text, "cublasLt: multiplying: it does not run"));
    kiln_clear(k);
    standin->refuses = 0;
    kiln_matmul(a, b);
    assert_false(kiln_failed(k));
    assert_true(kiln_sync(k, "emu:0"));
    assert_int_equal(standin->descriptors, 0);
}

/* In another process: nothing names a library, or what is named is none. */
static int without(const char *want)
{
    kiln *e = kiln_open(&(kiln_options){.blas = true, .compile = KILN_WAIT});
    int wrong;
    {
        KILN_SCOPE(e);
        KILN_DEVICE(e, "emu:0");
        kiln_matmul(whole(e, KILN_F32, KILN_SHAPE(8, 8)), whole(e, KILN_F32, KILN_SHAPE(8, 8)));
        wrong = kiln_failed(e);
        kiln_matmul(whole(e, KILN_F32, KILN_SHAPE(130, 140)), whole(e, KILN_F32, KILN_SHAPE(140, 120)));
        wrong |= kiln_error(e)->code != KILN_EUNSUPPORTED || !strstr(kiln_error(e)->text, want);
        if (wrong) fprintf(stderr, "%s\n", kiln_error(e)->text);
        kiln_clear(e);
    }
    return kiln_close(e) | wrong;
}

static const char *self;
static void it_may_be_absent(void **state)
{
    (void)state;
    char command[600];
    snprintf(command, sizeof command, "KILN_CUBLASLT= KILN_TEST_WITHOUT='an emulated device has no cuBLASLt' '%s'", self);
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof command,
        "KILN_CUBLASLT=/nowhere/libcublasLt.so KILN_TEST_WITHOUT='cuBLASLt is not there: cuda: cannot open /nowhere/libcublasLt.so, which KILN_CUBLASLT names' '%s'",
        self);
    assert_int_equal(system(command), 0);
}

/* ---- all --------------------------------------------------------------------------------------------------------------- */
static char folder[] = "/tmp/kiln-cublaslt-XXXXXX";

static int open_all(void **state)
{
    (void)state;
    char command[300], path[80];
    const CudaDriver *d = emu_use(0);
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/libcublasLt.so", folder);
    snprintf(command, sizeof command, "cc -std=c11 -O1 -shared -fPIC -o %s tests/standin/cublaslt.c", path);
    if (system(command) != 0) return -1;
    setenv("KILN_CUBLASLT", path, 1);
    void *lib = dlopen(path, RTLD_NOW);
    if (!lib || !(standin = dlsym(lib, "standin"))) return -1;
    standin->run = run;
    module = emu_load(d, source);
    k = kiln_open(&(kiln_options){.blas = true, .compile = KILN_WAIT});
    plain = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    remove_all(folder);
    return kiln_close(k) | kiln_close(plain);
}

int main(int argc, char **argv)
{
    (void)argc;
    self = realpath(argv[0], NULL);
    if (getenv("KILN_TEST_WITHOUT")) return without(getenv("KILN_TEST_WITHOUT"));
    const struct CMUnitTest tests[] = {cmocka_unit_test(products_go_there), cmocka_unit_test(batches_are_one_call_where_a_stride_counts_them),
        cmocka_unit_test(others_are_own), cmocka_unit_test(functions_ask_for_it), cmocka_unit_test(sizes_decide),
        cmocka_unit_test(its_memory_and_refusals), cmocka_unit_test(it_may_be_absent)};
    Status st = {0};
    if (!emu_driver(0, &st)) return print_message("skip: %s\n", st.text), 77;
    return cmocka_run_group_tests(tests, open_all, close_all);
}
