/* fold: numbers by which a convolution's or a Gemm's channels are multiplied, and that are added to them, go into its weights and
 * its bias, so that no call computes with them: a batch normalisation by known statistics, products and sums with constants. Sums
 * then round elsewhere, so it is for models that kiln_onnx_fast was asked for, and changes the plan of the model's own graph alone,
 * before there is a function of it. Weights stay where they lie: a trace multiplies them, which is done once for its code
 * (function/beforehand.c); for eager calls they are kept multiplied. Never touches weights that are variables. Relies on import.h.
 */
#include "import.h"

#include <float.h>
#include <math.h>

struct Fold {
    kiln_tensor *by, *plus;        /* ours; per channel, by as it is to be broadcast over the weights; NULL: by 1 */
    int64_t groups;                /* of a transposed convolution: its weights' channels are those of one group */
    _Atomic(kiln_tensor *) weight; /* ours: the weights times by, of eager calls; NULL: there was none yet */
    struct Fold *next;
};

typedef struct Folder {
    Thread *t;
    kiln_site at;
    kiln_onnx *m;
    Plan *p;
    Run run;
    Env env;          /* values of what is constant */
    bool *constant;   /* per name */
    uint32_t *reader; /* per name: the node that alone reads it; NOBODY, or MANY */
    uint32_t *reads;  /* per name: how often it is read */
    bool *gone;       /* per node */
} Folder;

enum { NOBODY = UINT32_MAX, MANY = UINT32_MAX - 1, MOST_CONSTANT = 1 << 16 };

typedef struct Channels { /* what is known of a node's result, y = by x + plus */
    int64_t n;
    int space; /* axes behind that of the channels */
    DType dtype;
    double *by, *plus, *one, *two, *three, *four; /* the last ones to read into */
} Channels;

static bool is(const PlanNode *n, const char *op, int64_t since)
{
    return n->op && strcmp(n->op->name, op) == 0 && n->version >= since;
}

/* ---- what is constant, and who reads what ---------------------------------------------------------------- */

static void read_by(Folder *f, uint32_t name, uint32_t node)
{
    if (name != UINT32_MAX) f->reader[name] = f->reads[name]++ == 0 ? node : MANY;
}

static void find_readers(Folder *f)
{
    const Plan *p = f->p;
    for (uint32_t i = 0; i < p->names; i++) f->reader[i] = NOBODY, f->reads[i] = 0;
    for (uint32_t i = 0; i < p->nodes; i++) {
        const PlanNode *n = &p->node[i];
        if (f->gone[i]) continue;
        for (uint32_t j = 0; j < n->node->input.n; j++) read_by(f, n->in[j], i);
        for (uint32_t j = 0; n->inner && j < n->node->attribute.n; j++)
            for (uint32_t k = 0; n->inner[j] && k < n->inner[j]->takes; k++) read_by(f, n->inner[j]->from[k], MANY);
    }
    for (uint32_t i = 0; i < p->outputs; i++) read_by(f, p->output[i], MANY);
}

static bool is_constant(const Folder *f, uint32_t name) { return name != UINT32_MAX && f->constant[name]; }

static bool all_constant(const Folder *f, const PlanNode *n)
{
    int64_t elements = 0;
    if (!n->op || n->op->draws || n->inner) return false;
    for (uint32_t j = 0; j < n->node->input.n; j++) {
        if (n->in[j] == UINT32_MAX) continue;
        const Held *h = &f->env.value[n->in[j]];
        if (!f->constant[n->in[j]] || h->many || h->nothing) return false;
        elements += h->t ? kiln_elements(h->t) : h->sizes;
    }
    return elements <= MOST_CONSTANT;
}

/* A few constants computed of constants, such as numbers with axes of their own. False: recorded. */
static bool find_constants(Folder *f)
{
    const Plan *p = f->p;
    f->env = env_of(&f->run, p);
    for (uint32_t i = 0; i < p->initializers; i++) f->constant[p->initializer[i]] = true;
    for (uint32_t i = 0; i < p->nodes; i++) {
        const PlanNode *n = &p->node[i];
        if (!all_constant(f, n)) continue;
        if (!env_node_run(&f->run, &f->env, n)) return false;
        for (uint32_t j = 0; j < n->node->output.n; j++)
            if (n->out[j] != UINT32_MAX) f->constant[n->out[j]] = true;
    }
    return true;
}

