// Opens every view of castoff's pages in Chromium, at both widths and in both
// colour schemes, and demands that they are whole, accessible and live.
//
//   node check.mjs NODE_MODULES '{"busy": "http://127.0.0.1:1", ...}'
//
// Screenshots are left in $SCREENSHOTS, if that is set. Ends with 1 if anything
// is wrong.
import { createRequire } from "node:module";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { live } from "./live.mjs";

const [modules, given] = process.argv.slice(2);
const sites = JSON.parse(given);
const require = createRequire(path.resolve(modules) + "/");
const { chromium } = require("playwright-core");
const axe = require.resolve("axe-core/axe.min.js");
const shots = process.env.SCREENSHOTS || "";
if (shots) mkdirSync(shots, { recursive: true });

// The words of the banner, worst last: a site shows each.
const banners = ["calm", "latched", "paused", "failing", "partly-blind", "blind", "halted", "exposed"];

let wrong = 0;
let checks = 0;
const demand = (ok, what) => {
  checks++;
  if (ok) return;
  wrong++;
  console.error(`WRONG: ${what}`);
};

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});

// open makes a page that may ask only its own site, and tells what went wrong in it.
const open = async (options) => {
  const context = await browser.newContext({ locale: "en-GB", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const said = [];
  const asked = new Set();
  page.on("console", (m) => { if (["error", "warning"].includes(m.type())) said.push(m.text()); });
  page.on("pageerror", (e) => said.push(String(e)));
  page.on("dialog", (d) => { said.push(`dialog: ${d.message()}`); d.dismiss(); });
  page.on("request", (r) => asked.add(new URL(r.url()).origin));
  return { context, page, said, asked };
};

const firstTimeline = async (page, site, list) => {
  await page.goto(site + list);
  const link = await page.locator('main a[href^="/timelines/"]').first().getAttribute("href");
  return link;
};

const views = async (page, name) => {
  const site = sites[name];
  // Of the other states the banner is what there is to see.
  if (banners.includes(name) && name !== "calm") return ["/"];
  const all = ["/", "/timelines", "/services", "/castoff"];
  if (name === "busy") {
    all.push(await firstTimeline(page, site, "/"), await firstTimeline(page, site, "/timelines"), "/timelines?outcome=won", "/nowhere");
  }
  if (name === "hostile" || name === "demo") all.push(await firstTimeline(page, site, "/"));
  return all;
};

const audit = async (page, where) => {
  await page.evaluate(() => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
  const found = await page.evaluate(async () => {
    const { violations } = await window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
    return violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(" | ")}`);
  });
  for (const v of found) console.error(`axe, ${where}: ${v}`);
  demand(found.length === 0, `${where}: ${found.length} accessibility violations`);
};

const file = (view) => view.replace(/[^a-z0-9]+/gi, "-").replace(/^-|-$/g, "").slice(0, 40) || "now";

// The demo is castoff itself, on a simulated region: a failure is waited for, and
// measured is a page of it that is as it is at work.
if (sites.demo) {
  const { context, page } = await open({ viewport: { width: 360, height: 780 } });
  const until = Date.now() + 120_000;
  for (let seen = false; !seen;) {
    try {
      await page.goto(sites.demo + "/");
      seen = (await page.locator('main a[href^="/timelines/"]').count()) > 0;
    } catch (e) {
      if (Date.now() > until) throw e; // it does not listen yet
    }
    if (!seen && Date.now() > until) throw new Error("the demo shows no failure");
    if (!seen) await new Promise((r) => setTimeout(r, 500));
  }
  await context.close();
}

const everywhere = ["busy", "hostile", "start", ...banners, ...(sites.demo ? ["demo"] : [])];

for (const width of [360, 1920]) {
  for (const colorScheme of ["light", "dark"]) {
    const { context, page, said, asked } = await open({ viewport: { width, height: width === 360 ? 780 : 1080 }, colorScheme });
    // As an init script it is no script of the page's, and the policy stays in force.
    await page.addInitScript({ path: axe });
    for (const name of everywhere) {
      for (const view of await views(page, name)) {
        said.length = 0;
        const where = `${name} ${view} at ${width} ${colorScheme}`;
        await page.goto(sites[name] + view);
        await page.locator("main").waitFor();
        if (view === "/" && banners.includes(name)) {
          const word = (await page.locator("main .banner .word b").innerText()).toLowerCase().replace(" ", "-");
          demand(word === name, `${where}: the banner says ${word}`);
          const low = await page.evaluate(() => document.querySelector(".banner dl, .banner .head").getBoundingClientRect().bottom - innerHeight);
          demand(low <= 0, `${where}: the banner's answers are ${Math.round(low)} px below the screen`);
        }
        const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        demand(over <= 0, `${where}: ${over} px wider than the screen`);
        if (shots) await page.screenshot({ path: path.join(shots, `${name}-${file(view)}-${width}-${colorScheme}.png`), fullPage: true, timeout: 120_000 });
        await audit(page, where);
        if (name === "hostile") {
          if (view === "/services" && width === 1920) {
            const narrow = await page.evaluate(() => ["Tasks", "Targets", "Closed", "Limits"].filter((label) =>
              document.querySelector(`main td[data-label="${label}"]`).getBoundingClientRect().width < 130));
            demand(narrow.length === 0, `${where}: a long name squeezes ${narrow.join(", ")}`);
          }
          demand((await page.locator("main script, main img").count()) === 0, `${where}: a name became an element`);
          if (view === "/") demand((await page.locator("main").innerText()).includes("<script>alert(1)</script>"), `${where}: the name is not shown`);
        }
        const errors = said.filter((s) => !/status of 4\d\d|status of 503/.test(s));
        demand(errors.length === 0, `${where}: the browser says ${errors.join("; ")}`);
      }
    }
    for (const origin of asked) demand(Object.values(sites).includes(origin), `a request went to ${origin}`);
    await context.close();
  }
}

