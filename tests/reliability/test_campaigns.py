"""A short version of every campaign of docs/reliability.md."""

import pytest

from tests.reliability import __main__ as whole
from tests.reliability.campaigns import CAMPAIGNS, find_missing_requirement
from tests.reliability.harness import forks
from tests.reliability.harness.ledger import Campaign, CampaignResult


@pytest.fixture(scope="module", autouse=True)
def _nothing_stays_at_work():
    yield
    forks.close()


@pytest.mark.parametrize("campaign", CAMPAIGNS, ids=lambda campaign: campaign.fault.replace(" ", "-"))
def test_nothing_is_lost(campaign: Campaign, tmp_path):
    if reason := find_missing_requirement(campaign):
        pytest.skip(reason)
    line = campaign.run(campaign.quick_tries, whole.SEED, tmp_path)
    assert line.tries > 0
    assert line.lost == "nothing"


def test_the_page_has_a_row_per_campaign_below_its_section():
    campaign = Campaign("Runs", "killed", lambda *_: CampaignResult(3, "went on"), tries=3, quick_tries=1)
    text = whole.page([(campaign, CampaignResult(1234, "went on"), 2.0)], 120)
    assert "### Runs" in text
    assert "| killed | 1,234 | went on | nothing | 2 |" in text
