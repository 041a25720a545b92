"""Where an API without keys may listen."""

from __future__ import annotations

import pytest

from entrypoints.open_access import OpenToOthers, addresses_of, check_open_access
from entrypoints.settings import Settings


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1"])
def test_on_the_loopback_address_it_may(address: str) -> None:
    check_open_access(Settings(api_host=address), address)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "10.0.0.1", "fe80::1%eth0", "::ffff:192.0.2.1"])
def test_elsewhere_only_where_it_is_told_to(address: str) -> None:
    with pytest.raises(OpenToOthers, match=r"no API key was made yet.*ALLOW_ANONYMOUS=true"):
        check_open_access(Settings(api_host=address), address)
    check_open_access(Settings(api_host=address, allow_anonymous=True), address)


def test_a_name_is_looked_up_and_one_that_is_unknown_has_no_address() -> None:
    assert addresses_of("localhost") & {"127.0.0.1", "::1"}
    assert addresses_of("0.0.0.0") == {"0.0.0.0"}
    assert addresses_of("no-such-host.invalid") == set()
