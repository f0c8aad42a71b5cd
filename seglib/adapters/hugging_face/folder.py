"""A folder of transformers: where it lies, what its JSON files say, and which weights it holds. Nothing is executed.

A folder that asks for anything else than transformers' own code and the weights beside it is refused: code of its own
(`auto_map`), quantised weights, adapters, weights in other folders.
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seglib.errors import UsageError, WeightsError
from seglib.models import weights_file

CONFIG, PROCESSOR, NESTED_PROCESSOR = "config.json", "preprocessor_config.json", "processor_config.json"

_SAFETENSORS, _PICKLE = "model.safetensors", "pytorch_model.bin"

_MAX_JSON_BYTES = 20_000_000

_ID = r"([\w.-]+/[\w.-]+)(?:@([\w.-]+))?"

_REFUSED = {
    "auto_map": "names code of its own, which is never run: only models of transformers itself can be used",
    "custom_pipelines": "names code of its own, which is never run: only models of transformers itself can be used",
    "quantization_config": "says that its weights are quantised: save the model in float32 or bfloat16",
}

_IGNORED = (
    *("attn_implementation", "_attn_implementation", "_attn_implementation_internal", "_attn_implementation_autoset"),
    *("experts_implementation", "transformers_weights", "fusion_config", "distributed_config"),
    *("_name_or_path", "transformers_version", "dtype", "torch_dtype", "use_pretrained_backbone"),
)
"""Keys of config.json that choose kernels, other files or number formats, or only say where the model comes from."""


@dataclass(frozen=True)
class ModelFolder:
    path: Path
    """Absolute."""
    name: str
    """What the model is called: the folder's name, or the ID."""
    request: str
    """What finds it again after `hf:`: the path, or ID@COMMIT."""


def locate(target: str, *, allow_pickle: bool = False) -> ModelFolder:
    """The folder of a path, or of an ID (`organisation/model`) in the cache of huggingface_hub.

    A model that is in neither is downloaded; ID@REVISION is only looked up. Raises `UsageError`.
    """
    path = Path(os.path.expanduser(target))
    if path.is_dir():
        path = Path(os.path.abspath(path))
        return ModelFolder(path, _folder_name(path), str(path))
    if path.exists():
        raise UsageError(f"{target!r} is a file: name the folder that holds its {CONFIG}.")
    match = re.fullmatch(_ID, target, re.ASCII)
    if match is None or ".." in target:
        raise UsageError(f"There is no folder {target!r}: expected one that save_pretrained wrote, or an ID.")
    repository, revision = match[1], match[2]
    path = _find_in_cache(repository, revision) or _download(repository, revision, allow_pickle)
    return ModelFolder(path, repository, f"{repository}@{path.name}")


def _folder_name(path: Path) -> str:
    """A folder's own name; of one inside the cache (`models--org--model/snapshots/COMMIT`), the model's."""
    if path.parent.name == "snapshots":
        return path.parents[1].name.removeprefix("models--").replace("--", "-")
    return path.name


