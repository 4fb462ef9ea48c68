"""How soon `vocr label` shows lines of a large folder, and what it takes; in Chromium, too, with Playwright.

    python benchmarks/label.py [--lines 100000] [--decisions 200] [--json FILE]

The folder holds hard links to the example lines, under names of their own. Times are seconds from the start
of the process, or milliseconds from Enter to the next line with its image.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FIRST_LINE = """() => document.getElementById('work').dataset.line !== undefined
  && document.getElementById('image').complete"""


def make_folder(folder: Path, count: int) -> None:
    images = sorted((ROOT / "examples" / "lines" / "images").glob("*.png"))
    folder.mkdir()
    copies = [shutil.copy(image, folder.parent / image.name) for image in images]
    for index in range(count):
        os.link(copies[index % len(copies)], folder / f"{index:06}.png")


def rss_mb(pid: int, name: str = "VmHWM") -> float:
    return int(re.findall(rf"{name}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1024


class Asker:
    def __init__(self, url: str) -> None:
        self.base, _, self.token = url.partition("/?token=")

    def __call__(self, path: str, sent: object = None) -> Any:
        data = None if sent is None else json.dumps(sent).encode()
        request = urllib.request.Request(self.base + path, data, {"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request) as answer:
            body = answer.read()
            return json.loads(body) if "json" in answer.headers["content-type"] else body


def in_browser(url: str, began: float, decisions: int) -> dict[str, Any] | None:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    with sync_playwright() as playwright:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        opened = time.monotonic()
        page.goto(url)
        page.wait_for_function(FIRST_LINE)
        first = {"first_line_after_opening_s": round(time.monotonic() - opened, 2),
                 "first_line_s": round(time.monotonic() - began, 2)}  # fmt: skip
        times = page.evaluate(ENTER, decisions)
        browser.close()
    return {**first, **spread(times)}


ENTER = """async (count) => {
  const times = [], text = document.getElementById('text'), work = document.getElementById('work');
  for (let done = 0; done < count; done += 1) {
    if (!text.value) text.value = 'x';
    const before = work.dataset.line, began = performance.now();
    text.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }));
    while (work.dataset.line === before) await new Promise((resolve) => { setTimeout(resolve, 0); });
    await document.getElementById('image').decode();
    await new Promise((resolve) => { requestAnimationFrame(() => resolve()); });
    times.push(performance.now() - began);
    await new Promise((resolve) => { setTimeout(resolve, 150); });
  }
  return times;
}"""
"""Presses Enter so often, as somebody who reads would: with a pause, in which the page fetches ahead."""


def spread(times_ms: list[float]) -> dict[str, float]:
    ordered = sorted(times_ms)
    return {"next_line_ms_p50": round(statistics.median(ordered), 1),
            "next_line_ms_p95": round(ordered[int(0.95 * (len(ordered) - 1))], 1),
            "next_line_ms_max": round(ordered[-1], 1), "decisions": len(ordered)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--decisions", type=int, default=200)
    parser.add_argument("--read-all", action="store_true", help="wait until the model has read all lines")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_folder(folder / "in", options.lines)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        began = time.monotonic()
        words = [sys.executable, "-m", "vocr_cli", "label", "in", "--out", "out.tsv", "--port", "0"]
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        found: dict[str, Any] = {"lines": options.lines, "machine": platform.machine(),
                                 "cores": os.cpu_count(), "load": os.getloadavg()[0],
                                 "address_s": round(time.monotonic() - began, 2)}  # fmt: skip
        ask = Asker(url)
        while not (lines := ask("/api/next", {"count": 1, "tab": "bench", "order": "confidence"})["lines"]):
            time.sleep(0.01)
        ask(f"/api/lines/{lines[0]['id']}/image")
        found["first_line_over_http_s"] = round(time.monotonic() - began, 2)
        found["browser"] = in_browser(url, began, options.decisions)
        over_http = []
        for _ in range(options.decisions):
            line = ask("/api/next", {"count": 1, "tab": "bench", "order": "confidence"})["lines"][0]
            start = time.monotonic()
            ask("/api/decide", {"line": line["id"], "version": line["version"], "image": line["image"],
                                "verdict": "text", "text": "x"})  # fmt: skip
            line = ask("/api/next", {"count": 1, "tab": "bench", "order": "confidence"})["lines"][0]
            ask(f"/api/lines/{line['id']}/image")
            over_http.append(1000 * (time.monotonic() - start))
        found["over_http"] = spread(over_http)
        state = ask("/api/state")
        found["read_meanwhile"] = state["read"]
        deadline = time.monotonic() + 300
        while options.read_all and state["read"] < options.lines and time.monotonic() < deadline:
            time.sleep(1)
            state = ask("/api/state")
        if options.read_all:
            found["all_read_s"] = round(time.monotonic() - began, 1)
        found["peak_mb"] = round(rss_mb(process.pid))
        process.send_signal(signal.SIGTERM)
        process.wait()
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
