"""Reading on a Ray cluster of two workers on this machine: the local readings, whatever dies."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import line_image
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.errors import VocrError
from vocr_cli.core.inference import Recognizer, read_all
from vocr_cli.core.inference.inputs.sources import find_lines
from vocr_cli.core.inference.ray import engine as ray_engine
from vocr_cli.core.inference.ray import pieces as ray_pieces
from vocr_cli.core.inference.ray.engine import read_with_ray
from vocr_cli.core.inference.recognizer_options import RecognizerOptions

runner = CliRunner()


def test_without_ray_the_error_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    monkeypatch.setitem(sys.modules, "ray.data", None)
    result = runner.invoke(app, ["infer", str(tmp_path), "--engine", "ray"])
    assert "vocr-cli[ray]" in str(result.exception) and result.exit_code == 1


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    pytest.importorskip("ray.data", reason="Ray Data is not installed")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 lines, two of which cannot be read."""
    folder = tmp_path_factory.mktemp("ray")
    for number in range(200):
        line_image(number, 60 + 40 * (number % 5)).save(folder / f"{number}.png")
    for number in (7, 150):
        (folder / f"{number}.png").write_bytes(b"nothing")
    return folder


def same_as_here(results: list, folder: Path, model: Path) -> None:  # type: ignore[type-arg]
    recognizer = Recognizer.load(model, "cpu", "fp32", threads=1)
    expected = list(read_all(recognizer, find_lines([folder])))
    assert [one.path for one in results] == [one.path for one in expected] and len(expected) == 200
    for one, here in zip(results, expected, strict=True):
        assert str(one.error) == str(here.error)
        if here.reading is not None:
            assert one.reading.text == here.reading.text
            # Batches are of other sizes, which moves the last digits of floats.
            assert one.reading.confidence == pytest.approx(here.reading.confidence, abs=1e-5)


@pytest.mark.slow
def test_two_workers_read_as_one_process_does(
    cluster: None, folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.tsv"
    options = ["--model", str(tiny_model), "--precision", "fp32", "--out", str(out)]
    result = runner.invoke(app, ["infer", str(folder), *options, "--engine", "ray", "--workers", "2"])
    assert result.exit_code == 3, result.output
    rows = [line.split("\t") for line in out.read_text(encoding="utf-8").splitlines()]
    options = RecognizerOptions(model=str(tiny_model), precision="fp32")
    results = list(read_with_ray([folder], options, 2))
    same_as_here(results, folder, tiny_model)
    assert [row[:2] for row in rows] == [[one.path, one.reading.text] for one in results if one.reading]


@pytest.mark.slow
def test_an_actor_killed_in_mid_run_loses_nothing(
    cluster: None, folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
    monkeypatch.setattr(ray_pieces, "PIECE_LINES", 8)
    monkeypatch.setattr(ray_engine, "PieceReader", mortal(tmp_path))
    options = RecognizerOptions(model=str(tiny_model), precision="fp32")
    results = list(read_with_ray([folder], options, 2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["after-8", "before-3"]
    same_as_here(results, folder, tiny_model)


def mortal(folder: Path) -> type[ray_engine.PieceReader]:
    """Actors: one is killed before it reads its third piece, one when it has handed over its eighth."""

    class Mortal(ray_engine.PieceReader):
        calls = 0

        def __call__(self, batch):  # type: ignore[no-untyped-def]
            self.calls += 1
            self._die("before-3", self.calls >= 3)
            yield from super().__call__(batch)
            self._die("after-8", self.calls >= 8)

        def _die(self, name: str, due: bool) -> None:
            if due and not (folder / name).exists():
                (folder / name).touch()
                os.kill(os.getpid(), signal.SIGKILL)

    return Mortal


@pytest.mark.slow
def test_a_problem_of_an_actor_comes_back_with_its_remedy(
    cluster: None, folder: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"nothing")
    with pytest.raises(VocrError, match="not a model file") as problem:
        list(read_with_ray([folder], RecognizerOptions(model=str(damaged), precision="fp32"), 2))
    assert problem.value.fix
