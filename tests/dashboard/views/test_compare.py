"""The Compare page, through Streamlit's own test driver."""

import os
import re
import signal
from urllib.parse import parse_qsl

import pandas as pd
import pytest
import streamlit as st

from dashboard.formatting import DASH
from dashboard.queries import comparison as comparison_queries
from dashboard.queries import ranking, source
from dashboard.settings import ServerSettings
from dashboard.state.view import View, decode, query_params
from dashboard.views.compare import counting
from dashboard.views.compare.selection import chosen_state, compared_runs
from dashboard.workers import jobs
from dashboard.workers.jobs import Job, Jobs
from dashboard.workers.requests import MAX_COMPARED_RUNS, CompareRequest
from seglib.evaluation import comparison, truth_counting
from seglib.store.store import Store
from tests.annotated import open_drawn
from tests.dashboard.conftest import fill_store, id_of, make_run_config
from tests.dashboard.queries.test_comparison_stats import SEEN_BY_B, draw_truth
from tests.dashboard.views.test_image import place
from tests.dashboard.views.test_pages import asked, component, html, opened, said
from tests.dashboard.views.test_runs import _init_quiet, choose

A, B, C = (make_run_config(schema).run_name for schema in (1, 2, 3))


@pytest.fixture
def uncounted(full, monkeypatch):
    """Two runs of six photos, nothing counted, and workers that do nothing."""
    fill_store(full, code_schema=2, pixels=SEEN_BY_B)
    monkeypatch.setattr(Jobs, "__init__", _init_quiet(Jobs.__init__))
    yield full
    for process in jobs._children:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def two(uncounted):
    comparison.update_counts(Store(uncounted), [A, B])
    return uncounted


@pytest.fixture
def three(two):
    fill_store(two, code_schema=3)
    comparison.update_counts(Store(two), [A, B, C])
    return two


def matrix(app, corner: str, row: str, column: str) -> dict:
    every = [d for d in components(app) if "corner" in d]
    (data_,) = [d for d in every if d["corner"] == corner and row in [line["name"] for line in d["rows"]]]
    (line,) = [line for line in data_["rows"] if line["name"] == row]
    return line["cells"][data_["columns"].index(column)]


def components(app) -> list[dict]:
    import json

    return [json.loads(e.proto.json) for e in app.get("bidi_component") if e.proto.json]


def plain(app) -> str:
    return said(app).replace("\\", "")


def shown_all(page: str, **query):
    """The page with all of its figures."""
    return opened(page, figures=["all"], **query)


def answer(app) -> str:
    """The sentence with which the page begins."""
    found = re.search(r"<div class='answer'><p role='status'>(.*?)</p>", html(app))
    return found[1].replace("\xa0", " ") if found else ""


def tiles(app) -> list[dict]:
    return component(app, "tiles")["tiles"]


def test_one_run_alone_cannot_be_compared(full):
    app = opened("Compare")
    assert not app.exception
    assert "A comparison needs two runs" in plain(app)
    app.button(key="go").click().run()
    assert app.title[0].value == "Runs"


def test_two_runs_are_compared_and_both_reductions_are_named(two):
    app = shown_all("Compare", run=[A])
    assert not app.exception
    assert answer(app).startswith("A and B agree on 88.3 % of the pixels (")
    assert ") of 6 photos; the largest difference: A background, B sofa (6.7 %)" in answer(app)
    assert "Agreement between models, not accuracy. n = 6 photos, 95 % bootstrap intervals" in html(app)
    assert "<b>88.3\xa0%</b>" in html(app)  # 530 of 600, and the mean of six equally large photos
    assert "<dt>pixel agreement</dt>" in html(app)
    assert "Over all pixels (76.6 to 98.3\xa0%); mean over photos 88.3\xa0% (" in html(app)
    assert "<dt>IoU of dog</dt>" in html(app)
    cell = matrix(app, "A \\ B", "cat", "dog")
    assert (cell["value"], cell["text"]) == (20, "28.6")
    assert cell["hint"] == "3.3\xa0% of all pixels, 29\xa0% of A's cat: A says cat, B says dog"
    assert matrix(app, "A \\ B", "background", "sofa")["text"] == "10.8"
    assert matrix(app, "A \\ B", "background", "person")["value"] == 0
    assert [tile["name"] for tile in tiles(app)][:3] == ["dogs/e.jpg", "cats/a.jpg", "cats/c.jpg"]
    assert tiles(app)[0]["found"] == "60\xa0%"
    assert tiles(app)[0]["lines"] == ["A background, B sofa 40\xa0%"]
    assert tiles(app)[0]["alt"].endswith("; A background, B sofa 40\xa0%")
    assert tiles(app)[1]["lines"] == ["A cat, B dog 20\xa0%"]
    assert tiles(app)[0]["mask"].startswith(f"/media-api/difference/{A}/{B}/{id_of('dogs/e.jpg')}.png?v=")
    assert "difference=overlay" in tiles(app)[0]["href"]
    assert str(two.parent) not in html(app) + plain(app)


