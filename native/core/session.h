/* A session as one process sees it: the mapped arena, its own membership, the handles it holds. */
#ifndef HF_SESSION_H
#define HF_SESSION_H

#include <pthread.h>

#include "layout.h"

/* A reference of this process to one block. Lives inside the binding's object. */
struct hf_handle {
    struct hf_handle *previous, *next;
    void *body;
    uint64_t offset;
    uint64_t uid;
    uint32_t forks; /* how often this process had forked when the handle was made */
    bool twin;      /* there is, or was, another handle of this process to the same block */
    bool closed;    /* its user has done with it */
};

/* A reference to be dropped later: shortly after a fork the child may still be about to take it over. */
struct hf_grave {
    struct hf_grave *next;
    uint64_t offset, uid;
    uint64_t due; /* hf_now clock */
};

struct hf_session {
    char *base;
    uint64_t size;
    struct hf_header *header;
    hf_a32 me; /* our member number, 0 if we are not a member (any more) */
    int fd;                    /* use hf_session_file: a program may have closed it, and its number be another's now */
    uint64_t device, inode;    /* which file it must be */
    char *path;                /* to open it again; NULL for a file without a name */
    pthread_mutex_t local;     /* over the three below */
    struct hf_handle handles;  /* head of the ring of handles */
    _Atomic(struct hf_grave *) graves; /* oldest first; changed under `local`, looked at without */
    struct hf_grave **graves_end;
    hf_a32 forks;                        /* how often this process has forked */
    hf_a64 forked;                       /* when this process last forked, 0 never */
    struct hf_session *others; /* all sessions of this process, for fork */
    hf_a64 seen[HF_SLOTS];     /* when we last saw the tenant of a slot alive */
    char label[96];
};

/* ---- session.c: mapping ---- */
/* Map `fd`; size > 0 formats a new arena of that size. NULL with errno, or errno = 0 and *why for a bad arena. */
struct hf_session *hf_session_open(int fd, uint64_t size, uint64_t idle_limit, const char *label, const char **why);
void hf_session_close(struct hf_session *s);
/* The arena's file; opened again if the program closed it (daemons close all they do not know). -1: cannot be had. */
int hf_session_file(struct hf_session *s);
uint64_t hf_pid_namespace(void);

/* ---- members.c: who is in ---- */
/* Our member number, joining if we are not in. 0: no slot left. */
uint32_t hf_join(struct hf_session *s);
/* Announce that this process will end in good order. */
void hf_leave(struct hf_session *s);
/* The mapping goes, and nothing is held any more. */
void hf_depart(struct hf_session *s);
static inline bool hf_who_am_i(struct hf_session *s, struct hf_who *who) {
    uint32_t me = hf_load(&s->me, HF_RELAXED);
    if (HF_UNLIKELY(me == 0)) me = hf_join(s);
    *who = (struct hf_who){s, me, hf_thread()};
    return HF_LIKELY(me != 0);
}
struct hf_slot *hf_slot_of(struct hf_session *s, uint32_t member);
/* Free what members that are gone for a second or more held; how many members. */
unsigned hf_sweep(struct hf_session *s, const struct hf_who *who);
/* The same, if nobody did for a second. */
void hf_sweep_if_due(struct hf_session *s, const struct hf_who *who);

/* ---- alloc.c: blocks ---- */
typedef void (*hf_init)(void *body, const void *how);

struct hf_new {
    enum hf_kind kind;
    uint64_t nbytes;
    hf_init init;
    const void *how;
    const char *name; /* NULL: anonymous */
    uint32_t name_length;
    int mode;         /* named: 0 open or create, 1 create only, 2 open only */
};

/* HF_OK (made), HF_BUSY (was there already, opened), HF_NOMEM, HF_WRONG (mode 1 and it is there), HF_CLOSED (mode 2
 * and it is not). The reference of this process is taken. */
int hf_make(struct hf_session *s, const struct hf_who *who, const struct hf_new *how, struct hf_handle *h);
/* HF_OK, or HF_CLOSED if it is gone. Counts one arrival. */
int hf_attach(struct hf_session *s, const struct hf_who *who, enum hf_kind kind, uint64_t offset, uint64_t uid,
              struct hf_handle *h);
void hf_count_arrival(struct hf_block *b);
/* As hf_attach, for one who was not sent a pickle: nothing arrives. */
int hf_share(struct hf_session *s, const struct hf_who *who, enum hf_kind kind, uint64_t offset, uint64_t uid,
             struct hf_handle *h);
/* Does anybody who lives (besides us) hold it, or is it on its way? One who died may be taken for living for 100 ms. */
bool hf_held(struct hf_session *s, uint64_t offset, uint64_t uid, bool besides_us);
bool hf_release_kept(struct hf_session *s, const struct hf_who *who, struct hf_handle *h);
/* Named queues with something in them. Without the guard: for a session in which nobody lives. */
uint64_t hf_kept_queues(struct hf_session *s);
void hf_drop(struct hf_session *s, struct hf_handle *h);
/* Take the name away. True if it had one. */
bool hf_unname(struct hf_session *s, const struct hf_who *who, struct hf_block *b);

#define HF_NAME_UNIT 64u

static inline const char *hf_name_of(const struct hf_block *b) {
    return (const char *)b + (uint64_t)b->name_at * HF_NAME_UNIT;
}

static inline struct hf_block *hf_block_of(const void *body) {
    return (struct hf_block *)((uintptr_t)body - HF_BODY_AT);
}

struct hf_stats {
    uint64_t blocks, bytes_used, bytes_committed, bytes_idle, members, repairs;
};
void hf_session_stats(struct hf_session *s, const struct hf_who *who, struct hf_stats *out);
/* Give free memory beyond `keep` bytes back to the system; bytes given back. */
uint64_t hf_trim(struct hf_session *s, const struct hf_who *who, uint64_t keep);
/* Enter the session's guard, repairing what a dead member left. */
void hf_enter(struct hf_session *s, const struct hf_who *who);
void hf_exit(struct hf_session *s);
/* Slots whose tenants are gone for good, and which of those did not end in good order. */
struct hf_departed {
    uint64_t mask[HF_SLOTS / 64];
    uint32_t killed[HF_SLOTS]; /* member number, or 0 */
};
/* Under the guard: drop the references of those slots, and let barriers know who was killed. */
void hf_forget(struct hf_session *s, const struct hf_departed *gone);
/* Under the guard: note this process's reference on a handle's block; false if the block is gone. */
bool hf_hold(struct hf_session *s, const struct hf_who *who, struct hf_handle *h);

#endif
