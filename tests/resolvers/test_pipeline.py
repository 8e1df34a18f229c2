"""The pipeline in the graph: from a source's documents to entries, and what people see and decide on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from sources.pipeline.worker import Pipeline
from tests.graph import Graph, caller, entry, open_graph
from tests.sources.mirror.kit import Kit, Script
from tests.world import RULES

PROPOSED = RULES.replace('policy = "automatic"', 'policy = "proposed"')
SAVE = """mutation ($text: String, $version: Int, $activate: Boolean = true, $ledger: String = "us") {
  saveMapping(input: {ledger: $ledger, text: $text, version: $version, activate: $activate, name: "mine"}) { __typename
    ... on MappingSaved { mapping { version name active text createdBy } }
    ... on MappingInvalid { faults { file line key message } } ... on ChangeRejected { reasons { code path } } } }"""
PREVIEW = """query ($text: String, $changesOnly: Boolean, $first: Int, $after: String) {
  previewMapping(ledger: "us", text: $text, changesOnly: $changesOnly, first: $first, after: $after) { __typename
    ... on MappingPreview { lookedAt pageInfo { hasNextPage endCursor } documents { documentId documentKind status code
        message hint changes { posting change rule movedFrom reversalDate posted { sequence } draft { effectiveDate description lines {
          account debit credit currency } } } } }
    ... on MappingInvalid { faults { line message } } } }"""
ISSUES = """query ($states: [IssueState!]) { integrationIssues(filter: {states: $states}) { totalCount nodes {
  ledger { code } source code subject state documentKind documentId hint excerpt times attempts resolvedBy note mutedUntil } } }"""
PROPOSALS = """query ($states: [ProposalState!]) { proposals(ledger: "us", states: $states) { nodes { proposalId state source documentId
  documentKind rule mappingVersion posting decidedBy draft { effectiveDate description reference lines { account debit credit currency
  functionalAmount dimensions { name value } } } } } }"""
ENTRIES = '{ entries(ledger: "us") { nodes { sequence description reverses { sequence } documents { id } } } }'


@dataclass
class Office:
    """A graph over one ledger, and a source that states what a test has it state."""

    graph: Graph
    source: Script
    pipeline: Pipeline

    async def state(self, *documents: Any) -> None:
        """What the source says next; then it is asked, and what is due is posted."""
        self.source.pages += [*Kit.pages(documents)]
        answer = await self.graph.data(
            'mutation { syncSource(name: "billing") { __typename ... on SourceSynced { source { name status } freshness { stale error } } } }'
        )
        found = answer["syncSource"]
        assert found == {
            "__typename": "SourceSynced",
            "source": {"name": "billing", "status": "OK"},
            "freshness": {"stale": False, "error": None},
        }
        await self.pipeline.run_all()

    async def save(self, text: str | None = None, **more: Any) -> dict[str, Any]:
        found: dict[str, Any] = (await self.graph.data(SAVE, {"text": text, **more}))["saveMapping"]
        await self.pipeline.run_all()
        return found

    async def entries(self) -> list[tuple[str, int | None]]:
        nodes = (await self.graph.data(ENTRIES))["entries"]["nodes"]
        return [(each["description"], each["reverses"] and each["reverses"]["sequence"]) for each in nodes]


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    source = Script()
    billing = Kit.stripe(name="billing", ledger="us", post_from=date(2026, 1, 1))
    async with open_graph(database_url, sources=[(billing, source)]) as graph:
        await graph.found()
        yield Office(graph, source, Pipeline(graph.services.database, graph.services.poster))


async def test_an_invoice_becomes_an_entry(office: Office) -> None:
    """And the two name each other; the run of the pull is told of."""
    saved = await office.save(RULES)
    assert saved["mapping"] == {"version": 1, "name": "mine", "active": True, "text": RULES, "createdBy": "tester"}
    await office.state(Kit.invoice(number="7"))
    nodes = (await office.graph.data(ENTRIES))["entries"]["nodes"]
    assert [(each["description"], each["documents"]) for each in nodes] == [
        ("Invoice 7", [{"id": "invoice:us:billing:in_1"}])
    ]
    runs = (
        await office.graph.data('{ syncRuns(source: "billing", first: 1) { nodes { state documents changed error } } }')
    )["syncRuns"]
    assert runs["nodes"] == [{"state": "SUCCEEDED", "documents": 1, "changed": 1, "error": None}]


async def test_an_entry_says_which_rule_of_which_version_made_it(office: Office) -> None:
    """A replacement by other rules as the old entry and its reversal do; a client's entry says nothing."""
    await office.save(RULES)
    await office.state(Kit.invoice(number="7"))
    await office.graph.post(entry("by-hand"))
    await office.save(RULES.replace('"4000"', '"5000"'))
    await office.state(Kit.invoice(number="7", subtotal=2000, total=2190))
    query = '{ entries(ledger: "us") { nodes { source reverses { sequence } rulePosting { rule mappingVersion posting } } } }'
    found = (await office.graph.data(query))["entries"]["nodes"]
    assert [each["rulePosting"] and each["rulePosting"]["mappingVersion"] for each in found] == [1, None, 1, 2]
    assert found[0]["rulePosting"] == {"rule": "sale", "mappingVersion": 1, "posting": "invoice"}


