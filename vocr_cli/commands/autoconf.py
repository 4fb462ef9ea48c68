"""`vocr autoconf`: writes a training config, or one for fine-tuning."""

from __future__ import annotations

import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vocr_cli.core.errors import ConfigError, DataError, FontError
from vocr_cli.core.machine.torch_available import need_torch
from vocr_cli.options import INPUT, MACHINE, OUTPUT, Device, DeviceOpt
from vocr_cli.terminal import console

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vocr_cli.core.autoconf.draft import Plan
    from vocr_cli.core.autoconf.facts import DataFacts, LoaderTiming, ProbeResult
    from vocr_cli.core.autoconf.planner import Measured
    from vocr_cli.core.config.tree import Config
    from vocr_cli.core.machine.hardware import Hardware
    from vocr_cli.core.machine.precision import DeviceName

PLAN = "The plan"

DataOpt = Annotated[
    list[Path] | None,
    typer.Option(
        "--data",
        metavar="LMDB",
        help="Lines to train on; may be repeated. Without it: rendered lines.",
        show_default=False,
        rich_help_panel=INPUT,
    ),
]
ArchitectureOpt = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="A new model, from random weights: `ctc`; `ctc-large`; `auto`, which takes `ctc-large` where a "
        "GPU meets many lines; or the shape, image settings and charset of a model, of a YAML config of "
        "vocr's or VietOCR's, or of a name of VietOCR's, such as `vgg_transformer`.",
        rich_help_panel=PLAN,
    ),
]
InitOpt = Annotated[
    str | None,
    typer.Option(
        "--init",
        metavar="MODEL",
        help="Plan to fine-tune these weights: embedded name or model file.",
        show_default=False,
        rich_help_panel=PLAN,
    ),
]
ReplayOpt = Annotated[
    float,
    typer.Option(
        "--replay",
        metavar="SHARE",
        min=0,
        max=0.95,
        help="With --init and --data: share of rendered lines among the training lines, so that print is "
        "not forgotten.",
        rich_help_panel=INPUT,
    ),
]
FontsOpt = Annotated[
    list[Path] | None,
    typer.Option(
        "--fonts",
        metavar="PATH",
        help="Font file or folder of rendered lines; may be repeated. Default: the system's.",
        show_default=False,
        rich_help_panel=INPUT,
    ),
]
MemoryOpt = Annotated[
    str | None,
    typer.Option(
        "--memory-limit",
        metavar="SIZE",
        help="Memory that training steps may take, of another card perhaps: 8GB, 7.5GiB, 800MB; a bare "
        "number counts GB. On a CPU: what the process grows by. Default: most of what is free.",
        show_default=False,
        rich_help_panel=MACHINE,
    ),
]
OutOpt = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Write the config to this new file instead of stdout.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
NoProbeOpt = Annotated[
    bool,
    typer.Option("--no-probe", help="Time nothing: choose by rules of thumb.", rich_help_panel=MACHINE),
]


def command(
    data: DataOpt = None,
    model: ArchitectureOpt = "auto",
    init: InitOpt = None,
    replay: ReplayOpt = 0.0,
    fonts: FontsOpt = None,
    device: DeviceOpt = Device.auto,
    memory_limit: MemoryOpt = None,
    out: OutOpt = None,
    no_probe: NoProbeOpt = False,
) -> None:
    """Write a training config for this machine and these lines, each chosen value with its reason.

    With --init, the config is one for fine-tuning.

    Real training steps are sized and timed first, some forty seconds at most: small ones give a model of the
    memory that steps take, then those that fit compete, then numbers of data workers. Validation lines are
    found where `vocr build-lmdb --valid-share` has put them.
    """
    _check_options(data, model, init, replay, fonts, out)
    need_torch("vocr autoconf")
    from vocr_cli.core.autoconf.draft import annotated_yaml
    from vocr_cli.core.autoconf.fine_tuning import FineTuning
    from vocr_cli.core.autoconf.planner import Measured, plan
    from vocr_cli.core.autoconf.read_data import read_data
    from vocr_cli.core.config.tree import parse_config
    from vocr_cli.core.machine.atomic_write import write_report
    from vocr_cli.core.machine.hardware import read_hardware
    from vocr_cli.core.machine.sizes import parse_size
    from vocr_cli.core.models.spec import resolve_model
    from vocr_cli.core.synth.fonts.fonts import find_fonts

    measured = Measured(limit_bytes=parse_size(memory_limit) if memory_limit else None)
    size, base = _start(model, init)
    if replay or fonts:
        find_fonts(fonts or ())  # fails now rather than when training starts
    facts = read_data(data, base or parse_config({}, "the defaults")) if data else None
    hardware = read_hardware(Path())
    chosen = _device(device, hardware)
    fine_tuning = FineTuning(init, replay, _read_start(init, facts, chosen)) if init else None
    make_plan = partial(
        plan, hardware, chosen, facts, base=base, size=size, fine_tuning=fine_tuning, fonts=fonts or ()
    )
    if not no_probe:
        measured = _measure(make_plan, measured, hardware, chosen, facts)
    final = make_plan(measured=measured)
    for note in final.notes:
        console.note(str(note))
    if base is not None and init is None and not resolve_model(model).is_config:
        _say_how_to_fine_tune(model, data or [])
    text = annotated_yaml(final, _heading(hardware, chosen))
    if out is None:
        console.result(text.rstrip("\n"))
        return
    write_report(out, text)
    console.note(f"Wrote {out}. Next: vocr train {out}{f' --init {init}' if init else ''}")


