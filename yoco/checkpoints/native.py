"""Our own format: canonical names in model.safetensors, `YOCOConfig.to_dict()` in config.json.

For what flash-linear-attention cannot express. The model type is another than its own, so that it
refuses such a folder instead of loading a different model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yoco.config import YOCOConfig

MODEL_TYPE = "yoco_evals"
FORMAT_VERSION = 1


def config_from_native(values: Mapping[str, Any]) -> YOCOConfig:
    """The config that config.json states.

    Raises:
        ValueError: the version is another, or a key is unknown or missing.
    """
    version = values.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(
            f"format_version is {version!r}: this release reads {FORMAT_VERSION}, install the one"
            " that wrote the file"
        )
    rest = {k: v for k, v in values.items() if k not in ("model_type", "format_version")}
    return YOCOConfig.from_dict(rest)


def config_to_native(config: YOCOConfig) -> dict[str, Any]:
    """Contents of config.json."""
    return {"model_type": MODEL_TYPE, "format_version": FORMAT_VERSION, **config.to_dict()}
