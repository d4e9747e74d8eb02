//! `/outage/DOMAIN`: what those who run the server say about an outage (XEP-0455).

use std::sync::Arc;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use tercet_modules::outage::OUTAGE;

use super::Http;
use super::resource::{Resource, plain};

/// Web clients of every origin read it.
pub(super) fn resources(http: &Arc<Http>) -> Vec<Resource> {
    let http = http.clone();
    let answer = move |Path(domain): Path<String>| async move { outage(&http, &domain).await };
    vec![Resource::at("/outage/{domain}").cors("").get(answer)]
}

async fn outage(http: &Http, domain: &str) -> Response {
    let server = &http.c2s.server;
    let Some(host) = server.host(&domain.to_lowercase()) else {
        return plain(StatusCode::NOT_FOUND);
    };
    let json = [(header::CONTENT_TYPE, "application/json")];
    match server.store().get(&OUTAGE, host.domain(), "").await {
        Ok(Some(told)) => (json, told).into_response(),
        // XEP-0455 §2.2: nothing is wrong.
        Ok(None) => (json, "{}").into_response(),
        Err(error) => {
            tracing::error!(%error, "reading about an outage");
            plain(StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}
