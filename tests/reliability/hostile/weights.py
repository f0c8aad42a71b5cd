"""Hostile checkpoints: each is refused in one sentence, and nothing that it holds runs.

In: files made here, from a seed. The command is real, in this process; a canary is a file that no test makes.
"""

import contextlib
import io
import json
import os
import pickle
import random
import shutil
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file, save

from seglib.cli import main
from seglib.errors import SegError
from seglib.models import loading, registry
from tests.reliability.harness.ledger import Campaign, CampaignResult

EMBEDDED = registry.MODELS[registry.DEFAULT_MODEL].path
MOST_MEGABYTES = 400
"""That refusing one file may take beside what the process holds anyway."""


def by_hand(tries: int, _seed: int, folder: Path) -> CampaignResult:
    """`seglib run --weights` with each of them."""
    (folder / "photos").mkdir()
    Image.new("RGB", (40, 40)).save(folder / "photos" / "a.png")
    canary = folder / "canary"
    files = list(_write_hostile_files(folder / "weights", canary).items())[:tries]
    before = _held_megabytes()
    for name, options in files:
        code, said = _ran(folder, "--weights", str(folder / "weights" / name), *options)
        assert code in (1, 2), f"{name}: exit code {code}: {said}"
        _assert_one_sentence(name, said)
        assert not canary.exists(), f"{name} ran its code"
        assert not list((folder / "store").glob("runs/*")), f"{name} left a run behind"
    grown = max(0, _held_megabytes() - before)
    assert grown < MOST_MEGABYTES, f"{grown} MB"
    pickled = sum("pickle" in name for name, _ in files)
    return CampaignResult(
        len(files),
        f"{len(files)} refused with one sentence, exit code 1 or 2, no run left behind; {pickled} held code, "
        f"none of which ran; at most {grown} MB more memory",
    )


def mutated(tries: int, seed: int, folder: Path) -> CampaignResult:
    """The embedded checkpoint after bits were flipped and bytes cut, as safetensors and as .pth."""
    chance = random.Random(seed)
    state = load_file(EMBEDDED)
    torch.save(state, folder / "sound.pth")
    sound = {".safetensors": EMBEDDED.read_bytes(), ".pth": (folder / "sound.pth").read_bytes()}
    refused = loaded = 0
    for number in range(tries):
        suffix = chance.choice(list(sound))
        path = folder / f"{number}{suffix}"
        path.write_bytes(_harmed(sound[suffix], chance))
        try:
            net = loading.load(registry.find_model_spec(registry.DEFAULT_MODEL, path))
        except SegError as error:
            _assert_one_sentence(path.name, f"seglib: {error}\n")
            refused += 1
        else:
            assert all(bool(one.isfinite().all()) for one in net.state_dict().values())
            loaded += 1
        path.unlink()
    return CampaignResult(
        tries, f"{refused} refused with one sentence; {loaded} whose header still fits were loaded, all values finite"
    )


def tampered(tries: int, _seed: int, folder: Path) -> CampaignResult:
    """Torch's cache of downloads holds another file under a published name."""
    canary = folder / "canary"
    (folder / "photos").mkdir()
    Image.new("RGB", (40, 40)).save(folder / "photos" / "a.png")
    published = [spec for spec in registry.MODELS.values() if spec.source == "torchvision"]
    cache = folder / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    with _environment(TORCH_HOME=str(folder / "torch")):
        for number in range(tries):
            spec = published[number % len(published)]
            (cache / spec.weights).write_bytes(pickle.dumps(_Payload(canary)))
            code, said = _ran(folder, "--model", spec.name, *(["--source", "hub"] if number >= len(published) else []))
            assert code == 1, said
            _assert_one_sentence(spec.name, said)
            assert "is not the published file" in said
            assert not canary.exists()
    return CampaignResult(tries, f"{tries} refused before being opened, as not the published file")


class _Payload:
    """Pickled, it is code that makes the canary."""

    def __init__(self, canary: Path, how: int = 0) -> None:
        self._canary, self._how = canary, how

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        call, touch = f"open({str(self._canary)!r}, 'w')", f"touch {self._canary}"
        return (
            (os.system, (touch,)),
            (eval, (call,)),
            (exec, (call,)),
            (Path.touch, (self._canary,)),
        )[self._how]


