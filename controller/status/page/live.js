// Keeps a page that was left open up to date: clocks run on, and after each pass
// the parts marked data-live are taken anew from the server. Without this script
// pages reload by themselves.
"use strict";
(() => {
  const silentAfter = 30_000; // ms without a word from castoff
  const retryAfter = 10_000; // ms between tries without a stream

  let ahead = 0; // of the server's clock, in ms
  let heard = Date.now(); // the last word from castoff that left nothing to be shown
  let due = false; // a pass has ended that is not shown yet
  let busy = false;
  let again = false;
  let asked = 0;
  let spoken = "";

  const whole = (n, unit) => `${n} ${unit}`;
  const two = (n, unit) => `${String(n).padStart(2, "0")} ${unit}`;
  const age = (ms) => {
    const s = Math.max(0, Math.round(ms / 1000));
    if (s < 60) return whole(s, "s");
    if (s < 3600) return `${whole(Math.floor(s / 60), "min")} ${two(s % 60, "s")}`;
    const m = Math.round(s / 60);
    if (m < 1440) return `${whole(Math.floor(m / 60), "h")} ${two(m % 60, "min")}`;
    const h = Math.round(s / 3600);
    return `${whole(Math.floor(h / 24), "d")} ${two(h % 24, "h")}`;
  };

  const setClock = (doc) => {
    const now = Date.parse(doc.body.dataset.now);
    if (!Number.isNaN(now)) ahead = Date.now() - now;
  };

  const tick = () => {
    for (const c of document.querySelectorAll(".clock")) {
      const text = age(Date.now() - ahead - Date.parse(c.dataset.since));
      if (c.textContent !== text) c.textContent = text;
    }
    const silent = document.getElementById("silent");
    if (!silent) return; // what does not change is not old
    const quiet = Date.now() - heard;
    const word = quiet > silentAfter;
    if (word && silent.hidden) {
      const since = `${new Date(heard - ahead).toISOString().slice(11, 19)} UTC. What is below is old.`;
      silent.textContent = reading() ? `The page stands still for the selected text since ${since}` : `Castoff has not answered since ${since}`;
    }
    silent.hidden = !word;
  };

  // Times say on hover what they are here.
  const localize = (root) => {
    for (const t of root.querySelectorAll("time[datetime]")) {
      const d = new Date(t.dateTime);
      if (Number.isNaN(d.getTime())) continue;
      const off = -d.getTimezoneOffset();
      const sign = off < 0 ? "-" : "+";
      const hours = String(Math.floor(Math.abs(off) / 60)).padStart(2, "0");
      const minutes = String(Math.abs(off) % 60).padStart(2, "0");
      const here = new Date(d.getTime() + off * 60_000).toISOString().slice(0, 23);
      t.title = `${t.dateTime}, here ${here}${sign}${hours}:${minutes}`;
    }
  };

  const copyable = (root) => {
    if (!navigator.clipboard) return;
    for (const b of root.querySelectorAll("button[data-copy], button[data-copy-link]")) {
      b.hidden = false;
      const name = b.textContent;
      b.addEventListener("click", async () => {
        try {
          let said = b.dataset.copyLink && new URL(b.dataset.copyLink, location.origin).href;
          if (!said) {
            const answer = await fetch(b.dataset.copy);
            if (!answer.ok) throw new Error(answer.status);
            said = await answer.text();
          }
          await navigator.clipboard.writeText(said);
          b.textContent = "Copied";
        } catch {
          b.textContent = "Not copied";
        }
        setTimeout(() => { b.textContent = name; }, 2000);
      });
    }
  };

  const dress = (root) => { localize(root); copyable(root); };

  // What has the focus, so that it can be given back.
  const mark = (part) => {
    const e = document.activeElement;
    if (!e || !part.contains(e)) return null;
    const same = [...part.querySelectorAll(e.tagName)].filter((o) => o.textContent === e.textContent && o.getAttribute("href") === e.getAttribute("href"));
    return { tag: e.tagName, text: e.textContent, href: e.getAttribute("href"), at: same.indexOf(e) };
  };
  const restore = (part, m) => {
    if (!m) return;
    const same = [...part.querySelectorAll(m.tag)].filter((o) => o.textContent === m.text && o.getAttribute("href") === m.href);
    if (same[m.at]) same[m.at].focus({ preventScroll: true });
  };

  const reading = () => {
    const s = document.getSelection();
    return s && !s.isCollapsed;
  };

  const swap = (doc) => {
    for (const part of document.querySelectorAll("[data-live]")) {
      const fresh = doc.getElementById(part.id);
      if (!fresh) continue;
      const open = new Set([...part.querySelectorAll("details[open]")].map((d) => d.dataset.key));
      for (const d of fresh.querySelectorAll("details")) d.open = open.has(d.dataset.key);
      const focus = mark(part);
      part.replaceChildren(...document.adoptNode(fresh).childNodes);
      dress(part);
      restore(part, focus);
    }
    const banner = document.querySelector("[data-live] .banner");
    if (!banner) return;
    // Read out when it is another state, and not each time a clock runs on.
    const level = banner.className;
    if (spoken && level !== spoken) {
      const said = [...banner.querySelectorAll(".word b, .head")].map((e) => e.textContent);
      document.getElementById("spoken").textContent = said.join(". ");
    }
    spoken = level;
  };

  const refresh = async () => {
    if (busy) { again = true; return; }
    // Passes may be quicker than anybody reads.
    if (document.hidden || reading() || Date.now() - asked < 1000) { again = true; return; }
    asked = Date.now();
    busy = true;
    again = false;
    try {
      const answer = await fetch(location.href, { signal: AbortSignal.timeout(20_000) });
      if (answer.ok) {
        const doc = new DOMParser().parseFromString(await answer.text(), "text/html");
        setClock(doc);
        if (reading()) {
          again = true;
        } else {
          swap(doc);
          due = again;
          heard = Date.now();
        }
        tick();
      } else {
        again = due;
      }
    } catch {
      again = due; // and the clock of silence tells
    }
    busy = false;
  };

  let polling = 0;
  const poll = () => {
    if (!polling) polling = setInterval(refresh, retryAfter);
  };

  const listen = () => {
    if (!window.EventSource) { poll(); return; }
    const stream = new EventSource("/api/v1/events");
    const hear = () => { if (!due) heard = Date.now(); };
    stream.addEventListener("open", () => { clearInterval(polling); polling = 0; });
    stream.addEventListener("beat", hear);
    stream.addEventListener("pass", () => { hear(); due = true; refresh(); });
    stream.addEventListener("error", () => {
      if (stream.readyState !== EventSource.CLOSED) return; // it tries again by itself
      poll();
      setTimeout(listen, 6 * retryAfter);
    });
    window.addEventListener("pagehide", () => stream.close(), { once: true });
  };

  setClock(document);
  const first = document.querySelector("[data-live] .banner");
  if (first) spoken = first.className;
  dress(document);
  tick();
  setInterval(() => {
    tick();
    if (again && !busy) refresh();
  }, 1000);
  if (!document.querySelector("[data-live]")) return; // a failure that is over
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  window.addEventListener("pageshow", (e) => { if (e.persisted) location.reload(); });
  listen();
})();
