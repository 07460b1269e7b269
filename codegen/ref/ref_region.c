/* ref_region: nodes that run graphs: kernel and branch run a body once, loop runs it n times. ir/op_region.c tells their layout.
 * Relies on internal.h. */
#include "internal.h"

static RefTensor *param(const Frame *f, uint32_t i) { return &f->value[f->g->param.at[i]]; }

static const RefTensor *result(const Frame *f, uint32_t i) { return &f->value[f->g->result.at[i]]; }

bool ref_kernel(Run *r)
{
    Frame *body = r->body[0];
    for (uint32_t i = 0; i < r->node->nin; i++) ref_copy_all(param(body, i), r->in[i]);
    if (!frame_run(body, r->st)) return false;
    for (uint32_t i = 0; i < r->node->nout; i++) ref_copy_all(&r->out[i], result(body, i));
    return true;
}

/* An execution that took another branch has other results. */
static void doubt_all(Run *r)
{
    for (uint32_t i = 0; i < r->node->nout; i++) memset(r->out[i].undecided, DOUBT_CHOICE, (size_t)r->out[i].count);
}

bool ref_branch(Run *r)
{
    int64_t k = r->in[0]->i[0];
    if (r->in[0]->type.dtype == DT_u64 && k < 0) k = INT64_MAX;
    Frame *body = r->body[MIN_OF(MAX_OF(k, 0), (int64_t)r->node->attr->len - 1)];
    for (uint32_t i = 1; i < r->node->nin; i++) ref_copy_all(param(body, i - 1), r->in[i]);
    if (!frame_run(body, r->st)) return false;
    for (uint32_t i = 0; i < r->node->nout; i++) ref_copy_all(&r->out[i], result(body, i));
    if (r->in[0]->undecided[0]) doubt_all(r);
    return true;
}

/* ---- loops ------------------------------------------------------------------------------------- */

typedef struct Loop {
    Run *r;
    const struct loop_attrs *is;
    Frame *body;
} Loop;

/* If only the loop knows a stack's height, gives it room for `rows` slices. */
static void make_room(const Loop *l, RefTensor *stack, const RefTensor *slice, int64_t rows)
{
    if (stack->count >= rows * slice->count) return;
    Type t = stack->type;
    t.dim[0] = 2 * rows;
    RefTensor bigger = ref_tensor(l->r->arena, &t);
    for (int64_t k = 0; k < stack->count; k++) ref_copy(&bigger, k, stack, k);
    *stack = bigger;
}

/* A part may be another parameter, passed straight on, so all are read before any is written. */
static bool step(const Loop *l, int64_t index, int64_t rows)
{
    const uint32_t first_x = 1 + l->is->carries;
    RefTensor *out = l->r->out;
    param(l->body, 0)->i[0] = index;
    for (uint32_t i = 0; i < l->is->carries; i++) ref_copy_all(param(l->body, 1 + i), &out[i]);
    for (uint32_t i = 0; i < l->is->xs; i++) {
        RefTensor *slice = param(l->body, first_x + i);
        const RefTensor *stack = l->r->in[1 + l->is->carries + i];
        for (int64_t k = 0; k < slice->count; k++) ref_copy(slice, k, stack, index * slice->count + k);
    }
    if (!frame_run(l->body, l->r->st)) return false;
    for (uint32_t i = 0; i < l->is->carries; i++) ref_copy_all(&out[i], result(l->body, i));
    for (uint32_t i = l->is->carries; i < l->is->carries + l->is->ys; i++) {
        const RefTensor *y = result(l->body, i);
        make_room(l, &out[i], y, rows);
        for (int64_t k = 0; k < y->count; k++) ref_copy(&out[i], index * y->count + k, y, k);
    }
    return true;
}

static void zero(RefTensor *t)
{
    for (int64_t k = 0; k < t->count; k++) {
        if (t->f)
            t->f[k] = t->bound[k] = 0;
        else
            t->i[k] = 0;
    }
}

static void begin(const Loop *l, Frame *f)
{
    for (uint32_t i = 1 + (uint32_t)(l->is->carries + l->is->xs); i < l->r->node->nin; i++) ref_copy_all(param(f, i), l->r->in[i]);
}

/* A stack has as many slices as the loop had turns, unless its type says otherwise. */
static void finish(const Loop *l, int64_t steps)
{
    for (int64_t i = l->is->carries; i < l->is->carries + l->is->ys && dim_is_made(l->r->dims, l->is->steps); i++) {
        l->r->out[i].type.dim[0] = steps;
        l->r->out[i].count = steps * result(l->body, (uint32_t)i)->count;
    }
}

static bool heights_fit(const Loop *l, int64_t n)
{
    const bool made = dim_is_made(l->r->dims, l->is->steps);
    for (uint32_t i = 0; i < l->is->xs; i++) {
        int64_t have = l->r->in[1 + l->is->carries + i]->type.dim[0];
        if (have < n)
            return status_fail(l->r->st, ST_VALUE, "loop: %lld steps, but stacked inputs for %lld", (long long)n, (long long)have);
    }
    for (int64_t i = l->is->carries; i < l->is->carries + l->is->ys && !made; i++)
        if (l->r->out[i].type.dim[0] < n)
            return status_fail(l->r->st, ST_VALUE, "loop: %lld steps, but stacked results for %lld", (long long)n,
                (long long)l->r->out[i].type.dim[0]);
    return true;
}

static bool run_counted(const Loop *l)
{
    const int64_t n = MAX_OF(l->r->in[0]->i[0], 0);
    if (!heights_fit(l, n)) return false;
    for (int64_t k = 0; k < n; k++)
        if (!step(l, l->is->reverse ? n - 1 - k : k, n)) return false;
    finish(l, n);
    if (l->r->in[0]->undecided[0]) doubt_all(l->r);
    return true;
}

static bool run_asking(const Loop *l, Frame *condition)
{
    RefTensor *out = l->r->out;
    bool unsure = false;
    int64_t n = 0;
    begin(l, condition);
    for (;; n++) {
        param(condition, 0)->i[0] = n;
        for (uint32_t i = 0; i < l->is->carries; i++) ref_copy_all(param(condition, 1 + i), &out[i]);
        if (!frame_run(condition, l->r->st)) return false;
        unsure |= result(condition, 0)->undecided[0];
        if (!result(condition, 0)->i[0]) break;
        if (n == l->r->in[0]->i[0]) return status_fail(l->r->st, ST_VALUE, "loop: more than %lld steps", (long long)n);
        if (!step(l, n, n + 1)) return false;
    }
    finish(l, n);
    out[l->is->carries + l->is->ys].i[0] = n;
    if (unsure) doubt_all(l->r);
    return true;
}

bool ref_loop(Run *r)
{
    const Loop l = {.r = r, .is = ATTRS(loop, r->node->attr->at), .body = r->body[ATTR_INDEX(loop, body)]};
    for (uint32_t i = 0; i < l.is->carries; i++) ref_copy_all(&r->out[i], r->in[1 + i]);
    for (int64_t i = l.is->carries; i < l.is->carries + l.is->ys; i++) zero(&r->out[i]);
    begin(&l, l.body);
    const bool asks = r->node->attr->len > ATTR_INDEX(loop, condition);
    return asks ? run_asking(&l, r->body[ATTR_INDEX(loop, condition)]) : run_counted(&l);
}
