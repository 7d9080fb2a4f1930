#include "supervise-parts.h"
#include "buf.h"
#include "paths.h"
#include "peek.h"
#include "redact.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MOST_ARGUMENTS = 1024, ARGUMENT_BYTES = 64 << 10 };

uint64_t vcr_supervise_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void vcr_supervise_append(struct vcr_supervise *s, uint32_t type, int pid, const void *head, size_t nhead, const void *data, size_t n)
{
	s->stats.told++;
	vcr_spool_writer_append(s->w, &(struct vcr_spool_append){ .type = type, .pid = pid, .time_ns = vcr_supervise_now(), .head = head, .nhead = nhead, .data = data, .n = n });
}

/* ---- What a call is about ---- */

/* A file system call, its arguments in one form. */
struct deed {
	uint32_t op;             /* enum vcr_file_op; 0: none that matters */
	int dir, dir2;
	uint64_t path, path2;    /* in its memory; 0: none */
	uint32_t flags;
};

static bool open_changes(uint64_t flags)
{
	return !(flags & O_PATH) && (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) && (flags & O_TMPFILE) != O_TMPFILE;
}

static struct deed open_deed(int dir, uint64_t path, uint64_t flags)
{
	return (struct deed){ .op = open_changes(flags) ? VCR_FILE_OPEN : 0, .dir = dir, .path = path, .flags = (uint32_t)flags };
}

static struct deed openat2_deed(const struct vcr_seen *p, const uint64_t *a)
{
	uint64_t flags = 0; /* the first member of struct open_how */
	return vcr_seen_read(p, a[2], &flags, sizeof flags) ? open_deed((int)a[0], a[1], flags) : (struct deed){ 0 };
}

static struct deed one(uint32_t op, int dir, uint64_t path, uint64_t flags)
{
	return (struct deed){ .op = op, .dir = dir, .path = path, .flags = (uint32_t)flags };
}

static struct deed two(uint32_t op, int dir, uint64_t path, int dir2, uint64_t path2, uint32_t flags)
{
	return (struct deed){ .op = op, .dir = dir, .path = path, .dir2 = dir2, .path2 = path2, .flags = flags };
}

static struct deed rename_deed(const uint64_t *a, uint64_t flags)
{
	return two(flags & RENAME_EXCHANGE ? VCR_FILE_EXCHANGE : VCR_FILE_RENAME, (int)a[0], a[1], (int)a[2], a[3], 0);
}

static struct deed deed_of(const struct vcr_seen *p, const struct seccomp_data *d)
{
	const uint64_t *a = (const uint64_t *)d->args;
	const int here = AT_FDCWD;
	switch (d->nr) {
#ifdef SYS_open
	case SYS_open: return open_deed(here, a[0], a[1]);
	case SYS_creat: return open_deed(here, a[0], O_WRONLY | O_CREAT | O_TRUNC);
	case SYS_rename: return two(VCR_FILE_RENAME, here, a[0], here, a[1], 0);
	case SYS_unlink: return one(VCR_FILE_UNLINK, here, a[0], 0);
	case SYS_rmdir: return one(VCR_FILE_RMDIR, here, a[0], 0);
	case SYS_link: return two(VCR_FILE_LINK, here, a[0], here, a[1], 0);
	case SYS_symlink: return two(VCR_FILE_LINK, here, a[0], here, a[1], 1);
	case SYS_mkdir: return one(VCR_FILE_MKDIR, here, a[0], 0);
	case SYS_chmod: return one(VCR_FILE_MODE, here, a[0], a[1]);
#endif
#ifdef SYS_renameat
	case SYS_renameat: return rename_deed(a, 0);
#endif
	case SYS_openat: return open_deed((int)a[0], a[1], a[2]);
	case SYS_openat2: return openat2_deed(p, a);
	case SYS_renameat2: return rename_deed(a, a[4]);
	case SYS_unlinkat: return one(a[2] & AT_REMOVEDIR ? VCR_FILE_RMDIR : VCR_FILE_UNLINK, (int)a[0], a[1], 0);
	case SYS_linkat: return two(VCR_FILE_LINK, (int)a[0], a[1], (int)a[2], a[3], 0);
	case SYS_symlinkat: return two(VCR_FILE_LINK, here, a[0], (int)a[1], a[2], 1);
	case SYS_mkdirat: return one(VCR_FILE_MKDIR, (int)a[0], a[1], 0);
	case SYS_fchmodat: return one(VCR_FILE_MODE, (int)a[0], a[1], a[2]);
	case SYS_truncate: return one(VCR_FILE_TRUNCATE, here, a[0], 0);
	default: return (struct deed){ 0 };
	}
}

