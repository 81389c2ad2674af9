/* Actors and the audit of the arena's tests; see arena.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "arena.h"
#include "blocks.h"
#include "semaphore.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

bool ar_group;
char ar_about[64] = "";

void ar_fail(const char *file, int line, const char *what) {
    fprintf(stderr, "FAIL %s:%d: %s does not hold%s\n", file, line, what, ar_about);
    fflush(stderr);
    if (ar_group) kill(0, SIGKILL);
    _exit(1);
}

double ar_scale(void) {
    const char *scale = getenv("HF_STRESS_SCALE");
    return scale != NULL ? atof(scale) : 1;
}

struct hf_session *ar_open(uint64_t size, uint64_t idle_limit) {
    const char *why;
    int fd = memfd_create("arena", MFD_CLOEXEC);
    struct hf_session *s = hf_session_open(fd, size, idle_limit, "test", &why);
    ar_must(s != NULL);
    return s;
}

struct hf_session *ar_again(struct hf_session *s) {
    const char *why;
    struct hf_session *other = hf_session_open(dup(s->fd), 0, 0, "again", &why);
    ar_must(other != NULL && why == NULL);
    return other;
}

struct hf_who ar_who(struct hf_session *s) {
    struct hf_who who;
    ar_must(hf_who_am_i(s, &who));
    return who;
}

unsigned ar_random(struct ar_actor *a, unsigned below) {
    a->random ^= a->random << 13;
    a->random ^= a->random >> 7;
    a->random ^= a->random << 17;
    return (unsigned)(a->random >> 33) % below;
}

/* ------------------------------------------------------------------------------------------------------- patterns */

/* Blocks can overlap by 256 B at least, and by whole chunks if they are runs: words this far apart notice. */
static uint64_t stride(uint64_t nbytes) {
    return nbytes < HF_CHUNK ? 64 : 4096;
}

static void fill(void *body, uint64_t nbytes, uint64_t seed) {
    for (uint64_t i = 0; i + 8 <= nbytes; i += stride(nbytes))
        *(uint64_t *)((char *)body + i) = seed * 0x9e3779b97f4a7c15ull + i;
}

static bool filled(const void *body, uint64_t nbytes, uint64_t seed) {
    for (uint64_t i = 0; i + 8 <= nbytes; i += stride(nbytes))
        if (*(const uint64_t *)((const char *)body + i) != seed * 0x9e3779b97f4a7c15ull + i) return false;
    return true;
}

void ar_check(struct ar_held *it) {
    ar_must(it->handle.uid != 0);
    ar_must(hf_block_of(it->handle.body)->uid == it->handle.uid);
    ar_must(hf_block_of(it->handle.body)->nbytes == it->nbytes);
    ar_must(it->seed == 0 || filled(it->handle.body, it->nbytes, it->seed));
    for (unsigned i = 0; i < AR_CHILDREN; i++)
        ar_must(it->child[i] == NULL || filled(it->child[i], 900, it->handle.uid + i));
}

/* -------------------------------------------------------------------------------------------------------- actions */

static struct hf_session *some_session(struct ar_actor *a) {
    return a->sessions[ar_random(a, (unsigned)a->count)];
}

static struct ar_held *some_held(struct ar_actor *a, bool used) {
    unsigned start = ar_random(a, AR_HELD);
    for (unsigned i = 0; i < AR_HELD; i++) {
        struct ar_held *it = &a->held[(start + i) % AR_HELD];
        if (it->used == used) return it;
    }
    return NULL;
}

static void hold(struct ar_held *it, struct hf_session *s, uint64_t nbytes, uint64_t seed, bool named) {
    it->used = true;
    it->session = s;
    it->nbytes = nbytes;
    it->seed = seed;
    it->named = named;
    memset(it->child, 0, sizeof it->child);
}

void ar_make(struct ar_actor *a, struct ar_held *it, uint64_t nbytes) {
    struct hf_session *s = some_session(a);
    struct hf_who who = ar_who(s);
    struct hf_new how = {.kind = HF_KIND_BLOCK, .nbytes = nbytes};
    int r = hf_make(s, &who, &how, &it->handle);
    ar_must(r == HF_OK || (r == HF_NOMEM && a->modest));
    if (r != HF_OK) return;
    hold(it, s, nbytes, it->handle.uid, false);
    fill(it->handle.body, nbytes, it->seed);
}

