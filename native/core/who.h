/* Who acts, and who else lives: the little that the primitives know about processes.
 *
 * A *member* is one process during one membership in a session: 31 bits, slot number in the low 10 bits and a
 * generation above, never given out twice. A pid that the system uses again, or a forked child, is another
 * member; so a member number in a shared word can never be mistaken for somebody else.
 */
#ifndef HF_WHO_H
#define HF_WHO_H

#include "atomics.h"
#include "platform.h"

#define HF_SLOT_BITS 10
#define HF_SLOTS (1u << HF_SLOT_BITS)
#define HF_MEMBER_MASK 0x7fffffffu
#define HF_WAITERS 0x80000000u         /* top bit of a lock word: somebody sleeps, or slept */
#define HF_NOBODY_YET HF_MEMBER_MASK   /* lock word of a strict lock whose owner died: nobody may take it */
#define HF_MAX_GENERATION ((1u << (31 - HF_SLOT_BITS)) - 2)

struct hf_session;

struct hf_who {
    struct hf_session *session; /* where to look members up */
    uint32_t member;
    uint32_t thread;
};

enum hf_fate { HF_LIVES, HF_LEFT, HF_DIED };

/* What became of a member. Costs a look into /proc at most every few milliseconds per member. */
enum hf_fate hf_fate(struct hf_session *session, uint32_t member);
static inline bool hf_gone(const struct hf_who *who, uint32_t member) {
    return member != who->member && hf_fate(who->session, member) != HF_LIVES;
}

/* A further block of `nbytes` for the block that `body` is the body of; freed with it. Not zeroed beyond what its user
 * writes, unless it is small. NULL: no memory. */
void *hf_extend(struct hf_session *session, void *body, uint64_t *link, size_t nbytes);
/* The body that a link made by hf_extend leads to; NULL for 0. */
void *hf_follow(struct hf_session *session, uint64_t link);
/* Free a block made by hf_extend before its parent goes. */
void hf_retract(struct hf_session *session, uint64_t link);
/* Much was freed: give what is not soon needed back to the system. A walk over all blocks. */
void hf_tidy(struct hf_session *session, const struct hf_who *who);

/* Payload blocks, which pass from one member to another through a queue. In a queue nobody may hold one: `hf_consign`
 * has it live on all the same, `hf_arrive` ends that. Both say what shall be and not what changes, so that they may be
 * done again after a death. Nothing if offset is 0. */
void hf_consign(struct hf_session *session, uint64_t offset);
void hf_arrive(struct hf_session *session, const struct hf_who *who, uint64_t offset, uint64_t uid);
/* The same for one who is inside the session's guard already. */
void hf_dispose_block(struct hf_session *session, uint64_t offset, uint64_t uid);

#endif
