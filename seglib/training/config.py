"""What a person chooses for one training (`TrainConfig`).

    TrainConfig(architecture="segnet", dataset="VOC2012", out="pets.safetensors", epochs=5)

The options of `seglib train` are generated from its fields: default, kind of value, name of the value and help text.
This module does not import torch.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from seglib.annotations.options import AUTO, FORMAT_HELP, MASK_FORMATS, MaskOptions
from seglib.data.resize import Resize
from seglib.errors import UnknownName, UsageError
from seglib.inference.config import DEVICES
from seglib.models import registry
from seglib.training.recipe import check_recipe_values, check_unique


def _describe(kind: str, metavar: str | None, help: str, choices: Sequence[str] = ()) -> dict[str, Any]:
    """Metadata of a field. `help` names other fields in backticks and leaves out the default if it is a plain value."""
    return {"kind": kind, "metavar": metavar, "help": help, "choices": tuple(choices)}


def _option(default: object, kind: str, metavar: str | None, help: str, choices: Sequence[str] = ()) -> Any:
    return field(default=default, metadata=_describe(kind, metavar, help, choices))


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that a person chooses for one training; `seglib.train` runs it.

    Only `architecture`, `dataset` and `out` are required. Each field's metadata holds its help text. Sizes are in
    pixels, and rates are learning rates per step.

    Raises:
        UsageError: A value is invalid, or two do not go together.

    Example:
        config = seglib.TrainConfig(architecture="unet_mobilenet_v2", dataset="VOC2012", out="pets.safetensors",
                                    classes=("background", "cat", "dog"), epochs=5)
    """

    architecture: str = field(
        metadata=_describe("text", "ARCH", "the model to train; python -m seglib models lists the names")
    )
    dataset: str | Path = field(
        metadata=_describe(
            "path",
            "DATASET",
            "folder with JPEGImages and SegmentationClass (Pascal VOC), with images and annotations/trimaps "
            "(Oxford-IIIT Pet), or, if `masks` is given, of photos",
        )
    )
    masks: str | Path | None = _option(
        None, "path", "DIR|FILE", "folder of masks with the same names as their photos, or a COCO JSON file"
    )
    out: str | Path = field(metadata=_describe("path", "FILE", "the checkpoint to write (.safetensors)"))
    classes: Sequence[str] | None = _option(
        None,
        "classes",
        "A,B,...",
        "classes to learn, or a file with one name per line. Classes that the masks name (VOC's, a labelmap's) are "
        "selected, and all others become background; any other names are those of the mask values 0, 1, ... (default: "
        "all classes of the masks)",
    )

    format: str = _option(
        AUTO,
        "choice",
        None,
        "how the masks are read: " + "; ".join(f"{k}: {v}" for k, v in FORMAT_HELP.items()),
        MASK_FORMATS,
    )
    ignore: Sequence[int] = _option((), "values", "N,...", "mask values that are void, besides 255")
    offset: int = _option(0, "integer", "N", "index of a class = mask value - N; 1 for ADE20K, where 0 is unlabelled")
    labelmap: str | Path | None = _option(
        None, "path", "FILE", "CVAT's labelmap.txt of masks in colours (default: the one beside the masks)"
    )
    suffix: str | None = _option(
        None, "text", "S", "what the masks' names end in besides, such as _mask (the usual ones are known)"
    )
    max_failure_rate: float = _option(
        1.0, "share", "SHARE", "stop if a larger share of photos or masks cannot be used; below it they are left out"
    )

    finetune: bool | str | Path = _option(
        False,
        "start",
        "FILE",
        "start from a trained model with a new last layer: the published weights of ARCH, or those of FILE",
    )
    """True for the architecture's published weights, or a checkpoint."""
    start: str | Path | None = _option(
        None,
        "path",
        "FILE",
        "continue from this checkpoint, last layer included, with new settings; give the `split_seed` of the earlier "
        "training to hold out the same photos",
    )
    upsampling: str | None = _option(
        None, "text", "U", "of U-Nets: bilinear, transposed or shuffle (default: bilinear)"
    )
    encoder: str | Path | None = _option(
        None,
        "path",
        "FILE",
        "start the encoder from these weights: a classifier's, or a checkpoint's with the same encoder, from which "
        "matching layers of the head are taken too",
    )

    unlabelled: str | Path | None = _option(None, "path", "DIR", "photos without masks, learnt from soft labels alone")
    teacher: str | Path | None = _option(
        None,
        "name or path",
        "T",
        "name or checkpoint of a model whose predictions (soft labels) are learnt along with the masks",
    )
    teacher_resize: str | Resize | None = _option(
        None, "resize", "R", "size at which the teacher sees photos (default: its own)"
    )
    soft_labels: str | Path | None = _option(
        None, "path", "DIR", "folder of the teacher's soft labels (default: beside `out`)"
    )
    soft: float = _option(1.0, "number", "W", "weight of the soft labels in the loss")

    resize: str | Resize = _option("224", "resize", "R", "size at which photos are validated, and the checkpoint's own")
    epochs: int = _option(20, "positive", "N", "passes over the training photos")
    batch_size: int = _option(
        16, "positive", "N", "photos per batch at the size of `resize`; batches of smaller photos hold more of them"
    )
    short_side: tuple[int, int] | None = _option(
        None,
        "sides",
        "LOW-HIGH",
        "range of the short side of training photos (default: around that of `resize`, 192-320 for 224; with a net "
        "side, that side)",
    )
    net_side: int | None = _option(
        None,
        "positive",
        "N",
        "short side at which the model sees every photo in its own aspect ratio, in training and in all later runs, "
        "whatever `resize` is (default: that of the model in `start` or `finetune`, else none)",
    )
    rate: float = _option(1e-3, "number", "R", "peak learning rate")
    encoder_rate: float | None = _option(
        None, "number", "R", "peak learning rate of the encoder (default: a fifth of `rate`)"
    )
    schedule: str = _option(
        "poly",
        "text",
        "S",
        "learning rate over time: poly, onecycle, or constant, which more `epochs` can extend later",
    )
    cooldown: float = _option(0.0, "number", "EPOCHS", "epochs at the end in which a constant rate falls to 0")
    dice: float = _option(0.5, "number", "W", "weight of the Dice loss")
    loss_stride: int = _option(2, "positive", "N", "the loss uses every N-th pixel in both directions; 4 is faster")
    freeze: Sequence[str] = _option(
        (), "names", "A,B,...", "modules that keep their weights, e.g. backbone.0,backbone.1"
    )
    keep_statistics: bool = _option(
        False, "flag", None, "batch norms keep the running statistics of the weights that training starts from"
    )
    rare: float = _option(
        0.0,
        "share",
        "SHARE",
        "photos of a class that fewer than this share of them show are drawn more often, by the square root of what "
        "its share lacks",
    )
    patience: int = _option(0, "natural", "N", "stop after N epochs without improvement; 0: never")
    validation: float = _option(0.1, "share", "SHARE", "share of the photos held out for validation")
    validation_list: str | Path | None = _option(
        None, "path", "FILE", "the photos to hold out, a name per line (VOC's val.txt), instead of a share"
    )
    seed: int = _option(0, "natural", "N", "seed of all randomness")
    split_seed: int | None = _option(None, "natural", "N", "seed of the validation split (default: `seed`)")
    precision: str = _option(
        "auto", "choice", None, "auto is bf16 where the hardware has it natively, else fp32", ("auto", "fp32", "bf16")
    )

    keep: str = _option(
        "best", "choice", None, "write the epoch with the best validation mIoU, or the last epoch", ("best", "last")
    )
    weights_as: str = _option("fp16", "choice", None, "number format of the checkpoint", ("fp16", "fp32"))
    device: str = _option("auto", "choice", None, "where to train", DEVICES)
    workers: int = _option(1, "natural", "N", "processes that load photos")
    parallel: int | None = _option(
        None,
        "positive",
        "N",
        "parts of a batch computed in parallel, each with its own batch-norm statistics (default: 2 on a CPU, else 1)",
    )
    threads: int | None = _option(
        None, "positive", "N", "CPU threads of the model; use 1 on a machine shared with other work"
    )
    minutes: float | None = _option(None, "number", "M", "pause after M minutes; starting again continues")
    plot: bool = _option(False, "flag", None, "draw the CSV as a PNG (extra: train)")

    def __post_init__(self) -> None:
        for parameter in fields(self):
            _check_value(
                parameter.name, getattr(self, parameter.name), parameter.metadata, optional=parameter.default is None
            )
        check_checkpoint_name(Path(self.out))
        self.mask_options()  # checks how its parts go together
        if self.classes is not None:
            check_unique(self.classes)
        if self.architecture not in registry.trainable_names():
            raise UnknownName("model", self.architecture, registry.trainable_names())
        check_recipe_values(self.schedule, self.short_side, self.validation, self.net_side or 0)
        if self.keep_statistics and self.start is None and self.finetune is False and self.encoder is None:
            raise UsageError("`keep_statistics` is for weights that are trained already: add `start` or `finetune`.")
        fine_tunes, continues = self.finetune is not False, self.start is not None
        if ((fine_tunes or continues) and self.upsampling) or (fine_tunes and (self.encoder or continues)):
            raise UsageError(
                "`finetune` and `start` each take a model as it is: give one of them, and leave out `upsampling` and, "
                "with `finetune`, `encoder`."
            )
        if self.unlabelled is not None and self.teacher is None and self.soft_labels is None:
            raise UsageError("`unlabelled` photos are learnt from soft labels alone: add a `teacher`.")
        if self.teacher is not None and str(self.teacher) not in registry.MODELS:
            _check_teacher_file(str(self.teacher))

    def mask_options(self) -> MaskOptions:
        return MaskOptions(
            format=self.format,
            ignore=tuple(self.ignore),
            offset=self.offset,
            labelmap=None if self.labelmap is None else Path(self.labelmap),
            suffix=self.suffix,
        )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


