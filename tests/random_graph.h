/* random_graph: well-typed random graphs over every op, and inputs for them, from a seed. The same seed gives the same graph on every
 * machine. Relies on ir, and random_composed.c on the front end. Never runs anything. */
#ifndef KILN_TESTS_RANDOM_GRAPH_H
#define KILN_TESTS_RANDOM_GRAPH_H

#include "ir/emit.h"
#include "ir/infer.h"

typedef struct Random {
    uint64_t state;
} Random;

static inline uint64_t random_next(Random *r) /* splitmix64 */
{
    uint64_t z = r->state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}
static inline int64_t random_below(Random *r, int64_t n) { return (int64_t)(random_next(r) % (uint64_t)n); }
static inline bool random_chance(Random *r, int percent) { return random_below(r, 100) < percent; }
static inline double random_unit(Random *r) { return (double)(random_next(r) >> 11) * 0x1p-53; }

enum { RANDOM_COMPOSED = 96 };

typedef VEC(const void *) RandomGiven;

typedef struct RandomGraph {
    Module *m;                 /* graph 0 is the entry */
    Graph *g;
    uint64_t seed;
    int64_t symbol[4096];      /* by position in the dim table: of N, if it is there, and of loops once they have run */
    bool specials;             /* NaN, infinities, -0 and denormals among the inputs */
    bool gradient;             /* cotangents are among the results */
    uint32_t forward;          /* nodes before the gradient */
    uint32_t drawn[OP_COUNT];  /* how often each op was drawn */
    uint32_t composed[RANDOM_COMPOSED]; /* and each public function */
    RandomGiven given;         /* per parameter: its bytes, NULL or behind the last: random_input draws them */
} RandomGraph;

/* Makes the graph in the arena (its border must be set). False: st, a fault of the generator or of ir. */
bool random_graph(RandomGraph *rg, Arena *arena, uint64_t seed, bool gradient, Status *st);
/* Bytes for parameter number i, row-major in its dtype. */
void *random_input(const RandomGraph *rg, Arena *arena, uint32_t i);
/* Why nobody can draw that op; NULL: somebody can. */
const char *random_cannot(Op op);
static inline bool random_can_draw(Op op) { return random_cannot(op) == NULL; }
const char *random_composed_name(uint32_t row); /* NULL: there is no such row, nor any behind it */
extern bool random_factors; /* whether eigenvalues and singular values are drawn, which need LAPACK and the host; first: not */

extern bool random_counts;  /* whether results may have sizes that nodes count, for which whoever runs them makes room; first: not */

/* ---- what the builders (random_ops.c) see ------------------------------------------------------------- */

typedef struct Maker {
    Random *r;
    Graph *g;
    Status *st;                /* refused attempts are told here and forgotten */
    uint32_t *drawn;           /* RandomGraph's; steers the choice */
    bool sane;                 /* arguments are kept within the functions' domains */
    bool large;                /* one long axis may appear */
    bool body;                 /* of a region: no new parameters */
    int depth;
    Dim symbol;                /* N, or DIM_BAD */
    int64_t symbol_value;
    int64_t *sizes;            /* RandomGraph's: N, and of sizes that nodes count the largest that they may be */
    uint32_t *composed;        /* RandomGraph's */
    RandomGiven *given;        /* RandomGraph's */
    VEC(double) size;          /* per value: about the largest |x| */
} Maker;

Value maker_append(Maker *k, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr, double size); /* 0: refused */
Value maker_tame(Maker *k, Value v);                 /* v, or something of its type with smaller numbers */
Value maker_want(Maker *k, const Type *t);           /* a value of exactly that type, found or made */
Value maker_bits(Maker *k);                                     /* a bit cast */
Value maker_pick(Maker *k, bool (*fits)(const Type *)); /* any value whose type fits; 0: none */
Type maker_shape(Maker *k, DType t);                 /* a random shape */
Dim maker_extent(Maker *k);
DType maker_dtype(Maker *k);
int64_t maker_elements(const Maker *k, const Type *t);
int64_t maker_extent_of(const Maker *k, Dim d);      /* its value */
Value maker_build(Maker *k, Op op);                  /* one node of that op, and what it needs; 0: did not work out */
Value maker_region(Maker *k, Op op);                  /* scan, while, branch: random_regions.c */
Value maker_matmul(Maker *k);                         /* random_contract.c */
Value maker_convolution(Maker *k, Op op);
Value maker_attention(Maker *k, Op op);
Value maker_factor(Maker *k, Op op);
Value maker_composed(Maker *k, bool sized);           /* random_composed.c: a public function; sized: one that counts a size. 0: refused */
void maker_note_size(Maker *k, Value v, double size);
bool maker_fill(Maker *k, uint32_t nodes);           /* draws that many */

#endif
