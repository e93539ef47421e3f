// radialog serve: the model behind a page and an OpenAI-compatible endpoint of this machine
// (train/service.h).
#include "core/log.h"
#include "train/commands.h"
#include "train/config_keys.h"
#include "train/service.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { PORT = 8080, IDLE_SECONDS = 60, DRAIN_SECONDS = 10, SPARE_CONNECTIONS = 64, BODIES = 16 };

static const option options[] = {
    OPTIONS_ASSISTANT,
    {"port", "N", "to listen on (default 8080; 0: any free one, which is printed)"},
    {"host", "ADDRESS",
     "another of this machine's addresses to listen on, such as 0.0.0.0: whoever reaches it can "
     "ask, "
     "and nothing is encrypted (default 127.0.0.1, this machine alone)"},
    {0},
};

static bool is_loopback(const char *address) {
    return !strncmp(address, "127.", 4) || !strcmp(address, "::1");
}

// "lora" of "runs/lora/".
static void name_of(char *out, size_t size, const char *path) {
    size_t end = strlen(path), begin;
    while (end > 1 && path[end - 1] == '/') end--;
    for (begin = end; begin && path[begin - 1] != '/';) begin--;
    snprintf(out, size, "%.*s", (int)(end - begin), path + begin);
}

static status listen_and_answer(assistant *a, const arguments *args, const char *host, int port) {
    const config *c = a->language.inference.config;
    char name[256];
    http_server *server = NULL;
    service *s = NULL;
    const size_t body = (size_t)config_int(c, "serve.body_mb") << 20;
    name_of(name, sizeof name, args->positional[0]);
    const service_options o = {.model = name,
                               .waiting = config_int(c, "serve.waiting"),
                               .pixels = config_int(c, "serve.megapixels") << 20,
                               .seconds = (double)config_int(c, "serve.seconds"),
                               .local = is_loopback(host)};
    status rc = service_open(&s, a, &o);
    if (!rc)
        rc = http_server_open(&server,
                              &(http_options){.address = host,
                                              .port = port,
                                              .body = body,
                                              .bodies = BODIES * body,
                                              .connections = (int)o.waiting + SPARE_CONNECTIONS,
                                              .seconds = IDLE_SECONDS,
                                              .context = s,
                                              .request = service_request});
    if (!rc) {
        printf(strchr(host, ':') ? "http://[%s]:%d\n" : "http://%s:%d\n", host,
               http_server_port(server));
        fflush(stdout);
        if (!o.local)
            log_warn("%s is reached from other machines: whoever gets there can ask", host);
        rc = service_run(s, server);
    }
    http_server_close(server, DRAIN_SECONDS);
    service_close(s);
    return rc;
}

static status run(const arguments *a) {
    const char *host = argument(a, "host") ? argument(a, "host") : "127.0.0.1";
    unsigned char number[16];
    assistant model = {0};
    int64_t port;
    if (a->positionals > 1)
        return status_fail(STATUS_USAGE, "unexpected argument '%s'", a->positional[1]);
    status rc = argument_int(a, "port", 0, 65535, PORT, &port);
    if (!rc && inet_pton(AF_INET, host, number) != 1 && inet_pton(AF_INET6, host, number) != 1)
        rc = status_fail(STATUS_USAGE, "--host %s: is no address in numbers, such as 127.0.0.1",
                         host);
    if (rc) return rc;
    rc = assistant_open(&model, a, serve_tables, 0);
    if (!rc) rc = listen_and_answer(&model, a, host, (int)port);
    assistant_close(&model);
    return rc;
}

const command command_serve = {
    .name = "serve",
    .positional = "RUN",
    .summary = "the model behind a page and an OpenAI-compatible endpoint, on this machine",
    .options = options,
    .run = run,
    .tables = serve_tables,
};
