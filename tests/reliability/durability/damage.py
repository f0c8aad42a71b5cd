"""Campaigns: full and read-only disks, photos that vanish or change under a run, files of the store that rot.

Each try ends with the ordinary command and compares the store with one that nobody harmed.
"""

import errno
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seglib.store.records import PACKED_LAYOUT
from tests.reliability.durability.kills import KillTarget
from tests.reliability.harness import faults
from tests.reliability.harness.forks import call_forked, in_own_process, run_forked
from tests.reliability.harness.ledger import Campaign, CampaignResult
from tests.reliability.harness.scene import PHOTOS, Scene, content, differences

WRITES = ("before open", "before write", "in write", "before fsync", "before replace", "before link", "before mkdir")
"""Where the operating system says that the disk is full."""


# --- disks -------------------------------------------------------------------------------------------------------


def full_disk(tries: int, seed: int, folder: Path) -> CampaignResult:
    """From a point on every write is refused (ENOSPC): one sentence, exit code 1; with space again it continues."""
    scene = Scene(folder).paint()
    victim = KillTarget(scene, scene.run, None, seed)
    places = [at for at in victim.choose_points(len(victim.points)) if victim.points[at] in WRITES]
    kinds: Counter[str] = Counter()
    again = through = 0
    for index in range(tries):
        at, store, seen = places[index % len(places)], victim.store("harmed"), scene.images_computed()
        ended = run_forked(scene.command(scene.run(store), point=_full_from(at)), folder)
        if ended.code == 0:  # the last point of all: a folder's fsync, after its file was there
            through += 1
        else:
            assert ended.code == 1, ended
            assert_sentence(ended.stderr_lines, "No space left on device")
        kinds[victim.points[at].partition(" ")[2]] += 1
        victim.check_resumes(store)
        again = max(again, scene.images_computed() - seen - victim.seen)
    told = ", ".join(f"{name} {n}" for name, n in kinds.most_common())
    return CampaignResult(
        tries,
        f"{tries - through} ended with one sentence and exit code 1, {through} had already finished ({told}); all "
        f"continued to an equal store; at most {again} photos recomputed",
    )


def _full_from(at: int) -> faults.Point:
    passed = [0]

    def point(what: str) -> None:
        passed[0] += 1
        if passed[0] > at and what in WRITES:
            faults.refuse(errno.ENOSPC)(what)

    return point


def read_only(tries: int, seed: int, folder: Path) -> CampaignResult:
    """A store that may be read and not written (EROFS)."""
    scene = Scene(folder).paint()
    store = folder / "store"
    assert run_forked(scene.command(scene.run(store)), folder).code == 0
    (folder / "more").mkdir()
    shutil.copytree(scene.photos, folder / "more" / "photos")
    before = call_forked(lambda: content(store), folder)
    run = next(store.glob("runs/*")).name
    out = folder / "out"
    commands = [
        (["status"], 0),
        (["run", str(folder / "more" / "photos"), "--model", "fake", "--workers", "0"], 1),
        (["tag", "seen", "--where", "label=cats"], 1),
        (["export", "stats", "--out", str(out / "stats.csv")], 0),
        (["prune"], 1),
        (["status", "--verify"], 0),
        (["export", "masks", "--out", str(out / "masks.zip"), "--format", "zip"], 0),
        (["run", str(scene.photos), "--model", "fake", "--workers", "0", "--resize", "32x32"], 1),
        (["prune", "--run", run], 1),
        (["import-masks", str(scene.masks()), "--classes", str(_classes(folder)), "--name", "x"], 1),
    ]
    chosen = [commands[index % len(commands)] for index in range(tries)]
    for told, code in chosen:
        command = scene.command([*told, "--store", str(store)], point=_read_only_disk, below=store)
        ended = run_forked(command, folder)
        assert ended.code == code, (told, ended)
        if code:
            assert_sentence(ended.stderr_lines, "Read-only file system")
    assert not differences(call_forked(lambda: content(store), folder), before)
    refused = sum(code for _, code in chosen)
    return CampaignResult(
        tries, f"{tries - refused} reads succeeded, {refused} writes were refused with one sentence each"
    )


def _read_only_disk(what: str) -> None:
    if what.startswith("before "):
        faults.refuse(errno.EROFS)(what)


