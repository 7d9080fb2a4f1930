/* vcr-standin — started in the place of a tool, by the library's exec hook (shim/stand.c). Not for people.
 *
 *   vcr-standin keep DIR path|name[:READER] PRELOAD PROGRAM [ARGUMENT…]      become PROGRAM, and keep what it prints
 *   vcr-standin keep:early …                                                 likewise, where it may be the agent, or have it under it
 *   vcr-standin answer SOCKET path|name[:READER] PRELOAD PROGRAM [ARGUMENT…] say what PROGRAM printed when it was recorded, and end as it did; or become it, if it was no tool
 *   vcr-standin early:HOW …                                                  likewise, where who begins it has not spoken to a model (standin.h)
 *   vcr-standin watch SOCKET path|name PRELOAD PROGRAM [ARGUMENT…]  become PROGRAM, which starts tools that the library does not see: under a filter that tells of them
 *
 * The arguments include the zeroth. READER is the process that reads what PROGRAM prints, if that is not its parent. PRELOAD is an entry of the environment that is PROGRAM's and not ours, or empty.
 *
 * Keeping: the process that was to run PROGRAM does, so its number, its parent, its signals and its exit status are what they would be. In front of its standard
 * output and error, where these are pipes or sockets, there is a pipe whose other end a process of ours copies; it belongs to nobody, ends when the last
 * writer has, and outlives what is sent to the process group. A regular file stays as it is: what is in it behind the place where the program began is
 * read, by that process or by the collector, when the program has ended. In front of a terminal there is another one (standin-terminal.h). Of other devices nothing is kept,
 * as they would not be what they are, nor of what goes where the parent's own output goes. What may be the agent has its terminal as it is. The file DIR/PID.N, N the first that is
 * free, is a list of chunks: a byte that says what, three of nothing, four of length in native order, then as many bytes:
 *   'i' so many bytes, in decimal, were typed on the terminal that 1 is; 'c' working directory; '1' '2' written to that descriptor (both the same pipe: 1); 'f' 'g' standard output, error is the regular file of that path, from the
 *   place on that stands in decimal before it and a space; 'n' 'm' the path of the one that is read here; '0' the pipe or socket that is its input, device and number; 'a' the arguments, a NUL behind each, that the library does not tell of (VCR_EXEC_ARGS, VCR_EXEC_BYTES); '-' why there will be nothing of that descriptor (its digit first); 'x' how it ended, as waitpid(2) has it, in decimal, where the kernel says it; '!' more than is kept; '.' the end. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include "notify.h"
#include "spool-format.h"
#include "standin.h"
#include "standin-terminal.h"

enum { NAMES = 64, STEP = 64 << 10, LEAST_FD = 100, MOST_FDS = 1024, CANNOT_RUN = 126, NOT_FOUND = 127, HELD_MS = 200, HELD_STEP_MS = 5, ENDS_MS = 100, REAPED_MS = 400, VCR_STANDIN_LINES = VCR_STANDIN_ASKED - 64,
	READERS = 3, WAITS = 5 /* of what is polled while it copies: what the program prints, what is typed, who reads it */ };

static bool write_all(int fd, const void *data, size_t n)
{
	const char *p = data;
	while (n) {
		ssize_t k = write(fd, p, n);
		if (k < 0 && errno == EAGAIN) { /* the other end has made it so */
			struct pollfd wait = { .fd = fd, .events = POLLOUT };
			poll(&wait, 1, -1);
			continue;
		}
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

/* ---- Keeping ---- */

struct stream {
	int from, to; /* -1: it is not copied */
	int file;     /* a regular file, opened for reading; -1 */
	off_t at;
	bool told;    /* it can be seen that nobody reads it any more */
};
struct keep {
	int file, program;    /* the latter a descriptor of the process; -1 */
	bool early;           /* it may be the agent */
	size_t kept;
	struct stream out[2];
	int on_terminal;      /* of its 1 and 2, the one that is copied through `terminal`; 0: none */
	struct vcr_terminal terminal;
};

static void put_no_more(struct keep *k)
{
	struct vcr_standin_chunk head = { .what = '!' };
	write_all(k->file, &head, sizeof head);
	k->kept = SIZE_MAX / 2;
}

static void put(struct keep *k, char what, const void *p, size_t n)
{
	struct vcr_standin_chunk head = { .what = what, .size = (uint32_t)n };
	if (k->file < 0 || k->kept > VCR_STANDIN_KEPT)
		return;
	if (k->kept + n > VCR_STANDIN_KEPT) {
		put_no_more(k);
		return;
	}
	k->kept += n;
	off_t at = lseek(k->file, 0, SEEK_END);
	if (write_all(k->file, &head, sizeof head) && write_all(k->file, p, n))
		return;
	if (at >= 0 && !ftruncate(k->file, at)) /* no room, or a limit on files that is the program's */
		put_no_more(k);
	k->kept = SIZE_MAX / 2;
}

static int make_file(const char *dir)
{
	char path[PATH_MAX];
	for (int n = 0; n < NAMES; n++) {
		snprintf(path, sizeof path, "%s/%d.%d", dir, (int)getpid(), n);
		int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd >= 0 || errno != EEXIST)
			return fd;
	}
	return -1;
}

/* Between 3 and LEAST_FD there may be what PROGRAM inherits. */
static int out_of_the_way(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, LEAST_FD);
	return high >= 0 ? close(fd), high : fd;
}

