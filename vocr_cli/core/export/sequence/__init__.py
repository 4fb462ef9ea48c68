"""VietOCR's models as ONNX files: a graph for the line, a graph for one step of the decoder."""
