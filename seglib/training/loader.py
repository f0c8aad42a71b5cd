"""Batches as tensors, made by worker processes ahead of the net, and the validation photos one by one.

In: pairs, a recipe, an epoch's plan of batches. Out: `Seen` batches in the plan's order, from any position on.
Knows nothing of nets, losses or where training is.
"""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from seglib.training import augment, data
from seglib.training.augment import Batch
from seglib.training.data import Meaning, Pair
from seglib.training.recipe import Frame, Recipe
from seglib.training.teacher import SoftLabels


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
    def __init__(self, source: Source, recipe: Recipe, epoch: int, plan: Sequence[Batch]) -> None:
        self._source, self._recipe, self._epoch, self._plan = source, recipe, epoch, plan

    def __getitem__(self, at: int) -> Seen:
        batch = self._plan[at]
        parts = [self._one(position, batch.frame) for position in batch.positions]
        photos, masks, soft = zip(*parts, strict=True)
        return Seen(torch.stack(photos), torch.stack(masks), torch.stack(soft) if self._source.soft else None)

    def _one(self, position: int, frame: Frame) -> tuple[Tensor, Tensor, Tensor | None]:
        pair, what = self._source.pairs[position], self._source.meaning
        photo, mask = data.load(pair, what)
        soft = self._source.soft.of(pair, what.classes) if self._source.soft else None
        return augment.seen(
            torch.from_numpy(np.array(photo)).permute(2, 0, 1),
            torch.from_numpy(mask),
            None if soft is None else torch.from_numpy(soft),
            frame=frame,
            recipe=self._recipe,
            random=augment.generator(self._recipe.seed, self._epoch, position),
        )


def batches(
    source: Source, recipe: Recipe, epoch: int, plan: Sequence[Batch], *, start: int, workers: int
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
