/* rules_region: result types of the ops that run graphs, and of those whose gradient the front end
 * owns. Relies on rules.
 *
 * scan runs its body n times, passing values from step to step.
 *
 *   attributes  g body, ncarry, nxs (stacked inputs), nys (stacked outputs), reverse (0 or 1)
 *   operands    trip count n (i64[]), ncarry first carries, nxs stacked inputs [n, ...], then any
 *               number of invariants
 *   body        parameters: index (i64[]), carries, one slice [...] of each stacked input, the
 *               invariants
 *               results: the next carries (the carries' types), then nys values
 *   results     the last carries, then the nys values of all steps, stacked to [n, ...]
 *
 * n as a size is the leading size of the stacked inputs. Without any, and with outputs to stack,
 * the trip count must be a constant or a dim_size. If n is 0, the last carries are the first ones.
 * The trip count's value and the stacked inputs' leading size are equal: who makes the node sees
 * to it. reverse: the index runs from n - 1 down to 0, and slices are read and written there. */
#include "rules.h"

static bool body_takes(Infer *inf, const Graph *body, uint32_t param, const Type *type)
{
    const Type *wanted = graph_type(body, body->param.at[param]);
    if (type_equal(wanted, type)) return true;
    char a[128], b[128];
    type_print(rule_dims(inf), wanted, a, sizeof a);
    type_print(rule_dims(inf), type, b, sizeof b);
    return infer_fail(inf, type->dtype == wanted->dtype ? ST_SHAPE : ST_DTYPE,
        "parameter %u of %s is %s, not %s", param, body->name, a, b);
}

static bool counts_fit(Infer *inf, const Graph *body, uint32_t params, uint32_t results)
{
    if (body->param.len != params)
        return infer_fail(
            inf, ST_VALUE, "%s has %u parameters, not %u", body->name, body->param.len, params);
    if (body->result.len != results)
        return infer_fail(
            inf, ST_VALUE, "%s has %u results, not %u", body->name, body->result.len, results);
    if (results == 0 || results > MAX_RESULTS)
        return infer_fail(
            inf, ST_UNSUPPORTED, "%u results, 1 to %d are possible", results, MAX_RESULTS);
    return true;
}

bool infer_kernel(Infer *inf)
{
    const Graph *body = inf->module->graph.at[inf->attr[0]];
    if (!counts_fit(inf, body, inf->nin, body->result.len)) return false;
    for (uint32_t i = 0; i < inf->nin; i++)
        if (!body_takes(inf, body, i, inf->in[i])) return false;
    inf->nout = body->result.len;
    for (uint32_t i = 0; i < inf->nout; i++) inf->out[i] = *graph_type(body, body->result.at[i]);
    return true;
}

/* ---- scan -------------------------------------------------------------------------------- */

typedef struct Scan {
    const Graph *body;
    uint32_t carries, xs, ys;
    Dim n; /* DIM_BAD while unknown */
} Scan;

static bool scan_begin(Infer *inf, Scan *s)
{
    for (uint32_t i = 1; i <= 3; i++)
        if (inf->attr[i] < 0 || inf->attr[i] > UINT16_MAX)
            return infer_fail(inf, ST_VALUE, "attribute %u is out of range", i + 1);
    if (inf->attr[4] != 0 && inf->attr[4] != 1)
        return infer_fail(inf, ST_VALUE, "reverse is 0 or 1");
    *s = (Scan){inf->module->graph.at[inf->attr[0]], (uint32_t)inf->attr[1], (uint32_t)inf->attr[2],
        (uint32_t)inf->attr[3], DIM_BAD};
    if (inf->nin < 1 + s->carries + s->xs)
        return infer_fail(inf, ST_VALUE, "%u operands given, at least %u needed", inf->nin,
            1 + s->carries + s->xs);
    if (!type_equal(inf->in[0], &(Type){.dtype = DT_i64}))
        return infer_fail(inf, ST_DTYPE, "the trip count must be i64[]");
    return counts_fit(inf, s->body, inf->nin, s->carries + s->ys);
}

/* The trip count as a size, if the graph says it. */
static Dim trip_count(const Infer *inf)
{
    if (inf->graph == NULL) return DIM_BAD;
    const Node *n = graph_maker(inf->graph, inf->value[0]);
    while (n->op == OP_leaf) n = graph_maker(inf->graph, n->in[0]);
    if (n->op == OP_dim_size) return n->attr->at[0];
    if (n->op != OP_constant || n->attr->at[1] > DIM_MAX) return DIM_BAD;
    return MAX_OF(n->attr->at[1], 0);
}

static bool scan_operands(Infer *inf, Scan *s)
{
    for (uint32_t i = 0; i < inf->nin; i++) {
        Type x = *inf->in[i];
        if (i > s->carries && i <= s->carries + s->xs) {
            if (x.rank == 0)
                return infer_fail(
                    inf, ST_SHAPE, "stacked input %u is a scalar", i - s->carries - 1);
            if (s->n == DIM_BAD) s->n = x.dim[0];
            if (x.dim[0] != s->n)
                return infer_fail(inf, ST_SHAPE, "leading sizes of the stacked inputs differ");
            memmove(x.dim, x.dim + 1, --x.rank * sizeof *x.dim);
        }
        if (!body_takes(inf, s->body, i, &x)) return false;
    }
    return true;
}

bool infer_scan(Infer *inf)
{
    Scan s = {.n = DIM_BAD};
    if (!scan_begin(inf, &s) || !scan_operands(inf, &s)) return false;
    for (uint32_t i = 0; i < s.carries; i++) {
        inf->out[i] = *inf->in[1 + i];
        if (!type_equal(graph_type(s.body, s.body->result.at[i]), &inf->out[i]))
            return infer_fail(inf, ST_SHAPE, "carry %u changes its type in %s", i, s.body->name);
    }
    if (s.ys != 0 && s.xs == 0) s.n = trip_count(inf);
    if (s.ys != 0 && s.n == DIM_BAD)
        return infer_fail(inf, ST_UNSUPPORTED,
            "results can be stacked only if the trip count is known as a size");
    for (uint32_t i = s.carries; i < s.carries + s.ys; i++) {
        Type y = *graph_type(s.body, s.body->result.at[i]);
        if (y.rank == MAX_RANK)
            return infer_fail(inf, ST_SHAPE, "a stacked result's rank is beyond %d", MAX_RANK);
        memmove(y.dim + 1, y.dim, y.rank++ * sizeof *y.dim);
        y.dim[0] = s.n;
        inf->out[i] = y;
    }
    inf->nout = s.carries + s.ys;
    return true;
}

/* ---- the front end's --------------------------------------------------------------------- */

bool infer_call(Infer *inf)
{
    return infer_fail(inf, ST_INTERNAL, "its result types are given when it is made");
}

bool infer_custom(Infer *inf)
{
    if (inf->nin == 0) return infer_fail(inf, ST_VALUE, "needs an operand");
    return rule_result(inf, inf->in[0]);
}
