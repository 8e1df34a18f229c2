"""Bodies beyond the usual limit: from callers who may submit files, and only so much of them at once in a process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from gateway.errors import refusal
from gateway.limits import Limits
from sources.caller import Caller
from sources.errors import Overloaded

SCOPE: Final = "documents:submit"
_MARKS: Final = (b",", b"[", b"{")
"""Beside values of JSON, and not in Base64."""
_BYTES_BY_MARK: Final = 16


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

    def check(self, body: bytes, request_id: str) -> None:
        """Beyond the usual limit a body is files, each of them one text: small values take far more than their size once they are read.
        Raises RequestRefused where it has as many as no body of the usual size is likely to have."""
        usual = self._limits.body_bytes
        if len(body) > usual and sum(map(body.count, _MARKS)) > usual // _BYTES_BY_MARK:
            message = f"a request of more than {usual} bytes has few values: files, each as one text"
            raise refusal("PAYLOAD_TOO_LARGE", message, request_id)
