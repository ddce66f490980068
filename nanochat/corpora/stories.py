"""A grammar that tells short stories for children, and knows what happened in them.

The stories are about eight young animals and their eight friends. Some things are so in every story: Ruby is the
fox, and the kite is the red kite. That is knowledge, which a model keeps in its weights. Who lost which toy where
changes from story to story. That is to be kept in mind from the first sentence to the last, and is what attention is
for.

One description serves three purposes. A plot is a list of *beats*; for each beat there are a few ways to tell
it; and each way is a template such as ``"{hero} looked for {hero.his} {thing}."``. A *role* (hero, thing) gets a
value (Pip, kite) for a whole story, and each value has *forms* (``{hero.his}`` is "his" for Pip). The writer fills
templates in (:func:`write_story`). The checker reads the same templates backwards (:func:`check_story`): every
mention narrows down what the role may be, and a story is consistent when some value is left for every role at
its end. And because the writer knows the roles, each story comes with questions and their answers.

Example:
    >>> import random
    >>> story = write_story(random.Random(4))
    >>> check_story(story.text).consistent
    True
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar

from nanochat.common import InputError

_T = TypeVar("_T")

Lexicon = Mapping[str, Mapping[str, str]]
"""The values that a role may take, each with its forms; the form ``""`` is the value as it is named."""

# --- The world: who and what there is ------------------------------------------------------------------------------

_HE = {"he": "he", "He": "He", "him": "him", "his": "his", "His": "His"}
_SHE = {"he": "she", "He": "She", "him": "her", "his": "her", "His": "Her"}

HEROES, FRIENDS = (
    {
        name: {"": name, "kind": kind, **pronouns}
        for pronouns, cast in animals
        for name, kind in (pair.split() for pair in cast.split(", "))
    }
    for animals in (
        ((_HE, "Pip mouse, Finn frog, Max dog, Milo mole"), (_SHE, "Ruby fox, Tilly duck, Daisy rabbit, Luna cat")),
        (
            (_HE, "Bruno bear, Hugo hedgehog, Sam squirrel, Otto otter"),
            (_SHE, "Olive owl, Rosie lamb, Poppy pony, Nelly goat"),
        ),
    )
)
"""The animals that stories are about, and the friends that they meet: their kind and their pronouns."""

THINGS: Lexicon = {
    full.split()[1]: {"": full.split()[1], "full": full}
    for full in (
        "red kite", "yellow drum", "blue boat", "green wagon", "silver whistle", "funny puppet", "tiny train",
        "golden lantern",
    )
}  # fmt: skip
"""The toys of the village; there is one of each, so the kite is the red kite in every story."""

FOODS: Lexicon = {word: {"": word} for word in "apples pears plums berries nuts cookies".split()}
"""What the characters eat, share and look for."""

PLACES: Lexicon = {
    place: {"": place, "at": f"{where} the {place}"}
    for place, where in (
        ("park", "in"), ("garden", "in"), ("forest", "in"), ("meadow", "in"), ("river", "by"), ("hill", "on"),
    )
}  # fmt: skip
"""Where the characters go."""
SPOTS: Lexicon = {
    spot: {"": spot}
    for spot in (
        "behind a big tree", "under an old bench", "in the tall grass", "under a bush", "behind a wall",
        "next to a stone",
    )
}  # fmt: skip
"""Where a lost thing lies."""
FAMILY: Lexicon = {word: {"": word} for word in ("mother", "father", "grandma", "grandpa")}
"""The older one of a story."""
NUMBERS: Lexicon = {word: {"": word, "Cap": word.capitalize()} for word in ("two", "three", "four", "five", "six")}
"""How many things there are."""
EVEN: Lexicon = {
    word: {**NUMBERS[word], "half": half} for word, half in (("two", "one"), ("four", "two"), ("six", "three"))
}
"""How many things two can share, and how many each gets."""
COMMON_ROLES: Mapping[str, Lexicon] = {
    "hero": HEROES, "friend": FRIENDS, "elder": FAMILY, "thing": THINGS, "food": FOODS, "place": PLACES, "spot": SPOTS,
    "number": NUMBERS,
}  # fmt: skip
"""The roles that mean the same in every plot."""


def _words(*values: str) -> Lexicon:
    return {value: {"": value} for value in values}


# --- The plots: what can happen ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plot:
    """A kind of story: its beats in order, and what can be asked about it."""

    name: str
    """One word, such as ``lost``."""
    moral: str
    """What the story is about, in a few words."""
    beats: tuple[tuple[str, ...], ...]
    """For each beat, the templates that may tell it; a template is one sentence or more."""
    questions: tuple[tuple[str, str, str, str], ...]
    """Kind, question, short answer and full answer, all templates."""
    own: Mapping[str, Lexicon] = field(default_factory=dict)
    """Roles that only this plot has, or for which it allows other values."""

    @property
    def roles(self) -> dict[str, Lexicon]:
        """The roles that the beats mention, with the values that they may take here."""
        every = {**COMMON_ROLES, **self.own}
        named = {role for beat in self.beats for template in beat for role, _ in _SLOT.findall(template)}
        return {role: lexicon for role, lexicon in every.items() if role in named}


_SLOT = re.compile(r"\{(\w+)(?:\.(\w+))?\}")

_OPENING = (
    "Once there was a little {hero.kind} named {hero}.",
    "There once was a young {hero.kind} called {hero}.",
    "{hero} was a small {hero.kind} with a warm heart.",
    "In a tiny house lived a {hero.kind} named {hero}.",
)

PLOTS: tuple[Plot, ...] = (
    Plot(
        "lost",
        "a lost toy is found with the help of a friend",
        (
            _OPENING,
            (
                "{hero.He} had a {thing.full} and took it everywhere.",
                "{hero.He} loved {hero.his} {thing.full} more than any other toy.",
                "For {hero.his} birthday {hero.he} got a {thing.full}.",
            ),
            (
                "One day {hero} played {place.at}. Then {why}, and the {thing} was gone.",
                "One morning {hero} took the {thing} to the {place}. But {why}, and soon the {thing} was gone.",
                "{hero} was playing {place.at} when {why}. After that, the {thing} was gone.",
            ),
            (
                '"Where is my {thing}?" cried {hero}. {hero.He} looked up and down, but could not see it.',
                '{hero} sat down and began to cry. "I lost my {thing}," {hero.he} said.',
                "{hero} looked for the {thing} all day long, and {hero.his} eyes were full of tears.",
            ),
            (
                (
                    '{friend} the {friend.kind} heard {hero} and came to help. "Two can look better than one," said '
                    "{friend}."
                ),
                'Then {friend} the {friend.kind} came by. "Do not be sad, {hero}," said {friend}. "I will help you."',
                "{friend} the {friend.kind} asked what was wrong, and {hero} told {friend} about the {thing}.",
            ),
            (
                '{friend} looked {spot}. "Here is your {thing}!" said {friend}.',
                "They looked for a long time. At last {friend} saw the {thing} {spot}.",
                "Soon {friend} saw something {spot}. It was the {thing}!",
            ),
            (
                '{hero} was so happy that {hero.he} danced. "Thank you, {friend}," said {hero}.',
                "{hero} laughed and gave {friend} a big hug.",
                '"You are the best friend of all, {friend}," said {hero}.',
            ),
            (
                "Then {hero} and {friend} played with the {thing} until it was time for bed.",
                "From that day on, {hero} let {friend} play with the {thing} too.",
                "{hero} held the {thing.full} very tight all the way home.",
            ),
        ),
        (
            ("what", "What did {hero} lose?", "the {thing.full}", "{hero} lost the {thing.full}."),
            ("who", "Who found the {thing}?", "{friend}", "{friend} found the {thing}."),
            ("where", "Where was the {thing} found?", "{spot}", "The {thing} was {spot}."),
            ("where", "Where did {hero} lose the {thing}?", "{place.at}", "{hero} lost the {thing} {place.at}."),
            ("why", "Why was the {thing} gone?", "because {why}", "The {thing} was gone because {why}."),
            (
                "why",
                "Why was {hero} sad?",
                "because the {thing} was gone",
                "{hero} was sad because the {thing} was gone.",
            ),
        ),
        {"why": _words("a strong wind came", "the rain began", "it got dark", "a loud noise came")},
    ),
    Plot(
        "share",
        "food tastes better when it is shared",
        (
            _OPENING,
            (
                "One day {hero} sat {place.at} with a bag of {food}.",
                "One morning {hero} put some {food} in a bag and went to the {place}.",
                "{hero.His} grandma gave {hero.him} some {food}, and {hero} took them to the {place}.",
            ),
            (
                "They smelled so good that {hero} could not wait.",
                '"These are all for me," said {hero}.',
                "{hero} wanted to eat them all alone.",
            ),
            (
                "Then {friend} the {friend.kind} came by. {friend.He} was very hungry because {why}.",
                "But there was {friend} the {friend.kind}, who looked sad. {friend.He} had no food because {why}.",
                "Just then {friend} the {friend.kind} sat down too, without any food, because {why}.",
            ),
            (
                '{hero} began to count. "There are {number}," said {hero}. "We can share them."',
                '"Please eat with me, {friend}," said {hero}. "I have {number} {food}."',
                "{hero} thought about it. {number.Cap} were too many for one.",
            ),
            (
                "So {hero} ate {number.half} and {friend} ate {number.half}.",
                "{hero} took {number.half} and gave {number.half} to {friend}.",
                "They had {number.half} each, and both were full.",
            ),
            (
                '"Thank you, {hero}," said {friend}. "You are very kind."',
                '"They taste better with you, {friend}," said {hero}.',
                "{friend} smiled and sang a happy song for {hero}.",
            ),
            (
                "Then {hero} and {friend} lay in the sun and looked at the clouds.",
                "The next day {friend} came back with a cake for {hero}.",
                "After that, {hero} and {friend} always shared their {food}.",
            ),
        ),
        (
            ("who", "Who was hungry?", "{friend}", "{friend} was hungry."),
            ("what", "What did {hero} share?", "the {food}", "{hero} shared the {food}."),
            ("where", "Where was {hero}?", "{place.at}", "{hero} was {place.at}."),
            ("how many", "How many {food} did {hero} have?", "{number}", "{hero} had {number} {food}."),
            ("how many", "How many {food} did {friend} get?", "{number.half}", "{friend} got {number.half}."),
            ("why", "Why did {friend} have no food?", "because {why}", "{friend} had no food because {why}."),
        ),
        {"number": EVEN, "why": _words("the cupboard was empty", "the shop was closed", "the bag had a hole")},
    ),
    Plot(
        "courage",
        "someone afraid helps a friend all the same",
        (
            _OPENING,
            (
                "{hero.He} was afraid of {fear}.",
                "{hero.He} was not afraid of much, but {hero.he} did not like {fear}.",
                "Everyone knew that {hero} was afraid of {fear}.",
            ),
            (
                "One night {hero} heard a cry from the {place}. It was {friend} the {friend.kind}, who {why}.",
                '"Help me!" cried someone one evening. {friend} the {friend.kind} was alone {place.at} and {why}.',
                "Late one evening {friend} the {friend.kind} was still {place.at}, because {friend.he} {why}.",
            ),
            (
                "{hero} was cold with fear, and {hero.his} legs shook. But {friend} needed help.",
                '"I am afraid," said {hero}, "but {friend} needs me."',
                "{hero} wanted to hide in bed. Then {hero.he} thought of {friend}, all alone.",
            ),
            (
                "So {hero} took a lamp, sang a brave song and walked to the {place}.",
                "So {hero} ran out into the night as fast as {hero.he} could.",
                "Step by step {hero} went through the night, and {hero.his} heart beat fast.",
            ),
            (
                '"I am here, {friend}!" called {hero}. {hero.He} took {friend} home to a warm fire.',
                "There was {friend}, cold and wet. {hero} helped {friend} up and led {friend.him} home.",
                "{friend} was so glad to see {hero}. Side by side they walked home.",
            ),
            (
                '"You came for me, {hero}," said {friend}. "How brave you are!"',
                '"Were you not afraid, {hero}?" asked {friend}. "I was," said {hero}, "but I came."',
                "{friend} gave {hero} warm milk and some {food}.",
            ),
            (
                "Since then, {hero} is not so afraid any more.",
                "That night {hero} was proud and slept very well.",
                "{hero} is still afraid at times, but {hero.he} knows that {hero.he} can be brave.",
            ),
        ),
        (
            ("who", "Who needed help?", "{friend}", "{friend} needed help."),
            ("what", "What was {hero} afraid of?", "{fear}", "{hero} was afraid of {fear}."),
            ("where", "Where was {friend}?", "{place.at}", "{friend} was {place.at}."),
            (
                "why",
                "Why did {friend} need help?",
                "because {friend.he} {why}",
                "{friend} needed help because {friend.he} {why}.",
            ),
        ),
        {
            "fear": _words("the dark", "the storm", "the fog", "the wind"),
            "why": _words("had lost the way", "had hurt a foot", "was stuck in the mud"),
        },
    ),
    Plot(
        "truth",
        "telling the truth about a broken toy",
        (
            _OPENING,
            (
                "{hero.His} friend {friend} the {friend.kind} had a {thing.full}.",
                "One day {friend} the {friend.kind} showed {hero} a {thing.full}.",
                "{friend} the {friend.kind} had a {thing.full} and let {hero} play with it.",
            ),
            (
                "{hero} played with the {thing} {place.at}. But {hero.he} {why}, and the {thing} broke.",
                "{hero} took the {thing} to the {place}. There {hero.he} {why}, and the {thing} broke in two.",
                "When {friend} was away, {hero} played with the {thing}. It broke because {hero.he} {why}.",
            ),
            (
                "{hero} was afraid and hid the {thing} {spot}.",
                '"{friend} will be so angry," thought {hero}. {hero.He} put the {thing} {spot}.',
                "Nobody saw it, so {hero} left the {thing} {spot} and went home.",
            ),
            (
                'Soon {friend} came and asked, "Have you seen my {thing}?"',
                '"Where is my {thing}?" asked {friend} the next day.',
                "The next day {friend} looked for the {thing} and could not find it.",
            ),
            (
                (
                    '{hero} felt very bad and told the truth. "I broke your {thing}, {friend}," {hero.he} said. "I '
                    'am sorry."'
                ),
                (
                    '{hero} looked at the ground. "It was me, {friend}," said {hero}. "I broke the {thing}, and I '
                    'am sorry."'
                ),
                '{hero} could not keep the secret. "I broke your {thing}, {friend}," said {hero}, "and I hid it."',
            ),
            (
                'At first {friend} was sad. Then {friend.he} said, "Thank you for telling me, {hero}."',
                (
                    '{friend} thought about it. "It was good to tell me, {hero}," said {friend}. "A friend is more '
                    'than a {thing}."'
                ),
                "{friend} was quiet for a while. Then {friend.he} smiled at {hero}.",
            ),
            (
                "They mended the {thing} together, and it was as good as new.",
                "With a little glue, {hero} and {friend} made the {thing} whole again.",
                "{hero} mended the {thing}, and {friend} was happy to play with it again.",
            ),
        ),
        (
            ("who", "Who broke the {thing}?", "{hero}", "{hero} broke the {thing}."),
            ("what", "What did {hero} break?", "the {thing.full}", "{hero} broke the {thing.full}."),
            ("where", "Where did {hero} leave the {thing}?", "{spot}", "{hero} left the {thing} {spot}."),
            ("why", "Why did the {thing} break?", "because {hero} {why}", "The {thing} broke because {hero} {why}."),
            ("who", "Who had a {thing.full}?", "{friend}", "{friend} had a {thing.full}."),
        ),
        {"why": _words("ran too fast", "pulled too hard", "fell over a root", "did not look")},
    ),
    Plot(
        "quarrel",
        "making up after a quarrel",
        (
            _OPENING,
            (
                "One day {hero} and {friend} the {friend.kind} found a {thing.full} {place.at}.",
                "{hero} went to the {place} with {friend} the {friend.kind}. There they found a {thing.full}.",
                "{hero} and {friend} the {friend.kind} were {place.at} when they saw a {thing.full}.",
            ),
            (
                '"I saw the {thing} first," said {hero}. "No, it is mine," said {friend}.',
                '"The {thing} is mine!" cried {hero}. "It is not!" cried {friend}.',
                "{hero} wanted the {thing}, and {friend} wanted it too.",
            ),
            (
                "They shouted and pulled until {friend} ran home in tears.",
                "They said bad words, and {friend} went home without the {thing}.",
                "{hero} pulled so hard that {friend} fell down. Then {friend} went away.",
            ),
            (
                "Now {hero} had the {thing}, but {why}.",
                "{hero} played with the {thing}. But {why}, and {hero} was sad.",
                "That evening {hero} looked at the {thing} and was not happy, because {why}.",
            ),
            (
                'So {hero} ran to the house of {friend}. "I am sorry, {friend}," said {hero}.',
                '{hero} took the {thing} to {friend}. "I do not want to fight with you, {friend}," said {hero}.',
                'The next day {hero} brought {friend} some {food}. "Please be my friend again, {friend}," said {hero}.',
            ),
            (
                '"I am sorry too, {hero}," said {friend}. "Let us take turns."',
                '"Let us share the {thing}, {hero}," said {friend}.',
                "{friend} gave {hero} a hug, and the quarrel was over.",
            ),
            (
                "First {hero} played with the {thing}, and then {friend} did.",
                "Now the {thing} belongs to {hero} and {friend}, and they never fight about it.",
                "{hero} and {friend} played with the {thing} together until it was dark.",
            ),
        ),
        (
            ("who", "Who found the {thing} with {hero}?", "{friend}", "{friend} found it with {hero}."),
            ("what", "What did they quarrel about?", "a {thing.full}", "They quarrelled about a {thing.full}."),
            ("where", "Where did they find the {thing}?", "{place.at}", "They found the {thing} {place.at}."),
            (
                "why",
                "Why was {hero} not happy with the {thing}?",
                "because {why}",
                "{hero} was not happy because {why}.",
            ),
        ),
        {"why": _words("it was no fun alone", "there was nobody to play with", "the house was too quiet")},
    ),
    Plot(
        "help",
        "many hands carry a heavy basket",
        (
            _OPENING,
            (
                "One day {hero} met {friend} the {friend.kind}, who had a big basket of {food}.",
                "On the way to school, {hero} saw {friend} the {friend.kind} with a basket of {food}.",
                "One morning {friend} the {friend.kind} met {hero} and showed {hero.him} a basket of {food}.",
            ),
            (
                "But {why}, and all the {food} fell on the ground.",
                "But all at once they fell down, because {why}.",
                "{hero} saw how the {food} fell down, because {why}.",
            ),
            (
                '"Oh no!" cried {friend}. "They are for my {elder}."',
                '{friend} began to cry. "My {elder} is waiting for them," said {friend}.',
                '"What will my {elder} say?" asked {friend}.',
            ),
            (
                '{hero} did not think twice. "I will help you, {friend}," {hero.he} said, and picked up {number}.',
                "{hero} wanted to play, but {friend} needed help. So {hero} picked up {number} of them.",
                '{hero} ran to help. "Do not cry, {friend}," {hero.he} said, and found {number} in the grass.',
            ),
            (
                "{friend} picked up the rest, and they carried the basket together.",
                "When the basket was full again, {hero} and {friend} carried it side by side.",
                "Then {hero} took one end of the basket, and {friend} took the other.",
            ),
            (
                'They came to a small house {place.at}. "Come in, come in!" said a happy voice.',
                "Soon they were {place.at}, and not a single one was missing.",
                "They sang all the way to the {place}, where everyone was glad to see them.",
            ),
            (
                "Then {hero} and {friend} got some {food} too, and they ate in the sun.",
                '"I could not do it without you, {hero}," said {friend}.',
                "{hero} went home with a full bag and a happy heart.",
            ),
        ),
        (
            ("who", "Who helped {friend}?", "{hero}", "{hero} helped {friend}."),
            ("what", "What was in the basket?", "{food}", "There were {food} in the basket."),
            (
                "who",
                "Who was waiting for the {food}?",
                "the {elder} of {friend}",
                "The {elder} of {friend} was waiting.",
            ),
            ("where", "Where did they take the {food}?", "to the {place}", "They took the {food} to the {place}."),
            ("how many", "How many {food} did {hero} pick up?", "{number}", "{hero} picked up {number} {food}."),
            ("why", "Why did the {food} fall down?", "because {why}", "The {food} fell down because {why}."),
        ),
        {"why": _words("the basket was too full", "the road was wet", "the basket had a hole")},
    ),
    Plot(
        "surprise",
        "a birthday that nobody forgot",
        (
            _OPENING,
            (
                "{hero} knew that {friend} the {friend.kind} would have a birthday soon.",
                "It was the birthday of {friend} the {friend.kind}, and {hero} had a plan.",
                "The birthday of {friend} the {friend.kind} was near, and {hero} thought of a surprise.",
            ),
            (
                "{hero.He} made a {thing.full} for {friend} and hid it {spot}.",
                "{hero.He} got a {thing.full}, and nobody saw how {hero.he} hid it {spot}.",
                '"I will give {friend} a {thing.full}," thought {hero}. {hero.He} put it {spot}.',
            ),
            (
                'When {friend} came to play, {hero} said, "I have no time today."',
                '{friend} knocked at the door, but {hero} said, "Not now, {friend}."',
                "{friend} asked {hero} to play, but {hero} ran away with a smile.",
            ),
            (
                "{friend} went home and was sad, because {why}.",
                "{friend} did not know what to think. {friend.He} was sad, because {why}.",
                "{friend} sat down alone and felt sad, because {why}.",
            ),
            (
                "Then {hero} asked {friend} to come to the {place}. All the friends were there with {food}.",
                "In the evening {friend} walked to the {place}. There stood {hero} with a plate of {food}.",
                "But then {friend} heard music {place.at}. The friends had brought {number} candles and many {food}.",
            ),
            (
                '"Surprise!" cried {hero}. "Happy birthday, {friend}!"',
                '"Happy birthday, {friend}!" cried {hero}, and everyone sang.',
                '{hero} laughed. "Did you think I forgot your birthday, {friend}?"',
            ),
            (
                "Then {hero} gave {friend} the {thing}, and {friend} jumped for joy.",
                '{friend} opened a box and found the {thing}. "Thank you, {hero}!" said {friend}.',
                "{friend} got the {thing.full} and played with it all evening.",
            ),
        ),
        (
            ("who", "Who had a birthday?", "{friend}", "{friend} had a birthday."),
            ("who", "Who planned the surprise?", "{hero}", "{hero} planned the surprise."),
            ("what", "What did {friend} get?", "the {thing.full}", "{friend} got the {thing.full}."),
            ("where", "Where was the {thing} hidden?", "{spot}", "The {thing} was hidden {spot}."),
            ("where", "Where was the surprise?", "{place.at}", "The surprise was {place.at}."),
            ("how many", "How many candles were there?", "{number}", "There were {number} candles."),
            ("why", "Why was {friend} sad?", "because {why}", "{friend} was sad because {why}."),
        ),
        {"why": _words("no one had time", "there was no cake", "nobody had come")},
    ),
    Plot(
        "practice",
        "learning a skill takes many tries",
        (
            _OPENING,
            (
                "{hero.He} wanted to {skill} like {friend} the {friend.kind}.",
                "{hero.He} saw {friend} the {friend.kind} {skill}, and wanted to {skill} too.",
                "More than anything, {hero.he} wanted to learn to {skill}, as {friend} the {friend.kind} could.",
            ),
            (
                "One day {hero} went to the {place} to try. {hero.He} tried {number} times, but it did not work.",
                "{hero} tried it {place.at}, where nobody could see. {number.Cap} times it went wrong.",
                "So {hero} went to the {place} and tried {number} times. But {hero.he} still could not do it.",
            ),
            (
                '"I will never learn it," said {hero}, and a tear ran down.',
                "{hero} was angry and wanted to stop, because {why}.",
                "{hero} wanted to give up, because {why}.",
            ),
            (
                '{friend} saw it and came by. "I could not do it at first, {hero}," said {friend}.',
                '"Do you know how I learned it?" asked {friend}. "I tried every day."',
                '{friend} sat down next to {hero}. "Go slowly," said {friend}, "and try once more."',
            ),
            (
                "So {hero} got up and tried again, and {friend} showed {hero.him} how.",
                "Every day {hero} came back, and {friend} helped {hero.him}.",
                "{hero} listened to {friend} and tried again every morning.",
            ),
            (
                'And one day it worked! "Look, {friend}, I can do it!" cried {hero}.',
                "Then, one sunny day, {hero} could do it. {friend} clapped and cheered.",
                "At the end of the week, {hero} was as good as {friend}.",
            ),
            (
                "Now {hero} and {friend} meet every evening to {skill} together.",
                '"You did not give up, {hero}," said {friend}. They ate {food} and laughed.',
                "{hero} was so proud that {hero.he} showed it to {hero.his} {elder}.",
            ),
        ),
        (
            ("who", "Who helped {hero}?", "{friend}", "{friend} helped {hero}."),
            ("what", "What did {hero} want to learn?", "to {skill}", "{hero} wanted to learn to {skill}."),
            ("where", "Where did {hero} try to {skill}?", "{place.at}", "{hero} tried to {skill} {place.at}."),
            ("how many", "How many times did it go wrong?", "{number}", "It went wrong {number} times."),
            ("why", "Why did {hero} want to stop?", "because {why}", "{hero} wanted to stop because {why}."),
        ),
        {
            "skill": _words("dance", "sing", "juggle", "paint", "climb", "skip"),
            "why": _words("it was so hard", "nothing worked", "everyone else could do it"),
        },
    ),
    Plot(
        "welcome",
        "someone new finds a friend",
        (
            _OPENING,
            (
                "One day a new {friend.kind} came to the village. {friend.His} name was {friend}.",
                "{friend} the {friend.kind} was new in the village and very shy.",
                "In the next house lived a new {friend.kind} named {friend}.",
            ),
            (
                "{friend} sat alone {place.at}, because {why}.",
                "Every day {hero} saw {friend} alone {place.at}. {friend} did not play, because {why}.",
                "The others played {place.at}, but {friend} stood alone, because {why}.",
            ),
            (
                "{hero} thought about it. Then {hero.he} took {hero.his} {thing.full} and went to {friend}.",
                '"I must do something," thought {hero}. {hero.He} brought a {thing.full} for {friend}.',
                "So {hero} came to {friend} with a {thing.full} under {hero.his} arm.",
            ),
            (
                '"Hello, I am {hero}," {hero.he} said. "Do you want to play with my {thing}?"',
                '"My name is {hero}," said {hero}. "This {thing} is more fun with two."',
                '{hero} held out the {thing}. "You may try it, {friend}," said {hero}.',
            ),
            (
                '{friend} smiled a little and took the {thing}. "Thank you, {hero}," said {friend}.',
                "At first {friend} only looked at {hero}. Then {friend.he} took the {thing} and laughed.",
                '{friend} looked up. "I like your {thing}, {hero}," {friend.he} said with a small voice.',
            ),
            (
                "They played with the {thing} all day, and {friend} gave {hero} some {food}.",
                "Soon they ran and laughed, and {hero} shared {hero.his} {food} with {friend}.",
                "{friend} had {number} {food}, and they ate them together.",
            ),
            (
                "Since then, {friend} is not shy any more, and {hero} has a new friend.",
                '"Will you come again, {hero}?" asked {friend}. {hero} came every day.',
                "When the sun went down, {hero} and {friend} were good friends.",
            ),
        ),
        (
            ("who", "Who was new in the village?", "{friend}", "{friend} was new in the village."),
            ("what", "What did {hero} bring?", "a {thing.full}", "{hero} brought a {thing.full}."),
            ("what", "What did they eat?", "{food}", "They ate {food}."),
            ("where", "Where was {friend} alone?", "{place.at}", "{friend} was alone {place.at}."),
            ("why", "Why was {friend} alone?", "because {why}", "{friend} was alone because {why}."),
        ),
        {"why": _words("everything was strange", "all the faces were new", "nobody had said hello")},
    ),
    Plot(
        "seeds",
        "good things need time",
        (
            _OPENING,
            (
                "In spring {hero} put {number} seeds in the ground {place.at}.",
                "{hero.His} {elder} gave {hero.him} {number} seeds, and {hero} planted them {place.at}.",
                "One day {hero} found {number} seeds and planted them {place.at}.",
            ),
            (
                "Every morning {hero} ran out to look, but nothing grew.",
                "{hero} wanted to see green leaves the next day. But there was only brown earth.",
                "{hero} looked and looked, but nothing came up.",
            ),
            (
                '"My seeds are no good," said {hero}. {hero.He} wanted to dig them up.',
                '{hero} was angry. "They will never grow," {hero.he} said.',
                "{hero} took a stick and began to dig, to see what was wrong.",
            ),
            (
                '"Wait!" said {friend} the {friend.kind}. "Seeds need {why}."',
                '{friend} the {friend.kind} saw it and came by. "They need {why}, {hero}," said {friend}.',
                'Then {friend} the {friend.kind} came by. "Give them {why}, {hero}," said {friend}.',
            ),
            (
                "So {hero} waited, and {friend} waited too. At last there were small green leaves.",
                "{hero} listened to {friend} and let the seeds sleep. One day the first small plants came up.",
                "It was hard to wait, but {friend} told {hero} stories. And then the first green leaf came.",
            ),
            (
                "In summer there were {food}, fresh and sweet.",
                "When summer came, {hero} picked a whole basket of {food}.",
                "The plants grew and grew, until they were full of {food}.",
            ),
            (
                '"You were right, {friend}," said {hero}, and gave {friend.him} half of them.',
                "{hero} and {friend} sat in the sun and ate until they were full.",
                '"Half of them are for you, {friend}," said {hero}. "You showed me how to wait."',
            ),
        ),
        (
            ("who", "Who told {hero} to wait?", "{friend}", "{friend} told {hero} to wait."),
            ("what", "What grew from the seeds?", "{food}", "There were {food} on the plants."),
            ("where", "Where were the seeds?", "{place.at}", "The seeds were {place.at}."),
            ("how many", "How many seeds did {hero} plant?", "{number}", "{hero} planted {number} seeds."),
            ("what", "What do seeds need?", "{why}", "Seeds need {why}."),
        ),
        {
            "food": _words("berries", "plums", "apples"),
            "place": {name: PLACES[name] for name in ("garden", "meadow", "hill", "park")},
            "why": _words("rain and time", "sun and sleep", "water and time"),
        },
    ),
    Plot(
        "builder",
        "trying again after a failure",
        (
            _OPENING,
            (
                "{hero.He} wanted a {thing}, but {hero.he} had no money.",
                "{hero.He} dreamed of a {thing}, but there was none in the shop.",
                "What {hero.he} wanted most was a {thing}.",
            ),
            (
                "So {hero} made a {thing} out of wood and string. It took {number} days.",
                '"I will make one," said {hero}. For {number} days {hero.he} worked on the {thing}.',
                "{hero} worked for {number} days, and then the {thing} was done.",
            ),
            (
                "{hero} took the {thing} to the {place}. But {why}, and it fell apart.",
                "But {place.at} the {thing} fell apart, because {why}.",
                "{hero} wanted to try the {thing} {place.at}. But {why}, and it broke.",
            ),
            (
                '"All my work is gone," said {hero}. {hero.He} threw the wood away.',
                "{hero} did not want to see the {thing} any more.",
                '"I am not good at this," said {hero} with tears in {hero.his} eyes.',
            ),
            (
                '{friend} the {friend.kind} picked up the wood. "Let us try again, {hero}," said {friend}.',
                (
                    'But {friend} the {friend.kind} had seen it all. "The next {thing} will be better, {hero}," '
                    "said {friend}."
                ),
                '"It was a good {thing}," said {friend} the {friend.kind}. "We can make a strong one."',
            ),
            (
                "{friend} held the wood, and {hero} used more string. Soon they had a strong {thing}.",
                "{hero} and {friend} worked together. This time the {thing} was strong.",
                "{friend} brought glue and paint, and {hero} made a new {thing}.",
            ),
            (
                "Everyone in the village wanted to see the {thing.full}.",
                '"We did it, {friend}!" cried {hero}. They ate {food} and were proud.',
                "Of all toys, {hero} liked this {thing} best, because {hero.he} had made it with {friend}.",
            ),
        ),
        (
            ("who", "Who helped {hero}?", "{friend}", "{friend} helped {hero}."),
            ("what", "What did {hero} make?", "a {thing}", "{hero} made a {thing}."),
            ("where", "Where did the first {thing} break?", "{place.at}", "The first {thing} broke {place.at}."),
            ("how many", "How many days did {hero} work?", "{number}", "{hero} worked {number} days."),
            ("why", "Why did the first {thing} break?", "because {why}", "The first {thing} broke because {why}."),
        ),
        {"why": _words("the wind was strong", "the string was old", "the rain made it wet")},
    ),
    Plot(
        "night",
        "a friend helps another to sleep",
        (
            _OPENING,
            (
                "One night {friend} the {friend.kind} slept in the house of {hero}.",
                "{friend} the {friend.kind} came to stay with {hero} for {number} nights.",
                "One evening {friend} the {friend.kind} came to sleep at the house of {hero}.",
            ),
            (
                "They ate {food}, washed their faces and went to bed.",
                "First they had {food} and milk, and then it was time for bed.",
                "The {elder} of {hero} gave them {food} and put out the light.",
            ),
            (
                "But {friend} could not sleep, because {why}.",
                "In the dark {friend} began to cry, because {why}.",
                '"I cannot sleep, {hero}," said {friend}. It was because {why}.',
            ),
            (
                '{hero} sat up. "You can have my {thing.full}, {friend}," said {hero}.',
                "{hero} got up and brought {friend} a {thing.full}.",
                '"When I am sad, I take my {thing.full}," said {hero}, and gave it to {friend}.',
            ),
            (
                "{friend} held the {thing}, and {hero} sang a song about the {place}.",
                "Then {hero} told {friend} about a day {place.at}, and {friend} put the {thing} under the blanket.",
                "{friend} took the {thing} to bed, and {hero} told a story about the {place}.",
            ),
            (
                '"Good night, {hero}," said {friend}. Soon {friend.he} was asleep.',
                "{friend} closed {friend.his} eyes, and {hero} was quiet.",
                "In no time at all, {friend} was asleep.",
            ),
            (
                "In the morning {friend} still had the {thing} next to {friend.him}.",
                'When the sun came up, {friend} gave back the {thing}. "Now I know how to sleep," said {friend}.',
                "The next day {hero} and {friend} went out and played with the {thing}.",
            ),
        ),
        (
            ("who", "Who could not sleep?", "{friend}", "{friend} could not sleep."),
            ("what", "What did {hero} give {friend}?", "a {thing.full}", "{hero} gave {friend} a {thing.full}."),
            ("what", "What did they eat?", "{food}", "They ate {food}."),
            ("how many", "How many nights did {friend} stay?", "{number}", "{friend} stayed {number} nights."),
            ("why", "Why could {friend} not sleep?", "because {why}", "{friend} could not sleep because {why}."),
        ),
        {
            "thing": {word: THINGS[word] for word in ("puppet", "lantern", "train", "boat")},
            "why": _words("the wind was loud", "the moon was too bright", "the bed was so big"),
        },
    ),
)
"""All plots; a story is told from one of them."""

# --- Writing -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """Something to ask about a story, with what the story says."""

    kind: str
    """``who``, ``what``, ``where``, ``why`` or ``how many``."""
    question: str
    """The question, ending in a question mark."""
    answer: str
    """The answer in as few words as possible, without a full stop."""
    reply: str
    """The answer as a whole sentence."""


@dataclass(frozen=True)
class Story:
    """A story and what the grammar knows about it."""

    text: str
    """The story, sentences separated by single spaces."""
    plot: str
    """The name of its plot."""
    facts: Mapping[str, str]
    """Who and what filled each role that the text mentions, such as ``{"hero": "Pip", "thing": "kite"}``."""
    questions: tuple[Question, ...]
    """What can be asked; every answer follows from the text."""


def write_story(rng: random.Random, plot: str | None = None) -> Story:
    """Tell one story.

    Args:
        rng: Where the choices come from: equal states tell equal stories, on every machine.
        plot: The name of a plot; None lets ``rng`` choose.

    Returns:
        The story with its facts and questions.

    Raises:
        InputError: If there is no such plot.

    Example:
        >>> write_story(random.Random(1), plot="lost").questions[1].question
        'Who found the train?'
    """
    if plot is None:
        chosen = _pick(rng, PLOTS)
    else:
        chosen = next((candidate for candidate in PLOTS if candidate.name == plot), None)
        if chosen is None:
            raise InputError(f"plot {plot!r} is unknown: use one of {', '.join(each.name for each in PLOTS)}")
    lexicons = chosen.roles
    values = {role: _pick(rng, list(lexicon)) for role, lexicon in lexicons.items()}
    told = [_pick(rng, beat) for beat in chosen.beats]
    mentioned = {role for template in told for role, _ in _SLOT.findall(template)}
    return Story(
        " ".join(_fill(template, lexicons, values) for template in told),
        chosen.name,
        {role: value for role, value in values.items() if role in mentioned},
        tuple(
            Question(kind, *(_fill(template, lexicons, values) for template in templates))
            for kind, *templates in chosen.questions
            if all(role in mentioned for template in templates for role, _ in _SLOT.findall(template))
        ),
    )


def stories(n: int, seed: int) -> list[Story]:
    """Tell ``n`` stories, no two of them equal.

    Args:
        n: How many.
        seed: Chooses them: the first stories of a longer list are those of a shorter one.

    Returns:
        The stories.

    Raises:
        InputError: If ``n`` is negative, or so large that the grammar repeats itself.
    """
    if n < 0:
        raise InputError(f"n={n} stories: the number must be at least 0")
    rng = random.Random(seed)
    told: dict[str, Story] = {}
    for _ in range(2 * n + 100):
        if len(told) == n:
            return list(told.values())
        story = write_story(rng)
        told.setdefault(story.text, story)
    raise InputError(f"n={n} stories are more than the grammar tells without repeating itself: ask for fewer")


def _pick(rng: random.Random, choices: Sequence[_T]) -> _T:
    """Choose evenly; of all methods of Random only ``random()`` promises the same numbers for ever."""
    return choices[int(rng.random() * len(choices))]


def _fill(template: str, lexicons: Mapping[str, Lexicon], values: Mapping[str, str]) -> str:
    return _SLOT.sub(lambda slot: lexicons[slot[1]][values[slot[1]]][slot[2] or ""], template)


# --- Reading -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StoryCheck:
    """What the grammar thinks of a text."""

    sentences: int
    """How many sentences the text has."""
    parsed: int
    """How many of them are sentences of the grammar, whatever the roles."""
    consistent: bool
    """True when the grammar could have told exactly this: one plot from its first beat to its last, and in every
    role (names, thing, color, food, place, number, reason) one value from start to end."""
    plot: str | None
    """The plot that fits the most sentences, or None."""
    facts: Mapping[str, str]
    """The value of each role that the text settles, as far as the reading got."""
    problems: tuple[str, ...]
    """What is wrong, in words; empty exactly when the story is consistent."""


Meanings = Mapping[tuple[str, str], Mapping[str, frozenset[str]]]
"""For each role and form, what the words can mean: ``("hero", "he")`` maps "she" to all the girls."""

Bindings = dict[str, frozenset[str]]
"""For each role, the values that the mentions so far leave possible."""


@dataclass(frozen=True)
class _Sentence:
    """One sentence of a template, as a pattern."""

    pattern: re.Pattern[str]
    slots: tuple[tuple[str, str], ...]
    """Role and form of each group of the pattern, in order."""
    beat: int
    anchor: str
    """Its longest run of fixed words: a quick look for it spares the pattern in most cases."""

    def read(self, text: str, meanings: Meanings) -> list[tuple[str, str, frozenset[str]]] | None:
        """Return (role, words, possible values) for each slot, or None if the text is another sentence."""
        found = self.pattern.fullmatch(text) if self.anchor in text else None
        if found is None:
            return None
        return [(slot[0], words, meanings[slot][words]) for slot, words in zip(self.slots, found.groups(), strict=True)]


@dataclass(frozen=True)
class _Reader:
    """A plot, turned around: patterns instead of templates."""

    plot: Plot
    meanings: Meanings
    beats: tuple[tuple[tuple[_Sentence, ...], ...], ...]
    """For each beat the ways to tell it, each a series of sentences."""


@cache
def _readers() -> tuple[_Reader, ...]:
    return tuple(_reader(plot) for plot in PLOTS)


def _reader(plot: Plot) -> _Reader:
    meanings: dict[tuple[str, str], dict[str, frozenset[str]]] = {}
    for role, lexicon in plot.roles.items():
        for value, forms in lexicon.items():
            for form, words in forms.items():
                known = meanings.setdefault((role, form), {})
                known[words] = known.get(words, frozenset()) | {value}

    def compiled(sentence: str, beat: int) -> _Sentence:
        slots = tuple(_SLOT.findall(sentence))
        literals = re.split(r"\{[\w.]+\}", sentence)
        choices = ["(" + "|".join(map(re.escape, meanings[slot])) + ")" for slot in slots]
        pattern = "".join(re.escape(a) + b for a, b in zip(literals, [*choices, ""], strict=True))
        return _Sentence(re.compile(pattern), slots, beat, max(literals, key=len))

    beats = tuple(
        tuple(tuple(compiled(sentence, number) for sentence in split_sentences(template)) for template in beat)
        for number, beat in enumerate(plot.beats)
    )
    return _Reader(plot, meanings, beats)


_SENTENCE_END = re.compile(r'(?<=[.!?]) (?=["A-Z{])|(?<=[.!?]") (?=["A-Z{])')


def split_sentences(text: str) -> list[str]:
    """Cut a text after full stops, question and exclamation marks, with the quotation marks that belong to them.

    Example:
        >>> split_sentences('"Is it here?" asked Pip. He looked. It was gone!')
        ['"Is it here?" asked Pip.', 'He looked.', 'It was gone!']
    """
    return _SENTENCE_END.split(text.strip()) if text.strip() else []


def check_story(text: str) -> StoryCheck:
    """Read a story with the grammar, and say whether everything in it stays what it was.

    Args:
        text: A story, for example a sample of a model. White space at its ends is ignored.

    Returns:
        The verdict. It is strict: a single word outside the grammar makes a story inconsistent, because nobody
        can tell what such a story is about.

    Example:
        >>> story = write_story(random.Random(2), plot="seeds").text
        >>> check_story(story).problems
        ()
        >>> check_story("Once there was a little mouse named Ruby.").problems[0]
        'sentence 1: hero is Pip ("mouse"), but also Ruby'
    """
    sentences = split_sentences(text)
    best: tuple[int, int, _Reader] | None = None
    known = [False] * len(sentences)
    for order, reader in enumerate(_readers()):
        fits = 0
        for i, sentence in enumerate(sentences):
            if any(pattern.read(sentence, reader.meanings) is not None for pattern in _patterns(reader)):
                known[i] = True
                fits += 1
        bindings = _parse(reader, sentences)
        if bindings is not None:
            return StoryCheck(len(sentences), len(sentences), True, reader.plot.name, _settled(bindings), ())
        if fits and (best is None or (fits, -order) > best[:2]):
            best = (fits, -order, reader)
    if best is None:
        what = tuple(f"sentence {i} is not in the grammar: {each}" for i, each in enumerate(sentences, 1))
        return StoryCheck(len(sentences), 0, False, None, {}, what or ("the text is empty",))
    problems, bindings = _explain(best[2], sentences, known)
    return StoryCheck(len(sentences), sum(known), False, best[2].plot.name, _settled(bindings), tuple(problems))


def _patterns(reader: _Reader) -> Iterator[_Sentence]:
    return (sentence for beat in reader.beats for way in beat for sentence in way)


def _settled(bindings: Bindings) -> dict[str, str]:
    return {role: next(iter(values)) for role, values in bindings.items() if len(values) == 1}


def _narrow(bindings: Bindings, mentions: Sequence[tuple[str, str, frozenset[str]]]) -> Bindings | None:
    """Let each mention narrow its role; None when a role is left without a value."""
    narrowed = dict(bindings)
    for role, _, values in mentions:
        narrowed[role] = narrowed.get(role, values) & values
        if not narrowed[role]:
            return None
    return narrowed


def _parse(
    reader: _Reader, sentences: Sequence[str], beat: int = 0, at: int = 0, bindings: Bindings | None = None
) -> Bindings | None:
    """Read the rest of a story from one beat on; return what it settles, or None if it cannot be read."""
    bindings = bindings or {}
    if beat == len(reader.beats):
        return bindings if at == len(sentences) else None
    for way in reader.beats[beat]:
        narrowed: Bindings | None = bindings
        for offset, sentence in enumerate(way):
            mentions = sentence.read(sentences[at + offset], reader.meanings) if at + offset < len(sentences) else None
            narrowed = _narrow(narrowed, mentions) if mentions is not None else None
            if narrowed is None:
                break
        else:
            done = _parse(reader, sentences, beat + 1, at + len(way), narrowed)
            if done is not None:
                return done
    return None


def _explain(reader: _Reader, sentences: Sequence[str], known: Sequence[bool]) -> tuple[list[str], Bindings]:
    """Go through a story that cannot be read as a whole, and note where it leaves the grammar."""
    problems: list[str] = []
    bindings: Bindings = {}
    named: dict[str, str] = {}
    last = -1
    for number, sentence in enumerate(sentences, 1):
        readings = [
            (each.beat, mentions)
            for each in _patterns(reader)
            if (mentions := each.read(sentence, reader.meanings)) is not None
        ]
        if not readings:
            why = f"does not belong to the plot {reader.plot.name!r}" if known[number - 1] else "is not in the grammar"
            problems.append(f"sentence {number} {why}: {sentence}")
            continue
        readings.sort(key=lambda reading: (_narrow(bindings, reading[1]) is None, reading[0] < last))
        beat, mentions = readings[0]
        if beat < last:
            problems.append(f"sentence {number} comes too late: {sentence}")
        last = max(beat, last)
        for role, words, values in mentions:
            left = bindings.get(role, values) & values
            if left:
                if left != bindings.get(role):  # the first mention, or one that says more
                    named[role] = _called(words, left)
                bindings[role] = left
            else:
                problems.append(f"sentence {number}: {role} is {named[role]}, but also {_called(words, values)}")
    if last < len(reader.beats) - 1:
        problems.append("the story stops before its end")
    return problems or ["the story leaves out a part, or tells one twice"], bindings


def _called(words: str, values: frozenset[str]) -> str:
    """Name a value, with the words that stand for it where they are others: Pip ("mouse")."""
    if len(values) > 1:
        return f'"{words}"'
    value = next(iter(values))
    return value if value == words else f'{value} ("{words}")'


# --- Comparing -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Nearest:
    """The story of a collection that shares the most with a text."""

    index: int
    """Its place in the collection, from 0."""
    text: str
    """The story."""
    share: float
    """The share of the text's runs of words that also stand in the story, 0 to 1."""


