/* memplan: what memplan.c and memplan_many.c share. */
#ifndef KILN_CODEGEN_MEMPLAN_H
#define KILN_CODEGEN_MEMPLAN_H

#include "lower.h"

#define PLAN_ALIGN 64

typedef struct Plan {
    Program *p;
    Arena *scratch;
    uint32_t *order; /* the temporaries */
    uint32_t n;
} Plan;

static inline int64_t plan_aligned(int64_t bytes) { return (bytes + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN; }

typedef bool PlanLess(const Buf *a, const Buf *b);
void plan_sort(const Plan *plan, uint32_t *order, PlanLess *less);
void plan_many(Plan *plan);

#endif
