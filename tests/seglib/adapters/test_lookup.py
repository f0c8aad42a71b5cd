"""Models are found by name, checkpoint, spec and object; what cannot be found is refused in a sentence."""

import pytest
import torch

import seglib
from seglib.adapters.lookup import find_model, find_requested, load_model
from seglib.errors import UnknownName, UsageError
from seglib.models.adapter import ModelRequest
from seglib.models.registry import MODELS


def test_a_model_is_loaded_by_name_by_checkpoint_and_by_spec(fake):
    by_spec, by_name = load_model(fake), load_model("fcn_mobilenet_v2")
    assert not by_spec.training
    assert by_spec.classifier.weight.shape == (4, 3, 1, 1)
    by_file = load_model(str(MODELS["fcn_mobilenet_v2"].path))
    assert all(torch.equal(a, b) for a, b in zip(by_name.parameters(), by_file.parameters(), strict=True))
    with pytest.raises(UnknownName):
        load_model("fcn_mobilenet")


def test_a_request_survives_the_record_of_a_run():
    request = ModelRequest(
        model="net.onnx", classes=("background", "cat"), mean=(0.5, 0.4, 0.3), channels="bgr", allow_pickle=True
    )
    record = request.to_record()
    assert record["classes"] == ["background", "cat"]
    assert set(record) == {"model", "classes", "mean", "channels", "allow_pickle"}
    assert ModelRequest.from_record(record) == request
    assert ModelRequest().to_record() == {}
    with pytest.raises(TypeError):
        ModelRequest.from_record({"colour": "red"})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels": "rbg"}, "no order of channels 'rbg'"),
        ({"scores": "softmax"}, "no kind of scores 'softmax'"),
        ({"input": "float"}, "no kind of input 'float'"),
    ],
)
def test_unknown_values_are_refused_for_names_and_objects_alike(options, words):
    for model in ("fcn_mobilenet_v2", torch.nn.Conv2d(3, 2, 1)):
        with pytest.raises(UnknownName, match=words):
            find_model(model, classes=["a", "b"], **options)


def test_what_a_spec_says_itself_cannot_be_given_again(fake):
    assert find_model(fake) is fake
    with pytest.raises(UsageError, match="A ModelSpec says its classes"):
        find_model(fake, classes=["a", "b"])


def test_a_folder_or_an_object_of_another_kind_is_refused_with_what_to_write(tmp_path):
    with pytest.raises(UsageError, match=r"is a folder: write hf:.* or smp:"):
        find_requested(ModelRequest(model=str(tmp_path)))
    with pytest.raises(UsageError, match="not a int"):
        find_model(7)
    with pytest.raises(UsageError, match="`mean` is three numbers"):
        seglib.find_model(torch.nn.Conv2d(3, 2, 1), classes=["a", "b"], mean=(0.5, 0.5))