static uint64_t some_size(struct ar_actor *a) {
    unsigned dice = ar_random(a, 200);
    if (dice < 120) return 1 + ar_random(a, 4096);
    if (dice < 160) return 1 + ar_random(a, 40 << 10);
    if (dice < 185 || (a->modest && ar_random(a, 8) != 0)) return 1 + ar_random(a, 200 << 10);
    if (dice < 198) return 1 + ar_random(a, 2 << 20);
    return (4u << 20) + ar_random(a, 2 << 20); /* reserved outside the guard */
}

void ar_drop(struct ar_held *it) {
    ar_check(it);
    it->used = false;
    hf_drop(it->session, &it->handle);
}

static void grow_roster(struct ar_actor *a, struct hf_semaphore *sem) {
    int holders = 0, r = HF_OK;
    while (holders < a->family && r == HF_OK) {
        struct hf_who who = ar_who(a->sessions[holders]);
        r = hf_semaphore_try(sem, &who);
        if (r == HF_OK) holders++;
    }
    ar_must(r == HF_OK || (r == HF_NOMEM && a->modest));
    ar_must((hf_block_of(sem)->child != 0) == (r == HF_OK));
    while (holders > 0) {
        struct hf_who who = ar_who(a->sessions[--holders]);
        ar_must(hf_semaphore_release(sem, &who, 1) == HF_OK);
    }
}

/* A semaphore whose roster grows (more than six members hold a permit), or, if we are one member, by hand. */
void ar_make_family(struct ar_actor *a, struct ar_held *it) {
    struct hf_session *s = a->sessions[ar_random(a, (unsigned)a->family)];
    struct hf_who who = ar_who(s);
    struct hf_new how = {.kind = HF_KIND_SEMAPHORE, .nbytes = sizeof(struct hf_semaphore)};
    int r = hf_make(s, &who, &how, &it->handle);
    ar_must(r == HF_OK || (r == HF_NOMEM && a->modest));
    if (r != HF_OK) return;
    hold(it, s, how.nbytes, 0, false);
    struct hf_semaphore *sem = it->handle.body;
    hf_semaphore_init(sem, 100, true);
    if (a->family > 6) grow_roster(a, sem);
    for (unsigned i = 0; a->family <= 6 && i < AR_CHILDREN; i++) {
        uint64_t link = 0;
        void *child = hf_extend(s, sem, &link, 900);
        if (child == NULL && a->modest) break;
        ar_must(child != NULL && hf_follow(s, link) == child);
        fill(child, 900, it->handle.uid + i);
        it->child[i] = child;
    }
}

/* One child goes before its parent. */
static void shrink_family(struct ar_actor *a, struct ar_held *it) {
    unsigned i = ar_random(a, AR_CHILDREN);
    void *child = it->child[i];
    if (child == NULL) return;
    ar_check(it);
    it->child[i] = NULL;
    hf_retract(it->session, (uint64_t)((char *)child - it->session->base));
}

static void send_mail(struct ar_actor *a, struct ar_held *it) {
    if (it->named || it->seed == 0) return;
    ar_must(it->handle.offset >> 8 < 1u << 24 && it->handle.uid < 1ull << 40);
    if (a->counted) hf_add(&hf_block_of(it->handle.body)->sent, 1, HF_RELAXED);
    uint64_t mine = it->handle.offset >> 8 | it->handle.uid << 24, empty = 0;
    /* release; pairs with the acquire in receive: what carries a pickle orders it */
    if (hf_cas(&a->mail[ar_random(a, AR_MAIL)], &empty, mine, HF_RELEASE) || !a->counted) return;
    hf_sub(&hf_block_of(it->handle.body)->sent, 1, HF_RELAXED);
}

static void receive(struct ar_actor *a, struct ar_held *it, ar_mail *from) {
    uint64_t mail = hf_swap(from, 0, HF_ACQUIRE);
    if (mail == 0) return;
    struct hf_session *s = some_session(a);
    struct hf_who who = ar_who(s);
    uint64_t offset = (mail & 0xffffff) << 8, uid = mail >> 24;
    ar_must(hf_attach(s, &who, HF_KIND_LOCK, offset, uid, &it->handle) == HF_CLOSED); /* of another kind */
    int r = hf_attach(s, &who, HF_KIND_BLOCK, offset, uid, &it->handle);
    ar_must(r == HF_OK || (r == HF_CLOSED && !a->counted));
    if (r != HF_OK) return;
    ar_must(it->handle.uid == uid && it->handle.offset == offset);
    hold(it, s, hf_block_of(it->handle.body)->nbytes, uid, false);
    ar_check(it);
}

