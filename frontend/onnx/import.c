/* import: plans a model's graph and runs it, eagerly or as the body of a traced function. Relies on import.h. */
#include "import.h"

#include <math.h>
#include <stdio.h>

#include "names.h"

/* ---- operands and results ----------------------------------------------------------------------------- */

bool has(const Call *c, uint32_t i) { return i < c->nin && c->node->in[i] != UINT32_MAX; }

/* Errors get the node's name in front, which is what is called while it runs (run_node). */
bool unsupported(Call *c, const char *what)
{
    fail(c->t, c->at, KILN_EUNSUPPORTED, "onnx: %s is not supported (ai.onnx %lld)", what, (long long)c->node->version);
    return false;
}

kiln_tensor *tensor(Call *c, uint32_t i)
{
    if (!has(c, i)) return unsupported(c, "a missing input"), &c->t->k->poison;
    Held *h = &c->in[i];
    if (h->t || !h->size) return h->t ? h->t : &c->t->k->poison;
    kiln_tensor *one[64];
    for (int j = 0; j < h->sizes; j++)
        one[j] = known_symbol(h->size[j]) ? dim_tensor(c->t, c->at, known_dim(h->size[j]), DT_i64)
                                          : kiln_full_at(c->at, c->t->k, KILN_I64, KILN_SHAPE(), KILN_OPERAND(h->size[j]));
    if (h->rank == 0) return h->t = one[0];
    return h->t = h->sizes ? kiln_stack_at(c->at, one, h->sizes, 0)
                           : kiln_full_at(c->at, c->t->k, KILN_I64, KILN_SHAPE(0), KILN_OPERAND(0));
}

kiln_operand operand(Call *c, uint32_t i) { return of(has(c, i) ? tensor(c, i) : NULL); }

bool give(Call *c, uint32_t i, kiln_tensor *t)
{
    if (!tensor_ok(t)) return false;
    c->out[i].t = t;
    return true;
}

/* Numbers in no or one axis; those of floats where all are whole. Of others nothing. False: recorded. */
static bool read_sizes(Call *c, Held *h)
{
    const DType d = (DType)h->t->type.dtype;
    if (h->t->type.rank > 1) return true;
    const int64_t count = kiln_elements(h->t);
    int64_t *v = ARENA_ARRAY(c->arena, int64_t, count + 1);
    double *exact = ARENA_ARRAY(c->arena, double, count + 1);
    kiln_eagerly now = kiln_eagerly_open(c->t->k);
    bool ok = !dtype_is_float(d) || kiln_read_doubles_at(c->at, of(h->t), exact, count), whole = true;
    for (int64_t i = 0; ok && i < count; i++) whole &= exact[i] == (double)(int32_t)fmax(fmin(exact[i], 1e9), -1e9);
    ok = ok && (!whole || kiln_read_at(c->at, of(cast_to(c->t, c->at, h->t, DT_i64)), v, (size_t)count * sizeof *v));
    kiln_eagerly_close(&now);
    for (int64_t i = 0; i < count; i++) v[i] = MAX_OF(v[i], -((int64_t)1 << 40)); /* symbols lie below */
    if (whole) h->size = v, h->sizes = (int)count, h->rank = h->t->type.rank;
    return ok;
}

bool sizes(Call *c, uint32_t i, const Known **at, int *n)
{
    Held *h = &c->in[i];
    if (!has(c, i)) return unsupported(c, "a missing input");
    if (!h->size && tensor_ok(h->t) && (!c->t->trace || h->constant) && !read_sizes(c, h)) return false;
    *at = h->size;
    *n = h->sizes;
    if (h->size) return true;
    fail(c->t, c->at, KILN_EUNSUPPORTED, "onnx: input %u, '%s', must be known while the function is traced, but it is computed", i,
        shown(c->node->node->input.at[i]).text);
    return false;
}

bool known_size(Call *c, Known v, Dim *size)
{
    *size = known_dim(v);
    if (known_symbol(v) || v >= 0) return true;
    fail(c->t, c->at, KILN_EVALUE, "onnx: a size is %lld", (long long)v);
    return false;
}

bool numbers(Call *c, uint32_t i, int64_t *at, int most, int *n)
{
    const Known *v;
    if (!sizes(c, i, &v, n)) return false;
    if (*n > most) return unsupported(c, "so long a list");
    for (int j = 0; j < *n; j++) {
        if (known_symbol(v[j])) return unsupported(c, "a number that depends on a size that is a symbol");
        at[j] = v[j];
    }
    return true;
}

/* ---- attributes --------------------------------------------------------------------------------------- */

static bool named(Bytes b, const char *name) { return bytes_equal(b, (Bytes){(const uint8_t *)name, strlen(name)}); }

