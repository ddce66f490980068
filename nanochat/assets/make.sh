#!/usr/bin/env bash
# How the model in shipped/ was made: these commands, in this order, on the data that comes with the package.
#
#   NANOCHAT_BASE_DIR=/somewhere/empty bash nanochat/assets/make.sh
#
# About an hour on one core. The last command judges the model and replaces shipped/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PYTHON=${PYTHON:-python}
ONCE=(--run=shipped --device-batch-size=8 --total-batch-size=2048 --dtype=bfloat16 --threads=1)
CHATS=arithmetic:8000,letters:8000,spelling:8000,story-questions:4000,smalltalk

"$PYTHON" -m scripts.tok_train --data=stories+wiki --tasks="$CHATS" --vocab-size=2048
"$PYTHON" -m scripts.base_train --depth=4 --data=stories --sequence-len=256 --num-iterations=1500 --eval-every=500 "${ONCE[@]}"
"$PYTHON" -m scripts.mid_train --lr-scale=0.7 --text-share=0.1 --eval-every=200 "${ONCE[@]}" \
    --tasks=arithmetic:8000,letters:6000,spelling:4000,story-questions:6000,story-endings:3000,dialogue:2000,smalltalk
"$PYTHON" -m scripts.chat_sft --lr-scale=0.5 --eval-every=200 "${ONCE[@]}" \
    --tasks=arithmetic:8000,arithmetic-sums:3000,letters:8000,spelling:4000,story-questions:8000,story-endings:5000,dialogue:2000,smalltalk
"$PYTHON" -m scripts.report --run=shipped
"$PYTHON" -m nanochat.shipping --run=shipped
