/* A line-driven client on libstrophe.
 *
 * usage: strophe JID PASSWORD ADDRESS PORT CA-FILE starttls|direct
 * Standard input: one stanza a line, sent as it stands; the end of the input ends the stream.
 * Standard output, a line each: CONNECTED full-JID; STANZA xml; DISCONNECTED error.
 * XEP-0199 pings are answered. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <strophe.h>

enum { INPUT_BYTES = 1 << 20, POLL_MILLISECONDS = 10 };

static int running = 1;

static void say(const char *what, const char *text)
{
    const char *c;

    fputs(what, stdout);
    putchar(' ');
    for (c = text; *c; c++)
        putchar(*c == '\n' || *c == '\r' ? ' ' : *c);
    putchar('\n');
    fflush(stdout);
}

static int received(xmpp_conn_t *conn, xmpp_stanza_t *stanza, void *userdata)
{
    char *text;
    size_t bytes;
    const char *type = xmpp_stanza_get_type(stanza);

    if (xmpp_stanza_to_text(stanza, &text, &bytes) == XMPP_EOK) {
        say("STANZA", text);
        xmpp_free(userdata, text);
    }
    if (type && strcmp(type, "get") == 0 && xmpp_stanza_get_child_by_ns(stanza, "urn:xmpp:ping")) {
        xmpp_stanza_t *reply = xmpp_stanza_reply(stanza);
        xmpp_stanza_set_type(reply, "result");
        xmpp_send(conn, reply);
        xmpp_stanza_release(reply);
    }
    return 1;
}

static void changed(xmpp_conn_t *conn, xmpp_conn_event_t event, int error, xmpp_stream_error_t *stream_error,
                    void *userdata)
{
    char reason[64];

    if (event == XMPP_CONN_CONNECT) {
        if (!xmpp_conn_is_secured(conn)) {
            say("DISCONNECTED", "the connection is not secure");
            running = 0;
            return;
        }
        xmpp_handler_add(conn, received, NULL, NULL, NULL, userdata);
        say("CONNECTED", xmpp_conn_get_bound_jid(conn));
    } else if (event == XMPP_CONN_DISCONNECT) {
        snprintf(reason, sizeof reason, "error %d stream-error %d", error, stream_error ? (int)stream_error->type : -1);
        say("DISCONNECTED", reason);
        running = 0;
    }
}

/* Sends the complete lines of `input`; returns the number of bytes that wait for their end. */
static size_t send_lines(xmpp_conn_t *conn, char *input, size_t filled)
{
    char *line = input;
    char *end;

    while ((end = memchr(line, '\n', filled - (size_t)(line - input)))) {
        *end = '\0';
        xmpp_send_raw_string(conn, "%s", line);
        line = end + 1;
    }
    filled -= (size_t)(line - input);
    memmove(input, line, filled);
    return filled;
}

int main(int argc, char **argv)
{
    xmpp_ctx_t *context;
    xmpp_conn_t *conn;
    static char input[INPUT_BYTES];
    size_t filled = 0;
    int open = 1;

    if (argc != 7) {
        fprintf(stderr, "usage: %s JID PASSWORD ADDRESS PORT CA-FILE starttls|direct\n", argv[0]);
        return 2;
    }
    fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
    xmpp_initialize();
    context = xmpp_ctx_new(NULL, xmpp_get_default_logger(getenv("STROPHE_DEBUG") ? XMPP_LEVEL_DEBUG : XMPP_LEVEL_ERROR));
    conn = xmpp_conn_new(context);
    xmpp_conn_set_flags(conn, strcmp(argv[6], "direct") == 0 ? XMPP_CONN_FLAG_LEGACY_SSL : XMPP_CONN_FLAG_MANDATORY_TLS);
    xmpp_conn_set_cafile(conn, argv[5]);
    xmpp_conn_set_jid(conn, argv[1]);
    xmpp_conn_set_pass(conn, argv[2]);
    if (xmpp_connect_client(conn, argv[3], (unsigned short)atoi(argv[4]), changed, context) != XMPP_EOK) {
        say("DISCONNECTED", "no connection");
        running = 0;
    }
    while (running) {
        xmpp_run_once(context, POLL_MILLISECONDS);
        if (open && xmpp_conn_is_connected(conn)) {
            ssize_t got = read(STDIN_FILENO, input + filled, sizeof input - filled);
            if (got > 0) {
                filled = send_lines(conn, input, filled + (size_t)got);
            } else if (got == 0) {
                open = 0;
                xmpp_disconnect(conn);
            }
        }
    }
    xmpp_conn_release(conn);
    xmpp_ctx_free(context);
    xmpp_shutdown();
    return 0;
}
