/* chance: a small random stream for shuffling and drawing, the same on every machine. Not for tensors (ops.h). */
#ifndef KILN_FRONTEND_IO_CHANCE_H
#define KILN_FRONTEND_IO_CHANCE_H

#include <stdint.h>

/* splitmix64; Steele, Lea & Flood 2014. */
static inline uint64_t chance_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

#endif
