"""What the chapter on rewards says about the code, proved by running it."""

from __future__ import annotations

import math
import random
from contextlib import AbstractContextManager

import torch

from docs._ext.claims import check, claim, mutant
from docs._ext.mutation import edited
from docs.pictures import reinforcement as pupils
from nanochat import engine, reinforce, train
from nanochat.common import IGNORED

ADVANTAGES = "nanochat.reinforce.advantages"
BATCH = "nanochat.reinforce.as_batch"
DISTANCE = "return [reward - mean for reward in rewards]"


# ---- ways to break the package --------------------------------------------------------------------------------


@mutant("advantage-reversed", "what was worse than the mean becomes likelier")
def advantage_reversed() -> AbstractContextManager[object]:
    return edited(ADVANTAGES, DISTANCE, "return [mean - reward for reward in rewards]")


@mutant("mean-not-subtracted", "each try counts by its plain reward")
def mean_not_subtracted() -> AbstractContextManager[object]:
    return edited(ADVANTAGES, DISTANCE, "return list(rewards)", "return [0.0] * len(rewards)", "return list(rewards)")


@mutant("divided-by-deviation", "advantages are divided by the standard deviation of the group, as in GRPO")
def divided_by_deviation() -> AbstractContextManager[object]:
    return edited(
        ADVANTAGES,
        DISTANCE,
        "spread = math.sqrt(math.fsum((r - mean) ** 2 for r in rewards) / len(rewards))\n"
        "    return [(reward - mean) / spread for reward in rewards]",
    )


@mutant("compared-with-half", "rewards are compared with one half and not with the mean of the group")
def compared_with_half() -> AbstractContextManager[object]:
    return edited(
        ADVANTAGES,
        DISTANCE,
        "return [reward - 0.5 for reward in rewards]",
        "return [0.0] * len(rewards)",
        "return [reward - 0.5 for reward in rewards]",
    )


@mutant("forced-tokens-counted", "what the calculator put there is learned as if the model had chosen it")
def forced_tokens_counted() -> AbstractContextManager[object]:
    return edited(BATCH, "own = ~torch.tensor(one.forced)", "own = torch.ones(len(one.forced), dtype=torch.bool)")


@mutant("equal-groups-counted", "tokens of groups with equal rewards count in the mean over all tokens")
def equal_groups_counted() -> AbstractContextManager[object]:
    return edited(BATCH, "if advantage != 0.0:", "if True:")


@mutant("tries-weigh-alike", "each try weighs alike, so that a token of a long one weighs less")
def tries_weigh_alike() -> AbstractContextManager[object]:
    return edited(BATCH, "torch.where(own, advantage, 0.0)", "torch.where(own, advantage / int(own.sum()), 0.0)")


@mutant("unfinished-rewarded", "an answer that did not come to its end is judged like any other")
def unfinished_rewarded() -> AbstractContextManager[object]:
    return edited("nanochat.reinforce.roll_out", "if answer[-1] == end else 0.0", "if True else 0.0")


@mutant("sampling-sharpened", "tokens are drawn from sharper probabilities than those of the model")
def sampling_sharpened() -> AbstractContextManager[object]:
    return edited(
        "nanochat.engine.next_token_probabilities", "softmax(logits / temperature,", "softmax(2 * logits / temperature,"
    )


@mutant("empty-step-moves", "a step in which no token counts moves the weights by what the optimizers remember")
def empty_step_moves() -> AbstractContextManager[object]:
    return edited(
        "nanochat.train.train_step",
        "for optimizer in state.optimizers if n_targets else ():",
        "for optimizer in state.optimizers:",
    )


# ---- the chapter ----------------------------------------------------------------------------------------------


