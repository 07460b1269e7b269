/* cost: what a step has to do, by definition and not by measuring, so that its time can be held against the machine's. Relies on
 * program.h.
 *
 * Bytes are those of memory that must be moved at least once: each element that the step touches counts once, however often it is
 * read; where elements are chosen at run time (gather, scatter), as many as there are points that choose, at most all.
 *
 * Flops are operations on floats: an addition, subtraction, multiplication, division, square root or remainder is one, x * y + z
 * two, each element that is folded into a sum or product one. A function such as exp counts as the operations that compute it
 * (math.def). What compares, selects, rounds, converts or moves is none. What does not differ along a sweep
 * counts once per row. A product is 2 m n k for each matrix, of integers, too; a convolution two for each pair of a tap and an
 * element of the image that meet, without padding; attention the same for each pair of a row and a key that it sees, its exp left
 * out. Eigenvalues and singular values count as their usual algorithms do (Golub and Van Loan). */
#ifndef KILN_CODEGEN_COST_H
#define KILN_CODEGEN_COST_H

#include "program.h"

typedef struct Cost { /* whole numbers, exact up to 2^53 */
    double read, written, flops;
} Cost;

/* Of one run of a step, without the steps inside it; all zero for loops, branches and effects. symbol: values by position in the
 * dim table. within: a buffer that a kernel finds in the caches, since it runs on the rows of a product as they are made
 * (Step.joins): what it reads there does not count; UINT32_MAX: none. room: step_cost_room(p) numbers. */
Cost step_cost(const Program *p, const Step *s, const int64_t *symbol, uint32_t within, uint32_t *room);
size_t step_cost_room(const Program *p); /* how many numbers `room` is for */
/* What a product, or a routine of the host, makes: the buffer on whose rows the next step may run. */
uint32_t step_product(const Step *s);
/* How many pairs of a place and a tap meet an element of the image along axis i of space; of a convolution, or its filters. */
double conv_meetings(const HostConv *c, int i);

#endif
