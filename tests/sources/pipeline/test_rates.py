"""Rates: from the ECB's files, CSV or one at a time; exact, all or none, and every mistake told with its place."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeAlias

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.errors import InvalidArgument
from sources.mapping.rates import Quote, Rates
from sources.pipeline import rate_files, rates
from sources.pipeline.rate_files import checked, read_rates

Connection: TypeAlias = "asyncpg.Connection[Any]"
DAY = date(2026, 1, 2)

HISTORY = b"""Date,USD,JPY,CYP,BGN,
2026-01-05,1.0956,155.81,N/A,1.9558,
2026-01-02,1.0999,155.10,0.5852,,
"""
DAILY = b"Date, USD, JPY, \n02 January 2026, 1.0999, 155.10, \n"
XML = b"""<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
<gesmes:subject>Reference rates</gesmes:subject>
<Cube><Cube time="2026-01-05"><Cube currency="USD" rate="1.0956"/><Cube currency="CYP" rate="0.5"/></Cube>
<Cube time="2026-01-02"><Cube currency="USD" rate="1.0999"/><Cube currency="JPY" rate="155.10"/></Cube></Cube>
</gesmes:Envelope>"""
PLAIN = b"date,base,quote,rate,type\n2026-01-02,USD,GBP,0.8,spot\n2026-01-31,USD,GBP,0.81,closing\n2026-01-31,CHF,USD,1.2,\n"


def zipped(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def found(data: bytes) -> dict[tuple[str, str, str, date], str]:
    return {each[:4]: str(each.rate) for each in read_rates(data, "rates").quotes}


@pytest.fixture
async def app(database_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    "data", [HISTORY, b"\xef\xbb\xbf" + HISTORY.replace(b"\n", b"\r\n"), zipped(("hist.csv", HISTORY))]
)
def test_the_banks_history_has_a_column_for_each_currency(data: bytes) -> None:
    second = date(2026, 1, 5)
    assert found(data) == {
        ("EUR", "USD", "spot", second): "1.0956",
        ("EUR", "JPY", "spot", second): "155.81",
        ("EUR", "BGN", "spot", second): "1.9558",
        ("EUR", "USD", "spot", DAY): "1.0999",
        ("EUR", "JPY", "spot", DAY): "155.10",
    }
    assert read_rates(data, "rates").passed_over == {"CYP"}


def test_the_banks_other_files_say_the_same() -> None:
    daily = {("EUR", "USD", "spot", DAY): "1.0999", ("EUR", "JPY", "spot", DAY): "155.10"}
    assert found(DAILY) == daily
    assert found(XML) == daily | {("EUR", "USD", "spot", date(2026, 1, 5)): "1.0956"}
    assert found(zipped(("eurofxref.xml", XML))) == found(XML)


def test_plain_csv_names_both_currencies_and_perhaps_the_type() -> None:
    last = date(2026, 1, 31)
    expected = {
        ("USD", "GBP", "spot", DAY): "0.8",
        ("USD", "GBP", "closing", last): "0.81",
        ("CHF", "USD", "spot", last): "1.2",
    }
    assert found(PLAIN) == expected
    assert found(b"rate,quote,base,date\n0.8,GBP,USD,2026-01-02") == {("USD", "GBP", "spot", DAY): "0.8"}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "line 1: the columns must be"),
        (b"Date,USD\n", "no rates stand in it"),
        (b"Datum,USD\n1,2\n", "line 1: the columns must be"),
        (b"\xff\xfe\x00", "it must be UTF-8 text"),
        (b"Date,USD\n2026-01-02,nan\n", "line 2, USD: rate must be a decimal number above 0"),
        (b"Date,USD\n2026-01-02,0\n", "line 2, USD: rate must be"),
        (b"Date,USD\n2026-01-02,-1\n", "line 2, USD: rate must be"),
        (b"Date,USD\n2026-01-02,1e3\n", "line 2, USD: rate must be"),
        (b"Date,USD\n2026-01-02,1,5\n", "line 2: it has 3 cells under 2 columns"),
        (b"Date,USD\n2026-02-30,1\n", "line 2, USD: date must be a day"),
        (b"Date,USD\n02/01/2026,1\n", "line 2, USD: date must be a day"),
        (b"Date,usd\n2026-01-02,1\n", "line 2, usd: 'usd' is no currency of ISO 4217"),
        (b"date,base,quote,rate\n2026-01-02,XXX,USD,1\n", "line 2: 'XXX' is no currency of ISO 4217"),
        (b"date,base,quote,rate\n2026-01-02,USD,USD,1\n", "line 2: base and quote are both 'USD'"),
        (b"date,base,quote,rate\n2026-01-02,USD\n", "line 2: it must have 4 cells, not 2"),
        (b"date,base,quote,rate,colour\n", "line 1: the columns must be date, base, quote, rate and optionally type"),
        (b"date,base,quote,rate,rate\n", "line 1: the columns must be"),
        (b"date,base,quote,rate,type\n2026-01-02,USD,GBP,1,Spot Rate\n", "line 2: type must be of a-z"),
        (
            b"date,base,quote,rate\n2026-01-02,USD,GBP,1\n2026-01-02,USD,GBP,1.1\n",
            "line 3: USD in GBP (spot) of 2026-01-02",
        ),
        (b"date,base,quote,rate\n2026-01-02,USD,GBP,1000000000000\n", "below 10^12"),
        (b'date,base,quote,rate\n"2026', "it is not CSV"),
        (b"<Envelope><Cube time='2026-01-02'>", "not well-formed XML"),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", "document type declaration"),
        (b"<x><Cube currency='USD' rate='1'/></x>", "USD: date must be a day"),
        (b"<?xml version='1.0' encoding='nonsense'?><x/>", "not well-formed XML"),
        (b"PK\x03\x04nonsense", "the ZIP cannot be unpacked"),
        (zipped(("a", HISTORY), ("b", HISTORY)), "a ZIP must hold one file, not 2"),
        (zipped(("a", b"0" * (rate_files.MAX_BYTES + 1))), "it must be at most 32,000,000 bytes long"),
    ],
)
def test_a_file_is_refused_with_the_place_of_what_is_wrong(data: bytes, told: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read_rates(data, "my.csv")
    assert str(caught.value).startswith("my.csv: ")
    assert told in str(caught.value)


def test_all_mistakes_are_told_up_to_a_bound() -> None:
    with pytest.raises(InvalidArgument) as caught:
        read_rates(b"Date,USD\n" + b"2026-01-02,x\n" * 50, "my.csv")
    assert len(str(caught.value).splitlines()) == rate_files.MAX_TOLD + 1
    assert str(caught.value).endswith("and 30 more")


def test_a_file_of_more_rates_than_there_are_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_files, "MAX_RATES", 4)
    for data in (
        HISTORY,
        XML.replace(b"</Cube></Cube>", b"<Cube currency='GBP' rate='1'/><Cube currency='CHF' rate='1'/></Cube></Cube>"),
    ):
        with pytest.raises(InvalidArgument, match="it must state at most 4 rates"):
            read_rates(data, "my.csv")


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: b"Date,USD\n" + text.encode()))
def test_no_bytes_make_it_stumble(data: bytes) -> None:
    try:
        read_rates(data, "rates")
    except InvalidArgument as refused:
        assert str(refused)  # noqa: PT017


# ---------------------------------------------------------------- storing


async def test_a_file_is_stored_once_and_what_it_corrects_is_written(app: Connection) -> None:
    assert await rates.load_file(app, HISTORY, "eurofxref-hist.csv") == rates.Stored(5, 5, frozenset({"CYP"}))
    assert await rates.load_file(app, HISTORY, "again.csv") == rates.Stored(5, 0, frozenset({"CYP"}))
    assert await rates.load_file(app, b"Date,USD\n2026-01-02,1.2\n", "fix.csv") == rates.Stored(1, 1)
    rows = await app.fetch("SELECT rate::text, source FROM ledger.rate WHERE quote = 'USD' ORDER BY on_date")
    assert [tuple(row) for row in rows] == [("1.2", "fix.csv"), ("1.0956", "eurofxref-hist.csv")]


async def test_a_file_with_a_mistake_changes_nothing(app: Connection) -> None:
    with pytest.raises(InvalidArgument):
        await rates.load_file(app, HISTORY + b"2026-01-01,x\n", "half.csv")
    assert await app.fetchval("SELECT count(*) FROM ledger.rate") == 0


async def test_rates_are_stored_to_the_last_digit_and_looked_up_exactly(app: Connection) -> None:
    text = "0.1234567890123456789012345678901234567890"
    await rates.set_rates(
        app, [checked("USD", "GBP", "2026-01-02", text), checked("EUR", "USD", "2026-01-02", "3")], "me"
    )
    rows = await app.fetch("SELECT base, quote, type, on_date, rate FROM ledger.rate")
    found = Rates(Quote(*row) for row in rows)
    assert found.rate("USD", "GBP", DAY) == Fraction(text)
    assert found.rate("GBP", "USD", DAY) == 1 / Fraction(text)
    assert found.rate("EUR", "GBP", DAY + timedelta(days=7)) == 3 * Fraction(text)
    assert found.rate("EUR", "GBP", DAY + timedelta(days=8)) is None
    assert found.rate("EUR", "USD", DAY, "closing") is None


async def test_a_long_history_is_stored_whole(app: Connection) -> None:
    quotes = [
        Quote("EUR", quote, "spot", date(2000, 1, 1) + timedelta(days=n), Decimal(n + 1) / 7)
        for n in range(6_000)
        for quote in ("USD", "GBP", "JPY", "CHF")
    ]
    assert await rates.set_rates(app, reversed(quotes), "history") == rates.Stored(24_000, 24_000)


async def test_what_is_given_twice_or_from_nowhere_is_refused(app: Connection) -> None:
    one = checked("EUR", "USD", "2026-01-02", "1.1")
    with pytest.raises(InvalidArgument, match="given twice"):
        await rates.set_rates(app, [one, one], "me")
    for source in ("", "x" * 256, "a\x00"):
        with pytest.raises(InvalidArgument, match="source"):
            await rates.set_rates(app, [one], source)
    assert await rates.set_rates(app, [], "me") == rates.Stored(0, 0)


@pytest.mark.parametrize("rate", ["NaN", "Infinity", "0", "-1", "1000000000000"])
async def test_the_database_takes_no_rate_that_is_none(app: Connection, rate: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await rates.set_rates(app, [Quote("EUR", "USD", "spot", DAY, Decimal(rate))], "me")
