"""Who may be in a room, asked at the door and while somebody is inside."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa

from clearcast.accounts.accounts import Accounts
from clearcast.accounts.passwords import Passwords
from clearcast.accounts.principal import LOCAL_PRINCIPAL, Principal
from clearcast.accounts.room_access import Facts, Visitor, role_of
from clearcast.errors import Forbidden, NotFound, RoomEnded, RoomLocked, RoomPasswordWrong
from clearcast.storage.database import Database
from clearcast.storage.rooms import RoomChange, RoomPlan, RoomRecord, RoomRecords, Visibility
from clearcast.storage.tables import ApiKey, RoomToken, now

SECRET = "open sesame now"
NOTHING = Facts(
    is_open=True,
    is_locked=False,
    visibility="friends",
    owner_is_active=True,
    credential_lives=True,
    is_owner=False,
    is_friend=False,
    is_invited=False,
    is_blocked=False,
    token_role=None,
)


@pytest.fixture
def rooms(database: Database) -> RoomRecords:
    return RoomRecords(database)


Make = Callable[..., RoomRecord]


@pytest.fixture
def make(rooms: RoomRecords, sara: str, passwords: Passwords) -> Make:
    """Makes a room of Sara's."""
    numbers = itertools.count()

    def make_room(visibility: Visibility) -> RoomRecord:
        secret = passwords.hash(SECRET) if visibility == "password" else None
        return rooms.create(sara, RoomPlan(f"Room {next(numbers)}", visibility, secret))

    return make_room


def key_of(accounts: Accounts, user_id: str, *scopes: str) -> Principal:
    _, key = accounts.keys.create(user_id, scopes=scopes or ("*",))
    principal = accounts.credentials.look_up(key)
    assert principal is not None
    return principal


def visitor(accounts: Accounts, user_id: str, *scopes: str) -> Visitor:
    return Visitor.of(key_of(accounts, user_id, *scopes))


def befriend(accounts: Accounts, one: str, other: str) -> None:
    accounts.friends.request(one, other)
    accounts.friends.request(other, one)


def may(**facts: object) -> str | None:
    return role_of(Facts(**{**{n: getattr(NOTHING, n) for n in NOTHING.__slots__}, **facts}), Visitor("u"))


def test_the_rule() -> None:
    assert may() is None
    assert may(is_owner=True) == "moderate"
    assert may(is_friend=True) == may(visibility="invited", is_invited=True) == "publish"
    assert may(visibility="public") == "listen"
    assert may(visibility="invited", is_friend=True) is None
    assert may(visibility="friends", is_invited=True) is None
    assert may(visibility="password", is_friend=True) is None
    assert may(visibility="something else") is None
    assert may(visibility="public", is_blocked=True) is None
    for gone in ("owner_is_active", "credential_lives"):
        assert may(is_owner=True, **{gone: False}) is None
    knows = Visitor("u", knows_password=True)
    assert role_of(Facts(**{**_fields(NOTHING), "visibility": "password"}), knows) == "publish"
    assert role_of(NOTHING, knows) is None
    reader = Visitor("u", may_write=False)
    assert role_of(Facts(**{**_fields(NOTHING), "is_owner": True}), reader) == "listen"
    bearer = Visitor(None, token_id="rtk_1")
    assert role_of(Facts(**{**_fields(NOTHING), "visibility": "public"}), bearer) is None
    assert role_of(Facts(**{**_fields(NOTHING), "token_role": "moderate"}), bearer) == "moderate"


def _fields(facts: Facts) -> dict[str, object]:
    return {name: getattr(facts, name) for name in facts.__slots__}


def test_who_comes_in_by_visibility(accounts: Accounts, make: Make, rooms: RoomRecords, sara: str) -> None:
    friend, guest, stranger = (accounts.users.create(name).id for name in ("Friend", "Guest", "Stranger"))
    befriend(accounts, sara, friend)
    open_to = {"public": {friend, guest, stranger}, "friends": {friend}, "invited": {guest}}
    for visibility, welcome in open_to.items():
        room = make(visibility)
        rooms.invite(sara, room.id, "Guest", guest)
        assert accounts.rooms.enter(room.id, visitor(accounts, sara)).role == "moderate"
        for person in (friend, guest, stranger):
            who = visitor(accounts, person)
            if person in welcome:
                entry = accounts.rooms.enter(room.id, who)
                assert entry.role == ("listen" if visibility == "public" else "publish")
                assert entry.room == accounts.rooms.look(room.id, who) == room
            else:
                for deed in (accounts.rooms.enter, accounts.rooms.look):
                    with pytest.raises(NotFound, match="There is no such room"):
                        deed(room.id, who)


