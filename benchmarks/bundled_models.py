"""Prepare the training of the bundled models: data, the teacher's soft labels, and the weights to start from.

    python -m benchmarks.bundled_models data --out work
    python -m benchmarks.bundled_models soft-labels --out work
    python -m benchmarks.bundled_models start --out work

`data` collects photos and masks of all 21 VOC classes in one folder of Pascal VOC's layout, the photos without masks in
another, and the names of the photos that are held out in `work/validation.txt`. `soft-labels` keeps the teacher's
logits for each photo, as `seglib train --soft-labels` reads them. `start` writes `work/start.safetensors`: an FCN that
gives the teacher's own logits. The commands of the training itself are in the card
of each model, in `seglib/checkpoints`.
"""

import argparse
import csv
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from seglib.classes import VOC_CLASSES
from seglib.data import image as image_module
from seglib.data.resize import Resize, input_resize, resize_image
from seglib.models.fcn import fcn_mobilenet_v2
from seglib.models.registry import IMAGENET_MEAN, IMAGENET_STD
from seglib.training import dataset
from seglib.training.trainer import normalise

SHARED = Path(__file__).parents[2] / "shared"
TEACHER = SHARED / "weights" / "deeplabv3_mobilenet_v2_voc.pth"
TEACHER_SIDE = 520


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("data", "soft-labels", "start"))
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    {"data": collect_data, "soft-labels": compute_soft_labels, "start": write_start}[options.step](options.out)


def collect_data(out: Path) -> None:
    """Link photos and masks into `data` and `unlabelled`, and list those that are held out.

    Held out: a tenth of `voc-animals` (as `seglib train --validation 0.1 --seed 0` chooses it) and a fifth of the fully
    labelled photos of `other-classes`. Photos without a stated licence are left out.
    """
    animals, others = SHARED / "data" / "voc-animals", SHARED / "data" / "other-classes"
    for folder in ("data/JPEGImages", "data/SegmentationClass", "data/ImageSets", "unlabelled"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    held_out = [sample.name for sample in dataset.split(dataset.find_samples(animals)[0], 0.1, 0)[1]]
    names = {path.stem: animals for path in (animals / "JPEGImages").iterdir()}
    complete = []
    for row in read_licensed(others / "sources.csv"):
        names[row["file"]] = others
        if row["mask"].startswith("complete"):
            complete.append(f"{row['file']}.jpg")
    held_out += sorted(complete, key=lambda name: hashlib.sha256(name.encode()).digest())[: len(complete) // 5]
    for name, source in names.items():
        for path in (f"JPEGImages/{name}.jpg", f"SegmentationClass/{name}.png"):
            link(source / path, out / "data" / path)
    for row in read_licensed(others / "unlabelled.csv"):
        [photo] = (others / "unlabelled").glob(f"{row['file']}*")
        link(photo, out / "unlabelled" / photo.name)
    (out / "data" / "ImageSets" / "all.txt").write_text("".join(f"{name}\n" for name in sorted(names)))
    (out / "validation.txt").write_text("".join(f"{name}\n" for name in sorted(held_out)))
    print(f"{len(names)} photos with masks, {len(held_out)} of them held out")


def read_licensed(file: Path) -> Iterator[dict[str, str]]:
    """Rows of a table of sources whose photo has a stated licence."""
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines):
            if not row["file"].startswith(("ecssd", "rail")) and "none stated" not in row["licence"]:
                yield row


def link(source: Path, target: Path) -> None:
    if not target.exists():
        os.link(source, target) if source.stat().st_dev == target.parent.stat().st_dev else target.symlink_to(source)


def build_teacher() -> nn.Module:
    sys.path.append(str(TEACHER.parent))
    import deeplabv3_mobilenet_v2

    teacher: nn.Module = deeplabv3_mobilenet_v2.build()
    teacher.load_state_dict(torch.load(TEACHER, weights_only=True))
    return teacher.eval().to(memory_format=torch.channels_last)


def compute_soft_labels(out: Path) -> None:
    """Keep the teacher's logits at a short side of 520 pixels, averaged over each photo and its mirror image."""
    folder = out / "soft"
    folder.mkdir(exist_ok=True)
    record = {"model": TEACHER.stem, "resize": f"short:{TEACHER_SIDE}", "classes": VOC_CLASSES}
    (folder / "teacher.json").write_text(json.dumps(record, indent=1))
    photos = sorted((out / "data" / "JPEGImages").iterdir()) + sorted((out / "unlabelled").iterdir())
    processes = os.cpu_count() or 1
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(keep_logits, [photos[n::processes] for n in range(processes)], [folder] * processes))


def keep_logits(photos: list[Path], folder: Path) -> None:
    torch.set_num_threads(1)
    teacher = build_teacher()
    for photo in photos:
        data = image_module.read_bytes(photo)
        image_id = image_module.compute_image_id(data)
        file = folder / image_id[:2] / f"{image_id}.npy"
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            seen = resize_image(image_module.decode(data), input_resize(Resize(f"short:{TEACHER_SIDE}"), TEACHER_SIDE))
            unfinished = file.with_suffix(".part.npy")
            np.save(unfinished, mirrored_logits(teacher, seen).numpy().astype(np.float16))
            unfinished.rename(file)


@torch.inference_mode()
def mirrored_logits(teacher: nn.Module, photo: np.ndarray) -> Tensor:
    """uint8 (H, W, 3) -> float32 (C, h, w): at the head's resolution, the mean over photo and mirror image."""
    pixels = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None]
    images = normalise(torch.cat([pixels, pixels.flip(-1)]))
    straight, mirrored = teacher.classifier(teacher.backbone(images)["out"])
    return (straight + mirrored.flip(-1)) / 2


