#include "control.h"
#include "json.h"
#include "paths.h"
#include "pids.h"
#include "spool.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { MOST_GIVEN = 16 };
enum {
	LEAST_MS = 50, /* that a session gets though others have used up the time for all */
	STARTS_MS = 3000, /* that a collector which was started is waited for until it has the spool, */
	LATE_MS = 1000,   /* of which so long after its programs have given up waiting for it */
	ENDS_MS = 500, /* that a collector whose processes have all gone is waited for */
	IDLE_S = 600,  /* age of a spool that nobody needs, whatever directory it is of: its last process was killed, or went where it cannot be reached */
};

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The address of a session's socket. sun_path is short, so the directory is addressed through its descriptor when needed. */
static int address(const char *session_id, const char *suffix, struct vcr_buf *path, struct sockaddr_un *a, struct vcr_error *e)
{
	int err = vcr_paths_check_session_id(session_id, e);
	if (err || (err = vcr_paths_runtime_dir(path, e)))
		return err;
	vcr_buf_printf(path, "/%s%s", session_id, suffix);
	if (!a)
		return path->err;
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (path->len >= sizeof a->sun_path)
		return vcr_error_set(e, VCR_ELIMIT, "%s: too long for a socket's name", path->data);
	memcpy(a->sun_path, path->data, path->len + 1);
	return 0;
}

static int write_all(int fd, const char *p, size_t n, int64_t until)
{
	while (n) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (k > 0) {
			p += k;
			n -= (size_t)k;
		} else if (k < 0 && errno == EAGAIN && now_ms() < until) {
			struct pollfd f = { fd, POLLOUT, 0 };
			poll(&f, 1, (int)(until - now_ms()));
		} else if (k >= 0 || errno != EINTR) {
			return VCR_EIO;
		}
	}
	return 0;
}

static int read_line(int fd, struct vcr_buf *out, int64_t until)
{
	char some[4096];
	for (;;) {
		struct pollfd f = { fd, POLLIN, 0 };
		int64_t left = until - now_ms();
		int r = left > 0 ? poll(&f, 1, (int)left) : 0;
		if (r == 0)
			return VCR_EBUSY;
		ssize_t k = r < 0 ? -1 : read(fd, some, sizeof some);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return VCR_ETRUNC;
		const char *end = memchr(some, '\n', (size_t)k);
		if (vcr_buf_add(out, some, end ? (size_t)(end - some) : (size_t)k))
			return out->err;
		if (end)
			return 0;
	}
}

int vcr_control_ask(const char *session_id, const char *request_json, struct vcr_buf *answer, int timeout_ms, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	struct sockaddr_un a;
	int64_t until = now_ms() + timeout_ms;
	int err = address(session_id, ".sock", &path, &a, e);
	if (err)
		return err;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a)) {
		err = errno == ENOENT || errno == ECONNREFUSED ? vcr_error_set(e, VCR_ENOTFOUND, "session %s is not being recorded now", session_id)
			: vcr_error_sys(e, errno, "%s", path.data);
		if (fd >= 0)
			close(fd);
		return err;
	}
	if ((err = write_all(fd, request_json, strlen(request_json), until)) || (err = write_all(fd, "\n", 1, until)) || (err = read_line(fd, answer, until)))
		vcr_error_set(e, err, "the collector of session %s did not answer: %s", session_id, vcr_strerror(err));
	close(fd);
	return err;
}

int vcr_control_program_path(const char *name, struct vcr_buf *path, struct vcr_error *e)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 40);
	if (n > 0) {
		self[n] = 0;
		snprintf(strrchr(self, '/') + 1, 40, "%s", name);
		if (!access(self, X_OK))
			return vcr_buf_puts(path, self);
	}
	snprintf(self, sizeof self, VCR_PKGLIBEXECDIR "/%s", name);
	if (!access(self, X_OK))
		return vcr_buf_puts(path, self);
	return vcr_error_set(e, VCR_ENOTFOUND, "%s is not at " VCR_PKGLIBEXECDIR "; reinstall vcr", name);
}

int vcr_control_collector_path(struct vcr_buf *path, struct vcr_error *e)
{
	const char *set = getenv("VCR_COLLECTOR");
	if (set && *set)
		return vcr_buf_puts(path, set);
	return vcr_control_program_path("vcr-collector", path, e);
}

int vcr_control_judge_path(struct vcr_buf *path, struct vcr_error *e)
{
	const char *set = getenv("VCR_JUDGE");
	if (set && *set)
		return vcr_buf_puts(path, set);
	return vcr_control_program_path("vcr-verbs", path, e); /* by the name vcr-sentinel */
}

