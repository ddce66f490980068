"""Checkpoints: exact resume, damage that is found and named, and runs that die at any moment."""

import json
import os
import random
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanochat import checkpoint
from nanochat.checkpoint import (
    FILES,
    MANIFEST,
    check_writable,
    damage,
    latest_step,
    list_steps,
    load_model,
    purge,
    read_saved,
    resume,
    run_lock,
    save_checkpoint,
    step_folder,
)
from nanochat.common import InputError, Runtime
from nanochat.dataloader import TokenLoader
from nanochat.optim import make_optimizers
from nanochat.train import Plan, TrainState, fit

ROOT = Path(__file__).parent.parent

MakeState = Callable[..., TrainState]
MakeLoader = Callable[..., TokenLoader]


def losses(state: TrainState) -> list[float]:
    return [metrics.loss for metrics in state.history]


def same_weights(one: TrainState, other: TrainState) -> bool:
    return all(torch.equal(p, q) for p, q in zip(one.model.parameters(), other.model.parameters(), strict=True))


@pytest.fixture(scope="module")
def saved_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with steps 2 and 4, to be copied and then damaged."""
    folder = tmp_path_factory.mktemp("run")
    yield folder


@pytest.fixture
def run(saved_once: Path, tmp_path: Path, make_state: MakeState) -> Path:
    if not list_steps(saved_once):
        state = make_state(2)
        save_checkpoint(state, saved_once, tokenizer_fingerprint="abc")
        save_checkpoint(fit(state, until=4), saved_once, tokenizer_fingerprint="abc")
    return Path(shutil.copytree(saved_once, tmp_path / "run"))


def rewrite_manifest(path: Path) -> None:
    """Make the manifest of a step vouch for what is there now, as someone who tampers would."""
    manifest = json.loads((path / MANIFEST).read_text())
    manifest["files"] = {name: checkpoint._fingerprint(path / name) for name in FILES}
    (path / MANIFEST).write_text(json.dumps(manifest))


# Exact resume ------------------------------------------------------------------------------------------------


def test_resumed_run_equals_unbroken_run(
    make_state: MakeState, make_loader: MakeLoader, plan: Plan, runtime: Runtime, tmp_path: Path
) -> None:
    unbroken = make_state(30)
    save_checkpoint(make_state(17), tmp_path)
    resumed = fit(resume(tmp_path, make_loader(plan), runtime, plan))
    assert losses(resumed) == losses(unbroken)
    assert same_weights(resumed, unbroken)
    assert [row.grad_norm for row in resumed.history] == [row.grad_norm for row in unbroken.history]
    assert resumed.loader.state_dict() == unbroken.loader.state_dict()
    ours, theirs = (checkpoint._optimizer_memory(state)[0] for state in (resumed, unbroken))
    assert ours.keys() == theirs.keys() and len(ours) > 12
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("left_out", ["optimizers", "position", "step"])
def test_every_part_is_needed(
    left_out: str, make_state: MakeState, make_loader: MakeLoader, plan: Plan, runtime: Runtime, tmp_path: Path
) -> None:
    """The test above can fail: without any one part, the losses are others."""
    unbroken = make_state(30)
    save_checkpoint(make_state(17), tmp_path)
    state = resume(tmp_path, make_loader(plan), runtime)
    if left_out == "optimizers":
        state.optimizers = make_optimizers(state.model, plan)
    elif left_out == "position":
        state.loader = make_loader(plan)
    else:
        state.step = 16
    assert losses(fit(state))[17:30] != losses(unbroken)[17:30]


def test_random_numbers_go_on(
    make_state: MakeState, make_loader: MakeLoader, plan: Plan, runtime: Runtime, tmp_path: Path
) -> None:
    """Torch, Python and NumPy draw after a resume what they would have drawn without it."""
    save_checkpoint(make_state(1), tmp_path)
    expected = torch.rand(3).tolist(), random.random(), np.random.rand(2).tolist()
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    resume(tmp_path, make_loader(plan), runtime)
    assert (torch.rand(3).tolist(), random.random(), np.random.rand(2).tolist()) == expected


def test_resume_before_the_first_step(
    make_state: MakeState, make_loader: MakeLoader, plan: Plan, runtime: Runtime, tmp_path: Path
) -> None:
    save_checkpoint(make_state(0), tmp_path)
    assert losses(fit(resume(tmp_path, make_loader(plan), runtime))) == losses(make_state(30))


def test_finished_run_has_nothing_to_do(
    make_state: MakeState, make_loader: MakeLoader, plan: Plan, runtime: Runtime, tmp_path: Path
) -> None:
    done = make_state(30)
    save_checkpoint(done, tmp_path)
    again = fit(resume(tmp_path, make_loader(plan), runtime))
    assert again.step == 30 and losses(again) == losses(done) and same_weights(again, done)


def test_smaller_rounds_give_the_same_run_but_for_rounding(
    make_state: MakeState,
    make_loader: MakeLoader,
    plan: Plan,
    runtime: Runtime,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    save_checkpoint(make_state(5), tmp_path)
    smaller = replace(plan, device_batch_size=1)
    state = fit(resume(tmp_path, make_loader(smaller), runtime, smaller), until=8)
    assert losses(state) == pytest.approx(losses(make_state(8)), rel=1e-4)
    assert "device_batch_size was 2 and is 1" in caplog.text


def test_model_comes_back(make_state: MakeState, runtime: Runtime, tmp_path: Path) -> None:
    state = make_state(3)
    path = save_checkpoint(state, tmp_path, tokenizer_fingerprint="abc", notes={"command": "--depth=2"})
    assert path == step_folder(tmp_path, 3)
    model = load_model(tmp_path, runtime=runtime, tokenizer_fingerprint="abc")
    tokens = torch.arange(20)[None]
    assert torch.equal(model(tokens), state.model(tokens)) and model.config == state.model.config
    saved = read_saved(tmp_path)
    assert (saved.step, saved.plan, saved.notes) == (3, state.plan, {"command": "--depth=2"})
    assert saved.history == state.history
    assert saved.versions["torch"] == torch.__version__


def test_compiled_models_keep_their_names(make_state: MakeState, tmp_path: Path) -> None:
    state = make_state(1)
    tokens = torch.arange(20)[None]
    expected = state.model(tokens)
    state.model = torch.compile(state.model, backend="eager")
    save_checkpoint(state, tmp_path)
    assert torch.equal(load_model(tmp_path)(tokens), expected)


# Damage: rows 28 to 32 ---------------------------------------------------------------------------------------

DAMAGES: dict[str, Callable[[Path], None]] = {
    "truncated": lambda file: os.truncate(file, file.stat().st_size - 1),
    "cut in half": lambda file: os.truncate(file, file.stat().st_size // 2),
    "emptied": lambda file: os.truncate(file, 0),
    "deleted": lambda file: file.unlink(),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"\0"),
    "one bit flipped": lambda file: file.write_bytes(
        file.read_bytes()[:-9] + bytes([file.read_bytes()[-9] ^ 1]) + file.read_bytes()[-8:]
    ),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_file_is_named_and_earlier_step_loads(
    how: str, name: str, run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = load_model(run, 2).state_dict()
    DAMAGES[how](run / "step_000004" / name)
    with pytest.raises(InputError) as caught:
        load_model(run, 4)
    message = str(caught.value)
    assert str(run / "step_000004" / name) in message and "use step 2" in message and "\n" not in message
    assert latest_step(run) == 2 and name in caplog.text
    assert all(torch.equal(before[key], tensor) for key, tensor in load_model(run).state_dict().items())


@pytest.mark.parametrize("how", ["cut in half", "emptied", "deleted", "a folder"])
def test_damaged_manifest_is_named(how: str, run: Path) -> None:
    DAMAGES[how](run / "step_000004" / MANIFEST)
    with pytest.raises(InputError, match=r"step_000004/manifest\.json .*use step 2"):
        load_model(run, 4)
    assert latest_step(run) == 2


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(FILES), where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_is_found(name: str, where: float, bit: int, run: Path) -> None:
    file = run / "step_000004" / name
    good = file.read_bytes()
    bad = bytearray(good)
    bad[int(where * len(bad))] ^= 1 << bit
    file.write_bytes(bad)
    try:
        assert len(damage(file.parent)) == 1
    finally:
        file.write_bytes(good)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.one_of(st.binary(max_size=40), st.sampled_from([b"[" * 100_000, b'{"format": 1, "files": []}', b"null"]))
)
def test_no_manifest_makes_it_crash(text: bytes, run: Path) -> None:
    (run / "step_000004" / MANIFEST).write_bytes(text)
    assert damage(run / "step_000004")
    assert latest_step(run) == 2


def test_all_steps_damaged(run: Path) -> None:
    for step in (2, 4):
        (step_folder(run, step) / "model.safetensors").unlink()
    assert latest_step(run) is None
    with pytest.raises(InputError, match="no whole checkpoint.*steps 2, 4.*model.safetensors is missing"):
        load_model(run)


@pytest.mark.parametrize("name", ["../../etc/x", "/etc/x", "sub/x", "..", "model.safetensors/../x", ""])
def test_manifest_reads_nothing_outside(name: str, run: Path) -> None:
    """Row 31, with a manifest that is right about everything else."""
    path = run / "step_000004"
    manifest = json.loads((path / MANIFEST).read_text())
    manifest["files"][name] = manifest["files"]["model.safetensors"]
    (path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="no file of a checkpoint"):
        load_model(run, 4)
    assert latest_step(run) == 2


def test_missing_step_lists_those_there_are(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no step 3: it has 2, 4"):
        load_model(run, 3)
    with pytest.raises(InputError, match="holds no checkpoint.*base_train"):
        load_model(tmp_path / "nowhere")


def test_foreign_names_are_ignored_and_numbers_are_numbers(run: Path, make_state: MakeState) -> None:
    for name in ("step_000200_backup", ".tmp-1-ab", "step_", "step_-1", "step_1e9", "step_٣", "mystep_9", "notes"):
        shutil.copytree(run / "step_000004", run / name)
    (run / "step_000777").write_text("a file, not a folder")
    assert list_steps(run) == [2, 4] and latest_step(run) == 4
    state = make_state(1)
    for step in (999_999, 1_000_000):
        state.step = step
        save_checkpoint(state, run)
    assert list_steps(run) == [2, 4, 999_999, 1_000_000]
    assert latest_step(run) == 1_000_000
    assert purge(run, 1) == [999_999, 4, 2]
    assert (run / "step_000200_backup" / MANIFEST).exists()


def test_unpadded_names_count_and_renamed_folders_do_not(run: Path) -> None:
    (run / "step_000004").rename(run / "step_4")
    (run / "step_000002").rename(run / "step_10")
    assert list_steps(run) == [4, 10]
    assert latest_step(run) == 4
    with pytest.raises(InputError, match="is of step 2, the folder was renamed"):
        load_model(run, 10)


def edit_state(change: Callable[[dict], None]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        state = json.loads((path / "state.json").read_text())
        change(state)
        (path / "state.json").write_text(json.dumps(state))

    return edit


def edit_tensors(name: str, change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        tensors = safetensors.torch.load_file(path / name)
        change(tensors)
        safetensors.torch.save_file(tensors, path / name)

    return edit


def narrow(tensors: dict[str, torch.Tensor]) -> None:
    tensors["head.weight"] = tensors["head.weight"].half()
    tensors["embed.weight"] = tensors["embed.weight"].half()


MISMATCHES = {
    "another vocabulary": (
        edit_state(lambda s: s["plan"]["model"].update(vocab_size=256)),
        2,
        "head.weight has shape (320, 32), the plan in state.json asks for (256, 32)",
    ),
    "deeper": (edit_state(lambda s: s["plan"]["model"].update(n_layer=3)), 6, "blocks.2.mlp.up.weight is missing"),
    "shallower": (edit_state(lambda s: s["plan"]["model"].update(n_layer=1)), 6, "blocks.1.mlp.up.weight is there"),
    "unknown size": (
        edit_state(lambda s: s["plan"]["model"].update(n_expert=8)),
        1,
        "plan.model has the unknown key 'n_expert'",
    ),
    "size lacking": (edit_state(lambda s: s["plan"]["model"].pop("n_head")), 1, "plan.model lacks the key 'n_head'"),
    "unknown plan": (edit_state(lambda s: s["plan"].update(a=1, b=2)), 2, "plan has the unknown key 'b'"),
    "plan of text": (edit_state(lambda s: s["plan"].update(matrix_lr="fast")), 1, "wrong type"),
    "no plan": (edit_state(lambda s: s.pop("plan")), 1, "'plan' must be there"),
    "loader of text": (edit_state(lambda s: s.update(loader="x", step="y")), 2, "'loader' must be there and be a dict"),
    "ragged history": (edit_state(lambda s: s["history"]["loss"].pop()), 1, "history"),
    "random numbers": (edit_state(lambda s: s["rng"].update(torch="AAAA")), 1, "random numbers"),
    "optimizers": (edit_state(lambda s: s["optimizers"].pop()), 1, "optimizers"),
    "optimizers of text": (edit_state(lambda s: s.update(optimizers=["x"])), 1, "optimizers"),
    "weight missing": (edit_tensors("model.safetensors", lambda t: t.pop("head.weight")), 1, "head.weight is missing"),
    "weight too many": (
        edit_tensors("model.safetensors", lambda t: t.update(x=torch.ones(1))),
        1,
        "x is there and not part",
    ),
    "weights of half": (
        edit_tensors("model.safetensors", narrow),
        2,
        "head.weight is float16, this version keeps it in float32",
    ),
    "memory missing": (
        edit_tensors("optim.safetensors", lambda t: t.pop("head.weight/exp_avg")),
        1,
        "head.weight/exp_avg is missing",
    ),
    "memory too many": (
        edit_tensors("optim.safetensors", lambda t: t.update(x=torch.ones(1))),
        1,
        "x is there and not part",
    ),
    "memory too small": (
        edit_tensors("optim.safetensors", lambda t: t.update({"head.weight/exp_avg": torch.ones(1)})),
        1,
        "has shape (1,)",
    ),
    "not tensors": (lambda path: (path / "model.safetensors").write_bytes(b"\xff" * 64), 1, "cannot be read"),
    "not an object": (lambda path: (path / "state.json").write_text("[]"), 1, "must hold a JSON object"),
}


@pytest.mark.parametrize("case", MISMATCHES)
def test_what_does_not_fit_is_refused_line_by_line(
    case: str, run: Path, make_loader: MakeLoader, plan: Plan, runtime: Runtime
) -> None:
    """Row 30, with a manifest that vouches for the files as they are."""
    tamper, n_lines, expected = MISMATCHES[case]
    tamper(run / "step_000004")
    rewrite_manifest(run / "step_000004")
    assert damage(run / "step_000004") == []
    with pytest.raises(InputError) as caught:
        resume(run, make_loader(plan), runtime, step=4)
    lines = str(caught.value).splitlines()
    assert len(lines) == n_lines and any(expected in line for line in lines), lines
    assert all(str(run / "step_000004") in line for line in lines)
    load_model(run, 2)


def test_another_plan_or_tokenizer_is_refused(run: Path, make_loader: MakeLoader, plan: Plan, runtime: Runtime) -> None:
    other = replace(plan, matrix_lr=0.1, num_iterations=60, model=replace(plan.model, vocab_size=384))
    with pytest.raises(InputError) as caught:
        resume(run, make_loader(plan), runtime, other)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    for line, words in zip(
        lines,
        ("num_iterations was 30 and is now 60", "matrix_lr was 0.02 and is now 0.1", "model.vocab_size was 320"),
        strict=True,
    ):
        assert words in line and "resume with the old value" in line
    for use in (
        lambda: load_model(run, tokenizer_fingerprint="xyz"),
        lambda: resume(run, make_loader(plan), runtime, tokenizer_fingerprint="xyz"),
    ):
        with pytest.raises(InputError, match="trained with tokenizer abc, this one is xyz"):
            use()


def test_other_data_is_refused(run: Path, plan: Plan, runtime: Runtime, byte_tokenizer: object) -> None:
    other = TokenLoader([[1, 2, 3]], plan.device_batch_size, plan.model.sequence_len, 256, plan.seed)
    with pytest.raises(InputError, match="data changed|bos"):
        resume(run, other, runtime)


def test_batch_that_does_not_divide_over_the_processes_is_refused(
    run: Path, make_loader: MakeLoader, plan: Plan
) -> None:
    three = Runtime(torch.device("cpu"), torch.float32, rank=0, world_size=3)
    with pytest.raises(InputError, match="total_batch_size=96"):
        resume(run, make_loader(plan), three)


# Writing -----------------------------------------------------------------------------------------------------


def test_keep_removes_the_oldest(make_state: MakeState, tmp_path: Path) -> None:
    state = make_state(0)
    for step in range(1, 6):
        save_checkpoint(fit(state, until=step), tmp_path, keep=2)
    assert list_steps(tmp_path) == [4, 5]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step_000004", "step_000005"]
    with pytest.raises(InputError, match="keep=0"):
        save_checkpoint(state, tmp_path, keep=0)
    with pytest.raises(InputError, match="keep=0"):
        purge(tmp_path, 0)


def test_damaged_steps_do_not_count_as_kept(run: Path, make_state: MakeState) -> None:
    (run / "step_000004" / "model.safetensors").unlink()
    state = make_state(6)
    save_checkpoint(state, run, keep=2)
    assert list_steps(run) == [2, 4, 6]
    save_checkpoint(fit(state, until=7), run, keep=2)
    assert list_steps(run) == [6, 7]


def test_nothing_is_removed_unless_the_new_step_reads_back(
    run: Path, make_state: MakeState, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lossy(path: Path) -> None:
        if path.name == "optim.safetensors":
            return
        if path == run:  # the last push: something on the disk has changed meanwhile
            os.truncate(run / "step_000006" / "optim.safetensors", 100)

    monkeypatch.setattr(checkpoint, "push_to_disk", lossy)
    with pytest.raises(InputError, match="does not read back.*optim.safetensors has 100 bytes"):
        save_checkpoint(make_state(6), run, keep=1)
    monkeypatch.undo()
    assert latest_step(run) == 4 and list_steps(run) == [2, 4, 6]


def test_saving_the_same_step_again_changes_nothing(run: Path, make_state: MakeState) -> None:
    before = (run / "step_000004" / MANIFEST).read_text()
    save_checkpoint(make_state(4), run)
    assert (run / "step_000004" / MANIFEST).read_text() == before
    assert sorted(p.name for p in run.iterdir()) == ["step_000002", "step_000004"]


def test_another_run_with_the_same_step_is_set_aside(run: Path, make_state: MakeState, plan: Plan) -> None:
    old = load_model(run, 4).state_dict()
    other = make_state(4, of=replace(plan, seed=7))
    save_checkpoint(other, run)
    assert torch.equal(load_model(run, 4).embed.weight, other.model.embed.weight)
    (aside,) = run.glob("step_000004.replaced-*")
    assert damage(aside) == [] and list_steps(run) == [2, 4]
    kept = safetensors.torch.load_file(aside / "model.safetensors")
    assert all(torch.equal(kept[name], old[name]) for name in old)


@pytest.mark.parametrize("where", ["weight", "memory"])
def test_damaged_numbers_are_never_saved(where: str, run: Path, make_state: MakeState) -> None:
    state = make_state(6)
    with torch.no_grad():
        if where == "weight":
            state.model.head.weight[3, 3] = float("nan")
        else:
            state.optimizers[1].state[state.model.blocks[0].mlp.up.weight]["mean"][0, 0] = float("inf")
    with pytest.raises(InputError, match=r"step 6 is not saved: .*\.weight.*NaN or infinity"):
        save_checkpoint(state, run)
    assert list_steps(run) == [2, 4]


def test_notes_must_be_plain(run: Path, make_state: MakeState) -> None:
    for notes in ({"x": object()}, {"x": float("nan")}):
        with pytest.raises(InputError, match="plain data"):
            save_checkpoint(make_state(6), run, notes=notes)
    assert sorted(p.name for p in run.iterdir()) == ["step_000002", "step_000004"]


def test_only_the_first_process_writes(make_state: MakeState, tmp_path: Path) -> None:
    state = make_state(1)
    state.runtime = replace(state.runtime, rank=1, world_size=2)
    assert save_checkpoint(state, tmp_path / "run") == step_folder(tmp_path / "run", 1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("umask", "file_mode", "folder_mode"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_others_may_read_what_the_umask_lets_them(
    umask: int, file_mode: int, folder_mode: int, make_state: MakeState, tmp_path: Path
) -> None:
    before = os.umask(umask)
    try:
        path = save_checkpoint(make_state(1), tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == folder_mode
    assert {stat.S_IMODE((path / name).stat().st_mode) for name in (*FILES, MANIFEST)} == {file_mode}


# Runs that die -----------------------------------------------------------------------------------------------

SAVER = """
import sys
from pathlib import Path

