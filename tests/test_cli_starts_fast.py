"""`vocr --help` answers at once: nothing heavy is imported for it."""

from __future__ import annotations

import subprocess
import sys

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
    for command in "infer build-lmdb autoconf train eval bench synth export inspect".split():
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