def _write_hostile_files(folder: Path, canary: Path) -> dict[str, tuple[str, ...]]:
    """File name -> options of the command that go with it."""
    folder.mkdir()
    state = load_file(EMBEDDED)
    with_model = ("--model", registry.DEFAULT_MODEL)
    made: dict[str, tuple[str, ...]] = {}

    def keep(name: str, data: bytes, *options: str) -> None:
        (folder / name).write_bytes(data)
        made[name] = options

    for how in range(4):
        payload = pickle.dumps(_Payload(canary, how))
        keep(f"pickle_{how}.pth", payload, *with_model)
        keep(f"pickle_zip_{how}.pth", _as_torch_zip(payload), *with_model)
        keep(f"pickle_beside_tensors_{how}.pth", _saved({**state, "more": _Payload(canary, how)}), *with_model)
        keep(f"pickle_{how}.safetensors", payload)
    keep("net.pth", _saved(torch.nn.Conv2d(3, 3, 1)), *with_model)
    keep("compressed.pth", _as_torch_zip(pickle.dumps({}), bomb=200_000_000), *with_model)
    keep("expanded.pth", _saved({"classifier.weight": torch.zeros(1).expand(10**11)}), *with_model)
    keep("sparse.pth", _saved({name: value.float().to_sparse() for name, value in state.items()}), *with_model)
    keep("numbers.pth", _saved(dict(enumerate(state.values()))), *with_model)
    keep("list.pth", _saved(list(state.values())), *with_model)
    keep("nothing.pth", _saved({}), *with_model)
    keep("complex.pth", _saved({name: value.to(torch.complex64) for name, value in state.items()}), *with_model)
    keep("whole_numbers.pth", _saved({name: value.to(torch.int8) for name, value in state.items()}), *with_model)
    keep("empty.pth", b"", *with_model)
    keep("other_net.pth", _saved(state), "--model", "segnet")
    keep("no_model.pth", _saved(state))
    first = next(name for name, value in state.items() if value.is_floating_point())
    for value in ("nan", "inf", "-inf"):
        harmed = {**state, first: state[first].clone().fill_(float(value))}
        keep(f"{value}.safetensors", save(harmed, {"architecture": registry.DEFAULT_MODEL}))
        keep(f"{value}.pth", _saved(harmed), *with_model)
    for name, about in _metadata().items():
        keep(f"about_{name}.safetensors", save(state, {"architecture": registry.DEFAULT_MODEL, **about}))
    sound = EMBEDDED.read_bytes()
    for share in (0, 1, 7, 8, 9, 100, len(sound) // 2, len(sound) - 1):
        keep(f"cut_{share}.safetensors", sound[:share], *with_model)
    header = sound[8:]
    for length in (0, 1, 2**32, 2**63, 2**64 - 1):
        keep(f"header_of_{length}.safetensors", struct.pack("<Q", length) + header, *with_model)
    keep("nested.safetensors", _headed(b"[" * 200_000))
    keep("long.safetensors", _headed(b'{"__metadata__": {"architecture": "' + b"x" * 20_000_000 + b'"}}'))
    keep("a_list.safetensors", _headed(b"[1, 2]"), *with_model)
    keep(
        "past_the_end.safetensors",
        _headed(b'{"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}'),
        *with_model,
    )
    (folder / "folder.pth").mkdir()
    (folder / "loop.pth").symlink_to("loop.pth")
    made |= {"folder.pth": with_model, "loop.pth": with_model, "gone.pth": with_model}
    return made


def _metadata() -> dict[str, dict[str, str]]:
    return {
        "another_net": {"architecture": "unet_resnet34"},
        "unknown_net": {"architecture": "../../etc/passwd"},
        "fewer_classes": {"classes": '["background", "cat"]'},
        "text_for_classes": {"classes": '"twenty-one characters"'},
        "numbers_for_classes": {"classes": json.dumps(list(range(21)))},
        "lists_for_classes": {"classes": json.dumps([[]] * 21)},
        "no_classes": {"classes": "[]"},
        "repeated_class": {"classes": json.dumps(["cat"] * 21)},
        "too_many": {"classes": json.dumps([f"c{n}" for n in range(100_000)])},
        "terminal_codes": {"classes": json.dumps(["\x1b[2J"] + [f"c{n}" for n in range(20)])},
        "a_name_of_a_megabyte": {"classes": json.dumps(["x" * 1_000_000] + [f"c{n}" for n in range(20)])},
        "nested": {"classes": "[" * 100_000},
        "two_means": {"mean": "[0.5, 0.5]"},
        "text_for_means": {"mean": '["a", "b", "c"]'},
        "nan_for_means": {"mean": "[NaN, 0, 0]"},
        "no_spread": {"std": "[0, 0, 0]"},
        "resize": {"resize": "99999999"},
        "parameters": {"parameters": "many"},
        "options": {"recipe": "{}", "options": '{"upsampling": "none"}'},
        "list_of_options": {"recipe": "{}", "options": "[1]"},
        "no_json": {"classes": "<script>alert(1)</script>"},
    }


def _saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _as_torch_zip(pickled: bytes, *, bomb: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
        if bomb:
            archive.writestr("archive/data/0", bytes(bomb), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _headed(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header


def _harmed(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    reach = chance.choice((200, 20_000, len(data)))
    if chance.random() < 0.3:
        return data[: chance.randrange(reach)]
    for _ in range(chance.randint(1, 20)):
        at = chance.randrange(min(reach, len(data)))
        changed[at if chance.random() < 0.7 else -at - 1] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _ran(folder: Path, *options: str) -> tuple[int, str]:
    """Exit code of `seglib run` and what it said; the store is new each time."""
    shutil.rmtree(folder / "store", ignore_errors=True)
    said = io.StringIO()
    command = ["run", str(folder / "photos"), "--store", str(folder / "store"), "--workers", "0", *options]
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = main.main(command)
        except SystemExit as end:
            code = int(end.code or 0)
    return code, said.getvalue()


def _assert_one_sentence(name: str, said: str) -> None:
    lines = [line for line in said.splitlines() if line.startswith("seglib: ") and "up to 1 photos" not in line]
    assert len(lines) == 1, f"{name}: {said[:2000]}"
    assert "Traceback" not in said, said[:2000]
    assert lines[0].isprintable(), lines
    assert len(lines[0]) < 1000, f"{name}: {lines[0][:1000]}"


def _held_megabytes() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform != "darwin" else 1024**2)


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


SECTION = "Hostile weights"
CAMPAIGNS = (
    Campaign(SECTION, "handcrafted checkpoints: code, bombs, nonsense, wrong models, NaN", by_hand, 100, 100),
    Campaign(SECTION, "the bundled checkpoint with flipped bits and missing bytes", mutated, 500, 10),
    Campaign(SECTION, "another file in torch's download cache", tampered, 12, 6),
)
