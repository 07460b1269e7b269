/* cuda_points: how the threads of a kernel go through its points: which index is whose, and several points side by side at once
 * where their elements lie side by side. Relies on print.h. */
#include "print.h"

bool cuda_uses_axis(const Kernel *k, uint32_t axis)
{
    for (uint32_t i = 0; i < k->nstream; i++)
        if (!(k->stream[i].buf & STREAM_ROW) && k->stream[i].coef[axis] != 0) return true;
    for (uint32_t i = 0; i < k->ninstr; i++)
        if (k->instr[i].kind == I_AXIS && k->instr[i].ref == axis) return true;
    return false;
}

/* Orders the parallel axes, the fastest first: the vector axis, so that neighbouring threads touch neighbouring elements, then the
 * last axis and so on. */
static uint32_t parallel_axes(const Kernel *k, uint32_t *axis)
{
    uint32_t n = 0;
    if (k->vector >= 0 && k->vector != k->sweep) axis[n++] = (uint32_t)k->vector;
    for (uint32_t a = k->naxis; a-- > 0;)
        if ((int)a != k->sweep && (int)a != k->vector) axis[n++] = a;
    return n;
}

bool cuda_fits_32(const Print *c)
{
    int64_t points = 1;
    for (uint32_t a = 0; a < c->k->naxis; a++) {
        const int64_t n = (int)a == c->k->sweep ? 1 : dim_hi(&c->p->module->dims, c->k->extent[a]);
        if (__builtin_mul_overflow(points, n, &points) || points > INT32_MAX) return false;
    }
    return true;
}

static void open_indices(Print *c, const uint32_t *axis, uint32_t n, const char *t)
{
    uint32_t last = 0;
    for (uint32_t i = 0; i < n; i++)
        if (cuda_uses_axis(c->k, axis[i])) last = i;
    if (last > 0) cuda_line(c, "%s rest = point;", t);
    for (uint32_t i = 0; i <= last && n > 0; i++) {
        const char *from = last > 0 ? "rest" : "point", *extent = cuda_dim(c, c->k->extent[axis[i]]);
        if (cuda_uses_axis(c->k, axis[i])) {
            if (i + 1 == n)
                cuda_line(c, "const i64 i%u = %s;", axis[i], from);
            else
                cuda_line(c, "const i64 i%u = %s %% %s(%s);", axis[i], from, t, extent);
        }
        if (i < last) cuda_line(c, "rest /= %s(%s);", t, extent);
    }
}

static void open_rows(Print *c)
{
    int64_t n = 0;
    for (uint32_t r = 0; r < c->k->nrow; r++) {
        if (!cuda_dim_const(c->p, c->k->extent[c->k->sweep], &n))
            status_fail(c->st, ST_INTERNAL, "cuda: kernel %s keeps a row of unknown length", c->k->name ? c->k->name : "?");
        cuda_line(
            c, "%s row%u[%lld];", cuda_memory_type((DType)c->k->row_type[r]), r, (long long)MAX_OF(cuda_kept(&c->shape, n), 1));
    }
}

static bool is_empty(const Print *c, const uint32_t *axis, uint32_t n)
{
    int64_t extent;
    for (uint32_t i = 0; i < n; i++)
        if (cuda_dim_const(c->p, c->k->extent[axis[i]], &extent) && extent == 0) return true;
    return false;
}

/* Whether the next point's totals would come where this one's are still read: no other stage has its threads wait. */
static bool waits_nowhere_else(const Kernel *k)
{
    uint32_t reducing = 0, others = 0;
    for (uint32_t i = 0; i < k->nstage; i++) {
        const Stage *s = &k->stage[i];
        reducing += s->first_reduction < s->last_reduction;
        others += !s->sweep && s->first_store < s->last_store;
    }
    return reducing == 1 && others == 0;
}

/* ---- several points at once ------------------------------------------------------------------------ */

/* Whether stream s is one that the kernel reads, or stores to. */
static bool is_read(const Kernel *k, uint32_t s)
{
    for (uint32_t i = 0; i < k->ninstr; i++)
        if (k->instr[i].kind == I_LOAD && k->instr[i].ref == s) return true;
    return false;
}

static bool is_stored(const Kernel *k, uint32_t s)
{
    for (uint32_t i = 0; i < k->nstore; i++)
        if (k->store[i].stream == s) return true;
    return false;
}

static bool is_wide(const Print *c, uint32_t s) { return cuda_is_wide(c->p, c->k, &c->k->stream[s], c->shape.wide); }

