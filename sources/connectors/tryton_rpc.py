"""Tryton's remote procedures: JSON-RPC by POST /<database>/rpc/, sessions, and values that JSON has no form for.

Facts: Tryton's documentation of its protocol, https://docs.tryton.org/latest/server/topics/user_interface.html and the
server's own behaviour. A call is {"id", "method", "params"}, whose last parameter is the context; its answer holds `result` or
`error`, both with status 200. `common.db.login` takes a user's name and password and gives the user's id and a session's
token; a session ends when it was not used for a while, and is then refused with 401. Dates, times and decimals are objects
with a `__class__`.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sources.connectors.http import Headers, HttpOptions, SourceHttp, SourceRefused
from sources.connectors.http_options import check_all, must
from sources.errors import SourceUnavailable

Record = Mapping[str, Any]
Domain = list[Any]

PAGE: Final = 1_000
"""Records whose keys alone are read at once."""
MAX_PAGES: Final = 10_000

_CONTEXT: Final = {"language": "en"}
"""Names of taxes are translated: they are table keys of mapping rules, and must not follow the user's preferences."""


class TrytonSession:
    """The `Auth` of a `SourceHttp`: `Authorization: Session …`, by logging in when there is no session or it was refused. All
    who ask at the same time share one login."""

    def __init__(
        self, *, name: str, base_url: str, database: str, user: str, password: str, options: HttpOptions | None = None
    ) -> None:
        self._subject = f"Source {name!r}"
        self._http = SourceHttp(name=name, base_url=base_url, options=options)
        self._path = rpc_path(database)
        self._user = user
        self._password = password
        self._lock = asyncio.Lock()
        self._headers: Headers | None = None

    def __repr__(self) -> str:
        return f"<TrytonSession {self._subject}>"

    async def __call__(self, refused: Headers | None) -> Headers:
        """`refused`: headers that Tryton answered with 401. Raises SourceUnavailable."""
        async with self._lock:
            held = self._headers
            if held is None or held == refused:
                self._headers = None
                held = self._headers = await self._login()
            return held

    async def close(self) -> None:
        """Closes the connections and forgets the session, which Tryton lets expire."""
        self._headers = None
        await self._http.close()

    async def _login(self) -> Headers:
        body = _call("common.db.login", [self._user, {"password": self._password}])
        try:
            # Logging in twice only opens a second session, so a lost answer is safe to ask for again.
            answer, _ = await self._http.post_json(self._path, body, authenticated=False, idempotent=True)
        except SourceRefused as refused:
            raise SourceRefused(_login_refusal(self._subject, refused.status), refused.status, None) from None
        match _result(self._subject, "common.db.login", answer):
            case [int(user_id), str(token), *_] if token and token.isprintable():
                text = base64.b64encode(f"{self._user}:{user_id}:{token}".encode()).decode()
                return {"Authorization": f"Session {text}"}
        raise SourceUnavailable(f"{self._subject} gave no usable session: check its base_url.")


