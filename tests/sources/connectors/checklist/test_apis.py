"""The checklist of every connector of an API: what it reads, and what no network, no busy system and no careless release does to it."""

from __future__ import annotations

import asyncio
import tracemalloc
import zlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from sources.connectors.http import HttpOptions
from sources.connectors.registry import KINDS
from sources.documents import Connector, Document
from tests.examples import FACTOR
from tests.sources.connectors.checklist.copies import Copy, Outcome
from tests.sources.connectors.checklist.meddling import (
    BOUND,
    LASTING,
    SILENCE,
    TRANSIENT,
    VALUES,
    Fault,
    Looping,
    Meddler,
    Replacing,
    decode,
    meddler,
    places,
    shape,
)
from tests.sources.connectors.checklist.subjects import Key, Subject, System, figures, subjects

BOUNDS = HttpOptions(waiting=False, attempts=3, attempt_seconds=SILENCE / 2, deadline_seconds=10, response_bytes=BOUND)
PULLS = max(1, round(3 * FACTOR))
"""For each value of an answer, in each of which as many of VALUES are tried as there are records; FACTOR 20 tries all."""
APIS = {subject.name: subject for subject in subjects() if isinstance(subject, Subject)}
every_api = pytest.mark.parametrize("subject", APIS.values(), ids=APIS.keys())


def test_every_kind_of_source_has_a_subject() -> None:
    """A connector without one is not done: see docs/connectors.md."""
    pulled = {name for name, kind in KINDS.items() if not kind.takes_submissions}
    assert pulled == {subject.kind for subject in subjects()}


@dataclass
class Stage:
    """A vendor behind the proxy, and who stores what the connector reads."""

    subject: Subject
    system: System
    proxy: Meddler
    copy: Copy = field(default_factory=Copy)

    def connector(self) -> Connector:
        return self.system.connector(self.proxy.url, BOUNDS)

    async def pull(self, copy: Copy | None = None) -> Outcome:
        """By a connector of its own."""
        connector = self.connector()
        try:
            return await (self.copy if copy is None else copy).pull(connector)
        finally:
            await connector.close()

    async def pulled(self) -> Outcome:
        """One that has to succeed, after which the copy is the truth."""
        outcome = await self.pull()
        assert (outcome.error, outcome.problems) == (None, [])
        self.is_true()
        return outcome

    def is_true(self) -> None:
        assert self.copy.amounts == self.system.truth()

    def change(self) -> None:
        self.system.add()
        self.system.change()
        self.system.remove()


@asynccontextmanager
async def staged(subject: Subject) -> AsyncIterator[Stage]:
    system = subject.system()
    async with meddler(system.app, subject.endpoint) as proxy:
        yield Stage(subject, system, proxy)


# ---------------------------------------------------------------- what it reads


@every_api
async def test_all_pages_are_read(subject: Subject) -> None:
    async with staged(subject) as stage:
        outcome = await stage.pulled()
        assert len(stage.copy.held) > 8
        assert len(stage.proxy.asked) >= subject.pages
        assert outcome.deleted == set()


@every_api
async def test_what_is_new_changed_and_gone_is_seen_by_the_next_pull(subject: Subject) -> None:
    async with staged(subject) as stage:
        await stage.pulled()
        for happens in (stage.system.add, stage.system.change, stage.system.remove, stage.change):
            happens()
            await stage.pulled()
        await stage.pulled()


@every_api
async def test_a_pull_that_is_broken_off_is_gone_on_with(subject: Subject) -> None:
    """By whoever stored its first page, in another process."""
    async with staged(subject) as stage:
        connector = stage.connector()
        pages = connector.pull(None)
        first = await anext(pages)
        await pages.aclose()  # type: ignore[attr-defined]
        await connector.close()
        stage.copy._store(first.documents, Outcome())
        stage.copy.cursor = first.cursor
        stage.change()
        await stage.pulled()


