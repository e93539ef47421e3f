// Files that somebody made to do harm, or that a disk or a hurry has damaged; for test_hostile.c.
#pragma once
#include "core/buffer.h"

// Each appends a file to OUT. The names say what is wrong with it.
void make_nothing(buffer *out);
void make_text(buffer *out);
void make_zip_cut(buffer *out);
void make_zip_wrong_crc(buffer *out);
void make_zip_bomb(buffer *out);
void make_zip_names_twice(buffer *out);
void make_zip_upward_root(buffer *out);
void make_zip_overlap(buffer *out);
void make_zip_script(buffer *out);
void make_pickle_system(buffer *out);
void make_pickle_eval(buffer *out);
void make_pickle_system_by_stack(buffer *out);
void make_pickle_cycle(buffer *out);
void make_pickle_deep(buffer *out);
void make_pickle_far_memo(buffer *out);
void make_pickle_long(buffer *out);
void make_pickle_text_beyond(buffer *out);
void make_tensor_negative(buffer *out);
void make_tensor_beyond(buffer *out);
void make_tensor_overflow(buffer *out);
void make_tensor_repeated(buffer *out);
void make_tensor_escape_name(buffer *out);
void make_legacy_magic(buffer *out);
void make_legacy_count(buffer *out);
void make_legacy_cut(buffer *out);
void make_safetensors_header(buffer *out);
void make_safetensors_hole(buffer *out);
void make_safetensors_overlap(buffer *out);
void make_safetensors_overflow(buffer *out);
void make_safetensors_cut(buffer *out);
void make_index_upward(buffer *out);
void make_weights_other(buffer *out);

void make_config_unknown(buffer *out);
void make_config_twice(buffer *out);
void make_config_comma(buffer *out);
void make_config_nan(buffer *out);
void make_config_deep(buffer *out);
void make_config_type(buffer *out);

void make_csv_open_quote(buffer *out);
void make_csv_long_field(buffer *out); // 1 GiB, in gzip members of a few KB each
void make_csv_nul(buffer *out);
void make_csv_columns(buffer *out);

void make_jpeg_cmyk(buffer *out);
void make_jpeg_huge(buffer *out);
void make_jpeg_cut(buffer *out);
void make_png_wrong_crc(buffer *out);
void make_png_bomb(buffer *out); // few pixels, data for far more
void make_png_huge(buffer *out); // many pixels, few data
