/* lower: makes a program of a fused graph: buffers for values, and a step for each kernel and copy. Relies on lower.h. Never looks
 * inside a kernel (lower_kernel.c does) and never fuses (passes/fuse.c has done so); lower_scope.c goes through the nodes. */
#include "../../ir/rebuild.h"
#include "lower.h"

/* ---- dims and buffers ---------------------------------------------------------------------------- */

uint32_t lower_dim(Lower *lw, Dim d)
{
    if (dim_is_const(d)) return UINT32_MAX;
    const uint64_t *at = map_get(&lw->dim_number, (uint64_t)d);
    if (at) return (uint32_t)*at - 1;
    *VEC_PUSH(lw->arena, &lw->p->dim) = d;
    map_put(&lw->dim_number, (uint64_t)d, lw->p->dim.len);
    return lw->p->dim.len - 1;
}

/* NULL: nothing in it is counted. */
static const Type *most_of(Lower *lw, const Type *type)
{
    bool any = false;
    for (uint32_t i = 0; i < type->rank; i++) any |= dim_is_counted(lw->dims, type->dim[i]);
    if (!any) return NULL;
    Type *most = arena_copy(lw->arena, type, sizeof *type);
    for (uint32_t i = 0; i < type->rank; i++) {
        const Dim d = dim_most(lw->dims, type->dim[i]);
        most->dim[i] = d != DIM_BAD ? d : dim_hi(lw->dims, type->dim[i]);
    }
    return most;
}

#define BYTES_MAX ((int64_t)1 << 46)

/* In the words of an interpreter, which asks for the memory. */
static void too_large(Lower *lw, BufKind kind, const Type *type, bool open)
{
    char text[128];
    type_print(lw->dims, type, text, sizeof text);
    if (open)
        status_fail(
            lw->st, ST_VALUE, "lowering %s: the largest size of a value of %s is more than memory can hold", lw->p->name, text);
    else
        status_fail(lw->st, ST_MEMORY, "%s: no memory for a %s, %s (%lld bytes)", lw->p->name,
            kind == BUF_OUTPUT ? "result" : "value", text,
            (long long)type_elements(lw->dims, type) * (long long)dtype_bytes(type->dtype));
}

uint32_t lower_buf(Lower *lw, BufKind kind, const Type *type)
{
    if (type->rank != 0 && dim_is_made(lw->dims, type->dim[0])) {
        *VEC_PUSH(lw->arena, &lw->p->buf) = (Buf){.kind = BUF_STACK, .type = *type, .index = lw->p->nstack++, .first = UINT32_MAX};
        return lw->p->buf.len - 1;
    }
    const Type *room = most_of(lw, type);
    Dim n = type_elements(lw->dims, room ? room : type);
    int64_t most = n == DIM_BAD ? BYTES_MAX : dim_hi(lw->dims, n);
    if (most > BYTES_MAX / (int64_t)dtype_bytes(type->dtype)) {
        too_large(lw, kind, type, room || n < 0);
        return NO_BUF;
    }
    *VEC_PUSH(lw->arena, &lw->p->buf) = (Buf){
        .kind = (uint8_t)kind, .type = *type, .room = room, .bytes = most * (int64_t)dtype_bytes(type->dtype), .first = UINT32_MAX};
    return lw->p->buf.len - 1;
}

void lower_read(Lower *lw, uint32_t buf)
{
    for (;;) {
        Buf *b = &lw->p->buf.at[buf];
        b->first = MIN_OF(b->first, lw->clock);
        b->last = MAX_OF(b->last, lw->clock);
        lw->p->moved += b->bytes;
        *VEC_PUSH(lw->scratch, &lw->touched) = buf;
        if (b->kind != BUF_SLICE) return;
        buf = b->of;
    }
}