async def test_proposals_are_approved_and_rejected(office: Office) -> None:
    await office.save(PROPOSED)
    await office.state(Kit.invoice("in_1", number="1"), Kit.invoice("in_2", number="2"))
    assert await office.entries() == []
    waiting = (await office.graph.data(PROPOSALS))["proposals"]["nodes"]
    assert [(each["documentId"], each["rule"], each["posting"], each["state"]) for each in waiting] == [
        ("invoice:us:billing:in_1", "sale", "invoice", "WAITING"),
        ("invoice:us:billing:in_2", "sale", "invoice", "WAITING"),
    ]
    assert waiting[0]["draft"]["lines"][0] == {
        "account": "1100", "debit": "11.90", "credit": None, "currency": "USD", "functionalAmount": None, "dimensions": [],
    }  # fmt: skip
    first, second = (each["proposalId"] for each in waiting)
    decide = """mutation ($yes: [BigInt!]!, $no: [BigInt!]!) {
      a: approveProposals(input: {ledger: "us", proposals: $yes}) { ... on ProposalsDecided { notWaiting proposals { state decidedBy } } }
      r: rejectProposals(input: {ledger: "us", proposals: $no}) { ... on ProposalsDecided { notWaiting proposals { state } } } }"""
    answer = await office.graph.data(decide, {"yes": [first, 999], "no": [second, first]})
    assert answer["a"] == {"notWaiting": [999], "proposals": [{"state": "APPROVED", "decidedBy": "tester"}]}
    assert answer["r"] == {"notWaiting": [first], "proposals": [{"state": "REJECTED"}]}
    await office.pipeline.run_all()
    assert await office.entries() == [("Invoice 1", None)]
    assert (await office.graph.data(PROPOSALS))["proposals"]["nodes"] == []
    decided = (await office.graph.data(PROPOSALS, {"states": ["APPROVED", "REJECTED"]}))["proposals"]["nodes"]
    assert [each["state"] for each in decided] == ["APPROVED", "REJECTED"]


async def test_other_rules_are_previewed_and_reach_what_is_posted_by_reposting_alone(office: Office) -> None:
    await office.save(RULES)
    await office.state(Kit.invoice(number="7"), Kit.invoice("in_2", number="8"))
    other = RULES.replace('revenue = "4000"', 'revenue = "3000"')
    assert other != RULES
    page = (await office.graph.data(PREVIEW, {"text": other, "first": 1}))["previewMapping"]
    assert (page["lookedAt"], page["pageInfo"]["hasNextPage"], len(page["documents"])) == (1, True, 1)
    change = page["documents"][0]["changes"][0]
    assert (change["change"], change["posted"]) == ("OTHER", {"sequence": 1})
    assert [line["account"] for line in change["draft"]["lines"]] == ["1100", "3000", "2000"]
    rest = {"text": other, "after": page["pageInfo"]["endCursor"]}
    found = (await office.graph.data(PREVIEW, rest))["previewMapping"]
    assert [each["documentId"] for each in found["documents"]] == ["invoice:us:billing:in_2"]
    same = (await office.graph.data(PREVIEW, {"changesOnly": True}))["previewMapping"]
    assert (same["documents"], same["lookedAt"]) == ([], 2)
    await office.save(other)
    assert len(await office.entries()) == 2
    repost = """mutation { repostDocuments(input: {documents: ["invoice:us:billing:in_1", "invoice:us:billing:zz"]}) {
      ... on DocumentsReposted { documents notPosted } ... on ChangeRejected { reasons { code path } } } }"""
    assert (await office.graph.data(repost))["repostDocuments"] == {
        "documents": ["invoice:us:billing:in_1"],
        "notPosted": ["invoice:us:billing:zz"],
    }
    await office.pipeline.run_all()
    assert [reverses for _, reverses in await office.entries()] == [None, None, 1, None]


