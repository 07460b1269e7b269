/* Gradients of every row of ops.def that has one, against central differences in f64, first and second order; compiled code gives the
 * bits of eager code. Elementwise rows make their own cases; a structured row without a case fails the test. */
#include <math.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#include "codegen/ref.h"
#include "graph_run.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "passes/reverse.h"
#include "random_graph.h"

#define H 1e-5
#define MOST_X 4

typedef struct Case {
    Op op;
    const char *params, *lines; /* of the entry; its result is value `result` */
    int result;
    const char *body;           /* more graphs */
    double lo, hi;              /* of float parameters; both 0: -1.5 to 1.5 */
    double step;                /* not 0: a linear op that rounds: elements are multiples of it, and it is the difference */
    bool zero;                  /* the second element of each float parameter is 0 */
} Case;

#define ROW(name, p, l, r, ...) {.op = OP_##name, .params = p, .lines = l, .result = r, __VA_ARGS__}
static const Case cases[] = {
    ROW(cast, "%1: f64[5]", "%2 = cast(%1) {f32} : f32[5]\n%3 = cast(%2) {f64} : f64[5]", 3, .step = 0.125),
    ROW(cast, "%1: f64[2,2]", "%2 = cast(%1) {f64} : f64[2,2]", 2),
    ROW(saved, "%1: f64[3]", "%2 = sin(%1) : f64[3]\n%3 = sin(%1) : f64[3]\n%4 = saved(%2, %3) : f64[3]\n%5 = mul(%4, %4) : f64[3]", 5),
    ROW(leaf, "%1: f64[3]", "%2 = leaf(%1) {0} : f64[3]\n%3 = mul(%2, %1) : f64[3]", 3),
    ROW(reshape, "%1: f64[2,6]", "%2 = reshape(%1) {[3, 4]} : f64[3,4]", 2),
    ROW(reshape, "%1: f64[]", "%2 = reshape(%1) {[1, 1]} : f64[1,1]", 2),
    ROW(transpose, "%1: f64[2,3,4]", "%2 = transpose(%1) {[2, 0, 1]} : f64[4,2,3]\n%3 = mul(%2, %2) : f64[4,2,3]", 3),
    ROW(broadcast, "%1: f64[3,1]", "%2 = broadcast(%1) {[2, 3, 4]} : f64[2,3,4]\n%3 = sin(%2) : f64[2,3,4]", 3),
    ROW(broadcast, "%1: f64[]", "%2 = broadcast(%1) {[7]} : f64[7]", 2),
    ROW(slice, "%1: f64[5,7]", "%2 = slice(%1) {[1, 3, 1, 0, 3, 3]} : f64[3,3]\n%3 = exp(%2) : f64[3,3]", 3),
    ROW(slice, "%1: f64[9]", "%2 = slice(%1) {[2, 3, 2]} : f64[3]", 2),
    ROW(flip, "%1: f64[3,4]", "%2 = flip(%1) {[1]} : f64[3,4]\n%3 = mul(%2, %1) : f64[3,4]", 3),
    ROW(pad, "%1: f64[2,3]", "%2 = pad(%1) {2, [1, 0, 0, 2]} : f64[3,5]\n%3 = sin(%2) : f64[3,5]", 3),
    ROW(concat, "%1: f64[2,3], %2: f64[2,1]", "%3 = concat(%1, %2, %1) {1} : f64[2,7]\n%4 = mul(%3, %3) : f64[2,7]", 4),
    ROW(window, "%1: f64[1,5,6,2]", "%2 = window(%1) {2, 3, 2, 1, 1, 2} : f64[1,2,2,2,3,2]\n%3 = mul(%2, %2) : f64[1,2,2,2,3,2]", 3),
    ROW(window, "%1: f64[2,3,3,1]", "%2 = window(%1) {2, 2, 1, 1, 1, 1} : f64[2,2,2,2,2,1]", 2),
    ROW(window, "%1: f64[2,4,6,2]", "%2 = window(%1) {2, 3, 2, 3, 1, 1} : f64[2,2,2,2,3,2]\n%3 = mul(%2, %2) : f64[2,2,2,2,3,2]", 3),
    ROW(window, "%1: f64[1,5,7,2]", "%2 = window(%1) {2, 3, 2, 3, 1, 1} : f64[1,2,2,2,3,2]\n%3 = sin(%2) : f64[1,2,2,2,3,2]", 3),
    ROW(window, "%1: f64[2,3,2,1]", "%2 = window(%1) {1, 1, 1, 1, 2, 3} : f64[2,3,2,1,1,1]\n%3 = sin(%2) : f64[2,3,2,1,1,1]", 3),
    ROW(window_add, "%1: f64[1,2,2,2,2,2]", "%2 = window_add(%1) {2, 2, 1, 1, 1, 1, [3, 3]} : f64[1,3,3,2]\n%3 = sin(%2) : f64[1,3,3,2]", 3),
    ROW(gather, "%1: f64[4,2], %2: i32[3,2]", "%3 = gather(%1, %2) {0} : f64[3,2,2]\n%4 = mul(%3, %3) : f64[3,2,2]", 4),
    ROW(gather, "%1: f64[2,5], %2: i64[]", "%3 = gather(%1, %2) {1} : f64[2]", 3),
    ROW(sort, "%1: f64[2,5]", "%2 = sort(%1) {1, 0} : f64[2,5]\n%3 = mul(%2, %2) : f64[2,5]", 3),
    ROW(sort, "%1: f64[3,2]", "%2 = sort(%1) {0, 1} : f64[3,2]\n%3 = mul(%2, %2) : f64[3,2]", 3),
    ROW(cumsum, "%1: f64[2,5]", "%2 = cumsum(%1) {1, 0, 0} : f64[2,5]\n%3 = mul(%2, %2) : f64[2,5]", 3),
    ROW(cumsum, "%1: f64[3,2]", "%2 = cumsum(%1) {0, 1, 1} : f64[3,2]\n%3 = mul(%2, %2) : f64[3,2]", 3),
    ROW(cumprod, "%1: f64[2,5]", "%2 = cumprod(%1) {1, 0, 0} : f64[2,5]\n%3 = sin(%2) : f64[2,5]", 3, .zero = true),
    ROW(cumprod, "%1: f64[5,2]", "%2 = cumprod(%1) {0, 1, 1} : f64[5,2]\n%3 = sin(%2) : f64[5,2]", 3),
    ROW(recurrence, "%1: f64[2,5], %2: f64[2,5]", "%3 = recurrence(%1, %2) {1, 0} : f64[2,5]\n%4 = sin(%3) : f64[2,5]", 4),
    ROW(recurrence, "%1: f64[4,2], %2: f64[4,2]", "%3 = recurrence(%1, %2) {0, 1} : f64[4,2]\n%4 = sin(%3) : f64[4,2]", 4),
    ROW(scatter, "%1: f64[5,2], %2: i32[4], %3: f64[4,2]", "%4 = scatter(%1, %2, %3) {0, 0} : f64[5,2]\n%5 = mul(%4, %4) : f64[5,2]", 5),
    ROW(scatter, "%1: f64[5,2], %2: i32[4], %3: f64[4,2]", "%4 = scatter(%1, %2, %3) {0, 1} : f64[5,2]\n%5 = mul(%4, %4) : f64[5,2]", 5),
    ROW(scatter, "%1: f64[2,5], %2: i32[4], %3: f64[2,4]", "%4 = scatter(%1, %2, %3) {1, 2} : f64[2,5]\n%5 = mul(%4, %4) : f64[2,5]", 5),
    ROW(scatter, "%1: f64[2,5], %2: i32[4], %3: f64[2,4]", "%4 = scatter(%1, %2, %3) {1, 4} : f64[2,5]\n%5 = mul(%4, %4) : f64[2,5]", 5),
    ROW(scatter, "%1: f64[5,2], %2: i32[4], %3: f64[4,2]", "%4 = scatter(%1, %2, %3) {0, 3} : f64[5,2]\n%5 = mul(%4, %4) : f64[5,2]", 5),
    ROW(sum, "%1: f64[2,3,4]", "%2 = sum(%1) {[0, 2]} : f64[3]\n%3 = sin(%2) : f64[3]", 3),
    ROW(sum, "%1: f64[40]", "%2 = sum(%1) {[0]} : f64[]\n%3 = mul(%2, %2) : f64[]", 3),
    ROW(sum, "%1: f64[3]", "%2 = sum(%1) {[]} : f64[3]", 2),
    ROW(prod, "%1: f64[2,5]", "%2 = prod(%1) {[1]} : f64[2]", 2),
    ROW(prod, "%1: f64[2,3,2]", "%2 = prod(%1) {[0, 2]} : f64[3]", 2, .zero = true),
    ROW(prod, "%1: f64[1,4]", "%2 = prod(%1) {[0]} : f64[4]", 2),
    ROW(reduce_max, "%1: f64[3,5]", "%2 = reduce_max(%1) {[1]} : f64[3]\n%3 = mul(%2, %2) : f64[3]", 3),
    ROW(reduce_min, "%1: f64[3,4,2]", "%2 = reduce_min(%1) {[0, 1]} : f64[2]\n%3 = exp(%2) : f64[2]", 3),
    ROW(matmul, "%1: f64[2,3], %2: f64[3,4]", "%3 = matmul(%1, %2) : f64[2,4]", 3),
    ROW(matmul, "%1: f64[2,2,3], %2: f64[2,3,1]", "%3 = matmul(%1, %2) : f64[2,2,1]\n%4 = sin(%3) : f64[2,2,1]", 4),
    ROW(matmul, "%1: f64[3,3]", "%2 = matmul(%1, %1) : f64[3,3]", 2),
    ROW(conv, "%1: f64[2,4,5,3], %2: f64[2,3,3,2]", "%3 = conv(%1, %2) {1, 2, 1, 1, 1, 2, 0, 1, 2, 1, 1, 1, 1, [3, 4]} : f64[2,3,4,2]\n%4 = sin(%3) : f64[2,3,4,2]", 4),
    ROW(conv, "%1: f64[1,5,4], %2: f64[3,2,4]", "%3 = conv(%1, %2) {1, 1, 2, 1, 1, 1, 0, 0, -1, 2, 1, 1, 1, [2]} : f64[1,2,4]\n%4 = mul(%3, %3) : f64[1,2,4]", 4),
    ROW(conv, "%1: f64[2,3,2,2], %2: f64[3,2,2,1]", "%3 = conv(%1, %2) {1, 1, 1, 1, 1, 2, 0, 1, 1, 1, 1, 2, 3, [5, 7]} : f64[2,5,7,1]\n%4 = sin(%3) : f64[2,5,7,1]", 4),
    ROW(conv, "%1: f64[1,2,3,2,2], %2: f64[2,1,2,1,4]", "%3 = conv(%1, %2) {2, 1, 1, 1, 1, 1, 1, 0, 0, 2, 1, 1, 1, [2, 3, 1]} : f64[1,2,3,1,4]", 3),
    ROW(conv_filter, "%1: f64[2,4,5,3], %2: f64[2,3,4,2]", "%3 = conv_filter(%1, %2) {1, 2, 1, 1, 1, 2, 0, 1, 2, 1, [2, 3]} : f64[2,3,3,2]\n%4 = sin(%3) : f64[2,3,3,2]", 4),
    ROW(conv_filter, "%1: f64[1,5,4], %2: f64[1,2,4]", "%3 = conv_filter(%1, %2) {1, 1, 3, 1, 1, 1, 0, 0, -1, 2, [2]} : f64[2,2,4]", 3),
    ROW(attention, "%1: f64[1,3,2], %2: f64[1,4,2], %3: f64[1,4,3], %4: f64[1,3,4]",
        "%5, %6 = attention(%1, %2, %3, %4) {0.75, 0, 1, 3, 0, 1} : f64[1,3,3], f64[1,3]\n%7 = sin(%5) : f64[1,3,3]\n%8 = sum(%7) {[2]} : f64[1,3]\n%9 = mul(%8, %6) : f64[1,3]", 9),
    ROW(attention, "%1: f64[2,5,2], %2: f64[2,2,2], %3: f64[2,2,1], %4: f64[1,1,2]",
        "%5, %6 = attention(%1, %2, %3, %4) {-0.5, 1.5, 0, 1, 0, 0} : f64[2,5,1], f64[2,5]\n%7 = sin(%5) : f64[2,5,1]", 7),
    ROW(eigh, "%1: f64[2,3,3]", "%2, %3 = eigh(%1) : f64[2,3], f64[2,3,3]\n%4 = sin(%3) : f64[2,3,3]\n%5 = sum(%4) {[1]} : f64[2,3]\n%6 = mul(%5, %2) : f64[2,3]", 6),
    ROW(eigvalsh, "%1: f64[3,3]", "%2 = eigvalsh(%1) : f64[3]\n%3 = mul(%2, %2) : f64[3]", 3),
    ROW(svd, "%1: f64[4,2]", "%2, %3, %4 = svd(%1) {0} : f64[4,2], f64[2], f64[2,2]\n%5 = sin(%2) : f64[4,2]\n%6 = matmul(%5, %4) : f64[4,2]\n%7 = mul(%6, %2) : f64[4,2]\n%8 = sum(%7) {[0]} : f64[2]\n%9 = mul(%8, %3) : f64[2]", 9),
    ROW(svd, "%1: f64[2,3]", "%2, %3, %4 = svd(%1) {0} : f64[2,2], f64[2], f64[2,3]\n%5 = sin(%4) : f64[2,3]\n%6 = matmul(%2, %5) : f64[2,3]", 6),
    ROW(svdvals, "%1: f64[2,4]", "%2 = svdvals(%1) : f64[2]\n%3 = mul(%2, %2) : f64[2]", 3),
    ROW(attention_query, "%1: f64[1,3,3], %2: f64[1,4,3], %3: f64[1,3,1], %4: f64[1,3]",
        "%5 = attention_query(%1, %2, %2, %3, %1, %4, %4) {0.75, 2, 1, 3, 0, 1} : f64[1,3,3]\n%6 = sin(%5) : f64[1,3,3]", 6),
    ROW(attention_query, "%1: f64[1,3,2], %2: f64[1,3,3], %3: f64[1,3], %4: f64[1,3]",
        "%5 = attention_query(%1, %1, %2, %2, %2, %3, %4) {0.25, 0, 0, 1, 0, 0} : f64[1,3,2]\n%6 = sin(%5) : f64[1,3,2]", 6),
    ROW(attention_keys, "%1: f64[1,3,3], %2: f64[1,4,3], %3: f64[1,1,4], %4: f64[1,3]",
        "%5 = attention_keys(%1, %2, %2, %3, %1, %4, %4) {0.75, 0, 0, 1, 0, 0} : f64[1,4,6]\n%6 = sin(%5) : f64[1,4,6]", 6, .lo = -1, .hi = 1),
    ROW(attention_keys, "%1: f64[1,3,2], %2: f64[1,3,3], %3: f64[1,3], %4: f64[1,3]",
        "%5 = attention_keys(%1, %1, %2, %2, %2, %3, %4) {0.75, 2, 1, 2, 1, 1} : f64[1,3,5]\n%6 = sin(%5) : f64[1,3,5]", 6, .lo = -1, .hi = 1),
    ROW(loop, "%1: f64[2], %2: f64[3]",
     "%3 = constant() {i64, 3, []} : i64[]\n%4, %5 = loop(%3, %1, %2) {@step, 1, 1, 1, 0, 3, []} : f64[2], f64[3,2]\n"
     "%6 = broadcast(%4) {[3, 2]} : f64[3,2]\n%7 = mul(%5, %6) : f64[3,2]", 7,
     .body = "graph @step(%1: i64[], %2: f64[2], %3: f64[]) -> (%6, %7) {\n%4 = broadcast(%3) {[2]} : f64[2]\n%5 = mul(%2, %4) : f64[2]\n"
     "%6 = sin(%5) : f64[2]\n%7 = mul(%6, %2) : f64[2]\n}\n"),
    ROW(loop, "%1: f64[2,2], %2: f64[2,2]",
     "%3 = constant() {i64, 4, []} : i64[]\n%4 = loop(%3, %1, %2) {@step, 1, 0, 0, 0, 4, []} : f64[2,2]", 4,
     .body = "graph @step(%1: i64[], %2: f64[2,2], %3: f64[2,2]) -> (%5) {\n%4 = matmul(%2, %3) : f64[2,2]\n%5 = tanh(%4) : f64[2,2]\n}\n"),
    ROW(loop, "%1: f64[4,2], %2: f64[2]",
     "%3 = constant() {i64, 4, []} : i64[]\n%4 = constant() {i32, 1, []} : i32[]\n"
     "%5, %6, %7 = loop(%3, %2, %4, %1) {@step, 2, 1, 1, 1, 4, []} : f64[2], i32[], f64[4,2]", 7,
     .body = "graph @step(%1: i64[], %2: f64[2], %3: i32[], %4: f64[2]) -> (%5, %6, %9) {\n%5 = add(%2, %4) : f64[2]\n%6 = add(%3, %3) : i32[]\n"
     "%7 = cast(%6) {f64} : f64[]\n%8 = broadcast(%7) {[2]} : f64[2]\n%10 = mul(%5, %2) : f64[2]\n%9 = mul(%10, %8) : f64[2]\n}\n"),
    /* steps that only the running loop counts: three, and the sum stays far from where it would turn once more or less */
    ROW(loop, "%1: f64[2], %2: f64[2]",
     "%3 = iota() {i64, 0, [3]} : i64[3]\n%4 = reduce_max(%3) {[0]} : i64[]\n"
     "%5 = loop(%4, %1, %2) {@step, 1, 0, 0, 0, T, []} : f64[2]", 5,
     .body = "graph @step(%1: i64[], %2: f64[2], %3: f64[2]) -> (%5) {\n%4 = mul(%2, %3) : f64[2]\n%5 = sin(%4) : f64[2]\n}\n"),
    ROW(loop, "%1: f64[2], %2: f64[2]",
     "%3 = constant() {f64, 0, []} : f64[]\n%7 = constant() {i64, 9223372036854775807, []} : i64[]\n"
     "%4, %5, %6 = loop(%7, %1, %3, %2) {@step, 2, 0, 0, 0, T, [@below]} : f64[2], f64[], i64[]", 4,
     .body = "graph @below(%1: i64[], %2: f64[2], %3: f64[], %4: f64[2]) -> (%6) {\n%5 = constant() {f64, 2.5, []} : f64[]\n"
     "%6 = lt(%3, %5) : bool[]\n}\n"
     "graph @step(%1: i64[], %2: f64[2], %3: f64[], %4: f64[2]) -> (%6, %8) {\n%5 = mul(%2, %4) : f64[2]\n%6 = sin(%5) : f64[2]\n"
     "%7 = constant() {f64, 1, []} : f64[]\n%8 = add(%3, %7) : f64[]\n}\n"),
    ROW(loop, "%1: f64[2], %2: f64[2]", /* bounded */
     "%3 = constant() {f64, 0, []} : f64[]\n%7 = constant() {i64, 6, []} : i64[]\n"
     "%4, %5, %6 = loop(%7, %1, %3, %2) {@step, 2, 0, 0, 0, 6, [@below]} : f64[2], f64[], i64[]", 4,
     .body = "graph @below(%1: i64[], %2: f64[2], %3: f64[], %4: f64[2]) -> (%6) {\n%5 = constant() {f64, 2.5, []} : f64[]\n"
     "%6 = lt(%3, %5) : bool[]\n}\n"
     "graph @step(%1: i64[], %2: f64[2], %3: f64[], %4: f64[2]) -> (%6, %8) {\n%5 = mul(%2, %4) : f64[2]\n%6 = sin(%5) : f64[2]\n"
     "%7 = constant() {f64, 1, []} : f64[]\n%8 = add(%3, %7) : f64[]\n}\n"),
    ROW(branch, "%1: f64[2], %2: f64[2]",
     "%3 = constant() {bool, 1, []} : bool[]\n%4, %5 = branch(%3, %1, %2) {[@no, @yes]} : f64[2], f64[2]\n"
     "%6 = constant() {i32, 7, []} : i32[]\n%7 = branch(%6, %4, %5) {[@left, @left, @right]} : f64[2]", 7,
     .body = "graph @no(%1: f64[2], %2: f64[2]) -> (%1, %2) {\n}\n"
     "graph @yes(%1: f64[2], %2: f64[2]) -> (%3, %4) {\n%3 = mul(%1, %2) : f64[2]\n%4 = sin(%1) : f64[2]\n}\n"
     "graph @left(%1: f64[2], %2: f64[2]) -> (%1) {\n}\n"
     "graph @right(%1: f64[2], %2: f64[2]) -> (%4) {\n%3 = mul(%2, %2) : f64[2]\n%4 = mul(%1, %3) : f64[2]\n}\n"),
};

