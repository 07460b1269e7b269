/* onnx_round: traced functions that are written as models of ONNX, read again and called beside the function. With KILN_ONNX_KEEP=FOLDER
 * each model stays there with its inputs and results as .npy, for tests/onnx_saved.py, which asks other runtimes. Relies on front.h. */
#ifndef KILN_TESTS_ONNX_ROUND_H
#define KILN_TESTS_ONNX_ROUND_H

#include "remove_all.h"

#include <kiln/io.h>
#include <kiln/onnx.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "front.h"

#define S KILN_SHAPE
#define X in[0]
#define BODY(name, value)                                                            \
    static void name(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user) \
    {                                                                                \
        (void)e, (void)user;                                                         \
        out[0] = value;                                                              \
    }

/* Of an engine that compiles nothing, for functions that are many and called once. */
static inline int never_setup(void **state) { return !(*state = kiln_open(&(kiln_options){.compile = KILN_NEVER})); }
#define NEVER_TEST(f) cmocka_unit_test_setup_teardown(f, never_setup, front_teardown)

static kiln *k;
static char folder[] = "/tmp/kiln-onnx-XXXXXX";
static const char *kept; /* the folder that the caller named, or NULL */

static inline void open_folder(kiln *engine)
{
    static bool made;
    k = engine;
    kept = getenv("KILN_ONNX_KEEP");
    if (!made) assert_non_null(mkdtemp(folder));
    made = true;
}

static inline int close_folder(void **state)
{
    (void)state;
    remove_all(folder);
    return 0;
}

static inline const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s.onnx", kept ? kept : folder, name);
    return path;
}

static inline void keep(const char *name, int call, const char *what, int i, kiln_tensor *x)
{
    char path[512];
    const kiln_dtype d = kiln_dtype_of(x);
    snprintf(path, sizeof path, "%s/%s.%d.%s%d.npy", kept, name, call, what, i);
    if (kept && !kiln_npy_write(d == KILN_BF16 || d == KILN_F8_E4M3 || d == KILN_F8_E5M2 ? kiln_cast(x, KILN_F32) : x, path))
        fail_msg("%s: %s", path, kiln_error(k)->text);
}

static inline void same_sizes(const char *name, kiln_tensor *got, kiln_tensor *want)
{
    if (kiln_failed(k)) fail_msg("%s: %s", name, kiln_error(k)->text);
    assert_int_equal(kiln_dtype_of(got), kiln_dtype_of(want));
    assert_int_equal(kiln_rank(got), kiln_rank(want));
    for (int i = 0; i < kiln_rank(got); i++)
        if (kiln_dim(got, i) != kiln_dim(want, i))
            fail_msg("%s: axis %d: %lld, not %lld", name, i, (long long)kiln_dim(got, i), (long long)kiln_dim(want, i));
}

/* off 0: bit for bit, but for the bits of NaN; else relative to the largest number. */
static inline void near_enough(const char *name, kiln_tensor *got, kiln_tensor *want, double off)
{
    same_sizes(name, got, want);
    if (kiln_elements(want) == 0) return;
    const bool exact = kiln_item(kiln_reduce_min(kiln_cast(kiln_eq(got, want), KILN_I32), KILN_ALL)) != 0;
    if (exact && off != 0) return;
    kiln_tensor *g = kiln_reshape(kiln_cast(got, KILN_F64), S(-1)), *w = kiln_reshape(kiln_cast(want, KILN_F64), S(-1));
    const double *a = kiln_data(g), *b = kiln_data(w);
    const double most = off == 0 ? 0 : kiln_item(kiln_reduce_max(kiln_where(kiln_less(kiln_abs(w), INFINITY), kiln_abs(w), 0), KILN_ALL));
    for (int64_t i = 0; i < kiln_elements(want); i++) {
        if ((isnan(a[i]) && isnan(b[i])) || (a[i] == b[i] && signbit(a[i]) == signbit(b[i]))) continue;
        if (fabs(a[i] - b[i]) <= off * fmax(1, most)) continue;
        fail_msg("%s: element %lld is %.17g, not %.17g", name, (long long)i, a[i], b[i]);
    }
}

/* Saves f. */
static inline void written(const char *name, kiln_function *f)
{
    if (!kiln_onnx_save(f, path_of(name))) fail_msg("%s: %s", name, kiln_error(k)->text);
}

/* What the model called `name` gives is what f gives, in all its results. call: counts from 0. */
static inline void read_again(const char *name, int call, kiln_function *f, kiln_operands in, int results, double off)
{
    kiln_tensor *want[8] = {NULL}, *got[8] = {NULL};
    kiln_onnx *m = kiln_onnx_load(k, path_of(name));
    if (!m) fail_msg("%s: %s", name, kiln_error(k)->text);
    if (!kiln_call_all(f, in, want, results)) fail_msg("%s: %s", name, kiln_error(k)->text);
    if (!kiln_onnx_call(m, in, got, results)) fail_msg("%s: %s", name, kiln_error(k)->text);
    for (int i = 0; i < results; i++) {
        char which[96];
        snprintf(which, sizeof which, "%s, call %d, result %d", name, call, i);
        near_enough(which, got[i], want[i], off), keep(name, call, "y", i, want[i]);
    }
    for (int i = 0; kept && i < in.count; i++) keep(name, call, "x", i, ((const kiln_operand *)in.at)[i].as.tensor);
    kiln_onnx_free(m);
}

static inline kiln_tensor *drawn(int64_t n, kiln_shape s)
{
    return kiln_reshape(kiln_mul(kiln_sin(kiln_mul(kiln_iota(k, KILN_F32, S(n), 0), 0.7)), 2), s);
}

/* As many numbers as the shape has. */
static inline kiln_tensor *filled(kiln_shape s)
{
    int64_t n = 1;
    for (int i = 0; i < (int)s.rank; i++) n *= s.size[1 + i];
    return drawn(n, s);
}

/* Whether the model has that text in it, as the names of operators and attributes are. */
static inline bool model_has(const char *name, const char *word)
{
    static char text[1 << 16];
    FILE *f = fopen(path_of(name), "rb");
    assert_non_null(f);
    const size_t n = fread(text, 1, sizeof text, f), length = strlen(word);
    fclose(f);
    for (size_t i = 0; i + length <= n; i++)
        if (!memcmp(text + i, word, length)) return true;
    return false;
}

#endif
