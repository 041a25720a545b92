"""How far the work of an attempt is, as its code says: a fraction from 0 to 1, and a note of a few words."""

from __future__ import annotations

MAX_NOTE_LENGTH = 200  # characters: it is shown on one line
_ROUNDING = 1e-6  # what adding up many small shares may be beyond an end


def checked_progress(fraction: float, note: str) -> tuple[float, str]:
    """Both as they can be shown: what rounding put beyond an end counts as that end, and a long note is cut.

    A note's NUL becomes ␀, and half a surrogate pair its escape. Raises ValueError for another fraction, NaN among them, and
    TypeError for what is no number, or no text: the code is wrong then, whatever its data is.
    """
    if not isinstance(note, str):
        raise TypeError(f"the note of a progress is a text, not {type(note).__name__}")
    value = float(fraction)
    if not -_ROUNDING <= value <= 1 + _ROUNDING:  # nor is anything true of NaN
        raise ValueError(f"progress is a fraction from 0 to 1, not {value:g}")
    kept = str.encode(note[:MAX_NOTE_LENGTH], "utf-8", "backslashreplace").decode().replace("\0", "␀")
    return min(1.0, max(0.0, value)), kept[:MAX_NOTE_LENGTH]
