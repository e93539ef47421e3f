// The embedded data set's sentences: for every class what stands in a report when it is there, when it may
// be there and when it is not. Data only; synth_report.c fills them in.
//
// Slots: {s} right, left; {v} mild or small and so on; {z} upper lung; {l} upper lobe.
#pragma once
#include "data/synth_study.h"

enum { PHRASES = 8 };
typedef const char *phrases[PHRASES]; // unused ones are NULL

typedef struct finding_phrases {
    phrases one;        // on one side, or without a side
    phrases both;       // on both
    phrases unsure;     // uncertain
    phrases absent;     // negative
    phrases conclusion; // in the impression: a noun phrase, one side
    phrases conclusion_both;
    phrases suspicion; // in the impression, uncertain
} finding_phrases;
extern const finding_phrases finding_text[CLASS_COUNT];

// Two classes denied in one sentence.
typedef struct pair_phrases {
    int first, second;
    phrases text;
} pair_phrases;
enum { PHRASE_PAIRS = 5 };
extern const pair_phrases pair_text[PHRASE_PAIRS];

extern const phrases device_text[DEVICE_KINDS];       // by the bit's number; {s} the device's side
extern const phrases device_conclusion, normal_conclusion;
extern const phrases indications_acute, indications_other;
