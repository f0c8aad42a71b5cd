"""A tiny net and a tiny set of photos for the tests of training; also a program that trains until it is killed.

python -m tests.seglib.training.plain_training DATA OUT [EPOCHS]
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from seglib.masks import png
from seglib.models import registry
from seglib.training import dataset, trainer
from seglib.training.dataloader import TrainingSet
from seglib.training.recipe import TrainRecipe

CLASSES = ("background", "cat", "dog")


class TinyNet(nn.Module):
    """Six numbers per pixel and class, with the parts that training must keep: batch norm, dropout, a backbone."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Conv2d(6, classes, 1)

    def forward(self, x):
        return {"out": self.classifier(self.dropout(self.backbone(x)))}


def voc_folder(root: Path, photos: int = 24) -> Path:
    """Grey photos 48x40 with one red (cat) or green (dog) box each, and their masks with a void row."""
    random = np.random.default_rng(5)
    for name in ("JPEGImages", "SegmentationClass"):
        (root / name).mkdir(parents=True)
    for index in range(photos):
        image, mask = random.integers(90, 130, (40, 48, 3), np.uint8), np.zeros((40, 48), np.uint8)
        top, left = random.integers(0, 20, 2)
        kind = index % 2
        image[top : top + 20, left : left + 20, kind] = 255
        mask[top : top + 20, left : left + 20] = (8, 12)[kind]
        mask[0] = 255
        Image.fromarray(image).save(root / "JPEGImages" / f"{index:02}.png")
        (root / "SegmentationClass" / f"{index:02}.png").write_bytes(png.encode_index_png(mask))
    return root


def recipe(**changes) -> TrainRecipe:
    values = {
        "architecture": "tiny",
        "classes": CLASSES,
        "options": (),
        "resize": "64",
        "epochs": 3,
        "batch_size": 4,
        "parallel": 2,
        "base_side": 32,
        "short_side": (32, 64),
        "rate": 0.02,
        "encoder_rate": 0.01,
        "schedule": "poly",
        "cooldown": 0.0,
        "frozen": (),
        "dice": 0.5,
        "soft": 0.0,
        "average": 0.8,
        "patience": 0,
        "validation": 0.25,
        "seed": 0,
        "loss_stride": 2,
        "precision": "fp32",
    }
    return TrainRecipe(**(values | changes))


def train(folder: Path, out: Path, settings: TrainRecipe | None = None, *, last: bool = False, **watch):
    registry.TRAINABLE["tiny"] = TinyNet
    settings = settings or recipe()
    pairs, mapping = dataset.find_samples(folder, classes=settings.classes)
    training_set, validation = dataset.split(pairs, settings.validation, settings.seed)
    torch.manual_seed(settings.seed)
    return trainer.train(
        TinyNet(len(settings.classes)),
        TrainingSet(training_set, mapping),
        validation,
        settings,
        trainer.TrainOutputs(out=out, keep_last=last),
        hooks=trainer.TrainHooks(**watch),
    )


if __name__ == "__main__":
    trainer.SAVE_INTERVAL_SECONDS = 0.0
    train(
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        on_step=lambda progress, *_: print("step", progress.steps, flush=True),
    )
