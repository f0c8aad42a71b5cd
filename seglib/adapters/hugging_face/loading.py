"""Build a model of transformers from a checked folder, without asking the network and without running foreign code."""

import contextlib
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglib.adapters.hugging_face import folder
from seglib.adapters.hugging_face.folder import ModelFolder
from seglib.errors import UsageError, WeightsError
from seglib.models import weights_file
from seglib.models.adapter import OutputKind

if TYPE_CHECKING:
    from torch import Tensor, nn

_NEEDS_MORE = {
    "clipseg": "a text for each class",
    "groupvit": "a text for each class",
    "sam": "a point or box in each photo",
    "sam2": "a point or box in each photo",
    "sam3": "a text for each class",
    "seggpt": "an example for each photo",
    "videomt": "a video",
}
"""Model types that segment, but not a photo alone."""

_TRAINING_ONLY = frozenset({"auxiliary_head", "text_mapper", "criterion"})
"""Parts of models that compute a loss, and no mask."""

_quiet_lock = threading.RLock()

_TASK = "the task is semantic"
"""What OneFormer's processor asks for."""


@dataclass(frozen=True)
class Architecture:
    name: str
    """Of the model's class."""
    model_type: str
    scores: OutputKind
    """What comes of the model and its post-processing."""


def find_architecture(found: ModelFolder, config: dict[str, Any]) -> Architecture:
    """Raises `UsageError` if the model gives no semantic masks of a photo alone."""
    from transformers.models.auto import modeling_auto

    model_type, named = config.get("model_type"), config.get("architectures")
    if not isinstance(model_type, str):
        raise WeightsError(f"{found.name}/{folder.CONFIG} names no model_type: it is not a model of transformers.")
    if model_type in _NEEDS_MORE:
        raise UsageError(f"{found.name} needs {_NEEDS_MORE[model_type]} ({model_type}), and here it gets photos alone.")
    semantic = dict(modeling_auto.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES)
    queries = dict(modeling_auto.MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES)
    known = semantic.get(model_type) or queries.get(model_type)
    given = named[0] if isinstance(named, list) and named else known
    if known is None or given != known:
        raise UsageError(
            f"{found.name} is a {str(given or model_type)[:80]}, which gives no semantic masks: expected "
            f"{known or 'one of ' + ', '.join(sorted({*semantic, *queries} - _NEEDS_MORE.keys()))}."
        )
    return Architecture(known, model_type, "logits" if model_type in semantic else "probabilities")


def needs_timm(config: dict[str, Any]) -> bool:
    backbone = config.get("backbone_config")
    of_backbone = backbone.get("model_type") if isinstance(backbone, dict) else None
    return of_backbone == "timm_backbone" or isinstance(config.get("backbone"), str)


def task_tokens(found: ModelFolder, config: dict[str, Any]) -> tuple[int, ...]:
    """The tokens by which OneFormer's processor asks for a semantic mask. Raises `WeightsError`."""
    from transformers import CLIPTokenizer

    try:
        tokenizer = CLIPTokenizer.from_pretrained(str(found.path), local_files_only=True)
        tokens = tokenizer([_TASK], padding="max_length", max_length=config.get("task_seq_len", 77), truncation=True)
    except Exception as error:  # missing and damaged files raise different types
        raise WeightsError(
            f"The tokenizer of {found.name} cannot be read ({weights_file.first_line(error)}): OneFormer needs it for "
            "its task, so save the whole processor into the folder."
        ) from None
    return tuple(i * m for i, m in zip(tokens["input_ids"][0], tokens["attention_mask"][0], strict=True))


def load_model(found: ModelFolder, architecture: Architecture, files: tuple[Path, ...]) -> "nn.Module":
    """The model with its weights on the CPU, in float32 and eval mode. Raises `WeightsError` if they do not fit."""
    import torch
    import transformers

    config = folder.read_config(found)
    state = _read_weights(found, files)
    with quiet():
        try:
            settings = transformers.CONFIG_MAPPING[architecture.model_type].from_dict(config)
            model, report = getattr(transformers, architecture.name).from_pretrained(
                None,
                config=settings,
                state_dict=state,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,  # they are in the report
                output_loading_info=True,
            )
        except Exception as error:  # configs and models each raise their own types
            reason = f"{type(error).__name__}: {weights_file.first_line(error)}"
            raise WeightsError(f"{found.name} cannot be built from its {folder.CONFIG} ({reason}).") from None
    _check_report(found, report, state)
    result: nn.Module = model.eval().requires_grad_(False)
    return result


def _read_weights(found: ModelFolder, files: tuple[Path, ...]) -> "dict[str, Tensor]":
    state: dict[str, Tensor] = {}
    for file in files:
        part = weights_file.read_state_dict(file)
        if twice := state.keys() & part.keys():
            raise WeightsError(f"{found.name} holds {sorted(twice)[0]} in two files of weights: the folder is damaged.")
        state |= part
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise WeightsError(f"{found.name} holds NaN or infinite numbers in {name}: the checkpoint is damaged.")
    return state


def _check_report(found: ModelFolder, report: dict[str, Any], state: "dict[str, Tensor]") -> None:
    """transformers fills what is missing with random numbers, and only warns. Raises `WeightsError`."""
    missing = [name for name in sorted(report["missing_keys"]) if not is_for_training(name)]
    if missing:
        raise WeightsError(
            f"{found.name} has no weights for {_some(missing)}, which would be random: expected a model that was "
            "trained for segmentation and saved as a whole."
        )
    if report["mismatched_keys"]:
        name, found_shape, expected = sorted(report["mismatched_keys"])[0]
        raise WeightsError(
            f"The weights of {found.name} do not fit its {folder.CONFIG}: {name} has the shape {tuple(found_shape)}, "
            f"and {tuple(expected)} was expected."
        )
    unused = [
        name
        for name in sorted(report["unexpected_keys"])
        if not is_for_training(name) and (name not in state or state[name].is_floating_point())
    ]  # integers are indices, which newer versions compute themselves
    if unused:
        raise WeightsError(
            f"{found.name} has weights for {_some(unused)}, which its {folder.CONFIG} has no place for: the two do not "
            "belong together."
        )


def is_for_training(name: str) -> bool:
    return not _TRAINING_ONLY.isdisjoint(name.split("."))


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress the messages, warnings and progress bars of transformers, and every request to the network.

    These settings belong to the process, so only one thread at a time changes them.
    """
    with _quiet_lock, _silenced():
        yield


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    from huggingface_hub import constants
    from transformers.utils import logging as verbosity

    level, offline, bars = verbosity.get_verbosity(), constants.HF_HUB_OFFLINE, verbosity.is_progress_bar_enabled()
    verbosity.set_verbosity(logging.CRITICAL)
    verbosity.disable_progress_bar()
    constants.HF_HUB_OFFLINE = True
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        verbosity.set_verbosity(level)
        if bars:
            verbosity.enable_progress_bar()
