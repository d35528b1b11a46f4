"""What a grid is of, in a few words."""

from heatmaps.needles.grids import Grid


def needles_label(grid: Grid) -> str:
    """How many needles are in the haystack and how many of them are asked for."""
    if grid.num_needles == 0:
        return "no needle (control)"
    if grid.num_needles == 1:
        return "1 needle"
    return f"{grid.num_needles} needles, {grid.ask} asked"


def trials_label(grid: Grid) -> str:
    """Trials in a measured cell: "5 trials a cell", "1 to 5 trials a cell"."""
    fewest, most = grid.trials_range
    noun = "trial" if most == 1 else "trials"
    return f"{most} {noun} a cell" if fewest == most else f"{fewest} to {most} {noun} a cell"
