"""Several processes train what one would train, refuse together, and end together."""

import json
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import DOCUMENTS
from hypothesis import given
from hypothesis import strategies as st
from launching import STAGE, finish, finish_world, free_port, start

from nanochat import distributed as world
from nanochat.checkpoint import latest_step, list_steps, read_saved, resume, save_checkpoint
from nanochat.common import InputError, Runtime, detect_runtime
from nanochat.dataloader import TokenLoader
from nanochat.gpt import GPT
from nanochat.train import Plan, TrainState, fit

MakeState = Callable[..., TrainState]
MakeLoader = Callable[..., TokenLoader]

STEPS = 20

# Two processes do all of this, one thing after the other, and each writes down what came of it.
PAIR = """
import json, sys
from dataclasses import replace
from pathlib import Path

import torch

from nanochat.checkpoint import resume, save_checkpoint
from nanochat.common import InputError, StopRequest, detect_runtime
from nanochat.dataloader import TokenLoader
from nanochat.distributed import (
    agree, all_gather, all_max, all_sum, barrier, check_connected, collect, distributed, fingerprint, from_first, share,
    together,
)
from nanochat.tokenizer import Tokenizer
from nanochat.train import Plan, TrainState, fit, train_step

torch.set_num_threads(1)
folder = Path(sys.argv[1])
given = json.loads((folder / "given.json").read_text())
plan, documents = Plan.from_dict(given["plan"]), given["documents"]
runtime = detect_runtime("cpu", "float32")
rank = runtime.rank
found = {}


def loader():
    tokenizer = Tokenizer([])
    return TokenLoader(
        tokenizer.encode_batch(documents), plan.device_batch_size, plan.model.sequence_len, tokenizer.bos, plan.seed,
        runtime.rank, runtime.world_size,
    )


class Uneven:
    '''Batches of which the second process has few tokens that count.'''

    def __init__(self, inner):
        self.inner, self.state_dict, self.load_state_dict = inner, inner.state_dict, inner.load_state_dict

    def next_batch(self):
        inputs, targets = self.inner.next_batch()
        if rank == 1:
            targets[:, 3:] = -1
        return inputs, targets


def refused(work):
    try:
        work()
    except (InputError, OSError) as error:
        return str(error)
    return None


def facts(state):
    names = {id(p): name for name, p in state.model.named_parameters()}
    return {
        "losses": [row.loss for row in state.history],
        "norms": [row.grad_norm for row in state.history],
        "weights": fingerprint(state.model.parameters()),
        "remembers": sorted(names[id(p)] for o in state.optimizers for p, memory in o.state.items() if memory),
        "position": state.loader.state_dict(),
    }


found["alone"] = refused(lambda: check_connected(runtime))
with distributed(runtime, timeout=300):
    print("only the first one is heard")
    found["sum"] = [all_sum(rank + 1), all_sum(0.5 + rank), all_sum(torch.tensor([rank, 2])).tolist()]
    found["max"] = [all_max(rank), all_max(-1.5 - rank)]
    found["gather"], found["first"] = all_gather({"rank": rank}), from_first(f"of {rank}")
    found["share"] = share(list(range(5)))
    mine = {f"{rank}/{n}": torch.full((rank + 1, 2), n, dtype=(torch.float32, torch.bfloat16)[rank]) for n in (4, 5)}
    found["collected"] = {name: [t.tolist(), str(t.dtype)] for name, t in collect(mine).items()}
    barrier()

    def read():
        with together("read the data"):
            if rank == 1:
                raise InputError("there is no file")

    found["together"] = refused(read)
    found["agree"] = refused(lambda: agree(tokenizer="abc", data=f"corpus {rank}"))
    agree(tokenizer="abc")

    state = TrainState.start(plan, loader(), runtime)
    fit(state, until=17)
    torch.manual_seed(rank)
    save_checkpoint(state, folder / "saved-by-two", "abc")
    found["drawn"] = [torch.rand(3).tolist()]
    found["whole"] = facts(fit(state))
    state_again = resume(folder / "saved-by-two", loader(), runtime, plan)
    found["drawn"].append(torch.rand(3).tolist())
    found["again"] = facts(fit(state_again))
    found["from one"] = facts(fit(resume(folder / "saved-by-one", loader(), runtime, plan)))
    found["uneven"] = facts(fit(TrainState.start(plan, Uneven(loader()), runtime), until=4))

    before = facts(state)["weights"]
    train_step(resume(folder / "saved-by-one", loader(), runtime, plan))
    if rank == 1:
        with torch.no_grad():
            state.model.head.weight[0, 0] = float("nan")
    kept = [p.detach().clone() for p in state.model.parameters()]
    found["diverged"] = refused(lambda: train_step(state))
    same = zip(kept, state.model.parameters(), strict=True)
    found["kept"] = all(torch.equal(a.nan_to_num(7), b.nan_to_num(7)) for a, b in same)
    (folder / "a file").touch()
    state = TrainState.start(plan, loader(), runtime)
    found["unsaved"] = refused(lambda: save_checkpoint(state, folder / "a file" / "below"))

    stop = StopRequest()

    def on_step(state, metrics):
        if state.step == 3 and rank == 1:
            stop.signum = 15

    fit(state, on_step, stop=stop)
    found["stopped"] = [state.step, stop.agreed]
tasks = Path("/proc/self/task")  # on Linux
found["threads"] = [(one / "comm").read_text().strip() for one in tasks.iterdir()] if tasks.is_dir() else []
(folder / f"rank{rank}.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is made once for all tests of this file."""
    return {"folder": tmp_path_factory.mktemp("pair")}


