"""What a grid is of and what is odd about it, in a few words."""

import numpy as np

from heatmaps.labels import depth_labels, length_label
from heatmaps.needles.grids import NOT_RUN, Grid
from heatmaps.printable import brief
from heatmaps.result_files import counted

# Reasons why prompts could not be built may be as many as the prompts.
_MOST_REASONS = 5


def needles_label(grid: Grid) -> str:
    """How many needles are in the haystack and how many of them are asked for."""
    if grid.is_control:
        return "no needle (control)"
    if grid.num_needles == 1:
        return "1 needle"
    return f"{grid.num_needles} needles, {grid.ask} asked"


def trials_label(grid: Grid) -> str:
    """Trials in a measured cell: "5 trials a cell", "1 to 5 trials a cell"."""
    fewest, most = grid.trials_range
    noun = "trial" if most == 1 else "trials"
    return f"{most} {noun} a cell" if fewest == most else f"{fewest} to {most} {noun} a cell"


def facts_of(grid: Grid) -> list[str]:
    """What was measured: the task, needles, haystack, and what tells it from a like grid."""
    facts = [grid.task, needles_label(grid)]
    if grid.haystack:
        facts.append(f"haystack {grid.haystack}")
    return [brief(fact, 300) for fact in (*facts, *grid.variant)]


def notes_on(grid: Grid) -> list[str]:
    """One-line remarks on prompts without a score and on needles that are not where asked."""
    notes = []
    for reason, number in list(grid.not_measured.items())[:_MOST_REASONS]:
        of_all = f"{number:,} of {counted(grid.num_prompts, 'prompt')}"
        if reason == NOT_RUN:
            notes.append(f"{of_all} planned and not run (--limit, or a run that was cut short)")
        elif reason.startswith("not built: "):
            notes.append(f"{of_all} {brief(reason, 300)}")
        else:
            notes.append(f"{of_all} not measured ({brief(reason, 300)})")
    if (left := len(grid.not_measured) - _MOST_REASONS) > 0:
        notes.append(f"other prompts without a score for {counted(left, 'other reason')}")
    if grid.depth_is_off.any():
        assert grid.depth_error is not None and grid.depth_achieved is not None
        errors = np.where(grid.depth_is_off, grid.depth_error, -1)
        row, column = np.unravel_index(errors.argmax(), errors.shape)
        asked, achieved = grid.depths[row], float(grid.depth_achieved[row, column])
        notes.append(
            "the needle is more than half a depth step from the depth asked for in "
            f"{counted(int(grid.depth_is_off.sum()), 'cell')}, farthest at "
            f"{length_label(grid.lengths[column])} tokens: depth {depth_labels([asked])[0]}% "
            f"asked, {100 * achieved:.1f}% achieved"
        )
    return notes
