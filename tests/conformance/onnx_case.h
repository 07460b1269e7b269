/* onnx_case: one of ONNX's own cases, a folder with model.onnx and test_data_set_0 and so on, run in one mode and judged by the
 * bounds of ONNX's runner: 1e-3 of the value and 1e-7. Draws are judged by what they must be like. Relies on the public interface.
 */
#ifndef KILN_TESTS_ONNX_CASE_H
#define KILN_TESTS_ONNX_CASE_H

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kiln/kiln.h>
#include <kiln/onnx.h>

typedef enum Mode { EAGER, COMPILED, OBJECT, REF, DEVICE, MODES } Mode;
static const char *const mode_name[MODES] = {"eager", "compiled", "object", "ref", "device"};
enum { MOST = 64 };

typedef struct Verdict {
    bool ok;
    double ulps; /* the largest distance, in last places of what was wanted */
    char why[300];
} Verdict;

static bool wrong(Verdict *v, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (v->ok) vsnprintf(v->why, sizeof v->why, format, args);
    va_end(args);
    v->ok = false;
    return false;
}

/* The engine's error as the verdict; true if there is none. */
static bool fine(kiln *k, Verdict *v)
{
    if (!kiln_failed(k)) return true;
    char text[1024]; /* without the line of ours that it names, and without the model's path */
    snprintf(text, sizeof text, "%s", kiln_error(k)->text);
    for (char *line = strstr(text, "  "); line; line = strstr(line + 1, "  "))
        if (strstr(line, ".c:") || strstr(line, ".h:")) *line = 0;
    char *path = strncmp(text, "onnx: /", 7) == 0 || strncmp(text, "onnx: tests/", 12) == 0 ? strstr(text + 6, ": ") : NULL;
    wrong(v, "%s", path ? path + 2 : strncmp(text, "onnx: ", 6) == 0 ? text + 6 : text);
    kiln_clear(k);
    return false;
}

/* ---- values --------------------------------------------------------------------------------------------- */

static double last_place(kiln_dtype t, double v)
{
    const int digits = t == KILN_F64 ? 52 : t == KILN_F32 ? 23 : t == KILN_F16 ? 10 : t == KILN_BF16 ? 7 : 0;
    const int lowest = t == KILN_F64 ? -1074 : t == KILN_F32 || t == KILN_BF16 ? -126 - digits : -24;
    return digits == 0 ? 1 : ldexp(1, v == 0 ? lowest : ilogb(v) - digits > lowest ? ilogb(v) - digits : lowest);
}

static double *doubles(kiln_tensor *x)
{
    double *to = calloc((size_t)kiln_elements(x) + 1, sizeof *to);
    kiln_read_doubles(kiln_cast(x, KILN_F64), to, kiln_elements(x));
    return to;
}

static bool same_type(kiln_tensor *x, kiln_tensor *y, int i, Verdict *v)
{
    char shape[2][120] = {"", ""};
    bool same = kiln_rank(x) == kiln_rank(y);
    for (int j = 0; j < 2; j++)
        for (int a = 0, n = 0; a < kiln_rank(j ? y : x); a++)
            n += snprintf(shape[j] + n, sizeof shape[j] - (size_t)n, a ? ",%lld" : "%lld", (long long)kiln_dim(j ? y : x, a));
    for (int a = 0; same && a < kiln_rank(x); a++) same = kiln_dim(x, a) == kiln_dim(y, a);
    if (same && kiln_dtype_of(x) == kiln_dtype_of(y)) return true;
    return wrong(v, "output %d is %s[%s], not %s[%s]", i, kiln_dtype_name(kiln_dtype_of(x)), shape[0],
        kiln_dtype_name(kiln_dtype_of(y)), shape[1]);
}

