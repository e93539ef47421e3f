// The studies of MIMIC-CXR whose conclusion the MIT-LCP scripts force: 23 by a section's name, 31
// by the characters of the report, of which 8 are empty because the report concludes nothing. The
// table holds facts about that release of the data and nothing else.
#include "data/sections.h"

#include <stdlib.h>

static const section_rule rules[] = {
    // ordered by study
    {50058765, "indication", 0, 0},
    {50196495, NULL, 59, 399},
    {50525523, NULL, 201, 349},
    {50743547, "examination", 0, 0},
    {50798377, NULL, 0, 0},
    {50808053, "technique", 0, 0},
    {50913680, "recommendations", 0, 0},
    {51410602, NULL, 47, 320},
    {51491012, "history", 0, 0},
    {51966317, "indication", 0, 0},
    {52035334, NULL, 0, 0},
    {52119491, NULL, 179, 454},
    {52648681, NULL, 292, 631},
    {52674888, NULL, 145, 296},
    {53071062, NULL, 0, 0},
    {53182247, NULL, 59, 412},
    {53202765, "technique", 0, 0},
    {53356173, "examination", 0, 0},
    {53488209, NULL, 149, 475},
    {53514462, NULL, 73, 377},
    {53607029, NULL, 0, 0},
    {54168089, NULL, 0, 0},
    {54231141, NULL, 0, 0},
    {54365831, "indication", 0, 0},
    {54654948, "indication", 0, 0},
    {54875119, NULL, 234, 988},
    {54986978, NULL, 59, 306},
    {55124749, "indication", 0, 0},
    {55157853, "examination", 0, 0},
    {55258338, NULL, 192, 568},
    {56412866, NULL, 522, 822},
    {56451190, "note", 0, 0},
    {56482935, "recommendations", 0, 0},
    {56579911, NULL, 59, 218},
    {56724958, NULL, 0, 0},
    {56760320, NULL, 219, 457},
    {57150433, NULL, 61, 394},
    {57564132, NULL, 233, 554},
    {57936451, "indication", 0, 0},
    {58157373, "recommendations", 0, 0},
    {58235663, NULL, 0, 0},
    {58375018, "recommendations", 0, 0},
    {59003148, NULL, 262, 505},
    {59067458, "recommendations", 0, 0},
    {59087630, "recommendations", 0, 0},
    {59215320, "examination", 0, 0},
    {59279892, "technique", 0, 0},
    {59330497, NULL, 140, 655},
    {59363654, "examination", 0, 0},
    {59505494, NULL, 59, 450},
    {59562049, NULL, 158, 348},
    {59768032, "recommendations", 0, 0},
    {59889364, NULL, 172, 453},
    {59982525, NULL, 313, 717},
};

const section_rule *section_rule_find(const char *study) {
    if (*study == 's') study++;
    char *end;
    long long number = strtoll(study, &end, 10);
    if (*study < '0' || *study > '9' || *end) return NULL;
    for (size_t low = 0, high = sizeof rules / sizeof *rules; low < high;) {
        size_t middle = (low + high) / 2;
        if (rules[middle].study == number) return &rules[middle];
        if (rules[middle].study < number)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
