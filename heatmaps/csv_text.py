"""Text for a cell of a CSV file, which a spreadsheet must not take for a formula."""

from typing import Any

from heatmaps.printable import printable

_BEGINS_FORMULA = ("=", "+", "-", "@")


def csv_text(value: Any) -> Any:
    """The text in one printable line, after an apostrophe where it would begin a formula.

    What is not text is returned as it is: a number may well begin with a minus.
    """
    if not isinstance(value, str):
        return value
    shown = printable(value)
    # a tab or line break at its beginning is written as its escape
    return f"'{shown}" if shown.lstrip().startswith(_BEGINS_FORMULA) else shown
