"""vocr autoconf."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vocr_cli import console
from vocr_cli.core.errors import ConfigError, ModelError
from vocr_cli.options import Device, DeviceOpt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vocr_cli.core.config import Config
    from vocr_cli.core.hardware import Hardware
    from vocr_cli.core.trials import DeviceName, ProbeResult

DataOpt = Annotated[
    list[Path] | None,
    typer.Option(
        "--data", help="An LMDB to train on; may be given several times. Without it: rendered lines."
    ),
]
ArchitectureOpt = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="`ctc`, or a model whose architecture, image settings and charset the run shall have.",
    ),
]
MemoryOpt = Annotated[
    float | None,
    typer.Option(
        "--memory-limit", min=0.01, help="Memory for training steps, in GB. Default: most of what is free."
    ),
]
OutOpt = Annotated[
    Path | None, typer.Option("--out", "-o", help="Write the config to this new file instead of stdout.")
]
NoProbeOpt = Annotated[bool, typer.Option("--no-probe", help="Time nothing: choose by rules of thumb.")]


def command(
    data: DataOpt = None,
    model: ArchitectureOpt = "ctc",
    device: DeviceOpt = Device.auto,
    memory_limit: MemoryOpt = None,
    out: OutOpt = None,
    no_probe: NoProbeOpt = False,
) -> None:
    """Write a training config for this machine and these lines, each chosen value with its reason.

    A few real training steps are timed and sized first (half a minute at most). Validation lines are found
    where `vocr build-lmdb --valid-share` has put them.
    """
    if out is not None and out.exists():
        raise ConfigError(f"{out} exists.", "Remove it, or name another file.")
    from vocr_cli.core.config import parse_config
    from vocr_cli.core.hardware import read_hardware
    from vocr_cli.core.planner import annotated_yaml, plan
    from vocr_cli.core.probe import free_threads, probe_steps, read_data

    given = None if model == "ctc" else _config_of(model)
    base = given or parse_config({}, "the defaults")
    facts = read_data(data, base) if data else None
    hardware = read_hardware(Path())
    chosen = _device(device, hardware)
    probes: list[ProbeResult] = []
    if not no_probe:
        threads = free_threads(hardware) if chosen == "cpu" else 0
        if 0 < threads < hardware.torch_threads:
            busy = f"Other programs are busy: timed on {threads} of {hardware.torch_threads} threads."
            console.warning(f"{busy} Run it again on an idle machine.")
        with console.progress("Timing training steps", None, "px budgets") as counter:
            for probe in probe_steps(base, hardware, chosen, facts, threads):
                probes.append(probe)
                counter.advance()
        _show_probes(probes)
    limit_bytes = None if memory_limit is None else int(memory_limit * 1e9)
    made = plan(hardware, chosen, facts, base=given, probes=probes, limit_bytes=limit_bytes)
    for note in made.notes:
        console.note(note)
    text = annotated_yaml(made, _heading(hardware, chosen))
    if out is None:
        console.result(text.rstrip("\n"))
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
        init = f" --init {model}" if given else ""
        console.note(f"Wrote {out}. Next: vocr train {out}{init}")


def _config_of(model: str) -> Config:
    from vocr_cli.core.config import parse_config
    from vocr_cli.core.models.files import find_model, read_description

    try:
        path = find_model(model)
        description = read_description(path)
    except ModelError as error:
        raise ModelError(error.problem, f"{error.fix} Or --model ctc, for a model from scratch.") from None
    shared = {
        "model": description["model"],
        "image": description["image"],
        "charset": {"characters": description["charset"]},
    }
    return parse_config(shared, str(path))


def _device(wanted: Device, hardware: Hardware) -> DeviceName:
    if wanted is Device.cuda and not hardware.gpus:
        raise ConfigError(
            f"No CUDA device for torch {hardware.torch_version}.",
            "Use --device cpu, or install a CUDA build of torch and its driver.",
        )
    return "cuda" if hardware.gpus and wanted is not Device.cpu else "cpu"


def _heading(hardware: Hardware, device: DeviceName) -> list[str]:
    flags = ", ".join(sorted(hardware.cpu_flags)) or "none that matter"
    lines = [
        "Written by `vocr autoconf`; a value it has chosen bears its reason, the others are defaults.",
        f"CPU: {hardware.cpu_model}, {hardware.cores} cores, flags: {flags}; torch {hardware.torch_version}",
    ]
    disk = f"{hardware.disk_free_bytes / 1e9:.0f} GB of disk free"
    if hardware.available_bytes is None:
        lines.append(f"Memory: not known, {disk}")
    else:
        lines.append(f"Memory: {hardware.available_bytes / 1e9:.1f} GB available, {disk}")
    for gpu in hardware.gpus:
        kind = f"capability {gpu.capability[0]}.{gpu.capability[1]}, {'bf16' if gpu.bf16 else 'no bf16'}"
        lines.append(f"GPU: {gpu.name}, {gpu.memory_bytes / 1e9:.0f} GB, {kind}")
    return [*lines, f"Planned for: {device}"]


def _show_probes(probes: Sequence[ProbeResult]) -> None:
    rows = [
        (f"{probe.pixels:,}", probe.amp, probe.failure or f"{probe.lines:,}", f"{probe.step_ms:,.0f}",
         f"{probe.pixels_per_second / 1e6:.2f}", f"{probe.peak_bytes / 1e9:.2f}")
        for probe in probes
    ]  # fmt: skip
    columns = ("px a step", "amp", "lines", "ms a step", "M px/s", "peak GB")
    console.table(
        "Training steps, timed on random images of the data's widths", columns, rows, to_stderr=True
    )
