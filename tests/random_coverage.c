/* random_coverage: see random_coverage.h. */
#include "random_coverage.h"

#include <stdio.h>

/* Empty, one, around a vector, around a reduction's lanes, beyond its block, beyond a long run. */
static const int64_t extents[] = {0, 1, 7, 8, 9, 31, 32, 33, 257, 4097, 16385};

static void add_extents(RandomCoverage *c, const RandomGraph *rg)
{
    const Graph *g = rg->g;
    for (Value v = 1; v < g->value.len; v++)
        for (uint32_t d = 0; d < graph_type(g, v)->rank; d++) {
            int64_t n = dim_eval(&g->module->dims, graph_type(g, v)->dim[d], rg->symbol);
            for (size_t i = 0; i < COUNT_OF(extents); i++)
                c->extent[i] += n == extents[i] || (n >= extents[i] && extents[i] > 4096);
        }
}

/* How deep regions lie in regions: 0 for a graph without any. */
static uint32_t nesting(const Graph *g, uint32_t nodes)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < nodes; i++) {
        const Node *n = &g->node.at[i];
        if (!(op_def[n->op].flags & OPF_REGION)) continue;
        for (uint32_t k = 0; k < n->attr->len; k++) {
            if (!op_attr_is_graph((Op)n->op, k)) continue;
            const Graph *body = g->module->graph.at[n->attr->at[k]];
            most = MAX_OF(most, 1 + nesting(body, body->node.len));
        }
    }
    return most;
}

void coverage_add(RandomCoverage *c, const RandomGraph *rg)
{
    const uint32_t depth = nesting(rg->g, rg->forward);
    for (int op = 0; op < OP_COUNT; op++) c->drawn[op] += rg->drawn[op];
    for (int i = 0; i < RANDOM_COMPOSED; i++) c->composed[i] += rg->composed[i];
    for (Value v = 1; v < rg->g->value.len; v++) c->dtype[graph_type(rg->g, v)->dtype]++;
    add_extents(c, rg);
    c->special += rg->specials;
    c->graphs++;
    c->nodes += rg->g->node.len;
    c->gradients += rg->gradient && rg->g->node.len > rg->forward;
    c->nested[MIN_OF(depth, COUNT_OF(c->nested) - 1)]++;
}

void coverage_print(const RandomCoverage *c)
{
    uint32_t least = UINT32_MAX;
    printf("graphs by nesting of loops and branches:");
    for (size_t i = 0; i < COUNT_OF(c->nested); i++) printf(" %u", c->nested[i]);
    printf("\naxes by extent:");
    for (size_t i = 0; i < COUNT_OF(extents); i++)
        printf(" %lld%s %u", (long long)extents[i], extents[i] > 4096 ? "+" : "", c->extent[i]);
    printf("\ndrawn:");
    for (int op = OP_none + 1; op < OP_COUNT; op++) {
        if (!random_can_draw((Op)op)) continue;
        printf(" %s %u", op_def[op].name, c->drawn[op]);
        least = MIN_OF(least, c->drawn[op]);
    }
    printf("\nleast drawn: %u times\nnot drawn:", least);
    for (int op = OP_none + 1; op < OP_COUNT; op++)
        if (!random_can_draw((Op)op)) printf(" %s (%s)", op_def[op].name, random_cannot((Op)op));
    printf("\npublic functions:");
    for (uint32_t i = 0; random_composed_name(i) != NULL; i++) printf(" %s %u", random_composed_name(i), c->composed[i]);
    printf("\nvalues by dtype:");
    for (int t = DT_NONE + 1; t < DT_COUNT; t++) printf(" %s %u", dtype_info[t].name, c->dtype[t]);
    printf("\nNaN and infinities among the inputs of %u graphs\n", c->special);
}

static const char *too_few(const char *what, uint32_t came)
{
    static char text[80];
    snprintf(text, sizeof text, "%s came up only %u times", what, came);
    return text;
}

/* Which graphs are drawn follows from the table of ops: a new row changes them all. */
const char *coverage_lacks(const RandomCoverage *c, bool full)
{
    char what[32];
    for (int op = OP_none + 1; op < OP_COUNT; op++)
        if (random_can_draw((Op)op) && c->drawn[op] < 20) return too_few(op_def[op].name, c->drawn[op]);
    for (uint32_t i = 0; random_composed_name(i) != NULL; i++)
        if (c->composed[i] < (full ? 20 : 1)) return too_few(random_composed_name(i), c->composed[i]);
    for (int t = DT_NONE + 1; t < DT_COUNT; t++)
        if (c->dtype[t] < (full ? 50 : 5)) return too_few(dtype_info[t].name, c->dtype[t]);
    for (uint32_t i = 1; i < COUNT_OF(c->nested); i++) {
        snprintf(what, sizeof what, "nesting of depth %u", i);
        if (c->nested[i] < (full ? 50 : 2)) return too_few(what, c->nested[i]);
    }
    for (size_t i = 0; i < COUNT_OF(extents); i++) {
        snprintf(what, sizeof what, "extent %lld", (long long)extents[i]);
        if (c->extent[i] < 20) return too_few(what, c->extent[i]);
    }
    return 20 * c->special < c->graphs ? too_few("NaN or infinity", c->special) : NULL;
}
