/* oom_text: what a compiled call says when memory is not there: how many bytes, what for, and where. Each call runs on a thread of its own, which has
 * no workspace, scratch and buffers yet, with all allocations from its first, second ... on failing. Skipped without the LLVM module. */
#include "front.h"

#include <pthread.h>

#include "runtime/base.h"

typedef struct Try { kiln *k; kiln_function *f; kiln_tensor *x; uint64_t n; bool failed, reached, transposed; int line; char text[700]; } Try;

static void *one_call(void *arg)
{
    Try *t = arg;
    kiln_failed(t->k); /* makes the thread's state */
    {
        KILN_SCOPE(t->k);
        kiln_tensor *x = t->transposed ? kiln_transpose(t->x, KILN_ALL) : t->x;
        const uint64_t before = memory_count().allocations;
        memory_fail_at(t->n, true);
        kiln_call(t->f, x), t->line = __LINE__;
        memory_fail_at(0, false);
        t->reached = memory_count().allocations - before >= t->n;
        const kiln_failure *e = kiln_error(t->k);
        t->failed = e->code != KILN_OK;
        if (t->failed && (e->code != KILN_EMEMORY || e->line != t->line)) t->line = -e->line;
        snprintf(t->text, sizeof t->text, "%s", e->text);
        kiln_clear(t->k);
    }
    return NULL;
}

static void fill(kiln_tensor **x, kiln *k, int64_t rows, int64_t columns)
{
    *x = rows ? kiln_mul(kiln_iota(k, KILN_F32, KILN_SHAPE(rows, columns), 1), 0.001) : kiln_scalar(k, KILN_F32, 2);
}

typedef struct Case { kiln_body *body; bool gradient, transposed; int64_t rows, columns; const char *wanted[3]; } Case;

/* An engine of its own, so that the thread keeps nothing of an earlier try. */
static Try attempt(const Case *c, uint64_t n)
{
    Try t = {.k = kiln_open(&(kiln_options){.compile = KILN_WAIT}), .n = n, .transposed = c->transposed};
    {
        KILN_SCOPE(t.k);
        fill(&t.x, t.k, c->rows, c->columns);
        t.f = kiln_function_new(t.k, c->body, NULL, &(kiln_function_options){.name = "hungry", .inputs_count = 1});
        if (c->gradient) t.f = kiln_grad(t.f);
        kiln_call(t.f, c->transposed ? kiln_transpose(t.x, KILN_ALL) : t.x);
        assert_ok(t.k);
        pthread_t id;
        assert_int_equal(pthread_create(&id, NULL, one_call, &t), 0);
        pthread_join(id, NULL);
    }
    assert_int_equal(kiln_close(t.k), 0);
    return t;
}

/* Every failure names bytes and the call's line, and each part that is wanted is in some error. */
static void every_failure_says(const Case *c)
{
    bool seen[3] = {false};
    for (uint64_t n = 1;; n++) {
        Try t = attempt(c, n);
        if (!t.reached) break;
        if (!t.failed) continue;
        if (t.line < 0) fail_msg("allocation %d: not of the call's line: %s", (int)n, t.text);
        if (!strstr(t.text, "bytes") || !strstr(t.text, "test_oom_text.c:")) fail_msg("allocation %d: %s", (int)n, t.text);
        for (int i = 0; i < 3 && c->wanted[i]; i++) seen[i] |= strstr(t.text, c->wanted[i]) != NULL;
    }
    for (int i = 0; i < 3 && c->wanted[i]; i++)
        if (!seen[i]) fail_msg("no error says \"%s\"", c->wanted[i]);
}

static void wide(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_tensor *y = kiln_matmul(in[0], in[0]);
    out[0] = kiln_matmul(kiln_exp(kiln_matmul(y, in[0])), y);
}

static void results_and_workspace(void **state)
{
    (void)state;
    every_failure_says(&(Case){wide, .rows = 64, .columns = 64,
        .wanted = {"hungry: no memory for a result, f32[64,64] (16384 bytes)", "hungry: no memory for ", " bytes of workspace"}});
}

/* A view is packed first. */
static void packed_arguments(void **state)
{
    LATE_SKIP(LATE_STARVES);
    (void)state;
    every_failure_says(&(Case){wide, .rows = 64, .columns = 64, .transposed = true, .wanted = {"no memory for f32[64,64] (16384 bytes)"}});
}

static void product(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_tensor *x = kiln_cast(in[0], KILN_F16);
    out[0] = kiln_matmul(x, kiln_transpose(x, KILN_ALL));
}

/* Of 16-bit operands a product packs copies in f32. */
static void products(void **state)
{
    LATE_SKIP(LATE_STARVES);
    (void)state;
    every_failure_says(&(Case){product, .rows = 160, .columns = 160, .wanted = {"hungry: matmul: no memory for "}});
}

static int loop_line;
static void wanders(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *y = kiln_local(k, in[0]);
    loop_line = __LINE__ + 1;
    KILN_WHILE(k, kiln_less(kiln_value(y), 1e6)) kiln_assign(y, kiln_mul(kiln_exp(kiln_mul(y, 1e-9)), kiln_add(y, y)));
    out[0] = kiln_value(y);
}

static void stacks_of_loops(void **state)
{
    (void)state;
    char line[160];
    Case c = {wanders, .gradient = true, .wanted = {"hungry_grad: no memory for 4096 bytes that the loop at ", line}};
    attempt(&c, UINT64_MAX); /* for the loop's line */
    snprintf(line, sizeof line, "test_oom_text.c:%d keeps of its steps for a gradient", loop_line);
    every_failure_says(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_and_workspace), cmocka_unit_test(packed_arguments), cmocka_unit_test(products), cmocka_unit_test(stacks_of_loops),
    };
    return cmocka_run_group_tests_name("oom_text", tests, front_needs_llvm, NULL);
}
