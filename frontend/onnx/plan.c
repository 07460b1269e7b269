/* plan: a model's graphs and functions, planned once: each name is a number, each node has its row of operators.def or the function
 * that it calls. What is missing is told all at once. Relies on import.h. */
#include "import.h"

#include <stdio.h>

#include "names.h"

/* Functions that call functions twice make of a small file any number of nodes. */
enum { MOST_DEPTH = 100, MOST_STEPS = 1 << 18, MOST_PER_NODE = 16 };

int64_t opset_version(const OnnxOpset *at, uint32_t n, Bytes domain)
{
    static const uint8_t name[] = "ai.onnx";
    for (uint32_t i = 0; i < n; i++)
        if (bytes_equal(at[i].domain, domain) || (domain.n == 0 && bytes_equal(at[i].domain, (Bytes){name, sizeof name - 1})))
            return at[i].version;
    return 1;
}

/* ---- what is missing ---------------------------------------------------------------------------------- */

typedef struct Planner {
    kiln_onnx *m;
    Status *st;
    Arena *arena;
    int depth;
    uint64_t nodes;  /* of the file, so far */
    Names functions; /* by domain, name and overload: the first of each */
    uint32_t *first; /* per such name: which function */
    uint8_t *key;    /* room for the longest name, and its length */
    size_t longest;
    Plan **function; /* per function of the model: planned */
    bool *open;      /* per function: it is being planned */
    VEC(Missed) missed;
} Planner;

static void miss(Planner *w, const Missed *x) { *VEC_PUSH(w->arena, &w->missed) = *x; }

/* An error's text has little room: so many kinds, and nodes of each, are told; the others are counted. */
enum { KINDS = 16, TOLD = 4 };

typedef struct MissedKind { /* the same operator, or attribute of it, or value of that */
    const Missed *node[TOLD];
    uint32_t count;
} MissedKind;

typedef struct MissedText {
    char at[340];
    size_t n;
    uint32_t left_out; /* nodes of kinds that are not told */
    bool cut;
} MissedText;

static bool same_kind(const Missed *x, const Missed *y)
{
    const OnnxNode *a = x->node, *b = y->node;
    if (x->version != y->version || !bytes_equal(a->op, b->op) || !bytes_equal(a->domain, b->domain)) return false;
    if (x->word != y->word || !x->attribute != !y->attribute) return false;
    return !x->attribute ||
           (bytes_equal(x->attribute->name, y->attribute->name) && (!x->word || bytes_equal(x->attribute->s, y->attribute->s)));
}

/* "com.lib.Frob 17", "Relu 17's attribute slope", "Pad 17's mode 'strange'". */
static size_t kind_text(char *to, size_t cap, const Missed *x)
{
    const OnnxNode *n = x->node;
    const int end = snprintf(
        to, cap, "%.40s%s%.60s %lld", shown(n->domain).text, n->domain.n ? "." : "", shown(n->op).text, (long long)x->version);
    if (!x->attribute) return (size_t)end;
    return (size_t)(end + snprintf(to + end, cap - (size_t)end, "'s %s%.40s%s%.30s%s", x->word ? "" : "attribute ",
                              shown(x->attribute->name).text, x->word ? " '" : "", x->word ? shown(x->attribute->s).text : "",
                              x->word ? "'" : ""));
}

/* By its name, or else by its number. */
static size_t place_text(char *to, size_t cap, const Missed *x)
{
    const bool named = x->node->name.n != 0, within = x->within.n != 0;
    char number[24];
    snprintf(number, sizeof number, "%u", x->at);
    return (size_t)snprintf(to, cap, "%s%.40s%s%s%.30s%s", named ? "'" : "", named ? shown(x->node->name).text : number,
        named ? "'" : "", within ? " of function '" : "", within ? shown(x->within).text : "", within ? "'" : "");
}

