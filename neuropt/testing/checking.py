"""The table of checks, and the function that runs it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import torch
from torch.optim import Optimizer

from neuropt.testing import groups, hyperparameters, options, persistence, stepping, tensors, training
from neuropt.testing.report import CheckRow, Report
from neuropt.testing.subject import NotApplicable, Subject, Unmet, subject_of

Check = Callable[[Subject], str]
"""Returns what was seen; raises where the claim, which is its docstring, does not hold or does not apply."""

TABLE: tuple[Check, ...] = (
    hyperparameters.hyperparameters_in_groups,
    hyperparameters.hyperparameters_read_at_every_step,
    groups.groups_apart,
    groups.weight_decay,
    hyperparameters.bad_values_refused,
    hyperparameters.unknown_keyword_refused,
    hyperparameters.empty_parameters_refused,
    stepping.loss_goes_down,
    stepping.late_first_gradient,
    stepping.step_count,
    stepping.added_group,
    stepping.parameters_without_gradients,
    stepping.gradients_untouched,
    stepping.closure,
    stepping.step_hooks,
    stepping.named_parameters,
    persistence.state_dict_round_trip,
    persistence.deepcopy,
    persistence.pickling,
    tensors.dtypes,
    tensors.double_precision,
    tensors.odd_shapes,
    tensors.non_contiguous,
    tensors.sparse_gradients,
    tensors.complex_parameters,
    tensors.zero_lr_and_gradients,
    tensors.float16_zero_gradients,
    training.schedulers,
    training.momentum_cycling,
    training.grad_scaler,
    options.tensor_lr,
    options.foreach,
    options.maximize,
    options.differentiable,
    options.compiled_step,
)


def checks() -> Mapping[str, str]:
    """Return the name of each check and its claim, in the order in which they run.

    Example:
        >>> checks()["added_group"]
        'A group that is added in the middle steps as if it had been there from the start, without gradients so far.'
    """
    return MappingProxyType({check.__name__: (check.__doc__ or "").partition("\n")[0] for check in TABLE})


def check_optimizer(
    factory: Callable[..., Optimizer],
    *,
    strict: bool = False,
    backend: str | None = "eager",
    on_fail: Literal["raise"] | None = "raise",
) -> Report:
    """Check that an optimizer does what training code expects of any torch optimizer.

    Core checks apply to all; a capability is checked where the constructor declares it, and is else "not applicable":
    foreach, maximize and differentiable by a keyword; a tensor lr by its annotation, or by taking one; cycling of momentum by `betas` or
    `momentum` in `defaults`; zero gradients in float16 by an eps that is not 0 there; complex parameters by not raising. `checks()` lists
    the claims. Optimizers are made and stepped on tiny tensors on the CPU; a check that raises has failed, and the others go on.

    Args:
        factory: a class, or a function of parameters, such as `functools.partial(Mine, beta=0.5)`. Keywords reach it where it takes them;
            else the class of what it makes is called with its defaults and the keyword.
        strict: also refuse NaN, infinity and a beta of 1, in groups too, by a message that names the argument; resume to the bit in every
            type; and rest at lr 0 in float16 whatever eps is. torch's own optimizers are not that strict.
        backend: of torch.compile for the check of a compiled step; None leaves it out, which saves most of the time.
        on_fail: "raise" raises where a check failed; None only returns the report.

    Raises:
        ConformanceError: an AssertionError that names every failed check, unless `on_fail` is None.
        TypeError: a factory that is not callable or makes something else.
        ValueError: a factory that `factory(params)` makes raise, or another `on_fail`.

    Example:
        >>> import torch
        >>> report = check_optimizer(torch.optim.SGD, backend=None)
        >>> report.passed
        True
    """
    if on_fail not in ("raise", None):
        raise ValueError(f"check_optimizer(on_fail=...) must be 'raise' or None, but got {on_fail!r}.")
    with warnings.catch_warnings(), torch.enable_grad(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # of torch, on schedulers without steps or while it traces
        subject = subject_of(factory, strict=strict, backend=backend)
        report = Report(subject.kind.__name__, tuple(_row(check, subject) for check in TABLE))
    if on_fail == "raise":
        report.raise_for_failures()
    return report


def _row(check: Check, subject: Subject) -> CheckRow:
    name = check.__name__
    try:
        return CheckRow(name, "passed", check(subject))
    except NotApplicable as reason:
        return CheckRow(name, "not applicable", str(reason))
    except Unmet as fault:
        return CheckRow(name, "failed", " ".join(str(fault).split()))
    except Exception as error:  # noqa: BLE001  # an optimizer may raise anything; it is the row's detail
        return CheckRow(name, "failed", f"raised {type(error).__name__}: {' '.join(str(error).split()):.300}")
