"""Likelihood by position: samples of yoco_nll -> curves -> a figure, a table and a CSV file."""
