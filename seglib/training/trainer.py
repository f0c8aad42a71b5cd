"""Training loop: optimise, validate after each epoch, and save checkpoints and metrics.

`train` writes the checkpoint with the best validation mIoU (or the last one), a CSV with one row per epoch, and
regularly a state from which training resumes to the same results.
"""

import contextlib
import copy
import csv
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from seglib.classes import Mask
from seglib.data.resize import Resize, input_resize, input_size_wh, resize_image
from seglib.errors import SegError, UsageError
from seglib.fileio.atomic import replacing
from seglib.masks import png
from seglib.metrics.confusion import JointCounts
from seglib.metrics.measures import accuracy_measures
from seglib.models import layers
from seglib.models.registry import IMAGENET_MEAN, IMAGENET_STD
from seglib.training import checkpoint, dataloader, dataset, optimization
from seglib.training.checkpoint import TrainProgress, TrainState
from seglib.training.data_parallel import ReplicaPool
from seglib.training.dataloader import TrainBatch, TrainingSet
from seglib.training.dataset import ClassMapping, Sample
from seglib.training.recipe import TrainRecipe

SAVE_INTERVAL_SECONDS = 60.0
"""Seconds between saves of the training state: the most work that a kill may lose."""


@dataclass(frozen=True, kw_only=True)
class TrainOutputs:
    out: Path
    trained_classes: tuple[str, ...] | None = None
    """Recorded in the checkpoint; None: unknown."""
    keep_last: bool = False
    """Keep the last epoch's checkpoint instead of the best; rare classes can make validation mIoU noisy."""
    plot: bool = False
    fp16: bool = True
    """Save the checkpoint in fp16, else in fp32."""


@dataclass(frozen=True, kw_only=True)
class TrainHooks:
    """Progress callbacks, and the time limit after which training pauses."""

    on_step: Callable[[TrainProgress, int, float], None] = lambda *_: None
    """(progress, batches of this epoch, loss)"""
    on_epoch: Callable[[dict[str, float | None]], None] = lambda _: None
    seconds: float = float("inf")
    """Time limit of this invocation in seconds; the same command resumes training."""


def train(
    model: nn.Module,
    training_set: TrainingSet,
    validation: Sequence[Sample],
    recipe: TrainRecipe,
    outputs: TrainOutputs,
    *,
    device: str = "cpu",
    workers: int = 0,
    hooks: TrainHooks = TrainHooks(),
) -> TrainProgress:
    """Train until all epochs are done or patience or time runs out; resume from the saved state if there is one.

    Raises `UsageError` or `WeightsError` if that state does not fit, `SegError` if the loss or gradient is not finite.
    """
    deadline = time.monotonic() + hooks.seconds
    state = _start_or_resume(model, recipe, outputs.out, device)
    progress = state.progress
    repeats = training_set.repeats or [1.0] * len(training_set.samples)
    with contextlib.closing(ReplicaPool(state.model, recipe.parallel, device)) as replicas:
        while not is_over(progress, recipe):
            plan = dataloader.plan_batches(repeats, recipe, progress.epoch)
            batches = dataloader.load_batches(
                training_set, recipe, progress.epoch, plan, start=progress.step, workers=workers
            )
            replicas.train(recipe.frozen, keep_statistics=recipe.keep_statistics)
            saved = time.monotonic()
            with contextlib.closing(batches):
                for batch in batches:
                    loss = _train_on(batch, state, replicas, recipe, len(plan))
                    hooks.on_step(progress, len(plan), loss)
                    is_time_up = time.monotonic() > deadline
                    if is_time_up or time.monotonic() - saved > SAVE_INTERVAL_SECONDS:
                        checkpoint.save_state(outputs.out, recipe, state)
                        saved = time.monotonic()
                    if is_time_up:
                        return progress
            counts = validate(state.ema_model, validation, training_set.mapping, recipe, device)
            hooks.on_epoch(_finish_epoch(state, recipe, outputs, len(plan), summarize_validation(counts)))
    return progress


def _start_or_resume(model: nn.Module, recipe: TrainRecipe, out: Path, device: str) -> TrainState:
    model = model.to(device).to(memory_format=torch.channels_last)
    ema_model = copy.deepcopy(model).requires_grad_(False)
    if device == "cpu":
        layers.replace_depthwise_convs(model)
    optimiser = torch.optim.AdamW(_groups(model, recipe), weight_decay=recipe.weight_decay)
    state = TrainState(model=model, ema_model=ema_model, optimiser=optimiser)
    if checkpoint.state_path(out).exists():
        checkpoint.load_state(out, recipe, state)
    return state


