// Every kernel is one sweep over the rows (models/ops/columns_cuda.cuh) with the channels' numbers in registers;
// formulas are those of batch_norm.c.
#include "models/ops/columns_cuda.cuh"

// Whether packs of channels may be moved.
template <class T, class... P> static bool whole(int64_t C, P... pointers) {
    return C % PACK<T> == 0 && aligned(pointers...);
}

// --- sums ----------------------------------------------------------------------------------------------
// Where numbers are single, squares go into doubles at once, because with a large mean the variance is what
// remains of two nearly equal numbers. Squares of narrow numbers are exact in float, and so, nearly, are a few.
template <class T> struct exact_sum {
    typedef float type;
};
template <> struct exact_sum<float> {
    typedef double type;
};

template <class T> struct forward_sums {
    typedef typename exact_sum<T>::type number;
    enum { FEW = 8 };
    template <int V> struct columns {};
    const T *inp;
    int64_t C;
    template <int V> __device__ void open(columns<V> &, int64_t) const {}
    template <int V>
    __device__ void add(const columns<V> &, number (&a)[V], number (&b)[V], int64_t r, int64_t c) const {
        float x[V];
        load(x, inp + r * C + c);
        UNROLL for (int v = 0; v < V; v++) {
            a[v] += (number)x[v];
            b[v] += (number)x[v] * (number)x[v];
        }
    }
};

struct sums_finish {
    double *sums;
    int64_t C;
    double rows;
    __device__ void put(int64_t i, double sum) const {
        sums[i] = sum;
        if (i == 0) sums[2 * C] = rows;
    }
};

template <class T>
static void sums_all(double *sums, const void *inp, int64_t rows, int64_t C, stream *s) {
    const forward_sums<T> body = {(const T *)inp, C};
    const sums_finish finish = {sums, C, (double)rows};
    if (whole<T>(C, inp))
        column_sums<PACK<T>>("batch_norm_sums", rows, C, body, finish, s);
    else
        column_sums<1>("batch_norm_sums", rows, C, body, finish, s);
}

void batch_norm_sums_cuda(double *sums, const void *inp, int64_t rows, int64_t C, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("batch_norm", type, sums_all, sums, inp, rows, C, s);
}

template <class T> struct backward_sums {
    typedef float number;
    enum { FEW = 8 };
    template <int V> struct columns {
        float mean[V], rstd[V];
    };
    const T *dout, *out, *inp; // out NULL: no ReLU
    const float *mean, *rstd;
    int64_t C;
    template <int V> __device__ void open(columns<V> &k, int64_t c) const {
        load(k.mean, mean + c);
        load(k.rstd, rstd + c);
    }
    template <int V>
    __device__ void add(const columns<V> &k, float (&a)[V], float (&b)[V], int64_t r, int64_t c) const {
        float dz[V], x[V], y[V];
        load(dz, dout + r * C + c);
        load(x, inp + r * C + c);
        if (out) load(y, out + r * C + c);
        UNROLL for (int v = 0; v < V; v++) {
            if (out && !(y[v] > 0)) dz[v] = 0;
            a[v] += dz[v];
            b[v] += dz[v] * ((x[v] - k.mean[v]) * k.rstd[v]);
        }
    }
};

template <class T>
static void backward_sums_all(double *sums, const void *dout, const void *out, const void *inp,
                              const float *mean, const float *rstd, int64_t rows, int64_t C, int relu,
                              stream *s) {
    const backward_sums<T> body = {(const T *)dout, relu ? (const T *)out : NULL, (const T *)inp, mean, rstd, C};
    const sums_finish finish = {sums, C, (double)rows};
    if (whole<T>(C, dout, body.out, inp, mean, rstd))
        column_sums<PACK<T>>("batch_norm_backward_sums", rows, C, body, finish, s);
    else
        column_sums<1>("batch_norm_backward_sums", rows, C, body, finish, s);
}

void batch_norm_backward_sums_cuda(double *sums, const void *dout, const void *out, const void *inp,
                                   const void *mean, const void *rstd, int64_t rows, int64_t C, int relu,
                                   dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("batch_norm", type, backward_sums_all, sums, dout, out, inp, (const float *)mean,
             (const float *)rstd, rows, C, relu, s);
}

