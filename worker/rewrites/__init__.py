"""Graphs of MindIR files, written in another way that MindSpore runs faster on a CPU, and that gives the same numbers.

A rule takes a GraphFile, changes what it knows, and returns how often it did. What it does not know for sure stays as
it is: a weight that is used twice, an open dimension, a type other than float32. Each holds by itself; they have an
order since what one writes another may take further. Floating point numbers may differ in their last digits, since sums
and products come in another order. That a rewritten file gives the numbers of the original, and is faster, is proven by
tuning_trial.py before a worker uses it.
"""

from collections.abc import Callable
from enum import Flag, auto
from typing import Any

from mindspore_serving.worker.rewrites.assigned import write_assignments_out
from mindspore_serving.worker.rewrites.batch_norm import fold_batch_norm, scale_by_kernels
from mindspore_serving.worker.rewrites.biases import fuse_biases
from mindspore_serving.worker.rewrites.branches import calls_may_stay, decide_branches
from mindspore_serving.worker.rewrites.chains import chain_steps
from mindspore_serving.worker.rewrites.copies import copy_by_kernels, take_parts_first
from mindspore_serving.worker.rewrites.dense import multiply_by_kernels
from mindspore_serving.worker.rewrites.elements import compute_elements_by_kernels
from mindspore_serving.worker.rewrites.fixed import fix_constants
from mindspore_serving.worker.rewrites.gelu import spell_gelu_out
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.in_place import changed_parameters, write_apart, write_views_apart
from mindspore_serving.worker.rewrites.joined import join_by_kernels
from mindspore_serving.worker.rewrites.lookups import look_up_by_kernels
from mindspore_serving.worker.rewrites.lstm import remember_by_kernels
from mindspore_serving.worker.rewrites.masks import fill_by_kernels
from mindspore_serving.worker.rewrites.means import reduce_by_kernels
from mindspore_serving.worker.rewrites.newer import lacks_kernels, spell_missing, spell_older, spell_slow
from mindspore_serving.worker.rewrites.norms import normalize_by_kernels
from mindspore_serving.worker.rewrites.nothing import drop_nothing
from mindspore_serving.worker.rewrites.pooling import pool_first
from mindspore_serving.worker.rewrites.powers import multiply_powers_out
from mindspore_serving.worker.rewrites.precision import compute_in_single
from mindspore_serving.worker.rewrites.products import transpose_weights
from mindspore_serving.worker.rewrites.reductions import flatten_reductions
from mindspore_serving.worker.rewrites.resizing import repeat_pixels, repeat_pixels_by_kernels
from mindspore_serving.worker.rewrites.rows import compute_rows_by_kernels
from mindspore_serving.worker.rewrites.shapes import tell_shapes
from mindspore_serving.worker.rewrites.shared import share_again, unshare
from mindspore_serving.worker.rewrites.straight import may_be_straight, straight_graph
from mindspore_serving.worker.rewrites.transposed import convolve_transposed_by_kernels
from mindspore_serving.worker.rewrites.truths import compare_by_kernels
from mindspore_serving.worker.rewrites.unrolled import roll_up
from mindspore_serving.worker.rewrites.windows import convolve_by_kernels, pool_by_kernels


class Rewriting(Flag):
    """Kinds of rules, and any of them together. Rewriting(0): graphs as they are.

    RUNNABLE: for operators that MindSpore has no kernel for on a CPU; these hold whatever is asked. FASTER: by
    themselves faster wherever they hold. TRANSPOSED: faster for some sizes of batches and weights. KERNELS: operators
    of our own, which compute in one thread.
    """

    RUNNABLE = auto()
    FASTER = auto()
    TRANSPOSED = auto()
    KERNELS = auto()


