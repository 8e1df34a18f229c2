"""Bank accounts behind Plaid: transactions and balances of one Item (a login at a bank), by its cursor API, read only:
https://plaid.com/docs/api/products/transactions/#transactionssync.

What a pull does: asks POST /transactions/sync for what was added, modified and removed since the cursor, page by page, until
Plaid has no more. If the data changes while pages are read (TRANSACTIONS_SYNC_MUTATION_DURING_PAGINATION), it begins again at
the cursor at which the first page began, as Plaid demands. Nothing is stored before the last page was read, because a
transaction that a restart mentions no more must not stay. A pull that was broken off while it was stored is told anew from
where it began, and what was removed since then is asked for too.

What becomes of it: a posted transaction is a bank statement of its own, because Plaid changes and removes each alone. For each
account and day there is one further statement that gives the balance and all that is pending. Plaid gives a transaction another
id when it posts, and removes the pending one.

What `maxAge: 0` guarantees: everything that Plaid had before the request. Plaid itself asks the bank once to four times a day;
balances are those of that moment. The balance of an earlier day is the last one that was read on it.

An Item that Plaid has not read yet fails the pull: there is no empty account. A bank that wants its customer to log in again
(ITEM_LOGIN_REQUIRED) fails it until Plaid Link was gone through in update mode; what was read before stays.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import structlog

from sources.connectors.http import HttpOptions, SourceHttp, SourceRefused
from sources.connectors.http_options import check_all, checked_base, must
from sources.connectors.kinds import ConnectorKind
from sources.connectors.plaid_cursor import PlaidCursor
from sources.connectors.plaid_reading import TRANSACTION, Changes, Reading
from sources.connectors.plaid_records import SyncPage, parse_accounts, parse_page
from sources.documents import Page, Payslip, Problem
from sources.errors import SourceUnavailable

logger = structlog.get_logger(__name__)

T = TypeVar("T")

BASE_URL = "https://production.plaid.com"
MUTATED = "TRANSACTIONS_SYNC_MUTATION_DURING_PAGINATION"

_COUNT = 500
"""Transactions of one answer: the most that Plaid gives."""
_MAX_PAGES = 4_000
_ATTEMPTS = 5
ADVICE: Mapping[str, str] = {
    "ITEM_LOGIN_REQUIRED": "the bank wants its customer to log in again: go through Plaid Link in update mode for this Item.",
    "PENDING_EXPIRATION": "the bank's consent ends: go through Plaid Link in update mode for this Item.",
    "PRODUCT_NOT_READY": "Plaid has not read its transactions yet; try again in some minutes.",
    "RATE_LIMIT_EXCEEDED": "Plaid allows no more requests for now; try again later.",
    "INVALID_ACCESS_TOKEN": "Plaid does not know the access_token: check it, and that base_url is of the same environment.",
    "INVALID_API_KEYS": "Plaid does not know client_id and secret: check both, and that base_url is of the same environment.",
    "ITEM_NOT_FOUND": "Plaid has no such Item any more: link the bank again and set access_token and item_id.",
    "ADDITIONAL_CONSENT_REQUIRED": "the Item was linked without transactions: go through Plaid Link in update mode with them.",
    "INVALID_PRODUCT": "these keys may not use Plaid's Transactions: ask Plaid for access to them.",
}
"""What to do about Plaid's error codes: https://plaid.com/docs/errors/."""


