"""vocr autoconf."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vocr_cli.core.errors import ConfigError, DataError, FontError, ModelError
from vocr_cli.options import Device, DeviceOpt
from vocr_cli.terminal import console

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vocr_cli.core.autoconf.candidates import DataFacts, LoadResult, ProbeResult
    from vocr_cli.core.autoconf.planner import Measured, Plan
    from vocr_cli.core.config.tree import Config
    from vocr_cli.core.machine.hardware import Hardware
    from vocr_cli.core.machine.precision import DeviceName

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
        help="`auto`: `ctc`, or `ctc-large` where a GPU meets many lines. Or one of these; a config, "
        "vocr's or VietOCR's, as a YAML file or by VietOCR's name (`vgg_transformer` and the like); a model "
        "whose architecture, image settings and charset the run shall have.",
    ),
]
MemoryOpt = Annotated[
    str | None,
    typer.Option(
        "--memory-limit",
        metavar="SIZE",
        help="What training steps may take at most, of another card perhaps: 8GB, 7.5GiB, 800MB; a bare "
        "number counts GB. On a CPU: what the process grows by. Default: most of what is free.",
        show_default=False,
    ),
]
OutOpt = Annotated[
    Path | None, typer.Option("--out", "-o", help="Write the config to this new file instead of stdout.")
]
NoProbeOpt = Annotated[bool, typer.Option("--no-probe", help="Time nothing: choose by rules of thumb.")]


def command(
    data: DataOpt = None,
    model: ArchitectureOpt = "auto",
    device: DeviceOpt = Device.auto,
    memory_limit: MemoryOpt = None,
    out: OutOpt = None,
    no_probe: NoProbeOpt = False,
) -> None:
    """Write a training config for this machine and these lines, each chosen value with its reason.

    Real training steps are sized and timed first, some forty seconds at most: small ones give a model of the
    memory that steps take, then those that fit compete, then numbers of data workers. Validation lines are
    found where `vocr build-lmdb --valid-share` has put them.
    """
    if out is not None and out.exists():
        raise ConfigError(f"{out} exists.", "Remove it, or name another file.")
    from vocr_cli.core.autoconf.candidates import CTC_SIZES
    from vocr_cli.core.autoconf.planner import Measured, annotated_yaml, plan
    from vocr_cli.core.autoconf.read_data import read_data
    from vocr_cli.core.config.tree import parse_config
    from vocr_cli.core.machine.hardware import read_hardware
    from vocr_cli.core.machine.sizes import parse_size
    from vocr_cli.core.models.spec import resolve_model

    limit = parse_size(memory_limit) if memory_limit else None
    size = model if model in ("auto", *CTC_SIZES) else ""
    given = None if size else _config_of(model)
    facts = read_data(data, given or parse_config({}, "the defaults")) if data else None
    hardware = read_hardware(Path())
    chosen = _device(device, hardware)
    planned = partial(plan, hardware, chosen, facts, base=given, size=size)
    measured = Measured(limit_bytes=limit)
    if not no_probe:
        measured = _measure(planned, measured, hardware, chosen, facts)
    made = planned(measured=measured)
    for note in made.notes:
        console.note(note)
    text = annotated_yaml(made, _heading(hardware, chosen))
    if out is None:
        console.result(text.rstrip("\n"))
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
        init = "" if given is None or resolve_model(model).is_config else f" --init {model}"
        console.note(f"Wrote {out}. Next: vocr train {out}{init}")


def _measure(
    planned: Callable[..., Plan],
    measured: Measured,
    hardware: Hardware,
    device: DeviceName,
    data: DataFacts | None,
) -> Measured:
    """Tries steps on the plan that rules make, then whole runs on the plan that the steps make."""
    from vocr_cli.core.autoconf.time_loader import probe_loads
    from vocr_cli.core.autoconf.time_steps import free_threads, probe_steps

    threads = free_threads(hardware) if device == "cpu" else 0
    if 0 < threads < hardware.torch_threads:
        busy = f"Other programs are busy: timed on {threads} of {hardware.torch_threads} threads."
        console.warning(f"{busy} Run it again on an idle machine.")
    rough = planned().config
    probes: list[ProbeResult] = []
    with console.progress("Trying training steps", None, "kinds of step") as counter:
        for probe in probe_steps(rough, hardware, device, data, threads, measured.limit_bytes):
            probes.append(probe)
            counter.advance()
    _show_probes(probes)
    measured = replace(measured, probes=probes)
    made = planned(measured=measured)
    loads: list[LoadResult] = []
    try:
        with console.progress("Trying data workers", None, "runs") as counter:
            for load in probe_loads(made.config, hardware, device, data, made.step):
                loads.append(load)
                counter.advance()
    except (DataError, FontError) as error:
        console.warning(f"Data workers were not tried: {error.problem}")
    return replace(measured, loads=loads)


def _config_of(model: str) -> Config:
    """The config that a YAML file or a model file gives; the defaults where they are silent."""
    from vocr_cli.core.autoconf.candidates import CTC_SIZES
    from vocr_cli.core.models.files import config_of
    from vocr_cli.core.models.vietocr.yaml_config import named_configs

    try:
        return config_of(model)
    except ModelError as error:
        fix = f"{error.fix} Or --model {', '.join((*CTC_SIZES, *named_configs()))}, for a model from scratch."
        raise ModelError(error.problem, fix) from None


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
        (f"{probe.trial.pixels:,}", probe.trial.amp, "all" if probe.trial.recompute else "off",
         probe.failure or f"{probe.lines:,}", f"{probe.step_ms:,.0f}",
         f"{probe.pixels_per_second / 1e6:.2f}", f"{probe.peak_bytes / 1e9:.2f}",
         "common" if probe.typical else "extreme")
        for probe in probes
    ]  # fmt: skip
    columns = ("px a step", "amp", "recompute", "lines", "ms a step", "M px/s", "peak GB", "widths")
    console.table(
        "Training steps, tried on random images of the data's widths", columns, rows, to_stderr=True
    )
