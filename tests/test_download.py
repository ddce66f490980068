"""The download stage against a hub on loopback: shards, tasks, and the questions of CORE."""

import io
import shutil
import zipfile
from pathlib import Path

import pytest

from nanochat import core
from nanochat import hub as hub_module
from nanochat.corpora import load_corpus
from nanochat.corpora.shards import SHARDED
from nanochat.hub import DownloadError
from nanochat.stages import main
from nanochat.stages.download import Settings, shards_wanted, task_downloads
from nanochat.tasks import OFFLINE, TASKS, load_task
from tests.hub_server import Hub

pyarrow = pytest.importorskip("pyarrow", reason="parquet files need pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
CLIMBMIX = "karpathy/climbmix-400b-shuffle"


@pytest.fixture
def hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub with four shards of text and the bundle of CORE."""
    monkeypatch.setattr(hub_module, "PAUSE", 0.0)
    monkeypatch.setattr(core, "BUNDLE_URL", hub.url + "/eval_bundle.zip")
    for number in (0, 1, 2, 6542):
        rows = [f"Shard {number}, document {i}." for i in range(20)]
        hub.add(CLIMBMIX, f"shard_{number:05}.parquet", table({"text": rows}))
    return hub


def table(columns: dict) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), sink)
    return sink.getvalue()


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_shards_come_and_are_a_corpus(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub.redirects = True
    assert main(["download", "-n", "2"]) == 0
    printed = capsys.readouterr().out
    assert "complete    3 files" in printed and "--data=climbmix" in printed
    assert names(tmp_path / "base") == [f"hub/{CLIMBMIX}/shard_{number:05}.parquet" for number in (0, 1, 6542)]
    corpus = load_corpus("shards")
    assert len(list(corpus.documents("train"))) == 40
    assert list(corpus.documents("val"))[0] == "Shard 6542, document 0."

    asked = len(hub.requests)
    assert main(["download", "--num-shards=3", "--workers=1"]) == 0
    assert len(hub.requests) == asked + 2, "one more shard, through its redirect; the others are complete"


def test_row_13_what_failed_is_named_and_the_rest_kept(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Row 13: exit status 1, one line, no final file of what failed; the same command goes on."""
    del hub.files[f"/datasets/{CLIMBMIX}/resolve/main/shard_00001.parquet"]
    broken = f"/datasets/{CLIMBMIX}/resolve/main/shard_00002.parquet"
    hub.faults[broken] = ["html"] * 5
    assert main(["download", "-n", "3"]) == 1
    captured = capsys.readouterr()
    assert "shard_00001.parquet: the server answered 404" in captured.out
    assert "a web page in place of the file" in captured.out
    last = captured.err.strip().splitlines()[-1]
    assert last.startswith(
        "nanochat: error: 2 of 4 files could not be fetched (shard_00001.parquet, shard_00002.parquet)"
    )
    assert "Traceback" not in captured.err
    assert names(tmp_path / "base") == [f"hub/{CLIMBMIX}/shard_{number:05}.parquet" for number in (0, 6542)]
    hub.files[f"/datasets/{CLIMBMIX}/resolve/main/shard_00001.parquet"] = table({"text": ["x"]})
    assert main(["download", "-n", "3"]) == 0


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (["-n", "6543"], "6543 shards of climbmix cannot be had: ask for 0 to 6542"),
        (["-n", "-2"], "-2 shards of climbmix"),
        (["-n", "2", "--dataset=tinystories"], "ask for 0 to 1"),
        (["--workers=0"], "--workers=0"),
        (["--dataset=climbmx"], "climbmx"),
        (["-n", "2", "--num-shards=3"], "given twice"),
    ],
)
def test_wrong_flags_are_usage_errors(wrong: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["download", *wrong])
    assert stopped.value.code == 2 and named in capsys.readouterr().err


def test_how_many_shards_without_a_number() -> None:
    assert shards_wanted(Settings()) == 8
    assert shards_wanted(Settings(dataset="tinystories")) == 1
    assert shards_wanted(Settings(tasks=True)) == shards_wanted(Settings(core=True)) == 0
    assert shards_wanted(Settings(tasks=True, num_shards=3)) == 3
    assert len(SHARDED["fineweb-edu"].wanted(1822)) == 1823


def test_the_files_of_all_tasks_are_known(hub: Hub) -> None:
    """Whatever a task asks of the hub is fetched by ``download --tasks``, and nothing else is."""
    known = {each.url.removeprefix(hub.url) for each in task_downloads()}
    for name in TASKS.keys() - set(OFFLINE):
        for split in ("train", "test"):
            if (name, split) != ("humaneval", "train"):
                with pytest.raises(DownloadError, match="404"):
                    load_task(name, split)
    asked = {path for path, _ in hub.requests}
    assert asked <= known
    more = known - asked
    assert all("smol-smoltalk/resolve/main/data/train" in url for url in more), "it asks for one file after the other"