def test_filters_speak_of_a_and_every_figure_follows(two):
    app = shown_all("Compare", run=[A], label=["dogs"])
    assert "n = 2 photos" in html(app)
    assert "<b>80.0\xa0%</b>" in html(app)
    assert [tile["name"] for tile in tiles(app)] == ["dogs/e.jpg", "dogs/d.jpg"]
    app = opened("Compare", run=[A], label=["nobody"])
    assert not app.exception
    assert "None of the 6 photos passes all filters" in plain(app)


def test_a_flip_of_the_url_keeps_its_photos_and_its_chip_takes_it_away(two):
    app = shown_all("Compare", run=[A], flip=["cat>dog"], measure=["flip"])
    assert not app.exception
    assert [tile["name"] for tile in tiles(app)] == ["cats/a.jpg"]
    assert tiles(app)[0]["found"] == "20\xa0%"
    assert matrix(app, "A \\ B", "cat", "dog")["chosen"] is True
    assert matrix(app, "A \\ B", "cat", "cat")["chosen"] is False
    app.button(key="chip:cell").click().run()
    assert len(tiles(app)) == 6
    assert "flip" not in app.query_params
    assert "measure" not in app.query_params


def test_the_viewer_goes_on_in_the_order_of_the_gallery(two):
    address = tiles(opened("Compare", run=[A]))[1]["href"].partition("?")[2]
    view, notes = decode(parse_qsl(address))
    assert (view.origin, view.difference, view.against, notes) == ("compare", "overlay", B, [])
    app = opened("Image", **query_params(view))
    shown = component(app, "pictures")
    assert [one["name"] for one in shown["pictures"]][:3] == ["dogs/e.jpg", "cats/a.jpg", "cats/c.jpg"]
    assert place(app) == (1, 6)
    app.selectbox(key="w:measure").set_value("foreground").run()
    assert not app.exception
    assert component(app, "pictures")["place"]["position"] == 1
    app.button(key="back").click().run()
    assert app.title[0].value == "Compare"
    assert "from" not in app.query_params
    assert app.selectbox(key="w:measure").value == "foreground"


def test_the_viewer_goes_through_the_photos_of_a_cell(two):
    flip = {"flip": ["cat>dog"], "measure": ["flip"], "from": ["compare"]}
    app = opened("Image", run=[A], image=[id_of("cats/a.jpg")], **flip)
    assert place(app) == (0, 1)
    app = opened("Image", run=[A], image=[id_of("cats/c.jpg")], **flip)
    assert "not among the 1 photo shown in Compare" in plain(app)
    app.button(key="to_first").click().run()
    assert place(app) == (0, 1)


def test_without_a_second_run_the_viewer_keeps_to_explores_order(full):
    app = opened("Image", run=[A], **{"from": ["compare"]})
    assert not app.exception
    assert place(app) == (0, 6)


def test_explores_page_is_not_that_of_the_gallery(two, monkeypatch):
    monkeypatch.setattr(ranking, "PAGE_SIZE", 2)
    app = opened("Compare", run=[A], page=["3"])
    assert [tile["name"] for tile in tiles(app)] == ["dogs/e.jpg", "cats/a.jpg"]
    app = opened("Compare", run=[A], page=["3"], **{"compare-page": ["9"]})
    assert len(tiles(app)) == 2  # the last page there is
    assert tiles(app)[0]["name"] not in ("dogs/e.jpg", "cats/a.jpg", "cats/c.jpg")
    app.selectbox(key="w:measure").set_value("foreground").run()
    assert "compare-page" not in app.query_params
    assert tiles(app)[0]["name"] == "dogs/e.jpg"


def test_sorting_by_every_measure(two):
    app = opened("Compare", run=[A], **{"class": ["cat"]})
    for measure, first, shown in (
        ("foreground", "dogs/e.jpg", "0\xa0%"),
        ("iou", "cats/a.jpg", "60\xa0%"),
        ("area", "cats/a.jpg", "\N{MINUS SIGN}20.0 points"),
    ):
        app.selectbox(key="w:measure").set_value(measure).run()
        assert not app.exception
        assert asked(app, "measure") == [measure]
        assert (tiles(app)[0]["name"], tiles(app)[0]["found"]) == (first, shown)
    assert "flip" not in app.selectbox(key="w:measure").options


