// What the readers of the two formats of embeddings share (data/embeddings.c,
// data/embeddings_pickle.c).
#pragma once
#include "data/embeddings.h"

enum { EMBEDDINGS_ID_MAX = 255 }; // bytes of a dicom_id in a pickle

// Fills in all but the path: sizes, ids and where each row is. The file stays open at fd.
status embeddings_load_pickle(embeddings *e);
// Sorts the ids; one that is there twice is a FORMAT error.
status embeddings_sort_ids(embeddings *e);
