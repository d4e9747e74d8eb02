//! Headers of the PROXY protocol: never a word about bytes behind them, the same result however they come.

use tercet_stream::proxy::{HEADER_BYTES, Progress, read};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "proxy_header",
    run,
    dictionary: &[
        "\r\n\r\n\0\r\nQUIT\n",
        "PROXY TCP4 ",
        "\u{21}\u{11}\0\u{c}",
        "\u{3}\0\u{4}",
        " \0\u{5}",
    ],
};

fn run(data: &[u8]) {
    let whole = read(data);
    let mut had = 0;
    let step = loop {
        match read(&data[..had]) {
            Ok(Progress::Need(more)) => {
                assert!(more > 0, "a need is for something");
                had += more;
                assert!(had <= HEADER_BYTES, "no more than the bound is asked for");
                if had > data.len() {
                    break None;
                }
            }
            done => break Some(done),
        }
    };
    match step {
        None => assert!(
            matches!(whole, Ok(Progress::Need(_)) | Err(_)),
            "not complete yet"
        ),
        Some(done) => assert_eq!(done, whole, "what follows changes nothing"),
    }
}
