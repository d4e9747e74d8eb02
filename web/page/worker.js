// The service worker of /chat: shows that something has come while no page is open. It fetches nothing and keeps nothing.

/** The page of the web client, if there is one: the one that is looked at first. */
async function pages() {
  const all = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const chats = all.filter((client) => new URL(client.url).pathname === "/chat");
  return chats.sort((one, other) => Number(other.focused) - Number(one.focused));
}

/** What the server says (JSON): to whom, how many messages, and perhaps who sent the last one and its text. */
function content(event) {
  try {
    return event.data.json() ?? {};
  } catch {
    return {};
  }
}

async function show(event) {
  const { to = "", count = 1, from, body } = content(event);
  // Who looks at the conversations sees it there.
  if ((await pages()).some((page) => page.focused)) return;
  const many = count > 1 ? `${count} new messages` : "A new message";
  await self.registration.showNotification(from ?? self.location.hostname, {
    body: body ?? many,
    // One notification for each account: the next one takes its place.
    tag: `chat:${to}`,
    renotify: true,
  });
}

async function open() {
  const [page] = await pages();
  return page ? page.focus() : self.clients.openWindow("/chat");
}

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("push", (event) => event.waitUntil(show(event)));
self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open());
});
