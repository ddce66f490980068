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
  const troubles = [];
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) troubles.push(`console: ${message.text()}`); });
  page.on("pageerror", (error) => troubles.push(`script: ${error.message}`));
  page.on("response", (response) => { if (response.status() >= 400) troubles.push(`${response.status()} for ${response.url()}`); });
  // Nothing off the machine is ever let through, so a request that is tried is seen and not made.
  await page.route("**/*", (route) => {
    const url = route.request().url();
    if (url.startsWith(origin) || url.startsWith("data:") || url.startsWith("blob:")) return route.continue();
    troubles.push(`request off the machine: ${url}`);
    return route.abort();
  });
  await page.goto(setting.address + path, { waitUntil: "load" });
  return { page, troubles };
}

async function inspect(context, path, scheme, phone) {
  const { page, troubles } = await open(context, path);
  const where = `${path} (${scheme}${phone ? ", phone" : ""})`;
  const seen = await page.evaluate(() => ({
    pictures: Array.from(document.images).filter((image) => !image.complete || image.naturalWidth === 0).map((image) => image.src),
    unnamed: Array.from(document.images).filter((image) => image.getAttribute("alt") === null).map((image) => image.src),
    drawings: Array.from(document.querySelectorAll("figure svg, .nc-figure svg")).filter((svg) => svg.getBoundingClientRect().width < 10 && svg.closest("details:not([open])") === null).length,
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    rawMath: Array.from(document.querySelectorAll("main p, article p")).filter((p) => /\$[^$]+\$|\\frac|\\mathrm/.test(p.innerText) && !p.querySelector("code, .math")).map((p) => p.innerText.slice(0, 80)),
    problematic: document.querySelectorAll(".problematic, .system-message").length,
  }));
  check(seen.pictures.length === 0, where, `pictures that do not show: ${seen.pictures.join(", ")}`);
  check(seen.unnamed.length === 0, where, `pictures without a description: ${seen.unnamed.join(", ")}`);
  check(seen.drawings === 0, where, `${seen.drawings} drawings without size`);
  check(seen.rawMath.length === 0, where, `formulas left raw: ${seen.rawMath.join(" | ")}`);
  check(seen.problematic === 0, where, `${seen.problematic} messages of the builder on the page`);
  if (phone) check(seen.wide <= 1, where, `the page is ${seen.wide} px wider than a phone of 390 px`);
  else {
    await page.evaluate(axe);
    // A page of a thousand lines of source is a thousand times the same thing: its rules are run on the first ones.
    const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] }));
    const serious = found.violations.filter((violation) => ["serious", "critical"].includes(violation.impact));
    check(serious.length === 0, where, serious.map((violation) => `axe ${violation.id} (${violation.impact}, ${violation.nodes.length}x): ${violation.nodes[0].target.join(" ")} ${violation.nodes[0].failureSummary?.split("\n")[1]?.trim() ?? ""}`).join("; "));
  }
  check(troubles.length === 0, where, troubles.join("; "));
  await page.close();
}

async function inParallel(items, width, work) {
  const queue = [...items];
  await Promise.all(Array.from({ length: width }, async () => { while (queue.length) await work(queue.shift()); }));
}

for (const scheme of ["light", "dark"]) {
  const context = await browser.newContext({ colorScheme: scheme, viewport: { width: 1280, height: 900 }, reducedMotion: "reduce" });
  await inParallel(wanted, 2, (path) => inspect(context, path, scheme, false));
  await context.close();
}
{
  const context = await browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  await inParallel(wanted, 2, (path) => inspect(context, path, "light", true));
  await context.close();
}

// The tip of a term and of a symbol: on hovering, on focus, on a tap; Escape closes it.
async function firstPageWith(selector) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  for (const path of wanted.filter((page) => page.startsWith("nano"))) {
    const { page } = await open(context, path);
    const count = await page.locator(selector).count();
    await page.close();
    if (count) { await context.close(); return path; }
  }
  await context.close();
  return null;
}

