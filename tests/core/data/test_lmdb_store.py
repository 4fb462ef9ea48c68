import multiprocessing
import os
import pickle
import struct
import subprocess
import sys
import unicodedata
from io import BytesIO

import lmdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vocr_cli.core.data.lmdb.store import LineStore, LineWriter, StoredLine
from vocr_cli.core.errors import DataError
from vocr_cli.core.text import clean


def png(width, height):
    buffer = BytesIO()
    Image.new("L", (width, height), 255).save(buffer, "PNG")
    return buffer.getvalue()


def write(path, lines, layout="vietocr", **options):
    with LineWriter(path, layout, **options) as writer:
        for number, text in enumerate(lines):
            width = 20 + number
            writer.add(StoredLine(png(width, 16), text, f"lines/{number}.png"), width, 16)
    return path


def write_foreign(path, records):
    environment = lmdb.open(str(path), map_size=1 << 20)
    with environment.begin(write=True) as transaction:
        for key, value in records.items():
            transaction.put(key.encode(), value)
    environment.close()
    return path


texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20).filter(
    lambda text: clean(text)
)


@settings(max_examples=30, deadline=None)
@given(
    lines=st.lists(st.tuples(st.binary(min_size=1, max_size=200), texts, texts), min_size=1, max_size=20),
    layout=st.sampled_from(["vietocr", "clovaai"]),
)
def test_what_is_written_is_read(tmp_path_factory, lines, layout):
    path = tmp_path_factory.mktemp("db") / "lines"
    with LineWriter(path, layout) as writer:
        for number, (image, text, name) in enumerate(lines):
            writer.add(StoredLine(image, text, name), number + 1, number + 2)
    with LineStore(path) as store:
        assert len(store) == store.stated_count == len(lines) and store.layout == layout and store.has_index
        assert [line.image for line in store] == [image for image, _, _ in lines]
        assert [line.text for line in store] == [clean(text) for _, text, _ in lines]
        assert store.widths.tolist() == [number + 1 for number in range(len(lines))]
        assert store.heights.tolist() == [number + 2 for number in range(len(lines))]
        assert store.label_lengths.tolist() == [len(clean(text)) for _, text, _ in lines]
        if layout == "vietocr":
            assert [line.path for line in store] == [name for _, _, name in lines]


@pytest.mark.parametrize("layout", ["vietocr", "clovaai"])
def test_keys_are_those_other_readers_expect(tmp_path, layout):
    write(tmp_path / "db", ["một", "hai"], layout)
    with lmdb.open(str(tmp_path / "db"), readonly=True) as environment, environment.begin() as transaction:
        found = {bytes(key).decode(): bytes(value) for key, value in transaction.cursor()}
    numbers = (0, 1) if layout == "vietocr" else (1, 2)
    assert found["num-samples"] == b"2"
    assert [found[f"label-{number:09d}"].decode() for number in numbers] == ["một", "hai"]
    assert [Image.open(BytesIO(found[f"image-{number:09d}"])).width for number in numbers] == [20, 21]
    if layout == "vietocr":
        assert found["path-000000001"] == b"lines/1.png"
        assert np.frombuffer(found["dim-000000001"], np.int32).tolist() == [16, 21]
    else:
        assert not any(key.startswith(("path-", "dim-")) for key in found)


def test_last_line_of_a_vietocr_database_is_kept(tmp_path):
    records = {"num-samples": b"2"}  # VietOCR writes one less than there are
    for number, text in enumerate(["một", "hai", unicodedata.normalize("NFD", "Đường Nguyễn Huệ")]):
        records[f"image-{number:09d}"] = png(30 + number, 20)
        records[f"label-{number:09d}"] = text.encode()
        records[f"path-{number:09d}"] = f"{number}.png".encode()
        records[f"dim-{number:09d}"] = struct.pack("<ii", 20, 30 + number)
    with LineStore(write_foreign(tmp_path / "db", records)) as store:
        assert len(store) == 3 and store.stated_count == 2 and not store.has_index
        assert store[-1] == StoredLine(png(32, 20), "Đường Nguyễn Huệ", "2.png")
        assert store.widths.tolist() == [30, 31, 32] and store.heights.tolist() == [20, 20, 20]
        assert store.label_lengths.tolist() == [3, 3, 16]


