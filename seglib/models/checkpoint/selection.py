"""Find a built-in architecture's weights in a checkpoint: in which dict, under which prefix, for how many classes.

A checkpoint of PyTorch Lightning, of torchvision's training script or of a compiled or data-parallel model holds the
same tensors as the model's state dict, under longer names. Two layers tell an architecture: its first and its last.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from seglib.errors import UsageError, WeightsError
from seglib.models.checkpoint.contents import Contents, StateDict
from seglib.models.checkpoint.mismatch import describe_mismatch

_T = TypeVar("_T")  # a tensor, or what is known of it

_BINARY = 2

_WRAPPERS = frozenset(("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"))
"""Parts of names that DataParallel, torch.compile, FSDP and activation checkpointing add; no architecture has them."""

_MODEL_PREFIXES = ("model.", "net.", "encoder.", "backbone.")

_AVERAGE = re.compile(r"(^|[_.])(ema|swa)([_.]|$)|averag", re.IGNORECASE)

_OTHER_COPIES = ("current_model_state",)
"""Lightning keeps the last weights here where `state_dict` holds their average."""

_AUXILIARY = "aux_classifier."
"""Beginning of the names of a head that only training uses."""

_TRAINING_ONLY = re.compile(r"loss|criterion|metric|n_averaged", re.IGNORECASE)
"""Tensors of a training loop, told by the first part of their names."""


@dataclass(frozen=True)
class Layers:
    """What tells an architecture: two layers' names, the channels that the last one takes, and its options."""

    first: str
    scores: str
    channels: int
    options: tuple[tuple[str, str], ...] = ()
    also: str = ""
    """A layer that a smaller architecture lacks, whose layers are all in this one."""
    lacks: tuple[str, ...] = ()
    """Layers that other architectures have besides."""


_RESNET, _MOBILENET = "backbone.conv1", "backbone.0.0"

_LAST_OF_101 = "backbone.layer3.22.conv1"

_COARSE, _FINER = "classifier.coarse", "classifier.finer"

LAYERS: dict[str, tuple[Layers, ...]] = {
    "fcn_resnet50": (Layers(_RESNET, "classifier.4", 512, lacks=(_LAST_OF_101,)),),
    "fcn_resnet101": (Layers(_RESNET, "classifier.4", 512, also=_LAST_OF_101),),
    "deeplabv3_resnet50": (Layers(_RESNET, "classifier.4", 256, lacks=(_LAST_OF_101,)),),
    "deeplabv3_resnet101": (Layers(_RESNET, "classifier.4", 256, also=_LAST_OF_101),),
    "deeplabv3_mobilenet_v3_large": (Layers(_MOBILENET, "classifier.4", 256),),
    "lraspp_mobilenet_v3_large": (Layers(_MOBILENET, "classifier.high_classifier", 128),),
    "fcn_mobilenet_v2": (
        Layers(_MOBILENET, "classifier.4", 80),
        Layers(_MOBILENET, "classifier.classify", 192, (("head", "context"),), lacks=(_FINER, _COARSE)),
        Layers(_MOBILENET, "classifier.classify", 192, (("head", "fused"),), also=_COARSE, lacks=(_FINER,)),
    ),
    "unet_mobilenet_v2": (
        Layers(_MOBILENET, _FINER, 32, lacks=(_COARSE,)),
        Layers(_MOBILENET, _FINER, 32, (("head", "fused"),), also=_COARSE),
    ),
    "unet_resnet34": (Layers(_RESNET, _FINER, 32),),
    "segnet": (Layers("backbone.0.0", "classify", 64),),
}


@dataclass(frozen=True)
class Selection:
    """Which of a file's tensors are the weights. By default all of them, under the model's own names."""

    path: tuple[str, ...] = ()
    """Keys of the dicts around them, from the outermost."""
    prefix: str = ""
    """What their names begin with, once the parts that wrappers add are left out."""
    chosen: str = ""
    """What was taken where the file holds the weights several times; part of the run's digest."""
    one_output: bool = False
    """Whether the model gives one number per pixel, the logit of the second of two classes."""
    notes: tuple[str, ...] = ()
    """Sentences for the user."""


