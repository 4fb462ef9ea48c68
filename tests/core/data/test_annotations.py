import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vocr_cli.core.data.readers.labelled import load_labelled
from vocr_cli.core.data.readers.source_options import SourceOptions
from vocr_cli.core.errors import DataError
from vocr_cli.core.text import VIETNAMESE_CHARSET, clean


def read(tmp_path, content):
    file = tmp_path / "labels.tsv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_labelled(file)


def pairs(labelled):
    return [(line.name, line.label) for line in labelled.lines]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_bom_and_foreign_line_ends_leave_no_trace(tmp_path, end):
    labelled = read(tmp_path, end.join(["\ufeffa.png\tmột", "b.png\thai"]) + end)
    assert pairs(labelled) == [("a.png", "một"), ("b.png", "hai")] and not labelled.bad


def test_last_line_without_line_end_is_kept(tmp_path):
    assert pairs(read(tmp_path, "a.png\tmột\nb.png\tĐường Nguyễn Huệ"))[-1] == ("b.png", "Đường Nguyễn Huệ")


def test_output_of_infer_is_an_annotation_file(tmp_path):
    labelled = read(tmp_path, "path\ttext\tconfidence\na.png\tmột\t0.9876\nb.png\thai\t1.0\n")
    assert pairs(labelled) == [("a.png", "một"), ("b.png", "hai")] and not labelled.bad


def test_empty_columns_at_the_end_do_not_count(tmp_path):
    labelled = read(tmp_path, "a.png\tmột\t\t \n")
    assert pairs(labelled) == [("a.png", "một")] and not labelled.bad


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"a.png m\xe1\xbb\x99t", "no tab"),
        (b"a.png\t", "label is empty"),
        (b"a.png\t \xc2\xa0 ", "label is empty"),
        (b"\tlabel", "no path"),
        (b"a.png\tT\xe1\xbb\x95ng\t100.000", "3 columns"),
        (b"a.png\tTotal\t5", "3 columns"),
        (b"a.png\tone\ttwo\tthree", "4 columns"),
        (b"a.png\tone\x07two", r"control characters: .*U\+0007"),
        ("a.png\tmột\u200bhai".encode(), r"U\+200B"),
        (b"a\0.png\tone", r"U\+0000"),
        (b"a.png\tm\xf4t", "not UTF-8: byte 0xF4 at position 8"),
    ],
)
def test_each_kind_of_bad_line_is_reported_with_its_number(tmp_path, row, reason):
    labelled = read(tmp_path, b"ok.png\tfine\n\n" + row + b"\nlast.png\tfine too\n")
    assert pairs(labelled) == [("ok.png", "fine"), ("last.png", "fine too")]
    (bad,) = labelled.bad
    assert bad.number == 3
    assert re.search(reason, bad.reason), bad.reason


def test_nfd_labels_become_nfc_and_are_counted(tmp_path):
    labelled = read(tmp_path, "a.png\t" + unicodedata.normalize("NFD", "Huệ") + "\nb.png\tHuệ\n")
    assert [line.label for line in labelled.lines] == ["Huệ", "Huệ"] and labelled.normalised == 1


def test_paths_given_twice_are_kept_and_noted(tmp_path):
    labelled = read(tmp_path, "a.png\tmột\nb.png\thai\na.png\tba\n")
    assert len(labelled.lines) == 3 and labelled.duplicates == ("a.png",)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("một\n", "the first line is 'một'"),
        ("", "empty"),
        ("\ufeff\n \n", "empty"),
        ("a.png\tmột\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_a_file_that_is_no_annotation_file_says_what_was_found(tmp_path, content, problem):
    with pytest.raises(DataError, match=problem) as caught:
        read(tmp_path, content)
    assert caught.value.fix


def test_missing_file_folder_and_images_folder_are_named(tmp_path):
    with pytest.raises(DataError, match="No annotation file"):
        load_labelled(tmp_path / "nothing.tsv")
    with pytest.raises(DataError, match="a folder"):
        load_labelled(tmp_path)
    (tmp_path / "labels.tsv").write_text("a.png\tone\n")
    with pytest.raises(DataError, match="images folder"):
        load_labelled(tmp_path / "labels.tsv", options=SourceOptions(images=tmp_path / "nowhere"))


def test_windows_paths_are_found(tmp_path):
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines" / "a.png").touch()
    labelled = read(tmp_path, "lines\\a.png\tmột\n")
    assert labelled.lines[0].image == str(tmp_path / "lines" / "a.png")


@given(st.lists(st.text(VIETNAMESE_CHARSET, min_size=1).filter(str.strip), min_size=1))
def test_any_vietnamese_label_survives(tmp_path_factory, labels):
    content = "".join(f"{number}.png\t{label}\n" for number, label in enumerate(labels))
    labelled = read(tmp_path_factory.mktemp("m"), content)
    assert pairs(labelled) == [(f"{number}.png", clean(label)) for number, label in enumerate(labels)]
