"""Checks of hyperparameters: where they live, that they are obeyed, and which are refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from neuropt.testing.groups import others
from neuropt.testing.subject import NotApplicable, Subject, Unmet, is_numeric, numeric_keywords
from neuropt.testing.trajectories import distance, expect_same, parameters, take_steps, weights

FRACTIONS = ("betas", "beta", "beta1", "beta2", "momentum")
"""Decays of averages: never below 0; of our own classes also below 1."""
SIZES = ("lr", "eps", "weight_decay")
"""Never below 0."""
UNKNOWN = "no_such_hyperparameter"


def hyperparameters_in_groups(subject: Subject) -> str:
    """Every number that the constructor takes is a hyperparameter in every parameter group, lr among them."""
    first, second = parameters()
    optimizer = subject.make([{"params": [first]}, {"params": [second]}])
    names = ["lr", *(name for name in numeric_keywords(subject.kind) if name != "lr")]
    for index, group in enumerate(optimizer.param_groups):
        if missing := [name for name in names if name not in group]:
            raise Unmet(
                f"expected {', '.join(missing)} in every parameter group, but group {index} has {_named(group)}"
            )
    return f"{', '.join(names)} in every group"


def hyperparameters_read_at_every_step(subject: Subject) -> str:
    """A number written into a group counts from the next step on, and gives what the constructor gives with that number.

    An lr of 0 written between two steps freezes that group alone. Numbers that begin with `initial` may count once.
    """
    first, second = parameters()
    optimizer = take_steps(subject.make([{"params": [first]}, {"params": [second]}]), range(2))
    _set(optimizer.param_groups[1], "lr", 0.0)
    before = weights(optimizer)
    after = weights(take_steps(optimizer, range(2, 3)))
    expect_same(before[1:], after[1:], "lr = 0, written into the second group after two steps, should freeze it")
    if torch.equal(before[0], after[0]):
        raise Unmet("lr = 0 in the second group: expected an update of the first, but it stayed as it was")
    compared = [name for name in _numbers(optimizer.param_groups[0]) if _agrees(subject, name)]
    return f"lr = 0 froze one group; {', '.join(compared) or 'no other number'} compared with the constructor's"


def bad_values_refused(subject: Subject) -> str:
    """A negative lr, beta, momentum, eps or decay is a ValueError.

    Strict: so are NaN, infinity and a beta of 1, in a group too; and the message names the argument.
    """
    bad = list(_bad_values(subject))
    for name, value in bad:
        said, named = f"{name}={value!r}", name if subject.strict else ""
        _expect_value_error(partial(subject.make, parameters(), **{name: value}), said, named)
        if subject.strict:
            group = {"params": parameters(), name: value}
            _expect_value_error(partial(subject.make, [dict(group)]), f"a group with {said}", named)
            add = subject.make(parameters()).add_param_group
            _expect_value_error(partial(add, dict(group)), f"add_param_group with {said}", named)
    if not bad:
        raise NotApplicable("the factory takes none of " + ", ".join(SIZES + FRACTIONS))
    return f"{len(bad)} bad values refused"


def unknown_keyword_refused(subject: Subject) -> str:
    """A keyword that nobody knows is a TypeError, never swallowed."""
    makers = subject.makers()
    if not makers:
        raise NotApplicable("the factory takes no keywords, and its class cannot be called without it")
    for make in makers:
        try:
            make(parameters(), **{UNKNOWN: 1})
        except TypeError:
            continue
        raise Unmet(f"expected a TypeError for {UNKNOWN}=1, but an optimizer was made")
    return f"TypeError for {UNKNOWN}=1"


def empty_parameters_refused(subject: Subject) -> str:
    """An empty list of parameters is a ValueError."""
    _expect_value_error(lambda: subject.factory([]), "an empty list of parameters", "")
    return "ValueError for []"


def _agrees(subject: Subject, name: str) -> bool:
    """Compare a number written into a group, in time and from the start, with the same number given to the constructor."""
    if name == "lr" or name.startswith("initial") or name not in subject.names:
        return False  # a group may remember the lr that it started with
    own = subject.make(parameters()).param_groups[0][name]
    for value in others(name, own):
        try:
            constructed = subject.make(parameters(), **{name: value})
            in_group = subject.make([{"params": parameters(), name: value}])
        except (TypeError, ValueError):
            continue  # it does not take this value, or not alone
        written = subject.make(parameters())
        written.param_groups[0][name] = value
        expected = weights(take_steps(constructed, range(3)))
        for optimizer, how in ((written, "written into the group"), (in_group, "given by the group")):
            got = weights(take_steps(optimizer, range(3)))
            expect_same(expected, got, f"{name} = {value} {how} should do what {name}={value} of the constructor does")
        # a length may count at a restart only; 0 may mean that nothing is kept: torch's RMSprop cannot begin with momentum later
        if (
            name in SIZES + FRACTIONS
            and own
            and distance(expected, weights(take_steps(subject.make(parameters()), range(3))))
        ):
            _expect_effect_later(subject, name, value)
        return True
    return False


def _expect_effect_later(subject: Subject, name: str, value: Any) -> None:
    """Write a number that makes a difference from the start after two steps instead: it must make one still."""
    changed, kept = (take_steps(subject.make(parameters()), range(2)) for _ in range(2))
    changed.param_groups[0][name] = value
    if not distance(*(weights(take_steps(optimizer, range(2, 4))) for optimizer in (changed, kept))):
        raise Unmet(f"{name} = {value} written after two steps: expected other steps, but nothing changed")


def _numbers(group: dict[str, Any]) -> list[str]:
    return [name for name, value in group.items() if is_numeric(value)]


def _set(group: dict[str, Any], name: str, value: float) -> None:
    if isinstance(group[name], torch.Tensor):
        group[name].fill_(value)
    else:
        group[name] = value


def _bad_values(subject: Subject) -> Iterator[tuple[str, Any]]:
    """Yield (argument, a value that it must refuse)."""
    beyond = (math.nan, math.inf) if subject.strict else ()
    for name in SIZES:
        default = subject.defaults.get(name, 0.0)
        if name in subject.names and _may_be_size(default):
            yield from ((name, value) for value in (-1.0, *beyond))
    for name in FRACTIONS:
        default = subject.defaults.get(name)
        bad = (-0.5, *beyond, 1.0) if subject.strict else (-0.5,)
        if name not in subject.names or not is_numeric(default) or not _is_fraction(default):
            continue  # a rule may call anything beta: by a default outside [0, 1) it says that it means something else
        if not isinstance(default, tuple):
            yield from ((name, value) for value in bad)
        else:
            for index in range(len(default)):
                yield from ((name, (*default[:index], value, *default[index + 1 :])) for value in bad)


def _may_be_size(value: Any) -> bool:
    return not isinstance(value, tuple) and (not is_numeric(value) or value >= 0)


def _is_fraction(value: Any) -> bool:
    return all(0 <= x < 1 for x in (value if isinstance(value, tuple) else (value,)))


def _expect_value_error(call: Callable[[], Any], said: str, name: str) -> None:
    try:
        call()
    except ValueError as error:
        if name not in str(error):
            raise Unmet(f"expected the ValueError for {said} to name {name}, but it says: {error}") from error
        return
    except Exception as error:
        raise Unmet(f"expected a ValueError for {said}, but got {type(error).__name__}: {error}") from error
    raise Unmet(f"expected a ValueError for {said}, but it was accepted")


def _named(group: dict[str, Any]) -> str:
    return ", ".join(name for name in group if name != "params")
