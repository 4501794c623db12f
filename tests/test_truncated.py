"""Files that were cut short: nothing is made up, and the more bytes came, the better the picture is."""

from __future__ import annotations

import numpy as np
import pytest
from models import smooth_noise

from mcmcodec.bitstream import container
from mcmcodec.bitstream.file import open_file
from mcmcodec.codec import Codec, symbols
from mcmcodec.entropy.rangecoder import RangeDecoder, RangeEncoder, Table, TruncationError
from mcmcodec.entropy.truncated import TruncatedDecoder
from mcmcodec.errors import FormatError


def picture() -> np.ndarray:
    return smooth_noise(80, 96, seed=3)


def message(seed: int) -> tuple[bytes, list[int], list[Table]]:
    """A payload, its symbols, and the table of each."""
    rng = np.random.default_rng(seed)
    tables = [Table.from_weights(rng.integers(0, 1000, rng.integers(2, 40)) + 1) for _ in range(5)]
    which = [tables[i] for i in rng.integers(0, 5, 60)]
    values = [int(rng.integers(0, table.size)) for table in which]
    encoder = RangeEncoder()
    for value, table in zip(values, which, strict=True):
        encoder.symbol(value, table)
    return encoder.finish(), values, which


def read(decoder: RangeDecoder, tables: list[Table]) -> list[int]:
    found: list[int] = []
    try:
        for table in tables:
            found.append(decoder.symbol(table))
    except TruncationError:
        pass
    return found


@pytest.mark.parametrize("seed", range(5))
def test_certain_symbols_are_exactly_those_that_no_continuation_changes(seed: int) -> None:
    payload, values, tables = message(seed)
    rng = np.random.default_rng(seed)
    for size in range(len(payload)):
        start = payload[:size]
        certain = read(TruncatedDecoder(start), tables)
        assert certain == values[: len(certain)]
        others = []
        for more in (b"", b"\xff" * 40, *(rng.bytes(20) for _ in range(20))):
            try:
                others.append(read(RangeDecoder(start + more), tables))
            except FormatError:
                others.append(certain)
        assert all(other[: len(certain)] == certain for other in others)
        at = len(certain)
        zeros, ones = (read_one(start + more, tables[: at + 1]) for more in (b"", b"\xff" * 40))
        assert at == len(values) or zeros != ones, "one more symbol would have been certain"


def read_one(data: bytes, tables: list[Table]) -> int:
    """The last of the symbols; -1 where the data is such as no encoder writes."""
    try:
        return read(RangeDecoder(data), tables)[-1]
    except FormatError:
        return -1


def test_many_at_once_is_as_one_by_one() -> None:
    rng = np.random.default_rng(1)
    table = Table.from_weights([5, 1, 30, 9])
    values = rng.integers(0, 4, 200)
    encoder = RangeEncoder()
    encoder.symbols(values, table)
    payload = encoder.finish()
    for size in range(len(payload)):
        single = read(TruncatedDecoder(payload[:size]), [table] * 200)
        together = TruncatedDecoder(payload[:size])
        with pytest.raises(TruncationError) as caught:
            together.symbols(200, table)
        assert caught.value.values.tolist() == single == values[: len(single)].tolist()
        with pytest.raises(TruncationError):
            together.bits(3)


@pytest.mark.parametrize(
    "options", [{"mask": "rd"}, {"mask": "none"}, {"keep": 0.4}, {"keep": 0.5, "caption": "a disc"}]
)
def test_every_cut_shows_what_came(tiny_codec: Codec, options: dict[str, object]) -> None:
    data = tiny_codec.encode(smooth_noise(48, 64, seed=3), quality=80, **options)  # type: ignore[arg-type]
    header, start = container.parse_header(data)
    whole = symbols(data)
    correct = []
    for size in range(start + container.CRC_SIZE, len(data) + 1):
        try:
            partial = open_file(data[:size], allow_truncated=True).symbols()[0]
        except FormatError as error:
            assert header.caption and "before the picture begins; get more of the file" in str(error)
            continue
        correct.append(int((partial.v_hat == whole.v_hat).sum()))
        assert not (partial.mask & ~whole.mask).any()
    assert correct[-1] == whole.v_hat.size > correct[0]
    assert np.mean(np.diff(correct) >= 0) > 0.8, "more bytes, more right numbers"


def test_quality_rises(tiny_codec: Codec) -> None:
    image = picture()
    data = tiny_codec.encode(image, quality=90)
    errors = [
        float(np.square(np.asarray(tiny_codec.decode(data[:size], allow_truncated=True), float) - image).mean())
        for size in np.linspace(20, len(data), 6).astype(int)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.4 * errors[0]


def test_without_leave_it_is_an_error(tiny_codec: Codec) -> None:
    data = tiny_codec.encode(picture())
    for size in (5, 20, len(data) - 1):
        with pytest.raises(FormatError):
            tiny_codec.decode(data[:size])
    with pytest.raises(FormatError, match="cut short"):
        tiny_codec.decode(data[:9], allow_truncated=True)


def test_whole_files_are_as_ever(tiny_codec: Codec) -> None:
    data = tiny_codec.encode(picture(), caption="a disc")
    assert np.array_equal(tiny_codec.decode(data), tiny_codec.decode(data, allow_truncated=True))


def test_surplus_is_not_taken_for_a_cut(tiny_codec: Codec) -> None:
    data = tiny_codec.encode(picture())
    with pytest.raises(FormatError, match="bytes that belong to nothing"):
        tiny_codec.decode(data + b"more than the file", allow_truncated=True)


def test_cut_and_reduced_together(tiny_codec: Codec) -> None:
    data = tiny_codec.encode(picture(), quality=80)
    for scale in (1 / 2, 1 / 8):
        image = tiny_codec.decode(data[: len(data) // 2], crop=(8, 8, 40, 32), scale=scale, allow_truncated=True)
        assert image.size == (40 * scale, 32 * scale)
