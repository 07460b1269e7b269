/* graph_run: see graph_run.h. */
#include "graph_run.h"

#include "codegen/contract/contract.h"
#include "codegen/host_stack.h"
#include "ir/loop.h"
#include "ir/text.h"
#include "passes/pass.h"
#include "random_graph.h"

/* ---- views --------------------------------------------------------------------------------------------------- */

static int64_t elements_of(const Type *t)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < t->rank; i++) n *= t->dim[i];
    return n;
}

static Type concrete(const GraphRun *r, const Graph *g, Value v)
{
    Type t = *graph_type(g, v);
    for (uint32_t i = 0; i < t.rank; i++) t.dim[i] = dim_eval(&g->module->dims, t.dim[i], r->symbol);
    return t;
}

int64_t graph_bytes(const GraphRun *r, const Graph *g, Value v)
{
    Type t = concrete(r, g, v);
    return elements_of(&t) * (int64_t)dtype_bytes((DType)t.dtype);
}

static View contiguous(const Type *t, void *data)
{
    View v = {.dtype = t->dtype, .rank = t->rank, .data = data};
    int64_t stride = 1;
    for (uint32_t i = t->rank; i-- > 0; stride *= t->dim[i]) {
        v.dim[i] = t->dim[i];
        v.stride[i] = stride;
    }
    return v;
}

/* The same elements with axes in another order in memory, gaps, and axes that run backwards. */
static View odd_layout(const GraphRun *r, const View *v, Random *rnd)
{
    View odd = *v;
    uint32_t order[MAX_RANK];
    int64_t room = 1 + random_below(rnd, 2), back = 0, n = 1;
    for (uint32_t i = 0; i < v->rank; i++) order[i] = i;
    for (uint32_t i = v->rank; i > 1; i--) {
        uint32_t j = (uint32_t)random_below(rnd, i), swap = order[j];
        order[j] = order[i - 1];
        order[i - 1] = swap;
    }
    for (uint32_t i = 0; i < v->rank; i++) {
        uint32_t axis = order[i];
        bool backwards = random_chance(rnd, 25) && v->dim[axis] > 0;
        odd.stride[axis] = backwards ? -room : room;
        if (backwards) back += room * (v->dim[axis] - 1);
        room *= MAX_OF(v->dim[axis], 1) + random_below(rnd, 2);
        n *= v->dim[axis];
    }
    const size_t bytes = dtype_bytes((DType)v->dtype);
    odd.data = (char *)arena_alloc(r->arena, (size_t)(room + 1) * bytes) + (size_t)back * bytes;
    for (int64_t flat = 0; flat < n; flat++) {
        int64_t at = 0, rest = flat;
        for (uint32_t i = v->rank; i-- > 0; rest /= v->dim[i]) at += rest % v->dim[i] * odd.stride[i];
        memcpy((char *)odd.data + at * (int64_t)bytes, (const char *)v->data + (size_t)flat * bytes, bytes);
    }
    return odd;
}

/* ---- loops and branches ------------------------------------------------------------------------------------------- */

typedef struct Loop {
    const GraphRun *r;
    const Node *n;
    const Graph *body, *condition;
    uint32_t carries, xs, ys;
    void *const *in;
    void **out;
    const void **param;
    int64_t index;
} Loop;

static void loop_params(Loop *l)
{
    l->param[0] = &l->index;
    for (uint32_t p = 1; p < l->n->nin; p++) {
        Value v = l->body->param.at[p];
        l->param[p] = l->in[p];
        if (p <= l->carries) /* the body may pass a carry on as another one */
            l->param[p] = arena_copy(l->r->arena, l->out[p - 1], (size_t)graph_bytes(l->r, l->body, v));
        else if (p <= l->carries + l->xs)
            l->param[p] = (const char *)l->in[p] + l->index * graph_bytes(l->r, l->body, v);
    }
}

/* Step number k, at index l->index; a stack whose height only the loop knows has room for `height` slices and doubles. */
static bool loop_step(Loop *l, int64_t k, int64_t *height)
{
    GraphRun inner = *l->r;
    void **all;
    loop_params(l);
    if (inner.odd != 0) inner.odd = l->r->odd + (uint64_t)k;
    if (!graph_run(&inner, l->body, l->param, &all)) return false;
    bool grows = *height >= 0 && l->index >= *height;
    for (uint32_t i = 0; i < l->carries + l->ys; i++) {
        int64_t bytes = graph_bytes(l->r, l->body, l->body->result.at[i]);
        if (i >= l->carries && grows) {
            char *more = arena_zeros(l->r->arena, (size_t)(2 * (l->index + 1) * bytes) + 1, 1);
            if (*height != 0) memcpy(more, l->out[i], (size_t)(*height * bytes));
            l->out[i] = more;
        }
        memcpy((char *)l->out[i] + (i < l->carries ? 0 : l->index * bytes), all[l->body->result.at[i]], (size_t)bytes);
    }
    if (grows) *height = 2 * (l->index + 1);
    return true;
}

