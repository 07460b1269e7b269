/* pipeline: the table of passes and the runner. Relies on pass.h, verify. Never knows what a
 * pass does. */
#include "pass.h"

#include <stdio.h>
#include <time.h>

#include "../ir/verify.h"

const PassInfo pass_table[] = {
#define PASS(name, what) {#name, pass_##name, what},
#include "pipeline.def"
#undef PASS
};
const int pass_count = (int)COUNT_OF(pass_table);

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool nodes_same(const Node *a, const Node *b)
{
    return a->op == b->op && a->nin == b->nin && a->nout == b->nout && a->out == b->out && a->attr->len == b->attr->len &&
           memcmp(a->in, b->in, a->nin * sizeof *a->in) == 0 &&
           memcmp(a->attr->at, b->attr->at, a->attr->len * sizeof *a->attr->at) == 0;
}

static bool graphs_same(const Graph *a, const Graph *b)
{
    if (a->node.len != b->node.len || a->param.len != b->param.len || a->result.len != b->result.len) return false;
    for (uint32_t i = 0; i < a->result.len; i++)
        if (a->result.at[i] != b->result.at[i]) return false;
    for (uint32_t i = 0; i < a->node.len; i++)
        if (!nodes_same(&a->node.at[i], &b->node.at[i])) return false;
    return true;
}

static bool verified(PassCtx *ctx, const char *pass, const Module *m)
{
    Status st = {0};
    if (!ctx->verify || module_verify(m, &st)) return true;
    return status_fail(ctx->st, ST_INTERNAL, "after pass %s: %s", pass, st.text);
}

/* The pass runs on the graphs that were there before it; graphs that it adds are part of its result. */
static bool run_pass(PassCtx *ctx, const PassInfo *pass, Module *m)
{
    bool changed = false;
    for (uint32_t i = 0, n = m->graph.len; i < n; i++) {
        const Graph *old = m->graph.at[i];
        Graph *g = pass->run(ctx, old);
        bool same = g == old || (g && graphs_same(g, old));
        arena_free(ctx->scratch);
        if (!g) {
            /* A pass that returns NULL has set the status. */
            return status_fail(ctx->st, ST_INTERNAL, "pass %s gave no graph for %s", pass->name, old->name);
        }
        if (same) continue;
        m->graph.at[i] = g;
        changed = true;
    }
    if (!changed) return true;
    if (ctx->dump) ctx->dump(ctx->dump_user, pass->name, m);
    return verified(ctx, pass->name, m);
}

bool pipeline_run(PassCtx *ctx, Module *m)
{
    bool found = !ctx->only;
    if (ctx->dump) ctx->dump(ctx->dump_user, "trace", m);
    for (int i = 0; i < pass_count; i++) {
        if (ctx->stop_after >= 0 && i >= ctx->stop_after) break;
        if (ctx->only && strcmp(ctx->only, pass_table[i].name) != 0) continue;
        found = true;
        double start = ctx->seconds ? now() : 0;
        bool ok = run_pass(ctx, &pass_table[i], m);
        if (ctx->seconds) ctx->seconds[i] += now() - start;
        if (!ok) return false;
    }
    return found || status_fail(ctx->st, ST_VALUE, "there is no pass called %.60s", ctx->only);
}
