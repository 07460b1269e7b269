/* test_sorted: the values of sort in every way in which they are sorted, bit for bit: the host's routine for each instruction set,
 * alone and with threads, by lanes and by bytes, along rows and columns; and the kernels of programs without a host. What they give is
 * judged by a plain sort of numbers with their signs. Public calls, gradients and errors: test_sort.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "codegen/eager/kernels.h"
#include "graph_run.h"
#include "ir/text.h"

typedef struct Lines {
    int64_t lines, size, after;
} Lines;
static const Lines shapes[] = {{1, 0, 1}, {0, 5, 1}, {1, 1, 1}, {3, 2, 1}, {40, 17, 1}, {2, 5, 3}, {2, 64, 40}, {1, 65, 1}, {70, 65, 1}, {3, 129, 70},
                               {5, 300, 3}, {1, 2048, 64}, {2, 2049, 1}, {17, 2500, 2}, {1, 65536, 1}, {1, 70001, 2}};

static bool is_down;
static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y)) return isnan(x) - isnan(y);
    const int up = x != y ? (x > y) - (x < y) : signbit(y) - signbit(x);
    return is_down ? -up : up;
}

static int compare_u64(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return is_down ? (x < y) - (x > y) : (x > y) - (x < y);
}

static int compare_i64(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return is_down ? (x < y) - (x > y) : (x > y) - (x < y);
}

/* Any bits, but often the same, special ones, and runs that share bytes. */
static void draw(DType t, char *x, int64_t n, uint64_t seed)
{
    static const double odd[] = {NAN, INFINITY, -INFINITY, 0, -0.0, 1, -1, 2};
    const size_t bytes = dtype_bytes(t);
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const uint64_t r = seed >> 20;
        uint64_t bits = r % 3 == 0 ? r << 32 ^ r >> 3 : r >> 36;
        if (t == DT_bool) bits = r & 1;
        memcpy(x + (size_t)i * bytes, &bits, bytes);
        if (dtype_is_float(t) && r % 5 == 0) dtype_store_f64(t, x + (size_t)i * bytes, odd[r / 5 % 8]);
    }
}

static double *line_of(DType t, const char *x, int64_t at, const Lines *l)
{
    double *line = calloc((size_t)l->size + 1, sizeof *line);
    for (int64_t i = 0; i < l->size; i++) {
        const char *from = x + (size_t)(at + i * l->after) * dtype_bytes(t);
        if (t == DT_u64 || t == DT_i64)
            memcpy(&line[i], from, 8);
        else
            line[i] = dtype_load_f64(t, from);
    }
    return line;
}

static void check(const char *how, DType t, const Lines *l, bool descending, const char *x, const char *y)
{
    is_down = descending;
    for (int64_t c = 0; c < l->lines * l->after; c++) {
        const int64_t at = c / l->after * l->size * l->after + c % l->after;
        double *want = line_of(t, x, at, l), *got = line_of(t, y, at, l);
        qsort(want, (size_t)l->size, sizeof *want, t == DT_u64 ? compare_u64 : t == DT_i64 ? compare_i64 : compare);
        for (int64_t i = 0; i < l->size; i++) {
            const bool whole = t == DT_u64 || t == DT_i64;
            if (memcmp(&want[i], &got[i], 8) != 0 && (whole || !isnan(want[i]) || !isnan(got[i])))
                fail_msg("%s, %s [%d,%d,%d]%s, line %d: element %d is %g, not %g", how, dtype_info[t].name, (int)l->lines, (int)l->size, (int)l->after,
                         descending ? ", descending" : "", (int)c, (int)i, got[i], want[i]);
        }
        free(want), free(got);
    }
}

