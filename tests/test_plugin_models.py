"""The loaders of captioners and painters, on tiny models with random weights made here."""

from __future__ import annotations

from pathlib import Path

import pytest
from models import smooth_noise
from PIL import Image

from mcmcodec import plugins
from mcmcodec.errors import UsageError
from mcmcodec.plugins.painter import fitting

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]


def test_shapes_of_painted_pictures() -> None:
    assert fitting(768, 512, 512, 64) == (640, 448)
    assert fitting(1, 65535, 512, 64) == (256, 1024)
    assert fitting(5, 5, 8, 16) == (16, 16)


@pytest.mark.parametrize(
    ("load", "package"), [(plugins.load_captioner, "transformers:x"), (plugins.load_painter, "diffusers:x")]
)
def test_folders_without_a_model(load: object, package: str) -> None:
    pytest.importorskip(package.removesuffix(":x"))
    with pytest.raises(UsageError, match="there is no (model|pipeline) in the folder 'x'; give "):
        load(package)  # type: ignore[operator]


def bert_tokenizer(folder: Path) -> object:
    from transformers import BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    return BertTokenizerFast(vocab=str(folder / "vocab.txt"), bos_token="[CLS]", eos_token="[SEP]")


def test_blip(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    import torch
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipProcessor
    from transformers.models.blip import BlipImageProcessor

    text = {
        "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "encoder_hidden_size": 32, "vocab_size": len(VOCABULARY), "bos_token_id": 2, "eos_token_id": 3,
        "sep_token_id": 3, "pad_token_id": 0, "projection_dim": 16,
    }  # fmt: skip
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": 32, "patch_size": 16}  # fmt: skip
    torch.manual_seed(0)
    model = BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision, projection_dim=16))
    folder = tmp_path / "blip"
    model.save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), bert_tokenizer(tmp_path)).save_pretrained(
        folder
    )
    captioner = plugins.load_captioner(f"transformers:{folder}", "cpu")
    image = Image.fromarray(smooth_noise(40, 50))
    first = captioner(image)
    assert len(first) == 3 and all(set(text) <= set(f"{LETTERS} #") for text in first) and any(first)
    assert captioner(image) == first
