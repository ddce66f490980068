// The panel that shows how an answer was made: each token with its probability, and what else was possible.

const body = document.getElementById("panel-body");
const card = document.getElementById("card");
let shown = null; // the answer whose tokens are shown
let list = null; // their chips
let sure = null; // the line that counts them
let current = -1; // the chip that the card is about; -1 before one was chosen

/** Make an element; text is always text and never markup. */
export function make(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (name === "class") node.className = value;
    else if (name === "text") node.textContent = value;
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

export function percent(p) {
  if (p === 0) return "0 %";
  if (p >= 0.9995) return p >= 0.999995 ? "100 %" : "> 99.9 %";
  if (p < 0.0005) return "< 0.1 %";
  return `${(100 * p).toFixed(p < 0.0995 || p > 0.9905 ? 1 : 0)} %`;
}

/** What a token looks like: white space is made visible by the server, control characters here. */
function look(token) {
  const text = token.piece.replace(/[\u0000-\u001f]/g, (sign) => String.fromCharCode(0x2400 + sign.charCodeAt(0)));
  return text.replace(/[\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, (sign) => `<U+${sign.charCodeAt(0).toString(16).padStart(4, "0")}>`);
}

const MARKS = {
  "<|bos|>": "Every text begins with this mark.",
  "<|user_start|>": "From here on, the user speaks.",
  "<|user_end|>": "The user has finished.",
  "<|assistant_start|>": "From here on, the model has to write.",
  "<|assistant_end|>": "With this mark the model says that its answer is complete.",
  "<|python_start|>": "With this mark the model asks for the calculator. What follows is the expression.",
  "<|python_end|>": "The expression is complete, and the program calculates it.",
  "<|output_start|>": "From here on, the program writes the result into the text.",
  "<|output_end|>": "The result is complete, and the model goes on.",
};

function chip(token, index) {
  const classes = ["chip", `hue-${token.colour}`];
  if (token.mark) classes.push("mark");
  if (token.forced) classes.push("forced");
  const button = make("button", { type: "button", class: classes.join(" "), "aria-pressed": "false", tabindex: index === 0 ? "0" : "-1" });
  button.append(make("span", { class: "piece", text: look(token) }), " ");
  if (token.chosen) {
    const fill = make("span", { class: "fill" });
    fill.style.width = `${100 * token.chosen.own}%`;
    button.append(make("span", { class: "meter" }, fill), make("small", { text: percent(token.chosen.own) }));
  } else button.append(make("small", { text: "put in" }));
  return make("li", {}, button);
}

export function explainTemperature(t) {
  if (t === 0) return "0: no dice. The likeliest token is always taken, so the answer is always the same.";
  if (t < 1) return `${t}, below 1: likely tokens become likelier, unlikely ones rarer. The answer gets safer.`;
  if (t > 1) return `${t}, above 1: unlikely tokens get a better chance. The answer gets wilder.`;
  return "1: the probabilities stay as the model gave them.";
}

export function explainTopK(k) {
  if (k === null) return "No limit: even the unlikeliest token can be drawn.";
  if (k === 1) return "1: only the likeliest token is left, so the answer is always the same.";
  return `${k}: only the ${k} likeliest tokens take part in the draw, all others are left out.`;
}

/** Show the answer in the panel; a null shows what the panel is for. */
export function show(answer) {
  shown = answer;
  current = -1;
  card.hidden = true;
  body.replaceChildren();
  list = sure = null;
  if (!answer) {
    body.append(
      make("p", { text: "A language model never writes a whole sentence. It writes one token at a time; a token is a word or a piece of one." }),
      make("p", { text: "For each step it gives every token it knows a probability. Then the program draws one, as with weighted dice, puts it at the end of the text, and asks again." }),
      make("p", { text: "Ask something, and watch it happen here: each token as it is chosen, how likely it was, and what else was possible." }),
    );
    return;
  }
  if (answer.prompt) {
    const strip = make("p", { class: "strip" });
    for (const token of answer.prompt) strip.append(make("span", { class: `chip still hue-${token.colour}${token.mark ? " mark" : ""}`, title: token.mark ? MARKS[token.piece] ?? "" : "" }, make("span", { class: "piece", text: look(token) })));
    const cut = answer.promptTokens - answer.prompt.length;
    body.append(make("details", { class: "read" }, make("summary", { text: `What the model read: ${answer.promptTokens} tokens` }), make("p", { text: `The chat as one row of tokens; marks say who speaks.${cut > 0 ? ` The first ${cut} are not shown.` : ""}` }), strip));
  }
  body.append(make("h3", { text: "What it wrote, token by token" }), make("p", { class: "hint", text: "The bar and the number say how likely the model found the token. Choose one to see what else was possible." }));
  sure = make("p", { class: "sure" });
  list = make("ol", { class: "chips", "aria-label": "Tokens of the answer" });
  body.append(list, sure);
  answer.tokens.forEach((token, index) => list.append(chip(token, index)));
  count();
}

/** Add the newest token, if its answer is the one that is shown. */
export function add(answer, token) {
  if (answer !== shown || !list) return;
  const low = body.scrollHeight - body.scrollTop - body.clientHeight < 60;
  list.append(chip(token, answer.tokens.length - 1));
  count();
  if (low && current < 0) body.scrollTop = body.scrollHeight;
}

export const showing = () => shown;

function count() {
  const own = shown.tokens.filter((token) => token.chosen);
  if (!own.length) return;
  const certain = own.filter((token) => token.chosen.own > 0.9).length;
  const first = own.filter((token) => token.candidates.length && token.candidates[0].id === token.id).length;
  const put = shown.tokens.length - own.length;
  sure.textContent = `The model chose ${own.length} tokens. It was over 90 % sure of ${certain}; ${first} were its first choice.${put ? ` The program put in ${put}.` : ""}`;
}

function row(candidate, chosen, scale) {
  const bars = make("span", { class: "bars", "aria-hidden": "true" });
  for (const kind of ["own", "drawn_with"]) {
    const bar = make("span", { class: `bar ${kind}` });
    bar.style.width = `${(100 * candidate[kind]) / scale}%`;
    bars.append(bar);
  }
  const out = candidate.drawn_with === 0;
  const numbers = make("span", { class: "numbers" }, make("span", { class: "own", text: percent(candidate.own) }), make("span", { "aria-hidden": "true", text: " → " }), make("span", { class: "drawn_with", text: out ? "out" : percent(candidate.drawn_with) }));
  const piece = make("span", { class: `piece hue-${candidate.colour}`, text: look(candidate) });
  const item = make("li", { class: `candidate${chosen ? " chosen" : ""}${out ? " out" : ""}` }, piece, bars, numbers);
  if (chosen) item.append(make("span", { class: "tick", text: "chosen" }));
  return item;
}

function select(index, focus) {
  const chips = list.querySelectorAll("button");
  if (!chips[index]) return;
  for (const [place, button] of chips.entries()) {
    button.tabIndex = place === index ? 0 : -1;
    button.setAttribute("aria-pressed", String(place === index));
  }
  current = index;
  if (focus) chips[index].focus();
  const token = shown.tokens[index];
  card.replaceChildren(make("h3", {}, document.createTextNode(`Token ${index + 1}: `), make("span", { class: `piece hue-${token.colour}`, text: look(token) })));
  if (token.mark) card.append(make("p", { text: MARKS[token.piece] ?? "A mark, which no text can become." }));
  if (token.forced) card.append(make("p", { text: token.mark ? "The program put it in. The model did not choose it." : "The program put it in: it is part of the calculator's result. The model did not choose it." }));
  if (token.chosen) {
    const { temperature, topK } = shown;
    const inside = token.candidates.some((one) => one.id === token.id);
    const rows = inside ? token.candidates : [...token.candidates, { ...token, ...token.chosen }];
    const scale = Math.max(...rows.flatMap((one) => [one.own, one.drawn_with]));
    const rest = Math.max(0, 1 - rows.reduce((sum, one) => sum + one.own, 0));
    const drawn = Math.max(0, 1 - rows.reduce((sum, one) => sum + one.drawn_with, 0));
    const place = token.candidates.findIndex((one) => one.id === token.id);
    const order = place === 0 ? "its first choice" : place > 0 ? `number ${place + 1} of its list` : `not among its first ${token.candidates.length}`;
    card.append(
      make("p", { text: `The model gave it ${percent(token.chosen.own)}; it was ${order}. After temperature and top-k its chance was ${percent(token.chosen.drawn_with)}.` }),
      make("p", { class: "legend" }, make("span", { class: "key own", text: "the model" }), make("span", { class: "key drawn_with", text: "after temperature and top-k" })),
      make("ol", { class: "candidates" }, ...rows.map((one) => row(one, one.id === token.id, scale))),
    );
    if (rest > 0.00005) card.append(make("p", { class: "rest", text: `All other tokens together: ${percent(rest)} → ${drawn < 0.00005 ? "0 %" : percent(drawn)}` }));
    card.append(make("p", { class: "why", text: `Temperature ${explainTemperature(temperature)}` }), make("p", { class: "why", text: `Top-k ${explainTopK(topK).replace(/^N/, "n")}` }));
  }
  card.hidden = false;
  card.scrollTop = 0;
}

body.addEventListener("click", (event) => {
  const button = event.target.closest(".chips button");
  if (button) select([...list.querySelectorAll("button")].indexOf(button), false);
});
body.addEventListener("keydown", (event) => {
  const button = event.target.closest(".chips button");
  if (!button) return;
  const chips = [...list.querySelectorAll("button")], at = chips.indexOf(button);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: chips.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  select(Math.min(Math.max(to, 0), chips.length - 1), true);
});
body.addEventListener("focusin", (event) => {
  const button = event.target.closest(".chips button");
  if (button && event.target.matches(":focus-visible")) select([...list.querySelectorAll("button")].indexOf(button), false);
});
