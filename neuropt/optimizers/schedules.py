"""Learning-rate schedules that torch lacks, as torch schedulers: each multiplies every group's first lr by a factor of the step.

    NoamLR                  d^-0.5 min(t^-0.5, t warmup^-1.5)                                       t = 1, 2, ...
    LinearCosineLR          (alpha + 1 - t/T) 0.5 (1 + cos(2 pi n t/T)) + beta                      t = 0, 1, ..., capped at T
    NoisyLinearCosineLR     (alpha + 1 - t/T + eps_t) 0.5 (1 + cos(2 pi n t/T)) + beta              the same t

A factor depends on the step and the arguments alone, so `state_dict` is a handful of numbers, and a schedule that is loaded goes on to the
last bit.
"""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from neuropt.optimizers.arguments import check_integer, check_number
from neuropt.optimizers.sign_decay import cosine_decay, linear_decay
from search_space.draws import normal


class FactorLR(LRScheduler):
    """Multiply the lr that each group started with by `factor(t)`, t the steps done before the next one."""

    @abstractmethod
    def factor(self, t: int) -> float:
        """Return the factor of the step that t steps come before."""

    def get_lr(self) -> list[float | Tensor]:
        """Return the rates of the present step; use `get_last_lr` from outside."""
        admit_groups(self)
        return [base_lr * self.factor(self.last_epoch) for base_lr in self.base_lrs]

    def _get_closed_form_lr(self) -> list[float | Tensor]:  # torch asks for it under this name where a step is given
        return self.get_lr()


class NoamLR(FactorLR):
    """Raise the rate linearly for `warmup` steps, then let it fall with the root of the step.

    lr = base_lr d_model^-0.5 min(t^-0.5, t warmup^-1.5),  t = 1 at the first step

    The paper's rate is that of an optimizer created with lr=1; its largest, at t = warmup, is (d_model warmup)^-0.5.

    Args:
        optimizer: whose groups' lr is scheduled; step the schedule after each step of it.
        d_model: width of the model.
        warmup: steps until the largest rate.
        last_epoch: steps done, to go on from a checkpoint without `load_state_dict`.

    Raises:
        TypeError: for an argument of another type.
        ValueError: for one that is not at least 1.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.Adam([torch.ones(1, requires_grad=True)], lr=1.0)
        >>> schedule = NoamLR(optimizer, d_model=100, warmup=4)
        >>> round(optimizer.param_groups[0]["lr"], 6)  # 0.1 * 1 * 4^-1.5
        0.0125

    Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017, section 5.3; named after Noam Shazeer.
    """

    def __init__(self, optimizer: Optimizer, d_model: int, warmup: int = 4000, last_epoch: int = -1) -> None:
        check_number("NoamLR(d_model=...)", d_model, low=1)
        check_number("NoamLR(warmup=...)", warmup, low=1)
        self.d_model, self.warmup = d_model, warmup
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        """d_model^-0.5 min((t+1)^-0.5, (t+1) warmup^-1.5)."""
        now = float(t + 1)
        return float(self.d_model**-0.5 * min(now**-0.5, now * self.warmup**-1.5))


