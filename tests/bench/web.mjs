// The load of tests/bench/web: one driver for XMPP over TLS and over WebSockets on TLS.
//
// Usage: node web.mjs WORKLOAD TRANSPORT PORT DOMAIN ACCOUNTS COUNT PID, in a folder with the package `ws`. WORKLOAD is `chat`
// (COUNT messages of each pair of accounts, one under way) or `idle` (COUNT sessions). TRANSPORT is `tls` or `wss`.
// It prints a line of JSON: the server's CPU time and memory by /proc.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { connect } from "node:tls";
import { setTimeout as sleep } from "node:timers/promises";

const { WebSocket } = createRequire(`${process.cwd()}/`)("ws");
const [workload, transport, port, domain, accounts, count, pid] = process.argv.slice(2);

// A tick of /proc is 10 ms on Linux.
const cpu = () => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
};
const resident = () => 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]);

/// A stream: texts out, texts in, whatever carries them.
function carry(heard) {
  if (transport === "wss") {
    const socket = new WebSocket(`wss://127.0.0.1:${port}/ws`, "xmpp", { rejectUnauthorized: false, perMessageDeflate: false });
    socket.on("message", (data) => heard(data.toString()));
    socket.on("close", () => heard(null));
    return new Promise((done, failed) => {
      socket.on("open", () => done({ send: (text) => socket.send(text), open: `<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='${domain}' version='1.0'/>` }));
      socket.on("error", failed);
    });
  }
  return new Promise((done, failed) => {
    const socket = connect({ host: "127.0.0.1", port, servername: domain, rejectUnauthorized: false, ALPNProtocols: ["xmpp-client"] });
    socket.setNoDelay(true);
    socket.on("data", (data) => heard(data.toString()));
    socket.on("close", () => heard(null));
    socket.on("secureConnect", () => done({ send: (text) => socket.write(text), open: `<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='${domain}' version='1.0'>` }));
    socket.on("error", failed);
  });
}

/// A bound session. `until(text)` waits for what ends so; `heard` may be replaced.
async function session(name, resource) {
  let text = "";
  let waiting = null;
  const self = { heard: null };
  const stream = await carry((more) => {
    if (more === null) {
      if (!self.done) throw new Error(`the connection of ${name} ended: ${text}`);
      return;
    }
    if (self.heard) return self.heard(more);
    text += more;
    waiting?.();
  });
  self.send = stream.send;
  const until = async (end) => {
    while (!text.includes(end)) await new Promise((done) => (waiting = done));
    text = "";
  };
  stream.send(stream.open);
  await until("features>");
  const plain = Buffer.from(`\0${name}\0secret`).toString("base64");
  stream.send(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${plain}</auth>`);
  await until("<success");
  stream.send(stream.open);
  await until("features>");
  stream.send(`<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>${resource}</resource></bind></iq>`);
  await until("</iq>");
  stream.send("<presence xmlns='jabber:client'/>");
  await until("<presence");
  return self;
}

const user = (number) => `user${number % accounts}`;

async function chat() {
  const pairs = [];
  for (let number = 0; number < accounts / 2; number += 1) {
    const one = await session(user(2 * number), "bench");
    const other = await session(user(2 * number + 1), "bench");
    const head = `<message xmlns='jabber:client' type='chat' to='${user(2 * number + 1)}@${domain}/bench' id='`;
    const body = "'><body>Wherefore art thou, and what is the weather like where you are? Tell me more.</body><active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/></message>";
    pairs.push({ one, other, head, body });
  }
  await sleep(500);
  const before = cpu();
  await Promise.all(
    pairs.map(({ one, other, head, body }) => {
      return new Promise((done) => {
        let sent = 0;
        const next = () => {
          if (sent === Number(count)) return done();
          one.send(`${head}${sent}${body}`);
          sent += 1;
        };
        let text = "";
        other.heard = (more) => {
          text += more;
          if (text.includes("</message>")) {
            text = "";
            next();
          }
        };
        next();
      });
    }),
  );
  return { us_per_message: ((cpu() - before) * 1e6) / (pairs.length * count) };
}

async function idle() {
  // What the first sessions cost the server once is not theirs.
  const all = [await session(user(0), "first")];
  await sleep(1000);
  const before = resident();
  for (let number = 0; number < count; number += 1) {
    const made = await session(user(number), `bench${number}`);
    made.heard = () => {};
    all.push(made);
  }
  await sleep(15000);
  return { bytes_per_session: (resident() - before) / count, sessions: all.length };
}

console.log(JSON.stringify(await { chat, idle }[workload]()));
process.exit(0);