const OnnxAttribute *attribute(const Call *c, const char *name)
{
    const OnnxNode *n = c->node->node;
    for (uint32_t i = 0; i < n->attribute.n; i++)
        if (named(n->attribute.at[i].name, name)) return &n->attribute.at[i];
    return NULL;
}

/* An attribute that is there must be of its type; old files do not say which type that is. Whoever gets it wrong reads what is
 * absent. */
static const OnnxAttribute *typed(const Call *c, const char *name, int64_t type)
{
    const OnnxAttribute *a = attribute(c, name);
    if (!a || a->type == type || a->type == 0) return a;
    fail(c->t, c->at, KILN_EFORMAT, "onnx: attribute %s has the type %lld, not %lld", name, (long long)a->type, (long long)type);
    return NULL;
}

enum { TYPE_FLOAT = 1, TYPE_INT = 2, TYPE_STRING = 3, TYPE_INTS = 7 };

int64_t attr_int(const Call *c, const char *name, int64_t absent)
{
    const OnnxAttribute *a = typed(c, name, TYPE_INT);
    return a ? a->i : absent;
}

double attr_float(const Call *c, const char *name, double absent)
{
    const OnnxAttribute *a = typed(c, name, TYPE_FLOAT);
    return a ? (double)a->f : absent;
}

bool attr_is(const Call *c, const char *name, const char *text)
{
    const OnnxAttribute *a = typed(c, name, TYPE_STRING);
    return a && named(a->s, text);
}

bool attr_ints(Call *c, const char *name, int64_t *at, int most, int *n)
{
    const OnnxAttribute *a = typed(c, name, TYPE_INTS);
    *n = -1;
    if (!a) return !attribute(c, name);
    Wire w = wire_of(a->ints);
    uint64_t v;
    for (*n = 0; wire_varint(&w, &v); ++*n) {
        if (*n == most) return unsupported(c, "so long a list");
        at[*n] = (int64_t)v;
    }
    return true;
}

/* ---- plans -------------------------------------------------------------------------------------------- */

int64_t opset_version(const OnnxModel *m, Bytes domain)
{
    for (uint32_t i = 0; i < m->opset.n; i++)
        if (bytes_equal(m->opset.at[i].domain, domain) || (domain.n == 0 && named(m->opset.at[i].domain, "ai.onnx")))
            return m->opset.at[i].version;
    return 1;
}

static uint32_t number_of(Names *n, Bytes name)
{
    if (name.n == 0) return UINT32_MAX;
    names_add(n, name);
    return names_number(n, name);
}

static uint32_t *numbers_of(Names *n, const Bytes *name, uint32_t count)
{
    uint32_t *to = ARENA_ARRAY(n->arena, uint32_t, count + 1);
    for (uint32_t i = 0; i < count; i++) to[i] = number_of(n, name[i]);
    return to;
}

/* Which names sizes follow from, from the last node to the first: what Shape and Size give follows from sizes alone. */
static bool *names_fixed(Arena *a, const Plan *p)
{
    bool *fixed = arena_zeros(a, p->names + 1, sizeof *fixed);
    for (uint32_t i = p->graph->node.n; i-- > 0;) {
        const PlanNode *n = &p->node[i];
        bool all = false;
        if (!n->op || !strcmp(n->op->name, "Shape") || !strcmp(n->op->name, "Size")) continue;
        for (uint32_t j = 0; j < n->node->output.n; j++) all |= n->out[j] != UINT32_MAX && fixed[n->out[j]];
        for (uint32_t j = 0; j < n->node->input.n; j++)
            if (n->in[j] != UINT32_MAX && (all || (j < 8 && n->op->known >> j & 1))) fixed[n->in[j]] = true;
    }
    return fixed;
}

/* All that is missing at once, each operator named once with how often it stands there. */
typedef struct Missing {
    char text[400];
    size_t n;
    uint32_t count;
} Missing;

static void miss(Missing *x, const OnnxGraph *g, uint32_t at, int64_t version)
{
    uint32_t same = 0;
    for (uint32_t i = 0; i < g->node.n; i++) {
        if (!bytes_equal(g->node.at[i].op, g->node.at[at].op) || !bytes_equal(g->node.at[i].domain, g->node.at[at].domain))
            continue;
        if (i < at) return;
        same++;
    }
    x->count++;
    if (x->n + 100 < sizeof x->text)
        x->n += (size_t)snprintf(x->text + x->n, sizeof x->text - x->n, "%s%s (%u, version %lld)", x->n ? ", " : "",
            shown(g->node.at[at].op).text, same, (long long)version);
}