static void routine(void **state)
{
    (void)state;
    int tiers;
    const Kernels *const *tier = eager_tiers(&tiers);
    ThreadPool *pool = threads_new(3);
    for (int d = DT_bool; d < DT_COUNT; d++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (int way = 0; way < 2 * tiers + 2; way++) { /* every tier, then all threads */
                const Lines *l = &shapes[s];
                const bool down = way % 2;
                if (l->size > 60000 && way < 2 * tiers && d % 3 != 0) continue;
                const int64_t n = l->lines * l->size * l->after;
                char *x = calloc((size_t)n + 1, 8), *y = calloc((size_t)n + 1, 8);
                draw((DType)d, x, n, 77 + s);
                eager_use_tier(way < 2 * tiers ? tier[way / 2] : NULL);
                Status st = {0};
                const HostSort h = {.type = d, .op = OP_sort, .lines = l->lines, .size = l->size, .after = l->after, .descending = down, .buf = {y, x}};
                assert_true(sort_run(way < 2 * tiers ? NULL : pool, &h, &st));
                check(way < 2 * tiers ? tier[way / 2]->name : "threads", (DType)d, l, down, x, y);
                free(x), free(y);
            }
    eager_use_tier(NULL);
    threads_free(pool);
}

static void no_memory(void **state)
{
    (void)state;
    float x[200] = {1}, y[200];
    const HostSort h = {.type = DT_f32, .op = OP_sort, .lines = 1, .size = 200, .after = 1, .buf = {y, x}};
    Status st = {0};
    memory_fail_at(1, false);
    assert_false(sort_run(NULL, &h, &st));
    memory_fail_at(0, false);
    assert_int_equal(st.code, ST_MEMORY);
    assert_non_null(strstr(st.text, "sort: no memory for"));
}

typedef struct Job {
    Arena arena;
    DType t;
    const Lines *l;
    bool down, symbolic;
    Status st;
} Job;

static void in_kernels(void *arg)
{
    Job *job = arg;
    const DType t = job->t;
    const Lines *l = job->l;
    char text[400], size[24];
    snprintf(size, sizeof size, job->symbolic ? "N" : "%lld", (long long)l->size);
    snprintf(text, sizeof text, "module {\n  dims N in [1,4000]\n}\n\ngraph @main(%%1: %s[%d,%s,%d]) -> (%%2) {\n  %%2 = sort(%%1) {1, %d} : %s[%d,%s,%d]\n}\n",
             dtype_info[t].name, (int)l->lines, size, (int)l->after, job->down, dtype_info[t].name, (int)l->lines, size, (int)l->after);
    Module *m = module_parse(&job->arena, text, strlen(text), &job->st);
    if (!m) fail_msg("%s: %s", text, job->st.text);
    const int64_t n = l->lines * l->size * l->after;
    char *x = arena_zeros(&job->arena, (size_t)n + 1, 8);
    int64_t symbol[8] = {l->size};
    draw(t, x, n, 99);
    void *result[1];
    GraphRun r = {.arena = &job->arena, .symbol = symbol, .st = &job->st};
    if (!graph_compiled(&r, m, (const void *const[]){x}, result)) fail_msg("%s: %s", text, job->st.text);
    check("kernels", t, l, job->down, x, result[0]);
}

static void try_kernels(DType t, const Lines *l, bool down, bool symbolic)
{
    Job job = {.t = t, .l = l, .down = down, .symbolic = symbolic};
    arena_init(&job.arena);
    if (!arena_try(&job.arena, &job.st, in_kernels, &job)) fail_msg("%s: %s", dtype_info[t].name, job.st.text);
    arena_free(&job.arena);
}

static void kernels(void **state)
{
    (void)state;
    if (!graph_can_compile()) skip();
    static const Lines few[] = {{3, 2, 1}, {2, 40, 3}, {2, 65, 1}, {1, 300, 3}, {1, 70001, 1}};
    for (int d = DT_bool; d < DT_COUNT; d++)
        for (size_t s = 0; s < sizeof few / sizeof *few; s++) {
            const bool all = d == DT_f32 || d == DT_i8 || getenv("KILN_TEST_FULL");
            if (!all && s != (size_t)d % 4) continue;
            try_kernels((DType)d, &few[s], (d + (int)s) % 2, s == 3);
            if (all && s < 4) try_kernels((DType)d, &few[s], (d + (int)s + 1) % 2, false);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(routine), cmocka_unit_test(no_memory), cmocka_unit_test(kernels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
