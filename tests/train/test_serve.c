// radialog serve over real sockets: its endpoint whole and piece by piece, against `radialog chat`; many clients at
// once; requests that are wrong, too large, too many; clients that leave; where it listens; how it ends.
#include "core/files/fs.h"
#include "data/dicom.h"
#include "tests/train/helper_http.h"
#include "tests/train/helper_language.h"
#include "tests/train/helper_program.h"

#include <check.h>
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char *image, *data_url, models[4096];
static child server;

// The file at PATH as a data: URL, by the system's base64.
static char *url_of(const char *path) {
    char line[1024];
    snprintf(line, sizeof line, "(printf 'data:image/jpeg;base64,'; base64 -w 0 %s) > %s/url", path, work);
    ck_assert_int_eq(system(line), 0);
    return read_file(in_work("url"), NULL);
}

static void setup(void) {
    char words[6000];
    language_setup();
    language_train_seer();
    image = radiograph_file("*");
    data_url = url_of(image);
    snprintf(models, sizeof models,
             "%s --aligner %s/aligner --classifier %s/classifier --set instruct.prompts=%s/configs/prompts/report.json",
             common, work, work, SOURCE_ROOT);
    snprintf(words, sizeof words,
             "%s/seer %s --set generate.max_new_tokens=12 --set generate.slots=4 --set serve.body_mb=1 "
             "--set serve.megapixels=1", work, models);
    server = serve_start(in_work("out"), words);
}

static void teardown(void) {
    const int exit = serve_stop(&server, SIGTERM);
    char *err = read_file(in_work("out.err"), NULL);
    ck_assert_msg(exit == 143 && strstr(err, "stopped by signal 15 after"), "%d %s", exit, err);
    free(err);
    free(image);
    free(data_url);
    language_teardown();
}

// A body: the radiograph at URL, then by turns TEXTS (ended by NULL), with these MEMBERS before.
static char *body_about(const char *url, const char *members, const char *const *texts) {
    buffer b = {0};
    buffer_print(&b, "{%s\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"",
                 members);
    buffer_text(&b, url);
    buffer_text(&b, "\"}}]}");
    for (int i = 0; texts && texts[i]; i++) {
        buffer_print(&b, ",{\"role\":\"%s\",\"content\":", i % 2 ? "user" : "assistant");
        buffer_json(&b, texts[i]);
        buffer_text(&b, "}");
    }
    buffer_text(&b, "]}");
    ck_assert(!b.failed);
    char *copy = strdup(b.data);
    buffer_free(&b);
    return copy;
}

static char *body_of(const char *members, const char *const *texts) {
    return body_about(data_url, members, texts);
}

static char *answer_to(const char *members, const char *const *texts) {
    char *body = body_of(members, texts);
    reply r = http_chat(server.port, body);
    ck_assert_msg(r.code == 200, "%d %s", r.code, r.body);
    char *text = reply_text(&r, "choices.0.message.content");
    reply_free(&r);
    free(body);
    return text;
}

// --- answers ------------------------------------------------------------------------------------
START_TEST(says_what_chat_says) {
    char words[8192], *report = answer_to("", NULL);
    static const char question[] = "Is there an effusion?";
    char *second = answer_to("\"temperature\":0,", (const char *const[]){report, question, NULL});
    snprintf(words, sizeof words, "echo '%s' | %s chat %s/seer %s --json --quiet %s --set generate.max_new_tokens=12 "
                                  "> %s/chat", question, program_path, work, image, models, work);
    ck_assert_int_eq(system(words), 0);
    char *chat = read_file(in_work("chat"), NULL), *line = chat;
    for (int i = 0; i < 2; i++) {
        reply r = {.body = strndup(line, strcspn(line, "\n"))};
        char *text = reply_text(&r, "text");
        ck_assert_str_eq(text, i ? second : report);
        free(text);
        reply_free(&r);
        line = strchr(line, '\n') + 1;
    }
    free(chat), free(report), free(second);
}
END_TEST

static reply ask_about(const char *path) {
    char *url = url_of(path), *body = body_about(url, "", NULL);
    reply r = http_chat(server.port, body);
    free(url), free(body);
    return r;
}

