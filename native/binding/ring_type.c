#include "native.h"

#include "../core/ring.h"

static void init(void *body, const void *how) {
    hf_ring_init(body, *(const uint64_t *)how);
}

static PyObject *ring_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *session, *where;
    long long asked = 65536 - HF_BODY_AT - (long long)sizeof(struct hf_ring);
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "OO|L", &session, &where, &asked)) return NULL;
    if (asked < 64) {
        PyErr_Format(PyExc_ValueError, "capacity must be at least 64 bytes, not %lld", asked);
        return NULL;
    }
    uint64_t capacity = (uint64_t)asked & ~7ull;
    struct hf_new how = {
        .kind = HF_KIND_RING, .nbytes = sizeof(struct hf_ring) + capacity, .init = init, .how = &capacity};
    return hf_handle_new(type, session, where, &how);
}

static struct hf_ring *of(PyObject *self) {
    return hf_body(self);
}

static PyObject *cannot_put(PyObject *self, int r, Py_ssize_t length) {
    if (r == HF_WRONG)
        PyErr_Format(PyExc_ValueError, "a record of %zd bytes can never fit a ring of %llu", length,
                     (unsigned long long)of(self)->capacity);
    else PyErr_SetString(PyExc_BrokenPipeError, "the ring is closed");
    return NULL;
}

static PyObject *put_view(PyObject *self, uint64_t tag, const Py_buffer *view, PyObject *timeout) {
    struct hf_ring *ring = of(self);
    struct hf_who who;
    uint64_t deadline;
    size_t length = (size_t)view->len;
    if (!hf_caller(self, &who)) return NULL;
    int r = hf_ring_put(ring, &who, tag, view->buf, length);
    if (r == HF_BUSY) {
        if (hf_deadline(timeout, &deadline) < 0) return NULL;
        struct hf_patience p = hf_patience_until(deadline);
        do {
            HF_WAIT(self, who, r, hf_ring_wait_room(ring, length, &p), failed);
            if (r == HF_TIMEOUT) Py_RETURN_FALSE;
            r = hf_ring_put(ring, &who, tag, view->buf, length);
        } while (r == HF_BUSY);
    }
    if (r == HF_OK) Py_RETURN_TRUE;
    return cannot_put(self, r, view->len);
failed:
    return NULL;
}

static PyObject *put(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    Py_buffer view;
    if (n < 2 || n > 3) {
        PyErr_Format(PyExc_TypeError, "put(tag, data, timeout=None) takes 2 or 3 arguments, not %zd", n);
        return NULL;
    }
    unsigned long long tag = PyLong_AsUnsignedLongLong(args[0]);
    if (PyErr_Occurred() || PyObject_GetBuffer(args[1], &view, PyBUF_SIMPLE) < 0) return NULL;
    PyObject *result = put_view(self, tag, &view, n == 3 ? args[2] : Py_None);
    PyBuffer_Release(&view);
    return result;
}

/* Under the take lock, begun: the record as (tag, bytes), or NULL with the record left where it was. */
static PyObject *finish(PyObject *self, const struct hf_record *record) {
    PyObject *data = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)record->length);
    if (data != NULL) hf_ring_copy(of(self), record, PyBytes_AsString(data));
    hf_ring_end(of(self), record, data != NULL);
    if (data == NULL) return NULL;
    return Py_BuildValue("KN", (unsigned long long)record->tag, data);
}

static PyObject *get(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    struct hf_ring *ring = of(self);
    struct hf_who who;
    struct hf_record record;
    uint64_t deadline;
    if (n > 1) {
        PyErr_Format(PyExc_TypeError, "get(timeout=None) takes at most 1 argument, not %zd", n);
        return NULL;
    }
    if (!hf_caller(self, &who)) return NULL;
    int r = hf_ring_begin(ring, &who, &record);
    if (r == HF_OK) return finish(self, &record);
    if (r == HF_BUSY) {
        if (hf_deadline(n == 1 ? args[0] : Py_None, &deadline) < 0) return NULL;
        struct hf_patience p = hf_patience_until(deadline);
        do {
            HF_WAIT(self, who, r, hf_ring_wait_record(ring, &p), failed);
            if (r == HF_TIMEOUT) Py_RETURN_NONE;
            r = hf_ring_begin(ring, &who, &record);
        } while (r == HF_BUSY);
        if (r == HF_OK) return finish(self, &record);
    }
    PyErr_SetString(PyExc_EOFError, "the ring is closed and empty");
failed:
    return NULL;
}

static PyObject *close_(PyObject *self, PyObject *unused) {
    struct hf_who who;
    (void)unused;
    if (!hf_caller(self, &who)) return NULL;
    hf_ring_close(of(self), &who);
    Py_RETURN_NONE;
}

static PyObject *closed(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(hf_load(&of(self)->closed, HF_RELAXED) != 0);
}

static Py_ssize_t length(PyObject *self) {
    return (Py_ssize_t)hf_ring_records(of(self));
}

static PyObject *get_capacity(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(of(self)->capacity);
}

static PyObject *get_used(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(hf_ring_used(of(self)));
}

static PyMethodDef methods[] = {
    {"put", HF_FAST(put), METH_FASTCALL, "put(tag, data, timeout=None, /)\n--\n\nAppend a record; False on timeout."},
    {"get", HF_FAST(get), METH_FASTCALL, "get(timeout=None, /)\n--\n\n(tag, data) of the oldest; None on timeout."},
    {"close", close_, METH_NOARGS, "No more records; what is inside can still be taken."},
    {"closed", closed, METH_NOARGS, "Was it closed?"},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"capacity", get_capacity, NULL, "Bytes, headers included.", NULL},
    {"used", get_used, NULL, "Bytes taken.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, ring_new},
    {Py_tp_dealloc, hf_handle_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {Py_sq_length, length},
    {Py_tp_doc, "A bounded queue of byte records between threads and processes."},
    {0, NULL},
};

PyType_Spec hf_ring_spec = {"holdfast.core._native.Ring", sizeof(HandleObject), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
