"""What the graph reads of the mirror's logbook: integration issues and runs of pulls. See `sources.mirror.queries`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sources.mirror.queries import columns, split
from sources.reading import Conditions, Key, Order, Reader, Results, View, Want, page

Args = Mapping[str, Any]

_STATE: Final = (
    "CASE WHEN i.resolved_at IS NOT NULL THEN 'RESOLVED' WHEN i.closed_at IS NOT NULL THEN 'CLOSED' "
    "WHEN i.muted_until > now() THEN 'MUTED' ELSE 'OPEN' END"
)


def document_id(alias: str) -> dict[str, str]:
    """The parts of a document's id in the graph that stand before and behind the ledger's code: null where there is none."""
    account = f"replace(replace({alias}.account, '%', '%25'), ':', '%3A') || ':'"
    return {
        "document_kind": f"replace({alias}.kind, '_', '-')",
        "document_rest": f"{alias}.source || ':' || CASE {alias}.kind WHEN 'bank_transaction' THEN {account} ELSE '' END "
        f"|| {alias}.external_id",
    }


ISSUE = View(
    "mirror.issue i",
    columns(
        "i",
        "ledger_id source code subject message hint excerpt times attempts first_seen opened_at last_seen next_attempt_at "
        "closed_at resolved_by note muted_until",
    )
    | {"kind": "upper(i.kind)", "state": _STATE}
    | document_id("i"),
)
RUN = View(
    "mirror.sync_run r",
    columns("r", "ledger_id source run_id started_at finished_at pages documents changed deleted problems error")
    | {
        "state": "CASE WHEN r.finished_at IS NULL THEN 'RUNNING' WHEN r.error IS NOT NULL THEN 'FAILED' ELSE 'SUCCEEDED' END"
    },
)

ISSUES_BY_OPENING = Order(
    "issues",
    (("opened_at", "timestamptz"), ("ledger_id", "bigint"), ("source", "text"), ("code", "text"), ("subject", "text")),
    descending=True,
)
RUNS_BY_START = Order("sync-runs", (("started_at", "timestamptz"), ("run_id", "bigint")), descending=True)

_AMONG: Final = {"sources": "i.source", "codes": "i.code"}


def names_of(values: Iterable[Any]) -> list[str]:
    """Values of an enum as they are stored."""
    return [str(getattr(value, "value", value)) for value in values]


async def issues(
    reader: Reader, ledger_ids: Sequence[int], want: Want, filter_: Mapping[str, Any], args: Args
) -> dict[str, Any]:
    """Those that were opened last first; open ones alone unless `states` says otherwise."""
    where = Conditions()
    if len(ledger_ids) == 1:  # so that the index gives the list's order
        where.add("i.ledger_id = {0}", ledger_ids[0])
    else:
        where.add("i.ledger_id = ANY({0})", list(ledger_ids))
    for name, column in _AMONG.items():
        if filter_.get(name) is not None:
            where.add(f"{column} = ANY({{0}})", filter_[name])
    if filter_.get("documentKinds") is not None:
        where.add("i.kind = ANY({0})", [name.lower() for name in names_of(filter_["documentKinds"])])
    states = ["OPEN"] if filter_.get("states") is None else names_of(filter_["states"])
    if not {"CLOSED", "RESOLVED"} & set(states):
        where.add("i.closed_at IS NULL")
    where.add(f"{_STATE} = ANY({{0}})", states)
    return await page(reader, ISSUE, where, ISSUES_BY_OPENING, want, args)


async def issue_by_key(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    """Keys: (ledger_id, source, code, subject)."""
    names = [*want.columns, "ledger_id", "source", "code", "subject"]
    rows = await reader.fetch(ISSUE.select(names, _BY_KEY), *split(keys))
    return {tuple(row[-4:]): row for row in ISSUE.decode(want, rows)}


async def sync_runs(reader: Reader, ledger_ids: Sequence[int], source: str, want: Want, args: Args) -> dict[str, Any]:
    """Runs of a source, the newest first. `ledger_ids`: that the caller sees."""
    where = Conditions()
    if len(ledger_ids) == 1:
        where.add("r.ledger_id = {0}", ledger_ids[0])
    else:
        where.add("r.ledger_id = ANY({0})", list(ledger_ids))
    where.add("r.source = {0}", source)
    return await page(reader, RUN, where, RUNS_BY_START, want, args)


_BY_KEY = """
(i.ledger_id, i.source, i.code, i.subject) IN (SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]))"""
