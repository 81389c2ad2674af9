/* get and its kin: bytes leave the store under its lock, and become an object when the lock is free again, since making
 * an object may run any Python. */
#include <string.h>

#include "queue.h"

#define ON_STACK 512
#define SCRATCH 65536
#define MOST_AT_ONCE 1024

/* A record on its way out: the bytes here, or in a block that we hold. */
struct arrival {
    uint32_t kind, length;
    unsigned char *bytes;    /* own, in small or in `owner` */
    PyObject *owner;         /* a bytes object, or NULL */
    PyObject *block;         /* of an item that has one: an object, since decoding may fork */
    unsigned char small[ON_STACK];
};

static PyObject *decode(PyObject *self, uint32_t kind, const void *data, size_t length, PyObject *block) {
    PyObject **way = hf_queue_object(self)->way;
    return hf_decode(kind, data, length, way[WAY_LOADS], way[WAY_UNPACK], block);
}

/* Long plain bytes, from their block. */
static PyObject *decode_outside(PyObject *self, uint32_t kind, PyObject *block) {
    size_t length = (size_t)hf_block_of(hf_body(block))->nbytes;
    if (kind != HF_CODE_BYTES) return decode(self, kind, hf_body(block), length, NULL);
    PyObject *object = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)length);
    if (object != NULL) hf_copy(PyBytes_AsString(object), hf_body(block), length);
    return object;
}

/* A reference of our own on an item's block, before the queue lets go of it. */
static PyObject *hold_block(PyObject *self, uint64_t offset, uint64_t uid) {
    PyTypeObject *type = (PyTypeObject *)hf_queue_object(self)->way[WAY_BLOCK];
    return hf_handle_share(type, ((HandleObject *)self)->session, HF_KIND_BLOCK, offset, uid);
}

/* ---- first in, first out ---- */

/* Under the take lock: the record at the cursor, taken if that works. */
static int receive(PyObject *self, struct hf_cursor *c, struct arrival *a) {
    struct hf_found f;
    hf_fifo_look(c, &f);
    a->kind = f.kind;
    a->length = f.length;
    a->owner = a->block = NULL;
    a->bytes = a->small;
    if (f.length > ON_STACK) {
        a->owner = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)f.length);
        if (a->owner == NULL) return -1;
        a->bytes = (unsigned char *)PyBytes_AsString(a->owner);
    }
    if (HF_UNLIKELY(f.block != 0) && (a->block = hold_block(self, f.block, f.block_uid)) == NULL) {
        Py_CLEAR(a->owner);
        hf_fifo_pass(c, &f); /* it cannot be had by anybody: out of the way */
        return -1;
    }
    hf_fifo_copy(c, &f, a->bytes);
    hf_fifo_pass(c, &f);
    return 0;
}

static PyObject *unfold(PyObject *self, struct arrival *a) {
    PyObject *object;
    if (a->block != NULL && a->kind != HF_CODE_PACKED) object = decode_outside(self, a->kind, a->block);
    else if (a->owner != NULL)
        object = hf_decode_bytes(a->kind, a->owner, hf_queue_object(self)->way[WAY_LOADS],
                                 hf_queue_object(self)->way[WAY_UNPACK], a->block);
    else object = decode(self, a->kind, a->bytes, a->length, a->block);
    Py_XDECREF(a->owner);
    Py_XDECREF(a->block);
    return object;
}

static void hush_if_empty(PyObject *self, const struct hf_who *who) {
    struct hf_queue *q = hf_queue_of(self);
    if (HF_LIKELY(hf_load(&q->bell.rung, HF_RELAXED) == 0) || hf_queue_object(self)->bell < 0) return;
    if (hf_queue_size(q) == 0) hf_queue_hush(q, who, hf_queue_object(self)->bell);
}

/* HF_OK: *object, or NULL with an exception. */
static int take_fifo(PyObject *self, const struct hf_who *who, PyObject **object) {
    struct hf_queue *q = hf_queue_of(self);
    struct hf_seat *seat = &hf_queue_object(self)->seat;
    struct hf_cursor c;
    struct arrival a;
    int r = hf_fifo_begin(q, who, seat, &c);
    if (r != HF_OK) return r;
    int failed = receive(self, &c, &a);
    hf_fifo_end(q, who, seat, &c);
    hush_if_empty(self, who);
    *object = failed < 0 ? NULL : unfold(self, &a);
    return HF_OK;
}

