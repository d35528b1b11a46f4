"""`lm_eval --model yoco`: a YOCO checkpoint as an lm-eval backend."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import CacheHook, TemplateLM

import yoco
from evals import unscored
from evals.chains import score_text
from evals.chat import render_chat
from evals.devices import device_here
from evals.distributed import Processes
from evals.encoding import NUM_AHEAD, RequestEncoder
from evals.generation import GenerationOptions, Prompt, continue_prompts, in_sharing_order
from evals.log_likelihoods import LogLikelihoods
from evals.memory_need import make_room, make_room_for
from evals.model_args import CHUNK_SIZE, ModelArguments, tokenizer_path
from evals.model_keys import ModelKey, loaded_model_key
from evals.model_record import model_record
from evals.not_finite import NotFiniteRequests
from evals.progress import Progress
from evals.reading_order import batches_of
from evals.response_cache import claim
from evals.scoring import Tokens
from tasks import handles
from tasks.not_measured import NotMeasured
from tasks.special_tokens import checkpoint_ids
from tasks.stated import check_bin, check_prompt
from tasks.tokenizers import load_tokenizer
from yoco.checkpoints import read_checkpoint
from yoco.chunk_size import ChunkSize, one_line_where_memory_ends
from yoco.loading import resolve_path

logger = logging.getLogger(__name__)


class YOCOLM(TemplateLM):
    """A YOCO checkpoint behind lm-eval's interface.

    Args:
        pretrained: folder of a checkpoint, or the name of an embedded one.
        options: the other `ModelArguments`.

    Attributes:
        not_measured: a line for each request that has no score: its logits were not finite, or
            there was no prompt.

    Raises:
        FileNotFoundError, ValueError: the checkpoint, the tokenizer or an argument is wrong; all
            but damage to the weights is found out before they are loaded.
    """

    def __init__(self, pretrained: str | None = None, **options: Any) -> None:
        super().__init__()
        self.not_measured: list[str] = []
        arguments = ModelArguments.read({"pretrained": pretrained, **options})
        self.pretrained = arguments.pretrained
        self.processes = Processes()
        self._rank, self._world_size = self.processes.rank, self.processes.world_size
        self.batch_size = arguments.batch_size or arguments.max_batch_size
        self.share = arguments.share
        path = resolve_path(self.pretrained)
        config = read_checkpoint(path).config
        self.max_length = arguments.limit(config.max_length)
        self.text = load_tokenizer(
            tokenizer_path(arguments.tokenizer or str(path)), checkpoint=checkpoint_ids(path)
        )
        if self.text.vocab_size > config.vocab_size:
            raise ValueError(
                f"the tokenizer {self.text.name} has {self.text.vocab_size:,} ids but the "
                f"checkpoint {pretrained} only {config.vocab_size:,}: give the "
                "tokenizer that it was trained with (tokenizer=...)"
            )
        self.encoder = RequestEncoder(
            self.text, max_length=self.max_length, truncation=arguments.truncation
        )
        self.model = yoco.load(
            path,
            device=device_here(self.processes.own_device(arguments.device)),
            dtype=arguments.dtype,
            rope_precision=arguments.rope_precision,
            backend=arguments.backend,
            allow_nonfinite=arguments.allow_nonfinite,
        )
        self.chunk_size = arguments.chunk_size or CHUNK_SIZE[self.device.type]
        # the same, less where memory runs out
        self.chunks = ChunkSize(self.chunk_size)
        self._chat_template_name: str | None = None
        self._make_room = functools.partial(
            make_room_for, self.model, self.chunks, max_length=self.max_length
        )
        handles.announce(
            self,
            pretrained=self.pretrained,
            tokenizer=self.text,
            max_length=self.max_length,
            make_room=functools.partial(make_room, self.model, self.chunks),
        )

    # construction

    @classmethod
    def create_from_arg_obj(
        cls, arg_dict: Mapping[str, Any], additional_config: Mapping[str, Any] | None = None
    ) -> YOCOLM:
        """The backend of `--model_args`, which win over `--batch_size` and `--device`."""
        given = {name: value for name, value in arg_dict.items() if value is not None}
        lm = cls(**{**(additional_config or {}), **given})
        unscored.watch(lm.not_measured)
        return lm

    @classmethod
    def create_from_arg_string(
        cls, arg_string: str, additional_config: Mapping[str, Any] | None = None
    ) -> YOCOLM:
        """As `create_from_arg_obj`, from "pretrained=PATH,dtype=bfloat16"."""
        from lm_eval.utils import simple_parse_args_string

        return cls.create_from_arg_obj(simple_parse_args_string(arg_string), additional_config)

    # what lm-eval asks about the model

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.model.device

    @property
    def tokenizer(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The transformers tokenizer, for lm-eval's record and chat templates; or None."""
        return self.text.hf

    @property
    def tokenizer_name(self) -> str:
        """Names the tokenizer in lm-eval's caches and results."""
        return self.text.name.replace("/", "__")

    @property
    def eot_token_id(self) -> int:
        """End of text: EOS."""
        return self.encoder.eos_token_id

    @property
    def prefix_token_id(self) -> int:
        """What a text without context is scored behind: BOS, else EOS."""
        return self.encoder.prefix_token_id

    @property
    def max_gen_toks(self) -> int:
        """Length of a continuation where the task does not say."""
        return 256

    def get_model_info(self) -> dict[str, Any]:
        """What the results file records of the model."""
        return model_record(
            self.model,
            tokenizer_sha256=self.text.hash,
            chunk_size=self.chunk_size,
            share=self.share,
        )

    @property
    def key(self) -> ModelKey:
        """What its answers depend on."""
        return loaded_model_key(
            self.model,
            tokenizer_sha256=self.text.hash,
            max_length=self.max_length,
            truncation=self.encoder.truncation,
        )

    def set_cache_hook(self, cache_hook: CacheHook) -> None:
        """Takes the answers' cache of `--use_cache`, before any answer is taken from it.

        Raises:
            ValueError: another model's answers are in it.
        """
        answers = cache_hook.dbdict
        if answers is not None:
            claim(answers, str(answers.filename), self.pretrained, self.key)
        super().set_cache_hook(cache_hook)

    def all_gather(self, tensor: torch.Tensor) -> torch.Tensor:
        return self.processes.all_gather(tensor)

    def gather_object(self, obj: Any, dst: int = 0) -> list[Any] | None:
        return self.processes.gather_object(obj, dst)

    def barrier(self) -> None:
        self.processes.barrier()

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The prompt of a conversation."""
        return render_chat(
            self.text,
            chat_history,
            add_generation_prompt=add_generation_prompt,
            name=self._chat_template_name,
        )

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The template that lm-eval records, and that conversations are rendered by from now on."""
        found = super().chat_template(chat_template)
        self._chat_template_name = chat_template if isinstance(chat_template, str) else None
        return found

    # text and tokens

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs: Any
    ) -> list[int]:
        """Token ids; BOS in front once, as the tokenizer defines it, unless told otherwise."""
        return self.text.encode(string, add_special_tokens=add_special_tokens is not False)

    def tok_decode(self, tokens: Sequence[int]) -> str:
        """Text of token ids."""
        return self.text.decode(list(tokens))

    # the three request types

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Log-likelihood in nats, and whether it is the greedy continuation, of each request."""
        progress = self._progress(disable_tqdm)
        self._make_room(["".join(request.args) for request in requests])
        encoded = []
        for request in progress.tokenising(requests):
            pair: tuple[Any, ...] = request.args
            context, scored = self._encode_pair(*pair)
            num_context, num_scored = len(context), len(scored)
            check_bin(
                request.doc, request.idx, pair, num_context=num_context, num_scored=num_scored
            )
            encoded.append((pair, context, scored))
        return self._loglikelihood_tokens(encoded, disable_tqdm=disable_tqdm, instances=requests)

    def _encode_pair(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, context: str, continuation: str
    ) -> tuple[Tokens, Tokens]:
        return self.encoder.encode_pair(context, continuation)

    def _loglikelihood_tokens(
        self,
        requests: Sequence[tuple[tuple[str, str] | None, Any, Any]],
        disable_tqdm: bool = False,
        **kwargs: Any,
    ) -> list[tuple[float, bool]]:
        instances: Sequence[Any] = kwargs.get("instances") or [None] * len(requests)
        not_finite = NotFiniteRequests(instances)
        results: dict[int, tuple[float, bool]] = {}
        pairs = []
        for index, (_, context, continuation) in enumerate(requests):
            pair = self.encoder.fit(
                np.asarray(context, np.int32), np.asarray(continuation, np.int32)
            )
            # nothing is scored for an empty continuation, but the result keeps its place
            if not len(pair[1]):
                results[index] = (0.0, True)
            pairs.append(pair)
        scored = [index for index in range(len(pairs)) if index not in results]
        plan = LogLikelihoods([pairs[index] for index in scored], chain_longer_than=self.chunk_size)
        bars = self._progress(disable_tqdm)
        with one_line_where_memory_ends(), bars.of("log-likelihoods", plan.num_tokens) as bar:
            reader = self._prompt_reader()
            for scores in plan.scored(reader, most=self.batch_size, on_read=bar.update):
                for place, log_likelihood, is_greedy in scores:
                    index = scored[place]
                    results[index] = (log_likelihood, is_greedy)
                    key = requests[index][0]
                    if math.isnan(log_likelihood):
                        context, continuation = pairs[index]
                        read = np.concatenate((context, continuation[:-1]))
                        not_finite.add(index, read, len(context) - 1)
                    elif key is not None:
                        self.cache_hook.add_partial("loglikelihood", key, results[index])
            del reader
        self._close(not_finite)
        return [results[index] for index in range(len(pairs))]

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[Any]:
        """Log-likelihood in nats of whole texts, each in one pass up to the model's length.

        A longer text is scored in lm-eval's disjoint windows, every token once.
        """
        progress = self._progress(disable_tqdm)
        self._make_room([request.args[-1] for request in requests])
        documents = [
            self.encoder.encode_document(request.args[-1])
            for request in progress.tokenising(requests)
        ]
        not_finite = NotFiniteRequests(requests)
        results = []
        total = sum(map(len, documents))
        with one_line_where_memory_ends(), progress.of("rolling", total) as bar:
            for index, (request, document) in enumerate(zip(requests, documents, strict=True)):
                total, unread = score_text(
                    self.model,
                    document,
                    prefix_token=self.prefix_token_id,
                    max_length=self.max_length,
                    chunk_size=self.chunks,
                    on_read=bar.update,
                )
                if unread is not None:
                    not_finite.add(index, *unread)
                # releases after 0.4.13 give ("", text) and want a pair
                results.append(total if len(request.args) == 1 else (total, False))
                if not math.isnan(total):
                    self.cache_hook.add_partial("loglikelihood_rolling", request.args, results[-1])
        self._close(not_finite)
        return results

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Continuation of each request, cut at its first stop string."""
        results: dict[int, str] = {}
        for index, request in enumerate(requests):
            if reason := getattr(request.doc, "not_built", None):
                results[index] = NotMeasured(reason)
                self.not_measured.append(f"{request.task_name}: {reason}")
        progress = self._progress(disable_tqdm)
        waiting = in_sharing_order(requests, left_out=results)
        most_new = max((options.max_new_tokens for _, _, options in waiting), default=0)
        self._make_room([prompt for _, prompt, _ in waiting], num_new=most_new)
        not_finite = NotFiniteRequests(requests)
        with (
            one_line_where_memory_ends(),
            progress.of("generation", len(waiting), unit="prompt") as bar,
        ):

            def on_texts(texts: list[tuple[int, str]]) -> None:
                for index, text in texts:
                    results[index] = text
                    self.cache_hook.add_partial("generate_until", requests[index].args, text)
                bar.update(len(texts))

            batches = batches_of(
                self._prompts(requests, waiting),
                lambda prompt: len(prompt.tokens),
                chunk_size=self.chunks,
                most=self.batch_size,
            )
            continue_prompts(
                self._prompt_reader(),
                self.text,
                batches,
                on_read=functools.partial(progress.tell_tokens, bar),
                on_texts=on_texts,
                on_not_finite=not_finite.add,
            )
        for index, reason in self._close(not_finite).items():
            results[index] = NotMeasured(reason)
        return [results[index] for index in range(len(requests))]

    def _prompts(
        self, requests: Sequence[Instance], waiting: Sequence[tuple[int, str, GenerationOptions]]
    ) -> Iterator[Prompt]:
        """The tokens in place of each prompt's text, made ahead of what is read."""
        prompts = self.encoder.encode_ahead(
            [prompt for _, prompt, _ in waiting],
            num_ahead=NUM_AHEAD[self.device.type],
        )
        for (index, prompt, options), encoded in zip(waiting, prompts, strict=True):
            tokens, _ = self.encoder.fit(encoded, options.max_new_tokens)
            num_new = options.max_new_tokens
            check_prompt(requests[index].doc, prompt, num_tokens=len(tokens), num_new=num_new)
            if not len(tokens):
                tokens = np.asarray([self.prefix_token_id], np.int32)
            yield Prompt(index, tokens, options)

    def _close(self, not_finite: NotFiniteRequests) -> dict[int, str]:
        """Says which requests of a call were not measured, and why, by their index.

        Raises:
            NotFiniteError: some are of tasks that would take that for an answer.
        """
        reasons = not_finite.reasons(self.model, self.chunks)
        if reasons:
            self.not_measured += reasons.values()
            not_finite.refuse_those_of_others(reasons)
        return reasons

    def _prompt_reader(self) -> yoco.PromptReader:
        """A reader for the prompts of one call, whose memory goes with it."""
        return yoco.prompt_reader(self.model, chunk_size=self.chunks, share=self.share)

    def _progress(self, disable_tqdm: bool) -> Progress:
        return Progress(disabled=disable_tqdm or self.rank != 0)
