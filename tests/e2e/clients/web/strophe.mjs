// strophe.js (https://github.com/strophe/strophejs) as a client of the scenarios, over BOSH or WebSocket.
//
// Usage: node strophe.mjs JID PASSWORD SERVICE. It prints "CONNECTED full-JID" or "FAILED reason", then "STANZA xml" for
// each stanza that comes; lines on its input are stanzas to be sent, and their end ends the stream. Other lines:
//   !lose N    the next N answers get lost on their way
//   !reload    the page is loaded again and restores its session
//   !attach    another page goes on with the session
import { Console } from "node:console";
import { createInterface } from "node:readline";
import { XHR } from "./xhr.mjs";

// What strophe.js logs is not for who reads our output.
globalThis.console = new Console(process.stderr);
const storage = new Map();
globalThis.XMLHttpRequest = XHR;
globalThis.sessionStorage = {
  getItem: (key) => storage.get(key) ?? null,
  setItem: (key, value) => storage.set(key, value),
  removeItem: (key) => storage.delete(key),
};
const { Strophe } = await import("strophe.js");

const [jid, password, service] = process.argv.slice(2);
const say = (line) => process.stdout.write(line.replaceAll("\n", "&#10;") + "\n");
const element = (xml) => new DOMParser().parseFromString(xml, "text/xml").documentElement;

const bosh = service.startsWith("http");
let connection;

function page() {
  connection = new Strophe.Connection(service, { keepalive: bosh });
  connection.addHandler((stanza) => {
    say(`STANZA ${Strophe.serialize(stanza)}`);
    return true;
  });
}

const names = Object.fromEntries(Object.entries(Strophe.Status).map(([name, number]) => [number, name]));
const on = (own) => (status, condition) => {
  // A page that is gone says nothing any more.
  if (own !== connection) return;
  switch (names[status]) {
    case "CONNECTED":
    case "ATTACHED":
      say(`CONNECTED ${connection.jid}`);
      break;
    case "CONNFAIL":
    case "AUTHFAIL":
    case "ERROR":
      say(`FAILED ${names[status]} ${condition}`);
      break;
    case "DISCONNECTED":
      process.exit(0);
  }
};

// Leaves the page without a word to the server.
function leave() {
  const old = connection._proto;
  old._cacheSession();
  for (const request of old._requests) {
    request.abort = true;
    request.xhr.onreadystatechange = () => {};
    request.xhr.abort();
  }
  clearTimeout(connection._idleTimeout);
  return { jid: connection.jid, sid: old.sid, rid: old.rid };
}

page();
connection.connect(jid, password, on(connection));

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  if (line.startsWith("!lose ")) {
    XHR.lose = Number(line.slice(6));
  } else if (line === "!reload") {
    leave();
    page();
    connection.restore(jid, on(connection));
  } else if (line === "!attach") {
    const { jid, sid, rid } = leave();
    storage.clear();
    page();
    connection.attach(jid, sid, rid, on(connection));
  } else {
    connection.send(element(line.replace(/^<(message|presence|iq)(?![^>]*xmlns=['"]jabber:client)/, "<$1 xmlns='jabber:client'")));
    connection.flush();
  }
});
lines.on("close", () => connection.disconnect());
