// What a page that is left open does: it follows the passes, and says so when it
// cannot. Its site passes when it is asked for /test/advance?to=calm, or exposed.

// A page that is left open follows the passes without being loaded again, and
// clocks run between them.
const follows = async ({ open, demand, site }) => {
  const { context, page, said } = await open({ viewport: { width: 1280, height: 900 } });
  let loads = 0;
  page.on("load", () => { loads++; });
  await page.goto(site + "/");
  demand((await page.locator(".banner.calm").count()) === 1, "the page that is to change is not calm at first");
  await page.waitForTimeout(1500); // for the stream to open
  const began = Date.now();
  await page.evaluate(() => {
    window.stays = "the same page";
    new MutationObserver((_, o) => {
      if (document.querySelector("[data-live] .banner.exposed")) { window.seen = Date.now(); o.disconnect(); }
    }).observe(document.getElementById("now"), { childList: true });
  });
  const passed = Number(await (await context.request.get(site + "/test/advance")).text());
  await page.locator("[data-live] .banner.exposed").waitFor({ timeout: 15_000 });
  const seen = await page.evaluate(() => window.seen);
  console.log(`from the pass's end to the page: ${seen - passed} ms`);
  demand(loads === 1 && (await page.evaluate(() => window.stays)) === "the same page", "the live update loaded the page again");
  demand(Date.now() - began < 15_000, "the live update took too long");
  demand(/^Exposed. Clients are sent to /.test(await page.locator("#spoken").innerText()), "a reader of the screen is not told");
  const clock = page.locator(".hot .clock").first();
  const before = await clock.innerText();
  await page.waitForTimeout(2500);
  demand(before !== (await clock.innerText()), "the clock stands still");
  demand(said.length === 0, `live: the browser says ${said.join("; ")}`);
  await context.close();
};

// A page with a clock that can be set on. Its fetches, and not the stream, can be
// made to fail, by a status or, with 0, without an answer.
const left = async ({ open, site }, banner) => {
  const { context, page, said } = await open({ viewport: { width: 1280, height: 900 } });
  const advance = async (to) => { await context.request.get(`${site}/test/advance?to=${to}`); };
  await advance(banner);
  await page.clock.install();
  let fails = null;
  await page.route(`${site}/`, (route) => {
    if (fails === null) return route.continue();
    return fails ? route.fulfill({ status: fails, body: "no" }) : route.abort();
  });
  await page.goto(site + "/");
  await page.locator(`[data-live] .banner.${banner}`).waitFor();
  await page.waitForTimeout(1500); // for the stream to open
  const shows = (word) => page.locator(`[data-live] .banner.${word}`).count().then((n) => n === 1);
  return { context, page, said, advance, shows, fail: (status) => { fails = status; }, notice: page.locator("#silent") };
};

const beat = 11_000; // ms in which one comes

// What is shown is old once a pass has ended that could not be fetched, though
// castoff goes on saying that it lives.
const behind = async (test) => {
  const { demand } = test;
  for (const status of [0, 503]) {
    const { context, page, said, advance, shows, fail, notice } = await left(test, "calm");
    demand(!(await notice.isVisible()), `fetches fail with ${status}: the page calls itself old from the start`);
    fail(status);
    await advance("exposed");
    await page.waitForTimeout(2500);
    demand(await shows("calm"), `fetches fail with ${status}: the page shows what it cannot have`);
    demand(!(await notice.isVisible()), `fetches fail with ${status}: the page calls itself old at once`);
    await page.clock.fastForward(31_000);
    await notice.waitFor({ timeout: 5000 });
    demand(/^Castoff has not answered since \d\d:\d\d:\d\d UTC\. What is below is old\.$/.test(await notice.innerText()), `fetches fail with ${status}: the notice says ${await notice.innerText()}`);
    await page.waitForTimeout(beat);
    demand(await notice.isVisible(), `fetches fail with ${status}: a beat took the notice away, and what is below is still old`);
    fail(null);
    await page.locator("[data-live] .banner.exposed").waitFor({ timeout: 5000 });
    await notice.waitFor({ state: "hidden", timeout: 5000 });
    const errors = said.filter((s) => !/Failed to load resource|status of 503/.test(s));
    demand(errors.length === 0, `fetches fail with ${status}: the browser says ${errors.join("; ")}`);
    await context.close();
  }
};

// A castoff that says nothing for long is called silent until it says something.
const silent = async (test) => {
  const { demand } = test;
  const { context, page, shows, notice } = await left(test, "calm");
  await page.clock.fastForward(31_000);
  await notice.waitFor({ timeout: 5000 });
  await notice.waitFor({ state: "hidden", timeout: beat });
  demand(await shows("calm"), "a beat changed the page");
  await context.close();
};

// What somebody has selected, to copy it, stays until they are done; the page says
// that it waits for them.
const selected = async (test) => {
  const { demand } = test;
  const { context, page, said, advance, shows, notice } = await left(test, "exposed");
  const text = () => page.evaluate(() => document.getSelection().toString());
  await page.evaluate(() => {
    const range = document.createRange();
    range.selectNodeContents(document.querySelector("[data-live] .banner .head"));
    document.getSelection().removeAllRanges();
    document.getSelection().addRange(range);
  });
  const was = await text();
  demand(was.length > 10, "nothing could be selected");
  await advance("calm");
  await page.waitForTimeout(3000);
  demand((await text()) === was, `the selected text is gone: ${JSON.stringify(await text())}`);
  demand(await shows("exposed"), "the page changed under the selected text");
  await page.clock.fastForward(31_000);
  await notice.waitFor({ timeout: 5000 });
  demand(/^The page stands still for the selected text since /.test(await notice.innerText()), `selected: the notice says ${await notice.innerText()}`);
  await page.evaluate(() => document.getSelection().removeAllRanges());
  await page.locator("[data-live] .banner.calm").waitFor({ timeout: 5000 });
  await notice.waitFor({ state: "hidden", timeout: 5000 });
  demand(said.length === 0, `selected: the browser says ${said.join("; ")}`);
  await context.close();
};

export const live = async (test) => {
  await follows(test);
  await behind(test);
  await silent(test);
  await selected(test);
};
