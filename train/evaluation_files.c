// What evaluate leaves for other programs: scores.json; reports.jsonl; and the reports in the
// formats of RadEval (github.com/jbdel/RadEval, docs/file_formats.md: a JSON object with the lists
// "references" and "hypotheses") and of ReXrank (github.com/rajpurkarlab/ReXrank, example_files:
// predictions by study, and the tables study_id,report that its script makes of them for
// CXR-Report-Metric).
#include "core/files/fs.h"
#include "data/csv.h"
#include "train/evaluator.h"

#include <stdio.h>
#include <string.h>

// --- scores.json --------------------------------------------------------------------------------
static void json_interval(buffer *out, const interval *x) {
    buffer_text(out, "[");
    buffer_json_number(out, x->value);
    buffer_text(out, ", ");
    buffer_json_number(out, x->low);
    buffer_text(out, ", ");
    buffer_json_number(out, x->high);
    buffer_text(out, "]");
}

static void json_classes(buffer *out, const clinical_scores *c) {
    buffer_text(out, ",\n     \"classes\": {");
    for (int n = 0; n < CLASS_COUNT; n++) {
        const clinical_class *x = &c->per_class[n];
        buffer_print(
            out,
            "%s\n       \"%s\": {\"support\": %lld, \"predicted\": %lld, \"matched\": %lld, "
            "\"precision\": ",
            n ? "," : "", class_names[n], (long long)x->support, (long long)x->predicted,
            (long long)x->matched);
        buffer_json_number(out, x->score.precision);
        buffer_text(out, ", \"recall\": ");
        buffer_json_number(out, x->score.recall);
        buffer_text(out, ", \"f1\": ");
        buffer_json_number(out, x->score.f1);
        buffer_text(out, "}");
    }
    buffer_text(out, "}");
}

static void json_run(buffer *out, const evaluator *v, int k) {
    const run_scores *s = &v->run[k];
    buffer_text(out, k ? ",\n    {\"answers\": " : "\n    {\"answers\": ");
    buffer_json(out, v->e.run[k].name);
    buffer_print(out, ", \"different\": %lld,\n     \"scores\": {", (long long)s->distinct);
    for (int i = 0; i < REPORT_SCORES; i++) {
        buffer_print(out, "%s\"%s\": ", i ? ", " : "", report_score_keys[i]);
        json_interval(out, &s->score[i]);
    }
    buffer_text(out, "}");
    if (k) {
        buffer_text(out, ",\n     \"first_minus_this\": {");
        for (int i = 0; i < REPORT_SCORES; i++) {
            buffer_print(out, "%s\"%s\": ", i ? ", " : "", report_score_keys[i]);
            json_interval(out, &s->difference[i]);
        }
        buffer_text(out, "},\n     \"p\": {");
        for (int i = 0; i < REPORT_SCORES; i++) {
            buffer_print(out, "%s\"%s\": ", i ? ", " : "", report_score_keys[i]);
            buffer_json_number(out, s->p[i]);
        }
        buffer_text(out, "}");
    }
    json_classes(out, &s->clinical);
    buffer_text(out, "}");
}

// The lines on files of answers have one key.
static void json_protocol(buffer *out, const evaluator *v) {
    bool answers = false;
    buffer_text(out, ",\n  \"protocol\": {");
    for (int i = 0; i < v->lines; i++) {
        const protocol_line *l = &v->protocol[i];
        const bool answer = !strcmp(l->key, "answers");
        if (!answer || !answers) {
            buffer_text(out, i ? ",\n    " : "\n    ");
            buffer_json(out, l->key);
            buffer_text(out, answer ? ": [" : ": ");
        } else {
            buffer_text(out, ",\n      ");
        }
        answers |= answer;
        buffer_json(out, l->text);
    }
    buffer_text(out, answers ? "]\n  }" : "\n  }");
}

