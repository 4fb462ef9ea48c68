"""What several test modules build: a tiny model, line images, annotation files, databases of them."""

from __future__ import annotations

import ctypes
import io
import os
import sys
from collections.abc import Container, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from vocr_cli.terminal import console

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

ROOT = Path(__file__).parents[1]
FONTS = ROOT / "examples" / "fonts"
EXAMPLE_LINES = ROOT / "examples" / "lines"

# The same examples on every run, and no test that fails because the machine is busy.
settings.register_profile("vocr", derandomize=True, deadline=None)
settings.load_profile("vocr")

# Torch's threads of one worker spin while they wait for each other, and take the cores from the others:
# tests that train took three times as long side by side.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="A test that is skipped fails.")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _never_skipped((yield), item.config)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _never_skipped((yield), collector.config)


def _never_skipped(report: Report, config: pytest.Config) -> Report:
    """Whoever runs with --no-skips has installed all that tests need, and lacks hardware at most."""
    if config.getoption("--no-skips") and report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if "this CPU" not in reason:
            report.outcome, report.longrepr = "failed", f"{report.nodeid}: {reason}"
    return report


@pytest.fixture
def without_root_rights() -> Iterator[None]:
    """Permissions hold for root, too, who otherwise may read and write anywhere (capabilities of Linux)."""
    if os.name != "posix" or os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # the version with 64 bits, this thread
    rights = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable, then the upper halves
    assert libc.capget(header, rights) == 0
    overrides = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    lesser = (ctypes.c_uint32 * 6)(rights[0] & ~overrides, *rights[1:])
    assert libc.capset(header, lesser) == 0
    yield
    assert libc.capset(header, rights) == 0


@pytest.fixture(autouse=True, scope="session")
def _own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What tests time neither comes from the user's cache folder nor goes there."""
    os.environ["VOCR_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _console_as_at_the_start() -> Iterator[None]:
    """A command that was told to be quiet leaves the process so, which is at its end then."""
    yield
    console.begin()


@pytest.fixture(autouse=True)
def _small_numbers_stay() -> Iterator[None]:
    """A trainer has its process flush denormal numbers, on which hypothesis relies."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture
def without_torch() -> dict[str, str]:
    """The environment of a process that finds no torch, as after an install without the extra `train`."""
    folders = [str(ROOT / "tests" / "without_torch"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders))}


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file with random weights and random BatchNorm statistics, so that folding them shows."""
    import torch

    from vocr_cli.core.config.tree import CtcConfig, ImageConfig
    from vocr_cli.core.models.files import ModelFile, build_module, save_model
    from vocr_cli.core.text import Charset

    torch.manual_seed(0)
    config = CtcConfig(channels=(8, 8, 16), blocks=(0, 1, 1), hidden=32, column_blocks=1, heads=2, dropout=0)
    image, charset = ImageConfig(max_width_px=800), Charset()
    module = build_module(config, image, charset).eval()
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.2, 0.2)
            layer.running_var.uniform_(0.2, 1.0)
            layer.weight.data.uniform_(0.7, 1.3)
            layer.bias.data.uniform_(-0.2, 0.2)
        if isinstance(layer, torch.nn.LayerNorm):
            layer.weight.data.uniform_(0.7, 1.3)
            layer.bias.data.uniform_(-0.2, 0.2)
    # Random weights like one class for every column: without the mean, what is left tells lines apart.
    seen: list[torch.Tensor] = []
    hook = module.norm.register_forward_hook(lambda *call: seen.append(call[2].detach()))
    with torch.no_grad():
        lines = np.stack([np.array(line_image(seed).resize((96, 40))) for seed in range(16)])
        module(torch.from_numpy(lines)[:, None].float() / 255)
        hook.remove()
        module.head.weight.normal_(0, 0.3)
        module.head.bias.copy_(-module.head.weight @ seen[0].mean(dim=(0, 1)))
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(path, ModelFile(module, config, image, charset))
    return path


def line_image(seed: int, width: int = 90, height: int = 30) -> Image.Image:
    """Dark blocks on light ground: what a random model reads differs from seed to seed."""
    rng = np.random.default_rng(seed)
    coarse = (rng.random((6, max(1, width // 6))) < 0.5).astype(np.uint8) * 220 + 20
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST)


def line_png(seed: int, width: int = 90, height: int = 30) -> bytes:
    """`line_image` as a PNG file."""
    file = io.BytesIO()
    line_image(seed, width, height).save(file, "PNG")
    return file.getvalue()


def write_annotations(folder: Path, labels: Sequence[str], widths: Sequence[int] = (90,)) -> Path:
    """Lines 0.png, 1.png, … of these widths in turn, and the annotation file that lists them, train.txt."""
    for index in range(len(labels)):
        line_image(index, widths[index % len(widths)]).save(folder / f"{index}.png")
    rows = [f"{index}.png\t{label}\n" for index, label in enumerate(labels)]
    (folder / "train.txt").write_text("".join(rows), encoding="utf-8")
    return folder / "train.txt"


def assert_same(left: object, right: object, at: str = "", but: Container[str] = ()) -> None:
    """Nested tensors, numbers and words that are equal bit for bit, entries named in `but` left out."""
    import torch

    assert type(left) is type(right), at
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        assert torch.equal(left, right), at
    elif isinstance(left, dict) and isinstance(right, dict):
        assert left.keys() == right.keys(), at
        for key in left:
            if key not in but:
                assert_same(left[key], right[key], f"{at}.{key}", but)
    elif isinstance(left, list | tuple) and isinstance(right, list | tuple):
        assert len(left) == len(right), at
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            assert_same(one, other, f"{at}[{index}]", but)
    else:
        assert left == right or (left != left and right != right), at  # a NaN is no number, but itself


def write_config(folder: Path, tree: Mapping[str, object]) -> Path:
    """Writes settings to `config.yaml` in a folder; returns the file."""
    import yaml

    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(dict(tree), allow_unicode=True), encoding="utf-8")
    return path


def write_database(
    path: Path, labels: Sequence[str], widths: Sequence[int] = (90,), height: int = 30
) -> Path:
    """A database of lines of these widths in turn, their paths 0.png, 1.png, …."""
    from vocr_cli.core.data.lmdb.store import LineWriter, StoredLine

    with LineWriter(path) as writer:
        for index, label in enumerate(labels):
            width = widths[index % len(widths)]
            writer.add(StoredLine(line_png(index, width, height), label, f"{index}.png"), width, height)
    return path


@pytest.fixture(scope="session")
def lines_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve lines of five widths, a1.png to a12.png."""
    folder = tmp_path_factory.mktemp("lines")
    for number in range(1, 13):
        line_image(number, width=60 + 40 * (number % 5)).save(folder / f"a{number}.png")
    return folder
