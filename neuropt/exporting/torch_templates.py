"""The fixed text of an exported torch file; `$name` marks what `torch_file` fills in."""

from __future__ import annotations

from string import Template

FILE = Template('''"""$headline

w <- w - lr * u, where

$formula

Run this file to replay recorded steps.
"""

import torch
from torch.optim import Optimizer

$helpers


$body
$test
''')

CLASS = Template('''class $name(Optimizer):
    """w <- w - lr * u, where

$formula

    g is the gradient, w the parameter, t the steps done before this one,
    T = decay_steps; prev(x) is x one step ago.
$decoupled
    """

    def __init__($signature):
        defaults = {$defaults}
        super().__init__(params, defaults)

    def __setstate__(self, state):
        """Give groups of an older file what they do not have."""
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in self.defaults.items():
                if name != "differentiable":  # torch adds it
                    group.setdefault(name, value)

    def add_param_group(self, param_group):
        """Add parameters, with lr and hyperparameters of their own if there are."""
        group = self.defaults | param_group
$checks
        super().add_param_group(param_group)

$load    @torch.no_grad()
    def step(self, closure=None):
        """Update every parameter that has a gradient.

        A closure recomputes the gradients and returns the loss.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
$loop
        return loss

$together    def _update(self, p, state, group$index):
        if p.grad.layout != torch.strided:
            raise RuntimeError(f"expected dense gradients, but got {p.grad.layout}")
        real, g = (torch.view_as_real(x.resolve_conj()) if x.is_complex() else x for x in (p, p.grad))
        # half precision is computed in single
        g = g.to(torch.promote_types(g.dtype, torch.float32))
        g = -g if group["maximize"] else g
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
$starts
$reads

$equations

        state["step"] = state["step"] + 1
$writes
$decay
        if lr != 0:
            real.sub_(lr * u)
''')

LOOP = Template("""        pairs = [(group, p) for group in self.param_groups for p in group["params"]]
        for $loop:
            if p.grad is not None:
                self._update(p, self.state[p], group$index)""")

FOREACH_LOOP = """        for group in self.param_groups:
            alike = {}
            for p in group["params"]:
                if p.grad is not None:
                    alike.setdefault(self._kind(p, group), []).append(p)
            for tensors in alike.values():
                if len(tensors) > 1:
                    self._update_together(tensors, group)
                else:
                    self._update(tensors[0], self.state[tensors[0]], group)"""

TOGETHER = Template('''    def _kind(self, p, group):
        """Return what tensors that step together have in common.

        Without foreach (None: on a GPU only) each steps alone.
        """
        foreach = p.is_cuda if group["foreach"] is None else group["foreach"]
        plain = type(p) in (torch.Tensor, torch.nn.Parameter)  # no DTensor
        if not foreach or not plain or p.is_complex() or p.grad.layout != torch.strided:
            return id(p)
        numbers = [float(value) for $numbers]
        return (p.device, p.dtype, *numbers)

    def _update_together(self, tensors, group):
        """Update tensors as one: the same numbers in fewer calls.

        Each element is updated by itself.
        """
        sizes, states = [p.numel() for p in tensors], [self.state[p] for p in tensors]
        flat = torch.cat([p.reshape(-1) for p in tensors])
        flat.grad = torch.cat([p.grad.reshape(-1) for p in tensors])
        state = dict(states[0])
$join
        self._update(flat, state, group)
        for p, own, w in zip(tensors, states, flat.split(sizes), strict=True):
            p.copy_(w.view_as(p))
            own.update(state, step=state["step"].clone())
$part

''')

JOIN = Template("""        for name in $names:
            if name in state:
                state[name] = torch.cat([own[name].reshape(-1) for own in states])""")

PART = Template("""        for name in $names:
            parts = state[name].split(sizes)
            for p, own, part in zip(tensors, states, parts, strict=True):
                own[name] = part.clone().view_as(p)""")

