"""Every layout in docs/data_layouts.md is read line for line; rows, samples and commands are the table's."""

from __future__ import annotations

import io
import json
import re
import shlex
import tarfile
from pathlib import Path

import lmdb
import pytest
from conftest import line_png
from documents import text_of
from PIL import Image
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.data.lmdb.store import LineStore

TEXTS = ["Hà Nội, Việt Nam", "Số 12"]
HELD_OUT = ["đề thi"]  # of other splits: it must not come along
WIDTHS = [40, 60, 80]

Sample = dict[str, list[str]]


def table() -> list[tuple[str, Sample, str]]:
    """The rows of the page's first table: layout, files with their lines, command."""
    rows = re.findall(
        r"^\| (?!layout|---)(.*) \|$", text_of("docs/data_layouts.md").split("\n\n## ")[0], re.MULTILINE
    )
    cells = [[cell.replace(r"\|", "|") for cell in re.split(r" (?<!\\)\| ", row)] for row in rows]
    return [(layout, sample_of(example), command.strip("`")) for layout, example, _, command in cells]


def sample_of(example: str) -> Sample:
    files: Sample = {}
    for entry in example.split("<br>"):
        name, *lines = re.findall(r"`([^`]+)`", entry)
        files[name] = [line.replace("→", "\t") for line in lines]
    if not any(name.endswith(".png") for name in files):
        files |= {f"{index}.png": [] for index in range(3)}
    return files


def write(folder: Path, files: Sample) -> None:
    """Writes a sample; images differ in width, in their order."""
    images = iter(range(3))
    for name, lines in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        texts = HELD_OUT if re.search(r"(test|val)\b", name) else TEXTS
        if file.suffix == ".png":
            file.write_bytes(line_png(0, WIDTHS[next(images)]))
        elif file.suffix in (".parquet", ".arrow"):
            write_arrow(file, lines, texts)
        elif file.suffix == ".tar":
            write_tar(file, lines, texts)
        elif file.suffix in (".mdb", ".lmdb"):
            write_lmdb(file, lines, texts)
        else:
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_arrow(file: Path, columns: list[str], texts: list[str]) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    cells = {
        "image": [{"bytes": line_png(0, WIDTHS[index]), "path": None} for index in range(len(texts))],
        "path": [f"{index}.png" for index in range(len(texts))],
        "text": texts,
        "confidence": [0.5] * len(texts),
    }
    made = pyarrow.table({name: cells[name] for name in columns})
    if file.suffix == ".parquet":
        parquet.write_table(made, file)
        return
    with pyarrow.OSFile(str(file), "wb") as sink, pyarrow.ipc.new_stream(sink, made.schema) as writer:
        writer.write_table(made)


def write_tar(file: Path, members: list[str], texts: list[str]) -> None:
    with tarfile.open(file, "w") as archive:
        for name in members:
            index = int(name.partition(".")[0])
            content = {
                ".png": line_png(0, WIDTHS[index]),
                ".txt": texts[index].encode(),
                ".json": json.dumps({"text": texts[index]}).encode(),
            }[Path(name).suffix]
            facts = tarfile.TarInfo(name)
            facts.size = len(content)
            archive.addfile(facts, io.BytesIO(content))


def write_lmdb(file: Path, keys: list[str], texts: list[str]) -> None:
    is_folder = file.name == "data.mdb"
    path = str(file.parent if is_folder else file)
    first = int(keys[0].partition("-")[2])
    with (
        lmdb.open(path, subdir=is_folder, map_size=1 << 20) as environment,
        environment.begin(write=True) as put,
    ):
        for index, text in enumerate(texts):
            values = {
                "image": line_png(0, WIDTHS[index]),
                "label": text.encode(),
                "path": f"{index}.png".encode(),
            }
            for key in keys:
                kind = key.partition("-")[0]
                put.put(f"{kind}-{index + first:09d}".encode(), values[kind])
        put.put(b"num-samples", str(len(texts)).encode())


ROWS = table()


def test_the_table_is_found_whole() -> None:
    assert len(ROWS) > 35 and len({layout for layout, _, _ in ROWS}) == len(ROWS)
    assert all(files and command.startswith("vocr ") for _, files, command in ROWS)


@pytest.mark.parametrize(("files", "command"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_layout_is_read_line_for_line(
    files: Sample, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = tmp_path / "sample", tmp_path / "database"
    folder.mkdir()
    write(folder, files)
    monkeypatch.chdir(folder)
    words = [str(out) if word == "OUT" else word for word in shlex.split(command)[1:]]
    built = CliRunner().invoke(app, [*words, "--workers", "1"])
    assert built.exit_code == 0, built.output
    with LineStore(out) as store:
        lines = list(store)
    assert [line.text for line in lines] == TEXTS
    assert [Image.open(io.BytesIO(line.image)).width for line in lines] == WIDTHS[:2]

    options = words[3:]
    seen = CliRunner().invoke(app, ["inspect", words[1], *options, "--json", str(tmp_path / "facts.json")])
    assert seen.exit_code == 0, seen.output
    facts = json.loads((tmp_path / "facts.json").read_text(encoding="utf-8"))["facts"]
    assert facts["lines"] == 2 and facts["first labels"] == TEXTS
