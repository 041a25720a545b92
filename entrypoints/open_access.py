"""Where the API may listen while no key was ever made, and everyone who reaches it may do everything: on this machine alone."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from domain.errors import JobledgerError
from entrypoints.settings import Settings


class OpenToOthers(JobledgerError):
    """The API would let everyone in who can reach this machine."""

    code = "open_to_others"

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            f"no API key was made yet, so everyone would be let in who reaches API_HOST {settings.api_host}: make a key"
            " (`jobledger keys create --name N --scope operate`), or listen on 127.0.0.1, or say ALLOW_ANONYMOUS=true where"
            " nobody else can reach it"
        )


def check_open_access(settings: Settings, address: str) -> None:
    """To be called when there is no key. `address`: where the API is to listen. Raises OpenToOthers."""
    if not settings.allow_anonymous and not is_loopback(address):
        raise OpenToOthers(settings)


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches that address."""
    return ip_address(address.partition("%")[0]).is_loopback


def addresses_of(host: str) -> set[str]:
    """The addresses that a host's name stands for; none if it is unknown, which whoever listens there finds out."""
    try:
        return {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except OSError:
        return set()
