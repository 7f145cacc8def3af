/* Preloaded into a process, this stands between it and the system: it counts the calls that touch files below a
   folder, and does harm at one of them. Arrow's C++ goes through it as Python does.

   arm() sets what is counted and what is done; what was counted is kept in memory that is shared with the parent, so
   that it can be read when the process is dead. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* What a call does: the kinds that arm() chooses from. */
enum { SPACE = 1, REMOVES = 2, READS = 4, NAMES = 8, OPENS = 16 };

enum { COUNT, KILL_BEFORE, KILL_AFTER, KILL_TORN, FAIL_ONCE, FAIL_ON, SHORT };

#define MOST 20000
#define WIDTH 400

struct shared {
    atomic_long counted;
    char log[MOST][WIDTH];
};

static struct shared *shared;
static char root[PATH_MAX];
static size_t root_length;
static int armed, kinds, action, error_number;
static long at;
/* Where what is being renamed comes from, for the log. */
static __thread const char *from_path;

__attribute__((constructor)) static void start(void) {
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

void arm(const char *folder, int kinds_, long at_, int action_, int error_) {
    strncpy(root, folder, sizeof root - 1);
    root_length = strlen(root);
    kinds = kinds_, at = at_, action = action_, error_number = error_;
    atomic_store(&shared->counted, 0);
    armed = 1;
}

long counted(void) { return atomic_load(&shared->counted); }

const char *logged(long i) { return shared->log[i - 1]; }

/* ---- Whether a call is meant, and what becomes of it ------------------------------------------------------------- */

enum { PASS, FAIL, HALF, DIE_AFTER, HALF_AND_DIE };

static _Noreturn void die(void) {
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    for (;;)
        pause();
}

static int is_below(const char *path) {
    return strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || path[root_length] == 0);
}

/* The path that an open file was opened with. */
static int path_of(int descriptor, char *into) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    long n = syscall(SYS_readlinkat, AT_FDCWD, link, into, PATH_MAX - 1);
    into[n > 0 ? n : 0] = 0;
    return n > 0 && into[0] == '/';
}

static int decide(const char *name, int what, const char *path, int moves_bytes) {
    if (!(what & kinds) || !is_below(path))
        return PASS;
    long n = atomic_fetch_add(&shared->counted, 1) + 1;
    if (n <= MOST && from_path)
        snprintf(shared->log[n - 1], WIDTH, "%s %s < %s", name, path + root_length, from_path + root_length);
    else if (n <= MOST)
        snprintf(shared->log[n - 1], WIDTH, "%s %s", name, path + root_length);
    if (action == COUNT || n < at || (n > at && action != FAIL_ON))
        return PASS;
    switch (action) {
    case KILL_BEFORE:
        die();
    case KILL_AFTER:
        return DIE_AFTER;
    case KILL_TORN:
        return moves_bytes ? HALF_AND_DIE : DIE_AFTER;
    case SHORT:
        return moves_bytes ? HALF : PASS;
    default:
        errno = error_number;
        return FAIL;
    }
}

static int of_path(const char *name, int what, int folder, const char *path) {
    if (!armed || path == NULL)
        return PASS;
    char whole[2 * PATH_MAX];
    if (path[0] == '/') {
        snprintf(whole, sizeof whole, "%s", path);
    } else {
        int is_known = folder == AT_FDCWD ? syscall(SYS_getcwd, whole, PATH_MAX) > 0 : path_of(folder, whole);
        if (!is_known)
            return PASS;
        size_t n = strlen(whole);
        snprintf(whole + n, sizeof whole - n, path[0] ? "/%s" : "%s", path);
    }
    return decide(name, what, whole, 0);
}

static int of_file(const char *name, int what, int descriptor, int moves_bytes) {
    char path[PATH_MAX];
    if (!armed || !path_of(descriptor, path))
        return PASS;
    return decide(name, what, path, moves_bytes);
}

