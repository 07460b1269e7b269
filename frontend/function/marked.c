/* marked: see marked.h. */
#include "marked.h"

#include "../../passes/stop.h"

/* ---- what a step is ------------------------------------------------------------------------------------------------- */
typedef struct Making {
    Marked *m;
    const kiln_function *f;
    const Program *p;
    VEC(const Step *) product; /* emitted ones so far, of different code */
    Status *st;
} Making;

/* Emitted products have numbers in the order of their first steps (codegen/cpu/emit_contract.c). */
static uint32_t product_number(Making *mk, const Step *s)
{
    for (uint32_t i = 0; i < mk->product.len; i++)
        if (step_same_product(mk->product.at[i], s)) return i;
    *VEC_PUSH(&mk->m->arena, &mk->product) = s;
    return mk->product.len - 1;
}

static const char *name_of(Making *mk, const Step *s)
{
    static const char *const plain[] = {[STEP_COPY] = "copy", [STEP_LOOP] = "loop", [STEP_BRANCH] = "branch", [STEP_SIZE] = "size"};
    Arena *a = &mk->m->arena;
    const char *program = mk->p->name;
    switch ((StepKind)s->kind) {
    case STEP_KERNEL: return arena_printf(a, "%s.%s", program, mk->p->kernel.at[s->kernel].name);
    case STEP_CONTRACT:
        if (s->contract.host) return arena_printf(a, "%s.matmul", program);
        return arena_printf(a, "%s.matmul_%u", program, product_number(mk, s));
    case STEP_HOST: return arena_printf(a, "%s.%s", program, op_def[s->host.op].name);
    case STEP_EFFECT: return arena_printf(a, "%s.%s", program, op_def[s->effect.op].name);
    default: return arena_printf(a, "%s.%s", program, plain[s->kind]);
    }
}

static const char *kind_of(const Step *s)
{
    static const char *const kind[] = {[STEP_KERNEL] = "kernel",
        [STEP_CONTRACT] = "product",
        [STEP_HOST] = "routine",
        [STEP_COPY] = "copy",
        [STEP_LOOP] = "loop",
        [STEP_BRANCH] = "branch",
        [STEP_EFFECT] = "effect",
        [STEP_SIZE] = "size"};
    return kind[s->kind];
}

/* Arithmetic of kernels in two types counts as that of the wider one, which takes longer. */
static uint8_t type_of(const Program *p, const Step *s)
{
    uint8_t type = DT_NONE;
    if (s->kind == STEP_CONTRACT) type = s->contract.type;
    if (s->kind == STEP_HOST) type = s->host.type;
    for (uint32_t i = 0; s->kind == STEP_KERNEL && i < p->kernel.at[s->kernel].ninstr; i++) {
        const Instr *x = &p->kernel.at[s->kernel].instr[i];
        if (x->kind == I_PRIM && dtype_is_float((DType)x->type) && type != DT_f64) type = x->type;
    }
    if (type == DT_NONE || !dtype_is_float((DType)type)) return DT_NONE;
    return type == DT_f64 ? DT_f64 : DT_f32;
}

static Loc copy_loc(Making *mk, Loc loc) { return (Loc){loc.file ? arena_printf(&mk->m->arena, "%s", loc.file) : NULL, loc.line}; }

static void add_ops(Making *mk, MarkedStep *to, const StepOrigin *o)
{
    const Node *n = &o->g->node.at[o->node];
    if (n->op != OP_kernel) {
        *VEC_PUSH(&mk->m->arena, &to->op) = op_def[n->op].name;
        return;
    }
    const Graph *body = o->g->module->graph.at[ATTRS(kernel, n->attr->at)->body];
    for (uint32_t i = 0; i < body->node.len; i++) {
        const uint8_t role = op_def[body->node.at[i].op].role;
        if (body->node.at[i].op == OP_param || role == ROLE_SOURCE || role == ROLE_SAME || role == ROLE_ALIAS) continue;
        *VEC_PUSH(&mk->m->arena, &to->op) = op_def[body->node.at[i].op].name;
    }
}

