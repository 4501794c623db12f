"""Plugins: captioners describe pictures in words, painters make pictures of what a file says.

A plugin is an entry point of the group ``mcmcodec.captioners`` or ``mcmcodec.painters``: a callable that takes a folder
(``str``, empty if none was given) and a device (``auto``, ``cpu``, ``cuda``) and returns the captioner or painter. One
that can use a ControlNet takes its folder as a keyword, ``controlnet``.
It is named ``NAME`` or ``NAME:FOLDER``. Two come with this package; they need its extras.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..errors import McmError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..image.painting import Painter, PaintRequest

CAPTIONERS = "mcmcodec.captioners"
PAINTERS = "mcmcodec.painters"
_OURS = {
    CAPTIONERS: {"transformers": "mcmcodec.plugins.captioner:Captioner"},
    PAINTERS: {"diffusers": "mcmcodec.plugins.painter:Painter"},
}


class Captioner(Protocol):
    """Describes a picture in words: an image-to-text model, say."""

    def __call__(self, image: Image) -> list[str]:
        """Candidates for the caption of an RGB picture, upright; none is a valid answer."""


def names(group: str) -> list[str]:
    """The plugins of a group that are installed."""
    return sorted({*_OURS[group], *(point.name for point in entry_points(group=group))})


def load_captioner(spec: str, device: str = "auto") -> Captioner:
    """Load the captioner ``NAME`` or ``NAME:FOLDER``; errors as :func:`_load`, and McmError from the captioner."""
    describe = _load(CAPTIONERS, spec, device)

    def checked(image: Image) -> list[str]:
        found = _guarded(describe, spec, image)
        if isinstance(found, str):
            found = [found]
        if not isinstance(found, (list, tuple)) or not all(isinstance(text, str) for text in found):
            raise McmError(f"the captioner {spec} did not answer with text", "ask whoever made it")
        return list(found)

    return checked


def load_painter(spec: str, device: str = "auto", controlnet: str | None = None) -> Painter:
    """Load the painter ``NAME`` or ``NAME:FOLDER``; errors as :func:`_load`, and McmError from the painter."""
    paint = _load(PAINTERS, spec, device, **({"controlnet": controlnet} if controlnet else {}))

    def checked(request: PaintRequest) -> Image:
        from PIL.Image import Image

        found = _guarded(paint, spec, request)
        if not isinstance(found, Image):
            raise McmError(f"the painter {spec} did not answer with a picture", "ask whoever made it")
        return found

    return checked


def _load(group: str, spec: str, device: str, **more: str) -> Any:
    """Find and start a plugin. UsageError when there is none of the name, it lacks a package, or it will not start."""
    name, _, folder = spec.partition(":")
    kind = group.rpartition(".")[2].removesuffix("s")
    points = {point.name: point for point in entry_points(group=group)}
    if name not in points and name not in _OURS[group]:
        raise UsageError(f"there is no {kind} {name}", f"choose from {', '.join(names(group))}, as NAME:FOLDER")
    try:
        if name in points:
            factory = points[name].load()
        else:
            module, _, attribute = _OURS[group][name].partition(":")
            factory = getattr(import_module(module), attribute)
        return cast(Any, factory)(folder, device, **more)
    except McmError:
        raise
    except ImportError as error:
        raise UsageError(
            f"the {kind} {name} needs the package {error.name or error}", f"pip install 'mcmcodec[{kind}]'"
        ) from error
    # Code of others may raise anything.
    except Exception as error:
        raise UsageError(f"the {kind} {spec} does not start ({_brief(error)})", "check its folder") from error


def _guarded(call: Any, spec: str, *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except (McmError, MemoryError):
        raise
    # Code of others may raise anything; it must not look like an error of ours.
    except Exception as error:
        raise McmError(f"{spec} failed ({_brief(error)})", "try another model, or another picture") from error


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
