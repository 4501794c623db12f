"""One command that trains a model within a time budget: all stages in one process, resumable at any second."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..errors import UsageError
from ..metrics.ms_ssim import MINIMUM_SIDE
from ..model.config import HYPER, PATCH, PRESETS
from ..model.synthesis import Synthesis
from .cached import FirstDecoder, LatentCache, SecondDecoder
from .data import Crops, DeviceCrops, MixedCrops
from .export import freeze_network, load_frozen
from .grow import grow, with_noise
from .light import Imitation, replacements
from .loop import LoopConfig, load, matmul_rate, save, train
from .losses import Adversary
from .network import Network
from .stages import Check, EntropyOnly, Fidelity, ForOneDecoder, Joint, Perceptual, Stage

NOISE_CHANNELS = 4
SIDE = PATCH * HYPER
"""A crop's side is a multiple of it: a cell of the hyper-latent in pixels."""
LARGE_SHARE = 0.25
"""Of the crops of photographs, those of the large ones."""
STAGES = ("entropy", "joint", "analysis", "perceptual", "adversarial", "light")
USUAL = tuple(name for name in STAGES if name != "analysis")
"""Of them, those of a whole training: with `analysis` the only analysis would no longer serve the first decoder."""
DECODER_STAGES = {"analysis": (1.0, 0.6), "perceptual": (0.45, 0.75), "adversarial": (0.2, 0.3), "light": (0.35, 1.0)}
"""Share of the decoders' time, and of the highest learning rate, of each of their stages."""
CACHE_SHARE, CACHE_MOST = 0.15, 20000
"""Of a decoder's stage, the time in which latents are cached; and how many crops at most."""


@dataclass
class Options:
    """Options of the command ``timed``.

    Attributes:
        data: folder of tars or pictures.
        large: another one, of large photographs, or None.
        val: folder of validation pictures of one size, or None.
        out: folder for checkpoints and log; what lies there is gone on with.
        cache: where decoded pictures are kept.
        init: checkpoint or frozen model (NAME.json) to start from, or None for a PCA start.
        preset: sizes.
        minutes: time budget.
        steps: if above 0, steps of every stage instead of a time: for rehearsals.
        device: ``cpu`` or ``cuda``.
        batch: pictures per step.
        size: side of a crop in pixels, a multiple of 64.
        peak: highest learning rate.
        rdoq_strength: of rate-distortion optimised quantisation in training.
        perceptual_weight: weight of the second decoder's loss.
        structure: weight of 1 - MS-SSIM in it.
        features: half of a batch is judged by EfficientNet's features there, not by LPIPS.
        tune: the decoder that the stage ``analysis`` is for, one of ``mcmcodec.options.TUNES``.
        entropy_minutes: of them for the entropy networks alone, first.
        low_precision: bfloat16 in the float transforms; None where this device multiplies faster that way.
        decoder_share: share of the time, after the entropy networks', for the perceptual and the light decoder alone.
        stages: which of ``STAGES`` are run; they divide the time as they would with the others.
        save_every: seconds between checkpoints.
        check_every: seconds between looks at the validation pictures.
        check_pictures: how many of them.
        export: whether frozen files are written with each checkpoint.
        resident: pictures lie on the device even if that is the CPU: for rehearsals.
        compiled: torch.compile the decoders; pays on GPUs.
        seed: of all randomness.
    """

    data: Path
    out: Path
    cache: Path
    large: Path | None = None
    val: Path | None = None
    init: Path | None = None
    preset: str = "medium"
    minutes: float = 10.0
    steps: int = 0
    device: str = "cpu"
    batch: int = 8
    size: int = 256
    peak: float = 8e-4
    rdoq_strength: float = 0.15
    perceptual_weight: float = 0.04
    structure: float = 0.0
    features: bool = False
    tune: str = "perceptual"
    entropy_minutes: float = 0.0
    low_precision: bool | None = None
    decoder_share: float = 0.0
    stages: tuple[str, ...] = USUAL
    save_every: float = 180.0
    check_every: float = 300.0
    check_pictures: int = 12
    export: bool = False
    resident: bool = False
    compiled: bool = False
    seed: int = 1


def start(o: Options, crops: Crops) -> tuple[Network, dict[str, Any]]:
    """The network that training begins with, two decoders in it, and its history."""
    if o.init is None:
        network, history = Network(PRESETS[o.preset]), {"seen": 0}
        network.pca_start(crops.batch(400, o.device).cpu())
    elif o.init.suffix == ".json":
        network, history = thawed(o.init, o.tune)
        if network.config != PRESETS[o.preset]:
            coarse = network.config.coarse
            network = grow(network, PRESETS[o.preset])
            if network.config.coarse != coarse:
                network.start_coarse(crops.batch(500, o.device).cpu())
    else:
        network, history = load(o.init)
    if network.second_decoder is None:
        give_second_decoder(network)
    return network, history


