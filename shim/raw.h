/* raw.h — the shim's own system calls. They bypass libc and every hook, leave errno alone, are no cancellation points, and
 * may be made in signal handlers and vfork children. Negative errno on failure. */
#ifndef VCR_SHIM_RAW_H
#define VCR_SHIM_RAW_H
#include <linux/futex.h>
#include <sys/mman.h>
#include <time.h>
#include "compat.h"

static inline long vcr_call3(long n, long a, long b, long c) { return vcr_call6(n, a, b, c, 0, 0, 0); }
static inline long vcr_call4(long n, long a, long b, long c, long d) { return vcr_call6(n, a, b, c, d, 0, 0); }

static inline int raw_getpid(void) { return (int)vcr_call3(SYS_getpid, 0, 0, 0); }
static inline int raw_gettid(void) { return (int)vcr_call3(SYS_gettid, 0, 0, 0); }
static inline unsigned raw_geteuid(void) { return (unsigned)vcr_call3(SYS_geteuid, 0, 0, 0); }
static inline int raw_open(const char *path, int flags, int mode) { return (int)vcr_call4(SYS_openat, AT_FDCWD, (long)path, flags, mode); }
static inline int raw_close(int fd) { return (int)vcr_call3(SYS_close, fd, 0, 0); }
static inline long raw_read(int fd, void *p, size_t n) { return vcr_call3(SYS_read, fd, (long)p, (long)n); }
static inline long raw_pread(int fd, void *p, size_t n, uint64_t at) { return vcr_call4(SYS_pread64, fd, (long)p, (long)n, (long)at); }
static inline int raw_fstat(int fd, struct stat *st) { return (int)vcr_call3(SYS_fstat, fd, (long)st, 0); }
static inline int raw_statat(int dir, const char *path, struct stat *st, int flags)
{
	return (int)vcr_call4(SYS_newfstatat, dir, (long)path, (long)st, flags);
}
static inline int raw_access(const char *path, int mode) { return (int)vcr_call3(SYS_faccessat, AT_FDCWD, (long)path, mode); }
/* Length of the link's text, not terminated. */
static inline long raw_readlink(const char *path, char *out, size_t n) { return vcr_call4(SYS_readlinkat, AT_FDCWD, (long)path, (long)out, (long)n); }
/* Length including the NUL. */
static inline long raw_getcwd(char *out, size_t n) { return vcr_call3(SYS_getcwd, (long)out, (long)n, 0); }
static inline int raw_unlink(const char *path) { return (int)vcr_call3(SYS_unlinkat, AT_FDCWD, (long)path, 0); }
static inline int raw_mkdir(const char *path, int mode) { return (int)vcr_call3(SYS_mkdirat, AT_FDCWD, (long)path, mode); }
static inline int raw_linkat(int dir, const char *from, const char *to) { return (int)vcr_call6(SYS_linkat, dir, (long)from, AT_FDCWD, (long)to, 0, 0); }
static inline int raw_rename(const char *from, const char *to) { return (int)vcr_call4(SYS_renameat, AT_FDCWD, (long)from, AT_FDCWD, (long)to); }
static inline void *raw_mmap_at(size_t n, int prot, int flags, int fd, uint64_t offset)
{
	return (void *)vcr_call6(SYS_mmap, 0, (long)n, prot, flags, fd, (long)offset);
}
static inline void *raw_mmap(size_t n, int prot, int flags, int fd) { return raw_mmap_at(n, prot, flags, fd, 0); }
static inline int raw_failed(const void *p) { return (unsigned long)p > -4096ul; }
static inline int raw_munmap(void *p, size_t n) { return (int)vcr_call3(SYS_munmap, (long)p, (long)n, 0); }
static inline int raw_madvise(void *p, size_t n, int what) { return (int)vcr_call3(SYS_madvise, (long)p, (long)n, what); }
static inline void raw_wake(uint32_t *word) { vcr_call3(SYS_futex, (long)word, FUTEX_WAKE, INT32_MAX); }
static inline void raw_wait(uint32_t *word, uint32_t value, uint64_t ns)
{
	struct timespec t = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };
	vcr_call4(SYS_futex, (long)word, FUTEX_WAIT, value, (long)&t);
}

#endif