/* ---- one node after the other ---------------------------------------------------------------------------- */

static kiln_tensor *held_constant(const Folder *f, const PlanNode *n, uint32_t i)
{
    return i < n->node->input.n && is_constant(f, n->in[i]) ? f->env.value[n->in[i]].t : NULL;
}

/* A number for each channel, or one for all, as it is broadcast to the result: false if operand i is anything else. */
static bool numbers_of(const Folder *f, const Channels *c, const PlanNode *n, uint32_t i, bool row, double *to)
{
    kiln_tensor *x = held_constant(f, n, i);
    if (!x || x->type.dtype != c->dtype || x->type.rank > c->space + 2 || (row && x->type.rank != 1)) return false;
    const int axis = row ? 0 : x->type.rank - 1 - c->space;
    for (int j = 0; j < x->type.rank; j++)
        if (x->type.dim[j] != 1 && !(j == axis && x->type.dim[j] == c->n)) return false;
    const int64_t elements = kiln_elements(x);
    if (!kiln_read_doubles_at(f->at, of(x), to, elements)) return false;
    for (int64_t j = elements; j < c->n; j++) to[j] = to[0];
    return true;
}

static bool take_batchnorm(const Folder *f, Channels *c, const PlanNode *n)
{
    const Call asks = {.t = f->t, .at = f->at, .m = f->m, .node = n};
    double *const to[] = {c->one, c->two, c->three, c->four}, epsilon = attr_float(&asks, "epsilon", 1e-5f);
    if (n->node->output.n != 1 || !batchnorm_is_known(&asks)) return false;
    for (uint32_t i = 0; i < 4; i++)
        if (!numbers_of(f, c, n, 1 + i, true, to[i])) return false;
    for (int64_t i = 0; i < c->n; i++) {
        const double by = c->one[i] / sqrt(c->four[i] + epsilon);
        c->by[i] *= by;
        c->plus[i] = (c->plus[i] - c->three[i]) * by + c->two[i];
    }
    return true;
}

/* A node that computes with each channel, of the values of the name: y = by x + plus for what is known of x so far. */
static bool take_node(const Folder *f, Channels *c, const PlanNode *n, uint32_t name)
{
    if (is(n, "BatchNormalization", 1)) return n->in[0] == name && take_batchnorm(f, c, n);
    const bool product = is(n, "Mul", 7);
    if ((!product && !is(n, "Add", 7)) || !numbers_of(f, c, n, n->in[0] == name, false, c->one)) return false;
    for (int64_t i = 0; i < c->n; i++) {
        if (product) c->by[i] *= c->one[i];
        c->plus[i] = product ? c->plus[i] * c->one[i] : c->plus[i] + c->one[i];
    }
    return true;
}

/* ---- where it begins ------------------------------------------------------------------------------------- */

typedef struct Root {
    int axis;       /* of the weights' channels */
    int64_t groups; /* how often these come in the result's */
} Root;

static bool root_of(const Folder *f, const PlanNode *n, Root *r)
{
    const Call asks = {.t = f->t, .at = f->at, .m = f->m, .node = n};
    const bool transposed = is(n, "ConvTranspose", 1), gemm = is(n, "Gemm", 7);
    *r = (Root){transposed || (gemm && !attr_int(&asks, "transB", 0)), transposed ? attr_int(&asks, "group", 1) : 1};
    return (is(n, "Conv", 1) || transposed || (gemm && attr_float(&asks, "beta", 1) == 1)) && r->groups > 0;
}

static bool channels_of(const Folder *f, const PlanNode *n, const Root *r, Channels *c)
{
    const kiln_tensor *w = held_constant(f, n, 1);
    if (!w || w->type.rank < 2 || (w->type.dtype != DT_f32 && w->type.dtype != DT_f64)) return false;
    *c = (Channels){.n = w->type.dim[r->axis] * r->groups, .space = w->type.rank - 2, .dtype = (DType)w->type.dtype};
    double **const all[] = {&c->by, &c->plus, &c->one, &c->two, &c->three, &c->four};
    for (size_t i = 0; i < COUNT_OF(all); i++) *all[i] = ARENA_ARRAY(f->run.arena, double, c->n + 1);
    for (int64_t i = 0; i < c->n; i++) c->by[i] = 1;
    const bool bias = n->node->input.n > 2 && n->in[2] != UINT32_MAX;
    return !bias || numbers_of(f, c, n, 2, !is(n, "Gemm", 7), c->plus);
}

