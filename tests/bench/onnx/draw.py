"""draw.py LIGHT OUT [NAME ...]: ONNX's light models, whose weights are one constant each, with drawn weights.

For each LIGHT/light_NAME.onnx: OUT/NAME/model.onnx, whose weights are initialisers (products and convolutions He-scaled, the statistics
of batch norms such that they change little), and OUT/NAME/test_data_set_0 with a drawn input and what ONNX Runtime computes: a case as
tests/conformance/test_onnx.c takes it (ONNX=OUT). The same numbers on every machine. Needs onnx, onnxruntime and numpy; a tool, and
part of no test that must pass."""

import glob
import math
import os
import sys

import numpy
import onnx
import onnxruntime
from onnx import helper, numpy_helper


def made_here(graph):
    """Names of values that ConstantOfShape makes, and their sizes."""
    given = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    return {n.output[0]: [int(d) for d in given[n.input[0]]] for n in graph.node if n.op_type == "ConstantOfShape"}


def roles(graph):
    """What each weight is to the first node that reads it: (operator, number of the input, whether the result is added to another)."""
    added = {name for n in graph.node if n.op_type == "Sum" for name in n.input}
    found = {}
    for node in graph.node:
        for i, name in enumerate(node.input):
            found.setdefault(name, (node.op_type, i, node.output[0] in added))
    return found


def drawn(random, role, sizes):
    operator, place, added = role
    n = random.standard_normal(sizes, dtype=numpy.float32)
    if operator in ("Conv", "Gemm", "MatMul") and place == 1:
        fan = math.prod(sizes[1:]) if operator == "Conv" else max(sizes)
        return n * numpy.float32(math.sqrt(2 / fan))
    if place == 1 and operator in ("BatchNormalization", "Mul"):
        return (1 + numpy.float32(0.1) * n) * numpy.float32(0.25 if added else 1)  # so that sums of many do not grow
    if place == 4 and operator == "BatchNormalization":
        return 1 + numpy.float32(0.1) * abs(n)
    return numpy.float32(0.1) * n


def save(tensor, path):
    with open(path, "wb") as file:
        file.write(tensor.SerializeToString())


def keep_case(model, out, random):
    """The model, a drawn input and what ONNX Runtime makes of it, as a case of backend tests."""
    folder = os.path.join(out, "test_data_set_0")
    os.makedirs(folder, exist_ok=True)
    onnx.checker.check_model(model)
    onnx.save(model, os.path.join(out, "model.onnx"))
    feeds = {}
    for number, i in enumerate(model.graph.input):
        shape = [d.dim_value for d in i.type.tensor_type.shape.dim]
        feeds[i.name] = random.standard_normal(shape, dtype=numpy.float32)
        save(numpy_helper.from_array(feeds[i.name], i.name), os.path.join(folder, "input_%d.pb" % number))
    weights = sum(math.prod(t.dims) for t in model.graph.initializer)
    session = onnxruntime.InferenceSession(os.path.join(out, "model.onnx"), providers=["CPUExecutionProvider"])
    for number, value in enumerate(session.run(None, feeds)):
        save(numpy_helper.from_array(value, model.graph.output[number].name), os.path.join(folder, "output_%d.pb" % number))
        print("%-16s %9d weights; output %d: %s, least %g, largest %g" % (os.path.basename(out), weights, number, list(value.shape), value.min(), value.max()))


def draw(path, out):
    model = onnx.load(path)
    graph = model.graph
    random = numpy.random.default_rng(len(graph.node))
    sizes = made_here(graph)
    role = roles(graph)
    shapes = {n.input[0] for n in graph.node if n.op_type == "ConstantOfShape"}
    keep, weights = [], []
    for tensor in graph.initializer:
        old = numpy_helper.to_array(tensor)
        if tensor.name in shapes:
            continue
        if old.dtype == numpy.float32 and tensor.name in role:
            sizes[tensor.name] = list(old.shape)
        else:
            keep.append(tensor)
    # ConstantOfShape's result may be reshaped before a product reads it; its role is then that of the reshaped value.
    for node in graph.node:
        if node.op_type == "Reshape" and node.input[0] in sizes:
            role[node.input[0]] = role.get(node.output[0], ("", 0, False))
    for name, shape in sizes.items():
        weights.append(numpy_helper.from_array(drawn(random, role.get(name, ("", 0, False)), shape).astype(numpy.float32), name))
    nodes = [n for n in graph.node if n.op_type != "ConstantOfShape"]
    gone = shapes | set(sizes) | {t.name for t in keep}
    inputs = [i for i in graph.input if i.name not in gone]
    made = helper.make_graph(nodes, graph.name, inputs, list(graph.output), keep + weights)
    result = helper.make_model(made, producer_name="draw.py", ir_version=8, opset_imports=model.opset_import)
    keep_case(result, out, random)


def main():
    light, out, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    for path in sorted(glob.glob(os.path.join(light, "light_*.onnx"))):
        name = os.path.basename(path)[len("light_"):-len(".onnx")]
        if not names or name in names:
            draw(path, os.path.join(out, name))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main()
