/* parse: a module from its text (docs/ir.md). The graphs are found first and read when first
 * named, so a region's graph may come after its user. Relies on text.h, infer. Trusts nothing:
 * every count is bounded or paid for by text, and every node is inferred anew. */
#include "infer.h"
#include "lex.h"
#include "sizes.h"

#define MAX_TEXT ((size_t)256 << 20)
#define MAX_NESTING 64 /* of graphs naming graphs */

typedef struct Pending { /* a graph that was found; read when `state` is 2 */
    Graph *g;
    Place params;
    uint8_t state;
} Pending;

typedef struct Parser {
    Lex lex;
    Module *m;
    VEC(Pending) pending;
    Map by_name; /* hash -> pending index */
    int nesting;
} Parser;

typedef struct Scope { /* of one graph's value names */
    Parser *p;
    Graph *g;
    Map value; /* number -> value */
} Scope;

/* ---- finding the graphs ------------------------------------------------------------------ */

static Pending *find(Parser *p, const char *name, uint64_t *key)
{
    for (*key = hash_key(hash_bytes(1, name, strlen(name)));; ++*key) {
        const uint64_t *i = map_get(&p->by_name, *key);
        if (!i) return NULL;
        if (strcmp(p->pending.at[*i].g->name, name) == 0) return &p->pending.at[*i];
    }
}

/* Moves behind the '}' that closes the first '{'. */
static bool skip_body(Parser *p)
{
    uint32_t depth = 0;
    for (;;) {
        lex_skip(&p->lex);
        char c = lex_look(&p->lex);
        if (p->lex.at.byte >= p->lex.len) return lex_fail(&p->lex, ST_FORMAT, "the graph ends without '}'");
        p->lex.at.byte++;
        if (c == '"')
            while (lex_look(&p->lex) >= ' ' && p->lex.text[p->lex.at.byte++] != '"') {
            }
        if (c == '{') depth++;
        if (c == '}' && (depth == 0 || --depth == 0)) return true;
    }
}

static bool find_graphs(Parser *p)
{
    for (lex_skip(&p->lex); p->lex.at.byte < p->lex.len; lex_skip(&p->lex)) {
        const char *name;
        uint64_t key;
        if (!lex_keyword(&p->lex, "graph") || !lex_graph_name(&p->lex, &name)) return false;
        if (find(p, name, &key)) return lex_fail(&p->lex, ST_FORMAT, "graph @%.100s is defined twice", name);
        map_put(&p->by_name, key, p->pending.len);
        Graph *g = graph_new(p->m, name);
        *VEC_PUSH(p->m->arena, &p->pending) = (Pending){.g = g, .params = p->lex.at};
        if (!skip_body(p)) return false;
    }
    return true;
}

/* After `in`: [lo,hi] of an argument's size; `loop`; or `node` and a bound. */
static bool read_bounds(Parser *p, const char *name)
{
    int64_t lo, hi;
    Dim d;
    if (lex_take(&p->lex, "loop")) {
        d = dim_made(&p->m->dims, name);
    } else if (lex_take(&p->lex, "node")) {
        if (!lex_dim(&p->lex, &d)) return false;
        d = dim_counted(&p->m->dims, name, d);
    } else {
        if (!lex_expect(&p->lex, "[") || !lex_scalar(&p->lex, DT_i64, &lo) || !lex_expect(&p->lex, ",") ||
            !lex_scalar(&p->lex, DT_i64, &hi))
            return false;
        d = dim_symbol(&p->m->dims, name, lo, hi);
        if (d != DIM_BAD && !lex_expect(&p->lex, "]")) return false;
    }
    return d != DIM_BAD || lex_fail(&p->lex, ST_FORMAT, "not a dim with bounds");
}

static bool symbols(Parser *p)
{
    if (!lex_keyword(&p->lex, "module") || !lex_expect(&p->lex, "{")) return false;
    if (lex_take(&p->lex, "}")) return true;
    if (!lex_keyword(&p->lex, "dims")) return false;
    do {
        const char *at;
        size_t n = lex_word(&p->lex, &at);
        if (n == 0) return lex_fail(&p->lex, ST_FORMAT, "expected a name");
        if (dim_find(&p->m->dims, at, n) != DIM_BAD)
            return lex_fail(&p->lex, ST_FORMAT, "dim %.*s is defined twice", (int)MIN_OF(n, 100), at);
        char *name = arena_zeros(p->m->arena, n + 1, 1);
        memcpy(name, at, n);
        if (!lex_keyword(&p->lex, "in") || !read_bounds(p, name)) return false;
    } while (lex_take(&p->lex, ","));
    return lex_expect(&p->lex, "}");
}