/* ---- one case -------------------------------------------------------------------------------------------------- */

typedef struct Check {
    const Case *c;
    Arena *arena;
    Module *m;
    Graph *g;
    Status st;
    Random random;
    uint32_t nparam;        /* before seeds were added */
    uint32_t nx;
    Value x[MOST_X], dx[MOST_X], ddx[MOST_X]; /* ddx: of v . dx */
    uint32_t param[MOST_X]; /* number of x[i] among the parameters */
    const void **in;
    void **all;
} Check;

static int64_t count(const Graph *g, Value v)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < graph_type(g, v)->rank; i++) n *= graph_type(g, v)->dim[i];
    return n;
}

static void fail_case(const Check *k, const char *what)
{
    Text text = {0};
    module_print(&text, k->m);
    fprintf(stderr, "%s\n", text.at);
    text_free(&text);
    fail_msg("%s: %s", op_def[k->c->op].name, what);
}

static void parse(Check *k)
{
    const char *text = arena_printf(k->arena, "module { dims T in loop }\n\ngraph @main(%s) -> (%%%d) {\n%s\n}\n\n%s", k->c->params, k->c->result,
                                    k->c->lines, k->c->body != NULL ? k->c->body : "");
    k->m = module_parse(k->arena, text, strlen(text), &k->st);
    if (k->m == NULL) fail_msg("%s: %s\n%s", op_def[k->c->op].name, k->st.text, text);
    k->g = k->m->graph.at[0];
    k->nparam = k->g->param.len;
    for (uint32_t i = 0; i < k->nparam; i++)
        if (graph_type(k->g, k->g->param.at[i])->dtype == DT_f64) {
            k->param[k->nx] = i;
            k->x[k->nx++] = k->g->param.at[i];
        }
}

