"""Matching: bank transactions of which it is known what they are about (`benchmarks/bankbooks.py`), through the mirror and the pipeline."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.bankbooks import CURRENCY, Books, Known, Maker, by_day
from benchmarks.chapter import Bench, Chapter
from benchmarks.figures import claim, figures
from benchmarks.measuring import Samples
from benchmarks.tables import rate, table
from gateway.config import Settings
from gateway.openbooks import books, local_caller
from sources.database.embedded import OWNER_ROLE, EmbeddedPostgres
from sources.database.pool import Database
from sources.documents import BankAccount, BankStatement, Page
from sources.ledger import administration
from sources.ledger.model import AccountDraft, AccountType, ChangeRejected, LedgerRef
from sources.ledger.posting import Poster
from sources.mirror import state, store
from sources.mirror.settings import SourceSettings
from sources.pipeline import rulesets
from sources.pipeline.worker import Pipeline

LEDGER, BANK = "matching", "DE02120300000000202051"
LINES = 10_000
_QUICK = 20
_PAGE = 500
_KINDS: Mapping[str, str] = {
    "sales": "tryton",
    "stripe": "stripe",
    "payroll": "xero-payroll",
    "bank": "bank-statements",
}
_ACCOUNTS = [
    "receivable",
    "payable",
    "bank_clearing",
    "processor_clearing",
    "revenue",
    "expense",
    "sales_tax",
    "purchase_tax",
    "wages",
    "wages_payable",
    "payroll_taxes_payable",
    "bank_fees",
    "write_offs",
    "processor_fees",
    "bad_debt",
    "rounding",
    "exchange_gain",
    "exchange_loss",
]
_FOUND = """
SELECT m.external_id, m.status, m.score, a.kind, a.external_id AS document, a.amount
FROM matching.match m JOIN matching.allocation a USING (ledger_id, match_id)
WHERE m.status IN ('CERTAIN', 'PROPOSED') ORDER BY m.external_id, m.status, m.score DESC, m.match_id"""
_CLEARING = """
SELECT coalesce(sum(functional_amount), 0)::bigint FROM ledger.line JOIN ledger.account USING (ledger_id, account_id)
WHERE code = 'bank_clearing'"""

_BODY = """\
A year of one company, made so that it is known what every bank transaction is about (`benchmarks/bankbooks.py`, which shares nothing with
the matcher): {lines} bank transactions, {documents} invoices, bills, credit notes, payouts and payroll runs, a tenth of them never paid.
One transaction in five is awkward. Documents come first, then the bank's weekly statements, then invoices that are late; all of it
through the mirror, the pipeline and into the books. A match is right where it names just the documents, and of each the amount, that the
transaction is about; or, of money that came back, the very payment. What is not certain is proposed, and posts nothing.

{shares}
By what is awkward about them:

