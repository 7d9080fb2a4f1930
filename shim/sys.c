/* sys.c — syscall(), which node and others use for what libc does not wrap, and the doors to a sandbox. */
#include <linux/seccomp.h>
#include <stdarg.h>
#include "shim.h"

typedef long call7(long, long, long, long, long, long, long);

/* From here on a system call that the host did not make before may be its death: know ourselves while we may ask. */
static void enter_sandbox(void)
{
	if (!vcr_ready() || vcr_guest())
		return;
	vcr_spool_widen();
	vcr_store(&vcr_self.sandboxed, 1);
}

/* What a host does through syscall() that a hook would have seen. After success. */
static void observe(long number, long a, long b, long c, long d)
{
	switch (number) {
	case SYS_close_range:
		if (!(c & 4 /* CLOSE_RANGE_CLOEXEC */))
			vcr_fd_closed_range((unsigned)a, (unsigned)b);
		break;
	case SYS_copy_file_range: vcr_mark_written((int)c); break;
	case SYS_renameat: vcr_mark_two(VCR_FILE_RENAME, 0, (int)a, (const char *)b, (int)c, (const char *)d); break;
	case SYS_renameat2: vcr_mark_two(VCR_FILE_RENAME, 0, (int)a, (const char *)b, (int)c, (const char *)d); break;
	case SYS_unlinkat: vcr_mark_at(c & AT_REMOVEDIR ? VCR_FILE_RMDIR : VCR_FILE_UNLINK, 0, (int)a, (const char *)b); break;
	case SYS_mkdirat: vcr_mark_at(VCR_FILE_MKDIR, (uint32_t)c, (int)a, (const char *)b); break;
	default: break;
	}
}

static long opened(call7 *real, long dir, long path, long flags, long mode)
{
	if (!vcr_open_changes((int)flags))
		return vcr_late_fd((int)real(SYS_openat, dir, path, flags, mode, 0, 0), (const char *)path, NULL);
	uint32_t existed = vcr_before_open((int)dir, (const char *)path, (int)flags);
	long fd = real(SYS_openat, dir, path, flags, mode, 0, 0);
	vcr_after_open((int)fd, (int)dir, (const char *)path, (int)flags, existed);
	return fd;
}

static long observed(call7 *real, long number, long a, long b, long c, long d, long e, long f)
{
	struct vcr_kept kept = { .made = false };
	if (number == SYS_renameat || number == SYS_renameat2 || number == SYS_unlinkat || number == SYS_mkdirat)
		vcr_before_change((int)a, (const char *)b);
	if (number == SYS_renameat || (number == SYS_renameat2 && !(e & (RENAME_EXCHANGE | RENAME_NOREPLACE))))
		vcr_keep_going((int)c, (const char *)d, &kept);
	else if (number == SYS_unlinkat)
		vcr_keep_going((int)a, (const char *)b, &kept);
	long r = real(number, a, b, c, d, e, f);
	vcr_keep_after(&kept, r);
	int saved = errno;
	if (r >= 0)
		observe(number, a, b, c, d);
	errno = saved;
	return r;
}

/* syscall(2) takes its arguments as six longs however many the caller gave. It has to work before initialisation, and a call
 * that is none of our business goes on by a jump: it may not return, or return twice. */
__attribute__((visibility("default"))) long vcr_syscall_hook(long number, long a, long b, long c, long d, long e, long f) __asm__("syscall");

VCR_JUMPS long vcr_syscall_hook(long number, long a, long b, long c, long d, long e, long f)
{
	call7 *real = (call7 *)vcr_original(VCR_HOOK_syscall);
	switch (number) {
	case SYS_close: return close((int)a);
	case SYS_openat: return opened(real, a, b, c, d);
	case SYS_chdir: return chdir((const char *)a);
	case SYS_fchdir: return fchdir((int)a);
	case SYS_execve: return execve((const char *)a, (char *const *)b, (char *const *)c);
	case SYS_connect: return connect((int)a, (const struct sockaddr *)b, (socklen_t)c);
	case SYS_sendto: return sendto((int)a, (const void *)b, (size_t)c, (int)d, (const struct sockaddr *)e, (socklen_t)f);
	case SYS_execveat: return execveat((int)a, (const char *)b, (char *const *)c, (char *const *)d, (int)e);
	case SYS_seccomp:
		if (a != SECCOMP_GET_ACTION_AVAIL && a != SECCOMP_GET_NOTIF_SIZES)
			enter_sandbox();
		break;
	case SYS_clone: case SYS_clone3: case SYS_fork: case SYS_vfork: vcr_shares(); break;
	case SYS_chroot: case SYS_pivot_root: case SYS_unshare: case SYS_setns: vcr_cwd_wanders(); break;
	case SYS_rename: case SYS_rmdir: vcr_names_changed(); break; /* the watch sees what comes of it */
	case SYS_exit_group: vcr_before_exit((int)(a & 0xff) << 8); break;
	case SYS_io_uring_setup:
		/* Operations on a ring pass every hook by. libuv, the one that asks this way, then uses its threads. */
		errno = ENOSYS;
		return -1;
	case SYS_close_range: case SYS_copy_file_range: case SYS_renameat: case SYS_renameat2: case SYS_unlinkat: case SYS_mkdirat:
		return observed(real, number, a, b, c, d, e, f);
	default: break;
	}
	VCR_JUMP real(number, a, b, c, d, e, f);
}

int prctl(int what, ...)
{
	va_list ap;
	va_start(ap, what);
	unsigned long a = va_arg(ap, unsigned long), b = va_arg(ap, unsigned long), c = va_arg(ap, unsigned long), d = va_arg(ap, unsigned long);
	va_end(ap);
	if (what == PR_SET_SECCOMP)
		enter_sandbox();
	return VCR_REAL(prctl)(what, a, b, c, d);
}
