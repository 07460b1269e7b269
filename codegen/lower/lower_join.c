/* lower_join: lets a kernel run on rows of a product or convolution as soon as they are made, while they are in a cache: the step
 * says so, and where nobody else reads the product, the kernel writes its result over it. Relies on lower.h. Never changes what is
 * computed; who ignores it runs the steps one after the other. */
#include "lower.h"

typedef struct Made { /* what a step makes: rows times columns, contiguous */
    uint32_t buf, from[2];
    Dim rows, columns;
} Made;

static bool makes_rows(Lower *lw, const Step *s, Made *m)
{
    if (s->kind == STEP_CONTRACT) {
        *m = (Made){s->contract.c, {s->contract.a, s->contract.b}, s->contract.m, s->contract.n};
        for (uint32_t i = 0; i < s->contract.nbatch && m->rows != DIM_BAD; i++)
            m->rows = dim_mul(lw->dims, m->rows, s->contract.batch[i]);
        return m->rows != DIM_BAD;
    }
    if (s->kind != STEP_HOST || s->host.op != OP_conv) return false;
    const Dim *d = s->host.dim;
    const size_t out = (offsetof(HostConv, out) - offsetof(HostConv, n)) / sizeof(int64_t);
    *m = (Made){s->buf[0], {s->buf[1], s->buf[2]}, d[0], DIM_BAD};
    for (size_t i = out; i < out + 3 && m->rows != DIM_BAD; i++) m->rows = dim_mul(lw->dims, m->rows, d[i]);
    m->columns = dim_mul(lw->dims, d[1], d[3]); /* groups, o */
    return m->rows != DIM_BAD && m->columns != DIM_BAD;
}

/* Whether the stream stays in row number i of the chunk axis, guarded or not. */
static bool within_row(const Kernel *k, const Stream *s, Dim columns)
{
    Dim lowest = s->base, highest = s->base;
    uint32_t others = 0, whole = 0;
    if (s->dyn >= 0 || s->coef[k->chunk] != columns) return false;
    for (uint32_t a = 0; a < k->naxis; a++) {
        if ((int)a == k->chunk || s->coef[a] == 0) continue;
        others++;
        whole += s->coef[a] == 1 && k->extent[a] == columns;
    }
    if (s->base == 0 && others == 1 && whole == 1) return true; /* however many columns there are */
    if (!dim_is_const(columns) || !dim_is_const(s->base)) return false;
    for (uint32_t a = 0; a < k->naxis; a++) {
        if ((int)a == k->chunk || s->coef[a] == 0) continue;
        Dim more = dim_is_const(s->coef[a]) && dim_is_const(k->extent[a]) ? dim_mul(NULL, s->coef[a], k->extent[a] - 1) : DIM_BAD;
        Dim *end = more != DIM_BAD && more < 0 ? &lowest : &highest;
        *end = more == DIM_BAD ? DIM_BAD : dim_add(NULL, *end, more);
        if (*end == DIM_BAD) return false;
    }
    return lowest >= 0 && highest < columns;
}

/* How many indices of the chunk axis one row is; 0: the kernel needs more than that row. */
static int64_t indices_of_row(Lower *lw, const Kernel *k, uint32_t slot, const Made *m)
{
    if (k->chunk < 0 || k->turn >= 0) return 0; /* squares want many rows */
    const Dim extent = k->extent[k->chunk];
    const bool flat = k->naxis == 1 && dim_is_const(m->columns) && extent == dim_mul(lw->dims, m->rows, m->columns);
    if (!flat && extent != m->rows) return 0;
    for (uint32_t i = 0; i < k->nstream; i++) {
        const Stream *s = &k->stream[i];
        if (s->buf != slot) continue;
        if (flat ? s->dyn >= 0 || s->base != 0 || s->coef[0] != 1 : !within_row(k, s, m->columns)) return 0;
    }
    return flat ? m->columns : 1;
}

static bool is_in(const Program *p, uint32_t b, uint32_t buf)
{
    while (b != buf && p->buf.at[b].kind == BUF_SLICE) b = p->buf.at[b].of;
    return b == buf;
}

/* The kernel's buffers: which one is the product; false if it writes what the product is made of. */
static bool find_product(const Program *p, const Step *s, const Made *m, uint32_t *slot)
{
    const Kernel *k = &p->kernel.at[s->kernel];
    uint32_t n = 0;
    for (uint32_t i = 0; i < k->nbuf; i++) {
        if (s->buf[i] == m->buf) *slot = i, n++;
        if (s->buf[i] != m->buf && is_in(p, s->buf[i], m->buf)) return false;
        for (int j = 0; j < 2; j++)
            if (k->writes[i] && (is_in(p, s->buf[i], m->from[j]) || is_in(p, m->from[j], s->buf[i]))) return false;
    }
    return n == 1 && !k->writes[*slot];
}

