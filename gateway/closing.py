"""How a WebSocket ends: the close codes that docs/errors.md lists."""

from __future__ import annotations

LAST_WORDS_SECONDS = 60.0
"""How long a stalled reader may take to come back for its close code; its operations and what waited for it are gone by then."""

CLOSE_CODES: dict[int, str] = {
    1009: "message too big",
    1012: "the server restarts: reconnect and resume",
    1013: "try again later",
    4400: "invalid message",
    4401: "Unauthorized",
    4403: "Forbidden",
    4406: "Subprotocol not acceptable",
    4408: "Connection initialisation timeout",
    4409: "Subscriber already exists",
    4429: "Too many initialisation requests",
    4508: "slow consumer: resume with the last cursor",
}
"""Every code with which the server closes a socket, and its usual reason."""

_MAX_REASON_BYTES = 123


class Closing(Exception):
    """The socket ends with a code of CLOSE_CODES. `reason` is cut to what a close frame holds (RFC 6455, 5.5)."""

    def __init__(self, code: int, reason: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        text = (reason or CLOSE_CODES[code]).encode("utf-8", "replace")
        self.reason = text[:_MAX_REASON_BYTES].decode("utf-8", "ignore")
