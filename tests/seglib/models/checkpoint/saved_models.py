"""A small model, the files that programs save of such a one, and the check that all its weights are read."""

import argparse
from pathlib import Path
from typing import Any

import torch

import seglib
from seglib.models import loading, registry

NAME = "lraspp_mobilenet_v3_large"
CLASSES = ("background", "cat", "dog", "bird", "person")
State = dict[str, torch.Tensor]


def build(outputs: int, name: str = NAME) -> torch.nn.Module:
    torch.manual_seed(0)
    made: torch.nn.Module = registry.get_model_builder(name)(outputs).eval()
    return made


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


def with_momentum(model: torch.nn.Module) -> torch.optim.Optimizer:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for parameter in model.parameters():
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros(parameter.shape)
    return optimizer


def plain(model: torch.nn.Module) -> Any:
    return model.state_dict()


def parallel(model: torch.nn.Module) -> Any:
    return torch.nn.DataParallel(model).state_dict()


def backbone_compiled(model: torch.nn.Module) -> Any:
    return {name.replace("backbone.", "backbone._orig_mod."): value for name, value in model.state_dict().items()}


def compiled_in_parallel(model: torch.nn.Module) -> Any:
    return {"model_state_dict": prefixed(parallel(model), "_orig_mod.")}


def auxiliary(model: torch.nn.Module) -> Any:
    return {**model.state_dict(), "aux_classifier.0.weight": torch.zeros(8, 8, 3, 3)}


def reference(model: torch.nn.Module) -> Any:
    """What torchvision's references/segmentation/train.py keeps."""
    optimizer = with_momentum(model)
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": torch.optim.lr_scheduler.PolynomialLR(optimizer, 10).state_dict(),
        "epoch": 3,
        "args": argparse.Namespace(lr=0.1, device="cuda", output=Path("out"), weights=None),
        "scaler": {"scale": 65536.0},
    }


def lightning(model: torch.nn.Module) -> Any:
    optimizer = with_momentum(model)
    return {
        "epoch": 3,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {**prefixed(model.state_dict(), "segmenter.net."), "criterion.weight": torch.ones(5)},
        "loops": {"fit_loop": {"epoch_progress": {"total": {"ready": 4}}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'loss'}": {"best_model_score": torch.tensor(0.3)}},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5]).state_dict()],
        "hyper_parameters": {"lr": 0.1, "classes": list(CLASSES)},
    }


def assert_same_weights(file: Path, model: torch.nn.Module) -> None:
    spec = seglib.find_model(NAME, weights=file, classes=CLASSES)
    loaded = loading.load(spec)
    assert spec.parameters == sum(one.numel() for one in model.parameters())
    expected, state = model.state_dict(), loaded.state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], value) for name, value in expected.items())
    assert not loaded.training
