/* demo_train: the data of the demo, and two copies of a network trained side by side: one body, one
 * seed, every batch first eagerly, then traced, so that both are timed under the same conditions
 * and each step's loss can be compared bit for bit. */
#include "demo.h"

#include <string.h>
#include <unistd.h>

#include "../../runtime/base.h"

/* ---- data ---------------------------------------------------------------------------------------- */
static bool there(const char *dir, const char *set)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s-images-idx3-ubyte.gz", dir, set);
    if (!access(path, F_OK)) return true;
    path[strlen(path) - 3] = 0;
    return !access(path, F_OK);
}

static kiln_tensor *read_one(kiln *k, const char *dir, const char *set, const char *what)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s-%s-ubyte.gz", dir, set, what);
    if (access(path, F_OK)) path[strlen(path) - 3] = 0;
    return kiln_idx_read(k, path);
}

/* All pictures of the set "train" or "t10k", as they lie in the files. */
static bool read_set(kiln *k, const char *dir, const char *set, kiln_tensor **x, kiln_tensor **y)
{
    *x = read_one(k, dir, set, "images-idx3");
    *y = read_one(k, dir, set, "labels-idx1");
    if (kiln_failed(k)) return false;
    if (kiln_rank(*x) == 3 && kiln_dim(*x, 1) == 28 && kiln_dim(*x, 2) == 28 && kiln_rank(*y) == 1 &&
        kiln_dim(*x, 0) == kiln_dim(*y, 0) && kiln_dim(*x, 0) >= 100)
        return true;
    say("kiln demo: %s: %s: these files do not hold 100 or more images of 28 x 28, each with a label", dir, set);
    return false;
}

static kiln_tensor *floats(kiln_tensor *x)
{
    return kiln_reshape(kiln_div(kiln_cast(x, KILN_F32), 255.0), KILN_SHAPE(-1, 28, 28, 1));
}

/* One `part`-th of the pictures, the last ones, are kept for the test. */
static void split(kiln_tensor *x, kiln_tensor *y, int64_t part, Digits *d)
{
    int64_t test = kiln_dim(x, 0) / part;
    d->images = kiln_slice(x, 0, 0, -test, 1);
    d->labels = kiln_slice(y, 0, 0, -test, 1);
    d->test_images = kiln_slice(x, 0, -test, KILN_END, 1);
    d->test_labels = kiln_slice(y, 0, -test, KILN_END, 1);
}

static bool pictures(kiln *k, const DemoOptions *o, Digits *d)
{
    kiln_tensor *x, *y;
    if (!o->data) {
        if (!kiln_digits(k, o->quick ? 1400 : 7000, 1, &x, &y)) return false;
        split(x, y, 7, d);
    } else if (there(o->data, "train") && there(o->data, "t10k")) {
        return read_set(k, o->data, "train", &d->images, &d->labels) &&
               read_set(k, o->data, "t10k", &d->test_images, &d->test_labels);
    } else {
        if (!read_set(k, o->data, there(o->data, "train") ? "train" : "t10k", &x, &y)) return false;
        split(x, y, 10, d);
    }
    return !kiln_failed(k);
}

bool digits_load(kiln *k, const DemoOptions *o, Digits *d)
{
    if (!pictures(k, o, d)) return false;
    if (o->images) {
        d->images = kiln_slice(d->images, 0, 0, o->images, 1);
        d->labels = kiln_slice(d->labels, 0, 0, o->images, 1);
    }
    if (o->emulated) {
        d->test_images = kiln_slice(d->test_images, 0, 0, o->images, 1);
        d->test_labels = kiln_slice(d->test_labels, 0, 0, o->images, 1);
    }
    d->images = floats(d->images);
    d->labels = kiln_cast(d->labels, KILN_I64);
    d->test_images = floats(d->test_images);
    d->test_labels = kiln_cast(d->test_labels, KILN_I64);
    d->train = kiln_dim(d->images, 0);
    d->test = kiln_dim(d->test_images, 0);
    return !kiln_failed(k);
}

/* ---- training ------------------------------------------------------------------------------------ */
bool pair_open(Pair *p, kiln *k, const NetOptions *o, long steps)
{
    *p = (Pair){.cap = steps};
    for (int mode = 0; mode < 2; mode++) {
        p->loss[mode] = mem_zeros((size_t)steps, sizeof *p->loss[mode]);
        p->seconds[mode] = mem_zeros((size_t)steps, sizeof *p->seconds[mode]);
        if (!p->loss[mode] || !p->seconds[mode] || !net_open(&p->net[mode], k, o)) return false;
    }
    return true;
}

