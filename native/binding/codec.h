/* Items as bytes, and back: the common plain ones in C, the rest through two callables of the Python layer.
 *
 * Only turning one object into bytes and bytes into one object lives here. Must not know of queues, nor how bytes travel.
 *
 *   NONE FALSE TRUE   nothing          INT    8 bytes      FLOAT   8 bytes
 *   STR               UTF-8            BYTES  themselves   TUPLE LIST DICT   below
 *   PICKLE            a pickle         PACKED a head that the Python layer reads, and perhaps a block
 *
 *   tuple, list, dict:  count (1 byte), then for each element, or each key and each value:
 *                       kind (1 byte), length (1 byte), bytes
 *
 * Only small ones are plain. Tuples may stand in anything; lists and dicts in nothing, since whether two of them are one
 * and the same object must be kept, and pickle does that.
 *
 * Numbers are in the machine's own byte order: a record never leaves the machine. Only objects of exactly these types are
 * plain: an IntEnum, a namedtuple or a NumPy scalar must come out as what it was, and so is pickled.
 */
#ifndef HF_CODEC_H
#define HF_CODEC_H

#include "native.h"

#define HF_CODE_INLINE 32704 /* a pickle up to this size needs no block: channels/codec.py knows it as INLINE */

/* How to read a record's bytes; fits 8 bits. */
enum hf_code {
    HF_CODE_NONE,
    HF_CODE_FALSE,
    HF_CODE_TRUE,
    HF_CODE_INT,
    HF_CODE_FLOAT,
    HF_CODE_STR,
    HF_CODE_BYTES,
    HF_CODE_TUPLE,
    HF_CODE_LIST,
    HF_CODE_DICT,
    HF_CODE_PICKLE,
    HF_CODE_PACKED
};

/* An object as bytes. `data` may point into `small`, so it is not to be copied or moved. */
struct hf_coded {
    uint32_t kind; /* enum hf_code */
    const void *data;
    size_t length;
    PyObject *owner; /* keeps `data` alive; may be NULL */
    PyObject *block; /* PACKED: holds the payload; may be NULL */
    unsigned char small[256];
};

/* How what is not plain is pickled: by `dumps(item, 5, buffer_callback=...)`, and by `pack` where that is not the end of it:
 * `pack(item)` after a refusal (or always, if dumps is None), `pack(item, pickle, buffers)` for a large pickle or one with
 * buffers. It returns bytes (a pickle: PICKLE), or (bytes, block) with block None or a Block with the payload (PACKED).
 * `buffers` and `keywords` are those of the last call, kept to be used again; NULL while they are in use. */
struct hf_packer {
    PyObject *dumps, *pack; /* borrowed */
    PyObject *buffers, *keywords;
};

/* Encode `item`. 0 (then hf_coded_clear it), or -1 with an exception (nothing to clear). `item` must live until it is
 * cleared; dumps and pack may run any Python. */
int hf_encode(PyObject *item, struct hf_packer *packer, struct hf_coded *out);

static inline void hf_coded_clear(struct hf_coded *c) {
    Py_CLEAR(c->owner);
    Py_CLEAR(c->block);
}

/* The object of a record's bytes: by `loads(bytes)` for PICKLE, by `unpack(bytes, block or None)` for PACKED. A new
 * reference, or NULL; bytes that no encoder made are a ValueError, and nothing beyond them is read. `data` may go as soon
 * as this returns. `block`: borrowed, may be NULL. */
PyObject *hf_decode(uint32_t kind, const void *data, size_t length, PyObject *loads, PyObject *unpack, PyObject *block);
/* The same where the record's bytes are a bytes object already, without copying them first. */
PyObject *hf_decode_bytes(uint32_t kind, PyObject *bytes, PyObject *loads, PyObject *unpack, PyObject *block);

#endif