def give_second_decoder(network: Network) -> None:
    """A second decoder that starts as the first one, with noise to shape beside it."""
    second = Synthesis(network.synthesis.config)
    second.load_state_dict(network.synthesis.state_dict())
    network.second_decoder = with_noise(second, NOISE_CHANNELS)


def thawed(card: Path, tune: str = "perceptual") -> tuple[Network, dict[str, Any]]:
    """A frozen model (NAME.json) as it is trained on, with the analysis for one of its decoders.

    The decoder ``fidelity`` is the first one, the default decoder the second.
    """
    fidelity = tune == "fidelity"
    network, history = load_frozen(card, "fidelity" if fidelity else None)
    other, _ = load_frozen(card, None if fidelity else "fidelity")
    first, second = (network, other) if fidelity else (other, network)
    network.synthesis, network.second_decoder = first.synthesis, second.synthesis
    return network, history


@dataclass
class Part:
    """A stage and what it gets of the time."""

    name: str
    share: float
    peak: float


def parts(o: Options) -> list[Part]:
    """The stages in order. Shares are of the whole budget."""
    entropy = o.entropy_minutes / o.minutes
    found = [Part("entropy", entropy, 1.5 * o.peak), Part("joint", (1 - entropy) * (1 - o.decoder_share), o.peak)]
    for name, (share, peak) in DECODER_STAGES.items():
        found.append(Part(name, (1 - entropy) * o.decoder_share * share, peak * o.peak))
    found = [part for part in found if part.share and part.name in o.stages]
    if not found:
        raise UsageError(f"there is no time for {', '.join(o.stages)}", "give --decoder-share 1 for decoders alone")
    whole = sum(part.share for part in found)
    return [replace(part, share=part.share / whole) for part in found]


