"""Campaigns: processes that are killed or stopped around every write, and continued with the same command.

Each try compares the store that comes of it with one that nobody harmed: tables, masks and thumbnails byte by byte,
every file and folder.
"""

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.reliability.harness import faults
from tests.reliability.harness.forks import ForkedProcess, ProcessResult, call_forked, in_own_process, run_forked
from tests.reliability.harness.ledger import Campaign, CampaignResult
from tests.reliability.harness.scene import AGAIN_AT_MOST, BATCH, COMMIT_ROWS, STOPS, Scene, content, differences

Arguments = Callable[[Path], list[str]]
"""A store -> what the command line is told."""


@dataclass(frozen=True)
class KillResult:
    """One try: a process that ended at a point, and what it cost."""

    what: str
    """The point."""
    ended: ProcessResult
    again: int
    """Photos that a net saw twice."""


class KillTarget:
    """A command, a store to begin with, and the store that it makes of that when nobody harms it."""

    def __init__(self, scene: Scene, arguments: Arguments, before: Path | None, seed: int) -> None:
        self.scene, self.arguments, self.before, self.random = scene, arguments, before, random.Random(seed)
        store, expected = self.store("counted"), self.store("expected")
        passed = call_forked(lambda: self._counting(store), scene.folder)
        seen = scene.images_computed()
        assert run_forked(scene.command(arguments(expected)), scene.folder).code == 0
        self.seen = scene.images_computed() - seen
        self.points: list[str] = passed
        self.expected: dict[str, Any] = call_forked(lambda: content(expected), scene.folder)
        assert not differences(call_forked(lambda: content(store), scene.folder), self.expected)
        self.here = scene.folder / "point"

    def _counting(self, store: Path) -> list[str]:
        passed: list[str] = []
        assert self.scene.command(self.arguments(store), point=passed.append)() == 0
        return passed

    def store(self, name: str) -> Path:
        path = self.scene.folder / "stores" / name
        shutil.rmtree(path, ignore_errors=True)
        if self.before is not None:
            shutil.copytree(self.before, path)
        return path

    def choose_points(self, tries: int) -> list[int]:
        """Points, of each kind in turn, so that few tries see all kinds; each once before any is taken again."""
        by_kind: dict[str, list[int]] = {}
        for at, what in enumerate(self.points):
            by_kind.setdefault(what, []).append(at)
        for places in by_kind.values():
            self.random.shuffle(places)
        in_turn = sorted((turn, what, at) for what, places in by_kind.items() for turn, at in enumerate(places))
        order = [at for _, _, at in in_turn]
        return (order * (tries // len(order) + 1))[:tries]

    def run_until_signal(self, store: Path, at: int, number: int) -> ProcessResult:
        """The command until this point, where this signal comes."""

        def harm(what: str) -> None:
            self.here.write_text(what)
            os.kill(os.getpid(), number)

        self.here.unlink(missing_ok=True)
        return run_forked(self.scene.command(self.arguments(store), point=faults.harm_at(at, harm)), self.scene.folder)

    def check_resumes(self, store: Path) -> None:
        """The same command, and nothing is lost, doubled or left over."""
        ended = run_forked(self.scene.command(self.arguments(store)), self.scene.folder)
        assert ended.code == 0, ended.stderr_lines
        found = differences(call_forked(lambda: content(store), self.scene.folder), self.expected)
        assert not found, (self.arguments(store)[0], found)

    def try_at(self, at: int, number: int = signal.SIGKILL, *, twice: bool = False) -> KillResult:
        """Harm, perhaps harm what continues too, continue, compare."""
        store, seen = self.store("harmed"), self.scene.images_computed()
        ended = self.run_until_signal(store, at, number)
        while not self.here.exists():  # threads took another order, and there were fewer points than before
            at -= 1
            store, seen = self.store("harmed"), self.scene.images_computed()
            ended = self.run_until_signal(store, at, number)
        what = self.here.read_text()
        if twice:
            self.run_until_signal(store, self.random.randrange(len(self.points)), number)
        self.check_resumes(store)
        return KillResult(what, ended, self.scene.images_computed() - seen - self.seen)


def check_kills(victim: KillTarget, tries: int) -> CampaignResult:
    """SIGKILL at points of every kind; every third time what continues is killed too."""
    kinds: Counter[str] = Counter()
    again, twice = 0, 0
    for index, at in enumerate(victim.choose_points(tries)):
        harm = victim.try_at(at, twice=index % 3 == 2)
        assert harm.ended.code == -signal.SIGKILL, harm
        assert harm.again <= AGAIN_AT_MOST * (1 + (index % 3 == 2)), harm
        kinds[harm.what] += 1
        twice += index % 3 == 2
        again = max(again, harm.again) if index % 3 != 2 else again
    return CampaignResult(
        tries,
        f"killed {_listed(kinds)}, {twice} of them again while continuing; all {tries} continued to an equal store "
        f"without leftovers; at most {again} photos recomputed (here a part has {COMMIT_ROWS} rows, a batch {BATCH})",
    )


def check_stops(victim: KillTarget, tries: int) -> CampaignResult:
    """SIGTERM and Ctrl-C at the same points: exit code, one sentence, and what was computed is kept."""
    codes: Counter[int] = Counter()
    again = 0
    for index, at in enumerate(victim.choose_points(tries)):
        number = list(STOPS)[index % 2]
        code, word = STOPS[number]
        harm = victim.try_at(at, number)
        assert harm.ended.code == code, (harm, victim.points[at])
        sentences = [line for line in harm.ended.stderr_lines if "photos to compute" not in line]
        assert sentences == [f"seglib: {word}. What was computed is kept; the same command continues."], harm
        again = max(again, harm.again)
        codes[code] += 1
    ends = ", ".join(f"{n} ended with {code}" for code, n in sorted(codes.items()))
    return CampaignResult(
        tries, f"{ends}, each with one sentence; all continued to an equal store; at most {again} recomputed"
    )


def _listed(kinds: Counter[str]) -> str:
    """`37 before and 23 after a rename, ...`: by what was going on."""
    when = Counter(what.partition(" ")[0] for what in kinds.elements())
    call = Counter(what.partition(" ")[2] for what in kinds.elements())
    calls = ", ".join(f"{name} {n}" for name, n in call.most_common())
    return f"{when['before']} before, {when['in']} during and {when['after']} after a call ({calls})"


# --- the campaigns -----------------------------------------------------------------------------------------------


def run_killed(tries: int, seed: int, folder: Path) -> CampaignResult:
    scene = Scene(folder).paint()
    return check_kills(KillTarget(scene, scene.run, None, seed), tries)


def run_stopped(tries: int, seed: int, folder: Path) -> CampaignResult:
    scene = Scene(folder).paint()
    return check_stops(KillTarget(scene, scene.run, None, seed), tries)


def killed_at_random_times(tries: int, seed: int, folder: Path) -> CampaignResult:
    """From outside, by the clock, whatever it is doing; a slow net makes its run a second long."""
    scene = Scene(folder).paint()
    victim, at_work, again = KillTarget(scene, scene.run, None, seed), 0, 0
    for _ in range(tries):
        store, seen = victim.store("harmed"), scene.images_computed()
        child = ForkedProcess(scene.command(scene.run(store), slow=0.05), folder)
        time.sleep(victim.random.uniform(0, 0.6))
        child.signal(signal.SIGKILL)
        ended = child.wait()
        at_work += ended.code != 0
        victim.check_resumes(store)
        again = max(again, scene.images_computed() - seen - victim.seen)
        assert again <= AGAIN_AT_MOST
    return CampaignResult(
        tries,
        f"{at_work} killed while running, the others had finished; all continued to an equal store; at most "
        f"{again} recomputed",
    )


def others_killed(tries: int, seed: int, folder: Path) -> CampaignResult:
    """compare, evaluate, import-masks, tag, prune and pack."""
    told = []
    victims = _others(folder, seed)
    for index, (name, make) in enumerate(victims.items()):
        share = tries // len(victims) + (index < tries % len(victims))
        victim = make()
        for at in victim.choose_points(share):
            harm = victim.try_at(at)
            assert harm.ended.code == -signal.SIGKILL, (name, harm)
        told.append(f"{name} {share}")
    return CampaignResult(
        tries, f"{', '.join(told)}: all continued to the store of an undisturbed command, without leftovers"
    )


def _others(folder: Path, seed: int) -> dict[str, Callable[[], KillTarget]]:
    scene = Scene(folder).paint()
    (folder / "classes").write_text("background\ncat\ndog\nperson\n" + "\n".join(f"more{i}" for i in range(17)))
    masks, prepared = scene.masks(), folder / "prepared"
    for resize in ("64x48", "32x32"):
        assert run_forked(scene.command(scene.run(prepared, "--resize", resize)), folder).code == 0
    runs = sorted(path.name for path in prepared.glob("runs/*"))
    stale = folder / "stale"
    shutil.copytree(prepared, stale)
    classes = str(folder / "classes")

    def victim(before: Path, *told: str) -> Callable[[], KillTarget]:
        return lambda: KillTarget(scene, lambda store: [*told, "--store", str(store)], before, seed)

    return {
        "compare": victim(prepared, "compare", "--runs", *runs),
        "evaluate": victim(prepared, "evaluate", "--truth", str(masks)),
        "import-masks": victim(prepared, "import-masks", str(masks), "--classes", classes, "--name", "x"),
        "tag": victim(prepared, "tag", "seen", "--where", "label=cats"),
        "prune": victim(_made_stale(scene, stale), "prune"),
        "pack": victim(_half_packed(scene, folder / "half_packed"), "pack"),
    }


def _half_packed(scene: Scene, store: Path) -> Path:
    """A store with a pack, and with single files beside it."""
    hidden = scene.folder / "hidden.png"
    (scene.photos / "dogs" / "0003.png").rename(hidden)
    try:
        for command in (scene.run(store), ["pack", "--store", str(store)]):
            assert run_forked(scene.command(command), scene.folder).code == 0
    finally:
        hidden.rename(scene.photos / "dogs" / "0003.png")
    assert run_forked(scene.command(scene.run(store)), scene.folder).code == 0
    return store


def _made_stale(scene: Scene, store: Path) -> Path:
    """A store with rows of photos that are gone."""
    hidden = scene.folder / "hidden.png"
    (scene.photos / "dogs" / "0003.png").rename(hidden)
    try:
        assert run_forked(scene.command(scene.run(store)), scene.folder).code == 0
    finally:
        hidden.rename(scene.photos / "dogs" / "0003.png")
    return store


RUNS = "Killed and stopped"

CAMPAIGNS: tuple[Campaign, ...] = (
    Campaign(
        RUNS, "`seglib run` killed (SIGKILL) around every write, fsync and rename", in_own_process(run_killed), 90, 3
    ),
    Campaign(RUNS, "`seglib run` killed from outside at random times", in_own_process(killed_at_random_times), 30, 2),
    Campaign(RUNS, "`seglib run` stopped by SIGTERM and Ctrl-C at the same points", in_own_process(run_stopped), 40, 2),
    Campaign(RUNS, "other commands killed at the same points", in_own_process(others_killed), 60, 6),
)
