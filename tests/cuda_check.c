/* cuda_check: see cuda_check.h. */
#include "cuda_check.h"

#include <math.h>

#include "graph_run.h"
#include "interp.h"
#include "random_graph.h"

void cuda_compiles(const Program *p)
{
    Status st = {0};
    for (int sm = 80; sm <= 90; sm += 10) {
        Text source = {0}, ptx = {0}, log = {0};
        if (!cuda_program_ptx(p, sm, &source, NULL, &st)) fail_msg("%s", st.text);
        if (!cuda_compile(source.at, p->name, sm, false, &ptx, &log, &st))
            fail_msg("%s\n%s", log.at, source.at);
        if (log.len > 0) fail_msg("NVRTC has something to say:\n%s\n%s", log.at, source.at);
        for (uint32_t i = 0; i < p->kernel.len; i++) {
            char entry[32];
            snprintf(entry, sizeof entry, ".entry k%u_", i);
            if (strstr(ptx.at, entry) == NULL) fail_msg("%s: no%s in the PTX", p->name, entry);
        }
        text_free(&source);
        text_free(&ptx);
        text_free(&log);
    }
}

bool cuda_device_run(const Program *p, void *const *buf, const int64_t *symbol, Status *st)
{
    Compiled *c = cuda_backend()->compile(p, &(CompileOptions){0}, st);
    bool ok = c != NULL && cuda_backend()->run(c, buf, symbol, NULL, NULL, st);
    cuda_backend()->release(c);
    return ok;
}

static size_t bytes_of(const Program *p, uint32_t output, const int64_t *at_table)
{
    const Type *t = &p->buf.at[p->ninput + output].type;
    size_t n = dtype_bytes(t->dtype);
    for (uint32_t i = 0; i < t->rank; i++)
        n *= (size_t)dim_eval(&p->module->dims, t->dim[i], at_table);
    return n;
}

static void **run_with(Arena *a, const Program *p, void *const *in, const int64_t *symbol,
    const size_t *bytes, RunFn *run, const char *what)
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

void cuda_agrees(Arena *a, const Program *p, void *const *in, const int64_t *symbol, RunFn *run,
    const char *what)
{
    size_t *bytes = ARENA_ARRAY(a, size_t, p->noutput + 1);
    for (uint32_t i = 0; i < p->noutput; i++) bytes[i] = bytes_of(p, i, symbol);
    void **want = run_with(a, p, in, symbol, bytes, interp_run, what),
         **got = run_with(a, p, in, symbol, bytes, run, what);
    for (uint32_t i = 0; i < p->noutput; i++) {
        DType t = (DType)p->buf.at[p->ninput + i].type.dtype;
        int64_t n = (int64_t)(bytes[i] / dtype_bytes(t)), at = bytes_differ(t, want[i], got[i], n);
        if (at < 0) continue;
        Text text = {0};
        program_print(&text, p);
        double w = dtype_is_float(t)
                       ? dtype_load_f64(t, (char *)want[i] + at * (int64_t)dtype_bytes(t))
                       : 0;
        double g = dtype_is_float(t)
                       ? dtype_load_f64(t, (char *)got[i] + at * (int64_t)dtype_bytes(t))
                       : 0;
        fail_msg("%s: output %u, element %lld of %lld: %a, not %a\n%s", what, i, (long long)at,
            (long long)n, g, w, text.at);
    }
}

void *cuda_spread(Arena *a, DType t, size_t n)
{
    char *all = arena_zeros(a, n + 1, dtype_bytes(t));
    Random r = {n};
    for (size_t i = 0; i < n; i++) {
        char *at = all + i * dtype_bytes(t);
        if (dtype_is_float(t))
            dtype_store_f64(t, at,
                random_chance(&r, 1) && i % 3 == 0 ? (double)NAN
                                                   : 1 + (random_unit(&r) - 0.5) / 64);
        else
            dtype_store_i64(t, at, random_below(&r, t == DT_bool ? 2 : 90));
    }
    return all;
}
