"""What is wrong with the settings of an API is told with the key that it stands under, all of it at once, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.config import load
from sources.connectors.rest import RestConnector
from sources.errors import ConfigurationError
from tests.sources.connectors.test_rest import BILLS


def refused(**more: Any) -> list[str]:
    connector: dict[str, Any] = {key: more.pop(key) for key in ("authentication", "headers", "base_url") if key in more}
    with pytest.raises(ConfigurationError) as caught:
        RestConnector(name="erp", **{"base_url": "http://127.0.0.1:1", **connector}, documents=[{**BILLS, **more}])
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"fileds": {}}, "sources.erp.documents[0].fileds is not a setting; did you mean fields?"),
        ({"fields": {**BILLS["fields"], "total": "a["}}, "sources.erp.documents[0].fields.total is no JMESPath: "),
        ({"fields": {**BILLS["fields"], "total": "mius(a)"}}, "fields.total calls mius(), which is no function; did you mean minus()?"),
        ({"fields": {**BILLS["fields"], "total": "minus(a, b, c)"}}, "fields.total calls minus() with 3 values, which takes 1"),
        ({"fields": {"external_id": "id", "status": "state", "party": "p", "currency": "c"}},
         "documents[0].fields.total is missing: every document has one; say where it stands, or give it in fixed"),
        ({"fixed": {"direction": "PAYBLE"}}, "documents[0].fixed.direction 'PAYBLE' is none of RECEIVABLE, PAYABLE"),
        ({"fixed": {"direction": "PAYABLE", "external_id": "1"}}, "fixed.external_id would be the same for every record"),
        ({"values": {"status": {"paid": "PAYD"}}}, "documents[0].values.status.paid 'PAYD' is none of DRAFT"),
        ({"values": {"kind": {"a": "INVOICE"}}}, "values.kind gives words for a field that is not read: add fields.kind"),
        ({"paging": {"style": "offset"}}, "paging.param is missing, or {next} in params or body"),
        ({"paging": {"style": "page", "param": "p"}, "params": {"p": "{next}"}}, "paging.param cannot stand beside {next}"),
        ({"paging": {"style": "page", "param": "p", "size": 9}}, "paging.size is not asked for: give size_param"),
        ({"paging": {"style": "link", "param": "p"}}, "paging.param is not a setting"),
        ({"paging": {"style": "page", "param": "p", "more": "a", "total": "b"}}, "paging.total cannot stand beside more"),
        ({"paging": {"style": "page", "param": "p"}, "items": "data[?x]"}, "items must not filter: what is left out would look like"),
        ({"params": {"q": "changed >= '{since}'"}}, "documents[0].changed is missing: it says what {since}"),
        ({"changed": {"field": "at"}}, "changed.param is missing, or {since} in params or body"),
        ({"changed": {"param": "s", "field": "at", "format": "yyyy"}}, "changed.format must be one of iso, epoch"),
        ({"changed": {"param": "s", "start": 30}}, 'absent must be "kept" where changed.start is a number of days'),
        ({"changed": {"param": "s", "start": "2026-01-01"}}, "changed.start must be a day, written 2026-01-01 without quotes"),
        ({"list": "https://api.example.com/bills"}, "documents[0].list must be a path that starts with /, as it stands behind base_url"),
        ({"zone": "Europe/Berlyn"}, "documents[0].zone must be the name of a time zone, not 'Europe/Berlyn'; did you mean Europe/Berlin?"),
        ({"zone": "../etc/passwd"}, "documents[0].zone must be the name of a time zone"),
        ({"zone": "Europe"}, "documents[0].zone must be the name of a time zone"),
        ({"zone": 1}, "documents[0].zone must be a text that is not empty"),
        ({"parts": {"lines": "/lines"}}, "documents[0].parts.lines must have {id}, once"),
        ({"parts": {"lines": {"list": "/lines"}}}, "documents[0].parts.lines.list must have {id}, once"),
        ({"parts": {"lines": {"list": "/b/{id}/lines", "item": "x"}}}, "documents[0].parts.lines.item is not a setting; did you mean items?"),
        ({"parts": {"lines": {"list": "/b/{id}/lines", "paging": {"style": "cursor", "param": "a"}}}}, "parts.lines.paging.next is missing"),
        ({"parts": {"lines": 1}}, "documents[0].parts.lines must be a text that is not empty"),
        ({"headers": {"Authorization": "x"}}, "headers.Authorization is no header that can be set; what authenticates belongs into"),
        ({"authentication": {"style": "berer", "token": "x"}}, "authentication.style must be one of bearer, header, query"),
        ({"authentication": {"style": "bearer"}}, "sources.erp.authentication.token is missing"),
        ({"authentication": {"style": "basic", "user": "a", "pasword": "x"}}, "authentication.pasword is not a setting; did you mean password?"),
        ({"base_url": "http://127.0.0.1/v1?key=1"}, "sources.erp.base_url must be an address such as https://api.example.com"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_with_its_key(change: dict[str, Any], told: str) -> None:
    assert any(told in line for line in refused(**change)), refused(**change)


def test_all_mistakes_are_told_at_once() -> None:
    told = refused(kind="bill", colour=1, paging={"style": "cursor", "param": "x"}, authentication={"style": "bearer"})
    for key in ("documents[0].kind", "documents[0].colour", "documents[0].paging.next", "authentication.token"):
        assert [line for line in told if line.startswith(f"sources.erp.{key} ")], told


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1/", "http://127.0.0.1:1"])
def test_an_address_may_have_a_path_and_a_slash_at_its_end(base_url: str) -> None:
    RestConnector(name="erp", base_url=base_url, documents=[BILLS])


@pytest.mark.parametrize(
    ("token", "told"),
    [
        (
            "plain",
            'erp: authentication.token: must be "env:NAME", the name of an environment variable that holds the secret',
        ),
        ("env:ERP_TOKEN", "erp: authentication.token: names the environment variable ERP_TOKEN, which is not set"),
    ],
)
def test_secrets_stand_in_the_environment_and_not_in_the_file(tmp_path: Path, token: str, told: str) -> None:
    file = tmp_path / "sources.toml"
    file.write_text(
        '[[sources]]\nname = "erp"\nkind = "rest"\nledger = "us"\nbase_url = "https://erp.example.com"\n'
        f'[sources.authentication]\nstyle = "bearer"\ntoken = "{token}"\n'
        '[[sources.documents]]\nkind = "invoice"\nlist = "/bills"\n'
    )
    with pytest.raises(ConfigurationError) as caught:
        load({}, config=file)
    assert told in str(caught.value)
    assert "plain" not in str(caught.value)
