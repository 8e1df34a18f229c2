"""Bytes that a client sent -> JSON values -> a GraphQLRequest. Nothing here knows a transport; faults are ValueErrors for people.

orjson parses: it refuses invalid UTF-8, lone surrogates, NaN and deep nesting. It turns integers beyond 64 bits into floats,
which lose digits, so a body that may hold one is read again by the standard library, whose integers are exact.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from gateway.requests import GraphQLRequest

MAX_DEPTH = 64
"""Nesting of JSON that is accepted; the deepest input of the schema needs under ten levels."""

MAX_DIGITS = 100
"""Digits of one integer. Amounts are bounded far below; conversion is quadratic in the digits."""

_LONG_INTEGER = b"0" * 19
_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_PARAMETERS = frozenset({"query", "operationName", "variables", "extensions"})


def parse_json(raw: bytes) -> Any:
    """The JSON value of a message, its integers exact. Raises ValueError with a sentence for the client."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as exc:
        raise ValueError(f"not valid JSON: {exc}") from None
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    if _LONG_INTEGER in raw.translate(_DIGITS_AS_ZEROS):
        value = json.loads(raw, parse_int=_exact)
    return value


def check_no_nul(value: Any) -> None:
    """Raises ValueError when a string or a name anywhere in a JSON value holds NUL, which no text of the database can."""
    level = [value]
    while level:
        if any("\0" in item for item in level if isinstance(item, str)):
            raise ValueError("a string holds the character NUL (U+0000), which no text here can")
        level = [child for item in level for child in _children(item)]


def request_from(parameters: Any, request_id: str) -> GraphQLRequest:
    """The request that a JSON object states (GraphQL over HTTP, 5.1). Raises ValueError naming the parameter that is wrong."""
    if isinstance(parameters, list):
        raise ValueError("batches of requests are not supported: send one request, an object with a query")
    if not isinstance(parameters, dict):
        raise ValueError("a request is a JSON object with a query")
    query, name = parameters.get("query"), parameters.get("operationName")
    if not isinstance(query, str):
        raise ValueError("query must be a string holding a GraphQL document")
    if name is not None and not isinstance(name, str):
        raise ValueError("operationName must be a string or null")
    variables = _object(parameters, "variables")
    _object(parameters, "extensions")
    return GraphQLRequest(query, name, variables, request_id)


def request_from_query_string(query_string: bytes, request_id: str) -> GraphQLRequest:
    """The request that a GET's query string states (GraphQL over HTTP, 5.3). Raises ValueError naming the parameter that is wrong."""
    parameters: dict[str, Any] = {}
    for name, value in query_parameters(query_string):
        if name in parameters:
            raise ValueError(f"{name} is given twice")
        if name in _PARAMETERS:
            parameters[name] = value
    for name in ("variables", "extensions"):
        if name in parameters:
            parameters[name] = _parse_parameter(name, parameters[name])
    check_no_nul(parameters)
    return request_from(parameters, request_id)


def query_parameters(query_string: bytes) -> list[tuple[str, str]]:
    """Names and values of a query string. Raises ValueError when they are not UTF-8 or too many."""
    try:
        return parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:  # UnicodeDecodeError is one
        raise ValueError("the query string must be percent-encoded UTF-8 with at most 100 parameters") from None


def _parse_parameter(name: str, text: str) -> Any:
    try:
        return parse_json(text.encode("utf-8"))
    except ValueError as exc:
        raise ValueError(f"{name}: {exc}") from None


def _object(parameters: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = parameters.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be an object or null")
    return value


def _check_depth(value: Any) -> None:
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 2):
        level = [
            child
            for item in level
            for child in (item.values() if type(item) is dict else item)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return
    raise ValueError(f"JSON is nested deeper than {MAX_DEPTH} levels")


def _children(item: Any) -> list[Any]:
    if isinstance(item, dict):
        return [*item.keys(), *item.values()]
    return item if isinstance(item, list) else []


def _exact(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"an integer has more than {MAX_DIGITS} digits")
    return int(digits)
