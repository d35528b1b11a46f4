"""What holds for every figure."""

from __future__ import annotations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def assert_text_fits(figure: Figure) -> None:
    """No text leaves the page or lies on another."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    page = figure.bbox
    boxes = [text.get_window_extent(renderer) for text in figure.texts]
    boxes += [
        text.get_window_extent(renderer) for legend in figure.legends for text in legend.texts
    ]
    for axes in figure.axes:
        if not axes.axison:
            continue
        boxes += [axes.xaxis.label.get_window_extent(renderer)]
        boxes += [axes.yaxis.label.get_window_extent(renderer)] if axes.get_ylabel() else []
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            # Ticks beyond the axis exist and are not drawn.
            shown = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            boxes += [tick.label1.get_window_extent(renderer) for tick in shown]
        boxes += [t.get_window_extent(renderer) for t in axes.texts]
        boxes += [axes._left_title.get_window_extent(renderer)]  # pyright: ignore
    boxes = [box for box in boxes if box.width]
    for number, box in enumerate(boxes):
        assert box.x0 >= page.x0 and box.x1 <= page.x1
        assert box.y0 >= page.y0 and box.y1 <= page.y1
        assert not box.count_overlaps(boxes[:number])
