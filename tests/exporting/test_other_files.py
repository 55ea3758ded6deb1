"""JSON and LaTeX exports, the table of targets, and writing files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neuropt.exporting import TARGETS, Provenance, export_rule, from_json, write_export
from search_space import RuleError, expand, parse_rule, same_rule, zoo

PROVENANCE = Provenance(
    name="found",
    lr=0.1,
    run="digits:1",
    seed=3,
    task="digits-mlp",
    versions={"torch": "2.13"},
    reward=0.25,
    summary="n = 5",
)


@pytest.mark.parametrize("name", zoo())
def test_json_goes_round(name: str) -> None:
    rule = zoo()[name]
    assert from_json(export_rule(rule, "json", PROVENANCE)) == (rule, PROVENANCE)
    assert from_json(export_rule(rule, "json")) == (rule, Provenance())


def test_json_is_plain() -> None:
    document = json.loads(export_rule(parse_rule("beta = 0.5; u = ema(g, beta)"), "json", PROVENANCE))
    assert (document["format"], document["version"]) == ("neuropt-rule", 1)
    assert document["rule"] == "beta = 0.5\nu = ema(g, beta)"
    assert document["hyperparameters"] == {"beta": 0.5}
    assert document["provenance"]["run"] == "digits:1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, '"format" must be "neuropt-rule", but got'),
        ({"version": 2}, '"version" must be 1, but got 2'),
        ({"rule": 3}, '"rule" must be rule text, but got 3'),
        ({"hyperparameters": {"beta": 1}}, '"hyperparameters" must be those of the rule'),
        ({"provenance": []}, '"provenance" must be an object'),
        ({"provenance": {"run": 3}}, '"provenance.run" must be str, but got 3'),
        ({"provenance": {"place": "x"}}, "'place'"),
        ({"provenance": {"versions": {"torch": 2}}}, '"provenance.versions" must map names to str'),
        ({"provenance": {"lr": -1}}, "lr"),
    ],
    ids=str,
)
def test_other_json_is_refused(change: dict[str, object], message: str) -> None:
    document = json.loads(export_rule(parse_rule("g"), "json", PROVENANCE)) | change
    with pytest.raises(ValueError, match=message):
        from_json(json.dumps(document))


def test_json_that_is_none_is_refused() -> None:
    for text in ("", "[]", "[" * 100_000, '{"format": "neuropt-rule"}'):
        with pytest.raises(ValueError):  # noqa: PT011  # each says something else
            from_json(text)
    with pytest.raises(RuleError):
        from_json('{"format": "neuropt-rule", "version": 1, "rule": "__import__(\'os\')"}')


@pytest.mark.parametrize("name", zoo())
def test_latex_shows_every_equation_and_the_update(name: str) -> None:
    text = export_rule(zoo()[name], "latex", PROVENANCE)
    in_full = expand(zoo()[name])
    assert text.count("&=") == len(in_full.equations) + len(in_full.hyperparameters) + 1
    assert r"w_{t+1} &= w_{t} - \eta u_{t}" in text
    assert text.count("{") == text.count("}")


def test_facts_stay_in_their_comments() -> None:
    text = export_rule(parse_rule("g"), "latex", Provenance(run="a\n\\input{secrets}\r%"))
    assert [line for line in text.split("\n") if "secrets" in line] == [r"% run: a\n\\input{secrets}\r%"]


def test_an_unknown_target_lists_the_known() -> None:
    with pytest.raises(ValueError, match=f"'tensorflow'; choose one of {', '.join(TARGETS)}"):
        export_rule(parse_rule("g"), "tensorflow")


def test_a_file_is_not_overwritten_unasked(tmp_path: Path) -> None:
    path = write_export("one", tmp_path / "rule.py")
    with pytest.raises(FileExistsError, match=r"rule.py exists; choose another name"):
        write_export("two", path)
    assert path.read_text() == "one"
    write_export("two", path, overwrite=True)
    assert path.read_text() == "two"


@pytest.mark.parametrize("arguments", [{"lr": float("nan")}, {"lr": -1.0}, {"reward": float("inf")}], ids=str)
def test_provenance_holds_finite_numbers(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Provenance(**arguments)  # type: ignore[arg-type]  # a dict of floats


def test_latex_and_json_define_what_is_ready_in_the_language() -> None:
    rule = parse_rule("adam * 2")
    formula = export_rule(rule, "latex")
    assert r"\mathrm{adam}_{t} &= \frac{\hat{m}_{t}}{\sqrt{\hat{v}_{t}} + 10^{-8}}" in formula
    assert r"u_{t} &= 2 \mathrm{adam}_{t}" in formula
    in_full = json.loads(export_rule(rule, "json"))["expanded"]
    assert same_rule(parse_rule(in_full), rule)
