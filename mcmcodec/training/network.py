"""The whole codec as one differentiable network: analysis, entropy nets with rounding in the loop, synthesis."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model.analysis import Analysis
from ..model.config import KNOTS, LAMBDA_LOW, LAMBDA_RATIO, QUALITY_MAX, ModelConfig
from ..model.entropy_nets import Coarse, Coded, EntropyNets
from ..model.layers import patchify, quality_weights, to_cells
from ..model.synthesis import Synthesis


def lagrange_lambda(quality: Tensor) -> Tensor:
    """``model.config.lagrange_lambda`` for a batch of qualities (B,)."""
    return LAMBDA_LOW * LAMBDA_RATIO ** (quality.float() / QUALITY_MAX)


@dataclass
class Seen:
    """What a decoder gets of a batch.

    Attributes:
        y_hat: dequantised latents (B, h, w, latents).
        psi: hyper-decoder features (B, h, w, features).
        mask: visible patches (B, h, w) bool.
        weights: quality interpolation weights (B, 6).
    """

    y_hat: Tensor
    psi: Tensor
    mask: Tensor
    weights: Tensor

    def __getitem__(self, part: slice) -> Seen:
        """Some pictures of the batch."""
        return Seen(self.y_hat[part], self.psi[part], self.mask[part], self.weights[part])


class Network(nn.Module):
    """The whole codec, differentiable; ``decoder`` gives the synthesis transform other sizes than the model's.

    ``second_decoder`` paints the same latents for another judge, while both are trained together with the stream.
    """

    def __init__(self, config: ModelConfig, decoder: ModelConfig | None = None) -> None:
        super().__init__()
        self.config = config
        self.rdoq_strength = 0.0  # of rate-distortion optimised quantisation, in the loop
        self.low_precision = False  # bfloat16 in the float transforms; the entropy nets always need float32
        self.analysis = Analysis(config)
        self.entropy = EntropyNets(config)
        self.synthesis = Synthesis(decoder or config)
        self.second_decoder: Synthesis | None = None

    @torch.no_grad()
    def pca_start(self, pixels: Tensor) -> None:
        """Make the untrained network a working transform codec.

        Args:
            pixels: (B, 3, H, W) in [0, 1]; a few hundred crops.
        """
        a, s = self.analysis, self.synthesis
        x = patchify(pixels).reshape(-1, a.embed.in_features) - 0.5
        mean = x.mean(0)
        values, vectors = torch.linalg.eigh(((x - mean).T @ (x - mean) / len(x)).double())
        basis = vectors.flip(1).T.float()[: a.embed.out_features]  # (D, 768), largest variance first
        spread = values.flip(0).clamp(min=0).sqrt().float()
        a.embed.weight.copy_(basis)
        a.embed.bias.copy_(-basis @ mean)
        a.scale.copy_(1 / (spread[: len(basis)] + 0.1))
        n = self.config.latents
        s.linear.weight.copy_(basis[:n].T)
        s.linear.bias.copy_(mean)
        s.scale.copy_(1 / (spread[:n] + 0.1))
        knots = torch.linspace(0, QUALITY_MAX, KNOTS)
        a.log_gain.copy_((lagrange_lambda(knots).sqrt() / 5.1).log()[:, None].expand(KNOTS, n))
        if self.config.coarse:
            self.start_coarse(pixels)

    @torch.no_grad()
    def start_coarse(self, pixels: Tensor) -> None:
        """Start the coarse latents: a PCA basis of 32x32 pixels, gains, and the best linear prediction of patches.

        The averages of 2x2 patches' coefficients (Haar) would be a basis, too; measured on 500 crops, PCA predicts the
        patches with a third less squared error at equal entropy. Gains are small, and nearly nothing from quality 20
        on: with every patch visible, what coarse latents say is said again, and 0.02 bpp of them saved 0.009.

        Args:
            pixels: (B, 3, H, W) in [0, 1]; a few hundred crops.
        """
        a, n = self.analysis, self.config.coarse
        t = torch.cat([a.tokens(x) for x in torch.split(pixels, 50)])
        cells = to_cells(t)[..., : a.seen].flatten(3)  # (B, zh, zw, 4 seen)
        flat = cells.flatten(0, 2)
        mean = flat.mean(0)
        _, vectors = torch.linalg.eigh(((flat - mean).T @ (flat - mean) / len(flat)).double())
        basis = vectors.flip(1).T.float()[:n]
        a.coarse_basis.weight.copy_(basis)
        a.coarse_basis.bias.copy_(-basis @ mean)
        fine = a.log_gain[:, : self.config.latents].sort(1, descending=True).values[:, :n]
        steps = torch.tensor([0.5, 0.17, 0.1, 0.1, 0.1, 0.1]).log()
        a.coarse_log_gain.copy_(fine[0] + steps[:, None])
        # prediction from 3x3 cells with the noise of quantisation at quality 0
        c = a.coarse_basis(cells)
        c = (c + (torch.rand_like(c) - 0.5) * torch.exp(-a.coarse_log_gain[0])).permute(0, 3, 1, 2)
        u = F.unfold(F.pad(c, (1, 1, 1, 1), mode="replicate"), 3).transpose(1, 2).flatten(0, 1)
        u = torch.cat([u, torch.ones(len(u), 1)], 1).double()
        wanted = to_cells(t)[..., : self.config.expected].flatten(3).flatten(0, 2).double()
        gram = u.T @ u
        found = torch.linalg.solve(gram + 1e-4 * gram.diag().mean() * torch.eye(len(gram)), u.T @ wanted)
        self.entropy.expect_weight.copy_(found[:-1].T.reshape(self.entropy.expect_weight.shape))
        self.entropy.expect_bias.copy_(found[-1])

    @torch.no_grad()
    def choose_mask(self, t: Tensor, smooth: Tensor, weights: Tensor, threshold: float | None = None) -> Tensor:
        """Masks (B, h, w): at random of the kinds that a file may have, or by ``threshold`` alone.

        The score of a patch is the energy of its gained latents beyond what a smooth picture has there, each past
        half a step: near to what the rate-distortion choice looks at.
        """
        b, h, w, _ = t.shape
        n = self.config.latents
        beyond = t[..., :n] * self.analysis.gains(weights)[:, None, None, :]
        beyond[..., : smooth.shape[-1]] -= smooth
        score = (beyond.square() - 0.25).clamp(min=0).sum(-1)
        if threshold is not None:
            return score > threshold
        u = torch.rand(b, 4, device=t.device)[:, :, None, None]
        by_energy = score > torch.exp(u[:, 1] * 2.0 - 1.4)  # 0.25 to 1.8
        ranked = torch.where(u[:, 2] < 0.5, score, torch.rand_like(score)).flatten(1)
        place = ranked.argsort(1, descending=True).argsort(1).view(b, h, w)
        by_share = place < u[:, 3] * (h * w)
        # files of high quality show every patch more often, because that is what pays
        shown = 0.5 + 0.35 * (weights @ torch.linspace(0, 2, KNOTS, device=t.device)).clamp(max=1)[:, None, None]
        kind = u[:, 0]
        return (kind < shown) | ((kind < 0.97) & by_energy) | ((kind >= 0.97) & by_share)

    def forward(self, x: Tensor, quality: Tensor, mask: Tensor | float | None = None) -> tuple[Tensor, Coded]:
        """Code and decode a batch; arguments as for :meth:`code`."""
        seen, coded = self.code(x, quality, mask)
        return self.paint(seen), coded

    def code(self, x: Tensor, quality: Tensor, mask: Tensor | float | None = None) -> tuple[Seen, Coded]:
        """What a decoder gets of a batch; and what coding it took.

        Args:
            x: pixels (B, 3, H, W) in [0, 1], sides multiples of 64.
            quality: (B,) in 0..100.
            mask: visible patches (B, H/16, W/16) bool; a threshold of :meth:`choose_mask`; drawn at random if None.
        """
        a, weights = self.analysis, quality_weights(quality)
        t = a.tokens(x)
        coarse = self.code_coarse(t, weights, quality)
        if not isinstance(mask, Tensor):
            mask = self.choose_mask(t, coarse.smooth, weights, mask)
        with self._autocast(x):
            y = a.latents(x, t, None if bool(mask.all()) else mask, weights).float()
        gain = a.gains(weights)[:, None, None, :]
        worth = self.worth(quality, a.gains(weights))
        coded = self.entropy(y * gain, mask, coarse, weights, worth)
        return Seen(coded.v_hat / gain, coded.psi, mask, weights), coded

    def worth(self, quality: Tensor, gains: Tensor) -> Tensor | None:
        """Squared error of gained latents that a bit is worth in quantisation (B, channels); None rounds to nearest."""
        if not self.rdoq_strength:
            return None
        lam = lagrange_lambda(quality)[:, None]
        return (self.rdoq_strength * 3 * gains.square() / lam).detach()

    def code_coarse(self, t: Tensor, weights: Tensor, quality: Tensor) -> Coarse:
        """Hyper-latent and coarse latents of embeddings t (B, h, w, D)."""
        a = self.analysis
        with self._autocast(t):
            z, c = a.hyper(t, weights).float(), a.coarse(t, weights).float()
        gain, coarse_gain = a.gains(weights), a.coarse_gains(weights)
        worth = self.worth(quality, coarse_gain)
        c = c * coarse_gain[:, None, None, :]
        return self.entropy.code_coarse(c, z, coarse_gain, gain, weights, t.shape[1], t.shape[2], worth)

    def paint(self, seen: Seen, decoder: Synthesis | None = None) -> Tensor:
        """The synthesis transform, or another decoder, float32 out."""
        with self._autocast(seen.y_hat):
            out: Tensor = (decoder or self.synthesis)(seen.y_hat, seen.psi, seen.mask, seen.weights)
            return out.float()

    def _autocast(self, x: Tensor) -> torch.autocast:
        return torch.autocast(x.device.type, torch.bfloat16, enabled=self.low_precision)
