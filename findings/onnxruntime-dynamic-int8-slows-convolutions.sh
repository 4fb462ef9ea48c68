#!/usr/bin/env bash
# quantize_dynamic of ONNX Runtime with its defaults makes a convolutional line recogniser several times slower than in fp32; with unsigned instead
# of signed weights it is about as fast as fp32, and only static quantization is faster. One would expect int8 to be faster, or at least the sign
# of the weights not to matter; met by who exports a CRNN for CPUs (onnxruntime 1.32.0, onnx 1.22.0, an x86 processor with VNNI).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check onnxruntime==1.32.0 onnx==1.22.0 numpy==2.4.6 sympy==1.14.0
cat >probe.py <<'PY'
import logging
import statistics
import time
from importlib.metadata import version

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static

print(*(f"{name} {version(name)}" for name in ("onnxruntime", "onnx")))
logging.disable(logging.WARNING)
dice = np.random.default_rng(0)
nodes, weights, last, channels = [], [], "line", 1
for number, (wide, stride) in enumerate([(32, (2, 2)), (64, (2, 2)), (64, (1, 1)), (128, (2, 1)), (128, (1, 1)), (128, (1, 1))]):
    kernel = dice.standard_normal((wide, channels, 3, 3)) * (2 / (9 * channels)) ** 0.5
    weights += [numpy_helper.from_array(kernel.astype(np.float32), f"w{number}")]
    weights += [numpy_helper.from_array(np.zeros(wide, np.float32), f"b{number}")]
    inputs = [last, f"w{number}", f"b{number}"]
    nodes.append(helper.make_node("Conv", inputs, [f"c{number}"], kernel_shape=[3, 3], pads=[1] * 4, strides=stride))
    nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"]))
    last, channels = f"r{number}", wide
weights.append(numpy_helper.from_array(np.array([2]), "rows"))
weights.append(numpy_helper.from_array(dice.standard_normal((channels, 230)).astype(np.float32) / 10, "classes"))
nodes.append(helper.make_node("ReduceMean", [last, "rows"], ["columns"], keepdims=0))
nodes.append(helper.make_node("Transpose", ["columns"], ["features"], perm=[0, 2, 1]))
nodes.append(helper.make_node("MatMul", ["features", "classes"], ["scores"]))
line = helper.make_tensor_value_info("line", TensorProto.FLOAT, [1, 1, 32, "width"])
scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, "columns", 230])
graph = helper.make_graph(nodes, "recogniser", [line], [scores], weights)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), "fp32.onnx")
pixels = {"line": dice.standard_normal((1, 1, 32, 320)).astype(np.float32)}


class Lines(CalibrationDataReader):
    def __init__(self):
        self.left = [pixels] * 4

    def get_next(self):
        return self.left.pop() if self.left else None


quantize_dynamic("fp32.onnx", "dynamic, signed weights (default).onnx")
quantize_dynamic("fp32.onnx", "dynamic, unsigned weights.onnx", weight_type=QuantType.QUInt8)
quantize_static("fp32.onnx", "static, signed weights.onnx", Lines(), per_channel=True)
options = ort.SessionOptions()
options.intra_op_num_threads = 1
names = ["fp32", "dynamic, signed weights (default)", "dynamic, unsigned weights", "static, signed weights"]
sessions = {name: ort.InferenceSession(f"{name}.onnx", options, providers=["CPUExecutionProvider"]) for name in names}
seconds = {name: [] for name in names}
for turn in range(55):
    for name, session in sessions.items():
        began = time.perf_counter()
        session.run(None, pixels)
        if turn >= 5:
            seconds[name].append(time.perf_counter() - began)
medians = {name: statistics.median(taken) for name, taken in seconds.items()}
for name, taken in medians.items():
    print(f"{name}: {1000 * taken:.2f} ms a line of 320 px, {taken / medians['fp32']:.2f} of fp32")
signed, unsigned = medians[names[1]], medians[names[2]]
assert signed > 1.5 * medians["fp32"] and signed > 1.5 * unsigned, "dynamic int8 with signed weights is not slow here"
assert medians[names[3]] < medians["fp32"], "static int8 is not faster here"
PY
env/bin/python probe.py
