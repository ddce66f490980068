// The chat: what is said, what is asked of the server, and what stands on the page. Text becomes text nodes and never
// markup, so whatever a user or a model writes is shown as it is.
import { answer as ask, refusal, Refused } from "./stream.js";
import { add, explainTemperature, explainTopK, make, show, showing } from "./panel.js";

const at = (id) => document.getElementById(id);
const text = at("text"), scroll = at("scroll"), list = at("messages"), panel = at("panel");
const TOP_K = [1, 2, 3, 5, 10, 20, 50, 100, null]; // the stops of the slider; null means all
const WIDE = matchMedia("(min-width: 60rem)");
const MOST = 200; // messages that are sent; what is older would not fit into any context here

let info = null; // what the server says about its model
let key = null; // what a server that asks for a key gets
let messages = []; // {role, text} of the user, {role, parts, tokens, ...} of the model
let running = null; // the AbortController of the answer that is being written

// --- What is known of the model ------------------------------------------------------------------------------------

const headers = () => (key ? { authorization: `Bearer ${key}` } : {});

function count(n) {
  for (const [size, word] of [[1e9, "billion"], [1e6, "million"], [1e3, "thousand"]]) if (n >= size) return `${(n / size).toFixed(n < 10 * size ? 1 : 0)} ${word}`;
  return String(n);
}

async function meet() {
  let response;
  try { response = await fetch("/api/info", { headers: headers() }); } catch { at("about").textContent = "The server does not answer. Is it still running?"; return; }
  if (response.status === 401) {
    at("unlock").hidden = false;
    at("about").textContent = key ? "That was not the key." : "";
    at("key").focus();
    return;
  }
  if (!response.ok) { at("about").textContent = (await refusal(response)).message; return; }
  info = await response.json();
  at("unlock").hidden = true;
  at("about").textContent = `It has ${count(info.parameters)} parameters, knows ${info.vocabulary.toLocaleString("en")} tokens, and sees ${info.context.toLocaleString("en")} of them at a time. ${info.note || "It can do the few things that it was taught. Try one of them:"}`;
  at("honest").textContent = `A very small model (${count(info.parameters)} parameters; ${info.where}). It is often wrong and knows little of the world: do not rely on what it says.`;
  at("examples").replaceChildren(...info.examples.map((example) => {
    const button = make("button", { type: "button", text: example });
    button.addEventListener("click", () => send(example));
    return make("li", {}, button);
  }));
  at("temperature").value = info.temperature;
  const wanted = TOP_K.findIndex((k) => k === null || (info.top_k !== null && k >= info.top_k));
  at("top-k").value = wanted;
  explain();
  if (matchMedia("(pointer: fine)").matches) text.focus({ preventScroll: true }); // on a phone the keyboard would jump up
}

at("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  key = at("key").value;
  meet();
});

// --- Settings ------------------------------------------------------------------------------------------------------

const settings = () => ({ temperature: Number(at("temperature").value), top_k: TOP_K[Number(at("top-k").value)] });

function explain() {
  const { temperature, top_k } = settings();
  at("temperature-value").textContent = String(temperature);
  at("temperature-why").textContent = explainTemperature(temperature);
  at("top-k-value").textContent = top_k === null ? "all" : String(top_k);
  at("top-k").setAttribute("aria-valuetext", top_k === null ? "all tokens" : `${top_k} tokens`);
  at("top-k-why").textContent = explainTopK(top_k);
  at("chosen").textContent = `Temperature ${temperature}, top-k ${top_k ?? "all"}`;
}
for (const id of ["temperature", "top-k"]) at(id).addEventListener("input", explain);

at("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("nanochat-theme", root.dataset.theme); } catch { /* then only until the page is closed */ }
});

// --- The panel -----------------------------------------------------------------------------------------------------

let opener = null;

function openPanel(from, focus) {
  panel.hidden = false;
  opener = from;
  mark();
  if (focus) panel.focus();
}

function closePanel() {
  panel.hidden = true;
  panel.dataset.closed = "yes"; // who closes it does not want it to open by itself
  mark();
  (opener?.isConnected ? opener : at("look")).focus();
}

function mark() {
  at("look").setAttribute("aria-expanded", String(!panel.hidden));
  for (const message of messages) if (message.node) message.node.classList.toggle("looked-at", !panel.hidden && message === showing());
}

at("look").addEventListener("click", () => {
  if (!panel.hidden) { closePanel(); return; }
  const last = messages.findLast((message) => message.role === "assistant");
  if (!showing() && last) show(last);
  openPanel(at("look"), !WIDE.matches);
});
at("close").addEventListener("click", closePanel);

// --- What stands on the page ---------------------------------------------------------------------------------------