def _train_on(batch: TrainBatch, state: TrainState, replicas: ReplicaPool, recipe: TrainRecipe, batches: int) -> float:
    """Take one optimisation step of an epoch of `batches`, and update the moving average and the progress.

    Returns the loss.
    """
    started, progress = time.monotonic(), state.progress
    _set_rate(state.optimiser, recipe, progress.epoch + progress.step / batches)
    loss = _step(replicas, batch, state.optimiser, recipe, seed=recipe.seed * 1_000_003 + progress.steps)
    optimization.update_ema(state.ema_model, state.model, progress.steps, recipe.average)
    progress.step += 1
    progress.steps += 1
    progress.photos += len(batch.images)
    progress.loss_sum += loss
    progress.seconds += time.monotonic() - started
    return loss


def _finish_epoch(
    state: TrainState, recipe: TrainRecipe, outputs: TrainOutputs, batches: int, measures: dict[str, float | None]
) -> dict[str, float | None]:
    """Write checkpoint, state, CSV and plot after an epoch of `batches`. Returns the epoch's row of the CSV."""
    progress = state.progress
    row = {
        "epoch": progress.epoch + 1,
        "photos": progress.photos,
        "seconds": round(progress.seconds, 1),
        "rate": recipe.rate * _rate_factor(recipe, progress.epoch + (progress.step - 1) / batches),
        "loss": progress.loss_sum / batches,
        **measures,
    }
    progress.rows.append(row)
    if (quality := row["miou"] or 0.0) > progress.best:
        progress.best, progress.best_epoch = quality, progress.epoch
    if outputs.keep_last or progress.best_epoch == progress.epoch:
        extra_metadata = {"epoch": str(progress.epoch + 1), "validation_miou": f"{quality:.4f}"}
        if outputs.trained_classes is not None:
            extra_metadata["trained_classes"] = json.dumps(outputs.trained_classes)
        checkpoint.save_checkpoint(outputs.out, state.ema_model, recipe, extra_metadata, half=outputs.fp16)
    progress.epoch, progress.step, progress.loss_sum = progress.epoch + 1, 0, 0.0
    checkpoint.save_state(outputs.out, recipe, state)
    write_csv(outputs.out.with_suffix(".csv"), progress.rows)
    if outputs.plot:
        draw_curves(outputs.out.with_suffix(".png"), progress.rows)
    return row


def is_over(progress: TrainProgress, recipe: TrainRecipe) -> bool:
    """Whether all epochs are done or patience has run out."""
    without_gain = progress.epoch - 1 - progress.best_epoch
    return progress.epoch >= recipe.epochs or bool(recipe.patience and without_gain >= recipe.patience)


def _groups(model: nn.Module, recipe: TrainRecipe) -> list[dict[str, object]]:
    """Optimiser parameter groups: own learning rate for the encoder, no decay of biases and norms (He et al. 2019).

    Also turns off gradients of frozen parameters. Raises `UsageError` if no parameter is left to train.
    """
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(tuple(f"{one}." for one in recipe.frozen)))
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = recipe.encoder_rate if name.startswith("backbone.") else recipe.rate
            decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    if not groups:
        raise UsageError("`freeze` names all modules of the model: leave some of them to train.")
    return [{"params": some, "greatest": rate, "weight_decay": decay} for (rate, decay), some in groups.items()]


