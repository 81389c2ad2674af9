#include "queue.h"

#include <string.h>

#include "fifo.h"
#include "shelf.h"

_Static_assert(sizeof(struct hf_side) == 128, "layout of hf_side");
_Static_assert(offsetof(struct hf_queue, takers) == 64, "layout of hf_queue");
_Static_assert(offsetof(struct hf_queue, put) == 256, "layout of hf_queue");
_Static_assert(sizeof(struct hf_queue) == HF_QUEUE_STORE_AT, "layout of hf_queue");

void hf_queue_init(struct hf_queue *q, const struct hf_queue_config *how) {
    memset(q, 0, sizeof *q);
    q->flavour = how->flavour;
    q->redeliver = how->redeliver;
    q->max_deliveries = how->max_deliveries;
    hf_store(&q->maxsize, how->maxsize, HF_RELAXED);
    q->max_bytes = how->max_bytes;
    hf_store(&q->kept, how->kept, HF_RELAXED);
    for (struct hf_side *side = &q->put; side <= &q->take; side++) {
        hf_store(&side->lock.own.cpu, HF_NO_CPU, HF_RELAXED);
        hf_store(&side->cpu, HF_NO_CPU, HF_RELAXED);
    }
    if (hf_queue_on_shelf(q)) hf_shelf_init(q, how->nbytes);
    else hf_fifo_init(q, how->nbytes);
}

/* ---- the two sides ---- */

void hf_queue_enter_put(struct hf_queue *q, const struct hf_who *who) {
    if (HF_LIKELY(hf_mutex_lock(&q->put.lock, who) != HF_ABANDONED) || HF_BROKEN_HERE(queue_mend)) return;
    if (hf_queue_on_shelf(q)) hf_shelf_mend(q, who);
    else hf_fifo_mend_put(q, who);
    if (hf_load(&q->bell.wanted, HF_RELAXED)) hf_store(&q->bell.rung, HF_PERHAPS, HF_RELAXED);
}

void hf_queue_enter_take(struct hf_queue *q, const struct hf_who *who) {
    if (HF_LIKELY(hf_mutex_lock(&q->take.lock, who) != HF_ABANDONED) || HF_BROKEN_HERE(queue_mend)) return;
    if (!hf_queue_on_shelf(q)) hf_fifo_mend_take(q, who);
}

/* What the other side has is looked up anew only where what was seen last would not do: the lines are far apart. */
int hf_queue_room_for(struct hf_queue *q, uint32_t n, uint64_t bytes) {
    if (hf_load(&q->closed, HF_RELAXED) != 0) return HF_CLOSED;
    if (bytes > q->max_bytes) return n == 1 ? HF_WRONG : HF_BUSY;
    uint64_t count = hf_load(&q->put.count, HF_RELAXED) + n, all = hf_load(&q->put.bytes, HF_RELAXED) + bytes;
    uint64_t maxsize = hf_load(&q->maxsize, HF_RELAXED);
    if (maxsize != 0 && count > q->put.seen_count + maxsize) {
        q->put.seen_count = hf_load(&q->take.count, HF_RELAXED);
        if (count > q->put.seen_count + maxsize) return HF_BUSY;
    }
    if (all > q->put.seen_bytes + q->max_bytes) {
        q->put.seen_bytes = hf_load(&q->take.bytes, HF_RELAXED);
        if (all > q->put.seen_bytes + q->max_bytes) return HF_BUSY;
    }
    return HF_OK;
}

/* ---- waiting ---- */

int hf_queue_wait_item(struct hf_queue *q, struct hf_patience *p) {
    uint32_t seen = hf_news_seen(&q->put.news);
    bool over = hf_load(&q->closed, HF_RELAXED) != 0 && (!q->redeliver || hf_queue_unfinished(q) == 0);
    if (hf_queue_size(q) != 0 || over) return HF_OK;
    if (hf_spin(&q->put.news.counter, seen, hf_load(&q->put.cpu, HF_RELAXED), HF_SPIN_NS)) return HF_OK;
    /* what the dead left is found by looking again */
    return hf_rested(hf_news_sleep(&q->put.news, seen, p), p);
}

bool hf_queue_may_fit(struct hf_queue *q, uint64_t bytes) {
    uint64_t maxsize = hf_load(&q->maxsize, HF_RELAXED);
    if (maxsize != 0 && hf_queue_size(q) >= maxsize) return false;
    return hf_queue_bytes(q) + bytes <= q->max_bytes;
}

int hf_queue_wait_room(struct hf_queue *q, uint64_t bytes, struct hf_patience *p) {
    uint32_t seen = hf_news_seen(&q->take.news);
    if (hf_queue_may_fit(q, bytes) || hf_load(&q->closed, HF_RELAXED) != 0) return HF_OK;
    if (hf_spin(&q->take.news.counter, seen, hf_load(&q->take.cpu, HF_RELAXED), HF_SPIN_NS)) return HF_OK;
    return hf_rested(hf_news_sleep(&q->take.news, seen, p), p);
}

