#include "shelf_index.h"

#include <string.h>

#define LOOK_EVERY (40 * HF_MS)

uint64_t hf_shelf_weight(const struct hf_item *item) {
    return sizeof(struct shelved) + item->length + item->key_length + item->outside;
}

void hf_shelf_init(struct hf_queue *q, uint64_t nbytes) {
    (void)nbytes;
    memset((void *)shelf_of(q), 0, sizeof(struct hf_shelf));
}

/* ---- putting ---- */

/* In the list from the start, so that it is not lost if we die while we fill it. */
static struct shelved *make(struct hf_queue *q, const struct hf_who *who, const struct hf_item *from, uint64_t *link) {
    struct hf_shelf *s = shelf_of(q);
    struct shelved *item = hf_extend(who->session, q, link, sizeof *item + from->length + from->key_length);
    if (item == NULL) return NULL;
    hf_store(&item->state, MAKING, HF_RELAXED);
    item->block = item->previous = 0;
    uint64_t next = hf_load(&s->items, HF_RELAXED);
    hf_store(&item->next, next, HF_RELAXED);
    hf_store(&s->items, *link, HF_RELEASE);
    if (next != 0) item_at(who, next)->previous = *link;
    s->all++;
    item->kind = from->kind;
    item->length = from->length;
    item->key_length = from->key_length;
    item->serial = ++s->next;
    item->block_uid = from->block_uid;
    item->block = from->block;
    item->outside = from->outside;
    if (from->length != 0) memcpy(item->bytes, from->data, from->length);
    if (from->key_length != 0) memcpy(item->bytes + from->length, from->key, from->key_length);
    HF_KILL(shelf_filled);
    return item;
}

static int put(struct hf_queue *q, const struct hf_who *who, const struct hf_item *from, int bell) {
    uint64_t weight = hf_shelf_weight(from), link = 0;
    int r = hf_queue_room(q, weight);
    if (r == HF_OK) r = hf_queue_ring(q, bell);
    if (r != HF_OK) return r;
    struct shelved *item = hf_index_reserve(q, who) ? make(q, who, from, &link) : NULL;
    if (item == NULL) return HF_NOMEM;
    hf_side_intend(&q->put, 1, weight, link, 0, 0);
    hf_consign(who->session, from->block);
    HF_KILL(shelf_intended);
    /* release, the commit; pairs with the acquire in state_of */
    hf_store(&item->state, QUEUED, HF_MO(shelf_commit, HF_RELEASE));
    HF_KILL(shelf_queued);
    hf_index_push(q, who, link);
    hf_side_done(&q->put);
    return HF_OK;
}

int hf_shelf_put(struct hf_queue *q, const struct hf_who *who, const struct hf_item *item, int bell) {
    if (hf_load(&q->closed, HF_RELAXED) != 0) return HF_CLOSED;
    hf_queue_enter_put(q, who);
    int r = put(q, who, item, bell);
    hf_store(&q->put.cpu, hf_cpu(), HF_RELAXED);
    hf_mutex_unlock(&q->put.lock);
    if (r == HF_OK) hf_news_tell(&q->put.news, 1, HF_BROKEN_HERE(queue_wake_getter));
    return r;
}

/* ---- taking ---- */

static uint64_t take_first(struct hf_queue *q, const struct hf_who *who, const struct hf_seat *seat) {
    uint64_t link = index_of(q, who)->link[0];
    struct shelved *item = item_at(who, link);
    item->member = who->member;
    hf_queue_charge(seat->entry, 1); /* before the commit: settling asks only what the living have at most */
    become(item, TAKEN, deliveries_of(item) + 1);
    HF_KILL(shelf_taken);
    hf_index_pop(q, who);
    hf_index_lease(q, who, link);
    hf_shelf_count_out(q, 1, weight_of(item));
    return link;
}

static uint64_t take_letter(struct hf_queue *q, const struct hf_who *who) {
    struct hf_shelf *s = shelf_of(q);
    uint64_t link = s->first;
    struct shelved *item = item_at(who, link);
    item->member = who->member;
    become(item, READ, deliveries_of(item));
    HF_KILL(shelf_taken);
    s->first = item->after;
    s->read++;
    hf_index_lease(q, who, link);
    return link;
}

static bool none(struct hf_queue *q, bool dead) {
    return dead ? hf_load(&shelf_of(q)->letters, HF_ACQUIRE) == 0 : hf_queue_size(q) == 0;
}

/* Is it time to look for dead takers? Always before somebody is told that nothing will come any more. */
static bool look_now(struct hf_queue *q, bool look) {
    struct hf_shelf *s = shelf_of(q);
    if (hf_load(&s->leased, HF_RELAXED) == 0) return false;
    return look || (hf_load(&q->closed, HF_RELAXED) != 0 && hf_queue_size(q) == 0) ||
           hf_now() - hf_load(&s->looked, HF_RELAXED) > LOOK_EVERY;
}