@dataclass(frozen=True)
class Found:
    """The weights of one architecture in a checkpoint."""

    selection: Selection
    outputs: int
    """Channels of the last layer: one per class, or 1."""
    options: tuple[tuple[str, str], ...]
    parameters: int
    """Number of parameters, without an auxiliary head and without the statistics of batch norm."""


def plain_name(key: str) -> str:
    """A tensor's name without the parts that wrappers add: `module._orig_mod.classify.bias` -> `classify.bias`."""
    return ".".join(part for part in key.split(".") if part not in _WRAPPERS)


def is_of_training(key: str) -> bool:
    """Whether a tensor belongs to the training, such as the weights of a loss, and not to the model."""
    return _TRAINING_ONLY.search(key.partition(".")[0]) is not None


def own_tensors(tensors: Mapping[str, _T], prefix: str) -> dict[str, _T]:
    """The tensors of a dict that are the model's, by its own names for them; without those of an auxiliary head."""
    named = {plain_name(key): tensor for key, tensor in tensors.items()}
    own = {key.removeprefix(prefix): one for key, one in named.items() if key.startswith(prefix)}
    return {key: one for key, one in own.items() if not key.startswith(_AUXILIARY) and not is_of_training(key)}


def find_weights(contents: Contents, architecture: str) -> Found:
    """Find the weights of an architecture. Raises `WeightsError` if there are none, or if two could be meant."""
    candidates = list(_candidates(contents, architecture))
    if not candidates:
        raise describe_mismatch(contents, architecture, fitting_architectures(contents))
    chosen = _choose(contents, candidates)
    tensors = plain_tensors(contents, chosen.path)
    prefixes = tuple(one.prefix for one in candidates if one.path == chosen.path)
    strange = [key for key in tensors if not key.startswith(prefixes) and not is_of_training(key)]
    if strange:
        raise WeightsError(
            f"{contents.name} holds {strange[0][:80]!r} beside the weights of {architecture} under "
            f"{chosen.prefix.rstrip('.')!r}: they belong to a larger model, which is no {architecture}."
        )
    own = own_tensors(contents.state_dicts[chosen.path], chosen.prefix)
    layers = chosen.layers
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    return Found(
        _describe_choice(contents.name, chosen, candidates),
        outputs=own[f"{layers.scores}.weight"].shape[0],
        options=layers.options,
        parameters=sum(tensor.numbers for name, tensor in own.items() if not name.endswith(statistics)),
    )


def find_encoder(contents: Contents) -> Selection:
    """Where a file holds the weights of an encoder, of whatever model. Raises `WeightsError` if two could be meant."""
    convolutions = [path for path in contents.state_dicts if _has_convolution(contents, path)]
    candidates = []
    for path in convolutions or list(contents.state_dicts)[:1]:
        firsts = {key.partition(".")[0] for key in plain_tensors(contents, path)}
        prefix = f"{firsts.pop()}." if len(firsts) == 1 else ""
        candidates.append(_Candidate(path, prefix if prefix in _MODEL_PREFIXES else "", Layers("", "", 0)))
    chosen = _choose(contents, candidates)
    return Selection(chosen.path, chosen.prefix)


def _has_convolution(contents: Contents, path: tuple[str, ...]) -> bool:
    return any(len(tensor.shape) == 4 for tensor in contents.state_dicts[path].values())


def fitting_architectures(contents: Contents) -> list[str]:
    """Architectures whose first and last layers are in a checkpoint."""
    return [name for name in LAYERS if any(True for _ in _candidates(contents, name))]


