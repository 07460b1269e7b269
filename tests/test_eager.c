/* Eager elementwise ops: every row of ops.def over every element type of its domain, in every
 * instruction set that this CPU has, against the scalar evaluator, bit for bit; odd layouts and
 * threads against the plain case. */
#include "eager_test.h"

#define MOST 1200

static _Alignas(64) char a[3][MOST * 8], got[MOST * 8], want[MOST * 8];

/* Every edge with every edge, then pairs of random values. */
static void fill_operands(const DType *t, uint32_t nin, int64_t n)
{
    uint64_t state = 7;
    const int64_t edges = 28;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = i < edges * edges ? i : MOST;
        for (uint32_t k = 0; k < nin; k++, at = at == MOST ? at : at / edges)
            scalar_store(t[k], a[k], i, test_value(t[k], at == MOST ? MOST : at % edges, &state));
    }
}

static void say(Op op, DType t, int64_t i, const DType *types, uint32_t nin, DType out)
{
    char text[300];
    int n = snprintf(
        text, sizeof text, "%s %s, %s:", op_def[op].name, dtype_info[t].name, eager_tier());
    for (uint32_t k = 0; k < nin; k++)
        n += snprintf(text + n, sizeof text - (size_t)n, " %a",
            dtype_load_f64(types[k], a[k] + (size_t)i * dtype_bytes(types[k])));
    fail_msg("%s gives %a, not %a", text, dtype_load_f64(out, got + (size_t)i * dtype_bytes(out)),
        dtype_load_f64(out, want + (size_t)i * dtype_bytes(out)));
}

static void check_row(Op op, DType t, DType to, const ScalarTok *expr)
{
    const OpDef *d = &op_def[op];
    DType types[3] = {op == OP_where ? DT_bool : t, t, t}, out = d->flags & OPF_TO_BOOL ? DT_bool
                                                                 : op == OP_cast        ? to
                                                                                        : t;
    uint32_t nin = (uint32_t)d->nin;
    fill_operands(types, nin, MOST);
    for (int64_t i = 0; i < MOST; i++) {
        Scalar arg[3];
        for (uint32_t k = 0; k < nin; k++) arg[k] = scalar_load(types[k], a[k], i);
        scalar_store(out, want, i,
            expr ? scalar_eval(expr, t, out, arg)
                 : scalar_cast(t, to, false, arg[0]));
    }
    View in[3];
    for (uint32_t k = 0; k < nin; k++) in[k] = view_of(types[k], a[k], 1, DIMS(MOST));
    View v = view_of(out, got, 1, DIMS(MOST));
    memset(got, 0x5a, sizeof got);
    must_run(NULL, op, in, nin, DIMS(to), 1, &v);
    for (int64_t i = 0; i < MOST; i++)
        if (!same_element(out, got, i, want, i)) say(op, t, i, types, nin, out);
}

/* valgrind has comparisons of vectors that take NaN for a number. */
static bool misemulated(Op op) { return op == OP_sign && getenv("KILN_EMULATED") != NULL; }

static void each_tier(void (*check)(void))
{
    int n;
    const Kernels *const *tier = eager_tiers(&n);
    for (int i = 0; i < n; i++) {
        /* The evaluator fuses multiply-add where the CPU can; the baseline does not. */
        if (tier[i] == &kernels_base && cpu_has_fma()) continue;
        eager_use_tier(tier[i]);
        check();
    }
    eager_use_tier(NULL);
}

static void rows(void)
{
    int checked = 0;
    for (int op = OP_none + 1; op < OP_COUNT; op++)
        for (int t = DT_NONE + 1; t < DT_COUNT && op_def[op].flags & OPF_ELEMENTWISE; t++) {
            const ScalarTok *expr =
                dtype_is_float((DType)t) ? op_def[op].value_f : op_def[op].value_i;
            if (!op_domain_has((Op)op, (DType)t)) continue;
            assert_non_null(expr);
            checked++;
            if (!misemulated((Op)op)) check_row((Op)op, (DType)t, (DType)t, expr);
        }
    assert_true(checked > 300);
}

