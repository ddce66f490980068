"""What the page on examinations says about the code, proved by running it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from random import Random
from typing import Any

import torch

from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited
from docs.pictures import exams, pupil
from nanochat import core, evaluate
from nanochat.conversation import Conversation, Message, render_prompt
from nanochat.tasks import load_task
from nanochat.tasks.base import Task

# ---- ways to break the package --------------------------------------------------------------------------------


@mutant("first-letter-always", "where there are choices, the first one is taken")
def first_letter_always() -> AbstractContextManager[object]:
    return edited(
        "nanochat.evaluate._choose", "scores[:, candidates].argmax(-1)", "scores[:, candidates[:1]].argmax(-1)"
    )


@mutant("chance-not-removed", "the mark of a task is its accuracy, whatever guessing gives")
def chance_not_removed() -> AbstractContextManager[object]:
    return edited(
        "nanochat.core.CoreTaskScore.centered", "(self.accuracy - self.chance) / (1 - self.chance)", "self.accuracy"
    )


@mutant("margin-of-one", "the margin does not shrink with the number of questions")
def margin_of_one() -> AbstractContextManager[object]:
    return edited("nanochat.evaluate.TaskScore.margin", "/ self.total)", "/ 1)")


@mutant("answers-summed", "long answers pay for their length: the surprise is added up over their tokens")
def answers_summed() -> AbstractContextManager[object]:
    return edited("nanochat.core.score_rows", "likelihood.mean().item()", "likelihood.sum().item()")


# ---- the sentences --------------------------------------------------------------------------------------------


class _Boxes(Task):
    """Questions with four boxes, drawn at random: nobody can know the answers."""

    name, title, choices = "boxes", "questions with four boxes", ("A", "B", "C", "D")

    def _ask(self, item: Any, rng: Random) -> Conversation:
        text = "\n".join([f"What is {item}?", *(f"{letter}) {rng.randrange(99)}" for letter in "ABCD")])
        return Conversation((Message.user(text), Message.assistant("B")))

    def _score(self, item: Any, asked: Conversation, answer: Message) -> float:
        return float(answer.text == "B")


@claim("exams-choose", about="nanochat.evaluate.score_task", killed_by="first-letter-always")
def choose() -> str:
    one, task = pupil.taught(8), _Boxes(list(range(20)))
    letters = [one.tokenizer.encode(letter)[0] for letter in task.choices]
    chosen: list[str] = []
    evaluate.score_task(one.model, one.tokenizer, task, on_answer=lambda n, answer, worth: chosen.append(answer.text))
    beaten = 0
    for number, choice in enumerate(chosen):
        prompt = render_prompt(one.tokenizer, evaluate.question_of(task[number]))
        with torch.no_grad():
            scores = one.model(torch.tensor([prompt]))[0, -1]
        best = max(range(4), key=lambda k, scores=scores: scores[letters[k]].item())
        check(choice, task.choices[best], "the letter with the highest score is the answer")
        beaten += int(scores.argmax()) not in letters
    check(beaten, len(chosen), "each time another token has a higher score")
    return (
        f"On {len(chosen)} questions the pupil, after 8 steps, chooses each time the letter with the highest score, "
        "and each time some other token has a higher one."
    )


@claim("exams-centered", about="nanochat.core.CoreTaskScore.centered", killed_by="chance-not-removed")
def centered() -> str:
    def mark(accuracy: float) -> float:
        return core.CoreTaskScore("quiz", accuracy=accuracy, chance=0.25, questions=100, cropped=0).centered

    check.close(mark(1.0), 1.0, "no mistake is one", abs=1e-9)
    return (
        f"With four boxes, an accuracy of 25% is a centered mark of {mark(0.25):.2f}, one of 55% is {mark(0.55):.2f}, "
        f"and one of 10% is {mark(0.1):.2f}."
    )


@claim("exams-margin", about="nanochat.evaluate.TaskScore.margin", killed_by="margin-of-one")
def margin() -> str:
    few, some, many = (exams.points(0.5, n) for n in (10, 100, 1000))
    check.close(exams.points(0.5, 100) / exams.points(0.5, 400), 2.0, "four times the questions", abs=1e-9)
    return (
        f"Where half of the answers are right, the margin is {few:.1f} points for 10 questions, {some:.1f} for 100 "
        f"and {many:.1f} for 1,000."
    )


@claim("exams-form", about="nanochat.evaluate.score_task", killed_by="open-end-is-fine")
def form() -> str:
    one = pupil.taught(8)
    task = load_task("arithmetic-sums", "test", limit=20)
    score = evaluate.score_task(one.model, one.tokenizer, task, max_tokens=12)
    check(score.correct, score.well_formed, "neither right nor well formed")
    return (
        f"`score_task` counts apart how many answers are right and how many have the right form: of {score.total} "
        f"sums the pupil, which has never seen a chat, gets {score.correct} of either."
    )


@claim("exams-mean", about="nanochat.core.score_rows", killed_by="answers-summed")
def mean() -> str:
    one = pupil.new()
    ids = one.tokenizer.encode("Max the dog had a kite.")
    row = [one.tokenizer.bos, *ids]
    (short, _), (long, _) = core.score_rows(one.model, [(row, 1), (row, 6)])
    check.close(short, long, "one token and six", abs=1e-5)
    return (
        f"A fresh model finds an answer of one token exactly as good as one of six: its mark for both is {long:.3f}, "
        "which is $-\\log V$."
    )
