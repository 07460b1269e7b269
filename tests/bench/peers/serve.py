"""serve.py SIDE THREADS: a framework as one side of `make bench-peers`, in a process of its own that answers line by line what
tests/bench/peers/serve.c describes. SIDE: numpy, jax, torch, torch-fused, torch-compile, tf, tf-xla, ort."""

import gc
import importlib
import os
import sys
import time

SAMPLES, LEAST_SAMPLES, SAMPLE, LONG = 20000, 5, 2e-3, 0.05  # as in rows/bench.c
SIDES = {
    "numpy": "numpy",
    "jax": "jax",
    "torch": "torch",
    "torch-fused": "torch",
    "torch-compile": "torch",
    "tf": "tf",
    "tf-xla": "tf",
    "ort": "ort",
}


def checksum(results):
    import numpy as np

    said = []
    for r in results:
        r = np.asarray(r, dtype=np.float64).ravel()
        shown = [r[(i * 2654435761 + 12345) % r.size] for i in range(min(r.size, 16))]
        said.append(",".join("%.9g" % x for x in [*shown, np.abs(r).mean()]))
    return "/".join(said)


class FirstCalls:
    """What is timed is the first call of what was made anew; what was made before is freed outside of it."""

    def __init__(self, make, row):
        self.make, self.row = make, row
        self.fresh = make(row)

    def cell(self):
        from side import Cell

        return self.fresh and Cell(
            lambda: self.fresh.run(), self.fresh.results, self.fresh.steps, self.fresh.setup, self.again
        )

    def again(self):
        self.fresh = None
        self.fresh = self.make(self.row)
        return self.fresh.setup


class Side:
    def __init__(self, name, threads):
        self.make_cell = importlib.import_module("side_" + SIDES[name]).side(name.partition("-")[2], threads)
        self.name, self.cell = name, None

    def make(self, name):
        from rows import ROWS

        row = ROWS.get(name)
        self.drop()
        if not row or row.how == "kept" or row.how == "alone" and self.name != "ort":
            return "none"
        self.cell = FirstCalls(self.make_cell, row).cell() if row.how == "first" else self.make_cell(row)
        if not self.cell:
            return "none"
        start = time.perf_counter()
        found = self.cell.run()
        first = time.perf_counter() - start + self.cell.setup
        for _ in range(self.cell.steps - 1):
            found = self.cell.run()
        return f"made {1e3 * first:.3f} {checksum(self.cell.results(found))}"

    def drop(self):
        self.cell = None
        gc.collect()
        return "dropped"

    def sample(self, calls):
        run = self.cell.run
        setup = self.cell.before() if self.cell.before else 0  # making a session is part of a first call
        repeat = range(calls)
        start = time.perf_counter()
        for _ in repeat:
            run()
        return setup + (time.perf_counter() - start) / calls

    def time(self, warm, seconds):
        now = time.perf_counter
        gc.collect()
        gc.disable()
        start, spent, n = now(), 0.0, 0
        while n < 2 or now() - start < min(warm, 1):
            spent += self.sample(1)
            n += 1
        each = spent / n
        calls = 1 if self.cell.before or each > SAMPLE else int(SAMPLE / each)
        least, found, start = 3 if each > LONG else LEAST_SAMPLES, [], now()
        while len(found) < SAMPLES and (len(found) < least or now() - start < seconds):
            found.append(self.sample(calls))
        gc.enable()
        found.sort()
        return f"timed {1e6 * found[len(found) // 2]:.4f} {1e6 * found[0]:.4f}"

    def answer(self, words):
        if words[0] == "make":
            return self.make(words[1])
        if words[0] == "time":
            return self.time(float(words[1]), float(words[2]))
        return self.drop()


def main():
    name, threads = sys.argv[1], int(sys.argv[2])
    out = os.fdopen(os.dup(1), "w")  # frameworks write to stdout as they please
    os.dup2(2, 1)
    side = Side(name, threads)
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        try:
            answer = side.answer(line.split())
        except Exception as error:  # of whatever kind: the row is reported as failed, and the next one comes
            answer = f"failed {type(error).__name__}: " + " ".join(str(error).split())[:300]
        print(answer, file=out, flush=True)


if __name__ == "__main__":
    main()