static void json_published(buffer *out) {
    buffer_text(out, ",\n  \"published\": {");
    for (int r = 0; r < PAPER_ROWS; r++) {
        buffer_text(out, r ? ",\n    " : "\n    ");
        buffer_json(out, paper_rows[r].name);
        for (int c = 0; c < PAPER_COLUMNS; c++) {
            buffer_print(out, "%s\"%s\": ", c ? ", " : ": {", report_score_keys[paper_columns[c]]);
            buffer_json_number(out, paper_rows[r].score[c]);
        }
        buffer_text(out, "}");
    }
    buffer_text(out, "\n  }");
}

void evaluation_json(buffer *out, const evaluator *v) {
    buffer_print(
        out,
        "{\n  \"reports\": %lld, \"truth\": \"%s\", \"mapping\": \"%s\", \"resamples\": %lld, "
        "\"seed\": %lld,\n  \"data\": ",
        (long long)v->e.count, config_text(v->config, "evaluate.truth"),
        clinical_mapping_names[v->how.mapping],
        (long long)config_int(v->config, "evaluate.resamples"),
        (long long)config_int(v->config, "run.seed"));
    buffer_json(out, dataset_plan(v->data));
    buffer_text(out, ", \"sentences\": ");
    buffer_json(out, punkt_name(v->how.sentences));
    buffer_text(out, ", \"meteor\": ");
    buffer_json(out, meteor_stages(v->how.meteor));
    json_protocol(out, v);
    json_published(out);
    buffer_text(out, ",\n  \"runs\": [");
    for (int k = 0; k < v->e.runs; k++) json_run(out, v, k);
    buffer_text(out, "\n  ]\n}\n");
}

// --- reports.jsonl ------------------------------------------------------------------------------
static void json_findings(buffer *out, const evaluator *v, const int8_t labels[CLASS_COUNT]) {
    bool first = true;
    buffer_text(out, "[");
    for (int n = 0; n < CLASS_COUNT; n++) {
        if (!clinical_found(labels[n], v->how.mapping)) continue;
        buffer_text(out, first ? "" : ",");
        buffer_json(out, class_names[n]);
        first = false;
    }
    buffer_text(out, "]");
}

// A line per record: the report, its findings, and every run's.
static void print_reports(buffer *out, const evaluator *v) {
    for (int64_t i = 0; i < v->e.count; i++) {
        buffer_text(out, "{\"dicom_id\":");
        buffer_json(out, dataset_id(v->data, v->e.record[i], ID_DICOM));
        buffer_text(out, ",\"report\":");
        buffer_json(out, v->e.reference[i]);
        buffer_text(out, ",\"findings\":");
        json_findings(out, v, v->e.truth + i * CLASS_COUNT);
        buffer_text(out, ",\"answers\":[");
        for (int k = 0; k < v->e.runs; k++) {
            buffer_text(out, k ? ",{\"text\":" : "{\"text\":");
            buffer_json(out, v->e.run[k].text[i]);
            buffer_text(out, ",\"findings\":");
            json_findings(out, v, v->e.run[k].labels + i * CLASS_COUNT);
            buffer_text(out, "}");
        }
        buffer_text(out, "]}\n");
    }
}

// --- RadEval ------------------------------------------------------------------------------------
static void json_texts(buffer *out, const char *name, const char *const *text, int64_t count) {
    buffer_print(out, "  \"%s\": [", name);
    for (int64_t i = 0; i < count; i++) {
        buffer_text(out, i ? ",\n    " : "\n    ");
        buffer_json(out, text[i]);
    }
    buffer_text(out, "\n  ]");
}

static void print_radeval(buffer *out, const evaluator *v, int k) {
    buffer_text(out, "{\n");
    json_texts(out, "references", v->e.reference, v->e.count);
    buffer_text(out, ",\n");
    json_texts(out, "hypotheses", v->e.run[k].text, v->e.count);
    buffer_text(out, "\n}\n");
}

