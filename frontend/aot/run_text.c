/* run_text: a module in text form, compiled and run once, or handed to whoever else wants it: what `kiln run` and `kiln profile`
 * do. Relies on the instance of build.c and call.c, whose sources are all arguments. Never keeps what it compiled. */
#include "aot.h"

typedef struct Job {
    Thread *t;
    Instance *inst;
    const char *text;
    size_t len;
    const char *called;
    const kiln_run_options *options;
    TextUse *use;
    void *user;
    Status st;
    bool ok;
} Job;

/* Its records are in the program that traced it. */
static bool without_effects(const Module *m, const char *called, Status *st)
{
    for (uint32_t i = 0; i < m->graph.len; i++)
        for (uint32_t j = 0; j < m->graph.at[i]->node.len; j++) {
            Op op = (Op)m->graph.at[i]->node.at[j].op;
            if (op == OP_print || op == OP_assert || op == OP_callback)
                return status_fail(st, ST_UNSUPPORTED, "%s: graph %s contains %s, which only the program that traced it can run",
                    called, m->graph.at[i]->name, op_def[op].name);
        }
    return true;
}

bool text_dims(Module *m, const char *called, const kiln_run_options *o, Status *st)
{
    for (int i = 0; i < o->dims_count; i++) {
        const char *name = o->dims[i].name ? o->dims[i].name : "";
        const int64_t size = o->dims[i].size;
        const Dim d = dim_find(&m->dims, name, strlen(name));
        if (d == DIM_BAD || dim_is_made(&m->dims, d) || dim_is_counted(&m->dims, d))
            return status_fail(st, ST_SHAPE, "%s: the module has no dim %.60s", called, name);
        DimExpr *e = &m->dims.expr.at[-1 - d];
        if (size < e->lo || size > e->hi)
            return status_fail(st, ST_SHAPE, "%s: dim %s is %lld (allowed: %lld to %lld)", called, name, (long long)size,
                (long long)e->lo, (long long)e->hi);
        e->lo = e->hi = size;
    }
    return true;
}

static void job_body(void *arg)
{
    Job *j = arg;
    Instance *inst = j->inst;
    Module *m = text_module(&inst->traced.arena, j->text, j->len, &j->st);
    if (!m || !without_effects(m, j->called, &j->st) || !text_dims(m, j->called, j->options, &j->st)) return;
    Graph *g = m->graph.at[0];
    inst->traced.module = m;
    inst->traced.narg = inst->traced.nsource = g->param.len;
    inst->traced.noutput = g->result.len;
    traced_add_counts(&inst->traced, g);
    inst->traced.nresult = g->result.len;
    inst->traced.ops = g->node.len;
    inst->traced.arg = ARENA_ARRAY(&inst->traced.arena, Type, inst->traced.narg + 1);
    inst->traced.source = ARENA_ARRAY(&inst->traced.arena, Source, inst->traced.narg + 1);
    for (uint32_t i = 0; i < inst->traced.narg; i++) {
        inst->traced.arg[i] = *graph_type(g, g->param.at[i]);
        inst->traced.source[i] = (Source){.kind = FROM_ARGUMENT, .argument = i};
        for (int d = 0; d < inst->traced.arg[i].rank; d++)
            inst->traced.bounded = inst->traced.bounded || inst->traced.arg[i].dim[d] < 0;
    }
    j->ok = true;
}

/* Sizes of the inputs: equal constants, symbols within their bounds, expressions of known symbols. */
static bool input_fits(const Instance *inst, const Type *p, const Type *x, const int64_t *symbol)
{
    const DimTable *dims = &inst->traced.module->dims;
    bool fits = p->dtype == x->dtype && p->rank == x->rank;
    for (int d = 0; d < p->rank && fits; d++) {
        const DimExpr *e = p->dim[d] < 0 ? &dims->expr.at[-1 - p->dim[d]] : NULL;
        fits =
            e && e->kind == DIM_SYMBOL ? x->dim[d] >= e->lo && x->dim[d] <= e->hi : dim_eval(dims, p->dim[d], symbol) == x->dim[d];
    }
    return fits;
}

