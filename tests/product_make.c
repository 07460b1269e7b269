#include "product_make.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

static uint32_t seed = 12345;
static uint32_t draw_bits(void) { return seed = seed * 1664525u + 1013904223u; }
static bool few_digits; /* so that products are exact, and those of CPUs without FMA are the same */
static float draw(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(few_digits ? (int32_t)seed >> 20 : (int32_t)seed) * 0x1p-31f;
}

int64_t product_place(const Strides *s, int64_t index)
{
    int64_t at = 0;
    for (uint32_t i = s->n; i-- > 1; index /= s->extent[i]) at += index % s->extent[i] * s->stride[i];
    return at + index * s->stride[0];
}

double product_cell(
    DType t, int64_t n, const void *a, int64_t a_at, const Strides *a_col, const void *b, int64_t b_at, const Strides *b_row)
{
    static Scalar av[20000], bv[20000];
    size_t size = dtype_bytes(t);
    uint64_t sum = 0;
    for (int64_t k = 0; k < n; k++) {
        int64_t ai = a_at + product_place(a_col, k), bi = b_at + product_place(b_row, k);
        av[k].f = dtype_load_f64(t, (const char *)a + (size_t)ai * size);
        bv[k].f = dtype_load_f64(t, (const char *)b + (size_t)bi * size);
        sum += (uint64_t)dtype_load_i64(t, (const char *)a + (size_t)ai * size) * (uint64_t)dtype_load_i64(t, (const char *)b + (size_t)bi * size);
    }
    if (!dtype_is_float(t)) return dtype_load_f64(product_result(t), &sum); /* modulo 2^bits: its low bytes come first */
    char out[8];
    dtype_store_f64(t, out, model_product((DType)dtype_info[t].compute, av, bv, n).f);
    return dtype_load_f64(t, out);
}

void product_fill(DType t, char *at, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (dtype_is_float(t))
            dtype_store_f64(t, at + (size_t)i * dtype_bytes(t), (double)draw());
        else
            dtype_store_i64(t, at + (size_t)i * dtype_bytes(t), (int64_t)((uint64_t)draw_bits() << 32 | draw_bits()) >> 7);
}

int product_chunks;

void product_run_backwards(
    const KilnHost *h, KernelFn *fn, void *const *buf, const int64_t *dim, int64_t n, int64_t grain)
{
    (void)h;
    for (int64_t lo = (n - 1) / grain * grain; lo >= 0; lo -= grain, product_chunks++)
        fn(buf, dim, lo, MIN_OF(lo + grain, n));
}

static void keep(void *user, const void *bytes, size_t len)
{
    FILE *f = fopen(user, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

void products_on_other_cpus(void (*make)(Make *m), void (*check)(EntryFn *entry))
{
#if defined(__x86_64__)
    static const char *const others[] = {"x86-64", "x86-64-v3", "x86-64-v4"};
    const bool here[] = {true, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"),
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")};
    const char *cc = getenv("CC");
    few_digits = true;
    for (uint32_t i = 0; i < COUNT_OF(others); i++) {
        char dir[] = "/tmp/kiln_product_XXXXXX", object[64], lib[64], command[512];
        if (!here[i]) continue;
        Make *m = make_new();
        Status st = {0};
        make(m);
        assert_non_null(mkdtemp(dir));
        snprintf(object, sizeof object, "%s/k.o", dir);
        snprintf(lib, sizeof lib, "%s/k.so", dir);
        const CompileOptions o = {.triple = "x86_64-unknown-linux-gnu", .cpu = others[i]};
        if (!llvm_backend()->object(make_program(m), &o, "products", NULL, NULL, 0, keep, object, &st)) fail_msg("%s", st.text);
        snprintf(command, sizeof command, "%s -shared -o %s %s -lm", cc && *cc ? cc : "cc", lib, object);
        assert_int_equal(system(command), 0);
        void *at = dlopen(lib, RTLD_NOW | RTLD_LOCAL), *symbol = at ? dlsym(at, "products") : NULL;
        EntryFn *entry;
        memcpy(&entry, &symbol, sizeof entry);
        assert_non_null(symbol);
        check(entry);
        dlclose(at);
        snprintf(command, sizeof command, "rm -rf %s", dir);
        assert_int_equal(system(command), 0);
        make_free(m);
    }
    few_digits = false;
#else
    (void)make;
    (void)check;
#endif
}
