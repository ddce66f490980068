"""A model that learns a handful of conversations by heart, in seconds: for tests of what people see of it.

``python tests/browser/chat.py --port=8000`` serves it, and shows the page as it looks with a real model.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from nanochat.common import IGNORED
from nanochat.conversation import Conversation, Message, Part, render
from nanochat.gpt import GPT, GPTConfig
from nanochat.tokenizer import Tokenizer

STORY = (
    "One morning Mia the mouse could not find her red hat. She looked under the bed and behind the door. "
    "Then she asked Tom. “It is on your head,” said Tom, and both of them laughed for a long time."
)
CHATS = {
    "What is 17 + 25?": ("17 + 25 = ", Part("python", "17+25"), Part("output", "42"), "42\n#### 42"),
    'How many times is the letter r in "strawberry"?': (
        Part("python", '"strawberry".count("r")'),
        Part("output", "3"),
        'The letter r is in "strawberry" 3 times.',
    ),
    "Tell me a story.": (STORY,),
    "<script>alert(1)</script>": ("<b>not bold</b> & <img src=x onerror=alert(1)>",),
    "Divide 1 by 0.": ("1 / 0 = ", Part("python", "1/0"), "nothing: nobody can do that."),
}
"""What is asked, and the parts of the answer."""


def taught_model(steps: int = 200) -> tuple[GPT, Tokenizer]:
    """Teach the conversations; takes some seconds on one thread."""
    turns = {asked: (Message.user(asked), Message.assistant(*parts)) for asked, parts in CHATS.items()}
    sum_, letters, story, *_ = turns.values()
    chats = [Conversation(messages) for messages in (*turns.values(), sum_ + story, story + letters)]
    texts = [part.text for chat in chats for message in chat.messages for part in message.parts]
    tokenizer = Tokenizer.train(texts * 4, vocab_size=448)
    model = GPT(GPTConfig.from_depth(2, tokenizer.vocab_size, sequence_len=512, width=64))
    model.init_weights(seed=1)
    rows = [render(tokenizer, chat) for chat in chats]
    width = max(len(row.ids) for row in rows) - 1
    tokens = torch.full((len(rows), width), tokenizer.bos)
    targets = torch.full((len(rows), width), IGNORED)
    for place, row in enumerate(rows):
        own = torch.tensor(row.mask[1:], dtype=torch.bool)
        tokens[place, : len(row.ids) - 1] = torch.tensor(row.ids[:-1])
        targets[place, : len(row.ids) - 1][own] = torch.tensor(row.ids[1:])[own]
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3)
    for _ in range(steps):
        loss = model(tokens, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < 0.02:
            break
    return model.eval(), tokenizer


def main() -> None:
    """Serve the model until told to stop."""
    from nanochat.web.server import Limits, Served, bind, serve

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds that each token takes longer")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with bind("127.0.0.1", options.port) as listener:
        model, tokenizer = taught_model()
        model.register_forward_pre_hook(lambda module, inputs: time.sleep(options.pause))
        served = Served(model, tokenizer, "taught five conversations by heart, for a test", tuple(CHATS)[:3])
        serve(served, listener, Limits(), ready=lambda: print(f"ready http://127.0.0.1:{options.port}/", flush=True))


if __name__ == "__main__":
    main()
