// make_fuzz_corpus DIR: writes the first seeds of every fuzz target as DIR/NAME/seed-WHAT. What a long run
// found since then stands beside them in tests/fuzz/corpus/ and is kept by scripts/fuzz.sh.
#include "core/files/fs.h"
#include "core/files/gguf.h"
#include "core/files/hdf5.h"
#include "core/files/safetensors.h"
#include "core/config.h"
#include "data/image_codec.h"
#include "train/config_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>
#include <zlib.h>

static const char *root;

static void must(status rc) {
    if (rc) die("%s", status_text());
}

static const char *place(const char *target, const char *what) {
    static char path[PATH_SIZE];
    must(path_join(path, sizeof path, root, target));
    must(folder_make(path));
    size_t used = strlen(path);
    snprintf(path + used, sizeof path - used, "/seed-%s", what);
    return path;
}

static void seed(const char *target, const char *what, const void *bytes, size_t size) {
    must(file_write(place(target, what), bytes, size));
}

static void seed_text(const char *target, const char *what, const char *text) {
    seed(target, what, text, strlen(text));
}

// --- text formats --------------------------------------------------------------------------------

static void make_json(void) {
    seed_text("json", "kinds",
              "{\"a\": [1, -2.5e3, 0, true, false, null, \"x\\u00e9\\ud83e\\udec1\\n\\\"\"],\n"
              " \"b\": {\"c\": {}, \"d\": []}}");
    seed_text("json", "numbers", "[9007199254740992, -0, 1e308, 0.1, 3.0, 3e0, 1E-400]");
    seed_text("json", "deep", "[[[[[[[[[[[[[[[[{\"k\":[{}]}]]]]]]]]]]]]]]]]");
    seed_text("json", "twice", "{\"a\": 1, \"a\": 2}");
    seed_text("json", "bare", "\"text\" ");
}

static void make_csv(void) {
    static const char quoted[] = "a,b,\"c, d\"\r\n1,\"x \"\"y\"\"\nz\",\r\n\r\n2,3\n4,5,6,7\n\"8\"9,1,2\r";
    static const char marked[] = "\xef\xbb\xbf"
                                 "dicom_id,study_id,Edema\nd1,s1,1.0\nd2,s2,-1\n";
    seed_text("csv", "quoted", quoted);
    seed_text("csv", "mark", marked);
    seed("csv", "nul", "a,b\n1,\0\n3,4\n", 12);
    seed_text("csv", "open", "a,b\n\"1,2\n");
    gzFile file = gzopen(place("csv", "gzip"), "wb6");
    if (!file || gzwrite(file, quoted, sizeof quoted - 1) <= 0 || gzclose(file)) die("no gzip");
}

// The first byte: 0 table, 1 JSON lines, 2 text; 4 a column is named, 8 no header.
static void make_report_tables(void) {
    seed_text("report_table", "table",
              "\x10" // read back without a header
              "study_id,findings,dicom_id\r\ns1,\"Clear.\r\nNo \"\"effusion\"\".\",d1\r\n"
              "s2,,d2\r\ns3,NaN,d3\r\n");
    seed_text("report_table", "named", "\x04text,report,study_id\na,b,5\nc\n");
    seed_text("report_table", "headerless", "\x08No \xc3\xa9t\xc3\xa9.\n\"two,\nlines\"\nnan\n");
    seed_text("report_table", "lines",
              "\x01{\"dicom_id\": \"d1\", \"text\": \"a\\nb \\u00e9\"}\r\n \n"
              "{\"text\": null, \"dicom_id\": 12}");
    seed_text("report_table", "keyed", "\x05{\"text\": \"a\", \"study_id\": 1.5}\n");
    seed_text("report_table", "plain", "\x02\xef\xbb\xbf FINDINGS: a,\n\nb");
    seed_text("report_table", "not_utf8", "\x02 b\xe9");
}

