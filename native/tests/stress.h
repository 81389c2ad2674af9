/* Stress of the bare core with real threads, for ThreadSanitizer and AddressSanitizer: each thread is a member of
 * its own, so that owner words act as between processes, and dying is modelled (a thread stops in the middle, is
 * announced dead, and goes on as a new member). What the locks guard is plain memory, so that ThreadSanitizer can
 * object; everything here that is not under test is a relaxed atomic, so that it orders nothing by accident.
 *
 * Must not know: what any primitive does.
 */
#ifndef HF_TESTS_STRESS_H
#define HF_TESTS_STRESS_H

#include "wait.h"
#include "who.h"

#define ST_THREADS 8

struct st_thread {
    int number;
    struct hf_who who;
    uint64_t random; /* state of the generator */
    unsigned rounds; /* the body may count here */
};

/* A death that others see orders what came before it, as the system's own books do. Set this, and it does not: then
 * the dead must not have touched plain memory, and only the word that is taken over orders anything. */
extern bool st_deaths_order_nothing;
/* A new member for this thread; the one it was before, if any, is dead from now on. */
void st_reborn(struct st_thread *t);
unsigned st_random(struct st_thread *t, unsigned below);
/* Has the time of this run passed? Cheap. */
bool st_over(struct st_thread *t);
/* Runs `body` in n threads for `seconds` (scaled by HF_STRESS_SCALE in the environment); arms the watchdog. The rounds of all. */
unsigned long st_run(const char *name, int n, double seconds, void (*body)(struct st_thread *t));
/* Blocks made by hf_extend and not freed; and an end to them. */
unsigned st_extents(void);
void st_free_extents(void);
/* Does payload block `offset` (1 .. ST_PAYLOADS - 1, its own uid) live on in a queue? */
#define ST_PAYLOADS 65536u
bool st_consigned(uint64_t offset);
/* One who acts after the threads have ended. */
struct hf_who st_checker(void);

#define st_check(condition)                                                                                  \
    do {                                                                                                     \
        if (!(condition)) st_fail(__FILE__, __LINE__, #condition);                                           \
    } while (0)
void st_fail(const char *file, int line, const char *what) __attribute__((noreturn));

#endif
