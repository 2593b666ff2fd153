// Keeps the numbers of the page as they are now. Without it the page shows them as they were when it was opened.
"use strict";

(() => {
  const main = document.querySelector("main[data-live]");
  const status = document.getElementById("live");
  if (!main || !window.EventSource) {
    return;
  }
  let source = null;

  const say = (text, state) => {
    if (status && status.textContent !== text) {
      status.textContent = text;
      status.dataset.state = state;
    }
  };

  // text alone, never HTML: what keeps its place keeps the focus, too
  const take = (event) => {
    const news = JSON.parse(event.data);
    for (const [id, text] of Object.entries(news.text)) {
      const element = document.getElementById(id);
      if (element && element.textContent !== text) {
        element.textContent = text;
      }
    }
    for (const [id, state] of Object.entries(news.state)) {
      const element = document.getElementById(id);
      if (element) {
        element.dataset.state = state;
      }
    }
    for (const [id, shown] of Object.entries(news.shown)) {
      const element = document.getElementById(id);
      if (element) {
        element.hidden = !shown;
      }
    }
    for (const [id, value] of Object.entries(news.value)) {
      const element = document.getElementById(id);
      if (element) {
        element.value = value;
      }
    }
    say("live", "ok");
    if (news.is_over) {
      close();
      say("done", "ok");
    }
  };

  const close = () => {
    if (source) {
      source.close();
      source = null;
    }
  };

  const open = () => {
    if (source) {
      return;
    }
    source = new EventSource(main.dataset.live);
    source.onmessage = take;
    source.onerror = () => say("not connected", "bad");
  };

  // a page that nobody sees asks for nothing
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  if (!document.hidden) {
    open();
  }
})();
