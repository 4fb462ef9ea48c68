"""vocr infer from storage that answers like a far one, late and in pieces: nothing else is lost."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from conftest import line_image
from typer.testing import CliRunner

from vocr_cli.app import app

runner = CliRunner()


def trickle(pipe: Path, content: bytes) -> None:
    """Writes a file's bytes, a few at a time, to whoever opens the pipe."""
    with pipe.open("wb", buffering=0) as stream:
        for start in range(0, len(content), 400):
            stream.write(content[start : start + 400])
            time.sleep(0.01)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("workers", [0, 3])
def test_images_that_come_in_pieces_are_read_whole(tmp_path: Path, tiny_model: Path, workers: int) -> None:
    writers, contents = [], {}
    for number in range(5):
        file = tmp_path / f"{number}.{'png' if number % 2 else 'jpg'}"
        line_image(number).convert("RGB").save(file)
        contents[file] = file.read_bytes()
    usual = runner.invoke(app, ["infer", *map(str, contents), "--model", str(tiny_model)])
    broken = list(contents)[2]
    contents[broken] = contents[broken][: len(contents[broken]) // 2]  # the connection is lost half-way
    for file, content in contents.items():
        file.unlink()
        os.mkfifo(file)
        writers.append(threading.Thread(target=trickle, args=(file, content), daemon=True))
        writers[-1].start()
    found = runner.invoke(
        app, ["infer", *map(str, contents), "--model", str(tiny_model), "--workers", str(workers)]
    )
    for writer in writers:
        writer.join(10)
    assert found.exit_code == 3 and f"{broken}: damaged" in found.stderr.replace("\n", " ")
    rows, wanted = found.stdout.splitlines(), usual.stdout.splitlines()
    assert rows == [*wanted[:2], *wanted[3:]]