class StoryIndex:
    """Finds the story most like a text, among thousands and within milliseconds.

    Likeness is the share of runs of ``n`` successive words that two texts have in common. A model that has
    memorised a story repeats it with a share of 1; two stories of the same plot share the fixed parts of sentences.

    Args:
        texts: The stories to search, for example all that a model was trained on.
        n: Words in a run.

    Raises:
        InputError: If there are no stories.

    Example:
        >>> index = StoryIndex(["A fox ran over the hill.", "A duck sat by the old pond."])
        >>> index.nearest("A small duck sat by the pond.").index
        1
    """

    def __init__(self, texts: Sequence[str], n: int = 3) -> None:
        if not texts:
            raise InputError("there are no stories to compare with: give at least one")
        self.texts, self.n = texts, n
        self._where: dict[tuple[str, ...], list[int]] = {}
        for number, text in enumerate(texts):
            for run in _runs(text, n):
                self._where.setdefault(run, []).append(number)

    def nearest(self, text: str) -> Nearest:
        """Return the story that shares the most runs of words with ``text``; the first one on a tie."""
        runs = _runs(text, self.n)
        counts = Counter(number for run in runs for number in self._where.get(run, ()))
        index, shared = min(counts.items(), key=lambda item: (-item[1], item[0]), default=(0, 0))
        return Nearest(index, self.texts[index], shared / max(1, len(runs)))


def nearest_story(text: str, texts: Sequence[str]) -> Nearest:
    """Return the story of ``texts`` that is most like ``text``; use :class:`StoryIndex` for many questions."""
    return StoryIndex(texts).nearest(text)


def _runs(text: str, n: int) -> dict[tuple[str, ...], None]:
    """Return the distinct runs of n words, in the order of the text."""
    words = re.findall(r"\w+|[^\w\s]", text.lower())
    return dict.fromkeys(tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1)))