void pair_close(Pair *p)
{
    for (int mode = 0; mode < 2; mode++) {
        net_close(&p->net[mode]);
        mem_free(p->loss[mode], (size_t)p->cap * sizeof *p->loss[mode]);
        mem_free(p->seconds[mode], (size_t)p->cap * sizeof *p->seconds[mode]);
    }
}

/* One step in one mode; its loss and its time. */
static void one_step(Pair *p, int mode, const kiln_batch *b)
{
    kiln *k = p->net[mode].k;
    KILN_SCOPE(k);
    kiln_eager(k, mode == 0);
    double start = clock_seconds();
    kiln_tensor *loss = kiln_call(p->net[mode].step, b->x, b->y);
    kiln_read(loss, &p->loss[mode][p->steps], sizeof(float));
    p->seconds[mode][p->steps] = clock_seconds() - start;
    kiln_eager(k, false);
}

bool pair_train(Pair *p, const Digits *d, const DemoOptions *o, const char *name)
{
    kiln *k = p->net[0].k;
    bool same = true;
    char note[64];
    kiln_dataset *set = kiln_dataset_new(k, d->images, d->labels);
    for (long epoch = 0; epoch < o->epochs && set; epoch++)
        for (kiln_batch b = kiln_batches(set, o->batch, 100 + (uint64_t)epoch); kiln_next(&b);) {
            if (p->steps == p->cap) {
                kiln_batch_stop(&b);
                break;
            }
            one_step(p, 0, &b);
            one_step(p, 1, &b);
            same = same && !memcmp(&p->loss[0][p->steps], &p->loss[1][p->steps], sizeof(float));
            p->equal += same;
            snprintf(note, sizeof note, "loss %.3f", p->loss[1][p->steps]);
            p->steps++;
            progress(name, p->steps, p->cap, note);
        }
    progress_end();
    kiln_dataset_free(set);
    return !kiln_failed(k);
}

/* ---- measuring ----------------------------------------------------------------------------------- */
#define ROUNDS 31

static double forward_once(Pair *p, int mode, kiln_tensor *x)
{
    kiln *k = p->net[mode].k;
    KILN_SCOPE(k);
    kiln_eager(k, mode == 0);
    double start = clock_seconds();
    kiln_call(p->net[mode].forward, x);
    kiln_sync(k, kiln_device_of(x));
    double spent = clock_seconds() - start;
    kiln_eager(k, false);
    return spent;
}

static void test_accuracy(Pair *p, int mode, const Digits *d, const DemoOptions *o)
{
    kiln *k = p->net[mode].k;
    kiln_dataset *set = kiln_dataset_new(k, d->test_images, d->test_labels);
    kiln_metric *right = kiln_accuracy_metric(k);
    kiln_eager(k, mode == 0);
    if (set && right)
        for (kiln_batch b = kiln_batches(set, o->batch, 0); kiln_next(&b);) {
            KILN_SCOPE(k);
            kiln_metric_update_labels(right, kiln_call(p->net[mode].forward, b.x), b.y);
        }
    kiln_eager(k, false);
    p->accuracy[mode] = kiln_metric_result(right);
    kiln_metric_free(right);
    kiln_dataset_free(set);
}

bool pair_measure(Pair *p, const Digits *d, const DemoOptions *o)
{
    kiln *k = p->net[0].k;
    kiln_function_statistics s;
    kiln_function_stats(p->net[1].step, &s);
    p->first_call = s.trace_seconds + s.compile_seconds;
    p->kernels = s.kernels;
    p->ops = s.ops;
    long skip = p->steps > 8 ? 4 : 0; /* the first include compiling and cold memory */
    for (int mode = 0; mode < 2; mode++) p->step[mode] = median(p->seconds[mode] + skip, (int)(p->steps - skip));
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_to(kiln_slice(d->images, 0, 0, o->batch, 1), o->device);
    double spent[2][ROUNDS];
    const int rounds = o->emulated ? 3 : ROUNDS;
    for (int i = -2; i < rounds; i++)
        for (int mode = 0; mode < 2; mode++) spent[mode][i < 0 ? 0 : i] = forward_once(p, mode, x);
    for (int mode = 0; mode < 2; mode++) {
        p->forward[mode] = median(spent[mode], rounds);
        test_accuracy(p, mode, d, o);
    }
    return !kiln_failed(k);
}