@pytest.mark.slow
def test_runs_are_chosen_swapped_and_kept_in_the_url(three):
    app = shown_all("Compare", run=[A])
    assert app.selectbox(key="w:against").value == C  # the one used last
    app.selectbox(key="w:against").set_value(B).run()
    assert asked(app, "against") == [B]
    assert "<b>88.3\xa0%</b>" in html(app)
    app.button(key="swap").click().run()
    assert (asked(app, "run"), asked(app, "against")) == ([B], [A])
    assert matrix(app, "A \\ B", "dog", "cat")["value"] == 20
    app.pills(key="w:compared").unselect(C).run()
    assert asked(app, "runs") == sorted([A, B])
    assert not [d for d in components(app) if d.get("columns") == ["A", "B", "C"]]
    assert not app.exception


def costing(monkeypatch, **gflops: float) -> None:
    frame = pd.DataFrame({"run": list(gflops), "gflops": list(gflops.values())})
    unknown = dict.fromkeys(
        ("ms_per_image", "latency_ms", "latency_alone", "latency_device", "parameters", "checkpoint_bytes")
    )
    monkeypatch.setattr(comparison_queries, "costs", lambda *_: frame.assign(**unknown))


@pytest.mark.slow
def test_what_the_cost_buys_is_agreement_with_the_costliest_or_else_what_a_truth_says(three, tmp_path, monkeypatch):
    app = shown_all("Compare", run=[A])
    assert "their cost is not known" in plain(app)
    costing(monkeypatch, **{A: 1.0, B: 8.0, C: 4.0})
    app = shown_all("Compare", run=[A])
    assert not app.exception
    assert f"with the costliest run, fake_net · 64x64 · fp32 · {B[-8:]} (hollow); no truth is known" in plain(app)
    truth_counting.update_counts(Store(three), open_drawn(draw_truth(tmp_path / "drawn"), format="voc"), [A, B, C])
    app = shown_all("Compare", run=[A])
    assert not app.exception
    assert "mIoU against drawn, over all pixels of 1 photo." in plain(app)


def test_every_pair_and_the_consensus_are_there_from_three_runs_on(three):
    app = shown_all("Compare", run=[A], against=[B])
    (pairs,) = [d for d in components(app) if d.get("columns") == ["A", "B", "C"]]
    assert [cell["text"] for cell in pairs["rows"][0]["cells"]] == ["–", "88.3", "100.0"]
    assert pairs["rows"][0]["cells"][1]["chosen"] is True
    assert "All 3 runs agree on 88.3 % of the pixels" in plain(app)
    assert answer(app).startswith("All 3 runs agree on 88.3 % of the pixels (")
    assert "give the same masks; least alike are" in answer(app)


def test_an_unknown_flip_of_a_link_is_dropped_with_a_note(two):
    app = opened("Compare", run=[A], against=[B], flip=["zebra>dog"])
    assert not app.exception
    assert "knows no class 'zebra'" in plain(app)


def test_tables_are_those_of_the_library(two):
    _, version, _ = source.open_store(two)
    shown = comparison_queries.comparison_query(source.RunSource(str(two), version, A), [A, B], View().filters)
    found = comparison.load_comparison(Store(two), [A, B])
    for name, frame in (("pairs", found.pairs()), ("images", found.all_images()), ("flips", found.all_flips())):
        csv = comparison_queries.export_table(shown, name, "csv").decode()
        assert csv.splitlines()[0].split(",") == list(frame.columns)
        assert len(csv.splitlines()) == 1 + len(frame)
    assert comparison_queries.export_table(shown, "flips", "parquet")[:4] == b"PAR1"


def test_a_damaged_run_is_named_and_others_can_be_chosen(three):
    for part in three.glob(f"compare/*{C}*/part-*.parquet"):
        part.write_bytes(part.read_bytes()[:100])
    app = shown_all("Compare", run=[A])
    assert not app.exception
    assert "is damaged (" in plain(app)
    app.pills(key="w:compared").unselect(C).run()
    assert "<b>88.3\xa0%</b>" in html(app)
    assert not app.error


# --- links ---


