"""Parameters and operations of models that no table describes, against the table and by hand."""

import warnings
from dataclasses import replace

import pytest
import torch
from torch import nn

from seglib.adapters.lookup import find_model
from seglib.data.resize import Resize
from seglib.inference import cost_count
from seglib.inference.config import InferenceConfig
from seglib.models.adapter import Adapter
from seglib.models.registry import GFLOPS_SIDE, MODELS

CONFIG = InferenceConfig(resize=Resize("64"), device="cpu")


@pytest.mark.parametrize(
    ("name", "precision"),
    [("fcn_mobilenet_v2", "fp32"), ("fcn_mobilenet_v2", "bf16"), ("lraspp_mobilenet_v3_large", "fp32")],
)
def test_a_called_module_has_the_operations_of_the_table(name, precision):
    """As an object in memory, so it is called as any foreign torch module is."""
    table = MODELS[name]
    spec = find_model(table.build(21).eval(), classes=table.classes)
    spec = replace(spec, parameters=0, input_rule=table.own_input_rule)
    counts = cost_count.count_model(
        spec, InferenceConfig(resize=Resize("short:520"), precision=precision, device="cpu")
    )
    assert counts.parameters == table.parameters
    assert counts.gflops == pytest.approx(table.gflops, abs=6e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(MODELS))
def test_a_built_in_architecture_is_counted_from_its_shapes(name):
    table = MODELS[name]
    spec = replace(table, parameters=0, gflops=None)
    counts = cost_count.count_model(spec, InferenceConfig(resize=table.resize))
    assert (counts.parameters, counts.gflops) == (table.parameters, pytest.approx(table.gflops, abs=6e-4))


def test_what_is_in_the_table_is_not_counted_again():
    assert cost_count.is_in_table(MODELS["fcn_resnet50"])
    assert not cost_count.is_in_table(replace(MODELS["fcn_resnet50"], parameters=1))
    assert not cost_count.is_in_table(replace(MODELS["fcn_resnet50"], name="mine"))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        return self.block(x, x, x)[0], nn.functional.scaled_dot_product_attention(x, x, x)


def test_attention_is_counted_by_hand():
    """Of 16 places with 8 channels: four projections, and scores and sums of the block and of the bare attention."""
    x = torch.zeros(1, 16, 8)
    parameters, operations = cost_count.count_call(lambda: Attention().eval()(x))
    assert operations == 4 * 16 * 8 * 8 + 2 * (2 * 16 * 16 * 8)
    assert parameters == 4 * 8 * 8 + 4 * 8


def test_a_traced_or_exported_module_is_counted():
    net, x = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()).eval(), torch.zeros(1, 3, 10, 10)
    exported = torch.export.export(net, (x,)).module()
    with warnings.catch_warnings(action="ignore"):  # torch advises against TorchScript
        scripted = torch.jit.freeze(torch.jit.script(net))
    assert cost_count.count_call(lambda: exported(x)) == (3 * 8 * 9 + 8, 8 * 8 * 8 * 27)
    assert cost_count.count_call(lambda: scripted(x))[1] == 8 * 8 * 8 * 27


def test_shared_weights_count_once():
    conv = nn.Conv2d(3, 3, 1)
    parameters, operations = cost_count.count_call(lambda: conv(conv(torch.zeros(1, 3, 2, 2))))
    assert (parameters, operations) == (12, 2 * 3 * 3 * 4)


class Blind(Adapter):
    """A model that torch does not compute, or that fails."""

    weights_sha256 = ""
    code = ""

    def __init__(self, call) -> None:
        self._call = call

    def load_backend(self, spec, precision, device):
        return self._call


def test_what_torch_does_not_compute_is_unknown_and_never_0(fake):
    def fail(images):
        raise ValueError

    for call in (lambda images: iter([images.mean()]), fail):
        counts = cost_count.count_model(replace(fake, parameters=0, adapter=Blind(call)), CONFIG)
        assert (counts.parameters, counts.gflops) == (None, None)
    assert not torch.nn.modules.module._global_forward_pre_hooks


def test_known_parameters_stay(fake):
    counts = cost_count.count_model(replace(fake, parameters=7, adapter=Blind(lambda images: iter(()))), CONFIG)
    assert counts.parameters == 7


def test_the_size_that_is_counted_is_the_models_input(fake):
    counts = cost_count.count_model(replace(fake, parameters=0, input_rule=Resize("32")), CONFIG)
    assert counts.input_rule.grid_wh(GFLOPS_SIDE, GFLOPS_SIDE) == (32, 32)
    assert counts.gflops == pytest.approx(32 * 32 * 3 * len(fake.classes) / 1e9, abs=1e-6)
