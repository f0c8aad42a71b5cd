"""Plan, load and augment training batches in worker processes.

`plan_batches` assigns an epoch's images to batches; `load_batches` yields them as `TrainBatch` tensors in that order,
from any position on. All randomness is derived from (seed, epoch, position).
"""

import math
import signal
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from seglib.data.resize import input_size_wh
from seglib.data.worker_processes import without_main_module
from seglib.errors import SegError
from seglib.training import dataset
from seglib.training.dataset import ClassMapping, Sample
from seglib.training.distillation import SoftLabels
from seglib.training.recipe import CropSize, TrainRecipe

MAX_ASPECT_CHANGE = 1.5
"""Largest factor by which the aspect ratio changes when an image is stretched to the frame instead of cropped."""


_ASPECTS = ((1, 1), (1, 1), (3, 4), (4, 3), (2, 3), (3, 2))  # width : height of frames; squares twice as often


_LIGHT = 0.4


_GREY = 0.1


_STEP = 32


_LEAST_AREA = 0.25


@dataclass(frozen=True)
class BatchPlan:
    crop_size: CropSize
    positions: tuple[int, ...]
    """Indices into the list of training images."""


@dataclass(frozen=True)
class CropBox:
    """A crop of an image, in that image's pixels."""

    left: float
    top: float
    width: float
    height: float


def make_generator(*numbers: int) -> torch.Generator:
    """Random generator seeded by these numbers, such as (seed, epoch, position)."""
    state = 0
    for number in numbers:
        state = (state * 1_000_003 + number + 1) % (1 << 63)
    generator = torch.Generator()
    generator.manual_seed(state)
    for _ in range(2):  # the first numbers of neighbouring seeds are similar
        torch.rand(64, generator=generator)
    return generator


def plan_batches(repeats: Sequence[float], recipe: TrainRecipe, epoch: int) -> list[BatchPlan]:
    """Assign each image to as many batches as `repeats` says, with a random frame per batch and about as many pixels in
    each.

    `repeats` holds a factor from 1 on for each image (`dataset.repeat_factors`); its fraction is rounded at random.
    The target is the pixels of `batch_size` squares of `base_side`. A single leftover image joins the previous batch,
    because batch norm needs at least two.
    """
    random = make_generator(recipe.seed, epoch, -1)
    drawn = draw_images(repeats, random)
    image_count = len(drawn)
    order = drawn[torch.randperm(image_count, generator=random)].tolist()
    base = math.prod(input_size_wh(recipe.base_side, recipe.base_side, recipe.net_side))
    batches: list[BatchPlan] = []
    start = 0
    while start < image_count:
        crop_size = sample_crop_size(recipe, random)
        size = max(
            2,
            round(
                recipe.batch_size * base / math.prod(input_size_wh(crop_size.width, crop_size.height, recipe.net_side))
            ),
        )
        if image_count - start - size == 1:
            size += 1
        batches.append(BatchPlan(crop_size, tuple(order[start : start + size])))
        start += size
    return batches


def draw_images(repeats: Sequence[float], random: torch.Generator) -> Tensor:
    """int64 (N,), ascending: the index of each image, as often as its factor says."""
    factors = torch.tensor(repeats, dtype=torch.float64)
    counts = factors.floor()
    if bool((counts < factors).any()):
        counts += torch.rand(len(factors), generator=random, dtype=torch.float64) < factors - counts
    return torch.repeat_interleave(counts.long())


def sample_crop_size(recipe: TrainRecipe, random: torch.Generator) -> CropSize:
    low, high = recipe.short_side
    steps = (high - low) // _STEP + 1
    short = low + _STEP * _integer(steps, random)
    width, height = _ASPECTS[_integer(len(_ASPECTS), random)]
    sides = (round(short * side / min(width, height) / _STEP) * _STEP for side in (height, width))
    return CropSize(*sides)


def sample_crop_box(
    size_wh: tuple[int, int], crop_size: CropSize, whole_probability: float, random: torch.Generator
) -> CropBox:
    """Choose the crop of an image that is resized to fill the frame.

    With probability `whole_probability`, the largest crop that changes the aspect ratio by at most `MAX_ASPECT_CHANGE`;
    this is the full image unless its shape is very different. Otherwise a random crop of 1/4 to all of the largest
    possible area, with the aspect ratio changed by a random factor from 3/4 to 4/3.
    """
    width, height = size_wh
    aspect = width / height / (crop_size.width / crop_size.height)  # the image's aspect ratio relative to the frame's
    if float(torch.rand((), generator=random)) < whole_probability:
        squash, area = min(max(aspect, 1 / MAX_ASPECT_CHANGE), MAX_ASPECT_CHANGE), 1.0
    else:
        squash = math.exp(_uniform(-1, 1, random) * math.log(4 / 3))
        area = _uniform(_LEAST_AREA, 1, random)
    shape = squash * crop_size.width / crop_size.height  # the box's aspect ratio
    box_w = min(width, height * shape) * math.sqrt(area)
    box_h = box_w / shape
    left, top = _uniform(0, width - box_w, random), _uniform(0, height - box_h, random)
    return CropBox(left, top, box_w, box_h)


