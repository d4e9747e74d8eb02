//! `tercet check`: what would keep the server from starting or serving well, each with a sentence on how to mend it.

mod certificate;
mod places;

use serde::Serialize;

use super::{Failure, output};
use crate::config::section::Section;
use crate::config::{Config, Registration, RegistrationPolicy};

/// Secrets with fewer characters may be guessed.
const SHORT_SECRET: usize = 16;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// Works, and is probably not meant.
    Warning,
    /// Does not work.
    Fault,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    /// What was looked at, as in `certificate of example.org`.
    subject: String,
    /// What was found.
    message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Finding {
    pub(super) fn ok(subject: impl Into<String>, message: impl Into<String>) -> Finding {
        Finding::new(Verdict::Ok, subject, message, None)
    }
    pub(super) fn warning(
        subject: impl Into<String>,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) -> Finding {
        Finding::new(Verdict::Warning, subject, message, Some(mend.into()))
    }
    pub(super) fn fault(
        subject: impl Into<String>,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) -> Finding {
        Finding::new(Verdict::Fault, subject, message, Some(mend.into()))
    }
    fn new(
        verdict: Verdict,
        subject: impl Into<String>,
        message: impl Into<String>,
        mend: Option<String>,
    ) -> Finding {
        Finding {
            verdict,
            subject: subject.into(),
            message: message.into(),
            mend,
        }
    }
}

/// Looks at everything. `config` has been read without faults, or we would not be here.
pub(super) fn run(config: &Config, json: bool) -> Result<(), Failure> {
    let file = config.file.as_ref().map_or_else(
        || "no file: the built-in defaults".to_owned(),
        |file| file.display().to_string(),
    );
    let mut findings = vec![Finding::ok("configuration", file)];
    findings.extend(settings(config));
    for host in &config.hosts {
        findings.extend(certificate::look(config, host));
    }
    findings.extend(places::data_folder(config));
    findings.extend(places::ports(config));
    let count = |verdict| findings.iter().filter(|f| f.verdict == verdict).count();
    let (faults, warnings) = (count(Verdict::Fault), count(Verdict::Warning));
    if json {
        let answer = serde_json::json!({ "ok": faults == 0, "findings": findings });
        output::line(answer);
    } else {
        for finding in &findings {
            output::text(shown(finding));
        }
    }
    match faults {
        0 => {
            if !json {
                let besides = match warnings {
                    0 => String::new(),
                    _ => format!("; {}", counted(warnings, "warning")),
                };
                output::line(format_args!("Nothing is in the way of a start{besides}."));
            }
            Ok(())
        }
        _ if json => Err(Failure::Said),
        _ => Err(Failure::Other(format!(
            "{}, {}",
            counted(faults, "fault"),
            counted(warnings, "warning")
        ))),
    }
}

fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// As it stands on the terminal.
pub(super) fn shown(finding: &Finding) -> String {
    let verdict = match finding.verdict {
        Verdict::Ok => "ok     ",
        Verdict::Warning => "warning",
        Verdict::Fault => "FAULT  ",
    };
    let mut text = format!("{verdict}  {}: {}\n", finding.subject, finding.message);
    if let Some(mend) = &finding.mend {
        text.push_str(&format!("         -> {mend}\n"));
    }
    text
}

/// Settings that are meant for laboratories, or dangerous.
fn settings(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !config.limits.rates {
        findings.push(Finding::warning(
            "limits.rates",
            "nothing is rate-limited",
            "Remove `rates = false` from [limits] unless this is a laboratory.",
        ));
    }
    for host in &config.hosts {
        let domain = host.domain.as_str();
        if !host.tls.required {
            findings.push(Finding::warning(
                format!("tls.required of {domain}"),
                "clients may log in without TLS, readable for everybody on the way",
                "Remove `required = false` from [tls] unless this is a laboratory.",
            ));
        }
        match host.registration.policy {
            RegistrationPolicy::Open => findings.push(Finding::warning(
                format!("{}.policy of {domain}", Registration::TABLE),
                "everybody may make accounts, spammers included",
                "Set it to \"closed\" unless that is what you want.",
            )),
            RegistrationPolicy::Invite | RegistrationPolicy::Closed => {}
        }
    }
    for component in &config.components {
        if component.secret.reveal().len() < SHORT_SECRET {
            findings.push(Finding::warning(
                format!("secret of the component {}", component.domain.as_str()),
                "it is short, and may be guessed",
                "Take a long random one: `openssl rand -hex 32` makes it.",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn laboratory_settings_are_pointed_out() {
        let text = "registration.policy = \"open\"\n[tls]\nrequired = false\n[limits]\nrates = false\n[[component]]\ndomain = \"irc.localhost\"\nsecret = \"short\"\n";
        let (config, faults) = Config::parse(text, Path::new(""));
        assert_eq!(faults, []);
        let subjects: Vec<_> = settings(&config)
            .into_iter()
            .map(|f| (f.verdict, f.subject))
            .collect();
        let expected = [
            "limits.rates",
            "tls.required of localhost",
            "registration.policy of localhost",
            "secret of the component irc.localhost",
        ];
        assert_eq!(subjects, expected.map(|s| (Verdict::Warning, s.to_owned())));
        assert_eq!(settings(&Config::default()), []);
    }
}
