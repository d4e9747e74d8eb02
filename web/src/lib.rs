//! The web client: [Converse.js](https://conversejs.org) as its authors publish it on npm, and the style sheet and script of
//! the page that starts it (`page/`). `build.rs` says how it gets here; this crate only hands out the files, compressed.
//!
//! Converse.js is under the Mozilla Public License 2.0: `LICENSE.txt` and `COPYRIGHT.txt` are part of the bundle, the licences
//! of what it is built from are in `licences.txt`, and [`SOURCE`] is where its unmodified source is. Its library for OMEMO is
//! under another licence and not in here; [`OMEMO`] names the files, for those who serve them from a folder of their own.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::io::{self, Read as _};

use flate2::read::GzDecoder;

/// The version of Converse.js in the bundle; `None`: it was built without the feature `bundle` and is empty.
pub const CONVERSE_VERSION: Option<&str> = option_env!("CONVERSE_VERSION");

/// Another one whenever any file of the bundle is: for addresses that may be cached for ever.
pub const DIGEST: &str = env!("BUNDLE_DIGEST");

/// Where the source of Converse.js is: for people, and for its licence (MPL-2.0 §3.2).
pub const SOURCE: &str = "https://github.com/conversejs/converse.js";

/// The files of `dist` in the npm package that are under the GPL: the library for OMEMO. Converse.js looks for them beside
/// itself.
pub const OMEMO: &[&str] = &["libomemo.esm.min.js", "curve25519_compiled.wasm"];

/// A file of the bundle.
#[derive(Debug)]
pub struct Asset {
    path: &'static str,
    size: usize,
    gzip: &'static [u8],
}

/// In the order of their paths.
static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/table.rs"));

/// The file at `path`, relative to the bundle, with `/` between its parts. Nothing but the exact path of a file finds one.
pub fn find(path: &str) -> Option<&'static Asset> {
    let found = ASSETS.binary_search_by(|asset| asset.path.cmp(path));
    Some(&ASSETS[found.ok()?])
}

/// All files, in the order of their paths.
pub fn all() -> &'static [Asset] {
    ASSETS
}

impl Asset {
    /// Its path in the bundle.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// Its content, in the gzip format.
    pub fn gzip(&self) -> &'static [u8] {
        self.gzip
    }

    /// Its content as it is, for the rare client that takes no gzip.
    ///
    /// # Errors
    /// None in a bundle that was built: it is read from memory.
    pub fn plain(&self) -> io::Result<Vec<u8>> {
        let mut content = Vec::with_capacity(self.size);
        GzDecoder::new(self.gzip).read_to_end(&mut content)?;
        Ok(content)
    }

    /// Its content type.
    pub fn content_type(&self) -> &'static str {
        content_type(self.path)
    }
}

/// The content type of a file of the bundle or of [`OMEMO`], by its name.
pub fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("ico") => "image/x-icon",
        Some("png") => "image/png",
        Some("svg") => "image/svg+xml",
        Some("mp3") => "audio/mpeg",
        Some("ogg") => "audio/ogg",
        Some("ttf") => "font/ttf",
        Some("wasm") => "application/wasm",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(all(test, feature = "bundle"))]
mod tests {
    use super::*;

    #[test]
    fn the_client_its_page_and_its_licence_are_in_the_bundle() {
        for path in [
            "converse.min.js",
            "converse.min.css",
            "emoji.json",
            "chunkjs/locales/de-LC_MESSAGES-converse-po.js",
            "sounds/msg_received.ogg",
            "webfonts/muli.ttf",
            "chat.css",
            "chat.js",
            "push.js",
            "worker.js",
            "LICENSE.txt",
            "COPYRIGHT.txt",
            "licences.txt",
        ] {
            let asset = find(path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!(asset.path(), path);
            assert_eq!(asset.plain().unwrap().len(), asset.size, "{path}");
        }
        let licence = find("LICENSE.txt").unwrap().plain().unwrap();
        assert!(licence.starts_with(b"Mozilla Public License Version 2.0"));
        assert!(!find("licences.txt").unwrap().gzip().is_empty());
    }

    #[test]
    fn nothing_under_the_gpl_and_no_source_map_is_in_the_bundle() {
        for asset in all() {
            let path = asset.path();
            assert!(
                !path.contains("omemo") && !path.ends_with(".wasm"),
                "{path}"
            );
            assert!(!path.ends_with(".map"), "{path}");
        }
        for name in OMEMO {
            assert!(find(name).is_none());
        }
        let client = find("converse.min.js").unwrap().plain().unwrap();
        let needle = b"curve25519_sign";
        assert!(!client.windows(needle.len()).any(|part| part == needle));
    }

    #[test]
    fn every_file_has_a_type_and_only_exact_paths_find_one() {
        for asset in all() {
            let plain = asset.content_type().starts_with("text/plain");
            let text = asset.path().ends_with(".txt") || asset.path().ends_with("README");
            assert_eq!(plain, text, "{}", asset.path());
        }
        for path in ["", "/", "images", "../build.rs", "/chat.css", "chat.css/"] {
            assert!(find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn the_bundle_is_small() {
        let size: usize = all().iter().map(|asset| asset.gzip().len()).sum();
        assert!(size < 2_500_000, "{size}");
    }
}