static long ended(int fate, long result) {
    if (fate == DIE_AFTER || fate == HALF_AND_DIE)
        die();
    return result;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define CALL(fate_, name, ...)                                                                                        \
    do {                                                                                                              \
        int chosen = (fate_);                                                                                         \
        if (chosen == FAIL)                                                                                           \
            return -1;                                                                                                \
        static __typeof__(&name) real;                                                                                \
        if (!real)                                                                                                    \
            real = REAL(name);                                                                                        \
        return ended(chosen, real(__VA_ARGS__));                                                                      \
    } while (0)

/* ---- Opening and closing ----------------------------------------------------------------------------------------- */

static int opening(int flags) {
    int writes = (flags & (O_CREAT | O_TRUNC)) || (flags & O_ACCMODE) != O_RDONLY;
    return NAMES | (writes ? SPACE : READS | (flags & O_DIRECTORY ? 0 : OPENS));
}

/* What is opened to be read is looked at only; so the log has it. */
static int of_opening(int flags, int folder, const char *path) {
    int what = opening(flags);
    return of_path(what & SPACE ? "open" : "look", what, folder, path);
}

#define MODE                                                                                                          \
    mode_t mode = 0;                                                                                                  \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                                              \
        va_list rest;                                                                                                 \
        va_start(rest, flags);                                                                                        \
        mode = va_arg(rest, mode_t);                                                                                  \
        va_end(rest);                                                                                                 \
    }

#define OPEN(name)                                                                                                    \
    int name(const char *path, int flags, ...) {                                                                      \
        MODE CALL(of_opening(flags, AT_FDCWD, path), name, path, flags, mode);                          \
    }
