"""side.py [THREADS]: ONNX Runtime as one side of tests/bench/onnx/beside.py; answers what side.c does."""

import glob
import os
import sys
import time

import numpy
import onnx
import onnxruntime
from onnx import numpy_helper


def tensor(path):
    with open(path, "rb") as file:
        return numpy_helper.to_array(onnx.TensorProto.FromString(file.read()))


class Side:
    def __init__(self, threads):
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads, self.options.inter_op_num_threads, self.options.log_severity_level = threads, 1, 3

    def open(self, folder):
        files = sorted(glob.glob(os.path.join(folder, "test_data_set_0", "input_*.pb")))
        inputs = [tensor(f) for f in files]
        start = time.perf_counter()
        session = onnxruntime.InferenceSession(os.path.join(folder, "model.onnx"), self.options, providers=["CPUExecutionProvider"])
        loaded = time.perf_counter()
        feeds = {i.name: x for i, x in zip(session.get_inputs(), inputs)}
        # Inputs bound once, results into memory that exists.
        self.held = {name: onnxruntime.OrtValue.ortvalue_from_numpy(x) for name, x in feeds.items()}
        binding = session.io_binding()
        for name, x in self.held.items():
            binding.bind_ortvalue_input(name, x)
        first = session.run(None, feeds)
        took = time.perf_counter() - loaded
        self.results = [onnxruntime.OrtValue.ortvalue_from_numpy(numpy.asarray(v, order="C")) for v in first]
        for o, x in zip(session.get_outputs(), self.results):
            binding.bind_ortvalue_output(o.name, x)
        self.run = lambda: session.run_with_iobinding(binding)
        return "opened %.3f %.3f" % (1e3 * (loaded - start), 1e3 * took)

    def time(self, seconds):
        took, start = [], time.perf_counter()
        while len(took) < 3 or time.perf_counter() - start < seconds:
            begun = time.perf_counter()
            self.run()
            took.append(time.perf_counter() - begun)
        took.sort()
        return "timed %.2f %.2f" % (1e6 * took[len(took) // 2], 1e6 * took[0])

    def memory(self):
        found = {}
        with open("/proc/self/status") as file:
            for line in file:
                found[line.split(":")[0]] = line.split()[1:2]
        return "memory %s %s" % (found["VmRSS"][0], found["VmHWM"][0])


def main():
    side = Side(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        try:
            answer = side.open(rest) if word == "open" else side.time(float(rest)) if word == "time" else side.memory()
        except Exception as error:  # of whatever kind: the model is reported as failed
            answer = "failed " + " ".join(str(error).split())[:300]
        print(answer, flush=True)


if __name__ == "__main__":
    main()
