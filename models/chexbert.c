#include "models/chexbert.h"

#include <stdio.h>

const char *const chexbert_heads[CHEXBERT_HEADS] = {
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
    "No Finding",
};

int chexbert_answers(int h) {
    return h == CHEXBERT_NO_FINDING ? 2 : CHEXBERT_ANSWERS;
}

void chexbert_make(chexbert *m, params *p, const bert_config *c) {
    char name[NAME_SIZE];
    bert_make(&m->bert, p, "bert", c);
    for (int h = 0; h < CHEXBERT_HEADS; h++) {
        snprintf(name, sizeof name, "linear_heads.%d", h);
        m->head[h] =
            linear_make(p, name, c->width, chexbert_answers(h), true, init_torch_default(c->width));
    }
}

tensor *chexbert_logits(tape *t, const chexbert *m, packed_texts *texts,
                        tensor *logits[CHEXBERT_HEADS]) {
    tensor *first = bert_first(t, &m->bert, texts);
    tensor *x = dropout(t, first, m->bert.config.dropout);
    for (int h = 0; h < CHEXBERT_HEADS; h++) logits[h] = linear_run(t, &m->head[h], x);
    return first;
}

tensor *chexbert_loss(tape *t, const chexbert *m, packed_texts *texts,
                      tensor *const target[CHEXBERT_HEADS], double count) {
    tensor *logits[CHEXBERT_HEADS], *sum = NULL;
    chexbert_logits(t, m, texts, logits);
    for (int h = 0; h < CHEXBERT_HEADS; h++) {
        tensor *loss = cross_entropy(t, logits[h], target[h], 0, count);
        sum = sum ? add(t, sum, loss) : loss;
    }
    return sum;
}