static void first_carries(Loop *l)
{
    l->param = arena_alloc(l->r->arena, (l->n->nin + 2u) * sizeof *l->param);
    for (uint32_t i = 0; i < l->carries; i++)
        memcpy(l->out[i], l->in[1 + i], (size_t)graph_bytes(l->r, l->body, l->body->result.at[i]));
}

static bool run_counted(Loop *l, const struct loop_attrs *a, const Graph *g)
{
    int64_t trip, height = -1;
    memcpy(&trip, l->in[0], sizeof trip);
    if (dim_is_made(&g->module->dims, a->steps)) {
        l->r->symbol[-1 - a->steps] = MAX_OF(trip, 0);
        for (uint32_t i = l->carries; i < l->n->nout; i++)
            l->out[i] = arena_alloc(l->r->arena, (size_t)graph_bytes(l->r, g, l->n->out + i) + 8);
    }
    for (int64_t k = 0; k < trip; k++) {
        l->index = a->reverse ? trip - 1 - k : k;
        if (!loop_step(l, k, &height)) return false;
    }
    return true;
}

static bool run_asking(Loop *l, const struct loop_attrs *a)
{
    const bool bounded = dim_is_const(a->steps);
    int64_t height = bounded ? -1 : 0;
    for (;; l->index++) {
        void **all;
        loop_params(l);
        if (!graph_run(l->r, l->condition, l->param, &all)) return false;
        if (!*(const uint8_t *)all[l->condition->result.at[0]]) break;
        if (bounded && l->index == a->steps) return status_fail(l->r->st, ST_VALUE, "more than %lld steps", (long long)l->index);
        if (!loop_step(l, l->index, &height)) return false;
    }
    if (!bounded) l->r->symbol[-1 - a->steps] = l->index;
    memcpy(l->out[l->carries + l->ys], &l->index, sizeof l->index);
    return true;
}

static bool run_loop(const GraphRun *r, const Graph *g, const Node *n, void *const *in, void **out)
{
    const struct loop_attrs *a = ATTRS(loop, n->attr->at);
    Loop l = {.r = r,
        .n = n,
        .body = loop_body(g->module, n->attr),
        .condition = loop_condition(g->module, n->attr),
        .carries = (uint32_t)a->carries,
        .xs = (uint32_t)a->xs,
        .ys = (uint32_t)a->ys,
        .in = in,
        .out = out};
    first_carries(&l);
    return l.condition != NULL ? run_asking(&l, a) : run_counted(&l, a, g);
}

static bool run_branch(const GraphRun *r, const Graph *g, const Node *n, void *const *in, void **out)
{
    DType t = (DType)graph_type(g, n->in[0])->dtype;
    int64_t k = dtype_load_i64(t, in[0]);
    if (t == DT_u64 && k < 0) k = INT64_MAX;
    const Graph *body = g->module->graph.at[n->attr->at[MIN_OF(MAX_OF(k, 0), (int64_t)n->attr->len - 1)]];
    void **all;
    if (!graph_run(r, body, (const void *const *)in + 1, &all)) return false;
    for (uint32_t i = 0; i < n->nout; i++)
        memcpy(out[i], all[body->result.at[i]], (size_t)graph_bytes(r, body, body->result.at[i]));
    return true;
}

static bool run_kernel(const GraphRun *r, const Graph *g, const Node *n, void *const *in, void **out)
{
    const Graph *body = g->module->graph.at[n->attr->at[0]];
    void **all;
    if (!graph_run(r, body, (const void *const *)in, &all)) return false;
    for (uint32_t i = 0; i < n->nout; i++)
        memcpy(out[i], all[body->result.at[i]], (size_t)graph_bytes(r, body, body->result.at[i]));
    return true;
}

