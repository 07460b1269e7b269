/* graph: CUDA graphs of kernels and of conditional nodes, as they are made node by node. Relies on graph.h. Runs nothing. */
#include "graph.h"

#include <stdlib.h>

/* ---- arguments ---------------------------------------------------------------------------------------------------- */
/* Pointers to the parameters, then their bytes in whole words. */
Args *args_take(const EmuKernel *k, void **params)
{
    size_t words = k->nparam;
    for (unsigned i = 0; i < k->nparam; i++) words += (k->bytes[i] + 7u) / 8;
    Args *a = malloc(sizeof *a + words * sizeof *a->word);
    if (!a) return NULL;
    a->users = 1;
    uint64_t *at = a->word + k->nparam;
    for (unsigned i = 0; i < k->nparam; i++) {
        a->word[i] = (uint64_t)(uintptr_t)at;
        memcpy(at, params[i], k->bytes[i]);
        at += (k->bytes[i] + 7) / 8;
    }
    return a;
}

Args *args_share(Args *a)
{
    if (a) a->users++;
    return a;
}

void args_drop(Args *a)
{
    if (a && --a->users == 0) free(a);
}

/* ---- graphs ------------------------------------------------------------------------------------------------------- */
bool graph_known(const Emu *e, CUgraph g)
{
    CUgraph known = e->graph;
    while (known && known != g) known = known->next;
    return known;
}

static CUgraph graph_make(Emu *e, CUgraphNode owner)
{
    CUgraph g = calloc(1, sizeof *g);
    if (!g) return NULL;
    *g = (struct CUgraph_st){.next = e->graph, .emu = e, .last = &g->first, .owner = owner};
    e->graph = g;
    return g;
}

static void graph_free(CUgraph g);

static void node_free(CUgraphNode n)
{
    if (n->body) graph_free(n->body);
    args_drop(n->args);
    free(n->after);
    free(n);
}

static void graph_free(CUgraph g)
{
    CUgraph *at = &g->emu->graph;
    while (*at != g) at = &(*at)->next;
    *at = g->next;
    for (CUgraphNode n = g->first, next; n; n = next) {
        next = n->next;
        node_free(n);
    }
    for (Handle *h = g->handle, *next; h; h = next) {
        next = h->next;
        free(h);
    }
    free(g);
}

/* A node after those; *r says why there is none. */
static CUgraphNode node_make(CUgraph g, const CUgraphNode *after, size_t nafter, CUresult *r)
{
    *r = CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < nafter; i++) {
        CUgraphNode known = g->first;
        while (known && known != after[i]) known = known->next;
        if (!known) return NULL;
    }
    *r = CUDA_ERROR_OUT_OF_MEMORY;
    CUgraphNode n = calloc(1, sizeof *n);
    uint32_t *places = n ? malloc((nafter + 1) * sizeof *places) : NULL;
    if (!places) return free(n), NULL;
    for (size_t i = 0; i < nafter; i++) places[i] = after[i]->number;
    *n = (struct CUgraphNode_st){.graph = g, .number = g->n, .nafter = (uint32_t)nafter, .after = places};
    *r = 0;
    return n;
}

static void node_add(CUgraphNode n)
{
    CUgraph g = n->graph;
    *g->last = n;
    g->last = &n->next;
    g->n++;
}

static Handle *handle_of(CUgraph g, CUgraphConditionalHandle id)
{
    for (; g; g = g->owner ? g->owner->graph : NULL)
        for (Handle *h = g->handle; h; h = h->next)
            if (h->id == id) return h;
    return NULL;
}

void graphs_clear(Emu *e)
{
    execs_clear(e);
    while (e->graph) {
        CUgraph g = e->graph;
        while (g->owner) g = g->owner->graph;
        graph_free(g);
    }
}

/* ---- the driver's functions --------------------------------------------------------------------------------------- */
static CUresult create(CUgraph *g, unsigned flags)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    CUgraph made = flags == 0 ? graph_make(e, NULL) : NULL;
    if (made) *g = made;
    return emu_leave(e, made ? 0 : flags ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_OUT_OF_MEMORY);
}

static CUresult destroy(CUgraph g)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    if (!graph_known(e, g) || g->owner) return emu_leave(e, CUDA_ERROR_INVALID_VALUE);
    execs_forget(e, g);
    graph_free(g);
    return emu_leave(e, 0);
}

