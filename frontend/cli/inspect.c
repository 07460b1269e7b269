/* inspect: `kiln inspect`: what an ONNX model holds, after it was checked. */
#include "options.h"

#include <kiln/onnx.h>

const char inspect_help[] = "usage: kiln inspect MODEL.onnx [--json]\n\n"
                            "Reads and checks the model, and prints its format and producer, the versions of its operators, its "
                            "inputs and outputs, how many\n"
                            "parameters it has in how many bytes, and how often it has which operator. Nothing is run.\n\n"
                            "  kiln inspect resnet50.onnx\n\n"
                            "  --json   one JSON object\n";

int inspect_command(int argc, char **argv)
{
    bool json = false;
    const Option options[] = {{"--json", .flag = &json}, {0}};
    const char *path = NULL;
    int status = options_parse("inspect", argc, argv, options, &path, 1);
    if (status) return status;
    if (!path) return usage_error("inspect", "no model is named");
    kiln *k = kiln_open(&(kiln_options){.device = "cpu"});
    if (!k) {
        say("kiln inspect: no memory for an engine");
        return NO_RESOURCE;
    }
    kiln_onnx *m = kiln_onnx_load(k, path);
    if (m && json && kiln_onnx_describe_json(stdout, m))
        puts("");
    else if (m && !json)
        kiln_onnx_describe(stdout, m);
    else if (m)
        status = NO_RESOURCE;
    else
        status = engine_error("inspect", k);
    kiln_close(k);
    return status;
}
