/* Nucleus sampling, as language models draw their next word: of the most probable words that together have the probability p, one is drawn by its
 * share. Sorting, running sums and a scatter back to the words' own places; eagerly and traced. */
#include <kiln/kiln.h>

enum { WORDS = 8 };

/* The share of each word, 0 for those outside the nucleus; and the word that the number u in [0, 1) draws. */
KILN_RESULTS(nucleus, out, 2, k, logits, p, u)
{
    kiln_tensor *probability = kiln_softmax(logits, -1), *places;
    kiln_tensor *sorted = kiln_top_k(probability, WORDS, -1, &places);
    kiln_tensor *before = kiln_cumsum(sorted, -1, KILN_EXCLUSIVE);
    kiln_tensor *kept = kiln_where(kiln_less(before, p), sorted, 0.0);
    kiln_tensor *share = kiln_div(kept, kiln_sum(kept, KILN_ALL));
    kiln_tensor *rank = kiln_sum(kiln_cast(kiln_le(kiln_cumsum(share, -1, 0), u), KILN_I64), KILN_ALL);
    out[0] = kiln_scatter(kiln_zeros_like(probability), places, share, 0, KILN_SCATTER_SET);
    out[1] = kiln_gather(places, rank, 0);
}

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        kiln_tensor *logits = kiln_f32(k, KILN_SHAPE(WORDS), 1, 3, -2, 2.5, 0, 3.5, -1, 2);
        for (int traced = 0; traced < 2; traced++) {
            kiln_eager(k, !traced);
            for (double u = 0.15; u < 1; u += 0.4) {
                KILN_SCOPE(k);
                kiln_tensor *out[2];
                nucleus(k, logits, kiln_scalar(k, KILN_F32, 0.8), kiln_scalar(k, KILN_F32, u), out);
                printf("%s, u = %.2f: word %.0f of ", traced ? "traced" : "eager", u, kiln_item(out[1]));
                kiln_print(stdout, out[0]);
            }
        }
    }
    return kiln_close(k);
}
