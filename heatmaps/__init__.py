"""Heatmaps of needle runs, drawn from lm-eval's result files alone.

The data takes one way through the modules:

    samples.read_samples   results_*.json, samples_*.jsonl -> a DataFrame, one row a sample
    grids.grids_of         the DataFrame -> one `Grid`, depths x lengths, for each panel
    figure.draw            grids -> a matplotlib `Figure`
    tables                 grids -> text for a terminal, rows for a CSV
    report.write_heatmap   all of it, as a command calls it

Nothing here knows which backend made the files, so a run of `--model hf` draws as well as ours.
"""