{cases}
{speed}
"""


@dataclass(slots=True)
class Verdict:
    """How many transactions of a case there are, were matched for certain, rightly so, and had the right match as best proposal."""

    lines: int = 0
    certain: int = 0
    right: int = 0
    proposed: int = 0
    first: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Company:
    database: Database
    owner: asyncpg.Connection[Any]
    speaking: Any
    pipeline: Pipeline
    ledger: LedgerRef
    matching_seconds: float = 0.0
    matched: int = 0

    async def state(self, source: str, documents: Sequence[Any]) -> None:
        """One pull that states these."""
        settings = SourceSettings(name=source, kind=_KINDS[source], ledger=LEDGER, post_from=date(2025, 1, 1))
        await state.lock(self.speaking, source)
        try:
            found = await state.standing(self.speaking, settings, self.ledger.ledger_id)
            run = await store.begin(self.speaking, settings, {LEDGER: self.ledger.ledger_id}, found)
            for start in range(0, len(documents), _PAGE):
                page = Page(
                    documents=documents[start : start + _PAGE], cursor="c", complete=start + _PAGE >= len(documents)
                )
                await store.store_page(self.speaking, run, page)
            await store.end(self.speaking, run, None, everything=False)
        finally:
            await state.unlock(self.speaking, source)

    async def look(self) -> None:
        """The pipeline until nothing is due; what of it is matching is timed."""
        while True:
            begun = time.perf_counter()
            counts = await self.pipeline.run_once(self.ledger.ledger_id)
            if not counts.goes_on:
                return
            if counts.matched:
                self.matching_seconds += time.perf_counter() - begun
                self.matched += counts.matched


@asynccontextmanager
async def company(directory: Path) -> AsyncIterator[Company]:
    """A ledger with the built-in rules, empty."""
    settings = Settings(data_dir=directory / "data")
    await asyncio.to_thread(directory.mkdir, parents=True)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(EmbeddedPostgres(settings.data_dir))
        async with books(settings) as opened:
            caller = local_caller(LEDGER)
            ledger = await administration.create_ledger(
                opened.database, caller, code=LEDGER, name="Matching", functional_currency=CURRENCY
            )
            drafts = [AccountDraft(code=name, name=name, type=AccountType.ASSET) for name in (*_ACCOUNTS, "bank")]
            made = await administration.create_accounts(opened.database, caller, ledger=LEDGER, accounts=drafts)
            if isinstance(ledger, ChangeRejected) or isinstance(made, ChangeRejected):
                raise RuntimeError("the benchmark's ledger could not be created")
            owner = await asyncpg.connect(server.dsn(user=OWNER_ROLE))
            stack.push_async_callback(owner.close)
            await owner.execute("SET ledgergraph.ledgers = '*'")
            speaking = await opened.database.connect_direct()
            stack.push_async_callback(speaking.close)
            await state.prepare(speaking)
            poster = Poster(opened.database, queue_limit=20_000)
            stack.push_async_callback(poster.close)
            found = Company(opened.database, owner, speaking, Pipeline(opened.database, poster), ledger)
            await _use_rules(found)
            yield found


async def _use_rules(found: Company) -> None:
    accounts = "".join(f'{name} = {{ code = "{name}" }}\n' for name in _ACCOUNTS)
    text = f'extends = "starter"\n[accounts]\n{accounts}[tables.bank_accounts]\ndefault = {{ code = "bank" }}\n'
    async with found.speaking.transaction():
        ledger_id = found.ledger.ledger_id
        saved = await rulesets.save(found.speaking, ledger_id, text=text, name="rules.toml", created_by="benchmark")
        await rulesets.activate(found.speaking, ledger_id, saved.version)


async def live(found: Company, known: Books) -> float:
    """The company's year; answers with how many seconds the bank's part of it took."""
    await found.state("sales", known.early)
    await found.state("stripe", known.payouts)
    await found.state("payroll", known.runs)
    await found.look()
    begun = time.perf_counter()
    for number, week in enumerate(by_day(known.known, 7)):
        account = BankAccount(external_id=BANK, currency=CURRENCY, iban=BANK)
        transactions = tuple(each.transaction for each in week)
        statement = BankStatement(
            external_id=f"s{number}", account=account, provisional=False, transactions=transactions
        )
        await found.state("bank", [statement])
        await found.look()
    seconds = time.perf_counter() - begun
    await found.state("sales", known.late)
    await found.look()
    return seconds


async def judge(owner: asyncpg.Connection[Any], known: Sequence[Known]) -> dict[str, Verdict]:
    """By case, "" for what is not awkward."""
    certain: dict[str, dict[tuple[str, str], int]] = {}
    proposals: dict[str, dict[tuple[str, str], int]] = {}
    best: dict[str, int] = {}
    for row in await owner.fetch(_FOUND):
        of = certain if row["status"] == "CERTAIN" else proposals
        if of is proposals and best.setdefault(row["external_id"], row["score"]) != row["score"]:
            continue
        parts = of.setdefault(row["external_id"], {})
        if row["kind"] in ("invoice", "payment", "payroll_run", "bank_transaction"):
            parts[row["kind"], row["document"]] = row["amount"]
    truths = {each.transaction.external_id: each.truth for each in known}
    verdicts: dict[str, Verdict] = {}
    for each in known:
        verdict = verdicts.setdefault(each.case, Verdict())
        name = each.transaction.external_id
        verdict.lines += 1
        if name in certain:
            verdict.certain += 1
            right = certain[name] == dict(each.truth) or _undone(certain[name], each, truths)
            verdict.right += right
            if not right:
                verdict.wrong.append(
                    f"{name} {each.transaction.description!r}: {certain[name]}, not {dict(each.truth)}"
                )
        elif name in proposals:
            verdict.proposed += 1
            verdict.first += proposals[name] == dict(each.truth)
    return verdicts


def _undone(
    found: Mapping[tuple[str, str], int], known: Known, truths: Mapping[str, Mapping[tuple[str, str], int]]
) -> bool:
    """Whether money that came back was matched with the very payment that it takes back: the two clear each other."""
    if len(found) != 1 or next(iter(found))[0] != "bank_transaction" or not known.truth:
        return False
    return dict(truths[next(iter(found))[1]]) == {key: -amount for key, amount in known.truth.items()}


# ---------------------------------------------------------------- the chapter


async def measure(bench: Bench) -> Chapter:
    """Its own data directories; every round has other books."""
    lines = LINES // _QUICK if bench.quick else LINES
    rights, shares, speeds, alone = Samples(), Samples(), Samples(), Samples()
    verdicts: dict[str, Verdict] = {}
    documents = 0
    for round_ in range(bench.rounds):
        bench.tell(f"matching: {lines:,} bank transactions, round {round_ + 1}")
        known = Maker(lines, seed=11 + round_).make()
        documents = len(known.early) + len(known.late) + len(known.payouts) + len(known.runs)
        async with company(bench.directory / f"matching-{round_}") as found:
            seconds = await live(found, known)
            verdicts = await judge(found.owner, known.known)
            total, certain, right = (
                sum(getattr(each, name) for each in verdicts.values()) for name in ("lines", "certain", "right")
            )
            rights.values.append(100 * right / certain)
            shares.values.append(100 * certain / total)
            speeds.values.append(total / seconds)
            alone.values.append(found.matched / found.matching_seconds)
    body = _BODY.format(
        lines=f"{lines:,}", documents=f"{documents:,}", shares=_shares(rights, shares), cases=_cases(verdicts),
        speed=table(("", "/s"), [("transactions mirrored, posted, matched and applied", rate(speeds)),
                                 ("documents that matching looked at, while it does", rate(alone))]),
    )  # fmt: skip
    claims = [
        claim("matching", "certain matches that are right", "", rights, unit="%", reach=99.9),
        claim("matching", "bank transactions matched for certain", "", shares, unit="%"),
        claim("matching", "bank transactions mirrored, posted, matched and applied", "", speeds, unit="/s"),
    ]
    return Chapter("Matching", body, figures(claims=claims))


def _shares(rights: Samples, shares: Samples) -> str:
    rows = [
        ("matched for certain, of all transactions", f"{shares.median:.1f}"),
        ("right, of the certain matches", f"{rights.median:.2f}"),
    ]
    return table(("", "%"), rows)


def _cases(verdicts: Mapping[str, Verdict]) -> str:
    rows = []
    for case, each in sorted(verdicts.items(), key=lambda found: (found[0] != "", found[0])):
        left = each.lines - each.certain - each.proposed
        counts = (each.lines, each.certain, each.certain - each.right, each.proposed, each.first, left)
        rows.append((case or "not awkward", *(f"{count:,}" for count in counts)))
    head = ("", "transactions", "certain", "wrong", "proposed", "right as the best proposal", "neither")
    return table(head, rows)


def wrongs(verdicts: Mapping[str, Verdict]) -> Counter[str]:
    """How many certain matches are wrong, by case."""
    return Counter({case: len(each.wrong) for case, each in verdicts.items() if each.wrong})
