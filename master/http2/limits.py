"""What a peer is allowed, and the patience that frames use up which cost us more than they cost their sender."""

from dataclasses import dataclass

from mindspore_serving.master.http2.errors import ConnectionFault, ErrorCode


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one connection. The defaults are those of docs/grpc-door.md."""

    max_streams: int = 1000  # open at once; one more is refused, and may be sent again
    max_frame_bytes: int = 16_384
    window_bytes: int = 1 << 20  # of a body that nobody has asked for yet, per stream; an image goes without a pause
    connection_window_bytes: int = 16 << 20
    advertised_header_bytes: int = 16 << 10
    max_header_bytes: int = 64 << 10  # of one header block, before and after decompression
    max_continuations: int = 32  # frames of one header block after its first
    max_unsent_bytes: int = 64 << 20  # that a peer does not fetch; beyond, new streams are refused
    patience: int = 1000  # frames of the costly kinds at once, and
    patience_per_second: float = 200.0  # so many for ever
    preface_seconds: float = 10.0  # for the first words, and for a header block to be complete
    idle_seconds: float = 1800.0  # without a stream
    grace_seconds: float = 60.0  # for bytes in either direction to begin to move, and from then on
    least_bytes_per_second: float = 10_240.0


class Patience:
    """A store of points that time and answered requests fill up again. Empty, the connection ends.

    Bounds rapid resets (CVE-2023-44487, and CVE-2025-8671 where the peer makes us reset), floods of PING, SETTINGS,
    PRIORITY, unknown and empty frames (CVE-2019-9512 to 9518): RFC 9113 §10.5.
    """

    __slots__ = ("_at", "_left", "_most", "_per_second")

    def __init__(self, limits: Limits, now: float) -> None:
        self._most = float(limits.patience)
        self._per_second = limits.patience_per_second
        self._left = self._most
        self._at = now

    def spend(self, what: str, now: float, points: int = 1) -> None:
        """One costly frame more, of so many points. Raises ConnectionFault when it is one too many."""
        self._left = min(self._most, self._left + (now - self._at) * self._per_second) - points
        self._at = now
        if self._left < 0.0:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, f"too many frames of this kind: {what}")

    def earn(self, points: float = 1.0) -> None:
        """Frames of ours that carried an answer: peers ping and adjust windows in proportion to those."""
        if self._left < self._most:
            self._left += points


class Pace:
    """Whether bytes move fast enough: from time to time a peer may rest, on the average it may not."""

    __slots__ = ("_moved", "_since")

    def __init__(self, now: float) -> None:
        self._since = now
        self._moved = 0

    def move(self, count: int) -> None:
        """So many bytes more went over."""
        self._moved += count

    def is_too_slow(self, limits: Limits, now: float) -> bool:
        """Whether the grace and the time for what went over are used up."""
        return now - self._since > limits.grace_seconds + self._moved / limits.least_bytes_per_second
