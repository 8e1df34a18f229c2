"""The entries of a camt file, read while the file is parsed and taken out of it, because the tree of a whole file is ten times as large.

What cannot be read exactly before the file ends stays in the tree: an entry that comes before its account, that uses a namespace for an
attribute, or that is refused (what is wrong with a file is said in its order)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree

from sources.connectors.camt_entry import ENTRY, Entry, read_entry
from sources.connectors.files_values import UnreadableFile, clean
from sources.connectors.files_xml import find_text
from sources.connectors.statement import Bounds

RECORDS = {"052": "Rpt", "053": "Stmt", "054": "Ntfctn"}
"""What a statement is called, by the kind of message."""

_MESSAGES = {"BkToCstmrAcctRpt": "052", "BkToCstmrStmt": "053", "BkToCstmrDbtCdtNtfctn": "054"}
_VERSION_SUFFIX = re.compile(r"V[0-9]{2}$")


def message_kind(element: etree._Element) -> str | None:
    """ "052", "053" or "054" of a message, None of any other element. Version 1 names end in V01."""
    return _MESSAGES.get(_VERSION_SUFFIX.sub("", _local(element)))


def identification(record: etree._Element) -> tuple[str, bool] | None:
    """A statement's account, and whether the file calls it an IBAN. Version 1 also knows BBAN, UPIC, PrtryAcct."""
    iban = find_text(record, "Acct/Id/IBAN")
    if clean(iban):
        return str(iban), True
    for path in ("Othr/Id", "BBAN", "UPIC", "PrtryAcct/Id", "Prxy/Id"):
        text = clean(find_text(record, f"Acct/Id/{path}"))
        if text:
            return text, False
    return None


def declarations(record: etree._Element) -> str:
    """The namespaces that are declared around a statement's entries, as an entry's tag shows them."""
    entry = etree.SubElement(record, ENTRY)
    shown = etree.tostring(entry, encoding="unicode")
    record.remove(entry)
    return shown.removeprefix(f"<{ENTRY}").removesuffix("/>")


@dataclass(slots=True)
class _OfRecord:
    """`account`: None where no entry is taken; `refused`: no further one is; `entries`: None is one that stays in the tree."""

    kind: str
    account: str | None
    refused: bool = False
    entries: list[Entry | None] = field(default_factory=list)


class TakenEntries:
    """By statement. Counts what the file holds by `bounds`."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._records: dict[etree._Element, _OfRecord] = {}

    def take(self, element: etree._Element) -> None:
        """Reads an entry and takes it out of the tree, if that can be done by now. Raises UnreadableFile when there are too many."""
        record = element.getparent()
        of = None if record is None else self._of(record)
        if record is None or of is None:
            return
        entry = None
        if of.account is not None and not of.refused and _named_plainly(element):
            following = element.getnext()
            self.bounds.entry()
            record.remove(element)
            etree.cleanup_namespaces(element)
            try:
                entry = read_entry(element, of.kind, own_account=of.account)
            except UnreadableFile:
                of.refused = True
                if following is None:
                    record.append(element)
                else:
                    following.addprevious(element)
        of.entries.append(entry)

    def hold(self) -> bool:
        """Whether the accounts are those that the entries were read with, now that the whole file was seen."""
        return all(
            (identification(record) or (None,))[0] == of.account
            for record, of in self._records.items()
            if any(of.entries)
        )

    def entries(self, record: etree._Element, kind: str, account: str) -> list[Entry]:
        """All entries of a statement in their order, those too that stayed in the tree. Raises UnreadableFile."""
        of = self._records.pop(record, None)
        left = self._left(record, kind, account)
        found = [next(left) if entry is None else entry for entry in (of.entries if of else [])]
        found.extend(left)
        return found

    def _left(self, record: etree._Element, kind: str, account: str) -> Iterator[Entry]:
        for element in record.iterchildren(ENTRY):
            self.bounds.entry()
            yield read_entry(element, kind, own_account=account)

    def _of(self, record: etree._Element) -> _OfRecord | None:
        """None when this is no statement of a message."""
        found = self._records.get(record)
        if found is not None:
            return found
        message = record.getparent()
        kind = None if message is None else message_kind(message)
        if kind is None or _local(record) != RECORDS[kind] or _within_entry(record):
            return None
        for child in record:
            if _local(child) == "Acct":
                for element in child.iter(etree.Element):
                    element.tag = _local(element)
        account = identification(record)
        self._records[record] = found = _OfRecord(kind, account[0] if account else None)
        return found


def _named_plainly(element: etree._Element) -> bool:
    """Names an entry and all in it without namespaces; False when attributes have some, or when it holds a message."""
    plain = True
    for each in element.iter(etree.Element):
        each.tag = _local(each)
        plain = plain and not any(name.startswith("{") for name in map(str, each.keys())) and message_kind(each) is None
    return plain


def _within_entry(record: etree._Element) -> bool:
    return next(record.iterancestors(f"{{*}}{ENTRY}"), None) is not None


def _local(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2]