/* Under the lock. */
static int take(struct hf_queue *q, const struct hf_who *who, struct hf_seat *seat, bool dead, struct hf_lease *out) {
    struct hf_shelf *s = shelf_of(q);
    uint64_t link;
    if (dead ? s->first == 0 : s->queued == 0) return HF_BUSY;
    if (!dead && hf_queue_seat(q, who, seat) == NULL) return HF_NOMEM;
    link = dead ? take_letter(q, who) : take_first(q, who, seat);
    struct shelved *item = item_at(who, link);
    *out = (struct hf_lease){link, item->bytes, item->length, item->kind, deliveries_of(item),
                             item->block, item->block_uid, item->outside, item->serial};
    hf_store(&q->take.cpu, hf_cpu(), HF_RELAXED);
    return HF_OK;
}

/* With redeliver, what others hold may still come back: nobody is told that nothing will come while others hold something,
 * unless he holds something himself. (Else two who do would wait for each other.) */
static bool may_come(struct hf_queue *q, const struct hf_who *who) {
    if (!q->redeliver || hf_queue_unfinished(q) == 0) return false;
    struct hf_entry *mine = hf_roster_find(who->session, &q->takers, who->member);
    return mine == NULL || (int64_t)hf_load(&mine->data, HF_RELAXED) <= 0;
}

/* Nothing is said without the lock while somebody is inside: he may be dead, and what he left not yet counted. */
int hf_shelf_take(struct hf_queue *q, const struct hf_who *who, struct hf_seat *seat, bool dead, bool look,
                  struct hf_lease *out) {
    uint32_t back = 0;
    int r = HF_BUSY;
    if (!dead && hf_load(&q->closed, HF_ACQUIRE) == 2) return HF_CLOSED;
    if (look_now(q, look) || !none(q, dead) || hf_own_holder(&q->put.lock.own) != 0) {
        hf_queue_enter_put(q, who);
        if (look_now(q, look)) back = hf_shelf_reclaim(q, who);
        if (dead || hf_load(&q->closed, HF_RELAXED) != 2) r = take(q, who, seat, dead, out);
        hf_mutex_unlock(&q->put.lock);
    }
    if (back != 0) hf_news_tell(&q->put.news, HF_ALL, false);
    if (r == HF_OK && !dead) hf_news_tell(&q->take.news, HF_ALL, HF_BROKEN_HERE(queue_wake_putter));
    if (r != HF_BUSY || dead) return r;
    return hf_load(&q->closed, HF_ACQUIRE) && none(q, false) && !may_come(q, who) ? HF_CLOSED : HF_BUSY;
}

void hf_shelf_look(struct hf_queue *q, const struct hf_who *who) {
    if (!look_now(q, false)) return;
    hf_queue_enter_put(q, who);
    uint32_t back = hf_shelf_reclaim(q, who);
    hf_mutex_unlock(&q->put.lock);
    if (back != 0) hf_news_tell(&q->put.news, HF_ALL, false);
}

uint64_t hf_shelf_dead_letters(struct hf_queue *q) {
    return hf_load(&shelf_of(q)->letters, HF_ACQUIRE);
}

/* ---- what becomes of a lease ---- */

/* The item of a lease that is still ours. What lies there now may be anything: only the index says that it is one. */
static struct shelved *ours(struct hf_queue *q, const struct hf_who *who, uint64_t lease, uint64_t serial) {
    struct index *index = index_of(q, who);
    struct shelved *item = item_at(who, lease);
    if (index == NULL || item == NULL) return NULL;
    uint64_t place = item->place;
    if (place == 0 || place > hf_load(&shelf_of(q)->leased, HF_RELAXED)) return NULL;
    if (index->link[index->capacity - place] != lease) return NULL;
    return item->serial == serial && item->member == who->member ? item : NULL;
}

static void give_up(struct hf_queue *q, const struct hf_who *who, uint64_t link) {
    struct hf_shelf *s = shelf_of(q);
    struct shelved *item = item_at(who, link);
    bool read = state_of(item) == READ;
    become(item, FREEING, 0);
    HF_KILL(shelf_freed);
    s->read -= read;
    if (read) hf_sub(&s->letters, 1, HF_RELAXED);
    hf_index_strike(q, who, item);
    hf_shelf_discard(q, who, link);
}

static void queue_again(struct hf_queue *q, const struct hf_who *who, uint64_t link, uint32_t deliveries) {
    struct shelved *item = item_at(who, link);
    hf_queue_ring(q, -1); /* if nobody can: whoever polls looks at its next tick */
    hf_shelf_count_out(q, -1ull, -weight_of(item));
    become(item, QUEUED, deliveries);
    HF_KILL(shelf_back);
    hf_index_strike(q, who, item);
    hf_index_push(q, who, link);
}