const tip = "#nc-tip-box";
for (const [name, selector] of [["term", "main a.nc-term, article a.nc-term"], ["symbol", "article a.nc-sym"]]) {
  const path = await firstPageWith(selector);
  check(path !== null, "guides", `no page of the guides has a ${name} that can be pointed at`);
  if (path === null) continue;
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const { page } = await open(context, path);
  const target = page.locator(selector).first();
  await target.scrollIntoViewIfNeeded();
  await target.hover();
  check(await page.locator(tip).isVisible(), path, `pointing at a ${name} shows nothing`);
  check((await page.locator(tip).innerText()).trim().length > 10, path, `the tip of a ${name} is empty`);
  await page.keyboard.press("Escape");
  check(!(await page.locator(tip).isVisible()), path, `Escape does not close the tip of a ${name}`);
  await page.mouse.move(2, 2);
  await page.evaluate((selector) => { const link = document.querySelector(selector); (link.closest(".math[tabindex]") ?? link).focus(); }, selector);
  check(await page.locator(tip).isVisible(), path, `tabbing to a ${name} shows nothing`);
  await context.close();
  const phone = await browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  const touched = (await open(phone, path)).page;
  await touched.locator(selector).first().scrollIntoViewIfNeeded();
  await touched.locator(selector).first().tap();
  check(await touched.locator(tip).isVisible(), path, `a tap on a ${name} shows nothing`);
  await phone.close();
}

// A practice problem: a wrong answer is called wrong, the right one right, and the steps open.
{
  const path = await firstPageWith(".nc-problem");
  check(path !== null, "guides", "no page of the guides has a practice problem");
  if (path !== null) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    const { page } = await open(context, path);
    const problem = page.locator(".nc-problem").first();
    const answer = await problem.getAttribute("data-answer");
    await problem.locator("input").fill("surely not this");
    await problem.locator("button").click();
    check(/not yet/i.test(await problem.locator("[role=status]").innerText()), path, "a wrong answer is not called wrong");
    await problem.locator("input").fill(answer);
    await problem.locator("button").click();
    check(/right/i.test(await problem.locator("[role=status]").innerText()), path, "the right answer is not called right");
    check(await problem.locator("details").evaluate((details) => details.open), path, "the steps do not open");
    await context.close();
  }
}

// A claim's check mark leads to its proof, and the proof leads back.
{
  const path = await firstPageWith(".claim a");
  check(path !== null, "guides", "no page of the guides has a claim with its check mark");
  if (path !== null) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    const { page } = await open(context, path);
    await page.locator(".claim a[href*=verification]").first().click();
    await page.waitForLoadState();
    check(page.url().includes("verification"), path, "the check mark does not lead to VERIFICATION");
    const target = new URL(page.url()).hash.slice(1);
    check(target !== "" && (await page.locator(`[id="${target}"]`).count()) === 1, path, `the proof #${target} is not on the page`);
    await context.close();
  }
}

// A source reference leads to its lines, shaded.
{
  const path = await firstPageWith('a[href*="_source/"], a[href*="/source/"]');
  check(path !== null, "guides", "no page of the guides has a source reference");
  if (path !== null) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    const { page } = await open(context, path);
    await page.locator('a[href*="_source/"], a[href*="/source/"]').first().click();
    await page.waitForLoadState();
    check(new URL(page.url()).hash !== "", path, "a source reference does not lead to its lines");
    await context.close();
  }
}

// Search finds something, and the page can be read without JavaScript.
if (!setting.only.length) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const { page } = await open(context, "search.html?q=attention");
  await page.waitForSelector("#search-results li", { timeout: 15000 }).catch(() => {});
  check((await page.locator("#search-results li").count()) > 0, "search.html", "searching for attention finds nothing");
  await context.close();
  const plain = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 1280, height: 900 } });
  for (const path of wanted.filter((page) => page.startsWith("nano/")).slice(0, 6)) {
    const { page } = await open(plain, path);
    check((await page.locator("article p").first().innerText()).length > 20, path, "without JavaScript the page cannot be read");
    await page.close();
  }
  await plain.close();
}

await browser.close();
console.log(`${wanted.length} pages, ${checks} checks`);
console.log(`${checks - failures.length} passed, ${failures.length} failed`);
process.exit(failures.length ? 1 : 0);
