//! `/invite/TOKEN`: who invites, the link for apps with its code, and the form for the browser.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap};
use axum::response::Response;
use tercet_core::grammar::time;
use tercet_modules::invites::{self, Invitation, Purpose};

use super::apps::{self, Platform};
use super::form::Form;
use super::register::{self, FORM_BYTES};
use super::template::Part::{Html, Text};
use super::template::{escaped, fill};
use super::{Guest, page_at};
use crate::listen::http::Http;
use crate::listen::http::body::Takes;
use crate::listen::http::request::Visit;
use crate::listen::http::resource::{Resource, plain};
use crate::qr::Qr;

/// What stands before the token.
pub(super) const PATH: &str = "/invite/";

const INVITE: &str = include_str!("invite.html");
const APP: &str = include_str!("app.html");

pub(super) fn resources(http: &Arc<Http>) -> Vec<Resource> {
    let (of_get, of_post) = (http.clone(), http.clone());
    let get = move |visit: Visit, Path(token): Path<String>, fields: HeaderMap| async move {
        show(&of_get, &visit, &fields, &token).await
    };
    let post = move |visit: Visit, Path(token): Path<String>, fields: HeaderMap, body: Bytes| async move {
        take(&of_post, &visit, &fields, &token, &body).await
    };
    vec![
        page_at("/invite/{token}")
            .field(header::CACHE_CONTROL, "no-store")
            .get(get)
            .post(Takes::whole(|| FORM_BYTES), post),
    ]
}

async fn show(http: &Http, visit: &Visit, fields: &HeaderMap, token: &str) -> Response {
    let Some(mut guest) = Guest::new(http, visit, fields) else {
        return plain(StatusCode::NOT_FOUND);
    };
    match open(&mut guest, token).await {
        Ok(invitation) => page(&guest, &invitation),
        Err(response) => response,
    }
}

async fn take(
    http: &Http,
    visit: &Visit,
    fields: &HeaderMap,
    token: &str,
    body: &[u8],
) -> Response {
    let Some(mut guest) = Guest::new(http, visit, fields) else {
        return plain(StatusCode::NOT_FOUND);
    };
    if let Some(response) = register::refuse(&guest, fields) {
        return response;
    }
    let invitation = match open(&mut guest, token).await {
        Ok(invitation) if invitation.is_for(&guest.host) => invitation,
        Ok(_) => return ended(&guest),
        Err(response) => return response,
    };
    register::take(&guest, Some(&invitation), body).await
}

/// The invitation, if it holds; the visit is to its host then.
async fn open(guest: &mut Guest<'_>, token: &str) -> Result<Invitation, Response> {
    let server = &guest.http.c2s.server;
    let found = match invites::find(server, token).await {
        Ok(found) => found,
        Err(error) => {
            tracing::error!(%error, "an invitation cannot be read");
            return Err(plain(StatusCode::INTERNAL_SERVER_ERROR));
        }
    };
    let found = found.filter(|invitation| invitation.is_open(server.now_ms()));
    let host = found.as_ref().and_then(|found| server.host(&found.host));
    match (found, host) {
        (Some(invitation), Some(host)) => {
            guest.host = host;
            let useful = match invitation.purpose {
                Purpose::Account { .. } => invitation.is_for(&guest.host),
                Purpose::Contact { .. } => true,
            };
            if useful {
                Ok(invitation)
            } else {
                Err(ended(guest))
            }
        }
        _ => Err(ended(guest)),
    }
}

/// The same for every token that does not hold.
pub(super) fn ended(guest: &Guest<'_>) -> Response {
    guest.message(
        StatusCode::NOT_FOUND,
        "This invitation is not valid",
        "It may have been used already, or its time is over, or the link is not complete. Ask for a new one whoever gave it to you.",
    )
}