@pytest.fixture
def short(plan: Plan) -> Plan:
    """Twenty steps of two rounds for one process, of one round for two."""
    return replace(plan, num_iterations=STEPS, weight_decay=0.1)


@pytest.fixture
def pair(kept: dict[str, Any], short: Plan, make_state: MakeState) -> list[dict[str, Any]]:
    """What each of the two processes found."""
    if "found" not in kept:
        folder = kept["folder"]
        (folder / "given.json").write_text(json.dumps({"plan": short.as_dict(), "documents": DOCUMENTS}))
        save_checkpoint(make_state(17, of=short), folder / "saved-by-one", "abc")
        kept["done"] = finish_world(PAIR, str(folder))
        assert [done.code for done in kept["done"]] == [0, 0], "\n".join(done.err for done in kept["done"])
        kept["found"] = [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]
    return kept["found"]


@pytest.fixture
def alone(short: Plan, make_state: MakeState) -> TrainState:
    """The same training by one process, with twice the rounds."""
    return make_state(STEPS, of=short)


def losses(state: TrainState) -> list[float]:
    return [row.loss for row in state.history]


def test_no_thread_outlives_the_connection(pair: list[dict[str, Any]]) -> None:
    """One that is still at work when Python ends aborts a process that has done its work."""
    assert [name for found in pair for name in found["threads"] if "gloo" in name or "store" in name] == []


# The same training -------------------------------------------------------------------------------------------


def test_two_processes_train_what_one_trains_with_twice_the_rounds(
    pair: list[dict[str, Any]], alone: TrainState, short: Plan
) -> None:
    assert (short.accumulation(1), short.accumulation(2)) == (2, 1)
    for found in pair:
        assert found["whole"]["losses"] == pytest.approx(losses(alone), rel=1e-5)
        assert found["whole"]["norms"] == pytest.approx([row.grad_norm for row in alone.history], rel=1e-3)
        assert found["whole"]["position"] == alone.loader.state_dict()
    assert pair[0]["whole"]["weights"] == pair[1]["whole"]["weights"]
    assert losses(alone)[-1] < 0.7 * losses(alone)[0], "the comparison is of a model that learns"


def test_each_process_remembers_its_own_share_and_no_more(pair: list[dict[str, Any]], alone: TrainState) -> None:
    shares = [set(found["whole"]["remembers"]) for found in pair]
    sizes = {name: p.numel() for name, p in alone.model.named_parameters()}
    assert shares[0] | shares[1] == set(sizes) and not shares[0] & shares[1]
    loads = [sum(sizes[name] for name in each) for each in shares]
    assert max(loads) < 0.6 * sum(sizes.values())


