/* test_onnx_save_rows: each elementwise row of ops.def of each of its dtypes as a file of ONNX, and casts between all dtypes: read again they compute
 * the same, of integers and bools bit for bit. What cannot be is in a table here. */
#include "onnx_round.h"

#include <kiln/aot.h>

#include "ir/op.h"

enum { N = 24 };

/* Numbers at which functions turn: zeros, infinities, no number, whole ones, large ones. */
static kiln_tensor *numbers(kiln_dtype t, int turn, bool finite)
{
    double at[N] = {0, -0.0, 1, -1, 0.5, -0.5, 2, -2, 3, -3, 7, 0.1, -0.1, 1e-3, 20, -20, 100, -100, 1.5, -1.5};
    const bool floats = dtype_is_float((DType)t) && t != KILN_F8_E4M3 && !finite; /* e4m3 has no infinity */
    at[20] = floats ? INFINITY : 127, at[21] = floats ? -INFINITY : 5, at[22] = floats ? NAN : 9, at[23] = floats ? 0.9 : -7;
    if (finite) at[1] = 0.25; /* another zero that some give the first one's sign */
    double turned[N];
    for (int i = 0; i < N; i++) turned[i] = at[(i * (turn ? 7 : 1) + turn * 5) % N];
    kiln_tensor *x = kiln_from_doubles(k, KILN_F64, S(N), turned, N);
    return t == KILN_BOOL ? kiln_greater(x, 0.3) : kiln_cast(x, t);
}

/* How far two results may be apart, of a number of that size. */
static double room(kiln_dtype t)
{
    switch (t) {
    case KILN_F64: return 1e-12;
    case KILN_F32: return 4e-6;
    case KILN_F16: return 2e-3;
    case KILN_BF16: return 2e-2;
    case KILN_F8_E4M3:
    case KILN_F8_E5M2: return 0.3;
    default: return 0;
    }
}

static int differ(const char *name, kiln_tensor *got, kiln_tensor *want)
{
    if (kiln_failed(k)) fail_msg("%s: %s", name, kiln_error(k)->text);
    same_sizes(name, got, want);
    kiln_tensor *g = kiln_cast(got, KILN_F64), *w = kiln_cast(want, KILN_F64);
    const double *a = kiln_data(g), *b = kiln_data(w), off = room(kiln_dtype_of(want));
    int n = 0;
    for (int i = 0; i < N; i++) {
        if (strncmp(name, "silu_", 5) == 0 && isnan(a[i])) continue; /* x sigmoid(x) of minus infinity */
        if ((isnan(a[i]) && isnan(b[i])) || a[i] == b[i] || fabs(a[i] - b[i]) <= off * fmax(1, fabs(b[i]))) continue;
        if (n++ == 0) print_error("%s: element %d is %.17g, not %.17g\n", name, i, a[i], b[i]);
    }
    return n != 0;
}

/* Of integers ONNX has powers of i32 and i64 alone. */
static bool may_be_refused(Op op, kiln_dtype t) { return op == OP_pow && !dtype_is_float((DType)t); }

static bool in_domain(char domain, DType t)
{
    switch (domain) {
    case 'A': return true;
    case 'N': return t != DT_bool;
    case 'F': return dtype_is_float(t);
    case 'I': return dtype_is_int(t);
    case 'L': return !dtype_is_float(t);
    default: return t == DT_bool;
    }
}

static bool called(const char *name, const char *text, kiln_onnx *m, kiln_tensor *const *in, int n, kiln_tensor **want, kiln_tensor **got)
{
    if (!kiln_run_text(k, text, strlen(text), kiln_tensors(in, n), want, 1)) fail_msg("%s: %s", name, kiln_error(k)->text);
    if (m && kiln_onnx_call(m, kiln_tensors(in, n), got, 1)) return true;
    print_error("%s: %s\n", name, kiln_error(k)->text), kiln_clear(k);
    return false;
}

/* Other runtimes are asked of numbers that are finite: what operators give of others is hardly written anywhere. */
static int row_differs(const char *name, const char *text, const kiln_dtype *dtype, int n)
{
    kiln_onnx *m = kiln_onnx_load(k, path_of(name));
    int wrong = 0;
    for (int finite = 0; finite < 2 && !wrong; finite++) {
        kiln_tensor *in[3], *want = NULL, *got = NULL;
        for (int i = 0; i < n; i++) in[i] = numbers(dtype[i], i, finite);
        wrong = !called(name, text, m, in, n, &want, &got) || differ(name, got, want);
        if (strncmp(name, "pow_i", 5) == 0 || strncmp(name, "pow_u", 5) == 0) continue; /* what is too large for them is nowhere written */
        for (int i = 0; kept && finite && i < n; i++) keep(name, 0, "x", i, in[i]);
        if (finite) keep(name, 0, "y", 0, want);
    }
    kiln_onnx_free(m);
    return wrong;
}

