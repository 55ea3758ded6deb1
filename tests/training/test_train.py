"""Training whole lists of rules, and pieces of work."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from neuropt.compiling.create import create_optimizer
from neuropt.tasks.task import Task
from neuropt.training.children import Child
from neuropt.training.recording import record_trajectory
from neuropt.training.train import population_rules, train_optimizer, train_rules
from neuropt.training.work import Done, Job, Trained, Work, do_work
from search_space import parse_rule, zoo
from tests.training.cohorts import DATA, DIGITS
from tests.training.test_population import assert_same_children, flat

TASK = DIGITS.with_budget(10)
RATES = (1e-3, 1e-2)


def test_an_optimizer_equals_its_rule() -> None:
    adam = train_optimizer(
        TASK, DATA, lambda parameters, lr, seed: create_optimizer("adam", parameters, lr=lr), RATES, [1, 2], test=True
    )
    rule = train_rules(TASK, DATA, [zoo()["adam"]], [RATES], [1, 2], test=True)
    assert_same_children(flat(adam), flat(rule), tolerance=1e-4)


def test_more_rules_than_one_population_holds_keep_their_order() -> None:
    size = population_rules(TASK, rates=1, seeds=1)
    rates = [[0.001 * i] for i in range(1, size + 2)]
    found = train_rules(TASK, DATA, [parse_rule("g")] * len(rates), rates, [1])
    assert [[row[0].learning_rate for row in rule] for rule in found] == rates


def test_no_rules_are_no_results() -> None:
    assert train_rules(TASK, DATA, [], [], [1]) == []


@pytest.mark.parametrize(
    ("rates", "seeds", "message"),
    [
        ([[0.1]], [1], "2 rules need 2 lists of learning rates, but got 1"),
        ([[0.1], []], [1], "rule 1 has no learning rate"),
        ([[0.1], [0.1]], [], "seeds must hold at least one"),
    ],
)
def test_nothing_to_train_at_is_refused(rates: list[list[float]], seeds: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_rules(TASK, DATA, [parse_rule("g"), parse_rule("m")], rates, seeds)


def test_what_cannot_be_batched_says_so() -> None:
    with pytest.raises(ValueError, match="stubborn is trained one at a time"):
        train_rules(raising_task(), DATA, [parse_rule("g")], [[0.1]], [1], batched=True)


@pytest.mark.parametrize("batched", [True, False])
def test_divergence_ends_a_child_early(batched: bool) -> None:
    ((rates,),) = (
        train_rules(
            DIGITS.with_budget(20), DATA, [parse_rule("-g")], [[1e3, 1e-9]], [1], batched=batched, halving=False
        ),
    )
    assert (rates[0][0].status, rates[1][0].status) == ("diverged", "trained")
    assert rates[0][0].steps < 20
    assert rates[0][0].train_loss == math.inf
    assert rates[0][0].loss is None


def test_float32_is_whole_on_a_gpu_and_has_no_denormals_but_only_in_training() -> None:
    """Of the two settings a machine without a GPU shows the value only."""
    seen: list[tuple[bool, bool]] = []

    def noted() -> None:
        seen.append((torch.backends.cudnn.allow_tf32, float(torch.tensor(1e-40) * 0.5) > 0))

    class Noting(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            noted()
            return super().forward(input)

    noted()
    task = replace(DIGITS.with_budget(1), name="noting", model=lambda: Noting(64, 10))
    train_rules(task, DATA, [parse_rule("g")], [[0.1]], [1])
    noted()
    assert set(seen[1:-1]) == {(False, False)}
    assert seen[0] == seen[-1] == (True, True)


# -- pieces of work -----------------------------------------------------------------------------------------------------------------


class _Stubborn(nn.Module):
    """A model that cannot be used."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(64, 10))

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError(f"no forward pass today\nof {tuple(x.shape)}")


def raising_task() -> Task:
    return replace(TASK, name="stubborn", model=_Stubborn)


WORK = Work((Job("g", RATES), Job(None, (0.1,), "nadam"), Job("m", (0.5, 1.0, 2.0))), (1, 2), halving=False, test=True)


def test_work_survives_json() -> None:
    assert Work.from_json(WORK.to_json()) == WORK
    other = Work((Job("u = g", (1e-300, 0.1 + 0.2)),), (2**31 - 1,), True, False, False)
    assert Work.from_json(other.to_json()) == other


def test_results_survive_json() -> None:
    done = do_work(WORK, TASK, DATA)
    assert Done.from_json(done.to_json()) == done
    odd = Done((Trained(((Child(0.1, 1, "diverged", 0, math.inf),),)), Trained((), "RuntimeError: why")), 0.5, "cpu")
    assert Done.from_json(odd.to_json()) == odd


def test_rules_and_optimizers_come_back_in_order() -> None:
    done = do_work(WORK, TASK, DATA)
    assert [[row[0].learning_rate for row in t.children] for t in done.trained] == [
        list(job.learning_rates) for job in WORK.jobs
    ]
    assert all(
        child.status == "trained" and child.seed in (1, 2) for t in done.trained for row in t.children for child in row
    )


def test_a_rule_that_fails_does_not_take_the_others_along() -> None:
    work = Work((Job("g", RATES), Job("nonsense(g)", RATES), Job("m", RATES)), (1,))
    good, bad, other = do_work(work, TASK, DATA).trained
    assert bad.children == ()
    assert bad.failure is not None
    assert bad.failure.startswith("RuleError: ")
    for trained, text in ((good, "g"), (other, "m")):
        assert trained == do_work(Work((Job(text, RATES),), (1,)), TASK, DATA).trained[0]


@pytest.mark.parametrize("job", [Job("g", RATES), Job(None, RATES, "adam")], ids=["rule", "optimizer"])
def test_a_model_that_raises_is_recorded_as_the_reason(job: Job) -> None:
    (trained,) = do_work(Work((job,), (1,)), raising_task(), DATA).trained
    assert trained == Trained((), "RuntimeError: no forward pass today")


def test_an_unknown_optimizer_is_recorded_as_the_reason() -> None:
    (trained,) = do_work(Work((Job(None, RATES, "adamm"),), (1,)), TASK, DATA).trained
    assert trained.failure is not None
    assert "adamm" in trained.failure


def test_threads_are_given_back_and_change_no_bit() -> None:
    torch.set_num_threads(2)
    trajectory, done = record_trajectory(TASK, DATA), do_work(WORK, TASK, DATA)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    again = record_trajectory(TASK, DATA)
    assert trajectory.gradients.tobytes() == again.gradients.tobytes()
    assert trajectory.weights.tobytes() == again.weights.tobytes()
    assert do_work(WORK, TASK, DATA).trained == done.trained


def test_no_jobs_are_done_at_once() -> None:
    assert do_work(Work((), (1,)), TASK, DATA).trained == ()
