/* gpu: devices over a CUDA driver, on emulated ones: what they give back, and what happens when the driver fails: at once, late,
 * for good, or for want of memory. That operations are right there is for the tests of the public interface to say
 * (KILN_TEST_DEVICE=emu). */
#include "front.h"

#include "codegen/cuda/api.h"
#include "codegen/emu.h"
#include "codegen/gpu/parts.h"

#include <pthread.h>

enum { INVALID_VALUE = 1, ILLEGAL_ADDRESS = 700 };

static int needs_compiler(void **state)
{
    Status st = {0};
    (void)state;
    if (emu_driver(0, &st)) return 0;
    printf("skip: %s\n", st.text);
    return -1;
}

static size_t free_bytes(int ordinal)
{
    size_t free_now = 0, total;
    CUcontext c;
    const CudaDriver *d = emu_driver(ordinal, &(Status){0});
    assert_int_equal(d->CtxPushCurrent(d->context), 0);
    assert_int_equal(d->CtxSynchronize(), 0);
    assert_int_equal(d->MemGetInfo(&free_now, &total), 0);
    assert_int_equal(d->CtxPopCurrent(&c), 0);
    return free_now;
}

/* ---- a piece of work ------------------------------------------------------------------------------------------------ */
static void grows(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_softmax(kiln_matmul(in[0], kiln_transpose(in[0], KILN_ALL)), -1);
}

/* Variables, single operations on views, a compiled function of sizes that vary, and reads; the sum of what came out. */
static double work(kiln *k, kiln_function *f, const char *device)
{
    KILN_SCOPE(k);
    KILN_DEVICE(k, device);
    double sum = 0;
    kiln_tensor *steps = kiln_iota(k, KILN_F32, KILN_SHAPE(6, 4), 0), *all = kiln_add(kiln_mul(steps, 0.25), 1);
    kiln_variable *v = kiln_variable_new(k, "v", kiln_transpose(all, KILN_ALL));
    for (int n = 2; n < 6; n++) {
        kiln_tensor *x = kiln_slice(kiln_transpose(kiln_value(v), KILN_ALL), 0, 0, n, 1);
        sum += kiln_item(kiln_sum(kiln_mul(kiln_call(f, x), kiln_matmul(x, kiln_slice(kiln_value(v), 1, 0, n, 1))), KILN_ALL));
    }
    kiln_assign(v, kiln_mul(v, 2));
    sum += kiln_item(kiln_reduce_max(v, KILN_AXES(0, 1)));
    kiln_variable_free(v);
    return sum;
}

typedef struct Outcome {
    kiln_code code;
    double sum;
    char text[512];
} Outcome;

static Outcome works(const char *device)
{
    Outcome o = {0};
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT, .no_log = true});
    kiln_function *f = kiln_function_new(
        k, grows, NULL, &(kiln_function_options){.name = "grows", .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 64), 4)}});
    o.sum = work(k, f, device);
    o.code = kiln_error(k)->code;
    snprintf(o.text, sizeof o.text, "%s", kiln_error(k)->text);
    kiln_clear(k);
    kiln_close(k);
    return o;
}

static void all_is_given_back(void **state)
{
    (void)state;
    const Outcome want = works("cpu");
    assert_int_equal(want.code, KILN_OK);
    for (int i = 0; i < 2; i++) {
        const Outcome got = works("emu:1");
        assert_string_equal(got.text, "");
        assert_true(got.sum == want.sum);
        assert_int_equal(free_bytes(1), (size_t)1 << 30);
    }
}

