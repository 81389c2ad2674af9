#include "roster.h"

_Static_assert(sizeof(struct hf_entry) == 16, "layout of hf_entry");
_Static_assert(sizeof(struct hf_roster) == 104, "layout of hf_roster");

struct hf_entry *hf_roster_free(struct hf_session *s, struct hf_roster *r, void *body) {
    struct hf_walk w = hf_walk_begin(r);
    for (struct hf_entry *e; (e = hf_walk_next(s, &w)) != NULL;)
        if (hf_load(&e->word, HF_RELAXED) == 0) return e;
    struct hf_roster_more *more = hf_extend(s, body, w.more, sizeof *more); /* links it: comes zeroed */
    return more == NULL ? NULL : &more->entry[0];
}

struct hf_entry *hf_roster_find(struct hf_session *s, struct hf_roster *r, uint32_t member) {
    struct hf_walk w = hf_walk_begin(r);
    for (struct hf_entry *e; (e = hf_walk_next(s, &w)) != NULL;)
        if (hf_load(&e->word, HF_RELAXED) != 0 && hf_load(&e->member, HF_RELAXED) == member) return e;
    return NULL;
}
