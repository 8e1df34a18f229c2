"""The messages of graphql-transport-ws, read and written."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.closing import Closing
from gateway.parsing import parse_json

ACK = '{"type":"connection_ack"}'
PONG = '{"type":"pong"}'

_MAX_ID = 255


def parse_message(text: str, max_bytes: int) -> dict[str, Any]:
    """A message with its `type`. Raises Closing for what is none."""
    raw = text.encode()
    if len(raw) > max_bytes:
        raise Closing(1009, f"a message has at most {max_bytes} bytes")
    try:
        message = parse_json(raw)
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


def message_of(kind: str, id_: str, payload: Any = None) -> str:
    """A message of the server about an operation: error or complete."""
    body = {"type": kind, "id": id_} if payload is None else {"type": kind, "id": id_, "payload": payload}
    return orjson.dumps(body).decode()


def next_of(id_: str, result: bytes) -> str:
    """One execution result, whose bytes are taken as they are."""
    return f'{{"type":"next","id":{orjson.dumps(id_).decode()},"payload":{result.decode()}}}'
