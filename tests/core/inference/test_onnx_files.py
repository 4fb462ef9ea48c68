"""The facts of ONNX files: by the onnx package, or as far as a runtime knows them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

import vocr_cli
from vocr_cli.core.errors import DependencyError, ModelError
from vocr_cli.core.inference import onnx_files
from vocr_cli.core.inference.engines import onnx as onnx_engines
from vocr_cli.core.inference.onnx_files import onnx_description, read_onnx

EMBEDDED = Path(vocr_cli.__file__).parent / "assets" / "vi-small.int8.onnx"
RUNTIMES = ("onnxruntime", "openvino")


def without_onnx(monkeypatch: pytest.MonkeyPatch, *runtimes: str) -> None:
    """As where the onnx package is not installed, and of the runtimes at most these are."""
    monkeypatch.setattr(onnx_files, "find_spec", lambda name: None)
    monkeypatch.setattr(onnx_engines, "RUNTIMES", runtimes)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_runtime_gives_the_same_description_as_the_onnx_package(
    runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip(runtime)
    by_package = read_onnx(EMBEDDED)
    assert by_package.opset and by_package.stored_numbers and "vocr" not in str(by_package.producer)
    without_onnx(monkeypatch, runtime)
    by_runtime = read_onnx(EMBEDDED)
    assert by_runtime.metadata == by_package.metadata
    assert onnx_description(EMBEDDED, by_runtime.metadata)["precision"] == "int8"
    assert (by_runtime.producer, by_runtime.opset, by_runtime.stored_numbers) == (None, None, None)


@pytest.mark.skipif(not any(map(find_spec, RUNTIMES)), reason="no runtime for ONNX files is installed")
def test_inspect_says_what_it_does_not_know_without_the_onnx_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from vocr_cli.core.inspection import inspect_path

    without_onnx(monkeypatch, *RUNTIMES)
    facts = inspect_path(str(EMBEDDED)).facts
    assert facts["precision"] == "int8" and facts["charset"]["characters"] > 200
    assert "vocr-cli[onnx]" in facts["numbers stored"] and "vocr-cli[onnx]" in facts["written by"]


def test_without_package_and_runtime_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    without_onnx(monkeypatch)
    with pytest.raises(DependencyError) as problem:
        read_onnx(EMBEDDED)
    assert "pip install" in problem.value.fix


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_damaged_file_is_refused_by_a_runtime_too(
    runtime: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip(runtime)
    without_onnx(monkeypatch, runtime)
    (tmp_path / "x.onnx").write_bytes(EMBEDDED.read_bytes()[:1000])
    with pytest.raises(ModelError, match="not an ONNX model"):
        read_onnx(tmp_path / "x.onnx")
