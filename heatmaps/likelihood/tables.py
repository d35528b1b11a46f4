"""Curves as text for a terminal."""

import numpy as np
import pandas as pd

from heatmaps.labels import NOTHING, length_label
from heatmaps.likelihood.curves import Curve, curves_of
from heatmaps.result_files import counted


def documents_label(curve: Curve) -> str:
    """How many documents a curve is of, and how many of them reach its end."""
    most, last = int(curve.num_documents.max()), int(curve.num_documents[-1])
    label = counted(most, "document")
    if last < most:
        label += f", {last:,} of them up to {length_label(int(curve.stops[-1]))}"
    return label


def nll_table(frame: pd.DataFrame) -> str:
    """The curves as plain text for a terminal: the bins of positions down, the models across.

    Args:
        frame: of `read_nll`; for one without a row the text is empty.
    """
    curves = curves_of(frame)
    if not curves:
        return ""
    lines = [f"{curve.label}: {documents_label(curve)}; {_whole(curve)}" for curve in curves]
    bins = sorted({edges for curve in curves for edges in _edges(curve)}, key=lambda b: b[::-1])
    width = max(15, *(len(curve.label) for curve in curves))
    lines += ["", " ".join([" " * 19, *(f"{curve.label:>{width}}" for curve in curves)])]
    heads = f"{'in bin':>7} {'to end':>7}"
    lines.append(" ".join([f"{'from':>9} {'to':>9}", *([f"{heads:>{width}}"] * len(curves))]))
    for start, stop in bins:
        cells = []
        for curve in curves:
            places = [place for place, edges in enumerate(_edges(curve)) if edges == (start, stop)]
            figures = [f"{curve.mean[p]:7.3f} {curve.average[p]:7.3f}" for p in places]
            cells.append(f"{(figures or [f'{NOTHING:>7} {NOTHING:>7}'])[0]:>{width}}")
        lines.append(" ".join([f"{start:>9,} {stop:>9,}", *cells]))
    return "\n".join([*lines, f"{curves[0].unit}; positions in tokens"])


def _edges(curve: Curve) -> list[tuple[int, int]]:
    return list(zip(curve.starts.tolist(), curve.stops.tolist(), strict=True))


def _whole(curve: Curve) -> str:
    """The average up to the end of the last bin, with its interval."""
    text = f"{curve.average[-1]:.4f} {curve.unit} up to {length_label(int(curve.stops[-1]))}"
    if np.isfinite(curve.average_low[-1]):
        text += (
            f" (95% interval over documents {curve.average_low[-1]:.4f} to "
            f"{curve.average_high[-1]:.4f})"
        )
    return text
