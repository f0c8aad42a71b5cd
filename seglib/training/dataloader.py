"""Batches as tensors, made by worker processes ahead of the net, and the validation photos one by one.

In: pairs, a recipe, an epoch's plan of batches. Out: `Seen` batches in the plan's order, from any position on.
Knows nothing of nets, losses or where training is.
"""

import math
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from seglib.data.resize import net_wh
from seglib.training import dataset
from seglib.training.config import Frame, Recipe
from seglib.training.dataset import Meaning, Pair
from seglib.training.distillation import SoftLabels

MOST_SQUASHED = 1.5
"""Change of a photo's aspect that still shows it whole."""


_ASPECTS = ((1, 1), (1, 1), (3, 4), (4, 3), (2, 3), (3, 2))  # width : height of frames; squares twice as often


_LIGHT = 0.4


_GREY = 0.1


_STEP = 32


_LEAST_AREA = 0.25


@dataclass(frozen=True)
class BatchPlan:
    frame: Frame
    positions: tuple[int, ...]
    """In the list of training photos."""


@dataclass(frozen=True)
class Box:
    """A part of a photo, in pixels of the photo."""

    left: float
    top: float
    width: float
    height: float


def generator(*numbers: int) -> torch.Generator:
    """Random numbers that follow from these: (seed, epoch, position)."""
    state = 0
    for number in numbers:
        state = (state * 1_000_003 + number + 1) % (1 << 63)
    made = torch.Generator()
    made.manual_seed(state)
    for _ in range(2):  # the first numbers of neighbouring seeds are alike
        torch.rand(64, generator=made)
    return made


def plan_batches(photos: int, recipe: Recipe, epoch: int) -> list[BatchPlan]:
    """Each photo once, in batches of one frame each; as many pixels per batch as `batch_size` squares hold.

    A last photo alone joins the batch before it: a batch norm needs two.
    """
    random = generator(recipe.seed, epoch, -1)
    order = torch.randperm(photos, generator=random).tolist()
    base = math.prod(net_wh(recipe.base_side, recipe.base_side, recipe.net_side))
    made: list[BatchPlan] = []
    start = 0
    while start < photos:
        frame = drawn_frame(recipe, random)
        size = max(2, round(recipe.batch_size * base / math.prod(net_wh(frame.width, frame.height, recipe.net_side))))
        if photos - start - size == 1:
            size += 1
        made.append(BatchPlan(frame, tuple(order[start : start + size])))
        start += size
    return made


def drawn_frame(recipe: Recipe, random: torch.Generator) -> Frame:
    low, high = recipe.short_side
    steps = (high - low) // _STEP + 1
    short = low + _STEP * _integer(steps, random)
    width, height = _ASPECTS[_integer(len(_ASPECTS), random)]
    sides = (round(short * side / min(width, height) / _STEP) * _STEP for side in (height, width))
    return Frame(*sides)


def drawn_box(size_wh: tuple[int, int], frame: Frame, whole: float, random: torch.Generator) -> Box:
    """The part of a photo that fills the frame: as a rule all of it, squashed by at most `MOST_SQUASHED`; else a crop
    of at least a quarter of that, squashed by any amount up to a third.
    """
    width, height = size_wh
    aspect = width / height / (frame.width / frame.height)  # by how much the photo is wider than the frame
    if float(torch.rand((), generator=random)) < whole:
        squash, area = min(max(aspect, 1 / MOST_SQUASHED), MOST_SQUASHED), 1.0
    else:
        squash = math.exp(_uniform(-1, 1, random) * math.log(4 / 3))
        area = _uniform(_LEAST_AREA, 1, random)
    shape = squash * frame.width / frame.height  # the box's own aspect
    box_w = min(width, height * shape) * math.sqrt(area)
    box_h = box_w / shape
    left, top = _uniform(0, width - box_w, random), _uniform(0, height - box_h, random)
    return Box(left, top, box_w, box_h)


