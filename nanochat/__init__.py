"""nanochat: a complete small ChatGPT, to be read from beginning to end.

The modules stand in the order in which the data flows, from text to an answer:

==================================  ==========================================================
module                              what flows through it
==================================  ==========================================================
:mod:`nanochat.common`              runtime, paths, errors
:mod:`nanochat.hub`                 files from the Hugging Face hub
:mod:`nanochat.corpora`             where text comes from
:mod:`nanochat.tokenizer`           text to tokens, and back
:mod:`nanochat.conversation`        turns to tokens with a mask, and back
:mod:`nanochat.token_store`         tokens of a large corpus, on the disk
:mod:`nanochat.dataloader`          tokens to batches
:mod:`nanochat.gpt`                 batches to logits: the model
:mod:`nanochat.accounting`          parameters, arithmetic and memory, counted
:mod:`nanochat.optim`               gradients to weights
:mod:`nanochat.distributed`         one model, trained by several processes
:mod:`nanochat.train`               the training loop
:mod:`nanochat.checkpoint`          state to disk, and back
:mod:`nanochat.engine`              tokens to more tokens
:mod:`nanochat.calculator`          the arithmetic that the engine does for the model
:mod:`nanochat.sandbox`             programs that a model wrote, run behind walls
:mod:`nanochat.tasks`               questions with answers, and a judge
:mod:`nanochat.evaluate`            how good the model is
:mod:`nanochat.reinforce`           rewards to gradients
:mod:`nanochat.core`                what a base model knows, as one published number
:mod:`nanochat.report`              the record of a run, and its report card
:mod:`nanochat.records`             results kept for pages, and how they were made
:mod:`nanochat.tiny`                the recipe of the model that the site trains
:mod:`nanochat.terminal`            what may be shown on a terminal
:mod:`nanochat.web`                 the chat in the browser
:mod:`nanochat.interop`             models that leave and come
:mod:`nanochat.shipping`            the small model that comes with the package
:mod:`nanochat.stages`              the commands
==================================  ==========================================================
"""

__version__ = "0.1.0"
