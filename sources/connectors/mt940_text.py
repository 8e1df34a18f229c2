"""The text of an MT940 or MT942 file as messages and fields, with the lines that they stand on. No meaning yet.

Kept here rather than left to the library `mt-940`, which merges the messages of a file into one, drops the text block's
end, and cannot say where something stands."""

from __future__ import annotations

import re
import sys
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from sources.connectors.files_values import Memory, UnreadableFile

_HEAD_TAGS = frozenset({"13", "13D", "21", "25", "25P", "28", "28C", "34", "34F"})
_ENTRY_TAGS = frozenset({"61", "86"})
_BALANCE_TAGS = frozenset({"60", "60F", "60M", "62", "62F", "62M", "64", "65", "90", "90C", "90D"})
_TAGS = _HEAD_TAGS | _ENTRY_TAGS | _BALANCE_TAGS | {"20", "NS"}
_FIELD = re.compile(r":([0-9]{2}[A-Z]?|NS):(.*)")
_END = re.compile(r"-(?:\}.*|[A-Z]{3})?")
_MESSAGE_TYPE = re.compile(r"\{2:[IO]([0-9]{3})")
_CONTROLS = {code: None for code in (*range(32), 127) if code != 9}
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
FIELD_MEMORY = 190
"""Bytes that a field takes, without its text."""
_LINE_MEMORY = 80
_PLAUSIBLE = frozenset("€§°£–’´")


@dataclass(frozen=True, slots=True)
class Field:
    """`value`: its lines joined by newlines. `line`: where it begins, counted from 1."""

    tag: str
    value: str
    line: int

    @property
    def where(self) -> str:
        return f"line {self.line} (:{self.tag}:)"


@dataclass(slots=True)
class Message:
    """One MT940 or MT942. `type`: "940", "942" … where a SWIFT header names it. `weight`: what was taken of the file's memory for it."""

    line: int
    type: str | None = None
    weight: int = 0
    fields: list[Field] = field(default_factory=list)

    def first(self, *tags: str) -> Field | None:
        """The first field of any of these tags."""
        return next((found for found in self.fields if found.tag in tags), None)

    def all(self, *tags: str) -> list[Field]:
        return [found for found in self.fields if found.tag in tags]

    def take_entries(self) -> Iterator[tuple[Field, list[Field]]]:
        """Each :61: with the :86: fields that follow it directly. They are taken from the message one by one, because a file may
        hold hundred thousands; its other fields stay."""
        left, self.fields = self.fields, []
        left.reverse()
        while left:
            found = left.pop()
            if found.tag != "61":
                self.fields.append(found)
                continue
            details = []
            while left and left[-1].tag == "86":
                details.append(left.pop())
            yield found, details


def decode(data: bytes) -> str:
    """UTF-8 or UTF-16 with its mark where the bytes are, else Windows-1252 or, where that gives signs in place of
    letters, code page 852 (banks of Central Europe)."""
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        western = data.decode("cp1252", "replace")
    high = {character: times for character, times in Counter(western).items() if ord(character) > 127}
    letters = sum(times for character, times in high.items() if character.isalpha() or character in _PLAUSIBLE)
    return western if letters * 2 >= sum(high.values()) else data.decode("cp852")


def is_mt940(text: str) -> bool:
    """Whether text has a field that only these messages have."""
    return any((match := _FIELD.match(line)) and match[1] in _TAGS - {"NS"} for line in _split(text))


def split_messages(text: str, memory: Memory) -> Iterator[Message]:
    """The messages of a file in its order, one by one. A message begins at :20:, at a second :25:, or at any field after the end of
    the one before ("-" on a line of its own). Raises UnreadableFile when there is none."""
    splitter = _Splitter(memory)
    none = True
    for number, line in _lines(text):
        splitter.add(number, line)
        while splitter.messages and splitter.has_ended(splitter.messages[0]):
            none = False
            yield splitter.messages.popleft()
    splitter.end_message()
    if none and not splitter.messages:
        raise UnreadableFile("it has no field of an MT940 or MT942 message, such as :20: or :25:")
    yield from splitter.messages


def _split(text: str) -> Iterator[str]:
    """The lines, without control characters and their ends. Line by line: a file is not in memory a second time."""
    for match in _LINE.finditer(text):
        yield match[0].translate(_CONTROLS)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers. Two kinds of damage are mended: a colon parted from its tag, and a tag that stands on the
    line of the SWIFT header."""
    carried = ""
    for number, raw in enumerate(_split(text), 1):
        line = carried + raw.rstrip()
        carried = ""
        if line == ":":
            carried = line
            continue
        header, brace, rest = line.partition("{4:")
        if brace:
            yield number, header + brace
            line = rest
        if line:
            yield number, line


class _Splitter:
    def __init__(self, memory: Memory) -> None:
        self.messages = deque[Message]()
        self._memory = memory
        self._message: Message | None = None
        self._type: str | None = None
        self._open: tuple[str, int, list[str]] | None = None
        self._among_entries = False

    def has_ended(self, message: Message) -> bool:
        """Whether nothing more can belong to it."""
        return message is not self._message

    def add(self, number: int, line: str) -> None:
        match = _FIELD.match(line)
        if match and match[1] in _TAGS and not self._is_text(match[1], match[2]):
            self._begin_field(number, match[1], match[2])
        elif _END.fullmatch(line):
            self.end_message()
        elif line.startswith("{"):
            self.end_message()
            found = _MESSAGE_TYPE.search(line)
            self._type = found[1] if found else None
        elif self._open:
            self._weigh(_LINE_MEMORY, "lines")
            self._open[2].append(line)

    def end_message(self) -> None:
        self._end_field()
        self._message = None
        self._among_entries = False

    def _is_text(self, tag: str, value: str) -> bool:
        """Whether what looks like a field is a line of an entry's text: "13" at the end of a line and ":12:11" on the next
        are a time of day. Fields of a message's head cannot follow entries before the closing balance."""
        if not self._among_entries or not self._open:
            return False
        if tag == "20":
            return bool(re.search(r"[0-9]{2}$", self._open[2][-1]) and re.match(r"[0-9]{2}(?![0-9])", value))
        return tag in _HEAD_TAGS

    def _begin_field(self, number: int, tag: str, value: str) -> None:
        self._end_field()
        again = tag.startswith("25") and self._message and self._message.first("25", "25P")
        if self._message is None or tag == "20" or again:
            self._message = Message(number, self._type)
            self._among_entries = False
            self.messages.append(self._message)
        self._weigh(FIELD_MEMORY, "fields")
        self._open = (tag, number, [value])
        self._among_entries = tag == "61" or (self._among_entries and tag in _ENTRY_TAGS)

    def _weigh(self, size: int, what: str) -> None:
        self._memory.take(size, what)
        if self._message is not None:
            self._message.weight += size

    def _end_field(self) -> None:
        if self._open and self._message:
            tag, number, lines = self._open
            self._message.fields.append(Field(sys.intern(tag), "\n".join(lines).strip(), number))
        self._open = None