def test_the_address_names_all_that_is_shown_and_a_later_run_changes_nothing(two):
    app = opened("Compare", run=[A], label=["cats", "dogs"])
    linked = {key: asked(app, key) for key in ("run", "against", "runs", "label", "n")}
    assert linked == {"run": [A], "against": [B], "runs": sorted([A, B]), "label": ["cats", "dogs"], "n": ["5"]}
    assert "figures" not in app.query_params
    before = answer(app)
    fill_store(two, code_schema=3, pixels={"cats/a.jpg": {"cat": 1}})
    comparison.update_counts(Store(two), [A, B, C])
    assert answer(opened("Compare", **linked)) == before
    assert "n = 1 of 5 photos" in html(opened("Compare", run=[A], label=["cats", "dogs"]))  # as old links are opened


def test_the_address_of_another_page_does_not_name_what_only_compare_shows(two):
    app = opened("Compare", run=[A])
    app.session_state["_target"] = "Explore"
    app.run()
    assert app.title[0].value == "Explore"
    assert {"runs", "against", "n"} & set(app.query_params) == set()
    app = opened("Compare", run=[A], n=["6"])
    app.session_state["_target"] = "Explore"
    app.run()
    assert "n" not in app.query_params  # Explore counts other photos


def test_another_number_of_photos_than_the_links_is_said_until_the_visitor_goes_on(two):
    app = opened("Compare", run=[A], n=["445"])
    sentence = "This link was made with n = 445; these figures count 6."
    assert sentence in plain(app)
    assert asked(app, "n") == ["445"]  # a reload says it again
    app.button(key="go_on").click().run()
    assert sentence not in plain(app)
    assert asked(app, "n") == ["6"]
    assert "This link was made" not in plain(opened("Compare", run=[A], n=["6"]))


@pytest.mark.parametrize("page", ["Overview", "Explore", "Image", "Compare", "Evaluate"])
def test_a_run_of_a_link_that_is_gone_is_said_and_never_replaced(two, page):
    app = opened(page, run=["gone-224-deadbeef"], against=[A], n=["9"])
    assert not app.exception
    assert "This link speaks of a run that is not in this store: gone-224-deadbeef." in plain(app)
    assert (asked(app, "run"), asked(app, "n")) == (["gone-224-deadbeef"], ["9"])
    assert "<dd" not in html(app)
    assert not app.get("bidi_component")
    if page in ("Compare", "Evaluate"):
        app.pills(key="w:instead").select(B).run()
    else:
        app.selectbox(key="w:instead").set_value(B).run()
    assert not app.exception
    assert "speaks of" not in plain(app)
    assert asked(app, "run") == [B if page != "Compare" else A]


def test_b_of_a_link_that_is_gone_is_said_and_never_replaced(three):
    linked = {"run": [A], "against": ["gone"], "runs": sorted([A, B, "gone", "lost"])}
    app = opened("Compare", **linked)
    assert "This link speaks of runs that are not in this store: gone, lost." in plain(app)
    assert answer(app) == ""
    app.pills(key="w:instead").select(C).run()
    assert not app.exception
    assert (asked(app, "run"), asked(app, "runs")) == ([A], sorted([A, B, C]))
    assert answer(app).startswith("All 3 runs")
    app = opened("Explore", **linked)  # whose figures are about A alone
    assert "There is no run 'gone' in this store to show beside the others" in plain(app)
    assert "<dd" in html(app)


def test_a_run_that_was_deleted_here_is_forgotten(three):
    app = opened("Compare", run=[A], against=[C], runs=[A, B, C])
    app.session_state["_target"] = "Runs"
    app.run()
    choose(app, C, "delete")
    app.button(key="delete").click().run()
    app.session_state["_target"] = "Compare"
    app.run()
    assert not app.exception
    assert "speaks of" not in plain(app)
    assert asked(app, "runs") == sorted([A, B])


# --- counting ---


def test_few_photos_are_counted_by_themselves(uncounted):
    app = opened("Compare", run=[A])
    assert not app.exception
    (job,) = Jobs(ServerSettings.read()).all()
    assert job.request == CompareRequest(runs=(A, B))
    assert app.button(key=f"stop:{job.id}").label == "Cancel"
    opened("Compare", run=[B])  # another visit, the other way round
    assert len(Jobs(ServerSettings.read()).all()) == 1


def test_many_photos_wait_for_a_button(uncounted, monkeypatch):
    monkeypatch.setattr(counting, "MAX_UNASKED_PHOTOS", 5)
    app = opened("Compare", run=[A])
    assert Jobs(ServerSettings.read()).all() == []
    assert app.button(key="count").label == "Compare 6 photos"
    app.button(key="count").click().run()
    assert len(Jobs(ServerSettings.read()).all()) == 1
    assert not app.exception


