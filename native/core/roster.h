/* A roster: who takes part in a semaphore, a condition or a barrier. A growing list of small entries that
 * never move, so that an entry's word can be slept on.
 *
 * An entry is free while its word is 0. Its fields are written first and the word last (the commit), all under
 * the owner's mutex; so a death half-way leaves an entry that is still free.
 */
#ifndef HF_ROSTER_H
#define HF_ROSTER_H

#include "who.h"

#define HF_ROSTER_INLINE 6
#define HF_ROSTER_MORE 60

struct hf_entry {
    hf_a32 word;   /* 0: free; otherwise what the owner of the roster says it means */
    hf_a32 member; /* whose */
    hf_a64 data;
};

struct hf_roster {
    struct hf_entry first[HF_ROSTER_INLINE];
    uint64_t more; /* link to a hf_roster_more, 0 if none; written once, under the mutex */
};

struct hf_roster_more {
    struct hf_entry entry[HF_ROSTER_MORE];
    uint64_t more;
};

/* Walk: for (hf_walk w = hf_walk_begin(&r); (e = hf_walk_next(s, &w));) */
struct hf_walk {
    struct hf_entry *at;
    unsigned left;
    uint64_t *more;
};

static inline struct hf_walk hf_walk_begin(struct hf_roster *r) {
    return (struct hf_walk){r->first, HF_ROSTER_INLINE, &r->more};
}

static inline struct hf_entry *hf_walk_next(struct hf_session *s, struct hf_walk *w) {
    if (w->left == 0) {
        struct hf_roster_more *next = hf_follow(s, *w->more);
        if (next == NULL) return NULL;
        *w = (struct hf_walk){next->entry, HF_ROSTER_MORE, &next->more};
    }
    w->left--;
    return w->at++;
}

/* A free entry, growing the roster if need be (body: the body of the block the roster lies in). NULL: no memory. */
struct hf_entry *hf_roster_free(struct hf_session *s, struct hf_roster *r, void *body);
/* The entry of a member, or NULL. */
struct hf_entry *hf_roster_find(struct hf_session *s, struct hf_roster *r, uint32_t member);

#endif