def write_start(out: Path) -> None:
    """Write an FCN with the teacher's weights, and print how far its logits are from the teacher's."""
    names = set((out / "validation.txt").read_text().split())
    photos = [path for path in sorted((out / "data" / "JPEGImages").iterdir()) if path.name not in names]
    seen = input_resize(Resize("224"), 320)
    torch.manual_seed(0)
    images = [_to_batch(image_module.decode(path.read_bytes()), seen) for path in photos[:: len(photos) // 200]]
    teacher, model = build_teacher(), fcn_mobilenet_v2(len(VOC_CLASSES), head="fused").eval()
    copy_teacher(model, teacher)
    insert_statistics(model, images)
    with torch.inference_mode():
        differences = [
            (model.logits(image) - functional.interpolate(wanted, size=got.shape[2:], mode="bilinear")).abs().max()
            for image in images[:20]
            for wanted, got in [(teacher.classifier(teacher.backbone(image)["out"]), model.logits(image))]
        ]
    print(f"largest difference of a logit: {float(max(differences)):.4f}")
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, out / "start.safetensors", describe_start())


def describe_start() -> dict[str, str]:
    """Metadata as `seglib train` writes them, so that the weights can be averaged with those trained from them."""
    return {
        "architecture": "fcn_mobilenet_v2",
        "options": json.dumps({"head": "fused"}),
        "classes": json.dumps(VOC_CLASSES),
        "trained_classes": json.dumps(VOC_CLASSES),
        "resize": "224",
        "net_side": "320",
        "mean": json.dumps(IMAGENET_MEAN),
        "std": json.dumps(IMAGENET_STD),
    }


def _to_batch(photo: Image.Image, resize: Resize) -> Tensor:
    """float (1, 3, h, w), normalised."""
    return normalise(torch.from_numpy(np.array(resize_image(photo, resize))).permute(2, 0, 1)[None])


@torch.no_grad()
def copy_teacher(model: nn.Module, teacher: nn.Module) -> None:
    """Copy the encoder, the two branches of the head that both have, and the class scores at 1/16.

    The teacher wants its input in -1..1, which is folded into the first convolution. It lacks the dilated branches:
    their part of the projection is 0.
    """
    state = {name: value.clone() for name, value in teacher.state_dict().items()}
    first, scale, shift = state["backbone.0.0.weight"], state.pop("backbone.norm.a"), state.pop("backbone.norm.b")
    state["backbone.0.1.bias"] += (first * shift).sum((1, 2, 3))
    state["backbone.0.0.weight"] = first * scale
    projection = state["classifier.concat_projection.weight"]  # of image pooling, then of the 1x1 convolution
    width = projection.shape[1] // 2
    dilated = projection.new_zeros(projection.shape[0], 3 * width, 1, 1)
    head = {
        "here.0.weight": state["classifier.aspp0.weight"],
        "here.1.bias": state["classifier.aspp0.bias"],
        "whole.0.weight": state["classifier.image_pooling.weight"],
        "whole.0.bias": state["classifier.image_pooling.bias"],
        "project.0.weight": torch.cat([projection[:, width:], dilated, projection[:, :width]], 1),
        "project.1.bias": state["classifier.concat_projection.bias"],
        "coarse.weight": state["classifier.logits.weight"],
        "coarse.bias": state["classifier.logits.bias"],
    }
    encoder = {name: value for name, value in state.items() if name.startswith("backbone.")}
    copied = encoder | {f"classifier.{name}": value for name, value in head.items()}
    left = model.load_state_dict(copied, strict=False)
    assert not left.unexpected_keys


@torch.no_grad()
def insert_statistics(model: nn.Module, images: list[Tensor]) -> None:
    """Undo the folding of the batch norms: give each convolution outputs of unit variance, without changing the model.

    A norm's input y becomes y / s, with the mean m / s and the variance 1; its weight becomes s and its bias b + m.
    """
    norms = {name: module for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    folded = [
        name for name in norms if not name.startswith(("classifier.around", "classifier.skip", "classifier.refine"))
    ]
    for name, norm in norms.items():
        norm.momentum = None  # the mean over all batches
        norm.reset_running_stats() if name not in folded else None
    gathered = {name: [] for name in folded}
    for name in folded:
        norms[name].register_forward_pre_hook(
            lambda _, inputs, name=name: gathered[name].append(
                torch.stack([inputs[0].mean((0, 2, 3)), inputs[0].square().mean((0, 2, 3))])
            )
        )
    for name in norms.keys() - set(folded):
        norms[name].train()
    for image in images:
        model.logits(image)
    modules = dict(model.named_modules())
    for name in folded:
        mean, square = torch.stack(gathered[name]).mean(0)
        deviation = (square - mean.square()).clamp(min=0).sqrt().clamp(min=1e-3)
        norm = norms[name]
        parent, _, child = name.rpartition(".")
        conv = modules[f"{parent}.{int(child) - 1}"]
        conv.weight /= deviation.view(-1, 1, 1, 1)
        norm.running_mean.copy_(mean / deviation)
        norm.running_var.fill_(1 - norm.eps)
        norm.weight.copy_(deviation)
        norm.bias += mean
        norm._forward_pre_hooks.clear()
    for norm in norms.values():
        norm.momentum = 0.1
        norm.eval()


if __name__ == "__main__":
    main()
