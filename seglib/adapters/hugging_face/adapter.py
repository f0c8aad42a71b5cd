"""Describe a model of transformers by a `ModelSpec`, and load it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglib.adapters import identity
from seglib.adapters.hugging_face import class_names, folder, loading, processor
from seglib.adapters.hugging_face.loading import Architecture
from seglib.adapters.hugging_face.processor import ProcessorSettings
from seglib.errors import SegError, UsageError, WeightsError
from seglib.models import weights_file
from seglib.models.adapter import Adapter, Backend, ModelRequest
from seglib.models.registry import ModelSpec

if TYPE_CHECKING:
    from torch import nn

ATTENTION = "sdpa where the model has it, else eager"
"""What transformers chooses on its own, and what runs of a model are therefore made with."""

_LABELS = ("id2label", "label2id", "num_labels")

_READ_FROM_FOLDER = ("mean", "std", "channels", "output", "scores", "input")
"""Options of `find_model` that the folder's files answer."""


@dataclass(frozen=True)
class HuggingFaceAdapter(Adapter):
    """A model of transformers in a folder."""

    path: Path
    files: tuple[Path, ...]
    """Of the weights."""
    digest: str
    """Of `files`."""
    config_sha256: str
    """Of what config.json says, without the class names."""
    architecture: Architecture
    settings: ProcessorSettings
    packages: tuple[str, ...]
    task: tuple[int, ...]
    """Tokens that ask for a semantic mask, of a model that takes a task."""
    notes: tuple[str, ...]

    precisions = ("fp32", "bf16")

    @property
    def weights_sha256(self) -> str:
        return self.digest

    @property
    def code(self) -> str:
        settings = self.settings
        return identity.describe_code(
            "transformers",
            *self.packages,
            architecture=self.architecture.name,
            attention=ATTENTION,
            config=self.config_sha256,
            channels=settings.channels,
            padding=None if settings.pad_wh is None else [*settings.pad_wh, settings.pad_value],
            patch=settings.patch,
            task=self.task,
        )

    def load_backend(self, spec: ModelSpec, precision: str, device: str) -> Backend:

        from seglib.adapters.hugging_face.forward import OneByOne, SemanticForward
        from seglib.adapters.module_backend import CallOptions, ModuleBackend

        model = self.load_module(spec).to(device)
        of_folder = self._folder(spec)
        with loading.quiet():
            own = processor.build_processor(folder.read_processor(of_folder), self.architecture.model_type)
            processor.check_settings(own, self.settings, spec.name)
            options = CallOptions(
                channels=self.settings.channels,
                scores=self.architecture.scores,
                are_sums=self.architecture.scores == "probabilities",
            )
            forward = SemanticForward(model, own, self.settings, self.task)
            backend = ModuleBackend(forward, spec, precision, device, options)
        if device == "cpu":
            return OneByOne(backend, self.notes)
        backend.notes = [*self.notes, *backend.notes]
        return backend

    def load_module(self, spec: ModelSpec) -> "nn.Module":
        """The model of transformers, in float32 and eval mode."""
        if _digest(self.files) != self.digest:
            raise WeightsError(f"The weights of {spec.name} have changed since they were found: find the model again.")
        return loading.load_model(self._folder(spec), self.architecture, self.files)

    def _folder(self, spec: ModelSpec) -> folder.ModelFolder:
        return folder.ModelFolder(self.path, spec.name, "")


def find(request: ModelRequest, target: str) -> ModelSpec:
    """The spec of `hf:` and a folder or ID. Reads its JSON files and hashes its weights; downloads only a new ID.

    Raises `UsageError` or `WeightsError`.
    """
    _ensure_installed()
    _refuse_options(request)
    found = folder.locate(target, allow_pickle=request.allow_pickle)
    with loading.quiet():
        config = folder.read_config(found)
        architecture = loading.find_architecture(found, config)
        own = processor.build_processor(folder.read_processor(found), architecture.model_type)
        settings = processor.read_settings(own)
        task = loading.task_tokens(found, config) if architecture.model_type == "oneformer" else ()
    files = folder.find_weights(found, allow_pickle=request.allow_pickle)
    names = class_names.read_class_names(found.name, config, request.classes)
    notes = [class_names.placeholder_note(found.name, names), _crop_note(found.name) if settings.crops else None]
    adapter = HuggingFaceAdapter(
        path=found.path,
        files=files,
        digest=_digest(files),
        config_sha256=_config_sha256(config),
        architecture=architecture,
        settings=settings,
        packages=("transformers", "timm") if loading.needs_timm(config) else ("transformers",),
        task=task,
        notes=tuple(note for note in notes if note is not None),
    )
    return ModelSpec(
        name=identity.model_name(found.name),
        weights=str(found.path),
        parameters=sum(weights_file.count_parameters(file, loading.is_for_training) for file in files),
        source="foreign",
        classes=names,
        resize=settings.grid,
        input_rule=settings.resize,
        mean=settings.mean,
        std=settings.std,
        adapter=adapter,
        request=replace(request, model=f"hf:{found.request}"),
    )


def _ensure_installed() -> None:
    """Raise `SegError` with install instructions if transformers is missing."""
    if find_spec("transformers") is None:
        raise SegError(
            "A model named by hf: needs transformers, which is not installed: "
            "pip install '.[hf]' in the project's folder."
        )


def _refuse_options(request: ModelRequest) -> None:
    given = [f"`{name}`" for name in _READ_FROM_FOLDER if getattr(request, name) is not None]
    if given:
        raise UsageError(
            f"A model named by hf: says in its own files how it is called: leave out {', '.join(given)}, or change its "
            f"{folder.PROCESSOR}."
        )


def _digest(files: Sequence[Path]) -> str:
    return identity.combine_sha256({file.name: weights_file.file_sha256(file) for file in files})


def _config_sha256(config: dict[str, Any]) -> str:
    plain = {key: value for key, value in config.items() if key not in _LABELS}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _crop_note(name: str) -> str:
    return f"The image processor of {name} would cut out the centre of each photo: the whole photo is used instead."
