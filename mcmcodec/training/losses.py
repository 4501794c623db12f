"""What judges a picture beside squared error, MS-SSIM and LPIPS: colour of blocks, patterns, an adversary."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model.config import PATCH


def random_paired_crop(reach: int, *pictures: Tensor) -> list[Tensor]:
    """The same random crop of pictures (B, 3, H, W), their sides shorter by ``reach`` - 1; 1 leaves them as they are.

    LPIPS looks at every fourth pixel first. Where its grid always meets the decoder's the same way, the decoder learns
    a regular grain that only this one position of the grid likes.
    """
    y, x = (int(v) for v in torch.randint(reach, (2,)))
    h, w = (side - reach + 1 for side in pictures[0].shape[2:])
    return [picture[:, :, y : y + h, x : x + w] for picture in pictures]


def patch_periodic_loss(residual: Tensor) -> Tensor:
    """How much of an error (B, 3, H, W) repeats from patch to patch (B,): mean square of what patches have in common.

    Means are over squares of 4 x 4 patches. Errors that know nothing of the grid of patches nearly vanish there; a
    pattern that the decoder paints into every patch stays.
    """
    b, c, height, width = residual.shape
    side = PATCH * 4
    parts = residual[:, :, : height // side * side, : width // side * side]
    parts = parts.reshape(b, c, height // side, 4, PATCH, width // side, 4, PATCH)
    return parts.mean((3, 6)).square().flatten(1).mean(1)


def oklab(x: Tensor) -> Tensor:
    """Colours in OKLab (Ottosson 2020) of sRGB (..., 3, H, W) in [0, 1].

    The cube root is softened near black, so that gradients are finite.
    """
    x = x.clamp(0, 1)
    linear = torch.where(x <= 0.04045, x / 12.92, ((x.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)
    cones = torch.einsum("ij,...jhw->...ihw", linear.new_tensor(TO_CONES), linear)
    return torch.einsum("ij,...jhw->...ihw", linear.new_tensor(TO_LAB), (cones + 1e-3) ** (1 / 3))


TO_CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
TO_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)


def block_colour_loss(x: Tensor, y: Tensor) -> Tensor:
    """Squared difference (B,) of the mean colours of 8x8 and of 16x16 blocks in OKLab, a and b counted four times.

    Pictures (B, 3, H, W) in [0, 1]. Squared error alone lets colours fade: a and b have little energy.
    """
    both = torch.cat([x, y])
    out = x.new_zeros(len(x))
    for side in (8, 16):
        a, b = oklab(F.avg_pool2d(both, side)).chunk(2)
        square = (a - b).square().flatten(2).mean(2)
        out = out + square @ square.new_tensor([0.5, 2.0, 2.0])
    return out


class Balance:
    """Keeps one gradient in proportion to another: the length of an adversary's says little, and changes.

    The adaptive weight of Esser et al. 2021, at the pictures instead of the last layer.
    """

    def __init__(self, share: float) -> None:
        self.share, self.length = share, 0.0

    def leading(self, x: Tensor) -> Tensor:
        """``x``, whose gradient sets the length."""
        return self._hooked(x, self._note)

    def following(self, x: Tensor) -> Tensor:
        """``x``, whose gradient gets ``share`` of the leading one's length, on average."""
        return self._hooked(x, lambda grad: grad * (self.share * self.length / (float(grad.norm()) + 1e-12)))

    def _note(self, grad: Tensor) -> None:
        now = float(grad.norm())
        self.length = 0.9 * self.length + 0.1 * now if self.length else now

    @staticmethod
    def _hooked(x: Tensor, hook: Callable[[Tensor], Tensor | None]) -> Tensor:
        x = x.view_as(x)
        if x.requires_grad:
            x.register_hook(hook)  # type: ignore[no-untyped-call]
        return x


class Adversary(nn.Module):
    """A small patch discriminator with its own optimiser (Isola et al. 2017), hinge loss (Lim and Ye 2017).

    It sees a part of the decoded picture beside the original's blurred colours, so that it judges texture, not content.
    Made anew with every run; it is not part of a checkpoint.
    """

    def __init__(self, width: int = 48, rate: float = 4e-4, side: int = 128) -> None:
        """``side`` of the parts in pixels, a multiple of 16."""
        super().__init__()
        self.side = side
        self.layers = nn.Sequential(
            nn.Conv2d(6, width, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 2 * width, 3, 1, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 3, 1, 1),
        )  # fmt: skip
        self.optimizer = torch.optim.Adam(self.parameters(), lr=rate, betas=(0.5, 0.9))

    def forward(self, picture: Tensor, original: Tensor) -> Tensor:
        """Scores (B, 1, H/4, W/4), above 0 for what looks real."""
        blurred = F.interpolate(F.avg_pool2d(original, 16, ceil_mode=True), size=original.shape[2:], mode="bilinear")
        scores: Tensor = self.layers(torch.cat([(picture - blurred) * 4, blurred * 2 - 1], 1))
        return scores

    def discriminator_step(self, x: Tensor, x_hat: Tensor) -> float:
        """One step of its own on originals x and decoded pictures x_hat; returns its loss."""
        x, x_hat = self._part(x, x_hat)
        self.requires_grad_(True)
        loss = F.relu(1 - self(x, x)).mean() + F.relu(1 + self(x_hat.detach(), x)).mean()
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.requires_grad_(False)
        return float(loss.detach())

    def generator_loss(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """The decoder's loss (B,): lower where the adversary takes it for real."""
        x, x_hat = self._part(x, x_hat)
        scores: Tensor = self(x_hat, x)
        return -scores.flatten(1).mean(1)

    def _part(self, *pictures: Tensor) -> list[Tensor]:
        return random_paired_crop(max(1, min(pictures[0].shape[2:]) - self.side + 1), *pictures)
