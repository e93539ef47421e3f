// Training the findings classifier (RaDialog stage C).
#pragma once
#include "train/run.h"

extern const stage stage_classifier;
