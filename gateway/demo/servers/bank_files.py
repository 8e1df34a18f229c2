"""The sample company's bank: statement files as a bank would put them into a folder.

Three accounts, twelve closed months each: a US dollar account in camt.053 version 8, a euro account in camt.053 version 2
with today's camt.052 (booked so far this month, and pending), a sterling account in MT940. What happened on a day depends on
the seed and the day alone, so a later start writes the same months again and adds the new ones. All of it adds up, but for
the newest sterling statement, whose closing balance is misprinted, so that a position shows its warning. A fourth account, in euro,
pays suppliers; it has the statements of what happens while the demo runs, and none before.
"""

from __future__ import annotations

import calendar
import html
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from gateway.demo.company import CUSTOMERS, SUPPLIERS
from sources.money import format_minor

USD_ACCOUNT = "4417820365"
EUR_ACCOUNT = "DE89370400440532013000"
GBP_ACCOUNT = "GB33BUKB20201555555555"
SUPPLIERS_ACCOUNT = "DE02120300000000202051"
"""The accounts' external ids; the IBANs are examples that are published for tests."""

_MONTHS = 12
_MISPRINT = 90


@dataclass(frozen=True, slots=True)
class _Account:
    external_id: str
    currency: str
    name: str
    typical: int  # closing balance, minor units


@dataclass(frozen=True, slots=True)
class _Movement:
    """`amount`: signed minor units; `reference`: the bank's, unique."""

    on: date
    amount: int
    party: str
    text: str
    reference: str


_USD = _Account(USD_ACCOUNT, "USD", "Acme Inc. Operating", 84_000_000)
_EUR = _Account(EUR_ACCOUNT, "EUR", "Acme Europe GmbH Girokonto", 52_000_000)
_GBP = _Account(GBP_ACCOUNT, "GBP", "Acme Europe GmbH Sterling", 9_500_000)
_PAYING = _Account(SUPPLIERS_ACCOUNT, "EUR", "Acme Europe GmbH Supplier payments", 25_000_000)
_ACCOUNTS = {each.external_id: each for each in (_USD, _EUR, _GBP, _PAYING)}


