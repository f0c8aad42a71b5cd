"""What is kept of a training: the state that continues it, and the checkpoint that `--weights` takes.

In: nets, an optimiser, where training is. Out: `<out>.state.pth`, which holds tensors and plain values alone, and
`<out>` itself, safetensors with everything a user of it needs in its metadata. Both appear under their names only when
they are whole. Knows nothing of photos or losses.
"""

import io
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from seglib.data.resize import check_net_side
from seglib.errors import UsageError, WeightsError
from seglib.models import loading, registry, weights_file
from seglib.models.registry import IMAGENET_MEAN, IMAGENET_STD
from seglib.training.config import Recipe

PROLONGED = frozenset({"epochs", "cooldown", "patience"})
"""What of a recipe may change when training is continued with a constant rate."""


@dataclass
class Progress:
    """Where training is. `step` counts the batches of this epoch that are done, `steps` those of all epochs."""

    epoch: int = 0
    step: int = 0
    steps: int = 0
    photos: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    best: float = -1.0
    best_epoch: int = -1
    rows: list[dict[str, float | None]] = field(default_factory=list)
    """One per finished epoch: what the CSV holds."""


def state_path(out: Path) -> Path:
    return out.with_name(out.name + ".state.pth")


def save_state(
    out: Path, recipe: Recipe, progress: Progress, *, net: nn.Module, kept: nn.Module, optimiser: torch.optim.Optimizer
) -> None:
    state = {
        "recipe": json.dumps(recipe.as_dict()),
        "progress": json.dumps(vars(progress)),
        "net": net.state_dict(),
        "average": kept.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_whole(state_path(out), buffer.getvalue())


def load_state(
    out: Path, recipe: Recipe, *, net: nn.Module, kept: nn.Module, optimiser: torch.optim.Optimizer
) -> Progress:
    """Put the saved state back in place. Raises `UsageError` if it was made by another recipe."""
    path = state_path(out)
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        made_by = Recipe.from_dict(json.loads(state["recipe"]))
        progress = Progress(**json.loads(state["progress"]))
    except Exception as error:  # a damaged pickle, JSON or zip: each has its own words
        raise _unreadable(path, error) from None
    changed = set(made_by.differences(recipe))
    if changed - (PROLONGED if recipe.schedule == "constant" else set()):
        raise UsageError(
            f"{path.name} was begun with another value of {', '.join(sorted(changed))}: give the same options, "
            "name another --out, or delete it to begin anew."
        )
    try:
        net.load_state_dict(state["net"])
        kept.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
    except Exception as error:  # of another net, or changed by hand
        raise _unreadable(path, error) from None
    return progress


def _unreadable(path: Path, error: Exception) -> WeightsError:
    return WeightsError(f"The state {path.name} cannot be read ({type(error).__name__}): delete it to begin anew.")


def save_checkpoint(out: Path, kept: nn.Module, recipe: Recipe, about: dict[str, str], *, half: bool) -> None:
    """Without an auxiliary head; floating-point numbers as fp16 if `half`, else as fp32."""
    dtype = torch.float16 if half else torch.float32
    tensors = {
        name: (value.to(dtype) if value.is_floating_point() else value).contiguous()
        for name, value in kept.state_dict().items()
        if not name.startswith("aux_classifier.")
    }
    metadata = {
        "architecture": recipe.architecture,
        "classes": json.dumps(recipe.classes),
        "resize": recipe.resize,
        "net_side": str(recipe.net_side),
        "mean": json.dumps(IMAGENET_MEAN),
        "std": json.dumps(IMAGENET_STD),
        "options": json.dumps(dict(recipe.options)),
        "parameters": str(sum(p.numel() for n, p in kept.named_parameters() if not n.startswith("aux_classifier."))),
        "recipe": json.dumps(recipe.as_dict()),
        **about,
    }
    write_whole(out, save(tensors, metadata))  # its save_file makes files that nobody else may read


def write_whole(path: Path, data: bytes) -> None:
    """Under its name only when all of it is on the disk."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


_OF_ONE_TRAINING = ("epoch", "validation_miou")


def average_checkpoints(files: Sequence[Path], shares: Sequence[float], out: Path, net_side: int | None = None) -> None:
    """Write the mean of the files' weights, each with its share of the shares' sum; what else the first file says of
    itself is kept, but for `net_side` if another one is asked for, and `mean_of` names the SHA-256 and the share of
    each.

    Raises `UsageError` if there are fewer than two files, if a share is no number above 0, if `out` has another ending
    or is one of the files, if no net has such a side, or if they are not of one net with the same classes;
    `WeightsError` if one of them cannot be read.
    """
    if len(files) < 2 or len(shares) != len(files):
        raise UsageError(
            f"Expected at least two checkpoints and a share of each, got {len(files)} and {len(shares)}: name both."
        )
    if not all(0 < share < math.inf for share in shares):
        raise UsageError("A share is a number above 0: leave out the checkpoint that is not to count.")
    if out.suffix != ".safetensors":
        raise UsageError(f"--out {out.name!r}: expected a name that ends in .safetensors.")
    if out.resolve() in [file.resolve() for file in files]:
        raise UsageError(f"{out.name!r} is one of the checkpoints and would be overwritten: name another --out.")
    check_net_side(net_side or 0)
    first, *others = [registry.find(None, file) for file in files]
    for other in others:
        if (other.build, other.classes, other.mean, other.std) != (first.build, first.classes, first.mean, first.std):
            raise UsageError(
                f"{other.path.name} is not of the same net with the same classes as {first.path.name}: "
                "only such have a mean."
            )
    parts = [share / sum(shares) for share in shares]
    states = [loading.load(spec).state_dict() for spec in (first, *others)]
    stored = weights_file.read_state(first.path)
    mean = {name: _mean([state[name] for state in states], parts).to(stored[name].dtype) for name in states[0]}
    about = {name: text for name, text in weights_file.metadata(first.path).items() if name not in _OF_ONE_TRAINING}
    if net_side is not None:
        about["net_side"] = str(net_side)
    named = [[weights_file.file_sha256(file), round(part, 6)] for file, part in zip(files, parts, strict=True)]
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, save(mean, about | {"mean_of": json.dumps(named)}))


def _mean(values: Sequence[Tensor], parts: Sequence[float]) -> Tensor:
    """Of whole numbers (how many batches a norm has seen) the greatest."""
    stacked = torch.stack(list(values))
    if not stacked.is_floating_point():
        return stacked.amax(0)
    mean: Tensor = torch.tensordot(torch.tensor(parts), stacked, 1)
    return mean
