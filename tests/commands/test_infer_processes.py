"""Reading by processes, as many lines are: the same readings, and no process is left over."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from child_processes import are_gone, children
from PIL import Image

from vocr_cli.core.data.lmdb.store import LineWriter, StoredLine
from vocr_cli.core.errors import VocrError
from vocr_cli.core.machine.processes import ForkedWorkers

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can fork safely")

EXAMPLES = sorted((Path(__file__).parents[2] / "examples/lines/images").glob("*"))
ENOUGH = 150


def started(*arguments: object) -> subprocess.Popen[str]:
    # Where the tests run as a shell's background job, Ctrl-C is ignored, and that is inherited.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "from vocr_cli.app import main; main()"
    command = [sys.executable, "-c", code, "infer", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finished(*arguments: object) -> str:
    run = started(*arguments)
    said = run.communicate()[1]
    assert run.returncode == 0, said
    return said


def folder_of(folder: Path, lines: int) -> Path:
    """Single words, which are soon read."""
    folder.mkdir()
    for number in range(min(lines, len(EXAMPLES))):
        with Image.open(EXAMPLES[number]) as line:
            line.crop((0, 0, 100, line.height)).save(folder / f"{number}.png")
    for number in range(len(EXAMPLES), lines):
        shutil.copy(folder / f"{number % len(EXAMPLES)}.png", folder / f"{number}.png")
    return folder


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A list that would take minutes."""
    listed = tmp_path / "listed.txt"
    listed.write_text("".join(f"{path}\n" for path in EXAMPLES) * 3000, encoding="utf-8")
    return listed


def workers_of(run: subprocess.Popen[str]) -> list[int]:
    deadline = time.monotonic() + 60
    while len(workers := children(run.pid)) < 2:
        assert run.poll() is None and time.monotonic() < deadline, "no processes"
        time.sleep(0.02)
    return workers


def test_processes_read_what_one_thread_reads(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "lines", ENOUGH)
    (folder / "7.png").write_bytes(b"no image")
    with LineWriter(tmp_path / "stored.lmdb") as writer:
        for path in EXAMPLES:
            writer.add(StoredLine(image=path.read_bytes(), text="x", path=path.name), 400, 40)
    written = []
    for threads in (1, 2):
        out = tmp_path / f"{threads}.jsonl"
        run = started(folder, tmp_path / "stored.lmdb", "--threads", threads, "--out", out)
        if threads == 2:
            workers_of(run)
        said = run.communicate()[1]
        assert "7.png" in said and "Traceback" not in said
        written.append(out.read_bytes())
    assert written[0] == written[1]
    assert written[0].count(b"\n") == ENOUGH + len(EXAMPLES)


def test_few_lines_fork_nothing() -> None:
    code = "import os\nos.fork = None\nfrom vocr_cli.app import main\nmain()"
    command = [sys.executable, "-c", code, "infer", *map(str, EXAMPLES), "--threads", "2"]
    run = subprocess.run(command, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr


def test_ctrl_c_ends_all_and_resume_goes_on(many: Path, tmp_path: Path) -> None:
    out = tmp_path / "read.tsv"
    run = started("--from-file", many, "--threads", "2", "--out", out)
    workers = workers_of(run)
    time.sleep(1.0)
    for process in (*workers, run.pid):  # as a terminal does
        os.kill(process, signal.SIGINT)
    said = run.communicate()[1]
    assert are_gone(workers)
    assert run.returncode == 130 and "Traceback" not in said and "--resume" in said


def test_killed_processes_are_told_of_and_resume_goes_on(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "lines", 1200)
    out = tmp_path / "read.tsv"
    run = started(folder, "--threads", "2", "--out", out)
    workers = workers_of(run)
    time.sleep(0.8)
    os.kill(workers[0], signal.SIGKILL)
    said = run.communicate()[1]
    assert run.returncode == 1 and "Traceback" not in said
    assert "was killed" in said and "--resume" in said
    assert are_gone(workers)
    finished(folder, "--threads", "2", "--out", out, "--resume")
    finished(folder, "--threads", "1", "--out", tmp_path / "whole.tsv")
    assert out.read_bytes() == (tmp_path / "whole.tsv").read_bytes()


def test_processes_of_a_killed_run_end(many: Path, tmp_path: Path) -> None:
    run = started("--from-file", many, "--threads", "2", "--out", tmp_path / "read.tsv")
    workers = workers_of(run)
    time.sleep(0.5)
    run.kill()
    run.communicate()
    assert are_gone(workers)


def test_errors_of_the_function_come_through() -> None:
    def fail(item: int) -> int:
        if item == 3:
            raise VocrError("three", "count on")
        return item

    with ForkedWorkers(fail, 2) as workers:
        results = workers.map(range(5))
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(VocrError, match="count on"):
            next(results)
