"""The report: one file that holds all it needs, says what the library says, and lets no name become HTML."""

import re
from html.parser import HTMLParser

import pytest

from dashboard import __main__ as launcher
from dashboard import report
from dashboard.formatting import percent_fixed
from dashboard.report import html as report_html
from dashboard.report.html import SafeHtml
from seglib.errors import UnknownName, UsageError
from seglib.evaluation import comparison, evaluation, truth_counting
from seglib.query.filters import Filters
from seglib.store.store import Store
from tests.annotated import open_drawn
from tests.dashboard.conftest import NASTY, PHOTO_WH, PIXELS, draw_truth, fill_store

OTHER = PIXELS | {"cats/a.jpg": {"cat": 40, "dog": 10}, "dogs/e.jpg": {"dog": 5}}


class Page(HTMLParser):
    """Tags, all of them closed; addresses; text."""

    VOID = frozenset({"meta", "img", "path", "circle"})

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(body.decode())
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action", "data")]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def plain(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def two(tmp_path) -> Store:
    fill_store(tmp_path / "store", real=True)
    fill_store(tmp_path / "store", real=True, pixels=OTHER, code_schema=2)
    return Store(tmp_path / "store")


@pytest.fixture
def names(two) -> list[str]:
    found = [run.run for run in two.runs()]
    comparison.update_counts(two, found)
    return found


def test_it_holds_all_it_needs_and_no_place_of_this_machine(two, names, tmp_path):
    body = report.build_report(two, names)
    page = Page(body)
    assert "script" not in page.tags
    assert {address.partition(":")[0] for address in page.addresses} == {"data"}
    assert "default-src 'none'; img-src data:" in body.decode()
    assert str(tmp_path) not in body.decode()
    assert NASTY.split("/")[1] in page.text  # as it is called, and no tag of it
    assert page.tags.count("img") == 2 * 6  # thumbnail and difference of each photo


def test_its_figures_are_the_librarys(two, names):
    found = comparison.load_comparison(two, names)
    agreed = found.consensus_figure()
    page = Page(report.build_report(two, names))
    for value in (agreed.value, agreed.mean, found.measures[tuple(names)]["iou:cat"].overall()):
        assert plain(percent_fixed(value)) in page.text
    worst = found.images(*names)["path"].iloc[0]
    assert page.text.index("least pixel agreement") < page.text.index(worst)
    assert "A cat, B dog 10 %" in page.text
    said = page.text[: page.text.index("Made on")]
    assert re.search(r"\w+ and \w+ agree on 97\.5 % of the pixels \(", said)  # the answer comes first


def test_filters_say_which_photos(two, names):
    page = Page(report.build_report(two, names, Filters.decode("label=cats")))
    assert "3 photos of photos" in page.text
    assert "Folder: cats" in page.text
    with pytest.raises(UsageError, match="passes the filters"):
        report.build_report(two, names, Filters.decode("label=nobody"))


def test_one_run_alone_is_reported_with_a_sentence(two, names):
    page = Page(report.build_report(two, names[:1]))
    assert "nothing is compared" in page.text
    assert "agreement" not in page.text
    assert page.text.index("cats/b.jpg") < page.text.index("dogs/d.jpg")  # the least sure first
    assert "These runs have not been evaluated" in page.text


def test_imported_masks_without_confidence_are_reported(tmp_path):
    fill_store(tmp_path / "store", measured=False)
    assert "Photos under their masks" in Page(report.build_report(Store(tmp_path / "store"))).text


def test_three_runs_have_a_pairwise_matrix(two, tmp_path):
    fill_store(tmp_path / "store", real=True, pixels=OTHER | {"dogs/d.jpg": {"cat": 80}}, code_schema=3)
    names = [run.run for run in two.runs()]
    comparison.update_counts(two, names)
    page = Page(report.build_report(two, names))
    assert "pixels on which all 3 agree" in page.text
    assert "Pixel agreement of every run with every other" in page.text
    chosen = Page(report.build_report(two, names, pair=(names[1], names[0])))
    assert "The pair whose differences are shown" in chosen.text


@pytest.mark.slow
def test_a_truth_is_told_of_if_there_is_one(two, names, tmp_path):
    folder = draw_truth(tmp_path / "masks", size_wh=PHOTO_WH)
    done = truth_counting.update_counts(two, open_drawn(folder), names)
    found = evaluation.load_evaluation(two, done.truth, names[0])
    page = Page(report.build_report(two, names))
    assert "Against masks (voc), n = 3 photos of 6" in page.text
    assert plain(percent_fixed(found.measures["miou"].overall())) in page.text
    assert "truth: cat" in page.text
    assert page.tags.count("img") == 2 * 6 + 2 * 3
    assert "3 photos are too few to tell the runs apart: mIoU" in page.text[: page.text.index("Made on")]
    order = ["Evaluation against ground truth", "Do they see the same?", "Class distribution", "Provenance"]
    assert sorted(order, key=page.text.index) == order
    assert "cat taken for dog 30 %" in page.text
    with pytest.raises(UnknownName, match="nobody"):
        report.build_report(two, names, truth_name="nobody")


