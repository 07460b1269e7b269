/* check: does a function compute the same in every way of running it? Each value of its traced graph is computed eagerly (the oracle for bits),
 * by the reference interpreter (the oracle for meaning) and compiled with the value as an extra output; if compiled code differs, the passes
 * are run one by one until the first that changed a result is found. Never changes variables. */
#include <stdio.h>

#include "../codegen/ref.h"
#include "../passes/pass.h"
#include "check.h"
#include "compare.h"
#include "scope.h"

typedef struct Check {
    Thread *t;
    kiln_site at;
    FILE *report;
    kiln_function f; /* the function, its bounded sizes taken as they are */
    kiln_tensor *const *in;
    int nin;
    Row *row;            /* as traced */
    kiln_tensor **value; /* per value of the entry graph: what eager code makes of it */
    RefTensor *ref;
    Status st;
    bool ok;
} Check;

static Graph *entry_graph(const Row *row) { return row->module->graph.at[0]; }

static void say(const Check *c, const Node *n, Value v, const char *what)
{
    if (!c->report) return;
    char type[96];
    type_print(NULL, graph_type(entry_graph(c->row), v), type, sizeof type);
    fprintf(c->report, "%s: %%%u = %s : %s (%s:%d): %s\n", c->f.name, v, op_def[n->op].name, type,
        n->loc.file ? n->loc.file : "?", n->loc.line, what);
}

/* ---- the three comparisons ---------------------------------------------------------------------------------------------- */
static bool against_ref(Check *c)
{
    const Graph *g = entry_graph(c->row);
    for (uint32_t i = 0; i < g->node.len; i++) {
        const Node *n = &g->node.at[i];
        for (uint32_t r = 0; r < n->nout; r++) {
            char why[256];
            double ulps, undecided;
            kiln_tensor *x = tensor_contiguous(c->t, c->at, c->value[n->out + r]);
            if (tensor_ok(x) &&
                ref_compare(&c->ref[n->out + r], x->data, &ulps, &undecided, why, sizeof why))
                continue;
            say(c, n, n->out + r, tensor_ok(x) ? why : "could not be compared");
            return false;
        }
    }
    return true;
}

/* The same graph, and the same elements where the body spells them out. */
static bool traced_alike(Check *c, const Row *again)
{
    const Row *row = c->row;
    double largest;
    if (row->trace_text && again->trace_text && strcmp(row->trace_text, again->trace_text))
        return false;
    for (uint32_t i = 0; i < row->nsource; i++)
        if (row->source[i].kind == FROM_LITERAL &&
            tensors_differ(c->t, c->at, row->source[i].tensor, again->source[i].tensor, &largest))
            return false;
    return true;
}

/* Nothing can be compared then. */
static bool from_host(const Check *c)
{
    if (c->report)
        fprintf(c->report,
            "%s: its body traced twice gives two graphs: it reads something from the host that "
            "changes; run with KILN_RETRACE=1 to see what, and pass it as an input or keep it in a "
            "variable\n",
            c->f.name);
    return false;
}

/* Traces and compiles anew with values [from, to) as extra outputs; the first of all results that differs from eager code, or 0. */
static bool compiled_agrees(Check *c, Value from, Value to, int stop_after, Value *differs)
{
    Row *row = mem_zeros(1, sizeof *row);
    if (!row) return fail(c->t, c->at, KILN_EMEMORY, "check: no memory"), false;
    arena_init(&row->arena);
    *differs = 0;
    bool ok = function_trace(c->t, c->at, &c->f, c->in, c->nin, row);
    if (!ok) {
        row->nsource = 0;
        row_free(row);
        return false;
    }
    if (!traced_alike(c, row)) {
        row_free(row);
        return from_host(c);
    }
    uint32_t own = row->nresult;
    Value of[own + (to - from)];
    ok = row_add_results(c->t, c->at, row, from, to);
    memcpy(of, entry_graph(row)->result.at, entry_graph(row)->result.len * sizeof *of);
    ok = ok && row_build(c->t, c->at, &c->f, row, stop_after);
    kiln_tensor **result = ok ? mem_zeros(row->nresult, sizeof *result) : NULL;
    if (ok && !result) fail(c->t, c->at, KILN_EMEMORY, "check: no memory"), ok = false;
    c->t->quiet++;
    ok = ok && row_results(c->t, c->at, &c->f, row, c->in, result, NULL);
    c->t->quiet--;
    double largest = 0;
    for (uint32_t i = 0; ok && i < row->nresult && !*differs; i++)
        if (tensors_differ(c->t, c->at, result[i], c->value[of[i]], &largest)) *differs = of[i];
    mem_free(result, row->nresult * sizeof *result);
    row_free(row);
    return ok;
}

