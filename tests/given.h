/* given: runs operations on cases whose results other programs computed beforehand (tests/given/): eagerly, traced and compiled, traced with a
 * size that is a symbol, against the reference interpreter (kiln_check), for two examples at once (kiln_vmap), and where a row says so their
 * gradients, of first and second order, against central differences. A test gives a table of rows: how a case's inputs and numbers become a
 * call. Relies on values.h. */
#ifndef KILN_TESTS_GIVEN_H
#define KILN_TESTS_GIVEN_H

#include <stdio.h>
#include <stdlib.h>

#include "values.h"

#define GIVEN_MOST 8 /* inputs and outputs of a case */
#define GIVEN_NUMBERS 32

typedef struct Given {
    const char *name;
    int line; /* in the file */
    int nin, nout, nn;
    double n[GIVEN_NUMBERS];
    kiln_tensor *in[GIVEN_MOST], *want[GIVEN_MOST];
} Given;
typedef void GivenCall(const Given *g, kiln_tensor **out);

typedef enum GivenFlags {
    GIVEN_GRAD = 1,  /* floats, and smooth at the first two cases: gradients are compared with differences */
    GIVEN_SIZED = 2, /* sizes must be known in a trace */
    GIVEN_ONCE = 4,  /* smooth, but for its second derivative */
    GIVEN_EAGER = 8, /* not in a trace */
    GIVEN_BATCH = 16, /* sizes must be known but for the first of three or more, which several inputs may share */
    GIVEN_ALONE = 32 /* not for many examples at once */
} GivenFlags;
typedef struct GivenRow {
    const char *name;
    GivenCall *call;
    double near; /* of the largest element of the case's result, in units of its last place; 0: equal */
    int flags;
} GivenRow;

/* GIVEN(roll, kiln_roll(X(0), I(0), I(1))) */
#define GIVEN(name, value) \
    static void name(const Given *g, kiln_tensor **out) { (void)g, out[0] = (value); }
#define X(i) (g->in[i])
#define N(i) (g->n[i])
#define I(i) ((int)g->n[i])
/* The axes that stand in a case's numbers from i on: whether they are kept, their count (-1: all), they themselves. */
static inline kiln_axes given_axes(const Given *g, int i)
{
    kiln_axes a = {0};
    a.keep = (int)g->n[i];
    a.count = (int)g->n[i + 1];
    for (int n = 1; n <= a.count; n++) a.axis[n] = (int)g->n[i + 1 + n];
    return a;
}
#define OVER given_axes(g, 0)
#define PAST (g->n[1] < 0 ? 2 : 2 + (int)g->n[1]) /* where numbers after such axes begin */
#define ROW(name, near, flags) {#name, name, near, flags}

/* ---- reading ----------------------------------------------------------------------------------------------------------- */
static kiln_dtype given_dtype(const char *name)
{
    static const kiln_dtype all[] = {KILN_BOOL, KILN_I8, KILN_I16, KILN_I32, KILN_I64, KILN_U8, KILN_U16, KILN_U32, KILN_U64, KILN_F16, KILN_BF16, KILN_F32, KILN_F64};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(kiln_dtype_name(all[i]), name)) return all[i];
    fail_msg("no dtype %s", name);
    return KILN_NONE;
}

/* "f32 2,3 1 2 3 4 5 6" */
static kiln_tensor *given_tensor(const char *at)
{
    char name[8];
    int used;
    kiln_shape s = KILN_SHAPE();
    assert_int_equal(sscanf(at, "%7s %n", name, &used), 1);
    at += used;
    int64_t count = 1;
    while (*at >= '0' && *at <= '9') {
        char *end;
        count *= s.size[++s.rank] = strtoll(at, &end, 10);
        at = end + (*end == ',');
    }
    at += *at == '-';
    const kiln_dtype t = given_dtype(name);
    int64_t *whole = calloc((size_t)count + 1, sizeof *whole);
    double *v = calloc((size_t)count + 1, sizeof *v);
    for (int64_t i = 0; i < count; i++) {
        char *end;
        v[i] = strtod(at, &end);
        whole[i] = t == KILN_U64 ? (int64_t)strtoull(at, NULL, 10) : strtoll(at, NULL, 10);
        if (end == at) fail_msg("%lld elements, %lld are there", (long long)count, (long long)i);
        at = end;
    }
    kiln_tensor *x = t == KILN_I64 || t == KILN_U64 ? kiln_from(k, t, s, whole, count) : kiln_from_doubles(k, t, s, v, count);
    free(whole);
    free(v);
    return x;
}