@claim("rl-habits", about="nanochat.dataloader.ConversationLoader", killed_by="learning-rate-zero")
def habits() -> str:
    model, task = pupils.pupil(), pupils.Sums()
    share = pupils.calling(model)
    blurted, correct, guesses = 0, 0.0, 0
    for number in range(len(task)):
        for one in pupils.tries(model, number):
            guess = one.answer[0] != pupils.CALL
            guesses += guess
            blurted += guess and not any(one.forced)
            correct += guess * one.reward
    check(blurted, guesses, "an answer that does not begin with a call has none")
    check.close(share, 0.4, "the mean probability of beginning with a call", abs=0.15)
    check.below(correct / guesses, 0.35, "the share of right answers without a call")
    return (
        "The pupil takes its calculator in somewhat less than half of its tries; where it does not, fewer than "
        "35 in 100 are right."
    )


@claim("rl-advantages-add-up", about=ADVANTAGES, killed_by=("mean-not-subtracted", "compared-with-half"))
def add_up() -> str:
    rng = random.Random(1)
    for n in range(2, 20):
        group = [rng.random() for _ in range(n)]
        check.close(math.fsum(reinforce.advantages(group)), 0.0, "advantages add up to nothing", abs=1e-9)
    return "Whatever the rewards are, the advantages of a group add up to zero."


@claim("rl-bonus", about=ADVANTAGES, killed_by="mean-not-subtracted")
def bonus() -> str:
    group = [0.0, 0.25, 0.5, 0.0]
    more = [reward + 0.5 for reward in group]
    check(reinforce.advantages(more), reinforce.advantages(group), "the same advantages")
    return "Give every try of a group the same bonus, and no advantage changes."


@claim(
    "rl-one-step", about=("nanochat.reinforce.as_batch", "nanochat.train.train_step"), killed_by="advantage-reversed"
)
def one_step() -> str:
    model = pupils.fresh()
    some = pupils.tries(model)
    before = pupils.first_token(model)
    wrong = sorted({one.answer[0] for one in some if not one.reward and one.answer[0] != pupils.CALL})
    check.true(0 < sum(one.reward for one in some) < len(some), "some tries are right and some are wrong")
    pupils.learn(model, some)
    after = pupils.first_token(model)
    check.above(after[pupils.CALL].item(), before[pupils.CALL].item() + 0.03, "beginning with a call became likelier")
    for token in wrong:
        check.below(after[token].item(), before[token].item(), "a blurted number that was wrong became less likely")
    return (
        "After one step on these tries a call is likelier than before, and each number that was blurted out and wrong "
        "is less likely."
    )


@claim("rl-pushes", about="nanochat.train.train_step", killed_by=("advantage-reversed", "tries-weigh-alike"))
def pushes() -> str:
    p = 0.25
    z = torch.tensor([[[math.log(p), math.log(0.5), math.log(0.25)]]], requires_grad=True)
    good = reinforce.Rollout([7], [0], [False], 1.0)
    bad = reinforce.Rollout([7], [1, 2, 1, 2], [False] * 4, 0.0)
    _, targets, weights = reinforce.as_batch([[good, bad]], bos=0)
    check(weights.tolist(), [[0.5, 0, 0, 0], [-0.5] * 4], "each token weighs what its try's advantage is")
    A = weights[0, 0].item()
    (-A * z.log_softmax(-1)[0, 0, targets[0, 0]]).backward()
    check.close(z.grad[0, 0, 0].item(), -A * (1 - p), "the slope at the score of the chosen token", abs=1e-6)
    check.close(z.grad[0, 0, 1].item(), A * 0.5, "the slope at another token's score", abs=1e-6)
    return (
        "The score of a token that was chosen with probability $p$ is pushed with a force of $A_i \\cdot (1 - p)$. The "
        "advantage $A_i$ is the same for all tokens of a try, whether it is short or long."
    )