/* The product goes where the kernel's result of its type goes, if none is in the way. */
static void write_over(Lower *lw, Step *made, Step *s, const Made *m, uint32_t slot)
{
    Program *p = lw->p;
    const Kernel *k = &p->kernel.at[s->kernel];
    Buf *from = &p->buf.at[m->buf];
    if (from->kind != BUF_TEMP || from->first != made->clock || from->last != s->clock) return;
    for (uint32_t i = 0; i < k->nbuf; i++) {
        Buf *to = &p->buf.at[s->buf[i]];
        if (!k->writes[i] || (to->kind != BUF_TEMP && to->kind != BUF_OUTPUT) || to->first != s->clock || to->bytes < from->bytes ||
            !kernel_may_share(k, slot, i))
            continue;
        uint32_t *buf = (uint32_t *)s->buf;
        s->kernel = lower_share(lw, s->kernel, slot, i);
        buf[slot] = buf[i];
        *(made->kind == STEP_HOST ? (uint32_t *)&made->buf[0] : &made->contract.c) = buf[i];
        to->first = made->clock;
        from->bytes = 0; /* nobody uses it any more: it needs no room */
        return;
    }
}

/* What the product is made of lives as long as it is being made. */
static void keep_operands(Lower *lw, const Made *m, const Step *s)
{
    for (int j = 0; j < 2; j++)
        for (Buf *b = &lw->p->buf.at[m->from[j]];; b = &lw->p->buf.at[b->of]) {
            b->last = MAX_OF(b->last, s->clock);
            if (b->kind != BUF_SLICE) break;
        }
}

#define END_BUFFERS 60 /* of such a kernel */

/* Whether the kernel is one computation for each element of the product, in their order, and reads no other one of it. */
static bool at_same_points(Lower *lw, const Kernel *k, uint32_t slot, const Made *m)
{
    if (k->sweep >= 0 || k->turn >= 0 || k->nstage != 1 || k->naxis == 0 || k->nbuf > END_BUFFERS) return false;
    for (uint32_t i = 0; i < k->ninstr; i++)
        if (k->instr[i].kind == I_FETCH) return false;
    for (uint32_t i = 0; i < k->nstore; i++)
        if (k->store[i].fold) return false;
    for (uint32_t i = 0; i < k->nstream; i++) {
        const Stream *s = &k->stream[i];
        Dim each = 1;
        if (s->buf != slot) continue;
        if (s->dyn >= 0 || s->base != 0) return false;
        for (uint32_t a = k->naxis; a-- > 0; each = dim_mul(lw->dims, each, k->extent[a]))
            if (each == DIM_BAD || s->coef[a] != each) return false;
        if (each == DIM_BAD || each != dim_mul(lw->dims, m->rows, m->columns)) return false;
    }
    return k->naxis == 1 || k->extent[k->naxis - 1] == m->columns;
}

/* Whether the kernel may run on some columns of some rows: along its only axis, or along its second and its first. */
static bool runs_on_columns(Lower *lw, const Kernel *k, uint32_t slot, const Made *m)
{
    if (!dim_is_const(m->columns) || !at_same_points(lw, k, slot, m)) return false;
    for (uint32_t i = 0; i < k->nstore; i++)
        if (k->store[i].past) return false; /* each call waits for those */
    return k->naxis == 1 || (k->naxis == 2 && k->chunk == 0 && k->vector == 1);
}

static void join(Lower *lw, Step *made, Step *s)
{
    Made m;
    uint32_t slot = 0;
    if (s->kind != STEP_KERNEL || !makes_rows(lw, made, &m) || !find_product(lw->p, s, &m, &slot)) return;
    s->joins = indices_of_row(lw, &lw->p->kernel.at[s->kernel], slot, &m);
    if (s->joins == 0) return;
    if (runs_on_columns(lw, &lw->p->kernel.at[s->kernel], slot, &m)) s->columns = m.columns;
    keep_operands(lw, &m, s);
    write_over(lw, made, s, &m, slot);
}

void join_steps(Lower *lw, Step *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t b = 0; b < s[i].nblock; b++) join_steps(lw, s[i].block[b].step, s[i].block[b].n);
        if (i + 1 < n) join(lw, &s[i], &s[i + 1]);
    }
}

/* ---- kernels in a product's place --------------------------------------------------------------- */

static void end(Lower *lw, Step *made, Step *s)
{
    Program *p = lw->p;
    Made m;
    uint32_t slot = 0;
    if (made->kind != STEP_CONTRACT || s->kind != STEP_KERNEL || !makes_rows(lw, made, &m) || !find_product(p, s, &m, &slot))
        return;
    if (made->contract.blas) return;
    const Buf *from = &p->buf.at[m.buf];
    if (from->kind != BUF_TEMP || from->first != made->clock || from->last != s->clock) return;
    if (!at_same_points(lw, &p->kernel.at[s->kernel], slot, &m)) return;
    keep_operands(lw, &m, s);
    write_over(lw, made, s, &m, slot);
    const Kernel *k = &p->kernel.at[s->kernel];
    for (uint32_t i = 0; i < k->nbuf; i++) {
        Buf *b = &p->buf.at[s->buf[i]];
        if (b->kind == BUF_TEMP) b->first = MIN_OF(b->first, made->clock);
    }
    made->contract.ended = true;
    made->contract.product = slot;
    s->ends = true;
    p->launches--;
}

void end_steps(Lower *lw, Step *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t b = 0; b < s[i].nblock; b++) end_steps(lw, s[i].block[b].step, s[i].block[b].n);
        if (i + 1 < n) end(lw, &s[i], &s[i + 1]);
    }
}
