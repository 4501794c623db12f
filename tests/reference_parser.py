"""A second parser of .mcm files, written from ``formats/mcm.md`` alone: nothing of the package, no torch, no floats.

Section numbers are those of the specification. Integers are numpy's int64, multiplied by numpy's own loops.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reference_captions import Box, words
from reference_extensions import structure
from reference_rangecoder import Damaged, ReferenceBit, ReferenceDecoder

Ints = NDArray[np.int64]
ROOT = Path(__file__).parents[1]
CAPTIONS = "words-2"
"""Section 5.3: the name of the caption coder."""
LANGUAGE_MODEL = ROOT / "mcmcodec" / "caption" / "words-2.safetensors"
MUST_UNDERSTAND = {9, 11}
"""Section 4.1: odd types of extension sections that this parser knows."""
MAX_PIXELS = 2**27
TYPES = {"I8": "<i1", "I16": "<i2", "I32": "<i4", "U8": "<u1", "U16": "<u2", "U32": "<u4"}


class Refused(Exception):
    """One of the reasons of refusal: not an .mcm file, newer, model, too large; for damaged, ``Damaged``."""


@dataclass
class Header:
    """Section 3."""

    width: int
    height: int
    number: int
    variant: int
    quality: int
    keep: int
    caption: bool
    no_mask: bool
    extensions: dict[int, bytes]
    payload: int

    @property
    def grid(self) -> tuple[int, int]:
        """Sections 3 and 4.5."""
        factor = self.extensions.get(11, b"\1")[0]
        rows, cols = (math.ceil(math.ceil(side / factor) / 16) for side in (self.height, self.width))
        return rows, cols


@dataclass
class Picture:
    """What section 5 leaves."""

    header: Header
    caption: str
    regions: list[Box]
    psi: Ints
    v_hat: Ints
    mask: Ints
    edges: Ints | None = None

    def sha256(self) -> str:
        """Section 10."""
        digest = hashlib.sha256()
        for array in (self.psi, self.v_hat, self.mask):
            digest.update(str(array.shape).encode())
            digest.update(array.astype("<i4").tobytes())
        return digest.hexdigest()


class Model:
    """Section 7: sizes, fingerprint and integers of the model with a card."""

    def __init__(self, path: Path) -> None:
        card = json.loads(path.read_text(encoding="utf-8"))
        data = (path.parent / card["stream"]["file"]).read_bytes()
        stream = hashlib.sha256(data).digest()
        if stream.hex() != card["stream"]["sha256"]:
            raise Refused("model")
        captions = hashlib.sha256(LANGUAGE_MODEL.read_bytes())
        if card["captions"] != {"name": CAPTIONS, "sha256": captions.hexdigest()}:
            raise Refused("model")
        self.number = card["id"]
        self.fingerprint = hashlib.sha256(stream + captions.digest()).digest()
        config = card["config"]
        self.coarse_slices, self.slices, self.features = config["coarse_slices"], config["slices"], config["features"]
        self.expected_slices, self.base_slices = config["expected_slices"], config["base_slices"]
        size = struct.unpack_from("<Q", data)[0]
        self.tensors: dict[str, Ints] = {}
        for name, entry in json.loads(data[8 : 8 + size]).items():
            if name.startswith("entropy."):
                start, end = entry["data_offsets"]
                values = np.frombuffer(data[8 + size + start : 8 + size + end], TYPES[entry["dtype"]])
                self.tensors[name[8:]] = values.astype(np.int64).reshape(entry["shape"])
        self.reach = self["tables.reach"].tolist()
        starts = np.cumsum([0, *(2 * t + 2 for t in self.reach[1:])])
        rows = [self["tables.frequencies"][a:b] for a, b in zip(starts[:-1], starts[1:], strict=True)]
        self.tables = [[0], *([0, *np.cumsum(row).tolist()] for row in rows)]

    def __getitem__(self, name: str) -> Ints:
        return self.tensors[name]


def models(folder: Path = ROOT / "weights") -> dict[int, Model]:
    """The models of a folder by their number; those that this parser cannot use are left out."""
    found = {}
    for card in sorted(folder.glob("*.json")):
        with contextlib.suppress(Refused):
            model = Model(card)
            found[model.number] = model
    return found


def _varint(data: bytes, at: int, end: int, limit: int) -> tuple[int, int]:
    """Section 2."""
    value, start = 0, at
    while True:
        if at >= end:
            raise Damaged
        value |= (data[at] & 127) << 7 * (at - start)
        at += 1
        if value > limit or at - start > 5:
            raise Damaged
        if data[at - 1] < 128:
            break
    if data[at - 1] == 0 and at - start > 1:
        raise Damaged
    return value, at


def header(data: bytes) -> Header:
    """Sections 3 and 4, all but the checksum."""
    if data[:3] != b"\x8aMC"[: len(data)]:
        raise Refused("not an .mcm file")
    if len(data) < 13 or data[3] & 15 == 0:
        raise Damaged
    if data[3] & 15 > 1 or data[3] & 0x80:
        raise Refused("newer")
    end, flags = len(data) - 4, data[3]
    width, at = _varint(data, 4, end, 65535)
    height, at = _varint(data, at, end, 65535)
    model, at = _varint(data, at, end, 32767)
    if at + 2 > end:
        raise Damaged
    quality, keep = data[at : at + 2]
    at += 2
    extensions: dict[int, bytes] = {}
    if flags & 0x20:
        count, at = _varint(data, at, end, 64)
        for _ in range(count):
            kind, at = _varint(data, at, end, 65535)
            size, at = _varint(data, at, end, 2**24)
            if at + size > end or kind <= max(extensions, default=-1):
                raise Damaged
            extensions[kind] = data[at : at + size]
            at += size
        if not count:
            raise Damaged
    if not width or not height or quality > 100 or (flags & 0x40 and keep not in (0, 255)):
        raise Damaged
    if 9 in extensions and (flags & 0x50 != 0x10 or quality or keep or extensions[9]):
        raise Damaged  # section 4.2
    if 11 in extensions and (extensions[11] not in (b"\2", b"\4", b"\x08") or 9 in extensions):
        raise Damaged  # section 4.5
    if any(kind % 2 and kind not in MUST_UNDERSTAND for kind in extensions):
        raise Refused("newer")
    return Header(width, height, model >> 3, model & 7, quality, keep, bool(flags & 0x10), bool(flags & 0x40),
                  extensions, at)  # fmt: skip


def parse(data: bytes, known: dict[int, Model]) -> Picture:
    """A whole file to its symbols."""
    head = header(data)
    if head.width * head.height > MAX_PIXELS:
        raise Refused("too large")
    model = known.get(head.number)
    if model is None or head.variant:
        raise Refused("model")
    if zlib.crc32(model.fingerprint + data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise Damaged
    decoder = ReferenceDecoder(data[head.payload : -4])
    text, regions = "", []
    if head.caption:
        try:
            text, regions = words(decoder, LANGUAGE_MODEL, head.grid)
        except UnicodeDecodeError:
            raise Damaged from None
    none = np.zeros((3, 0, 0), np.int64)
    only = 9 in head.extensions
    picture = Picture(head, text, regions, *none) if only else _symbols(model, decoder, head, text, regions)
    if decoder.shortest() != data[head.payload : -4]:
        raise Damaged
    if 10 in head.extensions:
        picture.edges = structure(head.extensions[10], head.width, head.height)
    return picture


# Section 5.4


def by_quality(rows: Ints, quality: int) -> Ints:
    """Parameters by quality, (6, n) to (n,)."""
    k, p = quality // 20, quality % 20
    return (rows[k] * (20 - p) + rows[min(k + 1, 5)] * p) // 20


def shifted(total: Ints, hidden: bool) -> Ints:
    """The end of a layer."""
    return np.clip(total >> 12, 0 if hidden else -32767, 32767)


def convolve(grid: Ints, weight: Ints, at: Ints) -> Ints:
    """3x3 convolution (outputs, inputs, 3, 3) of (rows, columns, inputs) at positions (N, 2): (N, outputs)."""
    around = np.pad(grid, ((1, 1), (1, 1), (0, 0)))
    total = np.zeros((len(at), len(weight)), np.int64)
    for i in range(3):
        for j in range(3):
            total += around[at[:, 0] + i, at[:, 1] + j] @ weight[:, :, i, j].T
    return total


def ask(model: Model, net: str, n: int, quality: int, known: Ints, current: Ints, at: Ints) -> Ints:
    """A context network at the positions of pass n."""
    u = convolve(known, model[f"{net}.context"], at)
    if n:
        u = u + convolve(current, model[f"{net}.current"][n - 1], at)
    h = shifted(u + by_quality(model[f"{net}.bias1"], quality) + model[f"{net}.bias_pass"][n], True)
    h = shifted(h @ model[f"{net}.weight2"].T + model[f"{net}.bias2"], True)
    return shifted(h @ model[f"{net}.weight3"].T + by_quality(model[f"{net}.bias3"], quality), False)


def unfolded(numbers: Ints, side: int, rows: int, cols: int) -> Ints:
    """Numbers of cells to those of the side x side places of each, (rows, cols, n); what is outside is dropped."""
    height, width, count = numbers.shape
    out = np.zeros((side * height, side * width, count // side**2), np.int64)
    for i in range(side):
        for j in range(side):
            start = (side * i + j) * out.shape[2]
            out[i::side, j::side] = numbers[:, :, start : start + out.shape[2]]
    return out[:rows, :cols]


def features(model: Model, z_hat: Ints, quality: int, rows: int, cols: int) -> tuple[Ints, Ints]:
    """The hyper-decoder: psi and psi_coarse."""
    cells = z_hat.shape[:2]
    at = np.argwhere(np.ones(cells))
    h = convolve(np.clip(z_hat, -16383, 16383), model["hyper.weight1"], at)
    h = shifted(h + by_quality(model["hyper.bias1"], quality), True)
    found = []
    sizes = (2, 4, rows, cols), (3, 2, -(-rows // 2), -(-cols // 2))
    for number, side, height, width in sizes if model.coarse_slices else sizes[:1]:
        out = shifted(h @ model[f"hyper.weight{number}"].T + model[f"hyper.bias{number}"], False)
        found.append(unfolded(out.reshape(*cells, -1), side, height, width))
    return found[0], found[-1]


def scaled(a: Ints, f: Ints, b: int) -> Ints:
    """A product."""
    return np.clip((a * f) >> b, -16383, 16383)


def expect(model: Model, c_hat: Ints, quality: int, rows: int, cols: int) -> tuple[Ints, Ints]:
    """Expected values and offset."""
    real = scaled(c_hat, model["expect_from"][quality], 16)
    beyond = np.pad(real, ((1, 1), (1, 1), (0, 0)), mode="edge")
    at = np.argwhere(np.ones(real.shape[:2])) + 1  # none of them is at the border of the larger grid
    out = shifted(convolve(beyond, model["expect_weight"], at) + model["expect_bias"], False)
    patches = unfolded(out.reshape(*real.shape[:2], -1), 2, rows, cols)
    expected = scaled(patches, model["expect_to"][quality], 16)
    return expected, scaled(expected, model["offset_weight"], 12)


# Sections 5.5 and 5.6


def group(model: Model, decoder: ReferenceDecoder, index: Ints) -> Ints:
    """The symbols with these table indices, of any shape."""
    flat, symbols = index.ravel(), np.zeros(index.size, np.int64)
    for i in range(1, 64):
        t, here = model.reach[i], np.flatnonzero(flat == i)
        for place in here:
            symbols[place] = decoder.symbol(model.tables[i]) - t
        for place in here[symbols[here] == t + 1]:
            negative, z = decoder.bits(1), 0
            while not decoder.bits(1):
                z += 1
                if z > 19:
                    raise Damaged
            magnitude = t + 2**z + decoder.bits(z)
            symbols[place] = -magnitude if negative else magnitude
    return symbols.reshape(index.shape)


def passes(where: NDArray[Any]) -> list[tuple[int, Ints]]:
    """Number and positions (N, 2) of the passes over the true cells of ``where`` that are not empty."""
    at = np.argwhere(where)
    found = []
    for n, (row, col) in enumerate(((0, 0), (1, 1), (0, 1), (1, 0))):
        here = at[(at[:, 0] % 2 == row) & (at[:, 1] % 2 == col)]
        if len(here):
            found.append((n, here))
    return found


def _symbols(model: Model, decoder: ReferenceDecoder, head: Header, text: str, regions: list[Box]) -> Picture:
    (rows, cols), quality = head.grid, head.quality
    cells = (-(-rows // 4), -(-cols // 4))
    loc = (by_quality(model["hyper.loc"], quality) + 2048) >> 12
    index = np.clip((16 * by_quality(model["hyper.index"], quality)) >> 18, 0, 63)
    z = group(model, decoder, np.broadcast_to(index, (*cells, len(index))))
    psi, psi_coarse = features(model, 64 * z + loc, quality, rows, cols)
    known, done = psi_coarse, []
    everywhere = np.ones((-(-rows // 2), -(-cols // 2)), bool)
    for k, channels in enumerate(model.coarse_slices):
        c_hat, current = np.zeros((2, *everywhere.shape, channels), np.int64)
        for n, at in passes(everywhere):
            r = ask(model, f"coarse_slices.{k}", n, quality, known, current, at)
            mu = np.clip(r[:, :channels], -16383, 16383)
            index = np.clip((r[:, channels:] + 384) >> 4, 0, 63)
            c_hat[at[:, 0], at[:, 1]] = 64 * group(model, decoder, index) + mu
            current = np.clip(c_hat, -16383, 16383)
        done.append(c_hat)
        known = np.concatenate([known, np.clip(c_hat, -32767, 32767)], 2)
    everywhere = np.ones((rows, cols), bool)
    known, mask = psi, everywhere
    if model.coarse_slices:
        expected, offset = expect(model, np.concatenate(done, 2), quality, rows, cols)
        known = np.concatenate([psi, expected], 2)
    done, start = [], 0
    for k, channels in enumerate(model.slices):
        if k == model.base_slices:
            mask = everywhere & (head.keep > 0) if head.no_mask else _mask(model, decoder, head, known)
            known = np.concatenate([known, 64 * mask[..., None]], 2)
        v_hat, beside = np.zeros((2, rows, cols, channels), np.int64)
        for n, at in passes(everywhere):
            row, col = at[:, 0], at[:, 1]
            current = np.clip(v_hat, -16383, 16383)
            if k < model.expected_slices:
                current = np.concatenate([current, beside], 2)
            r = ask(model, f"slices.{k}", n, quality, known, current, at)
            mu = r[:, :channels]
            if k < model.expected_slices:
                mu = mu + offset[row, col, start : start + channels]
                beside[row, col] = expected[row, col, start : start + channels]
            mu = np.clip(mu, -16383, 16383)
            index = np.clip((r[:, channels:] + 384) >> 4, 0, 63)
            symbols, shown = np.zeros_like(mu), mask[row, col]
            symbols[shown] = group(model, decoder, index[shown])
            v_hat[row, col] = 64 * symbols + mu
        done.append(v_hat)
        known = np.concatenate([known, np.clip(v_hat, -32767, 32767)], 2)
        start += channels
    return Picture(head, text, regions, psi, np.concatenate(done, 2), mask.astype(np.int64))


def _mask(model: Model, decoder: ReferenceDecoder, head: Header, known: Ints) -> NDArray[np.bool_]:
    mask = np.zeros(known.shape[:2], bool)
    current = np.zeros((*mask.shape, 1), np.int64)
    known = np.concatenate([known, np.full_like(current, head.keep)], 2)
    states = [ReferenceBit(p1, 24) for p1 in model["mask.p1"].tolist()]
    for n, at in passes(~mask):
        r = ask(model, "mask", n, head.quality, known, current, at)[:, 0]
        for (row, col), i in zip(at, np.clip((r >> 4) + 32, 0, 63).tolist(), strict=True):
            mask[row, col] = states[i].decode(decoder)
            current[row, col] = 64 if mask[row, col] else -64
    return mask
