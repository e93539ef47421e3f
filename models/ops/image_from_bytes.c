// Images from their bytes: y = lut[b][byte], where a sample's table of 256 numbers holds its
// scaling and the changes of contrast that were drawn for it. Bytes have no gradient.
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

tensor *image_from_bytes(tape *t, tensor *bytes, tensor *lut) {
    tensor_expect(bytes, "image_from_bytes bytes", 3, (int64_t[]){-1, -1, -1});
    tensor_expect(lut, "image_from_bytes lut", 2, (int64_t[]){bytes->dim[0], 256});
    op_expect_type(bytes, "image_from_bytes bytes", DTYPE_U8);
    op_expect_type(lut, "image_from_bytes lut", DTYPE_F32);
    int64_t B = bytes->dim[0], H = bytes->dim[1], W = bytes->dim[2];
    tensor *y = tape_tensor(t, 4, (int64_t[]){B, H, W, 1});
    t->device->ops->image_from_bytes(y->data, bytes->data, lut->data, B, H * W, y->type,
                                     t->device->stream);
    return y;
}
