"""Draws what `compare.py lengths` measured. Runs in the peer's environment, which has matplotlib.

plot.py FOLDER/results/lengths.json OUT.png
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

COLOURS = {"VietOCR": "tab:red", "vocr": "tab:blue"}
STYLES = (":", "--", "-")


def main() -> None:
    report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    results = report["results"]
    figure, panels = pyplot.subplots(1, len(results), figsize=(5.5 * len(results), 4), squeeze=False)
    for panel, result in zip(panels[0], results, strict=True):
        points = result["points"]
        for style, batch in zip(STYLES, sorted({point["batch"] for point in points}), strict=False):
            for side, colour in COLOURS.items():
                chosen = [point for point in points if point["side"] == side and point["batch"] == batch]
                panel.plot(
                    [point["characters"] for point in chosen],
                    [statistics.median(point["ms_a_line"]) for point in chosen],
                    style, color=colour, marker="o", label=f"{side}, batch {batch}",
                )  # fmt: skip
        panel.set(title=result["model"], xlabel="characters a line", ylabel="ms a line", xlim=0, ylim=0)
        panel.legend(fontsize="small")
    figure.suptitle(f"{report['machine']['cpu_model']}, {report['threads']} threads, fp32", fontsize="small")
    figure.tight_layout()
    figure.savefig(sys.argv[2], dpi=120)


if __name__ == "__main__":
    main()