/* "Frob 17 (nodes 'a', 4 and 7 more)"; nodes of a kind that does not fit are counted. */
static void tell(MissedText *to, const MissedKind *k)
{
    char text[900];
    size_t n = kind_text(text, sizeof text, k->node[0]);
    const size_t room = sizeof to->at - to->n; /* at first enough for any kind and a node of it */
    uint32_t told = 0;
    n += (size_t)snprintf(text + n, sizeof text - n, k->count > 1 ? " (nodes " : " (node ");
    while (told < k->count && told < TOLD) {
        char place[160];
        const size_t more = place_text(place, sizeof place, k->node[told]);
        if (told && n + more + 40 > room) break;
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", told ? ", " : "", place);
        told++;
    }
    if (told < k->count) n += (size_t)snprintf(text + n, sizeof text - n, " and %u more", k->count - told);
    n += (size_t)snprintf(text + n, sizeof text - n, ")");
    to->cut |= told < k->count || to->n + n + 3 > sizeof to->at;
    if (to->n + n + 3 > sizeof to->at)
        to->left_out += k->count;
    else
        to->n += (size_t)snprintf(to->at + to->n, sizeof to->at - to->n, "%s%s", to->n ? ", " : "", text);
}

/* All that is missing at once: operators, attributes that they have not, and values that these have not. */
bool plan_whole(const kiln_onnx *m, Status *st)
{
    MissedText text = {.n = 0};
    MissedKind kind[KINDS];
    uint32_t kinds = 0, operators = 0, attributes = 0;
    for (uint32_t i = 0; i < m->missing; i++) {
        const Missed *x = &m->missed[i];
        uint32_t j = 0;
        while (j < kinds && !same_kind(kind[j].node[0], x)) j++;
        attributes += !!x->attribute;
        operators += !x->attribute;
        if (j == KINDS) {
            text.left_out++;
            continue;
        }
        if (j == kinds) kind[kinds++].count = 0;
        if (kind[j].count < TOLD) kind[j].node[kind[j].count] = x;
        kind[j].count++;
    }
    for (uint32_t j = 0; j < kinds; j++) tell(&text, &kind[j]);
    const char *what = !attributes ? "operators"
                       : operators ? "operators, or attributes of them,"
                                   : "attributes, or values of them,";
    char more[64] = "";
    if (text.left_out) snprintf(more, sizeof more, ", and %u nodes more", text.left_out);
    return m->missing == 0 || status_fail(st, ST_UNSUPPORTED, "%s that Kiln does not have, or not in this version: %s%s%s", what,
                                  text.at, more, text.cut || text.left_out ? " (kiln inspect lists all)" : "");
}

/* ---- names -------------------------------------------------------------------------------------------- */

typedef struct Taken {
    uint32_t here, there;
} Taken;

typedef struct NameScope { /* of a graph while it is planned */
    Names names;
    Names initial;    /* of initialisers, which are numbered as they are read: what nobody reads takes no memory from then on */
    uint32_t *stated; /* per such name: which initialiser, the last of that name */
    uint32_t *number; /* per initialiser; UINT32_MAX: not read so far */
    struct NameScope *outer;
    VEC(Taken) taken;
} NameScope;

static uint32_t number_of(NameScope *s, Bytes name)
{
    if (name.n == 0) return UINT32_MAX;
    names_add(&s->names, name);
    return names_number(&s->names, name);
}

/* Of a value that is read: this graph's own, or one of a graph around it, which this and all between take. */
static uint32_t number_read(NameScope *s, Bytes name)
{
    const uint32_t own = name.n == 0 ? UINT32_MAX : names_number(&s->names, name);
    const uint32_t initial = own != UINT32_MAX || name.n == 0 ? UINT32_MAX : names_number(&s->initial, name);
    if (initial != UINT32_MAX) return s->number[s->stated[initial]] = number_of(s, name);
    if (own != UINT32_MAX || name.n == 0 || !s->outer) return number_of(s, name);
    const Taken t = {number_of(s, name), number_read(s->outer, name)};
    *VEC_PUSH(s->names.arena, &s->taken) = t;
    return t.here;
}