static void make_config(void) {
    config *c;
    buffer all = {0};
    must(config_open(&c, classifier_tables));
    config_resolved(c, &all);
    seed("config", "all", all.data, all.length);
    config_close(c);
    buffer_free(&all);
    static const char sets[] = "{\"run\": {\"seed\": 7}}\0optim.lr=1e-3\nrun.dir=a b\nmodel.widths=[8,16,32,64]\n"
                               "train.score=macro_f1\ndata.augment=true\nrun.sed=1\ntrain.keep=0";
    seed("config", "sets", sets, sizeof sets - 1);
}

static void make_sections(void) {
    seed_text("sections", "plain",
              "0\n                                 FINAL REPORT\n EXAMINATION:  CHEST (PA AND LAT)\n\n"
              " INDICATION:  ___F with cough  // pneumonia?\n\n COMPARISON:  None.\n\n FINDINGS: \n \n"
              " The lungs are clear.  No effusion.\n\n IMPRESSION: \n \n No acute process.\n");
    seed_text("sections", "crlf", "1\r\n HISTORY:  Fall.\r\r\n FINDINGS:  Clear.\r\n\r\nConclusion here.\r\n");
    seed_text("sections", "headless", "2\n a report of one paragraph\n\n and another one\n");
    seed_text("sections", "odd", "3\n FINDINGS:\n IMPRESSION::\n (REF:  X):  \n WET READ: VERSION #1 9:10 AM\n"
                                 " NOTIFICATION: gr\xc3\xb6\xc3\x9f"
                                 "er\n RECOMMENDATION(S):  1. x\n");
}

// --- images --------------------------------------------------------------------------------------

enum { SIDE = 24 };

static void jpeg(const char *what, int components, bool progressive, bool arithmetic, int restart) {
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    unsigned char row[SIDE * 4], *bytes = NULL;
    unsigned long size = 0;
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &bytes, &size);
    info.image_width = info.image_height = SIDE;
    info.input_components = components;
    info.in_color_space = components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&info);
    info.arith_code = arithmetic;
    info.restart_interval = (unsigned)restart;
    if (progressive) jpeg_simple_progression(&info);
    jpeg_start_compress(&info, TRUE);
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE * components; x++) row[x] = (unsigned char)(x * 5 + y * 7);
        JSAMPROW at = row;
        jpeg_write_scanlines(&info, &at, 1);
    }
    jpeg_finish_compress(&info);
    seed("image", what, bytes, size);
    jpeg_destroy_compress(&info);
    free(bytes);
}

