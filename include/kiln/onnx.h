/* onnx.h: models of the ONNX format: read, checked, described, run, compiled and written. Not part of kiln.h; compiles alone as C11 and
 * C++17. */
#ifndef KILN_ONNX_H
#define KILN_ONNX_H

#include "function.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A model: its file stays mapped as long as it lives, so what lies in it takes no memory of its own, and must not be cut short
 * meanwhile. Everything in it is checked before it is used: the format, versions (1 to 14), that each tensor holds what its sizes say,
 * that each value is made before it is read. Sparse tensors are made whole, of
 * up to 16 MiB, or of some 700 elements for each that is listed. Tensors in other files are found below the model's folder alone, without links. */
typedef struct kiln_onnx kiln_onnx;
/* NULL after an error, which says what is wrong where: KILN_EIO, KILN_EFORMAT, KILN_EUNSUPPORTED, KILN_EMEMORY. */
KILN_API kiln_onnx *kiln_onnx_load_at(kiln_site at, kiln *k, const char *path);
/* The same of bytes, which are copied; tensors in other files are an error. */
KILN_API kiln_onnx *kiln_onnx_load_memory_at(kiln_site at, kiln *k, const void *bytes, size_t size);
KILN_API void kiln_onnx_free(kiln_onnx *m); /* m may be NULL; kiln_close frees it, too */
/* What the model is, in lines: who made it, the versions of its operators, its inputs, outputs and parameters, and how often it has
 * which operator, those of inner graphs and of its own functions included, and which of them Kiln does not have. */
KILN_API void kiln_onnx_describe(FILE *to, const kiln_onnx *m);
KILN_API bool kiln_onnx_describe_json(FILE *to, const kiln_onnx *m); /* one JSON object; false: it could not be written */

/* Calls the model: kiln_onnx_call(m, KILN_IN(x), y, 1). Inputs in the model's order, without those that the model has values for; as many
 * outputs as it has. The first call with other dtypes or sizes traces and compiles it, as any function (function.h); in an eager
 * engine (kiln_eager) it runs node by node, with the same bits. Indices out of range, as of Gather, are errors where they are known: in
 * an eager engine on the host, and constants everywhere; compiled code clamps them as kiln_gather does, a checked engine refuses them. The numbers of an input from which sizes follow, such as a shape that is
 * an input, are part of what is traced, and at most 4 KiB. False after an error, and then out is poison: KILN_EUNSUPPORTED names all
 * operators that Kiln does not have, or not in the version that the model imports. */
KILN_API bool kiln_onnx_call_at(kiln_site at, kiln_onnx *m, kiln_operands in, kiln_tensor **out, int nout);
#define kiln_onnx_call(m, in, out, nout) kiln_onnx_call_at(KILN_HERE, (m), (in), (out), (nout))
/* The function behind it, for gradients and all else that takes a function; inputs from which sizes follow cannot be given to it. It belongs
 * to the model. NULL after an error, as above. */
KILN_API kiln_function *kiln_onnx_function_at(kiln_site at, kiln_onnx *m);

/* What goes into a model that has no value in it, and what comes out: as many as there are, of which at most cap are stored; -1 after
 * an error, as above. The texts last as long as the model. */
typedef enum kiln_onnx_kind {
    KILN_ONNX_TENSOR,            /* also where nothing is stated */
    KILN_ONNX_SEQUENCE,          /* of tensors */
    KILN_ONNX_OPTIONAL,          /* a tensor, or nothing */
    KILN_ONNX_OPTIONAL_SEQUENCE,
    KILN_ONNX_OTHER              /* one that Kiln does not have: a map, a sequence of sequences, a sparse tensor */
} kiln_onnx_kind;
typedef struct kiln_onnx_value {
    const char *name;
    kiln_onnx_kind kind;
    /* Of the tensor, or of each of the sequence's. */
    kiln_dtype dtype; /* KILN_NONE: not stated, or one that Kiln does not have */
    int rank;         /* -1: not stated */
    int64_t size[KILN_MAX_RANK];           /* -1: left open */
    const char *size_name[KILN_MAX_RANK];  /* of an open one; NULL: it has none */
    bool fixed;       /* sizes follow from its numbers */
} kiln_onnx_value;
KILN_API int kiln_onnx_inputs_at(kiln_site at, kiln_onnx *m, kiln_onnx_value *to, int cap);
KILN_API int kiln_onnx_outputs_at(kiln_site at, kiln_onnx *m, kiln_onnx_value *to, int cap);
#define kiln_onnx_inputs(m, to, cap) kiln_onnx_inputs_at(KILN_HERE, (m), (to), (cap))
#define kiln_onnx_outputs(m, to, cap) kiln_onnx_outputs_at(KILN_HERE, (m), (to), (cap))

/* ---- sequences and optionals
 * Such a value is a list: the tensors of a sequence in order, one tensor or none of an optional. A tensor is a list of one. */
