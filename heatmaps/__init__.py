"""Heatmaps and comparisons, made from lm-eval's result files alone.

A heatmap takes one way through the modules:

    samples.read_samples   results_*.json, samples_*.jsonl -> a DataFrame, one row a sample
    grids.grids_of         the DataFrame -> one `Grid`, depths x lengths, for each panel
    figure.draw            grids -> a matplotlib `Figure`
    tables                 grids -> text for a terminal, rows for a CSV
    report.write_heatmap   all of it, as a command calls it

A comparison of models takes another:

    task_results.read_task_results         result files -> one `TaskResult` a task
    pairing.pair                           one task of several models, document by document
    paired_statistics.paired_difference    difference, interval, p-value
    comparison.compare_models              models x tasks, and the mean over tasks
    comparison_tables, _json, _figures     what is written of it; paper.py adds published rows
    comparison_report.write_comparison     all of it, as a command calls it

Nothing here knows which backend made the files, so a run of `--model hf` serves as well as ours.
"""
