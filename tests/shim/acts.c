/* acts.c — one call of each hook, and the records it must leave. Expectations go to standard output as "FILE op name" and "NET hook bytes". */
#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <ftw.h>
#include <sched.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include "victim.h"

ssize_t __read_chk(int fd, void *buf, size_t n, size_t room);
ssize_t __recv_chk(int fd, void *buf, size_t n, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t room, int flags, struct sockaddr *from, socklen_t *len);
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);

static const char *prefix;
static int guest;
static char text[1 << 16];
static size_t text_size;

/* Standard output by a system call of ours at the end: the victim's own stdio is a thing under test. */
__attribute__((format(printf, 1, 2))) static void expect(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	text_size += (size_t)vsnprintf(text + text_size, sizeof text - text_size, format, ap);
	va_end(ap);
	text[text_size++] = '\n';
}

static char *name(const char *hook)
{
	static char ring[8][128];
	static unsigned at;
	char *to = ring[at++ % 8];
	snprintf(to, sizeof ring[0], "%s.%s", prefix, hook);
	return to;
}

static void must(int ok, const char *hook)
{
	if (!ok) {
		dprintf(2, "victim: %s: %s\n", hook, strerror(errno));
		syscall(SYS_exit_group, 9);
	}
}

/* A descriptor as an open left it: written once, closed. */
static void written(int fd, const char *hook, const char *file)
{
	must(fd >= 0, hook);
	must(write(fd, "x", 1) == 1, hook);
	must(write(fd, "y", 1) == 1, hook);
	must(close(fd) == 0, hook);
	expect("FILE OPEN %s", file);
	if (!guest) {
		expect("FILE WRITE %s", file);
		expect("FILE CLOSE %s", file);
	}
}

static void make(const char *file)
{
	int fd = (int)syscall(SYS_open, file, O_CREAT | O_WRONLY | O_TRUNC, 0644); /* by no hook */
	must(fd >= 0, file);
	must(syscall(SYS_write, fd, "data\n", 5) == 5, file);
	syscall(SYS_close, fd);
}

#define OPENED(hook, call) do { char *f = name(#hook); written(call, #hook, f); } while (0)

static void opens(void)
{
	enum { NEW = O_CREAT | O_WRONLY | O_TRUNC };
	OPENED(open, open(f, NEW, 0644));
	OPENED(open64, open64(f, NEW, 0644));
	OPENED(openat, openat(AT_FDCWD, f, NEW, 0644));
	OPENED(openat64, openat64(AT_FDCWD, f, NEW, 0644));
	OPENED(__open_2, (make(f), __open_2(f, O_WRONLY)));
	OPENED(__open64_2, (make(f), __open64_2(f, O_WRONLY)));
	OPENED(__openat_2, (make(f), __openat_2(AT_FDCWD, f, O_RDWR)));
	OPENED(__openat64_2, (make(f), __openat64_2(AT_FDCWD, f, O_RDWR)));
	OPENED(creat, creat(f, 0644));
	OPENED(creat64, creat64(f, 0644));
	OPENED(syscall, (int)syscall(SYS_openat, AT_FDCWD, f, NEW, 0644));
	char *f = name("readonly");
	make(f);
	int fd = open(f, O_RDONLY);
	must(fd >= 0 && close(fd) == 0, "readonly"); /* nothing to record */
}

static void stream(FILE *s, const char *hook, const char *file)
{
	must(s != NULL, hook);
	must(fputs("hello", s) >= 0 && fclose(s) == 0, hook);
	expect("FILE OPEN %s", file);
	if (!guest)
		expect("FILE CLOSE %s", file);
}

static void streams(void)
{
	char *f = name("fopen");
	stream(fopen(f, "w"), "fopen", f);
	f = name("fopen64");
	stream(fopen64(f, "a+"), "fopen64", f);
	f = name("freopen");
	stream(freopen(f, "w", fopen("/dev/null", "r")), "freopen", f);
	f = name("freopen64");
	stream(freopen64(f, "w", fopen("/dev/null", "r")), "freopen64", f);
}

#define TEMP(hook, suffix, call) do { char *f = name(#hook ".XXXXXX" suffix); int fd = call; written(fd, #hook, f); } while (0)

