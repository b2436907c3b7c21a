"""Bodies of the RESTful contract over a real socket: what values become, and the text of every refusal."""

import json
import math
from base64 import b64encode
from typing import Any

import numpy as np
import pytest

from tests.master.rest_client import RestClient

PARSER = "Parser request failed, "
CHECK = "Instances input x check failed, detail: "


def encoded(raw: bytes, **more: Any) -> dict[str, Any]:
    return {"b64": b64encode(raw).decode(), **more}


# --- values


@pytest.mark.parametrize(
    "value",
    [
        *(1, -(2**31), 2**31 - 1, 1.5, 1e30, True, "a ü \u0000 \U0001f600", ""),
        *([1], [[1, 2], [3, 4]], [[1.5, 2.0]], [[[True], [False]]], [[0.1]]),
        *(encoded(b"\0\xff"), encoded(b"")),
    ],
)
def test_a_value_comes_back_as_it_went(rest: RestClient, value: Any) -> None:
    echoed = rest.echoed(value)
    assert type(echoed) is type(value)
    if isinstance(value, float):  # float32 on the way
        assert np.float32(echoed) == np.float32(value)
    else:
        assert echoed == value


@pytest.mark.parametrize(
    "value, echoed",
    [
        (["a"], "a"),
        ([encoded(b"a", type="str")], "a"),
        ([encoded(b"a")], encoded(b"a")),
        (encoded(b"a", type="str", shape=[1]), "a"),
        (encoded(b"a", type="bytes", shape=[]), encoded(b"a")),
        (encoded(b"\1\0\0\0", type="int32"), 1),
        (encoded(b"\1\0\0\0", type="int32", shape=[1]), [1]),
        (encoded(b"", type="int32", shape=[2, 0]), [[], []]),
        (encoded(b"", type="bool", shape=[0]), []),
        ({"b64": "AQABAAIAAwADAAQA", "type": "int16", "shape": [3, 2]}, [[1, 1], [2, 3], [3, 4]]),
        (encoded(np.array([1.5, math.nan, math.inf, -math.inf], "<f4").tobytes(), type="fp32", shape=[4]),
         [1.5, None, None, None]),
        (1e300, None),
        (encoded(np.array(math.nan).tobytes(), type="fp64"), None),
    ],
)  # fmt: skip
def test_some_values_come_back_in_another_form(rest: RestClient, value: Any, echoed: Any) -> None:
    assert rest.echoed(value) == echoed


@pytest.mark.parametrize("names", [
    *(("|b1", "bool"), ("|i1", "int8"), ("<i2", "int16"), ("<i4", "int32"), ("<i8", "int64")),
    *(("|u1", "uint8"), ("<u2", "uint16"), ("<u4", "uint32"), ("<u8", "uint64")),
    *(("<f2", "fp16", "float16"), ("<f4", "fp32", "float32"), ("<f8", "fp64", "float64")),
])  # fmt: skip
def test_every_number_type_has_a_name(rest: RestClient, names: tuple[str, ...]) -> None:
    dtype, *words = names
    array = np.array([[0, 1], [1, 1]], dtype)
    for word in words:
        assert rest.echoed(encoded(array.tobytes(), type=word, shape=[2, 2])) == array.tolist()


def test_several_instances_are_answered_in_order_and_one_object_with_an_array(rest: RestClient) -> None:
    assert rest.ask({"instances": [{"x": 3}, {"x": 1, "unknown": 5}], "more": 1}) == {"instances": [{"y": 3}, {"y": 1}]}
    assert rest.ask({"instances": {"x": 3}}) == {"instances": [{"y": 3}]}
    assert rest.ask(b'{"instances": 5, "instances": {"x": 4, "x": 3}}') == {"instances": [{"y": 3}]}


def test_a_byte_order_mark_before_a_body_is_no_part_of_it(rest: RestClient) -> None:
    """Windows' editors and shells write one into a file, which curl then sends."""
    assert rest.ask(b'\xef\xbb\xbf{"instances": {"x": 3}}') == {"instances": [{"y": 3}]}
    assert rest.error(b"\xef\xbb\xbf").startswith("Illegal JSON format.")


# --- refusals


@pytest.mark.parametrize(
    "body, text",
    [
        (b"", "http message invalid"),
        (b'{"instances": [{"x": 1}], "ignored": "' + bytes(1 << 20) + b'"}', "http message is bigger than 1048576"),
        ([1], PARSER + "key 'instances' expects to exist once, but actually 0 times"),
        (5, PARSER + "key 'instances' expects to exist once, but actually 0 times"),
        ({"instance": 1}, PARSER + "key 'instances' expects to exist once, but actually 0 times"),
        ({"instances": 1}, PARSER + "instances no key mode is not supported"),
        ({"instances": None}, PARSER + "instances no key mode is not supported"),
        ({"instances": [1, {}]}, PARSER + "instances no key mode is not supported"),
        ({"instances": [[{"x": 1}]]}, PARSER + "instances no key mode is not supported"),
        ({"instances": []}, PARSER + "instances value is array type, but no value"),
        ({"instances": {}}, PARSER + "json object, value is empty"),
        ({"instances": [{"x": 1}, 1]}, PARSER + "json array, instance is not object type"),
        ({"instances": [{"x": 1}, {}]}, PARSER + "json array, instance is object type, but no value"),
        ({"instances": {"z": 1}}, "Cannot find input x in instance input , servable add, method echo"),
    ],
)
def test_a_body_of_another_form_is_refused(rest: RestClient, body: Any, text: str) -> None:
    assert rest.error(body) == text


