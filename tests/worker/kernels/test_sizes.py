"""Which sizes belong together, which may be open, and calls at once."""

import ctypes
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from mindspore_serving.worker.rewrites.elements import ACTIVATIONS, COMBINATIONS
from tests.worker.kernel_calls import UNRANKED, Shape, Vector, call, described, inferred_shape, library, program
from tests.worker.kernels.test_places import ALL, GOES
from tests.worker.kernels.windows import SAME, check_convolution

SEEN = SAME.told((6, 7))
LAYER: list[Shape] = [(2, 3, 64), (2, 64), (2, 20, 64)]  # of an LSTM, or a GRU, of 3 numbers and 20 units
# Of each operator inputs whose sizes do not belong together, and what it is told.
MISFITS: dict[str, tuple[str, list[Shape], list[int]]] = {
    "depth": ("dense", [(2, 9), (1, 7, 16), (16,)], [5, 0]),
    "three axes": ("dense", [(2, 2, 9), (1, 2, 16), (16,)], [5, 0]),
    "a wider panel": ("dense", [(2, 9), (1, 9, 64), (64,)], [5, 0]),
    "fewer panels": ("dense", [(2, 9), (1, 9, 64), (64,)], [70, 0]),
    "bias of fewer panels": ("dense", [(2, 9), (2, 9, 64), (64,)], [70, 0]),
    "depth of pairs": ("products", [(1, 2, 9), (1, 3, 5)], [0]),
    "depth of turned pairs": ("products", [(1, 2, 9), (1, 5, 3)], [1]),
    "pairs": ("products", [(4, 2, 3), (2, 3, 5)], [0]),
    "one matrix": ("products", [(3,), (3,)], [0]),
    "axes of pairs": ("products", [(1, 1, 2, 3), (1, 3, 5)], [0]),
    "no sequence": ("recurrence", [(2, 3), *LAYER], [0, 20, 0, 0]),
    "numbers of a moment": ("recurrence", [(4, 2, 4), *LAYER], [0, 20, 0, 0]),
    "units": ("recurrence", [(4, 2, 3), *LAYER], [0, 33, 0, 0]),
    "units of the moment before": ("recurrence", [(4, 2, 3), *LAYER], [0, 21, 0, 0]),
    "gates": ("recurrence", [(4, 2, 3), LAYER[0], (1, 64), LAYER[2]], [0, 20, 0, 0]),
    "no cell": ("recurrence", [(4, 2, 3), *LAYER], [4, 20, 0, 0]),
    "gates of another cell": ("recurrence", [(4, 2, 3), *LAYER], [2, 20, 0, 0]),
    "what it does not keep": ("recurrence", [(4, 2, 3), *LAYER], [1, 20, 0, 1]),
    "first y alone": ("recurrence", [(4, 2, 3), *LAYER, (1, 2, 20)], [0, 20, 0, 0]),
    "two first ones": ("recurrence", [(4, 2, 3), *LAYER, (2, 20), (2, 20)], [1, 20, 0, 0]),
    "first units": ("recurrence", [(4, 2, 3), *LAYER, (1, 2, 20), (1, 2, 21)], [0, 20, 0, 0]),
    "first rows": ("recurrence", [(4, 2, 3), *LAYER, (1, 3, 20), (1, 2, 20)], [0, 20, 0, 0]),
    "first ones of two": ("recurrence", [(4, 2, 3), *LAYER, (2, 1, 20)], [1, 20, 0, 0]),
    "channels": ("convolution", [(1, 4, 6, 7), (1, 2, 27, 8), (1, 16)], [*SEEN, 11, 1, 0]),
    "each channel": ("convolution", [(1, 4, 6, 7), (5, 9), (5,)], [*SEEN, 5, 5, 0]),
    "no image": ("convolution", [(4, 6, 7), (4, 9), (4,)], [*SEEN, 4, 4, 0]),
    "image": ("pooling", [(1, 4, 3, 7)], SEEN),
    "three axes of an image": ("pooling", [(4, 6, 7)], SEEN),
    "scale": ("layer_norm", [(3, 9), (8,), (9,)], [0]),
    "shift": ("layer_norm", [(3, 9), (9,), (8,)], [0]),
    "groups of unlike size": ("group_norm", [(3, 9, 5), (9,), (9,)], [2, 0, 0]),
    "no groups": ("group_norm", [(3, 9, 5), (9,), (9,)], [0, 0, 0]),
    "no channels": ("group_norm", [(9,), (9,), (9,)], [3, 0, 0]),
    "scale of channels": ("group_norm", [(3, 9, 5), (5,), (9,)], [3, 0, 0]),
    "no row": ("softmax", [()], [0]),
    "an axis that a softmax has not": ("softmax", [(2, 3)], [2]),
    "no activation": ("activation", [(3,)], [len(ACTIVATIONS)]),
    "turned": ("combination", [(2, 3), (3, 2)], [0, 0]),
    "no combination": ("combination", [(2,), (2,)], [len(COMBINATIONS), 0]),
    "no axes": ("reduction", [(2, 3)], [1, 1, 0, 0]),
    "nothing that is known of axes": ("reduction", [(2, 3)], [1, 2, 0, 4]),
    "axes behind": ("reduction", [(2, 3)], [1, 3, 0, 0]),
    "axes of three": ("transposition", [(2, 3, 4)], [1, 0]),
    "an axis that is not there": ("transposition", [(2, 3, 4)], [0, 1, 3]),
    "an axis twice": ("transposition", [(2, 3, 4)], [0, 1, 1]),
    "a part behind": ("part", [(2, 3)], [*ALL, 2, 2, 1, 0]),
    "a part far behind": ("part", [(2, 3)], [*ALL, 0, 2, 3, 0]),
    "parts of fewer axes": ("part", [(2, 3)], [*ALL]),
    "an axis goes that has two places": ("part", [(2, 3)], [*ALL, 0, 2, 1, GOES]),
    "two places repeated": ("repetition", [(2, 3)], [1, 2]),
    "repeated along fewer axes": ("repetition", [(1, 1)], [2]),
    "behind another size": ("concatenation", [(2, 3), (2, 4)], [0]),
    "behind another number of axes": ("concatenation", [(2, 3), (2, 3, 1)], [0]),
    "paddings of fewer axes": ("padding", [(2, 3)], [0, 1, 1]),
    "a number for a table": ("lookup", [(), (3,)], []),
    "rows of too many axes": ("lookup", [(2, 1, 1, 1, 1), (2, 1, 1, 1, 1)], []),
    "behind along no axis": ("concatenation", [(2, 3), (2, 3)], [2]),
}


