/* check: does a function compute the same in every way of running it? Each value of its traced graph is computed eagerly (the
 * oracle for bits), by the reference interpreter (the oracle for meaning) and compiled with the value as an extra output; if
 * compiled code differs, the passes are run one by one until the first that changed a result is found. Never changes variables. */
#include <inttypes.h>
#include <stdio.h>

#include "../../codegen/ref.h"
#include "../../passes/pass.h"
#include "check.h"

typedef struct Check {
    Thread *t;
    kiln_site at;
    FILE *report;
    kiln_function *f;
    kiln_tensor *const *in;
    int nin;
    const CheckParts *parts;
    Traced traced;
    kiln_tensor **value;         /* per value of the entry graph: what eager code makes of it */
    const Lives *lives;          /* NULL: all values are kept */
    const int64_t *symbol;       /* sizes that loops make and nodes count, as they are found */
    int64_t compared, undecided; /* elements, by the reference */
    char doubt[400];             /* the first value with undecided elements, and why they are */
} Check;

static Graph *entry_graph(const Traced *traced) { return traced->module->graph.at[0]; }

static const char *label_of(const Traced *t, const Graph *g, Value v)
{
    const char *text = NULL;
    for (uint32_t i = 0; i < t->nlabel; i++)
        if (t->label[i].g == g && t->label[i].from <= v) text = t->label[i].text;
    return text;
}

/* "%7 = exp : f32[4] (a.c:3)", or in place of the line what a model calls it */
static const char *value_text(const Check *c, const Graph *g, const Node *n, Value v, char *buf, size_t cap)
{
    char type[96];
    type_print(&g->module->dims, graph_type(g, v), type, sizeof type);
    const char *label = label_of(&c->traced, g, v), *file = n->loc.file ? n->loc.file : "?";
    const size_t len = (size_t)snprintf(buf, cap, "%%%u = %s : %s ", v, op_def[n->op].name, type);
    if (len < cap && label) snprintf(buf + len, cap - len, "(%s)", label);
    if (len < cap && !label) snprintf(buf + len, cap - len, "(%s:%d)", file, n->loc.line);
    return buf;
}

static void say(const Check *c, const Graph *g, Value v, const char *what)
{
    char value[300];
    if (c->report)
        fprintf(c->report, "%s: %s: %s\n", c->f->name, value_text(c, g, graph_maker(g, v), v, value, sizeof value), what);
}

static void tell_progress(const Check *c, uint32_t done, uint32_t all)
{
    if (c->parts->progress) c->parts->progress(c->parts->user, done, all);
}

/* ---- eager code against the reference, op by op ---------------------------------------------------------------------------
 * Each op is judged on the very operands that it had, which are exact. Errors therefore do not pile up, and a comparison, a loop or
 * a cast further on is decided. */
typedef struct Judged {
    Check *c;
    const Graph *g;
    uint32_t node;
    kiln_tensor *const *in, *const *out;
    bool tf32;
    Arena arena;
    Status st;
    bool agrees;
} Judged;

static void count(Judged *j, Value v, const RefVerdict *verdict)
{
    Check *c = j->c;
    char value[300];
    c->compared += verdict->compared;
    if (verdict->undecided && !c->undecided)
        snprintf(c->doubt, sizeof c->doubt, "%s: %s", value_text(c, j->g, &j->g->node.at[j->node], v, value, sizeof value),
            ref_doubt_text(verdict->doubt));
    c->undecided += verdict->undecided;
}

static bool operand_of_ref(Judged *j, kiln_tensor *x, RefTensor *to)
{
    x = tensor_host(j->c->t, j->c->at, x);
    if (tensor_ok(x)) *to = ref_load(&j->arena, &x->type, x->data);
    return tensor_ok(x);
}

static void judge_body(void *arg)
{
    Judged *j = arg;
    const Node *n = &j->g->node.at[j->node];
    RefTensor *in = ARENA_ARRAY(&j->arena, RefTensor, n->nin + 1), *out;
    const RefTensor **operand = ARENA_ARRAY(&j->arena, const RefTensor *, n->nin + 1);
    for (uint32_t i = 0; i < n->nin; i++) {
        if (!operand_of_ref(j, j->in[i], &in[i])) return;
        operand[i] = &in[i];
    }
    if (!ref_run_node(&j->arena, j->g, j->node, j->c->symbol, j->tf32, operand, &out, &j->st)) return;
    for (uint32_t i = 0; i < n->nout; i++) {
        RefVerdict v;
        kiln_tensor *x = tensor_host(j->c->t, j->c->at, j->out[i]);
        if (!tensor_ok(x)) return;
        bool fine = ref_compare(&out[i], x->data, &v);
        count(j, n->out + i, &v);
        if (fine) continue;
        say(j->c, j->g, n->out + i, v.why);
        return;
    }
    j->agrees = true;
}

