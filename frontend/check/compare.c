/* compare: eager against graph, measured: the same body, the same inputs, the variables set back before each side. Prints a table
 * or JSON. Never changes what a program computes: variables end as they began. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "check.h"
#include "../engine/escape.h"

/* ---- the variables that the function touches, kept and set back ------------------------------------------------ */
typedef struct Snapshot {
    uint32_t n, room;
    kiln_variable **variable;
    kiln_tensor **value; /* owned */
} Snapshot;

static void keep_value(Snapshot *s, kiln_variable *v)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->variable[i] == v) return;
    s->variable[s->n] = v;
    s->value[s->n++] = kiln_own(v->value);
}

static bool snapshot_take(Snapshot *s, const Instance *inst)
{
    *s = (Snapshot){.room = inst->traced.nsource + inst->traced.nchanged};
    s->variable = mem_zeros(s->room + 1, sizeof *s->variable);
    s->value = mem_zeros(s->room + 1, sizeof *s->value);
    if (!s->variable || !s->value) return false;
    for (uint32_t i = 0; i < inst->traced.nsource; i++)
        if (inst->traced.source[i].kind == FROM_VARIABLE) keep_value(s, inst->traced.source[i].variable);
    for (uint32_t i = 0; i < inst->traced.nchanged; i++) keep_value(s, inst->traced.changed[i]);
    return true;
}

static void snapshot_restore(const Snapshot *s)
{
    for (uint32_t i = 0; i < s->n; i++) kiln_set(&s->variable[i]->value, s->value[i]);
}

static void snapshot_free(Snapshot *s)
{
    for (uint32_t i = 0; i < s->n; i++) kiln_release(s->value[i]);
    if (s->variable) mem_free(s->variable, (s->room + 1) * sizeof *s->variable);
    if (s->value) mem_free(s->value, (s->room + 1) * sizeof *s->value);
    *s = (Snapshot){0};
}

/* ---- differences -------------------------------------------------------------------------------------------------- */
static bool same_element(DType d, const char *a, const char *b)
{
    size_t bytes = dtype_bytes(d);
    if (!memcmp(a, b, bytes)) return true;
    return dtype_is_float(d) && isnan(dtype_load_f64(d, a)) && isnan(dtype_load_f64(d, b));
}

int64_t tensors_differ(Thread *t, kiln_site at, kiln_tensor *a, kiln_tensor *b, double *largest)
{
    a = tensor_host(t, at, a);
    b = tensor_host(t, at, b);
    if (!tensor_ok(a) || !tensor_ok(b) || !type_equal(&a->type, &b->type)) {
        *largest = INFINITY;
        return 1;
    }
    DType d = (DType)a->type.dtype;
    size_t bytes = dtype_bytes(d);
    int64_t n = type_count(&a->type), differ = 0;
    for (int64_t i = 0; i < n; i++) {
        const char *x = a->data + (size_t)i * bytes, *y = b->data + (size_t)i * bytes;
        if (same_element(d, x, y)) continue;
        differ++;
        double gap = fabs(dtype_load_f64(d, x) - dtype_load_f64(d, y));
        if (!(gap <= *largest)) *largest = gap;
    }
    return differ;
}

/* ---- running one side ---------------------------------------------------------------------------------------------- */
typedef struct Side {
    double seconds; /* the median of the rounds, per call */
    double kernels, bytes;
    int64_t peak;
    kiln_tensor **out;   /* owned, as is `state` */
    kiln_tensor **state; /* the value of each variable of the snapshot */
} Side;

typedef struct Comparison {
    Thread *t;
    kiln_site at;
    kiln_function *f;
    kiln_tensor *const *in;
    int nin;
    Instance *inst;
    const Code *code;
    Snapshot start;
    Side side[2];      /* eager, graph */
    kiln_tensor **out; /* the results of the running call */
    int64_t differ;
    double largest;
} Comparison;

static bool run_once(Comparison *c, int which, kiln_tensor **out)
{
    return which ? instance_run(c->t, c->at, c->f, c->inst, c->in, out) : function_inline(c->t, c->at, c->f, c->in, c->nin, out);
}

