"""The commands as users call them: helps, tokens, migrations, serving, and faults as one sentence."""

from __future__ import annotations

import asyncio
import socket
import stat
import uuid
from pathlib import Path

import aiohttp
import asyncpg
import jwt
import pytest
from click.testing import CliRunner

from gateway.cli import main
from sources.database.embedded import OWNER_ROLE, EmbeddedPostgres
from sources.database.metadata import VERSION_SCHEMA, VERSION_TABLE
from tests.conftest import BackgroundLoop
from tests.gateway.processes import PATIENCE, ask, ledgergraph, started

COMMANDS = (
    "demo",
    "serve",
    "migrate",
    "token",
    "import",
    "sources",
    "check-source",
    "sync",
    "map",
    "rates",
    "schema",
    "verify",
)
SECRET = "0123456789abcdef0123456789abcdef"
NO_SETTINGS: dict[str, str | None] = dict.fromkeys(
    ("LEDGERGRAPH_DATA_DIR", "LEDGERGRAPH_DATABASE_URL", "LEDGERGRAPH_CONFIG", "LEDGERGRAPH_JWT_SECRET")
)


def invoke(*arguments: object, **variables: str):
    """Runs a command in this process."""
    return CliRunner(env={**NO_SETTINGS, **variables}).invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def empty_database(
    postgres: EmbeddedPostgres,
    administrator: asyncpg.Connection,
    background: BackgroundLoop,
    request: pytest.FixtureRequest,
):
    """The owner's address of a database that was never migrated."""
    name = f"empty_{abs(hash(request.node.nodeid))}"
    background.run(administrator.execute(f"CREATE DATABASE {name} OWNER {OWNER_ROLE}"))
    yield postgres.dsn(user=OWNER_ROLE, database=name)
    background.run(administrator.execute(f"DROP DATABASE {name} WITH (FORCE)"))


class TestHelp:
    def test_the_list_names_every_command(self) -> None:
        result = invoke("--help")
        assert result.exit_code == 0
        for command in COMMANDS:
            assert f"\n  {command} " in result.output

    @pytest.mark.parametrize("command", COMMANDS)
    def test_each_command_has_examples(self, command: str) -> None:
        result = invoke(command, "--help")
        assert result.exit_code == 0
        assert f"\n    ledgergraph {command}" in result.output.replace("=$(ledgergraph", "\n    ledgergraph")

    def test_an_unknown_command_is_a_usage_error(self) -> None:
        assert invoke("sevre").exit_code == 2


