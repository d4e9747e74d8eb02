// @xmpp/client (https://github.com/xmppjs/xmpp.js) as a client of the scenarios, over WebSocket.
//
// Usage: node client.mjs JID PASSWORD SERVICE [RESOURCE]. It prints "CONNECTED full-JID" or "FAILED reason",
// then "STANZA xml" for each stanza that comes; lines on its input are stanzas to be sent, and their
// end ends the stream. The line "CUT" cuts the connection; xmpp.js makes another, and "STANZA <resumed …>"
// says that its session goes on there.
import { webcrypto } from "node:crypto";
import { createInterface } from "node:readline";
import { client } from "@xmpp/client";
import parse from "@xmpp/xml/lib/parse.js";
import { WebSocket } from "ws";

// What browsers have, and Node.js before 22 has not.
globalThis.crypto ??= webcrypto;
globalThis.WebSocket ??= WebSocket;
// Where the name in SERVICE is to be found, if it is in no DNS.
const address = process.env.WEB_ADDRESS;
if (address) {
  const lookup = (_name, options, done) => (options.all ? done(null, [{ address, family: 4 }]) : done(null, address, 4));
  globalThis.WebSocket = class extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { lookup });
    }
  };
}

const [jid, password, service, resource] = process.argv.slice(2);
const [username, domain] = jid.split("@");
const say = (line) => process.stdout.write(line.replaceAll("\n", "&#10;") + "\n");
const xmpp = client({ service, domain, username, password, resource: resource || undefined });
xmpp.reconnect.stop();
let told = false;
let cut = false;
const fail = (error) => {
  if (cut) return;
  if (!told) say(`FAILED ${error}`);
  process.exit(1);
};
xmpp.on("error", fail);
xmpp.on("stanza", (stanza) => say(`STANZA ${stanza}`));
xmpp.on("online", (address) => {
  told = true;
  say(`CONNECTED ${address}`);
});
xmpp.on("offline", () => process.exit(0));
xmpp.start().catch(fail);

const lines = createInterface({ input: process.stdin });
xmpp.streamManagement.on("resumed", () => say('STANZA <resumed xmlns="urn:xmpp:sm:3"/>'));
lines.on("line", (line) => {
  if (line !== "CUT") return xmpp.send(parse(line)).catch(fail);
  cut = true;
  xmpp.reconnect.delay = 100;
  xmpp.reconnect.start();
  xmpp.socket.socket.terminate();
});
lines.on("close", () => xmpp.stop().catch(fail));
