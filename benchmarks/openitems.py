"""Open items and the bank beside the books: what pages and sums cost, beside SQL over the documents, in books of two sizes."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks import bankbooks, matching_company
from benchmarks.bankbooks import make
from benchmarks.beside import Sized, found_claims, found_table, measured, opened
from benchmarks.books import kept
from benchmarks.chapter import Bench, Chapter
from benchmarks.figures import figures
from benchmarks.matching_company import LEDGER, company
from benchmarks.openitems_asked import asked
from sources.database.embedded import EmbeddedPostgres

LINES = (1_000, 10_000)
FULL_LINES = (4_000, 40_000)
_QUICK_LINES = (100, 200)
_SEED = 31

_BODY = """\
The company of the chapter on matching (`benchmarks/bankbooks`), in two sizes: {small}, and {large}.
Its year went through the mirror, the pipeline and the matcher. Each field is executed in one process, one answer after the other, nothing
kept, sources fresh: milliseconds (median of the rounds), in brackets the blocks of 8 KiB that PostgreSQL touched for it, which no noise
reaches. In italics what looks at all that is open, and so grows with it; in these books one invoice in ten stays open, so ten times the
books are ten times what is open.

Beside stands SQL that computes the same from invoices, bank transactions and matches, on a bare connection that sees every ledger, prepared;
before the timing both gave the same. Ratio: its time over that of the field, which is an answer in JSON with authorisation, cursors and row
security; above 1 the field is faster.

{table}"""


async def measure(bench: Bench) -> Chapter:
    """Companies are grown once and kept in the cache."""
    sizes = _QUICK_LINES if bench.quick else FULL_LINES if bench.full else LINES
    async with AsyncExitStack() as stack:
        grown_ones = [(lines, await grown(bench, lines)) for lines in sizes]
        companies = [await stack.enter_async_context(opened(lines, place)) for lines, place in grown_ones]
        counts = [await _counted(each) for each in companies]
        found = [await measured(bench, "openitems", companies, each) for each in asked(LEDGER)]
    body = _BODY.format(small=counts[0], large=counts[1], table=found_table(found, sizes))
    return Chapter("Open items, and the bank beside the books", body, figures(claims=found_claims("open items", found)))


async def grown(bench: Bench, lines: int) -> Path:
    """The data directory of a company of so many bank transactions, kept in the cache."""
    bench.tell(f"openitems: growing a company of {lines:,} bank transactions")
    makers = [*Path(bankbooks.__file__).parent.glob("*.py"), Path(matching_company.__file__)]

    async def grow(_server: EmbeddedPostgres, building: Path) -> None:
        async with company(building) as found:
            await found.live(make(lines, _SEED))

    return await kept(bench, f"company-{lines}", makers, grow)


async def _counted(sized: Sized) -> str:
    row = await sized.owner.fetchrow(
        "SELECT count(*), count(*) FILTER (WHERE kind = 'bank_transaction') FROM pipeline.document"
    )
    assert row is not None
    return f"{row[0] - row[1]:,} documents and {row[1]:,} bank transactions"
