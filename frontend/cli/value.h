/* value: tensors from files and to files, by what their names end in: .npy, .pb (a tensor of ONNX), else the bytes of the elements
 * alone; and models with the inputs that a command line gives them. */
#ifndef KILN_FRONTEND_CLI_VALUE_H
#define KILN_FRONTEND_CLI_VALUE_H

#include <kiln/onnx.h>

#include "cli.h"

enum { VALUES = 64 }; /* inputs, outputs, and options of one kind at most */

bool ends_in(const char *path, const char *end);
/* FOLDER/NAME and the end, in which characters that file names should not have are _; false: too long, which was said. */
bool value_path(char *path, size_t cap, const char *folder, const char *name, const char *end);
bool value_write(kiln *k, kiln_tensor *x, const char *path); /* .npy, or else bare elements; false: the engine has the error */

/* The name of an input or output, for a terminal: at most 99 bytes, without control characters. */
const char *value_name(const kiln_onnx_value *v, char to[100]);

/* What a command is told of a model's inputs. */
typedef struct ModelOptions {
    const char *command, *file;
    const char *input[VALUES], *fix[VALUES], *dim[VALUES]; /* [NAME=]FILE, NAME=VALUE|FILE, NAME=LO..HI */
    int inputs, fixes, dims;
    bool fast;     /* --fast */
    bool examples; /* inputs may be of other dtypes and sizes than the model states, in whose place theirs stand */
} ModelOptions;

typedef struct Parts { /* the tensors of an input or output */
    kiln_onnx_list list;
    kiln_tensor *at[VALUES];
    bool given;
} Parts;

typedef struct Model {
    kiln_onnx *m;
    kiln_onnx_value in[VALUES], out[VALUES];
    int nin, nout;
    kiln_onnx_size size[VALUES];
    kiln_onnx_fixed fixed[VALUES];
    int sizes, fixes;
    Parts value[VALUES];    /* per input, of --input and --fix */
    char name[VALUES][100]; /* of sizes */
} Model;

bool is_list(const kiln_onnx_value *v);
bool model_has_lists(const Model *model); /* among its inputs and outputs */
/* Reads the file of the value, as ONNX's test data have it. False: the engine has the error, or it was said. */
bool parts_read(kiln *k, const kiln_onnx_value *like, const char *path, Parts *to);

/* As engine_error; what is wrong about values, dtypes and sizes is bad input, too: the model's, or that of its files. */
int model_error(const char *command, kiln *k);
/* Loads it and reads what the options name; an Exit. Everything belongs to the engine and its innermost scope. */
int model_open(kiln *k, const ModelOptions *o, Model *model);
/* Its parts: what --dim says, and of a model that is loaded its inputs and outputs, with what --input and --fix say. */
int model_sizes_read(const ModelOptions *o, Model *model);
int model_values_read(kiln *k, const ModelOptions *o, Model *model);

#endif
