/* cuda_check: see cuda_check.h. */
#include "cuda_check.h"

#include <math.h>

#include "graph_run.h"
#include "codegen/cuda/control.h"
#include "codegen/cuda/print.h"
#include "codegen/ref.h"
#include "interp.h"
#include "random_graph.h"

static const int architecture[] = {80, 90, 100}; /* text for sm_90a is compiled for that alone */

/* Compiling takes a tenth of a second per kernel: without KILN_TEST_FULL, text is compiled for the oldest, binaries for one that
 * spilled most. */
static bool left_out(size_t i, size_t only) { return i != only && getenv("KILN_TEST_FULL") == NULL; }

/* Every __global__ of the source is an entry of the PTX. */
static void has_entries(const char *source, const char *ptx, const char *name)
{
    static const char mark[] = CUDA_HEAD;
    while ((source = strstr(source, mark)) != NULL) {
        char entry[160];
        source += sizeof mark - 1;
        snprintf(entry, sizeof entry, ".entry %.*s(", (int)strcspn(source, "("), source);
        if (strstr(ptx, entry) == NULL) fail_msg("%s: no %s in the PTX", name, entry);
    }
}

void cuda_source_compiles(const char *source, const char *name)
{
    Status st = {0};
    for (size_t i = 0; i < COUNT_OF(architecture); i++) {
        Text ptx = {0}, log = {0};
        if (strstr(source, CUDA_OWN_LINE) ? architecture[i] != 90 : left_out(i, 0)) continue;
        bool ok = cuda_compile(source, name, architecture[i], false, &ptx, &log, &st);
        if (!ok || log.len > 0) fail_msg("NVRTC has something to say:\n%s\n%s", log.at, source);
        has_entries(source, ptx.at, name);
        text_free(&ptx);
        text_free(&log);
    }
}

/* Whether the kernel is a product, a graph's own, or a warp works on each of its points. */
static bool keeps_rows(const char *source, const char *kernel)
{
    char head[256];
    if (strncmp(kernel, "product", 7) == 0) return true;
    for (int i = 0; i < CONTROLS; i++)
        if (strcmp(kernel, control_name[i]) == 0) return true;
    snprintf(head, sizeof head, CUDA_HEAD "%s(", kernel);
    const char *at = strstr(source, head);
    if (at == NULL) fail_msg("no %s in the source", kernel);
    const char *lane = strstr(at, "u32 lane = "), *end = strstr(at, "\n}\n");
    return lane != NULL && end != NULL && lane < end;
}

void cuda_fits_registers(const char *source, const char *name)
{
    for (size_t i = 0; i < COUNT_OF(architecture); i++) {
        Status st = {0};
        Text cubin = {0}, log = {0};
        if (strstr(source, CUDA_OWN_LINE) ? architecture[i] != 90 : left_out(i, 1)) continue;
        int kernels = 0, checked = 0, most = 0;
        if (!cuda_compile(source, name, architecture[i], true, &cubin, &log, &st)) fail_msg("%s", st.text);
        if (strstr(log.at, "warning")) fail_msg("%s: NVRTC has something to say:\n%s", name, log.at);
        if (strstr(log.at, "serialized")) fail_msg("%s: ptxas waits for each wgmma:\n%s", name, log.at);
        static const char mark[] = "Compiling entry function '";
        for (const char *at = log.at; (at = strstr(at, mark)) != NULL; kernels++) {
            char kernel[160];
            unsigned stack, stores, loads, registers;
            at += sizeof mark - 1;
            snprintf(kernel, sizeof kernel, "%.*s", (int)strcspn(at, "'"), at);
            const char *frame = strstr(strstr(at, "Function properties"), "\n"), *used = strstr(at, "Used ");
            assert_int_equal(
                sscanf(frame, "%*[^0-9]%u bytes stack frame, %u bytes spill stores, %u bytes", &stack, &stores, &loads), 3);
            assert_int_equal(sscanf(used, "Used %u registers", &registers), 1);
            if ((int)registers > most) most = (int)registers;
            if (!keeps_rows(source, kernel)) continue;
            checked++;
            if (stack + stores + loads > 0)
                fail_msg("%s: %s for sm_%d: %u bytes of stack, %u and %u of spills", name, kernel, architecture[i], stack, stores,
                    loads);
        }
        print_message(
            "%s sm_%d%s: %d kernels, %d of rows or products; at most %d registers\n", name, architecture[i], strstr(source, CUDA_OWN_LINE) ? "a" : "", kernels, checked, most);
        assert_true(checked > 0);
        text_free(&cubin);
        text_free(&log);
    }
}

void cuda_compiles_for(const Program *p, int sm)
{
    Status st = {0};
    Text source = {0};
    if (!cuda_program_ptx(p, sm, &source, NULL, &st)) fail_msg("%s", st.text);
    cuda_source_compiles(source.at, p->name);
    text_free(&source);
}

void cuda_compiles(const Program *p) { cuda_compiles_for(p, 80); }
void cuda_program_fits(const Program *p) { cuda_program_fits_for(p, 80); }

void cuda_program_fits_for(const Program *p, int sm)
{
    Status st = {0};
    Text source = {0};
    if (!cuda_program_ptx(p, sm, &source, NULL, &st)) fail_msg("%s", st.text);
    cuda_fits_registers(source.at, p->name);
    text_free(&source);
}

