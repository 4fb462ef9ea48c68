"""`vocr --help` answers at once: nothing heavy is imported for it, and what it shows is well broken."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise

import pytest
from conftest import EXAMPLE_LINES
from typer.testing import CliRunner

from vocr_cli.app import app

HEAVY = ("torch", "numpy", "PIL", "lmdb", "fontTools", "onnxruntime", "matplotlib")


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_app_does_not_import_torch():
    loaded = python("import sys, vocr_cli.app; print(*sys.modules)").split()
    assert "typer" in loaded
    assert not [name for name in HEAVY if name in loaded]


def test_help_names_every_command_and_does_not_import_torch():
    code = (
        "import sys; sys.argv = ['vocr', '--help']\n"
        "from vocr_cli.app import main\n"
        "try:\n    main()\n"
        "finally:\n    print('HEAVY:', *(name for name in sys.modules if name == 'torch'))"
    )
    output = python(code)
    assert output.splitlines()[-1].strip() == "HEAVY:"
    named = (
        "infer build-lmdb autoconf train eval bench synth calibrate export inspect config env lm label serve"
    )
    for command in named.split():
        assert f" {command} " in output


def test_building_a_database_does_not_import_torch(tmp_path):
    from PIL import Image

    Image.new("L", (60, 20), 200).save(tmp_path / "0.png")
    (tmp_path / "labels.tsv").write_text("0.png\tĐường\n", encoding="utf-8")
    code = (
        f"import sys; sys.argv = ['vocr', 'build-lmdb', {str(tmp_path / 'labels.tsv')!r}, "
        f"{str(tmp_path / 'out')!r}]\n"
        "from vocr_cli.app import main\n"
        "try:\n    main()\n"
        "finally:\n    print('HEAVY:', *(name for name in sys.modules if name == 'torch'))"
    )
    assert python(code).splitlines()[-1].strip() == "HEAVY:" and (tmp_path / "out" / "data.mdb").is_file()


def test_the_public_api_does_not_load_torch():
    code = (
        "import sys, vocr_cli\n"
        "before = 'torch' in sys.modules\n"
        "from vocr_cli import Reading, Recognizer, __version__\n"
        "from vocr_cli.core.inference import Recognizer as internal\n"
        "assert Recognizer is internal and Reading('a', 1.0, (1.0,)).text == 'a' and __version__\n"
        "assert {'Reading', 'Recognizer', '__version__'} <= set(dir(vocr_cli))\n"
        "print(before, 'torch' in sys.modules)\n"
        "vocr_cli.Recogniser"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "False"]
    assert "AttributeError" in done.stderr and "'Recogniser'" in done.stderr


def test_reading_in_int8_imports_neither_the_onnx_package_nor_what_checks_configs(tmp_path):
    """They take longer to import than a line takes to read, and the runtime knows all that is needed."""
    from PIL import Image

    if not any(map(find_spec, ("openvino", "onnxruntime"))):
        pytest.skip("no runtime for ONNX files is installed")
    Image.new("L", (60, 20), 200).save(tmp_path / "0.png")
    command = ["vocr", "infer", str(tmp_path / "0.png"), "--precision", "int8"]
    code = (
        f"import sys; sys.argv = {command!r}\n"
        "from vocr_cli.app import main\n"
        "try:\n    main()\n"
        "finally:\n    print('HEAVY:', *(name for name in sys.modules if name in ('onnx', 'pydantic')))"
    )
    assert python(code).splitlines()[-1].strip() == "HEAVY:"


IMAGES = str(EXAMPLE_LINES / "images")


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        (("infer", IMAGES), ()),
        (("infer", IMAGES, "--out", "out.tsv"), ("hashlib",)),
        (("infer", IMAGES, "--format", "jsonl", "--beam", "4"), ()),
        (("infer", IMAGES, "--cache", "cache"), ("lmdb", "hashlib")),
        (("eval", str(EXAMPLE_LINES)), ("rich", "lmdb", "hashlib")),
    ],
)
def test_reading_loads_only_what_it_reads_with(tmp_path, monkeypatch, command, needed):
    """torch takes longer to load than the example lines to read, and rich is for terminals and tables."""
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    names = ("torch", "rich", "pydantic", "yaml", "hashlib", "onnx", "openvino", "lmdb")
    heavy = [name for name in names if name not in needed]
    code = (
        f"import sys; sys.argv = {['vocr', *command]!r}\n"
        "from vocr_cli.app import main\n"
        "try:\n    main()\n"
        f"finally:\n    print('HEAVY:', *(name for name in {heavy!r} if name in sys.modules))"
    )
    assert python(code).splitlines()[-1].strip() == "HEAVY:"


@pytest.mark.parametrize(
    "command", ["infer", "build-lmdb", "train", "eval", "calibrate", "export", "label", "serve"]
)
def test_paragraphs_of_the_help_fill_a_narrow_terminal(command):
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80"})
    assert shown.exit_code == 0, shown.output
    text = shown.output.split("╭")[0].lstrip().split("\n", 1)[1]  # without the usage
    for paragraph in re.split(r"\n\s*\n", text):
        lines = [line.strip() for line in paragraph.splitlines()]
        for line, following in pairwise(line for line in lines if line):
            assert len(line) + len(following.split()[0]) + 1 > 78, f"{line!r} is broken too early"


@pytest.mark.parametrize("module", ["vocr_cli.app", "typer", "vocr_cli.commands.infer"])
def test_an_interruption_of_the_imports_ends_without_a_traceback(module):
    code = (
        "import importlib.abc, runpy, sys\n"
        "class Interrupting(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {module!r}:\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "sys.argv = ['vocr', 'infer', '--help']\n"
        "runpy.run_module('vocr_cli', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
