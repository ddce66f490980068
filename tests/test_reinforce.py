"""Learning from rewards: advantages, what counts in a batch, rollouts, and that rewards do rise."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nanochat.common import IGNORED, InputError, Runtime
from nanochat.conversation import Conversation, Message, Part, parse_answer
from nanochat.engine import Engine
from nanochat.gpt import GPT
from nanochat.reinforce import Rollout, RolloutLoader, Sampling, advantages, as_batch, roll_out
from nanochat.tasks import Task
from nanochat.tokenizer import Tokenizer
from nanochat.train import Plan, TrainState, fit, train_step


class Echo(Task):
    """Asks for a letter and rewards answers by a rule of the test's own."""

    name = "echo"
    title = "echo"

    def __init__(self, rule: Callable[[str], float], questions: str = "abcdefgh") -> None:
        super().__init__(questions)
        self.rule = rule

    def _ask(self, item: str, rng: object) -> Conversation:
        return Conversation((Message.user(item), Message.assistant(item)))

    def _score(self, item: str, asked: Conversation, answer: Message) -> float:
        return self.rule(answer.text)


@pytest.fixture
def engine(make_model: Callable[..., GPT], byte_tokenizer: Tokenizer) -> Engine:
    return Engine(make_model(depth=1, width=32, sequence_len=32, vocab_size=byte_tokenizer.vocab_size), byte_tokenizer)


def test_advantages_are_rewards_less_their_mean() -> None:
    assert advantages([1.0, 0.0, 0.0, 0.0]) == [0.75, -0.25, -0.25, -0.25]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_advantages_add_up_to_nothing_and_keep_the_order(rewards: list[float]) -> None:
    made = advantages(rewards)
    assert sum(made) == pytest.approx(0, abs=1e-12)
    in_order = [advantage for _, advantage in sorted(zip(rewards, made, strict=True))]
    assert in_order == sorted(made)


def test_row_23_equal_rewards_have_no_advantage() -> None:
    """Row 23: all rewards equal; 0.1 added up three times and divided by three is not 0.1, and yet nothing counts."""
    assert advantages([0.1] * 3) == [0.0] * 3
    assert advantages([1.0]) == [0.0]


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_row_23_a_reward_that_is_no_number_is_refused(broken: float) -> None:
    """Row 23: NaN."""
    with pytest.raises(InputError, match="not a finite number"):
        advantages([0.5, broken])


def test_row_23_no_samples() -> None:
    """Row 23: 0 samples, and 1, which is its own mean."""
    with pytest.raises(InputError, match="at least 2"):
        advantages([])
    for n in (0, 1, -3, True):
        with pytest.raises(InputError, match="num_samples"):
            Sampling(num_samples=n)
    with pytest.raises(InputError, match="temperature"):
        Sampling(temperature=0)


@pytest.mark.parametrize("worth", [math.nan, -0.1, 1.5])
def test_row_23_a_task_that_gives_a_senseless_reward_is_named(engine: Engine, worth: float) -> None:
    """Row 23: the reward of a whole answer is NaN or out of range."""
    ending(engine, 100.0)
    with pytest.raises(InputError, match="task echo gave the reward"):
        roll_out(engine, Echo(lambda text: worth), 0, 2, max_tokens=8)


def ending(engine: Engine, logit: float) -> None:
    """Make the model score the end of its answer like this at every place, and all other tokens 0."""
    with torch.no_grad():
        engine.model.blocks[0].mlp.down.weight.zero_()
        engine.model.blocks[0].attention.output.weight.zero_()
        engine.model.embed.weight.fill_(1.0)
        engine.model.head.weight.zero_()
        engine.model.head.weight[engine.tokenizer.special("<|assistant_end|>")] = logit / engine.model.config.n_embd


def test_row_23_empty_answers(engine: Engine) -> None:
    """Row 23: an answer that ends at once is judged as an empty one, and its end is a token like another."""
    ending(engine, 100.0)
    tries = roll_out(engine, Echo(lambda text: float(text == "")), 0, 3, temperature=0.5, max_tokens=8)
    end = engine.tokenizer.special("<|assistant_end|>")
    assert [one.answer for one in tries] == [[end]] * 3
    assert [one.reward for one in tries] == [1.0] * 3
    inputs, targets, weights = as_batch([tries], bos=engine.tokenizer.bos)
    assert inputs.shape == targets.shape == weights.shape
    assert (targets == IGNORED).all() and not weights.any(), "all are worth the same: nothing counts"