CUresult graph_kernel_wrong(const Emu *e, const CUDA_KERNEL_NODE_PARAMS *p)
{
    const Grid g = graph_grid(p);
    if (!grid_fits(&g) || p->extra || p->kern || (p->ctx && p->ctx != e)) return CUDA_ERROR_INVALID_VALUE;
    if (!p->func || !module_known(e, p->func->module)) return CUDA_ERROR_INVALID_HANDLE;
    return shared_fits(&g, p->func) ? 0 : CUDA_ERROR_INVALID_VALUE;
}

static CUresult add_kernel(CUgraphNode *to, CUgraph g, const CUgraphNode *after, size_t nafter, const CUDA_KERNEL_NODE_PARAMS *p)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    r = graph_known(e, g) ? graph_kernel_wrong(e, p) : CUDA_ERROR_INVALID_VALUE;
    CUgraphNode n = r == 0 ? node_make(g, after, nafter, &r) : NULL;
    if (!n) return emu_leave(e, r);
    n->f = p->func;
    n->module = p->func->module;
    n->grid = graph_grid(p);
    n->args = args_take(p->func->kernel, p->kernelParams);
    if (!n->args) return node_free(n), emu_leave(e, CUDA_ERROR_OUT_OF_MEMORY);
    node_add(n);
    *to = n;
    return emu_leave(e, 0);
}

static CUresult set_attribute(CUgraphNode n, int attribute, const CUlaunchAttributeValue *value)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    CUgraph g = e->graph;
    CUgraphNode known = NULL;
    for (; g && !known; g = g->next)
        for (known = g->first; known && known != n;) known = known->next;
    if (!known || !n->f || attribute != CU_LAUNCH_ATTRIBUTE_COOPERATIVE) return emu_leave(e, CUDA_ERROR_INVALID_VALUE);
    Grid now = n->grid;
    now.together = value->cooperative != 0;
    r = grid_together(e, &now);
    if (r == 0) n->grid = now;
    return emu_leave(e, r);
}

static CUresult handle_create(CUgraphConditionalHandle *to, CUgraph g, CUcontext c, unsigned value, unsigned flags)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    if (!graph_known(e, g) || c != e || flags > 1) return emu_leave(e, CUDA_ERROR_INVALID_VALUE);
    Handle *h = malloc(sizeof *h);
    if (!h) return emu_leave(e, CUDA_ERROR_OUT_OF_MEMORY);
    *h = (Handle){.next = g->handle, .id = ++e->handles, .value = value, .reset = flags == 1};
    g->handle = h;
    *to = h->id;
    return emu_leave(e, 0);
}

static bool is_zero(const void *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (((const char *)at)[i] != 0) return false;
    return true;
}

static CUresult add_node(
    CUgraphNode *to, CUgraph g, const CUgraphNode *after, const void *edges, size_t nafter, CUgraphNodeParams *params)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    CUDA_CONDITIONAL_NODE_PARAMS *p = &params->conditional;
    if (params->type != CU_GRAPH_NODE_TYPE_CONDITIONAL || edges) return emu_leave(e, CUDA_ERROR_NOT_SUPPORTED);
    Handle *h = graph_known(e, g) ? handle_of(g, p->handle) : NULL;
    const bool clean = is_zero(params->reserved0, sizeof params->reserved0) && params->reserved2 == 0 &&
                       is_zero(p + 1, sizeof params->reserved1 - sizeof *p);
    if (!clean || !h || h->node || p->size != 1 || p->ctx != e || p->type < CU_GRAPH_COND_TYPE_IF ||
        p->type > CU_GRAPH_COND_TYPE_WHILE)
        return emu_leave(e, CUDA_ERROR_INVALID_VALUE);
    CUgraphNode n = node_make(g, after, nafter, &r);
    if (!n) return emu_leave(e, r);
    if (!(n->body = graph_make(e, n))) return node_free(n), emu_leave(e, CUDA_ERROR_OUT_OF_MEMORY);
    n->handle = h;
    n->type = p->type;
    h->node = n;
    p->phGraph_out = &n->body;
    node_add(n);
    *to = n;
    return emu_leave(e, 0);
}

void graph_calls(CudaDriver *d, bool graphs, bool conditionals)
{
    d->GraphCreate = graphs ? create : NULL;
    d->GraphDestroy = graphs ? destroy : NULL;
    d->GraphAddKernelNode = graphs ? add_kernel : NULL;
    d->GraphKernelNodeSetAttribute = graphs ? set_attribute : NULL;
    exec_calls(d, graphs);
    d->GraphConditionalHandleCreate = graphs && conditionals ? handle_create : NULL;
    d->GraphAddNode = graphs && conditionals ? add_node : NULL;
}
