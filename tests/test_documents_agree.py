"""The documents agree with the code and with each other: options, links, mirrors, lists of folders, sizes."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from documents import MIRRORS, ROOT, blocks, commands, text_of

from vocr_cli.app import app

LINKED = [
    page.relative_to(ROOT).as_posix()
    for folder in (".", "docs", "docs/vi", "benchmarks", "benchmarks/peers/vietocr")
    for page in sorted((ROOT / folder).glob("*.md"))
]


@cache
def whole_command() -> Any:
    """The command line, which takes a tenth of a second to make."""
    return typer.main.get_command(app)


def options_of(words: list[str]) -> set[str]:
    """The options of the `vocr` command that these words begin with."""
    command = whole_command()
    for word in words[1:]:
        inner = getattr(command, "commands", {}).get(word.split("|")[0])
        if inner is None:
            break
        command = inner
    assert command is not whole_command(), words
    return {option for each in command.params for option in (*each.opts, *each.secondary_opts)}


@pytest.mark.parametrize(
    "page",
    [
        *MIRRORS,
        *MIRRORS.values(),
        "BENCHMARKS.md",
        "CONTRIBUTING.md",
        "docs/model-card-vi-small.md",
        "docs/model-card-vi-base.md",
    ],
)
def test_every_command_and_option_that_a_page_names_is_there(page: str) -> None:
    inline = re.findall(
        r"`((?:vocr|torchrun|make|examples/\S+\.sh) [^`\n]+)`", text_of(page).replace("\\|", "|")
    )
    for command in [*commands(page), *inline]:
        words = shlex.split(command)
        named = {word.split("=")[0] for word in words if word.startswith("--")}
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", text_of("Makefile"), re.MULTILINE), command
        elif words[0] == "torchrun":
            assert "-m vocr_cli train" in command
            assert named - {"--nproc-per-node"} <= options_of(["vocr", "train"]), command
        elif words[0].startswith("examples/"):
            script = text_of(words[0])
            subprocess.run(["bash", "-n", str(ROOT / words[0])], check=True)
            assert all(f"{option})" in script or option == "--set" for option in named), command
        elif words[1] != "COMMAND":
            assert named <= options_of(words), command
    every = {"--max-restarts", "--nproc-per-node", "--help", "--psm"}  # torchrun's, typer's, Tesseract's
    for name in (
        "infer",
        "read",
        "eval",
        "build-lmdb",
        "autoconf",
        "train",
        "synth",
        "calibrate",
        "export",
        "inspect",
        "lm",
        "config",
        "env",
        "label",
        "serve",
    ):
        every |= options_of(["vocr", name])
    for name in ("infer", "train", "data", "claims"):
        every |= options_of(["vocr", "bench", name])
    alone = re.findall(r"`(--[a-z][a-z-]*)[^`]*`", text_of(page))
    assert set(alone) <= every, set(alone) - every


def numbers(text: str) -> Counter[str]:
    """The numbers of a text, whichever of point and comma is the decimal one."""
    return Counter(re.sub("[.,]", "", number) for number in re.findall(r"\d[\d.,]*", text))


@pytest.mark.parametrize("page", MIRRORS)
def test_a_mirror_has_the_same_commands_and_numbers(page: str) -> None:
    mirror = MIRRORS[page]
    assert commands(page) == commands(mirror)
    without_comments = [
        [re.sub(r"  # .*", "", block) for block in blocks(each, "python")] for each in (page, mirror)
    ]
    assert without_comments[0] == without_comments[1]
    tables = [re.findall(r"^\|.*\|$", text_of(each), re.MULTILINE) for each in (page, mirror)]
    assert [numbers(row) for row in tables[0]] == [numbers(row) for row in tables[1]]
    assert numbers(text_of(page)) == numbers(text_of(mirror))
    headings = [re.findall(r"^#+ ", text_of(each), re.MULTILINE) for each in (page, mirror)]
    assert headings[0] == headings[1]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKED)
def test_links_images_and_anchors_lead_somewhere(page: str) -> None:
    text = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    for target in targets:
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        file = (ROOT / page).parent / name if name else ROOT / page
        assert file.exists(), f"{page}: {target}"
        assert not anchor or anchor in anchors(file), f"{page}: {target}"


@pytest.mark.parametrize("page", ["README.md", "README.vi.md"])
def test_readme_is_short_and_lists_the_folders_and_extras(page: str) -> None:
    assert len(text_of(page).splitlines()) <= 130
    listed: list[str] = []
    folders = [""]
    for line in next(block for block in blocks(page) if block.startswith("vocr_cli/")).splitlines():
        indent, name = re.match(r"( *)(\S+)/ ", line).groups()  # type: ignore[union-attr]
        folders = [*folders[: len(indent) // 2 + 1], f"{folders[len(indent) // 2]}{name}/"]
        listed.append(folders[-1])
    listing = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True)
    files = listing.stdout.splitlines() or [str(path.relative_to(ROOT)) for path in ROOT.rglob("*.*")]
    for parent in ("", "vocr_cli/", "vocr_cli/core/"):
        inside = [file.removeprefix(parent) for file in files if file.startswith(parent) and file[0] != "."]
        actual = {f"{parent}{file.split('/')[0]}/" for file in inside if "/" in file}
        assert {name for name in listed if name.count("/") == parent.count("/") + 1} == actual
    extras = re.search(r"(?:extras|phần thêm): ((?:`\w+`[^`.]*)+)\.", text_of(page))
    assert extras is not None
    declared = tomllib.loads(text_of("pyproject.toml"))["project"]["optional-dependencies"]
    assert set(re.findall(r"`(\w+)`", extras[1])) == set(declared)


def test_the_files_that_contributing_names_are_there() -> None:
    for name in re.findall(r"`([\w./]+(?:\.py|/))`", text_of("CONTRIBUTING.md")):
        homes = ("", "vocr_cli", "vocr_cli/core")
        assert any((ROOT / home / name).exists() for home in homes), name


@pytest.mark.parametrize("name", ["vi-small", "vi-base"])
def test_the_model_cards_have_the_sizes_of_their_models(name: str) -> None:
    from vocr_cli.core.models.files import load_model

    model = load_model(name)
    card, assets = text_of(f"docs/model-card-{name}.md"), ROOT / "vocr_cli" / "assets"
    assert f"| characters | {len(model.charset.characters)}:" in card
    assert (
        f"{int(sum(weight.numel() for weight in model.module.parameters()) / 1e4) / 100:.2f} M parameters"
        in card
    )
    for ending, kind in (("safetensors", "fp16 safetensors"), ("int8.onnx", "int8 ONNX")):
        assert f"{(assets / f'{name}.{ending}').stat().st_size / 1e6:.1f} MB ({kind})" in card
    assert f"{model.image.height_px} px high, up to {model.image.max_width_px:,} px wide" in card