#define OPENAT(name)                                                                                                  \
    int name(int folder, const char *path, int flags, ...) {                                                          \
        MODE CALL(of_opening(flags, folder, path), name, folder, path, flags, mode);                    \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int creat(const char *path, mode_t mode) { CALL(of_opening(O_CREAT, AT_FDCWD, path), creat, path, mode); }

static int of_stream(const char *path, const char *mode) {
    return of_opening(strpbrk(mode, "wa+") ? O_CREAT : O_RDONLY, AT_FDCWD, path);
}
#define FOPEN(name)                                                                                                   \
    FILE *name(const char *path, const char *mode) {                                                                  \
        int fate = of_stream(path, mode);                                                                             \
        if (fate == FAIL)                                                                                             \
            return NULL;                                                                                              \
        FILE *file = REAL(name)(path, mode);                                                                          \
        ended(fate, 0);                                                                                               \
        return file;                                                                                                  \
    }
FOPEN(fopen)
FOPEN(fopen64)

/* A file that was written is closed even where that reports an error. */
int close(int descriptor) {
    static __typeof__(&close) real;
    if (!real)
        real = REAL(close);
    int flags = armed ? fcntl(descriptor, F_GETFL) : -1;
    int is_written = flags != -1 && (flags & O_ACCMODE) != O_RDONLY;
    int fate = is_written ? of_file("close", SPACE, descriptor, 0) : PASS;
    int result = real(descriptor);
    if (fate == FAIL) {
        errno = error_number;
        return -1;
    }
    return ended(fate, result);
}

/* ---- Bytes ------------------------------------------------------------------------------------------------------- */

static size_t shortened(int fate, size_t n) { return (fate == HALF || fate == HALF_AND_DIE) && n > 1 ? n / 2 : n; }

#define BYTES(name, what, type, label)                                                                                \
    ssize_t name(int descriptor, type bytes, size_t n) {                                                              \
        int fate = of_file(label, what, descriptor, 1);                                                               \
        CALL(fate, name, descriptor, bytes, shortened(fate, n));                                                      \
    }
#define BYTES_AT(name, what, type, label, offset_type)                                                                \
    ssize_t name(int descriptor, type bytes, size_t n, offset_type offset) {                                          \
        int fate = of_file(label, what, descriptor, 1);                                                               \
        CALL(fate, name, descriptor, bytes, shortened(fate, n), offset);                                              \
    }
BYTES(write, SPACE, const void *, "write")
BYTES_AT(pwrite, SPACE, const void *, "write", off_t)
BYTES_AT(pwrite64, SPACE, const void *, "write", off64_t)
BYTES(read, READS, void *, "read")
BYTES_AT(pread, READS, void *, "read", off_t)
BYTES_AT(pread64, READS, void *, "read", off64_t)

#define VECTOR(name, what, label)                                                                                     \
    ssize_t name(int descriptor, const struct iovec *pieces, int n) {                                                 \
        int fate = of_file(label, what, descriptor, n == 1);                                                          \
        struct iovec piece = {pieces[0].iov_base, shortened(fate, pieces[0].iov_len)};                                \
        CALL(fate, name, descriptor, n == 1 ? &piece : pieces, n);                                                    \
    }
#define VECTOR_AT(name, what, label, offset_type)                                                                     \
    ssize_t name(int descriptor, const struct iovec *pieces, int n, offset_type offset) {                             \
        int fate = of_file(label, what, descriptor, n == 1);                                                          \
        struct iovec piece = {pieces[0].iov_base, shortened(fate, pieces[0].iov_len)};                                \
        CALL(fate, name, descriptor, n == 1 ? &piece : pieces, n, offset);                                            \
    }
VECTOR(writev, SPACE, "write")
VECTOR_AT(pwritev, SPACE, "write", off_t)
VECTOR_AT(pwritev64, SPACE, "write", off64_t)
VECTOR(readv, READS, "read")
VECTOR_AT(preadv, READS, "read", off_t)
VECTOR_AT(preadv64, READS, "read", off64_t)

ssize_t sendfile(int to, int from, off_t *offset, size_t n) {
    CALL(of_file("write", SPACE, to, 0), sendfile, to, from, offset, n);
}
ssize_t sendfile64(int to, int from, off64_t *offset, size_t n) {
    CALL(of_file("write", SPACE, to, 0), sendfile64, to, from, offset, n);
}
ssize_t copy_file_range(int from, off64_t *at_from, int to, off64_t *at_to, size_t n, unsigned flags) {
    CALL(of_file("write", SPACE, to, 0), copy_file_range, from, at_from, to, at_to, n, flags);
}

/* Flushing is only told of: what a power cut leaves is taken from the log, and no power is cut here. */
static int flushed(int descriptor) { return fcntl(descriptor, F_GETFD) == -1 ? -1 : 0; }
#define FLUSH(name)                                                                                                   \
    int name(int descriptor) {                                                                                        \
        int fate = of_file("fsync", SPACE, descriptor, 0);                                                            \
        return fate == FAIL ? -1 : (int)ended(fate, flushed(descriptor));                                             \
    }
FLUSH(fsync)
FLUSH(fdatasync)
FLUSH(syncfs)
int ftruncate(int descriptor, off_t n) { CALL(of_file("truncate", SPACE, descriptor, 0), ftruncate, descriptor, n); }
int ftruncate64(int descriptor, off64_t n) {
    CALL(of_file("truncate", SPACE, descriptor, 0), ftruncate64, descriptor, n);
}
int truncate(const char *path, off_t n) { CALL(of_path("truncate", SPACE | NAMES, AT_FDCWD, path), truncate, path, n); }
int fallocate(int descriptor, int mode, off_t begin, off_t n) {
    CALL(of_file("allocate", SPACE, descriptor, 0), fallocate, descriptor, mode, begin, n);
}
int flock(int descriptor, int operation) { CALL(of_file("lock", REMOVES, descriptor, 0), flock, descriptor, operation); }

/* ---- Names ------------------------------------------------------------------------------------------------------- */

static int of_move(const char *name, const char *from, int folder, const char *to) {
    from_path = from && is_below(from) ? from : NULL;
    int fate = of_path(name, SPACE | NAMES, folder, to);
    from_path = NULL;
    return fate;
}

int rename(const char *from, const char *to) { CALL(of_move("rename", from, AT_FDCWD, to), rename, from, to); }
int renameat(int from_folder, const char *from, int folder, const char *to) {
    CALL(of_move("rename", from, folder, to), renameat, from_folder, from, folder, to);
}
int renameat2(int from_folder, const char *from, int folder, const char *to, unsigned flags) {
    CALL(of_move("rename", from, folder, to), renameat2, from_folder, from, folder, to, flags);
}
int link(const char *from, const char *to) { CALL(of_move("link", from, AT_FDCWD, to), link, from, to); }
int linkat(int from_folder, const char *from, int folder, const char *to, int flags) {
    CALL(of_move("link", from, folder, to), linkat, from_folder, from, folder, to, flags);
}
int symlink(const char *target, const char *path) {
    CALL(of_path("link", SPACE | NAMES, AT_FDCWD, path), symlink, target, path);
}
int symlinkat(const char *target, int folder, const char *path) {
    CALL(of_path("link", SPACE | NAMES, folder, path), symlinkat, target, folder, path);
}
int mkdir(const char *path, mode_t mode) { CALL(of_path("mkdir", SPACE | NAMES, AT_FDCWD, path), mkdir, path, mode); }
int mkdirat(int folder, const char *path, mode_t mode) {
    CALL(of_path("mkdir", SPACE | NAMES, folder, path), mkdirat, folder, path, mode);
}
int unlink(const char *path) { CALL(of_path("unlink", REMOVES | NAMES, AT_FDCWD, path), unlink, path); }
int unlinkat(int folder, const char *path, int flags) {
    CALL(of_path(flags & AT_REMOVEDIR ? "rmdir" : "unlink", REMOVES | NAMES, folder, path), unlinkat, folder, path, flags);
}
int rmdir(const char *path) { CALL(of_path("rmdir", REMOVES | NAMES, AT_FDCWD, path), rmdir, path); }
int chmod(const char *path, mode_t mode) { CALL(of_path("chmod", REMOVES | NAMES, AT_FDCWD, path), chmod, path, mode); }
int fchmod(int descriptor, mode_t mode) { CALL(of_file("chmod", REMOVES, descriptor, 0), fchmod, descriptor, mode); }
int fchmodat(int folder, const char *path, mode_t mode, int flags) {
    CALL(of_path("chmod", REMOVES | NAMES, folder, path), fchmodat, folder, path, mode, flags);
}
int utimensat(int folder, const char *path, const struct timespec times[2], int flags) {
    CALL(of_path("utime", REMOVES | NAMES, folder, path), utimensat, folder, path, times, flags);
}
int futimens(int descriptor, const struct timespec times[2]) {
    CALL(of_file("utime", REMOVES, descriptor, 0), futimens, descriptor, times);
}

/* ---- Looking ----------------------------------------------------------------------------------------------------- */

#define STAT(name, type)                                                                                              \
    int name(const char *path, type *status) {                                                                        \
        CALL(of_path("stat", READS | NAMES, AT_FDCWD, path), name, path, status);                                     \
    }
#define FSTAT(name, type)                                                                                             \
    int name(int descriptor, type *status) { CALL(of_file("stat", READS, descriptor, 0), name, descriptor, status); }
#define FSTATAT(name, type)                                                                                           \
    int name(int folder, const char *path, type *status, int flags) {                                                 \
        CALL(of_path("stat", READS | NAMES, folder, path), name, folder, path, status, flags);                        \
    }
STAT(stat, struct stat)
STAT(stat64, struct stat64)
STAT(lstat, struct stat)
STAT(lstat64, struct stat64)
FSTAT(fstat, struct stat)
FSTAT(fstat64, struct stat64)
FSTATAT(fstatat, struct stat)
FSTATAT(fstatat64, struct stat64)

int statx(int folder, const char *path, int flags, unsigned mask, struct statx *status) {
    CALL(of_path("stat", READS | NAMES, folder, path), statx, folder, path, flags, mask, status);
}
int access(const char *path, int mode) { CALL(of_path("stat", READS | NAMES, AT_FDCWD, path), access, path, mode); }
int faccessat(int folder, const char *path, int mode, int flags) {
    CALL(of_path("stat", READS | NAMES, folder, path), faccessat, folder, path, mode, flags);
}
ssize_t readlink(const char *path, char *into, size_t n) {
    CALL(of_path("readlink", READS | NAMES, AT_FDCWD, path), readlink, path, into, n);
}
ssize_t readlinkat(int folder, const char *path, char *into, size_t n) {
    CALL(of_path("readlink", READS | NAMES, folder, path), readlinkat, folder, path, into, n);
}

DIR *opendir(const char *path) {
    int fate = of_path("list", READS | NAMES, AT_FDCWD, path);
    if (fate == FAIL)
        return NULL;
    DIR *folder = REAL(opendir)(path);
    ended(fate, 0);
    return folder;
}
DIR *fdopendir(int descriptor) {
    int fate = of_file("list", READS, descriptor, 0);
    if (fate == FAIL)
        return NULL;
    DIR *folder = REAL(fdopendir)(descriptor);
    ended(fate, 0);
    return folder;
}
