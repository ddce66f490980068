// A reader's walk through every page of the site, and what must hold on each: no error on the console, no request off
// the machine, every picture there, nothing wider than a phone, and nothing serious that axe-core finds, in the light
// and in the dark scheme. Then the things that can be pointed at, tabbed to, tapped, typed into and clicked.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const setting = JSON.parse(readFileSync(0, "utf8"));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const origin = new URL(setting.address).origin;
const wanted = setting.only.length ? setting.pages.filter((page) => setting.only.some((part) => page.includes(part))) : setting.pages;
const whole = !setting.only.length;
// A page of source is a thousand times the same thing: axe looks at two of them, the other checks at all.
const sources = wanted.filter((page) => page.startsWith("source/"));
const looked = new Set([sources[0], sources[sources.length - 1]]);
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"];
const DESK = { viewport: { width: 1280, height: 900 }, reducedMotion: "reduce" };
const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };

const browser = await chromium.launch({
  executablePath: setting.browser,
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"],
});
const failures = [];
let checks = 0;

function check(good, page, message) {
  checks += 1;
  if (!good) { failures.push(`${page}: ${message}`); console.log(`FAIL ${page}: ${message}`); }
}

async function open(context, path) {
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  const troubles = [];
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) troubles.push(`console: ${message.text()}`); });
  page.on("pageerror", (error) => troubles.push(`script: ${error.message}`));
  page.on("response", (response) => { if (response.status() >= 400) troubles.push(`${response.status()} for ${response.url()}`); });
  // Nothing off the machine is ever let through, so a request that is tried is seen and not made.
  await page.route((url) => url.origin !== origin && !["data:", "blob:"].includes(url.protocol), (route) => {
    troubles.push(`request off the machine: ${route.request().url()}`);
    return route.abort();
  });
  await page.goto(setting.address + path, { waitUntil: "load" });
  return { page, troubles };
}

async function ask(page, where, options) {
  const found = await page.evaluate((options) => axe.run(document, { resultTypes: ["violations"], ...options }), options);
  const serious = found.violations.filter((violation) => ["serious", "critical"].includes(violation.impact));
  check(serious.length === 0, where, serious.map((violation) => `axe ${violation.id} (${violation.impact}, ${violation.nodes.length}x): ${violation.nodes[0].target.join(" ")} ${violation.nodes[0].failureSummary?.split("\n")[1]?.trim() ?? ""}`).join("; "));
}

async function inspect(context, path) {
  const { page, troubles } = await open(context, path);
  const seen = await page.evaluate(() => ({
    pictures: Array.from(document.images).filter((image) => !image.complete || image.naturalWidth === 0).map((image) => image.src),
    unnamed: Array.from(document.images).filter((image) => image.getAttribute("alt") === null).map((image) => image.src),
    drawings: Array.from(document.querySelectorAll("figure svg, .nc-frame svg")).filter((svg) => svg.getBoundingClientRect().width < 10 && svg.closest("details:not([open])") === null).length,
    silent: Array.from(document.querySelectorAll("figure svg.nc-svg, .nc-frame svg")).filter((svg) => svg.getAttribute("aria-hidden") !== "true" && !(svg.querySelector("title")?.textContent.trim() || svg.getAttribute("aria-label"))).length,
    rawMath: Array.from(document.querySelectorAll("article p")).filter((p) => /\$[^$]+\$|\\frac|\\mathrm/.test(p.innerText) && !p.querySelector("code, .math")).map((p) => p.innerText.slice(0, 80)),
    problematic: document.querySelectorAll(".problematic, .system-message").length,
    headings: document.querySelectorAll("h1").length,
    emoji: Array.from(document.querySelectorAll("article :not(code, pre, script)")).filter((node) => Array.from(node.childNodes).some((part) => part.nodeType === 3 && /[✅⚠❌]/u.test(part.data)) && !node.closest("pre, code")).length,
  }));
  check(seen.pictures.length === 0, path, `pictures that do not show: ${seen.pictures.join(", ")}`);
  check(seen.unnamed.length === 0, path, `pictures without a description: ${seen.unnamed.join(", ")}`);
  check(seen.drawings === 0, path, `${seen.drawings} drawings without size`);
  check(seen.silent === 0, path, `${seen.silent} drawings without a name`);
  check(seen.rawMath.length === 0, path, `formulas left raw: ${seen.rawMath.join(" | ")}`);
  check(seen.problematic === 0, path, `${seen.problematic} messages of the builder on the page`);
  check(seen.headings === 1, path, `${seen.headings} headings of the first level`);
  check(seen.emoji === 0, path, `${seen.emoji} marks that need a font with emoji`);
  if (!path.startsWith("source/") || looked.has(path)) {
    await page.evaluate(axe);
    await ask(page, `${path} (light)`, { runOnly: RULES });
    await page.emulateMedia({ colorScheme: "dark" });
    await ask(page, `${path} (dark)`, { runOnly: { type: "rule", values: ["color-contrast", "link-in-text-block"] } });
  }
  await measure(page, path);
  check(troubles.length === 0, path, troubles.join("; "));
  await page.close();
}

