"""`vocr serve` under many clients at once, beside what `vocr bench infer` reads in the same run.

    python benchmarks/serve.py [--clients 200] [--requests 2000] [--model vi-small] [--json FILE]

Each client keeps one connection, sends an image, waits for its answer, and sends the next. None may be lost:
an answer that is not 200 with the text that the model reads alone counts as lost. The clients are one process
of plain sockets, so that little but the server is measured; it still takes its share of the processors, which
is told. `vocr bench infer` measures the same number format and threads before and after.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMAGES = sorted((ROOT / "examples" / "lines" / "images").glob("*.png"))
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "VOCR_TOKEN": "bench"}


def rss_mb(pid: int) -> float:
    return int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1024


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Load:
    """Requests of all clients; `times_ms` of those answered, `lost` of those that were not."""

    def __init__(self, port: int, texts: list[str], requests: int) -> None:
        self.port, self.texts, self.left = port, texts, requests
        self.times_ms: list[float] = []
        self.lost: list[str] = []
        self.bodies = [image.read_bytes() for image in IMAGES]

    async def run(self, clients: int) -> float:
        began = time.monotonic()
        await asyncio.gather(*(self.client(number) for number in range(clients)))
        return time.monotonic() - began

    async def client(self, number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        while self.left > 0:
            self.left -= 1
            number = (number + 1) % len(self.bodies)
            began = time.monotonic()
            status, body = await self.post(reader, writer, self.bodies[number])
            self.times_ms.append(1000 * (time.monotonic() - began))
            if status != 200 or json.loads(body)["text"] != self.texts[number]:
                self.lost.append(f"{status} {body[:200]!r}")
        writer.close()

    async def post(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes
    ) -> tuple[int, bytes]:
        head = f"POST /read HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAuthorization: Bearer bench\r\n"
        writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(re.findall(r"content-length: (\d+)", answer)[0])
        return int(answer.split(" ")[1]), await reader.readexactly(length)


def bench_infer(options: argparse.Namespace) -> float:
    """Lines/s from files to text, by `vocr bench infer`, in the number format and threads of the server."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "bench.json"
        words = [
            "bench", "infer", "--model", options.model, "--data", IMAGES[0].parents[1], "--precision",
            options.precision, "--threads", options.threads, "--limit", options.bench_lines, "--json", result,
        ]  # fmt: skip
        subprocess.run([sys.executable, "-m", "vocr_cli", *map(str, words)], env=ENVIRONMENT, check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        found = json.loads(result.read_text())
    return next(
        row["end_to_end"]["median"]
        for row in found["precisions"]
        if row["facts"]["backend_runtime"] == options.runtime
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--model", default="vi-small")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--bench-lines", type=int, default=2000, help="that vocr bench infer reads")
    parser.add_argument("--no-bench", action="store_true", help="do not run vocr bench infer")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from vocr_cli import Recognizer

    alone = [
        reading.text for reading in Recognizer.load(options.model, "cpu", options.precision).read(IMAGES)
    ]
    before = None if options.no_bench else bench_infer(options)
    words = ["serve", "--model", options.model, "--precision", options.precision, "--threads",
             str(options.threads), "--runtime", options.runtime, "--port", "0"]  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "vocr_cli", *words], env=ENVIRONMENT,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # fmt: skip
    assert process.stdout is not None
    port = int(re.findall(r":(\d+)/", process.stdout.readline())[0])
    asyncio.run(Load(port, alone, 200).run(min(20, options.clients)))  # warm
    start_mb, server_cpu_s = rss_mb(process.pid), cpu_s(process.pid)
    client_cpu_s = time.process_time()
    load = Load(port, alone, options.requests)
    seconds = asyncio.run(load.run(options.clients))
    server_cpu_s, client_cpu_s = cpu_s(process.pid) - server_cpu_s, time.process_time() - client_cpu_s
    end_mb = rss_mb(process.pid)
    process.send_signal(signal.SIGTERM)
    process.wait()
    after = None if options.no_bench else bench_infer(options)
    ordered = sorted(load.times_ms)
    speed = len(ordered) / seconds
    infer = None if before is None or after is None else statistics.mean([before, after])
    found = {
        "clients": options.clients, "requests": len(ordered), "lost": len(load.lost),
        "threads": options.threads, "precision": options.precision, "runtime": options.runtime,
        "load": os.getloadavg()[0],
        "lines_per_s": round(speed, 1), "bench_infer_lines_per_s": infer,
        "share_of_bench": infer and round(speed / infer, 3),
        "ms_p50": round(statistics.median(ordered), 1), "ms_p95": round(ordered[int(0.95 * len(ordered))], 1),
        "server_cpu_ms_a_line": round(1000 * server_cpu_s / len(ordered), 2),
        "client_cpu_ms_a_line": round(1000 * client_cpu_s / len(ordered), 2),
        "start_mb": round(start_mb), "end_mb": round(end_mb),
        "client_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }  # fmt: skip
    print(json.dumps(found, indent=1))
    for lost in load.lost[:5]:
        print(lost)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(bool(load.lost))


if __name__ == "__main__":
    main()
