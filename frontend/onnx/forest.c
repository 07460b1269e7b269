/* forest: see forest.h. All numbers come from a file, so none is an index before it was looked at. */
#include "forest.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_DEPTH = 256, MOST_NODES = 1 << 24, MOST_WEIGHTS = 1 << 26, MOST_UNSCORED = 1024, MOST_MEMBERS = 1 << 22 };

static bool broken(Call *c, const char *what, int64_t node)
{
    fail(c->t, c->at, KILN_EFORMAT, "onnx: node %lld of its trees %s", (long long)node, what);
    return false;
}

/* ---- shape -------------------------------------------------------------------------------------------- */

static bool visit(Call *c, Forest *f, int64_t child, int64_t *level, int64_t own, int64_t *queue, int64_t *n)
{
    if (f->mode[child] < 0) {
        f->depth = MAX_OF(f->depth, own + 1);
        return true;
    }
    if (level[child] >= 0) return broken(c, "is reached twice: its trees are none", child);
    level[child] = own + 1;
    queue[(*n)++] = child;
    return own + 1 < MOST_DEPTH || unsupported(c, "a tree of more than %d levels", MOST_DEPTH);
}

/* From the roots every inner node is reached once, and so every path ends. False: recorded. */
static bool is_forest(Call *c, Forest *f)
{
    int64_t *level = ARENA_ARRAY(c->arena, int64_t, f->nodes + 1), *queue = ARENA_ARRAY(c->arena, int64_t, f->nodes + 1), n = 0;
    for (int64_t i = 0; i < f->nodes; i++) level[i] = -1;
    f->depth = 0;
    for (int64_t t = 0; t < f->trees; t++)
        if (!visit(c, f, f->root[t], level, -1, queue, &n)) return false;
    for (int64_t i = 0; i < n; i++)
        if (!visit(c, f, f->yes[queue[i]], level, level[queue[i]], queue, &n) ||
            !visit(c, f, f->no[queue[i]], level, level[queue[i]], queue, &n))
            return false;
    for (int64_t i = 0; i < f->nodes; i++)
        if (f->mode[i] >= 0 && level[i] < 0) return broken(c, "is reached by no root", i);
    return true;
}

/* weights: how many the file lists; targets beyond them would all be 0, and take memory that no file has bytes for. */
static bool room(Call *c, Forest *f, int64_t weights)
{
    int64_t all;
    if (f->nodes > MOST_NODES) return unsupported(c, "%lld nodes of trees", (long long)f->nodes);
    if (f->targets < 1 || __builtin_mul_overflow(f->nodes, f->targets, &all) || all > MOST_WEIGHTS ||
        (f->targets > weights && f->targets > MOST_UNSCORED))
        return unsupported(c, "%lld nodes of trees for %lld targets", (long long)f->nodes, (long long)f->targets);
    const size_t n = (size_t)f->nodes + 1;
    f->feature = arena_zeros(c->arena, n, sizeof *f->feature);
    f->yes = arena_zeros(c->arena, n, sizeof *f->yes);
    f->no = arena_zeros(c->arena, n, sizeof *f->no);
    f->mode = arena_zeros(c->arena, n, sizeof *f->mode);
    f->split = arena_zeros(c->arena, n, sizeof *f->split);
    f->missing = arena_zeros(c->arena, n, sizeof *f->missing);
    f->weight = arena_zeros(c->arena, (size_t)all + 1, sizeof *f->weight);
    f->scored = arena_zeros(c->arena, (size_t)all + 1, sizeof *f->scored);
    f->root = arena_zeros(c->arena, n, sizeof *f->root);
    return true;
}

static bool branches(Call *c, Forest *f, int64_t i, int64_t feature, int64_t features)
{
    if (feature < 0 || feature >= features) {
        fail(c->t, c->at, KILN_EFORMAT, "onnx: node %lld of its trees asks feature %lld of %lld", (long long)i, (long long)feature,
            (long long)features);
        return false;
    }
    f->feature[i] = feature;
    f->misses |= f->missing[i] != 0;
    return true;
}

