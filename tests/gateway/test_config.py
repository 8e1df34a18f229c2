"""Settings come from the command line, the environment and a file; every mistake is told, and no secret shows."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from gateway import sourceconfig
from gateway.config import load
from gateway.sourceconfig import connector_for
from sources.connectors.registry import KINDS
from sources.errors import ConfigurationError
from sources.mirror.settings import SourceSettings

SECRET = "0123456789abcdef0123456789abcdef"

WHOLE = """
[server]
port = 9000
cors_origins = ["https://books.example"]

[limits]
depth = 9
stall_seconds = 5

[[sources]]
name = "stripe-us"
kind = "stripe"
ledger = "acme-us"
max_age = 60
base_url = "http://127.0.0.1:12111"
api_key = "env:STRIPE_KEY"

[[sources]]
name = "banks"
kind = "bank-statements"
ledger = "acme-us"
path = "statements"
[sources.accounts]
"DE89370400440532013000" = "acme-eu"
"""


def refused(environment: dict[str, str] | None = None, **arguments: object) -> list[str]:
    """The lines of the ConfigurationError that these settings raise."""
    with pytest.raises(ConfigurationError) as caught:
        load(environment or {}, **arguments)
    return str(caught.value).splitlines()


def file(folder: Path, text: str) -> Path:
    path = folder / "books.toml"
    path.write_text(text)
    return path


def test_nothing_given_is_an_embedded_database_with_defaults() -> None:
    settings = load({})
    assert settings.database_url is None
    assert settings.data_dir == Path(".ledgergraph")
    assert (settings.server.host, settings.server.port, settings.server.workers) == ("127.0.0.1", 8000, 1)
    assert settings.limits.body_bytes == 1_048_576


def test_a_file_gives_limits_sources_and_the_server(tmp_path: Path) -> None:
    settings = load({"LEDGERGRAPH_CONFIG": str(file(tmp_path, WHOLE)), "STRIPE_KEY": "sk_test_1"})
    assert settings.server.port == 9000
    assert settings.server.cors_origins == ("https://books.example",)
    assert (settings.limits.depth, settings.limits.stall_seconds, settings.limits.aliases) == (9, 5.0, 100)
    stripe, banks = settings.sources
    assert (stripe.name, stripe.kind, stripe.ledger, stripe.max_age) == ("stripe-us", "stripe", "acme-us", 60.0)
    assert stripe.options == {"api_key": "sk_test_1", "base_url": "http://127.0.0.1:12111"}
    assert banks.options == {"path": str(tmp_path / "statements")}
    assert banks.accounts == {"DE89370400440532013000": "acme-eu"}


def test_the_command_line_beats_the_environment_and_the_file(tmp_path: Path) -> None:
    environment = {"LEDGERGRAPH_DATA_DIR": "elsewhere", "LEDGERGRAPH_DATABASE_URL": "postgresql://x/y"}
    settings = load(environment, config=file(tmp_path, "[server]\nport = 9000"), port=9001, data_dir=tmp_path)
    assert settings.server.port == 9001
    assert settings.data_dir == tmp_path
    assert settings.database_url is None


def test_a_database_of_ones_own_comes_with_a_direct_address_for_listen() -> None:
    settings = load(
        {
            "LEDGERGRAPH_DATABASE_URL": "postgresql://app:hunter2@pooler/books",
            "LEDGERGRAPH_DATABASE_DIRECT_URL": "postgresql://app:hunter2@db/books",
        }
    )
    assert settings.database_url == "postgresql://app:hunter2@pooler/books"
    assert settings.database_direct_url == "postgresql://app:hunter2@db/books"


def test_no_secret_shows_in_a_representation(tmp_path: Path) -> None:
    settings = load(
        {
            "LEDGERGRAPH_CONFIG": str(file(tmp_path, WHOLE)),
            "STRIPE_KEY": "sk_test_1",
            "LEDGERGRAPH_JWT_SECRET": SECRET,
            "LEDGERGRAPH_DATABASE_URL": "postgresql://app:hunter2@db/books",
        }
    )
    shown = repr(settings) + repr(settings.sources[0].options)
    assert SECRET not in shown
    assert "hunter2" not in shown
    assert "sk_test_1" not in shown
    assert settings.jwt.secret == SECRET


def test_all_mistakes_are_told_at_once_with_file_key_and_rule(tmp_path: Path) -> None:
    text = """
    [server]
    prot = 9000
    workers = 0
    [limits]
    depth = "deep"
    stall_seconds = -1
    [[sources]]
    name = "Stripe!"
    kind = "stripe"
    [[sources]]
    name = "pay"
    kind = "payroll"
    [[sources]]
    name = "shop"
    kind = "stripe"
    ledger = "Acme US"
    max_age = -1
    base_url = "ftp://x"
    api_key = "sk_live_1"
    [[sources]]
    name = "banks"
    kind = "bank-statements"
    ledger = "acme-us"
    pth = "x"
    """
    path = file(tmp_path, text)
    lines = refused({"LEDGERGRAPH_JWT_SECRET": "short"}, config=path)
    wanted = [
        "environment: LEDGERGRAPH_JWT_SECRET: must be at least 32 bytes",
        f"{path}: [server] prot: is not a setting; did you mean port?",
        f"{path}: [server] workers: must be a whole number from 1 to 256, not 0",
        f"{path}: [limits] depth: must be a whole number from 1 on, not 'deep'",
        f"{path}: [limits] stall_seconds: must be a number of seconds above 0, not -1",
        f"{path}: [[sources]] Stripe!: name: must be of a-z",
        f"{path}: [[sources]] pay: kind: must be one of {', '.join(KINDS)}, not 'payroll'",
        f"{path}: [[sources]] shop: ledger: must be the code of the ledger",
        f"{path}: [[sources]] shop: max_age: must be a number of seconds from 0 to 315360000, not -1",
        f"{path}: [[sources]] shop: base_url: must be an http:// or https:// address",
        f'{path}: [[sources]] shop: api_key: must be "env:NAME"',
        f"{path}: [[sources]] banks: pth: is not a setting; did you mean path?",
        f"{path}: [[sources]] banks: path: is missing",
    ]
    for start in wanted:
        assert any(line.startswith(start) for line in lines), f"{start!r} is not in\n" + "\n".join(lines)
    assert len(lines) == len(wanted)
    assert "sk_live_1" not in "\n".join(lines)


@pytest.mark.parametrize(
    ("kind", "line", "rule"),
    [
        ("stripe", 'base_url = "http://[::1"', "base_url: must be an http:// or https:// address"),
        ("stripe", "max_age = 1e300", "max_age: must be a number of seconds from 0 to 315360000, not 1e+300"),
        ("bank-statements", 'path = "~no-such-user/x"', "path: must be a folder, and ~no-such-user is nobody's home"),
    ],
)
def test_a_value_that_python_itself_stumbles_over_is_told(tmp_path: Path, kind: str, line: str, rule: str) -> None:
    key = 'api_key = "env:STRIPE_KEY"' if kind == "stripe" else ""
    text = f'[[sources]]\nname = "one"\nkind = "{kind}"\nledger = "acme-us"\n{key}\n{line}\n'
    (told,) = refused({"STRIPE_KEY": "sk_test_1"}, config=file(tmp_path, text))
    assert f"[[sources]] one: {rule}" in told


@pytest.mark.parametrize(
    ("kind", "table", "rule"),
    [
        ("stripe", '"acct_1" = "acme-eu"', "accounts: is not a setting of stripe"),
        ("xero-payroll", '"t2" = "acme-eu"', "accounts.t2: must be the source's tenant_id"),
        ("bank-statements", '" " = "acme-eu"', "accounts. : must be a bank account or a tenant, not blank"),
        ("bank-statements", '"DE1" = "Acme EU"', "accounts.DE1: must be the code of the ledger"),
        ("bank-statements", '"DE1" = "a"\n"DE 1" = "b"', "accounts.DE1: must stand there once"),
    ],
)
def test_a_ledger_of_an_account_that_cannot_apply_is_told(tmp_path: Path, kind: str, table: str, rule: str) -> None:
    values = {"api_key": "env:KEY", "client_secret": "env:KEY", "client_id": "app", "tenant_id": "t1", "path": "x"}
    options = "".join(f'{key} = "{values[key]}"\n' for key in KINDS[kind].example)
    text = f'[[sources]]\nname = "one"\nkind = "{kind}"\nledger = "acme-us"\n{options}[sources.accounts]\n{table}\n'
    path = file(tmp_path, text)
    told = refused({"KEY": "word"}, config=path)
    assert told[0].startswith(f"{path}: [[sources]] one: {rule}")


def posting(line: str) -> str:
    return f'[[sources]]\nname = "one"\nkind = "bank-statements"\nledger = "acme-us"\npath = "x"\n{line}\n'


def test_a_source_posts_from_a_day_on_or_not_at_all(tmp_path: Path) -> None:
    (source,) = load({}, config=file(tmp_path, posting("post_from = 2026-01-01"))).sources
    assert source.post_from == date(2026, 1, 1)
    (source,) = load({}, config=file(tmp_path, posting(""))).sources
    assert source.post_from is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ('"2026-01-01"', "'2026-01-01'"),
        ("2026-01-01T00:00:00", "2026-01-01 00:00:00"),
        ("2026", "2026"),
        ("true", "True"),
        ("1899-12-31", "1899-12-31"),
    ],
)
def test_a_cutover_that_is_no_day_is_told(tmp_path: Path, value: str, shown: str) -> None:
    path = file(tmp_path, posting(f"post_from = {value}"))
    rule = "must be a day from 1900-01-01 to 2199-12-31, written without quotes as 2026-01-01"
    assert refused(config=path) == [f"{path}: [[sources]] one: post_from: {rule}, not {shown}"]


def test_a_schedule_is_stated_in_seconds(tmp_path: Path) -> None:
    (source,) = load({}, config=file(tmp_path, posting("every = 30"))).sources
    assert (source.every, source.period) == (30.0, 30.0)
    path = file(tmp_path, posting("every = 0"))
    rule = "must be a number of seconds from 1 to 315360000, not 0"
    assert refused(config=path) == [f"{path}: [[sources]] one: every: {rule}"]


def charging(line: str) -> str:
    return f'[[sources]]\nname = "one"\nkind = "stripe"\nledger = "us"\napi_key = "env:KEY"\n{line}\n'


def test_secrets_of_webhooks_come_from_the_environment(tmp_path: Path) -> None:
    """One, or several while one takes another's place; none of them shows."""
    environment = {"KEY": "k", "NEW": "whsec_new", "OLD": "whsec_old"}
    for text, secrets in (('"env:NEW"', ("whsec_new",)), ('["env:NEW", "env:OLD"]', ("whsec_new", "whsec_old"))):
        (source,) = load(environment, config=file(tmp_path, charging(f"webhook_secrets = {text}"))).sources
        assert source.webhook_secrets == secrets
        assert "whsec" not in repr(source)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('"whsec_new"', 'must be "env:NAME", the name of an environment variable that holds the secret'),
        ("[]", "must be one to 5 secrets"),
        ('"env:NONE"', "names the environment variable NONE, which is not set"),
        ("3", 'must be "env:NAME", the name of an environment variable that holds the secret'),
    ],
)
def test_wrong_secrets_of_webhooks_are_told(tmp_path: Path, text: str, rule: str) -> None:
    path = file(tmp_path, charging(f"webhook_secrets = {text}"))
    assert refused({"KEY": "k"}, config=path) == [f"{path}: [[sources]] one: webhook_secrets: {rule}"]