bool cuda_device_run(const Program *p, void *const *buf, const int64_t *symbol, Status *st)
{
    Compiled *c = cuda_backend()->compile(p, &(CompileOptions){0}, st);
    int32_t code = c ? cuda_copies_run(c, buf, symbol, st) : -1;
    cuda_backend()->release(c);
    if (code > 0) status_fail(st, (StatusCode)(code % ENTRY_LOOP), "the program returned %d", code);
    return code == 0;
}

static size_t bytes_of(const Program *p, uint32_t output, const int64_t *at_table)
{
    const Type *t = &p->buf.at[p->ninput + output].type;
    size_t n = dtype_bytes(t->dtype);
    for (uint32_t i = 0; i < t->rank; i++) n *= (size_t)dim_eval(&p->module->dims, t->dim[i], at_table);
    return n;
}

static void **run_with(
    Arena *a, const Program *p, void *const *in, const int64_t *symbol, const size_t *bytes, RunFn *run, const char *what)
{
    Status st = {0};
    void **buf = ARENA_ARRAY(a, void *, p->ninput + p->noutput + 1);
    memcpy(buf, in, p->ninput * sizeof *buf);
    for (uint32_t i = 0; i < p->noutput; i++) {
        buf[p->ninput + i] = arena_alloc(a, bytes[i] + 1);
        memset(buf[p->ninput + i], 0x7f, bytes[i] + 1);
    }
    if (!run(p, buf, symbol, &st)) fail_msg("%s: %s", what, st.text);
    return buf + p->ninput;
}

void **cuda_agrees(Arena *a, const Program *p, void *const *in, const int64_t *symbol, RunFn *run, const char *what)
{
    size_t *bytes = ARENA_ARRAY(a, size_t, p->noutput + 1);
    for (uint32_t i = 0; i < p->noutput; i++) bytes[i] = bytes_of(p, i, symbol);
    void **want = run_with(a, p, in, symbol, bytes, interp_run, what), **got = run_with(a, p, in, symbol, bytes, run, what);
    for (uint32_t i = 0; i < p->noutput; i++) {
        DType t = (DType)p->buf.at[p->ninput + i].type.dtype;
        int64_t n = (int64_t)(bytes[i] / dtype_bytes(t)), at = bytes_differ(t, want[i], got[i], n);
        if (at < 0) continue;
        Text text = {0};
        program_print(&text, p);
        double w = dtype_is_float(t) ? dtype_load_f64(t, (char *)want[i] + at * (int64_t)dtype_bytes(t)) : 0;
        double g = dtype_is_float(t) ? dtype_load_f64(t, (char *)got[i] + at * (int64_t)dtype_bytes(t)) : 0;
        fail_msg("%s: output %u, element %lld of %lld: %a, not %a\n%s", what, i, (long long)at, (long long)n, g, w, text.at);
    }
    return got;
}

static bool narrow_products(const Step *s, uint32_t n)
{
    bool yes = false;
    for (uint32_t i = 0; i < n && !yes; i++) {
        yes = s[i].kind == STEP_CONTRACT && (s[i].contract.type == DT_f16 || s[i].contract.type == DT_bf16);
        for (uint32_t b = 0; b < s[i].nblock && !yes; b++) yes = narrow_products(s[i].block[b].step, s[i].block[b].n);
    }
    return yes;
}

bool cuda_may_use_tensor_cores(const Program *p) { return narrow_products(p->step, p->nstep); }

int cuda_allows(Arena *a, Module *m, int64_t *symbol, const void *const *in, void *const *result, Status *st)
{
    LowerOptions o = {0};
    RefTensor *all;
    RefVerdict v;
    if (!m || !ref_run(a, m->graph.at[0], symbol, in, &all, st)) return -1;
    const Graph *g = m->graph.at[0];
    const uint32_t n = g->result.len;
    RefTensor **want = ARENA_ARRAY(a, RefTensor *, n + 1);
    for (uint32_t i = 0; i < n; i++) want[i] = &all[g->result.at[i]];
    cuda_target(&o.target);
    const Program *p = graph_passes(m, &o.target, false, -1, st) ? program_lower(a, m, &o, st) : NULL;
    if (!p) return -1;
    if (!cuda_may_use_tensor_cores(p)) return 0;
    for (uint32_t i = 0; i < n; i++)
        if (!ref_compare(want[i], result[i], &v)) return status_fail(st, ST_VALUE, "result %u: %s", i, v.why), -1;
    return 1;
}

void *cuda_spread(Arena *a, DType t, size_t n)
{
    char *all = arena_zeros(a, n + 1, dtype_bytes(t));
    Random r = {n};
    for (size_t i = 0; i < n; i++) {
        char *at = all + i * dtype_bytes(t);
        if (dtype_is_float(t))
            dtype_store_f64(t, at, random_chance(&r, 1) && i % 3 == 0 ? (double)NAN : 1 + (random_unit(&r) - 0.5) / 64);
        else
            dtype_store_i64(t, at, random_below(&r, t == DT_bool ? 2 : 90));
    }
    return all;
}
