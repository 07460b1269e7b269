/* graph_exec: copies of graphs, which are launched. The arguments of a copy's nodes may be set anew: a launch has those that were
 * set when it was asked for. A launch is one task of its stream and comes after the one before it, in whatever stream that was;
 * nodes run in an order drawn among those whose predecessors are done. Relies on graph.h, queue.c, fiber.c. */
#include "graph.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct Part { /* a node of a copy */
    CUgraphNode of;
    CUfunction f;
    CUmodule module;
    Grid grid;
    Args *args;
    uint32_t first, nafter, *after; /* of `after` and of a body's parts: counted from the copy's first part */
    uint32_t body, nbody, value;
    int type;
    bool done;
} Part;

typedef struct Condition {
    CUgraphConditionalHandle id;
    unsigned start, value;
    bool reset;
    uint64_t set; /* the last kernel of the launch that set it */
} Condition;

struct CUgraphExec_st {
    CUgraphExec next;
    CUgraph of;
    Part *part;
    Condition *value;
    uint32_t n, top, nvalue; /* parts; those of the graph itself, which come first; conditions */
    CUstream last;           /* where it was launched last, as the task number `at` */
    uint64_t at, kernels;    /* kernels: that the running launch has begun */
};

struct GraphLaunch {
    CUgraphExec x;
    Args *args[]; /* of each part */
};

/* ---- copies to be launched ---------------------------------------------------------------------------------------- */
static bool exec_known(const Emu *e, CUgraphExec x)
{
    CUgraphExec known = e->exec;
    while (known && known != x) known = known->next;
    return known;
}

static void exec_free(CUgraphExec x)
{
    for (uint32_t i = 0; i < x->n; i++) args_drop(x->part[i].args), free(x->part[i].after);
    free(x->part);
    free(x->value);
    free(x);
}

static void count(CUgraph g, uint32_t *nodes, uint32_t *values)
{
    *nodes += g->n;
    for (CUgraphNode n = g->first; n; n = n->next)
        if (!n->f) ++*values, count(n->body, nodes, values);
}

/* Whether each condition of g and of its bodies has its node. */
static bool is_whole(CUgraph g)
{
    for (Handle *h = g->handle; h; h = h->next)
        if (!h->node) return false;
    for (CUgraphNode n = g->first; n; n = n->next)
        if (n->body && !is_whole(n->body)) return false;
    return true;
}

/* Copies g to the parts from `first` on, its bodies to those from *next on. */
static bool copy_graph(CUgraphExec x, CUgraph g, uint32_t first, uint32_t *next)
{
    for (CUgraphNode n = g->first; n; n = n->next) {
        Part *p = &x->part[first + n->number];
        *p = (Part){.of = n, .f = n->f, .module = n->module, .grid = n->grid, .args = args_share(n->args), .first = first};
        p->after = malloc((n->nafter + 1) * sizeof *p->after);
        if (!p->after) return false;
        p->nafter = n->nafter;
        memcpy(p->after, n->after, n->nafter * sizeof *p->after);
        if (n->f) continue;
        p->type = n->type;
        p->value = x->nvalue++;
        p->body = *next;
        p->nbody = n->body->n;
        *next += n->body->n;
        x->value[p->value] = (Condition){.id = n->handle->id, .start = n->handle->value, .reset = n->handle->reset};
        if (!copy_graph(x, n->body, p->body, next)) return false;
    }
    return true;
}

static CUgraphExec exec_make(CUgraph g)
{
    uint32_t values = 0, next = g->n;
    CUgraphExec x = calloc(1, sizeof *x);
    if (!x) return NULL;
    count(g, &x->n, &values);
    x->of = g;
    x->top = g->n;
    x->part = calloc(x->n + 1, sizeof *x->part);
    x->value = calloc(values + 1, sizeof *x->value);
    if (x->part && x->value && copy_graph(x, g, 0, &next)) return x;
    if (!x->part) x->n = 0;
    return exec_free(x), NULL;
}

void execs_clear(Emu *e)
{
    while (e->exec) {
        CUgraphExec x = e->exec;
        e->exec = x->next;
        exec_free(x);
    }
}

void execs_forget(Emu *e, CUgraph g)
{
    for (CUgraphExec x = e->exec; x; x = x->next)
        if (x->of == g) x->of = NULL;
}

/* ---- running ------------------------------------------------------------------------------------------------------ */
static bool may_go(const CUgraphExec x, const Part *p)
{
    if (p->done) return false;
    for (uint32_t i = 0; i < p->nafter; i++)
        if (!x->part[p->first + p->after[i]].done) return false;
    return true;
}

/* One that is not done, drawn among those that may go; there is one. */
static uint32_t next_part(Emu *e, const CUgraphExec x, uint32_t first, uint32_t n)
{
    uint32_t some = 0, found = first;
    for (uint32_t i = first; i < first + n; i++)
        if (may_go(x, &x->part[i]) && emu_draw(e, ++some) == 0) found = i;
    return found;
}

static CUresult run_parts(Emu *e, GraphLaunch *l, uint32_t first, uint32_t n);

static CUresult run_part(Emu *e, GraphLaunch *l, uint32_t i)
{
    CUgraphExec x = l->x;
    const Part *p = &x->part[i];
    CUresult r = 0;
    if (p->f) {
        x->kernels++;
        return grid_run(e, p->f, &p->grid, (void **)(void *)l->args[i]->word);
    }
    const Condition *c = &x->value[p->value];
    if (p->type == CU_GRAPH_COND_TYPE_IF) return c->value ? run_parts(e, l, p->body, p->nbody) : 0;
    while (r == 0 && c->value) r = run_parts(e, l, p->body, p->nbody);
    return r;
}