/* ---- nodes ------------------------------------------------------------------------------- */

static bool number(Parser *p, uint64_t *v)
{
    int64_t n;
    if (!lex_expect(&p->lex, "%") || !lex_scalar(&p->lex, DT_u32, &n)) return false;
    *v = (uint64_t)n;
    return true;
}

static bool define(Scope *s, uint64_t name, Value v)
{
    if (map_get(&s->value, name)) return lex_fail(&s->p->lex, ST_FORMAT, "%%%llu is defined twice", (unsigned long long)name);
    map_put(&s->value, name, v);
    return true;
}

static bool use(Scope *s, Value *v)
{
    uint64_t name;
    if (!number(s->p, &name)) return false;
    const uint64_t *known = map_get(&s->value, name);
    if (!known) return lex_fail(&s->p->lex, ST_FORMAT, "%%%llu is not defined", (unsigned long long)name);
    *v = (Value)*known;
    return true;
}

static bool read_graph(Parser *p, Pending *pending);

static bool graph_attr(Parser *p, int64_t *v)
{
    const char *name;
    uint64_t key;
    if (!lex_graph_name(&p->lex, &name)) return false;
    Pending *pending = find(p, name, &key);
    if (!pending) return lex_fail(&p->lex, ST_FORMAT, "graph @%.100s is not defined", name);
    *v = pending->g->index;
    if (pending->state == 2) return true;
    if (pending->state == 1) return lex_fail(&p->lex, ST_FORMAT, "graph @%.100s calls itself", name);
    if (p->nesting == MAX_NESTING) return lex_fail(&p->lex, ST_FORMAT, "graphs call graphs more than %d deep", MAX_NESTING);
    Place here = p->lex.at;
    if (!read_graph(p, pending)) return false;
    p->lex.at = here;
    return true;
}

/* scalar_type: of letter v */
static bool attr(Parser *p, char letter, DType scalar_type, int64_t *v)
{
    DType t;
    switch (letter) {
    case 'd':
    case 'D': return lex_dim(&p->lex, v);
    case 'g':
    case 'G': return graph_attr(p, v);
    case 'v': return lex_scalar(&p->lex, scalar_type, v);
    case 't':
    case 'T':
        if (!lex_dtype(&p->lex, &t)) return false;
        *v = t;
        return true;
    default: return lex_scalar(&p->lex, DT_i64, v);
    }
}

typedef VEC(int64_t) Attrs;

static bool attrs(Parser *p, const char *schema, DType operand, Attrs *to)
{
    uint32_t fixed = 0;
    Arena *a = p->m->arena;
    int64_t v;
    if (schema[0] == '\0') return true;
    lex_skip(&p->lex);
    if (schema[0] == 'T' && lex_look(&p->lex) != '{') return true;
    if (!lex_expect(&p->lex, "{")) return false;
    for (; schema[fixed] >= 'a'; fixed++) {
        DType t = schema[0] == 't' && fixed != 0 ? (DType)to->at[0] : operand;
        if (fixed != 0 && !lex_expect(&p->lex, ",")) return false;
        if (!attr(p, schema[fixed], t, &v)) return false;
        *VEC_PUSH(a, to) = v;
    }
    if (schema[fixed] == '?' || schema[fixed] == 'T') {
        if (fixed == 0 || lex_take(&p->lex, ",")) {
            if (!attr(p, schema[fixed], operand, &v)) return false;
            *VEC_PUSH(a, to) = v;
        }
    } else if (schema[fixed] != '\0') {
        if ((fixed != 0 && !lex_expect(&p->lex, ",")) || !lex_expect(&p->lex, "[")) return false;
        if (!lex_take(&p->lex, "]")) {
            do {
                if (!attr(p, schema[fixed], operand, &v)) return false;
                *VEC_PUSH(a, to) = v;
            } while (lex_take(&p->lex, ","));
            if (!lex_expect(&p->lex, "]")) return false;
        }
    }
    return lex_expect(&p->lex, "}");
}

