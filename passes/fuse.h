/* fuse: what the files of the fuse pass share. fuse.c visits nodes, fuse_groups.c decides what joins what by fuse_uses.c and
 * fuse_order.c, fuse_build.c makes the new graph. Relies on ir/index. Private to passes/fuse*.c. */
#ifndef KILN_PASSES_FUSE_H
#define KILN_PASSES_FUSE_H

#include "../ir/index.h"
#include "../ir/rebuild.h"
#include "pass.h"
#include "stop.h"

#define FUSE_MAPS 16     /* one kernel moves a value by no more than so many different index maps */
#define FUSE_PLACES 4    /* and computes one at no more */
#define FUSE_MEMBERS 320 /* bounds the nodes of one kernel: one instruction is 1, other nodes are 2 */
#define FUSE_MOVES 512   /* bounds what moves elements in one kernel: index maps and guards, no arithmetic */
#define FUSE_COPIES                                                                                             \
    8 /* bounds chains of nodes that a kernel computes again: without it, a chain would be computed as often as \
       * it is long */
#define FUSE_RESULTS 16
#define FUSE_LEVELS                                                                                                               \
    2                    /* bounds chains of reductions where no row can be kept: each stage computes again what the earlier ones \
                          * did */
#define FUSE_ROWS 12     /* and one more for each row that can be kept, up to this many more */
#define FUSE_NEAR 64     /* how many neighbours each group that asks for a value is tried with, itself included */
#define PRODUCT_STEPS 12 /* elementwise ones that may lie between a product and what is kept at its end */
#define FUSE_AXES 9      /* layouts have to stay sizes: 4 bits per axis */
#define NO_GROUP UINT32_MAX
#define NO_EFFECT UINT32_MAX

/* One value in one group. */
typedef struct Use {
    struct Use *next; /* of the same value, other groups */
    Value v;
    uint32_t group;
    bool read;      /* from memory, not computed in the kernel */
    uint8_t why;    /* StopWhy, of what is read */
    uint16_t level; /* reductions one after the other between it and the kernel's results */
    uint8_t copies; /* nodes one after the other that are computed again in each kernel, directly after it */
    uint32_t nmap;
    IndexMap *map[FUSE_MAPS];
} Use;

typedef struct Group {
    IndexEnv env;
    uint32_t into; /* merged into this group; itself: alive */
    uint32_t nmember, nmove, nresult, last;
    uint32_t slot;  /* its place in the order */
    uint64_t sizes; /* those that it needs (Fuse.sizes) */
    int form;       /* FoldForm of its reductions; -1: none yet */
    VEC(Use *) use;
} Group;

typedef struct DynValue { /* prim over a and b; DYN_DIM, DYN_AXIS: a; DYN_GATHERED: value a at a map */
    uint32_t what;
    int64_t a, b;
    const IndexMap *at;
} DynValue;
enum { DYN_DIM = 256, DYN_AXIS, DYN_GATHERED };

typedef struct Fuse {
    PassCtx *ctx;
    const Graph *g;
    DimTable *dims;
    uint8_t *role;  /* per node: OpRole; OUTSIDE, too, if no kernel can have it */
    uint32_t *home; /* per node: the group that computes it, NO_GROUP */
    /* per node: a bit for each size that it needs and a node counts; counter: which node; NULL: no node counts */
    uint64_t *sizes;
    uint32_t counter[64], ncounter;
    bool *copied;  /* per node: computed again in every group that asks */
    bool *outside; /* per value: needed in memory by a node outside of kernels, or as a result */
    bool *solid;   /* per value: and not only by contractions, which read through strides */
    bool *result;  /* per value: its home group stores it */
    /* per node that is or has an effect: the one before it, NO_EFFECT if it is the first; others: themselves */
    uint32_t *effect;
    Use **use;                       /* per value */
    uint32_t *reader, *first_reader; /* the nodes that use value v as an operand are those from reader[first_reader[v]] up to where
                                      * v + 1 begins */
    VEC(Group *) group;
    Map dyn_by_hash;
    VEC(DynValue) dyn;            /* values that are not affine, all different */
    uint32_t *next_effect;        /* per node: the effect after it, NO_EFFECT */
    uint32_t *slot;               /* per node outside of groups: its place in the order in which all can run */
    uint32_t *in_slot;            /* per slot: the unit in it, which is a node outside of groups or one node of a group */
    uint32_t *mark, *goal, round; /* per slot: this search has found it, or looked for it */
    uint32_t *found, nfound;
    uint32_t *moved;    /* room for nodes that change places */
    uint32_t low, high; /* the search in progress ignores slots outside of these */
    uint8_t why;        /* StopWhy: what was refused last, and for that reason */
    IndexMap *maps;     /* room for the maps of one node's operands */
    uint32_t nmaps;
    VEC(uint32_t) some;    /* groups */
    VEC(uint32_t) readers; /* slots */
} Fuse;

