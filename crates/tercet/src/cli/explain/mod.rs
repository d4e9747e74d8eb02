//! `tercet explain domain …`: the way to another server, each step with its result and the mend. Works whether this
//! server runs or not.

mod probe;
mod stream;
#[cfg(test)]
mod tests;

use std::time::SystemTime;

use tercet_core::Condition;
use tercet_stream::s2s::DialbackSecret;

use super::args::Explain as Command;
use super::check::{Finding, Verdict, shown};
use super::{Failure, output};
use crate::admin::socket::Client;
use crate::admin::{Answer, Operation};
use crate::config::{Config, Domain};
use crate::listen::CertificateSettings;
use crate::reach::{Reach, Service, Srv, Unreachable, srv_name};
use crate::tls::{Certificates, TlsConnector, TlsError};
use probe::Probe;

/// Addresses that are tried; the way of a stanza ends at the first that works.
const ADDRESSES: usize = 6;

pub(super) fn run(config: &Config, command: &Command, json: bool) -> Result<(), Failure> {
    let Command::Domain { domain, from } = command;
    let normal = |text: &str| Domain::parse(text).map_err(Failure::Other);
    let domain = normal(domain)?;
    let from = match from {
        Some(from) => normal(from)?,
        None => config.hosts[0].domain.clone(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("this machine is out of resources: {error}")))?;
    let mut findings = Vec::new();
    let secret = secret(config, &mut findings);
    let way = way(config, from.as_str(), domain.as_str(), secret, findings);
    let (findings, reached) = runtime.block_on(way)?;
    let (domain, from) = (domain.as_str(), from.as_str());
    if json {
        output::line(serde_json::json!({
            "ok": reached, "domain": domain, "from": from, "findings": findings,
        }));
    } else {
        for finding in &findings {
            output::text(shown(finding));
        }
    }
    match reached {
        true => {
            if !json {
                output::line(format_args!("{from} reaches {domain}."));
            }
            Ok(())
        }
        false if json => Err(Failure::Said),
        false => Err(Failure::Other(format!("{from} does not reach {domain}"))),
    }
}

/// What is found on the way, and whether it leads there.
async fn way(
    config: &Config,
    from: &str,
    domain: &str,
    secret: DialbackSecret,
    mut findings: Vec<Finding>,
) -> Result<(Vec<Finding>, bool), Failure> {
    let connector = connector(config, &mut findings)
        .map_err(|error| Failure::Other(format!("our own certificates: {error}")))?;
    let reach = Reach::new(&config.federation)
        .map_err(|error| Failure::Other(format!("the resolver: {error}")))?;
    let mut reached = false;
    let targets = match targets(&reach, domain, &mut findings).await {
        Ok(targets) => targets,
        Err(error) => {
            findings.push(unreachable("DNS", &error));
            return Ok((findings, false));
        }
    };
    let probe = Probe::new(connector, reach.clone(), secret, from, domain);
    let mut left = ADDRESSES;
    for target in &targets {
        let host = target.host.escape_debug();
        let addresses = match reach.addresses(&target.host).await {
            Ok(addresses) => addresses,
            Err(error) => {
                findings.push(unreachable(&format!("DNS {host}"), &error));
                continue;
            }
        };
        if target.host.parse::<std::net::IpAddr>().is_err() {
            let texts: Vec<String> = addresses.iter().map(|a| a.to_string()).collect();
            findings.push(Finding::ok(format!("DNS {host}"), texts.join(", ")));
        }
        for address in addresses.into_iter().take(left) {
            left -= 1;
            reached |= probe.look(address, target, &mut findings).await;
        }
    }
    if reached {
        // One way is enough.
        for finding in &mut findings {
            if finding.verdict == Verdict::Fault {
                finding.verdict = Verdict::Warning;
            }
        }
    }
    Ok((findings, reached))
}

