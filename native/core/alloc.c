/* Handles: a process's references to blocks, from making or opening to dropping. What the blocks are made of is in
 * blocks.c. */
#include "blocks.h"
#include "queue.h"

#include <stdlib.h>
#include <string.h>

#define FORK_GRACE (1000 * HF_MS) /* a forked child needs a moment to take its own references */
#define LARGE (4ull << 20) /* reserve memory for larger runs outside the guard */

/* Reserve the memory of a large run without holding everybody up. The run is ours alone meanwhile. */
static bool commit_outside(struct hf_session *s, const struct hf_who *who, struct hf_block *b, uint64_t chunks) {
    uint64_t first = hf_chunk_of(s, hf_offset_of(s, b));
    hf_store(&b->kind, HF_KIND_PENDING, HF_RELEASE);
    hf_exit(s);
    bool done = hf_chunks_commit(s, first, chunks);
    hf_enter(s, who);
    return done;
}

/* Under the guard (given up for a while if large). */
static struct hf_block *make(struct hf_session *s, const struct hf_who *who, const struct hf_new *how) {
    uint64_t name_at = (HF_BODY_AT + how->nbytes + HF_NAME_UNIT - 1) / HF_NAME_UNIT * HF_NAME_UNIT;
    uint64_t bytes = how->name != NULL ? name_at + how->name_length : HF_BODY_AT + how->nbytes;
    uint32_t type = hf_type_for(bytes);
    bool run = type == HF_CHUNK_RUN;
    bool outside = run && bytes > LARGE && how->name == NULL;
    struct hf_block *b = run ? hf_claim_run(s, hf_chunks_for(bytes), !outside) : hf_pop_free(s, type);
    if (b == NULL) return NULL;
    hf_prepare(s, who, how, b, name_at);
    if (outside && !commit_outside(s, who, b, hf_chunks_for(bytes))) {
        hf_free_block(s, b);
        return NULL;
    }
    hf_publish(s, how, b);
    return b;
}

/* Under `local`: another handle of this process to the same block. */
static struct hf_handle *find_handle(struct hf_session *s, uint64_t offset, uint64_t uid) {
    for (struct hf_handle *h = s->handles.next; h != &s->handles; h = h->next)
        if (h->offset == offset && h->uid == uid) return h;
    return NULL;
}

static void exhume(struct hf_session *s, uint64_t offset, uint64_t uid);

/* Under the guard, so that nobody of this process drops the block's reference meanwhile. */
static void keep(struct hf_session *s, struct hf_handle *h, struct hf_block *b, bool made) {
    h->body = (char *)b + HF_BODY_AT;
    h->offset = hf_offset_of(s, b);
    h->uid = b->uid;
    h->closed = false;
    pthread_mutex_lock(&s->local);
    struct hf_handle *other = made ? NULL : find_handle(s, h->offset, h->uid);
    h->twin = other != NULL;
    if (other != NULL) other->twin = true;
    if (!made && hf_load(&s->graves, HF_RELAXED) != NULL) exhume(s, h->offset, h->uid);
    h->forks = hf_load(&s->forks, HF_RELAXED);
    h->next = s->handles.next;
    h->previous = &s->handles;
    h->next->previous = h;
    s->handles.next = h;
    pthread_mutex_unlock(&s->local);
}

/* True if this process has no other handle to the block. */
static bool unlist(struct hf_session *s, struct hf_handle *h) {
    pthread_mutex_lock(&s->local);
    h->previous->next = h->next;
    h->next->previous = h->previous;
    bool last = !h->twin || find_handle(s, h->offset, h->uid) == NULL;
    pthread_mutex_unlock(&s->local);
    return last;
}

static void bury_due(struct hf_session *s, const struct hf_who *who);

static int open_or_make(struct hf_session *s, const struct hf_who *who, const struct hf_new *how,
                        struct hf_block **out) {
    if (how->name != NULL) {
        *out = hf_find_name(s, how);
        if (*out != NULL) {
            if (how->mode == 1) return HF_WRONG;
            hf_set_ref(*out, who->member);
            return HF_BUSY;
        }
        if (how->mode == 2) return HF_CLOSED;
    }
    *out = make(s, who, how);
    return *out == NULL ? HF_NOMEM : HF_OK;
}

