"""The picture's artists: cells, limits, labels, legend and what they say."""

import subprocess
import sys
import time
import xml.etree.ElementTree
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from figure_checks import assert_text_fits
from matplotlib.collections import QuadMesh

import heatmaps
from heatmaps.needles.figure import MAX_ANNOTATED, draw
from heatmaps.needles.grids import Grid
from heatmaps.page import save


def make_grid(
    num_lengths=8,
    num_depths=11,
    *,
    missing=(),
    single=None,
    level=None,
    trials=5,
    lengths=None,
    off=(),
    **head,
):
    generator = np.random.default_rng(num_lengths * num_depths)
    shape = (num_depths, num_lengths)
    counts = np.full(shape, trials)
    mean = generator.integers(0, trials + 1, shape) / max(trials, 1)
    if level is not None:
        mean[:] = level
    if single is not None:
        counts[single] = 1
    for row, column in missing:
        counts[row, column], mean[row, column] = 0, np.nan
    error = np.zeros(shape)
    for place in off:
        error[place] = 0.2
    head = {
        "depth_error": error,
        "model": "prototype",
        "task": "yoco_needle",
        "num_needles": 1,
        "ask": "one",
        "haystack": "files:books/*.txt",
    } | head
    return Grid(
        **head,
        lengths=tuple(lengths or [131072 * (i + 1) for i in range(num_lengths)]),
        depths=tuple(np.linspace(0, 1, num_depths).tolist()),
        mean=mean,
        trials=counts,
    )


def panels(figure):
    return [axes for axes in figure.axes if axes.get_xlabel() != "needles found"]


def mesh_of(axes) -> QuadMesh:
    (mesh,) = [c for c in axes.collections if isinstance(c, QuadMesh)]
    return mesh


def cells_of(axes) -> np.ma.MaskedArray:
    cells = mesh_of(axes).get_array()
    assert isinstance(cells, np.ma.MaskedArray)
    return cells


def hatched(axes):
    return [patch for patch in axes.patches if patch.get_hatch()]


def squares_of(patch):
    """(N, 4, 2) corners of the cells that a patch covers."""
    return np.asarray(patch.get_path().vertices).reshape(-1, 4, 2)


def words(figure):
    return "\n".join(text.get_text() for text in figure.texts)


def test_cells_are_where_their_length_and_depth_are():
    grid = make_grid(missing=[(3, 5)])
    (axes,) = panels(draw(grid))
    np.testing.assert_array_equal(np.ma.getmaskarray(cells_of(axes)), ~grid.measured)
    np.testing.assert_array_equal(cells_of(axes).filled(np.nan), grid.mean)
    # Depth 0% at the top, short contexts on the left.
    top, bottom = axes.transData.transform([[0.5, 0.5], [0.5, 10.5]])
    assert top[1] > bottom[1]
    assert axes.get_xlim() == (0, 8)
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["128K", "256K", "384K", "512K", "640K", "768K", "896K", "1M"]
    np.testing.assert_allclose(axes.get_xticks(), np.arange(8) + 0.5)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [f"{percent}%" for percent in range(0, 101, 10)]
    np.testing.assert_allclose(axes.get_yticks(), np.arange(11) + 0.5)
    assert axes.get_xlabel() == "context length (tokens)"
    assert axes.get_ylabel() == "depth of the needle"


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_scale_is_fixed_whatever_the_scores(level):
    figure = draw(make_grid(level=level))
    (axes,) = panels(figure)
    assert mesh_of(axes).get_clim() == (0, 1)
    (bar,) = [axes for axes in figure.axes if axes.get_xlabel() == "needles found"]
    assert bar.get_xlim() == (0, 1)


def test_not_measured_is_hatched_and_explained():
    missing = [(0, 0), (3, 5), (10, 7)]
    figure = draw(make_grid(missing=missing))
    (axes,) = panels(figure)
    (cells,) = hatched(axes)
    corners = [tuple(square.min(axis=0)[::-1].astype(int)) for square in squares_of(cells)]
    assert sorted(corners) == missing
    assert np.ptp(np.asarray(cells.get_facecolor())[:3]) < 0.03
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["not measured"]
    assert len(axes.texts) == 88 - 3


def marks(axes):
    return [patch for patch in axes.patches if patch.get_label() == "depth not as asked"]


