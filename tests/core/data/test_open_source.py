import csv
import io
import json
import sys
import tarfile
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vocr_cli.core.data.build.build import BuildSettings, build_databases
from vocr_cli.core.data.lmdb.store import LineStore
from vocr_cli.core.data.readers.open_source import open_source
from vocr_cli.core.data.readers.source_options import Columns, SourceOptions
from vocr_cli.core.errors import DataError, DependencyError
from vocr_cli.core.text import clean

TEXTS = ["Đường Nguyễn Huệ", 'nói "thế" à', "a, b; c", "Tự do"]

labels = st.lists(
    st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8).filter(
        clean
    ),
    min_size=1,
    max_size=5,
)


def png(number):
    stream = io.BytesIO()
    Image.new("L", (20 + number, 10), 200).save(stream, "PNG")
    return stream.getvalue()


def images(folder, count=4):
    for number in range(count):
        (folder / f"{number}.png").write_bytes(png(number))


def entries(path, **options):
    return list(open_source(path, SourceOptions(**options)))


def read(path, texts=TEXTS, **options):
    """Builds a database of what `path` holds: everything must arrive, image by image."""
    out = path.parent / "database-of-it"
    report = build_databases(
        [open_source(path, SourceOptions(**options))],
        out,
        BuildSettings(overwrite=True, workers=1),
        lambda count: None,
    )
    assert not report.bad
    with LineStore(out) as store:
        assert [line.text for line in store] == [clean(text) for text in texts]
        assert [line.image for line in store] == [png(number) for number in range(len(texts))]


def tar(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            facts = tarfile.TarInfo(name)
            facts.size = len(content)
            archive.addfile(facts, io.BytesIO(content))


def test_pairs_of_kraken_and_tesstrain(tmp_path):
    folder = tmp_path / "ground-truth"
    (folder / "below").mkdir(parents=True)
    images(folder)
    for number, text in enumerate(TEXTS):
        (folder / f"{number}.gt.txt").write_text(unicodedata.normalize("NFD", text) + "\n", encoding="utf-8")
    read(folder)
    (folder / "0.png").rename(folder / "0.bin.png")  # kraken's binarised images
    assert [entry.name for entry in entries(folder)] == ["0.bin.png", "1.png", "2.png", "3.png"]
    (folder / "below" / "alone.png").write_bytes(png(0))
    (folder / "1.png").unlink()
    faults = {entry.name: entry.fault for entry in entries(folder) if entry.fault}
    assert set(faults) == {"1.gt.txt", "below/alone.png"}
    assert "no image" in faults["1.gt.txt"] and "alone.gt.txt" in faults["below/alone.png"]


def test_paddleocr_lists_and_its_detection_labels(tmp_path):
    images(tmp_path)
    rows = [f"{number}.png\t{text}\n" for number, text in enumerate(TEXTS)]
    (tmp_path / "rec_gt_train.txt").write_text("".join(rows), encoding="utf-8")
    read(tmp_path / "rec_gt_train.txt")
    box = '1.png\t[{"transcription": "x", "points": [[0, 0], [1, 0]]}]\n'
    (tmp_path / "det.txt").write_text(rows[0] + box, encoding="utf-8")
    assert "detection" in entries(tmp_path / "det.txt")[1].fault


@given(texts=labels)
@settings(max_examples=15, deadline=None)
def test_csv_and_jsonl_give_what_was_written(texts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    images(folder, len(texts))
    with (folder / "a.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(
            [["id", "text", "file_name"], *([n, text, f"{n}.png"] for n, text in enumerate(texts))]
        )
    objects = [{"file_name": f"{number}.png", "label": text} for number, text in enumerate(texts)]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in objects), encoding="utf-8")
    read(folder / "a.csv", texts)
    read(folder / "a.jsonl", texts)


def test_columns_may_be_named_and_unknown_ones_are_listed(tmp_path):
    images(tmp_path)
    table = tmp_path / "a.tsv"
    rows = [f"{text}\t{number}.png\tx" for number, text in enumerate(TEXTS)]
    table.write_text("\n".join(["what\twhere\tnote", *rows]), encoding="utf-8")
    read(table, columns=Columns("where", "what"))
    with pytest.raises(DataError, match=r"no column 'who'; it has what, where, note"):
        open_source(table, SourceOptions(columns=Columns("who", "what")))
    (tmp_path / "b.csv").write_text("x,y\n7,8\n")
    with pytest.raises(DataError, match="which column holds the image") as found:
        open_source(tmp_path / "b.csv")
    assert "--columns" in found.value.fix


def test_no_row_of_a_damaged_table_is_lost(tmp_path):
    content = b'image,text\n0.png,one\n1.png,"open\n2.png,three\n'
    (tmp_path / "a.csv").write_bytes(content)
    first, second, third = entries(tmp_path / "a.csv")
    assert second.number == 3 and "CSV" in second.fault
    assert [(entry.label, entry.fault) for entry in (first, third)] == [("one", ""), ("three", "")]
    (tmp_path / "b.csv").write_bytes(b"image,text\n0.png,one,more\n1.png,\xff\n2.png,three\n")
    faults = [entry.fault for entry in entries(tmp_path / "b.csv")]
    assert faults == ["", "not UTF-8", ""] and entries(tmp_path / "b.csv")[0].label == "one,more"
    (tmp_path / "b.csv").write_bytes(b"image,text,n\n0.png,one,more,most\n1.png,two,more\n")
    assert [entry.fault for entry in entries(tmp_path / "b.csv")] == ["4 columns instead of 3", ""]
    (tmp_path / "c.tsv").write_bytes('image\ttext\tnote\n0.png\t"thế\tx\n1.png\thai\tx\n'.encode())
    assert [entry.label for entry in entries(tmp_path / "c.tsv")] == ['"thế', "hai"]
    (tmp_path / "d.jsonl").write_text('{"image": "0.png", "text": "a"}\nno\n{"image": "1.png"}\n')
    faults = [entry.fault for entry in entries(tmp_path / "d.jsonl")]
    assert faults[0] == "" and "not JSON" in faults[1] and "no text" in faults[2]


