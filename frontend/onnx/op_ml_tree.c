/* op_ml_tree: ensembles of decision trees of ONNX's domain ai.onnx.ml. All rows go down all trees at once, a level at a time: where
 * each stands is a number of a node, and leaves stay where they are. Relies on forest.h. */
#include <math.h>

#include "forest.h"

/* A number of each node, made once for all levels. */
typedef struct Tables {
    kiln_tensor *feature, *yes, *no, *split;
    kiln_tensor *mode, *missing, *member; /* NULL: nobody asks */
    bool seen[BRANCHES];                  /* modes that nodes have */
} Tables;

static bool tables_of(Call *c, const Forest *f, DType d, Tables *t)
{
    int modes = 0;
    *t = (Tables){.feature = ml_indices(c, f->feature, f->nodes),
        .yes = ml_indices(c, f->yes, f->nodes),
        .no = ml_indices(c, f->no, f->nodes)};
    t->split = kiln_from_doubles_at(c->at, c->t->k, (kiln_dtype)d, KILN_SHAPE(f->nodes), f->split, f->nodes);
    for (int64_t i = 0; i < f->nodes; i++)
        if (f->mode[i] >= 0) t->seen[f->mode[i]] = true;
    for (int m = 0; m < BRANCHES; m++) modes += t->seen[m];
    if (modes > 1) t->mode = ml_indices(c, f->mode, f->nodes);
    if (f->misses) t->missing = kiln_from_doubles_at(c->at, c->t->k, KILN_BOOL, KILN_SHAPE(f->nodes), f->missing, f->nodes);
    if (f->member) t->member = ml_table(c, d, f->nodes, f->most, f->member);
    return !kiln_failed(c->t->k);
}

static kiln_tensor *of_nodes(Call *c, kiln_tensor *table, kiln_tensor *at) { return kiln_gather_at(c->at, of(table), of(at), 0); }

static kiln_tensor *holds(Call *c, Branch mode, kiln_tensor *x, kiln_tensor *y)
{
    static kiln_tensor *(*const test[BRANCH_MEMBER])(kiln_site, kiln_operand, kiln_operand) = {
        kiln_le_at, kiln_lt_at, kiln_ge_at, kiln_gt_at, kiln_eq_at, kiln_ne_at};
    return test[mode](c->at, of(x), of(y));
}

static kiln_tensor *is_member(Call *c, const Tables *t, kiln_tensor *v, kiln_tensor *at)
{
    kiln_tensor *set = kiln_gather_at(c->at, of(t->member), of(at), 0); /* [n, trees, most] */
    return kiln_any_at(c->at, of(kiln_eq_at(c->at, of(kiln_expand_at(c->at, of(v), 2)), of(set))), KILN_AXES(2));
}

/* Where each row stands a level lower. */
static kiln_tensor *go_down(Call *c, const Tables *t, kiln_tensor *x, kiln_tensor *at)
{
    kiln_tensor *v = kiln_take_along_at(c->at, of(x), of(of_nodes(c, t->feature, at)), 1), *split = of_nodes(c, t->split, at);
    kiln_tensor *go = NULL, *mode = t->mode ? of_nodes(c, t->mode, at) : NULL;
    if (!tensor_ok(v) || !tensor_ok(split)) return &c->t->k->poison;
    for (int m = 0; m < BRANCHES; m++) {
        if (!t->seen[m]) continue;
        kiln_tensor *is = m == BRANCH_MEMBER ? is_member(c, t, v, at) : holds(c, (Branch)m, v, split);
        go = !go ? is : kiln_where_at(c->at, of(kiln_eq_at(c->at, of(mode), KILN_OPERAND(m))), of(is), of(go));
    }
    if (t->missing)
        go = kiln_or_at(c->at, of(go), of(kiln_and_at(c->at, of(kiln_isnan_at(c->at, of(v))), of(of_nodes(c, t->missing, at)))));
    return kiln_where_at(c->at, of(go), of(of_nodes(c, t->yes, at)), of(of_nodes(c, t->no, at)));
}

/* The leaf of each row in each tree, i64[n, trees]. */
static kiln_tensor *leaves(Call *c, const Forest *f, kiln_tensor *x)
{
    const Type start = {.dtype = DT_i64, .rank = 2, .dim = {x->type.dim[0], f->trees}};
    kiln_tensor *root = kiln_reshape_at(c->at, of(ml_indices(c, f->root, f->trees)), KILN_SHAPE(1, f->trees));
    Tables t;
    if (!tables_of(c, f, (DType)x->type.dtype, &t)) return &c->t->k->poison;
    kiln_tensor *at = tensor_ok(root) ? broadcast_to(c->t, c->at, root, &start) : root;
    for (int64_t l = 0; l < f->depth && tensor_ok(at); l++) at = go_down(c, &t, x, at);
    return at;
}

typedef enum Aggregate { AVERAGE, SUM, MIN, MAX, AGGREGATES } Aggregate; /* v5's numbers */

