"""Requests whose logits are not finite: what becomes of them."""

from __future__ import annotations


class NotFiniteError(ValueError):
    """A task that cannot say "not measured" has requests whose logits are not finite.

    All other requests are answered, and in the cache, when it is raised.
    """
