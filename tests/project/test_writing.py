"""Files and folders that are there as a whole or not at all."""

import os
from pathlib import Path

import pytest

from neuropt.writing import new_name, out_folder, whole_file


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    with whole_file(path) as file:
        file.write(b"after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_was_there_stays_if_writing_ends_early(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_text("before")

    def write() -> None:
        with whole_file(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_two_processes_may_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with whole_file(path, "1") as one, whole_file(path, "2") as other:
        one.write(b"one")
        other.write(b"other")
    assert path.read_text() == "one"  # which ends last
    assert new_name(path, "1") != new_name(path, "2")


def interrupted(folder: Path, leaves: str | None = None) -> None:
    """Something long that is interrupted, by then with a file or without."""
    with out_folder(folder, ["found.csv"], "study"):
        assert folder.is_dir()
        if leaves is not None:
            (folder / leaves).touch()
        raise KeyboardInterrupt


def test_a_folder_goes_again_with_those_around_it_if_nothing_comes_of_it(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_there_or_holds_something_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name, leaves in (("mine", None), ("new", "other.txt")):
        with pytest.raises(KeyboardInterrupt):
            interrupted(tmp_path / name, leaves)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "new"]


def test_results_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "found.csv").touch()
    with pytest.raises(ValueError, match=r"found\.csv exists already; choose another folder for this study"):
        out_folder(tmp_path, ["found.csv"], "study").__enter__()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(ValueError, match=r"closed.* cannot be written"):
        out_folder(tmp_path / "closed" / "out", ["found.csv"], "study").__enter__()