void lower_lives_of(Lower *lw, const Step *s, uint32_t first, uint32_t last)
{
    for (uint32_t i = 0; i < lw->p->kernel.at[s->kernel].nbuf; i++)
        for (Buf *b = &lw->p->buf.at[s->buf[i]];; b = &lw->p->buf.at[b->of]) {
            b->first = MIN_OF(b->first, first);
            b->last = MAX_OF(b->last, last);
            if (b->kind != BUF_SLICE) break;
        }
}

/* ---- scopes -------------------------------------------------------------------------------------- */

void scope_begin(Lower *lw, Scope *s, const Graph *g)
{
    *s = (Scope){.lw = lw, .g = g};
    s->buf = ARENA_ARRAY(lw->scratch, uint32_t, g->value.len);
    s->input = ARENA_ARRAY(lw->scratch, uint32_t, g->value.len);
    s->needed = ARENA_ARRAY(lw->scratch, bool, g->value.len);
    memset(s->buf, 0xff, g->value.len * sizeof *s->buf);
    memset(s->input, 0xff, g->value.len * sizeof *s->input);
}

Value scope_root(const Graph *g, Value v)
{
    while (op_is_alias((Op)graph_maker(g, v)->op)) v = graph_maker(g, v)->in[0];
    return v;
}

uint32_t scope_result(Scope *s, Value v)
{
    if (s->buf[v] == NO_BUF) s->buf[v] = lower_buf(s->lw, BUF_TEMP, graph_type(s->g, v));
    return s->buf[v];
}

Step *scope_step(Scope *s, StepKind kind)
{
    Step *step = VEC_PUSH(s->lw->arena, &s->step);
    *step = (Step){.kind = (uint8_t)kind, .clock = ++s->lw->clock, .origin = s->lw->origin};
    return step;
}

void scope_copy(Scope *s, uint32_t from, uint32_t to)
{
    Step *step = scope_step(s, STEP_COPY);
    step->from = from;
    step->to = to;
    lower_read(s->lw, from);
    lower_read(s->lw, to);
    const Type *t = &s->lw->p->buf.at[to].type; /* its sizes say how many bytes */
    for (uint32_t i = 0; i < t->rank; i++) lower_dim(s->lw, t->dim[i]);
}

/* ---- kernels ------------------------------------------------------------------------------------- */

/* buf: the group's buffers. The later kernels of a group write other parts of the buffers that its first kernel writes. */
static bool run_pieces(Scope *s, const Pieces *pieces, const uint32_t *buf)
{
    Lower *lw = s->lw;
    for (uint32_t i = 0; i < pieces->len; i++) {
        const Piece *p = &pieces->at[i];
        uint32_t *to = ARENA_ARRAY(lw->arena, uint32_t, p->nbuf + 1);
        Step *step = scope_step(s, STEP_KERNEL);
        step->kernel = p->kernel;
        step->buf = to;
        for (uint32_t k = 0; k < p->nbuf; k++) {
            to[k] = buf[p->buf[k]];
            if (to[k] == NO_BUF)
                return status_fail(lw->st, ST_INTERNAL, "lowering %s: a kernel reads a value that was never computed", s->g->name);
            lower_read(lw, to[k]);
            if (i != 0 && lw->p->kernel.at[p->kernel].writes[k]) lw->p->moved -= lw->p->buf.at[to[k]].bytes;
        }
        lw->p->launches++;
    }
    return true;
}

bool scope_kernel(Scope *s, const Group *group, const uint32_t *buf)
{
    Pieces pieces = {0};
    return lower_group(s->lw, group, &pieces) && run_pieces(s, &pieces, buf);
}

static const Pieces *body_pieces(Lower *lw, const Node *n, const Graph *body, const Group *group)
{
    uint64_t key;
    Pieces pieces = {0};
    const Words w = body_words(lw, n, body);
    uint32_t known = known_kernel(&lw->known, &w, &key);
    if (known == NO_BUF) {
        if (!lower_group(lw, group, &pieces)) return NULL;
        known_kernel(&lw->known, &w, &key); /* lowering may have taken the place */
        know_kernel(lw, &lw->known, &w, key, known = lw->body.len);
        *VEC_PUSH(lw->scratch, &lw->body) = pieces;
    }
    return &lw->body.at[known];
}

