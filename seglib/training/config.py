"""Training configuration: `TrainConfig` holds every setting that affects the result, `CropSize` a batch's image size.

The recipe is saved in the training state and in the checkpoint's metadata. This module does not import torch.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any

from seglib.data.resize import check_net_side
from seglib.errors import UsageError

SCHEDULES: tuple[str, ...] = ("poly", "onecycle", "constant")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    architecture: str
    classes: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()
    """Architecture options, such as ("upsampling", "shuffle")."""
    resize: str
    """Resize rule for validation, and the checkpoint's native resize."""
    epochs: int = 20
    batch_size: int = 16
    """Images per batch for a frame of `base_side` squared. Smaller frames come in larger batches, so that every step
    costs about the same.
    """
    net_side: int = 0
    """Short side in pixels of the model's input, in training (whatever the frame) and validation. 0: training uses the
    frame's size, validation uses `resize`.
    """
    base_side: int = 224
    short_side: tuple[int, int] = (192, 320)
    """Range from which each batch's frame draws its shorter side, in pixels, in steps of 32."""
    whole: float = 0.6
    """Probability that an image is not randomly cropped: it is stretched to the frame, changing its aspect ratio by at
    most a factor of 1.5; what exceeds that is cut off.
    """
    rate: float = 1e-3
    """Peak learning rate of the head."""
    encoder_rate: float = 2e-4
    """Peak learning rate of the (pretrained) encoder."""
    schedule: str = "poly"
    warmup: float = 0.5
    """Epochs in which the learning rate rises from 0."""
    cooldown: float = 0.0
    """Epochs at the end in which a `constant` learning rate falls to 0."""
    weight_decay: float = 0.01
    frozen: tuple[str, ...] = ()
    """Names of modules whose weights are not trained."""
    dice: float = 0.5
    """Weight of the Dice loss relative to cross-entropy."""
    soft: float = 0.0
    """Weight of the distillation loss on the teacher's soft labels."""
    average: float = 0.999
    """Decay of the exponential moving average (EMA) of the weights, which is what is validated and saved."""
    patience: int = 0
    """Stop after this many epochs without a better validation mIoU; 0: never."""
    validation: float = 0.1
    """Share of the images held out for validation, between 0 and 1 (both excluded)."""
    seed: int = 0
    """Seed of the initial weights, image order, augmentation and dropout."""
    split_seed: int = 0
    """Seed of the validation split."""
    loss_stride: int = 2
    """The loss uses every n-th pixel in both directions."""
    lanes: int = 1
    """Number of threads that each process a part of the batch, with separate batch-norm statistics."""
    precision: str = "fp32"
    photos: str = ""
    """Digest of the training images' names."""
    weights: str = ""
    """SHA-256 of the initial weights file (model or encoder), or of both joined by a plus; empty for random weights."""

    def __post_init__(self) -> None:
        check_net_side(self.net_side)
        low, high = self.short_side
        problems = {
            f"a schedule is one of {', '.join(SCHEDULES)}, not {self.schedule!r}": self.schedule not in SCHEDULES,
            f"sides grow from {low} to {high}: name the smaller first, from 32 on": not 32 <= low <= high,
            f"{len(self.classes)} classes: name 2 to 255 different ones": not 2 <= len(set(self.classes)) <= 255,
            "name each class once": len(set(self.classes)) < len(self.classes),
            f"a share of {self.validation:g} for validation: expected more than 0 and less than 1": not (
                0 < self.validation < 1
            ),
        }
        for problem, there in problems.items():
            if there:
                raise UsageError(f"{problem[0].upper()}{problem[1:]}.")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """Inverse of `as_dict`, also after a JSON round trip, which turns tuples into lists."""
        lists = {name: _tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**(values | lists))

    def changed_fields(self, other: "TrainConfig") -> list[str]:
        return [one.name for one in fields(self) if getattr(self, one.name) != getattr(other, one.name)]


def _tuple(value: list[Any]) -> tuple[Any, ...]:
    return tuple(_tuple(one) if isinstance(one, list) else one for one in value)


@dataclass(frozen=True)
class CropSize:
    """Image size of a batch, in pixels."""

    height: int
    width: int