// A DICOM file's bytes are seen as chat sees the file; nobody is named.
START_TEST(dicom_files) {
    char words[8192];
    if (!*dicom_built()) return;
    reply r = ask_about(dicom_of("film", image));
    ck_assert_msg(r.code == 200, "%d %s", r.code, r.body);
    ck_assert_ptr_null(strstr(r.body, DICOM_SECRET));
    snprintf(words, sizeof words, "%s chat %s/seer %s/film --json --quiet %s --set generate.max_new_tokens=12 "
                                  "< /dev/null > %s/chat", program_path, work, work, models, work);
    ck_assert_int_eq(system(words), 0);
    char *text = reply_text(&r, "choices.0.message.content");
    reply chat = {.body = read_file(in_work("chat"), NULL)};
    char *said = reply_text(&chat, "text");
    ck_assert_str_eq(text, said);
    free(text), free(said);
    reply_free(&chat);
    reply_free(&r);
    char *err = read_file(in_work("out.err"), NULL);
    ck_assert_ptr_null(strstr(err, DICOM_SECRET));
    free(err);
}
END_TEST

static void expect_refusal(const reply *r, int code, const char *says, const char *what);

START_TEST(broken_dicom_files) {
    size_t size;
    if (!*dicom_built()) return;
    char *bytes = read_file(dicom_of("film", image), &size);
    buffer deep = {0};
    ck_assert(!file_write(in_work("cut"), bytes, size - 100));
    reply r = ask_about(in_work("cut"));
    expect_refusal(&r, 400, "the image: not a whole DICOM file", "cut");
    ck_assert_ptr_null(strstr(r.body, DICOM_SECRET));
    reply_free(&r);
    // Sequences in sequences, where the library's stack would end: the server does not.
    buffer_append(&deep, bytes, (size_t)((char *)memmem(bytes, size, "\x28\0\x02\0US", 6) - bytes));
    for (int i = 0; i < 30000; i++)
        buffer_append(&deep, "\x40\0\x30\xa7SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff", 20);
    ck_assert(!deep.failed && !file_write(in_work("deep"), deep.data, deep.length));
    r = ask_about(in_work("deep"));
    expect_refusal(&r, 400, "sequences in sequences", "deep");
    reply_free(&r);
    r = ask_about(in_work("film"));
    ck_assert_int_eq(r.code, 200);
    reply_free(&r);
    buffer_free(&deep);
    free(bytes);
}
END_TEST

START_TEST(streams_add_up_to_the_answer) {
    int pieces;
    bool ended;
    char *whole = answer_to("", NULL);
    char *body = body_of("\"stream\":true,\"stream_options\":{\"include_usage\":true},\"model\":\"seer\",", NULL);
    reply r = http_chat(server.port, body);
    ck_assert_int_eq(r.code, 200);
    ck_assert_ptr_nonnull(strstr(r.head, "Content-Type: text/event-stream"));
    char *text = reply_stream(&r, &pieces, &ended);
    ck_assert_str_eq(text, whole);
    ck_assert(ended);
    ck_assert_int_gt(pieces, 1);
    ck_assert_ptr_nonnull(strstr(r.body, "\"findings\":["));
    ck_assert_ptr_nonnull(strstr(r.body, "\"finish_reason\":\"length\"")); // 12 tokens say little
    ck_assert_ptr_nonnull(strstr(r.body, "\"completion_tokens\":12"));
    reply_free(&r);
    free(text), free(whole), free(body);
}
END_TEST

