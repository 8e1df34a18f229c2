"""What a connector of files remembers between two pulls: its cursor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of a file. `modified` 0: look again, it was too new to trust its time. `reason`: why it is
    quarantined, None when it was read. `since`: from when on, by this machine's clock in seconds, these bytes were met; 0: not
    asked, its own time tells."""

    size: int
    modified: int
    checksum: str
    reason: str | None
    since: int = 0


@dataclass(frozen=True, slots=True)
class Remembered:
    """`files`: by name. `reader`: the version of the parser that read them. `text`: the cursor."""

    files: Mapping[str, Known] = field(default_factory=dict)
    reader: int | None = None
    text: str | None = None


def dump_cursor(files: Mapping[str, Known], reader: int) -> str:
    """See `Remembered`."""
    stated = {name: _values(state) for name, state in sorted(files.items())}
    return json.dumps({"reader": reader, "files": stated}, separators=(",", ":"))


def load_cursor(cursor: str | None) -> Remembered:
    """What the cursor remembers; nothing when it is not one of ours: everything is read again, which changes nothing."""
    if cursor is None:
        return Remembered()
    try:
        stored = json.loads(cursor)
        files = {
            name: Known(*(values if len(values) > 3 else [*values, None])) for name, values in stored["files"].items()
        }
        return Remembered(files, stored["reader"], cursor)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("file_cursor_unreadable", error=str(error))
        return Remembered()


def _values(state: Known) -> list[object]:
    values: list[object] = [state.size, state.modified, state.checksum]
    if state.reason is not None or state.since:
        values.append(state.reason)
    if state.since:
        values.append(state.since)
    return values