int hf_queue_wait_done(struct hf_queue *q, struct hf_patience *p) {
    uint32_t seen = hf_news_seen(&q->dones);
    if (hf_queue_unfinished(q) == 0) return HF_OK;
    return hf_news_sleep(&q->dones, seen, p);
}

void hf_queue_nudge(struct hf_queue *q) {
    hf_news_tell(&q->put.news, HF_ALL, false);
    hf_news_tell(&q->take.news, HF_ALL, false);
    hf_news_tell(&q->dones, HF_ALL, false);
}

/* ---- who took what ---- */

static int64_t owed(struct hf_entry *e) {
    return (int64_t)hf_load(&e->data, HF_RELAXED);
}

/* Before the roster grows: entries of members that are gone and owe nothing are free, and so are all but a few of those
 * that do; these are kept for the message of whoever joins. */
static void reap(struct hf_queue *q, const struct hf_who *who) {
    unsigned kept = 0;
    struct hf_walk w = hf_walk_begin(&q->takers);
    for (struct hf_entry *e; (e = hf_walk_next(who->session, &w)) != NULL;) {
        if (hf_load(&e->word, HF_RELAXED) == 0 || !hf_gone(who, hf_load(&e->member, HF_RELAXED))) continue;
        if (owed(e) <= 0 || ++kept > HF_LOSS_NAMED) hf_store(&e->word, 0, HF_RELAXED);
    }
}

struct hf_entry *hf_queue_seat(struct hf_queue *q, const struct hf_who *who, struct hf_seat *seat) {
    if (HF_LIKELY(seat->member == who->member)) return seat->entry;
    struct hf_entry *e = hf_roster_find(who->session, &q->takers, who->member);
    if (e == NULL) {
        reap(q, who);
        e = hf_roster_free(who->session, &q->takers, q);
        if (e == NULL) return NULL;
        hf_store(&e->member, who->member, HF_RELAXED);
        hf_store(&e->data, 0, HF_RELAXED);
        hf_store(&e->word, 1, HF_RELEASE);
    }
    *seat = (struct hf_seat){who->member, e};
    return e;
}

/* ---- finishing ---- */

static void told_done(struct hf_queue *q, uint64_t done) {
    HF_KILL(queue_done);
    if (done >= hf_load(&q->put.count, HF_SEQ_CST)) hf_news_tell(&q->dones, HF_ALL, HF_BROKEN_HERE(queue_wake_joiner));
}

/* One that was given up for a dead taker, and is called done all the same. */
static int forgive(struct hf_queue *q) {
    uint64_t debt = hf_load(&q->written_off, HF_RELAXED);
    while (debt != 0)
        if (hf_cas(&q->written_off, &debt, debt - 1, HF_RELAXED)) return HF_OK;
    return HF_WRONG;
}

/* One less for our member; if it has taken nothing that is left, it has finished another's. */
static void discharge(struct hf_queue *q, const struct hf_who *who, const struct hf_seat *seat) {
    /* another handle of this process may have taken it, and have the seat */
    struct hf_entry *mine =
        seat->member == who->member ? seat->entry : hf_roster_find(who->session, &q->takers, who->member);
    if (mine != NULL) {
        if ((int64_t)hf_sub(&mine->data, 1, HF_RELAXED) > 0) return;
        hf_queue_charge(mine, 1);
    }
    hf_add(&q->foreign, 1, HF_RELAXED);
}

int hf_queue_done(struct hf_queue *q, const struct hf_who *who, const struct hf_seat *seat) {
    uint64_t done = hf_load(&q->done, HF_RELAXED);
    do
        if (done >= hf_load(&q->put.count, HF_ACQUIRE)) return forgive(q);
    while (!hf_cas(&q->done, &done, done + 1, HF_SEQ_CST));
    discharge(q, who, seat);
    told_done(q, done + 1);
    return HF_OK;
}

void hf_queue_finish(struct hf_queue *q, uint64_t n) {
    if (n != 0) told_done(q, hf_add(&q->done, n, HF_SEQ_CST) + n);
}

/* Of the items of a member that left in good order, those that others seem to have finished for it. */
static uint64_t others_finished(struct hf_queue *q, uint64_t items) {
    uint64_t foreign = hf_load(&q->foreign, HF_RELAXED), some = foreign < items ? foreign : items;
    if (some != 0) hf_sub(&q->foreign, some, HF_RELAXED);
    return some;
}

/* Under the locks: strike the gone off the roster; what the living took and have not finished themselves. */
static uint64_t strike_off(struct hf_queue *q, const struct hf_who *who, struct hf_loss *loss) {
    uint64_t living = 0;
    struct hf_walk w = hf_walk_begin(&q->takers);
    for (struct hf_entry *e; (e = hf_walk_next(who->session, &w)) != NULL;) {
        if (hf_load(&e->word, HF_RELAXED) == 0) continue;
        uint32_t member = hf_load(&e->member, HF_RELAXED);
        uint64_t items = owed(e) > 0 ? (uint64_t)owed(e) : 0;
        if (!hf_gone(who, member)) {
            living += items;
            continue;
        }
        if (hf_fate(who->session, member) == HF_LEFT) items -= others_finished(q, items);
        if (items != 0 && loss->members++ < HF_LOSS_NAMED) {
            loss->of[loss->members - 1].member = member;
            loss->of[loss->members - 1].items = items;
        }
        hf_store(&e->word, 0, HF_RELAXED);
    }
    return living;
}

