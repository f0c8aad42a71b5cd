"""All campaigns, in the order of the page, and what this machine lacks for some of them."""

import shutil
from importlib.util import find_spec

from tests.conftest import SHARED
from tests.reliability.durability import cluster_kills, damage, jobs_killed, kills, writers
from tests.reliability.harness.ledger import Campaign
from tests.reliability.hostile import names, pictures, stores, weights
from tests.reliability.web import media, visitors

CAMPAIGNS: tuple[Campaign, ...] = (
    *kills.CAMPAIGNS,
    *cluster_kills.CAMPAIGNS,
    *jobs_killed.CAMPAIGNS,
    *damage.CAMPAIGNS,
    *writers.CAMPAIGNS,
    *pictures.CAMPAIGNS,
    *weights.CAMPAIGNS,
    *stores.CAMPAIGNS,
    *media.CAMPAIGNS,
    *names.CAMPAIGNS,
    *visitors.CAMPAIGNS,
)


def find_missing_requirement(campaign: Campaign) -> str:
    """Why a campaign cannot run here, or nothing."""
    if campaign.needs == "chromium" and shutil.which("chromium") is None:
        return "no chromium at hand"
    if campaign.needs == "shared" and not (SHARED / "data").is_dir():
        return "the development data is not beside this checkout"
    if campaign.needs == "ray" and find_spec("ray") is None:
        return "the extra ray is not installed"
    if campaign.needs == "nginx" and not media.nginx_program():
        return "no nginx at hand"
    return ""