static bool judge(void *user, const Graph *g, uint32_t node, kiln_tensor *const *in, kiln_tensor *const *out)
{
    Check *c = user;
    if (!c->parts->reference) return true;
    /* On the CPU the option is none. */
    const bool tf32 = function_sums(c->f) == SUMS_TF32 && c->traced.device != HOST;
    Judged j = {.c = c, .g = g, .node = node, .in = in, .out = out, .tf32 = tf32};
    if (g == entry_graph(&c->traced)) tell_progress(c, node, g->node.len);
    arena_init(&j.arena);
    bool ran = arena_try(&j.arena, &j.st, judge_body, &j) && !j.st.code;
    if (!ran) fail_status(c->t, c->at, &j.st);
    arena_free(&j.arena);
    return ran && j.agrees;
}

/* ---- compiled code against eager code, bit for bit ------------------------------------------------------------------------ */
/* The same graph, and the same elements where the body spells them out. */
static bool traced_alike(Check *c, const Traced *again)
{
    const Traced *was = &c->traced;
    double largest;
    if (was->text && again->text && strcmp(was->text, again->text)) return false;
    for (uint32_t i = 0; i < was->nsource; i++)
        if (was->source[i].kind == FROM_LITERAL &&
            tensors_differ(c->t, c->at, was->source[i].tensor, again->source[i].tensor, &largest))
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
            c->f->name);
    return false;
}

/* With the sizes that the arguments have, also where the function declares bounds. */
static bool trace(Check *c, Traced *traced)
{
    traced->exact = true;
    return function_trace(c->t, c->at, c->f, c->in, c->nin, traced);
}

/* Traces and compiles anew with values [from, to) as extra outputs; the first value of the graph that comes out and differs from
 * eager code, or 0. */
static bool compiled_agrees(Check *c, Value from, Value to, int stop_after, Value *differs)
{
    Instance *inst = instance_zeros(c->t, c->at, "check", 0);
    if (!inst) return false;
    *differs = 0;
    bool ok = trace(c, &inst->traced);
    if (ok && !traced_alike(c, &inst->traced)) {
        instance_free(inst);
        return from_host(c);
    }
    ok = ok && traced_add_results(c->t, c->at, &inst->traced, from, to);
    const Value *of = ok ? entry_graph(&inst->traced)->result.at : NULL; /* passes make new graphs: this one's results stay */
    ok = ok && instance_build(c->t, c->at, c->f, inst, stop_after);
    kiln_tensor **result = ok ? mem_zeros(inst->traced.nresult, sizeof *result) : NULL;
    if (ok && !result) fail(c->t, c->at, KILN_EMEMORY, "check: no memory"), ok = false;
    c->t->quiet++;
    ok = ok && instance_results(c->t, c->at, c->f, inst, c->in, result);
    c->t->quiet--;
    double largest = 0;
    for (uint32_t i = 0; ok && i < inst->traced.nresult; i++)
        if ((!*differs || of[i] < *differs) && tensors_differ(c->t, c->at, result[i], c->value[of[i]], &largest)) *differs = of[i];
    mem_free(result, inst->traced.nresult * sizeof *result);
    instance_free(inst);
    return ok;
}

static bool bisect(Check *c, Value from, Value to)
{
    for (int n = 0; n <= pass_count; n++) {
        Value differs;
        if (!compiled_agrees(c, from, to, n, &differs)) return false;
        if (!differs) continue;
        char what[160];
        snprintf(what, sizeof what, "compiled code differs from eager code %s%s", n ? "after pass " : "before any pass",
            n ? pass_table[n - 1].name : "");
        say(c, entry_graph(&c->traced), differs, what);
        return false;
    }
    if (c->report) fprintf(c->report, "%s: compiled code differs from eager code, but not when compiled again\n", c->f->name);
    return false;
}

#define BATCH 200 /* extra outputs per compile */
/* As it is, nothing added; then, whether or not its results differ, with the values in between, of which the first is sought. */
static bool against_compiled(Check *c)
{
    const Value n = entry_graph(&c->traced)->value.len;
    Value results, differs;
    if (!compiled_agrees(c, 1, 1, -1, &results)) return false;
    for (Value from = 1, to; from < n; from = to) {
        to = MIN_OF(from + BATCH, n);
        tell_progress(c, from, n);
        if (!compiled_agrees(c, from, to, -1, &differs)) return false;
        if (differs && differs < to) return bisect(c, from, to); /* what differs later is a result, or follows from another value */
    }
    return !results || bisect(c, 1, 1); /* they differ only if nothing else comes out */
}

static bool compiles_not(const kiln_function *f) { return f->k->options.no_compile || f->compile == KILN_NEVER; }

/* ---- the whole ------------------------------------------------------------------------------------------------------------ */
static bool source_values(Check *c)
{
    const Graph *g = entry_graph(&c->traced);
    for (uint32_t i = 0; i < c->traced.nsource; i++) {
        const Source *s = &c->traced.source[i];
        kiln_tensor *x = s->kind == FROM_ARGUMENT ? c->in[s->argument] : s->kind == FROM_VARIABLE ? s->variable->value : s->tensor;
        if (!x) return fail(c->t, c->at, KILN_ESTATE, "check: a variable that the body uses was freed"), false;
        c->value[g->param.at[i]] = tensor_contiguous(c->t, c->at, x);
        if (!tensor_ok(c->value[g->param.at[i]])) return false;
    }
    return true;
}

