"""The loaders of captioners and painters, on tiny models with random weights made here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
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


def test_diffusion(tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    words = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    (tmp_path / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"), model_max_length=16)
    text = CLIPTextModel(
        CLIPTextConfig(vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                       num_attention_heads=2, max_position_embeddings=16, bos_token_id=52, eos_token_id=53,
                       pad_token_id=53)
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16, attention_head_dim=4,
    )  # fmt: skip
    vae = AutoencoderKL(block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2, latent_channels=4,
                        up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=2, sample_size=16)  # fmt: skip
    pipeline = StableDiffusionPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, safety_checker=None,
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False), feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(tmp_path / "pipeline")
    painter = plugins.load_painter(f"diffusers:{tmp_path / 'pipeline'}", "cpu")
    first = painter("a dog", 40, 30)
    assert first.mode == "RGB" and first.width >= first.height
    assert np.array_equal(first, painter("a dog", 40, 30))