class TestToken:
    def test_it_prints_the_token_alone(self, tmp_path: Path) -> None:
        result = invoke(
            "token",
            "--data-dir",
            tmp_path,
            "--subject",
            "ana",
            "--scopes",
            "ledger:read",
            "--ledgers",
            "a,b",
            "--ttl",
            60,
        )
        assert result.exit_code == 0
        (token,) = result.output.splitlines()
        secret = (tmp_path / "jwt.secret").read_bytes().strip()
        claims = jwt.decode(token, secret, algorithms=["HS256"], audience="ledgergraph", issuer="ledgergraph")
        assert (claims["sub"], claims["scope"], claims["ledgers"]) == ("ana", "ledger:read", ["a", "b"])
        assert 60 <= claims["exp"] - claims["iat"] <= 61

    def test_the_secret_is_for_its_owner_alone_and_stays_the_same(self, tmp_path: Path) -> None:
        invoke("token", "--data-dir", tmp_path, "--subject", "ana")
        file = tmp_path / "jwt.secret"
        secret = file.read_bytes()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        invoke("token", "--data-dir", tmp_path, "--subject", "ben")
        assert file.read_bytes() == secret

    def test_the_environment_s_secret_issuer_and_audience_count(self, tmp_path: Path) -> None:
        variables = {
            "LEDGERGRAPH_JWT_SECRET": SECRET,
            "LEDGERGRAPH_JWT_ISSUER": "me",
            "LEDGERGRAPH_JWT_AUDIENCE": "you",
            "LEDGERGRAPH_DATA_DIR": str(tmp_path),
        }
        result = invoke("token", "--subject", "ana", **variables)
        claims = jwt.decode(result.output.strip(), SECRET, algorithms=["HS256"], audience="you", issuer="me")
        assert claims["ledgers"] == "*"
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--scopes", "ledger:rea"), "ledger:rea unknown"),
            (("--ledgers", "Acme US"), "ledger codes"),
            (("--ttl", "0"), "--ttl"),
        ],
    )
    def test_what_is_wrong_is_named(self, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
        result = invoke("token", "--data-dir", tmp_path, "--subject", "ana", *arguments)
        assert result.exit_code == 2
        assert message in result.output

    def test_an_identity_provider_s_tokens_are_not_made_here(self, tmp_path: Path) -> None:
        variables = {
            "LEDGERGRAPH_JWKS_URL": "https://id.example/jwks",
            "LEDGERGRAPH_JWT_ISSUER": "me",
            "LEDGERGRAPH_JWT_AUDIENCE": "you",
        }
        result = invoke("token", "--data-dir", tmp_path, "--subject", "ana", **variables)
        assert result.exit_code == 2
        assert "identity provider" in result.output


class TestSettings:
    def test_every_mistake_is_printed_with_status_2(self, tmp_path: Path) -> None:
        file = tmp_path / "books.toml"
        file.write_text("[limits]\ndepht = 3\n[server]\nport = -1\n")
        result = invoke("migrate", "--config", file)
        assert result.exit_code == 2
        assert "[limits] depht: is not a setting; did you mean depth?" in result.output
        assert "[server] port: must be a whole number from 0 to 65535" in result.output

    def test_schema_prints_what_the_repository_holds(self) -> None:
        result = invoke("schema")
        assert result.output == (Path(__file__).parent.parent.parent / "schema.graphql").read_text()


class TestServe:
    async def test_it_migrates_serves_and_stops_with_its_database(self, tmp_path: Path) -> None:
        """A token of `ledgergraph token` is good for a gateway on the same data directory."""
        async with started("serve", "--data-dir", tmp_path / "data", "--port", 0) as gateway:
            address = await gateway.address()
            token = ledgergraph("token", "--data-dir", tmp_path / "data", "--subject", "ana").stdout.strip()
            assert await ask(address, token, "{ ledgers { code } }") == {"ledgers": []}
            assert (tmp_path / "data" / "cluster" / "postmaster.pid").exists()
            assert await gateway.stop() == 0
        assert not (tmp_path / "data" / "cluster" / "postmaster.pid").exists()

    async def test_sigterm_closes_open_sockets_with_a_code_that_says_come_back(self, tmp_path: Path) -> None:
        data_dir = tmp_path / "data"
        async with started("serve", "--data-dir", data_dir, "--port", 0) as gateway:
            address = await gateway.address()
            token = ledgergraph("token", "--data-dir", data_dir, "--subject", "ana").stdout.strip()
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(address, protocols=["graphql-transport-ws"], autoping=True) as connection,
            ):
                await connection.send_json({"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}})
                assert (await connection.receive_json(timeout=PATIENCE))["type"] == "connection_ack"
                ended = asyncio.create_task(gateway.stop())
                closed = await connection.receive(timeout=PATIENCE)
                assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1012)
                assert await ended == 0

    def test_a_busy_port_is_one_sentence(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            done = ledgergraph("serve", "--data-dir", tmp_path / "data", "--port", port)
        assert done.returncode == 1
        assert done.stderr.splitlines() == [
            f"Error: Port {port} on 127.0.0.1 is in use by another program: end it, or choose another with --port."
        ]
        assert not (tmp_path / "data").exists()

    def test_a_database_that_is_behind_is_refused_until_it_is_migrated(
        self, tmp_path: Path, empty_database: str
    ) -> None:
        where = ("--database-url", empty_database)
        refused = ledgergraph("serve", *where, "--port", 0, LEDGERGRAPH_JWT_SECRET=SECRET)
        assert refused.returncode == 2
        assert "run `ledgergraph migrate`" in refused.stderr
        migrated = ledgergraph("migrate", *where)
        assert (migrated.returncode, migrated.stdout[:26]) == (0, "the database is up to date")

    def test_a_database_of_a_newer_version_is_refused(self, owner_url: str, background: BackgroundLoop) -> None:
        async def grow_older() -> None:
            connection = await asyncpg.connect(owner_url)
            try:
                await connection.execute(f"UPDATE {VERSION_SCHEMA}.{VERSION_TABLE} SET version_num = '9999_later'")
            finally:
                await connection.close()

        background.run(grow_older())
        for command in (("migrate",), ("serve", "--port", 0)):
            done = ledgergraph(*command, "--database-url", owner_url, LEDGERGRAPH_JWT_SECRET=SECRET)
            assert done.returncode == 2
            assert "9999_later, which this version does not know" in done.stderr

    async def test_commands_beside_a_gateway_share_its_data_directory(self, tmp_path: Path) -> None:
        """What `import` posts, the gateway's readers see; the database outlives whoever leaves first."""
        file = tmp_path / "two.csv"
        file.write_text(TestVerify.ROWS)
        data_dir = tmp_path / "data"
        async with started("serve", "--data-dir", data_dir, "--port", 0) as gateway:
            address = await gateway.address()
            token = ledgergraph("token", "--data-dir", data_dir, "--subject", "ana").stdout.strip()
            options = ("--ledger", "home", "--create-ledger", "USD", "--create-accounts", "--data-dir", data_dir)
            assert ledgergraph("import", file, *options).returncode == 0
            answer = await ask(address, token, '{ ledger(code: "home") { lastSequence } }')
            assert answer == {"ledger": {"lastSequence": 2}}
            assert await gateway.stop() == 0
        assert ledgergraph("verify", "--ledger", "home", "--data-dir", data_dir).returncode == 0

    async def test_it_serves_a_database_of_ones_own(self, owner_url: str) -> None:
        arguments = ("serve", "--database-url", owner_url, "--port", 0)
        async with started(*arguments, LEDGERGRAPH_JWT_SECRET=SECRET) as gateway:
            token = ledgergraph("token", "--subject", "ana", LEDGERGRAPH_JWT_SECRET=SECRET).stdout.strip()
            assert await ask(await gateway.address(), token, "{ ledgers { code } }") == {"ledgers": []}
            assert await gateway.stop() == 0

    def test_a_login_that_is_refused_is_one_sentence(self, postgres: EmbeddedPostgres) -> None:
        for url, reason in (
            (postgres.dsn(user="nobody_here"), 'role "nobody_here" does not exist'),
            (postgres.dsn(database="nothing_here"), 'database "nothing_here" does not exist'),
        ):
            done = ledgergraph("serve", "--database-url", url, "--port", 0, LEDGERGRAPH_JWT_SECRET=SECRET)
            assert done.returncode == 2
            assert done.stderr.startswith(f"Error: The database refuses the login: {reason}")

    def test_a_role_without_the_grant_is_told_which_one(
        self, postgres: EmbeddedPostgres, owner_url: str, administrator: asyncpg.Connection, background: BackgroundLoop
    ) -> None:
        """A login of one's own needs the application role, and with it can serve."""
        role = f"gateway_{uuid.uuid4().hex}"
        background.run(administrator.execute(f"CREATE ROLE {role} LOGIN"))
        try:
            url = owner_url.replace(OWNER_ROLE, role)
            done = ledgergraph("serve", "--database-url", url, "--port", 0, LEDGERGRAPH_JWT_SECRET=SECRET)
            assert done.returncode == 2
            assert f"GRANT ledgergraph_app TO {role};" in done.stderr
            background.run(administrator.execute(f"GRANT ledgergraph_app TO {role}"))
            options = ("--ledger", "none", "--database-url", url)
            told = ledgergraph("verify", *options).stderr.split("\n", 1)
            assert told == ["verifying", "Error: there is no ledger 'none'\n"]
        finally:
            background.run(administrator.execute(f"DROP ROLE {role}"))

    def test_a_database_that_does_not_answer_is_one_sentence(self, tmp_path: Path) -> None:
        url = f"postgresql://nobody@/none?host={tmp_path}"
        done = ledgergraph("serve", "--database-url", url, "--port", 0, LEDGERGRAPH_JWT_SECRET=SECRET)
        assert done.returncode == 1
        assert done.stderr.startswith("Error: The database does not answer")
        assert len(done.stderr.splitlines()) == 1


class TestVerify:
    ROWS = (
        "entry,date,description,account,debit,credit,currency,account_type\n"
        "1,2026-01-05,Coffee,6100,4.50,,USD,EXPENSE\n1,2026-01-05,Coffee,1000,,4.50,USD,ASSET\n"
        "2,2026-01-06,Rent,6200,900.00,,USD,EXPENSE\n2,2026-01-06,Rent,1000,,900.00,USD,ASSET\n"
    )

    @pytest.fixture
    def books(self, tmp_path: Path, owner_url: str) -> str:
        """The address of a database that holds two entries."""
        file = tmp_path / "two.csv"
        file.write_text(self.ROWS)
        options = ("--create-ledger", "USD", "--create-accounts", "--database-url", owner_url)
        assert invoke("import", file, "--ledger", "home", *options).exit_code == 0
        return owner_url

    def test_sound_books_are_told_so(self, books: str) -> None:
        result = invoke("verify", "--ledger", "home", "--database-url", books)
        assert (result.exit_code, result.stdout) == (0, "home: 2 entries, nothing is wrong\n")

    def test_an_entry_that_was_changed_behind_the_database_s_back_is_named(
        self, books: str, postgres: EmbeddedPostgres, database: str, background: BackgroundLoop
    ) -> None:
        """Only a superuser who switches off the triggers can do it at all."""

        async def tamper() -> None:
            connection = await asyncpg.connect(postgres.dsn(user="postgres", database=database))
            try:
                await connection.execute("ALTER TABLE ledger.entry DISABLE TRIGGER ALL")
                await connection.execute("UPDATE ledger.entry SET description = 'Bribe' WHERE sequence = 2")
            finally:
                await connection.close()

        background.run(tamper())
        result = invoke("verify", "--ledger", "home", "--database-url", books)
        assert result.exit_code == 1
        assert "home: entry 2: " in result.stdout
        assert "entry 1" not in result.stdout

    def test_a_ledger_that_is_not_there_is_a_usage_error(self, books: str) -> None:
        result = invoke("verify", "--ledger", "nowhere", "--database-url", books)
        assert result.exit_code == 2
        assert "nowhere" in result.stderr
