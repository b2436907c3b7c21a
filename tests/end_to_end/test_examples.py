"""The examples add_sub and lenet, by the commands of their READMEs: the numbers are right, a bad image fails alone."""

import io
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mindspore_serving.client import Client
from tests.end_to_end.test_docs import blocks
from tests.processes import ROOT, Process, Processes, free_port, processes

Command = tuple[list[str], dict[str, str]]  # the arguments after the interpreter, the variables before it


@dataclass(frozen=True)
class Served:
    """An example whose master and worker run."""

    run: Processes
    address: str
    exporter: Process
    client: Command

    def infer(self, servable: str, method: str, *instances: dict[str, Any]) -> list[dict[str, Any]]:
        with Client(self.address, servable, method) as client:
            results = client.infer(instances)
        assert isinstance(results, list), results
        return results

    def run_client(self) -> Process:
        """The example's own client, when it has ended well."""
        arguments, environment = self.client
        process = self.run.start(*arguments, environment=environment)
        assert process.wait() == 0, process.output
        return process


def commands(readme: Path, changes: dict[str, str]) -> list[Command]:
    """The README's commands, with the tests' ports and folder."""
    found = []
    for line in "".join(blocks(readme, "bash")).splitlines():
        for old, new in changes.items():
            line = line.replace(old, new)
        words = shlex.split(line)
        python = words.index(".venv/bin/python")
        found.append((words[python + 1 :], dict(word.split("=", 1) for word in words[:python])))
    return found


@contextmanager
def served(example: str, folder: Path) -> Iterator[Served]:
    """Does what the example's README says with a copy of the example; at the end all processes end cleanly."""
    shutil.copytree(ROOT / "examples" / example, folder, ignore=shutil.ignore_patterns("1", "__pycache__"))
    grpc, ctrl = str(free_port()), str(free_port())
    changes = {"5500": grpc, "6500": ctrl, f"examples/{example}": str(folder)}
    (export, _), (master, _), (worker, variables), client = commands(ROOT / "examples" / example / "README.md", changes)
    with processes() as run:
        exporter = run.start(*export)
        assert exporter.wait() == 0, exporter.output
        desk = run.start(*master)
        desk.wait_for("Serving gRPC start success")
        hand = run.start(*worker, environment=variables)
        hand.wait_for("Worker registered at")
        yield Served(run, f"127.0.0.1:{grpc}", exporter, client)
        assert (hand.stop(), desk.stop()) == (0, 0)


@pytest.fixture(scope="module")
def add_sub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served("add_sub", tmp_path_factory.mktemp("examples") / "add_sub") as example:
        yield example


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served("lenet", tmp_path_factory.mktemp("examples") / "lenet") as example:
        yield example


def written(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def png(mode: str = "L", size: tuple[int, int] = (8, 8)) -> bytes:
    """A black image."""
    return written(Image.new(mode, size))


def test_the_client_of_add_sub_finds_every_method_right(add_sub: Served) -> None:
    output = add_sub.run_client().output
    assert re.findall(r"^(\w+): right", output, re.MULTILINE) == ["add_only", "sub_only", "add_sub", "add_and_sub"]


def test_each_instance_goes_through_both_models(add_sub: Served) -> None:
    triples = np.random.default_rng(1).random((20, 3, 2, 2), np.float32)
    results = add_sub.infer("add_sub", "add_sub", *({"x1": x1, "x2": x2, "x3": x3} for x1, x2, x3 in triples))
    for result, (x1, x2, x3) in zip(results, triples, strict=True):
        np.testing.assert_array_equal(result["y"], (x1 + x2) - x3)


def test_one_input_can_go_into_two_models_side_by_side(add_sub: Served) -> None:
    pairs = np.random.default_rng(2).random((20, 2, 2, 2), np.float32)
    results = add_sub.infer("add_sub", "add_and_sub", *({"x1": x1, "x2": x2} for x1, x2 in pairs))
    for result, (x1, x2) in zip(results, pairs, strict=True):
        np.testing.assert_array_equal(result["sum"], x1 + x2)
        np.testing.assert_array_equal(result["difference"], x1 - x2)


def test_served_lenet_reads_nine_of_ten_held_out_digits_and_is_as_good_as_the_trained_one(lenet: Served) -> None:
    line = re.compile(r"accuracy (\d\.\d+) on (\d+) held-out images")
    (trained,) = line.findall(lenet.exporter.output)
    (found,) = line.findall(lenet.run_client().output)
    assert float(found[0]) >= 0.9
    assert int(found[1]) >= 100
    # The decoding, the model and its numbers are the same; only a tie may fall otherwise at another batch size.
    assert found[1] == trained[1]
    assert float(found[0]) == pytest.approx(float(trained[0]), abs=0.005)


BROKEN_IMAGES = [
    (b"no image", "the image cannot be read: its 8 bytes are not a PNG file"),
    (b"", "the image cannot be read: its 0 bytes are not a PNG file"),
    (png(size=(64, 64))[:-40], "the image cannot be read: "),
    (png(size=(1025, 1024)), "it has 1025x1024 pixels, more than 1048576"),
    ("a text", "the input 'image' should be the bytes of a PNG file"),
    (np.zeros((8, 8), np.float32), "the input 'image' should be the bytes of a PNG file"),
]


@pytest.mark.parametrize("image, text", BROKEN_IMAGES)
def test_a_broken_image_fails_alone(lenet: Served, image: object, text: str) -> None:
    good = {"image": png()}
    first, broken, last = lenet.infer("lenet", "predict", good, {"image": image}, good)
    assert list(broken) == ["error"]
    assert text in broken["error"]
    assert "\n" not in broken["error"]
    for result in (first, last):
        assert 0 <= result["digit"] <= 9
        assert 0.1 <= result["probability"] <= 1


@pytest.mark.parametrize("mode, size", [("1", (1, 1)), ("P", (40, 9)), ("RGBA", (300, 200)), ("I;16", (8, 8))])
def test_an_image_may_have_any_size_and_mode(lenet: Served, mode: str, size: tuple[int, int]) -> None:
    (result,) = lenet.infer("lenet", "predict", {"image": png(mode, size)})
    assert 0 <= result["digit"] <= 9


def test_an_image_of_16_bits_gives_what_its_8_bits_give(lenet: Served) -> None:
    gray = np.arange(0, 256, 4, np.uint8).reshape(8, 8)
    images = ({"image": written(Image.fromarray(array))} for array in (gray, gray.astype(np.uint16) << 8))
    eight, sixteen = lenet.infer("lenet", "predict", *images)
    assert eight["digit"] == sixteen["digit"]
    assert eight["probability"] == pytest.approx(sixteen["probability"], rel=1e-5)
