/* variables: a model's weights as variables, so that it can be trained. Relies on import.h. */
#include "import.h"

#include <stdio.h>

/* ---- what an initialiser is for ---------------------------------------------------------------------- */

static bool is(const PlanNode *n, const char *op) { return n->op && strcmp(n->op->name, op) == 0; }

/* Bounds and the two values of OneHot are numbers that some exporters keep beside the weights; running statistics follow from what
 * was seen, not from a loss. */
static Use use_of(const PlanNode *n, uint32_t input)
{
    if ((is(n, "Clip") && input > 0) || (is(n, "OneHot") && input == 2)) return USE_NUMBER;
    if (is(n, "BatchNormalization") && input > 2) return USE_STATISTIC;
    return USE_WEIGHT;
}

static void used(const Plan *p, uint32_t name, Use use)
{
    if (name != UINT32_MAX) p->use[name] |= (uint8_t)use;
}

static bool find_uses(kiln_onnx *m, Plan *p)
{
    if (!(p->use = arena_zeros(&m->arena, p->names + 1, sizeof *p->use))) return false;
    for (uint32_t i = 0; i < p->nodes; i++) {
        const PlanNode *n = &p->node[i];
        for (uint32_t j = 0; j < n->node->input.n; j++) used(p, n->in[j], use_of(n, j));
        for (uint32_t j = 0; n->inner && j < n->node->attribute.n; j++)
            for (uint32_t k = 0; n->inner[j] && k < n->inner[j]->takes; k++) used(p, n->inner[j]->from[k], USE_WEIGHT);
    }
    for (uint32_t i = 0; i < p->outputs; i++) used(p, p->output[i], USE_WEIGHT);
    return true;
}

/* ---- variables --------------------------------------------------------------------------------------- */

/* Floats from which no size follows, of which Kiln has the dtype in full. */
static bool trains(const kiln_onnx *m, const Plan *p, uint32_t i)
{
    const kiln_tensor *x = m->weight[p->weight + i];
    return dtype_is_float((DType)x->type.dtype) && !p->known[p->initializer[i]] && p->use[p->initializer[i]] != USE_NUMBER &&
           narrow_bits(p->value[i]->type) == 0;
}

static bool make(Thread *t, kiln_site at, kiln_onnx *m)
{
    const size_t bytes = (m->initializers + 1) * sizeof *m->variable;
    if (!(m->variable = mem_zeros(1, bytes))) {
        fail(t, at, KILN_EMEMORY, "onnx: no memory for %zu bytes", bytes);
        return false;
    }
    bool ok = true;
    for (Plan *p = m->plans; ok && p; p = p->next) ok = find_uses(m, p);
    if (!ok) fail(t, at, KILN_EMEMORY, "onnx: no memory");
    kiln_eagerly now = kiln_eagerly_open(t->k);
    for (const Plan *p = m->plans; ok && p; p = p->next)
        for (uint32_t i = 0; ok && i < p->initializers; i++) {
            if (!trains(m, p, i)) continue;
            const Bytes n = p->value[i]->name;
            char name[256];
            snprintf(name, sizeof name, "%.*s", (int)MIN_OF(n.n, sizeof name - 1), (const char *)n.at);
            m->variable[p->weight + i] = kiln_variable_new_at(at, t->k, name, of(m->weight[p->weight + i]));
            ok = !!m->variable[p->weight + i];
        }
    kiln_eagerly_close(&now);
    if (ok) return true;
    onnx_forget_variables(m);
    m->variable = NULL;
    return false;
}

int kiln_onnx_variables_at(kiln_site at, kiln_onnx *m, kiln_variable **v, int cap)
{
    Thread *t = m ? thread_of(m->o.k) : NULL;
    int n = 0;
    if (!t) return -1;
    pthread_mutex_lock(&m->lock);
    bool ok = true;
    if (!m->variable && (m->function || m->declared || m->listed)) {
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
