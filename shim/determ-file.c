/* determ-file.c — random bytes that come out of files, names made of them, and the name of the machine. */
#include <errno.h>
#include <stdarg.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include "determ.h"

#define X(name) extern __typeof__(name) name VCR_DETERM_EXPORT;
VCR_DETERM_FILE(X)
#undef X

enum { FDS = 1024, MEMORY = 1 /* major number of /dev/random and its kin */, RANDOM = 8, URANDOM = 9, TRIES = 10000, XS = 6, UUID = 16 };

/* ---- /dev/urandom ---- */

static uint8_t is_random[FDS]; /* it was when it was opened; asked again when it is read */

static bool is_device(int fd)
{
	struct stat st;
	return !raw_fstat(fd, &st) && S_ISCHR(st.st_mode) && major(st.st_rdev) == MEMORY && (minor(st.st_rdev) == RANDOM || minor(st.st_rdev) == URANDOM);
}

static bool is_random_name(const char *path)
{
	return !strcmp(path, "/dev/urandom") || !strcmp(path, "/dev/random");
}

static bool draws(const void *caller)
{
	return vcr_determ_on() && !vcr_determ.own_random && !vcr_determ.own_tls && !vcr_determ_is_crypto(caller);
}

/* What is printed there is a UUID, version 4 (RFC 9562 §5.4), in a file of its own. */
static int open_uuid(void)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char b[UUID];
	char text[40], *at = text;
	if (!vcr_determ_bytes(b, sizeof b))
		return -1;
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	for (int i = 0; i < UUID; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*at++ = '-';
		*at++ = digits[b[i] >> 4];
		*at++ = digits[b[i] & 15];
	}
	*at++ = '\n';
	int fd = (int)vcr_call3(SYS_memfd_create, (long)"uuid", 0, 0);
	if (fd >= 0 && vcr_call3(SYS_write, fd, (long)text, at - text) == at - text && vcr_call3(SYS_lseek, fd, 0, SEEK_SET) == 0)
		return fd;
	if (fd >= 0)
		raw_close(fd);
	return -1;
}

/* -1: open it. */
static int open_instead(const char *path, int flags, const void *caller)
{
	if (__builtin_expect(!path || strncmp(path, "/proc/sys/kernel/random/u", 25), 1) || strcmp(path, "/proc/sys/kernel/random/uuid") || (flags & O_ACCMODE) != O_RDONLY || !draws(caller))
		return -1;
	int fd = open_uuid();
	if (fd >= 0 && flags & O_CLOEXEC)
		vcr_call3(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
	return fd;
}

static int opened(int fd, const char *path, const void *caller)
{
	if (fd >= 0 && fd < FDS && path && is_random_name(path) && draws(caller))
		__atomic_store_n(&is_random[fd], 1, __ATOMIC_RELAXED);
	return fd;
}

/* The mktemp of coreutils makes its first name of an address and of its processor time, and only the second of random bytes: it has to try twice. A value
 * in twenty is thrown away, for which it draws bytes already, so these begin anew. */
static bool is_first_try(int flags)
{
	static const char name[] = "mktemp";
	static uint32_t tries;
	bool makes = (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL) && !strcmp(program_invocation_short_name, name) && vcr_determ_on();
	if (!makes || __atomic_exchange_n(&tries, 1, __ATOMIC_RELAXED))
		return false;
	vcr_determ_anew();
	errno = EEXIST;
	return true;
}

/* libuuid's: by it uuid_generate_time(3) takes care that no two programs get the same one, though the clock goes back; without it draws that number. */
static bool is_kept(const char *path)
{
	bool is = path && __builtin_expect(!strncmp(path, "/var/lib/libuuid/", 17), 0) && vcr_determ_on();
	errno = is ? ENOENT : errno;
	return is;
}

int mkdir(const char *path, mode_t mode)
{
	return is_first_try(O_CREAT | O_EXCL) ? -1 : VCR_NEXT(mkdir)(path, mode);
}

#define OPEN(call, next) ({ const void *caller_ = __builtin_return_address(0); int fd_ = open_instead(path, flags, caller_); fd_ >= 0 ? fd_ : is_first_try(flags) || is_kept(path) ? -1 : opened(next call, path, caller_); })
#define MODE(last) ({ mode_t mode_ = 0; if (__OPEN_NEEDS_MODE(flags)) { va_list ap_; va_start(ap_, last); mode_ = va_arg(ap_, mode_t); va_end(ap_); } mode_; })

int open(const char *path, int flags, ...)
{
	mode_t mode = MODE(flags);
	return OPEN((path, flags, mode), VCR_NEXT(open));
}

int open64(const char *path, int flags, ...)
{
	mode_t mode = MODE(flags);
	return OPEN((path, flags, mode), VCR_NEXT(open64));
}

int openat(int dir, const char *path, int flags, ...)
{
	mode_t mode = MODE(flags);
	return OPEN((dir, path, flags, mode), VCR_NEXT(openat));
}

int openat64(int dir, const char *path, int flags, ...)
{
	mode_t mode = MODE(flags);
	return OPEN((dir, path, flags, mode), VCR_NEXT(openat64));
}

int __open_2(const char *path, int flags)
{
	return OPEN((path, flags), VCR_NEXT(__open_2));
}

int __open64_2(const char *path, int flags)
{
	return OPEN((path, flags), VCR_NEXT(__open64_2));
}

/* ---- Reading it ---- */

static bool reads_random(int fd)
{
	if (__builtin_expect((unsigned)fd >= FDS || !__atomic_load_n(&is_random[fd], __ATOMIC_RELAXED), 1))
		return false;
	if (is_device(fd))
		return true;
	__atomic_store_n(&is_random[fd], 0, __ATOMIC_RELAXED);
	return false;
}

ssize_t read(int fd, void *to, size_t n)
{
	if (reads_random(fd) && vcr_determ_bytes(to, n))
		return (ssize_t)n;
	return VCR_NEXT(read)(fd, to, n);
}

ssize_t __read_chk(int fd, void *to, size_t n, size_t room)
{
	if (n <= room && reads_random(fd) && vcr_determ_bytes(to, n))
		return (ssize_t)n;
	return VCR_NEXT(__read_chk)(fd, to, n, room);
}

static ssize_t read_stream(void *none, char *to, size_t n)
{
	return vcr_determ_bytes(to, n) ? (ssize_t)n : (ssize_t)vcr_call3(SYS_getrandom, (long)to, (long)n, 0);
}

static FILE *stream_instead(const char *path, const char *mode, const void *caller)
{
	if (__builtin_expect(!path || !mode || *mode != 'r' || strchr(mode, '+'), 0))
		return NULL;
	if (is_random_name(path) && draws(caller))
		return fopencookie(NULL, "r", (cookie_io_functions_t){ .read = read_stream });
	int fd = open_instead(path, strchr(mode, 'e') ? O_CLOEXEC : 0, caller);
	return fd >= 0 ? fdopen(fd, "r") : NULL;
}

FILE *fopen(const char *restrict path, const char *restrict mode)
{
	FILE *f = stream_instead(path, mode, __builtin_return_address(0));
	return f ? f : VCR_NEXT(fopen)(path, mode);
}

FILE *fopen64(const char *restrict path, const char *restrict mode)
{
	FILE *f = stream_instead(path, mode, __builtin_return_address(0));
	return f ? f : VCR_NEXT(fopen64)(path, mode);
}

/* What a shell has opened for us. */
__attribute__((constructor)) static void look_at_input(void)
{
	is_random[0] = is_device(0);
}

/* ---- Names for temporary files: libc's are of the kernel's bytes ---- */

/* The Xs, which end `suffix` bytes before the end; NULL: that is no template, which libc says. */
static char *find_xs(char *template, int suffix)
{
	size_t n = template ? strlen(template) : 0;
	char *at = template + n - suffix - XS;
	return suffix >= 0 && n >= (size_t)suffix + XS && !strncmp(at, "XXXXXX", XS) ? at : NULL;
}

static bool fill_xs(char *at)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	unsigned char b[XS];
	if (!vcr_determ_bytes(b, sizeof b))
		return false;
	for (int i = 0; i < XS; i++)
		at[i] = letters[b[i] % (sizeof letters - 1)];
	return true;
}