/* One call from the kept state: its results and the state it leaves are owned by the side. */
static bool observe(Comparison *c, int which)
{
    Side *s = &c->side[which];
    Thread *t = c->t;
    kiln_scope scope = kiln_scope_open(t->k);
    snapshot_restore(&c->start);
    uint64_t kernels = t->kernels_run, bytes = t->bytes_run;
    int64_t live = t->live_bytes;
    t->peak_bytes = live;
    bool ok = run_once(c, which, c->out);
    s->peak = which ? c->code->program->workspace : t->peak_bytes - live;
    s->kernels = which ? c->code->program->launches : (double)(t->kernels_run - kernels);
    s->bytes = which ? (double)c->code->program->moved : (double)(t->bytes_run - bytes);
    for (int i = 0; ok && i < function_outputs(c->f); i++) s->out[i] = kiln_own(c->out[i]);
    for (uint32_t i = 0; ok && i < c->start.n; i++) s->state[i] = kiln_own(c->start.variable[i]->value);
    kiln_scope_close(&scope);
    return ok;
}

static void judge(Comparison *c)
{
    kiln_scope scope = kiln_scope_open(c->t->k);
    for (int i = 0; i < function_outputs(c->f); i++)
        c->differ += tensors_differ(c->t, c->at, c->side[0].out[i], c->side[1].out[i], &c->largest);
    for (uint32_t i = 0; i < c->start.n; i++)
        c->differ += tensors_differ(c->t, c->at, c->side[0].state[i], c->side[1].state[i], &c->largest);
    kiln_scope_close(&scope);
}

/* With scratch that the caller gives back. */
static bool make_sides(Comparison *c)
{
    const size_t nout = (size_t)function_outputs(c->f), n = 2 * ((size_t)c->start.n + nout);
    kiln_tensor **slot = SCRATCH(c->t, c->at, kiln_tensor *, n);
    c->out = SCRATCH(c->t, c->at, kiln_tensor *, nout);
    if (!slot || !c->out) return false;
    memset(slot, 0, n * sizeof *slot);
    for (int which = 0; which < 2; which++, slot += nout + c->start.n) {
        c->side[which].out = slot;
        c->side[which].state = slot + nout;
    }
    return true;
}