def test_a_password_lets_in_and_a_wrong_one_does_not(accounts: Accounts, make: Make, reza: str) -> None:
    room, who = make("password"), visitor(accounts, reza)
    for password in (None, "", "open sesame", SECRET.upper()):
        with pytest.raises(RoomPasswordWrong):
            accounts.rooms.enter(room.id, who, password)
    entry = accounts.rooms.enter(room.id, who, SECRET)
    assert (entry.role, entry.visitor.knows_password) == ("publish", True)
    assert accounts.rooms.look(room.id, who) == room
    standings = accounts.rooms.still_allowed({"in": (room.id, entry.visitor), "out": (room.id, who)})
    assert (standings["in"].role, standings["out"].reason) == ("publish", "revoked")


def test_a_token_lets_into_its_room_only(accounts: Accounts, make: Make, sara: str) -> None:
    room, other = make("invited"), make("public")
    record, token = accounts.room_tokens.create(sara, room.id, "publish", lasts_s=600, label="Studio")
    found = accounts.room_tokens.look_up(token)
    assert found == record and token.startswith("rt_")
    who = Visitor.by_token(record)
    assert (accounts.rooms.enter(room.id, who).role, who.name) == ("publish", "Studio")
    with pytest.raises(NotFound):
        accounts.rooms.enter(other.id, who)
    assert accounts.room_tokens.look_up(token + "x") is None
    assert accounts.room_tokens.look_up("cc_" + token) is None
    assert accounts.credentials.look_up(token) is None


def test_tokens_are_their_owners_and_end(
    accounts: Accounts, make: Make, sara: str, reza: str, database: Database
) -> None:
    room = make("invited")
    with pytest.raises(NotFound):
        accounts.room_tokens.create(reza, room.id, "moderate", lasts_s=600)
    first, token = accounts.room_tokens.create(sara, room.id, "listen", lasts_s=600)
    late, late_token = accounts.room_tokens.create(sara, room.id, "listen", lasts_s=600)
    for owner, room_id in ((reza, room.id), (sara, make("public").id)):
        with pytest.raises(NotFound):
            accounts.room_tokens.revoke(owner, room_id, first.id)
    with pytest.raises(NotFound):
        accounts.room_tokens.list(reza, room.id)
    assert accounts.room_tokens.list(sara, room.id) == (first, late)
    with database.writing() as session:
        session.get_one(RoomToken, late.id).expires_at = now() - timedelta(seconds=1)
    accounts.room_tokens.revoke(sara, room.id, first.id)
    assert accounts.room_tokens.list(sara, room.id) == ()
    assert accounts.room_tokens.look_up(token) is None is accounts.room_tokens.look_up(late_token)
    events = [line.event for line in accounts.audit.page(sara)]
    assert events.count("room_token_made") == 2 and events.count("room_token_revoked") == 1


def test_what_a_key_may_not_do_its_bearer_may_not_in_a_room(
    accounts: Accounts, make: Make, sara: str
) -> None:
    room = make("public")
    with pytest.raises(Forbidden):
        visitor(accounts, sara, "jobs:read", "jobs:write")
    assert accounts.rooms.enter(room.id, visitor(accounts, sara, "rooms:read")).role == "listen"
    assert accounts.rooms.enter(room.id, visitor(accounts, sara, "rooms:read", "rooms:write")).role == (
        "moderate"
    )


def test_a_locked_room_keeps_out_new_people_but_not_who_runs_it(
    accounts: Accounts, make: Make, rooms: RoomRecords, sara: str, reza: str
) -> None:
    room = make("public")
    rooms.change(sara, room.id, RoomChange(is_locked=True))
    with pytest.raises(RoomLocked):
        accounts.rooms.enter(room.id, visitor(accounts, reza))
    assert accounts.rooms.enter(room.id, visitor(accounts, reza), is_returning=True).role == "listen"
    assert accounts.rooms.enter(room.id, visitor(accounts, sara)).role == "moderate"


def test_an_ended_room_says_so_to_those_who_could_have_come_in(
    accounts: Accounts, make: Make, rooms: RoomRecords, sara: str, reza: str
) -> None:
    public, hidden = make("public"), make("friends")
    for room in (public, hidden):
        rooms.end(sara, room.id)
    with pytest.raises(RoomEnded):
        accounts.rooms.enter(public.id, visitor(accounts, reza))
    for room_id in (hidden.id, "room_none"):
        with pytest.raises(NotFound):
            accounts.rooms.enter(room_id, visitor(accounts, reza))


