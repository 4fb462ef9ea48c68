"""What oneDNN's kernel cache is worth in training: CPU time a line, lines of many widths, two capacities.

    python benchmarks/kernel_cache.py [--widths 101] [--pixels 100000] [--rounds 3]

vi-small's model in bf16 where the CPU has it, one thread; a step for each width from 160 px on, 8 px apart.
Each capacity has a process of its own; the first round, which prepares the kernels, does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

from vocr_cli.core.machine.memory import ONEDNN_CACHE_KERNELS, keep_heap

CAPACITIES = {"oneDNN's default": 1024, "vocr train": ONEDNN_CACHE_KERNELS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--widths", type=int, default=101)
    parser.add_argument("--pixels", type=int, default=100_000, help="of a step")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(milliseconds(options.widths, options.pixels, options.rounds)))
        return
    for name, capacity in CAPACITIES.items():
        command = [sys.executable, *sys.argv, "--one"]
        environment = os.environ | {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": str(capacity)}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        print(f"{name}, {capacity} kernels: {json.loads(done.stdout):.2f} ms of CPU time a line of 400 px")


def milliseconds(widths: int, pixels: int, rounds: int) -> float:
    """CPU time of a line of 400 px in the best round after the first."""
    import torch

    from vocr_cli.core.machine.precision import good_precisions
    from vocr_cli.core.models.files import load_model
    from vocr_cli.core.training.step.objective import ctc_loss

    torch.set_num_threads(1)
    keep_heap()
    bf16 = good_precisions("cpu")[-1] == "bf16"
    module = load_model("vi-small").module.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    height = 40

    def step(width: int) -> int:
        lines = max(1, pixels // (height * width))
        images = torch.rand(lines, 1, height, width).contiguous(memory_format=torch.channels_last)
        columns, lengths = torch.full((lines,), width // 4), torch.full((lines,), 20)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = module(images, columns)
        ctc_loss(logits, columns, torch.randint(1, 200, (lines, 20)), lengths).mean().backward()
        return lines * width

    found = []
    for _ in range(rounds + 1):
        began = time.process_time()
        done = sum(step(160 + 8 * number) for number in range(widths))
        found.append(1000 * (time.process_time() - began) * 400 / done)
    return min(found[1:])


if __name__ == "__main__":
    main()