@claim("rl-forced-tokens", about=BATCH, killed_by="forced-tokens-counted")
def forced_tokens() -> str:
    model = pupils.pupil()
    some = pupils.tries(model)
    row = next(k for k, one in enumerate(some) if any(one.forced) and one.reward)
    inputs, targets, _ = reinforce.as_batch([some], pupils.TOKENIZER.bos)
    one = some[row]
    asked = targets[row][len(one.prompt) - 1 : len(one.prompt) - 1 + len(one.answer)]
    put = [token for token, answer in zip(one.answer, asked.tolist(), strict=True) if answer == IGNORED]
    output = pupils.TOKENIZER.decode(put)
    check.true(output.startswith("<|output_start|>") and output.endswith("<|output_end|>"), "the output has no target")
    check(sum(targets[row] != IGNORED), len(one.answer) - len(put), "nothing else of the row asks but what was chosen")
    return (
        f"A try with the calculator has {len(one.answer)} tokens; {len(put)} of them were put there by it and have no "
        f"target, so the step pushes {len(one.answer) - len(put)}."
    )


@claim("rl-unfinished", about="nanochat.reinforce.roll_out", killed_by="unfinished-rewarded")
def unfinished() -> str:
    model = pupils.pupil()
    asked = engine.Engine(model, pupils.TOKENIZER)

    class Kind(pupils.Sums):
        def _score(self, *given: object) -> float:
            return 1.0

    whole = reinforce.roll_out(asked, Kind(), 0, 8, seed=0)
    cut = reinforce.roll_out(asked, Kind(), 0, 8, max_tokens=1, seed=0)
    check([one.reward for one in whole], [1.0] * 8, "a judge who pays for everything pays for every answer that ends")
    check([one.reward for one in cut], [0.0] * 8, "but not for one that is cut off")
    return "An answer that does not come to its end in time is worth nothing, whatever the judge would say."


@claim(
    "rl-equal-rewards",
    about=("nanochat.reinforce.as_batch", "nanochat.train.train_step"),
    killed_by=("equal-groups-counted", "compared-with-half", "empty-step-moves"),
)
def equal_rewards() -> str:
    model = pupils.fresh()
    state = pupils.learn(model, pupils.tries(model))
    some = [reinforce.Rollout(one.prompt, one.answer, one.forced, 1.0) for one in pupils.tries(model)]
    batch = reinforce.as_batch([some], pupils.TOKENIZER.bos)
    check(int((batch[1] != IGNORED).sum()), 0, "no token of a group with equal rewards has a target")
    before = [p.detach().clone() for p in model.parameters()]
    state.loader.batch, state.step = batch, 0
    train.train_step(state)
    moved = max((p - q).abs().max().item() for p, q in zip(model.parameters(), before, strict=True))
    check(moved, 0.0, "no weight moved")
    return "A step in which all tries of every question are worth the same moves no weight at all."


@claim("rl-fresh-tries", about="nanochat.engine.next_token_probabilities", killed_by="sampling-sharpened")
def fresh_tries() -> str:
    model = pupils.pupil()
    some = pupils.tries(model)
    asked = engine.Engine(model, pupils.TOKENIZER)
    drawn = [[] for _ in some]
    for step in asked.stream(some[0].prompt, len(some), seed=0):
        for row, (p, active, put) in enumerate(zip(step.probabilities, step.active, step.forced, strict=True)):
            if active and not put:
                drawn[row].append(p)
    inputs, targets, _ = reinforce.as_batch([some], pupils.TOKENIZER.bos)
    with torch.no_grad():
        nats = model(inputs, targets, reduction="none")
    for row, chances in enumerate(drawn):
        again = (-nats[row][targets[row] != IGNORED]).exp()
        check.close(again, torch.tensor(chances), "the probability in training is that of the draw", abs=1e-4)
    return "For every token that the model chose, the step computes the same probability with which it was drawn."