/* ---- the shelf ---- */

/* Note who has it, before anything can fail. */
static int owe(PyObject *self, const struct hf_who *who, const struct hf_lease *l) {
    QueueObject *q = hf_queue_object(self);
    if (q->owed == q->room_for_debts) {
        size_t room = q->room_for_debts == 0 ? 8 : 2 * q->room_for_debts;
        struct hf_debt *more = PyMem_Realloc(q->debts, room * sizeof *more);
        if (more == NULL) return -1;
        q->debts = more;
        q->room_for_debts = room;
    }
    if (q->owed == 0) Py_INCREF(self); /* who owes must be found again, even by a pickle */
    q->debts[q->owed++] = (struct hf_debt){l->lease, l->serial, who->member, who->thread, l->deliveries};
    return 0;
}

static PyObject *read_lease(PyObject *self, const struct hf_lease *l) {
    PyObject *block = l->block == 0 ? NULL : hold_block(self, l->block, l->block_uid), *object;
    if (l->block != 0 && block == NULL) return NULL;
    if (block != NULL && l->kind != HF_CODE_PACKED) object = decode_outside(self, l->kind, block);
    else object = decode(self, l->kind, l->data, l->length, block);
    Py_XDECREF(block);
    return object;
}

static int take_shelf(PyObject *self, const struct hf_who *who, bool dead, bool look, PyObject **object) {
    struct hf_queue *q = hf_queue_of(self);
    struct hf_seat *seat = &hf_queue_object(self)->seat;
    struct hf_lease l;
    int r = hf_shelf_take(q, who, seat, dead, look, &l);
    if (r != HF_OK) return r;
    bool keep = q->redeliver && !dead;
    if (keep && owe(self, who, &l) < 0) {
        hf_shelf_return(q, who, seat, l.lease, l.serial);
        return HF_NOMEM;
    }
    *object = read_lease(self, &l);
    struct hf_who now; /* reading may run any Python, and that may fork */
    if (!keep && hf_caller(self, &now)) hf_shelf_release(q, &now, seat, l.lease, l.serial);
    if (!dead) hush_if_empty(self, who);
    return HF_OK;
}

/* ---- get ---- */

static int take_one(PyObject *self, const struct hf_who *who, bool dead, bool look, PyObject **object) {
    if (hf_queue_on_shelf(hf_queue_of(self))) return take_shelf(self, who, dead, look, object);
    return dead ? HF_BUSY : take_fifo(self, who, object);
}

/* What an end that came to nothing raises. */
static PyObject *refuse(PyObject *self, int r) {
    if (r == HF_CLOSED) return hf_queue_raise(self, WAY_NO_GET);
    if (r == HF_NOMEM) return PyErr_NoMemory();
    return hf_queue_raise(self, WAY_EMPTY);
}

static PyObject *get_shared(PyObject *self, const struct hf_queue_args *how, bool dead) {
    struct hf_queue *q = hf_queue_of(self);
    struct hf_patience patience = {0, 0, false};
    struct hf_who who;
    PyObject *object = NULL;
    bool deserted = false;
    if (!hf_caller(self, &who)) return NULL;
    for (;;) {
        int r = take_one(self, &who, dead, dead || patience.tick != 0, &object);
        if (HF_LIKELY(r == HF_OK)) return object;
        if (r != HF_BUSY || deserted) return refuse(self, deserted ? HF_CLOSED : r);
        if (!hf_queue_usable(self)) return NULL; /* another thread has closed it, and nothing was there for us */
        hush_if_empty(self, &who);
        deserted = !hf_queue_has_peer(self); /* its last words may have come meanwhile: look once more */
        if (deserted) continue;
        if (!how->block) return hf_queue_raise(self, WAY_EMPTY);
        if (patience.tick == 0) patience = hf_patience_until(how->deadline);
        HF_QUEUE_WAIT(self, who, r, hf_queue_wait_item(q, &patience), failed);
        if (r == HF_TIMEOUT) return hf_queue_raise(self, WAY_EMPTY);
    }
failed:
    return NULL;
}

