#include "train/chexbert_data.h"
#include "train/ranks.h"

#include <string.h>

// --- answers ------------------------------------------------------------------------------------
int chexbert_class(int head) {
    return class_find(chexbert_heads[head]);
}

int32_t chexbert_answer(int head, const int8_t labels[CLASS_COUNT]) {
    switch (labels[chexbert_class(head)]) {
    case LABEL_POSITIVE:
        return CHEXBERT_POSITIVE;
    case LABEL_NEGATIVE:
        return head == CHEXBERT_NO_FINDING ? CHEXBERT_BLANK : CHEXBERT_NEGATIVE;
    case LABEL_UNCERTAIN:
        return head == CHEXBERT_NO_FINDING ? CHEXBERT_BLANK : CHEXBERT_UNCERTAIN;
    default:
        return CHEXBERT_BLANK;
    }
}

static int8_t meaning_of(int answer) {
    static const int8_t meaning[CHEXBERT_ANSWERS] = {LABEL_BLANK, LABEL_POSITIVE, LABEL_NEGATIVE,
                                                     LABEL_UNCERTAIN};
    return meaning[answer];
}

void chexbert_truth(int8_t truth[CLASS_COUNT], const int8_t labels[CLASS_COUNT]) {
    for (int h = 0; h < CHEXBERT_HEADS; h++)
        truth[chexbert_class(h)] = meaning_of(chexbert_answer(h, labels));
}

// The greatest of COUNT logits; the first of equal ones, as torch's argmax has it.
static int8_t label_of(const float *logits, int count) {
    int best = 0;
    for (int i = 1; i < count; i++)
        if (logits[i] > logits[best]) best = i;
    return meaning_of(best);
}

// --- what a step reads --------------------------------------------------------------------------
static void answer_shapes(chexbert_inputs *in, tensor *all[CHEXBERT_HEADS], int64_t B) {
    for (int h = 0; h < CHEXBERT_HEADS; h++) {
        in->target[h] = (tensor){.type = DTYPE_I32, .rank = 1, .dim = {B}};
        all[h] = &in->target[h];
    }
}

size_t chexbert_inputs_bytes(int64_t B, int64_t most) {
    chexbert_inputs in;
    tensor *all[CHEXBERT_HEADS];
    answer_shapes(&in, all, B);
    return packed_texts_bytes(B, most) + packed_bytes(all, CHEXBERT_HEADS);
}

status chexbert_inputs_open(chexbert_inputs *in, device *d, int64_t B, int64_t most) {
    tensor *all[CHEXBERT_HEADS];
    *in = (chexbert_inputs){0};
    answer_shapes(in, all, B);
    status rc = packed_texts_open(&in->texts, d, B, most);
    return rc ? rc : packed_open(&in->answers, d, all, CHEXBERT_HEADS);
}

void chexbert_inputs_close(chexbert_inputs *in) {
    packed_texts_close(&in->texts);
    packed_close(&in->answers);
}

void chexbert_inputs_load(chexbert_inputs *in, const int32_t *ids, const int32_t *first,
                          int64_t count, int64_t sample, const int8_t *const *labels) {
    packed_texts_load(&in->texts, ids, first, count, sample);
    for (int h = 0; h < CHEXBERT_HEADS && labels; h++) {
        int32_t *target = packed_host(&in->answers, &in->target[h]);
        for (int64_t i = 0; i < count; i++) target[i] = chexbert_answer(h, labels[i]);
    }
    for (int h = 0; h < CHEXBERT_HEADS; h++) in->target[h].dim[0] = count;
    if (labels) packed_send(&in->answers);
}

tensor *chexbert_step_loss(tape *t, const chexbert *m, chexbert_inputs *in, double count) {
    tensor *target[CHEXBERT_HEADS];
    for (int h = 0; h < CHEXBERT_HEADS; h++) target[h] = &in->target[h];
    return chexbert_loss(t, m, &in->texts, target, count);
}

// --- labels of texts ----------------------------------------------------------------------------
void chexbert_label_dry(tape *t, const chexbert *m, chexbert_inputs *in) {
    tensor *logits[CHEXBERT_HEADS];
    tape_begin(t, false);
    t->training = false;
    chexbert_logits(t, m, &in->texts, logits);
}

// NUMBERS (count, CLASS_COUNT) of texts that IN holds, and their VECTORS (count, D) unless NULL.
static status label_batch(tape *t, const chexbert *m, chexbert_inputs *in, float *numbers,
                          float *vectors, float *scratch) {
    tensor *logits[CHEXBERT_HEADS];
    tape_begin(t, false);
    t->training = false;
    tensor *first = chexbert_logits(t, m, &in->texts, logits);
    if (vectors) device_read(t->device, vectors, first);
    for (int h = 0; h < CHEXBERT_HEADS; h++) {
        int answers = chexbert_answers(h);
        device_read(t->device, scratch, logits[h]);
        for (int64_t i = 0; i < logits[h]->dim[0]; i++)
            numbers[i * CLASS_COUNT + chexbert_class(h)] = label_of(scratch + i * answers, answers);
    }
    return tape_failed(t);
}

// Room for the texts of one batch in host memory.
typedef struct batch_room {
    int32_t *ids, *first;
    float *logits;
} batch_room;

static status room_open(batch_room *b, int64_t batch, int64_t longest) {
    status rc = mem_new(&b->ids, batch * longest, "a batch's tokens");
    if (!rc) rc = mem_new(&b->first, batch + 1, "a batch's texts");
    return rc ? rc : mem_new(&b->logits, batch * CHEXBERT_ANSWERS, "logits");
}

static void room_close(batch_room *b) {
    mem_free(b->logits);
    mem_free(b->first);
    mem_free(b->ids);
}

status chexbert_label(tape *t, const chexbert *m, chexbert_inputs *in, const text_set *texts,
                      const int64_t *record, int64_t count, int64_t batch, int8_t *labels,
                      float *vectors) {
    const int64_t D = m->bert.config.width;
    float *numbers = NULL;
    batch_room room = {0};
    comm *c = t->comm;
    status rc = mem_new(&numbers, count * CLASS_COUNT, "labels");
    if (!rc) rc = room_open(&room, batch, texts_longest(texts));
    if (vectors) memset(vectors, 0, (size_t)(count * D) * sizeof *vectors);
    for (int64_t at = 0; at < count && !rc; at += batch) {
        int64_t all = count - at < batch ? count - at : batch, first;
        int64_t own = comm_share(all, c->rank, c->size, &first);
        if (!own) continue; // fewer texts than ranks
        texts_pack(room.ids, room.first, texts, record + at + first, own);
        chexbert_inputs_load(in, room.ids, room.first, own, at + first, NULL);
        rc = label_batch(t, m, in, numbers + (at + first) * CLASS_COUNT,
                         vectors ? vectors + (at + first) * D : NULL, room.logits);
    }
    rc = ranks_agree(c, rc);
    if (!rc) rc = ranks_sum(c, t->device, numbers, count * CLASS_COUNT);
    if (!rc && vectors) rc = ranks_sum(c, t->device, vectors, count * D);
    for (int64_t i = 0; i < count * CLASS_COUNT && !rc; i++) labels[i] = (int8_t)numbers[i];
    room_close(&room);
    mem_free(numbers);
    return rc;
}
