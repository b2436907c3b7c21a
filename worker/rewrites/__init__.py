"""Graphs of MindIR files, written in another way that MindSpore runs faster on a CPU, and that gives the same numbers.

A rule takes a GraphFile, changes what it knows, and returns how often it did. What it does not know for sure stays as
it is: a weight that is used twice, an open dimension, a type other than float32. Rules hold one by one, in any order.
Floating point numbers may differ in their last digits, since sums and products come in another order. That a rewritten
file gives the numbers of the original, and is faster, is proven by tuning_trial.py before a worker uses it.
"""

from typing import Any

from mindspore_serving.worker.rewrites.batch_norm import fold_batch_norm
from mindspore_serving.worker.rewrites.gelu import spell_gelu_out
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.pooling import pool_first
from mindspore_serving.worker.rewrites.reductions import flatten_reductions

RULES = (fold_batch_norm, pool_first, flatten_reductions, spell_gelu_out)


def rewrite(model: Any) -> int:
    """Rewrites a ModelProto of MindSpore's mind_ir.proto in place. Returns in how many places.

    None where there is control flow: its further graphs may use what the first one defines.
    """
    if model.functions:
        return 0
    graph = GraphFile(model)
    places = sum(rule(graph) for rule in RULES)
    graph.save()
    return places
