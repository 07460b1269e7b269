/* suppress: non-maximum suppression, a loop that takes one box of each class of each batch a turn. Relies on ops.h and kiln_while,
 * which is why it stands in this room. Never has a gradient. */
#include "../ops/ops.h"

#include <math.h>

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))
#define WHERE(c, x, y) of(kiln_where_at(at, c, x, y))

typedef struct Boxes {
    kiln_site at;
    Thread *t;
    kiln_tensor *corner[4]; /* least y and x, largest y and x: [b, n] */
    Type left;              /* of the scores: [b, c, n] */
    Dim most;               /* turns */
    double iou;
} Boxes;

/* ---- boxes ------------------------------------------------------------------------------------------------- */

static kiln_operand coordinate(const Boxes *s, kiln_tensor *boxes, int i)
{
    const kiln_site at = s->at;
    return of(kiln_squeeze_at(at, of(slice_axis(s->t, at, boxes, 2, i, 1)), 2));
}

static bool find_corners(Boxes *s, kiln_tensor *boxes, bool centers)
{
    const kiln_site at = s->at;
    const kiln_operand a = coordinate(s, boxes, 0), b = coordinate(s, boxes, 1), c = coordinate(s, boxes, 2),
                       d = coordinate(s, boxes, 3);
    if (centers) { /* x, y, width, height */
        const kiln_operand w = OP2(div, c, kiln_of_i(2)), h = OP2(div, d, kiln_of_i(2));
        s->corner[0] = kiln_sub_at(at, b, h), s->corner[1] = kiln_sub_at(at, a, w);
        s->corner[2] = kiln_add_at(at, b, h), s->corner[3] = kiln_add_at(at, a, w);
    } else {
        s->corner[0] = kiln_min_at(at, a, c), s->corner[1] = kiln_min_at(at, b, d);
        s->corner[2] = kiln_max_at(at, a, c), s->corner[3] = kiln_max_at(at, b, d);
    }
    for (int i = 0; i < 4; i++)
        if (!tensor_ok(s->corner[i])) return false;
    return true;
}

static kiln_operand area(kiln_site at, const kiln_operand c[4]) { return OP2(mul, OP2(sub, c[2], c[0]), OP2(sub, c[3], c[1])); }

/* bool[b, c, n]: each box against the one that its batch and class has taken, best [b, c]. */
static kiln_operand overlap(const Boxes *s, kiln_operand best)
{
    const kiln_site at = s->at;
    kiln_operand taken[4], each[4];
    for (int i = 0; i < 4; i++) {
        taken[i] = OP2(expand, of(kiln_take_along_at(at, of(s->corner[i]), best, 1)), 2);
        each[i] = OP2(expand, of(s->corner[i]), 1);
    }
    const kiln_operand low[2] = {OP2(max, taken[0], each[0]), OP2(max, taken[1], each[1])};
    const kiln_operand high[2] = {OP2(min, taken[2], each[2]), OP2(min, taken[3], each[3])};
    const kiln_operand h = OP2(max, OP2(sub, high[0], low[0]), kiln_of_i(0)), w = OP2(max, OP2(sub, high[1], low[1]), kiln_of_i(0));
    const kiln_operand both = OP2(mul, h, w), one = area(at, taken), other = area(at, each);
    const kiln_operand all = OP2(sub, OP2(add, one, other), both);
    const kiln_operand real = OP2(and, OP2(gt, one, kiln_of_i(0)), OP2(gt, other, kiln_of_i(0)));
    return OP2(and, real, OP2(gt, OP2(div, both, all), kiln_of_f(s->iou)));
}

/* ---- the loop ---------------------------------------------------------------------------------------------- */

/* in: the turn, the scores of the boxes that are left, what was taken in each turn [b, c, most]. */
static void some_left(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Boxes *s = user;
    const kiln_site at = s->at;
    (void)k;
    const kiln_operand any = OP2(any, OP2(gt, of(in[1]), kiln_of_f(-INFINITY)), KILN_ALL);
    out[0] = kiln_and_at(at, any, OP2(lt, of(in[0]), of(dim_tensor(s->t, at, s->most, DT_i64))));
}

static void take_best(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Boxes *s = user;
    const kiln_site at = s->at;
    Thread *t = s->t;
    (void)k;
    const kiln_operand left = of(in[1]), best = of(kiln_argmax_at(at, left, 2)), none = kiln_of_f(-INFINITY);
    const kiln_operand there = OP2(gt, OP2(reduce_max, left, KILN_AXES(2)), none);
    const Type places = {.dtype = DT_i64, .rank = 1, .dim = {s->left.dim[2]}},
               turns = {.dtype = DT_i64, .rank = 1, .dim = {s->most}};
    const kiln_operand itself = OP2(eq, of(iota_of(t, at, &places, 0, in[1])), OP2(expand, best, 2));
    out[0] = kiln_where_at(at, OP2(or, overlap(s, best), itself), none, left);
    const kiln_operand now = OP2(eq, of(iota_of(t, at, &turns, 0, in[1])), of(in[0]));
    out[1] = kiln_where_at(at, OP2(and, now, OP2(expand, there, 2)), OP2(expand, best, 2), of(in[2]));
}