static const uint64_t name_size[4] = {100, 3000, 40000, 300000};

static void init_named(void *body, const void *how) {
    const unsigned *name = how;
    fill(body, name_size[*name % 4], 1 + *name);
}

static void open_name(struct ar_actor *a, struct ar_held *it) {
    struct hf_session *s = some_session(a);
    struct hf_who who = ar_who(s);
    unsigned n = ar_random(a, AR_NAMES);
    char name[32];
    int length = snprintf(name, sizeof name, "a name of the tests, number %u", n);
    struct hf_new how = {.kind = HF_KIND_BLOCK,
                         .nbytes = name_size[n % 4],
                         .init = init_named,
                         .how = &n,
                         .name = name,
                         .name_length = (uint32_t)length,
                         .mode = (int)ar_random(a, 3)};
    int r = hf_make(s, &who, &how, &it->handle);
    int missed = how.mode == 1 ? HF_WRONG : HF_CLOSED; /* there already; not there */
    if (r == HF_OK) ar_must(how.mode != 2);
    else if (r == HF_BUSY) ar_must(how.mode != 1);
    else ar_must((r == missed && how.mode != 0) || (r == HF_NOMEM && a->modest && how.mode != 2));
    if (r != HF_OK && r != HF_BUSY) return;
    hold(it, s, how.nbytes, 1 + n, true);
    ar_check(it);
}

static void unname(struct ar_actor *a, struct ar_held *it) {
    struct hf_who who = ar_who(it->session);
    (void)a;
    bool had = hf_unname(it->session, &who, hf_block_of(it->handle.body));
    ar_must(it->named || !had);
    ar_must(!hf_unname(it->session, &who, hf_block_of(it->handle.body)));
}

static void manage(struct ar_actor *a) {
    struct hf_session *s = some_session(a);
    struct hf_who who = ar_who(s);
    struct hf_stats stats;
    switch (ar_random(a, 4)) {
    case 0: hf_trim(s, &who, (uint64_t)ar_random(a, 4) << 20); break;
    case 1: hf_sweep(s, &who); break;
    case 2: hf_session_stats(s, &who, &stats); break;
    default:
        if (!a->forks) break;
        pid_t pid = fork();
        if (pid == 0) _exit(0);
        ar_must(waitpid(pid, NULL, 0) == pid);
    }
}

void ar_step(struct ar_actor *a) {
    unsigned dice = ar_random(a, 100);
    struct ar_held *room = some_held(a, false), *one = some_held(a, true);
    a->steps++;
    if (dice < 38 && room != NULL) ar_make(a, room, some_size(a));
    else if (dice < 42 && room != NULL) ar_make_family(a, room);
    else if (dice < 52 && room != NULL) open_name(a, room);
    else if (dice < 62 && room != NULL) receive(a, room, &a->mail[ar_random(a, AR_MAIL)]);
    else if (dice < 72 && one != NULL) send_mail(a, one);
    else if (dice < 74 && one != NULL) unname(a, one);
    else if (dice < 77) manage(a);
    else if (dice < 82 && one != NULL) shrink_family(a, one);
    else if (one != NULL) ar_drop(one);
}

void ar_drop_all(struct ar_actor *a) {
    for (unsigned i = 0; i < AR_HELD; i++)
        if (a->held[i].used) ar_drop(&a->held[i]);
}

void ar_take_mail(struct ar_actor *a) {
    for (unsigned i = 0; i < AR_MAIL; i++) {
        struct ar_held it = {0};
        receive(a, &it, &a->mail[i]);
        if (it.used) ar_drop(&it);
    }
}

/* ---------------------------------------------------------------------------------------------------------- audit */

#define GRANULE 256ull
enum { UNSEEN, ON_FREE_LIST, IN_BUCKET = 4, IN_CHAIN = 8 };

struct audit {
    struct hf_session *s;
    unsigned char *seen; /* one per 256 B of the data */
    uint64_t granules;
    struct ar_census census;
};

static struct hf_block *block_at(struct audit *a, uint64_t offset) {
    ar_must(offset >= a->s->header->data_at && offset % GRANULE == 0);
    ar_must((offset - a->s->header->data_at) / GRANULE < a->granules);
    return (struct hf_block *)(void *)(a->s->base + offset);
}

/* Nothing may be reached twice by the same way. */
static struct hf_block *reach(struct audit *a, uint64_t offset, unsigned char way) {
    struct hf_block *b = block_at(a, offset);
    unsigned char *seen = &a->seen[(offset - a->s->header->data_at) / GRANULE];
    ar_must((*seen & way) == 0);
    *seen |= way;
    return b;
}

