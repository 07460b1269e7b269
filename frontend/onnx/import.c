/* import: a model as a function: its graph runs as the function's body. Relies on import.h. */
#include "import.h"

#include <sys/mman.h>

typedef struct ModelRun {
    Run run;
    kiln_tensor *const *in;
    kiln_tensor **out;
    kiln_tensor *const *given; /* values of fixed inputs, which `in` has as tensors, too; NULL: they are static arguments */
} ModelRun;

static kiln_tensor *fixed_input(Thread *t, const kiln_tensor *given)
{
    const char *text = kiln_static_text_at(KILN_HERE, given);
    kiln_eagerly now = kiln_eagerly_open(t->k);
    kiln_tensor *x = kiln_keep(known_tensor(t, KILN_HERE, text));
    kiln_eagerly_close(&now);
    return x;
}

static void run_all(void *arg)
{
    ModelRun *r = arg;
    const kiln_onnx *m = r->run.m;
    const Plan *p = m->plan;
    const Env e = env_of(&r->run, p);
    for (uint32_t i = 0; i < m->inputs; i++) {
        const bool fixed = r->given ? !!r->given[i] : m->fixed[i];
        const bool unseen =
            r->run.survey && r->given && !r->given[i] && (m->fixed[i] || m->value[i].rank < 0 || !m->value[i].dtype);
        kiln_tensor *x = !fixed ? r->in[i] : r->given ? r->given[i] : fixed_input(r->run.t, r->in[i]);
        e.value[p->input[i]] = (Held){.t = x, .constant = fixed, .unseen = unseen, .narrow = p->narrow[i]};
    }
    if (kiln_failed(r->run.t->k) || !env_run(&r->run, &e)) return;
    for (uint32_t i = 0; i < p->outputs && !r->run.survey; i++) r->out[i] = env_output(&r->run, &e, i);
}

void onnx_run_with(
    Thread *t, kiln_onnx *m, kiln_tensor *const *in, kiln_tensor *const *given, kiln_tensor **out, struct Survey *survey)
{
    Arena arena;
    uint64_t written = 0;
    ModelRun r = {{t, m, &arena, &written, survey}, in, out, given};
    Status st = {0};
    const char *outer = r.run.t->called;
    arena_init(&arena);
    if (!arena_try(&arena, &st, run_all, &r)) {
        r.run.t->called = outer;
        fail(r.run.t, KILN_HERE, (kiln_code)st.code, "onnx: %s", st.text);
    }
    arena_free(&arena);
}

void onnx_run(Thread *t, kiln_onnx *m, kiln_tensor *const *in, kiln_tensor *const *given, kiln_tensor **out)
{
    onnx_run_with(t, m, in, given, out, NULL);
}

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Thread *t = thread_of(k);
    if (t) onnx_run(t, user, in, NULL, out);
}

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
            const OnnxDType *d = onnx_dtype(p->graph->initializer.at[i].type);
            if (!whole && d->dtype == DT_NONE) continue;
            kiln_tensor *x = tensor_value(t, at, m, &p->graph->initializer.at[i]);
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
    if ((!m->plan && (!arena_try(&m->arena, &st, plan, &p) || !p.ok)) || (whole && !plan_whole(m, &st))) {
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

static kiln_function *make_function(Thread *t, kiln_site at, kiln_onnx *m)
{
    if (!onnx_ready(t, at, m)) return NULL;
    const uint32_t outputs = m->plan->outputs;
    return kiln_function_new_sized(at, m->o.k, body, m,
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

/* The first calls read all weights, most of them to keep them in another order; what is read of the file again comes again. */
static void let_pages_go(kiln_onnx *m)
{
    if (m->mapped && atomic_fetch_add_explicit(&m->calls, 1, memory_order_relaxed) < 3) madvise(m->mapped, m->size, MADV_DONTNEED);
}

bool kiln_onnx_call_at(kiln_site at, kiln_onnx *m, kiln_operands in, kiln_tensor **out, int nout)
{
    kiln_function *f = kiln_onnx_function_at(at, m);
    Thread *t = f ? thread_of(m->o.k) : NULL;
    OperandArray a;
    if (!t) return results_poison(NULL, out, nout);
    if (!operand_array_open(t, at, "onnx", in, &a)) return results_poison(t, out, nout);
    const ScratchMark mark = scratch_mark(&t->scratch);
    kiln_operand *given = thread_scratch(t, at, (size_t)in.count + 1, sizeof *given);
    char **text = thread_scratch(t, at, (size_t)in.count + 1, sizeof *text);
    size_t *bytes = thread_scratch(t, at, (size_t)in.count + 1, sizeof *bytes);
    bool ok = given && text && bytes;
    for (int i = 0; ok && i < in.count; i++) {
        given[i] = a.at[i], text[i] = NULL;
        if ((uint32_t)i >= m->inputs || !m->fixed[i]) continue;
        text[i] = known_text(t, at, a.at[i], &bytes[i]);
        given[i] = (kiln_operand){.as = {.text = text[i]}, .kind = 9};
        if (!text[i]) in.count = i, ok = false;
    }
    ok = ok ? kiln_call_all_at(at, f, given, in.count, out, nout) : results_poison(t, out, nout);
    let_pages_go(m);
    for (int i = 0; text && i < in.count; i++)
        if (text[i]) mem_free(text[i], bytes[i]);
    scratch_reset(&t->scratch, mark);
    operand_array_close(&a, in);
    return ok;
}

void onnx_forget(kiln_onnx *m)
{
    if (m->function) kiln_function_free(m->function);
    onnx_forget_declared(m);
    onnx_forget_variables(m);
    generators_free(m);
    for (uint32_t i = 0; i < m->weights; i++)
        if (m->weight[i]) kiln_release(m->weight[i]);
    if (m->weight) mem_free(m->weight, (m->initializers + 1) * sizeof *m->weight);
}