/* ---- failures ------------------------------------------------------------------------------------------------------- */
/* Every call of the driver fails once: the work goes on or says why, nothing is lost, and the next one is whole. */
static void each_call_fails(int error, kiln_code code)
{
    const Outcome want = works("emu:1");
    assert_int_equal(want.code, KILN_OK);
    const uint64_t before = emu_called(1);
    works("emu:1");
    const uint64_t calls = emu_called(1) - before, step = getenv("KILN_TEST_FULL") ? 1 : 7;
    uint64_t failed = 0;
    for (uint64_t n = 1; n <= calls; n += step) {
        emu_fail(1, n, error);
        const Outcome got = works("emu:1");
        emu_fail(1, 0, 0);
        if (got.code != KILN_OK && got.code != code) fail_msg("call %llu: %s", (unsigned long long)n, got.text);
        if (got.code == KILN_OK && got.sum != want.sum) fail_msg("call %llu: %g, not %g", (unsigned long long)n, got.sum, want.sum);
        failed += got.code != KILN_OK;
        const Outcome again = works("emu:1");
        if (again.code != KILN_OK || again.sum != want.sum) fail_msg("after call %llu: %s", (unsigned long long)n, again.text);
    }
    assert_true(failed > 0);
    printf("%llu of %llu calls failed the work\n", (unsigned long long)failed, (unsigned long long)(calls / step));
}

static void memory_may_run_out_anywhere(void **state)
{
    (void)state;
    each_call_fails(CUDA_ERROR_OUT_OF_MEMORY, KILN_EMEMORY);
    assert_int_equal(free_bytes(1), (size_t)1 << 30);
}

static void any_call_may_fail(void **state)
{
    (void)state;
    each_call_fails(INVALID_VALUE, KILN_EDEVICE);
}

/* The host's memory, as that of the library, compiling included: an error about memory, and nothing that shows late. */
static void host_memory_may_run_out(void **state)
{
    (void)state;
    const size_t most = code_most;
    const uint64_t step = getenv("KILN_TEST_FULL") ? 1 : 5;
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT, .no_log = true});
    kiln_function *f = kiln_function_new(
        k, grows, NULL, &(kiln_function_options){.name = "grows", .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 64), 4)}});
    const double want = works("cpu").sum;
    bool done = false;
    int failed = 0;
    code_most = 1; /* each time most of it is made anew */
    for (uint64_t n = 1; !done; n += step) {
        const uint64_t before = memory_count().allocations;
        memory_fail_at(n, false);
        const double sum = work(k, f, "emu:2");
        memory_fail_at(0, false);
        const kiln_code code = kiln_error(k)->code;
        if (code != KILN_OK && code != KILN_EMEMORY) fail_msg("allocation %d: %s", (int)n, kiln_error(k)->text);
        done = memory_count().allocations - before < n;
        if (code == KILN_OK) assert_true(sum == want);
        failed += code != KILN_OK;
        kiln_clear(k);
        assert_true(work(k, f, "emu:2") == want);
        if (kiln_failed(k)) fail_msg("after allocation %d: %s", (int)n, kiln_error(k)->text);
    }
    code_most = most;
    assert_true(failed > 5);
    printf("%d failed\n", failed);
    kiln_close(k);
}

static void large_results_do_not_fit(void **state)
{
    (void)state;
    kiln *k = kiln_open(&(kiln_options){.no_log = true});
    {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_to(kiln_from(k, KILN_F32, KILN_SHAPE(2), ((float[]){1, 2}), 2), "emu:1");
        kiln_tensor *wide = kiln_broadcast(kiln_reshape(x, KILN_SHAPE(2, 1)), KILN_SHAPE(2, (int64_t)1 << 28));
        kiln_add(wide, 1);
        assert_error(k, KILN_EMEMORY, "no memory for");
        assert_true(kiln_item(kiln_sum(kiln_add(x, 1), KILN_ALL)) == 5);
    }
    assert_int_equal(kiln_close(k), 0);
}

/* ---- what failed work has written ------------------------------------------------------------------------------------- */
static void doubled(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_mul(in[0], 2);
}

static void is_lost(kiln *k, kiln_tensor *x)
{
    float got[4];
    assert_false(kiln_read(x, got, sizeof got));
    assert_error(k, KILN_EDEVICE, "CUDA_ERROR_INVALID_VALUE");
}