class LinearCosineLR(FactorLR):
    """Lower the rate along the product of a line and a cosine; published with PowerSign and AddSign.

    lr = base_lr ((alpha + 1 - t/T) 0.5 (1 + cos(2 pi n t/T)) + beta),  t = 0 at the first step, capped at T = decay_steps

    With the defaults the first rate is 1.001 base_lr and the last 0.001 base_lr, as in the authors' code.

    Args:
        optimizer: whose groups' lr is scheduled; step the schedule after each step of it.
        decay_steps: the planned number of steps T.
        num_periods: n, periods of the cosine.
        alpha: added to the line.
        beta: added to the product.
        last_epoch: steps done, to go on from a checkpoint without `load_state_dict`.

    Raises:
        TypeError: for an argument of another type.
        ValueError: for one out of range.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.5)
        >>> schedule = LinearCosineLR(optimizer, decay_steps=2)
        >>> for _ in range(2):
        ...     print(round(optimizer.param_groups[0]["lr"], 6))  # 0.5 (0.5 * 0.5 + 0.001) at half time
        ...     optimizer.step()
        ...     schedule.step()
        0.5005
        0.1255

    Source: Bello, Zoph, Vasudevan, Le, ICML 2017; tensorflow/contrib/opt and `tf.train.linear_cosine_decay`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        decay_steps: int,
        num_periods: float = 0.5,
        alpha: float = 0.0,
        beta: float = 0.001,
        last_epoch: int = -1,
    ) -> None:
        owner = type(self).__name__
        check_integer(f"{owner}(decay_steps=...)", decay_steps, low=1)
        check_number(f"{owner}(num_periods=...)", num_periods, above_low=True)
        check_number(f"{owner}(alpha=...)", alpha)
        check_number(f"{owner}(beta=...)", beta)
        self.decay_steps, self.num_periods, self.alpha, self.beta = decay_steps, num_periods, alpha, beta
        super().__init__(optimizer, last_epoch)

    def line(self, t: int) -> float:
        """alpha + 1 - t/T."""
        return self.alpha + linear_decay(t, self.decay_steps)

    def factor(self, t: int) -> float:
        """line(t) 0.5 (1 + cos(2 pi n t/T)) + beta."""
        return self.line(t) * cosine_decay(t, self.decay_steps, self.num_periods) + self.beta


class NoisyLinearCosineLR(LinearCosineLR):
    """Lower the rate along the product of a noisy line and a cosine; the noise fades.

    lr = base_lr ((alpha + 1 - t/T + eps_t) 0.5 (1 + cos(2 pi n t/T)) + beta),  eps_t ~ N(0, initial_variance / (1 + t)^variance_decay)

    t = 0 at the first step, capped at T = decay_steps. The noise is a function of the seed and t: one draw a step, for all groups alike,
    the same after a restart. As in the authors' code a rate may fall below 0 where the noise is large; `initial_variance` tames it.

    Args:
        optimizer: whose groups' lr is scheduled; step the schedule after each step of it.
        decay_steps: the planned number of steps T.
        initial_variance: of the noise at the first step.
        variance_decay: exponent of its fading.
        num_periods: n, periods of the cosine.
        alpha: added to the line.
        beta: added to the product.
        seed: of the noise.
        last_epoch: steps done, to go on from a checkpoint without `load_state_dict`.

    Raises:
        TypeError: for an argument of another type.
        ValueError: for one out of range.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.5)
        >>> schedule = NoisyLinearCosineLR(optimizer, decay_steps=10, initial_variance=0.0)  # no noise
        >>> optimizer.param_groups[0]["lr"]
        0.5005

    Source: Bello, Zoph, Vasudevan, Le, ICML 2017; the noise of Neelakantan et al. 2015; `tf.train.noisy_linear_cosine_decay`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        decay_steps: int,
        initial_variance: float = 1.0,
        variance_decay: float = 0.55,
        num_periods: float = 0.5,
        alpha: float = 0.0,
        beta: float = 0.001,
        seed: int = 0,
        last_epoch: int = -1,
    ) -> None:
        check_number("NoisyLinearCosineLR(initial_variance=...)", initial_variance)
        check_number("NoisyLinearCosineLR(variance_decay=...)", variance_decay)
        check_integer("NoisyLinearCosineLR(seed=...)", seed)
        self.initial_variance, self.variance_decay, self.seed = initial_variance, variance_decay, seed
        super().__init__(optimizer, decay_steps, num_periods, alpha, beta, last_epoch)

    def line(self, t: int) -> float:
        """alpha + 1 - t/T + eps_t, t capped at T."""
        t = min(t, self.decay_steps)
        std = float((self.initial_variance / (1.0 + t) ** self.variance_decay) ** 0.5)
        return super().line(t) + std * float(normal(1, self.seed, parameter=0, draw=0, t=t)[0])


def admit_groups(schedule: LRScheduler) -> None:
    """Let groups that the optimizer was given after the schedule start from their own lr, where torch's schedules refuse them."""
    added = schedule.optimizer.param_groups[len(schedule.base_lrs) :]
    for group in added:
        group.setdefault("initial_lr", _copied(group["lr"]))
    # a new list, since a state_dict that was taken holds the old one
    schedule.base_lrs = [*schedule.base_lrs, *(_copied(group["initial_lr"]) for group in added)]


def _copied(lr: float | Tensor) -> float | Tensor:
    return lr.clone() if isinstance(lr, Tensor) else lr
