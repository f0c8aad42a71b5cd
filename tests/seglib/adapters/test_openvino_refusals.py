"""A model in a file that contradicts itself, or fits two readings, is refused in a sentence that says what to do."""

import numpy as np
import pytest
from onnx import helper

import seglib
from seglib.data.resize import Resize
from seglib.errors import SegError, WeightsError
from seglib.inference import predictor
from seglib.inference.config import InferenceConfig
from tests.seglib.adapters.onnx_files import (
    CASTED,
    INT64,
    LOGITS,
    ONE_CHANNEL,
    RAW,
    TO_INDEX,
    TWO,
    UINT8,
    image,
    node,
    save,
)

pytest.importorskip("openvino", reason="the extra openvino is not installed")

SETTINGS = InferenceConfig(resize=Resize("native"))


SUB = [node("Sub", "input mean", "a"), node("Div", "a std", "first"), node("Conv", "first weight bias", "out")]
CONSTANTS = {
    "mean": np.array([0.485, 0.456, 0.406], np.float32).reshape(3, 1, 1),
    "std": np.array([0.229, 0.224, 0.225], np.float32).reshape(3, 1, 1),
}
CLIPPED = node("Clip", "out zero one", "clipped")
BOUNDS = {"zero": np.float32(0), "one": np.float32(1)}
NEGATED = [*LOGITS, node("Neg", "out", "first"), node("Neg", "first", "second")]
CUSTOM = [helper.make_node("Foo", ["input"], ["out"], domain="custom")]
HUGE = [
    node("ConstantOfShape", "sides", "c"),
    node("ReduceSum", "c", "sum", keepdims=0),
    node("Add", "input sum", "x"),
    node("Conv", "x weight bias", "out"),
]

REFUSED = {
    "two inputs": ({"nodes": [node("Add", "input other", "out")], "inputs": ["input", "other"]}, {}, "2 inputs"),
    "one channel": ({"shape": ("b", 1, "h", "w"), "nodes": [node("Neg", "input", "out")]}, {}, "three channels"),
    "integers": ({"dtype": INT64, "nodes": [node("Neg", "input", "out")]}, {}, "expected float or uint8 images"),
    "four at once": ({"shape": (4, 3, 64, 96)}, {}, "takes 4 images at once"),
    "one side fixed": ({"shape": (1, 3, 64, "w")}, {}, "both sides fixed"),
    "tiny": ({"shape": (1, 3, 16, 16)}, {}, "16x16: expected sides from 32"),
    "no names": ({"names": None}, {}, "has 3 classes, and does not name them.*`classes`"),
    "no names of masks": (
        {"nodes": [*LOGITS, TO_INDEX], "outputs": "mask", "output_dtypes": [INT64], "names": None},
        {},
        "gives masks",
    ),
    "no names of one": ({"nodes": [ONE_CHANNEL], "names": None, **TWO}, {}, "one channel.*background,cat"),
    "too many names": ({}, {"classes": tuple("abcd")}, "for 4 classes, named by `classes`.*name 3 classes"),
    "too many names inside": ({"names": "a,b,c,d"}, {}, "for 4 classes, named by its metadata"),
    "one channel of three": ({"nodes": [ONE_CHANNEL], **TWO}, {}, "second of two classes"),
    "two outputs": ({"nodes": NEGATED, "outputs": "first second"}, {}, "several outputs.*'first'.*'second'.*`output`"),
    "no such output": ({}, {"output": "nothing"}, "no output 'nothing': it has 'out' f32"),
    "no map": ({"nodes": [node("GlobalAveragePool", "input", "out")]}, {}, "no output"),
    "normalises itself": ({"nodes": SUB, "more": CONSTANTS}, {}, "Subtract 0.485 0.456 0.406.*`input` uint8"),
    "normalised uint8": (
        {"nodes": CASTED, "dtype": UINT8, "more": {"scale": np.float32(255)}},
        RAW,
        "leave out `mean` and `std`",
    ),
    "raw and mean": ({}, RAW | {"input": "uint8"}, "leave out `mean`"),
    "half a normalisation": ({}, {"mean": (0, 0, 0)}, "give both"),
    "mean of 0..255": ({}, {"mean": (123.7, 116.3, 103.5), "std": (58, 57, 57)}, "range 0..1"),
    "std of zero": ({}, {"mean": (0, 0, 0), "std": (1, 0, 1)}, "positive"),
    "softmax is no logits": (
        {"nodes": [*LOGITS, node("Softmax", "out", "p", axis=1)], "outputs": "p"},
        {"scores": "logits"},
        "ends in Softmax",
    ),
    "scores are no masks": ({}, {"scores": "masks"}, "no output with masks.*leave out `scores`"),
    "masks are no scores": (
        {"nodes": [*LOGITS, TO_INDEX], "outputs": "mask", "output_dtypes": [INT64]},
        {"scores": "logits"},
        "no output with logits.*leave out `scores`",
    ),
    "a plane of floats": (
        {
            "nodes": [ONE_CHANNEL, node("Squeeze", "out first", "plane")],
            "outputs": "plane",
            "names": "a,b",
            "more": TWO["more"] | {"first": np.array([1])},
        },
        {},
        "masks, or one score.*`scores`",
    ),
    "an operation of its own": ({"nodes": CUSTOM}, {}, "cannot be read by OpenVINO.*custom.Foo"),
    "tensors of 80 GB": ({"nodes": HUGE, "more": {"sides": np.array([50_000, 50_000, 8])}}, {}, "wants a tensor"),
}