typedef struct Draft { /* a node being read */
    Op op;
    VEC(uint64_t) result;
    VEC(Value) in;
    Attrs attr;
    VEC(Type) type;
    Place at;
} Draft;

static bool read_left(Scope *s, Draft *d)
{
    Parser *p = s->p;
    lex_skip(&p->lex);
    if (lex_look(&p->lex) == '%') {
        do {
            uint64_t name;
            if (!number(p, &name)) return false;
            *VEC_PUSH(p->m->arena, &d->result) = name;
        } while (lex_take(&p->lex, ","));
        if (!lex_expect(&p->lex, "=")) return false;
        lex_skip(&p->lex);
    }
    d->at = p->lex.at;
    const char *name;
    size_t n = lex_word(&p->lex, &name);
    d->op = op_parse(name, n);
    if (d->op != OP_none && d->op != OP_param) return true;
    p->lex.at = d->at;
    if (d->op == OP_param) return lex_fail(&p->lex, ST_FORMAT, "parameters belong in the graph's first line");
    return lex_fail(&p->lex, ST_FORMAT, n != 0 ? "there is no op '%.*s'" : "expected an op", (int)MIN_OF(n, 60), name);
}

static bool read_right(Scope *s, Draft *d)
{
    Parser *p = s->p;
    if (!lex_expect(&p->lex, "(")) return false;
    if (!lex_take(&p->lex, ")")) {
        do {
            if (!use(s, VEC_PUSH(p->m->arena, &d->in))) return false;
        } while (lex_take(&p->lex, ","));
        if (!lex_expect(&p->lex, ")")) return false;
    }
    DType operand = d->in.len != 0 ? (DType)graph_type(s->g, d->in.at[0])->dtype : DT_f32;
    if (!attrs(p, op_def[d->op].attrs, operand, &d->attr)) return false;
    if (!lex_take(&p->lex, ":")) return true;
    do {
        Type type;
        if (d->type.len == d->result.len) return lex_fail(&p->lex, ST_FORMAT, "more types than results");
        if (!lex_type(&p->lex, &type)) return false;
        *VEC_PUSH(p->m->arena, &d->type) = type;
    } while (lex_take(&p->lex, ","));
    return d->type.len == d->result.len || lex_fail(&p->lex, ST_FORMAT, "fewer types than results");
}

/* The types may be left out where they can be inferred; if given they must be what is inferred. */
static bool append(Scope *s, const Draft *d)
{
    Parser *p = s->p;
    Loc loc = {"text", (int)d->at.line};
    Place end = p->lex.at;
    Value v;
    p->lex.at = d->at; /* what is wrong with the node as a whole is told at its op */
    if (d->op == OP_call) {
        if (d->type.len == 0) return lex_fail(&p->lex, ST_FORMAT, "the result types of a call must be given");
        v = graph_append_typed(s->g, d->op, d->in.at, d->in.len, d->attr.at, d->attr.len, d->type.at, d->type.len, loc);
    } else {
        Status why = {0};
        v = graph_append(s->g, d->op, d->in.at, d->in.len, d->attr.at, d->attr.len, loc, &why);
        if (v == 0) return lex_fail(&p->lex, why.code, "%s", why.text);
        uint32_t nout = s->g->node.at[s->g->node.len - 1].nout;
        if (nout != d->result.len)
            return lex_fail(&p->lex, ST_FORMAT, "%s has %u results, not %u", op_def[d->op].name, nout, d->result.len);
    }
    for (uint32_t i = 0; i < d->result.len; i++) {
        if (i < d->type.len && !type_equal(&d->type.at[i], graph_type(s->g, v + i))) {
            char is[128], said[128];
            type_print(&p->m->dims, graph_type(s->g, v + i), is, sizeof is);
            type_print(&p->m->dims, &d->type.at[i], said, sizeof said);
            return lex_fail(&p->lex, ST_FORMAT, "%%%llu is %s, not %s", (unsigned long long)d->result.at[i], is, said);
        }
        if (!define(s, d->result.at[i], v + i)) return false;
    }
    p->lex.at = end;
    return true;
}

static bool read_node(Scope *s)
{
    Draft d = {0};
    return read_left(s, &d) && read_right(s, &d) && append(s, &d);
}

