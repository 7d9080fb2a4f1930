/* notify-install.c — the filter of notify.h, and who puts himself under it. It needs the C library alone. */
#include "notify.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#define ARCH 0
#endif
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

enum { CHILD_S = 5 };

/* ---- The filter ---- */

/* Calls that are told whatever their arguments are, and those that are when a flag of writing is among theirs: argument 1 and 2. */
static const int always[] = {
#ifdef SYS_open /* the old calls, which newer machines do not have */
	SYS_creat, SYS_rename, SYS_unlink, SYS_rmdir, SYS_link, SYS_symlink, SYS_mkdir, SYS_chmod,
#endif
#ifdef SYS_renameat
	SYS_renameat,
#endif
	SYS_renameat2, SYS_unlinkat, SYS_linkat, SYS_symlinkat, SYS_mkdirat, SYS_fchmodat, SYS_truncate, SYS_openat2, SYS_connect, SYS_execve, SYS_execveat, SYS_exit_group,
};
enum { ALWAYS = sizeof always / sizeof *always, MOST = ALWAYS + 24 };

static int writing_flags(void)
{
	return O_WRONLY | O_RDWR | O_CREAT | O_TRUNC;
}

static struct sock_filter load(size_t offset)
{
	return (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset);
}

static struct sock_filter give(uint32_t value)
{
	return (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, value);
}

static struct sock_filter jump(uint16_t test, uint32_t value, int yes, int no)
{
	return (struct sock_filter)BPF_JUMP((uint16_t)(BPF_JMP | test | BPF_K), value, (uint8_t)yes, (uint8_t)no);
}

/* An open is told when this argument has a flag of writing. */
static int add_open(struct sock_filter *f, int n, int number, int argument)
{
	f[n++] = jump(BPF_JEQ, (uint32_t)number, 0, 4);
	f[n++] = load(offsetof(struct seccomp_data, args) + 8 * (size_t)argument);
	f[n++] = jump(BPF_JSET, (uint32_t)writing_flags(), 0, 1);
	f[n++] = give(SECCOMP_RET_USER_NOTIF);
	f[n++] = give(SECCOMP_RET_ALLOW);
	return n;
}

static int begin_filter(struct sock_filter *f)
{
	int n = 0;
	f[n++] = load(offsetof(struct seccomp_data, arch));
	f[n++] = jump(BPF_JEQ, ARCH, 1, 0);
	f[n++] = give(SECCOMP_RET_ALLOW); /* a 32-bit program: other numbers */
	f[n++] = load(offsetof(struct seccomp_data, nr));
	return n;
}

/* These are told, all others pass. */
static int end_filter(struct sock_filter *f, int n, const int *told, int count)
{
	for (int i = 0; i < count; i++)
		f[n++] = jump(BPF_JEQ, (uint32_t)told[i], count - i, 0);
	f[n++] = give(SECCOMP_RET_ALLOW);
	f[n++] = give(SECCOMP_RET_USER_NOTIF);
	return n;
}

static int make_filter(struct sock_filter *f)
{
	int n = begin_filter(f);
	n = add_open(f, n, SYS_openat, 2);
#ifdef SYS_open
	n = add_open(f, n, SYS_open, 1);
#endif
	f[n++] = jump(BPF_JEQ, SYS_io_uring_setup, 0, 1);
	f[n++] = give(SECCOMP_RET_ERRNO | ENOSYS);
	return end_filter(f, n, always, ALWAYS);
}

/* Who made himself unreadable would be asked about in vain: he hears that he is. */
static int add_readable(struct sock_filter *f, int n)
{
	f[n++] = jump(BPF_JEQ, SYS_prctl, 0, 6);
	f[n++] = load(offsetof(struct seccomp_data, args));
	f[n++] = jump(BPF_JEQ, PR_SET_DUMPABLE, 0, 3);
	f[n++] = load(offsetof(struct seccomp_data, args) + 8);
	f[n++] = jump(BPF_JEQ, 0, 0, 1);
	f[n++] = give(SECCOMP_RET_ERRNO | 0);
	f[n++] = give(SECCOMP_RET_ALLOW);
	return n;
}

static int make_exec_filter(struct sock_filter *f)
{
	static const int execs[] = { SYS_execve, SYS_execveat };
	return end_filter(f, add_readable(f, begin_filter(f)), execs, sizeof execs / sizeof *execs);
}

static int install_error(int error, struct vcr_error *e)
{
	if (error == EBUSY)
		return vcr_error_set(e, VCR_EBUSY, "this process is supervised already (a seccomp filter with a listener), and there can be only one: a vcr-record --supervise around "
			"it, or a container whose runtime does so");
	if (error == EINVAL || error == ENOSYS)
		return vcr_error_set(e, VCR_ENOSYS, "the kernel has no seccomp user notification: Linux 5.9 or later is needed");
	return vcr_error_set(e, VCR_ENOSYS, "the kernel refuses a seccomp filter: %s; in a container its own profile forbids it (docker: --security-opt seccomp=unconfined)", strerror(error));
}

static int install(int filters, struct sock_filter *filter, int *fd)
{
	struct sock_fprog program = { (unsigned short)filters, filter };
	unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
	*fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &program);
	if (*fd < 0 && errno == EINVAL) /* before Linux 5.19 a signal makes the call be told twice */
		*fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
	return *fd < 0 ? errno : 0;
}

static int install_with_no_new_privs(int filters, struct sock_filter *filter, int *fd, struct vcr_error *e)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return vcr_error_sys(e, errno, "NO_NEW_PRIVS");
	int error = install(filters, filter, fd);
	return error ? install_error(error, e) : 0;
}

int vcr_notify_install(int *fd, struct vcr_error *e)
{
	struct sock_filter filter[MOST];
	if (!ARCH)
		return vcr_error_set(e, VCR_ENOSYS, "system calls of this kind of machine are not known");
	return install_with_no_new_privs(make_filter(filter), filter, fd, e);
}

int vcr_notify_install_execs(int *fd, struct vcr_error *e)
{
	struct sock_filter filter[MOST];
	int n = make_exec_filter(filter), error = ARCH ? install(n, filter, fd) : ENOSYS;
	if (!ARCH)
		return vcr_error_set(e, VCR_ENOSYS, "system calls of this kind of machine are not known");
	if (error == EACCES) /* without CAP_SYS_ADMIN it is not to be had otherwise */
		return install_with_no_new_privs(n, filter, fd, e);
	return error ? install_error(error, e) : 0;
}

int vcr_notify_possible(struct vcr_error *e)
{
	int status = 0, fd;
	pid_t child = fork();
	if (child == 0) {
		struct vcr_error why = { 0 };
		alarm(CHILD_S);
		syscall(SYS_exit, vcr_notify_install(&fd, &why) ? -why.code : 0); /* exit_group would be told, to nobody */
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return vcr_error_sys(e, errno, "cannot try it");
	if (!WIFEXITED(status))
		return vcr_error_set(e, VCR_ENOSYS, "the kernel refuses it");
	return WEXITSTATUS(status) ? install_error(WEXITSTATUS(status) == -VCR_EBUSY ? EBUSY : EPERM, e) : 0;
}
