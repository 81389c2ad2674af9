/* put and its kin: an object becomes bytes, long bytes go into a block of their own, and the store gets the item. */
#include <string.h>

#include "queue.h"

#define BATCH 64
#define LONGEST_KEY (1 << 20)

/* An item on its way into the store, with all that must be given up afterwards. */
struct parcel {
    struct hf_coded coded;
    struct hf_item item;
    struct hf_outbox sent;   /* handles in the pickle */
};

static void unwrap(struct parcel *p, bool put) {
    if (!put) hf_outbox_undo(&p->sent);
    Py_CLEAR(p->sent.handles);
    hf_coded_clear(&p->coded);
}

static int no_memory(uint64_t bytes) {
    PyErr_Format(PyExc_MemoryError,
                 "no shared memory left for an item of %llu bytes: take items out, lower max_bytes, or give the memory "
                 "file system more room",
                 (unsigned long long)bytes);
    return -1;
}

static void point_at_block(struct parcel *p) {
    struct hf_handle *h = &((HandleObject *)p->coded.block)->h;
    p->item.block = h->offset;
    p->item.block_uid = h->uid;
    p->item.outside = hf_block_of(h->body)->nbytes;
}

/* Move long plain bytes into a block. An object holds it and not a bare handle: while we copy, or wait for room, another
 * thread may fork, and the child's list of handles must not lead to a stack that is no more. */
static int wrap_outside(PyObject *self, struct parcel *p) {
    PyTypeObject *type = (PyTypeObject *)hf_queue_object(self)->way[WAY_BLOCK];
    struct hf_new how = {.kind = HF_KIND_BLOCK, .nbytes = p->coded.length};
    p->coded.block = hf_handle_new(type, ((HandleObject *)self)->session, Py_None, &how);
    if (p->coded.block == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_MemoryError)) return -1;
        PyErr_Clear();
        return no_memory(p->coded.length);
    }
    hf_copy(hf_body(p->coded.block), p->coded.data, p->coded.length);
    point_at_block(p);
    return 0;
}

/* Unless one is there already: another thread put meanwhile. */
static void keep_pad(QueueObject *q, struct hf_packer *packer) {
    if (q->buffers == NULL) {
        q->buffers = packer->buffers;
        q->keywords = packer->keywords;
        return;
    }
    Py_XDECREF(packer->buffers);
    Py_XDECREF(packer->keywords);
}

static int wrap(PyObject *self, PyObject *object, struct parcel *p) {
    QueueObject *q = hf_queue_object(self);
    struct hf_packer packer = {q->way[WAY_DUMPS], q->way[WAY_PACK], q->buffers, q->keywords};
    q->buffers = q->keywords = NULL;
    hf_outbox_open(&p->sent);
    int r = hf_encode(object, &packer, &p->coded);
    hf_outbox_close(&p->sent);
    keep_pad(q, &packer);
    if (r < 0) hf_outbox_undo(&p->sent);
    if (r < 0) return -1;
    p->item = (struct hf_item){.kind = p->coded.kind};
    if (HF_UNLIKELY(p->coded.length > HF_FIFO_LONGEST - 64)) {
        p->item.outside = p->coded.length;
        return 0;
    }
    p->item.data = p->coded.data;
    p->item.length = (uint32_t)p->coded.length;
    if (p->coded.block != NULL) point_at_block(p);
    return 0;
}

static uint64_t weight(struct hf_queue *q, const struct hf_item *item) {
    return hf_queue_on_shelf(q) ? hf_shelf_weight(item) : hf_fifo_weight(item);
}

/* Items to the store; *put of them are there when this returns. */
static int store(PyObject *self, const struct hf_who *who, const struct hf_item *items, uint32_t n, uint32_t *put) {
    struct hf_queue *q = hf_queue_of(self);
    int bell = hf_queue_object(self)->bell, r;
    *put = 0;
    if (!hf_queue_on_shelf(q)) return hf_fifo_put(q, who, items, n, put, bell);
    do r = hf_shelf_put(q, who, &items[*put], bell);
    while (r == HF_OK && ++*put < n);
    return r;
}

/* Raise what r means; NULL. */
static PyObject *refuse(PyObject *self, int r, const struct hf_item *item) {
    struct hf_queue *q = hf_queue_of(self);
    if (r == HF_TIMEOUT || r == HF_BUSY) return hf_queue_raise(self, WAY_FULL);
    if (r == HF_CLOSED) return hf_queue_raise(self, WAY_NO_PUT);
    if (r == HF_NOMEM) return no_memory(weight(q, item)), NULL;
    return PyErr_Format(PyExc_ValueError,
                        "%llu bytes can never fit into max_bytes=%llu: send less at once, or make the queue with more",
                        (unsigned long long)weight(q, item), (unsigned long long)q->max_bytes);
}

