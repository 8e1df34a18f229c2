"""What the checklist needs of a connector's test to run over the connector: a `System` (of an API) or a `Drop` (of files).

Each kind of source has one small module `subject_….py` beside this one, which ends with `SUBJECT = …`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from sources.connectors.http import HttpOptions
from sources.documents import BankStatement, Connector, Document, Invoice, Payment, PayrollRun

Key = tuple[str, str]
"""Kind and external id of a document."""

KIND_OF: Mapping[type, str] = {
    Invoice: "invoice",
    Payment: "payment",
    PayrollRun: "payroll_run",
    BankStatement: "bank_statement",
}


class System(Protocol):
    """One company at a vendor, on a server of ours, as it begins: with more documents than two of its pages hold. What changes it
    does so the way the vendor would, so that the connector can see it by the vendor's own rules."""

    app: web.Application

    def connector(self, url: str, http: HttpOptions) -> Connector:
        """One that reads it at this address, with these bounds."""
        ...

    def add(self) -> None: ...

    def change(self) -> None:
        """The amount or the state of one document."""
        ...

    def remove(self) -> None:
        """As far as the vendor can: where nothing is ever deleted, one is voided."""
        ...

    def truth(self) -> Mapping[Key, int]:
        """Every document that there is and its main amount (see `amount`)."""
        ...


@dataclass(frozen=True)
class Subject:
    """A connector of an API. `system`: makes one anew. `pages`: how many listings' pages a first pull has to ask for, at least.
    `telling`: ends of the paths of fields (`id`, `data.object.id`) that say whether there is a document, or which: another value of theirs is no lost document.
    `figures`: those whose absence or other word changes an amount rightly (a tax that is not stated is none).
    `ends`: of a field, the values that say that a page is the last one: they are believed.
    `again`: a record that could not be read is read by a later pull, once it can be, although nothing says that it changed.
    `renews`: its credentials are renewed when they have ended.
    `form`: of several subjects of a kind, the one that this is. `endpoint`: what a request asks for, from path and body, so that answers of one shape have one name.
    `dated`: from a date or time as the vendor writes it to the calendar date of the document (the connector's documented rule)."""

    kind: str
    system: Callable[[], System]
    pages: int = 3
    telling: frozenset[str] = frozenset()
    figures: frozenset[str] = frozenset()
    ends: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    endpoint: Callable[[str, bytes], str] | None = None
    again: bool = True
    renews: bool = False
    form: str = ""
    dated: Callable[[Any], date | None] | None = None
    moments: Sequence[tuple[Any, date]] = ()

    @property
    def name(self) -> str:
        """For the tests' names."""
        return f"{self.kind}-{self.form}" if self.form else self.kind


@dataclass(frozen=True)
class FileSubject:
    """A connector of files, and one form of file that it reads. `connector`: of a folder, by the clock. `file`: the bytes of a file
    that states each of these numbers (1 to 999) as an amount in whole units of money, in documents of their own or in one that is
    known by the first of them; with a letter in it that is not ASCII. `big`: a file of about so many bytes, with amounts of 7.00.
    `amounts`: those of a document, in minor units. `text`: whether the file is one."""

    kind: str
    connector: Callable[[Path, Callable[[], float]], Connector]
    file: Callable[[Sequence[int]], bytes]
    big: Callable[[int], bytes]
    amounts: Callable[[Document], Sequence[int]]
    form: str = ""
    text: bool = True

    @property
    def name(self) -> str:
        """For the tests' names."""
        return f"{self.kind}-{self.form}" if self.form else self.kind


def subjects() -> Sequence[Subject | FileSubject]:
    """All of them: of each kind of source at least one."""
    here = Path(__file__).parent
    modules = [importlib.import_module(f"{__package__}.{each.stem}") for each in sorted(here.glob("subject_*.py"))]
    return [found for each in modules for found in (each.SUBJECTS if hasattr(each, "SUBJECTS") else (each.SUBJECT,))]


def key_of(document: Document) -> Key:
    return KIND_OF[type(document)], document.external_id


def amount(document: Document) -> int:
    """An invoice's total, a payment's amount, a run's net, the sum of a statement's transactions."""
    match document:
        case Invoice():
            return document.total
        case Payment():
            return document.amount
        case PayrollRun():
            return document.net
        case BankStatement():
            return sum(each.amount for each in document.transactions)


def figures(value: Any, path: str = "") -> dict[str, int]:
    """Every amount of a document, by where it stands."""
    if isinstance(value, tuple):
        return {where: found for n, each in enumerate(value) for where, found in figures(each, f"{path}.{n}").items()}
    if is_dataclass(value):
        names = [each.name for each in fields(value) if each.name != "raw"]
        return {
            where: found for name in names for where, found in figures(getattr(value, name), f"{path}.{name}").items()
        }
    return {path: value} if isinstance(value, int) and not isinstance(value, bool) else {}
