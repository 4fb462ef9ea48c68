"""Facts about the machine: processor, memory, disk and GPUs, as far as this process may use them."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Iterator, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vocr_cli.core.machine.gpus import GpuMeter, gpu_uuid
from vocr_cli.core.machine.memory import psutil_without_proc
from vocr_cli.core.machine.torch_available import has_torch

SPEED_FLAGS = (
    "avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8", "avx512_vnni", "avx_vnni", "asimddp", "i8mm",
    "bf16",
)  # fmt: skip
"""The CPU flags that decide which number formats are fast; the last three are ARM's."""

_UNLIMITED_BYTES = 1 << 60  # cgroup v1 writes a number near 2**63 for "no limit"


@dataclass(frozen=True)
class Gpu:
    """One graphics card."""

    name: str
    memory_bytes: int
    free_bytes: int | None
    """What no process has taken; None: the driver does not tell without a context on the card."""
    capability: tuple[int, int]
    bf16: bool
    """Whether the card computes in bfloat16 itself; emulation is no gain and does not count."""


@dataclass(frozen=True)
class Hardware:
    """What this process may use. None where the system does not tell."""

    cpu_model: str
    cores: int
    """Physical cores, within the process's affinity and its container's CPU quota; at least 1."""
    cpu_flags: frozenset[str]
    """Those of `SPEED_FLAGS` that the CPU has."""
    memory_bytes: int | None
    """RAM, or the container's limit where that is lower."""
    available_bytes: int | None
    """RAM that can still be had without swapping, within the container's limit."""
    disk_free_bytes: int
    shared_memory_bytes: int | None
    """Size of /dev/shm, through which data workers hand over batches."""
    torch_version: str = ""
    torch_threads: int = 0
    gpus: tuple[Gpu, ...] = ()

    @property
    def cpu_bf16(self) -> bool:
        """Whether the CPU multiplies bfloat16 natively; without that, bf16 on a CPU is slower than fp32."""
        return has_bf16(self.cpu_flags)

    @property
    def cpu_int8(self) -> bool:
        """Whether the CPU sums products of bytes without saturating; see `sums_int8_exactly`."""
        return sums_int8_exactly(self.cpu_flags)


def has_bf16(cpu_flags: Set[str]) -> bool:
    """Whether a CPU with these of `SPEED_FLAGS` multiplies bfloat16 natively."""
    return bool(cpu_flags & {"avx512_bf16", "amx_bf16", "bf16"})


def sums_int8_exactly(cpu_flags: Set[str]) -> bool:
    """Whether a CPU with these of `SPEED_FLAGS` sums products of bytes in 32 bits.

    With AVX2 alone two products are summed in 16 bits first, which saturate: readings get worse.
    """
    return "avx2" not in cpu_flags or bool(cpu_flags & {"avx512_vnni", "avx_vnni"})


@cache
def processor() -> tuple[str, frozenset[str]]:
    """Gives the model of the CPU, and those of `SPEED_FLAGS` that it has."""
    return _processor(Path("/"))


def read_hardware(folder: Path = Path(), *, torch_facts: bool = True, root: Path = Path("/")) -> Hardware:
    """Looks at the machine.

    Args:
        folder: The free disk space is that of the file system it lies in.
        torch_facts: Whether to look for GPUs and at torch's threads; that imports torch, where it is there.
        root: Where `proc`, `sys` and `dev` are found.
    """
    model, flags = _processor(root)
    total, available = _memory(root)
    shared = root / "dev/shm"
    version, threads, gpus = _torch_facts() if torch_facts else ("", 0, ())
    return Hardware(
        cpu_model=model,
        cores=usable_cores(root),
        cpu_flags=flags,
        memory_bytes=total,
        available_bytes=available,
        disk_free_bytes=shutil.disk_usage(folder).free,
        shared_memory_bytes=shutil.disk_usage(shared).total if shared.is_dir() else None,
        torch_version=version,
        torch_threads=threads,
        gpus=gpus,
    )


