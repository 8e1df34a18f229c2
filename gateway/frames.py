"""The way of messages to a WebSocket: uvicorn's protocol, to which an endpoint may also give frames that it made itself.

Through ASGI every message is encoded for every socket again, by a coroutine each. What thousands of readers get is the
same but for an operation's id, so it is made once (`gateway.messages`) and written as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

EXTENSION = "ledgergraph.frames"
"""Where the endpoint finds its FrameProtocol: in the scope's extensions (ASGI, Extensions)."""

FIRST_BYTES = 16_384
"""Size of a message before the reader has said who it is: a token, and what a client library adds."""

_TEXT = 0x81  # the last frame of a text message (RFC 6455, 5.2)


class FrameProtocol(WebSocketsSansIOProtocol):
    """One connection. `takes_more`: the transport's buffer has room; `resumed` is called when it has room again."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.resumed: Callable[[], None] | None = None
        self.takes_more = True
        self._most_bytes = self.conn.max_message_size
        self.conn.max_message_size = FIRST_BYTES

    async def run_asgi(self) -> None:
        extensions: dict[str, Any] = {**(self.scope["extensions"] or {}), EXTENSION: self}
        self.scope["extensions"] = extensions
        await super().run_asgi()

    def trust(self) -> None:
        """From now on messages may be as long as the server's settings let them. What the handshake said is let go: a third of
        what an idle connection holds."""
        self.conn.max_message_size = self._most_bytes
        self.scope["headers"] = []
        del self.request, self.response

    def write(self, frames: bytes) -> None:
        """Whole frames, one or many. What comes after the connection's end is dropped: its reader is told by `receive`."""
        if not (self.close_sent or self.disconnected or self.transport.is_closing()):
            self.transport.write(frames)

    def connection_lost(self, exc: Exception | None) -> None:
        """What refers to itself is let go: thousands of sockets that close would wait for the collector."""
        super().connection_lost(exc)
        self.conn.parser.close()
        self.resumed = None
        if self.handshake_initiated:
            self.scope["extensions"] = {}

    def pause_writing(self) -> None:
        self.takes_more = False
        super().pause_writing()

    def resume_writing(self) -> None:
        self.takes_more = True
        super().resume_writing()
        if self.resumed is not None:
            self.resumed()


def frame_head(size: int) -> bytes:
    """The head of a server's frame that holds a whole text message of so many bytes (RFC 6455, 5.2)."""
    if size < 126:
        return bytes((_TEXT, size))
    if size < 65_536:
        return bytes((_TEXT, 126)) + size.to_bytes(2, "big")
    return bytes((_TEXT, 127)) + size.to_bytes(8, "big")
