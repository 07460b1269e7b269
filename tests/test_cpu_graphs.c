/* The LLVM backend on whole graphs: every case of tests/lower.kiln, fused and unfused, compiled
 * and run with and without a host that cuts kernels into chunks, against the interpreter of
 * programs: equal in every bit. */
#include "cases.h"
#include "graph_run.h"
#include "interp.h"
#include "ir/text.h"
#include "kernel_make.h"
#include "passes/pass.h"

#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

enum { SYMBOL = 5 }; /* every symbol's value */

static size_t bytes_of(const Module *m, const Type *t)
{
    int64_t symbol[256];
    size_t n = dtype_bytes((DType)t->dtype);
    for (int i = 0; i < 256; i++) symbol[i] = SYMBOL;
    for (uint32_t i = 0; i < t->rank; i++) n *= (size_t)dim_eval(&m->dims, t->dim[i], symbol);
    return n;
}

static void fill(DType t, char *at, size_t n)
{
    uint64_t seed = 88172645463325252u + n;
    for (size_t k = 0; k < n; k++) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        char *to = at + k * dtype_bytes(t);
        if (dtype_is_float(t))
            dtype_store_f64(t, to, (double)(int64_t)(seed >> 40) / (1 << 23) * 2 - 2);
        else
            dtype_store_i64(t, to, t == DT_bool ? (int64_t)(seed >> 40 & 1) : (int64_t)(seed >> 40) % 9);
    }
}

static void run_in_chunks(const KilnHost *h, KernelFn *fn, void *const *buf, const int64_t *dim, int64_t n, int64_t grain)
{
    (void)h;
    for (int64_t lo = 0; lo < n; lo += grain) fn(buf, dim, lo, MIN_OF(lo + grain, n));
}

static void check_outputs(const Program *p, const char *name, void **want, void **got)
{
    for (uint32_t i = p->ninput; i < p->ninput + p->noutput; i++) {
        const Type *t = &p->buf.at[i].type;
        int64_t n = (int64_t)(bytes_of(p->module, t) / dtype_bytes((DType)t->dtype)),
                at = bytes_differ((DType)t->dtype, want[i], got[i], n);
        if (at >= 0) fail_msg("%s: result %u differs at element %lld", name, i - p->ninput, (long long)at);
    }
}

static void run_case(Arena *a, const TextCase *c, bool fuse, bool parts)
{
    const char *name = c->name;
    Status st = {0};
    Target target = {0};
    const KilnHost host = {.run = run_in_chunks};
    Module *m = module_parse(a, c->text, c->len, &st);
    if (!m || !llvm_backend()->target(NULL, &target, &st) || !graph_passes(m, &target, false, fuse ? -1 : pass_count - 1, &st))
        fail_msg("%s: %s", name, st.text);
    target.dear_guards = parts;
    const Program *p = program_lower(a, m, &(LowerOptions){.target = target}, &st);
    if (!p) fail_msg("%s: %s", name, st.text);
    void **want = ARENA_ARRAY(a, void *, p->ninput + p->noutput + 1), **got = ARENA_ARRAY(a, void *, p->ninput + p->noutput + 1);
    int64_t symbol[64];
    for (int i = 0; i < 64; i++) symbol[i] = SYMBOL;
    for (uint32_t i = 0; i < p->ninput + p->noutput; i++) {
        DType t = (DType)p->buf.at[i].type.dtype;
        size_t bytes = bytes_of(p->module, &p->buf.at[i].type);
        want[i] = arena_zeros(a, bytes + 1, 1), got[i] = arena_zeros(a, bytes + 1, 1);
        if (i >= p->ninput) continue;
        fill(t, want[i], bytes / dtype_bytes(t));
        memcpy(got[i], want[i], bytes);
    }
    if (!interp_run(p, want, symbol, &st)) fail_msg("%s: %s", name, st.text);
    run_program(p, got, symbol, NULL);
    check_outputs(p, name, want, got);
    run_program(p, got, symbol, &host);
    check_outputs(p, name, want, got);
}

static void run_all(void *arg)
{
    Arena *a = arg;
    const char *only = getenv("KILN_CASE"), *at = cases_read(a, LOWER_CASES);
    TextCase c;
    while (cases_next(&at, CASE_MARK, &c))
        if (!only || strstr(c.name, only)) {
            run_case(a, &c, false, false);
            run_case(a, &c, true, false);
            run_case(a, &c, true, true);
        }
}

static void graphs_match_the_interpreter(void **state)
{
    (void)state;
    if (!llvm_backend()) skip();
    Arena a;
    Status st = {0};
    arena_init(&a);
    assert_true(arena_try(&a, &st, run_all, &a));
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(graphs_match_the_interpreter)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
