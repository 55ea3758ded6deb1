"""Which checks must notice which fault."""

from __future__ import annotations

from collections.abc import Callable

from torch.optim import Optimizer

from tests.testing import faulty_steps as steps
from tests.testing import faulty_strict as strict
from tests.testing import faulty_tensors as tensors

LOST = ("deepcopy", "pickling")

FAULTS: dict[Callable[..., Optimizer], tuple[str, ...]] = {
    # a fault, and the checks that fail for it, all others passing
    steps.MomentumOnSelf: ("hyperparameters_in_groups", *LOST),
    steps.LrReadOnce: (
        "hyperparameters_read_at_every_step",
        "groups_apart",
        "zero_lr_and_gradients",
        "float16_zero_gradients",
    ),
    steps.MomentumReadOnce: ("hyperparameters_read_at_every_step", "groups_apart", "momentum_cycling"),
    steps.MomentumFrozenAtFirstStep: ("hyperparameters_read_at_every_step",),
    steps.AnyValue: ("bad_values_refused",),
    steps.AnyKeyword: ("unknown_keyword_refused",),
    steps.swallowing: ("unknown_keyword_refused",),
    steps.NoParameters: ("empty_parameters_refused",),
    steps.Ascent: ("weight_decay", "loss_goes_down"),
    steps.StepsOfTheGroup: ("late_first_gradient",),
    steps.StepAsInt: ("step_count",),
    steps.StepOfAllParameters: ("step_count",),
    steps.FirstGroupOnly: ("added_group",),
    steps.DecayWithoutGradient: ("late_first_gradient", "added_group", "parameters_without_gradients"),
    steps.DecayInTheGradient: ("gradients_untouched", "maximize"),
    steps.NegatedGradient: ("gradients_untouched",),
    steps.ClearedGradient: ("gradients_untouched",),
    steps.ClosureWithoutGradients: ("closure",),
    steps.ClosureWithoutLoss: ("closure",),
    steps.ClosureTooLate: ("closure",),
    steps.WithoutHooks: ("step_hooks",),
    steps.WithoutNames: ("named_parameters",),
    steps.FirstGroupsMomentum: ("groups_apart",),
    steps.FirstGroupsMaximize: ("groups_apart",),
    steps.WithoutDecay: ("weight_decay",),
    steps.GrowingDecay: ("weight_decay",),
    steps.GroupsNotLoaded: ("state_dict_round_trip",),
    tensors.StateNotSaved: ("state_dict_round_trip",),
    tensors.StateOfObjects: ("state_dict_round_trip",),
    tensors.LostByDeepcopy: ("deepcopy",),
    tensors.ParametersSharedByDeepcopy: ("deepcopy",),
    tensors.NotPickled: ("pickling",),
    tensors.AveragesOnSelf: ("state_dict_round_trip", *LOST),
    tensors.NoBfloat16: ("dtypes",),
    tensors.GradientInFloat32: ("double_precision", "differentiable"),
    tensors.WeightsInFloat32: (
        "hyperparameters_read_at_every_step",
        "double_precision",
        "sparse_gradients",
        "complex_parameters",
        "tensor_lr",
        "foreach",
    ),
    tensors.NoScalars: ("odd_shapes", "foreach"),
    tensors.MemoryOrder: ("non_contiguous",),
    tensors.SparseUnnoticed: ("sparse_gradients",),
    tensors.SparseIgnored: ("sparse_gradients",),
    tensors.RealPart: ("complex_parameters",),
    tensors.ZeroOverZero: ("zero_lr_and_gradients", "float16_zero_gradients"),
    tensors.ZeroOverZeroInFloat16: ("float16_zero_gradients",),
    tensors.MovesItsLr: ("schedulers",),
    tensors.HalfScaled: ("grad_scaler",),
    tensors.NoTensorLr: ("tensor_lr",),
    tensors.TensorLrTruncated: ("tensor_lr",),
    tensors.ForeachAtHalfTheRate: ("foreach",),
    tensors.MaximizeIgnored: ("maximize",),
    tensors.DecayMaximized: ("maximize",),
    tensors.Detached: ("differentiable",),
    tensors.OtherWhenCompiled: ("compiled_step",),
}


STRICT_FAULTS: dict[Callable[..., Optimizer], tuple[str, ...]] = {
    # a fault that torch's own optimizers have too, and the checks that fail for it where they are strict
    strict.GroupsUnchecked: ("bad_values_refused",),
    strict.NanTaken: ("bad_values_refused",),
    strict.OneTaken: ("bad_values_refused",),
    strict.Nameless: ("bad_values_refused",),
    strict.StateInFloat32: ("state_dict_round_trip",),
    strict.GradientHalvedByForeach: ("gradients_untouched",),
    strict.FirstStepDetached: ("differentiable",),
    strict.EpsTooSmall: ("float16_zero_gradients",),
}
