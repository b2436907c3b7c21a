"""The RESTful door, whatever is sent to it: an answer that is JSON, never a hang, never a status of a fault."""

import math
from typing import Any

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.master.rest_client import RestClient

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["instances", "x", "b64", "type", "shape", "other"]), inner, max_size=4)
    ),
    max_leaves=20,
)
many = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


@many
@given(JSON)
def test_any_json_gets_an_answer_that_is_json(rest: RestClient, document: Any) -> None:
    assert set(rest.ask(document)) in ({"error_msg"}, {"instances"})


@many
@given(JSON)
@example({"b64": "****"})
def test_any_json_as_an_input_gets_an_answer_that_is_json(rest: RestClient, value: Any) -> None:
    assert set(rest.ask({"instances": [{"x": value}]})) in ({"error_msg"}, {"instances"})


def test_deep_nesting_beside_a_huge_number_gets_an_answer_that_is_json(rest: RestClient) -> None:
    # A huge number makes the body be read again, by the standard library, whose stack is another one.
    deep = b'{"instances": {"x": 1e30}, "more": ' + b"[" * 1010 + b"]" * 1010 + b"}"
    assert set(rest.ask(deep)) in ({"error_msg"}, {"instances"})


@many
@given(st.binary(min_size=1, max_size=100))
def test_any_bytes_get_an_answer_that_is_json(rest: RestClient, body: bytes) -> None:
    assert set(rest.ask(body)) == {"error_msg"}


@many
@given(st.data())
def test_an_array_of_any_shape_comes_back_as_it_went(rest: RestClient, data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 4), max_size=5))
    element = data.draw(
        st.sampled_from(
            [
                st.integers(-(2**31), 2**31 - 1),
                st.booleans(),
                st.floats(width=32, allow_nan=False, allow_infinity=False),
            ]
        )
    )
    count = math.prod(shape)
    flat = data.draw(st.lists(element, min_size=count, max_size=count))
    value = np.array(flat, object).reshape(shape).tolist()
    assert np.array_equal(np.float64(rest.echoed(value)).astype(np.float32), np.float64(value).astype(np.float32))
