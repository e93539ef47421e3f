// Training the report labeler: CheXbert (REFERENCE 7.5) from reports whose labels are known.
#pragma once
#include "train/run.h"

extern const stage stage_chexbert;