/* The symbols' values by their place in the table: of the first input that has the symbol as a size, or its only value; -1:
 * unknown. */
static void symbols_of(const Instance *inst, kiln_tensor *const *in, int64_t *symbol)
{
    const DimTable *dims = &inst->traced.module->dims;
    for (uint32_t s = 0; s < dims->expr.len; s++) symbol[s] = dims->expr.at[s].lo == dims->expr.at[s].hi ? dims->expr.at[s].lo : -1;
    for (uint32_t i = 0; i < inst->traced.narg; i++)
        for (int d = 0; d < inst->traced.arg[i].rank && d < in[i]->type.rank; d++)
            if (inst->traced.arg[i].dim[d] < 0 && symbol[-1 - inst->traced.arg[i].dim[d]] < 0)
                symbol[-1 - inst->traced.arg[i].dim[d]] = in[i]->type.dim[d];
}

static bool unknown(Thread *t, kiln_site at, const DimExpr *e)
{
    fail(t, at, KILN_ESHAPE,
        "%s: no input has the size %s alone, so it is unknown: give it one (kiln %s --dim %s=%lld, kiln_run_options)", t->called,
        e->name, t->called, e->name, (long long)e->lo);
    return false;
}

static bool has(const DimTable *dims, Dim d, Dim symbol)
{
    if (d >= 0 || d == DIM_BAD) return false;
    const DimExpr *e = &dims->expr.at[-1 - d];
    if (e->kind == DIM_SYMBOL || e->kind == DIM_NEGATIVE) return d == symbol;
    return has(dims, e->a, symbol) || has(dims, e->b, symbol);
}

/* The symbols that inputs' sizes are made of are known. */
static bool sizes_known(Thread *t, kiln_site at, const Instance *inst, const int64_t *symbol)
{
    const DimTable *dims = &inst->traced.module->dims;
    for (uint32_t s = 0; s < dims->expr.len; s++) {
        const DimExpr *e = &dims->expr.at[s];
        if (e->kind != DIM_SYMBOL || e->made || symbol[s] >= 0) continue;
        for (uint32_t i = 0; i < inst->traced.narg; i++)
            for (int d = 0; d < inst->traced.arg[i].rank; d++)
                if (has(dims, inst->traced.arg[i].dim[d], -1 - (Dim)s)) return unknown(t, at, e);
    }
    return true;
}

static bool computes_with(const Program *p, Dim symbol)
{
    bool any = false;
    for (uint32_t i = 0; i < p->dim.len; i++) any = any || has(&p->module->dims, p->dim.at[i], symbol);
    for (uint32_t i = 0; i < p->buf.len; i++)
        for (int d = 0; d < p->buf.at[i].type.rank; d++) any = any || has(&p->module->dims, p->buf.at[i].type.dim[d], symbol);
    return any;
}

static bool is_dim(Op op, uint32_t attr)
{
    const char *schema = op_def[op].attrs;
    for (; schema && attr > 0 && schema[0] >= 'a'; attr--) schema++; /* a capital stands for all that follow */
    return schema && (schema[0] == 'd' || schema[0] == 'D');
}

/* Marks the symbols that the size is made of, and every expression between, by their place in the table. */
static void meet(const DimTable *dims, Dim d, bool *met)
{
    if (d >= 0 || d == DIM_BAD || met[-1 - d]) return;
    const DimExpr *e = &dims->expr.at[-1 - d];
    met[-1 - d] = true;
    if (e->kind == DIM_SYMBOL || e->kind == DIM_NEGATIVE) return;
    meet(dims, e->a, met);
    meet(dims, e->b, met);
}

static void meet_all(const Module *m, bool *met)
{
    for (uint32_t i = 0; i < m->graph.len; i++) {
        const Graph *g = m->graph.at[i];
        for (uint32_t v = 1; v < g->value.len; v++)
            for (int d = 0; d < graph_type(g, v)->rank; d++) meet(&m->dims, graph_type(g, v)->dim[d], met);
        for (uint32_t n = 0; n < g->node.len; n++)
            for (uint32_t a = 0; a < g->node.at[n].attr->len; a++)
                if (is_dim((Op)g->node.at[n].op, a)) meet(&m->dims, g->node.at[n].attr->at[a], met);
    }
}

