"""Messages that are alike but for their tensors' bytes: read by protobuf once, then by comparing bytes.

Clients ask for the same method with the same names, types and shapes again and again. All that stands between the
tensors' bytes, lengths included, is then the same, and whatever protobuf would make of it is known: that is a form.
Comparing costs a tenth of reading.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise
from struct import Struct
from typing import Final, Generic, TypeVar

from mindspore_serving.cluster.tensors import Buffer

_MOST_LENGTHS = 64  # of messages whose forms are kept
_MOST_FORMS = 4  # of one length
_LEARN_EVERY = 16  # messages of a length that no form fits: the second one is learnt, and every so many after it
_MOST_FIXED_BYTES = 64 << 10  # of a form: clients could have others remembered
_COPIED_BYTES: Final = 8 << 10  # pieces of messages up to here are copied; those of larger ones are views of them


class Form:
    """What messages of one form have in common. `bounds`: start and stop of what differs, in the order of the bytes."""

    def __init__(self, message: bytes, bounds: Sequence[tuple[int, int]]) -> None:
        self._bounds = bounds
        edges = list(pairwise([0, *(edge for place in bounds for edge in place), len(message)]))
        fixed = [message[start:stop] for start, stop in edges[::2]]
        self.fixed_bytes = sum(map(len, fixed))
        self._is_small = len(message) <= _COPIED_BYTES
        kinds = "xs" if self._is_small else "sx"
        self._layout = Struct("".join(f"{stop - start}{kinds[i % 2]}" for i, (start, stop) in enumerate(edges)))
        self._fixed = tuple(fixed)
        self._parts = [b""] * len(edges)  # of a message; the pieces' places are empty
        self._parts[::2] = fixed

    def pieces(self, message: bytes) -> Sequence[Buffer] | None:
        """What differs, in a message of the same length; None when it is of another form."""
        found: tuple[bytes, ...] = self._layout.unpack(message)
        if self._is_small:  # to put it together again takes less than to compare part by part
            parts = self._parts.copy()
            parts[1::2] = found
            return found if b"".join(parts) == message else None
        if found != self._fixed:
            return None
        view = memoryview(message)
        return [view[start:stop] for start, stop in self._bounds]


F = TypeVar("F", bound=Form)


class _Length(Generic[F]):
    """What is known of the messages of one length."""

    def __init__(self) -> None:
        self.forms: list[F] = []
        self.strangers = 0


class Forms(Generic[F]):
    """The forms of the messages that come again and again. Their number is bounded."""

    def __init__(self) -> None:
        self._lengths: OrderedDict[int, _Length[F]] = OrderedDict()

    def find(self, message: bytes) -> tuple[F, Sequence[Buffer]] | None:
        """The form of this message, and its pieces; None: protobuf has to read it."""
        length = self._lengths.get(len(message))
        if length is None:
            return None
        for form in length.forms:
            pieces = form.pieces(message)
            if pieces is not None:
                self._lengths.move_to_end(len(message))
                return form, pieces
        return None

    def learn(self, message: bytes, make: Callable[[], F | None]) -> None:
        """A message that no form fits. What `make` makes of it, if that is a form, is kept if others like it came."""
        length = self._lengths.get(len(message))
        if length is None:
            length = self._lengths[len(message)] = _Length()
            if len(self._lengths) > _MOST_LENGTHS:
                self._lengths.popitem(last=False)
        length.strangers += 1
        if length.strangers % _LEARN_EVERY != 2:
            return
        self._lengths.move_to_end(len(message))
        form = make()
        if form is not None and form.fixed_bytes <= _MOST_FIXED_BYTES:
            length.forms = [form, *length.forms[: _MOST_FORMS - 1]]