class Run:
    """A run in progress: one process, stage after stage; it goes on where a killed one left off.

    What is left is counted from the minutes that the stages have spent, so that a run that was killed and started
    again takes no longer than its budget.
    """

    def __init__(self, o: Options) -> None:
        from ..metrics.lpips import LPIPS
        from .features import FeatureDistance

        if o.device == "cpu":
            torch.set_num_threads(1)
        o.out.mkdir(parents=True, exist_ok=True)
        self.o, self.path = o, o.out / "state.pt"
        self.left = torch.load(self.path, map_location=o.device, weights_only=True) if self.path.exists() else None
        # a run that is gone on with draws other pictures than it has seen
        seed = o.seed + (self.left["steps"] if self.left else 0)
        torch.manual_seed(seed)
        self.crops = self._crops(seed)
        self.network, self.history = load(o.out / "last.pt", o.device) if self.left else start(o, self.crops)
        if self.left:
            self.history["runs"].pop()  # the one that was killed: it is noted when it ends
        self.network = self.network.to(o.device)
        device = torch.device(o.device)
        low = matmul_rate(device, True) > matmul_rate(device, False) if o.low_precision is None else o.low_precision
        self.network.low_precision, self.network.rdoq_strength = low, o.rdoq_strength
        if o.compiled:
            self._compile()
        lpips = LPIPS().to(o.device)
        self.check = Check(o.val, o.check_pictures, o.device, lpips) if o.val else None
        features = FeatureDistance().to(o.device) if o.features else None
        self.perceptual = Perceptual(lpips, structure=o.structure, features=features, low_precision=low)
        self.light: Synthesis | None = None
        self.cache: LatentCache | None = None

    def _crops(self, seed: int) -> Crops:
        o = self.o
        large = Crops(o.large, o.cache / "large", o.size, seed + 1) if o.large is not None else None
        if o.resident or o.device != "cpu":  # all pictures lie on the device as uint8
            return DeviceCrops(o.data, o.cache / "small", o.size, seed, o.device, large, LARGE_SHARE)
        crops = Crops(o.data, o.cache / "small", o.size, seed)
        return crops if large is None else MixedCrops(crops, large, LARGE_SHARE)

    def _compile(self) -> None:
        """Compile the float transforms; what cannot be compiled runs as it is."""
        torch._dynamo.config.suppress_errors = True
        for decoder in (self.network.synthesis, self.network.second_decoder):
            if decoder is not None:
                decoder.compile(dynamic=False)

    def all(self) -> None:
        """Every stage that is left."""
        o = self.o
        stages = parts(o)
        names = [part.name for part in stages]
        if self.check is not None and self.left is None:
            before = {"stage": names[0], "minutes": 0.0, "seen": self.history["seen"], **self.check(self.network)}
            with (o.out / "log.jsonl").open("a") as log:
                log.write(json.dumps(before) + "\n")
            print("before", before, flush=True)
        first = names.index(self.left["stage"]) if self.left else 0
        for part in stages[first:]:
            began = time.monotonic()
            getattr(self, f"_{part.name}")(part)
            print(f"{part.name} took {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
        self._save(self.network)

    def _train(self, stage: Stage, part: Part, minutes: float) -> None:
        o = self.o
        config = LoopConfig(part.name, minutes, o.steps, peak=part.peak, batch=stage.batch)
        config.save_every, config.check_every = o.save_every, o.check_every
        config.report_every = min(config.report_every, o.save_every)
        averaged = train(self.network, stage, config, o.out, self.history, self.check, self.left, self._save)
        self.left, self.network = None, averaged.train()

    def _save(self, network: Network) -> None:
        """Freeze what there is, so that a run that is killed leaves files to decode with."""
        if self.o.export:
            freeze_network(network, self.light, self.o.out / "frozen", self.o.preset, self.history)

    def _entropy(self, part: Part) -> None:
        self._train(EntropyOnly(self.crops, 2 * self.o.batch, self.o.device), part, part.share * self.o.minutes)

    def _joint(self, part: Part) -> None:
        o = self.o
        stage = Joint(self.crops, o.batch, o.device, Fidelity(), self.perceptual, o.perceptual_weight)
        self._train(stage, part, part.share * o.minutes)

    def _analysis(self, part: Part) -> None:
        """The analysis and the decoder that it is for, for the best pictures at a rate."""
        o = self.o
        judge = Fidelity() if o.tune == "fidelity" else self.perceptual
        stage = ForOneDecoder(self.crops, o.batch, o.device, judge, o.perceptual_weight)
        self._train(stage, part, part.share * o.minutes)

    def _perceptual(self, part: Part) -> None:
        """The second decoder from cached latents."""
        self._second_decoder(part, self.perceptual)

    def _adversarial(self, part: Part) -> None:
        """The second decoder with an adversary, after it has learnt all else."""
        self._second_decoder(part, replace(self.perceptual, adversary=Adversary().to(self.o.device)))

    def _second_decoder(self, part: Part, judge: Perceptual) -> None:
        began, minutes = time.monotonic(), part.share * self.o.minutes
        cache = self.cache = self.cache or self._filled(minutes)
        minutes -= (time.monotonic() - began) / 60
        self._train(SecondDecoder(self.crops, self.o.batch, self.o.device, cache, judge), part, minutes)

    def _light(self, part: Part) -> None:
        """A light decoder out of the second one, part by part, and then as a whole."""
        self.cache = None
        o = self.o
        minutes = part.share * o.minutes
        teacher = self.network.second_decoder
        assert teacher is not None
        first, cache = self.network.synthesis, self._filled(minutes)
        steps = sum(1 for _ in replacements(teacher)) + 2
        minutes *= (1 - CACHE_SHARE) / steps
        check, self.check, self.left = self.check, None, None
        for step in replacements(teacher):
            self.network.synthesis = step.synthesis.to(o.device)
            self._train(Imitation(self.crops, o.batch, o.device, cache, teacher, step.fresh), part, minutes)
            step.synthesis.load_state_dict(self.network.synthesis.state_dict())
        self._train(FirstDecoder(self.crops, o.batch, o.device, cache, self.perceptual), part, 2 * minutes)
        self.light, self.network.synthesis = self.network.synthesis, first
        self.check = check
        save(o.out / "last.pt", self.network, self.history)

    def _filled(self, minutes: float) -> LatentCache:
        """Cached latents, made in a share of the stage's time."""
        o, cache, began = self.o, LatentCache(), time.monotonic()

        def enough(count: int) -> bool:
            spent = (time.monotonic() - began) / 60
            return count >= CACHE_MOST or bool(o.steps and count >= 2 * o.batch) or spent > CACHE_SHARE * minutes

        cache.fill(self.network, self.crops, o.device, enough, o.batch)
        print(f"cached latents of {cache.count} crops", flush=True)
        return cache


def check_options(o: Options) -> None:
    """Refuse what cannot be trained, before pictures are read.

    Raises:
        UsageError: there is no such stage, or the crops are too small for what looks at them.
    """
    if unknown := [name for name in o.stages if name not in STAGES]:
        raise UsageError(f"there is no stage {', '.join(unknown)}", f"choose from {', '.join(STAGES)}")
    if o.size < SIDE or o.size % SIDE:
        raise UsageError(f"crops of {o.size} pixels do not fit the networks", f"give --size a multiple of {SIDE}")
    structure = o.structure > 0 or "joint" in o.stages or ("analysis" in o.stages and o.tune == "fidelity")
    if structure and o.size < MINIMUM_SIDE:
        least = -(-MINIMUM_SIDE // SIDE) * SIDE
        raise UsageError(f"crops of {o.size} pixels are too small for MS-SSIM", f"give --size {least} or more")


def run(o: Options) -> None:
    """Train within the budget, or what is left of it. UsageError as :func:`check_options`."""
    check_options(o)
    Run(o).all()