async function measure(page, path) {
  await page.setViewportSize(PHONE.viewport);
  const wide = await page.evaluate(() => {
    const room = document.documentElement.clientWidth;
    const over = document.documentElement.scrollWidth - room;
    const who = over > 1 ? Array.from(document.querySelectorAll("body *")).find((part) => part.getBoundingClientRect().right > room + 1 && !part.closest("pre, .table-wrapper, div.math, .toc-drawer, .sidebar-drawer")) : null;
    return { over, who: who ? `${who.tagName.toLowerCase()}.${who.className}` : "" };
  });
  check(wide.over <= 1, path, `the page is ${wide.over} px wider than a phone of 390 px (${wide.who})`);
}

async function inParallel(items, width, work) {
  const queue = [...items];
  await Promise.all(Array.from({ length: width }, async () => { while (queue.length) await work(queue.shift()); }));
}

/** Run one walk in a fresh context; what throws is a failure and not the end of the walk. */
async function walk(where, options, work) {
  const context = await browser.newContext(options);
  try { await work(context); } catch (error) { check(false, where, String(error.message ?? error).split("\n")[0]); }
  await context.close();
}

await walk("pages", { ...DESK, colorScheme: "light" }, (context) => inParallel(wanted, 2, (path) => inspect(context, path)));

/** The first page of the guides that has such a part. */
async function firstPageWith(selector) {
  let found = null;
  await walk(selector, { ...DESK, javaScriptEnabled: false }, async (context) => {
    for (const path of wanted.filter((page) => page.startsWith("nano"))) {
      const { page } = await open(context, path);
      const count = await page.locator(selector).count();
      await page.close();
      if (count) { found = path; return; }
    }
  });
  check(found !== null, "guides", `no page of the guides has ${selector}`);
  return found;
}

const shown = (page, selector) => page.locator(selector).first().isVisible();

// The tip of a term and of a symbol: on hovering, on focus, on a tap; Escape closes it.
const tip = "#nc-tip-box";
for (const [name, selector] of [["term", "article p a.nc-term"], ["symbol", "article p a.nc-sym"]]) {
  const path = await firstPageWith(selector);
  if (path === null) continue;
  await walk(path, DESK, async (context) => {
    const { page } = await open(context, path);
    const target = page.locator(selector).first();
    await target.scrollIntoViewIfNeeded();
    check(!(await shown(page, tip)), path, "a tip is shown before anything is pointed at");
    await target.hover();
    check(await shown(page, tip), path, `pointing at a ${name} shows nothing`);
    check((await page.locator(tip).innerText()).trim().length > 10, path, `the tip of a ${name} is empty`);
    await page.keyboard.press("Escape");
    check(!(await shown(page, tip)), path, `Escape does not close the tip of a ${name}`);
    await page.mouse.move(2, 2);
    await page.evaluate((selector) => { const link = document.querySelector(selector); (link.closest(".math[tabindex]") ?? link).focus(); }, selector);
    check(await shown(page, tip), path, `tabbing to a ${name} shows nothing`);
  });
  await walk(path, PHONE, async (context) => {
    const { page } = await open(context, path);
    await page.locator(selector).first().scrollIntoViewIfNeeded();
    await page.locator(selector).first().tap();
    check(await shown(page, tip), path, `a tap on a ${name} shows nothing`);
    const box = await page.locator(tip).boundingBox();
    check(box && box.x >= 0 && box.x + box.width <= 390, path, `the tip of a ${name} hangs over the edge of a phone`);
  });
}

