// The embedded data set's sentences: for every class what stands in a report when it is there, when
// it may be there and when it is not. Data only, in three files; synth_report.c fills them in.
//
// Slots: {s} right, left; {v} mild or small and so on; {z} upper lung; {l} upper lobe.
//
// Reports of different splits are worded differently, so that a labeler is tested on sentences that
// it has not seen: the last two of each list (the last, of fewer than twelve) are the test split's
// alone, as many before them validate's, the rest train's. Held-out sentences are ordinary ones:
// other arrangements of words that the training sentences of this or other classes use. Training
// sentences may be added in front of them.
#pragma once
#include "data/synth_study.h"

enum { PHRASES = 20 };
typedef const char *phrases[PHRASES]; // unused ones are NULL; the order decides the split

typedef struct phrase_range {
    int first, count;
} phrase_range;

// The part of LIST that reports of SPLIT use. A list of one or two belongs to all splits.
phrase_range phrases_for(const phrases list, synth_split split);

typedef struct finding_phrases {
    phrases one;        // on one side, or without a side
    phrases both;       // on both
    phrases unsure;     // uncertain
    phrases absent;     // negative
    phrases conclusion; // in the impression: a noun phrase, one side
    phrases conclusion_both;
    phrases suspicion; // in the impression, uncertain
} finding_phrases;
extern const finding_phrases mediastinum_phrases, heart_phrases, opacity_phrases, lesion_phrases,
    edema_phrases, consolidation_phrases, pneumonia_phrases, atelectasis_phrases,
    pneumothorax_phrases, effusion_phrases, pleura_phrases, fracture_phrases;
extern const finding_phrases *const finding_text[CLASS_COUNT];

// Two classes denied in one sentence.
typedef struct pair_phrases {
    int first, second;
    phrases text;
} pair_phrases;
enum { PHRASE_PAIRS = 5 };
extern const pair_phrases pair_text[PHRASE_PAIRS];

extern const phrases device_text[DEVICE_KINDS]; // by the bit's number; {s} the device's side
extern const phrases implied_opacity;           // Lung Opacity that follows from another finding
extern const phrases bare_text;                 // where there is nothing to say
extern const phrases device_conclusion, normal_conclusion;
extern const phrases calm_conclusion; // normal but for devices
// Of the heading, which is the same in all splits.
extern const phrases indications_acute, indications_other;
