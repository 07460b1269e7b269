/* random_composed: public functions within random graphs: each is traced by an engine of its own, and the nodes of the trace are
 * appended to the graph; tensors that a function makes itself, such as tables, become parameters with given elements. Relies on
 * random_graph.h, the front end. */
#include "random_composed_ops.h"

#include <stdlib.h>

#include "alone.h"
#include "frontend/function/function.h"
#include "ir/transplant.h"

enum { MOST_INPUTS = 5, MOST_OUTPUTS = 4, MOST_NODES = 260 };
_Static_assert(COMPOSED_COUNT < RANDOM_COMPOSED, "room in RandomGraph.composed");

const char *random_composed_name(uint32_t row) { return row < COMPOSED_COUNT ? composed[row].name : NULL; }

typedef struct Asked {
    const struct Composed *row;
    Random *r;
} Asked;

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Asked *c = user;
    (void)k;
    c->row->call(in, out, c->r);
}

static kiln *engine(void)
{
    static kiln *k; /* as long as the program */
    if (k == NULL) k = kiln_open(&(kiln_options){.threads = 1, .compile = KILN_NEVER});
    return k;
}

/* ---- what it takes --------------------------------------------------------------------------------------- */

typedef struct Drawn { /* of one call: what letters stand for; 0: nothing yet */
    uint8_t dtype[128];
    Dim size[128];
} Drawn;

static uint8_t dtype_of(Maker *k, Drawn *d, int letter)
{
    static const uint8_t floats[] = {DT_f32, DT_f32, DT_f32, DT_f64, DT_f16, DT_bf16}, wide[] = {DT_f32, DT_f32, DT_f64};
    const int64_t n = random_below(k->r, 6);
    switch (letter) {
    case 'B': return DT_bool;
    case 'I': return n % 2 ? DT_i64 : DT_i32;
    case 'q': letter = 'Q'; break;
    default: break;
    }
    if (d->dtype[letter]) return d->dtype[letter];
    uint8_t t = (uint8_t)maker_dtype(k);
    if (letter == 'F') t = floats[n];
    if (letter == 'W') t = wide[n % 3];
    if (letter == 'Q') t = n % 2 ? DT_i8 : DT_u8;
    if (letter == 'N' && t == DT_bool) t = DT_i32;
    return d->dtype[letter] = t;
}

static Dim size_of(Maker *k, Drawn *d, int letter)
{
    const bool wide = letter >= 'A' && letter <= 'Z';
    if (d->size[letter] == 0) d->size[letter] = wide ? 3 + random_below(k->r, 7) : 1 + random_below(k->r, 4);
    if (wide && d->size[letter] == 3 && k->symbol != DIM_BAD && k->symbol_value <= 33) d->size[letter] = k->symbol;
    return d->size[letter];
}

/* "F:T,4u" from *at on, which goes behind it. */
static Type taken(Maker *k, Drawn *d, const char **at)
{
    Type t = {.dtype = dtype_of(k, d, *(*at)++)};
    for (++*at; **at != ' ' && **at != '\0'; *at += **at == ',') {
        char *end;
        Dim n = strtoll(*at, &end, 10);
        const bool number = end != *at;
        if (*end != ',' && *end != ' ' && *end != '\0') n = (number ? n : 1) * size_of(k, d, *end), end++;
        t.dim[t.rank++] = n;
        *at = end;
    }
    *at += **at == ' ';
    return t;
}

/* ---- what it becomes --------------------------------------------------------------------------------------- */

/* The parameters of the trace: what was taken, and what the call made itself. */
static bool map_params(Maker *k, const Traced *traced, const Value *in, Value *map)
{
    const Graph *from = traced->graph[0];
    for (uint32_t i = 0; i < from->param.len; i++) {
        const Source *s = &traced->source[i];
        if (s->kind == FROM_ARGUMENT) {
            map[from->param.at[i]] = in[s->argument];
            continue;
        }
        if (s->kind != FROM_LITERAL || k->body) return false;
        const size_t bytes = kiln_bytes(s->tensor);
        void *given = arena_alloc(k->g->module->arena, bytes + 1);
        if (!kiln_read(s->tensor, given, bytes)) return false;
        const Value v = graph_param(k->g, &s->type, (Loc){0});
        maker_note_size(k, v, 2);
        while (k->given->len < k->g->param.len) *VEC_PUSH(k->g->module->arena, k->given) = NULL;
        k->given->at[k->g->param.len - 1] = given;
        map[from->param.at[i]] = v;
    }
    return true;
}

