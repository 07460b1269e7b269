"""Cases of contractions (include/kiln/contract.h)."""
import numpy as np
from given import case, distinct, drawn, odd


def einsum(name, labels, *shapes, dtypes=('float32', 'int8', 'uint16', 'int64', 'float16')):
    for dtype in dtypes:
        x = [drawn(dtype, *s) for s in shapes]
        wide = np.float64 if np.dtype(dtype).kind == 'f' else np.int64
        with np.errstate(all='ignore'):
            r = np.einsum(labels, *(v.astype(wide) for v in x))
        case(name, x, np.asarray(r).astype(dtype))


FLOATS = ('float32', 'float64')
einsum('product', 'ij,jk->ik', (3, 4), (4, 2))
einsum('product', 'ij,jk->ik', (3, 1), (4, 2))
einsum('product', 'ij,jk->ik', (3, 0), (0, 2))
einsum('product_turned', 'ij,jk->ki', (3, 4), (4, 2))
einsum('product_both', 'ji,kj->ik', (4, 3), (2, 4))
einsum('implied', 'ij,jh', (3, 4), (4, 2))
einsum('implied_turned', 'ba', (3, 4))
einsum('batched', 'bij,bjk->bik', (3, 2, 4), (3, 4, 5))
einsum('batched', 'bij,bjk->bik', (0, 2, 4), (0, 4, 5), dtypes=FLOATS)
einsum('heads', 'bqhd,bkhd->bhqk', (2, 3, 2, 4), (2, 5, 2, 4))
einsum('heads_back', 'bhqk,bkhd->bqhd', (2, 2, 3, 5), (2, 5, 2, 4))
einsum('groups', 'abcd,cdef->abef', (2, 3, 2, 2), (2, 2, 3, 2))
einsum('groups_mixed', 'abcd,ecfa->bedf', (2, 3, 2, 2), (4, 2, 3, 2))
einsum('diagonal', 'ii->i', (4, 4))
einsum('diagonal', 'ii->i', (0, 0), dtypes=FLOATS)
einsum('trace', 'ii', (4, 4))
einsum('diagonal_of_three', 'iji->ij', (3, 2, 3))
einsum('diagonal_of_all', 'iii->i', (3, 3, 3))
einsum('two_diagonals', 'iijj->ij', (3, 3, 2, 2))
einsum('diagonal_in_product', 'ij,jj->i', (3, 4), (4, 4))
einsum('sum_all', 'ijk->', (2, 3, 4))
einsum('sum_lone', 'ij,kl->il', (2, 3), (4, 2))
einsum('outer', 'i,j->ij', (3,), (4,))
einsum('hadamard', 'ij,ij->ij', (3, 4), (3, 4))
einsum('hadamard_turned', 'ij,ji->ji', (3, 4), (4, 3))
einsum('dot', 'i,i', (40,), (40,))
einsum('row_dots', 'ij,ij->i', (3, 40), (3, 40))
einsum('matrix_vector', 'bij,bj->bi', (2, 3, 4), (2, 4))
einsum('dots', '...ij,...jk->...ik', (2, 1, 3, 4), (5, 4, 2))
einsum('dots', '...ij,...jk->...ik', (3, 4), (2, 4, 2))
einsum('dots_implied', 'i...,i...', (3, 4), (3, 2, 4))
einsum('dots_sum', '...j->j...', (2, 3, 4))
einsum('dots_none', '...,...', (2, 3), (3,))
einsum('three', 'ij,jk,kl->il', (2, 3), (3, 4), (4, 2), dtypes=('float32', 'int32', 'float16'))
einsum('bilinear', 'bn,anm,bm->ba', (2, 3), (4, 3, 5), (2, 5), dtypes=('float32', 'int32'))
einsum('scalar', ',ij->ji', (), (2, 3))
einsum('capitals', 'aB,Bc->', (2, 3), (3, 4))