/* A product with a weight that is infinite, or none, is not what the two steps gave. */
static bool all_finite(const Channels *c)
{
    const double most = c->dtype == DT_f32 ? (double)FLT_MAX : DBL_MAX;
    for (int64_t i = 0; i < c->n; i++)
        if (!(fabs(c->by[i]) <= most && fabs(c->plus[i]) <= most)) return false;
    return true;
}

static bool all_ones(const Channels *c)
{
    for (int64_t i = 0; i < c->n; i++)
        if (c->by[i] != 1) return false;
    return true;
}

/* The numbers as tensors. NULL: recorded. */
static Fold *fold_new(const Folder *f, const Channels *c, const Root *r)
{
    Fold *o = ARENA_NEW(&f->m->arena, Fold);
    const kiln_dtype t = (kiln_dtype)c->dtype;
    kiln_shape s = {.rank = (r->groups > 1) + c->space + 2};
    for (int i = 0; i < s.rank; i++) s.size[1 + i] = 1;
    if (r->groups > 1) s.size[1] = r->groups;
    s.size[1 + (r->groups > 1) + r->axis] = c->n / r->groups;
    kiln_tensor *plus = kiln_from_doubles_at(f->at, f->t->k, t, KILN_SHAPE(c->n), c->plus, c->n),
                *by = all_ones(c) ? NULL : kiln_from_doubles_at(f->at, f->t->k, t, s, c->by, c->n);
    if (!tensor_ok(plus) || (by && !tensor_ok(by))) return NULL;
    o->plus = kiln_own(plus);
    o->by = by ? kiln_own(by) : NULL;
    o->groups = r->groups;
    o->next = f->m->folds;
    return f->m->folds = o;
}

/* The node i, with all that follows it channel by channel, if that is constant. It then stands where the last of these stood.
 * False: recorded. */
static bool fold_node(Folder *f, uint32_t i)
{
    Plan *p = f->p;
    Root r;
    Channels c;
    uint32_t last = i, way[64], ways = 0;
    if (p->node[i].fold || f->gone[i] || !root_of(f, &p->node[i], &r) || !channels_of(f, &p->node[i], &r, &c)) return true;
    while (ways < COUNT_OF(way)) {
        const uint32_t name = p->node[last].out[0], next = name == UINT32_MAX ? NOBODY : f->reader[name];
        if (next == NOBODY || next == MANY || !take_node(f, &c, &p->node[next], name)) break;
        way[ways++] = last;
        last = next;
    }
    if (ways == 0 || !all_finite(&c)) return !kiln_failed(f->t->k);
    PlanNode n = p->node[i];
    const uint32_t in[3] = {n.in[0], n.in[1], n.in[1]}; /* the third one is there, and becomes the fold's */
    n.in = arena_copy(&f->m->arena, in, sizeof in);
    n.out = p->node[last].out;
    if (!(n.fold = fold_new(f, &c, &r))) return false;
    for (uint32_t j = 0; j < ways; j++) f->gone[way[j]] = true;
    p->node[last] = n;
    return true;
}

/* Constants that nobody reads any more go, too. */
static void remove_gone(Folder *f)
{
    Plan *p = f->p;
    uint32_t left = 0;
    find_readers(f);
    for (uint32_t i = p->nodes; i-- > 0;) {
        const PlanNode *n = &p->node[i];
        bool read = f->gone[i] || n->node->output.n == 0;
        for (uint32_t j = 0; !read && j < n->node->output.n; j++)
            read = n->out[j] != UINT32_MAX && (!f->constant[n->out[j]] || f->reads[n->out[j]] != 0);
        if (read) continue;
        f->gone[i] = true;
        for (uint32_t j = 0; j < n->node->input.n; j++)
            if (n->in[j] != UINT32_MAX) f->reads[n->in[j]]--;
    }
    for (uint32_t i = 0; i < p->nodes; i++)
        if (!f->gone[i]) p->node[left++] = p->node[i];
    p->nodes = left;
}