fn page(guest: &Guest<'_>, invitation: &Invitation) -> Response {
    let domain = guest.domain();
    let by = invitation.friend().map(|by| by.as_str());
    let registers = invitation.is_for(&guest.host);
    let heading = match by {
        Some(by) => format!("{by} invites you to chat"),
        None => format!("You are invited to {domain}"),
    };
    let lead = match (&invitation.purpose, by) {
        (Purpose::Account { .. }, None) => {
            format!("Make an account on {domain} and chat, in the browser or with an app.")
        }
        (Purpose::Account { .. }, Some(_)) => format!(
            "Make an account on {domain}, in the browser or with an app, and you are each other's contacts."
        ),
        (Purpose::Contact { .. }, _) if registers => format!(
            "With an account on {domain}, or the XMPP account that you have already, you become each other's contacts."
        ),
        (Purpose::Contact { .. }, _) => {
            "With the XMPP account that you have, you become each other's contacts.".to_owned()
        }
    };
    let form = match registers {
        true => Form::new(Some(invitation)).html(guest, "Make an account in the browser"),
        false => String::new(),
    };
    // Who looks at the page on a phone is best off with an app.
    let phone = is_phone(guest);
    let app = app(guest, invitation, phone || !registers);
    let have = match guest.chat_button("button") {
        button if button.is_empty() => String::new(),
        button => format!(
            "<div class=\"have\"><p>Do you have an account on {} already?</p>{button}</div>",
            escaped(domain)
        ),
    };
    let ways = match phone {
        true => [app, form, have],
        false => [form, app, have],
    };
    let ways = ways.concat();
    let terms = format!(
        "The invitation lets {} in, until {}.",
        match invitation.uses.saturating_sub(invitation.used) {
            1 => "one person".to_owned(),
            left => format!("{left} people"),
        },
        moment(invitation.expires_ms)
    );
    let content = fill(
        INVITE,
        &[
            ("heading", Text(&heading)),
            ("lead", Text(&lead)),
            ("terms", Text(&terms)),
            ("ways", Html(&ways)),
        ],
    );
    guest.page(StatusCode::OK, &heading, &content)
}

fn is_phone(guest: &Guest<'_>) -> bool {
    matches!(guest.platform, Some(Platform::Android | Platform::Ios))
}

/// The part of the page for apps; `first`: with nothing before it.
fn app(guest: &Guest<'_>, invitation: &Invitation, first: bool) -> String {
    let how = match &invitation.purpose {
        Purpose::Account { .. } => "The app makes the account for you.",
        Purpose::Contact { .. } if invitation.is_for(&guest.host) => {
            "The app adds the contact, and makes an account if you have none."
        }
        Purpose::Contact { .. } => "The app adds the contact.",
    };
    let uri = invitation.uri(Some(&guest.host));
    let code = Qr::of(&uri).map(|code| code.svg("The invitation as a code"));
    let code = code.as_deref().unwrap_or_default();
    let scan = match is_phone(guest) {
        // The code is for other devices than the one that shows it.
        true => format!(
            "<details><summary>A code for another device</summary><div class=\"scan\">{code}</div></details>"
        ),
        false => format!(
            "<div class=\"scan\">{code}<p>Is the app on your phone, and this page on another screen? Scan this code with it.</p></div>"
        ),
    };
    fill(
        APP,
        &[
            ("how", Text(how)),
            ("class", Text(if first { "button main" } else { "button" })),
            ("uri", Text(&uri)),
            ("scan", Html(&scan)),
            ("apps", Html(&apps::html(guest.platform))),
        ],
    )
}

/// A time as people write it, in UTC, to the minute.
fn moment(unix_ms: u64) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let text = time::format(unix_ms.cast_signed());
    let of = |range| text.get(range).and_then(|part: &str| part.parse().ok());
    let (Some(month), Some(day)) = (of(5..7), of(8..10)) else {
        return text;
    };
    let month: usize = month;
    let name = MONTHS.get(month.wrapping_sub(1)).unwrap_or(&"");
    let day: usize = day;
    let (year, clock) = (&text[..4], &text[11..16]);
    format!("{day} {name} {year}, {clock} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_words() {
        assert_eq!(moment(1_704_067_200_000), "1 January 2024, 00:00 UTC");
        assert_eq!(moment(1_767_193_140_000), "31 December 2025, 14:59 UTC");
    }
}
