/* call_lists: calls of models some of whose inputs or outputs are sequences or optionals. How many tensors each input list has is
 * part of what is traced: each choice of these numbers has a function of its own, of as many inputs as there are tensors in all.
 * How many the output lists have is found while it is traced. Relies on import.h. */
#include "../function/told.h"
#include "import.h"

/* In memory of its own, which goes with the model. */
typedef struct Listed {
    kiln_onnx *m;
    kiln_function *f;
    struct Listed *next;
    int tensors; /* in all */
    int count[]; /* per input */
} Listed;

static size_t listed_bytes(const kiln_onnx *m) { return sizeof(Listed) + ((size_t)m->inputs + 1) * sizeof(int); }

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Listed *l = user;
    Thread *t = thread_of(k);
    if (!t) return;
    const ScratchMark mark = scratch_mark(&t->scratch);
    const BodyTold *told = told_by(t, l->f);
    int64_t *counts = told ? told->at : thread_scratch(t, (kiln_site){0}, l->m->plan->outputs + 1, sizeof *counts);
    if (counts) onnx_run(t, l->m, &(ModelRun){.in = in, .count = l->count, .out = out, .most = MOST_TENSORS, .counts = counts});
    scratch_reset(&t->scratch, mark);
}

/* ---- the function ------------------------------------------------------------------------------------- */

static bool list_fits(Thread *t, kiln_site at, const kiln_onnx *m, uint32_t i, const kiln_onnx_list *in, int *all)
{
    const kiln_onnx_value *v = &m->value[i];
    const bool none = v->kind == KILN_ONNX_OPTIONAL || v->kind == KILN_ONNX_OPTIONAL_SEQUENCE,
               one = v->kind == KILN_ONNX_TENSOR || v->kind == KILN_ONNX_OPTIONAL;
    if (in->count < KILN_ONNX_NONE || (in->count == KILN_ONNX_NONE ? !none : one && in->count != 1))
        fail(t, at, KILN_EVALUE, "onnx: input %u, '%s', is %s: no list of %d tensors%s", i, v->name, kind_name(v->kind), in->count,
            in->count == KILN_ONNX_NONE ? " (KILN_ONNX_NONE)" : "");
    else if (in->count > MOST_TENSORS - *all)
        fail(t, at, KILN_EVALUE, "onnx: with input %u, '%s', of %d tensors there are more than %d", i, v->name, in->count,
            MOST_TENSORS);
    else if (in->count > 0 && !in->at)
        fail(t, at, KILN_EVALUE, "onnx: input %u, '%s', is a list of %d tensors, but its array is NULL", i, v->name, in->count);
    else {
        *all += MAX_OF(in->count, 0);
        return true;
    }
    return false;
}

static Listed *listed_new(Thread *t, kiln_site at, kiln_onnx *m, const kiln_onnx_list *in, int tensors)
{
    Listed *l = mem_zeros(1, listed_bytes(m));
    if (!l) {
        fail(t, at, KILN_EMEMORY, "onnx: no memory for a function of %d tensors", tensors);
        return NULL;
    }
    l->m = m;
    l->tensors = tensors;
    for (uint32_t i = 0; i < m->inputs; i++) l->count[i] = in[i].count;
    l->f = kiln_function_new_sized(m->loaded, m->o.k, body, l,
        &(kiln_function_options){.name = "onnx", .inputs_count = tensors, .outputs = MOST_TENSORS}, sizeof(kiln_function_options));
    if (!l->f) {
        mem_free(l, listed_bytes(m));
        return NULL;
    }
    function_open(l->f);
    l->next = m->listed;
    return m->listed = l;
}

/* Under m->lock. NULL: recorded. */
static Listed *listed_of(Thread *t, kiln_site at, kiln_onnx *m, const kiln_onnx_list *in, int nin)
{
    int tensors = 0;
    if (!onnx_to_call(t, at, m) || !onnx_takes(t, at, m, true)) return NULL;
    if (nin < 0 || (uint32_t)nin != m->inputs || (nin > 0 && !in)) {
        fail(t, at, KILN_EVALUE, "onnx: called with %d inputs, but the model has %u", nin, m->inputs);
        return NULL;
    }
    for (uint32_t i = 0; i < m->inputs; i++)
        if (!list_fits(t, at, m, i, &in[i], &tensors)) return NULL;
    for (Listed *l = m->listed; l; l = l->next) {
        uint32_t same = 0;
        while (same < m->inputs && l->count[same] == in[same].count) same++;
        if (same == m->inputs) return l;
    }
    return listed_new(t, at, m, in, tensors);
}

void onnx_forget_listed(kiln_onnx *m)
{
    for (Listed *l = m->listed, *next; l; l = next) {
        next = l->next;
        kiln_function_free(l->f);
        mem_free(l, listed_bytes(m));
    }
}

/* ---- a call ------------------------------------------------------------------------------------------- */

static void give_lists(kiln_tensor *const *flat, const int64_t *counts, kiln_onnx_list *out, int nout)
{
    for (int i = 0; i < nout; i++) {
        out[i].count = (int)counts[i];
        for (int j = 0; j < out[i].count; j++)
            if (j < out[i].cap) out[i].at[j] = flat[j];
        flat += MAX_OF(out[i].count, 0);
    }
}

/* With scratch that the caller gives back. */
static bool call_listed(Thread *t, kiln_site at, const Listed *l, const kiln_onnx_list *in, kiln_onnx_list *out, int nout)
{
    const kiln_onnx *m = l->m;
    BodyTold told = {l->f, thread_scratch(t, at, m->plan->outputs + 1, sizeof(int64_t)), m->plan->outputs};
    kiln_tensor **flat = thread_scratch(t, at, MOST_TENSORS, sizeof(kiln_tensor *));
    Given given;
    bool ok = told.at && flat && given_open(t, at, l->tensors, &given);
    if (!ok) return false;
    for (uint32_t i = 0; ok && i < m->inputs; i++)
        for (int j = 0; ok && j < in[i].count; j++) ok = given_add(t, at, &given, of(in[i].at[j]), m->fixed[i]);
    if (ok) ok = function_call_told(t, at, l->f, given.at, given.n, flat, MOST_TENSORS, &told);
    if (ok) give_lists(flat, told.at, out, nout);
    given_close(&given);
    return ok;
}

bool kiln_onnx_call_lists_at(kiln_site at, kiln_onnx *m, const kiln_onnx_list *in, int nin, kiln_onnx_list *out, int nout)
{
    Thread *t = m ? thread_of(m->o.k) : NULL;
    bool rooms = nout == 0 || out;
    for (int i = 0; out && i < nout; i++) out[i].count = 0, rooms &= out[i].cap == 0 || (out[i].cap > 0 && out[i].at);
    if (!t) return false;
    pthread_mutex_lock(&m->lock);
    const Listed *l = listed_of(t, at, m, in, nin);
    pthread_mutex_unlock(&m->lock);
    if (!l) return false;
    if (nout < 0 || (uint32_t)nout > m->plan->outputs || !rooms) {
        fail(t, at, KILN_EVALUE, "onnx: %d outputs asked for, of %u that the model has, or a list of them has no array", nout,
            m->plan->outputs);
        return false;
    }
    const ScratchMark mark = scratch_mark(&t->scratch);
    const bool ok = call_listed(t, at, l, in, out, nout);
    scratch_reset(&t->scratch, mark);
    onnx_called(m);
    return ok;
}
