r"""The chat in the browser: a server with one page, and an interface that other programs know.

Text goes in, tokens come out one at a time, and whoever reads along may see how each of them was chosen:

===============================  ==================================================================================
:mod:`nanochat.web.worker`       one thread that lets the model write for all chats in turn
:mod:`nanochat.web.answers`      tokens to what a reader sees: words, calculations, candidates
:mod:`nanochat.web.messages`     what a request may hold
:mod:`nanochat.web.guard`        what is refused before anybody looks at it
:mod:`nanochat.web.server`       the addresses, and the process that serves them
``nanochat/web/static``          the page: plain HTML, CSS and JavaScript, as it is read in the browser
===============================  ==================================================================================

The server needs the optional extra ``web`` (FastAPI, uvicorn, sse-starlette). ``nanochat chat-web`` starts it.
"""
