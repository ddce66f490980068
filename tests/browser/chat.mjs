// A walk through the page of the chat, with a model that knows five conversations by heart (chat.py): asking, watching,
// stopping, editing, looking at tokens, by mouse, keyboard and touch, in both colour schemes, with harmful strings.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const setting = JSON.parse(readFileSync(0, "utf8"));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SUM = "What is 17 + 25?", TELL = "Tell me a story.", STORY = /^One morning Mia .* laughed for a long time\.$/;
const DESK = { viewport: { width: 1280, height: 800 } };
const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
const browser = await chromium.launch({ executablePath: setting.browser, args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"] });
let checks = 0, failed = 0;

function check(good, message) {
  checks += 1;
  if (good) return;
  failed += 1;
  console.log(`FAIL chat: ${message}`);
}

/** One visit: a fresh browser that must end without a complaint on its console and without a request off the machine. */
async function visit(name, options, work, expected = () => false) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const complaints = [];
  page.setDefaultTimeout(15000);
  page.on("console", (message) => { if (/error|warning/.test(message.type()) && !expected(message.text())) complaints.push(message.text()); });
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("dialog", (dialog) => { complaints.push(`a dialog says ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => { if (!request.url().startsWith(setting.address)) complaints.push(`asks for ${request.url()}`); });
  try {
    await page.goto(setting.address);
    await page.waitForSelector("#examples button");
    await work(page);
  } catch (error) { check(false, `${name}: ${String(error.message ?? error).split("\n").slice(0, 2).join(" ")}`); }
  check(complaints.length === 0, `${name}: ${complaints.join("; ")}`);
  await context.close();
}

async function look(page, where) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"], resultTypes: ["violations"] }));
    for (const one of violations) check(false, `${where} (${colorScheme}): axe ${one.id}: ${one.nodes.map((node) => node.target.join(" ")).slice(0, 3).join(", ")}`);
    check(violations.length === 0, `${where} (${colorScheme}): ${violations.length} things that axe finds`);
  }
}

const ask = async (page, words) => { await page.locator("#text").fill(words); await page.keyboard.press("Enter"); };
const answers = (page) => page.locator(".message.model");
const done = (page, count) => page.waitForFunction((count) => document.querySelectorAll(".message.model:not([aria-busy])").length === count && !document.querySelector("[aria-busy]"), count);
const words = async (page, place) => (await answers(page).nth(place).locator(".body").innerText()).trim();
const calm = (page) => page.locator("#temperature").evaluate((slider) => { slider.value = "0"; slider.dispatchEvent(new Event("input")); });
const idle = async (page) => { for (let turn = 0; turn < 100; turn += 1) { if ((await page.evaluate(() => fetch("/health").then((answer) => answer.json()))).active === 0) return true; await page.waitForTimeout(50); } return false; };

await visit("asking", { ...DESK, colorScheme: "light" }, async (page) => {
  await look(page, "the empty page");
  check((await page.locator("#honest").innerText()).includes("very small model"), "the page does not say how small the model is");
  check(await page.locator("#text").evaluate((field) => field === document.activeElement), "the message field does not wait for words");
  check(await page.locator("#panel").isHidden(), "the panel is open before there is anything to see");
  await calm(page);
  await page.locator("#examples button").first().click();
  await done(page, 1);
  const box = answers(page).first().locator(".calculation");
  check((await box.locator("code").innerText()) === "17+25" && (await box.locator(".result").innerText()) === "42", "a calculation is not shown as one");
  check((await box.innerText()).includes("calculated by the program, not by the model"), "a calculation does not say who did it");
  check((await words(page, 0)).endsWith("42\n#### 42") && (await page.locator(".final").innerText()) === "#### 42", "the final number is not set apart");
  check((await page.locator("#announce").innerText()).includes("nanochat: 17 + 25 = 42"), "the answer is not announced");
  check(await page.locator("#panel").isVisible() && await page.locator("#text").evaluate((field) => field !== document.querySelector("#panel")), "the panel does not open beside the first answer");
  await ask(page, TELL);
  const lengths = new Set();
  while (await page.locator("[aria-busy]").count()) { lengths.add((await words(page, 1)).length); await page.waitForTimeout(30); }
  check(lengths.size > 4, `the answer comes in ${lengths.size} pieces and not as a stream`);
  check(STORY.test(await words(page, 1)), `the story is ${await words(page, 1)}`);
  check(await page.locator("#scroll").evaluate((part) => part.scrollHeight - part.scrollTop - part.clientHeight < 80), "the newest words are out of sight");
  check(await idle(page), "the server still writes");
});

await visit("the panel", { ...DESK, colorScheme: "dark" }, async (page) => {
  await ask(page, SUM);
  await done(page, 1);
  const chips = page.locator(".chips button"), card = page.locator("#card");
  check((await chips.count()) === 20, `the answer has ${await chips.count()} chips and not 20`);
  check((await page.locator(".chip.forced").count()) === 3, "what the program put in is not marked");
  check((await page.locator(".chips .chip.mark").first().innerText()).includes("<|python_start|>"), "a special token is not shown as a mark");
  check(await card.isHidden(), "a token is described before one was chosen");
  await chips.first().click();
  check((await card.locator(".candidate").count()) === 8, "the candidates are not shown");
  check((await card.locator(".candidate.chosen").count()) === 1, "the chosen token is not marked among the candidates");
  check(/Temperature 0\.8, below 1/.test(await card.innerText()), "the panel does not say what temperature did");
  const wide = await card.locator(".candidate.chosen .bar.own").evaluate((bar) => bar.getBoundingClientRect().width);
  const thin = await card.locator(".candidate:not(.chosen) .bar.own").last().evaluate((bar) => bar.getBoundingClientRect().width);
  check(wide > 10 * thin, "the bars do not follow the probabilities");
  await page.keyboard.press("ArrowRight");
  check((await card.locator("h3").innerText()).startsWith("Token 2"), "the arrow keys do not walk along the tokens");
  check(await chips.nth(1).evaluate((chip) => chip === document.activeElement && chip.getAttribute("aria-pressed") === "true"), "the chosen token has no focus");
  await page.keyboard.press("End");
  check((await card.innerText()).includes("its answer is complete"), "the end mark is not explained");
  await page.locator(".chip.forced").nth(1).click();
  check((await card.innerText()).includes("did not choose it"), "a forced token is not explained");
  await page.locator(".read summary").click();
  check((await page.locator(".strip").innerText()).includes("<|assistant_start|>"), "what the model read is not shown");
  await look(page, "the panel");
  await page.locator("#close").click();
  check(await page.locator("#panel").isHidden() && await page.locator("#look").evaluate((button) => button === document.activeElement), "closing the panel does not lead back");
  await page.locator("text=How it was made").click();
  check(await page.locator("#panel").evaluate((panel) => !panel.hidden && panel === document.activeElement), "the panel does not take the focus");
});

await visit("stopping and going back", DESK, async (page) => {
  await calm(page);
  await ask(page, TELL);
  await page.waitForFunction(() => document.querySelector(".message.model .body").textContent.length > 20);
  await page.locator("#stop").click();
  await done(page, 1);
  check((await answers(page).first().innerText()).includes("stopped by you"), "a stopped answer does not say so");
  check(!STORY.test(await words(page, 0)) && (await words(page, 0)).startsWith("One morning"), "what was written before the stop is gone, or it was not stopped");
  check(await idle(page), "the server writes on after a stop");
  check(await page.locator("#text").evaluate((field) => field === document.activeElement), "after a stop the message field has no focus");
  await page.locator("text=Try again").click();
  await page.waitForFunction(() => document.querySelector(".message.model .body").textContent.length > 20);
  await page.keyboard.press("Escape");
  await done(page, 1);
  check((await answers(page).first().innerText()).includes("stopped by you"), "Escape does not stop an answer");
  await page.locator("text=Try again").click();
  await done(page, 1);
  check(STORY.test(await words(page, 0)), "trying again gives no answer");
  await page.locator(".message.user >> text=Edit").click();
  check((await page.locator("textarea.edit").inputValue()) === TELL, "editing does not begin with the old words");
  await page.keyboard.press("Escape");
  check((await page.locator(".message.user .body").innerText()) === TELL && STORY.test(await words(page, 0)), "Escape does not leave the editing as it was");
  await page.locator(".message.user >> text=Edit").click();
  await page.locator("textarea.edit").fill(SUM);
  await page.keyboard.press("Enter");
  await done(page, 1);
  check((await page.locator(".message").count()) === 2 && (await words(page, 0)).startsWith("17 + 25 ="), "an edited message is not answered anew");
  // While an answer is written, its question is edited: the old answer must not come in between.
  await ask(page, TELL);
  await page.waitForFunction(() => document.querySelectorAll(".message.model")[1]?.querySelector(".body").textContent.length > 10);
  await page.locator(".message.user >> text=Edit").last().click();
  await page.locator("textarea.edit").fill("Divide 1 by 0.");
  await page.keyboard.press("Enter");
  await done(page, 2);
  check((await page.locator(".message").count()) === 4 && !/Mia/.test(await words(page, 1)), "an answer that was cut off goes on");
  await page.locator("#new").click();
  check((await page.locator(".message").count()) === 0 && await page.locator("#empty").isVisible(), "a new chat does not begin empty");
});

const HARMFUL = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"><svg onload=alert(1)>", "javascript:alert(1)", "/clear", "/quit", "{{7*7}} ${7*7}", "\u202eright to left\u202c", "&lt;b&gt; &amp;", "**bold** [a](javascript:alert(1))"];

await visit("harmful strings", DESK, async (page) => {
  await calm(page);
  for (const [place, text] of HARMFUL.entries()) {
    await page.locator("#new").evaluate((button) => button.click());
    await ask(page, text);
    await done(page, 1);
    check((await page.locator(".message.user .body").evaluate((body) => body.textContent)) === text, `${text} is not shown as it is`);
    check((await page.locator("#messages script, #messages img, #messages svg, #messages b, #messages a, #panel img, #panel b").count()) === 0, `${text} became markup`);
    if (place === 0) check((await words(page, 0)) === "<b>not bold</b> & <img src=x onerror=alert(1)>", `what the model writes is shown as ${await words(page, 0)}`);
  }
  await page.locator("#text").evaluate((field) => { field.value = "x".repeat(1_000_000); field.dispatchEvent(new Event("input")); });
  check((await page.locator("#notice").innerText()).includes("1,000,000 characters"), "a paste of a million characters is not refused in words");
  check(await page.locator("#send").isDisabled(), "a paste of a million characters can be sent");
  await ask(page, "  \n ");
  check((await page.locator(".message").count()) === 2, "an empty message is sent");
});

await visit("settings", { ...DESK, reducedMotion: "reduce" }, async (page) => {
  await page.locator("#settings summary").click();
  check((await page.locator("#temperature-why").innerText()).startsWith("0.8, below 1"), "the temperature is not explained");
  await page.locator("#temperature").focus();
  await page.keyboard.press("End");
  check((await page.locator("#temperature-why").innerText()).startsWith("2, above 1"), "the explanation does not follow the slider");
  await page.locator("#top-k").focus();
  await page.keyboard.press("Home");
  check((await page.locator("#top-k-why").innerText()).startsWith("1: only the likeliest"), "top-k is not explained");
  const request = page.waitForRequest("**/api/chat");
  await ask(page, SUM);
  const sent = (await request).postDataJSON();
  check(sent.temperature === 2 && sent.top_k === 1 && sent.messages.length === 1, `the settings are not sent: ${JSON.stringify(sent)}`);
  check((await page.locator("[aria-busy] .body").evaluate((body) => getComputedStyle(body, "::after").animationName).catch(() => "none")) === "none", "something moves although the reader asked for none");
  await done(page, 1);
  await ask(page, TELL);
  await done(page, 2);
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const before = await paper();
  await page.locator("#theme").click();
  const after = await paper();
  check(before !== after, "the switch of the colours changes nothing");
  await page.reload();
  await page.waitForSelector("#examples button");
  check((await paper()) === after, "the choice of colours is forgotten");
});

await visit("calculations that were none", DESK, async (page) => {
  await calm(page);
  await ask(page, "Divide 1 by 0.");
  await done(page, 1);
  const box = page.locator(".calculation"), note = box.locator("small");
  check((await box.locator(".result").innerText()) === "not calculated" && (await note.innerText()) === "the program could not calculate this", `a refused calculation is shown as ${await box.innerText()}`);
  const token = (piece, forced, parts) => `data: ${JSON.stringify({ type: "token", id: 1, piece, colour: "blue", mark: false, kind: "text", forced, chosen: null, candidates: [], parts })}\r\n\r\n`;
  const made = [token("1/0", false, [{ kind: "python", text: "1/0" }]), token("7", false, [{ kind: "output", text: "7" }])].join("");
  const body = `data: {"type":"start","prompt":[],"prompt_tokens":1,"dropped":0,"ahead":0,"temperature":0,"top_k":null}\r\n\r\n${made}data: {"type":"end","reason":"stop","tokens":2,"seconds":1,"parts":[]}\r\n\r\n`;
  await page.route("**/api/chat", (route) => route.fulfill({ status: 200, contentType: "text/event-stream", body }));
  await page.locator(".actions >> text=Try again").click();
  await done(page, 1);
  check((await box.locator(".result").innerText()) === "7" && (await note.innerText()).startsWith("made up by the model"), `a result that the model made up is shown as ${await box.innerText()}`);
});

await visit("errors", DESK, async (page) => {
  let answer = { status: 503, json: { error: { message: "every place is taken: try again in a few seconds", id: "abc123" } } };
  await page.route("**/api/chat", (route) => (answer ? route.fulfill(answer) : route.abort()));
  await ask(page, SUM);
  await page.waitForSelector("[role=alert]");
  check((await page.locator("[role=alert]").innerText()) === "No answer: every place is taken: try again in a few seconds (number abc123)", "a refusal is not shown with its number");
  answer = { status: 200, contentType: "text/event-stream", body: 'data: {"type":"start","prompt":[],"prompt_tokens":1,"dropped":2,"ahead":0,"temperature":1,"top_k":null}\r\n\r\ndata: {"type":"error","error":{"message":"the server failed","id":"def456"}}\r\n\r\n' };
  await page.locator(".actions >> text=Try again").click();
  await page.waitForFunction(() => document.querySelector("[role=alert]")?.textContent.includes("def456"));
  check((await page.locator(".dropped").innerText()).includes("first 2 messages"), "forgotten messages are not named");
  answer = { status: 200, contentType: "text/event-stream", body: ": ping\r\n\r\n" };
  await page.locator(".actions >> text=Try again").click();
  await page.waitForFunction(() => document.querySelector("[role=alert]")?.textContent.includes("connection broke"));
  answer = null;
  await page.locator(".actions >> text=Try again").click();
  await page.waitForFunction(() => document.querySelector("[role=alert]")?.textContent.includes("cannot be reached"));
  await page.unroute("**/api/chat");
  await calm(page);
  await page.locator(".actions >> text=Try again").click();
  await done(page, 1);
  check((await words(page, 0)).startsWith("17 + 25 ="), "after errors the page does not work again");
}, (text) => /Failed to load resource/.test(text));

await visit("the keyboard", DESK, async (page) => {
  await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
  await ask(page, SUM);
  await done(page, 1);
  await page.locator("#text").evaluate((field) => { field.blur(); document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute("tabindex"); });
  const names = [];
  for (let stop = 0; stop < 18; stop += 1) {
    await page.keyboard.press("Tab");
    const seen = await page.evaluate(() => { const at = document.activeElement, box = at.getBoundingClientRect(), holder = at.closest(".field") ?? at, style = getComputedStyle(holder); return { name: at.id || at.textContent.trim().slice(0, 40), body: at === document.body, outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1, sized: box.width > 0 && box.height > 0 && box.top >= 0 }; });
    if (seen.body) break;
    names.push(seen.name);
    check(seen.outline && seen.sized, `keyboard focus cannot be seen on ${seen.name}`);
  }
  check(names[0] === "Skip to the message field", `the first stop of the tab key is ${names[0]}`);
  for (const name of ["new", "look", "theme", "text", "send", "close"]) check(names.includes(name), `the tab key does not reach ${name}: ${names.join(", ")}`);
});

await visit("a phone", { ...PHONE, colorScheme: "dark" }, async (page) => {
  const over = () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check((await over()) <= 0, "the empty page is wider than a phone");
  await calm(page);
  await page.locator("#examples button").nth(1).tap();
  await done(page, 1);
  check(await page.locator("#panel").isHidden(), "on a phone the panel opens by itself and covers the answer");
  await page.locator("text=How it was made").tap();
  await page.locator(".chips button").nth(3).tap();
  check(await page.locator("#card").isVisible(), "on a phone a tap on a token shows nothing");
  check((await over()) <= 0, "the panel is wider than a phone");
  const small = await page.evaluate(() => [...document.querySelectorAll(".tools button, #send, #close, .chips button")].filter((button) => { const box = button.getBoundingClientRect(); return box.width > 0 && (box.width < 24 || box.height < 24); }).map((button) => button.textContent || button.id));
  check(small.length === 0, `too small to be tapped: ${small.join(", ")}`);
  await look(page, "a phone");
  await page.locator("#close").tap();
  check(await page.locator("#panel").isHidden(), "on a phone the panel does not close");
  await ask(page, "word".repeat(80));
  await page.waitForSelector(".message.user >> nth=1");
  check((await over()) <= 0, "a long word makes the page wider than a phone");
  await page.waitForFunction(() => !document.querySelector("[aria-busy]"));
});

await browser.close();
console.log(`the chat: ${checks} checks, ${failed} failed`);
process.exit(failed ? 1 : 0);
