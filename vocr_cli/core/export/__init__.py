"""Models for elsewhere: ONNX, VietOCR, and smaller ones."""