def test_needles_that_are_not_where_asked_are_marked_and_explained():
    off = [(0, 0), (10, 7)]
    figure = draw(make_grid(off=off))
    (triangles,) = marks(panels(figure)[0])
    corners = np.asarray(triangles.get_path().vertices).reshape(-1, 3, 2)
    # each within the upper right corner of its cell
    assert [(int(c[:, 1].min()), int(c[:, 0].min())) for c in corners] == off
    assert all(c[:, 1].max() - c[:, 1].min() < 0.5 for c in corners)
    note = "\u25e5 the needle is more than half a depth step from the depth asked for"
    assert note in words(figure)
    assert_text_fits(figure)
    assert_text_fits(draw(make_grid(1, 1, off=[(0, 0)])))
    # Negative control.
    figure = draw(make_grid())
    assert not marks(panels(figure)[0]) and "\u25e5" not in words(figure)


def test_a_control_has_colours_and_words_of_its_own():
    figure = draw(make_grid(num_needles=0, level=0.0))
    (axes, bar) = figure.axes
    assert bar.get_xlabel() == "answers with the value, though not in the text"
    assert mesh_of(axes).get_clim() == (0, 1)
    assert "value in 0.0% of answers" in words(figure) and "mean" not in words(figure)
    colours = mesh_of(axes).get_cmap()(np.linspace(0, 1, 20))[:, :3]
    # never red or green: blue leads, and it darkens
    assert (colours[:, 2] >= colours[:, :2].max(axis=1)).all()
    assert (np.diff(colours.sum(axis=1)) < 0).all()
    assert_text_fits(figure)
    both = draw([make_grid(missing=[(0, 0)]), make_grid(num_needles=0)], columns=1)
    assert len(both.axes) == 4
    assert_text_fits(both)


@pytest.mark.parametrize(("num_lengths", "num_depths"), [(1, 1), (2, 3), (8, 11)])
def test_a_grid_of_which_nothing_was_measured_is_hatched(num_lengths, num_depths):
    missing = [(row, column) for row in range(num_depths) for column in range(num_lengths)]
    figure = draw(make_grid(num_lengths, num_depths, missing=missing))
    (axes,) = panels(figure)
    assert len(squares_of(hatched(axes)[0])) == len(missing) and not axes.texts
    assert "no cell was measured" in words(figure) and "nan" not in words(figure)
    assert_text_fits(figure)


def test_the_largest_grid_is_drawn_within_seconds(tmp_path):
    """Hatched one by one, 10,000 cells took 40 seconds."""
    grid = make_grid(100, 100, level=np.nan, trials=0)
    begun = time.process_time()
    save(draw(grid), tmp_path / "a.png")
    assert time.process_time() - begun < 20


def test_names_of_any_length_and_kind(tmp_path):
    """One of 10,000 characters took 120 seconds."""
    name = "a$\\frac{1}{" + "x" * 10_000 + "\n\x1b[2J\u202e\ud800<b>-->"
    grid = make_grid(2, 2, model=name, haystack=name, task=name, variant=(name,))
    figure = draw([grid, grid], title=name)
    assert_text_fits(figure)
    assert not any(text.get_parse_math() for text in figure.texts)
    assert not any(character in words(figure) for character in "\x1b\u202e\ud800")
    save(figure, tmp_path / "a.svg")
    xml.etree.ElementTree.parse(tmp_path / "a.svg")


def test_too_many_panels_are_refused():
    with pytest.raises(ValueError, match="101 grids do not fit into one picture, 100 do"):
        draw([make_grid(1, 1)] * 101)


def test_nothing_missing_needs_no_legend():
    """Negative control of the test above."""
    figure = draw(make_grid())
    assert not hatched(panels(figure)[0])
    assert not figure.legends


def test_cells_hold_their_values_while_they_can_be_read():
    grid = make_grid()
    (axes,) = panels(draw(grid))
    for text in axes.texts:
        column, row = (int(x) for x in text.get_position())
        assert text.get_text() == f"{100 * grid.mean[row, column]:.0f}"
    edge = make_grid(MAX_ANNOTATED, MAX_ANNOTATED)
    assert len(panels(draw(edge))[0].texts) == MAX_ANNOTATED**2
    assert not panels(draw(make_grid(MAX_ANNOTATED + 1, 2)))[0].texts
    assert not panels(draw(make_grid(2, MAX_ANNOTATED + 1)))[0].texts


