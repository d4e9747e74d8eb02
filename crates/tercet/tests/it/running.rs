//! A running server: what it says, accounts through its admin socket, reload, end.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use crate::lab::Lab;

const CONFIG: &str =
    "[listen]\naddresses = [\"127.0.0.1\"]\nc2s = 0\nc2s_tls = 0\nproxy = 0\nhttp = 0\nhttps = 0\n";

#[test]
fn the_start_names_listeners_authority_and_the_command_for_the_first_account() {
    let lab = Lab::with(CONFIG);
    let served = lab.serve();
    assert_eq!(served.start["event"], "listening");
    assert_eq!(served.start["domains"], serde_json::json!(["localhost"]));
    for purpose in ["c2s", "c2s_tls", "http", "https"] {
        TcpStream::connect(served.address(purpose)).unwrap();
    }
    let authority = fs::read_to_string(served.start["ca_file"].as_str().unwrap()).unwrap();
    assert!(authority.starts_with("-----BEGIN CERTIFICATE-----"));
    let command = served.start["account_command"].as_str().unwrap();
    assert!(
        command.ends_with(" user add you@localhost --admin"),
        "{command}"
    );
    assert_eq!(served.end(), Some(0));
}

#[test]
fn people_get_the_same_in_a_few_lines_and_ready_on_a_line_of_its_own() {
    let lab = Lab::with(CONFIG);
    let mut child = lab
        .command("--config tercet.toml")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let mut lines = out.lines().map(Result::unwrap);
    let said: Vec<String> = lines.by_ref().take_while(|line| line != "ready").collect();
    assert!(said.len() <= 9, "{said:#?}");
    assert!(said[0].ends_with("serves localhost"), "{said:#?}");
    assert!(said.iter().any(|line| line.contains("ca.crt")), "{said:#?}");
    assert!(
        said.iter()
            .any(|line| line.contains("--config tercet.toml user add you@localhost --admin")),
        "{said:#?}"
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn accounts_are_managed_while_the_server_runs_and_are_there_after_a_restart() {
    let lab = Lab::with(CONFIG);
    let served = lab.serve();
    let socket = lab.path().join("data/admin.sock");
    assert_eq!(
        fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o600
    );
    lab.ok("--config tercet.toml user add admin@localhost --password admin --admin");
    let again = lab.run("--config tercet.toml user add admin@localhost --password admin --admin");
    assert_eq!(again.code, 1);
    assert_eq!(
        again.err,
        "tercet: the account admin@localhost exists already\n"
    );
    lab.ok("user add romeo@localhost --password rose");
    lab.ok("user password romeo@localhost --password thorn");
    lab.ok("user add juliet@localhost --password x");
    lab.ok("user delete juliet@localhost");
    assert_eq!(
        lab.ok("user list").out,
        "admin@localhost  (admin)\nromeo@localhost\n"
    );
    assert_eq!(served.end(), Some(0));
    assert!(!socket.exists());
    assert_eq!(
        lab.ok("user list").out,
        "admin@localhost  (admin)\nromeo@localhost\n"
    );
    let served = lab.serve();
    assert!(
        served.start["account_command"]
            .as_str()
            .unwrap()
            .ends_with("user add you@localhost")
    );
    lab.ok("user show admin@localhost");
    assert!(!lab.log().contains("thorn"), "no password is logged");
    assert_eq!(served.end(), Some(0));
}

#[test]
fn what_was_acknowledged_survives_a_kill_and_the_next_start_needs_no_help() {
    let lab = Lab::with(CONFIG);
    let served = lab.serve();
    lab.ok("user add romeo@localhost --password rose");
    served.signal(Signal::KILL);
    drop(served);
    assert_eq!(lab.ok("user list").out, "romeo@localhost\n");
    assert_eq!(lab.serve().end(), Some(0));
}

#[test]
fn a_second_server_on_the_same_data_folder_is_refused() {
    let lab = Lab::with(CONFIG);
    let served = lab.serve();
    let second = lab.run("serve");
    assert_eq!(second.code, 1);
    assert!(
        second.err.contains("is in use by another process (pid "),
        "{}",
        second.err
    );
    let check = lab.ok("check").out;
    assert!(check.contains("the server runs"), "{check}");
    assert_eq!(served.end(), Some(0));
}

#[test]
fn a_port_in_use_is_said_in_a_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let lab = Lab::with(&CONFIG.replace("c2s = 0", &format!("c2s = {port}")));
    let said = lab.run("serve");
    assert_eq!(said.code, 1);
    assert!(
        said.err
            .contains(&format!("cannot listen on 127.0.0.1:{port}")),
        "{}",
        said.err
    );
    assert!(said.err.contains("`tercet check`"), "{}", said.err);
}

#[test]
fn reload_applies_what_it_can_names_the_rest_and_keeps_the_old_on_faults() {
    let lab = Lab::with(CONFIG);
    let served = lab.serve();
    lab.write("tercet.toml", "domian = \"x\"\n");
    served.signal(Signal::HUP);
    lab.logs("not reloaded, the old settings stay: tercet.toml:1:1: domian: unknown key; did you mean domain?");
    lab.write("tercet.toml", &format!("{CONFIG}component = 1\n[limits]\nrates = false\nroster_items = 10\n[[host]]\ndomain = \"localhost\"\n[[host]]\ndomain = \"second.test\"\n"));
    served.signal(Signal::HUP);
    lab.logs("applied host second.test");
    lab.logs("limits.rates");
    lab.logs("these changes take effect at the next start: limits.roster_items");
    lab.ok("user add romeo@second.test --password rose");
    lab.write("tercet.toml", CONFIG);
    served.signal(Signal::HUP);
    lab.logs("these changes take effect at the next start: host second.test taken away");
    lab.ok("user add juliet@second.test --password rose");
    assert_eq!(served.end(), Some(0));
}

#[test]
fn the_end_is_told_to_clients() {
    let lab = Lab::with(CONFIG);
    let served = lab.serve();
    let mut client = TcpStream::connect(served.address("c2s")).unwrap();
    client
        .write_all(
            b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
              xmlns:stream='http://etherx.jabber.org/streams'>",
        )
        .unwrap();
    let mut seen = Vec::new();
    let mut reader = BufReader::new(client.try_clone().unwrap());
    while !seen.ends_with(b"</stream:features>") {
        assert_ne!(reader.read_until(b'>', &mut seen).unwrap(), 0);
    }
    assert_eq!(served.end(), Some(0));
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("<system-shutdown"), "{rest}");
    assert!(rest.ends_with("</stream:stream>"), "{rest}");
}

