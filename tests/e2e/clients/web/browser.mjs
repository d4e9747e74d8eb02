// Chromium with people in it, who use the web client as people do: by what is on the screen.
//
// Usage: node browser.mjs FOLDER [NAME=ADDRESS…]. Names are resolved as told. Each line on the input is {"who", "do", "with"}:
// a person's name, one of the verbs below, its argument. Each is answered with a line {"ok": …} or {"error": …}, in their order.
// Pictures, and what went wrong on the screen, are kept in FOLDER.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const PATIENCE = 15_000;
const [folder, ...names] = process.argv.slice(2);
const rules = names.map((name) => `MAP ${name.replace("=", " ")}`).join(",");
const browser = await chromium.launch({
  executablePath: process.env.E2E_CHROMIUM || "/usr/bin/chromium",
  // Service workers know no exception for a page.
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--ignore-certificate-errors", `--host-resolver-rules=${rules}`],
});

const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const DESKTOP = { viewport: { width: 1280, height: 800 } };

/** In a page: the push service of the browser's maker, which is out of reach, has given this subscription. */
function subscribes({ endpoint, keys }) {
  const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const known = () => {
    const key = localStorage.getItem("test-subscription");
    return key && {
      options: { applicationServerKey: bytes(key).buffer },
      toJSON: () => ({ endpoint, expirationTime: null, keys }),
      unsubscribe: async () => localStorage.removeItem("test-subscription"),
    };
  };
  PushManager.prototype.getSubscription = async () => known();
  PushManager.prototype.subscribe = async ({ userVisibleOnly, applicationServerKey }) => {
    if (!userVisibleOnly || bytes(applicationServerKey).length !== 65) throw new Error("no such subscription");
    localStorage.setItem("test-subscription", applicationServerKey);
    return known();
  };
}

/** One person: a browser context of their own, with one page in it. */
class Person {
  constructor(name) {
    this.name = name;
    this.problems = [];
    this.requests = [];
    this.sockets = [];
    this.bytes = 0;
    this.pages = { asked: new Set(), answered: 0 };
  }

