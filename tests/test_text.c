/* The text form: what is printed parses, and prints again as the same bytes; everything else is an
 * error with its place, never a crash. */
#include "failing.h"
#include "ir/text.h"
#include "ir/verify.h"

#include <stdio.h>

/* Every structured op; elementwise ones are added from the table. In canonical form. */
static const char whole[] =
    "module {\n"
    "  dims N in [1,256], Rows_2 in [0,8], T in loop, K in node 2*N+1\n"
    "}\n"
    "\n"
    "graph @main(%1: f32[N,4], %2: f32[4,4], %3: u64[2], %4: i64[], %5: f32[], %6: "
    "bool[Rows_2,N+1]) -> (%36, %7, %1, %7) {\n"
    "  %7 = constant() {f32, 0.1, [N, 4]} : f32[N,4]\n"
    "  %8 = constant() {u64, 18446744073709551615, []} : u64[]\n"
    "  %9 = constant() {bool, 1, [(N+1)/2]} : bool[(N+1)/2]\n"
    "  %10 = constant() {f64, -1.7976931348623157e+308, []} : f64[]\n"
    "  %11 = constant() {f16, 0.1, []} : f16[]\n"
    "  %12 = constant() {f32, nan, []} : f32[]\n"
    "  %13 = constant() {bf16, -inf, []} : bf16[]\n"
    "  %14 = constant() {f32, -0, []} : f32[]\n"
    "  %15 = iota() {i32, 1, [2, N]} : i32[2,N]\n"
    "  %16 = dim_size() {max(N,Rows_2)} : i64[]\n"
    "  %17 = leaf(%1) {0} : f32[N,4]\n"
    "  %18 = reshape(%1) {[4*N]} : f32[4*N]\n"
    "  %19 = transpose(%1) {[1, 0]} : f32[4,N]\n"
    "  %20 = broadcast(%5) {[2, N]} : f32[2,N]\n"
    "  %21 = slice(%1) {[0, N, 1, 1, 2, 2]} : f32[N,2]\n"
    "  %22 = flip(%1) {[0, 1]} : f32[N,4]\n"
    "  %23 = pad(%15) {-7, [0, 1, N, 0]} : i32[3,2*N]\n"
    "  %24 = concat(%1, %2, %1) {0} : f32[2*N+4,4]\n"
    "  %25 = reshape(%1) {[N, 2, 2, 1]} : f32[N,2,2,1]\n"
    "  %26 = window(%25) {2, 1, 1, 1, 1, 1} : f32[N,1,2,2,1,1]\n"
    "  %27 = window_add(%26) {2, 1, 1, 1, 1, 1, [2, 2]} : f32[N,2,2,1]\n"
    "  %28 = gather(%1, %15) {1} : f32[N,2,N]\n"
    "  %29 = scatter(%1, %15, %28) {1, 0} : f32[N,4]\n"
    "  %30 = sum(%1) {[0, 1]} : f32[]\n"
    "  %31 = prod(%1) {[]} : f32[N,4]\n"
    "  %32 = reduce_max(%1) {[1]} : f32[N]\n"
    "  %33 = reduce_min(%1) {[0]} : f32[4]\n"
    "  %34 = argmax(%1) {0} : i64[4]\n"
    "  %35 = argmin(%1) {1} : i64[N]\n"
    "  %36 = sum(%1) {[1]} : f32[N]\n"
    "  %37 = matmul(%1, %2) : f32[N,4]\n"
    "  %38 = random_bits(%3) {[3, N]} : u32[3,N]\n"
    "  %39 = cast(%6) {f8_e4m3, 1} : f8_e4m3[Rows_2,N+1]\n"
    "  %40, %41 = loop(%4, %5, %1) {@main.body, 1, 1, 1, 0, N, []} : f32[], f32[N,4]\n"
    "  %42 = kernel(%1) {@\"odd name \\22\\e9\", -1, []} : f32[N,4]\n"
    "  %43, %44 = call(%1) {3} : f32[N], i64[]\n"
    "  %45 = custom(%1, %5) {2} : f32[N,4]\n"
    "  %46 = constant() {i64, 9223372036854775807, []} : i64[]\n"
    "  %47, %48, %49 = loop(%46, %5, %1) {@down, 1, 0, 1, 0, T, [@below]} : f32[], f32[T,N,4], i64[]\n"
    "  %50 = branch(%4, %1) {[@\"odd name \\22\\e9\", @\"odd name \\22\\e9\"]} : f32[N,4]\n"
    "  print() {3}\n"
    "  assert(%6, %1) {4}\n"
    "  %51, %52 = callback(%1) {5, [12, 2, N, 4, 1, 0]} : f32[N,4], bool[]\n"
    "  callback() {6, []}\n"
    "  %53 = saved(%1, %1) : f32[N,4]\n"
    "  %54 = cumsum(%1) {0, 0, 1} : f32[N,4]\n"
    "  %55 = cumprod(%1) {1, 1, 0} : f32[N,4]\n"
    "  %56 = recurrence(%1, %1) {0, 1} : f32[N,4]\n"
    "  %57 = argsort(%1) {1, 1} : i64[N,4]\n"
    "  %58 = reshape(%1) {[N, 4, 1]} : f32[N,4,1]\n"
    "  %59 = constant() {f32, 1, [3, 1, 2]} : f32[3,1,2]\n"
    "  %60 = conv(%58, %59) {1, 1, 2, 1, 1, 1, 0, 0, -1, 1, 1, 1, 1, [N+1]} : f32[N,N+1,2]\n"
    "  %61 = conv_filter(%58, %60) {1, 1, 2, 1, 1, 1, 0, 0, -1, 1, [3]} : f32[3,1,2]\n"
    "  %62 = cast(%1) {i8} : i8[N,4]\n"
    "  %63 = cast(%2) {i8} : i8[4,4]\n"
    "  %64 = matmul(%62, %63) {i32} : i32[N,4]\n"
    "  %65, %66 = attention(%58, %58, %58, %58) {0.5, 0, 1, N, 0, 4} : f32[N,4,1], f32[N,4]\n"
    "  %67 = attention_query(%58, %58, %58, %58, %65, %66, %66) {0.5, 0, 1, N, 0, 4} : f32[N,4,1]\n"
    "  %68 = attention_keys(%58, %58, %58, %58, %65, %66, %66) {1, 2, 0, 1, 0, 0} : f32[N,4,2]\n"
    "  %69, %70 = eigh(%2) : f32[4], f32[4,4]\n"
    "  %71 = eigvalsh(%2) : f32[4]\n"
    "  %72, %73, %74 = svd(%59) {1} : f32[3,1,1], f32[3,1], f32[3,2,2]\n"
    "  %75 = svdvals(%59) : f32[3,1]\n"
    "  %76 = sort(%1) {0, 1} : f32[N,4]\n"
    "  %77, %78 = lu(%59) : f32[3,1,2], i64[3,1]\n"
    "  %79 = triangular(%2, %2) {1, 0} : f32[4,4]\n"
    "  %80 = set_size(%4) {K} : i64[]\n"
    "  %81 = constant() {f32, 1, [K+N]} : f32[K+N]\n"
    "  %82 = cholesky(%2) : f32[4,4]\n"
    "  %83 = bitcast(%2) {u32} : u32[4,4]\n"
    "}\n"
    "\n"
    "graph @below(%1: i64[], %2: f32[], %3: f32[N,4]) -> (%5) {\n"
    "  %4 = constant() {f32, 1, []} : f32[]\n"
    "  %5 = lt(%2, %4) : bool[]\n"
    "}\n"
    "\n"
    "graph @down(%1: i64[], %2: f32[], %3: f32[N,4]) -> (%2, %3) {\n"
    "}\n"
    "\n"
    "graph @main.body(%1: i64[], %2: f32[], %3: f32[4]) -> (%2, %3) {\n"
    "}\n"
    "\n"
    "graph @\"odd name \\22\\e9\"(%1: f32[N,4]) -> (%2) {\n"
    "  %2 = neg(%1) : f32[N,4]\n"
    "}\n";

