// Hostile and damaged inputs, given to the built program as a user would: what each is, the command, the
// line that it must give, and the exit status. The table is also the list of what the program withstands.
#include "tests/train/helper_program.h"
#include "tests/train/hostile_files.h"

#include <check.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct hostile {
    void (*make)(buffer *out); // NULL: made in setup
    const char *file;          // under the work folder
    const char *command;       // '@' is the file, '%' the work folder, '&' the settings of a tiny model
    const char *line;          // one whole line of stderr; "*" at its end: the beginning of stderr
    int exit;
    int lines; // of stderr in all
} hostile;

#define INSPECT "inspect @"
#define CONFIG "train classifier --config @"
#define INGEST "ingest % --source folder --csv @ --out %/out --quiet"
#define CLASSIFY "classify @ --checkpoint %/run --quiet"
#define INIT "train classifier & --quiet --set data.shards=%/shards --set run.dir=%/init --set model.init=@"

static const hostile cases[] = {
    // Files that are no weights
    {make_nothing, "empty.pt", INSPECT,
     "radialog inspect: @: is empty", 1, 1},
    {make_text, "text.pt", INSPECT,
     "radialog inspect: @: is neither a safetensors file nor one of PyTorch (.pt, .pth, .bin, "
     ".ckpt)", 1, 1},
    // Zip archives
    {make_zip_cut, "cut.pt", INSPECT,
     "radialog inspect: @: has no end of a zip archive; the file is cut", 1, 1},
    {make_zip_wrong_crc, "crc.pt", INSPECT,
     "radialog inspect: @: entry \"model/data/0\" is damaged (CRC-32 1939e524, expected "
     "1939e525)", 1, 1},
    {make_zip_bomb, "bomb.pt", INSPECT,
     "radialog inspect: @: entry \"model/data.pkl\" says it expands to 4000000189 bytes, in "
     "an archive of *", 1, 1}, // what the library packs them into
    {make_zip_names_twice, "twice.pt", INSPECT,
     "radialog inspect: @: entry \"model/data/0\" is there twice", 1, 1},
    {make_zip_upward_root, "upward.pt", INSPECT,
     "radialog inspect: @: entry \"../../etc/cron.d/data.pkl\" has a name that is no plain "
     "relative path", 1, 1},
    {make_zip_overlap, "overlap.pt", INSPECT,
     "radialog inspect: @: entry \"model/data/0\" overlaps the entry before it", 1, 1},
    {make_zip_script, "script.pt", INSPECT,
     "radialog inspect: @: holds a TorchScript program, which is not run; save the model's "
     "state_dict() instead", 1, 1},
    // Pickles
    {make_pickle_system, "system.pt", INSPECT,
     "radialog inspect: @: data.pkl: byte 34: calls os.system, which is no tensor; files that "
     "run code are not read", 1, 1},
    {make_pickle_eval, "eval.pt", INSPECT,
     "radialog inspect: @: data.pkl: byte 26: calls builtins.eval, which is no tensor; files "
     "that run code are not read", 1, 1},
    {make_pickle_system_by_stack, "posix.pt", INSPECT,
     "radialog inspect: @: data.pkl: byte 23: calls posix.system, which is no tensor; files "
     "that run code are not read", 1, 1},
    {make_pickle_cycle, "cycle.pt", INSPECT,
     "radialog inspect: @: data.pkl: \"w\" contains itself", 1, 1},
    {make_pickle_deep, "deep.pt", INSPECT,
     "radialog inspect: @: data.pkl: nested more than 64 deep", 1, 1},
    {make_pickle_far_memo, "memo.pt", INSPECT,
     "radialog inspect: @: data.pkl: byte 3: memo number 4294967295 is more than a pickle of "
     "9 bytes can have", 1, 1},
    {make_pickle_long, "long.pt", INSPECT,
     "radialog inspect: @: data.pkl: byte 2: a number of -2147483648 bytes", 1, 1},
    {make_pickle_text_beyond, "beyond.pt", INSPECT,
     "radialog inspect: @: data.pkl: byte 2: needs 2147483647 more bytes, there are 4; the "
     "file is cut or damaged", 1, 1},
    // Tensors
    {make_tensor_negative, "negative.pt", INSPECT,
     "radialog inspect: @: data.pkl: byte 186: a tensor with a size of -3", 1, 1},
    {make_tensor_beyond, "stride.pt", INSPECT,
     "radialog inspect: @: data.pkl: \"w\" reaches element 1002 of a storage of 6", 1, 1},
    {make_tensor_overflow, "overflow.pt", INSPECT,
     "radialog inspect: @: data.pkl: \"w\" has more elements than can exist", 1, 1},
    {make_tensor_repeated, "repeated.pt", INSPECT,
     "radialog inspect: @: data.pkl: \"w\" repeats its storage to far more than the file "
     "holds: refused as a bomb", 1, 1},
    {make_tensor_escape_name, "escape.pt", INSPECT,
     "radialog inspect: @: data.pkl: a tensor's name holds the byte 0x1b", 1, 1},
    // The layout before PyTorch 1.6
    {make_legacy_magic, "magic.pth", INSPECT,
     "radialog inspect: @: is a pickle, but not a file of PyTorch: its magic number is missing", 1, 1},
    {make_legacy_count, "count.pth", INSPECT,
     "radialog inspect: @: storage \"0\" has 5 elements, the object says 6", 1, 1},
    {make_legacy_cut, "cut.pth", INSPECT,
     "radialog inspect: @: storage \"0\" reaches beyond the end of the file; the file is cut", 1, 1},
    // safetensors
    {make_safetensors_header, "header.safetensors", INSPECT,
     "radialog inspect: @: header of 1099511627776 bytes, more than the format's limit of "
     "100000000", 1, 1},
    {make_safetensors_hole, "hole.safetensors", INSPECT,
     "radialog inspect: @: \"b\" leaves a hole in the data before it", 1, 1},
    {make_safetensors_overlap, "overlap.safetensors", INSPECT,
     "radialog inspect: @: \"b\" overlaps the tensor before it", 1, 1},
    {make_safetensors_overflow, "overflow.safetensors", INSPECT,
     "radialog inspect: @: \"a\" shape: more elements than can exist", 1, 1},
    {make_safetensors_cut, "cut.safetensors", INSPECT,
     "radialog inspect: @: \"a\" data_offsets [0, 16] are not inside the 12 data bytes", 1, 1},
    {make_index_upward, "model.index.json", INSPECT,
     "radialog inspect: @:2: \"w\" \"../../etc/passwd\" is no plain file name", 1, 1},
    // Weights that are whole, but not for this model
    {NULL, "nan.safetensors", INIT,
     "radialog train classifier: @: \"fc2.bias\" holds NaN at element 13: weights must be "
     "finite numbers of f32's range", 1, 1},
    {make_weights_other, "other.pt", INIT,
     "radialog train classifier: @: 113 tensors missing, 1 of another shape, 0 not in the "
     "model: they do not fit the model of this configuration (read as a checkpoint of "
     "radialog); the table above names them", 1, 44},
    // Configurations
    {make_config_unknown, "unknown.json", CONFIG,
     "radialog train classifier: @:3: there is no key optim.learning_rate; the nearest is "
     "optim.max_norm", 2, 1},
    {make_config_twice, "twice.json", CONFIG,
     "radialog train classifier: @:4: \"lr\" is given twice", 2, 1},
    {make_config_comma, "comma.json", CONFIG,
     "radialog train classifier: @:4: a comma stands before the closing bracket", 2, 1},
    {make_config_nan, "nan.json", CONFIG,
     "radialog train classifier: @:3: expected a value (null, true, false, a number, \"...\", "
     "[...] or {...}), found 'N'", 2, 1},
    {make_config_deep, "deep.json", CONFIG,
     "radialog train classifier: @:1: is nested more than 64 deep", 2, 1},
    {make_config_type, "type.json", CONFIG,
     "radialog train classifier: @:1: optim.lr must be a number from 0 to 100, but it is "
     "\"fast\"", 2, 1},
    // Tables
    {make_csv_open_quote, "quote.csv", INGEST,
     "radialog ingest: @, line 2: the quote is never closed", 1, 1},
    {make_csv_long_field, "long.csv.gz", INGEST,
     "radialog ingest: @, line 2: a field or row is too long (16 MiB, 64 MiB at the most); is "
     "a quote missing?", 1, 1},
    {make_csv_nul, "nul.csv", INGEST, // the row is skipped and listed
     "radialog ingest: %: no record could be kept, 1 skipped; %/out/skipped.csv tells why", 1, 1},
    {make_csv_columns, "columns.csv", INGEST,
     "radialog ingest: @: no column 'image'; there are: picture, report", 1, 1},
    // Pictures. What a PNG's data hold beyond its pixels is never expanded. The others of a command still get
    // their answers, so there are two lines
    {make_nothing, "empty.jpg", CLASSIFY,
     "warning: @: the file is empty", 1, 2},
    {make_text, "text.jpg", CLASSIFY,
     "warning: @: neither a JPEG, a PNG nor a DICOM file", 1, 2},
    {make_jpeg_cut, "cut.jpg", CLASSIFY,
     "warning: @: not a whole JPEG: Premature end of JPEG file", 1, 2},
    {make_jpeg_huge, "huge.jpg", CLASSIFY,
     "warning: @: 65500 x 65500 pixels; 1 to 32768 a side and 512 million in all can be read", 1, 2},
    {make_jpeg_cmyk, "cmyk.jpg", CLASSIFY,
     "warning: @: a JPEG with 4 components (CMYK?); only grey and RGB can be read", 1, 2},
    {make_png_wrong_crc, "crc.png", CLASSIFY,
     "warning: @: not a whole PNG: IDAT: CRC error", 1, 2},
    {make_png_bomb, "bomb.png", CLASSIFY,
     "", 0, 0},
    {make_png_huge, "huge.png", CLASSIFY,
     "warning: @: 68 bytes cannot hold 16000 x 16000 pixels; the file is damaged or cut short", 1, 2},
    // Our own files after a bad disk
    {NULL, "flipped", "inspect @",
     "radialog inspect: @/train-00000.h5: the image of record *", 1, 1},
    {NULL, "cut", "inspect @",
     "radialog inspect: @/manifest.json:15: a string is not closed", 1, 1},
    {NULL, "run-cut/model.safetensors", "classify %/empty.jpg --checkpoint %/run-cut --quiet",
     "radialog classify: @: does not match the checkpoint's manifest (41204 of 41304 bytes, *", 1, 1},
};
enum { CASES = sizeof cases / sizeof *cases };

