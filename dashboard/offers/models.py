"""The models that visitors may run: built-in ones, installed plug-ins, those of `--models`, and those of earlier runs.

Each `ModelOffer` has an id that does not reveal its path. Pages show the title and jobs store the id; workers resolve
the id to a `ModelRequest` here. Own code is only offered where the operator has named it with `--models`, whatever a
run of the store says. Nothing is loaded: files are known by their names and first bytes.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dashboard.settings import ServerSettings
from seglib.adapters import lookup
from seglib.data.scan import STORE_MARKER
from seglib.errors import SegError, UsageError
from seglib.models import registry
from seglib.models.adapter import ModelRequest
from seglib.models.registry import MODELS
from seglib.store.records import Run
from seglib.store.store import Store

_KINDS = {".safetensors": "checkpoint", ".pth": "checkpoint", ".pt": "checkpoint", ".ckpt": "checkpoint"} | {
    ".onnx": "ONNX",
    ".xml": "OpenVINO",
    ".pt2": "torch.export",
    ".ts": "TorchScript",
}
"""Suffix -> kind of model."""

RUN_PREFIX = "run:"

_MAX_DEPTH = 3
_MAX_ENTRIES = 20_000
"""Files listed below a `--models` folder."""
_MAX_JSON_BYTES = 1_000_000
_PEEKED_BYTES = 2048

Requests = Mapping[str, ModelRequest]
"""Identity of a model -> how its last run named it."""

_SIDECAR_FIELDS = ("classes", "mean", "std", "channels", "output", "scores", "input")

_HOLDS_CODE = "It holds code, which runs only if the file itself is named with --models."


@dataclass(frozen=True, kw_only=True)
class ModelOffer:
    id: str
    """A built-in model's name, `plugin:NAME`, `run:RUN`, or `offered:` and 8 hex digits of the model's path."""
    title: str
    request: ModelRequest
    problem: str = ""
    """Why it cannot be used; empty if nothing is known against it."""
    sidecar: str = ""
    """Name of the JSON file that may say what the model does not."""

    @property
    def built_in(self) -> bool:
        return self.id in MODELS

    def made(self, run: Run) -> bool:
        """Return whether this model made the run, as far as its record says."""
        if self.built_in:
            return run.model == self.id and run.request in ({}, self.request.to_record())
        return run.request == self.request.to_record()


def find_models(settings: ServerSettings) -> list[ModelOffer]:
    """Return every offered model once: built-in ones, plug-ins, those of `--models`, then those of earlier runs."""
    runs = [run for run in _runs(settings) if run.request]
    used = {_identity(_request_of(run)): _request_of(run) for run in runs}  # the newest run of a model counts
    offers = [_built_in(name) for name in MODELS]
    for name in lookup.plugin_names():
        offers.append(ModelOffer(id=f"plugin:{name}", title=f"{name} (plug-in)", request=ModelRequest(model=name)))
    for text in settings.models:
        offers += _find_in_folder(Path(text), used) if Path(text).is_dir() else [_named_model(text, used)]
    known = [offer.request for offer in offers]
    for run in reversed(runs):
        request = _request_of(run)
        if request not in known and (request.weights or request.model not in MODELS):
            known.append(request)
            title = f"{run.display_title} (of an earlier run)"
            offers.append(_checked(settings, ModelOffer(id=f"{RUN_PREFIX}{run.run}", title=title, request=request)))
    return _with_unique_titles(list({offer.id: offer for offer in offers}.values()))


def get_model(settings: ServerSettings, model_id: str) -> ModelOffer:
    """Return the offered model with this id. Raises `UsageError` if there is none, or if it cannot be used."""
    if model_id in MODELS:
        return _built_in(model_id)
    if model_id.startswith(RUN_PREFIX):  # also one whose model is offered by another id
        offer = _model_of_run(settings, model_id)
    else:
        offer = next((offer for offer in find_models(settings) if offer.id == model_id), None)
    if offer is None:
        raise UsageError("This model is not, or no longer, among those that the dashboard offers (--models).")
    if offer.problem:
        raise UsageError(f"{offer.title} cannot be used: {offer.problem}")
    return offer


def check_run(settings: ServerSettings, run: Run) -> None:
    """Raise `UsageError` if the model of this run is own code that the operator has not named."""
    if run.request:
        problem = _code_problem(settings, _request_of(run))
        if problem:
            raise UsageError(f"The model of {run.run} cannot be used here: {problem}")


def resolve_model(text: str) -> str:
    """Return an argument of `--models` with an absolute path. Raises `UsageError` if it names nothing that exists."""
    prefix, _, rest = text.partition(":")
    path, _, factory = text.rpartition(":")
    if Path(text).exists():
        return str(Path(text).resolve())
    if prefix in ("hf", "smp") and rest:
        return f"{prefix}:{Path(rest).resolve()}" if Path(rest).is_dir() else text
    if path.endswith(".py") and Path(path).is_file():
        return f"{Path(path).resolve()}:{factory}"
    is_module = not path.endswith(".py") and re.fullmatch(r"\w+(\.\w+)*:\w+", text)
    if is_module or text in (*MODELS, *lookup.plugin_names()):
        return text
    raise UsageError(f"{text!r} is neither a folder nor a model: name a folder of models with --models.")


def fingerprint(offer: ModelOffer) -> str:
    """Changes with the model's files, as far as their sizes and times tell."""
    place = Path(re.sub(r"^(hf|smp):|(?<=\.py):\w+$", "", _identity(offer.request)))
    try:
        files = sorted(place.iterdir()) if place.is_dir() else [place, *place.parent.glob(f"{place.stem}.*")]
        return str([(file.name, (found := file.stat()).st_size, found.st_mtime_ns) for file in files])
    except OSError:
        return ""


