/* test_onnx: ONNX's own cases, those in tests/conformance/onnx and with ONNX=FOLDER those of another folder: each model on its inputs
 * gives its outputs, eagerly and, every third one (with KILN_TEST_FULL=1 each), compiled. Bounds are those of ONNX's runner: 1e-3 of
 * the value and 1e-7. */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kiln/kiln.h>
#include <kiln/onnx.h>

#include "../front.h"

enum { MOST = 64 };
static int failures, unknown;

static void complain(const char *name, bool eager, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s, %s: ", name, eager ? "eager" : "compiled");
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    failures++;
}

static bool same_type(const kiln_tensor *x, const kiln_tensor *y)
{
    bool same = kiln_dtype_of(x) == kiln_dtype_of(y) && kiln_rank(x) == kiln_rank(y);
    for (int i = 0; same && i < kiln_rank(x); i++) same = kiln_dim(x, i) == kiln_dim(y, i);
    return same;
}

/* The first element that is too far off, -1: none. */
static int64_t far_off(kiln_tensor *got, kiln_tensor *want)
{
    const int64_t n = kiln_elements(got);
    double *a = calloc((size_t)n + 1, sizeof *a), *b = calloc((size_t)n + 1, sizeof *b);
    int64_t at = -1;
    kiln_read_doubles(kiln_cast(got, KILN_F64), a, n);
    kiln_read_doubles(kiln_cast(want, KILN_F64), b, n);
    for (int64_t i = n - 1; i >= 0; i--)
        if (a[i] != b[i] && !(isnan(a[i]) && isnan(b[i])) && !(fabs(a[i] - b[i]) <= 1e-7 + 1e-3 * fabs(b[i]))) at = i;
    free(a), free(b);
    return at;
}

static int tensors(kiln *k, const char *folder, const char *what, kiln_tensor **to)
{
    char path[1100];
    int n = 0;
    for (; n < MOST; n++) {
        snprintf(path, sizeof path, "%s/%s_%d.pb", folder, what, n);
        if (access(path, F_OK) != 0) break;
        to[n] = kiln_onnx_tensor(k, path);
    }
    return n;
}

static void run_set(kiln *k, const char *name, bool eager, kiln_onnx *m, const char *folder)
{
    KILN_SCOPE(k);
    kiln_tensor *in[MOST], *want[MOST], *got[MOST];
    const int nin = tensors(k, folder, "input", in), nout = tensors(k, folder, "output", want);
    if (kiln_failed(k) || !kiln_onnx_call(m, kiln_tensors(in, nin), got, nout)) {
        complain(name, eager, "%s", kiln_error(k)->text);
        kiln_clear(k);
        return;
    }
    for (int i = 0; i < nout; i++) {
        if (!same_type(got[i], want[i])) {
            kiln_print(stderr, got[i]), kiln_print(stderr, want[i]);
            complain(name, eager, "output %d has another type", i);
            continue;
        }
        const int64_t at = far_off(got[i], want[i]);
        if (at >= 0) complain(name, eager, "output %d differs at element %lld", i, (long long)at);
    }
}

static void run_case(const char *root, const char *name, bool eager)
{
    char path[1000];
    kiln *k = kiln_open(&(kiln_options){.threads = 1, .no_log = true, .compile = KILN_WAIT});
    kiln_eager(k, eager);
    snprintf(path, sizeof path, "%s/%s/model.onnx", root, name);
    kiln_onnx *m = kiln_onnx_load(k, path);
    kiln_function *f = m ? kiln_onnx_function(m) : NULL;
    if (!f && getenv("ONNX") && kiln_error(k)->code == KILN_EUNSUPPORTED)
        unknown++;
    else if (!f)
        complain(name, eager, "%s", kiln_error(k)->text);
    for (int set = 0; f; set++) {
        snprintf(path, sizeof path, "%s/%s/test_data_set_%d", root, name, set);
        if (access(path, F_OK) != 0) break;
        run_set(k, name, eager, m, path);
    }
    kiln_clear(k);
    kiln_onnx_free(m);
    if (kiln_close(k) != 0) complain(name, eager, "something was left when the engine closed");
}

static int is_case(const struct dirent *d) { return strncmp(d->d_name, "test_", 5) == 0; }

static void official_cases(void **state)
{
    (void)state;
    const char *root = getenv("ONNX") ? getenv("ONNX") : "tests/conformance/onnx";
    const bool compiles = front_has_llvm(), all = getenv("KILN_TEST_FULL") != NULL;
    struct dirent **list;
    const int n = scandir(root, &list, is_case, alphasort);
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        run_case(root, list[i]->d_name, true);
        if (compiles && (all || i % 3 == 0)) run_case(root, list[i]->d_name, false);
        free(list[i]);
    }
    free(list);
    printf("    %d cases, %d failures, %d whose operators are unknown\n", n, failures, unknown);
    assert_int_equal(failures, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(official_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
