"""What helps a run that waits for its data."""

from __future__ import annotations

from vocr_cli.core.training.record.events import StepDone

_MUCH_WAITING = 0.3
_SUMMARIES = 2  # in a row


class WaitAdvice:
    """Says once, when it has been so for some time, that training waits for its data, and what helps.

    Args:
        workers: Processes that prepare the data.
        cores: Of this machine.
    """

    def __init__(self, workers: int, cores: int) -> None:
        self._workers, self._cores = workers, cores
        self._waiting_summaries, self._given = 0, False

    def take(self, event: StepDone) -> str | None:
        """Returns the advice, if these steps bring it about."""
        waiting = event.data_wait_share > _MUCH_WAITING
        self._waiting_summaries = self._waiting_summaries + 1 if waiting else 0
        if self._given or self._waiting_summaries < _SUMMARIES:
            return None
        self._given = True
        return (
            f"Training waits for its data {event.data_wait_share:.0%} of the time. What helps: more "
            f"data.workers (now {self._workers}; this machine has {self._cores} cores), lines stored as the "
            "model has them (vocr build-lmdb --fit CONFIG), or decoded ones kept in memory (data.cache_mb)."
        )