# --- where models come from ----------------------------------------------------------------------------------------


def _runs(settings: ServerSettings) -> list[Run]:
    return Store(settings.store).runs() if (settings.store / STORE_MARKER).is_file() else []


def _built_in(name: str) -> ModelOffer:
    return ModelOffer(id=name, title=name, request=ModelRequest(model=name))


def _request_of(run: Run) -> ModelRequest:
    try:
        return ModelRequest.from_record(run.request)
    except TypeError:  # of a newer version; no model has this name
        return ModelRequest(model=f"of {run.run}")


def _model_of_run(settings: ServerSettings, model_id: str) -> ModelOffer | None:
    for run in _runs(settings):
        if model_id == f"{RUN_PREFIX}{run.run}" and run.request:
            offer = ModelOffer(id=model_id, title=run.display_title, request=_request_of(run))
            return _checked(settings, offer)
    return None


def _checked(settings: ServerSettings, offer: ModelOffer) -> ModelOffer:
    return replace(offer, problem=_code_problem(settings, offer.request))


def _code_problem(settings: ServerSettings, request: ModelRequest) -> str:
    """Why the request's own code may not run; empty if it has none, or if the operator has named it."""
    if not lookup.runs_code(request):
        return ""
    if _identity(request) in {_identity(ModelRequest(model=text)) for text in settings.models}:
        return ""
    if request.allow_pickle:
        return "its weights are in a pickle file, which only the command line reads."
    return "it is own code, which a page runs only if the dashboard was started with --models and its name."


def _identity(request: ModelRequest) -> str:
    """The same for two requests of one model, whatever else they say of it."""
    if request.weights:
        return os.path.realpath(request.weights)
    name = request.model or ""
    prefix, _, rest = name.partition(":")
    if prefix in ("hf", "smp"):
        return f"{prefix}:{os.path.realpath(rest)}" if os.path.exists(rest) else name
    place, _, factory = name.rpartition(":")
    if place.endswith(".py"):
        return f"{os.path.realpath(place)}:{factory}"
    return os.path.realpath(name) if os.path.exists(name) else name


def _named_model(text: str, used: Requests) -> ModelOffer:
    """A model that the operator has named itself; the only kind of offer that may run code."""
    path = Path(text)
    if path.is_file():
        return _file_offer(path, path.name, used, named=True)
    base = ModelRequest(model=text)
    place, _, factory = text.rpartition(":")
    title = f"{Path(place).name}:{factory} (own code)" if lookup.runs_code(base) else f"{Path(text).name} (model)"
    return ModelOffer(id=_id(text), title=title, request=used.get(_identity(base), base))


def _find_in_folder(root: Path, used: Requests) -> Iterator[ModelOffer]:
    """Yield the models in a folder and its subfolders; hidden ones and stores are left out."""
    entry_count = 0
    for place, inside, names in os.walk(root):
        folder = Path(place)
        below = folder.relative_to(root)
        entry_count += len(names)
        if STORE_MARKER in names or entry_count > _MAX_ENTRIES:
            inside.clear()
            continue
        title = (Path(root.name) / below).as_posix()
        kind = _folder_kind(folder) if "config.json" in names else None
        if kind is not None:
            inside.clear()
            yield _folder_offer(folder, title, kind, used)
            continue
        inside[:] = sorted(name for name in inside if not name.startswith(".")) if len(below.parts) < _MAX_DEPTH else []
        for name in sorted(names):
            if not name.startswith(".") and _is_model_file(folder / name):
                yield _file_offer(folder / name, f"{title}/{name}", used)


