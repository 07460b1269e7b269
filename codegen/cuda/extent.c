/* extent: what a call's sizes make of a program: bytes of buffers, blocks of launches. Relies on run.h. Never launches. */
#include "run.h"
#include "schedule.h"

size_t cuda_buffer_bytes(const Program *p, uint32_t buf, const int64_t *dim)
{
    const Type *t = &p->buf.at[buf].type;
    size_t n = dtype_bytes((DType)t->dtype);
    for (uint32_t i = 0; i < t->rank; i++) n *= (size_t)program_size(p, t->dim[i], dim);
    return n;
}

ShareGrid cuda_grid(const Compiled *c, uint32_t kernel, const int64_t *dim, bool alone)
{
    const Kernel *k = &c->p->kernel.at[kernel];
    const CudaShape *s = &c->shape[kernel];
    int64_t points = 1, each = cuda_points(s);
    for (uint32_t a = 0; a < k->naxis; a++)
        if ((int)a != k->sweep) points *= program_size(c->p, k->extent[a], dim);
    if (!s->several) return (ShareGrid){.blocks = (points + each - 1) / each, .parts = 1};
    return share_grid(&s->rows, points, program_size(c->p, k->extent[k->sweep], dim), alone ? 0 : c->at_once[kernel]);
}

int64_t cuda_product_blocks(const Compiled *c, const Step *s, const int64_t *dim)
{
    const Program *p = c->p;
    const int64_t m = program_size(p, s->contract.m, dim), n = program_size(p, s->contract.n, dim);
    int64_t blocks = product_tiles(product_plan(p, s, cuda_sm(c->driver)), m, n);
    for (uint32_t i = 0; i < s->contract.nbatch; i++) blocks *= program_size(p, s->contract.batch[i], dim);
    return blocks;
}