int vcr_control_await_result(const char *session_id)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	if (address(session_id, ".result", &path, NULL, NULL))
		return -1;
	int fd = open(path.data, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB)) {
		close(fd);
		return -1;
	}
	return fd;
}

int vcr_control_take_result(const char *session_id, int awaits, struct vcr_buf *json, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	char some[4096];
	ssize_t n;
	int err = address(session_id, ".result", &path, NULL, e);
	if (err)
		return err;
	if (awaits < 0)
		return vcr_error_set(e, VCR_ENOTFOUND, "%s: nothing is left there", path.data);
	for (off_t at = 0; (n = pread(awaits, some, sizeof some, at)) > 0; at += n)
		vcr_buf_add(json, some, (size_t)n);
	unlink(path.data);
	close(awaits);
	return json->err ? json->err : json->len ? 0 : vcr_error_set(e, VCR_ENOTFOUND, "%s: nothing was left there", path.data);
}

void vcr_control_leave_result(const char *session_id, const struct vcr_buf *json)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	if (address(session_id, ".result", &path, NULL, NULL))
		return;
	int fd = open(path.data, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return; /* nobody waits */
	if (!flock(fd, LOCK_SH | LOCK_NB) || write(fd, json->data, json->len) != (ssize_t)json->len)
		unlink(path.data); /* who waited was killed; or half a word */
	close(fd);
}

/* ---- Settling ---- */

static bool root_alive(const struct vcr_spool_header *h)
{
	pid_t root = vcr_pids_root(h);
	return root > 0 && (!kill(root, 0) || errno == EPERM) && (!h->root_start || vcr_spool_start_time(root) == h->root_start);
}

static bool maps(const char *pid, const struct stat *file)
{
	char path[64], line[PATH_MAX + 100];
	unsigned long inode;
	unsigned high, low;
	bool found = false;
	snprintf(path, sizeof path, "/proc/%.20s/maps", pid);
	FILE *f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof line, f))
		found = sscanf(line, "%*s %*s %*s %x:%x %lu", &high, &low, &inode) == 3 && inode == file->st_ino && makedev(high, low) == file->st_dev;
	if (f)
		fclose(f);
	return found;
}

/* By a process that may still record, such as a daemon that has been idle. */
static bool is_mapped(const struct stat *file)
{
	DIR *d = opendir("/proc");
	struct dirent *ent;
	bool found = false;
	while (d && !found && (ent = readdir(d)))
		found = *ent->d_name >= '1' && *ent->d_name <= '9' && maps(ent->d_name, file);
	if (d)
		closedir(d);
	return found;
}

const char *vcr_control_prices_path(void)
{
	static const char installed[] = VCR_PKGDATADIR "/prices.json";
	static char built[4200];
	ssize_t n = readlink("/proc/self/exe", built, 4096);
	char *slash = n > 0 && access(installed, R_OK) ? (built[n] = 0, strrchr(built, '/')) : NULL;
	if (!slash)
		return installed;
	strcpy(slash, "/data/prices.json");
	return access(built, R_OK) ? installed : built;
}

/* What a new program is given: copies above all numbers that it will be given them at. */
static void give(posix_spawn_file_actions_t *files, const int *fd, int n, int *copy)
{
	for (int i = 0; i < n; i++)
		if ((copy[i] = fd[i] < 0 ? -1 : fcntl(fd[i], F_DUPFD_CLOEXEC, 3 + MOST_GIVEN)) >= 0)
			posix_spawn_file_actions_adddup2(files, copy[i], 3 + i);
		else
			posix_spawn_file_actions_addclose(files, 3 + i);
	posix_spawn_file_actions_addclosefrom_np(files, 3 + n);
}

int vcr_control_spawn(char *const argv[], int words, pid_t *pid, struct vcr_error *e)
{
	return vcr_control_spawn_with(argv, words, NULL, 0, pid, e);
}

int vcr_control_spawn_with(char *const argv[], int words, const int *given, int n, pid_t *pid, struct vcr_error *e)
{
	int copy[MOST_GIVEN];
	if (n > MOST_GIVEN)
		return vcr_error_set(e, VCR_EINVAL, "too many descriptors");
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	char *preload = getenv("LD_PRELOAD") ? strdup(getenv("LD_PRELOAD")) : NULL;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	for (int fd = 0; fd < 3; fd++)
		posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
	if (words >= 0)
		posix_spawn_file_actions_adddup2(&files, words, 2);
	give(&files, given, n, copy);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	unsetenv("LD_PRELOAD");
	int err = posix_spawn(pid, argv[0], &files, &attr, argv, environ);
	if (preload)
		setenv("LD_PRELOAD", preload, 1);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	for (int i = 0; i < n; i++)
		if (copy[i] >= 0)
			close(copy[i]);
	free(preload);
	return err ? vcr_error_sys(e, err, "cannot start %s", argv[0]) : 0;
}