/* Cotangents of x given y's, which are parameters of their own. */
static void differentiate(Check *k, const Value *y, uint32_t ny, Value *dx)
{
    Value seed[MOST_X];
    GraphEmit ge;
    const uint32_t last = k->g->node.len;
    for (uint32_t i = 0; i < ny; i++) {
        Type t = *graph_type(k->g, y[i]);
        seed[i] = graph_param(k->g, &t, (Loc){0});
    }
    graph_emit_init(&ge, k->g, &k->st);
    Reverse r = {.e = &ge.e, .g = k->g, .last = last, .y = y, .seed = seed, .ny = ny, .x = k->x, .nx = k->nx, .dx = dx,
                 .scratch = k->arena, .st = &k->st};
    if (!reverse_walk(&r)) fail_case(k, k->st.text);
}

static void fill(Check *k, uint32_t i)
{
    const Type *t = graph_type(k->g, k->g->param.at[i]);
    const int64_t n = count(k->g, k->g->param.at[i]);
    char *bytes = arena_zeros(k->arena, (size_t)n + 1, 8);
    double lo = k->c->lo, hi = k->c->hi;
    if (lo == 0 && hi == 0) lo = -1.5, hi = 1.5;
    for (int64_t e = 0; e < n; e++) {
        char *at = bytes + (size_t)e * dtype_bytes((DType)t->dtype);
        double v = lo + (hi - lo) * random_unit(&k->random);
        if (k->c->step != 0) v = floor(v / k->c->step) * k->c->step; /* seeds, too: a cotangent that goes through f32 is exact there */
        if (k->c->zero && e == 1 && i < k->nparam) v = 0;
        if (dtype_is_float((DType)t->dtype))
            dtype_store_f64((DType)t->dtype, at, v);
        else
            dtype_store_i64((DType)t->dtype, at, random_below(&k->random, t->dtype == DT_bool ? 2 : 6) - (t->dtype != DT_bool));
    }
    k->in[i] = bytes;
}