  /** Opens the page and waits for the login form. */
  async open({ url, phone = false, dark = false, locale = "en-GB", subscription }) {
    const look = { ...(phone ? PHONE : DESKTOP), colorScheme: dark ? "dark" : "light", locale };
    this.context = await browser.newContext({ ...look, ignoreHTTPSErrors: true });
    if (subscription) {
      await this.context.grantPermissions(["notifications"]);
      await this.context.addInitScript(subscribes, subscription);
    }
    this.page = await this.context.newPage();
    this.page.setDefaultTimeout(PATIENCE);
    this.page.on("pageerror", (error) => this.problems.push(`error: ${error}`));
    this.page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) this.problems.push(`${message.type()}: ${message.text()}`);
    });
    this.page.on("websocket", (socket) => {
      this.sockets.push(socket.url());
      socket.on("framesent", ({ payload }) => this.sent(String(payload)));
      socket.on("framereceived", ({ payload }) => this.received(String(payload)));
    });
    this.page.on("request", (request) => this.sent(request.postData() ?? ""));
    this.page.on("requestfinished", async (request) => {
      if (request.url().endsWith("/bosh")) this.received(await (await request.response()).text().catch(() => ""));
    });
    this.page.on("framenavigated", () => (this.pages = { asked: new Set(), answered: 0 }));
    const wire = await this.context.newCDPSession(this.page);
    await wire.send("Network.enable");
    wire.on("Network.requestWillBeSent", ({ request }) => this.requests.push(request.url));
    wire.on("Network.loadingFinished", ({ encodedDataLength }) => (this.bytes += encodedDataLength));
    this.wire = wire;
    this.workers = new Map();
    await wire.send("ServiceWorker.enable");
    wire.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => {
      for (const one of registrations) this.workers.set(one.scopeURL, one.registrationId);
    });
    await this.page.goto(url);
    await this.page.waitForSelector("#converse-login-jid");
    await this.page.waitForLoadState("networkidle");
  }

  /** Keeps in mind which pages of the archive (XEP-0313) were asked for. */
  sent(xml) {
    for (const [, id] of xml.matchAll(/<iq\b[^>]*\bid="([^"]+)"[^>]*>\s*<query\b[^>]*"urn:xmpp:mam:2"/g)) this.pages.asked.add(id);
  }

  received(xml) {
    for (const [iq] of xml.matchAll(/<iq\b[^>]*\btype=['"](result|error)['"][^>]*>/g)) {
      const id = /\bid=['"]([^'"]+)['"]/.exec(iq)?.[1];
      if (this.pages.asked.delete(id)) this.pages.answered += 1;
    }
  }

  async login({ name, password }) {
    await this.page.fill("#converse-login-jid", name);
    await this.page.fill("#converse-login-password", password);
    await this.page.click("#converse-login button[type=submit]");
  }

  /** Waits until the list of contacts is there. */
  async inside() {
    await this.page.waitForSelector("converse-user-profile .xmpp-status .online");
    await this.page.waitForSelector("#converse-roster .roster-contacts, #converse-roster .controlbox-heading");
  }

  /** What the login page says about a login that failed. */
  async refusal() {
    const feedback = this.page.locator("#converse-login .feedback-message");
    await feedback.filter({ hasText: /./ }).waitFor();
    return feedback.innerText();
  }

  /** Chooses from a menu, which closes again when the list behind it is drawn anew: then it is opened once more. */
  async choose(menu, entry) {
    for (;;) {
      await menu.locator("button").first().click();
      try {
        return await menu.locator(entry).click({ timeout: 2000 });
      } catch (error) {
        if (!/not visible|detached/.test(error.message) || (this.tries = (this.tries ?? 0) + 1) > 5) throw error;
      }
    }
  }

  async request_contact({ jid, name }) {
    await this.choose(this.page.locator("#converse-roster converse-dropdown.dropdown--contacts"), ".add-contact");
    const form = this.page.locator("form.add-xmpp-contact");
    await form.locator("input[name=jid]").fill(jid);
    await form.locator("input[name=name]").fill(name);
    await form.locator("button[type=submit]").click();
    await form.waitFor({ state: "detached" });
  }

  /** Accepts the request of `jid` when it comes. */
  async accept_contact({ jid }) {
    const item = this.page.locator("converse-roster-contact", { has: this.page.locator(`a[data-jid="${jid}"]`) });
    await this.choose(item.locator("converse-dropdown"), ".accept-xmpp-request");
    const form = this.page.locator("converse-accept-contact-request-modal form");
    await form.locator("button[type=submit]").click();
    await form.waitFor({ state: "hidden" });
  }

  contact(jid) {
    return this.page.locator(`#converse-roster a.open-chat[data-jid="${jid}"]`);
  }

  /** Waits until the contact is shown with that availability: `online`, `away`, `dnd`, `offline`. */
  async sees({ jid, show }) {
    await this.contact(jid).locator(`.contact-name--${show}`).waitFor();
  }

  /** Waits until the contact has a picture that is not `before`; returns its address. */
  async avatar({ jid, before = "" }) {
    const image = this.contact(jid).locator(`converse-avatar image:not([href="${before}"])`);
    return image.first().getAttribute("href");
  }

  /** Sets the own availability. */
  async appear({ show }) {
    await this.page.click(".change-status");
    const modal = this.page.locator("converse-profile-modal");
    await modal.locator(`input[name=chat_status][value=${show}]`).check();
    await modal.locator("#status-tabpanel button[type=submit]").click();
    await modal.locator(".modal-footer [data-bs-dismiss], .modal-footer .btn-secondary").first().click();
    await modal.locator("form").first().waitFor({ state: "hidden" });
  }

  async open_chat({ jid }) {
    // Who has written what was not read stands in a group of these, too.
    await this.contact(jid).first().click();
    await this.page.locator("converse-chat-message-form, converse-message-form").locator("textarea").waitFor();
  }

  async say({ text }) {
    const field = this.page.locator("textarea.chat-textarea");
    await field.fill(text);
    await field.press("Enter");
    await this.page.locator(".chat-msg--with-avatar .chat-msg__text, .chat-msg__text").filter({ hasText: text }).last().waitFor();
  }

  async hears({ text }) {
    await this.page.locator(".chat-msg__text").filter({ hasText: text }).last().waitFor();
    return this.page.locator(".chat-msg__text").filter({ hasText: text }).count();
  }

  /** Goes into a room by the menu above the list of rooms. */
  async enter_room({ room, nick }) {
    const entry = ".show-add-muc-modal";
    await this.choose(this.page.locator("converse-dropdown", { has: this.page.locator(entry) }), entry);
    const form = this.page.locator("form.add-chatroom");
    await form.locator("input[name=chatroom]").fill(room);
    await form.locator("input[name=nickname]").fill(nick);
    await form.locator("input[type=submit]").click();
    await form.waitFor({ state: "hidden" });
  }

  /** Waits until one can write in the room. */
  async inside_room() {
    await this.page.locator("converse-muc-chatarea textarea.chat-textarea").waitFor();
  }

  /** Waits until exactly these are shown as occupants. */
  async sees_occupants({ nicks }) {
    const shown = this.page.locator("converse-muc-occupants .occupant .occupant-nick, .occupant-list .occupant .occupant-nick");
    const end = Date.now() + PATIENCE;
    for (;;) {
      const seen = (await shown.allInnerTexts()).map((text) => text.trim()).sort();
      if (seen.join() === [...nicks].sort().join()) return;
      if (Date.now() > end) throw new Error(`occupants: ${seen}`);
      await this.page.evaluate(() => new Promise(requestAnimationFrame));
    }
  }

  /** Waits until this is the subject of the room. */
  async sees_subject({ text }) {
    await this.page.locator(".chat-head__desc").filter({ hasText: text }).waitFor();
  }

  /** What is said of a room that one was not let into, or is no longer in. */
  async turned_away() {
    const words = this.page.locator(".disconnect-msg");
    await words.first().waitFor();
    return (await words.allInnerTexts()).join(" ");
  }

  /** Waits until the room asks for a password; says what it says of the last one. */
  async asked_for_password({ again = "" }) {
    const form = this.page.locator("converse-muc-password-form form");
    await form.locator("input[name=password]").waitFor();
    if (again) await form.locator(".validation-message").filter({ hasText: again }).waitFor();
  }

  async give_password({ password }) {
    const form = this.page.locator("converse-muc-password-form form");
    await form.locator("input[name=password]").fill(password);
    await form.locator("input[type=submit]").click();
  }

  /** Waits until this page has got from the archive all that it asked for. */
  async caught_up() {
    const end = Date.now() + PATIENCE;
    while (this.pages.answered === 0 || this.pages.asked.size > 0) {
      if (Date.now() > end) throw new Error(`the archive: ${this.pages.answered} answers, ${this.pages.asked.size} to come`);
      await this.page.evaluate(() => new Promise(requestAnimationFrame));
    }
  }

  /** Who said what in the conversation, from above to below, when `text` has come. */
  async conversation({ until }) {
    await this.page.locator(".chat-msg__text").getByText(until, { exact: true }).last().waitFor();
    return this.page
      .locator(".chat-msg")
      .evaluateAll((all) =>
        all.map((one) => [one.dataset.from.split("/")[0], one.querySelector(".chat-msg__text").innerText.trim(), one.offsetTop]),
      );
  }

  /** Sets name and picture in the own vCard. */
  async introduce({ name, picture }) {
    await this.page.click(".show-profile");
    const modal = this.page.locator("converse-profile-modal");
    await modal.locator("input[name=fn]").fill(name);
    await modal.locator("input[type=file]").setInputFiles({
      name: "me.png",
      mimeType: "image/png",
      buffer: Buffer.from(picture, "base64"),
    });
    await modal.locator("#profile-tabpanel button[type=submit]").click();
    await modal.locator("form").first().waitFor({ state: "hidden" });
  }

  /** Waits until the contact's picture is in the list. */
  async sees_picture({ jid }) {
    await this.contact(jid).locator("converse-avatar svg image[href^='data:image/png;base64,']").waitFor();
  }

  async attach({ name, type, content }) {
    await this.page.locator(".upload-file, .file-upload, input[type=file].fileupload").first().waitFor({ state: "attached" });
    await this.page.locator("input.fileupload").setInputFiles({ name, mimeType: type, buffer: Buffer.from(content, "base64") });
  }

  /** Waits for a picture in the conversation that has been loaded; says how wide it is. */
  async sees_image() {
    const image = this.page.locator(".chat-msg img.chat-image").last();
    await image.waitFor();
    return image.evaluate(async (element) => {
      await element.decode();
      return element.naturalWidth;
    });
  }

  /** Accepts the offer to be told of messages while no page is open. */
  async accept_notifications() {
    await this.page.click(".tercet-push .btn-primary");
    await this.page.locator(".tercet-push").waitFor({ state: "detached" });
  }

  /** The service worker of the page. */
  async worker() {
    return this.context.serviceWorkers()[0] ?? this.context.waitForEvent("serviceworker");
  }

  /** Has the browser hand a push message to the service worker; says what notifications it shows then. */
  async is_pushed({ content, scope }) {
    const registrationId = this.workers.get(scope);
    await this.wire.send("ServiceWorker.deliverPushMessage", { origin: new URL(scope).origin, registrationId, data: content });
    const worker = await this.worker();
    return worker.evaluate(async () => {
      for (;;) {
        const shown = await self.registration.getNotifications();
        if (shown.length > 0) return shown.map(({ title, body, tag }) => ({ title, body, tag }));
        await new Promise((next) => setTimeout(next, 20));
      }
    });
  }

  /** Clicks on the notification; says where that leads. */
  async follows_notification() {
    const worker = await this.worker();
    return worker.evaluate(async () => {
      const [notification] = await self.registration.getNotifications();
      const opened = new Promise((resolve) => {
        // A click of a test's own may open nothing.
        self.clients.openWindow = async (url) => resolve(url);
      });
      self.dispatchEvent(new NotificationEvent("notificationclick", { notification }));
      return opened;
    });
  }

  async reload() {
    await this.page.reload();
  }

  /** Leaves for an empty page; `back` is the second half of a reload. */
  async away() {
    this.left = this.page.url();
    await this.page.goto("about:blank");
  }

  async back() {
    await this.page.goto(this.left);
  }

  async log_out() {
    await this.page.click(".show-profile");
    await this.page.locator("converse-profile-modal .btn-danger").click();
    await this.page.locator("converse-confirm-modal button[type=submit]").click();
    await this.page.waitForSelector("#converse-login-jid");
  }

  async picture({ name }) {
    // What moves has come to rest.
    await this.page.waitForFunction(() => document.getAnimations().every((one) => one.playState !== "running"));
    await this.page.screenshot({ path: `${folder}/${name}.png` });
  }

  /** What one can press or write into and that is not whole on the screen, from its left to its right. */
  async cut_off() {
    return this.page.evaluate(() =>
      [...document.querySelectorAll("a, button, input, textarea")]
        .filter((one) => one.checkVisibility({ visibilityProperty: true }) && one.getBoundingClientRect().width > 0)
        .filter((one) => one.getBoundingClientRect().left < 0 || one.getBoundingClientRect().right > innerWidth + 1)
        .map((one) => one.outerHTML.slice(0, 120)),
    );
  }

  async has({ selector }) {
    return (await this.page.locator(selector).count()) > 0;
  }

  async leave() {
    await this.context.close();
  }

  /** What went over the network so far, and what the browser complained about. */
  async record() {
    const { problems, requests, sockets, bytes } = this;
    return { problems, requests, sockets, bytes };
  }
}

const people = new Map();
let last = Promise.resolve();
const say = (answer) => process.stdout.write(JSON.stringify(answer) + "\n");

async function answer(line) {
  const { who, do: verb, with: argument } = JSON.parse(line);
  if (!people.has(who)) people.set(who, new Person(who));
  const person = people.get(who);
  try {
    say({ ok: (await person[verb](argument ?? {})) ?? null });
  } catch (error) {
    await person.page?.screenshot({ path: `${folder}/${who}-${verb}-failed.png` }).catch(() => {});
    say({ error: `${who} ${verb}: ${error.message}\n${person.problems.join("\n")}` });
  }
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => (last = last.then(() => answer(line))));
lines.on("close", () => last.then(() => browser.close()).then(() => process.exit(0)));
