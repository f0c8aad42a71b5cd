"""`seglib train` and `seglib average`: train a model, and average its checkpoints."""

import argparse
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglib.cli.common import (
    ProgressBar,
    format_percent,
    new_command,
    parse_natural,
    parse_positive,
    parse_resize,
    parse_share,
    print_message,
)
from seglib.data.resize import Resize
from seglib.errors import UsageError
from seglib.inference.config import DEVICES
from seglib.models import loading, registry, weights_file

if TYPE_CHECKING:
    from torch import nn

    from seglib.training.checkpoint import TrainProgress
    from seglib.training.config import TrainConfig
    from seglib.training.dataset import Sample
    from seglib.training.distillation import SoftLabels


_SQUARE = 512  # side of a typical square image, to estimate the training size


def add(commands: Any) -> None:
    command = new_command(
        commands,
        "train",
        "train a network on photos and masks, for --weights",
        "python -m seglib train fcn_mobilenet_v2 VOC2012 --classes background,cat,dog --out pets.safetensors",
        _train,
    )
    command.add_argument("architecture", metavar="ARCH", help="a network by name: python -m seglib models lists them")
    command.add_argument(
        "dataset",
        type=Path,
        metavar="DATASET",
        help="JPEGImages and SegmentationClass (Pascal VOC), images and annotations/trimaps (Oxford-IIIT Pet), or "
        "photos, with --masks",
    )
    command.add_argument("--masks", type=Path, metavar="DIR", help="folder of the masks, named as their photos")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="the checkpoint (.safetensors)")
    command.add_argument(
        "--classes",
        type=parse_names,
        metavar="A,B,...",
        help="what to learn. Names of VOC pick from its masks, all else becomes background; other names say what the "
        "masks' values 0, 1, ... mean (default: all that the masks tell apart)",
    )
    _add_start(command)
    _add_teacher(command)
    _add_recipe(command)
    _add_machine(command)


def _add_start(command: argparse.ArgumentParser) -> None:
    """Options for the initial weights."""
    command.add_argument(
        "--finetune",
        nargs="?",
        type=Path,
        const=Path(),
        metavar="FILE",
        help="start from a trained network with a new last layer: ARCH's own weights, or those of FILE",
    )
    command.add_argument(
        "--start",
        type=Path,
        metavar="FILE",
        help="continue from this checkpoint with new settings, last layer included; give the --split-seed of "
        "the earlier training, which decides what is held out",
    )
    command.add_argument("--upsampling", metavar="U", help="of U-Nets: bilinear (default), transposed or shuffle")
    command.add_argument(
        "--encoder",
        type=Path,
        metavar="FILE",
        help="start its encoder from these weights: a classifier's, or a checkpoint with the same encoder, of "
        "which all that is the same in the head is taken too",
    )


def _add_teacher(command: argparse.ArgumentParser) -> None:
    """Options for distillation: teacher and soft labels."""
    command.add_argument("--unlabelled", type=Path, metavar="DIR", help="photos without masks, for soft labels")
    command.add_argument(
        "--teacher",
        metavar="T",
        help="a model's name or a checkpoint file; its soft labels are learnt beside the masks",
    )
    command.add_argument("--teacher-resize", type=parse_resize, metavar="R", help="default: the teacher's own")
    command.add_argument(
        "--soft-labels", type=Path, metavar="DIR", help="keeps the teacher's soft labels (default: beside --out)"
    )
    command.add_argument(
        "--soft", type=parse_number, default=1.0, metavar="W", help="weight of the soft labels (default 1)"
    )