AS_IT_IS = Rewriting(0)
ALL = ~AS_IT_IS
_Rules = tuple[tuple[Rewriting, Callable[[GraphFile], int]], ...]
_OF_WHOLE_GRAPHS: _Rules = (  # which know layers by the weights that they share
    (Rewriting.FASTER, drop_nothing),
    (Rewriting.FASTER, fix_constants),
    (Rewriting.KERNELS, remember_by_kernels),
    (Rewriting.KERNELS, roll_up),
    (Rewriting.KERNELS, spell_older),
)
_OF_LAYERS: _Rules = (
    (Rewriting.TRANSPOSED, transpose_weights),
    (Rewriting.FASTER, fold_batch_norm),
    (Rewriting.KERNELS, convolve_by_kernels),
    (Rewriting.KERNELS, convolve_transposed_by_kernels),
    (Rewriting.KERNELS, scale_by_kernels),
    (Rewriting.FASTER, pool_first),
    (Rewriting.KERNELS, reduce_by_kernels),
    (Rewriting.FASTER, flatten_reductions),
    (Rewriting.KERNELS, normalize_by_kernels),
    (Rewriting.KERNELS, compute_rows_by_kernels),
    (Rewriting.FASTER, spell_gelu_out),
    (Rewriting.FASTER, multiply_powers_out),
    (Rewriting.KERNELS, repeat_pixels_by_kernels),
    (Rewriting.FASTER, repeat_pixels),
    (Rewriting.FASTER, fuse_biases),
    (Rewriting.KERNELS, pool_by_kernels),
    (Rewriting.KERNELS, multiply_by_kernels),
    (Rewriting.KERNELS, compute_elements_by_kernels),
    (Rewriting.KERNELS, fill_by_kernels),
    (Rewriting.KERNELS, compare_by_kernels),
    (Rewriting.KERNELS, look_up_by_kernels),
    (Rewriting.KERNELS, join_by_kernels),
    (Rewriting.KERNELS, copy_by_kernels),
    (Rewriting.KERNELS, take_parts_first),
)


def rewrite(model: Any, rewriting: Rewriting, *, together: bool = True) -> dict[Rewriting, int]:
    """Rewrites a ModelProto of MindSpore's mind_ir.proto in place. Returns in how many places, by kind of rule.

    Branches are decided whatever is asked for. Where that does not do, the graphs that are called stay, with what
    they use, and the one that calls them is rewritten. together: the open first sizes of all inputs are the same.
    """
    if model.functions:
        write_assignments_out(model)
        if not decide_branches(model, together=together) and not calls_may_stay(model):
            return {}
    if rewriting == AS_IT_IS:
        return {}
    if Rewriting.KERNELS in rewriting and may_be_straight(model):
        attempt = type(model)()
        attempt.CopyFrom(model)
        places = _rewrite(attempt, rewriting, is_straight=True)
        if straight_graph(attempt) is not None:
            model.CopyFrom(attempt)
            places[Rewriting.KERNELS] = max(places[Rewriting.KERNELS], 1)  # its calls are, if nothing else is
            return places
    return _rewrite(model, rewriting)


def _rewrite(model: Any, rewriting: Rewriting, *, is_straight: bool = False) -> dict[Rewriting, int]:
    """is_straight: whatever an operator of kernels/ can do it does, for MindSpore is not to call them: straight.py."""
    places = dict.fromkeys(Rewriting, 0)
    if Rewriting.FASTER in rewriting:
        places[Rewriting.FASTER] = compute_in_single(model)
    elif Rewriting.RUNNABLE in rewriting and lacks_kernels(model):
        places[Rewriting.RUNNABLE] = compute_in_single(model)
    graph = GraphFile(model, is_straight=is_straight)
    graph.changed = changed_parameters(graph)
    if Rewriting.RUNNABLE in rewriting:
        places[Rewriting.RUNNABLE] += spell_missing(graph) + write_views_apart(graph)
    if not rewriting & ~Rewriting.RUNNABLE:
        graph.save()
        return places
    if Rewriting.FASTER in rewriting:
        places[Rewriting.FASTER] += write_apart(graph) + spell_slow(graph)
    tell_shapes(graph)
    _apply(_OF_WHOLE_GRAPHS, graph, rewriting, places)
    shared = unshare(graph)
    _apply(_OF_LAYERS, graph, rewriting, places)
    share_again(graph, shared)
    chains = chain_steps(graph, is_straight)
    if is_straight:
        places[Rewriting.KERNELS] += chains
    graph.save()
    return places


def _apply(rules: _Rules, graph: GraphFile, rewriting: Rewriting, places: dict[Rewriting, int]) -> None:
    for kind, rule in rules:
        if kind in rewriting:
            places[kind] += rule(graph)
