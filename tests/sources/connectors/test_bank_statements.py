"""A folder of statement files: each is read once, one that cannot be read is named and keeps nobody from being read."""

from __future__ import annotations

import asyncio
import io
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.connectors import files_place
from sources.connectors.bank_statements import BankStatementsConnector, parse_statement_file
from sources.connectors.files_values import UnreadableFile
from sources.documents import BankStatement, Page
from sources.errors import SourceUnavailable

CORPORA = Path(os.environ.get("CORPORA", Path(__file__).parents[3].parent / "shared" / "corpora"))
LONG_AGO = 1_700_000_000


def mt940(number: int, amount: int = 5, text: str = "") -> bytes:
    return (
        f":20:X\n:25:12345678/99\n:28C:{number}/1\n:60F:C260301EUR100,00\n:61:260302C{amount},00NTRFNONREF\n:86:{text}\n"
        f":62F:C260302EUR{100 + amount},00\n-\n"
    ).encode()


CAMT = (
    b"<Document xmlns='urn:iso:std:iso:20022:tech:xsd:camt.053.001.08'><BkToCstmrStmt><Stmt><Id>1</Id>"
    b"<Acct><Id><Othr><Id>77</Id></Othr></Id><Ccy>USD</Ccy></Acct></Stmt></BkToCstmrStmt></Document>"
)


@dataclass
class Pulled:
    statements: list[BankStatement] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    pages: int = 0


@dataclass
class Folder:
    """The folder under test, with its cursor. Files are old unless a test says otherwise; each write is a second later."""

    path: Path
    cursor: str | None = None
    now: float = LONG_AGO
    written: int = 0

    def write(self, name: str, data: bytes, *, at: float | None = None) -> Path:
        self.written += 1
        file = self.path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
        when = LONG_AGO - 10_000 + self.written if at is None else at
        os.utime(file, (when, when))
        return file

    async def pull(self) -> Pulled:
        pulled = Pulled()
        last: Page | None = None
        connector = BankStatementsConnector(name="bank", path=self.path, clock=lambda: self.now)
        async for last in connector.pull(self.cursor):
            pulled.statements += [each for each in last.documents if isinstance(each, BankStatement)]
            assert len({each.external_id for each in last.documents if isinstance(each, BankStatement)}) == len(
                last.documents
            )
            pulled.problems |= {problem.subject: problem.message for problem in last.problems}
            pulled.pages += 1
            self.cursor = last.cursor
        await connector.close()
        assert last is not None
        assert last.complete
        return pulled


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "statements").mkdir()
    return Folder(tmp_path / "statements")


def amounts(pulled: Pulled) -> list[int]:
    return [each.amount for statement in pulled.statements for each in statement.transactions]


# ---------------------------------------------------------------- reading


async def test_files_are_told_apart_by_content_and_read_in_the_order_of_their_names(folder: Folder) -> None:
    folder.write("b.xml", mt940(2, 20))
    folder.write("a.whatever", mt940(1, 10))
    folder.write("c", CAMT)
    pulled = await folder.pull()
    assert amounts(pulled) == [1000, 2000]
    assert pulled.statements[-1].account.external_id == "77"
    assert pulled.problems == {}


async def test_an_unchanged_file_is_not_read_again_and_a_changed_one_is(folder: Folder) -> None:
    folder.write("a.sta", mt940(1, 10))
    folder.write("b.sta", mt940(2, 20))
    assert amounts(await folder.pull()) == [1000, 2000]
    assert amounts(await folder.pull()) == []
    folder.write("b.sta", mt940(2, 30))
    assert amounts(await folder.pull()) == [3000]


async def test_the_same_bytes_state_nothing_new_under_another_name_or_time(folder: Folder) -> None:
    folder.write("a.sta", mt940(1))
    folder.write("copy.sta", mt940(1))
    assert amounts(await folder.pull()) == [500]
    (folder.path / "a.sta").rename(folder.path / "renamed.sta")
    folder.write("copy.sta", mt940(1))
    assert (await folder.pull()).statements == []


async def test_a_statement_in_two_files_is_one_document(folder: Folder) -> None:
    """The same statement, its text written in another way: one id, and the later file's word."""
    folder.write("a.sta", mt940(1, text="Rent"))
    folder.write("b.sta", mt940(1, text="RENT"))
    (statement,) = (await folder.pull()).statements
    assert statement.transactions[0].description == "RENT"


async def test_a_file_that_goes_away_takes_nothing_with_it(folder: Folder) -> None:
    folder.write("a.sta", mt940(1)).unlink()
    folder.write("b.sta", mt940(2))
    await folder.pull()
    (folder.path / "b.sta").unlink()
    pulled = await folder.pull()
    assert (pulled.statements, pulled.problems) == ([], {})


