"""What the report of a search says is what its ledger holds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from plotly import graph_objects

from neuropt.cli import main
from neuropt.commands import COMMANDS
from neuropt.commands.parsing import parse
from neuropt.commands.studies import Search
from neuropt.config import SearchConfig
from neuropt.evaluating.row import Row
from neuropt.evaluating.statistics import Spread
from neuropt.reporting.blocks import Figure
from neuropt.reporting.finalist_figures import finalists_figure
from neuropt.reporting.measures import LOSS
from neuropt.reporting.provenance import repeating
from neuropt.reporting.report import page_of, write_report
from neuropt.reporting.run_data import read_run
from neuropt.reporting.search_figures import windows
from neuropt.searching.ledger import open_ledger
from neuropt.searching.recorded import finalist_rows
from neuropt.searching.search import run_search
from tests.cli.running import run_here
from tests.reporting.conftest import CONFIG
from tests.reporting.reading import parsed, rows_of


@pytest.fixture(scope="module")
def report(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(run, tmp_path_factory.mktemp("report"))


def query(run: Path, text: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(run / "ledger.sqlite")) as connection:
        return connection.execute(text).fetchall()


def test_the_reward_figure_holds_every_trained_rule_and_the_best_so_far(run: Path, report: Path) -> None:
    rows = rows_of(report.parent, "reward")
    order = query(
        run,
        "SELECT r.proposal, r.reward FROM rewards r JOIN proposals p ON p.id = r.proposal JOIN told t USING (trial) "
        "WHERE r.status = 'trained' ORDER BY t.event, r.proposal",
    )
    assert [(int(row["proposal"]), float(row["reward"])) for row in rows] == order
    rewards = [float(row["reward"]) for row in rows]
    assert [float(row["best_so_far"]) for row in rows] == [max(rewards[: i + 1]) for i in range(len(rewards))]
    first = [float(row["reward"]) for row in rows if row["window"] == "1"]
    assert float(rows[0]["window_q50"]) == pytest.approx(sum(sorted(first)[4:6]) / 2), (
        "ten rules: between the middle two"
    )


def test_windows_cover_everything_once() -> None:
    for count in (1, 9, 10, 11, 399, 400, 401, 2000, 12345):
        found = windows(count)
        assert [i for window in found for i in window] == list(range(count))
        assert len(found) <= 41
        assert min(len(window) for window in found) >= min(count, 10)


def test_shares_of_proposals_are_those_of_the_ledger(run: Path, report: Path) -> None:
    rows = rows_of(report.parent, "proposals")
    total = sum(int(row["proposals"]) for row in rows)
    assert (total,) == query(run, "SELECT count(*) FROM proposals")[0]
    for status in ("duplicate", "rejected"):
        (count,) = query(run, f"SELECT count(*) FROM proposals WHERE status = '{status}'")[0]
        assert sum(float(row[status]) * int(row["proposals"]) for row in rows) == pytest.approx(count)
    statuses = ("trained", "failed", "under way", "duplicate", "rejected")
    assert all(sum(float(row[status]) for status in statuses) == pytest.approx(1.0) for row in rows)


def test_reasons_of_rejections_are_counted(run: Path, report: Path) -> None:
    words = parsed(report).words()
    reasons = query(run, "SELECT reason, count(*) FROM proposals WHERE status = 'rejected' GROUP BY reason")
    assert reasons
    for reason, count in reasons:
        assert f"{reason} {count} " in words


def test_the_controller_figure_holds_every_update(run: Path, report: Path) -> None:
    with closing(open_ledger(run / "ledger.sqlite")) as ledger:
        last, metrics = ledger.last_update(), ledger.last_metrics()
    rows = rows_of(report.parent, "controller")
    assert int(rows[-1]["update"]) == last
    assert float(rows[-1]["entropy"]) == metrics["entropy"]
    first = parsed(report).figures()["controller"][0]
    assert first["choice"] == ["entropy"], "shown at first"
    assert first["traces"][0]["y"][-1] == pytest.approx(metrics["entropy"], rel=1e-5)


def test_shares_of_tokens_sum_to_one_in_every_window_and_kind(report: Path) -> None:
    rows = rows_of(report.parent, "tokens")
    assert {row["kind"] for row in rows} == {"operand", "unary", "binary"}
    for kind in ("operand", "unary", "binary"):
        for first in {row["first"] for row in rows}:
            found = [float(row["share"]) for row in rows if (row["kind"], row["first"]) == (kind, first)]
            assert sum(found) == pytest.approx(1.0)
    assert {"adam", "g", "result 1"} <= {row["token"] for row in rows}


def test_finalists_stand_beside_built_ins_with_their_intervals(run: Path, report: Path) -> None:
    with closing(open_ledger(run / "ledger.sqlite")) as ledger:
        expected = finalist_rows(ledger)
    rows = [row for row in rows_of(report.parent, "finalists") if row["split"] == "validation"]
    assert [row["optimizer"] for row in rows] == [row.optimizer for row in expected]
    for row, of in zip(rows, expected, strict=True):
        assert of.accuracy is not None
        assert (float(row["median"]), float(row["low"]), float(row["high"])) == (
            of.accuracy.median,
            of.accuracy.low,
            of.accuracy.high,
        )
        assert int(row["n"]) == CONFIG.finalist_seeds
    assert {row["optimizer"] for row in rows if row["found"] == "1"} == {"small:1", "small:2"}
    assert "no evidence for other tasks" in parsed(report).words()


def test_learning_rate_curves_are_those_of_the_tuning(run: Path, report: Path) -> None:
    rows = rows_of(report.parent, "learning-rates")
    assert {"small:1", "small:2"} <= {row["curve"] for row in rows}
    assert len({row["curve"] for row in rows}) == 5, "two found rules and three built-ins"
    best = {row["curve"]: row for row in rows if float(row["multiple_of_best"]) == 1.0}
    with closing(open_ledger(run / "ledger.sqlite")) as ledger:
        for of in finalist_rows(ledger):
            if of.optimizer in best:
                assert float(best[of.optimizer]["learning_rate"]) == of.learning_rate, "what tuning chose"
    assert all(int(row["n"]) == 3 for row in rows)


def test_the_best_rules_are_shown_as_formulas(run: Path, report: Path) -> None:
    page, text = parsed(report), report.read_text(encoding="utf-8")
    (trained,) = query(run, "SELECT count(*) FROM rewards WHERE status = 'trained'")[0]
    assert text.count("<math ") == min(10, int(str(trained)))
    assert "".join(page.words().split()).count("small:1") >= 3
    with closing(open_ledger(run / "ledger.sqlite")) as ledger:
        for rule in ledger.best(10):
            assert "; ".join(rule.rule.splitlines()) in page.words()


@pytest.mark.parametrize("kind", ["run", "evaluation"])
def test_every_figure_is_one_that_plotly_knows(kind: str, request: pytest.FixtureRequest) -> None:
    """Plotly's own classes refuse an attribute that does not exist, in a trace and in a layout."""
    found = request.getfixturevalue(kind)
    figures = page_of(found if kind == "run" else found.folder).figures
    assert len(figures) >= 6
    for figure in figures:
        for view in figure.views:
            graph_objects.Figure({"data": coloured(list(view.traces)), "layout": coloured(view.layout)})