def augment_image(
    image: Tensor,
    mask: Tensor,
    soft: Tensor | None,
    *,
    crop_size: CropSize,
    recipe: TrainRecipe,
    random: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Augment one image with its mask and soft labels: random crop, horizontal flip and colour jitter.

    uint8 (3, H, W), uint8 (H, W), float logits (C, h, w) -> uint8 (3, height, width), int64 (height / n, width / n),
    probabilities (C, height / 8, width / 8), where height and width are the frame's and n is `loss_stride`.
    """
    height, width = image.shape[1:]
    box = sample_crop_box((width, height), crop_size, recipe.whole, random)
    stride = recipe.loss_stride
    mask_hw = (crop_size.height // stride, crop_size.width // stride)
    top, left = round(box.top), round(box.left)
    box_h, box_w = max(1, min(round(box.height), height - top)), max(1, min(round(box.width), width - left))
    image = transforms.resized_crop(image, top, left, box_h, box_w, [crop_size.height, crop_size.width], antialias=True)
    mask = transforms.resized_crop(
        mask[None], top, left, box_h, box_w, list(mask_hw), interpolation=InterpolationMode.NEAREST_EXACT
    )[0]
    if soft is not None:
        soft = _crop_soft_labels(
            soft, CropBox(left, top, box_w, box_h), (width, height), (crop_size.height // 8, crop_size.width // 8)
        )
        soft = soft.softmax(0)
    if float(torch.rand((), generator=random)) < 0.5:
        image, mask = image.flip(-1), mask.flip(-1)
        soft = None if soft is None else soft.flip(-1)
    return jitter_colours(image, random), mask.long(), soft


def jitter_colours(image: Tensor, random: torch.Generator) -> Tensor:
    """Randomly change brightness, contrast and saturation by up to 40 % each; turn one image in ten to greyscale."""
    for change in (transforms.adjust_brightness, transforms.adjust_contrast, transforms.adjust_saturation):
        image = change(image, 1 + _uniform(-_LIGHT, _LIGHT, random))
    if float(torch.rand((), generator=random)) < _GREY:
        image = transforms.rgb_to_grayscale(image, 3)
    return image


def _crop_soft_labels(soft: Tensor, box: CropBox, size_wh: tuple[int, int], out_hw: tuple[int, int]) -> Tensor:
    """(C, h, w) of the whole image -> (C, *out_hw) of the box, sampled bilinearly."""
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
class TrainBatch:
    images: Tensor
    """uint8 (B, 3, H, W) RGB."""
    masks: Tensor
    """int64 (B, H / stride, W / stride), 255 void."""
    soft: Tensor | None
    """float32 (B, C, H / 8, W / 8): the teacher's class probabilities."""

    def split(self, number: int) -> "list[TrainBatch]":
        """Split the batch into `number` parts of nearly equal size."""
        soft = [None] * number if self.soft is None else self.soft.tensor_split(number)
        parts = zip(self.images.tensor_split(number), self.masks.tensor_split(number), soft, strict=True)
        return [TrainBatch(*part) for part in parts]


@dataclass(frozen=True)
class TrainingSet:
    """Training data: image/mask pairs, the mapping of mask values to classes, and optional soft labels."""

    samples: Sequence[Sample]
    mapping: ClassMapping
    soft: SoftLabels | None = None
    repeats: Sequence[float] = ()
    """How often an epoch shows each image on average; empty: once."""


class _BatchDataset(Dataset[TrainBatch | SegError]):
    def __init__(self, training_set: TrainingSet, recipe: TrainRecipe, epoch: int, plan: Sequence[BatchPlan]) -> None:
        self._training_set, self._recipe, self._epoch, self._plan = training_set, recipe, epoch, plan

    def __getitem__(self, index: int) -> TrainBatch | SegError:
        """A batch, or what is wrong with one of its images: torch would add a worker's traceback to an exception."""
        batch = self._plan[index]
        try:
            parts = [self._load_one(position, batch.crop_size) for position in batch.positions]
        except SegError as error:
            return error
        photos, masks, soft = zip(*parts, strict=True)
        return TrainBatch(
            torch.stack(photos), torch.stack(masks), torch.stack(soft) if self._training_set.soft else None
        )

    def _load_one(self, position: int, crop_size: CropSize) -> tuple[Tensor, Tensor, Tensor | None]:
        sample, mapping = self._training_set.samples[position], self._training_set.mapping
        image, mask = dataset.load_sample(sample, mapping)
        soft = self._training_set.soft.load(sample, mapping.classes) if self._training_set.soft else None
        return augment_image(
            torch.from_numpy(np.array(image)).permute(2, 0, 1),
            torch.from_numpy(mask),
            None if soft is None else torch.from_numpy(soft),
            crop_size=crop_size,
            recipe=self._recipe,
            random=make_generator(self._recipe.seed, self._epoch, position),
        )


def load_batches(
    training_set: TrainingSet, recipe: TrainRecipe, epoch: int, plan: Sequence[BatchPlan], *, start: int, workers: int
) -> Generator[TrainBatch, None, None]:
    """Yield the plan's batches from index `start` on. To be closed, since it holds worker processes.

    Raises `SegError` if an image or its labels cannot be loaded.
    """
    loader: DataLoader[TrainBatch | SegError] = DataLoader(
        _BatchDataset(training_set, recipe, epoch, plan),
        batch_size=None,
        sampler=range(start, len(plan)),
        num_workers=workers,
        prefetch_factor=2 if workers else None,
        worker_init_fn=_ignore_signals,
    )
    with without_main_module():
        batches = iter(loader)  # starts the workers
    try:
        for batch in batches:
            if isinstance(batch, SegError):
                raise batch
            yield batch
    finally:
        del batches  # stops the workers, which ignore the signal that would end them with this process


def _ignore_signals(_: int) -> None:
    """Ignore SIGINT and SIGTERM in workers, which also reach the process group; the trainer shuts the workers down."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