def _set_rate(optimiser: torch.optim.Optimizer, recipe: TrainRecipe, epoch: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = group["greatest"] * _rate_factor(recipe, epoch)


def _rate_factor(recipe: TrainRecipe, epoch: float) -> float:
    return optimization.rate_factor(
        recipe.schedule, epoch, recipe.epochs, warmup=recipe.warmup, cooldown=recipe.cooldown
    )


def _step(
    replicas: ReplicaPool, batch: TrainBatch, optimiser: torch.optim.Optimizer, recipe: TrainRecipe, *, seed: int
) -> float:
    optimiser.zero_grad(set_to_none=True)
    loss = replicas.backward(batch, lambda net, share: _loss(net, share, recipe), seed)
    grad_norm = nn.utils.get_total_norm(
        [p.grad for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
    )
    if not (np.isfinite(loss) and bool(grad_norm.isfinite())):
        raise SegError("The loss or its gradient is not a number any more: start over with a lower `rate`.")
    optimiser.step()
    return loss


def _loss(model: nn.Module, batch: TrainBatch, recipe: TrainRecipe) -> Tensor:
    device = next(model.parameters()).device.type
    images = _resize_for_model(normalise(batch.images.to(device)), recipe.net_side)  # (B, 3, h, w)
    masks = batch.masks.to(device)
    with torch.autocast(device, torch.bfloat16, enabled=recipe.precision == "bf16"):
        raw = raw_logits(model, images)
    raw = raw.float()
    logits = _upsample_logits(raw, tuple(masks.shape[1:]))
    loss = optimization.cross_entropy(logits, masks)
    if recipe.dice:
        loss = loss + recipe.dice * optimization.dice_loss(logits, masks)
    if batch.soft is not None:
        soft = batch.soft.to(device)
        loss = loss + recipe.soft * optimization.distillation_loss(_upsample_logits(raw, tuple(soft.shape[2:])), soft)
    return loss


def raw_logits(model: nn.Module, images: Tensor) -> Tensor:
    """Logits at the head's output resolution if the model has a `logits` method, else at the input size."""
    logits: Tensor = model.logits(images) if hasattr(model, "logits") else model(images)["out"]  # type: ignore[operator]
    return logits


def _upsample_logits(logits: Tensor, size_hw: tuple[int, ...]) -> Tensor:
    if tuple(logits.shape[2:]) == size_hw:
        return logits
    return functional.interpolate(logits, size=size_hw, mode="bilinear", align_corners=False)


def normalise(images: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) -> float, normalised by ImageNet's mean and std, channels last in memory."""
    mean, std = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return ((images.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def _resize_for_model(images: Tensor, net_side: int) -> Tensor:
    """float (B, 3, H, W) -> (B, 3, h, w), resized to the same size and with the same filter as
    `resize.resize_to_input`.
    """
    height, width = images.shape[2:]
    size_wh = input_size_wh(width, height, net_side)
    if size_wh == (width, height):
        return images
    resized = functional.interpolate(images, size=size_wh[::-1], mode="bilinear", align_corners=False, antialias=True)
    return resized.contiguous(memory_format=torch.channels_last)


def validate(
    model: nn.Module, samples: Sequence[Sample], mapping: ClassMapping, recipe: TrainRecipe, device: str
) -> JointCounts:
    """Compare predicted masks with the ground truth, as `seglib evaluate` does.

    The mask at the grid's size is resized to the image by nearest neighbour. Always runs in float32: bf16 cost a small
    class 2.5 points of IoU.
    """
    model.eval()
    return JointCounts.of_masks(
        _predict_masks(model, samples, mapping, recipe, device), mapping.classes, mapping.classes
    )


@torch.inference_mode()
def _predict_masks(
    model: nn.Module, samples: Sequence[Sample], mapping: ClassMapping, recipe: TrainRecipe, device: str
) -> Iterator[tuple[Mask, Mask]]:
    resize = Resize(recipe.resize)
    sees = input_resize(resize, recipe.net_side)
    for pair in samples:
        photo, truth_mask = dataset.load_sample(pair, mapping)
        pixels = torch.from_numpy(np.array(resize_image(photo, sees)))[None]  # (1, H, W, 3)
        raw = raw_logits(model, normalise(pixels.permute(0, 3, 1, 2).to(device)))
        predicted = _upsample_logits(raw, resize.grid_wh(*photo.size)[::-1]).argmax(1)[0].to(torch.uint8).cpu().numpy()
        yield truth_mask, png.resize_mask(predicted, photo.size)


Row = Mapping[str, float | None]


def summarize_validation(counts: JointCounts) -> dict[str, float | None]:
    """Each measure over all pixels and, with the suffix `_mean`, averaged over the images where it is defined.

    Undefined values, such as the IoU of a trained class that is in no validation image, are None.
    """
    figures: dict[str, float | None] = {}
    for name, measure in accuracy_measures(counts).items():
        figures[name] = measure.overall()
        if ":" not in name:
            figures[f"{name}_mean"] = measure.mean()[0]
    return figures


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), restval="")
        writer.writeheader()
        writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)


def check_plot() -> None:
    """Raise `UsageError` if matplotlib is missing; called before training so that it does not fail afterwards."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError("`plot` draws with matplotlib, which is not here: pip install '.[train]'.") from None


def draw_curves(path: Path, rows: Sequence[Row]) -> None:
    """Plot the training loss (left) and the validation mIoU, Dice and pixel accuracy (right), one point per epoch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    loss, quality = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in rows]
    loss.plot(epochs, [row["loss"] for row in rows], marker=".")
    loss.set(title="Training loss", xlabel="epoch")
    for name, label in (("miou", "mIoU"), ("mdice", "Dice, mean of classes"), ("pixel_accuracy", "pixel accuracy")):
        quality.plot(epochs, [row[name] for row in rows], marker=".", label=label)
    quality.set(title="Validation photos, over all pixels", xlabel="epoch", ylim=(0, 1))
    quality.legend()
    figure.savefig(path, dpi=120)
