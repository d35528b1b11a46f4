"""What a result depends on: all of it, so that no result is ever taken for another's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from evals.catalogue import Catalogue, TaskUnit
from evals.devices import device_here
from evals.model_args import ModelArguments, tokenizer_path
from evals.model_keys import ModelKey, dtype_name
from evals.software import software
from tasks.documents import find_documents
from tasks.haystacks import load_haystack
from tasks.local_data import num_examples
from tasks.special_tokens import checkpoint_ids
from tasks.tokenizers import load_tokenizer
from yoco.checkpoints import checkpoint_sha256, read_checkpoint
from yoco.kernels import choose_kernels
from yoco.loading import resolve_device, resolve_dtype, resolve_path

# settings of our tasks that name texts: the texts count, wherever they lie
TEXT_SETTINGS = ("haystack", "documents")


@dataclass(frozen=True, kw_only=True)
class RunKey:
    """All that one task's results of one model depend on.

    Attributes:
        task: its name.
        task_sha256: of its configuration, with that of the group which named it.
        settings: metadata asked for, where the task takes any.
        texts_sha256: of the texts that its settings name.
        data_sha256: of the local files in place of the hub's dataset; None for the hub's.
        limit: documents; None for all.
        num_fewshot: examples in a prompt, asked for or the task's own.
        software: versions of libraries, and the hash of our own code.
    """

    model: ModelKey
    task: str
    task_sha256: str
    settings: dict[str, Any]
    texts_sha256: dict[str, str]
    data_sha256: str | None
    limit: int | None
    num_fewshot: int
    software: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """The whole key, as JSON has it."""
        return json.loads(json.dumps(asdict(self), sort_keys=True))

    @property
    def digest(self) -> str:
        """Hash of the whole key, in hex."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


def model_key(model_args: Mapping[str, Any]) -> ModelKey:
    """The key of the model that `YOCOLM(**model_args)` would be, without loading it.

    Raises:
        FileNotFoundError, ValueError: the checkpoint, the tokenizer or an argument is wrong.
    """
    arguments = ModelArguments.read(model_args)
    path = resolve_path(arguments.pretrained)
    checkpoint = read_checkpoint(path)
    device = resolve_device(device_here(arguments.device))
    stored = checkpoint.tensors["embed_tokens.weight"].dtype
    dtype = resolve_dtype(arguments.dtype, device, stored)
    kernels = choose_kernels(arguments.backend, device, dtype, checkpoint.config.head_dims)
    return ModelKey(
        checkpoint_sha256=checkpoint_sha256(path),
        tokenizer_sha256=load_tokenizer(
            tokenizer_path(arguments.tokenizer or str(path)), checkpoint=checkpoint_ids(path)
        ).hash,
        dtype=dtype_name(dtype),
        device_type=device.type,
        kernels=dict(kernels.names),
        rope_precision=arguments.rope_precision,
        max_length=arguments.limit(checkpoint.config.max_length),
        truncation=arguments.truncation,
    )


def run_key(
    model: ModelKey,
    catalogue: Catalogue,
    unit: TaskUnit,
    *,
    metadata: Mapping[str, Any],
    data_sha256: str | None,
    limit: int | None,
    num_fewshot: int | None,
) -> RunKey:
    """The key of one task's results of one model.

    Raises:
        ValueError: a setting names a text that is not there.
    """
    settings = dict(metadata) if unit.takes_settings else {}
    whole = unit.settings(settings)
    texts = {
        name: _texts_sha256(name, whole)
        for name in TEXT_SETTINGS
        if unit.takes_settings and whole.get(name)
    }
    return RunKey(
        model=model,
        task=unit.name,
        task_sha256=catalogue.fingerprint(unit),
        settings=settings,
        texts_sha256=texts,
        data_sha256=data_sha256,
        limit=limit,
        num_fewshot=num_examples(unit.config, num_fewshot),
        software=software(),
    )


def _texts_sha256(name: str, settings: Mapping[str, Any]) -> str:
    if name == "haystack":
        return load_haystack(str(settings[name])).sha256
    documents = find_documents(str(settings[name]), settings.get("num_documents"))
    lines = (f"{document.load().sha256} {document.name}\n" for document in documents)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