static bool plan_graph(kiln_onnx *m, Status *st)
{
    const OnnxGraph *g = m->model->graph;
    Plan *p = ARENA_NEW(&m->arena, Plan);
    Names n = {.arena = &m->arena};
    Missing missing = {{0}, 0, 0};
    p->graph = g;
    m->inputs = 0;
    p->node = ARENA_ARRAY(&m->arena, PlanNode, g->node.n + 1);
    p->initializer = ARENA_ARRAY(&m->arena, uint32_t, g->initializer.n + 1);
    p->input = ARENA_ARRAY(&m->arena, uint32_t, g->input.n + 1);
    p->output = ARENA_ARRAY(&m->arena, uint32_t, g->output.n + 1);
    for (uint32_t i = 0; i < g->initializer.n; i++) p->initializer[i] = number_of(&n, g->initializer.at[i].name);
    for (uint32_t i = 0; i < g->input.n; i++) {
        const bool held = names_have(&n, g->input.at[i].name);
        const uint32_t number = number_of(&n, g->input.at[i].name);
        if (!held) p->input[m->inputs++] = number;
    }
    for (uint32_t i = 0; i < g->node.n; i++) {
        const OnnxNode *x = &g->node.at[i];
        const int64_t version = opset_version(m->model, x->domain);
        p->node[i] = (PlanNode){x, operator_of(x->domain, x->op, version), version, numbers_of(&n, x->input.at, x->input.n),
            numbers_of(&n, x->output.at, x->output.n)};
        if (!p->node[i].op) miss(&missing, g, i, version);
    }
    for (uint32_t i = 0; i < g->output.n; i++) p->output[i] = number_of(&n, g->output.at[i].name);
    p->names = n.name.len;
    p->fixed = ARENA_ARRAY(&m->arena, bool, m->inputs + 1);
    const bool *fixed = names_fixed(&m->arena, p);
    for (uint32_t i = 0; i < m->inputs; i++) p->fixed[i] = fixed[p->input[i]];
    if (missing.count)
        return status_fail(st, ST_UNSUPPORTED, "operators that Kiln does not have, or not in this version: %s", missing.text);
    if (g->sparse_initializer.n != 0) return status_fail(st, ST_UNSUPPORTED, "sparse initialisers");
    m->plan = p;
    return true;
}

/* ---- running ------------------------------------------------------------------------------------------ */

typedef struct GraphRun {
    Thread *t;
    kiln_onnx *m;
    kiln_tensor *const *in;
    kiln_tensor **out;
    Arena arena;
} GraphRun;

/* In a trace a few constants, and sizes that are plain numbers, give a constant, so that sizes may follow from it. */
static bool folds(const Call *c)
{
    bool few = c->t->trace;
    for (uint32_t i = 0; i < c->nin && few; i++) {
        const Held *h = &c->in[i];
        if (!has(c, i)) continue;
        few = h->size || (h->constant && kiln_elements(h->t) <= 1024);
        for (int j = 0; few && h->size && j < h->sizes; j++) few = !known_symbol(h->size[j]);
    }
    return few;
}

static bool run_now(Call *c)
{
    kiln_eagerly now = kiln_eagerly_open(c->t->k);
    const bool ok = c->node->op->fn(c);
    for (uint32_t i = 0; ok && i < c->nout; i++) {
        if (!c->out[i].t) continue; /* sizes */
        kiln_keep(c->out[i].t);
        c->out[i].constant = true;
    }
    kiln_eagerly_close(&now);
    return ok;
}

static bool run_node(GraphRun *r, const PlanNode *n, Held *value)
{
    Call c = {
        .t = r->t, .at = KILN_HERE, .m = r->m, .node = n, .nin = n->node->input.n, .nout = n->node->output.n, .arena = &r->arena};
    c.in = ARENA_ARRAY(&r->arena, Held, c.nin + 1);
    c.out = ARENA_ARRAY(&r->arena, Held, c.nout + 1);
    for (uint32_t i = 0; i < c.nin; i++)
        if (n->in[i] != UINT32_MAX) {
            c.in[i] = value[n->in[i]];
            Held *h = &c.in[i];
            if (h->constant && !h->size && !dtype_is_float((DType)h->t->type.dtype) && kiln_elements(h->t) <= 64 &&
                !read_sizes(&c, h))
                return false;
        }
    const char *outer = r->t->called; /* errors of what it is made of bear the node's name */
    r->t->called = arena_printf(&r->arena, "onnx: %s '%s'", shown(n->node->op).text, shown(n->node->name).text);
    const bool ok = sizes_run(&c) || (!kiln_failed(r->t->k) && (folds(&c) ? run_now(&c) : n->op->fn(&c)));
    r->t->called = outer;
    if (!ok) return false;
    for (uint32_t i = 0; i < c.nout; i++)
        if (n->out[i] != UINT32_MAX) value[n->out[i]] = c.out[i];
    return true;
}

