/* The local store: references to objects, in this process's own memory. Under the GIL, which is given up only to wait;
 * nothing in here runs Python while it changes the store. (A build without the GIL needs a critical section around each
 * change; there is no such build of the stable ABI yet.)
 *
 *   first in first out: slot[head .. head + n), round and round
 *   last in first out:  the same, taken from the other end
 *   priority:           slot[0 .. n) is a binary heap, by key and then by serial
 */
#include <stdlib.h>
#include <string.h>

#include "queue.h"

struct slot {
    PyObject *item;
    PyObject *key; /* bytes; priority only */
    uint64_t serial;
};

struct local_queue {
    struct slot *slot;
    size_t room, head, n;
    uint64_t in, done, maxsize;
    uint32_t flavour, closed;
    struct hf_news puts, takes, dones;
    hf_a32 put_cpu, take_cpu;
    struct hf_bell bell;
};

struct local_queue *hf_local_new(uint32_t flavour, uint64_t maxsize) {
    struct local_queue *l = calloc(1, sizeof *l);
    if (l == NULL) return NULL;
    l->flavour = flavour;
    l->maxsize = maxsize;
    hf_store(&l->put_cpu, HF_NO_CPU, HF_RELAXED);
    hf_store(&l->take_cpu, HF_NO_CPU, HF_RELAXED);
    return l;
}

static struct slot *at(struct local_queue *l, size_t i) {
    return &l->slot[l->flavour == HF_PRIORITY ? i : (l->head + i) & (l->room - 1)];
}

int hf_local_traverse(struct local_queue *l, visitproc visit, void *arg) {
    for (size_t i = 0; i < l->n; i++) {
        Py_VISIT(at(l, i)->item);
        Py_VISIT(at(l, i)->key);
    }
    return 0;
}

void hf_local_clear(struct local_queue *l) {
    while (l->n != 0) { /* dropping may run any Python, and that may put */
        struct slot last = *at(l, --l->n);
        Py_DECREF(last.item);
        Py_XDECREF(last.key);
    }
}

void hf_local_free(struct local_queue *l) {
    free(l->slot);
    free(l);
}

/* ---- the store ---- */

static bool grow(struct local_queue *l) {
    size_t room = l->room == 0 ? 16 : 2 * l->room;
    struct slot *more = malloc(room * sizeof *more);
    if (more == NULL) return false;
    for (size_t i = 0; i < l->n; i++) more[i] = *at(l, i);
    free(l->slot);
    l->slot = more;
    l->room = room;
    l->head = 0;
    return true;
}

static bool before(const struct slot *a, const struct slot *b) {
    size_t n = (size_t)PyBytes_Size(a->key), m = (size_t)PyBytes_Size(b->key);
    int order = memcmp(PyBytes_AsString(a->key), PyBytes_AsString(b->key), n < m ? n : m);
    if (order != 0) return order < 0;
    return n != m ? n < m : a->serial < b->serial;
}

static void sift_up(struct slot *heap, size_t i) {
    struct slot it = heap[i];
    for (; i != 0 && before(&it, &heap[(i - 1) / 2]); i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = it;
}

static void sift_down(struct slot *heap, size_t n) {
    struct slot it = heap[0];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(&heap[child + 1], &heap[child])) child++;
        if (!before(&heap[child], &it)) break;
        heap[i] = heap[child];
    }
    heap[i] = it;
}

static void insert(struct local_queue *l, PyObject *item, PyObject *key) {
    Py_INCREF(item);
    Py_XINCREF(key);
    *at(l, l->n++) = (struct slot){item, key, l->in++};
    if (l->flavour == HF_PRIORITY) sift_up(l->slot, l->n - 1);
}

/* The next item; the caller has its reference. */
static PyObject *extract(struct local_queue *l) {
    struct slot taken;
    l->n--;
    if (l->flavour == HF_LIFO) {
        taken = *at(l, l->n);
    } else if (l->flavour == HF_FIFO) {
        taken = l->slot[l->head];
        l->head = (l->head + 1) & (l->room - 1);
    } else {
        taken = l->slot[0];
        l->slot[0] = l->slot[l->n];
        if (l->n > 1) sift_down(l->slot, l->n);
    }
    Py_XDECREF(taken.key); /* bytes: runs no Python */
    return taken.item;
}

/* ---- put and get ---- */

static bool full(const struct local_queue *l) {
    return l->maxsize != 0 && l->n >= l->maxsize;
}

static int wait_for(struct hf_news *news, const hf_a32 *cpu, uint32_t seen, struct hf_patience *p) {
    if (hf_spin(&news->counter, seen, hf_load((hf_a32 *)cpu, HF_RELAXED), HF_SPIN_NS)) return HF_OK;
    return hf_rested(hf_news_sleep(news, seen, p), p);
}

/* HF_OK (look again), HF_TIMEOUT, or -1 with an exception. `seen` was read with the GIL, before the look. */
static int pause_for(struct hf_news *news, const hf_a32 *cpu, uint32_t seen, struct hf_patience *p) {
    int r;
    Py_BEGIN_ALLOW_THREADS r = wait_for(news, cpu, seen, p);
    Py_END_ALLOW_THREADS if (r == HF_INTR) return PyErr_CheckSignals() < 0 ? -1 : HF_OK;
    return r;
}

