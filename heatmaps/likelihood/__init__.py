"""Likelihood by position: how well each token of long documents is told, by what is before it.

samples    rows of all bins of documents in result files
curves     means over documents with their intervals
figure     the picture; tables: text for a terminal
report     all of it, as a command calls it
"""