static void every_row_over_every_type(void **state)
{
    (void)state;
    each_tier(rows);
}

static void casts(void)
{
    for (int from = DT_NONE + 1; from < DT_COUNT; from++)
        for (int to = DT_NONE + 1; to < DT_COUNT; to++)
            check_row(OP_cast, (DType)from, (DType)to, NULL);
}

static void every_cast(void **state)
{
    (void)state;
    each_tier(casts);
}

/* Rows without elementary functions of our own need no FMA: the baseline gives the bits of the others. */
static void baseline_agrees(void **state)
{
    (void)state;
    eager_use_tier(&kernels_base);
    for (int op = OP_none + 1; op < OP_COUNT; op++)
        for (int t = DT_NONE + 1; t < DT_COUNT && op_def[op].flags & OPF_ELEMENTWISE; t++) {
            const ScalarTok *expr =
                dtype_is_float((DType)t) ? op_def[op].value_f : op_def[op].value_i;
            if (!op_domain_has((Op)op, (DType)t)) continue;
            bool fn = false;
            for (const ScalarTok *k = expr; k->prim != P_END; k++)
                fn = fn || k->prim == P_FN;
            if (!fn) check_row((Op)op, (DType)t, (DType)t, expr);
        }
    casts();
    eager_use_tier(NULL);
}

static void each_length(void **state)
{
    (void)state;
    float x[70], y[70], out[71];
    for (int i = 0; i < 70; i++) x[i] = (float)i, y[i] = (float)(i * i);
    for (int64_t n = 0; n <= 70; n++) {
        for (int i = 0; i < 71; i++) out[i] = -1;
        View in[2] = {view_of(DT_f32, x, 1, &n), view_of(DT_f32, y, 1, &n)},
             v = view_of(DT_f32, out, 1, &n);
        must_run(NULL, OP_sub, in, 2, NULL, 0, &v);
        for (int i = 0; i < 71; i++) assert_true(out[i] == (i < n ? x[i] - y[i] : -1));
    }
}

/* ---- layouts ------------------------------------------------------------------------------ */

enum { H = 5, W = 130, D = 3, ALL = H * W * D };
static _Alignas(64) char big[8 * ALL * 8], packed[3][ALL * 8], out1[ALL * 8], out2[ALL * 8];

/* Number `how` of the layouts of an [H, W, D] array over `big`. */
static View layout(DType t, int how, int offset)
{
    View v = view_of(t, big, 3, DIMS(H, W, D));
    static const int64_t stride[][3] = {{W * D, D, 1}, {0, 0, 0}, {0, 0, 1}, {0, D, 1}, {D, 0, 1},
        {W, 1, 0}, {1, H, H * W}, {W, 1, H * W}, {2 * W * D, 2 * D, 2}, {-W * D, -D, -1},
        {W * D, D, -1}, {W * 2, 2, 0}, {1, 0, H}};
    for (int i = 0; i < 3; i++) v.stride[i] = stride[how][i];
    v.data = big + (size_t)(2 * ALL + offset) * dtype_bytes(t);
    return v;
}
enum { LAYOUTS = 13 };

static void pack(const View *v, void *to)
{
    size_t bytes = dtype_bytes((DType)v->dtype);
    for (int64_t i = 0, n = 0; i < v->dim[0]; i++)
        for (int64_t k = 0; k < v->dim[1]; k++)
            for (int64_t l = 0; l < v->dim[2]; l++, n++)
                memcpy((char *)to + (size_t)n * bytes,
                    (char *)v->data +
                        (i * v->stride[0] + k * v->stride[1] + l * v->stride[2]) * (int64_t)bytes,
                    bytes);
}

