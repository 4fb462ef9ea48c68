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


def started(*arguments: object, first: str = "", command: str = "infer") -> subprocess.Popen[str]:
    """Starts vocr in a group of processes of its own; `first` is run before it."""
    # Where the tests run as a shell's background job, Ctrl-C is ignored, and that is inherited.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += f"{first}\nfrom vocr_cli.app import main\nmain()"
    line = [sys.executable, "-c", code, command, *map(str, arguments)]
    return subprocess.Popen(
        line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


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


def workers_of(run: subprocess.Popen[str], count: int = 2) -> list[int]:
    deadline = time.monotonic() + 60
    while len(workers := children(run.pid)) < count:
        assert run.poll() is None and time.monotonic() < deadline, "no processes"
        time.sleep(0.002)
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


@pytest.mark.parametrize("stream", [False, True])
def test_few_lines_fork_nothing(stream: bool) -> None:
    code = "import os\nos.fork = None\nfrom vocr_cli.app import main\nmain()"
    inputs = ["--from-file", "-"] if stream else list(map(str, EXAMPLES))
    names = "".join(f"{path}\n" for path in EXAMPLES).encode()
    command = [sys.executable, "-c", code, "infer", *inputs, "--threads", "2"]
    run = subprocess.run(command, capture_output=True, check=False, input=names if stream else None)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count(b"\n") == len(EXAMPLES)


NO_FORK = """
import os
fork = os.fork
forks = []
def failing():
    forks.append(1)
    if len(forks) > 1:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return fork()
os.fork = failing
"""
NO_SEMAPHORES = """
import multiprocessing.synchronize
def failing(*arguments, **options):
    raise FileNotFoundError(2, "No such file or directory")
multiprocessing.synchronize.SemLock.__init__ = failing
"""


@pytest.mark.parametrize("hindrance", [NO_FORK, NO_SEMAPHORES])
def test_threads_read_where_no_process_can_be_had(tmp_path: Path, hindrance: str) -> None:
    out = tmp_path / "read.tsv"
    run = started(folder_of(tmp_path / "lines", ENOUGH), "--threads", 2, "--out", out, first=hindrance)
    said = run.communicate(timeout=120)[1]
    assert run.returncode == 0 and "Traceback" not in said, said
    assert len(out.read_text(encoding="utf-8").splitlines()) == ENOUGH


def test_an_error_before_the_first_line_leaves_nothing_behind(tmp_path: Path) -> None:
    run = started(folder_of(tmp_path / "lines", ENOUGH), "--threads", 2, "--out", "/proc/none/read.tsv")
    said = run.communicate(timeout=120)[1]
    assert run.returncode == 1 and "Traceback" not in said and "Exception" not in said


def test_eval_reads_by_processes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "lines", ENOUGH)
    labels = tmp_path / "labels.tsv"
    labels.write_text("".join(f"lines/{path.name}\tx\n" for path in folder.iterdir()), encoding="utf-8")
    tables = []
    for first in ("", "import os\nos.fork = None"):  # by threads
        tables.append(tmp_path / f"{len(tables)}.tsv")
        workers = ["--workers", 2] if first else []
        run = started(labels, "--lines", tables[-1], *workers, first=first, command="eval")
        said = run.communicate(timeout=120)[1]
        assert run.returncode == 0, said
    assert tables[0].read_bytes() == tables[1].read_bytes()


@pytest.mark.parametrize("seconds", [0.0, 0.02, 1.0])
@pytest.mark.parametrize("again_after", [None, 0.0, 0.005, 0.015])
def test_ctrl_c_ends_all_and_resume_goes_on(
    many: Path, tmp_path: Path, seconds: float, again_after: float | None
) -> None:
    out = tmp_path / "read.tsv"
    run = started("--from-file", many, "--threads", "2", "--out", out)
    workers = workers_of(run, 1 if seconds < 1 else 2)
    time.sleep(seconds)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does
    if again_after is not None:
        time.sleep(again_after)
        os.killpg(run.pid, signal.SIGINT)
    said = run.communicate(timeout=60)[1]
    assert are_gone(workers)
    # Python itself is ended by a second signal that comes when it has let go of its handlers.
    assert run.returncode in (130, -signal.SIGINT), said
    assert "Traceback" not in said and "Exception" not in said, said
    assert "--resume" in said or seconds < 1  # nothing is there to go on with


CTRL_C_WHILE_RESULTS_ARE_DROPPED = """
import os
from concurrent.futures import Future
from vocr_cli.core.inference.outputs.output import Output
def interrupting(holder, name, calls):
    function = getattr(holder, name)
    def interrupted(*arguments):
        nonlocal calls
        calls -= 1
        if calls == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return function(*arguments)
    setattr(holder, name, interrupted)
interrupting(Output, "add", 5)
interrupting(Future, "cancel", 1)
"""


def test_a_second_ctrl_c_while_results_are_dropped(many: Path, tmp_path: Path) -> None:
    first = CTRL_C_WHILE_RESULTS_ARE_DROPPED
    run = started("--from-file", many, "--threads", "2", "--out", tmp_path / "read.tsv", first=first)
    said = run.communicate(timeout=60)[1]
    assert run.returncode == 130 and "--resume" in said, said
    assert "Traceback" not in said and "Exception" not in said, said


