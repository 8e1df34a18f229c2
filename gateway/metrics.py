"""Counters in the Prometheus text format: of one process, or of all workers behind one port.

Workers count into files of one directory (prometheus_client's multiprocess mode), so that whichever answers a scrape tells of
all, those that ended included; of what is open, a worker's share ends with it.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


_SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The library reads this variable when it is imported: only processes that are started later share a directory."""


def share_by(directory: Path) -> None:
    """Processes that this one starts from now on count into the directory."""
    os.environ[_SHARED] = str(directory)


def end_share(directory: Path, pid: int) -> None:
    """What a process that ended had open is open no more."""
    mark_process_dead(pid, str(directory))  # type: ignore[no-untyped-call]


class Metrics:
    """What the endpoints count. Other parts add their own with `register`; no label takes a client's free text."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._registered: list[Collector] = []
        self._refreshing: list[Callable[[], Awaitable[None]]] = []
        self._requests = Counter(
            "ledgergraph_requests",
            "Operations by transport, kind, outcome (ok, refused, failed, abandoned) and error code.",
            ["transport", "kind", "outcome", "code"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "ledgergraph_request_seconds",
            "Seconds from a request's arrival to its whole answer; subscriptions are left out.",
            ["transport", "kind"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        # Finding a labelled one costs more than counting.
        self._counters: dict[tuple[str, str, str, str], Counter] = {}
        self._histograms: dict[tuple[str, str], Histogram] = {}
        self.sockets = Gauge(
            "ledgergraph_open_sockets",
            "Open WebSocket connections.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.subscriptions = Gauge(
            "ledgergraph_active_subscriptions",
            "Running subscriptions.",
            ["transport"],
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.closed_sockets = Counter(
            "ledgergraph_closed_sockets",
            "WebSocket connections that the server closed, by close code.",
            ["code"],
            registry=self.registry,
        )
        self.stalled_readers = Counter(
            "ledgergraph_stalled_readers",
            "Streams closed because their reader stalled.",
            ["transport"],
            registry=self.registry,
        )

    def count(self, transport: str, kind: str, outcome: str, code: str = "") -> None:
        """One operation. transport: http, sse, websocket; kind: query, mutation, subscription, unknown;
        outcome: ok, refused, failed, abandoned (a query whose client went away); code: of `gateway.errors.CODES`, or empty."""
        counter = self._counters.get((transport, kind, outcome, code))
        if counter is None:
            counter = self._counters[transport, kind, outcome, code] = self._requests.labels(
                transport, kind, outcome, code
            )
        counter.inc()

    def observe(self, transport: str, kind: str, seconds: float) -> None:
        """How long one query or mutation took."""
        histogram = self._histograms.get((transport, kind))
        if histogram is None:
            histogram = self._histograms[transport, kind] = self._seconds.labels(transport, kind)
        histogram.observe(seconds)

    def register(self, collector: Collector, refresh: Callable[[], Awaitable[None]] | None = None) -> None:
        """Have another part's collector scraped with these; of workers, only the one that answers tells of it. `refresh` is
        awaited before each scrape; it does not raise."""
        self._registered.append(collector)
        self.registry.register(collector)
        if refresh is not None:
            self._refreshing.append(refresh)

    async def scrape(self) -> bytes:
        """What /metrics answers with, after what is registered was refreshed."""
        for refresh in self._refreshing:
            await refresh()
        return self.render()

    def render(self) -> bytes:
        """The text of all that is counted, as it stands."""
        if not (shared := os.environ.get(_SHARED)):
            return generate_latest(self.registry)
        every = CollectorRegistry()
        MultiProcessCollector(every, shared)  # type: ignore[no-untyped-call]
        for collector in self._registered:
            every.register(collector)
        return generate_latest(every)