static void png(const char *what, int type, int depth, int interlace) {
    unsigned char row[SIDE * 8];
    png_color palette[4] = {{0, 0, 0}, {255, 0, 0}, {0, 255, 0}, {9, 9, 9}};
    FILE *file = fopen(place("image", what), "wb");
    png_structp w = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = w ? png_create_info_struct(w) : NULL;
    if (!file || !info || setjmp(png_jmpbuf(w))) die("no PNG %s", what);
    png_init_io(w, file);
    png_set_IHDR(w, info, SIDE, SIDE, depth, type, interlace, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    if (type == PNG_COLOR_TYPE_PALETTE) png_set_PLTE(w, info, palette, 4);
    png_write_info(w, info);
    int passes = png_set_interlace_handling(w);
    for (int y = 0; y < SIDE * passes; y++) {
        for (size_t x = 0; x < sizeof row; x++)
            row[x] = (unsigned char)(type == PNG_COLOR_TYPE_PALETTE ? 0x1b : x * 3 + (size_t)(y % SIDE));
        png_write_row(w, row);
    }
    png_write_end(w, info);
    png_destroy_write_struct(&w, &info);
    if (fclose(file)) die("no PNG %s", what);
}

static void make_images(void) {
    jpeg("grey", 1, false, false, 0);
    jpeg("colour", 3, false, false, 2);
    jpeg("progressive", 3, true, false, 0);
    jpeg("arithmetic", 1, false, true, 0);
    jpeg("cmyk", 4, false, false, 0);
    png("png-grey", PNG_COLOR_TYPE_GRAY, 8, PNG_INTERLACE_NONE);
    png("png-16", PNG_COLOR_TYPE_GRAY, 16, PNG_INTERLACE_NONE);
    png("png-rgba", PNG_COLOR_TYPE_RGB_ALPHA, 8, PNG_INTERLACE_ADAM7);
    png("png-bits", PNG_COLOR_TYPE_GRAY, 2, PNG_INTERLACE_NONE);
    png("png-palette", PNG_COLOR_TYPE_PALETTE, 2, PNG_INTERLACE_ADAM7);
}

// --- tensors -------------------------------------------------------------------------------------

static void make_safetensors(void) {
    static const int64_t shape[] = {2, 3}, none[] = {0, 5};
    static const float values[6] = {1, 2, 3, 4, 5, 6};
    static const int64_t whole[2] = {7, -8};
    safetensors_writer *w;
    must(safetensors_create(&w, place("safetensors", "three")));
    must(safetensors_declare_note(w, "format", "pt"));
    must(safetensors_declare(w, "i", DTYPE_I64, 1, shape));
    must(safetensors_declare(w, "a.weight", DTYPE_F32, 2, shape));
    must(safetensors_declare(w, "empty", DTYPE_F32, 2, none));
    must(safetensors_write(w, "i", whole, sizeof whole));
    must(safetensors_write(w, "a.weight", values, sizeof values));
    must(safetensors_write(w, "empty", values, 0));
    must(safetensors_finish(w));
    safetensors_writer_close(w);
    must(safetensors_create(&w, place("safetensors", "empty")));
    must(safetensors_finish(w));
    safetensors_writer_close(w);
}

static void make_gguf(void) {
    static const int64_t shape[] = {2, 3};
    static const float values[6] = {1, 2, 3, 4, 5, 6};
    gguf_writer *w;
    must(gguf_create(&w, place("gguf", "two")));
    must(gguf_note_text(w, "general.type", "adapter"));
    must(gguf_note_u32(w, "general.alignment", 32));
    must(gguf_note_f32(w, "adapter.lora.alpha", 16));
    must(gguf_declare(w, "blk.0.attn_q.weight.lora_a", DTYPE_F32, 2, shape));
    must(gguf_declare(w, "h", DTYPE_F16, 1, shape));
    must(gguf_write(w, "blk.0.attn_q.weight.lora_a", values, sizeof values));
    must(gguf_write(w, "h", values, 4));
    must(gguf_finish(w));
    gguf_writer_close(w);
    must(gguf_create(&w, place("gguf", "empty")));
    must(gguf_finish(w));
    gguf_writer_close(w);
    // Lists, which the writer does not know: of numbers and of texts.
    seed("gguf", "lists",
         "GGUF\3\0\0\0\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0"
         "\1\0\0\0\0\0\0\0a\11\0\0\0\5\0\0\0\2\0\0\0\0\0\0\0\1\0\0\0\2\0\0\0"
         "\1\0\0\0\0\0\0\0b\11\0\0\0\10\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0xy",
         24 + 33 + 35);
}

static void make_hdf5(void) {
    static const int64_t records[] = {2, 4, 4}, labels[] = {2, 3}, text = 5;
    static const uint8_t bytes[16] = {120, 1, 3};
    hdf5 *f;
    must(hdf5_create(&f, place("hdf5", "all")));
    must(hdf5_write_int(f, "version", 1));
    must(hdf5_write_text(f, "format", "some text"));
    must(hdf5_write(f, "labels", DTYPE_I8, 2, labels, bytes));
    must(hdf5_make_group(f, "texts"));
    must(hdf5_write(f, "texts/bytes", DTYPE_U8, 1, &text, bytes));
    must(hdf5_make_records(f, "images", DTYPE_U8, 3, records, 1));
    for (int i = 0; i < 2; i++) must(hdf5_write_record(f, "images", i, bytes, sizeof bytes));
    must(hdf5_finish(f));
    hdf5_close(f);
    must(hdf5_create(&f, place("hdf5", "strings")));
    must(hdf5_write_strings(f, "ids", (const char *const[]){"one", "", "another"}, 3));
    must(hdf5_finish(f));
    hdf5_close(f);
}

// --- what ingest and training leave ---------------------------------------------------------------

static void part(buffer *out, const void *bytes, size_t size) {
    const unsigned char length[] = {(unsigned char)size, (unsigned char)(size >> 8)};
    buffer_append(out, length, sizeof length);
    buffer_append(out, bytes, size);
}

static void seed_buffer(const char *target, const char *what, buffer *b) {
    must(b->failed);
    seed(target, what, b->data, b->length);
    buffer_free(b);
}

static void make_shards(void) {
    buffer b = {0};
    static const unsigned char footer[] = "body\0\0\0\0\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0"
                                          "RADSEAL1\4\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0crc";
    seed("shard", "good", "\1", 1);
    buffer_append(&b, "\0", 1);
    buffer_append(&b, footer, sizeof footer);
    seed_buffer("shard", "raw", &b);
    buffer_append(&b, "\1\5\4", 3); // the offsets of the first column
    part(&b, "\0\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0", 24);
    seed_buffer("shard", "offsets", &b);
    buffer_append(&b, "\1\0\1\2\2\3\15\0\0", 9); // labels of another type
    seed_buffer("shard", "type", &b);
    buffer_append(&b, "\1\54\4", 3); // the plan
    part(&b, "another plan", 12);
    buffer_append(&b, "\60\4", 2); // the image
    part(&b, "x\1\3\0\0\0\0\1", 8);
    buffer_append(&b, "\61\4\1\0\0\0\377\377\377\377", 10); // its place
    seed_buffer("shard", "image", &b);
}

static void make_manifest(void) {
    seed_text("manifest", "good",
              "{\"format\": \"radialog-shards\", \"version\": 1, \"records\": 2,\n"
              "\"splits\": {\"train\": 2, \"validate\": 0, \"test\": 0},\n\"shards\": [\n"
              "{\"file\": \"train-00000.h5\", \"split\": \"train\", \"records\": 2}],\n\"hashes\": {\n"
              "\"plan\": \"0123456789abcdef\", \"train-00000.h5\": \"SEALSEAL\"}}");
    seed_text("manifest", "twice",
              "{\"format\": \"radialog-shards\", \"version\": 1, \"records\": 4,\n"
              "\"splits\": {\"train\": 4, \"validate\": 0, \"test\": 0},\n\"shards\": [\n"
              "{\"file\": \"train-00000.h5\", \"split\": \"train\", \"records\": 2},\n"
              "{\"file\": \"train-00000.h5\", \"split\": \"train\", \"records\": 2}],\n\"hashes\": {\n"
              "\"plan\": \"0123456789abcdef\", \"train-00000.h5\": \"SEALSEAL\"}}");
}

static void make_plans(void) {
    static const char classes[] = "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,"
                                  "Lung Lesion,Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,"
                                  "Pleural Effusion,Pleural Other,Fracture,Support Devices\n";
    buffer b = {0};
    seed_text("plan", "folder", "0id,image,report,patient,study,split,view,impression\n"
                                "a,a.png,r/a.txt,p1,s1,train,PA,none\nb,b.png,\"FINDINGS: x\",p1,s2,val,,\n"
                                "a,c.png,t,p2,s3,test,AP,\nc,d.png,t,p2,s3,other,AP,\n,,,,,,,\n");
    buffer_print(&b, "0image,findings,%sa.png,clear,1,0,-1,,,,,,,,,,,\nb.png,x,2,,,,,,,,,,,,,\n", classes);
    seed_buffer("plan", "folder-labels", &b);
    seed_text("plan", "splits", "1dicom_id,study_id,subject_id,split\nd1,50000001,10000001,train\n"
                                "d1,50000001,10000001,test\nd/2,5,1,train\nd3,50000002,10000001,validate\n");
    seed_text("plan", "views", "2dicom_id,x,ViewPosition\nd1,,LL\nd1,,AP\nd9,,\n");
    buffer_print(&b, "3study_id,%s50000001,1.0,,,,,,,,,,,,,-1.0\n50000002,3\n50000002,9,,,,,,,,,,,,,\n", classes);
    seed_buffer("plan", "chexpert", &b);
    buffer_print(&b, "4dicom_id,%sd1,1,,,,,,,,,,,,,0\nunknown,1,,,,,,,,,,,,,\nd3,x,,,,,,,,,,,,,\n", classes);
    seed_buffer("plan", "labels", &b);
}

static void make_wordpieces(void) {
    static const char vocabulary[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nlow\n##er\n##e\n##r\n[DEC]\n";
    buffer b = {0};
    buffer_append(&b, "\0\5", 2);
    part(&b, vocabulary, sizeof vocabulary - 1);
    buffer_text(&b, "Lower LOW lowest [SEP] [DEC]low\xc3\xa9r");
    seed_buffer("wordpiece", "vocabulary", &b);
    buffer_append(&b, "\0\5", 2);
    part(&b, "[PAD]\r\n[UNK]\r\n[CLS]\r[SEP]\r\n[MASK]\na", 35);
    seed_buffer("wordpiece", "line-ends", &b);
    buffer_append(&b, "\0\0", 2);
    part(&b, "[PAD]\n[UNK]\n[PAD]\n", 18);
    seed_buffer("wordpiece", "twice", &b);
    seed_text("wordpiece", "report", "1@The heart is normal in size. No pleural effusion, don't [MASK] a b ab aab.");
    seed_text("wordpiece", "marks", "2 e\xcc\x81\xcc\xa3 \xc3\xa9 \xc4\xb0 \xce\xa3 \xed\x95\x9c \xe4\xb8\xad\xe6\x96\x87 "
                                    "\xe2\x80\xa8x\xc2\xa0y\xe2\x80\x8bz \xf0\x9f\x98\x80 \xff\xc3 \xed\xa0\x80");
    seed_text("wordpiece", "special", "3x[CLS][SEP][sep][S\x01" "EP][DEC] [ ] [[PAD]] a[UNK]b");
    buffer_text(&b, "4\177");
    for (int i = 0; i < 202; i++) buffer_text(&b, i == 100 ? " " : "ab");
    seed_buffer("wordpiece", "long", &b);
}

static void make_checkpoints(void) {
    static const char manifest[] =
        "{\"format\": \"radialog checkpoint\", \"version\": 1, \"stage\": \"fuzz\", \"step\": 3,\n"
        "\"updates\": 2, \"threads\": 1, \"ranks\": 1, \"precision\": \"f32\",\n\"best\": {\"score\": 0.5, \"step\": 2, \"stale\": 1},\n"
        "\"files\": {\"model.safetensors\": {\"bytes\": 240, \"crc32\": \"CRCCRC_0\"},\n"
        "\"optimizer.safetensors\": {\"bytes\": 344, \"crc32\": \"CRCCRC_1\"},\n"
        "\"config.json\": {\"bytes\": 3, \"crc32\": \"CRCCRC_2\"}}}";
    static const char tensors[] = "\310\0\0\0\0\0\0\0{\"a.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],"
                                  "\"data_offsets\":[0,24]},\"a.mean\":{\"dtype\":\"F32\",\"shape\":[2],"
                                  "\"data_offsets\":[24,32]},\"c.weight\":{\"dtype\":\"F32\","
                                  "\"shape\":[2,1,1,1],\"data_offsets\":[32,40]}}";
    buffer b = {0};
    unsigned char model[8 + 200 + 40];
    memset(model, ' ', sizeof model);
    memcpy(model, tensors, sizeof tensors - 1);
    seed("checkpoint", "good", "\0", 1);
    buffer_append(&b, "\0", 1);
    part(&b, manifest, sizeof manifest - 1);
    seed_buffer("checkpoint", "manifest", &b);
    for (int flags = 1; flags <= 3; flags++) {
        const char flag = (char)flags;
        buffer_append(&b, &flag, 1);
        part(&b, "", 0);
        part(&b, model, sizeof model);
        seed_buffer("checkpoint", flags == 1 ? "model" : flags == 2 ? "alone" : "both", &b);
    }
}

static void make_prompts(void) {
    static const char own[] =
        "{\"format\": \"radialog-prompts\", \"version\": 1, \"system\": \"S\", \"roles\": [\"U\", \"A\"],\n"
        "\"separators\": [\" \", \"</s>\"], \"report\": \"{image} {{x}} {findings}.\", \"image_token\": \"<I>\",\n"
        "\"report_without_findings\": \"{image}\"}";
    static const char theirs[] =
        "{\"img_matching_examples_ig2_noexamples_IMG_findings\": \"I: <IMG><IMG>. {findings}\",\n"
        "\"k\": \"{findings}{image}\", \"bad\": \"{image} {findings} {age} } {\"}";
    static const char around[] = "{\"prompt_no_input\": \"<{instruction}>\", \"response_split\": \"A:\"}";
    static const char *const keys[] = {"k", "bad"};
    buffer b = {0};
    buffer_append(&b, "\0", 1);
    buffer_text(&b, own);
    seed_buffer("prompts", "own", &b);
    buffer_append(&b, "\3", 1);
    part(&b, "System\r\n", 8);
    part(&b, around, sizeof around - 1);
    buffer_text(&b, theirs);
    seed_buffer("prompts", "radialog", &b);
    for (int i = 0; i < 2; i++) {
        buffer_append(&b, "\5", 1);
        part(&b, "System", 6);
        part(&b, keys[i], strlen(keys[i]));
        buffer_text(&b, theirs);
        seed_buffer("prompts", keys[i], &b);
    }
}

// A kind of file each, by its first byte.
static void make_tasks(void) {
    static const struct {
        const char *what, *text;
    } files[] = {
        {"own", "{\"format\": \"radialog-task-prompts\", \"version\": 1, \"system\": \"S\",\n"
                "\"train\": {\"EL\": [\"a\", \"b {x}\"], \"CO_both\": [\"{add} {remove}\"], \"RE\": [\"{finding}\"]},\n"
                "\"ask\": {\"CPbQA\": \" {finding}?\", \"CO_add\": \"{add}\"}, \"write\": {\"EL\": \"{report}: {prompt}\"}}"},
        {"table", "instruction\r\n\"Is there <X>, <add>?\"\r\n\"A \"\"q\"\"\"\r\n"},
        {"explanations", "{\"report_ID\": \"s1\", \"nle\": \"x\", \"diagnosis_label\": [0, 1, 0, 0, 0.5, 0, 0, 0, 0, 1]}\n\n"},
        {"answers", "{\"task\":\"EL\",\"dicom_id\":\"d0\",\"prompt\":\"p\",\"text\":\" t\\n\"}\n"
                    "{\"task\":\"CO\",\"dicom_id\":\"d1\",\"prompt\":\"p\",\"report\":\"r\",\"text\":\"\"}\n"},
        {"corrections", "[{\"dicom\": \"d0\", \"pred_report\": \"r\", \"fp\": [\"Edema\", \"No Finding\"], \"fn\": []},\n"
                        "{\"dicom\": \"d1\", \"pred_report\": \"\", \"fp\": [], \"fn\": []}]"},
        {"llava", "[{\"id\": \"d0\", \"image\": \"files/i.jpg\", \"task_type\": \"CPbQA\", \"conversations\": [\n"
                  "{\"from\": \"human\", \"value\": \"<image>. q\"}, {\"from\": \"gpt\", \"value\": \"a\"}]}]"},
        {"turns", "S U: a <IMG> A: b/U: c A:"},
    };
    buffer b = {0};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char kind = (char)i;
        buffer_append(&b, &kind, 1);
        buffer_text(&b, files[i].text);
        seed_buffer("tasks", files[i].what, &b);
    }
}

static void part_text(buffer *out, const char *text) {
    part(out, text, strlen(text));
}

// The file PATH as the tests have it.
static void part_file(buffer *out, const char *path) {
    buffer file = {0};
    must(file_read(path, 0, &file));
    part(out, file.data, file.length);
    buffer_free(&file);
}

static void make_text_tables(void) {
    static const char synsets[] = "clear\n11 12\nplain\n12\nmouse\n7\nglass\n7 8\nbox\n8\ntry\n9\n";
    static const char paraphrases[] = "0.5\nno sign of\nwithout\n0.25\nclear\nplain of\n";
    buffer b = {0};
    buffer_append(&b, "\0", 1);
    part_text(&b, "dr\n. . \nct");
    part_text(&b, "the\nno");
    part_text(&b, "no\tchange\n##number##\tmm");
    part_text(&b, "the\t46\nheart\t112");
    buffer_text(&b, "Seen by Dr. Who (at 3. p.m.) \"No. 5\"... can't!? A. B-ct. The end.");
    seed_buffer("text_tables", "punkt", &b);
    buffer_append(&b, "\1", 1);
    part_text(&b, synsets);
    buffer_text(&b, "mouse\nmice meese\nglass\nglasses\n");
    seed_buffer("text_tables", "synonyms", &b);
    buffer_append(&b, "\2", 1);
    part_file(&b, "tests/golden/meteor/tables.jar");
    part_text(&b, "clear mice tries of the boxes");
    buffer_text(&b, "plain rodents attempt of boxes");
    seed_buffer("text_tables", "jar", &b);
    buffer_append(&b, "\3", 1);
    part_text(&b, paraphrases);
    part_text(&b, "no sign of clear lungs, e.g. no.");
    buffer_text(&b, "without plain of lungs - clear");
    seed_buffer("text_tables", "paraphrases", &b);
    buffer_append(&b, "\3", 1);
    part_file(&b, "tests/golden/meteor/paraphrases.gz");
    part_text(&b, "no sign of mice at the left base");
    buffer_text(&b, "without rodents base on the left");
    seed_buffer("text_tables", "gzip", &b);
}

static void make_instruct(void) {
    static const char manifest[] =
        "{\"format\": \"radialog-instruct\", \"version\": 1, \"splits\": {\"train\": 2, \"validate\": 0, \"test\": 0},\n"
        "\"tokenizer\": \"00000000\", \"vocabulary\": 10, \"image_token\": 9, \"queries\": 2, \"prompts\": \"00000000\",\n"
        "\"cutoff\": 9, \"seed\": 0, \"stratified\": true, \"limit\": 3, \"section\": \"a\", \"source\": \"b\",\n"
        "\"findings\": {\"train\": \"labels\", \"validate\": \"none\", \"test\": \"\"},\n"
        "\"shards\": [{\"file\": \"fuzz.h5\", \"split\": \"train\", \"records\": 2}],\n"
        "\"hashes\": {\"plan\": \"0123456789abcdef\", \"fuzz.h5\": \"SEALSEAL\"}}";
    static const int32_t one[] = {5, 1, 1, 1, 1, 2, 1, 1, 1, 9, 9, 3, 2, 3, 5};
    static const int32_t two[] = {8, 2, 2, 1, 1, 4, 1, 1, 1, 9, 9, 9, 9, 3, 4, 2, 5, 6, 7, 8};
    buffer b = {0};
    buffer_append(&b, "\0", 1);
    seed_buffer("instruct", "good", &b);
    buffer_append(&b, "\0", 1);
    buffer_text(&b, manifest);
    seed_buffer("instruct", "manifest", &b);
    buffer_append(&b, "\1\5\2\0", 4);
    buffer_append(&b, one, sizeof one);
    buffer_append(&b, "d\0t\0d\0p\0a\0\0\0", 12);
    seed_buffer("instruct", "block", &b);
    buffer_append(&b, "\1\10\2\0", 4);
    buffer_append(&b, two, sizeof two);
    buffer_append(&b, "d\0t\0x\0y\0p\0a\0\0\0\0", 12);
    seed_buffer("instruct", "images", &b);
    seed_text("instruct", "json", "3[{\"instruction\": \"<IMG> {[ A:\", \"input\": \"\", \"output\": \"a \\\" } ]\",\n"
                                  "\"dicom\": \"d1\", \"task_type\": \"SU\"},\n{\"dicom\": 3}, {\"a\" 1}]\n");
}

static void make_pipelines(void) {
    static const char stages[] =
        "{\"format\": \"radialog-pipeline\", \"version\": 1, \"dir\": \"d\", \"settings\": {\"n\": 3, \"t\": \"x\"},\n"
        "\"inputs\": {\"w\": \"/w\", \"m\": {\"path\": \"/m\", \"by\": \"times\"}}, \"stages\": [\n"
        "{\"name\": \"a\", \"run\": [\"synth\", \"{out}\", \"--studies\", \"{n}\"]},\n"
        "{\"name\": \"b\", \"out\": \"b.txt\", \"show\": true, \"run\": [\"label\", \"{a}/x\", \"--checkpoint\", \"{w}\",\n"
        "\"--out\", \"{out}\", \"--set\", \"run.dir={m}\", \"--column\", \"{here}/{t}\"]}]}";
    static const char state[] =
        "{\"stages\": {\"a\": {\"done\": true, \"seconds\": 1.5, \"words\": \"synth\\n{out}\\n--studies\\n3\", \"read\": {},\n"
        "\"left\": \"12-00000000\"}}, \"paths\": {\"d/a\": {\"looks\": \"1-2\", \"content\": \"12-00000000\"}}}";
    buffer b = {0};
    part_text(&b, stages);
    buffer_text(&b, state);
    seed_buffer("pipeline", "stages", &b);
}

static void make_run_records(void) {
    static const char metrics[] =
        "{\"step\":1,\"epoch\":0,\"loss\":2.5,\"itc\":1,\"lr\":0.1,\"grad_norm\":null,\"ms\":10}\n"
        "{\"step\":2,\"loss\":1e300,\"lr\":0,\"ms\":1,\"validation\":{\"auc\":0.5,\"a\":{\"b\":-1},\n"
        "\"sample\":{\"id\":\"<\",\"text\":\"\\u0001\"},\"classes\":{\"Edema\":{\"f1\":0.5}}}}\n";
    buffer b = {0};
    part_text(&b, metrics);
    buffer_text(&b, "starting at step 0 of 9\nresuming from step 1 of 3\n");
    seed_buffer("run_record", "both", &b);
}

static void make_robertas(void) {
    static const char sizes[] =
        "{\"model_type\":\"roberta\",\"hidden_act\":\"gelu\",\"vocab_size\":42,\"hidden_size\":24,\"intermediate_size\":4,"
        "\"num_attention_heads\":4,\"num_hidden_layers\":3,\"type_vocab_size\":1,\"max_position_embeddings\":42,"
        "\"pad_token_id\":1,\"layer_norm_eps\":1e-5}";
    buffer b = {0};
    buffer_append(&b, "\2", 1);
    part_text(&b, sizes);
    buffer_text(&b, "LAYER,P,R,F\n1,0.1,0.1,0.1\n2,0.5,0.25,-0.5\n");
    seed_buffer("roberta", "both", &b);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: make_fuzz_corpus DIR\n");
        return 2;
    }
    root = argv[1];
    make_json();
    make_csv();
    make_report_tables();
    make_config();
    make_sections();
    make_images();
    make_safetensors();
    make_gguf();
    make_hdf5();
    make_shards();
    make_manifest();
    make_plans();
    make_checkpoints();
    make_wordpieces();
    make_prompts();
    make_tasks();
    make_text_tables();
    make_instruct();
    make_pipelines();
    make_run_records();
    make_robertas();
    return 0;
}