START_TEST(settings_are_followed) {
    static const char *const ask[] = {"a", "What else?", NULL};
    char *one = answer_to("\"temperature\":1.9,\"seed\":5,", ask), *two = answer_to("\"temperature\":1.9,\"seed\":5,", ask);
    char *other = answer_to("\"temperature\":1.9,\"seed\":6,", ask), *plain = answer_to("", ask);
    ck_assert_str_eq(one, two);
    ck_assert(strcmp(one, other) || strcmp(one, plain));
    free(one), free(two), free(other), free(plain);
    char *body = body_of("\"max_tokens\":3,", NULL);
    reply r = http_chat(server.port, body);
    ck_assert_ptr_nonnull(strstr(r.body, "\"completion_tokens\":3,"));
    reply_free(&r);
    free(body);
    reply a = http_chat(server.port, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    reply b = http_chat(server.port, "{\"messages\":[{\"role\":\"system\",\"content\":\"An owl speaks of mice.\"},"
                                     "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}]}]}");
    ck_assert(a.code == 200 && b.code == 200);
    ck_assert_ptr_null(strstr(a.body, "findings"));
    ck_assert_ptr_nonnull(strstr(a.body, "\"prompt_tokens\":"));
    ck_assert_str_ne(strstr(a.body, "\"prompt_tokens\":"), strstr(b.body, "\"prompt_tokens\":"));
    reply_free(&a);
    reply_free(&b);
}
END_TEST

START_TEST(facts_and_page) {
    reply r = http_ask(server.port, "GET", "/health", "", NULL);
    ck_assert_msg(r.code == 200 && strstr(r.body, "\"status\":\"ok\""), "%s", r.body);
    reply_free(&r);
    r = http_ask(server.port, "GET", "/v1/models", "", NULL);
    char *name = reply_text(&r, "data.0.id");
    ck_assert_str_eq(name, "seer");
    free(name);
    reply_free(&r);
    r = http_ask(server.port, "GET", "/", "", NULL);
    ck_assert(r.code == 200 && strstr(r.body, "<!doctype html>") && strstr(r.body, "</html>"));
    ck_assert(strstr(r.head, "Content-Security-Policy: default-src 'none'") && !strstr(r.body, "https://"));
    reply_free(&r);
    r = http_ask(server.port, "HEAD", "/", "", NULL);
    ck_assert(r.code == 200 && !*r.body);
    reply_free(&r);
}
END_TEST

// --- many at once ---------------------------------------------------------------------------------
enum { CLIENTS = 24, QUESTIONS = 6 };

typedef struct customer {
    pthread_t thread;
    char **body, **want; // (QUESTIONS)
    int number, wrong;
    char first[512];
} customer;

static void *ask_all(void *context) {
    customer *c = context;
    for (int i = 0; i < QUESTIONS; i++) {
        const int k = (i + c->number) % QUESTIONS;
        reply r = http_chat(server.port, c->body[k]);
        const bool good = r.code == 200 && strstr(r.body, c->want[k]);
        if (!good && !c->wrong++) snprintf(c->first, sizeof c->first, "%d %.400s", r.code, r.body ? r.body : "");
        reply_free(&r);
    }
    return NULL;
}

static int open_files(void) {
    char path[64];
    int count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", server.id);
    DIR *d = opendir(path);
    while (readdir(d)) count++;
    closedir(d);
    return count;
}

static void wait_until_idle(void) {
    for (int i = 0; i < 1000; i++) {
        reply r = http_ask(server.port, "GET", "/health", "", NULL);
        const bool idle = strstr(r.body, "\"waiting\":0,\"writing\":0,");
        reply_free(&r);
        if (idle) return;
        usleep(10000);
    }
    ck_abort_msg("the server is still busy");
}

// Whoever asks beside whom: each gets what he would get alone.
START_TEST(many_clients) {
    static customer c[CLIENTS];
    char *body[QUESTIONS], *want[QUESTIONS];
    for (int i = 0; i < QUESTIONS; i++) {
        char question[64];
        snprintf(question, sizeof question, "Question %d?", i);
        body[i] = body_of(i % 2 ? "" : "\"max_tokens\":7,",
                          i ? (const char *const[]){"The heart is large.", question, NULL} : NULL);
        reply r = http_chat(server.port, body[i]);
        char *text = reply_text(&r, "choices.0.message.content");
        buffer b = {0};
        buffer_json(&b, text);
        want[i] = strdup(b.data);
        buffer_free(&b);
        free(text);
        reply_free(&r);
    }
    wait_until_idle();
    const int files = open_files();
    for (int i = 0; i < CLIENTS; i++) {
        c[i] = (customer){.body = body, .want = want, .number = i};
        ck_assert(!pthread_create(&c[i].thread, NULL, ask_all, &c[i]));
    }
    for (int i = 0; i < CLIENTS; i++) pthread_join(c[i].thread, NULL);
    for (int i = 0; i < CLIENTS; i++) ck_assert_msg(!c[i].wrong, "client %d: %d wrong, %s", i, c[i].wrong, c[i].first);
    wait_until_idle();
    ck_assert_int_le(open_files(), files + 1); // a connection may be about to close
    for (int i = 0; i < QUESTIONS; i++) free(body[i]), free(want[i]);
}
END_TEST

// --- what is refused ------------------------------------------------------------------------------
static void expect_refusal(const reply *r, int code, const char *says, const char *what) {
    ck_assert_msg(r->code == code, "%.200s: %d %s", what, r->code, r->body);
    ck_assert_msg(strstr(r->head, "Content-Type: application/json") != NULL, "%s", r->head);
    char *message = reply_text(r, "error.message");
    ck_assert_msg(strstr(message, says) != NULL, "%.200s: %s", what, message);
    free(message);
}

#define USER(content) "{\"messages\":[{\"role\":\"user\",\"content\":" content "}]}"
#define IMAGE_AT(url) USER("[{\"type\":\"image_url\",\"image_url\":{\"url\":\"" url "\"}}]")

START_TEST(malformed_requests) {
    // A JPEG and a PNG that say they are huge.
    static const char png[] = "iVBORw0KGgoAAAANSUhEUgAAgAAAAIAACAAAAAA=";
    char huge[512];
    snprintf(huge, sizeof huge, IMAGE_AT("data:image/png;base64,%s"), png);
    const struct {
        const char *body, *says;
        int code;
    } wrong[] = {
        {"", "is empty", 400},
        {"{", "body:1:", 400},
        {"[1]", "must be an object", 400},
        {"\xff", "body:1:", 400},
        {"{}", "lacks the key \"messages\"", 400},
        {USER("1"), "of messages[0] must be a text or a list of parts", 400},
        {USER("\"<IMG>\""), "a message holds <IMG>", 400},
        {IMAGE_AT("http://x/y.png"), "must be a data: URL", 400},
        {IMAGE_AT("data:image/png;base64,AAA"), "no multiple of 4", 400},
        {IMAGE_AT("data:image/png;base64,AAAA"), "the image: neither a JPEG, a PNG nor a DICOM file", 400},
        {IMAGE_AT("data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA="), "the image", 400},
        {huge, "32768 x 32768 pixels; there may be 1048576", 400},
        {"{\"model\":\"gpt\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", "no such model", 404},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        reply r = http_chat(server.port, wrong[i].body);
        expect_refusal(&r, wrong[i].code, wrong[i].says, wrong[i].body);
        reply_free(&r);
    }
    char *large = malloc(40000);
    memset(large, 'a', 39000);
    snprintf(large, 64, "{\"messages\":[{\"role\":\"user\",\"content\":\"");
    large[strlen(large)] = 'a';
    snprintf(large + 39000, 64, "\"}]}");
    reply r = http_chat(server.port, large);
    expect_refusal(&r, 400, "there is room for", "long");
    reply_free(&r);
    free(large);
}
END_TEST

START_TEST(wrong_places) {
    const char json[] = "Content-Type: application/json\r\n";
    const struct {
        const char *method, *path, *lines, *body, *says;
        int code;
    } wrong[] = {
        {"GET", "/nothing", "", NULL, "there are /", 404},
        {"GET", "/v1/chat/completions", "", NULL, "answers to POST alone", 405},
        {"POST", "/health", json, "{}", "answers to GET alone", 405},
        {"OPTIONS", "/v1/chat/completions", "Origin: http://elsewhere\r\n", NULL, "answers to POST alone", 405},
        {"POST", "/v1/chat/completions", "Content-Type: text/plain\r\n", "{}", "must be JSON", 415},
        {"POST", "/v1/chat/completions", "Content-Type: application/jsonx\r\n", "{}", "must be JSON", 415},
        {"POST", "/v1/chat/completions", "", "{}", "must be JSON", 415},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        reply r = http_ask(server.port, wrong[i].method, wrong[i].path, wrong[i].lines, wrong[i].body);
        expect_refusal(&r, wrong[i].code, wrong[i].says, wrong[i].path);
        reply_free(&r);
    }
    static const char *const hosts[] = {"elsewhere.example", "localhost.elsewhere.example", "127.0.0.1.x:80", "10.0.0.1"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        char text[256];
        snprintf(text, sizeof text, "GET /health HTTP/1.1\r\nConnection: close\r\nHost: %s\r\n\r\n", hosts[i]);
        reply r = http_receive(http_open(server.port, text));
        expect_refusal(&r, 403, "only this machine", hosts[i]);
        reply_free(&r);
    }
    reply r = http_receive(http_open(server.port, "no HTTP at all\r\n\r\n"));
    ck_assert_int_eq(r.code / 100, 4);
    reply_free(&r);
}
END_TEST

START_TEST(bodies_that_are_too_large) {
    char *large = malloc((2 << 20) + 1);
    memset(large, ' ', 2 << 20);
    large[2 << 20] = 0;
    reply r = http_chat(server.port, large);
    expect_refusal(&r, 413, "too large", "large");
    reply_free(&r);
    r = http_ask(server.port, "POST", "/v1/chat/completions",
                 "Content-Type: application/json\r\nContent-Length: 99999999999\r\nExpect: 100-continue\r\n", NULL);
    expect_refusal(&r, 413, "too large", "announced");
    reply_free(&r);
    // In chunks, which announce nothing.
    char *text = malloc(3 << 20), *at = text;
    at += sprintf(at, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                      "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    at += sprintf(at, "180000\r\n");
    memset(at, ' ', 0x180000);
    at += 0x180000;
    sprintf(at, "\r\n0\r\n\r\n");
    r = http_receive(http_open(server.port, text));
    expect_refusal(&r, 413, "too large", "chunks");
    reply_free(&r);
    free(text);
    free(large);
}
END_TEST

// At once, in the middle of an answer, in the middle of a request (whose connection ends by its time limit).
START_TEST(clients_that_leave) {
    char *body = body_of("\"stream\":true,", NULL), *text = malloc(strlen(body) + 512);
    sprintf(text, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                  "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
    wait_until_idle();
    const int files = open_files();
    for (int i = 0; i < 12; i++) {
        const int fd = http_open(server.port, text);
        ck_assert_int_ge(fd, 0);
        if (i % 2) usleep(3000);
        close(fd);
    }
    wait_until_idle();
    for (int i = 0; i < 100 && open_files() > files + 1; i++) usleep(20000);
    ck_assert_int_le(open_files(), files + 1);
    text[strlen(text) / 2] = 0;
    for (int i = 0; i < 4; i++) close(http_open(server.port, text));
    reply r = http_chat(server.port, body);
    ck_assert_int_eq(r.code, 200);
    reply_free(&r);
    free(text), free(body);
}
END_TEST

// --- where, and how it ends -----------------------------------------------------------------------
// Sockets of the system that listen on PORT: those in TABLE whose address is not LOOPBACK.
static int beyond(const char *table, const char *loopback, int port, int *all) {
    FILE *f = fopen(table, "r");
    char line[512], address[64];
    unsigned number, state;
    int found = 0;
    if (!f) return 0;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, " %*d: %63[0-9A-F]:%x %*[0-9A-F]:%*x %x", address, &number, &state) != 3) continue;
        if (state != 10 || (int)number != port) continue;
        (*all)++;
        found += strcmp(address, loopback) != 0;
    }
    fclose(f);
    return found;
}