static bool comes_from(const StepOrigin *o, const Graph *g, uint32_t node)
{
    while (o && (o->g != g || o->node != node)) o = o->next;
    return o;
}

/* What made operand `operand` of a kernel node: for another kernel the node in its body. */
static const Node *maker_of(const Graph *g, const Node *n, uint32_t operand)
{
    const ValueDef *v = &g->value.at[n->in[operand]];
    const Node *maker = &g->node.at[v->node];
    if (maker->op != OP_kernel) return maker;
    const Graph *body = g->module->graph.at[ATTRS(kernel, maker->attr->at)->body];
    return graph_maker(body, body->result.at[v->result]);
}

/* Lowering may have made one step of two kernels after all. */
static void add_stops(Making *mk, MarkedStep *to, const Step *s, const StepOrigin *o)
{
    const Graph *g = o->g;
    const Node *n = &g->node.at[o->node];
    for (uint32_t i = 0; n->op == OP_kernel && i < g->stop.len; i++) {
        const Stop *stop = &g->stop.at[i];
        if (stop->kernel != n->out || comes_from(s->origin, g, g->value.at[n->in[stop->operand]].node)) continue;
        const Node *maker = maker_of(g, n, stop->operand);
        *VEC_PUSH(&mk->m->arena, &to->stop) = (MarkedStop){op_def[maker->op].name, copy_loc(mk, maker->loc), stop_words(stop->why)};
    }
}

static void note_step(Making *mk, const Step *s, uint32_t depth)
{
    MarkedStep *to = &mk->m->step[s->number];
    mk->m->of[s->number] = s;
    *to = (MarkedStep){.name = name_of(mk, s), .kind = kind_of(s), .type = type_of(mk->p, s), .depth = depth};
    const Loc none = {0};
    Loc loc = s->kind == STEP_KERNEL ? mk->p->kernel.at[s->kernel].loc : s->kind == STEP_CONTRACT ? s->loc : none;
    for (const StepOrigin *o = s->origin; o; o = o->next) {
        if (o->g->node.at[o->node].loc.file)
            loc = o->g->node.at[o->node].loc; /* the last one's: kernels are named after their results */
        if (s->kind == STEP_COPY || s->kind == STEP_LOOP || s->kind == STEP_BRANCH || s->kind == STEP_SIZE) continue;
        add_ops(mk, to, o);
        add_stops(mk, to, s, o);
    }
    to->loc = copy_loc(mk, loc);
}

static void note_steps(Making *mk, const Step *s, uint32_t n, uint32_t depth)
{
    for (uint32_t i = 0; i < n; i++) {
        note_step(mk, &s[i], depth);
        for (uint32_t b = 0; b < s[i].nblock; b++) note_steps(mk, s[i].block[b].step, s[i].block[b].n, depth + 1);
    }
}

static void make(void *arg)
{
    Making *mk = arg;
    Marked *m = mk->m;
    const Program *p = mk->p;
    m->function = arena_printf(&m->arena, "%s", p->name);
    m->loc = copy_loc(mk, mk->f->loc);
    m->nstep = p->nnumber;
    m->step = ARENA_ARRAY(&m->arena, MarkedStep, p->nnumber + 1);
    m->of = ARENA_ARRAY(&m->arena, const Step *, p->nnumber + 1);
    m->symbol = ARENA_ARRAY(&m->arena, int64_t, p->module->dims.expr.len + 1u);
    m->room = ARENA_ARRAY(&m->arena, uint32_t, step_cost_room(p));
    note_steps(mk, p->step, p->nstep, 0);
}

Marked *marked_new(const kiln_function *f, const Program *p, uint8_t device, Status *st)
{
    Marked *m = mem_zeros(1, sizeof *m);
    if (!m) return status_fail(st, ST_MEMORY, "%s: no memory", f->name), NULL;
    m->device = device;
    arena_init(&m->arena);
    pthread_mutex_init(&m->lock, NULL);
    Making mk = {.m = m, .f = f, .p = p};
    if (arena_try(&m->arena, st, make, &mk)) return m;
    marked_free(m);
    return NULL;
}

