#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
/* The process table: joining, leaving, who lives, and clearing up after those who do not. */
#include "session.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SEEN_LASTS (4 * HF_MS)
#define SWEEP_AFTER (1000 * HF_MS) /* a forked child needs a moment to take its own references */

struct hf_slot *hf_slot_of(struct hf_session *s, uint32_t member) {
    return &s->header->slot[member & (HF_SLOTS - 1)];
}

static uint32_t state_of(uint32_t word) {
    return word & HF_SLOT_STATE;
}

static int32_t pid_of(uint32_t word) {
    return (int32_t)(word >> HF_SLOT_PID_SHIFT);
}

/* The process of this slot, seen alive or leaving as `word` says, is gone. */
static enum hf_fate bury(struct hf_slot *slot, uint32_t word, uint64_t now) {
    uint32_t end = state_of(word) == HF_SLOT_ALIVE ? HF_SLOT_DEAD : HF_SLOT_LEFT;
    hf_store(&slot->ended, now, HF_RELAXED);
    /* Lost: it said goodbye since we looked, or somebody else buried it; either way the word says how it ended. */
    if (!hf_cas(&slot->state, &word, (word & ~HF_SLOT_STATE) | end, HF_RELEASE) && state_of(word) != HF_SLOT_DEAD)
        return HF_LEFT;
    return state_of(word) == HF_SLOT_ALIVE || state_of(word) == HF_SLOT_DEAD ? HF_DIED : HF_LEFT;
}

enum hf_fate hf_fate(struct hf_session *s, uint32_t member) {
    struct hf_slot *slot = hf_slot_of(s, member);
    uint32_t word = hf_load(&slot->state, HF_ACQUIRE);
    if (hf_load(&slot->member, HF_RELAXED) != member) return HF_LEFT; /* the slot has another tenant by now */
    uint32_t state = state_of(word);
    if (state != HF_SLOT_ALIVE && state != HF_SLOT_LEAVING) return state == HF_SLOT_DEAD ? HF_DIED : HF_LEFT;
    uint64_t now = hf_now();
    hf_a64 *seen = &s->seen[member & (HF_SLOTS - 1)];
    if (now - hf_load(seen, HF_RELAXED) < SEEN_LASTS) return HF_LIVES;
    uint64_t started = hf_process_start(pid_of(word)), noted = hf_load(&slot->start, HF_RELAXED);
    /* In doubt it lives: a death is seen a little later, a living one is never robbed. */
    if (started == noted || started == HF_CANNOT_TELL || (noted == HF_CANNOT_TELL && started != 0)) {
        hf_store(seen, now, HF_RELAXED);
        return HF_LIVES;
    }
    return bury(slot, word, now);
}

/* A slot whose claimant died while joining is the next sweep's: a tenant before it may have left references. */
static void end_if_orphaned(struct hf_slot *slot) {
    uint32_t word = hf_load(&slot->state, HF_RELAXED);
    if (state_of(word) != HF_SLOT_JOINING || hf_process_start(pid_of(word)) != 0) return;
    hf_store(&slot->ended, hf_now(), HF_RELAXED);
    hf_cas(&slot->state, &word, (word & ~HF_SLOT_STATE) | HF_SLOT_LEFT, HF_RELEASE);
}

/* Has this slot's tenant been gone for long enough? Also notes a death, for the next time. */
static bool sweepable(struct hf_session *s, struct hf_slot *slot, uint64_t now) {
    uint32_t state = state_of(hf_load(&slot->state, HF_ACQUIRE));
    if (state == HF_SLOT_ALIVE || state == HF_SLOT_LEAVING) hf_fate(s, hf_load(&slot->member, HF_RELAXED));
    if (state != HF_SLOT_DEAD && state != HF_SLOT_LEFT) return false;
    return now - hf_load(&slot->ended, HF_RELAXED) >= SWEEP_AFTER;
}

static struct hf_slot *claim(struct hf_session *s, uint32_t claimed) {
    for (unsigned i = 0; i < HF_SLOTS; i++) {
        struct hf_slot *slot = &s->header->slot[i];
        end_if_orphaned(slot);
        uint32_t word = HF_SLOT_FREE;
        if (slot->generation < HF_MAX_GENERATION && hf_cas(&slot->state, &word, claimed, HF_ACQUIRE)) return slot;
    }
    return NULL;
}

static void note_departed(struct hf_departed *gone, struct hf_slot *slot, unsigned index, uint32_t word) {
    gone->mask[index / 64] |= 1ull << (index % 64);
    gone->killed[index] = state_of(word) == HF_SLOT_DEAD ? hf_load(&slot->member, HF_RELAXED) : 0;
}

/* The table is full, and perhaps no member sweeps: take the slot of one who is gone, with what it still held. */
static struct hf_slot *inherit(struct hf_session *s, uint32_t claimed, struct hf_departed *from) {
    uint64_t now = hf_now();
    for (unsigned i = 0; i < HF_SLOTS; i++) {
        struct hf_slot *slot = &s->header->slot[i];
        uint32_t word = hf_load(&slot->state, HF_ACQUIRE);
        if (!sweepable(s, slot, now) || slot->generation >= HF_MAX_GENERATION) continue;
        if (state_of(word) != HF_SLOT_DEAD && state_of(word) != HF_SLOT_LEFT) continue;
        uint32_t found = word;
        if (!hf_cas(&slot->state, &word, claimed, HF_ACQUIRE)) continue;
        note_departed(from, slot, i, found);
        return slot;
    }
    return NULL;
}