def test_a_folder_sends_no_webhooks(tmp_path: Path) -> None:
    path = file(tmp_path, posting('webhook_secrets = "env:KEY"'))
    rule = "is not a setting of this kind, which sends no webhooks"
    assert refused({"KEY": "k"}, config=path) == [f"{path}: [[sources]] one: webhook_secrets: {rule}"]


def test_rules_are_named_by_ledger_from_the_files_folder(tmp_path: Path) -> None:
    settings = load({}, config=file(tmp_path, '[mapping]\nacme-us = "rules/us.toml"\nacme-eu = "/etc/eu.toml"\n'))
    assert settings.mapping == {"acme-us": tmp_path / "rules" / "us.toml", "acme-eu": Path("/etc/eu.toml")}
    assert load({}).mapping == {}


def test_rules_of_no_ledger_or_no_file_are_told(tmp_path: Path) -> None:
    path = file(tmp_path, '[mapping]\n"Acme US" = "a.toml"\nacme-us = 7\nacme-eu = "~no-such-user/x.toml"\n')
    assert refused(config=path) == [
        f"{path}: [mapping] Acme US: must be the code of the ledger that the rules are for, of a-z, 0-9, _ and -",
        f"{path}: [mapping] acme-us: must be a text that is not empty, not 7",
        f"{path}: [mapping] acme-eu: must be a file, and ~no-such-user is nobody's home on this machine",
    ]
    path = file(tmp_path, 'mapping = "rules.toml"\n')
    assert refused(config=path) == [f"{path}: mapping: must be a table, written [mapping]"]