START_TEST(listens_on_this_machine_alone) {
    int all = 0;
    ck_assert_int_eq(beyond("/proc/net/tcp", "0100007F", server.port, &all), 0);
    ck_assert_int_eq(beyond("/proc/net/tcp6", "", server.port, &all), 0);
    ck_assert_int_eq(all, 1);
    static const struct {
        const char *words, *says;
        int exit;
    } wrong[] = {{"--host localhost", "is no address in numbers", 2},
                 {"--host 300.0.0.1", "is no address in numbers", 2},
                 {"--port 70000", "--port takes a whole number", 2},
                 {"again", "unexpected argument 'again'", 2},
                 {"--classifier x", "--aligner PATH is missing", 2}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        outcome o = program("serve %s/seer %s %s", work, wrong[i].words, common);
        ck_assert_msg(o.exit == wrong[i].exit && strstr(o.err, wrong[i].says), "%s: %d %s", wrong[i].words, o.exit, o.err);
        outcome_free(&o);
    }
    outcome o = program("serve %s/seer %s --port %d", work, models, server.port);
    ck_assert_msg(o.exit == 1 && strstr(o.err, "cannot listen on 127.0.0.1, port"), "%d %s", o.exit, o.err);
    outcome_free(&o);
}
END_TEST

typedef struct stranger {
    pthread_t thread;
    int port;
    const char *body;
    reply reply;
} stranger;

