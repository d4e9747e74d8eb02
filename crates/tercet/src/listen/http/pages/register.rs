//! `/register`, and what a form that makes an account has in common with the one of an invitation.
//!
//! The rules are those of [`tercet_modules::register`]; what they refuse is said beside the field. Attempts count for the
//! client's address, together with those in streams.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::http::header::{self, HeaderMap};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use tercet_core::{BareJid, JidError, mint_local};
use tercet_modules::invites::Invitation;
use tercet_modules::register::{Application, Refusal, apply};
use tercet_server::{AccountError, Registration};

use super::apps;
use super::form::{Entries, Form};
use super::invite::ended;
use super::template::Part::{Html, Text};
use super::template::{escaped, fill};
use super::{Guest, page_at};
use crate::listen::http::Http;
use crate::listen::http::body::Takes;
use crate::listen::http::request::Visit;
use crate::listen::http::resource::{Resource, plain};

/// The most bytes of a form: a name and twice a password, each as long as it may be and with each byte written as three.
pub(super) const FORM_BYTES: u64 = 16 * 1024;
/// What a form is sent as.
const FORM: &str = "application/x-www-form-urlencoded";
/// Fetch Metadata (W3C): where a request comes from, by the browser's word.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

const DONE: &str = include_str!("done.html");

pub(super) fn resources(http: &Arc<Http>) -> Vec<Resource> {
    let (of_get, of_post) = (http.clone(), http.clone());
    let get = move |visit: Visit, fields: HeaderMap| async move { show(&of_get, &visit, &fields) };
    let post = move |visit: Visit, fields: HeaderMap, body: Bytes| async move {
        let Some(guest) = Guest::new(&of_post, &visit, &fields) else {
            return plain(StatusCode::NOT_FOUND);
        };
        if let Some(response) = refuse(&guest, &fields) {
            return response;
        }
        if !guest.is_open() {
            return closed(&guest);
        }
        take(&guest, None, &body).await
    };
    vec![
        page_at("/register")
            .field(header::CACHE_CONTROL, "no-store")
            .get(get)
            .post(Takes::whole(|| FORM_BYTES), post),
    ]
}

fn show(http: &Http, visit: &Visit, fields: &HeaderMap) -> Response {
    match Guest::new(http, visit, fields) {
        Some(guest) if guest.is_open() => Form::new(None).page(&guest, StatusCode::OK),
        Some(guest) => closed(&guest),
        None => plain(StatusCode::NOT_FOUND),
    }
}

/// For those who may not make an account here.
fn closed(guest: &Guest<'_>) -> Response {
    let text = match guest.host.info().registration {
        Registration::Invite => {
            "Open the link that you were given. If you have none, ask somebody who is here for an invitation."
        }
        _ => "Accounts are made by the server's administrators.",
    };
    let heading = match guest.host.info().registration {
        Registration::Invite => "You need an invitation",
        _ => "Nobody can make an account here",
    };
    guest.message(StatusCode::FORBIDDEN, heading, text)
}

