/* Blocks: making, finding, freeing. A block's `kind` is the commit of its making and the first thing to go when it
 * is freed; free lists, chunk words of runs and the name table can all be made anew from it (repair), so a member
 * that dies anywhere in here leaves nothing that the next one to enter cannot put right. */
#include "chunks.h"
#include "gate.h"

#include <stdlib.h>
#include <string.h>

#define LARGE (4ull << 20) /* reserve memory for larger runs outside the guard */

static struct hf_block *at(struct hf_session *s, uint64_t offset) {
    return (struct hf_block *)(void *)(s->base + offset);
}

static uint64_t offset_of(struct hf_session *s, const void *p) {
    return (uint64_t)((const char *)p - s->base);
}

static uint32_t type_for(uint64_t bytes) {
    uint32_t type = 1;
    while (type <= HF_CLASSES && (HF_SMALLEST << (type - 1)) < bytes) type++;
    return type <= HF_CLASSES ? type : HF_CHUNK_RUN;
}

static uint32_t step_of(uint32_t type) {
    return HF_SMALLEST << (type - 1);
}

static uint64_t chunk_of(struct hf_session *s, uint64_t offset) {
    return (offset - s->header->data_at) / HF_CHUNK;
}

/* ---- small blocks ---- */

static void push_free(struct hf_session *s, struct hf_block *b) {
    b->next = s->header->free[b->type];
    s->header->free[b->type] = offset_of(s, b);
}

static void list_chunk(struct hf_session *s, uint64_t chunk, uint32_t type) {
    uint64_t base = hf_chunk_at(s, chunk);
    for (uint64_t i = HF_CHUNK / step_of(type); i-- > 0;) {
        struct hf_block *b = at(s, base + i * step_of(type));
        if (hf_load(&b->kind, HF_RELAXED) != HF_KIND_NONE) continue;
        b->type = type;
        push_free(s, b);
    }
}

static bool add_chunk(struct hf_session *s, uint32_t type) {
    uint64_t chunk = hf_chunks_find(s, 1);
    if (chunk == UINT64_MAX || !hf_chunks_commit(s, chunk, 1)) return false;
    for (uint64_t i = 0; i < HF_CHUNK; i += step_of(type)) /* it may have been part of a run before */
        hf_store(&at(s, hf_chunk_at(s, chunk) + i)->kind, HF_KIND_NONE, HF_RELAXED);
    hf_chunk_set(s, chunk, type, 1);
    HF_KILL(alloc_chunk);
    list_chunk(s, chunk, type);
    return true;
}

static struct hf_block *pop_free(struct hf_session *s, uint32_t type) {
    if (s->header->free[type] == 0 && !add_chunk(s, type)) return NULL;
    struct hf_block *b = at(s, s->header->free[type]);
    s->header->free[type] = b->next;
    HF_KILL(alloc_popped);
    return b;
}

/* ---- runs ---- */

static struct hf_block *claim_run(struct hf_session *s, uint64_t chunks, bool whole) {
    uint64_t first = hf_chunks_find(s, chunks);
    if (first == UINT64_MAX || !hf_chunks_commit(s, first, whole ? chunks : 1)) return NULL;
    struct hf_block *b = at(s, hf_chunk_at(s, first));
    hf_store(&b->kind, HF_KIND_NONE, HF_RELAXED);
    b->type = HF_CHUNK_RUN;
    hf_chunk_set(s, first, HF_CHUNK_RUN, chunks);
    HF_KILL(alloc_run);
    return b;
}

static uint64_t chunks_for(uint64_t bytes) {
    return (bytes + HF_CHUNK - 1) / HF_CHUNK;
}

/* ---- references ---- */

static void set_ref(struct hf_block *b, uint32_t member) {
    uint32_t slot = member & (HF_SLOTS - 1);
    hf_or(&b->refs[slot / 64], 1ull << (slot % 64), HF_RELAXED);
}

static bool wanted(struct hf_block *b) {
    if ((int32_t)(hf_load(&b->sent, HF_RELAXED) - hf_load(&b->received, HF_RELAXED)) > 0) return true;
    for (unsigned i = 0; i < HF_SLOTS / 64; i++)
        if (hf_load(&b->refs[i], HF_RELAXED) != 0) return true;
    return false;
}

/* ---- names ---- */

static uint64_t hash_name(uint32_t kind, const char *name, uint32_t length) {
    uint64_t h = 14695981039346656037ull ^ kind; /* FNV-1a */
    for (uint32_t i = 0; i < length; i++) h = (h ^ (unsigned char)name[i]) * 1099511628211ull;
    return h | 1; /* 0 means "no name" */
}

