/* log-follow.c — vcr log --follow: frames as they are appended, until the session ends.
 *
 * The directory is watched, not the file: so a session that does not exist yet is seen to begin. Without inotify, and while the directory
 * itself does not exist, it is looked at five times a second. */
#include "log.h"
#include "control.h"
#include "paths.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { IDLE_MS = 1000, LOOK_MS = 200, PATIENCE = 3 /* idle seconds without collector before a recording counts as cut */ };

struct follow {
	struct vcr_log *l;
	struct vcr_buf dir, path;
	int inotify;
	bool watching;
	char newest[256]; /* file name of the newest session at the start, "" none: only what begins later is waited for */
};

static void watch(struct follow *f)
{
	if (f->inotify < 0)
		f->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (!f->watching)
		f->watching = f->inotify >= 0 && inotify_add_watch(f->inotify, f->dir.data, IN_CREATE | IN_MOVED_TO | IN_MODIFY | IN_CLOSE_WRITE) >= 0;
}

/* Until something happens in the directory. True if it was quiet for a second. False as well: *gone, nobody reads stdout any more. */
static bool rest(struct follow *f, bool *gone)
{
	struct pollfd p[2] = { { 1, 0, 0 }, { f->inotify, POLLIN, 0 } };
	char events[4096];
	watch(f);
	p[1].fd = f->inotify;
	fflush(stdout);
	int n = poll(p, f->watching ? 2 : 1, f->watching ? IDLE_MS : LOOK_MS);
	*gone = ferror(stdout) || (n > 0 && (p[0].revents & POLLERR));
	while (f->watching && read(f->inotify, events, sizeof events) > 0)
		;
	return n == 0 && f->watching;
}

/* ---- Which file ---- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* The newest session if it is being recorded, else the next one to begin. */
static bool find_unnamed(struct follow *f)
{
	vcr_buf_reset(&f->path);
	if (vcr_paths_find_session(f->dir.data, NULL, &f->path, NULL))
		return false;
	return strcmp(base_name(f->path.data), f->newest) != 0;
}

static void choose_newest(struct follow *f)
{
	VCR_AUTO_READER *r = NULL;
	if (vcr_paths_find_session(f->dir.data, NULL, &f->path, NULL) || vcr_reader_open(&r, f->path.data, NULL, NULL, NULL))
		return;
	if (strcmp(vcr_log_state(r), "live"))
		snprintf(f->newest, sizeof f->newest, "%s", base_name(f->path.data));
}

static bool find_named(struct follow *f, const char *session)
{
	struct stat st;
	vcr_buf_reset(&f->path);
	if (!vcr_paths_find_session(f->dir.data, session, &f->path, NULL))
		return true;
	vcr_buf_reset(&f->path);
	if (strchr(session, '/'))
		vcr_buf_puts(&f->path, session); /* of a .vcr file: vcr_log_follow looked */
	else
		vcr_buf_printf(&f->path, "%s/%s.vcr", f->dir.data, session);
	return !stat(f->path.data, &st);
}

/* 0: there is a file; else an exit status. */
static int wait_for_file(struct follow *f, const char *session)
{
	bool said = false, gone = false;
	if (!session)
		choose_newest(f);
	while (!(session ? find_named(f, session) : find_unnamed(f))) {
		if (!said && !f->l->t->quiet)
			vcr_say(f->l->t, session ? "waiting for session %2$s in %1$s" : "waiting for a session in %1$s", f->dir.data, session);
		said = true;
		rest(f, &gone);
		if (gone)
			return VCR_EXIT_YES;
	}
	return 0;
}

/* ---- Its frames ---- */

static int print_new(struct follow *f, struct vcr_reader *r, int64_t *done)
{
	int status = 0;
	int64_t n = vcr_reader_count(r);
	for (; *done < n && !ferror(stdout); ++*done) {
		struct vcr_error e = { 0 };
		int yes = vcr_filter_frame(&f->l->filter, r, *done, &e);
		if (yes < 0)
			vcr_say(f->l->t, "%s", e.what);
		if (yes > 0)
			vcr_log_head(f->l);
		if (yes < 0 || (yes > 0 && vcr_log_frame(f->l, r, *done)))
			status = VCR_EXIT_FAILED;
	}
	return status;
}

/* -n: of the frames that are there already, only the last ones that match. */
static int64_t first_to_print(struct follow *f, struct vcr_reader *r)
{
	int64_t i = vcr_reader_count(r), left = f->l->limit;
	if (left < 0)
		return 0;
	while (i > 0 && left > 0)
		left -= vcr_filter_frame(&f->l->filter, r, --i, NULL) > 0;
	return i;
}

/* Its header may not be complete yet. */
static int open_when_ready(struct follow *f, struct vcr_reader **r)
{
	struct vcr_error e = { 0 };
	struct stat st;
	bool gone = false;
	for (int idle = 0; !stat(f->path.data, &st) && idle < PATIENCE && !gone; idle += rest(f, &gone)) {
		if (st.st_size && !vcr_reader_open(r, f->path.data, NULL, NULL, &e)) {
			vcr_tool_close(r);
			break;
		}
	}
	return vcr_tool_open(f->l->t, f->path.data, r);
}

/* Nobody writes any more: a dead collector's spool is decoded, which may bring the end line. */
static bool is_over(struct follow *f, struct vcr_reader *r, int *idle)
{
	const char *state = vcr_log_state(r);
	if (!strcmp(state, "live") || !strcmp(state, "-")) {
		*idle = 0;
		return false;
	}
	vcr_tool_settle(f->dir.data);
	return ++*idle >= PATIENCE;
}

static int follow_file(struct follow *f)
{
	VCR_AUTO_READER *r = NULL;
	struct vcr_error e = { 0 };
	int idle = 0, status = open_when_ready(f, &r);
	bool gone = false;
	if (status)
		return status;
	for (int64_t done = first_to_print(f, r);;) {
		if (print_new(f, r, &done))
			status = VCR_EXIT_FAILED;
		if (gone || vcr_reader_header(r)->ended)
			break;
		if (rest(f, &gone) && is_over(f, r, &idle)) {
			vcr_reader_refresh(r, NULL);
			print_new(f, r, &done);
			break;
		}
		if (vcr_reader_refresh(r, &e) < 0)
			return vcr_failed(f->l->t, &e);
	}
	if (!gone)
		vcr_log_totals(f->l, r, f->path.data);
	return status;
}

int vcr_log_follow(struct vcr_log *l, const char *session)
{
	struct follow f = { .l = l, .dir = VCR_BUF_INIT, .path = VCR_BUF_INIT, .inotify = -1 };
	struct vcr_error e = { 0 };
	size_t n = session ? strlen(session) : 0;
	const char *slash = n > 4 && !strcmp(session + n - 4, ".vcr") ? strrchr(session, '/') : NULL;
	int status;
	if (slash)
		vcr_buf_add(&f.dir, session, slash > session ? (size_t)(slash - session) : 1);
	if (session && !slash && vcr_paths_check_session_id(session, &e) && strcmp(session, "last"))
		status = vcr_failed(l->t, &e);
	else if (!slash && vcr_tool_dir(l->t, &f.dir, &e))
		status = vcr_failed(l->t, &e);
	else if (!(status = wait_for_file(&f, session)) && f.path.len)
		status = follow_file(&f);
	if (f.inotify >= 0)
		close(f.inotify);
	vcr_buf_release(&f.dir);
	vcr_buf_release(&f.path);
	return status;
}
