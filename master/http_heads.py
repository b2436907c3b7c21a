"""Heads of HTTP/1 requests: which are refused, and in which words."""

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus

MOST_HEAD_BYTES = 16 * 1024
_MARKS_BYTES = 4  # of a line: the colon, a blank and its end
_VERSIONS = ("1.0", "1.1")
_HOST = re.compile(rb"(\[[\w:.%~-]+\]|[\w.~!$&'()*+,;=%-]*)(:[0-9]*)?", re.ASCII)  # RFC 3986 §3.2.2


class RefusedHead(Exception):
    """A head that is not served."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status

    def words(self) -> bytes:
        """The answer."""
        return refusal(self.status, str(self))


def check_size(head_bytes: int) -> None:
    """Raises RefusedHead for a head of which so much has come, or that has so much."""
    if head_bytes > MOST_HEAD_BYTES:
        text = f"the request line and the headers have more than {MOST_HEAD_BYTES} bytes"
        raise RefusedHead(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text)


def check_head(method: bytes, url: bytes, version: str, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Raises RefusedHead for one that is complete. Names of headers are in small letters."""
    check_size(len(url) + sum([len(name) + len(value) + _MARKS_BYTES for name, value in headers]))
    if method == b"CONNECT":
        raise RefusedHead(HTTPStatus.NOT_IMPLEMENTED, "CONNECT is for proxies")
    if version not in _VERSIONS:
        raise RefusedHead(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP is served in its versions 1.0 and 1.1")
    hosts = 0
    for name, value in headers:
        if name == b"host":
            hosts += 1
            if not _HOST.fullmatch(value):
                raise RefusedHead(HTTPStatus.BAD_REQUEST, "the header 'Host' names no host")
        elif name == b"transfer-encoding" and value.strip().lower() != b"chunked":
            raise RefusedHead(HTTPStatus.NOT_IMPLEMENTED, "Transfer-Encoding may be chunked, and nothing else")
    if hosts != 1 and (hosts or version == "1.1"):  # RFC 9112 §3.2
        raise RefusedHead(HTTPStatus.BAD_REQUEST, f"a request has one header 'Host', given {hosts}")


def without_upgrade(method: bytes, url: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A head that was parsed, without its wish for another protocol: we ignore that, as RFC 9110 §7.8 allows.

    A parser stops behind such a head, and would take no body.
    """
    fields = [b": ".join(field) for field in headers if field[0] not in (b"upgrade", b"connection")]
    first = b"%s %s HTTP/%s" % (method, url, version.encode())
    return b"\r\n".join((first, *fields, b"\r\n"))


def refusal(status: HTTPStatus, text: str, header: str = "") -> bytes:
    """An answer that is its connection's last: a line of text. header: one more, with its end of line."""
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\n{header}content-type: text/plain\r\nconnection: close\r\n"
    return f"{head}content-length: {len(text) + 1}\r\n\r\n{text}\n".encode()