static void run(Check *k)
{
    GraphRun r = {.arena = k->arena, .symbol = arena_zeros(k->arena, 64, sizeof(int64_t)), .host_products = true, .st = &k->st};
    if (!graph_run(&r, k->g, k->in, &k->all)) fail_case(k, k->st.text);
}

/* Sum of seed * y, parameters seed.. being the seeds. */
static double weighted(const Check *k, const Value *y, uint32_t ny, uint32_t seed)
{
    double sum = 0;
    for (uint32_t i = 0; i < ny; i++) {
        const double *v = k->all[y[i]], *w = k->in[seed + i];
        for (int64_t e = 0; e < count(k->g, y[i]); e++) sum += v[e] * w[e];
    }
    return sum;
}

/* dx against central differences of the weighted y. */
static void compare(Check *k, const char *order, const Value *y, uint32_t ny, uint32_t seed, const Value *dx)
{
    const double h = k->c->step != 0 ? k->c->step : H;
    run(k);
    void **at_x = k->all;
    for (uint32_t i = 0; i < k->nx; i++)
        for (int64_t e = 0; e < count(k->g, k->x[i]); e++) {
            double *x = (double *)(uintptr_t)k->in[k->param[i]] + e, was = *x, side[2];
            for (int s = 0; s < 2; s++) {
                *x = was + (s == 0 ? h : -h);
                run(k);
                side[s] = weighted(k, y, ny, seed);
            }
            *x = was;
            double numeric = (side[0] - side[1]) / (2 * h), found = dx[i] == 0 ? 0 : ((double *)at_x[dx[i]])[e];
            if (fabs(numeric - found) <= 2e-8 * (1 + fabs(numeric) + fabs(side[0]))) continue;
            char what[200];
            snprintf(what, sizeof what, "%s order: derivative by element %lld of parameter %u is %.12g, differences say %.12g", order,
                     (long long)e, k->param[i], found, numeric);
            fail_case(k, what);
        }
}

