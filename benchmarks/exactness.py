"""Does a file decode to the same symbols everywhere? Encodes pictures once, decodes them in unlike environments.

Every environment is a process of its own, because numerical libraries choose their kernels when they are loaded: one
thread and two, with ONNX Runtime, and with every pair of instructions that ATen and oneDNN (torch) may use; those that
OpenBLAS (numpy) may use; the precision that torch may drop to in float32 products; other batches of positions in the
integer networks; other tiles in the decoder; CUDA where there is one, with TF32 and without; and the parser in
``tests/``, which has nothing but numpy's integers. What the range decoder needs must agree to the bit (a SHA-256 over
hyper-decoder features, latents and mask); pixels, which are floating point, within one level of 255.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from PIL import Image

import mcmcodec
from mcmcodec.codec import symbols
from mcmcodec.entropy import integer_networks
from mcmcodec.entropy.checks import check
from mcmcodec.entropy.latent_coder import Decoded
from mcmcodec.image import tiling
from mcmcodec.image.io import open_image
from mcmcodec.model.weights import Weights

if TYPE_CHECKING:
    from .work import Work

Row = dict[str, Any]
RUNTIME = "RUNTIME_OF_NETWORKS"
"""Not a library's variable: ``torch`` has the CPU run the networks as a GPU would, by torch."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# a thread that waits for a busy processor is not to keep the other one busy
ONE, TWO = dict.fromkeys(THREADS, "1"), dict.fromkeys(THREADS, "2") | {"OMP_WAIT_POLICY": "PASSIVE"}
AVX2 = {
    RUNTIME: "torch", "OPENBLAS_CORETYPE": "Haswell", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}  # fmt: skip
SSE = {
    RUNTIME: "torch", "OPENBLAS_CORETYPE": "Nehalem", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41",
}  # fmt: skip
PRECISION = "FLOAT32_MATMUL_PRECISION"
"""Nor this: the worker hands it to ``torch.set_float32_matmul_precision``, and allows TF32 with it."""
BATCH, TILE = "POSITIONS_PER_PRODUCT", "PATCHES_PER_TILE"
"""Nor these: other values for ``integer_networks.ROWS`` and ``tiling.INTERIOR``, so that all is computed elsewhere."""
AXES = {
    "OPENBLAS_CORETYPE": {"Nehalem": "sse4_2", "Sandybridge": "avx", "Haswell": "avx2", "SkylakeX": "avx512f"},
    "ATEN_CPU_CAPABILITY": {"default": "", "avx2": "avx2", "avx512": "avx512f"},
    "ONEDNN_MAX_CPU_ISA": {"SSE41": "", "AVX": "", "AVX2": "avx2", "AVX512_CORE": "avx512f", "DEFAULT": ""},
    PRECISION: {"highest": "", "high": "", "medium": ""},
    BATCH: {"300": "", "61": ""},
    TILE: {"8": "", "24": ""},
}
"""Values of a variable, each with what the processor must be capable of."""
TOGETHER = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")
"""Axes of which every pair of values is tried, with one thread and with two."""
VARIABLES = {*TWO, *AVX2, *SSE, PRECISION, BATCH, TILE, RUNTIME}
PIXEL_TOLERANCE = 1
PARSER = "parser of tests/"


def environments(every: bool = False) -> dict[str, dict[str, str]]:
    """The variables of environments of this machine; the first is what the others are compared with.

    Args:
        every: all of them, rather than the few that differ most.
    """
    found = {"1 thread": ONE, "2 threads": TWO}
    if platform.machine().lower() in ("x86_64", "amd64"):
        least = SSE | {PRECISION: "medium"}
        found |= {"AVX2, 1 thread": ONE | AVX2, "SSE4, 2 threads": TWO | least}
        able = _abilities()
        axes = {name: [value for value, needed in values.items() if needed in able] for name, values in AXES.items()}
        for variable, values in axes.items() if every else ():
            if variable not in TOGETHER:
                runtime = {RUNTIME: "torch"} if variable == PRECISION else {}
                found |= {f"{variable} {value}": ONE | runtime | {variable: value} for value in values}
        for values in product((ONE, TWO), *(axes[name] for name in TOGETHER)) if every else ():
            threads, *others = values
            name = f"ATen {others[0]}, oneDNN {others[1]}, {threads[THREADS[0]]} thread{'s' * (threads == TWO)}"
            found[name] = threads | dict(zip(TOGETHER, others, strict=True)) | {RUNTIME: "torch"}
    return found


