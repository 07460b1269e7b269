"""Loops inside compiled functions, beside others on this machine: Kiln (build/bench/loops), JAX (jit, fori_loop, grad in the loop),
tf.function (while loop and tape in the graph) and ONNX Runtime (Loop, the derivative by hand, as it has no autodiff). One thread each,
f32, the sides in turn, medians over rounds; results are compared. Usage: peers.py build/bench/loops [rounds]"""
import os
import platform
import statistics
import subprocess
import sys
import time

for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ[name] = "1"
os.environ.update(CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="3", JAX_PLATFORMS="cpu",
                  XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # and of the processes that this one starts

import numpy as np

STEPS, POWER = 1000, 100
M = np.full((10, 10), 0.1, np.float32)


def median_us(call, budget=0.15):
    for _ in range(3):
        call()
    times, end = [], time.perf_counter() + budget
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e6 * statistics.median(times)


def jax_calls():
    import jax
    import jax.numpy as jnp

    f = lambda x: x ** 2 - 2.0 * x + 1.0
    sgd = jax.jit(lambda x, n: jax.lax.fori_loop(0, n, lambda i, x: x - 0.01 * jax.grad(f)(x), x))
    power = jax.jit(lambda m: jax.lax.fori_loop(0, POWER - 1, lambda i, y: y @ m, m))

    def unrolled(m):
        y = m
        for _ in range(POWER - 1):
            y = y @ m
        return y
    flat = jax.jit(unrolled)
    x, m = jnp.float32(0), jnp.asarray(M)
    return {"sgd1000": ("JAX jit fori_loop", lambda: sgd(x, STEPS).block_until_ready()),
            "power100": ("JAX jit fori_loop", lambda: power(m).block_until_ready()),
            "power100 unrolled": ("JAX jit unrolled", lambda: flat(m).block_until_ready())}


def tf_calls():
    import tensorflow as tf

    x = tf.Variable(0.0)

    @tf.function
    def sgd(n):
        x.assign(0.0)
        for _ in tf.range(n):
            with tf.GradientTape() as tape:
                y = x ** 2 - 2.0 * x + 1.0
            x.assign_sub(0.01 * tape.gradient(y, x))
        return x.read_value()

    @tf.function
    def power(m):
        y = m
        for _ in tf.range(POWER - 1):
            y = y @ m
        return y
    n, m = tf.constant(STEPS), tf.constant(M)
    return {"sgd1000": ("tf.function", lambda: sgd(n).numpy()), "power100": ("tf.function", lambda: power(m).numpy())}


def ort_calls():
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto as T, helper as h

    def loop(body_nodes, constants, trip, shape):
        value = lambda name, kind, dims: h.make_tensor_value_info(name, kind, dims)
        body = h.make_graph(body_nodes + [h.make_node("Identity", ["go"], ["go_on"])], "body",
                            [value("i", T.INT64, []), value("go", T.BOOL, []), value("x", T.FLOAT, shape)],
                            [value("go_on", T.BOOL, []), value("next", T.FLOAT, shape)])
        init = constants + [h.make_tensor("trip", T.INT64, [], [trip]), h.make_tensor("yes", T.BOOL, [], [True])]
        g = h.make_graph([h.make_node("Loop", ["trip", "yes", "x0"], ["y"], body=body)], "g", [value("x0", T.FLOAT, shape)],
                         [value("y", T.FLOAT, shape)], init)
        model = h.make_model(g, opset_imports=[h.make_opsetid("", 17)])
        model.ir_version = 9
        o = ort.SessionOptions()
        o.intra_op_num_threads = 1
        return ort.InferenceSession(model.SerializeToString(), o, providers=["CPUExecutionProvider"])
    number = lambda name, v: h.make_tensor(name, T.FLOAT, [], [v])
    sgd = loop([h.make_node("Mul", ["two", "x"], ["a"]), h.make_node("Sub", ["a", "two"], ["g"]),
                h.make_node("Mul", ["rate", "g"], ["d"]), h.make_node("Sub", ["x", "d"], ["next"])],
               [number("two", 2.0), number("rate", 0.01)], STEPS, [])
    power = loop([h.make_node("MatMul", ["x", "m"], ["next"])], [h.make_tensor("m", T.FLOAT, [10, 10], M.ravel())], POWER - 1, [10, 10])
    x = np.zeros((), np.float32)
    return {"sgd1000": ("ONNX Runtime Loop (derivative by hand)", lambda: sgd.run(None, {"x0": x})[0]),
            "power100": ("ONNX Runtime Loop", lambda: power.run(None, {"x0": M})[0])}


def kiln_round(program):
    out = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    found = {}
    for line in out.splitlines():
        name, rest = line[:28].strip(), line[28:].split()
        found[name] = (float(rest[0]), float(rest[2]))
    return found


def main():
    program, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 7
    times = {}
    note = lambda work, who, us: times.setdefault((work, who), []).append(us)
    peers = [calls() for calls in (jax_calls, tf_calls, ort_calls)]
    for _ in range(rounds):
        for name, (us, total) in kiln_round(program).items():
            work, how = name.split(" ", 1) if name[0] != "e" else ("epoch", name)
            note(work, "Kiln " + how, us)
            want = {"sgd1000": 0.9999985, "power100": 10.0}.get(work)
            assert want is None or abs(total - want) < 1e-4 * want, (name, total)
        for calls in peers:
            for work, (who, call) in calls.items():
                got = float(np.sum(np.asarray(call())))
                want = 0.9999985 if work == "sgd1000" else 10.0
                assert abs(got - want) < 1e-4 * want, (work, who, got)
                note(work.split()[0], who, median_us(call))
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.processor())
    print(f"{cpu}, one thread, {rounds} rounds in turn, medians (least to most of the rounds)")
    for work in ("sgd1000", "power100", "epoch"):
        base = statistics.median(times.get((work, "Kiln traced"), [0]) or [0])
        for (w, who), t in sorted(times.items(), key=lambda kv: statistics.median(kv[1])):
            if w != work:
                continue
            us = statistics.median(t)
            ratio = f"{us / base:9.2f} x Kiln traced" if base else ""
            print(f"{work:9} {who:40} {us:12.2f} us ({min(t):.2f} to {max(t):.2f}) {ratio}")


main()
