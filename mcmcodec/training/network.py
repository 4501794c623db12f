"""Stage: all stages of training share this module: analysis, entropy nets with rounding in the loop, synthesis."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..model.analysis import Analysis
from ..model.config import KNOTS, LAMBDA_LOW, LAMBDA_RATIO, QUALITY_MAX, ModelConfig
from ..model.layers import knot_weights, patchify
from ..model.synthesis import Synthesis
from .entropy import Coded, EntropyNets


def trade(quality: Tensor) -> Tensor:
    """``model.config.trade`` for a batch of qualities (B,)."""
    return LAMBDA_LOW * LAMBDA_RATIO ** (quality.float() / QUALITY_MAX)


class Network(nn.Module):
    """The whole codec, differentiable; ``decoder`` gives the synthesis transform other sizes than the model's.

    ``companion`` is a second decoder of the same latents, while one is trained together with the stream.
    """

    def __init__(self, config: ModelConfig, decoder: ModelConfig | None = None) -> None:
        super().__init__()
        self.config = config
        self.half = False  # bfloat16 in the float transforms; the entropy nets always need float32
        self.analysis = Analysis(config)
        self.entropy = EntropyNets(config)
        self.synthesis = Synthesis(decoder or config)
        self.companion: Synthesis | None = None

    @torch.no_grad()
    def pca_start(self, pixels: Tensor) -> None:
        """Stage 0: make the untrained network a working transform codec.

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
        a.log_gain.copy_((trade(knots).sqrt() / 5.1).log()[:, None].expand(KNOTS, n))

    def choose_mask(self, t: Tensor, knots: Tensor) -> Tensor:
        """Random masks (B, h, w) of the kinds that a user may ask for: all, by threshold, by share, at random."""
        b, h, w, _ = t.shape
        first, last = self.config.base, self.config.latents
        gained = t[..., first:last] * self.analysis.gains(knots)[:, None, None, first:]
        score = (gained.square() - 0.3).clamp(min=0).sum(-1)  # (B, h, w)
        u = torch.rand(b, 4, device=t.device)
        threshold = torch.exp(u[:, 1] * 5.8 - 1.2)[:, None, None]
        by_energy = score > threshold
        noise = torch.rand_like(score)
        ranked = torch.where(u[:, 2, None, None] < 0.5, score, noise).flatten(1)
        place = ranked.argsort(1, descending=True).argsort(1).view(b, h, w)
        by_share = place < (0.1 + 0.9 * u[:, 3, None, None]) * (h * w)
        kind = u[:, 0, None, None]
        # most files show every patch, because that is what pays most often
        return (kind < 0.6) | ((kind < 0.8) & by_energy) | ((kind >= 0.8) & by_share)

    def forward(
        self, x: Tensor, quality: Tensor, mask: Tensor | None = None, rate: bool = True
    ) -> tuple[Tensor, Coded | None]:
        """Code and decode a batch.

        Args:
            x: pixels (B, 3, H, W) in [0, 1], sides multiples of 32.
            quality: (B,) in 0..100.
            mask: visible patches (B, H/16, W/16); drawn at random if None.
            rate: without it no bits are counted and uniform noise stands for quantisation (masked image modelling).
        """
        if rate:
            seen, coded = self.code(x, quality, mask)
            return self.paint(*seen), coded
        v, z, mask, knots, gain = self.analyse(x, quality, mask)
        n = self.config.base
        sent = mask[..., None].expand(*v.shape[:3], v.shape[3] - n)
        noisy = (v + torch.rand_like(v) - 0.5) * torch.cat([torch.ones_like(v[..., :n]), sent], -1)
        psi = self.entropy.features(z + torch.rand_like(z) - 0.5, knots, *mask.shape[1:])
        return self.paint(noisy / gain, psi, mask, knots), None

    def code(
        self, x: Tensor, quality: Tensor, mask: Tensor | None = None
    ) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], Coded]:
        """What a decoder gets of a batch, that is y_hat, psi, mask and knots; and what coding it took."""
        v, z, mask, knots, gain = self.analyse(x, quality, mask)
        coded = self.entropy(v, z, mask, knots)
        return (coded.v_hat / gain, coded.psi, mask, knots), coded

    def analyse(self, x: Tensor, quality: Tensor, mask: Tensor | None) -> tuple[Tensor, ...]:
        """Gained latents v, hyper-latent z, mask, knots and gains of a batch, float32."""
        a = self.analysis
        knots = knot_weights(quality)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.half):
            t = a.tokens(x).float()
            if mask is None:
                with torch.no_grad():
                    mask = self.choose_mask(t, knots)
            y, z = a.latents(t, mask, knots).float(), a.hyper(t, knots).float()
        gain = a.gains(knots)[:, None, None, :]
        return y * gain, z, mask, knots, gain

    def paint(
        self, y_hat: Tensor, psi: Tensor, mask: Tensor, knots: Tensor, decoder: Synthesis | None = None
    ) -> Tensor:
        """The synthesis transform, or another decoder, float32 out."""
        with torch.autocast(y_hat.device.type, torch.bfloat16, enabled=self.half):
            return (decoder or self.synthesis)(y_hat, psi, mask, knots).float()
