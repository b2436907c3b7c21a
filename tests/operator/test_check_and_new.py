"""`mindspore-serving check` and `new`: what they print, write and refuse."""

import errno
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from mindspore_serving.__main__ import COMMANDS, main
from mindspore_serving.cluster.addresses import Address
from mindspore_serving.operator.config import UpConfig, read_servable_on_devices
from mindspore_serving.operator.up import worker_specs
from tests.processes import Processes

# Each mistake is planted in the line that ends with this comment: the text that should name it.
MISTAKES = """
from mindspore_serving.server import register

model = register.declare_model("model.mindir", "MindIR", with_batch_dim=False)
missing = register.declare_model("missing.mindir", "MindIR")  #! model file '{place}/1/missing.mindir' not exist
register.declare_model("x.om", "OM")  #! model file 'x.om': format OM is made for another backend
register.declare_model("model.mindir", "MindIR")  #! model file 'model.mindir' has already been used
register.declare_model("y.mindir", "MindIR", with_batch_dim=1)  #! Parameter 'with_batch_dim' should be bool


def f(a):
    return a


@register.register_method("y")
def inputs(a):
    return register.add_stage(model, a, outputs_count=1)  #! The inputs count 1 in register_method not equal to the


@register.register_method("y")
def arguments(a, b):
    return register.add_stage(f, a, b, outputs_count=1)  #! function f input args count 1 not match the count 2


@register.register_method(["y", "y"])  #! Parameter 'output_names' ['y', 'y'] should not be repeated
def names(a, b):
    return register.add_stage(model, a, b, outputs_count=1)


@register.register_method("y")
def spelling(a, b):
    return register.add_stage(modle, a, b, outputs_count=1)  #! NameError: name 'modle' is not defined


@register.register_method("y")
def three(a):
    a = register.add_stage(f, 3, outputs_count=1)  #! Each value of parameter *args is a placeholder for data
    a = register.add_stage(f, a, outputs_count=1, batch_size=-1)  #! Parameter 'batch_size' should be >= 0
    return register.add_stage(f, a, outputs_count=0)  #! Parameter 'outputs_count' should be >= 1


@register.register_method("y")
def old(a, b):
    return register.call_servable(a, b)  #! There are more than one servable declared when the interface


@register.register_method("y")  #! 'stars' input a cannot be VAR_POSITIONAL !
def stars(*a):
    return a


@register.register_method(["y"])
def good(a, b):
    return register.add_stage(model, a, b, outputs_count=1)


raise ValueError("told you so")  #! ValueError: told you so (the rest of the file was not read)
"""


@pytest.fixture
def mine(tmp_path: Path, models: Path) -> Path:
    """A servable's folder with the model of two 2x2 inputs as version 1, and no config yet."""
    shutil.copytree(models / "fixed" / "1", tmp_path / "mine" / "1")
    return tmp_path / "mine"


def test_check_finds_every_planted_mistake_by_its_line(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = mine / "servable_config.py"
    config.write_text(MISTAKES)
    (mine / "01").mkdir()
    (mine / "²").mkdir()
    # Python 3.10 tells of a decorator's call the line of the function behind it.
    behind = int(sys.version_info < (3, 11))
    planted = [
        f"  {config}:{number + behind * line.startswith('@')}: {line.partition('#! ')[2].format(place=mine)}"
        for number, line in enumerate(MISTAKES.splitlines(), 1)
        if "#! " in line
    ]
    assert len(planted) == 14
    assert main(["check", str(mine)]) == 1
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"  {mine}")]
    for text, line in zip(planted, told, strict=False):
        assert line.startswith(text)
    assert [line.strip() for line in told[len(planted) :]] == [
        f"{mine}/01: is not taken for a version, only a number such as 1 is",
        f"{mine}/²: is not taken for a version, only a number such as 2 is",
    ]