/* 1: it should be a model and is none, or one of other results. */
static int fails(const char *name, const char *text, const kiln_dtype *dtype, int n, bool may_be)
{
    if (kiln_onnx_save_text(k, text, strlen(text), path_of(name))) return row_differs(name, text, dtype, n);
    if (!may_be) print_error("%s\n", kiln_error(k)->text);
    kiln_clear(k);
    return !may_be;
}

static int row_fails(Op op, DType t)
{
    const OpDef *d = &op_def[op];
    char name[64], text[512], operand[64] = "";
    kiln_dtype dtype[3];
    size_t n = (size_t)snprintf(text, sizeof text, "module {}\ngraph @main(");
    for (int i = 0; i < d->nin; i++) {
        dtype[i] = op == OP_where && i == 0 ? KILN_BOOL : (kiln_dtype)t;
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%%%d: %s[%d]", i ? ", " : "", i + 1, dtype_info[dtype[i]].name, N);
        snprintf(operand + strlen(operand), sizeof operand - strlen(operand), "%s%%%d", i ? ", " : "", i + 1);
    }
    const char *to = d->flags & OPF_TO_BOOL ? "bool" : dtype_info[t].name;
    snprintf(text + n, sizeof text - n, ") -> (%%9) {\n  %%9 = %s(%s) : %s[%d]\n}\n", d->name, operand, to, N);
    snprintf(name, sizeof name, "%s_%s", d->name, dtype_info[t].name);
    return fails(name, text, dtype, d->nin, may_be_refused(op, (kiln_dtype)t));
}

static void each_row(void **state)
{
    open_folder(*state);
    int failures = 0, rows = 0;
    for (Op op = OP_none; op < OP_COUNT; op++) {
        if (!(op_def[op].flags & OPF_ELEMENTWISE) || op_def[op].flags & OPF_CAST) continue;
        for (DType t = DT_NONE; t < DT_COUNT; t++) {
            KILN_SCOPE(k);
            if (t != DT_NONE && in_domain(op_def[op].domain, t)) failures += row_fails(op, t), rows++;
        }
    }
    print_message("%d rows\n", rows);
    assert_int_equal(failures, 0);
}

/* saturates: to floats, of which ONNX has those of 8 bits alone. */
static int cast_fails(DType from, DType to, bool saturates)
{
    char name[64], text[256];
    const kiln_dtype dtype = (kiln_dtype)from;
    snprintf(name, sizeof name, "cast_%s_%s%s", dtype_info[from].name, dtype_info[to].name, saturates ? "_saturated" : "");
    snprintf(text, sizeof text, "module {}\ngraph @main(%%1: %s[%d]) -> (%%2) {\n  %%2 = cast(%%1) {%s%s} : %s[%d]\n}\n", dtype_info[from].name, N,
             dtype_info[to].name, saturates ? ", 1" : "", dtype_info[to].name, N);
    return fails(name, text, &dtype, 1, saturates && dtype_bytes(to) > 1);
}

static void each_cast(void **state)
{
    open_folder(*state);
    int failures = 0;
    for (DType from = DT_NONE; from < DT_COUNT; from++) {
        for (DType to = DT_NONE; to < DT_COUNT; to++) {
            KILN_SCOPE(k);
            if (from == DT_NONE || to == DT_NONE) continue;
            failures += cast_fails(from, to, false);
            if (dtype_is_float(to)) failures += cast_fails(from, to, true);
        }
    }
    assert_int_equal(failures, 0);
}

/* Between dtypes of one width. */
static void each_bit_cast(void **state)
{
    open_folder(*state);
    int failures = 0, casts = 0;
    for (DType from = DT_NONE; from < DT_COUNT; from++) {
        for (DType to = DT_NONE; to < DT_COUNT; to++) {
            KILN_SCOPE(k);
            char name[64], text[256];
            const kiln_dtype dtype = (kiln_dtype)from;
            if (from == DT_NONE || to == DT_NONE || from == DT_bool || to == DT_bool || dtype_bytes(from) != dtype_bytes(to)) continue;
            snprintf(name, sizeof name, "bits_%s_%s", dtype_info[from].name, dtype_info[to].name);
            snprintf(text, sizeof text, "module {}\ngraph @main(%%1: %s[%d]) -> (%%2) {\n  %%2 = bitcast(%%1) {%s} : %s[%d]\n}\n", dtype_info[from].name, N,
                     dtype_info[to].name, dtype_info[to].name, N);
            failures += fails(name, text, &dtype, 1, false), casts++;
        }
    }
    assert_int_equal(failures, 0);
    assert_true(casts > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {NEVER_TEST(each_row), NEVER_TEST(each_cast), NEVER_TEST(each_bit_cast)};
    return cmocka_run_group_tests_name("onnx_save_rows", tests, NULL, close_folder);
}
