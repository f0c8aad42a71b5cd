"""Feature maps beside the logits: those of the named block, and the logits stay the same bit for bit."""

import copy

import pytest
import torch

from seglib.models import optimize
from seglib.models.registry import MODELS, get_model_builder


@pytest.mark.parametrize(
    ("name", "block", "last", "channels"),
    [
        ("fcn_mobilenet_v2", "backbone.17", "backbone.17", 320),
        ("lraspp_mobilenet_v3_large", "backbone", "backbone.16", 960),
        ("segnet", "backbone", "backbone.4", 512),
    ],
)
def test_features_are_those_of_the_block_and_logits_stay_the_same(name, block, last, channels):
    torch.manual_seed(0)
    model = (MODELS[name].build if name in MODELS else get_model_builder(name))(3).eval()
    assert name not in MODELS or MODELS[name].feature_block == block
    image, seen = torch.randn(1, 3, 64, 96), []
    hook = model.get_submodule(last).register_forward_hook(lambda _, __, output: seen.append(output.clone()))
    with torch.inference_mode():
        model(image)
    hook.remove()
    plain = optimize.prepare_for_inference(copy.deepcopy(model), torch.float32)
    both = optimize.prepare_for_inference(model, torch.float32, feature_block=block)
    with torch.inference_mode():
        logits, features = both(image)
        assert torch.equal(logits, plain(image))
    assert features.shape[1] == channels
    torch.testing.assert_close(features, seen[0], rtol=1e-4, atol=1e-4)


def test_a_model_without_the_block_gives_no_features(fake):
    model = optimize.prepare_for_inference(fake.build(4).eval(), torch.float32, feature_block="encoder")
    logits, features = model(torch.zeros(1, 3, 8, 8))
    assert logits.shape == (1, 4, 8, 8)
    assert features is None
