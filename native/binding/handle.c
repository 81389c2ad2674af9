/* The base of every handle: a reference of this process to one block. */
#include "native.h"

#include <string.h>

bool hf_caller_slow(struct hf_session *s, struct hf_who *who) {
    if (hf_who_am_i(s, who)) return true;
    PyErr_Format(PyExc_RuntimeError, "%u processes share this session already: no room for another", HF_SLOTS);
    return false;
}

static PyObject *fail(int result, const struct hf_new *how) {
    switch (result) {
    case HF_NOMEM:
        PyErr_Format(PyExc_MemoryError, "no shared memory left for %llu bytes: the memory file system is full",
                     (unsigned long long)how->nbytes);
        break;
    case HF_WRONG: PyErr_Format(PyExc_FileExistsError, "name='%s' exists already", how->name); break;
    default: PyErr_Format(PyExc_FileNotFoundError, "nothing of this kind has name='%s'", how->name); break;
    }
    return NULL;
}

static int open_named(struct hf_session *s, const struct hf_who *who, PyObject *name, PyObject *mode,
                      struct hf_new *how, struct hf_handle *h) {
    char *text;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(name, &text, &length) < 0) return -1;
    if (length == 0 || length > HF_MAX_NAME) {
        PyErr_Format(PyExc_ValueError, "a name has 1 to %u bytes, not %zd", HF_MAX_NAME, length);
        return -1;
    }
    how->mode = (int)PyLong_AsLong(mode);
    if (PyErr_Occurred()) return -1;
    how->name = text;
    how->name_length = (uint32_t)length;
    return hf_make(s, who, how, h);
}

static int open_where(struct hf_session *s, PyObject *where, struct hf_new *how, struct hf_handle *h) {
    struct hf_who who;
    if (!hf_caller_slow(s, &who)) return -1;
    if (where == Py_None) return hf_make(s, &who, how, h);
    if (!PyTuple_Check(where) || PyTuple_Size(where) != 2) {
        PyErr_Format(PyExc_TypeError, "where=%R: None, (offset, uid) or (name, mode)", where);
        return -1;
    }
    PyObject *first = PyTuple_GetItem(where, 0), *second = PyTuple_GetItem(where, 1);
    if (PyBytes_Check(first)) return open_named(s, &who, first, second, how, h);
    unsigned long long offset = PyLong_AsUnsignedLongLong(first), uid = PyLong_AsUnsignedLongLong(second);
    if (PyErr_Occurred()) return -1;
    int r = hf_attach(s, &who, how->kind, offset, uid, h);
    if (r == HF_OK) return HF_BUSY; /* it was there */
    PyErr_Format(PyExc_LookupError, "object %llu at %llu is gone: it was freed before its pickle arrived", uid, offset);
    return -1;
}

PyObject *hf_handle_new(PyTypeObject *type, PyObject *session, PyObject *where, struct hf_new *how) {
    struct hf_session *s = hf_session_from(session);
    if (s == NULL) return NULL;
    HandleObject *self = (HandleObject *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL) return NULL;
    int r = open_where(s, where, how, &self->h);
    if (r != HF_OK && r != HF_BUSY) {
        Py_DECREF(self);
        return r < 0 ? NULL : fail(r, how);
    }
    self->s = s;
    self->kind = (uint32_t)how->kind;
    self->created = r == HF_OK;
    self->session = session;
    Py_INCREF(session);
    return (PyObject *)self;
}

PyObject *hf_handle_share(PyTypeObject *type, PyObject *session, enum hf_kind kind, uint64_t offset, uint64_t uid) {
    struct hf_who who;
    struct hf_session *s = hf_session_from(session);
    if (s == NULL || !hf_caller_slow(s, &who)) return NULL;
    HandleObject *self = (HandleObject *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL) return NULL;
    if (hf_share(s, &who, kind, offset, uid, &self->h) != HF_OK) {
        Py_DECREF(self);
        PyErr_SetString(PyExc_LookupError, "the payload of this item is gone");
        return NULL;
    }
    self->s = s;
    self->kind = (uint32_t)kind;
    self->session = session;
    Py_INCREF(session);
    return (PyObject *)self;
}

void hf_handle_dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    HandleObject *self = (HandleObject *)object;
    if (self->session != NULL) {
        hf_drop(self->s, &self->h);
        Py_DECREF(self->session);
    }
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static struct hf_block *block_of(PyObject *self) {
    return hf_block_of(hf_body(self));
}

static PyObject *get_session(PyObject *self, void *unused) {
    (void)unused;
    PyObject *session = ((HandleObject *)self)->session;
    return Py_NewRef(session == NULL ? Py_None : session); /* none: a local queue */
}

