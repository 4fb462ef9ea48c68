"""The `vietocr` family: its models, weight files and configs."""