static PyObject *get_one(PyObject *self, const struct hf_queue_args *how) {
    if (!hf_queue_enter(self)) return NULL;
    bool local = hf_queue_object(self)->local != NULL;
    return hf_queue_leave(self, local ? hf_local_get(self, how) : get_shared(self, how, false));
}

static const struct hf_queue_call GET = {"get", 0, NULL, NULL, false};
static const struct hf_queue_call GET_MANY = {"get_many", 1, "max", NULL, true};

PyObject *hf_queue_get(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    struct hf_queue_args how;
    if (hf_queue_parse(&GET, args, n, names, &how) < 0) return NULL;
    return get_one(self, &how);
}

PyObject *hf_queue_get_nowait(PyObject *self, PyObject *unused) {
    struct hf_queue_args how = {NULL, NULL, 0, 0};
    (void)unused;
    return get_one(self, &how);
}

PyObject *hf_queue_get_dead(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    struct hf_queue_args how;
    if (hf_queue_parse(&GET, args, n, names, &how) < 0 || !hf_queue_enter(self)) return NULL;
    bool local = hf_queue_object(self)->local != NULL;
    return hf_queue_leave(self, local ? hf_queue_raise(self, WAY_EMPTY) : get_shared(self, &how, true));
}

/* Wait until a get would return an item, or raise because there will be none; false if time is up first. */
PyObject *hf_queue_await(PyObject *self, PyObject *timeout) {
    struct hf_queue *q = hf_queue_of(self);
    struct hf_who who;
    uint64_t deadline;
    int r;
    if (hf_queue_object(self)->local != NULL) return PyErr_Format(PyExc_TypeError, "not for local queues");
    if (hf_deadline(timeout, &deadline) < 0) return NULL;
    struct hf_patience p = hf_patience_until(deadline);
    for (;;) {
        if (hf_queue_size(q) != 0 || hf_load(&q->closed, HF_RELAXED) != 0 || !hf_queue_has_peer(self)) Py_RETURN_TRUE;
        if (!hf_queue_usable(self)) return NULL;
        if (deadline <= hf_now()) Py_RETURN_FALSE;
        HF_QUEUE_WAIT(self, who, r, hf_queue_wait_item(q, &p), failed);
    }
failed:
    return NULL;
}

/* ---- many ---- */

struct scrap {
    uint32_t kind, length;
};

/* Short records out of the store into `scratch`, under one lock. How many; 0: none that is short, or none (*r says). */
static uint32_t scoop(PyObject *self, const struct hf_who *who, unsigned char *scratch, struct scrap *scraps, uint32_t most,
                      int *r) {
    struct hf_queue *q = hf_queue_of(self);
    struct hf_seat *seat = &hf_queue_object(self)->seat;
    struct hf_cursor c;
    struct hf_found f;
    size_t used = 0;
    uint32_t n = 0;
    *r = hf_fifo_begin(q, who, seat, &c);
    if (*r != HF_OK) return 0;
    for (; n < most && hf_fifo_look(&c, &f) && f.block == 0 && used + f.length <= SCRATCH; n++) {
        hf_fifo_copy(&c, &f, scratch + used);
        hf_fifo_pass(&c, &f);
        scraps[n] = (struct scrap){f.kind, f.length};
        used += f.length;
    }
    hf_fifo_end(q, who, seat, &c);
    return n;
}

/* An error while reading items that are taken already must not lose the others: it carries them. */
static void carry(PyObject *list) {
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (value != NULL && PyObject_SetAttrString(value, "items", list) < 0) PyErr_Clear();
    PyErr_Restore(type, value, trace);
}

/* Read them all, whatever happens; -1 with the first exception. */
static int read_scraps(PyObject *self, const unsigned char *scratch, const struct scrap *scraps, uint32_t n,
                       PyObject *list) {
    PyObject *type = NULL, *value = NULL, *trace = NULL;
    for (uint32_t i = 0; i < n; scratch += scraps[i++].length) {
        PyObject *object = decode(self, scraps[i].kind, scratch, scraps[i].length, NULL);
        if (object != NULL && PyList_Append(list, object) == 0) {
            Py_DECREF(object);
            continue;
        }
        Py_XDECREF(object);
        if (type == NULL) PyErr_Fetch(&type, &value, &trace);
        else PyErr_Clear();
    }
    if (type == NULL) return 0;
    PyErr_Restore(type, value, trace);
    return -1;
}