def test_an_answer_without_an_end_is_worth_nothing(engine: Engine) -> None:
    ending(engine, 5.0)
    tries = roll_out(engine, Echo(lambda text: 1.0), 0, 8, max_tokens=3)
    end = engine.tokenizer.special("<|assistant_end|>")
    assert {(one.answer[-1] == end, one.reward) for one in tries} == {(True, 1.0), (False, 0.0)}


def test_the_same_seed_gives_the_same_tries(engine: Engine) -> None:
    task = Echo(lambda text: 0.5)
    assert roll_out(engine, task, 1, 4, seed=3) == roll_out(engine, task, 1, 4, seed=3)
    assert roll_out(engine, task, 1, 4, seed=3) != roll_out(engine, task, 1, 4, seed=4)


def test_what_the_calculator_wrote_gets_no_gradient() -> None:
    good = Rollout([1, 2], [3, 4, 5, 6], [False, True, True, False], 1.0)
    bad = Rollout([1, 2], [7, 6], [False, False], 0.0)
    inputs, targets, weights = as_batch([[good, bad]], bos=0)
    assert inputs.tolist() == [[1, 2, 3, 4, 5], [1, 2, 7, 6, 0]]
    assert targets.tolist() == [[-1, 3, -1, -1, 6], [-1, 7, 6, -1, -1]]
    assert weights.tolist() == [[0, 0.5, 0, 0, 0.5], [0, -0.5, -0.5, 0, 0]]


def test_a_forced_output_is_marked_in_a_rollout(engine: Engine) -> None:
    """A model that can only call the calculator: what comes back is forced, and what it wrote is not."""
    mark = engine.tokenizer.special
    script = [mark("<|python_start|>"), *b"6*7", mark("<|python_end|>")]

    class Scripted(GPT):
        def forward(self, tokens: torch.Tensor, **more: object) -> torch.Tensor:
            cache = more.get("cache")
            place = tokens.size(1) if cache is None else cache.length + tokens.size(1)
            if cache is not None:
                cache.length = place
            drawn = place - self.begun
            want = script[drawn] if drawn < len(script) else mark("<|assistant_end|>")
            logits = torch.full((*tokens.shape, self.config.vocab_size), -15.0)
            logits[..., want] = 15.0
            return logits

    model = Scripted(engine.model.config)
    task = Echo(lambda text: 1.0)
    model.begun = 5  # <|bos|> <|user_start|> a <|user_end|> <|assistant_start|>
    (one, _) = roll_out(Engine(model, engine.tokenizer), task, 0, 2, max_tokens=16, temperature=0.1)
    written = [token for token, put in zip(one.answer, one.forced, strict=True) if not put]
    assert written == [*script, mark("<|assistant_end|>")]
    put = [token for token, put in zip(one.answer, one.forced, strict=True) if put]
    assert put == [mark("<|output_start|>"), *b"42", mark("<|output_end|>")]
    assert parse_answer(engine.tokenizer, one.answer).parts == (Part("python", "6*7"), Part("output", "42"))


def test_skipped_groups_are_counted(engine: Engine) -> None:
    loader = RolloutLoader(engine, Echo(lambda text: 0.0), 3, Sampling(num_samples=4, max_tokens=4))
    loader.next_batch()
    tries = loader.take_tries()
    assert (tries.groups, tries.skipped, tries.answers, tries.reward) == (3, 3, 12, 0.0)
    assert loader.take_tries().groups == 0, "taken once"


def test_the_loader_goes_to_any_place_and_draws_what_it_would_have_drawn(engine: Engine) -> None:
    def make() -> RolloutLoader:
        return RolloutLoader(engine, Echo(lambda text: len(text) % 2), 3, Sampling(num_samples=2, max_tokens=4), seed=5)

    whole, broken = make(), make()
    batches = [whole.next_batch() for _ in range(4)]  # 12 questions of 8: into the second epoch
    for _ in range(2):
        broken.next_batch()
    resumed = make()
    resumed.load_state_dict(broken.state_dict())
    for batch in batches[2:]:
        assert all(torch.equal(a, b) for a, b in zip(batch, resumed.next_batch(), strict=True))


