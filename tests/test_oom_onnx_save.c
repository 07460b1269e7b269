/* oom_onnx_save: modules written as models of ONNX again and again, while one allocation after the other fails, once and from then on. A run
 * ends with KILN_EMEMORY and without a file, or with the file, and gives back every block. */
#include "remove_all.h"

#include <kiln/onnx.h>
#include <stdlib.h>
#include <unistd.h>

#include "front.h"
#include "runtime/base.h"

static char folder[] = "/tmp/kiln-oom-save-XXXXXX";

static const char *const text[] = {
    /* loops within loops, a condition, stacks, a branch in a loop */
    "module {\n  dims N in [1,9]\n}\n"
    "graph @main(%1: f32[N,4], %2: i64[]) -> (%7, %5) {\n  %3 = constant() {i64, 40, []} : i64[]\n"
    "  %4, %5 = loop(%3, %1) {@grow, 1, 0, 0, 0, 40, [@small]} : f32[N,4], i64[]\n"
    "  %6 = dim_size() {N} : i64[]\n  %7 = loop(%6, %4, %4) {@rows, 0, 1, 1, 1, N, []} : f32[N,4]\n}\n"
    "graph @grow(%1: i64[], %2: f32[N,4]) -> (%5) {\n  %3 = constant() {i64, 3, []} : i64[]\n  %4 = lt(%1, %3) : bool[]\n"
    "  %5 = branch(%4, %2) {[@one, @two]} : f32[N,4]\n}\n"
    "graph @small(%1: i64[], %2: f32[N,4]) -> (%5) {\n  %3 = sum(%2) {[0, 1]} : f32[]\n  %4 = constant() {f32, 100, []} : f32[]\n"
    "  %5 = lt(%3, %4) : bool[]\n}\n"
    "graph @one(%1: f32[N,4]) -> (%2) {\n  %2 = exp(%1) : f32[N,4]\n}\n"
    "graph @two(%1: f32[N,4]) -> (%2) {\n  %2 = add(%1, %1) : f32[N,4]\n}\n"
    "graph @rows(%1: i64[], %2: f32[4], %3: f32[N,4]) -> (%4) {\n  %4 = lgamma(%2) : f32[4]\n}\n",
    /* what is made of several nodes, and two results of one */
    "module {}\n"
    "graph @main(%1: f32[1,4,5,2], %2: f32[2,3,2,2], %3: f32[2,4,4], %4: f8_e4m3[6]) -> (%5, %6, %8, %9) {\n"
    "  %5 = conv(%1, %2) {1, 1, 1, 1, 1, 1, 0, 1, 2, 1, 1, 2, 3, [8, 14]} : f32[1,8,14,2]\n"
    "  %6, %7 = lu(%3) : f32[2,4,4], i64[2,4]\n  %8 = cumprod(%1) {2, 1, 1} : f32[1,4,5,2]\n  %9 = sort(%4) {0, 1} : f8_e4m3[6]\n}\n",
    /* what is refused */
    "module {}\ngraph @main(%1: u64[2]) -> (%2) {\n  %2 = random_bits(%1) {[4]} : u32[4]\n}\n"};

typedef struct Outcome {
    bool ok;
    kiln_code code;
    uint64_t allocations;
    char why[200];
} Outcome;

static Outcome attempt(int which, uint64_t n, bool forever)
{
    char path[64];
    Outcome o = {.code = KILN_EMEMORY};
    snprintf(path, sizeof path, "%s/m.onnx", folder);
    unlink(path);
    const MemoryCount before = memory_count();
    memory_fail_at(n, forever);
    kiln *k = kiln_open(&(kiln_options){.threads = 1, .no_log = true, .compile = KILN_NEVER});
    if (k) {
        o.ok = kiln_onnx_save_text(k, text[which], strlen(text[which]), path);
        o.code = kiln_error(k)->code;
        snprintf(o.why, sizeof o.why, "%s", kiln_error(k)->text);
    }
    memory_fail_at(0, false);
    o.allocations = memory_count().allocations - before.allocations;
    if (k) kiln_clear(k), kiln_close(k);
    const int64_t lost = memory_count().live_blocks - before.live_blocks;
    if (n && lost) fail_msg("%d: %s allocation %llu failing loses %lld blocks (%s)", which, forever ? "from" : "the", (unsigned long long)n, (long long)lost, o.why);
    if (o.ok != (access(path, F_OK) == 0)) fail_msg("%d: a file without success, or success without one", which);
    return o;
}

static void models_without_memory(void **state)
{
    (void)state;
    LATE_SKIP(LATE_STARVES);
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < 3; i++) {
        attempt(i, 0, false); /* what is made once per process */
        const Outcome clean = attempt(i, 0, false);
        if (clean.ok != (i < 2)) fail_msg("%d: %s", i, clean.why);
        for (uint64_t n = 1; n <= clean.allocations; n++) {
            for (int forever = 0; forever < 2; forever++) {
                const Outcome o = attempt(i, n, forever);
                if (!o.ok && o.code != KILN_EMEMORY && o.code != clean.code) fail_msg("%d: allocation %llu failing gives code %d: %s", i, (unsigned long long)n, (int)o.code, o.why);
            }
        }
        printf("# %llu allocations made to fail\n", (unsigned long long)clean.allocations);
    }
    remove_all(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(models_without_memory)};
    return cmocka_run_group_tests_name("oom_onnx_save", tests, NULL, NULL);
}
