// Versions of the libraries behind the wrappers, for `radialog doctor`: each wrapper file tells its
// own.
#pragma once

typedef struct library_version {
    char found[48]; // of the library that runs; empty where it does not say
    char built[48]; // of the headers that the program was compiled with
} library_version;

// Longer texts are cut.
library_version version_texts(const char *found, const char *built);
library_version version_numbers(const int found[3], const int built[3]);