/* Dims among the attributes as numbers. */
static void plain_attrs(const GraphRun *r, const Graph *g, const Node *n, int64_t *attr)
{
    const char *letter = op_def[n->op].attrs;
    for (uint32_t i = 0; i < n->attr->len; i++) {
        attr[i] = n->attr->at[i];
        if (*letter == 'd' || *letter == 'D') attr[i] = dim_eval(&g->module->dims, attr[i], r->symbol);
        if (letter[0] >= 'a' && letter[1] != '\0') letter++;
    }
}

bool graph_run_node(const GraphRun *r, const Graph *g, uint32_t node, void *const *in, void **out)
{
    const Node *n = &g->node.at[node];
    Random rnd = {r->odd + node};
    View *views = arena_alloc(r->arena, (n->nin + n->nout) * sizeof *views), *results = views + n->nin;
    int64_t attr[64];
    for (uint32_t i = 0; i < n->nout; i++) {
        Type t = concrete(r, g, n->out + i);
        bool stack = t.rank != 0 && dim_is_made(&g->module->dims, graph_type(g, n->out + i)->dim[0]); /* its loop makes room */
        out[i] = stack ? NULL : arena_zeros(r->arena, (size_t)graph_bytes(r, g, n->out + i) + 8, 1);
        results[i] = contiguous(&t, out[i]);
    }
    if (n->op == OP_saved) {
        memcpy(out[0], in[1], (size_t)graph_bytes(r, g, n->out));
        return true;
    }
    if (n->op == OP_loop) return run_loop(r, g, n, in, out);
    if (n->op == OP_branch) return run_branch(r, g, n, in, out);
    if (n->op == OP_kernel) return run_kernel(r, g, n, in, out);
    plain_attrs(r, g, n, attr);
    if (n->op == OP_set_size) {
        const Dim d = ATTRS(set_size, n->attr->at)->size;
        const int64_t most = dim_eval(&g->module->dims, g->module->dims.expr.at[-1 - d].bound, r->symbol);
        memcpy(out[0], in[0], sizeof(int64_t));
        memcpy(&r->symbol[-1 - d], in[0], sizeof(int64_t));
        r->symbol[-1 - d] = MAX_OF(MIN_OF(r->symbol[-1 - d], most), 0);
        return true;
    }
    if (n->op == OP_dim_size) {
        memcpy(out[0], attr, sizeof *attr);
        return true;
    }
    for (uint32_t i = 0; i < n->nin; i++) {
        Type t = concrete(r, g, n->in[i]);
        views[i] = contiguous(&t, in[i]);
        if (r->odd != 0) views[i] = odd_layout(r, &views[i], &rnd);
    }
    const EagerCtx ctx = {.threads = r->threads, .kept = r->kept};
    if (r->odd != 0 && random_chance(&rnd, 50)) {
        /* Movement without moving anything, where that can be. */
        View view;
        Type t = concrete(r, g, n->out);
        if (op_def[n->op].flags & OPF_MOVES && eager_view((Op)n->op, views, attr, n->attr->len, &t, &view)) {
            eager_copy(&ctx, &view, out[0]);
            return true;
        }
    }
    return eager_run(&ctx, (Op)n->op, views, n->nin, attr, n->attr->len, results, n->nout, r->st);
}

bool graph_run(const GraphRun *r, const Graph *g, const void *const *in, void ***all)
{
    void **value = arena_zeros(r->arena, g->value.len, sizeof *value);
    for (uint32_t i = 0; i < g->param.len; i++) value[g->param.at[i]] = (void *)(uintptr_t)in[i];
    *all = value;
    for (uint32_t i = 0; i < g->node.len; i++) {
        const Node *n = &g->node.at[i];
        if (n->op == OP_param) continue;
        void **operand = arena_alloc(r->arena, (n->nin + 1u) * sizeof *operand);
        for (uint32_t k = 0; k < n->nin; k++) operand[k] = value[n->in[k]];
        if (!graph_run_node(r, g, i, operand, value + n->out)) return false;
    }
    return true;
}

int64_t bytes_differ(DType t, const void *a, const void *b, int64_t elements)
{
    size_t n = dtype_bytes(t);
    for (int64_t i = 0; i < elements; i++) {
        const char *x = (const char *)a + (size_t)i * n, *y = (const char *)b + (size_t)i * n;
        if (memcmp(x, y, n) == 0) continue;
        if (!dtype_is_float(t)) return i;
        double u = dtype_load_f64(t, x), v = dtype_load_f64(t, y);
        if (u == u || v == v) return i;
    }
    return -1;
}

/* ---- whole ----------------------------------------------------------------------------------------------------- */