/* A symlink's target is a text of its own, absolute or not. */
static bool first_path(const struct vcr_seen *p, const struct deed *d, char out[PATH_MAX])
{
	if (d->op == VCR_FILE_LINK && d->flags)
		return vcr_seen_text(p, d->path, out, PATH_MAX);
	return vcr_seen_path(p, d->dir, d->path, out);
}

static bool until(const struct timespec *t, int64_t ns)
{
	return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec <= ns;
}

/* In a directory of which savepoints have names only, and not changed since the newest one: what ../shim/keep.c asks of a program that has the library. */
static bool is_unkept(const struct vcr_supervise *s, const char *path)
{
	const struct vcr_keep_block *k = &s->h->keep;
	const char *name = path + s->workspace_length + 1;
	int64_t since = __atomic_load_n(&k->since_ns, __ATOMIC_ACQUIRE);
	size_t all = __atomic_load_n(&k->heavy_bytes, __ATOMIC_ACQUIRE);
	struct stat st;
	if (!since || strlen(path) <= s->workspace_length || lstat(path, &st) || (!until(&st.st_mtim, since) && !until(&st.st_ctim, since)))
		return false;
	for (size_t at = 0; at < all && at < sizeof k->heavy;) {
		size_t n = strnlen(k->heavy + at, sizeof k->heavy - at);
		if (n && !strncmp(name, k->heavy + at, n) && name[n] == '/')
			return true;
		at += n + 1;
	}
	return false;
}

static bool goes(const struct deed *d)
{
	return d->op == VCR_FILE_UNLINK || d->op == VCR_FILE_RENAME;
}

static enum vcr_preimage_why why_of(const struct deed *d)
{
	return goes(d) ? VCR_PREIMAGE_GOES : VCR_PREIMAGE_CHANGES;
}