@dataclass(frozen=True)
class _Candidate:
    path: tuple[str, ...]
    prefix: str
    layers: Layers

    @property
    def label(self) -> str:
        """The dict and the prefix, as a person finds them in the file."""
        return ".".join((*self.path, self.prefix.rstrip("."))).strip(".")


def _candidates(contents: Contents, architecture: str) -> Iterator[_Candidate]:
    for path in contents.state_dicts:
        if path and path[-1] in _OTHER_COPIES:
            continue
        tensors = plain_tensors(contents, path)
        for layers in LAYERS.get(architecture, ()):
            for prefix in _prefixes(tensors, layers):
                yield _Candidate(path, prefix, layers)


def _prefixes(tensors: StateDict, layers: Layers) -> list[str]:
    """What precedes an architecture's names, wherever its first and last layers are there in their shapes."""
    last = f"{layers.scores}.weight"
    found = []
    for key, tensor in tensors.items():
        prefix = key.removesuffix(last)
        if prefix == key or (prefix and not prefix.endswith(".")):
            continue
        fits = len(tensor.shape) == 4 and tensor.shape[1] == layers.channels  # (outputs, channels, h, w)
        wanted = [f"{prefix}{layer}.weight" in tensors for layer in (layers.first, layers.also) if layer]
        if fits and all(wanted) and not any(f"{prefix}{layer}.weight" in tensors for layer in layers.lacks):
            found.append(prefix)
    return found


def plain_tensors(contents: Contents, path: tuple[str, ...]) -> StateDict:
    """Tensors of one dict by `plain_name`. Raises `WeightsError` if two get the same name."""
    named = contents.state_dicts[path]
    tensors = {plain_name(key): tensor for key, tensor in named.items()}
    if len(tensors) < len(named):
        raise WeightsError(f"{contents.name} holds two tensors that differ only by what a wrapper adds to their names.")
    return tensors


def _choose(contents: Contents, candidates: Sequence[_Candidate]) -> _Candidate:
    """The only candidate, or the only average of weights: what its training would have evaluated."""
    averages = [one for one in candidates if _AVERAGE.search(one.label)]
    likely = averages or candidates
    if len(likely) > 1:
        raise WeightsError(
            f"{contents.name} holds the weights of several models, {_listed([one.label for one in likely])}: "
            "save the one that you mean alone."
        )
    return likely[0]


def _describe_choice(name: str, chosen: _Candidate, candidates: Sequence[_Candidate]) -> Selection:
    if len(candidates) == 1:
        return Selection(chosen.path, chosen.prefix)
    others = [one.label or "the weights beside it" for one in candidates if one != chosen]
    note = f"{name} holds the weights twice: their average, {chosen.label!r}, is taken, not {_listed(others)}."
    return Selection(chosen.path, chosen.prefix, chosen.label, notes=(note,))


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(repr(label[:60]) for label in labels[:5]) + (", ..." if len(labels) > 5 else "")


def match_outputs(name: str, found: Found, classes: Sequence[str], *, named: bool) -> Selection:
    """The selection, once there is one output per class, or one for two classes. Raises `UsageError` otherwise.

    `named`: whether the person named the classes, or they are those that the architecture usually has.
    """
    outputs, selection = found.outputs, found.selection
    if outputs == len(classes):
        return selection
    if named and outputs == 1 and len(classes) == _BINARY:
        note = f"{name} gives one output, read as the logit of {classes[1]!r}."
        return replace(selection, one_output=True, notes=(*selection.notes, note))
    if outputs == 1:
        raise UsageError(
            f"{name} has one output: name two classes with `classes`, such as background,cat, the second the one that "
            "it finds."
        )
    if not named:
        raise UsageError(
            f"{name} has {outputs} outputs, and does not say of what: name its {outputs} classes in index order with "
            "`classes`, as a,b,c or as a file with one per line."
        )
    raise UsageError(
        f"{name} has {outputs} outputs, and `classes` names {len(classes)} ({_listed(classes)}): name one class for "
        "each output, in index order, background included."
    )
