#include "tests/train/helper_language.h"
#include "core/files/fs.h"
#include "data/dataset.h"
#include "data/embeddings.h"
#include "data/image_codec.h"
#include "tests/data/helper_dicom.h"
#include "tests/train/helper_program.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char work[256], common[2048];

const char *in_work(const char *name) {
    static char path[4][PATH_SIZE];
    static int next;
    next = (next + 1) % 4;
    ck_assert(!path_join(path[next], PATH_SIZE, work, name));
    return path[next];
}

void language_embeddings(const char *name, const char *checkpoint) {
    language_embeddings_scaled(name, checkpoint, 1);
}

void language_embeddings_scaled(const char *name, const char *checkpoint, float scale) {
    dataset *data;
    embeddings_writer *w;
    const char *id[512];
    ck_assert(!dataset_open(&data, in_work("shards")));
    const int64_t count = dataset_records(data);
    ck_assert_int_le(count, 512);
    for (int64_t i = 0; i < count; i++) id[i] = dataset_id(data, i, ID_DICOM);
    const embeddings_facts facts = {checkpoint, "m", "all", "p", count, QUERIES, WIDTH, DTYPE_F32, id};
    ck_assert_msg(!embeddings_create(&w, in_work(name), &facts), "%s", status_text());
    for (int64_t i = 0; i < count; i++) {
        float row[QUERIES * WIDTH];
        for (int e = 0; e < QUERIES * WIDTH; e++) row[e] = scale * (float)((i * 31 + e * 7) % 13 - 6);
        ck_assert(!embeddings_add(w, row, 1));
    }
    ck_assert(!embeddings_finish(w));
    embeddings_writer_close(w);
    dataset_close(data);
}

void language_setup(void) {
    static const char base[] =
        "{\"model_type\": \"llama\", \"hidden_size\": 32, \"num_attention_heads\": 4, "
        "\"num_key_value_heads\": 2, \"intermediate_size\": 48, \"num_hidden_layers\": 2, "
        "\"vocab_size\": 300, \"max_position_embeddings\": 2048}";
    workspace_make(work);
    small_shards(work, 40);
    program_expect(0,
                   "instruct %s/shards --out %s/records --quiet --set instruct.cutoff=2000 "
                   "--set instruct.tokenizer=%s/tokenizer/llama.model --set instruct.image_tokens=%d "
                   "--set instruct.prompts=%s/configs/prompts/report.json",
                   work, work, TEST_DATA, QUERIES, SOURCE_ROOT);
    language_embeddings("images.h5", "c");
    ck_assert(!folder_make(in_work("base")));
    ck_assert(!file_write(in_work("base/config.json"), base, sizeof base - 1));
    snprintf(common, sizeof common,
             "--set data.instruct=%s/records --set data.embeddings=%s/images.h5 "
             "--set model.base=%s/base --set model.weights=random --set run.threads=2 "
             "--set model.tokenizer=%s/tokenizer/llama.model ",
             work, work, work, TEST_DATA);
}

void language_teardown(void) {
    workspace_remove(work);
}

void language_train_seer(void) {
    small_vocabulary(work);
    program_expect(0, "train classifier --quiet %s --set data.shards=%s/shards --set run.dir=%s/classifier "
                      "--set run.max_steps=3", tiny_settings, work, work);
    program_expect(0, "train aligner --quiet %s --set data.shards=%s/shards --set model.vocabulary=%s/vocab.txt "
                      "--set run.dir=%s/aligner --set run.max_steps=2", tiny_aligner, work, work, work);
    program_expect(0, "embed %s/shards --quiet --checkpoint %s/aligner --out %s/seen.h5", work, work, work);
    program_expect(0, "classify %s/shards --quiet --split test --checkpoint %s/classifier --out %s/found.jsonl",
                   work, work, work);
    program_expect(0,
                   "instruct %s/shards --out %s/seen --quiet --set instruct.cutoff=2000 "
                   "--set instruct.tokenizer=%s/tokenizer/llama.model --set instruct.image_tokens=%d "
                   "--set instruct.prompts=%s/configs/prompts/report.json --set instruct.findings_eval=%s/found.jsonl",
                   work, work, TEST_DATA, QUERIES, SOURCE_ROOT, work);
    program_expect(0,
                   "train lora %s --quiet --set data.instruct=%s/seen --set data.embeddings=%s/seen.h5 "
                   "--set run.dir=%s/seer --set run.max_steps=2 --set train.batch=4 --set optim.lr=0.05 "
                   "--set optim.warmup_steps=0 --set train.validate_first=false --set train.pack_tokens=2048",
                   common, work, work, work);
}

char *radiograph_file(const char *id) {
    char line[1024];
    snprintf(line, sizeof line, "find %s/data -name '%s.jpg' | sort > %s/path", work, id, work);
    ck_assert_int_eq(system(line), 0);
    char *path = read_file(in_work("path"), NULL);
    path[strcspn(path, "\n")] = 0;
    return path;
}

const char *dicom_of(const char *name, const char *path) {
    image i;
    ck_assert_msg(!image_read(&i, path), "%s", status_text());
    ck_assert(i.channels == 1 && i.depth == 8);
    dicom_write(in_work(name), &(dicom_source){.instance = "1.2." DICOM_SECRET,
                                               .study = "1.3." DICOM_SECRET,
                                               .patient = DICOM_SECRET,
                                               .name = "DOE^" DICOM_SECRET,
                                               .accession = "A" DICOM_SECRET,
                                               .width = i.width,
                                               .height = i.height,
                                               .samples = i.pixels});
    image_free(&i);
    return in_work(name);
}
