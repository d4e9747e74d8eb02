# Sourced by `run` and `kill9`: `prepare` makes the Python environment, compiles the libstrophe client and
# installs the clients for the web (xmpp.js, strophe.js, playwright-core). All are kept in the cache folder, one per state of the files they are made from.
prepare() {
    local here root state
    here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
    for tool in python3 openssl cc tmux profanity gajim Xvfb dbus-daemon gdbus node npm chromium nginx haproxy; do
        command -v "$tool" >/dev/null || { echo "e2e: $tool is needed (see README.md)" >&2; return 2; }
    done
    root=${E2E_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/tercet-e2e}
    mkdir -p "$root"
    exec 9>"$root/lock"
    flock 9
    state=$( { python3 --version; cat "$here/requirements.txt"; } | sha256sum | cut -c1-16)
    if [ ! -f "$root/venv-$state/complete" ]; then
        echo "e2e: making the Python environment" >&2
        rm -rf "$root/venv-$state"
        python3 -m venv "$root/venv-$state"
        "$root/venv-$state/bin/pip" install --quiet --requirement "$here/requirements.txt"
        touch "$root/venv-$state/complete"
    fi
    E2E_PYTHON=$root/venv-$state/bin/python
    state=$(sha256sum <"$here/clients/strophe.c" | cut -c1-16)
    if [ ! -x "$root/strophe-$state" ]; then
        echo "e2e: compiling the libstrophe client" >&2
        cc -std=c11 -O1 -Wall -Wextra -Werror -o "$root/strophe-$state.part" "$here/clients/strophe.c" -lstrophe
        mv "$root/strophe-$state.part" "$root/strophe-$state"
    fi
    E2E_STROPHE=$root/strophe-$state
    state=$( { node --version; cat "$here"/clients/web/*.json "$here"/clients/web/*.mjs; } | sha256sum | cut -c1-16)
    if [ ! -f "$root/web-$state/complete" ]; then
        echo "e2e: installing the clients for the web" >&2
        rm -rf "$root/web-$state"
        mkdir "$root/web-$state"
        cp "$here"/clients/web/*.json "$here"/clients/web/*.mjs "$root/web-$state"
        npm ci --prefix "$root/web-$state" --silent --ignore-scripts --no-audit --no-fund
        touch "$root/web-$state/complete"
    fi
    E2E_WEB=$root/web-$state
    export E2E_PYTHON E2E_STROPHE E2E_WEB
    flock -u 9
    exec 9>&-
}
