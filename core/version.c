#include "core/version.h"

#include <stdio.h>

library_version version_texts(const char *found, const char *built) {
    library_version v;
    snprintf(v.found, sizeof v.found, "%s", found);
    snprintf(v.built, sizeof v.built, "%s", built);
    return v;
}

library_version version_numbers(const int found[3], const int built[3]) {
    library_version v;
    snprintf(v.found, sizeof v.found, "%d.%d.%d", found[0], found[1], found[2]);
    snprintf(v.built, sizeof v.built, "%d.%d.%d", built[0], built[1], built[2]);
    return v;
}
