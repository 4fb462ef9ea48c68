"""The floating-point formats as torch has them; int8 is a format of files, no dtype of tensors here."""

import torch

TORCH_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
