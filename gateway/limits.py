"""Limits on what one request may cost, all checked before anything is fetched. Each has a setting of its name in [limits]."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes in bytes, times in seconds, the rest are counts."""

    body_bytes: int = 1_048_576
    upload_bytes: int = 67_108_864
    uploads_bytes: int = 134_217_728
    answer_bytes: int = 67_108_864
    document_characters: int = 100_000
    tokens: int = 2_000
    depth: int = 16
    aliases: int = 100
    selections_per_name: int = 100
    overlaps: int = 1_000
    fields: int = 2_000
    page_size: int = 1_000
    cost: int = 2_000_000
    variable_values: int = 100_000
    list_items: int = 20_000
    sockets: int = 20_000
    operations_per_socket: int = 100
    subscriptions_per_caller: int = 1_000
    socket_queue: int = 1_000
    stall_seconds: float = 30.0
    plan_cache: int = 1_000
    answer_cache_bytes: int = 67_108_864
    fragment_cache_bytes: int = 134_217_728
    reading_group: int = 100
    source_deadline_seconds: float = 2.0
    statement_timeout_seconds: float = 30.0
    posting_queue: int = 20_000
    posting_seconds: float = 10.0


CACHES = ("answer_cache_bytes", "fragment_cache_bytes")
"""Those that 0 switches off."""
