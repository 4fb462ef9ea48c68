"""What has to be closed, for use in `with`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Closing(ABC):
    """A class with `close`, which the end of a `with` block calls, whatever ended it."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of what the object holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