/* Can it destroy what is in a file? */
static bool destroys(const struct deed *d)
{
	bool only_new = (d->flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
	return goes(d) || d->op == VCR_FILE_TRUNCATE || (d->op == VCR_FILE_OPEN && !only_new);
}

/* What the call will destroy. */
static void keep(struct vcr_supervise *s, const struct deed *d, const char *path, const char *path2, bool known)
{
	const char *victim = d->op == VCR_FILE_RENAME ? path2 : path;
	if (!destroys(d) || vcr_redact_is_secret_file(victim))
		return;
	enum vcr_preimage_why why = why_of(d);
	if (!known && is_unkept(s, victim))
		why = goes(d) ? VCR_PREIMAGE_SMALL_GOES : VCR_PREIMAGE_SMALL_CHANGES;
	s->stats.kept += !vcr_preimages_keep(s->kept, AT_FDCWD, victim, why, NULL);
}

/* Of nearly every call that the library tells of nothing is to be done, and one look says so: no path is made of it. What cannot be looked at so is asked further. */
static bool may_be_kept(struct vcr_supervise *s, const struct vcr_seen *p, const struct deed *d)
{
	struct stat st;
	bool second = d->op == VCR_FILE_RENAME;
	if (!s->kept || !destroys(d))
		return false;
	int err = vcr_seen_stat(p, second ? d->dir2 : d->dir, second ? d->path2 : d->path, AT_SYMLINK_NOFOLLOW, &st);
	return err ? err != -ENOENT && err != -ENOTDIR : vcr_preimages_takes(s->kept, &st, why_of(d));
}

/* known: the library tells of it. */
static void on_file(struct vcr_supervise *s, struct vcr_seen *p, const struct seccomp_notif *call, bool known)
{
	struct deed d = deed_of(p, &call->data);
	char path[PATH_MAX], path2[PATH_MAX];
	if (!d.op || (known && !may_be_kept(s, p, &d)) || !vcr_seen_whole(s, p))
		return;
	*path2 = 0;
	if (!first_path(p, &d, path) || (d.path2 && !vcr_seen_path(p, d.dir2, d.path2, path2)) || !vcr_notify_waits(s->o.notify)) {
		s->stats.unseen++;
		return;
	}
	bool link = d.op == VCR_FILE_LINK, matters = !link && vcr_supervise_matters(s, path);
	bool matters2 = *path2 && vcr_supervise_matters(s, path2);
	if (s->kept && (d.op == VCR_FILE_RENAME ? matters2 : matters))
		keep(s, &d, path, path2, known);
	if (known || (!matters && !matters2))
		return;
	vcr_seen_tell(s, p);
	vcr_later_add(s, &(struct vcr_later){ .tid = p->tid, .pid = p->pid, .op = d.op, .flags = d.flags }, path, *path2 ? path2 : NULL);
}

/* The first told call of most programs, and of many the only one, opens the spool or /dev/null: nobody has to be met for that. */
static bool opens_elsewhere(const struct vcr_supervise *s, const struct seccomp_notif *call)
{
	char path[PATH_MAX];
	int tid = (int)call->pid;
	uint64_t at = call->data.nr == SYS_openat ? call->data.args[1] : 0;
#ifdef SYS_open
	at = call->data.nr == SYS_open ? call->data.args[0] : at;
#endif
	return at && tid > 0 && !vcr_seen_is_met(s, tid) && vcr_peek_text(tid, at, path, sizeof path) && vcr_supervise_is_elsewhere(s, path);
}

/* ---- Programs ---- */

static uint32_t add_arguments(const struct vcr_seen *p, uint64_t list, struct vcr_buf *text)
{
	char argument[PATH_MAX];
	uint32_t n = 0;
	for (uint64_t at; n < MOST_ARGUMENTS && text->len < ARGUMENT_BYTES && vcr_seen_read(p, list + 8 * n, &at, sizeof at) && at; n++) {
		if (!vcr_seen_text(p, at, argument, sizeof argument))
			argument[sizeof argument - 1] = 0; /* cut, or not readable to its end */
		vcr_buf_add(text, argument, strlen(argument) + 1);
	}
	return n;
}

static bool is_executable(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_mode & 0111;
}

static bool changes_user(const struct stat *st)
{
	return st->st_mode & S_ISUID && st->st_uid != geteuid();
}

static bool changes_identity(const struct stat *st)
{
	return changes_user(st) || ((st->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st->st_gid != getegid());
}

/* The kernel gives it no other identity here: NO_NEW_PRIVS (notify.h). Said once. */
static void say_identity(struct vcr_supervise *s, const struct vcr_seen *p, const char *path, const struct stat *st)
{
	char text[PATH_MAX];
	if (s->told_identity || !changes_identity(st))
		return;
	s->told_identity = true;
	int n = snprintf(text, sizeof text, "what %.200s, a set-%s-ID program, does with its privileges: under --supervise it runs without them", strrchr(path, '/') + 1, changes_user(st) ? "user" : "group");
	vcr_supervise_append(s, VCR_REC_LOST, p->pid, text, (size_t)n + 1, NULL, 0);
}

/* Of a start that the library tells of, only that is to be said. */
static bool may_change_identity(const struct vcr_seen *p, int dir, uint64_t path)
{
	struct stat st;
	int err = vcr_seen_stat(p, dir, path, 0, &st);
	return err ? err != -ENOENT && err != -ENOTDIR : is_executable(&st) && changes_identity(&st);
}

/* Along PATH one is tried after the other: what is not there will not run. known: the library tells of it. */
static void on_exec(struct vcr_supervise *s, struct vcr_seen *p, const struct seccomp_notif *call, bool known)
{
	struct stat st;
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	const uint64_t *a = (const uint64_t *)call->data.args;
	bool at = call->data.nr == SYS_execveat, by_fd = at && a[4] & AT_EMPTY_PATH;
	int dir = at ? (int)a[0] : AT_FDCWD;
	char path[PATH_MAX], name[40];
	if ((known && (s->told_identity || (!by_fd && !may_change_identity(p, dir, a[at])))) || !vcr_seen_whole(s, p))
		return;
	snprintf(name, sizeof name, "/proc/%d/fd/%d", p->pid, dir);
	if (by_fd ? !realpath(name, path) : !vcr_seen_path(p, dir, a[at], path))
		return;
	if (*path != '/' || stat(path, &st) || !is_executable(&st))
		return;
	say_identity(s, p, path, &st);
	if (known)
		return;
	struct vcr_rec_exec rec = { .child = p->pid, .kind = VCR_EXEC_REPLACE };
	vcr_seen_tell(s, p);
	vcr_buf_add(&text, path, strlen(path) + 1);
	vcr_buf_add(&text, p->cwd, strlen(p->cwd) + 1);
	rec.argc = add_arguments(p, a[at + 1], &text);
	if (vcr_notify_waits(s->o.notify))
		vcr_supervise_append(s, VCR_REC_EXEC, p->pid, &rec, sizeof rec, text.data, text.len);
}

/* ---- The loop ---- */

/* False: it goes on. */
static bool is_answered(struct vcr_supervise *s, const struct seccomp_notif *call, bool exec)
{
	bool connect = call->data.nr == SYS_connect, file = !exec && !connect;
	if ((s->o.replay && !connect) || (file && opens_elsewhere(s, call)))
		return false;
	struct vcr_seen *p = vcr_seen_of(s, (int)call->pid);
	bool known = p && vcr_seen_by_library(p, call->data.instruction_pointer);
	if (p && exec)
		on_exec(s, p, call, known);
	else if (p && file)
		on_file(s, p, call, known);
	if (!p || !connect || known || !vcr_seen_whole(s, p))
		return false;
	vcr_supervise_connect(s, p, call);
	return true;
}

static void take(struct vcr_supervise *s, const struct seccomp_notif *call)
{
	int nr = call->data.nr;
	bool exec = nr == SYS_execve || nr == SYS_execveat;
	s->stats.calls++;
	vcr_later_settle(s, (int)call->pid);
	int error = exec && s->o.asks ? s->o.asks(s->o.asks_ctx, call) : 0;
	if (error) {
		vcr_notify_answer(s->o.notify, -error);
		return;
	}
	if (nr == SYS_exit_group)
		vcr_later_ends(s, (int)call->pid);
	else if (is_answered(s, call, exec))
		return;
	if (exec)
		vcr_seen_becomes_another(s, (int)call->pid);
	vcr_notify_go_on(s->o.notify);
}

void vcr_supervise_run(struct vcr_supervise *s)
{
	const struct seccomp_notif *call;
	struct pollfd also[VCR_NOTIFY_KEPT];
	for (;;) {
		int timeout_ms = vcr_later_timeout(s);
		unsigned n = vcr_reach_poll(s, also, &timeout_ms);
		int how = vcr_notify_wait_also(s->o.notify, timeout_ms, also, n, &call);
		if (how < 0)
			break;
		if (how == 0)
			take(s, call);
		else
			vcr_later_settle(s, 0);
		vcr_reach_look(s);
	}
	vcr_reach_release(s);
	vcr_later_release(s);
}

static void open_kept(struct vcr_supervise *s)
{
	VCR_AUTO_BUF state = VCR_BUF_INIT;
	char vcr_dir[sizeof s->h->vcr_dir];
	snprintf(vcr_dir, sizeof vcr_dir, "%.*s", (int)sizeof vcr_dir - 1, s->h->vcr_dir);
	if (vcr_paths_state_dir(*s->workspace ? s->workspace : "/", &state, NULL) || vcr_preimages_open(&s->kept, *s->workspace ? s->workspace : "/", state.data, vcr_dir, true, NULL))
		s->kept = NULL;
}

int vcr_supervise_new(struct vcr_supervise **out, const struct vcr_supervise_options *o, struct vcr_error *e)
{
	struct vcr_supervise *s = calloc(1, sizeof *s);
	struct stat self = { 0 };
	if (!s)
		return vcr_error_set(e, VCR_ENOMEM, "out of memory");
	int err = vcr_spool_writer_new(&s->w, o->spool, e);
	if (err) {
		free(s);
		return err;
	}
	s->o = *o;
	s->h = vcr_spool_writer_header(s->w);
	snprintf(s->workspace, sizeof s->workspace, "%.*s", (int)sizeof s->h->workspace - 1, s->h->workspace);
	if (!strcmp(s->workspace, "/"))
		*s->workspace = 0;
	s->workspace_length = strlen(s->workspace);
	stat("/proc/self/exe", &self);
	s->own_dev = self.st_dev;
	s->own_ino = self.st_ino;
	vcr_code_hold(s);
	if (!o->replay)
		open_kept(s);
	*out = s;
	return 0;
}

void vcr_supervise_free(struct vcr_supervise *s)
{
	if (!s)
		return;
	vcr_reach_release(s);
	vcr_later_release(s);
	vcr_seen_release(s);
	vcr_code_release(s);
	vcr_preimages_free(s->kept);
	vcr_notify_free(s->o.notify);
	vcr_spool_writer_free(s->w);
	free(s);
}

void vcr_supervise_stats(const struct vcr_supervise *s, struct vcr_supervise_stats *out)
{
	*out = s->stats;
}
