"""The second proof: what the database refuses whatever the code in front of it does, and what each role may do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from sources.database.embedded import OWNER_ROLE, EmbeddedPostgres
from sources.ledger.batch import Item, post_batch
from tests.sources.ledger.books import Books, create, entry, reversal

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any]

TABLES = (
    "currency",
    "ledger",
    "head",
    "account",
    "entry",
    "line",
    "balance_day",
    "balance_month",
    "balance_year",
    "schema_version",
)
ENTRY = (
    "INSERT INTO ledger.entry (ledger_id, sequence, effective_date, posted_at, posted_by, description, idempotency_key, "
    "line_count, total, body_hash, hash, canonical_version, reverses) "
    "VALUES ($1, $2, '2026-03-15', now(), 'x', 'x', 'key ' || $2::bigint::text, $3, $4, sha256(''), sha256(''), 1, $5)"
)
LINES = (
    "INSERT INTO ledger.line (ledger_id, sequence, line_number, account_id, effective_date, currency, amount, "
    "functional_amount) SELECT $1, $2, l.number, l.account, l.day, l.currency, l.amount, l.functional "
    "FROM unnest($3::int[], $4::bigint[], $5::date[], $6::text[], $7::bigint[], $8::bigint[]) "
    "AS l (number, account, day, currency, amount, functional)"
)


@pytest.fixture
async def app(database_url: str, books: Books) -> AsyncIterator[Connection]:
    """The application's role, with a claim to everything, after one entry was posted."""
    await books.post(entry(books.ledger, "posted"))
    connection = await asyncpg.connect(database_url)
    await connection.execute("SET ledgergraph.ledgers = '*'")
    yield connection
    await connection.close()


async def test_the_application_role_cannot_write_tables(app: Connection) -> None:
    """No INSERT, UPDATE, DELETE, TRUNCATE or lock; it reads."""
    for table in TABLES:
        await app.fetch(f"SELECT * FROM ledger.{table}")
        await refuses_writes(app, table)