def test_two_processes_share_the_questions_of_one(engine: Engine) -> None:
    def make(questions: int, **place: int) -> RolloutLoader:
        sampling = Sampling(num_samples=2, max_tokens=4)
        return RolloutLoader(engine, Echo(lambda text: len(text) % 2), questions, sampling, **place)

    def rows(batch: tuple[torch.Tensor, ...]) -> list[list[int]]:
        return [[token for token in row if token != engine.tokenizer.bos] for row in batch[0].tolist()]

    alone = rows(make(4).next_batch())
    both = [row for rank in (0, 1) for row in rows(make(2, rank=rank, world_size=2).next_batch())]
    assert alone == both


def test_another_task_is_another_place(engine: Engine) -> None:
    place = RolloutLoader(engine, Echo(lambda text: 0.0), 1, Sampling()).state_dict()
    with pytest.raises(InputError, match="data changed"):
        RolloutLoader(engine, Echo(lambda text: 0.0, "xyz"), 1, Sampling()).load_state_dict(place)


def test_questions_that_do_not_fit_are_left_out(engine: Engine) -> None:
    loader = RolloutLoader(engine, Echo(lambda text: 0.0, ["a", "b" * 99]), 1, Sampling(max_tokens=4))
    assert (loader.rows_per_epoch, loader.left_out) == (1, 1)
    with pytest.raises(InputError, match="none of the 1 questions"):
        RolloutLoader(engine, Echo(lambda text: 0.0, ["b" * 99]), 1, Sampling(max_tokens=4))


@pytest.fixture
def state(engine: Engine, runtime: Runtime) -> Callable[..., TrainState]:
    def make(rule: Callable[[str], float], steps: int = 12) -> TrainState:
        ending(engine, 4.0)
        plan = Plan(
            model=engine.model.config, device_batch_size=32, total_batch_size=32 * 32, num_iterations=steps,
            matrix_lr=0.005, embedding_lr=0.05, head_lr=0.01,
        )  # fmt: skip
        loader = RolloutLoader(engine, Echo(rule), 4, Sampling(num_samples=8, max_tokens=6), seed=1)
        return TrainState.start(plan, loader, runtime, engine.model)

    return make


def test_the_gradient_is_that_of_the_policy(engine: Engine, state: Callable[..., TrainState]) -> None:
    """The step's loss against its definition, computed from probabilities."""
    made = state(lambda text: 1.0)
    twin = RolloutLoader(engine, made.loader.task, 4, made.loader.sampling, seed=1)
    inputs, targets, weights = twin.next_batch()
    logp = torch.log_softmax(engine.model(inputs), -1)
    counted = targets != IGNORED
    chosen = logp.gather(-1, targets.clamp(min=0)[..., None])[..., 0][counted]
    expected = -(weights[counted] * chosen).sum() / counted.sum()
    assert counted.any()
    assert train_step(made).loss == pytest.approx(expected.item(), rel=1e-4)


def test_rewards_rise(state: Callable[..., TrainState]) -> None:
    """The model learns to end its answers in time, because that is what is rewarded."""
    made = state(lambda text: 1.0, steps=25)
    rewards = []
    fit(made, lambda s, m: rewards.append(s.loader.take_tries()), progress=False)
    early, late = (sum(t.reward for t in some) / sum(t.answers for t in some) for some in (rewards[:4], rewards[-4:]))
    assert late > early + 0.2, f"mean reward {early:.2f} became {late:.2f}"


def test_a_step_that_teaches_nothing_moves_nothing(state: Callable[..., TrainState]) -> None:
    """Row 23: all rewards equal in all groups, also after a step that left the optimizers with momentum."""
    made = state(lambda text: 1.0)
    fresh = [p.clone() for p in made.model.parameters()]
    train_step(made)
    before = [p.clone() for p in made.model.parameters()]
    assert not all(torch.equal(a, b) for a, b in zip(fresh, before, strict=True))
    made.loader.task.rule = lambda text: 0.0
    metrics = train_step(made)
    assert metrics.loss == 0.0 and metrics.step == 2
    assert all(torch.equal(a, b) for a, b in zip(before, made.model.parameters(), strict=True))
