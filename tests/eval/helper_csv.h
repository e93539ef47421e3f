// Golden tables of the text metrics' tests.
#pragma once
#include "data/csv.h"

// The field NAME of the present row, freed by mem_free; dies without it.
char *csv_text(const csv *c, const char *name);