static CUresult run_parts(Emu *e, GraphLaunch *l, uint32_t first, uint32_t n)
{
    CUgraphExec x = l->x;
    CUresult r = 0;
    for (uint32_t i = first; i < first + n; i++) x->part[i].done = false;
    for (uint32_t left = n, from = first; left > 0 && r == 0; left--) {
        while (x->part[from].done) from++;
        const uint32_t i = next_part(e, x, from, first + n - from);
        r = run_part(e, l, i);
        x->part[i].done = true;
    }
    return r;
}

CUresult graph_play(Emu *e, GraphLaunch *l)
{
    CUgraphExec x = l->x;
    e->running = x;
    x->kernels = 0;
    for (uint32_t i = 0; i < x->nvalue; i++) {
        x->value[i].set = 0;
        if (x->value[i].reset) x->value[i].value = x->value[i].start;
    }
    const CUresult r = run_parts(e, l, 0, x->top);
    e->running = NULL;
    return r;
}

void graph_drop(GraphLaunch *l)
{
    for (uint32_t i = 0; i < l->x->n; i++) args_drop(l->args[i]);
    free(l);
}

/* CUDA leaves open what becomes of a condition that several threads set. */
CUresult graph_set(Emu *e, const char *kernel, CUgraphConditionalHandle id, unsigned value)
{
    CUgraphExec x = e->running;
    Condition *c = NULL;
    for (uint32_t i = 0; x && i < x->nvalue; i++)
        if (x->value[i].id == id) c = &x->value[i];
    if (c && c->set != x->kernels) {
        c->set = x->kernels;
        c->value = value;
        return 0;
    }
    snprintf(e->fault, sizeof e->fault, "%s: %s", kernel,
        c ? "several threads set one condition" : "sets a condition of a graph that does not run");
    return c ? CUDA_ERROR_LAUNCH_FAILED : CUDA_ERROR_ILLEGAL_ADDRESS;
}

/* ---- the driver's functions --------------------------------------------------------------------------------------- */
/* Of a graph with conditions there is one copy at a time. */
static CUresult instantiate(CUgraphExec *to, CUgraph g, unsigned long long flags)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    if (!graph_known(e, g) || g->owner || flags != 0 || !is_whole(g)) return emu_leave(e, CUDA_ERROR_INVALID_VALUE);
    uint32_t nodes = 0, values = 0;
    count(g, &nodes, &values);
    if (values > 0 && g->copies > 0) return emu_leave(e, CUDA_ERROR_INVALID_VALUE);
    CUgraphExec x = exec_make(g);
    if (!x) return emu_leave(e, CUDA_ERROR_OUT_OF_MEMORY);
    g->copies++;
    x->next = e->exec;
    e->exec = *to = x;
    return emu_leave(e, 0);
}

/* The nodes of bodies cannot be set anew. */
static CUresult set_params(CUgraphExec x, CUgraphNode n, const CUDA_KERNEL_NODE_PARAMS *p)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    uint32_t i = 0;
    r = exec_known(e, x) && x->of ? graph_kernel_wrong(e, p) : CUDA_ERROR_INVALID_VALUE;
    while (r == 0 && i < x->top && x->part[i].of != n) i++;
    if (r == 0 && (i == x->top || !x->part[i].f)) r = CUDA_ERROR_INVALID_VALUE;
    Args *args = r == 0 ? args_take(p->func->kernel, p->kernelParams) : NULL;
    if (!args) return emu_leave(e, r != 0 ? r : CUDA_ERROR_OUT_OF_MEMORY);
    Part *part = &x->part[i];
    args_drop(part->args);
    part->args = args;
    part->f = p->func;
    part->module = p->func->module;
    const bool together = part->grid.together;
    part->grid = graph_grid(p);
    part->grid.together = together;
    return emu_leave(e, 0);
}

static CUresult launch(CUgraphExec x, CUstream s)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    if (!exec_known(e, x) || !stream_known(e, &s)) return emu_leave(e, CUDA_ERROR_INVALID_HANDLE);
    for (uint32_t i = 0; i < x->n; i++)
        if (x->part[i].f && !module_known(e, x->part[i].module)) return emu_leave(e, CUDA_ERROR_INVALID_HANDLE);
    GraphLaunch *l = malloc(sizeof *l + x->n * sizeof *l->args);
    if (!l) return emu_leave(e, CUDA_ERROR_OUT_OF_MEMORY);
    l->x = x;
    for (uint32_t i = 0; i < x->n; i++) l->args[i] = args_share(x->part[i].args);
    r = ask_graph(s, l, x->last, x->at);
    if (r != 0) return graph_drop(l), emu_leave(e, r);
    x->last = s;
    x->at = s->asked;
    return emu_leave(e, 0);
}

/* What it was asked for is done first, which it need not be, but may. */
static CUresult exec_destroy(CUgraphExec x)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    if (!exec_known(e, x)) return emu_leave(e, CUDA_ERROR_INVALID_VALUE);
    if (x->last) stream_drain(x->last, x->at);
    CUgraphExec *at = &e->exec;
    while (*at != x) at = &(*at)->next;
    *at = x->next;
    if (x->of) x->of->copies--;
    exec_free(x);
    return emu_leave(e, 0);
}

void exec_calls(CudaDriver *d, bool graphs)
{
    d->GraphInstantiate = graphs ? instantiate : NULL;
    d->GraphExecKernelNodeSetParams = graphs ? set_params : NULL;
    d->GraphLaunch = graphs ? launch : NULL;
    d->GraphExecDestroy = graphs ? exec_destroy : NULL;
}
