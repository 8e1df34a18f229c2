"""A folder of files, on this machine or behind SFTP, each of which a pure parser turns into documents.

What is read: regular files in the folder and in its subfolders, one level deep (a folder per bank, say). What lies deeper is a problem of
every pull. Left alone are hidden files and folders, names that uploads in progress have (.part, .tmp …), subfolders for what is
finished (done, archive, processed, quarantine, rejected, failed, error), and symbolic links that leave the folder. Documents are facts:
when a file goes away, what it stated stays.

Once: the cursor remembers size, time and checksum of every file, so an unchanged file is not read again, and the same bytes
under another name state nothing new. A document that comes again in other bytes has the same id and replaces itself.

Quarantine: a file that cannot be read is named as a problem of every pull, with its reason, and not tried again before it
changes (or `reader` is another one). While a file that cannot be read is new, it
may still be being written: it is named, but every pull tries it again. New is a file here for 5 seconds from its own time on,
and one behind SFTP, whose clock is not ours, for 60 seconds from when its bytes were first met.

Moving (`when_read` = "move"): files that were read go to the subfolder done, those that cannot be read to quarantine, where they
stay named until somebody takes them away or puts another version into their place. A file is moved after what it states is
stored, and not before it has stood still for 60 seconds: here by its own time, behind SFTP by our clock, in two pulls.
Without it files are never moved or changed.

What `maxAge: 0` guarantees: every file that was complete in the folder when the pull began is in the answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from sources.connectors.files_local import LocalFolder
from sources.connectors.files_place import (
    DONE,
    QUARANTINE,
    UNREADABLE_FILE,
    NotMoved,
    Place,
    UnreadableFolder,
)
from sources.connectors.files_pull import Parse, Pull, Reading, parsed
from sources.connectors.files_sftp import SftpFolder
from sources.connectors.files_states import Remembered, load_cursor
from sources.documents import Document, Page, Payslip
from sources.errors import ConfigurationError, SourceUnavailable

__all__ = ["OPTIONS", "PLACES", "SECRETS", "FilesConnector", "Parse"]

OPTIONS = ("sftp_host_key", "sftp_password", "sftp_private_key", "when_read")
"""The options of every source of files, beside the one of PLACES that says where they are."""
PLACES = ("path", "sftp")
SECRETS = ("sftp_password", "sftp_private_key")

_MOST_REFUSALS = 20
"""So many files that cannot be moved are enough of a pull: the folder is read-only, say."""


class FilesConnector:
    """One folder of files. Constructed without I/O. Raises ConfigurationError.

    `parse` reads one file; `reader`: its version, another one when it learns to read more, so that quarantined files are tried again.
    `path`: the folder on this machine, or `sftp_…`: the one on a server (see `SftpFolder`). `when_read`: "keep" or "move".
    `settle_seconds`: how long a file may be half-written; None: as the place says. `clock`: seconds since the epoch."""

    lists_everything = False
    restated_problems = (UNREADABLE_FILE,)
    """Codes of problems of which every pull names all that there are: one that is not named again is solved."""

    def __init__(
        self,
        *,
        name: str,
        parse: Parse,
        reader: int = 1,
        path: str | Path | None = None,
        sftp: str | None = None,
        sftp_host_key: str | None = None,
        sftp_password: str | None = None,
        sftp_private_key: str | None = None,
        when_read: str = "keep",
        settle_seconds: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self._one_file = asyncio.Lock()
        if when_read not in ("keep", "move"):
            raise ConfigurationError(f'sources.{name}.when_read must be "keep" or "move", not {when_read!r}')
        self._moves = when_read == "move"
        self.waits_for_storing = self._moves
        """Whether a page is to be asked for only when the one before it is stored: then files are moved."""
        if (path is None) == (sftp is None):
            raise ConfigurationError(f"sources.{name} must have one of path and sftp")
        if sftp is None and (sftp_host_key or sftp_password or sftp_private_key):
            raise ConfigurationError(f"sources.{name} has settings of SFTP and no sftp")
        if sftp is not None and not sftp_host_key:
            raise ConfigurationError(f"sources.{name}.sftp_host_key is missing: what ssh-keyscan prints of the server")
        self._place: Place = (
            LocalFolder(path)
            if path is not None
            else SftpFolder(
                name=name,
                url=sftp or "",
                host_key=sftp_host_key or "",
                password=sftp_password,
                private_key=sftp_private_key,
            )
        )
        settle = self._place.settle_seconds if settle_seconds is None else settle_seconds
        self._reading = Reading(name, parse, reader, settle, self._place.settles_by_clock, clock)

    async def pull(self, cursor: str | None) -> AsyncIterator[Page]:
        """Documents of new and changed files, in the order of their names. The last page names every file that cannot be
        read, also those of earlier pulls. Raises SourceUnavailable when the folder cannot be read."""
        remembered = await asyncio.to_thread(load_cursor, cursor)
        async with aclosing(self._pages(remembered)) as pages:
            async for page in pages:
                yield page

    async def restate(self) -> AsyncGenerator[Page, None]:
        """Documents of all files, also those in done and in quarantine, whatever was read before: oldest first, so that of a document
        that came again the last version counts. Nothing is moved; the last page's cursor is where a pull goes on. Raises
        SourceUnavailable."""
        async with aclosing(self._all_pages()) as pages:
            async for page in pages:
                yield page

    async def read_file(self, data: bytes, name: str) -> Sequence[Document]:
        """What a file states that comes another way than through the folder, each document once; one file at a time. Raises
        UnreadableFile."""
        async with self._one_file:
            return await asyncio.to_thread(self._stated, data, name)

    def _stated(self, data: bytes, name: str) -> Sequence[Document]:
        return parsed(self._reading, self._reading.parse, data, name)

    async def fetch_payslips(self, run_external_id: str) -> tuple[Payslip, ...] | None:
        """None: payslips come with their run."""
        return None

    async def close(self) -> None:
        """Releases what a pull that was given up has left."""
        await self.leave()

    async def leave(self) -> None:
        """Releases what one pull holds."""
        await self._place.leave()

    async def _pages(self, remembered: Remembered) -> AsyncGenerator[Page, None]:
        moves = self._moves
        async with self._reached():
            listing = await self._place.find((QUARANTINE,) if moves else ())
            pull = await asyncio.to_thread(Pull, self._reading, remembered, listing)
            async for page in self._read(pull):
                yield replace(page, complete=False, problems=()) if moves else page
            if moves:
                await self._put_away(pull)
                yield await asyncio.to_thread(pull.last_page)

    async def _all_pages(self) -> AsyncGenerator[Page, None]:
        async with self._reached():
            listing = await self._place.find((DONE, QUARANTINE))
            listing.files.sort(key=lambda found: (found.modified, found.name))
            pull = await asyncio.to_thread(Pull, self._reading, Remembered(), listing)
            async for page in self._read(pull):
                yield replace(page, complete=False, problems=())
            pull.forget_done()
            yield await asyncio.to_thread(pull.last_page)

    async def _read(self, pull: Pull) -> AsyncGenerator[Page, None]:
        while True:
            if not pull.has_loads:
                batch = pull.batch()
                pull.take(batch, await self._place.fetch(batch) if batch else {})
            page = await asyncio.to_thread(pull.next_page)
            yield page
            if page.complete:
                return

    @asynccontextmanager
    async def _reached(self) -> AsyncIterator[None]:
        place = self._place
        try:
            yield
        except UnreadableFolder as error:
            raise SourceUnavailable(
                f"The folder {place.shown} of source {self._name} (setting: {place.setting}) cannot be read: {error}."
            ) from error
        finally:
            await self.leave()

    async def _put_away(self, pull: Pull) -> None:
        refused: dict[tuple[str, str], list[str]] = {}
        for found, into in pull.finished():
            try:
                pull.moved(found, await self._place.put_away(found, into))
            except NotMoved as error:
                refused.setdefault((into, str(error)), []).append(found.shown)
            if sum(map(len, refused.values())) >= _MOST_REFUSALS:
                break
        for into, reason in refused:
            pull.not_moved(into, reason, refused[into, reason])