def test_a_process_with_few_counted_tokens_weighs_by_them(
    pair: list[dict[str, Any]], short: Plan, make_loader: MakeLoader, runtime: Runtime
) -> None:
    class Uneven:
        """What the two processes read, for one: every second round has few tokens that count."""

        def __init__(self) -> None:
            self.inner, self.round = make_loader(short), 0

        def next_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
            inputs, targets = self.inner.next_batch()
            if self.round % 2:
                targets[:, 3:] = -1
            self.round += 1
            return inputs, targets

    state = fit(TrainState.start(short, Uneven(), runtime), until=4)  # type: ignore[arg-type]
    for found in pair:
        assert found["uneven"]["losses"] == pytest.approx(losses(state), rel=1e-5)


def test_a_loss_that_is_no_number_on_one_process_stops_all(pair: list[dict[str, Any]]) -> None:
    for found in pair:
        assert "diverged and was stopped before the weights were touched" in found["diverged"]
        assert found["kept"]


def test_a_request_to_one_process_stops_all_after_the_same_step(pair: list[dict[str, Any]]) -> None:
    """Row 20, for several processes."""
    assert [found["stopped"] for found in pair] == [[3, 15], [3, 15]]


# Checkpoints -------------------------------------------------------------------------------------------------


def test_two_processes_resume_their_own_run_exactly(pair: list[dict[str, Any]]) -> None:
    for found in pair:
        assert found["again"] == found["whole"]
        assert found["drawn"][0] == found["drawn"][1]
    assert pair[0]["drawn"] != pair[1]["drawn"], "each has its own random numbers"


