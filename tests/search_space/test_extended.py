"""The space `extended`: what it contains, what only it can say, and its random strings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from search_space import (
    Rule,
    SearchSpace,
    Trajectory,
    expand,
    identify,
    load_space,
    parse_rule,
    run,
    screen,
    to_latex,
    zoo,
)
from search_space.primitives import Array
from search_space.space import OPERAND
from tests.search_space.random_rules import strings

EXTENDED, ARXIV = load_space("extended"), load_space("arxiv2017")
RECORDED = Path(__file__).parents[1] / "data" / "digits_gradients.npz"
TOLERANCE = 1e-12  # relative to max(1, |w|): the forms differ by the order of a few operations

ONE_GROUP = (
    *("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "amsgrad", "powersign", "addsign"),
    *("adagraft-sgd-adam", "adagraft-adam-sgd", "adamw", "sgdw", "signsgd", "signum"),
)
TWO_GROUPS = ("lion", "rmsprop-momentum", "powersign-ld", "powersign-cd", "addsign-ld", "addsign-cd")
OTHER_FORM = {
    "lion": "its weight decay of 0 is left out",
    **dict.fromkeys(("powersign", "powersign-ld", "powersign-cd"), "e ** x is exp(x)"),
    **dict.fromkeys(("addsign-ld", "addsign-cd"), "a (b c) is (a b) c"),
}
"""Rules whose string has another graph than the rule; their values on the probes are equal."""


def gradients() -> Array:
    """Return recorded gradients, with a step and an element at which nothing moves."""
    with np.load(RECORDED) as arrays:
        g = np.array(arrays["gradients"], np.float64)[:, :60]
    g[3] = 0.0
    g[:, 5] = 0.0
    return g


def path(text: str) -> Array:
    rule = parse_rule(text)
    start = np.linspace(-1.0, 1.0, 60)
    return run(rule, gradients(), start, lr=0.01, decay_steps=40 if expand(rule).reads("T") else None)


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("name", [*ONE_GROUP, *TWO_GROUPS])
def test_known_optimizers_are_encoded_and_decoded_back(name: str, groups: int) -> None:
    space, rule = load_space("extended", groups=groups), zoo()[name]
    tokens = space.encode(rule)
    if groups == 1 and name in TWO_GROUPS:
        assert tokens is None
        return
    assert tokens is not None
    assert space.allows(tokens)
    decoded, wanted = identify(space.decode(tokens)), identify(rule)
    assert decoded.exact == wanted.exact
    assert (decoded.structural == wanted.structural) == (name not in OTHER_FORM)
    assert space.encode(space.decode(tokens)) is not None
    expected = path(rule.text)
    difference = np.abs(path(space.decode(tokens).text) - expected) / np.maximum(1.0, np.abs(expected))
    assert difference.max() <= TOLERANCE


def test_all_that_the_issue_names_is_among_them() -> None:
    named = {"sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "amsgrad", "lion", "powersign", "addsign"}
    assert named | {"adagraft-sgd-adam"} <= {*ONE_GROUP, *TWO_GROUPS}
    assert EXTENDED.groups == 2


def test_everything_of_arxiv2017_is_in_it() -> None:
    for kind in ("operands", "unary", "binary"):
        mine, theirs = getattr(EXTENDED, kind), getattr(ARXIV, kind)
        assert mine[: len(theirs)] == theirs
    for option in ("bias_correction", "noise_std", "drop_rescale", "distinct_operands", "no_final_add"):
        assert getattr(EXTENDED, option) == getattr(ARXIV, option)


@settings(max_examples=50, deadline=None)
@given(strings(ARXIV))
def test_a_string_of_arxiv2017_names_the_same_rule_here(tokens: tuple[int, ...]) -> None:
    results = len(EXTENDED.operands) - len(ARXIV.operands)
    here = tuple(
        token + results if kind == OPERAND and token >= len(ARXIV.operands) else token
        for kind, token in zip(ARXIV.kinds, tokens, strict=True)
    )
    assert EXTENDED.allows(here)
    assert EXTENDED.decode(here) == ARXIV.decode(tokens)


@pytest.mark.parametrize(
    "text",
    [
        "debiased(g, 0.99)",  # averages at other betas
        "mhat / (sqrt(ema(g ** 2, 0.99)) + 1e-8)",
        "ema(adam, 0.9)",
        "cumsum(g)",  # cumulative sum and maximum
        "cumsum(g, 0.9)",
        "cummax(g) * g",
        "mhat / (cummax(abs(g), 0.999) + 1e-8)",
        "g + 0.9 * prev(u)",  # the previous update
        "adam * sign(prev(u))",
        "g + 0.1 * delay(g)",
        "norm(g) * sign(m)",  # norms
        "mhat / (norm(mhat) + 1e-16)",
        "dot(mhat, g) / (norm(mhat) * norm(g) + 1e-16) * g",  # cosine with the gradient
        "g / max(norm(g), 1)",  # clipping by norm
        "where(norm(w) > 0, norm(w) / (norm(adam) + 1e-16), 1) * adam",  # trust ratio
        "where(sign(adam) == sign(g), adam, 0)",  # where on sign agreement
        "where(sign(g) == sign(m), adam, 0.1 * g)",
    ],
)
def test_it_reaches_what_the_papers_spaces_cannot(text: str) -> None:
    rule = parse_rule(text)
    tokens = EXTENDED.encode(rule)
    assert tokens is not None
    assert identify(EXTENDED.decode(tokens)).exact == identify(rule).exact
    assert ARXIV.encode(rule) is None


def test_the_previous_update_is_that_of_the_whole_rule() -> None:
    """By hand: r1 = 0.9 prev(u) + sign(g); u = r1, so that steady gradients give 1, 1.9, 2.71."""
    tokens = EXTENDED.encode(parse_rule("sign(g) + 0.9 * prev(u)"))
    assert tokens is not None
    assert "prev(u)" in EXTENDED.describe(tokens)
    rule = EXTENDED.decode(tokens)
    updates = -np.diff(run(rule, np.full((3, 1), 5.0), np.zeros(1), lr=1.0)[:, 0], prepend=0.0)
    assert updates.tolist() == pytest.approx([1.0, 1.9, 2.71])


@settings(max_examples=100, deadline=None)
@given(strings(EXTENDED))
def test_random_strings_are_rules_that_read_back(tokens: tuple[int, ...]) -> None:
    assert EXTENDED.allows(tokens)
    rule = EXTENDED.decode(tokens)
    assert parse_rule(rule.text) == rule
    found = EXTENDED.encode(rule)
    if found is not None:
        assert EXTENDED.allows(found)
        assert identify(EXTENDED.decode(found)).exact == identify(rule).exact


@settings(max_examples=15, deadline=None)
@given(strings(EXTENDED))
def test_random_strings_have_a_formula(tokens: tuple[int, ...]) -> None:
    assert to_latex(EXTENDED.decode(tokens)).startswith("\\begin{aligned}")


def sampled(space: SearchSpace, count: int) -> list[Rule]:
    """Rules of random strings, each token as likely as any other that may come next."""
    generator = np.random.default_rng(0)
    prefixes = np.zeros((count, 0), np.int64)
    for choices in space.choices:
        scores = generator.random((count, choices)) * space.masks(prefixes)
        prefixes = np.column_stack([prefixes, scores.argmax(axis=1)])
    return [space.decode(tokens) for tokens in prefixes]


def test_most_sampled_strings_encode() -> None:
    assert np.mean([EXTENDED.encode(rule) is not None for rule in sampled(EXTENDED, 100)]) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "passing", "distinct"), [(ARXIV, 0.27, 0.95), (EXTENDED, 0.34, 0.99)], ids=["arxiv2017", "extended"]
)
def test_the_share_of_random_strings_that_pass_the_screen(space: SearchSpace, passing: float, distinct: float) -> None:
    with np.load(RECORDED) as arrays:
        trajectory = Trajectory(arrays["gradients"], arrays["weights"])
    passed = [rule for rule in sampled(space, 2_000) if screen(rule, trajectory).accepted]
    assert len(passed) / 2_000 == pytest.approx(passing, abs=0.02)
    assert len({identify(rule).either for rule in passed}) / len(passed) == pytest.approx(distinct, abs=0.02)
