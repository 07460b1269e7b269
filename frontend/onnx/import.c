/* import: a model as a function: its graph runs as the function's body. Relies on import.h. */
#include "import.h"

#include "../trace/trace.h"

#include <sys/mman.h>

static kiln_tensor *fixed_input(Thread *t, const kiln_tensor *given)
{
    const char *text = kiln_static_text_at((kiln_site){0}, given);
    kiln_eagerly now = kiln_eagerly_open(t->k);
    kiln_tensor *x = kiln_keep(known_tensor(t, (kiln_site){0}, text));
    kiln_eagerly_close(&now);
    return x;
}

typedef struct Whole { /* a model that runs */
    Run run;
    const ModelRun *with;
    int nin, nout; /* tensors that were taken and given so far */
} Whole;

static Held next_input(Whole *w, uint32_t i)
{
    const kiln_onnx *m = w->run.m;
    const int j = w->nin++;
    const bool fixed = w->with->given ? !!w->with->given[j] : m->fixed[i];
    kiln_tensor *x = !fixed ? w->with->in[j] : w->with->given ? w->with->given[j] : fixed_input(w->run.t, w->with->in[j]);
    const bool open = m->fixed[i] || m->value[i].rank < 0 || !m->value[i].dtype, unseen = w->run.survey && !fixed && open;
    return (Held){.t = x, .constant = fixed, .unseen = unseen, .narrow = m->plan->narrow[i]};
}

static Held whole_input(Whole *w, uint32_t i)
{
    const kiln_onnx_kind kind = w->run.m->value[i].kind;
    const int n = w->with->count ? w->with->count[i] : 1;
    if (n < 0) return (Held){.nothing = true};
    if (w->run.survey && kind != KILN_ONNX_TENSOR) return w->nin++, (Held){.unseen = true};
    if (kind == KILN_ONNX_TENSOR || kind == KILN_ONNX_OPTIONAL) return next_input(w, i);
    Held *at = ARENA_ARRAY(w->run.arena, Held, n + 1);
    for (int j = 0; j < n; j++) at[j] = next_input(w, i);
    const Many many = {(uint32_t)n, at};
    return (Held){.many = arena_copy(w->run.arena, &many, sizeof many)};
}

/* False: recorded. */
static bool give_tensor(Whole *w, const Env *e, uint32_t i, Held *h)
{
    if (w->nout == w->with->most) {
        fail(w->run.t, (kiln_site){0}, KILN_EUNSUPPORTED, "onnx: output %u, '%s': its list makes all outputs more than %d tensors",
            i, w->run.m->value[w->run.m->inputs + i].name, w->with->most);
        return false;
    }
    kiln_tensor *x = env_tensor(&w->run, e, i, h);
    w->with->out[w->nout++] = x;
    return tensor_ok(x);
}

static bool give_output(Whole *w, const Env *e, uint32_t i)
{
    const kiln_onnx *m = w->run.m;
    const kiln_onnx_value *v = &m->value[m->inputs + i];
    const bool optional = v->kind == KILN_ONNX_OPTIONAL || v->kind == KILN_ONNX_OPTIONAL_SEQUENCE;
    Held *h = &e->value[e->plan->output[i]];
    if (!w->with->counts) return give_tensor(w, e, i, h);
    if (v->kind == KILN_ONNX_TENSOR || (v->kind == KILN_ONNX_OPTIONAL && !h->nothing)) {
        w->with->counts[i] = 1;
        return give_tensor(w, e, i, h);
    }
    if (optional && h->nothing) {
        w->with->counts[i] = KILN_ONNX_NONE;
        return true;
    }
    if (!h->many) {
        fail(w->run.t, (kiln_site){0}, KILN_EVALUE, "onnx: output %u, '%s', is to be %s, but it is %s", i, v->name,
            kind_name(v->kind), h->nothing ? "an empty optional" : "a tensor");
        return false;
    }
    w->with->counts[i] = h->many->n;
    for (uint32_t j = 0; j < h->many->n; j++) {
        Held element = h->many->at[j];
        if (!give_tensor(w, e, i, &element)) return false;
    }
    return true;
}

