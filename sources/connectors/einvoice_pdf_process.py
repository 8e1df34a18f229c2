"""Takes the electronic invoice out of PDF files. Run as a program of its own, because a PDF may be made to take any time and memory:
whoever runs it ends it after a time, and it bounds its own memory. It imports nothing of ours.

It reads from standard input, for each PDF, its length in 8 bytes and its bytes. It answers on standard output with one line of
JSON, {"names": […], "sizes": […]} or {"refused": "why"}, and then the bytes of the attachments in their order."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

INVOICE_NAMES = frozenset({"factur-x.xml", "zugferd-invoice.xml", "xrechnung.xml"})
"""How an invoice that is attached to a PDF is called (Factur-X 1.0, 6.2.2; ZUGFeRD 1.0 and 2), in any case."""

ORDER_NAME = "order-x.xml"

_TOO_LARGE = "what is attached to it is far larger than an invoice in a PDF of its size"
_MOST_NODES = 10_000
_MOST_NAMES = 20
_FREE_CONTENT = 8_000_000
_CONTENT_BY_BYTE = 2
_FREE_MEMORY = 64_000_000
_MEMORY_BY_BYTE = 10
_UNKNOWN_BASE = 448_000_000


def serve() -> None:
    """Until the input ends."""
    from pypdf import overwrite_configuration

    base = _own_memory()
    while header := sys.stdin.buffer.read(8):
        size = int.from_bytes(header, "big")
        _bound_memory(base + _FREE_MEMORY + _MEMORY_BY_BYTE * size)
        data = sys.stdin.buffer.read(size)
        most = _FREE_CONTENT + _CONTENT_BY_BYTE * size
        overwrite_configuration(
            maximum_declared_stream_length=size,
            zlib_maximum_output_length=most,
            lzw_maximum_output_length=most,
            run_length_maximum_output_length=most,
            disable_legacy_handling=True,
        )
        try:
            found = _invoices(data, most)
            answer: dict[str, Any] = {"names": [name for name, _ in found], "sizes": [len(each) for _, each in found]}
        except _Refused as refused:
            found, answer = [], {"refused": str(refused)}
        except MemoryError:
            found, answer = [], {"refused": "it takes more memory than a PDF of its size may"}
        except Exception as error:  # pypdf raises whatever a broken file makes it stumble over
            found, answer = [], {"refused": f"it cannot be read as a PDF ({type(error).__name__})"}
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + b"".join(each for _, each in found))
        sys.stdout.buffer.flush()


class _Refused(Exception):
    pass


def _own_memory() -> int:
    """Bytes of address space that it has before it reads anything."""
    try:
        with open("/proc/self/statm") as told:
            return int(told.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):  # other systems have no such file
        return _UNKNOWN_BASE


def _bound_memory(bound: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such bound
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (bound if hard == resource.RLIM_INFINITY else min(bound, hard), hard))


def _invoices(data: bytes, most: int) -> list[tuple[str, bytes]]:
    """The attachments that are invoices by their names, each content once. `most`: bytes that all of them may have."""
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise _Refused("it is encrypted: put it there without a password")
    attached = list(_attached(reader.root_object))
    found: dict[bytes, str] = {}
    for name, embedded in attached:
        if name.lower() in INVOICE_NAMES:
            found.setdefault(_content(embedded, most), name)
            if sum(map(len, found)) > most:
                raise _Refused(_TOO_LARGE)
    if not found:
        raise _Refused(_without([name for name, _ in attached]))
    return [(name, content) for content, name in found.items()]


def _without(names: list[str]) -> str:
    if any(name.lower() == ORDER_NAME for name in names):
        return "it is a PDF of an order (order-x.xml), and no invoice"
    if not names:
        return "it is a PDF without an electronic invoice: nothing is attached to it (factur-x.xml, zugferd-invoice.xml, xrechnung.xml)"
    shown = ", ".join(names[:_MOST_NAMES])
    return f"it is a PDF without an electronic invoice (factur-x.xml, zugferd-invoice.xml, xrechnung.xml): attached are {shown}"


def _attached(catalog: Any) -> Iterator[tuple[str, Any]]:
    """Every file specification of the document, with its name: those of the name tree, then those associated with the document."""
    names = _get(catalog, "/Names")
    waiting = [_get(names, "/EmbeddedFiles")]
    for _ in range(_MOST_NODES):
        if not waiting:
            break
        node = waiting.pop()
        pairs = _list(node, "/Names")
        for key, value in zip(pairs[::2], pairs[1::2], strict=False):
            yield _name(value, key), value
        waiting += _list(node, "/Kids")
    else:
        raise _Refused("its list of attachments does not end")
    for value in _list(catalog, "/AF"):
        yield _name(value, ""), value


def _get(holder: Any, key: str) -> Any:
    value = holder.get(key) if isinstance(holder, dict) else None
    return value.get_object() if value is not None else None


def _list(holder: Any, key: str) -> list[Any]:
    value = _get(holder, key)
    return [each.get_object() for each in value[:_MOST_NODES]] if isinstance(value, list) else []


def _name(specification: Any, key: Any) -> str:
    stated = _get(specification, "/UF") or _get(specification, "/F") or key
    return "".join(each for each in str(stated)[:200] if each.isprintable())


def _content(specification: Any, most: int) -> bytes:
    files = _get(specification, "/EF")
    stream = next((each for key in ("/UF", "/F") if hasattr(each := _get(files, key), "get_data")), None)
    if stream is None:
        raise _Refused("its attachment is named, and is not in it")
    content: bytes = stream.get_data()
    if len(content) > most:
        raise _Refused(_TOO_LARGE)
    return content


if __name__ == "__main__":
    serve()
