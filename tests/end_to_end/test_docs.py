"""Every command in the READMEs runs, as written but for ports and paths. Those of the examples: test_examples.py."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mindspore_serving.cluster.dispatch_events import Limits
from tests.master.rest_client import echoing
from tests.master.running_master import RunningMaster
from tests.processes import ROOT, Processes, free_port, free_ports


def blocks(file: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", file.read_text(), flags=re.DOTALL)


def readme_commands(servables: Path, ports: dict[str, str]) -> list[list[str]]:
    """The README's Python commands, with the tests' interpreter, ports and exported servable."""
    commands = []
    for line in "".join(blocks(ROOT / "README.md", "bash")).splitlines():
        if line.startswith(".venv/bin/python") and " pip " not in line:
            for old, new in {**ports, "examples/add": str(servables)}.items():
                line = line.replace(old, new)
            commands.append(shlex.split(line)[1:])
    return commands


def readme_curl(ports: dict[str, str]) -> str:
    """The README's curl command, with the tests' port."""
    (command,) = re.findall(r"^curl (?:.*\\\n)*.*$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    return str(command.replace("5900", ports["5900"]))


def test_the_readmes_commands_and_its_client_work(run: Processes, servables: Path) -> None:
    ports = {"5500": str(free_port()), "5900": str(free_port()), "6500": str(free_port())}
    export, master, worker, client, in_one = readme_commands(servables, ports)
    assert run.start(*export).wait() == 0
    desk = run.start(*master)
    desk.wait_for("Serving gRPC start success")
    hand = run.start(*worker)
    hand.wait_for("Worker registered at")
    assert run.start(*client).wait() == 0
    (code,) = blocks(ROOT / "README.md", "python")
    called = run.start("-c", code.replace("5500", ports["5500"]))
    assert called.wait() == 0, called.output
    assert "array([[3., 3.]" in called.output
    if shutil.which("curl"):
        answer = subprocess.run(["sh", "-c", readme_curl(ports)], check=True, capture_output=True, text=True).stdout
        assert f"`{answer}`" in (ROOT / "README.md").read_text()
        assert json.loads(answer) == {"instances": [{"y": [[2.0, 3.0], [4.0, 5.0]]}]}
    assert (hand.stop(), desk.stop()) == (0, 0)
    small = run.start(*in_one)
    small.wait_for("Serving gRPC start success")
    assert run.start(*client).wait() == 0
    assert small.stop() == 0


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_doors_commands_work(run: Processes, servables: Path) -> None:
    grpc, rest, control = (str(free_port()) for _ in range(3))
    text = (ROOT / "docs" / "doors.md").read_text()
    (command,) = re.findall(r"^.venv/bin/python (-m master .*)$", text, re.MULTILINE)
    ports = {"5500": grpc, "5900": rest, "6500": control, "app-": f"app-{os.getpid()}-"}
    desk = run.start(*shlex.split(change_ports(command, ports)))
    desk.wait_for("RESTful server start success")
    place = ("--directory", str(servables), "--master", f"127.0.0.1:{control}")
    hand = run.start("-m", "worker", "--servable", "add", *place)
    hand.wait_for("Worker registered at")
    commands = re.findall(
        r"^curl [^\n']*(?:'[^']*')?$", "".join(blocks(ROOT / "docs" / "doors.md", "bash")), re.MULTILINE
    )
    assert len(commands) == 7
    answers = [
        subprocess.run(
            ["sh", "-c", command.replace("5900", rest).replace("curl", "curl -sSf", 1)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for command in commands
    ]
    assert f"`{answers[0]}`" in text
    assert json.loads(answers[1])["outputs"][0] == {
        "name": "y",
        "datatype": "FP32",
        "shape": [2, 2],
        "data": [2.0, 3.0, 4.0, 5.0],
    }
    assert json.loads(answers[2])["inputs"][0] == {"name": "x1", "datatype": "FP32", "shape": [-1, 2, 2]}
    (counts,) = json.loads(answers[4])["model_stats"]
    assert counts["inference_count"] == 2
    assert [reason for reason, count in counts["batch_cuts"].items() if count] == ["idle"]
    assert all(f"`{reason}`" in (ROOT / "docs" / "performance.md").read_text() for reason in counts["batch_cuts"])
    assert answers[6] == "ok\n"
    (program,) = blocks(ROOT / "docs" / "doors.md", "python")
    client = run.start("-c", change_ports(program, ports))
    assert (client.wait(), client.output.splitlines()) == (0, ["[[[3. 3.]", "  [3. 3.]]]"]), client.output
    assert (hand.stop(), desk.stop()) == (0, 0)


def operator_commands(file: str, changes: dict[str, str]) -> list[list[str]]:
    """The `mindspore-serving` commands of a file, run as a module: the script may stand elsewhere."""
    lines = [line for line in "".join(blocks(ROOT / file, "bash")).splitlines() if "/mindspore-serving " in line]
    for old, new in changes.items():
        lines = [line.replace(old, new) for line in lines]
    return [["-m", "mindspore_serving", *shlex.split(line)[1:]] for line in lines]


def test_the_readmes_operator_commands_work(run: Processes, servables: Path, tmp_path: Path) -> None:
    port = str(free_port())
    changes = {"examples/add": str(servables), "servables": str(tmp_path)}
    new, check, up = operator_commands("README.md", {"5500": port})
    new, check, up = ([change(word, changes) for word in command] for command in (new, check, up))
    assert run.start(*new).wait() == 0
    assert run.start(*check).wait() == 0
    served = run.start(*up)
    served.wait_for("all 2 workers are ready")
    assert served.stop() == 0


def change(word: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        if word.startswith(old):
            return new + word.removeprefix(old)
    return word


def test_the_guides_servable_and_start_script_work(run: Processes, servables: Path, tmp_path: Path) -> None:
    servable, script = blocks(ROOT / "docs" / "servables.md", "python")
    shutil.copytree(servables / "add" / "1", tmp_path / "servables" / "scores" / "1")
    (tmp_path / "servables" / "scores" / "servable_config.py").write_text(servable)
    port, http_port = str(free_port()), str(free_port())
    check, up = operator_commands("docs/servables.md", {"5500": port, "servables/": f"{tmp_path}/servables/"})
    (measured,) = operator_commands("docs/performance.md", {"servables/": f"{tmp_path}/servables/"})
    for command in (check, measured):
        assert run.start(*command).wait() == 0
    served = run.start(*up)
    served.wait_for("all 1 workers are ready")
    call = (
        "import numpy as np; from mindspore_serving.client import Client; "
        f"x = np.ones((2, 2), int); print(Client('127.0.0.1:{port}', 'scores', 'score').infer({{'x1': x, 'x2': x}}))"
    )
    client = run.start("-c", call)
    client.wait()
    assert "'score': array([[3., 3.]" in client.output
    assert served.stop() == 0
    (tmp_path / "start.py").write_text(script.replace("5500", port).replace("5900", http_port))
    started = run.start(str(tmp_path / "start.py"), cwd=tmp_path, environment={"PYTHONPATH": str(ROOT)})
    started.wait_for("RESTful server start success")
    again = run.start("-c", call)
    again.wait()
    assert "'score': array([[3., 3.]" in again.output
    assert started.stop() == 0


def test_the_client_guides_programs_work(run: Processes, servables: Path) -> None:
    ports = {"5500": str(free_port()), "5501": str(free_port())}  # the second of two masters is down
    served = run.start("-m", "master", "--grpc", ports["5500"], "--servable", str(servables / "add"))
    served.wait_for("Serving gRPC start success")
    programs = [run.start("-c", change_ports(code, ports)) for code in blocks(ROOT / "docs" / "client.md", "python")]
    codes = [program.wait() for program in programs]
    outputs = [program.output for program in programs]
    assert codes == [0] * 4, outputs
    blocking, asynchronous, two_masters, plain = outputs
    assert blocking.count("array([[") == 2 and "\n100.0\n" in blocking
    assert asynchronous.count("array([[") == 3
    assert two_masters.count("array([[2., 2.]") == 10
    assert "Instances count of request cannot be 0" in plain
    assert served.stop() == 0


def change_ports(code: str, ports: dict[str, str]) -> str:
    for old, new in ports.items():
        code = code.replace(old, new)
    return code


def test_the_benchmark_guides_loads_work(run: Processes) -> None:
    master = RunningMaster(Limits(lease_seconds=600.0))
    short = {"bench 5500": f"bench {master.grpc.port}", "--seconds 5": "--seconds 0.3"}
    with echoing(master):
        closed, in_the_open = operator_commands("docs/benchmarks.md", short)
        assert "closed loop, 8 callers" in ended_well(run, closed)
        assert "open loop, 300 calls/s (poisson)" in ended_well(run, in_the_open)
    master.close()


def ended_well(run: Processes, command: list[str]) -> str:
    process = run.start(*command)
    assert process.wait() == 0, process.output
    return process.output


def test_the_benchmark_guides_modules_exist() -> None:
    guides = ["benchmarks.md", "measurements.md", "engine.md", "performance.md"]
    text = "".join((ROOT / "docs" / guide).read_text() for guide in guides)
    modules = set(re.findall(r"python -m (benchmarks\.\w+)", text))
    assert len(modules) >= 18
    for module in modules:
        assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module
    for path in re.findall(r"`(benchmarks/[\w./]+)", text):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("file", ["README.md", "docs/benchmarks.md"])
def test_the_make_targets_exist(file: str) -> None:
    for line in "".join(blocks(ROOT / file, "bash")).splitlines():
        if line.startswith("make "):
            subprocess.run(["make", "-n", *line.split()[1:]], cwd=ROOT, check=True, capture_output=True)


def test_every_setting_is_explained_by_help() -> None:
    for module, words in (
        ("master", "--grpc --rest --ctrl --servable"),
        ("worker", "--servable --master --device --version"),
    ):
        text = subprocess.run(
            [sys.executable, "-m", module, "--help"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout
        for word in words.split():
            assert word in text


READMES = ["README.md", "CONTRIBUTING.md", "deploy/systemd/README.md"]
READMES += [f"docs/{guide.name}" for guide in sorted((ROOT / "docs").glob("*.md"))]
READMES += [f"examples/{example}/README.md" for example in ("add_sub", "lenet")]


@pytest.mark.parametrize("file", READMES)
def test_every_link_and_path_leads_somewhere(file: str) -> None:
    text = (ROOT / file).read_text()
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert ((ROOT / file).parent / link).exists(), link
    for path in re.findall(r"`((?:cluster|master|worker|client|tests|deploy|examples|proto)/[\w./@-]*)`", text):
        assert (ROOT / path).exists(), path
    for source in re.findall(r"deploy/systemd/[\w.@-]*\w", text):
        assert (ROOT / source).exists(), source


def test_the_systemd_readme_installs_every_file_of_its_folder() -> None:
    folder = ROOT / "deploy" / "systemd"
    (block,) = blocks(folder / "README.md", "bash")
    assert len(block.splitlines()) == 5
    patterns = re.findall(r"deploy/systemd/(\S+)", block)
    installed = {file for pattern in patterns for file in folder.glob(pattern)}
    assert installed == set(folder.iterdir()) - {folder / "README.md"}


def test_the_security_guides_commands_work(run: Processes, servables: Path, tmp_path: Path) -> None:
    grpc, ctrl = str(free_port()), str(free_port())
    changes = {" keys": f" {tmp_path}/keys", "examples/add": str(servables), "5500": grpc, "6500": ctrl}
    (keygen,) = operator_commands("docs/security.md", changes)
    assert run.start(*keygen).wait() == 0
    lines = "".join(blocks(ROOT / "docs" / "security.md", "bash")).splitlines()
    lines = [line for line in lines if line.startswith(".venv/bin/python ")]
    for old, new in changes.items():
        lines = [line.replace(old, new) for line in lines]
    desk, hand = (run.start(*shlex.split(line)[1:]) for line in lines)
    hand.wait_for("Worker registered at")
    assert (hand.stop(), desk.stop()) == (0, 0)


def test_the_guide_to_several_processes_has_commands_that_work(run: Processes, servables: Path) -> None:
    grpc, rest, *control = free_ports(5)
    changes = {"examples/add": str(servables), "5500": str(grpc), "5900": str(rest), "6500": str(control[0])}
    lines = "".join(blocks(ROOT / "docs" / "processes.md", "bash")).splitlines()
    for old, new in changes.items():
        lines = [line.replace(old, new) for line in lines]
    desk, hand = (run.start(*shlex.split(line)[1:]) for line in lines)
    for port in control:
        hand.wait_for(f"Worker registered at 127.0.0.1:{port},")
    assert (hand.stop(), desk.stop()) == (0, 0)


def test_the_security_guide_quotes_the_refusal(run: Processes) -> None:
    refused = run.start("-m", "master", "--grpc", "5500", "--ctrl", "0.0.0.0:6500")
    assert refused.wait() == 2
    assert refused.last_line in (ROOT / "docs" / "security.md").read_text().splitlines()
