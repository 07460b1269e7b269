/* random: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011). Element i is word
 * i mod 4 of block i / 4; the block number is the low half of the counter, the key's second number its high half, the key's first
 * number the cipher's key. Relies on ops.h. Never allocates. */
#include "ops.h"

typedef struct RandomJob {
    uint64_t seed, counter;
    uint32_t *out;
    int64_t n;
} RandomJob;

#define SIDE_BY_SIDE 8 /* blocks at once: one vector lane each */

static void blocks(const RandomJob *j, uint64_t first, uint32_t out[SIDE_BY_SIDE * 4])
{
    uint32_t c[4][SIDE_BY_SIDE], k0 = (uint32_t)j->seed, k1 = (uint32_t)(j->seed >> 32);
    for (int i = 0; i < SIDE_BY_SIDE; i++) {
        uint64_t b = first + (uint64_t)i;
        c[0][i] = (uint32_t)b;
        c[1][i] = (uint32_t)(b >> 32);
        c[2][i] = (uint32_t)j->counter;
        c[3][i] = (uint32_t)(j->counter >> 32);
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < SIDE_BY_SIDE; i++) {
            uint64_t p = (uint64_t)0xD2511F53 * c[0][i], q = (uint64_t)0xCD9E8D57 * c[2][i];
            c[0][i] = (uint32_t)(q >> 32) ^ c[1][i] ^ k0;
            c[1][i] = (uint32_t)q;
            c[2][i] = (uint32_t)(p >> 32) ^ c[3][i] ^ k1;
            c[3][i] = (uint32_t)p;
        }
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    for (int i = 0; i < SIDE_BY_SIDE; i++)
        for (int w = 0; w < 4; w++) out[4 * i + w] = c[w][i];
}

void philox_block(uint64_t seed, uint64_t counter, uint64_t block, uint32_t out[4])
{
    uint32_t word[SIDE_BY_SIDE * 4];
    blocks(&(RandomJob){.seed = seed, .counter = counter}, block, word);
    memcpy(out, word, 4 * sizeof *out);
}

/* Chunks are groups of SIDE_BY_SIDE blocks. */
static void random_chunk(void *arg, int64_t lo, int64_t hi)
{
    const RandomJob *j = arg;
    const int64_t group = SIDE_BY_SIDE * 4;
    for (; lo < hi; lo++) {
        uint32_t word[SIDE_BY_SIDE * 4];
        blocks(j, (uint64_t)lo * SIDE_BY_SIDE, word);
        memcpy(j->out + lo * group, word, (size_t)MIN_OF(j->n - lo * group, group) * sizeof *word);
    }
}

bool run_random_bits(const Run *r)
{
    uint64_t key[2];
    Reader in;
    reader_init(&in, r->in);
    reader_copy(&in, 0, 2, key);
    RandomJob j = {key[0], key[1], r->out->data, view_elements(r->out)};
    const int64_t group = SIDE_BY_SIDE * 4;
    run_chunks(r->threads, random_chunk, &j, (j.n + group - 1) / group, MOVE_GRAIN / 4 / group);
    return true;
}