/* Of all trees' weights, [n, targets]. A target that no leaf scores has 0. */
static kiln_tensor *aggregated(Call *c, Forest *f, kiln_tensor *x, Aggregate how)
{
    const double none = how == MIN ? (double)INFINITY : -(double)INFINITY;
    for (int64_t i = 0; how >= MIN && i < f->nodes * f->targets; i++)
        if (!f->scored[i]) f->weight[i] = none;
    kiln_tensor *at = leaves(c, f, x), *table = ml_table(c, (DType)x->type.dtype, f->nodes, f->targets, f->weight);
    kiln_tensor *w = kiln_gather_at(c->at, of(table), of(at), 0); /* [n, trees, targets] */
    if (how == SUM || how == AVERAGE) {
        w = kiln_sum_at(c->at, of(w), KILN_AXES(1));
        return how == AVERAGE ? kiln_div_at(c->at, of(w), KILN_OPERAND((double)f->trees)) : w;
    }
    w = (how == MIN ? kiln_reduce_min_at : kiln_reduce_max_at)(c->at, of(w), KILN_AXES(1));
    return kiln_where_at(c->at, of(kiln_eq_at(c->at, of(w), KILN_OPERAND(none))), KILN_OPERAND(0), of(w));
}

/* With base_values, of which there is one for each target, or none. NULL: recorded. */
static kiln_tensor *with_base(Call *c, const Forest *f, kiln_tensor *s)
{
    Reals base;
    if (!tensor_ok(s) || !ml_reals_or(c, "base_values", "base_values_as_tensor", &base)) return NULL;
    if (base.n == 0) return s;
    if (!ml_length(c, "base_values", base.n, f->targets)) return NULL;
    return kiln_add_at(c->at, of(s), of(ml_table(c, (DType)s->type.dtype, 1, f->targets, base.at)));
}

static bool give_values(Call *c, Forest *f, kiln_tensor *x, Aggregate how, Transform then, DType d)
{
    kiln_tensor *y = aggregated(c, f, x, how);
    if (!tensor_ok(y) || !tensor_ok(y = with_base(c, f, y)) || !tensor_ok(y = ml_transform(c, y, then))) return false;
    return give(c, 0, cast_to(c->t, c->at, y, d));
}

/* False: recorded. */
static bool aggregate_of(Call *c, Aggregate *how)
{
    static const char *const known[AGGREGATES] = {"AVERAGE", "SUM", "MIN", "MAX"};
    *how = SUM;
    if (!attribute(c, "aggregate_function")) return true;
    for (int i = 0; i < AGGREGATES; i++) {
        *how = (Aggregate)i;
        if (attr_is(c, "aggregate_function", known[i])) return true;
    }
    return unsupported_word(c, "aggregate_function", "SUM, AVERAGE, MIN and MAX");
}

bool op_tree_regressor(Call *c)
{
    Forest f;
    Aggregate how;
    Transform then;
    int64_t features;
    kiln_tensor *x = ml_rows(c, 0, &features);
    if (!tensor_ok(x) || !ml_transform_of(c, &then) || !aggregate_of(c, &how)) return false;
    if (!forest_lists(c, "target", attr_int(c, "n_targets", 1), features, &f)) return false;
    return give_values(c, &f, x, how, then, DT_f32);
}

/* Of version 5, where words are numbers. */
bool op_tree_ensemble(Call *c)
{
    Forest f;
    int64_t features;
    const int64_t how = attr_int(c, "aggregate_function", SUM), then = attr_int(c, "post_transform", TO_NONE);
    kiln_tensor *x = ml_rows(c, 0, &features);
    if (!tensor_ok(x)) return false;
    if (how < 0 || how >= AGGREGATES) return unsupported(c, "aggregate_function=%lld", (long long)how);
    if (then < 0 || then >= TRANSFORMS) return unsupported(c, "post_transform=%lld", (long long)then);
    return forest_leaves(c, features, &f) && give_values(c, &f, x, (Aggregate)how, (Transform)then, (DType)x->type.dtype);
}

/* Two classes, of which the leaves score one alone: the other's score follows from it. */
static bool one_is_scored(const Forest *f)
{
    bool any[2] = {false, false};
    for (int64_t i = 0; i < 2 * f->nodes; i++) any[i % 2] |= f->scored[i];
    return any[0] != any[1];
}

static bool give_one_scored(Call *c, Forest *f, const Wholes *labels, kiln_tensor *x, Transform how)
{
    bool positive = true;
    for (int64_t i = 0; i < f->nodes; i++) {
        f->weight[i] = f->weight[2 * i] + f->weight[2 * i + 1];
        positive &= f->weight[i] >= 0;
    }
    f->targets = 1;
    return ml_give_binary(c, labels, with_base(c, f, aggregated(c, f, x, SUM)), how, positive ? 0.5 : 0, positive);
}

bool op_tree_classifier(Call *c)
{
    Forest f;
    Wholes labels;
    Transform how;
    int64_t features;
    kiln_tensor *x = ml_rows(c, 0, &features);
    if (!tensor_ok(x) || !ml_transform_of(c, &how) || !ml_labels(c, "classlabels_int64s", &labels)) return false;
    if (!forest_lists(c, "class", labels.n, features, &f)) return false;
    if (labels.n == 2 && one_is_scored(&f)) return give_one_scored(c, &f, &labels, x, how);
    kiln_tensor *s = with_base(c, &f, aggregated(c, &f, x, SUM));
    return tensor_ok(s) && ml_give_classes(c, &labels, kiln_argmax_at(c->at, of(s), 1), ml_transform(c, s, how));
}
