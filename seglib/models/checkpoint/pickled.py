"""Read the structure of what `torch.save` pickled: dicts, and each tensor's dtype and shape. Nothing in it is called.

The pickle is interpreted here, opcode by opcode, with those that torch's own `weights_only` reader knows. A name of a
class or function stays a name; one that is not among `PLAIN_NAMES` ends the reading.
"""

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

_MOST_DIMENSIONS, _LONGEST_SIDE = 16, 1 << 40

_MOST_STEPS = 2_000_000
"""A tensor takes some 40 steps; each costs a microsecond or two, and may make a list."""

_LITERALS = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING")

_VALUES: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": list,
}
"""Opcode -> the value that it makes; tuples are lists here."""

_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}

_DICTS = ("collections.OrderedDict", "collections.Counter")

_TENSORS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3")

_PARAMETERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")

OTHER_TENSORS = {
    "torch._utils._rebuild_qtensor": "quantised tensors",
    "torch._utils._rebuild_sparse_tensor": "sparse tensors",
    "torch._utils._rebuild_meta_tensor_no_storage": "tensors of the device meta, without values",
    "torch._utils._rebuild_nested_tensor": "nested tensors",
}
"""Functions that make tensors of other layouts -> what to call them."""

_STORAGE_DTYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}

INERT_NAMES = (
    "argparse.Namespace",
    *(f"{module}.{system}Path" for module in ("pathlib", "pathlib._local") for system in ("Posix", "Windows")),
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    "numpy.dtype",
    "numpy.ndarray",
)
"""Plain data that training scripts keep beside the weights; read as nothing."""

DICT_NAMES = tuple(f"{module}.utilities.data.AttributeDict" for module in ("lightning.fabric", "lightning_fabric"))
"""Subclasses of dict that Lightning keeps beside the weights."""

PLAIN_NAMES = frozenset(
    (*_DICTS, *_TENSORS, *_PARAMETERS, *INERT_NAMES, *DICT_NAMES, "torch.Size", "torch.device", "_codecs.encode")
)


@dataclass(frozen=True)
class TensorInfo:
    dtype: str
    """As torch calls it: `float32`, `bfloat16`, `int64`."""
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.shape) > _MOST_DIMENSIONS or not all(0 <= side < _LONGEST_SIDE for side in self.shape):
            raise ValueError("a tensor has an impossible shape")

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)


class ForeignObject(ValueError):
    """The pickle names a class or function that is no plain data; `name` says which."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def read_pickle(file: IO[bytes]) -> object:
    """The pickled value: dicts, lists (also for tuples), numbers, texts and `TensorInfo`; None for other plain data.

    Reads up to the pickle's end. Raises `ForeignObject`, or `ValueError` and others for a damaged pickle.
    """
    reader = _Reader()
    for step, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if step > _MOST_STEPS:
            raise ValueError("its structure has no end")
        reader.apply(opcode.name, argument)
    (value,) = reader.stack
    return value


@dataclass(frozen=True)
class _Name:
    """A class or function of Python, by name."""

    text: str


@dataclass(frozen=True)
class _Storage:
    dtype: str
    numbers: int


class _Reader:
    """The pickle machine: a stack of values, the stacks under each mark, and the values that were numbered."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def apply(self, opcode: str, argument: Any) -> None:
        """Take one step. Raises `ForeignObject`, `ValueError`, `TypeError`, `IndexError` or `KeyError`."""
        if opcode in _LITERALS:
            self.stack.append(argument)
        elif opcode in _VALUES:
            self.stack.append(_VALUES[opcode]())
        elif opcode in _TUPLES:
            count = _TUPLES[opcode]
            self.stack[-count:] = [self.stack[-count:]]
        elif opcode in ("BINGET", "LONG_BINGET"):
            self.stack.append(self._memo[argument])
        elif opcode in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = self.stack[-1]
        elif opcode == "MARK":
            self._below.append(self.stack)
            self.stack = []
        elif opcode in ("TUPLE", "APPENDS", "SETITEMS"):
            items, self.stack = self.stack, self._below.pop()
            self._collect(opcode, items)
        elif opcode == "GLOBAL":
            self.stack.append(_name(argument))
        else:
            self._take(opcode)

    def _take(self, opcode: str) -> None:
        """A step that uses what is on top of the stack."""
        stack = self.stack
        if opcode == "APPEND":
            self._collect("APPENDS", [stack.pop()])
        elif opcode == "SETITEM":
            value, key = stack.pop(), stack.pop()
            self._collect("SETITEMS", [key, value])
        elif opcode in ("REDUCE", "NEWOBJ"):
            arguments, function = stack.pop(), stack.pop()
            stack.append(_call(function, arguments))
        elif opcode == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif opcode == "BUILD":
            stack.pop()  # attributes of a dict or of inert data
        elif opcode not in ("PROTO", "STOP"):
            raise ValueError(f"it has the opcode {opcode}, which torch.save never writes")

    def _collect(self, opcode: str, items: list[Any]) -> None:
        """Make a tuple, or add to the list or dict on top of the stack."""
        if opcode == "TUPLE":
            self.stack.append(items)
            return
        target = self.stack[-1]
        if opcode == "APPENDS" and isinstance(target, list):
            target += items
        elif opcode == "SETITEMS" and isinstance(target, dict):
            target.update(_pairs(items[::2], items[1::2]))
        else:
            raise ValueError(f"it adds to a {type(target).__name__}")


