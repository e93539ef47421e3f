#include "train/config_keys.h"

const config_key run_keys[] = {
    {.section = "run", .name = "dir", .type = CONFIG_PATH, .standard = "\"runs/classifier\"",
     .help = "folder of checkpoints, metrics and logs; a run there is continued"},
    {.section = "run", .name = "seed", .type = CONFIG_INT, .min = 0, .max = 9e15, .standard = "42",
     .help = "of initial weights, data order, augmentation and dropout"},
    {.section = "run", .name = "max_steps", .type = CONFIG_INT, .min = 0, .max = 1e12,
     .standard = "0", .help = "optimizer steps to do in all; 0: train.epochs"},
    {.section = "run", .name = "threads", .type = CONFIG_INT, .min = 0, .max = 4096,
     .standard = "0", .help = "compute threads; 0: one per core"},
    {.section = "run", .name = "device", .type = CONFIG_CHOICE, .choices = "cpu|cuda",
     .standard = "\"cpu\"", .help = "where to compute; --device is short for it"},
    {.section = "run", .name = "precision", .type = CONFIG_CHOICE, .choices = "f32|bf16|fp16",
     .standard = "\"f32\"",
     .help = "of matrices and activations, beside master weights in f32; --precision is short for it"},
    {.section = "run", .name = "tf32", .type = CONFIG_BOOL, .standard = "false",
     .help = "on a GPU in f32: products may round their factors to tf32 (10 bits), which is faster"},
    {.section = "run", .name = "watchdog", .type = CONFIG_FLOAT, .min = 0, .max = 1e6, .standard = "120",
     .help = "seconds that ranks wait for each other before all stop; 0: for ever"},
    {.section = "run", .name = "graphs", .type = CONFIG_BOOL, .standard = "true",
     .help = "on a GPU: record each kind of step once and replay it"},
    {.section = "run", .name = "tensorboard", .type = CONFIG_BOOL, .standard = "false",
     .help = "also write the numbers of metrics.jsonl as an event file of TensorBoard"},
    {0},
};

const config_key data_keys[] = {
    {.section = "data", .name = "shards", .type = CONFIG_PATH, .standard = "\"shards\"",
     .help = "shard directory, as radialog ingest writes it"},
    {.section = "data", .name = "limit", .type = CONFIG_INT, .min = 0, .max = 1e9,
     .standard = "0", .help = "only the first records of the training split; 0: all"},
    {.section = "data", .name = "threads", .type = CONFIG_INT, .min = 1, .max = 256,
     .standard = "2", .help = "threads that read and decode ahead"},
    {0},
};

const config_key image_keys[] = {
    {.section = "data", .name = "crop", .type = CONFIG_INT, .min = 32, .max = 512,
     .standard = "488", .help = "side of the centre crop of the stored 512 square"},
    {.section = "data", .name = "size", .type = CONFIG_INT, .min = 32, .max = 512,
     .standard = "488", .help = "side of the model's input; smaller than crop: resized"},
    {0},
};

const config_key pixel_keys[] = {
    {.section = "data", .name = "augment", .type = CONFIG_BOOL, .standard = "false",
     .help = "random rotation, shear, brightness and contrast in training"},
    {.section = "data", .name = "blank", .type = CONFIG_BOOL, .standard = "false",
     .help = "replaces every image by black: a control that must not learn"},
    {.section = "data", .name = "skip_bad", .type = CONFIG_BOOL, .standard = "false",
     .help = "leave out records that fail their checksum instead of stopping"},
    {0},
};

const config_key train_keys[] = {
    {.section = "train", .name = "batch", .type = CONFIG_INT, .min = 1, .max = 65536,
     .standard = "64", .help = "global batch"},
    {.section = "train", .name = "drop_last", .type = CONFIG_BOOL, .standard = "false",
     .help = "leave out an epoch's last batch where it would be smaller than the others"},
    {.section = "train", .name = "epochs", .type = CONFIG_INT, .min = 1, .max = 1e6,
     .standard = "6", .help = "passes over the training split, where run.max_steps is 0"},
    {.section = "train", .name = "validate_every", .type = CONFIG_INT, .min = 0, .max = 1e9,
     .standard = "0", .help = "steps between validations; 0: once per epoch"},
    {.section = "train", .name = "validate_first", .type = CONFIG_BOOL, .standard = "true",
     .help = "score the untrained model before the first step"},
    {.section = "train", .name = "checkpoint_every", .type = CONFIG_INT, .min = 0, .max = 1e9,
     .standard = "200", .help = "steps between checkpoints (validations write one too); 0: none"},
    {.section = "train", .name = "keep", .type = CONFIG_INT, .min = 1, .max = 10000,
     .standard = "2", .help = "newest checkpoints to keep; the best one stays as well"},
    {.section = "train", .name = "patience", .type = CONFIG_INT, .min = 0, .max = 10000,
     .standard = "0", .help = "stop after so many validations without a better score; 0: never"},
    {.section = "train", .name = "recompute", .type = CONFIG_BOOL, .standard = "false",
     .help = "keep only each block's output and compute the rest again: less memory, more time"},
    {0},
};