@pytest.mark.parametrize("body", [
    *(b"{", b"nonsense", b"\xff", b'{"instances": {"x": NaN}}', b'{"instances": {"x": 1e400}}', b"[" * 100_000),
    b'{"instances": {"x": "\\ud800"}}',
])  # fmt: skip
def test_what_is_not_json_is_refused(rest: RestClient, body: bytes) -> None:
    error = rest.error(body)
    assert error.startswith("Illegal JSON format.[json.exception.parse_error.101] ")
    assert "\n" not in error


OUT_OF_RANGE = "is out of the range of int32 [-2147483648,2147483647]: send it as an object with 'b64' and 'type'"


@pytest.mark.parametrize(
    "value, text",
    [
        (None, "json value is null, it is not supported"),
        *((n, f"json integer {n} {OUT_OF_RANGE}") for n in (2**31, -(2**31) - 1, 2**40, 2**63, 2**64, 10**300)),
        ([[-(2**64)], [2**63 + 2**64]], f"json integer {2**63 + 2**64} {OUT_OF_RANGE}"),
        ([1, 2**31], f"json integer {2**31} {OUT_OF_RANGE}"),
        ([1, 1.1], "json array, elements type is not equal"),
        ([1.5, 2**64], "json array, elements type is not equal"),
        ([1, True], "json array, elements type is not equal"),
        ([1, "a"], "json array, elements type is not equal"),
        ([[1, 2], [3]], "invalid json array: json size is 1, the dim 1 expected to be 2"),
        ([[1], []], "invalid json array: json size is 0, the dim 1 expected to be 1"),
        ([[1], 2], "invalid json array: json type is not array"),
        ([1, [2]], "json array, data should be number, bool, string or bytes"),
        ([1, None], "json array, data should be number, bool, string or bytes"),
        ([1, {"b64": ""}], "json array, data should be number, bool, string or bytes"),
        ([], "json array, shape is empty"),
        ([[]], "json array, data type is unknown"),
        ([[], [1]], "json array, data type is unknown"),
        ([None], "json array, data type is unknown"),
        (["a", "b"], "json array, string or bytes type only support one item"),
        (["a", 1], "json array, string or bytes type only support one item"),
        (["a", ["a"]], "json array, string or bytes type only support one item"),
        ([encoded(b"a"), encoded(b"b")], "json array, string or bytes type only support one item"),
        (
            [encoded(b"a", type="int8")],
            "json array, item is object type, object only support string or bytes type",
        ),
        (json.loads("[" * 32 + "1" + "]" * 32), "json array, it has more than 31 dimensions"),
    ],
)
def test_a_value_that_cannot_be_a_tensor_is_refused(rest: RestClient, value: Any, text: str) -> None:
    assert rest.error({"instances": {"x": value}}) == PARSER + text


SHAPE = "json object, key is 'shape', "


@pytest.mark.parametrize(
    "value, text",
    [
        ({}, "json object, value is empty"),
        ({"type": "int8"}, "json object, 'b64' should be specified only one time"),
        (encoded(b"", dtype="int8"), "json object, key is not ['b64', 'type', 'shape'], fail key:dtype"),
        (
            encoded(b"", type="int8", shape=[0], more=1),
            "json object, items size is more than 3, only support specified ['b64', 'type', 'shape']",
        ),
        (encoded(b"", type="x"), "json object, specified type:'x' is illegal"),
        (encoded(b"", type=1), "json object, key is 'type', value should be string type"),
        (encoded(b"", shape=1), SHAPE + "value should be array type"),
        *(
            (encoded(b"", type="int8", shape=[wrong]), SHAPE + "array value should be unsigned integer")
            for wrong in (-1, 1.5, True, "1", None, [1])
        ),
        (encoded(b"", type="int8", shape=[0, 2]), SHAPE + "invalid shape value [0,2]"),
        (encoded(b"", type="int8", shape=[2**62, 0]), SHAPE + f"invalid shape value [{2**62},0]"),
        *(
            (
                encoded(b"", type=kind, shape=[1, 1]),
                "json object, only support scalar when data type is string or bytes, please check 'type' or 'shape'",
            )
            for kind in ("str", "bytes")
        ),
        (
            encoded(b"123", type="int32"),
            "size is not matched, decode base64 size:3; Given info: type:int32; type size:4; element nums:1",
        ),
        (
            encoded(b"123", type="fp16", shape=[2, 3]),
            "size is not matched, decode base64 size:3; Given info: type:float16; type size:2; element nums:6",
        ),
        *(
            ({"b64": wrong}, f"'{wrong}' is illegal b64 encode string")
            for wrong in ("abc", "****", "AA=A", "A===", "AAA\n", "ÄÄÄÄ", "AA==AA==")
        ),
        ({"b64": 1}, "get scalar data failed, type is string, but json is not string type"),
    ],
)
def test_a_wrong_encoded_tensor_is_refused(rest: RestClient, value: Any, text: str) -> None:
    assert rest.error({"instances": {"x": value}}) == PARSER + text


def test_texts_with_a_shape_or_without_utf8_are_refused(rest: RestClient) -> None:
    text = "Instance tensor check failed: "
    shaped = "bytes or string type input  shape can only be (1,) or empty, but given shape is [1, 1]"
    assert rest.error({"instances": {"x": [["a"]]}}) == CHECK + text + shaped
    assert rest.error({"instances": {"x": [[encoded(b"a")]]}}) == CHECK + text + shaped
    assert rest.error({"instances": {"x": encoded(b"a\xff", type="str")}}) == (
        CHECK + text + "string is not UTF-8 at byte 1"
    )