def seen(
    photo: Tensor, mask: Tensor, soft: Tensor | None, *, frame: Frame, recipe: Recipe, random: torch.Generator
) -> tuple[Tensor, Tensor, Tensor | None]:
    """uint8 (3, H, W), uint8 (H, W), logits float (C, h, w) -> the same in the frame: uint8 (3, height, width), int64
    mask at each n-th pixel, probabilities (C, height / 8, width / 8).
    """
    height, width = photo.shape[1:]
    box = drawn_box((width, height), frame, recipe.whole, random)
    stride = recipe.loss_stride
    mask_hw = (frame.height // stride, frame.width // stride)
    top, left = round(box.top), round(box.left)
    box_h, box_w = max(1, min(round(box.height), height - top)), max(1, min(round(box.width), width - left))
    photo = transforms.resized_crop(photo, top, left, box_h, box_w, [frame.height, frame.width], antialias=True)
    mask = transforms.resized_crop(
        mask[None], top, left, box_h, box_w, list(mask_hw), interpolation=InterpolationMode.NEAREST_EXACT
    )[0]
    if soft is not None:
        soft = _sampled(soft, Box(left, top, box_w, box_h), (width, height), (frame.height // 8, frame.width // 8))
        soft = soft.softmax(0)
    if float(torch.rand((), generator=random)) < 0.5:
        photo, mask = photo.flip(-1), mask.flip(-1)
        soft = None if soft is None else soft.flip(-1)
    return in_other_light(photo, random), mask.long(), soft


def in_other_light(photo: Tensor, random: torch.Generator) -> Tensor:
    """Brightness, contrast and saturation each changed by up to 40 %; one photo in ten without colour."""
    for change in (transforms.adjust_brightness, transforms.adjust_contrast, transforms.adjust_saturation):
        photo = change(photo, 1 + _uniform(-_LIGHT, _LIGHT, random))
    if float(torch.rand((), generator=random)) < _GREY:
        photo = transforms.rgb_to_grayscale(photo, 3)
    return photo


def _sampled(soft: Tensor, box: Box, size_wh: tuple[int, int], out_hw: tuple[int, int]) -> Tensor:
    """(C, h, w) over the whole photo -> (C, *out_hw) over the box, bilinear."""
    width, height = size_wh
    theta = torch.tensor(
        [
            [box.width / width, 0, (2 * box.left + box.width) / width - 1],
            [0, box.height / height, (2 * box.top + box.height) / height - 1],
        ]
    )
    grid = functional.affine_grid(theta[None], [1, 1, *out_hw], align_corners=False)
    return functional.grid_sample(soft[None], grid, padding_mode="border", align_corners=False)[0]


def _integer(below: int, random: torch.Generator) -> int:
    return int(torch.randint(below, (), generator=random))


def _uniform(low: float, high: float, random: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=random))


pass


@dataclass(frozen=True)
class Seen:
    photos: Tensor
    """uint8 (B, 3, H, W) RGB."""
    masks: Tensor
    """int64 (B, H / stride, W / stride), 255 void."""
    soft: Tensor | None
    """float32 (B, C, H / 8, W / 8): the teacher's probabilities."""

    def shares(self, number: int) -> "list[Seen]":
        """The same photos in so many parts, as equal as can be."""
        soft = [None] * number if self.soft is None else self.soft.tensor_split(number)
        parts = zip(self.photos.tensor_split(number), self.masks.tensor_split(number), soft, strict=True)
        return [Seen(*part) for part in parts]


@dataclass(frozen=True)
class Source:
    """What training pictures are made from."""

    pairs: Sequence[Pair]
    meaning: Meaning
    soft: SoftLabels | None = None


class _Plan(Dataset[Seen]):
    def __init__(self, source: Source, recipe: Recipe, epoch: int, plan: Sequence[BatchPlan]) -> None:
        self._source, self._recipe, self._epoch, self._plan = source, recipe, epoch, plan

    def __getitem__(self, at: int) -> Seen:
        batch = self._plan[at]
        parts = [self._one(position, batch.frame) for position in batch.positions]
        photos, masks, soft = zip(*parts, strict=True)
        return Seen(torch.stack(photos), torch.stack(masks), torch.stack(soft) if self._source.soft else None)

    def _one(self, position: int, frame: Frame) -> tuple[Tensor, Tensor, Tensor | None]:
        pair, what = self._source.pairs[position], self._source.meaning
        photo, mask = dataset.load(pair, what)
        soft = self._source.soft.of(pair, what.classes) if self._source.soft else None
        return seen(
            torch.from_numpy(np.array(photo)).permute(2, 0, 1),
            torch.from_numpy(mask),
            None if soft is None else torch.from_numpy(soft),
            frame=frame,
            recipe=self._recipe,
            random=generator(self._recipe.seed, self._epoch, position),
        )


def batches(
    source: Source, recipe: Recipe, epoch: int, plan: Sequence[BatchPlan], *, start: int, workers: int
) -> Iterator[Seen]:
    """From the plan's batch `start` on."""
    loader: DataLoader[Seen] = DataLoader(
        _Plan(source, recipe, epoch, plan),
        batch_size=None,
        sampler=range(start, len(plan)),
        num_workers=workers,
        prefetch_factor=2 if workers else None,
        worker_init_fn=_leave_signals_to_the_trainer,
    )
    yield from loader


def _leave_signals_to_the_trainer(_: int) -> None:
    """Ctrl-C, or a stop of the whole group, reaches the workers too: they end when the trainer lets go of them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
