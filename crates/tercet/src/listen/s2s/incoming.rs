//! Streams that other servers open.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tercet_stream::s2s::S2sStream;
use tokio::net::TcpStream;

use super::S2s;
use super::link::{Link, Told};
use crate::listen::gate::Pass;
use crate::runtime::Load;

/// Serves a connection that a server has made, to its end. `direct`: TLS from the first byte.
pub(in crate::listen) async fn serve(
    s2s: Arc<S2s>,
    socket: TcpStream,
    peer: SocketAddr,
    direct: bool,
    mut pass: Pass,
    _load: Load,
) -> io::Result<()> {
    let tls = match direct {
        true => Some(s2s.direct.start(None).map_err(io::Error::other)?),
        false => None,
    };
    let (config, seed) = (s2s.streams.load_full(), s2s.server.random());
    let stream = S2sStream::receiving(config, Instant::now(), seed);
    let mut link = Link::new(s2s, socket, peer, tls, stream, None);
    loop {
        match link.next().await {
            Told::Authenticated => pass.authenticated(),
            Told::Ended(ending) => {
                link.leave(&ending);
                return Ok(());
            }
            _ => {}
        }
    }
}