def _folder_kind(folder: Path) -> str | None:
    """`hf` or `smp`; None if the folder's config.json is of neither."""
    config = _read_json(folder / "config.json")
    if "architectures" in config:
        return "hf"
    return "smp" if "_model_class" in config or "encoder_name" in config else None


def _folder_offer(folder: Path, title: str, kind: str, used: Requests) -> ModelOffer:
    base = ModelRequest(model=f"{kind}:{folder.resolve()}")
    names = {"hf": "Hugging Face", "smp": "segmentation_models_pytorch"}
    offer = ModelOffer(id=_id(folder), title=f"{title} ({names[kind]})", request=base)
    return _with_sidecar(offer, folder.with_name(f"{folder.name}.json"), used)


def _is_model_file(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix not in _KINDS or not path.is_file():
        return False
    if suffix != ".xml":
        return True
    try:
        with path.open("rb") as file:
            return b"<net" in file.read(_PEEKED_BYTES)  # annotations are XML too
    except OSError:
        return False


def _file_offer(path: Path, title: str, used: Requests, *, named: bool = False) -> ModelOffer:
    kind, resolved = _KINDS.get(path.suffix.lower(), "model"), str(path.resolve())
    base = ModelRequest(weights=resolved) if kind == "checkpoint" else ModelRequest(model=resolved)
    offer = ModelOffer(id=_id(path), title=f"{title} ({kind})", request=base)
    if kind == "TorchScript":
        offer = replace(offer, request=replace(base, run_code=True)) if named else replace(offer, problem=_HOLDS_CODE)
    return _with_sidecar(offer, path.with_suffix(".json"), used)


def _with_sidecar(offer: ModelOffer, file: Path, used: Requests) -> ModelOffer:
    """Add what the JSON file beside the model says of it, or else what the last run of the model said."""
    offer = replace(offer, sidecar=file.name)
    if not file.is_file():
        earlier = used.get(_identity(offer.request), offer.request)
        may_use = lookup.runs_code(offer.request) or not lookup.runs_code(earlier)
        return replace(offer, request=earlier) if may_use else offer
    try:
        return replace(offer, request=_read_sidecar(offer.request, file))
    except SegError as error:
        return replace(offer, problem=str(error))


def _read_sidecar(request: ModelRequest, file: Path) -> ModelRequest:
    """Raises `UsageError` if the file is not a JSON object with known fields."""
    values = _read_json(file)
    allowed = (*_SIDECAR_FIELDS, *(("model",) if request.weights else ()))
    wrong = [str(name) for name in values if name not in allowed]
    if not values or wrong:
        found = f"holds {', '.join(map(repr, wrong[:3]))}" if wrong else "is not such an object"
        raise UsageError(
            f"{file.name} says how to read the model, as a JSON object with {', '.join(allowed)}: it {found}."
        )
    if values.get("model") not in (None, *registry.trainable_names()):
        raise UsageError(f"{file.name} names the model {str(values['model'])[:60]!r}, which is not built in.")
    typed = {name: _typed(name, value, file) for name, value in values.items()}
    request = replace(request, **typed)
    lookup.check_request(request)
    return request


def _typed(name: str, value: Any, file: Path) -> Any:
    if name in ("mean", "std"):
        fits = isinstance(value, list) and len(value) == 3 and all(type(one) in (int, float) for one in value)
        what = "three numbers"
    elif name == "classes":
        fits, what = isinstance(value, list) and all(isinstance(one, str) for one in value), "a list of names"
    else:
        fits, what = isinstance(value, str), "a text"
    if not fits:
        raise UsageError(f"{file.name}: {name} is {what}, not {str(value)[:60]!r}.")
    return tuple(float(one) if name != "classes" else one for one in value) if isinstance(value, list) else value


def _read_json(file: Path) -> dict[str, Any]:
    """The file's JSON object; empty if it holds none."""
    try:
        with file.open("rb") as opened:
            value = json.loads(opened.read(_MAX_JSON_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _id(path: Path | str) -> str:
    name = os.fsencode(path.resolve() if isinstance(path, Path) else path)
    return f"offered:{hashlib.sha256(name).hexdigest()[:8]}"


def _with_unique_titles(offers: Sequence[ModelOffer]) -> list[ModelOffer]:
    titles = [offer.title for offer in offers]
    return [
        replace(offer, title=f"{offer.title} {offer.id.rpartition(':')[2]}") if titles.count(offer.title) > 1 else offer
        for offer in offers
    ]