// A practice problem: a wrong answer is called wrong, the right one right, and the steps open.
{
  const path = await firstPageWith(".nc-problem");
  if (path !== null) await walk(path, DESK, async (context) => {
    const { page } = await open(context, path);
    const problem = page.locator(".nc-problem").first();
    const answer = await problem.getAttribute("data-answer");
    await problem.locator("input").fill("123456.5");
    await problem.locator("button").click();
    check(/not yet/i.test(await problem.locator("[role=status]").innerText()), path, "a wrong answer is not called wrong");
    check(!(await problem.locator("details").evaluate((details) => details.open)), path, "a wrong answer gives the steps away");
    await problem.locator("input").fill(answer);
    await problem.locator("button").click();
    check(/right/i.test(await problem.locator("[role=status]").innerText()), path, "the right answer is not called right");
    check(await problem.locator("details").evaluate((details) => details.open), path, "the steps do not open");
  });
}

// A claim's check mark is drawn and named, leads to its proof, and the proof leads back.
{
  const path = await firstPageWith(".claim a.claim-mark");
  if (path !== null) await walk(path, DESK, async (context) => {
    const { page } = await open(context, path);
    const mark = page.locator(".claim a.claim-mark").first();
    const box = await mark.locator("svg").boundingBox();
    check(box !== null && box.width >= 8 && box.height >= 8, path, "the check mark of a claim is not drawn");
    check(/verified|clarification/.test((await mark.locator("svg").getAttribute("aria-label")) ?? ""), path, "the check mark of a claim has no name");
    const id = await page.locator(".claim").first().getAttribute("id");
    await mark.click();
    await page.waitForLoadState();
    check(page.url().includes("/verification/"), path, "the check mark does not lead to VERIFICATION");
    const target = new URL(page.url()).hash.slice(1);
    check(target !== "" && (await page.locator(`[id="${target}"]`).count()) === 1, path, `the proof #${target} is not on the page`);
    check((await page.locator(`a[href$="#${id}"]`).count()) > 0, path, `the proof does not lead back to #${id}`);
  });
}