def test_runs_that_are_evaluated_but_not_compared_are_reported_without_a_comparison(two, tmp_path):
    names = [run.run for run in two.runs()]
    truth_counting.update_counts(two, open_drawn(draw_truth(tmp_path / "masks", size_wh=PHOTO_WH)), names)
    page = Page(report.build_report(two, names))
    assert "3 photos are too few to tell the runs apart" in page.text
    assert "Do they see the same?" not in page.text
    assert "6 photos of photos" in page.text


def test_a_missing_mask_or_thumbnail_costs_its_picture_alone(two, names):
    identity = two.table([names[0]]).set_index("path")["image_id"]
    two.mask_path(names[0], identity["cats/a.jpg"]).unlink()
    two.thumbnail_path(identity["cats/b.jpg"]).unlink()
    assert Page(report.build_report(two, names)).tags.count("img") == 2 * 4 + 1


def test_what_cannot_be_reported_is_a_sentence(two, tmp_path):
    with pytest.raises(UsageError, match="no run yet"):
        report.build_report(Store.create(tmp_path / "empty"))
    with pytest.raises(UsageError, match="compare them first"):
        report.build_report(two)
    with pytest.raises(UnknownName):
        report.build_report(two, ["nobody"])


def test_usual_runs_share_photos_with_the_last_one(two, tmp_path):
    fill_store(tmp_path / "store", pixels={"z/z.jpg": {"cat": 5}}, code_schema=4)
    alone = two.runs()[-1].run
    assert report.default_runs(two) == (alone,)
    fill_store(tmp_path / "store", real=True, code_schema=5)
    assert len(report.default_runs(two)) == 3
    assert alone not in report.default_runs(two)


# --- the command ---


def test_the_command_counts_and_writes_one_file(two, tmp_path, capsys):
    out = tmp_path / "report.html"
    assert launcher.main(["report", "--out", str(out), "--store", str(two.path)]) == 0
    assert "report.html: " in capsys.readouterr().out
    assert "What 2 runs saw in 6 photos" in Page(out.read_bytes()).text
    again = ["report", "--out", str(out), "--store", str(two.path), "--where", "label=dogs"]
    assert launcher.main([*again, "--runs", two.runs()[0].run]) == 0
    assert "2 photos" in Page(out.read_bytes()).text


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--where", "nobody=1"], 2, "nobody"),
        (["--runs", "nobody"], 2, "nobody"),
        (["--where", "label=nobody"], 2, "passes the filters"),
        (["--truth", "nobody"], 2, "nobody"),
    ],
)
def test_a_bad_request_is_one_sentence(two, tmp_path, capsys, arguments, code, said):
    given = ["report", "--out", str(tmp_path / "r.html"), "--store", str(two.path), *arguments]
    assert launcher.main(given) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "r.html").exists()


def test_a_folder_is_no_file_and_no_store_is_a_sentence(two, tmp_path, capsys):
    assert launcher.main(["report", "--out", str(tmp_path), "--store", str(two.path)]) == 2
    assert "is a folder" in capsys.readouterr().err
    assert launcher.main(["report", "--out", str(tmp_path / "r.html"), "--store", str(tmp_path / "none")]) > 0
    assert capsys.readouterr().err.count("\n") == 1


# --- pieces ---


def test_bars_stay_in_their_frame_and_names_stay_text():
    assert "width:100.0%" in report_html.bar(1.5, "x").text
    assert "<b>" not in report_html.table(["", "a"], [["<b>x</b>", "<i>"]])
    assert "&lt;i&gt;" in report_html.table(["", "a"], [["x", "<i>"]])
    assert report_html.table(["", "a"], [["x", SafeHtml("<u>y</u>")]]).count("<u>") == 1
    assert "<b>" not in report_html.strong("<b>").text
    assert "<script" not in report_html.scatter([("<script>", 1.0, 0.5, "'\"<")], "x", "y")


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 187, [0, 50, 100, 150, 200]),
        (0, 3.2, [0, 1, 2, 3, 4]),
        (0.812, 0.938, [0.8, 0.85, 0.9, 0.95]),
        (0.5, 0.5, [0.5, 0.501]),
        (0, 0, [0, 0.0002]),
    ],
)
def test_ticks_are_round_and_enclose_the_values(low, high, ticks):
    found = report_html.nice_ticks(low, high)
    assert found == pytest.approx(ticks)
    assert found[0] <= low <= high <= found[-1]


def test_slices_by_a_field_are_carried(two, names, tmp_path):
    page = Page(report.build_report(two, names, by="label"))
    assert "By folder" in page.text
    assert "None of 3 slices by folder has 10 photos: too few to compare." in page.text
    assert "cats 3 " in page.text
    with pytest.raises(UnknownName, match=r"There is no field 'column\.gone'"):
        report.build_report(two, names, by="column.gone")
    with pytest.raises(UsageError, match="this report has neither"):
        report.build_report(two, names[:1], by="label")
