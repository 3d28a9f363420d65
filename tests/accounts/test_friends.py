"""Friends: what each side sees, and what nobody can find out."""

from __future__ import annotations

import pytest

from clearcast.accounts.accounts import Accounts
from clearcast.accounts.friends import Circle, are_friends
from clearcast.errors import Conflict, NotFound, OptionInvalid
from clearcast.storage.database import Database

EMPTY = Circle((), (), ())


def names(accounts: Accounts, user_id: str) -> tuple[list[str], list[str], list[str]]:
    circle = accounts.friends.circle(user_id)
    friends, asking, blocked = circle.friends, circle.asking, circle.blocked
    return [o.name for o in friends], [o.name for o in asking], [o.name for o in blocked]


def test_asked_and_accepted_is_friends_for_both(
    accounts: Accounts, database: Database, sara: str, reza: str
) -> None:
    accounts.friends.request(sara, "REZA")
    assert names(accounts, reza) == ([], ["Sara"], [])
    assert accounts.friends.circle(sara) == EMPTY
    assert not are_friends(database, sara, reza)
    accounts.friends.accept(reza, sara)
    accounts.friends.accept(reza, "Sara")
    assert names(accounts, sara) == (["Reza"], [], [])
    assert names(accounts, reza) == (["Sara"], [], [])
    assert are_friends(database, sara, reza) and are_friends(database, reza, sara)
    accounts.friends.remove(sara, "Reza")
    assert accounts.friends.circle(sara) == accounts.friends.circle(reza) == EMPTY
    assert not are_friends(database, sara, reza)


def test_who_asks_back_accepts(accounts: Accounts, database: Database, sara: str, reza: str) -> None:
    accounts.friends.request(sara, "Reza")
    accounts.friends.request(sara, "Reza")
    accounts.friends.request(reza, "Sara")
    assert are_friends(database, sara, reza)
    accounts.friends.request(sara, "Reza")
    assert are_friends(database, sara, reza)


def test_nobody_can_accept_for_somebody_else(accounts: Accounts, sara: str, reza: str) -> None:
    accounts.friends.request(sara, "Reza")
    for name in ("Reza", "nobody"):
        with pytest.raises(NotFound) as caught:
            accounts.friends.accept(sara, name)
        assert str(caught.value) == "This person has not asked to be your friend."


def test_the_blocked_see_what_those_see_who_ask_strangers(
    accounts: Accounts, database: Database, sara: str, reza: str
) -> None:
    accounts.friends.request(sara, "Reza")
    accounts.friends.accept(reza, "Sara")
    accounts.friends.block(reza, "Sara")
    assert names(accounts, reza) == ([], [], ["Sara"])
    assert accounts.friends.circle(sara) == EMPTY
    for name in ("Reza", "nobody"):
        accounts.friends.request(sara, name)
        accounts.friends.remove(sara, name)
        accounts.friends.request(sara, name)
        assert accounts.friends.circle(sara) == EMPTY
        with pytest.raises(NotFound):
            accounts.friends.accept(sara, name)
    assert names(accounts, reza) == ([], [], ["Sara"])
    with pytest.raises(NotFound):
        accounts.friends.accept(reza, "Sara")
    with pytest.raises(Conflict):
        accounts.friends.request(reza, "Sara")
    assert not are_friends(database, sara, reza)


def test_unblocking_makes_nobody_friends(
    accounts: Accounts, database: Database, sara: str, reza: str
) -> None:
    accounts.friends.request(sara, "Reza")
    accounts.friends.accept(reza, "Sara")
    accounts.friends.block(reza, "Sara")
    accounts.friends.unblock(reza, "Sara")
    assert not are_friends(database, sara, reza)
    accounts.friends.request(reza, "Sara")
    assert not are_friends(database, sara, reza)


def test_two_can_block_each_other_and_one_cannot_lift_the_others(
    accounts: Accounts, sara: str, reza: str
) -> None:
    accounts.friends.block(sara, "Reza")
    accounts.friends.block(reza, "Sara")
    accounts.friends.unblock(sara, "Reza")
    accounts.friends.remove(sara, "Reza")
    accounts.friends.request(sara, "Reza")
    assert names(accounts, reza) == ([], [], ["Sara"])


def test_nobody_is_their_own_friend(accounts: Accounts, sara: str) -> None:
    with pytest.raises(OptionInvalid):
        accounts.friends.request(sara, "sara")
