"""The rows of one account in a bank's table: their amounts, their balances, their ids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date

from sources.connectors.files_csv import Row, TableFormat
from sources.connectors.files_values import UnreadableFile, quote, to_signed_minor
from sources.connectors.statement import EntryIds, RawText, bank_account, digest, digest_of_ids, named_id
from sources.documents import BankStatement, BankTransaction, BankTransactionStatus
from sources.money import EXPONENTS, format_minor

_OUT = frozenset({"-", "d", "db", "dr", "dbit", "debit", "s", "soll", "af", "out"})
_IN = frozenset({"+", "c", "cr", "crdt", "credit", "h", "haben", "bij", "in"})


@dataclass(frozen=True, slots=True)
class Line:
    """One row. `amount`: signed minor units; `balance`: of the account after it; `id`: as its column states it."""

    number: int
    booked_on: date
    value_date: date | None
    amount: int
    balance: int | None
    description: str | None
    counterparty: str | None
    reference: str | None
    id: str | None
    raw: RawText

    @property
    def content(self) -> tuple[object, ...]:
        """What identifies it: its balance does not, because banks sort the bookings of a day anew."""
        own = (self.booked_on, self.value_date, self.amount, self.description, self.counterparty)
        return (*own, self.reference, self.id)

    def states(self, other: BankTransaction) -> bool:
        """Whether it is this transaction once more, whatever the balance beside it is."""
        return replace(self.transaction(other.external_id, other.currency), raw=other.raw) == other

    def transaction(self, external_id: str, currency: str) -> BankTransaction:
        return BankTransaction(
            external_id=external_id,
            status=BankTransactionStatus.BOOKED,
            amount=self.amount,
            currency=currency,
            booked_on=self.booked_on,
            value_date=self.value_date,
            description=self.description,
            counterparty=self.counterparty,
            reference=self.reference,
            raw=self.raw,
        )


class Amounts:
    """Reads the amounts of one table, however it tells what goes out."""

    def __init__(self, table: TableFormat) -> None:
        self._table = table
        self._paired = "debit" in table.columns
        self._signed = "sign" in table.columns
        self._debits_negative: bool | None = None

    def read(self, row: Row, currency: str) -> int:
        """Signed minor units. Raises UnreadableFile."""
        if self._paired:
            return self._of_pair(row, currency)
        amount = self.minor(row, "amount", currency)
        if amount is None:
            raise UnreadableFile(f"{row.where}: it has no amount")
        return self._by_sign(row, amount) if self._signed else amount

    def minor(self, row: Row, name: str, currency: str) -> int | None:
        """A number of a column, None where it is empty. Raises UnreadableFile."""
        text = row.values.get(name)
        return None if text is None else to_signed_minor(self._table.to_decimal(text, row.where), currency, row.where)

    def _by_sign(self, row: Row, amount: int) -> int:
        """A sign that stands at the amount too has to be the same one."""
        word = row.values.get("sign", "").casefold().rstrip(".")
        if word not in _OUT | _IN:
            raise UnreadableFile(f"{row.where}: {quote(word)} does not tell whether money came in or went out")
        if amount < 0 and word in _IN:
            raise UnreadableFile(f"{row.where}: the amount is negative, and its sign says that money came in")
        return -abs(amount) if word in _OUT else amount

    def _of_pair(self, row: Row, currency: str) -> int:
        """Debits are all without or all with a minus: with both, nobody knows what it means."""
        debit, credit = self.minor(row, "debit", currency), self.minor(row, "credit", currency)
        if debit is None and credit is None:
            raise UnreadableFile(f"{row.where}: it has neither a debit nor a credit")
        if debit and credit:
            raise UnreadableFile(f"{row.where}: it has a debit and a credit")
        if credit is not None and credit < 0:
            raise UnreadableFile(f"{row.where}: the credit is negative")
        if debit:
            if self._debits_negative is None:
                self._debits_negative = debit < 0
            if self._debits_negative != (debit < 0):
                raise UnreadableFile(f"{row.where}: some debits of the table are negative and others are not")
            return -abs(debit)
        return credit or 0


@dataclass(slots=True)
class _Running:
    """Whether balances follow from each other in one direction of the rows. `gap`: the line of the first that does not."""

    known: int | None = None
    since: int = 0
    gap: int | None = None


@dataclass(slots=True)
class Lines:
    """The rows of one account and currency, in the order of the table."""

    account: str
    currency: str
    lines: list[Line] = field(default_factory=list)
    _down: _Running = field(default_factory=_Running)
    _up: _Running = field(default_factory=_Running)

    def add(self, line: Line) -> None:
        """Oldest first, a balance is the one before and all amounts since; newest first, the one before is this and the amounts
        from there up to here."""
        self.lines.append(line)
        self._down.since += line.amount
        if line.balance is not None:
            for running, expected in (
                (self._down, None if self._down.known is None else self._down.known + self._down.since),
                (self._up, None if self._up.known is None else self._up.known - self._up.since),
            ):
                if expected not in (None, line.balance) and running.gap is None:
                    running.gap = line.number
                running.known, running.since = line.balance, 0
        self._up.since += line.amount

    def statement(self, file_name: str) -> BankStatement:
        """Takes the lines, which a large table has a million of."""
        of = bank_account(self.account, self.currency)
        label = f"The table {file_name}, account {quote(self.account)}"
        opening, closing = self._balances()
        warning = self._warning(label)
        first, last = min(line.booked_on for line in self.lines), max(line.booked_on for line in self.lines)
        if not self._newest_first:
            self.lines.reverse()
        transactions = tuple(self._transactions())
        content = digest_of_ids(t.external_id for t in transactions) if opening is None else opening
        return BankStatement(
            external_id=f"csv:{digest(of.external_id, self.currency, first, last, content)}",
            account=of,
            provisional=False,
            transactions=transactions,
            from_date=first,
            to_date=last,
            opening=opening,
            closing=closing,
            warnings=(warning,) if warning else (),
        )

    @property
    def _newest_first(self) -> bool:
        """By the balances where they tell, else by the days."""
        if (self._down.gap is None) != (self._up.gap is None):
            return self._up.gap is None
        return self.lines[0].booked_on > self.lines[-1].booked_on

    def _balances(self) -> tuple[int | None, int | None]:
        """What opens and what closes, where the balances follow from each other."""
        if self._down.gap is not None and self._up.gap is not None:
            return None, None
        total = sum(line.amount for line in self.lines)
        before = 0
        for line in self.lines:
            if line.balance is not None:
                opening = line.balance + before - total if self._newest_first else line.balance - line.amount - before
                return opening, opening + total
            before += line.amount
        return None, None

    def _warning(self, label: str) -> str | None:
        if self._down.gap is None or self._up.gap is None:
            return None
        at = self._up.gap if self._newest_first else self._down.gap
        stated = next(line.balance for line in self.lines if line.number == at)
        shown = format_minor(stated or 0, EXPONENTS[self.currency])
        return f"{label}: the balance on line {at}, {shown} {self.currency}, does not follow from the amounts: is a row missing?"

    def _transactions(self) -> Iterator[BankTransaction]:
        """Oldest first, as far as the table is sorted; taken from the end of the list. A row that stands there twice with an id is one."""
        ids = EntryIds("", provisional=False)
        stated: dict[str, BankTransaction] = {}
        while self.lines:
            line = self.lines.pop()
            if line.id is None:
                external_id = ids.next(("csv", *line.content), bank_reference="csv", dated=True)
                yield line.transaction(external_id, self.currency)
            elif line.id not in stated:
                stated[line.id] = made = line.transaction(named_id("id", line.id), self.currency)
                yield made
            elif not line.states(stated[line.id]):
                raise UnreadableFile(
                    f"line {line.number}: the id {quote(line.id)} stands at another transaction too, so columns.id is none: leave it out"
                )