typedef struct Parsed {
    Arena arena;
    Status st;
    Module *m;
} Parsed;

static Parsed *parse(Parsed *p, const char *text, size_t len)
{
    *p = (Parsed){0};
    arena_init(&p->arena);
    /* A block of its own, so that tools see reads beyond the end. */
    char *copy = mem_alloc(len);
    memcpy(copy, text, len);
    p->m = module_parse(&p->arena, copy, len, &p->st);
    mem_free(copy, len);
    assert_int_equal(p->m != NULL, p->st.code == ST_OK);
    return p;
}

/* Parses to something valid that prints as `expected`. */
static void round_trip(const char *text, const char *expected)
{
    Parsed p;
    Text out = {0};
    parse(&p, text, strlen(text));
    assert_string_equal(p.st.text, "");
    assert_true(module_verify(p.m, &p.st));
    module_print(&out, p.m);
    assert_string_equal(out.at, expected);
    text_free(&out);
    arena_free(&p.arena);
}

static void canonical_text_is_kept(void **state)
{
    (void)state;
    round_trip(whole, whole);
    round_trip("module {}\n", "module {}\n");
    for (int op = OP_none + 1; op < OP_COUNT; op++) {
        char call[64];
        snprintf(call, sizeof call, "%s%s(", op_def[op].nout == 0 ? "" : "= ", op_def[op].name);
        if (op != OP_param && !(op_def[op].flags & OPF_ELEMENTWISE) && strstr(whole, call) == NULL)
            fail_msg("the text above lacks %s", op_def[op].name);
    }
}

