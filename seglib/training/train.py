"""Train a model as a `TrainConfig` says: resolve it, build the initial model, compute soft labels, and run the loop.

report = train(TrainConfig(architecture="segnet", dataset="VOC2012", out="pets.safetensors", epochs=5))
report.measures["miou"]
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from seglib.annotations.reader import describe_masks
from seglib.data.resize import Resize
from seglib.errors import TooManyFailures
from seglib.inference.config import fastest_precision, resolve_device
from seglib.models import loading, registry, transfer, weights_file
from seglib.models.adapter import ModelRequest
from seglib.models.checkpoint import metadata
from seglib.models.registry import ModelSpec
from seglib.progress import OnProgress, Progress
from seglib.training import dataset, distillation, trainer
from seglib.training.checkpoint import TrainProgress
from seglib.training.config import TrainConfig
from seglib.training.dataloader import TrainingSet
from seglib.training.dataset import ClassMapping, Sample
from seglib.training.distillation import SoftLabels
from seglib.training.recipe import TrainRecipe

_SQUARE = 512  # side of a typical square image, to estimate the training size


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """What a training is about to do, with everything that `TrainConfig` leaves open resolved."""

    recipe: TrainRecipe
    device: str
    """`cpu` or `cuda`."""
    mapping: ClassMapping
    training: list[Sample]
    """Images to train on, those without masks last."""
    validation: list[Sample]
    start: ModelSpec | None
    """The trained model that training starts from; None if only the encoder or nothing is trained."""
    left_out: dict[str, str]
    """Images that cannot be used, or whose masks cannot: name -> reason."""
    found: str
    """What the masks were read as, and what they hold, in one sentence."""
    shown: tuple[str, ...]
    """Classes that the masks of `training` show."""
    repeats: list[float]
    """How often an epoch shows each of `training` on average."""


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """Result of one call of `train`."""

    checkpoint: Path
    """The file that `load_model` and `run` take; it is written after the first epoch."""
    epochs: int
    """Number of finished epochs, including those of earlier calls."""
    is_paused: bool
    """Whether `minutes` have passed before the last epoch; the same call continues."""
    kept_epoch: int | None
    """Number, from 1, of the epoch whose weights the checkpoint holds; None before the first epoch is finished."""
    rows: tuple[dict[str, float | None], ...]
    """The CSV: one row per finished epoch. Measures are shares (0..1), None where undefined."""

    @property
    def measures(self) -> dict[str, float | None]:
        """Validation measures of the kept epoch, such as `miou`, `mdice` and `iou:cat`; empty if there is none."""
        if self.kept_epoch is None:
            return {}
        return {name: value for name, value in self.rows[self.kept_epoch - 1].items() if name not in _LOOP_COLUMNS}


_LOOP_COLUMNS = ("epoch", "photos", "seconds", "rate", "loss")


def train(
    config: TrainConfig,
    *,
    on_teacher: OnProgress = lambda _: None,
    on_start: Callable[[TrainPlan], None] = lambda _: None,
    on_step: Callable[[TrainProgress, int, float], None] = lambda *_: None,
    on_epoch: Callable[[dict[str, float | None]], None] = lambda _: None,
) -> TrainReport:
    """Train or fine-tune a model on images and masks, and write a checkpoint, a CSV of measures, and a resumable state.

    An interrupted training continues from its state when called again with the same configuration, to the same
    results.

    Args:
        config: What to train, on what, and how.
        on_teacher: Called after each image whose soft labels are ready.
        on_start: Called once before the first step, with the resolved settings.
        on_step: Called after each batch with the progress, the number of batches in this epoch and the loss.
        on_epoch: Called after each epoch with its row of the CSV.

    Returns:
        The checkpoint's path and the measures of each finished epoch.

    Raises:
        UsageError: A value does not fit the data, the model or a training begun at `out` with other settings.
        DatasetError: Images or masks are missing or unreadable.
        WeightsError: A checkpoint is missing, damaged, or made for another model.
        SegError: The device is not available, or the loss is no longer finite.

    Example:
        config = seglib.TrainConfig(architecture="fcn_mobilenet_v2", dataset="photos", masks="masks", finetune=True,
                                    classes=("background", "leaf", "flower"), out="plants.safetensors")
        report = seglib.train(config, on_epoch=print)
    """
    if config.plot:
        trainer.check_plot()
    plan = _plan_training(config)
    soft_labels = _prepare_soft_labels(config, plan, on_teacher)
    out = Path(config.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".val.txt").write_text("".join(f"{sample.name}\n" for sample in plan.validation), "utf-8")
    on_start(plan)
    seconds = 60 * config.minutes if config.minutes else float("inf")
    hooks = trainer.TrainHooks(on_step=on_step, on_epoch=on_epoch, seconds=seconds)
    with _limit_threads(config.threads):
        progress = _run_loop(config, plan, soft_labels, hooks)
    return TrainReport(
        checkpoint=out,
        epochs=progress.epoch,
        is_paused=not trainer.is_over(progress, plan.recipe),
        kept_epoch=_kept_epoch(progress, config),
        rows=tuple(progress.rows),
    )


def _run_loop(
    config: TrainConfig, plan: TrainPlan, soft_labels: SoftLabels | None, hooks: trainer.TrainHooks
) -> TrainProgress:
    model = _build_model(config, plan)
    transfer.check_module_names(model, plan.recipe.frozen)
    outputs = trainer.TrainOutputs(
        out=Path(config.out),
        trained_classes=_trained_classes(plan, soft_labels),
        keep_last=config.keep == "last",
        plot=config.plot,
        fp16=config.weights_as == "fp16",
    )
    return trainer.train(
        model,
        TrainingSet(plan.training, plan.mapping, soft_labels, plan.repeats),
        plan.validation,
        plan.recipe,
        outputs,
        device=plan.device,
        workers=config.workers,
        hooks=hooks,
    )


def _trained_classes(plan: TrainPlan, soft_labels: SoftLabels | None) -> tuple[str, ...] | None:
    """Classes that the model has been shown: by masks, by the teacher, and in the training that this one continues.

    None if what may be missing is unknown, because the start model does not say what it was trained on.
    """
    classes = plan.recipe.classes
    trained = {*plan.shown, *(soft_labels.trained_classes if soft_labels else ())}
    if plan.start is not None:
        trained.update(plan.start.trained_classes or ())
        if plan.start.trained_classes is None and not trained.issuperset(classes):
            return None
    return tuple(name for name in classes if name in trained)


def _kept_epoch(progress: TrainProgress, config: TrainConfig) -> int | None:
    if not progress.rows:
        return None
    return progress.epoch if config.keep == "last" else progress.best_epoch + 1


@contextlib.contextmanager
def _limit_threads(threads: int | None) -> Iterator[None]:
    """Set torch's number of CPU threads, which is process-wide, and restore it afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _plan_training(config: TrainConfig) -> TrainPlan:
    samples, mapping = dataset.find_samples(
        Path(config.dataset),
        None if config.masks is None else Path(config.masks),
        options=config.mask_options(),
        classes=config.classes,
    )
    device = resolve_device(config.device)
    start = _find_start_model(config, mapping.classes)
    checked = dataset.check_samples(samples, mapping)
    _refuse_failures(len(checked.left_out), len(samples), config.max_failure_rate)
    dataset.check_classes(mapping.classes, checked.pixels, chosen=config.classes is not None)
    if config.validation_list is None:
        training, validation = dataset.split(checked.usable, config.validation, _split_seed(config))
    else:
        training, validation = dataset.split_by_list(checked.usable, Path(config.validation_list))
    held_out = config.validation if config.validation_list is None else len(validation) / len(checked.usable)
    left_out = dict(checked.left_out)
    if config.unlabelled is not None:
        unlabelled = dataset.check_samples(dataset.find_unlabelled(Path(config.unlabelled)), mapping)
        training += unlabelled.usable
        left_out |= unlabelled.left_out
    recipe = _resolve_recipe(
        config,
        classes=mapping.classes,
        device=device,
        start=start,
        photos=dataset.digest(training),
        validation=held_out,
    )
    shows = [checked.shows.get(sample.name) for sample in training]
    seen = np.any([row for row in shows if row is not None], axis=0)
    return TrainPlan(
        shown=tuple(name for name, shown in zip(mapping.classes, seen, strict=False) if shown),
        repeats=dataset.repeat_factors(shows, config.rare),
        recipe=recipe,
        device=device,
        mapping=mapping,
        training=training,
        validation=validation,
        start=start,
        left_out=left_out,
        found=(
            f"{mapping.matched} {describe_masks(len(samples), mapping.masks.format, mapping.classes, checked.pixels)}"
        ),
    )