static kiln_verdict told(const Check *c)
{
    const uint32_t values = entry_graph(&c->traced)->value.len - 1;
    const char *alone = !c->parts->compiled  ? ""
                        : compiles_not(c->f) ? "; the engine does not compile" /* nothing but the reference to hold against */
                                             : NULL;
    if (c->undecided && c->report)
        fprintf(c->report,
            "%s: cannot tell: the reference leaves %" PRId64 " of %" PRId64
            " elements undecided, first of %s; all others agree%s\n",
            c->f->name, c->undecided, c->undecided + c->compared, c->doubt,
            alone ? alone : ", and eager and compiled are equal bit for bit");
    else if (c->report)
        fprintf(c->report, "%s: %u values: %s%s\n", c->f->name, values,
            alone                 ? "eager within the reference's bounds"
            : c->parts->reference ? "eager and compiled equal bit for bit, both within the reference's bounds"
                                  : "eager and compiled equal bit for bit",
            alone ? alone : "");
    return c->undecided ? KILN_CANNOT_TELL : KILN_AGREE;
}

/* Of values that nobody compares later none outlives its last use. */
static void find_lives(void *arg)
{
    Check *c = arg;
    const Module *m = c->traced.module;
    Lives *lives = ARENA_ARRAY(&c->traced.arena, Lives, m->graph.len);
    for (uint32_t i = 0; i < m->graph.len; i++) lives[i] = graph_lives(&c->traced.arena, m->graph.at[i]);
    c->lives = lives;
}

static kiln_verdict check_traced(Check *c)
{
    uint32_t n = entry_graph(&c->traced)->value.len;
    ScratchMark mark = scratch_mark(&c->t->scratch);
    int64_t *symbol = SCRATCH(c->t, c->at, int64_t, c->traced.module->dims.expr.len); /* found on the way: all else is exact */
    const bool compiled = c->parts->compiled && !compiles_not(c->f);
    bool ok = symbol && (compiled || bordered(c->t, c->at, &c->traced.arena, find_lives, c));
    Interpreter run = {.t = c->t,
        .at = c->at,
        .name = "check",
        .device = c->traced.device,
        .lives = c->lives,
        .symbol = symbol,
        .judge = judge,
        .user = c};
    const uint8_t sums = c->t->sums;
    const bool own_products = c->t->own_products;
    c->symbol = symbol;
    c->value = mem_zeros(n, sizeof *c->value);
    if (!c->value) return fail(c->t, c->at, KILN_EMEMORY, "check: no memory"), KILN_DISAGREE;
    c->t->sums = function_sums(c->f);
    c->t->own_products = c->f->options.no_blas;
    ok = ok && source_values(c) && interpret(&run, entry_graph(&c->traced), c->value);
    c->t->sums = sums;
    c->t->own_products = own_products;
    ok = ok && (!compiled || against_compiled(c));
    kiln_verdict verdict = ok ? told(c) : KILN_DISAGREE;
    mem_free(c->value, n * sizeof *c->value);
    scratch_reset(&c->t->scratch, mark);
    return verdict;
}

kiln_verdict check_parts(kiln_site at, FILE *report, kiln_function *f, kiln_tensor *const *in, int nin, const CheckParts *parts)
{
    Thread *t = f ? thread_of(f->k) : thread_last();
    if (!f || !t || t->trace) {
        fail(t, at, KILN_ESTATE, "check: %s", f ? "called inside a trace" : "the function is NULL");
        return KILN_DISAGREE;
    }
    if (!function_alive(t, at, f)) return KILN_DISAGREE;
    for (int i = 0; i < nin; i++)
        if (!in || !in[i] || (!tensor_ok(in[i]) && in[i]->state != TENSOR_STATIC)) {
            fail(t, at, KILN_ESTATE, "check: argument %d is NULL, closed or failed", i);
            return KILN_DISAGREE;
        }
    const bool entered = call_enter(t, at, f);
    Check c = {.t = t, .at = at, .report = report, .f = f, .in = in, .nin = nin, .parts = parts};
    traced_init(&c.traced);
    kiln_scope scope = kiln_scope_open(t->k);
    kiln_verdict verdict = entered && trace(&c, &c.traced) ? check_traced(&c) : KILN_DISAGREE;
    traced_free(&c.traced);
    kiln_scope_close(&scope);
    if (entered) call_leave(t);
    return verdict;
}

kiln_verdict kiln_check_at(kiln_site at, FILE *report, kiln_function *f, kiln_tensor *const *in, int nin)
{
    return check_parts(at, report, f, in, nin, &(CheckParts){.reference = true, .compiled = true});
}