// --- per channel ---------------------------------------------------------------------------------------
struct statistics_body {
    float *mean, *rstd, *running_mean, *running_var;
    const double *sums;
    double eps, momentum;
    int64_t C;
    static __device__ void move_towards(float *running, double value, double momentum) {
        *running = (float)((1 - momentum) * (double)*running + momentum * value);
    }
    template <int V> __device__ void at(int64_t c) const {
        const double count = sums[2 * C], m = sums[c] / count;
        double var = sums[C + c] / count - m * m;
        var = var < 0 ? 0 : var; // rounding of a constant channel; NaN stays
        mean[c] = (float)m;
        rstd[c] = (float)(1 / sqrt(var + eps));
        if (running_mean) move_towards(running_mean + c, m, momentum);
        // A single row has no unbiased variance.
        if (running_var) move_towards(running_var + c, count > 1 ? var * count / (count - 1) : var, momentum);
    }
};

void batch_norm_statistics_cuda(void *mean, void *rstd, void *running_mean, void *running_var,
                                const double *sums, double eps, double momentum, int64_t C, dtype type,
                                stream *s) {
    KERNEL_BEGIN(s);
    (void)type;
    const statistics_body body = {(float *)mean, (float *)rstd, (float *)running_mean, (float *)running_var,
                                  sums,          eps,           momentum,              C};
    each<1>("batch_norm_statistics", C, body, true, s);
}

struct rstd_body {
    float *rstd;
    const float *running_var;
    double eps;
    template <int V> __device__ void at(int64_t c) const {
        rstd[c] = (float)(1 / sqrt((double)running_var[c] + eps));
    }
};

void batch_norm_rstd_cuda(void *rstd, const void *running_var, double eps, int64_t C, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    (void)type;
    const rstd_body body = {(float *)rstd, (const float *)running_var, eps};
    each<1>("batch_norm_rstd", C, body, true, s);
}

struct params_body {
    float *dweight, *dbias;
    const double *sums;
    int64_t C;
    int acc_weight, acc_bias;
    template <int V> __device__ void at(int64_t c) const {
        if (dbias) dbias[c] = (float)(sums[c] + (acc_bias ? (double)dbias[c] : 0));
        if (dweight) dweight[c] = (float)(sums[C + c] + (acc_weight ? (double)dweight[c] : 0));
    }
};

void batch_norm_backward_params_cuda(void *dweight, void *dbias, const double *sums, int64_t C, int acc_weight,
                                     int acc_bias, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    (void)type;
    const params_body body = {(float *)dweight, (float *)dbias, sums, C, acc_weight, acc_bias};
    each<1>("batch_norm_backward_params", C, body, true, s);
}

// --- forward -------------------------------------------------------------------------------------------
// (x - mean) first: x scale + shift would lose the digits that a large mean takes.
template <class T> struct apply_body {
    template <int V> struct columns {
        float mean[V], scale[V], bias[V];
    };
    T *out;
    const T *inp, *residual;
    const float *mean, *rstd, *weight, *bias;
    int64_t C;
    int relu;
    template <int V> __device__ void open(columns<V> &k, int64_t c) const {
        float w[V];
        load(k.mean, mean + c);
        load(k.scale, rstd + c);
        load(k.bias, bias + c);
        load(w, weight + c);
        UNROLL for (int v = 0; v < V; v++) k.scale[v] *= w[v];
    }
    template <int V> __device__ void row(const columns<V> &k, int64_t r, int64_t c) const {
        float x[V], more[V];
        load(x, inp + r * C + c);
        if (residual) load(more, residual + r * C + c);
        UNROLL for (int v = 0; v < V; v++) {
            x[v] = (x[v] - k.mean[v]) * k.scale[v] + k.bias[v];
            if (residual) x[v] += more[v];
            if (relu && x[v] < 0) x[v] = 0; // NaN stays
        }
        store(out + r * C + c, x);
    }
};

