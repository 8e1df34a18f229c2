"""Counters of one process in the Prometheus text format.

Each worker process counts for itself: behind one port, a scrape reads whichever worker answers it, so production scrapes
one process per port, or sums over restarts and workers by `sum without (instance)`.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """What the endpoints count. Other parts add their own with `register`; no label takes a client's free text."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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
        self.sockets = Gauge("ledgergraph_open_sockets", "Open WebSocket connections.", registry=self.registry)
        self.subscriptions = Gauge(
            "ledgergraph_active_subscriptions", "Running subscriptions.", ["transport"], registry=self.registry
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

    def register(self, collector: Collector) -> None:
        """Have another part's collector scraped with these."""
        self.registry.register(collector)

    def render(self) -> bytes:
        """The text that /metrics answers with."""
        return generate_latest(self.registry)
