/* while_bound: a while that may turn at most so often: up to there it is like any other, beyond it the reference, the interpreter of
 * programs and compiled code all end with an error instead of writing where no stack is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "codegen/ref.h"
#include "graph_run.h"
#include "interp.h"
#include "ir/text.h"

static const char text[] = "module {}\n\n"
                           "graph @main(%1: f32[]) -> (%3, %4, %5) {\n"
                           "  %2 = constant() {i64, 4, []} : i64[]\n"
                           "  %3, %4, %5 = loop(%2, %1) {@step, 1, 0, 1, 0, 4, [@below]} : f32[], f32[4], i64[]\n}\n\n"
                           "graph @below(%1: i64[], %2: f32[]) -> (%4) {\n  %3 = constant() {f32, 10, []} : f32[]\n"
                           "  %4 = lt(%2, %3) : bool[]\n}\n\n"
                           "graph @step(%1: i64[], %2: f32[]) -> (%4, %2) {\n  %3 = constant() {f32, 1, []} : f32[]\n"
                           "  %4 = add(%2, %3) : f32[]\n}\n";

typedef struct Try {
    Arena *arena;
    float start;
    Status ref, interp, compiled;
    float last, stack[4];
    int64_t steps;
    bool has_compiler;
} Try;

static void try(void *arg)
{
    Try *t = arg;
    const void *in[1] = {&t->start};
    int64_t none = 0;
    RefTensor *all;
    Module *m = module_parse(t->arena, text, sizeof text - 1, &t->ref);
    if (m == NULL) return;
    ref_run(t->arena, m->graph.at[0], &none, in, &all, &t->ref);
    const Target target = {.name = "cpu", .vector_bytes = 32, .row_cache_bytes = 16 << 10, .fma = true};
    const LowerOptions o = {.target = target};
    Module *passed = module_again(t->arena, m, &t->interp);
    Program *p = passed != NULL && graph_passes(passed, &target, false, -1, &t->interp) ? program_lower(t->arena, passed, &o, &t->interp) : NULL;
    if (p == NULL) return;
    interp_run(p, (void *[]){&t->start, &t->last, t->stack, &t->steps}, &none, &t->interp);
    t->has_compiler = graph_can_compile();
    if (!t->has_compiler) return;
    void *result[3];
    GraphRun r = {.arena = t->arena, .symbol = &none, .st = &t->compiled};
    Module *again = module_again(t->arena, m, &t->compiled);
    if (again != NULL && graph_compiled(&r, again, in, result) && t->compiled.code == ST_OK) {
        float last;
        memcpy(&last, result[0], sizeof last);
        if (last != t->last || memcmp(result[1], t->stack, sizeof t->stack) != 0) status_fail(&t->compiled, ST_INTERNAL, "differs");
    }
}

static void bounds(void **state)
{
    (void)state;
    for (int steps = 0; steps <= 6; steps++) {
        Arena arena;
        Status st = {0};
        arena_init(&arena);
        Try t = {.arena = &arena, .start = (float)(10 - steps)};
        assert_true(arena_try(&arena, &st, try, &t));
        if (steps <= 4) {
            if (t.ref.code || t.interp.code || t.compiled.code) fail_msg("%s%s%s", t.ref.text, t.interp.text, t.compiled.text);
            assert_int_equal(t.steps, steps);
            assert_true(t.last == 10);
            for (int i = 0; i < 4; i++) assert_true(t.stack[i] == (i < steps ? (float)(10 - steps + i) : 0));
        } else {
            assert_int_equal(t.ref.code, ST_VALUE);
            assert_int_equal(t.interp.code, ST_VALUE);
            if (t.has_compiler) assert_non_null(strstr(t.compiled.text, "the entry returned"));
        }
        arena_free(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
