// train/serve_request.h: what OpenAI's clients send, and what is refused with its place.
#include "train/serve_request.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static status parse(serve_request *r, const char *body) {
    return serve_request_parse(r, body, strlen(body));
}

#define MESSAGES(list) "{\"messages\":[" list "]}"
#define USER(content) "{\"role\":\"user\",\"content\":" content "}"
#define ASSISTANT(content) "{\"role\":\"assistant\",\"content\":" content "}"
#define SYSTEM(content) "{\"role\":\"system\",\"content\":" content "}"
#define PICTURE(url) "{\"type\":\"image_url\",\"image_url\":{\"url\":\"" url "\"}}"
#define WITH(member) "{" member ",\"messages\":[" USER("\"x\"") "]}"

START_TEST(conversations) {
    serve_request r;
    ck_assert_msg(!parse(&r, MESSAGES(SYSTEM("\"s\"") "," USER("[" PICTURE("data:image/png;base64,Zm9v") "]") ","
                                      ASSISTANT("\"said\"") "," USER("[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\","
                                                                     "\"text\":\"b\"}]"))), "%s", status_text());
    ck_assert_str_eq(r.system, "s");
    ck_assert_uint_eq(r.message.count, 3);
    ck_assert_str_eq(r.message.name[0], "");
    ck_assert_str_eq(r.message.name[1], "said");
    ck_assert_str_eq(r.message.name[2], "a\nb");
    ck_assert(r.image.length == 3 && !memcmp(r.image.data, "foo", 3));
    ck_assert(!r.model && !r.stream && !r.usage && !r.most && r.temperature < 0 && r.top_p < 0 && r.seed < 0);
    serve_request_close(&r);
    ck_assert(!parse(&r, MESSAGES(USER("[{\"type\":\"text\",\"text\":\"q\"},{\"type\":\"image_url\",\"image_url\":"
                                       "\"data:;base64,Zg==\"}]"))));
    ck_assert_str_eq(r.message.name[0], "q");
    ck_assert_uint_eq(r.image.length, 1);
    serve_request_close(&r);
}
END_TEST

START_TEST(settings) {
    serve_request r;
    ck_assert_msg(!parse(&r, WITH("\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true},"
                                  "\"max_tokens\":9,\"temperature\":0,\"top_p\":1,\"seed\":0,\"n\":1,\"user\":\"u\","
                                  "\"stop\":null,\"tools\":[],\"logprobs\":false,\"presence_penalty\":0,"
                                  "\"response_format\":{\"type\":\"text\"},\"metadata\":{\"a\":1}")), "%s", status_text());
    ck_assert_str_eq(r.model, "m");
    ck_assert(r.stream && r.usage && r.most == 9 && r.seed == 0);
    ck_assert(r.temperature >= 0 && r.temperature <= 0 && r.top_p >= 1);
    serve_request_close(&r);
    ck_assert(!parse(&r, WITH("\"max_tokens\":9,\"max_completion_tokens\":8,\"stream\":null,\"model\":null")));
    ck_assert(r.most == 8 && !r.stream && !r.model);
    serve_request_close(&r);
}
END_TEST

START_TEST(refusals) {
    static const struct {
        const char *body, *says;
    } wrong[] = {
        {"", "is empty"},
        {"[]", "must be an object"},
        {"{}", "lacks the key \"messages\""},
        {"{\"messages\":{}}", "\"messages\" must be a list"},
        {"{\"messages\":[]}", "has 0 messages"},
        {"{\"messages\":[1]}", "must be an object, is a number"},
        {MESSAGES("{\"role\":\"user\"}"), "lacks the key \"content\""},
        {MESSAGES("{\"role\":1,\"content\":\"x\"}"), "\"role\" must be a text"},
        {MESSAGES("{\"role\":\"tool\",\"content\":\"x\"}"), "messages[0]: the role 'tool'"},
        {MESSAGES(ASSISTANT("\"x\"")), "messages[0]: is the assistant's"},
        {MESSAGES(USER("\"x\"") "," USER("\"y\"")), "messages[1]: is the user's"},
        {MESSAGES(USER("\"x\"") "," ASSISTANT("\"y\"")), "must end with a user's"},
        {MESSAGES(USER("\"x\"") "," SYSTEM("\"y\"")), "messages[1]: system stands first"},
        {MESSAGES(SYSTEM("\"y\"")), "must end with a user's"},
        {MESSAGES(USER("\"\"")), "messages[0]: is empty"},
        {MESSAGES(USER("[]")), "messages[0]: is empty"},
        {MESSAGES(USER("null")), "of messages[0] must be a text or a list of parts"},
        {MESSAGES(USER("[{\"text\":\"x\"}]")), "lacks the key \"type\""},
        {MESSAGES(USER("[{\"type\":\"input_audio\"}]")), "messages[0]: has a part of type 'input_audio'"},
        {MESSAGES(USER("[" PICTURE("https://x.y/z.png") "]")), "must be a data: URL"},
        {MESSAGES(USER("[" PICTURE("data:image/png;base64") "]")), "must be data:image/jpeg;base64,..."},
        {MESSAGES(USER("[" PICTURE("data:,x") "]")), "must be data:image/jpeg;base64,..."},
        {MESSAGES(USER("[" PICTURE("data:image/png;base64,Zm9") "]")), "no multiple of 4"},
        {MESSAGES(USER("[" PICTURE("data:image/png;base64,") "]")), "holds no image"},
        {MESSAGES(USER("[" PICTURE("data:;base64,Zg==") "," PICTURE("data:;base64,Zg==") "]")), "messages[0]: has a second image"},
        {MESSAGES(USER("\"x\"") "," ASSISTANT("\"y\"") "," USER("[" PICTURE("data:;base64,Zg==") "]")),
         "messages[2]: has an image; a radiograph stands in the first"},
        {MESSAGES(SYSTEM("[" PICTURE("data:;base64,Zg==") "]") "," USER("\"x\"")), "messages[0]: has a part of type 'image_url'"},
        {WITH("\"n\":2"), "\"n\" must be at most 1"},
        {WITH("\"temperature\":2.1"), "\"temperature\" must be from 0 to 2"},
        {WITH("\"top_p\":0"), "\"top_p\" must be from"},
        {WITH("\"seed\":-1"), "\"seed\" must be at least 0"},
        {WITH("\"max_tokens\":1.5"), "\"max_tokens\""},
        {WITH("\"stream\":1"), "\"stream\" must be"},
        {WITH("\"stop\":\"x\""), "\"stop\" is not served"},
        {WITH("\"tools\":[1]"), "\"tools\" is not served"},
        {WITH("\"logprobs\":true"), "\"logprobs\" is not served"},
        {WITH("\"frequency_penalty\":1"), "\"frequency_penalty\" is not served"},
        {WITH("\"response_format\":{\"type\":\"json_object\"}"), "of type json_object is not served"},
        {WITH("\"stream_options\":1"), "\"stream_options\" must be an object"},
        {WITH("\"model\":1"), "\"model\" must be a text"},
        {WITH("\"n\":1,\"n\":1"), "given twice"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        serve_request r;
        const status rc = parse(&r, wrong[i].body);
        ck_assert_msg(rc == STATUS_FORMAT && strstr(status_text(), wrong[i].says) && !strncmp(status_text(), "body:1:", 7),
                      "%s: %d %s", wrong[i].body, rc, rc ? status_text() : "");
        serve_request_close(&r);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("serve_request");
    TCase *tests = tcase_create("serve_request");
    tcase_add_test(tests, conversations);
    tcase_add_test(tests, settings);
    tcase_add_test(tests, refusals);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