static char work[256];

static void write_bytes(const char *path, const void *bytes, size_t count) {
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, count, f), count);
    fclose(f);
}

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...) {
    char command[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    ck_assert_msg(system(command) == 0, "%s", command);
}

// A file of the work folder with what stands from byte AT (from the end where negative) on changed.
static void damage(const char *from, const char *to, long at, const void *bytes, size_t count, bool cut) {
    char path[600];
    size_t size;
    snprintf(path, sizeof path, "%s/%s", work, from);
    char *data = read_file(path, &size);
    ck_assert_ptr_nonnull(data);
    size_t place = at < 0 ? size - (size_t)-at : (size_t)at;
    ck_assert_uint_le(place + count, size);
    memcpy(data + place, bytes, count);
    snprintf(path, sizeof path, "%s/%s", work, to);
    write_bytes(path, data, cut ? place : size);
    free(data);
}

static void setup(void) {
    const float nan_value = NAN;
    workspace_make(work);
    small_shards(work, 16);
    program_expect(0, "train classifier %s --quiet --set data.shards=%s/shards --set run.dir=%s/run "
                      "--set run.max_steps=1", tiny_settings, work, work);
    shell("cp %s/run/checkpoints/best/model.safetensors %s/whole.safetensors", work, work);
    damage("whole.safetensors", "nan.safetensors", -4, &nan_value, sizeof nan_value, false);
    shell("cp -r %s/run/checkpoints/best/. %s/run-cut", work, work);
    damage("whole.safetensors", "run-cut/model.safetensors", -100, "", 0, true);
    shell("cp -r %s/shards %s/flipped && cp -r %s/shards %s/cut", work, work, work, work);
    damage("shards/train-00000.h5", "flipped/train-00000.h5", 200000, "\x55\xaa\x55\xaa", 4, false);
    damage("shards/manifest.json", "cut/manifest.json", -200, "", 0, true);
}

static void teardown(void) { workspace_remove(work); }

// TEXT with '@' as the file, '%' as the work folder, '&' as the settings of a tiny model.
static void fill_in(char *out, size_t size, const char *text, const char *file) {
    size_t used = 0;
    for (const char *c = text; *c && used + 1 < size; c++) {
        if (*c == '@')
            used += (size_t)snprintf(out + used, size - used, "%s/%s", work, file);
        else if (*c == '%')
            used += (size_t)snprintf(out + used, size - used, "%s", work);
        else if (*c == '&')
            used += (size_t)snprintf(out + used, size - used, "%s", tiny_settings);
        else
            out[used++] = *c;
    }
    out[used] = 0;
}

static bool holds_line(const char *text, const char *line) {
    size_t length = strlen(line);
    if (!length) return !*text;
    bool open_end = line[length - 1] == '*'; // what differs between libraries
    if (open_end) return !strncmp(text, line, length - 1);
    for (const char *at = text; (at = strstr(at, line)); at++)
        if ((at == text || at[-1] == '\n') && at[length] == '\n') return true;
    return false;
}

static void run_case(const hostile *h) {
    char path[600], command[4096], line[2048];
    buffer file = {0};
    snprintf(path, sizeof path, "%s/%s", work, h->file);
    if (h->make) {
        h->make(&file);
        write_bytes(path, file.data, file.length);
        buffer_free(&file);
    }
    fill_in(command, sizeof command, h->command, h->file);
    fill_in(line, sizeof line, h->line, h->file);
    outcome o = program("%s", command);
    bool right = o.exit == h->exit && count_text(o.err, "\n") == h->lines && holds_line(o.err, line);
    if (getenv("RADIALOG_SHOW_HOSTILE")) printf("%s\t%d\t%d\t%s", h->file, o.exit, count_text(o.err, "\n"), o.err);
    if (getenv("RADIALOG_SHOW_HOSTILE")) return;
    ck_assert_msg(right, "%s: radialog %s\nexit %d, expected %d; %d lines, expected %d; expected line\n%s\n%.3000s",
                  h->file, command, o.exit, h->exit, count_text(o.err, "\n"), h->lines, line, o.err);
    outcome_free(&o);
}

START_TEST(hostile_inputs) {
    run_case(&cases[_i]);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("hostile");
    TCase *tests = tcase_create("hostile");
    tcase_set_timeout(tests, 600);
    tcase_add_unchecked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, hostile_inputs, 0, CASES);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
