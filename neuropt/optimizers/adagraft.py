"""AdaGraft: a step as long as one optimizer's in the direction of another's.

AdaGraft(M = SGD, D = Adam)      Adam with the step sizes, and so with the schedule, of SGD
AdaGraft(M = Adam, D = SGD)      normalised gradients, as long as Adam's steps
AdaGraft(M = X, D = X)           X
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, optim
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from neuropt.optimizers.arguments import check_flag, check_number, scalar
from neuropt.optimizers.closure_step import ClosureStep
from neuropt.optimizers.loop_optimizer import LoopOptimizer
from neuropt.optimizers.ranges import check_torch_values, is_torchs

Child = Callable[..., Optimizer] | tuple[str, Mapping[str, Any]]
"""A function of parameters that returns an optimizer, or a name and hyperparameters for `create_optimizer`."""
CHILDREN = ("magnitude", "direction")


class AdaGraft(ClosureStep):
    """Step along D's update, scaled to the length of M's.

    w = w + lr norm(s_M) / (norm(s_D) + eps) s_D,  s_X: the step that X would take from w

    Both see the same gradients and keep their own state. Norms are of each tensor, or of all tensors together with `global_norm`. M's own
    learning rate is inside s_M and D's does not matter, so that lr is 1; either serves for a schedule. A group holds the hyperparameters of
    its children as dictionaries, `group["magnitude"]` and `group["direction"]`, which are read at every step; a group that is added may
    give some of them. A child that reads no weights steps from 0, so that its step is exact; the step of another, such as one with weight
    decay, is a difference of weights, of which rounding takes what is small beside them.

    Defaults: magnitude ('sgd', {}), direction ('adam', {}), lr 1.0, global_norm False, eps 1e-16.

    Args:
        params, maximize: as in torch's optimizers.
        magnitude: M, a class or function of parameters, or (name, hyperparameters) for `neuropt.create_optimizer`, which pickle.
        direction: D, in the same ways.
        lr: factor of the step, a number or a one-element tensor.
        global_norm: take the norms over all parameters.
        eps: added to norm(s_D).

    A group's `momentum` is None unless one of torch's cyclic schedulers (OneCycleLR, CyclicLR) writes it; a number there is given to the
    children as their momentum, beta or first of betas.

    Raises:
        ValueError, TypeError: for a bad hyperparameter, in any group, named with its value; for an unknown name; for a child that
            makes no optimizer.

    Example:
        >>> import torch
        >>> w = torch.tensor([1.0, 1.0], requires_grad=True)
        >>> optimizer = AdaGraft([w], magnitude=("sgd", {"lr": 0.1}), direction=("adam", {}))
        >>> (w @ torch.tensor([3.0, 4.0])).backward()
        >>> optimizer.step()  # as long as 0.1 (3, 4), along (1, 1)
        >>> w
        tensor([0.6464, 0.6464], requires_grad=True)

    Source: Agarwal, Anil, Hazan, Koren, Zhang, "Disentangling Adaptive Gradient Methods from Learning Rates", 2020.
    """

    def __init__(
        self,
        params: ParamsT,
        magnitude: Child = ("sgd", {}),
        direction: Child = ("adam", {}),
        lr: float | Tensor = 1.0,
        global_norm: bool = False,
        eps: float = 1e-16,
        *,
        maximize: bool = False,
    ) -> None:
        check_flag("AdaGraft(global_norm=...)", global_norm)
        self._makers = {"magnitude": _maker("magnitude", magnitude), "direction": _maker("direction", direction)}
        self._children: dict[str, Optimizer] = {}
        defaults = {"lr": lr, "global_norm": global_norm, "eps": eps, "maximize": maximize, "momentum": None}
        super().__init__(params, defaults)

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickle and deepcopy keep: the children too, which hold the same parameters."""
        return super().__getstate__() | {"_makers": self._makers, "_children": self._children}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with hyperparameters of their own where the group gives them."""
        group = self.defaults | param_group
        check_number("AdaGraft(lr=...)", group["lr"])
        check_number("AdaGraft(eps=...)", group["eps"])
        check_flag("AdaGraft(maximize=...)", group["maximize"])
        if group["momentum"] is not None:
            check_number("AdaGraft(momentum=...)", group["momentum"], high=1.0)
        if group["global_norm"] != self.defaults["global_norm"]:
            raise ValueError(
                f"AdaGraft(global_norm=...) is one for all groups, {self.defaults['global_norm']}, "
                f"but got {group['global_norm']!r}."
            )
        super().add_param_group(param_group)
        try:
            with _in_float32(param_group["params"]):
                for role in CHILDREN:
                    self._add_to_child(role, param_group)
        except Exception:  # raised again: only the group must not stay behind
            self.param_groups.pop()
            for child in self._children.values():
                del child.param_groups[len(self.param_groups) :]
            raise

    def _add_to_child(self, role: str, param_group: dict[str, Any]) -> None:
        theirs = {"params": list(param_group["params"]), **param_group.get(role, {})}
        if role in self._children:
            if is_torchs(type(self._children[role])):
                check_torch_values(f"AdaGraft({role}=...): {type(self._children[role]).__name__}", theirs)
            self._children[role].add_param_group(theirs)
        else:
            made = self._makers[role]([theirs])
            if not isinstance(made, Optimizer):
                raise TypeError(f"AdaGraft({role}=...) must make an optimizer, but got {made!r}.")
            self._children[role] = made
        child = self._children[role]
        param_group[role] = _hyperparameters(child.param_groups[-1])
        for w in param_group["params"]:
            if w in child.state:  # torch's Adagrad starts its state at once
                self.state[w][role] = child.state[w]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned, to the last bit; each child loads its own part, as it alone knows how.

        Raises:
            ValueError: for the state of other parameters or children.
        """
        super().load_state_dict(state_dict)
        groups = state_dict["param_groups"]
        for role, child in self._children.items():
            states = {index: state[role] for index, state in state_dict["state"].items() if role in state}
            with _in_float32([w for group in self.param_groups for w in group["params"]]):
                child.load_state_dict(
                    {"state": states, "param_groups": [{**group[role], "params": group["params"]} for group in groups]}
                )
            for w, state in child.state.items():
                self.state[w][role] = state

    @torch.no_grad()
    def step_all(self) -> None:
        """Let both children step, put the parameters back, and take the grafted step."""
        moving = [(w, group) for group in self.param_groups for w in group["params"] if w.grad is not None]
        gradients = [w.grad for w, _ in moving]
        for w, group in moving:
            self.state[w].setdefault("step", torch.zeros((), dtype=torch.float32)).add_(1)
            if group["maximize"]:
                w.grad = -w.grad
        try:
            weights = [w for w, _ in moving]
            with _in_float32(weights):
                magnitude, direction = (self._steps(role, weights) for role in CHILDREN)
        finally:
            for (w, _), gradient in zip(moving, gradients, strict=True):
                w.grad = gradient
        lengths = list(zip(_norms(magnitude), _norms(direction), strict=True))
        if self.defaults["global_norm"] and lengths:
            longest = tuple(
                torch.stack([x.to(norms[0].device) for x in norms]).norm() for norms in zip(*lengths, strict=True)
            )
            lengths = [(longest[0], longest[1])] * len(lengths)
        for (w, group), s, (long, short) in zip(moving, direction, lengths, strict=True):
            long, short, lr = long.to(w.device), short.to(w.device), scalar(group["lr"], w.device)
            still = (long == 0) | (lr == 0)  # whatever s is: torch's Adam has NaN for zero gradients in float16
            w.add_(torch.where(still, 0.0, s * (long / (short + group["eps"])) * lr).to(w.dtype))

    def _steps(self, role: str, weights: list[Tensor]) -> list[Tensor]:
        """Return the steps that a child takes from the present weights, which stay as they are."""
        child = self._children[role]
        for group, theirs in zip(self.param_groups, child.param_groups, strict=True):
            theirs.update(group[role])
            if group["momentum"] is not None:
                _cycle(theirs, group["momentum"])
        for w in weights:
            if role in self.state[w]:  # what load_state_dict has put there
                child.state[w] = self.state[w][role]
        unread = {w for group in child.param_groups if reads_no_weights(child, group) for w in group["params"]}
        before = [w.clone() for w in weights]
        try:
            for w in weights:
                if w in unread:
                    w.zero_()
            child.step()
            steps = [w.clone() if w in unread else w - b for w, b in zip(weights, before, strict=True)]
        finally:
            for w, b in zip(weights, before, strict=True):
                w.copy_(b)
        for w in weights:
            if w in child.state:
                self.state[w][role] = child.state[w]
        return steps


