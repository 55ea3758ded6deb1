"""Warm restarts whose weight decay knows the length of the cycle: the schedule of AdamWR and SGDWR for any optimizer."""

from __future__ import annotations

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from neuropt.optimizers.arguments import check_integer, check_number
from neuropt.optimizers.schedules import admit_groups


class NormalizedWarmRestarts(CosineAnnealingWarmRestarts):
    """Anneal the rate by torch's warm restarts, and give each cycle the weight decay that its length asks for.

    lr           = eta_min + (base_lr - eta_min) (1 + cos(pi T_cur/T_i)) / 2                 T_i = T_mult T_i at a restart
    weight_decay = lambda_norm sqrt(b / (B T_i)) = lambda_norm / sqrt(steps_per_epoch T_i)

    The paper's T_i is in epochs, of B/b steps each for B examples in batches of b. So B T_i / b is the number of steps in the cycle, and
    the root needs neither B nor b: it is that of T_i where the schedule is stepped after each batch, of steps_per_epoch T_i where it is
    stepped after each epoch. A longer cycle decays less at each step, so that lambda_norm need not be tuned for each budget.

    lambda_norm is the weight_decay that a group starts with; it stays in the group as `initial_weight_decay`, as torch keeps `initial_lr`.
    The paper's decay is decoupled, eta_t lambda w with eta_t the cosine: torch's AdamW and our SGDW multiply it by lr too, so that their
    weight_decay of x is its lambda of base_lr x, while `SGDW(decay="schedule")` is the paper's. eta_min is a rate, as in torch.

    Args:
        optimizer: whose groups' lr and weight_decay are scheduled; step the schedule after each step of it, or after each epoch.
        T_0: length of the first cycle, counted in calls of `step`.
        T_mult: factor of the length at each restart.
        eta_min: the smallest rate.
        last_epoch: calls done, to go on from a checkpoint without `load_state_dict`.
        steps_per_epoch: steps of the optimizer for each call: B/b where the schedule is stepped after each epoch.

    `step(epoch)` takes fractions of an epoch, as torch's does.

    Raises:
        TypeError: for an argument of another type.
        ValueError: for one out of range, or an optimizer whose groups have no weight_decay.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.AdamW([torch.ones(1, requires_grad=True)], lr=0.5, weight_decay=0.5)
        >>> schedule = NormalizedWarmRestarts(optimizer, T_0=4, T_mult=4)
        >>> optimizer.param_groups[0]["weight_decay"]  # 0.5 / sqrt(4)
        0.25
        >>> for _ in range(4):
        ...     optimizer.step()
        ...     schedule.step()
        >>> optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]  # a restart; 0.5 / sqrt(16)
        (0.5, 0.125)

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, section 3 and appendix B; the restarts are those of
    "SGDR", ICLR 2017.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
        *,
        steps_per_epoch: float = 1,
    ) -> None:
        check_integer("NormalizedWarmRestarts(T_0=...)", T_0, low=1)
        check_integer("NormalizedWarmRestarts(T_mult=...)", T_mult, low=1)
        check_integer("NormalizedWarmRestarts(last_epoch=...)", last_epoch, low=-1)
        check_number("NormalizedWarmRestarts(eta_min=...)", eta_min)
        check_number("NormalizedWarmRestarts(steps_per_epoch=...)", steps_per_epoch, above_low=True)
        _lambda_norms(optimizer)  # refuses before torch writes anything
        self.steps_per_epoch = steps_per_epoch
        super().__init__(optimizer, T_0, T_mult, eta_min, last_epoch)
        if last_epoch >= 0:
            self.step(last_epoch + 1)  # torch looks for the cycle only where it is told the epoch

    def get_lr(self) -> list[float | Tensor]:
        """Return the rates of the present step; use `get_last_lr` from outside."""
        admit_groups(self)
        return super().get_lr()

    def step(self, epoch: float | None = None) -> None:
        """Write lr and weight_decay of the next step, or of an epoch that is given."""
        starts = _lambda_norms(self.optimizer)  # before anything changes
        super().step(epoch)  # pyright: ignore[reportArgumentType]  # torch's takes fractions, though it says int elsewhere
        for group, lambda_norm in zip(self.optimizer.param_groups, starts, strict=True):
            group["weight_decay"] = lambda_norm * (self.steps_per_epoch * self.T_i) ** -0.5


def _lambda_norms(optimizer: Optimizer) -> list[float]:
    """Return the weight_decay that each group started with, and keep it in the group."""
    if without := [index for index, group in enumerate(optimizer.param_groups) if "weight_decay" not in group]:
        raise ValueError(
            f"NormalizedWarmRestarts(optimizer=...) needs a weight_decay in every group, but group {without[0]} of "
            f"{type(optimizer).__name__} has none; use torch's CosineAnnealingWarmRestarts."
        )
    return [group.setdefault("initial_weight_decay", group["weight_decay"]) for group in optimizer.param_groups]