int hf_make(struct hf_session *s, const struct hf_who *who, const struct hf_new *how, struct hf_handle *h) {
    struct hf_block *b = NULL;
    if (HF_UNLIKELY(hf_load(&s->graves, HF_RELAXED) != NULL)) bury_due(s, who);
    hf_enter(s, who);
    uint64_t used = s->header->used_chunks;
    int r = open_or_make(s, who, how, &b);
    bool grown = s->header->used_chunks != used;
    if (r == HF_OK || r == HF_BUSY) keep(s, h, b, r == HF_OK);
    hf_exit(s);
    if (HF_UNLIKELY(grown)) hf_sweep_if_due(s, who); /* is it the dead who hold the memory? */
    if (r == HF_NOMEM) {
        hf_sweep(s, who);
        hf_enter(s, who);
        hf_compact(s);
        r = open_or_make(s, who, how, &b);
        if (r == HF_OK || r == HF_BUSY) keep(s, h, b, r == HF_OK);
        hf_exit(s);
    }
    return r;
}

struct hf_block *hf_valid(struct hf_session *s, uint64_t offset, uint64_t uid) {
    struct hf_header *h = s->header;
    if (offset < h->data_at || offset >= hf_chunk_at(s, h->used_chunks)) return NULL;
    uint64_t chunk = hf_chunk_of(s, offset);
    uint32_t type = hf_chunk_type(hf_load(hf_chunk_word(s, chunk), HF_RELAXED));
    uint64_t within = offset - hf_chunk_at(s, chunk);
    if (type == 0 || (type == HF_CHUNK_RUN ? within != 0 : within % hf_step_of(type) != 0)) return NULL;
    struct hf_block *b = hf_block_at(s, offset);
    return b->uid == uid ? b : NULL;
}

static int open_at(struct hf_session *s, const struct hf_who *who, enum hf_kind kind, uint64_t offset, uint64_t uid,
                   bool arrived, struct hf_handle *h) {
    hf_enter(s, who);
    struct hf_block *b = hf_valid(s, offset, uid);
    bool good = b != NULL && hf_load(&b->kind, HF_RELAXED) == (uint32_t)kind;
    if (good) {
        hf_set_ref(b, who->member);
        if (arrived) hf_count_arrival(b);
        keep(s, h, b, false);
    }
    hf_exit(s);
    return good ? HF_OK : HF_CLOSED;
}

int hf_attach(struct hf_session *s, const struct hf_who *who, enum hf_kind kind, uint64_t offset, uint64_t uid,
              struct hf_handle *h) {
    return open_at(s, who, kind, offset, uid, true, h);
}

int hf_share(struct hf_session *s, const struct hf_who *who, enum hf_kind kind, uint64_t offset, uint64_t uid,
             struct hf_handle *h) {
    return open_at(s, who, kind, offset, uid, false, h);
}

static bool holds(struct hf_session *s, unsigned index, uint64_t grace) {
    struct hf_slot *slot = &s->header->slot[index];
    uint32_t state = hf_load(&slot->state, HF_ACQUIRE) & HF_SLOT_STATE;
    if (state == HF_SLOT_FREE) return false;
    if (state != HF_SLOT_DEAD && state != HF_SLOT_LEFT)
        if (state == HF_SLOT_JOINING || hf_fate(s, hf_load(&slot->member, HF_RELAXED)) == HF_LIVES) return true;
    uint64_t ended = hf_load(&slot->ended, HF_RELAXED); /* hf_fate may have set it just now, so the clock comes after */
    return hf_now() - ended < grace;
}

/* Is a pickle of it on its way? A block of 8 bytes (the token of a pipe's end) may say until when that is to be believed:
 * a child may die before it has unpickled what it was started with. */
static bool on_its_way(struct hf_block *b) {
    if ((int32_t)(hf_load(&b->sent, HF_RELAXED) - hf_load(&b->received, HF_RELAXED)) <= 0) return false;
    if (hf_load(&b->kind, HF_RELAXED) != HF_KIND_BLOCK || b->nbytes != sizeof(uint64_t)) return true;
    uint64_t until = hf_load((hf_a64 *)(void *)((char *)b + HF_BODY_AT), HF_RELAXED);
    return until == 0 || hf_now() < until;
}

static bool held(struct hf_session *s, uint64_t offset, uint64_t uid, uint64_t grace, unsigned without) {
    struct hf_block *b = hf_valid(s, offset, uid);
    if (b == NULL || hf_load(&b->kind, HF_ACQUIRE) == HF_KIND_NONE) return false;
    if (on_its_way(b)) return true;
    for (unsigned i = 0; i < HF_SLOTS / 64; i++)
        for (uint64_t bits = hf_load(&b->refs[i], HF_RELAXED); bits != 0; bits &= bits - 1)
            if (i * 64 + (unsigned)__builtin_ctzll(bits) != without &&
                holds(s, i * 64 + (unsigned)__builtin_ctzll(bits), grace))
                return true;
    return false;
}

#define GRACE (100 * HF_MS) /* a forked child may not have taken its references yet when its parent is gone */