static bool add_weight(Call *c, Forest *f, int64_t node, int64_t target, double w)
{
    if (target < 0 || target >= f->targets) {
        fail(c->t, c->at, KILN_EFORMAT, "onnx: a leaf of its trees is for target %lld of %lld", (long long)target,
            (long long)f->targets);
        return false;
    }
    f->weight[node * f->targets + target] += w;
    f->scored[node * f->targets + target] = true;
    return true;
}

/* ---- nodes that are named by their tree and number -------------------------------------------------- */

typedef struct Named {
    int64_t tree, node, at;
} Named;

static int compare(const void *x, const void *y)
{
    const Named *a = x, *b = y;
    if (a->tree != b->tree) return a->tree < b->tree ? -1 : 1;
    return a->node == b->node ? 0 : a->node < b->node ? -1 : 1;
}

/* -1: there is none. */
static int64_t find(const Named *at, int64_t n, int64_t tree, int64_t node)
{
    const Named key = {tree, node, 0}, *found = bsearch(&key, at, (size_t)n, sizeof *at, compare);
    return found ? found->at : -1;
}

typedef struct Lists {
    Wholes tree, node, feature, yes, no, missing;
    Reals split;
    const OnnxAttribute *mode;
} Lists;

static bool node_lists(Call *c, Lists *l)
{
    if (!ml_wholes(c, "nodes_treeids", &l->tree) || !ml_wholes(c, "nodes_nodeids", &l->node)) return false;
    if (!ml_wholes(c, "nodes_featureids", &l->feature) || !ml_wholes(c, "nodes_truenodeids", &l->yes)) return false;
    if (!ml_wholes(c, "nodes_falsenodeids", &l->no) || !ml_wholes(c, "nodes_missing_value_tracks_true", &l->missing)) return false;
    if (!ml_reals_or(c, "nodes_values", "nodes_values_as_tensor", &l->split)) return false;
    l->mode = attribute(c, "nodes_modes");
    const int64_t n = l->tree.n;
    if (n == 0) return ml_length(c, "nodes_treeids", 0, 1);
    return ml_length(c, "nodes_nodeids", l->node.n, n) && ml_length(c, "nodes_featureids", l->feature.n, n) &&
           ml_length(c, "nodes_truenodeids", l->yes.n, n) && ml_length(c, "nodes_falsenodeids", l->no.n, n) &&
           ml_length(c, "nodes_values", l->split.n, n) && ml_length(c, "nodes_modes", l->mode ? l->mode->strings.n : 0, n) &&
           (l->missing.n == 0 || ml_length(c, "nodes_missing_value_tracks_true", l->missing.n, n));
}

