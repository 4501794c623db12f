"""Trains the frozen language model of the caption coder `words-2` on captions, one per line.

The model is an interpolated modified Kneser-Ney model (Chen and Goodman 1999) with three discounts for each order.
N-grams that save too few bits are dropped, and probabilities are rounded to byte codes. The same input gives the same
file.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from ..caption.coder import ENDINGS
from ..caption.language import CHUNKS, END, TOTAL, LanguageModel, cut, value_of

ORDER = 4
RUN = 8
LETTERS = "àáâãäåæçèéêëìíîïñòóôõöøœùúûüýÿßÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØŒÙÚÛÜÝŸ–—‘’“”…€°´ąćęłńśźżčďěňřšťůžşğıőű"
"""Characters that get a token even if the captions do not contain them."""
Ints = NDArray[np.int64]


def read(paths: Iterable[Path]) -> list[str]:
    """Read the non-empty lines of text files, which may be gzipped."""
    lines: list[str] = []
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8") as file:
            lines += [line.strip() for line in file]
    return [line for line in lines if line]


def without(lines: Iterable[str], others: Iterable[str]) -> list[str]:
    """Drop repeated captions and those that share eight words in a row with any of `others`."""
    seen: set[tuple[str, ...]] = set()
    runs: set[tuple[str, ...]] = set()
    for line in others:
        words = tuple(re.findall(r"[a-z0-9]+", line.lower()))
        seen.add(words)
        runs.update(words[i : i + RUN] for i in range(len(words) - RUN + 1))
    out = []
    for line in lines:
        words = tuple(re.findall(r"[a-z0-9]+", line.lower()))
        if words and words not in seen and not any(words[i : i + RUN] in runs for i in range(len(words) - RUN + 1)):
            seen.add(words)
            out.append(line)
    return out


def bodies(lines: Sequence[str]) -> list[str]:
    """Normalise captions as the coder does: no full stop, the first word in its usual case, a leading space."""
    inner: Counter[str] = Counter()
    for line in lines:
        inner.update(CHUNKS.findall(" " + line)[1:])
    out = []
    for line in lines:
        ending = next(end.decode() for end in reversed(ENDINGS) if line.endswith(end.decode()))
        body = " " + line[: len(line) - len(ending)]
        first = CHUNKS.match(body)
        if first and inner[first.group().lower()] >= inner[first.group()]:
            body = body[:2].lower() + body[2:]
        out.append(body)
    return [body for body in out if body.strip()]


def merge_pairs(words: Counter[str], merges: int) -> set[str]:
    """Return the strings that rounds of byte-pair merging inside words produce, and all single characters.

    Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units".

    Args:
        words: how often each word occurs.
        merges: number of rounds; fewer where no pairs are left.
    """
    splits = {word: list(word) for word in words}
    found = {char for word in words for char in word}
    pairs: Counter[tuple[str, str]] = Counter()
    where: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for word, parts in splits.items():
        for pair in zip(parts, parts[1:], strict=False):
            pairs[pair] += words[word]
            where[pair].add(word)
    for _ in range(merges):
        best = max(pairs, key=lambda pair: (pairs[pair], pair), default=None)
        if best is None or pairs[best] < 1:
            break
        found.add("".join(best))
        for word in sorted(where.pop(best)):
            parts = splits[word]
            for pair in zip(parts, parts[1:], strict=False):
                pairs[pair] -= words[word]
            merged: list[str] = []
            index = 0
            while index < len(parts):
                pair_here = tuple(parts[index : index + 2]) == best
                merged.append("".join(best) if pair_here else parts[index])
                index += 2 if pair_here else 1
            splits[word] = merged
            for pair in zip(merged, merged[1:], strict=False):
                pairs[pair] += words[word]
                where[pair].add(word)
        del pairs[best]
    return found


def choose_tokens(texts: Sequence[str], least: int, merges: int) -> list[bytes]:
    """Return the tokens: the end, all bytes, then chunks that occur `least` times and word parts, by frequency."""
    counts = Counter(chunk for text in texts for chunk in CHUNKS.findall(text))
    rare = Counter({chunk: number for chunk, number in counts.items() if number < least})
    found = {chunk: number for chunk, number in counts.items() if number >= least and len(chunk.encode()) <= 32}
    for part in merge_pairs(rare, merges) | set(LETTERS):
        found.setdefault(part, 0)
    multi = [token for token in found if len(token.encode()) > 1]
    return [b"", *(bytes([b]) for b in range(256)), *(t.encode() for t in sorted(multi, key=lambda t: (-found[t], t)))]


class Counts:
    """The n-grams of a token stream by order, with their Kneser-Ney probabilities.

    Entry e of order k has the prefix `parent[k][e]` (of order k - 1), the last token `last[k][e]` and the suffix
    `suffix[k][e]` (of order k - 1); entries are sorted by prefix, then token. `p` is the interpolated probability,
    `own` what the order itself contributes, `seen` how often the n-gram occurs.
    """

    def __init__(self, stream: Ints, size: int, order: int) -> None:
        start = np.where(stream == END, np.arange(len(stream)), -1)
        since = np.arange(len(stream)) - np.maximum.accumulate(np.concatenate(([0], start[:-1])))
        self.parent: list[Ints] = [np.zeros(0, int), np.zeros(size, int)]
        self.last: list[Ints] = [np.zeros(0, int), np.arange(size)]
        self.suffix: list[Ints] = [np.zeros(0, int), np.zeros(size, int)]
        self.seen: list[Ints] = [np.zeros(0, int), np.bincount(stream[1:], minlength=size)]
        begins: list[NDArray[np.bool_]] = [np.zeros(0, bool), np.arange(size) == END]
        here = stream.copy()  # entry of the n-gram that ends at each position
        for k in range(2, order + 1):
            # An n-gram may begin with the end of the previous text but must not reach across it.
            at = np.flatnonzero(since >= k - 1)
            at = at[at > 0]
            keys = here[at - 1] * size + stream[at]
            unique, first, inverse, seen = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
            self.parent.append(unique // size)
            self.last.append(unique % size)
            self.suffix.append(here[at[first]])
            self.seen.append(seen)
            begins.append(begins[k - 1][unique // size])
            here = np.full(len(stream), -1)
            here[at] = inverse
        self.p: list[NDArray[np.float64]] = [np.array([1.0])]
        self.own: list[NDArray[np.float64]] = [np.zeros(1)]
        self.discount: list[NDArray[np.float64]] = [np.zeros(1)]
        for k in range(1, order + 1):
            count = self.seen[k].astype(float)
            if k < order:  # how many different tokens come before, where any can
                spread = np.bincount(self.suffix[k + 1], minlength=len(count)).astype(float)
                count = np.where(begins[k] & (k > 1), count, spread)
            self._smooth(k, count, size)

    def _smooth(self, k: int, count: NDArray[np.float64], size: int) -> None:
        n = [float((count == j).sum()) + 1 for j in range(5)]
        y = n[1] / (n[1] + 2 * n[2])
        steps = np.array([0.0, *(j - (j + 1) * y * n[j + 1] / n[j] for j in (1, 2, 3))]).clip(0, [0, 0.95, 1.95, 2.95])
        cut_off = np.minimum(steps[np.minimum(count, 3).astype(int)], count)
        groups = len(self.p[k - 1])
        parent = self.parent[k]
        total = np.maximum(np.bincount(parent, count, groups), 1e-9)
        back = np.bincount(parent, cut_off, groups) / total
        lower = self.p[k - 1][self.suffix[k]] if k > 1 else np.full(size, 1.0 / size)
        self.own.append((count - cut_off) / total[parent])
        self.p.append(self.own[k] + back[parent] * lower)
        self.discount.append(cut_off)

    def saving(self, k: int) -> NDArray[np.float64]:
        """Return the bits that each entry of order k is expected to save on as much text as was counted."""
        other = np.maximum(self.p[k] - self.own[k], 1e-12)
        return np.maximum(self.seen[k] - self.discount[k], 0) * np.log2(self.p[k] / other)


def freeze(tokens: list[bytes], counts: Counts, order: int, least: float) -> dict[str, NDArray[Any]]:
    """Return the tensors of the file, without n-grams that save fewer than `least` bits."""
    size = len(tokens)
    share = np.floor(counts.p[1] / counts.p[1].sum() * (TOTAL - size)).astype(np.int64)
    share[share.argmax()] += TOTAL - size - share.sum()
    arrays: dict[str, NDArray[Any]] = {
        "text": np.frombuffer(b"".join(tokens), np.uint8),
        "lengths": np.array([len(token) for token in tokens], np.uint8),
        "base": share.astype(np.uint32),
    }
    keep: list[NDArray[np.bool_]] = [np.ones(size, bool)] * (order + 1)
    for k in range(order, 1, -1):
        wanted = counts.saving(k) >= least
        if k < order:
            wanted[counts.parent[k + 1][keep[k + 1]]] = True
        keep[k] = wanted
    number = np.arange(size)
    entries = size
    for k in range(2, order + 1):
        parent = number[counts.parent[k][keep[k]]]
        codes = _codes(counts.own[k][keep[k]], parent, entries)
        children = np.bincount(parent, minlength=entries)
        if children.max() > 65535:
            raise ValueError("a context has too many successors")
        arrays[f"next.{k}"] = counts.last[k][keep[k]].astype(np.uint16)
        arrays[f"code.{k}"] = codes
        arrays[f"children.{k}"] = children.astype(np.uint16)
        entries = int(keep[k].sum())
        number = np.cumsum(keep[k]) - 1
    return arrays


def _codes(own: NDArray[np.float64], parent: Ints, groups: int) -> NDArray[np.uint8]:
    """Round probabilities to byte codes; those of a context sum to at most 1 - 2**-10."""
    grid = value_of(np.arange(256)) / (1 << 20)
    middle = np.sqrt(grid[1:] * grid[:-1])
    codes = np.searchsorted(middle, own)
    while True:
        full = np.bincount(parent, grid[codes], groups) > 1 - 2**-10
        if not full.any():
            return codes.astype(np.uint8)
        codes[full[parent] & (codes > 0)] -= 1


def train(lines: Sequence[str], least: int, merges: int, order: int, saving: float) -> bytes:
    """Train a model; return the bytes of its file. Arguments are those of the command ``caption-model``."""
    texts = bodies(lines)
    tokens = choose_tokens(texts, least, merges)
    index = {token: number for number, token in enumerate(tokens) if token}
    stream = [END]
    for text in texts:
        stream += [*cut(text, index), END]
    counts = Counts(np.array(stream), len(tokens), order)
    return save(freeze(tokens, counts, order, saving))


def bits(model: LanguageModel, lines: Sequence[str]) -> float:
    """Return the mean information of a caption in bits, without its style."""
    total = 0.0
    for text in bodies(lines):
        history = [END]
        for token in [*cut(text, model.index), END]:
            total -= np.log2(model.frequencies(history)[token] / TOTAL)
            history.append(token)
    return total / len(lines)


def digest(data: bytes) -> str:
    """Return the sha256 of a file's bytes, which `language.SHA256` must equal."""
    return hashlib.sha256(data).hexdigest()