static void run_all(void *arg)
{
    Whole *w = arg;
    const kiln_onnx *m = w->run.m;
    const Plan *p = m->plan;
    const Env e = env_of(&w->run, p);
    for (uint32_t i = 0; i < m->inputs; i++) e.value[p->input[i]] = whole_input(w, i);
    if (kiln_failed(w->run.t->k) || !env_run(&w->run, &e)) return;
    if (w->run.t->trace) trace_label(w->run.t, (kiln_site){0}, NULL);
    for (uint32_t i = 0; i < p->outputs && !w->run.survey; i++)
        if (!give_output(w, &e, i)) return;
}

void onnx_run(Thread *t, kiln_onnx *m, const ModelRun *run)
{
    Arena arena;
    uint64_t written = 0;
    Whole w = {.run = {t, m, &arena, &written, run->survey}, .with = run};
    Status st = {0};
    const char *outer = t->called;
    const uint32_t scopes = t->scopes;
    arena_init(&arena);
    if (!arena_try(&arena, &st, run_all, &w)) {
        t->called = outer;
        while (t->scopes > scopes) scope_pop(t);
        fail(t, (kiln_site){0}, (kiln_code)st.code, "onnx: %s", st.text);
    }
    arena_free(&arena);
}

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_onnx *m = user;
    Thread *t = thread_of(k);
    if (t) onnx_run(t, m, &(ModelRun){.in = in, .out = out, .most = (int)m->plan->outputs});
}

/* ---- planned and ready -------------------------------------------------------------------------------- */

typedef struct Planning {
    kiln_onnx *m;
    Status *st;
    bool ok;
} Planning;

static void plan(void *arg)
{
    Planning *p = arg;
    p->ok = plan_model(p->m, p->st);
}

/* Initialisers are tensors of the model's own, so that code for several sizes shares them. */
static bool take_weights(Thread *t, kiln_site at, kiln_onnx *m, bool whole)
{
    kiln_eagerly now = kiln_eagerly_open(t->k);
    bool ok = true;
    m->weights = m->initializers;
    for (const Plan *p = m->plans; ok && p; p = p->next)
        for (uint32_t i = 0; ok && i < p->initializers; i++) {
            if (m->weight[p->weight + i]) continue;
            const OnnxDType *d = onnx_dtype(p->value[i]->type);
            if (!whole && d->dtype == DT_NONE) continue;
            kiln_tensor *x = tensor_value(t, at, m, p->value[i]);
            ok = tensor_ok(x);
            if (ok) m->weight[p->weight + i] = kiln_own(x);
        }
    kiln_eagerly_close(&now);
    return ok;
}

static bool ready(Thread *t, kiln_site at, kiln_onnx *m, bool whole)
{
    Status st = {0};
    Planning p = {m, &st, m->plan};
    const bool planned = m->plan || (arena_try(&m->arena, &st, plan, &p) && p.ok);
    arena_free(&m->scratch);
    if (!planned || (whole && !plan_whole(m, &st))) {
        fail(t, at, (kiln_code)st.code, "onnx: %s: %s", m->path ? m->path : "a model in memory", st.text);
        return false;
    }
    const size_t bytes = (m->initializers + 1) * sizeof *m->weight;
    if (!m->weight && !(m->weight = mem_zeros(1, bytes))) {
        fail(t, at, KILN_EMEMORY, "onnx: no memory for %zu bytes", bytes);
        return false;
    }
    return take_weights(t, at, m, whole);
}

bool onnx_ready(Thread *t, kiln_site at, kiln_onnx *m) { return ready(t, at, m, true); }
bool onnx_half_ready(Thread *t, kiln_site at, kiln_onnx *m) { return ready(t, at, m, false); }

const char *kind_name(kiln_onnx_kind kind)
{
    static const char *const name[] = {"a tensor", "a sequence", "an optional", "an optional sequence", "a value of another kind"};
    return name[kind];
}

bool onnx_takes(Thread *t, kiln_site at, const kiln_onnx *m, bool lists)
{
    for (uint32_t i = 0; i < m->inputs + m->plan->outputs; i++) {
        const kiln_onnx_value *v = &m->value[i];
        const uint32_t number = i < m->inputs ? i : i - m->inputs;
        if (v->kind == KILN_ONNX_TENSOR || (lists && v->kind != KILN_ONNX_OTHER)) continue;
        fail(t, at, KILN_EUNSUPPORTED, "onnx: %s: %s %u, '%s', is %s: %s", m->path ? m->path : "a model in memory",
            i < m->inputs ? "input" : "output", number, v->name, kind_name(v->kind),
            v->kind == KILN_ONNX_OTHER ? "Kiln has tensors, sequences of them, and optionals of either"
                                       : "kiln_onnx_call_lists calls the model, kiln_onnx_declared makes a function of it");
        return false;
    }
    return true;
}