def _add_recipe(command: argparse.ArgumentParser) -> None:
    """Options that affect the result (`seglib.training.config`)."""
    command.add_argument(
        "--resize",
        type=parse_resize,
        default=Resize("224"),
        metavar="R",
        help="to validate at, and the checkpoint's own (default 224)",
    )
    command.add_argument("--epochs", type=parse_positive, default=20, metavar="N", help="default 20")
    command.add_argument(
        "--batch-size",
        type=parse_positive,
        default=16,
        metavar="N",
        help="photos of the size of --resize; fewer larger ones, more smaller ones (default 16)",
    )
    command.add_argument(
        "--short-side",
        type=parse_side_range,
        metavar="LOW-HIGH",
        help="range of sizes of the training pictures (default: around that of --resize, 192-320 for 224; what the net "
        "sees where it has a side of its own)",
    )
    command.add_argument(
        "--net-side",
        type=parse_positive,
        metavar="N",
        help="short side in pixels at which the net sees every photo in its own aspect, now and later, whatever "
        "--resize says (default: as --resize has it; with --start or --finetune that of the net)",
    )
    command.add_argument("--rate", type=parse_number, default=1e-3, metavar="R", help="learning rate (default 0.001)")
    command.add_argument("--encoder-rate", type=parse_number, metavar="R", help="default a fifth of --rate")
    command.add_argument(
        "--schedule",
        default="poly",
        metavar="S",
        help="poly (default), onecycle, or constant, which can be prolonged by another --epochs",
    )
    command.add_argument(
        "--cooldown", type=parse_number, default=0.0, metavar="EPOCHS", help="at the end of a constant rate"
    )
    command.add_argument(
        "--dice", type=parse_number, default=0.5, metavar="W", help="weight of the Dice loss (default 0.5)"
    )
    command.add_argument(
        "--loss-stride",
        type=parse_positive,
        default=2,
        metavar="N",
        help="the loss looks at each N-th pixel in both directions (default 2; 4 is quicker)",
    )
    command.add_argument(
        "--freeze",
        type=parse_names,
        default=(),
        metavar="A,B,...",
        help="modules that keep their weights, e.g. backbone.0,backbone.1",
    )
    command.add_argument(
        "--patience",
        type=parse_natural,
        default=0,
        metavar="N",
        help="stop after N epochs without gain (default 0: never)",
    )
    command.add_argument(
        "--validation", type=parse_share, default=0.1, metavar="SHARE", help="of the photos (default 0.1)"
    )
    command.add_argument("--seed", type=parse_natural, default=0, metavar="N", help="of all chance (default 0)")
    command.add_argument("--split-seed", type=parse_natural, metavar="N", help="of the split alone (default: --seed)")
    command.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")


def _add_machine(command: argparse.ArgumentParser) -> None:
    """Options for execution and output."""
    command.add_argument(
        "--keep",
        choices=["best", "last"],
        default="best",
        help="the checkpoint of the epoch with the best validation mIoU (default), or of the last epoch",
    )
    command.add_argument("--weights-as", choices=["fp16", "fp32"], default="fp16", help="numbers of the checkpoint")
    command.add_argument("--device", choices=DEVICES, default="auto")
    command.add_argument("--workers", type=parse_natural, default=1, metavar="N", help="loading processes (default 1)")
    command.add_argument(
        "--parallel",
        dest="lanes",
        type=parse_positive,
        metavar="N",
        help="parts of a batch computed in parallel, each with its own batch statistics (default 2 on a CPU, else 1)",
    )
    command.add_argument("--lanes", type=parse_positive, help=argparse.SUPPRESS)  # the name of --parallel until 0.1
    command.add_argument(
        "--threads", type=parse_positive, metavar="N", help="of the net on a CPU; 1 where others compute too"
    )
    command.add_argument(
        "--minutes", type=parse_number, metavar="M", help="pause after so long; the same command continues"
    )
    command.add_argument("--plot", action="store_true", help="draw the CSV as FILE.png (extra: train)")


def _train(arguments: argparse.Namespace) -> int:
    import torch

    from seglib.models import transfer
    from seglib.training import dataset, trainer
    from seglib.training.dataloader import TrainingSet

    if arguments.out.suffix != ".safetensors":
        raise UsageError(f"--out {arguments.out.name!r}: expected a name that ends in .safetensors.")
    if arguments.plot:
        trainer.check_plot()
    samples, masks = dataset.find_samples(arguments.dataset, arguments.masks)
    mapping = dataset.resolve_classes(masks, arguments.classes)
    device, config = _build_config(arguments, mapping.classes)
    training, validation = dataset.split(samples, config.validation, config.split_seed)
    if arguments.unlabelled is not None:
        training += dataset.find_unlabelled(arguments.unlabelled)
    config = replace(config, photos=dataset.digest(training), weights=_start_weights_sha256(arguments))
    soft = _prepare_soft_labels(arguments, training, config, device)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".val.txt").write_text("".join(f"{pair.name}\n" for pair in validation), "utf-8")
    print_message(
        f"{len(training)} photos to train on, {len(validation)} to validate, {len(mapping.classes)} classes, "
        f"on {device} "
        f"in {config.precision}."
    )
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    model = _build_model(arguments, config)
    transfer.check_module_names(model, config.frozen)
    with _EpochBar(config) as bar:
        progress = trainer.train(
            model,
            TrainingSet(training, mapping, soft),
            validation,
            config,
            trainer.TrainOutputs(
                out=arguments.out,
                keep_last=arguments.keep == "last",
                plot=arguments.plot,
                fp16=arguments.weights_as == "fp16",
            ),
            device=device,
            workers=arguments.workers,
            hooks=trainer.TrainHooks(
                on_step=bar.step,
                on_epoch=bar.epoch,
                seconds=60 * arguments.minutes if arguments.minutes else float("inf"),
            ),
        )
    if progress.rows:
        kept = progress.epoch - 1 if arguments.keep == "last" else progress.best_epoch
        print(f"{arguments.out}: mIoU {format_percent(progress.rows[kept]['miou'])} of validation, epoch {kept + 1}")
    if trainer.is_over(progress, config):
        print(f"  masks: python -m seglib run FOLDER --weights {arguments.out}")
    else:
        print(f"paused after {progress.epoch} epochs; the same command continues")
    return 0


