/* lower_parts: splits a kernel's points into parts. What pad and concat make is read behind guards, each of which holds up to some
 * point of an axis and not beyond. A kernel for each side of that point needs no guard and computes only what exists there. Relies
 * on lower.h. Never makes kernels. */
#include "lower.h"

#define PARTS_MAX 1024

typedef struct Cutting {
    Parts *part;
    uint32_t work, most; /* drafts of the parts so far, and the most there may be */
    uint32_t divisions;  /* of the whole kernel: dividing an index in a part costs more than a guard */
} Cutting;

static uint32_t divisions(const Build *b)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->draft.len; i++)
        n += b->draft.at[i].i.kind == I_PRIM && (b->draft.at[i].i.prim == P_idiv || b->draft.at[i].i.prim == P_irem);
    return n;
}

/* The block interpreter is far faster without guards. In compiled code a guard costs little. Passing over memory once per part
 * costs more, unless everything lies in a cache, parts are whole pages, or many operands meet. Parts of less than a cache line
 * never pay, nor does splitting a few bytes. Where only a few elements share an index of the axis, that axis and theirs become one
 * axis without the guard, which does pay. */
enum { LINE_BYTES = 64, PAGE_BYTES = 4096, CACHE_BYTES = 1 << 18, FEW_BYTES = 1 << 10, MANY_GUARDS = 5, MUCH_CODE = 32, FEW = 16 };

static int64_t size_of(const Build *b, Dim d) { return MIN_OF(dim_hi(b->lw->dims, d), DIM_MAX); }

/* Whether something is read backwards along the axis, or by indices, where guards say: element by element for all points of the
 * axis, though it may be there for few of them. */
static bool gathers(const Build *b, uint32_t axis)
{
    for (uint32_t i = 0; i < b->stream.len; i++) {
        const Stream *s = &b->stream.at[i];
        if (s->guard >= 0 && s->dyn >= 0 && (b->draft.at[s->dyn].axes >> axis & 1)) return true;
    }
    return false;
}

static bool pays(const Build *b, const Cut *c)
{
    const Lower *lw = b->lw;
    const double bytes = (double)dtype_bytes((DType)graph_type(b->g, b->group->out[0])->dtype);
    double line = 1, all = bytes;
    if (lw->o->target.dear_guards) return true;
    for (uint32_t a = 0; a < b->env.naxis; a++) {
        if ((int)a == b->env.sweep) continue;
        all *= (double)size_of(b, b->env.extent[a]);
        if (a > c->axis) line *= (double)size_of(b, b->env.extent[a]);
    }
    const int64_t whole = size_of(b, b->env.extent[c->axis]), low = MIN_OF(size_of(b, c->at), whole);
    /* Pairs, as real and imaginary parts, or a few more, for each of which the kernel would compute all. The parts become one
     * kernel again. */
    if (whole <= FEW && b->draft.len >= MUCH_CODE) return all > FEW_BYTES;
    const double run = line * bytes * (double)MAX_OF(low, whole - low);
    return run >= LINE_BYTES && all > FEW_BYTES &&
           (run >= PAGE_BYTES || all <= CACHE_BYTES || b->cut.len >= MANY_GUARDS || (line > 1 && line < 8) || gathers(b, c->axis));
}

/* Chooses a place on the outermost axis, whose parts are the largest pieces of memory; of several places the middle one. False:
 * there is none. */
static bool place_of(const Build *b, Cut *place)
{
    Cut *at = ARENA_ARRAY(b->lw->scratch, Cut, b->cut.len + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->cut.len; i++) {
        const Cut *c = &b->cut.at[i];
        if ((n != 0 && c->axis > at[0].axis) || !pays(b, c)) continue;
        if (n != 0 && c->axis < at[0].axis) n = 0;
        at[n++] = *c;
    }
    *place = at[n / 2];
    return n != 0;
}

/* False: it would be too much code, or the kernel cannot be made in parts. */
static bool cut_up(Cutting *c, const Build *b)
{
    Cut cut;
    if (!place_of(b, &cut)) {
        *VEC_PUSH(b->lw->scratch, c->part) = b->part;
        c->work += b->draft.len;
        return c->work <= c->most && c->part->len <= PARTS_MAX && divisions(b) <= c->divisions;
    }
    for (int side = 0; side < 2; side++) {
        Part part = b->part;
        Build half;
        if (side == 0) {
            part.extent[cut.axis] = cut.at;
        } else {
            part.first[cut.axis] = dim_add(b->lw->dims, part.first[cut.axis], cut.at);
            part.extent[cut.axis] = dim_sub(b->lw->dims, part.extent[cut.axis], cut.at);
        }
        if (!build_draft(&half, b->lw, b->group, &part) || !cut_up(c, &half)) return false;
    }
    return true;
}

bool build_parts(const Build *whole, Parts *out)
{
    Cutting c = {.part = out, .most = 2 * whole->draft.len + 32, .divisions = divisions(whole)};
    const Status before = *whole->lw->st;
    if (whole->group->draft || whole->cut.len > 2 * PARTS_MAX) return false;
    bool ok = cut_up(&c, whole) && out->len > 1;
    *whole->lw->st = before; /* a part that cannot be had is none */
    return ok;
}
