"""The pure parts of `bench`: latencies, moments, inputs, requests and replies, h2load's findings."""

import itertools
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindspore_serving.bench.h2load import framed, read_findings
from mindspore_serving.bench.histogram import Histogram
from mindspore_serving.bench.input_spec import parse_input_spec
from mindspore_serving.bench.inputs import random_instance, read_values
from mindspore_serving.bench.payload import Expected, deal, decode
from mindspore_serving.bench.report import Findings
from mindspore_serving.bench.schedule import fixed, poisson
from mindspore_serving.bench.tally import OTHER, Tally
from mindspore_serving.client.wire_values import request_bytes
from mindspore_serving.cluster.errors import SetupError
from mindspore_serving.proto import ms_service_pb2 as pb


@given(st.lists(st.floats(1e-6, 1e3), min_size=1), st.sampled_from((50.0, 90.0, 99.0, 100.0)))
def test_a_percentile_is_at_most_one_percent_above_the_exact_one(latencies: list[float], percent: float) -> None:
    histogram = Histogram()
    for latency in latencies:
        histogram.add(latency)
    exact = float(np.percentile(latencies, percent, method="inverted_cdf"))
    assert exact * (1 - 1e-9) <= histogram.percentile(percent) <= exact * 1.0101


@given(st.lists(st.floats(0, 1e3)), st.lists(st.floats(0, 1e3)))
def test_histograms_of_parts_add_up_to_that_of_the_whole(left: list[float], right: list[float]) -> None:
    whole, parts, merged = Histogram(), [Histogram(), Histogram()], Histogram()
    for part, latencies in zip(parts, (left, right), strict=True):
        for latency in latencies:
            whole.add(latency)
            part.add(latency)
    merged.merge(parts)
    assert (merged.buckets, merged.count, merged.max_seconds) == (whole.buckets, whole.count, whole.max_seconds)
    assert merged.mean_seconds == pytest.approx(whole.mean_seconds)


def test_an_empty_histogram_says_zero() -> None:
    assert (Histogram().percentile(99), Histogram().mean_seconds) == (0.0, 0.0)


def test_fixed_arrivals_of_all_shares_are_evenly_apart() -> None:
    moments = sorted(moment for share in range(3) for moment in itertools.islice(fixed(100.0, share, 3), 10))
    assert moments == pytest.approx([number / 100 for number in range(30)])


def test_poisson_arrivals_have_the_rate_and_the_spread_of_poisson() -> None:
    moments = list(itertools.islice(poisson(200.0, 2, random.Random(1)), 20_000))
    gaps = np.diff(moments)
    assert gaps.mean() == pytest.approx(1 / 100, rel=0.03)  # half of the rate: one of two shares
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert list(itertools.islice(poisson(200.0, 2, random.Random(1)), 5)) == moments[:5]


@pytest.mark.parametrize(
    "text, reason",
    [
        ("x1", "is not NAME=DTYPE[SHAPE]"),
        ("x1=float32(2,2)", "is not NAME=DTYPE[SHAPE]"),
        ("x1=float32[2,,2]", "the shape [2,,2] is not numbers"),
        ("x1=real[2]", "the type 'real' is not one of"),
        ("x1=bytes[2,2]", "bytes has a length"),
        ("x1=float32[1000000000,4]", "has more than 512 MB"),
    ],
)
def test_a_wrong_input_spec_is_refused_by_name(text: str, reason: str) -> None:
    with pytest.raises(SetupError) as refused:
        parse_input_spec(text)
    assert text in str(refused.value) and reason in str(refused.value)


def test_random_inputs_have_the_types_and_shapes_asked_for_and_repeat_with_the_seed() -> None:
    texts = ("f=float16[2,3]", "i=int64[]", "b=bool[4]", "raw=bytes[5]", "text=str[6]")
    specs = tuple(map(parse_input_spec, texts))
    values = random_instance(specs, np.random.default_rng(1))
    assert (values["f"].dtype, values["f"].shape) == (np.float16, (2, 3))
    assert (values["i"].dtype, values["i"].shape, values["b"].dtype) == (np.int64, (), np.bool_)
    assert (type(values["raw"]), len(values["raw"]), type(values["text"]), len(values["text"])) == (bytes, 5, str, 6)
    again = random_instance(specs, np.random.default_rng(1))
    assert request_bytes("s", "m", 0, [values]) == request_bytes("s", "m", 0, [again])