/* Compiled code gives the same bits, and the reference agrees with both. */
static void compare_others(Check *k)
{
    RefTensor *all;
    int64_t *symbol = arena_zeros(k->arena, 64, sizeof *symbol);
    run(k);
    if (!ref_run(k->arena, k->g, symbol, k->in, &all, &k->st)) fail_case(k, k->st.text);
    for (uint32_t i = 0; i < k->g->result.len; i++) {
        RefVerdict v;
        if (!ref_compare(&all[k->g->result.at[i]], k->all[k->g->result.at[i]], &v)) fail_case(k, v.why);
    }
    if (!graph_can_compile()) return;
    Module *copy = module_again(k->arena, k->m, &k->st);
    void **result = arena_zeros(k->arena, k->g->result.len, sizeof *result);
    GraphRun r = {.arena = k->arena, .symbol = symbol, .host_products = true, .st = &k->st};
    if (copy == NULL || !graph_compiled(&r, copy, k->in, result)) fail_case(k, k->st.text);
    for (uint32_t i = 0; i < k->g->result.len; i++)
        if (bytes_differ(DT_f64, k->all[k->g->result.at[i]], result[i], count(k->g, k->g->result.at[i])) >= 0)
            fail_case(k, "compiled code differs from eager code");
}

static void check(void *arg)
{
    Check *k = arg;
    parse(k);
    const Value y = k->g->result.at[0];
    Value reached[MOST_X];
    uint32_t n = 0;
    differentiate(k, &y, 1, k->dx);
    for (uint32_t i = 0; i < k->nx; i++)
        if (k->dx[i] != 0) reached[n++] = k->dx[i];
    if (n == 0) fail_case(k, "no gradient arrives");
    differentiate(k, reached, n, k->ddx);
    for (uint32_t i = 0; i < k->nx; i++) {
        if (k->dx[i] != 0) graph_result(k->g, k->dx[i]);
        if (k->ddx[i] != 0) graph_result(k->g, k->ddx[i]);
    }
    if (!module_verify(k->m, &k->st)) fail_case(k, k->st.text);
    k->in = arena_zeros(k->arena, k->g->param.len, sizeof *k->in);
    for (uint32_t i = 0; i < k->g->param.len; i++) fill(k, i);
    compare(k, "first", &y, 1, k->nparam, k->dx);
    compare(k, "second", reached, n, k->nparam + 1, k->ddx);
    compare_others(k);
}