# --- photos ------------------------------------------------------------------------------------------------------


def changing_photos(tries: int, seed: int, folder: Path) -> CampaignResult:
    """While a run is at work photos vanish, change, are cut short, or the whole folder goes and comes back."""
    chance = random.Random(seed)
    kinds: Counter[str] = Counter()
    for index in range(tries):
        place = folder / str(index)
        place.mkdir()
        scene = Scene(place).paint()
        store, harm = place / "store", chance.choice(list(HARMS))
        when, number = chance.randrange(1, PHOTOS // 2), chance.randrange(2**32)
        ended = run_forked(_run_with_harm(scene, store, when, lambda h=harm, s=scene, n=number: HARMS[h](s, n)), place)
        nothing_left = harm == "the folder gone and back" and when == 1
        assert ended.code == nothing_left, (harm, ended)  # a run in which every photo failed has failed
        assert not [line for line in ended.stderr_lines if "Traceback" in line], ended
        if (place / "away").exists():
            (place / "away").rename(scene.photos)
        assert run_forked(scene.command(scene.run(store)), place).code == 0
        assert run_forked(scene.command(scene.run(place / "fresh")), place).code == 0
        found, expected = (_table(scene, path) for path in (store, place / "fresh"))
        assert found == expected, (harm, found, expected)
        kinds[harm] += 1
        shutil.rmtree(place)
    told = ", ".join(f"{name} {n}" for name, n in kinds.most_common())
    return CampaignResult(
        tries, f"{told}: each run finished; after the next run its table equalled that of a fresh store"
    )


def _table(scene: Scene, store: Path) -> tuple[str, ...]:
    def tables() -> tuple[str, ...]:
        from seglib.store.store import Store

        opened = Store(store)
        return opened.table().to_csv(index=False), opened.failures().drop(columns="detail").to_csv(index=False)

    found: tuple[str, ...] = call_forked(tables, scene.folder)
    return found


def _run_with_harm(scene: Scene, store: Path, when: int, harm: Callable[[], None]) -> Callable[[], int]:
    """The run, and this at its n-th forward pass, before the rest of the photos is read."""

    def work() -> int:
        scene.prepare_child()
        from seglib.cli import main
        from seglib.data import decode_pool

        real, opened = decode_pool.read_image, [0]

        def reading(*arguments: Any, **options: Any) -> Any:
            opened[0] += 1
            if opened[0] == when:
                harm()
            return real(*arguments, **options)

        decode_pool.read_image = reading
        return main.main(scene.run(store))

    return work


def _one(scene: Scene, number: int) -> Path:
    paths = sorted(scene.photos.glob("*/0*.png"))
    return paths[number % len(paths)]


def _cut(scene: Scene, number: int) -> None:
    path = _one(scene, number)
    path.write_bytes(path.read_bytes()[: number % 100])


def _swap(scene: Scene, number: int) -> None:
    """Two photos change places: same names, other content."""
    one, other = _one(scene, number), _one(scene, number + 1)
    data = one.read_bytes(), other.read_bytes()
    one.write_bytes(data[1])
    other.write_bytes(data[0])


def _grow(scene: Scene, number: int) -> None:
    shutil.copyfile(_one(scene, number), scene.photos / "cats" / "late.png")


HARMS: dict[str, Callable[[Scene, int], object]] = {
    "a photo deleted": lambda scene, number: _one(scene, number).unlink(),
    "a photo cut short": _cut,
    "two photos swapped": _swap,
    "a photo added": _grow,
    "the folder gone and back": lambda scene, _: scene.photos.rename(scene.folder / "away"),
    "a folder of them gone": lambda scene, _: shutil.rmtree(scene.photos / "dogs"),
}


# --- rot ---------------------------------------------------------------------------------------------------------


class DamageScene:
    """A store with a file of every kind, and what brings each of them back."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.scene, self.whole, self.random = Scene(folder).paint(), folder / "whole", random.Random(seed)
        scene, store = self.scene, str(self.whole)
        assert run_forked(scene.command(scene.run(self.whole)), folder).code == 0
        assert run_forked(scene.command(scene.run(self.whole, "--resize", "32x32")), folder).code == 0
        self.runs = [json.loads(p.read_bytes())["run"] for p in sorted(self.whole.glob("runs/*/run.json"))]
        self.compare = ["compare", "--runs", *self.runs]
        self.evaluate = ["evaluate", "--truth", str(scene.masks())]
        for told in (self.compare, self.evaluate, ["tag", "seen", "--where", "label=cats"]):
            assert run_forked(scene.command([*told, "--store", store]), folder).code == 0
        self.expected = self.content(self.whole)

    def content(self, store: Path) -> dict[str, Any]:
        found: dict[str, Any] = call_forked(lambda: content(store), self.scene.folder)
        return {name: value for name, value in found.items() if name != "folders"}

    def files(self, pattern: str) -> list[str]:
        return sorted(path.relative_to(self.whole).as_posix() for path in self.whole.glob(pattern))

    def run_command(self, store: Path, *told: str) -> tuple[int, list[str], list[dict[str, Any]]]:
        """Exit code, sentences, and what `status --verify` calls damaged, if that is asked."""
        command = self.scene.command([*told, "--store", str(store)])

        def work() -> tuple[int, str]:
            import contextlib
            import io

            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                code = command()
            return code, out.getvalue()

        ended = run_forked(work, self.scene.folder)
        assert ended.result is not None, ended
        code, out = ended.result
        named = json.loads(out)["damaged"] if "--verify" in told and "--json" in told and out else []
        return code, ended.stderr_lines, named


KINDS: dict[str, tuple[str, str, int]] = {
    "statistics part": ("runs/*/stats/part-*", "verify", PHOTOS),
    "mask": ("runs/*/masks/*/*.png", "verify", 1),
    "thumbnail": ("thumbs/*/*.jpg", "verify", 0),
    "run.json": ("runs/*/run.json", "verify", 0),
    "file index part": ("datasets/*/files/part-*", "verify", 0),
    "dataset.json": ("datasets/*/dataset.json", "run", 0),
    "comparison part": ("compare/*/part-*", "compare", 0),
    "evaluation part": ("evaluate/**/part-*", "evaluate", 0),
    "ground-truth part": ("truths/*/files/part-*", "evaluate", 0),
    "ground-truth mask": ("truths/*/masks/*/*.png", "evaluate", 0),
    "truth.json": ("truths/*/truth.json", "evaluate", 0),
    "tag part": ("tags/part-*", "delete", 0),
    "store.json": ("store.json", "write", 0),
}
"""What rots -> where it lies, what brings it back, how many photos a net sees again for it."""


def rotten(tries: int, seed: int, folder: Path) -> CampaignResult:
    """A flipped bit, or a file cut short: named by `status --verify`, alone; brought back, nothing else computed."""
    rot = DamageScene(folder, seed)
    kinds: Counter[str] = Counter()
    flipped = harmless = again = 0
    for index in range(tries):
        kind = list(KINDS)[index % len(KINDS)]
        cut = bool(index // len(KINDS) % 2) or kind == "thumbnail"  # a JPEG has no checksum
        store = folder / "rotten"
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(rot.whole, store)
        name = rot.random.choice(rot.files(KINDS[kind][0]))
        _spoil(store / name, rot.random, cut=cut)
        if _is_named(rot, store, name, kind):
            again += _repair(rot, store, name, kind)
            kinds[kind] += 1
        else:  # blank space, or the case of a digit: what it says is what was written
            harmless += 1
        assert not (apart := differences(rot.content(store), rot.expected)), (kind, name, cut, apart)
        flipped += not cut
    told = ", ".join(f"{name} {n}" for name, n in kinds.items())
    unharmed = f"; {harmless} changed no value" if harmless else ""
    return CampaignResult(
        tries,
        f"{flipped} flipped bits, {tries - flipped} truncated ({told}{unharmed}): `status --verify` named each and "
        f"nothing else; each was restored, {again} photos recomputed: those of the damaged rows and masks",
    )


def _spoil(path: Path, chance: random.Random, *, cut: bool) -> None:
    data = bytearray(path.read_bytes())
    if cut:
        data = data[: chance.randrange(len(data))]
    else:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def _is_named(rot: DamageScene, store: Path, name: str, kind: str) -> bool:
    """By `status --verify`, and nothing else is; other commands go well or end with one sentence."""
    code, said, named = rot.run_command(store, "status", "--verify", "--json")
    if code == 0:
        assert not differences(rot.content(store), rot.expected), (kind, name)
        return False
    assert code == 1
    if kind == "store.json":
        assert_sentence(said, "")
    else:
        assert {one["file"] for one in named} == {name}, (kind, name, named)
        assert not said, said
    for told in (["status"], ["export", "stats", "--out", str(store.parent / "out.csv")], rot.compare):
        code, said, _ = rot.run_command(store, *told)
        assert code in (0, 1), (told, said)
        if code:
            assert_sentence(said, "")
    return True


def _repair(rot: DamageScene, store: Path, name: str, kind: str) -> int:
    """Returns how many photos a net saw again."""
    scene, (_, remedy, again), seen = rot.scene, KINDS[kind], rot.scene.images_computed()
    size = ["--resize", "32x32"] if "32x32" in name.partition("/masks/")[0] else []
    if remedy == "delete":
        (store / name).unlink()
        code, _, _ = rot.run_command(store, "tag", "seen", "--where", "label=cats")
        assert code == 0
    elif remedy == "write":
        (store / name).write_text('{"schema": 1}')
    else:
        more = [] if remedy == "run" else ["--verify"]
        ended = run_forked(scene.command(scene.run(store, *size, *more)), scene.folder)
        assert ended.code == 0, (kind, ended)
    if remedy in ("compare", "evaluate"):
        told = rot.compare if remedy == "compare" else rot.evaluate
        code, said, _ = rot.run_command(store, *told)
        assert code == 0, (kind, said)
    found = scene.images_computed() - seen
    assert found == again, (kind, name, found, again)
    code, said, named = rot.run_command(store, "status", "--verify", "--json")
    assert (code, named) == (0, []), (kind, said, named)
    return found


def newer(tries: int, seed: int, folder: Path) -> CampaignResult:
    """A store, or a run in it, of a version to come: refused, or left out, in a sentence; nothing of it is touched."""
    rot = DamageScene(folder, seed)
    commands = [["status"], ["prune"], rot.compare, rot.evaluate, [*rot.scene.run(rot.whole)[:2], "--model", "fake"]]
    for index in range(tries):
        store, told = folder / "newer", commands[index // 2 % len(commands)]
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(rot.whole, store)
        file = store / "store.json" if index % 2 else next(store.glob(f"runs/{rot.runs[0]}/run.json"))
        about = {name: value for name, value in json.loads(file.read_bytes()).items() if name != "checksum"}
        file.write_text(json.dumps(about | {"schema": PACKED_LAYOUT + 1}))
        before = _bytes(store)
        code, said, _ = rot.run_command(store, *told, *(["--workers", "0"] if told[0] == "run" else []))
        if code:
            assert_sentence(said, "upgrade")
        else:
            assert not index % 2, (told, said)
        harmed = {name for name, data in before.items() if _bytes(store).get(name) != data}
        assert not {name for name in harmed if rot.runs[0] in name or name == "store.json"}, (told, harmed)
        assert not index % 2 or not harmed
    return CampaignResult(
        tries,
        f"{tries} commands: refused with one sentence, or completed without the newer run; not a byte of it changed",
    )


def _bytes(store: Path) -> dict[str, bytes]:
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def _classes(folder: Path) -> Path:
    path = folder / "classes"
    path.write_text("\n".join(f"class{i}" for i in range(21)))
    return path


def assert_sentence(said: list[str], word: str) -> None:
    """One sentence of ours, no traceback; notes about what is to be computed may come before it."""
    sentences = [line for line in said if "photos to compute" not in line]
    assert len(sentences) == 1, said
    assert sentences[0].startswith("seglib: "), said
    assert word in sentences[0], said


DISKS, ROT = "Disks and photos", "Damaged stores"

CAMPAIGNS: tuple[Campaign, ...] = (
    Campaign(DISKS, "disk full (ENOSPC) from some write on", in_own_process(full_disk), 60, 3),
    Campaign(DISKS, "the store is read-only", in_own_process(read_only), 10, 5),
    Campaign(DISKS, "photos vanish or change while they are read", in_own_process(changing_photos), 36, 2),
    Campaign(ROT, "a flipped bit in a file of the store, or the file truncated", in_own_process(rotten), 78, 3),
    Campaign(ROT, "a store or a run of a newer version", in_own_process(newer), 20, 2),
)
