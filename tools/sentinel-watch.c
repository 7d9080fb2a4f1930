/* vcr sentinel watch — each file of a directory is judged when it has been written, against what it was when the watch began. */
#include "judging.h"
#include "limits.h"
#include "tally.h"
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EVENTS = IN_CREATE | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR | IN_EXCL_UNLINK | IN_DONT_FOLLOW };

struct watch {
	struct vcr_tally tally;
	struct vcr_judging_run *run;
	char *top;             /* real path of the directory */
	int events, signals;
	char **dir;            /* by watch descriptor: its path below top, "" for itself */
	size_t ndir, watched, unwatched;
	bool began;            /* what is found is judged, and not only remembered */
	uint32_t cookie;       /* of what was moved away last; 0 none */
	char *from, *to;       /* and where it was; to: where it is looked at now, NULL */
	bool directory;
};

static void add_directory(struct watch *w, const char *full, const char *path)
{
	int wd = inotify_add_watch(w->events, full, EVENTS);
	if (wd >= (int)w->ndir) {
		size_t n = (size_t)wd * 2 + 64;
		char **more = reallocarray(w->dir, n, sizeof *more);
		if (more) {
			memset(more + w->ndir, 0, (n - w->ndir) * sizeof *more);
			w->dir = more;
			w->ndir = n;
		}
	}
	if (wd < 0 || wd >= (int)w->ndir) {
		w->unwatched++;
		return;
	}
	w->watched += !w->dir[wd];
	free(w->dir[wd]);
	w->dir[wd] = strdup(path);
}

/* there: false: there is no regular file; known: false: there is one that is too large or cannot be read. */
static void read_text(const char *full, struct vcr_judging_text *t)
{
	struct stat st;
	int fd = open(full, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	*t = (struct vcr_judging_text){ .known = fd < 0 && (errno == ENOENT || errno == ELOOP || errno == ENOTDIR) };
	if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size <= VCR_MAX_FILE_CONTENT && (t->p = malloc((size_t)st.st_size + 1))) {
		ssize_t n = read(fd, t->p, (size_t)st.st_size);
		t->n = n > 0 ? (size_t)n : 0;
		t->p[t->n] = 0;
		t->there = t->known = n >= 0;
	}
	if (fd >= 0)
		close(fd);
}

static void judge_file(struct watch *w, const char *full, const char *path);

/* A file below what was moved: what stood in it is nothing new. Of a moved directory nobody says that its files are gone from where they were. */
static void take_move(struct watch *w, const char *path)
{
	VCR_AUTO_BUF old = VCR_BUF_INIT, full = VCR_BUF_INIT;
	char *to = w->to;
	vcr_buf_printf(&old, "%s%s", w->from, path + strlen(to));
	vcr_buf_printf(&full, "%s/%s", w->top, old.data);
	vcr_judging_moved(w->run, old.data, path);
	w->to = NULL;
	if (w->directory)
		judge_file(w, full.data, old.data);
	w->to = to;
}

static void judge_file(struct watch *w, const char *full, const char *path)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	const struct vcr_judging_text none = { .known = true };
	struct vcr_judging_text text;
	struct vcr_jw out;
	if (vcr_judging_excluded(w->tally.j, full))
		return;
	if (w->to)
		take_move(w, path);
	read_text(full, &text);
	if (text.known && !w->began) {
		vcr_judging_know(w->run, path, &text);
	} else if (text.known) {
		w->tally.changes++;
		vcr_jw_init(&out, &b);
		vcr_jw_object(&out);
		vcr_jw_key(&out, "path");
		vcr_jw_str(&out, path);
		vcr_judging_answer(w->run, &out, path, &none, &text);
		vcr_jw_object_end(&out);
		vcr_tally_take(&w->tally, -1, &b);
	}
	free(text.p);
}

/* All that is there: directories are watched before their files are read, so that nothing is missed between. */
static void look(struct watch *w, const char *full)
{
	char *const roots[] = { (char *)full, NULL };
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	size_t top = strlen(w->top);
	for (FTSENT *e; tree && (e = fts_read(tree)) != NULL;) {
		const char *path = e->fts_path[top] ? e->fts_path + top + 1 : "";
		if (e->fts_info == FTS_D && ((*path && vcr_scan_is_foreign(e->fts_name)) || vcr_judging_excluded(w->tally.j, e->fts_path)))
			fts_set(tree, e, FTS_SKIP);
		else if (e->fts_info == FTS_D)
			add_directory(w, e->fts_path, path);
		else if (e->fts_info == FTS_F && vcr_language_of(e->fts_path, NULL, 0) >= 0)
			judge_file(w, e->fts_path, path);
	}
	if (tree)
		fts_close(tree);
}

