"""The temporary folders of searches, those of killed ones too."""

import fcntl
import os
import tempfile
from pathlib import Path

import pytest

from neuropt.searching.tune_folder import YOUNG, tune_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left_behind(folder: Path, age: float = 2 * YOUNG) -> Path:
    """As a search leaves it that was killed so many seconds ago."""
    folder.mkdir()
    (folder / "lock").touch()
    (folder / "search").mkdir()
    then = folder.stat().st_mtime - age
    os.utime(folder, (then, then))
    return folder


def test_a_search_removes_its_folder(temporary: Path) -> None:
    with tune_folder() as folder:
        assert [path.name for path in temporary.iterdir()] == [Path(folder).name]
    assert list(temporary.iterdir()) == []


def test_a_search_removes_what_killed_ones_left(temporary: Path) -> None:
    left_behind(temporary / "neuropt-tune-killed")
    with tune_folder() as folder:
        assert [path.name for path in temporary.iterdir()] == [Path(folder).name]


def test_folders_of_searches_that_go_on_or_just_begin_and_of_others_stay(temporary: Path) -> None:
    going, young, other = "neuropt-tune-going", "neuropt-tune-young", "tune-other"
    left_behind(temporary / young, age=0.0)
    left_behind(temporary / other)
    with (left_behind(temporary / going) / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with tune_folder():
            pass
    assert sorted(path.name for path in temporary.iterdir()) == [going, young, other]
