"""What a connector of files remembers between two pulls: its cursor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of a file. `modified` 0: look again, it was too new to trust its time. `reason`: why it is
    quarantined, None when it was read."""

    size: int
    modified: int
    checksum: str
    reason: str | None


def dump_cursor(states: Mapping[str, Known], reader: int) -> str:
    """`states`: by the file's name. `reader`: of the parser, raised when it learns to read more."""
    files = {
        name: [state.size, state.modified, state.checksum, *([state.reason] if state.reason is not None else [])]
        for name, state in sorted(states.items())
    }
    return json.dumps({"reader": reader, "files": files}, separators=(",", ":"))


def load_cursor(cursor: str | None, reader: int) -> dict[str, Known]:
    """What the cursor remembers, without what another reader could not read; nothing when it is not one of ours: everything
    is read again, which changes nothing."""
    if cursor is None:
        return {}
    try:
        stored = json.loads(cursor)
        states = {
            name: Known(*(values if len(values) == 4 else [*values, None])) for name, values in stored["files"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("file_cursor_unreadable", error=str(error))
        return {}
    if stored.get("reader") == reader:
        return states
    return {name: state for name, state in states.items() if state.reason is None}
