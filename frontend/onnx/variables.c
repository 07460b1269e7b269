/* variables: a model's weights as variables, so that it can be trained. Relies on import.h. */
#include "import.h"

#include <stdio.h>

/* Floats from which no size follows, of which Kiln has the dtype in full. */
static bool trains(const kiln_onnx *m, const Plan *p, uint32_t i)
{
    const kiln_tensor *x = m->weight[p->weight + i];
    return dtype_is_float((DType)x->type.dtype) && !p->known[p->initializer[i]] &&
           narrow_bits(p->graph->initializer.at[i].type) == 0;
}

static bool make(Thread *t, kiln_site at, kiln_onnx *m)
{
    const size_t bytes = (m->initializers + 1) * sizeof *m->variable;
    if (!(m->variable = mem_zeros(1, bytes))) {
        fail(t, at, KILN_EMEMORY, "onnx: no memory for %zu bytes", bytes);
        return false;
    }
    kiln_eagerly now = kiln_eagerly_open(t->k);
    bool ok = true;
    for (const Plan *p = m->plans; ok && p; p = p->next)
        for (uint32_t i = 0; ok && i < p->initializers; i++) {
            if (!trains(m, p, i)) continue;
            const Bytes n = p->graph->initializer.at[i].name;
            char name[256];
            snprintf(name, sizeof name, "%.*s", (int)MIN_OF(n.n, sizeof name - 1), (const char *)n.at);
            m->variable[p->weight + i] = kiln_variable_new_at(at, t->k, name, of(m->weight[p->weight + i]));
            ok = !!m->variable[p->weight + i];
        }
    kiln_eagerly_close(&now);
    return ok;
}

int kiln_onnx_variables_at(kiln_site at, kiln_onnx *m, kiln_variable **v, int cap)
{
    Thread *t = m ? thread_of(m->o.k) : NULL;
    int n = 0;
    if (!t) return -1;
    pthread_mutex_lock(&m->lock);
    bool ok = true;
    if (!m->variable && (m->function || m->declared)) {
        fail(t, at, KILN_ESTATE, "onnx: the model has a function already; ask for its variables before");
        ok = false;
    }
    ok = ok && onnx_ready(t, at, m) && (m->variable || make(t, at, m));
    pthread_mutex_unlock(&m->lock);
    for (uint32_t i = 0; ok && i < m->initializers; i++) {
        if (!m->variable[i]) continue;
        if (v && n < cap) v[n] = m->variable[i];
        n++;
    }
    return ok ? n : -1;
}

void onnx_forget_variables(kiln_onnx *m)
{
    for (uint32_t i = 0; m->variable && i < m->initializers; i++)
        if (m->variable[i]) kiln_variable_free(m->variable[i]);
    if (m->variable) mem_free(m->variable, (m->initializers + 1) * sizeof *m->variable);
}
