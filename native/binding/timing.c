/* Arguments that many calls share: blocking, timeout. */
#include "native.h"

static int take_keyword(PyObject *name, PyObject *value, struct hf_acquire_args *out) {
    if (PyUnicode_CompareWithASCIIString(name, "timeout") == 0) {
        out->timeout = value;
        return 0;
    }
    if (PyUnicode_CompareWithASCIIString(name, "blocking") == 0 ||
        PyUnicode_CompareWithASCIIString(name, "block") == 0) {
        out->blocking = PyObject_IsTrue(value);
        return out->blocking < 0 ? -1 : 0;
    }
    PyErr_Format(PyExc_TypeError, "acquire() got an unexpected keyword argument '%U'", name);
    return -1;
}

int hf_parse_acquire(PyObject *const *args, Py_ssize_t n, PyObject *names, struct hf_acquire_args *out) {
    *out = (struct hf_acquire_args){1, NULL};
    if (n > 2) {
        PyErr_Format(PyExc_TypeError, "acquire() takes at most 2 arguments (%zd given)", n);
        return -1;
    }
    if (n > 0 && (out->blocking = PyObject_IsTrue(args[0])) < 0) return -1;
    if (n > 1) out->timeout = args[1];
    Py_ssize_t named = names == NULL ? 0 : PyTuple_Size(names);
    for (Py_ssize_t i = 0; i < named; i++)
        if (take_keyword(PyTuple_GetItem(names, i), args[n + i], out) < 0) return -1;
    return 0;
}

int hf_parse_one(PyObject *const *args, Py_ssize_t n, PyObject *names, const char *name, PyObject **out) {
    *out = n > 0 ? args[0] : NULL;
    Py_ssize_t named = names == NULL ? 0 : PyTuple_Size(names);
    if (n + named > 1) {
        PyErr_Format(PyExc_TypeError, "takes at most 1 argument (%zd given)", n + named);
        return -1;
    }
    if (named == 0) return 0;
    PyObject *given = PyTuple_GetItem(names, 0);
    if (PyUnicode_CompareWithASCIIString(given, name) != 0) {
        PyErr_Format(PyExc_TypeError, "got an unexpected keyword argument '%U'", given);
        return -1;
    }
    *out = args[0];
    return 0;
}

static uint64_t after(double seconds) {
    if (seconds <= 0) return hf_now();
    if (seconds >= 9.2e9) return HF_FOREVER; /* as good as for ever: 290 years */
    return hf_now() + (uint64_t)(seconds * 1e9);
}

int hf_deadline(PyObject *timeout, uint64_t *deadline) {
    *deadline = HF_FOREVER;
    if (timeout == NULL || timeout == Py_None) return 0;
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred()) return -1;
    if (seconds != seconds) {
        PyErr_SetString(PyExc_ValueError, "timeout=nan: give seconds, or None for no limit");
        return -1;
    }
    *deadline = after(seconds);
    return 0;
}

#define TIMEOUT_MAX 9223372036.0 /* threading.TIMEOUT_MAX */

int hf_lock_deadline(PyObject *timeout, uint64_t *deadline) {
    *deadline = HF_FOREVER;
    if (timeout == NULL || timeout == Py_None) return 0;
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0) return PyErr_Occurred() ? -1 : 0;
    if (!(seconds >= 0)) {
        PyErr_Format(PyExc_ValueError, "timeout value must be a non-negative number, not %R", timeout);
        return -1;
    }
    if (seconds > TIMEOUT_MAX) {
        PyErr_Format(PyExc_OverflowError, "timeout value %R is too large", timeout);
        return -1;
    }
    *deadline = after(seconds);
    return 0;
}

struct hf_patience hf_patience_until(uint64_t deadline) {
    return hf_patience(deadline, hf_is_main_thread());
}