def test_tasks_are_fetched(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for each in task_downloads():
        hub.files[each.url.removeprefix(hub.url)] = table({"question": ["1+1?"], "answer": ["It is 2.\n#### 2"]})
    assert main(["download", "--tasks"]) == 0
    printed = capsys.readouterr().out
    assert f"tasks       {len(task_downloads())} files" in printed and "text  " not in printed
    assert all(each.destination.is_file() for each in task_downloads())
    assert len(load_task("gsm8k", "test")) == 1


def bundle(**more: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in {
            "eval_bundle/core.yaml": b"icl_tasks:\n- label: quiz\n  dataset_uri: a/quiz.jsonl\n  num_fewshot: [0]\n"
            b"  icl_task_type: language_modeling\n",
            "eval_bundle/eval_meta_data.csv": b"Eval Task,Random baseline\nquiz,0\n",
            "eval_bundle/eval_data/a/quiz.jsonl": b'{"context": "1+1=", "continuation": "2"}\n',
            **more,
        }.items():
            archive.writestr(name, content)
    return packed.getvalue()


def test_the_bundle_of_core_is_fetched_and_unpacked(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.files["/eval_bundle.zip"] = bundle()
    assert main(["download", "--core"]) == 0
    assert names(tmp_path / "base") == [
        "eval_bundle/core.yaml", "eval_bundle/eval_data/a/quiz.jsonl", "eval_bundle/eval_meta_data.csv",
    ]  # fmt: skip
    assert [task.label for task in core.load_bundle(core.bundle_folder())] == ["quiz"]
    assert main(["download", "--core"]) == 0
    assert len(hub.requests) == 1 and "is here already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK no zip at all", "is not a whole zip file"),
        (bundle()[:-40], "is not a whole zip file"),
        (bundle(**{"eval_bundle/core.yaml": b"[]"}), "has no list icl_tasks"),
        (bundle(**{"eval_bundle/core.yaml": b"icl_tasks: [{label: x"}), "is no YAML"),
    ],
)
def test_a_bundle_that_cannot_be_used_leaves_nothing_behind(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    hub.files["/eval_bundle.zip"] = content
    assert main(["download", "--core"]) == 1
    assert message in capsys.readouterr().err
    assert names(tmp_path / "base") == []


def test_a_bundle_does_not_write_outside_of_its_folder(tmp_path: Path) -> None:
    archive = tmp_path / "x.zip"
    archive.write_bytes(bundle(**{"../../outside.txt": b"x", "/absolute.txt": b"x", "eval_bundle/../up.txt": b"x"}))
    core.unpack_bundle(archive, tmp_path / "in" / "bundle")
    assert {name for name in names(tmp_path) if not name.startswith("in/bundle/")} == {"x.zip"}
    old = tmp_path / "in" / "bundle" / "old.txt"
    old.write_text("x")
    core.unpack_bundle(archive, tmp_path / "in" / "bundle")
    assert not old.exists() and [path.name for path in (tmp_path / "in").iterdir()] == ["bundle"]


SMALL = [
    "base-train", "--data=shards", "--depth=1", "--sequence-len=32", "--device-batch-size=4", "--eval-tokens=200",
    "--dtype=float32", "--threads=1",
]  # fmt: skip


def test_row_16_a_model_learns_from_shards_until_they_change(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Row 16, with the commands as they are typed: another shard is other data, and going on with it is refused."""
    assert main(["download", "-n", "2"]) == 0
    assert main([*SMALL, "--num-iterations=2", "--save-every=1"]) == 0
    assert "2 of 6543 shards" in capsys.readouterr().out
    last = tmp_path / "base" / "base" / "d1" / "step_000002"
    shutil.rmtree(last)
    assert main([*SMALL, "--num-iterations=2", "--resume"]) == 0
    assert "resuming    at step 1" in capsys.readouterr().out
    shutil.rmtree(last)
    assert main(["download", "-n", "3"]) == 0
    capsys.readouterr()
    assert main([*SMALL, "--num-iterations=2", "--resume"]) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("nanochat: error: ") and "the data changed" in message


def test_row_11_training_on_shards_that_are_not_here_names_the_command(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    """Row 11: the cure is a command, and it works as it is printed."""
    assert main([*SMALL, "--num-iterations=2"]) == 1
    message = capsys.readouterr().err.strip()
    assert message.endswith("python -m scripts.download -n 8") and "\n" not in message