def test_one_process_goes_on_with_what_two_saved(
    pair: list[dict[str, Any]],
    kept: dict[str, Any],
    alone: TrainState,
    short: Plan,
    make_loader: MakeLoader,
    runtime: Runtime,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = kept["folder"] / "saved-by-two"
    state = resume(folder, make_loader(short), runtime, short)
    assert "the number of processes was 2 and is 1" in caplog.text
    assert losses(state) == pair[0]["whole"]["losses"][:17]
    ours = {name for o in state.optimizers for name in (str(p.shape) for p, memory in o.state.items() if memory)}
    assert ours == {str(p.shape) for p in state.model.parameters()}
    assert losses(fit(state)) == pytest.approx(losses(alone), rel=1e-5)
    assert read_saved(folder).world_size == 2 and len(read_saved(folder).rng["others"]) == 1


def test_two_processes_go_on_with_what_one_saved(pair: list[dict[str, Any]], alone: TrainState) -> None:
    for found in pair:
        assert found["from one"]["losses"][:17] == losses(alone)[:17]
        assert found["from one"]["losses"] == pytest.approx(losses(alone), rel=1e-5)
        assert found["from one"]["remembers"] == found["whole"]["remembers"]


def test_what_the_first_cannot_save_all_refuse(pair: list[dict[str, Any]]) -> None:
    assert "step 0 could not be saved" in pair[0]["unsaved"]
    assert pair[1]["unsaved"].startswith(
        "rank 1 stops, because rank 0 could not save step 0: step 0 could not be saved"
    )


# Exchanges ---------------------------------------------------------------------------------------------------


def test_exchanges(pair: list[dict[str, Any]], kept: dict[str, Any]) -> None:
    for found in pair:
        assert found["sum"] == [3, 2.0, [1, 4]] and found["max"] == [1, -1.5]
        assert found["gather"] == [{"rank": 0}, {"rank": 1}] and found["first"] == "of 0"
    assert [found["share"] for found in pair] == [[0, 2, 4], [1, 3]]
    assert pair[1]["collected"] == {}
    assert pair[0]["collected"]["1/5"] == [[[5.0, 5.0], [5.0, 5.0]], "torch.bfloat16"]
    assert sorted(pair[0]["collected"]) == ["0/4", "0/5", "1/4", "1/5"]
    assert [done.out for done in kept["done"]] == ["only the first one is heard\n", ""]


def test_alone_nothing_is_exchanged(runtime: Runtime) -> None:
    with world.distributed(runtime):
        tensor = torch.ones(2)
        assert world.all_sum(3) == 3 and world.all_sum(tensor) is tensor and world.all_max(-1.0) == -1.0
        assert world.all_gather("a") == ["a"] and world.from_first("a") == "a" and world.share((1, 2)) == (1, 2)
        assert (world.rank(), world.world_size()) == (0, 1)
        world.barrier()
        world.agree(anything="at all")
        with pytest.raises(InputError, match="^no such file$"), world.together("read"):
            raise InputError("no such file")
        model = torch.nn.Linear(2, 2)
        world.sum_gradients(list(model.parameters()))
        with world.own_share(list(model.parameters())):
            pass
        assert model.weight.grad is None and world.owned(list(model.parameters())) == [True, True]


@given(sizes=st.lists(st.integers(1, 1000), max_size=40), n=st.integers(1, 9))
def test_parameters_are_shared_out_evenly(sizes: list[int], n: int) -> None:
    ranks = world.owners(sizes, n)
    loads = [sum(size for size, rank in zip(sizes, ranks, strict=True) if rank == each) for each in range(n)]
    assert sum(loads) == sum(sizes) and len(ranks) == len(sizes)
    # Nobody has more than the least loaded one and the one parameter that came last.
    assert max(loads) - min(loads) <= max(sizes, default=0)


def test_fingerprints_see_every_bit(make_model: Callable[..., GPT]) -> None:
    model, same = make_model(), make_model()
    assert world.fingerprint(model.parameters()) == world.fingerprint(same.parameters())
    with torch.no_grad():
        same.head.weight[3, 3] = torch.nextafter(same.head.weight[3, 3], torch.tensor(9.0))
    assert world.fingerprint(model.parameters()) != world.fingerprint(same.parameters())
    assert world.fingerprint([torch.ones(2, dtype=torch.bfloat16)]) != world.fingerprint([torch.ones(2)])


# Refusals: rows 67 and 68 ------------------------------------------------------------------------------------


def test_what_one_cannot_do_all_refuse_with_their_number(pair: list[dict[str, Any]]) -> None:
    """Row 67."""
    assert pair[0]["together"] == "rank 0 stops, because rank 1 could not read the data: there is no file"
    assert pair[1]["together"] == "there is no file"


def test_other_files_on_one_process_are_refused_by_all(pair: list[dict[str, Any]]) -> None:
    """Row 67: the corpus of rank 1 is another one."""
    for rank, found in enumerate(pair):
        assert found["agree"].startswith(f"rank {rank} stops")
        assert "data is 'corpus 1' on rank 1 and 'corpus 0' on rank 0" in found["agree"]
        assert "tokenizer" not in found["agree"]


def test_processes_that_do_not_know_of_each_other_do_not_train(
    pair: list[dict[str, Any]], make_state: MakeState
) -> None:
    assert all("2 processes were started and 1 are connected" in found["alone"] for found in pair)
    state = make_state(0)
    state.runtime = replace(state.runtime, rank=0, world_size=2)
    with pytest.raises(InputError, match="with distributed"):
        fit(state)


@pytest.mark.parametrize(
    "place",
    [
        {"RANK": "two", "WORLD_SIZE": "2"},
        {"RANK": "2", "WORLD_SIZE": "2"},
        {"RANK": "-1", "WORLD_SIZE": "2"},
        {"RANK": "0", "WORLD_SIZE": "0"},
        {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "1"},
        {"RANK": "1"},
    ],
)
def test_places_that_cannot_be_are_refused(place: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        InputError, match=f"RANK={place['RANK']}.* is no place among processes: start several with torch"
    ):
        detect_runtime("cpu")


def test_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 68."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name, value in (("RANK", "3"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "3")):
        monkeypatch.setenv(name, value)
    with pytest.raises(
        InputError, match=r"LOCAL_RANK=3 asks for a GPU that is not there \(2 found\).*nproc_per_node=2"
    ):
        detect_runtime("cuda")


def test_several_processes_need_a_meeting_place(monkeypatch: pytest.MonkeyPatch, runtime: Runtime) -> None:
    two = replace(runtime, world_size=2)
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="MASTER_ADDR.*start them with torchrun"), world.distributed(two):
        pass
    with (
        pytest.raises(InputError, match="cannot be shared"),
        world.distributed(replace(two, device=torch.device("mps"))),
    ):
        pass
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")
    for wrong in ("soon", "0", "-3", "nan", "inf"):
        monkeypatch.setenv("NANOCHAT_TIMEOUT", wrong)
        with pytest.raises(InputError, match=f"NANOCHAT_TIMEOUT='{wrong}'"), world.distributed(two):
            pass


