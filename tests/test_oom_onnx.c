/* oom_onnx: the committed ONNX cases, each run again and again, eagerly and traced, while one allocation after the other fails, once and from then
 * on. A run ends with KILN_EMEMORY or with the case's results, gives back every block, and nothing that a failed operation returned is looked into as if it had
 * axes (`make asan` sees that).
 *   KILN_OOM_ONLY=case: that one; KILN_OOM_AT=n: that allocation alone */
#include "front.h"

#include <glob.h>

#include "conformance/onnx_case.h"
#include "runtime/base.h"

typedef struct Outcome { Verdict v; uint64_t allocations; } Outcome;

static bool eagerly;

static void run_model(kiln *k, const char *folder, Verdict *v)
{
    char path[1100];
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    kiln_onnx *m = kiln_onnx_load(k, path);
    snprintf(path, sizeof path, "%s/test_data_set_0", folder);
    if (m) run_set(k, strrchr(folder, '/') + 1, EAGER, m, path, v);
    fine(k, v);
    kiln_onnx_free(m);
}

static Outcome attempt(const char *folder, uint64_t n, bool forever)
{
    Outcome o = {.v = {.ok = true}};
    const MemoryCount before = memory_count();
    memory_fail_at(n, forever);
    kiln *k = kiln_open(&(kiln_options){.threads = 1, .no_log = true, .compile = KILN_NEVER});
    if (k) kiln_eager(k, eagerly);
    if (k) run_model(k, folder, &o.v);
    memory_fail_at(0, false);
    o.allocations = memory_count().allocations - before.allocations;
    if (k)
        kiln_close(k);
    else
        o.v = (Verdict){.code = KILN_EMEMORY};
    const int64_t lost = memory_count().live_blocks - before.live_blocks;
    if (n && lost)
        fail_msg("%s: %s allocation %llu failing loses %lld blocks (%s)", folder, forever ? "from" : "the", (unsigned long long)n, (long long)lost, o.v.why);
    return o;
}

static void starve(const char *folder, uint64_t n, bool forever)
{
    const Outcome o = attempt(folder, n, forever);
    if (!o.v.ok && o.v.code != KILN_EMEMORY)
        fail_msg("%s: %s allocation %llu failing gives code %d: %s", folder, forever ? "from" : "the", (unsigned long long)n, (int)o.v.code, o.v.why);
}

static uint64_t every_allocation(const char *folder)
{
    const char *at = getenv("KILN_OOM_AT");
    attempt(folder, 0, false); /* what is made once per process */
    const Outcome clean = attempt(folder, 0, false);
    if (!clean.v.ok) return 0; /* not in this mode: the conformance suite says why */
    uint64_t tried = 0;
    for (uint64_t n = at ? strtoull(at, NULL, 10) : 1; n <= clean.allocations; n++, tried++) {
        starve(folder, n, false);
        starve(folder, n, true);
        if (at) break;
    }
    return tried;
}

static void models_without_memory(void **state)
{
    LATE_SKIP(LATE_STARVES);
    eagerly = *state;
    const char *only = getenv("KILN_OOM_ONLY");
    glob_t all;
    assert_int_equal(glob("tests/conformance/onnx/*", GLOB_ONLYDIR, NULL, &all), 0);
    uint64_t cases = 0, tried = 0;
    for (size_t i = 0; i < all.gl_pathc; i++) {
        if (only && strcmp(only, strrchr(all.gl_pathv[i], '/') + 1) != 0) continue;
        const uint64_t n = every_allocation(all.gl_pathv[i]);
        cases += n > 0, tried += n;
    }
    globfree(&all);
    printf("# %llu cases, %llu allocations made to fail\n", (unsigned long long)cases, (unsigned long long)tried);
    assert_true(only || cases > 150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {{"eagerly", models_without_memory, NULL, NULL, &eagerly}, {"traced", models_without_memory, NULL, NULL, NULL}};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
