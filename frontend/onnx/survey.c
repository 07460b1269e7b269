/* survey: see survey.h. The trace is for nothing but this, and is dropped; no code is made and no node computes. */
#include "survey.h"

#include <stdio.h>

/* ---- rows ------------------------------------------------------------------------------------------------ */

static SurveyRow *row_new(Survey *s, const OnnxNode *n)
{
    for (uint32_t i = 0; i < s->rows && n; i++)
        if (s->row[i].node == n && s->row[i].attribute.n == 0) return NULL; /* of a function that is called more than once */
    if (s->rows == SURVEY_ROWS) {
        s->more++;
        return NULL;
    }
    SurveyRow *r = &s->row[s->rows++];
    *r = (SurveyRow){.node = n, .unsupported = true};
    return r;
}

static void take_missing(Survey *s, const kiln_onnx *m)
{
    for (uint32_t i = 0; i < m->missing; i++) {
        const Missed *x = &m->missed[i];
        if (s->rows == SURVEY_ROWS) {
            s->more += m->missing - i;
            return;
        }
        SurveyRow *r = &s->row[s->rows++];
        *r = (SurveyRow){.node = x->node, .at = x->at, .version = x->version, .within = x->within, .unsupported = true};
        if (x->attribute) r->attribute = x->attribute->name;
        if (x->word) r->word = x->attribute->s;
        snprintf(r->why, sizeof r->why, "%s",
            x->word        ? "the attribute has no such value"
            : x->attribute ? "the operator has no such attribute in this version"
                           : "Kiln does not have it, or not in this version");
    }
}

/* An error's text, without the node's place in front of it. */
static void reason(char *to, size_t cap, const char *place, const char *text)
{
    const size_t n = strlen(place);
    if (strncmp(text, place, n) == 0 && strncmp(text + n, ": ", 2) == 0) text += n + 2;
    if (strncmp(text, "onnx: ", 6) == 0) text += 6;
    snprintf(to, cap, "%.*s", (int)MIN_OF(strlen(text), cap - 1), text);
}

static void take_error(Run *r, const Env *e, const PlanNode *n)
{
    char text[1200];
    const kiln_code code = failure_take(r->t, text, sizeof text);
    SurveyRow *x = row_new(r->survey, n->node);
    if (!x) return;
    x->at = (uint32_t)(n - e->plan->node);
    x->version = n->version;
    x->within = e->plan->function ? e->plan->function->name : (Bytes){NULL, 0};
    x->unsupported = code == KILN_EUNSUPPORTED || code == KILN_EDTYPE;
    char place[640];
    node_place(r, e, n, place, sizeof place);
    reason(x->why, sizeof x->why, place, text);
}

/* ---- what the model states of values --------------------------------------------------------------------- */

static bool size_stated(Survey *s, const OnnxDim *d, int64_t *to)
{
    *to = d->value;
    if (d->name.n == 0) return d->value > 0;
    *to = 1;
    for (int i = 0; i < s->sizes; i++)
        if (bytes_equal(d->name, (Bytes){(const uint8_t *)s->size[i].name, strlen(s->size[i].name)})) *to = s->size[i].hi;
    return true;
}

static const OnnxArray *array_stated(const OnnxGraph *g, Bytes name)
{
    for (uint32_t i = 0; i < g->value.n + g->output.n; i++) {
        const OnnxValue *v = i < g->value.n ? &g->value.at[i] : &g->output.at[i - g->value.n];
        if (bytes_equal(v->name, name)) return v->type ? v->type->tensor : NULL;
    }
    return NULL;
}

/* Some tensor of the type that the model states of a result that is not known, so that what follows is looked at, too. */
static Held stand_in(const Run *r, const Env *e, Bytes name)
{
    const Held none = {.unseen = true};
    Survey *s = r->survey;
    const OnnxArray *x = e->plan->graph && name.n != 0 && s->stated < SURVEY_ROWS ? array_stated(e->plan->graph, name) : NULL;
    const OnnxDType *d = x ? onnx_dtype(x->type) : NULL;
    kiln_shape shape = {.rank = 0};
    if (!d || d->dtype == DT_NONE || !x->shape || x->shape->dim.n > MAX_RANK) return none;
    for (uint32_t i = 0; i < x->shape->dim.n; i++)
        if (!size_stated(s, &x->shape->dim.at[i], &shape.size[++shape.rank])) return none;
    kiln_tensor *y = kiln_full_at((kiln_site){0}, r->t->k, (kiln_dtype)d->dtype, shape, KILN_OPERAND(0));
    char text[400];
    if (!tensor_ok(y)) return failure_take(r->t, text, sizeof text), none;
    s->stated++;
    return (Held){.t = y};
}

/* ---- nodes ----------------------------------------------------------------------------------------------- */