class PlaidConnector:
    """One Plaid Item. Constructed without I/O. Raises ConfigurationError for a setting that cannot be sent.

    `item_id` says whose documents these are: a new access token of the same Item changes nothing. `clock`: seconds since 1970."""

    def __init__(
        self,
        *,
        name: str,
        client_id: str,
        secret: str,
        access_token: str,
        item_id: str,
        base_url: str = BASE_URL,
        http: HttpOptions | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        given = {"client_id": client_id, "secret": secret, "access_token": access_token, "item_id": item_id}
        check_all(
            *(
                must(
                    value and value.isascii() and value.isprintable(),
                    f"sources.{name}.{setting} must be set: visible ASCII characters, as Plaid gave it",
                )
                for setting, value in given.items()
            ),
            partial(checked_base, name, base_url),
        )
        self._subject = f"Source {name!r}"
        self._keys = {"client_id": client_id, "secret": secret, "access_token": access_token}
        self._http = SourceHttp(name=name, base_url=base_url, options=http)
        self._clock = clock
        self._log = logger.bind(source=name)

    def __repr__(self) -> str:
        return f"<PlaidConnector {self._subject}>"

    async def pull(self, cursor: str | None) -> AsyncIterator[Page]:
        """What changed since the cursor; None: everything that Plaid has. Raises SourceUnavailable."""
        state = PlaidCursor.decode(cursor)
        missed = frozenset[str]()
        if state.telling is not None:
            since = await self._changes(state.telling)
            missed = frozenset(identifier for identifier, said in since.said.items() if said is None or said.pending)
        changes = await self._changes(state.at)
        if changes.said or not changes.accounts:
            changes.accounts |= await self._accounts(changes, state)
        reading = Reading(state, changes, missed, self._clock())
        for page in reading.pages():
            yield page
        self._log.debug("plaid_read", restarts=changes.restarts, changes=len(changes.said))

    async def read_again(self, cursor: str | None, problems: Sequence[Problem]) -> Page:
        """As `sources.documents.ReadsAgain` says. Plaid gives no transaction by its id, so everything is asked for, and these alone are
        taken of it. Raises SourceUnavailable."""
        state = PlaidCursor.decode(cursor)
        asked = {problem.again: problem.again.rpartition("/") for problem in problems if problem.again}
        wanted = {identifier for kind, _, identifier in asked.values() if kind == TRANSACTION}
        everything = await self._changes("") if wanted else Changes()
        if everything.said or not everything.accounts:
            everything.accounts |= await self._accounts(everything, state)
        some = Changes(
            said={each: said for each in wanted if (said := everything.said.get(each))},
            accounts=everything.accounts,
            problems=[each for each in everything.problems if each.again in asked],
            next_cursor=state.at,
        )
        (page,) = Reading(state, some, frozenset(), self._clock()).pages()
        return replace(page, complete=False)

    async def fetch_payslips(self, run_external_id: str) -> tuple[Payslip, ...] | None:
        """None: banks have no payroll."""
        return None

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.close()

    async def _changes(self, at: str) -> Changes:
        """Everything since `at`, read whole: once more from there whenever the data changed meanwhile."""
        for restarts in range(_ATTEMPTS):
            changes = Changes(restarts=restarts)
            try:
                async for page in self._answers(at):
                    changes.add(page)
                return changes
            except SourceRefused as refused:
                if refused.code != MUTATED:
                    raise
        raise SourceUnavailable(
            f"{self._subject} kept changing its transactions while they were read; try again later."
        )

    async def _answers(self, at: str) -> AsyncIterator[SyncPage]:
        seen = {at}
        for _ in range(_MAX_PAGES):
            question: dict[str, Any] = {"count": _COUNT, "options": {"include_original_description": True}}
            page = self._parsed(
                await self._post("/transactions/sync", question | ({"cursor": at} if at else {})), parse_page
            )
            if not page.ready:
                raise SourceUnavailable(f"{self._subject}: {ADVICE['PRODUCT_NOT_READY']}")
            yield page
            if not page.has_more:
                return
            if page.next_cursor in seen:
                raise SourceUnavailable(f"{self._subject} gave the same page of transactions twice; try again later.")
            at = page.next_cursor
            seen.add(at)
        raise SourceUnavailable(
            f"{self._subject} has more than {_MAX_PAGES} pages of transactions, which are not read."
        )

    async def _accounts(self, changes: Changes, state: PlaidCursor) -> Mapping[str, Mapping[str, Any]]:
        """Accounts that are spoken of and that no answer described."""
        spoken = {said.account for said in changes.said.values() if said is not None}
        spoken |= {str(fields.get("account_id")) for fields in state.pending.values()}
        if changes.accounts and spoken <= changes.accounts.keys():
            return {}
        return self._parsed(await self._post("/accounts/get", {}), parse_accounts)

    async def _post(self, path: str, question: Mapping[str, Any]) -> Any:
        """Reads, though it is a POST, so it may be sent twice. No message holds any of what is sent."""
        try:
            answer, _ = await self._http.post_json(
                path, {**self._keys, **question}, authenticated=False, idempotent=True
            )
        except SourceRefused as refused:
            advice = ADVICE.get(refused.code or "")
            if advice is None:
                raise
            raise SourceRefused(f"{self._subject}: {advice} ({refused.code})", refused.status, refused.code) from None
        return answer

    def _parsed(self, answer: Any, parse: Callable[[Any], T]) -> T:
        try:
            return parse(answer)
        except ValueError as error:
            raise SourceUnavailable(f"{self._subject}: its answer {error}; try again later.") from None


KIND = ConnectorKind(
    name="plaid",
    connector=PlaidConnector,
    gives=("bank_statement",),
    required=("client_id", "secret", "access_token", "item_id"),
    optional=("base_url",),
    secrets=("secret", "access_token"),
    origin=("item_id",),
    example={
        "client_id": "6512f0c0a1b2c3d4e5f60708",
        "secret": "env:PLAID_SECRET",
        "access_token": "env:PLAID_ACCESS_TOKEN",
        "item_id": "Ed6bjNrDLJfGvZWwnkQlfxwoNz54B5C97ejBr",
    },
)
