"""The first start on a laptop."""

from __future__ import annotations

from clearcast.accounts.accounts import accounts_of
from clearcast.accounts.first_start import prepare_start
from clearcast.accounts.stored_keys import StoredKeys
from clearcast.settings import Settings
from tests.accounts.conftest import PASSWORD

URL = "http://127.0.0.1:8000"


def test_the_first_start_makes_an_admin_a_key_and_a_way_in(settings: Settings) -> None:
    start = prepare_start(settings, URL)
    key = StoredKeys(settings.config_path).key_for(URL)
    assert start.made_key and start.login_code is not None and key is not None
    with accounts_of(settings) as accounts:
        (admin,) = accounts.users.list()
        assert (admin.name, admin.is_admin, admin.has_password) == ("admin", True, False)
        principal = accounts.credentials.look_up(key)
        assert principal is not None and principal.user_id == admin.id and principal.is_whole
        page = accounts.credentials.look_up(accounts.tokens.open_page(start.login_code))
        assert page is not None and page.user_id == admin.id


def test_later_starts_keep_the_key_and_give_a_link_until_there_is_a_password(settings: Settings) -> None:
    prepare_start(settings, URL)
    key = StoredKeys(settings.config_path).key_for(URL)
    again = prepare_start(settings, URL)
    assert not again.made_key and again.login_code is not None
    assert StoredKeys(settings.config_path).key_for(URL) == key
    with accounts_of(settings) as accounts:
        accounts.users.set_password(accounts.users.find("admin").id, PASSWORD)
    assert prepare_start(settings, URL).login_code is None
