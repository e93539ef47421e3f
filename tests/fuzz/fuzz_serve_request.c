// Bodies of requests from anybody: whatever is taken is a conversation that can be asked.
#include "data/image_size.h"
#include "tests/fuzz/helper_fuzz.h"
#include "train/serve_request.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    serve_request r;
    buffer body = {0};
    int64_t width = 1, height = 1;
    buffer_append(&body, data, size);
    buffer_text(&body, ""); // a NUL behind, as it comes from the server
    const status rc = serve_request_parse(&r, body.data, body.length);
    if (rc) {
        demand_failure(rc);
    } else {
        demand(r.message.count % 2 == 1);
        for (size_t i = 0; i < r.message.count; i++) {
            touch_text(r.message.name[i]);
            demand(*r.message.name[i] || (i == 0 && r.image.length));
        }
        if (r.model) touch_text(r.model);
        if (r.system) touch_text(r.system);
        demand(r.temperature <= 2 && r.top_p <= 1 && r.most >= 0 && r.seed >= -1);
        touch_bytes(r.image.data, r.image.length);
        if (image_size(&width, &height, (const uint8_t *)r.image.data, r.image.length)) demand(width >= 0 && height >= 0);
    }
    // And as a picture of its own.
    if (image_size(&width, &height, data, size)) demand(width >= 0 && height >= 0 && width < INT64_C(1) << 32);
    serve_request_close(&r);
    buffer_free(&body);
    return 0;
}
