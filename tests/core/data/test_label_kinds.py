"""Label files as their owners have them: read whole, or refused by name; columns, splits and images found."""

from __future__ import annotations

import datetime
import io
import json
import os
import tarfile
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lmdb
import pytest
from conftest import line_png

from vocr_cli.core.data.readers.labelled import LabelledSet, load_labelled
from vocr_cli.core.data.readers.open_source import open_source
from vocr_cli.core.data.readers.source_options import Columns, SourceOptions, SplitNeeded
from vocr_cli.core.errors import ConfigError, DataError

TEXTS = ["Hà Nội, Việt Nam", "Số 12", "xin chào"]
THREE = ("0.png", "1.png", "2.png")
LS_REGION = {"x": 10, "y": 10, "width": 50, "height": 2, "original_width": 2480, "original_height": 3508}
CELLS = [{"bytes": line_png(0, 40 + 20 * index), "path": None} for index in range(3)]

Content = str | bytes | Callable[[Path], None]


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def lines(*rows: object) -> str:
    return (
        "\n".join(row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows) + "\n"
    )


def parquet(columns: Mapping[str, Sequence[Any]]) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
        tables = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
        tables.write_table(pyarrow.table(dict(columns)), file)

    return write


def arrow(columns: Mapping[str, Sequence[Any]]) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        pyarrow = pytest.importorskip("pyarrow", reason="Arrow needs pyarrow")
        table = pyarrow.table(dict(columns))
        with pyarrow.OSFile(str(file), "wb") as sink, pyarrow.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)

    return write


def tar(*members: tuple[str, str | bytes]) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        with tarfile.open(file, "w") as archive:
            for name, content in members:
                data = content.encode() if isinstance(content, str) else content
                facts = tarfile.TarInfo(name)
                facts.size = len(data)
                archive.addfile(facts, io.BytesIO(data))

    return write


def database(*texts: str) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        with (
            lmdb.open(str(file), subdir=False, map_size=1 << 20) as environment,
            environment.begin(write=True) as put,
        ):
            for number, text in enumerate(texts, start=1):
                put.put(b"image-%09d" % number, line_png(0))
                put.put(b"label-%09d" % number, text.encode())

    return write


