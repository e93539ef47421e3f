// write_llama FOLDER [SEED]: FOLDER/model.safetensors in bf16 for the sizes of FOLDER/config.json, with random
// numbers. For scripts/check_7b.sh: what matters of such a model is its size. A piece of a tensor is in memory at a
// time.
#include "core/bf16.h"
#include "core/files/fs.h"
#include "core/files/safetensors.h"
#include "models/llama_weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { PIECE = 1 << 20 };

// Uniform with variance 0.02^2, as matrices begin; norms are 1.
static void draw(uint16_t *out, rng_key key, int64_t first, int64_t count, bool norm) {
    const float range = 0.02f * sqrtf(3);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; i++)
        out[i] = bf16_round(norm ? 1 : range * (2 * rng_uniform(key, 0, (uint64_t)(first + i)) - 1));
}

static status write_part(safetensors_writer *w, const param_file *f, uint16_t *piece, uint64_t seed) {
    const rng_key key = {seed, rng_site(f->name), 0};
    status rc = STATUS_OK;
    for (int64_t first = 0; first < f->count && !rc; first += PIECE) {
        const int64_t count = f->count - first < PIECE ? f->count - first : PIECE;
        draw(piece, key, first, count, f->rank == 1);
        rc = safetensors_write(w, f->name, piece, (size_t)count * sizeof *piece);
    }
    return rc;
}

static status write_all(const params *p, const char *path, uint64_t seed) {
    safetensors_writer *w = NULL;
    uint16_t *piece = NULL;
    status rc = mem_new(&piece, PIECE, "numbers");
    if (!rc) rc = safetensors_create(&w, path);
    if (!rc) rc = safetensors_declare_note(w, "format", "pt"); // transformers asks for it
    for (int writing = 0; writing < 2; writing++)
        for (size_t i = 0; i < p->count && !rc; i++)
            for (int j = 0; p->item[i]->role == PARAM_WEIGHT && j < param_files(p->item[i]) && !rc; j++) {
                const param_file f = param_file_at(p->item[i], j);
                rc = writing ? write_part(w, &f, piece, seed)
                             : safetensors_declare(w, f.name, DTYPE_BF16, f.rank, f.dim);
            }
    if (!rc) rc = safetensors_finish(w);
    safetensors_writer_close(w);
    mem_free(piece);
    return rc;
}

int main(int count, char **words) {
    char path[PATH_SIZE];
    device *d = NULL;
    params p = {0};
    llama_config c;
    static llama m;
    if (count < 2) return fprintf(stderr, "usage: write_llama FOLDER [SEED]\n"), 2;
    status rc = llama_config_read(&c, words[1]);
    if (!rc) rc = path_join(path, sizeof path, words[1], "model.safetensors");
    if (!rc) rc = device_open_cpu(&d, 0);
    if (!rc) rc = params_open(&p, d);
    if (!rc) llama_make(&m, &p, &c);
    if (!rc) rc = p.failed;
    if (!rc) rc = write_all(&p, path, count > 2 ? strtoull(words[2], NULL, 10) : 1);
    if (rc) fprintf(stderr, "write_llama: %s\n", status_text());
    params_close(&p);
    device_close(d);
    return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}
