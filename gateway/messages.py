"""The messages of graphql-transport-ws, read and written; those of the server as whole WebSocket frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from gateway.closing import Closing
from gateway.frames import frame_head
from gateway.parsing import parse_json
from gateway.requests import Results

_MAX_ID = 255
_NEXT, _PAYLOAD, _END = b'{"type":"next","id":', b',"payload":', b"}"
_LENGTHS = 4
"""Lengths of ids for which frames are kept with the results: clients choose ids, most of them of one length."""


def framed(message: bytes) -> bytes:
    return frame_head(len(message)) + message


ACK = framed(b'{"type":"connection_ack"}')
PONG = framed(b'{"type":"pong"}')


def parse_message(text: str) -> dict[str, Any]:
    """A message with its `type`. Raises Closing for what is none."""
    try:
        message = parse_json(text.encode())
    except ValueError as exc:
        raise Closing(4400, str(exc)) from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise Closing(4400, "a message is an object with a type")
    return message


def id_of(message: dict[str, Any]) -> str:
    """The id of the operation that a message is about. Raises Closing."""
    id_ = message.get("id")
    if not isinstance(id_, str) or not 0 < len(id_) <= _MAX_ID:
        raise Closing(4400, f"{message['type'][:20]} needs an id of 1 to {_MAX_ID} characters")
    return id_


def message_of(kind: str, id_: str, payload: Any = None) -> bytes:
    """A message of the server about an operation: error or complete."""
    body = {"type": kind, "id": id_} if payload is None else {"type": kind, "id": id_, "payload": payload}
    return framed(orjson.dumps(body))


def next_of(results: Results, id_: bytes) -> bytes:
    """A `next` message for each result, whose bytes are taken as they are. `id_`: the operation's, as JSON.

    A frame's head depends on the id's length alone, so between the places of the ids everything is the same for all
    readers with ids of that length: it is made once, and each reader's id is set in between."""
    between: Sequence[bytes] | None = results.made.get(len(id_))
    if between is None:
        between = _between(results.bodies, len(id_))
        if len(results.made) < _LENGTHS:
            results.made[len(id_)] = between
    return id_.join(between)


def _between(bodies: Sequence[bytes], id_length: int) -> list[bytes]:
    around = len(_NEXT) + id_length + len(_PAYLOAD) + len(_END)
    parts, rest = [], b""
    for body in bodies:
        parts.append(rest + frame_head(around + len(body)) + _NEXT)
        rest = _PAYLOAD + body + _END
    return [*parts, rest]
