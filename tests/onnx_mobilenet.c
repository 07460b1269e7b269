/* onnx_mobilenet: the generator. A graph's nodes and initialisers grow as its layers are added in order; weights are drawn by a
 * generator of its own, filters He-scaled by what leaves them. Never judges anything: tests/test_onnx_mobilenet.c does. */
#include "onnx_mobilenet.h"

#include <stdio.h>
#include <stdlib.h>

#include "onnx_bytes.h"

typedef struct Bytes {
    uint8_t *at;
    size_t n, cap;
    bool failed;
} Bytes;

typedef struct Builder {
    const MobileNet *how;
    Bytes nodes, weights, outputs;
    char now[32]; /* the value that the layers so far give */
    int values;
    uint64_t drawn;
} Builder;

static void put(Bytes *b, const void *at, size_t n)
{
    if (b->failed) return;
    if (b->n + n > b->cap) {
        const size_t cap = 2 * (b->n + n);
        uint8_t *more = realloc(b->at, cap);
        if (!more) {
            b->failed = true;
            return;
        }
        b->at = more, b->cap = cap;
    }
    memcpy(b->at + b->n, at, n);
    b->n += n;
}

/* A field of bytes in two pieces. */
static void put_field(Bytes *b, int number, const void *one, size_t n1, const void *two, size_t n2)
{
    Message head = {.n = 0};
    varint(&head, (uint64_t)number << 3 | 2), varint(&head, n1 + n2);
    put(b, head.at, head.n), put(b, one, n1);
    if (n2) put(b, two, n2);
}

static void put_message(Bytes *b, int number, const Message *m) { put_field(b, number, m->at, m->n, NULL, 0); }

/* ---- weights -------------------------------------------------------------------------------------------- */

static double uniform(Builder *b) /* splitmix64 */
{
    uint64_t z = (b->drawn += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) / 9007199254740992.0;
}

/* Of mean 0 and variance 1, nearly normal: sums and one quotient alone, so that all machines have the same. */
static double normal(Builder *b)
{
    double sum = -6;
    for (int i = 0; i < 12; i++) sum += uniform(b);
    return sum;
}

/* The square root of x > 0 by Newton's rule. */
static double root(double x)
{
    double y = x > 1 ? x : 1;
    for (int i = 0; i < 60; i++) y = 0.5 * (y + x / y);
    return y;
}

/* Floats: mean, and drawn around it with a deviation that may be 0. */
static void weight(Builder *b, const char *name, int rank, const int *size, double mean, double deviation)
{
    size_t n = 1;
    Message head = {.n = 0};
    for (int i = 0; i < rank; i++) n *= (size_t)size[i], integer(&head, 1, size[i]);
    integer(&head, 2, 1), text(&head, 8, name);
    varint(&head, 9 << 3 | 2), varint(&head, n * sizeof(float));
    float *v = malloc(n * sizeof *v);
    if (!v) {
        b->weights.failed = true;
        return;
    }
    for (size_t i = 0; i < n; i++) v[i] = (float)(deviation == 0 ? mean : mean + deviation * normal(b));
    put_field(&b->weights, 5, head.at, head.n, v, n * sizeof *v);
    free(v);
}

/* ---- layers --------------------------------------------------------------------------------------------- */

static void with_list(Message *node, const char *name, int n, int v)
{
    Message a = attribute_of(name, 7);
    for (int i = 0; i < n; i++) integer(&a, 8, v);
    message(node, 5, &a);
}

static void with_float(Message *node, const char *name, double v)
{
    Message a = attribute_of(name, 1);
    const float f = (float)v;
    varint(&a, 2 << 3 | 5);
    memcpy(a.at + a.n, &f, sizeof f), a.n += sizeof f;
    message(node, 5, &a);
}

/* A node of the value so far and of other operands, which gives the next value and others. */
static Message layer(Builder *b, const char *op, const char *operands, const char *also)
{
    char in[512], out[512];
    snprintf(in, sizeof in, "%s%s%s", b->now, *operands ? " " : "", operands);
    snprintf(b->now, sizeof b->now, "v%d", b->values++);
    snprintf(out, sizeof out, "%s%s%s", b->now, *also ? " " : "", also);
    return node(op, in, out);
}

static void convolution(Builder *b, const char *name, int size, int in, int out, int stride, int groups)
{
    char w[80];
    snprintf(w, sizeof w, "%s.weight", name);
    weight(b, w, 4, (int[]){out, in / groups, size, size}, 0, root(2.0 / (size * size * out / groups)));
    Message n = layer(b, "Conv", w, "");
    with_list(&n, "kernel_shape", 2, size), with_list(&n, "strides", 2, stride), with_list(&n, "pads", 4, size / 2);
    n = with_integer(n, "group", groups);
    put_message(&b->nodes, 1, &n);
}

static void value(Bytes *to, int number, const char *name, int rank, const int *size)
{
    Message shape = {.n = 0}, array = {.n = 0}, type = {.n = 0}, v = {.n = 0};
    for (int i = 0; i < rank; i++) {
        Message dim = {.n = 0};
        if (size[i] == 0)
            text(&dim, 2, "N");
        else
            integer(&dim, 1, size[i]);
        message(&shape, 1, &dim);
    }
    integer(&array, 1, 1), message(&array, 2, &shape), message(&type, 1, &array);
    text(&v, 1, name), message(&v, 2, &type);
    put_message(to, number, &v);
}

