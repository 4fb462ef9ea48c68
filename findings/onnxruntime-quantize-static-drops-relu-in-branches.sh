#!/usr/bin/env bash
# quantize_static of ONNX Runtime takes a ReLU out where the QuantizeLinear behind it clips at zero, but an If reads the tensor before
# that QuantizeLinear, so its branch gets negative numbers. One would expect rounding errors; met by who quantises what torch.onnx.export
# made of squeeze(2) on a tensor of unknown height, which is an If (onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 'numpy<3'
cat >probe.py <<'PY'
import logging
from importlib.metadata import version

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

logging.disable(logging.WARNING)
ort.set_default_logger_severity(3)
print(*(f"{name} {version(name)}" for name in ("onnxruntime", "onnx", "numpy")))

rng = np.random.default_rng(0)
shape = ["n", 8, 16, 16]


def branch(op):
    """One node that reads the ReLU's output out of the graph around it."""
    return helper.make_graph(
        [helper.make_node(op, ["y"], ["z"])], op, [], [helper.make_tensor_value_info("z", TensorProto.FLOAT, shape)]
    )


def model(with_branch):
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), helper.make_node("Relu", ["c"], ["y"])]
    if with_branch:
        nodes += [
            helper.make_node("Shape", ["y"], ["sizes"]),
            helper.make_node("Gather", ["sizes", "one"], ["channels"]),
            helper.make_node("Equal", ["channels", "eight"], ["always"]),
            helper.make_node("If", ["always"], ["out"], then_branch=branch("Identity"), else_branch=branch("Neg")),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["y"], ["out"]))
    constants = {"w": rng.normal(size=(8, 1, 3, 3)).astype(np.float32), "one": np.array(1), "eight": np.array(8)}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 16, 16])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


inputs = rng.normal(size=(20, 1, 1, 16, 16)).astype(np.float32)


class Calibration(CalibrationDataReader):
    def __init__(self):
        self.left = iter(inputs)

    def get_next(self):
        values = next(self.left, None)
        return None if values is None else {"x": values}


def run(file):
    return ort.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"x": inputs[0]})[0]


least = {}
for with_branch in (False, True):
    rng = np.random.default_rng(1)
    onnx.save(model(with_branch), "float.onnx")
    quantize_static(
        "float.onnx", "int8.onnx", Calibration(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )
    exact, rounded = run("float.onnx"), run("int8.onnx")
    relus = sum(node.op_type == "Relu" for node in onnx.load("int8.onnx").graph.node)
    least[with_branch] = rounded.min()
    print(
        f"{'read by an If' if with_branch else 'read by a node'}: {relus} Relu left, least value {exact.min():.2f} in float and "
        f"{rounded.min():.2f} in int8, mean difference {np.abs(exact - rounded).mean():.3f}"
    )
assert least[False] >= 0 and least[True] < -1, "ReLU holds in branches now"
PY
env/bin/python probe.py
