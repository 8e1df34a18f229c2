"""Several processes on one port: they share one listening socket, and whichever is free accepts. (A socket for each, by
SO_REUSEPORT, would spread a burst more evenly, and leave a dead worker's share of connections waiting for its successor.)

A worker that dies is started again, after a pause that doubles from one death to the next. A worker ends with its parent,
also when the parent is killed: it waits on a pipe that only the parent holds open.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import structlog

from gateway.config import Settings
from gateway.databases import ready_database
from gateway.logs import configure
from gateway.metrics import end_share, share_by
from gateway.running import Stopped, run_until_stopped
from gateway.serving import address_of, raise_open_files, serve_here
from sources.errors import LedgergraphError, Unavailable

log = structlog.get_logger(__name__)

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
STEADY = 60.0
"""Seconds; a worker that lived longer than STEADY is started again after FIRST_PAUSE."""
_MARGIN = 10.0


async def serve_in_workers(settings: Settings, listening: socket.socket, announce: Callable[[str], None]) -> None:
    """Serves in `settings.server.workers` processes until SIGINT or SIGTERM. `announce` is called with the address once the
    first worker answers. Raises Unavailable when no worker comes up at the start."""
    with tempfile.TemporaryDirectory(prefix="ledgergraph-metrics-", ignore_cleanup_errors=True) as counted:
        share_by(Path(counted))
        async with ready_database(settings):  # held open, so that an embedded server outlives any worker
            await _Supervisor(settings, listening, announce, Path(counted)).run()


class _Supervisor:
    def __init__(
        self, settings: Settings, listening: socket.socket, announce: Callable[[str], None], counted: Path
    ) -> None:
        self._settings, self._counted = settings, counted
        self._listening = listening
        self._announce = announce
        self._context = multiprocessing.get_context("spawn")
        self._processes: set[SpawnProcess] = set()
        self._stopping = asyncio.Event()
        self._announced = False

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        slots = [asyncio.ensure_future(self._keep(slot)) for slot in range(self._settings.server.workers)]
        try:
            await asyncio.gather(*slots)
        finally:
            for slot in slots:
                slot.cancel()
            for process in self._processes:
                process.kill()

    def _stop(self) -> None:
        """The first signal lets open requests end, a second one does not."""
        for process in self._processes:
            (process.kill if self._stopping.is_set() else process.terminate)()
        self._stopping.set()

    async def _keep(self, slot: int) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            began = time.monotonic()
            status = await self._one(slot)
            if self._stopping.is_set():
                return
            if not self._announced:
                raise Unavailable(f"A worker ended with status {status} before it could serve; the log says why.")
            pause = FIRST_PAUSE if time.monotonic() - began > STEADY else pause
            log.error("worker ended; another one follows", slot=slot, status=status, pause=pause)
            await _first_of(self._stopping, pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _one(self, slot: int) -> int | None:
        """Runs one worker to its end."""
        ready, tell = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=_work, args=(self._settings, self._listening, tell), name=f"worker-{slot}", daemon=True
        )
        process.start()
        tell.close()
        self._processes.add(process)
        try:
            await _readable(ready.fileno())
            self._note_ready(ready)
            await self._ended(process)
        finally:
            ready.close()
            self._processes.discard(process)
            if process.pid is not None and not process.is_alive():
                end_share(self._counted, process.pid)
        return process.exitcode

    def _note_ready(self, ready: Connection) -> None:
        try:
            ready.recv()
        except EOFError:
            return  # it ended first
        if not self._announced:
            self._announced = True
            self._announce(address_of(self._listening))

    async def _ended(self, process: SpawnProcess) -> None:
        ended = asyncio.ensure_future(_readable(process.sentinel))
        try:
            stopping = asyncio.ensure_future(self._stopping.wait())
            await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            bound = self._settings.server.shutdown_seconds + _MARGIN
            if not (await asyncio.wait((ended,), timeout=bound))[0]:
                process.kill()
            await ended
            process.join()
        finally:
            ended.cancel()


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


async def _first_of(event: asyncio.Event, seconds: float) -> None:
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait((waiting,), timeout=seconds)
    waiting.cancel()


def _work(settings: Settings, listening: socket.socket, tell: Connection) -> None:
    """A worker's whole life. Ctrl-C reaches every process of a terminal; the parent alone decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure(settings.server.log_level)
    raise_open_files()
    try:
        run_until_stopped(lambda: _serve(settings, listening, tell), (signal.SIGTERM,))
    except Stopped:
        log.info("worker stopped before it served")
    except LedgergraphError as fault:
        log.error("worker cannot serve", reason=str(fault))
        raise SystemExit(1) from None


async def _serve(settings: Settings, listening: socket.socket, tell: Connection) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    loop = asyncio.get_running_loop()

    def orphaned() -> None:
        loop.remove_reader(parent.sentinel)
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(parent.sentinel, orphaned)
    await serve_here(settings, listening, lambda _: tell.send("ready"), stopped_by=(signal.SIGTERM,))
