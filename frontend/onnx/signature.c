/* signature: what goes into a model and what comes out, as a caller sees it. Relies on import.h. */
#include "import.h"

kiln_onnx_kind onnx_kind(const OnnxType *type, const OnnxArray **element)
{
    *element = type ? type->tensor : NULL;
    if (!type || type->tensor) return KILN_ONNX_TENSOR;
    const OnnxType *in = type->optional ? type->optional->type : type->sequence ? type->sequence->type : NULL;
    const bool many = in && in->sequence && type->optional;
    if (many) in = in->sequence->type;
    if (!in || !in->tensor) return in || type->sparse || type->map.at || type->opaque.at ? KILN_ONNX_OTHER : KILN_ONNX_TENSOR;
    *element = in->tensor;
    return many ? KILN_ONNX_OPTIONAL_SEQUENCE : type->optional ? KILN_ONNX_OPTIONAL : KILN_ONNX_SEQUENCE;
}

static void value_of(Arena *a, const OnnxValue *v, kiln_onnx_value *to)
{
    const OnnxArray *x;
    const kiln_onnx_kind kind = onnx_kind(v->type, &x);
    const OnnxDType *d = x ? onnx_dtype(x->type) : NULL;
    *to = (kiln_onnx_value){
        .name = arena_printf(a, "%.*s", (int)MIN_OF(v->name.n, 4096), (const char *)v->name.at), .kind = kind, .rank = -1};
    if (d && d->dtype != DT_NONE) to->dtype = (kiln_dtype)d->dtype;
    if (!x || !x->shape || x->shape->dim.n > MAX_RANK) return;
    to->rank = (int)x->shape->dim.n;
    for (int i = 0; i < to->rank; i++) {
        const OnnxDim *n = &x->shape->dim.at[i];
        to->size[i] = n->name.n == 0 && n->value > 0 ? n->value : -1;
        const bool named = n->name.n != 0 && !memchr(n->name.at, 0, n->name.n); /* by what can be told */
        if (named) to->size_name[i] = arena_printf(a, "%.*s", (int)MIN_OF(n->name.n, 256), (const char *)n->name.at);
    }
}

void onnx_signature(kiln_onnx *m, const Plan *p)
{
    const OnnxGraph *g = m->model->graph;
    kiln_onnx_value *v = ARENA_ARRAY(&m->arena, kiln_onnx_value, m->inputs + g->output.n + 1);
    for (uint32_t i = 0; i < m->inputs; i++) {
        value_of(&m->arena, &g->input.at[p->stated[i]], &v[i]);
        v[i].fixed = m->fixed[i];
    }
    for (uint32_t i = 0; i < g->output.n; i++) value_of(&m->arena, &g->output.at[i], &v[m->inputs + i]);
    m->value = v;
}

static int tell(kiln_site at, kiln_onnx *m, bool out, kiln_onnx_value *to, int cap)
{
    Thread *t = m ? thread_of(m->o.k) : NULL;
    if (!t) return -1;
    pthread_mutex_lock(&m->lock);
    const bool ok = onnx_half_ready(t, at, m);
    pthread_mutex_unlock(&m->lock);
    if (!ok) return -1;
    const int n = (int)(out ? m->model->graph->output.n : m->inputs);
    for (int i = 0; to && i < n && i < cap; i++) to[i] = m->value[(out ? (int)m->inputs : 0) + i];
    return n;
}

int kiln_onnx_inputs_at(kiln_site at, kiln_onnx *m, kiln_onnx_value *to, int cap) { return tell(at, m, false, to, cap); }
int kiln_onnx_outputs_at(kiln_site at, kiln_onnx *m, kiln_onnx_value *to, int cap) { return tell(at, m, true, to, cap); }