/* Whether a point's own index along the vector axis is asked for, not only where its group begins. */
static bool uses_index(const Print *c)
{
    const Kernel *k = c->k;
    for (uint32_t i = 0; i < k->nstream; i++)
        if (k->stream[i].coef[k->vector] != 0 && !is_wide(c, i)) return true;
    for (uint32_t i = 0; i < k->ninstr; i++)
        if (k->instr[i].kind == I_AXIS && k->instr[i].ref == (uint32_t)k->vector) return true;
    return false;
}

/* Whether all groups lie as one access wants them. */
static void open_aligned(Print *c)
{
    const char *all = NULL;
    for (uint32_t i = 0; i < c->k->nstream; i++) {
        const Stream *s = &c->k->stream[i];
        if (!is_wide(c, i)) continue;
        const char *one = arena_printf(c->arena, "u64(%s + %s) %% %uu == 0", cuda_buffer(c, s), cuda_dim(c, s->base),
            c->shape.wide * (uint32_t)dtype_bytes((DType)s->type));
        all = all ? arena_printf(c->arena, "%s && %s", all, one) : one;
    }
    cuda_line(c, "const bool aligned = %s;", all);
}

static void open_group(Print *c)
{
    const Kernel *k = c->k;
    const uint32_t wide = c->shape.wide;
    cuda_line(c, "const u32 count = points - point < %u ? u32(points - point) : %uu;", wide, wide);
    cuda_line(c, "const bool whole = aligned && count == %uu;", wide);
    for (uint32_t i = 0; i < k->nstream; i++) {
        const Stream *s = &k->stream[i];
        if (!is_wide(c, i)) continue;
        cuda_line(c, "Wide<%s, %u> w%u;", cuda_memory_type((DType)s->type), wide, i);
        if (is_read(k, i)) cuda_line(c, "take(w%u, %s + (%s), whole, count);", i, cuda_buffer(c, s), cuda_offset(c, s));
    }
    if (uses_index(c)) cuda_line(c, "const i64 first = i%d;", k->vector);
    cuda_line(c, "#pragma unroll");
    cuda_open(c, "for (u32 l = 0; l < %uu; l++)", wide);
    cuda_line(c, "if (l >= count) continue;");
    if (uses_index(c)) cuda_line(c, "const i64 i%d = first + l;", k->vector);
}

static void close_group(Print *c)
{
    cuda_close(c);
    for (uint32_t i = 0; i < c->k->nstream; i++) {
        const Stream *s = &c->k->stream[i];
        if (is_wide(c, i) && is_stored(c->k, i))
            cuda_line(c, "give(w%u, %s + (%s), whole, count);", i, cuda_buffer(c, s), cuda_offset(c, s));
    }
}

/* ---- all points ------------------------------------------------------------------------------------ */

static void stages(Print *c)
{
    if (c->shape.several) {
        cuda_long_stages(c);
        return;
    }
    for (uint32_t i = 0; i < c->k->nstage; i++) {
        const Stage *s = &c->k->stage[i];
        if (s->sweep) {
            cuda_sweep(c, s);
            continue;
        }
        cuda_instrs(c, s, false);
        cuda_stores(c, s);
    }
}

void cuda_points_body(Print *c)
{
    const Kernel *k = c->k;
    uint32_t axis[KERNEL_AXES], n = parallel_axes(k, axis);
    if (is_empty(c, axis, n)) return;
    const char *t = cuda_fits_32(c) ? "u32" : "i64", *points = NULL;
    for (uint32_t i = 0; i < n; i++) {
        const char *e = cuda_dim(c, k->extent[axis[i]]);
        points = points ? arena_printf(c->arena, "%s * %s", points, e) : e;
    }
    const unsigned each = cuda_points(&c->shape);
    if (cuda_has_lanes(c)) cuda_line(c, "const u32 lane = threadIdx.x %% 32u;");
    cuda_line(c, "const %s points = %s(%s);", t, t, points ? points : "1");
    if (c->shape.wide > 1) open_aligned(c);
    if (c->shape.several) cuda_long_open(c);
    const char *mine = cuda_is_block(c) ? "0u" : cuda_has_lanes(c) ? "threadIdx.x / 32u" : "threadIdx.x";
    if (c->shape.wide > 1) mine = arena_printf(c->arena, "threadIdx.x * %uu", c->shape.wide);
    cuda_open(c, "for (%s point = %s(%s) * %uu + %s; point < points; point += %s(%s) * %uu)", t, t, c->block, each, mine, t,
        c->blocks, each);
    open_indices(c, axis, n, t);
    open_rows(c);
    if (c->shape.several) cuda_long_point(c);
    if (c->shape.wide > 1) open_group(c);
    stages(c);
    if (c->shape.wide > 1) close_group(c);
    if (cuda_is_block(c) && !c->shape.several && waits_nowhere_else(k)) cuda_line(c, "__syncthreads();");
    cuda_close(c);
}
