"""A short version of every campaign of docs/reliability.md."""

import pytest

from tests.reliability import __main__ as whole
from tests.reliability import forks
from tests.reliability.campaigns import CAMPAIGNS, lacking
from tests.reliability.ledger import Campaign, Line


@pytest.fixture(scope="module", autouse=True)
def _nothing_stays_at_work():
    yield
    forks.close()


@pytest.mark.parametrize("campaign", CAMPAIGNS, ids=lambda campaign: campaign.fault.replace(" ", "-"))
def test_nothing_is_lost(campaign: Campaign, tmp_path):
    if reason := lacking(campaign):
        pytest.skip(reason)
    line = campaign.run(campaign.few, whole.SEED, tmp_path)
    assert line.tries > 0
    assert line.lost == "nothing"


def test_the_page_has_a_row_per_campaign_below_its_section():
    campaign = Campaign("Runs", "killed", lambda *_: Line(3, "went on"), tries=3, few=1)
    text = whole.page([(campaign, Line(1234, "went on"), 2.0)], 120)
    assert "### Runs" in text
    assert "| killed | 1,234 | went on | nothing | 2 |" in text
