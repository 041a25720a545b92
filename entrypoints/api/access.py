"""Who may ask what: one table of scopes and routes, and the check of each request against it.

A route that the table does not name cannot be made. The check costs a look through the headers, one SHA-256 and one look into
a dict; no request waits for the database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, cast

from litestar.types import Receive, Scope

from commands.key_ring import Caller, KeyRing
from domain.api_key import KeyScope, allows, digest_of
from entrypoints.api.answers import Answer, Endpoint, Header
from entrypoints.api.problems import KEY_NOT_ACCEPTED, KEY_REQUIRED, SCOPE_INSUFFICIENT, Problem
from entrypoints.api.rate_limit import RateLimit

# By method and path, as the OpenAPI document writes them; HEAD is as GET. None: open to everyone, whether there are keys or not.
ACCESS: Mapping[tuple[str, str], KeyScope | None] = {
    ("POST", "/jobs"): "submit",
    ("POST", "/jobs/batch"): "submit",
    ("GET", "/jobs"): "read",
    ("GET", "/jobs/{id}"): "read",
    ("GET", "/jobs/{id}/events"): "read",
    ("GET", "/jobs/{id}/result"): "read",
    ("GET", "/events"): "read",
    ("GET", "/stats"): "read",
    ("POST", "/jobs/{id}/cancel"): "operate",
    ("POST", "/jobs/{id}/retry"): "operate",
    # Load balancers and supervisors have no key. What they are told is states and names of processes.
    ("GET", "/health"): None,
    ("GET", "/readyz"): None,
    ("GET", "/livez"): None,
    # What any client needs to find out how to ask. It tells of no job, but for the names of the installed types.
    ("GET", "/"): None,
    ("GET", "/schema"): None,
    ("GET", "/schema/openapi.json"): None,
}

_CALLER = "jobledger.caller"  # where the ASGI scope holds him
_SCHEME = b"bearer "
_REALM = 'Bearer realm="jobledger"'


class Doorkeeper:
    """Lets requests in, or not. `keys` is asked; whom it knows stands in the scope afterwards, for `caller_of`.

    `limit` counts what each key sends, or each address while there are no keys. None: nobody counts.
    """

    def __init__(self, keys: KeyRing, limit: RateLimit | None = None) -> None:
        self._keys = keys
        self._limit = limit

    def guarded(self, endpoint: Endpoint, *, needed: KeyScope | None) -> Endpoint:
        """The endpoint, which hears of no request that is not let in: those raise Problem 401, 403 or 429, or Unavailable."""
        if needed is None:
            return endpoint
        if self._limit is not None:
            return self._counted(endpoint, needed=needed, limit=self._limit)

        # Not a coroutine around the endpoint's, as it is the endpoint's own that is given back.
        def let_in(scope: Scope, receive: Receive) -> Awaitable[Answer]:
            self._let_in(scope, needed)
            return endpoint(scope, receive)

        return let_in

    def _counted(self, endpoint: Endpoint, *, needed: KeyScope, limit: RateLimit) -> Endpoint:
        async def let_in(scope: Scope, receive: Receive) -> Answer:
            caller = self._let_in(scope, needed)
            told = limit.take(_address_of(scope) if caller is self._keys.open_to else caller.name)
            answer = await endpoint(scope, receive)
            answer.headers.extend(told)
            return answer

        return let_in

    def _let_in(self, scope: Scope, needed: KeyScope) -> Caller:
        caller = self._keys.open_to or self._holder(scope)
        if not allows(caller.scope, needed):
            raise Problem(
                SCOPE_INSUFFICIENT,
                f"the key {caller.name} has the scope {caller.scope}: this takes {needed}",
                headers=[_challenge("insufficient_scope", f'scope="{needed}"')],
            )
        cast("dict[str, Any]", scope)[_CALLER] = caller
        return caller

    def _holder(self, scope: Scope) -> Caller:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if not given or given[0][: len(_SCHEME)].lower() != _SCHEME:
            raise Problem(
                KEY_REQUIRED, "send an API key: Authorization: Bearer and the key's token", headers=[_challenge()]
            )
        if len(given) > 1:
            raise _not_accepted("Authorization is given more than once")
        caller = self._keys.find(digest_of(given[0][len(_SCHEME) :].strip()))
        if caller is None:
            raise _not_accepted("nobody has this key")
        if caller.is_revoked:
            raise _not_accepted(f"the key {caller.name} was revoked")
        return caller


def caller_of(scope: Scope) -> Caller:
    """Who asks, once he was let in by a guarded endpoint."""
    caller: Caller = cast("dict[str, Any]", scope)[_CALLER]
    return caller


def _address_of(scope: Scope) -> str:
    client = scope["client"]
    return client[0] if client else ""


def actor_of(scope: Scope) -> str:
    """Whom the events of this request are to name: the key's name."""
    return caller_of(scope).name


def needed_for(methods: Iterable[str], path: str) -> KeyScope | None:
    """What a route takes, by the table. Raises LookupError for one that it does not name: it must not be served."""
    try:
        found = {ACCESS[method, path] for method in methods if method != "HEAD"}
    except KeyError as exc:
        raise LookupError(f"{exc.args[0]} is not in the table of scopes and routes") from exc
    [needed] = found
    return needed


def _not_accepted(detail: str) -> Problem:
    return Problem(KEY_NOT_ACCEPTED, detail, headers=[_challenge("invalid_token")])


def _challenge(error: str = "", *more: str) -> Header:
    """RFC 6750, section 3: no error where no key was sent."""
    said = ", ".join((_REALM, *([f'error="{error}"'] if error else []), *more))
    return (b"www-authenticate", said.encode("ascii"))
