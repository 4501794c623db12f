"""The language model of captions that the training command makes codes captions like those it was trained on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from click.testing import CliRunner
from safetensors.numpy import load

from mcmcodec.caption.language import LanguageModel
from mcmcodec.training.caption_model import bits, digest, merge_pairs
from mcmcodec.training.commands import main

PLACES = ("beach", "street", "kitchen", "garden", "mountain")
SUBJECTS = ("a dog", "two children", "an old man", "a red car", "a black cat")
CAPTIONS = [f"{subject.capitalize()} in the {place}." for subject in SUBJECTS for place in PLACES]


def test_pairs_are_merged_by_frequency() -> None:
    words = Counter({"abab": 3, "abc": 1, "d": 1})
    assert merge_pairs(words, 0) == set("abcd")
    assert merge_pairs(words, 2) == {*"abcd", "ab", "abab"}
    assert merge_pairs(words, 100) == {*"abcd", "ab", "abab", "abc"}, "no pairs are left"


def test_the_command_makes_a_model_that_knows_its_captions(tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text("\n".join(CAPTIONS))
    arguments = ["caption-model", str(tmp_path / "captions.txt"), "--out", str(tmp_path / "made.safetensors"),
                 "--parts", "20", "--saving", "0.1"]  # fmt: skip
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    data = (tmp_path / "made.safetensors").read_bytes()
    assert done.output == f"25 captions, {len(data)} bytes, sha256 {digest(data)}\n"
    model = LanguageModel(load(data))
    assert b" kitchen" in model.tokens and b" in" in model.tokens
    known, unknown = bits(model, CAPTIONS), bits(model, ["Nine purple submarines under a waterfall."])
    assert known < 30 < 100 < unknown