const config_key optim_keys[] = {
    {.section = "optim", .name = "lr", .type = CONFIG_FLOAT, .min = 0, .max = 100,
     .standard = "5e-5", .help = "peak learning rate"},
    {.section = "optim", .name = "beta1", .type = CONFIG_FLOAT, .min = 0, .max = 0.999999,
     .standard = "0.9", .help = "decay of the first moment"},
    {.section = "optim", .name = "beta2", .type = CONFIG_FLOAT, .min = 0, .max = 0.9999999,
     .standard = "0.999", .help = "decay of the second moment"},
    {.section = "optim", .name = "eps", .type = CONFIG_FLOAT, .min = 1e-16, .max = 1,
     .standard = "1e-6", .help = "epsilon of AdamW"},
    {.section = "optim", .name = "epsilon", .type = CONFIG_CHOICE, .choices = "transformers|torch",
     .standard = "\"transformers\"",
     .help = "whose AdamW: epsilon outside (transformers) or inside (torch) bias correction"},
    {.section = "optim", .name = "weight_decay", .type = CONFIG_FLOAT, .min = 0, .max = 10,
     .standard = "0", .help = "of matrices; biases and norms do not decay"},
    {.section = "optim", .name = "max_norm", .type = CONFIG_FLOAT, .min = 0, .max = 1e9,
     .standard = "0", .help = "clip the gradients' global norm to this; 0: no clipping"},
    {.section = "optim", .name = "schedule", .type = CONFIG_CHOICE,
     .choices = "constant|linear|cosine|lavis", .standard = "\"constant\"",
     .help = "linear: HF; lavis: warm-up in the first epoch, then cosine by epochs"},
    {.section = "optim", .name = "warmup_steps", .type = CONFIG_INT, .min = 0, .max = 1e9,
     .standard = "0", .help = "steps of linear warm-up"},
    {.section = "optim", .name = "warmup_lr", .type = CONFIG_FLOAT, .min = 0, .max = 100,
     .standard = "0", .help = "where the lavis warm-up begins"},
    {.section = "optim", .name = "min_lr", .type = CONFIG_FLOAT, .min = 0, .max = 100,
     .standard = "0", .help = "where cosine and lavis end"},
    {.section = "optim", .name = "schedule_epochs", .type = CONFIG_INT, .min = 0, .max = 1e6,
     .standard = "0", .help = "after which lavis would end, if the run ends before; 0: those of the run"},
    {0},
};

const config_key encoder_keys[] = {
    {.section = "model", .name = "stem", .type = CONFIG_INT, .min = 1, .max = 1024,
     .standard = "64", .help = "channels after the first convolution"},
    {.section = "model", .name = "widths", .type = CONFIG_INTS, .min = 1, .max = 4096,
     .standard = "[64, 128, 256, 512]", .help = "of the four stages' 3x3 convolutions"},
    {.section = "model", .name = "blocks", .type = CONFIG_INTS, .min = 1, .max = 8,
     .standard = "[3, 4, 6, 3]", .help = "bottlenecks in each stage"},
    {.section = "model", .name = "vit_width", .type = CONFIG_INT, .min = 8, .max = 4096,
     .standard = "256", .help = "channels of a patch embedding's half (D)"},
    {.section = "model", .name = "pooler_blocks", .type = CONFIG_INT, .min = 0, .max = 8,
     .standard = "3", .help = "of the temporal pooler"},
    {.section = "model", .name = "pooler_heads", .type = CONFIG_INT, .min = 1, .max = 64,
     .standard = "8", .help = "of the temporal pooler; divides vit_width"},
    {.section = "run", .name = "fused_norms", .type = CONFIG_BOOL, .standard = "false",
     .help = "the encoder's norms run inside its convolutions: training takes less memory; on a GPU in fp16 other "
             "roundings and fewer sweeps over memory"},
    {0},
};

