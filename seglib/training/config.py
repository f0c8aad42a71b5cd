"""What a training is: every number that changes its result, in one value.

In: the command line's words. Out: `Recipe`, which travels in the saved state and in the checkpoint's metadata, and
`Frame`, the size at which a batch is seen. Knows nothing of torch.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any

from seglib.data.resize import check_net_side
from seglib.errors import UsageError

SCHEDULES: tuple[str, ...] = ("poly", "onecycle", "constant")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    architecture: str
    classes: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()
    """Further choices of the architecture, such as ("upsampling", "shuffle")."""
    resize: str
    """At which the net is validated, and the checkpoint's native resize."""
    epochs: int = 20
    batch_size: int = 16
    """Photos of a batch whose frame is `base_side` squared; smaller frames come in larger batches: a step costs about
    the same whatever its size.
    """
    net_side: int = 0
    """Short side in pixels at which the net sees each picture, whatever its frame, and each photo that it is validated
    on; 0: the frame as it is, and photos by `resize`.
    """
    base_side: int = 224
    short_side: tuple[int, int] = (192, 320)
    """The shorter side of a frame is drawn between these for each batch, in steps of 32."""
    whole: float = 0.6
    """Probability that a photo is seen whole, squashed into its frame if that changes its aspect by less than half."""
    rate: float = 1e-3
    """Greatest learning rate, of the head."""
    encoder_rate: float = 2e-4
    """Of what was trained before."""
    schedule: str = "poly"
    warmup: float = 0.5
    """Epochs in which the rate rises from nothing."""
    cooldown: float = 0.0
    """Epochs at the end in which a `constant` rate falls to nothing."""
    weight_decay: float = 0.01
    frozen: tuple[str, ...] = ()
    """Modules by name that keep the weights they start with."""
    dice: float = 0.5
    """Weight of the Dice loss beside cross-entropy."""
    soft: float = 0.0
    """Weight of the teacher's soft labels beside the masks."""
    average: float = 0.999
    """Decay of the running mean of the weights (EMA), which is what is validated and kept."""
    patience: int = 0
    """Epochs without a better validation mIoU after which training stops; 0 never."""
    validation: float = 0.1
    """Share of the photos that is kept back."""
    seed: int = 0
    """Of the first weights, the order of the photos, how each is seen, and dropout."""
    split_seed: int = 0
    """Of which photos are kept back."""
    loss_stride: int = 2
    """The loss looks at each n-th pixel in both directions."""
    lanes: int = 1
    """Shares of a batch that go through the net beside each other, each with batch norms of its own."""
    precision: str = "fp32"
    photos: str = ""
    """Digest of the names of the training photos."""
    weights: str = ""
    """SHA-256 of the file that training starts from, a whole net's or an encoder's, of both with a plus between them;
    empty for random weights.
    """

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
    def from_dict(cls, values: dict[str, Any]) -> "Recipe":
        """Of what `as_dict` gave, also after a round through JSON, which knows no tuples."""
        lists = {name: _tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**(values | lists))

    def differences(self, other: "Recipe") -> list[str]:
        return [one.name for one in fields(self) if getattr(self, one.name) != getattr(other, one.name)]


def _tuple(value: list[Any]) -> tuple[Any, ...]:
    return tuple(_tuple(one) if isinstance(one, list) else one for one in value)


@dataclass(frozen=True)
class Frame:
    """The size at which a batch is seen."""

    height: int
    width: int