CTRL_C_TAKEN_FOR_A_FAULT = """
import os, time
from vocr_cli.core.inference.engines import onnx
def failing(*arguments):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    except KeyboardInterrupt:
        raise RuntimeError("initialization failed") from None
onnx.OnnxRuntimeModel = failing
"""


def test_ctrl_c_that_a_runtime_takes_for_a_fault_is_none_of_the_model(many: Path, tmp_path: Path) -> None:
    first = CTRL_C_TAKEN_FOR_A_FAULT
    run = started(
        "--from-file", many, "--out", tmp_path / "read.tsv", "--runtime", "onnxruntime", first=first
    )
    said = run.communicate(timeout=60)[1]
    assert run.returncode == 130 and "damaged" not in said, said


CTRL_C_WHILE_FORKING = """
import os
fork = os.fork
def interrupted():
    child = fork()
    if child:
        os.kill(os.getpid(), signal.SIGINT)
    return child
os.fork = interrupted
"""


def test_ctrl_c_while_processes_are_forked(many: Path, tmp_path: Path) -> None:
    first = CTRL_C_WHILE_FORKING
    run = started("--from-file", many, "--threads", "2", "--out", tmp_path / "read.tsv", first=first)
    said = run.communicate(timeout=60)[1]
    assert run.returncode == 130 and "Traceback" not in said and "Exception" not in said, said


@pytest.mark.parametrize("command", ["build-lmdb", "synth"])
@pytest.mark.parametrize("seconds", [0.0, 0.03, 0.1])
def test_ctrl_c_while_processes_start(tmp_path: Path, command: str, seconds: float) -> None:
    labels = tmp_path / "labels.tsv"
    labels.write_text("".join(f"{path}\tx\n" for path in EXAMPLES) * 2000, encoding="utf-8")
    what = [labels, tmp_path / "lines.lmdb"] if command == "build-lmdb" else [tmp_path / "lines.lmdb"]
    count = ["--count", 9000] if command == "synth" else []
    run = started(*what, *count, "--workers", 2, command=command)
    workers = workers_of(run, 1)
    time.sleep(seconds)
    os.killpg(run.pid, signal.SIGINT)
    said = run.communicate(timeout=60)[1]
    assert are_gone(workers)
    assert run.returncode == 130 and "Traceback" not in said and "Exception" not in said, said


def test_killed_processes_are_told_of_and_resume_goes_on(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "lines", 3000)
    out = tmp_path / "read.tsv"
    run = started(folder, "--threads", "2", "--out", out)
    workers = workers_of(run)
    time.sleep(0.3)
    os.kill(workers[0], signal.SIGKILL)
    said = run.communicate()[1]
    assert run.returncode == 1 and "Traceback" not in said
    assert "was killed" in said and "--resume" in said
    assert are_gone(workers)
    finished(folder, "--threads", "2", "--out", out, "--resume")
    finished(folder, "--threads", "1", "--out", tmp_path / "whole.tsv")
    assert out.read_bytes() == (tmp_path / "whole.tsv").read_bytes()


def test_a_killed_process_that_renders_is_told_of(tmp_path: Path) -> None:
    run = started(tmp_path / "lines.lmdb", "--count", 20_000, "--workers", 2, command="synth")
    workers = workers_of(run)
    os.kill(workers[0], signal.SIGKILL)
    said = run.communicate(timeout=60)[1]
    assert run.returncode == 1 and "Traceback" not in said
    assert "was killed" in said and "--workers" in said
    assert are_gone(workers)


def test_processes_of_a_killed_run_end(many: Path, tmp_path: Path) -> None:
    run = started("--from-file", many, "--threads", "2", "--out", tmp_path / "read.tsv")
    workers = workers_of(run)
    time.sleep(0.5)
    run.kill()
    run.communicate()
    assert are_gone(workers)


KILLED_WHILE_IT_SENDS = """
import multiprocessing, os, signal, threading, time
from multiprocessing.connection import Connection
from vocr_cli.core.machine.processes import ForkedWorkers
send = Connection._send
def half(self, data, write=os.write):
    if len(data) > 100_000:
        send(self, data[:1000], write)
        os.kill(os.getpid(), signal.SIGKILL)
    send(self, data, write)
Connection._send = half
workers = ForkedWorkers(lambda item: bytes(1 << 20), 2)
said = []
def ask():
    try:
        next(workers.map([1]))
    except Exception as error:
        said.append(str(error))
asking = threading.Thread(target=ask, daemon=True)
workers._pool.submit(type(workers).map.__globals__["_Worker"].call, 1) if ENDS else asking.start()
while len(multiprocessing.active_children()) == 2:
    time.sleep(0.02)
if ENDS:
    workers.close()
else:
    asking.join()
    assert said and "was killed" in said[0]
"""


@pytest.mark.parametrize("ends", [True, False])
def test_what_a_killed_process_was_sending_is_not_waited_for(ends: bool) -> None:
    code = KILLED_WHILE_IT_SENDS.replace("ENDS", str(ends))
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


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