/* An interpreted graph may read any size that it names. */
static bool all_known(Thread *t, kiln_site at, const Instance *inst)
{
    const Traced *traced = &inst->traced;
    const DimTable *dims = &traced->module->dims;
    bool *met = mem_zeros(dims->expr.len + 1, sizeof *met), ok = true;
    if (!met) return fail(t, at, KILN_EMEMORY, "%s: no memory for %u sizes", t->called, dims->expr.len), false;
    meet_all(traced->module, met);
    for (uint32_t i = 0; i < traced->narg; i++)
        for (int d = 0; d < traced->arg[i].rank; d++)
            if (traced->arg[i].dim[d] < 0 && traced->arg[i].dim[d] != DIM_BAD) met[-1 - traced->arg[i].dim[d]] = false;
    for (uint32_t s = 0; s < dims->expr.len && ok; s++) {
        const DimExpr *e = &dims->expr.at[s];
        if (e->kind == DIM_SYMBOL && !e->made && !e->counted && e->lo != e->hi && met[s]) ok = unknown(t, at, e);
    }
    mem_free(met, (dims->expr.len + 1) * sizeof *met);
    return ok;
}

/* Those that the program computes with are known. What a module declares and does not use needs no value. */
static bool symbols_known(Thread *t, kiln_site at, const Instance *inst)
{
    const Code *code = inst->code;
    if (!code) return all_known(t, at, inst);
    const Program *p = code->program;
    for (uint32_t s = 0; s < p->symbol.len; s++) {
        bool known = code->known[s] >= 0 || !computes_with(p, p->symbol.at[s]);
        for (uint32_t i = 0; i < code->nbinding; i++) known = known || code->binding[i].symbol == s;
        if (!known) return unknown(t, at, &p->module->dims.expr.at[-1 - p->symbol.at[s]]);
    }
    return true;
}

/* With scratch that the caller gives back. */
static bool inputs_fit(Thread *t, kiln_site at, const Instance *inst, kiln_tensor *const *in)
{
    char have[160], want[160];
    const DimTable *dims = &inst->traced.module->dims;
    int64_t *symbol = SCRATCH(t, at, int64_t, dims->expr.len + 1u);
    if (!symbol) return false;
    symbols_of(inst, in, symbol);
    if (!sizes_known(t, at, inst, symbol)) return false;
    for (uint32_t i = 0; i < inst->traced.narg; i++) {
        if (input_fits(inst, &inst->traced.arg[i], &in[i]->type, symbol)) continue;
        type_print(dims, &inst->traced.arg[i], want, sizeof want);
        fail(t, at, KILN_ESHAPE, "run: input %u is %s, but the graph takes %s%s", i, tensor_text(in[i], have, sizeof have), want,
            dims->expr.len ? " within the bounds of its dims" : "");
        return false;
    }
    return true;
}

static bool resolve(Thread *t, kiln_site at, Instance *inst, kiln_operands in, kiln_tensor **x)
{
    uint32_t device;
    if (in.count < 0 || (uint32_t)in.count != inst->traced.narg) {
        fail(t, at, KILN_EVALUE, "run: %d inputs given, but the graph takes %u", in.count, inst->traced.narg);
        return false;
    }
    for (int i = 0; i < in.count; i++) {
        x[i] = operand_named(t, at, "run", operands_get(in, i), &inst->traced.arg[i]);
        if (!tensor_ok(x[i])) return false;
    }
    ScratchMark mark = scratch_mark(&t->scratch);
    bool ok = inputs_fit(t, at, inst, x);
    scratch_reset(&t->scratch, mark);
    if (!ok || !one_device(t, at, "run", x, inst->traced.narg, &device)) return false;
    inst->traced.device = (uint8_t)device;
    return true;
}

