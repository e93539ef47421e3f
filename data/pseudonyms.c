#include "data/pseudonyms.h"
#include "core/files/fs.h"
#include "core/log.h"
#include "core/sha256.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

enum { KEY_BYTES = sizeof(pseudonym_key), DIGITS = 2 * KEY_BYTES };

static void print_hex(char *out, const uint8_t *bytes, int count) {
    for (int i = 0; i < count; i++) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static status key_make(const char *path) {
    pseudonym_key key;
    char text[DIGITS + 2];
    if (getrandom(key.bytes, KEY_BYTES, 0) != KEY_BYTES)
        return status_fail(STATUS_IO, "%s: no random numbers for a key: %s", path, strerror(errno));
    print_hex(text, key.bytes, KEY_BYTES);
    text[DIGITS] = '\n';
    return file_write_secret(path, text, DIGITS + 1);
}

static int digit(char c) {
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

static status key_parse(pseudonym_key *out, const char *text, const char *path) {
    if (strspn(text, "0123456789abcdefABCDEF") != DIGITS || (text[DIGITS] && text[DIGITS] != '\n'))
        return status_fail(STATUS_FORMAT,
                           "%s: no key for ids: %d hexadecimal digits; restore the file, or give "
                           "another with --key",
                           path, DIGITS);
    for (int i = 0; i < KEY_BYTES; i++)
        out->bytes[i] = (uint8_t)(digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
    return STATUS_OK;
}

status pseudonym_key_open(pseudonym_key *out, const char *path) {
    struct stat info;
    buffer text = {0};
    status rc = STATUS_OK;
    const bool there = !stat(path, &info);
    if (!there && errno == ENOENT) {
        rc = key_make(path);
        if (!rc)
            log_info(
                "%s: made; ids are the same as long as it is kept, and secret as long as it is",
                path);
    } else if (there && info.st_mode & 077)
        log_warn("%s: others may read it; chmod 600 keeps ids secret", path);
    if (!rc) rc = file_read(path, 4096, &text);
    if (!rc) rc = key_parse(out, text.data, path);
    buffer_free(&text);
    return rc;
}

const char *pseudonym(char out[PSEUDONYM_SIZE], const pseudonym_key *key, const char *kind,
                      const char *id) {
    uint8_t hash[SHA256_SIZE];
    char text[1024];
    size_t front = strlen(kind) + 1, length = strlen(id);
    // A file's path may be longer: its hash stands for it.
    if (front + length > sizeof text) {
        if (front + SHA256_SIZE > sizeof text) die("pseudonym: kind %s", kind);
        sha256((uint8_t *)text + front, id, length);
        length = SHA256_SIZE;
    } else
        memcpy(text + front, id, length);
    memcpy(text, kind, front);
    hmac_sha256(hash, key->bytes, KEY_BYTES, text, front + length);
    print_hex(out, hash, (PSEUDONYM_SIZE - 1) / 2);
    return out;
}