def _say_how_to_fine_tune(model: str, data: list[Path]) -> None:
    """What was planned with a file of weights is a training from random ones."""
    command = shlex.join(
        ["vocr", "autoconf", *(word for path in data for word in ("--data", str(path))), "--init", model]
    )
    console.note(
        f"Planned: a new model of the shape of {model}, from random weights. To fine-tune {model}: {command}"
    )


def _check_options(
    data: list[Path] | None,
    model: str,
    init: str | None,
    replay: float,
    fonts: list[Path] | None,
    out: Path | None,
) -> None:
    """Refuses options that contradict each other, and to write over a file."""
    if init is not None and model != "auto":
        raise typer.BadParameter(f"--init {init} brings its model along: leave --model {model} out.")
    if replay and (init is None or not data):
        raise typer.BadParameter("--replay mixes rendered lines into those of --data, to fine-tune --init.")
    if fonts and data and not replay:
        raise typer.BadParameter(
            "--fonts is for rendered lines; beside --data they need --init and --replay."
        )
    if out is not None and out.exists():
        raise ConfigError(f"{out} exists.", "Remove it, or name another file.")


def _read_start(init: str, data: DataFacts | None, device: DeviceName) -> float | None:
    """How much of the data the weights read wrong; None: there is none, or it cannot be read."""
    from vocr_cli.core.autoconf.read_model import read_start

    if data is None:
        return None
    with console.progress(f"Reading lines with {init}", None) as counter:
        return read_start(init, data, device, counter.advance)


def _start(model: str, init: str | None) -> tuple[str, Config | None]:
    """The size of a new model, or the config that `--init` or `--model` fixes; then the size is empty."""
    from vocr_cli.core.autoconf.model_size import CTC_SIZES
    from vocr_cli.core.autoconf.read_model import architecture_config, weights_config

    if init is not None:
        return "", weights_config(init)
    return (model, None) if model in ("auto", *CTC_SIZES) else ("", architecture_config(model))


def _measure(
    make_plan: Callable[..., Plan],
    measured: Measured,
    hardware: Hardware,
    device: DeviceName,
    data: DataFacts | None,
) -> Measured:
    """Tries steps on the plan that rules make, then whole runs on the plan that the steps make."""
    from vocr_cli.core.autoconf.time_loader import time_loader
    from vocr_cli.core.autoconf.time_steps import free_threads, probe_steps

    threads = free_threads(hardware) if device == "cpu" else 0
    if 0 < threads < hardware.torch_threads:
        busy = f"Other programs are busy: timed on {threads} of {hardware.torch_threads} threads."
        console.warning(f"{busy} Run it again on an idle machine.")
    rough = make_plan().config
    probes: list[ProbeResult] = []
    with console.progress("Trying training steps", None, "kinds of step") as counter:
        for probe in probe_steps(
            rough, hardware, device, data, threads=threads, limit_bytes=measured.limit_bytes
        ):
            probes.append(probe)
            counter.advance()
    _show_probes(probes)
    measured = replace(measured, probes=probes)
    by_steps = make_plan(measured=measured)
    timings: list[LoaderTiming] = []
    try:
        with console.progress("Trying data workers", None, "runs") as counter:
            for timing in time_loader(by_steps.config, hardware, device, data, by_steps.step):
                timings.append(timing)
                counter.advance()
    except (DataError, FontError) as error:
        console.warning(f"Data workers were not tried: {error.problem}")
    return replace(measured, timings=timings)


def _device(requested: Device, hardware: Hardware) -> DeviceName:
    from vocr_cli.core.machine.precision import choose_device

    if requested is Device.mps:
        return choose_device("mps")
    if requested is Device.cuda and not hardware.gpus:
        raise ConfigError(
            f"No CUDA device for torch {hardware.torch_version}.",
            "Use --device cpu, or install a CUDA build of torch and its driver.",
        )
    return "cuda" if hardware.gpus and requested is not Device.cpu else "cpu"


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
        (f"{probe.settings.pixels:,}", probe.settings.amp, probe.settings.recompute.name.lower(),
         probe.failure or f"{probe.lines:,}", f"{probe.step_ms:,.0f}",
         f"{probe.pixels_per_second / 1e6:.2f}", f"{probe.peak_bytes / 1e9:.2f}",
         "common" if probe.typical else "extreme")
        for probe in probes
    ]  # fmt: skip
    columns = ("px a step", "amp", "recompute", "lines", "ms a step", "M px/s", "peak GB", "widths")
    console.table(
        "Training steps, tried on random images of the data's widths", columns, rows, to_stderr=True
    )
