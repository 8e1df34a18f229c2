"""The text of an OFX file, SGML (1.x) or XML (2.x), as elements. No meaning yet.

One reader for both forms: in SGML an element with a value need not end, which no XML parser takes, and of what an XML parser could do
beyond it nothing is wanted: there are no document types, no entities of a file's own, nothing is fetched. The file is not built up as a
tree, so memory does not grow with it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

from sources.connectors.files_values import UnreadableFile, quote, text_codec

_MAX_DEPTH = 64
_MAX_VALUE = 100_000
_HEAD = 4_096
_START = re.compile(rb"[\s\xef\xbb\xbf]*(?:OFXHEADER[ \t]*:|(?:<\?[^>]*>\s*)*<(?:\?OFX|OFX[\s>]))", re.IGNORECASE)
_MARK = re.compile(rb"<(?:(/?)([A-Za-z][A-Za-z0-9._]*)(?:\s[^<>]*)?/?>|!\[CDATA\[|!--|!DOCTYPE|!ENTITY)")
_CHARSET = re.compile(rb"CHARSET[ \t]*:[ \t]*([A-Za-z0-9_-]+)", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"<\?xml[^>]*encoding=[\"']([A-Za-z0-9_-]+)", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#([0-9]{1,7})|#[xX]([0-9A-Fa-f]{1,6})|(lt|gt|amp|quot|apos|nbsp));")
_ENTITIES = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'", "nbsp": " "}
VALUES = frozenset(
    [
        "TRNTYPE",
        "DTPOSTED",
        "DTUSER",
        "DTAVAIL",
        "DTTRAN",
        "DTEXPIRE",
        "TRNAMT",
        "FITID",
        "CORRECTFITID",
        "CORRECTACTION",
        "SRVRTID",
        "CHECKNUM",
        "REFNUM",
        "SIC",
        "PAYEEID",
        "NAME",
        "EXTDNAME",
        "MEMO",
        "CURSYM",
        "CURRATE",
        "CURDEF",
        "BANKID",
        "BRANCHID",
        "ACCTID",
        "ACCTTYPE",
        "ACCTKEY",
        "DTSTART",
        "DTEND",
        "BALAMT",
        "DTASOF",
        "CODE",
        "SEVERITY",
        "MESSAGE",
        "TRNUID",
        "CLTCOOKIE",
        "DTSERVER",
        "LANGUAGE",
        "ORG",
        "FID",
        "MKTGINFO",
        "INTU.BID",
        "INTU.USERID",
    ]
)
"""What has a value: without one it is empty, although in SGML it looks like the beginning of what follows it."""
_ALONE = frozenset(
    ("STMTTRN", "STMTTRNP", "STMTRS", "CCSTMTRS", "STMTTRNRS", "CCSTMTTRNRS", "BANKTRANLIST", "LEDGERBAL", "AVAILBAL")
)
"""What never stands within itself: its beginning ends the one before."""
_WESTERN = ("ascii", "utf-8", "cp1252", "iso8859-1")


@dataclass(frozen=True, slots=True)
class Begin:
    """An element that has others in it, or is empty. `at`: where in the file."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Leaf:
    """An element with a value."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class End:
    """The end of an element that has others in it. `at`: behind it."""

    name: str
    at: int


def is_ofx(data: bytes) -> bool:
    """Whether the beginning of a file is OFX's."""
    return _START.match(data[:_HEAD].removeprefix(codecs.BOM_UTF16_LE).replace(b"\0", b"")) is not None


def plain_bytes(data: bytes) -> bytes:
    """The file in an encoding whose marks are those of ASCII."""
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return data.decode("utf-16", "replace").encode()
    return data


