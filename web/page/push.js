// Notifications while no page is open (Push API, RFC 8030): offers them, and tells the server where the browser is reached. The
// server is the app server of XEP-0357 itself: the subscription goes with the request that switches notifications on.
const { converse } = window;

const REMEMBERED = "tercet-push";
/** How long somebody who does not want them is left alone. */
const AGAIN = 30 * 24 * 60 * 60 * 1000;

/** What this browser remembers: of which account the subscription is, by what name; when it was declined. */
const remembered = () => JSON.parse(localStorage.getItem(REMEMBERED) ?? "{}");
const remember = (what) => localStorage.setItem(REMEMBERED, JSON.stringify({ ...remembered(), ...what }));

const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");

/** Web push for the page, with the key that the server wants subscriptions for. `null` where there is none. */
export class Push {
  static of(key) {
    const able = key && "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;
    return able ? new Push(key) : null;
  }

  constructor(key) {
    this.key = key;
    this.worker = navigator.serviceWorker.register("/chat/worker.js", { scope: "/chat" });
    this.worker.catch((error) => console.info("no notifications while no page is open:", error.message));
  }

  /** Follows the logins of Converse.js. */
  start(_converse) {
    const { api, session } = _converse;
    this.api = api;
    this.jid = () => session.get("bare_jid");
    const begin = () => this.begin().catch((error) => console.info("push:", error?.message ?? error));
    api.listen.on("connected", begin);
    api.listen.on("reconnected", begin);
    api.listen.on("beforeLogout", () => this.end().catch(() => {}));
  }

  /** Somebody is logged in: what they have wanted before goes on, else it is offered. */
  async begin() {
    const { jid, declined = 0 } = remembered();
    const wanted = Notification.permission === "granted" && jid === this.jid();
    if (wanted) await this.enable();
    await this.offer(!wanted && Notification.permission !== "denied" && Date.now() - declined > AGAIN);
  }

  /** Subscribes at the browser's push service, and tells the server. */
  async enable() {
    const { pushManager } = await this.worker;
    let subscription = await pushManager.getSubscription();
    const made = subscription && base64url(subscription.options.applicationServerKey);
    if (subscription && (made !== this.key || remembered().jid !== this.jid())) {
      // Of another server's key, or of another account: nobody may use it any more.
      await subscription.unsubscribe();
      subscription = null;
    }
    subscription ??= await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: this.key });
    const node = remembered().node ?? base64url(crypto.getRandomValues(new Uint8Array(12)));
    remember({ jid: this.jid(), node, declined: 0 });
    const { endpoint, keys } = subscription.toJSON();
    await this.tell("enable", { endpoint, ...keys });
  }

  /** Somebody logs out: this browser is woken no more. */
  async end() {
    this.offer(false);
    if (remembered().jid !== this.jid()) return;
    remember({ jid: null });
    if (this.api.connection.connected()) await this.tell("disable");
    const subscription = await (await this.worker).pushManager.getSubscription();
    await subscription?.unsubscribe();
  }

  /** XEP-0357 §5, §6. */
  tell(what, subscription) {
    const { $iq, Strophe } = converse.env;
    const iq = $iq({ type: "set" });
    iq.c(what, { xmlns: "urn:xmpp:push:0", jid: Strophe.getDomainFromJid(this.jid()), node: remembered().node });
    if (subscription) {
      const form = "http://jabber.org/protocol/pubsub#publish-options";
      iq.c("x", { xmlns: "jabber:x:data", type: "submit" });
      for (const [field, value] of Object.entries({ FORM_TYPE: form, ...subscription })) {
        iq.c("field", { var: field }).c("value").t(value).up().up();
      }
    }
    return this.api.sendIQ(iq);
  }

  /** Shows the offer above the list of contacts, or takes it away. */
  async offer(offered) {
    this.box?.remove();
    this.box = offered ? this.drawn() : null;
    if (!this.box) return;
    const profile = () => document.querySelector("#controlbox converse-user-profile");
    await converse.env.u.waitUntil(profile, 60_000);
    profile().after(this.box);
  }

  drawn() {
    const box = document.createElement("div");
    box.className = "tercet-push";
    const text = document.createElement("p");
    text.textContent = "Be told of new messages while this page is closed?";
    const button = (label, look, act) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = `btn btn-sm ${look}`;
      button.textContent = label;
      button.addEventListener("click", act);
      return button;
    };
    const yes = button("Yes", "btn-primary", async () => {
      this.offer(false);
      if ((await Notification.requestPermission()) !== "granted") return;
      await this.enable().catch((error) => this.failed(error));
    });
    const no = button("Not now", "btn-secondary", () => {
      remember({ declined: Date.now() });
      this.offer(false);
    });
    box.append(text, yes, no);
    return box;
  }

  failed(error) {
    const reason = error?.message ?? "the server refuses";
    this.api.alert("error", "Notifications", [`This browser cannot be told of new messages: ${reason}`]);
  }
}
