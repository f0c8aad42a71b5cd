"""The settings of image processors, against the processors themselves."""

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("transformers", reason="the extra hf is not installed")

import transformers
from transformers import image_transforms, image_utils
from transformers.models.dpt.image_processing_pil_dpt import get_resize_output_image_size

from seglib.adapters.hugging_face import loading, processor
from seglib.adapters.hugging_face.forward import pad, prepare_inputs, split
from seglib.adapters.hugging_face.resizing import ProcessorResize
from seglib.data.resize import Resize, resize_image
from seglib.errors import UsageError

PHOTOS_WH = [(w, h) for w in (33, 100, 160, 319, 640, 4000) for h in (40, 99, 160, 260, 480)]


SMALL, EDGES = {"height": 90, "width": 70}, {"shortest_edge": 64, "longest_edge": 90}
SQUARES = {"shortest_edge": 64, "longest_edge": None}
BICUBIC_224, BICUBIC_64x96 = (Resize(text, resample="bicubic") for text in ("224x224", "64x96"))


def rule(fit, height, width, multiple=1) -> ProcessorResize:
    return ProcessorResize("short:64", fit=fit, height=height, width=width, multiple=multiple)


@pytest.mark.parametrize("size_wh", PHOTOS_WH)
def test_sizes_equal_those_of_transformers(size_wh):
    width, height = size_wh
    if max(size_wh) <= 4 * min(size_wh):
        expected = image_transforms.get_size_with_aspect_ratio((height, width), 160)
        assert rule("edges", 160, 0).grid_wh(*size_wh) == expected[::-1]
    for short, long in ((160, 300), (101, 333), (800, 1333)):
        expected = image_transforms.get_size_with_aspect_ratio((height, width), short, long)
        if min(expected) >= 32:
            assert rule("edges", short, long).grid_wh(*size_wh) == expected[::-1]
            up = tuple(math.ceil(side / 32) * 32 for side in expected[::-1])
            assert rule("edges", short, long, 32).grid_wh(*size_wh) == up
    expected = image_utils.get_image_size_for_max_height_width((height, width), 200, 500)
    if min(expected) >= 32:
        assert rule("box", 200, 500).grid_wh(*size_wh) == expected[::-1]
    expected = get_resize_output_image_size(np.empty((3, height, width)), (384, 300), True, 14)
    if min(expected.height, expected.width) >= 42:
        assert rule("scale", 384, 300, 14).grid_wh(*size_wh) == (expected.width, expected.height)


@pytest.mark.parametrize(
    ("resize", "size_wh", "expected"),
    [
        (rule("edges", 160, 0), (3000, 2), (640, 32)),
        (rule("edges", 800, 1333, 32), (3000, 2), (1344, 32)),
        (rule("box", 200, 500), (2, 3000), (32, 200)),
        (rule("scale", 384, 384, 14), (3000, 2), (378, 42)),
    ],
)
def test_strips_get_a_usable_size(resize, size_wh, expected):
    assert resize.grid_wh(*size_wh) == expected


