"""Makes the tables of BENCHMARKS.md and LEADERBOARD.md out of the files in `benchmarks/results`.

    python benchmarks/tables.py            # writes them
    python benchmarks/tables.py --check    # says which of them differ, and ends with 1 if one does

A table stands between `<!-- table NAME -->` and `<!-- /table -->`; NAME is a file of `results` without its
ending. A file holds either a table as it is (`columns`, `rows`), or what `vocr bench infer --json` wrote.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGES = (HERE.parent / "BENCHMARKS.md", HERE / "LEADERBOARD.md")
MARKED = re.compile(r"(<!-- table (\S+) -->\n).*?(<!-- /table -->)", re.DOTALL)
NUMBER = re.compile(r"[-−+]?[\d.,]+( |%|$)")

Rows = list[list[str]]


def markdown(columns: list[str], rows: Rows) -> str:
    """Writes a Markdown table; columns in which every filled cell is a number are set flush right."""
    cells = [[row[at] for row in rows if row[at]] for at in range(len(columns))]
    right = [bool(column) and all(NUMBER.match(cell) for cell in column) for column in cells]
    rule = ["---:" if flush else "---" for flush in right]
    return "".join(f"| {' | '.join(row)} |\n" for row in [columns, rule, *rows]).replace("|  |", "| |")


def percent(rate: dict[str, float]) -> str:
    """Writes a rate with its interval, as `vocr eval` prints them."""
    return f"{rate['value']:.2%} ({rate['low']:.2%}–{rate['high']:.2%})"


def infer_table(result: dict[str, Any]) -> tuple[list[str], Rows]:
    """Columns and rows of what `vocr bench infer --json` wrote: whole processes, or else each precision."""
    if result["peers"]:
        return peers_table(result["peers"])
    columns = ["recogniser", "lines/s", "one line p50, ms", "peak MB", "CER"]
    rows = [
        [
            f"{result['model']} {row['facts']['precision']}, {row['facts']['runtime']}",
            f"{row['end_to_end']['median']:,.0f}",
            f"{row['latency_ms_p50']:.1f}",
            f"{row['peak_memory_mb']:,.0f}",
            percent(row["cer"]) if row["cer"] else "",
        ]
        for row in result["precisions"]
    ]
    return columns, rows


def peers_table(peers: dict[str, Any]) -> tuple[list[str], Rows]:
    """Columns and rows of whole processes, their start included."""
    columns = [
        "whole process",
        "setting",
        "lines/s",
        "CPU ms a line",
        "start s",
        "start CPU s",
        "peak MB",
        "CER",
    ]
    rows = [
        [
            row["version"],
            row["setting"],
            f"{row['lines_per_s']['median']:,.1f}",
            f"{1000 * row['cpu_s_per_line']['median']:.1f}",
            f"{row['start_s']['median']:.2f}",
            f"{row['start_cpu_s']['median']:.2f}",
            f"{row['peak_memory_mb']:,.0f}",
            percent(row["cer"]) if row["cer"] else "",
        ]
        for row in peers["contestants"]
    ]
    return columns, rows


def table(name: str) -> str:
    """Makes the table out of `results/NAME.json`.

    Raises:
        FileNotFoundError: There are no results of that name.
        KeyError: The file holds neither a table nor a result of `vocr bench infer`.
    """
    result = json.loads((HERE / "results" / f"{name}.json").read_text(encoding="utf-8"))
    if "columns" in result:
        return markdown(result["columns"], result["rows"])
    return markdown(*infer_table(result))


def filled(page: str) -> str:
    """Gives the page with every table made anew."""
    return MARKED.sub(lambda match: match[1] + table(match[2]) + match[3], page)


def main() -> int:
    """Writes the pages, or compares them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    check = parser.parse_args().check
    stale = []
    for page in PAGES:
        old = page.read_text(encoding="utf-8")
        new = filled(old)
        if new != old:
            stale.append(page.name)
            if not check:
                page.write_text(new, encoding="utf-8")
    if stale:
        print(f"{'differ from their results' if check else 'written'}: {', '.join(stale)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
