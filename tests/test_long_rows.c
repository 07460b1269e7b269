/* test_long_rows: rows that several blocks of a CUDA device share: every kind of reduction and what sweeps after one, of all kinds of
 * dtypes, of sizes that are known or not, as single operations, launched and recorded, have the CPU's bits; and where a device has
 * no cooperative launches, too. */
#include "front.h"

#include "codegen/cuda/run.h"
#include "codegen/emu.h"

static uint32_t together, nodes;
static CUresult (*launch)(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, CUstream s, void **params);
static CUresult (*set)(CUgraphNode n, int attribute, const CUlaunchAttributeValue *value);

static CUresult counted(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, CUstream s, void **params)
{
    together++;
    return launch(f, gx, gy, gz, bx, by, bz, shared, s, params);
}

static CUresult noted(CUgraphNode n, int attribute, const CUlaunchAttributeValue *value)
{
    nodes++;
    return set(n, attribute, value);
}

static int setup(void **state)
{
    Status st = {0};
    (void)state;
    CudaDriver *d = (CudaDriver *)(uintptr_t)emu_driver(0, &st);
    if (!d) return printf("skip: %s\n", st.text), -1;
    launch = d->LaunchCooperativeKernel, set = d->GraphKernelNodeSetAttribute;
    d->LaunchCooperativeKernel = counted, d->GraphKernelNodeSetAttribute = noted;
    cuda_long_row = 4000, cuda_least_units = 2, record_least = 1;
    return 0;
}

/* ---- what is computed ----------------------------------------------------------------------------------------------- */
enum { MOST = 8 };
typedef enum Kind { FOLDS, ROWS, TURNS, KINDS } Kind;

static bool is_whole(kiln_dtype t) { return t != KILN_F64 && t != KILN_F32 && t != KILN_F16 && t != KILN_BF16; }

static void folds(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_tensor *x = in[0];
    out[0] = kiln_sum(x, KILN_AXES(1));
    out[1] = kiln_reduce_max(x, KILN_AXES(1));
    out[2] = kiln_reduce_min(x, KILN_AXES(1));
    out[3] = kiln_argmax(x, 1);
    out[4] = kiln_argmin(x, 1);
    out[5] = kiln_prod(x, KILN_AXES(1));
    out[6] = kiln_sum(x, KILN_ALL);
    out[7] = kiln_argmax(kiln_sub(0, x), 1);
}

static void rows(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_tensor *x = is_whole(kiln_dtype_of(in[0])) ? kiln_cast(in[0], KILN_F32) : in[0], *scale = kiln_add(kiln_mul(x, 0), 2);
    scale = kiln_reshape(kiln_slice(scale, 0, 0, 1, 1), KILN_SHAPE(-1));
    out[0] = kiln_softmax(x, 1);
    out[1] = kiln_layernorm(x, scale, scale, 1e-5);
    out[2] = kiln_logsumexp(x, 1);
    out[3] = kiln_sub(x, kiln_reduce_max(x, KILN_KEEP(1)));
}

/* In the body of a loop, which is that of a conditional node. */
static void turns(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *x = kiln_local(k, in[0]);
    KILN_FOR (k, i, 3) kiln_assign(x, kiln_add(kiln_softmax(kiln_value(x), 1), kiln_cast(i, KILN_F32)));
    out[0] = kiln_value(x);
}

static kiln_body *const body[KINDS] = {folds, rows, turns};
static const uint32_t results[KINDS] = {8, 4, 1};

typedef struct Results {
    void *at[MOST];
    size_t bytes[MOST];
} Results;

/* Numbers of which many are equal, and no sum of which is exact. */
static kiln_tensor *numbers(kiln *k, kiln_dtype t, int64_t m, int64_t n)
{
    double *x = malloc((size_t)(m * n) * sizeof *x);
    uint64_t seed = 1 + (uint64_t)n;
    for (int64_t i = 0; i < m * n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const double one = (double)(seed >> 40) / (1 << 24);
        x[i] = t == KILN_BOOL ? one > 0.5 : is_whole(t) ? (double)(int64_t)(one * 7) : one * 2 - 0.97;
    }
    kiln_tensor *all = kiln_from_doubles(k, KILN_F64, KILN_SHAPE(m, n), x, m * n);
    free(x);
    return kiln_cast(all, t);
}

static const char *device = "emu:0";

typedef enum How { ON_CPU, EAGER, TRACED, BOUNDED } How;

