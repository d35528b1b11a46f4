"""Which model made a result file, and a short name for it that no other model read shares."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heatmaps.printable import brief

# lm-eval names a model by the first of these model_args that is given.
_NAMING_ARGS = ("peft", "delta", "pretrained", "model", "path", "engine")
# With the name they choose the weights; the last two, which of those that have one hash.
_REVISION_ARGS = ("pretrained", "delta", "revision", "subfolder", "gguf_file")
_PART_ARGS = ("subfolder", "gguf_file")


@dataclass(frozen=True, kw_only=True)
class ModelRun:
    """The model of one result file.

    Attributes:
        name: as the user gave it: a path or a Hugging Face id.
        source: lm-eval's backend ("yoco", "hf"), "" when not known.
        revision: the other model_args that choose the weights, as text, "" if there are none.
        settings: all model_args but the name, sorted, as text.
        sha: hash of the weights, "" if the backend does not give it, or not of all of them.
        guessed: there is no results file, so the name is that of the folder.
    """

    name: str
    source: str = ""
    revision: str = ""
    settings: str = ""
    dtype: str = ""
    sha: str = ""
    guessed: bool = False

    @property
    def described(self) -> str:
        """The whole name, with what else is known in brackets."""
        details = ", ".join(detail for detail in (self.source, self.revision) if detail)
        return f"{self.name} ({details})" if details else self.name


def model_run(content: Mapping[str, Any], samples: Path) -> ModelRun:
    """The model that a results file names or, if it is empty, the folder of `samples`.

    Args:
        content: of the results file, as `read_results` returns it.
        samples: whole path of the samples file.
    """
    if not content:
        # lm-eval names the folder by the model, each / as __.
        return ModelRun(name=samples.parent.name.replace("__", "/"), guessed=True)
    config = content["config"]
    source = str(config.get("model") or content.get("model_source") or "")
    args = _parsed(config.get("model_args"))
    sha = _sha(config, args)
    dtype = str(config.get("model_dtype") or args.get("dtype") or "").removeprefix("torch.")
    naming_arg = next((key for key in _NAMING_ARGS if args.get(key)), None)
    if naming_arg:
        name = str(args.pop(naming_arg))
    else:
        # lm-eval's model_name would be eight random letters, different in every run.
        name = source or str(content.get("model_name") or "unknown")
    settings = ",".join(f"{key}={args[key]}" for key in sorted(args))
    # main is what no revision means
    chosen = {key: args[key] for key in _REVISION_ARGS if args.get(key) and args[key] != "main"}
    revision = ",".join(f"{key}={value}" for key, value in chosen.items())
    return ModelRun(
        name=name,
        source=source,
        revision=revision,
        settings=settings or "none",
        dtype=dtype,
        sha=sha,
    )


def _sha(config: Mapping[str, Any], args: Mapping[str, Any]) -> str:
    # of an adapter over a model, the model's hash says half
    keys = ["model_sha", *(f"{key}_sha" for key in ("peft", "delta") if args.get(key))]
    hashes = [str(config.get(key) or "") for key in keys]
    parts = [str(args[key]) for key in _PART_ARGS if args.get(key)]
    return "/".join([*hashes, *parts]) if all(hashes) else ""


def by_model(runs: Iterable[ModelRun]) -> list[list[ModelRun]]:
    """The runs of each model, in the order of their first.

    Hashes of the weights decide where both of two runs have one, whatever the names; else names
    and revisions. One model through two backends is two models to a reader of scores.
    """
    groups: list[list[ModelRun]] = []
    for run in runs:
        group = next((g for g in groups if all(_same(run, other) for other in g)), None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    return groups


def _same(one: ModelRun, other: ModelRun) -> bool:
    if one.sha and other.sha:
        return (one.source, one.sha) == (other.source, other.sha)
    return (one.source, one.name, one.revision) == (other.source, other.name, other.revision)


def settings_note(label: str, runs: Iterable[ModelRun]) -> str | None:
    """What to tell the user where runs of one model were made with unlike settings."""
    variants = sorted({run.settings for run in runs if not run.guessed})
    if len(variants) < 2:
        return None
    return (
        f"{label}: its runs were made with different model_args "
        f"({' | '.join(brief(variant, 300) for variant in variants)}) "
        "and count as one model"
    )


def labels_of(runs: Sequence[ModelRun]) -> list[str]:
    """A short label for each run, one for all runs of a model and no other model's.

    The last part of the path; more of its parts where two models would be called the same; in
    brackets backend, revision or hash where these alone tell models apart.
    """
    groups = by_model(runs)
    models = [group[0] for group in groups]
    short = _short_names({model.name for model in models})
    labels = [short[model.name] for model in models]
    details = _details(models, labels)
    labels = [_bracketed(label, found) for label, found in zip(labels, details, strict=True)]
    # What is left are names like "a" beside "a/", or "x" beside "/x": nothing short tells them.
    if len(set(labels)) < len(labels):
        labels = [
            _bracketed(model.name, found or [detail for detail in [model.source] if detail])
            for model, found in zip(models, details, strict=True)
        ]
    of_run = {id(run): label for group, label in zip(groups, labels, strict=True) for run in group}
    return [of_run[id(run)] for run in runs]


def _short_names(names: set[str]) -> dict[str, str]:
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
    return short


def _details(models: Sequence[ModelRun], labels: Sequence[str]) -> list[list[str]]:
    """For each model what its label needs to be no other's, the plainest first."""
    details: list[list[str]] = [[] for _ in models]
    kinds: list[Callable[[ModelRun], str]] = [
        lambda model: model.source,
        lambda model: model.revision,
        lambda model: model.sha[:8],
    ]
    for detail in kinds:
        so_far = [(label, *found) for label, found in zip(labels, details, strict=True)]
        for model, found, own in zip(models, details, so_far, strict=True):
            alike = {detail(m) for m, other in zip(models, so_far, strict=True) if other == own}
            if len(alike) > 1 and detail(model):
                found.append(detail(model))
    return details


def _bracketed(label: str, details: Sequence[str]) -> str:
    return f"{label} ({', '.join(details)})" if details else label


def _parts(name: str) -> list[str]:
    return [part for part in re.split(r"[\\/]+", name) if part not in ("", ".")] or [name]


def _parsed(model_args: Any) -> dict[str, Any]:
    """lm-eval writes model_args as a dict from the command line, as given from Python."""
    if isinstance(model_args, dict):
        return dict(model_args)
    pairs = (item.partition("=") for item in str(model_args or "").split(",") if "=" in item)
    return {key.strip(): value for key, _, value in pairs}
