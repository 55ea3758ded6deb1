"""The closure of `step`, as torch defines it, for every optimizer here."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import overload

import torch
from torch.optim import Optimizer


class ClosureStep(Optimizer):
    """Evaluate the closure with gradients, if there is one, then update all parameters by `step_all`."""

    @abstractmethod
    def step_all(self) -> None:
        """Update every parameter that has a gradient once."""

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient once, and return the closure's loss if there is a closure."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.step_all()
        return loss
