//! The PROXY protocol, version 2: the header in which a load balancer says for whom it connects.
//!
//! Version 1, a line of text, is refused: it has no length before its content, and every balancer that speaks it speaks
//! version 2 too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How every header begins (PROXY protocol §2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes before the addresses.
const FIXED: usize = 16;
/// The longest header that is read, in bytes: addresses and a few remarks of the balancer.
pub const HEADER_BYTES: usize = 2048;

/// PROXY protocol §2.2.3: a checksum of the header.
const CRC32C: u8 = 0x03;
/// PROXY protocol §2.2.7: what the client's TLS is.
const SSL: u8 = 0x20;

/// How far the reading of a header has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes more, at least, belong to the header.
    Need(usize),
    /// It is complete.
    Done(Source),
}

/// For whom the balancer connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// For itself, to see whether we live, or for someone without an address.
    Itself,
    /// For a client.
    Client {
        /// The client's address, one of IPv4 as such.
        address: SocketAddr,
        /// The client speaks TLS with the balancer.
        tls: bool,
    },
}

/// Why a header is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Something else than a header comes.
    #[error("no header of the PROXY protocol")]
    Missing,
    /// It is of another version than 2.
    #[error("a header of another version than 2 of the PROXY protocol")]
    Version,
    /// It is longer than [`HEADER_BYTES`].
    #[error("a header of the PROXY protocol that is too long")]
    TooLong,
    /// Its content breaks the rules.
    #[error("a malformed header of the PROXY protocol")]
    Malformed,
    /// It is about another transport than TCP.
    #[error("a header of the PROXY protocol about another transport than TCP")]
    Transport,
    /// The checksum is that of another header.
    #[error("a header of the PROXY protocol with a wrong checksum")]
    Checksum,
}

/// Reads the header that `bytes`, all that came so far, begin with. Who reads no more than [`Progress::Need`] says has not
/// read past its end.
///
/// # Errors
/// The first fault, as soon as it shows.
pub fn read(bytes: &[u8]) -> Result<Progress, Fault> {
    let begun = bytes.len().min(SIGNATURE.len());
    if bytes[..begun] != SIGNATURE[..begun] {
        let text = bytes.len().min(6);
        return Err(match text > 0 && bytes[..text] == b"PROXY "[..text] {
            true => Fault::Version,
            false => Fault::Missing,
        });
    }
    let Some(fixed) = bytes.first_chunk::<FIXED>() else {
        return Ok(Progress::Need(FIXED - bytes.len()));
    };
    let [.., command, transport, high, low] = *fixed;
    if command >> 4 != 2 {
        return Err(Fault::Version);
    }
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > HEADER_BYTES {
        return Err(Fault::TooLong);
    }
    let Some(header) = bytes.get(..length) else {
        return Ok(Progress::Need(length - bytes.len()));
    };
    let rest = &header[FIXED..];
    match command & 0xf {
        // PROXY protocol §2.2: the connection is what it is, and the rest is ignored.
        0 => return Ok(Progress::Done(Source::Itself)),
        1 => {}
        _ => return Err(Fault::Malformed),
    }
    let (address, remarks) = match transport {
        0x00 => (None, None),
        0x11 => {
            let (bytes, remarks) = rest.split_first_chunk::<12>().ok_or(Fault::Malformed)?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *bytes;
            let ip = IpAddr::V4(Ipv4Addr::new(a, b, c, d));
            let port = u16::from_be_bytes([high, low]);
            (Some(SocketAddr::new(ip, port)), Some(remarks))
        }
        0x21 => {
            let (bytes, remarks) = rest.split_first_chunk::<36>().ok_or(Fault::Malformed)?;
            let (ip, others) = bytes.split_first_chunk::<16>().ok_or(Fault::Malformed)?;
            let ip = IpAddr::V6(Ipv6Addr::from(*ip)).to_canonical();
            let port = u16::from_be_bytes([others[16], others[17]]);
            (Some(SocketAddr::new(ip, port)), Some(remarks))
        }
        0x31 => (None, Some(rest.get(216..).ok_or(Fault::Malformed)?)),
        0x12 | 0x22 | 0x32 => return Err(Fault::Transport),
        _ => return Err(Fault::Malformed),
    };
    // PROXY protocol §2.2: without a known transport nothing behind it means anything.
    let remarks = remarks.map_or(Ok(Remarks::default()), |bytes| remarks_in(header, bytes))?;
    Ok(Progress::Done(match address {
        None => Source::Itself,
        Some(address) => Source::Client {
            address,
            tls: remarks.tls,
        },
    }))
}

#[derive(Default)]
struct Remarks {
    tls: bool,
}

/// Reads the vectors at the end of `header`.
fn remarks_in(header: &[u8], mut bytes: &[u8]) -> Result<Remarks, Fault> {
    let mut remarks = Remarks::default();
    while let Some(([kind, high, low], rest)) = bytes.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, rest) = rest.split_at_checked(length).ok_or(Fault::Malformed)?;
        let at = header.len() - rest.len() - length;
        bytes = rest;
        match *kind {
            CRC32C => {
                let sum: [u8; 4] = value.try_into().map_err(|_| Fault::Malformed)?;
                // PROXY protocol §2.2.3: reckoned as if the checksum were zeros.
                let zeroed = [&header[..at], &[0; 4], &header[at + 4..]].concat();
                if crc32c(&zeroed) != u32::from_be_bytes(sum) {
                    return Err(Fault::Checksum);
                }
            }
            SSL => {
                let [client, ..] = value else {
                    return Err(Fault::Malformed);
                };
                remarks.tls = client & 1 != 0;
            }
            _ => {}
        }
    }
    match bytes.is_empty() {
        true => Ok(remarks),
        false => Err(Fault::Malformed),
    }
}

