"""Tasks: models, data in disjoint splits, losses, metrics and budgets."""

from neuropt.tasks.batches import batch_order
from neuropt.tasks.downloads import DataError
from neuropt.tasks.hashing import hash_tensors
from neuropt.tasks.metrics import accuracy, cross_entropy, measure, merit, output_mean, squared_error
from neuropt.tasks.models import build_model, initial_weights
from neuropt.tasks.registry import get_task, load_task_data, register_task, tasks
from neuropt.tasks.task import MLP, Split, Task, TaskData

__all__ = [
    "MLP",
    "DataError",
    "Split",
    "Task",
    "TaskData",
    "accuracy",
    "batch_order",
    "build_model",
    "cross_entropy",
    "get_task",
    "hash_tensors",
    "initial_weights",
    "load_task_data",
    "measure",
    "merit",
    "output_mean",
    "register_task",
    "squared_error",
    "tasks",
]
