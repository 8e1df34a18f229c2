"""Real invoices and statements, dropped, renamed and sent in all their forms: each is one document, and stays as it was."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sources.connectors.bank_statements import BankStatementsConnector
from tests.graph import open_graph
from tests.resolvers.test_submitting_files import Office, office
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import opened

CORPORA = Path(os.environ.get("CORPORA", Path(__file__).parents[2].parent / "shared" / "corpora"))
INVOICES = sorted({file.name.partition(".")[0] for file in CORPORA.glob("zugferd/*.cii.xml")})
STATEMENTS = [*sorted(CORPORA.glob("camt/camt053.v[48].xml")), *sorted(CORPORA.glob("mt940/jejik__[ai]*.sta"))]
FORMS = (".cii.xml", ".ubl.xml", ".pdf")
pytestmark = pytest.mark.skipif(not INVOICES, reason="the corpora are not beside the project (CORPORA)")
__all__ = ["office"]


@pytest.mark.parametrize("first", range(3))
async def test_the_forms_of_a_real_invoice_are_one_document(office: Office, first: int) -> None:
    """Whichever of them comes first, dropped or sent; then each is dropped under another name, and sent once more."""
    for number, name in enumerate(INVOICES):
        forms = [(CORPORA / "zugferd" / f"{name}{form}") for form in (*FORMS[first:], *FORMS[:first])]
        for at, file in enumerate(forms):
            await _come(office, file.name, file.read_bytes(), dropped=(number + at) % 2 == 0)
            if at == 0:
                held = await _held(office)
            assert await _held(office) == held, file.name
        for file in forms:
            await office.drop(f"again-{file.name}", file.read_bytes())
            await _come(office, f"sent-{file.name}", file.read_bytes(), dropped=False)
        assert await _held(office) == held
        assert len(held) == number + 1


async def _come(office: Office, name: str, data: bytes, *, dropped: bool) -> None:
    if dropped:
        await office.drop(name, data)
    else:
        (answer,) = await office.send((name, data))
        assert answer["__typename"] == "FileTaken", answer


async def _held(office: Office) -> list[Any]:
    """All that is stated; `raw` is the form that came last."""
    return [row[0] for row in await office.company.owner.fetch(_INVOICES)]


_INVOICES = """
SELECT to_jsonb(i) - ARRAY['raw', 'content_hash', 'changed_at'] FROM mirror.invoice i WHERE deleted_at IS NULL ORDER BY external_id"""


@pytest.fixture
async def bank(database_url: str, owner_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    async with opened(database_url, owner_url, currency="EUR") as company:
        settings = Kit.bank(name="inbox", ledger=company.ledger.code)
        connector = BankStatementsConnector(name="inbox", path=tmp_path)
        async with open_graph(database_url, sources=[(settings, connector)]) as graph:
            yield Office(company, graph, tmp_path)


@pytest.mark.parametrize("file", STATEMENTS, ids=lambda file: file.name)
@pytest.mark.parametrize("dropped", [True, False])
async def test_a_real_statement_that_comes_again_books_nothing_twice(bank: Office, file: Path, dropped: bool) -> None:
    data = file.read_bytes()
    await _come(bank, file.name, data, dropped=dropped)
    before = await bank.company.owner.fetch(_TRANSACTIONS)
    assert before
    await bank.drop(f"renamed-{file.name}", data)
    await bank.drop(f"twice-{file.name}", data)
    for outcomes in ({"CHANGED", "UNCHANGED"}, {"UNCHANGED"}):  # a warning names the file
        (answer,) = await bank.send((f"sent-{file.name}", data))
        assert {each["outcome"] for each in answer["documents"]} <= outcomes
    assert await bank.company.owner.fetch(_TRANSACTIONS) == before


_TRANSACTIONS = """
SELECT account, external_id, amount, visible FROM mirror.bank_transaction WHERE deleted_at IS NULL ORDER BY 1, 2, 3, 4"""
