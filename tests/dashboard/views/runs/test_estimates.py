"""What is said of the time that models take: what is known already costs none."""

from dataclasses import replace

import pytest

from dashboard.offers.models import ModelOffer
from dashboard.queries.runs.pending import FolderCounts
from dashboard.queries.source import ModelChoice
from dashboard.views.runs import estimates
from dashboard.views.runs.estimates import Estimate, describe_all, estimate
from seglib.classes import VOC_CLASSES
from seglib.data.image import DECODER
from seglib.inference.config import CODE_SCHEMA
from seglib.models.adapter import ModelRequest
from seglib.models.registry import DEFAULT_MODEL, MODELS
from seglib.pipeline.run import describe_run
from seglib.store.records import Run
from seglib.store.store import Store
from tests.dashboard.conftest import make_run_config

SPEC = MODELS[DEFAULT_MODEL]
MODEL = ModelChoice(
    offer=ModelOffer(id=SPEC.name, title=SPEC.name, request=ModelRequest(model=SPEC.name)),
    name=SPEC.name,
    classes=VOC_CLASSES,
    resize="224",
)
OFFERED = ModelChoice(
    offer=ModelOffer(id="offered:00000001", title="a.onnx", request=ModelRequest(model="/x/a.onnx")),
    name="a",
    classes=tuple("abcde"),
    resize="96",
)


def run_of(precision: str = "fp32", resize: str = "224", **changes: object) -> Run:
    config = replace(
        make_run_config(CODE_SCHEMA),
        model=SPEC.name,
        resize=resize,
        precision=precision,
        weights_sha256=SPEC.sha256.ljust(64, "0"),
        decoder=DECODER,
    )
    return replace(describe_run(config, parameters=1, versions={}), **changes)


def test_the_run_that_is_continued_is_the_last_of_the_same_recipe():
    runs = [run_of("fp32"), run_of("bf16"), run_of("fp32", "512x512")]
    assert estimates.continued_run(runs, MODEL, "", "auto") is runs[1]
    assert estimates.continued_run(runs, MODEL, "", "fp32") is runs[0]
    assert estimates.continued_run(runs, MODEL, "512x512", "auto") is runs[2]
    assert estimates.continued_run(runs, MODEL, "", "int8") is None
    assert estimates.continued_run(runs, MODEL, "short:520", "auto") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"weights_sha256": "f" * 64},
        {"weights_sha256": None},
        {"repeatable": False},
        {"recipe": {"decoder": DECODER, "code_schema": CODE_SCHEMA - 1}},
        {"recipe": {}},
        {"request": {"model": "/x/mine.onnx"}},
        {"precision": None},
    ],
)
def test_a_run_of_another_recipe_is_not_continued(changes):
    assert estimates.continued_run([run_of(**changes)], MODEL, "", "auto") is None


def counts(pending: int, chosen: int = 500, total: int = 500) -> FolderCounts:
    return FolderCounts(total=total, chosen=chosen, pending={run_of().run: pending})


def words(*rows: tuple[ModelChoice, Estimate], folder: FolderCounts | None = None) -> list[str]:
    return describe_all("data/set", folder or counts(0), {model.title: (model, one) for model, one in rows})


def test_what_is_known_needs_no_time():
    folder = counts(0)
    assert words((MODEL, estimate(MODEL, run_of(), folder, 8.8)), folder=folder) == [
        "500 photos in data/set",
        "fcn_mobilenet_v2: nothing to do, all 500 are known",
    ]


def test_only_new_photos_take_time():
    folder = counts(120, chosen=400)
    assert words((MODEL, estimate(MODEL, run_of(), folder, 2.0)), folder=folder) == [
        "500 photos in data/set, the first 400 of them",
        "fcn_mobilenet_v2: about 60 s for the 120 new ones, at 2.0 photos/s as last time",
    ]
    assert words((MODEL, estimate(MODEL, run_of(), folder, None)), folder=folder)[1:] == [
        "fcn_mobilenet_v2: 120 of 400 photos are new"
    ]
    assert words((MODEL, estimate(MODEL, run_of(), counts(1), 2.0)), folder=counts(1))[1:] == [
        "fcn_mobilenet_v2: about 1 s for the 1 new one, at 2.0 photos/s as last time"
    ]


def test_an_upper_bound_is_called_one():
    folder = counts(500)
    sentence = "fcn_mobilenet_v2: at most about 57 s, at 8.8 photos/s as last time"
    assert words((MODEL, estimate(MODEL, run_of(), folder, 8.8)), folder=folder)[1:] == [sentence]
    new = replace(MODEL, resize="96")
    assert words((new, estimate(new, None, folder, 8.8)), folder=folder)[1:] == [sentence.replace("at most ", "")]
    assert words((OFFERED, estimate(OFFERED, None, folder, 10.0)), folder=folder)[1:] == [
        "a.onnx: 5 classes, masks of 96",
        "a.onnx: at most about 50 s, at 10.0 photos/s as last time",
    ]


def test_several_models_add_up():
    slow = Estimate(pending=500, exact=True, photos_per_second=5.0)
    fast = Estimate(pending=500, exact=True, photos_per_second=10.0)
    other = replace(MODEL, offer=replace(MODEL.offer, title="other"))
    assert words((MODEL, slow), (other, fast))[-1] == "Together, one after the other: about 3 min"
    unknown = replace(fast, photos_per_second=None, exact=False)
    assert words((MODEL, slow), (other, unknown))[-1] == (
        "Together, one after the other: at most about 2 min, and 1 model of unknown speed"
    )
    done = Estimate(pending=0, exact=True, photos_per_second=5.0)
    assert not any("Together" in line for line in words((MODEL, slow), (other, done)))
    assert not any("Together" in line for line in words((MODEL, unknown), (other, unknown)))


def test_the_speed_is_that_of_the_same_recipe(full):
    store = Store(full)
    run = store.runs()[0]
    assert estimates.last_speed([run], "fake_net", "64x64", "auto") is None
    for computed, seconds in ((500, 10.0), (100, 1.0), (2, 9.0)):
        store.record_invocation(run, {"started": "2", "computed": computed, "seconds": seconds})
    runs = store.runs()
    assert estimates.last_speed(runs, "fake_net", "64x64", "auto") == 100
    assert estimates.last_speed(runs, "fake_net", "64x64", "fp32") == 100
    assert estimates.last_speed(runs, "fake_net", "64x64", "bf16") is None
    assert estimates.last_speed(runs, "fake_net", "224", "auto") is None
