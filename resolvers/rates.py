"""Exchange rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import strawberry

from resolvers.context import Context
from resolvers.fields import argument, input_field, integer, linked
from resolvers.issues import ADMIN
from resolvers.results import ChangeRejected, refused, too_many
from resolvers.scalars import Date, Decimal
from sources.errors import Forbidden, InvalidArgument
from sources.ledger.model import Reason, RejectionCode
from sources.mapping.rates import DEFAULT_TYPE, Quote
from sources.pipeline import rates, resolving
from sources.pipeline.rate_files import checked as checked_rate
from sources.reading import Key, Results, Tagged, Want

MAX_RATES = 1_000


@strawberry.input(description="One unit of base is worth rate units of quote.")
class RateInput:
    base: str = strawberry.field(description="ISO 4217 code.")
    quote: str = strawberry.field(description="ISO 4217 code of another currency.")
    on: Date = strawberry.field(description="The day that it is of.")
    rate: Decimal = strawberry.field(description="Above 0, and below 10^12.")
    type: str | None = input_field('What it is good for; absent: "spot".')


@strawberry.input(description="Exchange rates; of a pair, type and day they replace what is stored.")
class SetRatesInput:
    rates: list[RateInput] = strawberry.field(description="At most 1,000.")
    source: str | None = input_field("Who says so; absent: the caller.")


@strawberry.type(description="The rates are stored; documents that waited for one are tried again.")
class RatesSaved:
    stated: int = integer("How many were given.", "stated")
    written: int = integer("How many of them are new, or other than before.", "written")


SetRatesResult = Annotated[
    RatesSaved | ChangeRejected, strawberry.union("SetRatesResult", description="What became of exchange rates.")
]


async def set_rates(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    given, services = args["input"], context.services
    if context.caller.ledgers is not None:
        raise Forbidden("exchange rates hold for every ledger: a token that lists its ledgers cannot set them")
    quotes, reasons = _quotes(given["rates"])
    source = given.get("source") or context.caller.subject
    if not reasons:
        try:
            async with services.database.writer() as connection:
                stored = await rates.set_rates(connection, quotes, source, by=context.caller.subject)
        except InvalidArgument as fault:
            reasons = [Reason(RejectionCode.INVALID_RATE, str(fault), ("rates",))]
    if reasons:
        return refused(reasons, want)
    await resolving.look_again(services.database, [ref.ledger_id for ref in await services.directory.all()])
    services.wake_pipeline()
    values = {"stated": stored.stated, "written": stored.written}
    return {(): Tagged("RatesSaved", want.types["RatesSaved"].row(values))}


def _quotes(given: Sequence[Mapping[str, Any]]) -> tuple[list[Quote], list[Reason]]:
    if len(given) > MAX_RATES:
        return [], [too_many(MAX_RATES, "rates", "rates")]
    quotes, reasons = [], []
    for at, each in enumerate(given):
        kind = DEFAULT_TYPE if each.get("type") is None else each["type"]
        try:
            quotes.append(checked_rate(each["base"], each["quote"], each["on"].isoformat(), each["rate"], kind))
        except InvalidArgument as fault:
            reasons.append(Reason(RejectionCode.INVALID_RATE, str(fault), ("rates", str(at))))
    return quotes, reasons


@strawberry.type
class RateMutation:
    @linked("Stores exchange rates, which hold for every ledger: all or none.", set_rates, scope=ADMIN, writes=True)
    def set_rates(self, input: Annotated[SetRatesInput, argument("The rates.")]) -> SetRatesResult | None: ...
