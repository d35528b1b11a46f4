"""What is trained and for how long: the two models, the curriculum, the schedule."""

from __future__ import annotations

import dataclasses
import math
import random
from dataclasses import dataclass

from training.corpus import MAX_LENGTH, VOCAB_SIZE
from training.tokenizer import BOS, EOS
from yoco import RopeConfig, YOCOConfig

LEARNING_RATE = 2e-3


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of the training.

    Args:
        share: of the budget.
        length_tokens: of most samples.
    """

    share: float
    length_tokens: int


@dataclass(frozen=True, kw_only=True)
class Budget:
    """When the training ends: after so many steps, or so many seconds of steps.

    With steps the run is a function of the seed alone; with seconds its stages and learning rates
    depend on the machine, and the log says what they were.
    """

    steps: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.seconds is None) or (self.steps or self.seconds or 0) <= 0:
            raise ValueError(
                f"budget is {self.steps} steps and {self.seconds} s: give one of the two, above 0"
            )

    def progress(self, step: int, elapsed_s: float) -> float:
        """How much of the training is done before this step, 0 to 1."""
        done = step / self.steps if self.steps else elapsed_s / (self.seconds or 1)
        return min(done, 1.0)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that makes a checkpoint, apart from the text.

    Args:
        step_tokens: of the needle samples of a step; one sample may be longer.
        text_tokens: of ordinary text that every step has besides.
        text_weight: of the loss on ordinary text beside that on the answers.
        revisit_share: of the steps of a stage, those that go back to a shorter length.
        early_at: progress at which the earlier checkpoint is written.
        begun_with: SHA-256 of the weights that training begins with; None for random ones.
    """

    name: str
    model: YOCOConfig
    budget: Budget
    stages: tuple[Stage, ...]
    seed: int = 0
    step_tokens: int = 262_144
    text_tokens: int = 16_384
    text_weight: float = 0.3
    revisit_share: float = 0.25
    learning_rate: float = LEARNING_RATE
    final_learning_rate: float = 1e-4
    warmup_steps: int = 100
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    max_grad_norm: float = 1.0
    early_at: float = 0.5
    begun_with: str | None = None

    def __post_init__(self) -> None:
        if not math.isclose(total := sum(stage.share for stage in self.stages), 1.0):
            raise ValueError(f"the stages' shares add up to {total}: they must add up to 1")

    def stage_at(self, progress: float) -> int:
        """Index of the stage that this progress (0..1) lies in."""
        for number, stage in enumerate(self.stages):
            progress -= stage.share
            if progress < -1e-9:
                return number
        return len(self.stages) - 1

    def length_at(self, step: int, progress: float) -> int:
        """Tokens of the needle samples of a step."""
        number = self.stage_at(progress)
        rng = random.Random(f"{self.seed}/{step}/length")
        if number and rng.random() < self.revisit_share:
            number = rng.randrange(number)
        return self.stages[number].length_tokens

    def learning_rate_at(self, step: int, progress: float) -> float:
        """A linear rise over the first steps, then half a cosine down over the whole budget."""
        fall = 0.5 * (1 + math.cos(math.pi * progress))
        rate = self.final_learning_rate + (self.learning_rate - self.final_learning_rate) * fall
        return rate * min(1.0, (step + 1) / self.warmup_steps)

    def to_dict(self) -> dict[str, object]:
        """The recipe as JSON types, for the log."""
        return dataclasses.asdict(self)


_ROPE = RopeConfig(theta=1e9)
# In bfloat16 both are 7.6 MB: with the tokenizer, less than the 8 MB that the package has for each.
MODELS = {
    "demo": YOCOConfig(
        vocab_size=VOCAB_SIZE,
        dim=192,
        hidden_dim=448,
        n_self_layers=3,
        n_cross_layers=3,
        n_self_heads=6,
        n_self_kv_heads=6,
        n_attn_heads=6,
        n_attn_kv_heads=2,
        mixer="sliding_window",
        sliding_window=128,
        norm_eps=1e-5,
        self_rope=_ROPE,
        cross_rope=_ROPE,
        max_length=MAX_LENGTH,
        bos_token_id=BOS,
        eos_token_id=EOS,
    ),
}
# Wider heads than those of the window: what a head remembers of the last words is a matrix D x D.
MODELS["demo-gret"] = dataclasses.replace(
    MODELS["demo"],
    hidden_dim=416,
    n_self_heads=3,
    n_self_kv_heads=3,
    mixer="gated_retention",
    sliding_window=None,
)
# Short samples are learned at once, long ones last.
STAGES = (
    Stage(share=0.10, length_tokens=512),
    Stage(share=0.10, length_tokens=2_048),
    Stage(share=0.10, length_tokens=8_192),
    Stage(share=0.15, length_tokens=65_536),
    Stage(share=0.25, length_tokens=262_144),
    Stage(share=0.30, length_tokens=1_048_576),
)