async def test_rules_with_mistakes_are_told_with_their_lines(office: Office) -> None:
    """Nothing is stored of them; a version can be made active again."""
    bad = "[[rules]]\nname = 1\n"
    found = await office.save(bad)
    assert found["__typename"] == "MappingInvalid"
    assert ("mine", 2, "rules[0].name") in {(each["file"], each["line"], each["key"]) for each in found["faults"]}
    assert (await office.graph.data(PREVIEW, {"text": bad}))["previewMapping"]["__typename"] == "MappingInvalid"
    assert (await office.save(RULES))["mapping"]["version"] == 1
    assert (await office.save(PROPOSED, activate=False))["mapping"]["active"] is False
    assert (await office.save(version=2))["mapping"]["active"] is True
    assert (await office.save(version=9))["reasons"] == [{"code": "NOT_FOUND", "path": ["version"]}]
    assert (await office.graph.run(SAVE, {"text": RULES, "version": 1}))["errors"][0]["extensions"]["code"] == (
        "INVALID_ARGUMENT"
    )


async def test_an_issue_is_muted_resolved_and_closed_by_itself(office: Office) -> None:
    """A bill whose currency has no rate waits; the rate lets it post."""
    await office.save(RULES)
    await office.state(Kit.invoice(number="7", currency="EUR"))
    found = (await office.graph.data(ISSUES))["integrationIssues"]
    assert found["totalCount"] == 1
    issue = found["nodes"][0]
    assert (issue["ledger"]["code"], issue["code"], issue["state"]) == ("us", "MISSING_RATE", "OPEN")
    assert (issue["documentKind"], issue["documentId"]) == ("INVOICE", "invoice:us:billing:in_1")
    assert "Globex" not in str(issue)
    name = {"ledger": "us", "source": "billing", "code": "MISSING_RATE", "subject": issue["subject"]}
    mute = """mutation ($input: MuteIssueInput!) { muteIssue(input: $input) { ... on IssueSaved { issue { state note } }
      ... on ChangeRejected { reasons { code } } } }"""
    muted = await office.graph.data(mute, {"input": {**name, "until": "2999-01-01T00:00:00Z", "note": "known"}})
    assert muted["muteIssue"]["issue"] == {"state": "MUTED", "note": "known"}
    assert (await office.graph.data(ISSUES))["integrationIssues"]["totalCount"] == 0
    assert (await office.graph.data(ISSUES, {"states": ["MUTED"]}))["integrationIssues"]["totalCount"] == 1
    rates = """mutation ($rates: [RateInput!]!) { setRates(input: {rates: $rates}) { ... on RatesSaved { stated written }
      ... on ChangeRejected { reasons { code path } } } }"""
    rate = {"base": "EUR", "quote": "USD", "on": "2026-03-01", "rate": "1.10"}
    wrong = await office.graph.data(rates, {"rates": [rate, {**rate, "base": "x", "rate": "-1"}]})
    assert wrong["setRates"]["reasons"] == [{"code": "INVALID_RATE", "path": ["rates", "1"]}]
    twice = await office.graph.data(rates, {"rates": [rate, rate]})
    assert twice["setRates"]["reasons"] == [{"code": "INVALID_RATE", "path": ["rates"]}]
    assert (await office.graph.data(rates, {"rates": [rate]}))["setRates"] == {"stated": 1, "written": 1}
    await office.pipeline.run_all()
    assert len(await office.entries()) == 1
    assert (await office.graph.data(ISSUES, {"states": ["CLOSED"]}))["integrationIssues"]["totalCount"] == 1
    resolve = """mutation ($input: ResolveIssueInput!) { resolveIssue(input: $input) { ... on ChangeRejected { reasons { code } } } }"""
    late = await office.graph.data(resolve, {"input": {**name, "note": "late"}})
    assert late["resolveIssue"]["reasons"] == [{"code": "NOT_FOUND"}]