static void walk_lists(struct audit *a) {
    struct hf_header *h = a->s->header;
    for (uint32_t type = 1; type <= HF_CLASSES; type++) {
        for (uint64_t o = h->free[type]; o != 0;) {
            struct hf_block *b = reach(a, o, ON_FREE_LIST);
            ar_must(b->kind == HF_KIND_NONE && b->type == type);
            ar_must(hf_chunk_type(*hf_chunk_word(a->s, (o - h->data_at) / HF_CHUNK)) == type);
            ar_must((o - h->data_at) % (HF_SMALLEST << (type - 1)) == 0);
            o = b->next;
        }
    }
    for (unsigned i = 0; i < HF_NAME_BUCKETS; i++) {
        for (uint64_t o = h->names[i]; o != 0;) {
            struct hf_block *b = reach(a, o, IN_BUCKET);
            ar_must(b->kind != HF_KIND_NONE && b->kind != HF_KIND_CHILD && b->name_hash % HF_NAME_BUCKETS == i);
            ar_must(b->name_hash != 0 && hf_name_of(b) >= (char *)b + HF_BODY_AT + b->nbytes);
            a->census.named++;
            o = b->next;
        }
    }
}

static void walk_chain(struct audit *a, struct hf_block *parent) {
    for (uint64_t o = parent->child, before = 0; o != 0;) {
        struct hf_block *child = reach(a, o, IN_CHAIN);
        ar_must(child->next == before);
        before = o;
        ar_must(child->kind == HF_KIND_CHILD && child->name_hash == (uint64_t)((char *)parent - a->s->base));
        ar_must(hf_parent_uid(child) == parent->uid);
        o = child->child;
    }
}

static void visit(struct audit *a, uint64_t offset, uint32_t type, bool chains) {
    struct hf_block *b = block_at(a, offset);
    unsigned char seen = a->seen[(offset - a->s->header->data_at) / GRANULE];
    uint32_t kind = b->kind;
    ar_must(kind <= HF_KIND_PENDING && b->type == type);
    if (chains) {
        if (kind != HF_KIND_NONE && kind != HF_KIND_CHILD) walk_chain(a, b);
        return;
    }
    ar_must(((seen & ON_FREE_LIST) != 0) == (kind == HF_KIND_NONE)); /* live, or on the free list: one of the two */
    ar_must(kind != HF_KIND_NONE || type != HF_CHUNK_RUN);
    ar_must(((seen & IN_CHAIN) != 0) == (kind == HF_KIND_CHILD));
    bool named = kind != HF_KIND_NONE && kind != HF_KIND_CHILD && b->name_hash != 0;
    ar_must(((seen & IN_BUCKET) != 0) == named);
    a->census.blocks += kind != HF_KIND_NONE;
    a->census.children += kind == HF_KIND_CHILD;
    a->census.pending += kind == HF_KIND_PENDING;
    a->census.unused += kind == HF_KIND_NONE;
}

static void walk_chunks(struct audit *a, bool chains) {
    uint64_t used = a->s->header->used_chunks;
    for (uint64_t i = 0, span; i < used; i += span) {
        uint32_t word = *hf_chunk_word(a->s, i), type = hf_chunk_type(word);
        span = hf_chunk_span(word);
        ar_must(span > 0 && i + span <= used && (type <= HF_CLASSES || type == HF_CHUNK_RUN));
        for (uint64_t k = 1; k < span; k++) ar_must(hf_chunk_type(*hf_chunk_word(a->s, i + k)) == 0);
        if (type == 0) continue;
        ar_must(word & HF_CHUNK_COMMITTED);
        uint64_t step = type == HF_CHUNK_RUN ? HF_CHUNK : HF_SMALLEST << (type - 1);
        for (uint64_t o = 0; o < HF_CHUNK; o += step) visit(a, hf_chunk_at(a->s, i) + o, type, chains);
    }
}

struct ar_census ar_audit(struct hf_session *s) {
    struct hf_who who = ar_who(s);
    hf_enter(s, &who);
    struct audit a = {.s = s, .granules = s->header->used_chunks * (HF_CHUNK / GRANULE)};
    a.seen = calloc(a.granules + 1, 1);
    ar_must(a.seen != NULL);
    walk_lists(&a);
    walk_chunks(&a, true);
    walk_chunks(&a, false);
    hf_exit(s);
    free(a.seen);
    return a.census;
}
