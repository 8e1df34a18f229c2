"""Exact amounts: decimal strings outside, integer minor units inside.

A minor unit is the currency's smallest unit by ISO 4217 (a cent of USD, a whole JPY, a thousandth of BHD).
"""

from __future__ import annotations

import re

# ISO 4217 codes by their exponent (maintenance agency's list one; funds, metals and testing codes left out).
_BY_EXPONENT: dict[int, str] = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY "
        "COP CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HRK HTG HUF "
        "IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK "
        "MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE "
        "SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR "
        "ZMW ZWG ZWL"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

EXPONENTS: dict[str, int] = {code: exponent for exponent, codes in _BY_EXPONENT.items() for code in codes.split()}
"""Decimals of each currency: {"USD": 2, "JPY": 0, "BHD": 3, …}."""

MAX_MINOR = 10**15
"""The largest amount of one line, in minor units."""

DECIMAL = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?", re.ASCII)
"""The one form in which an amount may be stated; longer digit strings are refused before they cost anything."""


def parse_minor(text: str, exponent: int) -> int:
    """'1234.5' with exponent 2 -> 123450 minor units. Raises ValueError when the text is not of the decimal form,
    or is not exactly representable (trailing zeros beyond the exponent are)."""
    if not DECIMAL.fullmatch(text):
        raise ValueError("must be a decimal of the form -?digits[.digits]")
    whole, _, fraction = text.partition(".")
    if len(fraction) == exponent:
        return int(whole + fraction)
    if fraction[exponent:].strip("0"):
        raise ValueError(f"has more than {exponent} decimals")
    return int(whole + fraction[:exponent].ljust(exponent, "0"))


def format_minor(minor: int, exponent: int) -> str:
    """123450 minor units with exponent 2 -> '1234.50'."""
    if exponent == 0:
        return str(minor)
    digits = str(abs(minor)).rjust(exponent + 1, "0")
    return f"{'-' if minor < 0 else ''}{digits[:-exponent]}.{digits[-exponent:]}"


def ceil_minor(text: str, exponent: int) -> int:
    """The smallest number of minor units that is at least this decimal: '10.005' with exponent 2 -> 1001.
    For thresholds, which need not be representable. Raises ValueError when the text is not of the decimal form."""
    if not DECIMAL.fullmatch(text):
        raise ValueError("must be a decimal of the form -?digits[.digits]")
    whole, _, fraction = text.partition(".")
    scale: int = 10**exponent
    unit: int = 10 ** len(fraction)
    return -(-int(whole + fraction) * scale // unit)
