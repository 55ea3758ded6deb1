"""Remember what the forms of a task cost: a JSON file in the user's cache, `forms.json`, which may be deleted at any time."""

from __future__ import annotations

import json
import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pooch
import torch

from neuropt.tasks import build_model
from neuropt.tasks.task import Task, TaskData
from neuropt.training.devices import device_name
from neuropt.training.precision import Precision
from neuropt.training.threads import CHILD_THREADS
from neuropt.writing import whole_file

FILE = "forms.json"
LONGEST = 1 << 20
"""Bytes of a file that is still read; one entry has about 300."""


def cache_key(task: Task, data: TaskData, children: int, device: torch.device, precision: Precision) -> str:
    """Return what a measurement depends on, in words: task, machine, device, torch, threads, children, precision."""
    shape = tuple(data.train.inputs.shape[1:])
    model = sha256(f"{build_model(task, seed=0)!r} {shape} {task.batch_size}".encode()).hexdigest()[:12]
    place = f"{device_name(device)} of {platform.node()}"
    versions = f"torch {torch.__version__}, {CHILD_THREADS} threads"
    return f"{task.name} {model}, {place}, {versions}, {children} children, {precision}"


@dataclass(frozen=True, slots=True)
class FormCache:
    """The file.

    Args:
        path: it need not exist; where it cannot be read or written, nothing is remembered.
    """

    path: Path

    @staticmethod
    def of_user() -> FormCache:
        """Return the cache where the system keeps caches, beside downloaded data."""
        return FormCache(Path(pooch.os_cache("neuropt")) / FILE)

    def get(self, key: str) -> dict[str, Any]:
        """Return what was put under a key; nothing, if the file is damaged."""
        entry = self._entries().get(key)
        return entry if isinstance(entry, dict) else {}

    def put(self, key: str, entry: dict[str, str | list[float]]) -> None:
        """Remember an entry. Of two processes that write at the same time one may have to measure again."""
        entries = self._entries()
        if entries.get(key) == entry:
            return
        text = json.dumps(entries | {key: entry}, indent=1)
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self.path, str(os.getpid())) as file:
                file.write(text.encode())

    def _entries(self) -> dict[str, Any]:
        try:
            with self.path.open("rb") as file:
                entries = json.loads(file.read(LONGEST))
        except (OSError, ValueError, RecursionError):
            return {}
        return entries if isinstance(entries, dict) else {}
