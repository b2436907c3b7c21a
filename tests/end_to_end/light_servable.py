"""A servable of Python alone, quick to start, that does what a call orders: answer, wait, take long, hang, die."""

from collections.abc import Sequence
from pathlib import Path

from tests.processes import Process, Processes

NAME = "light"
SLOW_START, GO = "slow-start", "go"  # files in its folder: a worker loads only when there is GO; who waits goes on

_CONFIG = """
import os
import threading

from mindspore_serving.server import register

def file(name):
    return os.path.join(os.path.dirname(__file__), name)

def wait_for_go():
    while not os.path.exists(file("go")):
        threading.Event().wait(0.02)

if os.path.exists(file("slow-start")):
    wait_for_go()

def obey(order, x):
    if order != "answer":
        print(f"{order} {x.nbytes} bytes", flush=True)
    if order == "wait":
        wait_for_go()
    if order == "take long":
        threading.Event().wait(2.0)
    if order == "hang" or (order == "hang once" and not os.path.exists(file("hung"))):
        open(file("hung"), "w").close()
        print("it hangs", flush=True)
        threading.Event().wait()
    if order == "die":
        os._exit(9)
    return x

@register.register_method(output_names="y")
def act(order, x):
    return register.add_stage(obey, order, x, outputs_count=1)
"""


def light_servable(folder: Path) -> Path:
    """Writes it, and returns its folder."""
    place = folder / NAME
    place.mkdir()
    (place / "servable_config.py").write_text(_CONFIG)
    return place


def light_worker(
    run: Processes, place: Path, masters: Sequence[int], registered: bool = True, *arguments: str
) -> Process:
    """A worker of the masters at these control ports."""
    addresses = ",".join(f"127.0.0.1:{port}" for port in masters)
    process = run.start("-m", "worker", "--servable", str(place), "--master", addresses, *arguments)
    if registered:
        for port in masters:
            process.wait_for(f"Worker registered at 127.0.0.1:{port},")
    return process
