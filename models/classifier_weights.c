#include "models/classifier_weights.h"

// ResNet's own head is in the public files and never used; batch norms count batches for a momentum that
// nothing here uses.
#define UNUSED ".encoder.encoder.fc.", "num_batches_tracked"

static const char *const lightning_ignored[] = {UNUSED, "criterion.pos_weight", "^optimizer_states.",
                                                "^callbacks.", "^loops.", "^lr_schedulers.",
                                                "^native_amp_scaling_state.", NULL};
static const load_name lightning_names[] = {{"state_dict.model.", ""}, {0}};
static const load_recipe lightning = {
    .what = "RaDialog's classifier", .names = lightning_names, .ignored = lightning_ignored};

static const load_name converted_names[] = {{"model.", ""}, {0}};
static const load_recipe converted = {
    .what = "RaDialog's classifier", .names = converted_names, .ignored = lightning_ignored};

static const load_name image_names[] = {{"", "biovil_encoder."}, {0}};
static const char *const head[] = {"^fc1.", "^fc2.", NULL};
static const char *const head_and_projector[] = {"^fc1.", "^fc2.", "^biovil_encoder.projector.", NULL};
static const char *const image_ignored[] = {"^encoder.encoder.fc.", "num_batches_tracked", NULL};
static const char *const image_and_projector_ignored[] = {"^encoder.encoder.fc.", "num_batches_tracked",
                                                          "^projector.", NULL};

static load_recipe choose(const weights *file, bool complete, bool projector) {
    if (weights_lookup(file, "state_dict.model.biovil_encoder.encoder.encoder.conv1.weight")) return lightning;
    if (weights_lookup(file, "model.biovil_encoder.encoder.encoder.conv1.weight")) return converted;
    if (!weights_lookup(file, "encoder.encoder.conv1.weight")) return load_own;
    load_recipe image = {.what = "a BioViL-T image model", .names = image_names};
    image.keep = complete ? NULL : projector ? head : head_and_projector;
    image.ignored = complete || projector ? image_ignored : image_and_projector_ignored;
    return image;
}

status classifier_load(params *p, const char *path, bool complete, bool projector) {
    weights *file = NULL;
    status rc = weights_open(&file, path);
    if (rc) return rc;
    load_recipe recipe = choose(file, complete, projector);
    rc = params_load_told(p, file, &recipe);
    weights_close(file);
    return rc;
}
