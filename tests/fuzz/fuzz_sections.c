// Reports: both variants of the section parser, forced studies included. The first byte chooses the study.
#include "data/sections.h"
#include "tests/fuzz/helper_fuzz.h"

#include <stdio.h>
#include <string.h>

// Studies with a rule of each kind, and one without.
static const char *const studies[] = {"s52035334", "s59330497", "s50913680", "50000000", "", "x"};
enum { STUDIES = sizeof studies / sizeof *studies };

static void ask(const sections *s, size_t length, const char *study) {
    buffer out = {0}, clean = {0};
    size_t place = 0;
    for (size_t i = 0; i < s->count; i++) {
        const section *part = &s->list[i];
        demand(part->start >= place && part->end >= part->start && part->end <= length);
        place = part->start;
        out.length = 0;
        demand(sections_last(&out, s, part->name));
    }
    for (int v = 0; v < SECTIONS_VARIANTS; v++) {
        out.length = 0;
        sections_conclusion(&out, s, study, (sections_variant)v);
        sections_listed(study, (sections_variant)v);
    }
    if (out.data) findings_clean(&clean, out.data);
    if (out.data) report_clean(&clean, out.data);
    demand(!out.failed && !clean.failed);
    buffer_free(&out);
    buffer_free(&clean);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    const char *study = studies[input_byte(&in) % STUDIES];
    char *report = input_rest_text(&in);
    sections s = {0};
    report_newlines(report);
    demand(!strchr(report, '\r'));
    status rc = sections_parse(&s, report);
    if (rc)
        demand_failure(rc);
    else
        ask(&s, strlen(report), study);
    sections_free(&s);
    mem_free(report);
    return 0;
}
