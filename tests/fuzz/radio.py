"""Files through a bad radio link: messages lost, repeated, mixed up, damaged, among those of others and among words.

    python tests/fuzz/radio.py [--rounds 1000] [--seed 0]

Every round sends one to three files and receives some of their messages. What arrived in sufficient number must come
out, bit by bit; nothing else may come out; and a beginning must be one. Exit code 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import textwrap
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mcmcodec.bitstream import container, envelope
from mcmcodec.bitstream.armor import ALPHABETS, armor
from mcmcodec.bitstream.messages import Message, gather, split
from mcmcodec.bitstream.stripped import strip
from mcmcodec.errors import McmError
from mcmcodec.model import weights

WORDS = (
    "ok",
    "2026-11-26",
    "cq cq de",
    "- see you -",
    "wind 3-4 bft",
    "6-pack",
    "9-5 job",
    '"quoted"',
    "> what?",
    "73!",
)


@dataclass
class Sent:
    """A file, its messages, and which of them arrived unharmed."""

    data: bytes
    messages: list[bytes]
    arrived: set[int]

    @property
    def needed(self) -> int:
        return self.messages[0][0] % 128 + 1


def some_file(rng: random.Random, length: int) -> bytes:
    """A file whose container is in order, with noise for a payload."""
    model = weights.find()
    header = container.Header(512, 384, model.number, 0, rng.randrange(101), 100, caption=rng.random() < 0.5)
    return container.pack(header, rng.randbytes(length), model.fingerprint)


def send(rng: random.Random) -> list[Sent]:
    """One to three files; half of the time in messages of one size and number."""
    size, length = rng.choice((32, 48, 96, 113, 160, 200, 233)), rng.choice((0, 9, 90, 150, 400, 900))
    redundancy = rng.choice((0.0, 0.1, 0.3, 1.0, 2.0))
    sent = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        if rng.random() < 0.5:
            size, length = rng.choice((32, 48, 96, 160, 233)), rng.randrange(900)
        data = some_file(rng, length)
        sent.append(Sent(data, split(*strip(data), size, redundancy), set()))
    return sent


def damage(rng: random.Random, message: bytes) -> bytes:
    """Another message: a bit flipped, a byte lost or added, or the header of another place."""
    data = bytearray(message)
    kind = rng.randrange(4)
    if kind == 0:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del data[rng.randrange(len(data))]
    elif kind == 2:
        data.insert(rng.randrange(len(data)), rng.randrange(256))
    else:
        data[1] ^= rng.randrange(1, 4)
    return bytes(data)


def receive(rng: random.Random, sent: list[Sent]) -> list[bytes]:
    """What a link made of the messages."""
    lost, hurt = rng.choice((0.0, 0.1, 0.3, 0.6)), rng.choice((0.0, 0.0, 0.1, 0.3))
    received = []
    for one in sent:
        for index, message in enumerate(one.messages):
            if rng.random() < lost:
                continue
            if rng.random() < hurt:
                received.append(damage(rng, message))
                continue
            one.arrived.add(index)
            received += [message] * rng.choice((1, 1, 1, 2))
    rng.shuffle(received)
    return received


def wrap(rng: random.Random, received: list[bytes]) -> list[bytes]:
    """Inputs of a receiver: binary messages, frames, or texts as chats and e-mail make them."""
    kind = rng.randrange(4)
    if kind == 0:
        return received
    if kind == 1:
        return [rng.randbytes(rng.randrange(3)) + envelope.to_frames(received)] if received else []
    alphabet, lines = rng.choice([*ALPHABETS]), []
    for message in received:
        text = armor(message, alphabet)
        if alphabet == "base32" and rng.random() < 0.5:
            text = text.lower()
        if kind == 2:
            lines.append(f"[12:{rng.randrange(60):02}] {rng.choice(WORDS)}: {text} {rng.choice(WORDS)}")
        else:
            depth = "> " * rng.randrange(3)
            lines += [depth + line for line in textwrap.wrap(text, 60, break_on_hyphens=False)]
            lines += [rng.choice(WORDS)] * rng.randrange(2)
    ending, encoding = rng.choice(("\n", "\r\n")), rng.choice(("utf-8", "utf-8-sig", "utf-16"))
    return [ending.join(lines).encode(encoding)]


def one_round(rng: random.Random) -> Counter[str]:
    """Send, receive, join and compare.

    Raises:
        AssertionError: a promise was broken.
    """
    sent = send(rng)
    inputs = wrap(rng, receive(rng, sent))
    streams = gather(message for data in inputs for message in envelope.messages_in(data))
    found: set[bytes] = set()
    outcomes: Counter[str] = Counter()
    for stream in streams:
        try:
            data = envelope.file_of(stream, allow_truncated=True)
        except McmError:
            continue
        if stream.complete:
            found.add(data)
        elif len(stream.payloads) > 1:
            assert any(one.data.startswith(data[:-3]) for one in sent), "not a beginning"
            outcomes["beginnings"] += 1
    expected = {one.data for one in sent if len(one.arrived) >= one.needed}
    assert found == expected, f"{len(found)} files came out and {len(expected)} should have"
    for one in sent:
        outcomes["recovered" if one.data in expected else "refused"] += 1
        if one.data in expected and not set(range(one.needed)) <= one.arrived:
            outcomes["recovered by spare messages"] += 1
        assert all(Message.unpack(message) for message in one.messages)
    outcomes["streams of damaged messages or words"] += sum(len(stream.payloads) == 1 for stream in streams)
    return outcomes


def main() -> int:
    """Run the rounds; print what happened in JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    outcomes: Counter[str] = Counter()
    broken = 0
    for number in range(given.rounds):
        try:
            outcomes += one_round(random.Random(given.seed * 10**9 + number))
        except AssertionError as error:
            broken += 1
            print(f"round {number}: {error}", file=sys.stderr)
    print(json.dumps({"rounds": given.rounds, "broken promises": broken, **outcomes}))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