/* When waiting fails, what nobody had seen finish gives that error to each who reads it or computes with it, until it is written
 * anew; what was done before is good. */
static void lost_until_written_anew(void **state)
{
    (void)state;
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT, .no_log = true});
    kiln_function *f = kiln_function_new(k, doubled, NULL, &(kiln_function_options){.name = "doubled"});
    {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_from(k, KILN_F32, KILN_SHAPE(4), ((float[]){1, 2, 3, 4}), 4), *good = kiln_to(x, "emu:3");
        kiln_variable *v = kiln_variable_new(k, "v", good);
        kiln_call(f, good);
        assert_true(kiln_sync(k, "emu:3"));
        kiln_tensor *lost = kiln_add(good, 1), *after = kiln_call(f, lost);
        kiln_assign(v, kiln_add(good, 5));
        emu_fail(3, 2, INVALID_VALUE); /* the call after that which makes the context current */
        assert_false(kiln_sync(k, "emu:3"));
        assert_error(k, KILN_EDEVICE, "found when these had been launched: ");
        for (int i = 0; i < 2; i++) {
            is_lost(k, lost);
            is_lost(k, after);
            is_lost(k, kiln_value(v));
            kiln_add(lost, 1);
            assert_error(k, KILN_EDEVICE, "of add (tests/test_gpu.c:");
            kiln_call(f, after);
            assert_error(k, KILN_EDEVICE, "CUDA_ERROR_INVALID_VALUE");
            assert_true(kiln_item(kiln_sum(good, KILN_ALL)) == 10);
            assert_true(kiln_item(kiln_sum(kiln_call(f, good), KILN_ALL)) == 20);
        }
        assert_true(kiln_sync(k, "emu:3"));
        kiln_assign(v, kiln_mul(good, 3));
        assert_true(kiln_item(kiln_sum(v, KILN_ALL)) == 30);
        is_lost(k, lost);
        kiln_variable_free(v);
    }
    kiln_function_free(f);
    assert_int_equal(kiln_close(k), 0);
}

/* ---- a context that dies -------------------------------------------------------------------------------------------- */
static void a_device_may_die(void **state)
{
    (void)state;
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT, .no_log = true});
    kiln_function *f = kiln_function_new(k, grows, NULL, &(kiln_function_options){.name = "grows"});
    {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_from(k, KILN_F32, KILN_SHAPE(2, 2), ((float[]){1, 2, 3, 4}), 4);
        kiln_tensor *there = kiln_to(x, "emu:2"), *other = kiln_to(x, "emu:1");
        assert_true(kiln_sync(k, "emu:2"));
        kiln_tensor *y = kiln_add(kiln_call(f, there), 1);
        float got[4];
        emu_fail(2, 2, ILLEGAL_ADDRESS); /* the call after that which makes the context current */
        assert_false(kiln_read(y, got, sizeof got));
        assert_error(k, KILN_EDEVICE, "emu:2: CUDA_ERROR_ILLEGAL_ADDRESS");
        for (int i = 0; i < 2; i++) {
            kiln_add(there, 1);
            assert_error(k, KILN_EDEVICE, "emu:2: CUDA_ERROR_ILLEGAL_ADDRESS");
            kiln_to(x, "emu:2");
            assert_error(k, KILN_EDEVICE, "found when these had been launched:");
            kiln_call(f, there);
            assert_error(k, KILN_EDEVICE, "of grows (tests/test_gpu.c:");
        }
        assert_false(kiln_sync(k, "emu:2"));
        assert_error(k, KILN_EDEVICE, "of add (tests/test_gpu.c:");
        assert_true(kiln_item(kiln_sum(kiln_add(other, 1), KILN_ALL)) == 14);
    }
    assert_int_equal(kiln_close(k), 0);
}

/* ---- where operands and sizes are read --------------------------------------------------------------------------------- */
static void same_bits(kiln *k, kiln_tensor *there, kiln_tensor *here)
{
    unsigned char a[8192], b[8192];
    const size_t n = kiln_bytes(here);
    assert_ok(k);
    assert_true(n <= sizeof a && kiln_bytes(there) == n && kiln_read(there, a, n) && kiln_read(here, b, n));
    assert_memory_equal(a, b, n);
}

