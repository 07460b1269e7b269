/* maps: see maps.h. Relies on the driver for what a map is. Never launches anything. */
#include "maps.h"

bool product_along_k(const Program *p, const Strides *outer, const Strides *inner)
{
    int64_t n;
    if (cuda_dim_const(p, strides_last(inner), &n) && n == 1) return true;
    return !cuda_dim_const(p, strides_last(outer), &n) || n != 1;
}

/* Whether that may be a stride between lines; what is not known now is looked at in each call. */
static bool may_be_stride(const Program *p, Dim extent, Dim stride)
{
    int64_t n;
    if (cuda_dim_const(p, extent, &n) && n == 1) return true;
    return !cuda_dim_const(p, stride, &n) || (n > 0 && n % 8 == 0);
}

static bool add_axis(const Program *p, OperandMap *m, Dim extent, Dim stride)
{
    if (m->rank == TENSOR_AXES || !may_be_stride(p, extent, stride) || dim_hi(&p->module->dims, extent) > INT32_MAX) return false;
    m->extent[m->rank] = extent;
    m->stride[m->rank++] = stride;
    return true;
}

static bool add_batch(const Program *p, const Step *s, const Dim *stride, OperandMap *m)
{
    for (uint32_t i = s->contract.nbatch; i-- > 0;) {
        int64_t n;
        if (cuda_dim_const(p, stride[i], &n) && n == 0) continue;
        if (cuda_dim_const(p, s->contract.batch[i], &n) && n == 1) continue;
        m->batch[m->rank < TENSOR_AXES ? m->rank : 0] = (uint8_t)i;
        if (!add_axis(p, m, s->contract.batch[i], stride[i])) return false;
    }
    return true;
}

/* outer, rows: of a its rows, of b its columns, of which a tile has `width`. */
static bool operand_map(const Program *p, const ProductPlan *plan, const Strides *outer, const Strides *inner, Dim rows, Dim k,
    uint32_t width, OperandMap *m)
{
    int64_t n;
    if (outer->n != 1 || inner->n != 1) return false;
    const bool along = product_along_k(p, outer, inner);
    if (!cuda_dim_const(p, along ? inner->stride[0] : outer->stride[0], &n) || n != 1) return false;
    if (cuda_dim_const(p, m->base, &n) && n % 8 != 0) return false;
    m->box[0] = MIN_OF(along ? plan->deep : width, 64u); /* a line of shared memory has up to 128 bytes */
    m->box[1] = along ? width : plan->deep;
    m->rank = 1;
    m->extent[0] = along ? k : rows;
    m->stride[0] = 1;
    return dim_hi(&p->module->dims, m->extent[0]) <= INT32_MAX &&
           add_axis(p, m, along ? rows : k, along ? outer->stride[0] : inner->stride[0]);
}

bool product_maps(const Program *p, const Step *s, const ProductPlan *plan, OperandMap map[2])
{
    map[0] = (OperandMap){.buf = s->contract.a, .base = s->contract.a_base};
    map[1] = (OperandMap){.buf = s->contract.b, .base = s->contract.b_base};
    return plan->bulk &&
           operand_map(p, plan, &s->contract.a_row, &s->contract.a_col, s->contract.m, s->contract.k, plan->rows, &map[0]) &&
           operand_map(p, plan, &s->contract.b_col, &s->contract.b_row, s->contract.n, s->contract.k, plan->columns, &map[1]) &&
           add_batch(p, s, s->contract.a_batch, &map[0]) && add_batch(p, s, s->contract.b_batch, &map[1]);
}

bool products_maps(const Program *p, const Products *all, int sm)
{
    OperandMap map[2];
    bool some = false;
    for (uint32_t i = 0; i < all->len; i++) some |= product_maps(p, all->at[i], product_plan(p, all->at[i], sm), map);
    return some;
}

bool cuda_maps(const CudaDriver *d, const Program *p, const OperandMap map[2], const int64_t *dim, const CUdeviceptr at[2],
    ProductMaps *out, Status *st)
{
    for (uint32_t i = 0; i < 16; i++) out->use[i] = 0;
    for (uint32_t i = 0; i < 2; i++) {
        TensorBox b = {.address = at[i] + 2 * (uint64_t)program_size(p, map[i].base, dim), .rank = map[i].rank};
        for (uint32_t a = 0; a < b.rank; a++) {
            b.extent[a] = program_size(p, map[i].extent[a], dim);
            b.stride[a] = program_size(p, map[i].stride[a], dim);
        }
        b.box[0] = map[i].box[0], b.box[1] = map[i].box[1];
        if (!cuda_ok(d, tensor_map_make(d->TensorMapEncodeTiled, out, i, &b), st, "a map of a product's operand")) return false;
    }
    return true;
}

/* ---- in a recording -------------------------------------------------------------------------- */

void recorded_maps(Arena *a, const Program *p, int sm, const Step *s, uint32_t n, RecordedMaps *out)
{
    for (uint32_t i = 0; i < n; i++) {
        RecordedMap r = {.s = &s[i]};
        for (uint32_t k = 0; k < s[i].nblock; k++) recorded_maps(a, p, sm, s[i].block[k].step, s[i].block[k].n, out);
        r.word = out->len * MAP_WORDS;
        if (s[i].kind == STEP_CONTRACT && product_maps(p, &s[i], product_plan(p, &s[i], sm), r.map)) *VEC_PUSH(a, out) = r;
    }
}

const RecordedMap *recorded_map(const RecordedMaps *all, const Step *s)
{
    for (uint32_t i = 0; i < all->len; i++)
        if (all->at[i].s == s) return &all->at[i];
    return NULL;
}

bool recorded_maps_make(
    const CudaDriver *d, const Program *p, const int64_t *dim, CUdeviceptr some, RecordedMaps *all, int64_t *word, Status *st)
{
    const CUdeviceptr at[] = {some, some};
    for (uint32_t i = 0; i < all->len; i++) {
        RecordedMap *r = &all->at[i];
        ProductMaps maps;
        if (!cuda_maps(d, p, r->map, dim, at, &maps, st)) return false;
        for (uint32_t k = 0; k < 2; k++) r->there[k] = maps.use[k] != 0;
        memcpy(word + r->word, &maps, sizeof maps);
    }
    return true;
}
