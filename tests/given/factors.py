"""Cases of eigenvalues, singular values and what is made of them (include/kiln/linalg.h, by LAPACK)."""
import numpy as np
from given import case, random

UPPER, FULL = 16, 256


def drawn(dtype, *shape):
    return random.standard_normal(shape).astype(dtype)


def near(x, dtype):
    return np.asarray(x).astype(dtype)


def signs(columns):
    """1 or -1 for each column: the first element of nine tenths of the largest is to be positive."""
    if columns.size == 0:
        return np.ones(columns.shape[:-2] + (1, columns.shape[-1]))
    size = np.abs(columns)
    first = np.argmax(size >= 0.9 * size.max(-2, keepdims=True), -2)
    return np.sign(np.take_along_axis(columns, np.expand_dims(first, -2), -2))


def eigh(x, triangle):
    w, v = np.linalg.eigh(x.astype(np.float64), triangle)
    return w, v * signs(v)


def svd(x, full):
    u, s, vt = np.linalg.svd(x.astype(np.float64), full)
    k = s.shape[-1]
    su, sv = signs(u), np.swapaxes(signs(np.swapaxes(vt, -1, -2)), -1, -2)
    sv[..., :k, :] = np.swapaxes(su[..., :k], -1, -2)
    return u * su, s, vt * sv


dtypes = ('float64', 'float32')
for dtype in dtypes:
    for s in ((3, 3), (2, 4, 4), (1, 1), (2, 2, 3, 3), (0, 3, 3), (0, 0), (2, 0, 0), (7, 7)):
        for how in (0, UPPER):
            x = drawn(dtype, *s)
            w, v = eigh(x, 'U' if how else 'L')
            case('eigh', [x], (near(w, dtype), near(v, dtype)), how)
            case('eigvalsh', [x], near(w, dtype), how)
    for name, shapes in (('svd', ((3, 3), (2, 4, 4), (1, 1), (0, 3, 3), (0, 0))), ('svd_tall', ((4, 3), (2, 5, 2), (3, 0), (2, 2, 3, 1))),
                         ('svd_wide', ((3, 4), (2, 2, 5), (0, 3), (2, 1, 3)))):
        for s in shapes:
            x = drawn(dtype, *s)
            case(name, [x], tuple(near(y, dtype) for y in svd(x, False)))
            case('svdvals', [x], near(svd(x, False)[1], dtype))
    for s in ((3, 3), (3, 2), (2, 3), (2, 2, 3), (3, 0), (0, 2)):
        x = drawn(dtype, *s)
        case('svd_full', [x], tuple(near(y, dtype) for y in svd(x, True)))
    for s in ((4, 3), (3, 4), (3, 3), (2, 3, 2), (1, 1), (0, 3), (3, 0), (0, 2, 3)):
        x = drawn(dtype, *s)
        case('pinv', [x], near(np.linalg.pinv(x.astype(np.float64)), dtype), 0, 0, 0)
        case('matrix_rank', [x], np.asarray(np.linalg.matrix_rank(x) if x.size else np.zeros(s[:-2]), np.int64), 0, 0, 0)
    # of rank 2, with what rounding leaves of the third value; and with the second and third one cut off
    x = near(random.standard_normal((4, 2)) @ random.standard_normal((2, 3)), dtype)
    u, v, values = np.linalg.qr(drawn(dtype, 5, 3))[0], np.linalg.qr(drawn(dtype, 4, 3))[0], np.array([4, 2, 0.5])
    y = near(u * values @ v.T, dtype)
    z = random.standard_normal((4, 2))
    z = near(z @ z.T, dtype)
    for m, rtol, atol, symmetric in ((x, 1e-3, 0, 0), (y, 0.25, 0, 0), (y, 0, 2.5, 0), (y, 0.75, 1, 0), (z, 1e-3, 0, 1)):
        wide = m.astype(np.float64)
        cut = max(rtol, atol / np.linalg.norm(wide, 2))
        case('pinv_cut', [m], near(np.linalg.pinv(wide, cut, hermitian=bool(symmetric)), dtype), rtol, atol, symmetric)
        case('matrix_rank', [m], np.asarray(np.linalg.matrix_rank(wide, cut * np.linalg.norm(wide, 2)), np.int64), rtol, atol, symmetric)
        b = drawn(dtype, m.shape[0], 2)
        solution, _, rank, s = np.linalg.lstsq(wide, b.astype(np.float64), cut)
        case('lstsq_cut', [m, b], (near(solution, dtype), np.asarray(rank, np.int64)), rtol, atol, symmetric)
    for name, shapes in (('lstsq', ((4, 3), (3, 3), (1, 1), (4, 0))), ('lstsq_wide', ((2, 4), (1, 3), (0, 3)))):
        for s in shapes:
            for more in ((2,), (), (0,)):
                x, b = drawn(dtype, *s), drawn(dtype, s[0], *more)
                wide, other = x.astype(np.float64), b.astype(np.float64)
                case(name, [x, b], near(np.linalg.pinv(wide) @ other, dtype))
    for one, other in (((2, 4, 3), (2, 4, 2)), ((4, 3), (2, 4, 2)), ((3, 4, 2), (1, 4, 1)), ((0, 4, 3), (0, 4, 2))):
        x, b = drawn(dtype, *one), drawn(dtype, *other)
        case('lstsq_many', [x, b], near(np.linalg.pinv(x.astype(np.float64)) @ b.astype(np.float64), dtype))
    for p in (2, -2, 1, -1, np.inf, -np.inf, 0, 1024):
        name = {0: 'fro', 1024: 'nuc'}.get(p, p)
        for s in ((3, 3), (2, 4, 4)):
            x = near(drawn(dtype, *s) + 2 * np.eye(s[-1]), dtype)
            case('condition', [x], near(np.linalg.cond(x.astype(np.float64), name), dtype), p)
    for p in (2, -2, 1024):
        name = {1024: 'nuc'}.get(p, p)
        for s in ((4, 3), (2, 3, 4)):
            x = drawn(dtype, *s)
            case('matrix_norm', [x], near(np.linalg.norm(x.astype(np.float64), name, (-2, -1)), dtype), 0, 2, -2, -1, p)
        x = drawn(dtype, 3, 2, 4)
        case('matrix_norm', [x], near(np.linalg.norm(x.astype(np.float64), name, (2, 1), keepdims=True), dtype), 1, 2, 2, 1, p)