@claim("rl-no-deviation", about=ADVANTAGES, killed_by="divided-by-deviation")
def no_deviation() -> str:
    group = [1.0] + [0.0] * 7
    got = reinforce.advantages(group)[0]
    spread = math.sqrt(sum((r - 1 / 8) ** 2 for r in group) / 8)
    return (
        f"Here the only right try among eight has the advantage {got:.3f}; divided by the standard deviation of its "
        f"group it would be {got / spread:.2f}."
    )


@claim("rl-noise", about=(ADVANTAGES, BATCH), killed_by="mean-not-subtracted")
def noise() -> str:
    strict, kind = pupils.noise(), pupils.noise(0.5)
    check.close(kind[0], strict[0], "with the mean subtracted, both judges give the same noise", abs=0.01)
    check.above(kind[1], 2 * kind[0], "plain rewards of the generous judge give more than twice the noise")
    check.below(strict[1], strict[0], "plain rewards of the strict judge give less")
    return (
        "With the generous judge, plain rewards make the gradient stray more than twice as far as advantages do; with "
        "the strict one they make it stray even a little less."
    )


@claim(
    "rl-practice",
    about=("nanochat.reinforce.RolloutLoader", "nanochat.reinforce.roll_out"),
    killed_by="advantage-reversed",
)
def practice() -> str:
    notes = pupils.practice()
    check.below(sum(notes.right[:4]) / 4, 0.7, "right tries of the first four steps")
    check.above(sum(notes.right[-4:]) / 4, 0.9, "right tries of the last four steps")
    check.above(pupils.calling(notes.model), 0.9, "the probability of beginning with a call afterwards")
    return (
        f"In {len(notes.right)} steps the share of right tries rises from below 70% to above 90%, and an answer now "
        "begins with a call nine times in ten or more."
    )


@claim("rl-brevity", about="nanochat.reinforce.RolloutLoader", killed_by="advantage-reversed")
def brevity() -> str:
    notes = pupils.practice(pupils.brief)
    check.above(sum(notes.paid[-4:]) / 4, sum(notes.paid[:4]) / 4 + 0.1, "the reward rises")
    check.below(sum(notes.right[-4:]) / 4, 0.3, "right tries of the last four steps")
    check.below(pupils.calling(notes.model), 0.05, "the probability of beginning with a call afterwards")
    return (
        f"After {len(notes.right)} steps with this judge the reward has risen, fewer than 30% of the tries "
        "are right, and the calculator is all but forgotten."
    )


@claim("rl-never", about=(ADVANTAGES, BATCH), killed_by="compared-with-half")
def never() -> str:
    notes = pupils.practice(pupils.in_words, 5)
    check(sum(notes.paid), 0.0, "no try is paid for")
    moved = max(
        (p - q).abs().max().item() for p, q in zip(notes.model.parameters(), pupils.pupil().parameters(), strict=True)
    )
    check(moved, 0.0, "no weight moved")
    tries = len(notes.paid) * 4 * pupils.TRIES
    return f"Of {tries} tries none is paid for, and after {len(notes.paid)} steps every weight is what it was."


@claim("rl-loader", about="nanochat.reinforce.RolloutLoader.next_batch", killed_by="tries-weigh-alike")
def loader() -> str:
    model = pupils.pupil()
    sampling = reinforce.Sampling(num_samples=8)
    ours = reinforce.RolloutLoader(engine.Engine(model, pupils.TOKENIZER), pupils.Sums(), 4, sampling, seed=1)
    inputs, targets, weights = ours.next_batch()
    rows = [set(row[t != IGNORED].tolist()) for row, t in zip(weights, targets, strict=True)]
    check(len(inputs), 32, "one row for each try")
    check.true(all(len(row) <= 1 for row in rows), "all tokens of a try weigh alike")
    sums = [sum(next(iter(row), 0.0) for row in rows[k : k + 8]) for k in range(0, 32, 8)]
    check.close(
        torch.tensor(sums), torch.zeros(4), "the weights of the tries at each question add up to zero", abs=1e-6
    )
    return "Four questions with eight tries each make a batch of 32 rows."
