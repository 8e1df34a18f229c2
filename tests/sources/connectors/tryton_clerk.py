"""What people do at a Tryton, over its XML-RPC: a program of its own, run by the interpreter of Tryton's environment.

    tryton_clerk.py http://127.0.0.1:8000/books/ admin PASSWORD

Takes commands as lines of JSON, {"do": NAME, …arguments}, and answers each with a line: {"result": …} or {"error": …}.
"""

from __future__ import annotations

import datetime
import json
import sys
import traceback
from decimal import Decimal
from typing import Any

from proteus import Model, Wizard, config  # type: ignore[import-not-found,unused-ignore]


def the(model: str, *domain: Any) -> Any:
    """The only record that is so."""
    (record,) = Model.get(model).find(list(domain), limit=1)
    return record


def account(code: str) -> Any:
    return the("account.account", ("code", "=", code))


def setup(year: int) -> dict[str, Any]:
    """A company that keeps its books in euro: chart, fiscal year, two taxes, a bank, a customer, a supplier, a product."""
    company()
    chart()
    fiscal_year(year)
    taxes = [tax(rate, code) for rate, code in (("0.20", "6.3.6"), ("0.055", "6.3.4"))]
    parties = [party(name, code) for name, code in (("Ada Retail", "DE136695976"), ("Steel Works", "FR40303265045"))]
    cash()
    goods = product("Bolts", taxes[0])
    return {"customer": parties[0], "supplier": parties[1], "taxes": taxes, "product": goods}


def company() -> None:
    euro = Model.get("currency.currency")(
        name="Euro", symbol="€", code="EUR", numeric_code="978", rounding=Decimal("0.01"), digits=2
    )
    euro.save()
    owner = Model.get("party.party")(name="Paper Company")
    owner.save()
    wizard = Wizard("company.company.config")
    wizard.execute("company")
    wizard.form.party = owner
    wizard.form.currency = euro
    wizard.execute("add")
    renew_context()
    ours = the("company.company")
    ours.cancel_invoice_out = True
    ours.save()


def renew_context() -> None:
    current = config.get_config()
    current._context = Model.get("res.user").get_preferences(True, {})


def chart() -> None:
    template = the("account.account.template", ("parent", "=", None))
    wizard = Wizard("account.create_chart")
    wizard.execute("account")
    wizard.form.account_template = template
    wizard.form.company = the("company.company")
    wizard.execute("create_account")
    receivable = the("account.account", ("type.receivable", "=", True), ("party_required", "=", True))
    payable = the("account.account", ("type.payable", "=", True), ("party_required", "=", True))
    wizard.form.account_receivable = receivable
    wizard.form.account_payable = payable
    wizard.form.category_account_expense = the("account.account", ("type.expense", "=", True))
    wizard.form.category_account_revenue = the("account.account", ("type.revenue", "=", True))
    wizard.execute("create_properties")


def fiscal_year(year: int) -> None:
    ours = the("company.company")

    def sequence(kind: str) -> Any:
        made = Model.get("ir.sequence.strict")(
            name=kind, sequence_type=the("ir.sequence.type", ("name", "=", kind)), company=ours
        )
        made.save()
        return made

    made = Model.get("account.fiscalyear")(name=str(year), company=ours)
    made.start_date, made.end_date = datetime.date(year, 1, 1), datetime.date(year, 12, 31)
    made.move_sequence = sequence("Account Move")
    numbers = sequence("Invoice")
    (row,) = made.invoice_sequences
    row.out_invoice_sequence = row.in_invoice_sequence = numbers
    row.out_credit_note_sequence = row.in_credit_note_sequence = numbers
    made.save()
    made.click("create_period")


def tax(rate: str, code: str) -> int:
    made = Model.get("account.tax")(name=f"VAT {rate}", description=f"VAT {rate}", type="percentage")
    made.rate = Decimal(rate)
    made.invoice_account = made.credit_note_account = account(code)
    made.save()
    return int(made.id)


def party(name: str, tax_id: str) -> int:
    made = Model.get("party.party")(name=name)
    made.identifiers.new(type="eu_vat", code=tax_id)
    made.save()
    return int(made.id)


def cash() -> None:
    method = Model.get("account.invoice.payment.method")(
        name="Cash", journal=the("account.journal", ("type", "=", "cash"))
    )
    method.credit_account = method.debit_account = account("1.1.1")
    method.save()


def product(name: str, tax_id: int) -> int:
    category = Model.get("product.category")(name="Goods", accounting=True)
    category.account_expense = the("account.account", ("type.expense", "=", True))
    category.account_revenue = the("account.account", ("type.revenue", "=", True))
    category.supplier_taxes.append(Model.get("account.tax")(tax_id))
    category.save()
    template = Model.get("product.template")(name=name, type="goods", purchasable=True, account_category=category)
    template.default_uom = the("product.uom", ("name", "=", "Unit"))
    template.list_price = Decimal(10)
    template.cost_price_method = "fixed"
    template.save()
    (made,) = template.products
    return int(made.id)