static void temps(void)
{
	TEMP(mkstemp, "", mkstemp(f));
	TEMP(mkstemp64, "", mkstemp64(f));
	TEMP(mkostemp, "", mkostemp(f, O_CLOEXEC));
	TEMP(mkostemp64, "", mkostemp64(f, O_CLOEXEC));
	TEMP(mkstemps, ".c", mkstemps(f, 2));
	TEMP(mkstemps64, ".c", mkstemps64(f, 2));
	TEMP(mkostemps, ".c", mkostemps(f, 2, O_CLOEXEC));
	TEMP(mkostemps64, ".c", mkostemps64(f, 2, O_CLOEXEC));
	char *d = name("mkdtemp.XXXXXX");
	must(mkdtemp(d) != NULL, "mkdtemp");
	expect("FILE MKDIR %s", d);
}

#define TWO(op, hook, call) do { char *f = name(#hook), *g = name(#hook ".to"); make(f); must((call) == 0, #hook); expect("FILE " op " %s -> %s", f, g); } while (0)
#define ONE(op, hook, call) do { char *f = name(#hook); make(f); must((call) == 0, #hook); expect("FILE " op " %s", f); } while (0)

static void names(void)
{
	TWO("RENAME", rename, rename(f, g));
	TWO("RENAME", renameat, renameat(AT_FDCWD, f, AT_FDCWD, g));
	TWO("RENAME", renameat2, renameat2(AT_FDCWD, f, AT_FDCWD, g, RENAME_NOREPLACE));
	TWO("EXCHANGE", exchange, (make(g), renameat2(AT_FDCWD, f, AT_FDCWD, g, RENAME_EXCHANGE)));
	TWO("LINK", link, link(f, g));
	TWO("LINK", linkat, linkat(AT_FDCWD, f, AT_FDCWD, g, 0));
	ONE("UNLINK", unlink, unlink(f));
	ONE("UNLINK", unlinkat, unlinkat(AT_FDCWD, f, 0));
	ONE("UNLINK", remove, remove(f));
	ONE("TRUNCATE", truncate, truncate(f, 2));
	ONE("TRUNCATE", truncate64, truncate64(f, 2));
	ONE("MODE", chmod, chmod(f, 0600));
	ONE("MODE", fchmodat, fchmodat(AT_FDCWD, f, 0600, 0));
	char *f = name("symlink"), *g = name("symlinkat"), *d = name("mkdir"), *e = name("mkdirat"), *h = name("lchmod");
	must(!symlink("some/target", f) && !symlinkat("some/target", AT_FDCWD, g), "symlink");
	expect("FILE LINK some/target -> %s", f);
	expect("FILE LINK some/target -> %s", g);
	must(!mkdir(d, 0755) && !mkdirat(AT_FDCWD, e, 0755) && !rmdir(d) && !remove(e), "mkdir");
	expect("FILE MKDIR %s", d);
	expect("FILE MKDIR %s", e);
	expect("FILE RMDIR %s", d);
	expect("FILE RMDIR %s", e);
	make(h);
	if (lchmod(h, 0600) == 0)
		expect("FILE MODE %s", h);
	errno = 0;
	must(rename("/nonexistent/a", "/nonexistent/b") < 0 && errno == ENOENT, "errno of a failing rename"); /* leaves nothing */
}

#define WRITES(hook, call) do { char *f = name(#hook); int fd = open(f, O_RDWR | O_CREAT, 0644); must(fd >= 0, #hook); \
	expect("FILE OPEN %s", f); must((call) >= 0, #hook); must(close(fd) == 0, #hook); \
	if (!guest) { expect("FILE WRITE %s", f); expect("FILE CLOSE %s", f); } } while (0)

static void writes(void)
{
	struct iovec v = { (char *)"abc", 3 };
	int from = open("/proc/self/exe", O_RDONLY);
	char *plain = name("source");
	make(plain);
	int source = open(plain, O_RDONLY), pipes[2];
	must(from >= 0 && source >= 0 && !pipe(pipes) && write(pipes[1], "abc", 3) == 3, "source");
	WRITES(write, write(fd, "a", 1));
	WRITES(writev, writev(fd, &v, 1));
	WRITES(pwrite, pwrite(fd, "a", 1, 0));
	WRITES(pwrite64, pwrite64(fd, "a", 1, 0));
	WRITES(pwritev, pwritev(fd, &v, 1, 0));
	WRITES(pwritev64, pwritev64(fd, &v, 1, 0));
	WRITES(pwritev2, pwritev2(fd, &v, 1, 0, 0));
	WRITES(pwritev64v2, pwritev64v2(fd, &v, 1, 0, 0));
	WRITES(sendfile, sendfile(fd, from, NULL, 10));
	WRITES(sendfile64, sendfile64(fd, from, NULL, 10));
	WRITES(copy_file_range, copy_file_range(source, NULL, fd, NULL, 3, 0));
	WRITES(splice, splice(pipes[0], NULL, fd, NULL, 3, 0));
	must(!close(from) && !close(source) && !close(pipes[0]) && !close(pipes[1]), "source");
}