static inline bool fuse_no(Fuse *f, StopWhy why) /* false */
{
    f->why = (uint8_t)why;
    return false;
}
static inline void fuse_reads(Use *u, uint8_t why)
{
    u->read = true;
    if (u->why == STOP_none) u->why = why;
}
uint32_t fuse_find(const Fuse *f, uint32_t group);
Use *fuse_use(const Fuse *f, Value v, uint32_t group); /* NULL: none */
Group *fuse_group(const Fuse *f, uint32_t group);
uint32_t fuse_maps(const Fuse *f, Value v);            /* the most index maps of it in one group */
bool fuse_add_map(Fuse *f, Use *u, const IndexMap *m); /* false: too many, so it has to be read */
/* v is demanded in the group at m; false: at too many maps, so it has to be read. */
bool fuse_demand(Fuse *f, Value v, uint32_t group, const IndexMap *m);
void fuse_drop_newest(Fuse *f, Value root);      /* the newest group is not to be: its root is all that it asked for */
uint32_t fuse_new_group(Fuse *f, const Node *n); /* with n as its root */
bool fuse_join(Fuse *f, const Node *n, uint32_t group, bool as_result);
bool fuse_merge(Fuse *f, Value shared, uint32_t a, uint32_t b);
/* The operands of n as it stands in the group are demanded; false (and nothing happened): a map that cannot be expressed. */
bool fuse_operands(Fuse *f, const Node *n, uint32_t group);
bool fuse_room(const Fuse *f, const Node *n, uint32_t group);  /* for one more such node: kernels have a bounded length */
void fuse_count(const Fuse *f, const Node *n, uint32_t group); /* the group has n in it */
/* The node only changes index maps, or is made from nothing, so every kernel that needs it computes it. */
static inline bool fuse_in_all(const Fuse *f, uint32_t node)
{
    return f->role[node] != ROLE_OUTSIDE && f->role[node] < ROLE_COMPUTE;
}
/* The node only changes index maps and does no arithmetic. (A moving op with more operands computes an index or selects.) */
static inline bool fuse_is_move(const Node *n) { return op_def[n->op].flags & OPF_MOVES && op_def[n->op].nin == 1; }
uint32_t fuse_operand_count(const Node *n);        /* custom is its first operand */
bool fuse_stays(const Fuse *f, uint32_t node);     /* the node will stand in the new graph, outside of kernels */
double fuse_elements(const Fuse *f, Value v);      /* for extents that are known only at run time, their upper bound */
double fuse_points(const Fuse *f, uint32_t group); /* that the kernel walks, likewise */
int fuse_cost(const Node *n);                      /* scalar operations per element, about */
void fuse_sort(uint32_t *at, uint32_t n);
void fuse_order_start(Fuse *f);
void fuse_order_place(Fuse *f, uint32_t node, uint32_t group);  /* the group computes the node, so the node's readers are put
                                                                 * behind it */
void fuse_order_merge(Fuse *f, const Group *a, const Group *b); /* group b is about to become part of a; neither depends on the
                                                                 * other */
bool fuse_needs(Fuse *f, uint32_t group, const uint32_t *slot, uint32_t n); /* one of the units in these slots, directly or not */
Graph *fuse_build(Fuse *f);

#endif
