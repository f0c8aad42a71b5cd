"""The resolved settings of a training (`TrainRecipe`), saved in its state and in the checkpoint's metadata.

This module does not import torch.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from seglib.data.resize import check_net_side
from seglib.errors import UsageError

SCHEDULES: tuple[str, ...] = ("poly", "onecycle", "constant")

_PARALLEL_KEY = "lanes"
"""What checkpoints and training states call the field `parallel`, which once had this name."""


@dataclass(frozen=True, kw_only=True)
class TrainRecipe:
    """The resolved settings that decide the result of a training.

    The JSON of these fields, in this order, is part of checkpoints and training states. Only constants, and fields
    that the states of earlier versions lack, have a default.
    """

    architecture: str
    classes: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    """Architecture options, such as ("upsampling", "shuffle")."""
    resize: str
    """Resize rule for validation, and the checkpoint's native resize."""
    epochs: int
    batch_size: int
    """Images per batch for a frame of `base_side` squared. Smaller frames come in larger batches, so that every step
    costs about the same.
    """
    net_side: int = 0
    """Short side in pixels of the model's input, in training (whatever the frame) and validation. 0: training uses the
    frame's size, validation uses `resize`.
    """
    base_side: int
    short_side: tuple[int, int]
    """Range from which each batch's frame draws its shorter side, in pixels, in steps of 32."""
    whole: float = 0.6
    """Probability that an image is not randomly cropped: it is stretched to the frame, changing its aspect ratio by at
    most a factor of 1.5; what exceeds that is cut off.
    """
    rate: float
    """Peak learning rate of the head."""
    encoder_rate: float
    """Peak learning rate of the (pretrained) encoder."""
    schedule: str
    warmup: float = 0.5
    """Epochs in which the learning rate rises from 0."""
    cooldown: float
    """Epochs at the end in which a `constant` learning rate falls to 0."""
    weight_decay: float = 0.01
    frozen: tuple[str, ...]
    """Names of modules whose weights are not trained."""
    dice: float
    """Weight of the Dice loss relative to cross-entropy."""
    soft: float
    """Weight of the distillation loss on the teacher's soft labels."""
    average: float = 0.999
    """Decay of the exponential moving average (EMA) of the weights, which is what is validated and saved."""
    patience: int
    """Stop after this many epochs without a better validation mIoU; 0: never."""
    validation: float
    """Share of the images held out for validation, between 0 and 1 (both excluded)."""
    seed: int
    """Seed of the initial weights, image order, augmentation and dropout."""
    split_seed: int = 0
    """Seed of the validation split."""
    loss_stride: int
    """The loss uses every n-th pixel in both directions."""
    parallel: int = 1
    """Number of threads that each process a part of the batch, with separate batch-norm statistics."""
    precision: str
    photos: str = ""
    """Digest of the training images' names."""
    weights: str = ""
    """SHA-256 of the initial weights file (model or encoder), or of both joined by a plus; empty for random weights."""
    keep_statistics: bool = False
    """Whether batch norms keep their running statistics, as in evaluation."""
    rare: float = 0.0
    """Share of the images below which a class is rare, and its images are drawn more often."""

    def __post_init__(self) -> None:
        check_recipe_values(self.schedule, self.short_side, self.validation, self.net_side)
        if not 2 <= len(set(self.classes)) <= 255:
            raise UsageError(f"{len(self.classes)} classes: name 2 to 255 different ones.")
        check_unique(self.classes)

    def as_dict(self) -> dict[str, Any]:
        """Return the values by their stored names, in the order in which training states hold them."""
        return {_PARALLEL_KEY if name == "parallel" else name: value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainRecipe":
        """Inverse of `as_dict`, also after a JSON round trip, which turns tuples into lists."""
        lists = {name: _to_tuple(value) for name, value in values.items() if isinstance(value, list)}
        settings = values | lists
        if _PARALLEL_KEY in settings:
            settings["parallel"] = settings.pop(_PARALLEL_KEY)
        return cls(**settings)

    def changed_fields(self, other: "TrainRecipe") -> list[str]:
        return [one.name for one in fields(self) if getattr(self, one.name) != getattr(other, one.name)]


def _to_tuple(value: list[Any]) -> tuple[Any, ...]:
    return tuple(_to_tuple(one) if isinstance(one, list) else one for one in value)


@dataclass(frozen=True)
class CropSize:
    """Image size of a batch, in pixels."""

    height: int
    width: int


def check_unique(classes: Sequence[str]) -> None:
    if len(set(classes)) < len(classes):
        raise UsageError("Name each class once.")


def check_recipe_values(schedule: str, short_side: tuple[int, int] | None, validation: float, net_side: int) -> None:
    """Raise `UsageError` for the first value that no training can have."""
    check_net_side(net_side)
    if schedule not in SCHEDULES:
        raise UsageError(f"A schedule is one of {', '.join(SCHEDULES)}, not {schedule!r}.")
    if short_side is not None and not 32 <= short_side[0] <= short_side[1]:
        raise UsageError(f"Sides grow from {short_side[0]} to {short_side[1]}: name the smaller first, from 32 on.")
    if not 0 < validation < 1:
        raise UsageError(f"A share of {validation:g} for validation: expected more than 0 and less than 1.")