/* Views of several forms as both operands of products. */
static void products_of_views(void **state)
{
    (void)state;
    static const kiln_dtype dtypes[] = {KILN_F32, KILN_F16, KILN_I8};
    kiln *k = kiln_open(NULL);
    for (int d = 0; d < 3; d++)
        for (int form = 0; form < 4; form++) {
            KILN_SCOPE(k);
            kiln_tensor *out[2];
            for (int i = 0; i < 2; i++) {
                KILN_DEVICE(k, i ? "emu:1" : "cpu");
                kiln_tensor *x = kiln_cast(kiln_sub(kiln_iota(k, KILN_I32, KILN_SHAPE(3, 4, 5), 1), 2), dtypes[d]);
                x = kiln_add(x, kiln_cast(kiln_iota(k, KILN_I32, KILN_SHAPE(3, 4, 5), 2), dtypes[d]));
                kiln_tensor *turned = kiln_transpose(x, KILN_AXES(0, 2, 1)), *back = kiln_slice(x, 1, -1, -5, -1),
                            *some = kiln_slice(x, 1, 0, 4, 2),
                            *wide = kiln_broadcast(kiln_slice(turned, 0, 1, 2, 1), KILN_SHAPE(3, 5, 4));
                kiln_tensor *left[] = {x, turned, some, x}, *right[] = {turned, back, turned, wide};
                out[i] = d == 2 ? kiln_matmul_to(left[form], right[form], KILN_I32) : kiln_matmul(left[form], right[form]);
            }
            same_bits(k, out[1], out[0]);
        }
    assert_int_equal(kiln_close(k), 0);
}

/* Ops that passes take apart, of views. */
static void ops_taken_apart(void **state)
{
    (void)state;
    kiln *k = kiln_open(NULL);
    for (int form = 0; form < 5; form++) {
        KILN_SCOPE(k);
        kiln_tensor *out[2];
        for (int i = 0; i < 2; i++) {
            KILN_DEVICE(k, i ? "emu:1" : "cpu");
            kiln_tensor *x = kiln_div(kiln_iota(k, KILN_F32, KILN_SHAPE(5, 4, 6, 2), 2), 7);
            x = kiln_transpose(kiln_add(x, kiln_iota(k, KILN_F32, KILN_SHAPE(5, 4, 6, 2), 0)), KILN_AXES(1, 2, 0, 3));
            kiln_tensor *many[40];
            for (int n = 0; n < 40; n++) many[n] = kiln_slice(x, 1, n % 6, n % 6 + 1, 1);
            out[i] = form == 0   ? kiln_sum(x, KILN_AXES(0, 2))
                     : form == 1 ? kiln_sum(kiln_cast(x, KILN_F16), KILN_AXES(1))
                     : form == 2 ? kiln_reduce_max(x, KILN_ALL)
                     : form == 3 ? kiln_concat(kiln_tensors(many, 40), 1)
                                 : kiln_conv2d(x, kiln_reshape(kiln_slice(x, 0, 0, 2, 1), KILN_SHAPE(3, 4, 2, 5)), NULL);
        }
        same_bits(k, out[1], out[0]);
    }
    assert_int_equal(kiln_close(k), 0);
}

#define ARGUMENTS 5

static void scales(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    for (int i = 0; i < ARGUMENTS; i++)
        out[i] = kiln_sum(kiln_mul(kiln_transpose(in[i], KILN_AXES(3, 1, 6, 0, 2, 5, 7, 4)), i + 2), KILN_AXES(2));
}