// --- ReXrank ------------------------------------------------------------------------------------
// The study, which is what ReXrank names; of several radiographs of a study those behind the first
// say which they are.
static const char *study_name(char out[512], const evaluator *v, int64_t i) {
    const char *study = dataset_id(v->data, v->e.record[i], ID_STUDY),
               *image = dataset_id(v->data, v->e.record[i], ID_DICOM);
    bool again = !*study;
    for (int64_t j = 0; j < i && !again; j++)
        again = !strcmp(dataset_id(v->data, v->e.record[j], ID_STUDY), study);
    snprintf(out, 512, again ? "%s%s%s" : "%s", *study ? study : image, *study ? "/" : "",
             *study ? image : "");
    return out;
}

// A member of the object that ReXrank's script reads: what it compares stands in section_findings;
// the report that was to be written is there, whichever section it is.
static void json_study(buffer *out, const evaluator *v, int k, int64_t i) {
    const bool impression = config_choice(v->config, "data.section") == TEXT_IMPRESSION;
    char name[512];
    buffer_text(out, i ? ",\n  " : "\n  ");
    buffer_json(out, study_name(name, v, i));
    buffer_text(out, ": {\"dicom_id\": [");
    buffer_json(out, dataset_id(v->data, v->e.record[i], ID_DICOM));
    buffer_text(out, "], \"section_findings\": ");
    buffer_json(out, impression ? "" : v->e.reference[i]);
    buffer_text(out, ", \"section_impression\": ");
    buffer_json(out, impression ? v->e.reference[i] : "");
    buffer_text(out, ", \"model_prediction\": ");
    buffer_json(out, v->e.run[k].text[i]);
    buffer_text(out, "}");
}

static void print_predictions(buffer *out, const evaluator *v, int k) {
    buffer_text(out, "{");
    for (int64_t i = 0; i < v->e.count; i++) json_study(out, v, k, i);
    buffer_text(out, "\n}\n");
}

static void print_studies(buffer *out, const evaluator *v, const char *const *text) {
    const char *row[2] = {"study_id", "report"};
    char name[512];
    csv_write_row(out, row, 2);
    for (int64_t i = 0; i < v->e.count; i++) {
        row[0] = study_name(name, v, i);
        row[1] = text[i];
        csv_write_row(out, row, 2);
    }
}

// --- files --------------------------------------------------------------------------------------
static status give(buffer *text, const char *folder, const char *name) {
    char path[PATH_SIZE];
    status rc = text->failed ? text->failed : path_join(path, sizeof path, folder, name);
    if (!rc) rc = file_write(path, text->data, text->length);
    text->length = 0;
    return rc;
}

// Run k's files end in its number, from 1 on.
static status write_exchange(const evaluator *v, const char *folder, buffer *text) {
    char name[64];
    print_studies(text, v, v->e.reference);
    status rc = give(text, folder, "rexrank-truth.csv");
    for (int k = 0; k < v->e.runs && !rc; k++) {
        print_radeval(text, v, k);
        snprintf(name, sizeof name, "radeval-%d.json", k + 1);
        rc = give(text, folder, name);
        print_predictions(text, v, k);
        snprintf(name, sizeof name, "rexrank-%d.json", k + 1);
        if (!rc) rc = give(text, folder, name);
        print_studies(text, v, v->e.run[k].text);
        snprintf(name, sizeof name, "rexrank-%d.csv", k + 1);
        if (!rc) rc = give(text, folder, name);
    }
    return rc;
}

status evaluation_files(const evaluator *v, const char *folder) {
    buffer text = {0};
    evaluation_json(&text, v);
    status rc = give(&text, folder, "scores.json");
    print_reports(&text, v);
    if (!rc) rc = give(&text, folder, "reports.jsonl");
    if (!rc) rc = write_exchange(v, folder, &text);
    buffer_free(&text);
    return rc;
}
