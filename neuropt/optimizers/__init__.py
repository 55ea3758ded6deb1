"""Optimizers coded by hand, their decays, learning-rate schedules, and the catalogue of named ones."""

from neuropt.optimizers.adabound import AdaBound, AMSBound
from neuropt.optimizers.adagraft import AdaGraft
from neuropt.optimizers.adam_eps_hat import AdamEpsHat
from neuropt.optimizers.adamwr import AdamWR
from neuropt.optimizers.addsign import AddSign
from neuropt.optimizers.catalogue import NamedOptimizer, create_named, named_optimizers
from neuropt.optimizers.growing_batch import GrowingBatch
from neuropt.optimizers.lion import Lion
from neuropt.optimizers.lstm import LSTMOptimizer
from neuropt.optimizers.named_schedules import NamedSchedule, create_schedule, named_schedules
from neuropt.optimizers.normalized_restarts import NormalizedWarmRestarts
from neuropt.optimizers.powersign import PowerSign
from neuropt.optimizers.rmsprop_eps_inside import RMSpropEpsInside
from neuropt.optimizers.schedules import LinearCosineLR, NoamLR, NoisyLinearCosineLR
from neuropt.optimizers.sgdw import SGDW
from neuropt.optimizers.sgdwr import SGDWR
from neuropt.optimizers.sign_decay import cosine_decay, linear_decay, restart_decay
from neuropt.optimizers.snapshots import SnapshotEnsemble, SnapshotLR
from neuropt.optimizers.yogi import Yogi

__all__ = [
    "SGDW",
    "SGDWR",
    "AMSBound",
    "AdaBound",
    "AdaGraft",
    "AdamEpsHat",
    "AdamWR",
    "AddSign",
    "GrowingBatch",
    "LSTMOptimizer",
    "LinearCosineLR",
    "Lion",
    "NamedOptimizer",
    "NamedSchedule",
    "NoamLR",
    "NoisyLinearCosineLR",
    "NormalizedWarmRestarts",
    "PowerSign",
    "RMSpropEpsInside",
    "SnapshotEnsemble",
    "SnapshotLR",
    "Yogi",
    "cosine_decay",
    "create_named",
    "create_schedule",
    "linear_decay",
    "named_optimizers",
    "named_schedules",
    "restart_decay",
]
