/* onnx_case: one of ONNX's own cases, a folder with model.onnx and test_data_set_0 and so on, run in one mode and judged by the
 * bounds of ONNX's runner: 1e-3 of the value and 1e-7, of bf16 2^-6 of the value (ONNX 1.23's). Draws are judged by what they must be like. Relies on the public interface.
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
    kiln_code code; /* of an error of the engine */
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
    if (v->code == KILN_OK) v->code = kiln_error(k)->code;
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
    const double part = kiln_dtype_of(want) == KILN_BF16 ? 0x1p-6 : 1e-3;
    for (int64_t i = 0; i < kiln_elements(got); i++) {
        if (a[i] == b[i] || (isnan(a[i]) && isnan(b[i]))) continue;
        const double off = fabs(a[i] - b[i]), ulps = off / last_place(kiln_dtype_of(want), b[i]);
        if (!(off <= 1e-7 + part * fabs(b[i])))
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

/* The values of a data set, or results: a list each, whose tensors lie one after the other. */
typedef struct Values {
    kiln_onnx_list list[MOST];
    kiln_tensor *at[MOST];
    int n, tensors;
} Values;

/* ONNX's runner, for which NumPy has no bf16, keeps such elements in files of u16. */
static kiln_tensor *as_bf16(kiln *k, kiln_tensor *x)
{
    if (kiln_failed(k) || kiln_dtype_of(x) != KILN_U16) return x;
    kiln_shape s = {.rank = kiln_rank(x)};
    for (int a = 0; a < kiln_rank(x); a++) s.size[1 + a] = kiln_dim(x, a);
    void *bits = calloc(1, kiln_bytes(x) + 1);
    kiln_read(x, bits, kiln_bytes(x));
    x = kiln_from(k, KILN_BF16, s, bits, kiln_elements(x));
    free(bits);
    return x;
}

static void read_values(kiln *k, const char *folder, const char *what, const kiln_onnx_value *value, int have, Values *to)
{
    char path[1100];
    *to = (Values){.n = 0};
    for (; to->n < have && to->n < MOST && !kiln_failed(k); to->n++) {
        snprintf(path, sizeof path, "%s/%s_%d.pb", folder, what, to->n);
        if (access(path, F_OK) != 0) break;
        kiln_onnx_list *l = &to->list[to->n];
        *l = (kiln_onnx_list){.at = to->at + to->tensors, .cap = MOST - to->tensors};
        kiln_onnx_read(k, value[to->n].kind, path, l);
        for (int i = 0; i < l->count && i < l->cap; i++)
            if (value[to->n].dtype == KILN_BF16) l->at[i] = as_bf16(k, l->at[i]);
        to->tensors += l->count > l->cap ? l->cap : l->count > 0 ? l->count : 0;
    }
}

typedef struct Set {
    kiln_onnx *m;
    kiln_onnx_value in_value[MOST], out_value[MOST];
    int nin, nout; /* of the model */
    bool lists;    /* something of it is no tensor */
    Values in, want;
} Set;

static bool has_lists(kiln_onnx *m)
{
    kiln_onnx_value value[MOST];
    bool lists = false;
    const int nin = kiln_onnx_inputs(m, value, MOST);
    for (int i = 0; i < nin; i++) lists |= value[i].kind != KILN_ONNX_TENSOR;
    const int nout = kiln_onnx_outputs(m, value, MOST);
    for (int i = 0; i < nout; i++) lists |= value[i].kind != KILN_ONNX_TENSOR;
    return lists;
}

static void read_set(kiln *k, kiln_onnx *m, const char *folder, Set *s)
{
    s->m = m;
    s->nin = kiln_onnx_inputs(m, s->in_value, MOST);
    s->nout = kiln_onnx_outputs(m, s->out_value, MOST);
    s->lists = has_lists(m);
    read_values(k, folder, "input", s->in_value, s->nin, &s->in);
    read_values(k, folder, "output", s->out_value, s->nout, &s->want);
}

/* The model for such inputs, those from which sizes follow with just these values: what is compiled ahead of time. Lists are as
 * long as they are. */
static kiln_function *for_inputs(Set *s)
{
    char name[MOST][160];
    kiln_onnx_fixed fixed[MOST], example[MOST];
    kiln_onnx_size size[MOST];
    kiln_onnx_declaration d = {.fixed = fixed, .sizes = size, .examples = example, .as_called = !s->lists};
    for (int i = 0, at = 0; i < s->nin && i < s->in.n; i++) {
        const kiln_onnx_value *v = &s->in_value[i];
        const int count = s->in.list[i].count;
        if (v->kind != KILN_ONNX_TENSOR) size[d.sizes_count++] = (kiln_onnx_size){v->name, count, count};
        for (int j = 0; j < count; j++, at++) {
            snprintf(name[at], sizeof name[at], v->kind == KILN_ONNX_TENSOR ? "%s" : "%s.%d", v->name, j);
            if (v->fixed)
                fixed[d.fixed_count++] = (kiln_onnx_fixed){name[at], s->in.at[at]};
            else if (s->lists)
                example[d.examples_count++] = (kiln_onnx_fixed){name[at], s->in.at[at]};
        }
    }
    return kiln_onnx_declared(s->m, &d);
}

/* Calls such a function; its outputs, and how many there are. 0: it failed. */
static int call_flat(kiln_function *f, Set *s, kiln_tensor **got)
{
    const int n = kiln_onnx_declared_outputs(s->m, f, NULL, 0);
    if (n < 0 || n > MOST) return 0;
    return kiln_call_all_of_at(KILN_HERE, f, kiln_tensors(s->in.at, s->in.tensors), got, n) ? n : 0;
}

/* Each value of the graph as the reference has it, given the operands that eager code had; and the results as they must be. */
static void run_ref(kiln *k, Set *s, kiln_tensor **got, Verdict *v)
{
    char *text = NULL;
    size_t bytes;
    kiln_function *f = for_inputs(s);
    FILE *report = f ? open_memstream(&text, &bytes) : NULL;
    const int n = f ? call_flat(f, s, got) : 0;
    const kiln_verdict said = n ? kiln_check_of_at(KILN_HERE, report, f, kiln_tensors(s->in.at, s->in.tensors)) : KILN_DISAGREE;
    if (report) fclose(report);
    if (fine(k, v) && said == KILN_DISAGREE) wrong(v, "the reference has something else: %s", text ? text : "");
    if (v->ok && n != s->want.tensors) wrong(v, "its outputs are %d tensors, not %d", n, s->want.tensors);
    free(text);
}

/* Results as tensors one after the other, if the lists are as long as they must be. */
static void run_lists(Set *s, kiln_tensor **got, Verdict *v)
{
    kiln_tensor *room[MOST][MOST];
    kiln_onnx_list out[MOST];
    for (int i = 0; i < s->nout; i++) out[i] = (kiln_onnx_list){.at = room[i], .cap = MOST};
    if (!kiln_onnx_call_lists(s->m, s->in.list, s->in.n, out, s->nout)) return;
    for (int i = 0, n = 0; i < s->nout && i < s->want.n; i++) {
        if (out[i].count != s->want.list[i].count) {
            wrong(v, "output %d is a list of %d tensors, not of %d", i, out[i].count, s->want.list[i].count);
            return;
        }
        for (int j = 0; j < out[i].count; j++) got[n++] = room[i][j];
    }
}

static void run_set(kiln *k, const char *name, Mode mode, kiln_onnx *m, const char *folder, Verdict *v)
{
    KILN_SCOPE(k);
    kiln_tensor *got[MOST];
    Set s;
    read_set(k, m, folder, &s);
    if (!fine(k, v)) return;
    if (mode == REF)
        run_ref(k, &s, got, v);
    else if (s.lists)
        run_lists(&s, got, v);
    else
        kiln_onnx_call(m, kiln_tensors(s.in.at, s.in.tensors), got, s.want.tensors);
    if (fine(k, v) && v->ok) judge(name, s.in.at, s.in.tensors, got, s.want.at, s.want.tensors, v);
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

static inline Verdict run_case(const char *folder, Mode mode, const char *device)
{
    char path[1100];
    Verdict v = {.ok = true};
    const char *slash = strrchr(folder, '/');
    kiln *k = case_engine(mode, device);
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    kiln_onnx *m = kiln_onnx_load(k, path);
    if (m && !has_lists(m)) kiln_onnx_function(m); /* what is missing is told before the files are read */
    fine(k, &v);
    for (int set = 0; m && v.ok; set++) {
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
