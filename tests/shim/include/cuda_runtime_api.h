// What core/cuda/stream.h needs of CUDA's own header, for machines without it: the tests' host shim.
#pragma once
typedef struct CUstream_st *cudaStream_t;
typedef enum cudaError { cudaSuccess = 0 } cudaError_t;