/* By name, so that new rows of ops.def change no draws. */
static uint64_t seed_of(const char *name)
{
    uint64_t seed = 1;
    for (; *name; name++) seed = seed * 7919 + (uint8_t)*name;
    return seed;
}

static void check_case(const Case *c)
{
    Arena arena;
    Status st = {0};
    arena_init(&arena);
    Check k = {.c = c, .arena = &arena, .random = {seed_of(op_def[c->op].name)}};
    if (!arena_try(&arena, &st, check, &k)) fail_msg("%s: %s", op_def[c->op].name, st.text);
    arena_free(&arena);
}

/* ---- all rows ----------------------------------------------------------------------------------------------------- */

/* Where the function is smooth. */
static void smooth_range(Op op, Case *c)
{
    switch (op) {
    case OP_log:
    case OP_log2:
    case OP_log10:
    case OP_sqrt:
    case OP_pow:
    case OP_pow_slope:
    case OP_pow_rise:
    case OP_div:
    case OP_mod: c->lo = 0.4, c->hi = 2; break;
    case OP_log1p: c->lo = -0.6, c->hi = 2; break;
    case OP_cbrt:
    case OP_lgamma:
    case OP_digamma:
    case OP_hypot_slope: c->lo = 0.6, c->hi = 2; break;
    case OP_fmod: c->lo = 2.1, c->hi = 3.9; break;
    case OP_acosh: c->lo = 1.2, c->hi = 3; break;
    case OP_logit: c->lo = 0.1, c->hi = 0.9; break;
    case OP_asin:
    case OP_atanh:
    case OP_erfinv:
    case OP_acos: c->lo = -0.8, c->hi = 0.8; break;
    case OP_tan: c->lo = -1, c->hi = 1; break;
    default: break;
    }
}

