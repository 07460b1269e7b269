"""Cases of attention and rotary embeddings (include/kiln/contract.h), with values by PyTorch and by ONNX's reference."""
import numpy as np
import torch
import torch.nn.functional as F
from given import case, random
from onnx.reference.ops.op_attention import _compute_attention
from onnx.reference.ops.op_rotary_embedding import rotary_embedding


def floats(dtype, *shape):
    return random.normal(size=shape).astype(dtype)


def wide(x):
    return torch.from_numpy(np.asarray(x).astype(np.float64) if x.dtype.kind == 'f' else x)


# ---- torch: numbers: whether there is a mask, causal as PyTorch has it, scale
for dtype in ('float64', 'float32'):
    for batch, heads, groups, queries, keys, d, e, mask, causal, scale in (
            (2, 2, 2, 3, 3, 2, 2, None, 1, 0), (2, 2, 1, 2, 3, 2, 3, 'float', 0, 0), (2, 4, 2, 3, 5, 4, 2, 'bool', 0, 0.5), (1, 2, 2, 4, 2, 3, 3, None, 1, 0),
            (1, 4, 2, 2, 4, 2, 2, None, 1, 0.25), (2, 4, 1, 3, 4, 2, 2, 'rows', 0, 0), (2, 4, 2, 3, 4, 2, 2, 'keys', 0, 0), (1, 4, 2, 3, 4, 2, 2, 'shared', 0, 0)):
        q, k, v = floats(dtype, batch, heads, queries, d), floats(dtype, batch, groups, keys, d), floats(dtype, batch, groups, keys, e)
        m = {None: None, 'float': lambda: floats(dtype, batch, heads, queries, keys), 'bool': lambda: random.random((batch, heads, queries, keys)) < 0.7,
             'rows': lambda: random.random((batch, 1, queries, keys)) < 0.7, 'keys': lambda: random.random((batch, 1, 1, keys)) < 0.7,
             'shared': lambda: floats(dtype, queries, keys)}[mask]
        m = m and m()
        if m is not None and m.dtype == bool:
            m[..., 0] = True
        y = F.scaled_dot_product_attention(wide(q), wide(k), wide(v), None if m is None else wide(m), is_causal=bool(causal), scale=scale or None, enable_gqa=True)
        case('torch', [q, k, v] + ([] if m is None else [m]), y.numpy().astype(dtype), int(m is not None), causal, scale)

# ---- ONNX: past keys, and numbers of keys that are known when it runs: what comes, causal, cap
for dtype in ('float64', 'float32'):
    for what, batch, heads, groups, queries, keys, causal, cap in (
            ('offset', 2, 2, 2, 3, 5, 1, 0), ('lengths', 2, 2, 1, 2, 4, 0, 0), ('lengths', 2, 4, 2, 3, 5, 0, 1.5), ('both', 3, 4, 2, 2, 6, 1, 0), ('offset', 2, 4, 2, 1, 4, 1, 2),
            ('mask', 2, 4, 2, 2, 5, 0, 0), ('floats', 2, 4, 2, 2, 5, 1, 0)):
        q, k, v = floats(dtype, batch, heads, queries, 4), floats(dtype, batch, groups, keys, 4), floats(dtype, batch, groups, keys, 3)
        more, kind, how = [], 0, dict(is_causal=causal, softcap=float(cap), qk_matmul_output_mode=0)
        qw, kw, vw = (x.astype(np.float64) for x in (q, k, v))
        if what == 'offset':  # past keys: the first of them
            past = keys - queries
            more, kind = [np.array(past, np.int64)], 1
            y = _compute_attention(qw, kw[:, :, past:], vw[:, :, past:], past_key=kw[:, :, :past], past_value=vw[:, :, :past], **how)[0]
        else:
            n = random.integers(queries, keys + 1, batch)
            mask = random.random((batch, 1, queries, keys)) < 0.8
            if what == 'floats':
                mask = floats(dtype, queries, keys)
            if what == 'mask':
                mask[..., 0] = True
            y = _compute_attention(qw, kw, vw, nonpad_kv_seqlen=n, attn_mask=mask if what in ('mask', 'floats') else None, **how)[0]
            kind = 2 if not causal else 3
            more = [n.reshape(batch, 1, 1, 1)] + ([(n - queries).astype(np.int32).reshape(batch, 1, 1, 1)] if causal else []) + ([mask] if what in ('mask', 'floats') else [])
        case('onnx', [q, k, v] + more, y.astype(dtype), kind, causal, cap, int(what in ('mask', 'floats')))

# ---- rotary: numbers: interleaved, heads_last
for dtype in ('float64', 'float32', 'float16'):
    for batch, heads, n, d, pairs, interleaved, last, where in (
            (2, 2, 3, 4, 2, 0, 0, 'ids'), (1, 1, 2, 6, 2, 1, 0, 'ids'), (2, 3, 4, 8, 2, 0, 1, 'ids'), (2, 2, 3, 4, 2, 1, 0, 'rows'), (2, 2, 3, 5, 1, 0, 1, 'rows'),
            (1, 2, 3, 4, 2, 1, 1, 'shared'), (2, 1, 2, 4, 2, 0, 0, 'shared')):
        x = floats(dtype, batch, heads, n, d)
        angle = floats('float64', *((7, pairs) if where != 'rows' else (batch, n, pairs)))
        cos, sin = np.cos(angle).astype(dtype), np.sin(angle).astype(dtype)
        ids = random.integers(0, 7, (batch, n)) if where == 'ids' else None
        c, s = cos.astype(np.float64), sin.astype(np.float64)
        shared = np.arange(n) + 2
        if where == 'shared':
            ids = np.broadcast_to(shared, (batch, n))
        y = rotary_embedding(x.astype(np.float64), c, s, ids, interleaved=interleaved, rotary_embedding_dim=2 * pairs)
        inputs = [np.swapaxes(x, 1, 2) if last else x, cos, sin] + ([] if where == 'rows' else [shared if where == 'shared' else ids])
        case('rotary_shared' if where == 'shared' else 'rotary', inputs, (np.swapaxes(y, 1, 2) if last else y).astype(dtype), interleaved, last)
x, angle = floats('float64', 3, 4), floats('float64', 3, 2)
y = rotary_embedding(x.reshape(1, 3, 1, 4).transpose(0, 2, 1, 3), np.cos(angle)[None], np.sin(angle)[None])
case('rotary', [x, np.cos(angle), np.sin(angle)], y.reshape(3, 4), 0, 0)
for places, pairs, base in ((5, 3, 0), (3, 2, 100), (0, 2, 0)):
    speed = (base or 10000.0) ** (-np.arange(pairs) / pairs)
    angle = np.arange(places)[:, None] * speed
    case('tables', [], (np.cos(angle), np.sin(angle)), places, pairs, base)