def _refuse_failures(failed: int, photos: int, allowed: float) -> None:
    if failed > photos * allowed:
        raise TooManyFailures(
            f"{failed} of {photos} photos or their masks cannot be used, more than `max_failure_rate` {allowed:g} "
            "allows."
        )


def _split_seed(config: TrainConfig) -> int:
    return config.seed if config.split_seed is None else config.split_seed


def _find_start_model(config: TrainConfig, classes: tuple[str, ...]) -> ModelSpec | None:
    """The model to fine-tune or to continue training; downloads its weights if needed.

    `classes`: those to be learnt, which a checkpoint that names none must have if its training is to continue.
    """
    file = config.finetune if config.start is None else config.start
    if file is False:
        return None
    if isinstance(file, bool):
        spec = registry.find_model_spec(config.architecture)
    elif config.start is None:
        spec = transfer.find_any_classes(config.architecture, Path(file))
    else:
        named = metadata.read_classes(Path(file)) or classes
        request = ModelRequest(classes=named)
        spec = registry.find_model_spec(config.architecture, Path(file), request=request)
    loading.ensure_weights(spec)
    return spec


def _resolve_recipe(
    config: TrainConfig,
    *,
    classes: tuple[str, ...],
    device: str,
    start: ModelSpec | None,
    photos: str,
    validation: float,
) -> TrainRecipe:
    """Fill in everything that `TrainConfig` leaves open.

    `photos`: digest of the training images' names. `validation`: the share of images that is held out.
    """
    resize = _to_resize(config.resize)
    width, height = resize.grid_wh(_SQUARE, _SQUARE)
    side = round((width * height) ** 0.5)
    net_side = config.net_side or (start.net_side if start else 0)
    learns_soft_labels = config.teacher is not None or config.soft_labels is not None
    return TrainRecipe(
        architecture=config.architecture,
        classes=classes,
        options=_architecture_options(config, start),
        resize=resize.text,
        epochs=config.epochs,
        batch_size=config.batch_size,
        net_side=net_side,
        base_side=side,
        short_side=config.short_side or ((net_side, net_side) if net_side else default_side_range(side)),
        rate=config.rate,
        encoder_rate=config.rate / 5 if config.encoder_rate is None else config.encoder_rate,
        schedule=config.schedule,
        cooldown=config.cooldown,
        frozen=tuple(config.freeze),
        dice=config.dice,
        soft=config.soft if learns_soft_labels else 0.0,
        patience=config.patience,
        validation=validation,
        keep_statistics=config.keep_statistics,
        rare=config.rare,
        seed=config.seed,
        split_seed=_split_seed(config),
        loss_stride=config.loss_stride,
        parallel=config.parallel or (2 if device == "cpu" else 1),
        precision=fastest_precision(device) if config.precision == "auto" else config.precision,
        photos=photos,
        weights=_start_weights_sha256(config, start),
    )


