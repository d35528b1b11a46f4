"""What our tasks have in common as lm-eval calls them."""

from __future__ import annotations

import logging
from typing import Any

from lm_eval.api.task import ConfigurableTask

from tasks import handles

# lm-eval's own default, which every run has that does not say --seed
_DEFAULT_FEWSHOT_SEED = 1234

_log = logging.getLogger(__name__)


class OwnTask(ConfigurableTask):
    """A task of long texts, without examples and without lm-eval's cache of requests.

    Attributes:
        SEED_HINT: How to change its texts, if there is a way.
    """

    SEED_HINT = ""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config={key: config[key] for key in config if key != "class"})

    @property
    def name(self) -> str:
        """The task's name, for messages."""
        return str(self.config.task)

    def set_fewshot_seed(self, seed: int | None = None) -> None:
        """As lm-eval calls it with --seed, which has no say here."""
        super().set_fewshot_seed(seed)
        if seed not in (None, _DEFAULT_FEWSHOT_SEED):
            _log.warning(
                "%s: --seed %d changes none of its texts%s", self.name, seed, self.SEED_HINT
            )

    def build_all_requests(self, **options: Any) -> None:
        """As lm-eval does it, but each time anew: its cache of requests knows neither the settings
        nor the model.

        Raises:
            ValueError: If examples are asked for.
        """
        if self.config.num_fewshot:
            raise ValueError(
                f"num_fewshot={self.config.num_fewshot} is not for {self.name}, whose texts hold "
                "no examples: run it without, apart from tasks that do"
            )
        if options.get("cache_requests"):
            _log.warning("%s: lm-eval's cache of requests is not used", self.name)
        options.update(cache_requests=False, rewrite_requests_cache=False)
        super().build_all_requests(**options)

    def apply_filters(self) -> Any:
        """As lm-eval calls it once the model has answered.

        Raises:
            ValueError: If the prompts were for another model than the one that has answered. So it
                may be where nobody names the model, and a program has loaded several.
        """
        texts = (text for each in self.instances for text in each.args if isinstance(text, str))
        metadata = self.config.metadata or {}
        is_named = metadata.get("pretrained") or metadata.get("tokenizer")
        if not is_named and not handles.were_expanded(texts):
            raise ValueError(
                f"{self.name} was planned for the YOCO model that is loaded, and another has "
                "answered: name that one in the metadata, as pretrained or by its tokenizer"
            )
        return super().apply_filters()