const near = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
const down = () => { scroll.scrollTop = scroll.scrollHeight; };
let low = true; // whether the newest words are in sight, and have to stay there when the room for them changes
scroll.addEventListener("scroll", () => { low = near(); });
new ResizeObserver(() => { if (low) down(); }).observe(scroll);

function action(label, work, name) {
  const button = make("button", { type: "button", class: "quiet", text: label, "aria-label": name });
  button.addEventListener("click", work);
  return button;
}

function drawUser(message) {
  const body = make("div", { class: "body", dir: "auto", text: message.text });
  const actions = make("div", { class: "actions" }, action("Edit", () => edit(message), "Edit this message and ask again"));
  message.node = make("li", { class: "message user" }, make("span", { class: "who", text: "You" }), body, actions);
  list.append(message.node);
}

function drawAnswer(message) {
  message.body = make("div", { class: "body", dir: "auto" });
  message.state = make("p", { class: "state" });
  message.actions = make("div", { class: "actions" });
  message.node = make("li", { class: "message model", "aria-busy": "true" }, make("span", { class: "who", text: "nanochat" }), message.body, message.state, message.actions);
  list.append(message.node);
}

/** Put one more part on the page: words go on where the last words ended, a calculation gets a box of its own.
 *  A model can write a result by itself, where the program gave none; only what was put in was calculated. */
function drawPart(message, part, putIn) {
  const last = message.parts.at(-1);
  if (part.kind === "text") {
    if (last?.kind === "text") last.text += part.text;
    else { message.parts.push({ ...part }); message.words = message.body.appendChild(document.createTextNode("")); }
    message.words.appendData(part.text);
    return;
  }
  if (part.kind === "python") {
    const result = make("span", { class: "result", text: "not calculated" });
    message.result = result;
    message.body.append(make("span", { class: "calculation" }, make("span", { class: "sum" }, make("code", { text: part.text }), make("span", { class: "arrow", text: " → " }), result), make("small", { text: "the program could not calculate this" })));
  } else {
    message.result.textContent = part.text;
    message.result.classList.toggle("done", putIn);
    message.result.closest(".calculation").lastChild.textContent = putIn ? "calculated by the program, not by the model" : "made up by the model: the program did not calculate it";
  }
  message.parts.push({ ...part });
}

/** Set the last line of a calculation apart: “#### 42” is how the training data marks a final number. */
function setApart(body) {
  for (const node of [...body.childNodes]) {
    const found = node.nodeType === Node.TEXT_NODE && /^(#### )(\S.*)$/m.exec(node.data);
    if (!found) continue;
    const line = node.splitText(found.index);
    line.splitText(found[0].length);
    line.replaceWith(make("span", { class: "final" }, make("span", { class: "sign", text: found[1], title: "The training data marks the final number with this sign" }), found[2]));
  }
}

function finish(message, reason) {
  setApart(message.body);
  message.node.removeAttribute("aria-busy");
  const words = message.parts.filter((part) => part.kind === "text").map((part) => part.text).join("").trim();
  const speed = message.seconds > 0 && message.tokens.length > 1 ? `, ${Math.round(message.tokens.length / message.seconds)} a second` : "";
  const size = `${message.tokens.length} ${message.tokens.length === 1 ? "token" : "tokens"}${speed}`;
  const ends = { stop: size, length: `${size}; cut off, because its room was used up`, stopped: `${size}; stopped by you`, error: "" };
  if (!words && !message.parts.length && reason === "stop") message.body.append(make("em", { text: "The model ended its answer at once." }));
  message.state.textContent = ends[reason];
  message.actions.replaceChildren();
  if (message.tokens.length) message.actions.append(action("How it was made", (event) => { show(message); openPanel(event.currentTarget, true); }, "How it was made, token by token"));
  message.actions.append(action("Try again", () => again(message), "Try again: ask for another answer"));
  at("announce").textContent = reason === "error" ? "" : `nanochat: ${words || "no words"}${reason === "stopped" ? ". Stopped." : ""}`;
}

function draw(message) { return message.role === "user" ? drawUser(message) : drawAnswer(message); }

/** Forget everything from this message on. */
function cut(message) {
  stop();
  const place = messages.indexOf(message);
  for (const gone of messages.splice(place)) { gone.node.remove(); if (gone === showing()) show(null); }
}

function edit(message) {
  const field = make("textarea", { class: "edit", "aria-label": "Your message", rows: "2" });
  field.value = message.text;
  const whole = [...message.node.childNodes];
  const back = () => { message.node.replaceChildren(...whole); message.node.querySelector(".actions button").focus(); };
  const go = () => { if (!field.value.trim()) return; const words = field.value; cut(message); send(words); text.focus(); };
  const form = make("form", { class: "editing" }, field, make("div", { class: "actions" }, make("button", { type: "submit", class: "main", text: "Send" }), action("Cancel", back)));
  form.addEventListener("submit", (event) => { event.preventDefault(); go(); });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { event.stopPropagation(); back(); }
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); go(); }
  });
  message.node.replaceChildren(make("span", { class: "who", text: "You" }), form);
  field.focus();
  field.style.height = `${Math.min(field.scrollHeight + 4, 320)}px`;
}