class TrytonRpc:
    """Reads records of one database. Every call only reads, so that each is safe to repeat."""

    def __init__(self, http: SourceHttp, subject: str, database: str) -> None:
        self._http = http
        self._subject = subject
        self._path = rpc_path(database)

    async def call(self, model: str, method: str, *params: Any, company: int | None = None) -> Any:
        """The result of a model's method, in Tryton's own values. Raises SourceUnavailable, SourceRefused where Tryton says that
        the user may not."""
        name = f"model.{model}.{method}"
        context: dict[str, Any] = dict(_CONTEXT) if company is None else {**_CONTEXT, "company": company}
        try:
            answer, _ = await self._http.post_json(self._path, _call(name, [*params, context]), idempotent=True)
        except SourceRefused as refused:
            if refused.status != 404:
                raise
            message = f"{self._subject} has no such database (status 404): check database and base_url."
            raise SourceRefused(message, 404, None) from None
        return _result(self._subject, name, answer)

    async def search_read(
        self, model: str, domain: Domain, fields: Sequence[str], *, limit: int, company: int, order: str = "id ASC"
    ) -> list[Record]:
        """At most `limit` records. Raises as `call`."""
        sorting = [order.split(" ", 1)]
        found = await self.call(model, "search_read", domain, 0, limit, sorting, list(fields), company=company)
        return self._records(model, found)

    async def read(self, model: str, ids: Sequence[int], fields: Sequence[str], *, company: int) -> list[Record]:
        """Those of the records that there are, by id. Raises as `call`."""
        domain = [["id", "in", list(ids)]]
        return await self.search_read(model, domain, fields, limit=len(ids), company=company) if ids else []

    async def every(
        self, model: str, domain: Domain, fields: Sequence[str], *, company: int
    ) -> AsyncIterator[list[Record]]:
        """All records, by id, in pages: a record that is created meanwhile shifts no other. Raises as `call`."""
        after = 0
        for _ in range(MAX_PAGES):
            beyond = [["id", ">", after], *domain]
            found = await self.search_read(model, beyond, fields, limit=PAGE, company=company)
            yield found
            if len(found) < PAGE:
                return
            after = self.behind(model, after, found[-1]["id"])
        raise SourceUnavailable(f"{self._subject} has more than {MAX_PAGES} pages of {model}, which are not read.")

    def behind(self, model: str, after: int, last: int) -> int:
        """The id behind which the next page begins. Raises SourceUnavailable for a page that is not behind the one before it."""
        if last <= after:
            raise SourceUnavailable(f"{self._subject} gave the same page of {model} twice; try again later.")
        return last

    def _records(self, model: str, found: Any) -> list[Record]:
        if not isinstance(found, list) or not all(
            isinstance(each, dict) and type(each.get("id")) is int for each in found
        ):
            raise SourceUnavailable(f"{self._subject} answered with something else than records of {model}.")
        return found


def rpc_path(database: str) -> str:
    """The path of a database's procedures."""
    return f"/{database}/rpc/"


def checked_settings(name: str, database: str, user: str, password: str) -> None:
    """Raises ConfigurationError for what cannot be sent: a header joins the user's name to the session with a colon."""
    given = {"database": database, "user": user, "password": password}
    is_path = set(database) & set("/?#%") or database in (".", "..")
    check_all(
        *(
            must(value and value.isprintable(), f"sources.{name}.{setting} must be set, and printable")
            for setting, value in given.items()
        ),
        must(":" not in user, f"sources.{name}.user must have no colon: Tryton's sessions cannot carry one"),
        must(not is_path, f"sources.{name}.database must be the name of a database, not a path"),
    )


def moment(value: datetime) -> dict[str, Any]:
    """A time as a parameter."""
    parts = ("year", "month", "day", "hour", "minute", "second", "microsecond")
    return {"__class__": "datetime", **{part: getattr(value, part) for part in parts}}


def _call(method: str, params: Sequence[Any]) -> dict[str, Any]:
    return {"id": 0, "method": method, "params": list(params)}


def _result(subject: str, method: str, answer: Any) -> Any:
    """What Tryton says of an error may quote records, so that only its kind is told."""
    if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
        raise SourceUnavailable(f"{subject} does not answer as Tryton does: check its base_url.")
    if "error" not in answer:
        return answer["result"]
    kind = answer["error"][0] if isinstance(answer["error"], list) and answer["error"] else None
    if kind == "LoginException":
        message = f"{subject} asks for more than a password to log in: give it a user who needs no other factor."
        raise SourceRefused(message, 401, "LoginException")
    if kind == "UserError":
        raise SourceRefused(f"{subject} refused {method} (UserError): give its user read access.", 403, "UserError")
    raise SourceUnavailable(f"{subject} failed at {method}: Tryton's log says why; try again later.")


def _login_refusal(subject: str, status: int) -> str:
    if status == 404:
        return f"{subject} has no such database (status 404): check database and base_url."
    return f"{subject} refused the login (status {status}): check user and password."
