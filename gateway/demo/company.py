"""The sample company Acme: one ledger in the United States and one in Europe, their charts of accounts and business partners."""

from __future__ import annotations

from dataclasses import dataclass

from sources.ledger.model import AccountType, Side

SEED = 20_260_101
"""The books, invoices, payroll and statements of every demo are the same for one seed and one last day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartAccount:
    """One account as it is created; `normal_side` None: by its type."""

    code: str
    name: str
    type: AccountType
    parent: str | None
    currency: str | None = None
    normal_side: Side | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """One ledger of the company. `tax_rate` is on domestic sales and purchases, in tenths of a percent; `abroad` are the
    currencies that it invoices and buys in beside its own, with the price of one unit in ten-thousandths of its own."""

    code: str
    name: str
    currency: str
    tax_name: str
    tax_rate: int
    foreign_bank: str
    abroad: dict[str, int]


US = Entity(
    code="acme-us",
    name="Acme Inc.",
    currency="USD",
    tax_name="Sales tax",
    tax_rate=82,
    foreign_bank="EUR",
    abroad={"EUR": 11_400, "GBP": 13_100, "JPY": 67},
)
EU = Entity(
    code="acme-eu",
    name="Acme Europe GmbH",
    currency="EUR",
    tax_name="Value added tax",
    tax_rate=190,
    foreign_bank="GBP",
    abroad={"GBP": 11_500, "USD": 8_800, "CHF": 10_600},
)
ENTITIES = (US, EU)

DEPARTMENTS = ("engineering", "sales", "support", "operations", "finance")
STAFF = {"engineering": 14, "sales": 9, "support": 7, "operations": 6, "finance": 4}
"""People by department, in each entity."""

CUSTOMERS = tuple(
    f"{first} {second}"
    for first in ("Northwind", "Blue Harbor", "Granite", "Summit", "Riverside", "Oakfield", "Silverline", "Redwood")
    for second in ("Trading", "Logistics", "Foods", "Health", "Energy")
)
SUPPLIERS: dict[str, str] = {
    "Contoso Components": "5100",
    "Lakeside Packaging": "5100",
    "Cloudworks Hosting": "5200",
    "Meridian Freight": "5300",
    "Paperleaf Office": "6310",
    "Brightwave Software": "6300",
    "Signal Telecom": "6320",
    "Harbour Travel": "6400",
    "Firefly Media": "6500",
    "Stone & Partners": "6600",
    "Evergreen Facilities": "6220",
}
"""Suppliers with the account that their bills go to."""

# code | name | parent | what is special: a currency or a normal side. A child is of its parent's type.
_CHART = """
1000 | Assets
1100 | Cash and bank | 1000
1110 | Operating account | 1100 | {own}
1120 | Payments account | 1100 | {own}
1130 | {foreign} account | 1100 | {foreign}
1140 | Card processor | 1100
1150 | Money in transit | 1100
1190 | Petty cash | 1100 | {own}
1200 | Receivables | 1000
1210 | Trade receivables | 1200 | {own}
1220 | Trade receivables abroad | 1200
1230 | Disputed payments | 1200
1290 | Allowance for doubtful accounts | 1200 | CREDIT
1300 | Prepayments | 1000
1310 | Prepaid insurance | 1300
1320 | Prepaid software | 1300
1400 | Inventory | 1000
1410 | Finished goods | 1400
1500 | Fixed assets | 1000
1510 | Equipment | 1500
1520 | Furniture | 1500
1590 | Accumulated depreciation | 1500 | CREDIT
1600 | {tax} recoverable | 1000
2000 | Liabilities
2100 | Payables | 2000
2110 | Trade payables | 2100 | {own}
2120 | Trade payables abroad | 2100
2200 | Taxes | 2000
2210 | {tax} payable | 2200
2220 | Payroll taxes payable | 2200
2230 | Income tax payable | 2200
2300 | Payroll | 2000
2310 | Wages payable | 2300
2320 | Pensions payable | 2300
2400 | Accruals and deferrals | 2000
2410 | Accrued expenses | 2400
2420 | Deferred revenue | 2400
2500 | Bank loan | 2000
3000 | Equity
3100 | Share capital | 3000
3200 | Retained earnings | 3000
4000 | Revenue
4100 | Product sales | 4000
4200 | Subscriptions | 4000
4300 | Services | 4000
4700 | Interest income | 4000
4800 | Currency gains | 4000
4900 | Returns and discounts | 4000 | DEBIT
5000 | Cost of sales
5100 | Materials | 5000
5200 | Hosting | 5000
5300 | Freight | 5000
5400 | Payment fees | 5000
6000 | Operating expenses
6100 | Salaries | 6000
6110 | Employer's social charges | 6000
6120 | Pensions | 6000
6200 | Rent | 6000
6210 | Utilities | 6000
6220 | Cleaning and repairs | 6000
6300 | Software | 6000
6310 | Office supplies | 6000
6320 | Telephone | 6000
6400 | Travel | 6000
6500 | Advertising | 6000
6600 | Legal and consulting | 6000
6700 | Insurance | 6000
6800 | Depreciation | 6000
6900 | Bank fees | 6000
6950 | Bad debts | 6000
7000 | Other expenses
7200 | Interest | 7000
7300 | Donations | 7000
7400 | Currency losses | 7000
"""
_TYPES = {"1": AccountType.ASSET, "2": AccountType.LIABILITY, "3": AccountType.EQUITY, "4": AccountType.REVENUE}


def chart(entity: Entity) -> tuple[ChartAccount, ...]:
    """The entity's accounts, parents before their children."""
    text = _CHART.format(own=entity.currency, foreign=entity.foreign_bank, tax=entity.tax_name)
    return tuple(_account(line) for line in text.strip().splitlines())


def _account(line: str) -> ChartAccount:
    code, name, parent, special = ([part.strip() for part in line.split("|")] + ["", ""])[:4]
    return ChartAccount(
        code=code,
        name=name,
        type=_TYPES.get(code[0], AccountType.EXPENSE),
        parent=parent or None,
        normal_side=Side(special) if special in Side.__members__ else None,
        currency=special if special and special not in Side.__members__ else None,
    )
