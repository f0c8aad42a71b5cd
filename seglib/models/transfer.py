"""Build the initial model for training: from random weights, a pretrained encoder, or a trained checkpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from seglib.errors import UsageError, WeightsError
from seglib.models import loading, registry, weights_file
from seglib.models.adapter import ModelRequest
from seglib.models.checkpoint import contents, metadata, selection
from seglib.models.registry import ModelSpec


def init_model(
    architecture: str, classes: Sequence[str], *, options: dict[str, str], seed: int, encoder: Path | None
) -> nn.Module:
    """Build a model with seeded random weights, and load its encoder from a file if one is given.

    If the file is a whole model of ours, head weights with the same name and shape are copied too; the class-score
    layers only if its classes are the same. Raises `UsageError` for an unknown option, `WeightsError` if the encoder
    does not fit.
    """
    torch.manual_seed(seed)
    try:
        model = registry.get_model_builder(architecture, tuple(sorted(options.items())))(len(classes))
    except TypeError:
        raise UsageError(f"{architecture} has no option {', '.join(options)}: leave it out.") from None
    if encoder is not None:
        _load_encoder(model, encoder, scores=metadata.read_classes(encoder) == tuple(classes))
    return model


def find_any_classes(architecture: str, weights: Path) -> ModelSpec:
    """Spec of a checkpoint whose class-score layers are to be replaced: one that names no classes may have any number.

    Raises as `registry.find_model_spec` does.
    """
    request = None
    if "architecture" not in metadata.read(weights):
        outputs = selection.find_weights(contents.read_contents(weights), architecture).outputs
        request = ModelRequest(classes=tuple(f"class {number}" for number in range(outputs)))
    return registry.find_model_spec(architecture, weights, request=request)


def init_with_new_head(spec: ModelSpec, classes: int, seed: int) -> nn.Module:
    """Copy a trained model's weights wherever they fit, with newly initialised class-score layers.

    The score layers are reset even if the number of classes is unchanged, because the classes mean something else.
    """
    torch.manual_seed(seed)
    trained, model = loading.load(spec), spec.build(classes)
    _copy_matching(model, trained.state_dict(), scores=False)
    return model


def init_from_trained(spec: ModelSpec, classes: Sequence[str], encoder: Path | None = None) -> nn.Module:
    """Load a trained model, last layer included, to continue training it.

    With an `encoder` file, replaces the encoder and any head weights with the same name and shape, but not the
    class-score layers. Raises `UsageError` if the classes differ.
    """
    if spec.classes != tuple(classes):
        raise UsageError(
            f"{spec.path.name} knows {', '.join(spec.classes)}, and {', '.join(classes)} are to be learnt: give it a "
            "new last layer with `finetune`."
        )
    model = loading.load(spec)
    if encoder is not None:
        _load_encoder(model, encoder, scores=False)
    return model


def check_module_names(model: nn.Module, names: Sequence[str]) -> None:
    """Raise `UsageError` if one of `names` is not a module of this model."""
    module_names = {name for name, _ in model.named_modules()}
    if unknown := [name for name in names if name not in module_names]:
        raise UsageError(f"The model has no module {unknown[0]!r}; the modules of its encoder begin with backbone.0.")


def _score_layers(model: nn.Module) -> tuple[str, ...]:
    """Names of the class-score convolutions: the last one and the coarser ones that it refines."""
    names: list[str] = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    return tuple(name for name in names if name in (names[-1], "classifier.classify", "classifier.coarse"))


def _copy_matching(model: nn.Module, state: Mapping[str, Tensor], *, scores: bool) -> None:
    """Copy all weights with the same name and shape; skip the class-score layers unless `scores`."""
    left = () if scores else tuple(f"{name}." for name in _score_layers(model))
    for name, value in model.state_dict().items():
        if name in state and state[name].shape == value.shape and not name.startswith(left):
            value.copy_(state[name])


def _load_encoder(model: nn.Module, encoder: Path, *, scores: bool) -> None:
    """Load the encoder from a state dict, then copy what fits in the head.

    Keys may be those of torchvision's classifier, with or without `features.`, or of a model of ours with the same
    encoder. If no name matches (SegNet's encoder and `vgg16_bn`), tensors are matched by order. Raises `WeightsError`.
    """
    read = weights_file.read_state_dict(encoder, selection.find_encoder(contents.read_contents(encoder)))
    state = {name.removeprefix("features.").removeprefix("backbone."): value for name, value in read.items()}
    backbone = model.get_submodule("backbone")
    wanted = backbone.state_dict()
    if not wanted.keys() & state.keys():
        state = dict(zip(wanted, state.values(), strict=False))
    unfit = [name for name, value in wanted.items() if name not in state or state[name].shape != value.shape]
    if unfit:
        raise WeightsError(f"{encoder.name} does not fit this encoder: {unfit[0]} is missing or has another shape.")
    backbone.load_state_dict({name: state[name].to(value.dtype) for name, value in wanted.items()})
    _copy_matching(model, read, scores=scores)
