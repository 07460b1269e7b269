/* cuda_launch: kernels side by side (Step.beside) as one function, whose blocks they share: the updates of all parameters of an
 * optimiser are one launch. Instances of a kernel share its text. Relies on print.h. Never decides what may be side by side. */
#include "print.h"

#define MOST_INSTANCES 64

/* Every parallel axis has a known extent, and threads share at most a warp: blocks of such kernels are alike. Returns how many they
 * are; 0: it is launched alone. */
static int64_t blocks_of(const Program *p, const Step *s)
{
    const Kernel *k = &p->kernel.at[s->kernel];
    int64_t points = 1, n;
    if (s->kind != STEP_KERNEL) return 0;
    const CudaShape shape = cuda_shape(p, k);
    for (uint32_t a = 0; a < k->naxis; a++)
        if ((int)a != k->sweep && (!cuda_dim_const(p, k->extent[a], &n) || __builtin_mul_overflow(points, n, &points))) return 0;
    const int64_t each = cuda_points(&shape);
    return shape.team > TREE_LANES || shape.several || shape.square || points > CUDA_GRID ? 0 : (points + each - 1) / each;
}

/* ---- which launches a program has ------------------------------------------------------------- */

/* How many steps from s on, of n, are one launch. */
static uint32_t length(const Program *p, const Step *s, uint32_t n)
{
    uint32_t i = 0, buffers = 0;
    for (; i < MIN_OF(n, (uint32_t)MOST_INSTANCES) && (i == 0 || s[i].beside) && blocks_of(p, &s[i]) > 0; i++)
        if ((buffers += step_buffers(p, &s[i])) > CUDA_BUFFERS) break;
    return i;
}

/* Instances of a kernel come one after the other, in the order of their first. */
static void sort(Arena *a, const Step *s, uint32_t n, const Step **out)
{
    bool *taken = ARENA_ARRAY(a, bool, n);
    for (uint32_t i = 0, at = 0; i < n; i++)
        for (uint32_t k = i; k < n && !taken[i]; k++)
            if (k > i && !taken[k] && s[k].kernel == s[i].kernel)
                out[at++] = &s[k], taken[k] = true;
            else if (k == i)
                out[at++] = &s[i];
}

static CudaLaunch launch_of(Arena *a, const Program *p, const Step *s, uint32_t n)
{
    CudaLaunch l = {.first = s, .n = n, .step = ARENA_ARRAY(a, const Step *, n), .buf = ARENA_ARRAY(a, uint32_t, CUDA_BUFFERS)};
    sort(a, s, n, l.step);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t nbuf = step_buffers(p, l.step[i]);
        memcpy(l.buf + l.nbuf, l.step[i]->buf, nbuf * sizeof *l.buf);
        l.nbuf += nbuf;
        l.blocks += blocks_of(p, l.step[i]);
    }
    return l;
}

void cuda_launches(Arena *a, const Program *p, const Step *s, uint32_t n, CudaLaunches *out)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < s[i].nblock; k++) cuda_launches(a, p, s[i].block[k].step, s[i].block[k].n, out);
        const uint32_t some = length(p, &s[i], n - i);
        if (some < 2) continue;
        *VEC_PUSH(a, out) = launch_of(a, p, &s[i], some);
        i += some - 1;
    }
}

void cuda_launched_alone(const CudaLaunches *all, const Step *s, uint32_t n, bool *alone)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < s[i].nblock; k++) cuda_launched_alone(all, s[i].block[k].step, s[i].block[k].n, alone);
        const uint32_t number = cuda_launch_at(all, &s[i]);
        if (number < all->len)
            i += all->at[number].n - 1;
        else if (s[i].kind == STEP_KERNEL && !s[i].ends)
            alone[s[i].kernel] = true;
    }
}

uint32_t cuda_launch_at(const CudaLaunches *all, const Step *s)
{
    uint32_t i = 0;
    while (i < all->len && all->at[i].first != s) i++;
    return i;
}

/* ---- its text ----------------------------------------------------------------------------------- */

/* Points the kernel's names at the buffers of one instance, which are parameters from number `from` on. */
static void take_buffers(Print *c, const char *label, uint32_t from)
{
    cuda_line(c, "%s", label);
    for (uint32_t i = 0; i < c->k->nbuf; i++)
        if (strcmp(cuda_buffer_type(c->k, i), "void") != 0) cuda_line(c, "    b%u = %sa%u;", i, c->table ? "*" : "", from + i);
    cuda_line(c, "    break;");
}

/* The instances of one kernel, of which the first block has number `block`. */
static void instances(Print *c, const Step *const *s, uint32_t n, uint32_t from, int64_t block)
{
    const int64_t each = blocks_of(c->p, s[0]);
    c->k = &c->p->kernel.at[s[0]->kernel];
    c->shape = cuda_shape(c->p, c->k);
    cuda_open(c, "if (at >= %lldu && at < %lldu)", (long long)block, (long long)(block + n * each));
    for (uint32_t i = 0; i < c->k->nbuf; i++)
        if (strcmp(cuda_buffer_type(c->k, i), "void") != 0) cuda_line(c, "%s *b%u;", cuda_buffer_type(c->k, i), i);
    cuda_open(c, "switch ((at - %lldu) / %lldu)", (long long)block, (long long)each);
    for (uint32_t i = 0; i + 1 < n; i++) take_buffers(c, arena_printf(c->arena, "case %u:", i), from + i * c->k->nbuf);
    take_buffers(c, "default:", from + (n - 1) * c->k->nbuf);
    cuda_close(c);
    c->block = arena_printf(c->arena, "(at - %lldu) %% %lldu", (long long)block, (long long)each);
    c->blocks = arena_printf(c->arena, "%lldu", (long long)each);
    cuda_points_body(c);
    cuda_close(c);
}

void cuda_launch_body(Print *c, const CudaLaunch *l)
{
    uint32_t from = 0;
    int64_t block = 0;
    cuda_open(c, "for (u32 at = blockIdx.x; at < %lldu; at += gridDim.x)", (long long)l->blocks);
    for (uint32_t i = 0, n; i < l->n; i += n) {
        for (n = 1; i + n < l->n && l->step[i + n]->kernel == l->step[i]->kernel;) n++;
        instances(c, l->step + i, n, from, block);
        from += n * c->k->nbuf;
        block += n * blocks_of(c->p, l->step[i]);
    }
    cuda_close(c);
}