static kiln_tensor *fixed_input(GraphRun *r, uint32_t i)
{
    const char *text = kiln_static_text_at(KILN_HERE, r->in[i]);
    kiln_eagerly now = kiln_eagerly_open(r->t->k);
    kiln_tensor *x = kiln_keep(known_tensor(r->t, KILN_HERE, text));
    kiln_eagerly_close(&now);
    return x;
}

static void run_all(void *arg)
{
    GraphRun *r = arg;
    const Plan *p = r->m->plan;
    Held *value = ARENA_ARRAY(&r->arena, Held, p->names + 1);
    for (uint32_t i = 0; i < p->graph->initializer.n; i++)
        value[p->initializer[i]] = (Held){.t = r->m->weight[i], .constant = true};
    for (uint32_t i = 0; i < r->m->inputs; i++)
        value[p->input[i]] = (Held){.t = p->fixed[i] ? fixed_input(r, i) : r->in[i], .constant = p->fixed[i]};
    if (kiln_failed(r->t->k)) return;
    for (uint32_t i = 0; i < p->graph->node.n; i++)
        if (!run_node(r, &p->node[i], value)) return;
    for (uint32_t i = 0; i < p->graph->output.n; i++) {
        const PlanNode none = {.in = &p->output[i]};
        Call c = {.t = r->t, .at = KILN_HERE, .m = r->m, .node = &none, .in = &value[p->output[i]], .nin = 1, .arena = &r->arena};
        r->out[i] = tensor(&c, 0);
    }
}

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    GraphRun r = {.t = thread_of(k), .m = user, .in = in, .out = out};
    Status st = {0};
    if (!r.t) return;
    arena_init(&r.arena);
    if (!arena_try(&r.arena, &st, run_all, &r)) fail(r.t, KILN_HERE, (kiln_code)st.code, "onnx: %s", st.text);
    arena_free(&r.arena);
}

typedef struct Planning {
    kiln_onnx *m;
    Status *st;
    bool ok;
} Planning;

static void plan(void *arg)
{
    Planning *p = arg;
    p->ok = plan_graph(p->m, p->st);
}

/* Initialisers are tensors of the model's own, so that code for several sizes shares them. */
static bool take_weights(Thread *t, kiln_site at, kiln_onnx *m)
{
    const OnnxGraph *g = m->model->graph;
    kiln_eagerly now = kiln_eagerly_open(t->k);
    bool ok = true;
    for (; ok && m->weights < g->initializer.n; m->weights += ok) {
        kiln_tensor *x = tensor_value(t, at, m, &g->initializer.at[m->weights]);
        ok = tensor_ok(x);
        if (ok) m->weight[m->weights] = kiln_own(x);
    }
    kiln_eagerly_close(&now);
    return ok;
}

static kiln_function *make_function(Thread *t, kiln_site at, kiln_onnx *m)
{
    Status st = {0};
    Planning p = {m, &st, m->plan};
    if (!m->plan && (!arena_try(&m->arena, &st, plan, &p) || !p.ok)) {
        fail(t, at, (kiln_code)st.code, "onnx: %s: %s", m->path ? m->path : "a model in memory", st.text);
        return NULL;
    }
    const size_t bytes = (m->model->graph->initializer.n + 1) * sizeof *m->weight;
    if (!m->weight && !(m->weight = mem_zeros(1, bytes))) {
        fail(t, at, KILN_EMEMORY, "onnx: no memory for %zu bytes", bytes);
        return NULL;
    }
    if (!take_weights(t, at, m)) return NULL;
    const uint32_t outputs = m->model->graph->output.n;
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
        if ((uint32_t)i >= m->inputs || !m->plan->fixed[i]) continue;
        text[i] = known_text(t, at, a.at[i], &bytes[i]);
        given[i] = (kiln_operand){.as = {.text = text[i]}, .kind = 9};
        if (!text[i]) in.count = i, ok = false;
    }
    ok = ok ? kiln_call_all_at(at, f, given, in.count, out, nout) : results_poison(t, out, nout);
    for (int i = 0; text && i < in.count; i++)
        if (text[i]) mem_free(text[i], bytes[i]);
    scratch_reset(&t->scratch, mark);
    operand_array_close(&a, in);
    return ok;
}

void onnx_forget(kiln_onnx *m)
{
    if (m->function) kiln_function_free(m->function);
    for (uint32_t i = 0; i < m->weights; i++) kiln_release(m->weight[i]);
    if (m->weight) mem_free(m->weight, (m->model->graph->initializer.n + 1) * sizeof *m->weight);
}