/* Put items[0..n), waiting as `how` says. Returns how many; fewer than n: with an exception. */
static uint32_t deliver(PyObject *self, const struct hf_item *items, uint32_t n, const struct hf_queue_args *how) {
    struct hf_queue *q = hf_queue_of(self);
    struct hf_patience patience = {0, 0, false};
    struct hf_who who;
    uint32_t all = 0, put;
    int r;
    if (!hf_queue_usable(self) || !hf_caller(self, &who)) return 0; /* closed, perhaps, while the item was pickled */
    for (;;) {
        if (!hf_queue_has_peer(self)) {
            hf_queue_raise(self, WAY_NO_PUT);
            return all;
        }
        r = store(self, &who, items + all, n - all, &put);
        all += put;
        if (r == HF_OK) return all;
        if (r == HF_BELL) {
            if (hf_queue_bell(self) < 0) return all;
            continue;
        }
        if (r != HF_BUSY || !how->block) break;
        if (!hf_queue_usable(self)) return all; /* another thread has closed it */
        if (patience.tick == 0) patience = hf_patience_until(how->deadline);
        HF_QUEUE_WAIT(self, who, r, hf_queue_wait_room(q, weight(q, &items[all]), &patience), failed);
        if (r == HF_TIMEOUT) break;
    }
    refuse(self, r, &items[all]);
failed:
    return all;
}

/* Wait for room before a block is made and filled. 0, or -1 with an exception. */
static int await_room(PyObject *self, const struct hf_item *item, const struct hf_queue_args *how) {
    struct hf_queue *q = hf_queue_of(self);
    struct hf_who who;
    int r;
    uint64_t bytes = weight(q, item);
    if (bytes > q->max_bytes) return refuse(self, HF_WRONG, item), -1;
    struct hf_patience p = hf_patience_until(how->block ? how->deadline : hf_now());
    while (hf_load(&q->closed, HF_RELAXED) == 0 && hf_queue_has_peer(self) && !hf_queue_may_fit(q, bytes)) {
        if (!hf_queue_usable(self)) return -1;
        HF_QUEUE_WAIT(self, who, r, hf_queue_wait_room(q, bytes, &p), failed);
        if (r == HF_TIMEOUT) break; /* the put itself looks under the lock, and says so */
    }
    return 0;
failed:
    return -1;
}

static PyObject *put_shared(PyObject *self, PyObject *object, PyObject *key, const struct hf_queue_args *how) {
    struct parcel p;
    bool done = false;
    if (wrap(self, object, &p) < 0) return NULL;
    if (key != NULL) {
        p.item.key = PyBytes_AsString(key);
        p.item.key_length = (uint32_t)PyBytes_Size(key);
    }
    if (HF_UNLIKELY(p.item.outside != 0)) {
        if (await_room(self, &p.item, how) < 0) goto end;
        if (p.item.block == 0 && wrap_outside(self, &p) < 0) goto end;
    }
    done = deliver(self, &p.item, 1, how) == 1;
end:
    unwrap(&p, done);
    if (done) Py_RETURN_NONE;
    return NULL;
}

static PyObject *put_one(PyObject *self, PyObject *object, PyObject *key, const struct hf_queue_args *how) {
    if (HF_UNLIKELY(object == NULL)) {
        PyErr_SetString(PyExc_TypeError, "put() missing 1 required argument: 'item'");
        return NULL;
    }
    if (!hf_queue_enter(self)) return NULL;
    bool local = hf_queue_object(self)->local != NULL;
    return hf_queue_leave(self, local ? hf_local_put(self, object, key, how) : put_shared(self, object, key, how));
}

static const struct hf_queue_call PUT = {"put", 1, "item", "obj", false};
static const struct hf_queue_call PUT_NOWAIT = {"put_nowait", 1, "item", "obj", false};
static const struct hf_queue_call PUT_KEYED = {"put", 2, NULL, NULL, false};
static const struct hf_queue_call PUT_MANY = {"put_many", 1, "items", NULL, false};

PyObject *hf_queue_put(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    struct hf_queue_args how;
    if (hf_queue_parse(&PUT, args, n, names, &how) < 0) return NULL;
    return put_one(self, how.first, NULL, &how);
}

PyObject *hf_queue_put_nowait(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    struct hf_queue_args how;
    if (n + (names == NULL ? 0 : PyTuple_Size(names)) != 1)
        return PyErr_Format(PyExc_TypeError, "put_nowait() takes exactly 1 argument: 'item'");
    if (hf_queue_parse(&PUT_NOWAIT, args, n, names, &how) < 0) return NULL;
    how.block = 0;
    return put_one(self, how.first, NULL, &how);
}

PyObject *hf_queue_put_keyed(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    struct hf_queue_args how;
    if (hf_queue_parse(&PUT_KEYED, args, n, names, &how) < 0) return NULL;
    if (how.first == NULL || !PyBytes_Check(how.first)) {
        PyErr_SetString(PyExc_TypeError, "a key is bytes");
        return NULL;
    }
    if (PyBytes_Size(how.first) > LONGEST_KEY && hf_queue_object(self)->local == NULL)
        return PyErr_Format(PyExc_ValueError, "what the item is ordered by has %zd bytes, which is more than %d: give a "
                            "shorter priority=", PyBytes_Size(how.first), LONGEST_KEY);
    return put_one(self, how.second, how.first, &how);
}

/* ---- many ---- */