static bool bisect(Check *c, Value from, Value to)
{
    for (int n = 0; n <= pass_count; n++) {
        Value differs;
        if (!compiled_agrees(c, from, to, n, &differs)) return false;
        if (!differs) continue;
        char what[160];
        snprintf(what, sizeof what, "compiled code differs from eager code %s%s",
            n ? "after pass " : "before any pass", n ? pass_table[n - 1].name : "");
        say(c, graph_maker(entry_graph(c->row), differs), differs, what);
        return false;
    }
    if (c->report)
        fprintf(c->report,
            "%s: compiled code differs from eager code, but not when compiled again\n", c->f.name);
    return false;
}

#define BATCH 200 /* extra outputs per compile */
static bool against_compiled(Check *c)
{
    Value n = entry_graph(c->row)->value.len, differs;
    if (!compiled_agrees(c, 1, 1, -1, &differs)) /* as it is, nothing added */
        return false;
    if (differs) return bisect(c, 1, 1);
    for (Value from = 1; from < n; from += BATCH) {
        if (!compiled_agrees(c, from, MIN_OF(from + BATCH, n), -1, &differs)) return false;
        if (differs) return bisect(c, from, MIN_OF(from + BATCH, n));
    }
    return true;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------ */
static void ref_body(void *arg)
{
    Check *c = arg;
    const Graph *g = entry_graph(c->row);
    const void **in = ARENA_ARRAY(&c->row->arena, const void *, g->param.len + 1);
    for (uint32_t i = 0; i < g->param.len; i++) in[i] = c->value[g->param.at[i]]->data;
    c->ok = ref_run(&c->row->arena, g, NULL, in, &c->ref, &c->st);
}

static bool source_values(Check *c)
{
    const Graph *g = entry_graph(c->row);
    for (uint32_t i = 0; i < c->row->nsource; i++) {
        const Source *s = &c->row->source[i];
        kiln_tensor *x = s->kind == FROM_ARGUMENT   ? c->in[s->argument]
                         : s->kind == FROM_VARIABLE ? s->variable->value
                                                    : s->tensor;
        if (!x)
            return fail(c->t, c->at, KILN_ESTATE, "check: a variable that the body uses was freed"),
                   false;
        c->value[g->param.at[i]] = tensor_contiguous(c->t, c->at, x);
        if (!tensor_ok(c->value[g->param.at[i]])) return false;
    }
    return true;
}

static bool check_traced(Check *c)
{
    uint32_t n = entry_graph(c->row)->value.len;
    c->value = mem_zeros(n, sizeof *c->value);
    if (!c->value) return fail(c->t, c->at, KILN_EMEMORY, "check: no memory"), false;
    bool ok = source_values(c) && check_run(c->t, c->at, entry_graph(c->row), c->value);
    if (ok && (!arena_try(&c->row->arena, &c->st, ref_body, c) || !c->ok)) {
        fail_status(c->t, c->at, &c->st);
        ok = false;
    }
    ok = ok && against_ref(c) && against_compiled(c);
    if (ok && c->report)
        fprintf(c->report,
            "%s: %u values: eager and compiled equal bit for bit, both within the reference's "
            "bounds\n",
            c->f.name, n - 1);
    mem_free(c->value, n * sizeof *c->value);
    return ok;
}

bool kiln_check_at(kiln_site at, FILE *report, kiln_function *f, kiln_tensor *const *in, int nin)
{
    Thread *t = f ? thread_of(f->k) : thread_last();
    if (!f || !t || t->trace) {
        fail(t, at, KILN_ESTATE, "check: %s", f ? "inside a trace" : "the function is NULL");
        return false;
    }
    for (int i = 0; i < nin; i++)
        if (!in || !in[i] || (!tensor_ok(in[i]) && in[i]->state != TENSOR_STATIC)) {
            fail(t, at, KILN_ESTATE, "check: argument %d is NULL, closed or failed", i);
            return false;
        }
    Row *row = mem_zeros(1, sizeof *row);
    if (!row) {
        fail(t, at, KILN_EMEMORY, "check: no memory");
        return false;
    }
    arena_init(&row->arena);
    Check c = {.t = t, .at = at, .report = report, .f = *f, .in = in, .nin = nin, .row = row};
    c.f.nspec = 0;
    kiln_scope scope = kiln_scope_open(t->k);
    bool ok = function_trace(t, at, &c.f, in, nin, row);
    if (!ok) row->nsource = 0;
    ok = ok && check_traced(&c);
    row_free(row);
    kiln_scope_close(&scope);
    return ok;
}
