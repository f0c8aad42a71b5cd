"""Run every campaign with its full number of tries and write docs/reliability.md: `python -m tests.reliability`.

`--only TEXT` runs those whose section or fault holds TEXT, and `--few` those of the ordinary tests; both write nothing.
"""

import argparse
import platform
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.conftest import ROOT
from tests.reliability.campaigns import CAMPAIGNS, find_missing_requirement
from tests.reliability.harness.ledger import Campaign, CampaignResult

SEED = 20261121
PAGE = ROOT / "docs" / "reliability.md"
PROSE = Path(__file__).with_name("reliability.md")
"""What people wrote: how it was tested, every fault that was found, with its fix. The tables come in at {tables}."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT")
    parser.add_argument("--few", action="store_true")
    asked = parser.parse_args(arguments)
    chosen = [one for one in CAMPAIGNS if asked.only.lower() in f"{one.section} {one.fault}".lower()]
    done: list[tuple[Campaign, CampaignResult, float]] = []
    started = time.monotonic()
    for campaign in chosen:
        if reason := find_missing_requirement(campaign):
            print(f"skipped: {campaign.fault} ({reason})", flush=True)
            continue
        began = time.monotonic()
        tries = campaign.quick_tries if asked.few else campaign.tries
        with tempfile.TemporaryDirectory(prefix="seglib-reliability-") as folder:
            try:
                line = campaign.run(tries, SEED, Path(folder))
            except Exception as error:  # the other campaigns are worth running all the same
                traceback.print_exc()
                line = CampaignResult(
                    tries, f"stopped by {type(error).__name__}: {str(error)[:200]}".replace("\n", " "), "unknown"
                )
        done.append((campaign, line, time.monotonic() - began))
        print(
            f"{done[-1][2]:5.0f} s  {campaign.fault}: {line.tries} tries; {line.summary}; lost: {line.lost}",
            flush=True,
        )
    if not asked.only and not asked.few:
        PAGE.write_text(page(done, time.monotonic() - started), "utf-8")
        print(PAGE.relative_to(ROOT))
    return int(any(line.lost != "nothing" for _, line, _ in done))


def page(done: list[tuple[Campaign, CampaignResult, float]], seconds: float) -> str:
    tables = []
    for section in dict.fromkeys(campaign.section for campaign, _, _ in done):
        rows = [
            f"| {campaign.fault} | {line.tries:,} | {line.summary} | {line.lost} | {took:.0f} |"
            for campaign, line, took in done
            if campaign.section == section
        ]
        head = "| fault | tries | what happened | lost | s |\n|---|--:|---|---|--:|"
        tables.append("\n".join([f"### {section}", "", head, *rows]))
    made = f"Seed {SEED}, {seconds / 60:.0f} minutes on {platform.machine()}, Python {platform.python_version()}."
    return PROSE.read_text("utf-8").replace("{tables}", made + "\n\n" + "\n\n".join(tables))


if __name__ == "__main__":
    sys.exit(main())
