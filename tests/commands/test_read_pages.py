"""`vocr read`, with lines that files give: no detector is needed."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from drawn_pages import (
    LINES,
    SIZE,
    TEXT,
    box_of_line,
    coco,
    draw_page,
    kraken,
    page_xml,
    ppocr,
    write_page,
    yolo,
)
from PIL import Image
from typer.testing import CliRunner, Result

from vocr_cli.app import build_app
from vocr_cli.core.pages.detectors.text_map import network_file
from vocr_cli.core.pages.inputs.documents import find_documents
from vocr_cli.core.pages.journal import PageJournal
from vocr_cli.core.pages.page import Page
from vocr_cli.core.pages.request import ReadPagesRequest, documents_of, existing_output

runner = CliRunner()
needs_detector = pytest.mark.skipif(
    network_file() is None and shutil.which("tesseract") is None,
    reason="nothing that finds lines is installed",
)


def read(*arguments: object) -> Result:
    return runner.invoke(build_app(["read"]), ["read", *map(str, arguments)])


def test_lines_come_as_a_file_gives_them(tmp_path: Path) -> None:
    result = read(write_page(tmp_path))
    assert result.exit_code == 0, result.output
    assert result.stdout.replace("\n\n", "\n") == TEXT
    assert "Read 1 page, 3 lines" in result.stderr


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("Label.txt", ppocr("page.png")),
        ("coco.json", coco("page.png")),
        ("page.txt", yolo()),
        ("page.json", kraken("page.png")),
    ],
)
def test_files_of_boxes_give_the_lines(tmp_path: Path, name: str, content: str) -> None:
    draw_page().save(tmp_path / "page.png")
    (tmp_path / name).write_text(content, encoding="utf-8")
    result = read(tmp_path / name, "--detector", "layout")
    assert result.exit_code == 0, result.output
    assert result.stdout.replace("\n\n", "\n") == TEXT


@pytest.mark.parametrize(
    ("name", "turn"),
    [*(("Label.txt", turn) for turn in (0, 90, 180, 270)), ("page.txt", 90), ("page.txt", 270)],
)
def test_corners_tell_which_way_a_line_runs(tmp_path: Path, name: str, turn: int) -> None:
    """Clockwise from the corner where reading begins."""
    page = draw_page().rotate(-turn, expand=True)
    page.save(tmp_path / "page.png")
    quads = []
    for left, top, right, bottom in [box_of_line(line) for line in LINES]:
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        turned = {
            0: lambda x, y: (x, y),
            90: lambda x, y: (SIZE[1] - y, x),
            180: lambda x, y: (SIZE[0] - x, SIZE[1] - y),
            270: lambda x, y: (y, SIZE[0] - x),
        }[turn]
        quads.append([turned(*corner) for corner in corners])
    if name == "Label.txt":
        content = "page.png\t" + json.dumps([{"transcription": "", "points": quad} for quad in quads])
    else:
        rows = [" ".join(f"{x / page.width:.6f} {y / page.height:.6f}" for x, y in quad) for quad in quads]
        content = "".join(f"0 {row}\n" for row in rows)
    (tmp_path / name).write_text(content, encoding="utf-8")
    result = read(tmp_path / name, "--detector", "layout")
    assert result.exit_code == 0, result.output
    assert sorted(result.stdout.split()) == sorted(TEXT.split())


@pytest.mark.parametrize("form", ["hocr", "alto", "page"])
def test_what_is_written_gives_the_same_lines_when_it_is_read(tmp_path: Path, form: str) -> None:
    result = read(write_page(tmp_path), "--format", form, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    (written,) = (tmp_path / "out").glob("[!.]*")
    assert all(text in _visible(written) for _, _, text in LINES)
    again = read(written, "--detector", "layout")
    assert again.exit_code == 0, again.output
    assert again.stdout.replace("\n\n", "\n") == TEXT


def _visible(file: Path) -> str:
    """The words of a file of hOCR, ALTO or PAGE XML, parted by spaces."""
    from lxml import etree

    root = etree.parse(file).getroot()
    if root.tag.endswith("alto"):
        return " ".join(element.get("CONTENT", "") for element in root.iter() if element.get("CONTENT"))
    return " ".join("".join(root.itertext()).split())


def test_page_and_alto_say_their_language(tmp_path: Path) -> None:
    page = write_page(tmp_path)
    assert ' primaryLanguage="Vietnamese"' in read(page, "--format", "page").stdout
    assert ' LANG="vi"' in read(page, "--format", "alto").stdout


def test_one_bad_line_costs_no_other(tmp_path: Path) -> None:
    draw_page().save(tmp_path / "page.png")
    boxes = [*(box_of_line(line) for line in LINES), (2000, 50, 2100, 80), (50, 300, 400, 300)]
    (tmp_path / "page.xml").write_text(page_xml("page.png", boxes), encoding="utf-8")
    result = read(tmp_path / "page.xml", "--errors", tmp_path / "errors.tsv")
    assert result.exit_code == 3
    assert result.stdout.replace("\n\n", "\n") == TEXT
    listed = (tmp_path / "errors.tsv").read_text(encoding="utf-8")
    assert "line l4: it lies outside the page" in listed and "line l5:" in listed
    assert all(reason in result.stderr for reason in ("line l4", "line l5"))


@pytest.mark.parametrize("fault", ["missing", "other", "truncated", "empty"])
def test_a_page_without_its_image_is_named_and_the_others_are_read(tmp_path: Path, fault: str) -> None:
    write_page(tmp_path, "good")
    write_page(tmp_path, "bad")
    image = tmp_path / "bad.png"
    content = image.read_bytes()
    image.unlink()
    if fault == "other":
        Image.new("L", (400, 400), 255).save(image)
    elif fault != "missing":
        image.write_bytes(content[: len(content) // 2 if fault == "truncated" else 0])
    result = read(tmp_path / "bad.xml", tmp_path / "good.xml", "--out", tmp_path / "out")
    assert result.exit_code == 3
    assert "1 of 2 pages could not be read" in result.stderr and "bad.xml" in result.stderr
    assert [file.name for file in (tmp_path / "out").glob("[!.]*")] == ["good.txt"]


def test_a_blank_page_is_an_empty_text(tmp_path: Path) -> None:
    Image.new("L", SIZE, 255).save(tmp_path / "page.png")
    (tmp_path / "page.xml").write_text(page_xml("page.png", [box_of_line(LINES[0])]), encoding="utf-8")
    result = read(tmp_path / "page.xml", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "page.txt").read_text() == ""
    assert "Nothing was found on 1 page" in result.stderr


def test_everything_that_is_known_is_in_the_json(tmp_path: Path) -> None:
    result = read(write_page(tmp_path), "--format", "jsonl")
    page = json.loads(result.stdout)
    assert (page["width_px"], page["height_px"], page["page"], page["turned"]) == (*SIZE, 1, 0)
    for line, (_, _, text) in zip(page["lines"], LINES, strict=True):
        assert line["text"] == text and 0 <= line["confidence"] <= 1
        assert len(line["char_confidences"]) == len(text)
        assert len(line["words"]) == len(text.split()) and len(line["corners"]) == 4


def test_words_stand_where_they_were_drawn(tmp_path: Path) -> None:
    page = json.loads(read(write_page(tmp_path), "--format", "jsonl").stdout)
    for line, (left, _, text) in zip(page["lines"], LINES, strict=True):
        (begin, _), (end, _) = line["corners"][:2]
        for index, (start, stop) in enumerate(line["words"]):
            words = text.split()
            before = " ".join(words[:index]) + (" " if index else "")
            expected = [left + _drawn_px(before), left + _drawn_px(before + words[index])]
            placed = [begin + (end - begin) * share for share in (start, stop)]
            assert max(abs(a - b) for a, b in zip(placed, expected, strict=True)) < 12  # a letter's width


def _drawn_px(text: str) -> float:
    left, _, right, _ = box_of_line((0, 0, f"{text.rstrip()}|"))
    bar_left, _, bar_right, _ = box_of_line((0, 0, "|"))
    space = 8 * (len(text) - len(text.rstrip()))
    return right - left - (bar_right - bar_left) + space


def test_paragraphs_are_joined_and_hyphens_kept_or_not(tmp_path: Path) -> None:
    lines = [
        (60, 50, "Chương trình khuyến nông được triển khai"),
        (60, 92, "ở các xã vùng cao của tỉnh Sóc-"),
        (60, 134, "trăng."),
    ]
    write_page(tmp_path, lines=lines)
    kept = read(tmp_path / "page.xml", "--join-lines").stdout
    joined = read(tmp_path / "page.xml", "--join-lines", "--hyphens", "join").stdout
    assert kept == "Chương trình khuyến nông được triển khai ở các xã vùng cao của tỉnh Sóc-trăng.\n"
    assert joined == kept.replace("Sóc-trăng", "Sóctrăng")
    assert read(tmp_path / "page.xml", "--format", "md").stdout == kept


def test_nothing_that_is_there_is_replaced_unasked(tmp_path: Path) -> None:
    page, out = write_page(tmp_path), tmp_path / "out"
    assert read(page, "--out", out).exit_code == 0
    (out / "page.txt").write_text("mine")
    refused = read(page, "--out", out)
    assert refused.exit_code == 2 and (out / "page.txt").read_text() == "mine"
    resumed = read(page, "--out", out, "--resume")
    assert resumed.exit_code == 0 and (out / "page.txt").read_text() == "mine"
    assert "Passed by 1 document" in resumed.stderr
    assert read(page, "--out", out, "--overwrite").exit_code == 0
    assert (out / "page.txt").read_text() != "mine"


def test_a_run_goes_on_where_it_was_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [write_page(tmp_path / "pages", f"p{number}", LINES[: 1 + number % 3]) for number in range(6)]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert read(*pages, "--out", whole, "--format", "jsonl", "--workers", 1).exit_code == 0

    add = PageJournal.add
    for _ in range(3):  # each run gets one page further, and leaves half a line behind
        count = 0

        def interrupted(journal: PageJournal, page: Page) -> None:
            nonlocal count
            count += 1
            if count == 2:
                with journal.path.open("ab") as file:
                    file.write(b'{"path": "cut sh')
                raise KeyboardInterrupt
            add(journal, page)

        monkeypatch.setattr(PageJournal, "add", interrupted)
        result = read(*pages, "--out", parts, "--format", "jsonl", "--workers", 1, "--resume")
        assert result.exit_code == 130, result.output
    monkeypatch.setattr(PageJournal, "add", add)
    result = read(*pages, "--out", parts, "--format", "jsonl", "--workers", 1, "--resume")
    assert result.exit_code == 0 and "Resumed: 3 pages" in result.stderr
    contents = [{file.name: file.read_bytes() for file in folder.glob("[!.]*")} for folder in (whole, parts)]
    assert contents[0] == contents[1] and len(contents[0]) == 6


def test_a_run_with_other_options_does_not_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [write_page(tmp_path / "pages", f"p{number}", LINES[:1]) for number in range(2)]

    def interrupted(journal: PageJournal, page: Page) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(PageJournal, "add", interrupted)
        assert read(*pages, "--out", tmp_path / "out", "--workers", 1).exit_code == 130
    result = runner.invoke(
        build_app(["read"]),
        ["read", *map(str, pages), "--out", str(tmp_path / "out"), "--resume", "-f", "md"],
    )
    assert result.exit_code == 1 and "format: txt then, md now" in str(result.exception)


def test_shards_read_everything_once(tmp_path: Path) -> None:
    for number in range(3):
        write_page(tmp_path / "pages", f"p{number}", LINES[number : number + 1])
    for shard in ("1/2", "2/2"):
        result = read(tmp_path / "pages", "--detector", "layout", "--out", tmp_path / "out", "--shard", shard)
        assert result.exit_code == 0, result.output
    texts = [(tmp_path / "out" / f"p{number}.txt").read_text() for number in range(3)]
    assert texts == [f"{text}\n" for _, _, text in LINES]


def test_two_documents_of_one_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    first, second = write_page(tmp_path / "a"), write_page(tmp_path / "b", lines=LINES[:1])
    assert read(first, second, "--out", tmp_path / "out").exit_code == 0
    texts = {file.name: file.read_text().replace("\n\n", "\n") for file in (tmp_path / "out").glob("[!.]*")}
    assert texts == {"page.txt": TEXT, "page.xml.txt": f"{LINES[0][2]}\n"}


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--resume"], "--resume"),
        (["--format", "pdf"], "--format"),
        (["--shard", "3/2"], "--shard"),
        (["--out", "page.png"], "--out"),
        (["--out", "out", "--resume", "--overwrite"], "--resume"),
    ],
)
def test_contradictions_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], hint: str
) -> None:
    write_page(tmp_path)
    monkeypatch.chdir(tmp_path)
    result = read("page.xml", *arguments)
    assert result.exit_code == 2 and hint in result.stderr


def test_an_image_without_its_lines_needs_a_detector(tmp_path: Path) -> None:
    draw_page().save(tmp_path / "page.png")
    result = read(tmp_path / "page.png", "--detector", "layout")
    assert result.exit_code == 3 and "it comes with no lines" in result.stderr


def test_infer_points_here_when_it_meets_a_page(tmp_path: Path) -> None:
    page = Image.new("L", (1240, 1754), 255)
    page.paste(draw_page(), (100, 100))
    page.paste(draw_page(), (100, 700))
    page.save(tmp_path / "page.png")
    result = runner.invoke(build_app(["infer"]), ["infer", str(tmp_path / "page.png")])
    assert result.exit_code == 3 and "vocr read" in result.stderr


def test_a_page_that_was_read_is_found_whatever_its_name(tmp_path: Path) -> None:
    pytest.importorskip("pypdfium2")
    first, second, cache = tmp_path / "first.pdf", tmp_path / "second.pdf", tmp_path / "cache"
    draw_page().convert("RGB").save(first, save_all=True, append_images=[draw_page(LINES[:1]).convert("RGB")])
    second.write_bytes(first.read_bytes())
    arguments = ("--cache", cache, "--format", "jsonl", "--detector", "tesseract")
    if shutil.which("tesseract") is None:
        pytest.skip("Tesseract is not installed")
    pages = [json.loads(line) for line in read(first, *arguments).stdout.splitlines()]
    again = read(second, *arguments)
    found = [json.loads(line) for line in again.stdout.splitlines()]
    assert "Found in the cache: 2 pages" in again.stderr
    assert found == [{**page, "path": str(second)} for page in pages]
    for file in (cache / "pages").rglob("*.json"):
        file.write_text("damaged")
    assert [json.loads(line) for line in read(second, *arguments).stdout.splitlines()] == found
    read(second, *arguments, "--cache-limit", "0.0000001")
    assert not list((cache / "pages").rglob("*.json"))


def test_corrected_labels_of_lines_stay(tmp_path: Path) -> None:
    page, out, lines = write_page(tmp_path / "in"), tmp_path / "out", tmp_path / "lines"
    assert read(page, "--out", out, "--lines", lines).exit_code == 0
    labels = lines / "labels.tsv"
    corrected = labels.read_text(encoding="utf-8").replace("Quyết định", "Quyết định số 1")
    labels.write_text(corrected, encoding="utf-8")
    refused = read(page, "--out", tmp_path / "other", "--lines", lines)
    assert refused.exit_code == 2 and "--lines" in refused.stderr
    other = write_page(tmp_path / "in", "second", lines=LINES[:1])
    resumed = read(page, other, "--out", out, "--lines", lines, "--resume")
    assert resumed.exit_code == 0 and "labels.new.tsv" in resumed.stderr, resumed.output
    assert labels.read_text(encoding="utf-8") == corrected
    assert (lines / "labels.new.tsv").read_text(encoding="utf-8").count("\n") == len(LINES) + 1


def test_labels_that_nobody_changed_grow(tmp_path: Path) -> None:
    page, out, lines = write_page(tmp_path / "in"), tmp_path / "out", tmp_path / "lines"
    assert read(page, "--out", out, "--lines", lines).exit_code == 0
    other = write_page(tmp_path / "in", "second", lines=LINES[:1])
    assert read(page, other, "--out", out, "--lines", lines, "--resume").exit_code == 0
    assert (lines / "labels.tsv").read_text(encoding="utf-8").count("\n") == len(LINES) + 1
    assert not (lines / "labels.new.tsv").exists()


def test_pages_with_files_of_their_own_do_not_meet(tmp_path: Path) -> None:
    names = ("scan-0002.png", "scan.tif", "other-0001.png", "other-0002.png", "plain.png")
    for name in names:
        draw_page().save(tmp_path / name)
    for numbered, expected in (
        (False, ["scan-0002", "scan", "other-0001", "other-0002", "plain"]),
        (True, ["scan-0002", "scan.tif", "other-0001", "other-0002", "plain"]),
    ):
        found = find_documents([tmp_path / name for name in names], numbered=numbered)
        assert [document.stem for document in found] == expected
    backwards = find_documents([tmp_path / "scan.tif", tmp_path / "scan-0002.png"], numbered=True)
    assert [document.stem for document in backwards] == ["scan", "scan-0002.png"]


def test_a_new_file_that_is_called_as_an_older_one_is_read_on_resume(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    first, out = tmp_path / "in" / "scan.png", tmp_path / "out"
    draw_page(LINES[:1]).save(first)
    assert read(first, "--out", out).exit_code == 0
    draw_page(LINES[1:2]).save(tmp_path / "in" / "scan.jpg", quality=95)  # listed before scan.png
    tmp_path = (tmp_path.parent / f"{tmp_path.name}-moved").absolute()
    out.parent.rename(tmp_path)
    resumed = read(tmp_path / "in", "--out", tmp_path / "out", "--resume")
    assert resumed.exit_code == 0 and "Passed by 1 document " in resumed.stderr, resumed.output
    texts = {file.name: file.read_text("utf-8") for file in (tmp_path / "out").glob("*.txt")}
    assert sorted(texts) == ["scan.jpg.txt", "scan.txt"]
    assert texts["scan.txt"] != texts["scan.jpg.txt"]
    again = read(tmp_path / "in", "--out", tmp_path / "out", "--resume")
    assert again.exit_code == 0 and "Passed by 2 documents" in again.stderr, again.output


def test_names_stay_as_they_were_where_a_run_that_overwrites_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer, out = tmp_path / "scan.png", tmp_path / "scan.jpg", tmp_path / "out"
    draw_page(LINES[:1]).save(older)
    assert read(older, "--out", out).exit_code == 0
    draw_page(LINES[1:2]).save(newer, quality=95)
    mark = PageJournal.mark_written

    def mark_and_die(journal: PageJournal, stem: str) -> None:
        mark(journal, stem)
        raise KeyboardInterrupt

    monkeypatch.setattr(PageJournal, "mark_written", mark_and_die)
    assert read(newer, older, "--out", out, "--overwrite", "--workers", 1).exit_code == 130
    monkeypatch.setattr(PageJournal, "mark_written", mark)
    resumed = read(newer, older, "--out", out, "--resume", "--workers", 1)
    assert resumed.exit_code == 0, resumed.output
    texts = {file.name: file.read_text("utf-8").strip() for file in out.glob("*.txt")}
    assert texts == {"scan.txt": LINES[0][2], "scan.jpg.txt": LINES[1][2]}


def test_a_file_that_took_the_place_of_another_has_its_text(tmp_path: Path) -> None:
    page, out = tmp_path / "scan.png", tmp_path / "out"
    draw_page(LINES[:1]).save(page)
    assert read(page, "--out", out).exit_code == 0
    page.unlink()
    draw_page(LINES[:1]).save(tmp_path / "scan.jpg")
    resumed = read(tmp_path / "scan.jpg", "--out", out, "--resume")
    assert "Passed by 1 document " in resumed.stderr, resumed.output


def test_folders_of_the_output_are_not_searched_for_pages(tmp_path: Path) -> None:
    draw_page().save(tmp_path / "a.png")
    for folder in ("out", "lines/images", "more"):
        (tmp_path / folder).mkdir(parents=True)
        draw_page().save(tmp_path / folder / "b.png")
    found = find_documents([tmp_path], leave_out=[tmp_path / "out", tmp_path / "lines", tmp_path / "none"])
    assert [document.path.name for document in found] == ["a.png", "b.png"]
    assert len(list(find_documents([tmp_path / "out"], leave_out=[tmp_path / "out"]))) == 1


def test_pictures_of_pages_replace_nothing_unasked(tmp_path: Path) -> None:
    pages = [draw_page().convert("1") for _ in range(2)]
    pages[0].save(tmp_path / "doc.tif", save_all=True, append_images=pages[1:])
    (tmp_path / "doc-0002.png").write_bytes(b"mine")
    request = ReadPagesRequest(paths=[tmp_path / "doc.tif"], out=tmp_path, format="alto")
    assert existing_output(request, documents_of(request)) == tmp_path / "doc-0002.png"
    assert existing_output(replace(request, out=tmp_path / "out"), documents_of(request)) is None


def test_a_name_too_long_for_its_text_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    long = write_page(tmp_path, "A" * 250)
    page = write_page(tmp_path, "page")
    result = read(long, page, "--format", "jsonl", "--out", tmp_path / "out")
    assert result.exit_code == 3 and "too long" in result.stderr and "Shorten" in result.stderr
    assert [file.name for file in (tmp_path / "out").glob("[!.]*")] == ["page.jsonl"]
    assert read(long, "--format", "txt", "--out", tmp_path / "texts").exit_code == 0


def test_what_is_no_file_is_told_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    missing = str(tmp_path / "missing.png")
    result = read(tmp_path / "pipe.png", missing, "-", "--out", tmp_path / "out", "--detector", "layout")
    assert result.exit_code == 3
    said = " ".join(result.stderr.split())
    assert "a pipe or a device, no file" in said and "missing.png: no such file" in said
    assert "pages do not come from stdin" in said and "labels" not in said
