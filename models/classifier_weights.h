// The files that a findings classifier can begin from, told apart by the names they hold:
// - our own checkpoints (model.safetensors);
// - RaDialog's classifier, a Lightning checkpoint: "state_dict.model." before every name, the loss's
//   pos_weight and the optimizer beside it; the same without "state_dict." once converted;
// - the BioViL-T image model biovil_t_image_model_proj_size_128.pt ("encoder.", "projector."). It has no
//   head: fc1 and fc2 begin as drawn. Its projector is dropped unless asked for, as the reference does
//   (RaDialog v1 drops every key that starts with "projector", for the classifier too).
#pragma once
#include "models/classifier.h"
#include "models/nn/load.h"

// Loads PATH, a file of weights, into P, the parameters of a classifier. COMPLETE: nothing may begin as
// drawn (inference). PROJECTOR: an image model's projector is taken. Says in the log what was loaded as
// what. Errors as params_load.
status classifier_load(params *p, const char *path, bool complete, bool projector);