static bool drained(const char *session, int timeout_ms)
{
	VCR_AUTO_BUF answer = VCR_BUF_INIT;
	return !vcr_control_ask(session, "{\"op\":\"drain\"}", &answer, timeout_ms, NULL);
}

/* A new collector for a dead one, until it has ended or answers. False if it cannot be run, or fails. */
static bool salvage(const char *session, const char *path, int64_t until)
{
	VCR_AUTO_BUF program = VCR_BUF_INIT;
	int status = 0;
	pid_t pid;
	if (vcr_control_collector_path(&program, NULL))
		return false;
	char *argv[] = { program.data, "--spool", (char *)path, "--salvage", NULL };
	if (vcr_control_spawn(argv, -1, &pid, NULL))
		return false;
	while (now_ms() < until) {
		pid_t got = waitpid(pid, &status, WNOHANG);
		if (got)
			return got < 0 || (WIFEXITED(status) && !WEXITSTATUS(status));
		if (drained(session, (int)(until - now_ms())))
			return true;
		poll(NULL, 0, 5);
	}
	return false;
}

/* Its last process has gone, and the collector waits only for what may still begin: then a session that has ended is read, not one that ends. */
static void wait_for_end(const struct vcr_buf *drained, const char *path, int64_t until)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	int64_t left = 0;
	if (vcr_json_parse(&j, drained->data, drained->len, 0, NULL) || !vcr_json_int(&j, vcr_json_get(&j, 0, "processes"), &left) || left)
		return;
	until = until < now_ms() + ENDS_MS ? until : now_ms() + ENDS_MS;
	while (!access(path, F_OK) && now_ms() < until)
		poll(NULL, 0, 5);
}

/* Until the collector has answered or is gone together with its spool. One that is being killed refuses, or hangs up, while it still holds
 * the spool's lock, and the one that is to salvage ends at once then: so both are asked again. */
static void settle_session(const char *session, const char *path, int timeout_ms)
{
	int64_t until = now_ms() + timeout_ms;
	for (int pause_ms = 5; !access(path, F_OK) && now_ms() < until; pause_ms = pause_ms < 200 ? 2 * pause_ms : pause_ms) {
		VCR_AUTO_BUF answer = VCR_BUF_INIT;
		int err = vcr_control_ask(session, "{\"op\":\"drain\"}", &answer, timeout_ms, NULL);
		if (!err)
			wait_for_end(&answer, path, until);
		if (!err || err == VCR_EBUSY || err == VCR_EINVAL || (err == VCR_ENOTFOUND && !access(path, F_OK) && !salvage(session, path, until)))
			return;
		if (!access(path, F_OK))
			poll(NULL, 0, pause_ms);
	}
}

/* A program that is over at once may have ended before its collector began. Until that has the spool another one must not take it: who salvages has no savepoints.
 * One that should have begun long ago will not: it cannot be run, or was killed. */
static void wait_for_start(const struct vcr_spool_header *h)
{
	int64_t until = now_ms() + STARTS_MS, late = (int64_t)(h->base_deadline_ns / 1000000) + LATE_MS;
	if (h->base_deadline_ns && late < until)
		until = late;
	while (__atomic_load_n(&h->collector, __ATOMIC_ACQUIRE) == VCR_COLLECTOR_STARTING && now_ms() < until)
		poll(NULL, 0, 5);
}

static void settle_one(const char *path, const char *vcr_dir, int64_t until)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	if (fd < 0)
		return;
	struct vcr_spool_header *h = MAP_FAILED;
	if (!fstat(fd, &st) && st.st_size >= VCR_SPOOL_HEADER && S_ISREG(st.st_mode))
		h = mmap(NULL, sizeof *h, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (h == MAP_FAILED)
		return;
	bool spool = !memcmp(h->magic, VCR_SPOOL_MAGIC, sizeof h->magic), mine = spool && !strncmp(h->vcr_dir, vcr_dir, sizeof h->vcr_dir);
	bool idle = spool && h->collector == VCR_COLLECTOR_NONE && time(NULL) - st.st_mtime > IDLE_S && !root_alive(h);
	if (mine && h->collector != VCR_COLLECTOR_NONE) {
		char session[sizeof h->session];
		snprintf(session, sizeof session, "%.*s", (int)sizeof session - 1, h->session); /* it may have no end */
		wait_for_start(h);
		int64_t left = until - now_ms();
		settle_session(session, path, left > LEAST_MS ? (int)left : LEAST_MS);
	}
	munmap(h, sizeof *h);
	if (idle && !is_mapped(&st))
		unlink(path); /* nothing worth recording happened; a child of that root may still begin, so not at once */
}

