"""The inputs of rows: the same bits as tests/bench/rows/draw.c draws, from integer hashes that are rounded once."""

import numpy as np


def hashed(seed, start, step, count):
    """Of start, start + step, ..."""
    with np.errstate(over="ignore"):
        x = (
            np.arange(count, dtype=np.uint32) * np.uint32(step)
            + np.uint32(start)
            + np.uint32(seed * 0x9E3779B9 & 0xFFFFFFFF)
        )
        for shift, times in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            x ^= x >> np.uint32(shift)
            x *= np.uint32(times)
        x ^= x >> np.uint32(16)
    return x


class Draw:
    """Array i, from 1, has seed i."""

    def __init__(self):
        self.drawn = 0

    def seed(self):
        self.drawn += 1
        return self.drawn

    def normal(self, *shape, scale=1.0, plus=0):
        count, seed = int(np.prod(shape)), self.seed()
        low, high = np.uint32(0xFFFF), np.uint32(16)
        x, y = hashed(seed, 0, 2, count), hashed(seed, 1, 2, count)
        total = (x & low) + (x >> high) + (y & low) + (y >> high)
        z = (total.astype(np.int32) - 131070).astype(np.float32) * np.float32(scale / 37837.2)
        return (z + np.float32(plus) if plus else z).reshape(shape)

    def uniform(self, *shape):
        bits = hashed(self.seed(), 0, 1, int(np.prod(shape))) >> np.uint32(8)
        return (bits.astype(np.float32) * np.float32(2.0**-24)).reshape(shape)

    def labels(self, count, classes):
        return (hashed(self.seed(), 0, 1, count) % np.uint32(classes)).astype(np.int64)

    def whole(self, *shape):
        drawn = hashed(self.seed(), 0, 1, int(np.prod(shape))) % np.uint32(41)
        return (drawn.astype(np.int32) - 20).astype(np.int8).reshape(shape)

    @staticmethod
    def number(value):
        return np.float32(value)

    def stochastic(self, n):
        u = self.uniform(n, n).astype(np.float64) + 1e-3
        return (u / u.sum(1, keepdims=True)).astype(np.float32)

    def distinct(self, *shape):
        below, x = np.uint32((1 << 24) - 1), np.arange(int(np.prod(shape)), dtype=np.uint32)
        with np.errstate(over="ignore"):
            x = (x + np.uint32(self.seed() * 0x9E3779 & 0xFFFFFFFF)) & below
            x = (x ^ x >> np.uint32(12)) * np.uint32(0x6CA68B) & below
            x = (x ^ x >> np.uint32(11)) * np.uint32(0x7FEB35) & below
        return ((x ^ x >> np.uint32(12)).astype(np.float32) * np.float32(2.0**-24)).reshape(shape)

    def definite(self, count, n):
        u = self.uniform(count, n, n)
        x = (u + u.transpose(0, 2, 1)) * np.float32(0.5) + np.float32(n) * np.eye(n, dtype=np.float32)
        return x if count > 1 else x[0]
