/* lower_window: lowers window_add to a loop over the places in a window, the last place first. The image starts as zeros, and each
 * turn adds what all windows have at that place. At one place a pixel lies in at most one window, so that a turn is an elementwise
 * kernel, and no index is divided. Narrow floats are summed in f32 and rounded at the end. Relies on lower.h. */
#include "lower.h"

/* The axes are (image, row and column of the window, channel). The group's buffer `nin` - 1 holds the place's number, `nin` the
 * sums. */
static bool add_place(Build *b, const void *with)
{
    const Node *n = with;
    const struct window_add_attrs *w = ATTRS(window_add, n->attr->at);
    const Type *x = graph_type(b->g, n->in[0]), *t = graph_type(b->g, n->out);
    const IndexMap none = {.rank = 0};
    int32_t place = build_load(b, build_stream(b, b->group->nin - 1, DT_i64, &none)), size = build_i64(b, w->size[1]);
    int32_t at[2] = {build_prim(b, P_idiv, DT_i64, place, size, -1), build_prim(b, P_irem, DT_i64, place, size, -1)};
    IndexMap from = {.rank = 5, .dim = {x->dim[0], x->dim[1], x->dim[2], w->size[0] * w->size[1], x->dim[5]}};
    IndexMap to = {.rank = 4, .dim = {t->dim[0], t->dim[1], t->dim[2], t->dim[3]}};
    for (uint32_t i = 0; i < 4; i++) {
        from.at[i == 3 ? 4 : i] = to.at[i] = index_axis(i, 1);
        if (i != 1 && i != 2) continue;
        to.at[i].coef[i] = w->stride[i - 1];
        to.at[i].dyn = build_prim(b, P_mul, DT_i64, at[i - 1], build_i64(b, w->dilation[i - 1]), -1);
    }
    from.at[3] = index_const(0);
    from.at[3].dyn = place;
    index_normalise(&b->env, &from);
    const DType sum = (DType)dtype_info[t->dtype].compute;
    return build_store(b, build_stream(b, b->group->nin, sum, &to), build_value(b, n->in[0], &from), 1 + R_SUM);
}

static bool round_sums(Build *b, const void *with)
{
    const Type *t = graph_type(b->g, ((const Node *)with)->out);
    IndexMap all;
    index_root(&b->env, b->env.naxis, &all);
    int32_t sum = build_load(b, build_stream(b, 0, (DType)dtype_info[t->dtype].compute, &all));
    return build_store(b, build_stream(b, 1, (DType)t->dtype, &all), sum, 0);
}

static bool loop(Scope *s, const Node *n, Group *group, const uint32_t *buf, uint32_t index)
{
    Lower *lw = s->lw;
    const struct window_add_attrs *w = ATTRS(window_add, n->attr->at);
    Scope inner = *s;
    Step *step = scope_step(s, STEP_LOOP);
    const uint32_t at_step = s->step.len - 1, first = lw->clock, since = lw->touched.len;
    memset(&inner.step, 0, sizeof inner.step);
    if (!scope_kernel(&inner, group, buf)) return false;
    step = &s->step.at[at_step];
    step->trip = step->count = step->selector = UINT32_MAX;
    step->trip_dim = w->size[0] * w->size[1];
    step->index = index;
    step->reverse = true;
    step->id = lw->loops++;
    step->nblock = 1;
    step->block = ARENA_ARRAY(lw->arena, Block, 1);
    step->block[0] = (Block){inner.step.at, inner.step.len};
    lower_lives(lw, since, first, lw->clock);
    lw->clock++;
    return true;
}

bool lower_window_add(Scope *s, const Node *n)
{
    const Type *x = graph_type(s->g, n->in[0]), *t = graph_type(s->g, n->out);
    Type sums = *t;
    sums.dtype = dtype_info[t->dtype].compute;
    Group group;
    const Type number = {.dtype = DT_i64};
    uint32_t *buf = scope_operands(s, n, &group, 2), out = scope_result(s, n->out), index = lower_buf(s->lw, BUF_TEMP, &number),
             to = sums.dtype == t->dtype ? out : lower_buf(s->lw, BUF_TEMP, &sums);
    buf[group.nin++] = index;
    buf[group.nin] = to;
    group.draft = add_place;
    group.with = n;
    group.nout = 1;
    group.naxis = 4;
    group.sweep = -1;
    for (uint32_t i = 0; i < 4; i++) group.extent[i] = x->dim[i == 3 ? 5 : i];
    bool ok =
        out != NO_BUF && index != NO_BUF && to != NO_BUF && scope_fill(s, &sums, 0, n->loc, to) && loop(s, n, &group, buf, index);
    if (ok && to != out) {
        group.draft = round_sums;
        group.nin = 1;
        for (uint32_t i = 0; i < 4; i++) group.extent[i] = t->dim[i];
        ok = scope_kernel(s, &group, (uint32_t[]){to, out});
    }
    scope_operands_end(s, n);
    return ok;
}