def invoice(direction: str, party: int, lines: list[dict[str, Any]], day: str, reference: str | None = None) -> int:
    """A draft. A line: quantity, price, account's code, text, taxes (ids)."""
    made = Model.get("account.invoice")(type=direction)
    made.party = Model.get("party.party")(party)
    made.invoice_date = datetime.date.fromisoformat(day)
    made.reference = reference
    for line in lines:
        row = made.lines.new()
        row.account = account(line["account"])
        row.description = line.get("text", "")
        row.quantity = float(line["quantity"])
        row.unit_price = Decimal(line["price"])
        for each in line.get("taxes", ()):
            row.taxes.append(Model.get("account.tax")(each))
    made.save()
    return int(made.id)


def click(model: str, record_id: int, button: str) -> str:
    """Presses a button; answers with the state that the record is in then."""
    record = Model.get(model)(record_id)
    record.click(button)
    record.reload()
    return str(record.state)


def credit(record_id: int, day: str) -> int:
    """A credit note about all of an invoice, posted."""
    invoices = Model.get("account.invoice")
    before = {each.id for each in invoices.find([])}
    wizard = Wizard("account.invoice.credit", [invoices(record_id)])
    wizard.form.with_refund = False
    wizard.execute("credit")
    (made,) = [each for each in invoices.find([]) if each.id not in before]
    made.invoice_date = datetime.date.fromisoformat(day)
    made.click("post")
    return int(made.id)


def pay(record_id: int, amount: str, day: str) -> str:
    """In cash, by the wizard; answers with the invoice's state."""
    record = Model.get("account.invoice")(record_id)
    wizard = Wizard("account.invoice.pay", [record])
    wizard.form.amount = Decimal(amount)
    wizard.form.date = datetime.date.fromisoformat(day)
    wizard.form.payment_method = the("account.invoice.payment.method")
    wizard.execute("choice")
    if wizard.state == "ask":
        wizard.form.type = "partial"
        wizard.execute("pay")
    record.reload()
    return str(record.state)


def delete(record_id: int) -> None:
    Model.get("account.invoice")(record_id).delete()


def move_lines(record_id: int, field: str = "move") -> list[list[str]]:
    """Of an invoice's move, or its cancel_move: account's code, debit, credit."""
    move = getattr(Model.get("account.invoice")(record_id), field)
    return [[line.account.code, str(line.debit), str(line.credit)] for line in move.lines]


def move_day(record_id: int, field: str = "move") -> str:
    """The date of an invoice's move, or of its cancel_move."""
    return str(getattr(Model.get("account.invoice")(record_id), field).date)


def account_on(record_id: int, day: str) -> None:
    """Has a draft posted on another day than the invoice's."""
    record = Model.get("account.invoice")(record_id)
    record.accounting_date = datetime.date.fromisoformat(day)
    record.save()


def rename(party: int, name: str) -> None:
    record = Model.get("party.party")(party)
    record.name = name
    record.save()


def order(party: int, product: int, quantity: str, price: str) -> int:
    """A purchase, confirmed, billed by what was received."""
    made = Model.get("purchase.purchase")()
    made.party = Model.get("party.party")(party)
    made.invoice_method = "fulfillment"
    line = made.lines.new()
    line.product = Model.get("product.product")(product)
    line.quantity = float(quantity)
    line.unit_price = Decimal(price)
    made.click("quote")
    made.click("confirm")
    made.reload()
    if made.state == "confirmed":
        made.click("process")
    return int(made.id)


def receive(purchase: int, quantity: str | None = None) -> list[int]:
    """What was ordered, or that much of it; answers with the bills of the purchase, which Tryton then drafts."""
    made = Model.get("purchase.purchase")(purchase)
    shipment = Model.get("stock.shipment.in")()
    shipment.supplier = made.party
    for move in made.moves:
        if move.state == "draft":
            shipment.incoming_moves.append(Model.get("stock.move")(move.id))
    shipment.save()
    if quantity is not None:
        for move in shipment.incoming_moves:
            move.quantity = float(quantity)
            move.save()
    shipment.click("receive")
    shipment.click("do")
    made.reload()
    return [int(each.id) for each in made.invoices]


def amend(record_id: int, day: str, reference: str, quantity: str | None = None, price: str | None = None) -> None:
    """A bill, before it is posted."""
    made = Model.get("account.invoice")(record_id)
    made.invoice_date = datetime.date.fromisoformat(day)
    made.reference = reference
    for line in made.lines:
        line.quantity = line.quantity if quantity is None else float(quantity)
        line.unit_price = line.unit_price if price is None else Decimal(price)
    made.save()


COMMANDS = {
    each.__name__: each
    for each in (
        setup,
        invoice,
        click,
        credit,
        pay,
        delete,
        move_lines,
        move_day,
        account_on,
        rename,
        order,
        receive,
        amend,
        party,
    )
}


def main() -> None:
    url, user, password = sys.argv[1:]
    with config.set_xmlrpc_session(url, user, password):
        for line in sys.stdin:
            command = json.loads(line)
            try:
                answer = {"result": COMMANDS[command.pop("do")](**command)}
            except Exception:
                answer = {"error": traceback.format_exc()}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