static uint64_t less(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

/* Unfinished is what is queued, and what was taken less what was finished by others than its takers. Of those who are gone
 * nothing is left to wait for. Whose items the others finished nobody knows: a killed taker's are the last to be thought
 * finished, so that join does not wait for them. */
static uint64_t write_off(struct hf_queue *q, uint64_t living, bool struck) {
    uint64_t in = hf_load(&q->put.count, HF_RELAXED), queued = hf_queue_size(q);
    uint64_t most = queued + less(living, hf_load(&q->foreign, HF_RELAXED));
    uint64_t done = hf_load(&q->done, HF_RELAXED), lost = 0;
    while (less(in, most) > done) {
        if (!hf_cas(&q->done, &done, in - most, HF_SEQ_CST)) continue;
        lost = in - most - done;
        done = in - most;
        hf_add(&q->written_off, lost, HF_RELAXED);
    }
    if (struck) hf_store(&q->foreign, less(living, less(less(in, done), queued)), HF_RELAXED);
    return lost;
}

static uint64_t clear(struct hf_queue *q, const struct hf_who *who) {
    return hf_queue_on_shelf(q) ? hf_shelf_clear(q, who) : hf_fifo_clear(q, who);
}

void hf_queue_settle(struct hf_queue *q, const struct hf_who *who, struct hf_loss *loss) {
    *loss = (struct hf_loss){0};
    hf_queue_enter_take(q, who);
    hf_queue_enter_put(q, who);
    uint32_t back = hf_queue_on_shelf(q) ? hf_shelf_reclaim(q, who) : 0;
    if (hf_load(&q->closed, HF_RELAXED) == 2 && hf_queue_size(q) != 0) clear(q, who);
    uint64_t living = strike_off(q, who, loss);
    if (!q->redeliver && !HF_BROKEN_HERE(queue_settle)) /* what comes back is unfinished; the shelf counts that */
        loss->items = write_off(q, living, loss->members != 0);
    hf_mutex_unlock(&q->put.lock);
    hf_mutex_unlock(&q->take.lock);
    HF_KILL(queue_settled);
    if (loss->items == 0) loss->members = 0;
    if (hf_queue_unfinished(q) == 0) hf_news_tell(&q->dones, HF_ALL, false);
    if (back != 0) hf_news_tell(&q->put.news, HF_ALL, false);
}

/* ---- closing ---- */

void hf_queue_shut(struct hf_queue *q, const struct hf_who *who, uint32_t how) {
    hf_queue_enter_take(q, who);
    hf_queue_enter_put(q, who);
    if (hf_load(&q->closed, HF_RELAXED) < how) hf_store(&q->closed, how, HF_RELEASE);
    /* before anybody can settle, who would write them off as well */
    if (how == 2) hf_add(&q->done, clear(q, who), HF_SEQ_CST);
    hf_mutex_unlock(&q->put.lock);
    hf_mutex_unlock(&q->take.lock);
    HF_KILL(queue_shut);
    hf_queue_nudge(q);
}

void hf_queue_dispose(struct hf_session *s, struct hf_queue *q) {
    if (hf_queue_on_shelf(q)) hf_shelf_dispose(s, q);
    else hf_fifo_dispose(s, q);
}

/* ---- the bell ---- */

int hf_queue_ring(struct hf_queue *q, int fd) {
    if (HF_LIKELY(hf_load(&q->bell.wanted, HF_RELAXED) == 0) || hf_load(&q->bell.rung, HF_RELAXED) == 1) return HF_OK;
    if (fd < 0) return HF_BELL;
    hf_store(&q->bell.rung, 1, HF_RELAXED); /* first: whoever finds it readable must find that it can be hushed */
    hf_bell_ring(fd);
    return HF_OK;
}

void hf_queue_want_bell(struct hf_queue *q, const struct hf_who *who, int fd) {
    hf_queue_enter_put(q, who);
    hf_store(&q->bell.wanted, 1, HF_RELAXED);
    if (hf_queue_size(q) != 0 || hf_load(&q->closed, HF_RELAXED) != 0) hf_queue_ring(q, fd);
    hf_mutex_unlock(&q->put.lock);
}

/* A take in progress, or broken off, leaves open what is queued: then the bell stays. */
void hf_queue_hush(struct hf_queue *q, const struct hf_who *who, int fd) {
    if (hf_load(&q->bell.rung, HF_RELAXED) == 0) return;
    hf_queue_enter_put(q, who);
    if (hf_queue_size(q) == 0 && hf_load(&q->take.intent, HF_RELAXED) == 0 && hf_load(&q->closed, HF_RELAXED) == 0) {
        hf_bell_hush(fd);
        hf_store(&q->bell.rung, 0, HF_RELAXED);
    }
    hf_mutex_unlock(&q->put.lock);
}
