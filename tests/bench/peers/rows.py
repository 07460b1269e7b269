"""The rows of `make bench-peers`: what each is called, the operation that the sides know it by, its inputs. Their twins in C are in
tests/bench/rows/; a name that one of the two lacks is a failure of tests/bench.sh."""

from typing import Callable, NamedTuple

MI = 1 << 20
ADAM_RATE, ADAM_EPSILON, SGD_RATE, BLOCK_RATE = 1e-6, 1e-10, 1e-3, 0.1
BETA1, BETA2 = 0.9, 0.999
SQUARINGS, POWER, STEPS, LONG_STEPS = 20, 100, 1000, 100_000
RECURRENT_UNITS = 128


class Row(NamedTuple):
    title: str
    op: str
    inputs: Callable  # of a Draw
    how: str = ""  # into: memory that exists; eager: no function; first: a new function's first call; kept: Kiln
    # alone; alone: ONNX Runtime with one thread
    tolerance: float = 1e-3


def normals(*shape, count=1):
    return lambda d: [d.normal(*shape) for _ in range(count)]


def page(rows, columns, more=0):
    return lambda d: [d.normal(rows, columns)] + [d.normal(columns) for _ in range(more)]


def logits(rows, columns):
    return lambda d: [d.normal(rows, columns), d.labels(rows, columns)]


def product(m, n, k):
    return lambda d: [d.normal(m, k), d.normal(k, n)]


def numbers(*values):
    return lambda d: [d.number(v) for v in values]


def mlp(batch, hidden):
    return lambda d: [
        d.uniform(batch, 784),
        d.labels(batch, 10),
        d.normal(784, hidden, scale=0.05),
        d.normal(hidden, scale=0.01),
        d.normal(hidden, 10, scale=0.1),
        d.normal(10, scale=0.01),
    ]


def convnet(batch, first, second, last):
    return lambda d: [
        d.uniform(batch, 28, 28, 1),
        d.labels(batch, 10),
        d.normal(3, 3, 1, first, scale=0.3),
        d.normal(first, scale=0.01),
        d.normal(3, 3, first, second, scale=0.1),
        d.normal(second, scale=0.01),
        d.normal(last, 10, scale=0.03 if last > 16 else 0.2),
        d.normal(10, scale=0.01),
    ]


def images(batch, side, channels, *filters):
    return lambda d: [d.normal(batch, side, side, channels), d.normal(*filters, scale=0.1)]


def image(batch, side, channels):
    return lambda d: [d.normal(batch, side, side, channels)]


def residual(batch, side, wide, slim):
    return lambda d: [
        d.normal(batch, side, side, wide),
        d.normal(1, 1, wide, slim, scale=0.08),
        d.normal(slim, scale=0.01),
        d.normal(3, 3, slim, slim, scale=0.04),
        d.normal(slim, scale=0.01),
        d.normal(1, 1, slim, wide, scale=0.08),
        d.normal(wide, scale=0.01),
    ]


def recurrent(gates, biases):
    u = RECURRENT_UNITS
    return lambda d: [d.normal(64, 32, u), d.normal(u, gates * u, scale=0.1), d.normal(u, gates * u, scale=0.08)] + [
        d.normal(gates * u, scale=0.05) for _ in range(biases)
    ]


def bert(d):
    n, D, F = d.normal, 768, 3072
    norm = lambda: [n(D, scale=0.02, plus=1), n(D, scale=0.02)]
    linear = lambda a, b: [n(a, b, scale=0.03), n(b, scale=0.01)]
    return [n(1, 128, D), *linear(D, 3 * D), *linear(D, D), *norm(), *linear(D, F), *linear(F, D), *norm()]


def rounded(draw, kind):
    return lambda d: [x.astype(kind) for x in draw(d)]


def indexed(rows, columns, count, updates=False):
    return lambda d: [d.normal(rows, *columns), d.labels(count, rows)] + ([d.normal(count)] if updates else [])


def classes(count, of):
    return lambda d: [d.labels(count, of)]


