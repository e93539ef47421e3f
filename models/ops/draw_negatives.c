// Hard negatives: for each sample of a batch another one, the likelier the more it resembles the
// first (BLIP-2, Li et al. 2023, section 3.1). Sample i = first + r draws column c of scores (R, C)
// with the weight softmax(scores[r])[c] + 1e-4, and with 0 for itself and for those of its own
// group (another image of one study is no negative). Where the groups leave nothing, all but itself
// are as likely; a sample that is alone gets -1.
//
// One uniform number u decides: the first column that may be drawn and at which the sum of the
// weights, from the left, passes u times their total. Weights and sums are made in double on every
// device, so that these agree but for the rounding of a double. If the scores are not numbers the
// last column that may be drawn is taken: the loss, which is none either, then stops the step.
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

// No rule: a draw has no gradient.
tensor *draw_negatives(tape *t, tensor *scores, int64_t first, tensor *group) {
    tensor_expect(scores, "draw_negatives scores", 2, (int64_t[]){-1, -1});
    op_expect_type(scores, "draw_negatives scores", dtype_wide(t->device->type));
    negatives_shape z = {.R = scores->dim[0], .C = scores->dim[1], .first = first};
    if (first < 0 || first + z.R > z.C)
        die("draw_negatives: samples %lld to %lld of %lld", (long long)first,
            (long long)(first + z.R - 1), (long long)z.C);
    if (group) {
        tensor_expect(group, "draw_negatives group", 1, scores->dim + 1);
        op_expect_type(group, "draw_negatives group", DTYPE_I32);
    }
    z.key = tape_draw(t);
    z.first_sample = t->first_sample;
    tensor *y = tape_tensor_of(t, DTYPE_I32, 1, &z.R);
    t->device->ops->draw_negatives(y->data, scores->data, group ? group->data : NULL, &z,
                                   t->device->type, t->device->stream);
    return y;
}
