"""Bodies beyond the usual limit: from callers who may submit files, and only so much of them at once in a process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from gateway.limits import Limits
from sources.caller import Caller
from sources.errors import Overloaded

SCOPE: Final = "documents:submit"


class Uploads:
    """One for each process, used from one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0

    @contextmanager
    def admitted(self, length: int | None, caller: Caller) -> Iterator[int]:
        """How many bytes a body may have whose head states this length, until its request is answered. A longer one than the usual
        takes its place among those that the process holds at once. Raises Overloaded while there is none, before anything is read."""
        usual, most = self._limits.body_bytes, self._limits.upload_bytes
        if length is None or length <= usual or SCOPE not in caller.scopes:
            yield usual
            return
        if length > most:
            yield max(usual, most)
            return
        if self._held and self._held + length > self._limits.uploads_bytes:
            raise Overloaded("many large requests are being read; send it again in a few seconds")
        self._held += length
        try:
            yield length
        finally:
            self._held -= length