class Decoder:
    """Decodes what stands in a file, by its header. UTF-8 that calls itself something western is frequent, and told by its bytes."""

    def __init__(self, data: bytes) -> None:
        head = data[:_HEAD]
        stated = _XML_ENCODING.search(head) or _CHARSET.search(head)
        self._codec = _codec(stated[1].decode() if stated else "1252")
        self._utf8_first = self._codec in _WESTERN

    def text(self, part: bytes) -> str:
        if self._utf8_first:
            try:
                return part.decode()
            except UnicodeDecodeError:
                pass
        return part.decode(self._codec if self._codec not in ("ascii", "utf-8") else "cp1252", "replace")

    def value(self, part: bytes) -> str:
        """As `text`, with entities as the characters that they stand for and without blanks around it."""
        text = self.text(part).strip()
        return _ENTITY.sub(_character, text) if "&" in text else text


def read_elements(data: bytes, decoder: Decoder) -> Iterator[Begin | Leaf | End]:
    """The elements of a file, in their order. An end of what has no other elements in it is left out. Raises UnreadableFile."""
    open_names: list[str] = []
    for close, name, value, begin, end in _marks(data):
        if close:
            if name in open_names:
                while (ended := open_names.pop()) != name:
                    yield End(ended, begin)
                yield End(name, end)
        elif value is not None:
            yield Leaf(name, decoder.value(value))
        elif name not in VALUES:
            while name in _ALONE and name in open_names:
                yield End(open_names.pop(), begin)
            if len(open_names) >= _MAX_DEPTH:
                raise UnreadableFile(f"its elements are nested deeper than {_MAX_DEPTH}, or do not end: {quote(name)}")
            open_names.append(name)
            yield Begin(name, begin)
    if "OFX" in open_names:
        raise UnreadableFile("it ends without </OFX>: it was cut off")


def _marks(data: bytes) -> Iterator[tuple[bool, str, bytes | None, int, int]]:
    """Whether it is an end, its name, the value (None without one), where it begins and ends. An empty element is an element
    without a value and, at once, its end."""
    match = _MARK.search(data)
    while match is not None:
        if match[2] is None:
            match = _MARK.search(data, _behind(data, match))
            continue
        here, value, at = match, bytearray(), match.end()
        while True:
            match = _MARK.search(data, at)
            value += data[at : match.start() if match else len(data)]
            if match is None or match[2] is not None:
                break
            at = _behind(data, match)
            if match[0] == b"<![CDATA[":
                value += _escaped(data[match.end() : min(at - 3, match.end() + _MAX_VALUE + 1)])
        name = here[2].upper().decode()
        if here[1]:
            yield True, name, None, here.start(), here.end()
        else:
            stated = _bounded(name, bytes(value).strip())
            yield False, name, stated or None, here.start(), here.end()
            if here[0].endswith(b"/>") and not stated:
                yield True, name, None, here.start(), here.end()


def _behind(data: bytes, match: re.Match[bytes]) -> int:
    """Where a comment or a piece of plain text ends. Raises UnreadableFile."""
    end = {b"<![CDATA[": b"]]>", b"<!--": b"-->"}.get(match[0])
    if end is None:
        raise UnreadableFile(
            "it has a document type or an entity of its own, which no statement has and which can do harm"
        )
    at = data.find(end, match.end())
    if at < 0:
        raise UnreadableFile(f"it has {match[0].decode()} without its end: it was cut off")
    return at + 3


def _bounded(name: str, value: bytes) -> bytes:
    """A value that is read has to be one; of others the beginning will do. Raises UnreadableFile."""
    if len(value) > _MAX_VALUE and name in VALUES:
        raise UnreadableFile(f"{name} has more than {_MAX_VALUE} characters")
    return value[:_MAX_VALUE]


def _escaped(text: bytes) -> bytes:
    return text.replace(b"&", b"&amp;")


def _codec(charset: str) -> str:
    """Python's name; of what nobody knows, of NONE and of a bare code page the western one."""
    if charset.upper() in ("NONE", "USASCII"):
        return "cp1252"
    for name in (charset, f"cp{charset}"):
        found = text_codec(name)
        if found is not None and not found.startswith(("utf-16", "utf-32")):
            return found
    return "cp1252"


def _character(match: re.Match[str]) -> str:
    if match[3]:
        return _ENTITIES[match[3]]
    number = int(match[1]) if match[1] else int(match[2], 16)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else ""