static void compare(kiln_tensor *got, kiln_tensor *want, int output, Verdict *v)
{
    if (!same_type(got, want, output, v)) return;
    double *a = doubles(got), *b = doubles(want);
    for (int64_t i = 0; i < kiln_elements(got); i++) {
        if (a[i] == b[i] || (isnan(a[i]) && isnan(b[i]))) continue;
        const double off = fabs(a[i] - b[i]), ulps = off / last_place(kiln_dtype_of(want), b[i]);
        if (!(off <= 1e-7 + 1e-3 * fabs(b[i])))
            wrong(v, "output %d, element %lld: %.9g, not %.9g", output, (long long)i, a[i], b[i]);
        if (off > 1e-7 && isfinite(ulps) && ulps > v->ulps) v->ulps = ulps; /* near 0 the bound is absolute */
    }
    free(a), free(b);
}

/* ---- draws ---------------------------------------------------------------------------------------------- */

static bool is_draw(const char *name)
{
    return strncmp(name, "test_bernoulli", 14) == 0 ||
           (strncmp(name, "test_training_dropout", 21) == 0 && !strstr(name, "zero_ratio"));
}

/* As many as they must be, by six standard deviations. */
static void count_draws(double n, double expected, double variance, Verdict *v)
{
    if (fabs(n - expected) > 6 * sqrt(variance) + 1) wrong(v, "%g draws were true, of %g that were to be expected", n, expected);
}

static void judge_bernoulli(kiln_tensor *p, kiln_tensor *y, Verdict *v)
{
    double *a = doubles(p), *b = doubles(y), n = 0, expected = 0, variance = 0;
    for (int64_t i = 0; i < kiln_elements(p); i++) {
        if (b[i] != 0 && b[i] != 1) wrong(v, "element %lld is %g, neither 0 nor 1", (long long)i, b[i]);
        n += b[i], expected += a[i], variance += a[i] * (1 - a[i]);
    }
    count_draws(n, expected, variance, v);
    free(a), free(b);
}

/* What is kept grows as what is not is left out, and the mask says which. */
static void judge_dropout(kiln_tensor *x, double ratio, kiln_tensor *y, kiln_tensor *mask, Verdict *v)
{
    double *a = doubles(x), *b = doubles(y), *m = mask ? doubles(mask) : NULL, n = 0;
    const double count = (double)kiln_elements(x);
    for (int64_t i = 0; i < kiln_elements(x); i++) {
        const double full = a[i] / (1 - ratio);
        const bool kept = fabs(b[i] - full) <= 1e-7 + 1e-3 * fabs(full);
        if (!kept && b[i] != 0) wrong(v, "element %lld is %g of %g", (long long)i, b[i], a[i]);
        if (m && a[i] != 0 && (m[i] != 0) != kept) wrong(v, "element %lld: the mask says something else", (long long)i);
        n += kept;
    }
    count_draws(n, count * (1 - ratio), count * ratio * (1 - ratio), v);
    free(a), free(b), free(m);
}

static void judge(const char *name, kiln_tensor **in, int nin, kiln_tensor **got, kiln_tensor **want, int nout, Verdict *v)
{
    for (int i = 0; i < nout; i++)
        if (!is_draw(name))
            compare(got[i], want[i], i, v);
        else if (!same_type(got[i], want[i], i, v))
            return;
    if (!is_draw(name)) return;
    if (strncmp(name, "test_bernoulli", 14) == 0)
        judge_bernoulli(in[0], got[0], v);
    else
        judge_dropout(in[0], nin > 1 && kiln_dtype_of(in[1]) == kiln_dtype_of(in[0]) ? kiln_item(in[1]) : 0.5, got[0],
            nout > 1 ? got[1] : NULL, v);
}

/* ---- a case --------------------------------------------------------------------------------------------- */

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

/* ONNX's runner, for which NumPy has no bf16, keeps such elements in files of u16. */
static void as_bf16(kiln *k, const kiln_onnx_value *value, int n, kiln_tensor **x, int have)
{
    for (int i = 0; i < n && i < have; i++) {
        if (value[i].dtype != KILN_BF16 || kiln_failed(k) || kiln_dtype_of(x[i]) != KILN_U16) continue;
        kiln_shape s = {.rank = kiln_rank(x[i])};
        for (int a = 0; a < kiln_rank(x[i]); a++) s.size[1 + a] = kiln_dim(x[i], a);
        void *bits = calloc(1, kiln_bytes(x[i]) + 1);
        kiln_read(x[i], bits, kiln_bytes(x[i]));
        x[i] = kiln_from(k, KILN_BF16, s, bits, kiln_elements(x[i]));
        free(bits);
    }
}