bool hf_held(struct hf_session *s, uint64_t offset, uint64_t uid, bool besides_us) {
    return held(s, offset, uid, besides_us ? 0 : GRACE, besides_us ? hf_load(&s->me, HF_RELAXED) & (HF_SLOTS - 1) : HF_SLOTS);
}

/* A named queue is closed here: give up our reference, unless another handle of this process needs it. True: nobody else
 * who lives had one, so the name is gone, and the block goes with this handle; ours stays noted until then. */
bool hf_release_kept(struct hf_session *s, const struct hf_who *who, struct hf_handle *h) {
    struct hf_block *b = hf_block_of(h->body);
    if (h->uid == 0) return false;
    hf_enter(s, who);
    uint32_t slot = who->member & (HF_SLOTS - 1);
    pthread_mutex_lock(&s->local);
    bool last = true;
    for (struct hf_handle *o = s->handles.next; o != &s->handles; o = o->next)
        if (o != h && !o->closed && o->offset == h->offset && o->uid == h->uid) last = false;
    h->closed = true;
    pthread_mutex_unlock(&s->local);
    if (h->forks != hf_load(&s->forks, HF_RELAXED) && hf_now() < hf_load(&s->forked, HF_RELAXED) + FORK_GRACE) {
        last = false; /* a child may be about to take it over: it stays, by its name, for whoever is last */
    } else if (last) {
        hf_and(&b->refs[slot / 64], ~(1ull << (slot % 64)), HF_RELAXED);
        last = !held(s, h->offset, h->uid, 0, HF_SLOTS);
        if (last) {
            hf_set_ref(b, who->member);
            hf_store(&((struct hf_queue *)h->body)->kept, 0, HF_RELAXED);
            hf_unlink_name(s, b);
        }
    }
    hf_exit(s);
    return last;
}

/* A pickle may be loaded more often than it was made; that must not count for the next one. */
void hf_count_arrival(struct hf_block *b) {
    uint32_t n = hf_load(&b->received, HF_RELAXED);
    while (n != hf_load(&b->sent, HF_RELAXED) && !hf_cas(&b->received, &n, n + 1, HF_RELAXED)) {}
}

bool hf_hold(struct hf_session *s, const struct hf_who *who, struct hf_handle *h) {
    struct hf_block *b = hf_valid(s, h->offset, h->uid);
    if (b == NULL || hf_load(&b->kind, HF_RELAXED) == HF_KIND_NONE) return false;
    hf_set_ref(b, who->member);
    return true;
}

bool hf_unname(struct hf_session *s, const struct hf_who *who, struct hf_block *b) {
    hf_enter(s, who);
    bool had = hf_unlink_name(s, b);
    hf_exit(s);
    return had;
}

#define ZEROED 4096u /* a child up to this size comes zeroed; who asks for more writes it himself */

void *hf_extend(struct hf_session *s, void *body, uint64_t *link, size_t nbytes) {
    struct hf_who who;
    if (!hf_who_am_i(s, &who)) return NULL;
    struct hf_block *parent = hf_block_of(body);
    if (hf_load(&parent->kind, HF_RELAXED) == HF_KIND_NONE) return NULL; /* a handle that lost its block */
    struct hf_new how = {.kind = HF_KIND_CHILD, .nbytes = nbytes};
    uint32_t type = hf_type_for(HF_BODY_AT + nbytes);
    hf_enter(s, &who);
    struct hf_block *b =
        type == HF_CHUNK_RUN ? hf_claim_run(s, hf_chunks_for(HF_BODY_AT + nbytes), true) : hf_pop_free(s, type);
    void *child = NULL;
    if (b != NULL) {
        hf_prepare(s, &who, &how, b, 0);
        child = (char *)b + HF_BODY_AT;
        memset(child, 0, nbytes < ZEROED ? nbytes : ZEROED);
        hf_link_child(s, parent, b);
        hf_store(&b->kind, HF_KIND_CHILD, HF_RELEASE);
        *link = hf_offset_of(s, child);
    }
    hf_exit(s);
    return child;
}

void hf_retract(struct hf_session *s, uint64_t link) {
    struct hf_who who;
    if (!hf_who_am_i(s, &who)) return;
    struct hf_block *b = hf_block_of(s->base + link);
    hf_enter(s, &who);
    bool run = b->type == HF_CHUNK_RUN;
    hf_free_child(s, b);
    uint64_t idle = run ? hf_chunks_idle(s) : 0;
    hf_exit(s);
    if (idle > s->header->idle_limit) hf_trim(s, &who, s->header->idle_limit);
}

void *hf_follow(struct hf_session *s, uint64_t link) {
    return link == 0 ? NULL : s->base + link;
}

void hf_tidy(struct hf_session *s, const struct hf_who *who) {
    hf_trim(s, who, s->header->idle_limit);
}

/* ---- payload blocks on their way through a queue: kept by a pickle that has not arrived ---- */

