/* survey_trace: a trace of which nothing is made. */
#include "../function/function.h"
#include "model.h"

void trace_and_drop(Thread *t, kiln_site at, kiln_function *f)
{
    Traced traced = {0};
    if (!call_enter(t, at, f)) return;
    traced_init(&traced);
    kiln_scope scope = kiln_scope_open(f->k);
    function_trace_ahead(t, at, "onnx", f, &traced);
    call_leave(t);
    traced_free(&traced);
    kiln_scope_close(&scope);
}
