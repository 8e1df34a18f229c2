"""Rules that people's decisions leave: rows in words, that can be read and removed. Every caller holds the ledger's claim."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sources.matching import todo
from sources.matching.model import Item, ItemKey, Line

if TYPE_CHECKING:
    from sources.database.pool import Connection


async def payer(
    connection: Connection, ledger_id: int, line: Line, documents: Sequence[Item], match_id: int, by: str
) -> None:
    """Who pays for the one party of these documents: by the account of the other side, or where the bank does not give it by its name,
    if that is not the party's own."""
    parties = {item.party for item in documents if item.key.kind == "invoice"}
    if len(parties) != 1 or not (party := parties.pop()):
        return
    by_name = None if line.payer or line.party == party else line.party or None
    if line.payer or by_name:
        await _add(
            connection, ledger_id, "PAYER", match_id, by, payer_account=line.payer, payer_name=by_name, party=party
        )
        await connection.execute(_NOTE_PAYER, ledger_id, line.payer, by_name)


async def account(
    connection: Connection, ledger_id: int, line: Line, words: Iterable[str], code: str, match_id: int, by: str
) -> None:
    """What holds these words goes to the ledger account."""
    pattern = " ".join(sorted(words))
    more = {"pattern": pattern, "money_in": line.amount > 0, "ledger_account": code}
    await _add(connection, ledger_id, "ACCOUNT", match_id, by, **more)
    await connection.execute(_NOTE_OPEN, ledger_id)


async def never(connection: Connection, ledger_id: int, line: ItemKey, match_id: int, by: str) -> None:
    """The transaction is not about what this match says."""
    more = {
        "transaction_source": line.source,
        "transaction_account": line.account,
        "transaction_external_id": line.external_id,
    }
    await _add(connection, ledger_id, "NEVER", match_id, by, **more)


async def remove(connection: Connection, ledger_id: int, rule_id: int, by: str) -> bool:
    """Whether there was such a rule in force. Open transactions are to be looked at again."""
    row = await connection.fetchrow(_REMOVE, ledger_id, rule_id, by)
    if row is None:
        return False
    if row["type"] == "NEVER":
        line = (row["transaction_source"], row["transaction_account"], row["transaction_external_id"])
        await todo.note(connection, ledger_id, [ItemKey("bank_transaction", *line)])
    elif row["type"] == "PAYER":
        await connection.execute(_NOTE_PAYER, ledger_id, row["payer_account"], row["payer_name"])
    else:
        await connection.execute(_NOTE_OPEN, ledger_id)
    return True


async def _add(connection: Connection, ledger_id: int, kind: str, match_id: int, by: str, **more: object) -> None:
    await connection.execute(_ADD, ledger_id, kind, match_id, by, *(more.get(name) for name in _COLUMNS))


_COLUMNS = (
    "payer_account",
    "payer_name",
    "party",
    "pattern",
    "money_in",
    "ledger_account",
    "transaction_source",
    "transaction_account",
    "transaction_external_id",
)
_ADD = f"""
INSERT INTO matching.rule (ledger_id, rule_id, type, match_id, created_by, created_at, {", ".join(_COLUMNS)})
SELECT $1, 1 + coalesce((SELECT max(rule_id) FROM matching.rule WHERE ledger_id = $1), 0), $2, $3, $4, clock_timestamp(), $5, $6, $7, $8,
    $9::boolean, $10, $11, $12, $13
ON CONFLICT DO NOTHING"""
_REMOVE = """
UPDATE matching.rule SET removed_at = clock_timestamp(), removed_by = $3
WHERE ledger_id = $1 AND rule_id = $2 AND removed_at IS NULL RETURNING *"""
_NOTED = """
INSERT INTO matching.todo (ledger_id, kind, source, account, external_id)
SELECT ledger_id, kind, source, account, external_id FROM matching.item
WHERE ledger_id = $1 AND kind = 'bank_transaction' AND ready AND used <> amount{}
ORDER BY kind, source, account, external_id
ON CONFLICT (ledger_id, kind, source, account, external_id) DO UPDATE SET change = DEFAULT"""
_NOTE_OPEN = _NOTED.format("")
_NOTE_PAYER = _NOTED.format(" AND (payer = $2::text OR party = $3::text)")
