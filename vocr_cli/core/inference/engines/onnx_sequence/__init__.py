"""Models that write step by step, whole in ONNX files: no torch but for beams."""
