/* The arguments of put and get: what leads, block and timeout, by position or by name. */
#include "queue.h"

struct given {
    PyObject *first, *second, *block, *timeout;
};

/* Where an argument of this name goes; NULL: nowhere. */
static PyObject **slot_for(const struct hf_queue_call *call, PyObject *name, struct given *g) {
    if (PyUnicode_CompareWithASCIIString(name, "timeout") == 0) return &g->timeout;
    if (PyUnicode_CompareWithASCIIString(name, "block") == 0) return &g->block;
    if (call->called != NULL && PyUnicode_CompareWithASCIIString(name, call->called) == 0) return &g->first;
    if (call->or_called != NULL && PyUnicode_CompareWithASCIIString(name, call->or_called) == 0) return &g->first;
    return NULL;
}

static int keyword(const struct hf_queue_call *call, PyObject *name, PyObject *value, struct given *g) {
    PyObject **slot = slot_for(call, name, g);
    if (slot != NULL && *slot == NULL) {
        *slot = value;
        return 0;
    }
    PyErr_Format(PyExc_TypeError, slot == NULL ? "%s() got an unexpected keyword argument '%U'"
                                               : "%s() got multiple values for argument '%U'", call->name, name);
    return -1;
}

static int deadline_of(PyObject *timeout, struct hf_queue_args *out) {
    if (!out->block) timeout = NULL;
    if (hf_deadline(timeout, &out->deadline) < 0) return -1;
    if (timeout == NULL || timeout == Py_None || PyFloat_AsDouble(timeout) >= 0) return 0;
    PyErr_Format(PyExc_ValueError, "'timeout' must be a non-negative number, not %R", timeout);
    return -1;
}

int hf_queue_parse(const struct hf_queue_call *call, PyObject *const *args, Py_ssize_t n, PyObject *names,
                   struct hf_queue_args *out) {
    *out = (struct hf_queue_args){NULL, NULL, 1, HF_FOREVER};
    if (HF_LIKELY(n == call->leading && names == NULL)) {
        out->first = n > 0 ? args[0] : NULL;
        out->second = n > 1 ? args[1] : NULL;
        return 0;
    }
    if (n > call->leading + 2) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %d arguments (%zd given)", call->name, call->leading + 2, n);
        return -1;
    }
    struct given g = {NULL, NULL, NULL, NULL};
    PyObject **slots[] = {&g.first, &g.second, &g.block, &g.timeout};
    if (call->timeout_first) slots[2] = &g.timeout, slots[3] = &g.block;
    for (Py_ssize_t i = 0; i < n; i++) *slots[i < call->leading ? i : i - call->leading + 2] = args[i];
    Py_ssize_t named = names == NULL ? 0 : PyTuple_Size(names);
    for (Py_ssize_t i = 0; i < named; i++)
        if (keyword(call, PyTuple_GetItem(names, i), args[n + i], &g) < 0) return -1;
    out->first = g.first;
    out->second = g.second;
    if (g.block != NULL && (out->block = PyObject_IsTrue(g.block)) < 0) return -1;
    return deadline_of(g.timeout, out);
}
