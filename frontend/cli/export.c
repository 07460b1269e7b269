/* export: `kiln export`: a module in text form as a model of ONNX. */
#include "module.h"
#include "options.h"

#include <kiln/onnx.h>

const char export_help[] =
    "usage: kiln export FILE -o MODEL.onnx\n\n"
    "  KILN_DUMP=ir ./program                      writes the functions that a program traces, as text\n"
    "  kiln export 000-step.ir -o step.onnx        writes such a function as a model of ONNX, for viewers and other "
    "runtimes\n\n"
    "FILE holds a module in text form (docs/ir.md); `-` is standard input. Every parameter of its first graph is an "
    "input,\nx0, x1, ...; open sizes stay open. What ONNX does not have is named. A program writes its functions with their "
    "weights\nby kiln_onnx_save.\n\n"
    "  -o MODEL.onnx   where to write\n";

int export_command(int argc, char **argv)
{
    const char *file = NULL, *out = NULL;
    const Option options[] = {{"-o", .text = &out}, {0}};
    int status = options_parse("export", argc, argv, options, &file, 1);
    if (status) return status;
    if (!file) return usage_error("export", "no FILE given");
    if (!out) return usage_error("export", "no -o MODEL.onnx given");
    Text text = {0};
    kiln *k = kiln_open(&(kiln_options){.device = "cpu"});
    if (!k)
        say("kiln export: no memory for an engine"), status = NO_RESOURCE;
    else if (!module_read("export", file, &text))
        status = BAD_INPUT;
    else if (!kiln_onnx_save_text_at((kiln_site){0}, k, text.at ? text.at : "", text.len, out))
        status = module_error("export", file, k);
    kiln_close(k);
    text_free(&text);
    return status;
}
