"""Names and digests of foreign models: what goes into a run's name and its recipe."""

import hashlib
import json
import re
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING

from seglib.models.registry import MODELS

if TYPE_CHECKING:
    from torch import Tensor, nn

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
    """SHA-256 of a module's parameters and buffers as they are now: names, dtypes, shapes and bytes."""
    digest = hashlib.sha256()
    for values in (module.named_parameters, module.named_buffers):
        for name, value in values(remove_duplicate=False):
            digest.update(name.encode())
            digest.update(tensor_bytes(value))
    return digest.hexdigest()


def tensor_bytes(value: "Tensor") -> bytes:
    """A tensor's dtype, shape and elements."""
    import torch

    plain = value.detach().cpu()
    plain = (plain.dequantize() if plain.is_quantized else plain).to_dense().contiguous()
    head = f"{value.dtype} {tuple(value.shape)}".encode()
    return head + plain.reshape(-1).view(torch.uint8).numpy().tobytes()
