"""Cases of factors of matrices and what is made of them (include/kiln/linalg.h)."""
import numpy as np
from given import case, random

LOWER, UPPER, TRANSPOSED, UNIT, RIGHT = 0, 16, 32, 64, 128


def drawn(dtype, *shape):
    return random.standard_normal(shape).astype(dtype)


def near(x, dtype):
    return np.asarray(x).astype(dtype)


def spd(dtype, *shape):
    x = random.standard_normal(shape)
    return near(x @ np.swapaxes(x, -1, -2) + np.eye(shape[-1]), dtype)


def exact(f, x, dtype):
    return near(f(x.astype(np.float64)), dtype)


shapes = ((3, 3), (2, 4, 4), (1, 1), (2, 2, 3, 3), (0, 3, 3), (0, 0))
for dtype in ('float64', 'float32'):
    for s in shapes:
        n = s[-1]
        a = drawn(dtype, *s) + 2 * np.eye(n, dtype=dtype)
        p = spd(dtype, *s)
        case('cholesky', [p], exact(np.linalg.cholesky, p, dtype))
        b = drawn(dtype, *s[:-1], 2)
        case('solve', [a, b], exact(lambda x: np.linalg.solve(x, b.astype(np.float64)), a, dtype))
        case('inverse', [a], exact(np.linalg.inv, a, dtype))
        case('det', [a], exact(np.linalg.det, a, dtype))
        sign, logarithm = np.linalg.slogdet(a.astype(np.float64))
        case('slogdet', [a], (near(sign, dtype), near(logarithm, dtype)))
        for how in range(0, 256, 16):
            t = np.triu(a) if how & UPPER else np.tril(a)
            if how & UNIT:
                t = t - t * np.eye(n) + np.eye(n)
                t = np.where(np.eye(n, dtype=bool), t, t / n) if n else t
            full = near(t, dtype) if how & UNIT else a
            t = np.where(np.eye(n, dtype=bool), 1, full) if how & UNIT else full
            t = (np.triu(t) if how & UPPER else np.tril(t)).astype(np.float64)
            if how & TRANSPOSED:
                t = np.swapaxes(t, -1, -2)
            other = drawn(dtype, *s[:-2], 3, n) if how & RIGHT else drawn(dtype, *s[:-1], 3)
            if how & RIGHT:
                x = np.swapaxes(np.linalg.solve(np.swapaxes(t, -1, -2), np.swapaxes(other.astype(np.float64), -1, -2)), -1, -2)
            else:
                x = np.linalg.solve(t, other.astype(np.float64))
            case('triangular_solve', [full, other], near(x, dtype), how)
    v = drawn(dtype, 4)
    a = drawn(dtype, 4, 4) + 2 * np.eye(4, dtype=dtype)
    case('solve', [a, v], exact(lambda x: np.linalg.solve(x, v.astype(np.float64)), a, dtype))
    b = drawn(dtype, 3, 4, 2)
    case('solve', [a, b], near(np.linalg.solve(np.broadcast_to(a.astype(np.float64), (3, 4, 4)), b.astype(np.float64)), dtype))
    c = drawn(dtype, 3, 4, 4) + 2 * np.eye(4, dtype=dtype)
    case('solve', [c, b[:1]], near(np.linalg.solve(c.astype(np.float64), np.broadcast_to(b[:1].astype(np.float64), (3, 4, 2))), dtype))
    for s in ((3, 3), (5, 3), (3, 5), (2, 4, 3), (2, 3, 4), (0, 4, 3)):
        x = drawn(dtype, *s)
        q, r = np.linalg.qr(x.astype(np.float64)) if x.size else (np.zeros((0, 4, 3)), np.zeros((0, 3, 3)))
        case('qr', [x], (near(q, dtype), near(r, dtype)))
    x = near(drawn(dtype, 2, 3, 3) / 2, dtype)
    for power in (0, 1, 2, 3, 7, -1, -2):
        y = near(x + np.eye(3), dtype)
        case('matrix_power', [y], near(np.linalg.matrix_power(y.astype(np.float64), power), dtype), power)

try:
    from scipy.linalg import expm
    for dtype in ('float64', 'float32'):
        for s, by in (((3, 3), 1), ((4, 4), 6), ((2, 3, 3), 0.1), ((2, 2), 20), ((1, 1), 1)):
            x = near(random.standard_normal(s) * by, dtype)
            e = np.stack([expm(m) for m in x.astype(np.float64)]) if len(s) == 3 else expm(x.astype(np.float64))
            case('expm', [x], near(e, dtype))
except ImportError:
    raise SystemExit('SciPy is needed for expm')
# L and U, and the order of rows, of matrices whose pivots are clear
for dtype in ('float64', 'float32'):
    for s in ((3, 3), (5, 3), (3, 5)):
        x = random.standard_normal(s)
        lu, order = x.copy(), np.arange(s[0])
        for j in range(min(s)):
            p = j + np.argmax(abs(lu[j:, j]))
            lu[[j, p]], order[[j, p]] = lu[[p, j]], order[[p, j]]
            lu[j + 1:, j] /= lu[j, j]
            lu[j + 1:, j + 1:] -= np.outer(lu[j + 1:, j], lu[j, j + 1:])
        x = near(x, dtype)
        # rows that were no pivots may stand in another order, so what they are made of is compared
        k = min(s)
        low = np.tril(lu[:, :k], -1) + np.eye(s[0], k)
        case('lu_product', [x], (x.astype(np.float64)[order].astype(dtype) if s[0] <= s[1] else x, order[:k].astype(np.int64)))
# the factors themselves: rows that were no pivots stand as they lie in x
for dtype in ('float64', 'float32'):
    for s in ((4, 4), (5, 3), (3, 5), (1, 4), (4, 1)):
        x = near(random.standard_normal(s), dtype)
        lu, order, k = x.astype(np.float64), np.arange(s[0]), min(s)
        for j in range(k):
            p = j + np.argmax(abs(lu[j:, j]))
            lu[[j, p]], order[[j, p]] = lu[[p, j]], order[[p, j]]
            lu[j + 1:, j] /= lu[j, j]
            lu[j + 1:, j + 1:] -= np.outer(lu[j + 1:, j], lu[j, j + 1:])
        last = np.argsort(order[k:])
        lu[k:], order[k:] = lu[k:][last], order[k:][last]
        case({0: 'lu', 1: 'lu_wide', -1: 'lu_tall'}[int(np.sign(s[1] - s[0]))], [x], (near(lu, dtype), order.astype(np.int64)))