def test_check_prints_what_is_in_a_good_servable(
    tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("shared", "open", "batch"):
        shutil.copytree(models / name / "1", tmp_path / name / "1")
        more = ", without_batch_dim_inputs=1" if name == "shared" else ""
        (tmp_path / name / "servable_config.py").write_text(
            f"""
from mindspore_serving.server import register
model = register.declare_model("model.mindir", "MindIR"{more})
def halve(instances):
    return [instance[0] / 2 for instance in instances]
@register.register_method("y")
def add(a, b):
    a = register.add_stage(halve, a, outputs_count=1, batch_size=5)
    return register.add_stage(model, a, b, outputs_count=1)
"""
        )
    assert main(["check", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert f"servable shared in {tmp_path}: version 1 (found: 1)" in told
    assert "runs 1 or 2 or 4 instances together; takes a float32 [2], b float32 [2] (shared); gives float32 [2]" in told
    assert "runs any number of instances together; takes" in told
    assert "method add(a, b) -> y, batches of up to 4\n" in told
    assert "stage 1: function halve, at most 5 instances together" in told
    assert "stage 2: model model.mindir" in told
    assert told.count("\n  good\n") == 3


def test_check_names_a_version_that_is_not_there(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (mine / "servable_config.py").write_text(
        "from mindspore_serving.server import register\nmodel = register.declare_model('model.mindir', 'MindIR')\n"
    )
    assert main(["check", str(mine), "--version", "3"]) == 1
    told = capsys.readouterr().out
    assert "There is no specified version directory of models, specified version number: 3" in told
    assert "There is no method registered for servable mine" in told
    assert "2 mistakes" in told


def test_new_writes_a_servable_with_the_models_own_names_that_check_finds_good(
    tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for model, batch in (("fixed", False), ("batch", True), ("open", False), ("both", True)):
        file = str(models / model / "1" / "model.mindir")
        switch = ["--batch"] if batch else []
        assert main(["new", model, "--model", file, "--directory", str(tmp_path), *switch]) == 0
        assert f"mindspore-serving up {tmp_path / model}" in capsys.readouterr().out
    fixed, opened, both = ((tmp_path / name / "servable_config.py").read_text() for name in ("fixed", "open", "both"))
    assert "with_batch_dim=False" in fixed
    assert "def predict(a, b):" in fixed
    assert "Takes a float32 [2, 2], b float32 [2, 2]; gives y float32 [2, 2]" in fixed
    assert "with_batch_dim=True" in opened
    assert 'output_names=["y1", "y2"]' in both


def test_new_takes_a_models_name_as_it_is(tmp_path: Path, models: Path) -> None:
    file = tmp_path / 'my "best" model, \\ and ü.mindir'
    shutil.copyfile(models / "fixed" / "1" / "model.mindir", file)
    assert main(["new", "named", "--model", str(file), "--directory", str(tmp_path)]) == 0


def test_new_leaves_nothing_behind_where_there_is_no_room(
    tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy(_: Path, to: Path) -> None:
        to.write_text("a part")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfile", copy)
    file = str(models / "fixed" / "1" / "model.mindir")
    assert main(["new", "full", "--model", file, "--directory", str(tmp_path)]) == 1
    assert f"'{tmp_path / 'full'}' cannot be written: No space left on device" in capsys.readouterr().err
    assert not (tmp_path / "full").exists()


@pytest.mark.parametrize(
    "arguments, code, text",
    [
        ([], 2, ""),
        (["nope"], 2, "there is no command 'nope', only bench, check, new, keygen, up, chaos"),
        (["check", "/nowhere"], 1, "there is no directory '/nowhere'"),
        (["check", "FOLDER"], 1, "there is no servable in 'FOLDER'"),
        (["new", "a-b", "--model", "x"], 2, "NAME 'a-b' should be letters, digits and _"),
        (["new", "a", "--model", "/nowhere"], 1, "--model '/nowhere' is not a file"),
        (["new", "there", "--model", "x", "--directory", "FOLDER"], 1, "exists already: choose another NAME"),
        (["new", "a", "--model", "FOLDER/junk", "--directory", "FOLDER"], 1, "is not a MindIR file, or is damaged"),
        (["up", "FOLDER"], 1, "'FOLDER' is not a servable: it has no servable_config.py"),
        (["up", "FOLDER:x"], 2, "the device of 'FOLDER:x' 'x' is not a whole number"),
        (["up", "FOLDER", "FOLDER"], 2, "'FOLDER' is given twice"),
    ],
)
def test_a_command_that_cannot_be_ends_with_one_line(
    arguments: list[str], code: int, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "junk").write_text("junk")
    words = [word.replace("FOLDER", str(tmp_path)) for word in arguments]
    try:
        ended = main(words)
    except SystemExit as end:
        ended = int(str(end.code))
    assert ended == code
    told = capsys.readouterr().err
    assert text.replace("FOLDER", str(tmp_path)) in told
    assert told.count("\n") == (1 if text else 0)
    assert not (tmp_path / "a").exists()


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"  {name} " in told for name in COMMANDS)


def test_up_starts_a_worker_for_each_device(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "servable_config.py").touch()
    servables = tuple(read_servable_on_devices(f"{tmp_path}/{text}") for text in ("a:0,2", "b"))
    config = UpConfig(servables=servables, grpc=Address("127.0.0.1", 5500), log_level="debug")
    specs = worker_specs(config)
    assert all(spec.log_level == "debug" for spec in specs)
    assert [(spec.name, spec.target.device_id) for spec in specs] == [("a", 0), ("a", 2), ("b", 0)]
    with pytest.raises(RuntimeError, match="should not be repeated"):
        read_servable_on_devices("a:1,1")


def test_up_ends_with_one_line_when_its_folders_cannot_be_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "servable_config.py").touch()
    assert main(["up", str(tmp_path), "--logs", "/dev/null/logs"]) == 1
    assert capsys.readouterr().err == "--logs '/dev/null/logs' cannot be made: Not a directory\n"
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    assert main(["up", str(tmp_path)]) == 1
    told = "there is no place for sockets, $TMPDIR may name one: No such file or directory\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_check_can_be_interrupted_whatever_a_servable_does(
    run: Processes, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "endless").mkdir()
    config = tmp_path / "endless" / "servable_config.py"
    config.write_text("import mindspore\n\nprint('begun', flush=True)\nwhile True:\n    pass\n")
    check = run.start("-m", "mindspore_serving", "check", str(config.parent), "--tune", "off")
    check.wait_for("begun")
    assert check.stop(number) == 128 + number
    assert check.output == "begun\ninterrupted\n"