REFUSED_BY_TRIAL = {
    "0 to 1": ({"nodes": [*LOGITS, CLIPPED], "outputs": "clipped", "more": BOUNDS}, {}, "between 0 and 1.*`scores`"),
    "no probabilities": ({}, {"scores": "probabilities", "mean": (1, 1, 1), "std": (1, 1, 1)}, "no probabilities"),
    "NaN": ({"more": {"bias": np.array([0, np.nan, 0], np.float32)}}, {}, "NaN in"),
    "infinite": ({"more": {"bias": np.array([0, np.inf, 0], np.float32)}}, {}, "NaN or infinite"),
    "a class too many": (
        {"nodes": [*LOGITS, TO_INDEX], "outputs": "mask", "output_dtypes": [INT64], "names": "a,b"},
        {},
        "index 2",
    ),
    "fractions": (
        {
            "nodes": [ONE_CHANNEL, node("Squeeze", "out first", "plane")],
            "outputs": "plane",
            "names": "a,b",
            "more": TWO["more"] | {"first": np.array([1]), "half": np.array([0.3], np.float32)},
        },
        {"scores": "masks"},
        "fractions",
    ),
    "sides that it was not made for": (
        {
            "nodes": [node("Reshape", "input sides", "x"), node("Conv", "x weight bias", "out")],
            "more": {"sides": np.array([1, 3, 12, 20])},
        },
        {},
        "cannot be called with an image of",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_when_it_is_looked_at(tmp_path, case):
    file, options, message = REFUSED[case]
    with pytest.raises(SegError, match=message) as found:
        seglib.find_model(save(tmp_path / "net.onnx", **file), **options)
    assert str(found.value).count("\n") == 0


@pytest.mark.parametrize("case", REFUSED_BY_TRIAL)
def test_what_only_a_call_shows_is_refused_before_a_photo_is_computed(tmp_path, case):
    file, options, message = REFUSED_BY_TRIAL[case]
    spec = seglib.find_model(save(tmp_path / "net.onnx", **file), **RAW | options)
    with pytest.raises(SegError, match=message):
        predictor.warm_up(spec, SETTINGS)


def test_an_index_above_the_last_class_is_refused_also_later(tmp_path):
    """The trial image has no place that is green all over; this one has."""
    blurred = [
        node("Conv", "input weight bias", "sharp"),
        node("AveragePool", "sharp", "out", kernel_shape=[9, 9], pads=[4] * 4),
        TO_INDEX,
    ]
    bias = np.array([0, 0, -6], np.float32)
    file = save(tmp_path / "net.onnx", blurred, outputs="mask", output_dtypes=[INT64], names="a,b", more={"bias": bias})
    spec = seglib.find_model(file, **RAW)
    predictor.warm_up(spec, SETTINGS)
    with pytest.raises(WeightsError, match=r"index 2.*'b', has the index 1"):
        predictor.predict_batch(image()[None], spec, SETTINGS)