def test_a_credential_that_is_not_set_names_its_variable(tmp_path: Path) -> None:
    assert refused({}, config=file(tmp_path, WHOLE)) == [
        f"{tmp_path}/books.toml: [[sources]] stripe-us: api_key: names the environment variable STRIPE_KEY, which is not set"
    ]


def test_two_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    table = '[[sources]]\nname = "banks"\nkind = "bank-statements"\nledger = "acme-us"\npath = "x"\n'
    (line,) = refused({}, config=file(tmp_path, table * 2))
    assert "must be unique" in line


@pytest.mark.parametrize(
    ("environment", "start"),
    [
        ({"LEDGERGRAPH_DATABASE_URL": "mysql://x"}, "LEDGERGRAPH_DATABASE_URL: must be of the form postgresql://"),
        ({"LEDGERGRAPH_DATABASE_DIRECT_URL": "postgresql://x"}, "environment: LEDGERGRAPH_DATABASE_DIRECT_URL: needs"),
        (
            {"LEDGERGRAPH_JWT_SECRET": SECRET, "LEDGERGRAPH_JWKS_URL": "https://id/jwks"},
            "environment: LEDGERGRAPH_JWT_SECRET: must not be set together",
        ),
        ({"LEDGERGRAPH_JWKS_URL": "http://id.example/jwks"}, "environment: LEDGERGRAPH_JWKS_URL: must be an https://"),
        ({"LEDGERGRAPH_JWKS_URL": "https://[::1/jwks"}, "environment: LEDGERGRAPH_JWKS_URL: must be an https://"),
        ({"LEDGERGRAPH_JWKS_URL": "https://id/jwks"}, "environment: LEDGERGRAPH_JWT_ISSUER: must be the issuer"),
    ],
)
def test_a_wrong_variable_is_named(environment: dict[str, str], start: str) -> None:
    assert any(line.startswith(start) for line in refused(environment))


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("postgresql://app:hunter2@db.example:5432/books?sslmode=require", True),
        ("postgres://app@[::1]:5432/books", True),
        ("postgresql://one:5432,two:5433/books", True),
        ("postgresql://app@/books?host=/run/postgresql&port=5432", True),
        ("postgresql:///books", True),
        ("postgresql://app:hunter2@[::1/books", False),
        ("postgresql://app:hunter2@::1/books", False),
        ("postgresql://app:hunter2@db:fifty/books", False),
        ("postgresql://app:hunter2@db:70000/books", False),
        ("postgresql://app:hun#ter2@db/books", False),
        ("postgresql://one,,two/books", False),
        ("postgresql:app", False),
    ],
)
def test_the_form_of_a_database_s_address(url: str, right: bool) -> None:
    """A wrong one is a wrong setting, not a login that the database refuses; its password is not repeated."""
    if right:
        assert load({"LEDGERGRAPH_DATABASE_URL": url}).database_url == url
        return
    for told in (refused({"LEDGERGRAPH_DATABASE_URL": url}), refused({}, database_url=url)):
        (line,) = told
        assert "must be of the form postgresql://" in line
        assert "ter2" not in line