/// The secret of the running server's dialback keys; any, if none runs.
fn secret(config: &Config, findings: &mut Vec<Finding>) -> DialbackSecret {
    let bytes = match Client::connect(&config.data_dir) {
        Ok(Some(mut client)) => match client.ask(&Operation::DialbackSecret {}) {
            Ok(Ok(Answer::DialbackSecret { secret })) => decoded(secret.reveal()),
            _ => None,
        },
        _ => None,
    };
    let secret = bytes.unwrap_or_else(|| {
        findings.push(Finding::warning(
            "dialback",
            "the server does not run here, or belongs to another user, so nobody will vouch for it",
            "Start it, or run this as its user. Where certificates do, nothing has to be done.",
        ));
        let mut any = [0; 32];
        // Keys by it are known to nobody: any will do where there is no randomness.
        let _ = aws_lc_rs::rand::fill(&mut any);
        any
    });
    DialbackSecret::new(&secret)
}

fn decoded(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        let digits = digits.get(2 * place..2 * place + 2)?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(bytes)
}

/// What the configuration or the DNS says.
async fn targets(
    reach: &Reach,
    domain: &str,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Service>, Unreachable> {
    if let Some(route) = reach.route(domain) {
        let message = format!("{route}; the DNS is not asked");
        findings.push(Finding::ok("federation.routes", message));
        return reach.targets(domain).await;
    }
    if domain
        .trim_matches(['[', ']'])
        .parse::<std::net::IpAddr>()
        .is_ok()
    {
        return reach.targets(domain).await;
    }
    let (starttls, direct) = tokio::join!(reach.srv(domain, false), reach.srv(domain, true));
    for (answer, direct) in [(&starttls, false), (&direct, true)] {
        let subject = format!("DNS {}.{domain}", srv_name(direct));
        findings.push(match answer {
            Ok(srv) => Finding::ok(subject, records(srv)),
            Err(error) => unreachable(&subject, error),
        });
    }
    let none = |answer: &Result<Srv, _>| answer.as_ref().is_ok_and(|srv| srv.services.is_empty());
    if none(&starttls) && none(&direct) {
        let message = format!("no SRV record: {domain} itself, port 5269");
        findings.push(Finding::ok("DNS", message));
    }
    reach.planned(domain, starttls, direct)
}

fn records(srv: &Srv) -> String {
    if srv.services.is_empty() {
        return "no record".to_owned();
    }
    let texts = srv.services.iter().map(|service| {
        let Service {
            priority,
            weight,
            host,
            port,
            ..
        } = service;
        match host.is_empty() {
            true => "there is no such service".to_owned(),
            false => {
                let host = host.escape_debug();
                format!("{host} port {port} (priority {priority}, weight {weight})")
            }
        }
    });
    texts.collect::<Vec<_>>().join(", ")
}

fn unreachable(subject: &str, error: &Unreachable) -> Finding {
    let mend = match error.condition {
        Condition::RemoteServerNotFound => {
            "Is the domain spelled right? Else its operator has to mend its DNS records."
        }
        _ => "See whether this machine's DNS servers answer; federation.dns_servers names others.",
    };
    Finding::fault(subject, error.text.clone(), mend)
}

/// Shows our certificate, where there is one: nothing is made for this.
fn connector(config: &Config, findings: &mut Vec<Finding>) -> Result<TlsConnector, TlsError> {
    let configured = |host: &crate::config::Host| host.tls.certificate.is_some();
    let made = config.data_dir.join("server.crt").exists();
    if made || config.hosts.iter().all(configured) {
        let files = CertificateSettings::new(config, SystemTime::now())?;
        return TlsConnector::new(Certificates::load(files.files, files.ca_files)?);
    }
    findings.push(Finding::warning(
        "our certificate",
        "there is none yet, so we show none",
        "Set certificate and key in [tls], or start the server once.",
    ));
    let files = config
        .hosts
        .iter()
        .filter_map(|host| host.tls.ca_file.clone());
    TlsConnector::without_certificate(&files.collect::<Vec<_>>())
}