def test_busy_meeting_place_is_named(monkeypatch: pytest.MonkeyPatch, runtime: Runtime) -> None:
    """Row 66: MASTER_PORT is busy."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("MASTER_PORT", port)
        with (
            pytest.raises(InputError, match=f"do not find each other at 127.0.0.1:{port} .*--master-port"),
            world.distributed(replace(runtime, world_size=2), timeout=5),
        ):
            pass
    assert not torch.distributed.is_initialized()


# Runs that end badly: row 66 ---------------------------------------------------------------------------------

# The stage itself, under torchrun, with one process that fails in its fifth step.
FAILING = """
import os, sys
from nanochat import train
from nanochat.stages import run

how, whole_step, taken = sys.argv.pop(1), train.train_step, []


def step(state):
    taken.append(state.step)
    if os.environ["RANK"] == "1" and len(taken) == 5:
        if how == "raises":
            raise ValueError("the second machine is on fire")
        if how == "refuses":
            raise train.InputError("a shard is broken")
        if how == "ends early":
            sys.exit(0)
        if how == "has fewer batches":
            state.step = state.plan.num_iterations
    return whole_step(state)


train.train_step = step
sys.exit(run("base-train"))
"""

SMALL = ("--depth=1", "--sequence-len=32", "--device-batch-size=4", "--eval-tokens=500", "--eval-every=0")
CPU = ("--device=cpu", "--dtype=float32")


def torchrun(*words: str, n: int = 2) -> list[str]:
    return ["-m", "torch.distributed.run", f"--nproc_per_node={n}", f"--master-port={free_port()}", *words]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["raises", "refuses", "ends early", "has fewer batches"])
def test_one_process_that_fails_ends_the_run(how: str, texts: Path, tmp_path: Path) -> None:
    """Row 66: all stop, the exit status is not 0, and the cause of the first failure is shown."""
    program = tmp_path / "failing.py"
    program.write_text(FAILING)
    flags = [f"--data={texts}", *SMALL, *CPU, "--num-iterations=100000", "--save-every=2"]
    # In the last case both go on, to different exchanges, and only the time limit can tell.
    limit = "20" if how == "has fewer batches" else "600"
    done = finish(
        torchrun("--", str(program), how, *flags), NANOCHAT_BASE_DIR=str(tmp_path / "base"), NANOCHAT_TIMEOUT=limit
    )
    assert done.code == 1
    cause = {"raises": "the second machine is on fire", "refuses": "nanochat: error (rank 1): a shard is broken"}
    if how in cause:
        assert cause[how] in done.err
        summary = done.err[done.err.index("Root Cause") :]
        assert "rank      : 1" in summary and cause[how].split(": ")[-1] in summary
    if how != "has fewer batches":
        assert "rank 0 stops, because it lost contact with another process" in done.err
    assert "lost contact" in done.err
    saved = tmp_path / "base" / "base" / "d1" / "step_000004"
    assert read_saved(saved.parent).step >= 4 and saved.exists()


@pytest.mark.slow
def test_torchrun_names_a_busy_port(texts: Path, tmp_path: Path) -> None:
    """Row 66: the port is torchrun's own to open, and its message names it."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        words = [
            "-m",
            "torch.distributed.run",
            "--nproc_per_node=2",
            f"--master-port={port}",
            "-m",
            "scripts.base_train",
        ]
        done = finish([*words, "--", f"--data={texts}"], NANOCHAT_BASE_DIR=str(tmp_path / "base"))
    assert done.code != 0 and str(port) in done.err and "address already in use" in done.err.lower()
    assert not (tmp_path / "base").exists()


