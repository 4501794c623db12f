"""What stands in for Ray where the cluster engine is tested: actors in this process; what passes is pickled."""

import pickle
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any


class _Actor:
    def __init__(self, kind: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._one = kind(*pickle.loads(pickle.dumps(arguments)))

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._one, name)
        return SimpleNamespace(remote=lambda *given: pickle.dumps(method(*pickle.loads(pickle.dumps(given)))))


def module() -> ModuleType:
    """What takes the place of ray; ``log`` says what was asked of it."""
    ray, log = ModuleType("ray"), []

    def remote(**needs: float) -> Callable[[Callable[..., Any]], Any]:
        log.append(needs)
        return lambda kind: SimpleNamespace(remote=lambda *arguments: _Actor(kind, arguments))

    ray.__dict__.update(
        log=log,
        init=lambda **options: log.append("init"),
        is_initialized=lambda: False,
        cluster_resources=lambda: {"CPU": 2.0, "GPU": 1.0},
        remote=remote,
        get=pickle.loads,
        shutdown=lambda: log.append("shutdown"),
    )
    return ray