def write_bank_files(folder: Path, seed: int, today: date) -> None:
    """Writes what is new or changed into `folder`, which is made when absent; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    bank = _Bank(seed)
    months = list(_closed_months(today))
    for month in months:
        stamp = f"{month:%Y-%m}"
        misprint = _MISPRINT if month == months[-1] else 0
        put_file(folder / f"us-operating-{stamp}.camt053.xml", bank.camt053(_USD, month, version=8))
        put_file(folder / f"eu-giro-{stamp}.camt053.xml", bank.camt053(_EUR, month, version=2))
        put_file(folder / f"eu-sterling-{stamp}.mt940.sta", bank.mt940(_GBP, month, misprint))
    put_file(folder / f"eu-giro-{today:%Y-%m-%d}.camt052.xml", bank.camt052(_EUR, today))


def closed_at(seed: int, account: str, today: date) -> int:
    """What an account held when its last whole month ended, minor units: where `write_statement` goes on from."""
    return _Bank(seed).closing(_ACCOUNTS[account], _shifted(today, -1))


def write_statement(
    folder: Path, account: str, number: int, at: datetime, opening: int, booked: Sequence[tuple[int, str, str]]
) -> int:
    """One more camt.053 file of today: `booked` holds signed minor units, party and text. `number` makes it and its movements
    different from all others. Answers with the closing balance."""
    held, on = _ACCOUNTS[account], at.date()
    movements = [
        _Movement(on, amount, party, text, f"{on:%y%m%d}{number:06}{index:02}{held.currency}")
        for index, (amount, party, text) in enumerate(booked, 1)
    ]
    closing = opening + sum(movement.amount for movement in movements)
    balances = _camt_balance(held, "OPBD", opening, on) + _camt_balance(held, "CLBD", closing, on)
    entries = "".join(_camt_entry(held, each, "BOOK", 8) for each in movements)
    period = f"<FrToDt><FrDtTm>{on}T00:00:00Z</FrDtTm><ToDtTm>{on}T{at:%H:%M:%S}Z</ToDtTm></FrToDt>"
    head = _camt_head(held, f"{held.currency}-{on:%Y%m%d}-{number:06}", on).format(period=period)
    name = f"{held.external_id}-{on:%Y-%m-%d}-{number:06}.camt053.xml"
    put_file(folder / name, _camt("053", "BkToCstmrStmt", "Stmt", 8, head + balances + entries))
    return closing


def put_file(path: Path, text: str) -> None:
    """Writes a file that is new or changed; it appears whole or not at all."""
    data = text.encode()
    if path.exists() and path.read_bytes() == data:
        return
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_bytes(data)
    os.replace(unfinished, path)


def _closed_months(today: date) -> Iterator[date]:
    """First days of the last twelve months that are over, oldest first."""
    for back in range(_MONTHS, 0, -1):
        yield _shifted(today, -back)


def _shifted(day: date, months: int) -> date:
    count = day.year * 12 + day.month - 1 + months
    return date(count // 12, count % 12 + 1, 1)


def _last_day(month: date) -> date:
    return month.replace(day=calendar.monthrange(month.year, month.month)[1])


def _business_days(first: date, last: date) -> list[date]:
    days = (first + timedelta(number) for number in range((last - first).days + 1))
    return [day for day in days if day.weekday() < 5]


class _Bank:
    def __init__(self, seed: int) -> None:
        self._seed = seed

    def _random(self, account: _Account, *of: object) -> random.Random:
        # Plausible figures, no secrets.
        return random.Random(f"{self._seed}:{account.external_id}:{of}")  # noqa: S311

    def closing(self, account: _Account, month: date) -> int:
        return (
            account.typical
            + self._random(account, "closing", month).randint(-1, 1) * account.typical // 5
            + (self._random(account, "rest", month).randint(0, 999_999))
        )

    def of_day(self, account: _Account, day: date) -> list[_Movement]:
        """What a day brings: customers pay, suppliers are paid, rent on the first, wages near the month's end."""
        chance = self._random(account, "day", day)
        scale = account.typical // 400
        found: list[tuple[int, str, str]] = []
        for _ in range(chance.randint(1, 3)):
            found.append(
                (
                    chance.randint(scale // 4, scale * 3),
                    chance.choice(CUSTOMERS),
                    f"Invoice {chance.randint(10_000, 99_999)}",
                )
            )
        for _ in range(chance.randint(0, 2)):
            text = f"Bill {chance.randint(1_000, 9_999)}"
            found.append((-chance.randint(scale // 4, scale * 2), chance.choice(sorted(SUPPLIERS)), text))
        business = _business_days(day.replace(day=1), _last_day(day))
        if day == business[0]:
            found.append((-scale * 6, "Evergreen Facilities", f"Rent {day:%B %Y}"))
        if day == business[-3]:
            found.append((-scale * 40, "Payroll", f"Wages {day:%B %Y}"))
        return [
            _Movement(day, amount, party, text, f"{day:%y%m%d}{number:03}{account.currency}")
            for number, (amount, party, text) in enumerate(found, 1)
        ]

    def of_month(self, account: _Account, month: date) -> list[_Movement]:
        """All days of a month, and on the last a transfer from or to the reserve that brings the closing balance about."""
        days = _business_days(month, _last_day(month))
        found = [movement for day in days for movement in self.of_day(account, day)]
        wanted = self.closing(account, month) - self.closing(account, _shifted(month, -1))
        rest = wanted - sum(movement.amount for movement in found)
        text = "Transfer from reserve" if rest > 0 else "Transfer to reserve"
        return [
            *found,
            _Movement(days[-1], rest, "Acme reserve account", text, f"{days[-1]:%y%m%d}900{account.currency}"),
        ]

    def camt053(self, account: _Account, month: date, version: int) -> str:
        opening, closing = self.closing(account, _shifted(month, -1)), self.closing(account, month)
        entries = "".join(_camt_entry(account, each, "BOOK", version) for each in self.of_month(account, month))
        last = _last_day(month)
        balances = _camt_balance(account, "OPBD", opening, month) + _camt_balance(account, "CLBD", closing, last)
        period = f"<FrToDt><FrDtTm>{month}T00:00:00Z</FrDtTm><ToDtTm>{last}T23:59:59Z</ToDtTm></FrToDt>"
        head = _camt_head(account, f"{account.currency}-{month:%Y%m}", last)
        return _camt("053", "BkToCstmrStmt", "Stmt", version, head.format(period=period) + balances + entries)

    def camt052(self, account: _Account, today: date) -> str:
        """This month so far: what the newest business day brought is pending, what came before is booked. The next report
        gives the same entries as booked, with the same reference and dates."""
        first = today.replace(day=1)
        days = _business_days(first, today)
        movements = [movement for day in days[:-1] for movement in self.of_day(account, day)]
        pending = [movement for day in days[-1:] for movement in self.of_day(account, day)]
        entries = "".join(_camt_entry(account, each, "BOOK", 2) for each in movements)
        entries += "".join(_camt_entry(account, each, "PDNG", 2) for each in pending)
        head = _camt_head(account, f"{account.currency}-{today:%Y%m%d}-INTRADAY", today)
        balance = self.closing(account, _shifted(today, -1)) + sum(movement.amount for movement in movements)
        period = f"<FrToDt><FrDtTm>{first}T00:00:00Z</FrDtTm><ToDtTm>{today}T12:00:00Z</ToDtTm></FrToDt>"
        content = head.format(period=period) + _camt_balance(account, "ITBD", balance, today) + entries
        return _camt("052", "BkToCstmrAcctRpt", "Rpt", 2, content)

    def mt940(self, account: _Account, month: date, misprint: int) -> str:
        opening, closing = self.closing(account, _shifted(month, -1)), self.closing(account, month) + misprint
        lines = [
            f":20:{account.currency}{month:%Y%m}",
            f":25:{account.external_id}",
            f":28C:{month.month}/1",
            f":60F:{_mt_balance(account, opening, month - timedelta(1))}",
        ]
        for movement in self.of_month(account, month):
            mark = "D" if movement.amount < 0 else "C"
            amount = format_minor(abs(movement.amount), 2).replace(".", ",")
            lines += [
                f":61:{movement.on:%y%m%d%m%d}{mark}{amount}NTRFNONREF//{movement.reference}",
                f":86:166?00TRANSFER?20SVWZ+{movement.text}?32{movement.party[:27]}",
            ]
        last = _mt_balance(account, closing, _last_day(month))
        return "\r\n".join([*lines, f":62F:{last}", f":64:{last}", "-", ""])


def _mt_balance(account: _Account, minor: int, on: date) -> str:
    return f"{'D' if minor < 0 else 'C'}{on:%y%m%d}{account.currency}{format_minor(abs(minor), 2).replace('.', ',')}"


def _camt(kind: str, message: str, record: str, version: int, content: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.{kind}.001.{version:02}"><{message}>\n'
        f"<GrpHdr><MsgId>ACME-{kind}</MsgId></GrpHdr>\n<{record}>{content}</{record}>\n</{message}></Document>\n"
    )


def _camt_head(account: _Account, statement_id: str, created: date) -> str:
    is_iban = account.external_id[:2].isalpha()
    stated = f"<IBAN>{account.external_id}</IBAN>" if is_iban else f"<Othr><Id>{account.external_id}</Id></Othr>"
    return (
        f"<Id>{statement_id}</Id><CreDtTm>{created}T22:00:00Z</CreDtTm>{{period}}"
        f"<Acct><Id>{stated}</Id><Ccy>{account.currency}</Ccy><Nm>{html.escape(account.name)}</Nm></Acct>\n"
    )


def _camt_balance(account: _Account, code: str, minor: int, on: date) -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{_camt_amount(account, minor)}"
        f"<Dt><Dt>{on}</Dt></Dt></Bal>\n"
    )


def _camt_amount(account: _Account, minor: int) -> str:
    sign = "DBIT" if minor < 0 else "CRDT"
    return f'<Amt Ccy="{account.currency}">{format_minor(abs(minor), 2)}</Amt><CdtDbtInd>{sign}</CdtDbtInd>'


def _camt_entry(account: _Account, movement: _Movement, status: str, version: int) -> str:
    role = "Cdtr" if movement.amount < 0 else "Dbtr"
    name = f"<Nm>{html.escape(movement.party)}</Nm>"
    party = f"<Pty>{name}</Pty>" if version >= 8 else name
    stated = f"<Cd>{status}</Cd>" if version >= 8 else status
    day = f"<Dt>{movement.on}</Dt>"
    return (
        f"<Ntry>{_camt_amount(account, movement.amount)}<Sts>{stated}</Sts><BookgDt>{day}</BookgDt><ValDt>{day}</ValDt>"
        f"<AcctSvcrRef>{movement.reference}</AcctSvcrRef><BkTxCd><Prtry><Cd>NTRF</Cd></Prtry></BkTxCd>"
        f"<NtryDtls><TxDtls><RltdPties><{role}>{party}</{role}></RltdPties>"
        f"<RmtInf><Ustrd>{html.escape(movement.text)}</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>\n"
    )
