/* checkpoint_folder: what else may stand in a folder of checkpoints. */
#include "front.h"

#include <kiln/io.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/kiln-folder-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* What has a checkpoint's name and is no file is nobody's checkpoint: it is not restored, not counted and not in the way. */
static void only_files_are_checkpoints(void **state)
{
    kiln *k = *state;
    assert_non_null(mkdtemp(folder));
    kiln_checkpoint *c = kiln_checkpoint_new(k, folder, 2);
    kiln_variable *v = kiln_variable_new(k, "v", KILN_F32, 1.0);
    kiln_checkpoint_add(c, v);
    assert_int_equal(mkdir(in_folder("ckpt-5.safetensors"), 0777), 0);
    assert_int_equal(mkfifo(in_folder("ckpt-900.safetensors"), 0666), 0);
    assert_int_equal(symlink("nowhere", in_folder("ckpt-901.safetensors")), 0);
    assert_true(kiln_checkpoint_latest(c) == -1);
    for (int64_t step = 6; step <= 9; step++) {
        kiln_assign(v, (double)step);
        assert_true(kiln_checkpoint_save(c, step));
    }
    assert_true(kiln_checkpoint_restore_latest(c) == 9);
    assert_float_equal(kiln_item(v), 9, 0);
    assert_int_equal(access(in_folder("ckpt-7.safetensors"), F_OK), -1);
    assert_int_equal(access(in_folder("ckpt-8.safetensors"), F_OK), 0);
    assert_ok(k);
    const char *const left[] = {"ckpt-8.safetensors", "ckpt-9.safetensors", "ckpt-900.safetensors", "ckpt-901.safetensors"};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) assert_int_equal(unlink(in_folder(left[i])), 0);
    assert_int_equal(rmdir(in_folder("ckpt-5.safetensors")), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(only_files_are_checkpoints)};
    return cmocka_run_group_tests_name("checkpoint_folder", tests, NULL, NULL);
}
