"""The recipe of the embedded checkpoints: README.md says how to run it."""