/* ---- graphs ------------------------------------------------------------------------------ */

static bool read_params(Scope *s)
{
    Parser *p = s->p;
    if (!lex_expect(&p->lex, "(")) return false;
    if (lex_take(&p->lex, ")")) return true;
    do {
        uint64_t name;
        Type t;
        if (!number(p, &name) || !lex_expect(&p->lex, ":") || !lex_type(&p->lex, &t)) return false;
        if (!define(s, name, graph_param(s->g, &t, (Loc){"text", (int)p->lex.at.line}))) return false;
    } while (lex_take(&p->lex, ","));
    return lex_expect(&p->lex, ")");
}

static bool read_results(Scope *s)
{
    Parser *p = s->p;
    if (!lex_expect(&p->lex, "(")) return false;
    if (lex_take(&p->lex, ")")) return true;
    do {
        Value v = 0;
        if (!use(s, &v)) return false;
        graph_result(s->g, v);
    } while (lex_take(&p->lex, ","));
    return lex_expect(&p->lex, ")");
}

/* The results come first in the text and are looked up last. */
static bool read_body(Scope *s)
{
    Parser *p = s->p;
    if (!read_params(s) || !lex_expect(&p->lex, "->")) return false;
    lex_skip(&p->lex);
    Place results = p->lex.at;
    const char *close = memchr(p->lex.text + p->lex.at.byte, ')', p->lex.len - p->lex.at.byte);
    if (lex_look(&p->lex) != '(' || !close) return lex_fail(&p->lex, ST_FORMAT, "expected the results in parentheses");
    while (p->lex.text + p->lex.at.byte <= close) {
        p->lex.at.byte++;
        lex_skip(&p->lex);
    }
    if (!lex_expect(&p->lex, "{")) return false;
    while (!lex_take(&p->lex, "}"))
        if (!read_node(s)) return false;
    Place end = p->lex.at;
    p->lex.at = results;
    if (!read_results(s)) return false;
    p->lex.at = end;
    return true;
}

static bool read_graph(Parser *p, Pending *pending)
{
    Scope s = {.p = p, .g = pending->g, .value = {.arena = p->m->arena}};
    pending->state = 1;
    p->lex.at = pending->params;
    p->nesting++;
    bool ok = read_body(&s);
    p->nesting--;
    pending->state = 2;
    return ok;
}

/* False, and *graph: one of its nodes names a size that nobody counted before. */
static bool sizes_known(Parser *p, uint32_t *graph)
{
    uint32_t node;
    for (*graph = 0; *graph < p->m->graph.len; ++*graph)
        if (!sizes_follow(p->m->graph.at[*graph], p->m->arena, &node)) return false;
    return true;
}

static void parse(void *arg)
{
    Parser *p = arg;
    if (p->lex.len > MAX_TEXT) {
        lex_fail(&p->lex, ST_FORMAT, "the text is too long");
        return;
    }
    if (!symbols(p) || !find_graphs(p)) return;
    for (uint32_t i = 0; i < p->pending.len; i++)
        if (p->pending.at[i].state == 0 && !read_graph(p, &p->pending.at[i])) return;
    Status why = {0};
    uint32_t graph = 0;
    const bool fair = module_expands_fairly(p->m, &graph, &why);
    if (fair && sizes_known(p, &graph)) return;
    if (fair) status_fail(&why, ST_FORMAT, "graph @%.100s names a size that no node before counts", p->m->graph.at[graph]->name);
    p->lex.at = p->pending.at[graph].params;
    lex_fail(&p->lex, why.code, "%s", why.text);
}

typedef struct Start {
    Arena *arena;
    Module *m;
} Start;

static void start(void *arg)
{
    Start *s = arg;
    s->m = module_new(s->arena);
}

Module *module_parse(Arena *arena, const char *text, size_t len, Status *st)
{
    Start s = {arena, NULL};
    if (st->code != ST_OK || !arena_try(arena, st, start, &s)) return NULL;
    Lex lex = {.text = text, .len = len, .at = {.line = 1}, .st = st, .arena = arena, .dims = &s.m->dims};
    Parser p = {.lex = lex, .m = s.m, .by_name = {.arena = arena}};
    return arena_try(arena, st, parse, &p) && st->code == ST_OK ? s.m : NULL;
}