const config_key classifier_keys[] = {
    {.section = "model", .name = "joint_width", .type = CONFIG_INT, .min = 1, .max = 4096,
     .standard = "128", .help = "channels after the projector (P)"},
    {.section = "model", .name = "pool", .type = CONFIG_INT, .min = 1, .max = 16,
     .standard = "4", .help = "side of the average pooling before the head"},
    {.section = "model", .name = "hidden", .type = CONFIG_INT, .min = 1, .max = 65536,
     .standard = "512", .help = "width of the head's hidden layer"},
    {.section = "model", .name = "train_encoder", .type = CONFIG_BOOL, .standard = "true",
     .help = "false: the encoder is frozen; projector and head train"},
    {.section = "model", .name = "batch_norm", .type = CONFIG_CHOICE, .choices = "batch|running",
     .standard = "\"batch\"", .help = "statistics that training normalises with"},
    {.section = "model", .name = "init", .type = CONFIG_PATH, .standard = "\"\"",
     .help = "what to begin from: a run, a checkpoint folder, or weights as .safetensors, .pt, .ckpt or .bin "
             "(BioViL-T's image model, RaDialog's classifier, our own); empty: random"},
    {.section = "model", .name = "init_projector", .type = CONFIG_CHOICE, .choices = "random|file",
     .standard = "\"random\"",
     .help = "of a BioViL-T image model in model.init: random drops its projector as RaDialog does, "
             "file takes it"},
    {.section = "train", .name = "score", .type = CONFIG_CHOICE, .choices = "val_f1|macro_f1",
     .standard = "\"val_f1\"",
     .help = "chooses the best checkpoint: mean of per-batch macro F1, or of the whole split"},
    {.section = "loss", .name = "class_weights", .type = CONFIG_CHOICE, .choices = "none|lin|log",
     .standard = "\"log\"", .help = "weight of positives: 1, N / count, ln(N / count)"},
    {.section = "loss", .name = "parity", .type = CONFIG_BOOL, .standard = "false",
     .help = "as the reference: classes without positives stay in the loss"},
    {0},
};

const config_key text_keys[] = {
    {.section = "data", .name = "section", .type = CONFIG_CHOICE, .choices = "findings|impression|last_paragraph",
     .standard = "\"findings\"", .help = "of the report, that is read; records without it are left out"},
    {.section = "data", .name = "max_tokens", .type = CONFIG_INT, .min = 2, .max = 65536, .standard = "512",
     .help = "of a text, [CLS] and [SEP] included; what is behind them is cut off"},
    {0},
};

const config_key bert_keys[] = {
    {.section = "model", .name = "vocabulary", .type = CONFIG_PATH, .standard = "\"\"",
     .help = "vocab.txt: BERT's, or one of radialog tokenizer train --type wordpiece"},
    {.section = "model", .name = "width", .type = CONFIG_INT, .min = 1, .max = 16384,
     .standard = "768", .help = "of hidden states (D)"},
    {.section = "model", .name = "layers", .type = CONFIG_INT, .min = 1, .max = 48, .standard = "12",
     .help = "of the transformer"},
    {.section = "model", .name = "heads", .type = CONFIG_INT, .min = 1, .max = 256, .standard = "12",
     .help = "of attention; divides model.width"},
    {.section = "model", .name = "inner", .type = CONFIG_INT, .min = 1, .max = 65536,
     .standard = "3072", .help = "width of the feed-forward part"},
    {.section = "model", .name = "positions", .type = CONFIG_INT, .min = 2, .max = 65536,
     .standard = "512", .help = "the longest text in tokens that has position embeddings"},
    {.section = "model", .name = "dropout", .type = CONFIG_FLOAT, .min = 0, .max = 0.999,
     .standard = "0.1", .help = "of attention and of each block's output, in training"},
    {0},
};

// As CheXbert's authors trained it.
const config_key chexbert_keys[] = {
    {.section = "model", .name = "init", .type = CONFIG_PATH, .standard = "\"\"",
     .help = "what to begin from: a checkpoint folder, chexbert.pth, or a BERT (bert-base-uncased, .bin or "
             ".safetensors); empty: random"},
    {.section = "run", .name = "dir", .type = CONFIG_DEFAULT, .standard = "\"runs/chexbert\""},
    {.section = "train", .name = "batch", .type = CONFIG_DEFAULT, .standard = "18"},
    {.section = "train", .name = "epochs", .type = CONFIG_DEFAULT, .standard = "8"},
    {.section = "optim", .name = "lr", .type = CONFIG_DEFAULT, .standard = "2e-5"},
    {.section = "optim", .name = "eps", .type = CONFIG_DEFAULT, .standard = "1e-8"},
    {.section = "optim", .name = "epsilon", .type = CONFIG_DEFAULT, .standard = "\"torch\""},
    {0},
};

