"""ONNX and OpenVINO IR: what a file says is read from it, what it cannot say is asked for, damage is one sentence."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

import seglib
from seglib.adapters.openvino import graph, runtime
from seglib.data.resize import Resize
from seglib.errors import SegError, UsageError
from seglib.inference import config, predictor
from seglib.inference.config import InferenceConfig
from tests.seglib.adapters.onnx_files import (
    CASTED,
    CLASSES,
    DYNAMIC,
    FLOAT,
    INT64,
    LOGITS,
    NHWC,
    ONE_CHANNEL,
    RAW,
    TO_INDEX,
    TWO,
    UINT8,
    expected,
    image,
    node,
    save,
)

pytest.importorskip("openvino", reason="the extra openvino is not installed")


SETTINGS = InferenceConfig(resize=Resize("native"))


def masks_of(spec, picture=None, settings=SETTINGS):
    masks, _ = predictor.predict_batch((image() if picture is None else picture)[None], spec, settings)
    return masks[0]


def backend_of(spec):
    return predictor._load_backend(spec, "fp32", "cpu", None)


AUX = node("Conv", "input one half", "aux")
AS_FLOAT = [*LOGITS, node("ArgMax", "out", "index", axis=1, keepdims=1), node("Cast", "index", "mask", to=FLOAT)]
AS_UINT8 = [*LOGITS, node("ArgMax", "out", "index", axis=1, keepdims=1), node("Cast", "index", "mask", to=UINT8)]
WITHOUT_BATCH = [*LOGITS, TO_INDEX, node("Squeeze", "mask zero", "flat")]
HALF = [
    node("Conv", "input weight bias", "large"),
    node("AveragePool", "large", "out", kernel_shape=[2, 2], strides=[2, 2]),
]

READ = {
    "any size": ({}, {}, "logits", "ImageNet"),
    "fixed size": ({"shape": (1, 3, 64, 96)}, {}, "logits", None),
    "channels last": ({"nodes": NHWC, "shape": (1, "h", "w", 3)}, {}, "logits", None),
    "channels last, fixed": ({"nodes": NHWC, "shape": (1, 64, 96, 3)}, {}, "logits", None),
    "uint8": (
        {"nodes": CASTED, "dtype": UINT8, "more": {"scale": np.float32(255)}},
        None,
        "logits",
        "nothing is normalised",
    ),
    "values up to 255": ({"nodes": CASTED, "more": {"scale": np.float32(255)}}, {"input": "uint8"}, "logits", None),
    "names": ({"names": None}, {"classes": CLASSES}, "logits", None),
    "smaller output": ({"nodes": HALF}, {}, "logits", None),
    "softmax": (
        {"nodes": [*LOGITS, node("Softmax", "out", "soft", axis=1)], "outputs": "soft"},
        {},
        "probabilities",
        "Softmax",
    ),
    "said": ({}, {"scores": "logits"}, "logits", None),
    "the other output": (
        {"nodes": [*LOGITS, AUX], "outputs": "aux out", **TWO},
        {},
        "logits",
        "'out' is read.*others: aux",
    ),
    "the usual name": (
        {"nodes": [node("Identity", "out", "first"), *LOGITS][::-1], "outputs": "first out"},
        {},
        "logits",
        "others: first",
    ),
    "the named one": (
        {"nodes": [*LOGITS, node("Neg", "out", "n"), node("Neg", "n", "z")], "outputs": "n z"},
        {"output": "z"},
        "logits",
        None,
    ),
    "argmax": ({"nodes": [*LOGITS, TO_INDEX], "outputs": "mask", "output_dtypes": [INT64]}, {}, "masks", "ArgMax"),
    "argmax in float": ({"nodes": AS_FLOAT, "outputs": "mask"}, {}, "masks", "ArgMax"),
    "argmax in uint8": ({"nodes": AS_UINT8, "outputs": "mask", "output_dtypes": [UINT8]}, {}, "masks", "ArgMax"),
    "argmax without batch": (
        {"nodes": WITHOUT_BATCH, "outputs": "flat", "output_dtypes": [INT64], "more": {"zero": np.array([0])}},
        {},
        "masks",
        None,
    ),
}


@pytest.mark.parametrize("case", READ)
def test_the_masks_are_those_that_the_colours_say(tmp_path, case):
    file, options, kind, note = READ[case]
    if options is not None and "input" not in options:
        options = RAW | options
    spec = seglib.find_model(save(tmp_path / "net.onnx", **file), **(options or {}))
    assert spec.classes == CLASSES
    assert (masks_of(spec) == expected()).all()
    backend = backend_of(spec)
    assert backend.output == kind
    if note == "ImageNet":
        plain = seglib.find_model(spec.weights)
        assert plain.mean == (0.485, 0.456, 0.406)
        assert [one for one in backend_of(plain).notes if "ImageNet" in one]
        assert not [one for one in backend.notes if "ImageNet" in one], "mean and std were given"
    elif note is not None:
        assert [one for one in backend.notes if re.search(note, one)]


@pytest.mark.parametrize("end", ["Sigmoid", None])
def test_one_channel_is_the_second_of_two_classes(tmp_path, end):
    nodes = [ONE_CHANNEL, node("Sigmoid", "out", "p")] if end else [ONE_CHANNEL]
    file = save(tmp_path / "net.onnx", nodes, outputs="p" if end else "out", names="background,cat", **TWO)
    spec = seglib.find_model(file, **RAW)
    assert (masks_of(spec) == (expected() == 1)).all()
    (_, (measure,)) = predictor.predict_batch(image()[None], spec, SETTINGS)
    assert measure.confidence == pytest.approx(1 / (1 + np.exp(-4.5)), abs=1e-5)
    meaning = "probability of 'cat' (it ends in Sigmoid)" if end else "logit of 'cat'"
    assert [one for one in backend_of(spec).notes if meaning in one]


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_mean_std_and_order_of_channels_are_those_of_a_plain_loop(tmp_path, layout, channels):
    import openvino as ov

    random = np.random.default_rng(1)
    more = {"weight": random.normal(size=(3, 3, 1, 1)).astype(np.float32), "bias": np.zeros(3, np.float32)}
    nodes, shape = (LOGITS, DYNAMIC) if layout == "NCHW" else (NHWC, ("b", "h", "w", 3))
    file = save(tmp_path / "net.onnx", nodes, shape=shape, more=more)
    mean, std = (0.1, 0.4, 0.9), (0.2, 0.5, 0.7)
    spec = seglib.find_model(file, mean=mean, std=std, channels=channels)
    picture = random.integers(0, 256, (40, 56, 3), np.uint8)
    x = ((picture.astype(np.float32) / 255 - np.float32(mean)) / np.float32(std))[
        ..., :: -1 if channels == "bgr" else 1
    ]
    x = x[None] if layout == "NHWC" else x.transpose(2, 0, 1)[None]
    compiled = ov.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    plain = compiled(np.ascontiguousarray(x))[0]
    plain = plain if layout == "NCHW" else plain.transpose(0, 3, 1, 2)
    (found,) = backend_of(spec)(picture[None])
    assert found.numpy().tobytes() == plain.tobytes()


SKIP = [
    node("MaxPool", "input", "small", kernel_shape=[4, 4], strides=[4, 4]),
    node("Resize", "small empty scales", "large", mode="nearest"),
    node("Add", "input large", "sum"),
    node("Div", "sum two", "mean"),
    node("Conv", "mean weight bias", "out"),
]
SCALES = {"scales": np.array([1, 1, 4, 4], np.float32), "two": np.float32(2), "empty": np.zeros(0, np.float32)}


def test_sides_that_the_model_cannot_halve_are_padded_and_cut_off_again(tmp_path):
    spec = seglib.find_model(save(tmp_path / "net.onnx", SKIP, more=SCALES), **RAW)
    assert [one for one in backend_of(spec).notes if "multiples of 4" in one]
    mask = masks_of(spec, image(62, 90))  # 4 divides neither
    assert mask.shape == (62, 90)
    assert (mask == expected(62, 90)).mean() > 0.95, "all but the blurred edges"
    assert (mask[:28] == expected(62, 90)[:28])[:, :40].all()


def test_a_fixed_size_is_what_the_model_sees_and_the_grid_stays(tmp_path):
    spec = seglib.find_model(save(tmp_path / "net.onnx", shape=(1, 3, 64, 96)), **RAW)
    assert (spec.input_rule, spec.resize) == (Resize("96x64"), Resize("96x64"))
    masks, _ = predictor.predict_batch(image(128, 192)[None], spec, SETTINGS)
    assert masks.shape == (1, 128, 192)
    agreement = masks[0] == expected(128, 192)
    assert agreement.mean() > 0.97
    assert agreement[:60, :90].all()


def test_a_photo_has_the_same_mask_in_any_batch_and_thread(tmp_path):
    random = np.random.default_rng(2)
    weights = {"weight": random.normal(size=(3, 3, 1, 1)).astype(np.float32)}
    spec = seglib.find_model(save(tmp_path / "net.onnx", more=weights), **RAW)
    pictures = random.integers(0, 256, (9, 40, 48, 3), np.uint8)
    alone = [masks_of(spec, one) for one in pictures]
    with ThreadPoolExecutor(4) as pool:
        for masks, _ in pool.map(lambda _: predictor.predict_batch(pictures, spec, SETTINGS), range(8)):
            assert (masks == alone).all()


def test_uncertainty_of_scores_and_a_sentence_for_masks(tmp_path):
    scores = seglib.find_model(save(tmp_path / "scores.onnx"), **RAW)
    entropy = predictor.entropy_map(image(), scores, SETTINGS)
    assert entropy.shape == (64, 96)
    p = np.exp([4.5, 0, 0]) / np.exp([4.5, 0, 0]).sum()
    assert entropy[0, -1] == pytest.approx(-(p * np.log(p)).sum() / np.log(3), abs=1e-5)
    file = save(tmp_path / "masks.onnx", [*LOGITS, TO_INDEX], outputs="mask", output_dtypes=[INT64])
    masks = seglib.find_model(file, **RAW)
    assert predictor.predict_batch(image()[None], masks, SETTINGS)[1] == [None]
    with pytest.raises(UsageError, match="masks alone"):
        predictor.entropy_map(image(), masks, SETTINGS)


def test_cost_is_counted(tmp_path):
    spec = seglib.find_model(save(tmp_path / "net.onnx"), **RAW)
    assert spec.parameters == 9 + 3
    assert spec.gflops_at(100, 200) == pytest.approx(100 * 200 * 9 / 1e9)


def test_it_runs_on_the_cpu_alone(tmp_path):
    spec = seglib.find_model(save(tmp_path / "net.onnx"), **RAW)
    assert config.device_for(spec, "auto") == "cpu"
    with pytest.raises(UsageError, match="net runs on the CPU"):
        config.device_for(spec, "cuda")


@pytest.mark.parametrize("has_bf16", [True, False])
def test_bf16_where_the_processor_has_it(tmp_path, monkeypatch, has_bf16):
    spec = seglib.find_model(save(tmp_path / "net.onnx"), **RAW)
    settings = replace(SETTINGS, precision="bf16")
    if not has_bf16:
        monkeypatch.setattr(runtime, "has_bf16", lambda: False)
        with pytest.raises(UsageError, match="does not compute in bf16"):
            masks_of(spec, settings=settings)
    elif runtime.has_bf16():
        assert (masks_of(spec, settings=settings) == expected()).all()


def test_without_the_extra_one_sentence_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "find_spec", lambda _: None)
    with pytest.raises(
        SegError, match=r"'net.onnx' needs openvino, which is not installed: pip install '\.\[openvino\]'"
    ):
        seglib.find_model(save(tmp_path / "net.onnx"))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{0: 'background', 1: 'cat'}", ("background", "cat")),
        ('{"1": "cat", "0": "background"}', ("background", "cat")),
        ('["background", "cat"]', ("background", "cat")),
        ("background,cat", ("background", "cat")),
        ("background\ntabby cat\n", ("background", "tabby cat")),
        ("background cat", ("background", "cat")),
        ("{0: 'background', 2: 'cat'}", None),
        ("{0: 'cat', 1: 'cat'}", None),
        ("[__import__('os').getcwd()]", None),
        ("[" * 50_000, None),
        ("", None),
    ],
)
def test_class_names_as_metadata_hold_them(text, names):
    assert graph.parse_names(text) == names


@pytest.mark.parametrize("key", ["names", "classes", "labels"])
def test_class_names_are_read_from_a_file_and_an_argument_replaces_them(tmp_path, key):
    file = save(tmp_path / "net.onnx", names='["background", "cat", "dog"]', key=key)
    assert seglib.find_model(file).classes == CLASSES
    assert seglib.find_model(file, classes=("a", "b", "c")).classes == ("a", "b", "c")