static void put_file(struct keep *k, int fd)
{
	char link[40], text[PATH_MAX + 40];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	int flags = fcntl(fd, F_GETFL);
	off_t at = lseek(fd, 0, flags >= 0 && flags & O_APPEND ? SEEK_END : SEEK_CUR);
	int n = snprintf(text, 40, "%lld ", (long long)(at > 0 ? at : 0));
	ssize_t length = readlink(link, text + n, PATH_MAX);
	struct stream *s = &k->out[fd - 1];
	if (k->program >= 0 && (s->file = open(link, O_RDONLY | O_CLOEXEC | O_NOCTTY)) >= 0) {
		s->file = out_of_the_way(s->file);
		s->at = at > 0 ? at : 0;
		put(k, fd == 1 ? 'n' : 'm', text + n, length > 0 ? (size_t)length : 0);
	} else if (length > 0)
		put(k, fd == 1 ? 'f' : 'g', text, (size_t)(n + length));
}

static bool is_null(const struct stat *st)
{
	struct stat null;
	return S_ISCHR(st->st_mode) && !stat("/dev/null", &null) && st->st_rdev == null.st_rdev;
}

static bool is_file(int fd, const struct stat *st)
{
	struct stat its;
	return !fstat(fd, &its) && its.st_dev == st->st_dev && its.st_ino == st->st_ino;
}

static bool are_the_same(void)
{
	struct stat st;
	return !fstat(1, &st) && is_file(2, &st);
}

static int reader; /* the agent's process that started it */

/* Does its parent print there too? Then nobody but the user reads it, and a copy would come late among what the parent prints. */
static bool is_parents(const struct stat *st)
{
	char path[40];
	struct stat its;
	for (int fd = 1; fd <= 2; fd++) {
		snprintf(path, sizeof path, "/proc/%d/fd/%d", reader, fd);
		if (!stat(path, &its) && its.st_dev == st->st_dev && its.st_ino == st->st_ino)
			return true;
	}
	return false;
}

/* Of two descriptors on the same one the first is copied. */
static bool begin_terminal(struct keep *k, int fd)
{
	if (!isatty(fd) || k->on_terminal || !vcr_terminal_begin(&k->terminal, fd))
		return false;
	k->on_terminal = fd;
	return true;
}

/* Is there something to copy from that descriptor? If not, why. */
static bool look_at(struct keep *k, int fd)
{
	struct stat st;
	const char *why = fd == 1 ? "1it is a terminal or another device" : "2it is a terminal or another device", *shared = "1it is its parent's";
	if (fstat(fd, &st) || is_null(&st))
		return false;
	if (is_parents(&st)) { /* an agent will not read it; what ran before there was one is seen there */
		if (k->early && fd == 1)
			put(k, '-', shared, strlen(shared));
		return false;
	}
	if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))
		return true;
	if (S_ISREG(st.st_mode))
		put_file(k, fd);
	else if ((!k->early && begin_terminal(k, fd)) || (fd == 2 && k->on_terminal && are_the_same()))
		return true;
	else
		put(k, '-', why, strlen(why));
	return false;
}

/* It has ended: what it has left in regular files. */
static void read_files(struct keep *k, char *buffer)
{
	struct pollfd p = { .fd = k->program, .events = POLLIN };
	if (k->out[0].file < 0 && k->out[1].file < 0)
		return;
	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
	for (int i = 0; i < 2; i++) {
		struct stream *s = &k->out[i];
		ssize_t n;
		while (s->file >= 0 && k->kept <= VCR_STANDIN_KEPT && (n = pread(s->file, buffer, STEP, s->at)) > 0) {
			put(k, i ? '2' : '1', buffer, (size_t)n);
			s->at += n;
		}
	}
}