Module *module_again(Arena *arena, const Module *m, Status *st)
{
    Text first = {0}, second = {0};
    module_print(&first, m);
    Module *again = module_parse(arena, first.at, first.len, st);
    if (again != NULL) {
        module_print(&second, again);
        if (first.len != second.len || memcmp(first.at, second.at, first.len) != 0) {
            status_fail(st, ST_INTERNAL, "the text changes when it is parsed and printed again");
            again = NULL;
        }
    }
    text_free(&first);
    text_free(&second);
    return again;
}

bool graph_passes(Module *m, const Target *target, bool host_products, int stop_after, Status *st)
{
    Arena scratch;
    arena_init(&scratch);
    PassCtx ctx = {.scratch = &scratch, .target = target, .host_products = host_products, .st = st, .verify = true, .stop_after = stop_after};
    bool ok = pipeline_run(&ctx, m);
    arena_free(&scratch);
    return ok;
}

bool graph_can_compile(void)
{
    char text[300];
    backend_get("cpu", &(Status){0})->describe(text, sizeof text);
    return strncmp(text, "LLVM", 4) == 0; /* else it says why not */
}

typedef struct Host {
    KilnHost h;
    ThreadPool *threads;
    Status *st;
} Host;

typedef struct Launch {
    KernelFn *fn;
    void *const *buf;
    const int64_t *dim;
} Launch;

static void chunk(void *arg, int64_t lo, int64_t hi)
{
    const Launch *l = arg;
    l->fn(l->buf, l->dim, lo, hi);
}

static void host_run(const KilnHost *h, KernelFn *fn, void *const *buf, const int64_t *dim, int64_t n, int64_t grain)
{
    Launch l = {fn, buf, dim};
    const Host *host = (const Host *)h;
    if (host->threads != NULL)
        threads_run(host->threads, chunk, &l, n, grain);
    else
        fn(buf, dim, 0, n);
}

static int32_t host_contract(const KilnHost *h, const HostContract *c)
{
    const Host *host = (const Host *)h;
    return contract_run(host->threads, c, false, host->st) ? 0 : (int32_t)host->st->code;
}

static int32_t host_convolve(const KilnHost *h, const HostConv *c)
{
    const Host *host = (const Host *)h;
    return contract_convolve(host->threads, c, host->st) ? 0 : (int32_t)host->st->code;
}

static int32_t host_attend(const KilnHost *h, const HostAttention *a)
{
    const Host *host = (const Host *)h;
    return attention_run(host->threads, a, host->st) ? 0 : (int32_t)host->st->code;
}

static int32_t host_sort(const KilnHost *h, const HostSort *s)
{
    const Host *host = (const Host *)h;
    return sort_run(host->threads, s, host->st) ? 0 : (int32_t)host->st->code;
}

static int32_t host_factor(const KilnHost *h, const HostFactor *f)
{
    const Host *host = (const Host *)h;
    return factor_run(host->threads, f, host->st) ? 0 : (int32_t)host->st->code;
}

bool graph_has_lapack(void)
{
    double x = 1, s = 0;
    return factor_run(NULL, &(HostFactor){DT_f64, OP_svdvals, 1, 1, 1, 0, {&s, &x}}, &(Status){0});
}

/* Memory with a border on either side that nobody may write to. */
#define BORDER 64
static void *bordered(Arena *a, size_t bytes)
{
    char *p = arena_alloc(a, bytes + 3 * BORDER);
    p += BORDER - (uintptr_t)p % BORDER;
    /* What nobody wrote must not look like zeros. */
    memset(p, 0xCB, bytes + 2 * BORDER);
    return p + BORDER;
}

static bool border_whole(const void *p, size_t bytes)
{
    const unsigned char *at = p;
    for (size_t i = 0; i < BORDER; i++)
        if (at[(ptrdiff_t)i - BORDER] != 0xCB || at[bytes + i] != 0xCB) return false;
    return true;
}

static uint64_t inputs_hash(const GraphRun *r, const Graph *g, const void *const *in)
{
    uint64_t h = 0;
    for (uint32_t i = 0; i < g->param.len; i++) h = hash_bytes(h, in[i], (size_t)graph_bytes(r, g, g->param.at[i]));
    return h;
}

