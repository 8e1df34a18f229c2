"""A way to the server that looks like a transaction pooler's: sessions have other process ids than their servers."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Sequence
from urllib.parse import parse_qs, urlsplit

SHIFT = 100_000_000
"""What is added to process ids: more than any server has."""
CANCEL = 80_877_102


@contextlib.asynccontextmanager
async def pooled(dsn: str, *ignored: str) -> AsyncIterator[str]:
    """A DSN on loopback for the server of `dsn`, which names a socket's directory. `ignored`: settings of sessions that do not
    reach it."""
    parts = urlsplit(dsn)
    place = parse_qs(parts.query)
    socket = f"{place['host'][0]}/.s.PGSQL.{place['port'][0]}"
    relays: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_relay(socket, ignored, reader, writer))
        relays.add(task)
        task.add_done_callback(relays.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}?sslmode=disable"
    finally:
        server.close()
        for task in relays:
            task.cancel()
        await asyncio.gather(*relays, return_exceptions=True)


async def _relay(
    socket: str, ignored: Sequence[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    from_server, to_server = await asyncio.open_unix_connection(socket)
    ways = [asyncio.create_task(_ask(ignored, reader, to_server)), asyncio.create_task(_answer(from_server, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        to_server.close()
        writer.close()


async def _ask(ignored: Sequence[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The first message starts a session or cancels a statement of one, by its process id."""
    length = await reader.readexactly(4)
    first = await reader.readexactly(struct.unpack("!I", length)[0] - 4)
    if struct.unpack_from("!I", first)[0] == CANCEL:
        code, pid, secret = struct.unpack("!III", first)
        first = struct.pack("!III", code, pid - SHIFT, secret)
    else:
        words = first[4:].split(b"\0")
        pairs = zip(words[::2], words[1::2], strict=False)
        kept = [b"%s\0%s\0" % pair for pair in pairs if pair[0] and pair[0].decode() not in ignored]
        first = first[:4] + b"".join(kept) + b"\0"
    writer.write(struct.pack("!I", len(first) + 4) + first)
    await _copy(reader, writer)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Message by message until BackendKeyData, then as it comes."""
    kind = b""
    while kind != b"K":
        head = await reader.readexactly(5)
        kind, length = head[:1], struct.unpack("!I", head[1:])[0]
        body = await reader.readexactly(length - 4)
        if kind == b"K":
            pid, secret = struct.unpack("!II", body)
            body = struct.pack("!II", pid + SHIFT, secret)
        writer.write(head + body)
    await _copy(reader, writer)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
