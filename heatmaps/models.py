"""Which model made a result file, and a short name for it that no other model read shares."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heatmaps.result_files import read_results

# lm-eval names a model by the first of these model_args that is given.
_NAMING_ARGS = ("peft", "delta", "pretrained", "model", "path", "engine")


@dataclass(frozen=True, kw_only=True)
class ModelRun:
    """The model of one result file.

    Attributes:
        name: as the user gave it: a path or a Hugging Face id.
        source: lm-eval's backend ("yoco", "hf"), "" when not known.
        settings: the other model_args, sorted, as text.
        guessed: there is no results file, so the name is that of the folder.
    """

    name: str
    source: str = ""
    settings: str = ""
    guessed: bool = False

    @property
    def identity(self) -> tuple[str, str]:
        """(source, name): one model through two backends is two models to a reader of scores."""
        return self.source, self.name


def model_run(results: Path | None, samples: Path) -> ModelRun:
    """The model that `results` names or, without it, the folder of `samples`.

    Raises:
        ValueError: the results file is not lm-eval's.
    """
    if results is None:
        # lm-eval names the folder by the model, each / as __.
        return ModelRun(name=samples.resolve().parent.name.replace("__", "/"), guessed=True)
    content = read_results(results)
    config = content["config"]
    source = str(config.get("model") or content.get("model_source") or "")
    args = _parsed(config.get("model_args"))
    naming_arg = next((key for key in _NAMING_ARGS if args.get(key)), None)
    if naming_arg:
        name = str(args.pop(naming_arg))
    else:
        # lm-eval's model_name would be eight random letters, different in every run.
        name = source or str(content.get("model_name") or "unknown")
    settings = ",".join(f"{key}={args[key]}" for key in sorted(args))
    return ModelRun(name=name, source=source, settings=settings or "none")


def labels_of(runs: Iterable[ModelRun]) -> dict[tuple[str, str], str]:
    """A short, unique label for each identity.

    The last part of the path; more of its parts where two models would be called the same; the
    backend in brackets where one model was run through two.
    """
    identities = sorted({run.identity for run in runs})
    names = {name for _, name in identities}
    short: dict[str, str] = {}
    for name in names:
        others = [_parts(other) for other in names if other != name]
        parts = _parts(name)
        num_parts = 1
        while num_parts < len(parts) and any(
            other[-num_parts:] == parts[-num_parts:] for other in others
        ):
            num_parts += 1
        short[name] = "/".join(parts[-num_parts:])
    labels = {}
    for source, name in identities:
        clashes = [other for other in identities if short[other[1]] == short[name]]
        if len({other[0] for other in clashes}) > 1 and source:
            labels[source, name] = f"{short[name]} ({source})"
        else:
            labels[source, name] = short[name]
    # What is left are names like "a" beside "a/", or "x" beside "/x": nothing short tells them.
    if len(set(labels.values())) < len(labels):
        return {(source, name): f"{name} ({source})" if source else name for source, name in labels}
    return labels


def _parts(name: str) -> list[str]:
    return [part for part in re.split(r"[\\/]+", name) if part not in ("", ".")] or [name]


def _parsed(model_args: Any) -> dict[str, Any]:
    """lm-eval writes model_args as a dict from the command line, as given from Python."""
    if isinstance(model_args, dict):
        return dict(model_args)
    pairs = (item.partition("=") for item in str(model_args or "").split(",") if "=" in item)
    return {key.strip(): value for key, _, value in pairs}