static void elementwise_ops_are_kept(void **state)
{
    (void)state;
    for (int op = OP_none + 1; op < OP_COUNT; op++) {
        const OpDef *d = &op_def[op];
        char text[400];
        if (!(d->flags & OPF_ELEMENTWISE)) continue;
        for (int t = DT_NONE + 1; t < DT_COUNT; t++) {
            if (!op_domain_has((Op)op, (DType)t)) continue;
            const char *type = dtype_info[t].name, *operands[] = {"%2", "%2, %3", "%1, %2, %3"};
            snprintf(text, sizeof text,
                "module {}\n\ngraph @f(%%1: bool[2], %%2: %s[2], %%3: %s[2]) -> (%%4) {\n  %%4 = "
                "%s(%s) : %s[2]\n}\n",
                type, type, d->name, operands[d->nin - 1], d->flags & OPF_TO_BOOL ? "bool" : type);
            round_trip(text, text);
        }
    }
}

static void free_form_becomes_canonical(void **state)
{
    (void)state;
    round_trip(
        "// a comment\nmodule{dims N in[1 , 9]}graph@f(%10:f32[N,2*3],%7:f32[6*1,N-1+1])->(%3)\n"
        "{%3=matmul ( %10,%7 ) // product\n : f32[N,N] %100=add(%3,%3)}",
        "module {\n  dims N in [1,9]\n}\n\ngraph @f(%1: f32[N,6], %2: f32[6,N]) -> (%3) {\n"
        "  %3 = matmul(%1, %2) : f32[N,N]\n  %4 = add(%3, %3) : f32[N,N]\n}\n");
}

static void printed_graphs_of_one_name_stay_apart(void **state)
{
    (void)state;
    Parsed p;
    Text out = {0};
    static const char text[] = "module {} graph @a(%1: f32[]) -> (%2) { %2 = kernel(%1) {@b, -1, []} } "
                               "graph @b(%1: f32[]) -> (%1) {}";
    parse(&p, text, sizeof text - 1);
    p.m->graph.at[1]->name = "a";
    module_print(&out, p.m);
    arena_free(&p.arena);
    assert_non_null(strstr(out.at, "kernel(%1) {@a#1, -1, []} : f32[]"));
    round_trip(out.at, out.at);
    text_free(&out);
}

/* ---- numbers ----------------------------------------------------------------------------- */

static void numbers_are_exact(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int i = 0; i < 20000; i++) {
        char text[40];
        int64_t back;
        seed = hash_mix(seed, (uint64_t)i);
        DType t = (DType)(1 + seed % (DT_COUNT - 1));
        uint64_t bits = hash_mix(seed, 7);
        if (t == DT_bool) bits &= 1;
        int64_t v =
            dtype_is_float(t) ? attr_of_f64(dtype_load_f64(t, &bits)) : dtype_load_i64(t, &bits);
        if (dtype_is_float(t) && attr_f64(v) != attr_f64(v)) continue;
        scalar_print(t, v, text, sizeof text);
        assert_true(scalar_parse(t, text, strlen(text), &back));
        assert_int_equal(back, v);
    }
}

static void number_mistakes(void **state)
{
    (void)state;
    static const struct {
        DType t;
        const char *text;
    } bad[] = {
        {DT_u8, "256"},
        {DT_u8, "-1"},
        {DT_i8, "-129"},
        {DT_i64, "9223372036854775808"},
        {DT_i64, ""},
        {DT_i64, "-"},
        {DT_i64, "1.5"},
        {DT_u64, "18446744073709551616"},
        {DT_u64, "-1"},
        {DT_bool, "2"},
        {DT_f32, ""},
        {DT_f32, "1.5.2"},
        {DT_f32, "infinity"},
        {DT_f32, "-nan"},
        {DT_f32, "+1"},
        {DT_f64, "1e"},
        {DT_f64, "0x"},
        {DT_f64, "--1"},
        {DT_f64, "1e5 "},
    };
    int64_t v;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (scalar_parse(bad[i].t, bad[i].text, strlen(bad[i].text), &v))
            fail_msg("'%s' was taken", bad[i].text);
    assert_true(scalar_parse(DT_f64, "0x1.8p1", 7, &v) && attr_f64(v) == 3);
    assert_true(scalar_parse(DT_i64, "-9223372036854775808", 20, &v) && v == INT64_MIN);
}