/* Both ends of a move have the same cookie. */
static void note_move(struct watch *w, const struct inotify_event *e, const char *path)
{
	if (e->mask & IN_MOVED_FROM) {
		free(w->from);
		w->from = strdup(path);
		w->cookie = w->from ? e->cookie : 0;
		w->directory = e->mask & IN_ISDIR;
	} else if (e->mask & IN_MOVED_TO && e->cookie && e->cookie == w->cookie) {
		w->to = strdup(path);
		w->cookie = 0;
	}
}

static void one_event(struct watch *w, const struct inotify_event *e)
{
	VCR_AUTO_BUF full = VCR_BUF_INIT;
	if (e->mask & IN_Q_OVERFLOW) {
		look(w, w->top); /* what was said is lost */
		return;
	}
	const char *dir = e->wd >= 0 && (size_t)e->wd < w->ndir ? w->dir[e->wd] : NULL;
	if (e->mask & IN_IGNORED && dir) {
		free(w->dir[e->wd]);
		w->dir[e->wd] = NULL;
	}
	if (e->mask & IN_IGNORED || !dir || !e->len)
		return;
	vcr_buf_printf(&full, "%s/%s%s%s", w->top, dir, *dir ? "/" : "", e->name);
	note_move(w, e, full.data + strlen(w->top) + 1);
	if (e->mask & IN_ISDIR) {
		if (e->mask & (IN_CREATE | IN_MOVED_TO) && !vcr_scan_is_foreign(e->name))
			look(w, full.data);
	} else if (e->mask & (IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM) && vcr_language_of(full.data, NULL, 0) >= 0) {
		judge_file(w, full.data, full.data + strlen(w->top) + 1);
	}
	free(w->to);
	w->to = NULL;
}

/* All that is to be read now. */
static void take_events(struct watch *w)
{
	char buf[64 << 10] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n;
	while ((n = read(w->events, buf, sizeof buf)) > 0)
		for (char *p = buf; p < buf + n;) {
			const struct inotify_event *e = (const void *)p;
			p += sizeof *e + e->len;
			one_event(w, e);
		}
	fflush(stdout);
}

static void until_ended(struct watch *w)
{
	struct pollfd on[] = { { .fd = w->events, .events = POLLIN }, { .fd = w->signals, .events = POLLIN } };
	while (poll(on, 2, -1) >= 0 || errno == EINTR) {
		take_events(w); /* those too that were before the signal */
		if (on[1].revents)
			return;
	}
}

static int begin(struct watch *w, const char *dir, struct vcr_error *e)
{
	struct vcr_judging *j = w->tally.j;
	struct stat st;
	sigset_t end;
	sigemptyset(&end);
	sigaddset(&end, SIGINT);
	sigaddset(&end, SIGTERM);
	if (!(w->top = realpath(dir, NULL)) || stat(w->top, &st))
		return vcr_error_sys(e, errno, "%s", dir);
	if (!S_ISDIR(st.st_mode))
		return vcr_error_set(e, VCR_EINVAL, "%s: not a directory", dir);
	if (sigprocmask(SIG_BLOCK, &end, NULL) || (w->signals = signalfd(-1, &end, SFD_CLOEXEC)) < 0 || (w->events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) < 0)
		return vcr_error_sys(e, errno, "watching %s", dir);
	if (!(w->run = vcr_judging_begin(j, w->top)))
		return vcr_error_set(e, VCR_ENOMEM, "no memory");
	look(w, w->top);
	if (!w->watched)
		return vcr_error_set(e, VCR_ELIMIT, "%s: the system allows no more watches (fs.inotify.max_user_watches)", dir);
	w->began = true;
	if (w->unwatched)
		vcr_say(j->t, "%zu directories are not watched: the system allows no more (fs.inotify.max_user_watches)", w->unwatched);
	if (!j->t->quiet)
		vcr_say(j->t, "%zu director%s watched", w->watched, w->watched == 1 ? "y is" : "ies are");
	return 0;
}

int vcr_judging_watch(struct vcr_judging *j, const char *dir)
{
	struct watch w = { .tally = { .j = j }, .events = -1, .signals = -1 };
	struct vcr_error e = { 0 };
	int status = VCR_JUDGED_FAILED;
	if (begin(&w, dir, &e)) {
		vcr_failed(j->t, &e);
	} else {
		until_ended(&w);
		status = vcr_tally_summary(&w.tally, dir);
	}
	for (size_t i = 0; i < w.ndir; i++)
		free(w.dir[i]);
	free(w.dir);
	free(w.from);
	free(w.top);
	if (w.events >= 0)
		close(w.events);
	if (w.signals >= 0)
		close(w.signals);
	vcr_judging_end(w.run);
	vcr_tally_release(&w.tally);
	return status;
}
