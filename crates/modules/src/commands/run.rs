//! From a request to its answer.

use tercet_core::StanzaError;
use tercet_core::forms::{Form, FormKind};
use tercet_server::module::{IqCx, IqResult, Reply};

use super::session::Sessions;
use super::xml::{self, Action, Request, refuse};
use super::{Command, Who, find, rights};

pub(super) async fn run(sessions: &Sessions, cx: IqCx<'_>, request: Request) -> IqResult {
    let rights = rights(cx).await?;
    let command = find(&cx, &request.node);
    // Who may not run commands does not learn which there are.
    if rights != Some(Who::Admins) && !command.is_some_and(|command| command.is_for(rights)) {
        return Err(StanzaError::forbidden());
    }
    let command = command.ok_or_else(StanzaError::item_not_found)?;
    match &request.session {
        None => start(sessions, cx, command, request.action).await,
        Some(session) => go_on(sessions, cx, command, session, &request).await,
    }
}

async fn start(sessions: &Sessions, cx: IqCx<'_>, command: &Command, action: Action) -> IqResult {
    if action != Action::Execute {
        return Err(refuse(StanzaError::bad_request(), "bad-action"));
    }
    let id: [u8; 12] = cx.server.random();
    let id: String = id.iter().map(|b| format!("{b:02x}")).collect();
    let Some(form) = command.form else {
        return complete(cx, command, &id, Form::empty(FormKind::Submit)).await;
    };
    if !sessions.open(&id, cx.from, command.node, cx.server.now_ms()) {
        return Err(StanzaError::resource_constraint().text("too many commands are under way"));
    }
    Ok(xml::executing(command.node, &id, &form()))
}

async fn go_on(
    sessions: &Sessions,
    cx: IqCx<'_>,
    command: &Command,
    session: &str,
    request: &Request,
) -> IqResult {
    if !sessions.is_open(session, cx.from, command.node, cx.server.now_ms()) {
        return Err(refuse(StanzaError::bad_request(), "bad-sessionid"));
    }
    match request.action {
        Action::Cancel => {
            sessions.end(session);
            Ok(xml::canceled(command.node, session))
        }
        // XEP-0050 §4.4: there is one form, with nothing before it or behind it.
        Action::Previous | Action::Next => Err(refuse(StanzaError::bad_request(), "bad-action")),
        Action::Execute | Action::Complete => {
            let mut submitted = request
                .form
                .clone()
                .ok_or_else(|| refuse(StanzaError::bad_request(), "bad-payload"))?;
            if submitted.kind == FormKind::Cancel {
                // XEP-0050 §4.6.1
                submitted.kind = FormKind::Submit;
            }
            if let Some(form) = command.form {
                // What was left out can still be filled in: the session stays open.
                form()
                    .accept(&submitted)
                    .map_err(|error| refuse(error, "bad-payload"))?;
            }
            if !sessions.end(session) {
                return Err(refuse(StanzaError::bad_request(), "bad-sessionid"));
            }
            complete(cx, command, session, submitted).await
        }
    }
}

async fn complete(
    cx: IqCx<'_>,
    command: &Command,
    session: &str,
    form: Form,
) -> Result<Reply, StanzaError> {
    let outcome = (command.run)(cx, form).await?;
    tracing::info!(by = %cx.from, node = command.node, failed = outcome.note.as_ref().is_some_and(|n| n.0), "command");
    Ok(xml::completed(command.node, session, &outcome))
}
