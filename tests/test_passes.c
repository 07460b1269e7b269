/* test_passes: passes as text before and after. A case of tests/ir/PASS.kiln is
 *
 *     // pass: NAME[, NAME ...]         the passes to run, in that order
 *     // any number of lines about it
 *     module { ... } ...
 *     // becomes
 *     module { ... } ...
 *
 * up to the next "// pass:". What is printed after the passes must be the second module, byte
 * for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "cases.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "passes/pass.h"

#define PASS_MARK "// pass: "
#define BECOMES_MARK "// becomes\n"

static const Target target = {.name = "cpu", .vector_bytes = 32, .fma = true};

typedef struct Case {
    char pass[128];
    const char *before, *after;
    size_t before_len, after_len;
} Case;

static size_t trimmed(const char *text, size_t len)
{
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' ')) len--;
    return len;
}

/* The case that starts at *at, which moves to the next; false at the end. */
static bool next_case(const char **at, Case *c)
{
    TextCase whole;
    if (!cases_next(at, PASS_MARK, &whole)) return false;
    const char *split = strstr(whole.text, BECOMES_MARK);
    if (split == NULL || split >= *at) fail_msg("a case without \"// becomes\": %s", whole.title);
    snprintf(c->pass, sizeof c->pass, "%s", whole.title);
    c->before = whole.text;
    c->before_len = (size_t)(split - c->before);
    c->after = split + strlen(BECOMES_MARK);
    c->after_len = trimmed(c->after, (size_t)(*at - c->after));
    return true;
}

static Module *parsed(Arena *a, const char *text, size_t len)
{
    Status st = {0};
    Module *m = module_parse(a, text, len, &st);
    if (m == NULL) fail_msg("%s\n%.*s", st.text, (int)len, text);
    return m;
}

static void run_passes(Module *m, const char *names)
{
    char list[128];
    snprintf(list, sizeof list, "%s", names);
    for (char *name = strtok(list, ", "); name != NULL; name = strtok(NULL, ", ")) {
        Arena scratch;
        Status st = {0};
        arena_init(&scratch);
        PassCtx ctx = {.scratch = &scratch,
            .target = &target,
            .st = &st,
            .verify = true,
            .only = name,
            .stop_after = -1};
        bool ok = pipeline_run(&ctx, m);
        arena_free(&scratch);
        if (!ok) fail_msg("%s", st.text);
    }
}

static void check_case(const Case *c, const char *path, int number)
{
    Arena a;
    arena_init(&a);
    Module *m = parsed(&a, c->before, c->before_len);
    parsed(&a, c->after, c->after_len);
    run_passes(m, c->pass);
    Text t = {0};
    module_print(&t, m);
    size_t n = trimmed(t.at, t.len);
    if (n != c->after_len || memcmp(t.at, c->after, n) != 0)
        fail_msg("%s, case %d (%s): expected\n%.*s\n\ngot\n%s", path, number, c->pass,
            (int)c->after_len, c->after, t.at);
    text_free(&t);
    arena_free(&a);
}

static void check_file(const char *name)
{
    char path[64];
    Arena a;
    Case c;
    int n = 0;
    arena_init(&a);
    snprintf(path, sizeof path, "tests/ir/%s.kiln", name);
    for (const char *at = cases_read(&a, path); next_case(&at, &c);) check_case(&c, path, ++n);
    assert_true(n > 0);
    arena_free(&a);
}

/* Every pass but fuse, whose results tests/lower.kiln looks at, has a file. */
static void text_cases(void **state)
{
    (void)state;
    for (int i = 0; i < pass_count; i++)
        if (strcmp(pass_table[i].name, "fuse") != 0) check_file(pass_table[i].name);
}

/* ---- the runner ----------------------------------------------------------------------------- */

static const char *const source = "module {}\n\ngraph @main(%1: f32[4]) -> (%3) {\n"
                                  "  %2 = neg(%1) : f32[4]\n  %3 = neg(%2) : f32[4]\n}\n";

static void note(void *user, const char *pass, const Module *m)
{
    Text *t = user;
    (void)m;
    text_printf(t, "%s ", pass);
}

static void runner_reports_changes(void **state)
{
    (void)state;
    Arena a, scratch;
    Text seen = {0};
    Status st = {0};
    double seconds[16] = {0};
    arena_init(&a);
    arena_init(&scratch);
    Module *m = parsed(&a, source, strlen(source));
    PassCtx ctx = {.scratch = &scratch,
        .target = &target,
        .st = &st,
        .verify = true,
        .dump = note,
        .dump_user = &seen,
        .seconds = seconds,
        .stop_after = 0};
    assert_true(pipeline_run(&ctx, m));
    assert_int_equal(m->graph.at[0]->node.len, 3);
    ctx.stop_after = 6;
    assert_true(pipeline_run(&ctx, m));
    assert_int_equal(m->graph.at[0]->node.len, 1);
    assert_string_equal(seen.at, "trace trace canonical dce ");
    assert_true(seconds[0] > 0);
    ctx.only = "nonsense";
    ctx.stop_after = -1;
    assert_false(pipeline_run(&ctx, m));
    assert_non_null(strstr(st.text, "nonsense"));
    text_free(&seen);
    arena_free(&scratch);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_cases),
        cmocka_unit_test(runner_reports_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