static void note_count(uint64_t count) {
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    PyObject *number = PyLong_FromUnsignedLongLong(count);
    if (value == NULL || number == NULL || PyObject_SetAttrString(value, "count", number) < 0) PyErr_Clear();
    Py_XDECREF(number);
    PyErr_Restore(type, value, trace);
}

/* The batch goes in, and is emptied; -1 with an exception. */
static int flush(PyObject *self, struct parcel *batch, uint32_t *n, uint64_t *count, const struct hf_queue_args *how) {
    struct hf_item items[BATCH];
    uint32_t all = *n;
    for (uint32_t i = 0; i < all; i++) items[i] = batch[i].item;
    uint32_t put = all == 0 ? 0 : deliver(self, items, all, how);
    for (uint32_t i = 0; i < all; i++) unwrap(&batch[i], i < put);
    *count += put;
    *n = 0;
    return put == all ? 0 : -1;
}

/* The next of the iterator into the batch. 1, 0 at the end, -1 with an exception (the item is not in the batch). */
static int next_parcel(PyObject *self, PyObject *iterator, struct parcel *p) {
    PyObject *object = PyIter_Next(iterator);
    if (object == NULL) return PyErr_Occurred() ? -1 : 0;
    int r = wrap(self, object, p);
    if (r == 0 && p->coded.owner == NULL) p->coded.owner = object; /* what was encoded must live until it is stored */
    else Py_DECREF(object);
    return r < 0 ? -1 : 1;
}

/* Before an exception goes on: what was encoded before it is put all the same. */
static void flush_and_restore(PyObject *self, struct parcel *batch, uint32_t *n, uint64_t *count,
                              const struct hf_queue_args *how) {
    PyObject *type, *value, *trace;
    struct hf_queue_args now = *how;
    if (!PyErr_ExceptionMatches(PyExc_Exception)) now.block = 0; /* Ctrl-C does not wait for room */
    PyErr_Fetch(&type, &value, &trace);
    if (flush(self, batch, n, count, &now) < 0) PyErr_Clear();
    PyErr_Restore(type, value, trace);
}

/* What makes its items one by one may wait for what becomes of the one before: it is not kept waiting for a batch. */
static uint32_t batch_of(PyObject *items) {
    bool there = PyList_Check(items) || PyTuple_Check(items) || PyDict_Check(items) || PyAnySet_Check(items) ||
                 PyBytes_Check(items) || Py_IS_TYPE(items, &PyRange_Type);
    return there ? BATCH : 1;
}

static int put_all(PyObject *self, PyObject *iterator, struct parcel *batch, uint64_t *count,
                   const struct hf_queue_args *how) {
    uint32_t n = 0, most = batch_of(how->first);
    for (;;) {
        int r = next_parcel(self, iterator, &batch[n]);
        if (r < 0) flush_and_restore(self, batch, &n, count, how);
        if (r < 0) return -1;
        if (r == 0) return flush(self, batch, &n, count, how);
        if (batch[n].item.outside == 0) {
            if (++n == most && flush(self, batch, &n, count, how) < 0) return -1;
            continue;
        }
        struct parcel big = batch[n]; /* a large one goes alone; it has nothing in its own `small`, which moved */
        r = flush(self, batch, &n, count, how);
        if (r == 0) r = await_room(self, &big.item, how);
        if (r == 0 && big.item.block == 0) r = wrap_outside(self, &big);
        if (r == 0 && deliver(self, &big.item, 1, how) != 1) r = -1;
        unwrap(&big, r == 0);
        if (r < 0) return -1;
        ++*count;
    }
}

static PyObject *put_many_local(PyObject *self, PyObject *iterator, const struct hf_queue_args *how) {
    PyObject *object;
    uint64_t count = 0;
    for (; (object = PyIter_Next(iterator)) != NULL; count++) {
        PyObject *done = hf_local_put(self, object, NULL, how);
        Py_DECREF(object);
        if (done == NULL) {
            note_count(count);
            return NULL;
        }
        Py_DECREF(done);
    }
    if (!PyErr_Occurred()) Py_RETURN_NONE;
    note_count(count);
    return NULL;
}

PyObject *hf_queue_put_many(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    struct hf_queue_args how;
    if (hf_queue_parse(&PUT_MANY, args, n, names, &how) < 0) return NULL;
    if (how.first == NULL) return PyErr_Format(PyExc_TypeError, "put_many() missing 1 required argument: 'items'");
    PyObject *iterator = PyObject_GetIter(how.first);
    if (iterator == NULL) return NULL;
    if (!hf_queue_enter(self)) {
        Py_DECREF(iterator);
        return NULL;
    }
    PyObject *result = NULL;
    if (hf_queue_object(self)->local != NULL) {
        result = put_many_local(self, iterator, &how);
    } else {
        struct parcel *batch = PyMem_Malloc(BATCH * sizeof *batch);
        uint64_t count = 0;
        if (batch == NULL) PyErr_NoMemory();
        else if (put_all(self, iterator, batch, &count, &how) == 0) result = Py_NewRef(Py_None);
        else note_count(count);
        PyMem_Free(batch);
    }
    Py_DECREF(iterator);
    return hf_queue_leave(self, result);
}
