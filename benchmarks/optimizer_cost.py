"""What each optimizer's own part of a training step takes: CPU time on one thread, vi-small's model.

    python benchmarks/optimizer_cost.py [--lines 24] [--width 400] [--rounds 5]

bf16 where the CPU has it. Turns about, the first of each to warm up; medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import get_args

import torch

from vocr_cli.core.config.tree import OptimConfig
from vocr_cli.core.machine.memory import keep_heap, raise_onednn_cache
from vocr_cli.core.machine.precision import good_precisions
from vocr_cli.core.models.files import load_model
from vocr_cli.core.training.optim.optimizer import make_optimizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lines", type=int, default=24)
    parser.add_argument("--width", type=int, default=400, help="px of each line")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    raise_onednn_cache()
    keep_heap()
    dtype = torch.bfloat16 if good_precisions("cpu")[-1] == "bf16" else torch.float32
    module = load_model("vi-small").module.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.rand(options.lines, 1, 40, options.width)
    columns = torch.full((options.lines,), options.width // 4)

    def gradients() -> None:
        module.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            logits = module(images, columns)
        logits.float().square().mean().backward()

    parts: dict[str, Callable[[], object]] = {"forward and backward": gradients}
    for name in get_args(OptimConfig.model_fields["name"].annotation):
        parts[name] = make_optimizer(module, OptimConfig(name=name, lr=1e-6), dtype).step
    taken: dict[str, list[float]] = {name: [] for name in parts}
    for number in range(options.rounds + 1):
        for name, part in parts.items():
            began = time.thread_time()
            part()
            if number:
                taken[name].append(1000 * (time.thread_time() - began))
    for name, own in taken.items():
        print(f"{name}: {statistics.median(own):.1f} ms of CPU time a step of {options.lines} lines, {dtype}")


if __name__ == "__main__":
    main()