static void end_stream(struct keep *k, int i)
{
	if (k->on_terminal == i + 1)
		vcr_terminal_end(&k->terminal);
	close(k->out[i].from);
	close(k->out[i].to);
	k->out[i].from = -1;
	k->out[i].told = false;
	if (k->on_terminal == i + 1)
		k->on_terminal = 0;
}

static volatile sig_atomic_t resized;

static void on_resized(int sig)
{
	resized = sig;
}

/* What is typed goes on when it is taken. An agent that has left its terminal hangs up. */
static void type(struct keep *k, const struct pollfd *outer, const struct pollfd *inner)
{
	if (k->on_terminal && inner->revents & POLLOUT)
		vcr_terminal_type(&k->terminal);
	if (!k->on_terminal || !outer->revents)
		return;
	char count[24];
	if (!vcr_terminal_typed(&k->terminal))
		end_stream(k, k->on_terminal - 1);
	else if (k->on_terminal == 1)
		put(k, 'i', count, (size_t)snprintf(count, sizeof count, "%zu", k->terminal.typed));
}

static void copy_stream(struct keep *k, int i, char *buffer)
{
	ssize_t n = read(k->out[i].from, buffer, STEP);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0)
		put(k, i ? '2' : '1', buffer, (size_t)n);
	if (n <= 0 || !write_all(k->out[i].to, buffer, (size_t)n))
		end_stream(k, i);
}

/* Where its reader may be gone for ever: a named pipe may get another one. */
static bool has_one_reader(int fd)
{
	struct statfs fs;
	int type = 0;
	socklen_t n = sizeof type;
	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) ? !fstatfs(fd, &fs) && fs.f_type == PIPEFS_MAGIC : type == SOCK_STREAM;
}

/* The size is looked at between two waits, of which a signal ends one. */
static bool wait_for(struct keep *k, struct pollfd p[WAITS], const sigset_t *mask)
{
	const struct vcr_terminal *t = &k->terminal;
	bool waits = k->on_terminal && t->at < t->typed;
	for (int i = 0; i < 2; i++) {
		p[i] = (struct pollfd){ k->out[i].from, (short)(POLLIN | (waits && k->on_terminal == i + 1 ? POLLOUT : 0)), 0 };
		p[READERS + i] = (struct pollfd){ k->out[i].told ? k->out[i].to : -1, 0, 0 };
	}
	p[2] = (struct pollfd){ k->on_terminal && !waits ? t->outer : -1, POLLIN, 0 };
	if (resized && k->on_terminal)
		vcr_terminal_resized(&k->terminal);
	resized = 0;
	if (p[0].fd < 0 && p[1].fd < 0)
		return false;
	if (ppoll(p, WAITS, NULL, mask) >= 0)
		return true;
	for (int i = 0; i < WAITS; i++)
		p[i].revents = 0;
	return errno == EINTR;
}

/* Of a process that has ended and has been waited for, the kernel says how to who has opened it before: Linux 6.15, ioctl_pidfd(2). */
struct pidfd_info_0 { uint64_t mask, cgroup; uint32_t number[11]; int32_t exit_code; };
#define PIDFD_GET_INFO_0 _IOWR(0xff, 11, struct pidfd_info_0)
enum { PIDFD_INFO_EXIT_0 = 1 << 3 };

static bool ask_end(const struct keep *k, struct pidfd_info_0 *info)
{
	*info = (struct pidfd_info_0){ .mask = PIDFD_INFO_EXIT_0 };
	return k->program >= 0 && !ioctl(k->program, PIDFD_GET_INFO_0, info);
}

static void await(int fd, short what, int ms)
{
	struct pollfd p = { .fd = fd, .events = what };
	while (poll(&p, 1, ms) < 0 && errno == EINTR)
		;
}

/* How it ended, which nobody else may see: who waits for it may have no library. It has closed what it printed to, so it is about to end, and to be waited for. */
static void put_end(struct keep *k)
{
	struct pidfd_info_0 info;
	char status[24];
	bool can = ask_end(k, &info);
	if (can && !(info.mask & PIDFD_INFO_EXIT_0)) {
		await(k->program, POLLIN, ENDS_MS);
		struct pollfd ended = { .fd = k->program, .events = POLLIN };
		if (poll(&ended, 1, 0) != 1)
			return;
		await(k->program, 0, REAPED_MS);
	}
	if (ask_end(k, &info) && info.mask & PIDFD_INFO_EXIT_0)
		put(k, 'x', status, (size_t)snprintf(status, sizeof status, "%d", (int)info.exit_code));
}