#define KILN_ONNX_NONE (-1)
typedef struct kiln_onnx_list {
    kiln_tensor **at; /* the caller's array */
    int count;        /* how many; KILN_ONNX_NONE: an optional that has nothing in it, not even an empty sequence */
    int cap;          /* of a list that is filled: for how many `at` has room */
} kiln_onnx_list;
/* Calls a model any of whose inputs and outputs may be lists; in and out have one for each input and output of the model. How many
 * tensors the input lists have, and which optionals are there, is part of the signature: a choice of these that is new makes a function
 * of its own. out[i].count becomes the number that output i has, of which at most out[i].cap are stored; all tensors belong to the
 * innermost scope. That number follows from sizes, counts and inputs that are fixed, or it is KILN_EUNSUPPORTED, but for an eager engine.
 * All lists together hold at most 4,096 tensors. False after an error, as kiln_onnx_call, and then all of out is empty. Such a model is
 * an error to kiln_onnx_call and kiln_onnx_function (KILN_EUNSUPPORTED). */
KILN_API bool kiln_onnx_call_lists_at(
    kiln_site at, kiln_onnx *m, const kiln_onnx_list *in, int nin, kiln_onnx_list *out, int nout);
#define kiln_onnx_call_lists(m, in, nin, out, nout) kiln_onnx_call_lists_at(KILN_HERE, (m), (in), (nin), (out), (nout))
/* Reads a file that holds a value of that kind as ONNX's test data do: TensorProto, SequenceProto or OptionalProto. to->count becomes
 * the number of its tensors, of which at most to->cap are made. False after an error (KILN_EIO, KILN_EFORMAT, KILN_EUNSUPPORTED,
 * KILN_EMEMORY), and then the list is empty. */
KILN_API bool kiln_onnx_read_at(kiln_site at, kiln *k, kiln_onnx_kind kind, const char *path, kiln_onnx_list *to);
#define kiln_onnx_read(k, kind, path, to) kiln_onnx_read_at(KILN_HERE, (k), (kind), (path), (to))

/* The model's weights as variables of their names: all initialisers of floats but those from which sizes follow and those that are nothing
 * but bounds of Clip or OneHot's values. From then on the model's functions read them, so that they have gradients, an optimiser trains them,
 * and kiln_aot makes them an object's state. Running statistics of BatchNormalization are variables without a gradient: a model in training
 * mode has the new ones as outputs, which the caller assigns. It is to be asked before
 * the model is called or its function is asked for (else KILN_ESTATE). As many as there are, of which at most cap are stored; -1 after an
 * error. They belong to the model. */
KILN_API int kiln_onnx_variables_at(kiln_site at, kiln_onnx *m, kiln_variable **v, int cap);
#define kiln_onnx_variables(m, v, cap) kiln_onnx_variables_at(KILN_HERE, (m), (v), (cap))

/* Lets the model's results differ in rounding from those that it states, for speed: numbers by which the channels of a convolution or a
 * Gemm are multiplied, and that are added to them, go into its weights and its bias, where all are constants of f32 or f64. Such are a batch
 * normalisation that does not train, and products and sums with constants. Eager calls, compiled ones and objects have the same bits then,
 * too; docs/numerics.md says how far they are from those without. Weights that are variables stay as they are. It is to be asked before the model is called or its
 * function is asked for. False after an error (KILN_ESTATE: it is too late). */
KILN_API bool kiln_onnx_fast_at(kiln_site at, kiln_onnx *m);
#define kiln_onnx_fast(m) kiln_onnx_fast_at(KILN_HERE, (m))

/* Watches the model: from now on its eager calls (kiln_eager) hand over each tensor that a node of the model's own graph gives, in the
 * graph's order, as soon as it is there; see = NULL: no longer. It stays the model's, as do the texts, and is there until see returns,
 * which may compute with it and keep what it makes with kiln_own. Nothing may call the model while this is changed. */
typedef struct kiln_onnx_seen {
    int64_t node;               /* from 0 on */
    const char *name, *op;      /* of the node; the name may be "" */
    const char *output;         /* the value's name */
    kiln_tensor *x;
} kiln_onnx_seen;
typedef void kiln_onnx_see(const kiln_onnx_seen *seen, void *user);
KILN_API void kiln_onnx_watch(kiln_onnx *m, kiln_onnx_see *see, void *user);

/* ---- functions for declared inputs, as objects need them (aot.h)
 * A function of all the model's inputs, each a tensor of the dtype and the sizes that the model states. A size that it leaves open is
 * given by its name there, or as "INPUT.AXIS" where it has none: from lo to hi, or one size where these are equal. Inputs from which
 * sizes follow must have a value beforehand, others may; a call with another one fails (KILN_EVALUE; an object's entry returns
 * SYMBOL_EVALUE). With as_called sizes are not declared: the function is for whatever it is called with.
 * A list is as many inputs or outputs as it has tensors, "NAME.0", "NAME.1" and so on (kiln_onnx_declared_inputs). How many an
 * input list has is told as a size of its name: lo and hi are the number, or both KILN_ONNX_NONE. An example of an input or of a tensor of a
 * list, by that name, says its dtype and sizes in place of what the model states. How many tensors the output lists have is found when
 * the function is made; where it cannot be known then, that is KILN_EUNSUPPORTED. as_called is not for models of list outputs. */