def test_sizes_of_a_clovaai_database_come_from_its_images(tmp_path):
    records = {"num-samples": b"9"}  # more than there are
    for number, data in enumerate([png(30, 20), b"no image", png(50, 22)], start=1):
        records |= {f"image-{number:09d}": data, f"label-{number:09d}": b"one"}
    with LineStore(write_foreign(tmp_path / "db", records)) as store:
        assert len(store) == 3 and store.layout == "clovaai"
        assert store.widths.tolist() == [30, 0, 50] and store.heights.tolist() == [20, 0, 22]


def test_a_gap_and_a_broken_label_are_named_not_fatal(tmp_path):
    records = {f"image-{number:09d}": png(9, 9) for number in (0, 1, 2)} | {"label-000000000": b"a"}
    records |= {"label-000000001": b"\xff\xfe"}
    with LineStore(write_foreign(tmp_path / "db", records)) as store:
        assert store[0].text == "a"
        with pytest.raises(DataError, match=r"line 1 is not UTF-8"):
            store[1]
        with pytest.raises(DataError, match="line 2 has no label"):
            store[2]


def test_an_index_that_no_longer_fits_is_not_believed(tmp_path):
    write(tmp_path / "db", ["một", "hai"])
    added = {"image-000000002": png(99, 16), "label-000000002": b"ba", "num-samples": b"3"}
    with LineStore(write_foreign(tmp_path / "db", added)) as store:
        assert len(store) == 3 and not store.has_index and store.widths.tolist() == [20, 21, 99]


def test_a_single_file_is_a_database_too(tmp_path):
    write(tmp_path / "db", ["một"])
    (tmp_path / "db" / "data.mdb").rename(tmp_path / "lines.mdb")
    assert LineStore(tmp_path / "lines.mdb")[0].text == "một"


def test_indices_behave_as_a_lists(tmp_path):
    store = LineStore(write(tmp_path / "db", ["a", "b", "c"]))
    assert store[-3].text == "a" and [line.text for line in store[1:]] == ["b", "c"]
    for number in (3, -4):
        with pytest.raises(IndexError):
            store[number]
        with pytest.raises(IndexError):
            store.text(number)


def read_last(store):
    return store[len(store) - 1].text


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_an_open_store_works_in_child_processes(tmp_path, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"{method} is not offered here")
    store = LineStore(write(tmp_path / "db", ["một", "Đường Nguyễn Huệ"]))
    assert store.widths.tolist() == [20, 21]
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(read_last, (store,)) == "Đường Nguyễn Huệ"
    assert store[0].text == "một"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_an_inherited_store_opens_anew_after_a_fork(tmp_path):
    store = LineStore(write(tmp_path / "db", ["một", "hai"]))
    child = os.fork()
    if child == 0:
        os._exit(0 if store[1].text == LineStore(tmp_path / "db")[1].text == "hai" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store[1].text == "hai"


def test_two_stores_on_one_database_live_side_by_side(tmp_path):
    write(tmp_path / "db", ["một"])
    (tmp_path / "link").symlink_to(tmp_path / "db")
    first, second = LineStore(tmp_path / "db"), LineStore(tmp_path / "link")
    first.close()
    assert second[0].text == "một" and pickle.loads(pickle.dumps(first))[0].text == "một"
    assert first[0].text == "một"  # opened again by use


def test_a_replaced_database_is_seen_at_once(tmp_path):
    old = LineStore(write(tmp_path / "db", ["cũ"]))
    write(tmp_path / "db", ["mới", "hai"], overwrite=True)
    assert LineStore(tmp_path / "db")[0].text == "mới" and old[0].text == "cũ"
    assert os.listdir(tmp_path) == ["db"]


@pytest.mark.parametrize("keep", [0, 100, 5000, -4096])
def test_a_database_cut_short_is_refused_not_fatal(tmp_path, keep):
    file = write(tmp_path / "db", [f"dòng {number}" for number in range(200)]) / "data.mdb"
    content = file.read_bytes()
    file.write_bytes(content[:keep])
    code = f"from vocr_cli.core.data.lmdb.store import LineStore; LineStore({str(tmp_path / 'db')!r})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1 and "DataError" in result.stderr, result


def test_foreign_and_missing_databases_are_told_apart(tmp_path):
    with pytest.raises(DataError, match="No database at"):
        LineStore(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"no data\.mdb"):
        LineStore(tmp_path)
    with pytest.raises(DataError, match="not of text lines"):
        LineStore(write_foreign(tmp_path / "db", {"cat": b"meow"}))
    (tmp_path / "text.mdb").write_text("x" * 9000)
    with pytest.raises(DataError, match="not an LMDB"):
        LineStore(tmp_path / "text.mdb")


def test_an_error_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError), LineWriter(tmp_path / "db") as writer:
        writer.add(StoredLine(png(9, 9), "một", "a"), 9, 9)
        raise RuntimeError
    with pytest.raises(DataError, match="No line"), LineWriter(tmp_path / "db"):
        pass
    assert os.listdir(tmp_path) == []