def _pairs(keys: list[Any], values: list[Any]) -> dict[Any, Any]:
    if not all(isinstance(key, str | int | float | bytes | None) for key in keys):
        raise ValueError("a dict's keys are neither names nor numbers")
    return dict(zip(keys, values, strict=True))


def _name(argument: str) -> _Name:
    """`module name`, as pickletools joins them. Raises `ForeignObject`."""
    text = argument.replace(" ", ".")
    is_torch_value = text.startswith("torch.") and text.count(".") == 1 and text.removeprefix("torch.").isalnum()
    is_storage = text.startswith(("torch.", "torch.storage.")) and text.endswith("Storage")
    is_dtype = is_torch_value or text.removeprefix("torch.").startswith(("float8_", "float4_"))
    if text not in PLAIN_NAMES and not is_storage and not is_dtype:
        raise ForeignObject(text)
    return _Name(text)


def _call(function: Any, arguments: Any) -> Any:
    """What a call of the pickle would give, told from its name."""
    if not isinstance(function, _Name) or not isinstance(arguments, list):
        raise TypeError("it calls what is no function")
    name = function.text
    if name in _TENSORS:
        return _tensor(arguments)
    if name in _PARAMETERS:
        return arguments[0]
    if name in _DICTS and arguments and isinstance(arguments[0], list):  # pairs, as Python 2 wrote them
        return _pairs([key for key, _ in arguments[0]], [value for _, value in arguments[0]])
    if name in _DICTS and arguments:
        return dict(arguments[0])
    if name in (*_DICTS, *DICT_NAMES):
        return {}
    if name == "_codecs.encode" and arguments[1:] != ["latin1"]:
        raise ForeignObject(name)
    if name not in PLAIN_NAMES:
        raise ForeignObject(name)
    return None


def _storage(identity: Any) -> _Storage:
    """("storage", type, key, location, count), and a view where torch is old, -> what is needed of it."""
    kind, storage, _, _, numbers = identity[:5]
    if kind != "storage" or not isinstance(storage, _Name) or not isinstance(numbers, int):
        raise ValueError("it refers to something other than a tensor's storage")
    return _Storage(_STORAGE_DTYPES.get(storage.text.rpartition(".")[2], "bytes"), numbers)


def _tensor(arguments: list[Any]) -> TensorInfo:
    """(storage, offset, shape, strides, ...) -> the tensor's dtype and shape. Raises `ValueError` if it has no data."""
    storage, offset, shape, strides = arguments[:4]
    sizes = (offset, *shape, *strides)
    if not isinstance(storage, _Storage) or not all(isinstance(one, int) and one >= 0 for one in sizes):
        raise ValueError("a tensor has no storage or shape")
    dtype = next((one.text for one in arguments if isinstance(one, _Name)), f"torch.{storage.dtype}")
    info = TensorInfo(dtype.removeprefix("torch."), tuple(shape))
    if info.numbers > storage.numbers:
        raise ValueError(f"a tensor of shape {info.shape} has the data of {storage.numbers} numbers")
    return info
