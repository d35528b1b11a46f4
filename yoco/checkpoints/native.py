"""Our own format: canonical names in model.safetensors, `YOCOConfig.to_dict()` in config.json.

For what flash-linear-attention cannot express. There is no model type, so that its loader and
transformers' refuse such a folder instead of loading a different model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yoco.config import YOCOConfig
from yoco.quoting import quoted

FORMAT_KEY = "yoco_evals_format"
FORMAT_VERSION = 1


def config_from_native(values: Mapping[str, Any]) -> YOCOConfig:
    """The config that config.json states.

    Raises:
        ValueError: the version is another, or a key is unknown or missing.
    """
    version = values.get(FORMAT_KEY)
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{FORMAT_KEY} is {quoted(version)}: this release reads {FORMAT_VERSION}, install the"
            " one that wrote the file"
        )
    return YOCOConfig.from_dict({k: v for k, v in values.items() if k != FORMAT_KEY})


def config_to_native(config: YOCOConfig) -> dict[str, Any]:
    """Contents of config.json."""
    return {FORMAT_KEY: FORMAT_VERSION, **config.to_dict()}