def test_a_store_that_cannot_be_written_is_a_sentence(uncounted, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(jobs, "write_json", refuse)
    app = opened("Compare", run=[A])
    assert not app.exception
    assert "The store cannot be written (Read-only file system)" in plain(app)


def test_photos_that_cannot_be_counted_are_said_and_left_out(two):
    store = Store(two)
    fill_store(two, code_schema=2, pixels={"cats/new.jpg": {"cat": 1}})
    fill_store(two, pixels={"cats/new.jpg": {"cat": 1}})
    store.mask_path(A, id_of("cats/new.jpg")).unlink()
    done = Job(id="0" * 12, request=CompareRequest(runs=(A, B)), requested_ns=1, state="finished", total=7, failed=1)
    app = opened("Compare", run=[A])
    assert "n = 6 of 7 photos" in html(app)
    assert counting.should_start(1, None)
    assert not counting.should_start(1, done)
    assert counting.should_start(2, done)


@pytest.mark.parametrize("state", ["cancelled", "failed", "lost"])
def test_what_was_stopped_does_not_start_itself_again(state):
    assert not counting.should_start(
        5, Job(id="0" * 12, request=CompareRequest(runs=(A, B)), requested_ns=1, state=state)
    )


# --- which runs ---


def test_which_runs_are_compared():
    names = ["n", "m", "l", "k", "j", "i", "h"]  # most recently used first
    assert compared_runs(View(), "m", names) == ["m", "n", "l", "k"]
    assert compared_runs(View(against="h"), "m", names) == ["m", "h", "n", "l", "k"]
    assert compared_runs(View(runs=("h", "m")), "m", names) == ["m", "h"]
    assert compared_runs(View(runs=("m",)), "m", names) == ["m", "n", "l", "k"]
    assert compared_runs(View(against="m", runs=("i", "j")), "m", names) == ["m", "j", "i"]
    assert len(compared_runs(View(runs=tuple(names)), "m", names)) == MAX_COMPARED_RUNS
    assert compared_runs(View(), "m", ["m"]) == ["m"]


def test_choosing_runs_keeps_a_and_the_usual_ones_leave_no_trace():
    names = ["n", "m", "l", "k", "j"]
    assert chosen_state(View(), "m", names, ["n", "l", "k", "m"])["runs"] == ()
    assert chosen_state(View(against="l"), "m", names, ["l", "j"]) == {"runs": ("j", "l", "m"), "against": "l"}
    assert chosen_state(View(against="l"), "m", names, ["n"]) == {"runs": ("m", "n"), "against": ""}
    assert chosen_state(View(), "m", names, [])["runs"] == ()


def test_times_measured_alone_are_told_from_those_of_runs_and_unknown_is_never_0(three, monkeypatch):
    frame = pd.DataFrame(
        {
            "run": [A, B, C],
            "ms_per_image": [400.0, 100.0, None],
            "latency_ms": [20.0, 60.0, None],
            "latency_alone": [True, True, None],
            "latency_device": ["cpu", "cpu", None],
            "parameters": [516, 3_078_021, None],
            "gflops": [0.01, 1.968, None],
            "checkpoint_bytes": None,
        }
    )
    monkeypatch.setattr(comparison_queries, "costs", lambda _, runs: frame.set_index("run").loc[[*runs]].reset_index())
    app = shown_all("Compare", run=[A], against=[B])
    assert not app.exception
    shown = html(app)
    assert "Time of B per photo against A, measured alone: 20 → 60 ms" in shown
    assert "<b>3.0x</b>" in shown
    assert "<td>20.0</td><td>400</td><td>516</td><td>0.01</td>" in shown
    assert "<td>60.0</td><td>100</td><td>3.1 M</td><td>1.97</td>" in shown
    assert f"<td>{'</td><td>'.join([DASH] * 5)}</td>" in shown
    assert "*: other processes" not in plain(app)
    frame.loc[1, "latency_alone"] = False
    app = shown_all("Compare", run=[A], against=[B])
    assert "Time of B per photo against A, of the whole run: 400 → 100 ms" in html(app)
    assert "<td>60.0*</td>" in html(app)
    assert "*: other processes were at work" in plain(app)


def test_tables_are_named_after_photos_page_and_runs(two, monkeypatch):
    names = []
    monkeypatch.setattr(st, "download_button", lambda *_, file_name, **__: names.append(file_name))
    opened("Compare", label=["cats"], run=[A], against=[B])
    runs = f"fake-net-64x64-fp32-{A[-8:]}-fake-net-64x64-fp32-{B[-8:]}"
    kinds = [f"{table}.{kind}" for table in ("pairs", "images", "flips") for kind in ("csv", "parquet")]
    assert [name for name in names if "compare" in name] == [f"photos-cats-compare-{runs}-{kind}" for kind in kinds]