/* The tensors of a data set. */
static void read_set(kiln *k, kiln_onnx *m, const char *folder, kiln_tensor **in, int *nin, kiln_tensor **want, int *nout)
{
    kiln_onnx_value value[MOST];
    *nin = tensors(k, folder, "input", in), *nout = tensors(k, folder, "output", want);
    as_bf16(k, value, kiln_onnx_inputs(m, value, MOST), in, *nin);
    as_bf16(k, value, kiln_onnx_outputs(m, value, MOST), want, *nout);
}

/* The model for such inputs, those from which sizes follow with just these values: what is compiled ahead of time. */
static kiln_function *for_inputs(kiln_onnx *m, kiln_tensor **in, int nin)
{
    kiln_onnx_value value[MOST];
    kiln_onnx_fixed fixed[MOST];
    const int n = kiln_onnx_inputs(m, value, MOST);
    int count = 0;
    for (int i = 0; i < n && i < nin; i++)
        if (value[i].fixed) fixed[count++] = (kiln_onnx_fixed){value[i].name, in[i]};
    return kiln_onnx_declared(m, &(kiln_onnx_declaration){.fixed = fixed, .fixed_count = count, .as_called = true});
}

/* Each value of the graph as the reference has it, given the operands that eager code had; and the results as they must be. */
static void run_ref(kiln *k, kiln_onnx *m, kiln_tensor **in, int nin, kiln_tensor **got, int nout, Verdict *v)
{
    char *text = NULL;
    size_t bytes;
    kiln_function *f = for_inputs(m, in, nin);
    FILE *report = f ? open_memstream(&text, &bytes) : NULL;
    const bool ran = f && kiln_call_all_of_at(KILN_HERE, f, kiln_tensors(in, nin), got, nout);
    const kiln_verdict said = ran ? kiln_check_of_at(KILN_HERE, report, f, kiln_tensors(in, nin)) : KILN_DISAGREE;
    if (report) fclose(report);
    if (fine(k, v) && said == KILN_DISAGREE) wrong(v, "the reference has something else: %s", text ? text : "");
    free(text);
}

static void run_set(kiln *k, const char *name, Mode mode, kiln_onnx *m, const char *folder, Verdict *v)
{
    KILN_SCOPE(k);
    kiln_tensor *in[MOST], *want[MOST], *got[MOST];
    int nin, nout;
    read_set(k, m, folder, in, &nin, want, &nout);
    if (!fine(k, v)) return;
    if (mode == REF)
        run_ref(k, m, in, nin, got, nout, v);
    else
        kiln_onnx_call(m, kiln_tensors(in, nin), got, nout);
    if (fine(k, v) && v->ok) judge(name, in, nin, got, want, nout, v);
    fine(k, v);
}

static kiln *case_engine(Mode mode, const char *device)
{
    kiln *k = kiln_open(&(kiln_options){.threads = 1,
        .no_log = true,
        .compile = mode == REF ? 0 : KILN_WAIT,
        .no_compile = mode == REF,
        .device = mode == DEVICE ? device : "cpu"});
    if (k) kiln_eager(k, mode == EAGER);
    return k;
}

static Verdict run_case(const char *folder, Mode mode, const char *device)
{
    char path[1100];
    Verdict v = {.ok = true};
    const char *slash = strrchr(folder, '/');
    kiln *k = case_engine(mode, device);
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    kiln_onnx *m = kiln_onnx_load(k, path);
    kiln_function *f = m ? kiln_onnx_function(m) : NULL;
    fine(k, &v);
    for (int set = 0; f && v.ok; set++) {
        snprintf(path, sizeof path, "%s/test_data_set_%d", folder, set);
        if (access(path, F_OK) != 0) break;
        run_set(k, slash ? slash + 1 : folder, mode, m, path, &v);
    }
    kiln_clear(k);
    kiln_onnx_free(m);
    if (kiln_close(k) != 0) wrong(&v, "something was left when the engine closed");
    return v;
}

#endif