/* Copy until the last writer has ended. A reader that is gone is gone for the program too. */
static void copy(struct keep *k)
{
	struct sigaction winch = { .sa_handler = on_resized };
	char *buffer = malloc(STEP);
	struct pollfd p[WAITS];
	sigset_t blocked, mask;
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGWINCH);
	sigaction(SIGWINCH, &winch, NULL);
	sigprocmask(SIG_BLOCK, &blocked, &mask);
	if (k->on_terminal)
		vcr_terminal_copies(&k->terminal);
	resized = k->on_terminal;
	for (int i = 0; i < 2; i++)
		k->out[i].told = k->out[i].from >= 0 && k->on_terminal != i + 1 && has_one_reader(k->out[i].to);
	while (buffer && wait_for(k, p, &mask)) {
		for (int i = 2; i--;) { /* what is said of a question comes before its answer */
			if (p[i].fd >= 0 && p[i].revents & ~POLLOUT)
				copy_stream(k, i, buffer);
			if (k->out[i].told && p[READERS + i].revents & (POLLERR | POLLHUP))
				end_stream(k, i); /* the program hears that too, if it looks (tail -f) */
		}
		type(k, &p[2], &p[k->on_terminal == 2]);
	}
	if (buffer)
		read_files(k, buffer);
	put_end(k);
	put(k, '.', "", 0);
}

/* A process that is nobody's child, in no group that is sent signals, and holds nothing but what it copies. */
static void leave(void)
{
	static const int spared[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGPIPE, SIGTSTP, SIGTTOU, SIGTTIN, SIGALRM, SIGUSR1, SIGUSR2, SIGCONT };
	sigset_t none;
	sigemptyset(&none);
	setsid();
	for (size_t i = 0; i < sizeof spared / sizeof *spared; i++)
		signal(spared[i], SIG_IGN);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir("/"))
		_exit(0);
}

static bool begin_stream(struct keep *k, int fd, int ends[2])
{
	int both[2];
	if (k->on_terminal == fd) {
		k->out[fd - 1].from = k->terminal.inner;
		k->out[fd - 1].to = k->terminal.outer;
		return true;
	}
	if (pipe2(both, O_CLOEXEC))
		return false;
	ends[0] = out_of_the_way(both[0]);
	ends[1] = out_of_the_way(both[1]);
	k->out[fd - 1].from = ends[0];
	k->out[fd - 1].to = fcntl(fd, F_DUPFD_CLOEXEC, LEAST_FD);
	return k->out[fd - 1].to >= 0;
}

/* False: nothing was begun, and the descriptors are what they were. */
static bool begin_copying(struct keep *k, bool out, bool error)
{
	int ends[2][2] = { { -1, -1 }, { -1, -1 } };
	bool same = out && error && are_the_same(), good = (!out || begin_stream(k, 1, ends[0])) && (!error || same || begin_stream(k, 2, ends[1]));
	sigset_t all, mask;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &mask); /* until it has left: the program may end at once, and its terminal with it */
	pid_t between = good ? fork() : -1;
	if (between == 0) {
		if (fork() == 0) {
			for (int fd = 0; fd < MOST_FDS; fd++)
				if (fd != k->file && fd != k->program && fd != k->out[0].file && fd != k->out[1].file && fd != k->out[0].from && fd != k->out[0].to && fd != k->out[1].from && fd != k->out[1].to)
					close(fd);
			leave();
			copy(k);
		}
		_exit(0);
	}
	if (between > 0)
		waitpid(between, NULL, 0);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	if (k->on_terminal)
		between > 0 ? vcr_terminal_enter(&k->terminal) : vcr_terminal_undo(&k->terminal);
	for (int i = 0; i < 2; i++) {
		if (between > 0 && ends[i][1] >= 0)
			dup2(ends[i][1], i + 1);
		for (int n = 0; n < 2; n++)
			if (ends[i][n] >= 0)
				close(ends[i][n]);
		if (k->out[i].to >= 0 && k->on_terminal != i + 1)
			close(k->out[i].to);
		if (k->out[i].file >= 0)
			close(k->out[i].file);
	}
	if (k->program >= 0)
		close(k->program);
	if (between > 0 && same)
		dup2(1, 2);
	return between > 0;
}

