//! `/`: what this server is, and how to connect.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::HeaderMap;
use axum::response::Response;
use tercet_server::Registration;

use super::apps;
use super::template::Part::{Html, Text};
use super::template::fill;
use super::{Guest, page_at};
use crate::listen::http::Http;
use crate::listen::http::request::Visit;
use crate::listen::http::resource::{Resource, plain};

const HOME: &str = include_str!("home.html");

pub(super) fn resources(http: &Arc<Http>) -> Vec<Resource> {
    let http = http.clone();
    let home = move |visit: Visit, fields: HeaderMap| async move { home(&http, &visit, &fields) };
    vec![page_at("/").get(home)]
}

fn home(http: &Http, visit: &Visit, fields: &HeaderMap) -> Response {
    let Some(guest) = Guest::new(http, visit, fields) else {
        return plain(StatusCode::NOT_FOUND);
    };
    let mut actions = guest.chat_button("button main");
    if guest.is_open() {
        actions.push_str("<a class=\"button\" href=\"/register\">Make an account</a>");
    }
    let accounts = match guest.host.info().registration {
        _ if guest.is_open() => "Everybody may make an account here.",
        Registration::Invite => {
            "Accounts are by invitation: open the link that you were given, or ask somebody who is here."
        }
        _ => "Accounts are made by the server's administrators.",
    };
    let content = fill(
        HOME,
        &[
            ("domain", Text(guest.domain())),
            ("actions", Html(&actions)),
            ("accounts", Text(accounts)),
            ("ports", Html(&guest.ports())),
            ("apps", Html(&apps::html(guest.platform))),
        ],
    );
    let title = format!("Chat on {}", guest.domain());
    guest.page(StatusCode::OK, &title, &content)
}