/// The answer to a form that is not taken at all: it is not from our own page, or comes on a way on which others listen in.
pub(super) fn refuse(guest: &Guest<'_>, fields: &HeaderMap) -> Option<Response> {
    if !is_own_page(fields, &guest.visit.authority) {
        return Some(guest.message(
            StatusCode::FORBIDDEN,
            "This did not come from our own page",
            "Open the page here, and fill in the form on it.",
        ));
    }
    if !guest.visit.is_private() {
        return Some(guest.message(
            StatusCode::FORBIDDEN,
            "Others could read your password",
            "Open this page with https.",
        ));
    }
    let kind = fields.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    match kind.is_some_and(|kind| kind.starts_with(FORM.as_bytes())) {
        true => None,
        false => Some(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
    }
}

/// Whether a request is none that a page of somebody else has made a browser send. There are no cookies that could be misused;
/// this keeps others from making accounts in a visitor's name and from a visitor's address. Programs say nothing of it.
fn is_own_page(fields: &HeaderMap, authority: &str) -> bool {
    if let Some(site) = fields.get(SITE) {
        return site == "same-origin";
    }
    match fields.get(header::ORIGIN) {
        Some(origin) => {
            let origin = origin.to_str().unwrap_or_default();
            let origin = origin.split_once("://").map_or("", |(_, rest)| rest);
            origin.eq_ignore_ascii_case(authority)
        }
        None => true,
    }
}

/// Takes a filled-in form.
pub(super) async fn take(
    guest: &Guest<'_>,
    invitation: Option<&Invitation>,
    body: &[u8],
) -> Response {
    let entries = Entries::read(body);
    let mut form = Form::new(invitation);
    if form.fixed.is_none() {
        form.name = entries.username.clone();
    }
    if entries.username.is_empty() {
        form.name_fault = Some("Choose a name.".into());
    } else if let Err(error) = mint_local(&entries.username) {
        form.name_fault = Some(unusable(&error));
    }
    if entries.password.is_empty() {
        form.password_fault = Some("Choose a password.".into());
    } else if *entries.password != *entries.again {
        form.again_fault = Some("This is not the same password.".into());
    }
    if form.has_fault() {
        return form.page(guest, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let c2s = &guest.http.c2s;
    let address = guest.visit.peer.ip();
    if !c2s.gate.may_register(address, Instant::now()) {
        form.fault = Some(
            "Too many accounts were asked for from your address. Try again in a few minutes."
                .into(),
        );
        return form.page(guest, StatusCode::TOO_MANY_REQUESTS);
    }
    let application = Application {
        username: &entries.username,
        password: &entries.password,
        token: invitation.map(|invitation| invitation.token.as_str()),
        in_time: false,
    };
    match apply(&c2s.server, &guest.host, application).await {
        Ok(account) => {
            tracing::info!(%account, peer = %address, "account registered in a browser");
            done(guest, invitation, &account)
        }
        Err(refusal) => refused(guest, form, refusal),
    }
}

/// The form once more, with what is wrong beside the field.
fn refused(guest: &Guest<'_>, mut form: Form, refusal: Refusal) -> Response {
    let status = match &refusal {
        Refusal::Taken(_) => StatusCode::CONFLICT,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let sentence = |error: &dyn std::fmt::Display| Some(format!("{error}."));
    match &refusal {
        Refusal::Closed | Refusal::Uninvited => return closed(guest),
        Refusal::Invitation => return ended(guest),
        Refusal::Taken(_) => {
            form.name_fault = Some("This name is taken. Choose another one.".into());
        }
        Refusal::Name(error) => form.name_fault = Some(unusable(error)),
        Refusal::NoName | Refusal::OtherName(_) => form.name_fault = sentence(&refusal),
        Refusal::NoPassword
        | Refusal::Account(AccountError::Password(_) | AccountError::LongPassword) => {
            form.password_fault = Some(format!("Choose another password: {refusal}."));
        }
        Refusal::Account(error) => {
            tracing::error!(%error, "no account could be made");
            form.fault =
                Some("The server cannot make accounts at the moment. Try again later.".into());
            return form.page(guest, StatusCode::SERVICE_UNAVAILABLE);
        }
    }
    form.page(guest, status)
}

fn unusable(error: &JidError) -> String {
    match error {
        JidError::TooLong(_) => "This name is too long.".into(),
        JidError::Ambiguous(_) => {
            "Some apps would take this name for another one. Choose another one.".into()
        }
        _ => {
            "This name cannot be used: leave out spaces and signs such as @ / : \" & ' < >.".into()
        }
    }
}

fn done(guest: &Guest<'_>, invitation: Option<&Invitation>, account: &BareJid) -> Response {
    let friend = invitation.and_then(|invitation| invitation.friend());
    let friend = friend.map_or_else(String::new, |friend| {
        format!("<p>{} is in your contacts.</p>", escaped(friend.as_str()))
    });
    let content = fill(
        DONE,
        &[
            ("domain", Text(guest.domain())),
            ("account", Text(account.as_str())),
            ("friend", Html(&friend)),
            ("actions", Html(&guest.chat_button("button main"))),
            ("ports", Html(&guest.ports())),
            ("apps", Html(&apps::html(guest.platform))),
        ],
    );
    guest.page(StatusCode::CREATED, "Your account is ready", &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_taken_from_our_own_page_only() {
        for (fields, expected) in [
            (vec![], true),
            (vec![("sec-fetch-site", "same-origin")], true),
            (
                vec![("sec-fetch-site", "same-origin"), ("origin", "null")],
                true,
            ),
            (vec![("sec-fetch-site", "cross-site")], false),
            (vec![("sec-fetch-site", "same-site")], false),
            (vec![("sec-fetch-site", "none")], false),
            (vec![("origin", "https://Example.org:5281")], true),
            (vec![("origin", "https://example.org")], false),
            (vec![("origin", "https://evil.example")], false),
            (vec![("origin", "null")], false),
            (vec![("origin", "")], false),
        ] {
            let named = fields.iter().map(|(name, value)| {
                let name = HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            });
            let map = HeaderMap::from_iter(named);
            assert_eq!(
                is_own_page(&map, "example.org:5281"),
                expected,
                "{fields:?}"
            );
        }
    }
}
