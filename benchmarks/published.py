"""What rewritten graphs gain where models are published ones: those of mindcv, with an open number of instances.

    python -m benchmarks.published [--models NAME[:SIZE]...] [--instances N] [--rounds N]

It needs `pip install mindcv==0.3.0`, which is no dependency of ours. Both are called in turn, in one thread, with
weights by chance. Prints the milliseconds of a call for the file as it is and as a worker writes it (medians), the
median of the ratios made within each round, and how far their numbers are from those of the network, as a share of
its largest. A model that MindSpore cannot export is named.
"""

import argparse
import gc
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np

from mindspore_serving.worker import mindspore_model
from mindspore_serving.worker.call_costs import measure, wall_clock
from mindspore_serving.worker.mindir_file import read_inputs
from mindspore_serving.worker.rewrites import ALL, AS_IT_IS
from mindspore_serving.worker.target import Target

# One of each family; the pixels of a side where they are not 224.
MODELS = (
    *("BiT_resnet50", "cait_xxs24_224", "cmt_tiny:160", "convit_tiny", "convnext_tiny", "convnextv2_atto"),
    *("densenet121", "dpn92", "efficientnet_b0", "efficientnet_v2_s", "ghostnet_050", "googlenet", "hrnet_w32"),
    *("inception_v3:299", "inception_v4:299", "mixnet_s", "mlp_mixer_s_p16", "mnasnet_050", "mobilenet_v1_025"),
    *("mobilenet_v2_100", "mobilenet_v3_small_075", "mobilevit_xx_small:256", "nasnet_a_4x1056", "pit_ti"),
    *("pnasnet:331", "poolformer_s12", "pvt_v2_b0", "regnet_x_200mf", "regnet_y_200mf", "repmlp_t224", "repvgg_a0"),
    *("res2net50", "resnest14", "resnet18", "resnet50", "resnetv2_50", "resnext50_32x4d", "seresnet18"),
    *("shufflenet_v1_g3_05", "shufflenet_v2_x0_5", "skresnet18", "squeezenet1_0", "swin_tiny"),
    *("swinv2_tiny_window8:256", "vgg11", "visformer_tiny", "vit_b_32_224", "xception:299"),
)
_PIXELS = 224


def compare(network: Any, array: Any, folder: Path, rounds: int) -> tuple[float, float, float, float]:
    """Milliseconds as it is and rewritten, the ratio, and the error of the latter."""
    file = folder / "model.mindir"
    open_batch = ms.Tensor(shape=[None, *array.shape[1:]], dtype=ms.float32)
    expected = network(ms.Tensor(array))
    expected = (expected[0] if isinstance(expected, tuple) else expected).asnumpy()
    ms.export(network, open_batch, file_name=str(file), file_format="MINDIR")
    inputs = read_inputs(file, Target())
    opened = [mindspore_model.open_graph(file, inputs, Target(), how) for how in (AS_IT_IS, ALL)]
    for graph, tensors in opened:
        if tensors:
            graph.open(tensors)
    graphs = [graph for graph, _ in opened]
    _, (found, *_) = [graph.learn([array]) for graph in graphs]
    times = [[measure(partial(graph, [array]), wall_clock) * 1e3 for graph in graphs] for _ in range(rounds)]
    error = float(np.abs(found - expected).max() / np.abs(expected).max())
    ratio = statistics.median(after / before for before, after in times)
    return statistics.median(row[0] for row in times), statistics.median(row[1] for row in times), ratio, error


def main() -> None:
    """Compares each model."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.published", description="What published models gain.")
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="NAME[:SIZE]", help="of mindcv's (default: 48)")
    parser.add_argument("--instances", type=int, default=1, help="of a call (default: 1)")
    parser.add_argument("--rounds", type=int, default=5, help="of each model (default: 5)")
    given = parser.parse_args()
    try:
        import mindcv
    except ModuleNotFoundError:
        parser.error("mindcv is not installed: .venv/bin/pip install mindcv==0.3.0")
    unknown = [model for model in given.models if model.partition(":")[0] not in mindcv.list_models()]
    sizes = [model.partition(":")[2] for model in given.models]
    if unknown:
        parser.error(f"mindcv has no model '{unknown[0].partition(':')[0]}'")
    if not all(size.isdecimal() for size in sizes if size):
        parser.error("--models takes NAME, or NAME:SIZE with the pixels of a side")
    mindspore_model.set_device(Target())
    mindspore_model.set_one_thread()
    print(f"{'model':24} {'ms as it is':>11} {'rewritten':>9} {'ratio':>5} {'error':>7}")
    for model in given.models:
        name, _, size = model.partition(":")
        network = mindcv.create_model(name, pretrained=False)
        network.set_train(False)
        pixels = int(size or _PIXELS)
        shape = (given.instances, 3, pixels, pixels)
        array = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
        try:
            with tempfile.TemporaryDirectory() as folder:
                before, after, ratio, error = compare(network, array, Path(folder), given.rounds)
            print(f"{name:24} {before:11.2f} {after:9.2f} {ratio:5.2f} {error:7.0e}", flush=True)
        except (RuntimeError, ValueError, TypeError) as problem:
            print(f"{name:24} {(str(problem).strip() or type(problem).__name__).splitlines()[0]}", flush=True)
        gc.collect()


if __name__ == "__main__":
    main()
