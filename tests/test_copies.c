/* Large copies are kernels, small ones are not: every bit of every dtype arrives, NaNs with their payloads, on one to three
 * threads; sizes that are known only when the code runs, and copies inside a loop. */
#include <stdlib.h>
#include <unistd.h>

#include "front.h"

#include "dumped.h"

static void assigns(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_assign((kiln_variable *)user, in[0]);
    out[0] = kiln_scalar(k, KILN_F32, 0);
}

/* Each turn gives the one what the other was. */
static void swaps(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *a = kiln_local(k, in[0]), *b = kiln_local(k, kiln_mul(in[0], 3.0));
    (void)user;
    KILN_FOR (k, i, 3) {
        kiln_tensor *was = kiln_value(a);
        kiln_assign(a, kiln_value(b));
        kiln_assign(b, was);
    }
    out[0] = kiln_value(a);
    out[1] = kiln_value(b);
}

typedef struct Dumped {
    char folder[32];
    int kernels; /* that copy */
} Dumped;

static kiln *open_dumping(Dumped *d, int threads)
{
    strcpy(d->folder, "/tmp/kiln-copies-XXXXXX");
    assert_non_null(mkdtemp(d->folder));
    setenv("KILN_DUMP", "program", 1);
    setenv("KILN_DUMP_DIR", d->folder, 1);
    return kiln_open(&(kiln_options){.threads = threads, .compile = KILN_WAIT});
}

static void close_dumping(kiln *k, Dumped *d)
{
    static const char *const says[] = {"kernel copy("};
    assert_int_equal(kiln_close(k), 0);
    unsetenv("KILN_DUMP");
    dumped_lines(d->folder, says, 1, &d->kernels);
    rmdir(d->folder);
}

static void copy_of(kiln_dtype dtype, int64_t n, int threads, bool is_kernel)
{
    Dumped d;
    kiln *k = open_dumping(&d, threads);
    {
        KILN_SCOPE(k);
        const int64_t size = kiln_bytes(kiln_zeros(k, dtype, KILN_SHAPE(1)));
        unsigned char *bits = malloc((size_t)(n * size));
        for (int64_t i = 0; i < n * size; i++) bits[i] = dtype == KILN_BOOL ? i % 3 == 0 : (unsigned char)(i * 37 + i / 251);
        kiln_variable *v = kiln_variable_new(k, "v", kiln_zeros(k, dtype, KILN_SHAPE(n)));
        kiln_function *f = kiln_function_new(k, assigns, v, NULL);
        kiln_call(f, kiln_from(k, dtype, KILN_SHAPE(n), bits, n));
        assert_int_equal(kiln_error(k)->code, KILN_OK);
        assert_memory_equal(kiln_data(kiln_value(v)), bits, (size_t)(n * size));
        free(bits);
    }
    close_dumping(k, &d);
    if (!late_keeps()) assert_int_equal(d.kernels, is_kernel); /* of the CPU's programs */
}

static void every_dtype(void **state)
{
    (void)state;
    static const kiln_dtype dtypes[] = {
        KILN_BOOL, KILN_I8, KILN_F8_E4M3, KILN_F8_E5M2, KILN_F16, KILN_BF16, KILN_U16, KILN_I32, KILN_F32, KILN_I64, KILN_F64};
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        for (int threads = 1; threads < 4; threads++) copy_of(dtypes[i], 300007, threads, true);
}

static void small(void **state)
{
    (void)state;
    copy_of(KILN_F32, 1000, 2, false);
}

static void in_loop(bool symbol)
{
    Dumped d;
    kiln *k = open_dumping(&d, 2);
    {
        KILN_SCOPE(k);
        kiln_function_options o = {.outputs = 2};
        if (symbol) o.inputs[0] = (kiln_spec)KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 1000000));
        kiln_function *f = kiln_function_new(k, swaps, NULL, &o);
        kiln_tensor *x = kiln_iota(k, KILN_F32, KILN_SHAPE(100001), 0), *out[2];
        kiln_call_all(f, (kiln_operand[]){KILN_OPERAND(x)}, 1, out, 2);
        assert_int_equal(kiln_error(k)->code, KILN_OK);
        const float *a = kiln_data(out[0]), *b = kiln_data(out[1]);
        for (int i = 0; i < 100001; i++) assert_true(a[i] == 3.f * (float)i && b[i] == (float)i);
    }
    close_dumping(k, &d);
    if (!late_keeps()) assert_int_equal(d.kernels, 1);
}

static void in_loops(void **state)
{
    (void)state;
    in_loop(false);
    in_loop(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_dtype), cmocka_unit_test(small), cmocka_unit_test(in_loops)};
    return cmocka_run_group_tests(tests, front_needs_llvm, NULL);
}