import torch

from nanochat.checkpoint import run_lock, save_checkpoint
from nanochat.common import Runtime
from nanochat.dataloader import TokenLoader
from nanochat.gpt import GPTConfig
from nanochat.train import Plan, TrainState, fit

torch.set_num_threads(1)
folder, first, keep = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
sizes = GPTConfig.from_depth(2, vocab_size=320, sequence_len=24, width=32)
plan = Plan(model=sizes, device_batch_size=2, total_batch_size=96, num_iterations=30)
loader = TokenLoader([[1, 2, 3, 4], [5, 6]], 2, 24, 264)
state = fit(TrainState.start(plan, loader, Runtime(torch.device("cpu"), torch.float32)), until=1)
"""


def start(script: str, *arguments: object, limit: int | None = None) -> subprocess.Popen[str]:
    """Start a process with a state to save; ``limit`` is the most bytes that a file of its may have."""

    def prepare() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [sys.executable, "-c", SAVER + script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
    )


ONE_SAVE = """
from nanochat.common import run_stage

state.step = first
sys.exit(run_stage(lambda argv: save_checkpoint(state, folder, keep=keep), []))
"""


@pytest.mark.parametrize("name", FILES)
def test_full_disk_leaves_earlier_steps(name: str, run: Path) -> None:
    """A file may not grow past a limit, as on a disk without room; each limit stops another of the files."""
    size = {file: (run / "step_000004" / file).stat().st_size for file in FILES}
    assert size["state.json"] < size["model.safetensors"] < size["optim.safetensors"]
    limit = size[name] // 8 * 7
    with start(ONE_SAVE, run, 6, 1, limit=limit) as process:
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 1, errors
    (line,) = errors.strip().splitlines()
    assert line.startswith("nanochat: error: step 6 could not be saved in") and "earlier steps are as they were" in line
    assert list_steps(run) == [2, 4] and damage(run / "step_000002") == damage(run / "step_000004") == []
    assert not list(run.glob(".tmp-*"))


KILLER = """
import os
import random
import signal
import time

