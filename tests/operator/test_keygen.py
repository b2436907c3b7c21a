"""`mindspore-serving keygen`, and what reading a folder of keys finds wrong with it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mindspore_serving.__main__ import main
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.cluster.key_files import KeyPair, key_file, parse_key_file
from mindspore_serving.master.curve import AdmittedWorkers, read_master_keys
from mindspore_serving.worker.curve import read_worker_keys

Lines = Callable[[], str]


@pytest.fixture
def errors(capsys: pytest.CaptureFixture[str]) -> Lines:
    return lambda: capsys.readouterr().err


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A master's folder with the keys of two workers."""
    assert main(["keygen", str(tmp_path / "keys"), "--worker", "gpu1", "--worker", "gpu2"]) == 0
    return tmp_path / "keys"


def test_each_side_reads_its_own_folder_and_secrets_are_the_owners_alone(keys: Path) -> None:
    master = read_master_keys(keys)
    for name in ("gpu1", "gpu2"):
        worker = read_worker_keys(keys / "for-workers" / name)
        assert worker.master == master.pair.public
        assert master.admitted.name_of(worker.pair.public) == name
    for path in (keys, *keys.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    assert not list((keys / "for-workers").rglob("master.key_secret"))
    secret = (master.pair.secret or b"").decode()
    assert [path.name for path in keys.rglob("*.key*") if secret in path.read_text()] == ["master.key_secret"]


def test_a_worker_is_added_and_nothing_is_overwritten(keys: Path, errors: Lines) -> None:
    before = {path: path.read_text() for path in keys.rglob("*.key*")}
    assert main(["keygen", str(keys)]) == 1
    assert errors() == f"'{keys / 'master.key_secret'}' exists already: --worker NAME adds a worker's keys to it\n"
    assert main(["keygen", str(keys), "--worker", "gpu3", "--worker", "gpu1"]) == 1
    assert f"'{keys / 'workers' / 'gpu1.key'}' exists already" in errors()
    assert {path: path.read_text() for path in keys.rglob("*.key*")} == before
    assert main(["keygen", str(keys), "--worker", "gpu3"]) == 0
    assert read_worker_keys(keys / "for-workers" / "gpu3").master == read_master_keys(keys).pair.public


def test_a_worker_that_is_named_twice_is_one(tmp_path: Path, errors: Lines) -> None:
    assert main(["keygen", str(tmp_path / "keys"), "--worker", "gpu1", "--worker", "gpu1"]) == 0, errors()
    assert [path.name for path in (tmp_path / "keys" / "workers").iterdir()] == ["gpu1.key"]


@pytest.mark.parametrize("name", ["", "../x", ".hidden", "a/b", "x" * 65, "ü"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, errors: Lines, name: str) -> None:
    with pytest.raises(SystemExit):
        main(["keygen", str(tmp_path), "--worker", name])
    assert "--worker" in errors()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, errors: Lines) -> None:
    (tmp_path / "file").write_text("")
    assert main(["keygen", str(tmp_path / "file" / "keys")]) == 1
    assert "cannot be written: Not a directory" in errors()


def test_an_added_and_a_deleted_worker_count_at_once(keys: Path) -> None:
    admitted = AdmittedWorkers(keys / "workers")
    file = keys / "workers" / "gpu1.key"
    public = parse_key_file(file.read_bytes(), file, with_secret=False).public
    file.rename(keys / "elsewhere")
    assert admitted.name_of(public) is None
    (keys / "elsewhere").rename(keys / "workers" / "renamed.key")
    assert admitted.name_of(public) == "renamed"


def test_a_key_file_that_breaks_later_leaves_the_others_admitted(keys: Path, caplog: pytest.LogCaptureFixture) -> None:
    admitted = AdmittedWorkers(keys / "workers")
    file = keys / "workers" / "gpu1.key"
    public = parse_key_file(file.read_bytes(), file, with_secret=False).public
    (keys / "workers" / "broken.key").write_text("nonsense")
    assert [admitted.name_of(public), admitted.name_of(public)] == ["gpu1", "gpu1"]
    assert caplog.messages == [
        f"the workers' keys stay as they were: '{keys / 'workers' / 'broken.key'}' holds no public CURVE key: "
        "copy it again from where keygen wrote it"
    ]


def test_folders_and_files_that_are_not_right_are_named(keys: Path, tmp_path: Path) -> None:
    mine = keys / "for-workers" / "gpu1"
    secret = keys / "master.key_secret"
    with pytest.raises(SetupError, match=r"has no master.key_secret: mindspore-serving keygen '.*' makes it"):
        read_master_keys(tmp_path)
    with pytest.raises(SetupError, match=r"has no worker.key_secret: copy here what keygen --worker wrote"):
        read_worker_keys(tmp_path)
    with pytest.raises(SetupError, match=r"has no worker.key_secret: give this worker a folder of '.*for-workers'"):
        read_worker_keys(keys)
    secret.chmod(0o604)
    with pytest.raises(SetupError, match=r"is open to others \(mode 0604\): chmod 600"):
        read_master_keys(keys)
    secret.chmod(0o600)
    (mine / "worker.key_secret").chmod(0o620)
    with pytest.raises(SetupError, match="is open to others"):
        read_worker_keys(mine)
    (mine / "worker.key_secret").chmod(0o600)
    (mine / "master.key").write_bytes(b"\xff" * 5000)
    with pytest.raises(SetupError, match=r"'.*gpu1/master.key' holds no public CURVE key"):
        read_worker_keys(mine)
    secret.write_text((keys / "for-workers" / "gpu2" / "worker.key").read_text())
    with pytest.raises(SetupError, match="holds no secret CURVE key"):
        read_master_keys(keys)
    other = parse_key_file((mine / "worker.key_secret").read_bytes(), "", with_secret=True)
    public = parse_key_file((keys / "master.key").read_bytes(), "", with_secret=False).public
    secret.write_text(key_file("mixed up", KeyPair(public, other.secret)))
    with pytest.raises(SetupError, match="its two keys do not belong together"):
        read_master_keys(keys)


@pytest.mark.parametrize("key", ["", "x" * 39, "x" * 41, "#" * 40, "ü" * 40, '"' * 40, "~" * 40])
def test_what_is_no_key_is_told_from_one(key: str) -> None:
    with pytest.raises(SetupError):
        parse_key_file(f'curve\n public-key = "{key}"\n'.encode(), "f", with_secret=False)


def test_secrets_are_not_shown(keys: Path) -> None:
    master, worker = read_master_keys(keys), read_worker_keys(keys / "for-workers" / "gpu1")
    for pair in (master.pair, worker.pair):
        assert pair.secret is not None
        assert pair.secret.decode() not in f"{master!r} {worker!r}"


def test_a_group_may_read_a_secret_with_a_warning(keys: Path, caplog: pytest.LogCaptureFixture) -> None:
    (keys / "master.key_secret").chmod(0o640)
    read_master_keys(keys)
    assert "can be read by its group" in caplog.text
