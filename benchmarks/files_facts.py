"""What is compared of files that several programs read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Facts:
    """How many transactions or lines a file has, and their sum, of an invoice its total, in cents."""

    entries: int
    total: int
