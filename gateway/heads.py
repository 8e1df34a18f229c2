"""Heads of requests that came before: a client sends the same lines with each request, so they are parsed once.

A head is known by all of its bytes, so that nothing of one request is ever taken for another's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST_HEADS = 500
LONGEST = 4_096
MOST_LINES = 32
"""What bounds their memory: how many there are, bytes of one, header lines of one."""

_END = b"\r\n\r\n"
_FORWARDED = frozenset({b"x-forwarded-for", b"x-forwarded-proto"})
_UNUSUAL = frozenset({b"transfer-encoding", b"expect", b"upgrade"})
_OF_CONNECTION = frozenset({"server", "client", "scheme", "state", "extensions"})


@dataclass(slots=True, eq=False)
class Head:
    """`raw`: from the method to the empty line. `size`: bytes of the request, its body included. `scope`: what the parser
    made of it; what belongs to one connection has to be put in. `forwarded`: it tells of a client behind a proxy.
    `noted`: what the application made of it."""

    raw: bytes
    size: int
    scope: Mapping[str, Any]
    forwarded: bool
    noted: Any = None


def head_of(data: bytes) -> bytes:
    """What comes before a request's body; empty when the data does not hold all of it."""
    end = data.find(_END, 0, LONGEST) if data.startswith((b"POST ", b"GET ")) else -1
    return data[: end + len(_END)] if end > 0 else b""


class Heads:
    """The heads of one server, kept from the second time they come, so that one that never returns costs little."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}
        self._seen: set[int] = set()

    def get(self, raw: bytes) -> Head | None:
        return self._known.get(raw)

    def note(self, raw: bytes, size: int, scope: Mapping[str, Any]) -> None:
        """After a request of so many bytes was parsed, alone and to its end. Kept is only what is read in no other way than
        from its start to the length that it states."""
        number = hash(raw)
        if number not in self._seen:
            if len(self._seen) >= MOST_HEADS:
                self._seen.clear()
            self._seen.add(number)
        elif _plain(scope, size - len(raw)):
            if len(self._known) >= MOST_HEADS:
                self._known.clear()
            forwarded = any(name in _FORWARDED for name, _ in scope["headers"])
            kept = {name: value for name, value in scope.items() if name not in _OF_CONNECTION}
            self._known[raw] = Head(raw, size, kept, forwarded)


def _plain(scope: Mapping[str, Any], length: int) -> bool:
    headers = scope["headers"]
    if scope["http_version"] != "1.1" or len(headers) > MOST_LINES or any(name in _UNUSUAL for name, _ in headers):
        return False
    stated = [value for name, value in headers if name == b"content-length"]
    return stated == [b"%d" % length] if stated else length == 0
