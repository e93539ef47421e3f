// The 14 observations: names, label fields, words for prompts. See labels.h.
#include "data/labels.h"

#include <ctype.h>
#include <string.h>

const char *const class_names[CLASS_COUNT] = {
    "No Finding",       "Enlarged Cardiomediastinum",
    "Cardiomegaly",     "Lung Opacity",
    "Lung Lesion",      "Edema",
    "Consolidation",    "Pneumonia",
    "Atelectasis",      "Pneumothorax",
    "Pleural Effusion", "Pleural Other",
    "Fracture",         "Support Devices",
};

int class_find(const char *name) {
    for (int c = 0; c < CLASS_COUNT; c++)
        if (!strcmp(name, class_names[c])) return c;
    return -1;
}

bool text_is_missing(const char *text) {
    static const char *const words[] = {
        "",        "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND",
        "1.#QNAN", "<NA>", "N/A",      "NA",  "NULL",    "NaN",      "n/a",  "nan",  "null",
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(text, words[i])) return true;
    return false;
}

status label_parse(int8_t *out, const char *text) {
    *out = LABEL_BLANK;
    if (text_is_missing(text)) return STATUS_OK;
    const char *digit = text + (*text == '-' || *text == '+'), *rest = digit;
    if (*rest == '0' || *rest == '1') {
        rest++;
        if (*rest == '.') rest += 1 + strspn(rest + 1, "0");
        if (!*rest) {
            *out = *digit == '0' ? LABEL_NEGATIVE : *text == '-' ? LABEL_UNCERTAIN : LABEL_POSITIVE;
            return STATUS_OK;
        }
    }
    return status_fail(STATUS_FORMAT, "label '%.40s': it must be 1, 0, -1 or empty", text);
}

void classes_list(buffer *out, const bool set[CLASS_COUNT], const char *nothing) {
    const size_t begin = out->length;
    for (int c = 0; c < CLASS_COUNT; c++) {
        if (!set[c]) continue;
        if (out->length > begin) buffer_text(out, ", ");
        buffer_text(out, class_names[c]);
    }
    for (size_t i = begin; i < out->length; i++)
        out->data[i] = (char)tolower((unsigned char)out->data[i]);
    if (out->length == begin) buffer_text(out, nothing);
}

void findings_resolve(bool positive[CLASS_COUNT]) {
    for (int c = 0; c < CLASS_COUNT; c++)
        if (positive[c] && c != CLASS_NO_FINDING && c != CLASS_SUPPORT_DEVICES) positive[CLASS_NO_FINDING] = false;
}

void findings_text(buffer *out, const bool positive[CLASS_COUNT]) {
    bool said[CLASS_COUNT];
    memcpy(said, positive, sizeof said);
    findings_resolve(said);
    classes_list(out, said, NO_COMMON_FINDINGS);
}
