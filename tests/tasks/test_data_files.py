"""Data directories, the cache and downloads, with small files in the official layouts and a server on this machine."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import os
import struct
import tarfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from neuropt.tasks import DataError, cifar10, get_task, load_task_data, mnist
from neuropt.tasks.cifar10 import load_cifar10
from neuropt.tasks.downloads import RemoteFile, download, resolve_data_dir
from neuropt.tasks.idx import read_idx
from neuropt.tasks.mnist import load_mnist_rows

CLOSED = "http://127.0.0.1:9/"  # the discard port: refused at once


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.delenv("NEUROPT_DATA", raising=False)
    return cache


@pytest.fixture
def small_mnist(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """MNIST of 9 + 3 + 4 images: file name -> plain content; nothing can be downloaded."""
    for name, value in (("TRAIN", 9), ("VALIDATION", 3), ("TEST", 4), ("HOMES", {"mnist": (CLOSED,)})):
        monkeypatch.setattr(mnist, name, value)
    files, first = {}, 0
    for part, count in (("train", 12), ("t10k", 4)):
        images = np.zeros((count, 784), np.uint8)
        images[:, 0] = np.arange(first, first + count)  # every image is another one
        labels = np.arange(count, dtype=np.uint8) % 10
        files[f"{part}-images-idx3-ubyte"] = struct.pack(">4I", 0x803, count, 28, 28) + images.tobytes()
        files[f"{part}-labels-idx1-ubyte"] = struct.pack(">2I", 0x801, count) + labels.tobytes()
        first += count
    return files


@pytest.fixture
def small_cifar(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """CIFAR-10 of six files of 4 records; nothing can be downloaded."""
    remote = RemoteFile("cifar10", "cifar-10-binary.tar.gz", (CLOSED + "cifar-10-binary.tar.gz",), "0" * 64)
    for name, value in (("RECORDS", 4), ("TRAIN", 15), ("VALIDATION", 5), ("ARCHIVE", remote)):
        monkeypatch.setattr(cifar10, name, value)
    files = {}
    for k, name in enumerate(cifar10.FILES):
        records = np.full((4, 3073), 4 * k, np.uint8)
        records[:, 0] = np.arange(4)
        records[:, 1] += np.arange(4, dtype=np.uint8)
        files[name] = records.tobytes()
    return files


def write(folder: Path, files: dict[str, bytes], packed: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / (name + ".gz" if packed else name)).write_bytes(gzip.compress(content) if packed else content)


def archive(files: dict[str, bytes], prefix: str = "cifar-10-batches-bin/") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw", "."])
@pytest.mark.parametrize("packed", [True, False], ids=["gzip", "plain"])
def test_mnist_is_found_in_the_usual_folders(
    tmp_path: Path, small_mnist: dict[str, bytes], folder: str, packed: bool
) -> None:
    write(tmp_path / folder, small_mnist, packed)
    data = load_mnist_rows(tmp_path)
    assert data.train.inputs.shape == (9, 784)
    numbers = [round(255 * x) for split in (data.train, data.validation) for x in split.inputs[:, 0].tolist()]
    assert sorted(numbers) == list(range(12))
    # an image keeps its own label
    assert (data.validation.inputs[:, 0] * 255).round().long().remainder(10).equal(data.validation.targets)
    assert data.test.targets.tolist() == [0, 1, 2, 3]


def damaged(content: bytes) -> dict[str, bytes]:
    packed = gzip.compress(content)
    return {
        "empty": b"",
        "header cut": content[:3],
        "truncated": content[:-1],
        "too long": content + b"\0",
        "other type": content[:2] + b"\x0d" + content[3:],
        "other shape": content[:4] + struct.pack(">I", 2**32 - 1) + content[8:],
        "gzip truncated": packed[:-20],
        "gzip broken": packed[:30] + bytes(40) + packed[70:],
        "gzip header only": b"\x1f\x8b",
        "a page": b"<html>404</html>" * 9999,
    }


@pytest.mark.parametrize("fault", damaged(b""))
def test_a_damaged_idx_file_is_named(tmp_path: Path, small_mnist: dict[str, bytes], fault: str) -> None:
    name = "train-images-idx3-ubyte"
    bad = damaged(small_mnist[name])[fault]
    write(tmp_path, small_mnist | {name: bad})
    with pytest.raises(DataError, match=name):
        load_mnist_rows(tmp_path)


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.gz"
    with gzip.open(bomb, "wb", compresslevel=1) as file:
        file.write(struct.pack(">2I", 0x801, 4))
        for _ in range(20):
            file.write(bytes(1 << 20))
    with pytest.raises(DataError, match=r"bomb.gz must unpack to 12 bytes, but holds more"):
        read_idx(bomb, (4,))  # thirteen bytes are unpacked, not twenty million


def test_labels_over_nine_are_refused(tmp_path: Path, small_mnist: dict[str, bytes]) -> None:
    name = "t10k-labels-idx1-ubyte"
    write(tmp_path, small_mnist | {name: small_mnist[name][:-1] + b"\x0a"})
    with pytest.raises(DataError, match=rf"{name} must hold labels 0 to 9, but holds 10"):
        load_mnist_rows(tmp_path)


@pytest.mark.parametrize("folder", ["cifar-10-batches-bin", "cifar10/cifar-10-batches-bin", "."])
def test_cifar10_is_found_in_the_usual_folders(tmp_path: Path, small_cifar: dict[str, bytes], folder: str) -> None:
    write(tmp_path / folder, small_cifar)
    data = load_cifar10(tmp_path)
    assert data.train.inputs.shape == (15, 3, 32, 32)
    assert (len(data.validation), len(data.test)) == (5, 4)
    # the second pixel of the first test image is 20: (20/255 - mean) / std of the red channel
    assert data.test.inputs[0, 0, 0, 1].item() == pytest.approx((20 / 255 - 0.4914) / 0.2470)


def test_cifar10_is_read_from_the_official_archive(tmp_path: Path, small_cifar: dict[str, bytes]) -> None:
    write(tmp_path / "plain", small_cifar)
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(archive(small_cifar))
    assert load_cifar10(tmp_path).sha256 == load_cifar10(tmp_path / "plain").sha256


def test_a_foreign_archive_writes_nothing(tmp_path: Path, small_cifar: dict[str, bytes]) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cifar-10-binary.tar.gz").write_bytes(archive(small_cifar, prefix="../../"))
    load_cifar10(tmp_path / "data")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["cifar-10-binary.tar.gz", "data"]


def test_damaged_cifar10_files_are_named(tmp_path: Path, small_cifar: dict[str, bytes]) -> None:
    name = "data_batch_3.bin"
    good = small_cifar[name]
    for bad, fault in (
        (good[:-1], r"must hold 4 records of 3,073 bytes, 12,292 in all, but holds 12,291"),
        (good + good, r"but holds 12,293 or more"),
        (b"\x0a" + good[1:], r"must hold labels 0 to 9, but holds 10"),
    ):
        write(tmp_path, small_cifar | {name: bad})
        with pytest.raises(DataError, match=rf"{name} {fault}|{name} .*{fault}"):
            load_cifar10(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=rf"{name} can not be read: .*No such file"):
        load_cifar10(tmp_path)


def test_damaged_archives_are_named(tmp_path: Path, small_cifar: dict[str, bytes]) -> None:
    file = tmp_path / "cifar-10-binary.tar.gz"
    whole = archive(small_cifar)
    for bad in (b"", b"nothing", whole[: len(whole) // 2]):
        file.write_bytes(bad)
        with pytest.raises(DataError, match=r"cifar-10-binary.tar.gz can not be read"):
            load_cifar10(tmp_path)
    file.write_bytes(archive({"readme.html": b"x"}))
    with pytest.raises(DataError, match=r"must contain data_batch_1.bin, .*test_batch.bin, but does not"):
        load_cifar10(tmp_path)


def test_absent_data_say_what_where_why_and_what_to_do(
    tmp_path: Path, own_cache: Path, small_mnist: dict[str, bytes]
) -> None:
    began = time.perf_counter()
    with pytest.raises(DataError) as caught:
        load_mnist_rows(tmp_path)
    assert time.perf_counter() - began < 5
    message = str(caught.value)
    for part in (
        "train-images-idx3-ubyte.gz is missing",
        f"{tmp_path / 'mnist'}, ",
        str(own_cache),
        f"download failed: {CLOSED}",
        "refused",
        "--data-dir DIR",
        "NEUROPT_DATA=DIR",
    ):
        assert part in message


def test_absent_data_without_a_directory(small_cifar: dict[str, bytes]) -> None:
    with pytest.raises(DataError, match=r"(?s)no data directory was given.*fetch http.*cifar-10-binary.tar.gz by hand"):
        load_cifar10(None)


def test_the_environment_variable_is_the_default_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_mnist: dict[str, bytes]
) -> None:
    write(tmp_path, small_mnist)
    monkeypatch.setenv("NEUROPT_DATA", str(tmp_path))
    task = get_task("mnist-mlp")
    with pytest.raises(ValueError, match="at most the 9 training examples"):  # so the nine were found
        load_task_data(task)
    monkeypatch.setenv("NEUROPT_DATA", str(tmp_path / "absent"))
    with pytest.raises(DataError, match=r"NEUROPT_DATA must be an existing directory, but got .*absent"):
        resolve_data_dir(None)
    with pytest.raises(DataError, match=r"--data-dir must be an existing directory"):
        resolve_data_dir(tmp_path / "absent")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder and the address at which it is served."""
    folder = tmp_path_factory.mktemp("home")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_downloads_are_checked_and_cached_and_mirrors_tried(home: tuple[Path, str], own_cache: Path) -> None:
    folder, address = home
    (folder / "file").write_bytes(b"data")
    right = hashlib.sha256(b"data").hexdigest()
    found = download(RemoteFile("set", "file", (CLOSED + "file", address + "file"), right), None, ["file"])
    assert found.read_bytes() == b"data"
    assert own_cache in found.parents
    # now the cache answers, with every home closed
    assert download(RemoteFile("set", "file", (CLOSED + "file",), right), None, ["file"]) == found
    with pytest.raises(DataError, match=r"(?s)SHA256 hash of downloaded file .* does not match"):
        download(RemoteFile("other", "file", (address + "file",), "0" * 64), None, ["file"])
    with pytest.raises(DataError, match="404"):
        download(RemoteFile("other", "absent", (address + "absent",), right), None, ["absent"])


@pytest.mark.skipif("NEUROPT_DATA" not in os.environ, reason="set NEUROPT_DATA to a folder with real data")
@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        # pixels and labels of the official files, in the shipped split; Fashion-MNIST's as Debian's dataset-fashion-mnist has them
        ("mnist-mlp", "137b57fe700a75be29098a50064ea20d97311cf528ca4bce668624e9012c7108"),
        ("mnist-lenet", "49033d3642ce03442d2d2bcc360670f60ed384ce9f5fa8748c986e223dc3be2d"),
        ("fashion-mnist-lenet", "05659d223e88049ca46b0a09721c49a4d919c3875d14cdce6f19df01d3edeb6d"),
        ("cifar10-convnet", None),  # the copy at hand may be compressed, so its hash is its own
    ],
)
def test_real_data(name: str, sha256: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROPT_DATA", REAL_DATA)
    try:
        data = load_task_data(get_task(name))
    except DataError as error:
        if "is missing" in str(error):
            pytest.skip(f"{name}: no such data in NEUROPT_DATA={REAL_DATA}")
        raise
    assert len(data.test) == 10_000
    assert sha256 in (None, data.sha256)


REAL_DATA = os.environ.get("NEUROPT_DATA", "")