// As RaDialog trained its aligner (REFERENCE 4.8).
const config_key aligner_keys[] = {
    {.section = "data", .name = "cache", .type = CONFIG_PATH, .standard = "\"\"",
     .help = "folder for the frozen encoder's features, computed once; empty: in run.dir; \"off\": every step anew"},
    {.section = "model", .name = "joint_width", .type = CONFIG_INT, .min = 1, .max = 16384,
     .standard = "1408", .help = "of an image token, behind the frozen projector"},
    {.section = "model", .name = "queries", .type = CONFIG_INT, .min = 1, .max = 1024, .standard = "32",
     .help = "image tokens that the language model will see"},
    {.section = "model", .name = "cross_every", .type = CONFIG_INT, .min = 1, .max = 48, .standard = "2",
     .help = "every so many layers look at the image"},
    {.section = "model", .name = "projection", .type = CONFIG_INT, .min = 1, .max = 16384,
     .standard = "256", .help = "width in which images and texts are compared"},
    {.section = "model", .name = "tokens", .type = CONFIG_CHOICE, .choices = "channel_runs|cells",
     .standard = "\"channel_runs\"",
     .help = "an image token: a run of channels, as the original's reshape has it, or a cell of the grid"},
    {.section = "model", .name = "projector_seed", .type = CONFIG_INT, .min = -1, .max = 4294967295,
     .standard = "-1", .help = "of the frozen projector as the original's code draws it (42 in training, 16 in its "
                               "demo; full size only); -1: drawn by run.seed"},
    {.section = "model", .name = "encoder", .type = CONFIG_PATH, .standard = "\"\"",
     .help = "weights of the frozen encoder: BioViL-T's image model, or a classifier's checkpoint"},
    {.section = "model", .name = "init", .type = CONFIG_PATH, .standard = "\"\"",
     .help = "what the Q-Former begins from: a checkpoint folder, RaDialog's checkpoint_4.pth, a BERT "
             "(bert-base-uncased, .bin or .safetensors) or a labeler's run; empty: random"},
    {.section = "loss", .name = "smoothing", .type = CONFIG_FLOAT, .min = 0, .max = 0.999,
     .standard = "0.1", .help = "of labels in the contrastive and the caption loss"},
    {.section = "loss", .name = "negatives", .type = CONFIG_CHOICE, .choices = "all|other_text|other_study",
     .standard = "\"all\"", .help = "for matching: any other sample, as the original; only those with another text; "
                                    "or of another study as well"},
    {.section = "run", .name = "dir", .type = CONFIG_DEFAULT, .standard = "\"runs/aligner\""},
    {.section = "data", .name = "crop", .type = CONFIG_DEFAULT, .standard = "448"},
    {.section = "data", .name = "size", .type = CONFIG_DEFAULT, .standard = "448"},
    {.section = "data", .name = "max_tokens", .type = CONFIG_DEFAULT, .standard = "256"},
    {.section = "train", .name = "batch", .type = CONFIG_DEFAULT, .standard = "32"},
    {.section = "train", .name = "drop_last", .type = CONFIG_DEFAULT, .standard = "true"},
    {.section = "train", .name = "epochs", .type = CONFIG_DEFAULT, .standard = "5"},
    {.section = "optim", .name = "lr", .type = CONFIG_DEFAULT, .standard = "1e-4"},
    {.section = "optim", .name = "eps", .type = CONFIG_DEFAULT, .standard = "1e-8"},
    {.section = "optim", .name = "epsilon", .type = CONFIG_DEFAULT, .standard = "\"torch\""},
    {.section = "optim", .name = "weight_decay", .type = CONFIG_DEFAULT, .standard = "0.05"},
    {.section = "optim", .name = "schedule", .type = CONFIG_DEFAULT, .standard = "\"lavis\""},
    {.section = "optim", .name = "warmup_steps", .type = CONFIG_DEFAULT, .standard = "1000"},
    {.section = "optim", .name = "warmup_lr", .type = CONFIG_DEFAULT, .standard = "1e-6"},
    {.section = "optim", .name = "min_lr", .type = CONFIG_DEFAULT, .standard = "1e-5"},
    {.section = "optim", .name = "schedule_epochs", .type = CONFIG_DEFAULT, .standard = "100"},
    {0},
};