/* Who asks it there (shim/rpc.c has the same). */
static void put_input(struct keep *k)
{
	char text[48];
	struct stat st;
	if (!fstat(0, &st) && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))
		put(k, '0', text, (size_t)snprintf(text, sizeof text, "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino));
}

/* Besides what it prints: it does not count. */
static void put_rest(struct keep *k, char *const argv[])
{
	size_t told = 0, n = 0, rest = 0, kept = k->kept;
	for (; argv[n] && n < VCR_EXEC_ARGS && told + strlen(argv[n]) + 1 <= VCR_EXEC_BYTES; n++)
		told += strlen(argv[n]) + 1;
	for (size_t i = n; argv[i]; i++)
		rest += strlen(argv[i]) + 1;
	char *text = rest && rest <= VCR_STANDIN_ASKED ? malloc(rest) : NULL, *at = text;
	if (!text)
		return;
	for (; argv[n]; n++)
		at = stpcpy(at, argv[n]) + 1;
	put(k, 'a', text, rest);
	free(text);
	if (k->kept < SIZE_MAX / 2)
		k->kept = kept;
}

/* The library finds it in the program, and in those under it: they are covered. */
static void mark_within(void)
{
	const char *spool = getenv("VCR_SPOOL");
	char text[PATH_MAX + 16];
	if (spool && (size_t)snprintf(text, sizeof text, "t%s", spool) < sizeof text)
		setenv("VCR_SPOOL", text, 1);
}

static void keep(const char *dir, bool early, char *const argv[])
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, large;
	struct keep k = { .file = make_file(dir), .program = -1, .early = early, .out = { { -1, -1, -1, 0, false }, { -1, -1, -1, 0, false } } };
	char cwd[PATH_MAX];
	if (k.file < 0)
		return;
	k.file = out_of_the_way(k.file);
	sigaction(SIGXFSZ, &ignore, &large); /* the program's limit on files is ours too, and our file none of its business */
	if (getcwd(cwd, sizeof cwd))
		put(&k, 'c', cwd, strlen(cwd));
	put_input(&k);
	put_rest(&k, argv);
	int program = (int)syscall(SYS_pidfd_open, getpid(), 0); /* Linux 5.3; without it the collector reads what is in files */
	k.program = program >= 0 ? out_of_the_way(program) : -1;
	bool out = look_at(&k, 1), error = (k.out[0].file < 0 || !are_the_same()) && look_at(&k, 2), files = k.out[0].file >= 0 || k.out[1].file >= 0;
	if (!(out || error || files) || !begin_copying(&k, out, error))
		put(&k, out || error || files ? '!' : '.', "", 0);
	close(k.file);
	sigaction(SIGXFSZ, &large, NULL);
}

/* With the signals as they were. */
_Noreturn static void become(bool by_name, const char *program, char *const argv[])
{
	by_name ? execvp(program, argv) : execv(program, argv);
	int err = errno;
	fprintf(stderr, "%s: %s\n", program, strerror(err));
	_exit(err == ENOENT || err == ENOTDIR ? NOT_FOUND : CANNOT_RUN);
}

/* ---- Answering ---- */

static struct sigaction as_it_was; /* SIGPIPE, for who is gone that we ask */

static void spare_pipe(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	sigaction(SIGPIPE, &ignore, &as_it_was);
}

static void restore_pipe(void)
{
	sigaction(SIGPIPE, &as_it_was, NULL);
}

static int connect_to(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = strlen(path) < sizeof a.sun_path ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
	if (fd < 0)
		return -1;
	strcpy(a.sun_path, path);
	if (!connect(fd, (struct sockaddr *)&a, sizeof a))
		return fd;
	close(fd);
	return -1;
}

/* cwd, then the arguments, each with its NUL; then our direction ends. early: NULL, or how it begins then. */
static bool ask(int fd, const char *early, const char *program, char *const argv[])
{
	static const char mark = VCR_STANDIN_EARLY;
	char cwd[PATH_MAX] = "";
	if (!getcwd(cwd, sizeof cwd))
		*cwd = 0;
	bool good = !early || (write_all(fd, &mark, 1) && write_all(fd, early, strlen(early) + 1) && write_all(fd, program, strlen(program) + 1));
	good = good && write_all(fd, cwd, strlen(cwd) + 1);
	for (; good && *argv; argv++)
		good = write_all(fd, *argv, strlen(*argv) + 1);
	return good && !shutdown(fd, SHUT_WR);
}