SELF_TEST = Template("""
START = $start
GRADIENTS = $gradients
PARAMETERS = $parameters

if __name__ == "__main__":
    w = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    optimizer = $name([w], $options)
    steps = zip(GRADIENTS, PARAMETERS, strict=True)
    for step, (gradient, after) in enumerate(steps, 1):
        w.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        expected = torch.tensor(after, dtype=torch.float64)
        if not torch.allclose(w, expected, rtol=1e-9, atol=1e-9, equal_nan=True):
            print(f"self-test failed at step {step}: got {w.tolist()}, expected {after}")
            raise SystemExit(1)
    print(f"self-test passed: {len(PARAMETERS)} recorded steps reproduced")""")

CHECK = Template("""        for name in $names:
            if not $claim:
                raise ValueError(f"{name} must be $said, but got {group[name]!r}")""")

DECOUPLED = """    weight_decay is apart from it: w <- w - lr * (u + weight_decay * w)."""

DECAY = """        if group["weight_decay"] != 0:
            u = u + number(group["weight_decay"]) * real.to(g.dtype)"""

CHECK_SEED = """        if not isinstance(group["seed"], int):
            raise TypeError(f"seed must be an integer, but got {group['seed']!r}")"""

LOAD = Template('''    def load_state_dict(self, state_dict):
        """Load what `state_dict` returned, to the last bit.

        torch casts it to half precision where the parameter has that.
        """
        names = $names
        for state in state_dict["state"].values():
            if state and set(state) != set(names):
                raise ValueError(f"state must hold {names}, but holds {tuple(state)}")
        super().load_state_dict(state_dict)
        half = (torch.float16, torch.bfloat16)
        parameters = [p for group in self.param_groups for p in group["params"]]
        numbers = [n for group in state_dict["param_groups"] for n in group["params"]]
        for p, number in zip(parameters, numbers, strict=True):
            for name, value in self.state.get(p, {}).items():
                if torch.is_tensor(value) and value.dtype in half:
                    loaded = state_dict["state"][number][name]
                    self.state[p][name] = loaded.to(p.device, torch.float32)

''')

HELPER_TEXTS = {
    "number": '''
def number(x):
    """Make a 0-d tensor: it divides by zero without an exception.

    The dtype of other tensors stays as it is beside one.
    """
    return torch.tensor(float(x), dtype=torch.float64, device="cpu")''',
    "sign": '''
def sign(x):
    """Return -1, 0 or 1, and NaN for NaN, where torch.sign gives 0."""
    return torch.where(x.isnan(), x, torch.sign(x))''',
    "norm": """
def norm(x):
    return torch.sqrt(torch.sum(x * x))""",
}

DRAWS = '''
def mix(x):
    """Scramble 32-bit integers, in int or int64 (lowbias32, C. Wellons 2018)."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return x ^ (x >> 16)


def uniform(like, seed, parameter, draw, step, stream=0):
    """Return numbers in (0, 1): a hash of the arguments and of each element's place."""
    key = 0
    low, high = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    for part in (low, high, parameter, draw, step, stream):
        key = mix(((key ^ part) + 0x9E3779B9) & 0xFFFFFFFF)
    other = mix((key + 0x9E3779B9) & 0xFFFFFFFF)
    element = torch.arange(like.numel(), device=like.device).view(like.shape)
    bits = mix(mix((element + key) & 0xFFFFFFFF) ^ other)
    numbers = ((bits.double() + 0.5) / 2**32).to(like.dtype)
    if hasattr(like, "placements"):  # a DTensor: each process draws what the whole has
        where = like.device_mesh, like.placements
        share = torch.distributed.tensor.distribute_tensor
        numbers = share(numbers, *where, src_data_rank=None)
    return numbers


def normal(like, seed, parameter, draw, step):
    """Return standard normal numbers (Box and Muller 1958)."""
    a = uniform(like.double(), seed, parameter, draw, step)
    b = uniform(like.double(), seed, parameter, draw, step, stream=1)
    return (torch.sqrt(-2 * torch.log(a)) * torch.cos(2 * torch.pi * b)).to(like.dtype)'''
