"""One process that serves: its socket, its server, and how both end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator

import uvicorn

from gateway.app import protocol_settings
from gateway.composition import Gateway, gateway
from gateway.config import Settings
from sources.errors import ConfigurationError, Unavailable

OPEN_FILES = 65_536
"""How many sockets and files one process may hold, where the system lets it."""
_BACKLOG = 2_048


class Server(uvicorn.Server):
    """uvicorn's server without its own signal handlers: `serve_here` decides when it ends."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answers = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answers.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bound_socket(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one. Raises Unavailable when the port is busy, ConfigurationError when the
    address is none of this machine."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError):
        raise ConfigurationError(f"--host: {host!r} is not the name or the address of this machine") from None
    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(_BACKLOG)
    except OSError as fault:
        found.close()
        raise _refused(host, port, fault) from None
    found.setblocking(False)
    return found


def _refused(host: str, port: int, fault: OSError) -> Exception:
    if fault.errno == errno.EADDRINUSE:
        return Unavailable(
            f"Port {port} on {host} is in use by another program: end it, or choose another with --port."
        )
    if fault.errno in (errno.EACCES, errno.EPERM):
        return ConfigurationError(f"--port: {port} needs permission: choose one from 1024 on")
    return ConfigurationError(f"--host: cannot listen on {host}: {fault.strerror}")


def address_of(listening: socket.socket) -> str:
    """http://127.0.0.1:8000 of a listening socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def raise_open_files() -> None:
    """Lifts this process's soft limit on open files towards OPEN_FILES."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def serve_here(
    settings: Settings,
    listening: socket.socket,
    announce: Callable[[str], None],
    stopped_by: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM),
) -> None:
    """Serves until one of the signals comes; `announce` is called with the address once requests are answered. Open requests
    have `shutdown_seconds` to end; a second SIGINT ends at once."""
    async with gateway(settings) as opened:
        await serve_gateway(opened, listening, announce, stopped_by)


async def serve_gateway(
    opened: Gateway,
    listening: socket.socket,
    announce: Callable[[str], None],
    stopped_by: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM),
) -> None:
    """Serves an opened gateway; see `serve_here`."""
    server = Server(_uvicorn_config(opened))
    address = address_of(listening)
    stopping: list[asyncio.Task[None]] = []

    def stop() -> None:
        if stopping:
            server.force_exit = True
        else:
            stopping.append(asyncio.ensure_future(_stop(opened, server)))

    _on_signals(stopped_by, stop)
    _spare_what_stays()
    serving = asyncio.ensure_future(server.serve(sockets=[listening]))
    answering = asyncio.ensure_future(server.answers.wait())
    await asyncio.wait((serving, answering), return_when=asyncio.FIRST_COMPLETED)
    answering.cancel()
    if server.started:
        announce(address)
    try:
        await serving
    finally:
        server.should_exit = True
        for task in stopping:
            await task


def _spare_what_stays() -> None:
    """The schema and the modules stay for as long as the process does: collecting garbage need not walk them each time, and
    batches of entries make many objects that end by themselves."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


async def _stop(opened: Gateway, server: Server) -> None:
    """Streams end first, each with its code: they would hold their connections open."""
    try:
        await opened.app.end_streams()
    finally:
        server.should_exit = True


def _on_signals(numbers: tuple[signal.Signals, ...], act: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    if sys.platform == "win32":
        for number in numbers:
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(act))
        return
    for number in numbers:
        loop.add_signal_handler(number, act)


def _uvicorn_config(opened: Gateway) -> uvicorn.Config:
    server = opened.settings.server
    return uvicorn.Config(
        opened.app,
        **protocol_settings(opened.settings.limits),
        lifespan="off",
        proxy_headers=bool(server.forwarded_allow_ips),
        forwarded_allow_ips=list(server.forwarded_allow_ips),
        backlog=_BACKLOG,
        timeout_graceful_shutdown=server.shutdown_seconds,
    )