/* With a kernel for what the CPU computes, and the same of what it does on the device. */
static void compute(kiln_dtype t, Kind kind, int64_t m, int64_t n, How how, Results *r)
{
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    KILN_SCOPE(k);
    kiln_tensor *x = numbers(k, t, m, n), *out[MOST];
    if (how != ON_CPU) x = kiln_to(x, device);
    if (how == ON_CPU || how == EAGER) {
        body[kind](k, &x, out, NULL);
    } else {
        kiln_function_options o = {.name = "long", .outputs = results[kind]};
        if (how == BOUNDED) o.inputs[0] = (kiln_spec)KILN_SPEC(t, KILN_DIM("M", 1, 64), KILN_DIM("N", 1, 1 << 20));
        kiln_function *f = kiln_function_new(k, body[kind], NULL, &o);
        kiln_call_all(f, KILN_IN(x), out, (int)results[kind]);
    }
    for (uint32_t i = 0; i < results[kind]; i++) {
        r->bytes[i] = kiln_bytes(out[i]);
        r->at[i] = malloc(r->bytes[i] + 1);
        kiln_read(out[i], r->at[i], r->bytes[i]);
    }
    assert_ok(k);
    assert_int_equal(kiln_close(k), 0);
}

static void drop(Results *r)
{
    for (int i = 0; i < MOST; i++) free(r->at[i]);
    *r = (Results){0};
}

/* launches: that one at least is cooperative. */
static void agrees(kiln_dtype t, Kind kind, int64_t m, int64_t n, How how, bool launches)
{
    Results want = {0}, got = {0};
    together = nodes = 0;
    compute(t, kind, m, n, ON_CPU, &want);
    compute(t, kind, m, n, how, &got);
    for (uint32_t i = 0; i < results[kind]; i++)
        if (want.bytes[i] != got.bytes[i] || memcmp(want.at[i], got.at[i], got.bytes[i]) != 0)
            fail_msg("%s, [%d, %d], kind %d, how %d: result %u", kiln_dtype_name(t), (int)m, (int)n, kind, how, i);
    if (launches != (together + nodes > 0))
        fail_msg("%s, [%d, %d], kind %d, how %d: %u launches and %u nodes", kiln_dtype_name(t), (int)m, (int)n, kind, how, together, nodes);
    drop(&want), drop(&got);
}

static void all_ways_agree(void **state)
{
    (void)state;
    for (How how = EAGER; how <= BOUNDED; how++)
        for (Kind kind = 0; kind < KINDS; kind++) agrees(KILN_F32, kind, 2, 20011, how, true);
}

static void dtypes_agree(void **state)
{
    (void)state;
    static const kiln_dtype some[] = {KILN_F64, KILN_BF16, KILN_I32, KILN_U8, KILN_I64}, all[] = {KILN_F16, KILN_U64, KILN_I8, KILN_U16, KILN_U32, KILN_I16};
    for (size_t i = 0; i < COUNT_OF(some); i++) agrees(some[i], FOLDS, 3, 16385, i % 2 ? TRACED : EAGER, true);
    for (size_t i = 0; i < COUNT_OF(all) && getenv("KILN_TEST_FULL"); i++) agrees(all[i], FOLDS, 3, 16385, TRACED, true);
    agrees(KILN_F64, ROWS, 1, 24576, TRACED, true);
}

/* A warp takes several blocks of a piece one after the other, and a block several pieces. */
static void pieces_may_be_deep(void **state)
{
    (void)state;
    const int64_t most = cuda_most_units;
    cuda_most_units = 4;
    agrees(KILN_F32, FOLDS, 2, 100001, TRACED, true);
    agrees(KILN_F32, FOLDS, 1, 8192 * 7 + 1025, BOUNDED, true);
    cuda_most_units = most;
    agrees(KILN_F32, ROWS, 3, 8192 * 5 - 1, TRACED, true);
}

/* Rows that are short, or that are many; and devices that have no cooperative launches. */
static void a_block_may_be_alone(void **state)
{
    (void)state;
    agrees(KILN_F32, FOLDS, 3, 100, BOUNDED, false);
    agrees(KILN_F32, ROWS, 6, 8193, BOUNDED, false);
    agrees(KILN_F32, ROWS, 2, 5000, TRACED, false);
    emu_apart(true);
    device = "emu:1"; /* which has no code yet */
    for (How how = EAGER; how <= BOUNDED; how++) agrees(KILN_F32, ROWS, 2, 20011, how, false);
    device = "emu:0";
    emu_apart(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_ways_agree),
        cmocka_unit_test(dtypes_agree),
        cmocka_unit_test(pieces_may_be_deep),
        cmocka_unit_test(a_block_may_be_alone),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