static void take(Planner *w, Plan *p, const NameScope *s)
{
    p->names = s->names.name.len;
    p->takes = s->taken.len;
    p->taken = ARENA_ARRAY(w->arena, uint32_t, p->takes + 1);
    p->from = ARENA_ARRAY(w->arena, uint32_t, p->takes + 1);
    for (uint32_t i = 0; i < p->takes; i++) p->taken[i] = s->taken.at[i].here, p->from[i] = s->taken.at[i].there;
}

/* ---- nodes -------------------------------------------------------------------------------------------- */

typedef struct Source { /* what a plan is made of */
    const OnnxNode *node;
    uint32_t nodes;
    const OnnxOpset *opset;
    uint32_t opsets;
} Source;

static Plan *plan_graph(Planner *w, const OnnxGraph *g, const Source *around, NameScope *outer);
static Plan *plan_function(Planner *w, uint32_t i);

static bool too_deep(Planner *w)
{
    if (w->depth <= MOST_DEPTH) return false;
    status_fail(w->st, ST_FORMAT, "functions and graphs lie too deep within each other (allowed: %d)", MOST_DEPTH);
    return true;
}

static bool plan_inner(Planner *w, PlanNode *n, const Source *from, NameScope *s)
{
    const OnnxNode *x = n->node;
    for (uint32_t i = 0; i < x->attribute.n; i++) {
        if (!x->attribute.at[i].g) continue;
        if (!n->inner) n->inner = ARENA_ARRAY(w->arena, Plan *, x->attribute.n);
        n->inner[i] = plan_graph(w, x->attribute.at[i].g, from, s);
        if (!n->inner[i]) return false;
    }
    return true;
}

static size_t key_bytes(Bytes domain, Bytes name, Bytes overload) { return domain.n + name.n + overload.n + 2 * sizeof(size_t); }

/* What a node and the function that it calls have in common; in `key`, which must have room. */
static Bytes function_key(Planner *w, Bytes domain, Bytes name, Bytes overload)
{
    const Bytes part[] = {
        {(const uint8_t *)&domain.n, sizeof domain.n}, {(const uint8_t *)&name.n, sizeof name.n}, domain, name, overload};
    size_t n = 0;
    for (size_t i = 0; i < COUNT_OF(part); n += part[i++].n)
        if (part[i].n != 0) memcpy(w->key + n, part[i].at, part[i].n);
    return (Bytes){w->key, n};
}

static void name_functions(Planner *w)
{
    const OnnxModel *m = w->m->model;
    w->functions.arena = &w->m->scratch;
    w->first = ARENA_ARRAY(&w->m->scratch, uint32_t, m->function.n + 1);
    for (uint32_t i = 0; i < m->function.n; i++) {
        const OnnxFunction *f = &m->function.at[i];
        w->longest = MAX_OF(w->longest, key_bytes(f->domain, f->name, f->overload));
        w->key = arena_alloc(&w->m->scratch, key_bytes(f->domain, f->name, f->overload)); /* stays: the names are these bytes */
        if (names_add(&w->functions, function_key(w, f->domain, f->name, f->overload))) w->first[w->functions.name.len - 1] = i;
    }
    w->key = arena_alloc(&w->m->scratch, w->longest + 1);
}

/* The function that the node calls; UINT32_MAX: none. */
static uint32_t function_of(Planner *w, const OnnxNode *x)
{
    if (key_bytes(x->domain, x->op, x->overload) > w->longest) return UINT32_MAX;
    const uint32_t name = names_number(&w->functions, function_key(w, x->domain, x->op, x->overload));
    return name == UINT32_MAX ? name : w->first[name];
}

