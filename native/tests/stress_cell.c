/* Cells under stress: sums are exact, a maximum only grows, a compare-and-exchange has one winner. */
#include "cell.h"
#include "stress.h"

static struct hf_cell whole, real, narrow, top, owner;
static hf_a64 done;

static int add(struct hf_cell *c, int by) {
    struct hf_number now;
    return hf_cell_update(c, HF_CELL_ADD, (struct hf_number){by, (double)by}, NULL, &now);
}

static void work(struct st_thread *t) {
    struct hf_number now;
    int64_t seen = 0;
    while (!st_over(t)) {
        st_check(add(&whole, 3) == HF_OK && add(&real, 1) == HF_OK);
        st_check(add(&narrow, t->rounds % 2 ? 1 : -1) == HF_OK);
        st_check(hf_cell_update(&top, HF_CELL_MAX, (struct hf_number){t->rounds, 0}, NULL, &now) == HF_OK);
        st_check(now.whole >= t->rounds && now.whole >= seen);
        seen = (int64_t)now.whole;
        if (hf_cell_compare_exchange(&owner, (struct hf_number){0, 0}, (struct hf_number){t->number + 1, 0}) == HF_OK)
            st_check(hf_cell_compare_exchange(&owner, (struct hf_number){t->number + 1, 0}, (struct hf_number){0, 0}) == HF_OK);
        atomic_fetch_add_explicit(&done, 1, HF_RELAXED);
    }
}

/* Every whole type keeps its limits and refuses what does not fit. */
static void limits(void) {
    for (const char *code = "bBhHiIlLqQ"; *code; code++) {
        struct hf_cell c = {.code = (uint32_t)*code};
        __int128 low, high;
        struct hf_number now;
        hf_cell_limits(c.code, &low, &high);
        st_check(hf_cell_update(&c, HF_CELL_SET, (struct hf_number){high, 0}, NULL, &now) == HF_OK);
        st_check(hf_cell_get(&c).whole == high && add(&c, 1) == HF_WRONG && hf_cell_get(&c).whole == high);
        st_check(hf_cell_update(&c, HF_CELL_SET, (struct hf_number){low, 0}, NULL, &now) == HF_OK);
        st_check(hf_cell_get(&c).whole == low && add(&c, -1) == HF_WRONG && hf_cell_get(&c).whole == low);
        st_check(hf_cell_update(&c, HF_CELL_SET, (struct hf_number){high + 1, 0}, NULL, &now) == HF_WRONG);
    }
}

int main(void) {
    whole.code = top.code = 'q';
    real.code = 'd';
    narrow.code = 'h';
    owner.code = 'I';
    limits();
    st_run("stress_cell", 4, 1, work);
    st_check(hf_cell_get(&whole).whole == 3 * (__int128)done && hf_cell_get(&real).real == (double)done);
    return 0;
}
