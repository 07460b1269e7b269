/* ref_sort: argsort and sort, by inserting one element after the other. Relies on internal.h. */
#include "integer.h"
#include "internal.h"

#include <math.h>

typedef struct Order {
    bool descending, zeros; /* zeros: -0 is below 0, else they are equal */
} Order;

/* Whether element a goes strictly before b: NaN is last. */
static bool goes_before(const RefTensor *x, Order o, int64_t a, int64_t b)
{
    const bool descending = o.descending;
    const DType t = (DType)x->type.dtype;
    if (!x->f) return descending ? integer_less(t, x->i[b], x->i[a]) : integer_less(t, x->i[a], x->i[b]);
    const double u = x->f[a], v = x->f[b];
    if (u != u || v != v) return u == u && v != v;
    if (o.zeros && u == 0 && v == 0) return descending ? signbit(v) && !signbit(u) : signbit(u) && !signbit(v);
    return descending ? u > v : u < v;
}

typedef struct Line {
    const RefTensor *x;
    int64_t *order; /* element 0 of the result's line */
    int64_t first, step, n;
} Line;

static int64_t element(const Line *l, int64_t k) { return l->first + l->order[k * l->step] * l->step; }

static void sort_line(const Line *l, Order o)
{
    for (int64_t k = 0; k < l->n; k++) {
        int64_t low = 0, high = k; /* after all elements that do not go after it */
        while (low < high) {
            const int64_t mid = (low + high) / 2;
            if (goes_before(l->x, o, l->first + k * l->step, element(l, mid)))
                high = mid;
            else
                low = mid + 1;
        }
        for (int64_t q = k; q > low; q--) l->order[q * l->step] = l->order[(q - 1) * l->step];
        l->order[low * l->step] = k;
    }
}

/* Correct executions may exchange elements closer than two of the line's largest bounds; if an element is undecided, anything is
 * correct. */
static void doubt_line(const Line *l, uint8_t *undecided)
{
    double bound = 0;
    bool any = false;
    for (int64_t k = 0; k < l->n; k++) {
        any |= l->x->undecided[l->first + k * l->step] != 0;
        if (l->x->f) bound = fmax(bound, l->x->bound[l->first + k * l->step]);
    }
    for (int64_t k = 0; k < l->n; k++) {
        if (any) undecided[k * l->step] |= DOUBT_STEP;
        if (k == 0 || bound == 0) continue;
        const double a = l->x->f[element(l, k - 1)], b = l->x->f[element(l, k)];
        if (fabs(a - b) > 2 * bound * (1 + 1e-9) || b != b) continue;
        undecided[k * l->step] |= DOUBT_STEP;
        undecided[(k - 1) * l->step] |= DOUBT_STEP;
    }
}

bool ref_argsort(Run *r)
{
    RefTensor *out = &r->out[0];
    const struct argsort_attrs *a = ATTRS(argsort, r->node->attr->at);
    Line l = {.x = r->in[0], .step = 1, .n = out->type.dim[a->axis]};
    for (uint32_t i = (uint32_t)a->axis + 1; i < out->type.rank; i++) l.step *= out->type.dim[i];
    for (int64_t i = 0; i < out->count; i++) {
        int64_t index[MAX_RANK];
        unravel(&out->type, i, index);
        if (index[a->axis] != 0) continue;
        l.first = i;
        l.order = out->i + i;
        sort_line(&l, (Order){.descending = a->descending != 0});
        doubt_line(&l, out->undecided + i);
    }
    return true;
}

/* Sorting moves no element further than the elements move that are furthest from what they should be. */
static void take_line(const Line *l, RefTensor *out)
{
    double bound = 0;
    uint8_t undecided = 0;
    for (int64_t k = 0; k < l->n; k++) {
        undecided |= l->x->undecided[l->first + k * l->step];
        if (l->x->f) bound = fmax(bound, l->x->bound[l->first + k * l->step]);
    }
    for (int64_t k = 0; k < l->n; k++) {
        const int64_t to = l->first + k * l->step;
        ref_copy(out, to, l->x, element(l, k));
        out->undecided[to] = undecided;
        if (out->f) out->bound[to] = bound;
    }
}

bool ref_sort(Run *r)
{
    RefTensor *out = &r->out[0];
    const struct sort_attrs *a = ATTRS(sort, r->node->attr->at);
    const Order o = {.descending = a->descending != 0, .zeros = true};
    Line l = {.x = r->in[0], .step = 1, .n = out->type.dim[a->axis]};
    for (uint32_t i = (uint32_t)a->axis + 1; i < out->type.rank; i++) l.step *= out->type.dim[i];
    int64_t *order = ARENA_ARRAY(r->arena, int64_t, out->count + 1);
    for (int64_t i = 0; i < out->count; i++) {
        int64_t index[MAX_RANK];
        unravel(&out->type, i, index);
        if (index[a->axis] != 0) continue;
        l.first = i;
        l.order = order + i;
        sort_line(&l, o);
        take_line(&l, out);
    }
    return true;
}