static void to_letters(struct hf_queue *q, const struct hf_who *who, uint64_t link) {
    struct hf_shelf *s = shelf_of(q);
    struct shelved *item = item_at(who, link);
    bool read = state_of(item) == READ;
    if (!read) hf_add(&s->letters, 1, HF_RELEASE);
    become(item, LETTER, deliveries_of(item));
    HF_KILL(shelf_back);
    s->read -= read;
    hf_index_strike(q, who, item);
    hf_shelf_chain(q, who, link);
}

static void uncharge(const struct hf_who *who, const struct hf_seat *seat) {
    if (seat->member == who->member) hf_queue_charge(seat->entry, -1);
}

int hf_shelf_release(struct hf_queue *q, const struct hf_who *who, const struct hf_seat *seat, uint64_t lease,
                     uint64_t serial) {
    hf_queue_enter_put(q, who);
    struct shelved *item = ours(q, who, lease, serial);
    if (item != NULL) {
        bool finished = q->redeliver && state_of(item) == TAKEN;
        give_up(q, who, lease);
        if (finished) uncharge(who, seat);
        hf_shelf_count_done(q);
    }
    hf_mutex_unlock(&q->put.lock);
    if (hf_load(&q->closed, HF_RELAXED) != 0 && hf_queue_unfinished(q) == 0) hf_news_tell(&q->put.news, HF_ALL, false);
    return item == NULL ? HF_WRONG : HF_OK;
}

int hf_shelf_return(struct hf_queue *q, const struct hf_who *who, const struct hf_seat *seat, uint64_t lease,
                    uint64_t serial) {
    hf_queue_enter_put(q, who);
    struct shelved *item = ours(q, who, lease, serial);
    if (item != NULL) {
        if (state_of(item) == TAKEN) uncharge(who, seat);
        if (state_of(item) == READ) to_letters(q, who, lease);
        else if (hf_load(&q->closed, HF_RELAXED) == 2) give_up(q, who, lease);
        else queue_again(q, who, lease, deliveries_of(item) - 1);
        hf_shelf_count_done(q);
    }
    hf_mutex_unlock(&q->put.lock);
    if (item != NULL) hf_news_tell(&q->put.news, 1, HF_BROKEN_HERE(queue_wake_getter));
    return item == NULL ? HF_WRONG : HF_OK;
}

/* A dead member's item. True: it may be taken again. */
static bool reclaim(struct hf_queue *q, const struct hf_who *who, uint64_t link) {
    struct shelved *item = item_at(who, link);
    uint32_t times = deliveries_of(item);
    if (state_of(item) != READ) {
        if (!q->redeliver || hf_load(&q->closed, HF_RELAXED) == 2) {
            give_up(q, who, link);
            return false;
        }
        if (q->max_deliveries == 0 || times < q->max_deliveries) {
            queue_again(q, who, link, times);
            return true;
        }
    }
    to_letters(q, who, link);
    return true;
}

uint32_t hf_shelf_reclaim(struct hf_queue *q, const struct hf_who *who) {
    struct hf_shelf *s = shelf_of(q);
    uint32_t back = 0, asked = who->member;
    bool gone = false; /* the member asked about last */
    hf_store(&s->looked, hf_now(), HF_RELAXED);
    /* from the first noted to the last: whoever takes the place of a struck one is yet to be looked at */
    for (uint64_t place = 1; place <= hf_load(&s->leased, HF_RELAXED);) {
        struct index *index = index_of(q, who);
        uint64_t link = index->link[index->capacity - place];
        uint32_t member = item_at(who, link)->member;
        if (member != asked) gone = hf_gone(who, member);
        asked = member;
        if (!gone) place++;
        else if (reclaim(q, who, link)) back++;
    }
    hf_shelf_count_done(q);
    return back;
}

/* ---- throwing away ---- */

uint64_t hf_shelf_clear(struct hf_queue *q, const struct hf_who *who) {
    struct hf_shelf *s = shelf_of(q);
    uint64_t n = 0;
    for (; s->queued != 0; n++) {
        struct shelved *item = item_at(who, index_of(q, who)->link[0]);
        become(item, FREEING, 0);
        HF_KILL(shelf_freed);
        uint64_t link = hf_index_pop(q, who);
        hf_shelf_count_out(q, 1, weight_of(item));
        hf_shelf_discard(q, who, link);
    }
    hf_shelf_count_done(q);
    return q->redeliver ? 0 : n;
}

/* Done again if the first one to do it died: the items are freed only after the last store here. */
void hf_shelf_dispose(struct hf_session *session, struct hf_queue *q) {
    struct hf_shelf *s = shelf_of(q);
    for (uint64_t link = hf_load(&s->items, HF_RELAXED); link != 0;) {
        struct shelved *item = hf_follow(session, link);
        hf_dispose_block(session, item->block, item->block_uid);
        link = hf_load(&item->next, HF_RELAXED);
    }
    hf_store(&s->items, 0, HF_RELEASE);
}
