"""One torch thread, as in `tests/training`."""

from tests.training.conftest import one_thread

__all__ = ["one_thread"]