@pytest.mark.parametrize("name", MISFITS)
def test_sizes_that_do_not_belong_together_are_refused(name: str) -> None:
    operator, shapes, told = MISFITS[name]
    assert inferred_shape([program(operator, len(shapes), told), *shapes]) is None


def test_another_shape_of_what_is_made_than_the_caller_has_room_for_is_refused() -> None:
    shapes, room = [program("softmax", 1, [1]), (2, 3)], np.zeros(9, np.float32)
    values = (ctypes.c_void_p * 3)(None, room.ctypes.data, room.ctypes.data)
    for made, result in (((2, 3), 0), ((3, 2), -1), ((6,), -1)):
        assert library().chain(3, values, *described([*shapes, made]), None, None, None) == result


# Of each operator the shapes of its inputs, what it is told, and what it makes, for an open number of instances.
OPEN: dict[str, tuple[list[Shape], list[int], Shape]] = {
    "convolution": ([(-1, 3, 6, 7), (1, 2, 27, 8), (1, 16)], [*SEEN, 11, 1, 0], (-1, 11, 6, 7)),
    "pooling": ([(-1, 3, 6, 7)], SEEN, (-1, 3, 6, 7)),
    "dense": ([(-1, 5), (2, 5, 64), (128,)], [70, 1], (-1, 70)),
    "lookup": ([(50, 16, 2), (-1, 7)], [], (-1, 7, 16, 2)),
    "products": ([(-1, 2, 3, 5), (-1, 2, 5, 70)], [0], (-1, 2, 3, 70)),
    "recurrence": ([(4, -1, 3), *LAYER], [0, 20, 0, 1], (5, -1, 20)),
    "layer_norm": ([(-1, 3, 9), (9,), (9,)], [0], (-1, 3, 9)),
    "group_norm": ([(-1, 6, 9), (6,), (6,)], [3, 0, 1], (-1, 6, 9)),
    "softmax": ([(-1, 3, 9)], [1], (-1, 3, 9)),
    "activation": ([(-1, 3, 9)], [6], (-1, 3, 9)),
    "combination": ([(-1, 3, 9), (-1, 3, 9)], [0, 1], (-1, 3, 9)),
    "reduction": ([(-1, 3, 9)], [1, 2, 0, 1], (-1, 9)),
    "transposition": ([(-1, 3, 4, 5)], [2, 0, 1, 3], (4, -1, 3, 5)),
    "part": ([(-1, 3, 9)], [*ALL, 1, 1, 1, GOES, 0, 5, 2, 0], (-1, 5)),
    "repetition": ([(-1, 1, 9)], [1, 4, 1], (-1, 4, 9)),
    "concatenation": ([(-1, 3, 9), (-1, 4, 9)], [1], (-1, 7, 9)),
    "padding": ([(-1, 3, 9)], [0, 0, 0, 1, 2, 0, 4], (-1, 6, 13)),
}


