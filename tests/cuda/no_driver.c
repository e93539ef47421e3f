// A driver without a GPU, for tests of plans on machines without one: cuDNN looks its functions up
// before it compiles an engine, and loads what it compiled. Loading says "done", whatever else is
// called says "no device"; no test runs a plan. Built as libcuda.so.1 and opened by the test alone,
// never linked.
#define ABSENT(X)                                                                                  \
    X(cuCtxGetCurrent)                                                                             \
    X(cuCtxGetLimit)                                                                               \
    X(cuCtxPopCurrent)                                                                             \
    X(cuCtxPushCurrent)                                                                            \
    X(cuDeviceGet)                                                                                 \
    X(cuDeviceGetCount)                                                                            \
    X(cuGetErrorName)                                                                              \
    X(cuGetErrorString)                                                                            \
    X(cuInit)                                                                                      \
    X(cuLaunchCooperativeKernel)                                                                   \
    X(cuLaunchKernel)                                                                              \
    X(cuLaunchKernelEx)                                                                            \
    X(cuLibraryLoadFromFile)                                                                       \
    X(cuLinkAddData)                                                                               \
    X(cuLinkComplete)                                                                              \
    X(cuLinkCreate)                                                                                \
    X(cuLinkDestroy)                                                                               \
    X(cuOccupancyMaxPotentialClusterSize)                                                          \
    X(cuStreamGetCtx)

#define FUNCTION(name)                                                                             \
    int name(void);                                                                                \
    int name(void) {                                                                               \
        return 100;                                                                                \
    }
ABSENT(FUNCTION)

static int handle;

int cuDriverGetVersion(int *version);
int cuDriverGetVersion(int *version) {
    *version = 13000;
    return 0;
}

int cuLibraryLoadData(void **library);
int cuLibraryLoadData(void **library) {
    *library = &handle;
    return 0;
}

int cuLibraryGetKernel(void **kernel);
int cuLibraryGetKernel(void **kernel) {
    *kernel = &handle;
    return 0;
}

int cuLibraryUnload(void *library);
int cuLibraryUnload(void *library) {
    (void)library;
    return 0;
}

int cuKernelGetAttribute(int *value);
int cuKernelGetAttribute(int *value) {
    *value = 0;
    return 0;
}

int cuKernelSetAttribute(void);
int cuKernelSetAttribute(void) {
    return 0;
}
