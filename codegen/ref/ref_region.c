/* ref_region: nodes that run graphs: kernel (its body once) and scan (its body n times). Layout of scan: ir/rules_region.c.
 * Relies on internal.h. */
#include "internal.h"

static RefTensor *param(const Frame *f, uint32_t i)
{
    return &f->value[f->g->param.at[i]];
}

static const RefTensor *result(const Frame *f, uint32_t i)
{
    return &f->value[f->g->result.at[i]];
}

bool ref_kernel(Run *r)
{
    for (uint32_t i = 0; i < r->node->nin; i++) ref_copy_all(param(r->body, i), r->in[i]);
    if (!frame_run(r->body, r->st)) return false;
    for (uint32_t i = 0; i < r->node->nout; i++) ref_copy_all(&r->out[i], result(r->body, i));
    return true;
}

typedef struct Scan {
    Run *r;
    Frame *body;
    int64_t n;
    uint32_t carries, xs, ys;
    bool reverse;
} Scan;

/* A part may be a value that the body passes straight on, or another parameter: all are read before any is written. */
static bool step(const Scan *s, int64_t index)
{
    const uint32_t first_x = 1 + s->carries;
    param(s->body, 0)->i[0] = index;
    for (uint32_t i = 0; i < s->carries; i++) ref_copy_all(param(s->body, 1 + i), &s->r->out[i]);
    for (uint32_t i = 0; i < s->xs; i++) {
        RefTensor *slice = param(s->body, first_x + i);
        for (int64_t k = 0; k < slice->count; k++) ref_copy(slice, k, s->r->in[first_x + i], index * slice->count + k);
    }
    if (!frame_run(s->body, s->r->st)) return false;
    for (uint32_t i = 0; i < s->carries; i++) ref_copy_all(&s->r->out[i], result(s->body, i));
    for (uint32_t i = 0; i < s->ys; i++) {
        const RefTensor *y = result(s->body, s->carries + i);
        for (int64_t k = 0; k < y->count; k++) ref_copy(&s->r->out[s->carries + i], index * y->count + k, y, k);
    }
    return true;
}

bool ref_scan(Run *r)
{
    const int64_t *attr = r->node->attr->at;
    Scan s = {.r = r, .body = r->body, .n = r->in[0]->i[0], .carries = (uint32_t)attr[1], .xs = (uint32_t)attr[2],
              .ys = (uint32_t)attr[3], .reverse = attr[4] != 0};
    for (uint32_t i = 0; i < r->node->nout; i++) {
        const bool stacked = i >= s.carries;
        if (stacked && r->out[i].type.dim[0] != MAX_OF(s.n, 0))
            return status_fail(r->st, ST_VALUE, "scan: %lld steps, but results for %lld", (long long)s.n, (long long)r->out[i].type.dim[0]);
    }
    for (uint32_t i = 0; i < s.xs; i++)
        if (r->in[1 + s.carries + i]->type.dim[0] != MAX_OF(s.n, 0))
            return status_fail(r->st, ST_VALUE, "scan: %lld steps, but inputs for %lld", (long long)s.n,
                               (long long)r->in[1 + s.carries + i]->type.dim[0]);
    for (uint32_t i = 0; i < s.carries; i++) ref_copy_all(&r->out[i], r->in[1 + i]);
    for (uint32_t i = 1 + s.carries + s.xs; i < r->node->nin; i++) ref_copy_all(param(s.body, i), r->in[i]);
    for (int64_t k = 0; k < s.n; k++)
        if (!step(&s, s.reverse ? s.n - 1 - k : k)) return false;
    for (uint32_t i = 0; i < r->node->nout && r->in[0]->undecided[0]; i++)
        memset(r->out[i].undecided, 1, (size_t)r->out[i].count);
    return true;
}