static uint64_t *bucket(struct hf_session *s, uint64_t hash) {
    return &s->header->names[hash % HF_NAME_BUCKETS];
}

static struct hf_block *find_name(struct hf_session *s, const struct hf_new *how, uint64_t hash) {
    for (uint64_t o = *bucket(s, hash); o != 0; o = at(s, o)->next) {
        struct hf_block *b = at(s, o);
        if (b->name_hash == hash && hf_load(&b->kind, HF_RELAXED) == (uint32_t)how->kind &&
            b->name_length == how->name_length && memcmp(hf_name_of(b), how->name, b->name_length) == 0)
            return b;
    }
    return NULL;
}

static void link_name(struct hf_session *s, struct hf_block *b) {
    uint64_t *head = bucket(s, b->name_hash);
    b->next = *head;
    *head = offset_of(s, b);
}

static bool unlink_name(struct hf_session *s, struct hf_block *b) {
    if (b->name_hash == 0 || hf_load(&b->kind, HF_RELAXED) == HF_KIND_CHILD) return false;
    for (uint64_t *link = bucket(s, b->name_hash); *link != 0; link = &at(s, *link)->next) {
        if (*link != offset_of(s, b)) continue;
        *link = b->next;
        break;
    }
    b->name_hash = 0;
    return true;
}

/* ---- freeing ---- */

static void free_one(struct hf_session *s, struct hf_block *b) {
    hf_store(&b->kind, HF_KIND_NONE, HF_RELEASE);
    if (b->type == HF_CHUNK_RUN) {
        HF_KILL(free_run);
        hf_chunk_set(s, chunk_of(s, offset_of(s, b)), 0, 1);
    } else {
        HF_KILL(free_unkinded);
        push_free(s, b);
    }
}

static void free_block(struct hf_session *s, struct hf_block *b) {
    unlink_name(s, b);
    for (uint64_t o = b->child; o != 0;) {
        struct hf_block *child = at(s, o);
        o = child->child;
        /* one that a member who died in here freed already is on its free list again */
        if (hf_load(&child->kind, HF_RELAXED) == HF_KIND_CHILD) free_one(s, child);
    }
    free_one(s, b);
}

static void free_if_unwanted(struct hf_session *s, struct hf_block *b) {
    HF_KILL(ref_dropped);
    if (!wanted(b)) free_block(s, b);
}

/* ---- walking all blocks ---- */

typedef void (*visit)(struct hf_session *s, struct hf_block *b, const void *with);

static void for_each_block(struct hf_session *s, visit f, const void *with) {
    for (uint64_t i = 0, span; i < s->header->used_chunks; i += span) {
        uint32_t word = hf_load(hf_chunk_word(s, i), HF_RELAXED);
        span = hf_chunk_span(word);
        uint32_t type = hf_chunk_type(word);
        if (type == 0) continue;
        uint64_t step = type == HF_CHUNK_RUN ? HF_CHUNK : step_of(type);
        for (uint64_t o = 0; o < HF_CHUNK; o += step) f(s, at(s, hf_chunk_at(s, i) + o), with);
    }
}

static void forget_in(struct hf_session *s, struct hf_block *b, const void *with) {
    const struct hf_departed *gone = with;
    const uint64_t *mask = gone->mask;
    uint32_t kind = hf_load(&b->kind, HF_RELAXED);
    if (kind == HF_KIND_NONE || kind == HF_KIND_CHILD) return;
    if (kind == HF_KIND_GATE) hf_gate_note_killed((struct hf_gate *)(void *)((char *)b + HF_BODY_AT), s, gone->killed);
    uint64_t dropped = 0;
    for (unsigned i = 0; i < HF_SLOTS / 64; i++)
        if (mask[i] != 0) dropped |= hf_and(&b->refs[i], ~mask[i], HF_RELAXED) & mask[i];
    if (dropped == 0) return;
    HF_KILL(sweep_half);
    free_if_unwanted(s, b);
}

void hf_forget(struct hf_session *s, const struct hf_departed *gone) {
    for_each_block(s, forget_in, gone);
}

/* ---- repair ---- */

static bool has_parent(struct hf_session *s, struct hf_block *b) {
    struct hf_block *parent = at(s, b->name_hash);
    uint32_t kind = hf_load(&parent->kind, HF_RELAXED);
    if (kind == HF_KIND_NONE || kind == HF_KIND_CHILD) return false;
    for (uint64_t o = parent->child; o != 0; o = at(s, o)->child)
        if (o == offset_of(s, b)) return true;
    return false;
}