async def refuses_writes(app: Connection, table: str) -> None:
    name = await app.fetchval(
        "SELECT max(attname) FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND attidentity = ''",
        f"ledger.{table}",
    )
    for statement in (
        f"INSERT INTO ledger.{table} DEFAULT VALUES",
        f"UPDATE ledger.{table} SET {name} = {name}",
        f"DELETE FROM ledger.{table}",
        f"TRUNCATE ledger.{table} CASCADE",
        f"SELECT * FROM ledger.{table} FOR UPDATE",
        f"ALTER TABLE ledger.{table} DISABLE TRIGGER ALL",
        f"DROP TABLE ledger.{table} CASCADE",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute(statement)


async def test_inner_functions_are_not_for_the_application_role(app: Connection) -> None:
    for call in (
        "ledger.lock_head(1)",
        "ledger.find_accounts(1, '{}', '{}')",
        "ledger.reversal_faults(1, '{}', '{}')",
        "ledger.fold_balances(1, 0, 1)",
        "ledger.genesis_hash('x')",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute(f"SELECT {call}")


async def test_the_application_role_cannot_become_the_owner(app: Connection) -> None:
    for role in ("SET ROLE ledgergraph_owner", "SET SESSION AUTHORIZATION ledgergraph_owner"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute(role)


async def test_a_planted_function_or_operator_is_not_what_the_functions_call(app: Connection, books: Books) -> None:
    """The search path of a caller means nothing inside a SECURITY DEFINER function."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await app.execute("CREATE FUNCTION ledger.sha256(bytea) RETURNS bytea LANGUAGE sql RETURN $1")
    await app.execute("CREATE FUNCTION pg_temp.sha256(bytea) RETURNS bytea LANGUAGE sql RETURN '\\x00'::bytea")
    await app.execute("SET search_path = pg_temp, public")
    outcomes = await post_batch(app, books.ledger, [[Item.of(entry(books.ledger, "under a planted path"))]])
    assert outcomes
    assert [len(row["hash"]) for row in await books.fetch("SELECT hash FROM ledger.entry")] == [32, 32]


async def test_a_caller_sees_and_posts_to_its_ledgers_alone(database_url: str, books: Books) -> None:
    """Another ledger's rows are not there; a posting to it is refused; an unset or odd claim is nothing."""
    other = await create(books.database, "acme-eu", "EUR")
    await books.post(entry(books.ledger, "a"), entry(other, "b"))
    connection = await asyncpg.connect(database_url)
    scoped = ("ledger", "head", "account", "entry", "line", "balance_day", "balance_month", "balance_year")
    for claim, visible in (
        (str(other.ledger_id), {other.ledger_id}),
        (f"{other.ledger_id},{books.ledger.ledger_id}", {other.ledger_id, books.ledger.ledger_id}),
        ("*", {other.ledger_id, books.ledger.ledger_id}),
        ("", set()),
        ("999", set()),
    ):
        await connection.execute("SELECT set_config('ledgergraph.ledgers', $1, false)", claim)
        for table in scoped:
            rows = await connection.fetch(f"SELECT DISTINCT ledger_id FROM ledger.{table}")
            assert {row["ledger_id"] for row in rows} == visible, (claim, table)
    await connection.execute("SET ledgergraph.ledgers = 'all'")
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await connection.fetch("SELECT * FROM ledger.entry")
    await connection.close()


async def test_no_claim_is_nothing(database_url: str, books: Books) -> None:
    await books.post(entry(books.ledger, "a"))
    connection = await asyncpg.connect(database_url)
    assert await connection.fetch("SELECT * FROM ledger.entry") == []
    await connection.close()


WRITES = {
    "update_ledger": "SELECT ledger.update_ledger($1, 'Stolen')",
    "lock_periods": "SELECT ledger.lock_periods($1, '2199-12-31')",
    "create_accounts": "SELECT ledger.create_accounts($1, '{9}', '{n}', '{ASSET}', '{DEBIT}', '{NULL}', '{NULL}')",
    "update_account": "SELECT ledger.update_account($1, '1000', 'Stolen', false, false, NULL)",
    "post_entries": "SELECT ledger.post_entries('*', $1, 1::smallint, '{k}', '{\"\"}', ARRAY[sha256('')], '{f}', '{0}', "
    "'{2026-03-15}', '{NULL}', '{x}', '{NULL}', '{d}', '{NULL}', '{1}', '{0}', '{0}', "
    "'{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')",
}


async def test_functions_refuse_a_ledger_outside_the_claim(app: Connection, books: Books) -> None:
    """Whatever is passed as an argument: the setting decides."""
    other = await create(books.database, "acme-eu", "EUR")
    for claim in ("", "0", str(other.ledger_id)):
        await app.execute("SELECT set_config('ledgergraph.ledgers', $1, false)", claim)
        for write in WRITES.values():
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await app.execute(write, books.ledger.ledger_id)


async def test_functions_refuse_snapshots_that_miss_replays(app: Connection, books: Books) -> None:
    for write in WRITES.values():
        late = app.transaction(isolation="repeatable_read")
        await late.start()
        with pytest.raises(asyncpg.InvalidTransactionStateError):
            await app.execute(write, books.ledger.ledger_id)
        await late.rollback()


MISUSED = """
ledger.post_entries('*', {ledger}, 1::smallint, '{{k}}', '{{""}}', ARRAY[sha256('')], '{{f}}', '{{0}}', '{{2026-03-15}}',
    '{{NULL}}', '{{x}}', '{{NULL}}', '{{d}}', '{{NULL}}', '{{NULL}}', '{counts}', '{totals}', '{{1000,4000}}', '{{USD,USD}}',
    '{entries}', '{numbers}', '{accounts}', '{{USD,USD}}', '{amounts}', '{functional}', '{{NULL,NULL}}', '{{NULL,NULL}}',
    '{{NULL,NULL}}')
"""


async def test_the_posting_function_misused_stores_nothing(app: Connection, books: Books) -> None:
    """Arrays that do not fit together, lines of an entry that is not there, unbalanced lines, forged totals: refused, by
    checks or by the proof behind it."""
    good = MISUSED
    fine = {
        "ledger": str(books.ledger.ledger_id), "counts": "{2}", "totals": "{5}", "entries": "{1,1}", "numbers": "{1,2}",
        "accounts": "{1,2}", "amounts": "{5,-5}", "functional": "{5,-5}",
    }  # fmt: skip
    for broken in (
        {"counts": "{3}"}, {"counts": "{0}"}, {"totals": "{6}"}, {"totals": "{-5}"}, {"numbers": "{1,1}"},
        {"numbers": "{2,3}"}, {"numbers": "{0,1}"}, {"accounts": "{1,3}"}, {"accounts": "{0,0}"}, {"amounts": "{5,-4}"},
        {"functional": "{5,-4}"}, {"amounts": "{-5,5}"}, {"amounts": "{0,0}", "functional": "{0,0}", "totals": "{0}"},
        {"entries": "{1,2}"}, {"entries": "{2,2}"}, {"entries": "{NULL,1}"}, {"ledger": "424242"},
        {"amounts": "{1000000000000001,-1000000000000001}"}, {"functional": "{1000000000000001,-1000000000000001}"},
    ):  # fmt: skip
        with pytest.raises(asyncpg.PostgresError):
            await app.execute(f"SELECT {good.format(**fine | broken)}")
    assert await books.counts() == (1, 2)
    await app.execute(f"SELECT {good.format(**fine)}")
    assert await books.counts() == (2, 4)


@pytest.mark.parametrize("user", [OWNER_ROLE, "postgres"])
async def test_posted_rows_never_change_for_anyone(
    books: Books, postgres: EmbeddedPostgres, database: str, user: str
) -> None:
    """The owner and a superuser included, in replica mode too, where ordinary triggers sleep."""
    await books.post(entry(books.ledger, "a"))
    connection = await asyncpg.connect(postgres.dsn(user=user, database=database))
    for mode in ("origin", "replica") if user == "postgres" else ("origin",):
        if user == "postgres":
            await connection.execute(f"SET session_replication_role = {mode}")
        for statement in (
            "UPDATE ledger.entry SET description = 'forged'",
            "UPDATE ledger.line SET description = 'forged' WHERE sequence = 99",
            "DELETE FROM ledger.entry",
            "DELETE FROM ledger.line",
            "DELETE FROM ledger.account",
            "TRUNCATE ledger.entry CASCADE",
            "TRUNCATE ledger.line",
            "TRUNCATE ledger.ledger CASCADE",
        ):
            with pytest.raises(asyncpg.RestrictViolationError):
                await connection.execute(statement)
    await connection.close()
    assert await books.counts() == (1, 2)


class Forger:
    """Inserts as the owner, past the posting function."""

    def __init__(self, owner: Connection, books: Books, accounts: dict[str, int]) -> None:
        self.owner, self.ledger, self.accounts = owner, books.ledger.ledger_id, accounts

    async def entry(self, sequence: int, count: int = 2, total: int = 5, reverses: int | None = None) -> None:
        await self.owner.execute(ENTRY, self.ledger, sequence, count, total, reverses)

    async def whole(
        self, sequence: int, *lines: tuple[str, str, int, int], reverses: int | None = None, **how: Any
    ) -> None:
        """Entry 1 of two lines and a total of 5, or this one if it reverses; and these lines."""
        async with self.owner.transaction():
            await self.entry(sequence if reverses else 1, reverses=reverses)
            await self.lines(sequence, *lines, **how)

    async def lines(
        self, sequence: int, *lines: tuple[str, str, int, int], first: int = 1, day: str = "2026-03-15"
    ) -> None:
        await self.owner.execute(
            LINES,
            self.ledger,
            sequence,
            list(range(first, first + len(lines))),
            [self.accounts.get(account, 987654) for account, *_ in lines],
            [date.fromisoformat(day)] * len(lines),
            [currency for _, currency, _, _ in lines],
            [amount for _, _, amount, _ in lines],
            [functional for *_, functional in lines],
        )


@pytest.fixture
async def forger(books: Books, owner: Connection) -> Forger:
    rows = await owner.fetch("SELECT code, account_id FROM ledger.account")
    return Forger(owner, books, {row["code"]: row["account_id"] for row in rows})


async def test_an_entry_that_balances_is_taken_from_the_owner(forger: Forger, owner: Connection, books: Books) -> None:
    """So that what the tests below see refused is refused for its fault."""
    async with owner.transaction():
        await forger.entry(1)
        await forger.lines(1, ("1000", "USD", 5, 5), ("4000", "USD", -5, -5))
        await forger.entry(2, total=12)
        await forger.lines(2, ("1100", "EUR", 10, 12), ("1000", "USD", -12, -12))
        await forger.entry(3, total=3)
        await forger.lines(3, ("1100", "EUR", 0, 3), ("7000", "USD", -3, -3))
    assert await books.counts() == (3, 6)


UNPROVEN: list[tuple[str, list[tuple[str, str, int, int]]]] = [
    ("line_functional_balances", [("1000", "USD", 5, 5), ("4000", "USD", -5, -4)]),
    ("line_functional_balances", [("1000", "USD", 5, 5), ("1000", "USD", 5, 5)]),
    ("line_balances", [("1100", "EUR", 5, 5), ("1100", "EUR", -4, -5)]),
    ("line_balances", [("1100", "EUR", 5, 5), ("1100", "EUR", 0, -5)]),
    ("line_total_matches", [("1000", "USD", 6, 6), ("4000", "USD", -6, -6)]),
    ("line_count_matches", [("1000", "USD", 5, 5)]),
    ("line_count_matches", [("1000", "USD", 5, 5), ("4000", "USD", -4, -4), ("4000", "USD", -1, -1)]),
    ("line_has_account", [("1000", "USD", 5, 5), ("none", "USD", -5, -5)]),
    ("line_has_currency", [("1000", "XXX", 5, 5), ("4000", "XXX", -5, -5)]),
    ("line_currency_fits", [("1100", "USD", 5, 5), ("4000", "USD", -5, -5)]),
    ("line_not_empty", [("1000", "USD", 5, 5), ("4000", "USD", -5, -5), ("4000", "USD", 0, 0)]),
    ("line_one_side", [("1000", "EUR", 5, -5), ("4000", "USD", -5, 5)]),
    ("line_amount_range", [("1000", "USD", 10**15 + 1, 5), ("4000", "USD", -5, -5)]),
]
"""The constraint that refuses, and the lines."""


async def test_lines_that_do_not_prove_their_entry_are_refused(forger: Forger) -> None:
    for constraint, lines in UNPROVEN:
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await forger.whole(1, *lines)
        assert refused.value.constraint_name == constraint, lines


async def test_lines_need_their_entry_its_date_and_the_first_number(forger: Forger) -> None:
    pair = (("1000", "USD", 5, 5), ("4000", "USD", -5, -5))
    for constraint, how in (
        ("line_has_entry", {"sequence": 2}),
        ("line_date_matches", {"day": "2026-03-16"}),
        ("line_count_matches", {"first": 2}),
    ):
        stated: dict[str, Any] = {"sequence": 1, **how}
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await forger.whole(stated.pop("sequence"), *pair, **stated)
        assert refused.value.constraint_name == constraint


async def test_lines_cannot_be_added_to_a_posted_entry(forger: Forger, books: Books) -> None:
    """Not a balanced pair, not the same lines again, not beside those of a new entry."""
    await books.post(entry(books.ledger, "a"))
    pair = (("1000", "USD", 1000, 1000), ("4000", "USD", -1000, -1000))
    with pytest.raises(asyncpg.CheckViolationError):
        await forger.lines(1, *pair, first=3)
    with pytest.raises(asyncpg.UniqueViolationError):
        await forger.lines(1, *pair)
    with pytest.raises(asyncpg.CheckViolationError):
        await forger.lines(1, *pair, *pair, first=3)
    assert await books.counts() == (1, 2)


async def test_an_entry_does_not_survive_without_its_lines(forger: Forger, books: Books) -> None:
    """Refused when its transaction commits; also when its lines come in a second statement that is not whole."""
    with pytest.raises(asyncpg.CheckViolationError, match="entry_has_lines"):
        await forger.entry(1)
    with pytest.raises(asyncpg.CheckViolationError, match="line_count_matches"):
        await forger.whole(1, ("1000", "USD", 5, 5))
    assert await books.counts() == (0, 0)


async def test_a_reversal_has_its_original(forger: Forger, books: Books) -> None:
    """One that exists, of the same size and total, and only one reversal of it."""
    await books.post(entry(books.ledger, "a"))
    await books.post(reversal(books.ledger, "b", 1))
    pair = (("1000", "USD", -5, -5), ("4000", "USD", 5, 5))
    for reverses, fault in ((99, "entry_reverses_earlier"), (2, "entry_mirrors_original")):
        with pytest.raises(asyncpg.CheckViolationError, match=fault):
            await forger.whole(3, *pair, reverses=reverses)
    with pytest.raises(asyncpg.UniqueViolationError):
        await forger.entry(3, reverses=1)