static uint32_t occupy(struct hf_session *s, struct hf_slot *slot, uint32_t pid) {
    uint32_t index = (uint32_t)(slot - s->header->slot);
    uint32_t member = ++slot->generation << HF_SLOT_BITS | index;
    hf_store(&slot->member, member, HF_RELAXED);
    hf_store(&slot->start, hf_process_start((int32_t)pid), HF_RELAXED);
    hf_store(&slot->ended, 0, HF_RELAXED);
    memcpy(slot->label, s->label, sizeof slot->label);
    HF_KILL(join_filled);
    hf_store(&slot->state, pid << HF_SLOT_PID_SHIFT | HF_SLOT_ALIVE, HF_RELEASE);
    return member;
}

/* Take a reference on all that we hold handles of: they came with a fork. */
static void hold_all(struct hf_session *s, const struct hf_who *who) {
    if (s->handles.next == &s->handles) return;
    hf_enter(s, who);
    for (struct hf_handle *h = s->handles.next; h != &s->handles; h = h->next) {
        if (h->uid == 0 || hf_hold(s, who, h)) continue;
        /* Freed before we could take it: the handle goes on by itself, on memory that nobody shares. */
        char *alone = calloc(1, HF_LARGEST_SMALL);
        if (alone == NULL) abort();
        h->body = alone + HF_BODY_AT;
        h->uid = 0;
    }
    hf_exit(s);
}

/* What is noted for our slot is the one's before us. */
static void renounce(struct hf_session *s, const struct hf_who *who, const struct hf_departed *before) {
    hf_enter(s, who);
    hf_forget(s, before);
    hf_exit(s);
}

uint32_t hf_join(struct hf_session *s) {
    pthread_mutex_lock(&s->local);
    uint32_t me = hf_load(&s->me, HF_RELAXED);
    struct hf_departed before = {0};
    for (int patience = 300; me == 0 && patience > 0; patience--) { /* the dead keep a slot for a second */
        uint32_t pid = (uint32_t)getpid(), claimed = pid << HF_SLOT_PID_SHIFT | HF_SLOT_JOINING;
        struct hf_slot *slot = claim(s, claimed);
        bool inherited = slot == NULL && (slot = inherit(s, claimed, &before)) != NULL;
        if (slot != NULL) {
            me = occupy(s, slot, pid);
            struct hf_who who = {s, me, hf_thread()};
            if (inherited) renounce(s, &who, &before);
            hold_all(s, &who);
            hf_store(&s->me, me, HF_RELAXED);
        } else { /* full, perhaps of those who died just now */
            nanosleep(&(struct timespec){0, 10000000}, NULL);
        }
    }
    pthread_mutex_unlock(&s->local);
    if (me == 0) return 0;
    struct hf_who who = {s, me, hf_thread()};
    hf_sweep_if_due(s, &who);
    return me;
}

/* What we hold stays ours until the process is gone: other threads may still be at work. */
void hf_leave(struct hf_session *s) {
    uint32_t me = hf_load(&s->me, HF_RELAXED);
    if (me == 0) return;
    struct hf_slot *slot = hf_slot_of(s, me);
    uint32_t word = hf_load(&slot->state, HF_RELAXED);
    hf_cas(&slot->state, &word, (word & ~HF_SLOT_STATE) | HF_SLOT_LEAVING, HF_RELEASE);
}

void hf_depart(struct hf_session *s) {
    uint32_t me = hf_swap(&s->me, 0, HF_RELAXED);
    if (me == 0) return;
    struct hf_slot *slot = hf_slot_of(s, me);
    uint32_t word = hf_load(&slot->state, HF_RELAXED);
    hf_store(&slot->ended, hf_now(), HF_RELAXED);
    hf_cas(&slot->state, &word, (word & ~HF_SLOT_STATE) | HF_SLOT_LEFT, HF_RELEASE);
}

/* Swept, unless a joiner inherited it meanwhile: that one waits for the guard before it holds anything. */
static void vacate(struct hf_slot *slot) {
    uint32_t word = hf_load(&slot->state, HF_RELAXED);
    if (state_of(word) == HF_SLOT_DEAD || state_of(word) == HF_SLOT_LEFT)
        hf_cas(&slot->state, &word, HF_SLOT_FREE, HF_RELEASE);
}

unsigned hf_sweep(struct hf_session *s, const struct hf_who *who) {
    struct hf_departed gone = {0};
    unsigned count = 0;
    hf_enter(s, who);
    uint64_t now = hf_now();
    hf_store(&s->header->swept, now, HF_RELAXED);
    for (unsigned i = 0; i < HF_SLOTS; i++) {
        struct hf_slot *slot = &s->header->slot[i];
        if (!sweepable(s, slot, now)) continue;
        note_departed(&gone, slot, i, hf_load(&slot->state, HF_RELAXED));
        count++;
    }
    if (count != 0) {
        hf_forget(s, &gone);
        for (unsigned i = 0; i < HF_SLOTS; i++)
            if (gone.mask[i / 64] >> (i % 64) & 1) vacate(&s->header->slot[i]);
    }
    hf_exit(s);
    return count;
}

void hf_sweep_if_due(struct hf_session *s, const struct hf_who *who) {
    if (hf_now() - hf_load(&s->header->swept, HF_RELAXED) >= SWEEP_AFTER) hf_sweep(s, who);
}