def test_inputs_of_files_are_read_with_their_types(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", x=np.ones((2, 2), np.float64))
    (tmp_path / "two.json").write_text('[{"x": [[1, 2]], "t": "a"}, {"x": 1.5, "t": "b"}]')
    (one,) = read_values(tmp_path / "one.npz", "--inputs")
    assert one["x"].dtype == np.float64
    first, second = read_values(tmp_path / "two.json", "--inputs")
    assert (first["x"].dtype, first["x"].shape, first["t"]) == (np.int32, (1, 2), "a")
    assert (second["x"].dtype, second["x"].shape, second["t"]) == (np.float32, (), "b")


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("no.json", None, "cannot be read: No such file"),
        ("x.txt", "1", "should be a .npz or a .json file"),
        ("x.npz", "not a zip", "cannot be read"),
        ("x.npz", "", "cannot be read"),
        ("x.json", "[" * 100_000, "cannot be read"),
        ("x.json", "{", "cannot be read"),
        ("x.json", "[]", "should have an object"),
        ("x.json", '{"x": [[1], [1, 2]]}', "x: its lists are not equally long"),
        ("x.json", '{"x": [5000000000]}', "x: a whole number of it does not fit into int32"),
        ("x.json", '{"x": [null]}', "x: the type object cannot be sent"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, name: str, content: str | None, reason: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(SetupError) as refused:
        read_values(tmp_path / name, "--inputs")
    assert f"--inputs {tmp_path / name}" in str(refused.value) and reason in str(refused.value)


def test_an_array_that_was_saved_alone_has_no_name(tmp_path: Path) -> None:
    with (tmp_path / "x.npz").open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(SetupError, match="has an array without a name"):
        read_values(tmp_path / "x.npz", "--inputs")


def test_instances_are_dealt_until_they_come_round() -> None:
    values = [{"x": number} for number in range(4)]
    dealt = [[value["x"] for value in request] for request in deal(values, 6)]
    assert dealt == [[0, 1, 2, 3, 0, 1], [2, 3, 0, 1, 2, 3]]
    assert deal(values[:1], 2) == [[{"x": 0}, {"x": 0}]]


def reply_of(*values: float) -> bytes:
    """A good reply, whose instances have these values."""
    instances = [{"y": np.array([value], np.float32)} for value in values]
    request, reply = pb.PredictRequest.FromString(request_bytes("s", "m", 0, instances)), pb.PredictReply()
    reply.instances.extend(request.instances)
    return reply.SerializeToString()


def test_a_reply_is_compared_by_value_and_floats_nearly() -> None:
    found = decode(reply_of(1.0, 2.0))
    assert isinstance(found, list)
    expected = Expected(reply_of(1.0, 2.0), tuple(found))
    assert expected.fault(reply_of(1.0, 2.0)) is None
    assert expected.fault(reply_of(1.0, 2.000001)) is None
    assert expected.fault(reply_of(1.0, 2.1)) == "wrong reply: instance 1: output y is another one"
    assert expected.fault(reply_of(1.0)) == "wrong reply: 1 instances instead of 2"
    assert (expected.fault(b"\xff") or "").startswith("the reply cannot be read")


def test_an_error_inside_a_good_grpc_reply_is_an_error() -> None:
    whole = pb.PredictReply(error_msg=[pb.ErrorMsg(error_code=2, error_msg=b"servable is not available")])
    assert decode(whole.SerializeToString()) == "servable is not available"
    one = pb.PredictReply.FromString(reply_of(1.0, 2.0))
    one.error_msg.add()
    one.error_msg.add(error_code=1, error_msg=b"this instance failed")
    assert decode(one.SerializeToString()) == "this instance failed"


def test_more_kinds_of_errors_than_twenty_are_counted_together() -> None:
    tally = Tally()
    for number in range(100):
        tally.fail(f"error {number}")
    assert (tally.failed, len(tally.errors), tally.errors[OTHER]) == (100, 21, 80)


SUMMARY = """requests: 4 total, 4 started, 4 done, 4 succeeded, {failed} failed, 0 errored, 0 timeout
traffic: 1.0KB (1024) total, 1B (1) headers (space savings 96.21%), 1B ({data}) data
"""
LOG = ["1795579015358607\t200\t2000", "1795579015358607\t200\t4000"]


def test_h2loads_log_becomes_latencies() -> None:
    tally = read_findings(SUMMARY.format(failed=0, data=200), LOG, 100, callers=1)
    assert (tally.calls, tally.failed) == (2, 0)
    assert tally.latency.mean_seconds == pytest.approx(0.003)


def test_h2load_calls_with_another_status_or_none_are_errors() -> None:
    strange = [*LOG, "1795579015358607\t503\t10", "1795579015358607\t-1\t10"]
    tally = read_findings(SUMMARY.format(failed=5, data=200), strange, 100, callers=1)
    assert dict(tally.errors) == {
        "HTTP status 503": 1,
        "h2load: no reply": 1,
        "h2load: failed, errored or timed out": 3,
    }


def test_replies_of_another_size_behind_http_200_are_an_error() -> None:
    tally = read_findings(SUMMARY.format(failed=0, data=99), LOG * 1000, 100, callers=1)
    (text,) = tally.errors
    assert text.startswith("replies of another size: 99 bytes in all instead of 200000")


def test_replies_in_text_may_differ_by_a_share_and_not_by_more() -> None:
    for data, failed in ((185_000, 0), (175_000, 1)):
        tally = read_findings(SUMMARY.format(failed=0, data=data), LOG * 1000, 100, callers=1, most_strange=0.1)
        assert tally.failed == failed


def test_an_output_of_h2load_that_is_not_understood_is_one_line() -> None:
    with pytest.raises(SetupError, match="nothing that is understood here: something else"):
        read_findings("something else", [], 100, callers=1)


def test_a_grpc_body_has_a_zero_and_the_length_before_the_message() -> None:
    assert framed(b"abc") == b"\0\0\0\0\3abc"


def findings(tally: Tally) -> Findings:
    return Findings(loop="a loop", engine="grpcio", instances=4, request_bytes=9, processes=1, tally=tally)


def test_the_report_has_rates_errors_and_a_word_when_the_load_was_late() -> None:
    tally = Tally(seconds=2.0)
    for _ in range(10):
        tally.latency.add(0.1)
    tally.fail("it broke")
    text = findings(tally).as_text()
    assert "calls       11 in 2.0 s" in text and "1 x it broke" in text
    assert "throughput  5 calls/s, 20 instances/s" in text and "note" not in text
    tally.late.add(0.2)
    assert "calls were sent late, p99 200.0 ms" in findings(tally).as_text()
    busy = Tally(seconds=2.0, cpu_seconds=1.9)
    assert "the load was the bottleneck" in findings(busy).as_text()
    found = findings(tally).as_json()
    assert (found["calls"], found["errors"], found["instances_per_second"]) == (11, {"it broke": 1}, 20.0)