/* [b, c, most]: the boxes taken, in turn, and -1 behind them. */
static kiln_tensor *taken_boxes(Boxes *s, kiln_operand scores, double least)
{
    const kiln_site at = s->at;
    Type taken = s->left;
    taken.dtype = DT_i64;
    taken.dim[2] = s->most;
    kiln_operand counts = least > -INFINITY ? OP2(gt, scores, kiln_of_f(least)) : OP2(eq, scores, scores); /* no NaN */
    kiln_tensor *first[2] = {kiln_where_at(at, counts, scores, kiln_of_f(-INFINITY)),
        number_like(s->t, at, NULL, &taken, kiln_of_i(-1))},
                *last[2] = {NULL};
    if (!tensor_ok(first[0]) || !tensor_ok(first[1])) return &s->t->k->poison;
    return kiln_while_at(at, s->t->k, 0, some_left, take_best, first, 2, last, s) ? last[1] : &s->t->k->poison;
}

/* ---- operands ---------------------------------------------------------------------------------------------- */

static bool fits(
    Thread *t, kiln_site at, const kiln_tensor *boxes, const kiln_tensor *scores, int64_t most, double iou, double score)
{
    char a[160], b[160];
    const Type *x = &boxes->type, *y = &scores->type;
    if (x->rank == 3 && y->rank == 3 && x->dim[0] == y->dim[0] && x->dim[1] == y->dim[2] && x->dim[2] == 4 &&
        x->dtype == y->dtype) {
        if (most < -1 || most >= DIM_MAX)
            fail(t, at, KILN_EVALUE, "non_max_suppression: most is %lld (allowed: -1, or 0 to 2^48 - 1)", (long long)most);
        else if (!(iou >= 0 && iou <= 1) || isnan(score))
            fail(
                t, at, KILN_EVALUE, "non_max_suppression: iou is %g and score %g; iou must be in [0, 1], score no NaN", iou, score);
        else
            return true;
        return false;
    }
    fail(t, at, x->dtype == y->dtype ? KILN_ESHAPE : KILN_EDTYPE,
        "non_max_suppression: needs boxes [b, n, 4] and scores [b, c, n] of one dtype: %s x %s", tensor_text(boxes, a, sizeof a),
        tensor_text(scores, b, sizeof b));
    return false;
}

/* Rows (batch, class, box). */
static kiln_tensor *rows_of(Thread *t, kiln_site at, kiln_tensor *taken)
{
    if (!tensor_ok(taken)) return taken;
    const Dim all = extent_product(t, at, taken->type.dim, taken->type.rank);
    if (all == DIM_BAD) return fail(t, at, KILN_ESHAPE, "the number of boxes is beyond 2^48");
    kiln_tensor *flat = reshape_to(t, at, taken, &all, 1);
    if (!tensor_ok(flat)) return flat;
    kiln_tensor *place = mask_places(t, at, "non_max_suppression", kiln_ge_at(at, of(flat), kiln_of_i(0)), -1);
    if (!tensor_ok(place)) return place;
    kiln_tensor *row[3] = {place_along(t, at, &taken->type, place, 0), place_along(t, at, &taken->type, place, 1),
        apply2(t, at, OP_gather, flat, place, ATTRS_OF(gather, .axis = 0))};
    for (int i = 0; i < 3; i++)
        if (!tensor_ok(row[i])) return row[i];
    return kiln_stack_at(at, row, 3, 1);
}

kiln_tensor *kiln_non_max_suppression_at(
    kiln_site at, kiln_operand bo, kiln_operand so, int64_t most, double iou, double score, bool centers)
{
    kiln_operand both[2] = {bo, so};
    Thread *t = op_thread(both, 2);
    if (!t) return NULL;
    kiln_tensor *boxes = operand_float(t, at, "non_max_suppression", bo), *scores = operand_float(t, at, "non_max_suppression", so);
    if (!tensor_ok(boxes) || !tensor_ok(scores) || !fits(t, at, boxes, scores, most, iou, score)) return &t->k->poison;
    const Dim n = scores->type.dim[2];
    Boxes s = {.at = at, .t = t, .most = most < 0 || extent_hi(t, n) <= most ? n : most, .iou = iou};
    Composite c = composite_begin(t, "non_max_suppression");
    boxes = cast_to(t, at, boxes, wide_dtype(boxes));
    scores = cast_to(t, at, scores, wide_dtype(scores));
    if (!tensor_ok(boxes) || !tensor_ok(scores)) return composite_end(t, &c, &t->k->poison);
    s.left = scores->type;
    if (s.most == 0 || scores->type.dim[0] == 0 || scores->type.dim[1] == 0)
        return composite_end(t, &c, iota_of(t, at, &(Type){.dtype = DT_i64, .rank = 2, .dim = {0, 3}}, 0, scores));
    if (!find_corners(&s, boxes, centers)) return composite_end(t, &c, &t->k->poison);
    return composite_end(t, &c, rows_of(t, at, taken_boxes(&s, of(scores), score)));
}
