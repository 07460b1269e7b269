/* run_text: a module in text form, compiled and run once: what `kiln run` does. Relies on the row of compile.c and run.c, whose sources
 * are all arguments. Never keeps what it compiled. */
#include "artifact.h"
#include "function.h"
#include "operand.h"

typedef struct Job {
    Thread *t;
    Row *row;
    const char *text;
    size_t len;
    Status st;
    bool ok;
} Job;

/* Its records are in the program that traced it. */
static bool without_effects(const Module *m, Status *st)
{
    for (uint32_t i = 0; i < m->graph.len; i++)
        for (uint32_t j = 0; j < m->graph.at[i]->node.len; j++) {
            Op op = (Op)m->graph.at[i]->node.at[j].op;
            if (op == OP_print || op == OP_assert || op == OP_callback)
                return status_fail(st, ST_UNSUPPORTED, "run: graph %s holds %s, whose text only the program that traced it knows",
                    m->graph.at[i]->name, op_def[op].name);
        }
    return true;
}

static void job_body(void *arg)
{
    Job *j = arg;
    Row *row = j->row;
    Module *m = text_module(&row->arena, j->text, j->len, &j->st);
    if (!m || !without_effects(m, &j->st)) return;
    const Graph *g = m->graph.at[0];
    row->module = m;
    row->narg = row->nsource = g->param.len;
    row->nresult = row->noutput = g->result.len;
    row->ops = g->node.len;
    row->arg = ARENA_ARRAY(&row->arena, Type, row->narg + 1);
    row->source = ARENA_ARRAY(&row->arena, Source, row->narg + 1);
    for (uint32_t i = 0; i < row->narg; i++) {
        row->arg[i] = *graph_type(g, g->param.at[i]);
        row->source[i] = (Source){.kind = FROM_ARGUMENT, .argument = i};
        for (int d = 0; d < row->arg[i].rank; d++) row->bounded = row->bounded || row->arg[i].dim[d] < 0;
    }
    j->ok = true;
}

/* Sizes of the inputs: equal constants, symbols within their bounds; and every symbol is some input's size. */
static bool inputs_fit(Thread *t, kiln_site at, const Row *row, kiln_tensor *const *in)
{
    const DimTable *dims = &row->module->dims;
    char have[160], want[160];
    for (uint32_t i = 0; i < row->narg; i++) {
        const Type *p = &row->arg[i], *x = &in[i]->type;
        bool fits = p->dtype == x->dtype && p->rank == x->rank;
        for (int d = 0; d < p->rank && fits; d++) {
            const DimExpr *e = p->dim[d] < 0 ? &dims->expr.at[-1 - p->dim[d]] : NULL;
            fits = e ? e->kind == DIM_SYMBOL && x->dim[d] >= e->lo && x->dim[d] <= e->hi : p->dim[d] == x->dim[d];
        }
        if (fits) continue;
        type_print(dims, p, want, sizeof want);
        fail(t, at, KILN_ESHAPE, "run: input %u is %s, the graph takes %s%s", i, tensor_text(in[i], have, sizeof have), want,
            row->module->dims.expr.len ? " within the bounds of its dims" : "");
        return false;
    }
    return true;
}

static bool symbols_bound(Thread *t, kiln_site at, const Row *row)
{
    const DimTable *dims = &row->module->dims;
    for (uint32_t s = 0; s < dims->expr.len; s++) {
        bool bound = dims->expr.at[s].kind != DIM_SYMBOL || dims->expr.at[s].made;
        for (uint32_t i = 0; i < row->narg; i++)
            for (int d = 0; d < row->arg[i].rank; d++) bound = bound || row->arg[i].dim[d] == -1 - (Dim)s;
        if (bound) continue;
        fail(t, at, KILN_ESHAPE, "run: no input of the graph has the size %s, so it is unknown", dims->expr.at[s].name);
        return false;
    }
    return true;
}

static bool resolve(Thread *t, kiln_site at, const Row *row, kiln_operands in, kiln_tensor **x)
{
    if (in.count < 0 || (uint32_t)in.count != row->narg) {
        fail(t, at, KILN_EVALUE, "run: %d inputs given, the graph takes %u", in.count, row->narg);
        return false;
    }
    for (int i = 0; i < in.count; i++) {
        x[i] = operand_named(t, at, "run", operands_get(in, i), &row->arg[i]);
        if (!tensor_ok(x[i])) return false;
    }
    return inputs_fit(t, at, row, x) && symbols_bound(t, at, row);
}

/* Never run: the row comes from the text. */
static void no_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)in, (void)out, (void)user;
}

static int run(Thread *t, kiln_site at, Row *row, kiln_operands in, kiln_tensor **out, int cap)
{
    kiln_function *f = kiln_function_new(t->k, no_body, NULL, &(kiln_function_options){.name = row->module->graph.at[0]->name});
    size_t bytes = (row->narg + row->nresult + 1) * sizeof(kiln_tensor *);
    kiln_tensor **x = f ? mem_zeros(1, bytes) : NULL, **result = x ? x + row->narg : NULL;
    if (f && !x) fail(t, at, KILN_EMEMORY, "run: no memory");
    bool ok = x && resolve(t, at, row, in, x) && row_build(t, at, f, row, -1) && row_results(t, at, f, row, x, result, NULL);
    for (int i = 0; i < cap; i++) {
        out[i] = ok && i < (int)row->nresult ? result[i] : &t->k->poison;
        if (tensor_ok(out[i])) kiln_keep(out[i]);
    }
    int n = ok ? (int)row->nresult : -1;
    if (x) mem_free(x, bytes);
    kiln_function_free(f);
    return n;
}

int kiln_run_text_at(kiln_site at, kiln *k, const char *text, size_t len, kiln_operands in, kiln_tensor **out, int cap)
{
    Thread *t = thread_of(k);
    for (int i = 0; i < cap; i++) out[i] = t ? &k->poison : NULL;
    if (!t || !text || t->trace || k->eager_only) {
        fail(t ? t : thread_last(), at, KILN_ESTATE, "run: %s",
            !t || !text ? "the text is NULL" : t->trace ? "inside a trace" : "the engine compiles nothing (kiln_eager, no_compile)");
        return -1;
    }
    Row *row = mem_zeros(1, sizeof *row);
    if (!row) return fail(t, at, KILN_EMEMORY, "run: no memory"), -1;
    arena_init(&row->arena);
    Job j = {.t = t, .row = row, .text = text, .len = len};
    if (!arena_try(&row->arena, &j.st, job_body, &j)) j.ok = false;
    if (!j.ok) fail_status(t, at, &j.st);
    kiln_scope s = kiln_scope_open(k);
    int n = j.ok ? run(t, at, row, in, out, cap) : -1;
    kiln_scope_close(&s);
    row_free(row);
    return n;
}