template <class T>
static void apply_all(void *out, const void *inp, const void *residual, const float *mean, const float *rstd,
                      const float *weight, const float *bias, int64_t rows, int64_t C, int relu, stream *s) {
    const apply_body<T> body = {(T *)out, (const T *)inp, (const T *)residual, mean, rstd, weight, bias, C, relu};
    if (whole<T>(C, out, inp, residual, mean, rstd, weight, bias))
        columns_each<PACK<T>>("batch_norm_apply", rows, C, body, s);
    else
        columns_each<1>("batch_norm_apply", rows, C, body, s);
}

void batch_norm_apply_cuda(void *out, const void *inp, const void *residual, const void *mean, const void *rstd,
                           const void *weight, const void *bias, int64_t rows, int64_t C, int relu, dtype type,
                           stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("batch_norm", type, apply_all, out, inp, residual, (const float *)mean, (const float *)rstd,
             (const float *)weight, (const float *)bias, rows, C, relu, s);
}

// --- backward ------------------------------------------------------------------------------------------
// dx = scale (dz - (shift + (x - mean) slope)): the rule's formula with what does not change from row to row
// taken out. With fixed statistics (sums NULL) shift and slope are 0. dresidual after dinp: where x is its own
// residual both are the same memory, and the second adds.
template <class T> struct back_body {
    template <int V> struct columns {
        float mean[V], scale[V], shift[V], slope[V];
    };
    T *dinp, *dresidual;
    const T *dout, *out, *inp; // out NULL: no ReLU
    const float *mean, *rstd, *weight;
    const double *sums;
    int64_t C;
    int acc_inp, acc_residual;
    template <int V> __device__ void open(columns<V> &k, int64_t c) const {
        float rstd_[V];
        const double share = sums ? 1 / sums[2 * C] : 0;
        load(k.mean, mean + c);
        load(rstd_, rstd + c);
        load(k.scale, weight + c);
        UNROLL for (int v = 0; v < V; v++) {
            k.scale[v] *= rstd_[v];
            k.shift[v] = sums ? (float)(sums[c + v] * share) : 0;
            k.slope[v] = sums ? (float)(sums[C + c + v] * share * (double)rstd_[v]) : 0;
        }
    }
    template <int V> __device__ void row(const columns<V> &k, int64_t r, int64_t c) const {
        const int64_t at = r * C + c;
        float dz[V], y[V], x[V] = {};
        load(dz, dout + at);
        if (out) load(y, out + at);
        if (dinp && sums) load(x, inp + at);
        UNROLL for (int v = 0; v < V; v++) {
            if (out && !(y[v] > 0)) dz[v] = 0;
            const float centred = sums ? x[v] - k.mean[v] : 0;
            x[v] = k.scale[v] * (dz[v] - (k.shift[v] + centred * k.slope[v]));
        }
        if (dinp) give(dinp + at, x, acc_inp);
        if (dresidual) give(dresidual + at, dz, acc_residual);
    }
};

template <class T> static void back_all(const back_body<T> &body, int64_t rows, stream *s) {
    if (whole<T>(body.C, body.dinp, body.dresidual, body.dout, body.out, body.inp, body.mean, body.rstd,
                 body.weight))
        columns_each<PACK<T>>("batch_norm_backward_apply", rows, body.C, body, s);
    else
        columns_each<1>("batch_norm_backward_apply", rows, body.C, body, s);
}

template <class T>
static void back_typed(void *dinp, void *dresidual, const void *dout, const void *out, const void *inp,
                       const float *mean, const float *rstd, const float *weight, const double *sums,
                       int64_t rows, int64_t C, int acc_inp, int acc_residual, stream *s) {
    back_all<T>({(T *)dinp, (T *)dresidual, (const T *)dout, (const T *)out, (const T *)inp, mean, rstd, weight,
                 sums, C, acc_inp, acc_residual},
                rows, s);
}

void batch_norm_backward_apply_cuda(void *dinp, void *dresidual, const void *dout, const void *out,
                                    const void *inp, const void *mean, const void *rstd, const void *weight,
                                    const double *sums, int64_t rows, int64_t C, int relu, int acc_inp,
                                    int acc_residual, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("batch_norm", type, back_typed, dinp, dresidual, dout, relu ? out : NULL, inp, (const float *)mean,
             (const float *)rstd, (const float *)weight, sums, rows, C, acc_inp, acc_residual, s);
}