static void normalisation(Builder *b, const char *name, int channels)
{
    static const char *const part[4] = {"weight", "bias", "running_mean", "running_var"};
    char in[400] = "", also[200] = "";
    for (int i = 0; i < 4; i++) {
        char w[80];
        snprintf(w, sizeof w, "%s.%s", name, part[i]);
        weight(b, w, 1, &channels, i == 0 || i == 3, 0);
        snprintf(in + strlen(in), sizeof in - strlen(in), "%s%s", i ? " " : "", w);
        if (i < 2 || !b->how->training) continue;
        snprintf(also + strlen(also), sizeof also - strlen(also), "%s%s.next", i == 3 ? " " : "", w);
        strcat(w, ".next");
        value(&b->outputs, 12, w, 1, &channels);
    }
    Message n = layer(b, "BatchNormalization", in, also);
    with_float(&n, "epsilon", 1e-5), with_float(&n, "momentum", b->how->momentum);
    n = with_integer(n, "training_mode", b->how->training);
    put_message(&b->nodes, 1, &n);
}

static void relu6(Builder *b)
{
    const Message n = layer(b, "Clip", "relu6.least relu6.most", "");
    put_message(&b->nodes, 1, &n);
}

static void bound(Builder *b, const char *name, double v)
{
    if (b->how->bounds_inside) {
        weight(b, name, 0, NULL, v, 0);
        return;
    }
    Message n = node("Constant", "", name);
    with_float(&n, "value_float", v);
    put_message(&b->nodes, 1, &n);
}

/* torchvision's names: the convolution is at NAME.AT, in a block of its own where a relu6 follows. */
static void unit(Builder *b, const char *name, int at, int size, int in, int out, int stride, bool depthwise, bool bent)
{
    char conv[64], norm[64];
    snprintf(conv, sizeof conv, bent ? "%s.%d.0" : "%s.%d", name, at);
    snprintf(norm, sizeof norm, bent ? "%s.%d.1" : "%s.%d", name, bent ? at : at + 1);
    convolution(b, conv, size, in, out, stride, depthwise ? in : 1);
    normalisation(b, norm, out);
    if (bent) relu6(b);
}

/* A number of channels: a multiple of 8 near this one, at least nine tenths of it. */
static int channels(double n)
{
    int c = (int)(n + 4) / 8 * 8;
    if (c < 8) c = 8;
    return c < 0.9 * n ? c + 8 : c;
}

static void block(Builder *b, int number, int in, int out, int widening, int stride)
{
    char name[32], before[32];
    const int wide = in * widening;
    snprintf(name, sizeof name, "features.%d.conv", number);
    snprintf(before, sizeof before, "%s", b->now);
    if (widening != 1) unit(b, name, 0, 1, in, wide, 1, false, true);
    unit(b, name, widening != 1, 3, wide, wide, stride, true, true);
    unit(b, name, 1 + (widening != 1), 1, wide, out, 1, false, false);
    if (stride != 1 || in != out) return;
    const Message n = layer(b, "Add", before, "");
    put_message(&b->nodes, 1, &n);
}

static void classifier(Builder *b, int width)
{
    Message n = layer(b, "GlobalAveragePool", "", "");
    put_message(&b->nodes, 1, &n);
    n = layer(b, "Flatten", "", "");
    put_message(&b->nodes, 1, &n);
    weight(b, "classifier.1.weight", 2, (int[]){b->how->classes, width}, 0, 0.01);
    weight(b, "classifier.1.bias", 1, &b->how->classes, 0, 0);
    char in[128];
    snprintf(in, sizeof in, "%s classifier.1.weight classifier.1.bias", b->now);
    n = with_integer(node("Gemm", in, "classes"), "transB", 1);
    put_message(&b->nodes, 1, &n);
}

static void layers(Builder *b)
{
    static const int rows[7][4] = {/* widening, channels, repeats, stride */
        {1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
    const double width = b->how->width;
    const int last = b->how->last ? b->how->last : channels(1280 * (width > 1 ? width : 1)), most = b->how->repeats;
    int in = channels(32 * width), number = 1;
    strcpy(b->now, "images");
    bound(b, "relu6.least", 0), bound(b, "relu6.most", 6);
    value(&b->outputs, 12, "classes", 2, (int[]){0, b->how->classes});
    unit(b, "features", 0, 3, 3, in, 2, false, true);
    for (int r = 0; r < 7; r++)
        for (int i = 0; i < rows[r][2] && (most == 0 || i < most); i++) {
            const int out = channels(rows[r][1] * width);
            block(b, number++, in, out, rows[r][0], i ? 1 : rows[r][3]);
            in = out;
        }
    unit(b, "features", number, 1, in, last, 1, false, true);
    classifier(b, last);
}

uint8_t *mobilenet_bytes(const MobileNet *how, size_t *n)
{
    Builder b = {.how = how, .drawn = how->seed};
    Bytes graph = {.n = 0}, model = {.n = 0}, input = {.n = 0};
    Message opset = {.n = 0}, head = {.n = 0}, name = {.n = 0};
    layers(&b);
    text(&name, 2, "MobileNetV2");
    value(&input, 11, "images", 4, (int[]){0, 3, how->image, how->image});
    const Bytes *part[] = {&b.nodes, &b.weights, &input, &b.outputs};
    put(&graph, name.at, name.n);
    for (int i = 0; i < 4; i++) graph.failed |= part[i]->failed, put(&graph, part[i]->at, part[i]->n);
    integer(&head, 1, 8), text(&head, 2, "a test");
    text(&opset, 1, ""), integer(&opset, 2, 17);
    put(&model, head.at, head.n);
    put_field(&model, 7, graph.at, graph.n, NULL, 0);
    put_message(&model, 8, &opset);
    model.failed |= graph.failed;
    free(b.nodes.at), free(b.weights.at), free(input.at), free(b.outputs.at), free(graph.at);
    if (model.failed) {
        free(model.at);
        return NULL;
    }
    *n = model.n;
    return model.at;
}