static kiln_function *make_function(Thread *t, kiln_site at, kiln_onnx *m)
{
    if (!onnx_to_call(t, at, m) || !onnx_takes(t, at, m, false)) return NULL;
    const uint32_t outputs = m->plan->outputs;
    return kiln_function_new_sized(m->loaded, m->o.k, body, m,
        &(kiln_function_options){
            .name = "onnx", .inputs_count = (int)m->inputs, .outputs = outputs ? (int)outputs : KILN_NO_OUTPUTS},
        sizeof(kiln_function_options));
}

kiln_function *kiln_onnx_function_at(kiln_site at, kiln_onnx *m)
{
    Thread *t = m ? thread_of(m->o.k) : NULL;
    if (!t) return NULL;
    pthread_mutex_lock(&m->lock); /* any thread may be the first */
    if (!m->function) m->function = make_function(t, at, m);
    kiln_function *f = m->function;
    pthread_mutex_unlock(&m->lock);
    return f;
}

/* ---- calls -------------------------------------------------------------------------------------------- */

/* The first calls read all weights, most of them to keep them in another order; what is read of the file again comes again. */
void onnx_called(kiln_onnx *m)
{
    if (m->mapped && atomic_fetch_add_explicit(&m->calls, 1, memory_order_relaxed) < 3) madvise(m->mapped, m->size, MADV_DONTNEED);
}

bool given_open(Thread *t, kiln_site at, int most, Given *g)
{
    const size_t n = (size_t)MAX_OF(most, 0) + 1;
    *g = (Given){.at = thread_scratch(t, at, n, sizeof *g->at),
        .text = thread_scratch(t, at, n, sizeof *g->text),
        .bytes = thread_scratch(t, at, n, sizeof *g->bytes)};
    return g->at && g->text && g->bytes;
}

bool given_add(Thread *t, kiln_site at, Given *g, kiln_operand x, bool known)
{
    const int i = g->n;
    g->at[i] = x;
    g->text[i] = NULL;
    if (known && !(g->text[i] = known_text(t, at, x, &g->bytes[i]))) return false;
    if (known) g->at[i] = (kiln_operand){.as = {.text = g->text[i]}, .kind = 9};
    g->n++;
    return true;
}

void given_close(Given *g)
{
    for (int i = 0; i < g->n; i++)
        if (g->text[i]) mem_free(g->text[i], g->bytes[i]);
}

bool kiln_onnx_call_at(kiln_site at, kiln_onnx *m, kiln_operands in, kiln_tensor **out, int nout)
{
    kiln_function *f = kiln_onnx_function_at(at, m);
    Thread *t = f ? thread_of(m->o.k) : NULL;
    OperandArray a;
    Given given;
    if (!t) return results_poison(NULL, out, nout);
    if (!operand_array_open(t, at, "onnx", in, &a)) return results_poison(t, out, nout);
    const ScratchMark mark = scratch_mark(&t->scratch);
    bool ok = given_open(t, at, in.count, &given);
    for (int i = 0; ok && i < in.count; i++) ok = given_add(t, at, &given, a.at[i], (uint32_t)i < m->inputs && m->fixed[i]);
    ok = ok ? kiln_call_all_at(at, f, given.at, in.count, out, nout) : results_poison(t, out, nout);
    onnx_called(m);
    given_close(&given);
    scratch_reset(&t->scratch, mark);
    operand_array_close(&a, in);
    return ok;
}

void onnx_forget(kiln_onnx *m)
{
    if (m->function) kiln_function_free(m->function);
    onnx_forget_declared(m);
    onnx_forget_listed(m);
    onnx_forget_variables(m);
    onnx_forget_folds(m);
    generators_free(m);
    for (uint32_t i = 0; i < m->weights; i++)
        if (m->weight[i]) kiln_release(m->weight[i]);
    if (m->weight) mem_free(m->weight, (m->initializers + 1) * sizeof *m->weight);
}
