/* schedule: the table of how products run. The first row that fits a product is its plan. Relies on schedule.h. */
#include "schedule.h"

#include "api.h"

/* Products that a row is for: the device, the bytes of what their sums are, and their extents, of symbols the largest. 0: any. */
typedef struct Row {
    int own_sm; /* the one architecture, and code for it alone; 0: any from from_sm on */
    int from_sm;
    uint8_t tensor; /* bytes of the elements that may be added up as tensor cores do; no other row takes these there. 0: FMA */
    uint8_t bytes;
    int64_t most_m, most_n, most_k;
    bool large; /* product_large elements in all batches */
    ProductPlan plan;
} Row;

/* 128 x 128 elements for 256 threads are 64 sums and 64 totals each, of which f32 takes 128 of 255 registers; the levels of a
 * longer k find no room beside them. A card has a hundred multiprocessors or so, each of which wants such a tile. Few rows, or
 * columns, are strips, narrow enough that a few thousand columns are a block for each. */
static const Row row[] = {
    {.tensor = 2, .own_sm = CUDA_SM_90A, .most_n = 16, .most_k = TREE_RUN, .plan = {128, 16, 16, 16, 32, 4, PRODUCT_WGMMA, true}},
    {.tensor = 2,
        .own_sm = CUDA_SM_90A,
        .most_k = TREE_RUN,
        .large = true,
        .plan = {128, 128, 16, 128, 64, 4, PRODUCT_WGMMA, true}},
    {.tensor = 2, .own_sm = CUDA_SM_90A, .most_k = TREE_RUN, .plan = {128, 64, 16, 64, 32, 4, PRODUCT_WGMMA, true}},
    {.tensor = 2, .own_sm = CUDA_SM_90A, .plan = {128, 32, 16, 32, 32, 4, PRODUCT_WGMMA, true}},
    {.tensor = 2, .from_sm = 80, .most_m = 16, .most_k = TREE_RUN, .plan = {16, 128, 16, 16, 32, 3, PRODUCT_MMA}},
    {.tensor = 2, .from_sm = 80, .most_n = 16, .most_k = TREE_RUN, .plan = {128, 16, 16, 16, 32, 3, PRODUCT_MMA}},
    {.tensor = 2, .from_sm = 80, .most_k = TREE_RUN, .large = true, .plan = {128, 128, 64, 32, 32, 3, PRODUCT_MMA}},
    {.tensor = 2, .from_sm = 80, .plan = {64, 64, 16, 32, 32, 4, PRODUCT_MMA}},
    {.tensor = 4, .from_sm = 80, .most_m = 16, .most_k = TREE_RUN, .plan = {16, 128, 16, 16, 16, 4, PRODUCT_MMA}},
    {.tensor = 4, .from_sm = 80, .most_n = 16, .most_k = TREE_RUN, .plan = {128, 16, 16, 16, 16, 4, PRODUCT_MMA}},
    {.tensor = 4, .from_sm = 80, .most_k = TREE_RUN, .large = true, .plan = {128, 128, 64, 32, 16, 3, PRODUCT_MMA}},
    {.tensor = 4, .from_sm = 80, .plan = {64, 64, 16, 32, 16, 4, PRODUCT_MMA}},
    {.most_m = 4, .bytes = 4, .plan = {4, 64, 1, 1, 32, 2}},
    {.most_n = 4, .bytes = 4, .plan = {64, 4, 1, 1, 32, 2}},
    {.most_m = 16, .bytes = 4, .plan = {16, 64, 1, 4, 16, 2}},
    {.most_n = 16, .bytes = 4, .plan = {64, 16, 4, 1, 16, 2}},
    {.bytes = 4, .most_k = TREE_RUN, .large = true, .plan = {128, 128, 8, 8, 8, 2}},
    {.bytes = 4, .plan = {64, 64, 4, 4, 16, 2}},
    {.most_m = 4, .plan = {4, 64, 1, 1, 16, 2}},
    {.most_n = 4, .plan = {64, 4, 1, 1, 16, 2}},
    {.most_m = 16, .plan = {16, 64, 1, 4, 8, 2}},
    {.most_n = 16, .plan = {64, 16, 4, 1, 8, 2}},
    {.plan = {64, 64, 4, 4, 8, 2}},
};

int64_t product_large = 1 << 20;

/* Bytes of the elements that tensor cores take; 0: the product is not for them. */
static uint8_t for_tensor_cores(const Step *s)
{
    const DType t = (DType)s->contract.to;
    if (s->contract.type != t || s->contract.sums == SUMS_CHAINS) return 0;
    return t == DT_f16 || t == DT_bf16 ? 2 : t == DT_f32 && s->contract.sums == SUMS_TF32 ? 4 : 0;
}

static bool within(int64_t most, int64_t x) { return most == 0 || x <= most; }

const ProductPlan *product_plan(const Program *p, const Step *s, int sm)
{
    const DimTable *t = &p->module->dims;
    const int64_t m = dim_hi(t, s->contract.m), n = dim_hi(t, s->contract.n), k = dim_hi(t, s->contract.k);
    const size_t bytes = dtype_bytes((DType)dtype_info[s->contract.to].compute);
    const uint8_t tensor = for_tensor_cores(s);
    int64_t all = 0;
    bool many = __builtin_mul_overflow(m, n, &all);
    for (uint32_t i = 0; i < s->contract.nbatch; i++) many |= __builtin_mul_overflow(all, dim_hi(t, s->contract.batch[i]), &all);
    for (const Row *r = row;; r++) {
        if ((r->own_sm != 0 && sm != r->own_sm) || sm % CUDA_OWN < r->from_sm || (r->tensor != 0 && r->tensor != tensor) ||
            (r->bytes != 0 && r->bytes != bytes) || (r->large && !many && all < product_large))
            continue;
        if (within(r->most_m, m) && within(r->most_n, n) && within(r->most_k, k)) return &r->plan;
    }
}