/* ---- mistakes ---------------------------------------------------------------------------- */

static void mistakes_name_their_place(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"", "1:1: expected 'module'"},
        {"modul {}", "1:1: expected 'module'"},
        {"module {} graf", "1:11: expected 'graph'"},
        {"module { dims N in [5,1] }", "1:24: not a dim with bounds"},
        {"module { dims N in [0,1], N in [0,1] }", "1:28: dim N is defined twice"},
        {"module {} graph f() -> () {}", "1:17: expected '@'"},
        {"module {} graph @f() -> () {", "1:29: the graph ends without '}'"},
        {"module {} graph @f() -> () {} graph @f() -> () {}", "1:39: graph @f is defined twice"},
        {"module {} graph @f(%1: q8[]) -> () {}", "1:24: expected a dtype"},
        {"module {} graph @f(%1: f32[1,1,1,1,1,1,1,1,1]) -> () {}", "1:44: more than 8 axes"},
        {"module {} graph @f(%1: f32[N]) -> () {}", "1:28: expected a size"},
        {"module {} graph @f(%1: f32[281474976710656,2]) -> () {}", "1:45: the type is too large"},
        {"module {} graph @f(%1: f32[], %1: f32[]) -> () {}", "1:40: %1 is defined twice"},
        {"module {} graph @f() -> (%1) {}", "1:28: %1 is not defined"},
        {"module {} graph @f() -> () {\n %1 = frob()\n}", "2:7: there is no op 'frob'"},
        {"module {} graph @f() -> () {\n %1 = param() {0}\n}",
            "2:7: parameters belong in the graph's first line"},
        {"module {} graph @f() -> () {\n %1 = neg(%2)\n}", "2:13: %2 is not defined"},
        {"module {} graph @f(%1: i32[]) -> () {\n %2 = exp(%1)\n}",
            "2:7: exp: needs floats, use kiln_cast: i32[]"},
        {"module {} graph @f(%1: f32[]) -> () {\n %2 = exp(%1) : f32[1]\n}", "2:7: %2 is f32[], not f32[1]"},
        {"module {} graph @f(%1: f32[]) -> () {\n %2 = cast(%1) {i32, 1}\n}", "2:7: cast: after the dtype only the attribute 1 (saturate) is allowed, and for floats only: f32[]"},
        {"module {} graph @f(%1: f32[]) -> () {\n %2 = cast(%1) {f16, 2}\n}", "2:7: cast: after the dtype only the attribute 1 (saturate) is allowed, and for floats only: f32[]"},
        {"module {} graph @f(%1: f32[]) -> () {\n %2, %3 = exp(%1)\n}",
            "2:11: exp has 1 results, not 2"},
        {"module {} graph @f(%1: f32[]) -> () {\n %2 = call(%1) {1}\n}",
            "2:7: the result types of a call must be given"},
        {"module {} graph @f(%1: f32[]) -> () {\n %2 = sum(%1) {[0.5]}\n}",
            "2:17: expected a value of i64"},
        {"module {} graph @f(%1: u8[]) -> () {\n %2 = pad(%1) {256, []}\n}",
            "2:16: expected a value of u8"},
        {"module {} graph @f(%1: f32[]) -> () {\n %2 = kernel(%1) {@g, -1, []}\n}", "2:21: graph @g is not defined"},
        {"module {} graph @f(%1: f32[]) -> () {\n %2 = kernel(%1) {@f, -1, []}\n}",
            "2:21: graph @f calls itself"},
        {"module {} graph @f(%1: f32[]) -> () {\n %2 = kernel(%1) {@g, -1, []}\n} graph @g(%1: f32[]) -> "
         "(%1) { %2 = kernel(%1) {@f, -1, []} }",
            "3:52: graph @f calls itself"},
        {"module {} graph @\"\\00\"() -> () {}", "1:22: bad escape in a name"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Parsed p;
        parse(&p, bad[i][0], strlen(bad[i][0]));
        arena_free(&p.arena);
        assert_string_equal(p.st.text, bad[i][1]);
    }
}

