"""What a container or a laptop allows, not what the machine behind it has."""

from __future__ import annotations

import dataclasses
import os

import pytest

from vocr_cli.core.machine.hardware import free_processors, read_hardware, spin_briefly

GB = 1 << 30
MEMINFO = "MemTotal:       33554432 kB\nMemFree:  1048576 kB\nMemAvailable:   16777216 kB\n"


@pytest.fixture
def machine(tmp_path):
    """Writes files under a made-up root; returns what is read there."""

    def read(files: dict[str, str]):
        for name, text in {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/\n", **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return read_hardware(tmp_path, torch_facts=False, root=tmp_path)

    return read


@pytest.fixture
def eight_processors(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


def siblings(pairs: int) -> dict[str, str]:
    """Hyper-threads: processors 2k and 2k + 1 share a core."""
    name = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    return {name.format(cpu): f"{cpu // 2 * 2}-{cpu // 2 * 2 + 1}\n" for cpu in range(2 * pairs)}


def test_hyper_threads_do_not_count_as_cores(machine, eight_processors):
    assert machine(siblings(4)).cores == 4


def test_processors_without_topology_count_each(machine, eight_processors):
    assert machine({}).cores == 8


@pytest.mark.parametrize(
    ("quota", "cores"), [("200000 100000", 2), ("50000 100000", 1), ("max 100000", 4), ("900000 100000", 4)]
)
def test_a_container_quota_limits_the_cores(machine, eight_processors, quota, cores):
    assert machine({**siblings(4), "sys/fs/cgroup/cpu.max": f"{quota}\n"}).cores == cores


def test_an_old_container_quota_limits_the_cores(machine, eight_processors):
    files = {
        "proc/self/cgroup": "4:cpu,cpuacct:/job\n3:memory:/job\n",
        "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "300000\n",
        "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{6 * GB}\n",
        "sys/fs/cgroup/memory/job/memory.usage_in_bytes": f"{GB}\n",
    }
    found = machine(files)
    assert (found.cores, found.memory_bytes, found.available_bytes) == (3, 6 * GB, 5 * GB)


def test_without_a_container_memory_is_the_machines(machine):
    found = machine({})
    assert (found.memory_bytes, found.available_bytes) == (32 * GB, 16 * GB)


def test_a_limit_above_the_process_group_counts_and_file_cache_does_not_count_as_used(machine):
    files = {
        "proc/self/cgroup": "0::/pod/job\n",
        "sys/fs/cgroup/pod/memory.max": f"{8 * GB}\n",
        "sys/fs/cgroup/pod/memory.current": f"{5 * GB}\n",
        "sys/fs/cgroup/pod/memory.stat": f"anon {2 * GB}\ninactive_file {3 * GB}\n",
        "sys/fs/cgroup/pod/job/memory.max": "max\n",
    }
    found = machine(files)
    assert (found.memory_bytes, found.available_bytes) == (8 * GB, 6 * GB)


def test_an_unlimited_old_container_is_not_taken_for_exabytes(machine):
    files = {
        "proc/self/cgroup": "3:memory:/\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    assert machine(files).memory_bytes == 32 * GB


def test_flags_and_model_are_read_and_unrelated_flags_left_out(machine):
    text = "processor : 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu sse avx2 amx_bf16 avx512_vnni\n"
    found = machine({"proc/cpuinfo": text})
    assert found.cpu_model == "Some CPU @ 2 GHz"
    assert found.cpu_flags == {"avx2", "amx_bf16", "avx512_vnni"}
    assert found.cpu_bf16


def test_avx512_without_bf16_is_not_taken_for_bf16(machine):
    assert not machine({"proc/cpuinfo": "flags : avx2 avx512f avx512_vnni\n"}).cpu_bf16


def test_a_machine_without_proc_gives_facts_all_the_same(tmp_path):
    found = read_hardware(tmp_path, torch_facts=False, root=tmp_path)
    assert found.cores >= 1
    assert found.available_bytes is None
    assert found.shared_memory_bytes is None
    assert free_processors(0, tmp_path) is None


def test_this_machine_is_read_with_torch():
    found = read_hardware()
    assert found.torch_version
    assert found.torch_threads >= 1
    assert found.disk_free_bytes > 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.cores = 0  # type: ignore[misc]


def test_idle_processors_are_those_that_nothing_ran_on(tmp_path, monkeypatch):
    stat = tmp_path / "proc" / "stat"
    stat.parent.mkdir()
    stat.write_text("cpu 100 0 100 1000 0 0 0 0 0 0\n")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)

    def pass_time(seconds: float) -> None:
        stat.write_text("cpu 160 0 115 1020 5 0 0 0 0 0\n")  # 75 ticks at work, 25 idle

    monkeypatch.setattr("time.sleep", pass_time)
    assert free_processors(1, tmp_path) == pytest.approx(2.0)


def test_torch_is_told_how_long_to_spin_unless_the_user_has_told_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    spin_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    spin_briefly()
    assert int(os.environ["GOMP_SPINCOUNT"]) > 0
