"""The tree of exceptions. What a caller can do about one decides its branch.

LedgergraphError
├── InvalidRequest             the request has to change
│   ├── InvalidCursor          a cursor that is malformed or belongs elsewhere
│   ├── InvalidArgument        an argument out of its range
│   ├── TooMuch                an answer larger than one may be
│   ├── FilesMissing           files that were read are gone, or read no more, and nobody said what becomes of that
│   └── NotFound               a named thing that does not exist, or that the caller may not see
├── NotAuthenticated           no token, or one that is refused
├── Forbidden                  the token lacks a scope
├── HistoryLost                a stream's cursor points at history that this database does not have
├── Unavailable                the same request may succeed later
│   ├── Overloaded             a queue or a limit is full
│   ├── DatabaseUnavailable    the ledger store does not answer
│   └── SourceUnavailable      a source system could not be read
│       └── SourceSyncing      its first backfill is still running
└── ConfigurationError         a setting is missing or wrong; the message names it
"""

from __future__ import annotations


class LedgergraphError(Exception):
    """Base of every error that this product raises on purpose. `str()` of it is safe to show to a client."""


class InvalidRequest(LedgergraphError):
    """The request has to change before it can succeed."""


class InvalidCursor(InvalidRequest):
    """A cursor that no answer gave out, or that belongs to another list."""


class InvalidArgument(InvalidRequest):
    """An argument is out of its range; the message names it and its range."""


class TooMuch(InvalidRequest):
    """The answer would be larger than one may be; the message says what to ask for instead."""


class FilesMissing(InvalidRequest):
    """What files stated that are gone, or that read no more, would have to be kept or let go of: the message lists them."""


class NotFound(InvalidRequest):
    """A named thing does not exist, or is outside the caller's claims: the two are not told apart."""


class NotAuthenticated(LedgergraphError):
    """No token, or one that is refused; the message does not say which check failed in detail."""


class Forbidden(LedgergraphError):
    """The token lacks a scope that the document needs."""


class HistoryLost(LedgergraphError):
    """A stream's cursor points at history that this database does not have: re-read from the beginning."""


class Unavailable(LedgergraphError):
    """The same request may succeed later."""


class Overloaded(Unavailable):
    """A queue is full; nothing was done."""


class DatabaseUnavailable(Unavailable):
    """The ledger store does not answer."""


class SourceUnavailable(Unavailable):
    """A source system could not be read, and no copy of its documents is held."""


class SourceSyncing(SourceUnavailable):
    """The first backfill of a source is still running."""


class ConfigurationError(LedgergraphError):
    """A setting is missing or wrong; the message names the setting and what it should be."""