TORCHS_OF_GRADIENTS = frozenset(
    {
        optim.SGD,
        optim.Adam,
        optim.AdamW,
        optim.Adagrad,
        optim.RMSprop,
        optim.Adadelta,
        optim.NAdam,
        optim.RAdam,
        optim.Adamax,
    }
)
"""Classes of torch that read the weights for their decay only."""


def reads_no_weights(child: Optimizer, group: Mapping[str, Any]) -> bool:
    """Return whether an optimizer takes the same step from any weights, as far as is known of it.

    Example:
        >>> w = torch.ones(1, requires_grad=True)
        >>> [reads_no_weights(o, o.param_groups[0]) for o in (optim.Adam([w]), optim.AdamW([w]))]
        [True, False]
    """
    ours = isinstance(child, LoopOptimizer) and type(child).__module__.startswith("neuropt.optimizers.")
    return (ours or type(child) in TORCHS_OF_GRADIENTS) and group.get("weight_decay", 0.0) == 0


def _maker(role: str, child: Any) -> Callable[..., Any]:
    if callable(child):
        maker: Callable[..., Any] = child
        return maker
    match child:
        case (str(name), Mapping() as hyper):
            return _Named(name, dict(hyper))
    raise TypeError(
        f"AdaGraft({role}=...) must be a function of parameters or (name, hyperparameters), but got {child!r}."
    )


class _Named:
    """`create_optimizer` with a name and hyperparameters; it pickles."""

    def __init__(self, name: str, hyper: dict[str, Any]) -> None:
        self.name, self.hyper = name, hyper

    def __call__(self, params: ParamsT) -> Optimizer:
        from neuropt.compiling.create import create_optimizer  # which imports the catalogue, which imports this module

        return create_optimizer(self.name, params, **self.hyper)


def _hyperparameters(group: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name not in ("params", "param_names")}


def _cycle(group: dict[str, Any], momentum: float) -> None:
    if "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    elif "momentum" in group:
        group["momentum"] = momentum


@contextmanager
def _in_float32(weights: Iterable[Tensor]) -> Iterator[None]:
    """Make float16 and bfloat16 parameters and their gradients float32 for a while: a small step would vanish beside the weights."""
    kept = [(w, w.data, w.grad) for w in weights if w.dtype in (torch.float16, torch.bfloat16)]
    try:
        for w, data, grad in kept:
            w.grad, w.data = None, data.float()
            w.grad = grad.float() if grad is not None else None
        yield
    finally:
        for w, data, grad in kept:
            w.grad, w.data = None, data
            w.grad = grad


def _norms(steps: Iterable[Tensor]) -> list[Tensor]:
    return [torch.linalg.vector_norm(s) for s in steps]
