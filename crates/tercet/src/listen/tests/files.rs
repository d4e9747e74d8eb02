//! Files over HTTP (XEP-0363), with slots from sessions.

use std::fs;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use tercet_server::Uploads as Bounds;

use super::*;

/// Where the server says that it is.
const BASE: &str = "https://files.example";
/// Some time.
const NOW_MS: u64 = 1_700_000_000_000;
const DAY: u64 = 86_400_000;

/// The two paths of a slot.
struct Slot {
    put: String,
    get: String,
}

/// A server that keeps files, by a clock that is moved by hand.
fn sharing(uploads: Bounds, configure: impl FnOnce(&mut Settings)) -> Scene {
    let info = HostInfo {
        domain: "localhost".into(),
        public_url: Some(BASE.into()),
        uploads,
        ..HostInfo::default()
    };
    let clock = Clock::Manual(AtomicU64::new(NOW_MS));
    Scene::of(info, tercet_modules::modules, clock, configure)
}

impl Client {
    fn ask_for_slot(&mut self, attributes: &str, purpose: &str) -> String {
        self.send(&format!(
            "<iq type='get' id='slot' to='localhost'>\
             <request xmlns='urn:xmpp:http:upload:0' {attributes}>{purpose}</request></iq>"
        ));
        self.expect("</iq>")
    }

    fn slot(&mut self, attributes: &str, purpose: &str) -> Slot {
        let answer = self.ask_for_slot(attributes, purpose);
        let url = |name: &str| {
            let (_, rest) = answer.split_once(&format!("<{name} url='")).unwrap();
            let (url, _) = rest.split_once('\'').unwrap();
            url.strip_prefix(BASE).unwrap().to_owned()
        };
        Slot {
            put: url("put"),
            get: url("get"),
        }
    }
}

impl Scene {
    fn put(&self, path: &str, fields: &str, body: &str) -> (String, String) {
        let length = body.len();
        self.ask(&format!(
            "PUT {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Length: {length}\r\n{fields}\r\n{body}"
        ))
    }

    /// The status and the text of the answer to a PUT.
    fn put_status(&self, path: &str, fields: &str, body: &str) -> (u16, String) {
        let (head, text) = self.put(path, fields, body);
        (status(&head), text)
    }

    fn get_status(&self, path: &str) -> u16 {
        status(&self.get(path, "").0)
    }

    /// Files in the folder, unfinished ones included.
    fn files(&self) -> usize {
        let folders = fs::read_dir(self.folder.join("uploads")).unwrap();
        let files = folders.map(|folder| fs::read_dir(folder.unwrap().path()));
        // An empty folder may go at any time.
        files.map(|files| files.map_or(0, Iterator::count)).sum()
    }

    fn sweep(&self) {
        let uploads = self.listeners.as_ref().unwrap().uploads.clone();
        self.runtime.block_on(uploads.sweep(true)).unwrap();
    }
}

fn status(head: &str) -> u16 {
    let status = head.split(' ').nth(1).unwrap_or_default();
    status.parse().unwrap_or_else(|_| panic!("{head}"))
}