void hf_consign(struct hf_session *s, uint64_t offset) {
    if (offset == 0) return;
    struct hf_block *b = hf_block_at(s, offset);
    hf_store(&b->sent, hf_load(&b->received, HF_RELAXED) + 1, HF_RELEASE);
}

void hf_dispose_block(struct hf_session *s, uint64_t offset, uint64_t uid) {
    struct hf_block *b = offset == 0 ? NULL : hf_valid(s, offset, uid);
    if (b == NULL || hf_load(&b->kind, HF_RELAXED) == HF_KIND_NONE) return;
    hf_store(&b->received, hf_load(&b->sent, HF_RELAXED), HF_RELEASE);
    hf_free_if_unwanted(s, b);
}

void hf_arrive(struct hf_session *s, const struct hf_who *who, uint64_t offset, uint64_t uid) {
    if (HF_LIKELY(offset == 0)) return;
    hf_enter(s, who);
    hf_dispose_block(s, offset, uid);
    hf_exit(s);
}

/* ---- dropping ---- */


/* Under the guard: clear this process's reference; idle bytes if that freed a run, else 0. */
static uint64_t drop_ref(struct hf_session *s, const struct hf_who *who, uint64_t offset, uint64_t uid) {
    struct hf_block *b = hf_valid(s, offset, uid);
    if (b == NULL || hf_load(&b->kind, HF_RELAXED) == HF_KIND_NONE) return 0;
    bool run = b->type == HF_CHUNK_RUN;
    uint32_t slot = who->member & (HF_SLOTS - 1);
    hf_and(&b->refs[slot / 64], ~(1ull << (slot % 64)), HF_RELAXED);
    hf_free_if_unwanted(s, b);
    return run ? hf_chunks_idle(s) : 0;
}

/* The oldest grave if it is due, taken off the list. */
static struct hf_grave *next_due(struct hf_session *s, uint64_t now) {
    pthread_mutex_lock(&s->local);
    struct hf_grave *g = hf_load(&s->graves, HF_RELAXED);
    if (g != NULL && g->due <= now) {
        hf_store(&s->graves, g->next, HF_RELAXED);
        if (g->next == NULL) s->graves_end = NULL;
    } else {
        g = NULL;
    }
    pthread_mutex_unlock(&s->local);
    return g;
}

static void bury_due(struct hf_session *s, const struct hf_who *who) {
    uint64_t now = hf_now();
    struct hf_grave *g;
    hf_enter(s, who); /* around both, so that no pickle of it arrives between */
    while ((g = next_due(s, now)) != NULL) {
        if (g->uid != 0) drop_ref(s, who, g->offset, g->uid);
        free(g);
    }
    hf_exit(s);
}

/* Under `local`: this process has a handle to the block again. */
static void exhume(struct hf_session *s, uint64_t offset, uint64_t uid) {
    for (struct hf_grave *g = hf_load(&s->graves, HF_RELAXED); g != NULL; g = g->next)
        if (g->offset == offset && g->uid == uid) g->uid = 0;
}

/* Just after a fork the child may not yet have taken its references on what it inherited: drop ours a little later. */
static bool bury(struct hf_session *s, const struct hf_handle *h) {
    if (HF_LIKELY(h->forks == hf_load(&s->forks, HF_RELAXED))) return false; /* no child has a copy of it */
    uint64_t due = hf_load(&s->forked, HF_RELAXED) + FORK_GRACE;
    struct hf_grave *g = hf_now() < due ? malloc(sizeof *g) : NULL;
    if (g == NULL) return false;
    *g = (struct hf_grave){NULL, h->offset, h->uid, due};
    pthread_mutex_lock(&s->local);
    if (s->graves_end == NULL) hf_store(&s->graves, g, HF_RELAXED);
    else *s->graves_end = g;
    s->graves_end = &g->next;
    pthread_mutex_unlock(&s->local);
    return true;
}

void hf_drop(struct hf_session *s, struct hf_handle *h) {
    uint32_t me = hf_load(&s->me, HF_RELAXED);
    if (h->uid == 0 || me == 0) { /* nothing of ours is noted there */
        unlist(s, h);
        if (h->uid == 0) free(hf_block_of(h->body));
        return;
    }
    struct hf_who who = {s, me, hf_thread()};
    if (HF_UNLIKELY(hf_load(&s->graves, HF_RELAXED) != NULL)) bury_due(s, &who);
    uint64_t idle = 0;
    hf_enter(s, &who);
    if (unlist(s, h) && !bury(s, h)) idle = drop_ref(s, &who, h->offset, h->uid);
    hf_exit(s);
    if (idle > s->header->idle_limit) hf_trim(s, &who, s->header->idle_limit);
}

