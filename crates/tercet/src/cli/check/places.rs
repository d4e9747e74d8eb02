//! The places a server needs: its data folder and its ports.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::Finding;
use crate::admin::socket::Client;
use crate::config::{Config, Port};
use crate::listen::private_addresses;

/// Whether the data folder can be used.
pub(super) fn data_folder(config: &Config) -> Vec<Finding> {
    let folder = &config.data_dir;
    let subject = format!("data folder {}", folder.display());
    let mend = "Let the user that runs Tercet own it (chown), or set data_dir to another folder.";
    let existing = folder
        .ancestors()
        .find(|path| path.exists() || path.as_os_str().is_empty());
    let existing = match existing {
        Some(path) if !path.as_os_str().is_empty() => path,
        _ => Path::new("."),
    };
    if let Err(error) = writable(existing) {
        let message = format!("{} cannot be written to: {error}", existing.display());
        return vec![Finding::fault(subject, message, mend)];
    }
    if existing != folder {
        return vec![Finding::ok(subject, "will be made at the first start")];
    }
    let mode = fs::metadata(folder).map_or(0, |metadata| metadata.permissions().mode());
    match mode & 0o077 {
        0 => vec![Finding::ok(
            subject,
            "writable, and readable by its owner only",
        )],
        _ => vec![Finding::warning(
            subject,
            "other users of this machine may look into it",
            format!("Run `chmod 700 {}`.", folder.display()),
        )],
    }
}

/// Makes and removes a file: permissions alone do not tell (read-only file systems, full disks).
fn writable(folder: &Path) -> std::io::Result<()> {
    let probe = folder.join(format!(".tercet-check-{}", std::process::id()));
    fs::write(&probe, b"probe")?;
    fs::remove_file(&probe)
}

/// Whether the ports can be opened.
pub(super) fn ports(config: &Config) -> Vec<Finding> {
    if let Ok(Some(_)) = Client::connect(&config.data_dir) {
        return vec![Finding::ok("ports", "the server runs; they were not tried")];
    }
    let all = config.addresses();
    let private = private_addresses(&all.0, all.1);
    let component = match &config.listen.component_addresses {
        Some(addresses) => (addresses.clone(), true),
        None => private.clone(),
    };
    let component_port = match config.components.is_empty() {
        true => Port::Off,
        false => config.listen.component,
    };
    let proxy_port = match config.hosts.iter().any(|host| host.proxy.enabled) {
        true => config.listen.proxy,
        false => Port::Off,
    };
    let mut findings = Vec::new();
    for (name, port, (addresses, named)) in [
        ("c2s", config.listen.c2s, &all),
        ("c2s_tls", config.listen.c2s_tls, &all),
        ("component", component_port, &component),
        ("proxy", proxy_port, &all),
        ("http", config.listen.http, &private),
        ("https", config.listen.https, &all),
    ] {
        let port = match port {
            Port::Off => continue,
            Port::At(0) => {
                findings.push(Finding::ok(format!("listen.{name}"), "any free port"));
                continue;
            }
            Port::At(port) => port,
        };
        let tried: Vec<Finding> = addresses
            .iter()
            .filter_map(|address| try_port(name, *address, port, *named))
            .collect();
        if tried.is_empty() {
            let places: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
            findings.push(Finding::ok(
                format!("port {port} (listen.{name})"),
                format!("free on {}", places.join(", ")),
            ));
        }
        findings.extend(tried);
    }
    findings
}

fn try_port(name: &str, address: IpAddr, port: u16, named: bool) -> Option<Finding> {
    let error = TcpListener::bind(SocketAddr::new(address, port)).err()?;
    let subject = format!("port {port} (listen.{name}) on {address}");
    Some(match error.kind() {
        ErrorKind::AddrInUse => Finding::fault(
            subject,
            "another process listens there",
            format!(
                "Stop that process (`ss -ltnp` shows it), or set listen.{name} to another port."
            ),
        ),
        ErrorKind::PermissionDenied => Finding::fault(
            subject,
            "this user may not listen there",
            format!("Ports below 1024 need a privilege: set listen.{name} to a higher port."),
        ),
        // A machine without IPv6 is served all the same, unless the file asks for it.
        ErrorKind::AddrNotAvailable | ErrorKind::Unsupported if !named => {
            Finding::ok(subject, "this machine has no such address; it is left out")
        }
        ErrorKind::AddrNotAvailable => Finding::fault(
            subject,
            "this machine has no such address",
            "Correct listen.addresses.",
        ),
        _ => Finding::fault(
            subject,
            format!("cannot be opened: {error}"),
            format!("Correct listen.addresses or listen.{name}."),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_port_in_use_is_a_fault_and_a_free_one_is_not() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let text = format!(
            "[listen]\naddresses = [\"127.0.0.1\"]\nc2s = {port}\nc2s_tls = 0\nhttp = 0\nhttps = 0\nproxy = 0\n"
        );
        let (mut config, faults) = Config::parse(&text, Path::new(""));
        assert_eq!(faults, []);
        config.data_dir = "/nonexistent".into();
        let verdicts: Vec<_> = ports(&config).iter().map(|f| f.verdict).collect();
        use Verdict::{Fault, Ok};
        assert_eq!(verdicts, [Fault, Ok, Ok, Ok, Ok]);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_fine_and_a_file_in_its_place_is_not() {
        let path = std::env::temp_dir().join(format!("tercet-check-{}", std::process::id()));
        let mut config = Config {
            data_dir: path.join("new"),
            ..Config::default()
        };
        assert_eq!(data_folder(&config)[0].verdict, Verdict::Ok);
        fs::write(&path, "").unwrap();
        config.data_dir = path.clone();
        assert_eq!(data_folder(&config)[0].verdict, Verdict::Fault);
        fs::remove_file(&path).unwrap();
    }
}
