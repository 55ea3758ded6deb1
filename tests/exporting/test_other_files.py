"""JSON, LaTeX and Markdown exports, the table of targets, and writing files."""

from __future__ import annotations

import doctest
import importlib
import json
import pkgutil
import re
import shutil
import subprocess
from dataclasses import fields, replace
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from neuropt import exporting
from neuropt.exporting import TARGETS, Provenance, export_rule, from_json, write_export
from neuropt.exporting.json_file import VERSION
from search_space import RuleError, expand, parse_rule, same_rule, zoo
from search_space.expression import Previous, walk
from tests.exporting.test_torch_file import RULES

SCHEMA = json.loads(files("neuropt.exporting").joinpath("rule.schema.json").read_text(encoding="utf-8"))

PROVENANCE = Provenance(
    name="found",
    lr=0.1,
    run="digits:1",
    source="somebody 1999",
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


@pytest.mark.parametrize("name", zoo())
def test_json_is_what_its_schema_says(name: str) -> None:
    for provenance in (PROVENANCE, Provenance()):
        document = json.loads(export_rule(zoo()[name], "json", provenance))
        assert list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(document)) == []


def test_the_schema_is_for_this_version_and_knows_every_fact() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["version"]["const"] == VERSION
    assert SCHEMA["properties"]["provenance"]["properties"].keys() == {f.name for f in fields(Provenance)}


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
        ({"version": True}, '"version" must be 1, but got True'),
        ({"expanded": 3}, '"expanded" must be rule text, but got 3'),
        ({"author": "x"}, "an exported rule has format, version, .*, but got 'author'"),
    ],
    ids=str,
)
def test_other_json_is_refused_and_the_schema_refuses_most_of_it_too(change: dict[str, object], message: str) -> None:
    document = json.loads(export_rule(parse_rule("g"), "json", PROVENANCE)) | change
    if "hyperparameters" not in change:  # whether they are the rule's, no schema can say
        assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(document)
    with pytest.raises(ValueError, match=message):
        from_json(json.dumps(document))


@pytest.mark.parametrize("fact", ["lr", "reward"])
def test_an_integer_too_large_for_a_float_is_refused(fact: str) -> None:
    document = json.loads(export_rule(parse_rule("g"), "json")) | {"provenance": {fact: 10**400}}
    with pytest.raises(ValueError, match=rf"Provenance\({fact}=...\) must be finite"):
        from_json(json.dumps(document))


def test_true_is_no_hyperparameter() -> None:
    document = json.loads(export_rule(parse_rule("beta = 1; u = beta * g"), "json"))
    with pytest.raises(ValueError, match=r"\{'beta': 1.0\}, but got \{'beta': True\}"):
        from_json(json.dumps(document | {"hyperparameters": {"beta": True}}))


def test_json_that_is_none_is_refused() -> None:
    for text in ("", "[]", "[" * 100_000, '{"format": "neuropt-rule"}'):
        with pytest.raises(ValueError):  # noqa: PT011  # each says something else
            from_json(text)
    with pytest.raises(RuleError):
        from_json('{"format": "neuropt-rule", "version": 1, "rule": "__import__(\'os\')"}')


@pytest.mark.parametrize("name", zoo())
def test_latex_shows_inputs_state_and_every_equation_in_its_loop(name: str) -> None:
    rule = zoo()[name]
    text = export_rule(rule, "latex", PROVENANCE)
    in_full = expand(rule)
    given, *lines = text[text.index("&") :].split("\n&")
    state = [line for line in lines if "initialize" in line]
    loop = [line for line in lines if line.startswith(r"\quad")]
    remembered = {n.name for e in in_full.equations for n in walk(e.expression) if isinstance(n, Previous)}
    assert given.count(" = ") == len(rule.hyperparameters)
    assert ("planned steps" in given) == rule.reads("T")
    assert sum(line.count(" = ") for line in state) == len(remembered)
    assert len(loop) == len(in_full.equations) + 2
    assert r"w_{t+1} = w_{t} - \eta u_{t}" in loop[-1]


KNOWN = (
    r"alpha|begin|beta|cdot|cos|delta|end|epsilon|eta|frac|gamma|geq|hat|ldots|left|mathrm|mu|nabla|operatorname|pi|quad|rho|right|sqrt"
    r"|text|textbf"
)
"""Commands of LaTeX and amsmath."""