/* A copy of a descriptor is written and closed like the first one. */
#define COPIES(hook, call) do { char *f = name(#hook); int first = open(f, O_WRONLY | O_CREAT, 0644), fd = call; must(first >= 0 && fd >= 0, #hook); \
	expect("FILE OPEN %s", f); must(write(fd, "a", 1) == 1 && !close(fd) && !close(first), #hook); \
	if (!guest) { expect("FILE WRITE %s", f); expect("FILE CLOSE %s", f); expect("FILE CLOSE %s", f); } } while (0)

static void copies(void)
{
	COPIES(dup, dup(first));
	COPIES(dup2, dup2(first, 77));
	COPIES(dup3, dup3(first, 78, O_CLOEXEC));
	COPIES(fcntl, fcntl(first, F_DUPFD, 60));
	COPIES(fcntl64, fcntl64(first, F_DUPFD_CLOEXEC, 60));
	char *f = name("ftruncate");
	int fd = open(f, O_RDWR | O_CREAT, 0644);
	must(fd >= 0 && !ftruncate(fd, 3) && !ftruncate64(fd, 4) && !fchmod(fd, 0600), "ftruncate");
	must(dup2(fd, 300) == 300 && !close(fd) && !close_range(300, 310, 0), "close_range");
	expect("FILE OPEN %s", f);
	expect("FILE TRUNCATE %s", f);
	expect("FILE TRUNCATE %s", f);
	expect("FILE MODE %s", f);
	if (!guest)
		expect("FILE CLOSE %s", f); /* once: the first descriptor was closed unwritten, with a copy that stayed */
	f = name("closefrom");
	fd = open(f, O_RDWR | O_CREAT, 0644);
	must(fd >= 0 && dup2(fd, 300) == 300 && !close(fd), "closefrom");
	closefrom(300);
	must(fcntl(300, F_GETFD) < 0, "closefrom");
	expect("FILE OPEN %s", f);
	if (!guest)
		expect("FILE CLOSE %s", f); /* once: the first descriptor was closed unwritten, with a copy that stayed */
}

/* ---- plain HTTP over the loopback ---- */

static int listener(struct sockaddr_in *a)
{
	socklen_t n = sizeof *a;
	int s = socket(AF_INET, SOCK_STREAM, 0);
	*a = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	must(s >= 0 && !bind(s, (void *)a, sizeof *a) && !listen(s, 8) && !getsockname(s, (void *)a, &n), "listen");
	return s;
}

struct pair { int client, server; };
static struct pair connected(int s, struct sockaddr_in *a)
{
	struct pair p = { .client = socket(AF_INET, SOCK_STREAM, 0) };
	must(!connect(p.client, (void *)a, sizeof *a), "connect");
	if (guest)
		expect("LOST");
	int error = -1;
	socklen_t size = sizeof error;
	must(!getsockopt(p.client, SOL_SOCKET, SO_ERROR, &error, &size) && !error, "getsockopt");
	p.server = accept(s, NULL, NULL);
	must(p.server >= 0, "accept");
	return p;
}

#define said(...) do { if (!guest) expect("NET " __VA_ARGS__); } while (0)

static void answer(int server)
{
	must(syscall(SYS_write, server, "HTTP/1.1 200 OK\r\n\r\n", 19) == 19, "answer");
}

