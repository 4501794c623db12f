"""Pipelines of diffusers with random weights and a few thousand numbers each, as ``save_pretrained`` writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LETTERS = "abcdefghijklmnopqrstuvwxyz,"
WORDS = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
TOKENS = 16


def tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(WORDS)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=TOKENS)


def text_config(**more: Any) -> Any:
    from transformers import CLIPTextConfig

    last = len(WORDS) - 1
    return CLIPTextConfig(
        vocab_size=len(WORDS), hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=TOKENS, bos_token_id=last - 1, eos_token_id=last, pad_token_id=last, **more,
    )  # fmt: skip


def t5(width: int = 16) -> dict[str, Any]:
    from transformers import T5Config, T5EncoderModel, T5TokenizerFast

    config = T5Config(vocab_size=200, d_model=width, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    letters = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", -9.0),
        ("\u2581", -2.0),
        *((letter, -3.0) for letter in LETTERS),
    ]
    return {"model": T5EncoderModel(config), "tokenizer": T5TokenizerFast(vocab=letters, extra_ids=0)}


def vae(channels: int = 4, **more: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2, latent_channels=channels,
        up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=2, sample_size=16, **more,
    )  # fmt: skip


def unet(channels: int = 4, **more: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8, in_channels=channels, out_channels=4, block_out_channels=(8, 8), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4, norm_num_groups=2, **({"cross_attention_dim": 16} | more),
    )  # fmt: skip


def scheduler() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(steps_offset=1, clip_sample=False)


def stable_diffusion(folder: Path, kind: str = "StableDiffusionPipeline", channels: int = 4, **more: Any) -> str:
    import diffusers
    import torch
    from transformers import CLIPTextModel

    torch.manual_seed(0)
    pipeline = getattr(diffusers, kind)(
        vae=vae(), text_encoder=CLIPTextModel(text_config()), tokenizer=tokenizer(folder), unet=unet(channels),
        scheduler=scheduler(), safety_checker=None, feature_extractor=None, requires_safety_checker=False, **more,
    )  # fmt: skip
    return saved(pipeline, folder)


def sdxl(folder: Path) -> str:
    import torch
    from diffusers import StableDiffusionXLPipeline
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(0)
    conditions = {
        "cross_attention_dim": 32, "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + 16,
    }  # fmt: skip
    pipeline = StableDiffusionXLPipeline(
        vae=vae(), text_encoder=CLIPTextModel(text_config()), tokenizer=tokenizer(folder),
        text_encoder_2=CLIPTextModelWithProjection(text_config(projection_dim=16)),
        tokenizer_2=tokenizer(folder), unet=unet(**conditions), scheduler=scheduler(), add_watermarker=False,
    )  # fmt: skip
    return saved(pipeline, folder)


def sd3(folder: Path) -> str:
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
    from transformers import CLIPTextModelWithProjection

    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(
        sample_size=16, patch_size=1, in_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=32, caption_projection_dim=16, pooled_projection_dim=32, out_channels=4,
        pos_embed_max_size=64,
    )  # fmt: skip
    other = t5(32)
    pipeline = StableDiffusion3Pipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(), vae=vae(shift_factor=0.06),
        text_encoder=CLIPTextModelWithProjection(text_config(projection_dim=16)), tokenizer=tokenizer(folder),
        text_encoder_2=CLIPTextModelWithProjection(text_config(projection_dim=16)), tokenizer_2=tokenizer(folder),
        text_encoder_3=other["model"], tokenizer_3=other["tokenizer"],
    )  # fmt: skip
    return saved(pipeline, folder)


def flux(folder: Path) -> str:
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
    from transformers import CLIPTextModel

    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=16, pooled_projection_dim=16, axes_dims_rope=(2, 2, 4),
    )  # fmt: skip
    other = t5()
    pipeline = FluxPipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(), vae=vae(shift_factor=0.06),
        text_encoder=CLIPTextModel(text_config()), tokenizer=tokenizer(folder), text_encoder_2=other["model"],
        tokenizer_2=other["tokenizer"],
    )  # fmt: skip
    return saved(pipeline, folder)


def controlnet(folder: Path) -> str:
    import torch
    from diffusers import ControlNetModel

    torch.manual_seed(1)
    model = ControlNetModel.from_unet(unet(), conditioning_embedding_out_channels=(4, 4))
    for weight in model.parameters():  # a fresh one says nothing: its outputs are zero
        torch.nn.init.normal_(weight, std=0.2)
    model.save_pretrained(folder)
    return str(folder)


def saved(pipeline: Any, folder: Path) -> str:
    pipeline.save_pretrained(folder / "pipeline")
    return str(folder / "pipeline")