def test_an_embedded_and_an_external_database_exclude_each_other(tmp_path: Path) -> None:
    (line,) = refused({}, data_dir=tmp_path, database_url="postgresql://x/y")
    assert line == "command line: --data-dir: must not be given together with --database-url"


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"[limits", "must be TOML"),
        (b"\xff", "must be UTF-8"),
        (b"limits = 1", "must be a table"),
        (b"sources = 1", "[[sources]]"),
        (b"[limit]", "did you mean limits?"),
        (b"a = " + b"[" * 5_000 + b"]" * 5_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_not_of_the_form_is_named(tmp_path: Path, content: bytes, rule: str) -> None:
    path = tmp_path / "books.toml"
    path.write_bytes(content)
    (line,) = refused({}, config=path)
    assert line.startswith(str(path))
    assert rule in line


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refused({}, config=tmp_path / "none.toml") == [
        f"{tmp_path}/none.toml: cannot be read: No such file or directory"
    ]


def test_every_kind_of_source_has_a_connector_that_takes_its_options(tmp_path: Path) -> None:
    """What the settings accept, the connectors' constructors accept: the example of each kind, and every text besides."""
    values = {
        "base_url": "http://127.0.0.1:1",
        "token_url": "http://127.0.0.1:1/token",
        "path": str(tmp_path),
        "company": "1",
    }
    for name, kind in KINDS.items():
        assert {*kind.required} <= {*kind.example} <= {*kind.texts, *kind.tables}
        source = SourceSettings(name="x", kind=name, ledger="l", options=kind.example)
        assert connector_for(source)
        for key in {*kind.texts} - {*kind.example}:
            with suppress(
                ConfigurationError
            ):  # a setting that the connector knows may go with others than the example's
                connector_for(replace(source, options={**kind.example, key: values.get(key, "word")}))
        assert set(source.gives) <= {"invoice", "payment", "payroll_run", "bank_statement"}


def test_tables_of_options_reach_the_connector_with_their_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = replace(KINDS["bank-statements"], tables=("columns",), connector=lambda **given: given)  # type: ignore[arg-type]
    monkeypatch.setattr(sourceconfig, "KINDS", {"bank-statements": kind})
    line = 'columns = { day = 1, names = ["a", "env:WORD"], deep = { key = "env:WORD" } }'
    (source,) = load({"WORD": "s3cret"}, config=file(tmp_path, posting(line))).sources
    assert source.options["columns"] == {"day": 1, "names": ["a", "s3cret"], "deep": {"key": "s3cret"}}
    (told,) = refused({}, config=file(tmp_path, posting('columns = ["env:NONE"]')))
    assert "columns[0]: names the environment variable NONE, which is not set" in told


WRONG = """
[[sources]]
name = "erp"
kind = "tryton"
ledger = "us"
base_url = "https://erp.example.com?x=1"
database = "a/b"
user = "a:b"
password = "env:SECRET"
company = "first"
[[sources]]
name = "payroll"
kind = "gusto"
ledger = "us"
company_id = "acme corp"
token = "env:SECRET"
api_version = "newest"
[[sources]]
name = "books"
kind = "xero-accounting"
ledger = "us"
client_id = "a\\u0007"
client_secret = "env:SECRET"
tenant_id = "b\\u0007"
[[sources]]
name = "bank"
kind = "plaid"
ledger = "us"
client_id = "ключ"
secret = "env:SECRET"
access_token = "env:SECRET"
item_id = "ключ"
[[sources]]
name = "inbox"
kind = "e-invoices"
ledger = "us"
path = "invoices"
direction = "sideways"
[[sources]]
name = "procure"
kind = "rest"
ledger = "us"
base_url = "https://procure.example.com/?key=1"
documents = [{ kind = "bill" }]
"""


def test_every_mistake_in_the_options_of_every_source_is_told_at_once(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(WRONG)
    told = refused({"SECRET": "s3cret"}, config=config)
    for place in (
        "erp.base_url", "erp.database", "erp.user", "erp.company", "payroll.company_id", "payroll.api_version", "books.client_id",
        "books.tenant_id", "bank.client_id", "bank.item_id", "inbox.direction", "procure.base_url", "procure.documents[0].kind",
        "procure.documents[0].list",
    ):  # fmt: skip
        lines = [each for each in told if each.startswith(f"{config}: sources.{place} ")]
        assert lines, (place, told)
    assert "s3cret" not in "".join(told)


def test_caches_can_be_switched_off(tmp_path: Path) -> None:
    """0 is a size of a cache, and of nothing else."""
    file = tmp_path / "off.toml"
    file.write_text("[limits]\nanswer_cache_bytes = 0\nfragment_cache_bytes = 0\n")
    limits = load({}, config=file).limits
    assert (limits.answer_cache_bytes, limits.fragment_cache_bytes) == (0, 0)
    file.write_text("[limits]\nplan_cache = 0\n")
    with pytest.raises(ConfigurationError, match="plan_cache: must be a whole number from 1 on"):
        load({}, config=file)


def test_compression_is_switched_off_by_false_alone(tmp_path: Path) -> None:
    """What is neither true nor false is a mistake."""
    file = tmp_path / "gateway.toml"
    file.write_text("[server]\ncompression = false\n")
    assert load({}, config=file).server.compression is False
    file.write_text('[server]\ncompression = "no"\n')
    with pytest.raises(ConfigurationError, match=r"\[server\] compression: must be true or false, not 'no'"):
        load({}, config=file)