def _to_resize(resize: str | Resize) -> Resize:
    return resize if isinstance(resize, Resize) else Resize(resize)


def default_side_range(side: int) -> tuple[int, int]:
    """Range from 6/7 to 10/7 of a side, rounded to multiples of 32: (192, 320) for 224."""
    low, high = (max(32, round(side * share / 32) * 32) for share in (6 / 7, 10 / 7))
    return low, high


def _architecture_options(config: TrainConfig, start: ModelSpec | None) -> tuple[tuple[str, str], ...]:
    """Architecture options: those of the model to start from, else those chosen."""
    if start is not None:
        found: tuple[tuple[str, str], ...] = getattr(
            start.build, "options", ()
        )  # those that a checkpoint's layers tell
        return metadata.read_options(start.path) or found
    head = {"head": "fused"} if config.architecture in ("fcn_mobilenet_v2", "unet_mobilenet_v2") else {}
    chosen = {"upsampling": config.upsampling} if config.upsampling else {}
    return tuple((head | chosen).items())


def _start_weights_sha256(config: TrainConfig, start: ModelSpec | None) -> str:
    """SHA-256 of each weights file that training starts from, joined by `+`."""
    model = [] if start is None else [loading.weights_sha256(start)]
    encoder = [] if config.encoder is None else [weights_file.file_sha256(Path(config.encoder))]
    return "+".join(model + encoder)


def _build_model(config: TrainConfig, plan: TrainPlan) -> nn.Module:
    recipe, encoder = plan.recipe, None if config.encoder is None else Path(config.encoder)
    if plan.start is None:
        return transfer.init_model(
            recipe.architecture, recipe.classes, options=dict(recipe.options), seed=recipe.seed, encoder=encoder
        )
    if config.start is not None:
        return transfer.init_from_trained(plan.start, recipe.classes, encoder)
    return transfer.init_with_new_head(plan.start, len(recipe.classes), recipe.seed)


def _prepare_soft_labels(config: TrainConfig, plan: TrainPlan, on_teacher: OnProgress) -> SoftLabels | None:
    """Compute the soft labels that are missing if there is a teacher, and open their folder."""
    if config.teacher is None and config.soft_labels is None:
        return None
    folder = Path(config.out).with_suffix(".soft") if config.soft_labels is None else Path(config.soft_labels)
    if config.teacher is not None:
        name = str(config.teacher)
        spec = registry.find_model_spec(name) if name in registry.MODELS else registry.find_model_spec(None, Path(name))
        loading.ensure_weights(spec)
        resize = spec.resize if config.teacher_resize is None else _to_resize(config.teacher_resize)
        progress = Progress(title=f"{spec.name} at {resize.text}", total=len(plan.training))

        def report(done: int) -> None:
            progress.done = done
            on_teacher(progress)

        distillation.compute_soft_labels(
            spec,
            resize,
            plan.training,
            folder,
            precision=plan.recipe.precision,
            device=plan.device,
            on_photo=report,
        )
    return distillation.open_soft_labels(folder, plan.recipe.classes)
