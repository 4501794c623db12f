"""Fuzzing guided by coverage, with atheris: the exact half of decoding behind checksums that are made right.

    python tests/fuzz/guided.py -atheris_runs=20000 FOLDER

FOLDER keeps what has found new branches. Needs atheris, which few machines have; everything else is in ``run.py``.
"""

from __future__ import annotations

import os
import sys
import tempfile
import zlib
from pathlib import Path

import atheris

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent), str(TESTS / "fuzz")]

with atheris.instrument_imports(include=["mcmcodec"], exclude=["mcmcodec.training", "mcmcodec.model"]):
    import targets
    from models import export_tiny, smooth_noise

    from mcmcodec.codec import Codec
    from mcmcodec.model.weights import FOLDER_VARIABLE


def main() -> None:
    """Options are libFuzzer's."""
    with tempfile.TemporaryDirectory() as folder:
        export_tiny(Path(folder))
        os.environ[FOLDER_VARIABLE] = folder
        codec = Codec("tiny", "cpu")
        start = zlib.crc32(codec.weights.fingerprint)
        corpus = Path(folder) / "seeds"
        corpus.mkdir()
        for number, data in enumerate(targets.seeds(codec, smooth_noise)):
            (corpus / str(number)).write_bytes(data[:-4])

        def one(body: bytes) -> None:
            targets.exact_level(body + zlib.crc32(body, start).to_bytes(4, "little"), codec)

        atheris.Setup([*sys.argv, str(corpus)], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