static bool plan_node(Planner *w, Plan *p, uint32_t i, const Source *from, NameScope *s)
{
    const OnnxNode *x = &from->node[i];
    PlanNode *n = &p->node[i];
    w->nodes++;
    *n = (PlanNode){.node = x, .version = opset_version(from->opset, from->opsets, x->domain)};
    const uint32_t f = function_of(w, x);
    if (f != UINT32_MAX && !(n->function = plan_function(w, f))) return false;
    if (!n->function) n->op = operator_of(x->domain, x->op, n->version);
    const OnnxAttribute *a = n->op ? attribute_undefined(x, n->version) : NULL, *word = n->op && !a ? attribute_unworded(x) : NULL;
    const Bytes within = p->function ? p->function->name : (Bytes){NULL, 0};
    if ((!n->function && !n->op) || a || word) miss(w, &(Missed){x, i, n->version, a ? a : word, word, within});
    n->in = ARENA_ARRAY(w->arena, uint32_t, x->input.n + 1);
    n->out = ARENA_ARRAY(w->arena, uint32_t, x->output.n + 1);
    for (uint32_t j = 0; j < x->input.n; j++) n->in[j] = number_read(s, x->input.at[j]);
    if (!plan_inner(w, n, from, s)) return false;
    for (uint32_t j = 0; j < x->output.n; j++) n->out[j] = number_of(s, x->output.at[j]);
    uint64_t steps = 1 + (n->function ? n->function->steps : 0);
    for (uint32_t j = 0; n->inner && j < x->attribute.n; j++) steps += n->inner[j] ? n->inner[j]->steps : 0;
    p->steps += steps;
    const uint64_t most = MOST_STEPS + MOST_PER_NODE * w->nodes;
    return p->steps <= most || status_fail(w->st, ST_UNSUPPORTED, "with its functions it has more than %llu nodes, made of %llu",
                                   (unsigned long long)most, (unsigned long long)w->nodes);
}

static bool plan_nodes(Planner *w, Plan *p, const Source *from, NameScope *s)
{
    p->nodes = from->nodes;
    p->node = ARENA_ARRAY(w->arena, PlanNode, p->nodes + 1);
    for (uint32_t i = 0; i < p->nodes; i++)
        if (!plan_node(w, p, i, from, s)) return false;
    p->next = w->m->plans;
    w->m->plans = p;
    return true;
}

static void name_initializers(Planner *w, const OnnxGraph *g, NameScope *s)
{
    Arena *a = &w->m->scratch;
    s->initial.arena = a;
    s->stated = ARENA_ARRAY(a, uint32_t, g->initializer.n + 1);
    s->number = ARENA_ARRAY(a, uint32_t, g->initializer.n + 1);
    if (g->initializer.n != 0) names_room(&s->initial, g->initializer.n);
    for (uint32_t i = 0; i < g->initializer.n; i++) {
        names_add(&s->initial, g->initializer.at[i].name);
        s->stated[names_number(&s->initial, g->initializer.at[i].name)] = i;
        s->number[i] = UINT32_MAX;
    }
}

/* Those that were read, in the file's order. */
static void take_initializers(Planner *w, Plan *p, const NameScope *s)
{
    const uint32_t n = p->graph->initializer.n;
    uint32_t read = 0;
    for (uint32_t i = 0; i < n; i++) read += s->number[i] != UINT32_MAX;
    p->initializer = ARENA_ARRAY(w->arena, uint32_t, read + 1);
    p->value = ARENA_ARRAY(w->arena, const OnnxTensor *, read + 1);
    for (uint32_t i = 0; i < n; i++) {
        if (s->number[i] == UINT32_MAX) continue;
        p->initializer[p->initializers] = s->number[i];
        p->value[p->initializers++] = &p->graph->initializer.at[i];
    }
    p->weight = w->m->initializers;
    w->m->initializers += p->initializers;
}