@every_api
@pytest.mark.parametrize("cursor", ["", "x", "null", "[]", "{}", '{"version": 99}', "9" * 50])
async def test_a_cursor_that_is_none_of_its_own_begins_anew(subject: Subject, cursor: str) -> None:
    async with staged(subject) as stage:
        stage.copy.cursor = cursor
        await stage.pulled()


@every_api
async def test_two_pulls_at_once_do_not_disturb_each_other(subject: Subject) -> None:
    async with staged(subject) as stage:
        connector, copies = stage.connector(), [Copy() for _ in range(3)]
        await asyncio.gather(*(copy.pull(connector) for copy in copies))
        await connector.close()
        assert [copy.amounts for copy in copies] == [stage.system.truth()] * 3


@pytest.mark.parametrize(
    ("dated", "written", "day"),
    [
        pytest.param(subject.dated, written, day, id=f"{name}-{written}")
        for name, subject in APIS.items()
        for written, day in subject.moments
    ],
)
def test_a_moment_counts_by_the_documented_date(dated: Callable[[Any], Any], written: Any, day: Any) -> None:
    assert dated(written) == day


# ---------------------------------------------------------------- answers as a whole


def _numbers(asked: int) -> list[int]:
    """Which requests of a pull it happens to: the first ones, one in the middle, the last."""
    return sorted({1, 2, 3, (asked + 1) // 2, asked} & set(range(1, asked + 1)))


async def _faulted(stage: Stage, fault: Fault, when: Callable[[int], bool]) -> Outcome:
    """A pull under faults, which loses and invents nothing; after it the source is calm."""
    before = stage.copy.amounts
    stage.proxy.calm_down()
    stage.proxy.fault, stage.proxy.when = fault, when
    outcome = await stage.pull()
    stage.proxy.calm_down()
    truth = stage.system.truth()
    for key, found in stage.copy.amounts.items():
        assert found in (truth.get(key), before.get(key)), key
    assert not outcome.deleted & truth.keys()
    return outcome


@every_api
@pytest.mark.parametrize("fault", TRANSIENT.values(), ids=TRANSIENT.keys())
async def test_what_passes_costs_nothing(subject: Subject, fault: Fault) -> None:
    """Each of some requests once, of a first pull and of a later one."""
    async with staged(subject) as stage:
        for changes in (False, True):
            asked, cursor, held = await _asked(stage)
            for number in _numbers(asked):
                stage.copy = Copy(dict(held), cursor)
                outcome = await _faulted(stage, fault, number.__eq__)
                assert (outcome.error, outcome.problems) == (None, [])
                stage.is_true()
            if not changes:
                await stage.pulled()
                stage.change()


async def _asked(stage: Stage) -> tuple[int, str | None, dict[Key, Document]]:
    """How much a pull from here asks for, and the copy as it was before it."""
    cursor, held = stage.copy.cursor, dict(stage.copy.held)
    stage.proxy.calm_down()
    await stage.pulled()
    return len(stage.proxy.asked), cursor, held


@every_api
@pytest.mark.parametrize("fault", {**TRANSIENT, **LASTING}.values(), ids={**TRANSIENT, **LASTING}.keys())
async def test_what_lasts_is_told_and_loses_nothing(subject: Subject, fault: Fault) -> None:
    """From each of some requests on, of a first pull and of a later one; and to one request alone."""
    async with staged(subject) as stage:
        for changes in (False, True):
            asked, cursor, held = await _asked(stage)
            for number in _numbers(asked):
                for when in (number.__le__, number.__eq__):
                    stage.copy = Copy(dict(held), cursor)
                    outcome = await _faulted(stage, fault, when)
                    if outcome.error is None and not outcome.problems and fault is not LASTING["404"]:
                        stage.is_true()  # a list that there is not (404) is asked for again
                    assert outcome.error or number > 1 or when == number.__eq__
                    healed = await stage.pull()
                    assert healed.error is None
                    stage.is_true()
            if not changes:
                await stage.pulled()
                stage.change()


def _is_login(endpoint: str) -> bool:
    return "token" in endpoint or "login" in endpoint


@pytest.mark.parametrize("subject", [pytest.param(each, id=name) for name, each in APIS.items() if each.renews])
async def test_a_token_that_ends_within_a_pull_is_renewed(subject: Subject) -> None:
    """Before each of its requests, and once for several that were asked at the same time."""
    async with staged(subject) as stage:
        await stage.pulled()
        asked = [number for number, name in enumerate(stage.proxy.asked, 1) if not _is_login(name)]
        for number in asked:
            stage.copy = Copy()
            outcome = await _faulted(stage, LASTING["401"], number.__eq__)
            assert (outcome.error, outcome.problems) == (None, [])
            stage.is_true()


@every_api
async def test_a_listing_that_leads_in_circles_ends(subject: Subject) -> None:
    """In an error, or with all that there is; nothing is lost."""
    async with staged(subject) as stage:
        await stage.pulled()
        often = Counter(stage.proxy.asked)
        listings = [name for name, times in often.items() if times > 1 and name[-1] not in "*/" and not _is_login(name)]
        assert listings
        for endpoint in listings:
            copy = Copy(dict(stage.copy.held), None)
            stage.proxy.asked.clear()
            stage.proxy.alter = Looping(endpoint)
            outcome = await stage.pull(copy)
            stage.proxy.alter = lambda _endpoint, body: body
            assert len(stage.proxy.asked) < 20 * often.total()
            assert outcome.error is not None or copy.amounts == stage.system.truth(), endpoint
            assert copy.amounts == stage.copy.amounts


@every_api
@pytest.mark.parametrize("fault", ["a bomb", "endless"])
async def test_what_expands_or_never_ends_takes_little_memory(subject: Subject, fault: str) -> None:
    async with staged(subject) as stage:
        stage.proxy.fault, stage.proxy.when = LASTING[fault], lambda _number: True
        tracemalloc.start()
        try:
            outcome = await stage.pull()
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert outcome.error is not None
        assert most < 20 * BOUND


# ---------------------------------------------------------------- one value after the other


@every_api
async def test_no_value_of_an_answer_makes_a_wrong_document_or_harms_another(subject: Subject) -> None:
    """Every value of every answer, of a first pull and of what only a later one asks for, is replaced by each of VALUES: the record is
    refused with a reason or read without it, and nobody else's is lost, changed or deleted."""
    async with staged(subject) as stage:
        shapes = _Shapes()
        stage.proxy.alter = shapes
        calm = Copy()
        assert (await stage.pull(calm)).error is None
        first = set(shapes.found)
        stage.change()
        stage.copy = Copy(dict(calm.held), calm.cursor)
        stage.proxy.alter = shapes
        await stage.pulled()
        faults = []
        for place in sorted(shapes.found):
            began = Copy(dict(stage.copy.held), None) if place in first else Copy(dict(calm.held), calm.cursor)
            faults += await _replaced(stage, *place, began)
        assert not faults, "\n".join(faults)


@dataclass
class _Shapes:
    """An `alter` that changes nothing and notes what there is: endpoint and shape of each value."""

    found: set[tuple[str, str]] = field(default_factory=set)

    def __call__(self, endpoint: str, body: bytes) -> bytes:
        self.found |= {(endpoint, shape(path)) for path in places(decode(body))}
        return body


async def _replaced(stage: Stage, endpoint: str, where: str, began: Copy) -> list[str]:
    """What is wrong after pulls in which the values of one shape were replaced."""
    truth = stage.copy
    known, faults, start = {key[1] for key in truth.held}, list[str](), zlib.crc32(where.encode()) % len(VALUES)
    left = len(VALUES)
    for _ in range(PULLS):
        replacing = Replacing(endpoint, where, start, left, known)
        copy = Copy(dict(began.held), began.cursor)
        stage.proxy.alter = replacing
        connector = stage.connector()
        try:
            outcome = await copy.pull(connector)
            stage.proxy.calm_down()
            wrong = _wrong(stage.subject, replacing, outcome, copy, truth.held, began)
            healed = await copy.pull(connector) if outcome.error is None else Outcome()
            if healed.error is not None:
                wrong.append(f"does not heal: {healed.error}")
            elif outcome.problems and (not hasattr(connector, "read_again") or all(e.again for e in outcome.problems)):
                wrong += _unhealed(stage.subject, replacing, copy, truth.held)
        except Exception as error:
            wrong = [f"{type(error).__name__}: {error}"]
        finally:
            stage.proxy.calm_down()
            await connector.close()
        faults += [f"{endpoint} {where} {_shown(replacing.put)}: {each}" for each in wrong]
        start += len(replacing.put)
        left -= len(replacing.put)
        if left == 0 or not replacing.put:
            break
    return faults


def _wrong(
    subject: Subject, replacing: Replacing, outcome: Outcome, copy: Copy, truth: Mapping[Key, Document], began: Copy
) -> list[str]:
    """What must not be, after values were put where `replacing` says. A value that says which document it is, or that there is
    none, is believed; so is one that says that a page is the last. Of a record that was spoilt, what was held before may stay."""
    told, means = (_is_one_of(replacing.shape, names) for names in (subject.telling, subject.figures))
    ends = [values for name, values in subject.ends.items() if _is_one_of(replacing.shape, {name})]
    ended = any(value in values for values in ends for value in replacing.put)
    failed = outcome.error is not None
    wrong: dict[str, set[Key]] = defaultdict(set)
    for key, document in truth.items():
        held, old, touched = copy.held.get(key), began.held.get(key), _touches(replacing, key)
        if key in outcome.deleted and not (told and touched) and not ended:
            wrong["deleted" if touched else "another one, deleted"].add(key)
        elif touched and held is not None and held is not old and not means and _differs(held, document):
            wrong[f"other amounts ({_differs(held, document)})"].add(key)
        elif not touched and not failed and not ended and (held is None or figures(held) != figures(document)):
            wrong["another one, lost or changed"].add(key)
        elif key not in outcome.seen and began.cursor is None and not (failed or told or ended or outcome.problems):
            wrong["lost without a word"].add(key)
    if not told:
        wrong["invented"] |= copy.held.keys() - truth.keys() - began.held.keys()
    return [f"{what}: {len(keys)} of {len(truth)}, {min(keys)}" for what, keys in wrong.items() if keys]


def _unhealed(subject: Subject, replacing: Replacing, copy: Copy, truth: Mapping[Key, Document]) -> list[str]:
    """What a later pull does not mend of records that could not be read, although nothing is wrong with them any more, where each said
    which it is. Values that are believed change what there is."""
    believed = _is_one_of(replacing.shape, {*subject.telling, *subject.figures, *subject.ends})
    if believed or not subject.again:
        return []
    stale = [key for key, document in truth.items() if key not in copy.held or _differs(copy.held[key], document)]
    return [f"does not heal: {what[0]}" for what in (stale, list(copy.open)) if what]


def _touches(replacing: Replacing, key: Key) -> bool:
    """Ids of statements are made of others."""
    return key[1] in replacing.touched or any(len(each) > 5 and each in key[1] for each in replacing.touched)


def _is_one_of(where: str, names: Iterable[str]) -> bool:
    return any(f".{where}".endswith(f".{name}") for name in names)


def _differs(held: Document, document: Document) -> str:
    """Amounts of both that are not the same; one that is not stated any more is none."""
    found, right = figures(held), figures(document)
    return ", ".join(
        f"{where} {found[where]} for {right[where]}"
        for where in found.keys() & right.keys()
        if found[where] != right[where]
    )


def _shown(values: list[Any]) -> str:
    return str(values)[:200]
