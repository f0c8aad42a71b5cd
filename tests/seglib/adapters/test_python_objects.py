"""Modules and functions in memory: what they say about themselves, what identifies them, and how they are left."""

import functools
import json

import numpy as np
import pytest
import torch
from torch import nn

import seglib
from seglib.adapters.lookup import find_model
from seglib.adapters.python_code import objects
from seglib.errors import UnknownName, UsageError, WeightsError
from seglib.inference import predictor
from seglib.inference.config import InferenceConfig, make_run_config
from seglib.models.adapter import ModelRequest
from seglib.models.registry import IMAGENET_MEAN
from seglib.pipeline.reproduce import resolve_run_model
from tests.conftest import COLOURS

CLASSES = list(COLOURS)
OPTIONS = seglib.RunOptions(workers=0)
RANGE = {"mean": (0, 0, 0), "std": (1, 1, 1)}


class Nearest(nn.Module):
    """The class whose colour is nearest; `sharpness` is neither a parameter nor a buffer."""

    def __init__(self, sharpness: float = 10.0) -> None:
        super().__init__()
        colours = torch.tensor(np.array(list(COLOURS.values())), dtype=torch.float32) / 255
        self.colours = nn.Parameter(colours[None, :, :, None, None])
        self.sharpness = sharpness

    def forward(self, x):
        return {"out": -self.sharpness * ((x[:, None] - self.colours) ** 2).sum(2)}


COLOUR_TABLE = torch.tensor(np.array(list(COLOURS.values())))


def nearest_class(images):
    """uint8 (B, 3, H, W) -> masks."""
    return (images[:, None].int() - COLOUR_TABLE[None, :, :, None, None]).square().sum(2).argmin(1)


def name_of(model, **options) -> str:
    spec = find_model(model, **{"classes": CLASSES, **options})
    return make_run_config(spec, InferenceConfig(resize=spec.resize)).run_name


def masks_of(store, report) -> dict[str, np.ndarray]:
    table = store.table([report.run])
    return {row.path: store.mask(report.run, row.image_id) for row in table.itertuples()}


def run(photos, store, model, **options):
    options = {"classes": CLASSES, "resize": "64x48", "precision": "fp32", "options": OPTIONS, **options}
    return seglib.run(photos, store, model, **options)


# --- runs ---


def test_a_module_and_a_function_see_what_the_fake_model_sees(photos, store, fake):
    want = masks_of(store, run(photos, store, fake, classes=None))
    module = run(photos, store, Nearest(), **RANGE, title="mine")
    assert (module.model, module.computed, store.run(module.run).title) == ("Nearest", 4, "mine")
    notes = []
    spec = find_model(nearest_class, classes=CLASSES, input="uint8")
    function = run(photos, store, spec, classes=None, on_note=notes.append)
    for report in (module, function):
        got = masks_of(store, report)
        assert got.keys() == want.keys()
        assert all(np.array_equal(got[path], want[path]) for path in want)
    assert f"{function.model}: its output is read as masks." in notes
    assert store.run(module.run).repeatable
    table = store.table([function.run])
    assert table[["confidence", "entropy", "low_margin"]].isna().all(axis=None)
    assert table["px:cat"].sum() > 0
    assert store.table([module.run])["confidence"].notna().all()


def test_a_run_of_an_object_is_continued_and_cannot_be_found_again_by_its_name(photos, store):
    first = run(photos, store, Nearest(), **RANGE, options=seglib.RunOptions(workers=0, limit=1))
    again = run(photos, store, Nearest(), **RANGE)
    assert (first.computed, again.run, again.computed, again.reused) == (1, first.run, 3, 1)
    with pytest.raises(seglib.SegError, match="was made from an object in memory"):
        resolve_run_model(store, store.run(first.run))


def test_an_object_that_cannot_be_identified_is_marked_and_continued_only_by_itself(photos, store):
    notes = []
    by_lambda, other = (lambda x: nearest_class(x) for _ in range(2))  # noqa: PLW0108  # its being one is the point
    options = {"classes": None, "on_note": notes.append}
    first = run(photos, store, find_model(by_lambda, classes=CLASSES, input="uint8"), **options)
    again = run(photos, store, find_model(by_lambda, classes=CLASSES, input="uint8"), **options)
    assert (again.run, again.computed) == (first.run, 0)
    assert not store.run(first.run).repeatable
    assert any("cannot be identified by a digest" in note for note in notes)
    assert run(photos, store, find_model(other, classes=CLASSES, input="uint8"), **options).run != first.run


