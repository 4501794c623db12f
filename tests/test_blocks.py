"""Blocks of the float transforms: each against a direct computation, and what masks and tiles may not change."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcmcodec.model.blocks import BiRwkv, Bottleneck, Depthwise, WindowAttention, bi_wkv, block
from mcmcodec.model.config import PRESETS, WINDOW

WIDTH, HEADS = 12, 3
KINDS = "adwcl"


def fresh(kind: str) -> nn.Module:
    torch.manual_seed(0)
    return block(kind, PRESETS["tiny"], WIDTH).double()


def stirred(kind: str) -> nn.Module:
    module = WindowAttention(WIDTH, WIDTH // HEADS).double() if kind == "a" else fresh(kind)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=p.dtype) * 0.3)
    return module


def tokens(h: int = 11, w: int = 18) -> Tensor:
    return torch.randn(2, h, w, WIDTH, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def mask(h: int = 11, w: int = 18) -> Tensor:
    """Half of the tokens, and one window without any."""
    found = torch.rand(2, h, w, 1, generator=torch.Generator().manual_seed(3)) < 0.5
    found[0, :WINDOW, :WINDOW] = False
    return found.double()


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_block_is_the_identity(kind: str) -> None:
    t = tokens()
    assert torch.equal(fresh(kind)(t), t)


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_tokens_are_not_seen(kind: str) -> None:
    """Whatever stands in hidden tokens, visible ones come out the same; and masks do matter."""
    module, t, visible = stirred(kind), tokens(), mask()
    with torch.no_grad():
        first = module(t * visible, visible) * visible
        other = module(t * visible + 7 * (1 - visible), visible) * visible
        unmasked = module(t * visible) * visible
    assert first.isfinite().all()
    torch.testing.assert_close(first, other)
    assert not torch.allclose(first, unmasked)


@pytest.mark.parametrize("kind", KINDS)
def test_all_visible_is_no_mask(kind: str) -> None:
    module, t = stirred(kind), tokens(16, 24)
    with torch.no_grad():
        torch.testing.assert_close(module(t, torch.ones_like(t[..., :1])), module(t))


@pytest.mark.parametrize("kind", "adcl")
def test_tiles_compute_the_same(kind: str) -> None:
    """A tile that begins at a window and has a window of context around it gives what the whole picture gives."""
    module, t = stirred(kind), tokens(24, 24)
    with torch.no_grad():
        whole, tile = module(t), module(t[:, :, :16])
    torch.testing.assert_close(tile[:, :, :WINDOW], whole[:, :, :WINDOW])


@pytest.mark.parametrize("masked", [False, True])
def test_window_attention_is_attention_in_windows(masked: bool) -> None:
    """Against one softmax after another, over the visible tokens of each window (packed, as no dense code has it)."""
    module = stirred("a")
    assert isinstance(module, WindowAttention)
    t = tokens()
    visible = mask() if masked else torch.ones_like(t[..., :1])
    wanted = torch.zeros_like(t)
    for b in range(2):
        for top in range(0, t.shape[1], WINDOW):
            for left in range(0, t.shape[2], WINDOW):
                places = [
                    (y, x) for y in range(top, min(top + WINDOW, t.shape[1]))
                    for x in range(left, min(left + WINDOW, t.shape[2])) if visible[b, y, x]
                ]  # fmt: skip
                if not places:
                    continue
                packed = torch.stack([t[b, y, x] for y, x in places])
                place = torch.stack([module.place[(y - top) * WINDOW + x - left] for y, x in places])
                q, k, v = module.qkv(module.norm1(packed) + place).view(len(places), 3, HEADS, -1).unbind(1)
                heads = [
                    torch.softmax(q[:, i] @ k[:, i].T / math.sqrt(q.shape[-1]), -1) @ v[:, i] for i in range(HEADS)
                ]
                u = packed + module.out(torch.cat(heads, -1))
                u = u + module.down(F.relu(module.up(module.norm2(u))))
                for (y, x), value in zip(places, u, strict=True):
                    wanted[b, y, x] = value
    with torch.no_grad():
        torch.testing.assert_close(module(t, visible if masked else None) * visible, wanted * visible)


@pytest.mark.parametrize("masked", [False, True])
def test_depthwise_is_what_it_says(masked: bool) -> None:
    module = stirred("d")
    assert isinstance(module, Depthwise)
    t = tokens()
    visible = mask() if masked else torch.ones_like(t[..., :1])
    u = F.silu(module.enter(module.norm1(t))) * visible
    padded = F.pad(u, (0, 0, 1, 1, 1, 1))
    mixed = torch.zeros_like(t)
    for dy in range(3):
        for dx in range(3):
            mixed += padded[:, dy : dy + t.shape[1], dx : dx + t.shape[2]] * module.mix.weight[:, 0, dy, dx]
    mixed = mixed + module.mix.bias
    gated = torch.zeros_like(mixed)
    for b in range(2):
        for top in range(0, t.shape[1], WINDOW):
            for left in range(0, t.shape[2], WINDOW):
                part = (b, slice(top, top + WINDOW), slice(left, left + WINDOW))
                shown = mixed[part][visible[part][..., 0] > 0]
                mean = shown.mean(0) if len(shown) else torch.zeros(WIDTH, dtype=t.dtype)
                gated[part] = mixed[part] * 2 * torch.sigmoid(module.attend(mean))
    wanted = t + module.out(gated)
    wide = F.silu(module.up(module.norm2(wanted)))
    wanted = wanted + module.down(sum(wide.chunk(4, -1), torch.zeros_like(t)))
    with torch.no_grad():
        torch.testing.assert_close(module(t, visible if masked else None) * visible, wanted * visible)


def test_bottleneck_is_three_convolutions() -> None:
    module, t = stirred("c"), tokens()
    assert isinstance(module, Bottleneck)
    u = F.relu(module.reduce(module.norm(t))).permute(0, 3, 1, 2)
    wanted = t + module.expand(F.relu(module.mix(u)).permute(0, 2, 3, 1))
    with torch.no_grad():
        torch.testing.assert_close(module(t), wanted)


def test_two_cumulative_sums_are_the_quadratic_form() -> None:
    """Bi-WKV (LALIC) against its definition, every pair of tokens by itself."""
    torch.manual_seed(4)
    k, v = torch.randn(2, 37, 5, dtype=torch.float64) * 2, torch.randn(2, 37, 5, dtype=torch.float64)
    decay, bonus = torch.rand(5, dtype=torch.float64) * 0.3, torch.randn(5, dtype=torch.float64)
    wanted = torch.zeros_like(v)
    for i in range(37):
        weight = torch.stack([
            torch.exp(bonus + k[:, j]) if i == j else torch.exp(k[:, j] - decay * (abs(i - j) - 1)) for j in range(37)
        ], 1)  # fmt: skip
        wanted[:, i] = (weight * v).sum(1) / weight.sum(1)
    torch.testing.assert_close(bi_wkv(k, v, decay, bonus), wanted, rtol=1e-6, atol=1e-7)


def test_omni_shift_and_decay_of_the_rwkv_block() -> None:
    """The block against the quadratic form, from its own parameters."""
    module, t = stirred("w"), tokens(5, 6)
    assert isinstance(module, BiRwkv)
    u = module.norm1(t)
    shifted = u + F.conv2d(u.permute(0, 3, 1, 2), module.shift.weight, padding=2, groups=WIDTH).permute(0, 2, 3, 1)
    r, k, v = module.rkv(shifted).view(2, 30, 3, WIDTH).unbind(2)
    decay = F.softplus(module.decay) / 30
    y = torch.zeros_like(v)
    for i in range(30):
        far = (torch.arange(30) - i).abs()[:, None].double()
        weight = torch.exp(k - decay * (far - 1))
        weight[:, i] = torch.exp(module.bonus + k[:, i])
        y[:, i] = (weight * v).sum(1) / weight.sum(1)
    wanted = t + module.out((torch.sigmoid(r) * y).view(t.shape))
    u = module.norm2(wanted)
    wanted = wanted + torch.sigmoid(module.receive(u)) * module.down(F.relu(module.up(u)).square())
    with torch.no_grad():
        torch.testing.assert_close(module(t), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_parameter(kind: str) -> None:
    module = stirred(kind)
    module(tokens(), mask()).square().sum().backward()
    assert not [name for name, p in module.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