static void fold_all(void *arg)
{
    Folder *f = arg;
    const Plan *p = f->p;
    Arena *a = f->run.arena;
    f->constant = ARENA_ARRAY(a, bool, p->names + 1);
    f->reader = ARENA_ARRAY(a, uint32_t, p->names + 1);
    f->reads = ARENA_ARRAY(a, uint32_t, p->names + 1);
    f->gone = ARENA_ARRAY(a, bool, p->nodes + 1);
    for (uint32_t i = 0; i < p->nodes; i++)
        if (is(&p->node[i], "Gradient", 0)) return; /* names values on the way */
    if (!find_constants(f)) return;
    find_readers(f);
    bool ok = true;
    for (uint32_t i = 0; ok && i < p->nodes; i++) ok = fold_node(f, i);
    if (ok) remove_gone(f);
}

/* ---- the model ------------------------------------------------------------------------------------------- */

bool onnx_to_call(Thread *t, kiln_site at, kiln_onnx *m)
{
    if (!onnx_ready(t, at, m)) return false;
    if (!m->fast || m->variable || m->folded) return true;
    uint64_t written = 0;
    Status st = {0};
    Folder f = {.t = t, .at = at, .m = m, .p = m->plan, .run = {t, m, &m->arena, &written, NULL}};
    kiln_eagerly now = kiln_eagerly_open(t->k);
    const bool room = arena_try(&m->arena, &st, fold_all, &f);
    kiln_eagerly_close(&now);
    if (!room) fail(t, at, (kiln_code)st.code, "onnx: %s", st.text);
    m->folded = true;
    return !kiln_failed(t->k);
}

bool kiln_onnx_fast_at(kiln_site at, kiln_onnx *m)
{
    Thread *t = m ? thread_of(m->o.k) : NULL;
    if (!t) return false;
    pthread_mutex_lock(&m->lock);
    const bool late = m->function || m->declared || m->listed;
    if (!late) m->fast = true;
    pthread_mutex_unlock(&m->lock);
    if (late) fail(t, at, KILN_ESTATE, "onnx: the model has a function already; ask for speed before");
    return !late;
}

void onnx_forget_folds(kiln_onnx *m)
{
    for (Fold *f = m->folds; f; f = f->next) {
        kiln_tensor *const all[] = {f->by, f->plus, atomic_load(&f->weight)};
        for (size_t i = 0; i < COUNT_OF(all); i++)
            if (all[i]) kiln_release(all[i]);
    }
}

/* ---- where it runs --------------------------------------------------------------------------------------- */

static kiln_tensor *multiplied(Call *c, const Fold *f, kiln_tensor *w)
{
    if (f->groups == 1) return kiln_mul_at(c->at, of(w), of(f->by));
    kiln_shape s = {.rank = w->type.rank + 1}, own = {.rank = w->type.rank};
    for (int i = 0; i < w->type.rank; i++) s.size[2 + i] = own.size[1 + i] = w->type.dim[i];
    s.size[1] = f->groups;
    s.size[2] = w->type.dim[0] / f->groups;
    kiln_tensor *y = kiln_mul_at(c->at, of(kiln_reshape_at(c->at, of(w), s)), of(f->by));
    return kiln_reshape_at(c->at, of(y), own);
}

/* Of an eager call: of several that are the first one at once, one keeps what it made. */
static kiln_tensor *kept(Call *c, Fold *f, kiln_tensor *w)
{
    kiln_tensor *own = atomic_load(&f->weight), *none = NULL;
    if (own) return own;
    kiln_eagerly now = kiln_eagerly_open(c->t->k);
    own = multiplied(c, f, w);
    if (tensor_ok(own)) own = kiln_own(own);
    kiln_eagerly_close(&now);
    if (!tensor_ok(own) || atomic_compare_exchange_strong(&f->weight, &none, own)) return own;
    kiln_release(own);
    return none;
}

bool fold_operands(Call *c)
{
    Fold *f = c->node->fold;
    kiln_tensor *w = tensor(c, 1);
    if (f->by && tensor_ok(w)) w = c->t->trace ? multiplied(c, f, w) : kept(c, f, w);
    if (!tensor_ok(w)) return false;
    c->in[1] = (Held){.t = w};
    c->in[2] = (Held){.t = f->plus};
    c->nin = 3;
    return true;
}