/* The bytes of workspace that this call needs: what `sizes` says where there are symbols, at most the program's own number. */
static bool needed(const GraphRun *r, const Program *p, SizesFn *sizes, const int64_t *dim, size_t *bytes)
{
    *bytes = (size_t)p->workspace;
    if (sizes == NULL) return true;
    const size_t n = program_sizes(p);
    int64_t *out = arena_zeros(r->arena, n + 1, sizeof *out), *measured = arena_zeros(r->arena, n + 1, sizeof *out);
    sizes(dim, out);
    program_measure(p, dim, measured);
    if (memcmp(out, measured, n * sizeof *out) != 0) return status_fail(r->st, ST_INTERNAL, "sizes does not say what program_measure says");
    if (out[0] < 0 || out[0] > p->workspace)
        return status_fail(r->st, ST_INTERNAL, "sizes says %lld bytes of workspace, the program %lld", (long long)out[0], (long long)p->workspace);
    *bytes = (size_t)out[0];
    return true;
}

size_t graph_room(const Program *p, uint32_t result, const int64_t *symbol)
{
    const Buf *b = &p->buf.at[p->ninput + result];
    size_t bytes = dtype_bytes((DType)b->type.dtype);
    for (uint32_t k = 0; k < b->type.rank; k++) bytes *= (size_t)dim_eval(&p->module->dims, buf_room(b)->dim[k], symbol);
    return bytes;
}

bool graph_call(const GraphRun *r, const Program *p, EntryFn *entry, SizesFn *sizes, const KilnHost *host, const void *const *in, void **result)
{
    const Graph *g = p->module->graph.at[0];
    void **buf = arena_zeros(r->arena, p->ninput + p->noutput + 1, sizeof *buf);
    int64_t *dim = arena_zeros(r->arena, p->symbol.len + 1, sizeof *dim);
    for (uint32_t i = 0; i < p->ninput; i++) buf[i] = (void *)(uintptr_t)in[i];
    for (uint32_t i = 0; i < p->noutput; i++)
        buf[p->ninput + i] = result[i] = bordered(r->arena, graph_room(p, i, r->symbol));
    for (uint32_t i = 0; i < p->symbol.len; i++) dim[i] = dim_eval(&p->module->dims, p->symbol.at[i], r->symbol);
    size_t bytes;
    if (!needed(r, p, sizes, dim, &bytes)) return false;
    void *work = bordered(r->arena, bytes);
    const uint64_t before = inputs_hash(r, g, in);
    int32_t code = entry(buf, dim, work, host);
    if (code != 0) return status_fail(r->st, ST_INTERNAL, "the entry returned %d", (int)code);
    if (!border_whole(work, bytes)) return status_fail(r->st, ST_INTERNAL, "wrote outside the workspace");
    if (inputs_hash(r, g, in) != before) return status_fail(r->st, ST_INTERNAL, "wrote to an input");
    for (uint32_t i = 0; i < p->noutput; i++)
        if (!border_whole(result[i], graph_room(p, i, r->symbol)))
            return status_fail(r->st, ST_INTERNAL, "wrote outside output %u", i);
    return true;
}

static bool hosted(const GraphRun *r, const Program *p, EntryFn *entry, SizesFn *sizes, const void *const *in, void **result)
{
    HostStack *stacks = arena_zeros(r->arena, p->nstack + 1, sizeof *stacks);
    Host host = {
        {.run = host_run, .contract = host_contract, .convolve = host_convolve, .attend = host_attend, .factor = host_factor, .sort = host_sort, .stack = host_stack_grow, .stacks = stacks}, r->threads, r->st};
    bool ok = graph_call(r, p, entry, sizes, &host.h, in, result);
    host_stacks_free(stacks, p->nstack);
    return ok;
}

bool graph_compiled(const GraphRun *r, Module *m, const void *const *in, void **result)
{
    const Backend *b = backend_get("cpu", r->st);
    Target target;
    if (b == NULL || !b->target(NULL, &target, r->st) || !graph_passes(m, &target, r->host_products, -1, r->st)) return false;
    target.dear_guards = m->graph.at[0]->node.len % 2; /* small kernels with guards are worth testing, too */
    const LowerOptions o = {.target = target, .host_products = r->host_products};
    Program *p = program_lower(r->arena, m, &o, r->st);
    if (p == NULL) return false;
    if (p->workspace > GRAPH_WORKSPACE)
        return status_fail(r->st, ST_VALUE, "at its bounds it takes %lld bytes of workspace", (long long)p->workspace);
    Compiled *c = b->compile(p, &(CompileOptions){0}, r->st);
    if (c == NULL) return false;
    bool ok = hosted(r, p, b->entry(c), b->sizes(c), in, result);
    b->release(c);
    return ok;
}
