"""Messages: any K of N bring a content back, whatever happened to the others; damage and mixtures are refused."""

import json
import os
import random
import sys
import time
import zlib
from pathlib import Path

import pytest
import reference_messages
from hypothesis import given, settings
from hypothesis import strategies as st

import mcmcodec
from mcmcodec.bitstream import container, envelope, stripped
from mcmcodec.bitstream.messages import MAX_NEEDED, OVERHEAD, Message, gather, spares, split
from mcmcodec.errors import FormatError, InputError, ModelError, UsageError

ROOT = Path(mcmcodec.__file__).parents[1]
VECTORS = json.loads((ROOT / "formats" / "messages.json").read_text(encoding="utf-8"))
FILES = sorted((ROOT / "formats" / "vectors").glob("*.mcm"))

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))
import radio  # noqa: E402

contents = st.binary(min_size=1, max_size=300)
streams = st.integers(0, 0xFFFF)


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_vectors(vector: dict[str, object]) -> None:
    content, stream = bytes.fromhex(str(vector["content"])), int(str(vector["stream"]), 16)
    expected = [bytes.fromhex(one) for one in vector["messages"]]  # type: ignore[attr-defined]
    first = Message.unpack(expected[0])
    assert first is not None
    spare = len(expected) - first.needed
    size = int(str(vector["size"]))
    assert split(content, stream, size, spare / first.needed) == expected
    assert reference_messages.split(content, stream, size, spare) == expected
    (found,) = gather(expected)
    assert (found.content(), found.stream) == (content, stream)


@settings(deadline=None, max_examples=60)
@given(contents, streams, st.integers(OVERHEAD + 3, 120), st.sampled_from((0.0, 0.3, 1.0, 9.0)), st.randoms())
def test_any_messages_bring_the_content_back(
    content: bytes, stream: int, size: int, redundancy: float, rng: random.Random
) -> None:
    sent = split(content, stream, size, redundancy)
    first = Message.unpack(sent[0])
    assert first is not None
    assert all(len(one) == len(sent[0]) <= size for one in sent)
    assert b"".join(one[OVERHEAD:] for one in sent[: first.needed]).startswith(content)
    rng.shuffle(sent)
    (found,) = gather(sent[: rng.randint(first.needed, len(sent))] + sent[:1])
    assert found.complete and found.content() == content and found.stream == stream


@settings(deadline=None, max_examples=20)
@given(st.binary(min_size=1, max_size=60), streams, st.integers(OVERHEAD + 6, 30), st.randoms())
def test_the_reference_agrees(content: bytes, stream: int, size: int, rng: random.Random) -> None:
    sent = split(content, stream, size, 1.0)
    needed = (sent[0][0] & 127) + 1
    assert reference_messages.split(content, stream, size, len(sent) - needed) == sent
    assert reference_messages.join(rng.sample(sent, needed)) == (content, stream)


@pytest.mark.parametrize("end", [b"", b"\0", b"\x80", b"\x80\0\0", b"\0" * 40])
@pytest.mark.parametrize("length", [1, 7, 8, 9, 63, 64, 65])
def test_padding_is_exact(length: int, end: bytes) -> None:
    content = bytes(range(length)) + end
    for size in (5, 6, 12, 13, 40):
        if len(content) > MAX_NEEDED * (size - OVERHEAD):
            continue
        sent = split(content, 7, size, 0.5)
        needed = (sent[0][0] & 127) + 1
        assert gather(sent[-needed:])[0].content() == content


def test_as_many_spare_messages_as_asked_for() -> None:
    def count(redundancy: float, content: bytes = bytes(100)) -> int:
        return len(split(content, 0, 14, redundancy)) - 10

    assert [count(share) for share in (0, 0.01, 0.1, 0.3, 0.31, 1.0)] == [0, 1, 1, 3, 4, 10]
    assert count(9.0) == spares(10) == 18
    assert len(split(bytes(128 * 10), 0, 14, 9.0)) == 255
    assert len(split(b"x", 0, 14, 9.0)) == 1 + spares(1) == 10


@pytest.mark.parametrize("kept", range(5))
def test_too_few_give_the_beginning(kept: int) -> None:
    content = os.urandom(50)
    sent = split(content, 1, 14, 1.0)
    found = gather([*sent[:kept], *sent[6 : 6 + 4 - kept]])
    assert found[0].beginning() == content[: 10 * kept]
    assert not found[0].complete
    with pytest.raises(FormatError, match="4 of 5 messages that are needed have arrived; get more of them"):
        found[0].content()