/* False: recorded. */
static bool mode_of(Call *c, Bytes word, int64_t *to)
{
    static const char *const name[] = {"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "LEAF"};
    for (size_t i = 0; i < COUNT_OF(name); i++)
        if (bytes_equal(word, (Bytes){(const uint8_t *)name[i], strlen(name[i])})) {
            *to = i + 1 == COUNT_OF(name) ? -1 : (int64_t)i;
            return true;
        }
    return unsupported(c, "the mode '%s' of a tree's node", shown(word).text);
}

static bool take_node(Call *c, Forest *f, const Lists *l, const Named *named, int64_t i, int64_t features, bool *child)
{
    f->split[i] = l->split.at[i];
    f->missing[i] = l->missing.n != 0 && l->missing.at[i] != 0;
    if (!mode_of(c, l->mode->strings.at[i], &f->mode[i])) return false;
    f->yes[i] = f->no[i] = i;
    if (f->mode[i] < 0) return true;
    f->yes[i] = find(named, f->nodes, l->tree.at[i], l->yes.at[i]);
    f->no[i] = find(named, f->nodes, l->tree.at[i], l->no.at[i]);
    if (f->yes[i] < 0 || f->no[i] < 0) return broken(c, "has a child that its tree has not", i);
    child[f->yes[i]] = child[f->no[i]] = true;
    return branches(c, f, i, l->feature.at[i], features);
}

static bool take_weights(Call *c, Forest *f, const char *kind, const Named *named)
{
    char name[4][40];
    static const char *const list[] = {"treeids", "nodeids", "ids", "weights"};
    Wholes tree, node, id;
    Reals w;
    for (int i = 0; i < 4; i++) snprintf(name[i], sizeof name[i], "%s_%s", kind, list[i]);
    char whole[64];
    snprintf(whole, sizeof whole, "%s_as_tensor", name[3]);
    if (!ml_wholes(c, name[0], &tree) || !ml_wholes(c, name[1], &node) || !ml_wholes(c, name[2], &id)) return false;
    if (!ml_reals_or(c, name[3], whole, &w) || !ml_length(c, name[0], tree.n, w.n)) return false;
    if (!ml_length(c, name[1], node.n, w.n) || !ml_length(c, name[2], id.n, w.n)) return false;
    for (int64_t i = 0; i < w.n; i++) {
        const int64_t at = find(named, f->nodes, tree.at[i], node.at[i]);
        if (at < 0 || f->mode[at] >= 0) {
            fail(c->t, c->at, KILN_EFORMAT, "onnx: %s %lld is of node %lld of tree %lld, which is no leaf", name[3], (long long)i,
                (long long)node.at[i], (long long)tree.at[i]);
            return false;
        }
        if (!add_weight(c, f, at, id.at[i], w.at[i])) return false;
    }
    return true;
}

bool forest_lists(Call *c, const char *weights, int64_t targets, int64_t features, Forest *f)
{
    Lists l;
    if (!node_lists(c, &l)) return false;
    *f = (Forest){.nodes = l.tree.n, .targets = targets};
    const OnnxAttribute *ids = attribute(c, strcmp(weights, "class") == 0 ? "class_ids" : "target_ids");
    if (!room(c, f, ids ? numbers_count(ids->ints) : 0)) return false;
    Named *named = ARENA_ARRAY(c->arena, Named, f->nodes + 1);
    bool *child = arena_zeros(c->arena, (size_t)f->nodes + 1, sizeof *child);
    for (int64_t i = 0; i < f->nodes; i++) named[i] = (Named){l.tree.at[i], l.node.at[i], i};
    qsort(named, (size_t)f->nodes, sizeof *named, compare);
    for (int64_t i = 1; i < f->nodes; i++)
        if (compare(&named[i - 1], &named[i]) == 0) return broken(c, "is there twice", named[i].at);
    for (int64_t i = 0; i < f->nodes; i++)
        if (!take_node(c, f, &l, named, i, features, child)) return false;
    int64_t trees = 0; /* each has a node that is no node's child */
    for (int64_t i = 0; i < f->nodes; i++) {
        trees += i == 0 || named[i].tree != named[i - 1].tree;
        if (!child[i]) f->root[f->trees++] = i;
    }
    if (f->trees != trees) {
        fail(c->t, c->at, KILN_EFORMAT, "onnx: its %lld trees have %lld roots", (long long)trees, (long long)f->trees);
        return false;
    }
    return is_forest(c, f) && take_weights(c, f, weights, named);
}

/* ---- nodes and leaves by their numbers ------------------------------------------------------------- */

typedef struct Leaves {
    Wholes root, feature, yes, no, yes_leaf, no_leaf, missing, target;
    Reals split, weight, mode;
} Leaves;

static bool tensor_list(Call *c, const char *name, Reals *to)
{
    if (!ml_reals_or(c, "", name, to)) return false;
    return to->n > 0 || ml_length(c, name, 0, 1);
}

static bool leaf_lists(Call *c, Leaves *l)
{
    if (!ml_wholes(c, "tree_roots", &l->root) || !ml_wholes(c, "nodes_featureids", &l->feature)) return false;
    if (!ml_wholes(c, "nodes_truenodeids", &l->yes) || !ml_wholes(c, "nodes_falsenodeids", &l->no)) return false;
    if (!ml_wholes(c, "nodes_trueleafs", &l->yes_leaf) || !ml_wholes(c, "nodes_falseleafs", &l->no_leaf)) return false;
    if (!ml_wholes(c, "nodes_missing_value_tracks_true", &l->missing) || !ml_wholes(c, "leaf_targetids", &l->target)) return false;
    if (!tensor_list(c, "nodes_splits", &l->split) || !tensor_list(c, "leaf_weights", &l->weight)) return false;
    if (!tensor_list(c, "nodes_modes", &l->mode)) return false;
    const int64_t n = l->feature.n;
    return ml_length(c, "nodes_splits", l->split.n, n) && ml_length(c, "nodes_modes", l->mode.n, n) &&
           ml_length(c, "nodes_truenodeids", l->yes.n, n) && ml_length(c, "nodes_falsenodeids", l->no.n, n) &&
           ml_length(c, "nodes_trueleafs", l->yes_leaf.n, n) && ml_length(c, "nodes_falseleafs", l->no_leaf.n, n) &&
           (l->missing.n == 0 || ml_length(c, "nodes_missing_value_tracks_true", l->missing.n, n)) &&
           ml_length(c, "leaf_targetids", l->target.n, l->weight.n);
}

/* The sets stand one after the other, each ended by a NaN, in the order of the nodes that ask for them. */
static bool take_sets(Call *c, Forest *f)
{
    Reals all;
    int64_t asking = 0, sets = 0, size = 0, cells, at = 0;
    for (int64_t i = 0; i < f->nodes; i++) asking += f->mode[i] == BRANCH_MEMBER;
    if (asking == 0) return true;
    if (!ml_reals_or(c, "", "membership_values", &all)) return false;
    for (int64_t i = 0; i < all.n; i++) {
        size = isnan(all.at[i]) ? 0 : size + 1;
        f->most = MAX_OF(f->most, size);
        sets += size == 0 || i + 1 == all.n;
    }
    if (sets != asking || f->most == 0) {
        fail(c->t, c->at, KILN_EFORMAT, "onnx: membership_values lists %lld sets for %lld nodes of trees", (long long)sets,
            (long long)asking);
        return false;
    }
    if (__builtin_mul_overflow(f->nodes, f->most, &cells) || cells > MOST_MEMBERS)
        return unsupported(c, "sets of up to %lld values for %lld nodes of trees", (long long)f->most, (long long)f->nodes);
    f->member = ARENA_ARRAY(c->arena, double, cells);
    for (int64_t i = 0; i < cells; i++) f->member[i] = (double)NAN;
    for (int64_t i = 0; i < f->nodes; i++) {
        if (f->mode[i] != BRANCH_MEMBER) continue;
        for (double *to = f->member + i * f->most; at < all.n && !isnan(all.at[at]); at++) *to++ = all.at[at];
        at++; /* the NaN */
    }
    return true;
}

/* Leaves come after the n other nodes. */
static bool child_of(Call *c, const Forest *f, int64_t n, int64_t i, int64_t id, int64_t is_leaf, int64_t *to)
{
    if (id < 0 || id >= (is_leaf ? f->nodes - n : n))
        return broken(c, is_leaf ? "has a leaf that there is not" : "has a child that there is not", i);
    *to = is_leaf ? n + id : id;
    return true;
}

bool forest_leaves(Call *c, int64_t features, Forest *f)
{
    Leaves l;
    if (!leaf_lists(c, &l)) return false;
    const int64_t n = l.feature.n;
    *f = (Forest){.nodes = n + l.target.n, .trees = l.root.n, .targets = attr_int(c, "n_targets", 1)};
    if (!room(c, f, l.weight.n)) return false;
    f->root = l.root.at;
    for (int64_t t = 0; t < f->trees; t++)
        if (f->root[t] < 0 || f->root[t] >= n) return broken(c, "is a root, and there is none", f->root[t]);
    for (int64_t i = 0; i < n; i++) {
        if (!(l.mode.at[i] >= 0 && l.mode.at[i] < BRANCHES)) return broken(c, "has a mode that there is not", i);
        f->mode[i] = (int64_t)l.mode.at[i];
        f->split[i] = l.split.at[i];
        f->missing[i] = l.missing.n != 0 && l.missing.at[i] != 0;
        if (!child_of(c, f, n, i, l.yes.at[i], l.yes_leaf.at[i], &f->yes[i])) return false;
        if (!child_of(c, f, n, i, l.no.at[i], l.no_leaf.at[i], &f->no[i])) return false;
        if (!branches(c, f, i, l.feature.at[i], features)) return false;
    }
    for (int64_t i = n; i < f->nodes; i++) {
        f->mode[i] = -1;
        f->yes[i] = f->no[i] = i;
        if (!add_weight(c, f, i, l.target.at[i - n], l.weight.at[i - n])) return false;
    }
    return take_sets(c, f) && is_forest(c, f);
}
