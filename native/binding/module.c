/* The module holdfast.core._native. */
#include "native.h"

#include <stdlib.h>
#include <string.h>

static PyObject *kill_points(PyObject *self, PyObject *unused) {
    PyObject *list = PyList_New(0);
    (void)self, (void)unused;
    for (int i = 0; list != NULL && i < HF_K_COUNT; i++) {
        PyObject *name = PyUnicode_FromString(hf_kill_name(i));
        if (name == NULL || PyList_Append(list, name) < 0) Py_CLEAR(list);
        Py_XDECREF(name);
    }
    return list;
}

static PyObject *kill_at(PyObject *self, PyObject *args) {
    const char *name;
    long skip = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "z|l", &name, &skip)) return NULL;
    if (hf_kill_arm(name, skip) < 0) return PyErr_Format(PyExc_ValueError, "unknown kill point '%s'", name);
    Py_RETURN_NONE;
}

static PyObject *process_start(PyObject *self, PyObject *arg) {
    long pid = PyLong_AsLong(arg);
    (void)self;
    if (PyErr_Occurred()) return NULL;
    return PyLong_FromUnsignedLongLong(hf_process_start((int32_t)pid));
}

static PyMethodDef methods[] = {
    {"kill_points", kill_points, METH_NOARGS, "Names of the places where a test can have this process killed."},
    {"kill_at", kill_at, METH_VARARGS, "kill_at(name, skip=0, /)\n--\n\nSIGKILL ourselves at the named place."},
    {"undo_sent", hf_outbox_undo_here, METH_NOARGS,
     "What this thread has pickled for a put so far goes nowhere: count it back."},
    {"process_start", process_start, METH_O, "Start time of a process in ticks since boot; 0 if it is dead."},
    {NULL, NULL, 0, NULL},
};

static int add_type(PyObject *module, PyType_Spec *spec, PyObject *base) {
    PyObject *type = PyType_FromModuleAndSpec(module, spec, base);
    if (type == NULL) return -1;
    const char *dot = strrchr(spec->name, '.');
    int r = PyModule_AddObjectRef(module, dot + 1, type);
    Py_DECREF(type);
    return r;
}

static int add_handles(PyObject *module) {
    PyType_Spec *of_handle[] = {&hf_lock_spec, &hf_semaphore_spec, &hf_event_spec, &hf_waiters_spec,
                                &hf_gate_spec, &hf_cell_spec,      &hf_block_spec, &hf_ring_spec,
                                &hf_queue_spec};
    if (add_type(module, &hf_handle_spec, NULL) < 0) return -1;
    PyObject *handle = PyObject_GetAttrString(module, "Handle");
    int r = handle == NULL ? -1 : 0;
    for (size_t i = 0; r == 0 && i < sizeof of_handle / sizeof *of_handle; i++) r = add_type(module, of_handle[i], handle);
    Py_XDECREF(handle);
    PyObject *lock = r == 0 ? PyObject_GetAttrString(module, "Lock") : NULL;
    if (lock == NULL) return -1;
    r = add_type(module, &hf_rlock_spec, lock);
    Py_DECREF(lock);
    return r;
}

/* HOLDFAST_KILL_AT=name[:skip], for tests that cannot call kill_at in the process that shall die. */
static int arm_from_environment(void) {
    const char *text = getenv("HOLDFAST_KILL_AT");
    char name[64];
    if (text == NULL || *text == 0) return 0;
    const char *colon = strchr(text, ':');
    size_t length = colon == NULL ? strlen(text) : (size_t)(colon - text);
    if (length >= sizeof name) length = sizeof name - 1;
    memcpy(name, text, length);
    name[length] = 0;
    if (hf_kill_arm(name, colon == NULL ? 0 : strtol(colon + 1, NULL, 10)) == 0) return 0;
    PyErr_Format(PyExc_ValueError, "HOLDFAST_KILL_AT=%s: unknown kill point", text);
    return -1;
}

static int exec(PyObject *module) {
    if (add_type(module, &hf_session_spec, NULL) < 0 || add_handles(module) < 0) return -1;
    if (PyModule_AddIntConstant(module, "MAX_MEMBERS", HF_SLOTS) < 0 ||
        PyModule_AddIntConstant(module, "MAX_NAME", HF_MAX_NAME) < 0 ||
        PyModule_AddIntConstant(module, "VERSION", HF_LAYOUT_VERSION) < 0 ||
        PyModule_AddIntConstant(module, "LAYOUT", (long)HF_LAYOUT_HASH) < 0)
        return -1;
    return arm_from_environment();
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)exec},
#if defined(Py_GIL_DISABLED)
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "holdfast.core._native", "The compiled core of holdfast.", 0, methods, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__native(void);
__attribute__((visibility("default"))) PyObject *PyInit__native(void) {
    return PyModuleDef_Init(&definition);
}
