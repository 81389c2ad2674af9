/* What the tests of the arena share: actors, who make, send, find, name and drop patterned blocks at random, and an
 * audit of the whole arena, which knows its layout. An actor is a thread (stress_session.c) or a process
 * (stress_death_session.c); it may act for several members.
 *
 * Must not know: how the arena is repaired, or when.
 */
#ifndef HF_TESTS_ARENA_H
#define HF_TESTS_ARENA_H

#include "chunks.h"

#define AR_HELD 24
#define AR_CHILDREN 3
#define AR_MAIL 16
#define AR_NAMES 16

/* A block as its holder remembers it. Handles are listed by address: it must not move while `used`. */
struct ar_held {
    bool used;
    bool named;
    struct hf_session *session;
    struct hf_handle handle;
    uint64_t seed;   /* of the pattern that fills the body; 0: none */
    uint64_t nbytes;
    void *child[AR_CHILDREN];
};

/* A pickle under way: offset / 256 in the low 24 bits, uid above; 0: none. */
typedef hf_a64 ar_mail;

struct ar_actor {
    struct hf_session **sessions; /* acts for one of these at a time */
    int count;
    int family;     /* the first so many share a mapping: all of them hold permits of one semaphore */
    ar_mail *mail;  /* AR_MAIL of them, shared with the other actors */
    bool counted;   /* mail is counted (sent, received), so that it keeps its block alive; nobody may die then */
    bool modest;    /* bears a lack of memory: what goes at a death or after a fork stays for a second */
    bool forks;     /* have children that end at once */
    uint64_t random;
    unsigned long steps;
    struct ar_held held[AR_HELD];
};

/* What the audit counted. */
struct ar_census {
    uint64_t blocks, children, named, pending, unused;
};

struct hf_session *ar_open(uint64_t size, uint64_t idle_limit); /* a new arena */
struct hf_session *ar_again(struct hf_session *s);              /* another member of it: a mapping of its own */
struct hf_who ar_who(struct hf_session *s);

void ar_make(struct ar_actor *a, struct ar_held *it, uint64_t nbytes);
void ar_make_family(struct ar_actor *a, struct ar_held *it);
void ar_check(struct ar_held *it);
void ar_drop(struct ar_held *it);
unsigned ar_random(struct ar_actor *a, unsigned below);
void ar_step(struct ar_actor *a);     /* one random action */
void ar_drop_all(struct ar_actor *a);
void ar_take_mail(struct ar_actor *a); /* empty the mailbox */

/* Every block is live or on its free list exactly once, every name in its bucket, every child in its parent's chain. */
struct ar_census ar_audit(struct hf_session *s);

extern bool ar_group;     /* on failure end the whole process group: it is ours */
extern char ar_about[64]; /* what is going on, for the message of a failure */
void ar_fail(const char *file, int line, const char *what) __attribute__((noreturn));
#define ar_must(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition)) ar_fail(__FILE__, __LINE__, #condition);                                           \
    } while (0)
double ar_scale(void); /* HF_STRESS_SCALE */

#endif