static int ring(PyObject *self, struct local_queue *l) {
    if (HF_LIKELY(l->bell.wanted == 0) || l->bell.rung) return 0;
    int fd = hf_queue_bell(self);
    if (fd < 0) return -1;
    hf_bell_ring(fd);
    l->bell.rung = 1;
    return 0;
}

PyObject *hf_local_put(PyObject *self, PyObject *item, PyObject *key, const struct hf_queue_args *how) {
    struct local_queue *l = hf_queue_object(self)->local;
    struct hf_patience p = {0, 0, false};
    for (;;) {
        uint32_t seen = hf_news_seen(&l->takes);
        if (l->closed) return hf_queue_raise(self, WAY_NO_PUT);
        if (!full(l)) break;
        if (!hf_queue_usable(self)) return NULL; /* another thread has closed it */
        if (!how->block) return hf_queue_raise(self, WAY_FULL);
        if (p.tick == 0) p = hf_patience_until(how->deadline);
        int r = pause_for(&l->takes, &l->take_cpu, seen, &p);
        if (r == HF_TIMEOUT) return hf_queue_raise(self, WAY_FULL);
        if (r < 0) return NULL;
    }
    if (ring(self, l) < 0) return NULL;
    if (l->n == l->room && !grow(l)) return PyErr_NoMemory();
    insert(l, item, key);
    hf_store(&l->put_cpu, hf_cpu(), HF_RELAXED);
    hf_news_tell(&l->puts, 1, false);
    Py_RETURN_NONE;
}

PyObject *hf_local_get(PyObject *self, const struct hf_queue_args *how) {
    struct local_queue *l = hf_queue_object(self)->local;
    struct hf_patience p = {0, 0, false};
    for (;;) {
        uint32_t seen = hf_news_seen(&l->puts);
        if (l->closed == 2 || (l->closed && l->n == 0)) return hf_queue_raise(self, WAY_NO_GET);
        if (l->n != 0) break;
        if (!hf_queue_usable(self)) return NULL; /* another thread has closed it */
        if (!how->block) return hf_queue_raise(self, WAY_EMPTY);
        if (p.tick == 0) p = hf_patience_until(how->deadline);
        int r = pause_for(&l->puts, &l->put_cpu, seen, &p);
        if (r == HF_TIMEOUT) return hf_queue_raise(self, WAY_EMPTY);
        if (r < 0) return NULL;
    }
    PyObject *item = extract(l);
    hf_store(&l->take_cpu, hf_cpu(), HF_RELAXED);
    hf_news_tell(&l->takes, 1, false);
    if (HF_UNLIKELY(l->bell.rung) && l->n == 0 && !l->closed) {
        hf_bell_hush(hf_queue_object(self)->bell);
        l->bell.rung = 0;
    }
    return item;
}

/* ---- the rest ---- */

Py_ssize_t hf_local_size(struct local_queue *l) {
    return l->closed == 2 ? 0 : (Py_ssize_t)l->n;
}

uint64_t hf_local_unfinished(struct local_queue *l) {
    return l->in - l->done;
}

uint32_t hf_local_closed(struct local_queue *l) {
    return l->closed;
}

uint64_t hf_local_maxsize(struct local_queue *l) {
    return l->maxsize;
}

void hf_local_set_maxsize(struct local_queue *l, uint64_t maxsize) {
    l->maxsize = maxsize;
    hf_news_tell(&l->takes, HF_ALL, false);
}

struct hf_bell *hf_local_bell(struct local_queue *l) {
    return &l->bell;
}

int hf_local_done(struct local_queue *l) {
    if (l->done == l->in) return HF_WRONG;
    if (++l->done == l->in) hf_news_tell(&l->dones, HF_ALL, false);
    return HF_OK;
}

PyObject *hf_local_join(PyObject *self, uint64_t deadline) {
    struct local_queue *l = hf_queue_object(self)->local;
    struct hf_patience p = hf_patience_until(deadline);
    for (;;) {
        uint32_t seen = hf_news_seen(&l->dones);
        if (l->done == l->in) Py_RETURN_TRUE;
        int r = pause_for(&l->dones, &l->put_cpu, seen, &p);
        if (r == HF_TIMEOUT) Py_RETURN_FALSE;
        if (r < 0) return NULL;
    }
}

void hf_local_nudge(struct local_queue *l) {
    hf_news_tell(&l->puts, HF_ALL, false);
    hf_news_tell(&l->takes, HF_ALL, false);
    hf_news_tell(&l->dones, HF_ALL, false);
}

void hf_local_shut(struct local_queue *l, uint32_t how) {
    if (l->closed < how) l->closed = how;
    if (how == 2) {
        uint64_t thrown = l->n, open = l->in - l->done;
        l->done += thrown < open ? thrown : open;
        hf_local_clear(l);
    }
    hf_local_nudge(l);
}