def coloured(value: object) -> object:
    """Traces as the page draws them, with real colours for those of the page."""
    match value:
        case "@scale":
            return "Blues"
        case str() if value.startswith("@"):
            return "#123456"
        case dict():
            return {name: coloured(inner) for name, inner in value.items()}
        case list() | tuple():
            return [coloured(inner) for inner in value]
        case _:
            return value


@pytest.mark.parametrize("kind", ["run", "evaluation"])
def test_every_figure_has_a_sentence_with_n_and_its_data_beside_it(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    found = request.getfixturevalue(kind)
    folder = found if kind == "run" else found.folder
    page = parsed(write_report(folder, tmp_path))
    figures = [block for section in page_of(folder).sections for block in section.blocks if isinstance(block, Figure)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*(f.file for f in figures), "report.html"])
    for figure in figures:
        assert "n = " in figure.sentence, figure.name
        assert figure.sentence in page.words()
        assert figure.file in page.attributes("a", "href")
        assert rows_of(tmp_path, figure.name)
    labels = [label for label in page.attributes("div", "aria-label") if label]
    assert all(any(figure.sentence in label for label in labels) for figure in figures)


CONFIGS = [
    SearchConfig(),
    CONFIG,
    replace(CONFIG, halving=False, deterministic=True, groups=1, space="icml2017", reward="loss", precision="bf16"),
    replace(SearchConfig(), warm_start="adam,power sign", rules_per_trial="auto", child_seconds=2.5, workers=2),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.rules}-{config.reward}")
