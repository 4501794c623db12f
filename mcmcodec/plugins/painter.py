"""Painter ``diffusers``: text-to-image pipelines (Stable Diffusion and others) from a local folder.

The folder is one that ``save_pretrained`` of a pipeline wrote. Nothing is fetched, and no code of the folder is run.
The same words give the same picture on the same machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import McmError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

STEPS = 25
SEED = 0


class Painter:
    """A pipeline.

    Args:
        folder: where it was saved.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UsageError: the folder holds no pipeline.
    """

    def __init__(self, folder: str, device: str) -> None:
        import torch
        from diffusers import AutoPipelineForText2Image

        if not folder or not Path(folder, "model_index.json").is_file():
            raise UsageError(f"there is no pipeline in the folder {folder!r}", "give diffusers:FOLDER with a saved one")
        self.device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        pipeline: Any = AutoPipelineForText2Image.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        pipeline.set_progress_bar_config(disable=True)
        self.pipeline = pipeline.to(self.device)

    def __call__(self, caption: str, width: int, height: int) -> Image:
        """Paint at the pipeline's own number of pixels, in about the picture's shape."""
        import torch

        w, h = fitting(width, height, self._side(), self._unit())
        seed = torch.Generator("cpu").manual_seed(SEED)
        found = self.pipeline(prompt=caption, width=w, height=h, num_inference_steps=STEPS, generator=seed)
        if any(getattr(found, "nsfw_content_detected", None) or ()):
            raise McmError("the pipeline's safety checker withheld the picture", "use another pipeline")
        picture: Image = found.images[0]
        return picture

    def _side(self) -> int:
        """Side of the square that the pipeline was trained on, in pixels."""
        inner = getattr(self.pipeline, "unet", None) or self.pipeline.transformer
        size = inner.config.sample_size
        return int(size if isinstance(size, int) else max(size)) * self._scale()

    def _scale(self) -> int:
        return int(getattr(self.pipeline, "vae_scale_factor", 8))

    def _unit(self) -> int:
        """What sides are to be multiples of: whole latents, and halves of them at two depths at least."""
        return max(8, self._scale()) * 2


def fitting(width: int, height: int, side: int, unit: int) -> tuple[int, int]:
    """Sides of about side x side pixels in the shape of width x height, at most 1:4, in multiples of ``unit``."""
    ratio = min(max(width / height, 1 / 4), 4.0) ** 0.5
    return max(unit, round(side * ratio / unit) * unit), max(unit, round(side / ratio / unit) * unit)
