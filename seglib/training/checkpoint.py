"""Save and load the training state, and write the checkpoint that `--weights` takes.

The state, `<out>.state.pth`, holds only tensors and plain values. The checkpoint, `<out>`, is a safetensors file with
everything needed to use it in its metadata. Both are written atomically. `average_checkpoints` averages several.
"""

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from seglib.data.resize import check_net_side
from seglib.errors import UsageError, WeightsError
from seglib.fileio.atomic import replace_file
from seglib.models import loading, registry, weights_file
from seglib.models.registry import IMAGENET_MEAN, IMAGENET_STD
from seglib.training.config import check_checkpoint_name
from seglib.training.recipe import TrainRecipe

CHANGEABLE_ON_RESUME = frozenset({"epochs", "cooldown", "patience"})
"""Recipe fields that may change when training resumes with the `constant` schedule."""


@dataclass
class TrainProgress:
    """Progress of a training. `step` counts the finished batches of this epoch, `steps` those of all epochs."""

    epoch: int = 0
    step: int = 0
    steps: int = 0
    photos: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    best: float = -1.0
    best_epoch: int = -1
    rows: list[dict[str, float | None]] = field(default_factory=list)
    """Rows of the CSV, one per finished epoch."""


def state_path(out: Path) -> Path:
    return out.with_name(out.name + ".state.pth")


@dataclass(kw_only=True)
class TrainState:
    """Everything that changes during training."""

    model: nn.Module
    ema_model: nn.Module
    """Exponential moving average of the model's weights, which is what is validated and saved as the checkpoint."""
    optimiser: torch.optim.Optimizer
    progress: TrainProgress = field(default_factory=TrainProgress)


def save_state(out: Path, recipe: TrainRecipe, state: TrainState) -> None:
    values = {
        "recipe": json.dumps(recipe.as_dict()),
        "progress": json.dumps(vars(state.progress)),
        "net": state.model.state_dict(),
        "average": state.ema_model.state_dict(),
        "optimiser": state.optimiser.state_dict(),
    }
    buffer = io.BytesIO()
    torch.save(values, buffer)
    replace_file(state_path(out), buffer.getvalue(), durable=True)


def load_state(out: Path, recipe: TrainRecipe, state: TrainState) -> None:
    """Restore the saved state in place.

    Raises `UsageError` if it was made with another recipe, `WeightsError` if it cannot be read.
    """
    path = state_path(out)
    try:
        values: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        made_by = TrainRecipe.from_dict(json.loads(values["recipe"]))
        progress = TrainProgress(**json.loads(values["progress"]))
    except Exception as error:  # damaged pickle, JSON and zip files each raise their own types
        raise _unreadable(path, error) from None
    changed = set(made_by.changed_fields(recipe))
    if changed - (CHANGEABLE_ON_RESUME if recipe.schedule == "constant" else set()):
        raise UsageError(
            f"{path.name} was begun with another value of {', '.join(sorted(changed))}: give the same settings, "
            "name another `out`, or delete it to start over."
        )
    try:
        state.model.load_state_dict(values["net"])
        state.ema_model.load_state_dict(values["average"])
        state.optimiser.load_state_dict(values["optimiser"])
    except Exception as error:  # from another model, or edited by hand
        raise _unreadable(path, error) from None
    state.progress = progress


def _unreadable(path: Path, error: Exception) -> WeightsError:
    return WeightsError(f"The state {path.name} cannot be read ({type(error).__name__}): delete it to start over.")


def save_checkpoint(
    out: Path, ema_model: nn.Module, recipe: TrainRecipe, extra_metadata: dict[str, str], *, half: bool
) -> None:
    """Write the model without its auxiliary head; floating-point tensors as fp16 if `half`, else as fp32."""
    dtype = torch.float16 if half else torch.float32
    tensors = {
        name: (value.to(dtype) if value.is_floating_point() else value).contiguous()
        for name, value in ema_model.state_dict().items()
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
        "parameters": str(
            sum(p.numel() for n, p in ema_model.named_parameters() if not n.startswith("aux_classifier."))
        ),
        "recipe": json.dumps(recipe.as_dict()),
        **extra_metadata,
    }
    # safetensors' save_file creates files that only their owner may read
    replace_file(out, save(tensors, metadata), durable=True)


_PER_TRAINING_KEYS = ("epoch", "validation_miou")


def average_checkpoints(files: Sequence[Path], shares: Sequence[float], out: Path, net_side: int | None = None) -> None:
    """Write the weighted mean of several checkpoints; `shares` are normalised to sum to 1.

    Metadata is taken from the first file, except for its epoch and validation mIoU, and `net_side` if one is given.
    `mean_of` records each file's SHA-256 and share.

    Raises `UsageError` if there are fewer than two files, a share is not a positive finite number, `out` does not end
    in .safetensors or is one of the files, `net_side` is invalid, or the files differ in model, classes or
    normalisation. Raises `WeightsError` if a file cannot be read.
    """
    if len(files) < 2 or len(shares) != len(files):
        raise UsageError(
            f"Expected at least two checkpoints and a share of each, got {len(files)} and {len(shares)}: name both."
        )
    if not all(0 < share < math.inf for share in shares):
        raise UsageError("A share is a number above 0: leave out the checkpoint that is not to count.")
    check_checkpoint_name(out)
    if out.resolve() in [file.resolve() for file in files]:
        raise UsageError(f"{out.name!r} is one of the checkpoints and would be overwritten: name another `out`.")
    check_net_side(net_side or 0)
    first, *others = [registry.find_model_spec(None, file) for file in files]
    for other in others:
        if (other.build, other.classes, other.mean, other.std) != (first.build, first.classes, first.mean, first.std):
            raise UsageError(
                f"{other.path.name} is not of the same model with the same classes as {first.path.name}: "
                "only such have a mean."
            )
    weights = [share / sum(shares) for share in shares]
    states = [loading.load(spec).state_dict() for spec in (first, *others)]
    stored = weights_file.read_state_dict(first.path)
    mean = {name: _mean([state[name] for state in states], weights).to(stored[name].dtype) for name in states[0]}
    metadata = {
        name: text for name, text in weights_file.read_metadata(first.path).items() if name not in _PER_TRAINING_KEYS
    }
    if net_side is not None:
        metadata["net_side"] = str(net_side)
    if any(spec.trained_classes is None for spec in (first, *others)):
        metadata.pop("trained_classes", None)
    else:
        trained = {name for spec in (first, *others) for name in spec.trained_classes or ()}
        metadata["trained_classes"] = json.dumps([name for name in first.classes if name in trained])
    named = [[weights_file.file_sha256(file), round(part, 6)] for file, part in zip(files, weights, strict=True)]
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(out, save(mean, metadata | {"mean_of": json.dumps(named)}), durable=True)


def _mean(values: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Weighted mean; for integers (a batch norm's count of batches), the maximum."""
    stacked = torch.stack(list(values))
    if not stacked.is_floating_point():
        return stacked.amax(0)
    mean: Tensor = torch.tensordot(torch.tensor(weights), stacked, 1)
    return mean