static bool read_all(int fd, void *to, size_t n)
{
	for (char *p = to; n;) {
		ssize_t k = read(fd, p, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

_Noreturn static void end_as(const struct vcr_standin_answer *a)
{
	if (a->how != VCR_STANDIN_SIGNAL)
		_exit((int)a->value);
	struct rlimit no_core = { 0, 0 };
	sigset_t one;
	sigemptyset(&one);
	sigaddset(&one, (int)a->value);
	setrlimit(RLIMIT_CORE, &no_core);
	signal((int)a->value, SIG_DFL);
	raise((int)a->value);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	_exit(128 + (int)a->value);
}

/* Has our parent that file too, under any number? */
static bool is_held(const struct stat *st)
{
	char path[64];
	struct stat its;
	struct dirent *e;
	snprintf(path, sizeof path, "/proc/%d/fd", reader);
	DIR *d = opendir(path);
	bool held = false;
	while (d && !held && (e = readdir(d)))
		held = !fstatat(dirfd(d), e->d_name, &its, 0) && its.st_dev == st->st_dev && its.st_ino == st->st_ino;
	if (d)
		closedir(d);
	return held;
}

/* He may be about to close it: then that is waited for. Meanwhile `idle`. */
static bool stays_held(int fd, bool (*idle)(void))
{
	struct stat st;
	int ms = 0;
	if (fstat(fd, &st))
		return false;
	for (; ms < HELD_MS && is_held(&st); ms += HELD_STEP_MS) {
		if (idle)
			idle();
		poll(NULL, 0, HELD_STEP_MS);
	}
	return ms >= HELD_MS;
}

/* What the tool is fed is read as it was, or who feeds it would hear that nobody does; and the tool may have ended long before its feeder does. So that is
 * done by a process that is nobody's child and holds nothing else. */
static void drain_later(void)
{
	char buffer[STEP];
	pid_t between = fork();
	if (between == 0) {
		struct pollfd p = { .fd = 0, .events = POLLIN };
		if (fork() == 0) {
			for (int fd = 1; fd < MOST_FDS; fd++)
				close(fd);
			leave();
			for (ssize_t n = 1; n && (poll(&p, 1, -1) >= 0 || errno == EINTR);)
				if ((n = read(0, buffer, sizeof buffer)) < 0 && errno != EINTR && errno != EAGAIN)
					break;
		}
		_exit(0);
	}
	if (between > 0)
		waitpid(between, NULL, 0);
}

/* A parent's own input is not the tool's alone, and is left. Of a socket that is the tool's output too (true) who waits for its end would wait for such a process: it is read
 * while the tool prints, and afterwards. */
static bool begin_draining(void)
{
	struct stat st, its;
	char path[40];
	snprintf(path, sizeof path, "/proc/%d/fd/0", reader);
	if (fstat(0, &st) || !(S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) || (!stat(path, &its) && its.st_dev == st.st_dev && its.st_ino == st.st_ino))
		return false;
	if (is_file(1, &st) || is_file(2, &st))
		return true;
	drain_later();
	return false;
}

/* False: nothing more will come. */
static bool drain_now(void)
{
	char buffer[STEP];
	ssize_t n;
	while ((n = recv(0, buffer, sizeof buffer, MSG_DONTWAIT)) > 0)
		;
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* Who feeds the tool may do it all before he reads what it prints, and a socket holds so much of either. */
static void write_draining(int fd, const char *p, size_t n)
{
	for (bool fed = true; n;) {
		struct pollfd both[2] = { { .fd = fed ? 0 : -1, .events = POLLIN }, { .fd = fd, .events = POLLOUT } };
		if (poll(both, 2, -1) < 0 && errno != EINTR)
			return;
		if (fed && both[0].revents)
			fed = drain_now();
		ssize_t k = both[1].revents ? send(fd, p, n, MSG_DONTWAIT) : 0;
		if (k < 0 && errno == ENOTSOCK)
			k = write(fd, p, n < PIPE_BUF ? n : PIPE_BUF); /* it has room for so many, or is none that one waits for */
		if (k < 0 && errno != EAGAIN && errno != EINTR)
			return;
		p += k > 0 ? k : 0;
		n -= k > 0 ? (size_t)k : 0;
	}
}

/* The tool has printed all. What it is still fed is read by that process, and the end is said, which our exit would not say then: unless our parent keeps that end for
 * another one. */
static void end_both_ways(void)
{
	bool held = stays_held(0, drain_now);
	drain_now(); /* a socket that is closed with words unread is an error for who has said them */
	if (held)
		return;
	drain_later();
	shutdown(0, SHUT_WR);
}

/* At once: what is typed is echoed in what was kept. The parent's own terminal is left alone. */
static struct vcr_terminal_modes *take_terminal(int fd)
{
	struct stat st;
	return fstat(fd, &st) || !S_ISCHR(st.st_mode) || is_parents(&st) || (fd == 2 && is_file(1, &st)) ? NULL : vcr_terminal_bare(fd);
}

/* A question about a server: what it has heard. It is printed what it says; false: it has ended, and as *a says. */
static bool say_heard(const char *path, int what, uint32_t server, const char *line, size_t n, struct vcr_standin_answer *a)
{
	char head[16], *text = NULL;
	int fd = connect_to(path), k = snprintf(head, sizeof head, "%c%u", what, server) + 1;
	spare_pipe();
	bool good = fd >= 0 && write_all(fd, head, (size_t)k) && write_all(fd, line, n) && write_all(fd, "", 1) && !shutdown(fd, SHUT_WR) && read_all(fd, a, sizeof *a) &&
		(text = malloc((size_t)a->out + a->error + 1)) && read_all(fd, text, (size_t)a->out + a->error);
	restore_pipe();
	if (fd >= 0)
		close(fd);
	if (!good) {
		free(text);
		*a = (struct vcr_standin_answer){ .value = NOT_FOUND };
		return false;
	}
	write_all(2, text + a->out, a->error);
	write_all(1, text, a->out);
	free(text);
	return a->how == VCR_STANDIN_SERVE;
}

/* Can anybody ask it? Not where what was asked in the recording was a program inside of it, by a pipe of its own. */
static bool is_fed(void)
{
	struct stat st;
	return !fstat(0, &st) && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

/* Until its input ends. A line that is longer than what is asked ends it too. */
_Noreturn static void serve(const char *path, uint32_t server, const char *error, size_t nerror)
{
	struct vcr_standin_answer a;
	char *line = malloc(VCR_STANDIN_LINES);
	size_t have = 0;
	ssize_t n;
	bool fed = is_fed();
	write_all(2, error, nerror);
	while (line && fed && have < VCR_STANDIN_LINES && ((n = read(0, line + have, VCR_STANDIN_LINES - have)) > 0 || (n < 0 && errno == EINTR))) {
		size_t at = 0;
		have += n > 0 ? (size_t)n : 0;
		for (char *end; (end = memchr(line + at, '\n', have - at)); at = (size_t)(end + 1 - line))
			if (!say_heard(path, VCR_STANDIN_LINE, server, line + at, (size_t)(end - line) - at, &a))
				end_as(&a);
		memmove(line, line + at, have -= at);
	}
	say_heard(path, VCR_STANDIN_END, server, "", 0, &a);
	end_as(&a);
}

/* As it was typed to, step by step. */
static void print_typed(const char *text, size_t n, const struct vcr_standin_mark *mark, size_t marks)
{
	size_t done = 0;
	for (size_t i = 0; i < marks && mark[i].at >= done && mark[i].at <= n; i++) {
		write_all(1, text + done, mark[i].at - done);
		done = mark[i].at;
		if (!vcr_terminal_await(1, mark[i].typed))
			break;
	}
	write_all(1, text + done, n - done);
}

static void print(int fd, const char *text, size_t n, bool both_ways)
{
	both_ways ? write_draining(fd, text, n) : (void)write_all(fd, text, n);
}

/* Returns if the program is to run. */
static void answer(const char *path, const char *early, const char *program, char *const argv[])
{
	struct vcr_standin_answer a;
	struct vcr_standin_mark mark[VCR_STANDIN_MARKS];
	char *text = NULL;
	struct vcr_terminal_modes *bare = take_terminal(1), *bare_error = take_terminal(2);
	int fd = connect_to(path);
	spare_pipe();
	/* all of it at once: who answers does not wait for who reads it */
	if (fd < 0 || !ask(fd, early, program, argv) || !read_all(fd, &a, sizeof a) || a.marks > VCR_STANDIN_MARKS || !read_all(fd, mark, a.marks * sizeof *mark) || !(text = malloc((size_t)a.out + a.error + 1)) || !read_all(fd, text, (size_t)a.out + a.error)) {
		fprintf(stderr, "vcr replay: %s: nobody is there who could say what it printed\n", program);
		_exit(NOT_FOUND);
	}
	close(fd);
	restore_pipe();
	if (a.how == VCR_STANDIN_RUN) {
		vcr_terminal_dress(2, bare_error, true);
		vcr_terminal_dress(1, bare, true);
		return;
	}
	if (a.how == VCR_STANDIN_SERVE)
		serve(path, a.value, text, a.error);
	if (bare && vcr_terminal_leads(1))
		signal(SIGHUP, SIG_IGN); /* the agent may hang up as soon as it has read all */
	bool both_ways = begin_draining();
	if (bare)
		print_typed(text, a.out, mark, a.marks);
	else
		print(1, text, a.out, both_ways);
	print(2, text + a.out, a.error, both_ways);
	vcr_terminal_dress(2, bare_error, bare_error && stays_held(2, NULL));
	vcr_terminal_dress(1, bare, bare && stays_held(1, NULL));
	if (both_ways)
		end_both_ways();
	end_as(&a);
}

/* ---- Watching ---- */

/* Where vcr-replay waits for listeners. */
static int connect_to_warden(const char *place)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = (size_t)snprintf(a.sun_path, sizeof a.sun_path, "%s" VCR_STANDIN_WATCHED, place) < sizeof a.sun_path ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&a, sizeof a))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Of what it was lent (shim/lend.c). */
static int32_t number_it_was_lent_by(void)
{
	static const char before[] = "=http://vcr-";
	const char *list = getenv("VCR_LENT"), *at = list ? strstr(list, before) : NULL;
	return at ? (int32_t)strtol(at + sizeof before - 1, NULL, 10) : 0;
}

static bool hand_over(int warden, const struct vcr_standin_watched *what, int ack, int listener)
{
	int fd[2] = { ack, listener };
	size_t n = listener >= 0 ? sizeof fd : sizeof *fd;
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof fd)]; } control = { 0 };
	struct iovec part = { (void *)(uintptr_t)what, sizeof *what };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(n) };
	control.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(n), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(&control.head), fd, n);
	ssize_t sent;
	while ((sent = sendmsg(warden, &m, MSG_NOSIGNAL)) < 0 && errno == EINTR)
		;
	return sent == (ssize_t)sizeof *what;
}