static void elementwise(void **state)
{
    (void)state;
    static const char *const shapes[] = {"", "9", "2,5"};
    for (int op = OP_none + 1; op < OP_COUNT; op++) {
        const OpDef *def = &op_def[op];
        bool has = def->grad[0] != NULL || def->grad[1] != NULL || def->grad[2] != NULL;
        /* whose own gradients, or those beyond, are known to be unknown: ops.def */
        if (op == OP_digamma_slope || op == OP_trigamma_slope) continue;
        if (!(def->flags & OPF_ELEMENTWISE) || !has) continue;
        for (size_t s = 0; s < COUNT_OF(shapes); s++) {
            char params[120], lines[120];
            snprintf(params, sizeof params, "%%1: %s[%s]%s%s%s%s%s%s", def->nin == 3 ? "bool" : "f64", shapes[s],
                     def->nin > 1 ? ", %2: f64[" : "", def->nin > 1 ? shapes[s] : "", def->nin > 1 ? "]" : "",
                     def->nin > 2 ? ", %3: f64[" : "", def->nin > 2 ? shapes[s] : "", def->nin > 2 ? "]" : "");
            snprintf(lines, sizeof lines, "%%%d = %s(%%1%s%s) : f64[%s]", def->nin + 1, def->name, def->nin > 1 ? ", %2" : "",
                     def->nin > 2 ? ", %3" : "", shapes[s]);
            Case c = {.op = (Op)op, .params = params, .lines = lines, .result = def->nin + 1};
            smooth_range((Op)op, &c);
            check_case(&c);
        }
    }
}

