"""Parts of a memory: nobody has what somebody else has, and what is given back is there for the next one."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mindspore_serving.cluster.arena import Arena

NBYTES = 4096


class Parts(RuleBasedStateMachine):
    """Takes and gives back as it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.arena = Arena(NBYTES)
        self.taken: dict[int, int] = {}

    @rule(nbytes=st.integers(1, NBYTES))
    def take(self, nbytes: int) -> None:
        start = self.arena.take(nbytes)
        if start is None:
            edges = [0, *(-(-end // 64) * 64 for end in self.taken.values())]
            starts = [*self.taken, NBYTES]
            gaps = [min(other for other in starts if other >= edge) - edge for edge in edges if edge <= NBYTES]
            assert max(gaps) < nbytes  # there is really no room
        else:
            assert start not in self.taken
            self.taken[start] = start + nbytes

    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        if self.taken:
            start = data.draw(st.sampled_from(sorted(self.taken)))
            self.arena.give_back(start)
            del self.taken[start]

    @invariant()
    def nobody_shares(self) -> None:
        parts = sorted(self.taken.items())
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(parts))
        assert all(start % 64 == 0 and end <= NBYTES for start, end in parts)
        assert self.arena.spare() is None  # so little is kept


TestParts = Parts.TestCase


@given(st.integers(1, 1000))
def test_what_is_given_back_is_taken_again(nbytes: int) -> None:
    arena = Arena(NBYTES)
    for _ in range(10):
        start = arena.take(nbytes)
        assert start == 0
        arena.give_back(start)


def test_what_is_beyond_the_first_megabytes_is_spared_once_when_nothing_is_taken() -> None:
    mib = 1 << 20
    arena = Arena(64 * mib)
    parts = [arena.take(10 * mib), arena.take(6 * mib)]
    for part in parts:
        assert part is not None and arena.spare() is None
        arena.give_back(part)
    assert arena.spare() == (8 * mib, 8 * mib)
    assert arena.spare() is None
    assert arena.take(9 * mib) == 0
    arena.give_back(0)
    assert arena.spare() == (8 * mib, mib)