/* Sizes that were counted are first as large as they may be. */
static void bound_sizes(Maker *k, uint32_t from)
{
    const DimTable *dims = &k->g->module->dims;
    for (uint32_t i = from; i < dims->expr.len; i++)
        if (dims->expr.at[i].kind == DIM_SYMBOL && dims->expr.at[i].counted)
            k->sizes[i] = dim_eval(dims, dims->expr.at[i].bound, k->sizes);
}

/* What has a gradient of the front end's own is taken as what it is computed by. */
static void without_rules(const Traced *traced)
{
    for (uint32_t i = 0; i < traced->ngraph; i++)
        for (uint32_t j = 0; j < traced->graph[i]->node.len; j++) {
            Node *n = &traced->graph[i]->node.at[j];
            if (n->op != OP_custom) continue;
            Attr *flows = arena_zeros(traced->graph[i]->module->arena, 1, sizeof *flows + sizeof(int64_t));
            flows->len = 1;
            n->op = OP_leaf, n->nin = 1, n->attr = flows;
        }
}

static bool whole(const Traced *traced)
{
    uint32_t nodes = 0;
    for (uint32_t i = 0; i < traced->ngraph; i++) {
        const Graph *g = traced->graph[i];
        nodes += g->node.len;
        for (uint32_t n = 0; n < g->node.len; n++) {
            const Op op = (Op)g->node.at[n].op;
            if (op != OP_param && op != OP_set_size && !random_can_draw(op)) return false;
        }
    }
    return nodes <= MOST_NODES;
}

static Value append(Maker *k, const Traced *traced, const Value *in, double size)
{
    Module *m = k->g->module;
    const Graph *from = traced->graph[0];
    Transplant t;
    const uint32_t values = k->g->value.len, sizes = m->dims.expr.len;
    Value *map = arena_zeros(m->arena, from->value.len + 1u, sizeof *map);
    without_rules(traced);
    if (!whole(traced) || !map_params(k, traced, in, map)) return 0;
    transplant_begin(&t, traced->graph, traced->ngraph, &traced->module->dims, m, k->st);
    const Dim n = dim_find(&traced->module->dims, "N", 1);
    if (n != DIM_BAD) t.size[-1 - n] = k->symbol;
    if (!transplant(&t, k->g, from, map)) return 0;
    bound_sizes(k, sizes);
    for (uint32_t i = 0; i < from->node.len; i++) k->drawn[OP_set_size] += from->node.at[i].op == OP_set_size;
    for (Value v = values; v < k->g->value.len; v++) maker_note_size(k, v, size);
    return map[from->result.at[0]];
}

Value maker_composed(Maker *k, bool sized)
{
    uint32_t row = 0;
    Drawn d = {{0}, {0}};
    Value in[MOST_INPUTS];
    kiln_tensor *x[MOST_INPUTS];
    double size = 1;
    int n = 0;
    for (uint32_t i = 0; i < 3; i++) { /* the rarest of a few */
        const uint32_t other = (uint32_t)random_below(k->r, sized ? COMPOSED_SIZED : (int64_t)COMPOSED_COUNT);
        if (i == 0 || k->composed[other] < k->composed[row]) row = other;
    }
    kiln *e = engine();
    Thread *t = thread_of(e);
    kiln_function_options o = {.name = composed[row].name, .outputs = composed[row].outputs};
    KILN_SCOPE(e);
    set_alone(e, !random_factors || random_chance(k->r, 50)); /* factors by loops, or by the host's routine */
    for (const char *at = composed[row].takes; *at != '\0'; n++) {
        Type type = taken(k, &d, &at);
        kiln_shape shape = {.rank = type.rank};
        o.inputs[n] = (kiln_spec){.dtype = (kiln_dtype)type.dtype, .rank = type.rank};
        for (uint32_t i = 0; i < type.rank; i++) {
            const int64_t value = shape.size[1 + i] = maker_extent_of(k, type.dim[i]);
            o.inputs[n].size[i] = type.dim[i] < 0 ? KILN_DIM("N", 1, 300) : (kiln_size){value, value, NULL};
        }
        in[n] = maker_tame(k, maker_want(k, &type));
        if (in[n] == 0) return 0;
        size = size > k->size.at[in[n]] ? size : k->size.at[in[n]];
        x[n] = kiln_zeros(e, (kiln_dtype)type.dtype, shape);
    }
    o.inputs_count = n;
    Asked call = {&composed[row], k->r};
    kiln_function *f = kiln_function_new(e, body, &call, &o);
    Traced traced = {0};
    traced_init(&traced);
    Value v = f != NULL && function_trace(t, KILN_HERE, f, x, n, &traced) ? append(k, &traced, in, 10 * size + 10) : 0;
    traced_free(&traced);
    kiln_function_free(f);
    kiln_clear(e);
    k->composed[row] += v != 0;
    return v;
}
