"""ONNX Runtime as a side: inputs bound once, results in memory that exists, but for rows of fresh results (chain, gelu)."""

import time

import numpy as np
import onnxruntime as ort

from draw import Draw
from ort_graphs import CHANNELS_FIRST, graph_of
from rows import ADAM_RATE
from side import Cell, moved

FRESH = ("chain", "gelu")


def adam(session, inputs, results, setup):
    """Two sets of buffers in turn."""
    names = [o.name for o in session.get_outputs()]
    start = inputs["p"].numpy().copy()
    sets, bindings, turn = [[inputs[x] for x in ("p", "m", "v", "t")], list(results)], [], [0]
    for a, b in ((0, 1), (1, 0)):
        io = session.io_binding()
        io.bind_ortvalue_input("g", inputs["g"])
        for name, x in zip(("p", "m", "v", "t"), sets[a]):
            io.bind_ortvalue_input(name, x)
        for name, x in zip(names, sets[b]):
            io.bind_ortvalue_output(name, x)
        bindings.append(io)

    def run():
        session.run_with_iobinding(bindings[turn[0]])
        turn[0] ^= 1
        return sets[turn[0]]

    return Cell(
        run, lambda r: [r[1].numpy(), r[2].numpy(), *moved([r[0].numpy()], [start], ADAM_RATE)], steps=3, setup=setup
    )


def side(_, threads):
    def options(count):
        o = ort.SessionOptions()
        o.intra_op_num_threads, o.inter_op_num_threads, o.log_severity_level = count, 1, 3
        return o

    def make(row):
        found = graph_of(row.op, row.inputs(Draw()))
        if row.how == "eager" or found is None:
            return None
        model, inputs = found
        start = time.perf_counter()
        session = ort.InferenceSession(
            model, options(1 if row.how == "alone" else threads), providers=["CPUExecutionProvider"]
        )
        setup = time.perf_counter() - start
        names, binding = [o.name for o in session.get_outputs()], session.io_binding()
        held = {name: ort.OrtValue.ortvalue_from_numpy(x) for name, x in inputs.items()}
        for name, x in held.items():
            binding.bind_ortvalue_input(name, x)
        if row.op in FRESH and row.how != "into":

            def run_fresh():
                binding.bind_output(names[0], "cpu")
                session.run_with_iobinding(binding)
                return binding

            return Cell(run_fresh, lambda r: [v.numpy() for v in r.get_outputs()], setup=setup)
        if row.how == "first":
            return Cell(lambda: session.run(None, inputs), lambda r: r, setup=setup)
        results = [ort.OrtValue.ortvalue_from_numpy(np.asarray(v, order="C")) for v in session.run(None, inputs)]
        if row.op == "adam":
            return adam(session, held, results, setup)
        for name, x in zip(names, results):
            binding.bind_ortvalue_output(name, x)
        last = (lambda x: x.transpose(0, 2, 3, 1)) if row.op in CHANNELS_FIRST and row.op != "convnet" else lambda x: x
        return Cell(lambda: session.run_with_iobinding(binding), lambda _: [last(x.numpy()) for x in results], setup=setup)

    return make
