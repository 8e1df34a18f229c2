"""Exchange rates as they are stored: dated, by pair and type, of no ledger. `sources.mapping.rates.Rates` looks them up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from sources.errors import InvalidArgument
from sources.mapping.rates import Quote
from sources.pipeline.rate_files import read_rates
from sources.texts import clean

if TYPE_CHECKING:
    from sources.database.pool import Connection

MAX_SOURCE: Final = 255
_AT_ONCE: Final = 10_000


@dataclass(frozen=True, slots=True)
class Stored:
    """`stated`: rates that were given; `written`: those among them that are new, or other than before; `passed_over`: currencies
    that are none of ISO 4217 today."""

    stated: int
    written: int
    passed_over: frozenset[str] = frozenset()


async def set_rates(connection: Connection, quotes: Iterable[Quote], source: str, *, by: str = "") -> Stored:
    """Stores rates that were checked (`rate_files.checked`), all or none; of a pair, type and day the rate given here replaces
    another. `source` says where they are from, `by` who recorded them ("": the command line). Nothing that is posted changes by it.
    Raises InvalidArgument for a source out of bounds, or a rate given twice."""
    stated = sorted(quotes, key=lambda each: each[:4])
    if not 0 < len(source) <= MAX_SOURCE or clean(source) != source:
        raise InvalidArgument(f"the source of rates must be a text of 1 to {MAX_SOURCE} characters")
    keys = [each[:4] for each in stated]
    twice = next((each for each, after in pairwise(keys) if each == after), None)
    if twice is not None:
        raise InvalidArgument(f"the rate of {twice[0]} in {twice[1]} ({twice[2]}) of {twice[3]} is given twice")
    written = 0
    async with connection.transaction():
        for start in range(0, len(stated), _AT_ONCE):
            written += await _store(connection, stated[start : start + _AT_ONCE], source, by)
    return Stored(len(stated), written)


async def load_file(connection: Connection, data: bytes, name: str) -> Stored:
    """Stores the rates of a file (see `rate_files`) under its name, all or none. Raises InvalidArgument with all that is wrong
    with it."""
    found = read_rates(data, name)
    stored = await set_rates(connection, found.quotes, name[-MAX_SOURCE:])
    return Stored(stored.stated, stored.written, found.passed_over)


async def _store(connection: Connection, quotes: Sequence[Quote], source: str, by: str) -> int:
    columns = [list(column) for column in zip(*quotes, strict=True)]
    return int(await connection.fetchval("SELECT ledger.set_rates($1, $2, $3, $4, $5, $6, $7)", *columns, source, by))
