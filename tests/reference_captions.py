"""A second decoder of captions, written from ``formats/captions.md`` alone: nothing of the package."""

from __future__ import annotations

import json
import re
import struct
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from reference_rangecoder import Damaged, ReferenceDecoder, raw, table_from_weights

TYPES = {"U8": "<u1", "U16": "<u2", "U32": "<u4"}
CAPTION = (2200, 300, 100, 1300, 6000, 300, 60, 20, 4, 40, 20, 4, 60)
PHRASE = (8000, 100, 20, 800, 800, 20, 60, 20, 4, 40, 20, 4, 60)

Box = tuple[int, int, int, int, str]


def stored(data: bytes) -> dict[str, Any]:
    """The tensors of a file of frozen tables."""
    size = struct.unpack_from("<Q", data)[0]
    found: dict[str, Any] = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        start, end = entry["data_offsets"]
        values = np.frombuffer(data[8 + size + start : 8 + size + end], TYPES[entry["dtype"]])
        found[name] = values.reshape(entry["shape"])
    return found


@cache
def tensors(path: Path) -> dict[str, Any]:
    """The file's tensors, with the first n-gram that goes on from each as ``start.k``."""
    found = stored(path.read_bytes())
    ends = list(accumulate(found["lengths"].tolist()))
    text = found["text"].tobytes()
    found["tokens"] = [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    for k in range(2, 99):
        if f"children.{k}" in found:
            found[f"start.{k}"] = [0, *accumulate(found[f"children.{k}"].tolist())]
            found["order"] = k
    return found


def successors(model: dict[str, Any], gram: list[int]) -> range:
    """Section 3: the n-grams that go on from one."""
    number = gram[0]
    for k, token in enumerate(gram[1:], 2):
        starts = model[f"start.{k}"]
        same = [i for i in range(starts[number], starts[number + 1]) if model[f"next.{k}"][i] == token]
        if not same:
            return range(0)
        number = same[0]
    starts = model[f"start.{len(gram) + 1}"]
    return range(starts[number], starts[number + 1])


def cumulative(model: dict[str, Any], before: list[int], echo: set[int]) -> list[int]:
    """Section 3: the cumulative frequencies of the next token."""
    size = len(model["tokens"])
    room = 2**24 - size
    share = model["base"].astype(np.int64)
    for m in range(1, min(len(before), model["order"] - 1) + 1):
        entries = successors(model, before[-m:])
        if not entries:
            continue
        codes = [int(model[f"code.{m + 1}"][i]) for i in entries]
        values = [(16 + c % 16) << (c // 16) for c in codes]
        share = share * (2**20 - sum(values)) >> 20
        for i, value in zip(entries, values, strict=True):
            share[model[f"next.{m + 1}"][i]] += value * room >> 20
    if echo:
        share = share * 7 >> 3
        for token in echo:
            share[token] += (room >> 3) // len(echo)
    frequency = (share + 1).tolist()
    frequency[frequency.index(max(frequency))] += 2**24 - sum(frequency)
    return [0, *accumulate(frequency)]


def words(decoder: ReferenceDecoder, path: Path, grid: tuple[int, int]) -> tuple[str, list[Box]]:
    """Section 1: caption and regions; ``path`` is the language model's file."""
    model = tensors(path)
    echo: set[int] = set()

    def even(count: int) -> int:
        return decoder.symbol(table_from_weights([1] * count)) if count > 1 else 0

    def text(weights: tuple[int, ...]) -> str:
        style = decoder.symbol(table_from_weights(list(weights)))
        if style == 12:
            return raw(decoder).decode()
        before, body = [0], b""
        while token := decoder._decode(cumulative(model, before, echo)):
            before.append(token)
            body += model["tokens"][token]
            if len(body) > 4097:
                raise Damaged
        if body[:1] not in (b"", b" "):
            raise Damaged
        if not echo:
            echo.update(before[1:])
        body = body[1:]
        if style // 3 == 1 and b"a" <= body[:1] <= b"z":
            body = body[:1].upper() + body[1:]
        if style // 3 == 2:
            body = re.sub(rb"(^|[ -])([a-z])", lambda found: found.group().upper(), body)
        if style // 3 == 3:
            body = bytes(b - 32 if 97 <= b <= 122 else b for b in body)
        return (body + (b"", b".", b" .")[style % 3]).decode()

    caption = text(CAPTION)
    regions: list[Box] = []
    while len(regions) < 64 and decoder.bit(2048 if regions else 16):
        x = even(grid[1])
        w = 1 + even(grid[1] - x)
        y = even(grid[0])
        h = 1 + even(grid[0] - y)
        regions.append((x, y, w, h, text(PHRASE)))
        if not regions[-1][4]:
            raise Damaged
    if sum(len(t.encode()) for t in (caption, *(region[4] for region in regions))) > 4096:
        raise Damaged
    return caption, regions