/* The next case; false at the end. Its name lies in the line that *at points to. */
static bool given_next(FILE *f, char **at, size_t *cap, Given *g, int *line)
{
    *g = (Given){0};
    for (long from; from = ftell(f), getline(at, cap, f) > 0; ++*line) {
        (*at)[strcspn(*at, "\n")] = 0;
        if (!strncmp(*at, "case ", 5)) {
            if (g->name) return fseek(f, from, SEEK_SET), true;
            char *rest = strchr(*at + 5, ' ');
            g->name = strndup(*at + 5, rest ? (size_t)(rest - *at - 5) : 99);
            g->line = *line + 1;
            for (char *end; rest && *rest; rest = end) {
                g->n[g->nn] = strtod(rest, &end);
                if (end == rest) break;
                assert_true(++g->nn <= GIVEN_NUMBERS);
            }
        } else if (!strncmp(*at, "in ", 3)) {
            g->in[g->nin++] = given_tensor(*at + 3);
        } else if (!strncmp(*at, "out ", 4)) {
            g->want[g->nout++] = given_tensor(*at + 4);
        }
    }
    return g->name != NULL;
}

/* ---- comparing -------------------------------------------------------------------------------------------------------- */
static double given_unit(kiln_dtype t) { return t == KILN_F64 ? 0x1p-52 : t == KILN_F32 ? 0x1p-23 : t == KILN_F16 ? 0x1p-10 : t == KILN_BF16 ? 0x1p-7 : 0; }

static double *given_values(kiln_tensor *x)
{
    double *v = calloc((size_t)kiln_elements(x) + 1, sizeof *v);
    kiln_tensor *y = kiln_dtype_of(x) == KILN_I64 || kiln_dtype_of(x) == KILN_U64 ? kiln_cast(x, KILN_F64) : x;
    if (!kiln_read_doubles(y, v, kiln_elements(x))) fail_msg("%s", kiln_error(k)->text);
    return v;
}

static void given_equal(const Given *g, const char *how, int i, kiln_tensor *have, double near)
{
    kiln_tensor *want = g->want[i];
    if (!have || kiln_dtype_of(have) == KILN_NONE) fail_msg("%s, line %d, %s: %s", g->name, g->line, how, kiln_error(k)->text);
    bool same = kiln_dtype_of(have) == kiln_dtype_of(want) && kiln_rank(have) == kiln_rank(want);
    for (int a = 0; same && a < kiln_rank(want); a++) same = kiln_dim(have, a) == kiln_dim(want, a);
    if (!same) {
        kiln_print(stderr, have);
        kiln_print(stderr, want);
        fail_msg("%s, line %d, %s: dtype or shape", g->name, g->line, how);
    }
    double *a = given_values(have), *b = given_values(want), most = 0;
    const int64_t n = kiln_elements(want);
    for (int64_t e = 0; e < n; e++)
        if (isfinite(b[e])) most = fmax(most, fabs(b[e]));
    for (int64_t e = 0; e < n; e++) {
        const bool is = a[e] == b[e] ? near != 0 || a[e] != 0 || signbit(a[e]) == signbit(b[e]) : isnan(a[e]) && isnan(b[e]);
        if (is || (isfinite(b[e]) && fabs(a[e] - b[e]) <= near * most * given_unit(kiln_dtype_of(want)))) continue;
        fail_msg("%s, line %d, %s: element %lld is %.17g, not %.17g", g->name, g->line, how, (long long)e, a[e], b[e]);
    }
    free(a);
    free(b);
}

/* ---- modes ------------------------------------------------------------------------------------------------------------ */
typedef struct GivenRun {
    const GivenRow *row;
    const Given *g;
} GivenRun;

static void given_body(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const GivenRun *r = user;
    Given g = *r->g;
    (void)e;
    for (int i = 0; i < g.nin; i++) g.in[i] = in[i];
    r->row->call(&g, out);
}

static kiln_spec given_spec(kiln_tensor *x, bool open)
{
    kiln_spec s = {.dtype = kiln_dtype_of(x)};
    s.rank = kiln_rank(x);
    for (int a = 0; a < s.rank; a++)
        s.size[a] = open && a == 0 ? kiln_dim_of("N", 1, 3 * kiln_dim(x, 0)) : kiln_size_of(kiln_dim(x, a));
    return s;
}

