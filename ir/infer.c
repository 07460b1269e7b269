/* infer: checks operands and attributes and finds result types, through the rules of each op's family. Relies on family. Never
 * guesses that two sizes are equal. */
#include "family.h"

#include <stdio.h>

/* ---- errors ------------------------------------------------------------------------------ */

bool infer_fail(Infer *inf, StatusCode code, const char *format, ...)
{
    char reason[256], types[256] = "";
    va_list args;
    va_start(args, format);
    plain_vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    size_t len = 0;
    for (uint32_t i = 0; i < inf->nin && len < sizeof types; i++) {
        len += (size_t)snprintf(types + len, sizeof types - len, i == 0 ? ": " : " x ");
        if (len < sizeof types) len += type_print(rule_dims(inf), inf->in[i], types + len, sizeof types - len);
    }
    if (len >= sizeof types) memcpy(types + sizeof types - 4, "...", 4);
    return status_fail(inf->st, code, "%s: %s%s", op_def[inf->op].name, reason, types);
}

/* ---- what rules share -------------------------------------------------------------------- */

bool rule_axis(Infer *inf, int64_t axis, uint32_t rank)
{
    if (axis >= 0 && axis < rank) return true;
    if (rank == 0) return infer_fail(inf, ST_VALUE, "axis %lld is out of range: a scalar has no axes", (long long)axis);
    return infer_fail(inf, ST_VALUE, "axis %lld is out of range for rank %u (allowed: 0 to %u)", (long long)axis, rank, rank - 1);
}

bool rule_axes(Infer *inf, uint32_t rank)
{
    for (uint32_t i = 0; i < inf->nattr; i++) {
        if (!rule_axis(inf, inf->attr[i], rank)) return false;
        if (i != 0 && inf->attr[i] <= inf->attr[i - 1]) return infer_fail(inf, ST_VALUE, "axes must be ascending");
    }
    return true;
}

static const char *domain_name(char domain)
{
    switch (domain) {
    case 'N': return "numbers, not bool";
    case 'F': return "floats";
    case 'I': return "integers";
    case 'L': return "integers or bool";
    default: return "bool";
    }
}

bool rule_domain(Infer *inf, uint32_t operand, char domain)
{
    if (domain_has(domain, (DType)inf->in[operand]->dtype)) return true;
    return infer_fail(inf, ST_DTYPE, "needs %s, use kiln_cast", domain_name(domain));
}

bool rule_room(Infer *inf, uint32_t n)
{
    if (n > FEW_RESULTS) {
        if (!inf->module) return infer_fail(inf, ST_INTERNAL, "%u results outside a graph", n);
        inf->out = ARENA_ARRAY(inf->module->arena, Type, n);
    }
    inf->nout = n;
    return true;
}

bool rule_scalar(Infer *inf, DType t, int64_t v)
{
    if (dtype_is_float(t)) {
        double d = attr_f64(v), back;
        uint64_t room = 0;
        dtype_store_f64(t, &room, d);
        back = dtype_load_f64(t, &room);
        if (d != d || attr_of_f64(back) == v) return true;
        return infer_fail(inf, ST_VALUE, "%.17g is not a value of %s", d, dtype_info[t].name);
    }
    if (t == DT_u64 || (v >= dtype_info[t].lo && v <= dtype_info[t].hi)) return true;
    return infer_fail(inf, ST_VALUE, "%lld is not a value of %s", (long long)v, dtype_info[t].name);
}

bool rule_shape(Infer *inf, uint32_t first, DType t, Type *out)
{
    if (inf->nattr - first > MAX_RANK)
        return infer_fail(inf, ST_SHAPE, "the result would have %u axes (allowed: 0 to %d)", inf->nattr - first, MAX_RANK);
    *out = (Type){.dtype = (uint8_t)t, .rank = (uint8_t)(inf->nattr - first)};
    if (out->rank) memcpy(out->dim, inf->attr + first, out->rank * sizeof *out->dim);
    return true;
}

bool shape_broadcast(DimTable *t, const Type *a, const Type *b, Type *out)
{
    (void)t;
    uint32_t rank = MAX_OF(a->rank, b->rank);
    Type r = {.dtype = out->dtype, .rank = (uint8_t)rank};
    for (uint32_t i = 0; i < rank; i++) {
        uint32_t skip_a = rank - a->rank, skip_b = rank - b->rank;
        Dim x = i < skip_a ? 1 : a->dim[i - skip_a], y = i < skip_b ? 1 : b->dim[i - skip_b];
        if (x != y && x != 1 && y != 1) return false;
        r.dim[i] = x == 1 ? y : x;
    }
    *out = r;
    return true;
}

