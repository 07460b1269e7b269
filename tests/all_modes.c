/* all_modes: see all_modes.h. */
#include "all_modes.h"

#include "codegen/eager/kernels.h"
#include "codegen/ref.h"
#include "cuda_check.h"
#include "graph_run.h"

typedef struct Way {
    Arena *a;
    Module *m;
    const Graph *g;
    const void *const *in;
    void **result;
    Status st;
} Way;

static void in_eager_code(Way *w)
{
    void **all;
    GraphRun run = {.arena = w->a, .st = &w->st};
    if (!graph_run(&run, w->g, w->in, &all)) fail_msg("%s", w->st.text);
    for (uint32_t r = 0; r < w->g->result.len; r++) w->result[r] = all[w->g->result.at[r]];
}

static void in_ref(Way *w)
{
    RefTensor *all;
    if (!ref_run(w->a, w->g, NULL, w->in, &all, &w->st)) fail_msg("%s", w->st.text);
    for (uint32_t r = 0; r < w->g->result.len; r++) {
        const RefTensor *t = &all[w->g->result.at[r]];
        w->result[r] = arena_zeros(w->a, (size_t)t->count + 1, dtype_bytes((DType)t->type.dtype));
        ref_store(t, w->result[r]);
    }
}

static bool in_llvm(Way *w)
{
    GraphRun run = {.arena = w->a, .st = &w->st, .symbol = (int64_t[8]){0}};
    if (!graph_can_compile()) {
        print_message("    without LLVM, which is not at hand\n");
        return false;
    }
    if (!graph_compiled(&run, w->m, w->in, w->result)) fail_msg("%s", w->st.text);
    return true;
}

static bool in_cuda_text(Way *w)
{
    LowerOptions o = {0};
    if (!cuda_host_compiles()) {
        print_message("    without CUDA text: no C++ compiler to run it on the host\n");
        return false;
    }
    cuda_target(&o.target);
    o.target.sums = SUMS_CHAINS; /* whose bits are compared */
    Program *p = graph_passes(w->m, &o.target, false, -1, &w->st) ? program_lower(w->a, w->m, &o, &w->st) : NULL;
    if (p == NULL) fail_msg("%s", w->st.text);
    void **buf = ARENA_ARRAY(w->a, void *, p->ninput + p->noutput + 1);
    memcpy(buf, w->in, p->ninput * sizeof *buf);
    for (uint32_t i = 0; i < p->noutput; i++) {
        const Type *t = &p->buf.at[p->ninput + i].type;
        size_t bytes = dtype_bytes((DType)t->dtype);
        for (uint32_t d = 0; d < t->rank; d++) bytes *= (size_t)t->dim[d];
        w->result[i] = buf[p->ninput + i] = arena_zeros(w->a, bytes + 1, 1);
    }
    if (!cuda_host_run(p, buf, (int64_t[8]){0}, &w->st)) fail_msg("%s", w->st.text);
    return true;
}

static Way way(Arena *a, Module *(*make)(Arena *a), const void *const *in)
{
    Way w = {.a = a, .m = make(a), .in = in};
    w.g = w.m->graph.at[0];
    w.result = ARENA_ARRAY(a, void *, w.g->result.len + 1);
    return w;
}

void all_modes(Arena *a, Module *(*make)(Arena *a), const void *const *in, void (*judge)(void *user, const char *mode, void *const *result),
               void *user)
{
    int tiers;
    const Kernels *const *tier = eager_tiers(&tiers);
    Way w = way(a, make, in);
    for (int k = 0; k < tiers; k++) {
        eager_use_tier(tier[k]);
        in_eager_code(&w);
        judge(user, tier[k]->name, w.result);
    }
    eager_use_tier(NULL);
    in_ref(&w);
    judge(user, "ref", w.result);
    if (in_llvm(&w)) judge(user, "LLVM", w.result); /* which uses the module up */
    w = way(a, make, in);
    if (in_cuda_text(&w)) judge(user, "CUDA text", w.result);
}
