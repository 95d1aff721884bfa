// What the pages need beyond htmx and the browser's own dialog and popover: opening and closing
// the dialog, placing row menus, saying what changed, copying ids. Everything works without it.
"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const words = () => find("words")?.dataset ?? {};
  // What is drawn works at once: until it has settled, a form would load the page anew.
  htmx.config.defaultSettleDelay = 0;
  // Neither code nor styles come out of attributes and fragments.
  Object.assign(htmx.config, { allowEval: false, allowScriptTags: false, includeIndicatorStyles: false });
  let toastTimer;
  // What had the focus last, also after it was disabled or taken out of the page.
  let last = null;
  document.addEventListener("focusin", ({ target }) => { last = target; });

  function say(sentence, failed = false, undo = "") {
    if (!sentence) return;
    find("announcer").textContent = sentence;
    const toast = find("toast");
    toast.textContent = sentence;
    if (undo) toast.append(undoButton(undo));
    toast.classList.toggle("toast-bad", failed);
    toast.hidden = false;
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => { toast.hidden = true; }, failed ? 10000 : 4000);
  }

  function undoButton(address) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = words().undo;
    button.addEventListener("click", () => {
      button.disabled = true;
      const { name, value } = document.querySelector("[name=csrfmiddlewaretoken]");
      htmx.ajax("POST", address, { swap: "none", values: { [name]: value } });
    });
    return button;
  }

  // --- focus --------------------------------------------------------------------------------
  // Finds a link or a button again after it was drawn anew.
  function selectorOf(element) {
    if (!element || element === document.body) return null;
    if (element.id) return `#${CSS.escape(element.id)}`;
    const address = element.getAttribute("href");
    if (address) return `[href="${CSS.escape(address)}"]`;
    const action = element.closest("form")?.getAttribute("action");
    return action ? `form[action="${CSS.escape(action)}"] button` : null;
  }
  // htmx gives the focus back to what has an id.
  let focused = null;
  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    const { activeElement } = document;
    focused = detail.target.contains(activeElement) ? selectorOf(activeElement) : null;
  });
  document.addEventListener("htmx:afterSwap", () => {
    if (focused && document.activeElement === document.body) {
      document.querySelector(focused)?.focus({ preventScroll: true });
    }
  });

  // --- dialog -------------------------------------------------------------------------------
  document.addEventListener("htmx:afterSwap", ({ detail }) => {
    const dialog = find("dialog");
    if (detail.target.id !== "dialog-body" || !dialog) return;
    if (!dialog.open) {
      const menu = last?.closest(".menu");
      dialog.opener = menu ? `[popovertarget="${menu.id}"]` : selectorOf(last);
      dialog.showModal();
    }
    const first = dialog.querySelector("[aria-invalid=true]") ?? dialog.querySelector("[autofocus]");
    if (first) { first.focus(); first.select?.(); }
  });
  document.addEventListener("click", ({ target }) => {
    const dialog = find("dialog");
    if (target.closest("[data-close]") || target === dialog) dialog?.close();
  });
  // The browser gives the focus back, unless what opened the dialog was drawn anew meanwhile.
  document.addEventListener("close", ({ target }) => {
    const { activeElement } = document;
    const isLost = activeElement === document.body || target.contains(activeElement);
    if (target.id === "dialog" && isLost && target.opener) {
      document.querySelector(target.opener)?.focus();
    }
  }, true);
  document.addEventListener("transaction-changed", ({ detail }) => {
    if (!detail.failed) find("dialog")?.close();
    say(detail.say, detail.failed, detail.undo);
    for (const shown of document.querySelectorAll(`[data-transaction="${detail.transaction}"]`)) {
      htmx.trigger(shown, "refresh");
    }
  });

  // --- row menus ----------------------------------------------------------------------------
  function place(menu) {
    const opener = document.querySelector(`[popovertarget="${menu.id}"]`);
    const button = opener.getBoundingClientRect();
    const below = button.bottom + 4;
    const fits = below + menu.offsetHeight < window.innerHeight;
    menu.style.top = `${fits ? below : button.top - menu.offsetHeight - 4}px`;
    menu.style.right = `${document.documentElement.clientWidth - button.right}px`;
  }
  document.addEventListener("toggle", ({ target, newState }) => {
    if (!target.matches?.(".menu")) return;
    if (newState === "open") {
      place(target);
      target.querySelector("[role=menuitem]")?.focus();
    }
  }, true);
  document.addEventListener("click", ({ target }) => {
    target.closest(".menu a")?.closest(".menu").hidePopover();
  });
  document.addEventListener("keydown", (event) => {
    const menu = event.target.closest?.(".menu");
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!menu || !step) return;
    event.preventDefault();
    const items = [...menu.querySelectorAll("[role=menuitem]")];
    const next = (items.indexOf(document.activeElement) + step + items.length) % items.length;
    items[next].focus();
  });
  document.addEventListener("scroll", () => {
    document.querySelectorAll(".menu:popover-open").forEach(place);
  }, { passive: true, capture: true });

  // --- swaps --------------------------------------------------------------------------------
  // What a page asks for by itself is no sign of somebody in front of it: the session may end.
  document.addEventListener("htmx:configRequest", ({ detail }) => {
    const trigger = detail.elt.getAttribute("hx-trigger") ?? "";
    if (/\b(load|every)\b/.test(trigger)) detail.headers["X-By-Itself"] = "1";
  });
  document.addEventListener("htmx:configRequest", ({ detail }) => {
    if (!detail.elt.matches(".filters")) return;
    for (const [name, value] of [...detail.formData.entries()]) {
      if (value === "") detail.formData.delete(name);
    }
  });
  // Showing more filters filters nothing.
  document.addEventListener("change", (event) => {
    if (event.target.id === "more-filters") event.stopPropagation();
  }, true);
  document.addEventListener("htmx:beforeRequest", (event) => {
    // Somebody has the menu of this row open: ask again a little later.
    const { elt } = event.detail;
    if (!elt.matches("[data-transaction]") || !elt.querySelector(".menu:popover-open")) return;
    event.preventDefault();
    setTimeout(() => htmx.trigger(elt, "refresh"), 1500);
  });
  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    // A session that ended answers with the login page: go there instead of showing it in a hole.
    if (new URL(detail.xhr.responseURL).pathname.endsWith("/login/")) {
      detail.shouldSwap = false;
      location.reload();
      return;
    }
    const { target } = detail;
    target.openDetails = [...target.querySelectorAll("details[open][id]")].map(({ id }) => id);
    target.openPopover = target.querySelector(":popover-open")?.id;
    target.said = target.dataset?.say;
    target.hadFocus = target.contains(last) && (document.activeElement === document.body || target.contains(document.activeElement));
  });
  // After htmx has put all attributes in their place: a style set earlier would be undone.
  document.addEventListener("htmx:afterSettle", ({ detail }) => {
    for (const id of detail.target.openDetails ?? []) find(id)?.setAttribute("open", "");
    if (detail.target.openPopover) find(detail.target.openPopover)?.showPopover();
    const now = detail.target.id && find(detail.target.id)?.dataset.say;
    if (now && now !== detail.target.said) find("announcer").textContent = now;
    if (detail.target.hadFocus && document.activeElement === document.body) focusAgain(detail.target.id);
  });
  // What was pressed is gone with what it did: go on where it stood.
  function focusAgain(id) {
    const again = find(last?.id) ?? find(id)?.querySelector("h2, h1");
    if (!again) return;
    if (again.tabIndex < 0) again.tabIndex = -1;
    again.focus({ preventScroll: true });
  }
  // What follows a refund or a pull asks on after an answer that was lost.
  function askAgain(elt) {
    if (elt.matches("[data-transaction], #pulling")) {
      setTimeout(() => htmx.trigger(elt, "refresh"), 3000);
    }
  }
  const UNREADABLE = [400, 413, 414];
  document.addEventListener("htmx:responseError", ({ detail: { elt, xhr } }) => {
    if (xhr.status === 403) say(words().forbidden, true);
    else if (UNREADABLE.includes(xhr.status)) say(words().unreadable, true);
    else say(words().broken, true);
    if (xhr.status >= 500) askAgain(elt);
  });
  document.addEventListener("htmx:sendError", ({ detail }) => {
    say(words().unreachable, true);
    askAgain(detail.elt);
  });

  document.addEventListener("pulled", () => {
    htmx.ajax("GET", location.href, { target: "#results", swap: "outerHTML" });
  });

  // --- keys ---------------------------------------------------------------------------------
  // Single letters may be in the way of who speaks to the computer: the help switches them off.
  const KEYS_OFF = "desk-keys-off";
  function step(by) {
    const rows = [...document.querySelectorAll("#results tbody tr")];
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const from = at < 0 && by < 0 ? rows.length : at;
    const row = rows[Math.min(Math.max(from + by, 0), rows.length - 1)];
    row?.querySelector("a")?.focus();
    row?.scrollIntoView({ block: "nearest" });
  }
  function refund() {
    const about = document.activeElement.closest("#results tr") ?? find("story");
    about?.querySelector("[data-refund]")?.click();
  }
  function search() {
    find("search")?.focus();
    find("search")?.select();
  }
  function help() {
    find("dialog-body").replaceChildren(find("keys-help").content.cloneNode(true));
    find("keys-on").checked = !localStorage.getItem(KEYS_OFF);
    find("dialog").showModal();
  }
  const KEYS = { j: () => step(1), k: () => step(-1), r: refund, "/": search, "?": help };
  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || !KEYS[key]) return;
    if (!find("dialog") || localStorage.getItem(KEYS_OFF)) return;
    if (target.closest("input:not([type=checkbox]), textarea, select, dialog, [popover]")) return;
    event.preventDefault();
    KEYS[key]();
  });
  document.addEventListener("change", ({ target }) => {
    if (target.id !== "keys-on") return;
    if (target.checked) localStorage.removeItem(KEYS_OFF);
    else localStorage.setItem(KEYS_OFF, "1");
  });
  document.addEventListener("click", ({ target }) => {
    if (target.closest("[data-keys]")) help();
  });

  // --- exports ------------------------------------------------------------------------------
  // A long file shows how far it is: the server says about how many lines there will be.
  async function read(answer, tell) {
    const about = Number(answer.headers.get("X-Rows"));
    const reader = answer.body.getReader();
    const parts = [];
    let lines = 0;
    for (let got = await reader.read(); !got.done; got = await reader.read()) {
      parts.push(got.value);
      for (const byte of got.value) lines += byte === 10;
      if (about) tell(Math.min(lines / about, 1));
    }
    return new Blob(parts, { type: answer.headers.get("Content-Type") });
  }
  async function download(link) {
    const bar = find("exported");
    bar.removeAttribute("value");
    find("exporting").hidden = false;
    try {
      const answer = await fetch(link.href);
      if (!answer.ok) throw new Error(answer.status === 403 ? words().forbidden : words().broken);
      const file = await read(answer, (share) => { bar.value = share; });
      const saved = document.createElement("a");
      saved.href = URL.createObjectURL(file);
      saved.download = /filename="(.+)"/.exec(answer.headers.get("Content-Disposition"))[1];
      saved.click();
      URL.revokeObjectURL(saved.href);
    } catch (error) {
      say(error instanceof TypeError ? words().unreachable : error.message, true);
    } finally {
      find("exporting").hidden = true;
    }
  }
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-export]");
    if (!link || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    download(link);
  });

  // --- copying ------------------------------------------------------------------------------
  document.addEventListener("click", async ({ target }) => {
    const button = target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    say(words().copied);
  });
})();