static void release_sides(Comparison *c)
{
    for (int which = 0; which < 2; which++) {
        const Side *s = &c->side[which];
        for (int i = 0; s->out && i < function_outputs(c->f); i++) kiln_release(s->out[i]);
        for (uint32_t i = 0; s->state && i < c->start.n; i++) kiln_release(s->state[i]);
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

#define ROUNDS 7
/* Both sides interleaved, so that a noisy machine disturbs both alike. */
static void measure(Comparison *c, double seconds)
{
    double round[2][ROUNDS];
    int64_t calls[2] = {1, 1};
    for (int r = -1; r < ROUNDS; r++) /* round -1 finds how many calls fill a share of the time */
        for (int which = 0; which < 2; which++) {
            double start = clock_seconds(), spent;
            int64_t n = 0;
            do {
                kiln_scope scope = kiln_scope_open(c->t->k);
                run_once(c, which, c->out);
                kiln_scope_close(&scope);
                spent = clock_seconds() - start;
                n++;
            } while (r < 0 ? spent < seconds / ROUNDS / 2 : n < calls[which]);
            calls[which] = r < 0 ? n : calls[which];
            if (r >= 0) round[which][r] = spent / (double)n;
        }
    for (int which = 0; which < 2; which++) {
        qsort(round[which], ROUNDS, sizeof(double), by_value);
        c->side[which].seconds = round[which][ROUNDS / 2];
    }
    snapshot_restore(&c->start);
}

/* ---- the table -------------------------------------------------------------------------------------------------------- */
static void print_table(FILE *to, const Comparison *c)
{
    char title[256], a[32], b[32];
    int at = snprintf(title, sizeof title, "%s ", c->f->name);
    for (int i = 0; i < c->nin && at < (int)sizeof title - 32; i++) {
        char type[96];
        at += snprintf(title + at, sizeof title - (size_t)at, " %s", tensor_text(c->in[i], type, sizeof type));
    }
    const Side *e = &c->side[0], *g = &c->side[1];
    fprintf(to, "%-34s %12s %12s %9s\n", title, "eager", "graph", "speed-up");
    fprintf(to, "%-34s %12s %12s %8.1fx\n", "time per call", time_text(e->seconds, a, sizeof a), time_text(g->seconds, b, sizeof b),
        e->seconds / g->seconds);
    fprintf(to, "%-34s %12.0f %12.0f\n", "kernels run", e->kernels, g->kernels);
    fprintf(to, "%-34s %12s %12s\n", "bytes moved", bytes_text(e->bytes, a, sizeof a), bytes_text(g->bytes, b, sizeof b));
    fprintf(to, "%-34s %12s %12s\n", "peak temporary memory", bytes_text((double)e->peak, a, sizeof a),
        bytes_text((double)g->peak, b, sizeof b));
    fprintf(to, "%-34s %12s %12s\n", "first call (trace + compile)", "",
        time_text(c->inst->traced.seconds + c->code->seconds, b, sizeof b));
    if (c->differ)
        fprintf(to, "%-34s %g (%" PRId64 " elements differ; kiln_check says where)\n", "largest difference", c->largest, c->differ);
    else
        fprintf(to, "%-34s none: equal bit for bit\n", "largest difference");
}

static void print_json(FILE *to, const Comparison *c)
{
    const Side *e = &c->side[0], *g = &c->side[1];
    Text name = {0};
    text_json(&name, c->f->name);
    fprintf(to,
        "{\"function\": %s, \"eager_seconds\": %.9g, \"graph_seconds\": %.9g, \"speed_up\": "
        "%.4g, \"eager_kernels\": %.0f, \"graph_kernels\": %.0f, "
        "\"eager_bytes\": %.0f, \"graph_bytes\": %.0f, \"eager_peak_bytes\": %" PRId64 ", \"graph_peak_bytes\": %" PRId64
        ", \"first_call_seconds\": %.6g, \"elements_that_differ\": %" PRId64 "}\n",
        name.failed ? "null" : name.at, e->seconds, g->seconds, e->seconds / g->seconds, e->kernels, g->kernels, e->bytes, g->bytes,
        e->peak, g->peak, c->inst->traced.seconds + c->code->seconds, c->differ);
    text_free(&name);
}

bool kiln_compare_sized(
    kiln_site at, FILE *to, kiln_function *f, kiln_tensor *const *in, int nin, const kiln_compare_options *options, size_t size)
{
    Thread *t = f ? thread_of(f->k) : thread_last();
    kiln_compare_options o = {0};
    if (options) memcpy(&o, options, MIN_OF(size, sizeof o));
    if (!f || !t || t->trace) {
        fail(t, at, KILN_ESTATE, "compare: %s", f ? "called inside a trace" : "the function is NULL");
        return false;
    }
    if (!function_alive(t, at, f)) return false;
    if (!to) {
        fail(t, at, KILN_EVALUE, "compare: the file is NULL");
        return false;
    }
    if (!(o.seconds >= 0) || isinf(o.seconds)) {
        fail(t, at, KILN_EVALUE, "compare: seconds is %g; it must be a finite number, 0 or more", o.seconds);
        return false;
    }
    for (int i = 0; i < nin; i++)
        if (!in || !in[i] || (!tensor_ok(in[i]) && in[i]->state != TENSOR_STATIC)) {
            fail(t, at, KILN_ESTATE, "compare: argument %d is NULL, closed or failed", i);
            return false;
        }
    Comparison *c = mem_zeros(1, sizeof *c);
    if (!c) {
        fail(t, at, KILN_EMEMORY, "compare: no memory");
        return false;
    }
    *c = (Comparison){.t = t, .at = at, .f = f, .in = in, .nin = nin};
    ScratchMark mark = scratch_mark(&t->scratch);
    bool entered = call_enter(t, at, f);
    bool ok = entered && (c->inst = function_instance(t, at, f, in, nin));
    ok = ok && (c->code = instance_compiled(t, at, f, c->inst));
    if (ok && !(ok = snapshot_take(&c->start, c->inst))) fail(t, at, KILN_EMEMORY, "compare: no memory");
    ok = ok && make_sides(c) && observe(c, 0) && observe(c, 1);
    if (ok) {
        judge(c);
        snapshot_restore(&c->start);
        measure(c, o.seconds > 0 ? o.seconds : 0.2);
        locale_t before = plain_numbers_begin();
        (o.json ? print_json : print_table)(to, c);
        plain_numbers_end(before);
    }
    release_sides(c);
    snapshot_restore(&c->start);
    snapshot_free(&c->start);
    scratch_reset(&t->scratch, mark);
    if (entered) call_leave(t);
    ok = ok && !c->differ;
    mem_free(c, sizeof *c);
    return ok;
}