def test_decoding_processes_know_the_rule_without_transformers():
    sent = pickle.dumps(rule("edges", 160, 300))
    code = (
        f"import pickle, sys; rule = pickle.loads({sent!r}); assert rule.grid_wh(320, 240) == (213, 160); "
        "assert not {'torch', 'transformers', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def read(own) -> processor.ProcessorSettings:
    """The settings of a processor after its way through JSON, as in a folder."""
    with loading.quiet():
        again = processor.build_processor(own.to_dict(), "segformer")
        assert type(again).__name__.endswith("Pil")
        settings = processor.read_settings(again)
        processor.check_settings(again, settings, "it")
    return settings


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda t: t.SegformerImageProcessor(), {"resize": Resize("512x512"), "grid": Resize("short:512")}),
        (lambda t: t.SegformerImageProcessor(size={"height": 64, "width": 96}), {"grid": Resize("short:64")}),
        (lambda t: t.SegformerImageProcessor(do_resize=False), {"resize": Resize("native"), "grid": Resize("native")}),
        (lambda t: t.SegformerImageProcessor(do_normalize=False), {"mean": (0, 0, 0), "std": (1, 1, 1)}),
        (
            lambda t: t.SegformerImageProcessor(rescale_factor=1 / 127.5, image_mean=[1] * 3, image_std=[1] * 3),
            {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
        ),
        (
            lambda t: t.SegformerImageProcessor(do_rescale=False, image_mean=[127.5] * 3, image_std=[51] * 3),
            {"mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2)},
        ),
        (lambda t: t.BeitImageProcessor(do_center_crop=True), {"crops": True, "resize": BICUBIC_224}),
        (lambda t: t.MobileViTImageProcessor(), {"channels": "bgr", "crops": True, "mean": (0, 0, 0)}),
        (lambda t: t.DPTImageProcessor(size=SMALL, ensure_multiple_of=32), {"resize": BICUBIC_64x96}),
        (lambda t: t.DPTImageProcessor(keep_aspect_ratio=True, ensure_multiple_of=14), {"grid": Resize("short:384")}),
        (lambda t: t.Mask2FormerImageProcessor(), {"grid": Resize("short:800")}),
        (lambda t: t.Mask2FormerImageProcessor(size=SMALL), {"resize": Resize("96x96")}),
        (
            lambda t: t.MaskFormerImageProcessor(size=EDGES, pad_size={"height": 128, "width": 160}),
            {"pad_wh": (160, 128), "pad_value": 0.0},
        ),
        (lambda t: t.EomtImageProcessor(size=SQUARES, do_split_image=True), {"patch": 64}),
        (lambda t: t.EomtImageProcessor(do_pad=True), {"pad_wh": (640, 640), "pad_value": None}),
        (lambda t: t.OneFormerImageProcessor(repo_path="somebody/else", size=EDGES), {"grid": Resize("short:64")}),
    ],
)
def test_settings_are_read_and_agree_with_what_the_processor_does(build, expected):
    settings = read(build(transformers))
    for name, value in expected.items():
        found = getattr(settings, name)
        assert found == (pytest.approx(value) if name in ("mean", "std") else value)


def test_a_processor_of_an_older_version_is_read():
    own = processor.build_processor({"feature_extractor_type": "SegformerFeatureExtractor", "size": 64}, "segformer")
    assert processor.read_settings(own).resize == Resize("64x64")


def test_a_file_of_class_names_on_the_network_is_not_fetched():
    settings = {"image_processor_type": "OneFormerImageProcessor", "class_info_file": "ade20k_panoptic.json"}
    assert processor.build_processor(settings, "oneformer").class_info_file is None


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        (transformers.DPTImageProcessor(size={"height": 70, "width": 70}, do_pad=True, size_divisor=32), "its size is"),
        (transformers.MobileViTImageProcessor(do_normalize=True), "values differ by"),
    ],
)
def test_what_a_processor_does_besides_is_found_and_refused(own, reason):
    with pytest.raises(UsageError, match=rf"in a way that is not known here \({reason}"):
        read(own)


def test_inputs_equal_those_of_the_processor_bit_by_bit():
    own = transformers.SegformerImageProcessorPil(size={"height": 64, "width": 80})
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8))
    settings = processor.read_settings(own)
    expected = own(image, return_tensors="pt")["pixel_values"]
    np.testing.assert_array_equal(prepare_inputs(resize_image(image, settings.resize), settings), expected)


@pytest.mark.parametrize(("width", "height"), [(64, 64), (65, 64), (128, 64), (200, 64), (64, 200), (150, 64)])
def test_patches_equal_those_of_the_processor(width, height):
    import torch

    own = transformers.EomtImageProcessor(size={"shortest_edge": 64, "longest_edge": None}, do_split_image=True)
    image = torch.rand(1, 3, height, width)
    patches, offsets = own._split_image(image, own.size, [0])
    found, positions = split(image, 64)
    assert torch.equal(found, torch.stack(patches))
    assert positions == offsets


def test_padding_never_cuts_off():
    import torch

    settings = processor.read_settings(transformers.EomtImageProcessor(do_pad=True))
    assert pad(torch.zeros(2, 3, 700, 100), settings).shape == (2, 3, 700, 640)
