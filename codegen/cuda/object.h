/* object: objects for devices. Relies on backend. */
#ifndef KILN_CODEGEN_CUDA_OBJECT_H
#define KILN_CODEGEN_CUDA_OBJECT_H

#include "../backend.h"

/* As Backend.device_object; o->there is the CudaDriver that says what compiles, and for what. */
bool cuda_object(const Program *p, const CompileOptions *o, const char *prefix, const ObjectData *data, int ndata, DeviceObject *is,
    ObjectSink *sink, void *user, Status *st);

#endif