/// Waits for what other threads do.
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is() {
        assert!(Instant::now() < end, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_file_is_put_once_and_read_by_whoever_has_its_address() {
    let scene = sharing(Bounds::default(), |_| {});
    let mut romeo = scene.session("romeo");
    let slot = romeo.slot(
        "filename='très cool.jpg' size='5' content-type='image/jpeg'",
        "",
    );
    assert!(slot.get.ends_with("/tr%C3%A8s%20cool.jpg"), "{}", slot.get);
    assert_eq!(scene.get_status(&slot.get), 404);
    // Its address does not open the slot.
    let (refused, text) = scene.put_status(&slot.get, "", "hello");
    assert_eq!((refused, text.is_empty()), (403, false));

    let (head, _) = scene.put(&slot.put, "Content-Type: image/jpeg\r\n", "hello");
    assert_eq!(status(&head), 201);
    assert!(
        head.contains("access-control-allow-origin: *\r\n"),
        "{head}"
    );
    let (head, body) = scene.get(&slot.get, "");
    assert_eq!((status(&head), body.as_str()), (200, "hello"));
    for field in [
        "content-type: image/jpeg",
        "content-length: 5",
        "content-disposition: inline; filename=\"tr_s cool.jpg\"; filename*=utf-8''tr%c3%a8s%20cool.jpg",
        "accept-ranges: bytes",
        "cache-control: private, max-age=86400, immutable",
        "x-content-type-options: nosniff",
        "cross-origin-resource-policy: cross-origin",
        "access-control-allow-origin: *",
        "referrer-policy: no-referrer",
    ] {
        assert!(head.contains(&format!("\r\n{field}")), "{field}: {head}");
    }
    let policy = "content-security-policy: default-src 'none';";
    assert!(
        head.contains(policy) && head.contains("; sandbox"),
        "{head}"
    );

    let (used, text) = scene.put_status(&slot.put, "", "world");
    assert_eq!((used, text.contains("used")), (403, true), "{text}");
    assert_eq!(scene.get(&slot.get, "").1, "hello");
    // The name belongs to the address.
    let (folder, _) = slot.get.rsplit_once('/').unwrap();
    assert_eq!(scene.get_status(&format!("{folder}/other.jpg")), 404);
}

#[test]
fn web_clients_of_other_origins_are_let_in() {
    let scene = sharing(Bounds::default(), |_| {});
    let mut romeo = scene.session("romeo");
    let slot = romeo.slot("filename='a' size='5'", "");
    let (head, _) = scene.ask(&format!(
        "OPTIONS {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nOrigin: https://web.example\r\n\
         Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: content-type\r\n\r\n",
        slot.put
    ));
    assert_eq!(status(&head), 204);
    for field in [
        "access-control-allow-origin: *",
        "access-control-allow-methods: get, head, put, options",
        "access-control-allow-headers: authorization, content-type, range",
    ] {
        assert!(head.contains(&format!("\r\n{field}")), "{field}: {head}");
    }
}

#[test]
fn a_slot_takes_what_it_was_granted_for_and_nothing_else() {
    let scene = sharing(Bounds::default(), |_| {});
    let mut romeo = scene.session("romeo");
    let slot = romeo.slot("filename='a.txt' size='5' content-type='text/plain'", "");
    let (path, _) = slot.put.split_once('?').unwrap();
    let other = romeo.slot("filename='a.txt' size='5'", "");
    let (_, other) = other.put.split_once('?').unwrap();
    for (put, fields, body, expected) in [
        (slot.put.as_str(), "", "hello!", 413),
        (&slot.put, "", "hell", 400),
        (&slot.put, "", "", 400),
        (&slot.put, "Content-Type: text/html\r\n", "hello", 415),
        (path, "", "hello", 403),
        (&format!("{path}?{other}"), "", "hello", 403),
        (&format!("{path}?token="), "", "hello", 403),
        (&slot.put.replace("a.txt", "b.txt"), "", "hello", 404),
        (
            "/upload/00000000000000000000000000000000/a.txt?token=00000000000000000000000000000000",
            "",
            "hello",
            404,
        ),
    ] {
        let (got, text) = scene.put_status(put, fields, body);
        assert_eq!(got, expected, "{put} {fields} {body}");
        assert!(!text.trim().is_empty(), "{put} {fields} {body}");
    }
    // A length that nobody can know, or two of them.
    for (fields, expected) in [
        ("Transfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        ("Content-Length: +5\r\n", 400),
        ("Content-Length: 0x5\r\n", 400),
        ("", 411),
    ] {
        let (head, _) = scene.ask(&format!(
            "PUT {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n5\r\nhello\r\n0\r\n\r\n",
            slot.put
        ));
        assert_eq!(status(&head), expected, "{fields}");
    }
    // None of it has used the slot.
    assert_eq!(scene.files(), 0);
    let fields = "Content-Type: Text/Plain; charset=utf-8\r\n";
    assert_eq!(scene.put_status(&slot.put, fields, "hello").0, 201);
}

#[test]
fn a_slot_that_nobody_used_closes() {
    let scene = sharing(Bounds::default(), |_| {});
    let mut romeo = scene.session("romeo");
    let slot = romeo.slot("filename='a' size='5'", "");
    scene.server.advance(300_000);
    let (expired, text) = scene.put_status(&slot.put, "", "hello");
    assert_eq!((expired, text.contains("expired")), (410, true), "{text}");
    scene.sweep();
    assert_eq!(scene.put_status(&slot.put, "", "hello").0, 404);
}

/// security.md, line 12.
#[test]
fn no_path_leads_out_of_the_folder() {
    let scene = sharing(Bounds::default(), |_| {});
    let mut romeo = scene.session("romeo");
    let slot = romeo.slot("filename='../../../../etc/passwd' size='5'", "");
    assert!(
        slot.get.ends_with("/.._.._.._.._etc_passwd"),
        "{}",
        slot.get
    );
    assert_eq!(scene.put_status(&slot.put, "", "hello").0, 201);
    let (folder, _) = slot.get.rsplit_once('/').unwrap();
    for path in [
        "/upload/../../etc/passwd".to_owned(),
        "/upload/..%2f..%2fetc%2fpasswd/a".to_owned(),
        "/upload/%2e%2e/%2e%2e".to_owned(),
        "/upload/..%5c..%5ca/a".to_owned(),
        "/upload//etc/passwd".to_owned(),
        "/upload/part/a".to_owned(),
        format!("{folder}/../a"),
        format!("{folder}/..%2f..%2f..%2fetc%2fpasswd"),
        format!("{folder}/%2e%2e"),
        format!("{folder}/%252e%252e%252fa"),
        format!("{folder}/"),
        format!("{folder}/a/b"),
        folder.to_owned(),
        folder.to_uppercase(),
    ] {
        assert_eq!(scene.get_status(&path), 404, "{path}");
        let put = scene.put_status(&path, "", "hello").0;
        // Where nothing is, no body is taken either.
        assert!(matches!(put, 404 | 413), "{path}: {put}");
    }
    let folder = fs::read_dir(scene.folder.join("uploads")).unwrap();
    assert_eq!(
        folder.count(),
        2,
        "the account's and that of unfinished files"
    );
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    let scene = sharing(Bounds::default(), |_| {});
    let mut romeo = scene.session("romeo");
    let slot = romeo.slot("filename='a' size='1000000'", "");
    let mut client = scene.http();
    client.send(&format!(
        "PUT {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{}",
        slot.put,
        "a".repeat(500_000)
    ));
    until("the upload begins", || scene.files() == 1);
    // While it is under way, nobody else has the slot.
    assert_eq!(scene.put_status(&slot.put, "", "hello").0, 403);
    drop(client);
    until("what came is deleted", || scene.files() == 0);
    // Little, since the refusal does not wait for the rest of it.
    let (used, _) = scene.put_status(&slot.put, "", "hello");
    assert_eq!(used, 403);
    assert_eq!(scene.get_status(&slot.get), 404);
}

#[test]
fn an_upload_that_does_not_move_ends_by_the_clock() {
    let scene = sharing(Bounds::default(), |settings| {
        settings.web.times.stretch = Duration::from_millis(200);
    });
    let mut romeo = scene.session("romeo");
    let slot = romeo.slot("filename='a' size='1000'", "");
    let (head, text) = scene.ask(&format!(
        "PUT {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhello",
        slot.put
    ));
    assert_eq!((status(&head), text.trim().is_empty()), (408, false));
    until("what came is deleted", || scene.files() == 0);
}

#[test]
fn a_part_of_a_file_is_sent_and_one_that_is_known_is_not() {
    let scene = sharing(Bounds::default(), |_| {});
    let mut romeo = scene.session("romeo");
    let slot = romeo.slot("filename='a' size='10'", "");
    assert_eq!(scene.put_status(&slot.put, "", "0123456789").0, 201);
    let (head, body) = scene.get(&slot.get, "Range: bytes=2-4\r\n");
    assert_eq!((status(&head), body.as_str()), (206, "234"));
    assert!(head.contains("\r\ncontent-range: bytes 2-4/10"), "{head}");
    assert!(head.contains("\r\ncontent-length: 3"), "{head}");
    let (head, _) = scene.get(&slot.get, "Range: bytes=10-\r\n");
    assert_eq!(status(&head), 416);
    assert!(head.contains("\r\ncontent-range: bytes */10"), "{head}");

    let (head, body) = scene.ask(&format!(
        "HEAD {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        slot.get
    ));
    assert_eq!((status(&head), body.as_str()), (200, ""));
    assert!(head.contains("\r\ncontent-length: 10"), "{head}");
    let (_, tag) = head.split_once("\r\netag: ").unwrap();
    let (tag, _) = tag.split_once("\r\n").unwrap();
    let (head, body) = scene.get(&slot.get, &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((status(&head), body.as_str()), (304, ""));
}

/// security.md, line 12.
#[test]
fn what_could_run_in_a_browser_is_a_download() {
    let scene = sharing(Bounds::default(), |_| {});
    let mut romeo = scene.session("romeo");
    for (slot, sent) in [
        ("text/html", "text/html"),
        ("image/svg+xml", "image/svg+xml"),
        ("IMAGE/SVG+XML", ""),
        ("", "text/html"),
        ("", ""),
    ] {
        let content_type = match slot {
            "" => String::new(),
            slot => format!("content-type='{slot}'"),
        };
        let slot = romeo.slot(&format!("filename='a.html' size='5' {content_type}"), "");
        let fields = match sent {
            "" => String::new(),
            sent => format!("Content-Type: {sent}\r\n"),
        };
        assert_eq!(scene.put_status(&slot.put, &fields, "<svg>").0, 201);
        let (head, _) = scene.get(&slot.get, "");
        let as_download = head.contains("\r\ncontent-disposition: attachment;")
            && head.contains("\r\ncontent-type: application/octet-stream\r\n");
        assert!(as_download, "{sent}: {head}");
    }
}

#[test]
fn files_go_when_their_time_is_over_and_their_bytes_are_free_again() {
    let bounds = Bounds {
        user_bytes: 10,
        file_bytes: 10,
        retention_ms: 30 * DAY,
        ..Bounds::default()
    };
    let scene = sharing(bounds, |_| {});
    let mut romeo = scene.session("romeo");
    let message = romeo.slot("filename='a' size='4'", "");
    let avatar = romeo.slot(
        "filename='a' size='4'",
        "<profile xmlns='urn:xmpp:http:upload:purpose:0'/>",
    );
    let story = romeo.slot(
        "filename='a' size='4'",
        // A day later.
        "<ephemeral xmlns='urn:xmpp:http:upload:purpose:0' expire-before='2023-11-15T22:13:20Z'/>",
    );
    for slot in [&message, &avatar, &story] {
        assert_eq!(scene.put_status(&slot.put, "", "1234").0, 201);
    }
    let full = romeo.ask_for_slot("filename='a' size='4'", "");
    assert!(full.contains("<resource-constraint "), "{full}");
    assert!(full.contains("stamp='2023-11-15T22:13:20Z'"), "{full}");
    scene.server.advance(DAY);
    assert_eq!(scene.get_status(&story.get), 410);
    assert_eq!(scene.get_status(&message.get), 200);
    romeo.slot("filename='a' size='4'", "");

    scene.server.advance(29 * DAY);
    scene.sweep();
    assert_eq!(scene.files(), 1);
    assert_eq!(scene.get_status(&story.get), 404);
    assert_eq!(scene.get_status(&message.get), 404);
    assert_eq!(scene.get_status(&avatar.get), 200);
}

#[test]
fn the_files_of_an_account_go_with_it() {
    let scene = sharing(Bounds::default(), |_| {});
    let (mut romeo, mut juliet) = (scene.session("romeo"), scene.session("juliet"));
    let his = romeo.slot("filename='a' size='5'", "");
    let open = romeo.slot("filename='b' size='5'", "");
    let hers = juliet.slot("filename='a' size='5'", "");
    for slot in [&his, &hers] {
        assert_eq!(scene.put_status(&slot.put, "", "hello").0, 201);
    }
    let account = BareJid::parse("romeo@localhost").unwrap();
    let removed = scene.server.delete_account(&account, None);
    scene.runtime.block_on(removed).unwrap();
    assert_eq!(scene.get_status(&his.get), 404);
    assert_eq!(scene.put_status(&open.put, "", "hello").0, 404);
    until("the file is deleted", || scene.files() == 1);
    assert_eq!(scene.get_status(&hers.get), 200);
    // Who has the name later has none of it.
    let again = scene.server.create_account(&account, "secret", false);
    scene.runtime.block_on(again).unwrap();
    assert_eq!(scene.get_status(&his.get), 404);
    scene.sweep();
    assert_eq!(scene.files(), 1);
}

#[test]
fn a_folder_that_cannot_be_written_is_told_and_leaves_nothing() {
    let scene = sharing(Bounds::default(), |_| {});
    let mut romeo = scene.session("romeo");
    let slot = romeo.slot("filename='a' size='5'", "");
    let parts = scene.folder.join("uploads/part");
    fs::remove_dir(&parts).unwrap();
    let (failed, text) = scene.put_status(&slot.put, "", "hello");
    assert_eq!((failed, text.contains("try again")), (503, true), "{text}");
    fs::create_dir(&parts).unwrap();
    assert_eq!(scene.files(), 0);
    let slot = romeo.slot("filename='a' size='5'", "");
    assert_eq!(scene.put_status(&slot.put, "", "hello").0, 201);
}

#[test]
fn a_large_file_comes_back_as_it_went() {
    let scene = sharing(Bounds::default(), |_| {});
    let mut romeo = scene.session("romeo");
    let body: String = (0..300_000).map(|n| format!("{n:09} ")).collect();
    let slot = romeo.slot(&format!("filename='a' size='{}'", body.len()), "");
    assert_eq!(scene.put_status(&slot.put, "", &body).0, 201);
    assert!(scene.get(&slot.get, "").1 == body);
    let (_, tail) = scene.get(&slot.get, "Range: bytes=-15\r\n");
    assert_eq!(tail, "9998 000299999 ");
}