static void structured(void **state)
{
    (void)state;
    const bool lapack = graph_has_lapack();
    if (!lapack) printf("skip: eigenvalues and singular values, for there is no LAPACK\n");
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (lapack || !op_by_lapack(cases[i].op)) check_case(&cases[i]);
}

static void every_row_has_a_case(void **state)
{
    (void)state;
    for (int op = OP_none + 1; op < OP_COUNT; op++) {
        if (op_def[op].vjp == NULL || op_def[op].flags & OPF_EFFECT) continue; /* a callback's says that there is none */
        if (op == OP_call || op == OP_custom) continue; /* these two are the front end's */
        bool found = false;
        for (size_t i = 0; i < COUNT_OF(cases); i++) found |= cases[i].op == (Op)op;
        if (!found) fail_msg("%s has a gradient and no case here", op_def[op].name);
    }
}

/* leaf {1} stops the gradient. */
static void stopped(void **state)
{
    (void)state;
    Arena arena;
    Status st = {0};
    static const char text[] = "module {}\n\ngraph @main(%1: f64[3]) -> (%2) {\n%2 = leaf(%1) {1} : f64[3]\n}\n";
    arena_init(&arena);
    Module *m = module_parse(&arena, text, sizeof text - 1, &st);
    assert_non_null(m);
    Graph *g = m->graph.at[0];
    GraphEmit ge;
    Value dx;
    graph_emit_init(&ge, g, &st);
    Reverse r = {.e = &ge.e, .g = g, .last = g->node.len, .y = g->result.at, .ny = 1, .x = g->param.at, .nx = 1, .dx = &dx,
                 .scratch = &arena, .st = &st};
    assert_true(reverse_walk(&r));
    assert_int_equal(dx, 0);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_has_a_case), cmocka_unit_test(elementwise), cmocka_unit_test(structured), cmocka_unit_test(stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
