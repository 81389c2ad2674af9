/* Histories of a cell: no update is lost or done twice, whoever dies. */
#include "cell.h"
#include "explore.h"

static struct hf_cell cell;
static int64_t sum;      /* of the additions that came back */
static int64_t began[HX_FIBERS]; /* an addition that may or may not have happened */
static unsigned claims;

static void reset_as(uint32_t code) {
    cell = (struct hf_cell){.code = code};
    sum = 0;
    claims = 0;
    for (int i = 0; i < HX_FIBERS; i++) began[i] = 0;
    hx_name(&cell, sizeof cell, "cell");
}
static void reset_q(void) {
    reset_as('q');
}
static void reset_d(void) {
    reset_as('d');
}
static void reset_b(void) {
    reset_as('b');
}

static void update(int me, enum hf_cell_op op, int64_t by, struct hf_number *old) {
    struct hf_number now;
    began[me] = by;
    hx_assert(hf_cell_update(&cell, op, (struct hf_number){by, (double)by}, old, &now) == HF_OK);
    began[me] = 0;
    sum += by;
}
static void add(int me) {
    struct hf_number old;
    update(me, HF_CELL_ADD, 1 << 4 * me, NULL);
    update(me, HF_CELL_ADD, 2 << 4 * me, me == 1 ? &old : NULL);
}
static void add_small(int me) {
    update(me, HF_CELL_ADD, 1 << 2 * me, NULL);
    update(me, HF_CELL_ADD, 2 << 2 * me, NULL);
}
static void check_sum(void) {
    struct hf_number n = hf_cell_get(&cell);
    int64_t value = hf_cell_is_real(cell.code) ? (int64_t)n.real : (int64_t)n.whole;
    bool possible = value == sum;
    for (int i = 0; i < HX_FIBERS; i++) possible |= hx_any_dead() && value == sum + began[i];
    hx_assert(possible);
}

/* Each raises the maximum to its own number and sees it only grow. */
static void raise_max(int me) {
    for (int i = 1; i <= 2; i++) {
        struct hf_number now;
        int64_t mine = 3 * i + me;
        hx_assert(hf_cell_update(&cell, HF_CELL_MAX, (struct hf_number){mine, 0}, NULL, &now) == HF_OK);
        hx_assert(now.whole >= mine && hf_cell_get(&cell).whole >= now.whole);
    }
}
static void check_max(void) {
    if (!hx_any_dead()) hx_assert(hf_cell_get(&cell).whole == 8);
}

/* Only one can be the first. */
static void claim(int me) {
    struct hf_number free = {0, 0}, mine = {me + 1, 0};
    int r = hf_cell_compare_exchange(&cell, free, mine);
    hx_assert(r == HF_OK || r == HF_BUSY);
    if (r == HF_OK) claims++;
    hx_assert(hf_cell_get(&cell).whole != 0);
}
static void check_claim(void) {
    hx_assert(claims + (unsigned)hx_any_dead() >= 1 && claims <= 1);
}

#define ALL (HX_PLAIN | HX_DEATH)
static const struct hx_history histories[] = {
    {"cell_add", 3, ALL, {4, 0, 3}, reset_q, add, NULL, check_sum, {0}},
    {"cell_add_real", 3, ALL, {4, 0, 3}, reset_d, add, NULL, check_sum, {0}},
    {"cell_add_narrow", 3, ALL, {4, 0, 3}, reset_b, add_small, NULL, check_sum, {0}},
    {"cell_max", 3, ALL, {4, 0, 3}, reset_q, raise_max, NULL, check_max, {0}},
    {"cell_claim", 3, ALL, {4, 0, 3}, reset_q, claim, NULL, check_claim, {0}},
    {0},
};

int main(int argc, char **argv) {
    return hx_main(argc, argv, histories);
}