/* A stack whose height only its loop knows may pass from one region to another, and may be used nowhere else. */
static bool stacks_ok(Infer *inf)
{
    if (!inf->module || op_def[inf->op].flags & OPF_REGION) return true;
    for (uint32_t i = 0; i < inf->nin + inf->nout; i++) {
        const Type *x = i < inf->nin ? inf->in[i] : &inf->out[i - inf->nin];
        for (uint32_t k = 0; k < x->rank; k++)
            if (dim_is_made(rule_dims(inf), x->dim[k]))
                return infer_fail(
                    inf, ST_UNSUPPORTED, "an operand is a loop's stack, whose length is known only when the loop runs");
    }
    return true;
}

/* ---- structured -------------------------------------------------------------------------- */

static bool attr_ok(const Infer *inf, char letter, int64_t v)
{
    switch (letter) {
    case 'd':
    case 'D': return dim_valid(rule_dims(inf), v);
    case 't':
    case 'T': return dtype_known(v);
    case 'g':
    case 'G': return inf->module && v >= 0 && v < inf->module->graph.len;
    default: return true;
    }
}

static bool attrs_ok(Infer *inf)
{
    const char *schema = op_def[inf->op].attrs;
    uint32_t fixed = 0;
    while (schema[fixed] >= 'a') fixed++;
    bool list = schema[fixed] != '\0';
    if (list ? inf->nattr < fixed : inf->nattr != fixed)
        return infer_fail(inf, ST_VALUE, "takes %s%u attributes, not %u", list ? "at least " : "", fixed, inf->nattr);
    for (uint32_t i = 0; i < inf->nattr; i++)
        if (!attr_ok(inf, schema[MIN_OF(i, fixed)], inf->attr[i]))
            return infer_fail(inf, ST_VALUE, "attribute %u is out of range", i + 1);
    return true;
}

static bool results_ok(Infer *inf)
{
    DimTable *t = rule_dims(inf);
    char text[64];
    if (!stacks_ok(inf)) return false;
    for (uint32_t i = 0; i < inf->nout; i++) {
        const Type *out = &inf->out[i];
        for (uint32_t k = 0; k < out->rank; k++) {
            if (!dim_valid(t, out->dim[k]))
                return infer_fail(inf, ST_SHAPE, "the size of the result's axis %u %s", k, dim_trouble(t, text, sizeof text));
            if (dim_lo(t, out->dim[k]) >= 0) continue;
            dim_print(t, out->dim[k], text, sizeof text);
            return infer_fail(inf, ST_SHAPE, "a size of the result, %s, may be negative", text);
        }
        if (type_elements(t, out) == DIM_BAD)
            return infer_fail(inf, ST_SHAPE, "the number of elements of the result %s", dim_trouble(t, text, sizeof text));
    }
    return true;
}

bool infer_types(Infer *inf)
{
    if (inf->op <= OP_none || inf->op >= OP_COUNT) return status_fail(inf->st, ST_INTERNAL, "%d is not an op", (int)inf->op);
    const OpDef *def = &op_def[inf->op];
    inf->nout = 0;
    inf->out = inf->few;
    if (def->nin >= 0 && inf->nin != (uint32_t)def->nin)
        return infer_fail(inf, ST_VALUE, "takes %d operands, not %u", def->nin, inf->nin);
    if (def->flags & OPF_ELEMENTWISE) return infer_elementwise(inf) && stacks_ok(inf);
    return attrs_ok(inf) && def->infer(inf) && results_ok(inf);
}

bool infer_node(Infer *inf, const Graph *g, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr, Status *st)
{
    const Type *few[16], **types = few;
    if (nin > COUNT_OF(few)) types = ARENA_ARRAY(g->module->arena, const Type *, nin);
    for (uint32_t i = 0; i < nin; i++) {
        if (in[i] == 0 || in[i] >= g->value.len)
            return status_fail(st, ST_INTERNAL, "%s: operand %u is not a value of graph %s", op_def[op].name, i, g->name);
        types[i] = graph_type(g, in[i]);
    }
    *inf = (Infer){
        .module = g->module, .op = op, .in = types, .nin = nin, .attr = attr, .nattr = nattr, .st = st, .graph = g, .value = in};
    bool ok = infer_types(inf);
    inf->in = NULL; /* they were of this frame */
    return ok;
}
