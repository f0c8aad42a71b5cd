"""Names and digests of foreign models: what goes into a run's name and its recipe."""

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglib.models.registry import MODELS

if TYPE_CHECKING:
    from torch import nn

_MAX_NAME_LENGTH = 60


def model_name(text: str) -> str:
    """A model's name from a title, folder or file name: letters, digits, `.`, `_` and `-`, never one of `MODELS`."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:_MAX_NAME_LENGTH] or "model"
    return f"{name}-own" if name in MODELS else name


def describe_code(kind: str, *packages: str, **settings: object) -> str:
    """The `code` of an adapter: its kind, the versions of the packages that compute, and every setting, as JSON."""
    versions = {name: metadata.version(name) for name in packages}
    return json.dumps({"kind": kind, "packages": versions, **settings}, sort_keys=True, default=str)


def combine_sha256(digests: Mapping[str, str]) -> str:
    """One SHA-256 of several files' digests by name."""
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def module_sha256(module: "nn.Module") -> str:
    """SHA-256 of a module's weights as they are now: names, dtypes, shapes and bytes."""
    import torch

    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        if isinstance(value, torch.Tensor):
            plain = value.detach().cpu().contiguous()
            digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
            digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def source_sha256(modules: Iterable[str]) -> str | None:
    """SHA-256 of the source files of these modules; None if one has no file, as in a notebook."""
    digests = {}
    for name in sorted(set(modules)):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is None or not Path(file).is_file():
            return None
        digests[name] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return combine_sha256(digests)


def installed_package(module: str) -> tuple[str, str] | None:
    """(distribution, version) that an imported module belongs to; None if it is somebody's own file."""
    top = module.partition(".")[0]
    names = _distributions().get(top)
    return (names[0], metadata.version(names[0])) if names else None


@lru_cache(maxsize=1)  # reads the records of all installed packages, which takes seconds
def _distributions() -> Mapping[str, Any]:
    return metadata.packages_distributions()