def spin_briefly() -> None:
    """Has torch's threads on a CPU spin 10,000 rounds while they wait for each other before they sleep.

    By default libgomp spins on for milliseconds, while a loader's worker could have the core; with 1,000
    rounds threads fall asleep at every operation. Counts only before torch is loaded, and where the
    environment says nothing.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def free_processors(seconds: float = 0.3, root: Path = Path("/")) -> float | None:
    """Logical processors that all programs together leave idle, watched for a while; None where not known."""
    if (psutil := _psutil(root)) is not None:
        return float((os.cpu_count() or 1) * (1 - psutil.cpu_percent(seconds) / 100))
    before = _ticks(root)
    time.sleep(seconds)
    passed = [after - earlier for earlier, after in zip(before, _ticks(root), strict=False)]
    if len(passed) < 5 or sum(passed) <= 0:
        return None
    idle = passed[3] + passed[4]  # idle, and waiting for a disk
    return (os.cpu_count() or 1) * idle / sum(passed)


def _psutil(root: Path) -> Any:
    """The package psutil, which tells of this machine where it has no /proc; None elsewhere."""
    return psutil_without_proc() if root == Path("/") else None


def _ticks(root: Path) -> list[int]:
    """Time that the processors together spent in each state: user, nice, system, idle, waiting and more."""
    words = _text(root / "proc/stat").partition("\n")[0].split()
    return [int(word) for word in words[1:9]] if words[:1] == ["cpu"] else []


def _torch_facts() -> tuple[str, int, tuple[Gpu, ...]]:
    if not has_torch():
        return "", 0, ()
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return torch.__version__, torch.get_num_threads(), tuple(_gpu(index) for index in range(count))


def _gpu(index: int) -> Gpu:
    """A card as torch counts them; no context is made on it but where it is the one in use."""
    import torch

    facts = torch.cuda.get_device_properties(index)
    capability = (facts.major, facts.minor)
    free = GpuMeter(gpu_uuid(index)).free_bytes()
    if free is None and index == torch.cuda.current_device():
        free = torch.cuda.mem_get_info()[0]
    return Gpu(
        name=facts.name,
        memory_bytes=facts.total_memory,
        free_bytes=free,
        capability=capability,
        bf16=capability >= (8, 0) or torch.version.hip is not None,  # ROCm's all do
    )


def _processor(root: Path) -> tuple[str, frozenset[str]]:
    facts: dict[str, str] = {}
    first, _, _ = _text(root / "proc/cpuinfo").partition("\n\n")  # the others are alike
    for line in first.splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    flags = set((facts.get("flags") or facts.get("Features") or "").split())  # of x86, of ARM
    model = facts.get("model name") or platform.processor() or platform.machine()
    return model, frozenset(flags.intersection(SPEED_FLAGS))


def usable_processors() -> int:
    """How many logical processors this process may use, at least 1."""
    return len(_processor_numbers())


def _processor_numbers() -> list[int]:
    """The logical processors that this process may use, as the system numbers them."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def usable_cores(root: Path = Path("/")) -> int:
    """Physical cores that the process may use, within the container's quota, at least 1."""
    physical = set()
    for cpu in _processor_numbers():
        siblings = _text(root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").strip()
        physical.add(siblings or f"cpu{cpu}")
    if (psutil := _psutil(root)) is not None:
        return max(1, min(len(physical), psutil.cpu_count(logical=False) or len(physical)))
    quota = _cpu_quota(root)
    return max(1, len(physical) if quota is None else min(len(physical), int(quota)))


def _cpu_quota(root: Path) -> float | None:
    """CPUs that the container may use at a time, the lowest limit on the way up; None: no limit."""
    quotas = []
    for folder in _cgroup_folders(root, "cpu"):
        words = _text(folder / "cpu.max").split()  # v2: quota and period
        if not words:
            words = [_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]  # v1
        if len(words) == 2 and all(word.isdigit() for word in words) and int(words[1]):
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def _memory(root: Path) -> tuple[int | None, int | None]:
    """RAM and what is available of it, in bytes."""
    if (psutil := _psutil(root)) is not None:
        memory = psutil.virtual_memory()
        return int(memory.total), int(memory.available)
    meminfo = {}
    for line in _text(root / "proc/meminfo").splitlines():
        key, _, value = line.partition(":")
        if value.split() and value.split()[0].isdigit():
            meminfo[key] = int(value.split()[0]) * 1024
    total, available = meminfo.get("MemTotal"), meminfo.get("MemAvailable")
    if total is None and "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for folder in _cgroup_folders(root, "memory"):
        limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")  # v2, v1
        if limit is None or limit >= _UNLIMITED_BYTES:
            continue
        used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes") or 0
        left = max(0, limit - max(0, used - _reclaimable(folder)))
        total = limit if total is None else min(total, limit)
        available = left if available is None else min(available, left)
    return total, available


def _reclaimable(folder: Path) -> int:
    """Bytes of file cache that the kernel gives back before it refuses memory."""
    for line in _text(folder / "memory.stat").splitlines():
        key, _, value = line.partition(" ")
        if key in ("inactive_file", "total_inactive_file") and value.strip().isdigit():
            return int(value)
    return 0


def _cgroup_folders(root: Path, controller: str) -> Iterator[Path]:
    """Folders that may hold limits of `controller`: the process's own group and all above it, v2 and v1."""
    mount = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            base = mount
        elif controller in controllers.split(","):
            base = mount / controller
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts), -1, -1):
            folder = base.joinpath(*parts[:depth])
            if folder.is_dir():
                yield folder


def _number(file: Path) -> int | None:
    text = _text(file).strip()
    return int(text) if text.isdigit() else None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
