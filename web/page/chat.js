// Starts Converse.js for the server that this page comes from, and puts the server's own words where Converse.js would
// show its makers'. All addresses are of this origin.
import { Push } from "./push.js";

const page = JSON.parse(document.body.dataset.settings);
const { converse } = window;
const { html, render } = converse.env;
const push = Push.of(page.push);

/** Resolves to whether a WebSocket gets through from here; where none does (some proxies), BOSH does. */
function websocketWorks(address) {
  return new Promise((resolve) => {
    const socket = new WebSocket(address, "xmpp");
    const done = (works) => {
      clearTimeout(timer);
      socket.onopen = socket.onerror = null;
      socket.close();
      resolve(works);
    };
    const timer = setTimeout(done, 5000, false);
    socket.onopen = () => done(true);
    socket.onerror = () => done(false);
  });
}

/** A custom element that shows `template(itself)`, in place of one of Converse.js. */
function element(template) {
  return class extends HTMLElement {
    connectedCallback() {
      render(template(this), this);
    }
  };
}

/**
 * In Converse.js 14.0.0 who accepts a contact request is meant to ask for the other's presence in turn, by `subscribe()`. But
 * that is a method of all its models, by which one listens to them.
 */
function seeBack(contact) {
  const { subscribe: listen } = contact;
  contact.subscribe = function (...what) {
    return what.length > 0 ? listen.apply(this, what) : this.subscribeToPresence();
  };
}

/**
 * When a page is loaded again, Converse.js 14.0.0 logs in with a new resource, then resumes the old stream (XEP-0198), and goes
 * on under the new name, which is not that of the stream. It keeps the old one here, if that can be resumed.
 */
function keepResource(_converse) {
  const { Strophe } = converse.env;
  const { api, session } = _converse;
  let earlier;
  session.on("change:jid", () => (earlier = session.previous("jid")));
  api.listen.on("setUserJID", () => {
    const resource = earlier && Strophe.getResourceFromJid(earlier);
    const same = resource && Strophe.getBareJidFromJid(earlier) === session.get("bare_jid");
    if (!same || !session.get("smacks_stream_id") || api.connection.connected()) return;
    Object.assign(_converse, { jid: earlier, resource });
    session.save({ jid: earlier, resource });
    api.connection.get().jid = earlier;
  });
}

converse.plugins.add("tercet", {
  dependencies: ["converse-roster"],

  initialize() {
    const { _converse } = this;
    seeBack(_converse.exports.RosterContact.prototype);
    keepResource(_converse);
    push?.start(_converse);
    const { elements } = _converse.api;
    const { __ } = _converse;
    elements.define(
      "converse-brand-logo",
      element(
        // In the settings it stands above the version of Converse.js.
        (place) => html`<div class="tercet-brand">
          <img src="${page.assets}/icon.svg" alt="" width="64" height="64" />
          <h1>${place.closest(".modal-body") ? "Converse.js" : page.domain}</h1>
        </div>`,
      ),
    );
    elements.define("converse-controlbox-navbar", element(() => html``));
    elements.define(
      "converse-footer",
      element(
        () => html`<div class="tercet-footer">
          <a href="${page.source}" target="_blank" rel="noopener noreferrer">Converse.js</a> ${page.version} ·
          <a href="${page.assets}/LICENSE.txt">MPL-2.0</a> · <a href="${page.assets}/licences.txt">MIT …</a>
        </div>`,
      ),
    );
    elements.define(
      "converse-register-link",
      element(() =>
        page.register
          ? html`<p class="tercet-register">
              ${__("Don't have a chat account?")}
              <a href="${page.register}">${__("Create an account")}</a>
            </p>`
          : html``,
      ),
    );
  },
});

const origin = location.origin;
const websocket = page.websocket && origin.replace(/^http/, "ws") + page.websocket;
const bosh = page.bosh && origin + page.bosh;
const forced = new URLSearchParams(location.search).get("transport");
const useWebsocket = websocket && forced !== "bosh" && (!bosh || (await websocketWorks(websocket)));

await converse.initialize({
  view_mode: "fullscreen",
  theme: "classic",
  dark_theme: "dracula",
  assets_path: page.assets,
  sounds_path: `${page.assets}/sounds/`,
  notification_icon: `${page.assets}/icon.svg`,

  // Whose accounts log in here, and how.
  [page.only ? "locked_domain" : "default_domain"]: page.domain,
  websocket_url: useWebsocket ? websocket : undefined,
  bosh_service_url: bosh || undefined,
  discover_connection_methods: false,
  authentication: "login",
  keepalive: true,
  reuse_scram_keys: true,
  allow_registration: false,

  // Nothing is asked of anyone else.
  autocomplete_providers_url: "",
  xmpp_providers_url: "",
  // Left out, there is no field for a room's name.
  muc_search_service: page.domain,
  embed_3rd_party_media_players: false,
  fetch_url_headers: false,
  render_media: [location.hostname, new URL(page.files ?? origin).hostname],
  use_system_emojis: true,

  // Without the files of its library there is no OMEMO.
  blacklisted_plugins: page.omemo ? [] : ["converse-omemo", "converse-omemo-views"],

  whitelisted_plugins: ["tercet"],
  show_client_info: true,
  loglevel: "warn",
});
document.getElementById("loading")?.remove();
const root = document.querySelector("converse-root");
document.documentElement.lang = root?.lang || "en";
document.documentElement.dir = root?.dir || "ltr";
