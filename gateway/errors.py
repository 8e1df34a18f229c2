"""The one table from exception to `extensions.code` and HTTP status. What is not in it is masked as INTERNAL.

Every error that leaves this process is made by `error_object`, so each has a code of `CODES`, a sentence for a person and the
request id. docs/errors.md lists the same codes with what to do; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from graphql import GraphQLError, GraphQLSyntaxError

from gateway.requests import ErrorObject, RequestRefused
from sources import errors

log = structlog.get_logger(__name__)

CODES: dict[str, int] = {
    "UNAUTHENTICATED": 401,
    "TOKEN_EXPIRED": 401,
    "FORBIDDEN": 403,
    "BAD_REQUEST": 400,
    "METHOD_NOT_ALLOWED": 405,
    "NOT_ACCEPTABLE": 406,
    "PAYLOAD_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "GRAPHQL_PARSE_FAILED": 400,
    "GRAPHQL_VALIDATION_FAILED": 400,
    "BAD_USER_INPUT": 400,
    "LIMIT_EXCEEDED": 400,
    "INVALID_CURSOR": 400,
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 400,
    "HISTORY_LOST": 400,
    "SLOW_CONSUMER": 400,
    "OVERLOADED": 503,
    "DATABASE_UNAVAILABLE": 503,
    "SOURCE_UNAVAILABLE": 503,
    "SOURCE_SYNCING": 503,
    "INTERNAL": 500,
}
"""Every code with the HTTP status of a request that is refused as a whole for it. An error of one field leaves the status at 200."""

TABLE: dict[type[Exception], str] = {
    errors.InvalidCursor: "INVALID_CURSOR",
    errors.InvalidArgument: "INVALID_ARGUMENT",
    errors.TooMuch: "LIMIT_EXCEEDED",
    errors.NotFound: "NOT_FOUND",
    errors.FilesMissing: "INVALID_ARGUMENT",
    errors.InvalidRequest: "INVALID_ARGUMENT",
    errors.NotAuthenticated: "UNAUTHENTICATED",
    errors.Forbidden: "FORBIDDEN",
    errors.HistoryLost: "HISTORY_LOST",
    errors.Overloaded: "OVERLOADED",
    errors.DatabaseUnavailable: "DATABASE_UNAVAILABLE",
    errors.SourceSyncing: "SOURCE_SYNCING",
    errors.SourceUnavailable: "SOURCE_UNAVAILABLE",
    errors.Unavailable: "OVERLOADED",
    GraphQLSyntaxError: "GRAPHQL_PARSE_FAILED",
    GraphQLError: "GRAPHQL_VALIDATION_FAILED",
}
"""Exception class -> code; an exception takes the code of its nearest class. ConfigurationError is absent: a client must not see it."""


def error_object(
    code: str,
    message: str,
    request_id: str,
    path: Sequence[str | int] | None = None,
    locations: Sequence[dict[str, int]] | None = None,
) -> ErrorObject:
    """A GraphQL error object (specification 7.1.2) with `extensions {code requestId}`. `code` is one of CODES."""
    if code not in CODES:
        raise ValueError(f"unknown error code {code!r}")
    found: ErrorObject = {"message": _encodable(message)}
    if locations:
        found["locations"] = list(locations)
    if path is not None:
        found["path"] = list(path)
    found["extensions"] = {"code": code, "requestId": request_id}
    return found


def refusal(code: str, message: str, request_id: str, http_status: int | None = None) -> RequestRefused:
    """A whole request refused for one reason, with the status of its code unless another is given."""
    return RequestRefused([error_object(code, message, request_id)], http_status or CODES[code])


def code_of(exc: BaseException) -> str | None:
    """The code of an exception by TABLE; None: it is not meant for clients. A GraphQLError that wraps another exception
    counts as that one, unless its own extensions already name a code of CODES."""
    if isinstance(exc, GraphQLError):
        stated = (exc.extensions or {}).get("code")
        if isinstance(stated, str) and stated in CODES:
            return stated
        if exc.original_error is not None and exc.original_error is not exc:
            return code_of(exc.original_error)
    return next((TABLE[kind] for kind in type(exc).__mro__ if kind in TABLE), None)


def describe(
    exc: BaseException,
    request_id: str,
    path: Sequence[str | int] | None = None,
    locations: Sequence[dict[str, int]] | None = None,
) -> ErrorObject:
    """The error object that a client sees for an exception. What TABLE does not name is logged with its traceback and masked:
    its message never leaves the process. Path and locations are a GraphQLError's own where none are given."""
    if isinstance(exc, GraphQLError):
        path = exc.path if path is None else path
        locations = locations or _locations(exc)
    code = code_of(exc)
    if code is None:
        log.error("internal error", request_id=request_id, path=path, exc_info=_root(exc))
        message = f"An internal error occurred; it is logged under request id {request_id}. Trying again may succeed."
        return error_object("INTERNAL", message, request_id, path, locations)
    return error_object(code, _message(exc), request_id, path, locations)


def http_status(exc: BaseException) -> int:
    """The HTTP status of a request that fails as a whole with this exception."""
    return CODES[code_of(exc) or "INTERNAL"]


def _root(exc: BaseException) -> BaseException:
    return exc.original_error if isinstance(exc, GraphQLError) and exc.original_error else exc


def _message(exc: BaseException) -> str:
    return exc.message if isinstance(exc, GraphQLError) else str(exc)


def _locations(exc: GraphQLError) -> list[dict[str, int]] | None:
    return [dict(place.formatted) for place in exc.locations] if exc.locations else None  # type: ignore[arg-type]


def _encodable(message: Any) -> str:
    # A client's lone surrogates or NUL may be quoted in a message; answers are UTF-8.
    return str(message).encode("utf-8", "replace").decode("utf-8")