/* Never run: the instance comes from the text. */
static void no_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user) { (void)k, (void)in, (void)out, (void)user; }

static int run(const Job *j, kiln_site at, kiln_operands in, kiln_tensor **out, int cap)
{
    Thread *t = j->t;
    Instance *inst = j->inst;
    const kiln_function_options o = {.name = inst->traced.module->graph.at[0]->name};
    kiln_function *f = kiln_function_new_sized((kiln_site){0}, t->k, no_body, NULL, &o, sizeof o);
    size_t bytes = (inst->traced.narg + inst->traced.nresult + 1) * sizeof(kiln_tensor *);
    kiln_tensor **x = f ? mem_zeros(1, bytes) : NULL, **result = x ? x + inst->traced.narg : NULL;
    if (f && !x) fail(t, at, KILN_EMEMORY, "run: no memory");
    bool ok = x && resolve(t, at, inst, in, x) && instance_begin(t, at, f, inst) && symbols_known(t, at, inst) &&
              j->use(t, at, f, inst, x, result, j->user);
    for (int i = 0; i < cap; i++) {
        out[i] = ok && i < (int)inst->traced.noutput ? result[i] : &t->k->poison;
        if (tensor_ok(out[i])) kiln_keep(out[i]);
    }
    int n = ok ? (int)inst->traced.noutput : -1;
    if (x) mem_free(x, bytes);
    kiln_function_free(f);
    return n;
}

int text_use(kiln_site at, kiln *k, const char *called, const char *text, size_t len, kiln_operands in, const kiln_run_options *o,
    TextUse *use, void *user, kiln_tensor **out, int cap)
{
    Thread *t = thread_of(k);
    Instance *inst = instance_zeros(t, at, "run", 0);
    if (!inst) return -1;
    Job j = {.t = t, .inst = inst, .text = text, .len = len, .called = called, .options = o, .use = use, .user = user};
    if (!arena_try(&inst->traced.arena, &j.st, job_body, &j)) j.ok = false;
    if (!j.ok) fail_status(t, at, &j.st);
    kiln_scope s = kiln_scope_open(k);
    const char *outer = t->called;
    t->called = called; /* what is wrong with the text has no name of a call before it, but its place */
    int n = j.ok ? run(&j, at, in, out, cap) : -1;
    t->called = outer;
    kiln_scope_close(&s);
    instance_free(inst);
    return n;
}

static bool use_results(
    Thread *t, kiln_site at, kiln_function *f, Instance *inst, kiln_tensor *const *in, kiln_tensor **result, void *none)
{
    (void)none;
    return instance_results(t, at, f, inst, in, result);
}

int kiln_run_text_at(kiln_site at, kiln *k, const char *text, size_t len, kiln_operands in, kiln_tensor **out, int cap)
{
    return kiln_run_text_sized(at, k, text, len, in, out, cap, NULL, 0);
}

int kiln_run_text_sized(kiln_site at, kiln *k, const char *text, size_t len, kiln_operands in, kiln_tensor **out, int cap,
    const kiln_run_options *options, size_t size)
{
    Thread *t = thread_of(k);
    kiln_run_options o = {.dims_count = 0};
    if (options) memcpy(&o, options, MIN_OF(size, sizeof o));
    results_poison(t, out, cap);
    if (cap > 0 && !out) return list_there(t ? t : thread_last(), at, "run", out, cap), -1;
    if (!t || !text || t->trace || k->eager_only) {
        fail(t ? t : thread_last(), at, KILN_ESTATE, "run: %s",
            !t || !text ? "the text is NULL"
            : t->trace  ? "called inside a trace"
                        : "the engine does not compile (kiln_eager, no_compile)");
        return -1;
    }
    if (cap < 0 || o.dims_count < 0)
        return fail(t, at, KILN_EVALUE, "run: the number of %s is %d; it must be 0 or more", cap < 0 ? "results" : "dims",
                   cap < 0 ? cap : o.dims_count),
               -1;
    return text_use(at, k, "run", text, len, in, &o, use_results, NULL, out, cap);
}
