"""Every form gives every child the numbers of the plain form, for every family of models; what a form cannot do it says."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from neuropt import config
from neuropt.tasks.task import MLP
from neuropt.training.children import Results
from neuropt.training.forms import FORMS, ROW_FORMS, Form, check_form, possible_forms, why_no_rows
from neuropt.training.train import train_rules
from search_space import parse_rule
from tests.training.small_models import CLASSES, FAMILIES, ROWS, family, task_of

RULES = [
    parse_rule(text)
    for text in (
        "adam",
        "m + 1e-2 * w",
        "g / (norm(g) + 1e-8)",
        "drop(g, 0.3) + noise(0.01)",
        "buf = 0.9 * prev(buf) + g; u = buf * ld",
    )
]
RATES = [[1e-3, 3e-2, 1e-2]] * len(RULES)
# float64 leaves 1e-16 a sum; a few steps of Adam, which divides by roots of averages, magnify it
EXACT = 1e-9
ROW_CASES = [pytest.param(form, marks=pytest.mark.slow if form == "compiled" else ()) for form in ROW_FORMS]


def flat(results: Results) -> list[float]:
    """All numbers of all children, infinity for what they do not have."""
    return [
        number
        for rule in results
        for rate in rule
        for c in rate
        for number in (
            c.learning_rate,
            c.seed,
            c.steps,
            c.train_loss,
            *(math.inf if x is None else x for x in (c.loss, c.test_loss)),
        )
    ]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("form", ROW_CASES)
def test_a_form_gives_the_numbers_of_the_plain_form(form: Form, name: str) -> None:
    if form == "channels-last" and name not in ("conv", "batch-norm"):
        pytest.skip("not images")
    task, data = family(name, double=True)
    plain, other = (train_rules(task, data, RULES, RATES, [1, 2], form=f, test=True) for f in ("plain", form))
    assert flat(other) == pytest.approx(flat(plain), rel=EXACT, abs=EXACT)
    assert {c.status for rule in plain for rate in rule for c in rate} == {"trained", "stopped"}


@pytest.mark.parametrize("form", [f for f in ROW_FORMS if f != "compiled"])
def test_rules_that_share_rows_keep_their_numbers(form: Form) -> None:
    task, data = family("conv", double=True)
    alone, together = (train_rules(task, data, RULES, RATES, [1], form=form, rules_together=n) for n in (1, 3))
    assert flat(together) == pytest.approx(flat(alone), rel=EXACT, abs=EXACT)


@pytest.mark.parametrize("form", ["rows", "batched"])
def test_a_schedule_of_lr_alone_is_followed(form: Form) -> None:
    task, data = family("mlp", double=True)
    plain, other = (
        train_rules(task, data, RULES[:2], RATES[:2], [1], form=f, schedule="cosine") for f in ("plain", form)
    )
    assert flat(other) == pytest.approx(flat(plain), rel=EXACT, abs=EXACT)


@pytest.mark.parametrize("form", ["plain", "rows", "batched"])
def test_a_child_that_diverges_leaves_the_others_as_they_were(form: Form) -> None:
    task, data = family("conv", double=True)
    both = train_rules(task, data, [parse_rule("g")], [[1e-2, 1e9]], [1], form=form)
    alone = train_rules(task, data, [parse_rule("g")], [[1e-2]], [1], form=form)
    assert both[0][1][0].status == "diverged"
    assert flat([[both[0][0]]]) == pytest.approx(flat(alone), rel=EXACT)


def test_a_population_is_a_form_of_an_mlp() -> None:
    task = task_of("perceptron", MLP((12, 5, CLASSES), "tanh"), ROWS)
    plain, together = (train_rules(task, ROWS, RULES, RATES, [1], form=f) for f in ("plain", "population"))
    # float32: 1e-7 a sum, magnified by Adam's quotients over six steps
    assert flat(together) == pytest.approx(flat(plain), rel=1e-4, abs=1e-4)


# -- what a form cannot do -------------------------------------------------------------------------------------------------------------


class _Frozen(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(12, 5), nn.Linear(5, CLASSES))
        self[0].requires_grad_(False)


class _Unused(nn.Linear):
    def __init__(self) -> None:
        super().__init__(12, CLASSES)
        self.extra = nn.Parameter(torch.ones(3))


class _Sparse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(3, CLASSES, sparse=True)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.table((x > 0.5).long()).mean(1)
        return logits


class _Mixed(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(12, CLASSES), nn.BatchNorm1d(CLASSES).double())


REASONS: dict[str, tuple[type[nn.Module], str]] = {
    "frozen": (_Frozen, "some of its parameters are not trained"),
    "unused": (_Unused, "its parameter extra gets no gradient"),
    "sparse": (_Sparse, "the gradient of its parameter table.weight is sparse"),
    "mixed": (_Mixed, "its parameters are not of one floating-point type"),
}


@pytest.mark.parametrize("name", REASONS)
def test_a_model_that_rows_do_not_suit_is_refused_with_the_reason(name: str) -> None:
    model, reason = REASONS[name]
    task = task_of(name, model, ROWS)
    assert possible_forms(task, ROWS) == ("plain",)
    with pytest.raises(ValueError, match=f"form rows cannot train {name}: {reason}; use form plain"):
        train_rules(task, ROWS, RULES[:1], RATES[:1], [1], form="rows")


class _Dropped(nn.Linear):
    def __init__(self) -> None:
        super().__init__(12, CLASSES)

    def forward(self, input: Tensor) -> Tensor:
        return functional.dropout(super().forward(input), 0.5, self.training)


def test_dropout_is_a_reason_and_looking_for_it_draws_nothing() -> None:
    before = torch.get_rng_state()
    assert why_no_rows(task_of("dropped", _Dropped, ROWS), ROWS) == "its forward pass draws random numbers"
    assert torch.equal(before, torch.get_rng_state())


class _Moody(nn.Linear):
    """Leaves its bias out of the second pass."""

    def __init__(self) -> None:
        super().__init__(12, CLASSES)
        self.passes = 0

    def forward(self, input: Tensor) -> Tensor:
        self.passes += 1
        return functional.linear(input, self.weight, self.bias if self.passes != 2 else None)


def test_a_parameter_without_a_gradient_in_one_step_is_an_error_not_a_zero() -> None:
    with pytest.raises(ValueError, match="parameter bias got no gradient in one step; form plain"):
        train_rules(task_of("moody", _Moody, ROWS), ROWS, RULES[:1], RATES[:1], [1], form="rows")


@pytest.mark.parametrize(
    ("form", "schedule", "message"),
    [
        (
            "population",
            "constant",
            "form population cannot train conv: its model is not an MLP; use one of plain, rows, channels-last",
        ),
        (
            "rows",
            "growing-batch",
            "form rows cannot train conv under schedule 'growing-batch', which moves more than lr",
        ),
        ("fast", "constant", "form must be one of population, plain, .*, but got 'fast'"),
    ],
)
def test_a_form_that_a_task_does_not_have_is_refused(form: Form, schedule: str, message: str) -> None:
    task, data = family("conv")
    with pytest.raises(ValueError, match=message):
        check_form(form, task, data, schedule)


def test_only_images_have_channels() -> None:
    task, data = family("mlp")
    with pytest.raises(ValueError, match=r"form channels-last cannot train mlp: its inputs are not images .*\(12,\)"):
        check_form("channels-last", task, data)
    assert "channels-last" in possible_forms(*family("conv"))


def test_the_configuration_has_the_same_forms() -> None:
    assert get_args(config.Form) == ("auto", *FORMS)


# -- precision -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["plain", "rows", "channels-last", "batched"])
def test_bf16_is_near_float32_and_not_the_same(form: Form) -> None:
    task, data = family("conv")
    exact, rounded = (
        train_rules(task, data, RULES[:1], [[1e-3]], [1], form=form, precision=p)[0][0][0] for p in ("float32", "bf16")
    )
    assert exact.loss is not None
    assert rounded.loss is not None
    assert rounded.loss != exact.loss
    assert rounded.loss == pytest.approx(exact.loss, rel=0.05)  # bfloat16 has 8 bits: 0.4 % a number


def test_an_mlp_in_bf16_is_no_population() -> None:
    task = task_of("perceptron", MLP((12, 5, CLASSES), "tanh"), ROWS)
    with pytest.raises(ValueError, match="form population trains in float32 only"):
        train_rules(task, ROWS, RULES[:1], RATES[:1], [1], form="population", precision="bf16")
    plain, usual = (
        train_rules(task, ROWS, RULES[:1], RATES[:1], [1], form=f, precision="bf16") for f in ("plain", None)
    )
    assert flat(plain) == flat(usual)