/* -2: it is for libc to make. */
static int make_temporary(char *template, int suffix, int flags, bool directory)
{
	char *at = vcr_determ_on() ? find_xs(template, suffix) : NULL;
	for (int i = 0; at && i < TRIES; i++) {
		if (!fill_xs(at))
			break;
		int r = directory ? raw_mkdir(template, 0700) : raw_open(template, (flags & ~O_ACCMODE) | O_RDWR | O_CREAT | O_EXCL, 0600);
		if (r != -EEXIST) {
			errno = r < 0 ? -r : errno;
			return r < 0 ? -1 : r;
		}
	}
	if (at)
		memcpy(at, "XXXXXX", XS);
	return -2;
}

#define TEMPORARY(name, suffix, flags, ...) ({ int r_ = make_temporary(template, suffix, flags, false); r_ == -2 ? VCR_NEXT(name)(__VA_ARGS__) : r_; })

int mkstemp(char *template) { return TEMPORARY(mkstemp, 0, 0, template); }
int mkstemp64(char *template) { return TEMPORARY(mkstemp64, 0, 0, template); }
int mkostemp(char *template, int flags) { return TEMPORARY(mkostemp, 0, flags, template, flags); }
int mkostemp64(char *template, int flags) { return TEMPORARY(mkostemp64, 0, flags, template, flags); }
int mkstemps(char *template, int suffix) { return TEMPORARY(mkstemps, suffix, 0, template, suffix); }
int mkstemps64(char *template, int suffix) { return TEMPORARY(mkstemps64, suffix, 0, template, suffix); }
int mkostemps(char *template, int suffix, int flags) { return TEMPORARY(mkostemps, suffix, flags, template, suffix, flags); }
int mkostemps64(char *template, int suffix, int flags) { return TEMPORARY(mkostemps64, suffix, flags, template, suffix, flags); }

char *mkdtemp(char *template)
{
	int r = make_temporary(template, 0, 0, true);
	return r == -2 ? VCR_NEXT(mkdtemp)(template) : r < 0 ? NULL : template;
}

/* ---- The machine ---- */

/* The page's text, which any process of the session can write. */
static bool host(char out[VCR_DETERM_HOST])
{
	if (!vcr_determ_on() || !vcr_determ.page->host[0])
		return false;
	memcpy(out, vcr_determ.page->host, VCR_DETERM_HOST);
	out[VCR_DETERM_HOST - 1] = 0;
	return true;
}

int gethostname(char *to, size_t n)
{
	char name[VCR_DETERM_HOST];
	if (!host(name))
		return VCR_NEXT(gethostname)(to, n);
	size_t k = strlen(name) + 1;
	memcpy(to, name, k < n ? k : n);
	errno = k <= n ? errno : ENAMETOOLONG;
	return k <= n ? 0 : -1;
}

int uname(struct utsname *u)
{
	char name[VCR_DETERM_HOST];
	int r = VCR_NEXT(uname)(u);
	if (!r && host(name))
		memcpy(u->nodename, name, sizeof name < sizeof u->nodename ? sizeof name : sizeof u->nodename);
	return r;
}