from nanochat.checkpoint import damage, latest_step, list_steps, load_model, step_folder


def save_without_end(pipe):
    with run_lock(folder):
        for step in range(first, 10**6):
            state.step = step
            save_checkpoint(state, folder, keep=keep)
            os.write(pipe, b"%d " % step)


rng = random.Random(0)
newest = interrupted = 0
for _ in range(40):
    first = newest + 1
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        save_without_end(writer)
    os.close(writer)
    time.sleep(rng.uniform(0.02, 0.3))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reader) as pipe:
        reported = [int(word) for word in pipe.read().split()]
    interrupted += any(name.startswith(".tmp-") for name in os.listdir(folder))
    found = latest_step(folder)
    if found is None:
        assert not reported, (reported, os.listdir(folder))
        continue
    assert found >= max([newest, *reported]), (found, newest, reported)
    steps = list_steps(folder)
    assert len(steps) >= min(keep, found), steps
    assert not [damage(step_folder(folder, step)) for step in steps if damage(step_folder(folder, step))]
    load_model(folder)
    newest = found
with run_lock(folder):
    assert not [name for name in os.listdir(folder) if name.startswith(".tmp-")]
print(newest, interrupted)
"""


@pytest.mark.slow
def test_kill_at_any_moment_leaves_the_newest_whole(tmp_path: Path) -> None:
    """Rows 28 and 33: forty runs are killed while they save and purge as fast as they can."""
    with start(KILLER, tmp_path, 1, 2) as process:
        output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    newest, interrupted = map(int, output.split())
    assert newest > 40 and interrupted > 5, "too few kills came in the middle of a save: nothing was shown"


EACH_CALL = """
import os
import shutil
import signal

