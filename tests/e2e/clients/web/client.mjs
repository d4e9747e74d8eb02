// @xmpp/client (https://github.com/xmppjs/xmpp.js) as a client of the scenarios, over WebSocket.
//
// Usage: node client.mjs JID PASSWORD SERVICE [RESOURCE]. It prints "CONNECTED full-JID" or "FAILED reason",
// then "STANZA xml" for each stanza that comes; lines on its input are stanzas to be sent, and their
// end ends the stream.
import { webcrypto } from "node:crypto";
import { createInterface } from "node:readline";
import { client } from "@xmpp/client";
import parse from "@xmpp/xml/lib/parse.js";
import { WebSocket } from "ws";

// What browsers have, and Node.js before 22 has not.
globalThis.crypto ??= webcrypto;
globalThis.WebSocket ??= WebSocket;

const [jid, password, service, resource] = process.argv.slice(2);
const [username, domain] = jid.split("@");
const say = (line) => process.stdout.write(line.replaceAll("\n", "&#10;") + "\n");
const xmpp = client({ service, domain, username, password, resource: resource || undefined });
xmpp.reconnect.stop();
let told = false;
const fail = (error) => {
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
lines.on("line", (line) => xmpp.send(parse(line)).catch(fail));
lines.on("close", () => xmpp.stop().catch(fail));
