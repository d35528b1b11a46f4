"""The lm-eval backend, the plug-in's registration and the `yoco` command."""
