/* A disk under readings.db whose flushes can fail, as a kernel sees it: preloaded into the application.

   What reached the disk is kept beside each file as FILE.disk: pages written since the last flush are carried there by a
   flush that succeeds. While the file named by FAIL_FLUSHES exists, flushes fail, and the pages count as clean from then
   on, as Linux has it: a later flush succeeds without them unless they are written again. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 65536
#define FILES 1024

static unsigned char *dirty[FILES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX);
    if (length < 0) return 0;
    path[length] = 0;
    char *name = strrchr(path, '/');
    return name && (!strcmp(name, "/readings.db") || !strcmp(name, "/readings.db-wal"));
}

static void mark(int fd, off_t at, ssize_t count) {
    char path[PATH_MAX + 8];
    if (count <= 0 || fd < 0 || fd >= FILES || !path_of(fd, path)) return;
    pthread_mutex_lock(&lock);
    if (!dirty[fd]) dirty[fd] = calloc(PAGES, 1);
    for (off_t page = at / PAGE; page <= (at + count - 1) / PAGE && page < PAGES; page++) dirty[fd][page] = 1;
    pthread_mutex_unlock(&lock);
}

#define WRITER(name) \
    ssize_t name(int fd, const void *from, size_t count, off_t at) { \
        ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, #name); \
        ssize_t done = real(fd, from, count, at); \
        mark(fd, at, done); \
        return done; \
    }
WRITER(pwrite)
WRITER(pwrite64)

static int flush(int fd, int (*real)(int)) {
    char path[PATH_MAX + 8], page_bytes[PAGE];
    if (fd < 0 || fd >= FILES || !path_of(fd, path)) return real(fd);
    const char *fail = getenv("FAIL_FLUSHES");
    int failing = fail && !access(fail, F_OK);
    strcat(path, ".disk");
    int disk = open(path, O_RDWR | O_CREAT, 0600);
    pthread_mutex_lock(&lock);
    for (int page = 0; dirty[fd] && page < PAGES; page++) {
        if (dirty[fd][page] && !failing) {
            ssize_t (*write_to)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite");
            ssize_t count = pread(fd, page_bytes, PAGE, (off_t)page * PAGE);
            if (count > 0 && write_to(disk, page_bytes, count, (off_t)page * PAGE) != count) failing = 1; /* no room */
        }
        dirty[fd][page] = 0;
    }
    pthread_mutex_unlock(&lock);
    close(disk);
    if (failing) {
        errno = EIO;
        return -1;
    }
    return real(fd);
}

int fdatasync(int fd) { return flush(fd, dlsym(RTLD_NEXT, "fdatasync")); }
int fsync(int fd) { return flush(fd, dlsym(RTLD_NEXT, "fsync")); }