void marked_free(Marked *m)
{
    if (!m) return;
    pthread_mutex_destroy(&m->lock);
    arena_free(&m->arena);
    mem_free(m, sizeof *m);
}

void marked_free_all(kiln *k)
{
    for (Marked *m = k->marked, *next; m; m = next) {
        next = m->next;
        marked_free(m);
    }
    k->marked = NULL;
}

void marked_keep(kiln *k, Marked *m)
{
    pthread_mutex_lock(&k->lock);
    m->next = k->marked;
    k->marked = m;
    pthread_mutex_unlock(&k->lock);
}

/* ---- what it did ------------------------------------------------------------------------------------------------------ */
/* Whether the step may run in the place of what the step before it makes. */
static bool may_join(const Step *s) { return s->joins != 0 || s->ends; }

/* With the step behind it: the product's rows are in the caches when that reads them, and if it writes there, they leave them once.
 */
static Cost cost_of_joined(const Marked *m, const Program *p, uint32_t i)
{
    const Step *s = m->of[i], *next = m->of[i + 1];
    const uint32_t made = step_product(s);
    const Kernel *k = &p->kernel.at[next->kernel];
    const Cost own = step_cost(p, s, m->symbol, UINT32_MAX, m->room), more = step_cost(p, next, m->symbol, made, m->room);
    bool over = false;
    for (uint32_t b = 0; b < k->nbuf; b++) over = over || (next->buf[b] == made && k->writes[b]);
    return (Cost){own.read + more.read, more.written + (over ? 0 : own.written), own.flops + more.flops};
}

static Cost cost_with(const Marked *m, const Program *p, uint32_t i, uint32_t with)
{
    if (with == 1 && may_join(m->of[i + 1])) return cost_of_joined(m, p, i);
    Cost all = {0};
    for (uint32_t j = i; j <= i + with; j++) {
        const Cost c = step_cost(p, m->of[j], m->symbol, UINT32_MAX, m->room);
        all = (Cost){all.read + c.read, all.written + c.written, all.flops + c.flops};
    }
    return all;
}

/* Steps that may run as one with those before them and never began have done so. */
static uint32_t ran_with(const Marked *m, const HostMark *at, uint32_t i)
{
    uint32_t n = 0;
    if (at[i].times == 0) return 0;
    while (i + n + 1 < m->nstep && at[i + n + 1].times == 0 && (m->of[i + n + 1]->beside || (n == 0 && may_join(m->of[i + 1]))))
        n++;
    return n;
}

static void find_costs(Marked *m, const Program *p, const int64_t *dim, const HostMark *at)
{
    bool same = m->known;
    for (uint32_t i = 0; i < p->symbol.len; i++) {
        int64_t *to = &m->symbol[-1 - p->symbol.at[i]];
        same = same && *to == dim[i];
        *to = dim[i];
    }
    for (uint32_t i = 0; i < m->nstep; i++) {
        const uint32_t with = MAX_OF(m->step[i].with, ran_with(m, at, i));
        if (same && with == m->step[i].with) continue;
        m->step[i].with = with;
        m->step[i].cost = cost_with(m, p, i, with);
    }
    m->known = true;
}

void marked_add(Marked *m, const Program *p, const int64_t *dim, const HostMark *at, double seconds)
{
    pthread_mutex_lock(&m->lock);
    find_costs(m, p, dim, at);
    m->calls++;
    m->seconds += seconds;
    for (uint32_t i = 0; i < m->nstep; i++) {
        MarkedStep *s = &m->step[i];
        const double times = (double)at[i].times;
        s->seconds += at[i].seconds;
        s->times += times;
        s->sum.read += times * s->cost.read;
        s->sum.written += times * s->cost.written;
        s->sum.flops += times * s->cost.flops;
    }
    pthread_mutex_unlock(&m->lock);
}
