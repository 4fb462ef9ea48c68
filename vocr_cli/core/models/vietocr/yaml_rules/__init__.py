"""What VietOCR makes of its YAML files: known keys, a base beside a file, the vocab, values it refuses."""
