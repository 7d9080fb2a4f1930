#include "sealed.h"
#include "buf.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BACKLOG = 512, FDS = 3 + VCR_SEALED_LISTENERS, ETC_HOSTS = 1 << 20 };

const char *const vcr_sealed_bundles[] = { "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/ca-bundle.pem", "/etc/pki/tls/cacert.pem", "/etc/ssl/cert.pem", NULL };

/* ---- Why not ---- */

static int setting(const char *path)
{
	char text[40] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
	if (fd >= 0)
		close(fd);
	return n > 0 ? atoi(text) : -1;
}

int vcr_sealed_refused(int error, const char *step, struct vcr_error *e)
{
	if (setting("/proc/sys/kernel/unprivileged_userns_clone") == 0)
		return vcr_error_set(e, VCR_ENOSYS, "a setting of the kernel refuses namespaces: sysctl kernel.unprivileged_userns_clone=1");
	if (setting("/proc/sys/user/max_user_namespaces") == 0 || error == ENOSPC)
		return vcr_error_set(e, VCR_ENOSYS, "a setting of the kernel allows no more namespaces: sysctl user.max_user_namespaces=10000, max_mnt_namespaces and max_net_namespaces likewise");
	if (setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1)
		return vcr_error_set(e, VCR_ENOSYS, "AppArmor refuses namespaces to programs without a profile (%s: %s): sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a profile "
			"for vcr with the rule userns", step, strerror(error));
	return vcr_error_set(e, VCR_ENOSYS, "the kernel refuses (%s: %s); in a container its profile does: docker run --security-opt seccomp=unconfined --cap-add SYS_ADMIN", step,
		strerror(error));
}

/* ---- Inside ---- */

static bool put_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	int saved = errno;
	if (fd >= 0)
		close(fd);
	errno = saved;
	return done;
}

bool vcr_sealed_map_ids(uid_t uid, gid_t gid)
{
	char text[60];
	snprintf(text, sizeof text, "%u %u 1\n", (unsigned)uid, (unsigned)uid);
	if (!put_text("/proc/self/uid_map", text) || (!put_text("/proc/self/setgroups", "deny") && errno != ENOENT))
		return false;
	snprintf(text, sizeof text, "%u %u 1\n", (unsigned)gid, (unsigned)gid);
	return put_text("/proc/self/gid_map", text);
}

static bool raise_loopback(void)
{
	struct ifreq r = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool up = fd >= 0 && !ioctl(fd, SIOCSIFFLAGS, &r);
	int saved = errno;
	if (fd >= 0)
		close(fd);
	errno = saved;
	return up;
}

static int listen_at(bool v6, unsigned *port)
{
	union { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; } a = { .v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)*port),
		.sin_addr = { htonl(INADDR_LOOPBACK) } } };
	socklen_t n = v6 ? sizeof a.v6 : sizeof a.v4;
	if (v6)
		a.v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)*port), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int one = 1, fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && v6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
	if (fd >= 0 && (bind(fd, &a.any, n) || listen(fd, BACKLOG) || getsockname(fd, &a.any, &n))) {
		close(fd);
		return -1;
	}
	if (fd >= 0)
		*port = ntohs(v6 ? a.v6.sin6_port : a.v4.sin_port);
	return fd;
}

/* What has been made, in the order of struct vcr_sealed. 0, or errno and the step that failed. */
static int make_inside(int fd[FDS], const char **step)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	unsigned any = 0, https = 443, http = 80;
	*step = "unshare";
	bool user = unshare(CLONE_NEWNS | CLONE_NEWNET);
	if (user && unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET))
		return errno;
	*step = "uid_map";
	if (user && !vcr_sealed_map_ids(uid, gid))
		return errno;
	*step = "mount";
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return errno;
	*step = "loopback";
	if (!raise_loopback())
		return errno;
	*step = "listen";
	fd[0] = user ? open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC) : -1;
	fd[1] = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	fd[2] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	fd[3] = listen_at(false, &any);
	if (fd[1] < 0 || fd[2] < 0 || fd[3] < 0 || (user && fd[0] < 0))
		return errno;
	fd[4] = listen_at(true, &any);
	fd[5] = listen_at(false, &https);
	fd[6] = listen_at(false, &http);
	fd[7] = listen_at(true, &https);
	fd[8] = listen_at(true, &http);
	return 0;
}

/* ---- From the one that is inside to us ---- */

struct parcel { int error, there[FDS]; char step[16]; };

static void send_parcel(int to, const struct parcel *p, const int fd[FDS])
{
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int) * FDS)]; } control = { 0 };
	struct iovec part = { (void *)(uintptr_t)p, sizeof *p };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
	int list[FDS], n = 0;
	for (int i = 0; i < FDS; i++)
		if (p->there[i])
			list[n++] = fd[i];
	if (n) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n);
		control.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.head), list, sizeof(int) * (size_t)n);
	}
	_exit(sendmsg(to, &m, MSG_NOSIGNAL) == (ssize_t)sizeof *p ? 0 : 1);
}

