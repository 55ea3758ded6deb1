"""Controllers propose token strings and learn from rewards: `ask`, `tell`, and nothing else between them and a search.

Example:
    >>> controller = create_controller("ppo", space, seed=1)
    >>> outcomes = [Outcome(p.id, p.tokens, "trained", reward=0.5) for p in controller.ask(20)]
    >>> controller.tell(outcomes)
"""

from controllers.advantages import baseline_advantages, moving_baseline, rank_advantages, risk_seeking, z_score
from controllers.controller import METRIC_MEANINGS, Controller, Known, Outcome, Proposal, Status, TokenSpace
from controllers.evolution import Evolution, EvolutionSettings
from controllers.policy import Policy
from controllers.ppo import PPO, PPOSettings, clipped_surrogate_loss
from controllers.preset import DEFAULT_PRESET, Preset, build_controller, create_controller, list_presets, load_preset
from controllers.random import RandomSearch, RandomSettings
from controllers.reinforce import Reinforce, ReinforceSettings, policy_gradient_loss
from controllers.settings import AdamSettings, PolicySettings
from controllers.tree import TreeSearch, TreeSettings
from controllers.trpo import TRPO, TRPOSettings, kl_divergence, surrogate_loss

__all__ = [
    "DEFAULT_PRESET",
    "METRIC_MEANINGS",
    "PPO",
    "TRPO",
    "AdamSettings",
    "Controller",
    "Evolution",
    "EvolutionSettings",
    "Known",
    "Outcome",
    "PPOSettings",
    "Policy",
    "PolicySettings",
    "Preset",
    "Proposal",
    "RandomSearch",
    "RandomSettings",
    "Reinforce",
    "ReinforceSettings",
    "Status",
    "TRPOSettings",
    "TokenSpace",
    "TreeSearch",
    "TreeSettings",
    "baseline_advantages",
    "build_controller",
    "clipped_surrogate_loss",
    "create_controller",
    "kl_divergence",
    "list_presets",
    "load_preset",
    "moving_baseline",
    "policy_gradient_loss",
    "rank_advantages",
    "risk_seeking",
    "surrogate_loss",
    "z_score",
]