@pytest.mark.parametrize("name", zoo())
def test_latex_needs_amsmath_only(name: str) -> None:
    text = export_rule(zoo()[name], "latex", PROVENANCE)
    commands = re.findall(r"\\([A-Za-z]+)", text.partition(r"\[")[2])
    assert all(re.fullmatch(KNOWN, command) for command in commands)
    assert text.count("{") == text.count("}")
    assert text.count(r"\left") == text.count(r"\right")
    assert set(re.findall(r"begin\{(\w+)\}", text)) <= {"aligned", "cases"}


@pytest.mark.slow
def test_latex_compiles(tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed; on Debian: apt-get install texlive-latex-base")
    hostile = replace(PROVENANCE, source="100 % \\input{secrets} {", summary="a\nb $ _ ^ & # ~ \u2028 \xe9")
    rules = [*zoo().values(), *(parse_rule(text) for text in RULES.values())]
    blocks = "\n".join(export_rule(rule, "latex", hostile) for rule in rules)
    document = f"\\documentclass{{article}}\n\\usepackage{{amsmath}}\n\\begin{{document}}\n{blocks}\\end{{document}}\n"
    (tmp_path / "rules.tex").write_text(document, encoding="ascii")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "rules.tex"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert ended.returncode == 0, ended.stdout[-2_000:]
    assert "Output written on rules.pdf" in ended.stdout


@pytest.mark.parametrize("target", ["latex", "markdown"])
def test_a_documents_block_is_the_algorithm(target: str) -> None:
    text = export_rule(parse_rule("beta = 0.5; m = beta * prev(m, 2) + g; u = m"), target)
    block = text[text.index(r"\begin{aligned}") : text.index(r"\end{aligned}")].splitlines()
    assert block[1:] == [
        r"&\textbf{input}: \eta \text{ (lr)}, w_{0} \text{ (parameters)}, f(w) \text{ (objective)}, \beta = 0.5 \\",
        r"&\textbf{initialize}: m_{-1} = 2 \\",
        r"&\textbf{for } t = 0, 1, \ldots \textbf{ do} \\",
        r"&\quad g_{t} = \nabla f_{t}(w_{t}) \\",
        r"&\quad m_{t} = \beta m_{t-1} + g_{t} \\",
        r"&\quad u_{t} = m_{t} \\",
        r"&\quad w_{t+1} = w_{t} - \eta u_{t}",
    ]


def test_markdown_has_rule_hyperparameters_and_origin() -> None:
    text = export_rule(parse_rule("beta = 0.5; u = ema(g, beta)"), "markdown", PROVENANCE)
    assert text.startswith("# Found\n\n$$\n")
    for part in (
        "```text\nbeta = 0.5\nu = ema(g, beta)\n```",
        "| `beta` | 0.5 |",
        "- run: `digits:1`",
        "- summary: `n = 5`",
    ):
        assert part in text


def test_facts_stay_where_they_are() -> None:
    hostile = Provenance(run="a\n\\input{secrets}\r%`\n# heading")
    latex, markdown = (export_rule(parse_rule("g"), target, hostile) for target in ("latex", "markdown"))
    assert [line for line in latex.split("\n") if "secrets" in line] == [r"% run: a\n\\input{secrets}\r%`\n# heading"]
    assert [line for line in markdown.split("\n") if "heading" in line] == [
        r"- run: `a\n\\input{secrets}\r%'\n# heading`"
    ]


@pytest.mark.parametrize("module", [module.name for module in pkgutil.iter_modules(exporting.__path__)])
def test_examples_in_docstrings_are_true(module: str) -> None:
    assert doctest.testmod(importlib.import_module(f"neuropt.exporting.{module}")).failed == 0


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


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_is_no_file_to_write(tmp_path: Path, overwrite: bool) -> None:
    with pytest.raises(IsADirectoryError, match=r"is a folder; name a file in it, such as .*found\.py$"):
        write_export("one", tmp_path, overwrite=overwrite)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [{"lr": float("nan")}, {"lr": -1.0}, {"reward": float("inf")}], ids=str)
def test_provenance_holds_finite_numbers(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Provenance(**arguments)  # type: ignore[arg-type]  # a dict of floats


def test_latex_and_json_define_what_is_ready_in_the_language() -> None:
    rule = parse_rule("adam * 2")
    formula = export_rule(rule, "latex")
    assert r"\mathrm{adam}_{t} = \frac{\hat{m}_{t}}{\sqrt{\hat{v}_{t}} + 10^{-8}}" in formula
    assert r"u_{t} = 2 \mathrm{adam}_{t}" in formula
    in_full = json.loads(export_rule(rule, "json"))["expanded"]
    assert same_rule(parse_rule(in_full), rule)
