"""What reads a batch: torch, ONNX Runtime or OpenVINO."""