/* n levels, each a branch between two runs of the next: written out, 2^n operations. */
static void levels(Text *t, int n, bool effect)
{
    text_printf(t, "module {}\n\n");
    for (int i = 0; i < n; i++)
        text_printf(t, "graph @b%d(%%1: i32[], %%2: f32[4]) -> (%%3) {\n  %%3 = branch(%%1, %%1, %%2) {[@b%d, @b%d]}\n}\n", i, i + 1, i + 1);
    text_printf(t, "graph @b%d(%%1: i32[], %%2: f32[4]) -> (%%3) {\n  %s%%3 = neg(%%2)\n}\n", n, effect ? "print() {0}\n  " : "");
}

static void expansion_is_bounded(void **state)
{
    (void)state;
    const struct { int levels; bool fits; } tries[] = {{4, true}, {11, true}, {16, false}, {40, false}, {63, false}};
    for (size_t i = 0; i < 2 * COUNT_OF(tries); i++) {
        Parsed p;
        Text t = {0};
        levels(&t, tries[i / 2].levels, i % 2);
        parse(&p, t.at, t.len);
        text_free(&t);
        if (tries[i / 2].fits && (p.m == NULL || !module_verify(p.m, &p.st))) fail_msg("%s", p.st.text);
        if (!tries[i / 2].fits) {
            assert_null(p.m);
            assert_non_null(strstr(p.st.text, "stands for more than"));
            assert_non_null(strstr(p.st.text, "graph @b"));
        } else {
            for (uint32_t g = 0; g < p.m->graph.len; g++) assert_true(p.m->graph.at[g]->effect == i % 2);
        }
        arena_free(&p.arena);
    }
}

static void every_truncation_is_handled(void **state)
{
    (void)state;
    size_t len = strlen(whole);
    int good = 0;
    for (size_t n = 0; n < len; n++) {
        Parsed p;
        good += parse(&p, whole, n)->m != NULL;
        if (p.m == NULL) assert_true(p.st.text[0] >= '1' && p.st.text[0] <= '9');
        arena_free(&p.arena);
    }
    assert_true(
        good <= 4); /* at the ends of lines between graphs whose users do not need the rest */
}

/* One byte changed to something that the grammar knows. Whatever still parses must verify and
 * print stably. */
static void every_mutation_is_handled(void **state)
{
    (void)state;
    static const char other[] = "%@(){}[],:=-0189aNfg\"\\/ \n*+.\x80";
    size_t len = strlen(whole);
    char *text = mem_strdup(whole);
    uint64_t seed = 3;
    for (size_t n = 0; n < len; n++) {
        Parsed p;
        char was = text[n];
        seed = hash_mix(seed, n);
        text[n] = other[seed % (sizeof other - 1)];
        if (parse(&p, text, len)->m != NULL) {
            Text once = {0}, twice = {0};
            Parsed again;
            assert_true(module_verify(p.m, &p.st));
            module_print(&once, p.m);
            parse(&again, once.at, once.len);
            assert_string_equal(again.st.text, "");
            module_print(&twice, again.m);
            assert_string_equal(once.at, twice.at);
            arena_free(&again.arena);
            text_free(&once);
            text_free(&twice);
        }
        arena_free(&p.arena);
        text[n] = was;
    }
    mem_free(text, len + 1);
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    Text t = {0};
    text_printf(&t, "module {}\n");
    for (int i = 0; i < 200; i++)
        text_printf(&t, "graph @g%d(%%1: f32[]) -> (%%2) { %%2 = kernel(%%1) {@g%d, -1, []} }\n", i, i + 1);
    text_printf(&t, "graph @g200(%%1: f32[]) -> (%%1) {}\n");
    Parsed p;
    parse(&p, t.at, t.len);
    assert_non_null(strstr(p.st.text, "more than 64 deep"));
    arena_free(&p.arena);
    text_free(&t);
}

static bool print_once(void)
{
    static Module *m;
    static Arena a;
    Status st = {0};
    Text out = {0};
    arena_init(&a);
    m = module_parse(&a, whole, sizeof whole - 1, &st);
    bool ok = m != NULL && module_verify(m, &st);
    assert_true(ok || st.code == ST_MEMORY);
    if (ok) module_print(&out, m);
    ok &= !out.failed;
    text_free(&out);
    arena_free(&a);
    return ok;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(fail_each(print_once, false) > 5);
    assert_true(fail_each(print_once, true) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(canonical_text_is_kept),
        TEST(elementwise_ops_are_kept),
        TEST(free_form_becomes_canonical),
        TEST(printed_graphs_of_one_name_stay_apart),
        TEST(numbers_are_exact),
        TEST(number_mistakes),
        TEST(mistakes_name_their_place),
        TEST(expansion_is_bounded),
        TEST(every_truncation_is_handled),
        TEST(every_mutation_is_handled),
        TEST(nesting_is_bounded),
        TEST(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