def test_without_keys_everybody_is_the_one_person(accounts: Accounts, rooms: RoomRecords) -> None:
    accounts.users.ensure_local()
    room = rooms.create("local", RoomPlan("Room"))
    entry = accounts.rooms.enter(room.id, Visitor.of(LOCAL_PRINCIPAL))
    assert entry.role == "moderate"
    assert accounts.rooms.still_allowed({"p": (room.id, entry.visitor)})["p"].role == "moderate"


def test_one_look_tells_of_everybody_who_must_go(
    accounts: Accounts, database: Database, rooms: RoomRecords, make: Make, sara: str
) -> None:
    def person(name: str) -> str:
        return accounts.users.create(name, "correct horse").id

    def login(user_id: str) -> tuple[Visitor, str]:
        pair = accounts.tokens.open(user_id)
        principal = accounts.credentials.look_up(pair.access_token)
        assert principal is not None and principal.family_id is not None
        return Visitor.of(principal), principal.family_id

    friends, public, closed = make("friends"), make("public"), make("public")
    secret, invited = make("password"), make("invited")
    ids = {
        name: person(name) for name in ("friend", "guest", "keyed", "logged", "off", "blocked", "secret")
    }
    befriend(accounts, sara, ids["friend"])
    rooms.invite(sara, invited.id, "guest", ids["guest"])
    token, _ = accounts.room_tokens.create(sara, friends.id, "publish", lasts_s=600)
    late, _ = accounts.room_tokens.create(sara, friends.id, "listen", lasts_s=600)
    logged, family_id = login(ids["logged"])
    inside = {
        "owner": (friends.id, visitor(accounts, sara)),
        "friend": (friends.id, visitor(accounts, ids["friend"])),
        "guest": (invited.id, visitor(accounts, ids["guest"])),
        "token": (friends.id, Visitor.by_token(token)),
        "late": (friends.id, Visitor.by_token(late)),
        "keyed": (public.id, visitor(accounts, ids["keyed"])),
        "expired": (public.id, visitor(accounts, ids["keyed"])),
        "logged": (public.id, logged),
        "off": (public.id, visitor(accounts, ids["off"])),
        "blocked": (public.id, visitor(accounts, ids["blocked"])),
        "closed": (closed.id, visitor(accounts, ids["keyed"])),
        "stays": (public.id, login(ids["keyed"])[0]),
    }
    entered = accounts.rooms.enter(secret.id, visitor(accounts, ids["secret"]), SECRET)
    everybody = {**inside, "secret": (secret.id, entered.visitor)}
    assert {one.reason for one in accounts.rooms.still_allowed(everybody).values()} == {None}

    accounts.friends.remove(sara, "friend")
    rooms.uninvite(sara, invited.id, "guest", ids["guest"])
    accounts.room_tokens.revoke(sara, friends.id, token.id)
    with database.writing() as session:
        session.get_one(RoomToken, late.id).expires_at = now() - timedelta(seconds=1)
        expired = everybody["expired"][1].key_id
        session.execute(sa.update(ApiKey).where(ApiKey.id == expired).values(expires_at=now()))
    key_id = everybody["keyed"][1].key_id
    assert key_id is not None
    accounts.keys.revoke(ids["keyed"], key_id)
    accounts.tokens.close(ids["logged"], family_id)
    accounts.users.change(ids["off"], is_disabled=True)
    accounts.friends.block(sara, "blocked")
    rooms.end(sara, closed.id)
    rooms.change(sara, secret.id, RoomChange(visibility="friends"))
    rooms.change(sara, public.id, RoomChange(is_locked=True))

    found = accounts.rooms.still_allowed(everybody)
    assert {name for name, standing in found.items() if standing.role is not None} == {"owner", "stays"}
    assert {name for name, standing in found.items() if standing.reason == "ended"} == {"closed"}
    assert found["stays"].is_locked and not found["owner"].is_locked
    accounts.users.change(sara, is_disabled=True)
    assert accounts.rooms.still_allowed(everybody)["stays"].reason == "revoked"
    accounts.rights.erase(sara)
    assert accounts.rooms.still_allowed(everybody)["stays"].reason == "ended"
    assert accounts.rooms.still_allowed({}) == {}


def test_a_thousand_people_are_one_quick_look(accounts: Accounts, make: Make, reza: str) -> None:
    room, who = make("public"), visitor(accounts, reza)
    present = {f"p{number}": (room.id, who) for number in range(1000)}
    accounts.rooms.still_allowed(present)
    begun_s = time.process_time()
    assert {one.role for one in accounts.rooms.still_allowed(present).values()} == {"listen"}
    assert time.process_time() - begun_s < 0.5  # some 30 ms; it is asked once a second