def _find_in_cache(repository: str, revision: str | None) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        path = Path(snapshot_download(repository, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    has_weights = any(one.suffix in (".safetensors", ".bin") for one in path.iterdir())
    return path if has_weights and (path / CONFIG).is_file() else None


def _download(repository: str, revision: str | None, allow_pickle: bool) -> Path:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import snapshot_download

    if revision is not None:
        raise UsageError(
            f"{repository!r} is not on this machine in the version {revision[:12]}: fetch that "
            "revision with Hugging Face's own tool, or leave out the version to download the newest."
        )
    patterns = ["*.json", "*.txt", "*.safetensors", *(["pytorch_model*.bin"] if allow_pickle else [])]
    try:
        return Path(snapshot_download(repository, allow_patterns=patterns))
    except Exception as error:  # a missing network, a missing model and a refusal each raise their own types
        raise UsageError(
            f"There is no folder {repository!r}, and the model of this ID is neither on this machine nor could it be "
            f"downloaded ({weights_file.first_line(error)}): check the name, or fetch it elsewhere and name its folder."
        ) from None


def read_config(folder: ModelFolder) -> dict[str, Any]:
    """The content of config.json, without what only chooses kernels, formats or other files.

    Raises `WeightsError` if it is no model's, or asks for code or files that are not beside it.
    """
    if (folder.path / "adapter_config.json").exists():
        raise WeightsError(f"{folder.name} is an adapter for another model: merge the two, and save the whole model.")
    config = _read_json(folder, CONFIG)
    if config is None:
        raise WeightsError(f"{folder.name} has no {CONFIG}: expected a folder that save_pretrained of a model wrote.")
    for name in (PROCESSOR, NESTED_PROCESSOR, "tokenizer_config.json"):
        _read_json(folder, name)  # refuses code of its own
    kept: dict[str, Any] = _without_ignored(config)
    return kept


def read_processor(folder: ModelFolder) -> dict[str, Any]:
    """The settings of the image processor. Raises `WeightsError`."""
    nested = (_read_json(folder, NESTED_PROCESSOR) or {}).get("image_processor")
    settings = nested if isinstance(nested, dict) else _read_json(folder, PROCESSOR)
    if settings is None:
        raise WeightsError(
            f"{folder.name} has no {PROCESSOR}, which says how photos are resized and normalised: save the image "
            "processor that the model was trained with into the folder, by its save_pretrained."
        )
    return settings


def find_weights(folder: ModelFolder, *, allow_pickle: bool) -> tuple[Path, ...]:
    """The files that hold the weights. Raises `WeightsError` if there are none, or `UsageError` if they are pickles."""
    for name in (_SAFETENSORS, *((_PICKLE,) if allow_pickle else ())):
        if (folder.path / name).is_file():
            return (folder.path / name,)
        if (folder.path / f"{name}.index.json").is_file():
            return _find_shards(folder, f"{name}.index.json", Path(name).suffix)
    if (folder.path / _PICKLE).is_file() or (folder.path / f"{_PICKLE}.index.json").is_file():
        raise UsageError(
            f"{folder.name} holds its weights as pickle ({_PICKLE}), not as safetensors: add `allow_pickle` if you "
            "trust where it comes from (tensors are read and nothing else), or save it again as safetensors."
        )
    others = sorted(file.name for file in folder.path.glob("*.*") if file.suffix not in (".json", ".txt", ".md"))
    found = f"it holds {', '.join(others[:5])}" if others else "it holds no other files"
    hint = "" if allow_pickle or "@" not in folder.request else ": if it has pickles only, add `allow_pickle`"
    raise WeightsError(f"{folder.name} has no {_SAFETENSORS} ({found}){hint}.")


def _find_shards(folder: ModelFolder, index: str, suffix: str) -> tuple[Path, ...]:
    """The files that an index names. Raises `WeightsError` if one is missing or not beside the index."""
    names = (_read_json(folder, index) or {}).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise WeightsError(f"{folder.name}/{index} names no files of weights: the folder is damaged.")
    for name in sorted(set(names.values())):
        if Path(name).name != name or Path(name).suffix != suffix or "\\" in name:
            raise WeightsError(f"{folder.name}/{index} names {name!r}, which is no {suffix} file beside it.")
        if not (folder.path / name).is_file():
            raise WeightsError(f"{folder.name}/{index} names {name!r}, which is missing: the download was incomplete.")
    return tuple(folder.path / name for name in sorted(set(names.values())))


def _read_json(folder: ModelFolder, name: str) -> dict[str, Any] | None:
    """The content of a JSON file; None if there is none. Raises `WeightsError`."""
    path = folder.path / name
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise WeightsError(
                f"{folder.name}/{name} is larger than {_MAX_JSON_BYTES:,} bytes: it is no settings file."
            )
        value = json.loads(path.read_bytes())
        refused = _find_refused(value)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WeightsError(f"{folder.name}/{name} cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError):
        raise WeightsError(f"{folder.name}/{name} is not JSON, or it is damaged.") from None
    if not isinstance(value, dict):
        raise WeightsError(f"{folder.name}/{name} is not a JSON object: it is damaged.")
    if refused is not None:
        raise WeightsError(f"{folder.name}/{name} {refused}.")
    return value


def _find_refused(value: Any) -> str | None:
    """Why settings are refused, however deep in them the reason is; None if they are not."""
    if isinstance(value, dict):
        for key, reason in _REFUSED.items():
            if value.get(key):
                return f"{reason} ({key})"
        backbone = value.get("backbone")
        if isinstance(backbone, str) and re.search(r"[/:\\]", backbone):
            return f"takes its backbone from {backbone[:80]!r}, which is not in the folder: save the whole model"
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((found for part in parts if (found := _find_refused(part))), None)


def _without_ignored(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_ignored(one) for key, one in value.items() if key not in _IGNORED}
    return [_without_ignored(one) for one in value] if isinstance(value, list) else value