// Without script everything is there, and the page reloads by itself.
{
  const { context, page } = await open({ viewport: { width: 1280, height: 900 }, javaScriptEnabled: false });
  for (const view of ["/", "/timelines", "/services", "/castoff"]) {
    const answer = await page.goto(sites.busy + view);
    demand(answer.status() === 200 && (await page.locator("main h1").count()) === 1, `without script ${view} is not whole`);
    demand((await page.locator('noscript meta[http-equiv="refresh"]').count()) + (await page.locator('meta[http-equiv="refresh"]').count()) > 0, `without script ${view} does not reload`);
  }
  await page.goto(sites.busy + "/timelines");
  await page.locator('select[name="outcome"]').selectOption("lost");
  await page.locator('form button[type="submit"]').click();
  demand((await page.locator("main").innerText()).includes("0 closed timelines"), "without script the filters do not filter");
  await context.close();
}

// What is copied is what the links beside lead to.
{
  const { context, page } = await open({ viewport: { width: 1280, height: 900 }, permissions: ["clipboard-read", "clipboard-write"] });
  const link = await firstTimeline(page, sites.busy, "/timelines");
  await page.goto(sites.busy + link);
  const copied = async (button) => {
    await page.getByRole("button", { name: "Copied" }).waitFor({ state: "detached" });
    await page.getByRole("button", { name: button }).click();
    await page.getByRole("button", { name: "Copied" }).waitFor();
    return page.evaluate(() => navigator.clipboard.readText());
  };
  demand((await copied("Copy address")) === sites.busy + link, "the address that is copied is not the page's");
  demand((await copied("Copy text")).includes("MILESTONE"), "the text that is copied is none");
  demand(JSON.parse(await copied("Copy JSON")).milestones.length > 0, "the JSON that is copied is none");
  demand(/, here .*[+-]\d\d:\d\d$/.test(await page.locator("main time").first().getAttribute("title")), "a time does not say what it is here");
  await context.close();
}

// The keyboard reaches everything, and what has the focus can be seen.
{
  const { context, page } = await open({ viewport: { width: 1280, height: 900 } });
  await page.goto(sites.busy + "/");
  await page.keyboard.press("Tab");
  demand((await page.evaluate(() => document.activeElement.textContent)) === "Skip to content", "the first stop of the keyboard is not the skip link");
  await page.keyboard.press("Tab");
  demand((await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle)) === "solid", "the focus cannot be seen");
  await context.close();
}

await live({ open, demand, site: sites.live });

// What the first page costs.
for (const name of ["busy", "large", ...(sites.demo ? ["demo"] : [])]) {
  const { context, page } = await open({ viewport: { width: 360, height: 780 } });
  await page.goto(sites[name] + "/", { waitUntil: "load" });
  await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length > 0);
  const cost = await page.evaluate(() => {
    const all = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    return { bytes: all.reduce((n, e) => n + e.transferSize, 0), requests: all.length, paint: Math.round(paint.startTime) };
  });
  console.log(`${name}: ${cost.bytes} bytes, ${cost.requests} requests, first paint after ${cost.paint} ms`);
  demand(cost.requests <= 5 && cost.bytes < 600_000, `${name}: the first page is too heavy`);
  await context.close();
}

console.log(`${checks} checks, ${wrong} wrong`);
await browser.close();
process.exit(wrong ? 1 : 0);
