"""The request line of the RESTful contract over a real socket: where URLs lead, and which methods are served."""

import json

import pytest

from tests.master.rest_client import RestClient

URL = "please check url, "

AVAILABLE = "Request servable({}) method({}) {}, {} is not available"


@pytest.mark.parametrize(
    "url, text",
    [
        ("/", URL + "the keyword:[model] must contain."),
        ("/v1/models/add:predict", URL + "the keyword:[model] must contain."),
        ("/model/:echo", URL + "the keyword:[model] must contain."),
        ("/model/add", URL + "the keyword:[service method] must contain."),
        ("/model/add:", URL + "the keyword:[service method] must contain."),
        ("/model/add/version/abc:echo", URL + "the keyword:[version] value invalid, request version number abc"),
        ("/model/add/version/-1:echo", URL + "version number range failed, request version number -1"),
        *(
            (f"/model/add/version/{n}:echo", URL + f"version number range failed, request version number {n}")
            for n in (2**32 - 1, 10**4000)
        ),
        ("/model/nope:echo", AVAILABLE.format("nope", "echo", "", "servable")),
        ("/model/add/version/2:echo", AVAILABLE.format("add", "echo", " version(2) ", "servable")),
        (
            f"/model/add/version/{2**32 - 2}:echo",
            AVAILABLE.format("add", "echo", f" version({2**32 - 2}) ", "servable"),
        ),
        ("/model/add:nope", AVAILABLE.format("add", "nope", "", "method")),
        ("/model/add:echo?x=1", AVAILABLE.format("add", "echo?x=1", "", "method")),
        ("/model/add:%65cho", AVAILABLE.format("add", "%65cho", "", "method")),
    ],
)
def test_a_url_that_leads_nowhere_says_why(rest: RestClient, url: str, text: str) -> None:
    assert rest.error({"instances": {"x": 1}}, url) == text


@pytest.mark.parametrize("url", [
    *("/model/add:echo", "/model/add:echo/", "/version/1/model/add:echo", "/model/add/version/1:echo"),
    *("/model/add/:echo", "/api/v2/model/add/version/0:echo", "/model/add/version/1x:echo"),
    "http://127.0.0.1:5900/model/add:echo",
])  # fmt: skip
def test_a_url_is_searched_for_its_keywords(rest: RestClient, url: str) -> None:
    assert rest.ask({"instances": {"x": 1}}, url) == {"instances": [{"y": 1}]}


def test_only_post_is_supported(rest: RestClient) -> None:
    text = {"error_msg": "http message only support POST right now"}
    for method in ("GET", "PUT", "DELETE"):
        assert rest.ask(b"", method=method) == text
    assert rest.exchange(b"", "/model/add:echo", "HEAD")[0] == 200
    for method in ("OPTIONS", "PATCH"):
        status, _, body = rest.exchange(b"", "*" if method == "OPTIONS" else "/", method)
        assert (status, json.loads(body)) == (501, text)


def test_a_url_that_leads_nowhere_is_told_before_a_body_that_is_wrong(rest: RestClient) -> None:
    for body in (b"no JSON", b"no JSON" + b" " * 20_000):  # in one read, and in several
        assert rest.error(body, "/model/add:") == "please check url, the keyword:[service method] must contain."
