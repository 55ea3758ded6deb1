"""The device of a trainer: begun in the fork and nowhere else, since forks of a process that has begun CUDA cannot use it.

Ray shows each worker the GPU that it gave it as the only one (CUDA_VISIBLE_DEVICES), so that "cuda" is right on all of them.
"""

from __future__ import annotations

import os

import torch

from neuropt.searching.guard_process import in_a_line
from neuropt.searching.limits import Limits
from neuropt.tasks.task import Task, TaskData
from neuropt.training.devices import find_device
from neuropt.training.sizing import child_bytes, children_that_fit
from neuropt.training.threads import one_thread

NO_ROOM = "CUDA out of memory"
"""What torch says of a GPU without room for more."""
BROKEN = "CUDA error"
"""And of one that a process cannot use any more, whatever it trains next."""


class DeviceError(RuntimeError):
    """A device that cannot be used on this machine, for which no rule is to blame."""


def begin_device(limits: Limits, task: Task, data: TaskData) -> dict[str, str | int | None]:
    """Begin the device in this process, and bound what it may take of its memory.

    Returns:
        `room`: how many children of the task fit into it, None on a CPU; or `error`: why it cannot be used.
    """
    if torch.cuda._is_in_bad_fork():
        return {"error": f"device {limits.device} was begun by the task, whose file and data must leave it alone"}
    try:
        device = find_device(limits.device)
        weight = torch.ones((), device=device, requires_grad=True)
        # a GPU that is there may be broken or busy, or the threads of backward passes may have begun before the fork
        torch.autograd.backward(weight * weight)
        with one_thread():  # a fork cannot use the threads that its parent may have
            need = child_bytes(task, data)
        if device.type == "cpu":
            return {"room": None}
        if limits.share < 1:
            torch.cuda.set_per_process_memory_fraction(limits.share)
        free, total = torch.cuda.mem_get_info(device)
        return {"room": children_that_fit(need, int(min(free, limits.share * total)))}
    except Exception as error:  # noqa: BLE001  # of a driver; said to whoever started the search
        return {"error": _reason(limits.device, error)}


def _reason(device: str, error: Exception) -> str:
    if device == "cpu" or torch.cuda.device_count():
        return f"device {device} cannot be used: {in_a_line(error)}"
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (
        f"torch {torch.__version__} sees no CUDA device there, though Ray has one to give "
        f"(CUDA_VISIBLE_DEVICES is {'not set' if shown is None else shown!r}); install a torch with CUDA and the GPU's driver "
        "on that node, or start its Ray with --num-gpus 0"
    )