def test_a_module_is_left_as_the_caller_has_it_and_gradients_are_off():
    module = Nearest().train()
    module.register_buffer("seen", torch.zeros(1))
    spec = find_model(module, classes=CLASSES)
    backend = spec.adapter.load_backend(spec, "fp32", "cpu")
    list(backend(np.zeros((1, 32, 32, 3), np.uint8)))
    assert module.training
    assert module.colours.requires_grad
    assert backend._forward is not module
    assert not backend._forward.training
    assert not backend._forward.colours.requires_grad
    before = module.colours.clone()
    module.colours.data += 1  # training goes on: the backend keeps the weights that the digest is of
    assert torch.equal(backend._forward.colours, before)


def test_a_module_that_was_trained_after_it_was_found_is_found_again_before_it_runs(photos, store):
    module = Nearest()
    spec = find_model(module, classes=CLASSES, **RANGE)
    module.colours.data *= 0.5
    with pytest.raises(WeightsError, match="Nearest has changed since it was found: find the model again"):
        run(photos, store, spec, classes=None)
    assert run(photos, store, module, **RANGE).computed == 4


def test_no_process_that_decodes_imports_the_model(photos, store):
    report = run(
        photos, store, lambda x: nearest_class((x * 255).round()), **RANGE, options=seglib.RunOptions(workers=1)
    )
    assert report.computed == 4  # a lambda cannot be pickled


# --- identity ---


def test_equal_objects_have_one_name_and_whatever_changes_a_mask_gives_another():
    names = {
        "as it is": name_of(Nearest()),
        "weights": name_of(_changed(Nearest(), "colours")),
        "an attribute": name_of(Nearest(sharpness=9.0)),
        "a dilation": name_of(nn.Conv2d(3, 4, 3, padding=2, dilation=2)),
        "no dilation": name_of(nn.Conv2d(3, 4, 3, padding=2)),
        "classes": name_of(Nearest(), classes=["a", "b", "c", "d"]),
        "mean": name_of(Nearest(), **RANGE),
        "channels": name_of(Nearest(), channels="bgr"),
        "uint8": name_of(Nearest(), input="uint8"),
        "scores": name_of(Nearest(), scores="logits"),
        "output": name_of(Nearest(), output="out"),
    }
    assert len(set(names.values())) == len(names), names
    assert name_of(Nearest()) == names["as it is"]
    assert name_of(Nearest().train()) == names["as it is"]
    assert name_of(Nearest(), channels="rgb", input="normalised") == names["as it is"]


def _changed(module, name):
    with torch.no_grad():
        getattr(module, name).add_(1)
    return module


def test_conv_weights_of_one_seed_have_one_name():
    torch.manual_seed(0)
    first = nn.Conv2d(3, 4, 3)
    torch.manual_seed(0)
    assert name_of(nn.Conv2d(3, 4, 3)) == name_of(first)


def test_buffers_that_no_checkpoint_holds_count():
    def build(value):
        module = Nearest()
        module.register_buffer("shift", torch.full((1,), value), persistent=False)
        return module

    assert name_of(build(1.0)) == name_of(build(1.0))
    assert name_of(build(1.0)) != name_of(build(2.0))


NET = Nearest()


def by_global(images):
    return NET(images)


def test_the_weights_that_a_function_reaches_count():
    before = name_of(by_global)
    assert name_of(by_global) == before
    NET.colours.data += 1
    try:
        assert name_of(by_global) != before
    finally:
        NET.colours.data -= 1


def closing_over(module):
    def call(images):
        return module(images)

    return call


def test_closures_partials_methods_and_instances_with_state_are_not_repeatable_but_their_weights_count():
    module = Nearest()
    kinds = {
        "closure": closing_over(module),
        "partial": functools.partial(closing_over, module),
        "method": module.forward,
        "instance": _Callable(module),
    }
    for kind, model in kinds.items():
        spec = find_model(model, classes=CLASSES)
        assert not spec.adapter.repeatable, kind
        name = name_of(model)
        assert name_of(model) == name, kind
        module.colours.data += 1
        assert name_of(model) != name, kind


class _Callable:
    def __init__(self, module) -> None:
        self.module = module

    def __call__(self, images):
        return self.module(images)


def test_a_class_of_a_notebook_is_not_repeatable():
    scope = {"__name__": "__main__"}
    exec("from torch import nn\nclass Net(nn.Conv2d):\n    pass\n", scope)
    spec = find_model(scope["Net"](3, 4, 1), classes=CLASSES)
    assert not spec.adapter.repeatable
    assert find_model(nn.Conv2d(3, 4, 1), classes=CLASSES).adapter.repeatable


class Opaque(nn.Conv2d):
    def __init__(self, held) -> None:
        super().__init__(3, 4, 1)
        self.held = held


def test_a_module_of_ones_own_that_holds_what_cannot_be_read_is_not_repeatable():
    assert find_model(Opaque({"threshold": 0.5, "act": torch.relu}), classes=CLASSES).adapter.repeatable
    assert not find_model(Opaque(iter("abc")), classes=CLASSES).adapter.repeatable


