#include "native.h"

#include "../core/condition.h"

static void init(void *body, const void *how) {
    hf_condition_init(body, *(const uint64_t *)how);
}

static PyObject *waiters_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *session, *where;
    unsigned long long lock = 0;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "OO|K", &session, &where, &lock)) return NULL;
    uint64_t link = lock == 0 ? 0 : lock + HF_BODY_AT;
    struct hf_new how = {
        .kind = HF_KIND_CONDITION, .nbytes = sizeof(struct hf_condition), .init = init, .how = &link};
    return hf_handle_new(type, session, where, &how);
}

/* A ticket is the distance of our entry from the start of the arena. */
static struct hf_entry *entry_of(PyObject *self, PyObject *ticket) {
    struct hf_session *s = ((HandleObject *)self)->s;
    unsigned long long at = PyLong_AsUnsignedLongLong(ticket);
    if (PyErr_Occurred()) return NULL;
    char *where = ((HandleObject *)self)->h.uid != 0 ? s->base : (char *)hf_body(self);
    return (struct hf_entry *)(void *)(where + at);
}

static PyObject *enter(PyObject *self, PyObject *unused) {
    struct hf_who who;
    (void)unused;
    if (!hf_caller(self, &who)) return NULL;
    struct hf_entry *e = hf_condition_enter(hf_body(self), &who);
    if (e == NULL) return PyErr_NoMemory();
    char *where = ((HandleObject *)self)->h.uid != 0 ? who.session->base : (char *)hf_body(self);
    return PyLong_FromUnsignedLongLong((unsigned long long)((char *)e - where));
}

static PyObject *wait_(PyObject *self, PyObject *args) {
    struct hf_condition *c = hf_body(self);
    struct hf_who who;
    PyObject *ticket, *timeout = Py_None;
    uint64_t deadline;
    struct hf_entry *e;
    if (!PyArg_ParseTuple(args, "O|O", &ticket, &timeout) || hf_deadline(timeout, &deadline) < 0) return NULL;
    if ((e = entry_of(self, ticket)) == NULL) return NULL;
    struct hf_patience p = hf_patience_until(deadline);
    int r;
    HF_WAIT(self, who, r, hf_condition_wait(c, e, &who, &p), failed);
    return PyBool_FromLong(r == HF_OK);
failed:
    return NULL;
}

static PyObject *leave(PyObject *self, PyObject *args) {
    struct hf_who who;
    PyObject *ticket;
    int pass_on = 0;
    struct hf_entry *e;
    if (!PyArg_ParseTuple(args, "O|p", &ticket, &pass_on) || (e = entry_of(self, ticket)) == NULL) return NULL;
    if (!hf_caller(self, &who)) return NULL;
    return PyBool_FromLong(hf_condition_leave(hf_body(self), e, &who, pass_on != 0));
}

static PyObject *notify(PyObject *self, PyObject *arg) {
    struct hf_who who;
    long long n = PyLong_AsLongLong(arg);
    if ((n == -1 && PyErr_Occurred()) || !hf_caller(self, &who)) return NULL;
    uint32_t most = n < 0 ? 0 : n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
    return PyLong_FromUnsignedLong(hf_condition_notify(hf_body(self), &who, most));
}

static Py_ssize_t length(PyObject *self) {
    struct hf_who who;
    if (!hf_caller(self, &who)) return -1;
    return (Py_ssize_t)hf_condition_count(hf_body(self), &who);
}

static PyMethodDef methods[] = {
    {"enter", enter, METH_NOARGS, "Onto the list; returns a ticket."},
    {"wait", wait_, METH_VARARGS, "Until notified; False if the timeout passed first."},
    {"leave", leave, METH_VARARGS, "Off the list; True if it had been notified."},
    {"notify", notify, METH_O, "Notify up to n waiters, the longest waiting first; how many."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, waiters_new},
    {Py_tp_dealloc, hf_handle_dealloc},
    {Py_tp_methods, methods},
    {Py_sq_length, length},
    {Py_tp_doc, "The waiting list of a condition."},
    {0, NULL},
};

PyType_Spec hf_waiters_spec = {"holdfast.core._native.Waiters", sizeof(HandleObject), 0,
                               Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
