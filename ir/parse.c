/* parse: a module from its text (docs/ir.md). The graphs are found first and read when first named, so a region's graph may come after
 * its user. Relies on text.h, infer. Trusts nothing: every count is bounded or paid for by text, and every node is inferred anew. */
#include "text.h"
#include "infer.h"

#include <stdio.h>

#define MAX_TEXT ((size_t)256 << 20)
#define MAX_SYMBOLS 256
#define MAX_NESTING 64 /* of graphs naming graphs */
#define MAX_ATTR 64
#define MAX_OPERANDS UINT16_MAX

typedef struct Place {
    size_t at, line_start;
    uint32_t line;
} Place;

typedef struct Stub { /* a graph that was found; read when `state` is 2 */
    Graph *g;
    Place params;
    uint8_t state;
} Stub;

typedef struct Parser {
    Module *m;
    const char *text;
    size_t len;
    Place p;
    Status *st;
    VEC(Stub) stub;
    Map by_name;  /* hash -> stub index */
    int nesting;
} Parser;

typedef struct Scope { /* of one graph's value names */
    Parser *p;
    Graph *g;
    Map value; /* number -> value */
} Scope;

static bool fail(Parser *p, StatusCode code, const char *format, ...) PRINTF_LIKE(3, 4);
static bool fail(Parser *p, StatusCode code, const char *format, ...)
{
    char text[sizeof p->st->text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return status_fail(p->st, code, "%u:%zu: %.440s", p->p.line, p->p.at - p->p.line_start + 1, text);
}

/* ---- words ------------------------------------------------------------------------------------------------- */

static char look(const Parser *p)
{
    return p->p.at < p->len ? p->text[p->p.at] : '\0';
}

/* Past blanks and comments, which run from two slashes to the end of the line. */
static void skip(Parser *p)
{
    while (p->p.at < p->len) {
        char c = p->text[p->p.at];
        if (c == '\n') {
            p->p.line++;
            p->p.line_start = p->p.at + 1;
        } else if (c == '/' && p->p.at + 1 < p->len && p->text[p->p.at + 1] == '/') {
            const char *end = memchr(p->text + p->p.at, '\n', p->len - p->p.at);
            p->p.at = end != NULL ? (size_t)(end - p->text) : p->len;
            continue;
        } else if (c != ' ' && c != '\t' && c != '\r') {
            return;
        }
        p->p.at++;
    }
}

static bool take(Parser *p, const char *what)
{
    size_t n = strlen(what);
    skip(p);
    if (p->len - p->p.at < n || memcmp(p->text + p->p.at, what, n) != 0) return false;
    p->p.at += n;
    return true;
}

static bool expect(Parser *p, const char *what)
{
    return take(p, what) || fail(p, ST_FORMAT, "expected '%s'", what);
}

static bool is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static size_t word(Parser *p, const char **at)
{
    skip(p);
    *at = p->text + p->p.at;
    while (is_word_char(look(p))) p->p.at++;
    return (size_t)(p->text + p->p.at - *at);
}

static bool keyword(Parser *p, const char *what)
{
    Place before = p->p;
    const char *at;
    size_t n = word(p, &at);
    if (n == strlen(what) && memcmp(at, what, n) == 0) return true;
    p->p = before;
    skip(p);
    return fail(p, ST_FORMAT, "expected '%s'", what);
}

/* A number in its own spelling: what is left of it is for the caller to judge. */
static bool scalar(Parser *p, DType t, int64_t *v)
{
    skip(p);
    size_t n = 0;
    const char *at = p->text + p->p.at;
    for (size_t left = p->len - p->p.at; n < left && (is_word_char(at[n]) || memchr("+-.", at[n], 3) != NULL);) n++;
    if (!scalar_parse(t, at, n, v)) return fail(p, ST_FORMAT, "expected a value of %s", dtype_info[t].name);
    p->p.at += n;
    return true;
}

static bool dim(Parser *p, Dim *d)
{
    size_t used;
    skip(p);
    *d = dim_parse(&p->m->dims, p->text + p->p.at, p->len - p->p.at, &used);
    if (*d == DIM_BAD) return fail(p, ST_FORMAT, "not a size");
    p->p.at += used;
    return true;
}

static bool dtype(Parser *p, DType *t)
{
    const char *at;
    Place before = p->p;
    size_t n = word(p, &at);
    *t = dtype_parse(at, n);
    if (*t != DT_NONE) return true;
    p->p = before;
    skip(p);
    return fail(p, ST_FORMAT, "expected a dtype");
}

static bool type(Parser *p, Type *out)
{
    DType t;
    if (!dtype(p, &t) || !expect(p, "[")) return false;
    *out = (Type){.dtype = (uint8_t)t};
    if (take(p, "]")) return true;
    do {
        if (out->rank == MAX_RANK) return fail(p, ST_FORMAT, "rank beyond %d", MAX_RANK);
        if (!dim(p, &out->dim[out->rank++])) return false;
    } while (take(p, ","));
    if (type_elements(&p->m->dims, out) == DIM_BAD) return fail(p, ST_FORMAT, "the type is too large");
    return expect(p, "]");
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* @name or @"quoted": a copy in the arena. */
static bool graph_name(Parser *p, const char **out)
{
    if (!expect(p, "@")) return false;
    bool quoted = look(p) == '"';
    if (quoted) p->p.at++;
    size_t first = p->p.at, n = 0;
    char c;
    while ((c = look(p)) >= ' ' && c != '"' && (quoted || is_word_char(c) || memchr(".$#-", c, 4) != NULL)) p->p.at++;
    char *name = arena_alloc(p->m->arena, p->p.at - first + 1);
    for (size_t i = first; i < p->p.at; i++) {
        c = p->text[i];
        if (c == '\\') {
            int hi = i + 2 < p->p.at ? hex_digit(p->text[i + 1]) : -1, lo = hi >= 0 ? hex_digit(p->text[i + 2]) : -1;
            if (lo < 0 || 16 * hi + lo == 0) return fail(p, ST_FORMAT, "bad escape in a name");
            c = (char)(16 * hi + lo);
            i += 2;
        }
        name[n++] = c;
    }
    name[n] = '\0';
    *out = name;
    if (quoted) return expect(p, "\"");
    return n != 0 || fail(p, ST_FORMAT, "expected a name");
}

/* ---- finding the graphs ---------------------------------------------------------------------------------------- */

static Stub *find(Parser *p, const char *name, uint64_t *key)
{
    for (*key = hash_bytes(1, name, strlen(name));; ++*key) {
        const uint64_t *i = map_get(&p->by_name, *key);
        if (i == NULL) return NULL;
        if (strcmp(p->stub.at[*i].g->name, name) == 0) return &p->stub.at[*i];
    }
}

/* To behind the '}' that closes the first '{'. */
static bool skip_body(Parser *p)
{
    uint32_t depth = 0;
    for (;;) {
        skip(p);
        char c = look(p);
        if (p->p.at >= p->len) return fail(p, ST_FORMAT, "the graph is not closed");
        p->p.at++;
        if (c == '"')
            while (look(p) >= ' ' && p->text[p->p.at++] != '"') {
            }
        if (c == '{') depth++;
        if (c == '}' && (depth == 0 || --depth == 0)) return true;
    }
}

static bool find_graphs(Parser *p)
{
    for (skip(p); p->p.at < p->len; skip(p)) {
        const char *name;
        uint64_t key;
        if (!keyword(p, "graph") || !graph_name(p, &name)) return false;
        if (find(p, name, &key) != NULL) return fail(p, ST_FORMAT, "a second graph @%.100s", name);
        map_put(&p->by_name, key, p->stub.len);
        Graph *g = graph_new(p->m, name);
        *VEC_PUSH(p->m->arena, &p->stub) = (Stub){.g = g, .params = p->p};
        if (!skip_body(p)) return false;
    }
    return true;
}

static bool symbols(Parser *p)
{
    uint32_t count = 0;
    if (!keyword(p, "module") || !expect(p, "{")) return false;
    if (take(p, "}")) return true;
    if (!keyword(p, "dims")) return false;
    do {
        const char *at;
        int64_t lo, hi;
        size_t n = word(p, &at);
        if (count++ == MAX_SYMBOLS) return fail(p, ST_FORMAT, "more than %d dims", MAX_SYMBOLS);
        if (n == 0) return fail(p, ST_FORMAT, "expected a name");
        if (dim_find(&p->m->dims, at, n) != DIM_BAD) return fail(p, ST_FORMAT, "a second dim %.*s", (int)MIN_OF(n, 100), at);
        if (!keyword(p, "in") || !expect(p, "[") || !scalar(p, DT_i64, &lo) || !expect(p, ",") || !scalar(p, DT_i64, &hi)) return false;
        char *name = arena_zeros(p->m->arena, n + 1, 1);
        memcpy(name, at, n);
        if (dim_symbol(&p->m->dims, name, lo, hi) == DIM_BAD) return fail(p, ST_FORMAT, "not a dim with bounds");
        if (!expect(p, "]")) return false;
    } while (take(p, ","));
    return expect(p, "}");
}

/* ---- nodes --------------------------------------------------------------------------------------------------------- */

static bool number(Parser *p, uint64_t *v)
{
    int64_t n;
    if (!expect(p, "%") || !scalar(p, DT_u32, &n)) return false;
    *v = (uint64_t)n;
    return true;
}

static bool define(Scope *s, uint64_t name, Value v)
{
    if (map_get(&s->value, name) != NULL) return fail(s->p, ST_FORMAT, "%%%llu is defined twice", (unsigned long long)name);
    map_put(&s->value, name, v);
    return true;
}

static bool use(Scope *s, Value *v)
{
    uint64_t name;
    if (!number(s->p, &name)) return false;
    const uint64_t *known = map_get(&s->value, name);
    if (known == NULL) return fail(s->p, ST_FORMAT, "%%%llu is not defined", (unsigned long long)name);
    *v = (Value)*known;
    return true;
}

static bool read_graph(Parser *p, Stub *stub);

static bool graph_attr(Parser *p, int64_t *v)
{
    const char *name;
    uint64_t key;
    if (!graph_name(p, &name)) return false;
    Stub *stub = find(p, name, &key);
    if (stub == NULL) return fail(p, ST_FORMAT, "no graph @%.100s", name);
    *v = stub->g->index;
    if (stub->state == 2) return true;
    if (stub->state == 1) return fail(p, ST_FORMAT, "graph @%.100s runs itself", name);
    if (p->nesting == MAX_NESTING) return fail(p, ST_FORMAT, "graphs name graphs more than %d deep", MAX_NESTING);
    Place here = p->p;
    if (!read_graph(p, stub)) return false;
    p->p = here;
    return true;
}

/* scalar_type: of letter v */
static bool attr(Parser *p, char letter, DType scalar_type, int64_t *v)
{
    DType t;
    switch (letter) {
    case 'd':
    case 'D': return dim(p, v);
    case 'g': return graph_attr(p, v);
    case 'f': return scalar(p, DT_f64, v);
    case 'v': return scalar(p, scalar_type, v);
    case 't':
        if (!dtype(p, &t)) return false;
        *v = t;
        return true;
    default: return scalar(p, DT_i64, v);
    }
}

static bool attrs(Parser *p, const char *schema, DType operand, int64_t *at, uint32_t *n)
{
    uint32_t fixed = 0;
    *n = 0;
    if (schema[0] == '\0') return true;
    if (!expect(p, "{")) return false;
    for (; schema[fixed] >= 'a'; fixed++) {
        DType t = schema[0] == 't' && fixed != 0 ? (DType)at[0] : operand;
        if (fixed != 0 && !expect(p, ",")) return false;
        if (!attr(p, schema[fixed], t, &at[(*n)++])) return false;
    }
    if (schema[fixed] != '\0') {
        if ((fixed != 0 && !expect(p, ",")) || !expect(p, "[")) return false;
        if (!take(p, "]")) {
            do {
                if (*n == MAX_ATTR) return fail(p, ST_FORMAT, "more than %d attributes", MAX_ATTR);
                if (!attr(p, schema[fixed], operand, &at[(*n)++])) return false;
            } while (take(p, ","));
            if (!expect(p, "]")) return false;
        }
    }
    return expect(p, "}");
}

typedef struct Draft { /* a node being read */
    Op op;
    uint32_t results, nattr, types;
    uint64_t result[MAX_RESULTS];
    VEC(Value) in;
    int64_t attr[MAX_ATTR];
    Type type[MAX_RESULTS];
    Place at;
} Draft;

static bool read_left(Scope *s, Draft *d)
{
    Parser *p = s->p;
    do {
        if (d->results == MAX_RESULTS) return fail(p, ST_FORMAT, "more than %d results", MAX_RESULTS);
        if (!number(p, &d->result[d->results++])) return false;
    } while (take(p, ","));
    if (!expect(p, "=")) return false;
    skip(p);
    d->at = p->p;
    const char *name;
    size_t n = word(p, &name);
    d->op = op_parse(name, n);
    if (d->op != OP_none && d->op != OP_param) return true;
    p->p = d->at;
    return fail(p, ST_FORMAT, d->op == OP_param ? "parameters belong in the graph's first line" : "expected an op");
}

static bool read_right(Scope *s, Draft *d)
{
    Parser *p = s->p;
    if (!expect(p, "(")) return false;
    if (!take(p, ")")) {
        do {
            if (d->in.len == MAX_OPERANDS) return fail(p, ST_FORMAT, "more than %d operands", MAX_OPERANDS);
            if (!use(s, VEC_PUSH(p->m->arena, &d->in))) return false;
        } while (take(p, ","));
        if (!expect(p, ")")) return false;
    }
    DType operand = d->in.len != 0 ? (DType)graph_type(s->g, d->in.at[0])->dtype : DT_f32;
    if (!attrs(p, op_def[d->op].attrs, operand, d->attr, &d->nattr)) return false;
    if (!take(p, ":")) return true;
    do {
        if (d->types == d->results) return fail(p, ST_FORMAT, "more types than results");
        if (!type(p, &d->type[d->types++])) return false;
    } while (take(p, ","));
    return d->types == d->results || fail(p, ST_FORMAT, "fewer types than results");
}

/* The types may be left out where they can be inferred; if given they must be what is inferred. */
static bool append(Scope *s, const Draft *d)
{
    Parser *p = s->p;
    Loc loc = {"text", (int)d->at.line};
    Value v;
    if (d->op == OP_call) {
        if (d->types == 0) return fail(p, ST_FORMAT, "a call's types must be given");
        v = graph_append_typed(s->g, d->op, d->in.at, d->in.len, d->attr, d->nattr, d->type, d->types, loc);
    } else {
        Status why = {0};
        v = graph_append(s->g, d->op, d->in.at, d->in.len, d->attr, d->nattr, loc, &why);
        p->p = v != 0 ? p->p : d->at;
        if (v == 0) return fail(p, why.code, "%s", why.text);
        uint32_t nout = graph_maker(s->g, v)->nout;
        if (nout != d->results) return fail(p, ST_FORMAT, "%s has %u results, not %u", op_def[d->op].name, nout, d->results);
    }
    for (uint32_t i = 0; i < d->results; i++) {
        char text[128];
        type_print(&p->m->dims, graph_type(s->g, v + i), text, sizeof text);
        if (i < d->types && !type_equal(&d->type[i], graph_type(s->g, v + i)))
            return fail(p, ST_FORMAT, "%%%llu is %s", (unsigned long long)d->result[i], text);
        if (!define(s, d->result[i], v + i)) return false;
    }
    return true;
}

static bool read_node(Scope *s)
{
    Draft d = {0};
    return read_left(s, &d) && read_right(s, &d) && append(s, &d);
}

/* ---- graphs ----------------------------------------------------------------------------------------------------------- */

static bool read_params(Scope *s)
{
    Parser *p = s->p;
    if (!expect(p, "(")) return false;
    if (take(p, ")")) return true;
    do {
        uint64_t name;
        Type t;
        if (!number(p, &name) || !expect(p, ":") || !type(p, &t)) return false;
        if (!define(s, name, graph_param(s->g, &t, (Loc){"text", (int)p->p.line}))) return false;
    } while (take(p, ","));
    return expect(p, ")");
}

static bool read_results(Scope *s)
{
    Parser *p = s->p;
    if (!expect(p, "(")) return false;
    if (take(p, ")")) return true;
    do {
        Value v;
        if (!use(s, &v)) return false;
        graph_result(s->g, v);
    } while (take(p, ","));
    return expect(p, ")");
}

/* The results come first in the text and are looked up last. */
static bool read_body(Scope *s)
{
    Parser *p = s->p;
    if (!read_params(s) || !expect(p, "->")) return false;
    skip(p);
    Place results = p->p;
    const char *close = memchr(p->text + p->p.at, ')', p->len - p->p.at);
    if (look(p) != '(' || close == NULL) return fail(p, ST_FORMAT, "expected the results");
    while (p->text + p->p.at <= close) {
        p->p.at++;
        skip(p);
    }
    if (!expect(p, "{")) return false;
    while (!take(p, "}"))
        if (!read_node(s)) return false;
    Place end = p->p;
    p->p = results;
    if (!read_results(s)) return false;
    p->p = end;
    return true;
}

static bool read_graph(Parser *p, Stub *stub)
{
    Scope s = {.p = p, .g = stub->g, .value = {.arena = p->m->arena}};
    stub->state = 1;
    p->p = stub->params;
    p->nesting++;
    bool ok = read_body(&s);
    p->nesting--;
    stub->state = 2;
    return ok;
}

static void parse(void *arg)
{
    Parser *p = arg;
    if (p->len > MAX_TEXT) {
        fail(p, ST_FORMAT, "the text is too long");
        return;
    }
    if (!symbols(p) || !find_graphs(p)) return;
    for (uint32_t i = 0; i < p->stub.len; i++)
        if (p->stub.at[i].state == 0 && !read_graph(p, &p->stub.at[i])) return;
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
    Parser p = {.m = s.m, .text = text, .len = len, .p = {.line = 1}, .st = st, .by_name = {.arena = arena}};
    return arena_try(arena, st, parse, &p) && st->code == ST_OK ? s.m : NULL;
}
