/* A node whose time of day is wrong by CLOCK_OFF seconds: preloaded into the application. What it measures seconds with
   is right all the same. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, at);
    const char *off = getenv("CLOCK_OFF");
    if (!failed && off && clock == CLOCK_REALTIME) at->tv_sec += atol(off);
    return failed;
}
