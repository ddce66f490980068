#!/usr/bin/env bash
# From nothing to a chat: every stage in order.
#
#   bash speedrun.sh                 a machine without a GPU: a small model, in about ten minutes on two cores
#   bash speedrun.sh --depth=20      a machine with GPUs: the real thing, on data from the hub
#
# One dial: the depth. Where nvidia-smi finds GPUs, the depth is 20 and each GPU gets a process (NPROC says otherwise).
# A run that was interrupted goes on where it stopped: start the same command again. The model stays in
# $NANOCHAT_BASE_DIR (~/.cache/nanochat), and `python -m scripts.chat_web` shows it in the browser.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if [ -z "${PYTHON:-}" ]; then
    PYTHON=python
    # Where the shell is in no environment that has what the stages need, take the one that make has made.
    python -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("torch"))' 2>/dev/null ||
        [ ! -x .venv/bin/python ] || PYTHON=.venv/bin/python
fi
GPUS=$( (nvidia-smi --list-gpus 2>/dev/null || true) | wc -l)
DEPTH=$([ "$GPUS" -gt 0 ] && echo 20 || echo 4)
for word in "$@"; do
    case $word in
        --depth=*) DEPTH=${word#--depth=} ;;
        -h | --help) sed -n '2,10s/^# \{0,1\}//p' speedrun.sh; exit 0 ;;
        *) echo "speedrun.sh: $word is unknown: use --depth=N" >&2; exit 2 ;;
    esac
done
if ! [[ $DEPTH =~ ^[1-9][0-9]*$ ]]; then
    echo "speedrun.sh: --depth=$DEPTH must be a whole number of at least 1" >&2
    exit 2
fi
NPROC=${NPROC:-$([ "$GPUS" -gt 0 ] && echo "$GPUS" || echo 1)}
RUN=d$DEPTH

stage() {  # one process
    echo; echo "=== $*"
    "$PYTHON" -m "scripts.$1" "${@:2}"
}
train() {  # as many processes as there are GPUs
    echo; echo "=== $* ($NPROC processes)"
    if [ "$NPROC" -gt 1 ]; then
        "$PYTHON" -m torch.distributed.run --standalone --nproc_per_node="$NPROC" -m "scripts.$1" -- "${@:2}"
    else
        "$PYTHON" -m "scripts.$1" "${@:2}"
    fi
}

if [ "$GPUS" -gt 0 ]; then
    # About 20 tokens of text for each parameter, a vocabulary and chats of the size of the model.
    SHARDS=$((DEPTH * 8))
    DATA=shards
    PROSE=
    VOCABULARY=(--vocab-size=32768 --tasks=arithmetic:2000,letters:2000,spelling:2000)
    BASE=()
    MID=(--tasks=smoltalk,mmlu,gsm8k,arithmetic,letters,spelling,story-questions)
    SFT=(--tasks=smoltalk:20000,arc-easy,arc-challenge,gsm8k,arithmetic:5000,letters:5000,spelling:5000,smalltalk)
    RL=(--tasks=gsm8k --num-iterations=400 --questions=32 --samples=16)
    SCORED=(--tasks=arc-easy,arc-challenge,mmlu,gsm8k,humaneval,arithmetic,letters,spelling,story-questions --limit=500)
else
    # Stories are what a small model can learn to tell; the chats are such as it can learn to answer.
    SHARDS=0
    DATA=stories
    PROSE=$("$PYTHON" -c "from nanochat.corpora import prose_corpus; print(prose_corpus().name)")
    CHOICE=$([ "$PROSE" = wiki ] && echo ,wiki-choice || true) # where the extra "data" is installed
    VOCABULARY=(--vocab-size=2048 --tasks=arithmetic:2000,letters:2000,spelling:2000,story-questions:1000,smalltalk)
    BASE=(--num-iterations=600)
    MID=(--tasks=arithmetic:3000,letters:2500,spelling:1500,story-questions:1500"${CHOICE:+$CHOICE:800}")
    SFT=(--tasks=arithmetic-sums:2000,arithmetic:4000,letters:6000,spelling:2500,story-questions:4000,smalltalk)
    RL=(--tasks=arithmetic:2000,letters:2000 --num-iterations=25 --questions=8 --max-tokens=64 --eval-questions=50)
    SCORED=(--tasks=arithmetic-sums,arithmetic,letters,spelling,story-questions,smalltalk"$CHOICE" --limit=60)
fi

[ "$SHARDS" -eq 0 ] || stage download -n "$SHARDS"
stage tok_train --data="$DATA${PROSE:++$PROSE}" "${VOCABULARY[@]}"
stage tok_eval
train base_train --depth="$DEPTH" --data="$DATA" --run="$RUN" --resume "${BASE[@]}"
stage base_eval --run="$RUN" --data="$DATA" --num-samples=2
train mid_train --run="$RUN" --data="$DATA" --resume "${MID[@]}"
train chat_sft --run="$RUN" --resume "${SFT[@]}"
train chat_rl --run="$RUN" --resume "${RL[@]}"
train chat_eval --run="$RUN" --source=sft "${SCORED[@]}"
train chat_eval --run="$RUN" --source=rl "${SCORED[@]}"
stage chat_cli --run="$RUN" --temperature=0 -p "What is 12 + 30?"
stage report --run="$RUN"
echo; echo "from nothing to a chat in $((SECONDS / 60)) min $((SECONDS % 60)) s"