static uint32_t type_at(struct hf_session *s, struct hf_block *b) {
    return hf_chunk_type(hf_load(hf_chunk_word(s, chunk_of(s, offset_of(s, b))), HF_RELAXED));
}

static void mend(struct hf_session *s, struct hf_block *b, const void *with) {
    (void)with;
    uint32_t kind = hf_load(&b->kind, HF_RELAXED);
    if (kind == HF_KIND_CHILD) {
        if (!has_parent(s, b)) free_one(s, b);
    } else if (kind != HF_KIND_NONE) {
        if (!wanted(b)) free_block(s, b);
        else if (b->name_hash != 0) link_name(s, b);
    } else if (type_at(s, b) == HF_CHUNK_RUN) { /* b->type may not have been written yet */
        hf_chunk_set(s, chunk_of(s, offset_of(s, b)), 0, 1);
    }
}

static bool is_small(uint32_t type) {
    return type != 0 && type != HF_CHUNK_RUN;
}

/* The free lists, made anew from the blocks' kinds. */
static void list_all(struct hf_session *s) {
    memset(s->header->free, 0, sizeof s->header->free);
    for (uint64_t i = 0; i < s->header->used_chunks;) {
        uint32_t word = hf_load(hf_chunk_word(s, i), HF_RELAXED);
        if (is_small(hf_chunk_type(word))) list_chunk(s, i, hf_chunk_type(word));
        i += hf_chunk_span(word);
    }
}

static bool is_empty(struct hf_session *s, uint64_t chunk, uint32_t type) {
    for (uint64_t o = 0; o < HF_CHUNK; o += step_of(type))
        if (hf_load(&at(s, hf_chunk_at(s, chunk) + o)->kind, HF_RELAXED) != HF_KIND_NONE) return false;
    return true;
}

/* Under the guard: chunks whose small blocks are all free become free chunks. Dying half-way is mended by repair. */
static void compact(struct hf_session *s) {
    for (uint64_t i = 0; i < s->header->used_chunks;) {
        uint32_t word = hf_load(hf_chunk_word(s, i), HF_RELAXED);
        if (is_small(hf_chunk_type(word)) && is_empty(s, i, hf_chunk_type(word))) hf_chunk_set(s, i, 0, 1);
        i += hf_chunk_span(word);
    }
    list_all(s);
}

/* A member died under the guard. First the lists that hold free blocks and names, made anew; then what was left. */
static void repair(struct hf_session *s) {
    list_all(s);
    memset(s->header->names, 0, sizeof s->header->names);
    for_each_block(s, mend, NULL);
    hf_add(&s->header->repairs, 1, HF_RELAXED);
}

void hf_enter(struct hf_session *s, const struct hf_who *who) {
    if (HF_UNLIKELY(hf_mutex_lock(&s->header->guard, who) == HF_ABANDONED)) repair(s);
}

void hf_exit(struct hf_session *s) {
    hf_mutex_unlock(&s->header->guard);
}

/* ---- making ---- */

static void prepare(struct hf_session *s, const struct hf_who *who, const struct hf_new *how, struct hf_block *b,
                    uint64_t name_at) {
    uint32_t type = b->type;
    memset((void *)b, 0, sizeof *b);
    b->type = type;
    b->uid = s->header->next_uid++;
    b->nbytes = how->nbytes;
    set_ref(b, who->member);
    if (how->name == NULL) return;
    b->name_at = (uint32_t)(name_at / HF_NAME_UNIT);
    b->name_length = how->name_length;
    memcpy((char *)b + name_at, how->name, how->name_length);
    b->name_hash = hash_name(how->kind, how->name, how->name_length);
}

static void publish(struct hf_session *s, const struct hf_new *how, struct hf_block *b) {
    if (how->init != NULL) how->init((char *)b + HF_BODY_AT, how->how);
    hf_store(&b->kind, how->kind, HF_RELEASE);
    HF_KILL(alloc_named);
    if (how->name != NULL) link_name(s, b);
}