// A source reference leads to its lines, shaded; and so does a number of a line.
{
  const path = await firstPageWith("a.src-link");
  if (path !== null) await walk(path, DESK, async (context) => {
    const { page } = await open(context, path);
    await page.locator('a.src-link[href*="#"]').first().click();
    await page.waitForLoadState();
    const place = new URL(page.url());
    check(place.pathname.includes("/source/") && place.hash !== "", path, "a source reference does not lead to its lines");
    const paint = () => page.evaluate(() => { const part = document.querySelector(":target"); return part ? [getComputedStyle(part).backgroundColor, part.getBoundingClientRect().top] : ["no such lines", 0]; });
    const [colour, top] = await paint();
    check(/^(rgb\(|color\()/.test(colour), path, `the lines of a source reference are not shaded: ${colour}`);
    check(top >= 0 && top < 900, path, `the lines of a source reference are not in sight: ${top} px`);
    await page.locator("a.source-number").nth(2).click();
    check(new URL(page.url()).hash === "#L3" && /^(rgb\(|color\()/.test((await paint())[0]), path, "a number of a line is not a link to that line, shaded");
  });
}

// The summary of VERIFICATION: the search lists what fits, by words and by status, and says how many.
if (wanted.includes("verification/index.html")) {
  const path = "verification/index.html";
  await walk(path, DESK, async (context) => {
    const { page } = await open(context, path);
    const bar = page.locator("form.claim-filter");
    const listed = () => page.locator(".nc-claim-search li").count();
    const said = () => bar.locator("output").innerText();
    const all = Number((await said()).split(" of ")[1]);
    check(all > 1 && (await listed()) === 0, path, "the summary lists claims before anybody asks");
    await bar.locator("input").fill("surely no claim says zzyzx");
    check((await listed()) === 0 && /^\s*0 of /.test(await said()), path, "the search finds claims that do not fit");
    await bar.locator("input").fill("token");
    const some = await listed();
    check(some > 0 && some < all && Number((await said()).split(" of ")[0]) === some, path, `searching lists ${some} of ${all}`);
    await bar.locator("input").fill("");
    let sum = 0;
    for (const status of await bar.locator("option").evaluateAll((options) => options.map((option) => option.value).filter(Boolean))) {
      await bar.locator("select").selectOption(status);
      sum += await listed();
    }
    check(sum === all, path, `the filters list ${sum} of ${all} claims`);
  });
}

// A chapter of VERIFICATION: the filter by status and the search leave what fits, and say how many.
for (const path of wanted.filter((page) => /^verification\/(?!index|outside|mutants|references|pictures)/.test(page)).slice(0, 1)) {
  await walk(path, DESK, async (context) => {
    const { page } = await open(context, path);
    const bar = page.locator("form.claim-filter");
    const left = () => page.evaluate(() => Array.from(document.querySelectorAll(".claim-status")).filter((badge) => badge.getClientRects().length).length);
    const every = await left();
    check(every > 1, path, "VERIFICATION shows no claims");
    await bar.locator("input").fill("surely no claim says zzyzx");
    check((await left()) === 0, path, "the search of VERIFICATION leaves claims that do not fit");
    check(/^\s*0 of /.test(await bar.locator("output").innerText()), path, "the search of VERIFICATION miscounts");
    const word = await page.evaluate(() => { const rows = Array.from(document.querySelectorAll(".claim-status")).map((badge) => badge.closest("tr") ?? badge.closest("section")); return rows[rows.length - 1].textContent.match(/[a-z]+(-[a-z]+){1,}/)[0]; });
    await bar.locator("input").fill(word);
    const some = await left();
    check(some > 0 && some < every, path, `searching for ${word} leaves ${some} of ${every} claims`);
    await bar.locator("input").fill("");
    check((await left()) === every, path, "an empty search does not bring the claims back");
    let sum = 0;
    const choices = await bar.locator("option").evaluateAll((options) => options.map((option) => option.value).filter(Boolean));
    for (const status of choices) {
      await bar.locator("select").selectOption(status);
      const wrong = await page.evaluate((status) => Array.from(document.querySelectorAll(".claim-status")).filter((badge) => badge.getClientRects().length && !badge.classList.contains(status)).length, status);
      check(wrong === 0, path, `the filter ${status} leaves ${wrong} other claims`);
      sum += await left();
    }
    check(choices.length > 0 && sum === every, path, `the filters show ${sum} of ${every} claims`);
  });
}

// With the keyboard alone: the first stop skips to the text; every stop can be seen.
const doors = ["index.html", "nano/model/attention.html", "api/gpt.html"].filter((page) => wanted.includes(page));
for (const path of doors) {
  await walk(path, DESK, async (context) => {
    const { page } = await open(context, path);
    await page.keyboard.press("Tab");
    const first = await page.evaluate(() => { const at = document.activeElement, box = at.getBoundingClientRect(); return { skip: at.matches("a[href^='#'].skip-to-content"), seen: box.top >= 0 && box.left >= 0 && box.height > 10, to: at.getAttribute("href") ?? "" }; });
    check(first.skip, path, "the first stop of the tab key does not skip to the text");
    check(first.seen, path, "the link that skips to the text is not shown on focus");
    check(first.skip && (await page.locator(first.to).count()) === 1, path, "the link that skips to the text leads nowhere");
    const dim = [];
    for (let stop = 0; stop < 25; stop += 1) {
      const seen = await page.evaluate(() => {
        const at = document.activeElement;
        if (!at || at === document.body) return null;
        const style = getComputedStyle(at), box = at.getBoundingClientRect();
        return { name: `${at.tagName.toLowerCase()}.${at.className}`, outline: (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1) || style.boxShadow !== "none", sized: box.width > 0 && box.height > 0 };
      });
      if (seen && !(seen.outline && seen.sized)) dim.push(seen.name);
      await page.keyboard.press("Tab");
    }
    check(dim.length === 0, path, `keyboard focus cannot be seen on ${[...new Set(dim)].join(", ")}`);
  });
}

// The switch of the colour scheme changes the page, and the choice outlives the page.
for (const path of doors.slice(0, 1)) {
  await walk(path, { ...DESK, colorScheme: "light" }, async (context) => {
    const { page } = await open(context, path);
    const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const seen = new Set([await paper()]);
    for (let turn = 0; turn < 3 && seen.size < 2; turn += 1) {
      await page.locator("button.theme-toggle:visible").first().click();
      seen.add(await paper());
    }
    check(seen.size === 2, path, "the switch of the colour scheme changes nothing");
    const chosen = await paper();
    await page.reload();
    check((await paper()) === chosen, path, "the choice of a colour scheme is forgotten");
  });
  // On a phone the menu opens, shows the guides, and closes.
  await walk(path, PHONE, async (context) => {
    const { page } = await open(context, path);
    const inside = () => page.evaluate(() => document.querySelector(".sidebar-drawer").getBoundingClientRect().right > 100);
    check(!(await inside()), path, "the menu covers a phone before it is opened");
    await page.locator("label[for=__navigation]:visible").first().tap();
    await page.waitForTimeout(600);
    check(await inside(), path, "the menu does not open on a phone");
    check(await page.locator(".sidebar-tree a:visible").first().isVisible(), path, "the menu of a phone is empty");
    await page.touchscreen.tap(380, 500);
    await page.waitForTimeout(600);
    check(!(await inside()), path, "the menu does not close on a phone");
  });
}

// Print: what is of use on a screen alone is left out.
for (const path of doors.slice(1, 2)) {
  await walk(path, DESK, async (context) => {
    const { page } = await open(context, path);
    await page.emulateMedia({ media: "print" });
    for (const part of [".sidebar-drawer", ".toc-drawer", ".nc-problem form", ".related-pages"]) check(!(await shown(page, part)), path, `${part} is printed`);
    check(await shown(page, "article h1"), path, "the text is not printed");
  });
}

// Search finds something, and the page can be read without JavaScript.
if (whole) {
  await walk("search.html", DESK, async (context) => {
    const { page } = await open(context, "search.html?q=attention");
    await page.waitForSelector("#search-results li").catch(() => {});
    check((await page.locator("#search-results li").count()) > 0, "search.html", "searching for attention finds nothing");
  });
}
await walk("without JavaScript", { ...DESK, javaScriptEnabled: false }, async (context) => {
  for (const path of wanted.filter((page) => page.startsWith("nano/")).slice(0, 6)) {
    const { page } = await open(context, path);
    check((await page.locator("article p").first().innerText()).length > 20, path, "without JavaScript the page cannot be read");
    check((await page.locator(".nc-problem details").count()) === (await page.locator(".nc-problem").count()), path, "without JavaScript a problem has no answer");
    await page.close();
  }
});

await browser.close();
console.log(`${wanted.length} pages, ${checks} checks`);
console.log(`${checks - failures.length} passed, ${failures.length} failed`);
process.exit(failures.length ? 1 : 0);
