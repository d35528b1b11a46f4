"""Needles by length and depth: samples -> grids -> heatmaps and tables.

samples      rows of all needle samples in result files
grids        a grid of depths x lengths for each model and task; differences: of two grids
layout       where everything in a picture goes; scales: what a number in a cell looks like
figure       the picture
tables       text for a terminal, rows for a CSV file
"""
