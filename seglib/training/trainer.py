"""Training loop: optimise, validate after each epoch, and save checkpoints and metrics.

`train` writes the checkpoint with the best validation mIoU (or the last one), a CSV with one row per epoch, and
regularly a state from which training resumes to the same results.
"""

import contextlib
import copy
import csv
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from seglib.data.resize import Resize, net_wh, resized, sight
from seglib.errors import SegError, UsageError
from seglib.masks import png
from seglib.masks.png import Mask
from seglib.metrics.confusion import Counts
from seglib.metrics.measures import accuracy
from seglib.models import layers
from seglib.models.registry import IMAGENET_MEAN, IMAGENET_STD
from seglib.training import checkpoint, dataloader, dataset, optimization
from seglib.training.checkpoint import Progress
from seglib.training.config import Recipe
from seglib.training.data_parallel import Lanes
from seglib.training.dataloader import Seen, Source
from seglib.training.dataset import Meaning, Pair

SAVED_EVERY = 60.0
"""Seconds between saves of the training state: the most work that a kill may lose."""


@dataclass(frozen=True, kw_only=True)
class Files:
    out: Path
    last: bool = False
    """Keep the last epoch's checkpoint instead of the best; rare classes can make validation mIoU noisy."""
    plot: bool = False
    half: bool = True
    """Save the checkpoint in fp16, else in fp32."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Progress callbacks, and the time limit after which training pauses."""

    on_step: Callable[[Progress, int, float], None] = lambda *_: None
    """(progress, batches of this epoch, loss)"""
    on_epoch: Callable[[dict[str, float | None]], None] = lambda _: None
    seconds: float = float("inf")
    """Time limit of this invocation in seconds; the same command resumes training."""


def train(
    net: nn.Module,
    source: Source,
    validation: Sequence[Pair],
    recipe: Recipe,
    files: Files,
    *,
    device: str = "cpu",
    workers: int = 0,
    watch: Watch = Watch(),
) -> Progress:
    """Train until all epochs are done or patience or time runs out; resume from the saved state if there is one.

    Raises `UsageError` or `WeightsError` if that state does not fit, `SegError` if the loss or gradient is not finite.
    """
    started = time.monotonic()
    net = net.to(device).to(memory_format=torch.channels_last)
    kept = copy.deepcopy(net).requires_grad_(False)
    if device == "cpu":
        layers.mend_depthwise(net)
    optimiser = torch.optim.AdamW(_groups(net, recipe), weight_decay=recipe.weight_decay)
    progress = Progress()
    if checkpoint.state_path(files.out).exists():
        progress = checkpoint.load_state(files.out, recipe, net=net, kept=kept, optimiser=optimiser)
    saved = time.monotonic()

    with contextlib.closing(Lanes(net, recipe.lanes, device)) as lanes:
        while not is_over(progress, recipe):
            plan = dataloader.plan_batches(len(source.pairs), recipe, progress.epoch)
            lanes.train(recipe.frozen)
            for batch in dataloader.batches(source, recipe, progress.epoch, plan, start=progress.step, workers=workers):
                ticked = time.monotonic()
                _set_rate(optimiser, recipe, progress.epoch + progress.step / len(plan))
                loss = _step(lanes, batch, optimiser, recipe, seed=recipe.seed * 1_000_003 + progress.steps)
                optimization.update_ema(kept, net, progress.steps, recipe.average)
                progress.step += 1
                progress.steps += 1
                progress.photos += len(batch.photos)
                progress.loss_sum += loss
                progress.seconds += time.monotonic() - ticked
                watch.on_step(progress, len(plan), loss)
                if time.monotonic() - saved > SAVED_EVERY:
                    checkpoint.save_state(files.out, recipe, progress, net=net, kept=kept, optimiser=optimiser)
                    saved = time.monotonic()
                if time.monotonic() - started > watch.seconds:
                    checkpoint.save_state(files.out, recipe, progress, net=net, kept=kept, optimiser=optimiser)
                    return progress

            row = {
                "epoch": progress.epoch + 1,
                "photos": progress.photos,
                "seconds": round(progress.seconds, 1),
                "rate": recipe.rate * _share_of_rate(recipe, progress.epoch + (progress.step - 1) / len(plan)),
                "loss": progress.loss_sum / len(plan),
                **validated(validate(kept, validation, source.meaning, recipe, device)),
            }
            progress.rows.append(row)
            if (quality := row["miou"] or 0.0) > progress.best:
                progress.best, progress.best_epoch = quality, progress.epoch
            if files.last or progress.best_epoch == progress.epoch:
                about = {"epoch": str(progress.epoch + 1), "validation_miou": f"{quality:.4f}"}
                checkpoint.save_checkpoint(files.out, kept, recipe, about, half=files.half)
            progress.epoch, progress.step, progress.loss_sum = progress.epoch + 1, 0, 0.0
            checkpoint.save_state(files.out, recipe, progress, net=net, kept=kept, optimiser=optimiser)
            saved = time.monotonic()
            write_csv(files.out.with_suffix(".csv"), progress.rows)
            if files.plot:
                draw(files.out.with_suffix(".png"), progress.rows)
            watch.on_epoch(row)
    return progress


def is_over(progress: Progress, recipe: Recipe) -> bool:
    """Whether all epochs are done or patience has run out."""
    without_gain = progress.epoch - 1 - progress.best_epoch
    return progress.epoch >= recipe.epochs or bool(recipe.patience and without_gain >= recipe.patience)


