"""What the report of an evaluation says is what its files hold."""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from neuropt.reporting.blocks import Page, Table, Text
from neuropt.reporting.evaluation_data import read_evaluation
from neuropt.reporting.evaluation_records import ChildRow, TaskFacts
from neuropt.reporting.report import page_of, write_report
from neuropt.reporting.tuning_figures import basin, sweep_of
from tests.reporting.folders import EVALUATIONS, OPTIMIZERS, RATES, REPORT, TASKS, Written, write_evaluation
from tests.reporting.reading import parsed, rows_of

DIGITS = TaskFacts("digits", "vision", "accuracy", True, 100, 0.0)
PARABOLA = TaskFacts("parabola", "synthetic", "loss", False, 100, 1e4)


@pytest.fixture(scope="module")
def report(evaluation: Written, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(evaluation.folder, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(evaluation: Written) -> Page:
    return page_of(evaluation.folder)


def table(page: Page, name: str) -> Table:
    (found,) = [b for section in page.sections for b in section.blocks if isinstance(b, Table) and b.name == name]
    return found


def where(lines: list[dict[str, Any]], **values: object) -> list[dict[str, Any]]:
    return [line for line in lines if all(str(line[name]) == str(value) for name, value in values.items())]


@pytest.mark.parametrize("task", TASKS)
def test_a_learning_curve_is_the_median_of_its_seeds(task: str, evaluation: Written, report: Path) -> None:
    rows = where(rows_of(report.parent, "curves"), task=task, optimizer="adamw", schedule="cosine")
    points = where(evaluation.curves, task=task, optimizer="adamw", schedule="cosine")
    assert len(rows) == EVALUATIONS + 1
    for row in rows:
        values = [point["value"] for point in points if point["step"] == int(row["step"])]
        assert len(values) == len(REPORT) == int(row["n"])
        assert float(row["median"]) == pytest.approx(median(values))
        assert float(row["q1"]) <= float(row["median"]) <= float(row["q3"])
        assert float(row["seconds"]) == pytest.approx(0.0025 * int(row["step"]))


def test_a_curve_that_ends_counts_as_the_worst_from_there_on(evaluation: Written, report: Path) -> None:
    rows = where(rows_of(report.parent, "curves"), task="quadratic", optimizer="sgd", schedule="constant")
    points = where(evaluation.curves, task="quadratic", optimizer="sgd", schedule="constant", step=100)
    assert len(points) == len(REPORT) - 1, "one diverged"
    with_it = sorted([*(point["value"] for point in points), 1e4])
    assert float(rows[-1]["median"]) == pytest.approx((with_it[3] + with_it[4]) / 2)
    assert all(int(row["n"]) == len(REPORT) for row in rows)


def test_curves_stand_over_steps_and_over_seconds(report: Path) -> None:
    views = parsed(report).figures()["curves"]
    assert [view["choice"] for view in views] == [[task, axis] for task in TASKS for axis in ("steps", "seconds")]
    steps, seconds = (view["traces"][2]["x"] for view in views[:2])
    assert seconds == pytest.approx([0.0025 * step for step in steps])


def child(rate: float, final: float | None, trial: int = 1) -> ChildRow:
    return ChildRow("digits", "adam", "constant", "tune", trial, rate, final is None, final)


def test_a_sweep_takes_the_mean_over_seeds_and_the_best_of_what_else_was_tuned() -> None:
    children = [
        child(0.1, 0.8),
        child(0.1, 0.6),
        child(0.1, 0.9, 2),
        child(0.1, 0.9, 2),
        child(1.0, None, 3),
        child(1.0, 0.5, 3),
    ]
    assert sweep_of(children, DIGITS) == {
        0.1: (0.9, 0, 2),
        1.0: (0.25, 1, 2),
    }  # (0 + 0.5) / 2: a diverged one is the worst
    assert sweep_of(children[:2], PARABOLA)[0.1][0] == pytest.approx(0.7)
    assert sweep_of(children[:4], PARABOLA)[0.1][0] == pytest.approx(0.7), "of a loss the lowest"


@pytest.mark.parametrize(
    ("values", "task", "expected"),
    [
        ({1.0: 0.5, 2.0: 0.991, 4.0: 1.0, 8.0: 0.989}, DIGITS, (2.0, 4.0)),  # 1 % of 1.0 is 0.01: 0.989 is outside
        ({1.0: 0.995, 2.0: 0.5, 4.0: 1.0}, DIGITS, (4.0, 4.0)),  # a gap ends it
        ({1.0: 2.0, 2.0: 2.019, 4.0: 2.03}, PARABOLA, (1.0, 2.0)),  # 1 % of 2.0 is 0.02
        ({1.0: None}, DIGITS, None),
        ({}, DIGITS, None),
    ],
)
def test_a_basin_is_the_unbroken_stretch_within_one_percent(
    values: dict[float, float | None], task: TaskFacts, expected: tuple[float, float] | None
) -> None:
    assert basin({rate: (value, 0, 3) for rate, value in values.items()}, task) == expected


def test_learning_rates_show_where_children_diverged(report: Path) -> None:
    rows = rows_of(report.parent, "learning-rates")
    assert {float(row["learning_rate"]) for row in rows} == set(RATES)
    assert {row["diverged"] for row in where(rows, learning_rate=1.0)} == {"3"}
    assert {row["diverged"] for row in rows if float(row["learning_rate"]) < 0.5} == {"0"}
    (best,) = where(where(rows, task="digits-conv", optimizer="adamw", schedule="cosine"), learning_rate=0.01)
    assert best["in_basin"] == "1"
    crosses = [
        t for t in parsed(report).figures()["learning-rates"][0]["traces"] if t["marker"].get("symbol") == "x-thin"
    ]
    assert crosses
    assert all(trace["x"] == [1.0] and trace["text"] == ["3 of 3 diverged"] for trace in crosses)


def test_the_budget_figure_is_best_of_k_of_the_summary(evaluation: Written, report: Path) -> None:
    rows = rows_of(report.parent, "budget")
    for one in evaluation.summary["best_of_k"]:
        mine = where(rows, task=one["task"], optimizer=one["optimizer"], schedule=one["schedule"])
        assert [int(row["trials"]) for row in mine] == one["k"]
        assert [float(row["expected_best"]) for row in mine] == pytest.approx(one["value"])


def test_ranks_are_ordered_and_carry_the_critical_difference(evaluation: Written, report: Path) -> None:
    rows = rows_of(report.parent, "ranks")
    ranks = [float(row["mean_rank"]) for row in rows]
    assert ranks == sorted(entry["mean_rank"] for entry in evaluation.summary["ranks"]["entries"])
    trace = parsed(report).figures()["ranks"][0]["traces"][0]
    assert trace["error_x"]["value"] == pytest.approx(5.3 / 2), (
        "two bars overlap where ranks differ by less than all of it"
    )
    assert "where two bars overlap, no difference is shown" in parsed(report).words()


def test_the_profile_and_the_schedules_hold_every_entry(report: Path) -> None:
    assert len(rows_of(report.parent, "profile")) == 3 * 2 * 3
    heat = parsed(report).figures()["schedules"]
    assert [view["choice"] for view in heat] == [[task] for task in TASKS]
    assert [view["traces"][0]["reversescale"] for view in heat] == [False, True], "of a loss the lowest is strongest"


def test_tables_hold_every_entry_with_n(evaluation: Written, page: Page) -> None:
    results = table(page, "results")
    columns = [column.title for column in results.columns]
    assert columns[:6] == ["optimizer", "schedule", "task", "rank", "n", "div."]
    assert len(results.rows) == len(TASKS) * len(OPTIMIZERS) * 2
    for cells, row in zip(results.rows, evaluation.summary["rows"], strict=True):
        assert [cell.text for cell in cells[:3]] == [row["optimizer"], row["schedule"], row["task"]]
        assert cells[columns.index("final")].order == row["median"]
        assert (cells[4].text, cells[5].text) == (str(row["n"]), str(row["diverged"]))
    assert sum(cells[5].text == "1" for cells in results.rows) == 2, "sgd on the quadratic, under both schedules"
    tuning = table(page, "tuning")
    titles = [column.title for column in tuning.columns]
    assert {cells[titles.index("lr")].text for cells in tuning.rows if cells[0].text == "lion"} == {"0.01^"}, (
        "on the edge"
    )
    assert {cells[titles.index("diverged")].text for cells in tuning.rows} == {"3 of 15"}
    cost = table(page, "cost")
    titles = [column.title for column in cost.columns]
    assert {cells[titles.index("steps to it")].text for cells in cost.rows} == {"∞"}, "the median is a miss"
    assert {cells[titles.index("reached")].text for cells in cost.rows} == {"4 of 8"}
    assert all(cells[0].text != "adamw" for cells in table(page, "against").rows), "the reference is beside no one"


def test_claims_come_first_and_what_better_would_need_with_them(evaluation: Written, report: Path) -> None:
    words = parsed(report).words()
    (claim,) = evaluation.summary["claims"]
    assert words.index(claim) < words.index("Mean ranks")
    assert "No entry is called better here: RMSProp(0.99) was not compared." in words
    assert "neuropt evaluate adamw lion sgd --out comparison" in words


def test_many_claims_stand_at_the_end_and_the_one_over_all_tasks_first(tmp_path: Path) -> None:
    written = write_evaluation(tmp_path / "many")
    claims = [f"entry {i} is not shown to differ (n = 8)" for i in range(12)] + [
        "the entries do not all rank alike (n = 2)"
    ]
    (written.folder / "summary.json").write_text(json.dumps(written.summary | {"claims": claims}), encoding="utf-8")
    sections = {section.name: section for section in page_of(written.folder).sections}
    first, last = (sections[name].blocks[0] for name in ("claims", "sentences"))
    assert isinstance(first, Text)
    assert isinstance(last, Text)
    assert first.sentences[0] == claims[-1]
    assert list(last.sentences) == claims


def test_of_many_claims_the_ranks_and_every_verdict_stand_first(tmp_path: Path) -> None:
    written = write_evaluation(tmp_path / "verdicts")
    lacking = written.summary["better"]["missing"][0]
    overall = ["n = 2 tasks", f'Whether x is "better" is not said; missing: {lacking}.', "y is not shown to be better"]
    claims = [f"entry {i} is not shown to differ (n = 8)" for i in range(12)] + overall
    assert written.summary["ranks"]["words"] == overall[0]
    (written.folder / "summary.json").write_text(json.dumps(written.summary | {"claims": claims}), encoding="utf-8")
    blocks = {section.name: section for section in page_of(written.folder).sections}["claims"].blocks
    sentences = [sentence for block in blocks if isinstance(block, Text) for sentence in block.sentences]
    assert sentences[:3] == overall
    assert sum(lacking in sentence for sentence in sentences) == 1, "what is missing is said once"


@pytest.mark.parametrize(("p", "is_doubted"), [(0.6, True), (0.01, False)])
def test_who_is_first_is_no_headline_where_no_order_is_shown(tmp_path: Path, p: float, is_doubted: bool) -> None:
    written = write_evaluation(tmp_path / "first")
    written.summary["ranks"]["p"] = p
    (written.folder / "summary.json").write_text(json.dumps(written.summary), encoding="utf-8")
    (first,) = [fact for fact in page_of(written.folder).highlights if fact.label == "first mean rank"]
    assert ("no order of ranks is shown" in first.note) is is_doubted


def test_the_budget_of_tuning_stands_with_every_table(page: Page) -> None:
    found = {b.name: b.sentence for section in page.sections for b in section.blocks if isinstance(b, Table)}
    assert set(found) == {"ranks", "results", "against", "tuning", "cost"}
    for sentence in found.values():
        assert "Every entry was tuned with 5 trials on n = 3 tuning seeds." in sentence


def test_what_the_reference_itself_is_compared_with_is_said(page: Page, tmp_path: Path) -> None:
    assert "itself" not in table(page, "against").sentence
    written = write_evaluation(tmp_path / "itself")
    row = next(r for r in written.summary["rows"] if (r["optimizer"], r["schedule"]) == ("adamw", "cosine"))
    lion = next(r for r in written.summary["rows"] if r["optimizer"] == "lion")
    row["against"] = lion["against"] | {"reference": "adamw", "reference_schedule": "constant"}
    (written.folder / "summary.json").write_text(json.dumps(written.summary), encoding="utf-8")
    for name in ("against", "ranks"):
        sentence = table(page_of(written.folder), name).sentence
        assert "adamw itself is compared with adamw under constant." in sentence


def test_one_schedule_and_one_task_need_no_column_and_no_heat_map(tmp_path: Path) -> None:
    written = write_evaluation(tmp_path / "one", schedules=("constant",))
    summary = written.summary
    summary["rows"] = [row for row in summary["rows"] if row["task"] == "quadratic"]
    summary["tasks"] = {"quadratic": summary["tasks"]["quadratic"]}
    (written.folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    page = page_of(written.folder)
    assert [column.title for column in table(page, "results").columns][:2] == ["optimizer", "rank"]
    assert "schedules" not in [figure.name for figure in page.figures]
    assert {view.choice[0] for figure in page.figures for view in figure.views if view.choice} == {"quadratic"}


def test_an_entry_that_failed_and_a_seen_task_are_marked(evaluation: Written, tmp_path: Path) -> None:
    written = write_evaluation(tmp_path / "failed")
    row = written.summary["rows"][-1]
    row |= dict.fromkeys(("median", "q1", "q3", "low", "high", "learning_rate", "test_median"), None)
    row |= {"failure": "ValueError: no gradient", "n": 0}
    written.summary["rows"][0]["seen"] = "family"
    (written.folder / "summary.json").write_text(json.dumps(written.summary), encoding="utf-8")
    page = page_of(written.folder)
    results = table(page, "results")
    assert [(cell.text, cell.note) for cell in results.rows[-1]][6] == ("failed", "ValueError: no gradient")
    assert results.marked == {0}
    assert results.rows[0][0].note == "family seen in search"
    assert "1 entry could not be trained and ranks last." in page.summary


def test_a_grafting_table_is_a_heat_map(tmp_path: Path) -> None:
    written = write_evaluation(tmp_path / "grafts")
    words = "rows differ more than columns, n = 2 tasks"
    written.summary["grafting"] = {
        **{"magnitudes": ["sgd", "adam"], "directions": ["sgd", "adam", "yogi"], "tables": {"a": [], "b": []}},
        **{"mean_ranks": [[1.0, 2.0, None], [4.0, 5.0, 6.0]], "words": words},
    }
    (written.folder / "summary.json").write_text(json.dumps(written.summary), encoding="utf-8")
    report = write_report(written.folder)
    rows = rows_of(report.parent, "grafting")
    assert [(r["magnitude"], r["direction"], r["mean_rank"]) for r in rows][2:4] == [
        ("sgd", "yogi", ""),
        ("adam", "sgd", "4.0"),
    ]
    assert words in parsed(report).words()


def test_long_names_are_short_in_figures_and_stay_apart(tmp_path: Path) -> None:
    names = (
        "adamw(weight_decay=0|0.1)",
        "adamw(beta2=0.95|0.999)",
        "clip(g, 0.0001) + clip(mhat * sqrt(abs(rd)), 0.001)",
        "sgd",
    )
    data = read_evaluation(write_evaluation(tmp_path / "long", optimizers=names, schedules=("constant",)).folder)
    shown = [data.label((name, "constant")) for name in names]
    assert shown[0] == "adamw(...)"
    assert shown[3] == "sgd"
    assert len(set(shown)) == 4
    assert max(map(len, shown)) <= 26
    words = parsed(write_report(data.folder)).words()
    assert all(name in words for name in names), "in full in the tables"


def test_a_missing_curves_file_costs_that_figure_only(tmp_path: Path) -> None:
    written = write_evaluation(tmp_path / "curveless")
    (written.folder / "curves.csv").unlink()
    names = [figure.name for figure in page_of(written.folder).figures]
    assert "curves" not in names
    assert {"ranks", "learning-rates", "budget"} <= set(names)


@pytest.mark.parametrize(("name", "column"), [("update-norms", "update_norm"), ("update-cosines", "cosine")])
def test_updates_along_training_are_those_of_the_traces(
    name: str, column: str, evaluation: Written, report: Path
) -> None:
    rows, views = rows_of(report.parent, name), parsed(report).figures()[name]
    recorded = [line for line in evaluation.traces if line[column] != ""]
    assert len(rows) == len(recorded) == len(evaluation.traces) - 4 * (column == "cosine"), "some have no direction"
    for line in recorded:
        entry = {key: line[key] for key in ("task", "optimizer", "schedule", "step")}
        (row,) = where(rows, **entry)
        assert float(row[column]) == pytest.approx(line[column])
        assert int(row["n"]) == 1
    assert [view["choice"] for view in views] == [[task] for task in TASKS]
    assert [len(view["traces"]) for view in views] == [len(OPTIMIZERS) * 2] * 2
    axis = views[0]["layout"]["yaxis"]
    assert axis.get("type") == ("log" if column == "update_norm" else None), "they span decades"
    if column == "cosine":
        low, high = axis["range"]
        assert low < min(line["cosine"] for line in recorded)
        assert high > 1
    assert "n = 1 report seed." in parsed(report).words()


def test_several_traced_seeds_are_a_median(tmp_path: Path) -> None:
    written = write_evaluation(tmp_path / "several", schedules=("constant",))
    with (written.folder / "traces.csv").open("a", encoding="utf-8") as file:
        for seed, norm in ((22, 7.0), (23, 5.0)):
            file.write(f"digits-conv,adamw,constant,{seed},0.01,0,0.01,{norm},1.0,0.5\n")
    report = write_report(written.folder)
    (row,) = where(rows_of(report.parent, "update-norms"), task="digits-conv", optimizer="adamw", step=0)
    assert (float(row["update_norm"]), row["n"]) == (7.0, "3")  # of 100, 7 and 5
    assert "n = 3 report seeds, of which this is the median." in parsed(report).words()


@pytest.mark.parametrize(
    "kept", [None, "task,optimizer,schedule,seed,learning_rate,step,lr,update_norm,gradient_norm,cosine\n"]
)
def test_what_was_not_traced_is_not_drawn_and_the_report_says_how_to_get_it(tmp_path: Path, kept: str | None) -> None:
    written = write_evaluation(tmp_path / "untraced")
    (written.folder / "traces.csv").unlink()
    if kept is not None:
        (written.folder / "traces.csv").write_text(kept, encoding="utf-8")
    report = write_report(written.folder)
    assert not {"update-norms", "update-cosines"} & parsed(report).figures().keys()
    assert "were not recorded in this evaluation" in parsed(report).words()
    assert "neuropt evaluate --resume --out DIR" in parsed(report).words()


def test_what_the_folder_means_is_what_its_document_says() -> None:
    """Columns and names that are read here stand in docs/evaluation.md, where there is one."""
    document = Path(__file__).parents[2] / "docs" / "evaluation.md"
    if not document.is_file():
        pytest.skip("docs/evaluation.md is not here yet")
    text = document.read_text(encoding="utf-8")
    source = Path(__file__).parents[2] / "neuropt" / "reporting" / "evaluation_data.py"
    read = re.findall(
        r"""(?:row|line|against|default|target|task|ranks|profile|summary)(?:\[|\.get\()"(\w+)\"""",
        source.read_text(encoding="utf-8"),
    )
    assert len(read) > 30
    assert [name for name in read if not re.search(rf"\b{name}\b", text)] == []
