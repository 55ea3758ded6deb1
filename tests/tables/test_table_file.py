"""A table's file is read back to the bit, and whatever else is in a file is refused in one line."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuropt
from neuropt.tables.table import Table
from neuropt.tables.table_file import ARRAYS, SCHEMA_VERSION, TableError, load_table, read_table, write_table

Arrays = dict[str, Any]


def rewritten(path: Path, folder: Path, change: Callable[[Arrays], object]) -> Path:
    """The file with some of its arrays changed."""
    with np.load(path) as found:
        arrays = dict(found)
    change(arrays)
    other = folder / "changed.npz"
    np.savez_compressed(other, **arrays)
    return other


def about(arrays: Arrays, **changes: object) -> None:
    """Change fields of the JSON text."""
    text = json.dumps(json.loads(arrays["about"].tobytes()) | changes)
    arrays["about"] = np.frombuffer(text.encode(), np.uint8)


def test_a_table_is_read_back_to_the_bit(invented: Table, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    losses = rng.lognormal(size=invented.losses.shape).astype(np.float32)
    losses[0, 0, 0] = np.inf
    whole = replace(
        invented, losses=losses, accuracies=-losses, failures={3: "ValueError: no"}, facts={"torch": "2", "x": "ü"}
    )
    write_table(whole, tmp_path / "t.npz")
    found = read_table(tmp_path / "t.npz")
    for field in fields(Table):
        ours, theirs = getattr(whole, field.name), getattr(found, field.name)
        if field.name == "sha256":
            assert len(theirs) == 64
        elif isinstance(ours, np.ndarray):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
        elif field.name != "space":
            assert ours == theirs, field.name
    assert found.space == whole.space


def test_a_name_is_tried_before_a_path(path: Path) -> None:
    assert neuropt.load_table(path) is neuropt.load_table(str(path))


@pytest.mark.parametrize("name", ["nothing", "", "x" * 5000, "a\0b", "no/such/file.npz"])
def test_a_name_that_is_none_lists_those_that_are(name: str) -> None:
    with pytest.raises(TableError, match=r"no table '.*: there are .*, or give the file of one"):
        load_table(name)


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no table"):
        load_table(tmp_path)


@pytest.mark.parametrize("content", [b"", b"rule,reward\n", b"PK\x03\x04", pickle.dumps({"about": 1})])
def test_another_kind_of_file_is_said_to_be_none(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "other.npz"
    file.write_bytes(content)
    with pytest.raises(TableError, match=r"other\.npz is no table, or is damaged"):
        load_table(file)


def test_an_npz_file_of_others_is_said_to_be_theirs(tmp_path: Path) -> None:
    np.savez(tmp_path / "theirs.npz", weights=np.zeros(3))
    with pytest.raises(TableError, match="an npz file, but not a table of neuropt"):
        load_table(tmp_path / "theirs.npz")


def test_nothing_is_unpickled(path: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "sprung",)

    trapped = np.array([Trap()], dtype=object)
    file = rewritten(path, tmp_path, lambda arrays: arrays.update(scales=trapped))
    with pytest.raises(TableError, match="is no table, or is damaged: Object arrays cannot be loaded"):
        load_table(file)
    assert not (tmp_path / "sprung").exists()


def test_a_newer_schema_asks_for_a_newer_neuropt(path: Path, tmp_path: Path) -> None:
    file = rewritten(path, tmp_path, lambda arrays: about(arrays, schema=SCHEMA_VERSION + 1))
    with pytest.raises(TableError, match=f"has schema {SCHEMA_VERSION + 1}, but this neuropt reads up to"):
        load_table(file)


@pytest.mark.parametrize("schema", [0, "1", None, [1]])
def test_a_schema_that_is_none_is_damage(schema: object, path: Path, tmp_path: Path) -> None:
    file = rewritten(path, tmp_path, lambda arrays: about(arrays, schema=schema))
    with pytest.raises(TableError, match="is damaged: its schema is"):
        load_table(file)


@pytest.mark.parametrize("name", [*ARRAYS, "rules"])
def test_each_array_is_needed(name: str, path: Path, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=f"damaged: {name} is not a file in the archive"):
        load_table(rewritten(path, tmp_path, lambda arrays: arrays.pop(name)))


@pytest.mark.parametrize("name", ARRAYS)
def test_each_array_has_its_shape_and_type(name: str, path: Path, tmp_path: Path) -> None:
    shorter = rewritten(path, tmp_path, lambda arrays: arrays.update({name: arrays[name][:-1]}))
    with pytest.raises(TableError, match=r"changed.npz is damaged: \w+ is .* of shape"):
        load_table(shorter)
    other = rewritten(path, tmp_path, lambda arrays: arrays.update({name: np.zeros(arrays[name].shape, "c8")}))
    with pytest.raises(TableError, match=rf"changed.npz is damaged: {name} is complex64 of shape"):
        load_table(other)


CHANGES: dict[str, tuple[Callable[[Arrays], object], str]] = {
    "a rule beyond the last": (lambda a: a["rule_of"].put(0, 31), "none of the 31 rules"),
    "a reason beyond the last": (lambda a: a["rule_of"].put(0, -50), "none of the 31 rules"),
    "strings of two rules exchanged": (lambda a: a["tokens"].put([0, 1], [3, 3]), "the string of a rule says another"),
    "a scale of nothing": (lambda a: a["scales"].put(0, 0.0), "a scale is not positive and finite"),
    "a space that is none": (lambda a: about(a, space={"name": "x"}), "operands"),
    "a vocabulary of Python": (
        lambda a: about(a, space=json.loads(a["about"].tobytes())["space"] | {"operands": ["__import__('os')"]}),
        "is not a rule text",
    ),
    "a task that is a number": (lambda a: about(a, task=3), "its task is 3"),
    "a budget that is a text": (lambda a: about(a, steps="many"), "its steps is 'many'"),
    "seeds that are texts": (lambda a: about(a, seeds=["0", "1", "2"]), "its seeds are no whole numbers"),
    "a seed twice": (lambda a: about(a, seeds=[0, 1, 1]), "its seeds are not distinct: 0, 1, 1"),
    "a learning rate of nothing": (lambda a: a["base_rates"].put(0, 0.0), "a learning rate is not positive and finite"),
    "a loss that is no number": (lambda a: a["losses"].put(0, np.nan), "a loss is negative or no number"),
    "a negative loss": (lambda a: a["losses"].put(0, -1.0), "a loss is negative or no number"),
    "no seeds": (lambda a: about(a, seeds=[]), "losses is float32 of shape"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_does_not_fit_together_is_damage(change: str, path: Path, tmp_path: Path) -> None:
    altered, message = CHANGES[change]
    with pytest.raises(TableError, match=rf"changed.npz is damaged: .*{message}"):
        load_table(rewritten(path, tmp_path, altered))


@settings(max_examples=60, deadline=None)
@given(at=st.floats(0.0, 1.0), bits=st.integers(1, 255))
def test_a_changed_byte_is_noticed_or_changes_nothing(at: float, bits: int, path: Path, table: Table) -> None:
    content = bytearray(path.read_bytes())
    content[int(at * (len(content) - 1))] ^= bits
    file = path.with_name("flipped.npz")
    file.write_bytes(content)
    with suppress(TableError):
        found = read_table(file)  # names and times in the archive's directory may be anything
        assert found.rules == table.rules
        assert all(
            np.array_equal(getattr(found, name), getattr(table, name), equal_nan=name != "keys") for name in ARRAYS
        )


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_ends_early_is_damaged(share: float, path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[: int(share * len(content))])
    with pytest.raises(TableError, match=r"cut\.npz is no table, or is damaged"):
        load_table(tmp_path / "cut.npz")


def test_what_is_damaged_is_named_in_whole_quotes(path: Path, tmp_path: Path) -> None:
    with np.load(path) as arrays:
        np.savez(tmp_path / "hit.npz", **arrays)  # not compressed, so that a changed byte is seen by the checksum alone
    content = bytearray((tmp_path / "hit.npz").read_bytes())
    with zipfile.ZipFile(tmp_path / "hit.npz") as archive:
        content[archive.getinfo("losses.npy").header_offset + 400] ^= 255
    (tmp_path / "hit.npz").write_bytes(content)
    with pytest.raises(TableError, match=r"hit\.npz is no table, or is damaged: Bad CRC-32 for file 'losses\.npy'$"):
        load_table(tmp_path / "hit.npz")


def test_a_file_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuropt.tables.table_file.MOST_BYTES", 1_000_000)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("about.npy", b"\0" * 2_000_000)
    with pytest.raises(TableError, match="unpacks to more than 1,000,000 bytes"):
        load_table(tmp_path / "bomb.npz")


def test_a_table_that_does_not_fit_together_is_not_written(invented: Table, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="losses is float32 of shape"):
        write_table(replace(invented, seeds=(0, 1, 2)), tmp_path / "t.npz")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_does_not_exist_is_said(invented: Table, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"absent/t.npz cannot be written: No such file or directory"):
        write_table(invented, tmp_path / "absent" / "t.npz")