typedef struct kiln_onnx_size { const char *name; int64_t lo, hi; } kiln_onnx_size;
typedef struct kiln_onnx_fixed { const char *name; kiln_tensor *value; } kiln_onnx_fixed;
typedef struct kiln_onnx_declaration {
    const kiln_onnx_size *sizes;
    int sizes_count;
    const kiln_onnx_fixed *fixed;
    int fixed_count;
    bool as_called;
    const kiln_onnx_fixed *examples;
    int examples_count;
} kiln_onnx_declaration;
/* kiln_onnx_declared(m, &(kiln_onnx_declaration){...}); NULL: no size is open. The function belongs to the model. NULL after an error,
 * which names all sizes that are still open, or what is not there. */
KILN_API kiln_function *kiln_onnx_declared_sized(kiln_site at, kiln_onnx *m, const kiln_onnx_declaration *want, size_t size);
#define kiln_onnx_declared(m, ...) kiln_onnx_declared_sized(KILN_HERE, (m), __VA_ARGS__, sizeof(kiln_onnx_declaration))
/* What goes into a function of kiln_onnx_declared, and what comes out, one for each tensor; as kiln_onnx_inputs. */
KILN_API int kiln_onnx_declared_inputs_at(kiln_site at, kiln_onnx *m, kiln_function *f, kiln_onnx_value *to, int cap);
KILN_API int kiln_onnx_declared_outputs_at(kiln_site at, kiln_onnx *m, kiln_function *f, kiln_onnx_value *to, int cap);
#define kiln_onnx_declared_inputs(m, f, to, cap) kiln_onnx_declared_inputs_at(KILN_HERE, (m), (f), (to), (cap))
#define kiln_onnx_declared_outputs(m, f, to, cap) kiln_onnx_declared_outputs_at(KILN_HERE, (m), (f), (to), (cap))

/* What the model is, as kiln_onnx_describe tells it, and what is found by tracing it for these sizes (open ones that are not given are
 * 1) and values: how many multiplications its products and convolutions make, and a table of all nodes that Kiln does not run, each with the
 * operator, its domain and version, and the reason; what follows from such nodes is looked at as far as the model states their results. No
 * node computes. False after an error, or if it could not be written; a model that does not run is no error. */
KILN_API bool kiln_onnx_inspect_sized(kiln_site at, FILE *to, kiln_onnx *m, bool json, const kiln_onnx_declaration *want, size_t size);
#define kiln_onnx_inspect(to, m, json, ...) \
    kiln_onnx_inspect_sized(KILN_HERE, (to), (m), (json), __VA_ARGS__, sizeof(kiln_onnx_declaration))

/* ---- models out
 * Writes f as a model of ONNX (opset 20, or the lowest later one that has its dtypes): what it computes of its declared inputs (.inputs), or those of its latest call.
 * Inputs are x0, x1, ..., open sizes by their names, results y0, y1, ...; captured tensors and variables are initialisers, at their values
 * now. The file appears whole or not at all. False after an error: KILN_EUNSUPPORTED names all operators that ONNX does not have, each
 * with its line, or the assignment that a model cannot hold. Branches and loops are If and Loop; assertions are left out. Indices from
 * outside must lie within: ONNX does not clamp them. docs/tour.md lists what is refused, and what may differ. */
KILN_API bool kiln_onnx_save_at(kiln_site at, kiln_function *f, const char *path);
#define kiln_onnx_save(f, path) kiln_onnx_save_at(KILN_HERE, (f), (path))
/* The same of the first graph of a module in text form (docs/ir.md), all of whose parameters are inputs. */
KILN_API bool kiln_onnx_save_text_at(kiln_site at, kiln *k, const char *text, size_t len, const char *path);
#define kiln_onnx_save_text(k, text, len, path) kiln_onnx_save_text_at(KILN_HERE, (k), (text), (len), (path))

/* A file that holds one tensor as ONNX's test data do (TensorProto). NULL-like poison after an error. */
KILN_API kiln_tensor *kiln_onnx_tensor_at(kiln_site at, kiln *k, const char *path);
#define kiln_onnx_tensor(k, path) kiln_onnx_tensor_at(KILN_HERE, (k), (path))
#define kiln_onnx_function(m) kiln_onnx_function_at(KILN_HERE, (m))

#define kiln_onnx_load(k, path) kiln_onnx_load_at(KILN_HERE, (k), (path))
#define kiln_onnx_load_memory(k, bytes, size) kiln_onnx_load_memory_at(KILN_HERE, (k), (bytes), (size))

#ifdef __cplusplus
}
#endif

#endif