@pytest.mark.slow
def test_signal_to_torchrun_is_one_to_all(texts: Path, tmp_path: Path) -> None:
    """Row 20 under torchrun: all processes end after the same step, which is saved once."""
    run = tmp_path / "base" / "base" / "d1"
    flags = [f"--data={texts}", *SMALL, *CPU, "--num-iterations=4000"]
    with start(torchrun("-m", "scripts.base_train", "--"), *flags, NANOCHAT_BASE_DIR=str(tmp_path / "base")) as running:
        running.wait_until(lambda printed: printed.count("loss") >= 1)
        running.send(signal.SIGTERM)
        done = running.done()
    assert done.code != 0 and done.err.count("nanochat: SIGTERM: stopping after this step") == 1
    (step,) = list_steps(run)
    assert f"nanochat: stopped (rank 0): after step {step} of 4000, which is saved in {run}" in done.err
    assert latest_step(run) == step and "exitcode  : 143" not in done.out and "lost contact" not in done.err


# The stages on two processes ---------------------------------------------------------------------------------


def step_lines(printed: str) -> list[str]:
    return [line.split("  about")[0] for line in printed.splitlines() if line.startswith("step ") and "loss" in line]


@pytest.mark.slow
def test_stages_run_on_two_processes(texts: Path, tmp_path: Path) -> None:
    """Tokenizer, training, resuming and measuring, each by two processes, against one."""
    one, two = ({"NANOCHAT_BASE_DIR": str(tmp_path / name)} for name in ("one", "two"))
    data, train = f"--data={texts}", [*SMALL, *CPU, "--total-batch-size=256", "--num-iterations=12"]
    alone = [
        finish(STAGE, "tok-train", data, "--vocab-size=320", **one),
        finish(STAGE, "base-train", data, *train, **one),
        finish(STAGE, "base-eval", data, "--run=d1", "--max-tokens=5", "--num-samples=1", "--device=cpu", **one),
    ]
    assert [done.code for done in alone] == [0, 0, 0], alone
    pairs = [
        finish_world(STAGE, "tok-train", data, "--vocab-size=320", **two),
        finish_world(STAGE, "base-train", data, *train, "--save-every=5", "--keep=3", **two),
        finish_world(STAGE, "base-eval", data, "--run=d1", "--max-tokens=5", "--num-samples=1", "--device=cpu", **two),
    ]
    assert [done.code for pair in pairs for done in pair] == [0] * 6, pairs
    assert [pair[1].out for pair in pairs] == ["", "", ""], "one speaks for all"
    assert (tmp_path / "one/tokenizer/tokenizer.json").read_bytes() == (
        tmp_path / "two/tokenizer/tokenizer.json"
    ).read_bytes()
    assert step_lines(pairs[1][0].out) == step_lines(alone[1].out)
    measured = [done.out.split("bits per byte")[0].split()[-1] for done in (alone[2], pairs[2][0])]
    assert float(measured[0]) == pytest.approx(float(measured[1]), rel=0.01)
    for step in (10, 12):
        for file in (tmp_path / f"two/base/d1/step_{step:06}").iterdir():
            file.unlink()
        (tmp_path / f"two/base/d1/step_{step:06}").rmdir()
    resumed = finish_world(STAGE, "base-train", data, *train, "--resume", **two)
    assert step_lines(resumed[0].out) == step_lines(alone[1].out)[5:]


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["data", "tokenizer"])
def test_files_that_only_one_process_sees_are_refused_by_all(missing: str, texts: Path, tmp_path: Path) -> None:
    """Row 67, through the stage: rank 1 looks elsewhere."""
    seen, unseen = tmp_path / "seen", tmp_path / "unseen"
    for folder in (seen, unseen):
        folder.mkdir()
    words = [f"--data={texts}", *SMALL, *CPU, "--num-iterations=2"]
    if missing == "tokenizer":
        own = [{"NANOCHAT_BASE_DIR": str(seen)}, {"NANOCHAT_BASE_DIR": str(unseen)}]
    else:
        (seen / "corpus").symlink_to(texts)
        own = [{"HOME": str(seen)}, {"HOME": str(unseen)}]
        words[0] = "--data=~/corpus"
    done = finish_world(STAGE, "base-train", *words, own=own, NANOCHAT_BASE_DIR=str(seen))
    assert [each.code for each in done] == [1, 1]
    assert "nanochat: error (rank 0): rank 0 stops, because rank 1 could not read the " + missing in done[0].err
    assert "nanochat: error (rank 1): " in done[1].err and str(unseen) in done[1].err
    assert not list(seen.glob("base/*/step_*")) and "Traceback" not in done[0].err + done[1].err
