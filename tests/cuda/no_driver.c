// A driver without a GPU, for tests of plans on machines without one: cuDNN looks its functions up before it
// compiles an engine, and loads what it compiled. Each function says "done" and does nothing; no test runs a
// plan. Built as libcuda.so.1 and opened by the test alone, never linked.

#define FUNCTIONS(X)                                                                               \
    X(cuCtxGetCurrent) X(cuCtxGetLimit) X(cuCtxPopCurrent) X(cuCtxPushCurrent) X(cuDeviceGet)      \
    X(cuDeviceGetCount) X(cuDriverGetVersion) X(cuGetErrorName) X(cuGetErrorString) X(cuInit)      \
    X(cuKernelGetAttribute) X(cuKernelSetAttribute) X(cuLaunchCooperativeKernel)                   \
    X(cuLaunchKernel) X(cuLaunchKernelEx) X(cuLibraryGetKernel) X(cuLibraryLoadData)               \
    X(cuLibraryLoadFromFile) X(cuLibraryUnload) X(cuLinkAddData) X(cuLinkComplete)                 \
    X(cuLinkCreate) X(cuLinkDestroy) X(cuOccupancyMaxPotentialClusterSize) X(cuStreamGetCtx)

#define FUNCTION(name)                                                                             \
    int name(void);                                                                                \
    int name(void) { return 0; }
FUNCTIONS(FUNCTION)