/* Reserve the memory of a large run without holding everybody up. The run is ours alone meanwhile. */
static bool commit_outside(struct hf_session *s, const struct hf_who *who, struct hf_block *b, uint64_t chunks) {
    uint64_t first = chunk_of(s, offset_of(s, b));
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
    uint32_t type = type_for(bytes);
    bool run = type == HF_CHUNK_RUN;
    bool outside = run && bytes > LARGE && how->name == NULL;
    struct hf_block *b = run ? claim_run(s, chunks_for(bytes), !outside) : pop_free(s, type);
    if (b == NULL) return NULL;
    prepare(s, who, how, b, name_at);
    if (outside && !commit_outside(s, who, b, chunks_for(bytes))) {
        free_block(s, b);
        return NULL;
    }
    publish(s, how, b);
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
    h->offset = offset_of(s, b);
    h->uid = b->uid;
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
        *out = find_name(s, how, hash_name(how->kind, how->name, how->name_length));
        if (*out != NULL) {
            if (how->mode == 1) return HF_WRONG;
            set_ref(*out, who->member);
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
        compact(s);
        r = open_or_make(s, who, how, &b);
        if (r == HF_OK || r == HF_BUSY) keep(s, h, b, r == HF_OK);
        hf_exit(s);
    }
    return r;
}

/* Is there a block of this kind at the offset? Offsets come from pickles, so trust nothing. */
static struct hf_block *valid(struct hf_session *s, uint64_t offset, uint64_t uid) {
    struct hf_header *h = s->header;
    if (offset < h->data_at || offset >= hf_chunk_at(s, h->used_chunks)) return NULL;
    uint64_t chunk = chunk_of(s, offset);
    uint32_t type = hf_chunk_type(hf_load(hf_chunk_word(s, chunk), HF_RELAXED));
    uint64_t within = offset - hf_chunk_at(s, chunk);
    if (type == 0 || (type == HF_CHUNK_RUN ? within != 0 : within % step_of(type) != 0)) return NULL;
    struct hf_block *b = at(s, offset);
    return b->uid == uid ? b : NULL;
}

int hf_attach(struct hf_session *s, const struct hf_who *who, enum hf_kind kind, uint64_t offset, uint64_t uid,
              struct hf_handle *h) {
    hf_enter(s, who);
    struct hf_block *b = valid(s, offset, uid);
    bool good = b != NULL && hf_load(&b->kind, HF_RELAXED) == (uint32_t)kind;
    if (good) {
        set_ref(b, who->member);
        hf_count_arrival(b);
        keep(s, h, b, false);
    }
    hf_exit(s);
    return good ? HF_OK : HF_CLOSED;
}

/* A pickle may be loaded more often than it was made; that must not count for the next one. */
void hf_count_arrival(struct hf_block *b) {
    uint32_t n = hf_load(&b->received, HF_RELAXED);
    while (n != hf_load(&b->sent, HF_RELAXED) && !hf_cas(&b->received, &n, n + 1, HF_RELAXED)) {}
}

bool hf_hold(struct hf_session *s, const struct hf_who *who, struct hf_handle *h) {
    struct hf_block *b = valid(s, h->offset, h->uid);
    if (b == NULL || hf_load(&b->kind, HF_RELAXED) == HF_KIND_NONE) return false;
    set_ref(b, who->member);
    return true;
}

bool hf_unname(struct hf_session *s, const struct hf_who *who, struct hf_block *b) {
    hf_enter(s, who);
    bool had = unlink_name(s, b);
    hf_exit(s);
    return had;
}

void *hf_extend(struct hf_session *s, void *body, uint64_t *link, size_t nbytes) {
    struct hf_who who;
    if (!hf_who_am_i(s, &who)) return NULL;
    struct hf_block *parent = hf_block_of(body);
    if (hf_load(&parent->kind, HF_RELAXED) == HF_KIND_NONE) return NULL; /* a handle that lost its block */
    struct hf_new how = {.kind = HF_KIND_CHILD, .nbytes = nbytes};
    hf_enter(s, &who);
    struct hf_block *b = pop_free(s, type_for(HF_BODY_AT + nbytes));
    void *child = NULL;
    if (b != NULL) {
        prepare(s, &who, &how, b, 0);
        child = memset((char *)b + HF_BODY_AT, 0, nbytes);
        b->name_hash = offset_of(s, parent);
        b->child = parent->child;
        hf_store(&b->kind, HF_KIND_CHILD, HF_RELEASE);
        parent->child = offset_of(s, b);
        *link = offset_of(s, child);
    }
    hf_exit(s);
    return child;
}

void *hf_follow(struct hf_session *s, uint64_t link) {
    return link == 0 ? NULL : s->base + link;
}

/* ---- dropping ---- */

#define FORK_GRACE (1000 * HF_MS)

