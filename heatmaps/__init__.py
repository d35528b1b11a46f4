"""Heatmaps, comparisons and likelihood by position, made from lm-eval's result files alone.

Reading is the same for all:

    result_files    results_*.json and samples_*.jsonl, found below paths
    sample_lines    the documents of a samples file, line by line
    models          whose results they are, and a short name for it
    run_files       which of a model's files count

What is made of them are three folders, each with a report, as a command calls it:

    needles/        grids of depths x lengths            report.write_heatmap
    comparison/     scores of models, paired             comparison.report.write_comparison
    likelihood/     curves over positions                likelihood.report.write_nll

They share labels, colours, intervals and the page that pictures are drawn on.

Nothing here knows which backend made the files, so a run of `--model hf` serves as well as ours.
"""
