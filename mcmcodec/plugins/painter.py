"""Painter ``diffusers``: pipelines (Stable Diffusion, SDXL, SD3, Flux and others) from a local folder.

The folder is one that ``save_pretrained`` of a pipeline wrote. Nothing is fetched, and no code of the folder is run.
What it holds and what the file says decide what is done:

- an inpainting pipeline paints the whole picture, and then each region anew by its phrase;
- any other one starts from the decoded picture (image to image, SDEdit: Meng et al. 2022) or, where the file has none,
  from noise (text to image);
- with a ControlNet (Zhang et al. 2023), beside the pipeline or in it, both follow the file's edges.

The same request gives the same picture on the same machine.
"""

from __future__ import annotations

import inspect
import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import McmError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..image.painting import PaintRequest

STEPS: Final = 25
GREY: Final = (127, 127, 127)
MOST_REGIONS: Final = 8
"""Regions that an inpainting pipeline paints, the largest ones: each takes as long as the picture."""


class Painter:
    """A pipeline, and perhaps a ControlNet.

    Args:
        folder: where the pipeline was saved.
        device: ``auto``, ``cpu`` or ``cuda``.
        controlnet: where a ControlNet was saved, or nothing.

    Raises:
        UsageError: a folder holds no such thing.
    """

    def __init__(self, folder: str, device: str, controlnet: str = "") -> None:
        import torch
        from diffusers import DiffusionPipeline

        name = _class_in(folder, "model_index.json")
        if not name:
            raise UsageError(f"there is no pipeline in the folder {folder!r}", "give diffusers:FOLDER with a saved one")
        self.device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        pipeline: Any = DiffusionPipeline.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        self.pipeline = pipeline.to(self.device)
        self.inpaints = "Inpaint" in name
        self.controlnet: Any = _controlnet(controlnet) if controlnet else getattr(pipeline, "controlnet", None)
        if self.controlnet is not None:
            self.controlnet = self.controlnet.to(self.device)

    def __call__(self, request: PaintRequest) -> Image:
        """Paint at the pipeline's own number of pixels, in about the picture's shape."""
        from PIL import Image

        size = fitting(*request.size, self._side(), self._unit())
        start = request.picture and request.picture.resize(size, Image.Resampling.LANCZOS)
        prompt = self._prompt(request.caption, [phrase for _, phrase in request.regions])
        if self.inpaints:
            picture = start or Image.new("RGB", size, GREY)
            picture = self._inpaint(picture, Image.new("L", size, 255), prompt, request)
            ranked = sorted(request.regions, key=lambda one: _area(one[0]), reverse=True)
            for box, phrase in ranked[:MOST_REGIONS]:
                mask = Image.new("L", request.size)
                mask.paste(255, box)
                picture = self._inpaint(picture, mask.resize(size), self._prompt(phrase, [request.caption]), request)
            return picture
        if start is not None and _steps(request.strength) is None:
            return start
        edges = request.edges and request.edges.resize(size, Image.Resampling.BILINEAR).convert("RGB")
        pipeline, follows = self._pipeline(start is not None, edges is not None)
        keywords = inspect.signature(type(pipeline).__call__).parameters
        more: dict[str, Any] = {"num_inference_steps": STEPS}
        if "width" in keywords:
            more |= {"width": size[0], "height": size[1]}
        if start is not None:
            more |= {"image": start, "strength": request.strength, "num_inference_steps": _steps(request.strength)}
        if follows:
            # where a pipeline has both, `image` is what it starts from
            more["control_image" if "control_image" in keywords else "image"] = edges
        return self._run(pipeline, prompt, request.seed, more)

    def _pipeline(self, starts: bool, edges: bool) -> tuple[Any, bool]:
        """A pipeline of the same networks for text to image or image to image; and whether it follows edges.

        Not every family has one that starts from a picture and follows edges: the picture comes first.
        """
        from diffusers import AutoPipelineForImage2Image, AutoPipelineForText2Image

        kind: Any = AutoPipelineForImage2Image if starts else AutoPipelineForText2Image
        for controlnet in (self.controlnet, None) if edges and self.controlnet is not None else (None,):
            try:
                return kind.from_pipe(self.pipeline, controlnet=controlnet), controlnet is not None
            except ValueError as error:
                problem = error
        raise UsageError(
            f"{type(self.pipeline).__name__} is not for {'pictures' if starts else 'words alone'}",
            "give the folder of another pipeline",
        ) from problem

    def _inpaint(self, picture: Image, mask: Image, prompt: str, request: PaintRequest) -> Image:
        """Paint where a mask is white."""
        # at exactly 1 some pipelines take noise alone, and of others the first step is out of their schedule
        steps = _steps(request.strength)
        if steps is None:
            return picture
        more = {
            "image": picture, "mask_image": mask, "strength": request.strength, "num_inference_steps": steps,
            "width": picture.width, "height": picture.height,
        }  # fmt: skip
        return self._run(self.pipeline, prompt, request.seed, more)

    def _run(self, pipeline: Any, prompt: str, seed: int, more: dict[str, Any]) -> Image:
        import torch

        pipeline.set_progress_bar_config(disable=True)
        found = pipeline(prompt=prompt, generator=torch.Generator("cpu").manual_seed(seed), **more)
        if any(getattr(found, "nsfw_content_detected", None) or ()):
            raise McmError("the pipeline's safety checker withheld the picture", "use another pipeline")
        picture: Image = found.images[0]
        return picture

    def _prompt(self, text: str, more: list[str]) -> str:
        """A text and, as far as the tokenizer's limit allows, more that it does not say; too long a text is cut."""
        tokenizer = getattr(self.pipeline, "tokenizer", None)
        limit = min(getattr(tokenizer, "model_max_length", 77), 512)

        def fits(words: str) -> bool:
            return tokenizer is None or len(tokenizer(words, verbose=False).input_ids) <= limit

        words = text.split()
        while words and not fits(" ".join(words)):
            words.pop()
        prompt = " ".join(words)
        for phrase in more:
            longer = f"{prompt}, {phrase}" if prompt else phrase
            if not re.search(rf"\b{re.escape(phrase)}\b", prompt, re.IGNORECASE) and fits(longer):
                prompt = longer
        return prompt

    def _side(self) -> int:
        """Side of the square that the pipeline was trained on, in pixels."""
        inner = getattr(self.pipeline, "unet", None) or self.pipeline.transformer
        size: Any = getattr(inner.config, "sample_size", None) or getattr(self.pipeline, "default_sample_size", 64)
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


def _steps(strength: float) -> int | None:
    """Steps to ask for, so that the share of them which is done is one at least; None where nothing is to be done."""
    return max(STEPS, math.ceil(1 / strength)) if strength >= 1 / 1000 else None


def _area(box: tuple[int, int, int, int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _class_in(folder: str, file: str) -> str:
    """The class that a folder says it holds, or nothing."""
    path = Path(folder, file)
    return str(json.loads(path.read_text(encoding="utf-8")).get("_class_name", "")) if path.is_file() else ""


def _controlnet(folder: str) -> Any:
    import diffusers

    name = _class_in(folder, "config.json")
    kind = getattr(diffusers, name, None) if "ControlNet" in name else None
    if kind is None:
        raise UsageError(
            f"there is no ControlNet in the folder {folder!r}", "give --controlnet FOLDER with a saved one"
        )
    return kind.from_pretrained(folder, local_files_only=True, use_safetensors=True)