/* A `kernel` node: attributes are its graph, the sweep axis, the extents of the axes, and per result its layout. */
bool lower_kernel(Scope *s, const Node *n)
{
    Arena *scratch = s->lw->scratch;
    const struct kernel_attrs *a = ATTRS(kernel, n->attr->at);
    const uint32_t naxis = n->attr->len - ATTR_INDEX(kernel, axes) - n->nout;
    const Graph *body = s->lw->m->graph.at[a->body];
    uint32_t *buf = ARENA_ARRAY(scratch, uint32_t, n->nin + n->nout), *input = ARENA_ARRAY(scratch, uint32_t, body->value.len);
    if (n->attr->len < ATTR_INDEX(kernel, axes) + n->nout || naxis > INDEX_AXES)
        return status_fail(s->lw->st, ST_INTERNAL, "lowering %s: a kernel node without its axes", s->g->name);
    Group group = {
        .g = body, .naxis = naxis, .sweep = (int)a->sweep, .input = input, .nin = n->nin, .nout = n->nout, .out = body->result.at};
    memcpy(group.extent, a->axes, naxis * sizeof *group.extent);
    group.layout = a->axes + naxis;
    memset(input, 0xff, body->value.len * sizeof *input);
    for (uint32_t i = 0; i < n->nin; i++) {
        input[body->param.at[i]] = i;
        buf[i] = s->buf[scope_root(s->g, n->in[i])];
    }
    for (uint32_t i = 0; i < n->nout; i++) buf[n->nin + i] = scope_result(s, n->out + i);
    const Pieces *pieces = body_pieces(s->lw, n, body, &group);
    return pieces && run_pieces(s, pieces, buf);
}

void group_axes(const Type *t, Group *group, int64_t *layout)
{
    for (uint32_t i = 0; i < t->rank; i++) {
        if (t->dim[i] == 1) continue;
        *layout |= (int64_t)(group->naxis + 1) << 4 * group->naxis;
        group->extent[group->naxis++] = t->dim[i];
    }
}

/* Lays the value over its own axes and, if it is a reduction, the folded one. */
static bool own_axes(Lower *lw, const Graph *g, const Node *n, Group *group, int64_t *layout)
{
    group_axes(graph_type(g, n->out), group, layout);
    if (!node_reduces(n)) return true;
    if (!index_one_run(n))
        return status_fail(lw->st, ST_UNSUPPORTED, "lowering %s: its axes are not adjacent (the decompose pass separates them)",
            op_def[n->op].name);
    group->sweep = (int)group->naxis;
    group->extent[group->naxis++] = index_reduced_extent(g, n);
    return true;
}

bool scope_fill(Scope *s, const Type *t, double number, Loc loc, uint32_t buf)
{
    Lower *lw = s->lw;
    Graph *g = ARENA_NEW(lw->scratch, Graph);
    g->module = s->g->module;
    g->name = "fill";
    *VEC_PUSH(g->module->arena, &g->value) = (ValueDef){0};
    const int64_t bits = dtype_is_float((DType)t->dtype) ? attr_of_f64(number) : (int64_t)number;
    const struct constant_attrs *c = constant_typed(t, bits, ATTRS_ROOM(constant, MAX_RANK));
    Value v = graph_append(g, OP_constant, NULL, 0, ATTRS_TO(c, c->shape + t->rank), loc, lw->st);
    int64_t layout = 0;
    const uint32_t none[2] = {NO_BUF, NO_BUF};
    Group group = {.g = g, .sweep = -1, .input = none, .nout = 1, .out = &v, .layout = &layout};
    return v != 0 && own_axes(lw, g, &g->node.at[0], &group, &layout) && scope_kernel(s, &group, &buf);
}