def test_the_command_to_repeat_a_search_is_read_as_its_configuration(config: SearchConfig) -> None:
    import shlex

    program, verb, *arguments = shlex.split(repeating(config, "first"))
    assert (program, verb) == ("neuropt", "search")
    command = parse(COMMANDS, [verb, *arguments])
    assert isinstance(command, Search)
    assert command.config == config
    assert command.run == Path("runs/first-again")


def test_cost_and_provenance_are_those_of_the_run(run: Path, report: Path) -> None:
    words = parsed(report).words()
    children, steps = query(run, "SELECT count(*), sum(steps) FROM children")[0]
    assert f"children {children:,} " in words
    assert f"training steps {steps:,} " in words
    with closing(open_ledger(run / "ledger.sqlite")) as ledger:
        assert all(fact in words for fact in ledger.facts().values())
    assert "neuropt search --rules 30" in words


def test_a_run_that_has_trained_nothing_yet_has_a_report(copied: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(copied / "ledger.sqlite")) as connection, connection:
        for table in ("rewards", "children", "told", "updates", "works", "finalists", "proposals", "asked"):
            connection.execute(f"DELETE FROM {table}")
    words = parsed(write_report(copied, tmp_path / "out")).words()
    assert "No rule is trained yet" in words
    assert "There are no finalists yet; 2 rules will be trained again" in words


def test_a_search_by_loss_without_finalists_has_a_report(tmp_path: Path) -> None:
    config = SearchConfig(
        space="icml2017",
        groups=1,
        task="table:icml2017-digits-mlp",
        controller="random",
        rules=40,
        finalists=0,
        reward="loss",
    )
    folder = run_search(config, tmp_path / "table")
    report = write_report(folder)
    words = parsed(report).words()
    assert report == folder / "report" / "report.html"
    assert "minus log of validation loss" in words
    assert "recorded no update" in words
    assert "This search trained no finalists" in words
    data = read_run(folder)
    assert f"of n = {data.status.trained:,} by reward" in words


@pytest.mark.parametrize(("worst", "scale"), [(2.0, None), (40.0, "log")])
def test_losses_that_span_decades_stand_on_a_logarithmic_axis(worst: float, scale: str | None) -> None:
    rows = [
        Row("t", name, None, "loss", 0.1, False, 7, 3, 8, 0, None, Spread(x, x, x, 0.9 * x, 1.1 * x), None, None)
        for name, x in (("adam", 1.0), ("sgd", worst))
    ]
    figure = finalists_figure(rows, LOSS)
    assert figure is not None
    assert figure.views[0].layout["xaxis"].get("type") == scale


def test_the_command_writes_it_and_replaces_its_own_only(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert main(["report", str(run), "-o", str(tmp_path)]) == 0
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    (tmp_path / "report.html").write_text("mine", encoding="utf-8")
    ended = run_here(capsys, "report", str(run), "-o", str(tmp_path))
    assert ended.code == 2
    assert "is no report of neuropt" in ended.err
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "mine"
