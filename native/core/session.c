/* Mapping an arena into this process, and keeping the mapping right across fork. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t hf_pid_namespace(void) {
    struct stat st;
    return stat("/proc/self/ns/pid", &st) == 0 ? (uint64_t)st.st_ino : 0;
}

/* ---- fork: no thread of the parent lives in the child, and the child is nobody yet ---- */

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct hf_session *all_sessions;

static void before_fork(void) {
    pthread_mutex_lock(&list_lock);
    for (struct hf_session *s = all_sessions; s != NULL; s = s->others) pthread_mutex_lock(&s->local);
}

static void after_fork_parent(void) {
    uint64_t now = hf_now();
    for (struct hf_session *s = all_sessions; s != NULL; s = s->others) {
        hf_store(&s->forked, now, HF_RELAXED);
        hf_add(&s->forks, 1, HF_RELAXED);
        pthread_mutex_unlock(&s->local);
    }
    pthread_mutex_unlock(&list_lock);
}

static void after_fork_child(void) {
    hf_forget_thread();
    for (struct hf_session *s = all_sessions; s != NULL; s = s->others) {
        hf_store(&s->me, 0, HF_RELAXED);
        hf_store(&s->graves, NULL, HF_RELAXED); /* the parent's to bury; a few bytes of ours are lost */
        s->graves_end = NULL;
        hf_store(&s->forked, 0, HF_RELAXED);
        pthread_mutex_unlock(&s->local);
    }
    pthread_mutex_unlock(&list_lock);
}

static void enlist(struct hf_session *s) {
    static bool registered;
    pthread_mutex_lock(&list_lock);
    if (!registered) registered = pthread_atfork(before_fork, after_fork_parent, after_fork_child) == 0;
    s->others = all_sessions;
    all_sessions = s;
    pthread_mutex_unlock(&list_lock);
}

/* ---- the file ---- */

static bool is_ours(struct hf_session *s, int fd) {
    struct stat st;
    return fd >= 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_dev == s->device && (uint64_t)st.st_ino == s->inode;
}

static void remember_file(struct hf_session *s) {
    struct stat st;
    char link[64], path[4096];
    if (fstat(s->fd, &st) != 0) return;
    s->device = (uint64_t)st.st_dev;
    s->inode = (uint64_t)st.st_ino;
    snprintf(link, sizeof link, "/proc/self/fd/%d", s->fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n > 0 && path[0] == '/') s->path = strndup(path, (size_t)n);
}

int hf_session_file(struct hf_session *s) {
    pthread_mutex_lock(&s->local);
    if (!is_ours(s, s->fd)) {
        int fd = s->path != NULL ? open(s->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC) : -1;
        if (fd >= 0 && !is_ours(s, fd)) {
            close(fd);
            fd = -1;
        }
        s->fd = fd;
    }
    int fd = s->fd;
    pthread_mutex_unlock(&s->local);
    if (fd < 0) errno = EBADF;
    return fd;
}

/* ---- making and mapping ---- */

static bool format(struct hf_session *s, uint64_t idle_limit) {
    struct hf_header *h = s->header;
    if (hf_file_commit(hf_session_file(s), 0, HF_TABLE_AT + HF_CHUNK) != 0) return false;
    h->magic = HF_MAGIC;
    h->version = HF_LAYOUT_VERSION;
    h->layout = HF_LAYOUT_HASH;
    h->size = s->size;
    if (getrandom(&h->uid, sizeof h->uid, 0) != (ssize_t)sizeof h->uid) return false;
    h->pid_namespace = hf_pid_namespace();
    uint64_t most = s->size / HF_CHUNK * sizeof(hf_a32);
    h->data_at = HF_TABLE_AT + (most + HF_CHUNK - 1) / HF_CHUNK * HF_CHUNK;
    h->idle_limit = idle_limit;
    h->table_committed = HF_CHUNK;
    h->next_uid = 1;
    atomic_init(&h->guard.own.cpu, HF_NO_CPU);
    hf_store(&h->ready, 1, HF_RELEASE);
    return true;
}

static const char *fault(const struct hf_header *h, uint64_t file_size) {
    if (h->magic != HF_MAGIC) return "it is not an arena of holdfast";
    if (h->version != HF_LAYOUT_VERSION || h->layout != HF_LAYOUT_HASH)
        return "it was made by another version of holdfast";
    if (h->size != file_size) return "its size is not what it says";
    if (h->pid_namespace != hf_pid_namespace()) return "it belongs to another process namespace (container)";
    return NULL;
}

/* The size of an arena that exists and is finished; 0 with *why or errno. */
static uint64_t inspect(int fd, const char **why) {
    struct stat st;
    if (fstat(fd, &st) != 0) return 0;
    *why = "it is too small";
    if ((uint64_t)st.st_size < HF_TABLE_AT) return 0;
    void *p = mmap(NULL, sizeof(struct hf_header), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    *why = NULL;
    if (p == MAP_FAILED) return 0;
    struct hf_header *h = p;
    *why = hf_load(&h->ready, HF_ACQUIRE) ? fault(h, (uint64_t)st.st_size) : "its maker died while making it";
    munmap(p, sizeof(struct hf_header));
    return *why == NULL ? (uint64_t)st.st_size : 0;
}

static bool map(struct hf_session *s) {
    void *p = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, s->fd, 0);
    if (p == MAP_FAILED) return false;
    s->base = p;
    s->header = p;
    return true;
}

struct hf_session *hf_session_open(int fd, uint64_t size, uint64_t idle_limit, const char *label, const char **why) {
    bool make = size != 0;
    *why = NULL;
    errno = 0;
    size = make ? size / HF_CHUNK * HF_CHUNK : inspect(fd, why);
    if (size == 0 || (make && ftruncate(fd, (off_t)size) != 0)) return NULL;
    struct hf_session *s = calloc(1, sizeof *s);
    if (s == NULL) return NULL;
    s->fd = fd;
    s->size = size;
    s->handles.next = s->handles.previous = &s->handles;
    pthread_mutex_init(&s->local, NULL);
    strncpy(s->label, label, sizeof s->label - 1);
    remember_file(s);
    if (!map(s) || (make && !format(s, idle_limit))) {
        if (s->base != NULL) munmap(s->base, s->size);
        free(s->path);
        free(s);
        return NULL;
    }
    enlist(s);
    return s;
}

/* Only for sessions without handles. */
void hf_session_close(struct hf_session *s) {
    pthread_mutex_lock(&list_lock);
    for (struct hf_session **link = &all_sessions; *link != NULL; link = &(*link)->others) {
        if (*link != s) continue;
        *link = s->others;
        break;
    }
    pthread_mutex_unlock(&list_lock);
    hf_depart(s);
    munmap(s->base, s->size);
    if (is_ours(s, s->fd)) close(s->fd);
    free(s->path);
    free(s);
}
