#include "core/files/tfevents.h"

#include <string.h>

// --- the frame ----------------------------------------------------------------------------------
uint32_t tfevents_crc32c(const void *bytes, size_t size) {
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < size; i++) {
        crc ^= ((const uint8_t *)bytes)[i];
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static void little(buffer *out, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) buffer_append(out, &(uint8_t){(uint8_t)(value >> 8 * i)}, 1);
}

// A checksum among the data that it is of would not be one: the format turns it and adds a
// constant.
static uint32_t masked(uint32_t crc) {
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static void frame(buffer *out, const buffer *event) {
    const size_t start = out->length;
    little(out, event->length, 8);
    if (out->failed) return;
    little(out, masked(tfevents_crc32c(out->data + start, 8)), 4);
    buffer_append(out, event->data, event->length);
    little(out, masked(tfevents_crc32c(event->data, event->length)), 4);
}

// --- messages -----------------------------------------------------------------------------------
enum { VARINT, FIXED64, BYTES, FIXED32 = 5 }; // wire types

static void varint(buffer *out, uint64_t value) {
    for (; value >= 0x80; value >>= 7) little(out, value | 0x80, 1);
    little(out, value, 1);
}

static void key(buffer *out, int field, int wire) {
    varint(out, (uint64_t)field << 3 | (uint64_t)wire);
}

static void bytes_field(buffer *out, int field, const void *bytes, size_t size) {
    key(out, field, BYTES);
    varint(out, size);
    buffer_append(out, bytes, size);
}

// Event: wall_time = 1, step = 2, file_version = 3, summary = 5.
static void begin_event(buffer *event, double time, int64_t step) {
    uint64_t bits;
    memcpy(&bits, &time, sizeof bits);
    key(event, 1, FIXED64);
    little(event, bits, 8);
    if (!step) return;
    key(event, 2, VARINT);
    varint(event, (uint64_t)step);
}

static void end_event(buffer *out, buffer *event) {
    if (event->failed && !out->failed) out->failed = event->failed;
    if (!event->failed) frame(out, event);
    buffer_free(event);
}

void tfevents_begin(buffer *out, double time) {
    static const char version[] = "brain.Event:2";
    buffer event = {0};
    begin_event(&event, time, 0);
    bytes_field(&event, 3, version, sizeof version - 1);
    end_event(out, &event);
}

// Summary: value = 1; Value: tag = 1, simple_value = 2.
void tfevents_number(buffer *out, double time, int64_t step, const char *tag, double value) {
    buffer event = {0}, summary = {0}, inner = {0};
    const float number = (float)value;
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    bytes_field(&inner, 1, tag, strlen(tag));
    key(&inner, 2, FIXED32);
    little(&inner, bits, 4);
    if (!inner.failed) bytes_field(&summary, 1, inner.data, inner.length);
    begin_event(&event, time, step);
    if (!summary.failed && !inner.failed) bytes_field(&event, 5, summary.data, summary.length);
    if (!event.failed) event.failed = inner.failed ? inner.failed : summary.failed;
    end_event(out, &event);
    buffer_free(&summary);
    buffer_free(&inner);
}
