"""Who takes part, and how large their updates are."""

from __future__ import annotations

import pytest

from neuropt.evaluating.contenders import Contender, check_names, find_contender, named, update_scale
from neuropt.optimizers.catalogue import named_optimizers
from neuropt.tasks import get_task, load_task_data
from neuropt.training.recording import record_trajectory
from search_space import RuleError, parse_rule, screen, zoo
from tests.evaluating.fakes import MODULE_TASK

TASK = get_task("digits-mlp")
TRAJECTORY = record_trajectory(TASK, load_task_data(TASK))
BOTH = sorted(
    name for name, row in named_optimizers().items() if name in zoo() and row.lr_free and zoo()[name].deterministic
)


def test_batched_tasks_train_rules_and_others_the_class() -> None:
    adam = named("adam")
    assert adam.job(TASK, [0.1]).rule == zoo()["adam"].text
    assert adam.job(MODULE_TASK, [0.1]).rule is None
    assert adam.job(MODULE_TASK, [0.1]).optimizer == "adam"


def test_what_has_no_class_is_a_rule_everywhere() -> None:
    for task in (TASK, MODULE_TASK):
        assert named("signum").job(task, [0.1]).rule == zoo()["signum"].text


def test_what_is_not_the_same_rule_at_every_rate_is_an_optimizer_everywhere() -> None:
    for task in (TASK, MODULE_TASK):
        job = named("adabound").job(task, [0.1])
        assert (job.rule, job.optimizer) == (None, "adabound")


def test_a_task_that_an_optimizer_was_trained_for_is_no_evidence() -> None:
    assert named("lstm").searched == {"digits-mlp"}
    assert named("lstm").job(TASK, [0.1]).optimizer == "lstm"
    assert named("adam").searched == frozenset()


def test_rule_text_is_its_own_name() -> None:
    contender = find_contender("a = ema(g, 0.9)\nu = sign(a)")
    assert contender == Contender("a = ema(g, 0.9); u = sign(a)", parse_rule("a = ema(g, 0.9); u = sign(a)"))
    assert find_contender(parse_rule("g")).name == "g"


@pytest.mark.parametrize("text", ["adamm", "runs/absent:1", "powersign:0"])
def test_an_unknown_name_is_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=text.split(":")[0]) as caught:
        find_contender(text)
    assert "\n" not in str(caught.value)


def test_a_fault_in_a_rule_is_a_rule_error() -> None:
    with pytest.raises(RuleError):
        find_contender("g * (m")


def test_no_name_takes_part_twice() -> None:
    with pytest.raises(ValueError, match="'adam' is given twice"):
        check_names([named("adam"), named("sgd"), named("adam")])


@pytest.mark.parametrize("name", BOTH)
def test_the_size_of_a_class_is_the_size_of_its_rule(name: str) -> None:
    """Replaying the trajectory through the real optimizer measures what screening measures."""
    replayed, failure = update_scale(Contender(name, None, name), TRAJECTORY)
    assert failure is None
    assert replayed == pytest.approx(screen(zoo()[name], TRAJECTORY).scale, rel=1e-9)


@pytest.mark.parametrize(
    ("text", "reason"), [("1e-3 * w", "does not use the gradient"), ("exp(1e9 * g ** 2)", "not finite")]
)
def test_updates_without_a_size_are_a_failure(text: str, reason: str) -> None:
    _, failure = update_scale(find_contender(text), TRAJECTORY)
    assert failure is not None
    assert reason in failure


def test_a_rule_that_screening_would_not_train_is_evaluated_all_the_same() -> None:
    assert not screen(zoo()["bello-15"], TRAJECTORY).accepted
    assert update_scale(named("bello-15"), TRAJECTORY)[1] is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("adamw(beta2=2)", "beta"),
        ("adamw(weight_decay=-1|0)", "weight_decay"),
        ("adabound(final_lr=-1)", r"AdaBound\(final_lr=...\) must be a number >= 0"),
        ("rmsprop(alpha=0.9|1.5)", "alpha"),
        ("adamw(lr=1)", "lr is tuned for every optimizer; leave it out"),
        ("adam(decay=1)", "there is no hyperparameter 'decay' that is a number; there are beta1, beta2, eps"),
        ("adamm(beta2=0.9)", "no optimizer is called 'adamm'"),
        ("graft(adam, adamm)", "no rule is called 'adamm'"),
    ],
)
def test_values_that_an_optimizer_does_not_take_are_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        find_contender(text)


def test_values_are_set_in_the_rule_or_given_to_the_class() -> None:
    task = get_task("digits-mlp")
    adamw = find_contender("adamw(weight_decay=0.01|0.1)")
    assert "weight_decay = 0.1\n" in (adamw.job(task, [0.1], hyperparameters=(("weight_decay", 0.1),)).rule or "")
    bound = find_contender("adabound(final_lr=0.1|0.5)")
    job = bound.job(task, [0.1], hyperparameters=(("final_lr", 0.5),))
    assert (job.rule, job.optimizer, job.hyperparameters) == (None, "adabound", (("final_lr", 0.5),))
