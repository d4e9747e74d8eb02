//! Apps that people may take, by the platform on which they look at the page.

use axum::http::header::{self, HeaderMap};

/// A platform, and what its name is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Platform {
    Android,
    Ios,
    Windows,
    Mac,
    Linux,
}

use Platform::{Android, Ios, Linux, Mac, Windows};

/// An app: its name, where it is to be had, what is special about it, and where it runs.
type App = (
    &'static str,
    &'static str,
    &'static str,
    &'static [Platform],
);

const APPS: &[App] = &[
    (
        "Conversations",
        "https://conversations.im/",
        "Light on the battery, made for Android",
        &[Android],
    ),
    (
        "Cheogram",
        "https://cheogram.com/",
        "Calls, stickers, many extras",
        &[Android],
    ),
    (
        "Monal",
        "https://monal-im.org/",
        "Made for iPhone, iPad and Mac",
        &[Ios, Mac],
    ),
    (
        "Siskin IM",
        "https://siskin.im/",
        "For iPhone and iPad",
        &[Ios],
    ),
    (
        "Beagle IM",
        "https://beagle.im/",
        "Siskin's companion on the Mac",
        &[Mac],
    ),
    (
        "Gajim",
        "https://gajim.org/",
        "Everything that XMPP can do",
        &[Windows, Linux, Mac],
    ),
    ("Dino", "https://dino.im/", "Plain and friendly", &[Linux]),
    (
        "Psi",
        "https://psi-im.org/",
        "For those who like to see it all",
        &[Windows, Linux],
    ),
    (
        "Profanity",
        "https://profanity-im.github.io/",
        "In the terminal",
        &[Linux, Mac],
    ),
];

const PLATFORMS: [Platform; 5] = [Android, Ios, Windows, Mac, Linux];

impl Platform {
    fn name(self) -> &'static str {
        match self {
            Android => "Android",
            Ios => "iPhone and iPad",
            Windows => "Windows",
            Mac => "Mac",
            Linux => "Linux",
        }
    }

    /// The platform of a browser, as far as it tells.
    pub(super) fn of(fields: &HeaderMap) -> Option<Platform> {
        let agent = fields.get(header::USER_AGENT)?.to_str().ok()?;
        let marks = [
            ("Android", Android),
            ("iPhone", Ios),
            ("iPad", Ios),
            ("iPod", Ios),
            ("Windows", Windows),
            ("Macintosh", Mac),
            ("Linux", Linux),
            ("X11", Linux),
            ("CrOS", Linux),
        ];
        let mark = marks.iter().find(|(mark, _)| agent.contains(mark));
        mark.map(|(_, platform)| *platform)
    }
}

/// The apps as HTML: those for the visitor's platform, the others behind a click; all where the platform is not known.
pub(super) fn html(platform: Option<Platform>) -> String {
    let mut html = match platform {
        Some(platform) => format!("<h3>For {}</h3>{}", platform.name(), list(platform)),
        None => String::new(),
    };
    let others: String = PLATFORMS
        .into_iter()
        .filter(|other| platform != Some(*other))
        .map(|other| format!("<h3>{}</h3>{}", other.name(), list(other)))
        .collect();
    match platform {
        Some(_) => html.push_str(&format!(
            "<details><summary>Apps for other devices</summary>{others}</details>"
        )),
        None => html.push_str(&others),
    }
    html
}

fn list(platform: Platform) -> String {
    let items: String = APPS
        .iter()
        .filter(|(_, _, _, platforms)| platforms.contains(&platform))
        .map(|(name, url, what, _)| {
            format!("<li><a href=\"{url}\" rel=\"noopener\"><strong>{name}</strong><span>{what}</span></a></li>")
        })
        .collect();
    format!("<ul class=\"apps\">{items}</ul>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn visitors_see_the_apps_of_their_platform_first() {
        for (agent, platform, first) in [
            (
                "Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/120",
                Some(Android),
                "Conversations",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X)",
                Some(Ios),
                "Monal",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)",
                Some(Mac),
                "Monal",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
                Some(Windows),
                "Gajim",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:120.0)",
                Some(Linux),
                "Gajim",
            ),
            ("curl/8", None, "Conversations"),
        ] {
            let mut fields = HeaderMap::new();
            fields.insert(header::USER_AGENT, HeaderValue::from_static(agent));
            assert_eq!(Platform::of(&fields), platform, "{agent}");
            let html = html(platform);
            let name = html.split("<strong>").nth(1).unwrap();
            assert!(name.starts_with(first), "{agent}: {name}");
            assert!(APPS.iter().all(|(name, ..)| html.contains(name)));
        }
        assert_eq!(Platform::of(&HeaderMap::new()), None);
    }
}