@pytest.mark.parametrize("name", OPEN)
def test_an_open_number_of_instances_stays_open_and_none_give_an_empty_result(name: str) -> None:
    shapes, told, made = OPEN[name]
    assert inferred_shape([program(name, len(shapes), told), *shapes]) == made
    inputs = [np.ones([max(size, 0) for size in shape], np.float32) for shape in shapes]
    assert call(name, inputs, told, tuple(max(size, 0) for size in made)).size == 0


@pytest.mark.parametrize("name", OPEN)
def test_no_size_need_be_known(name: str) -> None:
    """As long as a graph is compiled, a file may say nothing of them."""
    shapes, told, made = OPEN[name]
    fixed = shapes[1:] if name not in ("products", "combination", "concatenation") else []
    inputs = [tuple(-1 for _ in shape) for shape in shapes[: len(shapes) - len(fixed)]]
    found = inferred_shape([program(name, len(shapes), told), *inputs, *fixed])
    assert found is not None and len(found) == len(made)
    assert all(size in (-1, known) for size, known in zip(found, made, strict=True))


def test_nothing_is_known_behind_an_input_of_which_nothing_is_known() -> None:
    for shapes in ([UNRANKED, (3,)], [(3,), UNRANKED]):
        assert inferred_shape([program("combination", 2, [0, 0]), *shapes]) is None


@pytest.mark.parametrize(
    ("one", "other", "made"),
    [((-1, 3), (3,), (-1, 3)), ((-1, 3), (1, 3), (-1, 3)), ((7, 3), (-1, 3), (7, 3)), ((-1, 3), (-1, 1), (-1, 3))],
)
def test_open_sizes_of_combinations(one: Shape, other: Shape, made: Shape) -> None:
    for shapes in ([one, other], [other, one]):
        assert inferred_shape([program("combination", 2, [0, 0]), *shapes]) == made


def test_the_type_is_that_of_the_program() -> None:
    types = (ctypes.c_int * 3)(43, 44, 45)
    begin = ctypes.addressof(types)
    end = begin + ctypes.sizeof(types)
    assert library().chainInferType(ctypes.byref(Vector(begin, end, end)), None) == 43


def test_threads_that_call_at_once_get_their_own_numbers() -> None:
    together = Barrier(2)

    def calls(outs: int) -> None:
        together.wait(60)
        for _ in range(20):
            check_convolution(2, 1, (16, outs), (SAME, (40, 41)), clamp=0, with_nan=False)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(calls, (9, 17)))
