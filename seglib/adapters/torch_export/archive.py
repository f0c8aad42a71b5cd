"""Read a file of torch.export, and refuse it if loading it might run code.

torch.export.load evaluates expressions and guards, may unpickle objects, and takes any function of torch for an
operator. `check_archive` lets through tensors and a graph of torch's own tensor operators, and nothing else.
"""

import ast
import io
import json
import keyword
import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seglib.errors import WeightsError


@dataclass(frozen=True)
class Archive:
    files: Mapping[str, bytes]
    """Content by path below the archive's own folder."""
    root: str
    program: dict[str, Any]

    @property
    def parameters(self) -> int:
        configs = [json.loads(data) for name, data in self.files.items() if name.endswith("_weights_config.json")]
        entries = [one for config in configs for one in config["config"].values() if one.get("is_param")]
        return sum(math.prod(size["as_int"] for size in one["tensor_meta"]["sizes"]) for one in entries)


def read_archive(path: Path) -> Archive:
    """The files of an archive of torch.export. Raises `WeightsError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if any(one.compress_type != zipfile.ZIP_STORED for one in entries):
                raise WeightsError(f"{path.name} is compressed, which torch never does.")
            if len({one.filename for one in entries}) != len(entries):
                raise WeightsError(f"{path.name} holds two files of one name.")
            root = entries[0].filename.partition("/")[0]
            files = {one.filename.partition("/")[2]: archive.read(one) for one in entries}
        if "models/model.json" not in files:
            raise WeightsError(f"{path.name} was saved by an old version of torch: export the model again.")
        return Archive(files, root, json.loads(files["models/model.json"]))
    except (OSError, zipfile.BadZipFile, ValueError, RecursionError, MemoryError):
        raise WeightsError(f"{path.name} is damaged: export the model again.") from None


_ALLOWED_FILES = re.compile(
    r"models/model\.json|data/(weights|constants)/(model_\w+_config\.json|(weight|tensor)_\d+)|"
    r"data/sample_inputs/model\.pt|archive_format|archive_version|byteorder|\.data/\w+|extra/.*"
)

_ALLOWED_OPERATORS = re.compile(
    r"torch\.ops\.(aten|prims)\.(?!from_file\b)\w+\.\w+|torch\.sym_\w+|math\.\w+|"
    r"_operator\.(getitem|add|sub|mul|neg|pow|mod|floordiv|truediv|eq|ne|lt|le|gt|ge|and_|or_|not_|xor)|"
    r"torch\.ops\.higher_order\.wrap_with_(set_grad_enabled|autocast)"
)

_ALLOWED_TREES = {"builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}

_FREE_TEXT = {"as_string", "torch_version"}
"""Fields that torch uses as they are, and never as code."""


def check_archive(archive: Archive, name: str) -> bytes:
    """An archive of the same content as a file, without notes on its origin. Raises `WeightsError` if it may run code.

    What torch then reads is what was checked, whatever else the file holds.
    """
    import torch

    def refuse(reason: str) -> WeightsError:
        return WeightsError(f"{name} may run code when it is loaded ({reason}): allow it with `run_code`.")

    for file, data in archive.files.items():
        if not _ALLOWED_FILES.fullmatch(file):
            raise refuse(f"it holds {file[:80]}")
        if file.endswith("_config.json") and any(one.get("use_pickle") for one in json.loads(data)["config"].values()):
            raise refuse("it holds pickled objects")
    try:
        torch.load(io.BytesIO(archive.files["data/sample_inputs/model.pt"]), weights_only=True)
    except Exception:
        raise refuse("its sample input is a pickled object") from None
    for node in list(_dicts(archive.program)):
        if "metadata" in node and "target" in node:
            node["metadata"] = {}
    for key, value in _texts(archive.program):
        if not _is_harmless(key, value):
            raise refuse(f"{key} {value[:80]!r}")
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as target:
        for file, data in archive.files.items():
            content = json.dumps(archive.program).encode() if file == "models/model.json" else data
            target.writestr(f"{archive.root}/{file}", content)
    return written.getvalue()


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _dicts(one)


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a JSON value, with the field that holds it; keys of objects too."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, key)
    elif isinstance(value, dict):
        for name, one in value.items():
            yield ("range" if key == "range_constraints" else "field"), name
            yield from _texts(one, name)


def _is_harmless(key: str, value: str) -> bool:
    if key in _FREE_TEXT:
        return True
    if key in ("target", "as_operator"):
        return _ALLOWED_OPERATORS.fullmatch(value) is not None
    if key in ("expr_str", "guards_code", "range"):
        return _is_arithmetic(value)
    if key in ("in_spec", "out_spec"):
        return _is_plain_tree(value)
    return re.fullmatch(r"[\w.]*", value, re.ASCII) is not None and not keyword.iskeyword(value)


_FUNCTIONS = (
    *("Symbol", "Integer", "Float", "Rational", "Mul", "Add", "Pow", "Max", "Min", "Abs", "Eq", "Ne", "Lt", "Le"),
    *("Gt", "Ge", "Equality", "Unequality", "GreaterThan", "LessThan", "StrictGreaterThan", "StrictLessThan", "And"),
    *("Or", "Not", "floor", "ceiling", "FloorDiv", "ModularIndexing", "Where", "PythonMod", "Mod", "CleanDiv"),
    *("CeilToInt", "FloorToInt", "CeilDiv", "LShift", "RShift", "PowByNatural", "FloatPow", "FloatTrueDiv"),
    *("IntTrueDiv", "TruncToFloat", "TruncToInt", "RoundToInt", "RoundDecimal", "ToFloat", "Identity"),
    *("max", "min", "abs"),
)

_ARITHMETIC = (
    *(ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.operator, ast.unaryop, ast.boolop),
    *(ast.cmpop, ast.keyword, ast.Load, ast.Subscript),
)


def _is_arithmetic(text: str) -> bool:
    """Whether an expression about sizes has nothing but numbers, sizes and known functions."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(_is_arithmetic_node(node) for node in ast.walk(tree))


def _is_arithmetic_node(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) or (isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS)
    if isinstance(node, ast.Attribute):
        if isinstance(node.value, ast.Name) and node.value.id in ("torch", "math"):
            return re.fullmatch(r"torch\.sym_\w+|math\.(floor|ceil|trunc|sqrt|pow)", ast.unparse(node)) is not None
        return node.attr in ("size", "stride", "storage_offset", "dim")
    if isinstance(node, ast.Name):
        return node.id in _FUNCTIONS or re.fullmatch(r"L|torch|math|[a-z]{1,3}\d+", node.id) is not None
    if isinstance(node, ast.Constant):
        return not isinstance(node.value, str | bytes) or re.fullmatch(r"[a-z_]\w*", str(node.value)) is not None
    return isinstance(node, _ARITHMETIC)


def _is_plain_tree(text: str) -> bool:
    """Whether a tree of inputs or outputs has plain containers alone."""
    if not text:
        return True
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        return False
    kinds = {value for node in _dicts(tree) for value in [node.get("type")]}
    return all(kind is None or kind in _ALLOWED_TREES for kind in kinds)