for dtype in ('float32', 'int8', 'int64', 'float16'):
    wide = np.float64 if np.dtype(dtype).kind == 'f' else np.int64
    for xs, ys, xa, ya in (((2, 3, 4), (4, 3, 5), (1, 2), (1, 0)), ((3, 4), (4, 2), (-1,), (0,)), ((2, 3), (4,), (), ()), ((2, 3), (2, 3), (0, 1), (0, 1)),
                           ((3,), (3,), (0,), (0,)), ((0, 3), (3, 2), (1,), (0,))):
        x, y = drawn(dtype, *xs), drawn(dtype, *ys)
        case('tensordot', [x, y], np.tensordot(x.astype(wide), y.astype(wide), (xa, ya)).astype(dtype), len(xa), *xa, *ya)
    for xs, ys, axis in (((3, 4), (3, 4), -1), ((2, 1, 5), (3, 5), -1), ((3, 4), (3, 4), -2), ((4,), (4,), 0)):
        x, y = drawn(dtype, *xs), drawn(dtype, *ys)
        a, b = np.broadcast_arrays(x.astype(wide), y.astype(wide))
        case('vecdot', [x, y], np.asarray(np.sum(a * b, axis)).astype(dtype), axis)
    for xs, ys in (((3, 4), (2, 4)), ((4,), (4,)), ((), (2, 3)), ((2, 3, 4), (4,))):
        x, y = drawn(dtype, *xs), drawn(dtype, *ys)
        case('inner', [x, y], np.asarray(np.inner(x.astype(wide), y.astype(wide))).astype(dtype))
    for xs, ys in (((3,), (4,)), ((2, 2), (3,)), ((), (3,)), ((0,), (2,))):
        x, y = drawn(dtype, *xs), drawn(dtype, *ys)
        case('outer_flat', [x, y], np.outer(x, y).astype(dtype))
    for xs, ys, axis in (((4, 3), (4, 3), -1), ((3,), (2, 3), -1), ((3, 2), (3, 2), 0)):
        x, y = drawn(dtype, *xs), drawn(dtype, *ys)
        case('cross', [x, y], np.cross(x, y, axis=axis).astype(dtype), axis)
    for xs, ys in (((2, 3), (3, 2)), ((3,), (2, 2)), ((2, 2, 2), (1, 2, 3)), ((), (2,)), ((2, 1, 3), (2,))):
        x, y = drawn(dtype, *xs), drawn(dtype, *ys)
        case('kron', [x, y], np.kron(x, y).astype(dtype))
    for s in ((2, 3, 4), (3, 2), (2, 0, 3)):
        x = drawn(dtype, *s)
        case('matrix_transpose', [x], np.swapaxes(x, -1, -2))
for dtype in ('float32', 'float64', 'float16'):
    for shapes in (((2, 3), (3, 4), (4, 2)), ((2, 3), (3, 2)), ((3,), (3, 4), (4,)), ((3,), (3, 4)), ((2, 3), (3, 4), (4, 2), (2, 5)), ((2, 3),), ((4,), (4,))):
        x = [np.sign(drawn(dtype, *s)) for s in shapes]
        case('multi_dot', x, (np.linalg.multi_dot(x) if len(x) > 1 else x[0]).astype(dtype))


def zeroed(x, zero, rows):
    zero = np.asarray(zero, np.int64)
    return x.astype(np.int64) - (zero[:, None] if rows and zero.ndim == 1 else zero)


# ---- bytes; a number says which zero points there are
for dx, dy in (('int8', 'int8'), ('uint8', 'int8'), ('uint8', 'uint8')):
    x, y = drawn(dx, 3, 5, lo=-100, hi=100), drawn(dy, 5, 4, lo=-100, hi=100)
    case('matmul_integer', [x, y], (x.astype(np.int64) @ y).astype(np.int32), 0)
    for zx, zy in ((drawn(dx), drawn(dy)), (drawn(dx, 3), drawn(dy, 4)), (drawn(dx, 3, 1), drawn(dy, 1, 4)), (drawn(dx, 1), drawn(dy))):
        a, b = zeroed(x, zx, True), zeroed(y, zy, False)
        case('matmul_integer', [x, y, zx], (a @ y).astype(np.int32), 1)
        case('matmul_integer', [x, y, zy], (x @ b).astype(np.int32), 2)
        case('matmul_integer', [x, y, zx, zy], (a @ b).astype(np.int32), 3)
        for out in ('int8', 'uint8'):
            sx, sy, s, z = np.float32(0.25), np.abs(distinct('float32', 4)), np.float32(16), drawn(out)
            p = (a @ b).astype(np.float32) * ((sx * sy) / s)
            r = np.clip(np.rint(p) + z, np.iinfo(out).min, np.iinfo(out).max).astype(out)
            case('matmul_quantised', [x, sx, zx, y, sy, zy, s, z], r)
    x, y = drawn(dx, 2, 3, 5), drawn(dy, 2, 5, 4)
    zx, zy = drawn(dx, 2, 3, 1), drawn(dy, 2, 1, 4)
    case('matmul_integer', [x, y, zx, zy], ((x.astype(np.int64) - zx) @ (y.astype(np.int64) - zy)).astype(np.int32), 3)


def convolved(x, w, stride):
    """x [n, h, w, c] with w [kh, kw, c, o], padded by one before and none behind."""
    x = np.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)))
    out = [(x.shape[1 + i] - w.shape[i]) // stride + 1 for i in range(2)]
    r = np.zeros((x.shape[0], *out, w.shape[3]), np.int64)
    for i in range(out[0]):
        for j in range(out[1]):
            part = x[:, i * stride:i * stride + w.shape[0], j * stride:j * stride + w.shape[1]]
            r[:, i, j] = np.tensordot(part, w, ((1, 2, 3), (0, 1, 2)))
    return r


for channels in (2, 60):
    for dx, dw in (('uint8', 'int8'), ('int8', 'uint8')):
        x, w = drawn(dx, 1, 4, 3, channels, lo=-120, hi=120), drawn(dw, 3, 2, channels, 3, lo=-120, hi=120)
        for zx, zw in ((drawn(dx), drawn(dw)), (drawn(dx), drawn(dw, 3))):
            case('convolve_integer', [x, w, zx, zw], convolved(x.astype(np.int64) - zx, w.astype(np.int64) - zw, 1).astype(np.int32), 1)
    case('convolve_integer', [x, w], convolved(x.astype(np.int64), w.astype(np.int64), 2).astype(np.int32), 2)
