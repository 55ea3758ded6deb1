"""The optimizer that is checked: how to make one, and what its constructor declares.

torch.optim.Adam                                declares what is in its signature: lr, betas, foreach, ...
functools.partial(torch.optim.SGD, lr=0.1)      the same, with another default
lambda params: Mine(params, lr=0.1)             what Mine declares; where a check needs a keyword, Mine is called with these defaults
lambda params, **hyper: create(params, **hyper) what the class of the result declares, and what it keeps in `defaults`
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Unmet(Exception):
    """A claim does not hold, which ends a check; the message says what was expected and what happened."""


class NotApplicable(Exception):
    """A check does not concern this optimizer, and ends; the message says why."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A factory of optimizers.

    Args:
        factory: function or class, called with parameters, and with keywords among `names`.
        kind: class of what it makes.
        defaults: their `Optimizer.defaults`.
        names: keywords that the constructor takes.
        own: arguments for `kind` that give what the factory gives; None where `kind` cannot be called with them.
        is_open: whether the factory takes any keyword.
        strict: whether the strictest checks of arguments apply.
        backend: of torch.compile, or None.
    """

    factory: Callable[..., Optimizer]
    kind: type[Optimizer]
    defaults: Mapping[str, Any]
    names: frozenset[str]
    own: Mapping[str, Any] | None
    is_open: bool
    strict: bool
    backend: str | None

    def make(self, params: Any, **hyper: Any) -> Optimizer:
        """Make an optimizer; by its class where the factory does not take a keyword."""
        if self.is_open or self.own is None or hyper.keys() <= _keywords(self.factory).keys():
            return self.factory(params, **hyper)
        return self.kind(params, **{**self.own, **hyper})

    def makers(self) -> list[Callable[..., Optimizer]]:
        """Return the callables that must refuse a keyword that nobody knows."""
        own = self.own
        makers: list[Callable[..., Optimizer]] = [self.factory] if self.is_open or self.factory is self.kind else []
        if own is not None and self.factory is not self.kind:
            makers.append(lambda params, **hyper: self.kind(params, **{**own, **hyper}))
        return makers

    def require(self, name: str) -> None:
        """Leave a check that concerns a keyword which the constructor does not have."""
        if name not in self.names:
            raise NotApplicable(f"the constructor has no {name}=...")

    @property
    def declares_tensor_lr(self) -> bool:
        """Whether the constructor's lr is annotated with Tensor, as torch's own are."""
        lr = inspect.signature(self.kind).parameters.get("lr")
        return lr is not None and "Tensor" in str(lr.annotation)


def subject_of(factory: Callable[..., Optimizer], *, strict: bool, backend: str | None) -> Subject:
    """Make one optimizer, and read from it and from the signatures what it declares.

    Raises:
        TypeError: for what is not callable, or makes something else.
        ValueError: where `factory(params)` raises.
    """
    if not callable(factory):
        raise TypeError(f"check_optimizer(factory) must be a class or function of parameters, but got {factory!r}.")
    try:
        made = factory([torch.ones(2, requires_grad=True)])
    except Exception as error:
        raise ValueError(
            f"factory(params) must make an optimizer, but raised {type(error).__name__}: {_line(error)}; give what it "
            "needs: functools.partial(factory, name=value), or --hyper name=value at the command line."
        ) from error
    if not isinstance(made, Optimizer):
        raise TypeError(f"factory(params) must make a torch.optim.Optimizer, but made {made!r}.")
    kind, is_open = type(made), _is_open(factory)
    closure = inspect.signature(kind.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ValueError(
            f"{kind.__name__}.step needs a closure, but the checks are of optimizers that step along gradients."
        )
    own = _own_arguments(kind, made.defaults)
    names = set(_keywords(factory))
    if is_open or own is not None:
        names |= {*_keywords(kind), *(own or {})}
    return Subject(factory, kind, dict(made.defaults), frozenset(names), own, is_open, strict, backend)


def numeric_keywords(kind: type[Optimizer]) -> list[str]:
    """Return the keywords of a constructor whose defaults are numbers or tuples of numbers."""
    return [name for name, default in _keywords(kind).items() if is_numeric(default)]


def is_numeric(value: Any) -> bool:
    """Whether a value is a number or a tuple of numbers; True and False are flags."""
    if isinstance(value, tuple):
        return bool(value) and all(is_numeric(x) for x in value)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _own_arguments(kind: type[Optimizer], defaults: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return keywords for a class that repeat the defaults of one of its optimizers, or None where they do not make another."""
    own = {name: defaults[name] for name in _keywords(kind) if name in defaults}
    if _is_open(kind):
        own |= {name: value for name, value in defaults.items() if value is not None}
    try:
        kind([torch.ones(2, requires_grad=True)], **own)
    except Exception:  # noqa: BLE001  # whatever it is: the class alone cannot be asked
        return None
    return {name: value for name, value in own.items() if not isinstance(value, Tensor)}


def _keywords(factory: Callable[..., Optimizer]) -> dict[str, Any]:
    """Return the keywords in a signature and their defaults; the first parameter is the list of weights."""
    open_kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    parameters = [p for p in inspect.signature(factory).parameters.values() if p.kind not in open_kinds]
    return {p.name: p.default for p in parameters[1:]}


def _is_open(factory: Callable[..., Optimizer]) -> bool:
    kinds = [p.kind for p in inspect.signature(factory).parameters.values()]
    return inspect.Parameter.VAR_KEYWORD in kinds


def _line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or "no message"
