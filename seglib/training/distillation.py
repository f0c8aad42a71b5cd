"""Soft labels for knowledge distillation: cache a larger model's logits for each image (Hinton et al. 2015).

`compute_soft_labels` fills a folder with `teacher.json` (model, weights, resize and classes) and `<ab>/<image_id>.npy`,
float16 (C, h, w): the teacher's logits averaged over the image and its mirror image, at the head's output resolution.
`open_soft_labels` reads it.
"""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seglib.classes import BACKGROUND, animal_of_label
from seglib.data import image as image_module
from seglib.data.resize import Resize, resize_image
from seglib.errors import BadImage, DatasetError, UsageError
from seglib.fileio.atomic import replace_file
from seglib.inference.torch_backend import TorchBackend
from seglib.models import loading
from seglib.models.registry import ModelSpec
from seglib.training.dataset import Sample

_IMPOSSIBLE = -1e4  # a logit whose probability is 0


@dataclass(frozen=True)
class SoftLabels:
    """A folder of a teacher's logits, mapped to the trained classes on reading."""

    folder: Path
    teacher_classes: tuple[str, ...]
    trained_classes: tuple[str, ...]
    """Those that the teacher's own training showed it, as far as it is known."""

    def load(self, sample: Sample, classes: Sequence[str]) -> NDArray[np.float32]:
        """float32 logits (C, h, w) of the whole image. Teacher classes that are not trained count as background.

        If the image has no mask and its folder's name says cat or dog, the other animal gets probability 0. Raises
        `DatasetError` if there are no soft labels for the image.
        """
        try:
            path = _path(self.folder, image_module.compute_image_id(image_module.read_bytes(sample.image_path)))
            logits = np.load(path).astype(np.float32)
        except (OSError, ValueError, BadImage):
            raise DatasetError(
                f"There are no soft labels of {sample.name!r} in {self.folder.name!r}: add the `teacher`."
            ) from None
        labelled_animal = animal_of_label(sample.label) if sample.mask is None else None
        if labelled_animal is not None:
            others = [
                i for i, n in enumerate(self.teacher_classes) if animal_of_label(n) not in (None, labelled_animal)
            ]
            logits[others] = _IMPOSSIBLE
        return merge_classes(logits, self.teacher_classes, classes)


def merge_classes(
    logits: NDArray[np.float32], teacher_classes: Sequence[str], wanted: Sequence[str]
) -> NDArray[np.float32]:
    """(len(known), h, w) -> (len(wanted), h, w): select by name; all other classes are added to the background."""
    if tuple(teacher_classes) == tuple(wanted):
        return logits
    picked = logits[[teacher_classes.index(name) for name in wanted]]
    rest = [i for i, name in enumerate(teacher_classes) if name not in wanted]
    if rest:
        ground = wanted.index(BACKGROUND)
        picked[ground] = np.logaddexp.reduce(np.concatenate([picked[ground][None], logits[rest]]), 0)
    return picked


def open_soft_labels(folder: Path, classes: Sequence[str]) -> SoftLabels:
    """Open a folder written by `compute_soft_labels`. Raises `UsageError` if it is not one, or if the teacher lacks a
    class.
    """
    try:
        record = json.loads((folder / "teacher.json").read_text("utf-8"))
        teacher_classes = tuple(record["classes"])
        trained_classes = tuple(record.get("trained_classes", teacher_classes))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{folder.name!r} holds no soft labels (teacher.json): make them with a `teacher`.") from None
    if unknown := [name for name in classes if name not in teacher_classes]:
        raise UsageError(f"The teacher does not know {unknown[0]!r}: it knows {', '.join(teacher_classes)}.")
    return SoftLabels(folder, teacher_classes, trained_classes)


def compute_soft_labels(
    spec: ModelSpec,
    resize: Resize,
    samples: Sequence[Sample],
    folder: Path,
    *,
    precision: str,
    device: str,
    on_photo: Callable[[int], None] = lambda _: None,
) -> None:
    """Compute the soft labels that are missing from the folder. `on_photo` receives the number of images done.

    Raises `UsageError` if the folder was made with another teacher.
    """
    record = {
        "model": spec.name,
        "weights_sha256": loading.weights_sha256(spec),
        "resize": spec.input_resize(resize).text,
        "classes": list(spec.classes),
    }
    if spec.trained_classes is not None:
        record["trained_classes"] = list(spec.trained_classes)
    file = folder / "teacher.json"
    if file.exists() and json.loads(file.read_text("utf-8")) != record:
        raise UsageError(
            f"{folder.name!r} holds the soft labels of another teacher: name another folder for `soft_labels`."
        )
    _write(file, json.dumps(record, indent=1).encode())
    model = TorchBackend(spec, precision, device)
    for done, pair in enumerate(samples, 1):
        data = image_module.read_bytes(pair.image_path)
        path = _path(folder, image_module.compute_image_id(data))
        if not path.exists():
            logits = _logits(model, resize_image(image_module.decode(data), spec.input_resize(resize)))
            buffer = io.BytesIO()
            np.save(buffer, logits.astype(np.float16))
            _write(path, buffer.getvalue())
        on_photo(done)


def _logits(model: TorchBackend, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 (H, W, 3) -> float32 (C, h, w)."""
    import torch

    with torch.inference_mode():
        straight, mirrored = torch.cat(list(model(np.stack([image, image[:, ::-1]]))))
        mean: NDArray[np.float32] = ((straight + mirrored.flip(-1)) / 2).cpu().numpy()
    return mean


def _path(folder: Path, image_id: str) -> Path:
    return folder / image_id[:2] / f"{image_id}.npy"


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, data)