/* In a trace, with the sizes known or the first one of the first input open. */
static void given_traced(const GivenRow *row, const Given *g, bool open)
{
    GivenRun run = {row, g};
    kiln_tensor *out[GIVEN_MOST];
    kiln_function_options o = {.name = row->name, .outputs = g->nout};
    for (int i = 0; i < g->nin; i++) {
        const bool shares = row->flags & GIVEN_BATCH && kiln_rank(g->in[i]) == kiln_rank(g->in[0]) && kiln_dim(g->in[i], 0) == kiln_dim(g->in[0], 0);
        o.inputs[i] = given_spec(g->in[i], open && (i == 0 || shares));
    }
    kiln_function *f = kiln_function_new(k, given_body, &run, &o);
    if (!kiln_call_all(f, kiln_tensors(g->in, g->nin), out, g->nout)) fail_msg("%s, line %d, %s: %s", g->name, g->line, open ? "a symbol" : "traced", kiln_error(k)->text);
    for (int i = 0; i < g->nout; i++) given_equal(g, open ? "a symbol" : "traced", i, out[i], row->near);
    if (!late_keeps() && kiln_check(stderr, f, kiln_tensors(g->in, g->nin)) == KILN_DISAGREE) fail_msg("%s, line %d: %s", g->name, g->line, kiln_failed(k) ? kiln_error(k)->text : "kiln_check");
    kiln_function_free(f);
}

/* For two examples at once: the case's own inputs, and these in reverse along their first axes. */
static void given_mapped(const GivenRow *row, const Given *g)
{
    GivenRun run = {row, g};
    Given example[2] = {*g, *g};
    kiln_tensor *both[GIVEN_MOST], *out[GIVEN_MOST] = {0};
    kiln_function_options o = {.name = row->name, .inputs_count = g->nin, .outputs = g->nout, .compile = KILN_NEVER};
    for (int i = 0; i < g->nin; i++) {
        if (kiln_rank(g->in[i]) > 0) example[1].in[i] = kiln_slice(g->in[i], 0, -1, KILN_END, -1);
        both[i] = kiln_stack(KILN_IN(g->in[i], example[1].in[i]), 0);
    }
    kiln_function *f = kiln_function_new(k, given_body, &run, &o), *many = kiln_vmap(f, NULL);
    if (!kiln_call_all(many, kiln_tensors(both, g->nin), out, g->nout)) fail_msg("%s, line %d, mapped: %s", g->name, g->line, kiln_error(k)->text);
    for (int e = 0; e < 2; e++) {
        row->call(&example[e], example[e].want);
        for (int i = 0; i < g->nout; i++) given_equal(&example[e], e ? "the second of two" : "the first of two", i, kiln_squeeze(kiln_slice(out[i], 0, e, e + 1, 1), 0), row->near);
    }
    kiln_function_free(f);
}

/* ---- gradients ------------------------------------------------------------------------------------------------------------- */
/* Inputs that are floats, as f64; the others are constants. Its sum is weighed, so that no two elements count alike. */
typedef struct GivenSlope {
    const GivenRow *row;
    Given g;
    kiln_function *inner; /* NULL: the operation, else its gradient */
} GivenSlope;

static kiln_tensor *given_weighed(kiln_tensor *x)
{
    kiln_tensor *y = kiln_reshape(kiln_cast(x, KILN_F64), KILN_SHAPE(-1));
    return kiln_sum(kiln_mul(y, kiln_cos(kiln_iota_along(y, 0, KILN_F64))), KILN_ALL);
}

static void given_sum(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    GivenSlope *s = user;
    Given g = s->g;
    kiln_tensor *got[GIVEN_MOST];
    (void)e;
    int n = 0;
    for (int i = 0; i < g.nin; i++)
        if (given_unit(kiln_dtype_of(g.in[i])) != 0) g.in[i] = in[n++];
    if (s->inner)
        kiln_call_all(s->inner, kiln_tensors(in, n), got, n);
    else
        s->row->call(&g, got);
    out[0] = NULL;
    for (int i = 0; i < (s->inner ? n : g.nout); i++) {
        if (given_unit(kiln_dtype_of(got[i])) == 0) continue;
        out[0] = out[0] ? kiln_add(out[0], given_weighed(got[i])) : given_weighed(got[i]);
    }
}

static double given_at(kiln_function *f, kiln_tensor *const *x, int n)
{
    kiln_tensor *y = NULL;
    return kiln_call_all(f, kiln_tensors(x, n), &y, 1) ? kiln_item(y) : NAN;
}

/* The gradient of f, which gives one number, against its central differences. */
static void given_differences(const GivenSlope *s, const char *how, kiln_function *f, kiln_function *df, kiln_tensor *const *x, int n)
{
    kiln_tensor *at[GIVEN_MOST], *slope[GIVEN_MOST];
    if (!kiln_call_all(df, kiln_tensors(x, n), slope, n)) fail_msg("%s, line %d, %s: %s", s->g.name, s->g.line, how, kiln_error(k)->text);
    for (int i = 0; i < n; i++) {
        double *v = given_values(x[i]), *have = given_values(slope[i]);
        memcpy(at, x, (size_t)n * sizeof *x);
        for (int64_t e = 0; e < kiln_elements(x[i]); e++) {
            KILN_SCOPE(k);
            const double from = v[e], by = 1e-5 * fmax(1, fabs(from));
            kiln_shape shape = KILN_SHAPE();
            for (int a = 0; a < kiln_rank(x[i]); a++) shape.size[++shape.rank] = kiln_dim(x[i], a);
            v[e] = from + by;
            at[i] = kiln_from(k, KILN_F64, shape, v, kiln_elements(x[i]));
            const double above = given_at(f, at, n);
            v[e] = from - by;
            at[i] = kiln_from(k, KILN_F64, shape, v, kiln_elements(x[i]));
            const double below = given_at(f, at, n), want = (above - below) / (2 * by);
            v[e] = from;
            if (!(fabs(have[e] - want) <= 1e-6 * (1 + fabs(want) + fabs(above))))
                fail_msg("%s, line %d, %s: d/dx%d[%lld] is %.12g, differences give %.12g", s->g.name, s->g.line, how, i, (long long)e, have[e], want);
        }
        free(v);
        free(have);
    }
}

