#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "killpoints.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int hf_kill_armed = -1;
static long hf_kill_skip;

#define HF_KILL_NAME(name) #name,
static const char *const names[] = {HF_KILL_LIST(HF_KILL_NAME)};

const char *hf_kill_name(int point) {
    return point >= 0 && point < HF_K_COUNT ? names[point] : NULL;
}

int hf_kill_arm(const char *name, long skip) {
    hf_kill_armed = -1;
    if (name == NULL) return 0;
    for (int i = 0; i < HF_K_COUNT; i++) {
        if (strcmp(names[i], name) == 0) {
            hf_kill_skip = skip;
            hf_kill_armed = i;
            return 0;
        }
    }
    return -1;
}

void hf_kill_reached(void) {
    if (hf_kill_skip-- > 0) return;
    kill(getpid(), SIGKILL);
    for (;;) pause();
}
