"""How a worker shares itself between several masters."""

import random

import pytest

from mindspore_serving.cluster.purse import ASK_BACK_AFTER, Purse


def test_one_master_has_two() -> None:
    purse = Purse(["a"])
    assert purse.credit("a") == 2
    assert purse.started("a") == purse.lost("a") == [] and purse.credit("a") == 2


def test_the_spare_one_goes_to_the_first_that_can_use_it() -> None:
    purse = Purse(["a", "b"])
    assert purse.credit("a") == purse.credit("b") == 1
    assert purse.started("b") == [("b", 2)]
    assert purse.started("b") == [] and purse.credit("b") == 2


def test_the_spare_one_is_asked_back_from_a_holder_that_does_not_use_it() -> None:
    purse = Purse(["a", "b"])
    purse.started("a")
    purse.finished("a")
    told = []
    for _ in range(ASK_BACK_AFTER):
        told += purse.started("b")
        purse.finished("b")
    assert told == [("a", 1)]
    assert purse.started("b") == [], "it is asked back once"
    assert purse.kept("a", 2) == [], "an older word"
    assert purse.kept("a", 1) == [("b", 2)] and purse.credit("a") == 1


def test_a_holder_that_uses_it_keeps_it() -> None:
    purse = Purse(["a", "b"])
    purse.started("a")
    for _ in range(10 * ASK_BACK_AFTER):
        assert purse.started("a") == [] and purse.started("b") == []
        purse.finished("a")
        purse.finished("b")


def test_a_holder_that_is_lost_gives_it_back() -> None:
    purse = Purse(["a", "b"])
    purse.started("a")
    purse.started("b")
    assert purse.lost("a") == [("b", 2)]
    assert purse.lost("b") == []
    assert purse.started("a") == [("a", 2)]


def test_a_master_that_joins_has_one_and_the_only_one_before_keeps_its_two_until_it_is_asked() -> None:
    purse = Purse(["a"])
    purse.joined("b")
    assert purse.credit("a") == 2 and purse.credit("b") == 1
    told = []
    for _ in range(ASK_BACK_AFTER):
        told += purse.started("b")
        purse.finished("b")
    assert told == [("a", 1)]
    assert purse.kept("a", 1) == [("b", 2)]


def test_the_only_master_that_is_lost_after_another_joined_has_one_when_it_comes_back() -> None:
    purse = Purse(["a"])
    purse.joined("b")
    assert purse.started("b") == [] and purse.lost("a") == [("b", 2)]
    assert purse.credit("a") == 1


@pytest.mark.parametrize("first", [["a"], ["a", "b"], ["a", "b", "c"]])
@pytest.mark.parametrize("seed", range(50))
def test_never_more_than_one_spare_credit_is_out(seed: int, first: list[str]) -> None:
    chance = random.Random(seed)
    masters = list(first)
    purse = Purse(masters)
    told = {master: purse.credit(master) for master in masters}  # what each master may believe to have
    unconfirmed: list[str] = []
    opened = dict.fromkeys(masters, 0)
    for step in range(500):
        if step % 100 == 50 and len(masters) < 4:
            joining = "abcd"[len(masters)]
            purse.joined(joining)
            masters.append(joining)
            told[joining], opened[joining] = purse.credit(joining), 0
        master = chance.choice(masters)
        match chance.randrange(4):
            case 0 | 1:
                opened[master] += 1
                changes = purse.started(master)
            case 2 if opened[master]:
                opened[master] -= 1
                purse.finished(master)
                changes = []
            case 3 if unconfirmed:
                master = unconfirmed.pop(0)
                told[master] = 1
                changes = purse.kept(master, 1)
            case _:
                if chance.random() < 0.1 and len(masters) > 1:
                    told[master] = 1
                    unconfirmed = [other for other in unconfirmed if other != master]
                    changes = purse.lost(master)
                else:
                    changes = []
        for whom, batches in changes:
            if batches == 1:
                unconfirmed.append(whom)
            else:
                told[whom] = 2
        assert sum(told.values()) <= len(masters) + 1