/* Inputs that have an initialiser are no inputs. */
static Plan *plan_graph(Planner *w, const OnnxGraph *g, const Source *around, NameScope *outer)
{
    NameScope s = {.names = {.arena = &w->m->scratch}, .outer = outer};
    Source from = {g->node.at, g->node.n, around->opset, around->opsets};
    Plan *p = ARENA_NEW(w->arena, Plan);
    w->depth++;
    if (too_deep(w)) return NULL;
    p->graph = g;
    p->outputs = g->output.n;
    p->input = ARENA_ARRAY(w->arena, uint32_t, g->input.n + 1);
    p->stated = ARENA_ARRAY(w->arena, uint32_t, g->input.n + 1);
    p->narrow = ARENA_ARRAY(w->arena, uint8_t, g->input.n + 1);
    p->output = ARENA_ARRAY(w->arena, uint32_t, p->outputs + 1);
    name_initializers(w, g, &s);
    for (uint32_t i = 0; i < g->input.n; i++) {
        if (names_have(&s.initial, g->input.at[i].name)) continue;
        const uint32_t number = number_of(&s, g->input.at[i].name);
        const OnnxArray *element;
        onnx_kind(g->input.at[i].type, &element);
        p->narrow[p->inputs] = element ? narrow_bits(element->type) : 0;
        p->stated[p->inputs] = i;
        p->input[p->inputs++] = number;
    }
    if (!plan_nodes(w, p, &from, &s)) return NULL;
    for (uint32_t i = 0; i < p->outputs; i++) p->output[i] = number_read(&s, g->output.at[i].name);
    take_initializers(w, p, &s);
    take(w, p, &s);
    w->depth--;
    return p;
}

static Plan *plan_body(Planner *w, const OnnxFunction *f)
{
    NameScope s = {.names = {.arena = &w->m->scratch}};
    const Source from = {f->node.at, f->node.n, f->opset.at, f->opset.n};
    Plan *p = ARENA_NEW(w->arena, Plan);
    w->depth++;
    if (too_deep(w)) return NULL;
    p->function = f;
    p->inputs = f->input.n;
    p->outputs = f->output.n;
    p->input = ARENA_ARRAY(w->arena, uint32_t, p->inputs + 1);
    p->output = ARENA_ARRAY(w->arena, uint32_t, p->outputs + 1);
    for (uint32_t i = 0; i < p->inputs; i++) p->input[i] = number_of(&s, f->input.at[i]);
    if (!plan_nodes(w, p, &from, &s)) return NULL;
    for (uint32_t i = 0; i < p->outputs; i++) p->output[i] = number_of(&s, f->output.at[i]);
    take(w, p, &s);
    w->depth--;
    return p;
}

static Plan *plan_function(Planner *w, uint32_t i)
{
    const OnnxFunction *f = &w->m->model->function.at[i];
    if (w->open[i]) return status_fail(w->st, ST_FORMAT, "function %u, '%s', calls itself", i, shown(f->name).text), NULL;
    if (w->function[i]) return w->function[i];
    w->open[i] = true;
    w->function[i] = plan_body(w, f);
    w->open[i] = false;
    return w->function[i];
}

/* ---- all ---------------------------------------------------------------------------------------------- */

bool plan_model(kiln_onnx *m, Status *st)
{
    const OnnxModel *x = m->model;
    Planner w = {.m = m, .st = st, .arena = &m->arena};
    const Source from = {.opset = x->opset.at, .opsets = x->opset.n};
    m->scratch.border = m->arena.border;
    m->plans = NULL;
    m->initializers = 0;
    w.function = ARENA_ARRAY(w.arena, Plan *, x->function.n + 1);
    w.open = ARENA_ARRAY(w.arena, bool, x->function.n + 1);
    name_functions(&w);
    Plan *p = plan_graph(&w, x->graph, &from, NULL);
    if (!p) return false;
    m->missed = w.missed.at;
    m->missing = w.missed.len;
    know_numbers(m, p);
    m->inputs = p->inputs;
    m->fixed = ARENA_ARRAY(w.arena, bool, m->inputs + 1);
    for (uint32_t i = 0; i < m->inputs; i++) m->fixed[i] = p->known[p->input[i]];
    onnx_signature(m, p);
    m->plan = p; /* last: until then memory may run out */
    return true;
}
