"""What is hidden and what is asked: keys, values and their wording."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

MAX_VALUE = 50_000

CITIES = tuple(
    """
    Aarhus Abuja Accra Adelaide Agra Aleppo Algiers Almaty Amman Amsterdam Ankara Antwerp Asmara
    Athens Atlanta Auckland Baghdad Baku Bamako Bangalore Bangkok Barcelona Basel Beirut Belfast
    Belgrade Bergen Berlin Bern Bilbao Birmingham Bogota Bologna Bombay Bordeaux Boston Brasilia
    Bratislava Bremen Brisbane Bristol Brussels Bucharest Budapest Cairo Calgary Canberra Caracas
    Cardiff Casablanca Chennai Chicago Cologne Colombo Copenhagen Cordoba Cork Dakar Dallas Damascus
    Darwin Delhi Denver Detroit Dhaka Dresden Dublin Durban Edinburgh Florence Frankfurt Freetown
    Gdansk Geneva Genoa Ghent Glasgow Granada Graz Guadalajara Guayaquil Hamburg Hanoi Harare
    Havana Helsinki Hiroshima Hobart Houston Hyderabad Islamabad Istanbul Jaipur Jakarta Jerusalem
    Johannesburg Kabul Kampala Karachi Kathmandu Khartoum Kigali Kingston Kinshasa Kobe Krakow Kyoto
    Lagos Lahore Leeds Leipzig Liege Lille Lima Lisbon Liverpool Ljubljana London Luanda Lusaka
    Lyon Madrid Malaga Managua Manchester Manila Maputo Marrakesh Marseille Medellin Melbourne
    Memphis Miami Milan Minsk Mombasa Monrovia Monterrey Montevideo Montreal Moscow Mumbai Munich
    Nairobi Nantes Naples Nashville Newcastle Nicosia Odessa Oporto Osaka Oslo Ottawa Palermo Paris
    Perth Philadelphia Phoenix Pisa Portland Prague Pretoria Quebec Quito Rabat Rangoon Riga Rome
    Rosario Rotterdam Salzburg Santiago Sapporo Sarajevo Seattle Seoul Seville Shanghai Sheffield
    Singapore Sofia Stockholm Strasbourg Stuttgart Sydney Taipei Tallinn Tampere Tbilisi Tehran
    Tokyo Toledo Toronto Toulouse Tripoli Tunis Turin Utrecht Valencia Vancouver Venice Verona
    Vienna Vilnius Warsaw Wellington Windhoek Winnipeg Yerevan Yokohama Zagreb Zurich
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True, kw_only=True)
class NeedleTemplate:
    """The wording of a needle and of the question; the prompt ends where the answer begins.

    `phrase` is the part of `sentence` that names the key: a haystack that holds it already cannot
    take that key.
    """

    sentence: str = " The special magic {key} number is {value}."
    phrase: str = "special magic {key} number"
    question_one: str = (
        "\nWhat is the special magic {keys} number? The special magic {keys} number is"
    )
    question_many: str = (
        "\nWhat are the special magic {keys} numbers? The special magic {keys} numbers are"
    )

    def question(self, keys: Sequence[str]) -> str:
        """The question for these keys and the beginning of its answer."""
        if len(keys) == 1:
            return self.question_one.format(keys=keys[0])
        listed = ", ".join(keys[:-1]) + " and " + keys[-1]
        return self.question_many.format(keys=listed)

    def turns(self, keys: Sequence[str]) -> tuple[str, str]:
        """The same as turns of a conversation: the question, and the beginning of its answer."""
        asked, mark, begun = self.question(keys).rpartition("?")
        return asked + mark, begun.strip()


MAGIC_NUMBER = NeedleTemplate()


@dataclass(frozen=True)
class Needle:
    """A fact that a prompt hides."""

    key: str
    value: str

    def sentence(self, template: NeedleTemplate = MAGIC_NUMBER) -> str:
        """The sentence that goes into the haystack."""
        return template.sentence.format(key=self.key, value=self.value)


def draw_needles(
    rng: random.Random,
    num_needles: int,
    haystack_text: str,
    template: NeedleTemplate = MAGIC_NUMBER,
) -> tuple[Needle, ...]:
    """Needles with distinct keys and distinct values, none of which the haystack already names.

    Raises:
        ValueError: If there are not enough keys that the haystack does not name.
    """
    needles: list[Needle] = []
    values = rng.sample(range(1, MAX_VALUE + 1), min(num_needles, len(CITIES)))
    for key in rng.sample(CITIES, len(CITIES)):
        if len(needles) == num_needles:
            break
        if template.phrase.format(key=key) not in haystack_text:
            needles.append(Needle(key, str(values[len(needles)])))
    if len(needles) < num_needles:
        raise ValueError(
            f"needles={num_needles} is more than the {len(needles)} keys that the haystack leaves "
            "free: ask for fewer needles or use another haystack"
        )
    return tuple(needles)
