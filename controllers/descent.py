"""Adam down a clipped gradient: how REINFORCE and PPO move the policy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from controllers.policy import NOT_FINITE
from controllers.settings import AdamSettings


class Descent:
    """Adam for the weights of a policy."""

    def __init__(self, policy: nn.Module, settings: AdamSettings) -> None:
        self._parameters, self._clip = list(policy.parameters()), settings.gradient_clip
        self._adam = torch.optim.Adam(self._parameters, lr=settings.learning_rate, fused=True)

    def step(self, loss: Tensor) -> float:
        """Take one step down the gradient; return its norm before clipping.

        Raises:
            ValueError: if the gradient is not finite; the weights are kept.
        """
        self._adam.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._parameters, self._clip)
        if not torch.isfinite(norm):
            raise ValueError(f"The policy's gradient is {NOT_FINITE}")
        self._adam.step()
        return float(norm)

    def state_dict(self) -> dict[str, Any]:
        """Return Adam's state."""
        return self._adam.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace Adam's state."""
        self._adam.load_state_dict(state)