function again(message) {
  cut(message);
  reply();
  text.focus();
}

// --- Talking -------------------------------------------------------------------------------------------------------

/** The conversation in the form in which the server reads it. */
function history() {
  const kinds = { text: "text", python: "python", output: "python_output" };
  return messages.slice(-MOST - 1).map((message) => {
    if (message.role === "user") return { role: "user", content: message.text };
    return { role: "assistant", content: message.parts.map((part) => ({ type: kinds[part.kind], text: part.text })) };
  });
}

function busy(on) {
  at("send").hidden = on;
  at("stop").hidden = !on;
  at("new").disabled = !messages.length;
}

function stop() {
  if (!running) return;
  running.abort();
  running = null;
  busy(false);
}

function send(words) {
  if (!words.trim() || running) return;
  const message = { role: "user", text: words };
  messages.push(message);
  draw(message);
  reply();
}

async function reply() {
  const sent = history();
  while (sent[0].role !== "user") sent.shift();
  const message = { role: "assistant", parts: [], tokens: [], temperature: settings().temperature, topK: settings().top_k };
  messages.push(message);
  draw(message);
  at("empty").hidden = true;
  message.state.textContent = "reading";
  message.node.classList.add("thinking");
  if (WIDE.matches && panel.hidden && messages.length === 2 && !panel.dataset.closed) openPanel(at("look"), false);
  show(message);
  mark();
  down();
  const mine = new AbortController();
  running = mine;
  busy(true);
  try {
    for await (const event of ask({ messages: sent, ...settings() }, headers(), mine.signal)) {
      const follow = near();
      if (event.type === "start") {
        Object.assign(message, { prompt: event.prompt, promptTokens: event.prompt_tokens, temperature: event.temperature, topK: event.top_k });
        if (event.ahead) message.state.textContent = `waiting for ${event.ahead} others`;
        if (event.dropped) message.node.before(make("li", { class: "dropped", text: `The first ${event.dropped} messages of this chat no longer fit into the ${info.context} tokens that the model sees. It does not know them any more.` }));
        if (showing() === message) show(message);
      } else if (event.type === "token") {
        if (!message.tokens.length) { message.node.classList.remove("thinking"); message.state.textContent = "writing"; }
        message.tokens.push(event);
        for (const part of event.parts) drawPart(message, part, event.forced);
        add(message, event);
      } else {
        for (const part of event.parts) drawPart(message, part, false);
        message.seconds = event.seconds;
        finish(message, event.reason);
      }
      if (follow) down();
    }
  } catch (error) {
    const stopped = mine.signal.aborted;
    finish(message, stopped ? "stopped" : "error");
    if (!stopped) {
      const number = error instanceof Refused && error.id ? ` (number ${error.id})` : "";
      const what = error instanceof Refused ? error.message : "the server cannot be reached";
      message.state.replaceWith(make("p", { class: "failed", role: "alert", text: `No answer: ${what}${number}` }));
    }
  } finally {
    message.node.classList.remove("thinking");
    if (running === mine) { running = null; busy(false); }
    down();
  }
}

function fit() {
  text.style.height = "auto";
  text.style.height = `${Math.min(text.scrollHeight + 2, innerHeight * 0.35)}px`;
  const over = info && text.value.length > info.max_characters;
  at("notice").textContent = over ? `This is ${text.value.length.toLocaleString("en")} characters; the model can read ${info.max_characters.toLocaleString("en")} at the most.` : "";
  at("send").disabled = Boolean(over);
}

function submit() {
  if (!info || running || at("send").disabled || !text.value.trim()) return;
  const words = text.value;
  text.value = "";
  fit();
  send(words);
}

at("composer").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
text.addEventListener("input", fit);
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); submit(); }
});
at("stop").addEventListener("click", () => { stop(); text.focus(); });
at("new").addEventListener("click", () => {
  if (messages.length) cut(messages[0]);
  list.replaceChildren();
  at("empty").hidden = false;
  at("new").disabled = true;
  show(null);
  text.focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (running) stop();
  else if (!panel.hidden && (panel.contains(document.activeElement) || !WIDE.matches)) closePanel();
});

show(null);
explain();
meet();
