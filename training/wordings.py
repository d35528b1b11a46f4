"""What is hidden and asked in training: wordings, keys and values.

The keys of `tasks.needles`, which the needle tasks ask for, are kept out: no key here has one of
those cities in it, so that what is measured later is retrieval and not a remembered name.
"""

from __future__ import annotations

import random
import re
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from tasks.needles import CITIES, MAGIC_NUMBER

MAX_DIGITS = 7
UUID_SHARE = 0.08

_HELD_OUT = {city.lower() for city in CITIES}

# Cities that the tasks do not ask for.
_CITIES = tuple(
    """
    Abidjan, Addis Ababa, Albany, Alexandria, Ankeny, Arequipa, Asuncion, Aurora, Austin, Avignon,
    Baltimore, Bath, Bayonne, Belo Horizonte, Bloemfontein, Boise, Brest, Bruges, Buenos Aires,
    Buffalo, Burgos, Bursa, Busan, Cadiz, Cambridge, Cancun, Cape Town, Catania, Chengdu,
    Cleveland, Columbus, Coventry, Curitiba, Da Nang, Des Moines, Dijon, Doha, Dortmund, Duluth,
    Dunedin, Eindhoven, El Paso, Erfurt, Eugene, Exeter, Fargo, Fort Worth, Fresno, Fukuoka,
    Galway, Gaza, Goa, Great Falls, Grenoble, Groningen, Haifa, Halifax, Hong Kong, Honolulu,
    Innsbruck, Ipswich, Izmir, Juneau, Kansas City, Karlsruhe, Kuala Lumpur, Kuwait, La Paz, Las
    Vegas, Lausanne, Linz, Little Rock, Lodz, Los Angeles, Lubbock, Lucerne, Macao, Madison,
    Magdeburg, Mexico City, Mobile, Modena, Multan, Nagoya, New Orleans, New York, Nice, Norwich,
    Novi Sad, Oakland, Omaha, Oran, Orlando, Ostrava, Oxford, Padua, Panama City, Parma, Patna,
    Plymouth, Porto Alegre, Poznan, Providence, Puebla, Pune, Quetta, Raleigh, Ravenna, Recife,
    Reno, Rio Branco, Rostock, Rouen, Saint Louis, Salem, Salt Lake, San Diego, San Jose, San
    Juan, Santa Fe, Sao Paulo, Savannah, Siena, Soweto, Split, Suva, Swansea, Tacoma, Tampa, Tel
    Aviv, Trieste, Troy, Tucson, Tulsa, Ulm, Uppsala, Vaduz, Varanasi, Vigo, Warri, Weimar, Worms,
    Wuhan, Xian, York, Ypres, Zanzibar
    """.replace("\n", " ").split(",")
)
_SYLLABLES = tuple(
    onset + vowel + coda
    for onset, vowel, coda in product("bdfgklmnprstvz", "aeiou", ("", "l", "n", "r", "s"))
)


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How a fact is stated and asked for; `{kind}` is "number" or "uuid".

    Attributes:
        sentence: the needle, with `{key}` and `{value}`.
        question_one, question_many: the question and the beginning of its answer, with `{keys}`.
        preamble_one, preamble_many: what may stand before the haystack.
        last_joiner: between the last two of several keys.
    """

    sentence: str
    question_one: str
    question_many: str
    preamble_one: str = ""
    preamble_many: str = ""
    last_joiner: str = " and "

    @property
    def takes_uuids(self) -> bool:
        """Whether the value may be something other than a number."""
        return "{kind}" in self.sentence

    def question(self, keys: Sequence[str], kind: str) -> str:
        """The question for these keys and the beginning of its answer."""
        template = self.question_one if len(keys) == 1 else self.question_many
        return template.format(keys=joined(keys, self.last_joiner), kind=kind)

    def preamble(self, num_keys: int, kind: str) -> str:
        """What stands before the haystack if so many keys are asked for first."""
        return (self.preamble_one if num_keys == 1 else self.preamble_many).format(kind=kind)


def joined(items: Sequence[str], last_joiner: str) -> str:
    """ "a", "a and b", "a, b and c"."""
    return last_joiner.join(filter(None, (", ".join(items[:-1]), items[-1])))


PAPER = Wording(
    sentence=MAGIC_NUMBER.sentence,
    question_one=MAGIC_NUMBER.question_one,
    question_many=MAGIC_NUMBER.question_many,
)
# Source: lm_eval/tasks/ruler, prepare_niah.py and niah_utils.py
RULER = Wording(
    sentence=" One of the special magic {kind}s for {key} is: {value}.",
    question_one=(
        "\nWhat is the special magic {kind} for {keys} mentioned in the provided text?"
        " The special magic {kind} for {keys} mentioned in the provided text is"
    ),
    question_many=(
        "\nWhat are all the special magic {kind}s for {keys} mentioned in the provided text?"
        " The special magic {kind}s for {keys} mentioned in the provided text are"
    ),
    preamble_one=(
        "A special magic {kind} is hidden within the following text. Make sure to memorize it."
        " I will quiz you about the {kind} afterwards.\n"
    ),
    preamble_many=(
        "Some special magic {kind}s are hidden within the following text. Make sure to memorize"
        " it. I will quiz you about the {kind}s afterwards.\n"
    ),
    last_joiner=", and ",
)
WORDINGS = (
    PAPER,
    RULER,
    Wording(
        sentence=" The access code of {key} is {value}.",
        question_one="\nWhat is the access code of {keys}? The access code of {keys} is",
        question_many="\nWhat are the access codes of {keys}? The access codes of {keys} are",
    ),
    Wording(
        sentence=" Remember that {key} has the {kind} {value}.",
        question_one="\nWhich {kind} has {keys}? {keys} has the {kind}",
        question_many="\nWhich {kind}s have {keys}? {keys} have the {kind}s",
    ),
    Wording(
        sentence=" The {kind} that belongs to {key} is {value}.",
        question_one="\nQuestion: Which {kind} belongs to {keys}?\nAnswer: It is",
        question_many="\nQuestion: Which {kind}s belong to {keys}?\nAnswer: They are",
    ),
    Wording(
        sentence="\nNote: {key} = {value}.",
        question_one="\nWhat does the note on {keys} say? {keys} =",
        question_many="\nWhat do the notes on {keys} say? {keys} =",
    ),
    Wording(
        sentence=" In {key} they counted {value}.",
        question_one="\nHow many did they count in {keys}? In {keys} they counted",
        question_many="\nHow many did they count in {keys}? In {keys} they counted",
    ),
    Wording(
        sentence=" Nobody knew that the secret {kind} for {key} was {value}.",
        question_one="\nWhat was the secret {kind} for {keys}? The secret {kind} for {keys} was",
        question_many="\nWhat were the secret {kind}s for {keys}? The secret {kind}s were",
    ),
)


@dataclass(frozen=True)
class KeyPool:
    """What keys are made of.

    Attributes:
        names: with a capital, of one or two words.
        words: of small letters.
        syllables: for names that nobody bears.
    """

    names: tuple[str, ...]
    words: tuple[str, ...]
    syllables: tuple[str, ...]

    def draw(self, rng: random.Random) -> str:
        """A key of one or two words."""
        match rng.randrange(6):
            case 0:
                return rng.choice(self.names)
            case 1 | 2:
                return self._invented(rng)
            case 3:
                return f"{self._invented(rng)} {rng.choice(self.names)}"
            case 4:
                return f"{rng.choice(self.words).title()} {rng.choice(self.words).title()}"
            case _:
                return f"{rng.choice(self.words)}-{rng.choice(self.words)}"

    def _invented(self, rng: random.Random) -> str:
        name = "".join(rng.choices(self.syllables, k=rng.choice((2, 2, 3)))).title()
        return name if name.lower() not in _HELD_OUT else self._invented(rng)


def key_pool(texts: Iterable[str]) -> KeyPool:
    """Keys whose parts are words of the training text, and syllables."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(re.findall(r"\b[A-Za-z][a-z]{2,10}\b", text))
    frequent = [word for word, count in counts.most_common() if count >= 3]
    words = [word for word in frequent if word.islower()][50:6000]
    names = [word for word in frequent if word.istitle() and word.lower() not in counts]
    names += [city.strip() for city in _CITIES]

    def free(items: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(item for item in items if not is_held_out(item)))

    return KeyPool(free(names), free(words), free(_SYLLABLES))


def is_held_out(key: str) -> bool:
    """Whether a word of the key is one that the needle tasks ask for."""
    return any(word in _HELD_OUT for word in re.split(r"[\W\d_]+", key.lower()))


def draw_kind(rng: random.Random, wording: Wording) -> str:
    """The kind of value that a prompt hides: "number" or, rarely, "uuid"."""
    return "uuid" if wording.takes_uuids and rng.random() < UUID_SHARE else "number"


def draw_value(rng: random.Random, kind: str) -> str:
    """A value: a number of 1 to 7 digits, or a UUID."""
    if kind == "uuid":
        return str(uuid.UUID(int=rng.getrandbits(128), version=4))
    num_digits = rng.randint(1, MAX_DIGITS)
    return str(rng.randrange(10 ** (num_digits - 1), 10**num_digits))