#[test]
fn an_outage_is_read_by_every_origin_until_it_is_over() {
    let lab = Lab::with(CONFIG);
    let served = lab.serve();
    let ask = |path: &str| {
        let mut socket = TcpStream::connect(served.address("http")).unwrap();
        let head = "Host: localhost\r\nOrigin: https://x.example\r\nConnection: close\r\n\r\n";
        write!(socket, "GET {path} HTTP/1.1\r\n{head}").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    };
    let quiet = ask("/outage/localhost");
    assert!(quiet.starts_with("HTTP/1.1 200 "), "{quiet}");
    assert!(quiet.contains("access-control-allow-origin: *"), "{quiet}");
    assert!(quiet.ends_with("\r\n\r\n{}"), "{quiet}");
    lab.ok("outage set Update --planned --from 2030-01-31T12:00:00Z --until 2030-01-31T13:00:00Z");
    let told = "{\"planned\":true,\"beginning\":\"2030-01-31T12:00:00Z\",\
                \"expected_end\":\"2030-01-31T13:00:00Z\",\"message\":{\"default\":\"Update\"}}";
    let answer = ask("/outage/localhost");
    assert!(answer.ends_with(told), "{answer}");
    let shown = lab.ok("outage show").out;
    assert!(
        shown.starts_with("localhost  planned, from 2030-01-31T12:00:00Z"),
        "{shown}"
    );
    assert!(ask("/outage/elsewhere.example").starts_with("HTTP/1.1 404 "));
    lab.ok("outage clear");
    assert!(ask("/outage/localhost").ends_with("{}"));
    let wrong = lab.run("outage set x --from soon");
    assert_eq!(wrong.code, 1);
    assert!(wrong.err.contains("is not a time"), "{}", wrong.err);
}
