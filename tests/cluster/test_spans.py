"""Columns and spans: however requests are cut, joined and answered, each instance keeps its place and its value."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindspore_serving.cluster.batcher import MAX_BATCH_BYTES, MethodQueue, Request, Span, count_instances, split
from mindspore_serving.cluster.errors import Code, Failure
from mindspore_serving.cluster.messages import MethodSpec
from mindspore_serving.cluster.registry import Route
from mindspore_serving.cluster.results import Collected, Results
from mindspore_serving.cluster.tensors import (
    Column,
    Pieces,
    Stacked,
    Tensor,
    Value,
    column_length,
    cut_column,
    from_column,
    join_columns,
    to_column,
)

many = settings(max_examples=200)
ROUTE = Route("s", 1)
FAILURE = Failure(Code.FAILED, "no")
TENSORS = st.builds(lambda data: Tensor("|u1", (len(data),), data), st.sampled_from([b"a", b"b", b"cd", b""]))
VALUES = st.lists(TENSORS, min_size=1, max_size=6) | st.lists(st.sampled_from(["x", "y", b"z"]), min_size=1, max_size=6)


def rows(column: Column) -> list[Value]:
    return [v._replace(data=bytes(v.data)) if isinstance(v, Tensor) else v for v in from_column(column)]


@many
@given(VALUES, st.data())
def test_columns_are_cut_and_joined_without_loss(values: list[Value], data: st.DataObject) -> None:
    column = to_column(values)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(values)), max_size=3)) | {0, len(values)})
    parts = [cut_column(column, start, stop) for start, stop in itertools.pairwise(cuts)]
    assert [value for part in parts for value in rows(part)] == values
    joined = join_columns(parts)
    assert rows(joined) == values
    assert isinstance(joined, Stacked) == isinstance(column, Stacked)
    assert column_length(joined) == len(values)


@pytest.mark.parametrize("count, size, gathered", [(3, 10, False), (2000, 100, False), (3, 30_000, True)])
def test_only_few_and_large_parts_are_left_apart(count: int, size: int, gathered: bool) -> None:
    parts = [Stacked("|u1", (1, size), bytes([number % 251]) * size) for number in range(count)]
    joined = join_columns(parts)
    assert isinstance(joined, Stacked) and isinstance(joined.frame, Pieces) == gathered
    assert joined.data == b"".join(bytes(part.data) for part in parts)
    assert joined.frame == joined.data  # joined once


def a_request(number: int, count: int, size: int = 1, batch_size: int = 4) -> Request:
    columns = (Stacked("|u1", (count, size), bytes(count * size)),)
    method = MethodSpec("m", ("x",), ("y",), batch_size)
    return Request(number, 0, ROUTE, method, count, columns, 1e9, 0, 0.0)


@many
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 5), st.data())
def test_a_queue_gives_every_instance_once_and_in_order(
    counts: list[int], batch_size: int, data: st.DataObject
) -> None:
    queue = MethodQueue(MethodSpec("m", ("x",), ("y",), batch_size))
    requests = [a_request(number, count, batch_size=batch_size) for number, count in enumerate(counts)]
    for request in requests:
        queue.append(request)
    taken: list[tuple[int, int]] = []
    while batch := queue.take():
        assert 0 < count_instances(batch) <= batch_size
        if data.draw(st.booleans()):  # lost, or found to be late: some of it comes back
            batch, rest = split(batch, data.draw(st.integers(1, count_instances(batch))))
            queue.put_back(rest)
        taken += [(span.request.id, index) for span in batch for index in range(span.start, span.stop)]
        assert queue.waiting == sum(counts) - len(taken) == sum(request.queued for request in requests)
    assert taken == [(number, index) for number, count in enumerate(counts) for index in range(count)]


def bounds(spans: Sequence[Span]) -> list[tuple[Request, int, int]]:
    return [(span.request, span.start, span.stop) for span in spans]


def test_suspects_come_back_apart_and_first() -> None:
    queue = MethodQueue(MethodSpec("m", ("x",), ("y",), 4))
    lost, later = a_request(1, 4), a_request(2, 2)
    queue.append(lost)
    queue.append(later)
    (span,) = queue.take()
    for index in (1, 2):
        lost.count_loss(index, "w", 1.0)
    queue.put_back([span])
    assert [bounds(queue.take()), bounds(queue.take())] == [[(lost, 1, 2)], [(lost, 2, 3)]]
    assert bounds(queue.take()) == [(lost, 0, 1), (lost, 3, 4), (later, 0, 2)]


def test_a_batch_stops_growing_at_its_bytes_but_takes_one_instance_at_least() -> None:
    size = MAX_BATCH_BYTES // 3 + 1
    queue = MethodQueue(MethodSpec("m", ("x",), ("y",), 10))
    queue.append(a_request(1, 3, size))
    queue.append(a_request(2, 1, 2 * MAX_BATCH_BYTES))
    assert [count_instances(queue.take()) for _ in range(4)] == [2, 1, 1, 0]
    ragged = a_request(3, 3)
    ragged.columns = ((Tensor("|u1", (size,), bytes(size)), b"x", Tensor("|u1", (3 * size,), bytes(3 * size))),)
    queue.append(ragged)
    assert [count_instances(queue.take()) for _ in range(3)] == [2, 1, 0]


def test_an_empty_instance_behind_one_that_is_larger_than_a_batch_waits_for_the_next() -> None:
    queue = MethodQueue(MethodSpec("m", ("x",), ("y",), 10))
    queue.append(a_request(1, 1, MAX_BATCH_BYTES + 1))
    queue.append(a_request(2, 1, 0))
    assert [count_instances(queue.take()) for _ in range(3)] == [1, 1, 0]
    assert queue.waiting == 0


@many
@given(st.integers(1, 8), st.data())
def test_results_are_put_together_in_order_however_they_come(count: int, data: st.DataObject) -> None:
    collected = Collected(count)
    failed = data.draw(st.sets(st.integers(0, count - 1)))
    order = data.draw(st.permutations(range(count)))
    for index in order:
        if index in failed:
            collected.fail(index, FAILURE)
        else:
            collected.succeed(index, 1, (Stacked("|u1", (1,), bytes([index])),))
    assert not collected.missing
    results = collected.all(count)
    wanted = [FAILURE if index in failed else (Tensor("|u1", (), bytes([index])),) for index in range(count)]
    found = [r if isinstance(r, Failure) else tuple(rows((r[0],))) for r in results.each()]
    assert found == wanted
    assert (results.collapsed() == FAILURE) == (len(failed) == count)


def test_a_method_without_outputs_has_a_result_for_each_instance() -> None:
    assert Results(3, (), {1: FAILURE}).each() == [(), FAILURE, ()]