def systems(count, n, columns):
    return lambda d: [d.definite(count, n), d.normal(*([count] if count > 1 else []), n, columns)]


def distinct(*shape):
    return lambda d: [d.distinct(*shape)]


def definite(count, n):
    return lambda d: [d.definite(count, n)]


TOP = 10
WIDE = (64, 50257)
PAGE = (4096, 1024)
ROWS = {
    "call1": Row("call x + 1, [2,2]", "add_one", normals(2, 2)),
    "call4": Row("call a + b + c + d, [2,2]", "add_four", normals(2, 2, count=4)),
    "add2x2": Row("eager add of [2,2]", "add", normals(2, 2, count=2), "eager"),
    "addscalar": Row("eager add of scalars", "add", numbers(1.5, 2.25), "eager"),
    "power100": Row("power(x[10,10], 100)", "power", lambda d: [d.stochastic(10)]),
    "sgdloop": Row("SGD of a scalar, 1000 steps in one loop", "descent", numbers(1, -2, 1)),
    "first_add": Row("first call of x + 1: answered", "add_one", normals(2, 2), "first"),
    "first_add_compiled": Row("first call of x + 1: compiled", "add_one", normals(2, 2), "first"),
    "first_add_disk": Row("first call of x + 1: from disk", "add_one", normals(2, 2), "kept"),
    "first_loop": Row("first call of a loop of 10^5: answered", "long_loop", normals(2, 4), "first"),
    "first_loop_compiled": Row("first call of a loop of 10^5: compiled", "long_loop", normals(2, 4), "first"),
    "copy16m_into": Row("copy of 16 Mi, into memory", "copy", normals(16 * MI), "into"),
    "chain1m": Row("chain of 8 ops, 1 Mi", "chain", normals(MI, count=2)),
    "chain1m_into": Row("chain of 8 ops, 1 Mi, into memory", "chain", normals(MI, count=2), "into"),
    "chain16m": Row("chain of 8 ops, 16 Mi", "chain", normals(16 * MI, count=2)),
    "chain16m_into": Row("chain of 8 ops, 16 Mi, into memory", "chain", normals(16 * MI, count=2), "into"),
    "chain4m_f64": Row("chain of 8 ops, 4 Mi of f64", "chain", rounded(normals(4 * MI, count=2), "f8")),
    "gelu1m": Row("tanh-GELU written out, 1 Mi", "gelu", normals(MI)),
    "gelu1m_into": Row("tanh-GELU written out, 1 Mi, into memory", "gelu", normals(MI), "into"),
    "gelu16m": Row("tanh-GELU written out, 16 Mi", "gelu", normals(16 * MI)),
    "gelu16m_into": Row("tanh-GELU written out, 16 Mi, into memory", "gelu", normals(16 * MI), "into"),
    "softmax": Row("softmax [4096,1024]", "softmax", page(*PAGE)),
    "softmax_wide": Row("softmax [64,50257]", "softmax", page(*WIDE)),
    "layernorm": Row("layernorm [4096,1024]", "layernorm", page(*PAGE, 2)),
    "layernorm_wide": Row("layernorm [64,50257]", "layernorm", page(*WIDE, 2)),
    "rmsnorm": Row("rmsnorm [4096,1024]", "rmsnorm", page(*PAGE, 1)),
    "rmsnorm_wide": Row("rmsnorm [64,50257]", "rmsnorm", page(*WIDE, 1)),
    "xent": Row("cross-entropy fwd+bwd [4096,1024]", "cross_entropy", logits(*PAGE)),
    "xent_wide": Row("cross-entropy fwd+bwd [64,50257]", "cross_entropy", logits(*WIDE)),
    "sum0": Row("sum over axis 0 [4096,1024]", "sum0", page(*PAGE)),
    "sum1": Row("sum over axis 1 [4096,1024]", "sum1", page(*PAGE)),
    "var0": Row("variance over axis 0 [4096,1024]", "var0", page(*PAGE)),
    "var1": Row("variance over axis 1 [4096,1024]", "var1", page(*PAGE)),
    "transpose": Row("transpose copy [4096,1024]", "transpose", page(*PAGE)),
    "permute0213": Row("permute [32,128,12,64] by 0213", "permute0213", normals(32, 128, 12, 64)),
    "permute210": Row("permute [128,256,128] by 210", "permute210", normals(128, 256, 128)),
    "adam25m": Row(
        "Adam over 25 M parameters", "adam", lambda d: [d.normal(25_000_000, scale=0.05), d.normal(25_000_000, scale=0.01)]
    ),
    **{f"mm{n}": Row(f"matmul {n}^3", "product", product(n, n, n)) for n in (64, 128, 256, 512, 1024)},
    "mmchain": Row(
        "x = x @ x, 1000^2, 20 times", "squares", lambda d: [d.stochastic(1000)], tolerance=1e-2
    ),  # to the power 2^20
    "bmm": Row("bmm of 512, 32^3", "product", normals(512, 32, 32, count=2)),
    "skinny": Row("[64,784] x [784,128]", "product", product(64, 128, 784)),
    "gemv": Row("[1,4096] x [4096,4096]", "product", product(1, 4096, 4096)),
    "tall": Row("[4096,64] x [64,4096]", "product", product(4096, 4096, 64)),
    "dot4m": Row("dot of 4 Mi", "dot", normals(4 * MI, count=2)),
    "mm512_f64": Row("matmul 512^3, f64", "product", rounded(product(512, 512, 512), "f8")),
    "mm512_bf16": Row("matmul 512^3, bf16", "product_bf16", product(512, 512, 512), tolerance=2e-2),
    "mm512_i8": Row("matmul 512^3, i8 to i32", "product_i8", lambda d: [d.whole(512, 512), d.whole(512, 512)]),
    "depthwise": Row("depthwise 3x3, [8,56,56,144]", "depthwise", images(8, 56, 144, 3, 3, 1, 144)),
    "pointwise": Row("conv 1x1, [8,56,56,144]", "pointwise", images(8, 56, 144, 1, 1, 144, 144)),
    "conv_transposed": Row("conv transpose 2x, [8,28,28,64] to 32", "conv_transposed", images(8, 28, 64, 4, 4, 32, 64)),
    "resize_linear": Row("bilinear 2x, [8,56,56,64]", "resize_linear", image(8, 56, 64)),
    "resize_nearest": Row("nearest 2x, [8,56,56,64]", "resize_nearest", image(8, 56, 64)),
    "resnet": Row("ResNet-50 block [4,56,56,256], forward", "resnet", residual(4, 56, 256, 64)),
    "resnet_step": Row("ResNet-50 block [4,56,56,256], SGD step", "resnet_step", residual(4, 56, 256, 64)),
    "mlp_b1": Row("MLP 784-128-10, b1", "mlp", mlp(1, 128)),
    "mlp_b1_object": Row("MLP 784-128-10, b1, one thread; Kiln: object file", "mlp", mlp(1, 128), "alone"),
    "mlp_b64": Row("MLP 784-128-10, b64", "mlp", mlp(64, 128)),
    "mlp_sgd": Row("MLP 784-128-10, SGD step b64", "mlp_sgd", mlp(64, 128)),
    "mlp_adam": Row("MLP 784-100-10, Adam step b32", "mlp_adam", mlp(32, 100)),
    "conv_b1": Row("MNIST convnet, b1", "convnet", convnet(1, 16, 16, 16)),
    "conv_adam": Row("MNIST convnet, Adam step b32", "convnet_adam", convnet(32, 16, 16, 16)),
    "keras_conv": Row("Keras convnet 32-64 pooled, Adam step b64", "pooled_adam", convnet(64, 32, 64, 1600)),
    "first_mlp": Row("first call of an MLP SGD step: answered", "mlp_sgd", mlp(64, 128), "first"),
    "first_mlp_compiled": Row("first call of an MLP SGD step: compiled", "mlp_sgd", mlp(64, 128), "first"),
    "first_mlp_disk": Row("first call of an MLP SGD step: from disk", "mlp_sgd", mlp(64, 128), "kept"),
    "first_conv": Row("first call of a convnet step: answered", "convnet_adam", convnet(32, 16, 16, 16), "first"),
    "first_conv_compiled": Row("first call of a convnet step: compiled", "convnet_adam", convnet(32, 16, 16, 16), "first"),
    "first_conv_disk": Row("first call of a convnet step: from disk", "convnet_adam", convnet(32, 16, 16, 16), "kept"),
    "lstm": Row("LSTM T64 b32 128, forward", "lstm", recurrent(4, 1)),
    "lstm_back": Row("LSTM T64 b32 128, with backward", "lstm_back", recurrent(4, 1)),
    "gru": Row("GRU T64 b32 128, forward", "gru", recurrent(3, 2)),
    "gru_back": Row("GRU T64 b32 128, with backward", "gru_back", recurrent(3, 2)),
    "attention": Row("attention [8,512,64], forward", "attention", normals(8, 512, 64, count=3)),
    "attention_causal": Row("causal attention [8,512,64], forward", "attention_causal", normals(8, 512, 64, count=3)),
    "attention_back": Row("attention [8,512,64], fwd+bwd", "attention_back", normals(8, 512, 64, count=3)),
    "attention_causal_back": Row(
        "causal attention [8,512,64], fwd+bwd", "attention_causal_back", normals(8, 512, 64, count=3)
    ),
    "bert": Row("BERT layer [1,128,768]", "bert", bert),
    "sort1m": Row("sort of 1 Mi", "sort", distinct(MI)),
    "argsort1m": Row("argsort of 1 Mi", "argsort", distinct(MI)),
    "sort_rows": Row("sort of rows, [4096,256]", "sort", distinct(4096, 256)),
    "argsort_rows": Row("argsort of rows, [4096,256]", "argsort", distinct(4096, 256)),
    "top_k": Row("the 10 largest of rows, [4096,1024]", "top_k", distinct(4096, 1024)),
    "cumsum0": Row("running sum over axis 0 [4096,1024]", "cumsum0", page(*PAGE)),
    "cumsum1": Row("running sum over axis 1 [4096,1024]", "cumsum1", page(*PAGE)),
    "cummax1": Row("running maximum of rows, [1024,1024]", "cummax1", page(1024, 1024)),
    "cummax1_eager": Row("eager running maximum of rows, [1024,1024]", "cummax1", page(1024, 1024), "eager"),
    "median1": Row("medians of rows, [1024,1024]", "median1", page(1024, 1024)),
    "bincount": Row("counts of 1,024 classes among 1 Mi", "bincount", classes(MI, 1024)),
    "bincount_eager": Row("eager counts of 1,024 classes among 1 Mi", "bincount", classes(MI, 1024), "eager"),
    "scatter_add": Row("scatter-add of 1 Mi into 10,000", "scatter_add", indexed(10000, (), MI, True)),
    "gather_rows": Row("16,384 rows of [50257,256]", "gather_rows", indexed(50257, (256,), 16384)),
    "fft64k": Row("fft of 2^16 complex", "fft", normals(65536, 2)),
    "fft_plane": Row("fft of 1024x1024 complex, both axes", "fft_plane", normals(1024, 1024, 2)),
    "cholesky512": Row("Cholesky of 512x512", "cholesky", definite(1, 512)),
    "cholesky8": Row("Cholesky of 10,000 of 8x8", "cholesky", definite(10000, 8)),
    "solve512": Row("solve 512x512 for 64 columns", "solve", systems(1, 512, 64)),
    "solve8": Row("solve 10,000 of 8x8 for a column", "solve", systems(10000, 8, 1)),
    "exp1m_f64": Row("exp of 1 Mi of f64", "exp", rounded(normals(MI), "f8")),
    "sin1m_f64": Row("sin of 1 Mi of f64", "sin", rounded(normals(MI), "f8")),
}