static PyObject *get_offset(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(((HandleObject *)self)->h.offset);
}

static PyObject *get_uid(PyObject *self, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(((HandleObject *)self)->h.uid);
}

static PyObject *get_created(PyObject *self, void *unused) {
    (void)unused;
    return PyBool_FromLong(((HandleObject *)self)->created);
}

static PyObject *get_name(PyObject *self, void *unused) {
    (void)unused;
    if (((HandleObject *)self)->h.uid == 0) Py_RETURN_NONE;
    struct hf_block *b = block_of(self);
    if (b->name_length == 0) Py_RETURN_NONE;
    return PyBytes_FromStringAndSize(hf_name_of(b), (Py_ssize_t)b->name_length);
}

/* A handle whose block is gone stands on private memory that has no block before it. */
static bool has_block(PyObject *self) {
    return ((HandleObject *)self)->h.uid != 0;
}

static _Thread_local struct hf_outbox *innermost;

void hf_outbox_open(struct hf_outbox *box) {
    *box = (struct hf_outbox){innermost, NULL};
    innermost = box;
}

void hf_outbox_close(struct hf_outbox *box) {
    innermost = box->outer;
}

static int note_sent(PyObject *handle) {
    if (innermost == NULL) return 0;
    if (innermost->handles == NULL && (innermost->handles = PyList_New(0)) == NULL) return -1;
    return PyList_Append(innermost->handles, handle);
}

void hf_outbox_undo(struct hf_outbox *box) {
    PyObject *handles = box->handles;
    box->handles = NULL;
    for (Py_ssize_t i = 0; handles != NULL && i < PyList_Size(handles); i++) {
        PyObject *handle = PyList_GetItem(handles, i);
        if (has_block(handle)) hf_count_arrival(block_of(handle));
    }
    Py_XDECREF(handles);
}

PyObject *hf_outbox_undo_here(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    if (innermost != NULL) hf_outbox_undo(innermost);
    Py_RETURN_NONE;
}

static PyObject *sent(PyObject *self, PyObject *unused) {
    (void)unused;
    if (!has_block(self)) Py_RETURN_NONE;
    if (note_sent(self) < 0) return NULL;
    hf_add(&block_of(self)->sent, 1, HF_RELAXED);
    Py_RETURN_NONE;
}

static PyObject *received(PyObject *self, PyObject *unused) {
    (void)unused;
    if (has_block(self)) hf_count_arrival(block_of(self));
    Py_RETURN_NONE;
}

static PyObject *pending(PyObject *self, PyObject *unused) {
    (void)unused;
    if (!has_block(self)) Py_RETURN_FALSE;
    struct hf_block *b = block_of(self);
    return PyBool_FromLong((int32_t)(hf_load(&b->sent, HF_RELAXED) - hf_load(&b->received, HF_RELAXED)) > 0);
}

/* Dropping it need not wait for children that may not have taken their references yet: see bury in alloc.c. */
static PyObject *settled(PyObject *self, PyObject *unused) {
    HandleObject *h = (HandleObject *)self;
    (void)unused;
    h->h.forks = hf_load(&h->s->forks, HF_RELAXED);
    Py_RETURN_NONE;
}

static PyObject *unname(PyObject *self, PyObject *unused) {
    struct hf_who who;
    (void)unused;
    if (!has_block(self)) Py_RETURN_NONE;
    if (!hf_caller(self, &who)) return NULL;
    hf_unname(who.session, &who, block_of(self));
    Py_RETURN_NONE;
}

PyMethodDef hf_handle_methods[] = {
    {"sent", sent, METH_NOARGS, "Count one pickle on its way."},
    {"received", received, METH_NOARGS, "Count one arrival."},
    {"_pending", pending, METH_NOARGS, "Is a pickle of it on its way?"},
    {"_settled", settled, METH_NOARGS, "Every child forked so far has taken its own reference: drop ours at once."},
    {"unlink", unname, METH_NOARGS, "Forget the name."},
    {NULL, NULL, 0, NULL},
};

PyGetSetDef hf_handle_getset[] = {
    {"session", get_session, NULL, NULL, NULL},
    {"offset", get_offset, NULL, NULL, NULL},
    {"uid", get_uid, NULL, NULL, NULL},
    {"created", get_created, NULL, "Was it made by this call (and not found)?", NULL},
    {"name", get_name, NULL, "Its name in bytes, or None.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, hf_handle_dealloc},
    {Py_tp_methods, hf_handle_methods},
    {Py_tp_getset, hf_handle_getset},
    {Py_tp_doc, "A reference of this process to one shared object."},
    {0, NULL},
};

PyType_Spec hf_handle_spec = {"holdfast.core._native.Handle", sizeof(HandleObject), 0,
                              Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