/// RFC 9260, Appendix A.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc = (crc >> 1) ^ (0x82f6_3b78 & carry.wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUR: [u8; 12] = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 0x14, 0x66];

    fn header(command: u8, transport: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, transport]);
        bytes.extend((rest.len() as u16).to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    fn vector(kind: u8, value: &[u8]) -> Vec<u8> {
        let length = (value.len() as u16).to_be_bytes();
        [&[kind], length.as_slice(), value].concat()
    }

    fn client(address: &str, tls: bool) -> Result<Progress, Fault> {
        let address = address.parse().unwrap();
        Ok(Progress::Done(Source::Client { address, tls }))
    }

    const ITSELF: Result<Progress, Fault> = Ok(Progress::Done(Source::Itself));

    #[test]
    fn a_header_names_the_client() {
        assert_eq!(
            read(&header(0x21, 0x11, &FOUR)),
            client("192.0.2.1:4660", false)
        );
        let mut six = [0; 36];
        six[..16].copy_from_slice(&"2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        six[33] = 80;
        assert_eq!(
            read(&header(0x21, 0x21, &six)),
            client("[2001:db8::1]:80", false)
        );
        six[..16].copy_from_slice(&"::ffff:192.0.2.1".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(
            read(&header(0x21, 0x21, &six)),
            client("192.0.2.1:80", false)
        );
        let ssl = [FOUR.as_slice(), &vector(SSL, &[1, 0, 0, 0, 0])].concat();
        assert_eq!(
            read(&header(0x21, 0x11, &ssl)),
            client("192.0.2.1:4660", true)
        );
        let none = [
            FOUR.as_slice(),
            &vector(SSL, &[0, 0, 0, 0, 0]),
            &vector(0xee, b"x"),
        ]
        .concat();
        assert_eq!(
            read(&header(0x21, 0x11, &none)),
            client("192.0.2.1:4660", false)
        );
    }

    #[test]
    fn a_balancer_may_come_for_itself() {
        assert_eq!(read(&header(0x20, 0x00, &[])), ITSELF);
        assert_eq!(read(&header(0x20, 0x11, &FOUR)), ITSELF);
        assert_eq!(read(&header(0x21, 0x00, b"anything")), ITSELF);
        assert_eq!(read(&header(0x21, 0x31, &[0; 216])), ITSELF);
    }

    /// security.md, line 4.
    #[test]
    fn what_is_no_header_is_refused_as_soon_as_it_shows() {
        for (bytes, fault) in [
            (b"<stream".to_vec(), Fault::Missing),
            (b"\r\n\r\nx".to_vec(), Fault::Missing),
            (b"PROXY TCP4".to_vec(), Fault::Version),
            (header(0x11, 0x11, &FOUR), Fault::Version),
            (header(0x22, 0x11, &FOUR), Fault::Malformed),
            (header(0x21, 0x12, &FOUR), Fault::Transport),
            (header(0x21, 0x41, &FOUR), Fault::Malformed),
            (header(0x21, 0x11, &FOUR[..11]), Fault::Malformed),
            (header(0x21, 0x21, &[0; 35]), Fault::Malformed),
            (header(0x21, 0x31, &[0; 215]), Fault::Malformed),
            (
                header(0x21, 0x11, &[FOUR.as_slice(), &[1]].concat()),
                Fault::Malformed,
            ),
            (
                header(0x21, 0x11, &[FOUR.as_slice(), &[4, 0, 9]].concat()),
                Fault::Malformed,
            ),
            (
                header(0x21, 0x11, &[FOUR.as_slice(), &vector(SSL, &[])].concat()),
                Fault::Malformed,
            ),
            (
                header(0x21, 0x11, &[0; 4000])[..FIXED].to_vec(),
                Fault::TooLong,
            ),
        ] {
            assert_eq!(read(&bytes), Err(fault), "{bytes:?}");
        }
    }

    #[test]
    fn a_checksum_has_to_fit() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        let mut bytes = header(
            0x21,
            0x11,
            &[FOUR.as_slice(), &vector(CRC32C, &[0; 4])].concat(),
        );
        let sum = crc32c(&bytes).to_be_bytes();
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&sum);
        assert_eq!(read(&bytes), client("192.0.2.1:4660", false));
        bytes[at] ^= 1;
        assert_eq!(read(&bytes), Err(Fault::Checksum));
        let short = [FOUR.as_slice(), &vector(CRC32C, &[0; 3])].concat();
        assert_eq!(read(&header(0x21, 0x11, &short)), Err(Fault::Malformed));
    }

    #[test]
    fn nothing_behind_the_header_is_asked_for() {
        let whole = header(0x21, 0x11, &FOUR);
        let mut had = 0;
        while let Progress::Need(more) = read(&whole[..had]).unwrap() {
            assert!(more > 0);
            had += more;
        }
        assert_eq!(had, whole.len());
        for length in 0..whole.len() {
            assert!(
                matches!(read(&whole[..length]), Ok(Progress::Need(_))),
                "{length}"
            );
        }
    }
}
