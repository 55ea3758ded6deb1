"""A search that begins from rules somebody names, or from an earlier run."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from controllers import Known
from neuropt.config import SearchConfig
from neuropt.searching.ledger import Ledger, open_ledger
from neuropt.searching.search import run_search
from neuropt.searching.warm_start import known_from_json, known_strings, known_to_json
from search_space import load_space, parse_rule, same_rule, zoo

CONFIG = SearchConfig(
    space="icml2017",
    groups=2,
    controller="evolution",
    rules=8,
    rules_per_trial=4,
    steps=12,
    finalists=0,
    executor="in-process",
)
SPACE = load_space("icml2017", groups=2)


def begun(text: str, config: SearchConfig = CONFIG) -> list[Known]:
    config = replace(config, warm_start=text)
    return known_strings(config, load_space(config.space, config.groups))


def ledger(folder: Path) -> Ledger:
    return open_ledger(folder / "ledger.sqlite")


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_search(CONFIG, tmp_path_factory.mktemp("runs") / "earlier")


def test_names_become_strings_of_their_rules() -> None:
    known = begun("adam, powersign,g * exp(clip(g, 1e-3))")
    assert [k.reward for k in known] == [None, None, None]
    rules = [zoo()["adam"], zoo()["powersign"], parse_rule("g * exp(clip(g, 1e-3))")]
    assert all(same_rule(SPACE.decode(k.tokens), rule) for k, rule in zip(known, rules, strict=True))


def test_a_rule_longer_than_any_path_is_a_rule() -> None:
    (known,) = begun("g *" + " " * 300 + "exp(g)")
    assert same_rule(SPACE.decode(known.tokens), parse_rule("g * exp(g)"))


def test_a_rule_that_the_space_says_only_negated_is_taken_negated() -> None:
    space = load_space("tiny")
    assert space.encode(parse_rule("-exp(g)")) is None
    (known,) = known_strings(replace(CONFIG, space="tiny", groups=1, warm_start="-exp(g)"), space)
    assert space.decode(known.tokens).text == "exp(g)"


def test_named_rules_are_trained_first(tmp_path: Path) -> None:
    folder = run_search(replace(CONFIG, warm_start="adam,powersign"), tmp_path / "run")
    with closing(ledger(folder)) as opened:
        first = opened.proposals()[0][:2]
    assert [row.status for row in first] == ["new", "new"]
    assert same_rule(parse_rule(first[0].rule), zoo()["adam"])
    assert same_rule(parse_rule(first[1].rule), zoo()["powersign"])


def test_the_wider_space_begins_with_rules_that_only_it_can_say(tmp_path: Path) -> None:
    names = ("adam", "lion", "powersign", "nesterov", "adagraft-adam-sgd")
    folder = run_search(
        replace(CONFIG, space="extended", rules_per_trial=len(names), warm_start=",".join(names)), tmp_path / "run"
    )
    with closing(ledger(folder)) as opened:
        first = opened.proposals()[0][: len(names)]
    assert [row.status for row in first] == ["new"] * len(names)
    assert all(same_rule(parse_rule(row.rule), zoo()[name]) for row, name in zip(first, names, strict=True))


def test_a_rule_that_the_space_cannot_say_is_an_error_that_names_those_it_can(tmp_path: Path) -> None:
    config = replace(CONFIG, space="tiny", groups=1, warm_start="adam")
    with pytest.raises(ValueError, match=r"tiny with 1 group cannot say 'adam'; of the zoo it can say sgd, signsgd$"):
        run_search(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(ValueError, match="no rule is called 'adaam'; did you mean"):
        begun("sgd,adaam")


def test_an_earlier_run_is_learnt_from(earlier: Path) -> None:
    known = begun(str(earlier))
    with closing(ledger(earlier)) as opened:
        best = opened.best(1)[0]
    assert len(known) == 8
    assert max(k.reward or 0.0 for k in known) == best.reward
    mixed = begun(f"{earlier}:1,{earlier}")
    assert mixed[0].reward is None
    assert mixed[1:] == known


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": 1}, "searched icml2017, not this space"),
        ({"space": "arxiv2017"}, "searched icml2017, not this space"),
        ({"task": "mnist-mlp"}, "has task digits-mlp, but here it is mnist-mlp, so its rewards say nothing here"),
        ({"reward": "loss"}, "has reward accuracy, but here it is loss"),
        ({"steps": None}, "has steps 12, but here it is None"),
    ],
)
def test_a_run_whose_rewards_say_nothing_here_is_refused(
    earlier: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        begun(str(earlier), replace(CONFIG, **changes))  # type: ignore[arg-type]  # fields by name


def test_a_search_goes_on_exactly_after_the_earlier_run_is_gone(earlier: Path, tmp_path: Path) -> None:
    known = tmp_path / "known"
    shutil.copytree(earlier, known)
    config = replace(CONFIG, warm_start=f"sgd,{known}", deterministic=True, lag=1)
    whole = run_search(config, tmp_path / "whole")
    cut = run_search(replace(config, rules=4), tmp_path / "cut")
    shutil.rmtree(known)
    (cut / "config.toml").write_text(config.to_toml(), encoding="utf-8")  # as if it had been stopped halfway
    run_search(config, cut, resume=True)
    with closing(ledger(whole)) as one, closing(ledger(cut)) as other:
        assert one.proposals()[0] == other.proposals()[0]
        assert one.proposals()[1] == other.proposals()[1]
        assert known_from_json(one.meta()["warm_start"])[0] == Known(begun("sgd")[0].tokens)


def test_known_strings_survive_text() -> None:
    known = [Known((1, 2), 0.1 + 0.2), Known((3, 4))]
    assert known_from_json(known_to_json(known)) == known
    assert json.loads(known_to_json([])) == []