def test_two_lambdas_of_one_line_are_told_apart():
    once, twice = (lambda x: x), (lambda x: 2 * x)
    torch.manual_seed(0)
    module = Opaque(once)
    before = name_of(module)
    module.held = twice
    assert name_of(module) != before
    module.held = once
    assert name_of(module) == before


def test_the_code_of_a_run_says_what_is_called_and_how():
    spec = find_model(Nearest(), classes=CLASSES, channels="bgr")
    code = json.loads(spec.adapter.code)
    assert (code["kind"], code["called"], code["channels"], code["input"]) == ("python", "Nearest", "bgr", "normalised")
    assert not any(part.startswith("/") for part in code["source"].split())


# --- settings ---


def attributed(**attributes):
    module = Nearest()
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


def test_a_module_says_its_settings_by_attributes_and_arguments_win():
    module = attributed(classes=CLASSES, mean=[0.1, 0.2, 0.3], std=(1, 1, 2), resize="short:96", channels="bgr")
    spec = find_model(module)
    assert (spec.classes, spec.mean, spec.std) == (tuple(CLASSES), (0.1, 0.2, 0.3), (1.0, 1.0, 2.0))
    assert (spec.resize, json.loads(spec.adapter.code)["channels"]) == (seglib.Resize("short:96"), "bgr")
    other = find_model(module, classes=["a", "b", "c", "d"], mean=(0, 0, 0), std=(1, 1, 1), channels="rgb")
    assert (other.classes, other.mean) == (("a", "b", "c", "d"), (0, 0, 0))
    assert json.loads(other.adapter.code)["channels"] == "rgb"


def test_attributes_of_another_kind_are_the_modules_own_business():
    spec = find_model(
        attributed(classes=4, channels=3, input="image", output=nn.Identity(), resize=96), classes=CLASSES
    )
    assert (spec.mean, spec.classes) == (IMAGENET_MEAN, tuple(CLASSES))
    with pytest.raises(UsageError, match="Name the classes of Nearest in index order with `classes`"):
        find_model(attributed(classes=4))


@pytest.mark.parametrize(
    ("attributes", "options", "words"),
    [
        ({"mean": torch.zeros(3)}, {}, "Nearest has a tensor `mean` or `std`, so that it may normalise photos itself"),
        ({}, {"mean": (0, 0, 0)}, "Give both `mean` and `std` of Nearest, or neither"),
        ({}, {"input": "uint8", **RANGE}, "Nearest takes uint8, which is not normalised"),
        ({"input": "uint8"}, RANGE, "Nearest takes uint8, which is not normalised"),
    ],
)
def test_what_fits_two_readings_is_refused(attributes, options, words):
    with pytest.raises(UsageError, match=words):
        find_model(attributed(**attributes), classes=CLASSES, **options)


def test_a_module_with_a_mean_of_its_own_is_taken_once_its_input_is_said():
    module = attributed(mean=torch.zeros(3))
    for options in ({"input": "uint8"}, {"input": "normalised"}, RANGE):
        assert find_model(module, classes=CLASSES, **options).classes == tuple(CLASSES)


def test_settings_of_a_dict_are_checked():
    request = ModelRequest()
    for said, error, words in (
        ({"clases": ["a"]}, UnknownName, "There is no setting of net 'clases'; known are: classes, mean, std, input"),
        ({"classes": 3}, UsageError, "net: `classes` is a list of names, each once, not 3"),
        ({"classes": ["a", "a"]}, UsageError, "names the class 'a' twice"),
        ({"mean": 0.5}, UsageError, "net: `mean` is three numbers"),
        ({"scores": "softmax"}, UnknownName, "There is no kind of scores 'softmax'"),
        ({"std": (58, 57, 57)}, UsageError, "`std` is for images of range 0..1"),
        ({"input": 8}, UsageError, "net: `input` is a text, not 8"),
        ({"resize": "big"}, UsageError, "A resize is 224"),
    ):
        with pytest.raises(error, match=words):
            objects.settle(Nearest(), said, request, "net")
    with pytest.raises(UsageError, match="net contradicts itself: its settings say channels rgb, its attribute bgr"):
        objects.settle(attributed(channels="bgr"), {"channels": "rgb"}, request, "net")


def test_a_class_in_place_of_an_object_is_refused_with_what_to_do():
    with pytest.raises(UsageError, match="not the class Nearest, which has to be called first"):
        find_model(Nearest, classes=CLASSES)


def test_imagenets_normalisation_is_said_where_it_was_taken_and_only_there():
    def notes(model, **options):
        spec = find_model(model, classes=CLASSES, **options)
        return list(predictor.warm_up(spec, InferenceConfig(resize=spec.resize, device="cpu")))

    assert notes(Nearest()) == [
        "Nearest: photos are normalised by ImageNet's mean and std, since nothing else was said."
    ]
    assert notes(Nearest(), **RANGE) == []
    assert not any("ImageNet" in note for note in notes(nearest_class, input="uint8"))
