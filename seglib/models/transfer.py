"""The net that training starts from.

In: an architecture, a number of classes, weights of an encoder or of a whole net. Out: the net. Knows nothing of data.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from seglib.errors import UsageError, WeightsError
from seglib.models import loading, registry, weights_file
from seglib.models.registry import ModelSpec


def fresh(
    architecture: str, classes: Sequence[str], *, options: dict[str, str], seed: int, encoder: Path | None
) -> nn.Module:
    """With random weights that follow from the seed, and the encoder's from a file if there is one.

    Of a file that holds a whole net of ours, also what has the same name and shape in the head: the scores of classes
    only if they are those of the same classes.
    """
    torch.manual_seed(seed)
    try:
        net = registry.builder(architecture, tuple(sorted(options.items())))(len(classes))
    except TypeError:
        raise UsageError(f"{architecture} knows no choice of {', '.join(options)}: leave it out.") from None
    if encoder is not None:
        _fill_encoder(net, encoder, scores=registry.classes_of_file(encoder) == tuple(classes))
    return net


def from_model(spec: ModelSpec, classes: int, seed: int) -> nn.Module:
    """A trained net under a new head: all of its weights that fit, and new scores for these classes.

    Also where the classes are as many as before: what they mean is new.
    """
    torch.manual_seed(seed)
    trained, net = loading.load(spec), spec.build(classes)
    _fill(net, trained.state_dict(), scores=False)
    return net


def next_leg(spec: ModelSpec, classes: Sequence[str], encoder: Path | None = None) -> nn.Module:
    """A trained net as it is, last layer included: for another leg of its training; with a file, on another encoder,
    and on the parts of a head that a net of ours has under the same names.
    """
    if spec.classes != tuple(classes):
        raise UsageError(
            f"{spec.path.name} knows {', '.join(spec.classes)}, and {', '.join(classes)} are to be learnt: give it a "
            "new last layer with --finetune."
        )
    net = loading.load(spec)
    if encoder is not None:
        _fill_encoder(net, encoder, scores=False)
    return net


def check_parts(net: nn.Module, names: Sequence[str]) -> None:
    """Raises `UsageError` for a module that this net does not have."""
    known = {name for name, _ in net.named_modules()}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"The net has no part {unknown[0]!r}; those of its encoder begin with backbone.0.")


def _scores(net: nn.Module) -> tuple[str, ...]:
    """Convolutions that score the classes: the last one, and that whose scores a U-Net's last one refines."""
    names: list[str] = [name for name, module in net.named_modules() if isinstance(module, nn.Conv2d)]
    return tuple(name for name in names if name in (names[-1], "classifier.classify"))


def _fill(net: nn.Module, state: Mapping[str, Tensor], *, scores: bool) -> None:
    """With all that has the same name and shape, the scores of classes or all but them."""
    left = () if scores else tuple(f"{name}." for name in _scores(net))
    for name, value in net.state_dict().items():
        if name in state and state[name].shape == value.shape and not name.startswith(left):
            value.copy_(state[name])


def _fill_encoder(net: nn.Module, encoder: Path, *, scores: bool) -> None:
    """From a state dict whose keys are those of torchvision's classifier, with or without `features.`, or of a net of
    ours with the same encoder; or, where names differ (SegNet's encoder and `vgg16_bn`), whose tensors come in the same
    order.
    """
    read = weights_file.read_state(encoder)
    state = {name.removeprefix("features.").removeprefix("backbone."): value for name, value in read.items()}
    backbone = net.get_submodule("backbone")
    wanted = backbone.state_dict()
    if not wanted.keys() & state.keys():
        state = dict(zip(wanted, state.values(), strict=False))
    unfit = [name for name, value in wanted.items() if name not in state or state[name].shape != value.shape]
    if unfit:
        raise WeightsError(f"{encoder.name} does not fit this encoder: {unfit[0]} is missing or has another shape.")
    backbone.load_state_dict({name: state[name].to(value.dtype) for name, value in wanted.items()})
    _fill(net, read, scores=scores)
