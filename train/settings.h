// A command's configuration from its tables, --config and --set, and the options that stand beside them.
#pragma once
#include "core/config.h"
#include "train/cli.h"

status settings_open(config **out, const config_key *const *tables, const arguments *a);
// What the command line alone says: --set, --device, --precision.
status settings_overrides(config *c, const arguments *a);
// The split that --split names; USUAL where it is not given. Where that is all of them, they may be named, too: "all".
enum { SPLITS_ALL = -1 };
status settings_split(int *out, const arguments *a, int usual);
// Appends the help text of the tables' keys.
status settings_help(buffer *out, const config_key *const *tables);