def test_title_says_what_was_measured():
    grid = make_grid(missing=[(0, 0)])
    text = words(draw(grid))
    for part in ("prototype", "yoco_needle", "1 needle", "files:books/*.txt", "5 trials a cell"):
        assert part in text
    assert f"mean {100 * grid.overall:.1f}%" in text
    assert "1 to 5 trials a cell" in words(draw(make_grid(single=(2, 2))))
    assert "1 trial a cell" in words(draw(make_grid(trials=1)))
    text = words(draw(make_grid(num_needles=8, ask="all"), title="The whole"))
    assert "8 needles, all asked" in text
    assert text.startswith("The whole")


def test_panels_share_one_bar_and_one_legend():
    second = make_grid(35, 35, model="other", missing=[(4, 4)])
    figure = draw([make_grid(), second, make_grid(missing=[(1, 1)])])
    assert len(panels(figure)) == 3
    assert len(figure.axes) == 4
    assert len(figure.legends) == 1
    assert [mesh_of(axes).get_clim() for axes in panels(figure)] == [(0, 1)] * 3
    np.testing.assert_array_equal(cells_of(panels(figure)[1]).filled(np.nan), second.mean)


def test_no_grid_is_refused():
    with pytest.raises(ValueError, match="no grid to draw"):
        draw([])


SHAPES = [(8, 11), (35, 35), (1, 11), (11, 1), (1, 1), (3, 101), (60, 5)]


@pytest.mark.parametrize(("num_lengths", "num_depths"), SHAPES)
@pytest.mark.parametrize("step", [4096, 30_011])
def test_text_neither_overlaps_nor_leaves_the_page(num_lengths, num_depths, step):
    grid = make_grid(
        num_lengths,
        num_depths,
        lengths=[step * (i + 1) for i in range(num_lengths)],
        missing=[(0, 0)] if num_lengths * num_depths > 1 else [],
        model="a-model-with-a-name-that-goes-on-and-on-and-on-until-it-ends-at-last",
        haystack="files:a/very/long/path/to/$many/books$/of/a/library/*.txt",
    )
    figure = draw([grid, grid])
    assert_text_fits(figure)


@pytest.mark.parametrize(("num_lengths", "num_depths"), SHAPES)
def test_cells_keep_their_shape(num_lengths, num_depths):
    figure = draw(make_grid(num_lengths, num_depths))
    box = panels(figure)[0].get_position()
    width, height = figure.get_size_inches() * [box.width, box.height]
    aspect = width / num_lengths / (height / num_depths)
    narrow = (num_lengths, num_depths) == (3, 101)
    assert aspect > 1.6 if narrow else aspect == pytest.approx(1.5)
    assert 0.6 < width <= 7.001
    assert height <= 4.801


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_saved_files_are_of_their_kind_and_repeatable(tmp_path, suffix):
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    contents = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.{suffix}"
        save(draw([make_grid(missing=[(0, 0)]), make_grid(model="cost $5 or $6")]), path)
        contents.append(path.read_bytes())
    assert contents[0].startswith(start)
    assert contents[0] == contents[1]


def test_settings_of_the_user_are_left_alone(tmp_path):
    # To read "backend" would itself choose one.
    def settings():
        parameters: dict = matplotlib.rcParams
        return {name: parameters[name] for name in parameters if name != "backend"}

    before = settings()
    save(draw(make_grid()), tmp_path / "a.pdf")
    assert settings() == before


def test_pyplot_and_model_packages_stay_out(tmp_path):
    code = (
        "import sys\n"
        "import numpy as np\n"
        "from heatmaps import report\n"
        "from heatmaps.needles.figure import draw\n"
        "from heatmaps.page import save\n"
        "from heatmaps.needles.grids import Grid\n"
        "one = np.ones((1, 1))\n"
        "grid = Grid(model='m', task='t', num_needles=1, ask='one', haystack='h',\n"
        "            lengths=(1024,), depths=(0.5,), mean=one, trials=one.astype(int))\n"
        "save(draw(grid), sys.argv[1])\n"
        "names = 'matplotlib.pyplot seaborn torch lm_eval yoco evals tasks'.split()\n"
        "print([name for name in names if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.png")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(heatmaps.__file__).parents[1]
    )
    assert done.stdout.strip() == "[]"
