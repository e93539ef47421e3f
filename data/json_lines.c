#include "data/json_lines.h"
#include "core/checksum.h"

#include <limits.h>
#include <string.h>

status json_lines_open(json_lines *l, const char *path) {
    *l = (json_lines){.path = path};
    return file_map_open(&l->map, path);
}

void json_lines_close(json_lines *l) {
    json_close(l->object);
    file_map_close(&l->map);
    *l = (json_lines){0};
}

uint32_t json_lines_checksum(const json_lines *l) {
    return checksum_crc32(0, l->map.data, l->map.size);
}

static bool is_blank(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (!text[i] || !strchr(" \t\r", text[i])) return false;
    return true;
}

status json_lines_next(json_lines *l, bool *more) {
    json_close(l->object);
    l->object = NULL;
    *more = false;
    while (l->next < l->map.size) {
        l->text = (const char *)l->map.data + l->next;
        const size_t left = l->map.size - l->next;
        const char *end = memchr(l->text, '\n', left);
        l->length = end ? (size_t)(end - l->text) : left;
        l->next += l->length + (end ? 1 : 0);
        if (l->line == INT_MAX) return status_fail(STATUS_FORMAT, "%s: too many lines", l->path);
        l->line++;
        if (is_blank(l->text, l->length)) continue;
        status rc = json_parse(&l->object, l->path, l->text, l->length, l->line);
        if (!rc) rc = json_object(json_root(l->object));
        *more = !rc;
        return rc;
    }
    return STATUS_OK;
}
