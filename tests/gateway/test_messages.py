"""Messages that are made once for all readers, as whole frames."""

from __future__ import annotations

import json

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from gateway.messages import message_of, next_of
from gateway.requests import Results

IDS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=255)
BODIES = st.lists(st.sampled_from([0, 1, 80, 125, 126, 300, 65_400, 65_536, 70_000]), min_size=1, max_size=4)


def frames(data: bytes) -> list[Frame]:
    """What another implementation of the protocol reads of a server's bytes."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    found = []
    while True:
        at_end = reader.at_eof()
        try:
            next(at_end)
        except StopIteration as end:
            if end.value:
                return found
        parsing = Frame.parse(reader.read_exact, mask=False)
        try:
            next(parsing)
        except StopIteration as end:
            found.append(end.value)


@settings(max_examples=60, deadline=None)
@given(ids=st.lists(IDS, min_size=1, max_size=6), sizes=BODIES)
def test_next_messages_are_whole_frames_with_the_operations_id(ids: list[str], sizes: list[int]) -> None:
    """Of results of any length and ids of any characters: each reader gets its own id and the same payloads, in order."""
    bodies = [orjson.dumps({"data": f"é{number}" + "x" * size}) for number, size in enumerate(sizes)]
    results = Results(bodies)
    for id_ in [*ids, *ids]:
        found = frames(next_of(results, json.dumps(id_).encode()))
        assert all(frame.opcode is Opcode.TEXT and frame.fin for frame in found)
        assert [json.loads(frame.data) for frame in found] == [
            {"type": "next", "id": id_, "payload": json.loads(body)} for body in bodies
        ]


def test_what_is_kept_with_results_is_bounded() -> None:
    """Clients choose ids: however many lengths there are, frames for few are kept."""
    results = Results([b"{}"])
    for length in range(1, 200):
        next_of(results, b'"' + b"x" * length + b'"')
    assert len(results.made) <= 4


def test_other_messages_are_frames_too() -> None:
    (frame,) = frames(message_of("error", "1", [{"message": "no"}]))
    assert json.loads(frame.data) == {"type": "error", "id": "1", "payload": [{"message": "no"}]}