const config_key evaluate_keys[] = {
    {.section = "evaluate", .name = "truth", .type = CONFIG_CHOICE, .choices = "shards|labeler",
     .standard = "\"shards\"", .help = "findings of the real reports: the shards' labels, or the labeler's"},
    {.section = "evaluate", .name = "records", .type = CONFIG_CHOICE, .choices = "all|stratified",
     .standard = "\"all\"", .help = "stratified: those with findings and a fourteenth without (RaDialog's --strat_eval)"},
    {.section = "evaluate", .name = "mapping", .type = CONFIG_CHOICE, .choices = "positive|uncertain",
     .standard = "\"positive\"", .help = "what counts as there: positive labels, or uncertain ones too"},
    {.section = "evaluate", .name = "resamples", .type = CONFIG_INT, .min = 100, .max = 1e6,
     .standard = "1000", .help = "of the reports, for intervals and tests"},
    {.section = "evaluate", .name = "examples", .type = CONFIG_INT, .min = 0, .max = 1e6, .standard = "24",
     .help = "reports that report.html shows with their radiographs, the hardest first"},
    {.section = "evaluate", .name = "sentences", .type = CONFIG_PATH, .standard = "\"\"",
     .help = "NLTK's folder punkt_tab/english, for scores equal to the reference's; empty: a built-in table"},
    {.section = "evaluate", .name = "meteor_jar", .type = CONFIG_PATH, .standard = "\"\"",
     .help = "meteor-1.5.jar, for METEOR's synonyms; empty: that stage is left out"},
    {.section = "evaluate", .name = "meteor_paraphrases", .type = CONFIG_PATH, .standard = "\"\"",
     .help = "paraphrase-en.gz, for METEOR's paraphrases; empty: that stage is left out"},
    {.section = "evaluate", .name = "bert_score", .type = CONFIG_PATH, .standard = "\"\"",
     .help = "a RoBERTa's folder in Hugging Face's layout (distilroberta-base), for BERTScore; empty: it is left out"},
    {.section = "evaluate", .name = "bert_score_layer", .type = CONFIG_INT, .min = 1, .max = 48, .standard = "5",
     .help = "whose vectors BERTScore compares"},
    {.section = "evaluate", .name = "bert_score_baseline", .type = CONFIG_PATH, .standard = "\"\"",
     .help = "the bert-score package's table of that model (LAYER,P,R,F); empty: distilroberta-base is rescaled by its "
             "own numbers, others are not"},
    {0},
};

const config_key *const classifier_tables[] = {run_keys,   data_keys,    image_keys,      pixel_keys, train_keys,
                                               optim_keys, encoder_keys, classifier_keys, NULL};

const config_key *const chexbert_tables[] = {run_keys,   data_keys, text_keys,     train_keys,
                                             optim_keys, bert_keys, chexbert_keys, NULL};
const config_key *const aligner_tables[] = {run_keys,   data_keys, image_keys, text_keys,    pixel_keys, train_keys,
                                            optim_keys, encoder_keys, bert_keys,  aligner_keys, NULL};
const config_key *const evaluate_tables[] = {run_keys,   data_keys, text_keys,     train_keys,
                                             optim_keys, bert_keys, chexbert_keys, evaluate_keys, NULL};
const config_key *const lm_tables[] = {run_keys, train_keys, optim_keys, language_keys, lm_keys, NULL};
const config_key *const generate_tables[] = {run_keys,  train_keys,    optim_keys,    language_keys,
                                             lora_keys, instruct_keys, generate_keys, NULL};
const config_key *const chat_tables[] = {run_keys,      train_keys,    optim_keys,    language_keys, lora_keys,
                                         instruct_keys, generate_keys, dialogue_keys, NULL};
const config_key *const serve_tables[] = {run_keys,      train_keys,    optim_keys,    language_keys, lora_keys,
                                          instruct_keys, generate_keys, dialogue_keys, serve_keys,    NULL};
const config_key *const answer_tables[] = {run_keys,  train_keys,    optim_keys,    language_keys, lora_keys,
                                           instruct_keys, generate_keys, answer_keys, NULL};
const config_key *const lora_tables[] = {run_keys, train_keys, optim_keys, language_keys, lora_keys, NULL};