#define SENDS(hook, call) do { struct pair p = connected(s, &a); int fd = p.client; char out[64]; \
	size_t n = (size_t)snprintf(out, sizeof out, "POST /%s.%s HTTP/1.1\r\n\r\n", prefix, #hook); struct iovec v = { out, n }; struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 }; \
	(void)m; must((call) > 0, #hook); said("POST /%s.%s", prefix, #hook); close(p.client); close(p.server); } while (0)
#define RECEIVES(hook, call) do { struct pair p = connected(s, &a); int fd = p.client; char in[64]; \
	size_t n = (size_t)snprintf(in, sizeof in, "POST /%s.%s HTTP/1.1\r\n\r\n", prefix, #hook); must(write(fd, in, n) == (ssize_t)n, #hook); \
	answer(p.server); struct iovec v = { in, sizeof in }; struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 }; (void)m; must((call) > 0, #hook); \
	said("POST /%s.%s", prefix, #hook); said("HTTP/1.1 200 OK"); close(p.client); close(p.server); } while (0)

static void net(void)
{
	struct sockaddr_in a;
	int s = listener(&a);
	struct mmsghdr mm;
	SENDS(send, send(fd, out, n, MSG_NOSIGNAL));
	SENDS(sendto, sendto(fd, out, n, 0, NULL, 0));
	SENDS(sendmsg, sendmsg(fd, &m, 0));
	SENDS(sendmmsg, (mm = (struct mmsghdr){ .msg_hdr = m }, sendmmsg(fd, &mm, 1, 0)));
	SENDS(sock_writev, writev(fd, &v, 1));
	RECEIVES(read, read(fd, in, sizeof in));
	RECEIVES(__read_chk, __read_chk(fd, in, sizeof in, sizeof in));
	RECEIVES(readv, readv(fd, &v, 1));
	RECEIVES(recv, recv(fd, in, sizeof in, 0));
	RECEIVES(peeked, recv(fd, in, sizeof in, MSG_PEEK) > 0 ? recv(fd, in, sizeof in, 0) : -1);
	RECEIVES(__recv_chk, __recv_chk(fd, in, sizeof in, sizeof in, 0));
	RECEIVES(recvfrom, recvfrom(fd, in, sizeof in, 0, NULL, NULL));
	RECEIVES(__recvfrom_chk, __recvfrom_chk(fd, in, sizeof in, sizeof in, 0, NULL, NULL));
	RECEIVES(recvmsg, recvmsg(fd, &m, 0));
	RECEIVES(recvmmsg, (mm = (struct mmsghdr){ .msg_hdr = m }, recvmmsg(fd, &mm, 1, 0, NULL)));
	struct pair p = connected(s, &a);
	must(write(p.client, "\x16\x03\x01 client hello", 16) == 16 && write(p.client, "POST /tls", 9) == 9, "tls"); /* ciphertext is let go */
	close(p.client);
	close(p.server);
	close(s);
}

static int look(const char *path, const struct stat *st, int kind, struct FTW *ftw) { return 0; }
static int look64(const char *path, const struct stat64 *st, int kind, struct FTW *ftw) { return 0; }

/* Files by relative names, more than one of each directory: its path is kept. */
static void relative(const char *in)
{
	for (int i = 0; i < 8; i++) {
		char f[8] = "r0";
		f[1] = (char)('0' + i);
		int fd = open(f, O_WRONLY | O_CREAT | O_TRUNC, 0644);
		must(fd >= 0 && close(fd) == 0, "relative");
		expect("FILE OPEN %s%s", in, f);
		if (!guest)
			expect("FILE CLOSE %s%s", in, f);
	}
}

static void moves(void)
{
	char *d = name("chdir"), in[128];
	char *paths[] = { d, NULL };
	int here = open(".", O_RDONLY | O_DIRECTORY);
	snprintf(in, sizeof in, "%s/", d);
	must(here >= 0 && !syscall(SYS_mkdirat, AT_FDCWD, d, 0755), "moves");
	expect("FILE MKDIR %s", d);
	must(!chdir(d), "chdir");
	relative(in);
	must(!fchdir(here), "fchdir");
	relative("");
	must(!syscall(SYS_chdir, d), "chdir by syscall");
	relative(in);
	must(!syscall(SYS_fchdir, here), "fchdir by syscall");
	relative("");
	must(chroot("/nonexistent") < 0 && setns(-1, 0) < 0 && !unshare(0), "moves");
	must(!nftw(d, look, 4, FTW_CHDIR) && !nftw64(d, look64, 4, FTW_CHDIR), "nftw");
	FTS *fts = fts_open(paths, FTS_PHYSICAL, NULL);
	FTS64 *fts64 = fts64_open(paths, FTS_PHYSICAL, NULL);
	must(fts && fts64 && !fts_close(fts) && !fts64_close(fts64), "fts");
	relative("");
	must(!close(here), "moves");
}

/* What is nobody's business comes through as it was. */
static void passing(void)
{
	char is[16] = "", was[16] = "";
	must(!prctl(PR_GET_NAME, was) && !prctl(PR_SET_NAME, "a victim") && !prctl(PR_GET_NAME, is) && !strcmp(is, "a victim") && !prctl(PR_SET_NAME, was), "prctl");
	must(dlopen(NULL, RTLD_LAZY) != NULL, "dlopen");
}

void victim_acts(const char *as, int in_vfork_child)
{
	prefix = as;
	guest = in_vfork_child;
	text_size = 0;
	opens();
	streams();
	temps();
	names();
	writes();
	copies();
	net();
	passing();
	moves();
	must(syscall(SYS_write, 1, text, text_size) == (long)text_size, "output");
}