/* What is there now, short items together and others one by one. 0, or -1 with an exception that carries the list. */
static int gather(PyObject *self, PyObject *list, size_t most, unsigned char *scratch, struct scrap *scraps) {
    struct hf_who who;
    bool fifo = !hf_queue_on_shelf(hf_queue_of(self));
    while ((size_t)PyList_Size(list) < most) {
        if (!hf_caller(self, &who)) return -1;
        size_t left = most - (size_t)PyList_Size(list);
        int r = HF_OK;
        uint32_t n = fifo ? scoop(self, &who, scratch, scraps, left < MOST_AT_ONCE ? (uint32_t)left : MOST_AT_ONCE, &r) : 0;
        if (n != 0 && (read_scraps(self, scratch, scraps, n, list) < 0 || PyErr_CheckSignals() < 0)) return -1;
        if (n != 0) continue;
        PyObject *object = NULL;
        if (r == HF_OK) r = take_one(self, &who, false, false, &object);
        if (r != HF_OK) break;
        int failed = object == NULL ? -1 : PyList_Append(list, object);
        Py_XDECREF(object);
        if (failed < 0) return -1;
    }
    if (hf_caller(self, &who)) hush_if_empty(self, &who);
    return 0;
}

static PyObject *gather_local(PyObject *self, PyObject *list, size_t most) {
    struct hf_queue_args at_once = {NULL, NULL, 0, 0};
    while ((size_t)PyList_Size(list) < most && hf_local_size(hf_queue_object(self)->local) != 0) {
        PyObject *object = hf_local_get(self, &at_once);
        if (object == NULL) { /* another thread was faster, or closed it */
            PyErr_Clear();
            break;
        }
        int failed = PyList_Append(list, object);
        Py_DECREF(object);
        if (failed < 0) return NULL;
    }
    return list;
}

static PyObject *gather_shared(PyObject *self, PyObject *list, size_t most) {
    unsigned char *scratch = PyMem_Malloc(SCRATCH + MOST_AT_ONCE * sizeof(struct scrap));
    if (scratch == NULL) return PyErr_NoMemory();
    struct scrap *scraps = (struct scrap *)(void *)(scratch + SCRATCH);
    int failed = gather(self, list, most, scratch, scraps);
    PyMem_Free(scratch);
    return failed < 0 ? NULL : list;
}

static size_t size_now(PyObject *self) {
    struct local_queue *local = hf_queue_object(self)->local;
    return local != NULL ? (size_t)hf_local_size(local) : (size_t)hf_queue_size(hf_queue_of(self));
}

static PyObject *get_many(PyObject *self, const struct hf_queue_args *how) {
    bool all = true;
    size_t most = 0;
    if (how->first != NULL && how->first != Py_None) {
        Py_ssize_t given = PyLong_AsSsize_t(how->first);
        if (given == -1 && PyErr_Occurred()) return NULL;
        if (given < 0) return PyErr_Format(PyExc_ValueError, "max=%zd must not be negative", given);
        if (given == 0) return PyList_New(0);
        most = (size_t)given;
        all = false;
    }
    PyObject *first = NULL, *list = PyList_New(0);
    bool local = hf_queue_object(self)->local != NULL;
    if (list == NULL) return NULL;
    /* shared: what is there at once; if that is nothing, wait for one. All means: all there are now, since a producer may
     * well keep up with us. */
    if (all) most = size_now(self);
    if (!local && hf_queue_size(hf_queue_of(self)) != 0 && gather_shared(self, list, most) == NULL) goto carried;
    if (PyList_Size(list) != 0) return list;
    first = get_one(self, how);
    if (first == NULL || PyList_Append(list, first) < 0) goto failed;
    Py_CLEAR(first);
    if (all) most = 1 + size_now(self);
    if ((local ? gather_local(self, list, most) : gather_shared(self, list, most)) != NULL) return list;
carried:
    carry(list);
failed:
    Py_XDECREF(first);
    Py_DECREF(list);
    return NULL;
}

PyObject *hf_queue_get_many(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    struct hf_queue_args how;
    if (hf_queue_parse(&GET_MANY, args, n, names, &how) < 0 || !hf_queue_enter(self)) return NULL;
    return hf_queue_leave(self, get_many(self, &how));
}
