"""Captioner ``transformers``: image-to-text models (BLIP, Florence-2 and others) from a local folder.

The folder is one that ``save_pretrained`` of model and processor wrote. Nothing is fetched, and no code of the folder
is run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

PROMPTS = {"florence2": "<CAPTION>"}
"""What a kind of model wants to be asked, by its ``model_type``."""
MAX_TOKENS = 40
BEAMS = 3


class Captioner:
    """A model and its processor.

    Args:
        folder: where they were saved.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UsageError: the folder holds no such model.
    """

    def __init__(self, folder: str, device: str) -> None:
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        config = Path(folder, "config.json")
        if not folder or not config.is_file():
            raise UsageError(
                f"there is no model in the folder {folder!r}", "give transformers:FOLDER"
            )
        kind = json.loads(config.read_text(encoding="utf-8")).get("model_type", "")
        self.device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self.prompt = PROMPTS.get(kind, "")
        self.processor: Any = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model: Any = AutoModelForImageTextToText.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
        self.model = model.eval().to(self.device)

    def __call__(self, image: Image) -> list[str]:
        """The best captions by beam search, the likeliest first."""
        import torch

        text = {"text": self.prompt} if self.prompt else {}
        inputs = self.processor(images=image, return_tensors="pt", **text).to(self.device)
        with torch.inference_mode():
            found = self.model.generate(
                **inputs, max_new_tokens=MAX_TOKENS, num_beams=BEAMS, num_return_sequences=BEAMS, do_sample=False
            )
        return [str(line).strip() for line in self.processor.batch_decode(found, skip_special_tokens=True)]