static void *ask_once(void *context) {
    stranger *s = context;
    s->reply = http_chat(s->port, s->body);
    return NULL;
}

// Two may be there; answers are long. Those who came are answered also after the signal.
START_TEST(too_many_and_the_end) {
    enum { STRANGERS = 10 };
    stranger s[STRANGERS];
    char words[6000], *body = body_of("\"stream\":true,", NULL);
    int served = 0, refused = 0;
    snprintf(words, sizeof words, "%s/seer %s --set generate.max_new_tokens=400 --set generate.slots=1 "
                                  "--set serve.waiting=2", work, models);
    child small = serve_start(in_work("small"), words);
    for (int i = 0; i < STRANGERS; i++) {
        s[i] = (stranger){.port = small.port, .body = body};
        ck_assert(!pthread_create(&s[i].thread, NULL, ask_once, &s[i]));
    }
    for (int i = 0; i < 1000 && !served; i++) { // somebody is being answered
        reply r = http_ask(small.port, "GET", "/health", "", NULL);
        served = strstr(r.body, "\"writing\":1") != NULL;
        reply_free(&r);
    }
    ck_assert(served);
    served = 0;
    ck_assert_int_eq(serve_stop(&small, SIGINT), 130);
    for (int i = 0; i < STRANGERS; i++) {
        pthread_join(s[i].thread, NULL);
        const reply *r = &s[i].reply;
        if (r->code == 200) {
            int pieces;
            bool ended;
            free(reply_stream(r, &pieces, &ended));
            ck_assert(ended && pieces > 1);
            served++;
        } else if (r->code == 503) {
            expect_refusal(r, 503, strstr(r->body, "ending") ? "ending" : "too many requests", "many");
            ck_assert_ptr_nonnull(strstr(r->head, "Retry-After: "));
            refused++;
        } else
            ck_assert_int_eq(r->code, 0); // came when nobody listened any more
        reply_free(&s[i].reply);
    }
    ck_assert(served >= 1 && served <= 4 && refused);
    ck_assert_int_lt(http_open(small.port, ""), 0);
    free(body);
}
END_TEST