async def test_a_resolved_issue_is_tried_again(office: Office) -> None:
    await office.save(RULES)
    await office.state(Kit.invoice(number="7", currency="EUR"))
    subject = (await office.graph.data(ISSUES))["integrationIssues"]["nodes"][0]["subject"]
    resolve = """mutation ($subject: String!) { resolveIssue(input: {ledger: "us", source: "billing", code: "MISSING_RATE",
      subject: $subject, note: "done"}) { ... on IssueSaved { issue { state resolvedBy note } } } }"""
    found = await office.graph.data(resolve, {"subject": subject})
    assert found["resolveIssue"]["issue"] == {"state": "RESOLVED", "resolvedBy": "tester", "note": "done"}
    await office.pipeline.run_all()
    assert (await office.graph.data(ISSUES))["integrationIssues"]["totalCount"] == 1


async def test_what_waits_for_an_account_posts_once_it_is_created_and_open(office: Office) -> None:
    await office.save(RULES.replace('"4000"', '"4999"'))
    await office.state(Kit.invoice())
    change = """mutation ($create: CreateAccountsInput!, $open: UpdateAccountInput!) {
      createAccounts(input: $create) { __typename } updateAccount(input: $open) { __typename } }"""
    account = {"ledger": "us", "code": "4999"}
    for active, entries in ((False, 0), (True, 1)):
        variables = {
            "create": {"ledger": "us", "accounts": [{"code": "4999", "name": "Sales", "type": "REVENUE"}]},
            "open": {**account, "active": active},
        }
        await office.graph.data(change, variables)
        await office.pipeline.run_all()
        assert len(await office.entries()) == entries


async def test_rates_and_rules_of_settings_are_not_for_everyone(office: Office) -> None:
    """Rates hold for every ledger; rules that a file states are changed there."""
    guest = caller(ledgers=["us"])
    refused = await office.graph.run("mutation { setRates(input: {rates: []}) { __typename } }", by=guest)
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    object.__setattr__(office.graph.services, "ruled_by_files", frozenset({"us"}))
    assert (await office.save(RULES))["reasons"] == [{"code": "FIXED_BY_SETTINGS", "path": ["activate"]}]
    assert (await office.save(RULES, activate=False))["mapping"]["active"] is False


async def test_what_does_not_exist_is_refused(office: Office) -> None:
    answer = await office.graph.data(
        """mutation { syncSource(name: "x") { ... on ChangeRejected { reasons { code path } } }
          repostDocuments(input: {documents: ["ledger:us", "invoice:no:billing:1"]}) { ... on ChangeRejected { reasons { code path } } } }"""
    )
    assert answer["syncSource"]["reasons"] == [{"code": "NOT_FOUND", "path": ["name"]}]
    assert [each["path"] for each in answer["repostDocuments"]["reasons"]] == [["documents", "0"], ["documents", "1"]]
    missing = await office.graph.run('{ syncRuns(source: "x") { totalCount } }')
    assert missing["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    cursor = "WyJpc3N1ZXMiLCIyMDI2LVcwMS0xIiwxLCIiLCIiLCIiXQ"
    odd = await office.graph.run(
        "query ($after: String) { integrationIssues(after: $after) { nodes { code } } }", {"after": cursor}
    )
    assert odd["errors"][0]["extensions"]["code"] == "INVALID_CURSOR"


async def test_a_failing_source_is_told_of(office: Office) -> None:
    office.source.failure = Kit.Unavailable("it is away.")
    answer = await office.graph.data(
        'mutation { syncSource(name: "billing") { ... on SourceSynced { source { status } freshness { asOf stale error } } } }'
    )
    found = answer["syncSource"]["freshness"]
    assert found["stale"] is True
    assert "away" in found["error"]
