"""What an exception says, as JSON that any database keeps: never fails, never long, whatever the exception does."""

from __future__ import annotations

import msgspec

MAX_CHARACTERS = 4000  # enough for a message and what it quotes; the whole of it belongs into a log
_MAX_LEAVES = 10  # exceptions of a group that are looked at


def error_text(exc: BaseException) -> bytes:
    """The JSON string "TypeName: message", cut with a mark at MAX_CHARACTERS.

    Holds no NUL (it becomes ␀, U+2400) and no lone surrogate (\\udc80 and the like become their escapes as text).
    """
    return msgspec.json.encode(safe_text(_described(exc)))


def safe_text(text: str) -> str:
    """`text` without NUL and lone surrogates, cut with a mark."""
    length = str.__len__(text)
    if length > MAX_CHARACTERS:
        # str's own slice: a subclass of str may have one of its own.
        text = f"{str.__getitem__(text, slice(MAX_CHARACTERS))}… (cut: {length} characters)"
    return str.encode(text, "utf-8", "backslashreplace").decode().replace("\0", "␀")


def leaves(exc: BaseException) -> list[BaseException]:
    """The exceptions that `exc` stands for: those within a group (such as a TaskGroup raises), the first ten; else itself."""
    found: list[BaseException] = []
    waiting = [exc]
    while waiting and len(found) < _MAX_LEAVES:
        one = waiting.pop()
        if isinstance(one, BaseExceptionGroup):
            waiting.extend(reversed(one.exceptions))
        else:
            found.append(one)
    return found


def _described(exc: BaseException) -> str:
    # The message of a group only counts: what went wrong stands in its members.
    members = [_named(member)[: MAX_CHARACTERS // 2] for member in leaves(exc) if member is not exc]
    return ": ".join([_named(exc), *(["; ".join(members)] if members else [])])


def _named(exc: BaseException) -> str:
    name = _type_name(exc)
    try:
        message = str.__str__(str(exc))  # exactly a str: a subclass may do anything when it is formatted
    except BaseException as failure:  # noqa: BLE001 - the text of an error must never replace the error
        return f"{name}: (no text: str() raised {_type_name(failure)})"
    return f"{name}: {message}" if message else name


def _type_name(exc: BaseException) -> str:
    # type's own descriptor: a metaclass may have a property of that name.
    return str(type.__dict__["__name__"].__get__(type(exc)))