uint32_t *scope_operands(Scope *s, const Node *n, Group *group, uint32_t more)
{
    uint32_t *buf = ARENA_ARRAY(s->lw->scratch, uint32_t, n->nin + more + 1);
    *group = (Group){.g = s->g, .sweep = -1, .input = s->input, .node = n};
    for (uint32_t i = 0; i < n->nin; i++) {
        Value v = n->in[i];
        if (op_is_source((Op)graph_maker(s->g, v)->op) || s->input[v] != NO_BUF) continue;
        buf[group->nin] = s->buf[scope_root(s->g, v)];
        s->input[v] = group->nin++;
    }
    return buf;
}

void scope_operands_end(Scope *s, const Node *n)
{
    for (uint32_t i = 0; i < n->nin; i++) s->input[n->in[i]] = NO_BUF;
}

bool scope_write(Scope *s, Value v, Group group, const uint32_t *buf)
{
    int64_t layout = 0;
    group_axes(graph_type(s->g, v), &group, &layout);
    group.nout = 1, group.out = &v, group.layout = &layout;
    return scope_kernel(s, &group, buf);
}

bool lower_single(Scope *s, const Node *n)
{
    Group group;
    int64_t layout = 0;
    uint32_t *buf = scope_operands(s, n, &group, 1);
    group.nout = 1, group.out = &n->out, group.layout = &layout;
    buf[group.nin] = scope_result(s, n->out);
    bool ok = own_axes(s->lw, s->g, n, &group, &layout) && scope_kernel(s, &group, buf);
    scope_operands_end(s, n);
    return ok;
}

/* ---- nodes --------------------------------------------------------------------------------------- */

static bool unsupported(Scope *s, const Node *n, const char *what)
{
    return status_fail(s->lw->st, ST_UNSUPPORTED, "lowering %s: %s (%s:%d) cannot be compiled into another", s->g->name, what,
        n->loc.file ? n->loc.file : "?", n->loc.line);
}

bool lower_call(Scope *s, const Node *n) { return unsupported(s, n, "a call of a compiled function"); }
bool lower_saved(Scope *s, const Node *n) { return unsupported(s, n, "a value that an earlier run saved"); }

/* The rest of the graph's steps is inside this one. */
bool lower_set_size(Scope *s, const Node *n)
{
    Lower *lw = s->lw;
    const uint32_t from = s->buf[scope_root(s->g, n->in[0])];
    if (s->needed[n->out]) {
        const uint32_t to = scope_result(s, n->out);
        if (to == NO_BUF) return false;
        scope_copy(s, from, to);
    }
    Step *step = scope_step(s, STEP_SIZE);
    step->from = from;
    step->size = ATTRS(set_size, n->attr->at)->size;
    step->selector = UINT32_MAX;
    step->block = ARENA_NEW(lw->arena, Block);
    step->nblock = 1;
    lower_read(lw, from);
    if (program_counted(lw->p, step->size) == lw->p->counted.len) *VEC_PUSH(lw->arena, &lw->p->counted) = step->size;
    *VEC_PUSH(lw->scratch, &s->outer) = s->step;
    s->step = (StepList){0};
    return true;
}

Block scope_end(Scope *s)
{
    while (s->outer.len != 0) {
        const Block rest = {s->step.at, s->step.len};
        s->step = s->outer.at[--s->outer.len];
        *s->step.at[s->step.len - 1].block = rest;
    }
    return (Block){s->step.at, s->step.len};
}

bool lower_param(Scope *s, const Node *n) { return s->buf[n->out] != NO_BUF; }

/* ---- the program --------------------------------------------------------------------------------- */

