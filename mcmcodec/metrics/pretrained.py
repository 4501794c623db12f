"""Published weights of networks, read from installed packages that are never imported.

The weights are not ours and are not shipped.
"""

from __future__ import annotations

import importlib.util
import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import ModelError


class ArraysOnly(pickle.Unpickler):
    """Unpickler that makes numpy arrays and nothing else, so that a doctored checkpoint cannot run code."""

    def find_class(self, module: str, name: str) -> Any:
        """The class of an array, of a dtype; UnpicklingError for any other."""
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np.empty(0).__reduce__()[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed here")


def load_arrays(file: BinaryIO) -> Any:
    """The nested dictionaries of arrays in a pickled checkpoint; pickle.UnpicklingError for anything else in it."""
    return ArraysOnly(file).load()


def convolutions(path: Path, network: str, count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Kernels (out, in, h, w) and biases (out,) of a network's first convolutions, in a pickled checkpoint of flax.

    Raises:
        OSError, pickle.UnpicklingError, KeyError, ValueError: the file cannot be read, or holds something else.
    """
    with path.open("rb") as file:
        layers = load_arrays(file)[network]
    found = [layers[f"Conv_{index}"] for index in range(count)]
    return [np.array(one["kernel"].transpose(3, 2, 0, 1)) for one in found], [np.array(one["bias"]) for one in found]


def package_file(package: str, name: str, remedy: str) -> Path:
    """Path of a file inside an installed package, found without importing the package.

    Raises:
        ModelError: the package is not installed or lacks the file; with the remedy given.
    """
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / name
        if path.is_file():
            return path
    raise ModelError(f"{name} of the package {package} is needed, which is not installed", remedy)
