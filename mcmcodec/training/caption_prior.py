"""Trains the frozen prior of the caption coder (`mcmcodec/text/english.txt`) from captions, one a line.

    python -m mcmcodec.training.caption_prior OUTPUT CAPTIONS.txt.gz ...

Pieces of words by byte-pair merging and pruning, classes of pieces by greedy exchange (maximum mutual
information of neighbouring classes), weights rounded to a quarter octave. One minute on one core; the same
input gives the same file.
"""

import gzip
import math
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np

from ..text.captions import BYTE, END, WEIGHTS

PIECE = re.compile(r" ?[^\W\d_]+| ?\d+| ?[^\w\s]+|\s+|_+")


def read_captions(paths: Iterable[str]) -> list[str]:
    """Read captions, made as people would type them: some lose the full stop, some the capitals too."""
    lines = []
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            lines += [line.strip() for line in file]
    kinds = (lambda s: s, lambda s: s, lambda s: s.rstrip(" ."), lambda s: s.rstrip(" .").lower())
    return [kinds[index % 4](line) for index, line in enumerate(lines) if line]


def merge_pairs(words: Counter[str], merges: int) -> set[str]:
    """The strings that rounds of byte-pair merging inside words produce, single characters included."""
    splits = {word: list(word) for word in words}
    found = {char for word in words for char in word}
    pairs: Counter[tuple[str, str]] = Counter()
    where = defaultdict(set)
    for word, parts in splits.items():
        for pair in zip(parts, parts[1:], strict=False):
            pairs[pair] += words[word]
            where[pair].add(word)
    for _ in range(merges):
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        found.add("".join(best))
        for word in sorted(where.pop(best)):
            parts = splits[word]
            for pair in zip(parts, parts[1:], strict=False):
                pairs[pair] -= words[word]
            merged, index = [], 0
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


def segment(word: str, cost: dict[str, float]) -> list[str]:
    """The cheapest way to spell `word` in known pieces (unknown characters stand alone at a high price)."""
    best: list[tuple[float, int]] = [(0.0, 0)]
    for end in range(1, len(word) + 1):
        best.append(
            min(
                (best[start][0] + cost.get(word[start:end], 24.0 if end - start == 1 else math.inf), start)
                for start in range(max(0, end - 16), end)
            )
        )
    parts, end = [], len(word)
    while end:
        start = best[end][1]
        parts.append(word[start:end])
        end = start
    return parts[::-1]


def choose_pieces(words: Counter[str], size: int) -> dict[str, float]:
    """About `size` pieces that code the words in the fewest bits, with their cost in bits."""
    cost = dict.fromkeys(merge_pairs(words, 2 * size), 12.0)
    target = len(cost)
    while True:
        counts: Counter[str] = Counter()
        for word, number in words.items():
            for part in segment(word, cost):
                if part in cost:  # else a character that has been dropped: it will be coded as bytes
                    counts[part] += number
        total = sum(counts.values())
        cost = {piece: math.log2(total / number) for piece, number in counts.items()}
        if target == size:
            return cost
        target = max(size, int(target * 0.9))
        # Worth of a piece: the bits that spelling it in smaller ones would add.
        worth = {}
        for piece in cost:
            others = segment(piece, {key: value for key, value in cost.items() if key != piece and key in piece})
            spelled = sum(cost.get(part, 24.0) if part != piece else 24.0 for part in others)
            worth[piece] = counts[piece] * (spelled - cost[piece])
        cost = {piece: cost[piece] for piece in sorted(cost, key=lambda p: (-worth[p], p))[:target]}


def exchange(pairs: np.ndarray, classes: int, rounds: int) -> np.ndarray:
    """Classes (V,) that maximise sum n(c, d) log n(c, d) / (n(c) n(d)); `pairs` (V, V) counts neighbours."""
    size = len(pairs)
    order = np.argsort(-(pairs.sum(0) + pairs.sum(1)), kind="stable")
    label = np.empty(size, dtype=int)
    label[order] = np.minimum(np.arange(size), classes - 1)
    label[order[classes:]] = np.arange(size - classes) % classes
    label[[END, BYTE]] = classes, classes + 1
    total = classes + 2
    onehot = np.eye(total)[label]

    def plogp(x: np.ndarray) -> np.ndarray:
        return x * np.log2(np.maximum(x, 1e-12))

    between = onehot.T @ pairs @ onehot
    for _ in range(rounds):
        moved = 0
        for piece in order:
            if piece in (END, BYTE):
                continue
            own, loop = label[piece], pairs[piece, piece]
            right = pairs[piece] @ onehot
            left = pairs[:, piece] @ onehot
            right[own] -= loop
            left[own] -= loop
            between[own] -= right
            between[:, own] -= left
            between[own, own] -= loop
            # Gain of joining each class: change of its row and its column, and of its marginals.
            rows, columns = between.sum(1), between.sum(0)
            gain = (plogp(between + right[None]) - plogp(between)).sum(1)
            gain += (plogp(between + left[:, None]) - plogp(between)).sum(0)
            diagonal = np.diagonal(between)
            gain += plogp(diagonal + right + left + loop) + plogp(diagonal)
            gain -= plogp(diagonal + right) + plogp(diagonal + left)
            gain -= plogp(rows + right.sum() + loop) - plogp(rows)
            gain -= plogp(columns + left.sum() + loop) - plogp(columns)
            new = int(np.argmax(gain[:classes]))
            between[new] += right
            between[:, new] += left
            between[new, new] += loop
            onehot[piece, own], onehot[piece, new] = 0, 1
            label[piece] = new
            moved += new != own
        print(f"moved {moved}", file=sys.stderr)
        if moved < size // 200:
            break
    return label


def letter(count: float, scale: float) -> str:
    """The character of the weight nearest to `count` * `scale`."""
    return chr(33 + int(np.abs(np.log(np.array(WEIGHTS)) - np.log(max(count * scale, 1))).argmin()))


def train(captions: list[str], size: int, classes: int) -> str:
    """The text of the prior file."""
    words = Counter(word for line in captions for word in PIECE.findall(line))
    words = Counter({word: number for word, number in words.items() if number > 1})
    cost = choose_pieces(words, size)
    pieces = [*sorted(cost, key=lambda p: (cost[p], p))]
    number = {piece: index + 2 for index, piece in enumerate(pieces)}
    split = {word: [number.get(part, BYTE) for part in segment(word, cost)] for word in words}
    pairs = np.zeros((len(pieces) + 2, len(pieces) + 2))
    for line in captions:
        row = [END, *(part for word in PIECE.findall(line) for part in split.get(word, [BYTE] * 4)), END]
        np.add.at(pairs, (row[:-1], row[1:]), 1)
    label = exchange(pairs, classes - 2, 12)
    label = (label + 2) % classes
    onehot = np.eye(classes)[label]
    between = onehot.T @ pairs @ onehot
    count = pairs.sum(0)
    lines = ["".join(letter(n, WEIGHTS[-1] / row.max()) for n in row) for row in between + 0.3]
    rank = sorted(range(2, len(pieces) + 2), key=lambda p: (label[p], -count[p], pieces[p - 2]))
    lines += [f"{chr(33 + label[p])}{letter(count[p], 4.0)}{pieces[p - 2]}" for p in rank]
    return "\n".join(lines)


if __name__ == "__main__":
    text = train(read_captions(sys.argv[2:]), size=1900, classes=40)
    with open(sys.argv[1], "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
