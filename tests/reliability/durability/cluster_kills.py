"""Campaign: a run on a Ray cluster whose actor, node or driver is killed in the middle, and the same command after it.

Each try compares the store with that of a run on one machine that nobody harmed.
"""

import os
import random
import signal
from pathlib import Path

import seglib
from seglib.pipeline.session import RunOptions
from tests.reliability.harness.ledger import Campaign, CampaignResult
from tests.reliability.harness.scene import Scene, differences

PHOTOS = 60
KINDS = (("actor", "driver", "node"), ("actor",), ("node",), ("driver",))
"""What is killed in a try, in this order."""


def killed(tries: int, seed: int, folder: Path) -> CampaignResult:
    from tests.reliability.harness import ray_nodes

    chance = random.Random(seed)
    scene = Scene(folder).paint(PHOTOS)
    from tests.conftest import fake_model

    options = RunOptions(workers=0)
    seglib.run(scene.photos, folder / "expected", fake_model(scene.weights), precision="fp32", options=options)
    expected, again = ray_nodes.content_in_any_order(folder / "expected"), []
    with ray_nodes.start_nodes(2) as nodes:
        for number in range(tries):
            kinds, store, passes = KINDS[number % len(KINDS)], folder / f"store{number}", folder / f"passes{number}"
            _try(nodes, scene, store, passes, kinds, chance)
            found = differences(ray_nodes.content_in_any_order(store), expected)
            assert not found, (number, kinds, found)
            again.append(len(ray_nodes.read_passes(passes)) - PHOTOS)
            nodes.complete()
    return CampaignResult(
        tries,
        "an actor, a node, the driver, or all three killed in the middle; the same command ended in a store equal to "
        f"one machine's; photos computed twice: {sum(again) / tries:.1f} on average, at most {max(again)} of {PHOTOS}",
    )


def _try(nodes, scene: Scene, store: Path, passes: Path, kinds: tuple[str, ...], chance: random.Random) -> None:
    """Run until all of these were killed, each at a moment by chance, and to the end."""
    from tests.reliability.harness import ray_nodes

    at = sorted(chance.randrange(2, PHOTOS - 8) for _ in kinds)
    pending = list(zip(kinds, at, strict=True))
    code = None
    while code != 0:
        with nodes.run(scene.photos, store, passes=passes, slow=0.1) as process:
            while pending and process.poll() is None:
                kind, count = pending[0]
                ray_nodes.wait_for_passes(passes, count, process)
                if process.poll() is None:
                    _kill(kind, nodes, process, passes)
                    del pending[0]
            _, err = process.communicate(timeout=ray_nodes.PATIENCE_SECONDS)
            code = process.returncode
            assert code in (0, -signal.SIGKILL), err[-2000:]


def _kill(kind: str, nodes, process, passes: Path) -> None:
    from tests.reliability.harness import ray_nodes

    if kind == "node":
        nodes.lose_one()
    else:
        os.kill(process.pid if kind == "driver" else ray_nodes.read_passes(passes)[-1], signal.SIGKILL)


CAMPAIGNS = (
    Campaign(
        "Killed and stopped",
        "actor, node or driver killed in the middle of a run on Ray",
        killed,
        tries=20,
        quick_tries=1,
        needs="ray",
    ),
)