static void given_slopes(const GivenRow *row, const Given *g)
{
    GivenSlope first = {row, *g, NULL}, second = {row, *g, NULL};
    kiln_function_options o = {.name = row->name};
    kiln_tensor *x[GIVEN_MOST];
    int n = 0;
    for (int i = 0; i < g->nin; i++) {
        if (given_unit(kiln_dtype_of(g->in[i])) == 0) continue;
        x[n] = kiln_cast(g->in[i], KILN_F64);
        o.inputs[n] = given_spec(x[n], false);
        n++;
    }
    kiln_function *f = kiln_function_new(k, given_sum, &first, &o);
    second.inner = kiln_grad(f);
    kiln_function *slope = kiln_function_new(k, given_sum, &second, &o);
    for (int eager = 1; eager >= 0; eager--) {
        kiln_eager(k, eager);
        given_differences(&first, eager ? "eager" : "compiled", f, second.inner, x, n);
        if (!(row->flags & GIVEN_ONCE)) given_differences(&second, eager ? "second order, eager" : "second order", slope, kiln_grad(slope), x, n);
    }
    kiln_function_free(slope);
    kiln_function_free(f);
}

/* ---- all -------------------------------------------------------------------------------------------------------------- */
static const GivenRow *given_rows;
static int given_count;
static const char *given_file;

/* A row's first cases in all modes, the others eagerly; with KILN_TEST_FULL all in all. */
static void given_run(const GivenRow *row, const Given *g, int number)
{
    const bool all = getenv("KILN_TEST_FULL");
    kiln_tensor *out[GIVEN_MOST] = {0};
    row->call(g, out);
    for (int i = 0; i < g->nout; i++) given_equal(g, "eager", i, out[i], row->near);
    if (number < 2 || all) {
        if (!(row->flags & GIVEN_EAGER)) given_traced(row, g, false);
        const int least = row->flags & GIVEN_BATCH ? 3 : 1;
        if (!(row->flags & (GIVEN_EAGER | GIVEN_SIZED)) && g->nin > 0 && kiln_rank(g->in[0]) >= least && kiln_dim(g->in[0], 0) > 0) given_traced(row, g, true);
    }
    if (number == 0 && g->nin > 0 && !(row->flags & (GIVEN_EAGER | GIVEN_ALONE))) given_mapped(row, g);
    if ((row->flags & GIVEN_GRAD) && number < (all ? 2 : 1)) given_slopes(row, g);
}

static void given_agree(void **state)
{
    char path[200], *line = NULL;
    size_t cap = 0;
    int at = 0, *seen = calloc((size_t)given_count, sizeof *seen);
    Given g;
    (void)state;
    snprintf(path, sizeof path, "tests/given/%s.txt", given_file);
    FILE *f = fopen(path, "r");
    if (!f) fail_msg("no %s", path);
    for (bool more = true; more;) {
        KILN_SCOPE(k);
        more = given_next(f, &line, &cap, &g, &at);
        if (!more) break;
        int i = 0;
        while (i < given_count && strcmp(given_rows[i].name, g.name) != 0) i++;
        if (i == given_count) fail_msg("%s has no row", g.name);
        given_run(&given_rows[i], &g, seen[i]++);
        if (kiln_failed(k)) fail_msg("%s, line %d: %s", g.name, g.line, kiln_error(k)->text);
        free((char *)g.name);
    }
    for (int i = 0; i < given_count; i++)
        if (!seen[i]) fail_msg("%s has no case", given_rows[i].name);
    free(seen);
    free(line);
    fclose(f);
}

#define GIVEN_MAIN(file, rows)                                                   \
    int main(void)                                                               \
    {                                                                            \
        const struct CMUnitTest tests[] = {ENGINE_TEST(given_agree)};            \
        given_rows = rows, given_count = (int)(sizeof rows / sizeof *rows);      \
        given_file = file;                                                       \
        return cmocka_run_group_tests_name(file, tests, NULL, NULL);             \
    }

#endif
