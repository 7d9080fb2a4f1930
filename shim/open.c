/* open.c — descriptors and streams that are opened for writing, by any of libc's names. */
#include <stdarg.h>
#include "shim.h"

/* O_CREAT and O_TMPFILE bring a mode along. */
static mode_t mode_of(int flags, va_list ap)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(ap, mode_t) : 0;
}

#define MODE(flags, last) __extension__({ va_list ap_; va_start(ap_, last); mode_t mode_ = mode_of(flags, ap_); va_end(ap_); mode_; })

typedef int open_call(const char *path, int flags, ...);
typedef int openat_call(int dir, const char *path, int flags, ...);

/* A call that may make a file is made with O_EXCL first: where that succeeds the file is new, which nobody had to ask before. What fails is made as it was meant;
 * a call that was interrupted, its program wants to hear of. */
static int make_new(open_call *plain, openat_call *at, int dir, const char *path, int flags, mode_t mode, uint32_t *existed)
{
	int saved = errno, fd = at ? at(dir, path, flags | O_EXCL, mode) : plain(path, flags | O_EXCL, mode);
	*existed = fd >= 0 ? 0 : errno == EEXIST ? 1 : 2;
	if (fd < 0 && errno != EINTR)
		errno = saved;
	return fd < 0 && errno == EINTR ? -EINTR : fd;
}

/* plain or at: the original. */
static int open_to_change(open_call *plain, openat_call *at, int dir, const char *path, int flags, mode_t mode)
{
	uint32_t existed;
	int fd = -1;
	if (!vcr_open_may_make(flags))
		existed = vcr_before_open(dir, path, flags);
	else if ((fd = make_new(plain, at, dir, path, flags, mode, &existed)) == -EINTR)
		return -1;
	else if (existed == 1)
		vcr_keep_changing(dir, path);
	if (fd < 0)
		fd = at ? at(dir, path, flags, mode) : plain(path, flags, mode);
	vcr_after_open(fd, dir, path, flags, existed);
	return fd;
}

