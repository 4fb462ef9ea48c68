import os

import pytest

from vocr_cli.core.data.build import worker_pool
from vocr_cli.core.data.build.worker_pool import WorkerLost, ordered_map


def square(number):
    return number * number, os.getpid()


def fail_at_500(number):
    if number == 500:
        raise ValueError("number 500")
    return b"x" * 5_000  # larger results than a pipe holds


def end_at_500(number):
    if number == 500:
        os._exit(1)
    return number


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Workers take over after the first item, without being waited for."""
    monkeypatch.setattr(worker_pool._WorkerPool, "ready", lambda pool: True)


def test_results_come_in_order_from_several_processes():
    done = list(ordered_map(square, range(1_000), workers=2, alone_seconds=0))
    assert [item for item, _ in done] == list(range(1_000))
    assert [result[0] for _, result in done] == [number**2 for number in range(1_000)]
    assert len({result[1] for _, result in done}) == 3  # this one at first, then two workers


def test_an_error_in_a_worker_keeps_its_traceback():
    with pytest.raises(RuntimeError, match=r"fail_at_500[\s\S]*number 500"):
        list(ordered_map(fail_at_500, range(1_000), workers=2, alone_seconds=0))


def test_a_lost_worker_is_an_error_and_not_a_wait():
    with pytest.raises(WorkerLost, match="ended in the middle") as found:
        list(ordered_map(end_at_500, range(1_000), workers=2, alone_seconds=0))
    assert "--resume" in found.value.fix