def load(
    folder: Path, files: Mapping[str, Content], path: str, images: Sequence[str], **options: Any
) -> LabelledSet:
    os.chdir(folder)
    for index, name in enumerate(images):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(line_png(0, 40 + 20 * index))
    for name, content in files.items():
        file = Path(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(file)
        else:
            file.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_labelled(Path(path), options=SourceOptions(**options))


@pytest.fixture(autouse=True)
def _stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(os.getcwd())  # goes back after the test


PER_WRITER = {
    f"{split}_data/{writer}/label.json": f'{{"1.jpg": "{split} {writer}"}}'
    for split in ("train", "test")
    for writer in "12"
}
SPLIT_IMAGES = ("train/0.png", "test/1.png")
IN_TWO_SPLITS = lines({"file_name": "train/0.png", "text": "a"}, {"file_name": "test/1.png", "text": "b"})
OF_A_SAVED_DICT = {
    f"{split}/{name}": content
    for split in ("train", "test")
    for name, content in {
        "state.json": '{"_data_files": [{"filename": "data-0.arrow"}]}',
        "data-0.arrow": arrow({"image": CELLS[:1], "text": [split]}),
        "cache-1.arrow": arrow({"image": CELLS[:1], "text": ["left over"]}),
    }.items()
}

READ: dict[str, tuple[Mapping[str, Content], str, Sequence[str], dict[str, Any], list[str]]] = {
    # text files
    "BOM, CRLF, no heading": (
        {"l.csv": "\ufeff0.png,một\r\n1.png,hai\r\n"},
        "l.csv",
        THREE,
        {},
        ["một", "hai"],
    ),
    "suffixes in capitals": ({"l.txt": "0.PNG\tmột\n1.PNG\thai\n"}, "l.txt", THREE, {}, ["một", "hai"]),
    "names in NFD, files in NFC": (
        {"l.txt": nfd("thẻ/ngân_hàng.png") + "\tmột\n"},
        "l.txt",
        ["thẻ/ngân_hàng.png"],
        {},
        ["một"],
    ),
    "names in NFC, files in NFD": (
        {"l.csv": "image,text\nthẻ/ảnh.png,một\n"},
        "l.csv",
        [nfd("thẻ/ảnh.png")],
        {},
        ["một"],
    ),
    "three columns of tabs": (
        {"l.tsv": "7\t0.png\tmột\n8\t1.png\thai\n"},
        "l.tsv",
        THREE,
        {},
        ["một", "hai"],
    ),
    "a language beside the text": (
        {"l.tsv": "0.png\tmột\tvi\n1.png\thai ba\tvi\n"},
        "l.tsv",
        THREE,
        {},
        ["một", "hai ba"],
    ),
    "a heading of other words": (
        {"l.csv": "anh;chu\n0.png;một, hai\n1.png;ba\n"},
        "l.csv",
        THREE,
        {},
        ["một, hai", "ba"],
    ),
    "the index of pandas": (
        {"l.csv": ",image,text\n0,0.png,một\n1,1.png,hai\n"},
        "l.csv",
        THREE,
        {},
        ["một", "hai"],
    ),
    "quoted quotes": ({"l.csv": 'image,text\n0.png,"nói ""thế"" à"\n'}, "l.csv", THREE, {}, ['nói "thế" à']),
    "ICDAR's quotes after backslashes": (
        {"gt.txt": '0.png, "(412\\")"\n1.png, "ông \\"Tư\\" Đen, số 5"\n2.png, "ông "Tư" Đen"\n'},
        "gt.txt",
        THREE,
        {},
        ['(412")', 'ông "Tư" Đen, số 5', 'ông "Tư" Đen'],
    ),
    "EasyOCR's stray quotes": (
        {"l.csv": 'filename,words\n0.png,nói "thế" à\n1.png,"mở, đóng\n'},
        "l.csv",
        THREE,
        {},
        ['nói "thế" à', '"mở, đóng'],
    ),
    "text before the image": (
        {"l.csv": "một, hai,0.png\nba,1.png\n"},
        "l.csv",
        THREE,
        {},
        ["một, hai", "ba"],
    ),
    "a note of two lines": (
        {"l.csv": 'image,text,note\n0.png,một,"a\nb"\n1.png,hai,c\n'},
        "l.csv",
        THREE,
        {},
        ["một", "hai"],
    ),
    "images in the folder beside": (
        {"lists/l.txt": "0.png\tmột\n"},
        "lists/l.txt",
        ["images/0.png"],
        {},
        ["một"],
    ),
    "images by number": (
        {"l.csv": "image_id,text\n0,một\n1,hai\n"},
        "l.csv",
        ["images/0.png", "images/1.png"],
        {},
        ["một", "hai"],
    ),
    # which column
    "an index called image": (
        {"l.csv": "image,file,text\n17,0.png,một\n18,1.png,hai\n"},
        "l.csv",
        THREE,
        {},
        ["một", "hai"],
    ),
    "a caption beside the text": (
        {"l.csv": "image,caption,text\n0.png,con mèo,một\n1.png,con chó,hai\n"},
        "l.csv",
        THREE,
        {},
        ["một", "hai"],
    ),
    "a class called label": (
        {"l.csv": "image,label,noi_dung\n0.png,1,một\n1.png,1,hai ba\n2.png,0,bốn\n"},
        "l.csv",
        THREE,
        {},
        ["một", "hai ba", "bốn"],
    ),
    "numbers called label": (
        {"l.csv": "image,label,font\n0.png,1234,Arial\n1.png,0012,Arial\n2.png,77.5,Arial\n"},
        "l.csv",
        THREE,
        {},
        ["1234", "0012", "77.5"],
    ),
    "columns by number": (
        {"l.csv": "một,x y,0.png\nhai,z t,1.png\n"},
        "l.csv",
        THREE,
        {"columns": Columns("3", "1"), "header": False},
        ["một", "hai"],
    ),
    # JSON
    "numbers as they are written": (
        {"l.json": '{"0.png": 12.50, "1.png": "b"}'},
        "l.json",
        THREE,
        {},
        ["12.50", "b"],
    ),
    "objects by name": (
        {"l.json": '{"0.png": {"text": "a", "w": 3}, "1.png": {"text": "b", "w": 4}}'},
        "l.json",
        THREE,
        {},
        ["a", "b"],
    ),
    "a name twice": ({"l.json": '{"0.png": "a", "0.png": "b"}'}, "l.json", THREE, {}, ["a", "b"]),
    "JSON Lines in .txt": (
        {"l.txt": "\ufeff" + lines({"filename": "0.png", "text": "a"}, {"filename": "1.png", "text": "b"})},
        "l.txt",
        THREE,
        {},
        ["a", "b"],
    ),
    "a list in .jsonl": ({"l.jsonl": '[{"image": "0.png", "text": "a"}]'}, "l.jsonl", THREE, {}, ["a"]),
    "one object in .jsonl": ({"l.jsonl": '{"image": "0.png", "text": "a"}'}, "l.jsonl", THREE, {}, ["a"]),
    "pairs": ({"l.json": '[["0.png", "a"], ["1.png", "b"]]'}, "l.json", THREE, {}, ["a", "b"]),
    "columns of pandas": (
        {"l.json": '{"image": {"0": "0.png", "1": "1.png"}, "text": {"0": "a", "1": "b"}}'},
        "l.json",
        THREE,
        {},
        ["a", "b"],
    ),
    "lists in JSON by split": (
        {"l.json": '{"train": [{"image": "0.png", "text": "a"}], "test": [{"image": "1.png", "text": "b"}]}'},
        "l.json",
        THREE,
        {"split": "test"},
        ["b"],
    ),
    # Parquet and Arrow
    "bytes, txt and id": (
        {
            "a.parquet": parquet(
                {"jpg": [cell["bytes"] for cell in CELLS], "txt": TEXTS, "id": ["x", "y", "z"]}
            )
        },
        "a.parquet",
        (),
        {},
        TEXTS,
    ),
    "whole numbers, and floats that are": (
        {"a.parquet": parquet({"image": CELLS, "text": [2019.0, 12.5, 7.0]})},
        "a.parquet",
        (),
        {},
        ["2019", "12.5", "7"],
    ),
    "dates beside a text": (
        {"a.parquet": parquet({"image": CELLS, "date": [datetime.date(2020, 1, 1)] * 3, "note": TEXTS})},
        "a.parquet",
        (),
        {},
        TEXTS,
    ),
    "Parquet without a suffix": ({"a": parquet({"image": CELLS, "text": TEXTS})}, "a", (), {}, TEXTS),
    "a column of splits": (
        {"a.parquet": parquet({"image": CELLS, "text": TEXTS, "split": ["train", "test", "train"]})},
        "a.parquet",
        (),
        {"split": "train"},
        TEXTS[::2],
    ),
    "files of a repository": (
        {
            f"default/{split}/0.parquet": parquet({"image": CELLS[:1], "text": [split]})
            for split in ("train", "test")
        },
        ".",
        (),
        {"split": "test"},
        ["test"],
    ),
    "splits put together when asked": (
        {f"{split}-0.parquet": parquet({"image": CELLS[:1], "text": [split]}) for split in ("train", "test")},
        ".",
        (),
        {"split": "all"},
        ["test", "train"],
    ),
    "a saved dictionary of splits": (OF_A_SAVED_DICT, ".", (), {"split": "train"}, ["train"]),
    # tars, databases, folders
    "dots in names of samples": (
        {
            "a.tar": tar(
                ("1.5cm.png", line_png(0)), ("1.5cm.txt", "a"), ("1.6cm.png", line_png(0)), ("1.6cm.txt", "b")
            )
        },
        "a.tar",
        (),
        {},
        ["a", "b"],
    ),
    "one of two images": (
        {"a.tar": tar(("0.left.png", line_png(0)), ("0.right.png", line_png(1)), ("0.txt", "a"))},
        "a.tar",
        (),
        {"columns": Columns(image="right.png")},
        ["a"],
    ),
    "shards in folders": (
        {
            f"{split}/0.tar": tar(("0.png", line_png(0)), ("0.json", json.dumps({"caption": split})))
            for split in ("train", "val")
        },
        ".",
        (),
        {"split": "valid"},
        ["val"],
    ),
    "databases as files, by split": (
        {"train.lmdb": database("a", "b"), "val.lmdb": database("c")},
        ".",
        (),
        {"split": "train"},
        ["a", "b"],
    ),
    "writers by split": (
        PER_WRITER,
        ".",
        ["train_data/1/1.jpg", "train_data/2/1.jpg", "test_data/1/1.jpg", "test_data/2/1.jpg"],
        {"split": "test"},
        ["test 1", "test 2"],
    ),
    "lists by split": (
        {"train_annotation.txt": "img/0.png\ta\n", "test_annotation.txt": "img/1.png\tb\n", "note.txt": "x"},
        ".",
        ["img/0.png", "img/1.png"],
        {"split": "train"},
        ["a"],
    ),
    "images of one split by their folders": (
        {"metadata.jsonl": IN_TWO_SPLITS},
        ".",
        SPLIT_IMAGES,
        {"split": "test"},
        ["b"],
    ),
    "the list before the files beside it": (
        {"labels.txt": "0.png\ta\n", "0.txt": "b"},
        ".",
        THREE,
        {},
        ["a"],
    ),
}


@pytest.mark.parametrize("kind", READ)
def test_a_kind_is_read(kind: str, tmp_path: Path) -> None:
    files, path, images, options, texts = READ[kind]
    found = load(tmp_path, files, path, images, **options)
    assert [line.label for line in found.lines] == texts and not found.bad
    assert all(os.path.isfile(line.image) for line in found.lines if isinstance(line.image, str))
    assert len({line.name for line in found.lines}) == len(texts) or kind == "a name twice"


REFUSED: dict[str, tuple[Mapping[str, Content], str, dict[str, Any], str, str]] = {
    "splits of a repository": (
        {f"{split}-0.parquet": parquet({"image": CELLS, "text": TEXTS}) for split in ("train", "test")},
        ".",
        {},
        "several splits: train .*test",
        "--split train",
    ),
    "images of two splits": ({"metadata.jsonl": IN_TWO_SPLITS}, ".", {}, "several splits", "--split train"),
    "an unknown split": (
        {"train-0.parquet": parquet({"image": CELLS, "text": TEXTS})},
        ".",
        {"split": "tset"},
        "no split 'tset'; it has train",
        "--split",
    ),
    "several lists": (
        {"a.txt": "0.png\ta\n", "b.txt": "1.png\tb\n"},
        ".",
        {},
        r"several lists of lines: a\.txt, b\.txt",
        "Name the one",
    ),
    "YOLO": (
        {f"{index}.txt": "0 0.5 0.5 0.1 0.2\n" for index in range(3)},
        ".",
        {},
        "positions on a page",
        "Cut the lines",
    ),
    "LabelMe": (
        {f"{index}.json": '{"shapes": [{"points": [[1, 2]]}]}' for index in range(3)},
        ".",
        {},
        "positions on a page",
        "Cut the lines",
    ),
    "docTR's detection": (
        {"l.json": '{"0.png": {"img_hash": "a", "polygons": [[[0, 0]]]}}'},
        "l.json",
        {},
        "text detection",
        "Cut the lines",
    ),
    "COCO": (
        {"l.json": '{"images": [{"id": 1}], "annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4]}]}'},
        "l.json",
        {},
        "COCO",
        "Cut the lines",
    ),
    "ICDAR's detection": (
        {"gt_img_1.txt": "0,0,9,0,9,9,0,9,một\n"},
        "gt_img_1.txt",
        {},
        "text detection",
        "Cut the lines",
    ),
    "Label Studio's page of one line": (
        {"l.json": json.dumps([{"ocr": "0.png", "bbox": [LS_REGION], "transcription": "một hai"}])},
        "l.json",
        {},
        "regions of pages",
        "Cut the lines",
    ),
    "Label Studio's page of one line, as CSV": (
        {
            "l.csv": "ocr,bbox,transcription\n0.png,{},một hai\n".replace(
                "{}", quoted(json.dumps([LS_REGION]))
            )
        },
        "l.csv",
        {},
        "regions of pages",
        "Cut the lines",
    ),
    "PPOCRLabel's detection": (
        {"Label.txt": '0.png\t[{"transcription": "a", "points": [[0, 0]]}]\n'},
        "Label.txt",
        {},
        "text detection",
        "rec_gt.txt",
    ),
    "receipts of Donut": (
        {"metadata.jsonl": lines({"file_name": "0.png", "ground_truth": '{"gt_parse": {"menu": []}}'})},
        ".",
        {},
        r"gt_parse\.menu",
        "--columns text=",
    ),
    "two texts, none usual": (
        {"l.csv": "image,raw,corrected\n0.png,a b,c d\n1.png,e f,g h\n"},
        "l.csv",
        {},
        "which column holds the text",
        "--columns",
    ),
    "a column that is not there": (
        {"l.jsonl": '{"a": "0.png", "b": "x y"}\n'},
        "l.jsonl",
        {"columns": Columns("a", "c")},
        "no column 'c'; it has a, b",
        "--columns",
    ),
    "UTF-16": ({"l.csv": "image,text\n0.png,một\n".encode("utf-16")}, "l.csv", {}, "UTF-16", "iconv"),
    "a separator that is not there": (
        {"l.csv": "image,text\n0.png,a\n"},
        "l.csv",
        {"separator": ";"},
        "no row has ';'",
        "another",
    ),
    "images in an order of their own": (
        {"a.tar": tar(("0.png", line_png(0)), ("1.png", line_png(0)), ("0.txt", "a"), ("1.txt", "b"))},
        "a.tar",
        {},
        r"no \.txt",
        "--sort=name",
    ),
    "damaged Parquet": (
        {"a.parquet": b"PAR1 and nothing more"},
        "a.parquet",
        {},
        "not Parquet, or is damaged",
        "Copy it again",
    ),
    "a PDF": ({"a.pdf": b"%PDF-1.7"}, "a.pdf", {}, "is a PDF", "pdftoppm"),
    "a workbook": ({"a.xlsx": b"PK\x03\x04"}, "a.xlsx", {}, "Excel", "CSV"),
    "a pickle": ({"a.pkl": b"\x80\x04"}, "a.pkl", {}, "pickle", "CSV"),
    "InkML": ({"a.inkml": "<ink xmlns='http://www.w3.org/2003/InkML'>"}, "a.inkml", {}, "InkML", "Draw"),
    "SVG": ({"a.svg": "<?xml version='1.0'?><!-- x --><svg>"}, "a.svg", {}, "SVG", "Cut the lines"),
    "an image": ({"a.png": line_png(0)}, "a.png", {}, "is an image", "labels"),
    "JSON cut short": ({"l.json": '{"0.png": "a",'}, "l.json", {}, "not JSON", "again"),
    "JSON nested too deeply": ({"l.json": "[" * 100_000}, "l.json", {}, "not JSON", "again"),
    "images without labels": ({}, ".", {}, "3 images, and no labels", "docs/data_layouts.md"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_list_of_lines_is_called_by_its_name(kind: str, tmp_path: Path) -> None:
    files, path, options, problem, fix = REFUSED[kind]
    images = SPLIT_IMAGES if kind == "images of two splits" else THREE
    with pytest.raises(DataError, match=problem) as refused:
        load(tmp_path, files, path, images, **options)
    assert fix in refused.value.fix


BAD: dict[str, tuple[Mapping[str, Content], str, Sequence[str], str]] = {
    "no label": ({"l.txt": "0.png\ta\n1.png\t###\n"}, "l.txt", THREE, "`###` is no label"),
    "two texts": (
        {"l.json": '[{"image": "0.png", "text": "a"}, {"image": "1.png", "text": ["b", "c"]}]'},
        "l.json",
        THREE,
        "2 texts",
    ),
    "two words of mmocr": (
        {
            "l.json": '{"data_list": ['
            '{"img_path": "0.png", "instances": [{"text": "a"}]}, '
            '{"img_path": "1.png", "instances": [{"text": "b"}, {"text": "c"}]}]}'
        },
        "l.json",
        THREE,
        "2 texts",
    ),
    "half a character": (
        {"l.jsonl": '{"image": "0.png", "text": "a"}\n{"image": "1.png", "text": "a\\ud800"}\n'},
        "l.jsonl",
        THREE,
        "half of a character",
    ),
    "a quotation mark left open": (
        {"l.csv": 'image,text\n0.png,a\n1.png,"b\n'},
        "l.csv",
        THREE,
        "quotation mark",
    ),
    "a name of two files": (
        {"l.txt": "/x/1.png\ta\n/x/0.png\tb\n"},
        "l.txt",
        ["a/0.png", "b/0.png", "b/1.png"],
        "several files have its name",
    ),
    "a file of two names": (
        {"l.txt": "/x/a/0.png\ta\n/x/b/0.png\tb\n"},
        "l.txt",
        ["0.png"],
        "would be its image",
    ),
    "two images of one name": ({"0.txt": "a"}, ".", ["0.jpg", "0.png"], "another image of its name"),
    "two images in a sample": (
        {
            "a.tar": tar(
                ("0.png", line_png(0)),
                ("0.txt", "a"),
                ("1.image.png", line_png(0)),
                ("1.line.png", line_png(0)),
                ("1.txt", "b"),
            )
        },
        "a.tar",
        (),
        "several images",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_line_that_may_be_wrong_is_named_and_not_guessed(kind: str, tmp_path: Path) -> None:
    files, path, images, reason = BAD[kind]
    found = load(tmp_path, files, path, images)
    assert [line.label for line in found.lines] == ["a"]
    assert len(found.bad) == 1 and reason in found.bad[0].reason


def test_an_open_quotation_mark_swallows_no_rows(tmp_path: Path) -> None:
    rows = [f"0.png,nhãn {number}" for number in range(20)]
    rows[4], rows[11] = '0.png,"Cộng hoà', '0.png,Tự do"'
    found = load(tmp_path, {"l.csv": lines("image,text", *rows)}, "l.csv", THREE)
    assert [line.label for line in found.lines if "nhãn" in line.label] == [
        row[6:] for row in rows if "nhãn" in row
    ]
    assert len(found.lines) + len(found.bad) == 20 and 6 in {bad.number for bad in found.bad}


def test_what_was_chosen_is_said(tmp_path: Path) -> None:
    files = {"l.csv": "image,caption,text\nD:\\x\\0.png,con mèo,một\nD:\\x\\1.png,con chó,hai\n"}
    said = " ".join(load(tmp_path, files, "l.csv", ["pages/0.png", "pages/1.png"]).notes)
    for word in ("'image'", "'text'", "caption", "--columns", "by their names"):
        assert word in said


def test_an_option_that_means_nothing_is_refused(tmp_path: Path) -> None:
    for options in ({"split": "train"}, {"columns": Columns("a", "b")}):
        with pytest.raises((ConfigError, DataError)):
            load(tmp_path, {"l.txt": "0.png||||a\n"}, "l.txt", THREE, **options)
    with pytest.raises(ConfigError, match="--separator means nothing"):
        load(tmp_path, {"l.jsonl": '{"image": "0.png", "text": "a"}\n'}, "l.jsonl", THREE, separator=";")


def test_the_usual_split_is_taken_where_one_is(tmp_path: Path) -> None:
    files = {
        f"{split}-0.parquet": parquet({"image": CELLS[:1], "text": [split]}) for split in ("train", "val")
    }
    found = load(tmp_path, files, ".", (), usual_splits=("validation",))
    assert [line.label for line in found.lines] == ["val"] and "'validation'" in found.notes[0]
    with pytest.raises(SplitNeeded):
        load(tmp_path, {}, ".", (), usual_splits=("test",))


def test_numbers_that_happen_to_be_images_are_not_taken_for_images_that_are_lost(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.png").write_bytes(line_png(number))
    (tmp_path / "l.csv").write_text("id,image,text\n1,x1.png,Một\n2,x2.png,Hai\n", encoding="utf-8")
    (tmp_path / "ids.csv").write_text("id,text\n1,Một\n2,Hai\n", encoding="utf-8")
    lost = list(open_source(tmp_path / "l.csv"))
    assert [entry.name for entry in lost] == ["x1.png", "x2.png"]
    found = list(open_source(tmp_path / "ids.csv"))
    assert [str(entry.image).rpartition("/")[2] for entry in found] == ["1.png", "2.png"]


def test_tasks_that_were_skipped_give_no_labels(tmp_path: Path) -> None:
    def answer(text: str, skipped: bool) -> dict[str, Any]:
        return {"was_cancelled": skipped, "result": [{"type": "textarea", "value": {"text": [text]}}]}

    tasks = []
    for number, answers in enumerate(
        ([answer("nháp", True)], [answer("đúng", False)], [answer("nháp", True), answer("cũng đúng", False)])
    ):
        (tmp_path / f"{number}.png").write_bytes(line_png(number))
        tasks.append(
            {"id": number, "data": {"image": f"/data/upload/1/{number}.png"}, "annotations": answers}
        )
    (tmp_path / "tasks.json").write_text(json.dumps(tasks), encoding="utf-8")
    read = load_labelled(tmp_path / "tasks.json")
    assert [line.label for line in read.lines] == ["đúng", "cũng đúng"]
    assert [bad.number for bad in read.bad] == [1]