from nanochat.checkpoint import damage, latest_step, list_steps, load_model, purge, step_folder

CALLS = ("mkdir", "fsync", "chmod", "rename", "unlink", "rmdir")


def die_before(number):
    calls = iter(range(number))

    def counted(real):
        def call(*arguments, **named):
            if next(calls, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **named)

        return call

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))


for step in range(1, 4):
    state.step = step
    save_checkpoint(state, folder / "before")
state.step = 4
new_ones, halves, number = [], 0, 0
while True:
    shutil.copytree(folder / "before", folder / "run")
    child = os.fork()
    if child == 0:
        die_before(number)
        save_checkpoint(state, folder / "run", keep=keep)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    steps = list_steps(folder / "run")
    whole = [step for step in steps if not damage(step_folder(folder / "run", step))]
    assert whole == steps and steps[-1] >= 3 and len(steps) >= keep, (number, steps, whole)
    assert latest_step(folder / "run") == steps[-1]
    load_model(folder / "run")
    new_ones.append(steps[-1])
    halves += any(name.startswith(".tmp-") for name in os.listdir(folder / "run"))
    with run_lock(folder / "run"):
        purge(folder / "run", keep)
    kept = [f"step_{step:06d}" for step in steps[-keep:]]
    assert sorted(os.listdir(folder / "run")) == [".lock", *kept], os.listdir(folder / "run")
    shutil.rmtree(folder / "run")
    number += 1
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL
assert new_ones == sorted(new_ones)
print(halves, new_ones.count(3), new_ones.count(4))
"""


def test_kill_before_each_call_to_the_system_leaves_the_newest_whole(tmp_path: Path) -> None:
    """Rows 28 and 33: a save that purges two steps is killed before each call that changes the disk, in turn."""
    with start(EACH_CALL, tmp_path, 1, 2) as process:
        output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    halves, without, with_it = map(int, output.split())
    assert without > 8, "the new step has no name until its four files are on the disk"
    assert with_it > 12 and halves > 16, "each of the two purged steps takes a rename, four files and a folder"


# The folder: rows 25 and 26 ----------------------------------------------------------------------------------


def test_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for bad in ("file", "file/below", "loop", "loop/below", "x" * 300, "nul\0byte"):
        with pytest.raises(InputError, match="cannot take checkpoints"):
            check_writable(tmp_path / bad)
    with pytest.raises(InputError, match="/proc/.* cannot take checkpoints"):
        check_writable("/proc/nanochat")
    check_writable(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []


def test_folder_with_later_steps_is_refused(run: Path) -> None:
    check_writable(run)
    check_writable(run, step=4)
    with pytest.raises(InputError, match="steps 2, 4.*starts at step 0: resume from step 4"):
        check_writable(run, step=0)


HOLDER = """
with run_lock(folder):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_second_training_is_refused_while_the_first_runs(tmp_path: Path) -> None:
    with start(HOLDER, tmp_path, 0, 1) as process:
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(InputError, match=f"in use by another training.*process {process.pid} on"):
            with run_lock(tmp_path):
                pass
        process.communicate("")
    with run_lock(tmp_path):
        pass


def test_lock_of_a_killed_run_is_explained_and_void(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with start(HOLDER, tmp_path, 0, 1) as process:
        assert process.stdout.readline() == "ready\n"
        process.kill()
    (tmp_path / f".tmp-{process.pid}-0123abcd").mkdir()
    with run_lock(tmp_path):
        assert f"process {process.pid}" in caplog.text and "taken over" in caplog.text
        assert [p.name for p in tmp_path.iterdir()] == [".lock"]
    caplog.clear()
    with run_lock(tmp_path):
        assert caplog.text == ""


def test_lock_is_for_the_first_process_only(tmp_path: Path, runtime: Runtime) -> None:
    with run_lock(tmp_path, runtime), run_lock(tmp_path, replace(runtime, rank=1, world_size=2)):
        pass
