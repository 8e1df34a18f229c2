"""submitFiles: a file that is sent is the file that is dropped, in whichever form, order and number."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from sources.connectors.einvoice import EInvoicesConnector
from sources.connectors.submitted import SubmittedConnector
from sources.ledger import administration
from sources.ledger.model import AccountDraft
from tests.graph import Graph, caller, open_graph
from tests.sources.connectors.einvoice_kit import Paper, cii, pdf, ubl
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import EVERYONE, Company, opened
from tests.sources.pipeline.test_einvoice_entries import BILL, LONG_AGO, MORE, POSTED, RULES

SUBMIT = """mutation ($source: String = "inbox", $files: [FileInput!]!) {
  submitFiles(input: {source: $source, files: $files}) { results {
    __typename
    ... on FileTaken { name checksum documents { kind externalId outcome } }
    ... on FileRejected { name reasons { code message path } } } } }"""
SYNC = 'mutation { syncSource(name: "inbox") { __typename } }'
ID = "DE123456789/380/2026-03-10/R-1"


class Office:
    def __init__(self, company: Company, graph: Graph, folder: Path) -> None:
        self.company, self.graph, self.folder = company, graph, folder
        self.written = 0

    async def send(self, *files: tuple[str, bytes], by: Any = None, source: str = "inbox") -> list[dict[str, Any]]:
        given = [{"name": name, "content": base64.b64encode(data).decode()} for name, data in files]
        answer = await self.graph.data(SUBMIT, {"source": source, "files": given}, by)
        return list(answer["submitFiles"]["results"])

    async def drop(self, name: str, data: bytes) -> None:
        self.written += 1
        (self.folder / name).write_bytes(data)
        os.utime(self.folder / name, (LONG_AGO + self.written, LONG_AGO + self.written))
        assert (await self.graph.data(SYNC))["syncSource"]["__typename"] == "SourceSynced"

    async def held(self) -> list[str]:
        rows = await self.company.owner.fetch(
            "SELECT external_id FROM mirror.invoice WHERE deleted_at IS NULL ORDER BY 1"
        )
        return [row[0] for row in rows]

    async def posted(self) -> dict[str, int]:
        await self.company.look()
        assert await self.company.findings() == []
        return await self.company.nets()


@pytest.fixture
async def office(database_url: str, owner_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    async with opened(database_url, owner_url, currency="EUR") as company:
        accounts = [AccountDraft(code=code, name=code, type=kind) for code, kind in MORE.items()]
        await administration.create_accounts(company.database, EVERYONE, ledger=company.ledger.code, accounts=accounts)
        await company.use_rules(RULES)
        inhouse = Kit.stripe(name="inhouse", kind="submitted", ledger=company.ledger.code)
        sources = [
            (company.source("inbox"), EInvoicesConnector(name="inbox", path=tmp_path)),
            (inhouse, SubmittedConnector(name="inhouse")),
        ]
        async with open_graph(database_url, sources=sources) as graph:
            yield Office(company, graph, tmp_path)


async def test_a_file_tells_what_it_stated_and_what_that_changed(office: Office) -> None:
    data = ubl(BILL)
    (answer,) = await office.send(("bill.xml", data))
    document = {"kind": "INVOICE", "externalId": ID, "outcome": "NEW"}
    checksum = hashlib.sha256(data).hexdigest()
    assert answer == {"__typename": "FileTaken", "name": "bill.xml", "checksum": checksum, "documents": [document]}
    (answer,) = await office.send(("bill.xml", data))
    assert [each["outcome"] for each in answer["documents"]] == ["UNCHANGED"]
    assert await office.posted() == POSTED


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_one_invoice_is_one_document_however_it_comes(office: Office, order: tuple[int, ...]) -> None:
    """Dropped in one form, sent in another, and the other way round: dropped twice, renamed, sent again."""
    forms = [("a.pdf", pdf(("factur-x.xml", cii(BILL)))), ("b.xml", ubl(BILL)), ("c.xml", cii(BILL))]
    for number, at in enumerate(order):
        name, data = forms[at]
        await (office.drop(name, data) if number % 2 else office.send((name, data)))
        await office.posted()
    await office.drop("again.pdf", forms[0][1])
    await office.send(*forms)
    assert await office.held() == [ID]
    assert await office.posted() == POSTED
    assert len(await office.company.entries()) == 1


async def test_sent_and_dropped_at_once_it_is_one_document(office: Office) -> None:
    await asyncio.gather(*(office.send(("bill.xml", ubl(BILL))) for _ in range(5)), office.drop("bill.xml", ubl(BILL)))
    assert await office.held() == [ID]
    assert await office.posted() == POSTED


async def test_an_older_file_that_comes_again_does_not_put_the_older_figures_back(office: Office) -> None:
    """Whoever repeats a request that was not answered may do it after a newer one."""
    first, second = ubl(BILL), ubl(replace(BILL, due="2026-04-20"))
    await office.send(("first.xml", first))
    await office.send(("second.xml", second))
    held = await office.company.owner.fetchval("SELECT content_hash FROM mirror.invoice")
    (answer,) = await office.send(("first.xml", first))
    assert [each["outcome"] for each in answer["documents"]] == ["STALE"]
    assert await office.company.owner.fetchval("SELECT content_hash FROM mirror.invoice") == held
    (answer,) = await office.send(("second.xml", second))
    assert [each["outcome"] for each in answer["documents"]] == ["UNCHANGED"]
    await office.drop("third.xml", third := ubl(replace(BILL, due="2026-04-30")))
    (answer,) = await office.send(("second.xml", second))
    assert [each["outcome"] for each in answer["documents"]] == ["STALE"]
    (answer,) = await office.send(("third.xml", third))
    assert [each["outcome"] for each in answer["documents"]] == ["UNCHANGED"]


async def test_what_was_sent_stays_when_the_folder_is_read(office: Office) -> None:
    """The folder never had it, and says nothing of it."""
    await office.send(("bill.xml", ubl(BILL)))
    await office.drop("other.xml", ubl(Paper(number="R-2")))
    assert await office.held() == [ID, "DE123456789/380/2026-03-10/R-2"]
    await office.drop("broken.xml", b"<a")
    assert len(await office.held()) == 2


async def test_a_file_that_cannot_be_read_takes_no_other_with_it(office: Office) -> None:
    broken, good = await office.send(("a.xml", b"<a"), ("b.xml", ubl(BILL)))
    assert (broken["__typename"], good["__typename"]) == ("FileRejected", "FileTaken")
    (reason,) = broken["reasons"]
    assert (reason["code"], reason["path"]) == ("INVALID_VALUE", ["files", "0", "content"])
    assert await office.held() == [ID]


@pytest.mark.parametrize("content", ["%%%", "YQ", "YQ==YQ==", "Y Q==", "\u00e9"])
async def test_what_is_no_base64_is_told(office: Office, content: str) -> None:
    answer = await office.graph.data(SUBMIT, {"files": [{"name": "a", "content": content}]})
    (found,) = answer["submitFiles"]["results"]
    assert found["reasons"][0]["message"] == "it is not Base64"


async def test_an_empty_file_is_told(office: Office) -> None:
    (found,) = await office.send(("a.xml", b""))
    assert found["reasons"][0]["message"] == "it is empty"


@pytest.mark.parametrize("source", ["inhouse", "nothing"])
async def test_only_a_source_of_files_takes_files(office: Office, source: str) -> None:
    (found,) = await office.send(("bill.xml", ubl(BILL)), source=source)
    assert [(why["code"], why["path"]) for why in found["reasons"]] == [("NOT_FOUND", ["source"])]


async def test_who_does_not_see_the_ledger_cannot_send(office: Office) -> None:
    (found,) = await office.send(("bill.xml", ubl(BILL)), by=caller(ledgers=["other"]))
    assert found["__typename"] == "FileRejected"
    assert await office.held() == []


async def test_so_many_files_at_once(office: Office) -> None:
    answer = await office.graph.run(SUBMIT, {"files": [{"name": "a", "content": ""}] * 21})
    assert answer["errors"][0]["extensions"]["code"] == "INVALID_ARGUMENT"
