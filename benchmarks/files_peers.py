"""How others read the files of this chapter: each gives as many entries, and their sum, as ours. Run in processes that have the
libraries of `peers/python`."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from importlib import import_module
from typing import Any

from lxml import etree

from benchmarks.files_facts import Facts


@dataclass(frozen=True, slots=True)
class Peer:
    """`package`: of `peers/python`, None: what the product is installed with has it. `whole`: it gives what a file states; otherwise it
    is a part of the work alone, and the least that reading can cost."""

    name: str
    read: Callable[[bytes], Facts]
    package: str | None = None
    whole: bool = True


def _library(name: str) -> Any:
    """Of `peers/python`, which the process of a peer alone has."""
    return import_module(name)


def _cents(amount: Any) -> int:
    """Of the type that each library has for amounts."""
    exact = Decimal(str(amount)) * 100
    if exact != int(exact):
        raise ValueError(f"{amount} has parts of a cent")
    return int(exact)


def _camt(data: bytes) -> Facts:
    found = _library("pycamt.parser").Camt053Parser(data).get_transactions()
    signs = {"CRDT": 1, "DBIT": -1}
    return Facts(len(found), sum(signs[each["CreditDebitIndicator"]] * _cents(each["Amount"]) for each in found))


def _mt940(data: bytes) -> Facts:
    found = _library("mt940").parse(data.decode())
    return Facts(len(found), sum(_cents(each.data["amount"].amount) for each in found))


def _bai2(data: bytes) -> Facts:
    bai2 = _library("bai2.bai2")
    accounts = [
        account for group in bai2.parse_from_lines(data.decode().splitlines()).children for account in group.children
    ]
    found = [each for account in accounts for each in account.children]
    return Facts(
        len(found), sum(each.amount * (1 if each.type_code.transaction.name == "credit" else -1) for each in found)
    )


def _ofx(data: bytes) -> Facts:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = _library("ofxparse").OfxParser.parse(io.BytesIO(data)).account.statement.transactions
    return Facts(len(found), sum(_cents(each.amount) for each in found))


def _csv(data: bytes) -> Facts:
    """Rows with their days and amounts, kept."""
    table = csv.DictReader(io.StringIO(data.decode()))
    found = [
        {**row, "Booked on": date.fromisoformat(row["Booked on"]), "Amount": Decimal(row["Amount"])} for row in table
    ]
    return Facts(len(found), sum(_cents(row["Amount"]) for row in found))


def _ubl(data: bytes) -> Facts:
    root = etree.fromstring(data, etree.XMLParser(huge_tree=True))
    amounts = [line.findtext("{*}LineExtensionAmount") for line in root.iterfind("{*}InvoiceLine")]
    return Facts(len(amounts), _cents(root.findtext("{*}LegalMonetaryTotal/{*}PayableAmount")))


def _cii(data: bytes) -> Facts:
    trade = _library("drafthorse.models.document").Document.parse(data, strict=False).trade
    return Facts(
        len(trade.items.children), _cents(re.sub(" .*", "", str(trade.settlement.monetary_summation.grand_total)))
    )


def _pdf(data: bytes) -> Facts:
    return _cii(_library("facturx").get_xml_from_pdf(data, check_xsd=False)[1])


CAMT = Peer("pycamt", _camt, "pycamt")
MT940 = Peer("mt-940", _mt940)
BAI2 = Peer("bai2", _bai2, "bai2")
OFX = Peer("ofxparse", _ofx, "ofxparse")
CSV = Peer("csv module, days and amounts", _csv, whole=False)
UBL = Peer("lxml, the tree and amounts", _ubl, whole=False)
CII = Peer("drafthorse", _cii, "drafthorse")
PDF = Peer("factur-x and drafthorse", _pdf, "factur-x")
