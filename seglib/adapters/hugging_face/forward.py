"""From the model's input to scores per class, with a model of transformers and the post-processing that belongs to it.

Importing this module imports torch.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seglib.adapters.hugging_face.processor import ProcessorSettings


class SemanticForward:
    """float (B, 3, H, W), normalised -> float32 (B, C, h, w), h and w covering what H and W cover.

    Images are seen one by one on a CPU, so that none depends on its batch, and contiguous in memory, so that the same
    kernels run as in transformers' own pipeline.
    """

    def __init__(self, model: Any, processor: Any, settings: ProcessorSettings, task: Sequence[int] = ()) -> None:
        self._model, self._processor, self._settings = model, processor, settings
        self._task = torch.tensor([list(task)]) if task else None

    def __call__(self, images: Tensor) -> Tensor:
        images = images.contiguous()
        if self._settings.patch:
            return torch.cat([self._see_in_patches(image) for image in torch.split(images, 1)])
        return torch.cat([self._see(part) for part in ((images,) if images.is_cuda else torch.split(images, 1))])

    def _see(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> scores, whose part for the padding is cut off again."""
        height, width = images.shape[2:]
        inputs = pad(images, self._settings)
        scores = self._scores(self._call(inputs), inputs)
        if inputs.shape == images.shape:
            return scores
        scores = torch.nn.functional.interpolate(scores, size=inputs.shape[2:], mode="bilinear", align_corners=False)
        return scores[:, :, :height, :width]

    def _see_in_patches(self, image: Tensor) -> Tensor:
        """(1, 3, H, W) -> scores (1, C, H, W): each patch is seen on its own, and scores are averaged where they
        overlap, as `merge_image_patches` of transformers does.
        """
        patches, offsets = split(image, self._settings.patch)
        outputs = self._call(patches)
        outputs.patch_offsets = offsets
        return self._scores(outputs, image)

    def _call(self, inputs: Tensor) -> Any:
        if self._task is None:
            return self._model(pixel_values=inputs)
        tasks = self._task.to(inputs.device).expand(len(inputs), -1)
        return self._model(pixel_values=inputs, task_inputs=tasks)

    def _scores(self, outputs: Any, inputs: Tensor) -> Tensor:
        """Logits as they are; of queries with a class and a mask each, what the processor makes of them."""
        if not hasattr(outputs, "class_queries_logits") and not hasattr(outputs, "pred_masks"):
            logits: Tensor = outputs.logits
            return logits.float()
        with torch.autocast(inputs.device.type, enabled=False):
            for name in ("class_queries_logits", "masks_queries_logits", "logits", "pred_masks"):
                if isinstance(value := getattr(outputs, name, None), Tensor):
                    setattr(outputs, name, value.float())
            sizes = None
            if hasattr(self._processor, "merge_image_patches"):  # EoMT's asks for the size
                count = 1 if self._settings.patch else len(inputs)
                sizes = [tuple(inputs.shape[2:])] * count
            found = self._processor.post_process_semantic_segmentation(
                outputs, target_sizes=sizes, return_segmentation_scores=True
            )
            return torch.stack([one.segmentation_scores for one in found])


def pad(images: Tensor, settings: ProcessorSettings) -> Tensor:
    """(B, 3, H, W) -> padded at the right and bottom to the processor's size; larger sides stay."""
    if settings.pad_wh is None:
        return images
    width, height = (max(side, least) for side, least in zip(images.shape[:1:-1], settings.pad_wh, strict=True))
    value = (0 - images.new_tensor(settings.mean)) / images.new_tensor(settings.std)  # black
    if settings.pad_value is not None:
        value = torch.full_like(value, settings.pad_value)
    padded = value[None, :, None, None].repeat(len(images), 1, height, width)
    padded[:, :, : images.shape[2], : images.shape[3]] = images
    return padded


def split(image: Tensor, side: int) -> tuple[Tensor, list[list[int]]]:
    """(1, 3, H, W) -> patches (P, 3, side, side) along the longer side, and (0, start, end) of each.

    As EoMT's image processor cuts them.
    """
    along = 2 if image.shape[2] > image.shape[3] else 3
    length = image.shape[along]
    count = math.ceil(length / side)
    overlap = (count * side - length) / (count - 1) if count > 1 else 0
    starts = [int(index * (side - overlap)) for index in range(count)]
    patches = [image.narrow(along, start, min(side, length - start)) for start in starts]
    return torch.cat(patches), [[0, start, start + side] for start in starts]


def prepare_inputs(image: NDArray[np.uint8], settings: ProcessorSettings) -> Tensor:
    """uint8 (H, W, 3) RGB at the input's size -> what the model is called with, float32 (1 or P, 3, H, W)."""
    pixels = torch.from_numpy(np.array(image))
    if settings.channels == "bgr":
        pixels = pixels.flip(-1)
    mean, std = torch.tensor(settings.mean), torch.tensor(settings.std)
    normalised = ((pixels.float() / 255 - mean) / std).permute(2, 0, 1)[None]
    return split(normalised, settings.patch)[0] if settings.patch else pad(normalised, settings)
