"""What halving the learning rates gives up, and why: rules of a search on digits-mlp.

    python benchmarks/halving.py                   # 200 rules of icml2017: minutes
    python benchmarks/halving.py --rules 60

Every child is trained to the end once, and halving is replayed on what was recorded on the way, so that both sides are the same children.
A row is a reward (accuracy, or minus the logarithm of the loss; on validation), a number of seeds, and what learning rates are compared by
at each halving. *same reward*: rules whose best learning rate, or one exactly as good, survives. *top half*: of the rules by reward.
The lines below the table train again: with halving as a search does, and without but in other company. What differs there beyond the table
is round-off: populations of other rows add up in another order, and training in float32 magnifies that.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from children import RULES_A_TRIAL, in_trials, proposed
from rich.console import Console
from rich.table import Table
from torch import Tensor

from neuropt.compiling.program import compile_program
from neuropt.tasks import get_task, load_task_data
from neuropt.tasks.task import Task, TaskData
from neuropt.training.children import RECENT_STEPS
from neuropt.training.population import Population
from neuropt.training.train import whole_float32
from search_space import Rule

WINDOWS = (1, 3, 5, 10, 25)
"""Training losses are means over so many steps; a race takes `RECENT_STEPS`, which is one of them."""


@dataclass
class Recorded:
    """Children to the end, (seeds, rules, learning rates) each.

    Args:
        scores: by what it is compared, at each halving: training losses over the last steps, infinity where diverged; the validation loss.
        loss, accuracy: at the end, on validation.
    """

    scores: dict[str, list[Tensor]]
    loss: Tensor
    accuracy: Tensor

    def of_seeds(self, count: int) -> Recorded:
        """Return the first seeds alone."""
        scores = {name: [x[:count] for x in xs] for name, xs in self.scores.items()}
        return Recorded(scores, self.loss[:count], self.accuracy[:count])


def recorded(
    task: Task, data: TaskData, rules: Sequence[Rule], rates: Sequence[Sequence[float]], seeds: int
) -> Recorded:
    """Train children in populations of as many rules as a trial of a search has."""
    parts: list[list[Tensor]] = []
    for first in range(0, len(rules), RULES_A_TRIAL):
        some = slice(first, first + RULES_A_TRIAL)
        programs = [compile_program(rule) for rule in rules[some]]
        with whole_float32():
            cohort = Population(task, data, programs, rates[some], seeds=list(range(seeds)), curves=True)
            places = sorted(range(len(cohort.columns)), key=lambda c: (cohort.columns[c].rule, cohort.columns[c].rate))
            shape = (seeds, len(programs), len(rates[0]))
            found = []
            for step, _ in task.halving:
                cohort.advance(step - cohort.t)
                assert cohort.history is not None
                for window in WINDOWS:
                    mean = torch.stack(cohort.history[-window:]).mean(0, dtype=torch.float64)
                    found.append(torch.where(cohort.losses.alive, mean, torch.inf))
                found.append(cohort.evaluate(data.validation)[0])
            cohort.advance(task.steps - cohort.t)
            found += [*cohort.evaluate(data.validation)]
            alive = cohort.losses.alive & (found[-2] <= task.loss_bound)
            found[-2], found[-1] = torch.where(alive, found[-2], torch.inf), torch.where(alive, found[-1], 0.0)
        parts.append([x[:, places].reshape(shape).nan_to_num(torch.inf) for x in found])
    joined = [torch.cat(some, 1) for some in zip(*parts, strict=True)]
    names = [f"training loss, {window} last" for window in WINDOWS] + ["validation loss"]
    return Recorded({name: joined[i : -2 : len(names)] for i, name in enumerate(names)}, joined[-2], joined[-1])


def survivors(task: Task, scores: Sequence[Tensor]) -> Tensor:
    """Return which learning rates a race keeps to the end, (rules, rates), by their scores at each halving; ties go to the smaller rate."""
    alive = torch.ones(scores[0].shape[1:], dtype=torch.bool)
    for (_, keep), score in zip(task.halving, scores, strict=True):
        mean = torch.where(alive, score.double().mean(0), torch.inf)
        ranks = mean.argsort(dim=1, stable=True).argsort(dim=1)
        alive &= (ranks < keep) & mean.isfinite()
    return alive


def compared(task: Task, children: Recorded) -> list[list[str]]:
    """Return a row for each reward, number of seeds, and what decides."""
    rows = []
    for seeds in range(1, len(children.loss) + 1):
        some = children.of_seeds(seeds)
        rewards = {"accuracy": some.accuracy.mean(0), "-log loss": -some.loss.log().mean(0)}
        for name, reward in rewards.items():
            best = reward.max(1).values
            top = best >= best.median()
            equal = (reward == best[:, None]).sum(1).double().mean()
            for by, scores in some.scores.items():
                kept = torch.where(survivors(task, scores), reward, -torch.inf).max(1).values
                finite = best.isfinite() & kept.isfinite()
                lost = (best - kept)[finite]
                same = (best == kept).double()
                rows.append(
                    [
                        name, str(seeds), by, f"{100 * same.mean():.0f} %", f"{100 * same[top].mean():.0f} %",
                        f"{100 * (best - kept <= 1.01 / 397).double().mean():.0f} %" if name == "accuracy" else "",
                        f"{lost.mean():.4f}", f"{(best - kept)[finite & top].mean():.4f}", f"{equal:.2f}",
                    ]
                )  # fmt: skip
    return rows


def share(ones: Sequence[float], others: Sequence[float]) -> str:
    """Return in words how many numbers of two lists are the same, and how far they are apart on average."""
    apart = [abs(x - y) for x, y in zip(ones, others, strict=True)]
    return f"{100 * sum(x < 1e-6 for x in apart) / len(apart):.0f} % the same, {sum(apart) / len(apart):.4f} apart on average"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rules", type=int, default=200)
    parser.add_argument("--space", default="icml2017")
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=170)
    task = get_task("digits-mlp")
    data = load_task_data(task)
    rules, rates = proposed(task, data, arguments.space, arguments.rules)
    children = recorded(task, data, rules, rates, arguments.seeds)
    halvings = ", ".join(f"{keep} after {step}" for step, keep in task.halving)
    table = Table(
        title=f"{len(rules)} rules of {arguments.space}, {len(rates[0])} learning rates; kept: {halvings} of {task.steps} steps"
    )
    for column in (
        "reward", "seeds", "compared by", "same reward", "in the top half", "within an image", "given up", "in the top half",
        "learning rates as good as the best",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    for row in compared(task, children):
        table.add_row(*row)
    console.print(table)
    full = children.of_seeds(1).accuracy.mean(0).max(1).values.tolist()
    kept = survivors(task, children.of_seeds(1).scores[f"training loss, {RECENT_STEPS} last"])
    replayed = torch.where(kept, children.accuracy[0], 0.0).max(1).values.tolist()
    console.print("best accuracy of a rule, one seed, against children trained again:")
    console.print(
        "  halving, replayed and as a search does it:", share(replayed, in_trials(task, data, rules, rates, True))
    )
    order = list(reversed(range(len(rules))))
    others = in_trials(task, data, [rules[i] for i in order], [rates[i] for i in order], False)
    console.print("  no halving, in this company and in another:", share(full, [others[i] for i in order]))


if __name__ == "__main__":
    main()