/* Nothing of it is open when PROGRAM begins. If nobody is there any more who answers, what is told fails: no tool runs. */
static void be_watched(const char *place, const char *program)
{
	struct vcr_standin_watched what = { .number = number_it_was_lent_by() };
	struct vcr_error e = { 0 };
	int warden = connect_to_warden(place), listener = -1, ack[2];
	char byte;
	if (warden < 0) {
		fprintf(stderr, "vcr replay: %s: nobody is there who watches what it starts\n", program);
		return;
	}
	if (pipe2(ack, O_CLOEXEC)) {
		close(warden);
		return;
	}
	if (vcr_notify_install_execs(&listener, &e))
		listener = -1;
	what.busy = e.code == VCR_EBUSY;
	snprintf(what.program, sizeof what.program, "%s", program);
	snprintf(what.why, sizeof what.why, "%s", e.what);
	bool told = hand_over(warden, &what, ack[1], listener);
	close(ack[1]);
	if (listener >= 0)
		close(listener);
	close(warden);
	while (told && read(ack[0], &byte, 1) < 0 && errno == EINTR)
		;
	close(ack[0]);
}

/* The library would not see start what such a program starts. */
static bool is_unseen(const char *how)
{
	return !strcmp(how, "go") || !strcmp(how, "static") || !strcmp(how, "musl");
}

int main(int argc, char **argv)
{
	const char *what = argc >= 6 ? argv[1] : "", *early = strncmp(what, "early:", 6) ? NULL : what + 6;
	bool keeps = !strcmp(what, "keep"), starts = !strcmp(what, "keep:early"), watches = !strcmp(what, "watch");
	if (!keeps && !starts && !watches && !early && (argc < 7 || strcmp(what, "answer"))) {
		fputs("vcr-standin is started by the library of vcr where vcr-record --capture=all or vcr-replay --hermetic says so; there is no need to start it by hand\n", stderr);
		return 2;
	}
	bool by_name = !strncmp(argv[3], "name", 4);
	const char *other = strchr(argv[3], ':');
	reader = other ? atoi(other + 1) : (int)getppid();
	if (keeps)
		mark_within();
	if (keeps || starts)
		keep(argv[2], starts, argv + 6);
	else if (!watches)
		answer(argv[2], early, argv[5], argv + 6);
	if (watches || (early && is_unseen(early)))
		be_watched(argv[2], argv[5]);
	if (*argv[4])
		putenv(argv[4]);
	become(by_name, argv[5], argv + 6);
}
