/* random: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3;
 * SC 2011). Element i is word i mod 4 of block i / 4; the block number is the low half of the
 * counter, the operand's second number its high half, the first number the key. The rounds lie in
 * kernels_template.h. Relies on ops.h. Never allocates. */
#include "ops.h"

typedef struct RandomJob {
    const Kernels *kernels;
    uint64_t seed, counter;
    uint32_t *out;
    int64_t n;
} RandomJob;

/* Chunks are groups of PHILOX_BLOCKS blocks. */
static void random_chunk(void *arg, int64_t lo, int64_t hi)
{
    const RandomJob *j = arg;
    const int64_t group = PHILOX_BLOCKS * 4;
    for (; lo < hi; lo++) {
        uint32_t word[PHILOX_BLOCKS * 4];
        j->kernels->philox(word, j->seed, j->counter, (uint64_t)lo * PHILOX_BLOCKS);
        memcpy(j->out + lo * group, word, (size_t)MIN_OF(j->n - lo * group, group) * sizeof *word);
    }
}

bool run_random_bits(const Run *r)
{
    uint64_t key[2];
    Reader in;
    reader_init(&in, r->in);
    reader_copy(&in, 0, 2, key);
    RandomJob j = {eager_kernels(), key[0], key[1], r->out->data, view_elements(r->out)};
    const int64_t group = PHILOX_BLOCKS * 4;
    run_chunks(r->threads, random_chunk, &j, (j.n + group - 1) / group, MOVE_GRAIN / 4 / group);
    return true;
}