// A second for each: answers end where they are, and who has waited for too long is told.
START_TEST(time_is_limited) {
    enum { STRANGERS = 40 };
    stranger s[STRANGERS];
    char words[6000], *body = body_of("\"stream\":true,", NULL);
    int cut = 0;
    snprintf(words, sizeof words, "%s/seer %s --set generate.max_new_tokens=1500 --set generate.slots=1 "
                                  "--set serve.seconds=1 --set generate.temperature=1", work, models);
    child small = serve_start(in_work("small"), words);
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < STRANGERS; i++) {
        s[i] = (stranger){.port = small.port, .body = body};
        ck_assert(!pthread_create(&s[i].thread, NULL, ask_once, &s[i]));
    }
    for (int i = 0; i < STRANGERS; i++) {
        pthread_join(s[i].thread, NULL);
        ck_assert_msg(s[i].reply.code == 200 || s[i].reply.code == 503, "%d", s[i].reply.code);
        if (s[i].reply.code == 503) expect_refusal(&s[i].reply, 503, "has waited too long", "late");
        cut += s[i].reply.code == 503 || strstr(s[i].reply.body, "\"length\"") != NULL;
        reply_free(&s[i].reply);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    ck_assert_int_gt(cut, 0);
    ck_assert_int_lt(end.tv_sec - begin.tv_sec, 30);
    ck_assert_int_eq(serve_stop(&small, SIGTERM), 143);
    free(body);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("serve");
    TCase *tests = tcase_create("serve");
    tcase_set_timeout(tests, 600);
    tcase_add_unchecked_fixture(tests, setup, teardown);
    tcase_add_test(tests, says_what_chat_says);
    tcase_add_test(tests, dicom_files);
    tcase_add_test(tests, broken_dicom_files);
    tcase_add_test(tests, streams_add_up_to_the_answer);
    tcase_add_test(tests, settings_are_followed);
    tcase_add_test(tests, facts_and_page);
    tcase_add_test(tests, many_clients);
    tcase_add_test(tests, malformed_requests);
    tcase_add_test(tests, wrong_places);
    tcase_add_test(tests, bodies_that_are_too_large);
    tcase_add_test(tests, clients_that_leave);
    tcase_add_test(tests, listens_on_this_machine_alone);
    tcase_add_test(tests, too_many_and_the_end);
    tcase_add_test(tests, time_is_limited);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