int open(const char *path, int flags, ...)
{
	mode_t mode = MODE(flags, flags);
	if (vcr_likely(!vcr_open_changes(flags)))
		return vcr_late_fd(VCR_REAL(open)(path, flags, mode), path, __builtin_return_address(0));
	return open_to_change(VCR_REAL(open), NULL, AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	mode_t mode = MODE(flags, flags);
	if (vcr_likely(!vcr_open_changes(flags)))
		return vcr_late_fd(VCR_REAL(open64)(path, flags, mode), path, __builtin_return_address(0));
	return open_to_change(VCR_REAL(open64), NULL, AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
	mode_t mode = MODE(flags, flags);
	if (vcr_likely(!vcr_open_changes(flags)))
		return vcr_late_fd(VCR_REAL(openat)(dir, path, flags, mode), path, __builtin_return_address(0));
	return open_to_change(NULL, VCR_REAL(openat), dir, path, flags, mode);
}

int openat64(int dir, const char *path, int flags, ...)
{
	mode_t mode = MODE(flags, flags);
	if (vcr_likely(!vcr_open_changes(flags)))
		return vcr_late_fd(VCR_REAL(openat64)(dir, path, flags, mode), path, __builtin_return_address(0));
	return open_to_change(NULL, VCR_REAL(openat64), dir, path, flags, mode);
}

/* Fortified programs call these where no mode is given; libc aborts on O_CREAT. */
static int open_checked(int (*real)(const char *, int), const char *path, int flags, const void *caller)
{
	if (vcr_likely(!vcr_open_changes(flags)))
		return vcr_late_fd(real(path, flags), path, caller);
	uint32_t existed = vcr_before_open(AT_FDCWD, path, flags);
	int fd = real(path, flags);
	vcr_after_open(fd, AT_FDCWD, path, flags, existed);
	return fd;
}

static int openat_checked(int (*real)(int, const char *, int), int dir, const char *path, int flags, const void *caller)
{
	if (vcr_likely(!vcr_open_changes(flags)))
		return vcr_late_fd(real(dir, path, flags), path, caller);
	uint32_t existed = vcr_before_open(dir, path, flags);
	int fd = real(dir, path, flags);
	vcr_after_open(fd, dir, path, flags, existed);
	return fd;
}

int __open_2(const char *path, int flags) { return open_checked(VCR_REAL(__open_2), path, flags, __builtin_return_address(0)); }
int __open64_2(const char *path, int flags) { return open_checked(VCR_REAL(__open64_2), path, flags, __builtin_return_address(0)); }
int __openat_2(int dir, const char *path, int flags) { return openat_checked(VCR_REAL(__openat_2), dir, path, flags, __builtin_return_address(0)); }
int __openat64_2(int dir, const char *path, int flags) { return openat_checked(VCR_REAL(__openat64_2), dir, path, flags, __builtin_return_address(0)); }

static int make_file(int (*real)(const char *, mode_t), const char *path, mode_t mode)
{
	uint32_t existed = vcr_before_open(AT_FDCWD, path, O_CREAT);
	int fd = real(path, mode);
	vcr_after_open(fd, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, existed);
	return fd;
}

int creat(const char *path, mode_t mode) { return make_file(VCR_REAL(creat), path, mode); }
int creat64(const char *path, mode_t mode) { return make_file(VCR_REAL(creat64), path, mode); }

/* ---- streams ---- */

static int stream_flags(const char *mode)
{
	int plus = strchr(mode, '+') ? O_RDWR : 0;
	switch (*mode) {
	case 'w': return (plus ? plus : O_WRONLY) | O_CREAT | O_TRUNC;
	case 'a': return (plus ? plus : O_WRONLY) | O_CREAT | O_APPEND;
	default: return plus;
	}
}

static FILE *open_stream(FILE *(*real)(const char *, const char *), const char *path, const char *mode, const void *caller)
{
	int flags = stream_flags(mode);
	if (vcr_likely(!vcr_open_changes(flags))) {
		FILE *f = real(path, mode);
		if (f && vcr_unlikely(vcr_late_wants(path)))
			vcr_late_opened(fileno(f), path, caller);
		return f;
	}
	uint32_t existed = vcr_before_open(AT_FDCWD, path, flags);
	FILE *f = real(path, mode);
	if (f)
		vcr_after_open(fileno(f), AT_FDCWD, path, flags, existed);
	return f;
}

FILE *fopen(const char *path, const char *mode) { return open_stream(VCR_REAL(fopen), path, mode, __builtin_return_address(0)); }
FILE *fopen64(const char *path, const char *mode) { return open_stream(VCR_REAL(fopen64), path, mode, __builtin_return_address(0)); }

static FILE *reopen_stream(FILE *(*real)(const char *, const char *, FILE *), const char *path, const char *mode, FILE *f)
{
	int flags = stream_flags(mode), fd = fileno(f), kind = vcr_fd_get(fd);
	bool changes = path && vcr_open_changes(flags);
	if (kind == VCR_FD_FILE || kind == VCR_FD_DIRTY)
		vcr_mark_closed(fd, kind);
	uint32_t existed = changes ? vcr_before_open(AT_FDCWD, path, flags) : 2;
	FILE *r = real(path, mode, f);
	if (r && changes)
		vcr_after_open(fileno(r), AT_FDCWD, path, flags, existed);
	return r;
}

FILE *freopen(const char *path, const char *mode, FILE *f) { return reopen_stream(VCR_REAL(freopen), path, mode, f); }
FILE *freopen64(const char *path, const char *mode, FILE *f) { return reopen_stream(VCR_REAL(freopen64), path, mode, f); }

/* The stream's last bytes are written inside fclose: its name is read before, its mark comes after. */
static int close_watched(FILE *f, int fd, int kind)
{
	char path[PATH_MAX];
	uint32_t opened = kind == VCR_FD_FILE || kind == VCR_FD_DIRTY ? vcr_fd_at(fd)->conn : 0;
	bool known = !vcr_fd_is_socket(kind) && (vcr_names_find(fd, path) || vcr_path_of_fd(fd, path)), file = known && vcr_path_matters(path);
	bool deep = !known && (kind == VCR_FD_FILE || kind == VCR_FD_DIRTY) && vcr_path_is_too_long(fd, path);
	vcr_fd_closed(fd);
	int r = VCR_REAL(fclose)(f), saved = errno;
	if (file && !vcr_guest_seen() && !vcr_spool_add_closed(opened))
		vcr_mark(VCR_FILE_CLOSE, 1, fd, 1, path, "");
	if (deep && !vcr_guest_seen())
		vcr_mark(VCR_FILE_DEEP, 1, fd, 1, "", "");
	if (kind == VCR_FD_NOTES && !vcr_guest_seen())
		vcr_mark_notes();
	errno = saved;
	return r;
}

int fclose(FILE *f)
{
	int saved = errno, fd = fileno(f), kind = vcr_fd_get(fd);
	errno = saved;
	if (vcr_unlikely(vcr_load(&vcr_npiped)) && !kind)
		return vcr_close_piped(f);
	return vcr_likely(!kind) ? VCR_REAL(fclose)(f) : close_watched(f, fd, kind);
}

/* ---- mkstemp and kin: the name is in the template afterwards ---- */

enum { TEMP_FLAGS = O_RDWR | O_CREAT | O_EXCL };
static int made_temp(int fd, const char *template)
{
	vcr_after_open(fd, AT_FDCWD, template, TEMP_FLAGS, 0);
	return fd;
}

#define TEMP(name, params, args) \
	int name params { vcr_before_change(AT_FDCWD, template); return made_temp(VCR_REAL(name) args, template); }
TEMP(mkstemp, (char *template), (template))
TEMP(mkstemp64, (char *template), (template))
TEMP(mkostemp, (char *template, int flags), (template, flags))
TEMP(mkostemp64, (char *template, int flags), (template, flags))
TEMP(mkstemps, (char *template, int suffix), (template, suffix))
TEMP(mkstemps64, (char *template, int suffix), (template, suffix))
TEMP(mkostemps, (char *template, int suffix, int flags), (template, suffix, flags))
TEMP(mkostemps64, (char *template, int suffix, int flags), (template, suffix, flags))

char *mkdtemp(char *template)
{
	vcr_before_change(AT_FDCWD, template);
	char *r = VCR_REAL(mkdtemp)(template);
	if (r)
		vcr_mark_at(VCR_FILE_MKDIR, 0700, AT_FDCWD, template);
	return r;
}