static void list_symbols(Lower *lw)
{
    for (uint32_t i = 0; i < lw->dims->expr.len; i++)
        if (lw->dims->expr.at[i].kind == DIM_SYMBOL && !lw->dims->expr.at[i].made && !lw->dims->expr.at[i].counted)
            *VEC_PUSH(lw->arena, &lw->p->symbol) = -1 - (Dim)i;
}

static void number_steps(Program *p, Step *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        s[i].number = p->nnumber++;
        for (uint32_t b = 0; b < s[i].nblock; b++) number_steps(p, s[i].block[b].step, s[i].block[b].n);
    }
}

static bool lower_entry(Lower *lw, Scope *s)
{
    const Graph *g = s->g;
    Program *p = lw->p;
    p->ninput = g->param.len;
    p->noutput = g->result.len;
    for (uint32_t i = 0; i < g->param.len; i++) {
        uint32_t b = lower_buf(lw, BUF_INPUT, graph_type(g, g->param.at[i]));
        if (b == NO_BUF) return false;
        p->buf.at[b].index = i;
        s->buf[g->param.at[i]] = b;
    }
    for (uint32_t i = 0; i < g->result.len; i++) {
        Value root = scope_root(g, g->result.at[i]);
        uint32_t b = lower_buf(lw, BUF_OUTPUT, graph_type(g, g->result.at[i]));
        if (b == NO_BUF) return false;
        p->buf.at[b].index = i;
        if (s->buf[root] == NO_BUF) s->buf[root] = b;
    }
    if (!scope_run(s)) return false;
    for (uint32_t i = 0; i < g->result.len; i++) {
        uint32_t from = s->buf[scope_root(g, g->result.at[i])], to = p->ninput + i;
        if (from != to) scope_copy(s, from, to);
    }
    const Block all = scope_end(s);
    p->step = all.step;
    p->nstep = all.n;
    if (!lw->o->target.dear_guards) merge_steps(lw);
    if (lw->o->host_products) join_steps(lw, p->step, p->nstep);
    if (lw->o->target.ends) end_steps(lw, p->step, p->nstep);
    if (lw->o->target.threads && !spread_copies(lw)) return false;
    if (lw->o->target.threads || lw->o->target.launches) launch_steps(lw);
    number_steps(p, p->step, p->nstep);
    memory_plan(lw);
    list_symbols(lw);
    return lw->st->code == ST_OK;
}

uint32_t program_sizes(const Program *p)
{
    uint32_t n = 1;
    for (uint32_t i = 0; i < p->noutput; i++) n += p->buf.at[p->ninput + i].type.rank;
    return n;
}

typedef struct Job {
    Lower *lw;
    Arena *border[3]; /* even where memory ran out, the scratch arena is freed */
    int next;
    bool ok;
} Job;

static void lower_job(void *arg)
{
    Job *job = arg;
    Lower *lw = job->lw;
    Scope s;
    if (job->next < 3) {
        job->ok = arena_try(job->border[job->next++], lw->st, lower_job, job) && job->ok;
        return;
    }
    lw->p = ARENA_NEW(lw->arena, Program);
    lw->p->module = lw->m;
    lw->p->name = lw->m->graph.at[0]->name;
    lw->known.by_hash.arena = lw->dim_number.arena = lw->scratch;
    scope_begin(lw, &s, lw->m->graph.at[0]);
    job->ok = lower_entry(lw, &s);
}

Program *program_lower(Arena *arena, const Module *m, const LowerOptions *o, Status *st)
{
    Arena scratch;
    arena_init(&scratch);
    /* Lowering interns sizes in the module and otherwise only reads it. */
    Lower lw = {.arena = arena, .scratch = &scratch, .m = m, .dims = (DimTable *)&m->dims, .o = o, .st = st};
    Job job = {.lw = &lw, .border = {arena, m->arena, &scratch}};
    lower_job(&job);
    arena_free(&scratch);
    return job.ok && st->code == ST_OK ? lw.p : NULL;
}