void vcr_control_settle(const char *vcr_dir, int timeout_ms)
{
	VCR_AUTO_BUF dir = VCR_BUF_INIT;
	struct dirent *ent;
	int64_t until = now_ms() + timeout_ms;
	if (vcr_paths_runtime_dir(&dir, NULL))
		return;
	DIR *d = opendir(dir.data);
	while (d && (ent = readdir(d))) {
		size_t n = strlen(ent->d_name);
		char path[PATH_MAX];
		if (n > 6 && !strcmp(ent->d_name + n - 6, ".spool") && snprintf(path, sizeof path, "%s/%s", dir.data, ent->d_name) < (int)sizeof path)
			settle_one(path, vcr_dir, until);
	}
	if (d)
		closedir(d);
}

/* ---- The collector's side ---- */

int vcr_control_listen(struct vcr_control *c, const char *session_id, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	struct sockaddr_un a;
	c->listener = -1;
	for (int i = 0; i < VCR_CONTROL_CLIENTS; i++) {
		c->client[i].fd = -1;
		vcr_buf_init(&c->client[i].in, VCR_CONTROL_REQUEST);
	}
	int err = address(session_id, ".sock", &path, &a, e);
	if (err)
		return err;
	unlink(path.data); /* we hold the spool's lock, so no other collector of this session lives */
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || chmod(path.data, 0600) || listen(fd, 16)) {
		err = vcr_error_sys(e, errno, "control socket %s", path.data);
		if (fd >= 0)
			close(fd);
		return err;
	}
	snprintf(c->path, sizeof c->path, "%s", path.data);
	c->listener = fd;
	return 0;
}

int vcr_control_pollfds(const struct vcr_control *c, struct pollfd *fds)
{
	int n = 0;
	if (c->listener >= 0)
		fds[n++] = (struct pollfd){ c->listener, POLLIN, 0 };
	for (int i = 0; i < VCR_CONTROL_CLIENTS; i++)
		if (c->client[i].fd >= 0)
			fds[n++] = (struct pollfd){ c->client[i].fd, POLLIN, 0 };
	return n;
}

static void drop(struct vcr_control_client *k)
{
	close(k->fd);
	k->fd = -1;
	vcr_buf_release(&k->in);
}

static void accept_all(struct vcr_control *c)
{
	int fd;
	while (c->listener >= 0 && (fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		struct ucred who = { 0 };
		socklen_t n = sizeof who;
		int slot = 0;
		while (slot < VCR_CONTROL_CLIENTS && c->client[slot].fd >= 0)
			slot++;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) || (who.uid != geteuid() && who.uid != 0) || slot == VCR_CONTROL_CLIENTS)
			close(fd);
		else
			c->client[slot].fd = fd;
	}
}

static void serve_client(struct vcr_control_client *k, vcr_control_fn *fn, void *ctx)
{
	char some[4096];
	for (;;) {
		ssize_t n = read(k->fd, some, sizeof some);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0 || vcr_buf_add(&k->in, some, (size_t)n)) {
			drop(k);
			return;
		}
		char *end;
		while ((end = memchr(k->in.data, '\n', k->in.len))) {
			VCR_AUTO_BUF answer = VCR_BUF_INIT;
			size_t len = (size_t)(end - k->in.data);
			fn(ctx, k->in.data, len, &answer);
			vcr_buf_putc(&answer, '\n');
			vcr_buf_drop(&k->in, len + 1);
			if (answer.err || write_all(k->fd, answer.data, answer.len, now_ms() + 1000)) {
				drop(k);
				return;
			}
		}
	}
}

void vcr_control_serve(struct vcr_control *c, vcr_control_fn *fn, void *ctx)
{
	accept_all(c);
	for (int i = 0; i < VCR_CONTROL_CLIENTS; i++)
		if (c->client[i].fd >= 0)
			serve_client(&c->client[i], fn, ctx);
}

void vcr_control_close(struct vcr_control *c)
{
	for (int i = 0; i < VCR_CONTROL_CLIENTS; i++)
		if (c->client[i].fd >= 0)
			drop(&c->client[i]);
	if (c->listener >= 0) {
		unlink(c->path);
		close(c->listener);
		c->listener = -1;
	}
}