static void check_layouts(Op op, DType t, ThreadPool *threads)
{
    DType first = op == OP_where ? DT_bool : t, out = op == OP_cast                    ? DT_f32
                                                      : op_def[op].flags & OPF_TO_BOOL ? DT_bool
                                                                                       : t;
    for (int how = 0; how < LAYOUTS * LAYOUTS; how++) {
        int pick[3] = {how % LAYOUTS, how / LAYOUTS, (how + 5) % LAYOUTS};
        View in[3], plain[3], v = view_of(out, out1, 3, DIMS(H, W, D)),
                              w = view_of(out, out2, 3, DIMS(H, W, D));
        if (op_def[op].nin == 1 && how >= LAYOUTS) break;
        uint64_t seed = 3;
        for (int64_t i = 0; i < 8 * ALL; i++) scalar_store(t, big, i, test_value(t, MOST, &seed));
        if (first != t) memset(big, 0, sizeof big);
        for (int k = 0; k < op_def[op].nin; k++) {
            DType type = k == 0 ? first : t;
            in[k] = layout(type, pick[k], 10 * k);
            pack(&in[k], packed[k]);
            plain[k] = view_of(type, packed[k], 3, DIMS(H, W, D));
        }
        must_run(threads, op, in, (uint32_t)op_def[op].nin, DIMS(out), 1, &v);
        must_run(NULL, op, plain, (uint32_t)op_def[op].nin, DIMS(out), 1, &w);
        for (int64_t i = 0; i < ALL; i++)
            if (!same_element(out, out1, i, out2, i))
                fail_msg("%s %s, layouts %d: element %d", op_def[op].name, dtype_info[t].name, how,
                    (int)i);
    }
}

static void layouts_do_not_matter(void **state)
{
    (void)state;
    static const Op op[] = {OP_neg, OP_sub, OP_lt, OP_where, OP_cast};
    for (size_t i = 0; i < COUNT_OF(op); i++)
        for (int t = DT_NONE + 1; t < DT_COUNT; t++)
            if (op[i] == OP_cast || op_domain_has(op[i], (DType)t))
                check_layouts(op[i], (DType)t, NULL);
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    enum { N = 300000 };
    ThreadPool *threads = threads_new(3);
    float *x = malloc(3 * N * sizeof *x), *one = x + N, *many = one + N;
    for (int i = 0; i < N; i++) x[i] = (float)i * 0.001f;
    float scale = 0.37f;
    static const Op op[] = {OP_mul, OP_pow, OP_mod};
    for (size_t i = 0; i < COUNT_OF(op); i++) {
        View in[2] = {view_of(DT_f32, x, 1, DIMS(N)), view_of(DT_f32, &scale, 1, DIMS(N))};
        in[1].stride[0] = 0;
        View v = view_of(DT_f32, one, 1, DIMS(N)), w = view_of(DT_f32, many, 1, DIMS(N));
        must_run(NULL, op[i], in, 2, NULL, 0, &v);
        must_run(threads, op[i], in, 2, NULL, 0, &w);
        assert_memory_equal(one, many, N * sizeof *x);
    }
    free(x);
    threads_free(threads);
}

static void graph_ops_are_refused(void **state)
{
    (void)state;
    static const Op op[] = {OP_param, OP_dim_size, OP_set_size, OP_saved, OP_loop, OP_branch, OP_kernel, OP_call, OP_custom};
    for (size_t i = 0; i < COUNT_OF(op); i++) {
        Status st = {0};
        View v = {0};
        assert_false(eager_run(&(EagerCtx){0}, op[i], &v, 1, NULL, 0, &v, 1, &st));
        assert_int_equal(st.code, ST_UNSUPPORTED);
        assert_non_null(strstr(st.text, op_def[op[i]].name));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_over_every_type),
        cmocka_unit_test(every_cast),
        cmocka_unit_test(baseline_agrees),
        cmocka_unit_test(each_length),
        cmocka_unit_test(layouts_do_not_matter),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(graph_ops_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
