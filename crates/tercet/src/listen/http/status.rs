//! `/status`, for probes: whoever is asked is alive.

use axum::http::header;
use axum::response::IntoResponse;

use super::resource::Resource;

pub(super) fn resources() -> Vec<Resource> {
    vec![Resource::at("/status").get(status)]
}

async fn status() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "application/json")],
        "{\"status\":\"ok\"}\n",
    )
}
