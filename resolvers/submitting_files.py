"""Files that are submitted: read by the source that reads such files, and stored as documents that are submitted are."""

from __future__ import annotations

import asyncio
import hashlib
from binascii import Error as NotBase64
from binascii import a2b_base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import strawberry

from resolvers.context import Context
from resolvers.fields import argument, linked, nested, text
from resolvers.issues import visible_source
from resolvers.results import RejectionReason, rejected, unknown_ledger
from resolvers.submitting import SUBMIT, DocumentTaken, taken_row
from sources.connectors.files_pull import checksum_of
from sources.connectors.files_values import UnreadableFile
from sources.errors import InvalidArgument, NotFound
from sources.ledger.model import Reason, RejectionCode
from sources.mirror.settings import SourceSettings
from sources.mirror.submitting import Outcome, Refused, Submission
from sources.reading import Key, Results, Tagged, Want
from sources.texts import clean

MAX_FILES: Final = 20
_LONGEST_NAME = 250


@strawberry.input(description="A file.")
class FileInput:
    name: str = strawberry.field(description="Its name, for messages; what it is, its content tells.")
    content: str = strawberry.field(description="Its bytes in Base64 (RFC 4648, section 4).")


@strawberry.input(description="Files to submit.")
class SubmitFilesInput:
    source: str = strawberry.field(description="Name of a source that reads files.")
    files: list[FileInput] = strawberry.field(description="At most 20; a request has at most `upload_bytes`.")


@strawberry.type(description="The documents of the file are held.")
class FileTaken:
    name: str = text("Its name.", "name")
    checksum: str = text("SHA-256 of its bytes, hexadecimal.", "checksum")
    documents: list[DocumentTaken] = nested("What it states, and what that changed.", "documents")


@strawberry.type(description="Nothing of the file was taken; the others of the request were.")
class FileRejected:
    name: str = text("Its name.", "name")
    reasons: list[RejectionReason] = nested("Every reason.", "reasons")


SubmitFileResult = Annotated[
    FileTaken | FileRejected, strawberry.union("SubmitFileResult", description="What became of a file.")
]


@strawberry.type(description="What became of each file, in the input's order.")
class SubmitFilesPayload:
    results: list[SubmitFileResult] = nested("One for each file.", "results")


@dataclass(slots=True, eq=False)
class _File:
    """`reasons`: why it is rejected; none: its `documents` are taken, with these `outcomes`."""

    name: str
    checksum: str = ""
    reasons: Sequence[Reason] = ()
    documents: Sequence[Submission] = ()
    outcomes: Sequence[Outcome | Refused] = ()


async def submit_files(context: Context, _keys: Sequence[Key], want: Want, args: Mapping[str, Any]) -> Results:
    name, given = args["input"]["source"], args["input"]["files"]
    if len(given) > MAX_FILES:
        raise InvalidArgument(f"files takes at most {MAX_FILES}; submit the others in another request")
    files = [_File(clean(each["name"])[:_LONGEST_NAME]) for each in given]
    try:
        settings = visible_source(context, name)
        if not context.services.refresher.reads_files(name):
            raise NotFound(f"{name} reads no files: submit its documents, or name a source that does")
    except NotFound as fault:
        for file in files:
            file.reasons = [Reason(RejectionCode.NOT_FOUND, str(fault), ("source",))]
    else:
        for number, (file, each) in enumerate(zip(files, given, strict=True)):
            await _read(context, settings, file, each["content"], ("files", str(number)))
        await _store(context, name, files)
    inner = want.nested.get("results")
    return {(): want.row({"results": [_row(file, inner) for file in files] if inner else []})}


async def _read(context: Context, settings: SourceSettings, file: _File, content: str, path: tuple[str, ...]) -> None:
    try:
        data, file.checksum = await asyncio.to_thread(_decoded, content)
    except (NotBase64, UnicodeEncodeError):
        file.reasons = [Reason(RejectionCode.INVALID_VALUE, "it is not Base64", (*path, "content"))]
        return
    try:
        documents = await context.services.refresher.read_file(settings.name, data, file.name)
    except UnreadableFile as fault:
        file.reasons = [Reason(RejectionCode.INVALID_VALUE, str(fault), (*path, "content"))]
        return
    hidden = sorted(
        {settings.ledger_of(each) for each in documents if not context.caller.may_see(settings.ledger_of(each))}
    )
    file.reasons = [unknown_ledger(code, *path) for code in hidden]
    file.documents = [Submission(each, file=(file.name, checksum_of(data))) for each in documents]


def _decoded(content: str) -> tuple[bytes, str]:
    """Bytes and their SHA-256: of a large file, that takes a part of a second."""
    data = a2b_base64(content.encode("ascii"), strict_mode=True)
    return data, hashlib.sha256(data).hexdigest()


async def _store(context: Context, name: str, files: Sequence[_File]) -> None:
    """All files that could be read, in one transaction; a file whole or not at all."""
    taken = [file for file in files if not file.reasons and file.documents]
    if not taken:
        return
    groups = [file.documents for file in taken]
    outcomes = await context.services.refresher.submit(name, groups, context.caller.subject)
    context.services.wake_pipeline()
    for file, found in zip(taken, outcomes, strict=True):
        path = ("files", str(files.index(file)), "content")
        file.reasons = [
            Reason(RejectionCode.INVALID_VALUE, f"{each.key[1][:80]} cannot be kept: {outcome.reason}", path)
            for each, outcome in zip(file.documents, found, strict=True)
            if isinstance(outcome, Refused)
        ]
        file.outcomes = found


def _row(file: _File, want: Want) -> Tagged:
    if file.reasons:
        return rejected("FileRejected", file.reasons, want, name=file.name)
    of = want.types["FileTaken"].nested.get("documents")
    pairs = zip(file.documents, file.outcomes, strict=True)
    rows = [taken_row(each, outcome, of) for each, outcome in pairs if isinstance(outcome, Outcome)] if of else []
    values = {"name": file.name, "checksum": file.checksum, "documents": rows}
    return Tagged("FileTaken", want.types["FileTaken"].row(values))


@strawberry.type
class FileMutation:
    @linked(
        "Stores the documents of files of a source that reads files, as if they had been put into its folder: the same "
        "document again, in whichever file, changes nothing.",
        submit_files,
        scope=SUBMIT,
        writes=True,
    )
    def submit_files(self, input: Annotated[SubmitFilesInput, argument("The files.")]) -> SubmitFilesPayload | None: ...