def _abilities() -> set[str]:
    """Instruction sets that the processor names, and the empty string."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return {"", *next((line.split(":")[1].split() for line in lines if line.startswith("flags")), [])}


def symbol_hash(decoded: Decoded) -> str:
    """SHA-256 over shapes and little-endian values of everything that the decoder must reproduce to the bit."""
    digest = hashlib.sha256()
    for array in (decoded.psi, decoded.v_hat, decoded.mask):
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array, "<i4").tobytes())
    return digest.hexdigest()


def encode(codec: Any, pictures: Iterable[tuple[str, Image.Image]], qualities: Sequence[int], folder: Path) -> None:
    """Write every picture at every quality as NAME-QUALITY.mcm into `folder`."""
    for name, image in pictures:
        for quality in qualities:
            (folder / f"{name}-{quality}.mcm").write_bytes(codec.encode(image, quality=quality))


def decode(folder: Path, device: str) -> Row:
    """Decode the folder's files in this process.

    Pixels are compared with FILE.npy beside the file, or written there by whoever comes first.

    Returns:
        ``kernels``: what the libraries run on; ``files``: by name, hash of the symbols, largest difference of a
        pixel value, and share of values that differ.
    """
    files = {}
    paths = sorted(folder.glob("*.mcm"))
    if os.environ.get(RUNTIME) == "torch":
        Weights.has_graphs = property(lambda weights: False)  # type: ignore[assignment,method-assign]
    # the model first, which may set the precision too; what is set after it must not matter
    mcmcodec.decode(paths[0].read_bytes(), device=device)
    _allow(os.environ.get(PRECISION, "highest"))
    integer_networks.ROWS = int(os.environ.get(BATCH, integer_networks.ROWS))
    tiling.INTERIOR = int(os.environ.get(TILE, tiling.INTERIOR))
    for path in paths:
        data = path.read_bytes()
        pixels = np.asarray(mcmcodec.decode(data, device=device), np.int16)
        first = path.with_suffix(".npy")
        if not first.exists():
            np.save(first, pixels)
        apart = np.abs(pixels - np.load(first))
        files[path.name] = [symbol_hash(symbols(data)), int(apart.max()), float((apart > 0).mean())]
    return {"kernels": kernels(device), "files": files}


def _allow(precision: str) -> None:
    import torch

    torch.set_float32_matmul_precision(precision)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "highest"


def parse(folder: Path) -> Row:
    """As `decode`, by the parser in ``tests/``; it paints no pixels."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    import reference_parser

    from mcmcodec.model.weights import folders

    known = {}
    for place in folders():
        known |= reference_parser.models(place)
    paths = sorted(folder.glob("*.mcm"))
    files = {path.name: [reference_parser.parse(path.read_bytes(), known).sha256(), 0, 0.0] for path in paths}
    return {"kernels": "numpy's int64, no BLAS", "files": files}


def headroom(weights: Weights) -> float:
    """How many bits the largest sum that a model's integers allow stays below 2**53."""
    arrays = {k.removeprefix("entropy."): v for k, v in weights.stream.items() if k.startswith("entropy.")}
    config = weights.config
    return 53 - math.log2(check(arrays, config.coarse_slices, config.slices, config.base_slices))


def kernels(device: str) -> str:
    """Which kernels OpenBLAS (for numpy) and torch have chosen in this process, as far as they tell."""
    import torch

    if device == "cuda":
        return torch.cuda.get_device_name()
    blas = "unknown"
    for library in (Path(np.__file__).parent.parent / "numpy.libs").glob("*openblas*"):
        try:
            name = ctypes.CDLL(str(library)).scipy_openblas_get_corename64_
        except (OSError, AttributeError):
            continue
        name.restype = ctypes.c_char_p
        blas = name().decode()
    return f"OpenBLAS {blas}, torch {torch.backends.cpu.get_cpu_capability()}"


def compare(folder: Path, wanted: Mapping[str, Mapping[str, str]], cuda: bool = False) -> list[Row]:
    """Decode the .mcm files of `folder` in every environment; one row each, compared with the first."""
    runs = [(name, variables, "cpu") for name, variables in wanted.items()]
    if cuda:
        runs += [("CUDA", ONE, "cuda"), ("CUDA, TF32", ONE | {PRECISION: "high"}, "cuda")]
    runs.append((PARSER, ONE, "parser"))
    rows: list[Row] = []
    reference: dict[str, Any] = {}
    for name, variables, device in runs:
        inherited = {key: value for key, value in os.environ.items() if key not in VARIABLES}
        command = [sys.executable, __file__, device, str(folder)]
        done = subprocess.run(command, env=inherited | dict(variables), capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{name}: {done.stderr.strip() or done.returncode}")
        print(f"{len(rows) + 1} of {len(runs)}: {name}", file=sys.stderr, flush=True)
        result = json.loads(done.stdout)
        reference = reference or result["files"]
        rows.append(
            {
                "environment": name,
                "kernels": result["kernels"],
                "files": len(result["files"]),
                "other_symbols": sum(result["files"][file][0] != reference[file][0] for file in reference),
                "pixel_difference": max(row[1] for row in result["files"].values()),
                "pixels_apart": max(row[2] for row in result["files"].values()),
            }
        )
    return rows


def table(rows: Sequence[Row]) -> str:
    """The rows as text."""
    lines = [f"{'environment':42} {'files':>5} {'symbols':>9} {'pixels':>9}  kernels"]
    for row in rows:
        symbols = f"{row['other_symbols']} differ" if row["other_symbols"] else "same"
        pixels = f"+-{row['pixel_difference']}"
        lines.append(f"{row['environment']:42} {row['files']:5} {symbols:>9} {pixels:>9}  {row['kernels']}")
    return "\n".join(lines)


def exact(rows: Sequence[Row]) -> bool:
    """Whether the promise is kept."""
    return all(not row["other_symbols"] and row["pixel_difference"] <= PIXEL_TOLERANCE for row in rows)


def measure(work: Work, *, folder: str, count: int, qualities: Sequence[int]) -> Row:
    """Some pictures at some qualities in every environment of this machine, CUDA included where there is a GPU."""
    import torch

    facts, paths = work.facts(), work.pictures(folder, count)
    with tempfile.TemporaryDirectory() as place:
        encode(work.codec, ((path.stem, open_image(path)) for path in paths), qualities, Path(place))
        rows = compare(Path(place), environments(every=True), cuda=torch.cuda.is_available())
    if not exact(rows):
        raise click.ClickException(f"environments disagree:\n{table(rows)}")
    settings = {"qualities": list(qualities), "images": len(paths)}
    return facts | {"settings": settings | {"headroom_bits": round(headroom(work.codec.weights), 1)}, "rows": rows}


if __name__ == "__main__":
    _, device, place = sys.argv
    print(json.dumps(parse(Path(place)) if device == "parser" else decode(Path(place), device)))
