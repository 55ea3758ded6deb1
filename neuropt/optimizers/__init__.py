"""Optimizers coded by hand, their decays, and the catalogue of named ones."""

from neuropt.optimizers.adam import Adam
from neuropt.optimizers.addsign import AddSign
from neuropt.optimizers.catalogue import NamedOptimizer, create_named, named_optimizers
from neuropt.optimizers.powersign import PowerSign
from neuropt.optimizers.sign_decay import cosine_decay, linear_decay, restart_decay

__all__ = [
    "Adam",
    "AddSign",
    "NamedOptimizer",
    "PowerSign",
    "cosine_decay",
    "create_named",
    "linear_decay",
    "named_optimizers",
    "restart_decay",
]
