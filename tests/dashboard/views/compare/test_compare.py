"""The Compare page, through Streamlit's own test driver."""

import re
from urllib.parse import parse_qsl

import pandas as pd
import pytest
import streamlit as st

from dashboard.formatting import DASH
from dashboard.queries import comparison as comparison_queries
from dashboard.queries import ranking, source
from dashboard.state.view import View, decode, query_params
from seglib.evaluation import comparison, truth_counting
from seglib.store.store import Store
from tests.annotated import open_drawn
from tests.dashboard.conftest import id_of, make_run_config
from tests.dashboard.queries.test_comparison_stats import draw_truth
from tests.dashboard.views.image.test_image import place
from tests.dashboard.views.test_pages import asked, component, html, opened, said

A, B, C = (make_run_config(schema).run_name for schema in (1, 2, 3))


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