static bool unseen(const Env *e, const PlanNode *n)
{
    for (uint32_t i = 0; i < n->node->input.n; i++)
        if (n->in[i] != UINT32_MAX && e->value[n->in[i]].unseen) return true;
    for (uint32_t j = 0; n->inner && j < n->node->attribute.n; j++)
        for (uint32_t i = 0; n->inner[j] && i < n->inner[j]->takes; i++)
            if (e->value[n->inner[j]->from[i]].unseen) return true;
    return false;
}

/* Within a function each of its nodes is looked at by itself. */
bool survey_node(Run *r, const Env *e, const PlanNode *n)
{
    const Graph *g = r->t->trace->frame->g;
    const uint32_t from = g->node.len;
    const bool missing = !n->op && !n->function, blind = !n->function && unseen(e, n);
    bool ok = !missing && !blind && env_node_run(r, e, n);
    if (ok && !n->function) survey_count(r->survey, n->node->op, g, from, g->node.len);
    if (ok) return true;
    r->survey->unreached += blind && !missing;
    if (!missing && !blind) take_error(r, e, n);
    for (uint32_t i = 0; i < n->node->output.n; i++)
        if (n->out[i] != UINT32_MAX) e->value[n->out[i]] = stand_in(r, e, n->node->output.at[i]);
    return true;
}

/* ---- the model ------------------------------------------------------------------------------------------- */

typedef struct Surveying {
    kiln_onnx *m;
    Survey *s;
} Surveying;

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Surveying *x = user;
    Thread *t = thread_of(k);
    (void)out;
    onnx_run(t, x->m, &(ModelRun){.in = in, .given = x->s->given, .survey = x->s});
    x->s->whole = !kiln_failed(k);
    fail(t, (kiln_site){0}, KILN_ESTATE, "onnx: this trace was for a survey alone"); /* so nothing is made of it */
}

static int64_t open_size(Survey *s, const kiln_onnx_value *v, int axis)
{
    char own[300];
    snprintf(own, sizeof own, "%.250s.%d", v->name, axis);
    const char *name = v->size_name[axis] ? v->size_name[axis] : own;
    for (int i = 0; i < s->sizes; i++)
        if (strcmp(s->size[i].name, name) == 0 || strcmp(s->size[i].name, own) == 0) return s->size[i].hi;
    const size_t n = strlen(s->assumed), len = strlen(name);
    for (const char *at = s->assumed; (at = strstr(at, name)); at++)
        if ((at == s->assumed || at[-1] == ' ') && strncmp(at + len, "=1", 2) == 0) return 1;
    snprintf(s->assumed + n, sizeof s->assumed - n, "%s%s=1", n ? ", " : "", name);
    return 1;
}

/* What nobody knows of an input is a scalar here, and marked (import.c). */
static kiln_spec spec_of(Survey *s, const kiln_onnx_value *v, const kiln_tensor *given)
{
    kiln_spec x = {KILN_F32, 0, {{0}}};
    if (given) {
        x = (kiln_spec){(kiln_dtype)given->type.dtype, given->type.rank, {{0}}};
        for (int i = 0; i < x.rank; i++) x.size[i] = (kiln_size){given->type.dim[i], given->type.dim[i], NULL};
    } else if (v->dtype != KILN_NONE && v->rank >= 0 && !v->fixed) {
        x = (kiln_spec){v->dtype, v->rank, {{0}}};
        for (int i = 0; i < x.rank; i++) {
            const int64_t size = v->size[i] >= 0 ? v->size[i] : open_size(s, v, i);
            x.size[i] = (kiln_size){size, size, NULL};
        }
    }
    return x;
}

bool survey_model(Thread *t, kiln_site at, kiln_onnx *m, Survey *s)
{
    const size_t bytes = (m->inputs + 1) * sizeof(kiln_spec);
    Surveying x = {m, s};
    char text[1200];
    kiln_spec *spec = mem_alloc(bytes);
    if (!spec) return fail(t, at, KILN_EMEMORY, "onnx: no memory for %zu bytes", bytes), false;
    take_missing(s, m);
    for (uint32_t i = 0; i < m->inputs; i++) spec[i] = spec_of(s, &m->value[i], s->given[i]);
    kiln_function *f = kiln_function_new_sized(at, m->o.k, body, &x,
        &(kiln_function_options){.name = "onnx", .inputs_count = (int)m->inputs, .input_list = spec, .outputs = KILN_NO_OUTPUTS},
        sizeof(kiln_function_options));
    mem_free(spec, bytes);
    if (!f) return false;
    trace_and_drop(t, (kiln_site){0}, f); /* whatever asked: rows tell what is in the model */
    kiln_function_free(f);
    const kiln_code code = failure_take(t, text, sizeof text);
    if (code == KILN_ESTATE && s->whole) return true;
    fail(t, at, code ? code : KILN_ESTATE, "%s", code ? text : "onnx: the model could not be surveyed");
    return false;
}