def _groups(net: nn.Module, recipe: Recipe) -> list[dict[str, object]]:
    """Optimiser parameter groups: own learning rate for the encoder, no decay of biases and norms (He et al. 2019).

    Also turns off gradients of frozen parameters.
    """
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(not name.startswith(tuple(f"{one}." for one in recipe.frozen)))
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            rate = recipe.encoder_rate if name.startswith("backbone.") else recipe.rate
            decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": some, "greatest": rate, "weight_decay": decay} for (rate, decay), some in groups.items()]


def _set_rate(optimiser: torch.optim.Optimizer, recipe: Recipe, epoch: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = group["greatest"] * _share_of_rate(recipe, epoch)


def _share_of_rate(recipe: Recipe, epoch: float) -> float:
    return optimization.factor(recipe.schedule, epoch, recipe.epochs, warmup=recipe.warmup, cooldown=recipe.cooldown)


def _step(lanes: Lanes, batch: Seen, optimiser: torch.optim.Optimizer, recipe: Recipe, *, seed: int) -> float:
    optimiser.zero_grad(set_to_none=True)
    loss = lanes.backward(batch, lambda net, share: _loss(net, share, recipe), seed)
    slope = nn.utils.get_total_norm(
        [p.grad for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
    )
    if not (np.isfinite(loss) and bool(slope.isfinite())):
        raise SegError("The loss or its gradient is not a number any more: start over with a lower --rate.")
    optimiser.step()
    return loss


def _loss(net: nn.Module, batch: Seen, recipe: Recipe) -> Tensor:
    device = next(net.parameters()).device.type
    photos = _as_net_sees(normalised(batch.photos.to(device)), recipe.net_side)  # (B, 3, h, w)
    masks = batch.masks.to(device)
    with torch.autocast(device, torch.bfloat16, enabled=recipe.precision == "bf16"):
        raw = raw_logits(net, photos)
    raw = raw.float()
    logits = _at(raw, tuple(masks.shape[1:]))
    loss = optimization.cross_entropy(logits, masks)
    if recipe.dice:
        loss = loss + recipe.dice * optimization.dice(logits, masks)
    if batch.soft is not None:
        soft = batch.soft.to(device)
        loss = loss + recipe.soft * optimization.distillation(_at(raw, tuple(soft.shape[2:])), soft)
    return loss


def raw_logits(net: nn.Module, photos: Tensor) -> Tensor:
    """Logits at the head's output resolution if the model has a `logits` method, else at the input size."""
    logits: Tensor = net.logits(photos) if hasattr(net, "logits") else net(photos)["out"]  # type: ignore[operator]
    return logits


def _at(logits: Tensor, size_hw: tuple[int, ...]) -> Tensor:
    if tuple(logits.shape[2:]) == size_hw:
        return logits
    return functional.interpolate(logits, size=size_hw, mode="bilinear", align_corners=False)


def normalised(photos: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) -> float, normalised by ImageNet's mean and std, channels last in memory."""
    mean, std = (torch.tensor(v, device=photos.device).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return ((photos.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def _as_net_sees(photos: Tensor, net_side: int) -> Tensor:
    """float (B, 3, H, W) -> (B, 3, h, w), resized to the same size and with the same filter as `resize.as_net_sees`."""
    height, width = photos.shape[2:]
    size_wh = net_wh(width, height, net_side)
    if size_wh == (width, height):
        return photos
    seen = functional.interpolate(photos, size=size_wh[::-1], mode="bilinear", align_corners=False, antialias=True)
    return seen.contiguous(memory_format=torch.channels_last)


def validate(net: nn.Module, pairs: Sequence[Pair], what: Meaning, recipe: Recipe, device: str) -> Counts:
    """Compare predicted masks with the ground truth, as `seglib evaluate` does.

    The mask at the grid's size is resized to the image by nearest neighbour. Always runs in float32: bf16 cost a small
    class 2.5 points of IoU.
    """
    net.eval()
    return Counts.of_masks(_masks(net, pairs, what, recipe, device), what.classes, what.classes)


@torch.inference_mode()
def _masks(
    net: nn.Module, pairs: Sequence[Pair], what: Meaning, recipe: Recipe, device: str
) -> Iterator[tuple[Mask, Mask]]:
    resize = Resize(recipe.resize)
    sees = sight(resize, recipe.net_side)
    for pair in pairs:
        photo, right = dataset.load(pair, what)
        pixels = torch.from_numpy(np.array(resized(photo, sees)))[None]  # (1, H, W, 3)
        raw = raw_logits(net, normalised(pixels.permute(0, 3, 1, 2).to(device)))
        seen = _at(raw, resize.grid_wh(*photo.size)[::-1]).argmax(1)[0].to(torch.uint8).cpu().numpy()
        yield right, png.stretched(seen, photo.size)


Row = Mapping[str, float | None]


def validated(counts: Counts) -> dict[str, float | None]:
    """Each measure over all pixels and, with the suffix `_mean`, averaged over the images where it is defined.

    Undefined values, such as the IoU of a trained class that is in no validation image, are None.
    """
    found: dict[str, float | None] = {}
    for name, measure in accuracy(counts).items():
        found[name] = measure.overall()
        if ":" not in name:
            found[f"{name}_mean"] = measure.mean()[0]
    return found


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), restval="")
        writer.writeheader()
        writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    os.replace(temporary, path)


def check_plot() -> None:
    """Raise `UsageError` if matplotlib is missing; called before training so that it does not fail afterwards."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError("--plot draws with matplotlib, which is not here: pip install '.[train]'.") from None


def draw(path: Path, rows: Sequence[Row]) -> None:
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