/* More sizes than a launch takes along lie in memory. */
static void many_sizes(void **state)
{
    (void)state;
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    kiln_function_options o = {.name = "scales", .outputs = ARGUMENTS};
    static char name[ARGUMENTS * 8][8];
    for (int i = 0; i < ARGUMENTS; i++) {
        o.inputs[i] = (kiln_spec){.dtype = KILN_F32, .rank = 8};
        for (int d = 0; d < 8; d++) {
            snprintf(name[8 * i + d], sizeof *name, "n%d_%d", i, d);
            o.inputs[i].size[d] = (kiln_size){.name = name[8 * i + d], .lo = 1, .hi = 3};
        }
    }
    {
        KILN_SCOPE(k);
        kiln_function *f = kiln_function_new(k, scales, NULL, &o);
        kiln_tensor *out[2][ARGUMENTS], *in[ARGUMENTS];
        for (int i = 0; i < 2; i++) {
            KILN_DEVICE(k, i ? "emu:1" : "cpu");
            for (int a = 0; a < ARGUMENTS; a++) in[a] = kiln_iota(k, KILN_F32, KILN_SHAPE(2, 1, 3, 2, 1, 2, 3, 1 + a % 2), a);
            kiln_call_all(f, kiln_tensors(in, ARGUMENTS), out[i], ARGUMENTS);
        }
        for (int a = 0; a < ARGUMENTS; a++) same_bits(k, out[1][a], out[0][a]);
    }
    assert_int_equal(kiln_close(k), 0);
}

/* ---- code that comes and goes ------------------------------------------------------------------------------------------- */
typedef struct Member {
    kiln *k;
    int wrong;
} Member;

static void *asks_for_all(void *arg)
{
    Member *m = arg;
    for (int i = 0; i < 6; i++) {
        KILN_SCOPE(m->k);
        KILN_DEVICE(m->k, "emu:3");
        kiln_tensor *x = kiln_iota(m->k, KILN_F32, KILN_SHAPE(4, 4), 1), *y = kiln_add(x, kiln_transpose(x, KILN_ALL));
        m->wrong += kiln_item(kiln_sum(y, KILN_ALL)) != 48;
        m->wrong += kiln_item(kiln_reduce_max(kiln_matmul(y, x), KILN_ALL)) != 54;
    }
    return NULL;
}

/* Threads that want the same, where there is room for no code but what somebody is about to run. */
static void no_room_for_code(void **state)
{
    (void)state;
    kiln *k = kiln_open(NULL);
    Member m[4];
    pthread_t t[4];
    const size_t most = code_most;
    code_most = 1;
    for (int i = 0; i < 4; i++) m[i] = (Member){k, 0}, assert_int_equal(pthread_create(&t[i], NULL, asks_for_all, &m[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], NULL);
        assert_int_equal(m[i].wrong, 0);
    }
    code_most = most;
    assert_int_equal(kiln_close(k), 0);
}

/* ---- what there is none of ------------------------------------------------------------------------------------------ */
static void cards_are_looked_for(void **state)
{
    (void)state;
    Status st = {0};
    if (cuda_driver(0, &st)) {
        printf("skip: there is a card\n");
        skip();
    }
    kiln *k = kiln_open(NULL);
    {
        KILN_DEVICE(k, "gpu:0");
        assert_error(k, KILN_EDEVICE, "libcuda.so.1");
    }
    assert_int_equal(kiln_close(k), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_is_given_back), cmocka_unit_test(memory_may_run_out_anywhere),
        cmocka_unit_test(any_call_may_fail), cmocka_unit_test(host_memory_may_run_out), cmocka_unit_test(large_results_do_not_fit),
        cmocka_unit_test(lost_until_written_anew), cmocka_unit_test(a_device_may_die), cmocka_unit_test(products_of_views),
        cmocka_unit_test(ops_taken_apart), cmocka_unit_test(many_sizes), cmocka_unit_test(no_room_for_code)};
    const struct CMUnitTest anywhere[] = {cmocka_unit_test(cards_are_looked_for)};
    int failed = cmocka_run_group_tests_name("gpu", tests, needs_compiler, NULL);
    return failed + cmocka_run_group_tests_name("gpu, anywhere", anywhere, NULL, NULL);
}
