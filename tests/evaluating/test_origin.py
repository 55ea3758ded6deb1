"""What a search saw is no evidence, whether by a file, an export, or a run that it began with; and no failure is dropped."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
import torch

from neuropt.config import SearchConfig
from neuropt.evaluating.better import missing
from neuropt.evaluating.config import EvaluationConfig
from neuropt.evaluating.contenders import Contender, find_contender
from neuropt.evaluating.evaluate import evaluate
from neuropt.evaluating.evidence import seen
from neuropt.evaluating.measure import Measure
from neuropt.evaluating.protocol import fresh_seeds
from neuropt.evaluating.summary import Summary
from neuropt.exporting import Provenance, export_rule
from neuropt.finding import NamedRule
from neuropt.searching.engine import CHILD_SEEDS
from neuropt.searching.run_folder import CONFIG, LEDGER
from neuropt.tasks import get_task, load_task_data
from neuropt.tasks.task import Source
from search_space import parse_rule
from tests.evaluating.written_studies import PROTOCOL, TASK, child, studies, study, task

RULE = parse_rule("g * exp(sign(g) * sign(m))")
LOW = [0.80, 0.81, 0.82, 0.83, 0.84, 0.85, 0.86, 0.87, 0.88, 0.89]
HIGH = [value + 0.1 for value in LOW]


def test_a_task_of_a_file_is_known_by_its_path_and_marks_its_family() -> None:
    own = replace(task("surface", "family-0"), source=Source("/there/task.py", "mine", ""))
    contender = Contender("mine", RULE, searched=frozenset({"/there/task.py:mine"}))
    assert seen(contender, own) == "task"


def test_a_task_that_nobody_knows_here_forbids_the_word() -> None:
    contender = Contender("mine", RULE, searched=frozenset({"/there/task.py:other"}))
    reasons = missing(
        contender, studies({f"task-{i} family-{i}": [study(contender, HIGH)] for i in range(6)}), PROTOCOL
    )
    assert any("/there/task.py:other, whose family is not known here" in reason for reason in reasons)


def test_a_file_that_is_loaded_says_its_family(tmp_path: Path) -> None:
    path = tmp_path / "task.py"
    path.write_text(
        "from dataclasses import replace\nfrom neuropt.tasks import get_task\n"
        "mine = replace(get_task('digits-mlp'), name='mine', family='family-7')\n"
    )
    contender = Contender("found", RULE, searched=frozenset({f"{path}:mine"}))
    assert seen(contender, task("other", "family-7")) is None
    assert seen(contender, get_task(f"{path}:mine")) == "task"
    assert seen(contender, task("other", "family-7")) == "family"


@pytest.mark.parametrize(("target", "name"), [("json", "found.json"), ("torch", "found.py"), ("optax", "found.py")])
def test_an_export_keeps_what_its_search_saw(target: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(
        export_rule(RULE, target, provenance=Provenance(name="first:1", run="first:1", seed=3, task="wine-mlp"))
    )
    found = find_contender(str(path))
    assert found.searched == {"wine-mlp"}
    assert 30_000 in found.used_seeds
    path.write_text(export_rule(RULE, target, provenance=Provenance()))
    assert find_contender(str(path)).searched == frozenset()


def test_seeds_that_its_search_may_have_used_are_drawn_by_no_evaluation(tmp_path: Path) -> None:
    root, seed = next(
        (root, seed)
        for root in range(1_000)
        for seed in chain(*fresh_seeds([1, 2], root))
        if seed < CHILD_SEEDS**2  # one that a search can have
    )
    path = tmp_path / "found.json"
    behind = Provenance(name="first:1", run="first:1", seed=seed // CHILD_SEEDS, task="wine-mlp")
    path.write_text(export_rule(RULE, "json", provenance=behind))
    found = evaluate([str(path)], ["digits-mlp"], seed=root, seeds=2, tune_seeds=1, trials=5, steps=2)
    assert seed not in {*found.protocol.tune_seeds, *found.protocol.report_seeds}


def test_a_run_that_began_with_rules_of_another_saw_its_task_too(tmp_path: Path) -> None:
    from neuropt.evaluating.origin import origin

    def run(name: str, task: str, seed: int, warm_start: str | None) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / CONFIG).write_text(SearchConfig(task=task, seed=seed, warm_start=warm_start).to_toml())
        (folder / LEDGER).touch()
        return folder

    first = run("first", "wine-mlp", 1, "adam")
    second = run("second", "digits-mlp", 2, str(first))
    third = run("third", "quadratic-ill", 3, f"{second},{tmp_path / 'gone'}:1")
    tasks, seeds = origin(NamedRule(RULE, "third:1", run=third))
    assert tasks == {"quadratic-ill", "digits-mlp", "wine-mlp", f"{tmp_path / 'gone'}:1"}
    assert seeds == (10_000, 20_000, 30_000)


def test_a_task_on_which_it_could_not_be_trained_is_lost() -> None:
    broken = replace(study("adam", []), failure="not finite on the trajectory", report=())
    found = {f"task-{i} family-{i}": [study("rmsprop", LOW), study("adam", HIGH)] for i in range(2)}
    found |= {"task-2 family-2": [study("rmsprop", LOW), broken]}
    summary = Summary(studies(found), PROTOCOL, EvaluationConfig(("a",), ("a",), reference="rmsprop"), {})
    (wins,) = summary.wins()
    assert (wins["wins"], wins["losses"], wins["tasks"], wins["failed"]) == (2, 1, 3, 1)
    assert "n = 3 tasks" in summary.claims()[0]
    assert "it could not be trained on task-2, which counts as behind" in summary.claims()[0]


def test_an_entry_is_compared_under_its_own_schedule() -> None:
    entries = [study("adam", LOW), study("adam", HIGH, "linear"), study("sgd", LOW), study("sgd", HIGH, "linear")]
    found = {f"task-{i} family-{i}": entries for i in range(2)}
    summary = Summary(studies(found), PROTOCOL, EvaluationConfig(("a",), ("a",), reference="adam"), {})
    wins = {(one["optimizer"], one["schedule"]): (one["wins"], one["ties"]) for one in summary.wins()}
    assert wins == {("adam", "linear"): (2, 0), ("sgd", "constant"): (0, 2), ("sgd", "linear"): (0, 2)}
    assert [claim.split(",")[0] for claim in summary.claims()[:3]] == [
        *("adam under linear against adam", "sgd against adam", "sgd under linear against adam under linear")
    ]
    shown = {(row["optimizer"], row["schedule"]): row["against"] for row in summary.rows()}
    assert shown["adam", "constant"] is None
    assert shown["sgd", "linear"]["reference_schedule"] == "linear"
    assert summary.content({})["protocol"]["reference"] == "adam under the same schedule"


def test_the_best_of_a_diverged_child_is_the_worst() -> None:
    measure = Measure(TASK, "accuracy")
    assert measure.best(child(None, 1, [0.1, 0.9])) == 0.0
    assert measure.best(child(0.5, 1, [0.1, 0.9])) == 0.9


def test_770_of_1000_reach_77_percent_whether_archived_or_not() -> None:
    measure = Measure(TASK, "accuracy")
    share = float(torch.tensor([1.0] * 770 + [0.0] * 230).mean())
    assert share < 0.77
    for value in (share, 0.77):
        assert measure.steps_to(0.77, child(value, 1, [0.1, value, value]), 2, 2) == TASK.steps / 2
    assert measure.steps_to(0.77, child(0.769, 1, [0.1, 0.769, 0.769]), 2, 2) == float("inf")


@pytest.mark.parametrize("what", ["RuntimeError", "KeyError", "OSError"])
def test_what_the_load_of_ones_own_task_raises_is_one_line(what: str, tmp_path: Path) -> None:
    path = tmp_path / "task.py"
    path.write_text(
        "from dataclasses import replace\nfrom neuropt.tasks import get_task\n"
        f"def load(folder):\n    raise {what}('no\\nluck')\n"
        "mine = replace(get_task('digits-mlp'), name='mine', load=load)\n"
    )
    with pytest.raises(ValueError, match=rf"Task\(load=...\) of mine raised {what}: ") as caught:
        load_task_data(get_task(f"{path}:mine"))
    assert "\n" not in str(caught.value)


def test_a_task_file_that_exits_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text("raise SystemExit(3)")
    with pytest.raises(ValueError, match="raised SystemExit: 3"):
        get_task(f"{tmp_path / 'task.py'}:mine")
