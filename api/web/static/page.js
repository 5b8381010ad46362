// What pages do beyond showing: every one of them can be read, and used, without.

// Copying. A button that does nothing is not shown.
if (navigator.clipboard) {
  const show = (root) => root.querySelectorAll("button[data-copy]").forEach((button) => {
    button.hidden = false;
    button.setAttribute("aria-live", "polite");
    if (!button.hasAttribute("aria-label"))
      button.setAttribute("aria-label", "Copy: " + button.closest("figure").querySelector("figcaption").textContent);
  });
  show(document);
  document.addEventListener("htmx:after:swap", () => show(document));
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    let said = "Copied";
    try {
      await navigator.clipboard.writeText(button.closest("figure").querySelector("code").textContent);
    } catch {
      said = "Select the text instead";
    }
    button.textContent = said;
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
}

// Where there is no room for all places, the one that this page is in is in sight.
const place = document.querySelector(".places [aria-current]");
if (place) place.closest(".places").scrollLeft = place.offsetLeft - place.closest(".places").offsetWidth / 2 + place.offsetWidth / 2;

// Times that go on.
const stretch = (seconds) => {
  const [d, h, m, s] = [seconds / 86400, (seconds / 3600) % 24, (seconds / 60) % 60, seconds % 60].map(Math.floor);
  if (d) return h ? `${d} d ${h} h` : `${d} d`;
  if (h) return m ? `${h} h ${m} min` : `${h} h`;
  return m ? `${m} min` : `${s} s`;
};
const two = (number) => String(number).padStart(2, "0");
const tick = () => {
  const now = Date.now();
  for (const time of document.querySelectorAll("time[data-countdown]")) {
    const left = Math.floor((Date.parse(time.dateTime) - now) / 1000);
    const [h, m, s] = [left / 3600, (left / 60) % 60, left % 60].map(Math.floor);
    time.textContent = left <= 0 ? "over" : left < 86400 ? `${h}:${two(m)}:${two(s)}` : stretch(left);
    time.classList.toggle("soon", left < 300);
  }
  for (const time of document.querySelectorAll("time[data-in]")) {
    const at = new Date(now + time.dataset.in * 1000).toISOString();
    const day = at.slice(0, 10);
    time.textContent = `${day === new Date(now).toISOString().slice(0, 10) ? "" : day + " "}${at.slice(11, 16)} UTC`;
  }
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const past = Math.floor((now - Date.parse(time.dateTime)) / 1000);
    time.textContent = past < 0 ? `in ${stretch(-past)}` : past < 60 ? "just now" : `${stretch(past)} ago`;
  }
};
setInterval(tick, 1000);
tick();

// Who writes what a choice is about means that choice.
document.addEventListener("input", (event) => {
  const choice = document.getElementById(event.target.dataset?.chooses);
  if (choice) choice.checked = true;
});

// What happens elsewhere: each part of the page that it concerns is loaded again.
const live = document.getElementById("live");
const { events: url, topics } = document.body.dataset;
if (live && url && window.EventSource) {
  const due = new Set();
  let stream = null;
  let missed = false;
  let timer = null;
  // What the page does by itself does not keep anybody signed in.
  document.addEventListener("htmx:config:request", ({ detail: { ctx } }) => {
    if (ctx.sourceElement.dataset.live) ctx.request.headers["X-By-Itself"] = "true";
  });
  const load = () => {
    timer = null;
    for (const id of due) document.getElementById(id)?.dispatchEvent(new CustomEvent("live"));
    due.clear();
  };
  const refresh = (topic) => {
    for (const part of document.querySelectorAll("[data-live]"))
      if (topic === "reset" || part.dataset.live.split(" ").includes(topic)) due.add(part.id);
    timer ??= setTimeout(load, 150);
  };
  const say = (text) => {
    live.textContent = text;
    live.classList.toggle("lost", text !== "");
  };
  const follow = () => {
    stream?.close();
    stream = new EventSource(url);
    stream.addEventListener("open", () => {
      say("");
      if (missed) refresh("reset");
      missed = false;
    });
    stream.addEventListener("error", () => {
      missed = true;
      say("Connection lost: trying again. What you see may be old.");
      // The browser tries again by itself, but for where it was refused.
      if (stream?.readyState === EventSource.CLOSED) setTimeout(() => document.hidden || follow(), 5000);
    });
    for (const topic of topics.split(" ")) if (topic !== "hello") stream.addEventListener(topic, () => refresh(topic));
  };
  // Browsers open only so many connections to one host: a page that nobody looks at keeps none.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) return follow();
    stream?.close();
    stream = null;
    missed = true;
  });
  if (!document.hidden) follow();
}

// The drawer: details without leaving the list.
const drawer = document.getElementById("drawer");
if (drawer) {
  document.addEventListener("htmx:after:swap", () => {
    if (!drawer.open && document.getElementById("drawer-content").childElementCount) drawer.showModal();
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-drawer]");
    if (link) document.getElementById("drawer-page").href = link.href;
    if (event.target === drawer) drawer.close();
  });
  drawer.addEventListener("close", () => document.getElementById("drawer-content").replaceChildren());
}

// Replaying what a session did: at ten times its pace, and no pause longer than two seconds.
const pace = 10;
for (const button of document.querySelectorAll("button[data-replay]")) {
  const list = document.querySelector(button.dataset.replay);
  const parts = [...list.children];
  let timer = null;
  const stop = () => {
    clearTimeout(timer);
    timer = null;
    list.classList.remove("playing");
    button.textContent = "Replay";
  };
  const play = (index) => {
    if (index === parts.length) return stop();
    parts[index].classList.add("played");
    parts[index].scrollIntoView({ block: "nearest" });
    const pause = index + 1 < parts.length ? parts[index + 1].dataset.offset - parts[index].dataset.offset : 1;
    timer = setTimeout(play, Math.min((pause * 1000) / pace, 2000), index + 1);
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    if (timer !== null) return stop();
    for (const part of parts) part.classList.remove("played");
    list.classList.add("playing");
    button.textContent = "Stop";
    play(0);
  });
}