def _build_model(arguments: argparse.Namespace, config: "TrainConfig") -> "nn.Module":
    from seglib.models import transfer

    if arguments.start is not None:
        return transfer.init_from_trained(_find_start_model(arguments), config.classes, arguments.encoder)
    if arguments.finetune is not None:
        return transfer.init_with_new_head(_find_start_model(arguments), len(config.classes), config.seed)
    return transfer.init_model(
        config.architecture,
        config.classes,
        options=dict(config.options),
        seed=config.seed,
        encoder=arguments.encoder,
    )


def _reuses_whole_model(arguments: argparse.Namespace) -> bool:
    return arguments.finetune is not None or arguments.start is not None


def _find_start_model(arguments: argparse.Namespace) -> registry.ModelSpec:
    """The model to fine-tune or to continue training; downloads its weights if needed."""
    file = arguments.finetune if arguments.start is None else arguments.start
    spec = registry.find_model_spec(arguments.architecture, None if file == Path() else file)
    loading.ensure_weights(spec)
    return spec


def _start_weights_sha256(arguments: argparse.Namespace) -> str:
    """SHA-256 of each weights file that training starts from, joined by `+`."""
    whole = [loading.weights_sha256(_find_start_model(arguments))] if _reuses_whole_model(arguments) else []
    encoder = [weights_file.file_sha256(arguments.encoder)] if arguments.encoder else []
    return "+".join(whole + encoder)