def test_nothing_appears_before_the_end(tmp_path):
    with LineWriter(tmp_path / "db") as writer:
        writer.add(StoredLine(png(9, 9), "một", "a"), 9, 9)
        writer.flush()
        assert not (tmp_path / "db").exists()
    assert os.listdir(tmp_path) == ["db"] and os.listdir(tmp_path / "db") == ["data.mdb"]


def test_an_existing_database_is_refused_and_another_folder_never_replaced(tmp_path):
    write(tmp_path / "db", ["một"])
    with pytest.raises(DataError, match="exists") as caught:
        LineWriter(tmp_path / "db")
    assert "--overwrite" in caught.value.fix
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(DataError, match="will not be replaced"):
        LineWriter(tmp_path / "photos", overwrite=True)
    assert (tmp_path / "photos" / "a.jpg").exists()


def test_an_interrupted_build_goes_on_where_it_was(tmp_path):
    with pytest.raises(KeyboardInterrupt), LineWriter(tmp_path / "db", fingerprint="x") as writer:
        writer.state["position"] = 1
        writer.add(StoredLine(png(20, 16), "một", "0"), 20, 16)
        raise KeyboardInterrupt
    assert not (tmp_path / "db").exists()
    with LineWriter(tmp_path / "db", fingerprint="x", resume=True) as writer:
        assert writer.lines == 1 and writer.state == {"position": 1}
        writer.add(StoredLine(png(21, 16), "hai", "1"), 21, 16)
    store = LineStore(tmp_path / "db")
    assert [line.text for line in store] == ["một", "hai"] and store.widths.tolist() == [20, 21]
    assert os.listdir(tmp_path) == ["db"]


def test_another_fingerprint_starts_afresh(tmp_path):
    with pytest.raises(KeyboardInterrupt), LineWriter(tmp_path / "db", fingerprint="x") as writer:
        writer.add(StoredLine(png(20, 16), "một", "0"), 20, 16)
        raise KeyboardInterrupt
    for fingerprint, resume in (("y", True), ("x", False)):
        with LineWriter(tmp_path / fingerprint, fingerprint=fingerprint, resume=resume) as writer:
            assert writer.lines == 0 and writer.state == {}
            writer.add(StoredLine(png(20, 16), "hai", "0"), 20, 16)
        assert len(LineStore(tmp_path / fingerprint)) == 1


@pytest.mark.skipif(os.name != "posix", reason="no file locks")
def test_two_builds_of_one_database_do_not_mix(tmp_path):
    with LineWriter(tmp_path / "db", fingerprint="x") as writer:
        with pytest.raises(DataError, match="Another process"):
            LineWriter(tmp_path / "db", fingerprint="x")
        writer.add(StoredLine(png(20, 16), "hai", "0"), 20, 16)
    assert len(LineStore(tmp_path / "db")) == 1


def test_the_map_grows_with_the_data(tmp_path):
    image = os.urandom(3 << 20)
    with LineWriter(tmp_path / "db") as writer:
        for number in range(30):  # 90 MB: more than the first map
            writer.add(StoredLine(image, "một", str(number)), 9, 9)
    store = LineStore(tmp_path / "db")
    assert len(store) == 30 and store[29].image == image


@pytest.mark.skipif(os.name != "posix", reason="no file size limit to stand for a full disk")
def test_a_full_disk_is_an_error_with_a_remedy_and_leaves_nothing(tmp_path):
    code = f"""
import os, resource
from vocr_cli.core.data.lmdb.store import LineWriter, StoredLine
resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))
with LineWriter({str(tmp_path / "db")!r}, fingerprint="x") as writer:
    for number in range(100):
        writer.add(StoredLine(os.urandom(1 << 20), "một", ""), 9, 9)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "DiskFault" in result.stderr and "Free disk space" in result.stderr, result.stderr
    assert os.listdir(tmp_path) == []