def test_readings_of_infer_are_annotations(tmp_path):
    (tmp_path / "a.tsv").write_text('path\ttext\tconfidence\n0.png\t"một"\t0.98\n', encoding="utf-8")
    assert [(entry.name, entry.label) for entry in entries(tmp_path / "a.tsv")] == [("0.png", '"một"')]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_webdataset_tars(tmp_path, mode):
    members = []
    for number, text in enumerate(TEXTS):
        members.append((f"{number}.png", png(number)))
        as_json = number % 2
        content = json.dumps({"text": text}) if as_json else text
        members.append((f"{number}.{'json' if as_json else 'txt'}", content.encode()))
    path = tmp_path / f"00000.{'tar.gz' if ':' in mode else 'tar'}"
    tar(path, members, mode)
    read(path)
    if mode == "w":
        path.write_bytes(path.read_bytes()[: 4096 + 700])  # within the third sample
        cut = entries(path)
        assert (
            "cannot be read to its end" in cut[-1].fault and [entry.label for entry in cut[:2]] == TEXTS[:2]
        )


def test_tar_samples_that_lack_a_part_are_named(tmp_path):
    tar(tmp_path / "a.tar", [("0.png", png(0)), ("1.txt", b"one"), ("2.png", png(2)), ("2.json", b"{]")])
    faults = [entry.fault for entry in entries(tmp_path / "a.tar")]
    assert "no .txt" in faults[0] and "no image" in faults[1] and "cannot be read" in faults[2]


def test_hugging_face_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    cells = [{"bytes": png(number), "path": f"{number}.png"} for number in range(len(TEXTS))]
    parquet.write_table(pyarrow.table({"image": cells, "text": TEXTS}), tmp_path / "train-00000.parquet")
    read(tmp_path / "train-00000.parquet")
    images(tmp_path)
    names = [f"{number}.png" for number in range(len(TEXTS))]
    parquet.write_table(pyarrow.table({"path": names, "label": TEXTS}), tmp_path / "paths.parquet")
    read(tmp_path / "paths.parquet")
    parquet.write_table(
        pyarrow.table({"image": [None, cells[1]], "text": ["a", None]}), tmp_path / "b.parquet"
    )
    assert [entry.fault for entry in entries(tmp_path / "b.parquet")] == ["no image", "no text in its label"]


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(DependencyError, match="pyarrow") as found:
        open_source(tmp_path / "a.parquet")
    assert "vocr-cli[parquet]" in found.value.fix


@pytest.mark.parametrize("layout", ["vietocr", "clovaai"])
def test_databases_are_merged_and_scaled(tmp_path, layout):
    images(tmp_path)
    rows = [f"{number}.png\t{text}\n" for number, text in enumerate(TEXTS)]
    for name, part in (("a", rows[:1]), ("b", rows[1:])):
        (tmp_path / f"{name}.tsv").write_text("".join(part), encoding="utf-8")
        source = open_source(tmp_path / f"{name}.tsv")
        build_databases(
            [source], tmp_path / name, BuildSettings(layout=layout, workers=1), lambda count: None
        )
    both = [open_source(tmp_path / name) for name in "ab"]
    build_databases(both, tmp_path / "c", BuildSettings(workers=1, height_px=20), lambda count: None)
    with LineStore(tmp_path / "c") as store:
        assert [line.text for line in store] == TEXTS and store.heights.tolist() == [20] * 4
        assert store.layout == "vietocr" and store.widths.tolist() == [40, 42, 44, 46]


def test_a_folder_without_labels_is_explained(tmp_path):
    with pytest.raises(DataError, match="without labels"):
        open_source(tmp_path)


def test_what_else_a_folder_holds_is_named(tmp_path):
    """A database, a list at its top or below it: one kind is read, the others are not lost without a word."""
    below = tmp_path / "mixed" / "more"
    below.mkdir(parents=True)
    images(below)
    rows = "".join(f"{number}.png\t{text}\n" for number, text in enumerate(TEXTS))
    (below / "labels.tsv").write_text(rows, encoding="utf-8")
    build_databases([open_source(below)], tmp_path / "mixed" / "db.lmdb", BuildSettings(), lambda done: None)
    source = open_source(tmp_path / "mixed")
    assert source.lines == len(TEXTS)
    assert "not read unless you name it: more/labels.tsv" in " ".join(source.notes)
    (tmp_path / "mixed" / "labels.tsv").write_text("more/0.png\tmột\n", encoding="utf-8")
    said = " ".join(open_source(tmp_path / "mixed").notes)
    assert "of labels.tsv; not read unless you name it: more/labels.tsv, db.lmdb" in said
    assert not any("not read" in note for note in open_source(below).notes)
