"""The table of runs: what its rows say, and what the entries of their menus do."""

from dataclasses import replace

import streamlit

from dashboard.formatting import local_time
from seglib.evaluation import comparison
from seglib.store.store import Store
from tests.dashboard.conftest import fill_store, make_run_config
from tests.dashboard.views.shared.test_job_status import NETWORK
from tests.dashboard.views.test_pages import asked, opened, said
from tests.dashboard.views.test_progress_bar import JOB, write_job
from tests.dashboard.views.test_runs import choose, entry, table


def test_a_row_says_what_a_run_is_and_what_became_of_it(full, monkeypatch):
    store, name = Store(full), make_run_config(1).run_name
    dataset = store.datasets()[0]
    (row,) = table(opened("Runs"))
    assert (row["model"], row["size"], row["speed"], row["used"][-4:]) == ("fake_net", "64x64 · fp32", "", " UTC")
    assert (row["state"], row["tone"], row["datasets"]) == ("done", "", "")
    invocation = {"dataset": dataset.id, "started": "2026-11-27T17:45:30+00:00", "computed": 6, "seconds": 3.0}
    store.record_invocation(store.run(), invocation | {"failed": 1, "device": "cpu"})
    monkeypatch.setattr(type(streamlit.context), "timezone", "Europe/Zurich")
    (row,) = table(opened("Runs"))
    assert row["used"] == local_time(store.run(name).last_used, "Europe/Zurich")
    assert (row["speed"], row["datasets"]) == ("2.0 photos/s on cpu", "photos · 1 unreadable")
    assert (row["state"], row["tone"]) == ("needs its folder", "problem")
    (full.parent / "photos").mkdir()
    assert table(opened("Runs"))[0]["state"] == "done"
    other = fill_store(full, pixels={"cats/a.jpg": {"dog": 10}}, code_schema=2)
    store.record_invocation(other, invocation | {"failed": 0, "device": "cpu"})
    assert {row["run"]: row["state"] for row in table(opened("Runs"))} == {other.run: "partial, 1 of 6", name: "done"}


def test_what_cannot_be_done_is_greyed_with_its_reason(full):
    name = make_run_config(1).run_name
    app = opened("Runs")
    assert [one["id"] for one in table(app)[0]["actions"]] == [
        *("explore", "compare", "again", "verify", "rename", "log", "delete")
    ]
    greyed = {one["id"] for one in table(app)[0]["actions"] if one["why_not"]}
    assert greyed == {"compare", "again", "verify", "log"}
    assert "no other run" in entry(app, name, "compare")["why_not"]
    write_job(full, "running", run=name, total=6, computed=2)
    app = opened("Runs")
    assert table(app)[0]["state"] == "running, 2 of 6"
    assert "It is being computed" in entry(app, name, "delete")["why_not"]
    assert not entry(app, name, "log")["why_not"]


def test_a_run_is_compared_with_another(full):
    first, second = make_run_config(1).run_name, fill_store(full, code_schema=2).run
    comparison.update_counts(Store(full), [first, second])
    app = choose(opened("Runs"), second, "compare")  # with two runs there is no question
    assert app.title[0].value == "Compare"
    assert (asked(app, "run"), asked(app, "against")) == ([second], [first])
    third = fill_store(full, code_schema=3).run
    comparison.update_counts(Store(full), [first, second, third])
    app = choose(opened("Runs"), first, "compare")
    assert app.title[0].value == "Runs"
    labels = {f"fake_net · 64x64 · fp32 · {run[-8:]}" for run in (second, third)}
    assert set(app.selectbox(key="runs:other").options) == labels


def test_the_log_of_a_job_is_shown_and_names_no_place(full):
    name = make_run_config(1).run_name
    write_job(full, "failed", run=name, total=6, computed=2, sentence="There is no memory.")
    app = opened("Runs")
    app.button(key=f"log:{JOB}").click().run()
    assert "The log of this job cannot be read" in said(app)
    (full / "jobs" / JOB / "log.txt").write_text(f'File "{full.resolve()}/x.py", line 3\nMemoryError')
    for shown in (choose(app, name, "log"), app.button(key=f"log:{JOB}").click().run()):
        assert not shown.exception
        assert "MemoryError" in shown.code[0].value
        assert str(full.resolve()) not in shown.code[0].value
    (full / "jobs" / JOB / "log.txt").write_text("")
    assert "Nothing is written in it" in said(app.button(key=f"log:{JOB}").click().run())


def test_what_runs_stands_first_then_what_waits(full):
    for number, state in enumerate(("waiting", "running", "waiting")):
        write_job(full, state, replace(NETWORK, title=f"folder {number}"), f"{number:012}", total=6, computed=2)
    text = said(opened("Runs"))
    places = [text.index(f"on folder {number}") for number in (1, 0, 2)]
    assert places == sorted(places)
