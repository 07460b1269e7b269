/* cuda_parts: which functions of a text are compiled together (parts.h), so that parts take about as long. By the program alone:
 * how many threads there are changes no text. Relies on print.h, parts.h. Never prints. */
#include "parts.h"
#include "print.h"

/* What the compiler takes for a product, for a kernel, and for each instruction of one, in about a tenth of a millisecond; and the
 * least that a part of its own is made for. */
enum { PRODUCT_COST = 1500, KERNEL_COST = 200, INSTR_COST = 8, PART_LEAST = 1000 };

static uint32_t kernel_cost(const Program *p, uint32_t kernel) { return KERNEL_COST + INSTR_COST * p->kernel.at[kernel].ninstr; }

static uint32_t cost_of(const Program *p, const CudaFunctions *text, uint32_t f)
{
    uint32_t sum = 0;
    if (!*text->name[f]) return 0;
    if (f < p->kernel.len) return kernel_cost(p, f);
    if (f < text->first_launch) {
        const Step *end = step_end(text->products.at[f - p->kernel.len]);
        return PRODUCT_COST + (end ? kernel_cost(p, end->kernel) : 0);
    }
    const CudaLaunch *l = &text->launches.at[f - text->first_launch];
    for (uint32_t i = 0; i < l->n; i++)
        if (i == 0 || l->step[i]->kernel != l->step[i - 1]->kernel) sum += kernel_cost(p, l->step[i]->kernel);
    return sum;
}

uint8_t *cuda_share_out(Arena *a, const Program *p, const CudaFunctions *text, uint32_t *parts)
{
    uint64_t all = 0, load[CUDA_PARTS] = {0};
    uint32_t most = 0; /* functions that there are: a part without one would be compiled for nothing */
    uint8_t *part = ARENA_ARRAY(a, uint8_t, text->n + 1);
    uint32_t *cost = ARENA_ARRAY(a, uint32_t, text->n + 1);
    for (uint32_t i = 0; i < text->n; i++) {
        all += cost[i] = cost_of(p, text, i);
        most += cost[i] != 0;
    }
    most = MAX_OF(MIN_OF(most, (uint32_t)CUDA_PARTS), 1u);
    *parts = (uint32_t)MIN_OF(MAX_OF(all / PART_LEAST, (uint64_t)1), (uint64_t)most);
    for (uint32_t done = 0; done < text->n; done++) { /* the dearest one goes where least is */
        uint32_t f = 0, to = 0;
        for (uint32_t i = 1; i < text->n; i++)
            if (cost[i] > cost[f]) f = i;
        if (cost[f] == 0) break;
        for (uint32_t k = 1; k < *parts; k++)
            if (load[k] < load[to]) to = k;
        load[to] += cost[f];
        part[f] = (uint8_t)to;
        cost[f] = 0;
    }
    return part;
}
