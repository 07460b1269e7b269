/* Four threads, each making and freeing functions of its own. */
#include <kiln/kiln.h>
#include <pthread.h>

static kiln *k;

static void body(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    out[0] = in[0];
}

static void *work(void *arg)
{
    for (int i = 0; i < 20000; i++) kiln_function_free(kiln_function_new(k, body, NULL, NULL));
    return arg;
}

int main(void)
{
    pthread_t t[4];
    k = kiln_open(&(kiln_options){.threads = 1, .no_compile = true});
    for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, work, NULL);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    puts("fine");
    return kiln_close(k);
}
