#!/usr/bin/env bash
# How the model in shipped/ was made: these commands, in this order, on the data that comes with the package.
#
#   NANOCHAT_BASE_DIR=/somewhere/empty bash nanochat/assets/make.sh
#
# About an hour on one core. The last command judges the model and replaces shipped/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PYTHON=${PYTHON:-python}
ONCE=(--device-batch-size=12 --total-batch-size=4608 --dtype=bfloat16 --threads=1)
WORDS=arithmetic:8000,letters:8000,spelling:8000,story-questions:4000,smalltalk

"$PYTHON" -m scripts.tok_train --data=stories+wiki --tasks="$WORDS" --vocab-size=2048
"$PYTHON" -m scripts.base_train --depth=4 --data=stories --sequence-len=384 --num-iterations=600 --eval-every=200 --run=shipped "${ONCE[@]}"
"$PYTHON" -m scripts.mid_train --lr-scale=1 --warmdown-ratio=0.2 --final-lr-fraction=0.3 --text-share=0.05 --eval-every=200 \
    --save-every=400 --run=shipped "${ONCE[@]}" \
    --tasks=story-chats:8000,repeat:12000,letters:8000,spelling:8000,arithmetic:8000,story-questions:3000,story-endings:1500,tell-story:1000,do-not-know:500,smalltalk
"$PYTHON" -m scripts.chat_sft --lr-scale=1 --warmup-ratio=0.01 --eval-every=500 --save-every=150 \
    --source="$NANOCHAT_BASE_DIR/mid/shipped" --run=shipped-first "${ONCE[@]}" \
    --tasks=facts:16000,repeat-stories:12000,story-bits:16000,story-chats:10000,story-questions:2000,letters:14000,spelling:4000,arithmetic:4000,arithmetic-sums:1500,story-endings:1200,tell-story,repeat:6000,dialogue:2000,do-not-know,smalltalk,smalltalk
# Looking things up has cost it some of its stories: a last part with more of them.
"$PYTHON" -m scripts.chat_sft --lr-scale=0.4 --warmdown-ratio=0.7 --eval-every=0 \
    --source="$NANOCHAT_BASE_DIR/sft/shipped-first" --run=shipped "${ONCE[@]}" \
    --tasks=story-endings:5000,story-chats:2000,story-questions:1000,story-bits:2000,letters:3000,tell-story:1200,arithmetic-sums:500,repeat-stories:1000,do-not-know:800,smalltalk
"$PYTHON" -m scripts.report --run=shipped
"$PYTHON" -m nanochat.shipping --run=shipped --before=shipped-first