def _architecture_options(arguments: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    """Architecture options: those of the model to start from, else those of the command line."""
    if _reuses_whole_model(arguments):
        fine_tunes = arguments.finetune is not None
        if arguments.upsampling or (fine_tunes and (arguments.encoder or arguments.start)):
            raise UsageError(
                "--finetune and --start each take a net as it is: give one of them, and leave out --upsampling and, "
                "with --finetune, --encoder."
            )
        return registry.read_checkpoint_options(_find_start_model(arguments).path)
    head = {"head": "context"} if arguments.architecture == "fcn_mobilenet_v2" else {}
    chosen = {"upsampling": arguments.upsampling} if arguments.upsampling else {}
    return tuple((head | chosen).items())


def _prepare_soft_labels(
    arguments: argparse.Namespace, samples: "list[Sample]", config: "TrainConfig", device: str
) -> "SoftLabels | None":
    from seglib.training import distillation

    if arguments.teacher is None and arguments.soft_labels is None:
        if arguments.unlabelled is not None:
            raise UsageError("--unlabelled photos teach by soft labels alone: add --teacher.")
        return None
    folder = arguments.soft_labels or arguments.out.with_suffix(".soft")
    if arguments.teacher is not None:
        known = arguments.teacher in registry.MODELS
        if not known and not arguments.teacher.endswith(".safetensors"):
            raise UsageError(
                f"A teacher is a model's name ({', '.join(registry.MODELS)}) or a .safetensors file that names its "
                f"model; {arguments.teacher!r} is neither."
            )
        spec = (
            registry.find_model_spec(arguments.teacher)
            if known
            else registry.find_model_spec(None, Path(arguments.teacher))
        )
        loading.ensure_weights(spec)
        teacher_resize = arguments.teacher_resize or spec.resize
        with ProgressBar() as bar:
            distillation.compute_soft_labels(
                spec,
                teacher_resize,
                samples,
                folder,
                precision=config.precision,
                device=device,
                on_photo=lambda done: bar.show(
                    _TeacherProgress(f"{spec.name} at {teacher_resize.text}", len(samples), done)
                ),
            )
    return distillation.open_soft_labels(folder, config.classes)


@dataclass(frozen=True)
class _TeacherProgress:
    """Progress of the teacher's predictions, for the progress bar."""

    title: str
    total: int
    done: int
    failed: int = 0


def _build_config(arguments: argparse.Namespace, classes: tuple[str, ...]) -> "tuple[str, TrainConfig]":
    from seglib.inference import config
    from seglib.training.config import TrainConfig

    device = config.resolve_device(arguments.device)
    precision = config.fastest_precision(device) if arguments.precision == "auto" else arguments.precision
    encoder_rate = arguments.rate / 5 if arguments.encoder_rate is None else arguments.encoder_rate
    width, height = arguments.resize.grid_wh(_SQUARE, _SQUARE)
    side = round((width * height) ** 0.5)
    options, net_side = _architecture_options(arguments), _net_side(arguments)
    return device, TrainConfig(
        architecture=arguments.architecture,
        options=options,
        classes=classes,
        resize=arguments.resize.text,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        net_side=net_side,
        base_side=side,
        short_side=arguments.short_side or ((net_side, net_side) if net_side else default_side_range(side)),
        rate=arguments.rate,
        encoder_rate=encoder_rate,
        schedule=arguments.schedule,
        cooldown=arguments.cooldown,
        frozen=arguments.freeze,
        dice=arguments.dice,
        loss_stride=arguments.loss_stride,
        soft=arguments.soft if arguments.teacher or arguments.soft_labels else 0.0,
        patience=arguments.patience,
        validation=arguments.validation,
        seed=arguments.seed,
        split_seed=arguments.seed if arguments.split_seed is None else arguments.split_seed,
        lanes=arguments.lanes or (2 if device == "cpu" else 1),
        precision=precision,
    )


def _net_side(arguments: argparse.Namespace) -> int:
    """The value of the command line, else that of the model to start from, else 0."""
    if arguments.net_side is not None:
        return int(arguments.net_side)
    return _find_start_model(arguments).net_side if _reuses_whole_model(arguments) else 0


class _EpochBar:
    """Prints one line per epoch, and a progress bar per epoch if stderr is a terminal."""

    def __init__(self, config: "TrainConfig") -> None:
        self._epochs = config.epochs
        self._bar: Any = None

    def step(self, progress: "TrainProgress", batches: int, loss: float) -> None:
        if self._bar is None:
            from tqdm import tqdm

            title = f"epoch {progress.epoch + 1} of {self._epochs}"
            self._bar = tqdm(
                desc=title, total=batches, initial=progress.step - 1, unit=" batches", disable=None, dynamic_ncols=True
            )
        self._bar.update()
        self._bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
        if progress.step == batches:
            self.close()

    def epoch(self, row: dict[str, float | None]) -> None:
        print_message(
            f"epoch {row['epoch']} of {self._epochs}: loss {row['loss']:.3f}; validation mIoU "
            f"{format_percent(row['miou'])}, "
            f"Dice {format_percent(row['mdice'])}, pixel accuracy {format_percent(row['pixel_accuracy'])}; "
            f"{row['photos']} photos in {row['seconds']:.0f} s"
        )

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> "_EpochBar":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def default_side_range(side: int) -> tuple[int, int]:
    """Range from 6/7 to 10/7 of a side, rounded to multiples of 32: (192, 320) for 224."""
    low, high = (max(32, round(side * share / 32) * 32) for share in (6 / 7, 10 / 7))
    return low, high


def parse_names(text: str) -> tuple[str, ...]:
    found = tuple(name.strip() for name in text.split(","))
    if not all(found):
        raise argparse.ArgumentTypeError(f"expected names with a comma between them, got {text!r}")
    return found


def parse_side_range(text: str) -> tuple[int, int]:
    if (found := re.fullmatch(r"(\d+)-(\d+)", text)) is None:
        raise argparse.ArgumentTypeError(f"expected two sides as 192-320, got {text!r}")
    return int(found[1]), int(found[2])


def parse_number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number from 0 on, got {text!r}")
    return value


def add_average(commands: Any) -> None:
    command = new_command(
        commands,
        "average",
        "the mean of several checkpoints of one network, weight by weight",
        "python -m seglib average small.safetensors large.safetensors --shares 0.85,0.15 --out pets.safetensors",
        _average,
    )
    command.add_argument("checkpoints", type=Path, nargs="+", metavar="FILE", help="of one network and its classes")
    command.add_argument(
        "--shares", type=parse_numbers, metavar="A,B,...", help="how much each counts (default: all the same)"
    )
    command.add_argument(
        "--net-side",
        type=parse_positive,
        metavar="N",
        help="short side in pixels at which the mean sees every photo (default: that of the first checkpoint)",
    )
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="the mean (.safetensors)")


def _average(arguments: argparse.Namespace) -> int:
    from seglib.training.checkpoint import average_checkpoints

    files = arguments.checkpoints
    average_checkpoints(files, arguments.shares or [1.0] * len(files), arguments.out, arguments.net_side)
    print(f"{arguments.out}: mean of {len(files)} checkpoints")
    print(f"  masks: python -m seglib run FOLDER --weights {arguments.out}")
    return 0


def parse_numbers(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers with a comma between them, got {text!r}") from None