def test_the_beginning_of_all_is_all_but_padding() -> None:
    content = bytes(range(49))
    assert gather(split(content, 1, 14))[0].beginning() == content


def test_damaged_messages_stand_alone() -> None:
    sent = split(os.urandom(100), 0x1234, 24, 0.5)
    rng = random.Random(0)
    for _ in range(500):
        at = rng.randrange(len(sent))
        hurt = radio.damage(rng, sent[at])
        others = [one for index, one in enumerate(sent) if index != at]
        found = gather([hurt, *others])
        assert found[0].payloads.keys() == {index for index in range(len(sent)) if index != at}
        assert all(one.stream != 0x1234 or len(one.payloads) == 1 for one in found[1:])


def test_every_burst_of_damage_is_noticed() -> None:
    # what a CRC promises: any burst of up to 16 bits
    (message,) = split(os.urandom(40), 0x1234, 50)
    for start in range(8 * len(message) - 16):
        for pattern in (1, 3, 0x8001, 0xFFFF, 0xA5A5):
            flipped = int.from_bytes(message, "big") ^ pattern << start
            found = Message.unpack(flipped.to_bytes(len(message), "big"))
            assert found is None or found.stream != 0x1234 or found.key[1:3] != (1, False)


def test_the_check_of_a_single_message_is_not_the_check_of_the_file() -> None:
    # With one polynomial for both, an error would change checksum and identifier alike and cancel out.
    data = FILES[0].read_bytes()
    content, stream = stripped.strip(data)
    (message,) = split(content, stream, len(content) + OVERHEAD)
    for bit in range(8 * OVERHEAD, 8 * len(message)):
        hurt = bytearray(message)
        hurt[bit // 8] ^= 1 << bit % 8
        (found,) = gather([bytes(hurt)])
        with pytest.raises((FormatError, ModelError)):
            envelope.file_of(found)


def test_contradicting_messages_are_both_lost() -> None:
    content = os.urandom(30)
    sent = split(content, 5, 14, 1.0)
    first = Message.unpack(sent[0])
    assert first is not None
    forged = Message(first.needed, first.padded, 0, first.stream, bytes(10)).pack()
    for order in ([sent[0], forged, sent[0]], [forged, sent[0]]):
        (found,) = gather([*order, *sent[1:]])
        assert found.contradicted == {0} and 0 not in found.payloads
        assert found.content() == content
    (found,) = gather([sent[0], forged, *sent[1:3]])
    assert not found.complete
    assert gather([sent[0], forged]) == []


def test_a_forged_message_among_more_than_enough_is_noticed() -> None:
    sent = split(os.urandom(30), 5, 14, 1.0)
    first = Message.unpack(sent[0])
    assert first is not None
    forged = Message(first.needed, first.padded, 1, first.stream, bytes(10)).pack()
    (found,) = gather([forged, *sent[2:]])
    with pytest.raises(FormatError, match="do not belong together"):
        found.content()


@pytest.mark.parametrize("end", [b"no mark", b"\0" * 10, b"\x80" + b"\0" * 9])
def test_wrong_padding_is_refused(end: bytes) -> None:
    content = os.urandom(20) + end[-10:].rjust(10, b"x")
    parts = [Message(3, True, at // 10, 9, content[at : at + 10]).pack() for at in (0, 10, 20)]
    with pytest.raises(FormatError, match="0009 do not belong together"):
        gather(parts)[0].content()


@given(st.lists(st.binary(max_size=40), max_size=30))
def test_anything_can_be_gathered(received: list[bytes]) -> None:
    for stream in gather(received):
        assert 1 <= stream.needed <= MAX_NEEDED and stream.payloads
        assert all(index < stream.needed + spares(stream.needed) for index in stream.payloads)
        stream.beginning() if not stream.padded else None
        if stream.complete:
            try:
                stream.content()
            except FormatError:
                continue


def test_no_count_costs_memory_or_time() -> None:
    received = [bytes((0x7F, number)) + bytes(2) + os.urandom(64) for number in range(255)] * 40
    start = time.process_time()
    found = gather(received)
    # some of so many have an identifier in common
    assert 200 < len(found) <= 255 and not any(stream.complete for stream in found)
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("content", "size", "redundancy", "error", "text"),
    [
        (b"", 100, 0, InputError, "there is nothing to send; "),
        (b"x", 4, 0, UsageError, "messages of 4 bytes hold nothing but their 4 bytes of overhead; "),
        (b"x", 100, -0.1, UsageError, "a redundancy of -10 % is not from 0 to 900 %; "),
        (b"x", 100, 9.5, UsageError, "a redundancy of 950 % is not from 0 to 900 %; "),
        (b"x" * 1281, 14, 0, InputError, "1281 bytes do not fit into 128 messages of 14 bytes; make the file smaller"),
    ],
)
def test_what_cannot_be_split(content: bytes, size: int, redundancy: float, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        split(content, 0, size, redundancy)
    assert str(caught.value).startswith(text)
    assert split(b"x" * 1280, 0, 14)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_come_back_in_seven_bytes_less(path: Path) -> None:
    data = path.read_bytes()
    content, stream = stripped.strip(data)
    assert len(content) == len(data) - 7
    assert data[-4:-2] == stream.to_bytes(2, "little")
    assert stripped.restore(content, stream) == data


def test_damaged_files_are_not_sent() -> None:
    data = bytearray(FILES[0].read_bytes())
    data[-5] ^= 1
    with pytest.raises(FormatError, match="checksum is wrong"):
        stripped.strip(bytes(data))
    with pytest.raises(FormatError, match="not an .mcm file"):
        stripped.strip(b"\x89PNG\r\n\x1a\n" + bytes(40))


def test_the_wrong_identifier_and_unknown_models_are_refused() -> None:
    content, stream = stripped.strip(FILES[0].read_bytes())
    with pytest.raises(FormatError, match="checksum is wrong: the messages do not belong together"):
        stripped.restore(content, stream ^ 1)
    header, payload = container.Header(16, 16, 4021, 0, 50, 255), b"abc"
    foreign = container.pack(header, payload, bytes(32))
    with pytest.raises(ModelError, match="needs model 4021"):
        stripped.restore(foreign[3:-4], container.crc_of(foreign) & 0xFFFF)
    assert zlib.crc32(foreign[:-4], zlib.crc32(bytes(32))) == container.crc_of(foreign)


def test_a_beginning_is_padded_by_what_readers_of_cut_files_leave() -> None:
    data = radio.some_file(random.Random(0), 90)
    sent = split(*stripped.strip(data), 40)
    (found,) = gather(sent[:2])
    assert stripped.restore_beginning(found) == data[: 3 + 2 * len(sent[0][OVERHEAD:])] + bytes(3)
    (found,) = gather(sent[1:2])
    with pytest.raises(FormatError, match="the first message is missing"):
        stripped.restore_beginning(found)
    with pytest.raises(FormatError):
        stripped.restore_beginning(gather([Message(2, False, 0, 0, b"no header").pack()])[0])


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_frames(received: list[bytes]) -> None:
    assert list(envelope.messages_in(envelope.to_frames(received)))[: len(received)] == received


@pytest.mark.parametrize(
    ("data", "frames"),
    [
        (b"\xc0\0ab\xc0\xc0\0cd\xc0", [b"ab", b"cd"]),
        (b"\xc0\xc0\xc0\0ab\xc0\0cd\xc0", [b"ab", b"cd"]),
        (b"rubbish\xc0\0a\xdb\xdcb\xdb\xdd\xc0", [b"a\xc0b\xdb"]),
        (b"\xc0\x01\x20\xc0\xc0\0ab\xc0", [b"ab"]),
        (b"\xc0\0a\xdbb\xc0\xc0\0cd\xc0", [b"cd"]),
        (b"\xc0\0a\xdb\xc0\xc0\0cd\xc0", [b"cd"]),
    ],
)
def test_frames_of_serial_lines(data: bytes, frames: list[bytes]) -> None:
    assert list(envelope.messages_in(data)) == [*frames, data]


def test_rounds_over_a_bad_radio_link() -> None:
    total = sum((radio.one_round(random.Random(number)) for number in range(60)), start=radio.Counter())
    assert min(total[what] for what in ("recovered", "recovered by spare messages", "refused", "beginnings")) >= 5


def test_the_decoder_does_not_need_the_library_when_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reedsolo", None)
    sent = split(bytes(100), 3, 24)
    assert gather(sent)[0].content() == bytes(100)


def test_overhead_is_what_is_promised() -> None:
    assert [len(one) - 20 for one in split(bytes(60), 3, 24)] == [4, 4, 4]
    assert spares(1) == 9 and spares(128) == 127
