//! Pages for people: what this server is (`/`), an invitation (`/invite/TOKEN`), making an account (`/register`).
//!
//! HTML of our own templates, one style sheet inside of it, no script and nothing from elsewhere: the
//! Content-Security-Policy lets in that one style sheet by its digest and pictures of the page itself. There are no
//! cookies; a form is taken from our own pages only (`register::is_own_page`).

mod apps;
mod form;
mod home;
mod invite;
mod register;
mod template;

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::digest;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use tercet_server::{Registration, VHost};

use super::Http;
use super::request::Visit;
use super::resource::Resource;
use apps::Platform;
use template::Part::{Html, Text};
use template::{escaped, fill};

const LAYOUT: &str = include_str!("layout.html");
const MESSAGE: &str = include_str!("message.html");
const STYLE: &str = include_str!("style.css");

/// What the pages may load: the style sheet that is part of them.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let digest = BASE64_STANDARD.encode(digest::digest(&digest::SHA256, STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{digest}'; img-src data:; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("base64 stands in a field")
});

pub(super) fn resources(http: &Arc<Http>) -> Vec<Resource> {
    let groups = [
        home::resources(http),
        invite::resources(http),
        register::resources(http),
    ];
    groups.into_iter().flatten().collect()
}

/// What stands at the address of the web client where it was left out of the program.
pub(super) fn no_client(http: &Http, visit: &Visit, fields: &HeaderMap) -> Option<Response> {
    let text = "This server was built without its web client. Every other XMPP client works. For who runs the server: \
                build it with Node.js and npm on the machine, and without --no-default-features.";
    let guest = Guest::new(http, visit, fields)?;
    Some(guest.message(StatusCode::NOT_FOUND, "No web client here", text))
}

/// A page at `path` that differs with the visitor's device, and of which others are told nothing.
fn page_at(path: &'static str) -> Resource {
    Resource::at(path)
        // No more than our own forms need: `no-referrer` would hide where they come from.
        .field(header::REFERRER_POLICY, "same-origin")
        .field(header::VARY, "User-Agent")
        .field(
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        )
}

/// A visit to the pages of a host.
struct Guest<'a> {
    http: &'a Http,
    visit: &'a Visit,
    host: Arc<VHost>,
    platform: Option<Platform>,
}

impl<'a> Guest<'a> {
    /// `None` only where the server has no host.
    fn new(http: &'a Http, visit: &'a Visit, fields: &HeaderMap) -> Option<Guest<'a>> {
        Some(Guest {
            http,
            visit,
            host: http.c2s.host_for(&visit.host)?,
            platform: Platform::of(fields),
        })
    }

    fn domain(&self) -> &str {
        self.host.domain()
    }

    /// The page.
    fn page(&self, status: StatusCode, title: &str, content: &str) -> Response {
        let html = fill(
            LAYOUT,
            &[
                ("title", Text(title)),
                ("domain", Text(self.domain())),
                ("style", Html(STYLE)),
                ("content", Html(content)),
                ("footer", Html(&self.footer())),
            ],
        );
        let fields = [
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/html; charset=utf-8"),
            ),
            (header::CONTENT_SECURITY_POLICY, POLICY.clone()),
        ];
        (status, fields, html).into_response()
    }

    /// A page that says one thing.
    fn message(&self, status: StatusCode, heading: &str, text: &str) -> Response {
        let content = fill(
            MESSAGE,
            &[
                ("heading", Text(heading)),
                ("text", Text(text)),
                (
                    "actions",
                    Html("<a class=\"button\" href=\"/\">About this server</a>"),
                ),
            ],
        );
        self.page(status, heading, &content)
    }

    /// The way into the web client, where there is one.
    fn chat_button(&self, class: &str) -> String {
        match tercet_web::CONVERSE_VERSION {
            Some(_) => format!("<a class=\"{class}\" href=\"/chat\">Open chat</a>"),
            None => String::new(),
        }
    }

    /// Whether strangers may make accounts.
    fn is_open(&self) -> bool {
        self.host.info().registration == Registration::Open
            && tercet_modules::register::is_on(&self.host)
    }

    /// The ports of the listeners, as rows of a list.
    fn ports(&self) -> String {
        let mut html = String::new();
        let rows = [
            (self.http.ports.c2s, "STARTTLS"),
            (self.http.ports.c2s_tls, "TLS"),
        ];
        for (port, how) in rows {
            if let Some(port) = port {
                // Writing to a string does not fail.
                let _ = write!(html, "<dt>Port</dt><dd><code>{port}</code> ({how})</dd>");
            }
        }
        html
    }

    /// Whom to ask, and how the server is.
    fn footer(&self) -> String {
        let mut html = String::new();
        for (kind, addresses) in &self.host.info().contacts {
            for address in addresses {
                let name = match kind.as_str() {
                    "abuse" => "Report abuse",
                    "admin" => "Administrators",
                    "feedback" => "Feedback",
                    "sales" => "Sales",
                    "security" => "Security",
                    "status" => "State of the service",
                    _ => "Help",
                };
                let _ = write!(html, "<li>{name}: {}</li>", link(address));
            }
        }
        html.push_str("<li><a href=\"/status\">Status</a></li>");
        html
    }
}

/// A contact address as people click on it, if its scheme is one to click on.
fn link(address: &str) -> String {
    let shown = ["mailto:", "xmpp:", "https://", "http://"]
        .into_iter()
        .find_map(|scheme| Some((scheme, address.strip_prefix(scheme)?)));
    let (address, shown) = match shown {
        Some(("mailto:" | "xmpp:", rest)) => (address, rest),
        Some(_) => (address, address),
        None => return escaped(address),
    };
    format!(
        "<a href=\"{}\" rel=\"noopener\">{}</a>",
        escaped(address),
        escaped(shown)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_are_safe_to_click_on_are_links() {
        let mail = "<a href=\"mailto:a@b.example\" rel=\"noopener\">a@b.example</a>";
        assert_eq!(link("mailto:a@b.example"), mail);
        assert!(link("https://a.example/?b&c").contains("href=\"https://a.example/?b&amp;c\""));
        assert_eq!(link("javascript:alert(1)"), "javascript:alert(1)");
        assert_eq!(link("tel:\"><b>"), "tel:&quot;&gt;&lt;b&gt;");
    }
}