def _is_path(value: object) -> bool:
    return isinstance(value, str | os.PathLike)


_NAMES: tuple[str, Callable[[Any], bool]] = (
    "a sequence of names",
    lambda value: isinstance(value, Sequence) and not isinstance(value, str) and all(value),
)

_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "text": ("a text", lambda value: isinstance(value, str)),
    "path": ("a path", _is_path),
    "name or path": ("a name or a path", _is_path),
    "start": ("True, False or the path of a checkpoint", lambda value: isinstance(value, bool) or _is_path(value)),
    "names": _NAMES,
    "classes": _NAMES,
    "sides": (
        "two whole numbers such as (192, 320)",
        lambda value: isinstance(value, tuple) and len(value) == 2 and all(map(_is_whole, value)),
    ),
    "resize": (
        "a resize such as '224'",
        lambda value: isinstance(value, Resize) or (isinstance(value, str) and bool(Resize(value))),
    ),
    "values": (
        "a sequence of whole numbers from 0 to 65535",
        lambda value: (
            isinstance(value, Sequence)
            and not isinstance(value, str)
            and all(_is_whole(one) and 0 <= one <= 0xFFFF for one in value)
        ),
    ),
    "integer": ("a whole number", _is_whole),
    "natural": ("a whole number from 0 on", lambda value: _is_whole(value) and value >= 0),
    "positive": ("a whole number from 1 on", lambda value: _is_whole(value) and value >= 1),
    "number": ("a number from 0 on", _is_number),
    "share": ("a number from 0 to 1", lambda value: _is_number(value) and value <= 1),
    "flag": ("True or False", lambda value: isinstance(value, bool)),
}
"""For each kind of value but `choice`: what is expected, in words, and a check."""


def _check_value(name: str, value: object, metadata: Any, *, optional: bool) -> None:
    """Raise `UsageError` if a field's value is not of its kind; None is the value of an optional field left out."""
    if optional and value is None:
        return
    if metadata["choices"]:
        expected, is_valid = f"one of {', '.join(metadata['choices'])}", value in metadata["choices"]
    else:
        expected, check = _KINDS[metadata["kind"]]
        is_valid = check(value)
    if not is_valid:
        raise UsageError(f"`{name}` is {value!r}: expected {expected}.")


def check_checkpoint_name(out: Path) -> None:
    """Raise `UsageError` if a checkpoint to be written is not named `*.safetensors`."""
    if out.suffix != ".safetensors":
        raise UsageError(f"The checkpoint {out.name!r}: expected a name that ends in .safetensors.")


def _check_teacher_file(teacher: str) -> None:
    if not teacher.endswith(".safetensors"):
        raise UsageError(
            f"A teacher is a model's name ({', '.join(registry.MODELS)}) or a .safetensors file that names its "
            f"model; {teacher!r} is neither."
        )