async def test_hidden_unfinished_and_finished_files_are_left_alone(folder: Folder) -> None:
    for name in (
        ".hidden",
        "up.sta.part",
        "up.TMP",
        "edited~",
        "done/a.sta",
        "Archive/a.sta",
        ".git/a",
        "bank/archive/a.sta",
    ):
        (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
        (folder.path / name).write_bytes(b"junk")
    os.mkfifo(folder.path / "pipe")
    folder.write("bank/a.sta", mt940(1))
    pulled = await folder.pull()
    assert (amounts(pulled), pulled.problems) == ([500], {})


async def test_links_within_the_folder_are_read_and_links_out_of_it_are_not(folder: Folder) -> None:
    outside = folder.path.parent / "outside.sta"
    outside.write_bytes(mt940(1, 10))
    (folder.path.parent / "elsewhere").mkdir()
    (folder.path.parent / "elsewhere" / "b.sta").write_bytes(mt940(2, 20))
    folder.write(".data", mt940(3, 30))
    for name, target in (
        ("out.sta", outside),
        ("elsewhere", folder.path.parent / "elsewhere"),
        ("in.sta", folder.path / ".data"),
        ("broken.sta", folder.path / "nothing"),
        ("circle.sta", folder.path / "circle.sta"),
    ):
        (folder.path / name).symlink_to(target)
    pulled = await folder.pull()
    assert amounts(pulled) == [3000]
    assert set(pulled.problems) <= {"circle.sta"}


async def test_a_large_folder_comes_in_pages_each_with_a_cursor_to_go_on_from(folder: Folder) -> None:
    for number in range(450):
        folder.write(f"{number:03}.sta", mt940(number + 1, number + 1))
    connector = BankStatementsConnector(name="bank", path=folder.path, clock=lambda: folder.now)
    async for page in connector.pull(None):
        folder.cursor = page.cursor
        first = len(page.documents)
        break
    pulled = await folder.pull()
    assert (first, len(pulled.statements), pulled.pages) == (200, 250, 2)


async def test_large_files_come_in_pages_of_their_own(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few transactions they hold: a page is one transaction of the database."""
    monkeypatch.setattr(files_place, "PAGE_BYTES", 10_000)
    for number in range(4):
        folder.write(f"{number}.sta", mt940(number + 1, text="x" * 6_000))
    pulled = await folder.pull()
    assert (len(pulled.statements), pulled.pages) == (4, 2)


async def test_a_file_that_goes_away_while_the_folder_is_read_is_no_problem(folder: Folder) -> None:
    for number in range(201):
        folder.write(f"{number:03}.sta", mt940(number + 1))
    pages = BankStatementsConnector(name="bank", path=folder.path).pull(None)
    first = await anext(pages)
    (folder.path / "200.sta").unlink()
    rest = await anext(pages)
    assert (len(first.documents), rest.documents, rest.problems, rest.complete) == (200, (), (), True)


async def test_the_event_loop_is_free_while_files_are_read(folder: Folder) -> None:
    body = b":61:260302C1,00NTRFNONREF\n" * 15_000
    folder.write("big.sta", mt940(1).replace(b":61:", body + b":61:", 1))
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    pulled = await folder.pull()
    ticking.cancel()
    assert len(amounts(pulled)) == 15_001
    assert ticks > 20


# ---------------------------------------------------------------- what cannot be read


async def test_a_file_that_cannot_be_read_is_named_and_the_others_are_read(folder: Folder) -> None:
    folder.write("a.sta", mt940(1))
    folder.write("bad.sta", mt940(2).replace(b"C5,00", b"C5,005"))
    folder.write("z.sta", mt940(3))
    pulled = await folder.pull()
    assert amounts(pulled) == [500, 500]
    assert pulled.problems == {"bad.sta": "bad.sta: line 5 (:61:): the amount '5.005' EUR has more than 2 decimals."}


async def test_quarantine_ends_when_the_file_changes(folder: Folder) -> None:
    folder.write("bad.sta", b"junk")
    first = await folder.pull()
    assert (await folder.pull()).problems == first.problems
    folder.write("bad.sta", mt940(1))
    mended = await folder.pull()
    assert (amounts(mended), mended.problems) == ([500], {})


async def test_a_quarantined_file_is_not_tried_again(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its copy is not either. A reader that learnt to read more tries all of them."""
    tried: list[str] = []

    def counting(data: bytes, file_name: str) -> list[BankStatement]:
        tried.append(file_name)
        return parse_statement_file(data, file_name)

    monkeypatch.setattr("sources.connectors.bank_statements.parse_statement_file", counting)
    folder.write("good.sta", mt940(1))
    folder.write("bad.sta", b"junk")
    await folder.pull()
    folder.write("copy of bad.sta", b"junk")
    assert set((await folder.pull()).problems) == {"bad.sta", "copy of bad.sta"}
    assert tried == ["bad.sta", "good.sta"]
    monkeypatch.setattr("sources.connectors.bank_statements._READER", 99)
    assert set((await folder.pull()).problems) == {"bad.sta", "copy of bad.sta"}
    assert tried == ["bad.sta", "good.sta", "bad.sta"]


async def test_a_file_that_is_being_written_is_tried_again_although_it_looks_unchanged(folder: Folder) -> None:
    whole = mt940(1)
    half = whole[:60].ljust(len(whole))
    folder.write("a.sta", half, at=folder.now - 1)
    assert "it is new, so it is tried again" in (await folder.pull()).problems["a.sta"]
    folder.write("a.sta", whole, at=folder.now - 1)
    pulled = await folder.pull()
    assert (amounts(pulled), pulled.problems) == ([500], {})


async def test_a_new_file_that_was_read_is_looked_at_again_but_states_nothing_twice(folder: Folder) -> None:
    """Within one tick of the clock a file could change without a trace."""
    folder.write("a.sta", mt940(1, 5), at=folder.now - 1)
    assert amounts(await folder.pull()) == [500]
    assert amounts(await folder.pull()) == []
    folder.write("a.sta", mt940(1, 6), at=folder.now - 1)
    assert amounts(await folder.pull()) == [600]


async def test_a_bug_in_a_parser_costs_one_file(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: bytes, file_name: str) -> list[BankStatement]:
        raise ZeroDivisionError(file_name)

    monkeypatch.setattr("sources.connectors.bank_statements.parse_camt", broken)
    folder.write("a.xml", CAMT)
    folder.write("b.sta", mt940(1))
    pulled = await folder.pull()
    assert amounts(pulled) == [500]
    assert "failed unexpectedly (ZeroDivisionError)" in pulled.problems["a.xml"]


async def test_names_that_are_no_text_are_shown_escaped(folder: Folder) -> None:
    name = os.fsdecode(b"caf\xe9\n.sta")
    folder.write(name, b"junk")
    assert list((await folder.pull()).problems) == ["caf\\udce9 .sta"]
    assert list((await folder.pull()).problems) == ["caf\\udce9 .sta"]


async def test_a_file_too_large_is_refused_unread(folder: Folder) -> None:
    with folder.write("big.sta", b"").open("r+b") as file:
        file.truncate(files_place.MAX_FILE_BYTES + 1)
    assert (await folder.pull()).problems == {"big.sta": "big.sta: it is larger than 128 MiB."}


@pytest.mark.parametrize("kind", ["missing", "file", "circle"])
async def test_a_folder_that_cannot_be_read_is_unavailable_without_naming_its_place(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "statements"
    if kind == "file":
        place.write_bytes(b"")
    elif kind == "circle":
        place.symlink_to(place)
    with pytest.raises(SourceUnavailable) as caught:
        await Folder(place).pull()
    assert "'statements' of source bank (setting: path) cannot be read" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_what_may_not_be_opened_is_named_and_tried_again(folder: Folder) -> None:
    folder.write("a.sta", mt940(1)).chmod(0)
    folder.write("sub/b.sta", mt940(2)).parent.chmod(0)
    assert set((await folder.pull()).problems) == {"a.sta", "sub/"}
    (folder.path / "a.sta").chmod(0o600)
    (folder.path / "sub").chmod(0o700)
    assert amounts(await folder.pull()) == [500, 500]


@pytest.mark.parametrize("cursor", ["", "1", "null", "{}", '{"reader":1,"files":{"a":[1]}}', '{"reader":1,"files":[]}'])
async def test_a_cursor_that_is_not_ours_reads_everything_again(folder: Folder, cursor: str) -> None:
    folder.write("a.sta", mt940(1))
    folder.cursor = cursor
    assert amounts(await folder.pull()) == [500]


# ---------------------------------------------------------------- one file


def zipped() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a.xml", CAMT)
    return target.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b" \r\n\0\0", "it is empty"),
        (zipped(), "it is a zip archive"),
        (b"\x1f\x8b\x08junk", "it is compressed (gzip)"),
        (b"%PDF-1.7", "it is a PDF"),
        (b"\0" * 1000 + b"x", "it is neither a camt"),
        (b"01,BANK,ME,260301,1200,1,,,2/\n", "it was cut off"),
        (b"{}", "it is neither a camt"),
        (b"  <html></html>", "no camt.052, camt.053 or camt.054 message"),
    ],
)
def test_what_is_no_statement_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableFile) as caught:
        parse_statement_file(data, "file")
    assert reason in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("before", ["", "\n "])
def test_xml_is_known_in_any_encoding(encoding: str, before: str) -> None:
    assert len(parse_statement_file((before + CAMT.decode()).encode(encoding), "file")) == 1


@given(st.binary(max_size=400))
def test_any_bytes_are_statements_or_a_refusal(data: bytes) -> None:
    for start in (b"", b"<", b":20:", b"{1:"):
        try:
            assert isinstance(parse_statement_file(start + data, "file"), list)
        except UnreadableFile as refused:
            reason = str(refused)
        else:
            reason = "read"
        assert reason


@pytest.mark.skipif(not CORPORA.is_dir(), reason="the corpora are not on this machine")
async def test_the_whole_corpus_in_one_folder_reads(folder: Folder) -> None:
    files = [path for path in [*(CORPORA / "camt").iterdir(), *(CORPORA / "mt940").iterdir()] if path.suffix != ".json"]
    for path in files:
        folder.write(path.name, path.read_bytes())
    pulled = await folder.pull()
    assert len(pulled.problems) == 12
    assert len(pulled.statements) == 30  # of 31: one stands there in two versions of its message
    assert (await folder.pull()).statements == []
