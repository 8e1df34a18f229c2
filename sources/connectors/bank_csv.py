"""Bank statements from tables, whose columns the settings name: the export of any bank. A folder of them is read as
`sources.connectors.files` says.

The rows of one account and currency are a statement; all of them are booked. An amount is signed (`amount`), or stands beside a word or
sign for its direction (`amount` and `sign`: D or C, Soll or Haben, - or +, and the like), or in one of two columns (`debit`, `credit`).

Ids. With a column `id` that one is a transaction's, and one that stands twice is one. Without it, its day, its content (not its balance) and
its place among equal rows identify it: exports that overlap state it once, equal rows of one export are two transactions.

A column `balance` gives the statement's opening and closing balance, whether the rows go from old to new or from new to old. Balances that do
not follow from the amounts are a warning, and are not used.
"""

from __future__ import annotations

from typing import Any, Final

from sources.connectors import files
from sources.connectors.bank_csv_lines import Amounts, Line, Lines
from sources.connectors.files_csv import Row, TableFormat
from sources.connectors.files_values import MAX_TEXT, Memory, UnreadableFile, clean, exponent_of
from sources.connectors.kinds import ConnectorKind
from sources.connectors.statement import Bounds, RawText, bank_account, reference_of
from sources.documents import BankStatement
from sources.errors import ConfigurationError
from sources.money import EXPONENTS

_READER = 2
FIELDS: Final = (
    "date", "value_date", "amount", "sign", "debit", "credit", "currency", "description", "counterparty", "reference", "id", "balance",
    "account",
)  # fmt: skip


class BankCsvConnector(files.FilesConnector):
    """One folder of tables. `columns` and `format`: see `files_csv`; the fields are FIELDS. `currency` and `account`: of tables without a
    column for them, and of rows where it is empty. `options`: as of a FilesConnector. Raises ConfigurationError."""

    def __init__(
        self,
        *,
        name: str,
        columns: Any = None,
        format: Any = None,  # noqa: A002  (the setting's name)
        currency: str | None = None,
        account: str | None = None,
        **options: Any,
    ) -> None:
        table = TableFormat.of(name, columns, format, known=FIELDS, required=("date",))
        _check(name, table, currency, account)
        super().__init__(
            name=name,
            parse=lambda data, file: parse_bank_csv(data, file, table, currency=currency, account=account),
            reader=table.version(_READER, currency, account),
            **options,
        )


def _check(name: str, table: TableFormat, currency: str | None, account: str | None) -> None:
    """Raises ConfigurationError for columns that do not make a statement."""
    place, columns = f"sources.{name}", table.columns
    paired = [field for field in ("debit", "credit") if field in columns]
    if "amount" in columns and paired:
        raise ConfigurationError(
            f"{place}.columns.{paired[0]} and {place}.columns.amount: have one amount, or debit and credit"
        )
    if "amount" not in columns and len(paired) < 2:
        missing = "amount" if not paired else "credit" if paired == ["debit"] else "debit"
        raise ConfigurationError(f"{place}.columns.{missing} is missing: have one amount, or debit and credit")
    if "sign" in columns and paired:
        raise ConfigurationError(f"{place}.columns.sign is for one amount, not for debit and credit")
    for field, fixed in (("currency", currency), ("account", account)):
        if field not in columns and not fixed:
            raise ConfigurationError(f"{place}.{field} is missing: the tables have no column for it")
    if currency is not None and currency not in EXPONENTS:
        raise ConfigurationError(f"{place}.currency must be a currency of ISO 4217, not {currency!r}")


def parse_bank_csv(
    data: bytes, file_name: str, table: TableFormat, *, currency: str | None, account: str | None
) -> list[BankStatement]:
    """Every statement of one table, in the order of their first rows; none of a table without rows. Raises UnreadableFile, naming the
    line."""
    amounts, bounds = Amounts(table), Bounds(Memory(len(data)))
    keys: dict[tuple[str, str], tuple[str, str]] = {}
    found: dict[tuple[str, str], Lines] = {}
    for row in table.rows(data):
        bounds.entry()
        stated = row.values.get("account") or account or "", row.values.get("currency") or currency or ""
        if stated not in keys:
            keys[stated] = _key(*stated, row.where)
        key = keys[stated]
        if key not in found:
            bounds.statement()
            found[key] = Lines(*key)
        found[key].add(_line(row, table, amounts, key[1]))
    return [lines.statement(file_name) for lines in found.values()]


def _key(account: str, currency: str, where: str) -> tuple[str, str]:
    """Account and currency, in one form however the table writes them."""
    for what, value in (("account", account), ("currency", currency)):
        if not clean(value):
            raise UnreadableFile(f"{where}: it has no {what}")
    exponent_of(currency.upper(), where)
    return bank_account(account, currency.upper()).external_id, currency.upper()


def _line(row: Row, table: TableFormat, amounts: Amounts, currency: str) -> Line:
    values = row.values
    if "date" not in values:
        raise UnreadableFile(f"{row.where}: it has no date")
    value_date = values.get("value_date")
    return Line(
        number=row.line,
        booked_on=table.to_date(values["date"], row.where),
        value_date=table.to_date(value_date, row.where) if value_date else None,
        amount=amounts.read(row, currency),
        balance=amounts.minor(row, "balance", currency),
        description=clean(values.get("description"), MAX_TEXT),
        counterparty=clean(values.get("counterparty")),
        reference=reference_of(values.get("reference")),
        id=values.get("id"),
        raw=RawText("row", ";".join(row.cells)),
    )


KIND = ConnectorKind(
    name="bank-csv",
    connector=BankCsvConnector,
    gives=("bank_statement",),
    one_of=(files.PLACES,),
    optional=("currency", "account", *files.OPTIONS),
    secrets=files.SECRETS,
    tables=("columns", "format"),
    origin=files.PLACES,
    of_files=True,
    layout=("columns", "format", "currency", "account"),
    example={
        "path": "exports",
        "account": "DE89370400440532013000",
        "currency": "EUR",
        "columns": {"date": "Booked on", "amount": "Amount", "description": "Text"},
    },
)
