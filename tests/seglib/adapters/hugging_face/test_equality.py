"""Masks equal those of transformers' own pipeline: image processor, model, `post_process_semantic_segmentation`."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("transformers", reason="the extra hf is not installed")

import torch
import transformers

import seglib
from seglib.adapters.hugging_face import loading
from seglib.inference import predictor, torch_backend
from seglib.inference.config import InferenceConfig
from tests.conftest import SAMPLE
from tests.seglib.adapters.hugging_face import tiny_models

PHOTOS = (SAMPLE / "cats" / "siamese.jpg", SAMPLE / "cats" / "egyptian.jpg")
"""A landscape and a portrait."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Name in `tiny_models.MODELS` -> folder, saved when it is first asked for."""
    root, saved = tmp_path_factory.mktemp("hf"), {}

    def folder(name: str) -> Path:
        if name not in saved:
            saved[name] = tiny_models.save(root / name, tiny_models.MODELS[name])
        return saved[name]

    return folder


def library_scores(folder: Path, spec, image: Image.Image, size_hw: tuple[int, ...]) -> torch.Tensor:
    """(C, H, W): what transformers computes on its own, from file to score."""
    architecture = spec.adapter.architecture.name
    with loading.quiet(), torch.inference_mode():
        model = getattr(transformers, architecture).from_pretrained(folder).eval()
        processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
        if "OneFormer" in architecture:
            whole = transformers.OneFormerProcessor(processor, transformers.AutoTokenizer.from_pretrained(folder))
            inputs = whole(image, ["semantic"], return_tensors="pt")
        elif getattr(processor, "do_center_crop", False):
            inputs = processor(image, return_tensors="pt", do_center_crop=False)
        else:
            inputs = processor(image, return_tensors="pt")
        outputs, by_eomt = model(**inputs), hasattr(processor, "unpad_image")
        wanted = size_hw
        if by_eomt:  # it puts its patches together at the size of its input, whatever size is asked for
            wanted = tuple(inputs["pixel_values"].shape[2:])
            if processor.do_split_image:
                wanted = spec.input_rule.grid_wh(*image.size)[::-1]
        (found,) = processor.post_process_semantic_segmentation(
            outputs, target_sizes=[wanted], return_segmentation_scores=True
        )
        scores = found.segmentation_scores[None]
        if by_eomt and processor.do_pad:  # it would leave the padding in the mask
            height, width = spec.input_rule.grid_wh(*image.size)[::-1]
            scores = scores[:, :, :height, :width]
        return torch.nn.functional.interpolate(scores, size=size_hw, mode="bilinear")[0] if by_eomt else scores[0]


@pytest.mark.parametrize("name", tiny_models.MODELS)
def test_scores_and_masks_equal_those_of_transformers(name, folders):
    spec = seglib.find_model(f"hf:{folders(name)}")
    settings = InferenceConfig(resize=spec.resize, device="cpu")
    backend = spec.adapter.load_backend(spec, "fp32", "cpu")
    for photo in PHOTOS:
        image = Image.open(photo).convert("RGB")
        pixels, grid_wh = predictor.prepare_image(image, spec, settings)
        expected = library_scores(folders(name), spec, image, grid_wh[::-1])
        (scores,) = (torch_backend.upsample(some, grid_wh[::-1]) for some in backend(pixels[None]))
        np.testing.assert_array_equal(scores[0], expected)
        assert expected.std() > 0.01
        (mask,), _ = predictor.predict_batch(pixels[None], spec, settings, grid_wh)
        np.testing.assert_array_equal(mask, expected.argmax(0))
