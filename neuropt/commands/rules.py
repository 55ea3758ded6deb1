"""`neuropt top | show | export`: the rules of a run, and one rule at a time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from neuropt.commands.printing import print_json, print_rows, show
from neuropt.commands.watching import watch

if TYPE_CHECKING:
    from neuropt.explaining import Explanation

RULE_HELP = "a name of the zoo, rule text, a file, or RUN:k, the k-th best rule of a run"


@dataclass(frozen=True)
class Top:
    """List the best rules of a run."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """folder of a run, or its name under runs/"""
    count: Annotated[int, arg(name="n", aliases=["-n"])] = 10
    """rules to list"""
    watch: bool = False
    """show it anew while the run goes on, until it ends or Ctrl-C"""
    json: bool = False
    """print JSON"""

    def __call__(self) -> None:
        """Print them."""
        from neuropt.searching.run_folder import best_rules, find_run  # imports torch

        if self.count < 1:
            raise ValueError(f"-n must be a whole number of at least 1, but got {self.count}")
        if self.watch:
            if self.json:
                raise ValueError(
                    "--watch shows a run to people; leave out --json, or ask again and again without --watch"
                )
            watch(find_run(self.run), self.count)
            return
        found = best_rules(find_run(self.run), self.count)
        print_rows(
            [asdict(rule) | {"rule": rule.rule if self.json else one_line(rule.rule)} for rule in found], self.json
        )
        if not found and not self.json:
            print("no rule is trained yet")


@dataclass(frozen=True)
class Show:
    """Explain a rule: equations in full, formula, hyperparameters, what it remembers, and which known optimizer it is."""

    rule: Annotated[Positional[str], arg(metavar="RULE", help=RULE_HELP)]
    json: bool = False
    """print JSON"""

    def __call__(self) -> None:
        """Print it."""
        from neuropt.explaining import explain_rule
        from neuropt.finding import find_rule

        named = find_rule(self.rule)
        explanation = explain_rule(named.rule)
        if self.json:
            print_json({"name": named.name, **explanation.as_dict()})
        else:
            print("\n".join(lines(named.name, explanation)))


@dataclass(frozen=True)
class Export:
    """Write a rule as a file that needs nothing of ours."""

    rule: Annotated[Positional[str], arg(metavar="RULE", help=RULE_HELP)]
    to: Literal["torch", "python", "optax", "keras", "json", "latex", "markdown", "hub"]
    """torch, python (numpy), optax, keras: one Python file that imports that library only; json: rule and provenance; latex, markdown:
    an algorithm block; hub: a folder for torch.hub, with a card"""
    out: Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
    """file to write, or folder for hub; - prints a file"""
    overwrite: bool = False
    """replace the file if there is one"""

    def __call__(self) -> None:
        """Write it."""
        from neuropt.exporting import export_hub, export_rule, write_export
        from neuropt.finding import find_rule, provenance_of

        named = find_rule(self.rule)
        if self.to == "hub":
            if str(self.out) == "-":
                raise ValueError("--to hub writes a folder: name it with -o FOLDER")
            files = export_hub(named.rule, provenance_of(named))
            print(f"wrote {write_export(files, self.out, overwrite=self.overwrite)}")
            return
        text = export_rule(named.rule, self.to, provenance_of(named))
        if str(self.out) == "-":
            print(text, end="" if text.endswith("\n") else "\n")
        else:
            print(f"wrote {write_export(text, self.out, overwrite=self.overwrite)}")


def one_line(rule: str) -> str:
    """Return rule text in one line, which reads back to the same rule."""
    return "; ".join(rule.splitlines())


def lines(name: str | None, e: Explanation) -> list[str]:
    """Return an explanation as lines for people."""
    facts = {
        "name": name,
        "hyperparameters": ", ".join(f"{k} = {show(v)}" for k, v in e.hyperparameters.items()) or "none",
        "remembers": ", ".join(e.remembers) or "nothing",
        "kind": e.kind + (", draws random numbers" * e.draws) + (", reads the planned steps T" * e.needs_steps),
        "same as": ", ".join(e.same_as) or "nothing in the zoo",
        "opposite of": ", ".join(e.opposite_of) or None,
    }
    shown = [f"{label + ':':<17}{fact}" for label, fact in facts.items() if fact is not None]
    sections = [("rule", e.text)]
    sections += [("in full", e.expanded)] if e.expanded != e.text else []
    sections += [("LaTeX", e.latex)]
    for title, text in sections:
        shown += ["", f"{title}:", *(f"    {line}" for line in text.splitlines())]
    return shown