_Noreturn static void inside(int to)
{
	int fd[FDS];
	const char *step = "";
	struct parcel p = { 0 };
	memset(fd, -1, sizeof fd);
	p.error = make_inside(fd, &step);
	snprintf(p.step, sizeof p.step, "%s", step);
	for (int i = 0; i < FDS; i++)
		p.there[i] = !p.error && fd[i] >= 0;
	send_parcel(to, &p, fd);
	_exit(1);
}

static int take_parcel(int from, struct vcr_sealed *s, struct vcr_error *e)
{
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int) * FDS)]; } control = { 0 };
	struct parcel p;
	struct iovec part = { &p, sizeof p };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	int *const to[FDS] = { &s->user, &s->mount, &s->net, &s->listener[0], &s->listener[1], &s->listener[2], &s->listener[3], &s->listener[4], &s->listener[5] };
	ssize_t got;
	while ((got = recvmsg(from, &m, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
		;
	if (got != (ssize_t)sizeof p)
		return vcr_error_set(e, VCR_EIO, "the namespaces could not be made");
	if (p.error)
		return vcr_sealed_refused(p.error, p.step, e);
	const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	for (int i = 0, k = 0; c && i < FDS; i++)
		if (p.there[i])
			memcpy(to[i], CMSG_DATA(c) + sizeof(int) * (size_t)k++, sizeof(int));
	return s->listener[0] < 0 ? vcr_error_set(e, VCR_EIO, "the namespaces could not be taken over") : 0;
}

int vcr_sealed_make(struct vcr_sealed *s, struct vcr_error *e)
{
	int pair[2];
	*s = (struct vcr_sealed)VCR_SEALED_INIT;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return vcr_error_sys(e, errno, "cannot make a socket");
	pid_t pid = fork();
	if (pid == 0)
		inside(pair[1]);
	close(pair[1]);
	int err = pid < 0 ? vcr_error_sys(e, errno, "cannot fork") : take_parcel(pair[0], s, e);
	close(pair[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	if (err)
		vcr_sealed_release(s);
	return err;
}

void vcr_sealed_release(struct vcr_sealed *s)
{
	int fd[FDS] = { s->user, s->mount, s->net };
	memcpy(fd + 3, s->listener, sizeof s->listener);
	for (int i = 0; i < FDS; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	*s = (struct vcr_sealed)VCR_SEALED_INIT;
}

void vcr_sealed_give_away(struct vcr_sealed *s)
{
	for (int i = 0; i < VCR_SEALED_LISTENERS; i++) {
		if (s->listener[i] >= 0)
			close(s->listener[i]);
		s->listener[i] = -1;
	}
}

/* ---- The command ---- */

int vcr_sealed_enter(const struct vcr_sealed *s, struct vcr_error *e)
{
	char cwd[4096];
	const char *back = getcwd(cwd, sizeof cwd);
	if ((s->user >= 0 && setns(s->user, CLONE_NEWUSER)) || setns(s->net, CLONE_NEWNET) || setns(s->mount, CLONE_NEWNS))
		return vcr_error_sys(e, errno, "cannot enter the namespaces");
	if (!back || chdir(back)) /* going into a mount namespace leads to its root */
		return vcr_error_sys(e, errno, "cannot go back to the working directory");
	return 0;
}

int vcr_sealed_cover(const char *hosts, const char *bundle, struct vcr_error *e)
{
	if (hosts && mount(hosts, "/etc/hosts", NULL, MS_BIND, NULL))
		return vcr_error_sys(e, errno, "/etc/hosts cannot be covered");
	for (size_t i = 0; bundle && vcr_sealed_bundles[i]; i++)
		if (!access(vcr_sealed_bundles[i], F_OK) && mount(bundle, vcr_sealed_bundles[i], NULL, MS_BIND, NULL))
			return vcr_error_sys(e, errno, "%s cannot be covered", vcr_sealed_bundles[i]);
	return 0;
}

/* A whole name, and no address: letters and digits, dots and dashes, and a letter among them. Its port ends it. */
static size_t name_length(const char *host)
{
	size_t n = strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
	bool letter = false;
	for (size_t i = 0; i < n; i++)
		letter |= isalpha((unsigned char)host[i]) != 0;
	return letter && (!host[n] || host[n] == ':') ? n : 0;
}

int vcr_sealed_write_hosts(const char *path, const char *const *hosts, struct vcr_error *e)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	char *now = malloc(ETC_HOSTS);
	int fd = open("/etc/hosts", O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;
	for (; hosts && *hosts; hosts++) {
		int k = (int)name_length(*hosts);
		if (k && strncasecmp(*hosts, "localhost", 9))
			vcr_buf_printf(&text, "127.0.0.1 %.*s\n::1 %.*s\n", k, *hosts, k, *hosts);
	}
	if (now && fd >= 0 && (n = read(fd, now, ETC_HOSTS)) > 0)
		vcr_buf_add(&text, now, (size_t)n);
	free(now);
	if (fd >= 0)
		close(fd);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd >= 0)
		fchmod(fd, 0644); /* whatever the umask is: it stands for one that everybody reads */
	bool done = fd >= 0 && !text.err && write(fd, text.data, text.len) == (ssize_t)text.len;
	int saved = errno;
	if (fd >= 0)
		close(fd);
	return done ? 0 : vcr_error_sys(e, saved, "%s", path);
}
