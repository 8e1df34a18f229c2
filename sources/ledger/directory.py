"""Which ledgers there are: codes to identities. An identity never changes, so whoever was found is remembered for ever;
who was not found is asked for again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from sources.ledger.model import LedgerRef
from sources.money import EXPONENTS

if TYPE_CHECKING:
    from sources.database.pool import Connection

_COLUMNS = "SELECT ledger_id, code, functional_currency FROM ledger.ledger"


class ReadsDatabase(Protocol):
    """Whatever lends connections inside a snapshot that sees every ledger."""

    def lookup(self) -> AbstractAsyncContextManager[Connection]: ...


class Directory:
    """The ledgers of one database. What a caller may see of them is for the one who asks to check."""

    def __init__(self, database: ReadsDatabase) -> None:
        self._database = database
        self._by_code: dict[str, LedgerRef] = {}
        self._codes: dict[int, str] = {}
        self._exponents: dict[int, int] = {}

    @property
    def codes(self) -> Mapping[int, str]:
        """Codes by ledger_id, of the ledgers that were asked for so far."""
        return MappingProxyType(self._codes)

    @property
    def exponents(self) -> Mapping[int, int]:
        """Decimals of the functional currency by ledger_id, of the ledgers that were asked for so far."""
        return MappingProxyType(self._exponents)

    async def resolve(self, codes: Iterable[str]) -> dict[str, LedgerRef]:
        """The ledgers of these codes; codes without a ledger are left out. Raises DatabaseUnavailable."""
        wanted = dict.fromkeys(codes)
        missing = [code for code in wanted if code not in self._by_code and _can_exist(code)]
        if missing:
            async with self._database.lookup() as connection:
                self._remember(await connection.fetch(f"{_COLUMNS} WHERE code = ANY($1::text[])", missing))
        return {code: self._by_code[code] for code in wanted if code in self._by_code}

    async def all(self) -> list[LedgerRef]:
        """Every ledger, in order of code. Raises DatabaseUnavailable."""
        async with self._database.lookup() as connection:
            return self._remember(await connection.fetch(f"{_COLUMNS} ORDER BY code"))

    def _remember(self, rows: Iterable[Any]) -> list[LedgerRef]:
        found = [LedgerRef(row["ledger_id"], row["code"], row["functional_currency"]) for row in rows]
        self._by_code.update((ref.code, ref) for ref in found)
        self._codes.update((ref.ledger_id, ref.code) for ref in found)
        self._exponents.update((ref.ledger_id, EXPONENTS[ref.functional_currency]) for ref in found)
        return found


def _can_exist(code: str) -> bool:
    return code.isascii() and code.isprintable() and len(code) <= 63