/* Under the guard: clear this process's reference; idle bytes if that freed a run, else 0. */
static uint64_t drop_ref(struct hf_session *s, const struct hf_who *who, uint64_t offset, uint64_t uid) {
    struct hf_block *b = valid(s, offset, uid);
    if (b == NULL || hf_load(&b->kind, HF_RELAXED) == HF_KIND_NONE) return 0;
    bool run = b->type == HF_CHUNK_RUN;
    uint32_t slot = who->member & (HF_SLOTS - 1);
    hf_and(&b->refs[slot / 64], ~(1ull << (slot % 64)), HF_RELAXED);
    free_if_unwanted(s, b);
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

/* ---- giving memory back ---- */

/* Under the guard: claim a stretch of free committed chunks as a run of our own. Its first chunk stays. */
static struct hf_block *claim_idle(struct hf_session *s, const struct hf_who *who, uint64_t most, uint64_t *chunks) {
    uint64_t used = s->header->used_chunks;
    for (uint64_t i = 0, span; i < used; i += span) {
        uint32_t word = hf_load(hf_chunk_word(s, i), HF_RELAXED);
        span = hf_chunk_span(word);
        if (hf_chunk_type(word) != 0 || !(word & HF_CHUNK_COMMITTED)) continue;
        uint64_t end = i;
        while (end < used && end - i < most &&
               (hf_load(hf_chunk_word(s, end), HF_RELAXED) & (HF_CHUNK_TYPE | HF_CHUNK_COMMITTED)) == HF_CHUNK_COMMITTED)
            end++;
        struct hf_block *b = at(s, hf_chunk_at(s, i));
        hf_store(&b->kind, HF_KIND_NONE, HF_RELAXED);
        b->type = HF_CHUNK_RUN;
        hf_chunk_set(s, i, HF_CHUNK_RUN, end - i);
        struct hf_new how = {.kind = HF_KIND_PENDING, .nbytes = (end - i) * HF_CHUNK - HF_BODY_AT};
        prepare(s, who, &how, b, 0);
        publish(s, &how, b);
        *chunks = end - i;
        return b;
    }
    return NULL;
}

uint64_t hf_trim(struct hf_session *s, const struct hf_who *who, uint64_t keep_bytes) {
    uint64_t given = 0;
    hf_enter(s, who);
    compact(s);
    for (uint64_t idle; (idle = hf_chunks_idle(s)) > keep_bytes;) {
        uint64_t chunks;
        struct hf_block *b = claim_idle(s, who, (idle - keep_bytes + HF_CHUNK - 1) / HF_CHUNK, &chunks);
        if (b == NULL) break;
        uint64_t first = chunk_of(s, offset_of(s, b));
        hf_exit(s);
        /* First no longer said to be reserved, then given back: never the other way round, whoever dies between. */
        for (uint64_t i = first + 1; i < first + chunks; i++) hf_and(hf_chunk_word(s, i), ~HF_CHUNK_COMMITTED, HF_RELAXED);
        uint64_t punched = chunks > 1 ? chunks - 1 : 0;
        if (punched != 0) hf_file_punch(hf_session_file(s), hf_chunk_at(s, first + 1), punched * HF_CHUNK);
        hf_enter(s, who);
        free_block(s, b);
        hf_and(hf_chunk_word(s, first), ~HF_CHUNK_COMMITTED, HF_RELAXED);
        hf_file_punch(hf_session_file(s), hf_chunk_at(s, first), HF_CHUNK); /* the first chunk too, under the guard: it is small */
        given += chunks * HF_CHUNK;
    }
    hf_exit(s);
    return given;
}

/* ---- counting ---- */

static void count(struct hf_session *s, struct hf_block *b, const void *with) {
    struct hf_stats *out = *(struct hf_stats *const *)with;
    (void)s;
    if (hf_load(&b->kind, HF_RELAXED) == HF_KIND_NONE) return;
    out->blocks++;
    out->bytes_used += HF_BODY_AT + b->nbytes;
}

void hf_session_stats(struct hf_session *s, const struct hf_who *who, struct hf_stats *out) {
    *out = (struct hf_stats){0};
    hf_enter(s, who);
    for_each_block(s, count, &out);
    for (uint64_t i = 0; i < s->header->used_chunks; i++)
        if (hf_load(hf_chunk_word(s, i), HF_RELAXED) & HF_CHUNK_COMMITTED) out->bytes_committed += HF_CHUNK;
    out->bytes_idle = hf_chunks_idle(s);
    hf_exit(s);
    for (unsigned i = 0; i < HF_SLOTS; i++)
        if ((hf_load(&s->header->slot[i].state, HF_RELAXED) & HF_SLOT_STATE) == HF_SLOT_ALIVE) out->members++;
    out->repairs = hf_load(&s->header->repairs, HF_RELAXED);
}
