"""Structured logs: JSON lines, or columns on a terminal, each with the request id of what is being answered.

Tokens and other secrets never reach a log: values under telling names and anything that looks like a bearer token are blotted out.
Neither do rows and values that the database quotes in its errors: they may name people.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from sources.database.faults import traceback_without_values

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The request (or operation on a socket) that the running task answers; every log line of the task carries it."""

_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_SECRET_NAMES = frozenset({"authorization", "token", "secret", "password", "dsn", "api_key", "client_secret"})
_SECRET_TEXT = re.compile(
    r"(?i:bearer)\s+\S+|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*\.?[A-Za-z0-9_-]*|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
)
_QUIET = {"uvicorn.error": logging.WARNING, "uvicorn.access": logging.CRITICAL, "asyncio": logging.WARNING}


_ID_BYTES = 8
_DRAWN = 512

_drawn: list[bytes] = []


def new_request_id() -> str:
    """16 hexadecimal digits, unguessable; the system is asked for many at a time."""
    if not _drawn:
        block = os.urandom(_ID_BYTES * _DRAWN)
        _drawn.extend(block[start : start + _ID_BYTES] for start in range(0, len(block), _ID_BYTES))
    return _drawn.pop().hex()


def acceptable_id(header: bytes | None) -> str | None:
    """The client's X-Request-Id when it is 1–64 of [A-Za-z0-9._-]: it is echoed into headers and logs."""
    text = header.decode("latin-1") if header is not None else ""
    return text if _ACCEPTABLE_ID.fullmatch(text) else None


def request_id_from(header: bytes | None) -> str:
    """The client's X-Request-Id when it is acceptable, else a new one."""
    return acceptable_id(header) or new_request_id()


class RequestLines:
    """The line of each answered request. As JSON it goes straight to the stream: by way of structlog's steps it would cost
    as much as reading and answering the request. Lines of one turn of the event loop are written together."""

    def __init__(self) -> None:
        self._stream: TextIO | None = None
        self._shown = True
        self._waiting: list[str] = []
        self._second, self._date_and_time = -1.0, ""

    def use(self, stream: TextIO | None, *, shown: bool) -> None:
        """None: by way of structlog, for a terminal."""
        self._stream, self._shown = stream, shown

    def tell(
        self,
        request_id: str,
        method: str,
        status: int,
        kind: str,
        subject: str | None,
        client: str | None,
        seconds: float,
    ) -> None:
        """`request_id` needs no escapes; subjects are printable, and headers are Latin-1, so that UTF-8 holds them."""
        if self._stream is None:
            structlog.get_logger("gateway.http").info(
                "request",
                method=method,
                status=status,
                kind=kind,
                subject=subject,
                client=client,
                milliseconds=round(seconds * 1000, 2),
            )
        elif self._shown:
            if not self._waiting:
                asyncio.get_running_loop().call_soon(self._write)
            self._waiting.append(
                f'{_begun(method, status, kind, subject, client)}"milliseconds":{seconds * 1000:.2f},'
                f'"request_id":"{request_id}","timestamp":"{self._now()}"}}\n'
            )

    def _now(self) -> str:
        """As structlog's processor writes it; a second's text is made once."""
        second, fraction = divmod(time.time(), 1)
        if second != self._second:
            self._second, self._date_and_time = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._date_and_time}.{int(fraction * 1_000_000):06}Z"

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        if self._stream is not None:
            self._stream.write("".join(waiting))
            self._stream.flush()


request_lines = RequestLines()
"""This process's; `configure` says where they go."""


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Send the logs of this process, those of libraries included, to `stream` (stderr). Raises ValueError for an unknown level."""
    stream = stream if stream is not None else sys.stderr
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"unknown log level {level!r}: use debug, info, warning, error or critical")
    terminal = stream.isatty()
    shared = _shared_processors()
    structlog.configure(
        processors=[*shared, _renderer(terminal)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(terminal)],
        )
    )
    request_lines.use(None if terminal else stream, shown=number <= logging.INFO)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.INFO))
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(quiet)


def _shared_processors() -> list[Processor]:
    return [
        _add_request_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(_traceback),
        _blot,
    ]


def _traceback(exc_info: ExcInfo) -> str:
    return traceback_without_values(exc_info[1])


def _renderer(terminal: bool) -> Processor:
    if terminal:
        return structlog.dev.ConsoleRenderer()
    return structlog.processors.JSONRenderer(serializer=_to_json)


def _to_json(event: Any, default: Callable[[Any], Any] | None = None, **_: Any) -> str:
    try:
        return orjson.dumps(event, default=repr).decode()
    except orjson.JSONEncodeError:  # lone surrogates or integers beyond 64 bits in what a client sent
        return orjson.dumps({key: ascii(value) for key, value in event.items()}).decode()


@lru_cache(maxsize=1_000)
def _begun(method: str, status: int, kind: str, subject: str | None, client: str | None) -> str:
    """The part of a request's line that is alike for many, as JSON without secrets."""
    told = {"event": "request", "level": "info", "method": method, "status": status, "kind": kind}
    told |= {
        name: text and _SECRET_TEXT.sub("[secret]", text) for name, text in (("subject", subject), ("client", client))
    }
    return orjson.dumps(told).decode()[:-1] + ","


def _add_request_id(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    request_id = REQUEST_ID.get()
    if request_id:
        event.setdefault("request_id", request_id)
    return event


def _blot(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if key in _SECRET_NAMES:
            event[key] = "[secret]"
        elif isinstance(value, str):
            event[key] = _SECRET_TEXT.sub("[secret]", value)
    return event
